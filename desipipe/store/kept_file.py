"""Files of a queue that stay open in a process that also runs code of users."""

from __future__ import annotations

import io
import os

from .journal_file import Identity

_foreign: list[io.FileIO] = []
"""Files whose descriptors belong to others: garbage collection would close these."""


class KeptFile:
    """An open file, which an interrupt does not leave open.

    Code of users may close descriptors that are not its own, and get their numbers for other
    files: what is written there would damage these.

    Parameters
    ----------
    fd : int
        Descriptor that is open for reading and writing; it is closed with this object.
    """

    def __init__(self, fd: int) -> None:
        self._file = io.FileIO(fd, 'r+')
        self.identity = _identity(fd)
        """The file that was opened."""

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._file.fileno()

    def is_own(self) -> bool:
        """Return True if the descriptor is still that of the file."""
        return _identity(self._file.fileno()) == self.identity

    def close(self) -> None:
        """Close the file; leave what is another's by now as it is."""
        if self._file.closed:
            return
        if self.is_own():
            self._file.close()
        else:
            _foreign.append(self._file)


def _identity(fd: int) -> Identity | None:
    try:
        opened = os.fstat(fd)
    except OSError:
        return None
    return opened.st_dev, opened.st_ino
