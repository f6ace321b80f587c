"""Build the rows of task lists: names, states, times and causes of tasks."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..queue.attempt_fold import LOST
from ..queue.attempt_reader import AttemptReader
from ..queue.events import DROPPED, ENDED, PENDING, RUNNING, STATES, SUCCEEDED, WAITING, EventKind
from ..utils import username
from .journal_events import events_at

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..queue.event_types import JournalEvent
    from ..queue.task_events import Cause
    from ..queue.workers import Worker
    from .schema import TaskLabel, TaskState, TaskSummary


_REFERENCE = r'\btask (?:([0-9a-f]{32})\b|([0-9a-f]+)…)'  # whole, or where a long text was cut


def state_name(code: int) -> TaskState:
    """Name of a task's state, ``'DELETED'`` for one that was taken out of the queue."""
    state: Any = 'DELETED' if code == DROPPED else STATES[code]
    name: TaskState = state
    return name


def task_name(ledger: AttemptReader, row: int) -> str:
    """The name of a task's app."""
    return ledger.state.group_of(row).name


def task_label(ledger: AttemptReader, row: int) -> TaskLabel:
    """Return the name of a task."""
    return {
        'tid': ledger.state.ids[row].hex(),
        'name': task_name(ledger, row),
        'index': ledger.state.index[row],
    }


def shown_arguments(ledger: AttemptReader, row: int) -> dict[str, str]:
    """Return the arguments of a task as text, futures as names of tasks.

    Raises
    ------
    PayloadError
        They are lost.
    """
    arguments = ledger.arguments(row)
    state = ledger.state
    requires = state.requires.get(row)
    if not requires:
        return arguments

    def named(match: re.Match[str]) -> str:
        whole, begin = match.groups()
        if whole is None:
            others = [other for other in requires if state.ids[other].hex().startswith(begin)]
            return f'{_numbered(ledger, others[0])}…' if len(others) == 1 else match[0]
        other = state.rows.get(bytes.fromhex(whole))
        return match[0] if other is None else _numbered(ledger, other)

    return {name: re.sub(_REFERENCE, named, text) for name, text in arguments.items()}


def _numbered(ledger: AttemptReader, row: int) -> str:
    return f'{task_name(ledger, row)}[{ledger.state.index[row]:d}]'


def has_result(ledger: AttemptReader, row: int) -> bool:
    """Return True for a task that succeeded, also while it runs again."""
    state = ledger.state
    return state.status[row] == SUCCEEDED or row in state.rerun


def task_summaries(ledger: AttemptReader, rows: Sequence[int]) -> list[TaskSummary]:
    """Summarise the tasks of a list.

    Parameters
    ----------
    ledger : Ledger
    rows : sequence of int

    Returns
    -------
    tasks : list of TaskSummary
        In the order of ``rows``.
    """
    state = ledger.state
    blocked, claimed = ledger.blocked(), state.claimed_rows()
    tasks: dict[int, TaskSummary] = {}
    ended: dict[int, list[int]] = {}
    for row in rows:
        status = state.status[row]
        group = state.groups[state.group[row]]
        task = tasks[row] = {
            'tid': state.ids[row].hex(),
            'name': group.name,
            'index': state.index[row],
            'state': state_name(status) if row not in claimed else 'PENDING',
            'claimed': row in claimed,
            'blocked': state.ids[blocked[row]].hex() if row in blocked else '',
            'superseded': row in state.superseded,
            'mid': group.mid,
            'attempt': state.attempt[row],
            'worker': '',
            'host': '',
            'job': '',
            'began': None,
            'duration': None,
            'memory': None,
            'cause': '',
        }
        if ledger.is_group_queue:
            task['user'], task['ran_by'] = author_of(ledger, row), ''
        if status == RUNNING:
            task['began'] = state.running.started(row) if row not in claimed else None
            _worked(task, state.running.get(row))
        elif status in ENDED and state.ended_at[row]:
            ended.setdefault(state.ended_at[row], []).append(row)
    if ended:
        for offset, event in events_at(ledger, sorted(ended)):
            _ended(ledger, tasks, ended[offset], event)
    return [tasks[row] for row in rows]


def author_of(ledger: AttemptReader, row: int) -> str:
    """Return the user who added a task to a queue that a group shares; '' elsewhere."""
    authors = ledger.authors
    uid = -1 if authors is None else authors.author_of(ledger.state, row)
    return username(uid) if uid >= 0 else ''


def user_of(ledger: AttemptReader, name: str) -> str:
    """Return the user who runs a worker; '' for one that the journal does not know."""
    worker = ledger.state.workers.get(name)
    return '' if worker is None else worker.user


def _worked(task: TaskSummary, worker: Worker | None) -> None:
    if worker is not None:
        task['worker'], task['host'], task['job'] = worker.name, worker.host, worker.job
        if 'ran_by' in task:
            task['ran_by'] = worker.user


def _ended(
    ledger: AttemptReader,
    tasks: dict[int, TaskSummary],
    rows: list[int],
    event: JournalEvent | None,
) -> None:
    if event is None:
        for row in rows:
            tasks[row]['cause'] = 'its details are in a damaged line of the journal'
        return
    causes = causes_in(event, rows)
    for row in rows:
        tasks[row]['cause'] = causes.get(row, {}).get('text', '')
    if event['e'] == EventKind.END:
        places = {row: i for i, row in enumerate(event['rows'])}
        for row in rows:
            i, task = places[row], tasks[row]
            if event['w']:  # else someone had set it, and compaction wrote that down
                task['began'] = event['t0'] + event['b'][i] * 1e-6
                task['duration'] = event['d'][i] * 1e-6
                task['memory'] = (event['m'][i] * 1024 or None) if 'm' in event else None
            _worked(task, ledger.state.workers.get(event['w']))


def causes_in(event: JournalEvent, rows: Sequence[int]) -> dict[int, Cause]:
    """Return why tasks that an event ended did not succeed, where it says so."""
    if event['e'] == EventKind.END:
        details = event['x'] if 'x' in event else {}
        return {
            event['rows'][int(i)]: detail['cause']
            for i, detail in details.items()
            if 'cause' in detail
        }
    cause = event.get('cause') if event['e'] == EventKind.SET else None  # someone set it
    if event['e'] == EventKind.WORKER:
        cause = LOST
    return dict.fromkeys(rows, cause or {})


def task_summary(ledger: AttemptReader, row: int) -> TaskSummary:
    """Summarise one task of a list; for several, :func:`task_summaries` is faster."""
    return task_summaries(ledger, [row])[0]


def is_left(ledger: AttemptReader, row: int) -> bool:
    """Return True for a running or future task: not ended, blocked or superseded."""
    status = ledger.state.status[row]
    if status in (WAITING, PENDING) and row in ledger.state.superseded:
        return False
    return status in (PENDING, RUNNING) or (status == WAITING and row not in ledger.blocked())
