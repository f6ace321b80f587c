"""The jobs of workers as providers tell of them, and how their workers end."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from typing import TYPE_CHECKING

from ..provider.job import FREE, Fate, Job
from ..queue.events import KILLED, UNKNOWN
from ..queue.ledger import Ledger
from ..store.lease import Observer
from .duties.modes import Mode
from .manager_messages import Messages, Topic
from .pool import Pool
from .pools import Pools
from .worker_review import WorkerReview

if TYPE_CHECKING:
    from ..queue.task_events import Cause

logger = logging.getLogger('desipipe')

EARLY_S = 5.0  # a worker that ends with an error before that "died at once"
SILENT_MAX_S = 60.0  # for a batch system to say what became of a worker without a sign of life
RESUBMIT_AFTER_S = 60.0  # for a job that was cancelled before it began


class JobFollower:
    """The manager's follower of jobs: of their states, and how their workers end.

    Parameters
    ----------
    ledger : Ledger
    pools : Pools
    messages : Messages
    observer : Observer
        That of this process.
    mode : collection of str
        As for :func:`~desipipe.execution.worker.work`.
    """

    def __init__(
        self,
        ledger: Ledger,
        pools: Pools,
        messages: Messages,
        observer: Observer,
        mode: Collection[str],
    ) -> None:
        self.review = WorkerReview(ledger, pools, messages)
        self._ledger = ledger
        self._pools = pools
        self._messages = messages
        self._observer = observer
        self._mode = mode
        self._silent: dict[str, float] = {}

    # Jobs

    def poll(self, now: float) -> float:
        """Ask the providers for their jobs.

        Returns
        -------
        pause : float
            Seconds until the next time, as far as the providers want it.
        """
        pause = float('inf')
        for pool in self._pools:
            for job in pool.provider.poll():
                self._follow(pool, job, now)
            pool.note(self._ledger)
            self._tell_of_waiting(pool)
            pause = min(pause, pool.provider.pause)
        return pause

    def _follow(self, pool: Pool, job: Job, now: float) -> None:
        old = pool.jobs.get(job.jobid)
        is_pending = job.state == 'pending'
        is_changed = old is None or _shown(job) != _shown(old)
        if pool.provider.batch and is_changed:
            if not (is_pending and job.jobid in pool.withdrawn):
                pool.unnoted[job.jobid] = job
        if job.state == 'ended':
            self._end_job(pool, job, now)
            pool.jobs.pop(job.jobid, None)
            return
        if is_pending and job.fate and (old is None or old.state != 'pending'):
            self._end_workers_of(pool, job, 'it was put back into the queue')
            workers = self._ledger.state.workers.values()
            pool.past |= {worker.name for worker in workers if worker.job == job.jobid}
        pool.jobs[job.jobid] = job

    def _tell_of_waiting(self, pool: Pool) -> None:
        trouble = pool.provider.trouble
        if trouble:
            self._messages.say(
                Topic.TROUBLE,
                pool.mid,
                f'The batch system does not answer: {trouble.rstrip(".")}. Jobs that run go on, '
                'nothing is lost. Waiting.',
            )
        elif self._messages.retract(Topic.TROUBLE, pool.mid):
            logger.info('The batch system answers again.')
        for job in pool.jobs.values():
            if job.state == 'pending' and (text := pool.provider.hopeless(job)):
                text = f'Job {job.jobid} waits for ever ({job.reason}): {text}'
                self._messages.say(Topic.HOPELESS, pool.mid, text, pool.mid)
                return
        self._messages.retract(Topic.HOPELESS, pool.mid)

    def _end_job(self, pool: Pool, job: Job, now: float) -> None:
        """Draw the consequences of a job's end."""
        if not pool.provider.batch:
            self.end_lost_workers()
        self.review.update(now)
        launched = pool.launched.pop(job.jobid, None)
        if pool.provider.batch:
            has_failed = self._end_batch_job(pool, job, now)
        else:
            has_failed = bool(job.exitcode) and launched is not None and now - launched < EARLY_S
        if has_failed:
            self.review.note_death(pool, job.jobid, job.reason, now, launched)

    def _end_batch_job(self, pool: Pool, job: Job, now: float) -> bool:
        """End the workers of a batch job; return True if none began, as launches fail."""
        logger.info('Job %s ended: %s', job.jobid, job.reason)
        workers = self._ledger.state.workers.values()
        has_begun = any(worker.job == job.jobid for worker in workers)
        is_withdrawn = job.jobid in pool.withdrawn
        if has_begun:
            self._end_workers_of(pool, job, job.reason)
        pool.withdrawn.discard(job.jobid)
        if has_begun or is_withdrawn:
            return False
        if job.fate == Fate.CANCELLED:
            pool.idle.wait(now, RESUBMIT_AFTER_S)
            self._messages.say(
                Topic.CANCELLED,
                pool.mid,
                f'Job {job.jobid} was cancelled before it began: tasks that wait get another one '
                f'in {RESUBMIT_AFTER_S:g} s. To stop that: desipipe pause',
            )
        return job.fate in (Fate.COMPLETED, Fate.FAILED, Fate.LAUNCH, Fate.OOM)

    # Their workers

    def end_lost_workers(self) -> None:
        """End workers that vanished, and what they ran."""
        for name in self._ledger.end_lost_workers(self._observer, leave=self._is_left):
            self._silent.pop(name, None)
            logger.warning(
                'Worker %s vanished. What it ran is UNKNOWN, or runs again if it has retries.', name
            )

    def _is_left(self, name: str) -> bool:
        # It shows no sign of life. What became of its job is better known to the batch system,
        # which is given time to say it; as long as that does not answer at all, nothing is decided.
        job = self._ledger.state.alive[name].job
        pool = self._pools.by_job().get(job)
        if pool is None or not pool.provider.batch:
            return False
        pool.provider.hurry()
        now = time.monotonic()
        silent = now - self._silent.setdefault(name, now)
        return bool(pool.provider.trouble) or silent < SILENT_MAX_S

    def _end_workers_of(self, pool: Pool, job: Job, why: str) -> None:
        """End the workers of a job as the batch system says, and what they ran."""
        state = self._ledger.state
        self._ledger.follow()
        names = [worker.name for worker in state.alive.values() if worker.job == job.jobid]
        if not names or not job.fate:
            return  # they ended well, or nobody knows more than their leases tell
        text = job.reason or why
        if job.state == 'pending':
            text = f'its job was put back into the queue (Slurm: {job.reason})'
        is_free = job.fate in FREE or job.jobid in pool.withdrawn

        def cause_of(row: int) -> tuple[int, Cause]:
            worker = state.running.get(row)
            cause: Cause = {'kind': job.fate, 'text': text, 'kinds': [job.fate], 'errno': -1}
            if is_free:
                cause['free'] = True
            elif job.fate == Fate.WALLTIME:
                since = state.running.start_of(row)
                is_first = worker is not None and since - worker.time < 0.1 * (
                    time.time() - worker.time
                )
                retries = Mode.RETRY_AT_TIMEOUT in self._mode
                if pool.provider.begins_again(is_first, retries):
                    cause['free'] = True
                else:
                    cause['final'] = True
            elif job.fate == Fate.CANCELLED:
                cause['final'] = True
            is_killed = job.fate in (Fate.WALLTIME, Fate.OOM, Fate.CANCELLED)
            return (KILLED if is_killed else UNKNOWN), cause

        self._ledger.end_workers(names, why, cause_of)
        logger.warning('Job %s: %s. Its workers are gone: %s', job.jobid, text, ', '.join(names))


def _shown(job: Job) -> tuple[str, str, str, float | None]:
    return job.state, job.reason, job.node, job.ends
