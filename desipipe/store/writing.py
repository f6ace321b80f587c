"""Writes of many bytes, their errors, and hints about them to the kernel."""

from __future__ import annotations

import errno
import functools
import os
import sys

from ..errors import DiskFullError, PermissionDeniedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ctypes

HINT_FROM = 1 << 25  # bytes; from here on it pays to tell the kernel what comes
CALL_MAX = 1 << 25  # bytes a call; Linux reads and writes at most 2 GiB - 4 kB
_SYNC_FILE_RANGE_WRITE = 2
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)


def write_all(fd: int, data: bytes | memoryview, offset: int = -1) -> int:
    """Write every byte, in as many calls as it takes.

    Parameters
    ----------
    fd : int
    data : bytes-like
    offset : int, default=-1
        Position in the file; by default that of the descriptor.

    Returns
    -------
    written : int
        All of them.

    Raises
    ------
    OSError
        As :func:`os.write`; some bytes may be there already.
    """
    done = 0
    if isinstance(data, bytes) and len(data) < HINT_FROM:
        done = os.write(fd, data) if offset < 0 else os.pwrite(fd, data, offset)
        if done == len(data):
            return done
    view = memoryview(data).cast('B') if not isinstance(data, bytes) else memoryview(data)
    size = len(view)
    while done < size:
        part = view[done : done + CALL_MAX]
        written = os.write(fd, part) if offset < 0 else os.pwrite(fd, part, offset + done)
        if size >= HINT_FROM and offset >= 0:
            _begin_writeback(fd, offset + done, written)
        done += written
    return size


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


# Large payloads are synced before they are announced: the disk begins while we still write, and
# finds the blocks reserved. Measured on ext4 for 1 GB: half of the time. Linux only, and only
# hints: what a filesystem refuses costs time, nothing else. (Not os.posix_fallocate: where the
# filesystem cannot, the C library writes every block itself.)
def reserve(fd: int, offset: int, length: int) -> None:
    """Tell the kernel that bytes at ``offset`` will be written."""
    if sys.platform == 'linux':
        load_hints().fallocate(fd, 0, offset, length)


def _begin_writeback(fd: int, offset: int, length: int) -> None:
    if sys.platform == 'linux':
        load_hints().sync_file_range(fd, offset, length, _SYNC_FILE_RANGE_WRITE)


@functools.cache
def load_hints() -> ctypes.CDLL:
    """Return the C library, with the types of what gives the hints."""
    import ctypes

    number, size = ctypes.c_int, ctypes.c_int64
    libc = ctypes.CDLL(None)
    libc.fallocate.argtypes = (number, number, size, size)
    libc.sync_file_range.argtypes = (number, size, size, ctypes.c_uint)
    return libc
