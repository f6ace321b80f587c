"""Payloads in append-only files with one writer each, read by reference."""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import sys
from collections import OrderedDict
from collections.abc import Callable, Sequence
from shlex import quote

from ..errors import (
    DiskFullError,
    PayloadError,
    PermissionDeniedError,
    QueueGoneError,
    UnsafeFileError,
)
from .files import Owners, open_file, open_owned, segment_file, share, sync_data
from .writing import CALL_MAX, HINT_FROM, load_hints, reserve, write_all

ALIGNMENT = 64  # bytes; what vector instructions want of an array that is used where it lies
MAP_FROM = (
    1 << 20
    # bytes; from here on a payload is memory-mapped; compaction leaves segments of this size where
    # they are
)
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)
_SIZE_MAX = 1 << 60  # bytes
_BLOCK = 1 << 16  # bytes read at once when small payloads are read one after the other
_NEAR = 1 << 13  # bytes between two of them at most
# Pages are copied when they are written to. The kernel is asked to reserve nothing for them: it
# would refuse to map more than the machine's memory, of which little may be read.
_MACHINES = ('x86_64', 'aarch64', 'riscv64')  # with this number, which Python 3.12 does not name
_NO_RESERVE = 0x4000 if sys.platform == 'linux' and os.uname().machine in _MACHINES else 0
_COPY_ON_WRITE = mmap.MAP_PRIVATE | getattr(mmap, 'MAP_NORESERVE', _NO_RESERVE)
_UNTRACKED = {'trackfd': False} if sys.version_info >= (3, 13) else {}  # keeps no descriptor


def segment_path(folder: str, name: str) -> str:
    """The file of segment ``name`` in the queue ``folder``."""
    return os.path.join(folder, segment_file(name))


def disk_full(exc: OSError, path: str) -> OSError:
    """Convert an OSError to :class:`DiskFullError` or :class:`PermissionDeniedError`."""
    if exc.errno in _NOT_ALLOWED:
        return PermissionDeniedError(
            f'No permission to write to {path} ({exc.strerror}). Nothing was added or changed. '
            'Look at the mount and the modes with: desipipe doctor'
        )
    if exc.errno not in _NO_SPACE:
        return exc
    return DiskFullError(
        f'No space or quota left for {path} ({exc.strerror}). What was being added is not in the '
        'queue; everything before it is intact. '
        'Free some space (desipipe compact may help) and repeat the last step.'
    )


class SegmentWriter:
    """Writer of a segment of its own, whose file is created with the first payload.

    Parameters
    ----------
    folder : str
        The queue's folder.
    name : str
        A name that no other writer has; a number is added when the file must be begun anew.
    private : callable, default=None
        Moves a new descriptor to another number, and returns that.
    """

    def __init__(self, folder: str, name: str, private: Callable[[int], int] = int) -> None:
        self.folder = folder
        self._private = private
        self._stem = name
        self._turn = 0
        self.name = name
        self._fd = -1
        self._end = 0
        self._dirty = False

    def _open(self) -> None:
        if sys.platform == 'linux':
            load_hints()  # now: there may be no descriptor left to import it when it is needed
        while True:
            self.name = self._stem if self._turn == 0 else f'{self._stem}.{self._turn:d}'
            self._turn += 1
            try:
                flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
                self._fd = self._private(open_file(self.folder, segment_file(self.name), flags))
            except FileExistsError:
                continue
            except (FileNotFoundError, NotADirectoryError):
                raise QueueGoneError(
                    f'The queue in {self.folder} is gone (was it deleted?). Nothing was added or '
                    'recreated.'
                ) from None
            except OSError as exc:
                raise disk_full(exc, self.folder) from exc
            self._end = 0
            share(self._fd, self.folder, own=True)
            return

    def append(self, parts: Sequence[bytes | memoryview], aligned: bool = False) -> int:
        """Write one payload.

        Parameters
        ----------
        parts : sequence of bytes-like
            Written one after the other.
        aligned : bool, default=False
            Begin at a multiple of :data:`ALIGNMENT`.

        Returns
        -------
        offset : int
            Position where the payload begins in the file.

        Raises
        ------
        DiskFullError
            No space left; the payload does not count.
        """
        if self._fd < 0:
            self._open()
        start = self._end
        if aligned:
            start += -start % ALIGNMENT
        end = start
        try:
            if (
                len(parts) > 1
                and (size := sum(memoryview(part).nbytes for part in parts)) >= HINT_FROM
            ):
                reserve(self._fd, start, size)
            for part in parts:
                end += write_all(self._fd, part, end)
            self._dirty = True
            self._end = end
        except BaseException as exc:
            # Half a payload may be there, to which nothing refers. Its space is given back, and the
            # next one goes to another file: readers may have read ahead, so that no byte ever
            # changes its value.
            self._abandon(start)
            if isinstance(exc, OSError):
                raise disk_full(exc, segment_path(self.folder, self.name)) from exc
            raise
        return start

    def _abandon(self, end: int) -> None:
        try:
            os.ftruncate(self._fd, end)
            sync_data(self._fd)
        except OSError:
            # what was written before is reported as lost when it is read, if it is; the failure at
            # hand is the one to tell
            pass
        self.close()

    def flush(self) -> None:
        """Sync to disk; on a network filesystem this shows the bytes to other hosts, too."""
        if self._dirty and self._fd >= 0:
            self._dirty = False  # before: what another thread appends meanwhile is dirty again
            try:
                sync_data(self._fd)
            except BaseException as exc:
                self._dirty = True
                if isinstance(exc, OSError):
                    raise disk_full(exc, segment_path(self.folder, self.name)) from exc
                raise

    def close(self) -> None:
        """Close the file."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with contextlib.suppress(OSError):  # what is on disk, `flush` says
                os.close(fd)

    def __del__(self) -> None:
        if getattr(self, '_fd', -1) >= 0:
            self.close()


def _read_copy(fd: int, offset: int, length: int) -> memoryview:
    """Read a payload into its own memory, where no descriptor is left to map the file."""
    view = memoryview(bytearray(length))
    done = 0
    while done < length:
        data = os.pread(fd, min(length - done, CALL_MAX), offset + done)
        if not data:
            raise PayloadError(f'The file of the queue ends {length - done:d} bytes too early.')
        view[done : done + len(data)] = data
        done += len(data)
    return view


class SegmentReader:
    """Reads payloads by reference; keeps a few files open.

    Parameters
    ----------
    folder : str
        The queue's folder.
    keep : int, default=32
        Number of files to keep open.
    private : callable, default=None
        Moves a new descriptor to another number, and returns that.
    """

    def __init__(self, folder: str, keep: int = 32, private: Callable[[int], int] = int) -> None:
        self.folder = folder
        self._private = private
        self._keep = keep
        self._fds: OrderedDict[str, int] = OrderedDict()
        self._owners: dict[str, Owners] = {}
        self._last_name, self._last = '', 0
        self._block_name, self._block_start, self._block_end, self._block = '', 0, 0, b''

    def _open(self, name: str, again: bool = False) -> int:
        fd = self._fds.get(name, -1)
        if fd >= 0 and not again:
            self._fds.move_to_end(name)
            return fd
        if fd >= 0:
            self._forget(name)
            os.close(fd)
        try:
            fd, owners = open_owned(self.folder, segment_file(name))
        except UnsafeFileError as exc:
            raise PayloadError(
                f'{exc}\nThe value in it was not read. Check with: desipipe doctor -q '
                f'{quote(self.folder)}'
            ) from exc
        except OSError as exc:
            path = segment_path(self.folder, name)
            raise PayloadError(
                f'{path} cannot be opened ({exc.strerror}): the values in it are lost if it was '
                f'removed. Check with: desipipe doctor -q {quote(self.folder)}'
            ) from exc
        fd = self._private(fd)
        self._fds[name] = fd
        self._owners[name] = owners
        if len(self._fds) > self._keep:
            oldest, old = next(iter(self._fds.items()))
            self._forget(oldest)
            os.close(old)
        return fd

    def _forget(self, name: str) -> None:
        # What was read of a file goes with the knowledge whose it was.
        self._fds.pop(name, None)
        self._owners.pop(name, None)
        if self._block_name == name:
            self._block_name, self._block_end, self._block = '', 0, b''

    def read(self, name: str, offset: int, length: int) -> bytes | memoryview:
        """Return one payload: bytes, or for a large one a view of the mapped file.

        The view can be written to: what is written is in this view alone, and not in the file.

        Parameters
        ----------
        name : str
            The segment.
        offset, length : int
            Position and size of the payload, in bytes.

        Returns
        -------
        data : bytes or memoryview

        Raises
        ------
        PayloadError
            The bytes are not there.
        MemoryError
            The kernel can't map as much.
        """
        if (
            name == self._block_name
            and self._block_start <= offset
            and offset + length <= self._block_end
        ):
            start = offset - self._block_start
            self._last = offset + length
            return self._block[start : start + length]
        try:
            return self._read(name, offset, length)
        except OSError:
            # The descriptor may be stale, or closed by user code: the next try opens the file
            # again.
            if (stale := self._fds.get(name, -1)) >= 0:
                self._forget(name)
                with contextlib.suppress(OSError):
                    os.close(stale)
            raise

    def _read(self, name: str, offset: int, length: int) -> bytes | memoryview:
        fd = self._open(name)
        if offset + length > _SIZE_MAX:  # what the kernel refuses, and no file holds
            raise self._short(name, offset, length)
        if length >= MAP_FROM:
            return self._map(name, fd, offset, length)
        if name == self._last_name and 0 <= offset - self._last < _NEAR and length < _NEAR:
            # One after the other, as tasks and results are: one read for many. What was written
            # never changes.
            data = os.pread(fd, _BLOCK, offset)
            self._block_name, self._block_start, self._block_end, self._block = (
                name,
                offset,
                offset + len(data),
                data,
            )
            data = data[:length]
        else:
            data = os.pread(fd, length, offset)
        self._last_name, self._last = name, offset + length
        if (
            len(data) != length
            # a network filesystem's client may still have the file's old size with the old
            # descriptor
        ):
            data = os.pread(self._open(name, again=True), length, offset)
        if len(data) != length:
            raise self._short(name, offset, length)
        return data

    def owner(self, name: str) -> int:
        """Return the user (by id) who owns the segment ``name``."""
        return self.owners(name).file

    def owners(self, name: str) -> Owners:
        """Return who owns the segment ``name``, as it is read, and the queue's folder."""
        self._open(name)
        return self._owners[name]

    def status(self, name: str) -> os.stat_result:
        """Return owner and mode of the segment ``name``, as it is read here."""
        try:
            return os.fstat(self._open(name))
        except OSError:
            return os.fstat(self._open(name, again=True))

    def _map(self, name: str, fd: int, offset: int, length: int) -> memoryview:
        if os.fstat(fd).st_size < offset + length:
            fd = self._open(name, again=True)
            if (
                os.fstat(fd).st_size < offset + length
            ):  # mapping beyond the end would be a bus error at the first access
                raise self._short(name, offset, length)
        start = offset - offset % mmap.ALLOCATIONGRANULARITY
        prot = mmap.PROT_READ | mmap.PROT_WRITE
        try:
            mapped = mmap.mmap(
                fd,
                offset + length - start,
                flags=_COPY_ON_WRITE,
                prot=prot,
                offset=start,
                **_UNTRACKED,
            )
        except OSError as exc:
            if exc.errno in (errno.EMFILE, errno.ENFILE):
                return _read_copy(fd, offset, length)
            if exc.errno != errno.ENOMEM:
                raise
            path = segment_path(self.folder, name)
            problem = f'{length:,d} bytes of {path} cannot be mapped ({exc.strerror})'
            raise MemoryError(f'{problem}. Nothing is lost: hold fewer values at once') from None
        return memoryview(mapped)[offset - start :]

    def _short(self, name: str, offset: int, length: int) -> PayloadError:
        return PayloadError(
            f'{segment_path(self.folder, name)} ends before the {length:d} bytes at {offset:d} '
            'that the journal refers to: '
            'this value is lost, the others are intact. Check with: desipipe doctor -q '
            f'{quote(self.folder)}'
        )

    def close(self) -> None:
        """Close all files; views of mapped payloads stay valid."""
        while self._fds:
            os.close(self._fds.popitem()[1])
        self._owners.clear()
        self._block_name, self._block_end, self._block = '', 0, b''

    def __del__(self) -> None:
        if hasattr(self, '_block'):
            self.close()
