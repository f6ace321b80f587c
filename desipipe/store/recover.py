"""Recover a damaged journal: all whole lines whose places are explained, in order."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from .line_format import Event, check
from .lines import Line
from .placement import Piece, Placement, pieces

_ADDED = re.compile(rb'"e":"add","first":(\d+)')
_IDS = re.compile(rb'"ids":"([0-9a-f]*)')
_ID_DIGITS = 32


class Kept(NamedTuple):
    """A line that counts."""

    at: int
    """Position at which its writer put it."""
    end: int
    offset: int
    """Position at which it stands."""
    event: Event
    damaged: int
    """Bytes of damage between the line before it and this one."""


class Recovered(NamedTuple):
    """The content of a journal, and its damage."""

    kept: list[Kept]
    damaged: list[tuple[int, bytes]]
    """Offsets and bytes."""
    regained: int
    """Lines among those kept that readers pass over: they do not stand in their order."""

    def added_rows(self) -> list[tuple[int, int]]:
        """Return the first row and the number of tasks of each readable damaged addition."""
        lines = []
        for _, data in self.damaged:
            if (first := _ADDED.search(data)) is not None:
                ids = _IDS.search(data)
                lines.append(
                    (int(first[1]), max(1, len(ids[1]) // _ID_DIGITS if ids is not None else 1))
                )
        return lines


def recover(scanned: Iterable[Line]) -> Recovered:
    """Find what counts in the lines of a journal.

    Lines count as readers have it. Those that were put behind others than their own neighbours (two
    lines were swapped) are put back where bytes are missing for them. A line that another one took
    the place of, and a copy of one that counts, do not count.
    """
    placement = Placement()
    kept: list[Kept] = []
    loose: list[Piece] = []
    damaged: list[tuple[int, bytes]] = []
    between = 0
    by_offset: dict[int, bytes] = {}
    for piece, length in _pieces(scanned):
        at = piece.event.get('at') if piece.event is not None else None
        line = piece.data.removesuffix(b'\n')
        if isinstance(at, int) and at != piece.offset and by_offset.get(at) == line:
            placement.skip(piece)
            continue
        if isinstance(at, int):
            by_offset[at] = line
        if placement.accept(piece) and piece.event is not None:
            kept.append(_keep(piece, between))
            between = 0
        elif piece.event is None:
            damaged.append((piece.offset, piece.data))
            between += length
        else:
            loose.append(piece)
    regained = sum(
        _put_back(kept, _keep(piece, 0))
        for piece in loose
        if isinstance(piece.event and piece.event.get('at'), int)
    )
    return Recovered(kept, damaged, regained)


def _pieces(scanned: Iterable[Line]) -> Iterator[tuple[Piece, int]]:
    for offset, data, length in scanned:
        if length > len(data):
            yield Piece(offset, data, None), length
            continue
        try:
            parts: Iterable[Piece] = (Piece(offset, data, check(data)),)
        except ValueError:
            parts = pieces(data, offset)
        yield from ((piece, len(piece.data)) for piece in parts)


def _keep(piece: Piece, damaged: int) -> Kept:
    event = piece.event or {}
    return Kept(
        event['at'],
        event['at'] + len(piece.data.removesuffix(b'\n')) + 1,
        piece.offset,
        event,
        damaged,
    )


def _put_back(kept: list[Kept], line: Kept) -> bool:
    end = 0
    for i, after in enumerate(kept):
        if (
            end <= line.at
            and line.end <= after.at
            and after.at - end - after.damaged >= line.end - line.at
        ):
            kept[i] = after._replace(damaged=0)
            kept.insert(i, line._replace(damaged=after.damaged))
            return True
        end = after.end
    return False
