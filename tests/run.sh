#!/usr/bin/env bash
# Run all tests that can run here, and say which cannot and why. `make test` calls it.
#
#   tests/run.sh [PYTEST ARGUMENTS]
#
# NETFS, SLURM, GRIDENGINE, LAB: `auto` runs these tests where they can run, `1` demands them, `0` leaves them out.
# JOBS: tests at once. JLPM and PYTHON: how to call them. As root, missing Debian packages are installed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

PYTHON=${PYTHON:-.venv/bin/python}
JLPM=${JLPM:-.venv/bin/jlpm}
NETFS_PACKAGES=(moosefs-master moosefs-chunkserver moosefs-client iproute2 sshfs openssh-server fuse3)
SLURM_PACKAGES=(slurmctld slurmd slurmdbd slurm-client slurm-wlm-basic-plugins munge
    mariadb-server-core mariadb-client-core)
GRIDENGINE_PACKAGES=(gridengine-master gridengine-exec gridengine-client)
LAB_PACKAGES=(chromium fonts-dejavu-core)
marks='not nfs'

# leave_out MARK DEMANDED WHAT WHY: say so; where the tests are demanded, end without running any.
leave_out() {
    marks="$marks and not $1"
    printf '%s\n' '' "!!! LEFT OUT: $3 (mark $1):" "!!! $4" '' >&2
    if [ "$2" = 1 ]; then
        echo "!!! They were asked for in any case, so no test was run." >&2
        exit 1
    fi
}

has_node() {
    node -e 'process.exit(Number(process.versions.node.split(".")[0]) < 20 ? 1 : 0)' 2>/dev/null
}

test_jupyter_side() {
    local what='the tests of the JupyterLab side, in jest and in a browser' missing
    has_node || tests/install_packages.sh nodejs npm >/dev/null
    if [ "${LAB:-auto}" = 0 ]; then
        leave_out browser 0 "$what" 'LAB=0 was asked for'
        return
    elif ! has_node; then
        leave_out browser "${LAB:-auto}" "$what" 'Node 20 or later is missing and could not be installed'
        return
    fi
    if [ $# = 0 ]; then
        make --no-print-directory node_modules/.installed
        YARN_NPM_REGISTRY_SERVER=${YARN_NPM_REGISTRY_SERVER:-$(npm config get registry 2>/dev/null)} \
            "$JLPM" test
    fi
    make --no-print-directory jupyter_ext/labextension/package.json
    [ -z "${CHROMIUM:-}" ] || return 0
    missing=$(tests/install_packages.sh "${LAB_PACKAGES[@]}")
    if [ -n "$missing" ] && ! command -v chromium >/dev/null; then
        leave_out browser "${LAB:-auto}" 'the tests in a browser' "Debian packages are missing: $missing"
    fi
}

# check_system_tests MARK DEMANDED WHAT NAMESPACES DEVICE PACKAGE...: leave out what cannot run here.
check_system_tests() {
    local mark=$1 demanded=$2 what=$3 namespaces=$4 device=$5 why='' missing
    shift 5
    if [ "$demanded" = 0 ]; then
        why='they were not asked for'
    elif [ "$(id -u)" != 0 ]; then
        why='they need root. Try: sudo make test'
    elif ! unshare $namespaces true 2>/dev/null; then # shellcheck disable=SC2086
        why='this root may not make namespaces (a container?)'
    elif [ ! -e "$device" ]; then
        why="there is no $device (a container?)"
    else
        missing=$(tests/install_packages.sh "$@")
        [ -z "$missing" ] || why="Debian packages are missing and could not be installed: $missing"
    fi
    [ -z "$why" ] || leave_out "$mark" "$demanded" "$what" "$why"
}

test_jupyter_side "$@"
check_system_tests netfs "${NETFS:-auto}" 'the tests on network filesystems, where hosts share a queue' \
    '--mount --net --uts' /dev/fuse "${NETFS_PACKAGES[@]}"
check_system_tests slurm "${SLURM:-auto}" 'the tests on a real Slurm' \
    '--mount --pid --fork --uts' /dev/null "${SLURM_PACKAGES[@]}"
check_system_tests gridengine "${GRIDENGINE:-auto}" 'the tests on a real Grid Engine' \
    '--mount --pid --fork' /dev/null "${GRIDENGINE_PACKAGES[@]}"
# Tests start thousands of Python processes: without files of bytecode each compiles all it imports.
unset PYTHONDONTWRITEBYTECODE
export DESIPIPE_TESTS_COMPLETE=1 DESIPIPE_REQUIRE_NETFS=1 DESIPIPE_REQUIRE_SLURM=1
export DESIPIPE_REQUIRE_GRIDENGINE=1
exec "$PYTHON" -m pytest -m "$marks" -n "${JOBS:-2}" --dist loadscope "$@"
