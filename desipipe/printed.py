"""What a task printed, piece by piece: from the file that its worker copies it to while it runs, then from what is kept."""

from __future__ import annotations

import codecs
import struct
from collections.abc import Iterator
from typing import Any

from .event import RUNNING
from .ledger import Ledger
from .summary import is_left, live_files

FRAME = struct.Struct('<cI')
"""Before each piece in the live file: ``b'o'`` or ``b'e'``, and its length."""

Dict = dict[str, Any]


def frames(data: bytes) -> Iterator[tuple[bytes, bytes, int]]:
    """The whole pieces of a live file's data: which stream, what, and where the next one begins."""
    place = 0
    while place + FRAME.size <= len(data):
        kind, length = FRAME.unpack_from(data, place)
        end = place + FRAME.size + length
        if end > len(data):
            return  # its worker is about to write the rest
        yield kind, data[place + FRAME.size : end], end
        place = end


def read_output(ledger: Ledger, row: int, stream: str = 'out', offset: int = 0, part: str = '', limit: int = 256 * 1024) -> Dict:
    """A piece of what a task printed.

    Parameters
    ----------
    ledger : Ledger
    row : int
    stream : str, default='out'
        Or ``'err'``.
    offset : int, default=0
        The ``offset`` of the last piece.
    part : str, default=''
        The ``part`` of the last piece.
    limit : int, default=262144
        Bytes to return at most.

    Returns
    -------
    piece : dict
        - ``text``, and ``offset``, where the next one begins
        - ``part``: which text that is an offset in: the live one of an attempt, or the one that is kept of it
        - ``fresh``: whether it is another than the last piece was of: then ``text`` is its beginning, and takes the place of what was shown
        - ``more``: whether there is more at once
        - ``over``: whether nothing will be added any more
        - ``attempt``: whose output it is; 0 if none has begun
    """
    ledger.follow()
    running = ledger.state.status[row] == RUNNING
    now, attempt, data = _live(ledger, row, stream) if running else ledger.again(lambda: _kept(ledger, row, stream))
    fresh = bool(part) and part != now
    if fresh or offset > len(data):
        fresh, offset = True, 0
    piece = bytes(data[offset : offset + limit])
    last = offset + len(piece) >= len(data)
    over = last and not is_left(ledger, row)
    # Not within a character, except where nothing follows.
    text, used = codecs.utf_8_decode(piece, 'replace', over)
    return {'text': text, 'offset': offset + used, 'part': now, 'fresh': fresh, 'more': not last, 'over': over, 'attempt': attempt}


def _live(ledger: Ledger, row: int, stream: str) -> tuple[str, int, bytes]:
    import orjson

    tid = ledger.state.ids[row].hex()
    for path in live_files(ledger, row):
        try:
            with open(path, 'rb') as file:
                header = file.readline()
                data = file.read()
                file.seek(0)
                if file.readline() != header:
                    continue  # begun anew while we read: what we have may be of both; the next look tells
        except FileNotFoundError:
            continue  # its worker has just ended
        try:
            info: Dict = orjson.loads(header)
        except orjson.JSONDecodeError:
            continue  # being begun at this moment
        if info.get('tid') == tid:
            kind = stream[:1].encode()
            return f'{info["attempt"]:d}-{info["part"]}', info['attempt'], b''.join(piece for which, piece, _ in frames(data) if which == kind)
    return '', ledger.state.attempt[row], b''  # it has printed nothing yet


def _kept(ledger: Ledger, row: int, stream: str) -> tuple[str, int, bytes | memoryview]:
    attempts = [attempt for attempt in ledger.attempts(row) if attempt.counts]
    if not attempts:
        return '', 0, b''
    last = attempts[-1]
    ref = last.out if stream == 'out' else last.err
    return f'{last.number:d}-kept', last.number, b'' if ref is None else ledger.read(ref)
