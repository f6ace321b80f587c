"""Convert a terminal's coloured text to plain text and to HTML."""

from __future__ import annotations

import re
from html import escape

from ..screen import apply_moves
from ..terminal import visible

# Terminals' escape sequences: colours (SGR); links and titles; all others.
_ESCAPE = re.compile(
    r'\x1b(?:\[([0-9;:]*)m|[\]P_^X][^\x1b\x07]*(?:\x07|\x1b\\)?|\[[0-?]*[ -/]*[@-~]|[ -/]*[0-~]?)'
)


def plain(text: str) -> str:
    """Return text safe for a terminal, without escape sequences and carriage returns."""
    return visible(_ESCAPE.sub('', apply_moves(text)))


# The colours of terminals, as text can be read in them: contrast at least 4.5 on white, 4.1 on the
# black of dark themes; no colour has 4.5 on both.
COLOURS = ('#767676', '#c25500', '#008762', '#986f09', '#097bc2', '#bc4f8b', '#238383', '#767676')


_MARKS = {
    1: 'font-weight:bold',
    2: 'opacity:.7',
    3: 'font-style:italic',
    4: 'text-decoration:underline',
    9: 'text-decoration:line-through',
}


def ansi_html(text: str) -> str:
    """Convert a terminal's coloured text to HTML; other escape sequences are dropped."""
    text = apply_moves(text)
    if '\x1b' not in text:
        return escape(visible(text))
    pieces = []
    style: dict[str, str] = {}
    end = 0
    for match in _ESCAPE.finditer(text):
        pieces.append(_styled(text[end : match.start()], style))
        end = match.end()
        if match[1] is not None:
            _select(style, [int(code or 0) for code in match[1].replace(':', ';').split(';')])
    return ''.join([*pieces, _styled(text[end:], style)])


def _styled(text: str, style: dict[str, str]) -> str:
    text = escape(visible(text))
    return f'<span style="{";".join(style.values())}">{text}</span>' if text and style else text


def _select(style: dict[str, str], codes: list[int]) -> None:
    codes = codes[::-1]
    while codes:
        code = codes.pop()
        if code == 0:
            style.clear()
        elif code in _MARKS:
            style[f'mark {code:d}'] = _MARKS[code]
        elif code in (22, 23, 24, 29):
            for mark in {22: (1, 2), 23: (3,), 24: (4,), 29: (9,)}[code]:
                style.pop(f'mark {mark:d}', None)
        elif code in (38, 48):
            colour = _any_colour(codes)
            if colour:
                style[f'{code:d}'] = f'{"color" if code == 38 else "background-color"}:{colour}'
        elif code in (39, 49):
            style.pop(f'{code - 1:d}', None)
        elif 30 <= code <= 37 or 90 <= code <= 97:
            style['38'] = f'color:{COLOURS[code % 10]}'
        elif 40 <= code <= 47 or 100 <= code <= 107:
            style['48'] = f'background-color:{COLOURS[code % 10]}40'


def _any_colour(codes: list[int]) -> str:
    # 2;r;g;b or 5;n, from the end of the reversed list.
    kind = codes.pop() if codes else 0
    if kind == 2 and len(codes) >= 3:
        red, green, blue = (min(codes.pop(), 255) for _ in range(3))
    elif kind == 5 and codes:
        n = codes.pop()
        if n < 16:
            return COLOURS[n % 8]
        if n < 232:
            red, green, blue = (
                0 if level == 0 else 55 + 40 * level
                for level in ((n - 16) // 36, (n - 16) // 6 % 6, (n - 16) % 6)
            )
        else:
            red = green = blue = min(8 + 10 * (n - 232), 255)
    else:
        return ''
    return f'#{red:02x}{green:02x}{blue:02x}'
