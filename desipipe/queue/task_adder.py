"""Addition of tasks, under the lock."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..serialize import Code
from .adding import Addition, Batch, Written
from .columns import known_rows
from .events import (
    OPTIONS,
    RUNNING,
    SUCCEEDED,
    Event,
    Group,
    JournalEvent,
)
from .payload_writer import PayloadWriter
from .uses import Use, code_events, needed_events, note_uses

if TYPE_CHECKING:
    from .task_events import AppEvent, CodeEvent, SharedEvent


class _Prepared(NamedTuple):
    """Payloads of an addition, which are written before the lock is taken."""

    todo: list[Batch]
    """Batches of which not all tasks are known."""
    generation: str
    """That of the journal, whose files hold the payloads."""
    written: list[Written]
    references: list[AppEvent | SharedEvent]


class TaskAdder(PayloadWriter):
    """Adds tasks: payloads to the segment, then events to the journal."""

    def add(
        self,
        batches: Sequence[Batch],
        codes: dict[str, Code],
        managers: dict[str, Event],
        sync: bool = False,
        uses: Sequence[Use] = (),
        reused: Sequence[bytes] = (),
        then: Callable[[Sequence[JournalEvent]], Sequence[JournalEvent]] | None = None,
    ) -> int:
        """Add tasks to the queue; known ones that did not succeed get the options of now.

        Parameters
        ----------
        batches : sequence of Batch
        codes : dict
            App versions by identity (hexadecimal), at least those of the batches' groups.
        managers : dict
            Task managers by identity.
        sync : bool, default=False
            True if it is on disk when this returns.
        uses : sequence of Use, default=()
            Uses of the app versions: other code that was used in those places is superseded.
        reused : sequence of bytes, default=()
            Identities of tasks that are used as they are.
        then : callable, default=None
            Given the events, under the lock, returns others to write with them.

        Returns
        -------
        added : int
            Number of new ones.
        """
        with self._mutex:
            todo = self._unknown(batches)
            if not todo and self.follow():
                todo = self._unknown(batches)
            is_known = not todo and self._claim_known(batches, codes, uses, reused)
            if is_known and then is None and not self._severed(batches):
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
        if self._assigned(batches) or self._code_events(batches, uses, reused):
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

    def _assigned(self, batches: Sequence[Batch]) -> dict[Group, list[int]]:
        """Return rows that are added again with other options, and did not succeed yet."""
        state = self.state
        by_group: dict[Group, list[int]] = {}
        for batch in batches:
            rows = known_rows(state.rows, batch.ids)
            if not rows:
                continue
            rows = [row for row in rows if state.status[row] not in (RUNNING, SUCCEEDED)]
            options = {key: getattr(batch.group, key) for key in OPTIONS}
            groups: dict[int, Group] = {}
            for row in rows:
                number = state.group[row]
                if number not in groups:
                    # What a group shares is run as one claims it: also in the folder in which it
                    # was added again.
                    groups[number] = (
                        batch.group
                        if self.is_group_queue
                        else state.groups[number]._replace(**options)
                    )
                if groups[number] != state.groups[number]:
                    by_group.setdefault(groups[number], []).append(row)
        return by_group

    def _severed(self, batches: Sequence[Batch]) -> dict[int, list[bytes]]:
        """Return the rows of known tasks that need missing tasks, with these.

        A task is missing when it was deleted or its line was lost.
        """
        state = self.state
        if not state.severed:
            return {}
        needed: dict[int, list[bytes]] = {}
        for batch in batches:
            for i, needs in batch.requires.items():
                row = state.rows.get(batch.ids[i])
                if row is not None and not state.severed.isdisjoint(state.requires.get(row, ())):
                    needed[row] = needs
        return needed

    def _add_events(
        self,
        prepared: _Prepared,
        managers: dict[str, Event],
        all_batches: Sequence[Batch],
    ) -> tuple[list[JournalEvent], int]:
        addition = Addition(self.state, self.folder, managers, time.time())
        if prepared.references:
            addition.add_references(prepared.references)
        if assigned := self._assigned(all_batches):
            addition.assign(assigned)
        for batch, where in zip(prepared.todo, prepared.written, strict=True):
            addition.add(batch, where, len(prepared.todo) == 1)
        addition.finish(self._severed(all_batches))
        return addition.events, addition.added
