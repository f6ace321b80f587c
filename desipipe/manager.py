"""The manager: one process a queue, which keeps enough workers where tasks are pending, and ends when nothing is left."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from shlex import quote
from typing import Any

from .environment import Environment
from .errors import DesipipeError, LaunchError, ManagerRunningError, QueueError, QueueGoneError
from .event import FAILED, KILLED, PENDING, UNKNOWN, WAITING, Event
from .ledger import Ledger
from .provenance import machine
from .provider import Provider
from .provider.base import FREE, Job
from .queue import Queue, get_queue, start_manager
from .scheduler import Scheduler
from .store.journal import writer_name
from .store.lease import LEASE, Lease, Observer, gone, read_lease
from .worker import check_mode

logger = logging.getLogger('desipipe')

TIMESTEP = 10.0  # s between two questions to a batch system, at least
EARLY = 5.0  # s: a worker that ends with an error before that "died at once"
BACKOFF = (0.5, 60.0)  # s before the next try, doubling
START = 10.0  # s for a manager in the background to say that it is there, or that it ends
END_WAIT = 30.0  # s for workers to end when the manager does
SILENT_MOST = 60.0  # s for a batch system to say what became of a worker that shows no sign of life
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
        self.said = self.trouble = ''
        self.environ = Environment(spec['environ'])
        self._spec = spec['scheduler']
        self.scheduler = Scheduler(self._spec)
        self.limit: int | None = None
        self.provider = Provider(spec['provider'])
        self.jobs: dict[str, Job] = {}
        self.launched: dict[str, float] = {}
        self.failures = 0
        self.not_before = 0.0
        self.withdrawn: set[str] = set()
        self.past: set[str] = set()
        """Workers of earlier runs of jobs that began again."""

    def resize(self, most: int | None, limit: int | None) -> None:
        """Follow what someone said of the number of tasks at once, and the manager's own limit."""
        scheduler = Scheduler(self._spec)
        if most is not None and 'max_workers' in scheduler.defaults:
            scheduler = scheduler.updated(max_workers=most)
        self.scheduler, self.limit = scheduler, most if most is not None else limit

    def wanted(self, pending: int, running: int) -> int:
        """How many slots to have, when so many tasks are pending and running."""
        wanted = self.scheduler.wanted(pending, running)
        return wanted if self.limit is None else min(wanted, self.limit)

    def missing(self, pending: int, running: int, have: int) -> int:
        """How many slots to start, given how many there are."""
        if not pending:
            return 0
        wanted = self.wanted(pending, running)
        if wanted > have and self.provider.spare_slots_are_free:
            wanted = self.wanted(sys.maxsize, running)
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
        self._first = True
        self._next_poll = 0.0
        self._silent: dict[str, float] = {}
        self._ended: tuple[int, Counter[str]] = (0, Counter())

    # One manager a queue

    def _begin(self) -> None:
        ledger = self.ledger
        ledger.follow()
        other = ledger.state.manager
        if other is not None:
            self._wait_for_sign(other)
        here = machine()
        # If there was one before, there may be jobs of which nobody knows: it may have died right after it submitted them.
        self._first = not ledger.state.last_manager

        def decide() -> list[Event]:
            now = ledger.state.manager
            if now is not None and (other is None or now['w'] != other['w']):
                raise self._running(now)
            end = [{'e': 'manager', 'do': 'end', 'w': now['w'], 'why': 'vanished', 't': time.time()}] if now is not None else []
            if self.max_workers is not None and ledger.state.resized:
                end.append({'e': 'resize', 'mid': '', 'max': None, 't': time.time()})  # what was said last counts
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
            f'To end it and its workers: desipipe kill -q {quote(self.ledger.folder)}'
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
            next_beat = next_look = 0.0
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
                if now >= self._next_poll:
                    self._next_poll = now + self._poll(now)
                if now >= next_look:
                    next_look = now + min(1.0, self.lease / 3)
                    self._judge()
                self._scale(now)
                left = self._left()
                quiet_since = None if left else quiet_since or now
                if quiet_since is not None and now - quiet_since >= self.linger and self._end_if_nothing_left():
                    break
                until = [next_beat, self._next_poll, next_look]
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
        if any(state.occupied(mid) for mid in list(state.counts)):
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
        for pool in self.pools.values():
            for job in [job for job in pool.jobs.values() if job.state == 'pending' and pool.provider.batch and job.jobid not in pool.withdrawn]:
                self._withdraw(pool, job)
                ledger.note_jobs(pool.mid, [(job.jobid, job.slots, 'ended', '', '', None)])
        deadline = time.monotonic() + END_WAIT
        watcher = ledger.watcher()
        while time.monotonic() < deadline and self._busy():
            self._poll(time.monotonic())
            ledger.follow()
            watcher.wait(0.05)
        ledger.follow()
        self._judge()

    def _busy(self) -> bool:
        # Whether there is a worker of ours. Those of a batch system say themselves when they end; that of their jobs, it may tell much later.
        jobs = {jobid: pool.provider.batch for pool in self.pools.values() for jobid in pool.jobs}
        return any(not batch for batch in jobs.values()) or any(worker.job in jobs for worker in self.ledger.state.alive.values())

    def _cancel_all(self) -> None:
        for pool in self.pools.values():
            for job in pool.jobs.values():
                pool.provider.cancel(job)

    # Workers

    def _judge(self) -> None:
        for name in self.ledger.judge(self._observer, leave=self._leave):
            self._silent.pop(name, None)
            logger.warning('worker %s vanished; what it ran is UNKNOWN, or runs again as its retries say', name)

    def _leave(self, name: str) -> bool:
        # It shows no sign of life. What became of its job is better known to the batch system, which is given time to say it; as long as that does
        # not answer at all, nothing is decided.
        job = self.ledger.state.alive[name].job
        pool = next((pool for pool in self.pools.values() if pool.provider.batch and job in pool.jobs), None)
        if pool is None:
            return False
        pool.provider.hurry()
        now = time.monotonic()
        return bool(pool.provider.trouble) or now - self._silent.setdefault(name, now) < SILENT_MOST

    def _poll(self, now: float) -> float:
        step = self.timestep
        for pool in self.pools.values():
            changed = []
            for job in pool.provider.poll():
                old = pool.jobs.get(job.jobid)
                if pool.provider.batch and _seen(job) != (old and _seen(old)) and not (job.jobid in pool.withdrawn and job.state == 'pending'):
                    changed.append(job)
                if job.state != 'ended':
                    if job.state == 'pending' and job.fate and (old is None or old.state != 'pending'):
                        self._settle(pool, job, 'it was put back into the queue')
                        pool.past |= {worker.name for worker in self.ledger.state.workers.values() if worker.job == job.jobid}
                    pool.jobs[job.jobid] = job
                    continue
                pool.jobs.pop(job.jobid, None)
                self._job_ended(pool, job, now)
            if changed:
                self.ledger.note_jobs(pool.mid, [(job.jobid, job.slots, *_seen(job)) for job in changed])
            if pool.provider.trouble != pool.trouble:
                pool.trouble = pool.provider.trouble
                words = f'the batch system does not answer: {pool.trouble}. Jobs that run go on, nothing is lost; waiting'
                self._say(words if pool.trouble else 'the batch system answers again')
            step = min(step, pool.provider.pause)
        return step

    def _job_ended(self, pool: Pool, job: Job, now: float) -> None:
        ran = now - pool.launched.pop(job.jobid, now)
        if not pool.provider.batch:
            self._judge()
            bad, good = bool(job.exitcode) and ran < EARLY, not job.exitcode
        else:
            logger.info('job %s ended: %s', job.jobid, job.reason)
            good = any(worker.job == job.jobid for worker in self.ledger.state.workers.values())
            if good:
                self._settle(pool, job, job.reason)
            if job.fate == 'cancelled' and not good and job.jobid not in pool.withdrawn:
                pool.not_before = now + AGAIN_AFTER
                self._say(f'job {job.jobid} was cancelled before it began: tasks that wait get another one in {AGAIN_AFTER:g} s. To stop that: desipipe pause')
            pool.withdrawn.discard(job.jobid)
            bad = not good and job.fate in ('completed', 'failed', 'launch', 'oom')
        if bad:
            pool.failures += 1
            pause = min(BACKOFF[0] * 2 ** (pool.failures - 1), BACKOFF[1])
            pool.not_before = now + pause
            words = self._last_words(pool)
            self._say(f'a worker of task manager {pool.mid} died at once ({job.reason}): trying again in {pause:g} s. Its last words: {words}', pool.mid)
        elif good:
            pool.failures = 0

    def _settle(self, pool: Pool, job: Job, why: str) -> None:
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
                first = worker is not None and state.started[row] - worker.time < 0.1 * (time.time() - worker.time)
                words |= pool.provider.after_walltime(first, 'retry_at_timeout' in self.mode)
            elif job.fate == 'cancelled':
                words['final'] = True
            return (KILLED if job.fate in ('walltime', 'oom', 'cancelled') else UNKNOWN), words

        self.ledger.bury(names, why, cause)
        logger.warning('job %s: %s. Its workers %s are gone', job.jobid, text, ', '.join(names))

    def _say(self, text: str, mid: str = '', final: bool = False) -> None:
        """Tell people something; ``mid``: of one task manager; ``final``: its tasks wait until someone does something about it."""
        logger.error('%s', text)
        self.ledger.journal.write(lambda: [{'e': 'manager', 'do': 'say', 'w': self.name, 'text': text, 'mid': mid, 'final': final, 't': time.time()}])

    def _unsay(self, text: str) -> None:
        manager = self.ledger.state.manager
        if manager is not None and manager.get('says') == text:
            self.ledger.journal.write(lambda: [{'e': 'manager', 'do': 'say', 'w': self.name, 'text': '', 't': time.time()}])

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
        for mid, counts in list(state.counts.items()):
            if mid in self._bad and not counts[PENDING]:
                self._unsay(self._bad.pop(mid))  # its tasks were cancelled, or added again with other options
            if mid in self._bad or not (counts[PENDING] or mid in self.pools or any(job['mid'] == mid for job in state.jobs.values())):
                continue
            pool: Pool | None = None
            try:
                pool = self._pool(mid)
                if pool is None or not pool.provider.settled:
                    continue
                pool.resize(state.most(mid), self.max_workers)
                have = self._have(pool)
                missing = pool.missing(counts[PENDING], state.occupied(mid), have)
                if missing and now >= pool.not_before:
                    self._launch(pool, missing, now)
                elif have:
                    self._shrink(pool, counts[PENDING], state.occupied(mid), have)
            except LaunchError as exc:
                if not exc.later or pool is None:
                    self._bad[mid] = str(exc)
                    self._say(str(exc), mid, final=True)
                    continue
                pool.failures += 1
                pool.not_before = now + min(self.timestep * 2 ** (pool.failures - 1), BACKOFF[1])
                if pool.said != str(exc):
                    pool.said = str(exc)
                    self._say(pool.said, mid)
            except (DesipipeError, OSError) as exc:
                # Of one task manager; the others go on.
                self._bad[mid] = f'no worker can be started for task manager {mid}: {exc}'
                self._say(self._bad[mid], mid, final=True)

    def _have(self, pool: Pool) -> int:
        """Slots that there are, or will be: of workers at work, and of jobs that have not begun."""
        state = self.ledger.state
        if self._ended[0] != len(state.workers) - len(state.alive):
            ended = Counter[str]()
            for worker in state.workers.values():
                if worker.ended is not None and worker.kind != 'requeued':  # else another one comes with the same job
                    ended[worker.job] += worker.slots
            self._ended = len(state.workers) - len(state.alive), ended
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
        for name in pool.past:
            if state.workers[name].kind != 'requeued':
                past[state.workers[name].job] += state.workers[name].slots
        for jobid, job in pool.jobs.items():
            # The batch system was asked up to a time step ago: a job that waited then may have run its tasks and ended since, as its workers say. Else it
            # would count as one too many, and another one would be withdrawn, and submitted again, at each step.
            if job.state != 'pending' or jobid not in pool.withdrawn:
                have += max(0, job.slots - gone[jobid] - self._ended[1][jobid] + past[jobid])
        return have

    def _shrink(self, pool: Pool, pending: int, running: int, have: int) -> None:
        """Withdraw jobs that are no longer needed, the newest first; after a resize, let workers end too."""
        if not pool.provider.batch and self.ledger.state.most(pool.mid) is None:
            return
        # Who has nothing to do takes a task at once, and counts then, or ends, as after its last one with `stop_after`: a job that was withdrawn for it would
        # be submitted again right afterwards.
        alive = [worker for worker in self.ledger.state.alive.values() if worker.stop is None and worker.mid in (None, pool.mid)]
        surplus = have - sum(max(0, worker.slots - len(worker.rows)) for worker in alive) - pool.wanted(pending, running)
        begun = {worker.job for worker in self.ledger.state.workers.values() if worker.name not in pool.past} if surplus > 0 else set()
        for job in reversed(list(pool.jobs.values())):
            if 0 < job.slots <= surplus and job.state == 'pending' and job.jobid not in pool.withdrawn | begun:
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
            self.ledger.stop(lambda state: names, 'politely', False)

    def _withdraw(self, pool: Pool, job: Job) -> None:
        logger.info('job %s is no longer needed', job.jobid)
        pool.withdrawn.add(job.jobid)
        # Noted first: it may begin just now, and its worker must know that nobody has cancelled what it took.
        self.ledger.note_jobs(pool.mid, [(job.jobid, job.slots, 'withdrawn', job.reason, '', None)])
        pool.provider.cancel(job)

    def _pool(self, mid: str) -> Pool | None:
        pool = self.pools.get(mid)
        state = self.ledger.state
        spec = state.managers.get(mid)
        if pool is None and spec is not None:
            pool = self.pools[mid] = Pool(mid, spec)
            pool.provider.timestep = self.timestep
            self._next_poll = 0.0
            jobs = [
                Job(jobid, job['slots'], 'running' if job['state'] == 'running' else 'pending', job['reason'], node=job['node'], ends=job['ends'])
                for jobid, job in state.jobs.items()
                if job['mid'] == mid
            ]
            pool.jobs = {job.jobid: job for job in jobs}
            pool.provider.adopt(f'{self.queue.name}-{self.ledger.journal.header["id"][:6]}-{mid[:8]}', jobs, not self._first)
        return pool

    def _launch(self, pool: Pool, slots: int, now: float) -> None:
        python = 'python' if pool.environ.command else sys.executable
        argv = [python, '-m', 'desipipe', 'work', '-q', self.ledger.folder, '--mid', pool.mid, '--linger', str(self.linger)]
        if self.mode:
            argv += ['--mode', ','.join(sorted(self.mode))]
        for job in pool.provider.launch(argv, slots, pool.environ, self._log(pool), os.getcwd()):
            pool.jobs[job.jobid] = job
            pool.launched[job.jobid] = now
            logger.info('started %s with %d slots for task manager %s', job.jobid, job.slots, pool.mid)
        if pool.provider.batch:
            self.ledger.note_jobs(pool.mid, [(job.jobid, job.slots, *_seen(job)) for job in pool.jobs.values() if pool.launched.get(job.jobid) == now])
            pool.failures = 0
            if pool.said:
                self._unsay(pool.said)
                pool.said = ''
            self._next_poll = 0.0


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

    Parameters
    ----------
    queue : str, Queue, list
        Names, patterns, or queues. Each of several is served by a process of its own.
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
        Of the (last) detached process; None if the manager of the queue goes on.

    Raises
    ------
    ManagerRunningError
        Without ``spawn``, if another manager works on this queue.
    """
    queues: list[Queue] = get_queue(queue, create=False, one=False, **kwargs)
    modes = check_mode(mode)
    if len(queues) == 1 and not spawn:
        Manager(queues[0], timeout, timestep, modes, max_workers, linger or 0.0).run()
        return None
    started = []
    for found in queues:
        try:
            # In the foreground each ends with its queue, as a single one does.
            stay = linger if spawn else linger or 0.0
            started.append(_start(found, timeout, timestep, modes, max_workers, stay))
        except ManagerRunningError as exc:
            logger.warning('%s', exc)
    if not spawn:
        _wait_for(started)
        return None
    return started[-1].pid if started else None


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
