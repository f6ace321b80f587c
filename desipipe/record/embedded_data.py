"""Find data within text, so that what looks for paths in text leaves it alone.

Base64 has ``/`` in its alphabet: a stretch such as ``+/ab/cd`` reads like an absolute path, and an
image of which it was cut cannot be decoded. Data is known by where it stands (its MIME type, a
``data:`` URI, the members beside it in JSON), and else by how it looks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Scrub = Callable[[str], str]
"""Takes out of text what may not stay in it."""

LOOKS_ENCODED_MIN = 48
"""Characters from which on a word may be called base64 by its look alone."""
SURELY_ENCODED_MIN = 256
"""Characters from which on a word with long stretches between its slashes is no path, of
whatever characters it is.
"""
_SLASHES = re.compile('/+')
_SEGMENT_MIN = 12  # characters between two slashes; of names of folders it is about 8, of base64 64
_TEXTUAL = re.compile(
    r'text/|message/|[^/]+/(?:[^/]*\+)?(?:json|xml|yaml|html|javascript|ecmascript|x-latex|x-sh)(?:$|[;+])|image/svg\+xml'
)
_DATA_URI = re.compile(
    r'data:[\w.+/-]*(?:;[\w.+-]+(?:=[^;,\s"\'<>]*)?)*;base64,\s*(?:[\w+/=-]+|%[0-9A-Fa-f]{2}|[ '
    r'\t]*\r?\n[ \t]*|\\n)*',
    re.I,
)
_WORD = re.compile(r'[A-Za-z0-9+/]+={0,2}')
_ENCODED = re.compile(r'[A-Za-z0-9+/\s]*={0,2}\s*')
_SCRIPT = re.compile(
    r'(<script\b(?:[^>"\']|"[^"]*"|\'[^\']*\')*>)(.*?)(</script\s*>|\Z)', re.I | re.S
)
# What JavaScript holds: texts and comments as groups; regular expressions, which begin where no
# value can end, as none.
_JAVASCRIPT = re.compile(
    r'"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'|`(?:[^`\\]|\\.)*`|//[^\n]*|/\*.*?\*/'
    r'|(?:(?<=[(,=:\[!&|?{};+*%~^<>-])|(?<=return)|(?<=typeof)|^)(?P<pattern>\s*/(?:[^/\\\n\[]|\\.|\[(?:[^\]\\\n]|\\.)*\])+/[a-z]*)',
    re.S,
)
# Members that say of one beside them that it is base64: of arrays in Plotly, Bokeh and traitlets,
# of buffers of widgets, of nbformat.
_BINARY_MEMBERS = {'bdata': 'dtype', 'data': 'encoding', '__ndarray__': 'dtype', '__buffer__': ''}


def is_encoded(word: str) -> bool:
    """Return True if a word looks like base64.

    It is long, of all kinds of characters, with few slashes.

    Parameters
    ----------
    word : str
        Of the base64 alphabet.
    """
    body = word.rstrip('=')
    size = len(body)
    if size < LOOKS_ENCODED_MIN or size < _SEGMENT_MIN * len(_SLASHES.split(body)):
        return False
    if size >= SURELY_ENCODED_MIN:
        return True
    digits, upper, lower = (
        sum(map(is_kind, body)) for is_kind in (str.isdigit, str.isupper, str.islower)
    )
    return digits >= max(2, 0.04 * size) and min(upper, lower) >= 0.1 * size


def split_data(text: str) -> Iterator[tuple[str, bool]]:
    """Split text into stretches, each with whether it is encoded data.

    Parameters
    ----------
    text : str

    Yields
    ------
    stretch, is_data : str, bool
    """
    end = 0
    for match in _DATA_URI.finditer(text):
        yield from _split_words(text[end : match.start()])
        yield match[0], True
        end = match.end()
    yield from _split_words(text[end:])


def _split_words(text: str) -> Iterator[tuple[str, bool]]:
    end = 0
    for match in _WORD.finditer(text) if len(text) >= LOOKS_ENCODED_MIN else ():
        if match.end() - match.start() >= LOOKS_ENCODED_MIN and is_encoded(match[0]):
            yield text[end : match.start()], False
            yield match[0], True
            end = match.end()
    yield text[end:], False


def scrub_html(text: str, scrub: Scrub) -> str:
    """Scrub a page: its text as text, of its scripts the texts and comments only.

    Parameters
    ----------
    text : str
    scrub : callable
    """
    pieces = []
    end = 0
    for match in _SCRIPT.finditer(text) if '<' in text else ():
        pieces += [
            scrub(text[end : match.start()]),
            scrub(match[1]),
            scrub_javascript(match[2], scrub),
            match[3],
        ]
        end = match.end()
    return ''.join([*pieces, scrub(text[end:])])


def scrub_javascript(text: str, scrub: Scrub) -> str:
    """Scrub the texts and comments of a script.

    A regular expression or a division is no path.

    Parameters
    ----------
    text : str
    scrub : callable
    """
    return _JAVASCRIPT.sub(lambda match: match[0] if match['pattern'] else scrub(match[0]), text)


def scrub_json(value: Any, scrub: Scrub) -> Any:
    """Scrub all text of a JSON value, except binary data, which its members mark.

    Parameters
    ----------
    value : object
    scrub : callable
    """
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, Mapping):
        return {
            key: item if _is_binary(key, value) else scrub_json(item, scrub)
            for key, item in value.items()
        }
    return [scrub_json(item, scrub) for item in value] if isinstance(value, list) else value


def _is_binary(key: str, members: Mapping[str, Any]) -> bool:
    value = members[key]
    if not isinstance(value, str) or not _ENCODED.fullmatch(value):
        return False
    if members.get('type') in ('bytes', 'ndarray') and key in ('data', 'array'):
        return True  # of Bokeh
    beside = _BINARY_MEMBERS.get(key)
    return beside is not None and (not beside or beside in members)


def scrub_data(mime: str, value: Any, scrub: Scrub) -> Any:
    """Scrub one form of a display, as its MIME type says what it is.

    Parameters
    ----------
    mime : str
    value : object
        Text, or what JSON stands for.
    scrub : callable
    """
    if (
        isinstance(value, list)
        and all(isinstance(line, str) for line in value)
        and not mime.endswith('json')
    ):
        value = ''.join(value)
    if not isinstance(value, str):
        return scrub_json(value, scrub)
    if mime in ('text/html', 'text/markdown', 'image/svg+xml', 'application/xhtml+xml'):
        return scrub_html(value, scrub)
    if mime.endswith(('/javascript', '/ecmascript')):
        return scrub_javascript(value, scrub)
    # Images, sound, films, PDF and whatever else is no text are base64 in notebooks.
    return scrub(value) if _TEXTUAL.match(mime) or not _ENCODED.fullmatch(value) else value
