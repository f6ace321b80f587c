"""The parser of all verbs."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection, Sequence
from importlib import import_module

from .common import Parser, RawHelpFormatter, Verbs
from .habits import QUEUE_OPTIONS, find_verb, put_verb_first, take_queue

_DESCRIPTION = (
    'Pipelines from notebooks: tasks in a durable queue on a shared filesystem,\n'
    'run by workers anywhere.'
)
VERBS = {
    'show': 'status',
    'queue_list': 'queues',
    'following': 'watch',
    'serving': 'serve',
    'tasks': 'tasks explain logs',
    'times': 'time',
    'change': 'pause resume retry cancel forget delete compact',
    'addition': 'add accept',
    'sharing': 'trust share unshare',
    'processes': 'spawn resize work',
    'kill': 'kill',
    'files': 'files',
    'notebooks': 'run plan',
    'records': 'record verify',
    'imports': 'import',
    'doctor': 'doctor',
    'new': 'new',
    'first_steps': 'demo completion',
}
"""The verbs that each module declares."""
_OTHER_PROGRAMS = {
    'queues, tasks': 'list ls',
    'status, tasks': 'info jobs ps show squeue sacct',
    'tasks --state FAILED': 'error errors fail failed failures',
    'status, watch': 'monitor progress top workers',
    'logs': 'cat out output print tail',
    'explain': 'describe diff why',
    'spawn': 'launch manager sbatch start submit',
    'resize': 'scale',
    'pause, cancel, kill': 'abort end scancel stop',
    'retry': 'redo rerun reset restart',
    'forget, delete': 'clean clear drop purge remove rm',
    'new': 'create init',
    'record': 'export save',
    'doctor': 'check diagnose',
}
"""Verbs, each with the words that other programs have for what it does."""
_EPILOG = """QUEUE is the name of a queue in your queue folder, user/name for that of another
user, or a path (./folder/name). Some verbs take several names, or a quoted
pattern ('test*').

Example:
  desipipe demo                        see it work
  desipipe new my_project              begin with a notebook that runs
  desipipe status -q my_queue          how far is it?
  desipipe watch -q my_queue           the same, live
  desipipe retry --help                options of a verb, with an example
"""


def build_parser(prog: str = 'desipipe', *more: Callable[[Verbs], None]) -> Parser:
    """The parser of all verbs.

    Parameters
    ----------
    prog : str, default='desipipe'
        What one types before a verb.
    *more : callable
        What declares the verbs that a face has beyond these.

    Returns
    -------
    parser : argparse.ArgumentParser
        After ``parse_args``, ``handler(args)`` does what was asked and returns the exit status (or
        ``None``: 0).
    """
    return _parser(prog, *map(_register_of, VERBS), *more)


def _parser(prog: str, *registers: Callable[[Verbs], None]) -> Parser:
    parser = Parser(
        prog=prog,
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=RawHelpFormatter,
    )
    parser.add_argument('--version', action='store_true', help='print the version and exit')
    verbs = Verbs(parser)
    for register in registers:
        register(verbs)
    return parser


def parser_for(argv: list[str]) -> Parser:
    """Return the parser of the asked verb and its neighbours.

    To declare all verbs takes longer than `status`.
    """
    names = {verb: module for module, verbs in VERBS.items() for verb in verbs.split()}
    position = find_verb(argv, names)
    module = None if position is None else names[argv[position].lower()]
    if module is None:
        return build_parser()
    return _parser('desipipe', _register_of(module))


def _register_of(module: str) -> Callable[[Verbs], None]:
    register: Callable[[Verbs], None] = import_module(f'{__package__}.{module}').register
    return register


def parse(argv: Sequence[str], parser: Parser) -> argparse.Namespace:
    """Return the arguments of a verb.

    What is mistyped ends in ``SystemExit``, with the nearest words on the standard error.

    Parameters
    ----------
    argv : sequence of str
    parser : argparse.ArgumentParser
        Of :func:`build_parser`.

    Returns
    -------
    args : argparse.Namespace
    """
    verbs = Verbs.of(parser)
    argv = put_verb_first(argv, verbs)
    if (word := _unknown_verb(argv, verbs)) is not None:
        parser.error(f'there is no verb {word!r}: {_near_verbs(word, verbs)}')
    args, extra = parser.parse_known_args(argv)
    if args.verb:
        extra = take_queue(args, extra, argv[1:], verbs[args.verb])
        if extra:
            verbs[args.verb].refuse(extra)
    elif not args.version:
        parser.error('no verb was given')
    for name in ('state', 'property', 'name', 'tid', 'mid', 'jobid', 'mode'):
        if getattr(args, name, None) == []:
            setattr(args, name, None)  # an option without values asks for nothing
    return args


def _unknown_verb(argv: Sequence[str], verbs: Collection[str]) -> str | None:
    """Return the word that stands where a verb would."""
    if not argv or argv[0] in verbs:
        return None
    if not argv[0].startswith('-'):
        return argv[0]
    candidates = [
        word
        for option, word in zip(argv, argv[1:], strict=False)
        if not word.startswith('-') and option not in QUEUE_OPTIONS
    ]
    return candidates[0] if candidates else None


def _near_verbs(word: str, verbs: Collection[str]) -> str:
    from ..errors import close_names

    for near, others in _OTHER_PROGRAMS.items():
        if word.lower() in others.split():
            return f'did you mean {near}?'
    return close_names(word, verbs, n=len(verbs))


def summaries() -> dict[str, str]:
    """Return the verbs, each with the line that describes it."""
    return Verbs.summaries(build_parser())
