"""Notes of what was read of commands: their words, and the values in them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .shell_cursor import Cursor
from .shell_words import CLOSERS, Command, Use, Word

__all__ = ['CommandLog']


class CommandLog:
    """Commands and uses of values, in the order of the text.

    Parameters
    ----------
    cursor : Cursor
    """

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor
        self.uses: list[Use] = []
        self.commands: list[Command] = []
        self.command = Command(0, 0)
        """The one that is being read."""
        self._role = ''
        self._level = -1

    @contextmanager
    def level(self, source: Command | None) -> Iterator[None]:
        """Note the commands within parentheses; ``source`` writes to the first."""
        outer, role = self.command, self._role
        self._level += 1
        self._role = ''
        self.command = Command(self._level, len(self.uses), source)
        self.commands.append(self.command)
        yield
        self.command, self._role = outer, role
        self._level -= 1

    def begin(self, letter: str, first: int) -> None:
        """Begin a command behind a letter that ends one.

        Parameters
        ----------
        letter : str
        first : int
            Number of uses before the first command of this level.
        """
        last, before = self.command, self._cursor.before
        is_redirection = letter == '&' and (before in ('|', '<', '>') or self._cursor.starts('&>'))
        if is_redirection or (letter == '\n' and last.source is not None and not last.words):
            return
        is_pipe = letter == '|' and before not in ('|', '>') and not self._cursor.starts('||')
        last.end = len(self.uses)
        if last.is_compound or (last.words and last.words[0].text in CLOSERS):
            # all that came before at this level may be of it
            last.first, last.is_compound = first, True
        self.command = Command(self._level, last.end, last if is_pipe else None)
        self.commands.append(self.command)

    def set_role(self, role: str) -> None:
        """Set the role of the next word, see :class:`.Word`."""
        self._role = role

    def note(self, begin: int, uses: int, fresh: bool) -> None:
        """Note what was read since ``begin`` as a word, or as a part of the last one."""
        parts = self.command.words
        if fresh or not parts:
            parts.append(Word(begin, self._role, uses))
            self._role = ''
        parts[-1].last = len(self.uses)
        parts[-1].end = self._cursor.at
        parts[-1].text = self._cursor.text[parts[-1].start : self._cursor.at]

    def note_parentheses(self, before: str, begin: int, uses: int) -> None:
        """Note what stood in parentheses as an array, a process, or a compound command."""
        if before == '=' and self.command.words:
            self.note(begin, uses, False)
        elif before in ('<', '>'):
            self._role = '('
            self.note(begin, uses, True)
        else:
            self.command.is_compound = True

    def drop_descriptor(self) -> None:
        """Drop the last word if it is the number of a descriptor."""
        parts = self.command.words
        if parts and parts[-1].text.isdigit():
            parts.pop()

    def use(self, name: str, is_value: bool) -> None:
        """Note a value, or a variable of the shell."""
        self.uses.append(Use(name, is_value, self._cursor.at, self._level))
