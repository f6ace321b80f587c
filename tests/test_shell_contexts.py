"""Values in commands are data wherever bash would evaluate them, or they are refused."""

from __future__ import annotations

import re
import subprocess
import sys
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
PYTHON = sys.executable
NUMBERS = re.compile(r'-[0-9.]+(-[0-9.]+|\.txt)?')  # one, or two of one word
# Programs of other languages.
PROGRAMS = (
    'awk "BEGIN {{ print {v} }}"',
    'awk \'BEGIN {{ print "{v}" }}\'',
    "echo x | awk '/{v}/ {{ print }}'",
    'x={v}; awk "BEGIN {{ print $x }}"',
    'x=({v} b); awk "BEGIN {{ print ${{x[0]}} }}"',
    'for x in {v}; do awk "BEGIN {{ print \\"$x\\" }}"; done',
    'f() {{ awk "BEGIN {{ print $1 }}"; }}; f {v}',
    'A=awk; $A "BEGIN {{ print {v} }}"',
    'while read -r x; do awk "BEGIN {{ print $x }}"; done <<< {v}',
    'awk -f <(echo {v}) /dev/null',
    'echo x | xargs -I@ awk "BEGIN {{ print {v} }}"',
    'perl -e "print {v}"',
    'perl -e \'print "{v}"\'',
    'echo a | perl -pe "s/a/{v}/"',
    'echo a | perl -pe "s/a/{v}/e"',
    'echo a | perl -pe "s/{v}/a/"',
    "perl -ne 'print' {v}",
    "perl -e 'print while <>' {v}",
    'perl -M{v} -e 1',
    'perl <<< {v}',
    'perl <<EOF\nprint "{v}";\nEOF',
    'echo {v} | perl',
    '{{ echo 1; echo {v}; }} | perl -',
    'if true; then echo {v}; fi | perl',
    '(echo {v}) 2>&1 | cat | perl 2>/dev/null',
    'perl <(echo {v})',
    'echo {v} > >(perl); wait',
    'echo {v} | xargs -d@ perl -e',
    f'{PYTHON} -c "print({{v}})"',
    f"{PYTHON} - <<'EOF'\nprint('{{v}}')\nEOF",
    'echo a | sed "s/a/{v}/"',
    'echo a | sed "s/a/{v}/e"',
    'echo a | sed "s/{v}/b/"',
    'echo a | sed "{v}"',
    'echo a | sed -n "1{v}"',
    "echo a | sed -e 's/a/b/' -e '{v}'",
    'make -s -f /dev/null X={v} --eval "x: ; echo \\$(X)" x',
    'env -S {v}',
    'bash <(echo {v})',
)
RUNS = 'touch PWNED'
PIECES = st.sampled_from(
    [
        *(
            'a[',
            'x[',
            'arr[',
            ']',
            f'$({RUNS})',
            f'`{RUNS}`',
            f'${{x:-$({RUNS})}}',
            f'<({RUNS})',
            f'$(({RUNS}))',
            f'; {RUNS};',
            f'\n{RUNS}\n',
        ),
        *(
            f'\nEOF)"; {RUNS}; : "',
            f'\nEOF\n{RUNS}\n',
            f"'; {RUNS}; '",
            f'"; {RUNS}; "',
            f'system("{RUNS}")',
            f'"; system("{RUNS}"); "',
            f'system+q,{RUNS},',
            f'qx.{RUNS}.',
            f'__import__("os").system("{RUNS}")',
            f"');__import__('os').system('{RUNS}');('",
            f'/e; s/.*/{RUNS}/e;',
            f'e {RUNS}',
            f'{RUNS} |',
            f'$(shell {RUNS})',
            'wPWNED',
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


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(value=HOSTILE)
@example(value=f'a[$({RUNS})]')
@example(value=f'a[`{RUNS}`]')
@example(value=f'EOF)"; {RUNS}; : "')
@example(value=f'$({RUNS})')
@example(value=f'x; {RUNS}')
@example(value=f"'; {RUNS}; '")
@example(value=f'"; system("{RUNS}"); "')
@example(value=f'system("{RUNS}")')
@example(value='system+q,touch,,q,PWNED,')
@example(value=f'{RUNS} |')
@example(value=RUNS)
@example(value='wPWNED')
@example(value='e')
def test_value_is_never_run(value: str, tmp_path: Path) -> None:
    for template in EVALUATED + PROGRAMS:
        try:
            command = fill(template, {'v': value})
        except CellError as error:
            assert 'Nothing was run' in str(error) or 'nothing was' in str(error)
            continue
        subprocess.run(
            ['/bin/bash', '-c', command],
            cwd=tmp_path,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=60,
        )
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
        "awk -v x={v} '{{ print x }}' file",
        "awk '{{ print $x }}' file; x={v}",
        'awk -f program.awk {v}',
        'python -c "import sys; print(sys.argv)" {v}',
        'python -m package --title "{v}" <<< {v}',
        'python - "{v}" <<EOF\nimport sys\nEOF',
        'cat {v} | python fit.py | sort',
        "perl -e 'print $ARGV[0]' {v}",
        'jq --arg x {v} ".a" file',
        'grep -e "python -c {v}" file',
        'echo {v} | awk "{{ print }}" | sed "s/a/b/"',
        'printf "%s" {v} | tee file | python -c "import sys"',
        'x=$(date); awk "BEGIN {{ print \\"$x\\" }}"; echo {v}',
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


@pytest.mark.parametrize(
    ('template', 'values', 'refused'),
    [
        ('awk "BEGIN {{ print {v} }}"', ('5', '-1.5e3', 'x'), ('x y', 'a/b', '007', 'f(x)')),
        ('awk "BEGIN {{ print \\"{v}\\" }}"', ('a b', 'a/b.txt', 'é'), ('a"b', 'a\\b')),
        ('python <<EOF\nx = "{v}"  # it\'s\nEOF', ('a b', 'a/b.txt'), ('a"', "'", '$x')),
        ('python -c "y = x-{v}"', ('5',), ('-5',)),
        ('python -c "run_{v}(1)"', ('007', 'a'), ('a b',)),
        ('perl -e "print {v}"', ('5',), ('unlink', 'qx.x.')),
        ('sed "s/a/{v}/g; s|x|{v}|"', ('a b', 'c'), ('a/b', 'a&b', 'a|b')),
        ('sed "s|a|{v}|" f', ('a/b.txt',), ('a|b',)),
        ('sed -n "{v}p"', ('5',), ('e', 'w')),
        ('echo "{v} * 2" | bc -l', ('0.5',), ('a b',)),
        ('sqlite3 db "select * from t where x = \'{v}\'"', ('a b',), ("a'b",)),
    ],
)
def test_values_in_programs_are_numbers_names_or_plain_text(
    template: str, values: tuple[str, ...], refused: tuple[str, ...]
) -> None:
    for value in values:
        assert value in fill(template, {'v': value})
    for value in refused:
        with pytest.raises(CellError, match='a program of .*Nothing was run'):
            fill(template, {'v': value})


def test_refused_value_of_a_program_is_told_another_way() -> None:
    with pytest.raises(CellError) as info:
        fill('echo\nawk "BEGIN {{ print {x} }}"', {'x': 'a b'})
    assert "Line 3 of the cell: {x} is 'a b'" in str(info.value)
    assert str(info.value).endswith('Pass it as a variable: awk -v x={x}')


def test_fill_names_forbidden_characters() -> None:
    with pytest.raises(
        CellError,
        match=(
            r'Line 3 of the cell: \{n\} is .a\[\$\(x\)\].\. .* expanded once more.*must not have '
            r'\$, ` or <\(\. Nothing was run'
        ),
    ):
        fill('echo\nif [[ {n} -gt 100 ]]; then echo big; fi', {'n': 'a[$(x)]'})
    with pytest.raises(
        CellError,
        match=(
            r'read as commands again.* may only have letters, digits and _@%\+=:,\./-\. Nothing '
            r'was run'
        ),
    ):
        fill('sh -c "echo {n}"', {'n': 'a b'})
    assert (
        fill('if [[ {n} -gt 100 ]]; then echo big; fi', {'n': 120})
        == 'if [[ 120 -gt 100 ]]; then echo big; fi'
    )
    assert fill('sh -c "echo {n}"', {'n': 'a/b.txt'}) == 'sh -c "echo a/b.txt"'


# Places where `prog` may take an option: of values, of what a shell keeps of them, of lists.
OPTIONS = (
    'prog {v}',
    'prog "{v}"',
    "prog '{v}'",
    "prog $'{v}'",
    'prog "{v}.txt"',
    'prog {v}{v}',
    'prog x {v}',
    'prog -f {v}',
    'A=1 prog {v}',
    'env A=1 prog {v}',
    'if prog {v}; then :; fi',
    'true && prog {v}',
    '! prog {v} | cat',
    'prog > out {v}',
    'prog <<< x {v}',
    'x=$(prog {v})',
    'prog $(echo x; prog {v})',
    'prog "$(printf %s {v})"',
    'x={v}; prog $x',
    'x="{v}"; y=$x; prog "${y}"',
    'x=({v} b); prog "${x[@]}"',
    'for x in {v}; do prog "$x"; done',
    'f() { prog "$1"; }; f {v}',
    'read -r x <<< {v}; prog "$x"',
    'prog "$EMPTY{v}"',
    'set {v}',
)
NO_OPTIONS = (
    'prog -- {v}',
    'prog a -- b "{v}"',
    'prog ./{v}',
    'prog --file={v}',
    'prog "--file={v}"',
    'prog A={v}',
    'prog > {v}',
    'prog <<< {v}',
    'prog <<EOF\n{v}\nEOF',
    'x={v}',
    'X={v} prog',
    "printf '%s' {v}",
    '[ {v} = a ]',
    '[[ {v} == a ]]',
    'case {v} in a) ;; esac',
    'for x in {v}; do :; done',
    'echo {v}',
)


@pytest.mark.parametrize('template', OPTIONS)
def test_value_is_no_option(template: str, tmp_path: Path) -> None:
    for value in ('-rf', '--force', '--', '-o/etc/x', '-1a', '-inf', '-\n', ['a', '-r']):
        with pytest.raises(CellError, match='as an option. Nothing was run. .*./{v}'):
            fill(template, {'v': value})
    for value in ('-5', '-1.5e3', '-.5', 'a-b', '', 'a', ['a', '-2']):
        fill(template, {'v': value})


def test_dash_is_the_standard_input_or_no_word() -> None:
    assert fill('prog {v}', {'v': '-'}) == "prog '-'"
    for template in ('prog {v}r', 'prog {v}{w}', 'x="{v}r"; prog $x'):
        with pytest.raises(CellError, match='as an option'):
            fill(template, {'v': '-', 'w': 'r'})
    for value in ('a -r', '-r'):
        with pytest.raises(CellError, match='as an option'):
            fill('x={v}; prog a$x', {'v': f'{value} {value}'})
    assert fill('x={v}; prog "a$x"', {'v': 'a -r'}).startswith("x='a -r'")


@pytest.mark.parametrize('template', NO_OPTIONS)
def test_value_may_begin_with_a_dash_where_no_option_is(template: str) -> None:
    for value in ('-rf', '--force', '-x y'):
        assert value in fill(template, {'v': value})


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(value=st.text('-abx=1. \n', max_size=5))
def test_programs_get_no_options_of_values(value: str, tmp_path: Path) -> None:
    program = tmp_path / 'prog'
    program.write_text('#!/bin/sh\nprintf "%s\\0" "$@" >> "$ARGUMENTS"\n')
    program.chmod(0o755)
    arguments = tmp_path / 'arguments'
    environ = {'PATH': f'{tmp_path}:/usr/bin:/bin', 'ARGUMENTS': str(arguments)}
    for template in OPTIONS[:-1]:
        try:
            command = fill(template.replace('-f ', ''), {'v': value})
        except CellError:
            continue
        arguments.unlink(missing_ok=True)
        subprocess.run(['/bin/bash', '-c', command], cwd=tmp_path, env=environ, timeout=60)
        data = arguments.read_text() if arguments.exists() else ''
        options = [word for word in data.split('\0') if word.startswith('-') and word != '-']
        assert all(NUMBERS.fullmatch(word) for word in options), (template, command, options)
