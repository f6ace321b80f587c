"""Syncing of a journal: what was written is on disk within an interval."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable

from .files import open_file, sync_data
from .journal_file import FILE_NAME, JournalFile
from .writing import disk_full

SYNC_INTERVAL = 0.2  # s


class Syncer:
    """Puts what was written to a journal on disk.

    Parameters
    ----------
    file : JournalFile
    interval : float, optional
        Seconds within which what was written is on disk; ``None``: only when it is asked to.
    before : callable, default=None
        Called before each sync: flushes what the events refer to.
    """

    def __init__(
        self, file: JournalFile, interval: float | None, before: Callable[[], None] | None
    ) -> None:
        self.dirty = False
        """True if something was written that is not on disk yet."""
        self.thread: threading.Thread | None = None
        """Lives as long as there is something to sync."""
        self._file = file
        self._interval = interval
        self._before = before

    def forked(self) -> None:
        """In a forked child: what the parent wrote, the parent syncs."""
        self.thread = None
        self.dirty = False

    def sync(self) -> None:
        """Put what was written on disk."""
        if not self.dirty:
            return
        self.dirty = False  # before: what is written meanwhile is dirty again
        try:
            if self._before is not None:
                self._before()
            try:
                fd = open_file(self._file.folder, FILE_NAME, os.O_RDWR)
            except (FileNotFoundError, NotADirectoryError):
                return  # deleted meanwhile: nothing to keep
            try:
                sync_data(fd)
            finally:
                os.close(fd)
        except BaseException as exc:
            self.dirty = True
            if isinstance(exc, OSError):
                raise disk_full(exc, self._file.path) from exc
            raise

    def sync_later(self) -> None:
        """Sync within the interval what is not on disk yet, in a thread."""
        if not self.dirty or self._interval is None:
            return
        if self.thread is None or not self.thread.is_alive():
            self.thread = threading.Thread(None, self._sync_soon, 'desipipe-sync', daemon=True)
            atexit.register(self.sync)  # a daemon thread may be gone before it has slept enough
            self.thread.start()

    def _sync_soon(self) -> None:
        # Lives as long as there is something to sync: no idle thread stays behind. It takes itself
        # off before it looks for the last time, and a writer sets dirty before it looks for a
        # thread: one of them sees the other. Two at once do no harm.
        from ..logs import logger  # now: later there may be no descriptor to import it

        pause = threading.Event()
        while True:
            pause.wait(self._interval)
            try:
                self.sync()
            except OSError as exc:
                # Said here, since nobody waits for it; tried again with the next write, at exit,
                # and where someone asks to sync.
                logger.error(
                    'What was written to %s is not on disk yet: %s', self._file.folder, exc
                )
                self.thread = None
                return
            self.thread = None
            if not self.dirty:
                atexit.unregister(self.sync)
                return
            self.thread = threading.current_thread()
