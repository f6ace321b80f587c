"""Read the cells of a notebook's file, and the state of their tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import DesipipeError, QueueGoneError, UnknownQueueError
from ..queue.events import FAILED, KILLED, STATES, SUCCEEDED, UNKNOWN
from ..queue.queue import Queue
from ..utils import plural
from ..view.cell import cell_summary
from ..view.rows import parse_rows
from .changes import Recorded
from .estimate import Estimate, estimate
from .states import NotebookCell, Ran

MIME = 'application/vnd.desipipe.v1+json'
QUEUE_GONE = 'its queue is gone'
"""Reason of a cell whose queue was deleted."""


class Queues:
    """Queues that a notebook used, opened when they are first asked for."""

    def __init__(self) -> None:
        self._opened: dict[str, Queue | str] = {}

    def open(self, folder: str) -> Queue | str:
        """Open a queue; return why it can not be opened, in words."""
        if folder not in self._opened:
            try:
                self._opened[folder] = Queue(folder, create=False)
            except (UnknownQueueError, QueueGoneError):
                self._opened[folder] = QUEUE_GONE
            except DesipipeError as exc:
                self._opened[folder] = str(exc).splitlines()[0]
        return self._opened[folder]

    def ran(self, shown: Mapping[str, Any]) -> Ran:
        """Return what has become of the tasks of a display."""
        recorded = Recorded.from_json(shown.get('ran'))
        queue = self.open(str(shown.get('folder', '')))
        return Ran(recorded, problem=queue) if isinstance(queue, str) else tasks_ran(queue, shown)

    def estimate(self, name: str) -> Estimate | None:
        """Estimate what a task of a name takes, by the queue that was opened last."""
        for queue in reversed(self._opened.values()):
            estimated = None if isinstance(queue, str) else estimate(queue.ledger, name)
            if estimated is not None:
                return estimated
        return None


def tasks_ran(queue: Queue, shown: Mapping[str, Any]) -> Ran:
    """Return what has become of the tasks of a display, which are of a queue."""
    recorded, state = Recorded.from_json(shown.get('ran')), queue.ledger.state
    try:
        parts = parse_rows(shown['rows'])
    except DesipipeError as exc:
        return Ran(recorded, problem=str(exc))
    # The display may be anybody's text: what names more rows than there are is not taken apart.
    n_rows = len(state.status)
    fits = sum(map(len, parts)) <= n_rows and all(part[-1] < n_rows for part in parts)
    if not parts or not fits or state.ids[parts[0][0]].hex() != shown.get('first'):
        return Ran(recorded, problem='its queue was cleared since')
    rows = [row for part in parts for row in part]
    deleted = sum(state.status[row] >= len(STATES) for row in rows)
    if deleted:
        return Ran(recorded, problem=deleted_text(deleted))
    superseded = sum(row in state.superseded for row in rows)
    if superseded:
        return Ran(recorded, len(rows), superseded=superseded)
    blocked = queue.ledger.blocked()
    bad = sum(state.status[row] in (FAILED, KILLED, UNKNOWN) or row in blocked for row in rows)
    good = sum(state.status[row] == SUCCEEDED for row in rows)
    left = len(rows) - bad - good
    if not left:
        return Ran(recorded, len(rows), 0, bad)
    summary = cell_summary(queue, parts, outputs=False)  # which reads on: it may be over by now
    counts = summary['counts']
    bad = counts['FAILED'] + counts['KILLED'] + counts['UNKNOWN'] + summary['blocked']
    return Ran(recorded, len(rows), summary['left'], bad, condition=summary['condition'])


def deleted_text(n: int) -> str:
    """Return the reason of a cell of which tasks were deleted."""
    return f'{plural(n)} of it {"was" if n == 1 else "were"} deleted'


def read_cells(notebook: Mapping[str, Any], queues: Queues | None = None) -> list[NotebookCell]:
    """Read the cells of a notebook.

    Parameters
    ----------
    notebook : dict
        As in its file.
    queues : Queues, default=None
        Queues to look for their tasks in; by default none.
    """
    cells = []
    for cell in notebook['cells']:
        if cell['cell_type'] != 'code':
            cells.append(NotebookCell(''))
            continue
        text = cell['source'] if isinstance(cell['source'], str) else ''.join(cell['source'])
        shown = display_of(cell)
        if shown is None:
            cells.append(NotebookCell(text))
        elif queues is None:
            cells.append(NotebookCell(text, Ran(Recorded.from_json(shown.get('ran')))))
        else:
            cells.append(NotebookCell(text, queues.ran(shown)))
    return cells


def display_of(cell: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the last display of tasks among the outputs of a cell."""
    for output in reversed(cell.get('outputs', ())):
        data = output.get('data')
        shown = data.get(MIME) if isinstance(data, dict) else None
        if isinstance(shown, dict) and isinstance(shown.get('rows'), str) and 'kind' not in shown:
            return shown
    return None
