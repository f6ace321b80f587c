"""Read what running tasks write, from their worker's copy."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

from ..errors import UnsafeFileError
from ..store import files, folders
from .ledger import Ledger

_FRAME = struct.Struct('<cI')  # before each piece in the file: b'o' or b'e', and its length
_HEADER_MAX = 1 << 16  # bytes
_READ_MAX = 1 << 22  # bytes, at once
_SO_FAR_MAX = 1 << 26  # bytes of what a task has written so far
_FILES_MAX = 4096  # of one worker, one a slot


def live_names(ledger: Ledger, row: int) -> list[str]:
    """Return the files in which a running task's worker puts what its tasks write."""
    # Found by listing the folder: on a network filesystem a file that is looked up before it is
    # there stays absent for a while.
    worker = ledger.state.running.get(row)
    if worker is None:
        return []
    names = folders.list_names(ledger.folder, 'live')
    return [name for name in names if name.startswith(worker.name + '-')][:_FILES_MAX]


class _Header(NamedTuple):
    """The first line of a file of output: whose it is, and which part of it."""

    line: bytes
    tid: str
    attempt: int
    part: str
    missed: tuple[int, int]


def _read_header(fd: int) -> _Header | None:
    """Return the first line; None while it is being written, or if it is none."""
    data = files.read_range(fd, 0, _HEADER_MAX)
    line = data[: data.find(b'\n') + 1]
    try:
        info: Any = orjson.loads(line)
        out, err = info['missed']
        header = _Header(line, info['tid'], info['attempt'], info['part'], (out, err))
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return None
    counts = (header.attempt, *header.missed)
    is_text = isinstance(header.tid, str) and isinstance(header.part, str)
    return header if is_text and all(type(n) is int and n >= 0 for n in counts) else None


class Piece(NamedTuple):
    """Some of what a running task wrote."""

    stream: str
    """``'o'`` or ``'e'``."""
    data: bytes
    missed: int = 0
    """Bytes before ``data`` that nobody will see until the task ends, because there were too
    many.
    """

    @property
    def said(self) -> bytes:
        """The data, after a line in the place of what was missed."""
        return (
            b'\n[desipipe: %d of %d bytes cut here while it runs]\n' % (self.missed, self.missed)
            if self.missed
            else b''
        ) + self.data


class LiveReader:
    """Reads what a running task writes, as it comes.

    Parameters
    ----------
    ledger : Ledger
    tid : bytes
        The task's identity.
    """

    def __init__(self, ledger: Ledger, tid: bytes) -> None:
        self._ledger = ledger
        self._tid = tid
        self._position = 0
        self._stream, self._left = 'o', 0  # of a piece that was read in part
        self._known = {'o': 0, 'e': 0}  # bytes that were read or missed
        self.attempt = 0
        """The attempt that was read; 0 if none was found."""
        self.part = ''
        """Number of the part of the attempt's output: a file that grew too large is begun anew."""

    def read(self) -> list[Piece]:
        """Return what came since the last call; of much, a part."""
        folder = self._ledger.folder
        for name in live_names(self._ledger, self._ledger.row(self._tid)):
            try:
                fd = files.open_file(folder, f'live/{name}')
            except (FileNotFoundError, UnsafeFileError):
                continue  # its worker has just ended, or it is something else
            try:
                pieces = self._read(fd)
            finally:
                os.close(fd)
            if pieces is not None:
                return pieces
        return []

    def read_all(self) -> list[Piece]:
        """Return what came since the last call; of very much, a part."""
        pieces_read: list[Piece] = []
        size = 0
        while size < _SO_FAR_MAX and (pieces := self.read()):
            pieces_read += pieces
            size += sum(len(piece.data) for piece in pieces)
        return pieces_read

    def _read(self, fd: int) -> list[Piece] | None:
        header = _read_header(fd)
        if header is None or header.tid != self._tid.hex():
            return None
        is_new = (header.attempt, header.part) != (self.attempt, self.part)
        start = len(header.line) if is_new else self._position
        data = files.read_range(fd, start, start + _READ_MAX)
        if files.read_range(fd, 0, len(header.line)) != header.line:
            return []  # begun anew while we read: what we have may be of both; the next look tells
        pieces = self._begin(header) if is_new else []
        self._position = start
        for stream, piece in self._split(data):
            pieces.append(Piece(stream, piece))
            self._known[stream] += len(piece)
        return pieces

    def _begin(self, header: _Header) -> list[Piece]:
        """Note another attempt, or part of it; return what is missed of it."""
        if header.attempt != self.attempt:
            self._known = {'o': 0, 'e': 0}
        self.attempt, self.part, self._left = header.attempt, header.part, 0
        pieces = []
        for stream, before in zip('oe', header.missed, strict=True):
            if before > self._known[stream]:
                pieces.append(Piece(stream, b'', before - self._known[stream]))
                self._known[stream] = before
        return pieces

    def _split(self, data: bytes) -> Iterator[tuple[str, bytes]]:
        position = 0
        while position < len(data):
            if self._left:
                piece = data[position : position + self._left]
                self._left -= len(piece)
                self._position += len(piece)
                position += len(piece)
                yield self._stream, piece
                continue
            if position + _FRAME.size > len(data):
                return  # its worker is about to write the rest
            kind, self._left = _FRAME.unpack_from(data, position)
            if kind not in (b'o', b'e'):
                self._left = 0
                return  # not what a worker writes: nothing behind it is read
            self._stream = kind.decode()
            position += _FRAME.size
            self._position += _FRAME.size
