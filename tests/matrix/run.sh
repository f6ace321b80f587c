#!/usr/bin/env bash
# Run the tests with other versions than today's newest: run.sh [--core] [lowest] [SUITE...]
#
# `lowest` is this Python with the oldest dependencies that pyproject.toml allows (lowest.txt). A suite of
# Debian (trixie: Python 3.13; forky: 3.14) is that Debian with the newest dependencies, in a root folder
# of its own. --core runs what depends on versions most, and leaves out the browser, Slurm and network filesystems.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
here=tests/matrix

marks='not nfs and not slurm and not netfs and not browser'
tests=(tests)
if [ "${1:-}" = --core ]; then
    shift
    # What versions of Python and of libraries change: code objects, pickles, displays, kernels, records, locks.
    tests=(
        tests/test_identity.py tests/test_identity_values.py tests/test_serialize.py tests/test_carried_code.py
        tests/test_carried_modules.py tests/test_class_constructs.py tests/test_class_identity.py
        tests/test_config.py tests/test_cli.py tests/test_display.py tests/test_io.py tests/test_file_manager.py
        tests/test_journal.py tests/test_lock.py tests/test_pi.py tests/test_segment.py tests/test_shell.py
        tests/notebook tests/record tests/transport tests/usercode
    )
fi

status=0
run() {  # NAME COMMAND...: pytest on the chosen tests, in the environment that the command enters
    local name=$1
    shift
    echo "=== matrix: $name"
    "$@" || { status=1; echo "=== matrix: $name: FAILED" >&2; }
}

pytest=(-m pytest -q -p no:cacheprovider -m "$marks" -n "${JOBS:-2}" --dist loadscope)
[ $# != 0 ] || set -- lowest trixie
for name in "$@"; do
    if [ "$name" = lowest ]; then
        [ -e .matrix/lowest/bin/python ] || "${PYTHON:-python3}" -m venv .matrix/lowest
        run lowest bash -euc '
            python=$1
            shift
            # Where much is old, pip tries other versions of the rest for many minutes; uv takes seconds.
            "$python" -m pip install -q uv
            "$python" -m uv pip install -q --python "$python" -c tests/matrix/lowest.txt -e ".[test,notebook]"
            PATH=$(dirname "$python"):$PATH exec "$python" "$@"
        ' lowest "$PWD/.matrix/lowest/bin/python" "${pytest[@]}" "${tests[@]}"
    else
        run "$name" "$here/in_debian.sh" "$name" bash -euc '
            [ -e /root/matrix/bin/python ] || python3 -m venv /root/matrix
            export PATH=/root/matrix/bin:$PATH
            pip install -q -e ".[test,notebook]"
            exec python "$@"
        ' "$name" "${pytest[@]}" "${tests[@]}"
    fi
done
exit "$status"
