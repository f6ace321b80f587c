"""Additions, claims and reports of tasks.

Each takes the lock, reads to the end, decides, and appends events.

The queue of users (:mod:`desipipe.queue`), the worker and the manager all go through here.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..errors import UnknownTaskError, close_names
from ..serialize import Code
from ..store.file_names import segment_path
from ..store.pacing import WORKERS_FREE
from .adding import Addition, Batch, NewTasks, Written, assigned_rows, severed_rows
from .author_claims import result_claim
from .ends import End, Successes, forgive_failures
from .events import PENDING, RUNNING, Ref
from .single_addition import SingleAddition
from .state import State
from .transactions.attempts import back_event, claim, end_event, next_attempts, successes_events
from .uses import Use, code_events, needed_events, note_uses

if TYPE_CHECKING:
    from .event_types import JournalEvent, LineEvent
    from .task_events import AppEvent, CodeEvent, SharedEvent, Spec

Choose = Callable[[Iterator[int], int], list[int]]


class _Prepared(NamedTuple):
    """Payloads of an addition, which are written before the lock is taken."""

    todo: list[Batch]
    """Batches of which not all tasks are known."""
    generation: str
    """Generation of the journal whose files hold the payloads."""
    written: list[Written]
    references: list[AppEvent | SharedEvent]


class Ledger(SingleAddition):
    """A queue's folder: tasks are added to it, claimed from it, and reported to it."""

    def add(
        self,
        new: NewTasks,
        sync: bool = False,
        then: Callable[[Sequence[JournalEvent]], Sequence[JournalEvent]] | None = None,
    ) -> int:
        """Add tasks to the queue; known ones that did not succeed get the options of now.

        Parameters
        ----------
        new : NewTasks
        sync : bool, default=False
            True if it is on disk when this returns.
        then : callable, default=None
            Given the events, under the lock, returns others to write with them.

        Returns
        -------
        added : int
            Number of new ones.
        """
        batches, codes, managers, uses, reused = new
        with self._mutex:
            is_single = len(batches) == 1 and then is None and not reused
            if is_single and self._add_single(batches[0], sync, uses):
                return 1
            todo = self._unknown(batches)
            if not todo and self.follow():
                todo = self._unknown(batches)
            is_known = not todo and self._claim_known(batches, codes, uses, reused)
            if is_known and then is None and not severed_rows(self.state, batches):
                note_uses(uses)
                return 0
            prepared = self._prepare(todo, batches, codes, sync)
            added = 0

            def decide() -> Sequence[JournalEvent]:
                nonlocal added, prepared
                # Between what we had read and the lock, what was known may have been deleted, and
                # compaction or clearing have taken our file away.
                todo = prepared.todo
                more = batches if len(todo) == len(batches) else self._unknown(batches)
                if len(more) > len(todo) or self._reader.header['gen'] != prepared.generation:
                    prepared = self._prepare(self._unknown(batches), batches, codes, sync)
                events, added = self._add_events(prepared, managers, batches)
                events = [*self._code_events(batches, uses, reused), *events]
                return [*events, *(then(events) if then is not None else ())]

            self.journal.write(decide, sync)
            note_uses(uses)
            return added

    def _claim_known(
        self,
        batches: Sequence[Batch],
        codes: dict[str, Code],
        uses: Sequence[Use],
        reused: Sequence[bytes],
    ) -> bool:
        """Claim known tasks in a group's queue; return False if some get other options."""
        if assigned_rows(self.state, batches, self.is_group_queue) or self._code_events(
            batches, uses, reused
        ):
            return False
        if self.is_group_queue:
            self._renew_writers()
            self._claim(batches, {}, (), codes)
        return True

    def _prepare(
        self, todo: list[Batch], batches: Sequence[Batch], codes: dict[str, Code], sync: bool
    ) -> _Prepared:
        """Write the payloads of new tasks, before the lock where that is possible."""
        generation = self._renew_writers()
        written = [self._write_arguments(batch) for batch in todo]
        references = self._write_references(todo, codes)
        if self.is_group_queue:
            by_batch = dict(zip(map(id, todo), written, strict=True))
            self._claim(batches, by_batch, references, codes)
        if sync or self._reader.shared:
            self.writer.flush()
        return _Prepared(todo, generation, written, references)

    def _code_events(
        self, batches: Sequence[Batch], uses: Sequence[Use], reused: Sequence[bytes]
    ) -> list[CodeEvent]:
        """Decide which versions of apps are current from here on."""
        state = self.state
        events = code_events(state, uses)
        if state.superseded:
            tids = (
                tid
                for batch in batches
                for part in (batch.ids, *batch.requires.values())
                for tid in part
            )
            rows = [state.rows[tid] for tid in (*tids, *reused) if tid in state.rows]
            events += needed_events(state, rows, events)
        return events

    def _unknown(self, batches: Sequence[Batch]) -> list[Batch]:
        rows = self.state.rows
        return [batch for batch in batches if not all(map(rows.__contains__, batch.ids))]

    def _add_events(
        self,
        prepared: _Prepared,
        managers: dict[str, Spec],
        all_batches: Sequence[Batch],
    ) -> tuple[list[JournalEvent], int]:
        addition = Addition(self.state, self.folder, managers, time.time())
        if prepared.references:
            addition.add_references(prepared.references)
        if assigned := assigned_rows(self.state, all_batches, self.is_group_queue):
            addition.assign(assigned)
        for batch, where in zip(prepared.todo, prepared.written, strict=True):
            addition.add(batch, where, len(prepared.todo) == 1)
        addition.finish(severed_rows(self.state, all_batches))
        return addition.events, addition.added

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
        copy: bool = False,
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
        copy : bool, default=False
            Write copies of the results of ``successes``, which are few and small, into the journal,
            instead of waiting until they are on disk in their segment.

        Returns
        -------
        claimed : list of (row, attempt)
        """
        claimed: list[tuple[int, int]] = []
        # Before anything is read: it may be another queue by then.
        identity = identity or self.journal.header['id']
        cleared_at = self.state.header.get('t')
        # What takes long comes before the lock: storing payloads, reading what others did.
        if not copy:
            self.writer.flush()
        if self.is_group_queue:
            self._claim_results(worker, ends, successes)
        self.follow()

        def decide() -> Sequence[LineEvent]:
            now = time.time()
            claimed.clear()
            events: list[LineEvent] = []
            events += [self._end_event(worker, ends, cleared_at, now)] if ends else []
            events += successes_events(self.state, worker, successes, now, copy)
            events += [back_event(worker, back, now)] if back else []
            if want > 0:
                n_done = len(ends) + len(back) + sum(len(batch.rows) for batch in successes)
                if rows := self._rows_to_claim(worker, want, n_done, mids, choose):
                    claimed.extend(next_attempts(self.state, rows))
                    events.append(claim(self.state, worker, claimed, now))
            return events

        # Who waits, waits for ends: a short task ends before its beginning is of interest.
        self._write(decide, identity=identity, quiet=not (ends or back or successes))
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
                end.cause = end.cause.copy()
                del end.cause['trace']

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
