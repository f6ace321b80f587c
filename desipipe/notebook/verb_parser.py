"""The parser of `%desipipe`: the verbs of the command line, and `use`."""

from __future__ import annotations

import argparse
import contextlib
import io
from collections.abc import Sequence
from functools import cache

from ..cells.option_types import positive
from ..cells.options import cell_parser
from ..commands.common import Parser, Verbs, add_queue
from ..commands.habits import find_verb
from ..commands.parser import build_parser, parse
from ..errors import DesipipeError
from ..utils import system_error_text
from .commands import PROG, typed
from .verb_output import CommandError

_DESCRIPTION = 'Pipelines from notebooks: the verbs of the command line, here.'
_EPILOG = """-q QUEUE may be left out: the queue of this notebook is meant. It may also be the name
of a variable that holds a queue, and TASK that of a variable that holds a future. With --json the
result is a Python object.
A cell becomes a task with %%desipipe, see: %%desipipe?

Example:
  %desipipe use my_queue --workers 4   the queue of this notebook
  %desipipe status                     how far is it?
  %desipipe watch                      the same, live, until nothing is left
  failed = %desipipe tasks --state FAILED --json
  %desipipe retry --help               options of a verb, with an example
"""


def overview() -> str:
    """Return what ``%desipipe`` alone prints: all verbs.

    Returns
    -------
    text : str
    """
    return typed(verb_parser().format_help())


def error_text(exc: Exception) -> str:
    """Return the message of an error as one reads it in a notebook."""
    if isinstance(exc, DesipipeError):
        return str(exc)
    if isinstance(exc, OSError):
        return system_error_text(exc)
    return (
        f'{type(exc).__name__}: {exc}\nThis should not happen; please report it with what you '
        'typed, and what it prints with --debug'
    )


# Words


@cache
def verb_parser() -> Parser:
    """Return the parser of all verbs of the magic."""
    parser = build_parser(PROG, _register)
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    for action in Verbs.of(parser)['plan']._actions:
        if action.dest == 'notebook':
            action.nargs, action.required = '?', False  # see `_notebook_file`
    for verb in Verbs.of(parser).values():
        for action in verb._actions:
            if action.dest == 'queue':
                action.required = False  # see `_resolve`
    return parser


def _register(verbs: Verbs) -> None:
    """Declare the verbs that only a notebook has."""
    parser = verbs.add(
        'monitor',
        _elsewhere,
        'a panel that follows a queue, with buttons',
        'It is what a queue looks like as the last line of a cell, too.',
        '%desipipe monitor',
    )
    add_queue(parser)
    # The magic itself does it, as it changes what the magic knows; here it is declared, so that it
    # is listed, helped with and completed.
    parser = verbs.add(
        'use',
        _elsewhere,
        'choose the queue and the workers of this notebook',
        (
            'Cells of this notebook add their tasks to this queue. Further options are '
            'those of the provider.'
        ),
        '%desipipe use my_queue --workers 4',
        '%desipipe use my_queue --provider slurm --time 00:30:00 --nodes-per-worker 1',
    )
    parser.add_argument(
        'name', nargs='?', metavar='QUEUE', help='name of the queue, created if there is none'
    )
    parser.add_argument('--workers', type=positive, metavar='N', help='maximum of concurrent tasks')
    parser.add_argument('--provider', metavar='NAME', help='provider that starts the workers')
    parser.add_argument(
        '--scheduler', metavar='NAME', help='scheduler that decides how many workers there are'
    )
    parser.add_argument('--environ', metavar='NAME', help='environment of the workers')
    parser.add_argument('--base-dir', metavar='DIR', help='folder that holds the queue')
    parser.add_argument(
        '--no-spawn', action='store_true', help='start no manager with the first task'
    )


def parse_verb(argv: Sequence[str]) -> argparse.Namespace | None:
    """Parse a verb and its options; None after its help was printed."""
    err = io.StringIO()
    try:
        with contextlib.redirect_stderr(err):
            return parse(argv, verb_parser())
    except SystemExit as exc:  # which would end the kernel
        if not exc.code:
            return None
        message = err.getvalue().strip().removeprefix(f'{PROG}: ')
        raise CommandError(message + _as_cell(argv)) from None


def _as_cell(argv: Sequence[str]) -> str:
    """Return what begins a task cell, if that may be what was meant; else nothing."""
    options = cell_parser()._option_string_actions
    verb = find_verb(argv, Verbs.of(verb_parser()))
    if verb is not None or not (argv[0] in options or set(argv[1:]) & options.keys()):
        return ''
    return f' To make a task of a cell, begin it with:\n%{PROG} {" ".join(argv)}'


def _elsewhere(args: argparse.Namespace) -> None:
    raise CommandError(f'{args.verb} is for notebooks: make it known with %load_ext desipipe')
