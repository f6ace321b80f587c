"""Fold of a journal's lines, around those that are damaged or late."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..errors import CorruptJournalError
from .journal_file import JournalFile
from .line_format import Event, NewEvent, Placed, check
from .lines import RefusedEvent, lines
from .placement import Piece, Placement, pieces

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from .header import Header

    class Sink(Protocol):
        """The receiver of events, which folds them."""

        def reset(self, header: Header) -> None:
            """Forget everything: another generation of the journal begins with ``header``."""

        def apply(self, event: NewEvent, offset: int) -> None:
            """Fold one event, whose line begins at ``offset``."""

        def check(self, event: Event) -> None:
            """Raise ValueError for an event that :meth:`apply` could not fold."""

        def damaged(self, offset: int, length: int) -> None:
            """A corrupt line was passed over."""


_REFOLDS_MAX = 64  # lines that turn out in the middle not to be foldable
_UNFOLDABLE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


class LineFold:
    """Hands the events of lines that count to a sink, each once, in order.

    Parameters
    ----------
    file : JournalFile
        Read again where a line is doubtful.
    sink : Sink
    """

    def __init__(self, file: JournalFile, sink: Sink) -> None:
        self.late = 0
        """Lines passed over because their writer had lost its lock."""
        self._file = file
        self._sink = sink
        self._placement = Placement()
        self._bad: set[int] = set()
        self._refolds = 0

    def forget_refused(self) -> None:
        """Forget which lines could not be folded, at another generation's beginning."""
        self._bad = set()
        self._refolds = 0

    def reset(self, header: Header) -> None:
        """Fold from the beginning, which says ``header``."""
        self.late = 0
        self._placement = Placement()
        self._sink.reset(header)

    def fold(self, data: bytes, start: int, previous: bytes, pauses: Sequence[float]) -> int:
        """Fold the whole lines of ``data``.

        Parameters
        ----------
        data : bytes
        start : int
            Its offset.
        previous : bytes
            End of the line before it.
        pauses : sequence of float
            Seconds before each look at a doubtful line again; empty where the lock is held.

        Returns
        -------
        folded : int
            Number of bytes; -1 where the sink has to be folded anew.
        """
        apply, bad = self._sink.apply, self._bad
        ordinary = not bad and self._placement.ordinary
        for offset, line in lines(data, start):
            event: Event | None
            try:
                event = check(line)
            except ValueError:
                event = None
            if ordinary and event is not None and event.get('at') == offset:
                try:
                    apply(event, offset)
                except RefusedEvent:
                    self._refuse(Piece(offset, line, event))
                except _UNFOLDABLE:
                    return self._fold_anew(offset)
                previous = line
                continue
            doubtful = self._placement.doubtful(event, offset)
            if doubtful and pauses and not self._file.holds(data[offset - start :], offset, pauses):
                # Who reads without the lock may have read the torn tail of a dead writer, and then
                # what the next one put in its place; and on a network filesystem the parts of a
                # batch arrive in any order, with a hole between them.
                return offset - start
            if doubtful:
                pauses = ()
            for piece in pieces(line, offset) if event is None else (Piece(offset, line, event),):
                if self._placement.is_copy(piece, previous):
                    self._placement.skip(piece)
                    self.late += 1
                elif not self._fold_piece(piece):
                    return -1
            previous = line
            ordinary = not bad and self._placement.ordinary
        return len(data)

    def _fold_piece(self, piece: Piece) -> bool:
        # Returns False where the sink has to be folded anew, without this line.
        event, offset = piece.event, piece.offset
        counts = self._placement.accept(piece)
        if event is None:
            self._sink.damaged(offset, len(piece.data))
            return True
        if not counts:
            self.late += 1
            return True
        if self._placement.missing:
            self._sink.damaged(offset, 0)
        try:
            if offset in self._bad:
                raise ValueError('The event could not be folded.')
            if self._bad:
                # Several are damaged, perhaps all: each but the first is known before it is folded.
                self._sink.check(event)
        except ValueError:
            self._sink.damaged(offset, len(piece.data))
            return True
        try:
            self._sink.apply(event, offset)
        except RefusedEvent:
            self._sink.damaged(offset, len(piece.data))
        except _UNFOLDABLE:
            self._fold_anew(offset)
            return False
        return True

    def _refuse(self, piece: Piece) -> None:
        self._placement.accept(piece)  # it stands where it says: what comes behind it does too
        self._sink.damaged(piece.offset, len(piece.data))

    def _fold_anew(self, offset: int) -> int:
        self._bad.add(offset)
        self._refolds += 1
        if self._refolds > _REFOLDS_MAX:
            raise CorruptJournalError(
                f'More than {_REFOLDS_MAX:d} lines of {self._file.path} say what cannot be (the '
                f'last one stands at offset {offset:d}): the queue cannot be '
                'read. Restore the file from a backup, or use another queue.',
                self._file.path,
                offset,
            )
        return -1

    def pass_over(self, offset: int, length: int) -> None:
        """Note that what stands at ``offset`` is too long for a line."""
        self._placement.accept(Piece(offset, b'', None))
        self._sink.damaged(offset, length)

    def apply(self, placed: Iterable[Placed]) -> None:
        """Fold events that this process has just appended."""
        for event, at in placed:
            self._sink.apply(event, at)

    def end_at_own(self) -> None:
        """Note that the last line that counts is of this process, and in its place."""
        if not self._placement.ordinary:
            self._placement = Placement()

    def is_foldable(self, event: Event) -> bool:
        """Return True for an event that the sink can fold."""
        # Of events of frequent kinds the fold looks only at what it needs itself.
        try:
            self._sink.check(event)
        except ValueError:
            return False
        return True
