"""Parts of a worker that nearly all of its duties work with."""

from __future__ import annotations

from typing import NamedTuple

from ...provider.base import BaseProvider
from ...queue.ledger import Ledger
from .held import HeldTasks
from .pool import SlotPool
from .report import Report
from .stopping import Stopping


class WorkerParts(NamedTuple):
    """A worker's queue, slots and tasks, and what it was told."""

    name: str
    """Name of the worker."""
    provider: BaseProvider | None
    """Provider of its task manager."""
    ledger: Ledger
    pool: SlotPool
    held: HeldTasks
    report: Report
    stopping: Stopping
