"""The most memory that a task took."""

from __future__ import annotations

import os
import resource

from ..shell_process import most_memory
from ..slot_environment import private_descriptor


class PeakMemory:
    """The kernel's high-water mark, which begins anew for each task.

    A fork has no other: what ``getrusage`` adds is what was there before an ``exec``. Linux only:
    elsewhere it is not known what one task took.
    """

    def __init__(self) -> None:
        try:
            fd = os.open('/proc/self/clear_refs', os.O_WRONLY | os.O_CLOEXEC)
            self._resets = private_descriptor(fd)
        except OSError:
            self._resets = -1

    def take(self) -> int:
        """Return the most resident memory since the last call, kilobytes; 0: not known."""
        if self._resets < 0:
            return 0
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            os.write(self._resets, b'5')
        except OSError:  # user code has closed it: it is not known any longer what one task took
            self._resets = -1
        return max(peak, most_memory())
