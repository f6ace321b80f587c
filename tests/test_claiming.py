"""What workers claim, and when: no more than their slots can begin soon, and first what tasks in
them wait for.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from polling import wait_for

from desipipe import Queue, TaskManager, as_completed
from desipipe.queue.arrivals import wait as wait_futures


def describe_queue(queue: Queue) -> str:
    """Describe the queue for an error."""
    return f'with {held(queue)} tasks held and {queue.counts}, what is waited for'


def held(queue: Queue) -> list[int]:
    """Return how many tasks each worker has claimed."""
    queue.ledger.follow()
    return sorted(len(worker.rows) for worker in queue.ledger.state.alive.values())


@pytest.mark.parametrize('quick_ones', [1, 40, 400])
@pytest.mark.parametrize('same_app', [False, True])
def test_slow_tasks_behind_quick_ones_are_spread(
    queue: Queue,
    tm: TaskManager,
    start: Callable[..., Any],
    tmp_path: Path,
    quick_ones: int,
    same_app: bool,
) -> None:
    def quick(i: int, go: str) -> int:
        return i

    def slow(i: int, go: str) -> int:
        import os
        import time

        while i >= 1000 and not os.path.exists(go):
            time.sleep(0.01)
        return i

    go = str(tmp_path / 'go')
    slow_app = tm.python_app(slow)
    first = (slow_app if same_app else tm.python_app(quick)).map(i=range(quick_ones), go=go)
    last = slow_app.map(i=range(1000, 1008), go=go)
    start('--linger', '600')
    wait_for(
        lambda: all(future.done() for future in first) and held(queue) == [1],
        lambda: describe_queue(queue),
    )
    start('--linger', '600')
    wait_for(
        lambda: held(queue) == [1, 1] and queue.counts['PENDING'] == 6,
        lambda: describe_queue(queue),
    )
    (tmp_path / 'go').touch()
    assert [future.result(timeout=60) for future in last] == list(range(1000, 1008))


def test_worker_gives_back_tasks_behind_long_one(
    queue: Queue, tm: TaskManager, start: Callable[..., Any], tmp_path: Path
) -> None:
    @tm.python_app
    def mostly_quick(i: int, go: str) -> int:
        import os
        import time

        while i == 600 and not os.path.exists(go):
            time.sleep(0.01)
        return i

    futures = mostly_quick.map(i=range(1200), go=str(tmp_path / 'go'))
    start('--linger', '600')
    # A claim may end with the long task: the next one is taken, and goes back when it is seen to be
    # long.
    wait_for(lambda: futures[599].done() and held(queue) == [1] and queue.counts['PENDING'] == 599)
    (tmp_path / 'go').touch()
    assert [future.result(timeout=60) for future in futures] == list(range(1200))


@pytest.mark.parametrize('slots', ['1', '2'])
def test_tasks_that_wait_for_their_own_tasks_lend_their_places(
    queue: Queue, tm: TaskManager, start: Callable[..., Any], slots: str
) -> None:
    @tm.python_app
    def leaf(i: int) -> int:
        return i

    @tm.python_app
    def branch(i: int) -> int:
        return sum(part.result(timeout=100) for part in [leaf(10 * i + k) for k in range(3)])

    @tm.python_app
    def trunk(i: int) -> int:
        parts = [branch(2 * i), branch(2 * i + 1)]
        return sum(part.result(timeout=0) for part in as_completed(parts, timeout=100))

    @tm.python_app
    def root() -> int:
        parts = [trunk(i) for i in range(4)]
        return sum(part.result(timeout=0) for part in wait_futures(parts, timeout=100).done)

    future = root()
    worker = start('--slots', slots)
    assert future.result(timeout=120) == sum(10 * i + k for i in range(8) for k in range(3))
    assert worker.wait(60) == 0
    assert all(len(task.attempts) == 1 for task in queue.tasks())


def test_await_lends_too(queue: Queue, tm: TaskManager, start: Callable[..., Any]) -> None:
    @tm.python_app
    def leaf(i: int) -> int:
        return i

    @tm.python_app
    def parent() -> int:
        import asyncio

        async def together() -> int:
            return sum([await part for part in [leaf(k) for k in range(3)]])

        return asyncio.run(together())

    future = parent()
    worker = start('--slots', '1')
    assert future.result(timeout=60) == 3
    assert worker.wait(60) == 0


def test_awaited_task_may_need_others(
    queue: Queue, tm: TaskManager, start: Callable[..., Any]
) -> None:
    @tm.python_app
    def first(i: int) -> int:
        return i + 1

    @tm.python_app
    def second(value: int) -> int:
        return 10 * value

    @tm.python_app
    def parent(i: int) -> int:
        return second(second(first(i))).result(timeout=100)

    futures = parent.map(i=range(5))
    worker = start('--slots', '1')
    assert [future.result(timeout=120) for future in futures] == [100 * (i + 1) for i in range(5)]
    assert worker.wait(60) == 0


def test_places_that_are_lent_end(
    queue: Queue, tm: TaskManager, start: Callable[..., Any], tmp_path: Path
) -> None:
    @tm.python_app
    def leaf(i: int) -> int:
        import os

        return os.getpid()

    @tm.python_app
    def parent(go: str) -> int:
        import os
        import time

        pid = leaf(0).result(timeout=100)
        while not os.path.exists(go):
            time.sleep(0.01)
        return pid

    future = parent(str(tmp_path / 'go'))
    start('--linger', '600')
    wait_for(lambda: queue.counts['SUCCEEDED'] == 1)
    (pid,) = [task.result for task in queue.tasks(name='leaf')]
    wait_for(lambda: not os.path.exists(f'/proc/{pid}'))  # the extra slot
    (tmp_path / 'go').touch()
    assert future.result(timeout=60) == pid
