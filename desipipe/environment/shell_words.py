"""Values of variables as words of `bash`."""

from __future__ import annotations

import re

_ENDS_WORD = frozenset(' \t\n\r;&|<>()')
_CLOSES = {'(': ')', '{': '}', '"': '"', "'": "'", '`': '`'}


def is_plain(value: str) -> bool:
    """Return True if a shell takes a value as it is."""
    return re.fullmatch(r'[A-Za-z0-9_@%+=:,./-]*', value, re.ASCII) is not None


def word(value: str) -> str:
    """Return a value as one word of `bash`, quoted if needed, with its references."""
    if _is_closed(value, ends=_ENDS_WORD):
        return value
    quoted = _in_double_quotes(value)
    if _is_closed(quoted):
        return quoted
    # A bracket is never closed: only references by name are left to the shell.
    return (
        '"' + re.sub(r'["\\`]|\$(?![A-Za-z_]|\{[A-Za-z_][A-Za-z0-9_]*\})', r'\\\g<0>', value) + '"'
    )


def _is_closed(text: str, ends: frozenset[str] = frozenset()) -> bool:
    """Return True if a text's shell quotes and brackets are closed, and no word ends.

    Parameters
    ----------
    text : str
    ends : frozenset of str, default=()
        Characters that end a word.
    """
    inside: list[str] = []
    position = 0
    while position < len(text):
        char, top = text[position], inside[-1] if inside else ''
        if char == '\\' and top != "'":
            position += 1
            if position == len(text):
                return False
        elif top and char == _CLOSES[top]:
            inside.pop()
        elif top not in ("'", '`') and text[position : position + 2] in ('$(', '${'):
            position += 1
            inside.append(text[position])
        elif top not in ("'", '`') and (char in '"`' if top == '"' else char in '"`\''):
            inside.append(char)
        elif top == '(' and char == '(':
            inside.append(char)
        elif not inside and (char in ends or (char == '{' and ends)):
            return False
        position += 1
    return not inside


def _in_double_quotes(value: str) -> str:
    """Quote a value in double quotes, except what stands in ``$(…)`` and ``${…}``."""
    pieces, depth, position = ['"'], 0, 0
    while position < len(value):
        char = value[position]
        if value[position : position + 2] in ('$(', '${'):
            depth += 1
            pieces.append(char)
            position += 1
            char = value[position]
        elif depth:
            depth += (char in '({') - (char in ')}')
        elif char in '"\\`':
            pieces.append('\\')
        pieces.append(char)
        position += 1
    return ''.join([*pieces, '"'])
