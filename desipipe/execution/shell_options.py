"""Find the values that a program would take for options.

The shell's quotes keep a value together, and mean nothing to the program that gets it: with
``-rf``, ``rm {file}`` removes folders. So a text that begins with ``-`` is refused where a program
may take an option. Negative numbers are data: hardly any program has options that look like them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from .shell_limits import NUMBER
from .shell_origins import ANY, Origins
from .shell_words import ASSIGNMENT, Command, Use, Word, unquoted

__all__ = ['OptionLimit', 'find_option_limits', 'refused_option']

# Commands of the shell that have no options, or only the ones of these patterns.
_OPTIONS = {
    **dict.fromkeys(('for', 'case', 'select', '[', '[[', 'test', ':', 'true', 'false', 'exit'), ''),
    'echo': '-[neE]+',
}
_AFTER_FIRST = frozenset(('printf',))  # what follows its first operand is data
_END = '--'
_ARRAY = re.compile(r'=\(\s*\Z')
_FILLED = re.compile(r'\{\w+(?::[^{}\n]*)?\}|\$\{?\w+\}?')


class OptionLimit(NamedTuple):
    """A bound for a value that stands where a program may take an option."""

    program: str
    options: str
    """Pattern of the options, where they are known."""
    is_whole: bool
    """The value is a word by itself."""
    begins: bool
    """A word begins with the value."""
    is_split: bool
    """The shell makes several words of it, as of a variable without quotes."""

    def holds(self, text: str) -> bool:
        """Return True if a value is no option."""
        parts = re.split(r'\s+', text) if self.is_split else [text]
        return all(map(self._is_data, parts if self.begins else parts[1:]))

    def _is_data(self, word: str) -> bool:
        if not word.startswith('-') or NUMBER.fullmatch(word):
            return True
        if word == '-':  # the standard input, unless something follows
            return self.is_whole
        return bool(self.options) and not re.fullmatch(self.options, word)

    def advice(self, name: str) -> str:
        """Return what to write instead."""
        return (
            f'Write it behind the end of options (-- {{{name}}}), as a path (./{{{name}}}), or as '
            f'the value of an option (--option={{{name}}}). To choose an option by a value, write '
            f'its dashes in the cell: --{{{name}}}'
        )


def find_option_limits(
    text: str, uses: Sequence[Use], commands: Iterable[Command]
) -> dict[str, list[OptionLimit]]:
    """Return the limits of values by name.

    Those of the empty name hold for all values.

    Parameters
    ----------
    text : str
        The commands.
    uses : sequence of Use
        In the order of the text.
    commands : iterable of Command
    """
    commands = list(commands)
    origins = Origins(text, uses, commands)
    limits: dict[str, list[OptionLimit]] = {}
    for command in commands:
        arguments = [word for word in command.words if not word.role]
        while arguments and ASSIGNMENT.match(unquoted(arguments[0].text)):
            arguments.pop(0)
        if arguments and _ARRAY.search(text, 0, arguments[0].start):
            continue  # which is no command; what gets its elements is
        for limit, use in _option_uses(text, uses, arguments, command.level):
            for name in origins.values_of(use):
                limits.setdefault(name, []).append(limit)
    return limits


def _option_uses(
    text: str, uses: Sequence[Use], arguments: Sequence[Word], level: int
) -> Iterator[tuple[OptionLimit, Use]]:
    """Yield the uses with which an argument of a command begins."""
    if not arguments:
        return
    program = os.path.basename(unquoted(arguments[0].text))
    options = _OPTIONS.get(program)
    if options == '':
        return
    for number, word in enumerate(arguments[1:], 1):
        if unquoted(word.text) == _END or (number > 1 and program in _AFTER_FIRST):
            return
        for use in uses[word.first : word.last]:
            limit = OptionLimit(program, options or '', *_position(text, word, use, level))
            if limit.begins or limit.is_split:
                yield limit, use


def _position(text: str, word: Word, use: Use, level: int) -> tuple[bool, bool, bool]:
    """Return what an :class:`OptionLimit` has of the place of a use in a word."""
    is_inner = use.level != level  # another command prints it
    before = word.text.partition('$(')[0] if is_inner else text[word.start : use.at]
    # What stands before may be empty.
    begins = not _FILLED.sub('', unquoted(before)).strip('"$\'{')
    is_split = (is_inner or not use.is_value) and before.count('"') % 2 == 0
    return use.is_value and bool(_FILLED.fullmatch(unquoted(word.text))), begins, is_split


def refused_option(
    limits: Mapping[str, Sequence[OptionLimit]], name: str, texts: Iterable[str]
) -> OptionLimit | None:
    """Return the limit that a word of a value does not keep, if there is one."""
    texts = list(texts)
    for limit in (*limits.get(name, ()), *limits.get(ANY, ())):
        if not all(map(limit.holds, texts)):
            return limit
    return None
