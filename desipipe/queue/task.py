"""Tasks, as people hold them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from ..errors import UnknownOptionError, close_names
from ..serialize import dumps
from ..terminal import visible
from .app import App
from .attempt_reader import Attempt
from .binding import caller
from .call import Call
from .ends import End
from .events import (
    ENDED,
    FAILED,
    FAILED_ERRNO,
    KILLED,
    PENDING,
    RUNNING,
    STATES,
    SUCCEEDED,
    WAITING,
    state_code,
)
from .future import Future, open_future  # noqa: F401  (where pickles of before find them)
from .ledger import Ledger
from .stored_task import StoredTask

if TYPE_CHECKING:
    from ..outputs.notebook import Output
    from .task_events import Cause, UsedFile

_OWN = ('state', 'jobid', 'errno', 'err', 'out', 'versions', 'result', 't0', 'dtime')
"""Properties that a task object may have of its own, whatever the queue says."""


class Task(Call):
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
        super().__init__(app, kwargs, index)
        self._attempt = 0
        self._own: dict[str, Any] = {}
        if state is not None:
            self.update(state=state)

    @classmethod
    def stored(cls, ledger: Ledger, row: int, attempt: int = 0) -> Self:
        """Return the task of a row of a queue; what is costly is read when asked for.

        Parameters
        ----------
        ledger : Ledger
        row : int
        attempt : int, default=0
            Number of the attempt, where the caller is the one who runs it.
        """
        task = super().stored(ledger, row)
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

    @property
    def ended(self) -> bool:
        """True if this object tells how it ended: it has run, or was updated so."""
        return 'state' in self._own and state_code(self._own['state']) in ENDED

    def attach(self, ledger: Ledger, row: int, attempt: int) -> None:
        """Make this object the one that runs an attempt of a task of a queue."""
        self._stored, self._attempt = StoredTask(ledger, row), attempt

    def report(self) -> bool:
        """End the attempt that this object has run, as it says.

        Returns
        -------
        reported : bool
            False if it runs no attempt, or has not run it; nothing was written then.
        """
        stored, state = self._stored, state_code(self._own.get('state', STATES[RUNNING]))
        if stored is None or not self._attempt or state not in ENDED:
            return False
        ledger = stored.ledger
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
            [End(stored.row, self._attempt, state, self.t0, duration, result, out, err, cause)],
        )
        if job:
            ledger.mark(stored.row, job, None)
        self._attempt = 0
        self._own.clear()
        return True

    def _own_cause(self) -> Cause:
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
    def state(self) -> str:
        """The state's name now.

        Of a task that is in no queue WAITING if it needs others, else PENDING.
        """
        if 'state' in self._own:
            return str(self._own['state'])
        if self._stored is None:
            return STATES[WAITING if self.require_ids else PENDING]
        return self._stored.state

    @property
    def attempts(self) -> list[Attempt]:
        """Its attempts that ended, oldest first."""
        return [] if self._stored is None else self._stored.attempts

    @property
    def jobid(self) -> str:
        """The job (local process or batch job) that runs it, or ran it last."""
        if 'jobid' in self._own:
            return str(self._own['jobid'])
        job = '' if self._stored is None else self._stored.jobid
        return str(self.task_manager.provider.jobid()) if self._attempt and not job else job

    @property
    def host(self) -> str:
        """The machine that runs it, or ran it last."""
        return '' if self._stored is None else self._stored.host

    @property
    def cause(self) -> str:
        """Why it did not succeed, in words; empty otherwise."""
        return '' if self._stored is None else self._stored.cause

    @property
    def errno(self) -> int | None:
        """Error number; ``None`` if it has not ended.

        0 if it succeeded, the exit status of a command, the `errno` of an exception, else 42.
        """
        if 'errno' in self._own:
            return None if self._own['errno'] is None else int(self._own['errno'])
        return None if self._stored is None else self._stored.errno

    @property
    def out(self) -> str:
        """The text that its last attempt wrote to stdout."""
        if 'out' in self._own:
            return str(self._own['out'])
        return '' if self._stored is None else self._stored.out

    @property
    def err(self) -> str:
        """The text that its last attempt wrote to stderr, the traceback included."""
        if 'err' in self._own:
            return str(self._own['err'])
        return '' if self._stored is None else self._stored.err

    @property
    def outputs(self) -> list[Output]:
        """The outputs of its last attempt, so far if it runs.

        See :func:`desipipe.queue.output.outputs`.
        """
        return [] if self._stored is None else self._stored.outputs

    @property
    def versions(self) -> dict[str, str]:
        """Versions of the packages that its app uses, where it ran."""
        if 'versions' in self._own:
            return dict(self._own['versions'])
        return {} if self._stored is None else self._stored.versions

    @property
    def files(self) -> list[UsedFile]:
        """Files that its last attempt read and wrote through the file manager.

        Dictionaries with ``do`` (``'read'``, ``'write'``), ``path``, ``size``, ``mtime`` (ns),
        ``sha256``.
        """
        return [] if self._stored is None else self._stored.files

    @property
    def result(self) -> Any:
        """The value that it returned; ``None`` if it did not succeed (yet)."""
        if 'result' in self._own:
            return self._own['result']
        return None if self._stored is None else self._stored.result

    @property
    def t0(self) -> float:
        """The start of its last attempt, in seconds since the epoch; -1 if none has begun."""
        if 't0' in self._own:
            return float(self._own['t0'])
        return -1.0 if self._stored is None else self._stored.t0

    @property
    def dtime(self) -> float | None:
        """The duration of its last attempt, in seconds."""
        if 'dtime' in self._own:
            return None if self._own['dtime'] is None else float(self._own['dtime'])
        return None if self._stored is None else self._stored.dtime

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
        from .arrivals import results
        from .call_here import call_here

        began = time.time()
        folder = '' if self._stored is None else self._stored.group.cwd
        call = caller(self.app.func)
        outcome = call_here(
            lambda arguments: call(results(arguments)),
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
        assert self._stored is not None
        group = self._stored.group
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
        _write_json(path, {'id': self.id, 'name': self.name, **values})
        return path

    def __repr__(self) -> str:
        return visible(
            f'<Task {self.id[:12]} {self.name}[{self.index:d}] {self.state}>', lines=False
        )


def _write_json(path: str, values: Mapping[str, Any]) -> None:
    """Write a JSON file, in one step; what JSON can't hold becomes text."""
    import orjson

    temporary = f'{path}.{os.getpid():d}.tmp'
    with open(temporary, 'wb') as file:
        file.write(orjson.dumps(values, default=repr, option=orjson.OPT_INDENT_2))
    os.replace(temporary, path)
