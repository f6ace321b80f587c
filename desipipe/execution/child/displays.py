"""Displays of a task that are too large for its output."""

from __future__ import annotations

from ...serialize import Payload
from ..protocol import DisplayStored
from .link import WorkerLink
from .payloads import SlotPayloads

DISPLAYS_MAX_BYTES = 256 << 20  # of the large displays of a task that are kept
DISPLAYS_MAX = 200


class LargeDisplays:
    """The large displays of the task that runs.

    Parameters
    ----------
    link : WorkerLink
    payloads : SlotPayloads
    """

    def __init__(self, link: WorkerLink, payloads: SlotPayloads) -> None:
        self._link = link
        self._payloads = payloads
        self.number = 0
        """Number of displays that are kept of this task."""
        self._n_bytes = 0

    def begin_task(self) -> None:
        """Begin to count anew."""
        self.number = self._n_bytes = 0

    def keep(self, data: bytes) -> int:
        """Store a display; return its number, or -1 if the task has too many."""
        if self._n_bytes + len(data) > DISPLAYS_MAX_BYTES or self.number >= DISPLAYS_MAX:
            return -1
        try:
            reference = self._payloads.store(Payload([data], len(data), False))
        except OSError:
            # A full disk: what is shown small has to do, and the result may still find room.
            return -1
        self._n_bytes += len(data)
        self.number += 1
        self._link.send(DisplayStored(reference))
        return self.number - 1
