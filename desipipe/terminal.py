"""Text as a terminal would have it in the end: progress bars go back over what they wrote."""

from __future__ import annotations

import re

_MOVES = re.compile(r'[\r\x08]|\x1b\[\d*[ABCDG]')
# What moves or colours, with its numbers and its letter; titles and links, which take no room, as the last.
_CONTROL = re.compile(r'\x1b\[([0-9;:?]*)([A-Za-z])|[\n\r\x08]|\x1b[\]P_^X][^\x1b\x07]*(?:\x07|\x1b\\)?')
_ROWS_MAX = 200  # rows above the last one that a cursor may go back to

_Run = tuple[str, str]  # text, and the colours before it


def settle(text: str) -> str:
    """Apply what moves a terminal's cursor: carriage returns, backspaces, and cursor keys; colours stay.

    Parameters
    ----------
    text : str

    Returns
    -------
    text : str
        Without these characters; a last carriage return that nothing was written over is gone, too.
    """
    text = text.replace('\r\n', '\n') if '\r' in text else text
    if not _MOVES.search(text):
        return text
    screen = _Screen()
    place = 0
    for match in _CONTROL.finditer(text):
        screen.write(text[place : match.start()])
        screen.control(match[0], match[1], match[2])
        place = match.end()
    screen.write(text[place:])
    return screen.text()


class _Screen:
    """Rows of text, as wide and as many as they come."""

    def __init__(self) -> None:
        self._above: list[str] = []  # rows that no cursor comes back to
        self._rows: list[list[_Run]] = [[]]
        self._row = 0
        self._column = 0
        self._style = ''
        self._shown = ''  # the style at the end of `_above`

    def write(self, text: str) -> None:
        if not text:
            return
        row = self._rows[self._row]
        width = sum(len(words) for words, _ in row)
        if self._column == width:
            row.append((text, self._style))
        else:
            cells = [(character, style) for words, style in row for character in words]
            cells += [(' ', '')] * (self._column - width)
            cells[self._column : self._column + len(text)] = [(character, self._style) for character in text]
            self._rows[self._row] = _joined(cells)
        self._column += len(text)

    def control(self, characters: str, numbers: str | None, letter: str | None) -> None:
        if characters == '\n':
            self._next_row()
        elif characters == '\r':
            self._column = 0
        elif characters == '\b':
            self._column = max(self._column - 1, 0)
        elif letter is None:
            return  # a title, a link
        elif letter == 'm':
            self._style = '' if not (numbers or '').strip('0;') else self._style + characters
        else:
            first = (numbers or '').partition(';')[0]
            self._move(letter, min(int(first), 10_000) if first.isdigit() else None)

    def _move(self, letter: str, number: int | None) -> None:
        n = number or 1
        if letter == 'A':
            self._row = max(self._row - n, 0)
        elif letter == 'B':
            for _ in range(min(n, _ROWS_MAX)):
                self._next_row(False)
        elif letter == 'C':
            self._column += n
        elif letter == 'D':
            self._column = max(self._column - n, 0)
        elif letter == 'G':
            self._column = n - 1
        elif letter == 'K':
            self._erase(number or 0)

    def _erase(self, which: int) -> None:
        cells = [(character, style) for words, style in self._rows[self._row] for character in words]
        if which == 2:
            cells = []
        elif which == 1:
            cells[: self._column] = [(' ', '')] * min(self._column, len(cells))
        else:
            del cells[self._column :]
        self._rows[self._row] = _joined(cells)

    def _next_row(self, begin: bool = True) -> None:
        self._row += 1
        self._column = 0 if begin else self._column
        if self._row == len(self._rows):
            self._rows.append([])
        if self._row > 2 * _ROWS_MAX:
            self._above += [self._written(row) for row in self._rows[:_ROWS_MAX]]
            del self._rows[:_ROWS_MAX]
            self._row -= _ROWS_MAX

    def _written(self, row: list[_Run]) -> str:
        pieces = []
        for text, style in row:
            if style != self._shown:
                pieces.append(style if style.startswith(self._shown) and self._shown else ('\x1b[0m' if self._shown else '') + style)
                self._shown = style
            pieces.append(text)
        return ''.join(pieces)

    def text(self) -> str:
        rows = [*self._above, *(self._written(row) for row in self._rows)]
        return '\n'.join(rows) + ('\x1b[0m' if self._shown else '')


def _joined(cells: list[_Run]) -> list[_Run]:
    runs: list[_Run] = []
    for character, style in cells:
        if runs and runs[-1][1] == style:
            runs[-1] = runs[-1][0] + character, style
        else:
            runs.append((character, style))
    return runs
