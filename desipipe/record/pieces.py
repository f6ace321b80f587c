"""Pieces of identities in records, and the digests that hold them together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from zlib import crc32

import orjson

from ..queue.events import DROPPED
from ..queue.ledger import Ledger

VERSION = 1
TEXT = 80  # characters of a value that people see


# Words of identities: what can be read is written as it is, the rest hexadecimal.


def word_of(piece: bytes) -> str:
    """Return a piece of an identity as text: ``'=42'``, or ``'0x…'``."""
    return piece.decode('ascii') if piece[:1] == b'=' and piece.isascii() else '0x' + piece.hex()


def piece_of(word: str) -> bytes:
    """Return the piece that a text is of, the inverse of :func:`word_of`.

    Raises
    ------
    ValueError
        It is no such word.
    """
    if word.startswith('='):
        return word.encode('ascii')
    if word.startswith('0x'):
        return bytes.fromhex(word[2:])
    raise ValueError(f'{word[:40]!r} is no piece of an identity.')


def seal(task: Mapping[str, object]) -> str:
    """Return a task as a line whose last member is the CRC-32 of what is before it.

    So a line that was changed is found by itself.
    """
    data = orjson.dumps(task)[:-1]
    return f'{data.decode()},"crc":{crc32(data):d}}}'


def sealed(line: str) -> bool:
    """Return True if the line is as :func:`seal` wrote it."""
    body, mark, rest = line.rpartition(',"crc":')
    return bool(mark) and rest == f'{crc32(body.encode()):d}}}'


def closure(ledger: Ledger, rows: Iterable[int]) -> list[int]:
    """Return rows, and all that they need, in order."""
    state = ledger.state
    reached = set()
    stack = list(rows)
    while stack:
        row = stack.pop()
        if row not in reached and state.status[row] != DROPPED:
            reached.add(row)
            stack += state.requires.get(row, ())
    return sorted(reached)
