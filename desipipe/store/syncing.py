"""Syncing of a journal: what was written is on disk within an interval."""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import time
from collections.abc import Callable

from .files import open_file, sync_data
from .journal_file import FILE_NAME, JournalFile
from .line_format import TAIL
from .writing import disk_full

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    T = TypeVar('T')


SYNC_INTERVAL = 0.2  # s
_NEVER = float('inf')
_END = len(b'%020d' % 0)  # of a number in the note


class SyncNote:
    """Note in the lock file: how far the journal is on disk, whoever put it there.

    A sync serves all that wrote before. If each of many writers synced for itself, the disk would
    keep those waiting that append under the lock.

    Parameters
    ----------
    folder : str
        The queue's folder.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def covers(self, fd: int, end: int) -> bool:
        """Return True if the journal, open as ``fd``, is on disk up to ``end``."""
        note = b''
        with contextlib.suppress(OSError):  # the sync itself then tells what is wrong
            note = self._access(lambda lock: os.pread(lock, _END + TAIL, 0))
        if len(note) != _END + TAIL or not note[:_END].isdigit():
            return False
        # The tail has the checksum of the line that ends there. It differs where lines were taken
        # back, or the journal was replaced.
        noted, tail = int(note[:_END]), note[_END:]
        return noted >= end and os.pread(fd, TAIL, noted - TAIL) == tail

    def write(self, end: int, tail: bytes) -> None:
        """Note that the journal is on disk up to ``end``, behind the bytes ``tail``."""
        with contextlib.suppress(OSError):  # others then sync for themselves
            self._access(lambda lock: os.pwrite(lock, b'%020d' % end + tail, 0))

    def _access(self, call: Callable[[int], T]) -> T:
        fd = open_file(self._folder, 'lock', os.O_RDWR)
        try:
            return call(fd)
        finally:
            os.close(fd)


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
        self.dirty_since = _NEVER
        """Monotonic time of the first write that is not on disk yet; infinity if all is."""
        self.thread: threading.Thread | None = None
        """Lives as long as there is something to sync."""
        self._file = file
        self._interval = interval
        self._before = before
        self._end = 0  # of what was written last
        self._note = SyncNote(file.folder)

    @property
    def dirty(self) -> bool:
        """True if something was written that is not on disk yet."""
        return self.dirty_since < _NEVER

    def note_write(self, end: int) -> None:
        """Note that the journal is written to, up to the offset ``end``."""
        self._end = end
        self.dirty_since = min(self.dirty_since, time.monotonic())

    def forked(self) -> None:
        """In a forked child: what the parent wrote, the parent syncs."""
        self.thread = None
        self.dirty_since = _NEVER

    def sync(self) -> None:
        """Put what was written on disk, unless another process has done so."""
        if not self.dirty:
            return
        # before: what is written meanwhile is dirty again
        since, self.dirty_since = self.dirty_since, _NEVER
        try:
            if self._before is not None:
                self._before()
            try:
                fd = open_file(self._file.folder, FILE_NAME, os.O_RDWR)
            except (FileNotFoundError, NotADirectoryError):
                return  # deleted meanwhile: nothing to keep
            try:
                self._sync_file(fd)
            finally:
                os.close(fd)
        except BaseException as exc:
            self.dirty_since = since
            if isinstance(exc, OSError):
                raise disk_full(exc, self._file.path) from exc
            raise

    def _sync_file(self, fd: int) -> None:
        if self._note.covers(fd, self._end):
            return
        size = os.fstat(fd).st_size
        tail = os.pread(fd, TAIL, size - TAIL)
        sync_data(fd)
        self._note.write(size, tail)

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
