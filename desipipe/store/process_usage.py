"""CPU and memory of this process and all that it started, as the kernel counts."""

from __future__ import annotations

import os
import time

from ..machine import stat_fields

__all__ = ['ProcessUsage']

_TREE_MAX = 4096  # processes
_INTERVAL_MIN_S = 0.2  # the kernel counts in ticks of 10 ms: one in a millisecond is ten CPUs


class ProcessUsage:
    """The use of CPU and memory by this process and its descendants."""

    def __init__(self) -> None:
        self._seconds: float | None = None
        self._when = 0.0
        self._latest: dict[str, float] = {}

    def __call__(self) -> dict[str, float | int]:
        """Measure.

        Returns
        -------
        usage : dict
            ``cpu``, the processors that were busy on average since an earlier call, and ``memory``,
            the resident bytes, pages that processes share counted for each. Empty where there is no
            ``/proc``, and without ``cpu`` until 0.2 s after the first call.
        """
        measured = _tree_usage(os.getpid())
        if measured is None:
            return {}
        seconds, memory = measured
        now = time.monotonic()
        if self._seconds is None:
            self._seconds, self._when = seconds, now
        elif (interval := now - self._when) >= _INTERVAL_MIN_S:
            # What an ended child used is its parent's from then on; an orphan's use is lost.
            self._latest = {'cpu': round(max(0.0, seconds - self._seconds) / interval, 2)}
            self._seconds, self._when = seconds, now
        return {'memory': memory, **self._latest}


def _tree_usage(pid: int) -> tuple[float, int] | None:
    """Return seconds of CPU and resident bytes of a process and its descendants."""
    ticks = pages = count = 0
    pids = [pid]
    while pids and count < _TREE_MAX:
        process = pids.pop()
        fields = stat_fields(process)
        if fields is None:
            continue  # it has ended meanwhile
        ticks += sum(map(int, fields[11:15]))  # its own and those of ended children
        pages += int(fields[21])
        count += 1
        pids += _children(process)
    if not count:
        return None
    return ticks / os.sysconf('SC_CLK_TCK'), pages * os.sysconf('SC_PAGE_SIZE')


def _children(pid: int) -> list[int]:
    """Return the children of all threads of a process."""
    try:
        threads = os.listdir(f'/proc/{pid:d}/task')
    except OSError:
        return []
    return [
        int(child)
        for thread in threads
        for child in _read(f'/proc/{pid:d}/task/{thread}/children').split()
    ]


def _read(path: str) -> bytes:
    try:
        with open(path, 'rb') as file:
            return file.read()
    except OSError:  # it has ended, or there is no /proc
        return b''
