"""Command lines as people type them: order, queues without ``-q``, defaults that are told."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from desipipe import Queue
from desipipe.cli import main
from desipipe.commands.parser import _OTHER_PROGRAMS, build_parser, parse, summaries

PARSER = build_parser()


@pytest.mark.parametrize(
    ('line', 'verb', 'queue', 'argument', 'value'),
    [
        ('status mocks', 'status', ['mocks'], 'json', False),
        ('status a b', 'status', ['a', 'b'], 'json', False),
        ('-q mocks status', 'status', ['mocks'], 'json', False),
        ('--json status mocks', 'status', ['mocks'], 'json', True),
        ('-q a b spawn --spawn', 'spawn', ['a', 'b'], 'spawn', True),
        ('-q status status', 'status', ['status'], 'json', False),
        ('--queue mocks logs x[3]', 'logs', 'mocks', 'task', 'x[3]'),
        ('tasks mocks --state FAILED', 'tasks', 'mocks', 'state', ['FAILED']),
        ('--state FAILED tasks mocks', 'tasks', 'mocks', 'state', ['FAILED']),
        ('logs mocks x[3]', 'logs', 'mocks', 'task', 'x[3]'),
        ('logs x[3]', 'logs', None, 'task', 'x[3]'),
        ('accept mocks old new', 'accept', 'mocks', 'new', 'new'),
        ('files mocks a/b.npy', 'files', 'mocks', 'path', 'a/b.npy'),
        ('add mocks --create -- grep -c x', 'add', 'mocks', 'command', ['grep', '-c', 'x']),
        ('add mocks -- git log -- x', 'add', 'mocks', 'command', ['git', 'log', '--', 'x']),
        ('add -q m -- git log -- x', 'add', 'm', 'command', ['git', 'log', '--', 'x']),
        ('add -- true', 'add', None, 'command', ['true']),
        ('spawn -q a b', 'spawn', ['a', 'b'], 'spawn', False),
    ],
)
def test_words_find_their_place(
    line: str, verb: str, queue: object, argument: str, value: object
) -> None:
    args = parse(line.split(), PARSER)
    assert (args.verb, args.queue, getattr(args, argument)) == (verb, queue, value)


@pytest.mark.parametrize(
    ('line', 'message'),
    [
        ('-q mocks stauts', "There is no verb 'stauts': did you mean status?"),
        ('-q mocks failed', "There is no verb 'failed': did you mean tasks --state FAILED?"),
        ('STOP mocks', "There is no verb 'STOP': did you mean pause, cancel, kill?"),
        ('xyzzy', "There is no verb 'xyzzy': known: accept, "),
        ('status --jsn mocks', 'There is no option --jsn: did you mean --json?'),
        ('serve --port abc', "'abc' is no port: ports are numbers from 0 to 65535. See: "),
        ('-q mocks status more', "Unexpected argument 'more'. Nothing was done."),
        ('logs mocks x y', "Unexpected argument 'y'. Nothing was done."),
        ('add a b -- true', "Unexpected argument 'a'. Nothing was done."),
        ('add a --bad -- true', 'There is no option --bad'),
        ('--json', 'No verb was given. See: desipipe --help'),
    ],
)
def test_parser_names_unexpected_arguments(
    line: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse(line.split(), PARSER)
    assert message in capsys.readouterr().err


def test_words_of_other_programs_name_verbs() -> None:
    verbs = set(summaries())
    for near, others in _OTHER_PROGRAMS.items():
        assert {line.split()[0] for line in near.split(', ')} <= verbs
        assert not set(others.split()) & verbs


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Queue]:
    """Two queues, the second of which changed last."""
    monkeypatch.setenv('DESIPIPE_QUEUE_DIR', str(tmp_path))
    queues = [Queue(name, create=True) for name in ('late', 'early')]
    for queue, when in zip(queues, (2e9, 1e9), strict=True):
        os.utime(queue.filename, (when, when))
    return queues


def test_looking_takes_the_queue_that_changed_last(
    two: list[Queue], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(['tasks', '--json']) == 0
    output = capsys.readouterr()
    assert json.loads(output.out) == []
    assert output.err == 'Queue late, which changed last (others: 1).\n'


@pytest.mark.parametrize('verb', ['retry', 'pause', 'spawn', 'compact'])
def test_changing_wants_the_queue_named(
    verb: str, two: list[Queue], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([verb]) == 2
    error = capsys.readouterr().err
    assert 'Nothing was done. You have 2 queues, first those that changed last: late' in error
    assert error.endswith(f'\ndesipipe {verb} -q late\n')


def test_changing_takes_the_only_queue(
    two: list[Queue], capsys: pytest.CaptureFixture[str]
) -> None:
    two[0].delete()
    assert main(['pause']) == 0
    assert capsys.readouterr().err == 'Queue early, your only one.\n'
    assert two[1].paused
    assert main(['delete', '--force']) == 2
    assert os.path.exists(two[1].folder)


def test_misspelled_queue_is_asked_for(
    two: list[Queue], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(['status', '-q', 'earyl']) == 2
    assert 'did you mean early? List queues with: desipipe queues' in capsys.readouterr().err


def test_command_without_queues_names_what_makes_one(
    two: list[Queue], capsys: pytest.CaptureFixture[str]
) -> None:
    for queue in two:
        queue.delete()
    assert main(['tasks']) == 2
    error = capsys.readouterr().err
    assert 'There are no queues in' in error and error.splitlines()[-1].startswith('desipipe ')


@pytest.mark.parametrize('name', ['./queues/here', './here'])
def test_queues_of_the_present_folder_are_found(
    two: list[Queue],
    name: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where a project keeps its own, as `desipipe new` does."""
    monkeypatch.chdir(tmp_path)
    here = Queue(name, create=True)
    assert main(['queues', '--json']) == main(['status', '--json']) == 0
    assert capsys.readouterr().out.count(f'"{here.folder}"') == 2
    for queue in two:
        queue.delete()
    assert main(['pause']) == 0 and here.paused
