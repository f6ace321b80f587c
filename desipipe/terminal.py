"""Text on its way to a terminal: what moves the cursor is applied, what acts on the terminal is
shown.
"""

from __future__ import annotations

import codecs
import re
from typing import Any

_MOVES = re.compile(r'[\r\x08]|\x1b\[\d*[ABCDG]')
# What moves or colours, with its numbers and its letter; titles and links, which take no room, as
# the last.
_CONTROL = re.compile(
    r'\x1b\[([0-9;:?]*)([A-Za-z])|[\n\r\x08]|\x1b[\]P_^X][^\x1b\x07]*(?:\x07|\x1b\\)?'
)
_ROWS_MAX = 200  # rows above the last one that a cursor may go back to
_COLUMNS_MAX = 10_000  # columns that a cursor may go to beyond what is written
# Characters that act on a terminal, reorder or hide text: controls but tab and newline, line
# separators, format characters (bidi, zero width, tags), fillers without a glyph, surrogates.
_ACTING = (
    '\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160'
    '\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ud800-\udfff\ufe00-\ufe0d'
    '\ufeff\uffa0\ufff0-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3'
    '\U0001d173-\U0001d17a\U000e0000-\U000e0fff'
)
_COMBINING = (
    '\u0300-\u034e\u0350-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f'
)
_COMBINING_MAX = 4  # of one character; more cover other lines
_SELECTORS = '\ufe0e\ufe0f'
_UNSAFE = re.compile(f'[{_ACTING}{_SELECTORS}{_COMBINING}]')
_UNSAFE_IN_LINE = re.compile(f'[\t\n{_ACTING}{_SELECTORS}{_COMBINING}]')
_IS_COMBINING = re.compile(f'[{_COMBINING}]')
_MANY_COMBINING = re.compile(f'[{_COMBINING}]{{{_COMBINING_MAX + 1}}}')
_SYMBOL = re.compile(
    '[\u00a9\u00ae\u203c-\u3299\U0001f000-\U0001faff]'
)  # which a selector may follow
_SHORT = {'\n': '\\n', '\r': '\\r', '\t': '\\t'}
_COLOUR = re.compile(r'\x1b\[[0-9;:]{0,64}m')
_CUT_COLOUR = re.compile(r'(?:\x1b(?:\[[0-9;:]{0,64})?|\r)\Z')  # which the next piece may complete
_CONCEAL = 8
_EXTENDED_COLOURS = (38, 48, 58)

_Run = tuple[str, str]  # text, and the colours before it


def visible(text: str, lines: bool = True, colours: bool = False) -> str:
    """Make text safe for a terminal: what would act on it is shown as an escape, such as ``\\x1b``.

    Every face passes what it prints of a queue through this function: escape sequences, other
    control characters, characters that reorder or hide text.

    Parameters
    ----------
    text : str
    lines : bool, default=True
        Whether the text may have tabs and newlines; else these are shown too.
    colours : bool, default=False
        Whether colours (SGR sequences) stay, but for concealed text. Only for output of a user's
        own tasks.

    Returns
    -------
    text : str
    """
    if lines and '\r\n' in text:
        text = text.replace('\r\n', '\n')
    unsafe = _UNSAFE if lines else _UNSAFE_IN_LINE
    if not colours or '\x1b' not in text:
        return unsafe.sub(_escaped, text)
    pieces, place = [], 0
    for match in _COLOUR.finditer(text):
        pieces.append(unsafe.sub(_escaped, text[place : match.start()]))
        pieces.append(visible(match[0]) if _conceals(match[0][2:-1]) else match[0])
        place = match.end()
    return ''.join([*pieces, unsafe.sub(_escaped, text[place:])])


def _escaped(match: re.Match[str]) -> str:
    character, text, place = match[0], match.string, match.start()
    if character in _SHORT:
        return _SHORT[character]
    if character in _SELECTORS and place and _SYMBOL.match(text, place - 1):
        return character
    if _IS_COMBINING.match(character):
        begin = place - _COMBINING_MAX
        if begin < 0 or not _MANY_COMBINING.match(text, begin, place + 1):
            return character
    code = ord(character)
    return (
        f'\\x{code:02x}'
        if code < 0x100
        else f'\\u{code:04x}'
        if code < 0x10000
        else f'\\U{code:08x}'
    )


def _conceals(parameters: str) -> bool:
    """Return True if the parameters of an SGR sequence conceal text."""
    codes = parameters.split(';')
    place = 0
    while place < len(codes):
        code = int(codes[place].partition(':')[0] or 0)
        if code == _CONCEAL:
            return True
        if code in _EXTENDED_COLOURS and codes[place].isdigit():
            # Of 38;5;N and 38;2;R;G;B the rest are numbers of a colour.
            place += {'5': 2, '2': 4}.get((codes[place + 1 :] or [''])[0].lstrip('0'), 0)
        place += 1
    return False


def escape_json(text: str) -> str:
    """Make a JSON document safe for a terminal; it means the same.

    Parameters
    ----------
    text : str
        As a writer gives it that escapes control characters below a blank.
    """
    return _UNSAFE.sub(_json_escape, text)


def _json_escape(match: re.Match[str]) -> str:
    units = match[0].encode('utf-16-be', 'surrogatepass').hex()
    return ''.join(f'\\u{units[place : place + 4]}' for place in range(0, len(units), 4))


class VisibleText:
    """Makes bytes of a stream safe for a terminal, piece by piece.

    Parameters
    ----------
    colours : bool, default=False
        As of :func:`visible`. A carriage return then begins a line, so that nothing is written
        over.
    """

    def __init__(self, colours: bool = False) -> None:
        self._colours = colours
        self._decoder = codecs.getincrementaldecoder('utf-8')('backslashreplace')
        self._held = ''
        self._coloured = False

    def feed(self, data: bytes, last: bool = False) -> str:
        """Return what may be shown by now.

        Parameters
        ----------
        data : bytes
        last : bool, default=False
            Whether nothing follows: what was held back is returned too, and colours end.
        """
        text = self._held + self._decoder.decode(data, last)
        cut = None if last else _CUT_COLOUR.search(text)
        self._held = text[cut.start() :] if cut else ''
        text = text[: cut.start()] if cut else text
        if self._colours:
            text = text.replace('\r\n', '\n').replace('\r', '\n')
        text = visible(text, colours=self._colours)
        self._coloured |= '\x1b' in text
        return text + ('\x1b[0m' if last and self._coloured else '')


class VisibleStream:
    """A stream of text for a terminal, in which nothing acts on the terminal.

    Parameters
    ----------
    stream : text stream
        Where to.
    """

    def __init__(self, stream: Any) -> None:
        self.unfiltered = stream
        """For what makes its text safe itself."""

    def write(self, text: str) -> int:
        """Write text, made :func:`visible`."""
        self.unfiltered.write(visible(text))
        return len(text)

    def writelines(self, texts: Any) -> None:
        """Write several texts."""
        for text in texts:
            self.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.unfiltered, name)


def settle(text: str) -> str:
    """Apply what moves a terminal's cursor: carriage returns, backspaces, and cursor keys; colours
    stay.

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
            cells[self._column : self._column + len(text)] = [
                (character, self._style) for character in text
            ]
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
            self._column = min(self._column + n, max(self._column, _COLUMNS_MAX))
        elif letter == 'D':
            self._column = max(self._column - n, 0)
        elif letter == 'G':
            self._column = n - 1
        elif letter == 'K':
            self._erase(number or 0)

    def _erase(self, which: int) -> None:
        cells = [
            (character, style) for words, style in self._rows[self._row] for character in words
        ]
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
                pieces.append(
                    style
                    if style.startswith(self._shown) and self._shown
                    else ('\x1b[0m' if self._shown else '') + style
                )
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
