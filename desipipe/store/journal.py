"""Journal of a queue: one event a line, appended under the lock, read without it.

The format is described in ``docs/developer/architecture.md`` (section "Journal lines").
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterable, Sequence

from ..errors import LockLostError
from ..utils import random_hex
from .appender import Appender
from .followed_journal import FollowedJournal
from .forks import tell_fork
from .journal_file import replace
from .journal_reader import TRIES
from .line_format import NewEvent, Placed, encode_batch
from .lock import QueueLock
from .syncing import SYNC_INTERVAL, Syncer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    from .line_fold import Sink

    T = TypeVar('T')

UNREAD_MAX = 1 << 13  # bytes to fold with the lock held, where others wait for it
CATCH_UP_MAX_S = 5.0  # of folding without the lock, after which a writer stands in line
# s between two tries to take the lock, where many writers want it: the more these are, the longer
CROWDED_POLL_S, CROWDED_POLL_MAX_S = 0.004, 0.02

_NEVER = float('inf')
Decide = Callable[[], Sequence[NewEvent]]
Rewrite = Callable[[], Iterable[NewEvent]]


class Journal(FollowedJournal):
    """One process's view of a journal: what it has read so far, and how it writes.

    Parameters
    ----------
    folder : str
        The queue's folder.
    sink : Sink
        Gets the events, each once, in order.
    sync_interval : float, default=0.2
        Seconds within which what was written is on disk; ``None``: the caller calls :meth:`sync`
        itself.
    before_sync : callable, default=None
        Called before each sync: flushes what the events refer to.
    permit : callable, default=None
        Called before anything is written, without the lock; raises where nothing may be.
    """

    def __init__(
        self,
        folder: str,
        sink: Sink,
        sync_interval: float | None = SYNC_INTERVAL,
        before_sync: Callable[[], None] | None = None,
        permit: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(folder, sink)
        self._appender = Appender(self._file)
        self._syncer = Syncer(self._file, sync_interval, before_sync)
        self._permit = permit
        self._lock: QueueLock | None = None
        self._is_crowded = False  # True while many others want the lock
        self.quiet_since = _NEVER
        """Monotonic time of the first write for which no one was woken; infinity if none."""
        tell_fork(self)
        self.follow()

    def forked(self) -> None:
        """In a forked child: whatever the parent's threads were about, they are not here."""
        super().forked()
        self._syncer.forked()
        self.quiet_since = _NEVER

    def _opened(self) -> int:
        return self._appender.kept(self.reader.identity)

    def _clean_up(self) -> None:
        self._appender.close_held()
        if self._lock is not None:
            self._lock.free()

    @property
    def dirty_since(self) -> float:
        """Monotonic time of the first write that is not on disk yet; infinity if all is."""
        return self._syncer.dirty_since

    @property
    def lock(self) -> QueueLock:
        """The queue's lock, of the kind its header names."""
        lock, kind = self._lock, self.reader.header.get('lock', 'flock')
        if lock is None or lock.kind != kind:
            lock = self._lock = QueueLock(os.path.join(self.folder, 'lock'), kind)
        return lock

    # Writing

    def write(self, decide: Decide, sync: bool = False, quiet: bool = False) -> None:
        """Take the lock, read to the end, decide what to append, and append it.

        Parameters
        ----------
        decide : callable
            Called with the lock held and the sink up to date; returns the events to append, or
            none. It may be called again when the lock was lost meanwhile, and must change nothing
            itself.
        sync : bool, default=False
            True if it is on disk when this returns, instead of within the sync interval.
        quiet : bool, default=False
            Leave it to the next write, or to :meth:`announce`, to wake those who wait for changes.

        Raises
        ------
        QueueGoneError
            The queue was deleted.
        DiskFullError
            No space left; nothing was appended.
        LockLostError
            The lock was lost each time it was taken; nothing was appended.
        """
        self._permit()
        self._guard.run(lambda: self._write(decide, quiet), self._clean_up)
        if sync:
            self.sync()
        else:
            self._syncer.sync_later()

    def _write(self, decide: Decide, quiet: bool) -> None:
        for _ in range(TRIES):
            lock = self.lock
            try:
                self._acquire(lock)
                try:
                    written = self._write_locked(lock, decide, quiet)
                finally:
                    lock.release()
                if written is not None:
                    self._take(*written)
                    return
            except OSError as exc:
                # What an NFSv4 client answers through a descriptor whose lock its server gave to
                # another one: decide again, with a new one.
                if exc.errno != errno.EIO or not self.shared:
                    raise
                lock.close()
        raise _lock_lost(self.folder)

    def _acquire(self, lock: QueueLock) -> None:
        """Take the lock when little is left to fold of what others appended.

        If each of many writers folded under the lock what all before it appended, the lock would
        be held for most of the time, and all would wait.
        """
        if self.shared or lock.is_held or lock.kind == 'soft':
            lock.acquire()
            return
        until, pause = time.monotonic() + CATCH_UP_MAX_S, CROWDED_POLL_S
        is_taken = lock.acquire(patiently=not self._is_crowded)
        self._is_crowded = False
        # Not in line: who is called in turn has to wait for a processor first, and all with it.
        while not is_taken or (
            (lock.has_waited or self._is_crowded) and self.reader.n_unread() > UNREAD_MAX
        ):
            if is_taken:
                lock.release()
            else:
                time.sleep(pause)
                pause = min(1.5 * pause, CROWDED_POLL_MAX_S)
            self._is_crowded = True
            self._follow_much()
            if time.monotonic() > until:
                lock.acquire()
                return
            is_taken = lock.acquire(patiently=False)

    def _follow_much(self) -> None:
        """Fold what was appended if that would take long with the lock held."""
        if self.reader.n_unread() > UNREAD_MAX:
            self.follow()

    def _take(self, placed: Sequence[Placed], data: bytes) -> None:
        """Fold what was appended, unless the handler of a signal has read it already."""
        if placed and placed[0][1] == self.reader.offset:
            self.reader.take(placed, data)

    def _write_locked(
        self, lock: QueueLock, decide: Decide, quiet: bool
    ) -> tuple[Sequence[Placed], bytes] | None:
        """Decide and append; return the events with their lines, or None to try again."""
        reader, appender = self.reader, self._appender
        shared = reader.shared
        fd, size = appender.open(reader.identity, shared)
        try:
            if shared:
                self._hold(fd)
            if not reader.has_all(fd, size) and not self._catch_up(fd := appender.checked(fd)):
                return None
            events = decide()
            if not events:
                return (), b''
            shared = reader.shared
            placed, data = encode_batch(events, reader.offset)
            if not shared:
                self._syncer.note_write(reader.offset + len(data))
                lock.has_news = not quiet
                self.quiet_since = min(self.quiet_since, time.monotonic()) if quiet else _NEVER
            appender.append(fd, data, reader.offset, shared)
            # A network filesystem may take a lock away that is held. If someone else replaced the
            # file then, or appended first, what we wrote does not count; decide again.
            if shared and not self._stands(fd, data):
                return None
            return placed, data
        finally:
            appender.close_held()

    def announce(self, until: float) -> bool:
        """Wake those of this host who wait for what was written quietly up to a time.

        Parameters
        ----------
        until : float
            Monotonic time.

        Returns
        -------
        announced : bool
        """
        if self.quiet_since > until:
            return False
        self.quiet_since = _NEVER
        self._guard.run(lambda: self.lock.announce(), self._clean_up)
        return True

    def _hold(self, fd: int) -> None:
        if self.header.get('lock') != 'soft':
            self._appender.lock(fd)

    def _catch_up(self, fd: int) -> bool:
        if not self.reader.read(fd, locked=True):
            return False  # what can't be read yet is no torn tail
        if os.fstat(fd).st_size > self.reader.offset:
            os.ftruncate(fd, self.reader.offset)  # a torn last line: its writer died
        return True

    def _stands(self, fd: int, data: bytes) -> bool:
        written = self._file.read_back(fd, len(data), self.reader.offset)
        return self._file.identity() == self.reader.identity and written == data

    def replaced(self, events: Rewrite, after: Callable[[], None] = lambda: None) -> None:
        """Replace the whole journal (compaction, clear) by ``events``, under the lock.

        Parameters
        ----------
        events : callable
            Called with the lock held and the sink up to date; again when the lock was lost
            meanwhile.
        after : callable, default=None
            Called when the new journal is in its place and the lock still held: takes away what
            only the old one referred to.
        """
        self._permit()
        self._guard.run(lambda: self._replaced(events, after), self._clean_up)

    def locked(self, step: Callable[[], T]) -> T:
        """Do ``step`` with the lock held, and return what it returns."""

        def hold() -> T:
            with self.lock:
                return step()

        self._permit()
        return self._guard.run(hold, self._clean_up)

    def _replaced(self, events: Rewrite, after: Callable[[], None]) -> None:
        for _ in range(TRIES):
            with self.lock:
                if self._replaced_locked(events):
                    after()
                    break
        else:
            raise _lock_lost(self.folder)
        self.follow()

    def _replaced_locked(self, events: Rewrite) -> bool:
        fd = self._appender.open_held(os.O_RDWR)
        try:
            if self.shared:
                self._hold(fd)
            if not self.reader.read(fd, locked=True):
                return False
            size = os.fstat(fd).st_size
            return replace(
                self.folder, events(), still=lambda: not self.shared or self._is_as_read(size)
            )
        finally:
            self._appender.close_held()

    def _is_as_read(self, size: int) -> bool:
        # If not, we lost the lock, and what someone else appended would be lost with the file.
        return self._file.opened_identity() == (self.reader.identity, size)

    # Syncing

    def sync(self) -> None:
        """Put what was written on disk."""
        self._syncer.sync()

    def close(self) -> None:
        """Sync, and close what is kept open; the next write opens it again."""
        self.sync()
        with self._guard.mutex:
            self._appender.close_kept()
            self.lock.close()


def _lock_lost(folder: str) -> LockLostError:
    return LockLostError(
        f'The lock of the queue in {folder} was lost {TRIES:d} times in a row while it was held '
        '(is the network cut?). Nothing was written. '
        'Repeat the last step when the filesystem is back.'
    )


def writer_name() -> str:
    """A name for this process as a writer, unique on all hosts that share the queue."""
    host = ''.join(c if c.isalnum() else '-' for c in os.uname().nodename.split('.')[0])[:24]
    return f'{host}-{os.getpid():d}-{random_hex(3)}'
