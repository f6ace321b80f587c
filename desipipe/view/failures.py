"""Find the first failures of a queue, and what blocks tasks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from ..queue.attempt_fold import failure_kind
from ..queue.attempt_reader import AttemptReader
from ..queue.events import FAILED, KILLED, UNKNOWN
from ..utils import format_count, plural
from .journal_events import events_at
from .task_summary import causes_in, task_summaries
from .text import one_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .schema import CauseView, FailureKind, FailureView, TaskSummary


FAILURES = 5  # failures that a queue's summary names
KINDS_READ = 1000
"""Failures whose kinds are counted; each takes a line of the journal to read."""
_UNREAD = 'not looked at'  # kind of the others
_KINDS_NAMED = 3  # kinds of failures that a line names
_KIND_MAX = 40  # characters of each


def bad_rows(ledger: AttemptReader) -> list[int]:
    """Return the unsuccessful tasks of a queue that are not superseded."""
    state = ledger.state
    if not state.total(FAILED, KILLED, UNKNOWN):
        return []
    return [
        row
        for row, status in enumerate(state.status)
        if FAILED <= status <= UNKNOWN and row not in state.superseded
    ]


def first_failures(ledger: AttemptReader, rows: Sequence[int]) -> list[FailureView]:
    """Return the first of unsuccessful tasks: :data:`FAILURES` at most."""
    if not rows:
        return []
    from heapq import nsmallest  # most queues have no failures

    state = ledger.state
    # The first in time, as others may be its consequence; but not what someone cancelled, if there
    # is more to say.
    first = nsmallest(
        FAILURES, rows, key=lambda row: (state.status[row] == KILLED, state.ended_at[row], row)
    )
    return [failure_of(task) for task in task_summaries(ledger, first)]


def failure_kinds(ledger: AttemptReader, rows: Sequence[int]) -> list[FailureKind]:
    """Count unsuccessful tasks by kind, as outputs of sweeps are grouped.

    Parameters
    ----------
    ledger : Ledger
    rows : sequence of int
        The first :data:`KINDS_READ` are looked at.
    """
    state, unread = ledger.state, len(rows) - KINDS_READ
    rows = rows[:KINDS_READ]
    # What was read is kept with the view of the queue, as long as the attempt is the same.
    kinds: dict[int, tuple[tuple[int, int], str]] = ledger.__dict__.setdefault('_failure_kinds', {})
    fresh: dict[int, list[int]] = {}
    for row in rows:
        if kinds.get(row, ((-1, -1), ''))[0] != (state.attempt[row], state.ended_at[row]):
            fresh.setdefault(state.ended_at[row], []).append(row)
    for offset, event in events_at(ledger, sorted(fresh)) if fresh else ():
        causes = {} if event is None else causes_in(event, fresh[offset])
        for row in fresh[offset]:
            kind = failure_kind(causes.get(row, {}), state.status[row])
            kinds[row] = (state.attempt[row], offset), kind
    counts = Counter(kinds[row][1] for row in rows)
    if unread > 0:
        counts[_UNREAD] = unread
    return [{'kind': kind, 'count': count} for kind, count in counts.most_common()]


def kinds_text(kinds: Sequence[FailureKind]) -> str:
    """Format causes that differ: ``ValueError × 13, KeyError × 1``.

    It is empty for one alone.
    """
    if len(kinds) < 2:
        return ''
    parts = [
        f'{one_line(each["kind"], _KIND_MAX)} × {format_count(each["count"])}'
        for each in kinds[:_KINDS_NAMED]
    ]
    if more := kinds[_KINDS_NAMED:]:
        parts.append(plural(len(more), 'more cause'))
    return ', '.join(parts)


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
