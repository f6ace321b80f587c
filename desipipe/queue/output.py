"""Read what tasks wrote: from the worker's copy while they run, then the journal."""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import orjson

from ..errors import PayloadError, UnsafeFileError
from ..outputs.cell_traceback import mark_failing_lines
from ..outputs.notebook import Output, split
from ..outputs.safe import UNNAMED, safe_output
from ..store import files, folders
from ..utils import username
from .events import FAILED, KILLED, RUNNING, STATES, UNKNOWN, Ref
from .ledger import Ledger

_FRAME = struct.Struct('<cI')  # before each piece in the file: b'o' or b'e', and its length
_HEADER_MAX = 1 << 16  # bytes
_READ_MAX = 1 << 22  # bytes, at once
_SO_FAR_MAX = 1 << 26  # bytes of what a task has written so far
_FILES_MAX = 4096  # of one worker, one a slot


def _names(ledger: Ledger, row: int) -> list[str]:
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
        for name in _names(self._ledger, self._ledger.row(self._tid)):
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


class Written(NamedTuple):
    """Captured output of a task, with the marks of cells.

    See :mod:`desipipe.outputs.notebook`.
    """

    attempt: int
    """Number of the attempt that printed it; 0 if none is known."""
    part: str
    """Tells texts apart of which one is not the beginning of the other."""
    out: bytes
    err: bytes


def written(ledger: Ledger, row: int) -> Written:
    """Return what a task wrote to its two streams: its last attempt, or so far.

    Parameters
    ----------
    ledger : Ledger
        As it was last followed.
    row : int

    Returns
    -------
    written : Written
    """
    if ledger.state.status[row] == RUNNING:
        reader = LiveReader(ledger, ledger.state.ids[row])
        pieces = reader.read_all()
        out, err = (
            b''.join(piece.said for piece in pieces if piece.stream == stream) for stream in 'oe'
        )
        return Written(
            reader.attempt or ledger.state.attempt[row],
            f'{reader.attempt:d}-{reader.part}' if reader.attempt else '',
            out,
            err,
        )
    return ledger.again(lambda: _kept(ledger, row))


def _kept(ledger: Ledger, row: int) -> Written:
    last = ledger.last_attempt(row)
    if last is None:
        return Written(0, '', b'', b'')
    out, err = (b'' if ref is None else bytes(ledger.read(ref)) for ref in (last.out, last.err))
    return Written(last.number, f'{last.number:d}-kept', out, err)


def written_by(ledger: Ledger, row: int, attempt: int) -> Written:
    """Return what an attempt wrote that ended; nothing if there is no such attempt."""

    def look() -> Written:
        ended = next((one for one in ledger.attempts(row) if one.number == attempt), None)
        if ended is None:
            return Written(attempt, f'{attempt:d}-kept', b'', b'')
        out, err = (
            b'' if ref is None else bytes(ledger.read(ref)) for ref in (ended.out, ended.err)
        )
        return Written(attempt, f'{attempt:d}-kept', out, err)

    return ledger.again(look)


def outputs(ledger: Ledger, row: int) -> list[Output]:
    """Return what a task wrote and displayed so far, as a notebook shows it.

    Parameters
    ----------
    ledger : Ledger
        As it was last followed.
    row : int

    Returns
    -------
    outputs : list of dict
        As in nbformat 4: ``stream``, ``display_data``; the last of a task that did not succeed is
        its ``error``.
    """
    user = untrusted_writer(ledger, row)
    return _safe(_outputs(ledger, row, user), user)


def _outputs(ledger: Ledger, row: int, user: str) -> list[Output]:
    now = written(ledger, row)
    # Movements of a cursor can cost any time and memory: those of users who are not trusted are
    # only shown.
    parts = split(
        now.out.decode(errors='replace'), now.err.decode(errors='replace'), moves=not user
    )
    if ledger.state.status[row] in (FAILED, KILLED, UNKNOWN):
        parts.append(ledger.again(lambda: _error(ledger, row)))
    return parts


def _safe(parts: list[Output], user: str) -> list[Output]:
    return [safe_output(output, user) for output in parts] if user else parts


def untrusted_writer(ledger: Ledger, row: int) -> str:
    """Return the untrusted user who may have written a task's outputs; empty if none.

    These are the owners of the queue, of the files that hold the outputs, and who added the task;
    :data:`.UNNAMED` where the outputs are not to be trusted, and no user's name would change that.

    Parameters
    ----------
    ledger : Ledger
        As it was last followed.
    row : int
    """
    error = ledger.use_error()
    uids = (
        {os.stat(path).st_uid for path in (ledger.folder, ledger.journal.path)}
        if error is not None
        else set()
    )
    uids |= {files.status(ledger.folder, f'live/{name}').st_uid for name in _names(ledger, row)}
    uids.add(ledger.segments.owner(ledger.state.args(row).segment))
    last = (
        ledger.again(lambda: ledger.last_attempt(row))
        if ledger.state.status[row] != RUNNING
        else None
    )
    refs = (
        ()
        if last is None
        else tuple(ref for ref in (last.out, last.err, *last.shown) if ref is not None)
    )
    uids |= {ledger.segments.owner(ref.segment) for ref in refs}
    unknown = sorted(uid for uid in uids if not ledger.trusts(uid))
    if unknown:
        return username(unknown[0])
    authors = ledger.authors
    if authors is not None and not all(map(authors.vouches, refs)):
        uid = authors.user_of(ledger.state, row)
        return username(uid) if uid >= 0 else UNNAMED
    return '' if error is None else UNNAMED


def untrusted_writers(ledger: Ledger) -> set[str]:
    """Return the users who wrote payloads of a queue, and are not trusted."""
    names = folders.list_names(ledger.folder, 'segments')
    uids = {files.status(ledger.folder, f'segments/{name}').st_uid for name in names}
    return {username(uid) for uid in uids if not ledger.trusts(uid)}


def displays(ledger: Ledger, row: int) -> list[Output]:
    """Return all that a task displayed, also what is too large to be in its outputs.

    Parameters
    ----------
    ledger : Ledger
        As it was last followed.
    row : int

    Returns
    -------
    displays : list of dict
        As in nbformat 4, each a ``display_data``; of a task that runs, so far, and large ones as
        they are shown.
    """
    user = untrusted_writer(ledger, row)
    shown = [
        output for output in _outputs(ledger, row, user) if output['output_type'] == 'display_data'
    ]
    kept = ledger.again(lambda: _large_displays(ledger, row))
    return _safe([_whole(ledger, output, kept) for output in shown], user)


def _large_displays(ledger: Ledger, row: int) -> tuple[Ref, ...]:
    last = ledger.last_attempt(row)
    return () if last is None else last.shown


def _whole(ledger: Ledger, output: Output, kept: Sequence[Ref]) -> Output:
    number = kept_number(output)
    if not 0 <= number < len(kept):
        return output
    kept_display: Any = orjson.loads(bytes(ledger.read(kept[number])))
    return {**output, 'data': kept_display['data'], 'metadata': kept_display['metadata']}


def kept_number(output: Output) -> int:
    """Return the number of the display that an output shows small; -1 if it is whole.

    Parameters
    ----------
    output : dict
        As in nbformat 4.
    """
    about = output.get('metadata', {}).get('desipipe')
    number = about.get('display') if isinstance(about, dict) else None
    return number if type(number) is int else -1


def _error(ledger: Ledger, row: int) -> Output:
    cause = ledger.cause(row)
    text = str(cause.get('text') or 'no reason is known')
    name = STATES[ledger.state.status[row]]
    trace = ledger.read_text(cause['trace']) if 'trace' in cause else ''
    if trace:
        with contextlib.suppress(PayloadError):  # the code is lost; the traceback is not
            trace = mark_failing_lines(trace, ledger.read_text(ledger.code(row)['source']))
        # The words begin with the class, qualified by its module where that is not a builtin's.
        name, (head, _, detail) = cause['kind'], text.partition(': ')
        text = (
            detail
            if head.rpartition('.')[2] == name
            else ''
            if text.rpartition('.')[2] == name
            else text
        )
    return {
        'output_type': 'error',
        'ename': name,
        'evalue': text,
        'traceback': trace.splitlines() or [text],
    }
