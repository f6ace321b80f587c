"""Journal of a queue as one process follows it, without writing."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

from .journal_file import JournalFile
from .journal_reader import JournalReader
from .line_format import Event
from .lines import Line
from .thread_guard import ThreadGuard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .header import Header
    from .line_fold import Sink


class FollowedJournal:
    """View of a journal in one process: what it has read so far.

    Nothing is read before :meth:`follow`. Its owner registers it with :func:`.tell_fork`.

    Parameters
    ----------
    folder : str
        The queue's folder.
    sink : Sink
        Gets the events, each once, in order.
    """

    def __init__(self, folder: str, sink: Sink) -> None:
        self.folder = folder
        self._file = JournalFile(folder)
        self.path = self._file.path
        self.reader = JournalReader(self._file, sink)
        """The part that reads, and knows how far it came."""
        self._guard = ThreadGuard()

    def forked(self) -> None:
        """Forget what the parent's threads were about: a forked child has none."""
        self._guard.forked()

    def _opened(self) -> int:
        """Return the descriptor through which the journal can be read, or -1."""
        return -1

    def _clean_up(self) -> None:
        """Release what an interrupted step left."""

    @property
    def header(self) -> Header:
        """The first event of this generation of the journal."""
        return self.reader.header

    @property
    def offset(self) -> int:
        """End of what was folded, in bytes."""
        return self.reader.offset

    @property
    def late(self) -> int:
        """Number of lines passed over because their writer had lost its lock."""
        return self.reader.late

    @property
    def midway(self) -> bool:
        """True while events are folded, and after an exception that came meanwhile."""
        return self.reader.midway

    @property
    def shared(self) -> bool:
        """True if other hosts may write."""
        return self.reader.shared

    def follow(self) -> bool:
        """Fold what was appended since the last call; takes no lock.

        Returns
        -------
        change : bool
            True if there were new events.

        Raises
        ------
        QueueGoneError
            The queue was deleted.
        """
        if not self.shared and not self.midway and self.reader.is_up_to_date():
            return False
        return self._guard.run(lambda: self.reader.follow(self._opened()), self._clean_up)

    def follow_beyond(self, heads: Sequence[bytes]) -> bool:
        """Fold what was appended unless each line of it begins with one of ``heads``.

        It is folded in any case where other hosts may write, and a look costs as much.

        Returns
        -------
        change : bool
            True if there were new events that are folded.
        """
        opened = -1 if self.shared else self._opened()
        if opened >= 0 and self._guard.run(
            lambda: self.reader.has_only(heads, opened), self._clean_up
        ):
            return False
        return self.follow()

    def read_range(self, start: int, end: int) -> bytes:
        """Return the journal's bytes from ``start`` to ``end``, fewer if it is shorter.

        Raises
        ------
        QueueGoneError
            The queue was deleted.
        """
        return self.reader.read_range(start, end)

    def scan(self, start: int = 0) -> Iterator[Line]:
        """Yield the lines from ``start``, where one begins, to the end of what was folded."""
        return self.reader.scan(start)

    def open_reader(self) -> io.BufferedReader:
        """Open the journal for reading many events of it."""
        return io.BufferedReader(self._file.open_to_read())

    def event_at(self, offset: int) -> Event:
        """Read one event again, for its details.

        Parameters
        ----------
        offset : int
            Position where its line begins, in this generation of the journal.

        Returns
        -------
        event : dict

        Raises
        ------
        CorruptJournalError
            The line is damaged, or the journal was rewritten meanwhile: then :meth:`follow` and ask
            for the offset that the line has now.
        """
        return self.reader.event_at(offset)
