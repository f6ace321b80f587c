"""Values in commands: whatever the quotes they stand in, the shell gets them as they are."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from desipipe.errors import CellError
from desipipe.execution.shell_template import fill, placeholders

# Each prints the value, and a NUL; commands in it would run.
CONTEXTS = (
    "printf '%s\\0' {p}",
    'printf \'%s\\0\' "{p}"',
    "printf '%s\\0' '{p}'",
    "printf '%s\\0' $'{p}'",
    'printf \'%s\\0\' $"{p}"',
    'v={p}; printf \'%s\\0\' "$v"',
    'v="{p}"; printf \'%s\\0\' "${v}"',
    # What goes before is not to swallow it, nor to escape it.
    "printf '%.0s%s\\0' x '' >/dev/null; e=; printf '%s\\0' $e{p}",
    'e=; printf \'%s\\0\' "$e{p}"',
    "e=; cat <<EOF; printf '\\0'\n$e{p}\\\n\nEOF",
    'v="\\{p}"; printf \'%s\\0\' "${v#?}"',
    "v=$'\\{p}'; printf '%s\\0' \"${v#?}\"",
    "v=$'\\x4{p}'; printf '%s\\0' \"${v#?}\"",
    'v=~{p}; printf \'%s\\0\' "${v#?}"',
    # Command substitutions; a dot keeps the ends of lines at the end.
    'v="$(printf %s. "{p}")"; printf \'%s\\0\' "${v%.}"',
    'v=$(printf %s. "$(printf %s. "{p}")" | cat); printf \'%s\\0\' "${v%..}"',
    "v=$(printf %s. '{p}'); printf '%s\\0' \"${v%.}\"",
    'v="$(case x in (y) ;; x) printf %s. {p} ;; esac)"; printf \'%s\\0\' "${v%.}"',
    'v=$(\n# it\'s a ")" {p}\necho case >/dev/null; printf %s. {p})\nprintf \'%s\\0\' "${v%.}"',
    "(printf '%s\\0' {p})",
    'x=(a {p}) # "\nprintf \'%s\\0\' "${x[1]}"',
    "printf '%s\\0' {p} # it's {p} \" `",
    'n=$#; printf \'%s\\0\' ${e:+""}{p}',
    'e=; printf \'%s\\0\' "${e:-}"{p}',
    ': "${e:-it\'s\'}"; printf \'%s\\0\' "{p}"',
    # Heredocs.
    "cat <<EOF\n{p}\nEOF\nprintf '\\0'",
    "cat <<'EOF'\n{p}\nEOF\nprintf '\\0'",
    "cat <<\\EOF; printf '\\0'\n{p}\nEOF\nprintf \"\" '{p}' | cat",
    "cat <<-EOF\n\t{p}\n\tEOF\nprintf '\\0'",
    "cat <<-'EOF'\n\t{p}\n\tEOF\nprintf '\\0'",
    (
        'cat <<EOF; printf \'\\0\'\n$(printf %s. {p} >/dev/null; printf %s "{p}" >/dev/null; cat '
        '<<<{p})\nEOF'
    ),
    "cat <<A >/dev/null; cat <<'B'; printf '\\0'\nit's \" {p}\nA\n{p}\nB",
    "(cat <<EOF\n{p}\nEOF\n); printf '\\0'",
    'v="$(cat <<\'EOF\'\n{p}.\nEOF\n)"; printf \'%s\\0\' "${v%.}"',
    "cat <<<{p}; printf '\\0'",
    'cat <<<"{p}"; printf \'\\0\'',
)
# Bash itself loses U+0001 in quoted heredocs within $(...).
TEXT = st.one_of(
    st.text(st.characters(exclude_characters='\0\1', exclude_categories=['Cs'])),
    st.text('ab \\\'"`$(){}[]<>;&|#!~*?=-\n\t\rEOF_1'),
    st.lists(
        st.sampled_from(
            [
                '\nEOF\n',
                '\nB\n',
                'EOF',
                '\\',
                '\\\n',
                '\n',
                '\t',
                "'",
                '"',
                '$(echo PWNED)',
                '`echo PWNED`',
                '${x}',
                '{p}',
                'a',
            ]
        )
    ).map(''.join),
)


def printed(command: str, folder: Path | None = None) -> str:
    done = subprocess.run(['/bin/bash', '-c', command], capture_output=True, timeout=60, cwd=folder)
    assert not done.stderr, done.stderr.decode()
    return done.stdout.decode()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(value=TEXT)
@example('$(echo PWNED)')
@example('x\nEOF\necho PWNED >&2\n')
@example('EOF\nB\nEOF_\n')
@example('\tx\n\ty\\')
@example('a\\\nb\\')
@example("'\"'\"'`$X\\\\")
@example('')
@example('2')
@example('-7')
def test_fill_keeps_any_text_in_any_quotes(value: str) -> None:
    lines = printed('\n'.join(fill(f'{template}\n', {'p': value}) for template in CONTEXTS)).split(
        '\0'
    )
    assert len(lines) == len(CONTEXTS) + 1
    for template, line in zip(CONTEXTS, lines, strict=False):
        kept = (
            value.rstrip('\n') if '$(' in template else value
        )  # which the shell takes from the end of what a command prints
        assert line in (value, value + '\n', kept + '\n') and ('<<' in template or line == value), (
            template
        )


def test_words() -> None:
    values = {'items': ['a b', '$HOME', '*'], 'n': 3, 'x': 0.5, 'none': []}
    assert printed(fill("printf '<%s>' {items} {x:.2f} {none}", values)) == '<a b><$HOME><*><0.50>'
    assert (
        printed(fill("printf '<%s>' \"{items}\" '{items}'", values)) == '<a b $HOME *><a b $HOME *>'
    )
    assert (
        printed(fill('echo {1..{n}} $(( {n} + 1 )) "$((2*({n})))" $[{n}]', values))
        == '1 2 3 4 6 3\n'
    )
    assert printed(fill('X=y; echo ${X} {{n}} "{{n}}" ${{X}}', values)) == 'y {n} {n} y\n'
    assert printed(fill('echo $((5-{n}))', {'n': -3})) == '8\n'


def test_number_is_no_file_descriptor(tmp_path: Path) -> None:
    assert printed(fill('echo {n}>file; cat file', {'n': 2}), tmp_path) == '2\n'


@pytest.mark.parametrize(
    ('template', 'message'),
    [
        (
            'echo\nx=`echo {p}`',
            (
                'Line 3 of the cell: {p} stands within backticks, where no value can be quoted '
                'safely. Nothing was added. Write $(...) instead'
            ),
        ),
        ('echo "`echo {p}`"', 'Write $(...) instead of backticks.'),
        ('echo ${x:-{p}}', 'Assign it first, as in value={p}, and write $value.'),
        ('echo "${x:-"{p}"}"', 'Assign it first'),
        ('echo ${x[{p}]}', 'Assign it first'),
        ('cat <<{p}\nx\n', 'in the word that ends a heredoc'),
        ('echo \\{p}', 'or write {{p}} for the braces'),
        ('cat <<EOF\n$(cat <<"X"\n{p}\nX\n)\nEOF', 'printf %s {p}'),
        ('cat <<EOF\n{p}\n EOF', 'whose last line is missing'),
        ('echo $((echo a) | cat) {p}', 'with a blank between'),
    ],
)
def test_placeholders_refuse_places_without_values(template: str, message: str) -> None:
    with pytest.raises(CellError, match='Nothing was added') as info:
        placeholders(template)
    assert message in str(info.value)


@pytest.mark.parametrize(
    'template',
    ['echo $(({p}))', '(( {p} ))', 'for ((i=0; i<{p}; i++)); do :; done', 'echo "$(("{p}"))"'],
)
def test_arithmetic_takes_numbers(template: str) -> None:
    assert printed(fill(template, {'p': 1})) == {'(': '', 'f': ''}.get(template[0], '1\n')
    with pytest.raises(CellError, match='takes whole numbers'):
        fill(template, {'p': 'a[$(echo PWNED)]'})


def test_placeholders() -> None:
    assert placeholders('# {no}\necho {a} ${b} {{c}}\necho "{d:.2f}" x#{e} # {f}') == {
        'a': 3,
        'd': 4,
        'e': 4,
    }
