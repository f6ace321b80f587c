"""Tasks that other tasks of a worker wait for, in the places that these lend."""

from __future__ import annotations

from itertools import islice

from ...queue.events import PENDING, RUNNING, SUCCEEDED, WAITING, CauseKind
from ...queue.ledger import Ledger
from .choice import TaskChoice
from .held import HeldTasks
from .notes import Notes
from .pool import SlotPool

# Slots beside those that a worker was asked for, as tasks in these wait for other tasks.
LENT_MAX = 256
LENT_IDLE_S = 1.0  # after which such a slot ends


class NestedTasks:
    """Tasks that those in the slots of a worker wait for.

    Parameters
    ----------
    ledger : Ledger
    choice : TaskChoice
    pool : SlotPool
    held : HeldTasks
    notes : Notes
    """

    def __init__(
        self, ledger: Ledger, choice: TaskChoice, pool: SlotPool, held: HeldTasks, notes: Notes
    ) -> None:
        self._ledger = ledger
        self._choice = choice
        self._pool = pool
        self._held = held
        self._notes = notes

    def needed(self) -> dict[int, None]:
        """Return the rows of tasks that could run, and that tasks of this worker wait for.

        They are waited for directly, or as requirements.
        """
        state, status = self._ledger.state, self._ledger.state.status
        rows: dict[int, None] = {}
        seen: set[int] = set()
        todo = [
            state.rows[tid]
            for process in self._pool.processes
            for tid in reversed(process.waits_for)
            if tid in state.rows
        ]
        while todo:
            row = todo.pop()
            if row in seen:
                continue
            seen.add(row)
            if status[row] in (PENDING, RUNNING):
                rows[row] = None
            elif status[row] == WAITING:
                todo.extend(
                    other for other in state.requires.get(row, ()) if status[other] != SUCCEEDED
                )
        return rows

    def room(self) -> int:
        """Return how many of them may begin now."""
        slots = self._pool.slots
        return min(slots - self._pool.n_computing(), slots + LENT_MAX - self._pool.n_busy())

    def choose(self) -> list[int]:
        """Return the rows to claim."""
        state, mids, needed = self._ledger.state, set(self._choice.mids()), self.needed()
        n_held = sum(1 for task in self._held.backlog if task.row in needed)
        pending = (
            row
            for row in needed
            if state.status[row] == PENDING
            and row not in state.superseded
            and state.groups[state.group[row]].mid in mids
        )
        return list(islice(pending, max(0, self.room() - n_held)))

    def note_lent(self) -> None:
        """Note that more places than before are used beside the worker's slots."""
        lent = max(0, self._pool.n_busy() - self._pool.slots)
        if lent > self._notes.places_lent:
            self._notes.add_places_lent(lent)

    def end_idle(self, now: float) -> None:
        """End slots beside the worker's own that have had nothing to do for a while."""
        pool = self._pool
        extra = len(pool.processes) - pool.slots
        if extra <= 0:
            return
        if self._notes.places_lent and pool.n_busy() <= pool.slots:
            self._notes.add_places_lent(0)
        for process in pool.processes:
            is_idle = not process.sent and process not in pool.telling
            if extra > 0 and is_idle and now - process.since > LENT_IDLE_S:
                process.kill(CauseKind.END, 'no longer needed')
                extra -= 1
