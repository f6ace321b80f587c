"""The worker: one process a node, which claims tasks, runs them in its slots, and reports.

One loop, one thread: what waits, waits in ``select``. Everything it decides it decides on the state
folded from the journal.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import selectors
import signal
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice, takewhile
from typing import Any

from ..config import Config
from ..errors import DesipipeError, LaunchError, PayloadError, QueueGoneError, UnknownNameError
from ..provenance import SAVED_WITH_FILES, Making, machine
from ..provider.base import FREE, BaseProvider, Provider
from ..queue.authors import Call
from ..queue.ends import End, Successes
from ..queue.events import (
    FAILED,
    KILLED,
    PENDING,
    RUNNING,
    SUCCEEDED,
    WAITING,
    Event,
    JournalEvent,
    Ref,
)
from ..queue.faults import passes, patiently
from ..queue.ledger import Ledger, find_mid
from ..queue.queue import Queue
from ..queue.queue_functions import get_queue
from ..queue.transactions.processes import lend_event, versions_event
from ..security.secrets import process_values
from ..security.trust import held_text
from ..store.journal import writer_name
from ..store.lease import LEASE, Lease, Observer
from ..store.pacing import exchange_spacing_s, lease_spacing_s, look_spacing_s
from ..utils import printable, username
from . import limits
from .forked_slot import ForkedSlot
from .mpi_launcher import Division, SplitSlot
from .mpi_slot import MPISlot
from .output_copy import SlotCopies
from .output_pipe import LateOutput
from .protocol import (
    DisplayStored,
    GroupSettings,
    Packet,
    PipesRenewed,
    Place,
    TaskDone,
    TaskWaits,
    VersionsFollow,
    VersionsFound,
)
from .queue_faults import QueueFaults, QueueLostError
from .sent_tasks import Sent
from .shell_template import die_with_parent
from .slot_exit import Died
from .slot_memory import Results
from .slot_process import LIVE_AFTER, PACKET_TASKS_MAX, SlotProcess

logger = logging.getLogger('desipipe')

MODES = ('stop_at_error', 'retry_at_timeout', 'no_stream', 'no_out')
BATCH_TIME = 0.02  # s of work to have at hand for each slot, at least
_NEVER = float('inf')
# Slots beside those that a worker was asked for, as tasks in these wait for other tasks.
LENT_MAX = 256
LENT_IDLE_S = 1.0  # after which such a slot ends
EXCESS_LOOK_S = 0.05  # between two looks whether too much was claimed
PACKET_TIME_S = 0.004  # of work that goes to a slot together
TASK_COST_S = 1e-5  # of a task that does nothing
LOOK_S = 0.02  # between two looks at what slots have done that say nothing
RECENT = 16  # results that count for the mean duration
BATCH_MOST = 512  # tasks to have at hand for each slot
REPORT_AFTER = 0.02  # s that a result waits for others before it is reported, at least
# both grow so that an exchange, the wait for the lock included, costs at most one part in so many
# of the time between two
REPORT_COST = 10.0
REPORT_MOST = 0.2  # s
# s between two looks at the journal when all slots have work: cancellations and orders can wait so
# long
BUSY_LOOK = 0.05
_ROUNDING = 1e-6  # part of the horizon: what sums leave over is no room for a task
STUCK_AFTER = 0.5  # s after which what stands behind a running task is taken back
EMPTY_SLOTS_MAX = 5  # slots that may end without a task before the worker gives up
_SIZES = (
    'PMI_SIZE',
    'OMPI_COMM_WORLD_SIZE',
    'SLURM_STEP_NUM_TASKS',
    'SLURM_NTASKS',
)  # where launchers say how many processes they started
_MPI_RANKS = ('PMI_RANK', 'PMIX_RANK', 'OMPI_COMM_WORLD_RANK')
_RANKS = (*_MPI_RANKS, 'SLURM_PROCID')  # and which of them this is
ORDERS = (
    'politely',
    'soon',
    'walltime',
    'now',
)  # how a worker may be asked to end, from mild to strict
GRACE = 5.0  # s for running tasks to end after SIGTERM
# s before a job's time limit at which what runs is ended, so that there is time to report it; less
# for short jobs
END_MARGIN = 10.0
WAITING_LIMIT = 60.0  # s to stay for tasks that wait for others' tasks
START_PATIENCE_S = 60.0  # for the system to let the first slot start
IDLE_PATIENCE_S = 600.0  # for the queue's files, with nothing in hand that could be lost
END_PATIENCE_S = 60.0  # for the queue's files, once this worker was asked to end
LAST_PATIENCE_S = 5.0  # for the queue's files, at the end
# For the kernel to end killed slots: one that waits for a dead file server cannot end.
KILL_WAIT_S = 10.0
DESCRIPTORS_A_SLOT = 8
DESCRIPTORS_OWN = 48
VERDICT_S = 1.0  # for a signal that came to the whole job to reach this worker too
_FOLLOW, _REPORT, _BEAT, _SYNC = (
    'reading the journal',
    'writing to the journal',
    'writing the heartbeat',
    'putting the journal on disk',
)
_JUDGE, _VERSIONS, _START = (
    'looking at other workers',
    'writing the versions of packages',
    'starting a slot',
)
# What ends a process by default, and what comes to all processes of a session or a job; also those
# that users ask Slurm to send.
_ENDING = tuple(
    getattr(signal, name)
    for name in (
        'SIGTERM',
        'SIGINT',
        'SIGHUP',
        'SIGQUIT',
        'SIGXCPU',
        'SIGPWR',
        'SIGUSR1',
        'SIGUSR2',
    )
    if hasattr(signal, name)
)
_SIGNALS = (*_ENDING, signal.SIGCHLD)
_FOLLOW_EVERY = 0.2  # s between two copies of live output


class SlotError(RuntimeError):
    """No slot can be started, now or later: the launcher of MPI processes is not there."""


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
    tid, name, copy_output
        As for :func:`work`.
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
        tid: str | Iterable[str] | None = None,
        name: str | Iterable[str] | None = None,
        copy_output: Iterable[str] = (),
    ) -> None:
        config = queue.config
        self._only: frozenset[int] | None = None
        if tid is not None or name is not None:
            self._only = frozenset(queue.select(tid=tid, name=name))
        process_values()  # of the environment of now, for the slots too
        self.name = writer_name()
        queue.ledger.check_use()
        self.ledger = Ledger(queue.folder, None, queue.ledger.trusts, self.name)
        state = self.ledger.state
        self.mid = None if mid is None else find_mid(state, mid)
        self.slots = slots
        self.jobid = jobid or f'local:{os.getpid():d}'
        self.mode = check_mode(mode)
        self.linger = linger
        self.limit = 0 if 'no_out' in self.mode else int(config['output_limit'])
        self.lease = float(self.ledger.journal.header.get('lease', LEASE))
        self._copies = self._make_copies(copy_output)
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
        self._successes: list[Successes] = []
        self._payloads: list[
            tuple[End, str, bytes]
        ] = []  # of what is not reported: end, member, bytes
        self._written = 0  # payloads that are in the segment
        self._notes: list[JournalEvent] = []
        self._uncertain = False  # whether the last report was written
        self._verdict: tuple[str, str] | None = None  # what became of the whole job: kind and words
        self._verdict_at = 0.0
        self._faults = QueueFaults(self.ledger)
        self._next_beat = self._next_look = self._next_copy = self._next_journal = (
            self._next_sync
        ) = 0.0
        self._next_exchange = 0.0
        self._back: list[tuple[int, int]] = []
        self._first_end = 0.0
        self._cost = 0.0  # s of an exchange, lately
        self._mean: dict[int, float] = {}
        self._high_water = 0  # tasks at hand after the last claim
        self._next_excess = 0.0
        self._lent = 0  # as the journal says
        self._idle_since: float | None = None
        self._stopping: str | None = None
        self._stop_at = 0.0
        self._cause: Event = {}
        self._fate = ''
        self._orders_read_to: tuple[str, int] = ('', 0)
        self._signals: list[int] = []
        self._divisions = [] if division is None else [division]
        provider = self._provider
        self._mpi = division is not None or (
            provider is not None and provider.mpiprocs_per_worker > 1
        )
        self._empty_slots = 0
        self._looked: set[str] = set()
        self._telling: set[SlotProcess] = (
            set()
        )  # slots that are about to say with which versions they ran a task
        self._listening = False
        self._identity = ''
        self._told_of: set[str] = set()

    def _make_copies(self, streams: Iterable[str]) -> SlotCopies | None:
        wanted = frozenset(streams)
        if not wanted or not self.limit or 'no_stream' in self.mode:
            return None
        return SlotCopies(wanted, self.slots > 1, self.limit)

    def _find_provider(self) -> BaseProvider | None:
        event = self.ledger.state.managers.get(self.mid or '')
        if event is None:
            return None
        self.ledger.check_manager(self.mid or '')
        try:
            return Provider(event['provider'])
        except UnknownNameError as exc:
            # One of the script that started the manager: it has done its part, and plain tasks need
            # nothing more of it.
            if event['provider'].get('mpiprocs_per_worker', 1) > 1:
                raise
            logger.warning('%s Tasks run as on this machine.', exc)
            return None

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
        # The first is for all slots. Where a part of one has died, what takes its place stands
        # beside the rest.
        splits, provider = (
            self._provider.mpi_splits(self.slots) if not self._divisions else 1,
            self._provider,
        )
        total = splits * provider.mpiprocs_per_worker
        made = Division(
            self.ledger.folder,
            f'{name}-mpi',
            lambda argv: provider.mpi_command(list(argv), splits),
            total,
            splits,
            provider.remote_ranks,
        )
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
        self._keep_to_descriptors()
        handlers = self._catch_signals()
        try:
            self._begin()
            while self._turn():
                pass
        except QueueGoneError as exc:
            if self._stopping != 'politely' or isinstance(exc, QueueLostError):
                self._kill_all('gone', 'the queue was deleted or cleared')
                raise
            logger.info(
                'the queue in %s was deleted: what runs may end, its results are dropped',
                self.ledger.folder,
            )
            self._drain()
        except BaseException as exc:
            self._cause = {'kind': 'error', 'text': printable(f'{type(exc).__name__}: {exc}')}
            self._save_results()
            raise
        finally:
            self._end_slots()
            self._end()
            signal.set_wakeup_fd(-1)
            for number, handler in handlers.items():
                signal.signal(number, handler)
            os.close(self._wake)
            os.close(self._wake_end)
        if self._cause.get('kind') == 'slots':
            raise DesipipeError(f'{self._cause["text"]}. The tasks are pending, nothing is lost')

    def _drain(self) -> None:
        """Wait for what runs to end, without a queue; a signal or the end of the job's time ends
        it.
        """
        while self._busy():
            now = time.monotonic()
            self._check_limits(now)
            for process in self._processes:
                process.take_back()
            ends = [now + 60.0]
            if self._deadline is not None:
                ends.append(self._deadline)
            if self._stopping != 'politely':
                ends.append(now + _FOLLOW_EVERY)
            self._wait(max(0.0, min(ends) - time.monotonic()))

    def _keep_to_descriptors(self) -> None:
        """Raise the limit of open files; where it cannot be raised enough, have fewer slots."""
        limit = limits.raise_descriptors(DESCRIPTORS_OWN + DESCRIPTORS_A_SLOT * self.slots)
        most = max(1, (limit - DESCRIPTORS_OWN) // DESCRIPTORS_A_SLOT)
        if most < self.slots and not self._mpi:
            text = 'this process may open %d files (ulimit -Hn): it serves %d slots instead of %d'
            logger.warning(text, limit, most, self.slots)
            self.slots = most

    def _catch_signals(self) -> dict[int, Any]:
        self._wake, self._wake_end = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(self._wake_end, False)
        signal.set_wakeup_fd(self._wake_end, warn_on_full_buffer=False)
        self._selector.register(self._wake, selectors.EVENT_READ, None)
        # What is ignored stays so: nohup.
        caught = [
            number
            for number in _SIGNALS
            if signal.getsignal(number) != signal.SIG_IGN or number == signal.SIGCHLD
        ]
        return {
            number: signal.signal(number, lambda number, _: self._signals.append(number))
            for number in caught
        }

    def _begin(self) -> None:
        ledger, here = self.ledger, machine()
        self._watcher = ledger.watcher()
        self._heartbeat = patiently(
            lambda: Lease(ledger.folder, self.name, ledger.journal.shared), START_PATIENCE_S
        )
        info = dict(
            mid=self.mid,
            host=here['host'],
            pid=here['pid'],
            slots=self.slots,
            job=self.jobid,
            python=here['python'],
        )
        if ledger.is_group_queue:
            info['user'] = username()
        patiently(lambda: ledger.begin_worker(self.name, **info), START_PATIENCE_S)
        self._identity = ledger.journal.header['id']

    def _turn(self) -> bool:
        """Do one round of the loop; return False when the worker is to end."""
        ledger, now = self.ledger, time.monotonic()
        self._keep_up(now)
        full = self._full()
        if now >= self._next_journal or not (full or self._look_spacing()):
            self._next_journal = now + max(BUSY_LOOK, self._look_spacing())
            self._try(_FOLLOW, lambda: self._watcher.seen(ledger.follow()))
        self._read_orders()
        if ledger.journal.header['id'] != self._identity:
            raise QueueLostError(
                f'the queue in {ledger.folder} was cleared: this worker belonged to what it held, '
                'and ends'
            )
        self._check_limits(now)
        if not self._faults.failing(_FOLLOW):
            self._trade(now)
            self._read_orders()
        self._end_idle_extra(now)
        self._check_patience(now)
        if self._over(now):
            return False
        self._listen(self._watcher.fileno(), not full)
        self._wait(max(0.0, self._wake_at(now, full) - time.monotonic()))
        return True

    def _wake_at(self, now: float, full: bool) -> float:
        busy = self._busy()
        until = min(self._next_copy if busy else self._next_look, self._faults.next_try(now))
        if not self._faults.failing(_BEAT):
            until = min(until, self._next_beat)
        if self.ledger.journal.dirty:
            until = min(until, self._next_sync)
        if self._unreported and not self._faults.failing(_REPORT):
            until = min(until, max(self._first_end + self._report_after(), self._next_exchange))
        if self._next_exchange > now:
            until = min(until, self._next_exchange)
        if any(process.reaped is not None for process in self._processes):
            until = min(until, now + VERDICT_S / 10)
        if any(len(process.sent) > 1 for process in self._processes):
            until = min(until, now + LOOK_S)
        look_at = (
            self._next_journal if full or self._look_spacing() else now + self._watcher.interval
        )
        return min(until, max(look_at, now + self._watcher.interval) if not full else look_at)

    def _keep_up(self, now: float) -> None:
        """Do what is due from time to time: heartbeat, sync, looks at other workers, output to
        follow.
        """
        ledger = self.ledger
        if now >= self._next_beat and self._try(_BEAT, self._beat):
            self._next_beat = now + self.lease / 3
        if now >= self._next_sync:
            self._next_sync = now + self._sync_interval
            self._try(_SYNC, ledger.journal.sync)
        if now >= self._next_look:
            # A look costs a file for each of the others; all together look as often whether they
            # are few or many.
            n = len(ledger.state.alive)
            self._next_look = now + max(min(max(1.0, 0.1 * n), self.lease / 3), lease_spacing_s(n))
            if not self._busy():
                self._try(_JUDGE, lambda: ledger.end_lost_workers(self._observer, self.name))
        if now >= self._next_copy:
            self._next_copy = now + _FOLLOW_EVERY
            self._follow_output(now)

    def _beat(self) -> None:
        lease = self._heartbeat
        lease.trouble = self._faults.text
        if self._faults.failing(_BEAT):
            lease.renew()
        lease.beat()

    def _try(self, action: str, call: Callable[[], object]) -> bool:
        """Do something with the queue's files, unless it failed a moment ago; return True when
        it worked.
        """
        if not self._faults.due(action, time.monotonic()):
            return False
        before = self._faults.text
        try:
            call()
        except (OSError, DesipipeError) as exc:
            self._faults.failed(action, exc)
            worked = False
        else:
            self._faults.passed(action)
            worked = True
        if self._faults.text != before and action != _BEAT:
            self._next_beat = 0.0  # so that others can read why
        return worked

    def _check_patience(self, now: float) -> None:
        since = self._faults.since
        if not since:
            return
        in_hand = self._busy() or self._unreported
        limit = IDLE_PATIENCE_S if not in_hand else float('inf')
        if self._stopping is not None:
            limit, since = END_PATIENCE_S, max(since, self._stop_at)
        if now - since > limit:
            raise DesipipeError(
                f'{self._faults.text}. This lasted for {now - since:.0f} s: the worker ends'
            )

    def _save_results(self) -> None:
        """Report what was computed, and give back what did not begin, before this worker ends
        because of an error.
        """
        try:
            self._give_back()
            self._exchange(0, [])
        except (OSError, DesipipeError) as exc:
            logger.error('what was computed could not be reported: %s', exc)

    def _end_slots(self) -> None:
        for process in self._processes:
            process.kill('end', 'the worker ended')
        deadline = time.monotonic() + KILL_WAIT_S
        for process in self._processes:
            while not process.reap() and time.monotonic() < deadline:
                time.sleep(0.001)  # the kernel is ending it; nothing else to wait on
            process.close()
        self._selector.close()

    def _end(self) -> None:
        ledger = self.ledger
        why = self._cause.get('text', 'nothing left to do')
        try:
            patiently(lambda: ledger.end_worker(self.name, why, self._fate), LAST_PATIENCE_S)
            self._heartbeat.close()
            ledger.close()
        except QueueGoneError:
            logger.info('the queue is gone')
        except (OSError, DesipipeError) as exc:
            # Others find the worker gone by its heartbeat.
            logger.error('the end of this worker could not be written down: %s', exc)

    def _full(self) -> bool:
        # Then nothing new in the journal can make us do anything better; with many workers on one
        # queue, each waking for every line of all the others would cost more than the work.
        return len(self._processes) >= self.slots and all(
            process.sent and not process.waits_for for process in self._processes
        )

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

    def _wait(self, seconds: float) -> None:
        for key, _ in self._selector.select(seconds):
            process = key.data
            if process is None:
                if key.fd == self._wake:
                    os.read(self._wake, 4096)
                else:
                    self._watcher.drain()
            elif isinstance(process, LateOutput):
                if process.drain():
                    self._selector.unregister(process.fd)
                    process.close()
            elif key.fd in (process.out.fd, process.err.fd):
                process.drain()
                self._forget_ended_streams(process)
            else:
                self._receive(process)

    def _job_verdict(self, now: float) -> tuple[str, str] | None:
        """Return why the whole job is ending, if a signal said so: kind and words."""
        recent = (
            self._stopping in ('soon', 'walltime', 'now') or now - self._verdict_at < 5 * VERDICT_S
        )
        return self._verdict if recent else None

    def _collect_ended_slots(self, now: float) -> None:
        """Take in the ends of slots.

        One killed by a signal waits a moment: it may have come to the whole job.
        """
        for process in [process for process in self._processes if process.reap()]:
            number = process.killed_by
            if (
                number in _ENDING
                and process.sent
                and process.dying is None
                and self._job_verdict(now) is None
            ):
                process.ended_at = process.ended_at or now
                if now - process.ended_at < VERDICT_S:
                    continue
            self._on_slot_exit(process)

    def _renew_streams(self, process: SlotProcess) -> None:
        process.drain()
        current = self._selector.get_map()
        for stream in (process.out, process.err):
            if stream.fd in current:
                self._selector.unregister(stream.fd)
        old = process.renew_streams()
        for late in old:
            self._selector.register(late.fd, selectors.EVENT_READ, late)
        for stream in (process.out, process.err):
            self._selector.register(stream.fd, selectors.EVENT_READ, process)

    def _forget_ended_streams(self, process: SlotProcess) -> None:
        for stream in (process.out, process.err):
            if stream.ended and stream.fd in self._selector.get_map():
                self._selector.unregister(stream.fd)

    def _over(self, now: float) -> bool:
        # Slots that are telling: else the versions of the last tasks would never be known.
        if (
            self._busy()
            or self._unreported
            or self._backlog
            or self._back
            or self._telling
            or self._notes
        ):
            self._idle_since = None
            return False
        if self._stopping:
            return True
        state = self.ledger.state
        counts = [state.counts[mid] for mid in self._mids() if mid in state.counts]
        if not state.paused and self._any_pending(self._mids()):
            self._idle_since = None
            return False
        self._tell_untrusted()
        self._idle_since = self._idle_since or now
        idle = now - self._idle_since
        if self._only is not None:
            return idle > self.linger  # what others run is not waited for
        waiting = sum(count[WAITING] for count in counts)
        if (
            not state.paused
            and waiting
            and waiting
            > sum(
                1
                for row in self.ledger.blocked()
                if state.groups[state.group[row]].mid in self._mids()
            )
        ):
            return idle > max(self.linger, WAITING_LIMIT)
        if any(state.occupied(mid) for mid in self._mids() if mid in state.counts):
            # Someone else's: they may fail and be retried, or their worker may vanish. That is for
            # a manager to see, and for us if there is none.
            return idle > max(self.linger, 1.0 if state.manager is not None else 2 * self.lease)
        return idle >= self.linger

    def _tell_untrusted(self) -> None:
        """Tell once whose tasks of a group's queue stay pending here."""
        for user, n in self.ledger.held().items():
            if user not in self._told_of:
                self._told_of.add(user)
                logger.warning('%s', held_text(user, n))

    def _mids(self) -> list[str]:
        return [self.mid] if self.mid is not None else list(self.ledger.state.managers)

    # Orders

    def _read_orders(self) -> None:
        """Do what the journal says of this worker, if it says anything new.

        Not only after a look: to write we read what others wrote before, which is then new to no
        look.
        """
        place = self.ledger.journal.header['gen'], self.ledger.journal.offset
        if place != self._orders_read_to:
            self._orders_read_to = place
            self._apply_orders()

    def _apply_orders(self) -> None:
        state = self.ledger.state
        me = state.alive.get(self.name)
        if me is None:
            if self.ledger.journal.header['id'] != self._identity:
                return  # it was cleared
            if self.name in state.workers:
                raise QueueLostError(
                    f'This worker missed its heartbeat for {self.lease:g} s, and its tasks were '
                    'given to others. It ends.'
                )
            raise QueueLostError(
                f'the journal of the queue in {self.ledger.folder} does not know this worker: an '
                'older copy was put in its place. '
                'What it ran is run again, and it ends'
            )
        if me.stop:
            self._stop(
                me.stop, 'killed', 'killed by desipipe kill' if me.stop == 'now' else 'asked to end'
            )
            self._heartbeat.confirm(me.stop)
        held = (
            sum(len(process.sent) for process in self._processes)
            + len(self._backlog)
            + self._unreported
            + len(self._back)
        )
        if len(me.rows) + len(me.draining) != held or me.draining:
            self._reconcile_claims(me.rows.keys() | me.draining, me.draining)

    def _reconcile_claims(self, own_rows: set[int], cleared: set[int]) -> None:
        # Rows that are no longer ours: cancelled, or set by hand. What has not begun is dropped,
        # what runs is killed. Rows that are ours and that we do not know of: a claim that counted
        # although the lock was lost when it was made. They go back. Rows of tasks that were
        # cleared: what runs may end, what has not begun goes back, where it is forgotten.
        state = self.ledger.state
        held = {task.row for process in self._processes for task in process.sent} | {
            task.row for task in self._backlog
        }
        held |= {end.row for end in self._ends} | {row for row, _ in self._back}
        held.update(row for batch in self._successes for row in batch.rows)
        self._back += [(row, state.attempt[row]) for row in own_rows - held]

        def lost(task: Sent) -> bool:
            return task.row not in own_rows or state.attempt[task.row] != task.attempt

        for process in self._processes if cleared else ():
            if any(task.row in cleared for task in list(process.sent)[1:]):
                self._backlog.extendleft(reversed(process.take_back()))
        self._back += [(task.row, task.attempt) for task in self._backlog if task.row in cleared]
        self._backlog = deque(
            task for task in self._backlog if task.row not in cleared and not lost(task)
        )
        for process in self._processes:
            if not any(map(lost, process.sent)):
                continue
            self._stop_after_current(process)
            if process.sent and lost(process.sent[0]) and process.dying is None:
                process.kill('cancelled', 'cancelled')
        self._backlog = deque(task for task in self._backlog if not lost(task))

    def _stop_after_current(self, process: SlotProcess) -> None:
        """Take back what a slot has not begun, and receive what it has done: one task at most is
        left, which runs.
        """
        self._backlog.extendleft(reversed(process.take_back()))
        self._receive(process)

    def _is_ours(self, task: Sent) -> bool:
        """Return True as long as this attempt was neither cancelled nor given to another worker."""
        state = self.ledger.state
        me = state.alive.get(self.name)
        return (
            me is not None
            and (task.row in me.rows or task.row in me.draining)
            and state.attempt[task.row] == task.attempt
        )

    def _stop(self, how: str, kind: str, text: str) -> None:
        if self._stopping is not None and ORDERS.index(how) <= ORDERS.index(self._stopping):
            # a milder order does not undo a stricter one, and the same does not begin its time
            # again
            return
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

    def _check_limits(self, now: float) -> None:  # noqa: C901
        caught, self._signals = self._signals, []
        told = [number for number in caught if number != signal.SIGCHLD]
        if told:
            self._told_to_end(told[0], now)
        if caught or any(process.reaped is not None for process in self._processes):
            self._collect_ended_slots(now)
        if self._deadline is not None and self._stopping in (None, 'politely'):
            if now >= self._deadline:
                batch = self._provider is not None and self._provider.batch
                self._stop(
                    'walltime',
                    'walltime',
                    f'its {"job" if batch else "worker"} reached its time limit',
                )
            elif (
                not self._warned
                and self._provider is not None
                and self._provider.batch
                and now >= self._deadline - self._warning()
            ):
                self._warned = True
                for process in self._processes:
                    process.tell()
        if self._stopping in ('soon', 'walltime') and now - self._stop_at > (
            GRACE if self._stopping == 'soon' else 0.0
        ):
            for process in self._processes:
                if process.sent and process.dying is None:
                    process.kill(self._cause['kind'], self._cause['text'])
        for process in self._processes:
            self._look_at(process)
            if isinstance(process, MPISlot):
                process.overdue(now)
            if not process.sent or process.dying is not None:
                continue
            ran = now - process.since
            head = process.sent[0]
            if head.timeout is not None and ran > head.timeout:
                self._stop_after_current(process)
                if process.sent and process.sent[0] is head:
                    process.kill('timeout', f'timeout: it ran longer than {head.timeout:g} s')
            elif len(process.sent) > 1 and ran > STUCK_AFTER:
                # A long task: what stands behind it may run elsewhere.
                self._backlog.extendleft(reversed(process.take_back()))
                self._mean[head.group] = max(ran, self._mean.get(head.group, 0.0))

    def _look_at(self, process: SlotProcess) -> None:
        """Find out what a slot runs, and since when; what it did before is received."""
        if process.look():
            self._receive(process)
            process.look()

    def _told_to_end(self, number: int, now: float) -> None:
        text = f'its worker was told to end ({signal.Signals(number).name})'
        told = None
        if (
            self._provider is not None
            and self._provider.batch
            and self._stopping not in ('soon', 'walltime', 'now')
        ):
            if self._busy():
                told = self._provider.told_to_end()
        if self._stopping not in ('soon', 'walltime', 'now'):
            self._verdict_at = now
            self._verdict = (
                ('terminated', text) if told is None else (self._fate_kind(told.fate), told.text)
            )
        if told is None:
            self._stop('soon', 'terminated', text)
        elif told.fate == 'walltime' and told.seconds:
            # Not the end yet, and perhaps another one than we knew of: what runs may use the time
            # that is left.
            limit = time.monotonic() + told.seconds - min(END_MARGIN, 0.1 * told.seconds)
            self._deadline = limit if self._deadline is None else min(limit, self._deadline)
        else:
            for process in self._processes:
                process.tell()
            self._fate = told.fate
            self._stop('soon', self._fate_kind(told.fate), told.text)

    def _fate_kind(self, fate: str) -> str:
        """Return the kind of cause of tasks whose job had this fate."""
        if fate != 'cancelled':
            return fate
        if self.ledger.state.jobs.get(self.jobid, {}).get('state') == 'withdrawn':
            # by the manager, who thought that it had not begun: what it took goes back
            return 'requeued'
        # 'cancelled' is said of a task that someone cancelled: its state is known, and needs no
        # report
        return 'cancelled-job'

    def _warning(self) -> float:
        # Seconds before the end from which on running tasks are told, and nothing begins of which
        # it is not known how long it takes.
        assert self._deadline is not None and self._provider is not None
        return min(self._provider.warning, 0.25 * (self._deadline - self._started))

    def _fits(self, group: int, now: float) -> bool:
        """Return True if a task can end before this worker does.

        It goes by what the task's app has taken so far, else by the task's own time limit.
        """
        if self._deadline is None or now - self._started < 0.1 * (self._deadline - self._started):
            return True  # no other worker will have more time than this one
        state = self.ledger.state
        taken = [self._mean[group]] if group in self._mean else []
        if state.group_done[group]:
            taken.append(state.group_time[group] / state.group_done[group] * 1e-6)
        expected = max(taken) if taken else state.groups[group].timeout
        return not self._warned if expected is None else now + expected <= self._deadline

    # Slots

    def _start(self) -> SlotProcess | None:
        """Start a slot; None when the system does not let us now (processes, memory, open
        files).
        """
        made: list[SlotProcess] = []
        if not self._try(_START, lambda: made.append(self._make())):
            return None
        process = made[0]
        if self._copies is not None:
            process.copy_output(self._copies)
        self._processes.append(process)
        for fd in (*process.sockets, process.out.fd, process.err.fd):
            self._selector.register(fd, selectors.EVENT_READ, process)
        return process

    def _make(self) -> SlotProcess:
        name = f'{self.name}-{self._made:d}'
        self._made += 1
        provider, common = (
            self._provider,
            (self.ledger.folder, name, self.ledger.trusts, self.limit),
        )
        try:
            if self._divisions or (
                provider is not None and self._mpi and provider.mpi_splits(self.slots) > 1
            ):
                return SplitSlot(*common, self._divide(name))
            if provider is not None and self._mpi:
                return MPISlot(
                    *common,
                    lambda argv: provider.mpi_command(list(argv)),
                    provider.mpiprocs_per_worker,
                    provider.remote_ranks,
                )
            return ForkedSlot(*common)
        except (OSError, DesipipeError) as exc:
            if passes(exc) or isinstance(exc, QueueGoneError):
                raise
            raise SlotError(
                f'No slot can be started: {exc}. See the provider option mpiexec. The tasks are '
                'pending.'
            ) from exc

    def _receive(self, process: SlotProcess) -> None:
        for message in process.receive():
            if isinstance(message, Results):
                self._take_results(process, message)
            elif isinstance(message, TaskDone):
                self._done(process, message)
            elif isinstance(message, DisplayStored):
                process.shown.append(Ref(*message.reference))
            elif isinstance(message, PipesRenewed):
                self._renew_streams(process)
            elif isinstance(message, TaskWaits):
                self._note_waits(process, message)
            elif isinstance(message, VersionsFollow):
                self._telling.add(process)
            elif isinstance(message, VersionsFound):
                self._telling.discard(process)
                self._note_versions(message)
        if isinstance(process, MPISlot):
            known = set(self._selector.get_map())
            # Who shares a launcher takes in the others' processes too.
            for other in self._processes:
                for sock in other.sockets if isinstance(other, MPISlot) else ():
                    if sock.fileno() not in known:
                        self._selector.register(sock, selectors.EVENT_READ, other)

    def _note_waits(self, process: SlotProcess, waits: TaskWaits) -> None:
        row, attempt, tids = waits
        if not process.sent or (process.sent[0].row, process.sent[0].attempt) != (row, attempt):
            return
        process.waits_for = tids
        if tids:
            # Slots that start from here on add tasks too, as a rule; what that takes is imported
            # once.
            importlib.import_module('desipipe.serialize.pickler')
        if tids and len(process.sent) > 1:
            self._backlog.extendleft(
                reversed(process.take_back())
            )  # what it waits for may be among them

    def _note_versions(self, versions_found: VersionsFound) -> None:
        app, packages, everything = versions_found
        known = self.ledger.state.versions
        before = known.get((self.name, ''), {})
        everything = {**before, **everything}
        found = [(app, packages)] if packages and (self.name, app) not in known else []
        found += [('', everything)] if everything != before else []
        # Written later: the queue may be gone, and the slot's other messages have not been read.
        self._notes += [versions_event(self.name, app, versions) for app, versions in found]

    def _write_notes(self) -> None:
        notes = self._notes
        if notes and self._try(_VERSIONS, lambda: self.ledger.journal.write(lambda: notes)):
            self._notes = []

    def _done(self, process: SlotProcess, done: TaskDone) -> None:
        if not process.sent:
            return  # it was cancelled, or the slot is being killed
        process.answered = True
        process.waits_for = ()
        now = process.since = time.monotonic()
        if (process.sent[0].row, process.sent[0].attempt) != (done.row, done.attempt):
            process.kill(
                'exit',
                'its process reported a task that it did not run: user code wrote to its '
                'connection',
            )
            return
        task = process.pop()[0]
        self._note_durations(task.group, [done.duration])
        out, err = process.collect(done.output)
        if process.err.copy is not None and done.trace is not None:
            process.err.copy.write(done.trace)
            process.err.copy.end()
        end = End(
            done.row,
            done.attempt,
            done.state,
            done.began,
            done.duration,
            cause=done.cause,
            memory=done.memory,
            shown=tuple(process.shown),
        )
        process.shown.clear()
        files = self._joint_files(task, process) if process.rank_files else done.files
        if files or out or err or done.trace:
            payloads = {'files': files, 'out': out, 'err': err, 'trace': done.trace}
            self._add_end(end, now, result=done.result, **payloads)
        else:
            self._add_end(end, now, result=done.result)
        if self._stopping is None and done.state != SUCCEEDED and 'stop_at_error' in self.mode:
            self._stop('politely', 'error', 'a task failed, and the mode is stop_at_error')

    def _take_results(self, process: SlotProcess, results: Results) -> None:
        """Take in what a slot says of tasks that succeeded and left nothing else."""
        if not process.sent:
            return  # the slot is being killed
        process.answered = True
        process.waits_for = ()
        process.since = time.monotonic()
        if not process.accounts_for(results):
            process.kill(
                'exit',
                'its process reported tasks that it did not run: user code wrote to its memory',
            )
            return
        tasks = process.pop(len(results.numbers))
        recent = list(zip(tasks, results.durations, strict=True))[-RECENT:]
        for group in {task.group for task, _ in recent}:
            self._note_durations(
                group, [duration for task, duration in recent if task.group == group]
            )
        if not self._unreported:
            self._first_end = process.since
        rows, attempts = [task.row for task in tasks], [task.attempt for task in tasks]
        columns = results.began, results.durations, results.memory, results.lengths
        self._successes.append(Successes(rows, attempts, *columns, results.data))

    def _note_durations(self, group: int, durations: Iterable[int]) -> None:
        # Follows a change quickly upwards (never hoard behind tasks that got long), slowly
        # downwards.
        for duration in durations:
            seconds = duration * 1e-6
            mean = self._mean.get(group, seconds)
            self._mean[group] = seconds if seconds > 2 * mean else 0.8 * mean + 0.2 * seconds

    @property
    def _unreported(self) -> int:
        """Number of attempts that ended and are not in the journal yet."""
        return len(self._ends) + sum(len(batch.rows) for batch in self._successes)

    def _joint_files(self, task: Sent, process: SlotProcess) -> bytes | Place:
        # Of several MPI processes. What each read may be in what any of them wrote: nobody sees
        # what they send each other.
        reports, process.rank_files = process.rank_files, ()
        if len(reports) < 2:
            return reports[0]
        from ..file_manager.made import note_joint

        state = self.ledger.state
        group = state.groups[task.group]
        making = Making(
            self.ledger.folder, state.ids[task.row].hex(), task.attempt, group.name, group.app, str
        )
        try:
            told = [
                making.join(
                    report if isinstance(report, bytes) else bytes(self.ledger.read(Ref(*report)))
                )
                for report in reports
            ]
        except (PayloadError, OSError) as exc:
            logger.error(
                'which files task %s read and wrote is known in part only: %s', making.tid[:12], exc
            )
        else:
            if any(making.read.keys() - read.keys() for read in told):
                note_joint(making)
        return making.report()

    def _add_end(self, end: End, now: float, **payloads: bytes | memoryview | Place | None) -> None:
        """Keep the end of an attempt until it is reported, and here what is to be written of it."""
        if not self._unreported:
            self._first_end = now
        for name, payload in payloads.items():
            if isinstance(payload, bytes):
                if payload and (self.limit or name not in ('out', 'err')):
                    self._payloads.append((end, name, payload))
            elif payload:
                setattr(end, name, Ref(*payload))
        self._ends.append(end)

    def _on_slot_exit(self, process: SlotProcess) -> None:
        self._receive(process)  # what it said before it died counts
        process.drain()
        for sock in process.sockets:
            self._selector.unregister(sock)
        for stream in (process.out, process.err):
            if stream.fd in self._selector.get_map():
                self._selector.unregister(stream.fd)
        died = process.died()
        verdict = self._job_verdict(time.monotonic())
        if died.kind == 'signal' and process.killed_by in _ENDING and verdict is not None:
            died = died._replace(
                kind=verdict[0], text=verdict[1]
            )  # it came to the whole job, not to this slot
        self._processes.remove(process)
        self._telling.discard(process)
        self._looked &= {
            app for name, app in self.ledger.state.versions if name == self.name
        }  # another one has to look in its place
        # A slot that was killed for a cancelled task may not have received it yet.
        self._backlog.extendleft(reversed([task for task in died.unbegun if self._is_ours(task)]))
        running = died.running
        if running is None and died.kind == 'mpi' and self._backlog:
            running = self._backlog.popleft()  # not to blame, but every other would meet the same
        if running is not None:
            self._end_running(process, died, running)
        # In one line, as the last one of our log is what people are shown; Open MPI ends its own
        # with a NUL.
        last_words = ' '.join(
            process.err.remains().decode(errors='replace').replace('\0', ' ').split()
        )[-500:]
        process.close()
        if isinstance(process, SplitSlot) and process.division.given:
            self.slots -= 1  # nothing can take its place
            if not self.slots:
                self._stop(
                    'politely', 'slots', 'the MPI processes that were given to it have ended'
                )
        self._empty_slots = 0 if running is not None or process.answered else self._empty_slots + 1
        if self._empty_slots >= EMPTY_SLOTS_MAX and self._stopping is None:
            self._stop(
                'politely',
                'slots',
                f'{EMPTY_SLOTS_MAX:d} slots in a row ended before they took a task ({died.text}): '
                f'{last_words}',
            )
        if self._stopping:
            self._give_back()

    def _end_running(self, process: SlotProcess, died: Died, running: Sent) -> None:
        now = time.monotonic()
        duration = round((now - process.since) * 1e6)
        out, err = process.out.remains(), process.err.remains()
        cause: Event = {'kind': died.kind, 'text': died.text, 'kinds': [died.kind], 'errno': -1}
        end = End(
            running.row,
            running.attempt,
            KILLED,
            time.time() - duration * 1e-6,
            duration,
            cause=cause,
            memory=process.memory,
        )
        end.shown = tuple(process.shown)
        if died.kind == 'cancelled':
            return  # its state was set by whoever cancelled it, and this report would not count
        if process.last_word is not None:
            done = process.last_word
            end.cause = dict(done.cause or {})
            end.cause['text'] += ' (in one MPI process; the others were killed)'
            end.state = done.state
            self._add_end(end, now, out=out, err=err, trace=done.trace)
            return
        if died.kind == 'mpi':
            end.state = FAILED
        if died.kind in (*FREE, 'neighbour') or (
            died.kind in ('walltime', 'terminated') and 'retry_at_timeout' in self.mode
        ):
            cause['free'] = True
        elif died.kind == 'walltime' and self._provider is not None and self._provider.batch:
            cause |= self._provider.after_walltime(not process.answered)
        elif died.kind == 'cancelled-job':
            cause |= {'kind': 'killed', 'final': True}
        self._add_end(end, now, out=out, err=err)

    # Claiming and reporting

    def _horizon(self) -> float:
        """Return the seconds of work to have at hand for each slot."""
        return max(BATCH_TIME, 2 * self._report_after())

    def _waiting(self) -> int:
        """Return the number of slots whose task waits for other tasks."""
        return sum(1 for process in self._processes if process.waits_for)

    def _needed(self) -> dict[int, None]:
        """Return rows that could run, and that tasks of this worker wait for: directly, or as
        their requirements.
        """
        state, status = self.ledger.state, self.ledger.state.status
        found: dict[int, None] = {}
        seen: set[int] = set()
        todo = [
            state.rows[tid]
            for process in self._processes
            for tid in reversed(process.waits_for)
            if tid in state.rows
        ]
        while todo:
            row = todo.pop()
            if row in seen:
                continue
            seen.add(row)
            if status[row] in (PENDING, RUNNING):
                found[row] = None
            elif status[row] == WAITING:
                todo.extend(
                    other for other in state.requires.get(row, ()) if status[other] != SUCCEEDED
                )
        return found

    def _load(self, now: float) -> float:
        """Return the seconds of work at hand, of which no task counts for more than the horizon."""
        horizon, mean = self._horizon(), self._mean
        at_hand = Counter([task.group for process in self._processes for task in process.sent])
        at_hand.update([task.group for task in self._backlog])
        load = sum(n * min(horizon, mean.get(group, horizon)) for group, n in at_hand.items())
        for process in self._processes:
            if process.sent:  # the first counts for as long as it runs already
                expected = min(horizon, mean.get(process.sent[0].group, horizon))
                load += max(0.0, min(horizon, now - process.since) - expected)
        return load

    def _choose(self, rows: Iterator[int], share: int) -> list[int]:
        """Choose what to claim: no more than the slots can begin in a moment, by each app's own
        times.

        First comes what tasks here wait for, in the places that these lend.
        """
        rows = self._chosen_of(rows)
        now, group = time.monotonic(), self.ledger.state.group
        chosen = self._choose_needed() if self._waiting() else []
        preferred = set(chosen)
        spare, least = self._spare(now), _ROUNDING * self._horizon()
        costs: dict[int, float] = {}
        for row in islice(rows, share):
            number = group[row]
            cost = costs.get(number)
            if cost is None:
                cost = costs[number] = self._cost_of(number, now)
            if spare <= least or cost == _NEVER:
                break
            if row not in preferred:
                chosen.append(row)
                spare -= cost
        return chosen

    def _choose_next(self, rows: Iterator[int], share: int) -> list[int]:
        return list(islice(self._chosen_of(rows), share))

    def _cost_of(self, group: int, now: float) -> float:
        """Return the seconds for which a task counts against the horizon; infinity if it cannot
        end in time.
        """
        if not self._fits(group, now):
            return _NEVER
        horizon = self._horizon()
        return min(horizon, max(self._mean_of(group, horizon), 1e-5))

    def _mean_of(self, group: int, default: float) -> float:
        """Return the seconds that tasks of a group take here, or elsewhere where it is long
        until the next claim.
        """
        mean = self._mean.get(group)
        if mean is None and self._look_spacing() and (done := self.ledger.state.group_done[group]):
            mean = self.ledger.state.group_time[group] / done * 1e-6
        return default if mean is None else mean

    def _choose_needed(self) -> list[int]:
        state, mids, needed = self.ledger.state, set(self._mids()), self._needed()
        room = max(
            0, self._room_for_needed() - sum(1 for task in self._backlog if task.row in needed)
        )
        pending = (
            row
            for row in needed
            if state.status[row] == PENDING
            and row not in state.superseded
            and state.groups[state.group[row]].mid in mids
        )
        return list(islice(pending, room))

    def _spare(self, now: float) -> float:
        return self._places() * self._horizon() - self._load(now)

    def _places(self) -> int:
        """Return the number of slots that there are, or can be."""
        return len(self._processes) if self._faults.failing(_START) else self.slots

    def _room_for_needed(self) -> int:
        running = sum(1 for process in self._processes if process.sent and not process.waits_for)
        return min(self.slots - running, self.slots + LENT_MAX - self._busy_count())

    def _busy_count(self) -> int:
        return sum(1 for process in self._processes if process.sent)

    def _give_back_excess(self, now: float) -> None:
        """Give back what was claimed and cannot begin soon, since tasks before it take longer
        than was expected.
        """
        if not self._backlog or now < self._next_excess:
            return
        self._next_excess = now + EXCESS_LOOK_S
        needed = self._needed() if self._waiting() else {}
        stuck = sum(
            1 for process in self._processes if process.sent and now - process.since > STUCK_AFTER
        )
        horizon = self._horizon()
        room = max(0, self._places() - stuck) * horizon
        load = sum(min(horizon, self._mean.get(task.group, horizon)) for task in self._backlog)
        if load <= 2 * room:
            return
        kept: deque[Sent] = deque()
        for task in self._backlog:
            expected = min(horizon, self._mean.get(task.group, horizon))
            if room > 0 or task.row in needed:
                kept.append(task)
                room -= expected
            else:
                self._back.append((task.row, task.attempt))
        self._backlog = kept

    def _report_after(self) -> float:
        spacing = exchange_spacing_s(len(self.ledger.state.alive), self.ledger.journal.shared)
        return max(min(max(REPORT_AFTER, REPORT_COST * self._cost), REPORT_MOST), spacing)

    def _look_spacing(self) -> float:
        journal = self.ledger.journal
        return look_spacing_s(len(self.ledger.state.alive), journal.shared)

    def _may_exchange(self, now: float) -> bool:
        """Return True unless so many others use the queue's files that this worker has to wait."""
        return now >= self._next_exchange or self._stopping is not None

    def _trade(self, now: float) -> None:
        state = self.ledger.state
        mids = self._mids()
        if self._faults.failing(_START) and self._stopping is None:
            # as soon as it is due: until it works nothing is claimed, and nothing else would try
            self._start()
        self._feed()
        self._give_back_excess(now)
        at_hand = len(self._backlog) + sum(len(process.sent) for process in self._processes)
        want = 0
        if not state.paused and self._stopping is None and self._any_pending(mids):
            want = self._wanted(now, mids, at_hand)
        if want > 0 and self._provider is not None and self._provider.stop_after is not None:
            want = min(want, self._provider.stop_after * self.slots - self._claimed)
            if want <= 0 and not at_hand:
                self._stop(
                    'politely',
                    'stop_after',
                    f'its slots have run {self._provider.stop_after:d} tasks each',
                )
        idle = not self._backlog and (
            at_hand == 0 or any(not process.sent for process in self._processes)
        )
        due = self._unreported and (
            idle or want > 0 or now - self._first_end >= self._report_after() or self._stopping
        )
        if self._notes:
            self._write_notes()
        wanted = due or want > 0 or self._back
        if (
            wanted
            and self._may_exchange(now)
            and self._try(_REPORT, lambda: self._exchange(want, mids))
        ):
            self._feed()

    def _chosen_of(self, rows: Iterator[int]) -> Iterator[int]:
        """Yield the rows that this worker was started for."""
        rows = rows if self._only is None else filter(self._only.__contains__, rows)
        return rows if self.ledger.authors is None else filter(self.ledger.may_run, rows)

    def _any_pending(self, mids: list[str]) -> bool:
        state = self.ledger.state
        if self._only is None and not self.ledger.is_group_queue:
            return any(state.counts[mid][PENDING] for mid in mids if mid in state.counts)
        return next(self._chosen_of(state.pending_rows(mids)), None) is not None

    def _wanted(self, now: float, mids: list[str], at_hand: int) -> int:
        """Return how many tasks to ask for at most; how many are claimed, `_choose` says."""
        state = self.ledger.state
        waiting = self._waiting()
        # Asked for when half is used up, so that slots do not run dry meanwhile.
        if at_hand >= self.slots and 2 * at_hand > self._high_water and not waiting:
            return 0
        rows = list(islice(self._chosen_of(state.pending_rows(mids)), 1))
        if rows and not self._fits(state.group[rows[0]], now):
            if not at_hand and not self._unreported:
                self._stop(
                    'politely',
                    'walltime',
                    'what is pending would take longer than its job has left',
                )
            return 0
        if self._mpi:
            return max(0, self.slots - at_hand)
        if self._spare(now) <= _ROUNDING * self._horizon() and not (
            waiting and self._choose_needed()
        ):
            self._high_water = min(self._high_water, at_hand)
            return 0
        return max(1, BATCH_MOST * self.slots - at_hand)

    def _exchange(self, want: int, mids: list[str]) -> None:
        began = time.monotonic()
        self._store_payloads()
        if self._uncertain:
            self._forget_reported()
        self._uncertain = True  # an error may come after the lines were written
        choose = self._choose_next if self._mpi else self._choose
        claimed = self.ledger.exchange(
            self.name, self._ends, self._back, want, mids, self._identity, choose, self._successes
        )
        self._uncertain = False
        ended = time.monotonic()
        self._cost += 0.2 * (ended - began - self._cost)
        n, shared = len(self.ledger.state.alive), self.ledger.journal.shared
        self._next_exchange = ended + exchange_spacing_s(n, shared)
        self._next_journal = max(
            self._next_journal, ended + look_spacing_s(n, shared)
        )  # it has just looked
        reported = [end.row for end in self._ends if end.state == SUCCEEDED]
        reported += [row for batch in self._successes for row in batch.rows]
        self._ends, self._successes, self._back = [], [], []
        self._payloads, self._written = [], 0
        state = self.ledger.state
        saved = {
            number
            for number, group in enumerate(state.groups)
            if group.save_dir and not SAVED_WITH_FILES.issuperset(group.save_attrs)
        }
        for row in reported if saved else ():
            if state.group[row] in saved and state.status[row] == SUCCEEDED:
                self._save(row)
        self._claimed += len(claimed)
        if claimed:
            self._high_water = (
                len(claimed)
                + len(self._backlog)
                + sum(len(process.sent) for process in self._processes)
            )
        for row, attempt in claimed:
            number = state.group[row]
            self._backlog.append(Sent(row, attempt, number, state.groups[number].timeout))

    def _forget_reported(self) -> None:
        """Drop what the journal holds already: a report whose writing failed after its lines had
        arrived.
        """
        self.ledger.follow()
        state = self.ledger.state

        def is_current(row: int, attempt: int) -> bool:
            return state.status[row] == RUNNING and state.attempt[row] == attempt

        self._ends = [end for end in self._ends if is_current(end.row, end.attempt)]
        for i, batch in enumerate(self._successes):
            keep = list(map(is_current, batch.rows, batch.attempts))
            if not all(keep):
                self._successes[i] = batch.selected(keep)
        self._successes = [batch for batch in self._successes if batch.rows]

    def _store_payloads(self) -> None:
        """Write what the ends refer to, and put it on disk.

        It is kept here until the ends are reported.
        """
        todo = self._payloads[self._written :]
        batches = [batch for batch in self._successes if batch.place is None]
        writer = self.ledger.writer
        try:
            if todo or batches:
                pieces = [payload for _, _, payload in todo] + [batch.data for batch in batches]
                segment, offset, _ = self.ledger.store(b''.join(pieces))
                for end, name, payload in todo:
                    ref = Ref(segment, offset, len(payload))
                    offset += len(payload)
                    if name != 'trace':
                        setattr(end, name, ref)
                    elif end.cause is not None:
                        end.cause['trace'] = ref
                for batch in batches:
                    batch.place = segment, offset
                    offset += len(batch.data)
                self._written = len(self._payloads)
            writer.flush()
        except OSError:
            # What a disk has refused once may be missing on it for ever: all goes to another
            # segment.
            self._written = 0
            for batch in self._successes:
                batch.place = None
            writer.close()
            raise

    def _save(self, row: int) -> None:
        from ..queue.task import Task

        task = Task.stored(self.ledger, row)
        try:
            task.save()
        except (OSError, DesipipeError) as exc:
            logger.error(
                'what save_attrs asks for of task %s could not be saved: %s', task.id[:12], exc
            )

    def _feed(self) -> None:
        backlog = self._backlog
        if not backlog or self._stopping:
            return
        if self._waiting():
            self._feed_needed()
        # Evenly, one after the other: the first to be free gets the next.
        busy = self._busy_count()
        for process in self._processes:
            if not process.sent and process.dying is None and backlog and busy < self.slots:
                busy += self._send(process)
        while backlog and len(self._processes) < self.slots:
            started = self._start()
            if started is None or (not self._send(started) and not self._mpi):
                break
        progress = True
        while backlog and progress:
            progress = False
            for process in self._processes:
                if (
                    backlog
                    and process.dying is None
                    and len(process.sent) < process.ahead
                    and _fits(process, self._mean, backlog[0])
                ):
                    progress |= self._send(process)

    def _feed_needed(self) -> None:
        """Run what tasks here wait for, in the places that these lend."""
        needed = self._needed()
        some = sorted(self._backlog, key=lambda task: task.row not in needed)
        self._backlog.clear()
        self._backlog.extend(some)
        while self._backlog and self._backlog[0].row in needed and self._room_for_needed() > 0:
            process = (
                next(
                    (
                        process
                        for process in self._processes
                        if not process.sent and process.dying is None
                    ),
                    None,
                )
                or self._start()
            )
            if process is None or not self._send(process, 1):
                break
        lent = max(0, self._busy_count() - self.slots)
        if lent > self._lent:
            self._note_lent(lent)

    def _note_lent(self, places: int) -> None:
        self._lent = places
        self._notes.append(lend_event(self.name, places, time.time()))

    def _end_idle_extra(self, now: float) -> None:
        """End slots that were started while others lent their places, when they have nothing to
        do for a while.
        """
        extra = len(self._processes) - self.slots
        if extra <= 0:
            return
        if self._lent and self._busy_count() <= self.slots:
            self._note_lent(0)
        for process in self._processes:
            if (
                extra > 0
                and not process.sent
                and process not in self._telling
                and now - process.since > LENT_IDLE_S
            ):
                process.kill('end', 'no longer needed')
                extra -= 1

    def _send(self, process: SlotProcess, most: int = PACKET_TASKS_MAX) -> bool:
        """Hand the next tasks to a slot: several of one group, where these are known to be
        short.
        """
        head = self._backlog[0]
        state = self.ledger.state
        group = state.groups[head.group]
        if group.app not in state.apps or (group.shared and group.shared not in state.shared):
            self._backlog.popleft()
            cause = {
                'kind': 'code',
                'text': (
                    'the code or arguments of this task were in a damaged line of the journal: '
                    'call its app again'
                ),
                'errno': 1,
            }
            self._add_end(
                End(head.row, head.attempt, FAILED, time.time(), 0, cause=cause), time.monotonic()
            )
            return True
        segment = state.args_segment[head.row]
        authors = self.ledger.authors
        call = None if authors is None else authors.call(state, head.row)
        if authors is not None and call is None:
            # It was added again with other options since it was claimed.
            self._back.append((head.row, head.attempt))
            self._backlog.popleft()
            return True
        # Each claim of a group's member has its own place.
        most = most if authors is None else 1
        some = islice(self._backlog, min(most, self._packet_size(process, head)))
        tasks = list(
            takewhile(
                lambda task: task.group == head.group and state.args_segment[task.row] == segment,
                some,
            )
        )
        if not process.send(tasks, self._packet(tasks, call), self._introduce, self._large):
            return False
        for _ in tasks:
            self._backlog.popleft()
        return True

    def _packet_size(self, process: SlotProcess, task: Sent) -> int:
        """Return how many tasks to hand over at once, so that they take a few milliseconds and
        all slots get some.
        """
        mean = self._mean.get(task.group)
        if mean is None:
            return 1
        fit = int(PACKET_TIME_S / max(mean, TASK_COST_S))
        fair = -(-len(self._backlog) // self.slots)
        return max(1, min(fit, fair, process.ahead - len(process.sent)))

    def _packet(self, tasks: list[Sent], call: Call | None) -> Packet:
        state = self.ledger.state
        rows = [task.row for task in tasks]
        requires = {}
        for row in rows if state.requires else ():
            if row in state.requires:
                requires[row] = [
                    (state.ids[other], _plain(state.result(other))) for other in state.requires[row]
                ]
        args = [state.args(row) for row in rows] if call is None else [call.args]
        return Packet(
            group=tasks[0].group,
            first=0,
            rows=rows,
            attempts=[task.attempt for task in tasks],
            segment=args[0].segment,
            offsets=[ref.offset for ref in args],
            lengths=[ref.length for ref in args],
            tids=[state.ids[row] for row in rows],
            requires=requires,
        )

    def _introduce(self, number: int) -> GroupSettings:
        group = self.ledger.state.groups[number]
        event = self.ledger.state.apps[group.app]
        shared = tuple(self.ledger.state.shared[group.shared]['ref']) if group.shared else None
        code = tuple(event['code'])
        if (authors := self.ledger.authors) is not None:
            code = tuple(authors.trusted_ref(authors.claims.codes.get(group.app)) or code)
            shared = shared and tuple(
                authors.trusted_ref(authors.claims.shared.get(group.shared)) or shared
            )
        # What everything is run with is looked at by one slot, after the first task of an app: what
        # it imports is known then.
        look = group.app not in self._looked
        self._looked.add(group.app)
        environ = self.ledger.state.managers.get(group.mid, {}).get('environ', {})
        packages, source = event.get('packages', []), tuple(event['source'])
        return GroupSettings(number, tuple(group), code, shared, packages, source, environ, look)

    def _large(self, data: bytes) -> Ref:
        ref = self.ledger.store(data)
        if self.ledger.journal.shared:
            self.ledger.writer.flush()
        return ref

    def _follow_output(self, now: float) -> None:
        if 'no_stream' in self.mode or not self.limit:
            return
        for process in self._processes:
            self._look_at(process)
            if process.sent and now - process.since > LIVE_AFTER:
                process.follow(self.ledger.state.ids[process.sent[0].row].hex())


def _fits(process: SlotProcess, mean: dict[int, float], task: Sent) -> bool:
    """Return True if ``task`` may be claimed ahead behind others: only among short tasks."""
    if not process.sent:
        return False  # it gets the next one when its turn comes
    if process.waits_for:
        return False
    return (
        mean.get(task.group, 1.0) < BATCH_TIME
        and mean.get(process.sent[-1].group, 1.0) < BATCH_TIME
    )


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
    mid: str | None = None,
    tid: str | Iterable[str] | None = None,
    name: str | Iterable[str] | None = None,
    provider: Any = None,
    mode: str | Iterable[str] = (),
    mpicomm: Any = None,
    mpisplits: int | None = None,
    timestep: float | None = None,
    *,
    slots: int = 1,
    jobid: str = '',
    timeout: float | None = None,
    linger: float = 0.0,
    config: Config | None = None,
    copy_output: Iterable[str] = (),
) -> None:
    """Run tasks of a queue in this process and its children until nothing is left to do.

    Parameters
    ----------
    queue : str or Queue
    mid : str, default=None
        Only tasks of this task manager.
    tid, name : str, list, default=None
        Only these tasks, only tasks of apps of these names, of those that are in the queue now.
    provider : default=None
        Not needed: kept for callers of the original. The process needs no name.
    mode : str or iterable of str, default=()
        Of ``'stop_at_error'``, ``'retry_at_timeout'``, ``'no_stream'``, ``'no_out'``.
    mpicomm : MPI communicator, default=None
        Processes that run tasks together: all of them call this function. By default those of an
        ``mpiexec`` or ``srun`` that started this one, unless ``slots`` are asked for, or this
        process is part of a job of a provider.
    mpisplits : int, default=None
        Divide these processes among so many tasks at once.
    timestep : default=None
        Not needed: kept for callers of the original. Output is followed at once.
    slots : int, default=1
        How many tasks at once.
    jobid : str, default=''
        Identifier of the job this process is part of.
    timeout : float, default=None
        Seconds after which to end; what runs then is KILLED, or runs again with mode
        ``'retry_at_timeout'``.
    linger : float, default=0
        Seconds to stay when nothing is left.
    config : Config, default=None
    copy_output : iterable of str, default=()
        Of ``'out'``, ``'err'``: what tasks print there goes, as it comes, to the standard output
        or error of this process, too.
    """
    if slots < 1:
        raise ValueError(f'slots={slots!r}: a worker needs one at least')
    found = patiently(lambda: get_queue(queue, create=False, config=config), START_PATIENCE_S)
    if mpisplits is None and mpicomm is not None and mpicomm.size > 1:
        mpisplits = 1
    if mpisplits is None and slots == 1 and _is_launched_together():
        mpisplits = 1

    def make(division: Division | None = None) -> Worker:
        number = slots if mpisplits is None else mpisplits
        more = division, tid, name, copy_output
        return Worker(found, number, mid, jobid, timeout, linger, mode, *more)

    if mpisplits is None:
        try:
            patiently(make, START_PATIENCE_S).run()
        except SlotError as exc:
            raise LaunchError(str(exc)) from exc
    else:
        _work_together(mpisplits, make, found.folder, mpicomm)


def _launched(names: Sequence[str], default: int) -> int:
    return int(next((os.environ[name] for name in names if name in os.environ), default))


def _is_launched_together() -> bool:
    """Return True in one of several processes of an MPI launcher, which no provider has started."""
    ranked = any(name in os.environ for name in _MPI_RANKS)
    if not ranked or 'DESIPIPE_JOB' in os.environ or _launched(_SIZES[:-1], 1) < 2:
        return False
    return importlib.util.find_spec('mpi4py') is not None


def _work_together(
    splits: int, make: Callable[[Division], Worker], folder: str, mpicomm: Any
) -> None:
    # All processes of a launcher are here. The first one forks, before MPI begins in it if that is
    # left to us: the child is the worker, and all of them are its ranks.
    size = _launched(_SIZES, 1) if mpicomm is None else mpicomm.size
    rank = _launched(_RANKS, 0) if mpicomm is None else mpicomm.rank
    if not 1 <= splits <= size:
        raise ValueError(
            f'mpisplits={splits:d}, but there are {size:d} MPI processes: start desipipe work with '
            'mpiexec -n or srun -n, and as many at least'
        )
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

    comm = world() if mpicomm is None else mpicomm
    main(comm.bcast(argv, root=0), comm)
    if pid and os.waitpid(pid, 0)[1]:
        raise DesipipeError(
            'the worker of these MPI processes ended with an error, see above; what it ran is '
            'UNKNOWN, or runs again as its retries say'
        )
