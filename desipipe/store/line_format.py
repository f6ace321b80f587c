"""Format of the lines of a journal: an event, its offset and a checksum."""

from __future__ import annotations

import binascii
from collections.abc import Mapping, Sequence

import orjson

from ..errors import QueueError
from .lines import LINE_MAX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


CRC = b',"crc":"'
TAIL = len(b',"crc":"00000000"}\n')
_CROWDED_FROM = 1 << 20  # bytes; in a longer line
_CROWDED_BYTES = 8  # there are more bytes than this to each list or object

Event = dict[str, 'Any']
NewEvent = Mapping[str, 'Any']
Placed = tuple[NewEvent, int]  # and the offset of its line


def encode(event: NewEvent, at: int) -> bytes:
    """The line of ``event``, decided to stand at offset ``at``.

    Parameters
    ----------
    event : dict
        JSON-able; without the members ``at`` and ``crc``.
    at : int
        Byte offset.

    Returns
    -------
    line : bytes
        With its newline.
    """
    body = b'%b,"at":%d' % (orjson.dumps(event, default=_as_list)[:-1], at)
    return b'%b,"crc":"%08x"}\n' % (body, binascii.crc32(body))


def encode_bounded(event: NewEvent, at: int) -> bytes:
    """Return the line of an event, as :func:`encode`.

    Raises
    ------
    QueueError
        It is longer than a journal's line may be.
    """
    line = encode(event, at)
    if len(line) > LINE_MAX:
        raise QueueError(
            f'{event["e"]!r} takes {len(line):,d} bytes, more than the {LINE_MAX:,d} that a line '
            'of a journal may have. Nothing was added. '
            'Does one task need very many others? Gather their results in several steps.'
        )
    return line


def encode_batch(events: Sequence[NewEvent], start: int) -> tuple[list[Placed], bytes]:
    """Return events with the offsets of their lines from ``start`` on, and the lines."""
    placed: list[Placed] = []
    data = bytearray()
    for event in events:
        at = start + len(data)
        placed.append((event, at))
        data += encode_bounded(event, at)
    return placed, bytes(data)


def _as_list(value: Any) -> list[Any]:
    if isinstance(value, tuple):  # a named one, which orjson does not take for a tuple
        return list(value)
    raise TypeError(f'{type(value).__name__} is no JSON.')


def decode(line: bytes, at: int) -> Event | None:
    """Decode a ``line`` found at offset ``at``.

    Returns
    -------
    event : dict or None
        ``None`` for a late line: whole, but decided for another offset by a writer that had lost
        its lock.

    Raises
    ------
    ValueError
        The line does not pass its check.
    """
    event = check(line)
    return event if event.get('at') == at else None


def check(line: bytes) -> Event:
    """Decode a ``line``, wherever it was found.

    Raises
    ------
    ValueError
        The line does not pass its check.
    """
    body = line[:-TAIL]
    tail = line[-TAIL:]
    if tail != b',"crc":"%08x"}\n' % binascii.crc32(body):
        raise ValueError('The checksum does not match.')
    if len(line) > _CROWDED_FROM and (body.count(b'[') + body.count(b'{')) * _CROWDED_BYTES > len(
        body
    ):
        raise ValueError('The line would take many times its length of memory.')
    event: Event = orjson.loads(body + b'}')
    if not isinstance(event, dict):
        raise ValueError('The line is no JSON object.')
    return event
