"""Decide which whole lines of a damaged journal count."""

from __future__ import annotations

from collections.abc import Iterator

from ..utils.named_tuple import NamedTuple
from .line_format import CRC, TAIL, Event, check
from .lines import HEAD

_ENDS = 4  # ends of lines to try for each beginning in a damaged line
_LINE_MIN = 32  # bytes; what is shorter can't have been a line
_PIECES_MIN = 1 << 24  # bytes of a damaged line that are checked, however often
_PIECES_FACTOR = 16  # and how many times its length


class Unplaced(NamedTuple):
    """The bytes that do not count since the last line that does."""

    offset: int
    """End of that line, in the file."""
    end: int
    """Its end, in the places that lines name; they differ behind bytes that were inserted
    or removed.
    """
    damaged: bool
    """True if some of it is damaged; else it is late."""
    late_end: int
    """Position where the last late line would have ended, or -1."""


class Piece(NamedTuple):
    """A part of a damaged line."""

    offset: int
    """Its beginning in the file."""
    data: bytes
    event: Event | None
    """``None`` where it is not whole."""


class Placement:
    """Tells, line after line, which of a journal's whole lines count.

    Bytes that were inserted, removed or changed shift the lines behind them, which then name places
    beyond the last line that counts. A late line names one at which another line was put before it.
    """

    def __init__(self) -> None:
        self._shift = 0
        self._unplaced: Unplaced | None = None
        self.missing = 0
        """Bytes that were removed before the last line that counts: what may have been lines."""

    @property
    def ordinary(self) -> bool:
        """Return True if the last line counts, and stands where it says."""
        return not self._shift and self._unplaced is None

    def accept(self, piece: Piece) -> bool:
        """Return True when the line in ``piece`` counts."""
        event, offset = piece.event, piece.offset
        if event is None:
            self._unplace(offset, True, -1)
            return False
        at = event.get('at')
        if not self._explained(event, offset):
            self._unplace(offset, False, at + len(piece.data) if isinstance(at, int) else -1)
            return False
        before = self._unplaced or Unplaced(offset, offset - self._shift, False, -1)
        removed = event['at'] - before.end - (offset - before.offset)
        self.missing = removed if removed >= _LINE_MIN else 0
        self._shift = offset - event['at'] - (not piece.data.endswith(b'\n'))
        self._unplaced = None
        return True

    def skip(self, piece: Piece) -> None:
        """Pass over a copy of a line that counts: it moves what comes behind it."""
        before = self._unplaced or Unplaced(piece.offset, piece.offset - self._shift, False, -1)
        self._unplaced = before._replace(offset=before.offset + len(piece.data))

    def is_copy(self, piece: Piece, before: bytes) -> bool:
        """Return True for a copy of the line ``before`` it, of which the end will do."""
        at = (piece.event or {}).get('at')
        end = self._unplaced.end if self._unplaced is not None else piece.offset - self._shift
        return (
            isinstance(at, int)
            and at + len(piece.data) == end
            and before.endswith(piece.data[-TAIL:])
        )

    def doubtful(self, event: Event | None, offset: int) -> bool:
        """Return True for a damaged line, or one whose place depends on damage before it."""
        return event is None or self._beyond(event, offset)

    def _unplace(self, offset: int, damaged: bool, late_end: int) -> None:
        unplaced = self._unplaced or Unplaced(offset, offset - self._shift, False, -1)
        self._unplaced = unplaced._replace(damaged=unplaced.damaged or damaged, late_end=late_end)

    def _explained(self, event: Event, offset: int) -> bool:
        if event.get('at') == offset or self._beyond(event, offset):
            return True
        before = self._unplaced or Unplaced(offset, offset - self._shift, False, -1)
        return event.get('at') == before.end and offset - before.offset < _LINE_MIN

    def _beyond(self, event: Event, offset: int) -> bool:
        # Where it stands is not where it names, and that lies behind all that counts so far: with
        # damage between, or so far behind that a line may have been removed. Lines of a late batch
        # name places one behind the other.
        at = event.get('at')
        before = self._unplaced or Unplaced(offset, offset - self._shift, False, -1)
        if not isinstance(at, int) or at in (offset, before.late_end):
            return False
        return at >= before.end if before.damaged else at >= before.end + _LINE_MIN


def pieces(line: bytes, offset: int) -> Iterator[Piece]:
    """Split a damaged ``line`` into the whole lines it holds, and the rest.

    The newlines between these were lost.
    """
    position = done = 0
    left = max(_PIECES_MIN, _PIECES_FACTOR * len(line))
    last = line.rfind(CRC)
    while 0 <= (position := line.find(HEAD, position)) < last and left > 0:
        end = position
        for _ in range(_ENDS):
            end = line.find(CRC, end) + TAIL - 1
            if not TAIL - 1 <= end <= len(line):
                break
            left -= end - position
            if line[end - 1 : end] != b'}':
                continue
            try:
                event = check(line[position:end] + b'\n')
            except ValueError:
                continue
            if done < position:
                yield Piece(offset + done, line[done:position], None)
            done = end + (line[end : end + 1] == b'\n')
            yield Piece(offset + position, line[position:done], event)
            break
        position = max(position + len(HEAD), done)
    if done < len(line):
        yield Piece(offset + done, line[done:], None)
