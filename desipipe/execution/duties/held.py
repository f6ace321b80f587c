"""Tasks that a worker has claimed and no slot has begun."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from ..sent_tasks import Sent
from ..slot_process import SlotProcess
from .pool import SlotPool


class HeldTasks:
    """Tasks that a worker has claimed, beside those that its slots have.

    Parameters
    ----------
    pool : SlotPool
    """

    def __init__(self, pool: SlotPool) -> None:
        self._pool = pool
        self.backlog: deque[Sent] = deque()
        """Tasks that the next slot to be free gets."""
        self.back: list[tuple[int, int]] = []
        """Row and attempt of tasks that go back to the queue with the next report."""
        self.outlived: set[tuple[int, int]] = set()
        """Row and attempt of tasks that ran when the queue was cleared, and run on."""

    def n_at_hand(self) -> int:
        """Return the number of tasks that are to be run here, or are."""
        return len(self.backlog) + self._pool.n_sent()

    def rows(self) -> set[int]:
        """Return the rows of all tasks that are held here, those of slots included."""
        rows = {task.row for process in self._pool.processes for task in process.sent}
        rows.update(task.row for task in self.backlog)
        rows.update(row for row, _ in self.back)
        return rows

    def outlive(self) -> None:
        """Note that the queue was cleared while what the slots have runs on."""
        self.outlived = {
            (task.row, task.attempt) for process in self._pool.processes for task in process.sent
        }

    def put_first(self, tasks: Iterable[Sent]) -> None:
        """Put tasks, in their order, before all others."""
        self.backlog.extendleft(reversed(list(tasks)))

    def take_back(self, process: SlotProcess) -> None:
        """Take back what a slot has not begun."""
        self.put_first(process.take_back())

    def give_back(self, tasks: Iterable[Sent]) -> None:
        """Give tasks back to the queue with the next report."""
        self.back += [(task.row, task.attempt) for task in tasks]

    def give_back_all(self) -> None:
        """Give back all that has not begun."""
        self.backlog.extend(self._pool.take_back())
        self.give_back(self.backlog)
        self.backlog.clear()
