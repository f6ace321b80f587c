"""The end of a manager: what is left, what it notes, and what it clears up."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from ..errors import DesipipeError, QueueGoneError
from ..queue.events import PENDING, WAITING, StopLevel
from ..queue.ledger import Ledger
from ..queue.transactions.processes import job_event, manager_end_event, stop_event
from ..utils import sentence
from .cancelling import Cancelling
from .job_follower import JobFollower
from .pool import job_row
from .pools import Pools

if TYPE_CHECKING:
    from ..queue.event_types import JournalEvent

logger = logging.getLogger('desipipe')

NOTHING_LEFT = 'nothing left to do'
TAKEN_OVER = 'another manager took over'
END_TIMEOUT_S = 30.0  # for workers to end when the manager does
END_INTERVAL_S = 0.05  # between two looks whether they have


def is_work_left(ledger: Ledger) -> bool:
    """Return True if tasks of a queue run, or may yet."""
    state = ledger.state
    if any(state.occupied(mid) for mid in list(state.counts)):
        return True
    if state.paused:
        return False
    if ledger.is_group_queue:
        # What waits for tasks that others run is theirs to wait for.
        return any(map(ledger.pending, list(state.counts)))
    return bool(state.total(PENDING)) or state.total(WAITING) > len(ledger.blocked())


class ManagerEnd:
    """The end of a manager.

    Parameters
    ----------
    ledger : Ledger
    name : str
        That of the manager.
    pools : Pools
    follower : JobFollower
    cancelling : Cancelling
    """

    def __init__(
        self,
        ledger: Ledger,
        name: str,
        pools: Pools,
        follower: JobFollower,
        cancelling: Cancelling,
    ) -> None:
        self._ledger = ledger
        self._name = name
        self._pools = pools
        self._follower = follower
        self._cancelling = cancelling

    def write_if_nothing_left(self) -> bool:
        """Write down that the manager ends, if nothing is left; return True then."""
        is_end = False

        def decide() -> list[JournalEvent]:
            # Under the lock: a task that was added before is seen here, one that comes after finds
            # that the manager has ended.
            nonlocal is_end
            is_end = not is_work_left(self._ledger)
            return self._end_events(NOTHING_LEFT) if is_end else []

        self._ledger.journal.write(decide)
        return is_end

    def write(self, why: str, is_ordered: bool) -> None:
        """Write down that the manager ends because it has to, and which jobs it withdraws.

        Parameters
        ----------
        why : str
        is_ordered : bool
            True if it was told to end, or its time is over: then jobs that run are withdrawn too.
        """
        state = self._ledger.state
        if state.manager is None or state.manager['w'] != self._name:
            return
        self._pools.adopt_all()
        everything = is_ordered or bool(state.manager.get('stop'))
        busy = {worker.job for worker in state.alive.values()}
        for pool in self._pools:
            if pool.provider.batch:
                pool.withdrawn |= {
                    job.jobid
                    for job in pool.jobs.values()
                    if (job.state == 'pending' or everything) and job.jobid not in busy
                }
        self._ledger.journal.write(lambda: self._end_events(why))

    def _end_events(self, why: str) -> list[JournalEvent]:
        now, jobs = time.time(), self._pools.by_job()
        own = [worker.name for worker in self._ledger.state.alive.values() if worker.job in jobs]
        stop = [stop_event(own, StopLevel.POLITELY, False, now)] if own else []
        return [*stop, *self._open_events(now), manager_end_event(self._name, why, now)]

    def _open_events(self, now: float) -> list[JournalEvent]:
        """Return what is under way, for the next manager, or for `desipipe kill`."""
        events: list[JournalEvent] = []
        for pool in self._pools:
            jobs = [
                job_row(job) for job in pool.unnoted.values() if job.jobid not in pool.withdrawn
            ]
            jobs += [
                job_row(pool.jobs[jobid], 'withdrawn')
                for jobid in pool.withdrawn
                if jobid in pool.jobs
            ]
            if jobs or pool.explained:
                events.append(job_event(pool.mid, jobs, pool.explained, now))
        return events

    def clear_up(self, why: str, is_ordered: bool) -> None:
        """Cancel jobs without need, and wait for the workers, once the end is noted.

        Parameters as for :meth:`write`.
        """
        if why == TAKEN_OVER:
            return
        if why != NOTHING_LEFT and is_ordered:
            self._cancelling.cancel_all()
        self._cancelling.cancel_withdrawn()
        self._cancelling.finish()
        try:
            self._cancelling.forget_withdrawn()
            self._cancelling.withdraw_unclear()
            self._wait_for_workers()
        except QueueGoneError:
            raise
        except (OSError, DesipipeError) as exc:
            logger.warning('%s What the next manager has to do is in the journal.', sentence(exc))

    def _wait_for_workers(self) -> None:
        ledger = self._ledger
        deadline = time.monotonic() + END_TIMEOUT_S
        watcher = ledger.watcher()
        while time.monotonic() < deadline and self._has_workers():
            self._follower.poll(time.monotonic())
            ledger.follow()
            watcher.wait(END_INTERVAL_S)
        ledger.follow()
        self._follower.end_lost_workers()

    def _has_workers(self) -> bool:
        """Return True if there is a worker of this manager.

        Those of a batch system say themselves when they end; that of their jobs, it may tell much
        later.
        """
        jobs = self._pools.by_job()
        return any(not pool.provider.batch for pool in jobs.values()) or any(
            worker.job in jobs for worker in self._ledger.state.alive.values()
        )
