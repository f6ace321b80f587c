"""Packets of many short tasks between a worker and its slots: what becomes of each when one of
them misbehaves.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections import Counter, deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from polling import TIMEOUT_S, wait_for
from workers import WORK

from desipipe import Queue, TaskManager
from desipipe.execution.forked_slot import ForkedSlot
from desipipe.execution.protocol import ResultsWritten, TaskDone, encode
from desipipe.execution.slot_memory import RESULTS_MAX, ROOM, Results, SharedMemory
from desipipe.queue.events import FAILED, PENDING
from desipipe.serialize.confined import is_confined
from desipipe.serialize.payload import is_plain_pickle

N = 120
ODD = 50  # the task in the middle that does something else


@pytest.fixture
def start(queue: Queue) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start workers; those that are left are killed at the end."""
    started: list[subprocess.Popen[bytes]] = []

    def start(slots: int = 1) -> subprocess.Popen[bytes]:
        started.append(
            subprocess.Popen([*WORK, queue.folder, '--slots', str(slots), '--linger', '600'])
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def record(i: int, folder: str, what: str) -> int:
    """Note that a task ran; the odd one does something else too."""
    import os
    import signal
    import time

    log = os.open(os.path.join(folder, 'log'), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(log, b'%d\n' % i)
    os.close(log)
    if i == 50 and what == 'die':
        os.kill(os.getpid(), signal.SIGKILL)
    if i == 50 and what == 'exit':
        os._exit(3)
    while i == 50 and what == 'wait' and not os.path.exists(os.path.join(folder, 'go')):
        time.sleep(0.005)
    return i


def prepare(tm: TaskManager, folder: Path, **options: Any) -> Any:
    """Return an app that the worker knows to be short, so that its tasks go in packets."""
    app = tm.python_app(record, **options)
    assert [
        future.result(timeout=TIMEOUT_S)
        for future in app.map(i=range(1000, 1040), folder=str(folder), what='')
    ]
    (folder / 'log').unlink()
    return app


def runs(folder: Path) -> Counter[int]:
    """How often each task ran."""
    return Counter(map(int, (folder / 'log').read_text().split()))


def counts(queue: Queue) -> dict[str, int]:
    return {name: n for name, n in queue.counts.items() if n}


@pytest.mark.parametrize('what', ['die', 'exit'])
def test_packet_death_in_the_middle_costs_one_attempt(
    queue: Queue, start: Callable[..., Any], tmp_path: Path, what: str
) -> None:
    tm = TaskManager(queue)
    start()
    app = prepare(tm, tmp_path)
    before = counts(queue)['SUCCEEDED']
    futures = app.map(i=range(N), folder=str(tmp_path), what=what)
    wait_for(lambda: counts(queue) == {'SUCCEEDED': before + N - 1, 'KILLED': 1})
    assert runs(tmp_path) == Counter(range(N))
    ledger = queue.ledger
    attempts = [ledger.attempts(ledger.row(future.tid)) for future in futures]
    # What was given back, as a loaded machine makes tasks slow, runs under a later number.
    assert [len(some) for some in attempts] == [1] * N
    assert futures[ODD].state == 'KILLED'
    assert [future.result() for i, future in enumerate(futures) if i != ODD] == [
        i for i in range(N) if i != ODD
    ]


def test_packet_death_in_the_middle_is_retried_alone(
    queue: Queue, start: Callable[..., Any], tmp_path: Path
) -> None:
    tm = TaskManager(queue)
    start()
    app = prepare(tm, tmp_path, retries=1)
    before = counts(queue)['SUCCEEDED']
    app.map(i=range(N), folder=str(tmp_path), what='die')
    wait_for(lambda: counts(queue) == {'SUCCEEDED': before + N - 1, 'KILLED': 1})
    assert runs(tmp_path) == Counter(range(N)) + Counter([ODD])


def test_packet_long_task_in_the_middle_keeps_nothing_back(
    queue: Queue, start: Callable[..., Any], tmp_path: Path
) -> None:
    # What ran before it is reported while it runs; what stands behind it runs in another slot.
    tm = TaskManager(queue, scheduler=dict(max_workers=2))
    start(2)
    app = prepare(tm, tmp_path)
    before = counts(queue)['SUCCEEDED']
    futures = app.map(i=range(N), folder=str(tmp_path), what='wait')
    wait_for(lambda: counts(queue) == {'SUCCEEDED': before + N - 1, 'RUNNING': 1})
    (tmp_path / 'go').touch()
    assert [future.result(timeout=TIMEOUT_S) for future in futures] == list(range(N))
    assert runs(tmp_path) == Counter(range(N))


def test_packet_long_task_in_the_only_slot(
    queue: Queue, start: Callable[..., Any], tmp_path: Path
) -> None:
    tm = TaskManager(queue)
    start()
    app = prepare(tm, tmp_path)
    before = counts(queue)['SUCCEEDED']
    futures = app.map(i=range(N), folder=str(tmp_path), what='wait')
    wait_for(
        lambda: (
            counts(queue).get('SUCCEEDED') == before + ODD
            and os.path.exists(tmp_path / 'log')
            and ODD in runs(tmp_path)
        )
    )
    (tmp_path / 'go').touch()
    assert [future.result(timeout=TIMEOUT_S) for future in futures] == list(range(N))
    assert runs(tmp_path) == Counter(range(N))


def test_packet_cancel_in_the_middle(
    queue: Queue, start: Callable[..., Any], tmp_path: Path
) -> None:
    tm = TaskManager(queue)
    start()
    app = prepare(tm, tmp_path)
    before = counts(queue)['SUCCEEDED']
    futures = app.map(i=range(N), folder=str(tmp_path), what='wait')
    wait_for(lambda: counts(queue).get('SUCCEEDED') == before + ODD and ODD in runs(tmp_path))
    gone = {ODD, ODD + 3, N - 1}
    queue.cancel(tid=[futures[i].id for i in sorted(gone)])
    wait_for(lambda: counts(queue) == {'SUCCEEDED': before + N - 3, 'KILLED': 3})
    assert runs(tmp_path) == Counter(i for i in range(N) if i == ODD or i not in gone)


def test_packet_cancel_of_what_has_not_begun_leaves_what_runs(
    queue: Queue, start: Callable[..., Any], tmp_path: Path
) -> None:
    tm = TaskManager(queue)
    start()
    app = prepare(tm, tmp_path)
    before = counts(queue)['SUCCEEDED']
    futures = app.map(i=range(N), folder=str(tmp_path), what='wait')
    wait_for(lambda: counts(queue).get('SUCCEEDED') == before + ODD and ODD in runs(tmp_path))
    queue.cancel(tid=[futures[ODD + 1].id])
    (tmp_path / 'go').touch()
    wait_for(lambda: counts(queue) == {'SUCCEEDED': before + N - 1, 'KILLED': 1})
    # The worker may have let it begin before it read the order; its report does not count then.
    assert runs(tmp_path) | Counter([ODD + 1]) == Counter(range(N))


def test_packet_time_limit_in_the_middle(
    queue: Queue, start: Callable[..., Any], tmp_path: Path
) -> None:
    tm = TaskManager(queue)
    start()
    app = prepare(tm, tmp_path, timeout=5.0)
    before = counts(queue)['SUCCEEDED']
    futures = app.map(i=range(N), folder=str(tmp_path), what='wait')
    wait_for(lambda: counts(queue) == {'SUCCEEDED': before + N - 1, 'KILLED': 1})
    assert futures[ODD].state == 'KILLED'
    assert 'timeout' in str(futures[ODD].exception())
    assert runs(tmp_path) == Counter(range(N))


def test_packet_worker_told_to_end_gives_back_what_has_not_begun(
    queue: Queue, start: Callable[..., Any], tmp_path: Path
) -> None:
    tm = TaskManager(queue)
    worker = start()
    app = prepare(tm, tmp_path)
    before = counts(queue)['SUCCEEDED']
    futures = app.map(i=range(N), folder=str(tmp_path), what='wait')
    wait_for(lambda: counts(queue).get('SUCCEEDED') == before + ODD and ODD in runs(tmp_path))
    worker.send_signal(signal.SIGTERM)
    wait_for(lambda: (queue.ledger.follow(), queue.ledger.state.total(PENDING))[1] == N - ODD - 1)
    (tmp_path / 'go').touch()
    worker.wait(TIMEOUT_S)
    start()
    assert [future.result(timeout=TIMEOUT_S) for i, future in enumerate(futures) if i != ODD] == [
        i for i in range(N) if i != ODD
    ]
    assert runs(tmp_path) == Counter(range(N))


def test_packet_output_belongs_to_its_task(queue: Queue, start: Callable[..., Any]) -> None:
    def speak(i: int) -> int:
        import os
        import sys

        if i % 3 == 0:
            print('out', i)
        if i % 4 == 0:
            print('err', i, file=sys.stderr)
        if i % 5 == 0:
            os.write(1, b'raw %d\n' % i)
        return i

    tm = TaskManager(queue)
    start()
    app = tm.python_app(speak)
    for future in app.map(i=range(1001, 1200, 60)):
        future.result(timeout=TIMEOUT_S)
    futures = app.map(i=range(N))
    assert [future.result(timeout=TIMEOUT_S) for future in futures] == list(range(N))
    for i, future in enumerate(futures):
        out = (f'out {i}\n' if i % 3 == 0 else '') + (f'raw {i}\n' if i % 5 == 0 else '')
        assert sorted(future.out().splitlines()) == sorted(out.splitlines())
        assert future.err() == (f'err {i}\n' if i % 4 == 0 else '')


def test_packet_rude_tasks_leave_nothing_to_the_next(
    queue: Queue, start: Callable[..., Any]
) -> None:
    def behave(i: int) -> Any:
        import decimal
        import os
        import signal
        import sys
        import warnings

        mask = os.umask(0o22)
        os.umask(mask)
        seen = (
            *(
                os.getcwd(),
                os.environ.get('RUDE'),
                mask,
                sys.getrecursionlimit(),
                len(sys.path),
                len(warnings.filters),
            ),
            *(
                signal.getsignal(signal.SIGTERM),
                signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set(),
                decimal.getcontext().prec,
            ),
            *(sys.stdout is sys.__stdout__, os.readlink('/proc/self/fd/1').startswith('pipe:')),
        )
        match i % 8:
            case 0:
                os.chdir('/')
                os.environ['RUDE'] = 'yes'
            case 1:
                os.umask(0o777)
                sys.setrecursionlimit(300)
            case 2:
                sys.path.insert(0, '/rude')
                warnings.simplefilter('error')
            case 3:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
            case 4:
                decimal.getcontext().prec = 3
                sys.stdout = None  # type: ignore[assignment]
            case 5:
                os.close(1)
        return [str(item) for item in seen]

    tm = TaskManager(queue)
    start()
    app = tm.python_app(behave)
    expected = app(i=1007).result(timeout=TIMEOUT_S)
    for future in app.map(i=range(1015, 1300, 8)):
        assert future.result(timeout=TIMEOUT_S) == expected
    futures = app.map(i=range(N))
    results = [future.result(timeout=TIMEOUT_S) for future in futures]
    assert [i for i, seen in enumerate(results) if seen != expected] == []


def test_packet_class_that_a_task_loads_is_as_it_came(
    queue: Queue, start: Callable[..., Any]
) -> None:
    class Counted:
        n = 0

    def make() -> Any:
        return Counted()

    def count(i: int, folder: str, tid: str) -> int:
        from desipipe.queue.future import Future
        from desipipe.queue.queue import open_queue

        if i % 2 == 0:
            return 0
        cls = type(Future(open_queue(folder), tid).result())
        cls.n += 1
        return int(cls.n)

    tm = TaskManager(queue)
    start()
    made = tm.python_app(make)()
    made.result(timeout=TIMEOUT_S)
    app = tm.python_app(count)
    for future in app.map(i=range(1000, 1100, 2), folder=queue.folder, tid=made.id):
        assert future.result(timeout=TIMEOUT_S) == 0
    futures = app.map(i=range(40), folder=queue.folder, tid=made.id)
    assert [future.result(timeout=TIMEOUT_S) for future in futures] == [0, 1] * 20


def test_packet_results_that_do_not_fit_into_the_memory(
    queue: Queue, start: Callable[..., Any]
) -> None:
    def large(i: int) -> Any:
        return 'x' * (i * 1000)

    tm = TaskManager(queue)
    start(2)
    app = tm.python_app(large)
    assert [len(future.result(timeout=TIMEOUT_S)) for future in app.map(i=range(300, 320))] == [
        i * 1000 for i in range(300, 320)
    ]
    assert [len(future.result(timeout=TIMEOUT_S)) for future in app.map(i=range(150))] == [
        i * 1000 for i in range(150)
    ]


def test_packet_failures_among_tasks_that_only_compute(
    queue: Queue, start: Callable[..., Any]
) -> None:
    def divide(i: int) -> float:
        return 1 / (i % 7)

    assert is_confined(divide)
    tm = TaskManager(queue)
    start()
    app = tm.python_app(divide)
    assert app(i=1).result(timeout=TIMEOUT_S) == 1
    futures = app.map(i=range(2, N))
    errors = [future.exception(timeout=TIMEOUT_S) for future in futures]
    assert [isinstance(error, ZeroDivisionError) for error in errors] == [
        i % 7 == 0 for i in range(2, N)
    ]
    assert 'return 1 / (i % 7)' in futures[5].err() or 'return 1 / (i % 7)' in str(
        errors[5].__cause__
    )


# Which functions only compute


HALF = 0.5
TABLE = [1, 2]


def helper(x: float) -> float:
    return HALF * x


def remember(x: int, seen: list[int] = []) -> int:  # noqa: B006
    seen.append(x)
    return len(seen)


def outer() -> Any:
    total = 0

    def add(x: int) -> int:
        nonlocal total
        total += x
        return total

    return add


def sum_of_squares(n: int) -> float:
    import_free = [helper(i) ** 2 for i in range(n)]
    return sum(value for value in import_free if value > n * HALF)


def uses_global_list(i: int) -> int:
    return TABLE[i]


def sets_global(i: int) -> int:
    global HALF
    HALF = i
    return i


def imports(i: int) -> Any:
    import os

    return os.getpid()


def leads_out(i: int) -> Any:
    return (lambda: i).__globals__


def leads_out_of_a_generator(i: int) -> Any:
    return (x for x in range(i)).gi_frame


def makes_a_class(i: int) -> Any:
    class Made:
        pass

    return Made


async def waits(i: int) -> int:
    return i


def warns(i: int) -> int:
    return ~(i > 2)


def test_confined_functions() -> None:
    assert is_confined(helper)
    assert is_confined(sum_of_squares)
    assert is_confined(lambda x: sorted({str(x): [x]}.items()))


@pytest.mark.parametrize(
    'func',
    [
        *(
            remember,
            outer(),
            uses_global_list,
            sets_global,
            imports,
            leads_out,
            leads_out_of_a_generator,
            makes_a_class,
            waits,
            warns,
        ),
        *(
            print,
            lambda x: print(x),
            lambda x: getattr(x, 'a'),  # noqa: B009
            lambda x: open(x),
            lambda x: type(x),
            lambda: os.getpid(),
        ),
        *(lambda x: x.__class__, lambda x: remember(x), lambda x: vars()),
    ],
)
def test_functions_that_are_not_confined(func: Any) -> None:
    assert not is_confined(func)


def test_function_with_attributes_is_not_confined() -> None:
    def counted(x: int) -> int:
        return x

    assert is_confined(counted)
    counted.n = 1  # type: ignore[attr-defined]
    assert not is_confined(counted)


def test_plain_pickles() -> None:
    import pickle

    for value in (0x93, [b'\x93' * 3, 'a', {1: (2.0, None)}], {'i': 147}):
        assert is_plain_pickle(pickle.dumps(value, 5))
    for value in (len, Path('.'), 1j, Counter):
        assert not is_plain_pickle(pickle.dumps(value, 5))
    assert not is_plain_pickle(b'')
    assert not is_plain_pickle(b'\x80\x05\x93')


# The shared memory


def test_memory_gives_results_in_order_across_its_end() -> None:
    memory = SharedMemory()
    taken: list[tuple[int, bytes]] = []
    try:
        for number in range(5 * RESULTS_MAX):
            data = b'%d' % number * (number % 90)
            assert memory.put(number, number, 1, 0, data)
            if number % 700 == 0:
                results = memory.take()
                assert results is not None
                ends = [sum(results.lengths[: i + 1]) for i in range(len(results.lengths))]
                pieces = [
                    results.data[end - size : end]
                    for end, size in zip(ends, results.lengths, strict=True)
                ]
                taken += zip(results.numbers, pieces, strict=True)
                assert memory.take() is None
        assert taken == [(number, b'%d' % number * (number % 90)) for number in range(len(taken))]
        assert len(taken) > 4 * RESULTS_MAX
    finally:
        memory.close()


def test_memory_that_is_full_takes_no_more() -> None:
    memory = SharedMemory()
    try:
        assert [memory.put(i, 0, 0, 0, b'') for i in range(RESULTS_MAX + 1)] == [
            True
        ] * RESULTS_MAX + [False]
        results = memory.take(10)
        assert results is not None and results.numbers == list(range(10))
        assert not memory.put(0, 0, 0, 0, b'x' * (ROOM + 1))
        assert memory.put(0, 0, 0, 0, b'x' * (ROOM - 100))
        assert not memory.put(0, 0, 0, 0, b'x' * 200)
        memory.take()
        assert memory.put(0, 0, 0, 0, b'x' * 200)
    finally:
        memory.close()


def test_memory_counts_wrap() -> None:
    memory = SharedMemory()
    try:
        memory._numbers[3] = memory._numbers[5] = 0xFFFFFFFE
        memory._numbers[4] = memory._numbers[6] = 0xFFFFFFF0
        last = 0xFFFFFFFF
        assert all(memory.put(last + i, 0, 0, 0, b'0123456789') for i in range(5))
        results = memory.take()
        assert results is not None
        assert results.numbers == [last, 0, 1, 2, 3]
        assert results.data == b'0123456789' * 5
        memory.begin(last, 1.5)
        assert memory.began(last) == 1.5
        assert memory.began(last - 1) is None
    finally:
        memory.close()


class SlowSocket:
    """A socket on which, while it is read, the slot goes on."""

    def __init__(self, meanwhile: Callable[[], None]) -> None:
        self.packets: list[bytes] = []
        self.meanwhile = [meanwhile]

    def recv(self, size: int) -> bytes:
        if self.packets:
            return self.packets.pop(0)
        if self.meanwhile:
            self.meanwhile.pop()()
        raise BlockingIOError


def test_results_keep_their_order_when_a_slot_goes_on_meanwhile() -> None:
    """A packet, then a result, come between the last look at the socket and that at the memory."""
    shared = SharedMemory()
    done = TaskDone(1, 1, FAILED, 1.5, 20, None, None, None, False)

    def go_on() -> None:
        process.sock.packets.append(encode(done, shared.written))  # type: ignore[attr-defined]
        shared.put(2, 0, 1, 0, b'second')

    process: Any = ForkedSlot.__new__(ForkedSlot)
    process.sock, process._shared, process.reaped = SlowSocket(go_on), shared, None
    process._unsent = deque()
    shared.put(0, 0, 1, 0, b'first')
    seen = [
        message.numbers if isinstance(message, Results) else message
        for message in [*process.receive(), *process.receive()]
    ]
    assert seen == [[0], done, [2]]
    shared.close()


def test_results_that_are_told_are_taken() -> None:
    shared = SharedMemory()
    process: Any = ForkedSlot.__new__(ForkedSlot)
    process.sock, process._shared, process.reaped = SlowSocket(lambda: None), shared, None
    process._unsent = deque()
    shared.put(0, 0, 1, 0, b'first')
    process.sock.packets.append(encode(ResultsWritten(), shared.written))
    (results,) = process.receive()
    assert results.numbers == [0] and process.receive() == []
    shared.close()
