"""The cancelling of jobs that are no longer needed."""

from __future__ import annotations

import logging
import time
from shlex import quote

from ..errors import DesipipeError
from ..provider.base import Job
from ..queue.ledger import Ledger
from .pool import Pool, job_row
from .pools import Pools

logger = logging.getLogger('desipipe')

CANCEL_TIMEOUT_S = 20.0  # for a batch system to be told that jobs are cancelled
CANCEL_INTERVAL_S = 0.02  # between two looks at what is being cancelled


class Cancelling:
    """The jobs that a manager cancels.

    Parameters
    ----------
    ledger : Ledger
    pools : Pools
    """

    def __init__(self, ledger: Ledger, pools: Pools) -> None:
        self._ledger = ledger
        self._pools = pools
        self._identity = str(ledger.journal.header['id'])

    @property
    def is_done(self) -> bool:
        """True once the batch systems were told of all that is to be cancelled."""
        return all(pool.provider.cancelled for pool in self._pools)

    def withdraw(self, pool: Pool, job: Job) -> None:
        """Cancel a job that has not begun and is no longer needed."""
        logger.info('Job %s is no longer needed.', job.jobid)
        pool.withdrawn.add(job.jobid)
        # Noted first: it may begin just now, and its worker must know that nobody has cancelled
        # what it took.
        self._ledger.note_jobs(pool.mid, [job_row(job, 'withdrawn')])
        pool.provider.cancel(job)

    def cancel_all(self, running: bool = True) -> None:
        """Cancel all jobs; ``running``: also those that run."""
        for pool in self._pools:
            for job in pool.jobs.values():
                if running or job.state == 'pending':
                    pool.provider.cancel(job)

    def cancel_withdrawn(self) -> None:
        """Cancel the jobs that are noted as withdrawn."""
        for pool in self._pools:
            for jobid in pool.withdrawn & pool.jobs.keys():
                pool.provider.cancel(pool.jobs[jobid])

    def finish(self) -> None:
        """Wait until the batch systems have been told of all that is to be cancelled."""
        deadline = time.monotonic() + CANCEL_TIMEOUT_S
        while not self.is_done:
            if time.monotonic() > deadline:
                logger.error(
                    'The batch system could not be told to cancel all jobs. Cancel what is left: '
                    'desipipe kill -q %s',
                    quote(self._ledger.folder),
                )
                return
            for pool in self._pools:
                pool.provider.poll()
            time.sleep(CANCEL_INTERVAL_S)

    def forget_withdrawn(self) -> None:
        """Note that withdrawn jobs have ended, once the batch system was told."""
        for pool in self._pools:
            if not pool.provider.cancelled:
                continue
            jobs = [
                job_row(pool.jobs[jobid], 'ended') for jobid in pool.withdrawn if jobid in pool.jobs
            ]
            if not jobs:
                continue
            if self._ledger.journal.header['id'] == self._identity:
                self._ledger.note_jobs(pool.mid, jobs)
            for jobid in list(pool.withdrawn):
                pool.jobs.pop(jobid, None)

    def withdraw_unclear(self) -> None:
        """Cancel by their names the submissions that the batch system may have taken."""
        for mid, names in self._unclear().items():
            try:
                self._pools[mid].provider.withdraw(self._pools.jobs_name(mid), [], names)
            except DesipipeError as exc:
                logger.error('%s', exc)
            else:
                self._ledger.note_jobs(mid, [], names)

    def _unclear(self) -> dict[str, list[str]]:
        names: dict[str, list[str]] = {}
        for name, submission in self._ledger.state.submissions.items():
            if submission['mid'] in self._pools:
                names.setdefault(submission['mid'], []).append(name)
        return names

    def clear_up(self, now: float, waited: float) -> bool:
        """Withdraw jobs that nobody needs, when nothing is left.

        Parameters
        ----------
        now : float
            On the monotonic clock.
        waited : float
            Seconds that this is tried, beyond those for which the manager lingers.

        Returns
        -------
        done : bool
            True once the batch system knows, or was waited for long enough.
        """
        for pool in self._pools:
            for job in list(pool.jobs.values()):
                if (
                    pool.provider.batch
                    and job.state == 'pending'
                    and job.jobid not in pool.withdrawn
                ):
                    self.withdraw(pool, job)
        is_late = waited >= CANCEL_TIMEOUT_S
        if self.is_done:
            self.forget_withdrawn()
            if not self._unclear():
                return True
            if is_late or all(pool.provider.settled for pool in self._pools):
                self.withdraw_unclear()
                return True
        self._pools.next_poll = min(self._pools.next_poll, now + CANCEL_INTERVAL_S)
        return is_late
