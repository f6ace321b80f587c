"""Limits of running tasks: of their time, and of how long they hold others up."""

from __future__ import annotations

from ...queue.events import CauseKind
from ...queue.ledger import Ledger
from ..mpi_slot import MPISlot
from ..slot_process import LIVE_AFTER, SlotProcess
from .claiming import STUCK_AFTER
from .durations import Durations
from .held import HeldTasks
from .pool import SlotPool
from .report import SlotMessages


class TaskLimits:
    """Watch over what runs in the slots of a worker.

    Parameters
    ----------
    ledger : Ledger
    pool, held, durations, messages
        Of the worker.
    follows_output : bool
        True if output is copied to where others can follow it.
    """

    def __init__(
        self,
        ledger: Ledger,
        pool: SlotPool,
        held: HeldTasks,
        durations: Durations,
        messages: SlotMessages,
        follows_output: bool,
    ) -> None:
        self._ledger = ledger
        self._pool = pool
        self._held = held
        self._durations = durations
        self._messages = messages
        self._follows_output = follows_output

    def check(self, now: float) -> None:
        """End tasks that ran for too long, and free those that wait behind one."""
        for process in self._pool.processes:
            self._messages.look_at(process)
            if isinstance(process, MPISlot):
                process.overdue(now)
            if process.sent and process.dying is None:
                self._check_task(process, now)
        self._pool.watch_ranks()  # also those that were taken in just now

    def _check_task(self, process: SlotProcess, now: float) -> None:
        ran = now - process.since
        head = process.sent[0]
        if head.timeout is not None and ran > head.timeout:
            self._messages.stop_after_current(process)
            if process.sent and process.sent[0] is head:
                text = f'timeout: it ran longer than {head.timeout:g} s'
                process.kill(CauseKind.TIMEOUT, text)
        elif len(process.sent) > 1 and ran > STUCK_AFTER:
            # A long task: what stands behind it may run elsewhere.
            self._held.take_back(process)
            self._durations.raise_to(head.group, ran)

    def follow_output(self, now: float) -> None:
        """Copy what running tasks have printed to where others can follow it."""
        if not self._follows_output:
            return
        for process in self._pool.processes:
            self._messages.look_at(process)
            if process.sent and now - process.since > LIVE_AFTER:
                process.follow(self._ledger.state.ids[process.sent[0].row].hex())
