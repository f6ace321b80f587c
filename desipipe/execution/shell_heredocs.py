"""Read heredocs, with the values in them."""

from __future__ import annotations

import re
from typing import NamedTuple

from .shell_command_log import CommandLog
from .shell_cursor import Cursor
from .shell_expansions import PLACE, Expansions
from .shell_refusals import refused
from .shell_values import ValueWriter, single_quoted
from .shell_words import Command, Word

__all__ = ['Heredocs']

_DELIMITER = re.compile(r"""(?:\\.|'[^']*'|"[^"]*"|[^\s;&|()<>'"\\])+""")


class _Heredoc(NamedTuple):
    """A here-document whose text begins on the next line."""

    place: int
    """Position of its word in what is written."""
    delimiter: str
    quoted: bool
    tabs: bool
    """True if leading tabs of its lines are removed: ``<<-``."""
    command: Command
    """The one that reads it."""


class Heredocs:
    """Heredocs that the current line began, and the reader of their texts.

    Parameters
    ----------
    cursor : Cursor
    log : CommandLog
    values : ValueWriter
    expansions : Expansions
    """

    def __init__(
        self, cursor: Cursor, log: CommandLog, values: ValueWriter, expansions: Expansions
    ) -> None:
        self._cursor = cursor
        self._log = log
        self._values = values
        self._expansions = expansions
        self._pending: list[_Heredoc] = []

    def suspend(self) -> list[_Heredoc]:
        """Begin commands of their own; return what :meth:`resume` is to get behind them."""
        outer, self._pending = self._pending, []
        return outer

    def resume(self, outer: list[_Heredoc]) -> None:
        """Go on behind commands of their own, whose heredocs should have ended."""
        if self._pending:
            self._values.unsure = 'heredoc'
        self._pending = outer

    def begin(self) -> None:
        """Read ``<<`` and the word behind it."""
        cursor = self._cursor
        tabs = cursor.starts('<<-')
        # the tabs are taken away here, else those of the values would go too
        cursor.out.append('<<')
        cursor.at += 3 if tabs else 2
        while cursor.starts(' ') or cursor.starts('\t'):
            cursor.take()
        word = cursor.match(_DELIMITER)
        if not word:
            return  # which the shell complains about
        if unread := next(
            (item for item in PLACE.finditer(cursor.text, *word.span()) if item['name']), None
        ):
            raise refused(unread, 'delimiter')
        bare = re.sub(
            r"""\\(.)|'([^']*)'|"([^"]*)\"""",
            lambda match: next(item for item in match.groups() if item is not None),
            word[0],
        )
        is_quoted = bare != word[0]
        self._pending.append(_Heredoc(len(cursor.out), bare, is_quoted, tabs, self._log.command))
        cursor.take(len(word[0]))

    def read_texts(self) -> None:
        """Read the texts of the heredocs that the line above began."""
        pending, self._pending = self._pending, []
        for heredoc in pending:
            self._read_text(heredoc)

    def _read_text(self, heredoc: _Heredoc) -> None:
        cursor, values = self._cursor, self._values
        begin, ended = self._cut(heredoc)
        if not ended:
            values.unsure = 'heredoc'
        outer, cursor.tail = cursor.tail, len(cursor.text) - begin
        index = len(cursor.out)
        body = Word(cursor.at, '<<', len(self._log.uses))
        heredoc.command.heredocs.append(body)
        values.depth += not heredoc.quoted
        while cursor.more:
            self._read_letter(heredoc.quoted)
        values.depth -= not heredoc.quoted
        body.last, body.end = len(self._log.uses), cursor.at
        cursor.tail = outer
        if ended:
            self._write_delimiter(heredoc, ''.join(cursor.out[index:]))

    def _read_letter(self, quoted: bool) -> None:
        if quoted:
            if not self._expansions.place('literal'):
                self._cursor.take()
        elif self._cursor.starts('\\'):
            self._expansions.backslash('here')
        elif not self._expansions.expansion('here'):
            self._cursor.take()

    def _write_delimiter(self, heredoc: _Heredoc, text: str) -> None:
        """Write the line that ends a heredoc; choose another word where its text holds it."""
        cursor, delimiter = self._cursor, heredoc.delimiter
        lines = {*text.split('\n'), *text.replace('\\\n', '').split('\n')}
        # Within `$(…)`, bash ends a heredoc at a line that only begins with the delimiter, if a
        # bracket follows.
        while text and any(line.startswith(delimiter) for line in lines):
            # else a value that holds this line would end the text, and what follows in it would be
            # run
            delimiter += '_'
        if delimiter != heredoc.delimiter:
            word = single_quoted(delimiter) if heredoc.quoted else delimiter
            cursor.out[heredoc.place] = word
        end = cursor.line_end()
        has_more = end < cursor.end
        cursor.at = end + has_more
        cursor.out.append(delimiter + '\n' * has_more)

    def _cut(self, heredoc: _Heredoc) -> tuple[int, bool]:
        """Find the line that ends a here-document; return its place, and if it exists."""
        cursor = self._cursor
        lines = cursor.text[cursor.at : cursor.end].split('\n')
        kept: list[str] = []
        whole: list[str] = []  # a line that goes on after a backslash is one line
        for number, line in enumerate(lines, 1):
            whole.append(line.lstrip('\t') if heredoc.tabs and not whole else line)
            if not heredoc.quoted and (len(line) - len(line.rstrip('\\'))) % 2:
                continue
            if '\n'.join(whole).replace('\\\n', '') == heredoc.delimiter:
                body = ''.join(f'{line}\n' for line in kept)
                cursor.replace(body + '\n'.join([heredoc.delimiter, *lines[number:]]))
                return cursor.at + len(body), True
            kept += whole
            whole = []
        return cursor.end, False
