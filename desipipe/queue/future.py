"""Futures: the results of tasks, now or later."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Generator
from typing import Any

from ..errors import DesipipeError, PayloadError
from ..serialize import TaskReference, loads
from ..terminal import visible
from ..utils import Logged
from ..utils.lending import from_above
from .events import CANCELLED, ENDED, KILLED, PENDING, RUNNING, STATES, SUCCEEDED, WAITING
from .ledger import Ledger
from .lending import lent
from .not_a_value import NotAValue
from .stored_task import StoredTask

__all__ = ['Future']

logger = logging.getLogger('desipipe')


class Future(NotAValue, TaskReference, Logged):
    """The result of a task, now or later.

    Also in another process, also after a restart.

    Parameters
    ----------
    queue : Queue or Ledger
        What holds the task.
    tid : bytes or str
        The task's identity.
    item : str, default=''
        Name of one of several outputs of the task; empty: what it returns.
    """

    __slots__ = ('_ledger', '__weakref__')

    def __init__(self, queue: Any, tid: bytes | str, item: str = '') -> None:
        self.tid = bytes.fromhex(tid) if isinstance(tid, str) else tid
        self.item = item
        self._ledger: Ledger = queue if isinstance(queue, Ledger) else queue.ledger

    @property
    def id(self) -> str:
        """The task's identity, hexadecimal."""
        return self.tid.hex()

    @property
    def queue(self) -> Any:
        """The queue that holds the task."""
        return from_above('queue')(self._ledger)

    @property
    def task(self) -> Any:
        """The task, a :class:`~desipipe.queue.task.Task`."""
        stored = self._stored()
        return from_above('task')(stored.ledger, stored.row)

    def _stored(self) -> StoredTask:
        self._ledger.follow()  # compaction may have put its details elsewhere
        return StoredTask(self._ledger, self._ledger.row(self.tid))

    @property
    def state(self) -> str:
        """The task's state now; it is PENDING until it is in a slot of a worker."""
        self._ledger.follow()
        return STATES[self._ledger.state.status_shown(self._row())]

    def _row(self) -> int:
        # While a batch is being collected its tasks are not in the queue yet.
        row = self._ledger.state.rows.get(self.tid)
        return self._ledger.row(self.tid) if row is None else row

    def _status(self) -> int:
        return self._ledger.state.status[self._row()]

    def _over(self) -> bool:
        status = self._status()
        if status in ENDED:
            return True
        if status == WAITING and self._ledger.row(self.tid) in self._ledger.blocked():
            return True
        return status in (WAITING, PENDING) and self._is_superseded()

    def _is_superseded(self) -> bool:
        superseded = self._ledger.state.superseded
        return bool(superseded) and self._ledger.row(self.tid) in superseded

    def copy(self) -> Future:
        """Return another future of the same task.

        The value that the task returns is in :meth:`result`.
        """
        return type(self)(self._ledger, self.tid, self.item)

    def done(self) -> bool:
        """Return True if the task ended, or can't run.

        It can't where one that it needs did not succeed, or other code took its place before it
        began.
        """
        self._ledger.follow()
        return self._over()

    def running(self) -> bool:
        """Return True if the task is in a slot of a worker."""
        self._ledger.follow()
        return self._ledger.state.status_shown(self._row()) == RUNNING

    def cancelled(self) -> bool:
        """Return True if the task was cancelled."""
        self._ledger.follow()
        return (
            self._status() == KILLED
            and self._ledger.cause(self._ledger.row(self.tid)).get('kind') == CANCELLED
        )

    def cancel(self) -> bool:
        """Cancel the task; one that runs is killed.

        Returns
        -------
        cancelled : bool
            ``False`` if it had ended.
        """
        row = self._ledger.row(self.tid)
        return bool(self._ledger.cancel(lambda state: [row])) or self.cancelled()

    def _wait(self, timeout: float | None, timestep: float | None) -> None:
        row = self._ledger.state.rows.get(self.tid)
        if row is not None and self._ledger.state.status[row] == SUCCEEDED:
            # what succeeded stays so, and many results are read one after the other; a failure may
            # have been retried elsewhere
            return
        self._ledger.follow()
        if self._over():
            return
        with lent((self.tid,)):
            self._wait_on(timeout, timestep)

    def _wait_on(self, timeout: float | None, timestep: float | None) -> None:
        from .task_errors import still_waiting_text
        from .waiting import Waiter

        waiter = Waiter(self._ledger, lambda: [self._ledger.row(self.tid)])
        if waiter.wait(self._over, timeout, timestep):
            return
        raise TimeoutError(
            still_waiting_text(self._ledger, self._row(), f'after {timeout:g} s', waiter.reason())
        )

    def result(self, timeout: float | None = None, timestep: float | None = None) -> Any:
        """Wait for the task and return what it returned.

        Parameters
        ----------
        timeout : float, default=None
            Seconds to wait at most.
        timestep : float, default=None
            Seconds between two looks at most; changes made on this machine are seen at once in any
            case.

        Returns
        -------
        result : object
            A new object each time, also where it is a view of the queue's files (large
            arrays): what is written into it stays there.

        Raises
        ------
        TimeoutError
            The task has not ended yet.
        Exception
            What the task raised, with a :class:`~desipipe.errors.TaskFailedError` (remote
            traceback, log, the command to retry) as its cause; or that error itself when the
            exception can't be carried here.
        TaskKilledError, TaskLostError, TaskCancelledError
            The task was ended from outside.
        TaskSupersededError
            Other code took the place of its own before it began.
        ResultError
            It succeeded, but its result can't be loaded in this process; the cause says why.
        """
        ledger, row = self._ledger, self._ledger.state.rows.get(self.tid, -1)
        if self.tid in ledger.kept:
            result: Any = loads(ledger.kept[self.tid])
            return result[self.item] if self.item else result
        if row < 0 or ledger.state.status[row] != SUCCEEDED:
            self._wait(timeout, timestep)
            row = ledger.row(self.tid)
        if ledger.state.status[row] == SUCCEEDED:
            try:
                result = ledger.load_result(row)
            except (PayloadError, FileNotFoundError):
                # Compaction may have put it elsewhere since we last looked; only then is there
                # anything new to try. A queue that is gone says so.
                if not ledger.follow():
                    raise
                result = ledger.load_result(ledger.row(self.tid))
            return result[self.item] if self.item else result
        raise self._error(row)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait for the task and return what :meth:`result` would raise, or ``None``."""
        self._wait(timeout, None)
        row = self._ledger.row(self.tid)
        return None if self._ledger.state.status[row] == SUCCEEDED else self._error(row)

    def _error(self, row: int) -> BaseException:
        from .task_errors import task_error

        return task_error(self._ledger, row)

    def out(self, timeout: float | None = None, timestep: float | None = None) -> str:
        """Wait for the task and return what it wrote to stdout.

        Raises
        ------
        TimeoutError
            The task has not ended yet.
        """
        self._wait(timeout, timestep)
        return self._stored().out

    def err(self, timeout: float | None = None, timestep: float | None = None) -> str:
        """Wait for the task and return what it wrote to stderr, the traceback included."""
        self._wait(timeout, timestep)
        return self._stored().err

    def add_done_callback(self, func: Callable[[Future], object]) -> None:
        """Call ``func(future)`` when the task has ended, from a thread; at once if it has.

        It is called too when the task was deleted, or its queue: then :meth:`result` says so.
        """
        if is_over(self):
            _call_back(func, self)
        else:
            self._at_end(lambda error: _call_back(func, self))

    def _at_end(self, on_end: Callable[[BaseException | None], object]) -> None:
        from .future_follower import follower

        follower(self._ledger).add(self.tid, lambda: is_over(self, follow=False), on_end)

    def __await__(self) -> Generator[Any, None, Any]:
        import asyncio

        from .task_errors import still_waiting_text

        loop = asyncio.get_running_loop()
        over: asyncio.Future[None] = loop.create_future()

        def end(error: BaseException | None) -> None:
            if not over.done():
                over.set_result(None) if error is None else over.set_exception(error)

        def on_end(error: BaseException | None) -> None:
            with contextlib.suppress(RuntimeError):  # the loop was closed, and nobody awaits it
                loop.call_soon_threadsafe(end, error)

        if self.done():
            return self.result()
        self._at_end(on_end)
        try:
            yield from over
        except asyncio.CancelledError as exc:  # as by `asyncio.wait_for`, which has no text
            exc.add_note(still_waiting_text(self._ledger, self._row(), 'as the wait ends'))
            raise
        return self.result()

    def _advice(self) -> str:
        return (
            f'{self!r} is the future of a task, not its value. The task is not touched by this. '
            'Take the value with .result(), or use the future in a call of an app or a task cell.'
        )

    def __eq__(self, other: object) -> bool:
        __tracebackhide__ = True
        if other is not None and not isinstance(other, Future):
            self._refuse()
        return (
            isinstance(other, Future)
            and other.tid == self.tid
            and other.item == self.item
            and other._ledger.folder == self._ledger.folder
        )

    def __hash__(self) -> int:
        return hash(self.tid)

    def __reduce__(self) -> tuple[Any, ...]:
        return open_future, (self._ledger.folder, self.tid, self.item)

    def __repr__(self) -> str:
        try:
            item = f'.{self.item}' if self.item else ''
            stored = self._stored()
            text = f'<Future {self.id[:12]} {stored.name}[{stored.index:d}]{item} {self.state}>'
            return visible(text, lines=False)
        except Exception as exc:  # a repr that raises hides what one is looking for
            return f'<Future {self.id[:12]} ({type(exc).__name__})>'


def open_future(folder: str, tid: bytes, item: str = '') -> Future:
    """Return the future of a task of the queue in ``folder``, or of a part of it."""
    return Future(Ledger(folder), tid, item)


def _call_back(func: Callable[[Future], object], future: Future) -> None:
    try:
        func(future)
    except BaseException:  # also what would end the thread that others wait for
        logger.exception('A callback of %r raised an exception.', future)


def is_over(future: Future, follow: bool = True) -> bool:
    """Return True when a task has ended, also because it is not in its queue any more."""
    try:
        return future.done() if follow else future._over()
    except DesipipeError:
        return True  # asking for its result says why


def has_succeeded(future: Future) -> bool:
    """Return True if a task has succeeded, as its queue was last followed."""
    try:
        return future._status() == SUCCEEDED
    except DesipipeError:
        return False
