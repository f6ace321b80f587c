"""Reading of a journal: what was folded of it, and what was appended."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from ..errors import CorruptJournalError
from ..utils import quote
from .files import read_range
from .journal_file import RETRY_PAUSES_S, Identity, JournalFile
from .line_fold import LineFold
from .line_format import TAIL, Event, Placed, check
from .lines import LINE_MAX, Line, find_newline, scan_lines
from .placement import pieces

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .header import Header
    from .line_fold import Sink

_CHUNK = 1 << 18  # bytes; more comes from fresh pages of memory each time
_GLANCED_AT_ONCE = 1 << 16  # bytes; more comes from fresh pages, too
UNFOLDED_MAX = 1 << 20  # bytes that may wait to be folded
TRIES = 5


class JournalReader:
    """A journal as far as it was folded, and the place where that ends.

    Parameters
    ----------
    file : JournalFile
    sink : Sink
        Gets the events, each once, in order.
    """

    def __init__(self, file: JournalFile, sink: Sink) -> None:
        self.header: Header = {}
        self.shared = True
        """True if other hosts may write.

        Files are then reopened to see their writes, and flushed to show them ours.
        """
        self.offset = 0
        """End of the last line that was folded."""
        self.midway = False
        """True while events are folded, and after an exception that came meanwhile: the sink is
        then folded anew.
        """
        self.identity: Identity | None = None
        """The file that was folded."""
        self._file = file
        self._fold = LineFold(file, sink)
        self._first = b''
        self._last = b''
        self._begun = 0
        self._scanned = 0
        self._glanced = 0  # end of the last line that was glanced at, and not folded

    @property
    def late(self) -> int:
        """Number of lines passed over because their writer had lost its lock."""
        return self._fold.late

    @property
    def position(self) -> tuple[int, int]:
        """The beginnings and the end of folding: equal as long as nothing was folded."""
        return self._begun, self.offset

    def is_up_to_date(self) -> bool:
        """Return True if there is nothing new, as far as one look at the name tells."""
        # The page cache is the same for everyone: an unchanged size and inode says it all, at a
        # tenth of the cost.
        try:
            status = os.lstat(self._file.path)
        except OSError:
            return False  # opening says why
        return (status.st_dev, status.st_ino) == self.identity and status.st_size == self.offset

    def n_unread(self) -> int:
        """Return the bytes that are appended and not folded, by one look at the name."""
        try:
            return os.lstat(self._file.path).st_size - self.offset
        except OSError:
            return 0  # opening says why

    def has_only(self, heads: Sequence[bytes], opened: int) -> bool:
        """Return True if each line that is not folded yet begins with one of ``heads``.

        Parameters
        ----------
        heads : sequence of bytes
        opened : int
            Descriptor of the journal as it is now.
        """
        self._glanced = position = max(self.offset, self._glanced)
        try:
            size = os.fstat(opened).st_size
            if self.midway or not position <= size <= self.offset + UNFOLDED_MAX:
                return False
            rest = b''
            while position < size and (data := os.pread(opened, _GLANCED_AT_ONCE, position)):
                position += len(data)
                data = rest + data
                cut = data.rfind(b'\n') + 1
                n = sum(data.count(b'\n' + head, 0, cut) + data.startswith(head) for head in heads)
                if cut and n != data.count(b'\n'):
                    return False
                self._glanced += cut
                rest = data[cut:]
        except OSError:
            return False  # code of the user's closed the descriptor
        return True

    def follow(self, opened: int = -1) -> bool:
        """Fold what was appended since the last call; return True if there was anything.

        Parameters
        ----------
        opened : int, default=-1
            Descriptor of the journal as it is now, where one is open.
        """
        before = self.position
        if opened >= 0 and self.read(opened):
            return self.position != before
        for _ in range(TRIES):
            with self._file.open_to_read() as file:
                if self.read(file.fileno()):
                    break
        return self.position != before

    def has_all(self, fd: int, size: int) -> bool:
        """Return True if all ``size`` bytes of the journal are folded."""
        if self.midway or size != self.offset:
            return False
        try:
            return os.pread(fd, len(self._last), size - len(self._last)) == self._last
        except OSError:
            return False  # code of the user's closed the descriptor

    def read(self, fd: int, locked: bool = False) -> bool:
        """Fold what is new in the open journal; return True at its end."""
        status = os.fstat(fd)
        if self.midway or not self._is_continued(fd, status):
            self._begin(fd)
        pauses = () if locked else RETRY_PAUSES_S if self.shared else (0.0,)
        rest = b''
        position = self.offset
        while data := os.pread(fd, max(_CHUNK, len(rest)), position):
            position += len(data)
            if rest:
                data = rest + data
            cut = data.rfind(b'\n') + 1
            begun = self._begun
            self.midway = True
            folded = self._fold.fold(data[:cut], self.offset, self._last, pauses)
            if folded < 0 or begun != self._begun:
                # A line could not be folded, or a signal's handler looked meanwhile, and events
                # were folded twice: all is folded anew.
                self.midway = True
                return False
            self.offset += folded
            if folded:
                self._last = data[:folded][-TAIL:]
            self.midway = False
            if folded != cut:
                return False
            rest = data[cut:]
            if len(rest) > LINE_MAX:
                if not self._pass_over(fd, status.st_size):
                    return True  # it has no end yet: who writes next cuts it
                position, rest = self.offset, b''
            if not (rest or self.shared) and position >= status.st_size:
                break  # what this host appends from here on wakes whoever waits
        # A network filesystem's client may know already how long the file has become, and give
        # nothing of it yet to this descriptor (seen on MooseFS).
        return position >= status.st_size

    def _is_continued(self, fd: int, status: os.stat_result) -> bool:
        # An inode's number may be used again, so the first line, which holds the generation, is
        # compared as well; and the end of what we read, since a writer whose disk was full takes
        # back the lines of a batch that it could not write whole.
        return (
            (status.st_dev, status.st_ino) == self.identity
            and os.pread(fd, len(self._first), 0) == self._first
            and os.pread(fd, len(self._last), self.offset - len(self._last)) == self._last
        )

    def _pass_over(self, fd: int, size: int) -> bool:
        """Pass over what is too long for a line; return False if its end is not there."""
        start = max(self._scanned, self.offset + LINE_MAX)
        newline = find_newline(fd, start, size)
        if newline < 0:
            self._scanned = size
            return False
        self.midway = True
        length = newline + 1 - self.offset
        self._fold.pass_over(self.offset, length)
        self.offset += length
        self._last = os.pread(fd, TAIL, self.offset - TAIL)
        self._scanned = 0
        self.midway = False
        return True

    def _begin(self, fd: int) -> None:
        first, header = self._file.read_first_line(fd)
        status = os.fstat(fd)
        self.midway = True
        self._begun += 1
        if first != self._first:
            self._fold.forget_refused()
        self._scanned = self._glanced = 0
        self._first = first
        self._last = first[-TAIL:]
        self.header = header
        self.shared = bool(header.get('shared', True))
        self.offset = len(first)
        self.identity = (status.st_dev, status.st_ino)
        self._fold.reset(header)
        self.midway = False

    def take(self, placed: Sequence[Placed], data: bytes) -> None:
        """Fold what this process has just appended.

        Parameters
        ----------
        placed : sequence of tuple
            The events, with their offsets.
        data : bytes
            Their lines.
        """
        begun = self._begun
        self.midway = True
        self._fold.apply(placed)
        if begun != self._begun:
            self.midway = True  # a signal's handler looked meanwhile: events were folded twice
            return
        self.offset += len(data)
        self._last = data[-TAIL:]
        self._fold.end_at_own()
        self.midway = False

    def scan(self, start: int) -> Iterator[Line]:
        """Yield the lines from ``start``, where one begins, to the end of what was folded."""
        with self._file.open_to_read() as file:
            yield from scan_lines(file.fileno(), start, self.offset)

    def read_range(self, start: int, end: int) -> bytes:
        """Return the journal's bytes from ``start`` to ``end``, fewer if it is shorter."""
        with self._file.open_to_read() as file:
            return read_range(file.fileno(), start, end)

    def event_at(self, offset: int) -> Event:
        """Read one event again; as :meth:`.Journal.event_at`."""
        line = self._line_at(offset)
        event: Event | None
        try:
            event = check(line)
        except ValueError:
            first = next(pieces(line, offset), None)  # its newline was lost
            event = None if first is None or first.offset != offset else first.event
        if event is None or not self._fold.is_foldable(event):
            raise CorruptJournalError(
                f'The line at offset {offset:d} of {self._file.path} is damaged: its details are '
                'lost, the rest is intact. '
                f'Move it aside with: desipipe doctor -q {quote(self._file.folder)} --repair',
                self._file.path,
                offset,
            )
        return event

    def _line_at(self, offset: int) -> bytes:
        with self._file.open_to_read() as file:
            fd = file.fileno()
            if os.pread(fd, len(self._first), 0) != self._first:
                raise CorruptJournalError(
                    f'{self._file.path} was rewritten meanwhile (compacted, cleared); nothing is '
                    'lost by that. Repeat the last step.',
                    self._file.path,
                    offset,
                )
            line, size = b'', 1 << 16
            while not line.endswith(b'\n') and len(line) <= LINE_MAX:
                data = os.pread(fd, size, offset + len(line))
                if not data:
                    break
                cut = data.find(b'\n') + 1
                line += data[:cut] if cut else data
                size *= 4
            return line
