"""Payloads in append-only files, each with one writer."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Sequence

from ..errors import QueueGoneError
from .file_names import segment_file, segment_path
from .files import open_file, sync_data
from .shared_files import share
from .writing import HINT_FROM, disk_full, load_hints, reserve, write_all

ALIGNMENT = 64  # bytes; what vector instructions want of an array that is used where it lies


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
