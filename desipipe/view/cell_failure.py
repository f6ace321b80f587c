"""Find the first failure of a cell's tasks, and where in the cell it happened."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..errors import DesipipeError
from ..outputs.cell_traceback import raised_part
from ..queue.events import FAILED, KILLED, UNKNOWN
from ..queue.ledger import Ledger
from .appearance import BAD_STATES
from .cell_rows import CellRows, Moment
from .failures import failure_kinds, failure_of
from .task_summary import task_summary

if TYPE_CHECKING:
    from .schema import CellFailure, FailureView

# Of tracebacks: where the task was in its cell. Cells' files are named by their magic.
_FRAME = re.compile(r'^[ |]*File "<%%desipipe[^"\n]*", line (\d+)', re.M)


class FirstFailure:
    """The first failure of a cell's tasks, kept as long as it stays the same.

    Parameters
    ----------
    ledger : Ledger
    rows : CellRows
    """

    def __init__(self, ledger: Ledger, rows: CellRows) -> None:
        self.ledger = ledger
        self._rows = rows
        self.begin()

    def begin(self) -> None:
        """Forget it: compaction puts the lines of the journal elsewhere."""
        self._failure: tuple[tuple[int, int], FailureView, int | None] | None = None

    def at(self, now: Moment) -> CellFailure | None:
        """Return the first failure at this moment, or None."""
        if not any(now.counts[name] for name in BAD_STATES):
            return None
        # The first in time, as others may be its consequence; but not what someone cancelled, if
        # there is more to say.
        bad = [
            (code == KILLED, at, row)
            for row, code, at in zip(self._rows.rows, now.status, now.ended_at, strict=True)
            if FAILED <= code <= UNKNOWN
        ]
        _, at, row = min(bad)
        if self._failure is None or self._failure[0] != (row, at):
            task = task_summary(self.ledger, row)
            self._failure = (row, at), failure_of(task), self._line(row)
        _, failure, line = self._failure
        kinds = failure_kinds(self.ledger, [row for *_, row in bad])
        return {**failure, 'line': line, 'kinds': kinds}

    def _line(self, row: int) -> int | None:
        try:
            ref = self.ledger.cause(row).get('trace')
            trace = self.ledger.read_text(ref) if ref else ''
        except DesipipeError:
            return None  # what can't be read of it is said where its output is shown
        frames = _FRAME.findall(raised_part(trace)) or _FRAME.findall(trace)
        return int(frames[-1]) if frames else None
