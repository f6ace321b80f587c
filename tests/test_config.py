"""Configuration, what is found by name, logging, and words for numbers; versions and processes,
which are recorded.
"""

from __future__ import annotations

import importlib
import io
import logging
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import hypothesis
import hypothesis.strategies as st
import pytest
import yaml

from desipipe import provenance, utils
from desipipe.config import Config
from desipipe.config.checked_numbers import number, whole_number
from desipipe.config.configurable import Configurable
from desipipe.config.user_config import config_dir
from desipipe.errors import (
    ConfigError,
    MissingDependencyError,
    UnknownNameError,
    UnknownOptionError,
)
from desipipe.provenance import software


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for the configuration of this test, and nothing from outside."""
    for name in ('DESIPIPE_QUEUE_DIR', 'DESIPIPE_TRUST', 'DESIPIPE_LOCK'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('DESIPIPE_CONFIG_DIR', str(tmp_path / 'config'))
    monkeypatch.setenv('HOME', str(tmp_path))
    (tmp_path / 'config').mkdir()
    return tmp_path / 'config'


def write(folder: Path, text: str) -> Path:
    path = folder / 'config.yaml'
    path.write_text(text)
    return path


def message(kind: type[Exception], call: Any, *args: Any, **kwargs: Any) -> str:
    with pytest.raises(kind) as info:
        call(*args, **kwargs)
    return str(info.value)


# --- the file


def test_config_without_file(folder: Path) -> None:
    config = Config()
    assert dict(config) == {'base_queue_dir': str(folder.parent / '.desipipe' / 'queues')}
    defaults = {
        'trusted_users': [],
        'sync_interval': 0.2,
        'lease': 30.0,
        'output_limit': 1_000_000,
        'linger': 5.0,
    }
    assert {key: config[key] for key in defaults} == defaults
    assert list(folder.iterdir()) == []  # looking makes nothing
    config['trusted_users'].append('mallory')
    assert Config()['trusted_users'] == config['trusted_users'] == []
    for key in ('environ', 'worker'):
        assert key not in config and config.get(key, 'none') == 'none'
        with pytest.raises(KeyError):
            config[key]


def test_config_dir(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert config_dir() == str(folder)
    monkeypatch.delenv('DESIPIPE_CONFIG_DIR')
    monkeypatch.setenv('HOME', str(folder.parent))
    assert config_dir() == str(folder.parent / '.desipipe')
    assert Config()['base_queue_dir'] == str(folder.parent / '.desipipe' / 'queues')


def test_file(folder: Path) -> None:
    write(
        folder,
        'base_queue_dir: /data/queues\n'
        'environ: nersc-base\n'
        'scheduler: {max_workers: 4}\n'
        'provider: {name: local, mpiprocs_per_worker: 2}\n'
        'trusted_users: [alice, 1234]\n'
        'lock: poll\nsync_interval: 1\nlease: 60\noutput_limit: 5000\nlinger: 0\n',
    )
    config = Config()
    assert dict(config) == {
        'base_queue_dir': '/data/queues',
        'environ': 'nersc-base',
        'scheduler': {'max_workers': 4},
        'provider': {'name': 'local', 'mpiprocs_per_worker': 2},
        'trusted_users': ['alice', 1234],
        'lock': 'poll',
        'sync_interval': 1.0,
        'lease': 60.0,
        'output_limit': 5000,
        'linger': 0.0,
    }
    assert isinstance(config['lease'], float)
    assert 'max_workers' in repr(config)


@pytest.mark.parametrize('text', ['', '# nothing yet\n', 'lock:\n'])
def test_file_that_says_nothing(folder: Path, text: str) -> None:
    write(folder, text)
    assert Config().lock is None


def test_filename(folder: Path, tmp_path: Path) -> None:
    write(folder, 'lock: poll')
    (tmp_path / 'other.yaml').write_text('lock: soft')
    config = Config(filename=tmp_path / 'other.yaml')
    assert config['lock'] == 'soft'
    assert (config.config_fn, config.config_dir) == (str(tmp_path / 'other.yaml'), str(tmp_path))
    assert Config().config_fn == str(folder / 'config.yaml')


@pytest.mark.parametrize(
    ('text', 'expected_text'),
    [
        ('lock: posix', "lock is 'posix', but must be one of flock, poll, soft"),
        ('lock: [flock]', "lock is ['flock'], but must be one of flock, poll, soft"),
        ('base_queue_dir: 3', 'base_queue_dir is 3, but must be the path'),
        ('file: a.yaml', "file is 'a.yaml', but must be 'filename:' and the path of a data base"),
        ('file: {filename: 3}', "file is {'filename': 3}, but must be 'filename:' and"),
        ('environ: [a]', "environ is ['a'], but must be a name, or 'name:' and options below it"),
        ('scheduler: 4', "scheduler is 4, but must be a name, or 'name:' and options below it"),
        (
            'provider: {1: 2}',
            "provider is {1: 2}, but must be a name, or 'name:' and options below it",
        ),
        (
            'trusted_users: alice',
            (
                "trusted_users is 'alice', but must be a list of names or numbers of users, such "
                'as [alice, 1234]'
            ),
        ),
        ('trusted_users: [true]', 'trusted_users is [True], but must be a list'),
        ('trusted_users: [1.5]', 'trusted_users is [1.5], but must be a list'),
        ('sync_interval: -1', 'sync_interval is -1, but must be a number of seconds, at least 0'),
        (
            'sync_interval: .nan',
            'sync_interval is nan, but must be a number of seconds, at least 0',
        ),
        ('lease: 0.5', 'lease is 0.5, but must be a number of seconds, at least 1'),
        ('lease: yes', 'lease is True, but must be a number of seconds'),
        ('lease: .inf', 'lease is inf, but must be a number of seconds'),
        (
            'output_limit: 1 MB',
            "output_limit is '1 MB', but must be a whole number of bytes, such as 1000000",
        ),
        ('output_limit: 1.5', 'output_limit is 1.5, but must be a whole number of bytes'),
        ('output_limit: true', 'output_limit is True, but must be a whole number of bytes'),
        ('linger: soon', "linger is 'soon', but must be a number of seconds, at least 0"),
        ('- a\n- b', "the configuration must be lines 'key: value', not ['a', 'b']"),
        ('lock: [', 'the configuration is not valid YAML'),
        (
            'environ: !!python/object/apply:os.getpid []',
            'the configuration is not valid YAML: could not determine a constructor',
        ),
    ],
)
def test_bad_file(folder: Path, text: str, expected_text: str) -> None:
    path = write(folder, text)
    error_text = message(ConfigError, Config)
    assert error_text.startswith(f'{path}: {expected_text}')
    assert path.read_text() == text


@pytest.mark.parametrize('text', ['lok: poll', '1: 2', 'lok: {a: [b]}'])
def test_unknown_keys_are_told_and_kept(folder: Path, text: str) -> None:
    write(folder, f'{text}\nlease: 60')
    with pytest.warns(
        UserWarning, match=r"config.yaml: the key '(lok|1)' means nothing to desipipe"
    ) as printed:
        config = Config()

    ((key, value),) = yaml.safe_load(text).items()
    assert (config[str(key)], config['lease']) == (value, 60)
    assert (
        'did you mean lock? Valid keys: base_queue_dir, environ, file, ' in str(printed[0].message)
    ) == (key == 'lok')


def test_yaml_error_says_where(folder: Path) -> None:
    write(folder, 'lock: poll\nlease: [')
    assert 'line 2' in message(ConfigError, Config)


def test_unreadable_file(folder: Path) -> None:
    (folder / 'config.yaml').mkdir()
    assert message(ConfigError, Config).startswith(
        f'{folder}/config.yaml: the configuration cannot be read: [Errno 21] Is a directory'
    )
    (folder / 'config.yaml').rmdir()
    (folder / 'config.yaml').write_bytes(b'lock: \xff')
    assert 'cannot be read' in message(ConfigError, Config)


def test_yaml_is_imported_only_for_a_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'yaml', None)
    assert Config().lock is None
    write(folder, 'lock: poll')
    assert (
        message(MissingDependencyError, Config)
        == f'PyYAML is needed for {folder}/config.yaml: python -m pip install pyyaml'
    )


# --- environment variables, and what is set here


def test_variables_and_the_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, 'base_queue_dir: /file\nlock: poll\ntrusted_users: [alice]\n')
    monkeypatch.setenv('DESIPIPE_QUEUE_DIR', '/variable')
    monkeypatch.setenv('DESIPIPE_LOCK', 'soft')
    monkeypatch.setenv('DESIPIPE_TRUST', 'bob, 1234,')
    config = Config()
    # The folder of the file wins, as it always did.
    assert (config['base_queue_dir'], config['lock'], config['trusted_users']) == (
        '/file',
        'soft',
        ['bob', '1234'],
    )
    config['lock'] = 'flock'
    config['base_queue_dir'] = 'here'
    assert (config['base_queue_dir'], config['lock']) == (str(Path.cwd() / 'here'), 'flock')
    for name in ('DESIPIPE_QUEUE_DIR', 'DESIPIPE_LOCK', 'DESIPIPE_TRUST'):
        monkeypatch.setenv(name, '')
    config = Config()
    assert (config['base_queue_dir'], config['lock'], config['trusted_users']) == (
        '/file',
        'poll',
        ['alice'],
    )
    write(folder, 'lock: poll\n')
    monkeypatch.setenv('DESIPIPE_QUEUE_DIR', '/variable')
    assert Config()['base_queue_dir'] == '/variable'


def test_relative_folder_stays_the_same_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('DESIPIPE_QUEUE_DIR', 'queues')
    monkeypatch.chdir(tmp_path)
    config = Config()
    monkeypatch.chdir('/')
    assert config['base_queue_dir'] == str(tmp_path / 'queues')
    write(tmp_path / 'config', 'base_queue_dir: saved')
    assert Config()['base_queue_dir'] == '/saved'


def test_bad_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('DESIPIPE_LOCK', 'posix')
    assert message(ConfigError, Config).startswith(
        "$DESIPIPE_LOCK: lock is 'posix', but must be one of flock, poll, soft"
    )


def test_bad_value_here() -> None:
    config = Config()
    assert 'lease is 0' in message(ConfigError, config.__setitem__, 'lease', 0)
    assert 'leese' in message(KeyError, config.__delitem__, 'leese')
    with pytest.warns(
        UserWarning, match=r"the key 'leese' means nothing to desipipe; did you mean lease\?"
    ):
        config['leese'] = 1
    del config['leese']
    assert config['lease'] == 30


@pytest.mark.parametrize('path', ['${SCRATCH}/q/{}', '$SCRATCH/q/{}', '~/q/{}'])
def test_paths_are_expanded(folder: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setenv('SCRATCH', '/base')
    monkeypatch.setenv('HOME', '/base')
    write(folder, yaml.safe_dump({'base_queue_dir': path}))
    assert Config()['base_queue_dir'] == '/base/q/{}'


def test_unset_variable_in_path(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('SCRATCH', raising=False)
    path = write(folder, 'base_queue_dir: ${SCRATCH}/queues\nlock: poll')
    config = Config()
    assert (
        config['lock'] == 'poll'
    )  # on a node where it is not set, only who needs the folder gets the error
    error_text = message(ConfigError, config.__getitem__, 'base_queue_dir')
    assert error_text == (
        f"{path}: base_queue_dir is '${{SCRATCH}}/queues', but $SCRATCH is not set in this "
        'process: set it, or write the path in full'
    )
    write(folder, '')
    monkeypatch.setenv('DESIPIPE_QUEUE_DIR', '$SCRATCH')
    assert message(ConfigError, Config().__getitem__, 'base_queue_dir').startswith(
        "$DESIPIPE_QUEUE_DIR: base_queue_dir is '$SCRATCH'"
    )


# --- saving


def test_save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('DESIPIPE_CONFIG_DIR', str(tmp_path / 'new' / 'config'))
    monkeypatch.setenv('DESIPIPE_LOCK', 'soft')
    config = Config()
    config['base_queue_dir'] = '~/queues'
    config['scheduler'] = {'name': 'simple', 'max_workers': 4}
    config['trusted_users'] = ('zoë', 12)
    config.save()
    # Neither defaults nor environment variables, and the home folder as it was written: it may be
    # another one on another machine.
    saved = {
        'base_queue_dir': '~/queues',
        'scheduler': {'name': 'simple', 'max_workers': 4},
        'trusted_users': ['zoë', 12],
    }
    path = tmp_path / 'new' / 'config' / 'config.yaml'
    assert yaml.safe_load(path.read_text()) == saved
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [file.name for file in path.parent.iterdir()] == ['config.yaml']
    config = Config()
    assert config['trusted_users'] == ['zoë', 12]
    config['lease'] = 60
    del config['scheduler']
    assert 'scheduler' not in config
    config.save()
    del saved['scheduler']
    assert yaml.safe_load(path.read_text()) == {**saved, 'lease': 60.0}
    assert Config()['lease'] == 60


def test_failed_save_changes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(folder, 'lock: poll\n')
    config = Config()
    config['lock'] = 'soft'

    def full(fd: int) -> None:
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(OSError, match='No space left'):
        config.save()
    assert path.read_text() == 'lock: poll\n'
    assert [file.name for file in folder.iterdir()] == ['config.yaml']
    monkeypatch.undo()
    config.save()
    assert path.read_text() == 'lock: soft\n'


# --- users


def test_queue_dir(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    me = utils.username()
    assert (
        Config().queue_dir
        == Config(user=me).queue_dir
        == str(folder.parent / '.desipipe' / 'queues' / me)
    )
    assert (Config().user, Config.default_user) == (me, me)
    other = next(user for user in ('daemon', 'nobody', 'root') if user != me)
    assert Config(user=other).queue_dir == os.path.expanduser(f'~{other}/.desipipe/queues/{other}')
    write(folder, 'base_queue_dir: /data')
    assert Config().queue_dir == f'/data/{me}'
    assert Config(user='nobody-here').queue_dir == '/data/nobody-here'
    monkeypatch.setenv('USER', 'root')
    monkeypatch.setenv('LOGNAME', 'mallory')
    assert utils.username() == me


@pytest.mark.parametrize('user', ['', '.', '..', 'a/b', '/etc', 'a\0'])
def test_user_can_not_leave_the_folder(folder: Path, user: str) -> None:
    write(folder, 'base_queue_dir: /data')
    assert (
        message(ConfigError, Config().queue_dir_of, user)
        == f'{user!r} is no name of a user: queues of other users are named user/name'
    )


def test_queue_dir_of_nobody() -> None:
    error_text = message(ConfigError, Config().queue_dir_of, 'nobody-here')
    assert (
        error_text.startswith("There is no user 'nobody-here' on this machine")
        and '$DESIPIPE_QUEUE_DIR' in error_text
    )


def test_trust(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    me = os.geteuid()
    assert Config().trusted_uids == {me}
    write(folder, f'trusted_users: [{utils.username(1)}, 1234, "2345", nobody-here]')
    assert Config().trusted_uids == {me, 1, 1234, 2345}
    monkeypatch.setenv('DESIPIPE_TRUST', '3456')
    assert Config().trusted_uids == {me, 3456}


def test_attributes(folder: Path) -> None:
    write(
        folder,
        'base_queue_dir: ~/q\nlock: poll\nsync_interval: 1\nlease: 2\noutput_limit: 3\nlinger: 4',
    )
    config = Config()
    for name in ('base_queue_dir', 'lock', 'sync_interval', 'lease', 'output_limit', 'linger'):
        assert getattr(config, name) == config[name] == config.data[name]
    assert (config.base_queue_dir, config.lock, config.linger) == (
        os.path.expanduser('~/q'),
        'poll',
        4,
    )
    assert Config(filename=folder / 'none').lock is None


# --- what is found by name


class Thing(Configurable):
    """A kind of its own, so that no other test's classes are found."""

    kind = 'thing'
    key = 'scheduler'
    default = 'plain'
    builtin: ClassVar[dict[str, str]] = {
        'plain': f'{__name__}:Plain',
        'broken': 'desipipe_has_no_such_module:Thing',
    }


class Plain(Thing):
    """One of each kind of option."""

    name = 'plain'
    defaults: ClassVar[dict[str, Any]] = {
        'number': 1,
        'length': 1.5,
        'text': 'a',
        'flag': False,
        'any': None,
    }


class Other(Thing):
    """Without a name of its own in the table."""

    name = 'other'
    defaults: ClassVar[dict[str, Any]] = {'first_option': 1}


class Bare(Plain):
    """Inherits the name."""


def test_make() -> None:
    config = {'scheduler': None}
    made = Thing.make(None, config)
    assert (
        type(made) is Plain
        and made == Plain()
        and made.to_spec()
        == {'name': 'plain', 'number': 1, 'length': 1.5, 'text': 'a', 'flag': False, 'any': None}
    )
    assert (
        Thing.make('plain', config, number=2)
        == Thing.make({'name': 'plain', 'number': 2}, config)
        == Plain(number=2)
        != Plain()
    )
    assert Thing.make(made) is made
    assert Thing.make(made, number=3) == Plain(number=3)
    assert made == Plain()  # the original is as it was
    assert type(Thing.make('other')) is Other
    assert type(Thing.make({'scheduler': 'other'})) is Other  # as the original desipipe wrote it
    assert repr(Other()) == 'Other(first_option=1)'
    assert Other() != Plain() and Other() != 3
    spec = {'name': 'plain', 'number': 2}
    Thing.make(spec)
    assert spec == {'name': 'plain', 'number': 2}


def test_make_from_the_configuration(folder: Path) -> None:
    write(folder, 'scheduler: {number: 5}')
    assert Thing.make() == Plain(number=5)
    assert Thing.make({'text': 'b'}) == Plain(number=5, text='b')
    assert Thing.make('plain') == Plain()  # a name leaves nothing to the configuration
    assert Thing.make(None, {'scheduler': 'other'}) == Other()
    assert Thing.make(
        None, {'scheduler': {'name': 'other', 'first_option': 2}}, first_option=3
    ) == Other(first_option=3)


def test_found_by_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = Other(first_option=4).to_spec()
    assert spec == {'name': f'{__name__}:Other', 'first_option': 4}
    assert Thing.make(spec) == Other(first_option=4)
    # A name that is inherited would mean another class elsewhere.
    assert Bare().to_spec()['name'] == f'{__name__}:Bare'
    assert type(Thing.make(Bare().to_spec())) is Bare

    class Local(Thing):
        name = 'of-this-function'

    assert Local().to_spec() == {'name': 'of-this-function'}
    assert Thing.make('of-this-function') == Local()
    assert type(Thing.make('plain')) is Plain


def test_last_definition_counts() -> None:
    def define(value: int) -> type[Thing]:
        class Redefined(Thing):
            name = 'redefined'
            defaults: ClassVar[dict[str, Any]] = {'value': value}

        return Redefined

    first, second = define(1), define(2)
    assert first is not second
    assert Thing.find('redefined') is second


def test_found_as_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / 'entry_points_of_a_test-1.0.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text(
        'Metadata-Version: 2.1\nName: entry-points-of-a-test\nVersion: 1.0\n'
    )
    (info / 'entry_points.txt').write_text(
        '[desipipe.things]\ninstalled = things_of_a_test:Installed\nbad = '
        f'things_of_a_test:no\nwrong = {__name__}:Path\n'
    )
    (tmp_path / 'things_of_a_test.py').write_text(
        f"from {__name__} import Thing\nclass Installed(Thing):\n    name = 'named-differently'\n  "
        f"  defaults = {{'number': 7}}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    made = Thing.make({'name': 'installed', 'number': 8})
    assert made.to_spec() == {'name': 'things_of_a_test:Installed', 'number': 8}
    assert Thing.make(made.to_spec()) == made
    assert 'AttributeError' in message(UnknownNameError, Thing.make, 'bad')
    assert (
        message(UnknownNameError, Thing.make, 'wrong')
        == f"'{__name__}:Path' is no thing: it must be a subclass of {__name__}.Thing"
    )
    assert 'did you mean installed?' in message(UnknownNameError, Thing.make, 'instaled')


def test_unknown_name() -> None:
    error_text = message(UnknownNameError, Thing.make, 'plane')
    assert error_text.startswith(
        "There is no thing 'plane'; did you mean plain? Valid names: broken, "
    )
    assert "'desipipe.things'" in error_text and "'module:Class'" in error_text
    assert '; valid names: broken, ' in message(UnknownNameError, Thing.make, 'xyz')
    assert 'ModuleNotFoundError' in message(UnknownNameError, Thing.make, 'broken')
    error_text = message(UnknownNameError, Thing.make, 'desipipe_has_no_such_module:Thing')
    assert (
        error_text.startswith(
            f"The thing 'desipipe_has_no_such_module:Thing' cannot be imported in {os.getcwd()}: "
            'ModuleNotFoundError'
        )
        and 'PYTHONPATH' in error_text
    )
    assert (
        message(ConfigError, Thing.make, {'name': 3}) == 'The name of a thing must be text, not 3'
    )
    assert (
        message(ConfigError, Thing.make, 3)
        == 'The thing must be a name, a dictionary with name and options, or a Thing, not 3'
    )


def test_unknown_option() -> None:
    error_text = message(UnknownOptionError, Thing.make, 'plain', nummer=2)
    assert error_text == (
        "The thing 'plain' has no option 'nummer'; did you mean number? Valid options: any, "
        'flag, length, number, text'
    )
    assert message(UnknownOptionError, Plain, xyz=2).endswith(
        "has no option 'xyz'; valid options: any, flag, length, number, text"
    )
    assert (
        message(UnknownOptionError, Thing, xyz=2)
        == "The thing 'Thing' has no option 'xyz'; valid options: none"
    )
    assert isinstance(UnknownOptionError(), TypeError)


@pytest.mark.parametrize(
    ('option', 'value', 'expected_text'),
    [
        (
            'number',
            'four',
            "number of the thing 'plain' must be a whole number, at least 0, not 'four'",
        ),
        ('number', -1, 'must be a whole number, at least 0, not -1'),
        ('number', True, 'must be a whole number, at least 0, not True'),
        ('number', None, 'must be a whole number, at least 0, not None'),
        ('length', 'far', "length of the thing 'plain' must be a number, at least 0, not 'far'"),
        ('length', float('nan'), 'must be a number, at least 0, not nan'),
        ('text', 3, "text of the thing 'plain' must be text, such as 'a', not 3"),
        ('flag', 1, "flag of the thing 'plain' must be True or False, not 1"),
    ],
)
def test_bad_option(option: str, value: object, expected_text: str) -> None:
    assert expected_text in message(ConfigError, Plain, **{option: value})


def test_good_options() -> None:
    import numpy as np

    made = Plain(number=np.int32(3), length=2, text='b', flag=True, any=[1])
    assert made.options() == {'number': 3, 'length': 2.0, 'text': 'b', 'flag': True, 'any': [1]}
    assert type(made.options()['number']) is int


def test_numbers() -> None:
    assert whole_number(1, 'n') == 1 and number(0, 'x') == 0.0
    assert (
        message(ConfigError, whole_number, 0, 'n') == 'n must be a whole number, at least 1, not 0'
    )
    assert (
        message(ConfigError, number, 1, 'x', least=1.5) == 'x must be a number, at least 1.5, not 1'
    )


# --- words


@pytest.mark.parametrize(
    ('seconds', 'expected_text'),
    [
        (0, '0:00'),
        (0.4, '0:00'),
        (7.6, '0:08'),
        (59.4, '0:59'),
        (59.6, '1:00'),
        (3599.6, '1:00:00'),
        (3723, '1:02:03'),
        (86399, '23:59:59'),
        (86400, '1 d 0 h'),
        (2 * 86400 + 3 * 3600 + 3599, '2 d 3 h'),
        (1e9, '11,574 d 1 h'),
        (-3, '0:00'),
        (float('inf'), '?'),
        (float('nan'), '?'),
    ],
)
def test_format_duration(seconds: float, expected_text: str) -> None:
    assert utils.format_duration(seconds) == expected_text


@pytest.mark.parametrize(
    ('n', 'expected_text'),
    [
        (0, '0 B'),
        (999, '999 B'),
        (1000, '1.0 kB'),
        (999_949, '999.9 kB'),
        (999_950, '1.0 MB'),
        (20_000_000, '20.0 MB'),
        (3e15, '3.0 PB'),
        (3e18, '3,000.0 PB'),
    ],
)
def test_format_bytes(n: float, expected_text: str) -> None:
    assert utils.format_bytes(n) == expected_text


@hypothesis.given(st.floats(0, 1e18))
def test_format_bytes_is_close(n: float) -> None:
    value, unit = utils.format_bytes(n).replace(',', '').split()
    scale = {'B': 1, 'kB': 1e3, 'MB': 1e6, 'GB': 1e9, 'TB': 1e12, 'PB': 1e15}[unit]
    assert abs(float(value) * scale - n) <= (0.5 if unit == 'B' else 0.0501 * scale)
    assert float(value) < 1000 or unit == 'PB' or n < 1000


def test_format_count() -> None:
    assert [utils.format_count(n) for n in (0, 1204, -1000000)] == ['0', '1,204', '-1,000,000']


def test_is_sequence() -> None:
    assert all(map(utils.is_sequence, ([], (), set(), frozenset())))
    assert not any(map(utils.is_sequence, ('ab', b'ab', {}, 3, None, iter([]))))


def test_mkdir(tmp_path: Path) -> None:
    utils.mkdir(tmp_path / 'a' / 'b', mode=0o700)
    utils.mkdir(tmp_path / 'a' / 'b')
    utils.mkdir('')
    assert stat.S_IMODE((tmp_path / 'a' / 'b').stat().st_mode) == 0o700
    (tmp_path / 'file').touch()
    with pytest.raises(FileExistsError, match='file'):
        utils.mkdir(tmp_path / 'file')


# --- logging


def test_setup_logging_shows_every_logger_on_stdout(
    root: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    utils.setup_logging()
    logging.getLogger('Mine').info('one')
    logging.getLogger('Mine').debug('not this')

    captured = capsys.readouterr()
    assert captured.err == '' and re.fullmatch(
        r'\[\d{6}\.\d\d\]  \d\d-\d\d \d\d:\d\d  Mine {22}INFO     one\n', captured.out
    )
    assert (root.level, len(root.handlers)) == (logging.INFO, 1)


def test_setup_logging_replaces_what_was_set_up(root: logging.Logger, tmp_path: Path) -> None:
    stream = io.StringIO()
    utils.setup_logging('warning', stream=stream, fmt='%(name)s|%(levelname)s|%(message)s')
    logging.getLogger('Mine').info('not this')
    logging.getLogger('Mine').warning('one')
    file = tmp_path / 'new' / 'log'
    utils.setup_logging(level='DEBUG', filename=file, filemode='w')
    logging.getLogger('Mine').debug('two')
    first = root.handlers[0]
    utils.setup_logging(filename=file, filemode='a')
    logging.getLogger('Mine').info('three')

    assert stream.getvalue() == 'Mine|WARNING|one\n'
    assert isinstance(first, logging.FileHandler) and first.stream is None  # closed
    assert [line.split()[-1] for line in file.read_text().splitlines()] == ['two', 'three']


def test_setup_logging_logs_exceptions(root: logging.Logger) -> None:
    stream = io.StringIO()
    utils.setup_logging(stream=stream)
    try:
        raise ValueError('mine')
    except ValueError as exc:
        sys.excepthook(type(exc), exc, exc.__traceback__)

    assert 'CRITICAL' in stream.getvalue() and 'ValueError: mine' in stream.getvalue()


def test_setup_logging_refuses_unknown_levels(root: logging.Logger) -> None:
    before = list(root.handlers)
    assert "no logging level 'loud'" in message(ValueError, utils.setup_logging, 'loud')
    assert root.handlers == before


def test_logging_context_restores_levels(root: logging.Logger) -> None:
    stream = io.StringIO()
    utils.setup_logging(stream=stream, fmt='%(message)s')
    with utils.LoggingContext('warning'):
        logging.getLogger('Mine').info('not this')
    logging.getLogger('Mine').info('one')

    assert stream.getvalue() == 'one\n' and root.level == logging.INFO


def test_base_class_logs_under_its_name(root: logging.Logger) -> None:
    stream = io.StringIO()
    utils.setup_logging(stream=stream, fmt='%(name)s: %(message)s')

    class Survey(utils.BaseClass):
        def __init__(self) -> None:
            self.cuts: list[str] = []

    survey = Survey()
    survey.log_info('measured')
    other = survey.copy()

    assert stream.getvalue() == 'Survey: measured\n'
    assert other is not survey and other.cuts is survey.cuts


def test_base_dict_is_copied_with_its_items() -> None:
    class Options(utils.BaseDict):
        pass

    options = Options(a=1)
    other = options.clone({'b': 2}, c=3)

    assert (dict(options), dict(other), type(other)) == (
        {'a': 1},
        {'a': 1, 'b': 2, 'c': 3},
        Options,
    )


def test_copytree_keeps_permissions_of_folders(tmp_path: Path) -> None:
    (tmp_path / 'a' / 'inner').mkdir(parents=True)
    (tmp_path / 'a' / 'inner' / 'file').write_text('x')
    (tmp_path / 'b').mkdir(mode=0o700)
    utils.copytree(
        tmp_path / 'a',
        tmp_path / 'b',
        dirs_exist_ok=True,
        copy_function=shutil.copyfile,
        dirs_copystat=False,
    )

    assert (tmp_path / 'b' / 'inner' / 'file').read_text() == 'x'
    assert (tmp_path / 'b').stat().st_mode & 0o777 == 0o700
    with pytest.raises(FileExistsError):
        utils.copytree(tmp_path / 'a', tmp_path / 'b')


# --- machine, processes, versions


def test_machine() -> None:
    machine = provenance.machine()
    assert machine == provenance.machine()
    assert (
        machine['pid'] == os.getpid()
        and machine['user'] == utils.username()
        and machine['executable'] == sys.executable
    )
    assert machine['host'] == os.uname().nodename and machine['python'] == sys.version.split()[
        0
    ].rstrip('+')
    assert machine['platform'].startswith(os.uname().sysname)
    code = 'from desipipe.provenance import machine; import json; print(json.dumps(machine()))'
    import json

    other = json.loads(
        subprocess.run([sys.executable, '-c', code], capture_output=True, check=True).stdout
    )
    assert {key for key in machine if other[key] != machine[key]} == {'pid', 'start'}  # type: ignore[literal-required]


linux = pytest.mark.skipif(not sys.platform.startswith('linux'), reason='needs /proc')


@linux
def test_process_of_any_name(tmp_path: Path) -> None:
    """The name of a process, which is before the numbers in its file, may look like the numbers."""
    name = tmp_path / 'a ) R 1 (\n2'
    name.symlink_to('/bin/cat')
    with subprocess.Popen([name], stdin=subprocess.PIPE) as process:
        start, own = provenance.process_start(process.pid), provenance.process_start(os.getpid())
        assert start is not None and own is not None and start >= own
        assert provenance.process_alive(process.pid, start) and provenance.process_alive(
            process.pid
        )
        assert not provenance.process_alive(
            process.pid, start - 1
        )  # the number was given to another process
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        # A zombie: it still has a number and a file.
        assert os.path.exists(f'/proc/{process.pid}/stat')
        assert provenance.process_start(process.pid) is None
        assert not provenance.process_alive(process.pid, start) and not provenance.process_alive(
            process.pid
        )
    assert not provenance.process_alive(process.pid, start)
    assert provenance.process_start(process.pid) is None


@linux
def test_stopped_process_is_alive() -> None:
    with subprocess.Popen(['cat'], stdin=subprocess.PIPE) as process:
        start = provenance.process_start(process.pid)
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        assert provenance.process_alive(process.pid, start)
        process.send_signal(signal.SIGCONT)
        process.kill()


@pytest.mark.parametrize('pid', [0, -1, 2**22 + 1, 2**40])
def test_process_that_is_absent(pid: int) -> None:
    assert not provenance.process_alive(pid)


def test_process_without_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on other systems, and where `/proc` hides the processes of other users."""
    monkeypatch.setattr('desipipe.machine._stat', lambda pid: None)
    assert provenance.process_alive(os.getpid(), 12345)
    assert provenance.process_start(os.getpid()) is None
    with subprocess.Popen(['true']) as process:
        process.wait()
    assert not provenance.process_alive(process.pid)

    def refuse(pid: int, number: int) -> None:
        raise PermissionError(1, 'Operation not permitted')

    monkeypatch.setattr(os, 'kill', refuse)
    assert provenance.process_alive(12345, 1)


def test_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import metadata

    versions_read = software.versions(
        [
            'yaml',
            'numpy.linalg',
            'os',
            'json',
            'no_such_package',
            '',
            'desipipe_has_no_such_module',
            'numpy',
        ]
    )
    assert versions_read == {'numpy': metadata.version('numpy'), 'yaml': metadata.version('PyYAML')}
    assert list(versions_read) == ['numpy', 'yaml']
    monkeypatch.setattr(metadata, 'version', lambda name: pytest.fail(f'looked up {name} again'))
    assert software.versions(['numpy']) == {'numpy': versions_read['numpy']}


def test_versions_of_a_shared_name_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ('first', 'second'):
        info = tmp_path / f'space_of_a_test_{name}-1.{len(name)}.dist-info'
        info.mkdir()
        (info / 'METADATA').write_text(
            f'Metadata-Version: 2.1\nName: space-of-a-test-{name}\nVersion: 1.{len(name)}\n'
        )
        (info / 'top_level.txt').write_text('space_of_a_test\n')
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    software._distributions.cache_clear()
    assert software.versions(['space_of_a_test']) == {
        'space_of_a_test': 'space-of-a-test-first 1.5, space-of-a-test-second 1.6'
    }
    software._distributions.cache_clear()
