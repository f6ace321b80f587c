"""The manager: one process a queue, which keeps enough workers where tasks are pending, and ends when nothing is left."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from typing import Any

from .environment import Environment
from .errors import DesipipeError, ManagerRunningError, QueueError, QueueGoneError
from .event import FAILED, KILLED, PENDING, RUNNING, UNKNOWN, WAITING, Event
from .ledger import Ledger
from .provenance import machine
from .provider import Provider
from .provider.base import Job
from .queue import Queue, get_queue, start_manager
from .scheduler import Scheduler
from .store.journal import writer_name
from .store.lease import LEASE, Lease, Observer, gone, read_lease
from .worker import check_mode

logger = logging.getLogger('desipipe')

TIMESTEP = 10.0  # s between two questions to a batch system, at least
LOCAL_STEP = 0.25  # s between two looks at local processes
EARLY = 5.0  # s: a worker that ends with an error before that "died at once"
BACKOFF = (0.5, 60.0)  # s before the next try, doubling
START = 10.0  # s for a manager in the background to say that it is there, or that it ends
END_WAIT = 30.0  # s for workers to end when the manager does


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
        self.scheduler = Scheduler(spec['scheduler'])
        self.provider = Provider(spec['provider'])
        self.jobs: dict[str, Job] = {}
        self.launched: dict[str, float] = {}
        self.failures = 0
        self.not_before = 0.0

    def missing(self, pending: int, running: int, have: int, most: int | None) -> int:
        """How many slots to start, given how many there are."""
        if not pending:
            return 0
        wanted = self.scheduler.wanted(pending, running)
        if wanted > have and self.provider.spare_slots_are_free:
            wanted = self.scheduler.wanted(sys.maxsize, running)
        if most is not None:
            wanted = min(wanted, most)
        return max(0, wanted - have)


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
        As for :func:`~desipipe.worker.work`.
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

    # One manager a queue

    def _begin(self) -> None:
        ledger = self.ledger
        ledger.follow()
        other = ledger.state.manager
        if other is not None:
            self._wait_for_sign(other)
        here = machine()

        def decide() -> list[Event]:
            now = ledger.state.manager
            if now is not None and (other is None or now['w'] != other['w']):
                raise self._running(now)
            end = [{'e': 'manager', 'do': 'end', 'w': now['w'], 'why': 'vanished', 't': time.time()}] if now is not None else []
            return [*end, {'e': 'manager', 'do': 'begin', 'w': self.name, 'host': here['host'], 'pid': here['pid'], 't': time.time()}]

        ledger.journal.write(decide)

    def _wait_for_sign(self, other: Event) -> None:
        # Of this machine it is known at once; of another one only its beats tell.
        record = read_lease(self.ledger.folder, other['w'])
        if record is None or (known := gone(record)):
            return
        if known is False:
            raise self._running(other)
        logger.info('a manager was started on %s (process %d): waiting up to %g s for a sign of life', other['host'], other['pid'], self.lease)
        beat = record.get('beat')
        watcher = self.ledger.watcher()
        while not self._observer.dead(other['w'], time.monotonic()):
            now = read_lease(self.ledger.folder, other['w'])
            if now is not None and now.get('beat') != beat:
                raise self._running(other)
            watcher.wait(0.5)

    def _running(self, other: Event) -> ManagerRunningError:
        return ManagerRunningError(
            f'a manager works on this queue already: process {other["pid"]:d} on {other["host"]}, since {time.ctime(other["t"])}. It sees new tasks by itself. '
            f'To end it and its workers: desipipe kill -q {self.ledger.folder}'
        )

    # The loop

    def run(self) -> None:
        """Manage until nothing is left.

        Raises
        ------
        ManagerRunningError
            Another one does already.
        """
        ledger = self.ledger
        identity = ledger.journal.header['id']
        lease = Lease(ledger.folder, self.name, ledger.journal.shared)
        try:
            self._begin()
        except BaseException:
            lease.close()
            raise
        handlers = {number: signal.signal(number, lambda number, _: self._signals.append(number)) for number in (signal.SIGTERM, signal.SIGINT)}
        handlers[signal.SIGHUP] = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the terminal may go
        self._unsuccessful = ledger.state.total(FAILED, KILLED, UNKNOWN)
        watcher = ledger.watcher()
        logger.info('managing %s', ledger.folder)
        why = 'nothing left to do'
        try:
            next_beat = next_look = next_poll = 0.0
            quiet_since: float | None = None
            while True:
                now = time.monotonic()
                if now >= next_beat:
                    lease.beat()
                    next_beat = now + self.lease / 3
                watcher.seen(ledger.follow())
                if ledger.journal.header['id'] != identity:
                    raise QueueGoneError(f'the queue in {ledger.folder} was cleared: this manager belonged to what it held, and ends')
                if (order := self._ordered(now)) is not None:
                    why = order
                    break
                if now >= next_poll:
                    next_poll = now + self._poll(now)
                if now >= next_look:
                    next_look = now + min(1.0, self.lease / 3)
                    self._judge()
                self._scale(now)
                left = self._left()
                quiet_since = None if left else quiet_since or now
                if quiet_since is not None and now - quiet_since >= self.linger and self._end_if_nothing_left():
                    break
                until = [next_beat, next_poll, next_look]
                if quiet_since is not None:
                    until.append(quiet_since + self.linger)
                if self._deadline is not None:
                    until.append(self._deadline)
                watcher.wait(max(0.001, min(until) - time.monotonic()))
            self._end(why)
        except QueueGoneError as exc:
            why = 'the queue is gone'
            logger.info('%s', exc)
            self._cancel_all()
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
            lease.close()
        logger.info('manager of %s ends: %s', ledger.folder, why)

    def _ordered(self, now: float) -> str | None:
        state = self.ledger.state
        if state.manager is None or state.manager['w'] != self.name:
            return 'another manager took over'
        if state.manager.get('stop'):
            return 'killed by desipipe kill'
        if self._signals:
            return f'told to end ({signal.Signals(self._signals[0]).name})'
        if self._deadline is not None and now >= self._deadline:
            return 'its time is over'
        if 'stop_at_error' in self.mode and state.total(FAILED, KILLED, UNKNOWN) > self._unsuccessful:
            return 'a task did not succeed, and the mode is stop_at_error'
        self._unsuccessful = min(self._unsuccessful, state.total(FAILED, KILLED, UNKNOWN))
        return None

    def _left(self) -> bool:
        state = self.ledger.state
        if state.total(RUNNING):
            return True
        if state.paused:
            return False
        return bool(state.total(PENDING)) or state.total(WAITING) > len(self.ledger.blocked())

    def _end_if_nothing_left(self) -> bool:
        ended = False

        def decide() -> list[Event]:
            # Under the lock: a task that was added before is seen here, one that comes after finds that the manager has ended.
            nonlocal ended
            ended = not self._left()
            return self._end_events('nothing left to do') if ended else []

        self.ledger.journal.write(decide)
        return ended

    def _end_events(self, why: str) -> list[Event]:
        state = self.ledger.state
        now = time.time()
        mine = [worker.name for worker in state.alive.values() if any(worker.job in pool.jobs for pool in self.pools.values())]
        stop = [{'e': 'stop', 'workers': mine, 'how': 'politely', 't': now}] if mine else []
        return [*stop, {'e': 'manager', 'do': 'end', 'w': self.name, 'why': why, 't': now}]

    def _end(self, why: str) -> None:
        ledger = self.ledger
        state = ledger.state
        if state.manager is not None and state.manager['w'] == self.name:
            ledger.journal.write(lambda: self._end_events(why))
        if why == 'another manager took over':
            return
        if why.startswith('told to end') or self._deadline is not None and time.monotonic() >= self._deadline:
            self._cancel_all()
        deadline = time.monotonic() + END_WAIT
        watcher = ledger.watcher()
        while time.monotonic() < deadline and any(pool.jobs for pool in self.pools.values()):
            self._poll(time.monotonic())
            watcher.wait(0.05)
        ledger.follow()
        self._judge()

    def _cancel_all(self) -> None:
        for pool in self.pools.values():
            for job in pool.jobs.values():
                pool.provider.cancel(job)

    # Workers

    def _judge(self) -> None:
        for name in self.ledger.judge(self._observer):
            logger.warning('worker %s vanished; what it ran is UNKNOWN, or runs again as its retries say', name)

    def _poll(self, now: float) -> float:
        step = self.timestep
        for pool in self.pools.values():
            if pool.provider.name == 'local':
                step = min(step, LOCAL_STEP)
            for job in pool.provider.poll():
                if job.state != 'ended':
                    pool.jobs[job.jobid] = job
                    continue
                pool.jobs.pop(job.jobid, None)
                ran = now - pool.launched.pop(job.jobid, now)
                self._judge()
                if job.exitcode and ran < EARLY:
                    pool.failures += 1
                    pause = min(BACKOFF[0] * 2 ** (pool.failures - 1), BACKOFF[1])
                    pool.not_before = now + pause
                    words = self._last_words(pool)
                    text = f'a worker of task manager {pool.mid} died at once ({job.reason}): trying again in {pause:g} s. Its last words: {words}'
                    logger.error('%s', text)
                    self.ledger.journal.write(lambda text=text: [{'e': 'manager', 'do': 'say', 'w': self.name, 'text': text, 't': time.time()}])  # type: ignore[misc]
                elif not job.exitcode:
                    pool.failures = 0
        return step

    def _log(self, pool: Pool) -> str:
        return os.path.join(self.ledger.folder, f'workers-{pool.mid}.log')

    def _last_words(self, pool: Pool) -> str:
        try:
            with open(self._log(pool), 'rb') as file:
                file.seek(max(0, os.path.getsize(file.name) - 2000))
                words = file.read().decode(errors='replace').strip()
        except FileNotFoundError:
            return 'none'
        return words.splitlines()[-1] if words else f'none (see {self._log(pool)})'

    def _scale(self, now: float) -> None:
        state = self.ledger.state
        if state.paused:
            return
        for mid, counts in state.counts.items():
            if not counts[PENDING] or mid in self._bad:
                continue
            try:
                pool = self._pool(mid)
                if pool is None or now < pool.not_before:
                    continue
                there = {worker.job for worker in state.alive.values()}
                have = sum(worker.slots for worker in state.alive.values() if worker.mid in (None, mid) and worker.stop is None)
                have += sum(job.slots for job in pool.jobs.values() if job.jobid not in there)
                missing = pool.missing(counts[PENDING], counts[RUNNING], have, self.max_workers)
                if missing:
                    self._launch(pool, missing, now)
            except (DesipipeError, OSError) as exc:
                # Of one task manager; the others go on.
                self._bad[mid] = str(exc)
                logger.error('no worker can be started for task manager %s: %s', mid, exc)
                self.ledger.journal.write(lambda text=str(exc): [{'e': 'manager', 'do': 'say', 'w': self.name, 'text': text, 't': time.time()}])  # type: ignore[misc]

    def _pool(self, mid: str) -> Pool | None:
        pool = self.pools.get(mid)
        spec = self.ledger.state.managers.get(mid)
        if pool is None and spec is not None:
            pool = self.pools[mid] = Pool(mid, spec)
        return pool

    def _launch(self, pool: Pool, slots: int, now: float) -> None:
        python = 'python' if pool.environ.command or pool.environ.commands else sys.executable
        argv = [python, '-m', 'desipipe', 'work', '-q', self.ledger.folder, '--mid', pool.mid, '--linger', str(self.linger)]
        if self.mode:
            argv += ['--mode', ','.join(sorted(self.mode))]
        for job in pool.provider.launch(argv, slots, pool.environ, self._log(pool), os.getcwd()):
            pool.jobs[job.jobid] = job
            pool.launched[job.jobid] = now
            logger.info('started %s with %d slots for task manager %s', job.jobid, job.slots, pool.mid)


def spawn(
    queue: str | Queue,
    timeout: float | None = None,
    timestep: float = TIMESTEP,
    mode: str | Iterable[str] = (),
    max_workers: int | None = None,
    spawn: bool = False,
    linger: float | None = None,
    **kwargs: Any,
) -> int | None:
    """Distribute the tasks of a queue among workers until nothing is left to do.

    Parameters
    ----------
    queue : str or Queue
    timeout : float, default=None
        Seconds after which to end, with the workers.
    timestep : float, default=10
        The longest wait between two looks at batch jobs, in seconds; tasks and local workers are seen at once.
    mode : str or iterable of str, default=()
        Of ``'stop_at_error'``, ``'retry_at_timeout'``, ``'no_stream'``, ``'no_out'``.
    max_workers : int, default=None
        The most tasks at once for each task manager, whatever its scheduler says.
    spawn : bool, default=False
        Whether to do it in a detached process, and to return at once.
    linger : float, default=None
        Seconds to stay when nothing is left: by default 0, and for a detached process what the configuration says.

    Returns
    -------
    pid : int or None
        Of the detached process.

    Raises
    ------
    ManagerRunningError
        Another manager works on this queue.
    """
    found = get_queue(queue, **kwargs)
    modes = check_mode(mode)
    if not spawn:
        Manager(found, timeout, timestep, modes, max_workers, linger or 0.0).run()
        return None
    return _start(found, timeout, timestep, modes, max_workers, linger).pid


def _start(
    queue: Queue, timeout: float | None, timestep: float, modes: Iterable[str], max_workers: int | None, linger: float | None
) -> subprocess.Popen[bytes]:
    manager = queue.ledger.state.manager
    if manager is not None and (record := read_lease(queue.folder, manager['w'])) is not None and gone(record) is False:
        raise Manager(queue)._running(manager)
    options: list[str] = ['--timestep', str(timestep)]
    for name, value in (('timeout', timeout), ('max-workers', max_workers), ('linger', linger), ('mode', ','.join(sorted(modes)) or None)):
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
        # It announces itself under its own name; one that ended at once, for want of anything to do, has written something too.
        manager = ledger.state.manager
        return process.poll() is not None or (manager is not None and manager['pid'] == process.pid and ledger.journal.offset > before)

    ledger.wait(there, START, 0.05)
    log = os.path.join(queue.folder, 'manager.log')
    if process.returncode:
        with open(log, 'rb') as file:
            words = file.read()[-2000:].decode(errors='replace').strip().splitlines()
        raise QueueError(
            f'the manager ended at once, with exit status {process.returncode:d}: {words[-1] if words else "it said nothing"}. All it said is in {log}'
        )
    return process.pid, log


def resize(queue: Queue, max_workers: int) -> tuple[int, str]:
    """Let at most so many tasks run at once from now on: another manager takes the place of the one that is there. What runs may end.

    Parameters
    ----------
    queue : Queue
    max_workers : int
        The most tasks at once for each task manager.

    Returns
    -------
    pid, log : int, str
        As for :func:`begin`.

    Raises
    ------
    ManagerRunningError
        The one that is there does not end: it may run on a machine that is gone.
    """
    ledger = queue.ledger
    ledger.judge(Observer(ledger.folder))
    ledger.stop(lambda state: [], 'politely', True)
    ledger.wait(lambda: ledger.state.manager is None, START)
    return begin(queue, max_workers=max_workers)
