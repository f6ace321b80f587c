"""Values in commands are data wherever bash would evaluate them, or they are refused."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from desipipe.errors import CellError
from desipipe.execution.shell_contexts import Allowed, allowed
from desipipe.execution.shell_template import fill

EVALUATED = (
    '[[ {v} -eq 1 ]]',
    'if [[ 1 -gt {v} ]]; then :; fi',
    '[[ "{v}" -lt 3 ]]',
    '(( x = {v} ))',
    'echo $(( {v} + 1 ))',
    'let x={v}',
    'let \'y = 1\' "x={v}"',
    'declare -i x={v}',
    'declare -i x; x={v}',
    'f() { local -i y={v}; }; f',
    'typeset -i n="{v}"; echo $n',
    'declare {v}=1',
    'export {v}',
    'readonly {v}=2',
    'unset {v}',
    'a[{v}]=1',
    'x[{v}]+=1',
    'arr=([{v}]=1)',
    'declare -A m; m["{v}"]=1',
    'x=abc; i={v}; echo ${x:i:1}',
    'x=abc; i={v}; echo ${x:$i}',
    'arr=(1 2); i={v}; echo ${arr[i]}',
    'arr=(1 2); i={v}; echo "${arr[$i]}"',
    '[[ -v {v} ]]',
    'test -v {v}',
    '[ ! -v {v} ]',
    'printf -v {v} x',
    'read {v} <<< x',
    'read -r x <<< {v}; echo $((x))',
    'mapfile -t {v} </dev/null',
    'declare -n r={v}; echo $r',
    'x={v}; echo $((x))',
    'x={v}; y=x; echo $((y))',
    'x={v}; [[ $x -eq 1 ]]',
    'x={v}; echo ${!x}',
    'x={v}; echo "${x@P}"',
    'PS4={v}; set -x; :',
    'echo x >&{v}',
    'compgen -W {v} a',
    'for ((i={v}; i<1; i++)); do :; done',
    'echo $[{v}]',
    'v="$(cat <<\'EOF\'\n{v}.\nEOF\n)"',
    'v="$(cat <<EOF\n{v}.\nEOF\n)"',
    # Read as commands again.
    'trap {v} EXIT',
    "trap 'echo {v}' EXIT",
    'x={v}; trap "$x" EXIT',
    'eval echo {v}',
    'x={v}; eval "echo $x"',
    'alias x={v}',
    'sh -c {v}',
    'sh -c "echo {v}"',
    "sh -c 'echo {v}'",
    'bash -ec "echo {v}"',
    'x={v}; env sh -c "echo $x"',
    'echo {v} | sh',
    'printf "%s\\n" {v} | tail -n 1 | bash',
    'bash <<< {v}',
    "sh <<'EOF'\necho {v}\nEOF",
    'source <(echo {v})',
    '. /dev/stdin <<< {v}',
)
RUNS = 'touch PWNED'
PIECES = st.sampled_from(
    [
        *('a[', 'x[', 'arr[', ']', f'$({RUNS})', f'`{RUNS}`', f'${{x:-$({RUNS})}}', f'<({RUNS})', f'$(({RUNS}))', f'; {RUNS};', f'\n{RUNS}\n'),
        *(
            f'\nEOF)"; {RUNS}; : "',
            f'\nEOF\n{RUNS}\n',
            f"'; {RUNS}; '",
            f'"; {RUNS}; "',
            f' && {RUNS}',
            f'|{RUNS}',
            '+',
            '0',
            '=',
            '$',
            '`',
            '\\',
            "'",
            '"',
            'b',
            ' ',
        ),
    ]
)
HOSTILE = st.lists(PIECES, min_size=1, max_size=4).map(''.join)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(value=HOSTILE)
@example(value=f'a[$({RUNS})]')
@example(value=f'a[`{RUNS}`]')
@example(value=f'EOF)"; {RUNS}; : "')
@example(value=f'$({RUNS})')
@example(value=f'x; {RUNS}')
@example(value=f"'; {RUNS}; '")
def test_a_value_is_never_run(value: str, tmp_path: Path) -> None:
    for template in EVALUATED:
        try:
            command = fill(template, {'v': value})
        except CellError as error:
            assert 'Nothing was run' in str(error) or 'nothing was' in str(error)
            continue
        subprocess.run(['/bin/bash', '-c', command], cwd=tmp_path, capture_output=True, stdin=subprocess.DEVNULL, timeout=60)
        assert not (tmp_path / 'PWNED').exists(), (template, command)


@pytest.mark.parametrize(
    'template',
    [
        'python fit.py --title {v} > out.txt 2>&1',
        'for f in *.txt; do grep -v {v} "$f"; done',
        'echo {v} | sort -n | tail -n 1',
        'eval "$(conda shell.bash hook)"; echo {v}',
        "trap 'rm -f tmp' EXIT; echo {v}",
        'bash -c \'echo "$1"\' _ {v}',
        'if [ -f {v} ]; then cat {v}; fi',
        'x=(1 2); echo ${x[0]} ${x[@]} {v}',
        'module load python; srun -n 4 python run.py {v}',
        'srun -c {v} program',
        'ls | xargs rm; echo {v}',
        'flock -x lock cat {v}',
        'cat <<EOF > file\n{v}\nEOF',
    ],
)
def test_ordinary_cells_take_any_text(template: str) -> None:
    assert allowed(template) is Allowed.TEXT
    fill(template, {'v': 'costs $5 (`about`) [a-z]+$'})


@pytest.mark.parametrize(
    'template',
    [
        'xargs -I@ sh -c "echo @" < {v}',
        'parallel bash -c "{{}}" ::: {v}',
        'find . -exec sh -c "cat $1" _ {v} +',
        'su -c {v} other',
        'script -qec {v} out',
        'flock lock -c {v}',
        'watch -n 1 {v}',
    ],
)
def test_values_that_reach_an_inner_shell_are_plain_words(template: str) -> None:
    assert allowed(template) is Allowed.PLAIN
    with pytest.raises(CellError, match='Nothing was run'):
        fill(template, {'v': '$(touch PWNED)'})


def test_what_a_value_may_not_hold_is_said() -> None:
    with pytest.raises(CellError, match=r'line 3 of the cell: \{n\} is .a\[\$\(x\)\].; .* expanded once more.*must not have \$, ` or <\(\. Nothing was run'):
        fill('echo\nif [[ {n} -gt 100 ]]; then echo big; fi', {'n': 'a[$(x)]'})
    with pytest.raises(CellError, match=r'read as commands again.* may only have letters, digits and _@%\+=:,\./-\. Nothing was run'):
        fill('sh -c "echo {n}"', {'n': 'a b'})
    assert fill('if [[ {n} -gt 100 ]]; then echo big; fi', {'n': 120}) == 'if [[ 120 -gt 100 ]]; then echo big; fi'
    assert fill('sh -c "echo {n}"', {'n': 'a/b.txt'}) == 'sh -c "echo a/b.txt"'
