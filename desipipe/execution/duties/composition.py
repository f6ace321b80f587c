"""Compose the duties of a worker: each is made of those before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ...provenance import machine
from ...provider.base import BaseProvider
from ...queue.ledger import Ledger
from ..queue_faults import QueueFaults
from .choice import TaskChoice
from .claiming import Claiming
from .durations import Durations
from .exchange import Exchange, Feeding
from .heartbeat import Heartbeat
from .held import HeldTasks
from .idle import IdleTime, Patience
from .job_end import JobEnd
from .launcher import SlotLauncher
from .modes import Mode
from .nested import NestedTasks
from .notes import Notes
from .orders import Orders
from .pace import Pace
from .packets import PacketMaker
from .parts import WorkerParts
from .pool import SlotPool
from .report import Report, SlotMessages
from .slot_ends import SlotEnds
from .stopping import Stopping
from .task_limits import TaskLimits
from .time_limit import TimeLimit

if TYPE_CHECKING:
    from ...queue.process_events import WorkerInfo


class WorkerSettings(NamedTuple):
    """Settings that a worker was started with."""

    name: str
    mid: str | None
    """Only tasks of this task manager."""
    only: frozenset[int] | None
    """Only these rows."""
    jobid: str
    slots: int
    mode: frozenset[str]
    timeout: float | None
    """Seconds after which to end."""
    linger: float
    """Seconds to stay when nothing is left."""
    output_limit: int
    """Bytes of each output stream to keep of a task."""

    @property
    def follows_output(self) -> bool:
        """True where the output of running tasks can be followed."""
        return self.output_limit > 0 and Mode.NO_STREAM not in self.mode

    def info(self, slots: int) -> WorkerInfo:
        """Describe the worker as its first event does, with the slots that it has."""
        here = machine()
        return {
            'mid': self.mid,
            'slots': slots,
            'job': self.jobid,
            'host': here['host'],
            'pid': here['pid'],
            'python': here['python'],
        }


class Duties:
    """The duties of a worker.

    Parameters
    ----------
    ledger : Ledger
    settings : WorkerSettings
    provider : BaseProvider or None
        Of the worker's task manager.
    launcher : SlotLauncher
    """

    def __init__(
        self,
        ledger: Ledger,
        settings: WorkerSettings,
        provider: BaseProvider | None,
        launcher: SlotLauncher,
    ) -> None:
        name, linger = settings.name, settings.linger
        faults = self.faults = QueueFaults(ledger)
        pool = self.pool = SlotPool(launcher, settings.slots, faults)
        report = self.report = Report(ledger, settings.output_limit)
        pace = self.pace = Pace(ledger)
        heartbeat = self.heartbeat = Heartbeat(ledger, name, faults)
        choice = TaskChoice(ledger, settings.mid, settings.only)
        durations, notes, held = Durations(), Notes(ledger, name, faults), HeldTasks(pool)
        stopping = self.stopping = Stopping(name, pool, held)
        time_limit = self.time_limit = TimeLimit(ledger, provider, settings.timeout, durations)
        nested = self.nested = NestedTasks(ledger, choice, pool, held, notes)
        job_end = JobEnd(ledger, settings.jobid, provider, pool, time_limit, stopping)
        self.job_end = job_end
        packets = PacketMaker(ledger, name)
        is_strict = Mode.STOP_AT_ERROR in settings.mode
        parts = WorkerParts(name, provider, ledger, pool, held, report, stopping)
        messages = self.messages = SlotMessages(
            ledger, pool, held, report, stopping, durations, notes, is_strict
        )
        retries = Mode.RETRY_AT_TIMEOUT in settings.mode
        self.slot_ends = SlotEnds(parts, retries, packets, messages, job_end)
        feeding = Feeding(parts, durations, nested, pace, packets)
        claiming = Claiming(parts, choice, durations, pace, nested, time_limit)
        self.exchange = Exchange(parts, faults, choice, notes, pace, claiming, feeding)
        self.orders = Orders(parts, heartbeat, messages)
        self.patience = Patience(faults, pool, report, stopping)
        follows = settings.follows_output
        self.task_limits = TaskLimits(ledger, pool, held, durations, messages, follows)
        self.idle = IdleTime(parts, linger, heartbeat.period, choice, notes)
