"""Parse the line of ``%%desipipe`` and that of ``%desipipe use``."""

from __future__ import annotations

import argparse
import ast
import functools
from typing import Any, NoReturn

from ..errors import CellError, UnknownOptionError, close_names
from ..utils import sentence
from .option_types import seconds, state, whole

_OPEN = {'(': ')', '[': ']', '{': '}'}


def split(line: str) -> list[str]:
    """Split a line at blanks, and keep Python expressions whole.

    Blanks within brackets and quotes separate nothing; a comment ends the line.

    Parameters
    ----------
    line : str

    Returns
    -------
    parts : list of str
        A word that is quoted as a whole comes without its quotes.

    Raises
    ------
    CellError
        A quote or bracket is not closed.
    """
    parts: list[str] = []
    word = ''
    quote = ''
    closing: list[str] = []
    for i, letter in enumerate(line):
        if quote:
            word += letter
            if letter == quote and line[i - 1] != '\\':
                quote = ''
        elif letter in '\'"':
            quote = letter
            word += letter
        elif letter.isspace() and not closing:
            if word:
                parts.append(word)
            word = ''
        elif letter == '#' and not word:
            break
        else:
            if letter in _OPEN:
                closing.append(_OPEN[letter])
            elif closing and letter == closing[-1]:
                closing.pop()
            word += letter
    if quote or closing:
        raise CellError(f'{line.strip()!r}: {quote or closing[-1]} is missing. Nothing was added.')
    if word:
        parts.append(word)
    return [
        word[1:-1]
        if len(word) > 1 and word[0] == word[-1] and word[0] in '\'"' and word[0] not in word[1:-1]
        else word
        for word in parts
    ]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise CellError(
            f'{message[:1].upper()}{message[1:]}. Nothing was added. Options: {self.prog}?'
        )

    def unknown(self, arguments: list[str]) -> NoReturn:
        word = arguments[0].split('=')[0]
        options = [option for action in self._actions for option in action.option_strings]
        if word.startswith('-'):
            raise UnknownOptionError(
                f'{self.prog} has no option {word}: {sentence(close_names(word, options, 20))} '
                'Nothing was added.'
            )
        self.option(arguments[0])
        self.sweep(arguments[0])
        raise CellError(
            f'{self.prog}: Unexpected argument {word!r}. Nothing was added. Quote text that has '
            'blanks.'
        )

    def option(self, word: str) -> None:
        """Refuse an option that is written like an argument of Python: ``workers=2``."""
        name, equals, value = word.partition('=')
        option = f'--{name.replace("_", "-")}'
        if equals and option in self._option_string_actions:
            raise CellError(
                f'{word!r} is no option. Nothing was done. Did you mean {option} {value}?'
            )

    def sweep(self, word: str) -> None:
        """Refuse a sweep where a name is meant: a second one after one ``--for``."""
        if '=' in word:
            raise CellError(
                f'{self.prog}: {word!r} is no name of a task. Nothing was added. If it is a sweep, '
                f'write --for {word}'
            )


def _sweep(text: str) -> tuple[str, str]:
    name, equals, expression = text.partition('=')
    name = name.strip()
    if not equals or not name.isidentifier() or not expression.strip():
        raise argparse.ArgumentTypeError(
            f'{text!r} is no sweep: write name=values, as in seed=range(20)'
        )
    return name, expression.strip()


def _names(groups: list[list[str]]) -> list[str]:
    return [name for group in groups for word in group for name in word.split(',') if name]


@functools.cache
def cell_parser() -> argparse.ArgumentParser:
    """Return the parser of the line of ``%%desipipe``.

    Returns
    -------
    parser : argparse.ArgumentParser
    """
    parser = _Parser(
        prog='%%desipipe',
        allow_abbrev=False,
        add_help=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    help_text = 'name of the task (default: its first output)'
    add('title', nargs='?', default='', metavar='NAME', help=help_text)
    _add_sweeps(parser)
    help_text = 'names that become futures (default: the last assigned)'
    add('--out', action='append', nargs='+', default=[], metavar='NAME', help=help_text)
    help_text = 'run the cell in the shell; {name} is filled in, quoted'
    add('--bash', action='store_true', help=help_text)
    help_text = 'take existing tasks of this name, whatever their code'
    add('--name', nargs='?', const=True, default=None, metavar='NAME', help=help_text)
    add('--state', type=state, metavar='STATE', help='only tasks in this state, with --name')
    add('--skip', action='store_true', help='do nothing')
    _add_attempts(parser)
    add('--priority', type=int, default=0, metavar='N', help='larger values run first')
    add('--tm', metavar='NAME', help='task manager of the notebook to use instead')
    add('--wait', action='store_true', help='wait until the tasks have ended')
    help_text = 'explain what would be computed, and add nothing'
    add('--dry-run', action='store_true', help=help_text)
    return parser


def _add_sweeps(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--for',
        dest='sweeps',
        action='append',
        default=[],
        type=_sweep,
        metavar='NAME=VALUES',
        help='add a task for each value (several: the product)',
    )
    parser.add_argument('--zip', action='store_true', help='pair the sweeps instead of the product')


def _add_attempts(parser: argparse.ArgumentParser) -> None:
    help_text = 'longest time one attempt may take'
    parser.add_argument('--timeout', type=seconds, metavar='SECONDS', help=help_text)
    help_text = 'number of further attempts after a failure'
    parser.add_argument('--retries', type=whole, default=0, metavar='N', help=help_text)
    help_text = 'exceptions and states to try again (default: all)'
    parser.add_argument('--retry-on', nargs='+', default=(), metavar='NAME', help=help_text)


def parse_cell(line: str) -> argparse.Namespace:
    """Read the line of ``%%desipipe``.

    Raises
    ------
    CellError, UnknownOptionError
        Saying what is wrong with it.
    """
    parser: Any = cell_parser()
    args, unknown = parser.parse_known_args(split(line))
    if unknown:
        parser.unknown(unknown)
    parser.sweep(args.title)
    args.out = _names(args.out)
    args.sweeps = dict(args.sweeps)
    if args.state and not args.name:
        parser.error(
            f'--state {args.state} chooses among the tasks of --name, and there is no --name'
        )
    return args  # type: ignore[no-any-return]


def parse_use(arguments: list[str]) -> tuple[argparse.Namespace, dict[str, Any]]:
    """Read what ``%desipipe use`` is told.

    Returns
    -------
    args : argparse.Namespace
    options : dict
        What is left: options of the provider.

    Raises
    ------
    CellError, UnknownNameError, UnknownOptionError
        Saying what is wrong with it.
    """
    parser = _Parser(prog='%desipipe use', allow_abbrev=False, add_help=False)
    add = parser.add_argument
    add('queue', nargs='?', metavar='QUEUE')
    add('--workers', type=whole, metavar='N')
    add('--provider')
    add('--scheduler')
    add('--environ')
    add('--base-dir')
    add('--no-spawn', action='store_true')
    args, rest = parser.parse_known_args(arguments)
    options: dict[str, Any] = {}
    while rest:
        word = rest.pop(0)
        if not word.startswith('--'):
            parser.unknown([word])
        key, equals, text = word[2:].partition('=')
        if not equals:
            text = rest.pop(0) if rest and not rest[0].startswith('--') else 'true'
        options[key.replace('-', '_')] = _value(text)
    if options:
        _check_options(parser, args.provider, options)
    return args, options


def _check_options(
    parser: argparse.ArgumentParser, name: str | None, options: dict[str, Any]
) -> None:
    from ..provider import Provider

    # The provider knows its own options only, and what was mistyped may be one of ours.
    provider = Provider(name)
    declared = [option for action in parser._actions for option in action.option_strings] + [
        f'--{key.replace("_", "-")}' for key in provider.defaults
    ]
    for key in options:
        if key not in provider.defaults:
            word = f'--{key.replace("_", "-")}'
            more = (
                f' If it is one of the batch system itself: --kwargs {word[2:]}=VALUE'
                if 'kwargs' in provider.defaults
                else ''
            )
            raise UnknownOptionError(
                f'{parser.prog} has no option {word}, nor has provider {provider.label}: '
                f'{sentence(close_names(word, declared, 40))} Nothing was changed.{more}'
            )


def _value(text: str) -> Any:
    if text.startswith('{'):
        try:
            return ast.literal_eval(text)
        except (SyntaxError, ValueError):
            raise CellError(
                f'{text} is no dictionary. Nothing was changed. Write it as in '
                "\"{'partition': 'debug'}\", with the quotes."
            ) from None
    if text.lower() in ('true', 'false'):
        return text.lower() == 'true'
    try:
        return int(text)
    except ValueError:
        return text
