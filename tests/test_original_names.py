"""Names, defaults and exceptions of desipipe 1.0 that its users rely on without noticing."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections import UserDict
from pathlib import Path
from typing import Any

import pytest

from desipipe import Config, Environment, Provider, Queue, TaskManager, setup_logging
from desipipe.config import yaml_parser
from desipipe.environment import (
    BaseEnvironment,
    BaseNERSCEnvironment,
    CosmodesiNERSCEnvironment,
)
from desipipe.task_manager import retry
from desipipe.utils import BaseDict, LoggingContext


@pytest.mark.parametrize('make', [Config, BaseEnvironment, BaseNERSCEnvironment])
def test_dictionaries_are_user_dictionaries(queue_dir: Path, make: Any) -> None:
    made = make()
    assert isinstance(made, UserDict) and isinstance(made, BaseDict)
    assert dict(made) == made.data and made == made.copy() and made.copy() is not made
    more = made | {'provider': 'local'}
    assert type(more) is make and more['provider'] == 'local' and 'provider' not in made
    assert ({'provider': 'nersc', 'x': 1} | more)['provider'] == 'local'
    more |= {'scheduler': 'simple'}
    assert more.pop('scheduler') == 'simple' and more.get('scheduler', 3) == 3
    assert make.fromkeys(['provider', 'scheduler'], 'simple')['scheduler'] == 'simple'


def test_configuration_lists_what_was_set(queue_dir: Path) -> None:
    config = Config()
    assert list(config) == ['base_queue_dir'] and len(config) == 1
    assert 'lease' not in config and config['lease'] == config.get('lease') == 30.0
    config['provider'] = 'nersc'
    assert list(config) == ['base_queue_dir', 'provider']
    config.config_dir = str(queue_dir)
    assert config.config_fn == str(queue_dir / 'config.yaml')
    assert yaml_parser('a: 1e-3\n---\nb: None') == [{'a': 1e-3}, {'b': None}]


def test_class_takes_the_place_of_the_command_of_its_base() -> None:
    class Own(CosmodesiNERSCEnvironment):
        name = 'own-cosmodesi'
        _command = 'source other.sh'

    class More(CosmodesiNERSCEnvironment):
        name = 'more-cosmodesi'
        _defaults = {**CosmodesiNERSCEnvironment._defaults, 'A': '1'}
        _command = CosmodesiNERSCEnvironment._command + ' ; ls'

    class New(CosmodesiNERSCEnvironment):
        name = 'new-cosmodesi'
        commands = ('one', 'two')

    assert Own().command == ('source other.sh',) and Own()['DESICFS']
    assert More().command[0].endswith(' main ; ls') and list(More()) == ['DESICFS', 'A']
    assert New().command == ('one', 'two')
    assert BaseEnvironment([('a', 'b')]) == {'a': 'b'}


@pytest.mark.parametrize('given', [None, {'Z': '1'}])
def test_command_takes_the_place_of_the_configurations(queue_dir: Path, given: Any) -> None:
    path = Path(Config().config_fn)
    path.write_text('environ:\n  name: nersc-base\n  command: export B=2\n')
    assert Environment(given).command == ('export B=2',)
    made = Environment(given, command='export C=3')
    assert made.command == ('export C=3',) and made.name == 'nersc-base'


@pytest.mark.parametrize(
    ('given', 'kept'),
    [
        ('01:00:00', '0-1:0:0'),
        ('90', '0-0:90:0'),
        ('1-12', '1-12:0:0'),
        ('2:30', '0-0:2:30'),
        (30, '0-0:30:0'),
    ],
)
def test_times_read_as_before(given: Any, kept: str) -> None:
    assert Provider('nersc', time=given).time == kept
    assert Provider('nersc', time=kept).time == kept


def test_retry_takes_what_was_killed(queue: Queue) -> None:
    app = TaskManager(queue).python_app(lambda i: i)
    futures = [app(i) for i in range(3)]
    for future, state in zip(futures, ('FAILED', 'KILLED', 'UNKNOWN'), strict=True):
        queue.set_task_state(future.id, state)
    assert [task.id for task in retry(queue)] == [futures[1].id]
    assert len(retry(queue, ['FAILED', 'UNKNOWN'])) == 2


def test_tasks_of_identities_is_one(queue: Queue) -> None:
    def function(second: int, first: int = 2, *, a: int = 3) -> int:
        return second

    app = TaskManager(queue).python_app(function)
    futures = [app(i) for i in range(3)]
    ids = [future.id for future in futures]
    assert queue.tasks(tid=ids).id == queue.tasks(tid=tuple(ids[:1])).id == ids[0]
    assert [task.id for task in queue.tasks(tid=ids, one=False)] == ids
    assert queue.tasks(tid=['no']) is None and queue.tasks(mid='no') == []
    # In the order of the function, as people wrote it.
    assert list(queue[ids[0]].kwargs) == ['second', 'first', 'a']
    assert queue.pop('PENDING', tid=ids[1]).id == ids[1] and queue.pop(tid='no') is None


def test_levels(root: logging.Logger) -> None:
    for kind in (KeyError, ValueError):
        with pytest.raises(kind, match='logging level'):
            LoggingContext('nope')
    setup_logging(force=True)


@pytest.mark.parametrize('arguments', [['tasks', '--prop', 'out'], ['tasks', '--sta', 'PENDING']])
def test_options_may_be_cut_short(queue: Queue, arguments: list[str]) -> None:
    command = [sys.executable, '-m', 'desipipe', *arguments, '--que', queue.folder]
    assert subprocess.run(command, capture_output=True, timeout=120).returncode == 0
