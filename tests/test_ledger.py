"""The ledger: many processes at once, payloads, trust, and decisions that hold."""

from __future__ import annotations

import os
import pickle
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
    note,
    read_line,
    record,
    send_line,
    start_script,
    states,
    successes,
    tid,
)
from polling import wait_for

from desipipe.config import Config
from desipipe.errors import (
    PayloadError,
    QueueGoneError,
    TaskFailedError,
    UnknownTaskError,
    UntrustedQueueError,
)
from desipipe.execution.duties.report import Report
from desipipe.queue import Queue
from desipipe.queue import names as queue_names
from desipipe.queue.adding import Batch, NewTasks
from desipipe.queue.compact import compact
from desipipe.queue.ends import COPY_MAX, End
from desipipe.queue.event_checks import decode_event
from desipipe.queue.events import CHUNK, FAILED, PENDING, RUNNING, SUCCEEDED, Ref
from desipipe.queue.future import Future
from desipipe.queue.ledger import Ledger, find_mid
from desipipe.queue.task import Task
from desipipe.serialize import Payload, dumps_arguments
from desipipe.store.file_names import segment_path
from desipipe.store.journal_file import first_event
from desipipe.store.line_format import decode
from desipipe.view.durations import durations
from desipipe.view.failures import blocked_causes
from desipipe.view.queue import queue_summary
from desipipe.view.task_detail import task_detail
from desipipe.view.task_summary import task_summaries


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """A queue's folder."""
    return make_folder(tmp_path)


@pytest.fixture
def ledger(folder: str) -> Ledger:
    """Its ledger."""
    return Ledger(folder, None)


# Processes

# One process becomes many: to import everything in each would take longer than what is tested.
MANY = """
import os, sys, time
from engine import add, begin, claim, finish, tid
from desipipe.queue.events import SUCCEEDED
from desipipe.queue.ledger import Ledger
from desipipe.store.lease import Lease, Observer
folder, processes, own, common, retries = sys.argv[1], *map(int, sys.argv[2:])
total = processes * own + common

def work(name):
    ledger = Ledger(folder, None, name=name)
    lease = Lease(folder, name, False)
    begin(ledger, name, 2)
    observer = Observer(folder, 1e9)
    for i in range(own):
        add(ledger, [('own', name, i)], retries=retries)
    add(ledger, [('common', i) for i in range(common)], retries=retries)
    look = 0.0
    while ledger.state.total(SUCCEEDED) < total:
        claimed = claim(ledger, name, 8)
        finish(ledger, name, claimed)
        if not claimed:
            ledger.wait(lambda: ledger.state.total(1) or ledger.state.total(SUCCEEDED) == total, 0.05)
        if retries:
            ledger.end_lost_workers(observer, name)
    ledger.end_worker(name)
    ledger.close()

print('ready', flush=True)
sys.stdin.readline()
children = {}
for i in range(processes):
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work(f'p{i}')
            status = 0
        finally:
            os._exit(status)
    children[pid] = f'p{i}'
print(*children, flush=True)
for _ in range(processes):
    pid, status = os.wait()
    print(children[pid], os.waitstatus_to_exitcode(status), flush=True)
"""


def check_ends(ledger: Ledger, total: int) -> None:
    """That every task ended once, with the result of the attempt that counts."""
    state = ledger.state
    assert state.damage == [] and len(state) == len(state.status) == total
    assert set(state.status) == {SUCCEEDED} and not state.running and not state.alive
    for row in range(total):
        attempts = ledger.attempts(row)
        (counting,) = [attempt for attempt in attempts if attempt.counts]
        assert (
            counting.number == state.attempt[row] == attempts[-1].number
            and counting.state == SUCCEEDED
        )
        result = state.result(row)
        assert result is not None
        assert pickle.loads(ledger.read(result)) == (row, counting.number, counting.worker)


def test_thirty_two_processes_at_once(folder: str) -> None:
    """All add (some of it the same), claim and report: every task is added once, and ends once."""
    with start_script(MANY, folder, 32, 15, 40, 0) as process:
        assert read_line(process) == 'ready'
        send_line(process)
        read_line(process)
        assert sorted(done(process).splitlines()) == sorted(f'p{i:d} 0' for i in range(32))
    ledger = Ledger(folder, None)
    total = 32 * 15 + 40
    check_ends(ledger, total)
    assert ledger.state.stale == 0
    assert {tid(('common', i)) for i in range(40)} <= set(ledger.state.ids)
    events = [decode_event(line, offset) for offset, line in journal_lines(ledger.journal)]
    ended = Counter(
        row for event in events if event and event['e'] == 'end' for row in event['rows']
    )
    begun = Counter(
        row for event in events if event and event['e'] == 'run' for row in event['rows']
    )
    assert ended == begun == Counter(range(total))
    # And one file a writer.
    assert len(os.listdir(os.path.join(folder, 'segments'))) == 32


def test_processes_that_are_killed(folder: str) -> None:
    """What they ran runs again; every task ends with one visible result."""
    # As many tasks as would be there if nobody died are added by the killed ones before they begin.
    for i in range(6):
        add(
            Ledger(folder, None, name=f'first{i:d}'),
            [('own', f'p{i:d}', k) for k in range(30)],
            retries=100,
        )
    with start_script(MANY, folder, 8, 30, 40, 100) as process:
        assert read_line(process) == 'ready'
        send_line(process)
        children = [int(word) for word in read_line(process).split()]
        ledger = Ledger(folder, None)
        for i, pid in enumerate(children[:6]):
            ledger.wait(lambda i=i: ledger.state.total(SUCCEEDED) > 20 * (i + 1))  # type: ignore[misc]
            os.kill(pid, signal.SIGKILL)
        output = dict(line.split() for line in done(process).splitlines())
    assert {name for name, status in output.items() if status == '-9'} <= {
        f'p{i:d}' for i in range(6)
    }
    assert output['p6'] == output['p7'] == '0'
    ledger.follow()
    check_ends(ledger, 8 * 30 + 40)
    vanished = [name for name, worker in ledger.state.workers.items() if worker.ended == 'vanished']
    assert sorted(vanished) == sorted(
        name for name, status in output.items() if status == '-9' and name in ledger.state.workers
    )


def test_threads_of_one_process(folder: str) -> None:
    """One ledger for all of them."""
    ledger = Ledger(folder, 0.01)
    begin(ledger, 'w', 8)
    failed: list[BaseException] = []

    def run(name: int) -> None:
        try:
            for i in range(40):
                add(ledger, [('own', name, i), ('common', i)])
                ledger.blocked()
                ledger.arguments(ledger.state.rows[tid(('own', name, i))])
        except BaseException as exc:
            failed.append(exc)

    threads = [threading.Thread(target=run, args=(name,)) for name in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(ledger.state) == 6 * 40 + 40
    other = fresh(ledger)
    assert facts(other.state) == facts(ledger.state)
    for row in range(len(ledger.state)):
        assert other.arguments(row)['name'] in {repr(('common', i)) for i in range(40)} | {
            repr(('own', name, i)) for name in range(6) for i in range(40)
        }
    ledger.close()


# Adding


def test_large_batches_are_cut_into_lines(ledger: Ledger) -> None:
    n = 2 * CHUNK + 100
    names = list(range(n))
    batch = Batch(group())
    for name in names:
        data = pickle.dumps(name)
        batch.append(
            tid(name),
            b'{}',
            Payload([data], len(data), False),
            [tid(name - 1)] if name % 1000 == 1 else [],
        )
    assert ledger.add(NewTasks([batch], {batch.group.app: code()}, MANAGERS)) == n
    events = [
        event
        for offset, line in journal_lines(ledger.journal)
        if (event := decode(line, offset)) and event['e'] == 'add'
    ]
    assert [(event['first'], len(event['len'])) for event in events] == [
        (0, CHUNK),
        (CHUNK, CHUNK),
        (2 * CHUNK, 100),
    ]
    assert all(
        isinstance(event['off'], int) for event in events
    )  # as one number where they lie one after the other
    other = fresh(ledger)
    assert facts(other.state) == facts(ledger.state)
    assert [other.load(other.arguments_payload(row)) for row in range(0, n, 97)] == names[::97]
    assert ledger.cancel(lambda state: range(n)) == list(range(n))
    events = [
        event
        for offset, line in journal_lines(ledger.journal)
        if (event := decode(line, offset)) and event['e'] == 'set'
    ]
    assert [len(event['rows']) for event in events] == [CHUNK, CHUNK, 100]


def test_new_among_known(ledger: Ledger) -> None:
    """Of a batch in which some are known, and some come twice, the rest is added, each with its
    own arguments and order of call.
    """
    add(ledger, [3, 4, 7])
    rows = add(ledger, [*range(10), 2, 11, 3])
    assert len(ledger.state) == 11
    assert rows == [3, 4, 5, 0, 1, 6, 7, 2, 8, 9, 5, 10, 0]
    for name, row in zip([*range(10), 2, 11, 3], rows, strict=True):
        assert ledger.load(ledger.arguments_payload(row)) == {'name': name}
        assert ledger.arguments(row) == {'name': repr(name)}
    assert [ledger.state.index[row] for row in rows] == [0, 1, 2, 0, 1, 5, 6, 2, 8, 9, 2, 11, 0]
    assert add(fresh(ledger), [*range(10)]) == rows[:10]


def test_add_of_one_task_that_another_process_added_meanwhile(ledger: Ledger) -> None:
    other = Ledger(ledger.folder)
    add(ledger, ['a'])
    other.follow()
    add(ledger, ['b'])
    add(other, ['b'])  # not followed since
    add(other, ['c'])
    assert sum(b'"e":"add"' in line for _, line in journal_lines(ledger.folder)) == 3
    ledger.follow()
    assert knowledge(ledger) == knowledge(other) == knowledge(fresh(ledger))


def test_add_of_one_task_after_its_group_and_code_were_lost(ledger: Ledger) -> None:
    add(ledger, ['a'])
    for lost in (ledger.state.apps, ledger.state.managers):
        lost.clear()
        add(ledger, [id(lost)])
        assert lost, 'written again'


def test_requirements_within_a_batch_and_before(ledger: Ledger) -> None:
    add(ledger, ['a'])
    add(ledger, ['b', 'c'], {'c': ['a', 'b']})
    assert list(ledger.state.requires[2]) == [0, 1]


@pytest.mark.parametrize('missing', ['unknown', 'dropped', 'later'])
def test_requirement_that_is_not_there(ledger: Ledger, missing: str) -> None:
    """Nothing of the batch is added."""
    add(ledger, ['a', 'dropped'])
    ledger.drop(lambda state: [1])
    before, size = facts(ledger.state), os.path.getsize(ledger.journal.path)
    with pytest.raises(UnknownTaskError, match='Nothing was added') as info:
        add(ledger, ['b', 'c', 'later'], {'c': ['a', missing]})
    assert (
        tid(missing).hex() in str(info.value)
        and ledger.folder in str(info.value)
        and 'future.result()' in str(info.value)
    )
    assert os.path.getsize(ledger.journal.path) == size and facts(ledger.state) == before


def test_arrays_as_arguments(ledger: Ledger) -> None:
    """They lie aligned in the file, whatever stands before them."""
    batch = Batch(group())
    arrays = [np.arange(1000.0) + i for i in range(5)]
    for i, array in enumerate(arrays):
        payload, requires = dumps_arguments({'x': array, 'i': i})
        batch.append(tid(i), b'{"x":"%b"}' % (b'x' * 7 * i), payload, requires)
    small, _ = dumps_arguments({'i': 5})
    batch.append(tid(5), b'{}', small, [])
    ledger.add(NewTasks([batch], {batch.group.app: code()}, MANAGERS))
    other = fresh(ledger)
    for i, array in enumerate(arrays):
        ref = other.arguments_payload(i)
        assert ref.offset % 64 == 0
        loaded: Any = other.load(ref)
        assert loaded['i'] == i and np.array_equal(loaded['x'], array)
        assert other.arguments(i) == {'x': 'x' * 7 * i}
    assert other.load(other.arguments_payload(5)) == {'i': 5}


def test_add_writes_shared_payloads_once(ledger: Ledger) -> None:
    for name in range(5):
        add(ledger, [name])
    add(fresh(ledger), [7])
    kinds = Counter(
        event['e']
        for offset, line in journal_lines(ledger.journal)
        if (event := decode(line, offset))
    )
    assert kinds == {'queue': 1, 'app': 1, 'mgr': 1, 'group': 1, 'add': 6}
    ledger.follow()
    assert ledger.code(0)['name'] == 'fraction'
    assert ledger.load(Ref(*ledger.code(0)['code'])) == 'fraction'
    assert ledger.read_text(ledger.code(0)['source']) == 'def fraction(): ...\n'


def test_code_whose_line_was_lost(ledger: Ledger) -> None:
    add(ledger, ['a'])
    ledger.state.apps.clear()
    with pytest.raises(PayloadError, match='damaged line') as info:
        ledger.code(0)
    assert 'Call the app again' in str(info.value)


@contextmanager
def calls() -> Iterator[list[str]]:
    """Note what is written and synced, without the lock file, in order."""
    collected: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        for name in ('write', 'pwrite', 'fsync', 'fdatasync'):
            real = getattr(os, name)

            def fake(fd: int, *args: Any, name: str = name, real: Callable[..., Any] = real) -> Any:
                file = os.path.basename(os.readlink(f'/proc/self/fd/{fd:d}'))
                if file != 'lock':  # the note of what is synced, for other processes
                    collected.append(
                        f'{"sync" if "sync" in name else "write"} '
                        f'{"journal" if file == "journal.jsonl" else "segment"}'
                    )
                return real(fd, *args)

            patch.setattr(os, name, fake)
        yield collected


def test_payload_before_event(tmp_path: Path) -> None:
    """On a filesystem of several hosts each is flushed in its turn; on a local one a report's
    payload, and all of what is to be on disk.
    """
    shared = Ledger(make_folder(tmp_path, 'shared', shared=True), None)
    local = Ledger(make_folder(tmp_path, 'local'), None)
    begin(shared, 'w')
    begin(local, 'w')
    with calls() as recorded_calls:
        add(shared, ['a'])
    assert [
        word
        for word, before in zip(recorded_calls, ['', *recorded_calls], strict=False)
        if word != before
    ] == [
        'write segment',
        'sync segment',
        'write journal',
        'sync journal',
    ]
    for ledger in (local, shared):
        add(ledger, ['b'])
        claimed = claim(ledger, 'w')
        with calls() as recorded_calls:
            finish(ledger, 'w', claimed)
        assert [
            word
            for word, before in zip(recorded_calls, ['', *recorded_calls], strict=False)
            if word != before
        ][:3] == ['write segment', 'sync segment', 'write journal']
    with calls() as recorded_calls:
        add(local, ['c'], sync=True)
    assert recorded_calls[-1] == 'sync journal' and 'sync segment' in recorded_calls
    assert recorded_calls.index('sync segment') < recorded_calls.index('write journal')
    # Without: soon, and in the right order too.
    with calls() as recorded_calls:
        add(local, ['d'])
        assert 'sync segment' not in recorded_calls and 'sync journal' not in recorded_calls
        local.journal.sync()
    assert recorded_calls[-2:] == ['sync segment', 'sync journal']


def test_small_report_waits_for_no_sync(tmp_path: Path) -> None:
    """Its line is on disk with the results; what claims the next task refers to nothing."""
    ledger = Ledger(make_folder(tmp_path), None)
    begin(ledger, 'w')
    add(ledger, ['a', 'b'])
    report = Report(ledger, 0)
    report.add_successes(successes(claim(ledger, 'w')), 0.0)
    with calls() as recorded_calls:
        report.write('w', [], 0, [], '', None)
        claimed, _ = report.write('w', [], 1, [MID], '', None)
    assert recorded_calls == ['write segment', 'write journal', 'write journal']
    large = successes(claimed)
    large.data, large.lengths = bytes(COPY_MAX + 1), [COPY_MAX + 1]
    report.add_successes(large, 0.0)
    with calls() as recorded_calls:
        report.write('w', [], 0, [], '', None)
    assert recorded_calls == ['write segment', 'sync segment', 'write journal']


def test_claim_wakes_others_with_the_report_or_when_it_is_announced(tmp_path: Path) -> None:
    ledger = Ledger(make_folder(tmp_path), None)
    begin(ledger, 'w')
    add(ledger, ['a', 'b'])
    watcher = fresh(ledger).watcher()
    journal = ledger.journal
    claimed = claim(ledger, 'w')
    assert not watcher.drain() and fresh(ledger).state.status[0] == RUNNING
    assert not journal.announce(journal.quiet_since - 1e-3)
    finish(ledger, 'w', claimed)
    assert watcher.drain() and not journal.announce(time.monotonic())
    claim(ledger, 'w')
    assert not watcher.drain()
    assert journal.announce(journal.quiet_since) and watcher.drain()
    assert not journal.announce(time.monotonic())


# Looking


def test_tasks_by_the_beginning_of_their_identity(ledger: Ledger) -> None:
    rows = add(ledger, range(300))
    for row in rows[::50]:
        name = ledger.state.ids[row].hex()
        assert ledger.find(name) == ledger.find(name.upper()) == ledger.find(name[:13]) == row
        assert ledger.row(ledger.state.ids[row]) == row
    names = sorted(row.hex() for row in ledger.state.ids)
    twins = next((a[:4] for a, b in zip(names, names[1:], strict=False) if a[:4] == b[:4]), '')
    for text, output in (
        ('f' * 32, 'No task'),
        ('abc', 'No task'),
        ('', 'No task'),
        ('xyz0', 'No task'),
        ('0' * 33, 'No task'),
        *([(twins, '2 tasks begin')] if twins else []),
    ):
        with pytest.raises(UnknownTaskError, match=output) as info:
            ledger.find(text)
        assert 'desipipe tasks -q' in str(info.value)
    with pytest.raises(UnknownTaskError, match='was deleted, or belongs to another queue'):
        ledger.row(b'\0' * 16)


def test_tasks_that_begin_alike(ledger: Ledger) -> None:
    add(ledger, ['a'])
    ledger.state.rows[tid('a')[:15] + b'?'] = 1
    with pytest.raises(UnknownTaskError, match='2 tasks begin with'):
        ledger.find(tid('a').hex()[:8])
    assert ledger.find(tid('a').hex()) == 0


def test_task_managers_by_the_beginning(ledger: Ledger) -> None:
    add(ledger, ['a'], mid='m0')
    add(ledger, ['b'], mid='m1')
    assert find_mid(ledger.state, 'm1') == 'm1'
    for text, output in (('m', 'more than one'), ('x', 'no task manager')):
        with pytest.raises(UnknownTaskError, match=output):
            find_mid(ledger.state, text)


def test_others_tasks_are_seen_when_they_are_asked_for(ledger: Ledger) -> None:
    other = fresh(ledger)
    add(other, ['a'])
    assert ledger.row(tid('a')) == 0
    add(other, ['b'])
    assert ledger.find(tid('b').hex()[:10]) == 1


# Decisions hold


def test_cleared_queue_is_another_one(ledger: Ledger) -> None:
    """Rows of before are not those of now: whoever still speaks of them changes nothing."""
    begin(ledger, 'w', 4)
    add(ledger, ['a', 'b', 'c'])
    claimed = claim(ledger, 'w', 3)
    other = fresh(ledger)
    header = {
        key: other.journal.header[key] for key in ('name', 'lock', 'shared', 'fstype', 'lease')
    }
    other.journal.replaced(lambda: [first_event(header)])
    begin(other, 'v', 4)
    add(other, ['x', 'y', 'z'])
    theirs = claim(other, 'v', 2)
    before = facts(other.state)
    size = os.path.getsize(other.journal.path)
    for what in (
        lambda old: finish(old, 'w', claimed),
        lambda old: old.exchange('w', back=claimed, want=1, mids=[MID]),
        lambda old: old.cancel(lambda state: [0, 2]),
        lambda old: old.retry(lambda state: [0]),
        lambda old: old.drop(lambda state: [1]),
        lambda old: old.accept(0, 1),
    ):
        old = _view_of_the_cleared(ledger)
        with pytest.raises(QueueGoneError, match='cleared meanwhile') as info:
            what(old)
        assert 'nothing was written' in str(info.value) and 'desipipe status' in str(info.value)
    assert os.path.getsize(other.journal.path) == size and facts(other.state) == before
    finish(other, 'v', theirs)
    assert states(other.state) == ['SUCCEEDED', 'SUCCEEDED', 'PENDING']


def test_adding_to_a_queue_that_was_cleared_or_whose_tasks_were_deleted(ledger: Ledger) -> None:
    """What was known is not, whatever one has read; and code is there again."""
    add(ledger, ['a', 'b'])
    other = fresh(ledger)
    other.drop(lambda state: [1])
    assert add(ledger, ['b']) == [2]
    other.drop(lambda state: [0, 2])
    assert add(ledger, ['a', 'b']) == [3, 4]
    for names in (['a'], ['a', 'b', 'c'], ['d']):
        header = {
            key: other.journal.header[key] for key in ('name', 'lock', 'shared', 'fstype', 'lease')
        }
        other.journal.replaced(lambda header=header: [first_event(header)])  # type: ignore[misc]
        assert add(ledger, names) == list(range(len(names)))
        for row in range(len(names)):
            assert ledger.load(Ref(*ledger.code(row)['code'])) == 'fraction'
            assert ledger.load(ledger.arguments_payload(row)) == {'name': names[row]}
        assert facts(fresh(ledger).state) == facts(ledger.state)


def _view_of_the_cleared(ledger: Ledger) -> Ledger:
    """A ledger that has not read since the queue was cleared."""
    view = fresh(ledger)
    view.journal.reader.header = ledger.journal.header
    view.journal.reader._first = ledger.journal.reader._first
    return view


def test_refusal_changes_nothing(ledger: Ledger) -> None:
    add(ledger, ['a', 'b'])
    size = os.path.getsize(ledger.journal.path)
    with pytest.raises(UnknownTaskError, match='no result to accept. Nothing changed'):
        ledger.accept(0, 1)

    def choose(state: Any) -> list[int]:
        raise KeyError('no')

    for what in (ledger.cancel, ledger.retry, ledger.drop):
        with pytest.raises(KeyError):
            what(choose)
    assert ledger.retry(lambda state: [0, 1]) == [] and ledger.drop(lambda state: []) == []
    assert os.path.getsize(ledger.journal.path) == size


def test_report_is_not_said_twice_to_a_deleted_queue(ledger: Ledger) -> None:
    begin(ledger, 'w')
    add(ledger, ['a'])
    claimed = claim(ledger, 'w')
    os.rename(ledger.folder, ledger.folder + '.deleted')
    with pytest.raises(QueueGoneError):
        finish(ledger, 'w', claimed)
    assert not os.path.exists(ledger.folder)
    ledger.close()


def test_ledger_after_a_fork(folder: str) -> None:
    """The child's payloads go to a file of its own; both go on."""
    ledger = Ledger(folder, None, name='parent')
    add(ledger, ['before'])
    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with ledger.exclusive:
            inside.set()
            leave.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            add(ledger, [('child', i) for i in range(50)])
            status = 0
        finally:
            os._exit(status)
    leave.set()
    thread.join()
    add(ledger, [('parent', i) for i in range(50)])
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    ledger.follow()
    for i in range(50):
        for who in ('child', 'parent'):
            row = ledger.state.rows[tid((who, i))]
            assert ledger.load(ledger.arguments_payload(row)) == {'name': (who, i)}
            assert (ledger.state.args(row).segment == 'parent') == (who == 'parent')


# Trust


class Evil:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.open, (str(self.path), os.O_CREAT)


@pytest.fixture
def evil(folder: str, tmp_path: Path) -> tuple[Ledger, Path]:
    """A queue in which everything is a trap: code, arguments, result; and what a trap makes."""
    trap = tmp_path / 'trap'
    ledger = Ledger(folder, None, name='evil')
    data = pickle.dumps(Evil(trap))
    payload = Payload([data], len(data), False)
    begin(ledger, 'w', 9)
    for app, requires in (('power', []), ('mean', [tid('power')])):
        batch = Batch(group(app))
        batch.append(tid(app), b'{"x": "1"}', payload, requires)
        ledger.add(
            NewTasks([batch], {batch.group.app: code(app)._replace(payload=payload)}, MANAGERS)
        )
    claimed = claim(ledger, 'w', 2)
    ref = ledger.store(data)
    ledger.exchange(
        'w',
        [
            End(
                row,
                number,
                FAILED,
                0.0,
                1,
                ref,
                cause={'kind': 'ValueError', 'text': 'no', 'carried': True},
            )
            for row, number in claimed
        ],
    )
    add(ledger, ['ok'])
    ledger.exchange(
        'w', [End(row, number, SUCCEEDED, 0.0, 1, ref) for row, number in claim(ledger, 'w', 1)]
    )
    return ledger, trap


def test_looking_unpickles_nothing(evil: tuple[Ledger, Path], tmp_path: Path) -> None:
    ledger, trap = evil
    queue = Queue(ledger.folder, create=False)
    ids = [name.hex() for name in ledger.state.ids]
    (
        queue.counts,
        queue.summary(),
        queue.managers(),
        queue.processes(),
        repr(queue),
        str(queue),
        len(queue),
    )
    queue_summary(queue)
    task_summaries(queue.ledger, range(3))
    blocked_causes(queue.ledger)
    durations(queue.ledger)
    for row, name in enumerate(ids):
        task_detail(queue.ledger, row)
        queue.explain(name)
        task = queue[name]
        (
            repr(task),
            task.arguments,
            task.state,
            task.cause,
            task.err,
            task.out,
            task.attempts,
            task.require_ids,
            task.versions,
            task.app.code,
            task.app.name,
        )
        repr(Future(queue.ledger, bytes.fromhex(name)))
    for column in ('id', 'state', 'index', 'name', 'jobid', 'host', 'errno', 't0', 'dtime', 'mid'):
        queue.tasks(property=column)
    queue.compact()
    queue.repair()
    queue.retry(tid=ids[0])
    assert not trap.exists()
    # The trap works.
    for what in (
        lambda: queue[ids[0]].kwargs,
        lambda: queue[ids[0]].app.func,
        lambda: queue[ids[2]].result,
    ):
        what()
        trap.unlink()


@pytest.mark.skipif(os.geteuid() != 0, reason='needs root, to give files away')
@pytest.mark.parametrize('whose', ['segment', 'folder', 'link'])
def test_ledger_loads_no_payload_of_others(
    evil: tuple[Ledger, Path], tmp_path: Path, whose: str
) -> None:
    """Nor what they made us write ourselves, and refer to: who owns the folder decides what lies
    in it.
    """
    ledger, trap = evil
    path = segment_path(ledger.folder, 'evil')
    if whose == 'segment':
        os.chown(path, 12345, -1)
    else:
        os.chown(ledger.folder, 12345, -1)
    if whose == 'link':
        own = tmp_path / 'mine'
        os.rename(path, own)
        os.symlink(own, path)
        os.lchown(path, 12345, -1)
    queue = Queue(ledger.folder, create=False)
    ids = [name.hex() for name in ledger.state.ids]
    attempts: list[Callable[[], object]] = [
        lambda: queue[ids[0]].kwargs,
        lambda: queue[ids[0]].app.func,
        lambda: queue[ids[0]].run(),
        lambda: queue[ids[2]].result,
        lambda: Future(queue.ledger, bytes.fromhex(ids[2])).result(timeout=0),
        lambda: Future(queue.ledger, bytes.fromhex(ids[0])).result(timeout=0),
    ]
    for what in attempts:
        with pytest.raises(
            (UntrustedQueueError, TaskFailedError), match='would run their code as you'
        ) as info:
            what()
        assert isinstance(info.value, UntrustedQueueError) or what is attempts[-1]
        message = '\n'.join([str(info.value), *getattr(info.value, '__notes__', ())])
        for word in (ledger.folder, '12345', 'trusted_users', 'DESIPIPE_TRUST=12345'):
            assert word in message
    # All that needs no loading can be seen, but for what lies behind a link.
    assert queue.counts['FAILED'] == 1 and [task.state for task in queue.tasks()] == [
        'FAILED',
        'WAITING',
        'SUCCEEDED',
    ]
    if whose == 'link':
        with pytest.raises(PayloadError, match='is a link'):
            queue[ids[0]].arguments  # noqa: B018
    else:
        assert queue[ids[0]].arguments == {'x': '1'} and 'def power' in queue[ids[0]].app.code
    assert not trap.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason='needs root, to give files away')
@pytest.mark.parametrize('how', ['argument', 'environment', 'configuration'])
def test_ledger_loads_payloads_of_trusted_users(
    evil: tuple[Ledger, Path], how: str, monkeypatch: pytest.MonkeyPatch, queue_dir: Path
) -> None:
    ledger, trap = evil
    os.chown(segment_path(ledger.folder, 'evil'), 12345, -1)
    os.chown(ledger.folder, 12345, -1)
    config = Path(os.environ['DESIPIPE_CONFIG_DIR']) / 'config.yaml'
    if how == 'environment':
        monkeypatch.setenv('DESIPIPE_TRUST', 'nobody,12345')
    elif how == 'configuration':
        config.write_text('trusted_users: [12345]\n')
    if how == 'argument':
        view = Ledger(ledger.folder, None, {0, 12345}.__contains__)
    else:
        view = Queue(ledger.folder, create=False, config=Config()).ledger
    assert Task.stored(view, 0).kwargs is not None
    assert trap.exists()


def test_folder_is_for_its_owner_alone(queue_dir: Path) -> None:
    queue = Queue('mine', create=True)
    assert os.stat(queue.folder).st_mode & 0o777 == 0o700
    assert queue_names.queue_folder('mine') == queue.folder


# Waiting


def test_waiting_for_others(ledger: Ledger) -> None:
    """Until what is waited for holds, however much else happens; several threads at once."""
    other = fresh(ledger)
    seen: list[int] = []
    begun = threading.Barrier(4)

    def wait(n: int) -> None:
        begun.wait()
        assert ledger.wait(lambda: ledger.state.total(PENDING) >= n)
        seen.append(n)

    threads = [threading.Thread(target=wait, args=(n,)) for n in (1, 5, 9)]
    for thread in threads:
        thread.start()
    begun.wait()
    for i in range(9):
        other.journal.write(lambda: [note('noise')])
        add(other, [i])
        wait_for(lambda i=i: seen == [n for n in (1, 5, 9) if n <= i + 1])  # type: ignore[misc]
    for thread in threads:
        thread.join()


def test_everything_recorded_can_be_asked_for(folder: str) -> None:
    """The same of the writer and of who reads it afterwards."""
    ledger = record(folder)
    for view in (ledger, fresh(ledger)):
        rows = {name: view.state.rows[tid(name)] for name in (0, 1, 2, 4, 'again', 'twin', 'sum')}
        assert [attempt.state for attempt in view.attempts(rows[1])] == [FAILED, SUCCEEDED]
        assert [attempt.counts for attempt in view.attempts(rows[1])] == [False, True]
        assert [attempt.number for attempt in view.attempts(rows['again'])] == [
            1,
            2,
        ] and view.state.burned == {rows['again']: 1}
        assert view.cause(rows[4]) == {'kind': 'cancelled', 'text': 'cancelled'}
        assert [(attempt.number, attempt.counts) for attempt in view.attempts(rows[4])] == [
            (1, False)
        ]
        assert view.state.result(rows['twin']) == view.state.result(rows['sum'])
        (attempt,) = view.attempts(rows[0])
        assert (attempt.worker, attempt.host, attempt.job, attempt.began, attempt.duration) == (
            'w1',
            'here',
            'job-w1',
            100.0,
            1e-3,
        )
        assert attempt.out is not None and attempt.err is not None
        assert (view.read_text(attempt.out), view.read_text(attempt.err)) == ('out 0 1', 'err 0 1')
        assert view.state.versions == {('w1', group().app): {'numpy': '2.0'}}
        assert view.state.blocked() == {}


@pytest.mark.parametrize('compacted', [False, True])
def test_added_again_with_other_options(ledger: Ledger, compacted: bool) -> None:
    """What has not succeeded is run as it was asked for last; what runs, or is done, stays as it
    is.
    """
    rows = add(ledger, 'abcdef')
    begin(ledger, 'w')
    done, failed, runs = claim(ledger, 'w', 3)
    finish(ledger, 'w', [done])
    fail(ledger, 'w', [failed])
    # Twice the same in one addition, as in a sweep over values that come twice.
    assert add(ledger, 'abcdeffg', mid='m1', timeout=5.0, priority=2)[:6] == rows
    before = ledger.journal.offset
    assert add(ledger, 'abcdefg', mid='m1', timeout=5.0, priority=2)[:6] == rows
    assert ledger.journal.offset == before, 'nothing more to say'
    if compacted:
        before = knowledge(ledger)
        compact(ledger)
        assert differences(before, knowledge(ledger)) == []
    for state in (ledger.state, fresh(ledger).state):
        consistent(state)
        assert [state.groups[state.group[row]].mid for row in rows] == [
            'm0',
            'm1',
            'm0',
            'm1',
            'm1',
            'm1',
        ]
        assert [state.groups[state.group[row]].timeout for row in rows[:2]] == [None, 5.0]
    assert claim(ledger, 'w', 9) == []
    ledger.retry(lambda state: [failed[0]])
    taken = claim(ledger, 'w', 9, mids=('m1',))
    assert [row for row, _ in taken] == [*rows[3:], rows[5] + 1, failed[0]]
    finish(ledger, 'w', [runs, *taken])
    assert states(ledger.state) == ['SUCCEEDED'] * 7
