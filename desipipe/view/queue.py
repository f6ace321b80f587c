"""Build the summaries of queues that the faces display.

Everything here can be written as JSON. Nothing is unpickled: code, arguments and output are the
text that is kept beside the payloads. Whatever is costly to know (a task's cause, its times) is
read from the journal for the tasks that are asked about, each line once.
"""

from __future__ import annotations

import time
from collections.abc import Container, Iterable, Sequence

from ..queue.attempt_reader import AttemptReader
from ..store.lease import Observer
from .failures import bad_rows, blocked_causes, failure_kinds, first_failures
from .ownership import held_tasks, ownership
from .pace import task_rate, time_left
from .processes import is_alive, manager_view, worker_view
from .task_summary import task_label

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..queue.read_only import ReadableQueue
    from ..queue.workers import Worker
    from .schema import (
        Condition,
        Counts,
        JobGroup,
        JobState,
        JobView,
        QueueBrief,
        QueueFacts,
        QueueSummary,
    )

JOB_TASKS = 4  # tasks that are named of a batch job


def queue_brief(queue: ReadableQueue, observer: Observer | None = None) -> QueueBrief:
    """Summarise a queue for a list of queues: cheap, however large the queue is.

    Parameters
    ----------
    queue : Queue
    observer : Observer, default=None
        See :func:`~desipipe.view.processes.is_alive`.

    Returns
    -------
    brief : QueueBrief

    Raises
    ------
    QueueGoneError
        The queue was deleted.
    """
    return {**_facts(queue, observer), 'workers': len(queue.ledger.state.alive)}


def _facts(queue: ReadableQueue, observer: Observer | None) -> QueueFacts:
    ledger = queue.ledger
    ledger.follow()
    state = ledger.state
    shown, claimed = state.counts_shown()
    counts: Any = shown
    blocked = len(ledger.blocked())
    left = counts['PENDING'] + counts['RUNNING'] + counts['WAITING'] - blocked
    manager = manager_view(ledger, observer)
    # One that is at work says enough; it is known by reading its lease.
    somebody = bool(manager and manager['alive'] is not False) or any(
        is_alive(ledger.folder, name, observer) is not False for name in list(state.alive)
    )
    now = time.time()
    rate = task_rate(ledger, now) if counts['RUNNING'] else None
    last = state.last_manager if manager is None else None
    last_says = '' if last is None else last.get('says', '')
    return {
        'name': queue.name,
        'folder': ledger.folder,
        'time': now,
        'state': 'PAUSED' if state.paused else 'ACTIVE',
        'condition': condition(counts, left, state.paused, somebody),
        'total': sum(counts.values()),
        'counts': counts,
        'superseded': state.n_superseded,
        'claimed': claimed,
        'blocked': blocked,
        'left': left,
        'manager': manager,
        'last_says': last_says if counts['PENDING'] else '',
        'limits': _limits(ledger),
        'rate': rate,
        'eta': time_left(ledger, left, rate, state.running.first_rows(), now),
        **ownership(ledger),
    }


def _limits(ledger: AttemptReader) -> dict[str, int]:
    limits = {mid: limit(ledger, mid) for mid in ledger.state.managers}
    return {mid: most for mid, most in limits.items() if most is not None}


def limit(ledger: AttemptReader, mid: str) -> int | None:
    """Return how many tasks of a task manager may run in parallel; None if unknown.

    Its scheduler is not asked.
    """
    resized = ledger.state.most(mid)
    if resized is not None:
        return resized
    scheduler = ledger.state.managers[mid].get('scheduler')
    most = scheduler.get('max_workers') if isinstance(scheduler, dict) else None
    return most if type(most) is int else None


def queue_summary(queue: ReadableQueue, observer: Observer | None = None) -> QueueSummary:
    """Summarise all there is to see of a queue at one glance.

    Parameters
    ----------
    queue : Queue
    observer : Observer, default=None
        See :func:`~desipipe.view.processes.is_alive`.

    Returns
    -------
    summary : QueueSummary

    Raises
    ------
    QueueGoneError
        The queue was deleted.
    """
    facts = _facts(queue, observer)
    ledger = queue.ledger
    bad = bad_rows(ledger)
    return {
        **facts,
        'workers': [
            worker_view(ledger, worker, observer) for worker in list(ledger.state.alive.values())
        ],
        'jobs': job_summaries(ledger),
        'failures': first_failures(ledger, bad),
        'failure_kinds': failure_kinds(ledger, bad),
        'causes': blocked_causes(ledger),
        'damage': [
            {'file': ledger.journal.path, 'offset': offset, 'length': length}
            for offset, length in ledger.state.damage
        ],
        'held': held_tasks(ledger),
    }


def condition(counts: Counts, left: int, paused: bool, somebody: bool) -> Condition:
    """Return the condition of tasks with these counts."""
    if not any(counts.values()):
        return 'empty'
    if not left:
        return 'done' if counts['SUCCEEDED'] == sum(counts.values()) else 'failed'
    if paused:
        return 'paused'
    return 'running' if somebody else 'stopped'


# Jobs


def job_summaries(
    ledger: AttemptReader, mids: Container[str] | None = None, rows: Container[int] | None = None
) -> list[JobView]:
    """Summarise the jobs of batch systems that have not ended, and what they run.

    Parameters
    ----------
    ledger : Ledger
    mids : container of str, default=None
        Only jobs of these task managers.
    rows : container of int, default=None
        Only these tasks count as run.

    Returns
    -------
    jobs : list of JobView
        In order of submission; each names :data:`JOB_TASKS` tasks at most.
    """
    workers: dict[str, list[Worker]] = {}
    for worker in list(ledger.state.alive.values()):
        workers.setdefault(worker.job, []).append(worker)
    return [
        _job(ledger, jobid, workers.get(jobid, []), rows)
        for jobid, job in list(ledger.state.jobs.items())
        if mids is None or job['mid'] in mids
    ]


def _job(
    ledger: AttemptReader, jobid: str, workers: Sequence[Worker], rows: Container[int] | None
) -> JobView:
    job = ledger.state.jobs[jobid]
    running = _counted(ledger, rows, (row for each in workers for row in each.rows_in_slots()))
    claimed = _counted(ledger, rows, (row for each in workers for row in each.rows_before_slots()))
    view: JobView = {
        'job': jobid,
        'mid': job['mid'],
        'slots': job['slots'],
        'state': job['state'],
        'reason': job['reason'],
        'node': job['node'],
        'ends': job['ends'],
        'workers': [worker.name for worker in workers],
        'running': len(running),
        'claimed': len(claimed),
        'tasks': [task_label(ledger, row) for row in running[:JOB_TASKS]],
    }
    if 'cluster' in job:
        view['cluster'] = job['cluster']
    return view


def _counted(
    ledger: AttemptReader, rows: Container[int] | None, candidates: Iterable[int]
) -> list[int]:
    """Return those of the candidates that are in ``rows`` and not superseded."""
    superseded = ledger.state.superseded
    return [row for row in candidates if (rows is None or row in rows) and row not in superseded]


def job_groups(jobs: Iterable[JobView]) -> list[JobGroup]:
    """Group jobs by state and reason, for where there are too many to name each.

    Parameters
    ----------
    jobs : iterable of JobView
        Of :func:`job_summaries`.

    Returns
    -------
    groups : list of JobGroup
        Those that run first, then the largest.
    """
    alike: dict[tuple[JobState, str], list[JobView]] = {}
    for job in jobs:
        alike.setdefault((job['state'], job['reason']), []).append(job)
    order = sorted(alike.items(), key=lambda item: (item[0][0] != 'running', -len(item[1])))
    return [_group(state, reason, some) for (state, reason), some in order]


def _group(state: JobState, reason: str, jobs: list[JobView]) -> JobGroup:
    ends = [job['ends'] for job in jobs if job['ends'] is not None] if state == 'running' else []
    return {
        'state': state,
        'reason': reason,
        'n': len(jobs),
        'nodes': len({job['node'] for job in jobs if job['node']}),
        'running': sum(job['running'] for job in jobs),
        'ends': [min(ends), max(ends)] if ends else None,
    }
