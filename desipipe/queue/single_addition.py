"""Addition of one new task to a group that the queue has, as by a call in a loop."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .adding import Batch, Written
from .columns import ID
from .transactions.tasks import add_event
from .uses import Use, is_current, note_uses
from .worker_ends import WorkerEnds

if TYPE_CHECKING:
    from .task_events import AddEvent


class SingleAddition(WorkerEnds):
    """Adds one new task where nothing has to be decided besides its row."""

    def _add_single(self, batch: Batch, sync: bool, uses: Sequence[Use]) -> bool:
        """Add a batch of one task with one event; return False where that does not do.

        Everything of :meth:`.Ledger.add` that could add other events is ruled out, before the
        payload is written, and again under the lock if the journal grew meanwhile.
        """
        if not self._is_single(batch, uses):
            return False
        generation, reader = self._renew_writers(), self._reader
        written = self._write_arguments(batch)
        if sync or reader.shared:
            self.writer.flush()
        position, added = reader.position, False

        def decide() -> Sequence[AddEvent]:
            nonlocal added
            added = reader.header['gen'] == generation and (
                reader.position == position or self._is_single(batch, uses)
            )
            return (self._single_event(batch, written),) if added else ()

        self.journal.write(decide, sync)
        if added:
            note_uses(uses)
        return added

    def _is_single(self, batch: Batch, uses: Sequence[Use]) -> bool:
        """Return True if adding the batch takes one row and nothing else."""
        state, group, tid = self.state, batch.group, bytes(batch.ids.packed)
        if (
            len(tid) != ID
            or tid in state.rows
            or group not in state.group_numbers
            or group.app not in state.apps
            or group.mid not in state.managers
            or batch.requires
            or batch.shared is not None
            or state.draining
            or self.is_group_queue
        ):
            return False
        for use in uses:
            if not is_current(state, use):
                return False
        return True

    def _single_event(self, batch: Batch, written: Written) -> AddEvent:
        state, (segment, offsets, lengths) = self._state, written
        return add_event(
            len(state.status),
            state.group_numbers[batch.group],
            batch.index,
            batch.ids.packed.hex(),
            (segment, offsets[0], [lengths[0]]),
            time.time(),
        )
