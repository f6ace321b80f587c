#!/usr/bin/env bash
# install_packages.sh NAME...: install those Debian packages that are missing, where that is possible.
# Prints the names of those that still are. Services that they bring are not started: tests start
# daemons of their own.
set -euo pipefail

missing=()
for name in "$@"; do
    dpkg-query -W -f='${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || missing+=("$name")
done
if [ ${#missing[@]} -gt 0 ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing with apt-get: ${missing[*]}" >&2
    policy=/usr/sbin/policy-rc.d  # what Debian asks before it starts a service
    if [ ! -e "$policy" ]; then
        trap 'rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    if apt-get update -qq >&2 && DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 "${missing[@]}" >/dev/null; then
        missing=()
    fi
fi
echo "${missing[*]:-}"
