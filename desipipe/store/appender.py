"""Appending to the file of a journal, which is kept open or locked."""

from __future__ import annotations

import errno
import fcntl
import io
import os

from .journal_file import Identity, JournalFile
from .kept_file import KeptFile
from .writing import disk_full, write_all


class Appender:
    """Appends to the file of a journal, which stays open, or is locked while it does.

    Parameters
    ----------
    file : JournalFile
    """

    def __init__(self, file: JournalFile) -> None:
        self._file = file
        self._kept: KeptFile | None = None
        self._held: io.FileIO | None = None

    def open(self, folded: Identity | None, shared: bool) -> tuple[int, int]:
        """Return a descriptor of the journal to append with, and the size.

        Parameters
        ----------
        folded : tuple, optional
            The file that was folded.
        shared : bool
            True if other hosts may write: the file is opened anew, until :meth:`close_held`.

        Returns
        -------
        fd, size : int
            Size up to which nothing is new; -1 where that is not known.
        """
        if shared:
            return self.open_held(os.O_RDWR | os.O_APPEND), -1
        # As long as it is open nobody else gets the inode's number, so that one look at the path
        # says whether it is still the journal.
        try:
            opened = os.lstat(self._file.path)
        except OSError:
            raise self._file.gone() from None
        identity = (opened.st_dev, opened.st_ino)
        if self._kept is None or identity != self._kept.identity:
            return self._open_kept(), -1
        return self._kept.fileno(), opened.st_size if identity == folded else -1

    def _open_kept(self) -> int:
        self.close_kept()
        self._kept = KeptFile(self._file.open(os.O_RDWR | os.O_APPEND))
        return self._kept.fileno()

    def checked(self, fd: int) -> int:
        """Return a descriptor of the journal; a new one if ``fd`` is another file's.

        Code of the user's may have closed descriptors that are not its own. To be called when what
        is read through ``fd`` is not the journal as it was folded.
        """
        kept = self._kept
        is_lost = kept is not None and fd == kept.fileno() and not kept.is_own()
        return self._open_kept() if is_lost else fd

    def kept(self, folded: Identity | None) -> int:
        """Return the descriptor kept open; -1 if it is not of the folded file."""
        if self._kept is None or self._kept.identity != folded:
            return -1
        try:
            here = os.lstat(self._file.path)
        except OSError:
            return -1  # deleted
        is_same = (here.st_dev, here.st_ino) == folded and self._kept.is_own()
        return self._kept.fileno() if is_same else -1

    def close_kept(self) -> None:
        """Close what is kept open."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def open_held(self, flags: int) -> int:
        """Open the journal until :meth:`close_held`."""
        # It is locked: an interrupt must not leave it open. Objects close once, however often they
        # are told to.
        self._held = io.FileIO(self._file.open(flags), 'r+')
        return self._held.fileno()

    def lock(self, fd: int) -> None:
        """Lock the open journal itself, besides the queue's lock, until it is closed."""
        # NFSv4 answers a write through a descriptor whose lock was lost with an error, but only
        # through that descriptor: so the journal's own is locked too. Uncontended, except by a
        # holder that was cut off.
        fcntl.flock(fd, fcntl.LOCK_EX)

    def close_held(self) -> None:
        """Close what :meth:`open_held` opened."""
        if self._held is not None:
            self._held.close()
            self._held = None

    def append(self, fd: int, data: bytes, end: int, sync: bool) -> None:
        """Append lines; with ``sync`` they are on disk when this returns.

        Parameters
        ----------
        fd : int
        data : bytes
        end : int
            End of the lines before them, up to which the file is cut where they cannot be written.
        sync : bool
            True on a network filesystem.
        """
        try:
            write_all(fd, data)
            if sync:
                os.fsync(fd)
        except OSError as exc:
            # Not after a lost lock (EIO on a network filesystem): what stands there now may be
            # somebody else's.
            if exc.errno != errno.EIO or not sync:
                _undo(fd, end)
            raise disk_full(exc, self._file.path) from exc
        except BaseException:
            _undo(fd, end)  # interrupted: perhaps in the middle of the batch
            raise

    def __del__(self) -> None:
        if getattr(self, '_kept', None) is not None:
            self.close_kept()


def _undo(fd: int, end: int) -> None:
    try:
        os.ftruncate(fd, end)
    except OSError:
        # Best effort: what remains is an unterminated line, which the next writer cuts.
        return
