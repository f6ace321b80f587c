"""The worker: a process on each node that claims tasks, runs them, and reports.

One loop, one thread: what waits, waits in ``select``. Everything it decides it decides on the state
folded from the journal. Its duties are the modules of :mod:`desipipe.execution.duties`.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Iterable
from typing import Any

from ..config import Config
from ..errors import DesipipeError, LaunchError, QueueGoneError
from ..queue.events import CauseKind, StopLevel
from ..queue.faults import patiently
from ..queue.ledger import Ledger, find_mid
from ..queue.queue import Queue
from ..queue.queue_functions import get_queue
from ..security.secrets import process_values
from ..store.journal import writer_name
from ..utils import printable, username
from .duties.composition import Duties, WorkerSettings
from .duties.heartbeat import START_PATIENCE_S
from .duties.job_end import VERDICT_S
from .duties.launcher import SlotError, SlotLauncher, find_provider
from .duties.modes import MODES, Mode, check_mode
from .duties.signals import SignalCatcher
from .duties.stopping import StopReason
from .mpi_launcher import Division
from .mpi_together import is_launched_together, work_together
from .queue_faults import QueueLostError

__all__ = ['MODES', 'Worker', 'work']

logger = logging.getLogger('desipipe')

LOOK_S = 0.02  # between two looks at what slots have done that say nothing
QUIET_S = 0.02  # for which others are not woken for tasks that begin
LAST_PATIENCE_S = 5.0  # for the queue's files, at the end
_FOLLOW_EVERY = 0.2  # s between two copies of live output
_FOLLOW, _SYNC = 'reading the journal', 'putting the journal on disk'


class Worker:
    """Runs tasks of a queue until nothing is left to do.

    Parameters
    ----------
    queue : Queue
    slots : int, default=1
        Number of tasks at once.
    mid : str, default=None
        Only tasks of this task manager.
    jobid : str, default=''
        Name that the provider has for what this process is part of.
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
        only = None if tid is None and name is None else queue.select(tid=tid, name=name)
        process_values()  # of the environment of now, for the slots too
        self.name = writer_name()
        queue.ledger.check_use()
        ledger = self.ledger = Ledger(queue.folder, None, queue.ledger.trusts, self.name)
        modes = check_mode(mode)
        self._settings = WorkerSettings(
            self.name,
            None if mid is None else find_mid(ledger.state, mid),
            None if only is None else frozenset(only),
            jobid or f'local:{os.getpid():d}',
            slots,
            modes,
            timeout,
            linger,
            0 if Mode.NO_OUT in modes else int(queue.config['output_limit']),
        )
        self._sync_interval = float(queue.config['sync_interval'])
        self._next_copy = 0.0
        self._take_duties(division, copy_output)

    def _take_duties(self, division: Division | None, copy_output: Iterable[str]) -> None:
        ledger, settings = self.ledger, self._settings
        provider = find_provider(ledger, settings.mid)
        launcher = SlotLauncher(ledger, self.name, settings.output_limit, provider, division)
        if settings.follows_output:
            launcher.copy_output(copy_output, share=settings.slots > 1)
        duties = Duties(ledger, settings, provider, launcher)
        self._faults, self._patience, self._pool = duties.faults, duties.patience, duties.pool
        self._pace, self._heartbeat, self._orders = duties.pace, duties.heartbeat, duties.orders
        self._messages, self._slot_ends = duties.messages, duties.slot_ends
        self._stopping, self._time_limit = duties.stopping, duties.time_limit
        self._job_end, self._task_limits = duties.job_end, duties.task_limits
        self._exchange, self._nested, self._idle = duties.exchange, duties.nested, duties.idle

    # The loop

    def run(self) -> None:
        """Work until nothing is left, or someone asks to end.

        Raises
        ------
        QueueGoneError
            The queue was deleted or cleared; nothing was recreated.
        """
        self._pool.keep_to_descriptors()
        self._signals = SignalCatcher()
        self._pool.listen(self._signals.wake_fd, self._signals.drain)
        try:
            self._begin()
            while self._turn():
                pass
        except QueueGoneError as exc:
            if self._stopping.level != StopLevel.POLITELY or isinstance(exc, QueueLostError):
                self._pool.kill(CauseKind.GONE, 'the queue was deleted or cleared')
                raise
            logger.info(
                'The queue in %s was deleted: what runs may end, its results are dropped.',
                self.ledger.folder,
            )
            self._drain()
        except BaseException as exc:
            text = printable(f'{type(exc).__name__}: {exc}')
            self._stopping.cause = StopReason(CauseKind.ERROR, text)
            self._exchange.save_results()
            raise
        finally:
            self._pool.close()
            self._end()
            self._signals.close()
        cause = self._stopping.cause
        if cause is not None and cause.kind == CauseKind.SLOTS:
            raise DesipipeError(f'{cause.text}. The tasks are pending, nothing is lost.')

    def _begin(self) -> None:
        ledger = self.ledger
        self._watcher = ledger.watcher()
        self._heartbeat.begin()
        info = self._settings.info(self._pool.slots)
        if ledger.is_group_queue:
            info['user'] = username()
        patiently(lambda: ledger.begin_worker(self.name, **info), START_PATIENCE_S)
        identity = ledger.journal.header['id']
        self._orders.begin(identity)
        self._exchange.begin(identity)

    def _turn(self) -> bool:
        """Do one round of the loop; return False when the worker is to end."""
        ledger, now, offset = self.ledger, time.monotonic(), self.ledger.journal.offset
        self._keep_up(now)
        is_full = self._pool.is_full()
        if self._pace.is_look_due(now, is_full):
            self._faults.attempt(_FOLLOW, lambda: self._watcher.seen(self._pace.look(now, is_full)))
        self._orders.read()
        self._orders.check_queue()
        self._check_limits(now)
        if not self._faults.failing(_FOLLOW):
            self._exchange.trade(now)
            self._orders.read()
        self._nested.end_idle(now)
        self._patience.check(now)
        if self._idle.is_over(now):
            return False
        listens = not is_full and now >= self._pace.next_news
        self._pool.listen(self._watcher.fileno(), self._watcher.drain, listens)
        until = self._wake_at(now, is_full)
        is_heard = ledger.journal.announce(now - QUIET_S) or ledger.journal.offset != offset
        if is_heard and not (is_full or ledger.journal.shared):
            self._watcher.drain()  # what this worker wrote would wake it
            until = until if ledger.journal.reader.is_up_to_date() else now
        self._wait(until)
        return True

    def _keep_up(self, now: float) -> None:
        """Do what is due from time to time: heartbeat, sync, output to follow."""
        self._heartbeat.keep_up(now, self._pool.is_busy())
        if now >= self.ledger.journal.dirty_since + self._sync_interval:
            self._faults.attempt(_SYNC, self.ledger.journal.sync)
        if now >= self._next_copy:
            self._next_copy = now + max(_FOLLOW_EVERY, self._pace.slot_look())
            self._task_limits.follow_output(now)

    def _check_limits(self, now: float) -> None:
        """End what its time, or an order, ends."""
        caught, processes = self._signals.take(), self._pool.processes
        ending = [number for number in caught if number != signal.SIGCHLD]
        if ending:
            self._job_end.on_signal(ending[0], now)
        if caught or any(process.reaped is not None for process in processes):
            self._slot_ends.collect(now)
        self._job_end.check_time(now)
        self._stopping.kill_overdue(now)
        self._task_limits.check(now)

    # Waiting

    def _wake_at(self, now: float, is_full: bool) -> float:
        """Return the monotonic time at which the next turn is due, whatever comes."""
        pool, pace = self._pool, self._pace
        until = min(
            self._next_copy if pool.is_busy() else self._heartbeat.next_look(),
            self._faults.next_try(now),
            self._heartbeat.next_beat(),
            self._exchange.next_report(),
            max(self.ledger.journal.dirty_since + self._sync_interval, now + LOOK_S),
            self.ledger.journal.quiet_since + QUIET_S,
        )
        if pace.next_exchange > time.monotonic():  # not an exchange of this turn, without spacing
            until = min(until, pace.next_exchange)
        if any(process.reaped is not None for process in pool.processes):
            until = min(until, now + VERDICT_S / 10)
        if any(len(process.sent) > 1 for process in pool.processes):
            until = min(until, now + pace.slot_look())
        if is_full:
            return min(until, pace.next_look)
        return min(until, pace.idle_until(now, now + self._watcher.interval))

    def _wait(self, until: float) -> None:
        for process in self._pool.wait(max(0.0, until - time.monotonic())):
            self._messages.receive(process)

    # The end

    def _drain(self) -> None:
        """Wait, without a queue, until what runs has ended, or has to."""
        while self._pool.is_busy():
            now = time.monotonic()
            self._check_limits(now)
            self._pool.take_back()
            ends = [now + 60.0]
            if self._time_limit.deadline is not None:
                ends.append(self._time_limit.deadline)
            if self._stopping.level != StopLevel.POLITELY:
                ends.append(now + _FOLLOW_EVERY)
            self._wait(min(ends))

    def _end(self) -> None:
        ledger, stopping = self.ledger, self._stopping
        why = 'nothing left to do' if stopping.cause is None else stopping.cause.text
        try:
            patiently(lambda: ledger.end_worker(self.name, why, stopping.fate), LAST_PATIENCE_S)
            self._heartbeat.close()
            ledger.close()
        except QueueGoneError:
            logger.info('The queue is gone.')
        except (OSError, DesipipeError) as exc:
            # Others find the worker gone by its heartbeat.
            logger.error('The end of this worker could not be recorded: %s', exc)


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
    """Run tasks of a queue, in slots of this process, until nothing is left to do.

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
        Number of tasks at once.
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
        raise ValueError(f'A worker needs at least one slot, but slots={slots!r}.')
    opened = patiently(lambda: get_queue(queue, create=False, config=config), START_PATIENCE_S)
    if mpisplits is None and mpicomm is not None and mpicomm.size > 1:
        mpisplits = 1
    if mpisplits is None and slots == 1 and is_launched_together():
        mpisplits = 1

    def make(division: Division | None = None) -> Worker:
        number = slots if mpisplits is None else mpisplits
        more = division, tid, name, copy_output
        return Worker(opened, number, mid, jobid, timeout, linger, mode, *more)

    if mpisplits is not None:
        work_together(mpisplits, lambda division: make(division).run(), opened.folder, mpicomm)
        return
    try:
        patiently(make, START_PATIENCE_S).run()
    except SlotError as exc:
        raise LaunchError(str(exc)) from exc
