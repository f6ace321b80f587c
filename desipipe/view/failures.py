"""Find the first failures of a queue, and what blocks tasks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from ..queue.attempt_reader import AttemptReader
from ..queue.events import FAILED, KILLED, UNKNOWN
from .task_summary import task_summaries

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .schema import CauseView, FailureView, TaskSummary


FAILURES = 5  # failures that a queue's summary names


def first_failures(ledger: AttemptReader) -> list[FailureView]:
    """Return the first unsuccessful tasks of a queue: :data:`FAILURES` at most."""
    state = ledger.state
    if not state.total(FAILED, KILLED, UNKNOWN):
        return []
    from heapq import nsmallest  # most queues have no failures

    rows = [
        row
        for row, status in enumerate(state.status)
        if FAILED <= status <= UNKNOWN and row not in state.superseded
    ]
    # The first in time, as others may be its consequence; but not what someone cancelled, if there
    # is more to say.
    first = nsmallest(
        FAILURES, rows, key=lambda row: (state.status[row] == KILLED, state.ended_at[row], row)
    )
    return [failure_of(task) for task in task_summaries(ledger, first)]


def failure_of(task: TaskSummary) -> FailureView:
    """Return why a task did not succeed."""
    return {
        'tid': task['tid'],
        'name': task['name'],
        'index': task['index'],
        'state': task['state'],
        'cause': task['cause'],
    }


def blocked_causes(ledger: AttemptReader, rows: Iterable[int] | None = None) -> list[CauseView]:
    """Return unsuccessful tasks that others need, with how many tasks each blocks.

    Parameters
    ----------
    ledger : Ledger
    rows : iterable of int, default=None
        The blocked tasks that count; by default all.

    Returns
    -------
    causes : list of CauseView
        The one that blocks most first.
    """
    blocked = ledger.blocked()
    counts = Counter(blocked.values() if rows is None else (blocked[row] for row in rows))
    causes = [row for row, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
    tasks = task_summaries(ledger, causes)
    return [
        {**failure_of(task), 'count': counts[row]} for row, task in zip(causes, tasks, strict=True)
    ]
