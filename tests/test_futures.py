"""Futures: what users of concurrent.futures and asyncio expect, also from another process."""

from __future__ import annotations

import asyncio
import concurrent.futures
import errno
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from workers import WORK

from desipipe import Queue, TaskManager, as_completed, wait
from desipipe import work as run_tasks
from desipipe.errors import QueueGoneError, TaskFailedError, UnknownTaskError
from desipipe.queue.future import Future


@pytest.fixture
def app(queue: Queue) -> Any:
    @TaskManager(queue).python_app
    def square(i: int, fail: bool = False) -> int:
        if fail:
            raise ValueError(f'no square of {i}')
        return i * i

    return square


@pytest.fixture
def worker(queue: Queue) -> Iterator[None]:
    process = subprocess.Popen(
        [
            sys.executable,
            '-m',
            'desipipe',
            'work',
            '-q',
            queue.folder,
            '--slots',
            '2',
            '--linger',
            '600',
        ]
    )
    yield
    process.terminate()
    process.wait(60)


def test_time_out_says_what_is_going_on(app: Any, queue: Queue) -> None:
    future = app(3)
    with pytest.raises(
        TimeoutError, match='is PENDING after 0.05 s; it goes on, nothing is lost'
    ) as caught:
        future.result(timeout=0.05)
    assert 'desipipe explain' in str(caught.value)
    assert not future.done()
    assert len(queue) == 1


def test_done_and_exception(app: Any, worker: None) -> None:
    good, bad = app(3), app(4, fail=True)
    assert good.exception(timeout=60) is None
    assert isinstance(bad.exception(timeout=60), ValueError)
    assert good.done() and bad.done()
    assert not good.running() and not good.cancelled() and not good.cancel()
    assert good.result() == 9


def test_callbacks(app: Any, worker: None) -> None:
    called: list[Any] = []
    over = threading.Event()
    futures = [app(i) for i in range(3)]
    for future in futures:

        def note(future: Future) -> None:
            called.append(future.result())
            if len(called) == 3:
                over.set()

        future.add_done_callback(note)
    assert over.wait(60)
    assert sorted(called) == [0, 1, 4]
    futures[0].add_done_callback(called.append)  # at once
    assert called[-1] is futures[0]


def test_callback_that_raises_harms_nobody(
    app: Any, worker: None, caplog: pytest.LogCaptureFixture
) -> None:
    over = threading.Event()
    first, second = app(1), app(2)

    def fail(future: Future) -> None:
        raise RuntimeError('of the callback')

    first.add_done_callback(fail)
    second.add_done_callback(lambda _: over.set())
    assert over.wait(60)
    first.result(timeout=60)


def test_await(app: Any, worker: None) -> None:
    async def main() -> tuple[list[int], str]:
        results = await asyncio.wait_for(asyncio.gather(*(_result(app(i)) for i in range(5))), 60)
        try:
            await app(5, fail=True)
        except ValueError as exc:
            return results, str(exc)
        return results, 'nothing'

    async def _result(future: Future) -> int:
        value: int = await future
        return value

    assert asyncio.run(main()) == ([0, 1, 4, 9, 16], 'no square of 5')


def test_wait(app: Any, worker: None) -> None:
    futures = app.map(i=range(10))
    done, not_done = wait(futures, timeout=60)
    assert (len(done), not_done) == (10, set())
    some = wait([*futures, app(99)], timeout=60, return_when=concurrent.futures.FIRST_COMPLETED)
    assert len(some.done) >= 1
    bad = app(1, fail=True)
    assert bad in wait([bad], timeout=60, return_when=concurrent.futures.FIRST_EXCEPTION).done


def test_wait_gives_up(app: Any) -> None:
    futures = app.map(i=range(3))
    done, not_done = wait(futures, timeout=0.05)
    assert (done, not_done) == (set(), set(futures))
    with pytest.raises(TimeoutError, match='3 futures not done'):
        list(as_completed(futures, timeout=0.05))


def test_as_completed(app: Any, worker: None) -> None:
    futures = app.map(i=range(20))
    assert sorted(future.result() for future in as_completed(futures, timeout=60)) == [
        i * i for i in range(20)
    ]


def test_from_another_process(app: Any, worker: None, tmp_path: Path) -> None:
    future = app(7)
    (tmp_path / 'future').write_bytes(pickle.dumps(future))
    code = (
        f'import pickle; print(pickle.load(open({str(tmp_path / "future")!r}, '
        '"rb")).result(timeout=60))'
    )
    assert (
        subprocess.run(
            [sys.executable, '-c', code], check=True, capture_output=True, text=True, timeout=120
        ).stdout
        == '49\n'
    )


def test_after_a_restart(app: Any, queue: Queue, worker: None) -> None:
    tid = app(8).id
    again = Queue(queue.folder, create=False)
    (future,) = again.futures(tid=tid[:8])
    assert future.result(timeout=60) == 64
    assert again[tid].result == 64
    assert future == app(8)


def test_future_blocked_by_failure_raises_at_once(queue: Queue, app: Any, worker: None) -> None:
    @TaskManager(queue).python_app
    def double(i: int) -> int:
        return 2 * i

    bad = app(5, fail=True)
    blocked = double(double(bad))
    with pytest.raises(TaskFailedError, match='cannot run: it needs task') as caught:
        blocked.result(timeout=60)
    assert bad.id[:12] in str(caught.value)
    assert isinstance(caught.value.__cause__, ValueError)
    assert queue.explain(blocked).startswith('double[')
    queue.set_task_state(bad.id, 'SUCCEEDED')  # by hand, without a result: what needs it gets None
    double_of_none = queue[blocked.task.require_ids[0]].future
    assert isinstance(double_of_none.exception(timeout=60), TypeError)
    assert isinstance(blocked.exception(timeout=60).__cause__, TypeError)


def test_failure_that_was_retried_elsewhere_is_seen(
    queue: Queue, worker: None, tmp_path: Path
) -> None:
    @TaskManager(queue).python_app
    def exists(path: str) -> bool:
        import os

        if not os.path.exists(path):
            raise FileNotFoundError(path)
        return True

    future = exists(str(tmp_path / 'there'))
    assert isinstance(future.exception(timeout=60), FileNotFoundError)
    (tmp_path / 'there').touch()
    subprocess.run(
        [sys.executable, '-m', 'desipipe', 'retry', '-q', queue.folder, '--state', 'FAILED'],
        check=True,
        timeout=60,
        capture_output=True,
    )
    assert future.result(timeout=60) is True


def collect(*futures: Future) -> list[Any]:
    """Await futures together; return what each gives, or raises."""

    async def one(future: Future) -> Any:
        return await future

    async def main() -> list[Any]:
        tasks = (one(future) for future in futures)
        return await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 60)

    return asyncio.run(main())


def run_when_followed(queue: Queue, act: Callable[[], object]) -> threading.Thread:
    """Act from another thread, as another process would, once something follows the queue."""

    def run() -> None:
        while not any(thread.name == 'desipipe-follow' for thread in threading.enumerate()):
            time.sleep(0.01)
        act()
        subprocess.run([*WORK, queue.folder], timeout=120, check=False, capture_output=True)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_deleted_task_is_an_exception_of_its_own(app: Any, queue: Queue) -> None:
    deleted, kept = app(1), app(2)
    other = Queue(queue.folder, create=False)
    called: list[Future] = []
    deleted.add_done_callback(called.append)
    deleted.add_done_callback(lambda _: sys.exit(3))
    thread = run_when_followed(queue, lambda: other.drop(deleted.id))
    results = collect(deleted, kept)
    thread.join(60)
    assert isinstance(results[0], UnknownTaskError) and results[1] == 4
    assert called == [deleted]
    assert set(as_completed([deleted, kept], timeout=60)) == {deleted, kept}
    for when in (concurrent.futures.ALL_COMPLETED, concurrent.futures.FIRST_EXCEPTION):
        assert deleted in wait([deleted, kept], timeout=60, return_when=when).done
    # Who comes afterwards is served too.
    later, over = app(3), threading.Event()
    later.add_done_callback(lambda _: over.set())
    subprocess.run([*WORK, queue.folder], timeout=120, check=True)
    assert over.wait(60) and collect(later) == [9]


def test_deleted_queue_ends_what_waits_for_it(app: Any, queue: Queue, queue_dir: Path) -> None:
    stays = Queue('stays', create=True)
    first, kept = app(1), TaskManager(stays).python_app(app.func)(5)
    thread = run_when_followed(stays, queue.delete)
    results = collect(first, kept)
    thread.join(60)
    assert isinstance(results[0], QueueGoneError) and results[1] == 25
    assert set(as_completed([first, kept], timeout=60)) == {first, kept}


def test_fault_that_passes_is_not_told(
    app: Any,
    queue: Queue,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    future = app(4)
    follow, faults = queue.ledger.journal.follow, [errno.EIO, errno.ESTALE, errno.EMFILE]

    def faulty() -> bool:
        if faults and threading.current_thread().name == 'desipipe-follow':
            raise OSError(faults.pop(), 'a fault')
        return follow()

    monkeypatch.setattr(queue.ledger.journal, 'follow', faulty)
    thread = run_when_followed(queue, lambda: None)
    assert collect(future) == [16]
    thread.join(60)
    assert not faults


def test_error_that_stays_is_told_to_all(
    app: Any,
    queue: Queue,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    follow = queue.ledger.journal.follow

    def faulty() -> bool:
        if threading.current_thread().name == 'desipipe-follow':
            raise PermissionError(errno.EACCES, 'not any more')
        return follow()

    futures = app(1), app(2)
    monkeypatch.setattr(queue.ledger.journal, 'follow', faulty)
    assert [type(error) for error in collect(*futures)] == [PermissionError] * 2


@pytest.mark.parametrize('return_when', ['FIRST_COMPLETED', 'FIRST_EXCEPTION', 'ALL_COMPLETED'])
def test_wait_returns_what_has_ended_in_all_queues(
    queue: Queue, tmp_path: Path, return_when: str
) -> None:
    futures: list[Future] = []
    for each in (queue, Queue('other', base_dir=tmp_path)):
        app = TaskManager(each).python_app(lambda i: 1 // i)
        futures += [app(i) for i in (0, 1)]
        run_tasks(each)

    done, not_done = wait(futures, timeout=60, return_when=return_when)

    assert done == {*futures} and not not_done
    with pytest.raises(TimeoutError, match='^1 future not done'):
        list(as_completed([*futures, app(2)], timeout=0.01))
