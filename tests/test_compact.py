"""Compaction and repair: what was known is known, whoever looks, whatever else goes on, and
wherever it is cut off.
"""

from __future__ import annotations

import errno
import os
import pickle
import shutil
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine import (
    MANAGERS,
    MID,
    add,
    begin,
    claim,
    code,
    consistent,
    differences,
    done,
    facts,
    fail,
    finish,
    fresh,
    group,
    journal_lines,
    knowledge,
    make_folder,
    read_line,
    record,
    send_line,
    start_script,
    states,
    tid,
)

from desipipe.errors import DiskFullError
from desipipe.queue.adding import Batch, NewTasks
from desipipe.queue.compact import compact, sizes
from desipipe.queue.ends import End
from desipipe.queue.events import CHUNK, FAILED, SUCCEEDED, Ref
from desipipe.queue.future import Future
from desipipe.queue.ledger import Ledger
from desipipe.queue.repair import repair
from desipipe.serialize import dumps, dumps_arguments
from desipipe.store.file_names import segment_path
from desipipe.store.journal import Journal
from desipipe.store.segment import MAP_FROM


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """A queue to which everything has happened; one worker lives and runs a task."""
    return record(make_folder(tmp_path))


def segments(ledger: Ledger) -> list[str]:
    """Names of its segments."""
    return sorted(
        name.removesuffix('.bin') for name in os.listdir(os.path.join(ledger.folder, 'segments'))
    )


def damage(ledger: Ledger, *kinds: str) -> list[tuple[int, bytes]]:
    """Bend the first line of each kind; offsets and lines."""
    bent = []
    with open(ledger.journal.path, 'r+b') as file:
        for kind in kinds:
            offset, line = next(
                (offset, line)
                for offset, line in journal_lines(ledger.journal)
                if b'"e":"%b"' % kind.encode() in line[:20]
            )
            file.seek(offset + 5)
            file.write(b'?')
            bent.append((offset, line[:5] + b'?' + line[6:]))
    return sorted(bent)


@pytest.mark.parametrize('alive', [True, False])
def test_compact_keeps_state(ledger: Ledger, alive: bool) -> None:
    if not alive:
        ledger.end_worker('w1')
    follower = fresh(ledger)
    before = knowledge(ledger)
    gen, size, lines = (
        ledger.journal.header['gen'],
        os.path.getsize(ledger.journal.path),
        len(journal_lines(ledger.journal)),
    )
    for _ in range(3):
        output = compact(ledger)
        assert output['after'] == sizes(ledger.folder)
        for view in (ledger, follower, fresh(ledger)):
            view.follow()
            assert differences(before, knowledge(view)) == []
            consistent(view.state)
            assert view.journal.header['gen'] == ledger.journal.header['gen'] != gen
        assert (
            os.path.getsize(ledger.journal.path) < size
            and len(journal_lines(ledger.journal)) < lines
        )
        assert facts(follower.state) == facts(ledger.state)
        assert len(segments(ledger)) == 1 and (segments(ledger) == ['recorder']) == alive


def test_work_goes_on(ledger: Ledger) -> None:
    """What ran reports, orders stand, numbers go on, what was late is late."""
    before = {row: ledger.state.attempt[row] for row in ledger.state.each()}
    running = [(row, ledger.state.attempt[row]) for row in ledger.state.running]
    assert len(running) == 1
    begin(ledger, 'w3', 9)
    compact(fresh(ledger))
    finish(ledger, 'w1', [(1, 1)])
    finish(ledger, 'w1', running)
    assert states(ledger.state)[5] == 'SUCCEEDED' and ledger.state.stale == 1
    assert {row: ledger.state.attempt[row] for row in ledger.state.each()} == before
    assert claim(ledger, 'w1', 9) == []  # it was asked to end
    assert claim(ledger, 'w3', 9) == [(9, 1)]
    ledger.retry(lambda state: range(9))
    claimed = claim(ledger, 'w3', 20)
    assert claimed and claimed == [(row, before[row] + 1) for row, _ in claimed]
    assert facts(fresh(ledger).state) == facts(ledger.state)


def test_task_that_runs_again_after_it_was_cancelled(tmp_path: Path) -> None:
    """Its worker is known, so that the task is not lost with it."""
    ledger = Ledger(make_folder(tmp_path), None)
    begin(ledger, 'w')
    add(ledger, ['a', 'b'])
    ledger.cancel(lambda state: [0])
    ledger.retry(lambda state: [0])
    claim(ledger, 'w')
    before = knowledge(ledger)
    compact(ledger)
    assert differences(before, knowledge(ledger)) == []
    assert (
        set(ledger.state.alive['w'].rows)
        == {row for row in range(2) if states(ledger.state)[row] == 'RUNNING'}
        != set()
    )


def test_cancel_of_a_task_that_runs_again_after_compaction(tmp_path: Path) -> None:
    ledger = Ledger(make_folder(tmp_path), None)
    begin(ledger, 'w')
    add(ledger, ['a', 'b'])
    finish(ledger, 'w', claim(ledger, 'w', 2))
    ledger.retry(lambda state: [0, 1])
    claim(ledger, 'w', 1)
    compact(ledger)
    ledger.cancel(lambda state: [0, 1])
    assert states(ledger.state) == ['SUCCEEDED', 'SUCCEEDED']
    assert [ledger.read(ledger.state.result(row)) for row in range(2)] == [
        ledger.read(ledger.last_attempt(row).result) for row in range(2)
    ]
    before = knowledge(ledger)
    compact(ledger)
    assert differences(before, knowledge(ledger)) == []


def test_report_that_came_twice(tmp_path: Path) -> None:
    """In time and late, by the same worker: both are history."""
    ledger = Ledger(make_folder(tmp_path), None)
    begin(ledger, 'w')
    add(ledger, ['a'])
    first = claim(ledger, 'w')
    fail(ledger, 'w', first)
    finish(ledger, 'w', first)
    ledger.retry(lambda state: [0])
    finish(ledger, 'w', claim(ledger, 'w'))
    before = knowledge(ledger)
    assert [(attempt.number, attempt.counts) for attempt in ledger.attempts(0)] == [
        (1, False),
        (1, False),
        (2, True),
    ]
    for _ in range(2):
        compact(ledger)
        assert differences(before, knowledge(ledger)) == []


@pytest.mark.parametrize('state', [SUCCEEDED, FAILED])
def test_late_report_whose_file_is_gone(tmp_path: Path, state: int) -> None:
    """What a worker that was taken for dead wrote went with its file; its report is history."""
    folder = make_folder(tmp_path)
    ledger, worker = Ledger(folder, None), Ledger(folder, None, name='w')
    begin(worker, 'w')
    add(ledger, ['a'])
    first = claim(worker, 'w')
    trace = worker.store(b'trace')
    ledger.end_worker('w', 'taken for dead')
    ledger.follow()
    compact(ledger)
    finish(worker, 'w', first, state, trace=trace)
    ledger.follow()
    before = knowledge(ledger)
    assert [(attempt.number, attempt.out) for attempt in ledger.attempts(0)] == [
        (1, None),
        (1, None),
    ]
    compact(ledger)
    assert differences(before, knowledge(ledger)) == []


def test_report_that_came_twice_in_one_event(tmp_path: Path) -> None:
    """Late and in time: compaction shows no more than was shown before."""
    ledger = Ledger(make_folder(tmp_path), None)
    begin(ledger, 'w')
    add(ledger, ['a'])
    first = claim(ledger, 'w')
    ledger.retry(lambda state: [0], running=True)
    finish(ledger, 'w', [*first, *claim(ledger, 'w')])
    before = knowledge(ledger)
    assert [(attempt.number, attempt.counts) for attempt in ledger.attempts(0)] == [
        (1, False),
        (2, True),
    ]
    for _ in range(2):
        compact(ledger)
        assert differences(before, knowledge(ledger)) == []


def test_number_is_not_given_again(tmp_path: Path) -> None:
    """That of the last task, which was deleted while it ran: a late report is not taken for one
    of the next.
    """
    ledger = Ledger(make_folder(tmp_path), None)
    for name in 'wv':
        begin(ledger, name)
    add(ledger, ['a', 'b'])
    claimed = claim(ledger, 'w') + claim(ledger, 'w')
    ledger.drop(lambda state: [0, 1])
    for _ in range(2):
        compact(ledger)
    assert add(ledger, ['c']) == [2]
    assert claim(ledger, 'v') == [(2, 1)]
    finish(ledger, 'w', claimed)
    assert states(ledger.state)[2] == 'RUNNING'


def test_large_queue(tmp_path: Path) -> None:
    """Lines stay within bounds, and hold what lay together together."""
    ledger = Ledger(make_folder(tmp_path), None)
    n = CHUNK + 500
    for first in range(0, n, 500):
        add(ledger, range(first, min(first + 500, n)))
    begin(ledger, 'w', 1000)
    while claimed := claim(ledger, 'w', 300):
        ledger.exchange('w', [End(row, number, SUCCEEDED, 0.0, 1) for row, number in claimed])
    ledger.end_worker('w')
    before = facts(ledger.state)
    compact(ledger)
    after = facts(fresh(ledger).state)
    for key in ('status', 'attempt', 'ids', 'index', 'counts', 'group', 'args_length'):
        assert after[key] == before[key]
    assert max(len(line) for _, line in journal_lines(ledger.journal)) < 300 * CHUNK
    assert [ledger.load(ledger.arguments_payload(row)) for row in range(0, n, 101)] == [
        {'name': name} for name in range(0, n, 101)
    ]


def test_arrays_stay_aligned_and_large_ones_where_they_are(tmp_path: Path) -> None:
    ledger = Ledger(make_folder(tmp_path), None, name='w')
    begin(ledger, 'w', 9)
    arrays = {'small': np.arange(1000.0), 'odd': np.arange(7777, dtype='f4')}
    batch = Batch(group())
    for i, (name, array) in enumerate(arrays.items()):
        payload, requires = dumps_arguments({'x': array})
        batch.append(tid(name), b'{"x":"%b"}' % (b'x' * i), payload, requires)
    ledger.add(NewTasks([batch], {batch.group.app: code()}, MANAGERS))
    ends = []
    for row, number in claim(ledger, 'w', 2):
        ledger.store(b'x' * (7 + row))
        ends.append(
            End(row, number, SUCCEEDED, 0.0, 1, ledger.store(dumps(list(arrays.values())[row] * 2)))
        )
    ledger.exchange('w', ends)
    large = Ledger(ledger.folder, None, name='large')
    begin(large, 'large')
    add(large, ['large'])
    big = np.arange(MAP_FROM / 8)
    large.exchange(
        'large',
        [
            End(row, number, SUCCEEDED, 0.0, 1, large.store(dumps(big)))
            for row, number in claim(large, 'large', 1)
        ],
    )
    for name in ('w', 'large'):
        ledger.end_worker(name)
    for _ in range(2):
        compact(ledger)
        assert 'large' in segments(ledger) and 'w' not in segments(ledger)
        for view in (ledger, fresh(ledger)):
            for row, array in enumerate(arrays.values()):
                for value, ref in (
                    (array, view.arguments_payload(row)),
                    (array * 2, view.state.result(row)),
                ):
                    assert ref is not None and ref.offset % 64 == 0
                    loaded: Any = view.load(ref)
                    assert np.array_equal(
                        loaded['x'] if isinstance(loaded, dict) else loaded, value
                    )
            assert view.arguments(1) == {'x': 'x'}
            ref = view.state.result(2)
            assert (
                ref is not None and ref.segment == 'large' and np.array_equal(view.load(ref), big)
            )  # type: ignore[arg-type]


def test_names_of_files_never_come_again(ledger: Ledger) -> None:
    """A reader keeps files open by their names; of those that were taken away too."""
    ledger.end_worker('w1')
    reader = fresh(ledger)
    names = set()
    for i in range(4):
        compact(ledger)
        reader.follow()
        assert not names & set(segments(ledger))
        names |= set(segments(ledger))
        assert differences(knowledge(ledger), knowledge(reader)) == []
        add(ledger, [('later', i)])


# Who knew the old journal


def test_readers_of_the_old_journal(ledger: Ledger) -> None:
    """They have offsets and references that are no longer right, and look again."""
    ledger.end_worker('w1')
    before = knowledge(ledger)
    rows = {name: task['row'] for name, task in before['tasks'].items()}
    for what in (
        lambda view, row: view.cause(row),
        lambda view, row: view.attempts(row),
        lambda view, row: view.arguments(row),
        lambda view, row: view.load(view.arguments_payload(row)),
    ):
        for name, row in rows.items():
            view = fresh(ledger)
            compact(ledger)
            values_read = what(view, row)
            assert values_read == what(ledger, row), name
    assert differences(before, knowledge(ledger)) == []


LOOKS: dict[str, Callable[[Future], Any]] = {
    'result': lambda future: future.result(timeout=0),
    'output': lambda future: (future.out(timeout=0), future.err(timeout=0)),
    'task': lambda future: future.task.result,
    'code': lambda future: future.task.app.code,
    'arguments': lambda future: (future.task.kwargs, future.task.arguments),
    'words': lambda future: (
        future.task.host,
        future.task.jobid,
        future.task.errno,
        future.task.dtime,
        future.cancelled(),
    ),
}


@pytest.mark.parametrize('look', list(LOOKS))
def test_futures_of_the_old_journal(ledger: Ledger, look: str) -> None:
    ledger.end_worker('w1')
    for name in (0, 1, 'sum', 'twin'):
        before = LOOKS[look](Future(ledger, tid(name)))
        future = Future(fresh(ledger), tid(name))
        compact(ledger)
        assert LOOKS[look](future) == before
        assert LOOKS[look](Future(ledger, tid(name))) == before
    future = Future(fresh(ledger), tid(4))
    compact(ledger)
    assert future.cancelled()


def test_submitter_whose_file_is_taken_away(tmp_path: Path) -> None:
    """Between the writing of its payloads and the lock; or long before."""
    ledger = Ledger(make_folder(tmp_path), None)
    other = fresh(ledger)
    add(ledger, ['before'])
    compact(other)
    ledger.follow()
    add(ledger, ['a'])
    real = ledger.journal.write
    with pytest.MonkeyPatch.context() as patch:

        def write(*args: Any, **kwargs: Any) -> None:
            compact(other)
            real(*args, **kwargs)

        patch.setattr(ledger.journal, 'write', write)
        add(ledger, ['b'])
        add(ledger, ['c'], app='another')
    for view in (ledger, fresh(ledger)):
        for name in ('before', 'a', 'b', 'c'):
            row = view.state.rows[tid(name)]
            assert view.load(view.arguments_payload(row)) == {'name': name}
            assert view.load(Ref(*view.code(row)['code'])) == (
                'another' if name == 'c' else 'fraction'
            )


def test_files_are_taken_away_with_the_lock_held(tmp_path: Path) -> None:
    """Else a submitter that comes in between refers to a file that is about to go."""
    ledger = Ledger(make_folder(tmp_path), None)
    add(ledger, ['before'])
    ledger.journal.close()
    real = os.unlink
    locked = []

    def unlink(path: Any, **kwargs: Any) -> None:
        if str(path).endswith('.bin'):
            with open('/proc/locks') as file:
                locked.append(
                    f':{os.stat(os.path.join(ledger.folder, "lock")).st_ino:d} ' in file.read()
                )
        real(path, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, 'unlink', unlink)
        compact(ledger)
    assert locked == [True]


ADDER = """
import sys
from engine import add
from desipipe.queue.ledger import Ledger
ledger = Ledger(sys.argv[1], None)
print('ready', flush=True)
sys.stdin.readline()
n = int(sys.argv[3])
for i in range(n):
    if i == n // 2:
        sys.stdin.readline()
    add(ledger, [(sys.argv[2], i), ('both', i)])
"""


def test_compaction_while_others_add(tmp_path: Path) -> None:
    ledger = Ledger(make_folder(tmp_path), None)
    n = 120
    with (
        start_script(ADDER, ledger.folder, 'one', n) as one,
        start_script(ADDER, ledger.folder, 'two', n) as two,
    ):
        for process in (one, two):
            assert read_line(process) == 'ready'
        for process in (one, two):
            send_line(process)
        generations = 0
        while one.poll() is None or two.poll() is None:
            compact(ledger)
            generations += 1
            if generations == 4:  # Before that the processes do not come to their end.
                send_line(one)
                send_line(two)
        for process in (one, two):
            done(process)
    assert generations >= 4
    again = fresh(ledger)
    assert len(again.state) == 3 * n and again.state.damage == []
    for row in range(3 * n):
        name: Any = again.load(again.arguments_payload(row))
        assert tid(name['name']) == again.state.ids[row]
    assert {tid((who, i)) for who in ('one', 'two', 'both') for i in range(n)} == set(
        again.state.ids
    )


WORKER = """
import sys
from engine import begin, claim, finish
from desipipe.queue.events import SUCCEEDED
from desipipe.queue.ledger import Ledger
folder, name, total = sys.argv[1], sys.argv[2], int(sys.argv[3])
ledger = Ledger(folder, None, name=name)
begin(ledger, name, 2)
print('ready', flush=True)
sys.stdin.readline()
while ledger.state.total(SUCCEEDED) < total:
    finish(ledger, name, claim(ledger, name, 4))
ledger.end_worker(name)
"""


def test_compaction_while_others_work(tmp_path: Path) -> None:
    ledger = Ledger(make_folder(tmp_path), None)
    n = 300
    add(ledger, range(n))
    with (
        start_script(WORKER, ledger.folder, 'one', n) as one,
        start_script(WORKER, ledger.folder, 'two', n) as two,
    ):
        for process in (one, two):
            assert read_line(process) == 'ready'
        for process in (one, two):
            send_line(process)
        while one.poll() is None or two.poll() is None:
            compact(ledger)
        for process in (one, two):
            done(process)
    compact(ledger)
    again = fresh(ledger)
    assert again.state.total(SUCCEEDED) == n and again.state.stale == 0 and not again.state.alive
    for row in range(n):
        (attempt,) = again.attempts(row)
        assert attempt.counts and attempt.result is not None
        assert pickle.loads(again.read(attempt.result)) == (row, 1, attempt.worker)


def test_threads_that_add_and_compact(tmp_path: Path) -> None:
    """They wait for each other's locks in one order."""
    ledger = Ledger(make_folder(tmp_path), None)
    add(ledger, ['first'])
    threads = [
        threading.Thread(target=lambda: [add(ledger, [i]) for i in range(60)], daemon=True),
        threading.Thread(target=lambda: [compact(ledger) for _ in range(30)], daemon=True),
        threading.Thread(target=lambda: [ledger.arguments(0) for _ in range(300)], daemon=True),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not [thread for thread in threads if thread.is_alive()]
    assert len(ledger.state) == 61
    assert [
        ledger.load(ledger.arguments_payload(ledger.state.rows[tid(i)])) for i in range(60)
    ] == [{'name': i} for i in range(60)]


# Cut off

CALLS = ('write', 'pwrite', 'fsync', 'fdatasync', 'rename', 'unlink', 'open', 'ftruncate')


def killed_at(count: int, what: Callable[[], object]) -> bool:
    """Do something in a forked process that is killed at a certain call of the system, in the
    middle of it if it writes; whether it came to its end.
    """
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    left = [count]

    def wrapped(name: str) -> Callable[..., Any]:
        real = getattr(os, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            if left[0] == 0:
                if name.endswith('write'):
                    real(args[0], bytes(args[1])[: len(args[1]) // 2], *args[2:])
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1
            return real(*args, **kwargs)

        return call

    status = 1
    try:
        for name in CALLS:
            setattr(os, name, wrapped(name))
        what()
        status = 0
    finally:
        os._exit(status)


@pytest.mark.parametrize('alive', [True, False])
def test_killed_anywhere(ledger: Ledger, tmp_path: Path, alive: bool) -> None:
    """The old journal is there, or the new one; both say the same, and all that they refer to is
    there.
    """
    if not alive:
        ledger.end_worker('w1')
    damage(ledger, 'versions')
    ledger.close()
    before = knowledge(fresh(ledger))
    template = ledger.folder
    generations = set()
    for count in range(1000):
        folder = str(tmp_path / f'try{count:d}.queue')
        shutil.copytree(template, folder)
        over = killed_at(count, lambda folder=folder: compact(Ledger(folder, None)))  # type: ignore[misc]
        view = Ledger(folder, None)
        assert differences(before, knowledge(view)) == [], count
        generations.add(view.journal.header['gen'])
        # Whoever comes next adds and compacts.
        add(view, ['next'])
        compact(view)
        assert len(view.state.rows) == len(before['tasks']) + 1
        shutil.rmtree(folder)
        if over:
            break
    assert over and count > 8 and len(generations) > 2


def test_compaction_without_space(ledger: Ledger) -> None:
    """The old journal stays, and the space that was taken for the new one is given back."""
    ledger.end_worker('w1')
    before, files, data = (
        knowledge(ledger),
        sizes(ledger.folder)['files'],
        Path(ledger.journal.path).read_bytes(),
    )
    for name in ('write', 'pwrite', 'fdatasync', 'fsync'):
        with pytest.MonkeyPatch.context() as patch:

            def full(*args: Any) -> Any:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

            patch.setattr(os, name, full)
            with pytest.raises(DiskFullError, match='everything before it is intact'):
                compact(ledger)
        assert (
            sizes(ledger.folder)['files'] == files
            and Path(ledger.journal.path).read_bytes() == data
        )
        assert differences(before, knowledge(fresh(ledger))) == []
    compact(ledger)
    assert differences(before, knowledge(ledger)) == []


# What can't be moved


def test_payload_that_was_lost_stays_lost(ledger: Ledger) -> None:
    """It does not keep the rest from being compacted."""
    ledger.end_worker('w1')
    other = Ledger(ledger.folder, None, name='other')
    add(other, ['lost'])
    os.truncate(segment_path(ledger.folder, 'other'), 10)
    compact(ledger)
    again = fresh(ledger)
    assert again.load(again.arguments_payload(0)) == {'name': 0}
    with pytest.raises(Exception, match='cannot be opened'):
        again.arguments(again.state.rows[tid('lost')])


@pytest.mark.skipif(os.geteuid() != 0, reason='needs root, to give files away')
def test_files_of_others_stay_theirs(ledger: Ledger) -> None:
    """Copied, what they wrote would be ours, and trusted."""
    ledger.end_worker('w1')
    before = knowledge(ledger)
    os.chown(segment_path(ledger.folder, 'recorder'), 12345, -1)
    compact(ledger)
    assert segments(ledger) == ['recorder']
    os.chown(segment_path(ledger.folder, 'recorder'), 0, -1)
    assert differences(before, knowledge(fresh(ledger))) == []


# Repair


def test_repair_moves_damaged_lines_aside(ledger: Ledger) -> None:
    bent = damage(ledger, 'versions', 'drop')
    view = fresh(ledger)
    assert [offset for offset, _ in view.state.damage] == [offset for offset, _ in bent]
    without = knowledge(view)
    generation = view.journal.header['gen']
    assert repair(view) == 2
    (aside,) = Path(view.folder).glob('journal.damaged-*')
    assert aside.read_bytes() == b''.join(line for _, line in bent)
    for other in (view, fresh(view)):
        assert other.state.damage == [] and other.journal.header['gen'] != generation
        assert differences(without, knowledge(other)) == []
    # The journal itself is otherwise the same.
    assert len(journal_lines(view.journal)) == len(journal_lines(ledger.journal))
    assert repair(view) == 0 and repair(fresh(view)) == 0
    damage(view, 'accept')
    assert repair(fresh(view)) == 1
    assert len(list(Path(view.folder).glob('journal.damaged-*'))) == 2


def test_repair_of_a_journal_whose_tasks_were_lost(ledger: Ledger) -> None:
    """Their numbers stay theirs, also when nothing tells of them but claims and reports."""
    (offset, _), *_ = damage(ledger, 'add')
    view = fresh(ledger)
    before = facts(view.state)
    assert before['damage'][0][0] == offset
    assert repair(view) == 1
    after = facts(fresh(view).state)
    assert bytes(after['status']) == bytes(before['status']) and after['ids'] == before['ids']
    consistent(fresh(view).state)


def test_compaction_puts_damaged_lines_aside_too(ledger: Ledger) -> None:
    ledger.end_worker('w1')
    bent = damage(ledger, 'versions', 'drop')
    view = fresh(ledger)
    without = knowledge(view)
    compact(view)
    (aside,) = Path(view.folder).glob('journal.damaged-*')
    assert aside.read_bytes() == b''.join(line for _, line in bent)
    assert view.state.damage == [] and differences(without, knowledge(fresh(view))) == []


def test_sound_journal_is_not_touched(ledger: Ledger) -> None:
    data = Path(ledger.journal.path).read_bytes()
    assert repair(ledger) == 0
    assert Path(ledger.journal.path).read_bytes() == data


def test_empty_queue(tmp_path: Path) -> None:
    ledger = Ledger(make_folder(tmp_path), None)
    ident = ledger.journal.header['id']
    output = compact(ledger)
    assert output['before']['files'] == output['after']['files'] == 2
    assert ledger.journal.header['id'] == ident
    add(ledger, ['a'])
    assert states(fresh(ledger).state) == ['PENDING']
    ledger.pause(True)
    compact(ledger)
    assert fresh(ledger).state.paused


def test_compact_keeps_events_written_before_lock(ledger: Ledger) -> None:
    """Compaction rewrites what is there, not what it knew."""
    other = fresh(ledger)
    add(other, ['unseen'])
    fail(other, 'w1', [(5, 1)])
    compact(ledger)
    assert tid('unseen') in fresh(ledger).state.rows and states(fresh(ledger).state)[5] == 'FAILED'
    assert isinstance(ledger.journal, Journal) and MID in ledger.state.managers
