"""Decisions about tasks, workers and jobs, written under the lock."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from shlex import quote
from typing import TYPE_CHECKING

from ..errors import (
    QueueGoneError,
    UnknownTaskError,
)
from .events import (
    DROPPED,
    SUCCEEDED,
    Reason,
    StopLevel,
)
from .payload_writer import PayloadWriter
from .state import State
from .transactions.decisions import (
    accept_event,
    cancel,
    drop_event,
    mark_event,
    pause_event,
    retry,
    rows_to_cancel,
    rows_to_retry,
    rows_to_set,
    set_events,
)
from .transactions.processes import (
    job_event,
    process_event,
    resize_event,
    stop_event,
    submit_event,
)
from .transactions.tasks import cell_event

if TYPE_CHECKING:
    from .event_types import JournalEvent, LineEvent
    from .process_events import JobLine


class Decider(PayloadWriter):
    """Writes what people and managers decide, with one lock each."""

    def _write(
        self,
        decide: Callable[[], Sequence[LineEvent]],
        sync: bool = False,
        identity: str = '',
        quiet: bool = False,
    ) -> None:
        """Write a decision about rows, unless the queue was cleared in the meantime.

        In a cleared queue the same row numbers are other tasks.

        ``identity`` is that of the queue they are rows of, by default as read last.
        """
        identity = identity or self.journal.header['id']

        def checked() -> Sequence[LineEvent]:
            if self.journal.header['id'] != identity:
                raise QueueGoneError(
                    f'The queue in {self.folder} was cleared meanwhile: what it held is gone, and '
                    'nothing was written. '
                    f'Look what it holds now: desipipe status -q {quote(self.folder)}'
                )
            return decide()

        self.journal.write(checked, sync, quiet)

    def change(
        self,
        choose: Callable[[State], Iterable[int]],
        target: int,
        why: Reason = Reason.SET,
    ) -> list[int]:
        """Set the state of tasks.

        Parameters
        ----------
        choose : callable
            Given the state, under the lock, returns the rows.
        target : int
            State code.
        why : Reason, default=Reason.SET

        Returns
        -------
        rows : list of int
            What was changed.
        """
        changed: list[int] = []

        def decide() -> Sequence[JournalEvent]:
            changed[:] = rows_to_set(self.state, choose(self.state), target)
            return set_events(changed, target, why, time.time())

        self._write(decide)
        return changed

    def retry(
        self, choose: Callable[[State], Iterable[int]], keep: bool = False, running: bool = False
    ) -> list[int]:
        """Run tasks again that ended.

        Parameters
        ----------
        choose : callable
            Given the state, under the lock, returns the rows.
        keep : bool, default=False
            Let those that are superseded count again, with what they still need; else they are
            passed over.
        running : bool, default=False
            Also those that run: their attempts are fenced off.

        Returns
        -------
        rows : list of int
        """
        changed: list[int] = []

        def decide() -> Sequence[JournalEvent]:
            state = self.state
            rows = [
                row
                for row in choose(state)
                if state.status[row] != DROPPED and (keep or row not in state.superseded)
            ]
            changed[:] = rows_to_retry(state, rows, running)
            return retry(state, rows, changed, keep, time.time())

        self._write(decide)
        return changed

    def cancel(
        self, choose: Callable[[State], Iterable[int]], text: str = 'cancelled'
    ) -> list[int]:
        """Cancel tasks: pending ones never start, running ones are killed.

        Tasks that run again keep the result that they have.
        """
        changed: list[int] = []

        def decide() -> Sequence[JournalEvent]:
            changed[:] = rows_to_cancel(self.state, choose(self.state))
            return cancel(self.state, changed, text, time.time())

        self._write(decide)
        return changed

    def accept(self, old: int, new: int) -> None:
        """Take the result of ``old`` for ``new``."""

        def decide() -> Sequence[JournalEvent]:
            if self.state.status[old] != SUCCEEDED:
                raise UnknownTaskError(
                    f'Task {self.state.ids[old].hex()} has no result to accept. Nothing changed.'
                )
            return [accept_event(old, new, time.time())]

        self._write(decide, sync=True)

    def drop(self, choose: Callable[[State], Iterable[int]]) -> list[int]:
        """Take tasks out of the queue."""
        dropped: list[int] = []

        def decide() -> Sequence[JournalEvent]:
            dropped[:] = choose(self.state)
            return [drop_event(dropped, time.time())] if dropped else []

        self._write(decide)
        return dropped

    def pause(self, paused: bool) -> None:
        """Pause, or resume: a paused queue lets no task begin."""
        self.journal.write(
            lambda: [pause_event(paused, time.time())] if self.state.paused != paused else []
        )

    def note_submission(self, mid: str, name: str, slots: int) -> None:
        """Record that jobs are about to be submitted, so that they are found in any case.

        Parameters
        ----------
        mid : str
            The task manager whose jobs they are.
        name : str
            Their name, which no other submission has.
        slots : int
            Of all of them together.
        """
        self.journal.write(lambda: [submit_event(mid, name, slots, time.time())])

    def note_jobs(self, mid: str, jobs: Iterable[JobLine], of: Iterable[str] = ()) -> None:
        """Write down what became of jobs of a batch system.

        Parameters
        ----------
        mid : str
            The task manager whose jobs they are.
        jobs : iterable of sequence
            Identity, slots, state (``'pending'``, ``'withdrawn'``, ``'running'``, ``'ended'``),
            reason, node, end (seconds since the epoch or None), and cluster if there are several,
            of each.
        of : iterable of str, default=()
            Names of submissions of which it is known by now what became of them.
        """
        rows, names = list(jobs), list(of)
        self.journal.write(lambda: [job_event(mid, rows, names, time.time())])

    def mark(self, row: int, job: str | None, began: float | None) -> None:
        """Note the job of a task whose state was set by hand, and when it began.

        Parameters
        ----------
        row : int
        job : str, default=None
        began : float, default=None
            Seconds since the epoch.
        """
        self.journal.write(lambda: [mark_event(row, job, began)])

    def add_process(self, pid: str, provider: str) -> None:
        """Note a process, or job, that works for the queue without being a worker of it."""
        event = process_event(pid, provider, time.time())
        self.journal.write(lambda: [] if (pid, provider) in self.state.processes else [event])

    def note_cell(
        self,
        file: str,
        cell: str,
        title: str,
        tasks: str,
        recorded: tuple[str, Mapping[str, str]] | None,
    ) -> None:
        """Write down which tasks a cell of a notebook has, unless that is known.

        Parameters
        ----------
        file : str
            Path of the notebook.
        cell : str
            Identity of the cell.
        title : str
        tasks : str
            Rows as text: ``'0-19,40'``.
        recorded : (str, dict) or None
            Digests of the text of the cell, and of all that it read by name.
        """
        event = cell_event(file, cell, title, tasks, recorded, time.time())

        def decide() -> Sequence[JournalEvent]:
            last = self.state.cells.get(file, {}).get(cell)
            is_same = last is not None and all(
                last.get(key) == event.get(key) for key in ('title', 'tasks', 'text', 'reads')
            )
            return [] if is_same else [event]

        if decide():
            self._write(decide)

    def resize(self, most: int | None, mid: str = '') -> None:
        """Set how many tasks may run at once, overriding scheduler and manager.

        Parameters
        ----------
        most : int or None
            None: what they were told holds again.
        mid : str, default=''
            For one task manager; by default for each of them.
        """
        self.journal.write(lambda: [resize_event(mid, most, time.time())])

    def stop(
        self, choose: Callable[[State], Iterable[str]], how: StopLevel, manager: bool
    ) -> list[str]:
        """Ask workers, and the manager, to end.

        Parameters
        ----------
        choose : callable
            Given the state, returns names of workers.
        how : StopLevel
        manager : bool
            True to ask the manager too.

        Returns
        -------
        names : list of str
            Of those that were asked: workers, then the manager if it was.
        """
        names: list[str] = []

        def decide() -> Sequence[JournalEvent]:
            workers = [name for name in choose(self.state) if name in self.state.alive]
            asked = manager and self.state.manager is not None
            names[:] = [
                *workers,
                *([self.state.manager['w']] if asked and self.state.manager is not None else []),
            ]
            return [stop_event(workers, how, asked, time.time())] if names else []

        self.journal.write(decide)
        return names
