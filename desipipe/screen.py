"""Apply what moves a terminal's cursor to a text.

Its length bounds the time and memory that this takes.
"""

from __future__ import annotations

import functools
import re
import sys
from array import array
from collections.abc import Iterator, Sequence

_MOVES = re.compile(r'[\r\x08]|\x1b\[\d*[ABCDG]')
# What moves or colours, with its numbers and its letter; titles and links, which take no room, as
# the last.
_CONTROL = re.compile(r'\x1b\[([0-9;:?]*)([A-Za-z])|\x1b[\]P_^X][^\x1b\x07]*(?:\x07|\x1b\\)?')
_BACKSPACES = re.compile(r'(\x08+)')
# Characters that the next one is written over, each by itself.
_WRITTEN_OVER = re.compile(r'(?:[^\r\x08]\x08)+(?=[^\r\x08])')
_ROWS_MAX = 200  # rows above the last one that a cursor may go back to
_COLUMNS_MAX = 10_000  # columns that a cursor may go to beyond what is written
# Cells that erasing and moving may fill with blanks, by character of the text and in any case:
# else ten characters make a row of 10,000 blanks.
_BLANKS_BY_CHARACTER, _BLANKS_MIN = 4, 1_000_000
_BLANKS_BY_ROW = 20  # that a new row counts for, where a cursor moves down to it
_UTF32 = f'utf-32-{sys.byteorder[0]}e'
# Ranges of SGR codes that set one property of text, and the code that ends it.
_PROPERTIES = (
    (1, 2, 22), (3, 3, 23), (4, 4, 24), (21, 21, 24), (5, 6, 25), (7, 7, 27), (8, 8, 28),
    (9, 9, 29), (11, 20, 10), (30, 38, 39), (90, 97, 39), (40, 48, 49), (100, 107, 49),
    (51, 52, 54), (53, 53, 55), (58, 58, 59),
)  # fmt: skip
_ENDS_BY_CODE = {code: end for first, last, end in _PROPERTIES for code in range(first, last + 1)}
_CODES_BY_END: dict[int, list[int]] = {}
for _code, _end in _ENDS_BY_CODE.items():
    _CODES_BY_END.setdefault(_end, []).append(_code)
_JOINED = frozenset((1, 2, 5, 6, 51, 52))  # codes that do not end one another
_NUMBER_MAX = 20  # characters of the parameters of one property
_EXTENDED_COLOURS = {'5': 2, '2': 4}  # numbers behind 38 and 48, by the kind of the colour

_Run = tuple[str, str]  # text, and the colours before it


def apply_moves(text: str) -> str:
    """Apply what moves a terminal's cursor.

    These are carriage returns, backspaces, and cursor keys; colours stay.

    Parameters
    ----------
    text : str

    Returns
    -------
    text : str
        Without these characters; a last carriage return that nothing was written over is gone, too.
        It is at most some times as long as the text.
    """
    text = text.replace('\r\n', '\n') if '\r' in text else text
    if not _MOVES.search(text):
        return text
    screen = _Screen(_BLANKS_BY_CHARACTER * len(text) + _BLANKS_MIN)
    offset = 0
    for match in _CONTROL.finditer(text):
        if match.start() > offset:
            screen.write(text[offset : match.start()])
        screen.control(match)
        offset = match.end()
    screen.write(text[offset:])
    return screen.text()


class _Row:
    """A row of text: runs of one style, or, once something is written over, cells."""

    __slots__ = ('_characters', '_runs', '_styles', 'width')

    def __init__(self) -> None:
        self.width = 0
        self._runs: list[_Run] = []
        self._characters: array[int] | None = None
        self._styles: list[str] = []

    def write(self, column: int, text: str, style: str) -> None:
        """Write text at a column up to the end of what is there, over it."""
        end = column + len(text)
        if self._characters is None and column == self.width:
            self._runs.append((text, style))
        else:
            self._cells()[column:end] = _codes(text)
            self._styles[column:end] = [style] * len(text)
        self.width = max(self.width, end)

    def _cells(self) -> array[int]:
        if self._characters is None:
            self._characters = _codes(''.join(text for text, _ in self._runs))
            self._styles = [style for text, style in self._runs for _ in range(len(text))]
            self._runs.clear()
        return self._characters

    def blank(self, begin: int, end: int) -> None:
        """Put blanks without a style into columns."""
        if begin < end:
            self.write(begin, ' ' * (end - begin), '')

    def cut(self, column: int) -> None:
        """Erase everything from a column on."""
        if column < self.width:
            del self._cells()[column:], self._styles[column:]
            self.width = column

    def runs(self) -> Sequence[_Run]:
        """Return the texts of the row, each with its style."""
        return self._runs if self._characters is None else list(self._joined())

    def _joined(self) -> Iterator[_Run]:
        text = self._cells().tobytes().decode(_UTF32, 'surrogatepass')
        begin = 0
        for offset, style in enumerate(self._styles):
            if style is not self._styles[begin] and style != self._styles[begin]:
                yield text[begin:offset], self._styles[begin]
                begin = offset
        if text:
            yield text[begin:], self._styles[begin]


def _codes(text: str) -> array[int]:
    return array('I', text.encode(_UTF32, 'surrogatepass'))


class _Screen:
    """Rows of text, as wide and as many as they come.

    Parameters
    ----------
    blanks : int
        Cells that may be filled with blanks; moves that need more do nothing.
    """

    def __init__(self, blanks: int) -> None:
        self._above: list[str] = []  # rows that no cursor comes back to
        self._rows = [_Row()]
        self._row = 0
        self._column = 0
        self._blanks = blanks
        self._style = ''
        self._shown = ''  # the style at the end of `_above`

    def write(self, text: str) -> None:
        """Write text without escape sequences."""
        if self._row + 1 == len(self._rows) and text.count('\n') > 4 * _ROWS_MAX:
            text = self._pass_on(text)
        for number, line in enumerate(text.split('\n')):
            if number:
                self._next_row()
            if '\b' in line:
                self._write_backspaces(line)
            else:
                self._write_returns(line)

    def _pass_on(self, text: str) -> str:
        """Write lines that no cursor comes back to; return the rest."""
        if '\r' in text or '\b' in text:
            return text
        first, *lines = text.split('\n')
        self._write(first)
        between = _Row()
        between.write(0, '\n'.join(lines[: -2 * _ROWS_MAX]), self._style)
        self._above += [self._written(row) for row in (*self._rows, between)]
        self._rows, self._row, self._column = [_Row()], 0, 0
        return '\n'.join(lines[-2 * _ROWS_MAX :])

    def _write_backspaces(self, text: str) -> None:
        for piece in _BACKSPACES.split(_WRITTEN_OVER.sub('', text)):
            if piece[:1] == '\b':
                self._column = max(self._column - len(piece), 0)
            else:
                self._write_returns(piece)

    def _write_returns(self, text: str) -> None:
        if '\r' not in text:
            self._write(text)
            return
        begin, _, rest = text.partition('\r')
        self._write(begin)
        self._column = 0
        self._write(_overwritten(rest))
        self._column = len(text) - text.rfind('\r') - 1

    def _write(self, text: str) -> None:
        if not text:
            return
        row = self._rows[self._row]
        missing = self._column - row.width
        if missing > 0:
            if self._take_blanks(missing):
                row.blank(row.width, self._column)
            else:
                self._column = row.width
        row.write(self._column, text, self._style)
        self._column += len(text)

    def _take_blanks(self, number: int) -> bool:
        if number > self._blanks:
            return False
        self._blanks -= number
        return True

    def control(self, match: re.Match[str]) -> None:
        """Apply a match of what moves, colours or takes no room."""
        numbers, letter = match.groups()
        if letter is None:
            return  # a title, a link
        if letter == 'm':
            self._style = _styled(self._style, numbers)
        else:
            first = numbers.partition(';')[0]
            self._move(letter, int(first[:9]) if first.isdigit() else None)

    def _move(self, letter: str, number: int | None) -> None:
        n = min(number or 1, _COLUMNS_MAX)
        if letter == 'A':
            self._row = max(self._row - n, 0)
        elif letter == 'B':
            for _ in range(min(n, _ROWS_MAX)):
                if self._row + 1 == len(self._rows) and not self._take_blanks(_BLANKS_BY_ROW):
                    break
                self._next_row(False)
        elif letter == 'C':
            self._column = min(self._column + n, max(self._column, _COLUMNS_MAX))
        elif letter == 'D':
            self._column = max(self._column - n, 0)
        elif letter == 'G':
            self._column = n - 1
        elif letter == 'K':
            self._erase(number or 0)

    def _erase(self, which: int) -> None:
        row = self._rows[self._row]
        if which == 2:
            row.cut(0)
        elif which == 1:
            end = min(self._column, row.width)
            if self._take_blanks(end):
                row.blank(0, end)
        else:
            row.cut(self._column)

    def _next_row(self, begin: bool = True) -> None:
        self._row += 1
        self._column = 0 if begin else self._column
        if self._row == len(self._rows):
            self._rows.append(_Row())
        if self._row > 2 * _ROWS_MAX:
            self._above += [self._written(row) for row in self._rows[:_ROWS_MAX]]
            del self._rows[:_ROWS_MAX]
            self._row -= _ROWS_MAX

    def _written(self, row: _Row) -> str:
        pieces = []
        for text, style in row.runs():
            if style != self._shown:
                pieces.append(_change(self._shown, style))
                self._shown = style
            pieces.append(text)
        return ''.join(pieces)

    def text(self) -> str:
        """Return what is to be seen."""
        rows = [*self._above, *(self._written(row) for row in self._rows)]
        return '\n'.join(rows) + ('\x1b[0m' if self._shown else '')


def _overwritten(text: str) -> str:
    """Return what is left of parts of which each is written over those before."""
    pieces: list[str] = []
    width = 0
    for part in reversed(text.split('\r')):
        if len(part) > width:
            pieces.append(part[width:])
            width = len(part)
    return ''.join(pieces)


# Colours


def _change(old: str, new: str) -> str:
    return new[len(old) :] if old and new.startswith(old) else ('\x1b[0m' if old else '') + new


@functools.lru_cache(4096)
def _styled(style: str, numbers: str) -> str:
    """Return the SGR sequences of a style after another one.

    There is one for each property that is set.

    Parameters
    ----------
    style : str
        Sequences, as this returns them.
    numbers : str
        Of the next sequence.
    """
    properties = {_code_of(part): part for part in style[2:-1].split('m\x1b[') if part}
    codes = numbers.split(';')
    offset = 0
    while offset < len(codes):
        number = codes[offset]
        code = _code_of(number)
        if code in (38, 48, 58) and number.isdigit():
            size = _EXTENDED_COLOURS.get(codes[offset + 1] if offset + 1 < len(codes) else '', 0)
            number = ';'.join(codes[offset : offset + size + 1])
            offset += size
        offset += 1
        if code == 0:
            properties.clear()
            continue
        for other in _CODES_BY_END.get(_ENDS_BY_CODE.get(code, code), ()):
            if other != code and not (code in _JOINED and other in _JOINED):
                properties.pop(other, None)
        if code in _ENDS_BY_CODE and len(number) <= _NUMBER_MAX:
            properties.pop(code, None)
            properties[code] = number
    return ''.join(f'\x1b[{number}m' for number in properties.values())


def _code_of(number: str) -> int:
    first = number.partition(':')[0]
    return int(first[:9]) if first.isdigit() else 0
