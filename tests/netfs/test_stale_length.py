"""A file system client that does not know yet how long a file has become.

Seen on MooseFS with two busy hosts, about once in some thousand appends: for up to a second a
descriptor reads nothing where bytes are, those of another host or those that it has just written
itself, although ``fstat`` already tells the true size; a descriptor opened afterwards reads them.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from desipipe.store.journal import Journal
from desipipe.store.journal_file import create
from desipipe.store.line_format import Event


class Notes:
    """Collects events."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def reset(self, header: Event) -> None:
        self.seen.clear()

    def apply(self, event: Event, offset: int) -> None:
        self.seen.append(event['who'])

    def damaged(self, offset: int, length: int) -> None:
        raise AssertionError(f'the line at {offset:d} is damaged')


class StaleClient:
    """Until it is opened again, a descriptor reads nothing beyond what the file held when the test
    began.

    Parameters
    ----------
    path : Path
        The file.
    monkeypatch : pytest.MonkeyPatch
        What puts `os` right again.
    """

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.length = path.stat().st_size
        self.path = str(path)
        self.stale = -1  # the first descriptor of the file that is opened from now on
        self.short = 0
        self._open, self._pread = os.open, os.pread
        monkeypatch.setattr(os, 'open', self.open)
        monkeypatch.setattr(os, 'pread', self.pread)

    def open(self, path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        """Open a file like `os.open`."""
        fd = self._open(path, flags, mode, dir_fd=dir_fd)
        if self.stale == -1 and os.path.samestat(os.fstat(fd), os.stat(self.path)):
            self.stale = fd
        elif self.stale == fd:
            self.stale = -2  # the number has been given again
        return fd

    def pread(self, fd: int, n: int, offset: int) -> bytes:
        """As `os.pread`."""
        data = self._pread(fd, n, offset)
        if fd == self.stale and offset + len(data) > self.length:
            self.short += 1
            return data[: max(0, self.length - offset)]
        return data


def journal(folder: Path) -> Journal:
    """A journal as on a shared filesystem."""
    if not folder.joinpath('lock').exists():
        folder.joinpath('lock').touch()
        create(str(folder), {'lock': 'flock', 'shared': True})
    return Journal(str(folder), Notes())


def read(folder: Path) -> list[str]:
    """What counts."""
    notes = Notes()
    Journal(str(folder), notes)
    return notes.seen


def test_lines_of_others_are_not_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a writer can't read yet is no torn tail: it is whole, belongs to somebody else, and
    stays.
    """
    writer, other = journal(tmp_path), journal(tmp_path)
    with monkeypatch.context() as patch:
        client = StaleClient(tmp_path / 'journal.jsonl', patch)
        client.stale = -2
        other.write(lambda: [{'e': 'note', 'who': 'other'}])
        client.stale = -1
        writer.write(lambda: [{'e': 'note', 'who': 'writer'}])
        assert client.short
    assert read(tmp_path) == ['other', 'writer']


def test_own_lines_are_not_doubled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a writer has written and can't read back yet stands: it is not written again."""
    writer = journal(tmp_path)
    with monkeypatch.context() as patch:
        client = StaleClient(tmp_path / 'journal.jsonl', patch)
        writer.write(lambda: [{'e': 'note', 'who': 'writer'}])
        assert client.short
    assert read(tmp_path) == ['writer']
