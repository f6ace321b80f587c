"""Clearing a queue: nothing of before is taken for what comes after, and what runs ends by
itself.
"""

from __future__ import annotations

import os
import pickle
import stat
import subprocess
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
    facts,
    finish,
    fresh,
    knowledge,
    make_folder,
    start_script,
    tid,
)
from polling import wait_for

from desipipe import Queue, TaskManager
from desipipe.errors import QueueGoneError
from desipipe.queue.clearing import clear
from desipipe.queue.compact import compact
from desipipe.queue.events import FAILED, RUNNING, STATES, SUCCEEDED
from desipipe.queue.ledger import Ledger
from desipipe.queue.repair import repair
from desipipe.store.lease import Lease
from desipipe.store.shared_files import open_log


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """A queue with a worker that runs one task, has another, and has reported a third."""
    ledger = Ledger(make_folder(tmp_path), None, name='w')
    begin(ledger, 'w', 4)
    add(ledger, ['done', 'a', 'b', 'c'], {'b': ['done']})
    finish(ledger, 'w', claim(ledger, 'w', 1))
    claim(ledger, 'w', 3)
    return ledger


def state_of(ledger: Ledger, name: object) -> str:
    """The state of a task, by what it was named."""
    return STATES[ledger.state.status[ledger.row(tid(name))]]


def sound(ledger: Ledger) -> None:
    """Compare with another view, before and after a compaction."""
    consistent(ledger.state)
    before = knowledge(ledger)
    assert differences(before, knowledge(fresh(ledger))) == []
    compact(fresh(ledger))
    ledger.follow()
    consistent(ledger.state)
    assert differences(before, knowledge(ledger)) == []


def test_running_tasks_that_are_added_again_run_on(ledger: Ledger) -> None:
    other = fresh(ledger)
    clear(other, carry=True)
    assert len(fresh(ledger).state) == 0
    compact(other)
    rows = add(other, ['d', 'a', 'e'], {'e': ['a']})
    assert (state_of(other, 'd'), state_of(other, 'a'), state_of(other, 'e')) == (
        'PENDING',
        'RUNNING',
        'WAITING',
    )
    sound(other)
    ledger.follow()
    assert (
        set(rows) >= {other.row(tid('d')), other.row(tid('e'))}
        and min(other.row(tid('d')), other.row(tid('e'))) > 3
    )
    finish(ledger, 'w', [(1, 1), (2, 1)])
    other.follow()
    assert (state_of(other, 'a'), state_of(other, 'e')) == ('SUCCEEDED', 'PENDING')
    assert other.load_result(other.row(tid('a'))) == (1, 1, 'w')
    assert tid('b') not in other.state.rows and len(other.state) == 3
    sound(other)
    add(ledger, ['b'])  # it has ended meanwhile
    assert state_of(ledger, 'b') == 'SUCCEEDED' and ledger.load_result(ledger.row(tid('b'))) == (
        2,
        1,
        'w',
    )
    sound(ledger)


@pytest.mark.parametrize('how', ['failed', 'given back', 'worker ended', 'worker vanished'])
def test_clear_forgets_unsuccessful_tasks(ledger: Ledger, how: str) -> None:
    other = fresh(ledger)
    clear(other, carry=True)
    ledger.follow()
    if how == 'failed':
        finish(ledger, 'w', [(1, 1)], FAILED)
    elif how == 'given back':
        ledger.exchange('w', back=[(1, 1)])
    else:
        ledger.end_worker('w', 'for a test')
    add(other, ['a'])
    assert state_of(other, 'a') == 'PENDING' and other.row(tid('a')) > 3
    sound(other)


def test_revived_task_waits_for_what_it_needs_when_it_fails(ledger: Ledger) -> None:
    other = fresh(ledger)
    clear(other, carry=True)
    add(other, ['done', 'b'], {'b': ['done']}, retries=1)
    assert (state_of(other, 'done'), state_of(other, 'b')) == ('PENDING', 'RUNNING')
    ledger.follow()
    finish(ledger, 'w', [(2, 1)], FAILED)
    other.follow()
    assert state_of(other, 'b') == 'WAITING'
    finish(other, 'w', claim(other, 'w', 1))
    assert state_of(other, 'b') == 'PENDING'
    sound(other)


def test_failure_from_before_is_no_failure_of_the_task_that_was_added_again(
    ledger: Ledger,
) -> None:
    """What it needed may have gone with the other tasks."""
    other = fresh(ledger)
    clear(other, carry=True)
    add(other, ['a', 'b'])
    assert (state_of(other, 'a'), state_of(other, 'b')) == ('RUNNING', 'RUNNING')
    # The worker learns of it when it reports.
    finish(ledger, 'w', [(1, 1)], FAILED)
    assert (state_of(ledger, 'a'), state_of(ledger, 'b')) == ('PENDING', 'RUNNING')
    # What it runs later is an attempt of the new task.
    finish(ledger, 'w', claim(ledger, 'w', 1), FAILED)
    assert state_of(ledger, 'a') == 'FAILED'
    sound(ledger)


def test_task_runs_again_whose_own_tasks_were_cleared(
    queue: Queue,
    tm: TaskManager,
    start: Callable[..., subprocess.Popen[bytes]],
    tmp_path: Path,
) -> None:

    @tm.python_app
    def inner() -> int:
        return 3

    @tm.python_app
    def outer(folder: Path) -> int:
        import time

        (folder / 'began').touch()
        while not (folder / 'paused').exists():
            time.sleep(0.01)
        return 1 + inner().result()

    outer(tmp_path)
    worker = start('--linger', '60')
    wait_for((tmp_path / 'began').exists)
    queue.pause()
    (tmp_path / 'paused').touch()
    wait_for(lambda: len(queue.tasks()) == 2)
    queue.clear(kill=False)
    future = outer(tmp_path)
    queue.resume()
    assert future.result(timeout=120) == 4
    worker.terminate()


def test_clearing_twice_keeps_what_runs(ledger: Ledger) -> None:
    other = fresh(ledger)
    clear(other, carry=True)
    add(other, ['a'])
    clear(other, carry=True)
    clear(other, carry=True)
    add(other, ['a', 'b'])
    ledger.follow()
    finish(ledger, 'w', [(1, 1), (2, 1)])
    assert [ledger.load_result(ledger.row(tid(name))) for name in 'ab'] == [
        (1, 1, 'w'),
        (2, 1, 'w'),
    ]


def test_row_numbers_begin_again_without_workers(ledger: Ledger) -> None:
    ledger.end_worker('w', 'for a test')
    identity = ledger.journal.header['id']
    clear(ledger, carry=True)
    assert ledger.journal.header['id'] != identity and add(ledger, ['x']) == [0]


@pytest.mark.parametrize('carry', [True, False])
def test_report_from_before_is_never_taken_for_another_task(ledger: Ledger, carry: bool) -> None:
    """Also when its worker reads the cleared journal between its last look and its report."""
    other = fresh(ledger)
    identity = ledger.journal.header['id']
    clear(other, carry=carry)
    begin(other, 'v', 4)
    add(other, ['x', 'y', 'z'])
    claimed = [*claim(other, 'v', 2), *claim(other, 'v', 2)]
    ledger.follow()  # as a worker that notes versions does
    from desipipe.queue.ends import End

    ends = [End(row, 1, SUCCEEDED, 0.0, 1, ledger.store(pickle.dumps('old'))) for row in (1, 2)]
    if carry:
        ledger.exchange('w', ends, identity=identity)
    else:
        with pytest.raises(QueueGoneError, match='cleared'):
            ledger.exchange('w', ends, identity=identity)
    other.follow()
    assert [other.state.status[row] for row, _ in claimed] == [RUNNING] * 3
    finish(other, 'v', claimed)
    assert [other.load_result(row) for row, _ in claimed] == [(row, 1, 'v') for row, _ in claimed]


ADDER = """
import sys
from engine import add
from desipipe.queue.ledger import Ledger
from desipipe import Queue, TaskManager
from desipipe.errors import QueueGoneError
ledger = Ledger(sys.argv[1], None)
print('ready', flush=True)
i = 0
while True:
    i += 1
    add(ledger, [('new', i, k) for k in range(3)], app=f'app {i:d}')
    if i % 10 == 0:
        ledger = Ledger(sys.argv[1], None)
"""


@pytest.mark.parametrize('carry', [True, False])
def test_files_that_others_have_just_begun_stay(tmp_path: Path, carry: bool) -> None:
    ledger = Ledger(make_folder(tmp_path), None)
    with start_script(ADDER, ledger.folder) as adder:
        assert adder.stdout is not None and adder.stdout.readline() == 'ready\n'
        for _ in range(40):
            clear(ledger, carry=carry)
            ledger.wait(lambda: len(ledger.state) > 20, 60)
            for row in list(ledger.state.each()):
                assert ledger.again(lambda row=row: ledger.load(ledger.arguments_payload(row)))  # type: ignore[misc]
        adder.kill()
    assert facts(fresh(ledger).state)


def test_files_of_before_are_removed_and_those_of_the_living_stay(ledger: Ledger) -> None:
    folder = os.path.join(ledger.folder, 'segments')
    for name in ('w-0.bin', 'w-0.1.bin', 'unknown.bin'):
        Path(folder, name).touch()
    Path(ledger.folder, 'live', 'w-0.log').touch()
    other = Ledger(ledger.folder, None, name='submitter')
    add(other, ['from another'])
    other.close()
    begin(ledger, 'ended')
    Path(folder, 'ended-3.bin').touch()
    Path(ledger.folder, 'live', 'ended-3.log').touch()
    ledger.end_worker('ended', 'for a test')
    clear(other, carry=True)
    assert {name for name in os.listdir(folder) if not name.startswith('submitter')} == {
        'w.bin',
        'w-0.bin',
        'w-0.1.bin',
        'unknown.bin',
    }
    assert not os.path.exists(os.path.join(folder, 'submitter.bin'))
    assert os.listdir(os.path.join(ledger.folder, 'live')) == ['w-0.log']


@pytest.mark.skipif(os.geteuid() != 0, reason='needs root, to change groups')
@pytest.mark.parametrize('umask', [0o077, 0o022])
@pytest.mark.parametrize('handed_on', [True, False], ids=['setgid', 'no setgid'])
def test_shared_queue_stays_shared(tmp_path: Path, umask: int, handed_on: bool) -> None:
    """Mode and group of the journal and of new files are those of the folder, whoever compacts,
    clears or repairs with whatever umask.
    """
    folder = make_folder(tmp_path)
    subprocess.run(['chgrp', '-R', '12345', folder], check=True)
    subprocess.run(['chmod', '-R', 'u=rwX,g=rwXs,o=', folder], check=True)
    if not handed_on:
        for path, _, _ in os.walk(folder):
            subprocess.run(['chmod', 'g-s', path], check=True)
    old = os.umask(umask)
    try:
        ledger = Ledger(folder, None)
        for what in (
            lambda: compact(ledger),
            lambda: clear(ledger, carry=False),
            lambda: clear(ledger, carry=True),
        ):
            add(ledger, ['a', 'b'])
            what()
            add(ledger, ['c'])
            ledger.journal.write(lambda: [{'e': 'note', 'x': 'to be damaged'}])
            size = os.path.getsize(ledger.journal.path)
            with open(ledger.journal.path, 'r+b') as file:
                file.seek(size - 5)
                file.write(b'?')
            view = fresh(ledger)
            assert view.state.damage
            repair(view)
            ledger.follow()
            open_log(os.path.join(folder, 'manager.log')).close()
            lease = Lease(folder, 'another', False)
            paths = [
                os.path.join(path, name) for path, _, names in os.walk(folder) for name in names
            ]
            assert {os.path.basename(path) for path in paths} > {'manager.log', 'another.lease'}
            for path in paths:
                status = os.stat(path)
                assert (stat.S_IMODE(status.st_mode) & 0o777, status.st_gid) == (0o660, 12345), path
            lease.close()
    finally:
        os.umask(old)


def test_mids_of_jobs_stay_known(ledger: Ledger) -> None:
    """A job that begins only now finds its task manager."""
    ledger.note_jobs(MID, [('1', 1, 'pending', '', '', None)])
    ledger.end_worker('w', 'for a test')
    clear(ledger, carry=True)
    assert MID in ledger.state.managers and '1' in ledger.state.jobs
