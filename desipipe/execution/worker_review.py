"""Workers that ended without having taken a task, and the pauses after them."""

from __future__ import annotations

import math
from itertools import islice

from ..queue.ledger import Ledger
from ..queue.workers import Worker
from ..store.file_names import check_name
from .last_words import last_words
from .manager_messages import Messages, Topic
from .pool import Pool
from .pools import Pools


def log_name(pool: Pool) -> str:
    """Return the name of the file that a pool's workers write to."""
    return f'workers-{check_name(pool.mid)}.log'


class WorkerReview:
    """The manager's review of workers that began, each until it took a task.

    Parameters
    ----------
    ledger : Ledger
    pools : Pools
    messages : Messages
    """

    def __init__(self, ledger: Ledger, pools: Pools, messages: Messages) -> None:
        self._ledger = ledger
        self._pools = pools
        self._messages = messages
        self._reviewed: set[str] = set()
        self._to_review: set[str] = set()
        self._n_seen = 0

    def update(self, now: float) -> None:
        """Find workers that took a task, and those that ended without one.

        These count only where there were tasks to take.

        Parameters
        ----------
        now : float
            On the monotonic clock.
        """
        workers = self._ledger.state.workers
        self._see_new(workers)
        if not self._to_review:
            return
        pools = self._pools.by_job()
        for name in list(self._to_review):
            worker = workers.get(name)
            pool = None if worker is None else pools.get(worker.job)
            if worker is None or pool is None:
                if worker is None or worker.ended is not None:
                    self._to_review.discard(name)
            elif self._review(pool, worker, now):
                self._to_review.discard(name)
                self._reviewed.add(name)

    def _see_new(self, workers: dict[str, Worker]) -> None:
        n = len(workers)
        if n != self._n_seen:
            first = self._n_seen if self._n_seen < n else 0
            self._to_review |= set(islice(workers, first, None)) - self._reviewed
            self._n_seen = n

    def _review(self, pool: Pool, worker: Worker, now: float) -> bool:
        """Return True once there is nothing more to learn of a worker."""
        pool.worked = True
        launched = pool.launched.get(worker.job, now)
        if worker.began or worker.rows:
            if pool.idle.failures and launched > pool.idle.failed_at:
                pool.idle.reset()
                self._messages.retract(Topic.DIED, pool.mid)
            return True
        if worker.ended is None:
            return False
        own = worker.stop is not None or worker.kind or worker.job in pool.withdrawn
        if not own and self._ledger.pending(pool.mid) and not self._ledger.state.paused:
            self.note_death(pool, worker.job, f'it took no task: {worker.ended}', now, launched)
        return True

    def note_death(
        self, pool: Pool, jobid: str, reason: str, now: float, launched: float | None
    ) -> None:
        """Pause launches of a pool after a worker that ended at once, and say so.

        Parameters
        ----------
        pool : Pool
        jobid : str
            The worker's job.
        reason : str
        now : float
            On the monotonic clock.
        launched : float or None
            The time when the job was launched; None: a manager before did that.
        """
        if launched is None:
            launched = now if now >= pool.idle.due else -math.inf
        pause = pool.idle.fail(now, launched)
        if pause is not None:
            text = last_words(self._ledger.folder, log_name(pool), pool.provider, jobid)
            self._messages.say(
                Topic.DIED,
                pool.mid,
                f'A worker of task manager {pool.mid} died at once ({reason}): trying again in '
                f'{pause:g} s. Its last words: {text}',
                pool.mid,
            )
