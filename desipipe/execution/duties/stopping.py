"""Orders to end, which only get stricter."""

from __future__ import annotations

import logging
import time
from typing import NamedTuple

from ...queue.events import StopLevel
from .held import HeldTasks
from .pool import SlotPool

logger = logging.getLogger('desipipe')

GRACE = 5.0  # s for running tasks to end after SIGTERM
LEVELS = tuple(StopLevel)
_STRICT = (StopLevel.SOON, StopLevel.WALLTIME, StopLevel.NOW)


class StopReason(NamedTuple):
    """Why a worker ends, which is the cause of what it runs then, too."""

    kind: str
    text: str


class Stopping:
    """The strictest order to end that a worker has got.

    Parameters
    ----------
    name : str
        Of the worker.
    pool : SlotPool
    held : HeldTasks
    """

    def __init__(self, name: str, pool: SlotPool, held: HeldTasks) -> None:
        self._name = name
        self._pool = pool
        self._held = held
        self.level: StopLevel | None = None
        self.cause: StopReason | None = None
        """Reason that the worker ends; None if nothing is left to do."""
        self.fate = ''
        """Fate of the worker's job, of :class:`.Fate`, where it is known."""
        self.since = 0.0

    @property
    def is_strict(self) -> bool:
        """True where running tasks may not end in their time."""
        return self.level in _STRICT

    def request(self, level: StopLevel, kind: str, text: str) -> None:
        """Ask the worker to end: what has not begun goes back.

        A milder order does not undo a stricter one, and the same does not begin its time again.
        """
        if self.level is not None and LEVELS.index(level) <= LEVELS.index(self.level):
            return
        logger.info('%s: %s', self._name, text)
        self.level = level
        self.cause = StopReason(kind, text)
        self.since = time.monotonic()
        self._held.give_back_all()
        if level == StopLevel.NOW:
            self._pool.kill(kind, text)

    def kill_overdue(self, now: float) -> None:
        """Kill what runs although its time to end is over."""
        if self.level not in (StopLevel.SOON, StopLevel.WALLTIME) or self.cause is None:
            return
        if now - self.since > (GRACE if self.level == StopLevel.SOON else 0.0):
            for process in self._pool.processes:
                if process.sent and process.dying is None:
                    process.kill(*self.cause)
