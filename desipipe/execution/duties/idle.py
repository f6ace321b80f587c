"""Decide when a worker has nothing left to do."""

from __future__ import annotations

import logging

from ...errors import DesipipeError
from ...queue.events import WAITING
from ...security.trust import held_text
from ..queue_faults import QueueFaults
from .choice import TaskChoice
from .notes import Notes
from .parts import WorkerParts
from .pool import SlotPool
from .report import Report
from .stopping import Stopping

logger = logging.getLogger('desipipe')

IDLE_PATIENCE_S = 600.0  # for the queue's files, with nothing in hand that could be lost
END_PATIENCE_S = 60.0  # for the queue's files, once this worker was asked to end
WAITING_LIMIT = 60.0  # s to stay for tasks that wait for others' tasks


class Patience:
    """Patience with faults of the queue's files.

    Parameters
    ----------
    faults, pool, report, stopping
        Of the worker.
    """

    def __init__(
        self, faults: QueueFaults, pool: SlotPool, report: Report, stopping: Stopping
    ) -> None:
        self._faults = faults
        self._pool = pool
        self._report = report
        self._stopping = stopping

    def check(self, now: float) -> None:
        """End the worker when faults last for too long.

        Raises
        ------
        DesipipeError
        """
        since = self._faults.since
        if not since:
            return
        in_hand = self._pool.is_busy() or self._report
        limit = IDLE_PATIENCE_S if not in_hand else float('inf')
        if self._stopping.level is not None:
            limit, since = END_PATIENCE_S, max(since, self._stopping.since)
        if now - since > limit:
            raise DesipipeError(
                f'{self._faults.text}. This lasted for {now - since:.0f} s: the worker ends.'
            )


class IdleTime:
    """The time for which a worker has had nothing to do.

    Parameters
    ----------
    parts : WorkerParts
    linger : float
        Seconds to stay when nothing is left.
    lease : float
        Seconds without a heartbeat after which a worker counts as dead.
    choice, notes
        Of the worker.
    """

    def __init__(
        self,
        parts: WorkerParts,
        linger: float,
        lease: float,
        choice: TaskChoice,
        notes: Notes,
    ) -> None:
        self._ledger = parts.ledger
        self._linger = linger
        self._lease = lease
        self._choice = choice
        self._pool = parts.pool
        self._held = parts.held
        self._report = parts.report
        self._notes = notes
        self._stopping = parts.stopping
        self._since: float | None = None
        self._named: set[str] = set()  # users whose tasks are not trusted

    def is_over(self, now: float) -> bool:
        """Return True when the worker is to end: there is nothing left to wait for."""
        if self._has_work():
            self._since = None
            return False
        if self._stopping.level is not None:
            return True
        state = self._ledger.state
        if not state.paused and self._choice.has_pending():
            self._since = None
            return False
        self._name_untrusted()
        self._since = self._since or now
        idle = now - self._since
        if self._choice.only is not None:
            return idle > self._linger  # what others run is not waited for
        if not state.paused and self._may_become_pending():
            return idle > max(self._linger, WAITING_LIMIT)
        if any(state.occupied(mid) for mid in self._choice.mids() if mid in state.counts):
            # Someone else's: they may fail and be retried, or their worker may vanish. That is for
            # a manager to see, and for us if there is none.
            least = 1.0 if state.manager is not None else 2 * self._lease
            return idle > max(self._linger, least)
        return idle >= self._linger

    def _has_work(self) -> bool:
        # Slots that are telling: else the versions of the last tasks would never be known.
        return bool(
            self._pool.is_busy()
            or self._report
            or self._held.backlog
            or self._held.back
            or self._pool.telling
            or len(self._notes)
        )

    def _may_become_pending(self) -> bool:
        """Return True if a task waits for others that may still succeed."""
        state, mids = self._ledger.state, self._choice.mids()
        n_waiting = sum(state.counts[mid][WAITING] for mid in mids if mid in state.counts)
        return bool(n_waiting) and n_waiting > sum(
            1 for row in self._ledger.blocked() if state.groups[state.group[row]].mid in mids
        )

    def _name_untrusted(self) -> None:
        """Tell once whose tasks of a group's queue stay pending here."""
        for user, n in self._ledger.held().items():
            if user not in self._named:
                self._named.add(user)
                logger.warning('%s', held_text(user, n))
