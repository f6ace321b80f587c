"""Commands of a shell as they were read: words, and the values in them."""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ['ASSIGNMENT', 'CLOSERS', 'ESCAPED', 'Command', 'Use', 'Word', 'unquoted']

ASSIGNMENT = re.compile(r'([A-Za-z_]\w*)(?:\[[^\]]*\])?\+?=')
_QUOTES = re.compile(r"""\\(.)|'([^']*)'?|"((?:\\.|[^"\\])*)"?|\$(?=['"])""", re.DOTALL)
ESCAPED = re.compile(r'\\([$`"\\\n])')
CLOSERS = frozenset(('done', 'fi', 'esac', '}'))
"""Words that end a compound command."""


class Use(NamedTuple):
    """A value, or a variable of the shell that may hold one, in a command."""

    name: str
    is_value: bool
    at: int
    """Offset in the text."""
    level: int
    """Number of substitutions around it."""


class Word:
    """A word of a command.

    Parameters
    ----------
    start : int
        Offset in the text.
    role : str
        Of the redirection before it: ``'<<<'``, ``'<'``, ``'>'``; ``'('`` of a process; empty for
        an argument.
    first : int
        Number of uses before it.
    """

    def __init__(self, start: int, role: str, first: int) -> None:
        self.start = start
        self.role = role
        self.first = first
        self.last = first
        self.end = start
        self.text = ''


class Command:
    """A simple command.

    Parameters
    ----------
    level : int
        Number of substitutions around it.
    first : int
        Number of uses before it.
    source : Command, default=None
        Command that writes to its input.
    """

    def __init__(self, level: int, first: int, source: Command | None = None) -> None:
        self.level = level
        self.first = first
        self.end = first
        self.source = source
        self.words: list[Word] = []
        self.is_compound = False
        """True if it ends a loop, a group or the like."""
        self.heredocs: list[Word] = []


def unquoted(raw: str) -> str:
    """Return what the shell makes of a word's quotes."""

    def plain(match: re.Match[str]) -> str:
        escaped, single, double = match.groups()
        if double is not None:
            return ESCAPED.sub(r'\1', double)
        return single if single is not None else escaped or ''

    return _QUOTES.sub(plain, raw)
