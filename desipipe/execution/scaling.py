"""The number of workers: how many to start, and which jobs to withdraw."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Collection

from ..errors import DesipipeError, LaunchError, QueueGoneError
from ..queue.events import StopLevel
from ..queue.ledger import Ledger
from .cancelling import Cancelling
from .job_follower import JobFollower
from .manager_messages import Messages, Topic
from .pool import EndedSlots, Pool
from .pools import Pools
from .worker_review import log_name

logger = logging.getLogger('desipipe')


class Scaling:
    """Starts workers where tasks are pending, and withdraws jobs without need.

    Parameters
    ----------
    ledger : Ledger
    pools : Pools
    messages : Messages
    follower : JobFollower
    cancelling : Cancelling
    max_workers : int, default=None
        The most tasks at once for each task manager, whatever its scheduler says.
    worker_options : sequence of str
        Options of ``desipipe work`` for all workers.
    """

    def __init__(
        self,
        ledger: Ledger,
        pools: Pools,
        messages: Messages,
        follower: JobFollower,
        cancelling: Cancelling,
        max_workers: int | None,
        worker_options: Collection[str],
    ) -> None:
        self._ledger = ledger
        self._pools = pools
        self._messages = messages
        self._follower = follower
        self._cancelling = cancelling
        self._max_workers = max_workers
        self._worker_options = worker_options
        self._ended_slots = EndedSlots()

    def scale_all(self, now: float) -> None:
        """Start or withdraw workers of all task managers.

        Parameters
        ----------
        now : float
            On the monotonic clock.
        """
        state = self._ledger.state
        if state.paused:
            return
        self._follower.review.update(now)
        self._messages.tell_untrusted()
        for mid in list(state.counts):
            pending = self._ledger.pending(mid)
            if self._pools.is_given_up(mid):
                if pending:
                    continue
                # Its tasks were cancelled, or added again with other options.
                self._pools.try_again(mid)
            if pending or mid in self._pools:
                pool = self._pools.get(mid)
                if pool is not None and pool.provider.settled:
                    self._scale(pool, pending, now)

    def _scale(self, pool: Pool, pending: int, now: float) -> None:
        state = self._ledger.state
        pool.resize(state.most(pool.mid), self._max_workers)
        ended = self._ended_slots.by_job(state, self._ledger.journal.header['gen'])
        have, occupied = pool.present_slots(state, ended), state.occupied(pool.mid)
        missing = pool.missing(pending, occupied, have)
        if missing:
            slots = pool.allowed(missing, occupied, have + pool.hidden_slots(), now)
            if slots:
                self._start(pool, slots, now)
        elif have:
            self._shrink(pool, pending, occupied, have)

    # More

    def _start(self, pool: Pool, slots: int, now: float) -> None:
        """Start workers, and tell where that is refused."""
        try:
            self._launch(pool, slots)
        except LaunchError as exc:
            if exc.later:
                self._refuse(pool, str(exc), now)
            else:
                self._pools.give_up(pool.mid, str(exc))
        except QueueGoneError:
            raise
        except (DesipipeError, OSError) as exc:
            self._refuse(pool, f'No worker can be started for task manager {pool.mid}: {exc}', now)
        else:
            pool.refused.reset()
            self._messages.retract(Topic.REFUSED, pool.mid)
        pool.note(self._ledger)

    def _refuse(self, pool: Pool, text: str, now: float) -> None:
        pool.refused.fail(now)
        self._messages.say(Topic.REFUSED, pool.mid, text, pool.mid)

    def _launch(self, pool: Pool, slots: int) -> None:
        folder = self._ledger.folder
        argv = [
            'python' if pool.environ.command else sys.executable,
            *('-m', 'desipipe', 'work', '-q', folder, '--mid', pool.mid),
            *self._worker_options,
        ]
        self._pools.next_poll = 0.0
        log = os.path.join(folder, log_name(pool))
        for job in pool.launch(argv, slots, log, os.getcwd()):
            logger.info(
                'Started %s with %d slots for task manager %s.', job.jobid, job.slots, pool.mid
            )

    # Less

    def _shrink(self, pool: Pool, pending: int, running: int, have: int) -> None:
        """Withdraw jobs that are no longer needed; after a resize, let workers end too."""
        is_resized = self._ledger.state.most(pool.mid) is not None
        if pool.provider.batch or is_resized:
            self._withdraw_surplus(pool, have - pool.wanted(pending, running))
        if is_resized:
            self._stop_workers(pool, have - pool.wanted(sys.maxsize, running))

    def _withdraw_surplus(self, pool: Pool, surplus: int) -> None:
        """Withdraw jobs of as many slots, the newest first."""
        # Who has nothing to do takes a task at once, and counts then, or ends, as after its last
        # one with `stop_after`: a job that was withdrawn for it would be submitted again right
        # afterwards.
        state = self._ledger.state
        surplus -= sum(
            max(0, worker.slots - len(worker.rows))
            for worker in state.alive.values()
            if worker.stop is None and worker.mid in (None, pool.mid)
        )
        if surplus <= 0:
            return
        workers = state.workers.values()
        begun = {worker.job for worker in workers if worker.name not in pool.past}
        for job in reversed(list(pool.jobs.values())):
            if (
                0 < job.slots <= surplus
                and job.state == 'pending'
                and job.jobid not in pool.withdrawn | begun
            ):
                self._cancelling.withdraw(pool, job)
                surplus -= job.slots

    def _stop_workers(self, pool: Pool, surplus: int) -> None:
        """Stop the newest workers, where those that are left have no slot too many."""
        names = []
        for worker in sorted(self._ledger.state.alive.values(), key=lambda worker: -worker.time):
            if surplus > 0 and worker.job in pool.jobs and worker.stop is None:
                names.append(worker.name)
                surplus -= worker.slots
        if names and surplus <= 0:
            self._ledger.stop(lambda state: names, StopLevel.POLITELY, False)
