"""Results of tasks in few words.

Nothing of a result runs: its classes appear by their names.
"""

from __future__ import annotations

from ..errors import PayloadError, UntrustedQueueError
from ..queue.ledger import Ledger
from ..serialize.outline import outline
from .task_summary import has_result

__all__ = ['result_preview']


def result_preview(ledger: Ledger, row: int) -> str:
    """Return the result of a task on one line.

    Parameters
    ----------
    ledger : Ledger
        As it was last followed.
    row : int

    Returns
    -------
    text : str
        Empty where there is no result, where it is lost, too large to be told, or was written by a
        user who is not trusted.
    """
    ref = ledger.state.result(row)
    if ref is None or not has_result(ledger, row):
        return ''
    try:
        return outline(ledger.read_trusted(ref))
    except (PayloadError, UntrustedQueueError):
        return ''
