#!/usr/bin/env bash
# Run all tests that can run here, and say which cannot and why. `make test` calls it.
#
#   tests/run.sh [PYTEST ARGUMENTS]     without arguments, jest runs first
#
# Environment variables:
#   LAB, NETFS, SLURM, GRIDENGINE
#                       tests of the JupyterLab side, on network filesystems, on a real Slurm, on a
#                       real Grid Engine: `auto` runs them where they can run, `1` demands them,
#                       `0` leaves them out
#   JOBS                tests at once; 0: one after the other in this process
#   PYTHON, JLPM        how to call them
#
# As root, missing Debian packages are installed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

PYTHON=${PYTHON:-.venv/bin/python}
JLPM=${JLPM:-.venv/bin/jlpm}
LAB_PACKAGES=(chromium-headless-shell fonts-dejavu-core)
NETFS_PACKAGES=(moosefs-master moosefs-chunkserver moosefs-client iproute2 sshfs openssh-server fuse3)
SLURM_PACKAGES=(slurmctld slurmd slurmdbd slurm-client slurm-wlm-basic-plugins munge
    mariadb-server-core mariadb-client-core)
GRIDENGINE_PACKAGES=(gridengine-master gridengine-exec gridengine-client)

# What pytest selects: every test but those that need what is missing here.
marks='not nfs'

# leave_out MARK SETTING TESTS REASON: report it; if SETTING demands the tests, end without any.
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

run_jest() {
    make --no-print-directory node_modules/.installed
    YARN_NPM_REGISTRY_SERVER=${YARN_NPM_REGISTRY_SERVER:-$(npm config get registry 2>/dev/null)} \
        "$JLPM" test
}

# prepare_jupyter_side [PYTEST ARGUMENTS]: run jest, and make ready what the browser's tests need.
prepare_jupyter_side() {
    local setting=${LAB:-auto} tests='the tests of the JupyterLab side, in jest and in a browser'
    local missing
    if [ "$setting" = 0 ]; then
        leave_out browser 0 "$tests" 'LAB=0 was asked for'
        return
    fi
    has_node || tests/install_packages.sh nodejs npm >/dev/null
    if ! has_node; then
        leave_out browser "$setting" "$tests" 'Node 20 or later is missing and could not be installed'
        return
    fi
    [ $# != 0 ] || run_jest
    make --no-print-directory jupyter_ext/labextension/package.json
    if [ -z "${CHROMIUM:-}" ]; then
        missing=$(tests/install_packages.sh "${LAB_PACKAGES[@]}")
        [ -z "$missing" ] || command -v chromium-headless-shell chromium >/dev/null ||
            leave_out browser "$setting" 'the tests in a browser' "Debian packages are missing: $missing"
    fi
}

# why_not_isolated NAMESPACES DEVICE PACKAGE...: print why tests with daemons of their own, between
# network and mount namespaces, cannot run here; print nothing if they can.
why_not_isolated() {
    local namespaces=$1 device=$2 missing
    shift 2
    if [ "$(id -u)" != 0 ]; then
        echo 'they need root. Try: sudo make test'
    elif ! unshare $namespaces true 2>/dev/null; then  # several options: not quoted
        echo 'this root may not make namespaces (a container?)'
    elif [ ! -e "$device" ]; then
        echo "there is no $device (a container?)"
    else
        missing=$(tests/install_packages.sh "$@")
        [ -z "$missing" ] || echo "Debian packages are missing and could not be installed: $missing"
    fi
}

# prepare_isolated MARK SETTING TESTS NAMESPACES DEVICE PACKAGE...: leave out what cannot run here.
prepare_isolated() {
    local mark=$1 setting=$2 tests=$3 why='they were not asked for'
    shift 3
    [ "$setting" = 0 ] || why=$(why_not_isolated "$@")
    [ -z "$why" ] || leave_out "$mark" "$setting" "$tests" "$why"
}

prepare_jupyter_side "$@"
prepare_isolated netfs "${NETFS:-auto}" 'the tests on network filesystems, where hosts share a queue' \
    '--mount --net --uts' /dev/fuse "${NETFS_PACKAGES[@]}"
prepare_isolated slurm "${SLURM:-auto}" 'the tests on a real Slurm' \
    '--mount --pid --fork --uts' /dev/null "${SLURM_PACKAGES[@]}"
prepare_isolated gridengine "${GRIDENGINE:-auto}" 'the tests on a real Grid Engine' \
    '--mount --pid --fork' /dev/null "${GRIDENGINE_PACKAGES[@]}"

# Tests start thousands of Python processes: without files of bytecode each compiles all it imports.
unset PYTHONDONTWRITEBYTECODE
# What was prepared must not be skipped (see tests/conftest.py).
export DESIPIPE_TESTS_COMPLETE=1 DESIPIPE_REQUIRE_NETFS=1 DESIPIPE_REQUIRE_SLURM=1
export DESIPIPE_REQUIRE_GRIDENGINE=1
exec "$PYTHON" -m pytest -m "$marks" -n "${JOBS:-3}" --dist loadscope "$@"
