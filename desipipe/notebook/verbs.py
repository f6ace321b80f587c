"""Verbs of the line magic: the command line, in this process.

The parsers and handlers are those of :mod:`desipipe.cli`. What differs is where things go: text
under the cell, JSON as Python objects, complaints as errors that stop 'Run All', questions to the
person in front of the notebook; and what may be left out: ``-q`` is the notebook's queue.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..commands.common import Verbs, open_one
from ..commands.face import FACE
from ..queue.future import Future
from ..queue.future_list import FutureList
from ..queue.place import current_place
from ..queue.queue import Queue
from .commands import PROG, typed
from .verb_completion import FUTURE_VERBS, VARIABLE, matches
from .verb_output import WIDTH, CellBytes, CellStream, CommandError, NotebookFace
from .verb_parser import error_text, overview, parse_verb, verb_parser

if TYPE_CHECKING:
    from subprocess import Popen

    from IPython.core.interactiveshell import InteractiveShell

__all__ = ['CommandError', 'matches', 'overview', 'run']
_APART = (
    'spawn',
    'work',
    'run',
    # what is a process of its own: managers and workers, and other notebooks with an event loop of
    # theirs
)


def run(argv: Sequence[str], shell: InteractiveShell, queue: Queue | None) -> object:
    """Do what ``%desipipe`` is told.

    Parameters
    ----------
    argv : sequence of str
        Verb and options, as the words of a command line; none: help is shown.
    shell : InteractiveShell
        Shell whose variables may be named.
    queue : Queue or None
        That of the notebook, for verbs without ``-q``.

    Returns
    -------
    value : object
        With ``--json`` what the document holds, as lists, dictionaries and so on; of
        :command:`watch`, which has many, the last one. The panel of
        :command:`monitor`. Otherwise ``None``.

    Raises
    ------
    CommandError
        It could not be done, or was mistyped, or interrupted.
    """
    argv = list(argv)
    face = NotebookFace()
    token = FACE.set(face)
    try:
        with contextlib.redirect_stdout(CellStream(sys.stdout)):
            return _run(argv, shell, queue, face)
    except (CommandError, KeyboardInterrupt) as exc:
        if isinstance(exc, CommandError):
            raise
        raise CommandError(
            f'{argv[0]} was interrupted here; what runs elsewhere goes on.'
        ) from None
    except Exception as exc:
        if '--debug' in argv or os.environ.get('DESIPIPE_DEBUG', '') not in ('', '0'):
            raise
        raise CommandError(typed(error_text(exc))) from None
    finally:
        FACE.reset(token)


def _run(
    argv: list[str], shell: InteractiveShell, queue: Queue | None, face: NotebookFace
) -> object:
    if not argv:
        print(overview(), end='')
        return None
    args = parse_verb(argv)
    if args is None:  # it was help that was asked for, and given
        return None
    if args.version:
        from .._version import __version__

        print(f'desipipe {__version__}')
        return None
    _resolve(args, shell.user_ns, queue)
    if args.verb in _APART and not getattr(args, 'spawn', False):
        _apart([*argv, f'--queue={args.queue}'] if getattr(args, 'queue', None) else argv)
        return None
    if args.verb == 'plan' and args.notebook is None:
        args.notebook = _notebook_file()
    if args.verb == 'monitor':
        from .panel import Panel

        return Panel(queue if queue is not None and queue.folder == args.queue else open_one(args))
    args.handler(args)
    return face.value


def _notebook_file() -> str:
    """Return the path of the notebook that this kernel runs.

    The front end tells it.
    """
    origin = current_place()
    if origin is None or not os.path.isfile(origin.file):
        raise CommandError(
            f'The file of this notebook is not known here. Nothing was looked at. Name it: {PROG} '
            'plan NOTEBOOK'
        )
    return origin.file


def _resolve(
    args: argparse.Namespace, variables: Mapping[str, object], queue: Queue | None
) -> None:
    """Replace variables that hold futures or queues by identities and folders.

    Fill in the notebook's queue.
    """
    futures = _resolve_futures(args, variables)
    if not hasattr(args, 'queue'):
        return
    if args.queue:
        args.queue = (
            [_folder(word, variables) for word in args.queue]
            if isinstance(args.queue, list)
            else _folder(args.queue, variables)
        )
        return
    if hasattr(args, 'pattern'):
        return  # it lists them
    folders = {future._ledger.folder for future in futures} or (
        {queue.folder} if queue is not None else set()
    )
    if len(folders) > 1:
        raise CommandError(
            f'These are tasks of {len(folders):d} queues. Nothing was done. Take those of one at a '
            'time.'
        )
    verb = Verbs.of(verb_parser())[args.verb]
    action = next(action for action in verb._actions if action.dest == 'queue')
    if folders:
        args.queue = [*folders] if action.nargs else folders.pop()
    elif args.verb not in ('status', 'doctor'):  # which look at more than one queue
        raise CommandError(
            'Which queue? This notebook has none yet. Choose one with: %desipipe use QUEUE, or '
            f'name it: %desipipe {args.verb} -q QUEUE'
        )


def _resolve_futures(args: argparse.Namespace, variables: Mapping[str, object]) -> list[Future]:
    """Replace variables that hold futures by identities; return the futures."""
    futures: list[Future] = []
    for dest in FUTURE_VERBS:
        given = getattr(args, dest, None)
        if not given:
            continue
        several = isinstance(given, list)
        ids = []
        for word in given if several else [given]:
            held = _held(word, variables)
            if held and len(held) > 1 and not several:
                raise CommandError(
                    f'{word} holds {len(held):d} futures: take one of them, such as {word}[0].'
                )
            futures += held
            ids += [future.id for future in held] or [word]
        setattr(args, dest, ids if several else ids[0])
    return futures


def _held(word: str, variables: Mapping[str, object]) -> list[Future]:
    """Return the futures that a variable (or an item of it) holds; else none."""
    match = VARIABLE.fullmatch(word)
    if match is None:
        return []
    value = variables.get(match[1])
    for index in re.findall(r'-?\d+', match[2]):
        if not isinstance(value, list | tuple | FutureList):
            return []  # power[3] of an app `power`: the task of that index
        try:
            value = value[int(index)]
        except IndexError:
            raise CommandError(
                f'There is no {word}: {match[1]} holds {len(value):d} futures'
            ) from None
    if isinstance(value, Future):
        return [value]
    if isinstance(value, list | tuple | FutureList) and all(
        isinstance(item, Future) for item in value
    ):
        return list(value)
    return []


def _folder(word: str, variables: Mapping[str, object]) -> str:
    value = variables.get(word)
    return value.folder if isinstance(value, Queue) else word


def _apart(argv: list[str]) -> None:
    """Run a verb in a process of its own, and show what it prints until it ends.

    Workers fork, handle signals and count on being alone; a kernel has threads, an event loop, and
    handlers of its own.
    """
    import subprocess

    # In this process's group, so that it ends with the kernel. With an interrupt it may have got
    # the signal already; to get it twice does no harm.
    process = subprocess.Popen(
        [sys.executable, '-m', 'desipipe', *argv],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | {'COLUMNS': str(WIDTH)},
    )
    try:
        interrupted = _copy_output(process)
        status = process.wait()
    except BaseException:
        process.kill()
        process.wait()
        raise
    finally:
        if process.stdout is not None:
            process.stdout.close()
    if interrupted:
        raise CommandError(
            f'{argv[0]} was interrupted, and has ended. Tasks that it was running are KILLED, and '
            'run again with: %desipipe retry'
        )
    if status:
        raise CommandError(f'{argv[0]} ended with exit status {status:d}. See its output above.')


def _copy_output(process: Popen[bytes]) -> bool:
    """Show what a process prints until it ends; return whether it was interrupted."""
    import signal

    assert process.stdout is not None
    out = CellBytes(sys.stdout)
    interrupted = False
    while True:
        try:
            data = os.read(process.stdout.fileno(), 65536)
            if not data:
                return interrupted
            out.write(data)
        except KeyboardInterrupt:
            # It lets go of its tasks in an orderly way: its end is waited for.
            interrupted = True
            process.send_signal(signal.SIGINT)
