"""Rows of a cell's tasks, and their state at one moment.

The columns of the queue's state are looked through as bytes: a cell of 10,000 tasks in a queue of
100,000 costs little.
"""

from __future__ import annotations

from array import array
from collections.abc import Container, Iterable
from shlex import quote
from typing import TYPE_CHECKING, NamedTuple

from ..errors import UnknownTaskError
from ..queue.events import DROPPED, PENDING, RUNNING, WAITING
from ..queue.ledger import Ledger
from ..queue.workers import Worker
from .rows import format_rows, ranges

if TYPE_CHECKING:
    from .schema import Counts


class Moment(NamedTuple):
    """The state of a cell's tasks at one moment."""

    time: float
    status: bytearray
    """Codes of the rows; superseded ones count as dropped, claimed ones as pending."""
    every: bytearray
    """The same of all rows, as the journal has them."""
    ended_at: array[int]
    counts: Counts
    claimed: int
    superseded: int
    blocked: list[int]
    left: int
    running: list[int]
    workers: list[Worker]
    """Those that live and serve the tasks."""
    has_manager: bool


class CellRows:
    """The rows of a cell's tasks.

    Parameters
    ----------
    ledger : Ledger
    rows : iterable of int or range
        In the order in which they are shown; each counts once.

    Raises
    ------
    UnknownTaskError
        The queue has no such rows.
    """

    def __init__(self, ledger: Ledger, rows: Iterable[int | range]) -> None:
        self.ledger = ledger
        state = ledger.state
        parts = ranges(rows)
        if any(part.stop > len(state.status) for part in parts):
            raise UnknownTaskError(
                f'The queue {self.ledger.folder} has no row '
                f'{max(part.stop for part in parts) - 1:d}: it was cleared since, or these are '
                'rows of another one. '
                f'List what is there with: desipipe tasks -q {quote(self.ledger.folder)}'
            )
        self.rows = list(dict.fromkeys(row for part in parts for row in part))
        self._parts = ranges(self.rows)
        self._parts_end = max((part.stop for part in self._parts), default=0)
        self.members: Container[int] = (
            self._parts[0] if len(self._parts) == 1 else frozenset(self.rows)
        )
        self.text = format_rows(self._parts)
        self.first = state.ids[self.rows[0]].hex() if self.rows else ''
        self._find_mids()

    def _find_mids(self) -> None:
        state = self.ledger.state
        self._assigned = state.assigned
        self.mids = {state.group_of(row).mid for row in self.rows}

    def refresh(self) -> None:
        """Find the task managers of the tasks again if tasks were given to others."""
        if self.ledger.state.assigned != self._assigned:
            self._find_mids()

    def columns(self) -> tuple[bytearray, array[int]]:
        """Copy the states of the rows, and the offsets of their ends."""
        # Copies, made of parts in one go: another thread may fold events meanwhile. Rows that were
        # deleted may be missing at the end after a compaction.
        state = self.ledger.state
        if len(self._parts) > 100 and self._parts_end <= len(state.status):
            return bytearray(map(state.status.__getitem__, self.rows)), array(
                'Q', map(state.ended_at.__getitem__, self.rows)
            )
        status, ended_at = bytearray(), array('Q')
        n = 0
        for part in self._parts:
            n += len(part)
            status += state.status[part.start : part.stop]
            status += bytes((DROPPED,)) * (n - len(status))
            ended_at += state.ended_at[part.start : part.stop]
            ended_at.extend([0] * (n - len(ended_at)))
        return status, ended_at

    def leave_out_superseded(self, status: bytearray) -> int:
        """Mark superseded rows as dropped, so that they don't count; return their number."""
        superseded = self.ledger.state.superseded
        if not superseded:
            return 0
        places = [index for index, row in enumerate(self.rows) if row in superseded]
        for index in places:
            status[index] = DROPPED
        return len(places)

    def mark_claimed_pending(self, status: bytearray) -> set[int]:
        """Mark rows that are merely claimed as pending; return these rows."""
        claimed = {row for row in self.ledger.state.claimed_rows() if row in self.members}
        if not claimed:
            return claimed
        places = {row: index for index, row in enumerate(self.rows) if row in claimed}
        claimed = {row for row, index in places.items() if status[index] == RUNNING}
        for row in claimed:
            status[places[row]] = PENDING
        return claimed

    def blocked(self, status: bytearray) -> list[int]:
        """Return the rows that wait for what did not succeed."""
        if WAITING not in status:
            return []
        causes = self.ledger.blocked()
        return [
            row
            for row, code in zip(self.rows, status, strict=True)
            if code == WAITING and row in causes
        ]
