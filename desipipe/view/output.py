"""Read what a task printed in pieces: the worker's copy, then the journal."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING, Literal

from ..outputs.notebook import strip
from ..queue.ledger import Ledger
from ..queue.output import written, written_by
from .task_summary import is_left

if TYPE_CHECKING:
    from .schema import OutputPiece


def read_output(
    ledger: Ledger,
    row: int,
    stream: Literal['out', 'err'] = 'out',
    offset: int = 0,
    part: str = '',
    limit: int = 256 * 1024,
    attempt: int = 0,
) -> OutputPiece:
    """Read a piece of what a task printed.

    Parameters
    ----------
    ledger : Ledger
    row : int
    stream : str, default='out'
        Or ``'err'``.
    offset : int, default=0
        The ``offset`` of the last piece.
    part : str, default=''
        The ``part`` of the last piece.
    limit : int, default=262144
        Bytes to return at most.
    attempt : int, default=0
        Number of an attempt that ended; by default the last attempt, which may be running.

    Returns
    -------
    piece : OutputPiece
    """
    ledger.follow()
    output = written(ledger, row) if not attempt else written_by(ledger, row, attempt)
    now, data = output.part, output.out if stream == 'out' else output.err
    if ledger.state.groups[ledger.state.group[row]].kind == 'cell':
        data = strip(data)
    fresh = bool(part) and part != now
    if fresh or offset > len(data):
        fresh, offset = True, 0
    piece = data[offset : offset + limit]
    last = offset + len(piece) >= len(data)
    over = last and (attempt > 0 or not is_left(ledger, row))
    # Not within a character, except where nothing follows.
    text, used = codecs.utf_8_decode(piece, 'replace', over)
    return {
        'text': text,
        'offset': offset + used,
        'part': now,
        'fresh': fresh,
        'more': not last,
        'over': over,
        'attempt': output.attempt,
    }
