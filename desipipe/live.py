"""Read what tasks wrote: from the worker's copy while they run, then from the journal."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import orjson

from .event import FAILED, KILLED, RUNNING, STATES, UNKNOWN, Ref
from .ledger import Ledger
from .outputs import Output, split
from .safe_outputs import safe_output
from .utils import username

_FRAME = struct.Struct('<cI')  # before each piece in the file: b'o' or b'e', and its length


def _files(ledger: Ledger, row: int) -> list[str]:
    # Found by listing the folder: on a network filesystem a file that is looked up before it is there stays absent for a while.
    worker = ledger.state.running.get(row)
    folder = os.path.join(ledger.folder, 'live')
    if worker is None:
        return []
    return [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if name.startswith(worker.name + '-')]


def _frames(data: bytes) -> Iterator[tuple[str, bytes, int]]:
    place = 0
    while place + _FRAME.size <= len(data):
        kind, length = _FRAME.unpack_from(data, place)
        end = place + _FRAME.size + length
        if end > len(data):
            return  # its worker is about to write the rest
        yield kind.decode('latin-1'), data[place + _FRAME.size : end], end
        place = end


class Piece(NamedTuple):
    """Some of what a running task wrote."""

    stream: str
    """``'o'`` or ``'e'``."""
    data: bytes
    missed: int = 0
    """Bytes before ``data`` that nobody will see until the task ends, because there were too many."""

    @property
    def said(self) -> bytes:
        """The data, after a line in the place of what was missed."""
        return (b'\n[desipipe: %d of %d bytes cut here while it runs]\n' % (self.missed, self.missed) if self.missed else b'') + self.data


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
        self._known = {'o': 0, 'e': 0}  # bytes that were read or missed
        self.attempt = 0
        """The attempt that was read; 0 if none was found."""
        self.part = ''
        """Of the attempt's output: another one when the file was begun anew because it was too large."""

    def read(self) -> list[Piece]:
        """Return what was written since the last call."""
        for path in _files(self._ledger, self._ledger.row(self._tid)):
            try:
                found = self._read(path)
            except FileNotFoundError:
                continue  # its worker has just ended
            if found is not None:
                return found
        return []

    def _read(self, path: str) -> list[Piece] | None:
        with open(path, 'rb') as file:
            header = file.readline()
            try:
                info: dict[str, Any] = orjson.loads(header)
            except orjson.JSONDecodeError:
                return None  # being begun at this moment
            if info.get('tid') != self._tid.hex():
                return None
            anew = (info['attempt'], info['part']) != (self.attempt, self.part)
            start = len(header) if anew else self._position
            file.seek(start)
            data = file.read()
            file.seek(0)
            if file.readline() != header:
                return []  # begun anew while we read: what we have may be of both; the next look tells
        pieces = []
        if anew:
            if info['attempt'] != self.attempt:
                self._known = {'o': 0, 'e': 0}
            self.attempt, self.part = info['attempt'], info['part']
            for stream, before in zip('oe', info['missed'], strict=True):
                if before > self._known[stream]:
                    pieces.append(Piece(stream, b'', before - self._known[stream]))
                    self._known[stream] = before
        self._position = start
        for stream, piece, end in _frames(data):
            pieces.append(Piece(stream, piece))
            self._known[stream] += len(piece)
            self._position = start + end
        return pieces


class Written(NamedTuple):
    """The output of a task, as captured, with the marks of cells (see :mod:`desipipe.outputs`)."""

    attempt: int
    """Whose output it is; 0 if none is known."""
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
        pieces = reader.read()
        out, err = (b''.join(piece.said for piece in pieces if piece.stream == stream) for stream in 'oe')
        return Written(reader.attempt or ledger.state.attempt[row], f'{reader.attempt:d}-{reader.part}' if reader.attempt else '', out, err)
    return ledger.again(lambda: _kept(ledger, row))


def _kept(ledger: Ledger, row: int) -> Written:
    last = ledger.last_attempt(row)
    if last is None:
        return Written(0, '', b'', b'')
    out, err = (b'' if ref is None else bytes(ledger.read(ref)) for ref in (last.out, last.err))
    return Written(last.number, f'{last.number:d}-kept', out, err)


def outputs(ledger: Ledger, row: int) -> list[Output]:
    """Return what a task wrote and displayed, as a notebook shows it; so far, if it runs.

    Parameters
    ----------
    ledger : Ledger
        As it was last followed.
    row : int

    Returns
    -------
    outputs : list of dict
        As in nbformat 4: ``stream``, ``display_data``; the last of a task that did not succeed is its ``error``.
    """
    user = untrusted_writer(ledger, row)
    return _safe(_outputs(ledger, row, user), user)


def _outputs(ledger: Ledger, row: int, user: str) -> list[Output]:
    now = written(ledger, row)
    # Movements of a cursor can cost any time and memory: those of users who are not trusted are only shown.
    found = split(now.out.decode(errors='replace'), now.err.decode(errors='replace'), moves=not user)
    if ledger.state.status[row] in (FAILED, KILLED, UNKNOWN):
        found.append(ledger.again(lambda: _error(ledger, row)))
    return found


def _safe(found: list[Output], user: str) -> list[Output]:
    return [safe_output(output, user) for output in found] if user else found


def untrusted_writer(ledger: Ledger, row: int) -> str:
    """Return who may have written the outputs of a task, and is not trusted; empty if there is none.

    These are the owners of the queue, of the files that hold the outputs, and who added the task.

    Parameters
    ----------
    ledger : Ledger
        As it was last followed.
    row : int
    """
    error = ledger.use_error()
    uids = {os.stat(path).st_uid for path in (ledger.folder, ledger.journal.path)} if error is not None else set()
    uids |= {os.lstat(path).st_uid for path in _files(ledger, row)}
    uids.add(ledger.segments.owner(ledger.state.args(row).segment))
    last = ledger.again(lambda: ledger.last_attempt(row)) if ledger.state.status[row] != RUNNING else None
    if last is not None:
        uids |= {ledger.segments.owner(ref.segment) for ref in (last.out, last.err, *last.shown) if ref is not None}
        authors = ledger.authors
        if authors is not None and not all(authors.vouches(ref) for ref in (last.out, last.err, *last.shown) if ref is not None):
            return username(authors.user_of(ledger.state, row)) if authors.user_of(ledger.state, row) >= 0 else 'another user'
    unknown = sorted(uid for uid in uids if not ledger.trusts(uid))
    if unknown:
        return username(unknown[0])
    return '' if error is None else 'another user'


def displays(ledger: Ledger, row: int) -> list[Output]:
    """Return all that a task displayed, whole: also what is too large to be among its outputs.

    Parameters
    ----------
    ledger : Ledger
        As it was last followed.
    row : int

    Returns
    -------
    displays : list of dict
        As in nbformat 4, each a ``display_data``; of a task that runs, so far, and large ones as they are shown.
    """
    user = untrusted_writer(ledger, row)
    shown = [output for output in _outputs(ledger, row, user) if output['output_type'] == 'display_data']
    kept = ledger.again(lambda: _large_displays(ledger, row))
    return _safe([_whole(ledger, output, kept) for output in shown], user)


def _large_displays(ledger: Ledger, row: int) -> tuple[Ref, ...]:
    last = ledger.last_attempt(row)
    return () if last is None else last.shown


def _whole(ledger: Ledger, output: Output, kept: Sequence[Ref]) -> Output:
    number = kept_number(output)
    if not 0 <= number < len(kept):
        return output
    found: Any = orjson.loads(bytes(ledger.read(kept[number])))
    return {**output, 'data': found['data'], 'metadata': found['metadata']}


def kept_number(output: Output) -> int:
    """Return the number of the display that an output shows small; -1 if it shows all there is.

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
        # The words begin with the class, qualified by its module where that is not a builtin's.
        name, (head, _, words) = cause['kind'], text.partition(': ')
        text = words if head.rpartition('.')[2] == name else '' if text.rpartition('.')[2] == name else text
    return {'output_type': 'error', 'ename': name, 'evalue': text, 'traceback': trace.splitlines() or [text]}
