"""What is said of queues and tasks: true, complete, plain, and without loading anybody's code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from struct_checks import check_struct
from workers import work

from desipipe import Queue, TaskManager
from desipipe.queue.ends import End
from desipipe.queue.events import STATES, SUCCEEDED
from desipipe.queue.ledger import Ledger
from desipipe.store.lease import Lease, Observer, lease_path
from desipipe.store.lines import lines
from desipipe.view import failures, pace
from desipipe.view.appearance import APPEARANCES
from desipipe.view.durations import durations
from desipipe.view.failures import blocked_causes
from desipipe.view.processes import is_alive
from desipipe.view.queue import queue_summary
from desipipe.view.schema import QueueSummary
from desipipe.view.task_detail import task_detail
from desipipe.view.task_summary import task_summaries, task_summary


def fill(queue: Queue) -> dict[str, Any]:
    """Tasks of every kind: that succeed, fail, fail once, are blocked."""
    tm = TaskManager(queue)

    @tm.python_app
    def good(x):
        """Documented."""
        print('out of', x)
        return x

    @tm.python_app
    def bad(x):
        raise ValueError(f'no {x}')

    @tm.python_app(retries=1, timeout=30.0, priority=2)
    def twice(path):
        import os
        import sys

        if not os.path.exists(path):
            open(path, 'x').close()
            sys.stderr.write('not yet')
            raise OSError('not there')

    @tm.python_app
    def after(values):
        return sum(values)

    goods = [good(i) for i in range(3)]
    failed = bad(7)
    return {
        'good': goods,
        'bad': failed,
        'twice': twice(os.path.join(queue.folder, '..', 'twice')),
        'after': after(goods),
        'blocked': after([*goods, failed]),
        'deep': good(after([failed])),
    }


@pytest.fixture(scope='module')
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Queue, dict[str, Any]]:
    """A queue that was worked on until nothing is left; nothing may be changed in it."""
    queue = Queue('ran', base_dir=tmp_path_factory.mktemp('ran'))
    futures = fill(queue)
    work(queue)
    queue.ledger.follow()
    return queue, futures


def row(queue: Queue, future: Any) -> int:
    """The row of a future's task."""
    return queue.ledger.row(future.tid)


def test_looks_tell_states_apart_without_colours() -> None:
    assert {*STATES, 'BLOCKED'} <= set(APPEARANCES)
    symbols = [look.symbol for look in APPEARANCES.values()]
    assert len(set(symbols)) == len(symbols)
    assert all(len(symbol) == 1 for symbol in symbols)
    assert all(look.label and look.colour.startswith('#') for look in APPEARANCES.values())


def test_queue(ran: tuple[Queue, dict[str, Any]]) -> None:
    queue, futures = ran
    summary = queue_summary(queue)
    check_struct(summary, QueueSummary)
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert summary['counts'] == {
        'WAITING': 3,
        'PENDING': 0,
        'RUNNING': 0,
        'SUCCEEDED': 5,
        'FAILED': 1,
        'KILLED': 0,
        'UNKNOWN': 0,
    }
    assert (summary['total'], summary['blocked'], summary['left'], summary['condition']) == (
        9,
        3,
        0,
        'failed',
    )
    assert (
        summary['manager'],
        summary['workers'],
        summary['rate'],
        summary['eta'],
        summary['damage'],
    ) == (
        None,
        [],
        None,
        None,
        [],
    )
    bad = {
        'tid': futures['bad'].id,
        'name': 'bad',
        'index': 0,
        'state': 'FAILED',
        'cause': 'ValueError: no 7',
    }
    assert summary['failures'] == [bad]
    assert summary['causes'] == [{**bad, 'count': 3}] == blocked_causes(queue.ledger)


def test_conditions(tmp_path: Path) -> None:
    queue = Queue('q', base_dir=tmp_path)
    assert queue_summary(queue)['condition'] == 'empty'
    tm = TaskManager(queue)

    @tm.python_app
    def app(x):
        return x

    app(1)
    assert queue_summary(queue)['condition'] == 'stopped'
    queue.pause()
    assert queue_summary(queue)['condition'] == 'paused'
    queue.resume()
    work(queue)
    assert queue_summary(queue)['condition'] == 'done'


def test_tasks(ran: tuple[Queue, dict[str, Any]]) -> None:
    queue, futures = ran
    ledger = queue.ledger
    rows = list(ledger.state.each())
    tasks = task_summaries(ledger, rows)
    assert tasks == [task_summary(ledger, row) for row in rows]
    assert task_summaries(ledger, rows[::-1]) == tasks[::-1]
    assert json.loads(json.dumps(tasks, allow_nan=False)) == tasks
    by_name = {
        name: task_summary(ledger, row(queue, futures[name]))
        for name in ('bad', 'twice', 'blocked', 'deep')
    }
    good, bad, twice, blocked, deep = (
        task_summary(ledger, row(queue, futures['good'][2])),
        *by_name.values(),
    )
    assert (
        good['name'],
        good['index'],
        good['state'],
        good['attempt'],
        good['cause'],
        good['blocked'],
    ) == ('good', 2, 'SUCCEEDED', 1, '', '')
    assert good['tid'] == futures['good'][2].id
    assert good['mid'] == queue.managers()[0].id
    assert good['host'] == os.uname().nodename
    assert good['job'] == futures['good'][2].task.jobid != ''
    assert good['duration'] == futures['good'][2].task.dtime > 0
    assert abs(good['began'] - futures['good'][2].task.t0) < 1e-5
    assert (bad['state'], bad['cause'], twice['state'], twice['attempt']) == (
        'FAILED',
        'ValueError: no 7',
        'SUCCEEDED',
        2,
    )
    assert (blocked['state'], blocked['blocked'], blocked['began'], blocked['duration']) == (
        'WAITING',
        futures['bad'].id,
        None,
        None,
    )
    assert deep['blocked'] == futures['bad'].id


def test_detail(ran: tuple[Queue, dict[str, Any]]) -> None:
    queue, futures = ran
    ledger = queue.ledger
    good = task_detail(ledger, row(queue, futures['good'][1]))
    assert json.loads(json.dumps(good, allow_nan=False)) == good
    assert good['code'].startswith('def good(x):') and good['arguments'] == {'x': '1'}
    assert (good['kind'], good['problems'], good['trace'], good['err'], good['out']) == (
        'python',
        [],
        '',
        0,
        len('out of 1\n'),
    )
    assert good['result'] > 0
    assert [task['name'] for task in good['dependants']] == ['after', 'after']
    assert (good['n_dependants'], good['n_requires']) == (2, 0)
    twice = task_detail(ledger, row(queue, futures['twice']))
    assert (twice['retries'], twice['timeout'], twice['priority']) == (1, 30.0, 2)
    first, second = twice['attempts']
    assert (first['attempt'], first['state'], first['cause'], first['err']) == (
        1,
        'FAILED',
        'OSError: not there',
        len('not yet'),
    )
    assert (second['attempt'], second['state'], second['current'], second['err']) == (
        2,
        'SUCCEEDED',
        True,
        0,
    )
    assert first['began'] <= second['began']
    bad = task_detail(ledger, row(queue, futures['bad']))
    assert bad['trace'].rstrip().endswith('ValueError: no 7') and bad['result'] is None
    blocked = task_detail(ledger, row(queue, futures['blocked']))
    assert [(task['name'], task['index'], task['state']) for task in blocked['requires']] == [
        *(('good', i, 'SUCCEEDED') for i in range(3)),
        ('bad', 0, 'FAILED'),
    ]
    assert (blocked['attempts'], blocked['result']) == ([], None)
    assert blocked['added'] <= time.time()


def test_summaries_unpickle_nothing(
    ran: tuple[Queue, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = Queue(ran[0])

    def forbidden(*args: object) -> None:
        raise AssertionError('someone loads code')

    monkeypatch.setattr('desipipe.queue.payload_reader._unpickler', lambda: forbidden)
    with pytest.raises(AssertionError, match='someone loads'):
        queue.tasks(name='good')[0].kwargs  # noqa: B018
    queue_summary(queue)
    durations(queue.ledger)
    for number in queue.ledger.state.each():
        task_detail(queue.ledger, number)


def test_durations(ran: tuple[Queue, dict[str, Any]]) -> None:
    queue, futures = ran
    durations_by_name = {app['name']: app for app in durations(queue.ledger)}
    assert list(durations_by_name) == [
        'good',
        'twice',
        'after',
    ]  # that succeeded, in order of coming
    times = sorted(future.task.dtime for future in futures['good'])
    good = durations_by_name['good']
    assert good['n'] == 3
    assert [good[key] for key in ('min', 'median', 'max', 'total', 'mean')] == pytest.approx(
        [*times, sum(times), sum(times) / 3]
    )
    assert [app['name'] for app in durations(queue.ledger, ['after'])] == ['after']


def test_summaries_are_the_same_after_compaction(tmp_path: Path) -> None:
    queue = Queue('q', base_dir=tmp_path)
    futures = fill(queue)
    work(queue)
    tm = TaskManager(queue)

    @tm.python_app
    def cancelled(x):
        return x

    cancelled(1).cancel()

    def told() -> tuple[list[Any], list[float]]:
        output = queue_summary(queue)
        details = [task_detail(queue.ledger, number) for number in queue.ledger.state.each()]
        # Written again, times are rounded to microseconds from another one on; when a task was
        # added is the only thing that is forgotten.
        began = [item.pop('began') or 0.0 for task in details for item in (task, *task['attempts'])]
        for task in details:
            task.pop('added')
        return [
            details,
            durations(queue.ledger),
            {key: value for key, value in output.items() if key != 'time'},
        ], began

    before, began = told()
    assert before[2]['counts']['KILLED'] == 1
    queue.compact()
    after, began_after = told()
    assert after == before
    assert began_after == pytest.approx(began, abs=1e-5, rel=0)
    assert task_summary(queue.ledger, row(queue, futures['bad']))['cause'] == 'ValueError: no 7'


# Processes


@pytest.fixture
def bare(tmp_path: Path) -> Queue:
    """A queue with eight pending tasks."""
    queue = Queue('bare', base_dir=tmp_path)
    tm = TaskManager(queue)

    @tm.python_app
    def app(x):
        return x

    app.map(x=range(8))
    return queue


def begin(ledger: Ledger, name: str, slots: int = 1) -> Lease:
    """Be a worker of that name, as the journal sees it."""
    lease = Lease(ledger.folder, name, False)
    ledger.begin_worker(
        name, mid=None, host='here', pid=os.getpid(), slots=slots, job=f'job-{name}'
    )
    return lease


def test_rate_and_what_runs(bare: Queue) -> None:
    ledger = bare.ledger
    mids = list(ledger.state.managers)
    begin(ledger, 'w', slots=2)
    claimed = ledger.exchange('w', want=6, mids=mids)
    began = time.time() - 10
    ledger.exchange(
        'w', [End(number, attempt, SUCCEEDED, began, 5_000_000) for number, attempt in claimed[:3]]
    )
    summary = queue_summary(bare)
    # Three ended in the ten seconds (and what this machine needs) since the first of them began.
    assert 3 / (time.time() - began) <= summary['rate'] <= 3 / 10
    assert (summary['left'], summary['condition']) == (5, 'running')
    assert summary['eta'] == pytest.approx(5 / summary['rate'])
    (worker,) = summary['workers']
    assert (
        worker['running'],
        worker['slots'],
        worker['alive'],
        worker['job'],
        worker['stopping'],
    ) == (2, 2, True, 'job-w', False)
    assert (
        worker['claimed'],
        summary['claimed'],
        summary['counts']['RUNNING'],
        summary['counts']['PENDING'],
    ) == (1, 1, 2, 3)
    assert [(task['name'], task['index']) for task in worker['tasks']] == [('app', 3), ('app', 4)]
    running = task_summary(ledger, claimed[3][0])
    assert (running['state'], running['worker'], running['duration']) == ('RUNNING', 'w', None)
    assert running['began'] == ledger.state.running.started(claimed[3][0])
    bare.pause()
    assert queue_summary(bare)['eta'] is None


def test_rate_of_long_tasks_is_that_of_earlier_ones(
    bare: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = bare.ledger
    begin(ledger, 'w', slots=4)
    mids = list(ledger.state.managers)
    claimed = [some for n in (1, 1, 3) for some in ledger.exchange('w', want=n, mids=mids)]
    assert queue_summary(bare)['rate'] is None  # nobody knows yet
    ledger.exchange('w', [End(*claimed[0], SUCCEEDED, time.time() - 100, 100_000_000)])
    monkeypatch.setattr(pace, 'WINDOW', 0.0)  # as if that had been long ago
    assert queue_summary(bare)['rate'] == pytest.approx(4 / 100)
    first, _ = ledger.state.alive['w'].rows.claims.values()
    first.started -= 400  # its task takes longer than the others did
    assert queue_summary(bare)['rate'] == pytest.approx(3 / 100 + 1 / 400, rel=0.01)


def test_time_left_knows_what_runs(bare: Queue) -> None:
    """Many short tasks that ended say nothing of a long one of another app."""
    ledger = bare.ledger
    begin(ledger, 'w', slots=2)
    mids = list(ledger.state.managers)
    (first,) = ledger.exchange('w', want=1, mids=mids)
    now = time.time()
    for passed in (0, 300):
        assert pace.time_left(ledger, 5, 100.0, [first[0]], now + passed) is None
    ledger.exchange('w', [End(*first, SUCCEEDED, now - 10, 10_000_000)])
    (second,) = ledger.exchange('w', want=1, mids=mids)
    assert pace.time_left(ledger, 4, 100.0, [second[0]], now) == pytest.approx(10, abs=5)
    assert pace.time_left(ledger, 4, 0.1, [second[0]], now) == 40
    assert pace.time_left(ledger, 4, None, [second[0]], now) is None
    bare.pause()
    assert pace.time_left(ledger, 4, 0.1, [second[0]], now) is None


def test_first_failures_come_first_and_cancelled_ones_last(bare: Queue) -> None:
    ledger = bare.ledger
    begin(ledger, 'w', slots=8)
    ids = [future.id for future in bare.futures()]
    bare.cancel(tid=ids[0])
    claimed = dict(ledger.exchange('w', want=8, mids=list(ledger.state.managers)))
    for number in (5, 2, 4, 3, 7, 6):
        ledger.exchange(
            'w',
            [
                End(
                    number,
                    claimed[number],
                    4,
                    time.time(),
                    1,
                    cause={'kind': 'X', 'text': f'number {number:d}'},
                )
            ],
        )
    assert [task['index'] for task in queue_summary(bare)['failures']] == [5, 2, 4, 3, 7]
    bare.retry(tid=[ids[number] for number in (5, 2, 4)])
    assert [(task['index'], task['cause']) for task in queue_summary(bare)['failures'][-2:]] == [
        (6, 'number 6'),
        (0, 'cancelled'),
    ]


def test_kinds_of_failures_are_counted_as_far_as_they_are_read(
    bare: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = bare.ledger
    begin(ledger, 'w', slots=8)
    claimed = ledger.exchange('w', want=8, mids=list(ledger.state.managers))
    names = ['KeyError'] * 2 + ['ValueError'] * 3
    ends = [
        End(*task, 4, time.time(), 1, cause={'kind': name, 'text': '', 'trace': ['', 0, 0]})
        for task, name in zip(claimed, names, strict=False)
    ]
    ledger.exchange('w', ends[:4])
    kinds = [{'kind': 'KeyError', 'count': 2}, {'kind': 'ValueError', 'count': 2}]
    assert queue_summary(bare)['failure_kinds'] == kinds
    monkeypatch.setattr(failures, 'KINDS_READ', 3)
    ledger.exchange('w', ends[4:])
    assert queue_summary(bare)['failure_kinds'] == [
        {'kind': 'KeyError', 'count': 2},
        {'kind': 'not looked at', 'count': 2},
        {'kind': 'ValueError', 'count': 1},
    ]


def test_alive_here(bare: Queue) -> None:
    folder = bare.folder
    code = (
        'import sys, os; from desipipe.store.lease import Lease; Lease(sys.argv[1], "w", False); '
        'print("there", flush=True); sys.stdin.read()'
    )
    with subprocess.Popen(
        [sys.executable, '-c', code, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == 'there\n'
        assert is_alive(folder, 'w') is True
        process.kill()
    assert os.path.exists(lease_path(folder, 'w'))
    assert is_alive(folder, 'w') is False
    assert is_alive(folder, 'never there') is False


def test_alive_elsewhere_is_unknown_until_it_was_silent_for_long(bare: Queue) -> None:
    lease = begin(bare.ledger, 'w')
    lease.record['boot'] = 'of another machine'
    lease.beat()
    assert is_alive(bare.folder, 'w') is None
    observer = Observer(bare.folder, 1e-6)
    assert is_alive(bare.folder, 'w', observer) is None  # the first look tells nothing
    lease.beat()
    assert is_alive(bare.folder, 'w', observer) is None  # it has beaten since
    # A look adds a third of the lease at most, however long ago the last one was.
    assert [is_alive(bare.folder, 'w', observer) for _ in range(4)][-1] is False
    assert queue_summary(bare, observer)['workers'][0]['alive'] is False
    assert queue_summary(bare)['condition'] == 'running'  # in doubt, somebody works
    assert queue_summary(bare, observer)['condition'] == 'stopped'


def test_manager(bare: Queue) -> None:
    ledger = bare.ledger
    with Path(bare.filename).open('rb') as file:
        size = len(file.read())
    lease = Lease(bare.folder, 'm', False)
    ledger.journal.write(
        lambda: [{'e': 'manager', 'do': 'begin', 'w': 'm', 'host': 'here', 'pid': 12, 't': 5.0}]
    )
    ledger.journal.write(lambda: [{'e': 'manager', 'do': 'say', 'w': 'm', 'text': 'oh', 't': 6.0}])
    assert ledger.journal.offset > size
    assert queue_summary(bare)['manager'] == {
        'name': 'm',
        'host': 'here',
        'pid': 12,
        'since': 5.0,
        'alive': True,
        'says': 'oh',
        'stopping': False,
    }
    assert queue_summary(bare)['condition'] == 'running'
    bare.kill()
    assert queue_summary(bare)['manager']['stopping'] is True
    lease.close()
    assert queue_summary(bare)['manager']['alive'] is False


# Damage


def damage(path: str, word: bytes) -> int:
    """Change a byte of the last line that holds ``word``; its offset."""
    data = bytearray(Path(path).read_bytes())
    offset = [offset for offset, line in lines(bytes(data), 0) if word in line][-1]
    data[offset + 10] ^= 1
    Path(path).write_bytes(data)
    return offset


def test_damaged_lines_and_lost_payloads_are_named(tmp_path: Path) -> None:
    queue = Queue('q', base_dir=tmp_path)
    futures = fill(queue)
    work(queue)
    expected = row(queue, futures['bad'])
    queue.ledger.follow()
    offset = damage(queue.filename, b'ValueError: no 7')
    # Who had read the line keeps what it said; its details are gone.
    assert (
        task_summary(queue.ledger, expected)['cause']
        == 'its details are in a damaged line of the journal'
    )
    assert any(
        str(offset) in arguments for arguments in task_detail(queue.ledger, expected)['problems']
    )
    fresh = Queue(queue)
    (summary,) = queue_summary(fresh)['damage']
    assert (summary['file'], summary['offset']) == (queue.filename, offset)
    for name in os.listdir(os.path.join(queue.folder, 'segments')):
        os.unlink(os.path.join(queue.folder, 'segments', name))
    fresh = Queue(queue)
    good = task_detail(fresh.ledger, row(fresh, futures['good'][0]))
    assert (good['code'], good['arguments']) == ('', {})
    assert sum('.bin cannot be opened' in arguments for arguments in good['problems']) == 2
    assert queue_summary(fresh)['total'] == 9
