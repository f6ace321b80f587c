"""Queue operations of workers.

Each takes the lock, reads to the end, decides, and appends events.

The queue of users (:mod:`desipipe.queue`), the worker and the manager all go through here.
"""

from __future__ import annotations

import os
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from ..errors import (
    UnknownTaskError,
    close_names,
)
from ..store.lease import Observer
from ..store.pacing import LEASES_FREE, WORKERS_FREE
from ..store.segment_writer import segment_path
from .author_claims import result_claim
from .decider import Decider
from .ends import End, Successes, forgive_failures
from .events import (
    PENDING,
    RUNNING,
    JournalEvent,
    Ref,
)
from .state import State
from .transactions.attempts import (
    Judgement,
    back_event,
    claim,
    end_event,
    end_worker,
    end_workers,
    mark_lost,
    successes_events,
    vanished,
)
from .transactions.processes import (
    manager_end_event,
    worker_begin_event,
)

Choose = Callable[[Iterator[int], int], list[int]]
_MANAGER_WATCHERS = 3  # of many workers, as many watch the manager
if TYPE_CHECKING:
    pass


class Ledger(Decider):
    """A queue's folder, for workers: what they claim, report and find of each other."""

    def exchange(
        self,
        worker: str,
        ends: Sequence[End] = (),
        back: Sequence[tuple[int, int]] = (),
        want: int = 0,
        mids: Sequence[str] = (),
        identity: str = '',
        choose: Choose | None = None,
        successes: Sequence[Successes] = (),
    ) -> list[tuple[int, int]]:
        """Report what ended, give back what did not begin, and claim more, with one lock.

        Parameters
        ----------
        worker : str
            Name of the worker.
        ends : sequence of End
            Attempts that ended; their payloads are written already.
        back : sequence of (row, attempt)
            What was claimed and not begun.
        want : int, default=0
            Number to claim at most. It never gets more than its share (by slots) of what is
            pending, one a free slot at least.
        mids : sequence of str, default=()
            Task managers whose tasks to claim.
        identity : str, default=''
            That of the queue whose rows ``ends`` and ``back`` are, by default as read last.
        choose : callable, default=None
            Gets the pending rows in their order, and this worker's share of them; returns those to
            claim. By default as many as are its share.
        successes : sequence of Successes, default=()
            More attempts that ended; their results are stored already.

        Returns
        -------
        claimed : list of (row, attempt)
        """
        claimed: list[tuple[int, int]] = []
        # Before anything is read: it may be another queue by then.
        identity = identity or self.journal.header['id']
        cleared_at = self.state.header.get('t')
        # What takes long comes before the lock: a report needs its payloads on disk, and reading
        # what the others did meanwhile would keep them waiting.
        self.writer.flush()
        if self.is_group_queue:
            self._claim_results(worker, ends, successes)
        self.follow()

        def decide() -> Sequence[JournalEvent]:
            now = time.time()
            claimed.clear()
            ended = [self._end_event(worker, ends, cleared_at, now)] if ends else []
            given_back = [back_event(worker, back, now)] if back else []
            events = [*ended, *successes_events(worker, successes, now), *given_back]
            if want > 0:
                n_done = len(ends) + len(back) + sum(len(batch.rows) for batch in successes)
                rows = self._rows_to_claim(worker, want, n_done, mids, choose)
                if rows:
                    event = claim(self.state, worker, rows, now)
                    claimed.extend(zip(rows, event['n'], strict=True))
                    events.append(event)
            return events

        self._write(decide, identity=identity)
        return claimed

    def _rows_to_claim(
        self, worker: str, want: int, n_done: int, mids: Sequence[str], choose: Choose | None
    ) -> list[int]:
        state = self.state
        me = state.alive.get(worker)
        if me is None or me.stop is not None or state.paused:
            return []
        share = self._share(me.slots, want, mids, len(me.rows) - n_done)
        return (
            choose(state.pending_rows(mids), share)
            if choose is not None
            else state.next_pending(mids, share)
        )

    def _end_event(
        self, worker: str, ends: Sequence[End], cleared_at: float | None, now: float
    ) -> JournalEvent:
        if worker in self.state.workers and worker not in self.state.alive:
            self._forget_removed(ends)
        if self.state.header.get('t') != cleared_at:
            forgive_failures(ends)
        return end_event(worker, ends, now)

    def _forget_removed(self, ends: Sequence[End]) -> None:
        """Drop references to files that compaction removed after their worker seemed dead.

        Such reports are late, and only history. The caller holds the lock.
        """
        exists: dict[str, bool] = {}

        def kept(ref: Ref | None) -> Ref | None:
            if ref is not None and ref.segment not in exists:
                exists[ref.segment] = os.path.exists(segment_path(self.folder, ref.segment))
            return ref if ref is None or exists[ref.segment] else None

        for end in ends:
            end.result, end.out, end.err, end.files = map(
                kept, (end.result, end.out, end.err, end.files)
            )
            end.shown = tuple(ref for ref in end.shown if kept(ref) is not None)
            if end.cause is not None and 'trace' in end.cause and kept(end.cause['trace']) is None:
                end.cause = {key: value for key, value in end.cause.items() if key != 'trace'}

    def _claim_results(
        self, worker: str, ends: Sequence[End], successes: Sequence[Successes]
    ) -> None:
        results = [
            ref
            for end in ends
            for ref in (end.result, end.out, end.err, *end.shown)
            if ref is not None
        ]
        for batch in successes:
            results += batch.results()
        if results:
            self._write_claims([result_claim(results)])

    def _share(self, slots: int, want: int, mids: Sequence[str], held: int = 0) -> int:
        state = self.state
        others = sum(
            worker.slots
            for worker in state.alive.values()
            if worker.mid is None or worker.mid in mids
        )
        if others <= slots:
            return want
        tables = [state.counts[mid] for mid in mids if mid in state.counts]
        pending = sum(table[PENDING] for table in tables)
        if self.journal.shared and len(state.alive) > WORKERS_FREE:
            # It is long until it may come again: its part of all that is not done, without what it
            # has.
            share = -(-(pending + sum(table[RUNNING] for table in tables)) * slots // others)
            return min(want, max(1, share - held))
        return min(want, max(1, -(-pending * slots // others)))

    def begin_worker(self, worker: str, **info: object) -> None:
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


def find_mid(state: State, text: str) -> str:
    """The task manager whose identity begins with ``text``.

    Raises
    ------
    UnknownTaskError
        None, or several.
    """
    mids = [mid for mid in state.managers if mid.startswith(text)]
    if len(mids) != 1:
        raise UnknownTaskError(
            f'{"no" if not mids else "more than one"} task manager {text!r}: '
            f'{close_names(text, state.managers)}'
        )
    return mids[0]
