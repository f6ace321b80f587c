"""Payloads in append-only files, read by reference."""

from __future__ import annotations

import binascii
import contextlib
import errno
import mmap
import os
import sys
from collections import OrderedDict
from collections.abc import Callable

from ..errors import (
    PayloadError,
    UnsafeFileError,
)
from ..utils import quote
from .file_names import is_journal, payload_file
from .files import Owners, open_owned
from .writing import CALL_MAX

# Bytes; from here on a payload is memory-mapped, and compaction leaves segments where they are.
MAP_FROM = 1 << 20
_SIZE_MAX = 1 << 60  # bytes
_FIRST_LINE = 4096  # bytes of a journal that have the generation
_BLOCK = 1 << 16  # bytes read at once when small payloads are read one after the other
_NEAR = 1 << 13  # bytes between two of them at most
# Pages are copied when they are written to. The kernel is asked to reserve nothing for them: it
# would refuse to map more than the machine's memory, of which little may be read.
_MACHINES = ('x86_64', 'aarch64', 'riscv64')  # with this number, which Python 3.12 does not name
_NO_RESERVE = 0x4000 if sys.platform == 'linux' and os.uname().machine in _MACHINES else 0
_COPY_ON_WRITE = mmap.MAP_PRIVATE | getattr(mmap, 'MAP_NORESERVE', _NO_RESERVE)
_UNTRACKED = {'trackfd': False} if sys.version_info >= (3, 13) else {}  # keeps no descriptor


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
            fd, owners = open_owned(self.folder, payload_file(name))
        except UnsafeFileError as exc:
            raise PayloadError(
                f'{exc}\nThe value in it was not read. Check with: desipipe doctor -q '
                f'{quote(self.folder)}'
            ) from exc
        except OSError as exc:
            path = self._path(name)
            raise PayloadError(
                f'{path} cannot be opened ({exc.strerror}): the values in it are lost if it was '
                f'removed. Check with: desipipe doctor -q {quote(self.folder)}'
            ) from exc
        if is_journal(name):
            self._check_generation(fd, name)
        fd = self._private(fd)
        self._fds[name] = fd
        self._owners[name] = owners
        if len(self._fds) > self._keep:
            oldest, old = next(iter(self._fds.items()))
            self._forget(oldest)
            os.close(old)
        return fd

    def _path(self, name: str) -> str:
        return os.path.join(self.folder, payload_file(name))

    def _check_generation(self, fd: int, name: str) -> None:
        """Close the journal and raise, unless it is of the generation that the name says."""
        generation = name.partition('@')[2]
        if b'"gen":"%b"' % generation.encode() not in os.pread(fd, _FIRST_LINE, 0):
            os.close(fd)
            raise PayloadError(
                f'{self._path(name)} was rewritten (compacted, cleared or repaired) since it was '
                'read. The value was not read: follow the queue and read it again.'
            )

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
            if is_journal(name):
                return self._read_text(name, offset, length)
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
        if len(data) != length:
            # A network filesystem's client may still have the file's old size with the old
            # descriptor.
            data = os.pread(self._open(name, again=True), length, offset)
        if len(data) != length:
            raise self._short(name, offset, length)
        return data

    def _read_text(self, name: str, offset: int, length: int) -> bytes:
        """Return a payload that stands in a line of a journal, as text in quotes."""
        # Not in blocks: the end of a journal may be cut and written anew.
        size = 4 * -(-length // 3)
        text = os.pread(self._open(name), size + 2, offset - 1)
        try:
            data = binascii.a2b_base64(text[1:-1], strict_mode=True)
        except binascii.Error:
            data = b''
        if len(data) != length or text[:1] + text[-1:] != b'""':
            raise PayloadError(
                f'{self._path(name)} does not hold the {length:d} bytes at {offset:d} that one of '
                'its lines has: this value is lost, the others are intact. Check with: '
                f'desipipe doctor -q {quote(self.folder)}'
            )
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
            if os.fstat(fd).st_size < offset + length:
                # Mapping beyond the end would be a bus error at the first access.
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
            path = self._path(name)
            problem = f'{length:,d} bytes of {path} cannot be mapped ({exc.strerror})'
            raise MemoryError(f'{problem}. Nothing is lost: hold fewer values at once') from None
        return memoryview(mapped)[offset - start :]

    def _short(self, name: str, offset: int, length: int) -> PayloadError:
        return PayloadError(
            f'{self._path(name)} ends before the {length:d} bytes at {offset:d} '
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
