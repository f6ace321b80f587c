"""Text on its way to a terminal: what acts on the terminal is shown."""

from __future__ import annotations

import codecs
import functools
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


# Characters that act on a terminal, reorder or hide text: controls but tab and newline, line
# separators, format characters (bidi, zero width, tags), fillers without a glyph, surrogates.
_ACTING = (
    '\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160'
    '\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ud800-\udfff\ufe00-\ufe0d'
    '\ufeff\uffa0\ufff0-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3'
    '\U0001d173-\U0001d17a\U000e0000-\U000e0fff'
)
_COMBINING = (
    '\u0300-\u034e\u0350-\u036f\u0483-\u0489\u0591-\u05bd\u0610-\u061a\u064b-\u065f\u06d6-\u06dc'
    '\u06df-\u06e4\u0730-\u074a\u0e34-\u0e3a\u0e47-\u0e4e\u0eb4-\u0ebc\u0ec8-\u0ece\u0f71-\u0f7e'
    '\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ua66f-\ua67d\ua8e0-\ua8f1\ufe20-\ufe2f'
)
_COMBINING_MAX = 4  # of one character; more cover other lines
_SELECTORS = '\ufe0e\ufe0f'
_SHORT = {'\n': '\\n', '\r': '\\r', '\t': '\\t'}
# Patterns are compiled where they are needed: that takes longer than other imports.
_COLOUR = r'\x1b\[[0-9;:]{0,64}m'
_CUT_COLOUR = r'(?:\x1b(?:\[[0-9;:]{0,64})?|\r)\Z'  # which the next piece may complete
_CONCEAL = 8
_EXTENDED_COLOURS = (38, 48, 58)


def visible(text: str, lines: bool = True, colours: bool = False) -> str:
    """Escape the characters of a text that would act on a terminal, such as ``\\x1b``.

    Every face passes what it prints of a queue through this function: escape sequences, other
    control characters, characters that reorder or hide text.

    Parameters
    ----------
    text : str
    lines : bool, default=True
        True if the text may have tabs and newlines; else these are shown too.
    colours : bool, default=False
        True if colours (SGR sequences) stay, but for concealed text. Only for output of a user's
        own tasks.

    Returns
    -------
    text : str
    """
    if lines and '\r\n' in text:
        text = text.replace('\r\n', '\n')
    rest = text.replace('\n', '').replace('\t', '') if lines else text
    if (rest.isascii() and rest.isprintable()) or _plain().fullmatch(rest):
        return text
    unsafe = _unsafe(lines)
    if not colours or '\x1b' not in text:
        return unsafe.sub(_escaped, text)
    pieces, position = [], 0
    for match in re.finditer(_COLOUR, text):
        pieces.append(unsafe.sub(_escaped, text[position : match.start()]))
        pieces.append(visible(match[0]) if _conceals(match[0][2:-1]) else match[0])
        position = match.end()
    return ''.join([*pieces, unsafe.sub(_escaped, text[position:])])


@functools.cache
def _plain() -> re.Pattern[str]:
    """Return the pattern of what most text is: cheaper to make than `_unsafe`."""
    return re.compile('[ -~\xa1-\xac\xae-\u02ff\u2010-\u2027\u2030-\u205f\u2190-\u27bf]*')


@functools.cache
def _unsafe(lines: bool) -> re.Pattern[str]:
    """Return the pattern of runs, as there may be millions, of what can be unsafe."""
    blanks = '' if lines else '\t\n'
    return re.compile(f'[{blanks}{_ACTING}]+|[{_SELECTORS}]+|[{_COMBINING}]+')


@functools.cache
def _combining() -> re.Pattern[str]:
    return re.compile(f'[{_COMBINING}]')


@functools.cache
def _symbol() -> re.Pattern[str]:
    """Return the pattern of what a selector may follow."""
    return re.compile('[\u00a9\u00ae\u203c-\u3299\U0001f000-\U0001faff]')


def _escaped(match: re.Match[str]) -> str:
    characters, position = match[0], match.start()
    kept = 0
    if characters[0] in _SELECTORS:
        kept = bool(position and _symbol().match(match.string, position - 1))
    elif _combining().match(characters):
        kept = _COMBINING_MAX
    return characters[:kept] + ''.join(map(_escape, characters[kept:]))


@functools.lru_cache(1024)
def _escape(character: str) -> str:
    if character in _SHORT:
        return _SHORT[character]
    code = ord(character)
    if code < 0x100:
        return f'\\x{code:02x}'
    return f'\\u{code:04x}' if code < 0x10000 else f'\\U{code:08x}'


def _conceals(parameters: str) -> bool:
    """Return True if the parameters of an SGR sequence conceal text."""
    codes = parameters.split(';')
    position = 0
    while position < len(codes):
        code = int(codes[position].partition(':')[0] or 0)
        if code == _CONCEAL:
            return True
        if code in _EXTENDED_COLOURS and codes[position].isdigit():
            # Of 38;5;N and 38;2;R;G;B the rest are numbers of a colour.
            position += {'5': 2, '2': 4}.get((codes[position + 1 :] or [''])[0].lstrip('0'), 0)
        position += 1
    return False


def escape_json(text: str) -> str:
    """Make a JSON document safe for a terminal; it means the same.

    Parameters
    ----------
    text : str
        As a writer gives it that escapes control characters below a blank.
    """
    return _unsafe(True).sub(_json_escape, text)


def _json_escape(match: re.Match[str]) -> str:
    units = match[0].encode('utf-16-be', 'surrogatepass').hex()
    return ''.join(f'\\u{units[position : position + 4]}' for position in range(0, len(units), 4))


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
            True if nothing follows: what was held back is returned too, and colours end.
        """
        text = self._held + self._decoder.decode(data, last)
        cut = None if last else re.search(_CUT_COLOUR, text)
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
        Stream to write to.
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
