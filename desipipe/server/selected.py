"""Find the rows of the tasks that a page names."""

from __future__ import annotations

from ..errors import QueueGoneError
from ..queue.location import find_task
from ..queue.queue import Queue
from ..view.rows import parse_rows


def row_of(queue: Queue, tid: str) -> int:
    """Return the row of the task that a page names."""
    ledger = queue.ledger
    ledger.follow()
    return ledger.row(bytes.fromhex(find_task(queue, tid)))


def rows_of(queue: Queue, text: str, first: str) -> list[int]:
    """Return the rows that a text names, each once, in order.

    Raises
    ------
    QueueGoneError
        The queue was cleared since: its rows are others.
    """
    state = queue.ledger.state
    parts = parse_rows(text)
    asked = bytearray(len(state.status))
    for part in parts:
        stop = min(part.stop, len(asked))
        asked[part.start : stop] = b'\1' * (stop - part.start)
    begin = parts[0].start if parts else 0
    if parts and (begin >= len(asked) or (first and not state.ids[begin].hex().startswith(first))):
        raise QueueGoneError(
            f'The queue in {queue.folder} was cleared since: these tasks are no longer in it. '
            'Nothing was done. Run the cell again.'
        )
    return [row for row, wanted in enumerate(asked) if wanted]
