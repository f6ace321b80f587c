"""Read the lists of notes beside files, each line once."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from itertools import islice
from operator import itemgetter
from typing import NamedTuple

import orjson

from ..errors import UnsafeFileError
from ..provenance import Content
from ..store import files, folders
from .file_content import content
from .note_folder import FOLDER

Source = tuple[str, Content]
"""A file that another one was made of, as it was then."""
_CHUNK = 1 << 24  # bytes of notes that are read at once
_DEARER = 50  # times as long as a byte of a file a byte of notes takes


class Note(NamedTuple):
    """Line about a file that a task saved."""

    file: str
    """Name in its folder."""
    size: int
    mtime: int
    sha256: str
    time: float
    """Time at which it was saved, seconds since the epoch, by the host's clock."""
    attempt: int
    task: str
    app: str
    code: str
    queue: str
    versions: str
    user: str
    host: str
    read: dict[str, Content]
    """Files that the attempt has read, which may have grown since."""
    read_count: int
    """Number of those, the first so many, that it had read when it saved the file."""

    @property
    def content(self) -> Content:
        """Content that the file had then."""
        return Content(self.size, self.mtime, self.sha256)

    @property
    def inputs(self) -> list[Source]:
        """Files that it was made of, as they were then."""
        return list(islice(self.read.items(), self.read_count))


# Members of a line, in the order of a note's fields; many lines have the texts of `_SHARED` in
# common.
_OWN = {'file': str, 'size': int, 'mtime': int, 'sha256': str, 'time': float, 'attempt': int}
_SHARED = ('task', 'app', 'code', 'queue', 'versions', 'user', 'host')
_members = itemgetter(*_OWN, *_SHARED)
_TYPES = (*_OWN.values(), *[str] * len(_SHARED))


class NoteList:
    """One list of lines, as far as it was read."""

    def __init__(self, inode: int) -> None:
        self.inode = inode
        self.offset = 0
        # By task and attempt, what was read; dictionaries that grow: a line sees them as they were
        # then by counting.
        self._read: dict[tuple[str, int], dict[str, Content]] = {}

    def more(self, path: str) -> Iterator[Note]:
        """Yield the notes that came since."""
        folder, name = os.path.split(path)
        try:
            fd = files.open_file(os.path.dirname(folder), f'{FOLDER}/{name}')
        except (FileNotFoundError, PermissionError, UnsafeFileError):
            return  # of someone who keeps it to himself: as if it were not there
        try:
            while texts := self._next(fd):
                yield from self._parsed(texts)
        finally:
            os.close(fd)

    def _next(self, fd: int) -> list[bytes]:
        """Return the next lines; none at the end, and where no line ends for long."""
        data = files.read_range(fd, self.offset, self.offset + _CHUNK)
        data = data[: data.rfind(b'\n') + 1]
        self.offset += len(data)
        return data.split(b'\n') if data else []

    def _parsed(self, texts: list[bytes]) -> Iterator[Note]:
        for text in filter(None, texts):
            try:
                line = orjson.loads(text)
                read = self._read.setdefault((line['task'], line['attempt']), {})
                read.update(
                    {
                        str(name): Content(int(size), int(mtime), str(digest))
                        for name, size, mtime, digest in line['in']
                    }
                )
                members = _members(line)
            except (ValueError, KeyError, TypeError):
                continue  # one that was cut, or that someone else wrote
            if tuple(map(type, members)) == _TYPES:
                own, shared = members[: len(_OWN)], members[len(_OWN) :]
                yield Note._make((*own, *map(sys.intern, shared), read, len(read)))


class Notes:
    """The notes in one folder. Lists only grow: a process reads each line once."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._lists: dict[str, NoteList] = {}
        self._by_file: dict[str, list[Note]] = {}

    def _sizes(self) -> dict[str, os.stat_result]:
        try:
            sizes = {
                name: status
                for name, status in folders.list_files(self._folder, FOLDER)
                if name.endswith('.jsonl')
            }
        except (FileNotFoundError, NotADirectoryError, PermissionError, UnsafeFileError):
            return {}
        return {
            name: status for name, status in sorted(sizes.items()) if stat.S_ISREG(status.st_mode)
        }

    def unread(self) -> int:
        """Bytes that :meth:`by_file` would read."""
        return sum(
            size.st_size - (self._lists[name].offset if name in self._lists else 0)
            for name, size in self._sizes().items()
        )

    def by_file(self) -> dict[str, list[Note]]:
        """Return the notes by the names of files, oldest first."""
        sizes = self._sizes()
        for name, each in self._lists.items():
            if (
                name not in sizes
                or sizes[name].st_ino != each.inode
                or sizes[name].st_size < each.offset
            ):
                # Someone removed it, or put another one in its place.
                self._lists, self._by_file = {}, {}
                break
        for name, size in sizes.items():
            each = self._lists.setdefault(name, NoteList(size.st_ino))
            if size.st_size == each.offset:
                continue
            for note in each.more(os.path.join(self._folder, FOLDER, name)):
                notes = self._by_file.setdefault(note.file, [])
                notes.append(note)
                if len(notes) > 1 and notes[-2].time > note.time:
                    notes.sort(key=lambda note: note.time)
        return self._by_file


_folders: dict[str, Notes] = {}


def notes_in(folder: str) -> Notes:
    """Return the notes in a folder, with what this process has read of them."""
    notes = _folders.get(folder)
    if notes is None:
        while len(_folders) >= 64:
            _folders.pop(next(iter(_folders)))
        notes = _folders[folder] = Notes(folder)
    return notes


def quick_content(path: str) -> Content | None:
    """Return a file's content like :func:`content`, without reading large old ones.

    Of a large file that a task saved, with the size and time it had then, the digest is that of
    then.
    """
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    folder, name = os.path.split(path)
    notes = notes_in(folder)
    if status.st_size > _DEARER * notes.unread():
        for note in reversed(notes.by_file().get(name, ())):
            if (note.size, note.mtime) == (status.st_size, status.st_mtime_ns):
                return note.content
    return content(path)
