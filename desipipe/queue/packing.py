"""Packed events of many attempts: ranges of rows, columns of numbers in base64."""

from __future__ import annotations

import sys
from array import array
from binascii import a2b_base64, b2a_base64
from collections.abc import Mapping
from itertools import accumulate, compress, count, pairwise, repeat
from operator import ne, sub

from ..store.lines import RefusedEvent
from .events import SUCCEEDED, EventKind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .attempt_events import EndEvent, EndsEvent, RunEvent, RunsEvent
    from .event_types import JournalEvent, LineEvent

FROM_VERSION = 2
"""Format version of the first journals that have packed events."""
_ROWS_MIN = 8  # lists of fewer are as short
_ROWS_MAX = 1 << 17  # a line that says that it has more, in a few bytes, would fill our memory
_NUMBER_MAX = 0xFFFFFFFF
_SIZE_MAX = 1 << 60

Range = tuple[int, int]
"""The first row, and the one behind the last."""


def ranges_of(rows: list[int]) -> list[Range] | None:
    """Divide rows into ranges; None where these are too many to be worth it."""
    # In C: a journal of a million tasks has two million rows to compare.
    if rows == list(range(rows[0], rows[0] + len(rows))):
        return [(rows[0], rows[0] + len(rows))]
    is_gap = map(ne, map(sub, rows[1:], rows), repeat(1))
    bounds = [0, *compress(count(1), is_gap), len(rows)]
    if 4 * len(bounds) > len(rows) + 8:
        return None
    return [(rows[begin], rows[end - 1] + 1) for begin, end in pairwise(bounds)]


def packed_ranges(rows: list[int], attempts: list[int]) -> list[int] | None:
    """Return ranges as they stand in an event: first row and number of each.

    Returns
    -------
    ranges : list of int
        None where the event had better have lists.
    """
    if not _ROWS_MIN <= len(rows) <= _ROWS_MAX or attempts.count(attempts[0]) != len(attempts):
        return None
    ranges = ranges_of(rows)
    return None if ranges is None else [n for first, last in ranges for n in (first, last - first)]


def ranges_in(event: Mapping[str, Any]) -> list[Range]:
    """Return the ranges of a packed event.

    Raises
    ------
    RefusedEvent
        They are none.
    """
    flat: list[int] = event['ranges']
    ranges = [(first, first + n) for first, n in zip(flat[::2], flat[1::2], strict=False)]
    if (
        len(flat) != 2 * len(ranges)
        or not ranges
        or not all(0 <= first < last for first, last in ranges)
        or sum(flat[1::2]) > _ROWS_MAX
    ):
        raise RefusedEvent('The ranges of an event are none.')
    return ranges


def are_disjoint(ranges: list[Range]) -> bool:
    """Return True if no row is in two of the ranges."""
    ranges = sorted(ranges) if len(ranges) > 1 else ranges
    return all(last <= first for (_, last), (first, _) in pairwise(ranges))


def pack(numbers: list[int]) -> int | str | None:
    """Return a column as it stands in an event: the number that all are, or base64.

    Returns
    -------
    column : int or str
        Base64 of 32-bit integers, little-endian. None where they are too large for that.
    """
    if numbers.count(numbers[0]) == len(numbers):
        return numbers[0]
    if not 0 <= min(numbers) <= max(numbers) <= _NUMBER_MAX:
        return None
    values = array('I', numbers)
    if sys.byteorder == 'big':
        values.byteswap()
    return str(b2a_base64(values, newline=False), 'ascii')


def unpack(column: int | str, n: int) -> array[int]:
    """Return the ``n`` numbers of a column.

    Raises
    ------
    RefusedEvent
        They are no numbers, not as many, or too large.
    """
    if isinstance(column, int):
        if not 0 <= column < _SIZE_MAX:
            raise RefusedEvent('A number of an event is too large.')
        return array('Q', (column,)) * n
    try:
        data = a2b_base64(column)
    except (TypeError, ValueError):
        raise RefusedEvent('A column of an event is no base64.') from None
    if len(data) != 4 * n:
        raise RefusedEvent('A column of an event has another length.')
    values = array('I', data)
    if sys.byteorder == 'big':
        values.byteswap()
    return values


def offsets_of(event: EndsEvent, lengths: array[int]) -> array[int]:
    """Return the offsets of results that stand one after the other."""
    first, length = event['off'], event['len']
    if isinstance(length, int) and length:  # as most are
        return array('Q', range(first, first + length * len(lengths), length))
    offsets = array('Q', accumulate(lengths, initial=first))
    offsets.pop()
    return offsets


def plain_event(event: LineEvent) -> JournalEvent:
    """Return an event with lists, also of one that is packed in its line."""
    if event['e'] == EventKind.ENDS:
        return plain_ends(event)
    return _plain_runs(event) if event['e'] == EventKind.RUNS else event


def rows_in(event: Mapping[str, Any]) -> list[int]:
    """Return the rows of a packed event."""
    return [row for first, last in ranges_in(event) for row in range(first, last)]


def _plain_runs(event: RunsEvent) -> RunEvent:
    rows = rows_in(event)
    return {
        'e': EventKind.RUN,
        'w': event['w'],
        'rows': rows,
        'n': [event['n']] * len(rows),
        't': event['t'],
    }


def plain_ends(event: EndsEvent) -> EndEvent:
    """Return the event with lists that says the same."""
    rows = rows_in(event)
    n = len(rows)
    lengths = unpack(event['len'], n)
    refs = [0] * (3 * n)
    refs[1::3] = offsets_of(event, lengths)
    refs[2::3] = lengths
    plain: EndEvent = {
        'e': EventKind.END,
        'w': event['w'],
        'rows': rows,
        'n': [event['n']] * n,
        't': event['t'],
        't0': event['t0'],
        'b': unpack(event['b'], n).tolist(),
        'd': unpack(event['d'], n).tolist(),
        's': SUCCEEDED,
        'seg': [event['seg']],
        'ref': refs,
    }
    if 'm' in event:
        plain['m'] = unpack(event['m'], n).tolist()
    return plain
