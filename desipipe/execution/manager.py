"""The manager: the process that keeps enough workers where tasks are pending.

There is one a queue; it ends when nothing is left.
"""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable, Iterable
from typing import TypeVar

from ..errors import DesipipeError, ManagerRunningError, QueueGoneError
from ..queue.events import FAILED, KILLED, UNKNOWN, StopLevel
from ..queue.queue import Queue
from ..store.journal import writer_name
from ..store.lease import LEASE, Lease, Observer
from ..store.watch import Watcher
from ..utils import sentence
from .cancelling import CANCEL_INTERVAL_S, Cancelling
from .duties.modes import check_mode
from .job_follower import JobFollower
from .manager_end import NOTHING_LEFT, TAKEN_OVER, ManagerEnd, is_work_left
from .manager_messages import Messages
from .pool import job_row
from .pools import Pools
from .queue_faults import QueueFaults, QueueLostError
from .scaling import Scaling
from .takeover import Takeover

END_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGXCPU)
IGNORED_SIGNALS = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)  # the terminal may go

logger = logging.getLogger('desipipe')
T = TypeVar('T')

TIMESTEP = 10.0  # s between two questions to a batch system, at least
START_PAUSES_S = (0.1, 0.2, 0.5, 1.0)  # after faults of the filesystem when the manager began
FAULT_MAX_S = 3600.0  # how long a step that fails is tried
SIGNALLED_MAX_S = 5.0  # the same when the manager was told to end
LOOK_INTERVAL_MAX_S = 1.0  # between two looks at the leases of workers
STEP = 'a step of the manager'

__all__ = ['Manager']


class Manager:
    """Keeps workers for a queue.

    Parameters
    ----------
    queue : Queue
    timeout : float, default=None
        Seconds after which to end, with the workers.
    timestep : float, default=10
        The longest wait between two looks at batch jobs, in seconds; local events are seen at once.
    mode : str or iterable of str, default=()
        As for :func:`~desipipe.execution.worker.work`.
    max_workers : int, default=None
        The most tasks at once for each task manager, whatever its scheduler says.
    linger : float, default=0
        Seconds to stay, with the workers, when nothing is left.
    """

    def __init__(
        self,
        queue: Queue,
        timeout: float | None = None,
        timestep: float = TIMESTEP,
        mode: str | Iterable[str] = (),
        max_workers: int | None = None,
        linger: float = 0.0,
    ) -> None:
        queue.ledger.check_use()
        ledger = self.ledger = queue.ledger
        self.name = 'manager-' + writer_name()
        self.timestep = timestep
        self.mode = check_mode(mode)
        self.linger = linger
        self.lease = float(ledger.journal.header.get('lease', LEASE))
        observer = Observer(ledger.folder, self.lease)
        self.takeover = Takeover(ledger, self.name, observer, self.lease, max_workers is not None)
        messages = Messages(ledger, self.name)
        self.pools = Pools(ledger, queue.name, messages, timestep)
        self.cancelling = Cancelling(ledger, self.pools)
        self.follower = JobFollower(ledger, self.pools, messages, observer, self.mode)
        self.end = ManagerEnd(ledger, self.name, self.pools, self.follower, self.cancelling)
        options = ['--linger', str(linger)]
        if self.mode:
            options += ['--mode', ','.join(sorted(self.mode))]
        self.scaling = Scaling(
            ledger, self.pools, messages, self.follower, self.cancelling, max_workers, options
        )
        self._faults = QueueFaults(ledger)
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._signals: list[int] = []
        self._unsuccessful = 0
        self._lease: Lease | None = None
        self._is_polite = False
        self._identity = str(ledger.journal.header['id'])
        self._renew = False
        self._next_beat = self._next_look = 0.0
        self._quiet_since: float | None = None

    # The loop

    def run(self) -> None:
        """Manage until nothing is left.

        Raises
        ------
        ManagerRunningError
            Another one does already.
        """
        ledger = self.ledger
        lease = self._lease = self._try(
            lambda: Lease(ledger.folder, self.name, ledger.journal.shared)
        )
        try:
            self._try(self._begin)
        except BaseException:
            lease.close()
            raise
        handlers = {
            number: signal.signal(number, lambda number, _: self._signals.append(number))
            for number in END_SIGNALS
        }
        handlers |= {number: signal.signal(number, signal.SIG_IGN) for number in IGNORED_SIGNALS}
        self._unsuccessful = ledger.state.total(FAILED, KILLED, UNKNOWN)
        watcher = ledger.watcher()
        logger.info('Managing %s', ledger.folder)
        try:
            why = self._manage(lease, watcher)
        except QueueGoneError as exc:
            why = 'the queue is gone'
            logger.info('%s', exc)
            self.cancelling.cancel_all(running=not self._is_polite)
            self.cancelling.finish()
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
            _close(lease)
        logger.info('Manager of %s ends: %s', ledger.folder, why)

    def _begin(self) -> None:
        self.ledger.follow()
        # If there was a manager before, there may be jobs of which nobody knows: it may have died
        # right after it submitted them.
        self.pools.had_manager = bool(self.ledger.state.last_manager)
        self.takeover.begin()

    def _begin_again(self) -> None:
        # The line in which it began is not there: damaged, or an older journal was put in its
        # place, which knows less of the jobs too.
        logger.warning(
            'The journal of %s does not know this manager: it is registered again.',
            self.ledger.folder,
        )
        self._begin()
        for pool in self.pools:
            if pool.provider.batch and pool.jobs:
                self.ledger.note_jobs(pool.mid, [job_row(job) for job in pool.jobs.values()])

    def _manage(self, lease: Lease, watcher: Watcher) -> str:
        """Go on until there is a reason to end, which is returned.

        One step that fails is only that.
        """
        while True:
            try:
                why = self._step(lease, watcher)
                if why is None:
                    self._faults.passed(STEP)
                    lease.trouble = ''
                    continue
                if why != NOTHING_LEFT:
                    self.end.write(why, self._is_ordered())
                self.end.clear_up(why, self._is_ordered())
                return why
            except (OSError, DesipipeError) as exc:
                self._wait_after_fault(exc)
                lease.trouble = self._faults.text
                self._renew = True

    def _step(self, lease: Lease, watcher: Watcher) -> str | None:
        """Look at everything once, then wait; the reason to end, if there is one."""
        now = time.monotonic()
        self._beat(lease, now)
        watcher.seen(self.ledger.follow())
        if self.ledger.journal.header['id'] != self._identity:  # its manager was not carried over
            raise QueueLostError(
                f'The queue in {self.ledger.folder} was cleared. This manager belonged to what it '
                'held, and ends.'
            )
        if (reason := self._reason_to_end(now)) is not None:
            return reason
        self.pools.adopt_all()
        if now >= self.pools.next_poll:
            pause = min(self.timestep, self.follower.poll(now))
            self.pools.next_poll = now + pause
        if now >= self._next_look:
            self._next_look = now + min(LOOK_INTERVAL_MAX_S, self.lease / 3)
            self.follower.end_lost_workers()
        self.scaling.scale_all(now)
        if self._is_done(now):
            return NOTHING_LEFT
        watcher.wait(self._pause())
        return None

    def _beat(self, lease: Lease, now: float) -> None:
        if self._renew:
            lease.renew()
            self._renew = False
        if now >= self._next_beat:
            lease.beat()
            self._next_beat = now + self.lease / 3

    def _is_done(self, now: float) -> bool:
        """Return True if nothing was left for long enough, and that is written down."""
        if is_work_left(self.ledger):
            self._quiet_since = None
            return False
        self._quiet_since = self._quiet_since or now
        waited = now - self._quiet_since - self.linger
        return (
            waited >= 0
            and self.cancelling.clear_up(now, waited)
            and self.end.write_if_nothing_left()
        )

    def _pause(self) -> float:
        """Return how long to wait for events, in seconds."""
        now = time.monotonic()
        until = [self._next_beat, self.pools.next_poll, self._next_look]
        for pool in self.pools:  # what failed is tried again
            until += [due for due in (pool.refused.due, pool.idle.due) if due > now]
        if self._quiet_since is not None:
            until.append(self._quiet_since + self.linger)
        if self._deadline is not None:
            until.append(self._deadline)
        return max(0.001 if self._quiet_since is None else CANCEL_INTERVAL_S, min(until) - now)

    # Ends

    def _is_ordered(self) -> bool:
        """Return True if a signal, or the time, ends the manager."""
        is_late = self._deadline is not None and time.monotonic() >= self._deadline
        return bool(self._signals) or is_late

    def _reason_to_end(self, now: float) -> str | None:
        state = self.ledger.state
        if state.manager is None and self.name not in state.manager_names:
            self._begin_again()
        if state.manager is None or state.manager['w'] != self.name:
            return TAKEN_OVER
        if state.manager.get('stop'):
            self._is_polite = state.manager['stop'] == StopLevel.POLITELY
            if self._lease is not None:
                self._lease.confirm(state.manager['stop'])
            return 'killed by desipipe kill'
        if self._signals:
            return f'told to end ({signal.Signals(self._signals[0]).name})'
        if self._deadline is not None and now >= self._deadline:
            return 'its time is over'
        unsuccessful = state.total(FAILED, KILLED, UNKNOWN)
        if 'stop_at_error' in self.mode and unsuccessful > self._unsuccessful:
            return 'a task did not succeed, and the mode is stop_at_error'
        self._unsuccessful = min(self._unsuccessful, unsuccessful)
        return None

    # Faults

    def _wait_after_fault(self, exc: OSError | DesipipeError) -> None:
        """Wait after a step that failed; raise if no later one can succeed, or none has."""
        self._faults.failed(STEP, exc)
        now = time.monotonic()
        if now - self._faults.since > FAULT_MAX_S:
            raise exc
        deadline = self._faults.next_try(now)
        while (left := deadline - time.monotonic()) > 0 and not self._signals:
            # Nothing of the queue can be waited on while it can't be read.
            time.sleep(min(left, 0.1))
        if self._signals and now - self._faults.since > SIGNALLED_MAX_S:
            self.cancelling.cancel_all()  # the queue can't be told, what was submitted can
            self.cancelling.finish()
            raise exc

    def _try(self, step: Callable[[], T]) -> T:
        """Do what comes before the loop; wait for faults of the filesystem that pass."""
        for pause in START_PAUSES_S:
            try:
                return step()
            except (OSError, DesipipeError) as exc:
                if isinstance(exc, ManagerRunningError) or self._faults.is_final(exc):
                    raise
                logger.warning('%s Trying again.', sentence(exc))
                time.sleep(pause)
        return step()


def _close(lease: Lease) -> None:
    try:
        lease.close()
    except OSError as exc:
        logger.warning(
            'The lease of this manager could not be removed (%s). Others see that the process '
            'is gone.',
            exc,
        )
