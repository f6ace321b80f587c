"""Find the values that stand in programs of other languages within commands.

``awk "… {x} …"``, ``python -c``, ``sed`` and ``bc`` read their argument, or their input, as a
program. The shell's quotes keep a value together, and mean nothing to them. Such a value may be a
number or a name, or, within a string of that program, what neither ends the string nor is expanded
in it. Values of other kinds have to be arguments.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import NamedTuple

__all__ = ['Command', 'Limit', 'Use', 'Word', 'find_limits']

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
ASSIGNMENT = re.compile(r'([A-Za-z_]\w*)(?:\[[^\]]*\])?\+?=')
_QUOTES = re.compile(r"""\\(.)|'([^']*)'?|"((?:\\.|[^"\\])*)"?|\$(?=['"])""", re.DOTALL)
_ESCAPED = re.compile(r'\\([$`"\\\n])')
_VERSION = re.compile(r'[-\d.]+$')
_READERS = frozenset(('read', 'mapfile', 'readarray', 'getopts', 'select', 'printf'))
CLOSERS = frozenset(('done', 'fi', 'esac', '}'))
"""Words that end a compound command."""
_PROGRAM_VARIABLE = re.compile(r'\$\{{0,2}([A-Za-z_]\w*)\}{0,2}')
_REPLACED = re.compile(r'-I(.*)|-i(.*)|--replace(?:=(.*))?')
_POSITIONAL = re.compile(r'[0-9@*]+')
ANY = ''  # stands for every value


_Around = tuple[str, str]
_UNKNOWN: _Around = '', ''


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
        What writes to its input.
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


class _Input(Enum):
    """Cases in which a program is read from the standard input."""

    NEVER = 0
    WITHOUT_FILE = 1
    ALWAYS = 2


class Language(NamedTuple):
    """Rules by which an interpreter gets its program."""

    name: str
    code: str = r'(?!)'
    """Pattern of options before code, also without a blank between."""
    takes: str = r'(?!)'
    """Pattern of options that take another word."""
    files: str = r'(?!)'
    """Pattern of options that name a file of code."""
    operands: slice = slice(0, 0)
    """The arguments that are code, where no option says so."""
    modules: str = r'(?!)'
    """Pattern of options before the name of a module, which is read as code."""
    stdin: _Input = _Input.WITHOUT_FILE
    quotes: str = '\'"'
    comment: str = '#'
    has_names: bool = True
    """Names alone cannot do anything."""
    substitutes: bool = False
    """It has ``s/…/…/``."""
    is_shell: bool = False
    """True where it reads commands of a shell."""
    opens: bool = False
    """It runs a command where an argument is no file but ``command |``."""
    advice: str = 'Pass it as an argument of that program'


_ARGV = 'Pass it as an argument, and take it from '
_LANGUAGES = {
    'awk': Language(
        'awk', '-e|--source=?', '-[vF]|--assign|--field-separator', '-f|--file', slice(0, 1),
        stdin=_Input.NEVER, quotes='"',
        advice='Pass it as a variable: awk -v {name}={{{name}}}',
    ),
    'perl': Language(
        'perl', '-[a-zA-Z0-9]*?[eE]', '-[IF]', modules='-[mM]', has_names=False,
        substitutes=True, opens=True, advice=_ARGV + '$ARGV[0]',
    ),
    'python': Language('python', '-[a-zA-Z]*?c', '-[WX]', '-m', advice=_ARGV + 'sys.argv[1]'),
    'ruby': Language(
        'ruby', '-[a-zA-Z0-9]*?e', '-[IC]', modules='-r', opens=True, has_names=False,
        advice=_ARGV + 'ARGV[0]',
    ),
    'node': Language(
        'node', '-(?:p?e|p)|--eval=?|--print=?', '-r|--require', comment='//',
        advice=_ARGV + 'process.argv[1]',
    ),
    'lua': Language('lua', '-e', '-l', comment='--', advice=_ARGV + 'arg[1]'),
    'php': Language('php', '-[rBRE]', '-d', has_names=False, advice=_ARGV + '$argv[1]'),
    'julia': Language(
        'julia', '-[eE]|--eval=?|--print=?', '-[LptC]', quotes='"', advice=_ARGV + 'ARGS[1]',
    ),
    'R': Language('R', '-e', '-[fg]', stdin=_Input.ALWAYS, advice=_ARGV + 'commandArgs()'),
    'Rscript': Language('Rscript', '-e', advice=_ARGV + 'commandArgs(TRUE)'),
    'octave': Language(
        'octave', '--eval=?', '-p|--path', quotes='"', comment='%', advice=_ARGV + 'argv()',
    ),
    'matlab': Language('matlab', '-batch|-r', quotes='"', comment='%'),
    'idl': Language('idl', '-e', comment=';'),
    'sage': Language('sage', '-c', advice=_ARGV + 'sys.argv[1]'),
    'root': Language('root', '-e', operands=slice(0, None), comment='//'),
    'gnuplot': Language(
        'gnuplot', '-e', has_names=False,
        advice='Pass it as an argument, and take it from ARG1: gnuplot -c',
    ),
    'tclsh': Language('tclsh', '-c', has_names=False, advice=_ARGV + '$argv'),
    'bc': Language('bc', '-e', stdin=_Input.ALWAYS, quotes='"'),
    'dc': Language('dc', '-e|--expression=?', stdin=_Input.ALWAYS, quotes='', has_names=False),
    'sed': Language(
        'sed', '-[nErsz]*e|--expression=?', '-l', '-[nErsz]*f|--file', slice(0, 1),
        stdin=_Input.NEVER, quotes='', comment='', has_names=False,
        substitutes=True,
        advice='Use a program that takes values as arguments, as awk -v {name}={{{name}}}',
    ),
    'jq': Language(
        'jq', takes='--indent|-L|--tab', files='-f|--from-file', operands=slice(0, 1),
        stdin=_Input.NEVER, quotes='"',
        advice='Pass it as a variable: jq --arg {name} {{{name}}}',
    ),
    'sqlite3': Language(
        'sqlite3', '-cmd', '-(?:separator|nullvalue|newline|init)', operands=slice(1, None),
        stdin=_Input.ALWAYS, comment='--',
    ),
    'psql': Language(
        'psql', '-[A-Za-z]*c|--command=?', '-[hpUdvFPo]', '-f', stdin=_Input.ALWAYS,
        comment='--', advice='Pass it as a variable: psql -v',
    ),
    'mysql': Language('mysql', '-e|--execute=?', '-[hPuD]', stdin=_Input.ALWAYS),
    'ed': Language(
        'ed', stdin=_Input.ALWAYS, quotes='', comment='', has_names=False, substitutes=True,
    ),
    'm4': Language('m4', '-D', stdin=_Input.ALWAYS, quotes=''),
    'gdb': Language('gdb', '-ex|-eval-command', has_names=False),
    'make': Language(
        'make', '--eval=?', '-[Cjlo]', '-f', slice(0, None), stdin=_Input.NEVER, quotes='',
        comment='', is_shell=True,
    ),
    'sbatch': Language('sbatch', '--wrap=?', stdin=_Input.WITHOUT_FILE, is_shell=True),
    'at': Language('at', '-t', '-[fq]', stdin=_Input.ALWAYS, is_shell=True),
    'crontab': Language('crontab', '-u', stdin=_Input.ALWAYS, is_shell=True),
    'env': Language('env', '-[vi]*S|--split-string=?', '-[uC]', stdin=_Input.NEVER, is_shell=True),
    'ssh': Language(
        'ssh', '(?!)', '-[bcDEeFIiJLlmOopQRSWw]', operands=slice(1, None), is_shell=True,
        advice='Copy a script there, and give it arguments',
    ),
    'tmux': Language('tmux', operands=slice(1, None), stdin=_Input.NEVER, is_shell=True),
    'parallel': Language('parallel', '(?!)', '-[jaIN]', operands=slice(0, 1), is_shell=True),
}  # fmt: skip
# Names that are hardly ever words of something else; others count where a command begins.
_CLEAR_NAMES = frozenset(
    (
        'awk',
        'perl',
        'python',
        'ruby',
        'julia',
        'Rscript',
        'octave',
        'matlab',
        'gnuplot',
        'sed',
        'jq',
        'sqlite3',
        'psql',
        'mysql',
    )
)
WRAPPERS = frozenset(
    (
        'sudo', 'nohup', 'time', 'exec', 'command', 'builtin', 'env', 'nice', 'ionice', 'timeout',
        'setsid', 'stdbuf',
        'xargs', 'parallel', 'srun', 'mpirun', 'mpiexec', 'ssh', 'run', 'shifter', '-exec',
        '-execdir', '-ok', 'coproc',
    )
)  # fmt: skip
_OPENED = Language('perl', is_shell=True, advice='Read that file by: perl ... < file')
_ALIASES = {
    'gawk': 'awk', 'mawk': 'awk', 'nawk': 'awk', 'pypy': 'python', 'ipython': 'python',
    'jython': 'python', 'nodejs': 'node', 'bun': 'node', 'deno': 'node', 'luajit': 'lua',
    'gsed': 'sed', 'ssed': 'sed', 'yq': 'jq', 'gojq': 'jq', 'jaq': 'jq', 'mariadb': 'mysql',
    'duckdb': 'sqlite3', 'sqlite': 'sqlite3', 'expect': 'tclsh', 'wish': 'tclsh', 'gdl': 'idl',
    'wolframscript': 'matlab', 'math': 'matlab', 'maxima': 'matlab', 'gp': 'bc', 'ex': 'ed',
    'red': 'ed', 'gmake': 'make', 'batch': 'at', 'sftp': 'ed', 'ftp': 'ed', 'lftp': 'ed',
    'scala': 'node', 'ghci': 'lua', 'jshell': 'node', 'sqlplus': 'psql', 'rsh': 'ssh',
    'screen': 'tmux', 'octave-cli': 'octave', 'littler': 'R', 'r': 'R', 'topcat': 'jq',
}  # fmt: skip


def find_limits(
    text: str, uses: Sequence[Use], commands: Iterable[Command]
) -> dict[str, list[Limit]]:
    """Return limits of values by name; those of the empty name hold for all values.

    Parameters
    ----------
    text : str
        The commands.
    uses : sequence of Use
        In the order of the text.
    commands : iterable of Command
    """
    all_commands = list(commands)
    origins = Origins(text, uses, all_commands)
    limits: dict[str, list[Limit]] = {}
    for command in all_commands:
        for language, use, around in _program_parts(text, uses, command, origins):
            for name in origins.values_of(use):
                limits.setdefault(name, []).append(Limit(language, *around))
    return limits


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


def unquoted(raw: str) -> str:
    """Return what the shell makes of a word's quotes."""

    def plain(match: re.Match[str]) -> str:
        escaped, single, double = match.groups()
        if double is not None:
            return _ESCAPED.sub(r'\1', double)
        return single if single is not None else escaped or ''

    return _QUOTES.sub(plain, raw)


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


def _program_parts(
    text: str, uses: Sequence[Use], command: Command, origins: Origins
) -> Iterator[tuple[Language, Use, _Around]]:
    """Yield the uses that stand in programs, with what is before them there."""
    arguments = [word for word in command.words if not word.role]
    for index, word in enumerate(arguments):
        language = _language_of(origins.program_of(unquoted(word.text)))
        if language is None or not (language.name in _CLEAR_NAMES or _begins(arguments[:index])):
            continue
        call = _parse_call(language, arguments[index + 1 :])
        for part in call.code:
            for use in uses[part.first : part.last]:
                yield language, use, _around(text, part, use, command.level)
        for part in call.opened:
            yield from ((_OPENED, use, _UNKNOWN) for use in uses[part.first : part.last])
        if call.reads_files or (call.reads_input and not call.code):
            processes = [part for part in command.words if part.role == '(']
            yield from (
                (language, use, _UNKNOWN)
                for part in processes
                for use in uses[part.first : part.last]
            )
        if call.reads_input:
            yield from ((language, use, around) for use, around in _input_of(text, uses, command))
        elif _is_put_in(arguments[:index], call):
            yield from ((language, use, _UNKNOWN) for use, _ in _input_of(text, uses, command))


def _begins(before: Sequence[Word]) -> bool:
    """Return True if a command begins behind these words."""
    names = [unquoted(word.text) for word in before]
    return all(map(ASSIGNMENT.match, names)) or any(
        os.path.basename(name) in WRAPPERS for name in names
    )


def _is_put_in(before: Sequence[Word], call: _Call) -> bool:
    """Return True where `xargs` puts its input into the code."""
    names = [unquoted(word.text) for word in before]
    if 'xargs' not in map(os.path.basename, names):
        return False
    marks = [
        match[1] or after
        for name, after in zip(names, [*names[1:], ''], strict=True)
        if (match := _REPLACED.fullmatch(name))
    ]
    return call.is_open or any(mark in unquoted(word.text) for mark in marks for word in call.code)


def _language_of(word: str) -> Language | None:
    base = os.path.basename(word)
    for name in (base, _VERSION.sub('', base)):
        if language := _LANGUAGES.get(_ALIASES.get(name, name)):
            return language
    return None


def _around(text: str, word: Word, use: Use, level: int) -> tuple[str, str]:
    """Return the program before and after a use."""
    if use.level != level:
        return (
            '',
            '',
        )  # of what another command prints into a program it is not known where that lands
    after = text[use.at : word.end]
    after = after[after.find('}') + 1 :] if use.is_value else ''
    if word.role == '<<':
        return _ESCAPED.sub(r'\1', text[word.start : use.at]), _ESCAPED.sub(r'\1', after)
    before = unquoted(text[word.start : use.at])
    return before, unquoted(text[word.start : use.at] + after)[len(before) :]


class _Call(NamedTuple):
    """Parts of a call of an interpreter."""

    code: list[Word]
    reads_input: bool
    """More of its program comes from its input."""
    reads_files: bool
    """An option names a file of code."""
    is_open: bool
    """The code is still to come."""
    opened: list[Word]
    """The arguments that are opened, where that may run a command."""


def _parse_call(language: Language, arguments: Sequence[Word]) -> _Call:
    code: list[Word] = []
    operands: list[Word] = []
    has_program = reads_files = loops = False
    pending = ''
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        plain = unquoted(word.text)
        if pending:
            code += [word] if pending == 'code' else []
            pending = ''
        elif len(plain) > 1 and plain[0] == '-' and plain != '--':
            if match := re.match(language.code, plain):
                has_program = True
                loops |= any(letter in match[0] for letter in 'np')
                pending = 'code' if match.end() == len(plain) and not plain.endswith('=') else ''
                code += [] if pending else [word]
            elif re.match(language.modules, plain):
                code.append(word)
            elif re.fullmatch(language.files, plain):
                has_program = reads_files = True
                pending = 'file'
            elif re.fullmatch(language.takes, plain):
                pending = 'other'
        elif plain != '--':
            operands.append(word)
            if language.operands == slice(0, 0):
                has_program |= plain != '-'
                operands += rest  # the arguments of a file of code, or of the code, are its own
                break
    if not has_program or language.is_shell:
        code += operands[language.operands]
    is_open = pending == 'code' or not (code or has_program)
    inputs = language.stdin is _Input.ALWAYS or (
        language.stdin is _Input.WITHOUT_FILE and not has_program and not code
    )
    loops |= any('<>' in word.text for word in code)
    return _Call(code, inputs, reads_files, is_open, operands if language.opens and loops else [])


def _input_of(text: str, uses: Sequence[Use], command: Command) -> Iterator[tuple[Use, _Around]]:
    for word in [*command.heredocs, *(word for word in command.words if word.role == '<<<')]:
        for use in uses[word.first : word.last]:
            yield use, _around(text, word, use, command.level)
    source = command.source
    if source is None:
        return
    yield from _input_of(text, uses, source)
    if source.is_compound:
        yield from ((use, _UNKNOWN) for use in uses[source.first : source.end])
    for word in source.words:
        for use in uses[word.first : word.last]:
            yield use, _around(text, word, use, source.level)


def first_refused(limits: Mapping[str, Sequence[Limit]], name: str, text: str) -> Limit | None:
    """Return the limit that a value does not keep, if there is one."""
    return next(
        (limit for limit in (*limits.get(name, ()), *limits.get(ANY, ())) if not limit.holds(text)),
        None,
    )
