"""Limits of values that stand in programs of other languages."""

from __future__ import annotations

import re
from typing import NamedTuple

from .shell_languages import Language

__all__ = ['NUMBER', 'Limit']

NUMBER = re.compile(r'[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?')
_NAME = re.compile(r'[A-Za-z_][A-Za-z0-9_]*')
_REST_OF_NAME = re.compile(r'[A-Za-z0-9_]*')
_STRING = re.compile(r'[\w +=:,./-]*')
_STRICT_STRING = re.compile(r'[\w+=:,./-]*')
_PLAIN = re.compile(r'[\w@%+=:,./-]*', re.ASCII)
_FIELD = re.compile(r'[\w ./,:=+@%-]*')
_SUBSTITUTION = re.compile(
    r'(?:^|[\s;{}0-9$/!(=~])s([^\w\s\\])((?:\\.|(?!\1)[^\\])*\1)?(?:\\.|(?!\1)[^\\])*$', re.DOTALL,
)  # fmt: skip
_CLOSING = {'{': '}', '(': ')', '[': ']', '<': '>'}


class Limit(NamedTuple):
    """A bound for a value that stands in a program."""

    language: Language
    before: str
    """The program as far as this value."""
    after: str

    @property
    def place(self) -> str:
        """Name of the program it stands in."""
        language = self.language
        return (
            f'a shell again, by {language.name}'
            if language.is_shell
            else f'a program of {language.name}'
        )

    def holds(self, text: str) -> bool:
        """Return True if a value is data there."""
        language, before = self.language, self.before
        if language.is_shell:
            return bool(_PLAIN.fullmatch(text))
        if language.substitutes and (delimiter := _delimiter_of(before, self.after)):
            banned = delimiter + ('@%' if language.quotes else '')
            return bool(_FIELD.fullmatch(text)) and not any(letter in text for letter in banned)
        if _is_in_string(before, language):
            return bool((_STRING if language.has_names else _STRICT_STRING).fullmatch(text))
        if NUMBER.fullmatch(text):
            return not (text[0] in '+-' and before.rstrip().endswith(('+', '-')))
        if not language.has_names:
            return False
        return bool(
            (_REST_OF_NAME if re.search(r'[A-Za-z_]\w*$', before) else _NAME).fullmatch(text)
        )


def _delimiter_of(before: str, after: str) -> str:
    """Return the delimiter of the ``s/…/…/`` around a value; '' where it may be code."""
    field = _SUBSTITUTION.search(before)
    if field is None:
        return ''
    begin = field[1]
    end = re.escape(_CLOSING.get(begin, begin))
    left = 1 if field[2] else 2
    rest = re.match(rf'(?:(?:\\.|(?!{end})[^\\])*{end}){{{left}}}([a-zA-Z0-9]*)', after, re.DOTALL)
    return '' if rest is None or 'e' in rest[1] else begin


def _is_in_string(before: str, language: Language) -> bool:
    quote = ''
    position = 0
    while position < len(before):
        letter = before[position]
        if letter == '\\':
            position += 1
        elif quote:
            quote = '' if letter == quote else quote
        elif letter in language.quotes:
            quote = letter
        elif language.comment and before.startswith(language.comment, position):
            position = before.find('\n', position)
            if position < 0:
                return False
        position += 1
    return bool(quote)
