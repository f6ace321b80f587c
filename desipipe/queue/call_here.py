"""Run a function as a task would, in this process.

Nothing is raised, and what it prints is kept.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TextIO

from .events import FAILED_ERRNO

__all__ = ['Outcome', 'call_here', 'chdir']


class Outcome(NamedTuple):
    """The outcome of a call."""

    errno: int
    """0 if it succeeded; else that of the exception, the exit status of the command, or
    :data:`~desipipe.queue.events.FAILED_ERRNO`.
    """
    result: Any
    """Value that the function returned; None of a command."""
    err: str
    """Text that it wrote to stderr, the traceback included."""
    out: str
    """Text that it wrote to stdout."""


class _Tee(io.StringIO):
    """Keep what is written, and pass it on."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream

    def write(self, text: str) -> int:
        """See :class:`io.StringIO`."""
        self._stream.write(text)
        return super().write(text)

    def flush(self) -> None:
        """See :class:`io.StringIO`."""
        self._stream.flush()


@contextlib.contextmanager
def chdir(path: str) -> Iterator[None]:
    """Enter a folder for a ``with`` block; modules in it can be imported there.

    Parameters
    ----------
    path : str
        Folder; nothing happens if it is empty, or there is no such folder.
    """
    if not path or not os.path.isdir(path):
        yield
        return
    before, folder = os.getcwd(), os.path.abspath(path)
    os.chdir(folder)
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        os.chdir(before)
        if folder in sys.path:
            sys.path.remove(folder)


def call_here(
    call: Callable[[Mapping[str, Any]], Any],
    arguments: Mapping[str, Any],
    kind: str = 'python',
    folder: str = '',
) -> Outcome:
    """Call a function, or run the command that it returns.

    Parameters
    ----------
    call : callable
        Takes the arguments as one mapping.
    arguments : dict
    kind : str, default='python'
        Kind of app; of 'bash' the function returns a command.
    folder : str, default=''
        Folder to run in, if it is there.

    Returns
    -------
    outcome : Outcome
    """
    out, err = _Tee(sys.stdout), _Tee(sys.stderr)
    errno, result = 0, None
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), chdir(folder):
        try:
            result = call(arguments)
            if kind == 'bash':
                errno, result = _command(result, out, err), None
        except Exception as exc:  # of the user's code: it is the outcome
            errno = getattr(exc, 'errno', None) or FAILED_ERRNO
            traceback.print_exc(file=err)
    return Outcome(errno, result, err.getvalue(), out.getvalue())


def _command(command: Any, out: TextIO, err: TextIO) -> int:
    import subprocess

    argv = command if isinstance(command, str) else [str(word) for word in command]
    done = subprocess.run(
        argv, shell=isinstance(argv, str), capture_output=True, text=True, check=False
    )
    out.write(done.stdout)
    err.write(done.stderr)
    return done.returncode
