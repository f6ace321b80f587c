"""Environments: what they hold, that Python and a real shell agree on it, and that nothing of a value is ever run."""

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

from desipipe.environment import BaseEnvironment, BaseNERSCEnvironment, CosmodesiNERSCEnvironment, Environment, change_environ, get_environ
from desipipe.errors import ConfigError, UnknownNameError, UnknownOptionError

NASTY = {
    'QUOTES': """'"`\\'\\"'""",
    'NEWLINES': '\n\na\nb\n',
    'COMMAND': '$(touch ran) `touch ran` ; touch ran & touch ran | touch ran',
    'ARITHMETIC': '$((1+1)) ${#PATH} ${PATH:-touch ran} ${!PATH} $1 $@ $? $ ${} $',
    'UNICODE': 'zoë ☃ \u2028 \x7f \x01 \u0301',
    'BLANKS': '  \t a  b \r\n',
    'EMPTY': '',
    'GLOB': '* ~ ? [a-z] {a,b} !! #',
    'DASH': '-n',
    'BACKSLASH': '\\',
    'EQUALS': 'a=b=c',
}


def message(kind: type[Exception], call: Any, *args: Any, **kwargs: Any) -> str:
    with pytest.raises(kind) as info:
        call(*args, **kwargs)
    return str(info.value)


def by_bash(environ: BaseEnvironment, cwd: Path, strict: bool = False, outside: Mapping[str, str] | None = None) -> dict[str, str]:
    """Environment of a process that a shell starts after the script."""
    outside = {'PATH': os.environ['PATH'], **(outside or {})}
    run = subprocess.run(['bash', '--norc', '-c', f'{environ.to_script(strict=strict)}env -0'], env=outside, cwd=cwd, capture_output=True, check=True)
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
    assert type(plain) is BaseEnvironment and plain.to_spec() == {'name': 'base', 'data': {}, 'command': []}
    assert Environment('base') == plain == Environment({}) == Environment({'name': 'base'}) == Environment(None)
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
        assert given.data == {'A': '1', 'B': 'b'}
    assert Environment(command='true').command == Environment(command=['true']).command == ['true']
    assert Environment({'command': 'true'}, command='false').command == ['true', 'false']
    assert Environment('own-of-this-test') == Own()


def test_existing_one() -> None:
    first = Environment({'A': '1'}, command='true')
    assert Environment(first) is first
    second = Environment(first, data={'B': '2'}, command='false')
    assert (second.data, second.command) == ({'A': '1', 'B': '2'}, ['true', 'false'])
    assert (first.data, first.command) == ({'A': '1'}, ['true'])
    assert first != second and first != {'A': '1'}
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
    assert Environment().data == {'D': '4'}


def test_nersc() -> None:
    base = Environment('nersc-base')
    assert type(base) is BaseNERSCEnvironment
    assert base.to_dict() == {'DESICFS': '/global/cfs/cdirs/desi', 'OMP_NUM_THREADS': '1', 'HDF5_USE_FILE_LOCKING': 'FALSE'}
    assert Environment('nersc-base', {'OMP_NUM_THREADS': 8}).to_dict()['OMP_NUM_THREADS'] == '8'
    cosmodesi = Environment('nersc-cosmodesi')
    assert type(cosmodesi) is CosmodesiNERSCEnvironment and cosmodesi.to_dict() == base.to_dict()
    assert cosmodesi.to_script().splitlines() == [
        'source /global/common/software/desi/users/adematti/cosmodesi_environment.sh main',
        'export DESICFS=/global/cfs/cdirs/desi',
        'export OMP_NUM_THREADS=1',
        'export HDF5_USE_FILE_LOCKING=FALSE',
    ]


@pytest.mark.parametrize(
    'environ', [Environment('base'), Environment('nersc-cosmodesi', {'A': 1, 'B': None}, 'x'), Own(data={'Z': '$A', 'A': '2'}, command=['a', 'b'])]
)
def test_spec_and_back(environ: BaseEnvironment) -> None:
    spec = environ.to_spec()
    again = Environment(json.loads(json.dumps(spec)))
    assert type(again) is type(environ) and again == environ and again.to_script() == environ.to_script()
    spec['data']['LATER'] = '1'
    spec['command'].append('later')
    assert again == environ


def test_class_of_a_script_travels_as_base() -> None:
    class Mine(BaseNERSCEnvironment):
        name = 'mine-of-this-test'
        commands = ('export M=1',)

    mine = Mine(data={'N': 2}, command='true')
    spec = mine.to_spec()
    assert (spec['name'], spec['command'], spec['data']['DESICFS'], spec['data']['N']) == ('base', ['export M=1', 'true'], '/global/cfs/cdirs/desi', '2')
    assert Environment(spec) == mine
    assert Environment(spec).to_script() == mine.to_script()
    assert type(Environment('mine-of-this-test')) is Mine


@pytest.mark.parametrize(
    ('kind', 'given', 'words'),
    [
        (UnknownNameError, 'nersc-cosmodes', "there is no environment 'nersc-cosmodes'; did you mean nersc-cosmodesi, nersc-base? Valid names: base, "),
        (UnknownNameError, {'name': 'xyz'}, "there is no environment 'xyz'; valid names: base, "),
        (UnknownOptionError, {'name': 'base', 'A': '1'}, "the environment 'base' has no option 'A'; valid options: command, data"),
        (
            UnknownOptionError,
            {'name': 'nersc-base', 'dat': {}},
            "the environment 'nersc-base' has no option 'dat'; did you mean data? Valid options: ",
        ),
        (ConfigError, 3, 'the environment must be a name, a dictionary with name and options, or a BaseEnvironment, not 3'),
        (ConfigError, {'data': ['A']}, "data of the environment 'base' must be a dictionary of names and values of variables, not ['A']"),
        (ConfigError, {'A=B': '1'}, "'A=B' in data of the environment 'base' is no name of a variable: use letters, digits and underscores, no digit first"),
        (ConfigError, {'A': True}, "the variable A of the environment 'base' is True: write the text that the program expects, such as '1', 'yes' or 'true'"),
        (ConfigError, {'A': ['1']}, "the variable A of the environment 'base' must be text, a number, or None to unset it, not ['1']"),
        (ConfigError, {'A': b'1'}, 'must be text, a number, or None'),
        (ConfigError, {'A': 'a\0b'}, "the variable A of the environment 'base' holds a NUL character, which no environment can: 'a\\x00b'"),
        (ConfigError, {'A': '\udcff'}, 'is not valid text'),
        (ConfigError, {'command': 3}, "command of the environment 'base' must be shell commands, as text or a list of texts, not 3"),
        (ConfigError, {'command': ['true', None]}, "must be shell commands, as text or a list of texts, not ['true', None]"),
        (ConfigError, {'command': 'a\0b'}, 'must be shell commands'),
    ],
)
def test_bad_ones(kind: type[Exception], given: Any, words: str) -> None:
    assert words in message(kind, Environment, given)


def test_bad_data_on_top() -> None:
    assert 'must be a dictionary' in message(ConfigError, Environment, 'base', data=['A'])
    assert 'must be a dictionary' in message(ConfigError, Environment, Environment({'A': '1'}), data=3)
    assert 'must be shell commands' in message(ConfigError, Environment, 'base', command=3)


@pytest.mark.parametrize('name', ['', '1A', 'A B', 'A;touch ran', 'A\n', 'A$(touch ran)', 'é', 'BASH_FUNC_a%%', 'A-B', 3, None])
def test_bad_names(name: Any) -> None:
    assert 'is no name of a variable' in message(ConfigError, Environment, {name: '1'})


@pytest.mark.parametrize(('value', 'text'), [(3, '3'), (0.5, '0.5'), (1e-30, '1e-30'), (Path('/a b'), '/a b'), ('', '')])
def test_values_become_text(value: Any, text: str) -> None:
    assert Environment({'A': value}).data == {'A': text}


# --- what Python makes of it


def test_to_dict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('OUTSIDE', '/out side')
    monkeypatch.setenv('GONE', '1')
    monkeypatch.delenv('MISSING', raising=False)
    environ = Environment(
        {
            'A': '$OUTSIDE/a:${OUTSIDE}',
            'B': '$A:b',
            'C': '[$MISSING|${MISSING}]',
            'OUTSIDE': '${OUTSIDE}/more',
            'D': '$OUTSIDE',
            'GONE': None,
            'E': '[$GONE]',
            'F': '$$HOME $$$OUTSIDE 5$ $5 ${HOME ${1}',
            'G': '$A_',
        }
    )
    expected = {
        'A': '/out side/a:/out side',
        'B': '/out side/a:/out side:b',
        'C': '[|]',
        'OUTSIDE': '/out side/more',
        'D': '/out side/more',
        'E': '[]',
        'F': '$HOME $/out side/more 5$ $5 ${HOME ${1}',
        'G': '',
    }
    assert environ.to_dict() == expected
    everything = {**os.environ, **expected}
    del everything['GONE']
    assert environ.to_dict(all=True) == everything
    assert os.environ['OUTSIDE'] == '/out side'


def test_to_dict_with_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('OUTSIDE', 'before')
    monkeypatch.setenv('GONE', 'before')
    script = tmp_path / 'set up.sh'
    script.write_text('export SOURCED="$1\n=two lines="\nOUTSIDE=changed\nNOT_EXPORTED=1\nunset GONE\necho chatter\nf() { echo; }\nexport -f f\n')
    environ = Environment({'A': '$SOURCED:$OUTSIDE', 'GONE': '[$GONE]'}, command=[f'source "{script}" argument', 'export LAST=$OUTSIDE'])
    found = environ.to_dict(all=True)
    expected = {'SOURCED': 'argument\n=two lines=', 'OUTSIDE': 'changed', 'LAST': 'changed', 'A': 'argument\n=two lines=:changed', 'GONE': '[]'}
    assert {name: found[name] for name in expected} == expected
    assert 'NOT_EXPORTED' not in found
    # The rest is as it was, what no shell that is not interactive keeps apart.
    others = {name: value for name, value in os.environ.items() if name not in {*expected, 'PS1', 'PWD', 'OLDPWD'}}
    assert {name: value for name, value in found.items() if name in others} == others
    assert {name for name in found if name not in {*others, *expected, 'PWD', 'OLDPWD'}} == {'BASH_FUNC_f%%'}
    # Without `all` the commands are not run.
    assert environ.to_dict() == {'A': ':before', 'GONE': '[before]'}
    # The function that the file exports gets to the processes.
    run = subprocess.run(['bash', '-c', 'f'], env=found, capture_output=True, check=True)
    assert run.stdout == b'\n'


def test_commands_that_leave_something_running(tmp_path: Path) -> None:
    """It must not keep us waiting: it inherits the standard output."""
    os.mkfifo(tmp_path / 'fifo')
    environ = Environment(command=[f"cat '{tmp_path}/fifo' & export BACKGROUND=$!"])
    found = environ.to_dict(all=True)
    os.kill(int(found['BACKGROUND']), 0)  # it is still there
    (tmp_path / 'fifo').write_text('')  # and ends now


@pytest.mark.parametrize(
    ('command', 'status', 'words'),
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
def test_commands_that_fail(tmp_path: Path, command: str, status: int, words: str) -> None:
    environ = Environment({'A': '1'}, command=['true', command, f"touch '{tmp_path}/went-on'"])
    said = message(ConfigError, environ.to_dict, all=True)
    if status not in (1, 2):
        assert f"the commands of the environment 'base' failed, with exit status {status}:" in said
    assert words in said
    assert "' || true'" in said
    if 'exit' not in command[:4] and 'kill' not in command:
        assert f"this command of the environment 'base' failed: {command}; exit status " in said
    assert not (tmp_path / 'went-on').exists()
    with pytest.raises(ConfigError), change_environ(environ):
        pytest.fail('the block ran')
    # In a script that is not strict, the shell goes on, as it does for people.
    assert 'failed' not in environ.to_script()


def test_here_document_does_not_swallow_the_rest() -> None:
    assert Environment(command=['cat <<END >/dev/null\nhello', 'export B=1']).to_dict(all=True)['B'] == '1'


def test_no_bash(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv('PATH', str(tmp_path))
    said = message(ConfigError, Environment(command='true').to_dict, all=True)
    assert said == f"the environment 'base' has commands, for which bash is needed, but PATH has none: {tmp_path}"
    assert Environment({'A': '1'}).to_dict(all=True)['A'] == '1'


# --- what a shell makes of it


@pytest.mark.parametrize('strict', [False, True])
def test_nasty_values_in_bash(tmp_path: Path, strict: bool) -> None:
    environ = Environment(NASTY, command=['export BEFORE="it\'s"'])
    found = by_bash(environ, tmp_path, strict)
    assert {name: found[name] for name in NASTY} == NASTY == environ.to_dict()
    assert found['BEFORE'] == "it's"
    assert list(tmp_path.iterdir()) == []  # nothing ran


def test_script_is_the_same_everywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environ = Environment({'PATH': '/new dir:${PATH}', 'MISSING': '[$NOT_SET]', 'GONE': None, 'DOLLAR': '$$PATH'}, command='export PATH="/commanded:$PATH"')
    script = environ.to_script()
    assert script == (
        "export PATH=\"/commanded:$PATH\"\nexport PATH='/new dir:'\"${PATH-}\"\nexport MISSING='['\"${NOT_SET-}\"']'\nunset GONE\nexport DOLLAR='$'PATH\n"
    )
    monkeypatch.setenv('PATH', '/other')
    assert environ.to_script() == script
    monkeypatch.undo()
    found = by_bash(environ, tmp_path, outside={'GONE': '1'})
    assert found['PATH'] == f'/new dir:/commanded:{os.environ["PATH"]}'
    assert (found['MISSING'], found['DOLLAR'], 'GONE' in found) == ('[]', '$PATH', False)


def test_script_in_a_careful_shell(tmp_path: Path) -> None:
    """Under ``set -eu``, as batch scripts often begin."""
    script = f'set -eu\n{Environment({"A": "$NOT_SET", "B": None}).to_script(strict=True)}echo "[$A]"'
    for shell in ('bash', 'sh'):
        run = subprocess.run([shell, '-c', script], env={'PATH': os.environ['PATH']}, capture_output=True, text=True)
        assert (run.returncode, run.stdout, run.stderr) == (0, '[]\n', '')


PIECES = st.sampled_from(
    ['$', '$$', '{', '}', 'A', 'B0', '_', '$A', '${A}', '${B0', "'", '"', '`', '\\', '\n', ' ', '(', ')', '!', '#', '-', '%', '~', '*', '=', 'é', '0']
)
VALUES = st.one_of(st.lists(PIECES, max_size=8).map(''.join), st.text(st.characters(exclude_characters='\0', exclude_categories=['Cs']), max_size=20))


@hypothesis.settings(max_examples=30, deadline=None)
@hypothesis.given(
    st.lists(st.tuples(st.sampled_from(['A', 'B0', 'C', 'd_', 'E']), st.none() | VALUES), max_size=6).map(dict),
    st.dictionaries(st.sampled_from(['A', 'B0', 'C', 'AB0']), VALUES, max_size=3),
)
def test_python_and_bash_agree(data: dict[str, str | None], outside: dict[str, str]) -> None:
    # `$_` is the shell's own: what it ran last.
    hypothesis.assume(not any(re.search(r'\$\{?_', value or '') for value in data.values()))
    environ = Environment(data)
    with pytest.MonkeyPatch.context() as patch:
        for name in ('A', 'B0', 'C', 'd_', 'E', 'AB0'):
            patch.delenv(name, raising=False)
        for name, value in outside.items():
            patch.setenv(name, value)
        expected = environ.to_dict()
    found = by_bash(environ, Path('/'), outside=outside)
    assert {name: value for name, value in found.items() if name in data} == expected
    assert Environment(json.loads(json.dumps(environ.to_spec()))) == environ


# --- this process


def test_change_environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('KEPT', '1')
    monkeypatch.setenv('CHANGED', 'before')
    monkeypatch.setenv('GONE', 'before')
    before, path = dict(os.environ), list(sys.path)
    seen: dict[str, Any] = {}
    with pytest.raises(ZeroDivisionError), change_environ(Environment({'CHANGED': '$CHANGED!', 'GONE': None, 'NEW': 1}, command='export COMMANDED=1')):
        seen.update({name: os.environ.get(name) for name in ('KEPT', 'CHANGED', 'GONE', 'NEW', 'COMMANDED')})
        # What the C library sees, and so what other programs get.
        shown = subprocess.run([shutil.which('printenv') or 'printenv', 'CHANGED', 'NEW', 'GONE'], capture_output=True, text=True).stdout
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
