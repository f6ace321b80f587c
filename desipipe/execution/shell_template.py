"""Shell commands: values filled in as their quotes need it, run, and explained."""

from __future__ import annotations

import codecs
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from ..errors import CellError
from .shell_contexts import allowed, holds
from .shell_limits import Limit
from .shell_options import OptionLimit, find_option_limits, refused_option
from .shell_process import call
from .shell_programs import find_limits, first_refused
from .shell_refusals import REFUSED, beyond, held, is_option, line_of, refused
from .shell_words import CLOSERS, Command, Use, Word

# `${NAME}` is the shell's; `{{name}}` are braces; `{name}` and `{name:format}` are filled in.
_PLACE = re.compile(
    r'\{\{(?P<braces>\w+)\}\}|(?<!\$)\{(?P<name>[^\W\d]\w*)(?::(?P<format>[^{}\n]*))?\}'
)
_VARIABLE = re.compile(r'\$(?:([A-Za-z_][A-Za-z0-9_]*)|[0-9$!?#*@-])')
_WHOLE = re.compile(r'-?[0-9]+')
_REDIRECTED = re.compile(r'(?:\\\n)*[<>]')
_KEYWORD = re.compile(r'[a-z]+(?=[\s;&|()<>]|$)|[{!](?=\s)')
_BEFORE_COMMANDS = frozenset(
    ('if', 'then', 'elif', 'else', 'while', 'until', 'do', 'time', '{', '!')
)
_NAME = re.compile(r'\$\{[#!]?([A-Za-z_]\w*|[0-9@*]+)')
_DELIMITER = re.compile(r"""(?:\\.|'[^']*'|"[^"]*"|[^\s;&|()<>'"\\])+""")


def placeholders(template: str) -> dict[str, int]:
    """Return the names that a template fills in, with the cell line of each.

    Parameters
    ----------
    template : str
        ``{name}`` or ``{name:format}`` is filled in; ``{{name}}`` and ``${NAME}`` are not, nor is
        anything in comments.

    Returns
    -------
    lines : dict

    Raises
    ------
    CellError
        A value stands where it cannot be quoted.
    """
    lines: dict[str, int] = {}

    def note(match: re.Match[str]) -> list[str]:
        lines.setdefault(match['name'], line_of(match))
        return ['0']

    _Template(template, note).read()
    return lines


def fill(template: str, values: Mapping[str, Any]) -> str:
    """Fill in values so that the shell takes them literally, whatever the quotes.

    Parameters
    ----------
    template : str
        See :func:`placeholders`.
    values : mapping
        Lists and tuples become several words; within quotes and heredocs one text, with blanks
        between.

    Returns
    -------
    command : str

    Raises
    ------
    CellError
        A value stands where it cannot be quoted, or is none of the whole numbers that arithmetic
        takes.
    """

    def texts(match: re.Match[str]) -> list[str]:
        value = values[match['name']]
        items = value if isinstance(value, list | tuple) else [value]
        return [
            os.fsdecode(item)
            if isinstance(item, os.PathLike)
            else format(item, match['format'] or '')
            for item in items
        ]

    reader = _Template(template, lambda match: ['0'])
    reader.read()
    return _Template(template, texts, *reader.find_limits()).read()


def _single_quoted(text: str) -> str:
    return "'" + text.replace("'", "'\"'\"'") + "'"


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


class _Template:
    """Reader of commands that knows the quotes a value stands in, as bash does.

    Parameters
    ----------
    text : str
    texts : callable
        Gets the match of a placeholder, returns its words.
    limits, options : mapping, default=None
        What values may be, by name.
    """

    def __init__(
        self,
        text: str,
        texts: Callable[[re.Match[str]], list[str]],
        limits: Mapping[str, Sequence[Limit]] | None = None,
        options: Mapping[str, Sequence[OptionLimit]] | None = None,
    ) -> None:
        self._text = text
        self._texts = texts
        self._limits, self._options = limits or {}, options or {}
        self._uses: list[Use] = []
        self._read_commands: list[Command] = []
        self._command = Command(0, 0)
        self._level = -1
        self._role = ''
        self._allowed = allowed(text)
        self._at = 0
        self._tail = 0  # letters at the end that are not to be read yet
        self._out: list[str] = []
        self._heredocs: list[_Heredoc] = []
        self._depth = 0  # of heredocs that are expanded
        self._unsure = ''

    def read(self) -> str:
        """The commands, filled."""
        self._commands()
        return ''.join(self._out)

    def find_limits(self) -> tuple[dict[str, list[Limit]], dict[str, list[OptionLimit]]]:
        """Return what values may be in programs, and as arguments, after :meth:`read`."""
        parts = self._text, self._uses, self._read_commands
        return find_limits(*parts), find_option_limits(*parts)

    # Words of commands

    def _next_command(self, letter: str, first: int) -> None:
        """Begin a command behind a letter that ends one."""
        last, before = self._command, self._text[self._at - 1 : self._at]
        is_redirection = letter == '&' and (before in ('|', '<', '>') or self._is('&>'))
        if is_redirection or (letter == '\n' and last.source is not None and not last.words):
            return
        is_pipe = letter == '|' and before not in ('|', '>') and not self._is('||')
        last.end = len(self._uses)
        if last.is_compound or (last.words and last.words[0].text in CLOSERS):
            last.first, last.is_compound = (
                first,
                True,
            )  # all that came before at this level may be of it
        self._command = Command(self._level, last.end, last if is_pipe else None)
        self._read_commands.append(self._command)

    def _note(self, begin: int, uses: int, fresh: bool) -> None:
        """Note what was read since ``begin`` as a word, or as a part of the last one."""
        parts = self._command.words
        if fresh or not parts:
            parts.append(Word(begin, self._role, uses))
            self._role = ''
        parts[-1].last = len(self._uses)
        parts[-1].end = self._at
        parts[-1].text = self._text[parts[-1].start : self._at]

    def _use(self, name: str, is_value: bool) -> None:
        self._uses.append(Use(name, is_value, self._at, self._level))

    # Letters

    @property
    def _end(self) -> int:
        return len(self._text) - self._tail

    @property
    def _more(self) -> bool:
        return self._at < self._end

    def _is(self, start: str) -> bool:
        return self._text.startswith(start, self._at, self._end)

    def _take(self, number: int = 1) -> None:
        end = min(self._at + number, self._end)
        self._out.append(self._text[self._at : end])
        self._at = end

    def _match(self, pattern: re.Pattern[str], offset: int = 0) -> re.Match[str] | None:
        return pattern.match(self._text, self._at + offset, self._end)

    # Values

    def _place(self, kind: str) -> bool:
        match = self._match(_PLACE)
        if not match:
            return False
        if match['name']:
            self._use(match['name'], True)
        self._out.append(
            '{' + match['braces'] + '}' if match['braces'] else self._written(match, kind)
        )
        self._at = match.end()
        return True

    def _check(self, match: re.Match[str], texts: list[str]) -> None:
        text = ' '.join(texts)
        if not holds(text, self._allowed):
            raise held(match, text, self._allowed)
        if limit := first_refused(self._limits, match['name'], text):
            raise beyond(match, text, limit)
        if option := refused_option(self._options, match['name'], texts):
            raise is_option(match, text, option)

    def _written(self, match: re.Match[str], kind: str) -> str:
        if self._unsure or kind in REFUSED:
            raise refused(match, self._unsure or kind)
        if kind == 'literal' and self._depth:
            raise refused(match, 'nested')
        texts = self._texts(match)
        text = ' '.join(texts)
        if kind != 'number':
            self._check(match, texts)
        else:
            # In arithmetic text is evaluated, whatever its quotes: `a[$(command)]` runs the
            # command.
            if len(texts) != 1 or not _WHOLE.fullmatch(text):
                raise CellError(
                    f'Line {line_of(match):d} of the cell: {match[0]} is {text!r:.80}, and '
                    'arithmetic of the shell takes whole numbers. Nothing was run.'
                )
            number = str(int(text))
            return f'({number})' if int(text) < 0 else number  # `5--3` is something else
        if kind == 'word':
            # Whole numbers stay bare, for `{1..{n}}`; but `2>file` is not `2 >file`, and `~1` is a
            # folder.
            bare = (
                not _REDIRECTED.match(self._text, match.end())
                and self._text[match.start() - 1 : match.start()] != '~'
            )
            return ' '.join(
                item if bare and _WHOLE.fullmatch(item) else self._quoted(item) for item in texts
            )
        if kind == 'double':
            return re.sub(r'([\\$`"])', r'\\\1', text)
        if kind == 'here':
            return re.sub(r'([\\$`])', r'\\\1', text)
        if kind == 'single':
            return f"'{self._quoted(text)}'" if self._depth else text.replace("'", "'\"'\"'")
        if kind == 'ansi':
            return f"'{self._quoted(text)}$'"  # a part of its own: `\x4{digit}` stays what it is
        return text

    def _quoted(self, text: str) -> str:
        if not self._depth:
            return _single_quoted(text)
        # Lines of a heredoc that end in a backslash are joined before anything in them is read,
        # quotes or not.
        return "$'" + text.replace('\\', '\\\\').replace("'", "\\'").replace('\n', '\\n') + "'"

    # What the shell reads

    def _commands(self, closing: str = '', source: Command | None = None) -> None:
        """Read commands up to a parenthesis or the end; ``source`` writes to the first."""
        outer, role = self._command, self._role
        begun = len(self._uses)
        self._level += 1
        self._role = ''
        self._command = Command(self._level, begun, source)
        self._read_commands.append(self._command)
        self._simple_commands(closing, begun)
        self._command, self._role = outer, role
        self._level -= 1

    def _simple_commands(self, closing: str, begun: int) -> None:  # noqa: C901
        # Whether the next word is a command's; whether the next letter begins a word.
        first = fresh = True
        cases = 0
        while self._more:
            letter = self._text[self._at]
            begin, uses, begins = self._at, len(self._uses), fresh
            if letter == '\\':
                if self._is('\\\n'):
                    self._take(2)
                    continue
                self._backslash('backslash')
            elif letter in ' \t':
                self._take()
                fresh = True
                continue
            elif letter in '\n;&|':
                self._next_command(letter, begun)
                self._take()
                if letter == '\n':
                    self._bodies()
                first = fresh = True
                continue
            elif letter == '#' and fresh:
                end = self._text.find('\n', self._at, self._end)
                self._take((self._end if end < 0 else end) - self._at)
                continue
            elif letter == ')':
                self._take()
                if closing and not cases:
                    return
                self._command.words.clear()
                first = fresh = True  # a pattern of `case`
                continue
            elif fresh and self._is('(('):
                self._arithmetic('((', '))')
            elif letter == '(':
                before = self._text[self._at - 1 : self._at]
                self._take()
                if before in ('<', '>'):
                    self._substitution(')', self._command if before == '>' else None)
                else:
                    self._commands(')')
                self._note_parentheses(before, begin, uses)
                first, fresh = cases > 0, True
                continue
            elif self._is('<<') and not self._is('<<<'):
                if not fresh and self._command.words and self._command.words[-1].text.isdigit():
                    self._command.words.pop()
                self._heredoc()
                first = fresh = False
                continue
            elif letter in '<>':
                if not fresh and self._command.words and self._command.words[-1].text.isdigit():
                    self._command.words.pop()  # the number of a descriptor
                self._role = '<<<' if self._is('<<<') else letter
                self._take(len(self._role))
                fresh = True
                continue
            elif fresh and first and (word := self._match(_KEYWORD)):
                self._take(len(word[0]))
                self._note(begin, uses, True)
                if word[0] in _BEFORE_COMMANDS:
                    self._command.words.clear()
                cases += (word[0] == 'case') - (word[0] == 'esac' and cases > 0)
                first, fresh = word[0] in _BEFORE_COMMANDS, False
                continue
            elif letter == "'":
                self._single('single')
            elif letter == '"':
                self._double('double')
            elif self._is("$'"):
                self._ansi('ansi')
            elif not self._expansion('word'):
                self._take()
            self._note(begin, uses, begins)
            first = fresh = False

    def _note_parentheses(self, before: str, begin: int, uses: int) -> None:
        """Note what stood in parentheses as an array, a process, or a compound command."""
        if before == '=' and self._command.words:
            self._note(begin, uses, False)
        elif before in ('<', '>'):
            self._role = '('
            self._note(begin, uses, True)
        else:
            self._command.is_compound = True

    def _substitution(self, closing: str, source: Command | None = None) -> None:
        outer, self._heredocs = self._heredocs, []
        self._commands(closing, source)
        if self._heredocs:
            self._unsure = 'heredoc'
        self._heredocs = outer

    def _expansion(self, kind: str) -> bool:
        """Parse an expansion, as within double quotes; return True if there was one."""
        if match := self._match(_VARIABLE):
            self._use(match[1] or match[0][1:], False)
            self._at = match.end()
            # `$name{p}` is not to become the variable `$namevalue`.
            self._out.append(f'${{{match[1]}}}' if match[1] and self._match(_PLACE) else match[0])
        elif self._is('`'):
            self._until('`', 1, 'backticks')
        elif self._is('$(('):
            self._arithmetic('$((', '))')
        elif self._is('$['):
            self._arithmetic('$[', ']')
        elif self._is('$('):
            self._take(2)
            self._substitution(')')
        elif self._is('${'):
            self._parameter(kind)
        else:
            return self._place(kind)
        return True

    def _backslash(self, kind: str) -> None:
        match = self._match(_PLACE, 1)
        if not match or not match['name']:
            self._take(2)
        elif kind == 'backslash':
            raise refused(match, kind)
        else:
            # A letter by itself here, which is not to escape what the value begins with.
            self._out.append('\\\\')
            self._at += 1

    def _until(self, closing: str, opening: int, kind: str) -> None:
        self._take(opening)
        while self._more:
            if self._is(closing):
                self._take()
                return
            if self._is('\\'):
                self._backslash(kind)
            elif not self._place(kind):
                self._take()

    def _single(self, kind: str) -> None:
        self._take()
        while self._more and not self._is("'"):
            if not self._place(kind):
                self._take()
        self._take()

    def _ansi(self, kind: str) -> None:
        self._until("'", 2, kind)

    def _double(self, kind: str) -> None:
        self._take()
        while self._more and not self._is('"'):
            if self._is('\\'):
                self._backslash(kind)
            elif not self._expansion(kind):
                self._take()
        self._take()

    def _parameter(self, kind: str) -> None:
        """``${...}``."""
        braces = self._match(_PLACE, 1)
        if braces and braces['braces']:
            self._use(braces['braces'], False)
            self._take()
            self._place(kind)
            return
        if name := self._match(_NAME):
            self._use(name[1], False)
        self._take(2)
        while self._more and not self._is('}'):
            if self._is('\\'):
                self._backslash('parameter')
            elif self._is('"'):
                self._double('parameter')
            elif self._is("'"):
                self._single('parameter')
            elif self._is("$'"):
                self._ansi('parameter')
            elif not self._expansion('parameter'):
                self._take()
        self._take()

    def _arithmetic(self, opening: str, closing: str) -> None:
        self._take(len(opening))
        depth = 0
        while self._more:
            letter = self._text[self._at]
            if not depth and self._is(closing):
                self._take(len(closing))
                return
            if letter == '\\':
                self._backslash('number')
            elif letter == '"':
                self._double('number')
            elif letter == "'":
                self._single('number')
            elif letter in '([':
                depth += 1
                self._take()
            elif letter in ')]':
                self._take()
                if not depth:
                    break
                depth -= 1
            elif not self._expansion('number'):
                self._take()
        self._unsure = self._unsure or 'parentheses'

    # Heredocs

    def _heredoc(self) -> None:
        tabs = self._is('<<-')
        self._out.append(
            '<<'
        )  # the tabs are taken away here, else those of the values would go too
        self._at += 3 if tabs else 2
        while self._is(' ') or self._is('\t'):
            self._take()
        word = self._match(_DELIMITER)
        if not word:
            return  # which the shell complains about
        if unread := next(
            (item for item in _PLACE.finditer(self._text, *word.span()) if item['name']), None
        ):
            raise refused(unread, 'delimiter')
        bare = re.sub(
            r"""\\(.)|'([^']*)'|"([^"]*)\"""",
            lambda match: next(item for item in match.groups() if item is not None),
            word[0],
        )
        self._heredocs.append(_Heredoc(len(self._out), bare, bare != word[0], tabs, self._command))
        self._take(len(word[0]))

    def _bodies(self) -> None:
        """The texts of the heredocs that the line above began."""
        pending, self._heredocs = self._heredocs, []
        for heredoc in pending:
            self._body(heredoc)

    def _body(self, heredoc: _Heredoc) -> None:
        begin, ended = self._cut(heredoc)
        if not ended:
            self._unsure = 'heredoc'
        outer, self._tail = self._tail, len(self._text) - begin
        index = len(self._out)
        body = Word(self._at, '<<', len(self._uses))
        heredoc.command.heredocs.append(body)
        self._depth += not heredoc.quoted
        while self._more:
            if heredoc.quoted:
                if not self._place('literal'):
                    self._take()
            elif self._is('\\'):
                self._backslash('here')
            elif not self._expansion('here'):
                self._take()
        self._depth -= not heredoc.quoted
        body.last, body.end = len(self._uses), self._at
        self._tail = outer
        if not ended:
            return
        text = ''.join(self._out[index:])
        lines = {*text.split('\n'), *text.replace('\\\n', '').split('\n')}
        delimiter = heredoc.delimiter
        # Within `$(…)`, bash ends a heredoc at a line that only begins with the delimiter, if a
        # bracket follows.
        while text and any(line.startswith(delimiter) for line in lines):
            # else a value that holds this line would end the text, and what follows in it would be
            # run
            delimiter += '_'
        if delimiter != heredoc.delimiter:
            self._out[heredoc.place] = _single_quoted(delimiter) if heredoc.quoted else delimiter
        end = self._text.find('\n', self._at, self._end)
        self._at = self._end if end < 0 else end + 1
        self._out.append(delimiter + '\n' * (end >= 0))

    def _cut(self, heredoc: _Heredoc) -> tuple[int, bool]:
        """Find the line that ends a here-document; return its place, and if it exists."""
        lines = self._text[self._at : self._end].split('\n')
        kept: list[str] = []
        whole: list[str] = []  # a line that goes on after a backslash is one line
        for number, line in enumerate(lines, 1):
            whole.append(line.lstrip('\t') if heredoc.tabs and not whole else line)
            if not heredoc.quoted and (len(line) - len(line.rstrip('\\'))) % 2:
                continue
            if '\n'.join(whole).replace('\\\n', '') == heredoc.delimiter:
                body = ''.join(f'{line}\n' for line in kept)
                self._text = (
                    self._text[: self._at]
                    + body
                    + '\n'.join([heredoc.delimiter, *lines[number:]])
                    + self._text[self._end :]
                )
                return self._at + len(body), True
            kept += whole
            whole = []
        return self._end, False


def run(template: str, values: Mapping[str, Any]) -> str:
    """Run commands with values filled in; pass their stdout on, and return it.

    Parameters
    ----------
    template : str
        See :func:`placeholders`.
    values : mapping

    Returns
    -------
    out : str
        Without the last line's end.

    Raises
    ------
    CommandFailed
        The shell's exit status is not 0.
    """
    decoder = codecs.getincrementaldecoder('utf-8')('backslashreplace')
    pieces: list[str] = []

    def pass_on(data: bytes) -> None:
        pieces.append(decoder.decode(data, final=not data))
        sys.stdout.write(pieces[-1])
        sys.stdout.flush()

    call(fill(template, values), pass_on)
    return ''.join(pieces).removesuffix('\n')
