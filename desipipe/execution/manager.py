"""The manager: one process a queue, which keeps enough workers where tasks are pending, and ends
when nothing is left.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from shlex import quote
from typing import Any, NamedTuple, TypeVar

from ..environment import Environment
from ..errors import DesipipeError, LaunchError, ManagerRunningError, QueueError, QueueGoneError
from ..provenance import machine
from ..provider import Provider
from ..provider.base import FREE, Job
from ..queue.detached_manager import start_manager
from ..queue.events import FAILED, KILLED, PENDING, UNKNOWN, WAITING, Event, JournalEvent, StopLevel
from ..queue.jobs import jobs_name, noted_job
from ..queue.ledger import Ledger
from ..queue.queue import Queue
from ..queue.queue_functions import get_queue
from ..queue.transactions.processes import (
    job_event,
    manager_begin_event,
    manager_end_event,
    manager_say_event,
    resize_event,
    stop_event,
)
from ..scheduler import Scheduler
from ..security.trust import held_text
from ..store.files import check_name, read_file
from ..store.journal import writer_name
from ..store.lease import LEASE, Lease, Observer, gone, read_lease
from ..store.watch import Watcher
from ..utils import username
from .backoff import Backoff
from .last_words import last_words
from .queue_faults import QueueFaults, QueueLostError
from .worker import check_mode

END_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGXCPU)
IGNORED_SIGNALS = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)  # the terminal may go

logger = logging.getLogger('desipipe')
T = TypeVar('T')

TIMESTEP = 10.0  # s between two questions to a batch system, at least
EARLY = 5.0  # s: a worker that ends with an error before that "died at once"
BACKOFF = (0.5, 60.0)  # s before the next try of a local worker, doubling
BATCH_BACKOFF_MAX = (
    300.0  # s before the next try of a batch job, at most; the first is after a time step
)
START_PAUSES = (
    0.1,
    0.2,
    0.5,
    1.0,
)  # s after what the filesystem did not let happen when the manager began
FAULT_MOST_S = 3600.0  # how long that is tried
BUSY = 0.02  # s between two looks at what is being cancelled
SIGNALLED_MOST_S = 5.0  # the same when the manager was told to end
STEP = 'a step of the manager'
START = 10.0  # s for a manager in the background to say that it is there, or that it ends
END_WAIT = 30.0  # s for workers to end when the manager does
SILENT_MOST = 60.0  # s for a batch system to say what became of a worker that shows no sign of life
CANCEL_WAIT = 20.0  # s for a batch system to be told that jobs are cancelled, when the manager ends
AGAIN_AFTER = 60.0  # s before a job that somebody cancelled before it began is submitted again


class Pool:
    """The workers of one task manager.

    Parameters
    ----------
    mid : str
        Its identity.
    spec : dict
        Its ``mgr`` event: environment, scheduler, provider.
    """

    def __init__(self, mid: str, spec: Event) -> None:
        self.mid = mid
        self.environ = Environment(spec['environ'])
        self._spec = spec['scheduler']
        self.scheduler = Scheduler(self._spec)
        self.limit: int | None = None
        self.provider = Provider(spec['provider'])
        self.jobs: dict[str, Job] = {}
        self.launched: dict[str, float] = {}
        self.refused = Backoff(*BACKOFF)
        """Of launching."""
        self.idle = Backoff(*BACKOFF)
        """Of jobs that ended without having taken a task."""
        self.withdrawn: set[str] = set()
        self.past: set[str] = set()
        """Workers of earlier runs of jobs that began again."""
        self.worked = False
        """Whether a worker of it ever began."""
        self.unnoted: dict[str, Job] = {}
        self.explained: list[str] = []
        """Facts the journal has yet to be told: jobs, and submissions of which it is known what
        became of them.
        """

    def set_timestep(self, timestep: float) -> None:
        """Follow the pace of the manager."""
        self.provider.timestep = timestep
        if self.provider.batch:
            self.refused = Backoff(max(BACKOFF[0], timestep), BATCH_BACKOFF_MAX)
            self.idle = Backoff(max(BACKOFF[0], timestep), BATCH_BACKOFF_MAX)

    def resize(self, most: int | None, limit: int | None) -> None:
        """Follow what someone said of the number of tasks at once, and the manager's own limit."""
        scheduler = Scheduler(self._spec)
        if most is not None and 'max_workers' in scheduler.defaults:
            scheduler = scheduler.updated(max_workers=most)
        self.scheduler, self.limit = scheduler, most if most is not None else limit

    def wanted(self, pending: int, running: int) -> int:
        """Return the number of slots wanted for these numbers of pending and running tasks."""
        wanted = self.scheduler.wanted(pending, running)
        return wanted if self.limit is None else min(wanted, self.limit)

    def missing(self, pending: int, running: int, have: int) -> int:
        """Return the number of slots to start, given how many there are."""
        if not pending:
            return 0
        wanted = self.wanted(pending, running)
        if wanted > have and self.provider.spare_slots_are_free:
            wanted = self.wanted(sys.maxsize, running)
        return max(0, wanted - have)

    def allowed(self, missing: int, running: int, outstanding: int, now: float) -> int:
        """Return how many of the missing slots may be started now.

        Parameters
        ----------
        missing : int
            Slots to start, if nothing speaks against it.
        running : int
            Tasks that run.
        outstanding : int
            Slots of all jobs that may be there, those that are being cancelled too.
        now : float
            On the monotonic clock.
        """
        if now < max(self.refused.due, self.idle.due):
            return 0
        if not self.provider.batch:
            return missing
        # Whatever the batch system says: there are never more than the scheduler may ever want.
        missing = min(
            missing, self.wanted(sys.maxsize, running) - outstanding - self.provider.unexplained
        )
        if not (self.provider.proven or self.worked):
            missing = 0 if outstanding else min(missing, 1)
        if self.idle.failures and any(
            launched > self.idle.failed_at
            for jobid, launched in self.launched.items()
            if jobid in self.jobs
        ):
            return 0  # one that tries is on its way
        return max(0, min(missing, 1) if self.idle.failures or self.refused.failures else missing)


class Message(NamedTuple):
    """A message of the manager to people."""

    text: str
    mid: str = ''
    """Of which task manager; empty: of all."""
    final: bool = False
    """Whether its tasks wait until someone does something about it."""


def _foremost(messages: Sequence[Message], mid: str | None = None) -> Message:
    """Return what needs someone, else the newest, of one task manager or of all."""
    own = [message for message in messages if mid in (None, message.mid)]
    last = own[-1] if own else Message('', mid or '')
    return next((message for message in reversed(own) if message.final), last)


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
        self.queue = queue
        self.ledger: Ledger = queue.ledger
        self.name = 'manager-' + writer_name()
        self.timestep = timestep
        self.mode = check_mode(mode)
        self.max_workers = max_workers
        self.linger = linger
        self.pools: dict[str, Pool] = {}
        self.lease = float(self.ledger.journal.header.get('lease', LEASE))
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._observer = Observer(self.ledger.folder, self.lease)
        self._signals: list[int] = []
        self._bad: dict[str, str] = {}
        self._unsuccessful = 0
        self._first = True
        self._next_poll = 0.0
        self._silent: dict[str, float] = {}
        self._ended: tuple[str, int, Counter[str]] = ('', 0, Counter())
        self._lease: Lease | None = None
        self._polite = False
        self._identity = str(self.ledger.journal.header['id'])
        self._reviewed: set[str] = set()
        self._to_review: set[str] = set()
        self._seen_workers = 0
        self._messages: dict[tuple[str, str], Message] = {}
        self._published: dict[str, str] = {}  # by task manager
        self._faults = QueueFaults(self.ledger)
        self._renew = False
        self._next_beat = self._next_look = 0.0
        self._quiet_since: float | None = None

    # One manager a queue

    def _begin(self) -> None:
        ledger = self.ledger
        ledger.follow()
        other = ledger.state.manager
        if other is not None:
            self._wait_for_sign(other)
        here = machine()
        # If there was one before, there may be jobs of which nobody knows: it may have died right
        # after it submitted them.
        self._first = not ledger.state.last_manager

        def decide() -> list[JournalEvent]:
            now = ledger.state.manager
            if now is not None and now['w'] == self.name:
                return []  # it was written, and then something failed
            if now is not None and (other is None or now['w'] != other['w']):
                raise self._running(now)
            end: list[JournalEvent] = (
                [manager_end_event(now['w'], 'vanished', time.time())] if now is not None else []
            )
            if self.max_workers is not None and ledger.state.resized:
                end.append(resize_event('', None, time.time()))  # what was said last counts
            return [
                *end,
                manager_begin_event(self.name, here['host'], here['pid'], time.time()),
            ]

        ledger.journal.write(decide)

    def _begin_again(self) -> None:
        # The line in which it began is not there: damaged, or an older journal was put in its
        # place, which knows less of the jobs too.
        logger.warning(
            'the journal of %s does not know this manager: it says again that it is there',
            self.ledger.folder,
        )
        self._begin()
        for pool in self.pools.values():
            if pool.provider.batch and pool.jobs:
                self.ledger.note_jobs(pool.mid, [_row(job) for job in pool.jobs.values()])

    def _wait_for_sign(self, other: Event) -> None:
        # Of this machine it is known at once; of another one only its beats tell.
        record = read_lease(self.ledger.folder, other['w'])
        if record is None or (known := gone(record)):
            return
        if known is False:
            raise self._running(other)
        logger.info(
            'a manager was started on %s (process %d): waiting up to %g s for a sign of life',
            other['host'],
            other['pid'],
            self.lease,
        )
        beat = record.get('beat')
        watcher = self.ledger.watcher()
        while not self._observer.dead(other['w'], time.monotonic()):
            now = read_lease(self.ledger.folder, other['w'])
            if now is not None and now.get('beat') != beat:
                raise self._running(other)
            watcher.wait(0.5)

    def _running(self, other: Event) -> ManagerRunningError:
        return ManagerRunningError(
            f'a manager works on this queue already: process {other["pid"]:d} on {other["host"]}, '
            f'since {time.ctime(other["t"])}. It sees new tasks by itself. '
            f'To end it and its workers: desipipe kill -q {quote(self.ledger.folder)}'
        )

    def wait_for_other(self, deadline: float | None) -> bool:
        """Wait for another manager.

        Parameters
        ----------
        deadline : float or None
            By the monotonic clock.

        Returns
        -------
        ended : bool
            True once it has ended, or died; False if nothing is left to do before, the queue is
            gone, or the time is over.
        """
        watcher = self.ledger.watcher()
        while deadline is None or time.monotonic() < deadline:
            try:
                watcher.seen(self.ledger.follow())
            except QueueGoneError:
                return False
            if not self._left():
                return False
            other = self.ledger.state.manager
            record = None if other is None else read_lease(self.ledger.folder, other['w'])
            if record is None or gone(record):
                return True
            if other is not None and self._observer.dead(other['w'], time.monotonic()):
                return True
            watcher.wait(0.5)
        return False

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
        logger.info('managing %s', ledger.folder)
        try:
            why = self._manage(lease, watcher)
        except QueueGoneError as exc:
            why = 'the queue is gone'
            logger.info('%s', exc)
            self._cancel_all(running=not self._polite)
            self._finish_cancelling(CANCEL_WAIT)
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
            _close(lease)
        logger.info('manager of %s ends: %s', ledger.folder, why)

    def _manage(self, lease: Lease, watcher: Watcher) -> str:
        """Go on until there is a reason to end, which is returned; one step that fails is only
        that.
        """
        while True:
            try:
                why = self._step(lease, watcher)
                if why is None:
                    self._faults.passed(STEP)
                    lease.trouble = ''
                    continue
                if why != DONE:
                    self._write_end(why)
                self._clear_up(why)
                return why
            except (OSError, DesipipeError) as exc:
                self._failed(exc)
                lease.trouble = self._faults.text
                self._renew = True

    def _step(self, lease: Lease, watcher: Watcher) -> str | None:
        """Look at everything once, then wait; the reason to end, if there is one."""
        ledger, now = self.ledger, time.monotonic()
        if self._renew:
            lease.renew()
            self._renew = False
        if now >= self._next_beat:
            lease.beat()
            self._next_beat = now + self.lease / 3
        watcher.seen(ledger.follow())
        if (
            ledger.journal.header['id'] != self._identity
        ):  # cleared, and its manager was not carried over
            raise QueueLostError(
                f'the queue in {ledger.folder} was cleared: this manager belonged to what it held, '
                'and ends'
            )
        if (order := self._ordered(now)) is not None:
            return order
        self._adopt_all()
        if now >= self._next_poll:
            self._next_poll = now + self._poll(now)
        if now >= self._next_look:
            self._next_look = now + min(1.0, self.lease / 3)
            self._end_lost_workers()
        self._scale(now)
        self._quiet_since = None if self._left() else self._quiet_since or now
        if (
            self._quiet_since is not None
            and now - self._quiet_since >= self.linger
            and self._is_cleared_up(now)
            and self._end_if_nothing_left()
        ):
            return DONE
        until = [self._next_beat, self._next_poll, self._next_look, *self._tries()]
        if self._quiet_since is not None:
            until.append(self._quiet_since + self.linger)
        if self._deadline is not None:
            until.append(self._deadline)
        watcher.wait(
            max(0.001 if self._quiet_since is None else BUSY, min(until) - time.monotonic())
        )
        return None

    def _tries(self) -> list[float]:
        # When something that failed is tried again.
        now = time.monotonic()
        return [
            due
            for pool in self.pools.values()
            for due in (pool.refused.due, pool.idle.due)
            if due > now
        ]

    # Faults

    def _failed(self, exc: OSError | DesipipeError) -> None:
        """Wait after a step that did not succeed; raise if no later try can, or none has for
        long.
        """
        self._faults.failed(STEP, exc)
        now = time.monotonic()
        if now - self._faults.since > FAULT_MOST_S:
            raise exc
        deadline = self._faults.next_try(now)
        while (left := deadline - time.monotonic()) > 0 and not self._signals:
            time.sleep(
                min(left, 0.1)
            )  # nothing of the queue can be waited on while it can't be read
        if self._signals and now - self._faults.since > SIGNALLED_MOST_S:
            self._cancel_all()  # the queue can't be told, what was submitted can
            self._finish_cancelling(CANCEL_WAIT)
            raise exc

    def _try(self, step: Callable[[], T]) -> T:
        """Do what comes before the loop; a fault of the filesystem that passes does not keep the
        manager from beginning.
        """
        for pause in START_PAUSES:
            try:
                return step()
            except (OSError, DesipipeError) as exc:
                if isinstance(exc, ManagerRunningError) or self._faults.is_final(exc):
                    raise
                logger.warning('%s. Trying again', exc)
                time.sleep(pause)
        return step()

    def _ordered(self, now: float) -> str | None:
        state = self.ledger.state
        if state.manager is None and self.name not in state.manager_names:
            self._begin_again()
        if state.manager is None or state.manager['w'] != self.name:
            return TAKEN_OVER
        if state.manager.get('stop'):
            self._polite = state.manager['stop'] == StopLevel.POLITELY
            if self._lease is not None:
                self._lease.confirm(state.manager['stop'])
            return 'killed by desipipe kill'
        if self._signals:
            return f'told to end ({signal.Signals(self._signals[0]).name})'
        if self._deadline is not None and now >= self._deadline:
            return 'its time is over'
        if (
            'stop_at_error' in self.mode
            and state.total(FAILED, KILLED, UNKNOWN) > self._unsuccessful
        ):
            return 'a task did not succeed, and the mode is stop_at_error'
        self._unsuccessful = min(self._unsuccessful, state.total(FAILED, KILLED, UNKNOWN))
        return None

    def _left(self) -> bool:
        state = self.ledger.state
        if any(state.occupied(mid) for mid in list(state.counts)):
            return True
        if state.paused:
            return False
        if self.ledger.is_group_queue:
            return any(
                map(self.ledger.pending, list(state.counts))
            )  # what waits for tasks that others run is theirs to wait for
        return bool(state.total(PENDING)) or state.total(WAITING) > len(self.ledger.blocked())

    def _end_if_nothing_left(self) -> bool:
        ended = False

        def decide() -> list[JournalEvent]:
            # Under the lock: a task that was added before is seen here, one that comes after finds
            # that the manager has ended.
            nonlocal ended
            ended = not self._left()
            return self._end_events('nothing left to do') if ended else []

        self.ledger.journal.write(decide)
        return ended

    def _end_events(self, why: str) -> list[JournalEvent]:
        state = self.ledger.state
        now = time.time()
        mine = [
            worker.name
            for worker in state.alive.values()
            if any(worker.job in pool.jobs for pool in self.pools.values())
        ]
        stop = [stop_event(mine, StopLevel.POLITELY, False, now)] if mine else []
        return [
            *stop,
            *self._open_events(now),
            manager_end_event(self.name, why, now),
        ]

    def _open_events(self, now: float) -> list[JournalEvent]:
        # What is under way is written down for the next manager, or for `desipipe kill`, before
        # this one has ended.
        events: list[JournalEvent] = []
        for pool in self.pools.values():
            jobs = [_row(job) for job in pool.unnoted.values() if job.jobid not in pool.withdrawn]
            jobs += [
                _row(pool.jobs[jobid], 'withdrawn')
                for jobid in pool.withdrawn
                if jobid in pool.jobs
            ]
            if jobs or pool.explained:
                events.append(job_event(pool.mid, jobs, pool.explained, now))
        return events

    def _write_end(self, why: str) -> None:
        """Note that the manager ends because it has to, and with it which jobs nobody needs any
        more.
        """
        state = self.ledger.state
        if state.manager is None or state.manager['w'] != self.name:
            return
        self._adopt_all()
        everything = bool(self._signals or state.manager.get('stop')) or self._is_late()
        busy = {worker.job for worker in state.alive.values()}
        for pool in self.pools.values():
            if pool.provider.batch:
                pool.withdrawn |= {
                    job.jobid
                    for job in pool.jobs.values()
                    if (job.state == 'pending' or everything) and job.jobid not in busy
                }
        self.ledger.journal.write(lambda: self._end_events(why))

    def _is_late(self) -> bool:
        return self._deadline is not None and time.monotonic() >= self._deadline

    def _clear_up(self, why: str) -> None:
        """Cancel what nobody needs, and wait for the workers, when it is noted that the manager
        has ended.
        """
        if why == TAKEN_OVER:
            return
        if why != DONE and (self._signals or self._is_late()):
            self._cancel_all()
        for pool in self.pools.values():
            for jobid in pool.withdrawn & pool.jobs.keys():
                pool.provider.cancel(pool.jobs[jobid])
        self._finish_cancelling(CANCEL_WAIT)
        try:
            self._forget_withdrawn()
            self._withdraw_unclear()
            self._wait_for_workers()
        except QueueGoneError:
            raise
        except (OSError, DesipipeError) as exc:
            logger.warning('%s. What the next manager has to do is in the journal', exc)

    def _wait_for_workers(self) -> None:
        ledger = self.ledger
        deadline = time.monotonic() + END_WAIT
        watcher = ledger.watcher()
        while time.monotonic() < deadline and self._busy():
            self._poll(time.monotonic())
            ledger.follow()
            watcher.wait(0.05)
        ledger.follow()
        self._end_lost_workers()

    def _finish_cancelling(self, seconds: float) -> bool:
        """Wait until the batch systems have been told of all that is to be cancelled."""
        deadline = time.monotonic() + seconds
        while not all(pool.provider.cancelled for pool in self.pools.values()):
            if time.monotonic() > deadline:
                logger.error(
                    'the batch system could not be told to cancel all jobs. Cancel what is left: '
                    'desipipe kill -q %s',
                    quote(self.ledger.folder),
                )
                return False
            for pool in self.pools.values():
                pool.provider.poll()
            time.sleep(BUSY)
        return True

    def _forget_withdrawn(self) -> None:
        for pool in self.pools.values():
            if pool.provider.cancelled and (
                jobs := [
                    _row(pool.jobs[jobid], 'ended')
                    for jobid in pool.withdrawn
                    if jobid in pool.jobs
                ]
            ):
                if self.ledger.journal.header['id'] == self._identity:
                    self.ledger.note_jobs(pool.mid, jobs)
                for jobid in list(pool.withdrawn):
                    pool.jobs.pop(jobid, None)

    def _withdraw_unclear(self) -> None:
        # Of these nobody knows whether the batch system took them: by their name it can be told to
        # forget them.
        for mid, names in self._unclear().items():
            pool = self.pools[mid]
            try:
                pool.provider.withdraw(self._jobs_name(mid), [], names)
            except DesipipeError as exc:
                logger.error('%s', exc)
            else:
                self.ledger.note_jobs(mid, [], names)

    def _unclear(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name, submission in self.ledger.state.submissions.items():
            if submission['mid'] in self.pools:
                found.setdefault(submission['mid'], []).append(name)
        return found

    def _is_cleared_up(self, now: float) -> bool:
        """Withdraw jobs that nobody needs, when nothing is left; return True once the batch
        system knows.
        """
        for pool in self.pools.values():
            for job in list(pool.jobs.values()):
                if (
                    pool.provider.batch
                    and job.state == 'pending'
                    and job.jobid not in pool.withdrawn
                ):
                    self._withdraw(pool, job)
        waited = now - (self._quiet_since or now)
        if all(pool.provider.cancelled for pool in self.pools.values()):
            self._forget_withdrawn()
            if not self._unclear():
                return True
            if waited >= self.linger + CANCEL_WAIT or all(
                pool.provider.settled for pool in self.pools.values()
            ):
                self._withdraw_unclear()
                return True
        self._next_poll = min(self._next_poll, now + BUSY)
        return waited >= self.linger + CANCEL_WAIT

    def _busy(self) -> bool:
        # Whether there is a worker of ours. Those of a batch system say themselves when they end;
        # that of their jobs, it may tell much later.
        jobs = {jobid: pool.provider.batch for pool in self.pools.values() for jobid in pool.jobs}
        return any(not batch for batch in jobs.values()) or any(
            worker.job in jobs for worker in self.ledger.state.alive.values()
        )

    def _cancel_all(self, running: bool = True) -> None:
        for pool in self.pools.values():
            for job in pool.jobs.values():
                if running or job.state == 'pending':
                    pool.provider.cancel(job)

    # Workers

    def _end_lost_workers(self) -> None:
        for name in self.ledger.end_lost_workers(self._observer, leave=self._leave):
            self._silent.pop(name, None)
            logger.warning(
                'worker %s vanished; what it ran is UNKNOWN, or runs again as its retries say', name
            )

    def _leave(self, name: str) -> bool:
        # It shows no sign of life. What became of its job is better known to the batch system,
        # which is given time to say it; as long as that does not answer at all, nothing is decided.
        job = self.ledger.state.alive[name].job
        pool = next(
            (pool for pool in self.pools.values() if pool.provider.batch and job in pool.jobs), None
        )
        if pool is None:
            return False
        pool.provider.hurry()
        now = time.monotonic()
        return bool(pool.provider.trouble) or now - self._silent.setdefault(name, now) < SILENT_MOST

    def _poll(self, now: float) -> float:
        step = self.timestep
        for pool in self.pools.values():
            for job in pool.provider.poll():
                old = pool.jobs.get(job.jobid)
                if (
                    pool.provider.batch
                    and _seen(job) != (old and _seen(old))
                    and not (job.jobid in pool.withdrawn and job.state == 'pending')
                ):
                    pool.unnoted[job.jobid] = job
                if job.state != 'ended':
                    if (
                        job.state == 'pending'
                        and job.fate
                        and (old is None or old.state != 'pending')
                    ):
                        self._end_workers_of(pool, job, 'it was put back into the queue')
                        pool.past |= {
                            worker.name
                            for worker in self.ledger.state.workers.values()
                            if worker.job == job.jobid
                        }
                    pool.jobs[job.jobid] = job
                    continue
                self._job_ended(pool, job, now)
                pool.jobs.pop(job.jobid, None)
            self._note(pool)
            self._tell_of_waiting(pool)
            step = min(step, pool.provider.pause)
        return step

    def _note(self, pool: Pool) -> None:
        """Write down what is new of jobs; what can't be written is kept for the next time."""
        pool.explained += pool.provider.take_explained()
        if pool.unnoted or pool.explained:
            self.ledger.note_jobs(
                pool.mid, [_row(job) for job in pool.unnoted.values()], pool.explained
            )
            pool.unnoted, pool.explained = {}, []

    def _tell_of_waiting(self, pool: Pool) -> None:
        trouble = pool.provider.trouble
        if trouble:
            self._say(
                ('trouble', pool.mid),
                f'the batch system does not answer: {trouble}. Jobs that run go on, nothing is '
                'lost; waiting',
            )
        elif self._unsay('trouble', pool.mid):
            logger.info('the batch system answers again')
        hopeless = next(
            (
                (job, text)
                for job in pool.jobs.values()
                if job.state == 'pending' and (text := pool.provider.hopeless(job))
            ),
            None,
        )
        if hopeless is not None:
            job, text = hopeless
            self._say(
                ('hopeless', pool.mid),
                f'job {job.jobid} waits for ever ({job.reason}): {text}',
                pool.mid,
            )
        else:
            self._unsay('hopeless', pool.mid)

    def _job_ended(self, pool: Pool, job: Job, now: float) -> None:
        if not pool.provider.batch:
            self._end_lost_workers()
        self._review_workers(now)
        launched = pool.launched.pop(job.jobid, None)
        state = self.ledger.state
        withdrawn = job.jobid in pool.withdrawn
        if not pool.provider.batch:
            failed = bool(job.exitcode) and launched is not None and now - launched < EARLY
        else:
            logger.info('job %s ended: %s', job.jobid, job.reason)
            began = any(worker.job == job.jobid for worker in state.workers.values())
            if began:
                self._end_workers_of(pool, job, job.reason)
            if job.fate == 'cancelled' and not began and not withdrawn:
                pool.idle.wait(now, AGAIN_AFTER)
                self._say(
                    ('cancelled', pool.mid),
                    f'job {job.jobid} was cancelled before it began: tasks that wait get another '
                    f'one in {AGAIN_AFTER:g} s. To stop that: desipipe pause',
                )
            pool.withdrawn.discard(job.jobid)
            failed = (
                not began and not withdrawn and job.fate in ('completed', 'failed', 'launch', 'oom')
            )
        if failed:
            self._died(pool, job.jobid, job.reason, now, launched)

    def _died(
        self, pool: Pool, jobid: str, reason: str, now: float, launched: float | None
    ) -> None:
        if launched is None:  # by a manager before
            launched = now if now >= pool.idle.due else -math.inf
        pause = pool.idle.fail(now, launched)
        if pause is not None:
            log = self._log_name(pool)
            words = last_words(self.ledger.folder, log, pool.provider, jobid)
            self._say(
                ('died', pool.mid),
                f'a worker of task manager {pool.mid} died at once ({reason}): trying again in '
                f'{pause:g} s. Its last words: {words}',
                pool.mid,
            )

    def _review_workers(self, now: float) -> None:
        """Look at which workers ended without having taken a task, though there were some, and
        which took one.
        """
        workers = self.ledger.state.workers
        if len(workers) != self._seen_workers:
            self._to_review |= (
                set(
                    islice(
                        workers,
                        self._seen_workers if self._seen_workers < len(workers) else 0,
                        None,
                    )
                )
                - self._reviewed
            )
            self._seen_workers = len(workers)
        if not self._to_review:
            return
        pools = {jobid: pool for pool in self.pools.values() for jobid in pool.jobs}
        for name in list(self._to_review):
            worker = workers.get(name)
            pool = None if worker is None else pools.get(worker.job)
            if worker is None or pool is None:
                if worker is None or worker.ended is not None:
                    self._to_review.discard(name)
                continue
            pool.worked = True
            launched = pool.launched.get(worker.job, now)
            if worker.began or worker.rows:
                self._to_review.discard(name)
                self._reviewed.add(name)
                if pool.idle.failures and launched > pool.idle.failed_at:
                    pool.idle.reset()
                    self._unsay('died', pool.mid)
            elif worker.ended is not None:
                self._to_review.discard(name)
                self._reviewed.add(name)
                own = worker.stop is not None or worker.kind or worker.job in pool.withdrawn
                if not own and self.ledger.pending(pool.mid) and not self.ledger.state.paused:
                    self._died(pool, worker.job, f'it took no task: {worker.ended}', now, launched)

    def _end_workers_of(self, pool: Pool, job: Job, why: str) -> None:
        """End the workers of a job that has ended, as the batch system says, and what they ran."""
        state = self.ledger.state
        self.ledger.follow()
        names = [worker.name for worker in state.alive.values() if worker.job == job.jobid]
        if not names or not job.fate:
            return  # they ended well, or nobody knows more than their leases tell
        text = job.reason or why
        if job.state == 'pending':
            text = f'its job was put back into the queue (Slurm: {job.reason})'

        def cause(row: int) -> tuple[int, Event]:
            worker = state.running.get(row)
            words: Event = {'kind': job.fate, 'text': text, 'kinds': [job.fate], 'errno': -1}
            if job.fate in FREE or job.jobid in pool.withdrawn:
                words['free'] = True
            elif job.fate == 'walltime':
                first = worker is not None and state.started[row] - worker.time < 0.1 * (
                    time.time() - worker.time
                )
                words |= pool.provider.after_walltime(first, 'retry_at_timeout' in self.mode)
            elif job.fate == 'cancelled':
                words['final'] = True
            return (KILLED if job.fate in ('walltime', 'oom', 'cancelled') else UNKNOWN), words

        self.ledger.end_workers(names, why, cause)
        logger.warning('job %s: %s. Its workers %s are gone', job.jobid, text, ', '.join(names))

    def _say(self, key: tuple[str, str], text: str, mid: str = '', final: bool = False) -> None:
        """Tell people something.

        Parameters
        ----------
        key : (str, str)
            What it is about: the same again takes its place.
        text : str
        mid : str, default=''
            Of one task manager.
        final : bool, default=False
            Whether its tasks wait until someone does something about it.
        """
        if self._messages.get(key) == (text, mid, final):
            return
        logger.error('%s', text)
        self._messages.pop(key, None)
        self._messages[key] = Message(text, mid, final)
        self._publish()

    def _unsay(self, *key: str) -> bool:
        said = self._messages.pop((key[0], key[1]), None) is not None
        if said:
            self._publish()
        return said

    def _publish(self) -> None:
        """Write what is to be said of each task manager, and last what is shown of the queue."""
        messages = list(self._messages.values())
        of_each = {mid: _foremost(messages, mid) for mid in {message.mid for message in messages}}
        changed = [
            of_each.get(mid, Message('', mid))
            for mid in sorted(of_each.keys() | self._published.keys())
            if of_each.get(mid, Message('')).text != self._published.get(mid, '')
        ]
        shown = _foremost(messages)
        if changed and changed[-1] != shown:
            changed = [*(message for message in changed if message != shown), shown]
        if changed:
            self._published = {mid: message.text for mid, message in of_each.items()}
            now = time.time()
            events = [
                manager_say_event(self.name, text, mid, final, now) for text, mid, final in changed
            ]
            self.ledger.journal.write(lambda: events)

    def _log(self, pool: Pool) -> str:
        return os.path.join(self.ledger.folder, self._log_name(pool))

    def _log_name(self, pool: Pool) -> str:
        return f'workers-{check_name(pool.mid)}.log'

    def _scale(self, now: float) -> None:
        state = self.ledger.state
        if state.paused:
            return
        self._review_workers(now)
        self._tell_untrusted()
        for mid in list(state.counts):
            pending = self.ledger.pending(mid)
            if mid in self._bad and not pending:
                del self._bad[mid]
                self._unsay(
                    'refused', mid
                )  # its tasks were cancelled, or added again with other options
            if mid in self._bad or not (pending or mid in self.pools):
                continue
            try:
                pool = self._pool(mid)
            except (DesipipeError, OSError) as exc:
                if isinstance(exc, QueueGoneError):
                    raise
                self._give_up(
                    mid, f'no worker can be started for task manager {mid}: {exc}'
                )  # of one task manager; the others go on
                continue
            if pool is not None and pool.provider.settled:
                self._scale_pool(pool, pending, now)

    def _scale_pool(self, pool: Pool, pending: int, now: float) -> None:
        pool.resize(self.ledger.state.most(pool.mid), self.max_workers)
        have, occupied = self._have(pool), self.ledger.state.occupied(pool.mid)
        missing = pool.missing(pending, occupied, have)
        if not missing:
            if have:
                self._shrink(pool, pending, occupied, have)
            return
        slots = pool.allowed(
            missing,
            occupied,
            have + sum(job.slots for jobid, job in pool.jobs.items() if _hidden(pool, jobid)),
            now,
        )
        if not slots:
            return
        try:
            self._launch(pool, slots, now)
        except LaunchError as exc:
            if exc.later:
                self._refused(pool, str(exc), now)
            else:
                self._give_up(pool.mid, str(exc))
        except QueueGoneError:
            raise
        except (DesipipeError, OSError) as exc:
            self._refused(pool, f'no worker can be started for task manager {pool.mid}: {exc}', now)
        else:
            pool.refused.reset()
            self._unsay('refused', pool.mid)
        self._note(pool)

    def _tell_untrusted(self) -> None:
        """Tell whose tasks of a group's queue stay pending."""
        held = self.ledger.held()
        for user in [
            user for kind, user in self._messages if kind == 'untrusted' and user not in held
        ]:
            self._unsay('untrusted', user)
        for user, n in held.items():
            self._say(('untrusted', user), held_text(user, n, username()))

    def _refused(self, pool: Pool, text: str, now: float) -> None:
        pool.refused.fail(now)
        self._say(('refused', pool.mid), text, pool.mid)

    def _give_up(self, mid: str, text: str) -> None:
        self._bad[mid] = text
        self._say(('refused', mid), text, mid, final=True)

    def _have(self, pool: Pool) -> int:
        """Slots that there are, or will be: of workers at work, and of jobs that have not begun."""
        state = self.ledger.state
        known = self.ledger.journal.header['gen'], len(state.workers) - len(state.alive)
        if self._ended[:2] != known:
            ended = Counter[str]()
            for worker in state.workers.values():
                if (
                    worker.ended is not None and worker.kind != 'requeued'
                ):  # else another one comes with the same job
                    ended[worker.job] += worker.slots
            self._ended = *known, ended
        gone = Counter[str]()
        have = 0
        for worker in state.alive.values():
            if worker.mid not in (None, pool.mid):
                continue
            if worker.stop is not None:
                gone[worker.job] += worker.slots
                have += len(worker.rows)  # what it still runs counts
            elif worker.job not in pool.jobs:
                have += worker.slots
        past = Counter[str]()
        for name in pool.past & state.workers.keys():
            if state.workers[name].kind != 'requeued':
                past[state.workers[name].job] += state.workers[name].slots
        for jobid, job in pool.jobs.items():
            # The batch system was asked up to a time step ago: a job that waited then may have run
            # its tasks and ended since, as its workers say. Else it would count as one too many,
            # and another one would be withdrawn, and submitted again, at each step.
            if job.state != 'pending' or jobid not in pool.withdrawn:
                have += max(0, job.slots - gone[jobid] - self._ended[2][jobid] + past[jobid])
        return have

    def _shrink(self, pool: Pool, pending: int, running: int, have: int) -> None:
        """Withdraw jobs that are no longer needed, the newest first; after a resize, let workers
        end too.
        """
        if not pool.provider.batch and self.ledger.state.most(pool.mid) is None:
            return
        # Who has nothing to do takes a task at once, and counts then, or ends, as after its last
        # one with `stop_after`: a job that was withdrawn for it would be submitted again right
        # afterwards.
        alive = [
            worker
            for worker in self.ledger.state.alive.values()
            if worker.stop is None and worker.mid in (None, pool.mid)
        ]
        surplus = (
            have
            - sum(max(0, worker.slots - len(worker.rows)) for worker in alive)
            - pool.wanted(pending, running)
        )
        begun = (
            {
                worker.job
                for worker in self.ledger.state.workers.values()
                if worker.name not in pool.past
            }
            if surplus > 0
            else set()
        )
        for job in reversed(list(pool.jobs.values())):
            if (
                0 < job.slots <= surplus
                and job.state == 'pending'
                and job.jobid not in pool.withdrawn | begun
            ):
                self._withdraw(pool, job)
                surplus -= job.slots
        over = have - pool.wanted(sys.maxsize, running)
        state = self.ledger.state
        names = []
        for worker in sorted(state.alive.values(), key=lambda worker: -worker.time):
            if over > 0 and worker.job in pool.jobs and worker.stop is None:
                names.append(worker.name)
                over -= worker.slots
        if names and over <= 0 and state.most(pool.mid) is not None:
            self.ledger.stop(lambda state: names, StopLevel.POLITELY, False)

    def _withdraw(self, pool: Pool, job: Job) -> None:
        logger.info('job %s is no longer needed', job.jobid)
        pool.withdrawn.add(job.jobid)
        # Noted first: it may begin just now, and its worker must know that nobody has cancelled
        # what it took.
        self.ledger.note_jobs(pool.mid, [_row(job, 'withdrawn')])
        pool.provider.cancel(job)

    def _adopt_all(self) -> None:
        # Also those of task managers that have nothing left to run: jobs of theirs may be left.
        state = self.ledger.state
        for mid in {job['mid'] for job in state.jobs.values()} | {
            submission['mid'] for submission in state.submissions.values()
        }:
            if mid not in self.pools and mid not in self._bad:
                try:
                    self._pool(mid)
                except QueueGoneError:
                    raise
                except (DesipipeError, OSError) as exc:
                    self._give_up(mid, f'no worker can be started for task manager {mid}: {exc}')

    def _jobs_name(self, mid: str) -> str:
        return jobs_name(self.queue.name, str(self.ledger.journal.header['id']), mid)

    def _pool(self, mid: str) -> Pool | None:
        pool = self.pools.get(mid)
        state = self.ledger.state
        spec = state.managers.get(mid)
        if pool is None and spec is not None:
            self.ledger.check_manager(mid)
            pool = Pool(mid, spec)
            pool.set_timestep(self.timestep)
            pool.provider.note_submission = lambda name, slots: self.ledger.note_submission(
                mid, name, slots
            )
            self._next_poll = 0.0
            own = {jobid: job for jobid, job in state.jobs.items() if job['mid'] == mid}
            jobs = [noted_job(jobid, job) for jobid, job in own.items()]
            pool.jobs = {job.jobid: job for job in jobs}
            pool.provider.adopt(
                self._jobs_name(mid),
                jobs,
                not self._first,
                {
                    name: each['slots']
                    for name, each in state.submissions.items()
                    if each['mid'] == mid
                },
            )
            for job in jobs:
                if (
                    own[job.jobid]['state'] == 'withdrawn'
                ):  # the manager before had begun to, and may have ended before Slurm knew
                    pool.withdrawn.add(job.jobid)
                    pool.provider.cancel(job)
            self.pools[mid] = pool
        return pool

    def _launch(self, pool: Pool, slots: int, now: float) -> None:
        python = 'python' if pool.environ.command else sys.executable
        argv = [
            python,
            '-m',
            'desipipe',
            'work',
            '-q',
            self.ledger.folder,
            '--mid',
            pool.mid,
            '--linger',
            str(self.linger),
        ]
        if self.mode:
            argv += ['--mode', ','.join(sorted(self.mode))]
        self._next_poll = 0.0
        for job in pool.provider.launch(argv, slots, pool.environ, self._log(pool), os.getcwd()):
            pool.jobs[job.jobid] = job
            pool.launched[job.jobid] = time.monotonic()
            if pool.provider.batch:
                pool.unnoted[job.jobid] = job
            logger.info(
                'started %s with %d slots for task manager %s', job.jobid, job.slots, pool.mid
            )


DONE = 'nothing left to do'
TAKEN_OVER = 'another manager took over'


def _row(job: Job, state: str = '') -> tuple[object, ...]:
    return (
        job.jobid,
        job.slots,
        state or job.state,
        job.reason,
        job.node,
        job.ends,
        *([job.cluster] if job.cluster else []),
    )


def _hidden(pool: Pool, jobid: str) -> bool:
    # Is being cancelled: it counts for none, but it may be there.
    return jobid in pool.withdrawn and pool.jobs[jobid].state == 'pending'


def _close(lease: Lease) -> None:
    try:
        lease.close()
    except OSError as exc:
        logger.warning(
            'the lease of this manager could not be taken away (%s): others see that the process '
            'is gone',
            exc,
        )


def _seen(job: Job) -> tuple[str, str, str, float | None]:
    return job.state, job.reason, job.node, job.ends


def spawn(
    queue: str | Queue | Sequence[str | Queue],
    timeout: float | None = None,
    timestep: float = TIMESTEP,
    mode: str | Iterable[str] = (),
    max_workers: int | None = None,
    spawn: bool = False,
    linger: float | None = None,
    **kwargs: Any,
) -> int | None:
    """Distribute the tasks of queues among workers until nothing is left to do.

    Where another manager works on a queue, it goes on, and this waits for it.

    Parameters
    ----------
    queue : str, Queue, list
        Names, patterns, or queues. Each of several is served by a process of its own.
    timeout : float, default=None
        Seconds after which to end, with the workers.
    timestep : float, default=10
        The longest wait between two looks at batch jobs, in seconds; tasks and local workers are
        seen at once.
    mode : str or iterable of str, default=()
        Of ``'stop_at_error'``, ``'retry_at_timeout'``, ``'no_stream'``, ``'no_out'``.
    max_workers : int, default=None
        The most tasks at once for each task manager, whatever its scheduler says.
    spawn : bool, default=False
        Whether to do it in a detached process, and to return at once.
    linger : float, default=None
        Seconds to stay when nothing is left: by default 0, and for a detached process what the
        configuration says.

    Returns
    -------
    pid : int or None
        Of the (last) detached process; None if the manager of the queue goes on.
    """
    queues: list[Queue] = get_queue(queue, create=False, one=False, **kwargs)
    modes = check_mode(mode)
    if len(queues) == 1 and not spawn:
        _serve(queues[0], timeout, timestep, modes, max_workers, linger or 0.0)
        return None
    started, served = [], []
    for found in queues:
        try:
            # In the foreground each ends with its queue, as a single one does.
            stay = linger if spawn else linger or 0.0
            started.append(_start(found, timeout, timestep, modes, max_workers, stay))
        except ManagerRunningError as exc:
            logger.warning('%s', exc)
            served.append(found)
    if not spawn:
        _wait_for(started)
        for found in served:
            _serve(found, timeout, timestep, modes, max_workers, linger or 0.0)
        return None
    return started[-1].pid if started else None


def _serve(queue: Queue, timeout: float | None, *options: Any) -> None:
    """Manage a queue. While another manager does, wait until nothing is left, or take its place
    when it has ended.

    Parameters
    ----------
    queue : Queue
    timeout : float or None
    *options
        Further ones of :class:`Manager`.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    told = False
    while True:
        left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
        manager = Manager(queue, left, *options)
        try:
            manager.run()
            return
        except ManagerRunningError as exc:
            if not told:
                logger.warning('%s. Waiting until nothing is left', exc)
            told = True
        if not manager.wait_for_other(deadline):
            return


def _wait_for(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Wait until managers have ended; what interrupts us, or ends us, ends them."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        for process in processes:
            process.wait()
    except BaseException:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()
        raise


def _start(
    queue: Queue,
    timeout: float | None,
    timestep: float,
    modes: Iterable[str],
    max_workers: int | None,
    linger: float | None,
) -> subprocess.Popen[bytes]:
    queue.ledger.check_use()
    manager = queue.ledger.state.manager
    if (
        manager is not None
        and (record := read_lease(queue.folder, manager['w'])) is not None
        and gone(record) is False
    ):
        raise Manager(queue)._running(manager)
    options: list[str] = ['--timestep', str(timestep)]
    for name, value in (
        ('timeout', timeout),
        ('max-workers', max_workers),
        ('linger', linger),
        ('mode', ','.join(sorted(modes)) or None),
    ):
        if value is not None:
            options += [f'--{name}', str(value)]
    return start_manager(queue.folder, *options)


def begin(
    queue: Queue,
    timeout: float | None = None,
    timestep: float = TIMESTEP,
    mode: str | Iterable[str] = (),
    max_workers: int | None = None,
    linger: float | None = None,
) -> tuple[int, str]:
    """Start a detached manager, and wait until it is there.

    Parameters
    ----------
    queue, timeout, timestep, mode, max_workers, linger
        As for :func:`spawn`.

    Returns
    -------
    pid, log : int, str
        The process, and the file it writes to.

    Raises
    ------
    ManagerRunningError
        Another manager works on this queue.
    QueueError
        It ended at once; the message has its last words.
    """
    ledger = queue.ledger
    ledger.follow()
    before = ledger.journal.offset
    process = _start(queue, timeout, timestep, check_mode(mode), max_workers, linger)

    def there() -> bool:
        # It announces itself under its own name; one that ended at once, for want of anything to
        # do, has written something too.
        manager = ledger.state.manager
        return process.poll() is not None or (
            manager is not None
            and manager.get('pid') == process.pid
            and ledger.journal.offset > before
        )

    ledger.wait(there, START, 0.05)
    log = os.path.join(queue.folder, 'manager.log')
    if process.returncode:
        data = read_file(queue.folder, 'manager.log', 2000, tail=True)
        words = data.decode(errors='replace').strip().splitlines()
        raise QueueError(
            f'the manager ended at once, with exit status {process.returncode:d}: '
            f'{words[-1] if words else "it said nothing"}. All it said is in {log}'
        )
    return process.pid, log
