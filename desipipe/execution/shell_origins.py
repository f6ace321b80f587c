"""Origins of values: what variables of the shell may hold."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .shell_words import ASSIGNMENT, Command, Use, unquoted

__all__ = ['ANY', 'Origins']

_READERS = frozenset(('read', 'mapfile', 'readarray', 'getopts', 'select', 'printf'))
_PROGRAM_VARIABLE = re.compile(r'\$\{{0,2}([A-Za-z_]\w*)\}{0,2}')
_POSITIONAL = re.compile(r'[0-9@*]+')
ANY = ''  # stands for every value


class Origins:
    """Values that variables of the shell may hold."""

    def __init__(self, text: str, uses: Sequence[Use], commands: Sequence[Command]) -> None:
        self._assigned: dict[str, list[Use]] = {}
        self._read: set[str] = set()
        self._texts: dict[str, str] = {}
        for command in commands:
            parts = command.words
            names = [unquoted(word.text) for word in parts]
            for word, name in zip(parts, names, strict=True):
                if match := ASSIGNMENT.match(name):
                    self._assigned.setdefault(match[1], []).extend(uses[word.first : word.last])
                    self._texts[match[1]] = name[match.end() :]
            if 'for' in names[:1] and len(parts) > 1:
                self._assigned.setdefault(names[1], []).extend(
                    uses[parts[1].first : parts[-1].last]
                )
            if any(name in _READERS for name in names):
                self._read.update(names)

    def program_of(self, word: str) -> str:
        """Return the program that a word names, directly or by a variable (``$PYTHON``)."""
        match = _PROGRAM_VARIABLE.fullmatch(word)
        if match is None:
            return word
        return (self._texts.get(match[1], '').split() or [match[1].lower()])[0]

    def values_of(self, use: Use) -> set[str]:
        """Return the names of the values that are, or may be, there."""
        if use.is_value:
            return {use.name}
        values: set[str] = set()
        seen: set[str] = set()
        names = [use.name]
        while names:
            name = names.pop()
            if name in self._read or _POSITIONAL.fullmatch(name):
                return {ANY}
            for other in self._assigned.get(name, ()) if name not in seen else ():
                if other.is_value:
                    values.add(other.name)
                else:
                    names.append(other.name)
            seen.add(name)
        return values
