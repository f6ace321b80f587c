"""File of a journal: made, opened, compared, or replaced as a whole."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
import time
from collections.abc import Callable, Iterable, Sequence

from ..errors import CorruptJournalError, PermissionDeniedError, QueueGoneError, QueueVersionError
from ..utils import quote, random_hex
from .file_names import JOURNAL
from .files import open_file, remove, replace_file, status
from .folders import sync_folder
from .line_format import Event, NewEvent, decode, encode_bounded
from .shared_files import share
from .writing import disk_full, write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeGuard

    from .header import Header, HeaderEvent

VERSION = 2
KNOWN_VERSIONS = (1, VERSION)  # the first has no packed events
FILE_NAME = JOURNAL
_CHUNK = 16 << 20  # bytes
_HEADER_MAX = 1 << 20  # bytes of the first line
_STALE_PAUSES_S = (0.01, 0.05, 0.2)
RETRY_PAUSES_S = (
    0.01,
    0.05,
    0.1,
    0.2,
    0.4,
)  # s between looks at what a shared filesystem gives, before it is believed

Identity = tuple[int, int]  # device and inode of a file


def _is_header(event: Event) -> TypeGuard[HeaderEvent]:
    """Return True for what the first line of a journal may hold."""
    texts = all(
        isinstance(event.get(key, ''), str) for key in ('id', 'gen', 'lock', 'name', 'fstype')
    )
    lease = event.get('lease', 1.0)
    return event.get('e') == 'queue' and texts and type(lease) in (int, float) and 0 < lease < 1e9


def create(folder: str, header: Header) -> None:
    """Write the first line of a new journal.

    Parameters
    ----------
    folder : str
        The queue's folder, which must hold no journal.
    header : dict
        Members of the ``queue`` event; ``e``, ``version``, ``id`` and ``gen`` are added.
    """
    replace(folder, [first_event(header)], exclusive=True)


def first_event(header: Header) -> HeaderEvent:
    """Return the ``queue`` event of a new journal.

    A ``header`` with an ``id`` keeps that (compaction); without one the journal is that of another
    queue.
    """
    return {'e': 'queue', 'version': VERSION, 'id': random_hex(8), **header, 'gen': random_hex(8)}


def replace(
    folder: str,
    events: Iterable[NewEvent],
    exclusive: bool = False,
    still: Callable[[], bool] = lambda: True,
) -> bool:
    """Atomically replace the journal with ``events``. The caller holds the lock.

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
    temporary = f'{FILE_NAME}.{random_hex(4)}.tmp'
    fd = open_file(folder, temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    renamed = False
    try:
        try:
            _keep_rights(fd, folder)
            at, pending = 0, bytearray()
            for event in events:
                line = encode_bounded(event, at)
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
        replace_file(folder, temporary, FILE_NAME, exclusive)
        renamed = True
    except OSError as exc:
        raise disk_full(exc, path) from exc
    finally:
        if not renamed:
            remove(folder, temporary, missing_ok=True)
    sync_folder(folder)
    return True


def _keep_rights(fd: int, folder: str) -> None:
    # Who may read and write the old journal may read and write the new one, whoever makes it.
    try:
        old = status(folder, FILE_NAME)
    except FileNotFoundError:
        share(fd, folder)
        return
    with contextlib.suppress(PermissionError):
        if os.fstat(fd).st_gid != old.st_gid:
            os.fchown(fd, -1, old.st_gid)
    with contextlib.suppress(PermissionError):
        os.fchmod(fd, stat.S_IMODE(old.st_mode))


class JournalFile:
    """The file of a journal, which others may replace or delete at any time.

    Parameters
    ----------
    folder : str
        The queue's folder.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.path = os.path.join(folder, FILE_NAME)

    def gone(self) -> QueueGoneError:
        """Return the error for a queue that was deleted."""
        return QueueGoneError(
            f'The queue in {self.folder} is gone (was it deleted?). Nothing was recreated. List '
            'what is there with: desipipe queues'
        )

    def open(self, flags: int) -> int:
        """Open the file; the caller closes it."""
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
                raise self.gone() from exc
            raise

    def _open_once(self, flags: int) -> int:
        try:
            return open_file(self.folder, FILE_NAME, flags)
        except (FileNotFoundError, NotADirectoryError):
            raise self.gone() from None
        except OSError as exc:
            if exc.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise
            what = 'written to' if flags & os.O_RDWR else 'read'
            raise PermissionDeniedError(
                f'{self.path} cannot be {what} by you ({exc.strerror}); nothing was changed. Look '
                'at the mount and the modes with: desipipe doctor'
            ) from None

    def open_to_read(self) -> io.FileIO:
        """Open the file for reading."""
        return io.FileIO(self.open(os.O_RDONLY))

    def identity(self) -> Identity:
        """Return which file has the journal's name now."""
        try:
            status = os.lstat(self.path)
        except (FileNotFoundError, NotADirectoryError):
            raise self.gone() from None
        return status.st_dev, status.st_ino

    def opened_identity(self) -> tuple[Identity, int]:
        """Return which file one gets by opening the journal now, and its size."""
        with self.open_to_read() as file:
            status = os.fstat(file.fileno())
        return (status.st_dev, status.st_ino), status.st_size

    def holds(self, data: bytes, offset: int, pauses: Sequence[float]) -> bool:
        """Return True if ``data`` stands at ``offset``, after each of ``pauses``."""
        for pause in pauses:
            if pause:
                time.sleep(pause)
            with self.open_to_read() as file:
                if os.pread(file.fileno(), len(data), offset) != data:
                    return False
        return True

    def read_back(self, fd: int, length: int, offset: int) -> bytes:
        """Return ``length`` bytes that were just written through ``fd``."""
        written = os.pread(fd, length, offset)
        for pause in RETRY_PAUSES_S:
            if len(written) == length:
                break
            # What was written through a descriptor, another one reads sooner (seen on MooseFS).
            time.sleep(pause)
            with self.open_to_read() as file:
                written = os.pread(file.fileno(), length, offset)
        return written

    def read_first_line(self, fd: int) -> tuple[bytes, HeaderEvent]:
        """Return the first line, and the header in it.

        Raises
        ------
        CorruptJournalError
            It is damaged.
        QueueVersionError
            It is of another format.
        """
        first = self._first_line(fd)
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
        if header.get('version') not in KNOWN_VERSIONS:
            raise QueueVersionError(
                f'The queue in {self.folder} has format version {header.get("version")}, this '
                f'desipipe knows {" and ".join(map(str, KNOWN_VERSIONS))}; it was not touched. '
                'Use the desipipe that made it, or another queue name.'
            )
        return first, header

    def _first_line(self, fd: int) -> bytes:
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
        return first
