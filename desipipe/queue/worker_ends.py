"""Beginnings and ends of workers, and of managers that vanished."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from ..store.lease import Observer
from ..store.pacing import LEASES_FREE
from .decider import Decider
from .transactions.attempts import end_worker, end_workers, mark_lost, vanished
from .transactions.processes import manager_end_event, worker_begin_event

if TYPE_CHECKING:
    from typing import Unpack

    from .event_types import JournalEvent
    from .process_events import WorkerInfo
    from .transactions.attempts import Judgement


_MANAGER_WATCHERS = 3  # of many workers, as many watch the manager


class WorkerEnds(Decider):
    """Writes that workers begin, end, or vanished."""

    def begin_worker(self, worker: str, **info: Unpack[WorkerInfo]) -> None:
        """Record that a worker started."""
        self.journal.write(lambda: [worker_begin_event(worker, info, time.time())])

    def end_worker(self, worker: str, why: str = '', kind: str = '') -> None:
        """Record that a worker ended, and why.

        A value of :class:`.Fate` says what became of its job, where it knows.
        """
        judge = vanished(f'its worker {worker} ended without reporting it: {why}')
        self.journal.write(
            lambda: (
                end_worker(self.state, worker, why, judge, time.time(), kind)
                if worker in self.state.alive
                else []
            )
        )

    def end_lost_workers(
        self, observer: Observer, spare: str = '', leave: Callable[[str], bool] | None = None
    ) -> list[str]:
        """Mark workers and managers that vanished, and end their attempts as UNKNOWN.

        The lock is taken only if there are any.

        Parameters
        ----------
        observer : Observer
            This process's.
        spare : str, default=''
            The caller's own name, if it is a worker. Then workers in jobs of a batch system are
            left to the manager, if there is one: it knows more of them.
        leave : callable, default=None
            Gives True to leave a worker that is dead (by name) for now, as someone may say why.

        Returns
        -------
        dead : list of str
        """
        now = time.monotonic()
        manager = self.state.manager
        names = [name for name in self.state.alive if name != spare] + (
            [manager['w']] if manager is not None and manager['w'] != spare else []
        )
        if spare and manager is not None:
            names = [
                name
                for name in names
                if name == manager['w'] or self.state.alive[name].job not in self.state.jobs
            ]
        looked_at = observer.due(self._watched(names, spare), now, len(self.state.alive))
        dead = [name for name in looked_at if observer.dead(name, now)]
        if leave is not None:
            dead = [name for name in dead if name not in self.state.alive or not leave(name)]
        if dead:
            self.journal.write(
                lambda: [event for name in dead for event in self._lost_events(name)]
            )
            for name in dead:
                observer.forget(name)
        return dead

    def _watched(self, names: list[str], own: str) -> list[str]:
        """Choose whose leases this process reads, so that many workers each read few.

        Of many workers each watches the one that follows it by name. Where a manager watches all of
        them, the first few watch that one, and the others none.
        """
        manager = self.state.manager
        if not own or len(self.state.alive) <= LEASES_FREE:
            return names
        ring = sorted(self.state.alive)
        if manager is not None:
            return (
                [manager['w']] if manager['w'] in names and own in ring[:_MANAGER_WATCHERS] else []
            )
        after = ring[(bisect_right(ring, own)) % len(ring)]
        return [after] if after in names else []

    def _lost_events(self, name: str) -> Sequence[JournalEvent]:
        manager = self.state.manager
        if manager is not None and manager['w'] == name:
            return [manager_end_event(name, 'vanished', time.time())]
        return mark_lost(self.state, name, time.time())

    def end_workers(self, names: Iterable[str], why: str, judge: Judgement) -> None:
        """End workers whose fate is known, alive or not, and the attempts they have.

        Parameters
        ----------
        names : iterable of str
            Of the workers; those that have ended by themselves are passed over.
        why : str
            In words.
        judge : callable
            Given a row, its state and cause.
        """
        rows = list(names)
        self.journal.write(lambda: end_workers(self.state, rows, why, judge, time.time()))
