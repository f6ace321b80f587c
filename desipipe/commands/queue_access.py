"""A queue as the full-screen `watch` reads and changes it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple

from ..utils import plural

if TYPE_CHECKING:
    from ..queue.queue import Queue
    from ..view.schema import TaskPage, TaskRow, TaskState

TASKS_MAX = 500
"""Tasks of a list; filters show others."""
_LOG_MAX = 64 * 1024  # bytes of each stream that are shown, from the end


class ShownTask(NamedTuple):
    """A task with what it printed."""

    title: str
    state: TaskState
    details: str
    output: str
    over: bool
    """True if it will print nothing more."""


class QueueAccess:
    """A view of a queue beside the one that is followed, for one thread at a time.

    Parameters
    ----------
    folder : str
    """

    def __init__(self, folder: str) -> None:
        from ..queue.queue import Queue

        self._queue: Queue = Queue(folder, create=False)
        self._lock = threading.Lock()

    def page(self, state: str = '') -> TaskPage:
        """Return the first tasks in a state; of all states if it is empty."""
        from ..view.tasks import task_page

        with self._lock:
            states = [state] if state else []
            return task_page(self._queue.ledger, states, limit=TASKS_MAX)

    def task(self, row: int) -> ShownTask:
        """Return a task with the end of what it printed."""
        from ..view.output import read_output
        from ..view.task_detail import task_detail

        with self._lock:
            ledger = self._queue.ledger
            ledger.follow()
            task = ledger.again(lambda: task_detail(ledger, row))
            pieces = [read_output(ledger, row, stream) for stream in ('out', 'err')]
        lines = [f'{task["state"]}  {task["cause"]}'.rstrip()]
        if task['host']:
            lines.append(f'on {task["host"]}, job {task["job"]}, attempt {task["attempt"]}')
        texts = [piece['text'][-_LOG_MAX:] for piece in pieces]
        output = '\n'.join(text.rstrip('\n') for text in [*texts, task['trace']] if text)
        return ShownTask(
            f'{task["name"]}[{task["index"]}]',
            task['state'],
            '\n'.join(lines),
            output,
            all(piece['over'] for piece in pieces),
        )

    def retry(self, tasks: list[TaskRow]) -> str:
        """Run tasks again, start a manager for them, and return what was done."""
        with self._lock:
            rows = [task['row'] for task in tasks]
            n = len(self._queue.ledger.retry(lambda _: rows))
            if n:
                self._queue.keep_spawned()
        return f'Retrying {plural(n)}.'

    def retry_failed(self) -> str:
        """Run all tasks again that did not succeed."""
        from ..view.appearance import BAD_STATES

        with self._lock:
            rows = self._queue.select(state=list(BAD_STATES))
            n = len(self._queue.ledger.retry(lambda _: rows))
            if n:
                self._queue.keep_spawned()
        return f'Retrying {plural(n)}.'

    def cancel(self, tasks: list[TaskRow]) -> str:
        """Cancel tasks, and return what was done."""
        with self._lock:
            rows = [task['row'] for task in tasks]
            n = len(self._queue.ledger.cancel(lambda _: rows))
        return f'Cancelled {plural(n)}.'

    def pause(self) -> str:
        """Pause the queue, or resume it."""
        with self._lock:
            self._queue.ledger.follow()
            if self._queue.ledger.state.paused:
                self._queue.resume(spawn=True)
                return 'Resumed.'
            self._queue.pause()
        return 'Paused: no further task starts.'
