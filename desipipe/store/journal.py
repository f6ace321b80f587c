"""Journal of a queue: one event a line, appended under the lock, read without it.

The format is described in ``docs/developer/architecture.md`` (section "Journal lines").
"""

from __future__ import annotations

import atexit
import errno
import fcntl
import io
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from shlex import quote
from typing import Protocol, TypeVar

from ..errors import (
    CorruptJournalError,
    LockLostError,
    PermissionDeniedError,
    QueueGoneError,
    QueueVersionError,
)
from ..utils import random_hex
from .files import (
    open_file,
    read_range,
    sync_data,
)
from .journal_file import FILE_NAME, VERSION, replace
from .line_format import TAIL, Event, NewEvent, check, decode, encode_bounded
from .lines import LINE_MAX, Line, RefusedEvent, find_newline, lines, scan_lines
from .lock import QueueLock, release_fully, tell_fork
from .placement import Piece, Placement, pieces
from .segment import disk_full
from .writing import write_all

SYNC_INTERVAL = 0.2  # s
_STALE_PAUSES_S = (0.01, 0.05, 0.2)
_HEADER_MAX = 1 << 20  # bytes of the first line
_REFOLDS_MAX = 64  # lines that turn out in the middle not to be foldable
_UNFOLDABLE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
_CHUNK = 16 << 20
_RETRY_PAUSES_S = (
    0.01,
    0.05,
    0.1,
    0.2,
    0.4,
)  # s between looks at what a shared filesystem gives, before it is believed
_TRIES = 5

Decide = Callable[[], Sequence[NewEvent]]
Rewrite = Callable[[], Iterable[NewEvent]]
T = TypeVar('T')


class Sink(Protocol):
    """The receiver of events, which folds them."""

    def reset(self, header: Event) -> None:
        """Forget everything: another generation of the journal begins with ``header``."""

    def apply(self, event: NewEvent, offset: int) -> None:
        """Fold one event, whose line begins at ``offset``."""

    def check(self, event: Event) -> None:
        """Raise ValueError for an event that :meth:`apply` could not fold."""

    def damaged(self, offset: int, length: int) -> None:
        """A corrupt line was passed over."""


def _is_header(event: Event) -> bool:
    """Return True for what the first line of a journal may hold."""
    texts = all(
        isinstance(event.get(key, ''), str) for key in ('id', 'gen', 'lock', 'name', 'fstype')
    )
    lease = event.get('lease', 1.0)
    return event.get('e') == 'queue' and texts and type(lease) in (int, float) and 0 < lease < 1e9


class Journal:
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
        self.folder = folder
        self.path = os.path.join(folder, FILE_NAME)
        self.header: Event = {}
        self.offset = 0
        self.late = 0  # lines passed over because their writer had lost its lock
        self._sink = sink
        self.midway = False
        """True while events are folded, and after an exception that came meanwhile: the sink is
        then folded anew.
        """
        self._file: tuple[int, int] | None = None
        self._first = b''
        self._last = b''
        self._begun = 0
        self._placement = Placement()
        self._bad: set[int] = set()
        self._refolds = 0
        self._scanned = 0
        self._mutex = threading.RLock()
        self._owner = 0
        self._sync_interval = sync_interval
        self._before_sync = before_sync
        self._permit = permit
        self._dirty = False
        self._syncer: threading.Thread | None = None
        self._lock: QueueLock | None = None
        self._kept: io.FileIO | None = None
        self._kept_file: tuple[int, int] | None = None
        self._held: io.FileIO | None = None
        tell_fork(self)
        self.follow()

    def forked(self) -> None:
        """In a forked child: whatever the parent's threads were about, they are not here."""
        self._mutex = threading.RLock()
        self._owner = 0
        self._syncer = None
        self._dirty = False  # what the parent wrote, the parent syncs

    def _exclusively(self, step: Callable[[], T]) -> T:
        # An interrupt may come between any two bytecodes, also after a lock was taken and before
        # the block that releases it: the outermost call of this thread releases what is left.
        me = threading.get_ident()
        if self._owner == me:
            with self._mutex:
                return step()
        try:
            with self._mutex:
                self._owner = me
                result = step()
                self._owner = 0
                return result
        except BaseException:
            self._release()
            raise

    def _release(self) -> None:
        if not self._mutex.acquire(blocking=False):
            return  # another thread's
        try:
            self._owner = 0
            self._close_held()
            if self._lock is not None:
                self._lock.free()
        finally:
            release_fully(self._mutex)

    # Reading

    @property
    def dirty(self) -> bool:
        """True if something was written that is not on disk yet."""
        return self._dirty

    @property
    def shared(self) -> bool:
        """True if other hosts may write.

        Files are then reopened to see their writes, and flushed to show them ours.
        """
        return bool(self.header.get('shared', True))

    @property
    def lock(self) -> QueueLock:
        """The queue's lock, of the kind its header names."""
        kind = self.header.get('lock', 'flock')
        if self._lock is None or self._lock.kind != kind:
            self._lock = QueueLock(os.path.join(self.folder, 'lock'), kind)
        return self._lock

    def _gone(self) -> QueueGoneError:
        return QueueGoneError(
            f'The queue in {self.folder} is gone (was it deleted?). Nothing was recreated. List '
            'what is there with: desipipe queues'
        )

    def _open(self, flags: int) -> int:
        # What an NFS client holds of the folder may be stale once: it asks the server again then.
        for pause in _STALE_PAUSES_S:
            try:
                return self._open_once(flags)
            except OSError as exc:
                if exc.errno != errno.ESTALE:
                    raise
            time.sleep(pause)
        try:
            return self._open_once(flags)
        except OSError as exc:
            if exc.errno == errno.ESTALE:
                raise self._gone() from exc
            raise

    def _open_once(self, flags: int) -> int:
        try:
            return open_file(self.folder, FILE_NAME, flags)
        except (FileNotFoundError, NotADirectoryError):
            raise self._gone() from None
        except OSError as exc:
            if exc.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise
            what = 'written to' if flags & os.O_RDWR else 'read'
            raise PermissionDeniedError(
                f'{self.path} cannot be {what} by you ({exc.strerror}); nothing was changed. Look '
                'at the mount and the modes with: desipipe doctor'
            ) from None

    def follow(self) -> bool:
        """Fold what was appended since the last call; takes no lock.

        Returns
        -------
        change : bool
            True if there were new events.

        Raises
        ------
        QueueGoneError
            The queue was deleted.
        """
        if not self.shared and not self.midway:
            # The page cache is the same for everyone: an unchanged size and inode says it all, at a
            # tenth of the cost.
            try:
                status = os.lstat(self.path)
            except OSError:
                status = None  # opening says why
            if (
                status is not None
                and (status.st_dev, status.st_ino) == self._file
                and status.st_size == self.offset
            ):
                return False
        return self._exclusively(self._follow)

    def _follow(self) -> bool:
        before = (self._begun, self.offset)
        for _ in range(_TRIES):
            with io.FileIO(self._open(os.O_RDONLY)) as file:
                if self._read(file.fileno()):
                    break
        return (self._begun, self.offset) != before

    def _read(self, fd: int, locked: bool = False) -> bool:
        # Whether it came to the end. An inode's number may be used again, so the first line, which
        # holds the generation, is compared as well; and the end of what we read, since a writer
        # whose disk was full takes back the lines of a batch that it could not write whole.
        size = os.fstat(fd)
        if (
            self.midway
            or (size.st_dev, size.st_ino) != self._file
            or os.pread(fd, len(self._first), 0) != self._first
            or os.pread(fd, len(self._last), self.offset - len(self._last)) != self._last
        ):
            self._begin(fd)
        rest = b''
        position = self.offset
        while data := os.pread(fd, _CHUNK, position):
            position += len(data)
            if rest:
                data = rest + data
            cut = data.rfind(b'\n') + 1
            begun = self._begun
            self.midway = True
            folded = self._fold(data[:cut], self.offset, locked)
            if folded < 0 or begun != self._begun:
                # to be folded anew: a line could not be folded, or a signal's handler looked
                # meanwhile
                return False
            self.offset += folded
            if folded:
                self._last = data[:folded][-TAIL:]
            self.midway = False
            if folded != cut:
                return False
            rest = data[cut:]
            if len(rest) > LINE_MAX:
                if not self._pass_over(fd, size.st_size):
                    return True  # it has no end yet: who writes next cuts it
                position, rest = self.offset, b''
        # A network filesystem's client may know already how long the file has become, and give
        # nothing of it yet to this descriptor (seen on MooseFS).
        return position >= size.st_size

    def _pass_over(self, fd: int, size: int) -> bool:
        """Pass over what is too long for a line; return False if its end is not there."""
        start = max(self._scanned, self.offset + LINE_MAX)
        newline = find_newline(fd, start, size)
        if newline < 0:
            self._scanned = size
            return False
        self.midway = True
        length = newline + 1 - self.offset
        self._placement.accept(Piece(self.offset, b'', None))
        self._sink.damaged(self.offset, length)
        self.offset += length
        self._last = os.pread(fd, TAIL, self.offset - TAIL)
        self._scanned = 0
        self.midway = False
        return True

    def _begin(self, fd: int) -> None:
        first = b''
        while not first.endswith(b'\n'):
            data = os.pread(fd, 4096, len(first)) if len(first) < _HEADER_MAX else b''
            if not data:
                raise CorruptJournalError(
                    f'{self.path} has no whole first line (offset 0): the queue cannot be read. '
                    'Restore the file from a backup, '
                    f'or keep the folder for its payloads and start another queue.',
                    self.path,
                    0,
                )
            cut = data.find(b'\n') + 1
            first += data[:cut] if cut else data
        try:
            header = decode(first, 0)
        except ValueError:
            header = None
        if header is None or not _is_header(header):
            raise CorruptJournalError(
                f'The first line of {self.path} (offset 0) is damaged: the queue cannot be read. '
                'Restore the file from a backup, '
                f'or recover what is behind it: desipipe doctor -q {quote(self.folder)} --repair',
                self.path,
                0,
            )
        if header.get('version') != VERSION:
            raise QueueVersionError(
                f'The queue in {self.folder} has format version {header.get("version")}, this '
                f'desipipe knows {VERSION:d}; it was not touched. '
                'Use the desipipe that made it, or another queue name.'
            )
        status = os.fstat(fd)
        self.midway = True
        self._begun += 1
        if first != self._first:
            self._bad = set()
            self._refolds = 0
        self._scanned = 0
        self._first = first
        self._last = first[-TAIL:]
        self.header = header
        self.offset = len(first)
        self.late = 0
        self._placement = Placement()
        self._file = (status.st_dev, status.st_ino)
        self._sink.reset(header)
        self.midway = False

    def _fold(self, data: bytes, start: int, locked: bool) -> int:
        # How many bytes were folded, or -1 where the sink has to be folded anew.
        apply, bad = self._sink.apply, self._bad
        ordinary = not bad and self._placement.ordinary
        previous = self._last
        for offset, line in lines(data, start):
            event: Event | None
            try:
                event = check(line)
            except ValueError:
                event = None
            if ordinary and event is not None and event.get('at') == offset:
                try:
                    apply(event, offset)
                except RefusedEvent:
                    self._refuse(Piece(offset, line, event))
                except _UNFOLDABLE:
                    return self._fold_anew(offset)
                previous = line
                continue
            doubtful = self._placement.doubtful(event, offset)
            if doubtful and not locked and not self._settled(data[offset - start :], offset):
                return offset - start
            locked |= doubtful
            for piece in pieces(line, offset) if event is None else (Piece(offset, line, event),):
                if self._placement.is_copy(piece, previous):
                    self._placement.skip(piece)
                    self.late += 1
                elif not self._fold_piece(piece):
                    return -1
            previous = line
            ordinary = not bad and self._placement.ordinary
        return len(data)

    def _fold_piece(self, piece: Piece) -> bool:
        # Returns False where the sink has to be folded anew, without this line.
        event, offset = piece.event, piece.offset
        counts = self._placement.accept(piece)
        if event is None:
            self._sink.damaged(offset, len(piece.data))
            return True
        if not counts:
            self.late += 1
            return True
        if self._placement.missing:
            self._sink.damaged(offset, 0)
        try:
            if offset in self._bad:
                raise ValueError('The event could not be folded.')
            if self._bad:
                self._sink.check(
                    event
                    # several are damaged, perhaps all: each but the first is known before it is
                    # folded
                )
        except ValueError:
            self._sink.damaged(offset, len(piece.data))
            return True
        try:
            self._sink.apply(event, offset)
        except RefusedEvent:
            self._sink.damaged(offset, len(piece.data))
        except _UNFOLDABLE:
            self._fold_anew(offset)
            return False
        return True

    def _refuse(self, piece: Piece) -> None:
        self._placement.accept(piece)  # it stands where it says: what comes behind it does too
        self._sink.damaged(piece.offset, len(piece.data))

    def _fold_anew(self, offset: int) -> int:
        self._bad.add(offset)
        self._refolds += 1
        if self._refolds > _REFOLDS_MAX:
            raise CorruptJournalError(
                f'More than {_REFOLDS_MAX:d} lines of {self.path} say what cannot be (the last one '
                f'stands at offset {offset:d}): the queue cannot be '
                'read. Restore the file from a backup, or use another queue.',
                self.path,
                offset,
            )
        return -1

    def _settled(self, data: bytes, offset: int) -> bool:
        # Whether what does not pass its check is there to stay. Who reads without the lock may have
        # read the torn tail of a dead writer, and then what the next one put in its place; and on a
        # network filesystem the parts of a batch arrive in any order, with a hole between them.
        for pause in _RETRY_PAUSES_S if self.shared else (0.0,):
            if pause:
                time.sleep(pause)
            with io.FileIO(self._open(os.O_RDONLY)) as file:
                if os.pread(file.fileno(), len(data), offset) != data:
                    return False
        return True

    def read_range(self, start: int, end: int) -> bytes:
        """Return the journal's bytes from ``start`` to ``end``, fewer if it is shorter.

        Raises
        ------
        QueueGoneError
            The queue was deleted.
        """
        with io.FileIO(self._open(os.O_RDONLY)) as file:
            return read_range(file.fileno(), start, end)

    def scan(self, start: int = 0) -> Iterator[Line]:
        """Yield the lines from ``start``, where one begins, to the end of what was folded."""
        with io.FileIO(self._open(os.O_RDONLY)) as file:
            yield from scan_lines(file.fileno(), start, self.offset)

    def open_reader(self) -> io.BufferedReader:
        """Open the journal for reading many events of it."""
        return io.BufferedReader(io.FileIO(self._open(os.O_RDONLY)))

    def event_at(self, offset: int) -> Event:
        """Read one event again, for its details.

        Parameters
        ----------
        offset : int
            Position where its line begins, in this generation of the journal.

        Returns
        -------
        event : dict

        Raises
        ------
        CorruptJournalError
            The line is damaged, or the journal was rewritten meanwhile: then :meth:`follow` and ask
            for the offset that the line has now.
        """
        file = io.FileIO(self._open(os.O_RDONLY))
        fd = file.fileno()
        with file:
            if os.pread(fd, len(self._first), 0) != self._first:
                raise CorruptJournalError(
                    f'{self.path} was rewritten meanwhile (compacted, cleared); nothing is lost by '
                    'that. Repeat the last step.',
                    self.path,
                    offset,
                )
            line, size = b'', 1 << 16
            while not line.endswith(b'\n') and len(line) <= LINE_MAX:
                data = os.pread(fd, size, offset + len(line))
                if not data:
                    break
                cut = data.find(b'\n') + 1
                line += data[:cut] if cut else data
                size *= 4
        event: Event | None
        try:
            event = check(line)
        except ValueError:
            first = next(pieces(line, offset), None)  # its newline was lost
            event = None if first is None or first.offset != offset else first.event
        if event is None or not self._is_foldable(event):
            raise CorruptJournalError(
                f'The line at offset {offset:d} of {self.path} is damaged: its details are lost, '
                'the rest is intact. '
                f'Move it aside with: desipipe doctor -q {quote(self.folder)} --repair',
                self.path,
                offset,
            )
        return event

    def _is_foldable(self, event: Event) -> bool:
        # Of events of frequent kinds the fold looks only at what it needs itself.
        try:
            self._sink.check(event)
        except ValueError:
            return False
        return True

    # Writing

    def write(self, decide: Decide, sync: bool = False) -> None:
        """Take the lock, read to the end, decide what to append, and append it.

        Parameters
        ----------
        decide : callable
            Called with the lock held and the sink up to date; returns the events to append, or
            none. It may be called again when the lock was lost meanwhile, and must change nothing
            itself.
        sync : bool, default=False
            True if it is on disk when this returns, instead of within the sync interval.

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
        self._exclusively(lambda: self._write(decide))
        if sync:
            self.sync()
        elif self._dirty and self._sync_interval is not None:
            self._sync_later()

    def _write(self, decide: Decide) -> None:
        for _ in range(_TRIES):
            try:
                with self.lock:
                    if self._write_locked(decide):
                        return
            except OSError as exc:
                # What an NFSv4 client answers through a descriptor whose lock its server gave to
                # another one: decide again, with a new one.
                if exc.errno != errno.EIO or not self.shared:
                    raise
                self.lock.close()
        raise self._lock_lost()

    def _lock_lost(self) -> LockLostError:
        return LockLostError(
            f'The lock of the queue in {self.folder} was lost {_TRIES:d} times in a row while it '
            'was held (is the network cut?). Nothing was written. '
            'Repeat the last step when the filesystem is back.'
        )

    def _write_locked(self, decide: Decide) -> bool:
        fd, size = self._writable()
        try:
            if self.shared:
                self._hold(fd)
            if (
                self.midway
                or size != self.offset
                or os.pread(fd, len(self._last), self.offset - len(self._last)) != self._last
            ):
                if not self._read(fd, locked=True):
                    return False  # what can't be read yet is no torn tail
                if os.fstat(fd).st_size > self.offset:
                    os.ftruncate(fd, self.offset)  # a torn last line: its writer died
            events = decide()
            if not events:
                return True
            placed: list[tuple[NewEvent, int]] = []
            data = bytearray()
            for event in events:
                at = self.offset + len(data)
                placed.append((event, at))
                data += encode_bounded(event, at)
            self._dirty |= not self.shared
            try:
                write_all(fd, bytes(data))
                if self.shared:
                    os.fsync(fd)
            except OSError as exc:
                # Not after a lost lock (EIO on a network filesystem): what stands there now may be
                # somebody else's.
                if exc.errno != errno.EIO or not self.shared:
                    self._undo(fd)
                raise disk_full(exc, self.path) from exc
            except BaseException:
                self._undo(fd)  # interrupted: perhaps in the middle of the batch
                raise
            # A network filesystem may have taken the lock away while we held it: then someone else
            # may have replaced the file, or appended first, and what we wrote does not stand where
            # it says. It does not count; decide again.
            if self.shared and not self._stands(fd, bytes(data)):
                return False
            begun = self._begun
            self.midway = True
            for event, at in placed:
                self._sink.apply(event, at)
            if begun != self._begun:
                return True  # a signal's handler looked meanwhile: to be folded anew
            self.offset += len(data)
            self._last = bytes(data[-TAIL:])
            self._placement = Placement()
            self.midway = False
            return True
        finally:
            self._close_held()

    def _writable(self) -> tuple[int, int]:
        # A descriptor to write with, and the size up to which nothing is new, or -1 where that is
        # not known. On a local disk the descriptor is kept: as long as it is open nobody else gets
        # the inode's number, so that one look at the path says whether it is still the journal.
        if self.shared:
            return self._open_held(os.O_RDWR | os.O_APPEND), -1
        try:
            opened = os.lstat(self.path)
        except OSError:
            raise self._gone() from None
        file = (opened.st_dev, opened.st_ino)
        if self._kept is None or file != self._kept_file:
            self._close_kept()
            self._kept = io.FileIO(self._open(os.O_RDWR | os.O_APPEND), 'r+')
            opened = os.fstat(self._kept.fileno())
            self._kept_file = (opened.st_dev, opened.st_ino)
            return self._kept.fileno(), -1
        return self._kept.fileno(), opened.st_size if file == self._file else -1

    def _close_kept(self) -> None:
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def _open_held(self, flags: int) -> int:
        # One that is locked: an interrupt must not leave it open. Objects close once, however often
        # they are told to.
        self._held = io.FileIO(self._open(flags), 'r+')
        return self._held.fileno()

    def _close_held(self) -> None:
        if self._held is not None:
            self._held.close()
            self._held = None

    def close(self) -> None:
        """Sync, and close what is kept open; the next write opens it again."""
        self.sync()
        with self._mutex:
            self._close_kept()
            self.lock.close()

    def __del__(self) -> None:
        if getattr(self, '_kept', None) is not None:
            self._close_kept()

    def _hold(self, fd: int) -> None:
        # NFSv4 answers a write through a descriptor whose lock was lost with an error, but only
        # through that descriptor: so the journal's own is locked too. Uncontended, except by a
        # holder that was cut off.
        if self.header.get('lock') != 'soft':
            fcntl.flock(fd, fcntl.LOCK_EX)

    def _stands(self, fd: int, data: bytes) -> bool:
        written = os.pread(fd, len(data), self.offset)
        for pause in _RETRY_PAUSES_S:
            if len(written) == len(data):
                break
            # As in `_read`: what was written through a descriptor, another one reads sooner.
            time.sleep(pause)
            other = self._open(os.O_RDONLY)
            try:
                written = os.pread(other, len(data), self.offset)
            finally:
                os.close(other)
        try:
            status = os.lstat(self.path)
        except (FileNotFoundError, NotADirectoryError):
            raise self._gone() from None
        return (status.st_dev, status.st_ino) == self._file and written == data

    def _undo(self, fd: int) -> None:
        try:
            os.ftruncate(fd, self.offset)
        except OSError:
            # Best effort: what remains is an unterminated line, which the next writer cuts.
            return

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
        self._exclusively(lambda: self._replaced(events, after))

    def locked(self, step: Callable[[], T]) -> T:
        """Do ``step`` with the lock held, and return what it returns."""

        def hold() -> T:
            with self.lock:
                return step()

        self._permit()
        return self._exclusively(hold)

    def _replaced(self, events: Rewrite, after: Callable[[], None]) -> None:
        for _ in range(_TRIES):
            with self.lock:
                if self._replaced_locked(events):
                    after()
                    break
        else:
            raise self._lock_lost()
        self.follow()

    def _replaced_locked(self, events: Rewrite) -> bool:
        fd = self._open_held(os.O_RDWR)
        try:
            if self.shared:
                self._hold(fd)
            if not self._read(fd, locked=True):
                return False
            size = os.fstat(fd).st_size
            return replace(
                self.folder, events(), still=lambda: not self.shared or self._unchanged(size)
            )
        finally:
            self._close_held()

    def _unchanged(self, size: int) -> bool:
        # Whether the journal is as we read it: if not, we lost the lock, and what someone else
        # appended would be lost with the file.
        fd = self._open(os.O_RDONLY)
        try:
            status = os.fstat(fd)
        finally:
            os.close(fd)
        return (status.st_dev, status.st_ino, status.st_size) == (*(self._file or (0, 0)), size)

    # Syncing

    def sync(self) -> None:
        """Put what was written on disk."""
        if not self._dirty:
            return
        self._dirty = False  # before: what is written meanwhile is dirty again
        try:
            if self._before_sync is not None:
                self._before_sync()
            try:
                fd = open_file(self.folder, FILE_NAME, os.O_RDWR)
            except (FileNotFoundError, NotADirectoryError):
                return  # deleted meanwhile: nothing to keep
            try:
                sync_data(fd)
            finally:
                os.close(fd)
        except BaseException as exc:
            self._dirty = True
            if isinstance(exc, OSError):
                raise disk_full(exc, self.path) from exc
            raise

    def _sync_later(self) -> None:
        if self._syncer is None or not self._syncer.is_alive():
            self._syncer = threading.Thread(None, self._sync_soon, 'desipipe-sync', daemon=True)
            atexit.register(self.sync)  # a daemon thread may be gone before it has slept enough
            self._syncer.start()

    def _sync_soon(self) -> None:
        # Lives as long as there is something to sync: no idle thread stays behind. It takes itself
        # off before it looks for the last time, and a writer sets _dirty before it looks for a
        # syncer: one of them sees the other. Two at once do no harm.
        from ..logs import logger  # now: later there may be no descriptor to import it

        pause = threading.Event()
        while True:
            pause.wait(self._sync_interval)
            try:
                self.sync()
            except OSError as exc:
                # Said here, since nobody waits for it; tried again with the next write, at exit,
                # and where someone asks to sync.
                logger.error('What was written to %s is not on disk yet: %s', self.folder, exc)
                self._syncer = None
                return
            self._syncer = None
            if not self._dirty:
                atexit.unregister(self.sync)
                return
            self._syncer = threading.current_thread()


def writer_name() -> str:
    """A name for this process as a writer, unique on all hosts that share the queue."""
    host = ''.join(c if c.isalnum() else '-' for c in os.uname().nodename.split('.')[0])[:24]
    return f'{host}-{os.getpid():d}-{random_hex(3)}'
