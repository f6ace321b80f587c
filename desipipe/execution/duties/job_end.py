"""The end of a worker's job: signals and time limits, and what they end."""

from __future__ import annotations

import signal

from ...provider.base import BaseProvider
from ...queue.events import CauseKind, StopLevel
from ...queue.ledger import Ledger
from .pool import SlotPool
from .stopping import Stopping, StopReason
from .time_limit import TimeLimit

VERDICT_S = 1.0  # for a signal that came to the whole job to reach this worker too


class JobEnd:
    """End of a worker's job, as far as it is known.

    Parameters
    ----------
    ledger : Ledger
    jobid : str
    provider : BaseProvider or None
        Of the worker's task manager.
    pool : SlotPool
    time_limit : TimeLimit
    stopping : Stopping
    """

    def __init__(
        self,
        ledger: Ledger,
        jobid: str,
        provider: BaseProvider | None,
        pool: SlotPool,
        time_limit: TimeLimit,
        stopping: Stopping,
    ) -> None:
        self._ledger = ledger
        self._jobid = jobid
        self._provider = provider
        self._is_batch = provider is not None and provider.batch
        self._pool = pool
        self._time_limit = time_limit
        self._stopping = stopping
        self._verdict: StopReason | None = None
        self._verdict_at = 0.0

    def verdict(self, now: float) -> StopReason | None:
        """Return why the whole job is ending, if a signal said so."""
        is_recent = self._stopping.is_strict or now - self._verdict_at < 5 * VERDICT_S
        return self._verdict if is_recent else None

    def on_signal(self, number: int, now: float) -> None:
        """End what runs as the provider says, after a signal that asks this worker to."""
        answer = None
        is_strict = self._stopping.is_strict
        if self._is_batch and not is_strict and self._pool.is_busy():
            assert self._provider is not None
            answer = self._provider.told_to_end()
        if answer is None:
            text = f'its worker was told to end ({signal.Signals(number).name})'
            cause = StopReason(CauseKind.TERMINATED, text)
        else:
            cause = StopReason(self._kind_of(answer.fate), answer.text)
        if not is_strict:
            self._verdict, self._verdict_at = cause, now
        if answer is None:
            self._stopping.request(StopLevel.SOON, *cause)
        elif answer.fate == CauseKind.WALLTIME and answer.seconds:
            # Not the end yet, and perhaps another one than we knew of: what runs may use the time
            # that is left.
            self._time_limit.shorten(answer.seconds)
        else:
            self._pool.tell()
            self._stopping.fate = answer.fate
            self._stopping.request(StopLevel.SOON, *cause)

    def check_time(self, now: float) -> None:
        """End what runs when the time is over, and tell it before."""
        if self._stopping.level not in (None, StopLevel.POLITELY):
            return
        if self._time_limit.is_over(now):
            text = f'its {"job" if self._is_batch else "worker"} reached its time limit'
            self._stopping.request(StopLevel.WALLTIME, CauseKind.WALLTIME, text)
        elif self._time_limit.is_near(now):
            self._pool.tell()

    def wait_for_verdict(self, since: float, now: float) -> bool:
        """Return True while a signal to the whole job may still reach this worker."""
        return self.verdict(now) is None and now - since < VERDICT_S

    def _kind_of(self, fate: str) -> str:
        """Return the kind of cause of tasks whose job had this fate."""
        if fate != CauseKind.CANCELLED:
            return fate
        job = self._ledger.state.jobs.get(self._jobid)
        if job is not None and job['state'] == 'withdrawn':
            # by the manager, who thought that it had not begun: what it took goes back
            return CauseKind.REQUEUED
        # 'cancelled' is said of a task that someone cancelled: its state is known, and needs no
        # report
        return CauseKind.CANCELLED_JOB
