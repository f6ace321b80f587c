"""Wait for changes in a folder.

Changes of this host come by inotify, those of others by polling with back-off.
"""

from __future__ import annotations

import ctypes
import os
import select
import sys
import time

_IN_MODIFY, _IN_MOVED_TO, _IN_DELETE = 0x2, 0x80, 0x200
_IN_DONT_FOLLOW = 0x2000000
_IN_NONBLOCK, _IN_CLOEXEC = 0o4000, 0o2000000
_EVENTS = 65536  # bytes to read at once; an event takes up to 272

# (shortest, longest) seconds between two looks, when nothing wakes us
_WOKEN = (1.0, 1.0)
_POLL_LOCAL = (0.001, 0.02)
_POLL_SHARED = (0.005, 0.25)


def _inotify(folder: str, shared: bool) -> int:
    # The standard library has no inotify; three calls do not earn a dependency. -1 where there is
    # none (not Linux, or the user's instances are used up: fs.inotify.max_user_instances): polling
    # serves then.
    if not sys.platform.startswith('linux'):
        return -1
    libc = ctypes.CDLL(None, use_errno=True)
    fd: int = libc.inotify_init1(_IN_NONBLOCK | _IN_CLOEXEC)
    if fd < 0:
        return -1
    # A write to the journal would wake all who wait while its writer holds the lock, and they would
    # take the processor away from it. On a local disk it announces itself afterwards.
    lock = os.fsencode(os.path.join(folder, 'lock'))
    is_announced = (
        not shared and libc.inotify_add_watch(fd, lock, _IN_MODIFY | _IN_DONT_FOLLOW) >= 0
    )
    events = _IN_MOVED_TO | _IN_DELETE | (0 if is_announced else _IN_MODIFY)
    if libc.inotify_add_watch(fd, os.fsencode(folder), events) < 0:
        os.close(fd)
        return -1
    return fd


class Watcher:
    """Tells when to look at a folder again.

    Parameters
    ----------
    folder : str
        The queue's folder; a change of any file directly in it wakes.
    shared : bool
        True if other hosts may write too: their changes raise no event here, so that looking now
        and then is needed.
    """

    def __init__(self, folder: str, shared: bool) -> None:
        self._fd = _inotify(folder, shared)
        if shared:
            self._bounds = _POLL_SHARED
        else:
            self._bounds = _WOKEN if self._fd >= 0 else _POLL_LOCAL
        self.interval = self._bounds[0]
        """Seconds after which to look even if nothing woke us."""

    def fileno(self) -> int:
        """The descriptor to select on, ``-1`` where there is none."""
        return self._fd

    def drain(self) -> bool:
        """Forget what woke us; whether anything did."""
        woken = False
        while self._fd >= 0:
            try:
                events = os.read(self._fd, _EVENTS)
            except BlockingIOError:
                break
            woken = woken or bool(events)
            if len(events) <= _EVENTS // 2:
                break  # there were no more
        return woken

    def seen(self, change: bool) -> None:
        """Shorten the polling interval after a change, lengthen it otherwise."""
        self.interval = self._bounds[0] if change else min(self.interval * 1.5, self._bounds[1])

    def wait(self, timeout: float | None = None) -> bool:
        """Sleep until something changed, the next poll is due, or ``timeout`` is over.

        Returns
        -------
        woken : bool
            True if a change of this host woke us.
        """
        seconds = self.interval if timeout is None else max(0.0, min(self.interval, timeout))
        if self._fd < 0:
            time.sleep(seconds)
            return False
        poll = select.poll()  # not select(): descriptors above 1024 are common in notebook servers
        poll.register(self._fd, select.POLLIN)
        poll.poll(seconds * 1000)
        return self.drain()

    def close(self) -> None:
        """Stop watching."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __del__(self) -> None:
        if getattr(self, '_fd', -1) >= 0:
            self.close()
