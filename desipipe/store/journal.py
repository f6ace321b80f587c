"""The truth of a queue: one event a line, append-only, written under the lock, read without it.

The format is described in ``docs/developer/architecture.md`` (section "Journal lines").
"""

from __future__ import annotations

import atexit
import errno
import fcntl
import logging
import os
import secrets
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from shlex import quote
from typing import Any, Protocol

import orjson

from ..errors import CorruptJournalError, LockLostError, PermissionDeniedError, QueueGoneError, QueueVersionError
from .lock import QueueLock, tell_fork
from .segment import disk_full, write_all

logger = logging.getLogger('desipipe')

VERSION = 1
FILE_NAME = 'journal.jsonl'
SYNC_INTERVAL = 0.2  # s
_TAIL = len(b',"crc":"00000000"}\n')
_CHUNK = 16 << 20
_LOOKS = (0.01, 0.05, 0.1, 0.2, 0.4)  # s between looks at what a shared filesystem gives, before it is believed
_TRIES = 5

Event = dict[str, Any]


class Sink(Protocol):
    """What folds the events."""

    def reset(self, header: Event) -> None:
        """Forget everything: another generation of the journal begins with ``header``."""

    def apply(self, event: Event, offset: int) -> None:
        """Fold one event, whose line begins at ``offset``."""

    def damaged(self, offset: int, length: int) -> None:
        """A corrupt line was passed over."""


def encode(event: Event, at: int) -> bytes:
    """The line of ``event``, decided to stand at offset ``at``.

    Parameters
    ----------
    event : dict
        JSON-able; without the members ``at`` and ``crc``.
    at : int
        Byte offset.

    Returns
    -------
    line : bytes
        With its newline.
    """
    body = b'%b,"at":%d' % (orjson.dumps(event, default=_as_list)[:-1], at)
    return b'%b,"crc":"%08x"}\n' % (body, zlib.crc32(body))


def _as_list(value: Any) -> list[Any]:
    if isinstance(value, tuple):  # a named one, which orjson does not take for a tuple
        return list(value)
    raise TypeError(f'{type(value).__name__} is no JSON')


def decode(line: bytes, at: int) -> Event | None:
    """The event of a ``line`` found at offset ``at``.

    Returns
    -------
    event : dict or None
        ``None`` for a late line: whole, but decided for another offset by a writer that had lost its lock.

    Raises
    ------
    ValueError
        The line does not pass its check.
    """
    body = line[:-_TAIL]
    tail = line[-_TAIL:]
    if tail != b',"crc":"%08x"}\n' % zlib.crc32(body):
        raise ValueError('check failed')
    event: Event = orjson.loads(body + b'}')
    return event if event.get('at') == at else None


def lines(data: bytes, start: int) -> Iterator[tuple[int, bytes]]:
    """The whole lines of ``data``, which was read at offset ``start``, with their offsets."""
    position = 0
    while (end := data.find(b'\n', position) + 1) > 0:
        yield start + position, data[position:end]
        position = end


def create(folder: str, header: Event) -> None:
    """Write the first line of a new journal.

    Parameters
    ----------
    folder : str
        The queue's folder, which must hold no journal.
    header : dict
        Members of the ``queue`` event; ``e``, ``version``, ``id`` and ``gen`` are added.
    """
    replace(folder, [first_event(header)], exclusive=True)


def first_event(header: Event) -> Event:
    """The ``queue`` event of a new journal; a ``header`` with an ``id`` keeps it (compaction), another is another queue."""
    return {'e': 'queue', 'version': VERSION, 'id': secrets.token_hex(8), **header, 'gen': secrets.token_hex(8)}


def replace(folder: str, events: Iterable[Event], exclusive: bool = False, still: Callable[[], bool] = lambda: True) -> bool:
    """Put a new journal with ``events`` in the place of the old one (its lock held), in one step that a crash can't halve.

    Parameters
    ----------
    folder : str
        The queue's folder.
    events : iterable of dict
        The first must be a ``queue`` event.
    exclusive : bool, default=False
        Refuse to replace (:class:`FileExistsError`).
    still : callable, default=None
        Asked when the new journal is on disk: whether the old one may go.

    Returns
    -------
    replaced : bool
        What ``still`` said.
    """
    path = os.path.join(folder, FILE_NAME)
    temporary = f'{path}.{secrets.token_hex(4)}.tmp'
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        try:
            at, pending = 0, bytearray()
            for event in events:
                line = encode(event, at)
                at += len(line)
                pending += line
                if len(pending) > _CHUNK:
                    write_all(fd, bytes(pending))
                    pending.clear()
            write_all(fd, bytes(pending))
            os.fsync(fd)
        finally:
            os.close(fd)
        if not still():
            return False
        if exclusive:
            os.link(temporary, path)
        else:
            os.rename(temporary, path)
    except OSError as exc:
        raise disk_full(exc, path) from exc
    finally:
        if os.path.lexists(temporary):
            os.unlink(temporary)
    sync_folder(folder)
    return True


def sync_folder(folder: str) -> None:
    """Make renames in ``folder`` last through a power cut."""
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as exc:
        if exc.errno != errno.EINVAL:  # some network filesystems can't sync a folder
            raise
    finally:
        os.close(fd)


class Journal:
    """One process's view of a journal: what it has read so far, and how it writes.

    Parameters
    ----------
    folder : str
        The queue's folder.
    sink : Sink
        Gets the events, each once, in order.
    sync_interval : float, default=0.2
        Seconds within which what was written is on disk; ``None``: the caller calls :meth:`sync` itself.
    before_sync : callable, default=None
        Called before each sync: flushes what the events refer to.
    """

    def __init__(self, folder: str, sink: Sink, sync_interval: float | None = SYNC_INTERVAL, before_sync: Callable[[], None] | None = None) -> None:
        self.folder = folder
        self.path = os.path.join(folder, FILE_NAME)
        self.header: Event = {}
        self.offset = 0
        self.late = 0  # lines passed over because their writer had lost its lock
        self._sink = sink
        self._file: tuple[int, int] | None = None
        self._first = b''
        self._last = b''
        self._begun = 0
        self._mutex = threading.RLock()
        self._sync_interval = sync_interval
        self._before_sync = before_sync
        self._dirty = False
        self._syncer: threading.Thread | None = None
        self._sync_guard = threading.Lock()
        self._lock: QueueLock | None = None
        self._kept = -1
        self._kept_file: tuple[int, int] | None = None
        tell_fork(self)
        self.follow()

    def forked(self) -> None:
        """In a forked child: whatever the parent's threads were about, they are not here."""
        self._mutex = threading.RLock()
        self._sync_guard = threading.Lock()
        self._syncer = None
        self._dirty = False  # what the parent wrote, the parent syncs

    # Reading

    @property
    def dirty(self) -> bool:
        """Whether something was written that is not on disk yet."""
        return self._dirty

    @property
    def shared(self) -> bool:
        """Whether other hosts may write: then files are opened again to see their writes, and flushed to show them ours."""
        return bool(self.header.get('shared', True))

    @property
    def lock(self) -> QueueLock:
        """The queue's lock, of the kind its header names."""
        kind = self.header.get('lock', 'flock')
        if self._lock is None or self._lock.kind != kind:
            self._lock = QueueLock(os.path.join(self.folder, 'lock'), kind)
        return self._lock

    def _gone(self) -> QueueGoneError:
        return QueueGoneError(f'the queue in {self.folder} is gone (deleted by someone?); nothing was recreated. List what is there with: desipipe queues')

    def _open(self, flags: int) -> int:
        try:
            return os.open(self.path, flags | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            raise self._gone() from None
        except OSError as exc:
            if exc.errno == errno.ESTALE:
                raise self._gone() from None
            if exc.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise
            what = 'written to' if flags & os.O_RDWR else 'read'
            raise PermissionDeniedError(
                f'{self.path} can not be {what} by you ({exc.strerror}); nothing was changed. Look at the mount and the modes with: desipipe doctor'
            ) from None

    def follow(self) -> bool:
        """Fold what was appended since the last call; takes no lock.

        Returns
        -------
        change : bool
            Whether there was anything.

        Raises
        ------
        QueueGoneError
            The queue was deleted.
        """
        with self._mutex:
            if not self.shared:
                # The page cache is the same for everyone: an unchanged size and inode says it all, at a tenth of the cost.
                try:
                    status = os.stat(self.path)
                except OSError:
                    status = None  # opening says why
                if status is not None and (status.st_dev, status.st_ino) == self._file and status.st_size == self.offset:
                    return False
            before = (self._begun, self.offset)
            for _ in range(_TRIES):
                fd = self._open(os.O_RDONLY)
                try:
                    if self._read(fd):
                        break
                finally:
                    os.close(fd)
            return (self._begun, self.offset) != before

    def _read(self, fd: int, locked: bool = False) -> bool:
        # Whether it came to the end. An inode's number may be used again, so the first line, which holds the generation, is compared as
        # well; and the end of what we read, since a writer whose disk was full takes back the lines of a batch that it could not write whole.
        status = os.fstat(fd)
        if (
            (status.st_dev, status.st_ino) != self._file
            or os.pread(fd, len(self._first), 0) != self._first
            or os.pread(fd, len(self._last), self.offset - len(self._last)) != self._last
        ):
            self._begin(fd)
            self._file = (status.st_dev, status.st_ino)
            self._begun += 1
        rest = b''
        position = self.offset
        while data := os.pread(fd, _CHUNK, position):
            position += len(data)
            if rest:
                data = rest + data
            cut = data.rfind(b'\n') + 1
            folded = self._fold(data[:cut], self.offset, locked)
            self.offset += folded
            if folded:
                self._last = data[:folded][-_TAIL:]
            if folded != cut:
                return False
            rest = data[cut:]
        # A network filesystem's client may know already how long the file has become, and give nothing of it yet to this descriptor (seen on MooseFS).
        return position >= status.st_size

    def _begin(self, fd: int) -> None:
        first = b''
        while not first.endswith(b'\n'):
            data = os.pread(fd, 4096, len(first))
            if not data:
                raise CorruptJournalError(
                    f'{self.path} has no whole first line (offset 0): the queue can not be read. Restore the file from a backup, '
                    f'or keep the folder for its payloads and start another queue',
                    self.path,
                    0,
                )
            cut = data.find(b'\n') + 1
            first += data[:cut] if cut else data
        try:
            header = decode(first, 0)
        except ValueError:
            header = None
        if header is None or header.get('e') != 'queue':
            raise CorruptJournalError(
                f'the first line of {self.path} (offset 0) is damaged: the queue can not be read. Restore the file from a backup, '
                'or keep the folder for its payloads and start another queue',
                self.path,
                0,
            )
        if header.get('version') != VERSION:
            raise QueueVersionError(
                f'the queue in {self.folder} has format version {header.get("version")}, this desipipe knows {VERSION:d}; it was not touched. '
                'Use the desipipe that made it, or another queue name'
            )
        self._first = first
        self._last = first[-_TAIL:]
        self.header = header
        self.offset = len(first)
        self._sink.reset(header)

    def _fold(self, data: bytes, start: int, locked: bool) -> int:
        # How many bytes were folded.
        for offset, line in lines(data, start):
            try:
                event = decode(line, offset)
            except ValueError:
                if not locked and not self._settled(data[offset - start :], offset):
                    return offset - start
                locked = True
                self._sink.damaged(offset, len(line))
                continue
            if event is None:
                self.late += 1
            else:
                self._sink.apply(event, offset)
        return len(data)

    def _settled(self, data: bytes, offset: int) -> bool:
        # Whether what does not pass its check is there to stay. Who reads without the lock may have read the torn tail of a dead writer, and
        # then what the next one put in its place; and on a network filesystem the parts of a batch arrive in any order, with a hole between them.
        for pause in _LOOKS if self.shared else (0.0,):
            if pause:
                time.sleep(pause)
            fd = self._open(os.O_RDONLY)
            try:
                if os.pread(fd, len(data), offset) != data:
                    return False
            finally:
                os.close(fd)
        return True

    def event_at(self, offset: int) -> Event:
        """Read one event again, for its details.

        Parameters
        ----------
        offset : int
            Where its line begins, in this generation of the journal.

        Returns
        -------
        event : dict

        Raises
        ------
        CorruptJournalError
            The line is damaged, or the journal was rewritten meanwhile: then :meth:`follow` and ask for the offset that the line has now.
        """
        fd = self._open(os.O_RDONLY)
        try:
            if os.pread(fd, len(self._first), 0) != self._first:
                raise CorruptJournalError(
                    f'{self.path} was rewritten meanwhile (compacted, cleared); nothing is lost by that. Repeat the last step', self.path, offset
                )
            line, size = b'', 1 << 16
            while not line.endswith(b'\n'):
                data = os.pread(fd, size, offset + len(line))
                if not data:
                    break
                cut = data.find(b'\n') + 1
                line += data[:cut] if cut else data
                size *= 4
        finally:
            os.close(fd)
        try:
            event = decode(line, offset)
        except ValueError:
            event = None
        if event is None:
            raise CorruptJournalError(
                f'the line at offset {offset:d} of {self.path} is damaged: its details are lost, the rest is intact. '
                f'Move it aside with: desipipe doctor -q {quote(self.folder)} --repair',
                self.path,
                offset,
            )
        return event

    # Writing

    def write(self, decide: Callable[[], Sequence[Event]], sync: bool = False) -> None:
        """Take the lock, read to the end, let ``decide`` look at the state and say what to append, append it, release.

        Parameters
        ----------
        decide : callable
            Called with the lock held and the sink up to date; returns the events to append, or none. It may be called again when the lock
            was lost meanwhile, and must change nothing itself.
        sync : bool, default=False
            Whether to be on disk when this returns, instead of within the sync interval.

        Raises
        ------
        QueueGoneError
            The queue was deleted.
        DiskFullError
            No space left; nothing was appended.
        LockLostError
            The lock was lost each time it was taken; nothing was appended.
        """
        with self._mutex:
            for _ in range(_TRIES):
                try:
                    with self.lock:
                        if self._write_locked(decide):
                            break
                except OSError as exc:
                    # What an NFSv4 client answers through a descriptor whose lock its server gave to another one: decide again, with a new one.
                    if exc.errno != errno.EIO or not self.shared:
                        raise
                    self.lock.close()
            else:
                raise self._lock_lost()
        if sync:
            self.sync()
        elif self._dirty and self._sync_interval is not None:
            self._sync_later()

    def _lock_lost(self) -> LockLostError:
        return LockLostError(
            f'the lock of the queue in {self.folder} was lost {_TRIES:d} times in a row while it was held (is the network cut?); nothing was written. '
            'Repeat the last step when the filesystem is back'
        )

    def _write_locked(self, decide: Callable[[], Sequence[Event]]) -> bool:
        fd, size = self._writable()
        try:
            if self.shared:
                self._hold(fd)
            if size != self.offset or os.pread(fd, len(self._last), self.offset - len(self._last)) != self._last:
                if not self._read(fd, locked=True):
                    return False  # what can't be read yet is no torn tail
                if os.fstat(fd).st_size > self.offset:
                    os.ftruncate(fd, self.offset)  # an unterminated last line: its writer died with the lock
            events = decide()
            if not events:
                return True
            placed: list[tuple[Event, int]] = []
            data = bytearray()
            for event in events:
                at = self.offset + len(data)
                placed.append((event, at))
                data += encode(event, at)
            try:
                write_all(fd, bytes(data))
                if self.shared:
                    os.fsync(fd)
            except OSError as exc:
                # Not after a lost lock (EIO on a network filesystem): what stands there now may be somebody else's.
                if exc.errno != errno.EIO or not self.shared:
                    self._undo(fd)
                raise disk_full(exc, self.path) from exc
            # A network filesystem may have taken the lock away while we held it: then someone else may have replaced the file, or
            # appended first, and what we wrote does not stand where it says. It does not count; decide again.
            if self.shared and not self._stands(fd, bytes(data)):
                return False
            self.offset += len(data)
            self._last = bytes(data[-_TAIL:])
            self._dirty = not self.shared
            for event, at in placed:
                self._sink.apply(event, at)
            return True
        finally:
            if fd != self._kept:
                os.close(fd)

    def _writable(self) -> tuple[int, int]:
        # A descriptor to write with, and the size up to which nothing is new, or -1 where that is not known. On a local disk the descriptor is
        # kept: as long as it is open nobody else gets the inode's number, so that one look at the path says whether it is still the journal.
        if self.shared:
            return self._open(os.O_RDWR | os.O_APPEND), -1
        try:
            status = os.stat(self.path)
        except OSError:
            raise self._gone() from None
        file = (status.st_dev, status.st_ino)
        if self._kept < 0 or file != self._kept_file:
            self._close_kept()
            self._kept = self._open(os.O_RDWR | os.O_APPEND)
            status = os.fstat(self._kept)
            self._kept_file = (status.st_dev, status.st_ino)
            return self._kept, -1
        return self._kept, status.st_size if file == self._file else -1

    def _close_kept(self) -> None:
        if self._kept >= 0:
            os.close(self._kept)
            self._kept = -1

    def close(self) -> None:
        """Sync, and close what is kept open; the next write opens it again."""
        self.sync()
        with self._mutex:
            self._close_kept()
            self.lock.close()

    def __del__(self) -> None:
        if getattr(self, '_kept', -1) >= 0:
            self._close_kept()

    def _hold(self, fd: int) -> None:
        # NFSv4 answers a write through a descriptor whose lock was lost with an error, but only through that descriptor:
        # so the journal's own is locked too. Uncontended, except by a holder that was cut off.
        if self.header.get('lock') != 'soft':
            fcntl.flock(fd, fcntl.LOCK_EX)

    def _stands(self, fd: int, data: bytes) -> bool:
        found = os.pread(fd, len(data), self.offset)
        for pause in _LOOKS:
            if len(found) == len(data):
                break
            # As in `_read`: what was written through a descriptor, another one reads sooner.
            time.sleep(pause)
            other = self._open(os.O_RDONLY)
            try:
                found = os.pread(other, len(data), self.offset)
            finally:
                os.close(other)
        try:
            there = os.stat(self.path)
        except (FileNotFoundError, NotADirectoryError):
            raise self._gone() from None
        return (there.st_dev, there.st_ino) == self._file and found == data

    def _undo(self, fd: int) -> None:
        try:
            os.ftruncate(fd, self.offset)
        except OSError:
            # Best effort: what remains is an unterminated line, which the next writer cuts.
            return

    def replaced(self, events: Callable[[], Iterable[Event]], after: Callable[[], None] = lambda: None) -> None:
        """Replace the whole journal (compaction, clear) by ``events``, under the lock.

        Parameters
        ----------
        events : callable
            Called with the lock held and the sink up to date; again when the lock was lost meanwhile.
        after : callable, default=None
            Called when the new journal is in its place and the lock still held: takes away what only the old one referred to.
        """
        with self._mutex:
            for _ in range(_TRIES):
                with self.lock:
                    if self._replaced_locked(events):
                        after()
                        break
            else:
                raise self._lock_lost()
            self.follow()

    def _replaced_locked(self, events: Callable[[], Iterable[Event]]) -> bool:
        fd = self._open(os.O_RDWR)
        try:
            if self.shared:
                self._hold(fd)
            if not self._read(fd, locked=True):
                return False
            size = os.fstat(fd).st_size
            return replace(self.folder, events(), still=lambda: not self.shared or self._unchanged(size))
        finally:
            os.close(fd)

    def _unchanged(self, size: int) -> bool:
        # Whether the journal is as we read it: if not, we lost the lock, and what someone else appended would be lost with the file.
        fd = self._open(os.O_RDONLY)
        try:
            there = os.fstat(fd)
        finally:
            os.close(fd)
        return (there.st_dev, there.st_ino, there.st_size) == (*(self._file or (0, 0)), size)

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
                fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
            except (FileNotFoundError, NotADirectoryError):
                return  # deleted meanwhile: nothing to keep
            try:
                os.fdatasync(fd)
            finally:
                os.close(fd)
        except OSError as exc:
            self._dirty = True
            raise disk_full(exc, self.path) from exc

    def _sync_later(self) -> None:
        with self._sync_guard:
            if self._syncer is None or not self._syncer.is_alive():
                self._syncer = threading.Thread(target=self._sync_soon, name='desipipe-sync', daemon=True)
                atexit.register(self.sync)  # a daemon thread may be gone before it has slept enough
                self._syncer.start()

    def _sync_soon(self) -> None:
        # Lives as long as there is something to sync: no idle thread stays behind. A writer sets _dirty before it takes the guard,
        # so that either it is seen here or the writer finds no syncer and starts another.
        pause = threading.Event()
        while True:
            pause.wait(self._sync_interval)
            try:
                self.sync()
                failed = False
            except OSError as exc:
                # Said here, since nobody waits for it; tried again with the next write, at exit, and where someone asks to sync.
                logger.error('what was written to %s is not on disk yet: %s', self.folder, exc)
                failed = True
            with self._sync_guard:
                if failed or not self._dirty:
                    self._syncer = None
                    if not failed:
                        atexit.unregister(self.sync)
                    return


def writer_name() -> str:
    """A name for this process as a writer, unique on all hosts that share the queue."""
    host = ''.join(c if c.isalnum() else '-' for c in socket.gethostname().split('.')[0])[:24]
    return f'{host}-{os.getpid():d}-{secrets.token_hex(3)}'
