"""Build the views of the jobs of batch systems."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ..queue.attempt_reader import AttemptReader
from .task_summary import task_label

if TYPE_CHECKING:
    from .schema import JobGroup, JobState, JobView


JOB_TASKS = 4  # tasks that are named of a batch job


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
    workers: dict[str, list[Any]] = {}
    for worker in list(ledger.state.alive.values()):
        workers.setdefault(worker.job, []).append(worker)
    return [
        _job(ledger, jobid, workers.get(jobid, []), rows)
        for jobid, job in list(ledger.state.jobs.items())
        if mids is None or job['mid'] in mids
    ]


def _job(
    ledger: AttemptReader, jobid: str, workers: Sequence[Any], rows: Container[int] | None
) -> JobView:
    job = ledger.state.jobs[jobid]
    running = [
        row for worker in workers for row in worker.rows_in_slots() if rows is None or row in rows
    ]
    claimed = [
        row
        for worker in workers
        for row in worker.rows_before_slots()
        if rows is None or row in rows
    ]
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
