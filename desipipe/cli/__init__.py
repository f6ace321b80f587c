"""The command line: ``desipipe <verb> -q QUEUE [options]``.

Nothing but :mod:`argparse` is imported before it is known what is asked for: a worker, a shell
completion and ``--help`` pay for nothing else.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Sequence

from ..commands.face import visible_streams
from ..commands.habits import choose_queue
from ..commands.parser import build_parser, parse, parser_for

__all__ = ['main']


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, default=None
        Arguments; by default those of the process.

    Returns
    -------
    status : int
        0: done; 1: what was looked at is not as it should be (:command:`watch`, :command:`doctor`);
        2: it could not be done, the message says why; 130: Ctrl-C.
    """
    own_process = argv is None
    if own_process:
        gc.disable()  # what a process imports first is no garbage, and to look takes milliseconds
        # It looks for a translation of each of its words, finds none, and imports `locale` for it.
        vars(argparse)['_'] = str
    argv = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, 'reconfigure'):
            stream.reconfigure(
                errors='replace'
            )  # a terminal that has no ✓ gets a ?, not a traceback
    if argv[:1] == ['__complete']:
        from ..commands.completion import complete

        return complete(argv[1:], build_parser())
    with visible_streams():
        return _main(argv, own_process)


def _main(argv: list[str], own_process: bool) -> int:
    try:
        return _run(argv, own_process)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Who read our output (head, less) has seen enough. What is still buffered has nowhere to
        # go, and must not raise again at exit.
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


def _run(argv: list[str], own_process: bool) -> int:
    parser = parser_for(argv)
    if not argv:
        parser.print_help()
        return 0
    args = parse(argv, parser)
    if args.version:
        from .._version import __version__

        print(f'desipipe {__version__}')
        return 0
    if not getattr(args, 'queue', None):
        choose_queue(args)
    brief = own_process and getattr(args, 'brief', False)
    if own_process and not brief:
        gc.enable()
    status = args.handler(args)
    sys.stdout.flush()  # here, where a broken pipe is still handled
    if brief:
        gc.freeze()  # nothing is left to finalize, so the end needs no collection either
    return int(status or 0)


def _complain(exc: Exception) -> int:
    from ..errors import DesipipeError
    from ..utils import system_error_text

    if isinstance(exc, DesipipeError):
        print(f'desipipe: {exc}', file=sys.stderr)
    elif isinstance(exc, OSError):
        print(f'desipipe: {system_error_text(exc)}', file=sys.stderr)
    else:
        print(
            f'desipipe: {type(exc).__name__}: {exc}\nThis should not happen; please report it with '
            'what you typed, and what it prints with --debug',
            file=sys.stderr,
        )
    return 2
