"""Write rows of a queue as text, and read them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..errors import UnknownTaskError
from .text import one_line

_RANGE = re.compile(r'(\d{1,15})(?:-(\d{1,15}))?', re.ASCII)


def parse_rows(text: str) -> list[range]:
    """Read rows as they are written for people and addresses: ``'0-19,40'``.

    Parameters
    ----------
    text : str
        Numbers and ranges, both ends included, in any order.

    Returns
    -------
    rows : list of range
        In the order of the text.

    Raises
    ------
    UnknownTaskError
        It is something else.
    """
    rows: list[range] = []
    for word in text.split(',') if text.strip() else ():
        match = _RANGE.fullmatch(word.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, -1)
        if last < first:
            raise UnknownTaskError(
                f'{one_line(word, 40)!r} is no row of a queue, and no range of them: write rows as '
                '0-19,40'
            )
        rows.append(range(first, last + 1))
    return rows


def format_rows(rows: Iterable[int | range]) -> str:
    """Write rows as text, the inverse of :func:`parse_rows`.

    The order is kept; neighbours become ranges.

    Parameters
    ----------
    rows : iterable of int or range

    Returns
    -------
    text : str
    """
    return ','.join(
        f'{part.start:d}-{part.stop - 1:d}' if len(part) > 1 else f'{part.start:d}'
        for part in ranges(rows)
    )


def ranges(rows: Iterable[int | range]) -> list[range]:
    """Return rows as ranges, neighbours joined; the order is kept."""
    parts: list[range] = []
    start = stop = -1
    for item in rows:
        first, last = (item, item + 1) if isinstance(item, int) else (item.start, item.stop)
        if first == stop:
            stop = last
        elif first < last:
            if stop > start:
                parts.append(range(start, stop))
            start, stop = first, last
    return [*parts, range(start, stop)] if stop > start else parts
