"""Journals that were damaged, or put back from a backup: nothing runs for ever, nothing false is
believed, and no queue hides others.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from engine import (
    MID,
    add,
    begin,
    claim,
    consistent,
    differences,
    finish,
    fresh,
    journal_lines,
    knowledge,
    make_folder,
    note,
    tid,
)
from polling import wait_for

from desipipe import Queue, TaskManager
from desipipe.queue.compact import compact
from desipipe.queue.events import FAILED, STATES, UNKNOWN
from desipipe.queue.ledger import Ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """A queue with a worker."""
    ledger = Ledger(make_folder(tmp_path), None)
    begin(ledger, 'w', 4)
    return ledger


def damage(ledger: Ledger, kind: str, number: int = 0) -> Ledger:
    """Change a byte of the line of an event of this kind; return another view."""
    offset, _ = [
        item for item in journal_lines(ledger.folder) if f'"e":"{kind}"'.encode() in item[1]
    ][number]
    with open(ledger.journal.path, 'r+b') as file:
        os.pwrite(file.fileno(), b'X', offset + 2)
    return fresh(ledger)


def states(ledger: Ledger) -> list[str]:
    """States of all tasks."""
    return [STATES[ledger.state.status[row]] for row in ledger.state.each()]


@pytest.mark.parametrize('retries', [0, 1])
def test_end_of_a_worker_ends_what_it_ran(ledger: Ledger, retries: int) -> None:
    add(ledger, 'ab', {'b': ['a']}, retries=retries)
    finish(ledger, 'w', claim(ledger, 'w', 1))
    ledger.end_worker('w', 'nothing left to do')
    view = damage(ledger, 'end')
    assert states(view) == (['UNKNOWN', 'WAITING'] if not retries else ['PENDING', 'WAITING'])
    assert 'damaged' in view.cause(0)['text']
    consistent(view.state)
    before = knowledge(view)
    compact(fresh(view))
    view.follow()
    assert differences(before, knowledge(view)) == [] and view.cause(0)['kind'] == 'lost'
    view.retry(lambda state: [row for row in state.each() if state.status[row] == UNKNOWN])
    begin(view, 'v')
    finish(view, 'v', claim(view, 'v', 1))
    assert states(view) == ['SUCCEEDED', 'PENDING']
    assert view.load_result(0) == (0, 2, 'v')


def test_worker_whose_beginning_was_lost_can_be_judged(ledger: Ledger) -> None:
    add(ledger, 'a')
    claim(ledger, 'w', 1)
    view = damage(ledger, 'worker')
    assert states(view) == ['RUNNING'] and list(view.state.alive) == ['w']
    view.end_worker('w', 'vanished')
    assert states(view) == ['UNKNOWN'] and not view.state.alive


def test_report_is_that_of_who_runs_the_task(ledger: Ledger) -> None:
    """In a journal that was put back the same number may be another task, run by another worker."""
    add(ledger, 'a')
    shutil.copy(ledger.journal.path, ledger.folder + '.backup')
    add(ledger, 'b')
    claimed = claim(ledger, 'w', 2)
    assert [row for row, _ in claimed] == [0, 1]
    shutil.copyfile(ledger.folder + '.backup', ledger.journal.path)
    other = fresh(ledger)
    begin(other, 'v', 4)
    add(other, 'c')
    theirs = claim(other, 'v', 2) + claim(other, 'v', 2)
    assert sorted(theirs) == sorted(claimed)
    finish(ledger, 'w', claimed)
    other.follow()
    assert states(other) == ['RUNNING', 'RUNNING']
    finish(other, 'v', theirs)
    assert [other.load_result(row) for row, _ in theirs] == [(row, 1, 'v') for row, _ in theirs]


def test_worker_ends_when_an_older_journal_is_put_back(queue_dir: Path, tmp_path: Path) -> None:
    queue = Queue('q', create=True)

    @TaskManager(queue).python_app
    def wait(i: int, go: str) -> int:
        import os
        import time

        open(f'{go}-{i}', 'w').close()
        while not os.path.exists(go):
            time.sleep(0.01)
        return i

    go = tmp_path / 'go'
    for i in range(3):
        wait(i, str(go))
    shutil.copy(queue.filename, tmp_path / 'backup')
    with subprocess.Popen(
        [sys.executable, '-m', 'desipipe', 'work', '-q', queue.folder, '--linger', '600'],
        stderr=subprocess.PIPE,
    ) as process:
        wait_for(lambda: (tmp_path / 'go-0').exists())
        shutil.copyfile(tmp_path / 'backup', queue.filename)
        _, output = process.communicate(timeout=120)
    assert b'older copy' in output and process.returncode != 0
    assert queue.counts['PENDING'] == 3
    go.touch()
    assert (
        subprocess.run(
            [sys.executable, '-m', 'desipipe', 'work', '-q', queue.folder], timeout=120
        ).returncode
        == 0
    )
    assert [task.result for task in queue.tasks()] == [0, 1, 2]


BAD_EVENTS: dict[str, Callable[[], dict[str, object]]] = {
    'no kind': lambda: {'e': None, 'rows': [0]},
    'a member is missing': lambda: {'e': 'add', 'first': 2},
    'another kind of member': lambda: {'e': 'end', 'w': 'w', 'rows': 'x', 'n': [1]},
    'columns differ': lambda: {'e': 'run', 'w': 'w', 'rows': [0, 1], 'n': [1], 't': 0.0},
    'fewer identities': lambda: {
        'e': 'add',
        'first': 2,
        'g': 0,
        'i': 0,
        'ids': 'ab' * 16,
        'seg': 's',
        'off': 0,
        'len': [1, 1],
        't': 0.0,
    },
    'a row out of reach': lambda: {'e': 'drop', 'rows': [4_000_000_000]},
    'no such state': lambda: {'e': 'set', 'rows': [0], 's': 77, 't': 0.0, 'why': 'set'},
    'a group without its app': lambda: {'e': 'group', 'g': 5},
    'no such group': lambda: {'e': 'assign', 'g': 'x', 'rows': [0]},
    'a worker without a name': lambda: {'e': 'worker', 'do': 'begin', 't': 0.0},
    'nested': lambda: {'e': 'job', 'mid': MID, 'jobs': [[1, 2]], 't': 0.0},
}


@pytest.mark.parametrize('what', BAD_EVENTS)
def test_event_that_can_not_be_folded_is_damage(ledger: Ledger, what: str) -> None:
    add(ledger, 'ab')
    at = ledger.journal.offset
    lines = b''
    from desipipe.store.line_format import encode

    for event in (BAD_EVENTS[what](), note('between'), BAD_EVENTS[what]()):
        lines += encode(event, at + len(lines))
    with open(ledger.journal.path, 'ab') as file:
        file.write(lines)
    for view in (ledger, fresh(ledger)):
        view.follow()
        assert len(view.state.damage) == 2 and states(view) == ['PENDING', 'PENDING']
        consistent(view.state)
    add(ledger, 'c')
    finish(ledger, 'w', claim(ledger, 'w', 4), FAILED)
    view = fresh(ledger)
    assert states(view) == ['FAILED'] * 3 and differences(knowledge(ledger), knowledge(view)) == []


def test_queues_lists_others_beside_damaged_one(
    queue_dir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from desipipe.cli import main

    good, bad, header = (Queue(name, create=True) for name in ('good', 'bad', 'header'))
    for queue in (good, bad):
        add(queue.ledger, 'ab')
    bad.ledger.journal.write(lambda: [note('x')])
    from desipipe.store.line_format import encode

    with open(bad.filename, 'ab') as file:
        file.write(encode({'e': 5}, bad.ledger.journal.offset))
    with open(header.filename, 'r+b') as file:
        file.write(b'?')
    for argv in (
        ['queues'],
        ['status', '-q', '*'],
        ['queues', '--json'],
        ['status', '-q', '*', '--json'],
    ):
        main(argv)
        out, err = capfd.readouterr()
        assert 'good' in out and 'bad' in out and 'Traceback' not in out + err
        assert 'header' in out + err
    assert tid('a') in bad.ledger.state.rows
