"""The command line: ``desipipe <verb> -q QUEUE [options]``.

Nothing but :mod:`argparse` is imported before it is known what is asked for: a worker, a shell completion and ``--help`` pay for nothing else.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from .common import Parser, Verbs, visible_streams

__all__ = ['build_parser', 'main', 'parse']

_DESCRIPTION = 'Pipelines from notebooks: tasks in a durable queue on a shared filesystem, run by workers anywhere.'
_EPILOG = """QUEUE is the name of a queue in your queue folder, user/name for that of someone else, or a path
(./folder/name). Where several make sense it may be several names, or a quoted pattern ('test*').

Example:
  desipipe demo                        see it work
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
        After ``parse_args``, ``handler(args)`` does what was asked and returns the exit status (or ``None``: 0).
    """
    from . import change, doctor, files, look, processes, records, tour

    return _parser(prog, *(module.register for module in (look, change, processes, files, records, doctor, tour)), *more)


def _parser(prog: str, *registers: Callable[[Verbs], None]) -> Parser:
    parser = Parser(prog=prog, description=_DESCRIPTION, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--version', action='store_true', help='print the version and exit')
    verbs = Verbs(parser)
    for register in registers:
        register(verbs)
    return parser


def _parser_for(argv: list[str]) -> Parser:
    """The parser of all verbs, or, of a worker, which somebody waits for, that of its own few."""
    if argv[:1] and argv[0].lower() == 'work':
        from . import processes

        return _parser('desipipe', processes.register)
    return build_parser()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, default=None
        Arguments; by default those of the process.

    Returns
    -------
    status : int
        0: done; 1: what was looked at is not as it should be (:command:`watch`, :command:`doctor`); 2: it could not be done, the message says why;
        130: Ctrl-C.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, 'reconfigure'):
            stream.reconfigure(errors='replace')  # a terminal that has no ✓ gets a ?, not a traceback
    if argv[:1] == ['__complete']:
        from .completion import complete

        return complete(argv[1:], build_parser())
    with visible_streams():
        return _main(argv)


def _main(argv: list[str]) -> int:
    try:
        return _run(argv)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Who read our output (head, less) has seen enough. What is still buffered has nowhere to go, and must not raise again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except SystemExit as exc:  # argparse: --help, or a mistyped option
        return exc.code if isinstance(exc.code, int) else 2
    except Exception as exc:
        if '--debug' in argv or os.environ.get('DESIPIPE_DEBUG', '') not in ('', '0'):
            import traceback

            traceback.print_exc()
            return 1
        return _complain(exc)


def parse(argv: Sequence[str], parser: Parser) -> argparse.Namespace:
    """Arguments of a verb; what is mistyped ends in ``SystemExit``, with the nearest words on the standard error.

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
    if argv and argv[0] not in verbs and argv[0].lower() in verbs:
        argv = [argv[0].lower(), *argv[1:]]
    if argv and not argv[0].startswith('-') and argv[0] not in verbs:
        from ..errors import close_names

        parser.error(f'there is no verb {argv[0]!r}: {close_names(argv[0], verbs, n=30)}')
    args, extra = parser.parse_known_args(argv)
    if extra:
        verbs.get(args.verb, parser).refuse(extra)
    if not args.version and not hasattr(args, 'handler'):
        parser.error('say what to do')
    for name in ('state', 'property', 'name', 'tid', 'mid', 'jobid', 'mode'):
        if getattr(args, name, None) == []:
            setattr(args, name, None)  # an option without values asks for nothing
    return args


def _run(argv: list[str]) -> int:
    parser = _parser_for(argv)
    if not argv:
        parser.print_help()
        return 0
    args = parse(argv, parser)
    if args.version:
        from .._version import __version__

        print(f'desipipe {__version__}')
        return 0
    status = args.handler(args)
    sys.stdout.flush()  # here, where a broken pipe is still handled
    return int(status or 0)


def _complain(exc: Exception) -> int:
    from ..errors import DesipipeError

    if isinstance(exc, DesipipeError):
        print(f'desipipe: {exc}', file=sys.stderr)
    elif isinstance(exc, OSError):
        print(f'desipipe: {exc}. With --debug: where it happened', file=sys.stderr)
    else:
        print(
            f'desipipe: {type(exc).__name__}: {exc}\nThis should not happen; please report it with what you typed, and what it prints with --debug',
            file=sys.stderr,
        )
    return 2
