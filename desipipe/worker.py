"""The worker: one process a node, which claims tasks, runs them in its slots, and reports.

One loop, one thread: what waits, waits in ``select``. Everything it decides it decides on the state folded from the journal.
"""

from __future__ import annotations

import logging
import os
import selectors
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from .config import Config
from .errors import DesipipeError, DiskFullError, PayloadError, QueueGoneError
from .event import FAILED, KILLED, PENDING, RUNNING, SUCCEEDED, WAITING, End, Event, Ref
from .ledger import Ledger, find_mid
from .process import LIVE_AFTER, Died, Division, MPISlot, Sent, SlotProcess, SplitSlot
from .provenance import Making, machine
from .provider.base import FREE, BaseProvider, Provider
from .queue import Queue, get_queue
from .shell import die_with_parent
from .store.journal import writer_name
from .store.lease import LEASE, Lease, Observer

logger = logging.getLogger('desipipe')

MODES = ('stop_at_error', 'retry_at_timeout', 'no_stream', 'no_out')
BATCH_TIME = 0.02  # s of work to have at hand for each slot, at least
BATCH_MOST = 512  # tasks to have at hand for each slot
REPORT_AFTER = 0.02  # s that a result waits for others before it is reported, at least
REPORT_COST = 10.0  # both grow so that an exchange, the wait for the lock included, costs at most one part in so many of the time between two
REPORT_MOST = 0.2  # s
BUSY_LOOK = 0.05  # s between two looks at the journal when all slots have work: cancellations and orders can wait so long
STUCK_AFTER = 0.5  # s after which what stands behind a running task is taken back
STILLBORN_MOST = 5  # slots that may end without a task before the worker gives up
_SIZES = ('PMI_SIZE', 'OMPI_COMM_WORLD_SIZE', 'SLURM_STEP_NUM_TASKS', 'SLURM_NTASKS')  # where launchers say how many processes they started
_RANKS = ('PMI_RANK', 'PMIX_RANK', 'OMPI_COMM_WORLD_RANK', 'SLURM_PROCID')  # and which of them this is
ORDERS = ('politely', 'soon', 'walltime', 'now')  # how a worker may be asked to end, from mild to strict
GRACE = 5.0  # s for running tasks to end after SIGTERM
END_MARGIN = 10.0  # s before a job's time limit at which what runs is ended, so that there is time to report it; less for short jobs
WAITING_LIMIT = 60.0  # s to stay for tasks that wait for others' tasks
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGUSR1, signal.SIGUSR2)  # also those that users ask Slurm to send
_FOLLOW_EVERY = 0.2  # s between two copies of live output


class Worker:
    """Runs tasks of a queue until nothing is left to do.

    Parameters
    ----------
    queue : Queue
    slots : int, default=1
        How many tasks at once.
    mid : str, default=None
        Only tasks of this task manager.
    jobid : str, default=''
        How the provider calls what this process is part of.
    timeout : float, default=None
        Seconds after which to end, like a walltime.
    linger : float, default=0
        Seconds to stay when nothing is left.
    mode : str or iterable of str, default=()
        Of :data:`MODES`.
    division : Division, default=None
        MPI processes that have come by themselves, for all slots.
    """

    def __init__(
        self,
        queue: Queue,
        slots: int = 1,
        mid: str | None = None,
        jobid: str = '',
        timeout: float | None = None,
        linger: float = 0.0,
        mode: str | Iterable[str] = (),
        division: Division | None = None,
    ) -> None:
        config = queue.config
        self.name = writer_name()
        self.ledger = Ledger(queue.folder, None, queue.ledger.trusts, self.name)
        state = self.ledger.state
        self.mid = None if mid is None else find_mid(state, mid)
        self.slots = slots
        self.jobid = jobid or f'local:{os.getpid():d}'
        self.mode = check_mode(mode)
        self.linger = linger
        self.limit = 0 if 'no_out' in self.mode else int(config['output_limit'])
        self.lease = float(self.ledger.journal.header.get('lease', LEASE))
        self._sync_interval = float(config['sync_interval'])
        self._provider = self._find_provider()
        self._started = time.monotonic()
        self._deadline = self._find_deadline(timeout)
        self._warned = False
        self._claimed = 0
        self._observer = Observer(self.ledger.folder, self.lease)
        self._selector = selectors.DefaultSelector()
        self._processes: list[SlotProcess] = []
        self._made = 0
        self._backlog: deque[Sent] = deque()
        self._ends: list[End] = []
        self._results: list[tuple[End, bytes]] = []  # payloads not yet written
        self._back: list[tuple[int, int]] = []
        self._first_end = 0.0
        self._cost = 0.0  # s of an exchange, lately
        self._mean: dict[int, float] = {}
        self._spent = 0
        self._idle_since: float | None = None
        self._stopping: str | None = None
        self._stop_at = 0.0
        self._cause: Event = {}
        self._fate = ''
        self._heeded: tuple[str, int] = ('', 0)
        self._signals: list[int] = []
        self._divisions = [] if division is None else [division]
        provider = self._provider
        self._mpi = division is not None or (provider is not None and provider.mpiprocs_per_worker > 1)
        self._said_disk_full = False
        self._stillborn = 0
        self._looked: set[str] = set()
        self._telling: set[SlotProcess] = set()  # slots that are about to say with which versions they ran a task
        self._listening = False
        self._identity = ''

    def _find_provider(self) -> BaseProvider | None:
        event = self.ledger.state.managers.get(self.mid or '')
        return None if event is None else Provider(event['provider'])

    def _find_deadline(self, timeout: float | None) -> float | None:
        now = time.monotonic()
        ends = self._provider.ends_at() if self._provider is not None else None
        found = [] if timeout is None else [now + timeout]
        if ends is not None:
            left = ends - time.time()
            found.append(now + left - min(END_MARGIN, 0.1 * max(left, 0.0)))
        return min(found, default=None)

    def _divide(self, name: str) -> Division:
        """A launcher that has processes for one more slot."""
        for division in self._divisions:
            if division.free and division.ended() is None:
                return division
        assert self._provider is not None
        # The first is for all slots. Where a part of one has died, what takes its place stands beside the rest.
        splits, provider = self._provider.mpi_splits(self.slots) if not self._divisions else 1, self._provider
        total = splits * provider.mpiprocs_per_worker
        made = Division(self.ledger.folder, f'{name}-mpi', lambda argv: provider.mpi_command(list(argv), splits), total, splits, provider.remote_ranks)
        self._divisions.append(made)
        return made

    # The loop

    def run(self) -> None:
        """Work until nothing is left, or someone asks to end.

        Raises
        ------
        QueueGoneError
            The queue was deleted or cleared; nothing was recreated.
        """
        ledger = self.ledger
        wake, wake_end = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(wake_end, False)
        signal.set_wakeup_fd(wake_end, warn_on_full_buffer=False)
        handlers = {number: signal.signal(number, lambda number, _: self._signals.append(number)) for number in _SIGNALS}
        lease = Lease(ledger.folder, self.name, ledger.journal.shared)
        watcher = ledger.watcher()
        self._selector.register(wake, selectors.EVENT_READ, None)
        here = machine()
        try:
            ledger.begin_worker(self.name, mid=self.mid, host=here['host'], pid=here['pid'], slots=self.slots, job=self.jobid, python=here['python'])
            self._identity = ledger.journal.header['id']
            next_beat = next_look = next_copy = next_journal = next_sync = 0.0
            while True:
                now = time.monotonic()
                if now >= next_beat:
                    lease.beat()
                    next_beat = now + self.lease / 3
                if now >= next_sync:
                    next_sync = now + self._sync_interval
                    ledger.journal.sync()
                if now >= next_look:
                    # A look costs a file for each of the others; all together look as often whether they are few or many.
                    next_look = now + min(max(1.0, 0.1 * len(ledger.state.alive)), self.lease / 3)
                    if not self._busy():
                        ledger.judge(self._observer, self.name)
                if now >= next_copy:
                    next_copy = now + _FOLLOW_EVERY
                    self._follow_output(now)
                full = self._full()
                if not full or now >= next_journal:
                    next_journal = now + BUSY_LOOK
                    watcher.seen(ledger.follow())
                self._heed()
                if ledger.journal.header['id'] != self._identity:
                    raise QueueGoneError(f'the queue in {ledger.folder} was cleared: this worker belonged to what it held, and ends')
                self._check_limits(now)
                self._trade(now)
                self._heed()
                if self._over(now):
                    break
                until = min(next_beat, next_look) if not self._busy() else min(next_beat, next_copy)
                if ledger.journal.dirty:
                    until = min(until, next_sync)
                if self._ends:
                    until = min(until, self._first_end + self._report_after())
                until = min(until, next_journal if full else now + watcher.interval)
                self._listen(watcher.fileno(), not full)
                self._wait(max(0.0, until - time.monotonic()), wake, watcher.drain)
        except QueueGoneError:
            self._kill_all('gone', 'the queue was deleted')
            raise
        except BaseException as exc:
            self._cause = {'kind': 'error', 'text': f'{type(exc).__name__}: {exc}'}
            raise
        finally:
            for process in self._processes:
                process.kill('end', 'the worker ended')
            for process in self._processes:
                while not process.reap():
                    time.sleep(0.001)  # the kernel is ending it; nothing else to wait on
                process.close()
            self._selector.close()
            signal.set_wakeup_fd(-1)
            for number, handler in handlers.items():
                signal.signal(number, handler)
            os.close(wake)
            os.close(wake_end)
            try:
                ledger.end_worker(self.name, self._cause.get('text', 'nothing left to do'), self._fate)
                lease.close()
            except QueueGoneError:
                logger.info('the queue is gone')
            ledger.close()
        if self._cause.get('kind') == 'slots':
            raise DesipipeError(f'{self._cause["text"]}. The tasks are pending, nothing is lost')

    def _full(self) -> bool:
        # Then nothing new in the journal can make us do anything better; with many workers on one queue, each waking for every line of all the
        # others would cost more than the work.
        return len(self._processes) == self.slots and all(process.sent for process in self._processes)

    def _listen(self, fd: int, wanted: bool) -> None:
        if fd < 0 or wanted == self._listening:
            return
        self._listening = wanted
        if wanted:
            self._selector.register(fd, selectors.EVENT_READ, None)
        else:
            self._selector.unregister(fd)

    def _busy(self) -> bool:
        return any(process.sent for process in self._processes)

    def _wait(self, seconds: float, wake: int, drain: Callable[[], bool]) -> None:
        deaths = False
        for key, _ in self._selector.select(seconds):
            process = key.data
            if process is None:
                if key.fd == wake:
                    os.read(wake, 4096)
                    deaths = True
                else:
                    drain()
            elif key.fd in (process.out.fd, process.err.fd):
                process.drain()
                self._forget_ended_streams(process)
            else:
                self._receive(process)
        if deaths:
            for process in [process for process in self._processes if process.reap()]:
                self._bury(process)

    def _forget_ended_streams(self, process: SlotProcess) -> None:
        for stream in (process.out, process.err):
            if stream.ended and stream.fd in self._selector.get_map():
                self._selector.unregister(stream.fd)

    def _over(self, now: float) -> bool:
        if self._busy() or self._ends or self._backlog or self._back or self._telling:  # else the versions of the last tasks would never be known
            self._idle_since = None
            return False
        if self._stopping:
            return True
        state = self.ledger.state
        counts = [state.counts[mid] for mid in self._mids() if mid in state.counts]
        pending = 0 if state.paused else sum(count[PENDING] for count in counts)
        if pending:
            self._idle_since = None
            return False
        self._idle_since = self._idle_since or now
        idle = now - self._idle_since
        waiting = sum(count[WAITING] for count in counts)
        if not state.paused and waiting and waiting > sum(1 for row in self.ledger.blocked() if state.groups[state.group[row]].mid in self._mids()):
            return idle > max(self.linger, WAITING_LIMIT)
        if any(count[RUNNING] for count in counts):
            # Someone else's: they may fail and be retried, or their worker may vanish. That is for a manager to see, and for us if there is none.
            return idle > max(self.linger, 1.0 if state.manager is not None else 2 * self.lease)
        return idle >= self.linger

    def _mids(self) -> list[str]:
        return [self.mid] if self.mid is not None else list(self.ledger.state.managers)

    # Orders

    def _heed(self) -> None:
        """Do what the journal says of this worker, if it says anything new.

        Not only after a look: to write we read what others wrote before, which is then new to no look.
        """
        place = self.ledger.journal.header['gen'], self.ledger.journal.offset
        if place != self._heeded:
            self._heeded = place
            self._obey()

    def _obey(self) -> None:
        state = self.ledger.state
        me = state.alive.get(self.name)
        if me is None:
            if self.name in state.workers:
                raise QueueGoneError(f'this worker was taken for dead (no sign of life for {self.lease:g} s) and its tasks were given up: it ends')
            return
        if me.stop:
            self._stop(me.stop, 'killed', 'killed by desipipe kill' if me.stop == 'now' else 'asked to end')
        if len(me.rows) != sum(len(process.sent) for process in self._processes) + len(self._backlog) + len(self._ends) + len(self._back):
            self._settle(me.rows)

    def _settle(self, mine: set[int]) -> None:
        # Rows that are no longer ours: cancelled, or set by hand. What has not begun is dropped, what runs is killed.
        # Rows that are ours and that we do not know of: a claim that counted although the lock was lost when it was made. They go back.
        state = self.ledger.state
        held = {task.row for process in self._processes for task in process.sent} | {task.row for task in self._backlog}
        held |= {end.row for end in self._ends} | {row for row, _ in self._back}
        self._back += [(row, state.attempt[row]) for row in mine - held]

        def lost(task: Sent) -> bool:
            return task.row not in mine or state.attempt[task.row] != task.attempt

        self._backlog = deque(task for task in self._backlog if not lost(task))
        for process in self._processes:
            if any(lost(task) for task in list(process.sent)[1:]):
                self._backlog.extendleft(reversed([task for task in process.take_back() if not lost(task)]))
            if process.sent and lost(process.sent[0]) and process.dying is None:
                process.kill('cancelled', 'cancelled')

    def _stop(self, how: str, kind: str, text: str) -> None:
        if self._stopping is not None and ORDERS.index(how) <= ORDERS.index(self._stopping):
            return  # a milder order does not undo a stricter one, and the same does not begin its time again
        logger.info('%s: %s', self.name, text)
        self._stopping = how
        self._cause = {'kind': kind, 'text': text}
        self._stop_at = time.monotonic()
        self._give_back()
        if how == 'now':
            self._kill_all(kind, text)

    def _give_back(self) -> None:
        for process in self._processes:
            self._backlog.extend(process.take_back())
        self._back += [(task.row, task.attempt) for task in self._backlog]
        self._backlog.clear()

    def _kill_all(self, kind: str, text: str) -> None:
        for process in self._processes:
            process.kill(kind, text)

    def _check_limits(self, now: float) -> None:
        told = [number for number in self._signals if number != signal.SIGCHLD]
        self._signals.clear()
        if told:
            self._told_to_end(told[0], now)
        if self._deadline is not None and self._stopping in (None, 'politely'):
            if now >= self._deadline:
                batch = self._provider is not None and self._provider.batch
                self._stop('walltime', 'walltime', f'its {"job" if batch else "worker"} reached its time limit')
            elif not self._warned and self._provider is not None and self._provider.batch and now >= self._deadline - self._warning():
                self._warned = True
                for process in self._processes:
                    process.tell()
        if self._stopping in ('soon', 'walltime') and now - self._stop_at > (GRACE if self._stopping == 'soon' else 0.0):
            for process in self._processes:
                if process.sent and process.dying is None:
                    process.kill(self._cause['kind'], self._cause['text'])
        for process in self._processes:
            if isinstance(process, MPISlot):
                process.overdue(now)
            if not process.sent or process.dying is not None:
                continue
            ran = now - process.since
            head = process.sent[0]
            if head.timeout is not None and ran > head.timeout:
                process.kill('timeout', f'timeout: it ran longer than {head.timeout:g} s')
            elif len(process.sent) > 1 and ran > STUCK_AFTER:
                # A long task: what stands behind it may run elsewhere.
                self._backlog.extendleft(reversed(process.take_back()))
                self._mean[head.group] = max(ran, self._mean.get(head.group, 0.0))

    def _told_to_end(self, number: int, now: float) -> None:
        text = f'its worker was told to end ({signal.Signals(number).name})'
        told = None
        if self._provider is not None and self._provider.batch and self._stopping not in ('soon', 'walltime', 'now'):
            if self._busy():
                told = self._provider.told_to_end()
        if told is None:
            self._stop('soon', 'terminated', text)
        elif told.fate == 'walltime' and told.seconds:
            # Not the end yet, and perhaps another one than we knew of: what runs may use the time that is left.
            limit = time.monotonic() + told.seconds - min(END_MARGIN, 0.1 * told.seconds)
            self._deadline = limit if self._deadline is None else min(limit, self._deadline)
        else:
            for process in self._processes:
                process.tell()
            self._fate = told.fate
            # 'cancelled' is what is said of a task that someone cancelled: that its state is known, and needs no report.
            fate = 'cancelled-job' if told.fate == 'cancelled' else told.fate
            if fate == 'cancelled-job' and self.ledger.state.jobs.get(self.jobid, {}).get('state') == 'withdrawn':
                fate = 'requeued'  # by the manager, who thought that it had not begun: what it took goes back
            self._stop('soon', fate, told.text)

    def _warning(self) -> float:
        # Seconds before the end from which on running tasks are told, and nothing begins of which it is not known how long it takes.
        assert self._deadline is not None and self._provider is not None
        return min(self._provider.warning, 0.25 * (self._deadline - self._started))

    def _fits(self, group: int, now: float) -> bool:
        """Whether a task can end before this worker does, by what its app has taken so far, else by its own time limit."""
        if self._deadline is None or now - self._started < 0.1 * (self._deadline - self._started):
            return True  # no other worker will have more time than this one
        state = self.ledger.state
        taken = [self._mean[group]] if group in self._mean else []
        if state.group_done[group]:
            taken.append(state.group_time[group] / state.group_done[group] * 1e-6)
        expected = max(taken) if taken else state.groups[group].timeout
        return not self._warned if expected is None else now + expected <= self._deadline

    # Slots

    def _start(self) -> SlotProcess:
        name = f'{self.name}-{self._made:d}'
        self._made += 1
        process: SlotProcess
        provider, common = self._provider, (self.ledger.folder, name, self.ledger.trusts, self.limit)
        if self._divisions or (provider is not None and self._mpi and provider.mpi_splits(self.slots) > 1):
            process = SplitSlot(*common, self._divide(name))
        elif provider is not None and self._mpi:
            process = MPISlot(*common, lambda argv: provider.mpi_command(list(argv)), provider.mpiprocs_per_worker, provider.remote_ranks)
        else:
            process = SlotProcess(self.ledger.folder, name, self.ledger.trusts, self.limit)
        self._processes.append(process)
        for fd in (process.sock, process.out.fd, process.err.fd):
            self._selector.register(fd, selectors.EVENT_READ, process)
        return process

    def _receive(self, process: SlotProcess) -> None:
        for message in process.receive():
            if message[0] == 'done':
                self._done(process, message)
            elif message[0] == 'telling':
                self._telling.add(process)
            elif message[0] == 'versions':
                self._telling.discard(process)
                self._note_versions(*message[1:])
        if isinstance(process, MPISlot):
            known = set(self._selector.get_map())
            for other in self._processes:  # who shares a launcher takes in the others' processes too
                for sock in other.sockets if isinstance(other, MPISlot) else ():
                    if sock.fileno() not in known:
                        self._selector.register(sock, selectors.EVENT_READ, other)

    def _note_versions(self, app: str, packages: dict[str, str], everything: dict[str, str]) -> None:
        known = self.ledger.state.versions
        before = known.get((self.name, ''), {})
        everything = {**before, **everything}
        found = [(app, packages)] if packages and (self.name, app) not in known else []
        found += [('', everything)] if everything != before else []
        if found:
            self.ledger.journal.write(lambda: [{'e': 'versions', 'w': self.name, 'app': app, 'versions': versions} for app, versions in found])

    def _done(self, process: SlotProcess, message: tuple[Any, ...]) -> None:
        _, row, attempt, state, began, duration, result, cause, trace, marked, files, memory = message
        task = process.sent.popleft()
        process.answered = True
        now = process.since = time.monotonic()
        assert (task.row, task.attempt) == (row, attempt), 'a slot answers in the order in which it was asked'
        seconds = duration * 1e-6
        # Follows a change quickly upwards (never hoard behind tasks that got long), slowly downwards.
        mean = self._mean.get(task.group, seconds)
        self._mean[task.group] = seconds if seconds > 2 * mean else 0.8 * mean + 0.2 * seconds
        out, err = process.collect(marked)
        end = End(row, attempt, state, began, duration, cause=cause, memory=memory)
        if isinstance(files, list):
            files = self._joint_files(task, files)
        if files:
            end.files = self.ledger.store(files) if isinstance(files, bytes) else Ref(*files)
        self._end(end, result, out, err, trace, now)
        if self._stopping is None and state != SUCCEEDED and 'stop_at_error' in self.mode:
            self._stop('politely', 'error', 'a task failed, and the mode is stop_at_error')

    def _joint_files(self, task: Sent, reports: list[bytes | tuple[str, int, int]]) -> bytes | tuple[str, int, int]:
        # Of several MPI processes. What each read may be in what any of them wrote: nobody sees what they send each other.
        if len(reports) < 2:
            return reports[0] if reports else b''
        from .file_manager.made import note_joint

        state = self.ledger.state
        group = state.groups[task.group]
        making = Making(self.ledger.folder, state.ids[task.row].hex(), task.attempt, group.name, group.app, str)
        try:
            told = [making.join(report if isinstance(report, bytes) else bytes(self.ledger.read(Ref(*report)))) for report in reports]
        except PayloadError as exc:
            logger.error('which files task %s read and wrote is known in part only: %s', making.tid[:12], exc)
        else:
            if any(making.read.keys() - read.keys() for read in told):
                note_joint(making)
        return making.report()

    def _end(self, end: End, result: bytes | tuple[str, int, int] | None, out: bytes, err: bytes, trace: bytes | None, now: float) -> None:
        if not self._ends:
            self._first_end = now
        if isinstance(result, bytes):
            self._results.append((end, result))
        elif result is not None:
            end.result = Ref(*result)
        if out and self.limit:
            end.out = self.ledger.store(out)
        if err and self.limit:
            end.err = self.ledger.store(err)
        if trace and end.cause is not None:
            end.cause['trace'] = self.ledger.store(trace)
        self._ends.append(end)

    def _bury(self, process: SlotProcess) -> None:
        self._receive(process)  # what it said before it died counts
        process.drain()
        for sock in process.sockets:
            self._selector.unregister(sock)
        for stream in (process.out, process.err):
            if stream.fd in self._selector.get_map():
                self._selector.unregister(stream.fd)
        died = process.died()
        self._processes.remove(process)
        self._telling.discard(process)
        self._looked &= {app for name, app in self.ledger.state.versions if name == self.name}  # another one has to look in its place
        self._backlog.extendleft(reversed(died.unbegun))
        victim = died.victim
        if victim is None and died.kind == 'mpi' and self._backlog:
            victim = self._backlog.popleft()  # not to blame, but every other would meet the same
        if victim is not None:
            self._end_victim(process, died, victim)
        # In one line, as the last one of our log is what people are shown; Open MPI ends its own with a NUL.
        last_words = ' '.join(process.err.remains().decode(errors='replace').replace('\0', ' ').split())[-500:]
        process.close()
        if isinstance(process, SplitSlot) and process.division.given:
            self.slots -= 1  # nothing can take its place
            if not self.slots:
                self._stop('politely', 'slots', 'the MPI processes that were given to it have ended')
        self._stillborn = 0 if victim is not None or process.answered else self._stillborn + 1
        if self._stillborn >= STILLBORN_MOST and self._stopping is None:
            self._stop('politely', 'slots', f'{STILLBORN_MOST:d} slots in a row ended before they took a task ({died.text}): {last_words}')
        if self._stopping:
            self._give_back()

    def _end_victim(self, process: SlotProcess, died: Died, victim: Sent) -> None:
        now = time.monotonic()
        duration = round((now - process.since) * 1e6)
        out, err = process.out.remains(), process.err.remains()
        cause: Event = {'kind': died.kind, 'text': died.text, 'kinds': [died.kind], 'errno': -1}
        end = End(victim.row, victim.attempt, KILLED, time.time() - duration * 1e-6, duration, cause=cause, memory=process.memory)
        if died.kind == 'cancelled':
            return  # its state was set by whoever cancelled it, and this report would not count
        if process.last_word is not None:
            _, _, _, state, _, _, _, cause, trace, *_ = process.last_word
            cause['text'] += ' (in one MPI process; the others were killed)'
            end.state, end.cause = state, cause
            self._end(end, None, out, err, trace, now)
            return
        if died.kind == 'mpi':
            end.state = FAILED
        if died.kind in (*FREE, 'neighbour') or (died.kind in ('walltime', 'terminated') and 'retry_at_timeout' in self.mode):
            cause['free'] = True
        elif died.kind == 'walltime' and self._provider is not None and self._provider.batch:
            cause |= self._provider.after_walltime(not process.answered)
        elif died.kind == 'cancelled-job':
            cause |= {'kind': 'killed', 'final': True}
        self._end(end, None, out, err, None, now)

    # Claiming and reporting

    def _depth(self, group: int) -> int:
        mean = self._mean.get(group)
        if mean is None:
            return 1
        return max(1, min(BATCH_MOST, int(max(BATCH_TIME, 2 * self._report_after()) / max(mean, 1e-5))))

    def _report_after(self) -> float:
        return min(max(REPORT_AFTER, REPORT_COST * self._cost), REPORT_MOST)

    def _trade(self, now: float) -> None:
        state = self.ledger.state
        mids = self._mids()
        self._feed()
        at_hand = len(self._backlog) + sum(len(process.sent) for process in self._processes)
        want = 0
        if not state.paused and self._stopping is None and any(state.counts[mid][PENDING] for mid in mids if mid in state.counts):
            rows = state.next_pending(mids, 1)
            if rows and not self._fits(state.group[rows[0]], now):
                if not at_hand and not self._ends:
                    self._stop('politely', 'walltime', 'what is pending would take longer than its job has left')
                rows = []
            depth = self._depth(state.group[rows[0]]) if rows and not self._mpi else 1
            # Asked for when half is used up, so that slots do not run dry meanwhile.
            if rows and (at_hand < self.slots or 2 * at_hand <= depth * self.slots):
                want = depth * self.slots - at_hand
        if want > 0 and self._provider is not None and self._provider.stop_after is not None:
            want = min(want, self._provider.stop_after * self.slots - self._claimed)
            if want <= 0 and not at_hand:
                self._stop('politely', 'stop_after', f'its slots have run {self._provider.stop_after:d} tasks each')
        idle = not self._backlog and (at_hand == 0 or any(not process.sent for process in self._processes))
        due = self._ends and (idle or want > 0 or now - self._first_end >= self._report_after() or self._stopping)
        if due or want > 0 or self._back:
            self._exchange(want, mids)
            self._feed()

    def _exchange(self, want: int, mids: list[str]) -> None:
        began = time.monotonic()
        try:
            self._store_results()
            claimed = self.ledger.exchange(self.name, self._ends, self._back, want, mids, self._identity)
        except DiskFullError as exc:
            # What was computed is kept here and reported when there is space again; nothing new is claimed meanwhile.
            if not self._said_disk_full:
                logger.error('%s', exc)
                self._said_disk_full = True
            self._first_end = time.monotonic() + 1.0
            return
        self._said_disk_full = False
        self._cost += 0.2 * (time.monotonic() - began - self._cost)
        ends = self._ends
        self._ends = []
        self._back = []
        state = self.ledger.state
        for end in ends:
            group = state.groups[state.group[end.row]]
            if group.save_dir and end.state == SUCCEEDED:
                self._save(end.row)
        self._claimed += len(claimed)
        for row, attempt in claimed:
            number = state.group[row]
            self._backlog.append(Sent(row, attempt, number, state.groups[number].timeout))

    def _store_results(self) -> None:
        if not self._results:
            return
        segment, offset, _ = self.ledger.store(b''.join([payload for _, payload in self._results]))
        for end, payload in self._results:
            length = len(payload)
            end.result = Ref(segment, offset, length)
            offset += length
        self._results = []

    def _save(self, row: int) -> None:
        from .task import Task

        task = Task.stored(self.ledger, row)
        try:
            task.save()
        except (OSError, DesipipeError) as exc:
            logger.error('what save_attrs asks for of task %s could not be saved: %s', task.id[:12], exc)

    def _feed(self) -> None:
        backlog = self._backlog
        if not backlog or self._stopping:
            return
        # Evenly, one after the other: the first to be free gets the next.
        for process in self._processes:
            if not process.sent and process.dying is None and backlog:
                self._send(process)
        while backlog and len(self._processes) < self.slots:
            if not self._send(self._start()) and not self._mpi:
                return
        progress = True
        while backlog and progress:
            progress = False
            for process in self._processes:
                if backlog and process.dying is None and len(process.sent) < process.ahead and _fits(process, self._mean, backlog[0]):
                    progress |= self._send(process)

    def _send(self, process: SlotProcess) -> bool:
        task = self._backlog[0]
        state = self.ledger.state
        group = state.groups[task.group]
        if group.app not in state.apps or (group.shared and group.shared not in state.shared):
            self._backlog.popleft()
            cause = {'kind': 'code', 'text': 'the code or arguments of this task were in a damaged line of the journal: call its app again', 'errno': 1}
            self._end(End(task.row, task.attempt, FAILED, time.time(), 0, cause=cause), None, b'', b'', None, time.monotonic())
            return True
        row = task.row
        args = (state.segments[state.args_segment[row]], state.args_offset[row], state.args_length[row])
        requires = [(state.ids[other], _plain(state.result(other))) for other in state.requires[row]] if row in state.requires else ()
        if not process.send(task, ('task', row, task.attempt, task.group, args, requires, state.ids[row]), self._introduce, self._large):
            return False
        self._backlog.popleft()
        return True

    def _introduce(self, number: int) -> tuple[Any, ...]:
        group = self.ledger.state.groups[number]
        event = self.ledger.state.apps[group.app]
        shared = tuple(self.ledger.state.shared[group.shared]['ref']) if group.shared else None
        # What everything is run with is looked at by one slot, after the first task of an app: what it imports is known then.
        look = group.app not in self._looked
        self._looked.add(group.app)
        environ = self.ledger.state.managers.get(group.mid, {}).get('environ', {})
        return 'group', number, tuple(group), tuple(event['code']), shared, event.get('packages', []), tuple(event['source']), environ, look

    def _large(self, data: bytes) -> Ref:
        ref = self.ledger.store(data)
        if self.ledger.journal.shared:
            self.ledger.writer.flush()
        return ref

    def _follow_output(self, now: float) -> None:
        if 'no_stream' in self.mode or not self.limit:
            return
        for process in self._processes:
            if process.sent and now - process.since > LIVE_AFTER:
                process.follow(self.ledger.state.ids[process.sent[0].row].hex())


def _fits(process: SlotProcess, mean: dict[int, float], task: Sent) -> bool:
    """Whether ``task`` may stand behind what ``process`` has: only among tasks known to be short."""
    if not process.sent:
        return True
    return mean.get(task.group, 1.0) < BATCH_TIME and mean.get(process.sent[-1].group, 1.0) < BATCH_TIME


def _plain(ref: Ref | None) -> tuple[str, int, int] | None:
    return None if ref is None else (ref.segment, ref.offset, ref.length)


def check_mode(mode: str | Iterable[str]) -> frozenset[str]:
    """The modes, checked.

    Raises
    ------
    ValueError
        Listing the valid ones.
    """
    modes = frozenset(mode.replace(',', ' ').split() if isinstance(mode, str) else mode)
    unknown = sorted(modes - set(MODES))
    if unknown:
        raise ValueError(f'there is no mode {unknown[0]!r}: use any of {", ".join(MODES)}')
    return modes


def work(
    queue: str | Queue,
    slots: int = 1,
    mid: str | None = None,
    jobid: str = '',
    timeout: float | None = None,
    linger: float = 0.0,
    mode: str | Iterable[str] = (),
    config: Config | None = None,
    mpisplits: int | None = None,
) -> None:
    """Run tasks of a queue in this process and its children until nothing is left to do.

    Parameters
    ----------
    queue : str or Queue
    slots : int, default=1
        How many tasks at once.
    mid : str, default=None
        Only tasks of this task manager.
    jobid : str, default=''
        Identifier of the job this process is part of.
    timeout : float, default=None
        Seconds after which to end; what runs then is KILLED, or runs again with mode ``'retry_at_timeout'``.
    linger : float, default=0
        Seconds to stay when nothing is left.
    mode : str or iterable of str, default=()
        Of ``'stop_at_error'``, ``'retry_at_timeout'``, ``'no_stream'``, ``'no_out'``.
    config : Config, default=None
    mpisplits : int, default=None
        For all processes of an ``mpiexec`` or ``srun`` together: divide their communicator among so many tasks at once.
    """
    if slots < 1:
        raise ValueError(f'slots={slots!r}: a worker needs one at least')
    found = get_queue(queue, config)
    if mpisplits is None:
        Worker(found, slots, mid, jobid, timeout, linger, mode).run()
    else:
        _work_together(mpisplits, lambda division: Worker(found, mpisplits, mid, jobid, timeout, linger, mode, division), found.folder)


def _work_together(splits: int, make: Callable[[Division], Worker], folder: str) -> None:
    # All processes of a launcher are here. The first one forks, before MPI begins in it: the child is the worker, and all of them are its ranks.
    size = int(next((os.environ[name] for name in _SIZES if name in os.environ), '1'))
    rank = int(next((os.environ[name] for name in _RANKS if name in os.environ), '0'))
    if not 1 <= splits <= size:
        raise ValueError(f'mpisplits={splits:d}, but there are {size:d} MPI processes: start desipipe work with mpiexec -n or srun -n, and as many at least')
    argv: list[str] | None = None
    pid = 0
    if rank == 0:
        division = Division(folder, f'{writer_name()}-mpi', None, size, splits, remote=True)
        argv = division.argv
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                die_with_parent()
                make(division).run()
                status = 0
            except BaseException:
                logger.exception('the worker of these MPI processes ends')
            finally:
                os._exit(status)
        division.listener.sock.close()
    from .slot import main, world

    main(world().bcast(argv, root=0))
    if pid and os.waitpid(pid, 0)[1]:
        raise DesipipeError('the worker of these MPI processes ended with an error, see above; what it ran is UNKNOWN, or runs again as its retries say')
