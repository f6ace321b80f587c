"""Run commands: exit status, memory, and an end with ours."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from ..errors import DesipipeError

__all__ = [
    'OOM_WORDS',
    'CommandFailed',
    'call',
    'die_with_parent',
    'most_memory',
    'oom_kills',
    'signal_name',
]

OOM_WORDS = 'out of memory: the kernel killed it (SIGKILL)'
_PR_SET_PDEATHSIG = 1


def call(command: Any, pass_on: Callable[[bytes], object] | None = None) -> None:
    """Run a command.

    Parameters
    ----------
    command : str or sequence
        For the shell, or a list of arguments.
    pass_on : callable, default=None
        Gets what comes from stdout, in pieces, the last one empty. By default it goes where ours
        goes.

    Raises
    ------
    CommandFailed
        The exit status is not 0.
    """
    import subprocess

    argv = _arguments(command)
    before = oom_kills()
    stdout = None if pass_on is None else subprocess.PIPE
    with subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=stdout, preexec_fn=die_with_parent
    ) as process:
        if pass_on is not None and process.stdout is not None:
            while data := os.read(process.stdout.fileno(), 1 << 16):
                pass_on(data)
            pass_on(b'')
        # where SIGCHLD is ignored; Popen knows what to make of that
        with contextlib.suppress(ChildProcessError):
            _, ended, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(ended)
            _used[0] = max(_used[0], used.ru_maxrss // _MAXRSS_UNIT)
    status = process.returncode
    if status:
        # Of a command that a shell ran, the shell says 128 and the signal.
        killed = status in (-signal.SIGKILL, 128 + signal.SIGKILL)
        raise CommandFailed(status, killed and oom_kills() > before)


def _arguments(command: Any) -> list[str]:
    if isinstance(command, str):
        shells = (shell for shell in ('/bin/bash', '/bin/sh') if os.path.exists(shell))
        return [next(shells, 'sh'), '-c', command]
    try:
        argv = [os.fspath(item) if isinstance(item, os.PathLike) else str(item) for item in command]
    except TypeError:
        raise TypeError(
            'A bash app returns a list of arguments or a string for the shell, not '
            f'{type(command).__name__} {command!r}'
        ) from None
    if not argv:
        raise ValueError('The bash app returned an empty list: there is no command to run.')
    return argv


_MAXRSS_UNIT = 1024 if sys.platform == 'darwin' else 1  # of a kilobyte
_used = [0]


def most_memory() -> int:
    """Return the peak resident memory of a command since the last call, in kilobytes.

    It is 0 if none was run.
    """
    most, _used[0] = _used[0], 0
    return most


class CommandFailed(DesipipeError):
    """A command returned something else than 0.

    Parameters
    ----------
    status : int
        Exit status; that of a signal is negative.
    oom : bool, default=False
        True if the kernel killed something for want of memory meanwhile.
    """

    def __init__(self, status: int, oom: bool = False) -> None:
        self.status = status
        text = (
            f'exit status {status:d}'
            if status > 0
            else f'killed by signal {-status:d} ({signal_name(-status)})'
        )
        super().__init__(f'{OOM_WORDS}, {text}' if oom else text)


def signal_name(number: int) -> str:
    """``'SIGKILL'`` for 9."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f'signal {number:d}'


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends.

    Linux only; elsewhere the group is killed.
    """
    # Else what a killed slot was running would go on, unseen, beside its own next attempt.
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def oom_kills() -> int:
    """Return how many processes the OOM killer ended since boot; 0 if unknown."""
    try:
        with open('/proc/vmstat', 'rb') as file:
            return next((int(line.split()[1]) for line in file if line.startswith(b'oom_kill ')), 0)
    except OSError:
        return 0
