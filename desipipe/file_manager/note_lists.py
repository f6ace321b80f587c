"""Read the lists of notes beside files, each line once."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from typing import Any

import orjson

from ..errors import UnsafeFileError
from ..provenance import Content
from ..store import files, folders
from .file_content import content
from .note_folder import FOLDER

_CHUNK = 1 << 24  # bytes of notes that are read at once
_LINE: dict[str, Any] = {
    **dict.fromkeys(
        ('file', 'sha256', 'task', 'app', 'code', 'queue', 'versions', 'user', 'host'), str
    ),
    **dict.fromkeys(('size', 'mtime', 'attempt'), int),
    'time': float,
}
# What many lines have in common.
_SHARED = ('task', 'app', 'code', 'queue', 'versions', 'user', 'host')
_DEARER = 50  # times as long as a byte of a file a byte of notes takes


class NoteList:
    """One list of lines, as far as it was read."""

    def __init__(self, inode: int) -> None:
        self.inode = inode
        self.offset = 0
        # By task and attempt, what was read; dictionaries that grow: a line sees them as they were
        # then by counting.
        self._read: dict[tuple[str, int], dict[str, Content]] = {}

    def more(self, path: str) -> Iterator[dict[str, Any]]:
        """Lines that came since."""
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

    def _parsed(self, texts: list[bytes]) -> Iterator[dict[str, Any]]:
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
                line['read'], line['count'] = read, len(read)
                if not all(isinstance(line[name], kind) for name, kind in _LINE.items()):
                    continue
            except (ValueError, KeyError, TypeError):
                continue  # one that was cut, or that someone else wrote
            for name in _SHARED:
                line[name] = sys.intern(line[name])
            del line['in']
            yield line


class Notes:
    """The notes in one folder. Lists only grow: a process reads each line once."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._lists: dict[str, NoteList] = {}
        self._found: dict[str, list[dict[str, Any]]] = {}

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
        """Bytes that :meth:`lines` would read."""
        return sum(
            size.st_size - (self._lists[name].offset if name in self._lists else 0)
            for name, size in self._sizes().items()
        )

    def lines(self) -> dict[str, list[dict[str, Any]]]:
        """By the names of files, oldest first."""
        sizes = self._sizes()
        for name, each in self._lists.items():
            if (
                name not in sizes
                or sizes[name].st_ino != each.inode
                or sizes[name].st_size < each.offset
            ):
                # Someone removed it, or put another one in its place.
                self._lists, self._found = {}, {}
                break
        for name, size in sizes.items():
            each = self._lists.setdefault(name, NoteList(size.st_ino))
            if size.st_size == each.offset:
                continue
            for line in each.more(os.path.join(self._folder, FOLDER, name)):
                lines = self._found.setdefault(line['file'], [])
                lines.append(line)
                if len(lines) > 1 and lines[-2]['time'] > line['time']:
                    lines.sort(key=lambda line: line['time'])
        return self._found


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
        for line in reversed(notes.lines().get(name, ())):
            if line['size'] == status.st_size and line['mtime'] == status.st_mtime_ns:
                return content_of(line)
    return content(path)


def content_of(line: dict[str, Any]) -> Content:
    """Return the content that a file had by its note."""
    return Content(line['size'], line['mtime'], line['sha256'])
