"""Tasks and their futures, as people hold them."""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import itertools
import logging
import operator
import os
import signal
import threading
import time
from collections import namedtuple
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping
from typing import Any

from ..errors import (
    DesipipeError,
    PayloadError,
    TaskError,
    UnknownOptionError,
    close_names,
)
from ..serialize import TaskReference, TaskReferences, dumps, loads
from ..terminal import visible
from ..utils import BaseClass, Logged, from_above, plural
from .app import App, caller
from .arguments import filled, in_order
from .attempt_reader import Attempt
from .call_here import FAILED_ERRNO, call_here
from .ends import End
from .events import (
    CANCELLED,
    ENDED,
    FAILED,
    KILLED,
    PENDING,
    RUNNING,
    STATES,
    SUCCEEDED,
    WAITING,
    Group,
    state_code,
)
from .faults import PATIENCE_S, RETRY_FIRST_S, RETRY_MAX_S, passes, patiently
from .ledger import Ledger
from .lending import lent
from .not_a_value import NotAValue
from .stored_app import StoredApp
from .task_errors import still_waiting_text, task_error
from .waiting import Waiter

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
    def task(self) -> Task:
        """The task."""
        self._ledger.follow()  # compaction may have put its details elsewhere
        return Task.stored(self._ledger, self._ledger.row(self.tid))

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
        raise task_error(ledger, row)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait for the task and return what :meth:`result` would raise, or ``None``."""
        self._wait(timeout, None)
        row = self._ledger.row(self.tid)
        return (
            None if self._ledger.state.status[row] == SUCCEEDED else task_error(self._ledger, row)
        )

    def out(self, timeout: float | None = None, timestep: float | None = None) -> str:
        """Wait for the task and return what it wrote to stdout.

        Raises
        ------
        TimeoutError
            The task has not ended yet.
        """
        self._wait(timeout, timestep)
        return self.task.out

    def err(self, timeout: float | None = None, timestep: float | None = None) -> str:
        """Wait for the task and return what it wrote to stderr, the traceback included."""
        self._wait(timeout, timestep)
        return self.task.err

    def add_done_callback(self, func: Callable[[Future], object]) -> None:
        """Call ``func(future)`` when the task has ended, from a thread; at once if it has.

        It is called too when the task was deleted, or its queue: then :meth:`result` says so.
        """
        if _is_over(self):
            _call_back(func, self)
        else:
            _follower(self._ledger).add(self, lambda error: _call_back(func, self))

    def __await__(self) -> Generator[Any, None, Any]:
        import asyncio

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
        _follower(self._ledger).add(self, on_end)
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
            text = (
                f'<Future {self.id[:12]} {self.task.name}[{self.task.index:d}]{item} {self.state}>'
            )
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


def _is_over(future: Future, follow: bool = True) -> bool:
    """Return True when a task has ended, also because it is not in its queue any more."""
    try:
        return future.done() if follow else future._over()
    except DesipipeError:
        return True  # asking for its result says why


def _has_succeeded(future: Future) -> bool:
    try:
        return future._status() == SUCCEEDED
    except DesipipeError:
        return False


class _Follower:
    """Tells when tasks of one ledger end; its thread lives as long as there are some."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._waiting: list[tuple[Future, Callable[[BaseException | None], object]]] = []
        self._guard = threading.Lock()
        self._thread: threading.Thread | None = None

    def add(self, future: Future, on_end: Callable[[BaseException | None], object]) -> None:
        """Have ``on_end`` called, with the error if its queue can't be followed."""
        with self._guard:
            self._waiting.append((future, on_end))
            if self._thread is None or not self._thread.is_alive():  # not in a fork
                run, name = self._run, 'desipipe-follow'
                self._thread = threading.Thread(target=run, name=name, daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            with lent([future.tid for future, _ in list(self._waiting)]):
                error = self._follow()
            with self._guard:
                waiting = self._waiting
                over = [error is not None or self._is_over(future) for future, _ in waiting]
                ended = list(itertools.compress(waiting, over))
                self._waiting = list(itertools.compress(waiting, map(operator.not_, over)))
            for _, on_end in ended:
                on_end(error)
            with self._guard:
                if not self._waiting:
                    self._thread = None
                    return

    def _follow(self) -> BaseException | None:
        """Wait until a task has ended; return what makes it impossible to go on."""
        pause, since = RETRY_FIRST_S, 0.0
        while True:
            try:
                self._ledger.wait(self._ready)
                return None
            except Exception as exc:
                since = since or time.monotonic()
                if not passes(exc) or time.monotonic() - since > PATIENCE_S:
                    return exc
            time.sleep(pause)
            pause = min(2 * pause, RETRY_MAX_S)

    def _ready(self) -> bool:
        return any(self._is_over(future) for future, _ in self._waiting)

    @staticmethod
    def _is_over(future: Future) -> bool:
        return _is_over(future, follow=False)


def _follower(ledger: Ledger) -> _Follower:
    follower: _Follower | None = ledger.__dict__.get('_follower')
    if follower is None:
        follower = ledger.__dict__.setdefault('_follower', _Follower(ledger))
    return follower


DoneAndNotDone = namedtuple('DoneAndNotDone', ('done', 'not_done'))


def wait(
    futures: Iterable[Future],
    timeout: float | None = None,
    return_when: str = concurrent.futures.ALL_COMPLETED,
) -> DoneAndNotDone:
    """Wait for futures, as :func:`concurrent.futures.wait` does.

    Parameters
    ----------
    futures : iterable of Future
    timeout : float, default=None
        Seconds to wait at most.
    return_when : str, default='ALL_COMPLETED'
        One of the constants of :mod:`concurrent.futures`.

    Returns
    -------
    done, not_done : sets of Future
    """
    left = set(futures)
    done: set[Future] = set()
    deadline = None if timeout is None else time.monotonic() + timeout
    for batch in _arrivals(left, deadline):
        done.update(batch)
        if return_when == concurrent.futures.FIRST_COMPLETED:
            break
        if return_when == concurrent.futures.FIRST_EXCEPTION:
            if not all(map(_has_succeeded, batch)):
                break
    return DoneAndNotDone(done, left - done)


def as_completed(futures: Iterable[Future], timeout: float | None = None) -> Iterator[Future]:
    """Yield futures as their tasks end, like :func:`concurrent.futures.as_completed`.

    Raises
    ------
    TimeoutError
        Not all ended in ``timeout`` seconds.
    """
    left = dict.fromkeys(futures)
    deadline = None if timeout is None else time.monotonic() + timeout
    for batch in _arrivals(left, deadline):
        for future in batch:
            del left[future]
            yield future
    if left:
        reasons = (_waiter(ledger, left).reason() for ledger in {item._ledger for item in left})
        reasons_text = ''.join(f'. {reason}' for reason in reasons if reason is not None)
        raise TimeoutError(
            f'{plural(len(left), "future")} not done after {timeout:g} s; the tasks go on, '
            f'nothing is lost{reasons_text}'
        )


def _arrivals(futures: Iterable[Future], deadline: float | None) -> Iterator[list[Future]]:
    """Yield futures as their tasks end, also those of deleted tasks and queues."""
    left = dict.fromkeys(futures)  # in order: as a rule results are neighbours in a file
    waiters = {ledger: _waiter(ledger, left) for ledger in {item._ledger for item in left}}
    while left:
        ledgers = {future._ledger for future in left}
        gone = {ledger for ledger in ledgers if not _can_follow(ledger)}
        over = [future for future in left if future._ledger in gone or _is_over(future, False)]
        if over:
            for future in over:
                del left[future]
            yield over
            continue
        seconds = None if deadline is None else deadline - time.monotonic()
        if seconds is not None and seconds <= 0:
            return
        # Several queues: look at each in turn, none for long.
        with lent([future.tid for future in left]):
            for ledger in ledgers:
                own = {future for future in left if future._ledger is ledger}
                with contextlib.suppress(DesipipeError, OSError):  # the next turn looks what it is
                    ready = functools.partial(_any_over, own)
                    waiters[ledger].wait(ready, 0.05 if len(ledgers) > 1 else seconds)
                    waiters[ledger].tell()


def _waiter(ledger: Ledger, left: Collection[Future]) -> Waiter:
    def rows() -> Iterator[int]:
        own = (future.tid for future in left if future._ledger is ledger)
        return (row for tid in own if (row := ledger.state.rows.get(tid)) is not None)

    return Waiter(ledger, rows)


def _can_follow(ledger: Ledger) -> bool:
    try:
        patiently(ledger.follow)
    except DesipipeError:
        return False
    return True


def _any_over(futures: set[Future]) -> bool:
    return any(_is_over(future, False) for future in futures)


class Task(BaseClass):
    """A task: one in a queue, or one that may be added to it.

    Parameters
    ----------
    app : App
        What it calls.
    kwargs : dict, default=None
        Its arguments by name (``'*args'`` for positional ones beyond the named); defaults are
        filled in.
    state : str, default=None
        Its state as long as it is in no queue; by default WAITING if it needs other tasks, else
        PENDING.
    index : int, default=None
        Order of call; by default that of the app's last call.
    """

    def __init__(
        self,
        app: App,
        kwargs: Mapping[str, Any] | None = None,
        state: str | None = None,
        index: int | None = None,
    ) -> None:
        self._app: App | None = app
        self._kwargs: dict[str, Any] | None = filled(app, kwargs or {})
        self._tid: bytes | None = None
        self._index = max(getattr(app, 'index', 0), 0) if index is None else index
        self._ledger: Ledger | None = None
        self._row = -1
        self._attempt = 0
        self._own: dict[str, Any] = {}
        if state is not None:
            self.update(state=state)

    @classmethod
    def stored(cls, ledger: Ledger, row: int, attempt: int = 0) -> Task:
        """Return the task of a row of a queue; what is costly is read when asked for.

        Parameters
        ----------
        ledger : Ledger
        row : int
        attempt : int, default=0
            Number of the attempt, where the caller is the one who runs it.
        """
        task = cls.__new__(cls)
        task._app = None
        task._kwargs = None
        task._tid = ledger.state.ids[row]
        task._index = ledger.state.index[row]
        task._ledger = ledger
        task._row = row
        task._attempt = attempt
        task._own = {}
        return task

    def update(self, **kwargs: Any) -> None:
        """Change this object; the queue is not changed.

        For that see :meth:`.Queue.add` with ``replace=True``.

        Parameters
        ----------
        **kwargs
            ``state``, ``jobid``, ``errno``, ``err``, ``out``, ``versions``, ``result``, ``t0``,
            ``dtime``: what the task says of itself; ``app``, ``kwargs``: then it is another task,
            which is in no queue.

        Raises
        ------
        UnknownOptionError
            For anything else.
        """
        for name in kwargs:
            if name not in (*_OWN, 'app', 'kwargs'):
                raise UnknownOptionError(
                    f'A task has no {name!r} to update: '
                    f'{close_names(name, (*_OWN, "app", "kwargs"), n=11)}'
                )
        if 'state' in kwargs:
            state_code(kwargs['state'])
        if kwargs.keys() & {'app', 'kwargs'}:
            app, arguments = kwargs.pop('app', self.app), kwargs.pop('kwargs', self.kwargs)
            self.__init__(app.loaded(), arguments, index=self._index)  # type: ignore[misc]
        self._own.update(kwargs)

    def is_of(self, ledger: Ledger) -> bool:
        """Return True if this is a task of the ledger's queue."""
        return self._ledger is not None and self._ledger.folder == ledger.folder

    @property
    def ended(self) -> bool:
        """True if this object tells how it ended: it has run, or was updated so."""
        return 'state' in self._own and state_code(self._own['state']) in ENDED

    def attach(self, ledger: Ledger, row: int, attempt: int) -> None:
        """Make this object the one that runs an attempt of a task of a queue."""
        self._ledger, self._row, self._attempt = ledger, row, attempt

    def report(self) -> bool:
        """End the attempt that this object has run, as it says.

        Returns
        -------
        reported : bool
            False if it runs no attempt, or has not run it; nothing was written then.
        """
        ledger, state = (
            self._ledger,
            state_code(self._own['state']) if 'state' in self._own else RUNNING,
        )
        if ledger is None or not self._attempt or state not in ENDED:
            return False
        result = ledger.store(dumps(self.result)) if state == SUCCEEDED else None
        out, err = (
            ledger.store(text.encode('utf-8', 'replace')) if text else None
            for text in (self.out, self.err)
        )
        cause = None if state == SUCCEEDED else self._own_cause()
        job = str(self._own.get('jobid', ''))
        duration = round((self.dtime or 0.0) * 1e6)
        ledger.exchange(
            ledger.writer.name,
            [End(self._row, self._attempt, state, self.t0, duration, result, out, err, cause)],
        )
        if job:
            ledger.mark(self._row, job, None)
        self._attempt = 0
        self._own.clear()
        return True

    def _own_cause(self) -> dict[str, Any]:
        """Return the cause of a failure as this object tells it."""
        errno = FAILED_ERRNO if self.errno is None else self.errno
        text = self.err.strip().rpartition('\n')[2] or f'error {errno:d}'
        return {'kind': 'FAILED', 'text': text[:500], 'kinds': [], 'errno': errno, 'final': True}

    def clone(self, **kwargs: Any) -> Task:
        """Return an updated copy; arguments are those of :meth:`update`."""
        new = Task.__new__(type(self))
        new.__dict__.update(self.__dict__)
        new._own = dict(self._own)
        new.update(**kwargs)
        return new

    @property
    def tid(self) -> bytes:
        """The identity, 16 bytes."""
        if self._tid is None:
            self._tid = self.app.identity(self.kwargs)
        return self._tid

    @property
    def id(self) -> str:
        """The identity, hexadecimal."""
        return self.tid.hex()

    @property
    def index(self) -> int:
        """Order of call, among those of its app object."""
        return self._index

    @property
    def name(self) -> str:
        """The app's name."""
        if self._ledger is None:
            return self.app.name
        return self._group.name

    @property
    def _group(self) -> Group:
        assert self._ledger is not None
        return self._ledger.state.groups[self._ledger.state.group[self._row]]

    @property
    def mid(self) -> str:
        """The identity of the task manager; empty for a task that is in no queue."""
        return '' if self._ledger is None else self._group.mid

    @property
    def app(self) -> App:
        """The app; that of a stored task is loaded."""
        if self._app is None:
            assert self._ledger is not None
            self._app = StoredApp(self._ledger, self._row)
        return self._app

    @property
    def kwargs(self) -> dict[str, Any]:
        """The arguments by name; those of a stored task are loaded.

        Futures stand in the place of what other tasks return.
        """
        if self._kwargs is None:
            ledger = self._ledger
            assert ledger is not None

            def future(tid: bytes, item: str = '') -> Future:
                return Future(ledger, tid, item)

            shared = ledger.shared_payload(self._row)
            loaded: Any = ledger.load(ledger.arguments_payload(self._row), future)
            common: Any = ledger.load(shared, future) if shared else None
            self._kwargs = in_order(self.app, {**common, **loaded} if common else loaded)
        assert self._kwargs is not None
        return self._kwargs

    @property
    def arguments(self) -> dict[str, str]:
        """The arguments as text; nothing is unpickled."""
        if self._ledger is None:
            from ..serialize import text

            return {name: text(value) for name, value in self.kwargs.items()}
        return self._ledger.arguments(self._row)

    @property
    def require_ids(self) -> list[str]:
        """Identities of the tasks it needs."""
        if self._ledger is None:
            from ..serialize import dumps_arguments

            return [tid.hex() for tid in dumps_arguments(self.kwargs)[1]]
        state = self._ledger.state
        return [state.ids[row].hex() for row in state.requires.get(self._row, ())]

    @property
    def state(self) -> str:
        """The state's name now.

        Of a task that is in no queue WAITING if it needs others, else PENDING.
        """
        if 'state' in self._own:
            return str(self._own['state'])
        if self._ledger is None:
            return STATES[WAITING if self.require_ids else PENDING]
        self._ledger.follow()
        return STATES[self._ledger.state.status_shown(self._row)]

    @property
    def future(self) -> Future:
        """Its future."""
        if self._ledger is None:
            raise TaskError('This task is in no queue. Add it: queue.add(task).', self.id)
        return Future(self._ledger, self.tid)

    @property
    def attempts(self) -> list[Attempt]:
        """Its attempts that ended, oldest first."""
        return [] if self._ledger is None else self._ledger.attempts(self._row)

    @property
    def _last(self) -> Attempt | None:
        return None if self._ledger is None else self._ledger.last_attempt(self._row)

    @property
    def jobid(self) -> str:
        """The job (local process or batch job) that runs it, or ran it last."""
        if 'jobid' in self._own:
            return str(self._own['jobid'])
        job = '' if self._ledger is None else self._ledger.job(self._row)
        return str(self.task_manager.provider.jobid()) if self._attempt and not job else job

    @property
    def host(self) -> str:
        """The machine that runs it, or ran it last."""
        if self._ledger is None:
            return ''
        worker = self._ledger.state.running.get(self._row)
        if worker is not None:
            return worker.host
        last = self._last
        return last.host if last else ''

    @property
    def cause(self) -> str:
        """Why it did not succeed, in words; empty otherwise."""
        return '' if self._ledger is None else str(self._ledger.cause(self._row).get('text', ''))

    @property
    def errno(self) -> int | None:
        """Error number; ``None`` if it has not ended.

        0 if it succeeded, the exit status of a command, the `errno` of an exception, else 42.
        """
        if 'errno' in self._own:
            return None if self._own['errno'] is None else int(self._own['errno'])
        if self._ledger is None or self._ledger.state.status[self._row] not in ENDED:
            return None
        return (
            0
            if self._ledger.state.status[self._row] == SUCCEEDED
            else int(self._ledger.cause(self._row).get('errno', FAILED_ERRNO))
        )

    def _output(self, stream: str) -> str:
        return '' if self._ledger is None else self._ledger.output_text(self._row, stream)

    @property
    def out(self) -> str:
        """The text that its last attempt wrote to stdout."""
        return str(self._own['out']) if 'out' in self._own else self._output('out')

    @property
    def err(self) -> str:
        """The text that its last attempt wrote to stderr, the traceback included."""
        if 'err' in self._own:
            return str(self._own['err'])
        err = self._output('err')
        if self._ledger is not None and (trace := self._ledger.cause(self._row).get('trace')):
            err += self._ledger.read_text(trace)
        return err

    @property
    def outputs(self) -> list[dict[str, Any]]:
        """The outputs of its last attempt, so far if it runs.

        See :func:`desipipe.queue.output.outputs`.
        """
        if self._ledger is None:
            return []
        from .output import outputs

        self._ledger.follow()
        return outputs(self._ledger, self._row)

    @property
    def versions(self) -> dict[str, str]:
        """Versions of the packages that its app uses, where it ran."""
        if 'versions' in self._own:
            return dict(self._own['versions'])
        last = self._last
        if self._ledger is None or last is None:
            return {}
        return self._ledger.state.versions.get((last.worker, self._group.app), {})

    @property
    def files(self) -> list[dict[str, Any]]:
        """Files that its last attempt read and wrote through the file manager.

        Dictionaries with ``do`` (``'read'``, ``'write'``), ``path``, ``size``, ``mtime`` (ns),
        ``sha256``.
        """
        last = self._last
        return [] if self._ledger is None or last is None else self._ledger.files(last.files)

    @property
    def result(self) -> Any:
        """The value that it returned; ``None`` if it did not succeed (yet)."""
        if 'result' in self._own:
            return self._own['result']
        if self._ledger is None or self._ledger.state.status[self._row] != SUCCEEDED:
            return None
        return self._ledger.load_result(self._row)

    @property
    def t0(self) -> float:
        """The start of its last attempt, in seconds since the epoch; -1 if none has begun."""
        if 't0' in self._own:
            return float(self._own['t0'])
        if self._ledger is None:
            return -1.0
        if 't0' in (mark := self._ledger.state.marks.get(self._row, {})):
            return float(mark['t0'])
        started = self._ledger.state.started.get(self._row)
        last = self._last
        return started if started is not None else last.began if last else -1.0

    @property
    def dtime(self) -> float | None:
        """The duration of its last attempt, in seconds."""
        if 'dtime' in self._own:
            return None if self._own['dtime'] is None else float(self._own['dtime'])
        last = self._last
        return last.duration if last else None

    @property
    def task_manager(self) -> Any:
        """The task manager whose workers run it; None if it has none."""
        return getattr(self.app, 'task_manager', None)

    def run(self, **overrides: Any) -> Any:
        """Run it here and now, in this process; the queue is not changed.

        For that see :meth:`.Queue.add` with ``replace=True``. This object then has its own
        ``state``, ``errno``, ``result``, ``out``, ``err`` and ``dtime``. An exception of the
        function is printed, and not raised.

        Parameters
        ----------
        **overrides
            Arguments to replace.

        Returns
        -------
        result : object
            What the function returns; of a bash app what the command wrote to stdout. None if it
            failed.
        """
        began = time.time()
        folder = self._group.cwd if self._ledger is not None else ''
        call = caller(self.app.func)
        outcome = call_here(
            lambda arguments: call(_resolved(arguments)),
            {**self.kwargs, **overrides},
            self.app.kind,
            folder,
        )
        state = (
            KILLED if outcome.errno == signal.SIGTERM else FAILED if outcome.errno else SUCCEEDED
        )
        self.update(state=STATES[state], t0=began, dtime=time.time() - began, **outcome._asdict())
        return outcome.out if self.app.kind == 'bash' and not outcome.errno else outcome.result

    def save(self) -> str:
        """Save the attributes that the app's ``save_attrs`` names as a JSON file.

        It is written to the app's ``save_dir``.

        Returns
        -------
        path : str
            The file; it is replaced as a whole.
        """
        import orjson

        group = self._group
        values = {
            name: self.app.code
            if name == 'code'
            else self.arguments
            if name == 'kwargs'
            else getattr(self, name)
            for name in group.save_attrs
        }
        os.makedirs(group.save_dir, exist_ok=True)
        path = os.path.join(group.save_dir, f'{self.name}-{self.index:d}-{self.id[:12]}.json')
        temporary = f'{path}.{os.getpid():d}.tmp'
        with open(temporary, 'wb') as file:
            file.write(
                orjson.dumps(
                    {'id': self.id, 'name': self.name, **values},
                    default=repr,
                    option=orjson.OPT_INDENT_2,
                )
            )
        os.replace(temporary, path)
        return path

    def __repr__(self) -> str:
        return visible(
            f'<Task {self.id[:12]} {self.name}[{self.index:d}] {self.state}>', lines=False
        )


def _resolved(value: Any) -> Any:
    if isinstance(value, Future):
        return value.result()
    if issubclass(type(value), TaskReferences):
        return [_resolved(item) for item in value]
    if type(value) in (list, tuple, set, frozenset):
        return type(value)(_resolved(item) for item in value)
    if type(value) is dict:
        return {_resolved(key): _resolved(item) for key, item in value.items()}
    return value


_OWN = ('state', 'jobid', 'errno', 'err', 'out', 'versions', 'result', 't0', 'dtime')
"""Properties that a task object may have of its own, whatever the queue says."""


def relative(path: str) -> str:
    """``path`` as people would type it from here."""
    short = os.path.relpath(path)
    return path if short.startswith('..') else './' + short
