#!/usr/bin/env bash
# Install the wheel as users do, and run the demo with it: install.sh [WHEEL]
#
# A bare environment; pipx; uv tool; a folder on PYTHONPATH; an environment that is read-only, for a
# user without a home who may write to the folder of the queue alone. Without WHEEL: built from here.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
export PIP_DISABLE_PIP_VERSION_CHECK=1
status=0

# Nothing of the environment that make has put first on PATH.
PATH=$(tr : '\n' <<<"$PATH" | grep -vx "$PWD/.*" | paste -sd :)
unset PYTHONPATH VIRTUAL_ENV

"$python" -m venv "$work/tools"
"$work/tools/bin/pip" install -qq pipx uv
wheel=${1:-}
if [ -z "$wheel" ]; then
    # Without the JupyterLab side, which takes Node and minutes; `make release` builds it.
    SKIP_JUPYTER_BUILDER=1 "$work/tools/bin/pip" wheel -qq --no-deps -w "$work" .
    wheel=$(echo "$work"/desipipe-*.whl)
fi
wheel=$(realpath "$wheel")

try() {  # NAME COMMAND...: the demo of a desipipe that was installed, in a folder of its own
    local name=$1 code=0 log=$work/log
    shift
    mkdir -p "$work/queues/$name"
    (cd "$work/queues/$name" && TMPDIR=$work/queues/$name timeout 120 "$@") >"$log" 2>&1 || code=$?
    if [ $code = 0 ]; then
        echo "=== installed: $name: the demo ran"
    else
        status=1
        cat "$log" >&2
        echo "=== installed: $name: FAILED" >&2
    fi
}

"$python" -m venv "$work/bare"
"$work/bare/bin/pip" install -qq "$wheel"
"$work/bare/bin/pip" check >/dev/null || status=1
try bare "$work/bare/bin/desipipe" demo

export PIPX_HOME=$work/pipx PIPX_BIN_DIR=$work/pipx-bin UV_TOOL_DIR=$work/uv UV_TOOL_BIN_DIR=$work/uv-bin
"$work/tools/bin/pipx" install -q --python "$python" "$wheel" >/dev/null 2>&1
try pipx "$PIPX_BIN_DIR/desipipe" demo
"$work/tools/bin/uv" tool install -q --python "$python" "$wheel"
try uv-tool "$UV_TOOL_BIN_DIR/desipipe" demo

"$work/bare/bin/pip" install -qq --target "$work/target" "$wheel"
try target env PYTHONPATH="$work/target" "$python" -m desipipe demo

# A user who owns nothing here: the mode bits hold for them, which root is not bound by. Their Python
# may not lie in root's home. By its path: a name would be looked for further along PATH.
user=(setpriv --reuid 65534 --regid 65534 --clear-groups env HOME=/nonexistent)
theirs=
for candidate in "$(command -v "$python")" /usr/bin/python3; do
    [ -n "$theirs" ] || ! "${user[@]}" "$candidate" -c 'import ensurepip' 2>/dev/null || theirs=$candidate
done
if [ -n "$theirs" ]; then
    chmod 755 "$work" "$work/queues"
    "$theirs" -m venv "$work/read-only"
    "$work/read-only/bin/pip" install -qq --no-compile "$wheel"
    mkdir "$work/queues/read-only"
    chown 65534:65534 "$work/queues/read-only"
    try read-only "${user[@]}" "$work/read-only/bin/desipipe" demo
else
    echo '!!! LEFT OUT: installed: read-only: it needs root, and a Python that other users may run' >&2
    [ -z "${MATRIX_REQUIRE:-}" ] || status=1
fi
exit $status
