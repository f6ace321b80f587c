"""Each decision about a queue is taken under the lock, and written at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from desipipe import Queue, TaskManager
from desipipe.errors import AppChangedError
from desipipe.execution.worker import work
from desipipe.queue import get_queue
from desipipe.store.journal import Journal


@pytest.fixture
def queue(queue_dir: Path) -> Queue:
    """A queue with a task that succeeded, one that failed, and one that is pending."""
    queue = Queue('q', create=True)
    tm = TaskManager(queue)

    @tm.python_app
    def f(i: int) -> int:
        if i == 2:
            raise ValueError('two')
        return i

    for i in (1, 2):
        f(i)
    work(queue)
    f(3)
    return queue


def version(queue: Queue) -> Any:
    """Another version of the app."""

    def f(i: int) -> int:
        return 0 + i

    return TaskManager(queue).python_app(f)


DECISIONS: dict[str, Callable[[Queue], Any]] = {
    'accept a new task': lambda queue: queue.accept(
        queue.tasks(index=0)[0], version(queue).task(1)
    ),
    'retry': lambda queue: queue.retry(),
    'cancel': lambda queue: queue.cancel(state='PENDING'),
    'delete a task': lambda queue: queue.drop([task.id for task in queue.tasks(state='PENDING')]),
    'set a state': lambda queue: queue.set_task_state(
        [task.id for task in queue.tasks()], 'KILLED'
    ),
    'clear': lambda queue: queue.clear(kill=False),
}


@pytest.mark.parametrize('what', DECISIONS)
def test_decision_is_one_write(queue: Queue, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed after any write, nothing half is left: there is only one."""
    writes: list[int] = []
    write, replaced = Journal.write, Journal.replaced

    def note(journal: Journal, *args: Any) -> None:
        writes.append(1)
        write(journal, *args)

    def note_replaced(journal: Journal, *args: Any) -> None:
        writes.append(1)
        replaced(journal, *args)

    monkeypatch.setattr(Journal, 'write', note)
    monkeypatch.setattr(Journal, 'replaced', note_replaced)
    DECISIONS[what](queue)
    assert len(writes) == 1


def test_accept_leaves_a_pause_alone(queue: Queue) -> None:
    queue.pause()
    future = DECISIONS['accept a new task'](queue)
    assert queue.paused and future.result(timeout=0) == 1
    queue.resume()
    app = version(queue)
    with pytest.raises(AppChangedError, match='no result'):
        queue.accept(queue.tasks(state='FAILED')[0], app.task(5))
    assert not queue.paused and len(queue.tasks(name='f', superseded=None)) == 4


def test_retry_selects_tasks_under_lock(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that fails between the call and the lock is retried too."""
    other = get_queue(queue.folder)
    write = Journal.write

    def late(journal: Journal, *args: Any) -> None:
        if journal is queue.ledger.journal:
            work(other)
            other.set_task_state([task.id for task in other.tasks(index=1)], 'UNKNOWN')
        write(journal, *args)

    monkeypatch.setattr(Journal, 'write', late)
    assert [task.state for task in queue.retry()] == ['PENDING'] * 1
