"""Split any journal into lines, in bounded memory and time linear in its bytes."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

from ..utils.named_tuple import NamedTuple

LINE_MAX = 1 << 26  # bytes; what is longer is no line
HEAD = b'{"e":'  # how each line begins
_CHUNK = 16 << 20
_SHOWN = 1 << 16  # bytes of a line that is too long
_RUN = 1000  # lines of no event in a row, from which on they are one piece of damage


class RefusedEvent(ValueError):
    """An event that can't be folded, of which nothing has been folded yet."""


class Line(NamedTuple):
    """A line of a journal, or a run of what are no lines."""

    offset: int
    data: bytes
    """Bytes of the line, or the beginning of one that is too long."""
    length: int


def lines(data: bytes, start: int) -> Iterator[tuple[int, bytes]]:
    """Yield the whole lines of ``data``, read at offset ``start``, with their offsets.

    After very many lines without a proper beginning, all up to the next proper one come as one.

    After very many of which none begins as one does, all up to the next that does come as one.
    """
    position = strange = 0
    while (end := data.find(b'\n', position) + 1) > 0:
        yield start + position, data[position:end]
        strange = 0 if data.startswith(HEAD, position) else strange + 1
        position = end
        if strange >= _RUN:
            head = data.find(HEAD, position)
            end = data.rfind(b'\n', position, len(data) if head < 0 else head) + 1
            if end > position:
                yield start + position, data[position:end]
                position = end


def scan_lines(fd: int, start: int, end: int) -> Iterator[Line]:
    """Yield the lines of an open journal from ``start``, where one begins, to ``end``."""
    rest = b''
    while start + len(rest) < end:
        data = os.pread(fd, min(_CHUNK, end - start - len(rest)), start + len(rest))
        if not data:
            return  # rewritten meanwhile, and shorter
        data = rest + data
        cut = data.rfind(b'\n') + 1
        yield from (Line(offset, line, len(line)) for offset, line in lines(data[:cut], start))
        start += cut
        rest = data[cut:]
        if len(rest) > LINE_MAX:
            newline = find_newline(fd, start + len(rest), end)
            if newline < 0:
                return
            yield Line(start, rest[:_SHOWN], newline + 1 - start)
            start, rest = newline + 1, b''


def find_newline(fd: int, position: int, end: int) -> int:
    """Return the offset of a file's next newline; -1 if there is none before ``end``."""
    while position < end:
        position = _skip_hole(fd, position, end)
        data = os.pread(fd, min(_CHUNK, max(0, end - position)), position)
        if not data:
            return -1
        if (index := data.find(b'\n')) >= 0:
            return position + index
        position += len(data)
    return -1


def _skip_hole(fd: int, position: int, end: int) -> int:
    # A file of terabytes may have no byte on the disk.
    try:
        return os.lseek(fd, position, os.SEEK_DATA)
    except OSError as exc:
        return end if exc.errno == errno.ENXIO else position
