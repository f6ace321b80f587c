"""The tasks that a worker was started for."""

from __future__ import annotations

from collections.abc import Iterator

from ...queue.events import PENDING
from ...queue.ledger import Ledger


class TaskChoice:
    """The tasks that a worker may run: of some task managers, perhaps only a few.

    Parameters
    ----------
    ledger : Ledger
    mid : str or None
        Only tasks of this task manager.
    only : frozenset of int or None
        Only these rows.
    """

    def __init__(self, ledger: Ledger, mid: str | None, only: frozenset[int] | None) -> None:
        self._ledger = ledger
        self.mid = mid
        self.only = only

    def mids(self) -> list[str]:
        """Return the task managers whose tasks may be run."""
        return [self.mid] if self.mid is not None else list(self._ledger.state.managers)

    def selected(self, rows: Iterator[int]) -> Iterator[int]:
        """Yield those of some rows that may be run."""
        rows = rows if self.only is None else filter(self.only.__contains__, rows)
        return rows if self._ledger.authors is None else filter(self._ledger.may_run, rows)

    def pending(self) -> Iterator[int]:
        """Yield the rows of pending tasks that may be run, in their order."""
        return self.selected(self._ledger.state.pending_rows(self.mids()))

    def has_pending(self) -> bool:
        """Return True if a pending task may be run."""
        state = self._ledger.state
        if self.only is None and not self._ledger.is_group_queue:
            return any(state.counts[mid][PENDING] for mid in self.mids() if mid in state.counts)
        return next(self.pending(), None) is not None
