"""Read quotes and expansions of a shell, with the values in them."""

from __future__ import annotations

import re
from collections.abc import Callable

from .shell_command_log import CommandLog
from .shell_cursor import Cursor
from .shell_refusals import refused
from .shell_values import ValueWriter

__all__ = ['PLACE', 'Expansions']

# `${NAME}` is the shell's; `{{name}}` are braces; `{name}` and `{name:format}` are filled in.
PLACE = re.compile(
    r'\{\{(?P<braces>\w+)\}\}|(?<!\$)\{(?P<name>[^\W\d]\w*)(?::(?P<format>[^{}\n]*))?\}'
)
_VARIABLE = re.compile(r'\$(?:([A-Za-z_][A-Za-z0-9_]*)|[0-9$!?#*@-])')
_FIRST_LETTERS = '$`{'  # of expansions and placeholders
_NAME = re.compile(r'\$\{[#!]?([A-Za-z_]\w*|[0-9@*]+)')


class Expansions:
    """Reader of what a shell expands, one at a time, at the position of a cursor.

    Parameters
    ----------
    cursor : Cursor
    log : CommandLog
        Gets the values and variables.
    values : ValueWriter
    substitute : callable
        Reads the commands of ``$(…)`` and its end.
    """

    def __init__(
        self,
        cursor: Cursor,
        log: CommandLog,
        values: ValueWriter,
        substitute: Callable[[], None],
    ) -> None:
        self._cursor = cursor
        self._log = log
        self._values = values
        self._substitute = substitute

    def place(self, kind: str) -> bool:
        """Read a placeholder, if there is one; return True if there was.

        Parameters
        ----------
        kind : str
            See :meth:`.ValueWriter.written`; so for all that follows.
        """
        match = self._cursor.match(PLACE)
        if not match:
            return False
        if match['name']:
            self._log.use(match['name'], True)
            self._cursor.out.append(self._values.written(match, kind))
        else:
            self._cursor.out.append('{' + match['braces'] + '}')
        self._cursor.at = match.end()
        return True

    def expansion(self, kind: str) -> bool:
        """Read an expansion, as within double quotes; return True if there was one."""
        cursor = self._cursor
        if cursor.text[cursor.at] not in _FIRST_LETTERS:
            return False
        if match := cursor.match(_VARIABLE):
            self._log.use(match[1] or match[0][1:], False)
            cursor.at = match.end()
            # `$name{p}` is not to become the variable `$namevalue`.
            is_before_value = match[1] and cursor.match(PLACE)
            cursor.out.append(f'${{{match[1]}}}' if is_before_value else match[0])
        elif cursor.starts('`'):
            self._until('`', 1, 'backticks')
        elif cursor.starts('$(('):
            self.arithmetic('$((', '))')
        elif cursor.starts('$['):
            self.arithmetic('$[', ']')
        elif cursor.starts('$('):
            cursor.take(2)
            self._substitute()
        elif cursor.starts('${'):
            self._parameter(kind)
        else:
            return self.place(kind)
        return True

    def backslash(self, kind: str) -> None:
        """Read a backslash and the letter behind it."""
        match = self._cursor.match(PLACE, 1)
        if not match or not match['name']:
            self._cursor.take(2)
        elif kind == 'backslash':
            raise refused(match, kind)
        else:
            # A letter by itself here, which is not to escape what the value begins with.
            self._cursor.out.append('\\\\')
            self._cursor.at += 1

    def quoted(self, kind: str = '') -> bool:
        """Read quotes and what is in them, if they begin here; return True if they did.

        Parameters
        ----------
        kind : str
            Kind of what is in them; that of the quotes if it is empty.
        """
        if self._cursor.starts('"'):
            self.double(kind or 'double')
        elif self._cursor.starts("'"):
            self.single(kind or 'single')
        elif self._cursor.starts("$'"):
            self._until("'", 2, kind or 'ansi')
        else:
            return False
        return True

    def single(self, kind: str) -> None:
        """Read single quotes."""
        self._cursor.take()
        while self._cursor.more and not self._cursor.starts("'"):
            if not self.place(kind):
                self._cursor.take()
        self._cursor.take()

    def double(self, kind: str) -> None:
        """Read double quotes."""
        self._cursor.take()
        while self._cursor.more and not self._cursor.starts('"'):
            if self._cursor.starts('\\'):
                self.backslash(kind)
            elif not self.expansion(kind):
                self._cursor.take()
        self._cursor.take()

    def _until(self, closing: str, opening: int, kind: str) -> None:
        self._cursor.take(opening)
        while self._cursor.more:
            if self._cursor.starts(closing):
                self._cursor.take()
                return
            if self._cursor.starts('\\'):
                self.backslash(kind)
            elif not self.place(kind):
                self._cursor.take()

    def _parameter(self, kind: str) -> None:
        """``${...}``."""
        cursor = self._cursor
        braces = cursor.match(PLACE, 1)
        if braces and braces['braces']:
            self._log.use(braces['braces'], False)
            cursor.take()
            self.place(kind)
            return
        if name := cursor.match(_NAME):
            self._log.use(name[1], False)
        cursor.take(2)
        while cursor.more and not cursor.starts('}'):
            if cursor.starts('\\'):
                self.backslash('parameter')
            elif not self.quoted('parameter') and not self.expansion('parameter'):
                cursor.take()
        cursor.take()

    def arithmetic(self, opening: str, closing: str) -> None:
        """Read arithmetic up to its end; without one, nothing that follows is sure."""
        cursor = self._cursor
        cursor.take(len(opening))
        depth = 0
        while cursor.more:
            letter = cursor.text[cursor.at]
            if not depth and cursor.starts(closing):
                cursor.take(len(closing))
                return
            if letter == '\\':
                self.backslash('number')
            elif letter == '"':
                self.double('number')
            elif letter == "'":
                self.single('number')
            elif letter in '([':
                depth += 1
                cursor.take()
            elif letter in ')]':
                cursor.take()
                if not depth:
                    break
                depth -= 1
            elif not self.expansion('number'):
                cursor.take()
        self._values.unsure = self._values.unsure or 'parentheses'
