"""Environments: what they hold, that Python and a real shell agree on it, and that nothing of a
value is ever run.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import hypothesis
import hypothesis.strategies as st
import pytest

from desipipe.environment import (
    BaseEnvironment,
    BaseNERSCEnvironment,
    CosmodesiNERSCEnvironment,
    Environment,
    bash_env,
    change_environ,
    get_environ,
)
from desipipe.errors import ConfigError, UnknownNameError, UnknownOptionError

# Values, and what `bash` makes of them after `export NAME=`.
SHELL_VALUES = {
    'PLAIN': ('a.b:c/d', 'a.b:c/d'),
    'DOUBLE_QUOTES': ('"--a --b"', '--a --b'),
    'SINGLE_QUOTES': ("'$HERE x'", '$HERE x'),
    'COMMAND': ('$(echo one two)', 'one two'),
    'BACKTICKS': ('`echo one`', 'one'),
    'IN_QUOTES': ('$(echo ")")x', ')x'),
    'ARITHMETIC': ('$((1 + 1))', '2'),
    'DEFAULT': ('${NOT_SET:-a b}', 'a b'),
    'REFERENCE': ('$HERE:b', 'here:b'),
    'ESCAPED': (r'\$HERE', '$HERE'),
    'GLOB': ('*?[a-z]#!', '*?[a-z]#!'),
    'EMPTY': ('', ''),
    'DASH': ('-n', '-n'),
    # What would end there is one value.
    'BLANKS': ('  a  b ', '  a  b '),
    'BLANKS_AND_REFERENCE': ('--dir $HERE', '--dir here'),
    'BLANKS_AND_COMMAND': ('a $(echo "b c")', 'a b c'),
    'NEWLINES': ('\n\na\nb\n', '\n\na\nb\n'),
    'SEMICOLON': ('a; touch ran & touch ran | touch ran', 'a; touch ran & touch ran | touch ran'),
    'JSON': ('{"a": [1, 2], "b": "it\'s"}', '{"a": [1, 2], "b": "it\'s"}'),
    'BRACES': ('{a,b}', '{a,b}'),
    'APOSTROPHE': ("it's", "it's"),
    'UNCLOSED': ('"a', '"a'),
    'UNCLOSED_COMMAND': ('a $(touch ran', 'a $(touch ran'),
    'BACKSLASH': ('\\', '\\'),
    'UNICODE': ('zoë ☃ \u2028 \x7f \x01 \u0301', 'zoë ☃ \u2028 \x7f \x01 \u0301'),
}


def message(kind: type[Exception], call: Any, *args: Any, **kwargs: Any) -> str:
    with pytest.raises(kind) as info:
        call(*args, **kwargs)
    return str(info.value)


def by_bash(
    environ: BaseEnvironment, cwd: Path, outside: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Environment of a process that a shell starts after the script."""
    outside = {'PATH': os.environ['PATH'], **(outside or {})}
    run = subprocess.run(
        ['bash', '--norc', '-c', f'{environ.to_launch_script()}env -0'],
        env=outside,
        cwd=cwd,
        capture_output=True,
        check=True,
    )
    assert run.stderr == b''
    return dict(item.decode().split('=', 1) for item in run.stdout.split(b'\0') if item)


# --- making one


class Own(BaseEnvironment):
    """An own environment, in a module that can be imported."""

    name = 'own-of-this-test'
    variables: ClassVar[dict[str, Any]] = {'A': 1, 'B': '$A'}
    commands = ('export C=3',)


def test_factory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Environment()
    assert type(plain) is BaseEnvironment and plain.to_spec() == {
        'name': 'base',
        'data': {},
        'command': [],
    }
    assert (
        Environment('base')
        == plain
        == Environment({})
        == Environment({'name': 'base'})
        == Environment(None)
    )
    assert get_environ is Environment
    for given in (
        Environment({'A': 1, 'B': 'b'}),
        Environment(data={'A': '1', 'B': 'b'}),
        Environment('base', {'A': '1', 'B': 'b'}),
        Environment({'name': 'base', 'data': {'A': 1, 'B': 'b'}}),
        Environment({'A': '1'}, data={'B': 'b'}),
        Environment({'data': {'A': 2}}, data={'A': 1, 'B': 'b'}),
    ):
        assert given == Environment(data={'A': '1', 'B': 'b'})
        assert {name: str(value) for name, value in given.data.items()} == {'A': '1', 'B': 'b'}
    assert Environment(command='true').command == Environment(command=['true']).command == ('true',)
    assert Environment({'command': 'true'}, command='false').command == ('true', 'false')
    assert Environment('own-of-this-test') == Own()


def test_existing_one() -> None:
    first = Environment({'A': '1'}, command='true')
    assert Environment(first) is first
    second = Environment(first, data={'B': '2'}, command='false')
    assert (second.data, second.command) == ({'A': '1', 'B': '2'}, ('true', 'false'))
    assert (first.data, first.command) == ({'A': '1'}, ('true',))
    assert first != second and first == {'A': '1'}
    assert type(Environment(Own(), data={'A': '2'})) is Own


def test_default_of_the_configuration(tmp_path: Path) -> None:
    assert Environment(config={'environ': 'nersc-base'}) == BaseNERSCEnvironment()
    config = {'environ': {'name': 'own-of-this-test', 'data': {'D': 4}, 'command': 'true'}}
    assert Environment(config=config) == Own(data={'D': 4}, command='true')
    # A dictionary of variables says nothing of the environment they are added to; a name does.
    assert Environment({'E': 5}, config=config) == Own(data={'D': 4, 'E': 5}, command='true')
    assert Environment('base', config=config) == BaseEnvironment()
    assert Environment(config={'environ': {'data': {'D': 4}}}) == Environment({'D': 4})


def test_configuration_file_is_read(queue_dir: Path) -> None:
    Path(os.environ['DESIPIPE_CONFIG_DIR'], 'config.yaml').write_text('environ: {data: {D: 4}}')
    assert Environment().data == {'D': 4}


def test_nersc() -> None:
    base = Environment('nersc-base')
    assert type(base) is BaseNERSCEnvironment
    assert base.to_dict() == {'DESICFS': '/global/cfs/cdirs/desi'}
    assert Environment('nersc-base', {'OMP_NUM_THREADS': 8}).to_dict() == {
        **base.to_dict(),
        'OMP_NUM_THREADS': 8,
    }
    cosmodesi = Environment('nersc-cosmodesi')
    assert type(cosmodesi) is CosmodesiNERSCEnvironment and cosmodesi.to_dict() == base.to_dict()
    assert cosmodesi.to_script().splitlines() == [
        'source /global/common/software/desi/users/adematti/cosmodesi_environment.sh main',
        'export DESICFS=/global/cfs/cdirs/desi',
    ]


@pytest.mark.parametrize(
    'environ',
    [
        Environment('base'),
        Environment('nersc-cosmodesi', {'A': 1, 'B': None}, 'x'),
        Own(data={'Z': '$A', 'A': '2'}, command=['a', 'b']),
    ],
)
def test_spec_and_back(environ: BaseEnvironment) -> None:
    spec = environ.to_spec()
    again = Environment(json.loads(json.dumps(spec)))
    assert (
        type(again) is type(environ)
        and again == environ
        and again.to_script() == environ.to_script()
    )
    spec['data']['LATER'] = '1'
    spec['command'].append('later')
    assert again == environ


def test_class_of_a_script_travels_as_base() -> None:
    class Mine(BaseNERSCEnvironment):
        name = 'mine-of-this-test'
        commands = ('export M=1',)

    own = Mine(data={'N': 2}, command='true')
    spec = own.to_spec()
    assert (spec['name'], spec['command'], spec['data']['DESICFS'], spec['data']['N']) == (
        'base',
        ['export M=1', 'true'],
        '/global/cfs/cdirs/desi',
        '2',
    )
    assert Environment(spec) == own
    assert Environment(spec).to_script() == own.to_script()
    assert type(Environment('mine-of-this-test')) is Mine


@pytest.mark.parametrize(
    ('kind', 'given', 'expected_text'),
    [
        (
            UnknownNameError,
            'nersc-cosmodes',
            (
                "There is no environment 'nersc-cosmodes'; did you mean nersc-cosmodesi, "
                'nersc-base? Valid names: base, '
            ),
        ),
        (UnknownNameError, {'name': 'xyz'}, "There is no environment 'xyz'; valid names: base, "),
        (
            UnknownOptionError,
            {'name': 'base', 'A': '1'},
            (
                "The environment 'base' has no option 'A'; valid options: command, data, secret, "
                'strict'
            ),
        ),
        (
            UnknownOptionError,
            {'name': 'nersc-base', 'dat': {}},
            "The environment 'nersc-base' has no option 'dat'; did you mean data? Valid options: ",
        ),
        (
            ConfigError,
            3,
            (
                'The environment must be a name, a dictionary with name and options, or a '
                'BaseEnvironment, not 3'
            ),
        ),
        (
            ConfigError,
            {'data': ['A']},
            (
                "Data of the environment 'base' must be a dictionary of names and values of "
                "variables, not ['A']"
            ),
        ),
        (
            ConfigError,
            {'A=B': '1'},
            (
                "'A=B' in data of the environment 'base' is no name of a variable: use letters, "
                'digits and underscores, no digit first'
            ),
        ),
        (
            ConfigError,
            {'A': ['1']},
            (
                "the variable A of the environment 'base' must be text, a number, or None to unset "
                "it, not ['1']"
            ),
        ),
        (ConfigError, {'A': b'1'}, 'must be text, a number, or None'),
        (
            ConfigError,
            {'A': 'a\0b'},
            (
                "the variable A of the environment 'base' holds a NUL character, which no "
                "environment can: 'a\\x00b'"
            ),
        ),
        (ConfigError, {'A': '\udcff'}, 'is not valid text'),
        (
            ConfigError,
            {'command': 3},
            (
                "Command of the environment 'base' must be shell commands, as text or a list of "
                'texts, not 3'
            ),
        ),
        (
            ConfigError,
            {'command': ['true', None]},
            "must be shell commands, as text or a list of texts, not ['true', None]",
        ),
        (ConfigError, {'command': 'a\0b'}, 'must be shell commands'),
    ],
)
def test_bad_ones(kind: type[Exception], given: Any, expected_text: str) -> None:
    assert expected_text in message(kind, Environment, given)


def test_bad_data_on_top() -> None:
    assert 'must be a dictionary' in message(ConfigError, Environment, 'base', data=['A'])
    assert 'must be a dictionary' in message(
        ConfigError, Environment, Environment({'A': '1'}), data=3
    )
    assert 'must be shell commands' in message(ConfigError, Environment, 'base', command=3)


@pytest.mark.parametrize(
    'name',
    ['', '1A', 'A B', 'A;touch ran', 'A\n', 'A$(touch ran)', 'é', 'BASH_FUNC_a%%', 'A-B', 3, None],
)
def test_bad_names(name: Any) -> None:
    assert 'is no name of a variable' in message(ConfigError, Environment, {name: '1'})


@pytest.mark.parametrize(
    ('value', 'text'),
    [(3, '3'), (0.5, '0.5'), (True, 'True'), (1e-30, '1e-30'), (Path('/a b'), '/a b'), ('', '')],
)
def test_values_are_kept_and_are_text_for_processes(value: Any, text: str) -> None:
    environ = Environment({'A': value})
    assert environ['A'] == environ.to_dict()['A'] == value and environ.to_spec()['data'] == {
        'A': text
    }
    assert environ.to_dict(all=True)['A'] == text and environ == Environment({'A': text})


def test_numbers_of_numpy_are_text_for_processes() -> None:
    numpy = pytest.importorskip('numpy')
    environ = Environment({'A': numpy.int64(3), 'B': numpy.float64(0.5)})
    assert environ.to_script() == 'export A=3\nexport B=0.5' and environ.to_dict()['A'] == 3


# --- what Python makes of it


def test_environments_are_dictionaries() -> None:
    environ = Environment('nersc-base')
    environ.update({'A': '1'}, B=2)
    environ['C'] = '$A'

    assert (
        dict(environ)
        == {'DESICFS': '/global/cfs/cdirs/desi', 'A': '1', 'B': 2, 'C': '$A'}
        == environ.to_dict()
    )
    assert (
        'A' in environ,
        environ.get('D', 0),
        environ.pop('B'),
        len(environ),
        list(environ.items())[1],
    ) == (True, 0, 2, 3, ('A', '1'))
    other = environ.clone({'A': '3'}, command='true')
    del other['C']
    assert (other['A'], environ['A'], 'C' in environ, other.command, environ.command) == (
        '3',
        '1',
        True,
        ('true',),
        (),
    )
    assert BaseEnvironment({'A': 1}, 'true') == Environment({'A': 1}, command='true')
    assert 'is no name of a variable' in message(ConfigError, environ.update, {'A B': 1})
    both = other | {'A': '4', 'Z': 5}
    assert (type(both), both['A'], both['Z'], other['A'], both.command) == (
        type(other),
        '4',
        5,
        '3',
        ('true',),
    )
    assert ({'A': '5', 'Y': 6} | other)['A'] == '3' and dict(
        BaseEnvironment.fromkeys(['K', 'L'], 1)
    ) == {'K': 1, 'L': 1}


def test_command_is_that_of_the_class_and_the_own(tmp_path: Path) -> None:
    assert Environment('own-of-this-test', command='true').command == ('export C=3', 'true')
    environ = Own()
    environ.update(command=['a', 'b'])
    assert environ.command == ('export C=3', 'a', 'b')


def test_subclasses_of_the_original_are_understood() -> None:
    class Theirs(BaseEnvironment):
        name = 'theirs-of-this-test'
        _defaults = {'A': '1'}
        _command = 'export B=2'

    environ = Environment('theirs-of-this-test', data={'C': '3'}, command='true')
    assert (dict(environ), environ.command) == ({'A': '1', 'C': '3'}, ('export B=2', 'true'))
    assert environ.to_script(sep=' ; ') == 'export B=2 ; true ; export A=1 ; export C=3'
    assert environ.to_script(all=False) == 'export A=1\nexport C=3'


def test_environment_spec_omits_removed_variables() -> None:
    environ = Own(data={'D': 1})
    del environ['A']
    again = Environment(json.loads(json.dumps(environ.to_spec())))

    assert (dict(again), again.command) == ({'B': '$A', 'D': '1'}, ('export C=3',))


def test_to_dict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('OUTSIDE', '/out side')
    monkeypatch.setenv('GONE', '1')
    environ = Environment(
        {
            'A': '$OUTSIDE/a',
            'B': '$A:b',
            'OUTSIDE': '${OUTSIDE}/more',
            'D': '$OUTSIDE',
            'GONE': None,
            'E': '[$GONE]',
        }
    )

    assert environ.to_dict() == {
        name: value for name, value in environ.data.items() if name != 'GONE'
    }
    everything = environ.to_dict(all=True)
    assert {name: everything[name] for name in 'ABDE'} == {
        'A': '/out side/a',
        'B': '/out side/a:b',
        'D': '/out side/more',
        'E': '[]',
    }
    assert 'GONE' not in everything and os.environ['OUTSIDE'] == '/out side'
    plain = Environment({'A': '1', 'GONE': None}).to_dict(all=True)
    assert plain == {
        name: value for name, value in {**os.environ, 'A': '1'}.items() if name != 'GONE'
    }


def test_to_dict_with_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('OUTSIDE', 'before')
    monkeypatch.setenv('GONE', 'before')
    script = tmp_path / 'set up.sh'
    script.write_text(
        'export SOURCED="$1\n=two lines="\nOUTSIDE=changed\nNOT_EXPORTED=1\nunset GONE\necho '
        'chatter\nf() { echo; }\nexport -f f\n'
    )
    environ = Environment(
        {'A': '$SOURCED:$OUTSIDE', 'GONE': '[$GONE]'},
        command=[f'source "{script}" argument', 'export LAST=$OUTSIDE'],
    )
    variables = environ.to_dict(all=True)
    expected = {
        'SOURCED': 'argument\n=two lines=',
        'OUTSIDE': 'changed',
        'LAST': 'changed',
        'A': 'argument\n=two lines=:changed',
        'GONE': '[]',
    }
    assert {name: variables[name] for name in expected} == expected
    assert 'NOT_EXPORTED' not in variables
    # The rest is as it was, what no shell that is not interactive keeps apart.
    others = {
        name: value
        for name, value in os.environ.items()
        if name not in {*expected, 'PS1', 'PWD', 'OLDPWD'}
    }
    assert {name: value for name, value in variables.items() if name in others} == others
    assert {name for name in variables if name not in {*others, *expected, 'PWD', 'OLDPWD'}} == {
        'BASH_FUNC_f%%'
    }
    # Without `all` the commands are not run.
    assert environ.to_dict() == {'A': '$SOURCED:$OUTSIDE', 'GONE': '[$GONE]'}
    # The function that the file exports gets to the processes.
    run = subprocess.run(['bash', '-c', 'f'], env=variables, capture_output=True, check=True)
    assert run.stdout == b'\n'


def test_commands_that_leave_something_running(tmp_path: Path) -> None:
    """It must not keep us waiting: it inherits the standard output."""
    os.mkfifo(tmp_path / 'fifo')
    environ = Environment(command=[f"cat '{tmp_path}/fifo' & export BACKGROUND=$!"])
    variables = environ.to_dict(all=True)
    os.kill(int(variables['BACKGROUND']), 0)  # it is still there
    (tmp_path / 'fifo').write_text('')  # and ends now


@pytest.mark.parametrize(
    ('command', 'status', 'expected_text'),
    [
        ('source /there/is/no/such/file', 1, '/there/is/no/such/file: No such file or directory'),
        ('echo to output; echo to error >&2; false', 1, 'to output\nto error'),
        ("echo 100%d %s '%n'; (exit 7)", 7, '100%d %s %n'),
        ('no_such_command_here', 127, 'command not found'),
        ("echo 'unfinished", 1, 'unexpected EOF'),
        ('if true; then', 1, 'unexpected end of file'),
        ('exit 0', 0, ''),
        ('exit 9', 9, ''),
        ('kill -9 $$', -9, ''),
    ],
)
def test_commands_that_fail(tmp_path: Path, command: str, status: int, expected_text: str) -> None:
    environ = Environment(
        {'A': '1'}, command=['true', command, f"touch '{tmp_path}/went-on'"], strict=True
    )
    error_text = message(ConfigError, environ.to_dict, all=True)
    if status not in (1, 2):
        assert (
            f"The commands of the environment 'base' failed, with exit status {status}:"
            in error_text
        )
    assert expected_text in error_text
    assert "' || true'" in error_text
    if 'exit' not in command[:4] and 'kill' not in command:
        assert (
            f"this command of the environment 'base' failed: {command}; exit status " in error_text
        )
    assert not (tmp_path / 'went-on').exists()
    with pytest.raises(ConfigError), change_environ(environ):
        pytest.fail('the block ran')


@pytest.mark.parametrize(
    'command',
    [
        'source /there/is/no/such/file',
        'false',
        "echo 'unfinished",
        'no_such_command_here',
        'if true; then',
    ],
)
def test_commands_that_fail_are_told_and_passed_over(command: str) -> None:
    environ = Environment({'A': '1'}, command=['export B=2', command, 'export C=3'])
    with pytest.warns(
        UserWarning,
        match=(
            "this command of the environment 'base' failed, and was passed over: "
            f'{re.escape(command)}; exit status'
        ),
    ):
        variables = environ.to_dict(all=True)

    assert [variables.get(name) for name in 'ABC'] == ['1', '2', '3']


@pytest.mark.parametrize('command', ['exit 0', 'exit 9', 'kill -9 $$'])
def test_commands_that_end_the_shell_are_an_error(command: str) -> None:
    assert "The commands of the environment 'base' ended the shell" in message(
        ConfigError, Environment(command=command).to_dict, all=True
    )


def test_bash_env() -> None:
    assert bash_env('export A=3')['A'] == bash_env(['export A=3', 'export B=$A'])['B'] == '3'
    assert bash_env([])['PATH'] == os.environ['PATH']
    with pytest.warns(UserWarning, match='Exit status 4'):
        assert bash_env('export A=3; (exit 4)') == {}


def test_here_document_does_not_swallow_the_rest() -> None:
    assert (
        Environment(command=['cat <<END >/dev/null\nhello', 'export B=1']).to_dict(all=True)['B']
        == '1'
    )


def test_environment_without_bash(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv('PATH', str(tmp_path))
    error_text = message(ConfigError, Environment(command='true').to_dict, all=True)
    assert error_text == f"The environment 'base' needs bash, but PATH has none: {tmp_path}"
    assert Environment({'A': '1'}).to_dict(all=True)['A'] == '1'


# --- what a shell makes of it


@pytest.mark.parametrize('strict', [False, True])
def test_values_mean_to_the_shell_what_they_mean(tmp_path: Path, strict: bool) -> None:
    environ = Environment(
        {name: value for name, (value, _) in SHELL_VALUES.items()},
        command=['export BEFORE="it\'s"'],
        strict=strict,
    )
    variables = by_bash(environ, tmp_path, outside={'HERE': 'here'})

    assert {name: variables[name] for name in SHELL_VALUES} == {
        name: meant for name, (_, meant) in SHELL_VALUES.items()
    }
    assert variables['BEFORE'] == "it's"
    assert list(tmp_path.iterdir()) == []  # nothing ran


def test_script_is_the_same_everywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environ = Environment(
        {'PATH': '/new dir:${PATH}', 'MISSING': '[$NOT_SET]', 'GONE': None, 'DOLLAR': r'\$PATH'},
        command='export PATH="/commanded:$PATH"',
    )
    script = environ.to_script()
    assert script.splitlines() == [
        'export PATH="/commanded:$PATH"',
        'export PATH="/new dir:${PATH}"',
        'export MISSING=[$NOT_SET]',
        'unset GONE',
        r'export DOLLAR=\$PATH',
    ]
    monkeypatch.setenv('PATH', '/other')
    assert environ.to_script() == script
    monkeypatch.undo()
    variables = by_bash(environ, tmp_path, outside={'GONE': '1'})
    assert variables['PATH'] == f'/new dir:/commanded:{os.environ["PATH"]}'
    assert (variables['MISSING'], variables['DOLLAR'], 'GONE' in variables) == (
        '[]',
        '$PATH',
        False,
    )


PIECES = st.sampled_from(
    [
        '{',
        '}',
        'A',
        'B0',
        '_',
        '$A',
        '${A}',
        '${B0',
        "'",
        '"',
        '`',
        '\\',
        '\n',
        ' ',
        '$(',
        '(',
        ')',
        '!',
        '#',
        '-',
        '%',
        '~',
        '*',
        '=',
        'é',
        '0',
        ';',
    ]
)
VALUES = st.one_of(
    st.lists(PIECES, max_size=8).map(''.join),
    st.text(st.characters(exclude_characters='\0', exclude_categories=['Cs']), max_size=20),
)


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(st.lists(VALUES, min_size=1, max_size=6))
def test_value_never_leaves_its_line(values: list[str]) -> None:
    """Whatever a value holds: the script goes on behind it, and a value that asks for nothing of
    the shell is taken as it is.
    """
    hypothesis.assume(
        not any(re.search(r'[`]|\$\(|\$\{', value) for value in values)
    )  # these run, or may be refused by the shell
    environ = Environment(
        {f'V{number}': value for number, value in enumerate(values)} | {'END': 'end'}
    )
    variables = by_bash(environ, Path('/'), outside={'A': 'a'})

    assert variables['END'] == 'end'
    assert {name for name in variables if name[0] == 'V'} == {
        f'V{number}' for number in range(len(values))
    }
    plain = {
        f'V{number}': value
        for number, value in enumerate(values)
        if not re.search(r'[$"\'\\~]', value)
    }
    assert {name: variables[name] for name in plain} == plain
    assert Environment(json.loads(json.dumps(environ.to_spec()))) == environ


# --- this process


def test_change_environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('KEPT', '1')
    monkeypatch.setenv('CHANGED', 'before')
    monkeypatch.setenv('GONE', 'before')
    before, path = dict(os.environ), list(sys.path)
    seen: dict[str, Any] = {}
    with (
        pytest.raises(ZeroDivisionError),
        change_environ(
            Environment(
                {'CHANGED': '$CHANGED!', 'GONE': None, 'NEW': 1}, command='export COMMANDED=1'
            )
        ),
    ):
        seen.update(
            {name: os.environ.get(name) for name in ('KEPT', 'CHANGED', 'GONE', 'NEW', 'COMMANDED')}
        )
        # What the C library sees, and so what other programs get.
        shown = subprocess.run(
            [shutil.which('printenv') or 'printenv', 'CHANGED', 'NEW', 'GONE'],
            capture_output=True,
            text=True,
        ).stdout
        os.environ['LEFT_BEHIND'] = '1'
        del os.environ['KEPT']
        1 / 0  # noqa: B018
    assert seen == {'KEPT': '1', 'CHANGED': 'before!', 'GONE': None, 'NEW': '1', 'COMMANDED': '1'}
    assert shown == 'before!\n1\n'
    assert dict(os.environ) == before and sys.path == path
    with change_environ():
        assert dict(os.environ) == before
    assert dict(os.environ) == before


def test_change_environ_and_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / 'module_of_an_environment.py').write_text('value = 1')
    path = list(sys.path)
    with change_environ({'PYTHONPATH': f'{tmp_path}:{path[-1]}:$PYTHONPATH'}):
        assert sys.path[:2] == [str(tmp_path), path[-1]] and sys.path.count(path[-1]) == 1
        assert set(path) <= set(sys.path)
        import module_of_an_environment  # type: ignore[import-not-found]

        assert module_of_an_environment.value == 1
    assert sys.path == path
    del sys.modules['module_of_an_environment']
