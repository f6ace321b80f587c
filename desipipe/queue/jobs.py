"""Jobs of batch systems in a queue, and their cancellation without a manager."""

from __future__ import annotations

from collections.abc import Container
from typing import TYPE_CHECKING, NamedTuple

from ..errors import DesipipeError
from ..provider import Job, Provider
from .ledger import Ledger

if TYPE_CHECKING:
    from .process_events import JobState

__all__ = ['Withdrawn', 'jobs_name', 'noted_job', 'withdraw_jobs']


class Withdrawn(NamedTuple):
    """The result of an attempt to withdraw jobs."""

    jobids: list[str]
    """Identities of the jobs that were cancelled."""
    errors: list[str]
    """Reasons that others were not, one message a task manager."""


def jobs_name(queue: str, identity: str, mid: str) -> str:
    """Return what the jobs of a task manager are called, unlike those of any other.

    Parameters
    ----------
    queue : str
        Name of the queue.
    identity : str
        That of its generation.
    mid : str
        That of the task manager.
    """
    return f'{queue}-{identity[:6]}-{mid[:8]}'


def noted_job(jobid: str, job: JobState) -> Job:
    """Return a job as the journal knows it, as one of a provider."""
    return Job(
        jobid,
        job['slots'],
        'running' if job['state'] == 'running' else 'pending',
        job['reason'],
        node=job['node'],
        ends=job['ends'],
        cluster=job.get('cluster', ''),
    )


def withdraw_jobs(
    ledger: Ledger,
    queue: str,
    jobids: Container[str] | None = None,
    mids: Container[str] | None = None,
) -> Withdrawn:
    """Cancel jobs of a queue that has no living worker and no manager to cancel them.

    Parameters
    ----------
    ledger : Ledger
    queue : str
        Name of the queue.
    jobids, mids : container of str, default=None
        Only these jobs, only jobs of these task managers.

    Returns
    -------
    withdrawn : Withdrawn
    """
    ledger.follow()
    ledger.check_use()
    state = ledger.state
    busy = {worker.job for worker in state.alive.values()}
    cancelled, errors = [], []
    for mid, spec in list(state.managers.items()):
        if mids is not None and mid not in mids:
            continue
        own = {
            jobid: job
            for jobid, job in state.jobs.items()
            if job['mid'] == mid and jobid not in busy and (jobids is None or jobid in jobids)
        }
        names = [
            name
            for name, submission in state.submissions.items()
            if submission['mid'] == mid and jobids is None
        ]
        if not own and not names:
            continue
        ledger.check_manager(mid)
        name = jobs_name(queue, str(ledger.journal.header['id']), mid)
        try:
            cancelled += Provider(spec['provider']).withdraw(
                name, [noted_job(jobid, job) for jobid, job in own.items()], names
            )
        except (DesipipeError, OSError) as exc:
            errors.append(str(exc))
            continue
        ledger.note_jobs(mid, [(jobid, 0, 'ended', '', '', None) for jobid in own], names)
    return Withdrawn(cancelled, errors)
