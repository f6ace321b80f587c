#!/usr/bin/env bash
# Run a command in another Debian: in_debian.sh SUITE COMMAND [ARGUMENT...]
#
# The root folder is made once by mmdebstrap, in $DEBIAN_ROOTS, and kept for the next command. The command
# finds this checkout and the settings of pip, npm and certificates at their paths. It runs in mount and
# process namespaces of its own, and all that it started ends with it. Needs root. Ends with 90 where
# no other Debian can be had: no root, no namespaces, no Debian here, no network.
set -euo pipefail
suite=$1
shift
root=${DEBIAN_ROOTS:-/var/cache/desipipe-tests}/$suite
checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
packages=python3,python3-venv,python3-dev,make,git,gcc,g++,libc6-dev,ca-certificates,procps,iproute2,mount,tzdata

none() {  # WORDS
    echo "$1 Nothing was run in Debian $suite." >&2
    exit 90
}

[ "$(id -u)" = 0 ] || none 'Another Debian needs root: sudo make matrix.'
unshare --mount --pid --fork --propagation private true 2>/dev/null || none 'This root may not make namespaces.'
command -v apt-get >/dev/null || none 'This is no Debian, whose packages are what a root is made of.'

make_root() {
    command -v mmdebstrap >/dev/null || {
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends mmdebstrap >/dev/null
    } || none 'mmdebstrap could not be installed.'
    local mirror
    # shellcheck disable=SC2016  # apt replaces $(REPO_URI).
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | head -n 1)
    mkdir -p "$(dirname "$root")"
    # Under another name until it is whole: a run that was cut off leaves no half root that looks ready.
    rm -rf "$root.part"
    # A mirror of a testing suite that is a snapshot may be older than its index says it is valid.
    mmdebstrap --quiet --variant=essential --aptopt='Acquire::Check-Valid-Until "false"' --include="$packages,apt" "$suite" "$root.part" "$mirror" ||
        none "mmdebstrap could not make the root folder $root."
    mv "$root.part" "$root"
}

[ -d "$root" ] || make_root

# All of this is seen inside the namespace only.
# shellcheck disable=SC2016  # the inner shell replaces these.
exec unshare --mount --pid --fork --kill-child --propagation private bash -c '
    set -euo pipefail
    root=$1 checkout=$2
    shift 2
    show() {  # a file or folder of this machine, at the same path
        [ -e "$1" ] || return 0
        if [ -d "$1" ]; then mkdir -p "$root$1"; else mkdir -p "$(dirname "$root$1")"; [ -e "$root$1" ] || : >"$root$1"; fi
        mount --rbind "$1" "$root$1"
    }
    mount --bind "$root" "$root"
    mount -t proc proc "$root/proc"
    for path in /sys /dev /opt /etc/pip.conf /etc/xdg/pip /etc/ssl/certs /etc/resolv.conf /etc/hosts \
            "$HOME/.config/pip" "$HOME/.npmrc" "$checkout"; do
        show "$path"
    done
    mkdir -p "$root/.old"
    cd "$root"
    pivot_root . .old
    cd "$checkout"
    umount -l /.old
    export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8
    exec "$@"
' in_debian "$root" "$checkout" "$@"
