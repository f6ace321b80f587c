"""Read commands as bash does, to know the quotes that values stand in."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from .shell_command_log import CommandLog
from .shell_cursor import Cursor
from .shell_expansions import Expansions
from .shell_heredocs import Heredocs
from .shell_limits import Limit
from .shell_options import OptionLimit, find_option_limits
from .shell_programs import find_limits
from .shell_values import ValueWriter
from .shell_words import Command

__all__ = ['CommandReader']

_KEYWORD = re.compile(r'[a-z]+(?=[\s;&|()<>]|$)|[{!](?=\s)')
_BEFORE_COMMANDS = frozenset(
    ('if', 'then', 'elif', 'else', 'while', 'until', 'do', 'time', '{', '!')
)


class CommandReader:
    """Reader of commands, which writes the values in them.

    Parameters
    ----------
    text : str
    values : ValueWriter
    """

    def __init__(self, text: str, values: ValueWriter) -> None:
        self.cursor = Cursor(text)
        self.values = values
        self.log = CommandLog(self.cursor)
        self.expansions = Expansions(self.cursor, self.log, values, self.substitute)
        self.heredocs = Heredocs(self.cursor, self.log, values, self.expansions)

    def read(self) -> str:
        """Read all commands, and return them filled."""
        self.read_commands()
        return ''.join(self.cursor.out)

    def find_limits(self) -> tuple[dict[str, list[Limit]], dict[str, list[OptionLimit]]]:
        """Return what values may be in programs, and as arguments, after :meth:`read`."""
        parts = self.cursor.text, self.log.uses, self.log.commands
        return find_limits(*parts), find_option_limits(*parts)

    def read_commands(self, is_closed: bool = False, source: Command | None = None) -> None:
        """Read commands up to a parenthesis or the end; ``source`` writes to the first."""
        with self.log.level(source):
            _CommandList(self, is_closed).read()

    def substitute(self, source: Command | None = None) -> None:
        """Read the commands of a substitution up to its parenthesis."""
        outer = self.heredocs.suspend()
        self.read_commands(True, source)
        self.heredocs.resume(outer)


class _CommandList:
    """Commands of one level, read from the left.

    Parameters
    ----------
    reader : CommandReader
    is_closed : bool
        True if a parenthesis ends them.
    """

    def __init__(self, reader: CommandReader, is_closed: bool) -> None:
        self._reader = reader
        self._cursor = reader.cursor
        self._log = reader.log
        self._is_closed = is_closed
        self._first_use = len(reader.log.uses)
        self._is_first = True
        """True if the next word is a command's."""
        self._is_fresh = True
        """True if the next letter begins a word."""
        self._cases = 0
        """Number of ``case`` that are open."""
        self._handlers: Mapping[str, Callable[[], bool]] = {
            **dict.fromkeys(' \t', self._blank),
            **dict.fromkeys('\n;&|', self._separator),
            **dict.fromkeys('<>', self._redirection),
            '\\': self._joined_line,
            '#': self._comment,
            '(': self._parentheses,
            ')': self._pattern,
        }

    def read(self) -> None:
        """Read up to the parenthesis that ends the commands, or to the end."""
        cursor, handlers = self._cursor, self._handlers
        while cursor.more:
            letter = cursor.text[cursor.at]
            if letter == ')' and self._is_closed and not self._cases:
                cursor.take()
                return
            handler = handlers.get(letter, self._keyword)
            if not handler():
                self._word_part(letter)

    # Each reads what begins with its letters, and returns False where that is part of a word.

    def _blank(self) -> bool:
        self._cursor.take()
        self._is_fresh = True
        return True

    def _joined_line(self) -> bool:
        if not self._cursor.starts('\\\n'):
            return False
        self._cursor.take(2)
        return True

    def _separator(self) -> bool:
        letter = self._cursor.text[self._cursor.at]
        self._log.begin(letter, self._first_use)
        self._cursor.take()
        if letter == '\n':
            self._reader.heredocs.read_texts()
        self._is_first = self._is_fresh = True
        return True

    def _comment(self) -> bool:
        if not self._is_fresh:
            return False
        self._cursor.take(self._cursor.line_end() - self._cursor.at)
        return True

    def _pattern(self) -> bool:
        self._cursor.take()
        self._log.command.words.clear()
        self._is_first = self._is_fresh = True  # behind a pattern of `case`
        return True

    def _parentheses(self) -> bool:
        if self._is_fresh and self._cursor.starts('(('):
            return False
        begin, uses, before = self._cursor.at, len(self._log.uses), self._cursor.before
        self._cursor.take()
        if before in ('<', '>'):
            self._reader.substitute(self._log.command if before == '>' else None)
        else:
            self._reader.read_commands(True)
        self._log.note_parentheses(before, begin, uses)
        self._is_first, self._is_fresh = self._cases > 0, True
        return True

    def _redirection(self) -> bool:
        if not self._is_fresh:
            self._log.drop_descriptor()
        if self._cursor.starts('<<') and not self._cursor.starts('<<<'):
            self._reader.heredocs.begin()
            self._is_first = self._is_fresh = False
            return True
        role = '<<<' if self._cursor.starts('<<<') else self._cursor.text[self._cursor.at]
        self._log.set_role(role)
        self._cursor.take(len(role))
        self._is_fresh = True
        return True

    def _keyword(self) -> bool:
        word = self._cursor.match(_KEYWORD) if self._is_fresh and self._is_first else None
        if not word:
            return False
        begin, uses = self._cursor.at, len(self._log.uses)
        self._cursor.take(len(word[0]))
        self._log.note(begin, uses, True)
        if word[0] in _BEFORE_COMMANDS:
            self._log.command.words.clear()
        self._cases += (word[0] == 'case') - (word[0] == 'esac' and self._cases > 0)
        self._is_first, self._is_fresh = word[0] in _BEFORE_COMMANDS, False
        return True

    def _word_part(self, letter: str) -> None:
        """Read quotes, an expansion or a letter, as a part of a word."""
        begin, uses, expansions = self._cursor.at, len(self._log.uses), self._reader.expansions
        if letter == '\\':
            expansions.backslash('backslash')
        elif letter == '(':
            expansions.arithmetic('((', '))')
        elif not expansions.quoted() and not expansions.expansion('word'):
            self._cursor.take()
        self._log.note(begin, uses, self._is_fresh)
        self._is_first = self._is_fresh = False
