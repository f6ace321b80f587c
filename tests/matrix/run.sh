#!/usr/bin/env bash
# Run the tests with other versions than today's newest:
#
#   run.sh [--core | --slurm | --netfs] [NAME...]
#
#   lowest      this Python with the oldest dependencies that pyproject.toml allows (lowest.txt)
#   no-cgroups  this machine's Slurm, which follows processes by their parents, as many clusters do
#   SUITE       a Debian (trixie: Python 3.13; forky: 3.14), in a root folder of its own, with the
#               newest dependencies
#
# Without names: all three, with trixie. --core runs what depends on versions most, and nothing whose
# outcome depends on time; --slurm and --netfs the tests on a Slurm and on network filesystems, those
# of the Debian. What can not be run here is left out and said so; MATRIX_REQUIRE=1 makes that an
# error.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
here=tests/matrix

marks='not nfs and not slurm and not gridengine and not netfs and not browser'
tests=(tests)
# What a Debian needs for them.
packages=
netfs='moosefs-master moosefs-chunkserver moosefs-client sshfs openssh-server fuse3'
case "${1:-}" in
--core)
    # Code objects, pickles, classes, displays, names in cells, records, files, locks.
    tests=(
        tests/test_identity.py tests/test_identity_values.py tests/test_serialize.py
        tests/test_carried_code.py tests/test_carried_modules.py tests/test_class_constructs.py
        tests/test_class_identity.py tests/test_config.py tests/test_display.py tests/test_io.py
        tests/test_file_manager.py tests/test_lock.py tests/test_segment.py tests/test_shell.py
        tests/test_other_systems.py tests/notebook/test_names.py tests/notebook/test_stored.py
        tests/notebook/test_widgets.py tests/record/test_forms.py tests/record/test_modules.py
        tests/record/test_verify.py
    )
    shift
    ;;
--slurm)
    marks='slurm'
    tests=(tests/slurm)
    packages="slurmctld slurmd slurmdbd slurm-client slurm-wlm-basic-plugins slurm-wlm-mysql-plugin
        munge mariadb-server-core mariadb-client-core"
    packages="$packages $netfs"  # one test is of jobs on such a filesystem
    shift
    ;;
--netfs)
    marks='netfs'
    tests=(tests/netfs)
    packages=$netfs
    shift
    ;;
esac

status=0
left_out() {  # WORDS
    printf '%s\n' '' "!!! LEFT OUT: matrix: $1" '' >&2
    [ -z "${MATRIX_REQUIRE:-}" ] || status=1
}
run() {  # NAME COMMAND...: pytest on the chosen tests, in the environment that the command enters
    local name=$1 code=0
    shift
    echo "=== matrix: $name"
    "$@" || code=$?
    case $code in
    0) ;;
    90) left_out "$name, for the reason above" ;;
    *) status=1 && echo "=== matrix: $name: FAILED" >&2 ;;
    esac
}

pytest=(-m pytest -q -p no:cacheprovider)
chosen=(-m "$marks" -n "${JOBS:-3}" --dist loadscope "${tests[@]}")
[ -z "$packages" ] || chosen=(-m "$marks" "${tests[@]}")

lowest() {
    [ -e .matrix/lowest/bin/python ] || "${PYTHON:-python3}" -m venv .matrix/lowest || return
    local python=$PWD/.matrix/lowest/bin/python
    # Where much is old, pip tries other versions of the rest for many minutes; uv takes seconds.
    "$python" -m pip install -qq uv || return
    "$python" -m uv pip install -q --python "$python" -c $here/lowest.txt -e '.[test,notebook]' || return
    PATH=$(dirname "$python"):$PATH "$python" "${pytest[@]}" "${chosen[@]}"
}

no_cgroups() {
    local python=$PWD/${VENV:-.venv}/bin/python program
    for program in sbatch slurmctld slurmd munged mariadbd unshare "$python"; do
        PATH=$PATH:/usr/sbin:/sbin command -v "$program" >/dev/null || {
            echo "There is no $program here; \`sudo make test\` installs what Slurm needs." >&2
            return 90
        }
    done
    [ "$(id -u)" = 0 ] && unshare --mount --pid --fork --uts true 2>/dev/null || {
        echo 'A Slurm of the tests needs root, and namespaces.' >&2
        return 90
    }
    DESIPIPE_TESTS_WITHOUT_CGROUPS=1 DESIPIPE_REQUIRE_SLURM=1 "$python" "${pytest[@]}" \
        tests/slurm/test_jobs.py -k 'cancelled or killed_with or requeued or preempted'
}

debian() {  # SUITE
    # shellcheck disable=SC2016  # the shell in the Debian replaces these.
    $here/in_debian.sh "$1" bash -euc '
        packages=$1
        shift
        if [ -n "$packages" ]; then
            apt-get update -qq
            # Several packages: not quoted.
            DEBIAN_FRONTEND=noninteractive \
                apt-get install -y -qq --no-install-recommends $packages >/dev/null
            export DESIPIPE_REQUIRE_SLURM=1 DESIPIPE_REQUIRE_NETFS=1
        fi
        [ -e /root/matrix/bin/python ] || python3 -m venv /root/matrix
        export PATH=/root/matrix/bin:$PATH
        pip install -qq -U --upgrade-strategy eager -e ".[test,notebook]"
        exec python "$@"
    ' debian "$packages" "${pytest[@]}" "${chosen[@]}"
}

[ $# != 0 ] || set -- lowest no-cgroups trixie
for name in "$@"; do
    case $name in
    lowest) run "$name" lowest ;;
    no-cgroups) run "$name" no_cgroups ;;
    *) run "$name" debian "$name" ;;
    esac
done
exit "$status"
