"""Commands: values filled in, quoted for the shell; run, passed on, and their ends in words."""

from __future__ import annotations

import codecs
import contextlib
import ctypes
import os
import re
import shlex
import signal
import sys
from collections.abc import Callable, Mapping
from typing import Any

from .errors import DesipipeError

OOM_WORDS = 'out of memory: the kernel killed it (SIGKILL)'
_PR_SET_PDEATHSIG = 1
# `${NAME}` is the shell's; `{{name}}` are braces; `{name}` and `{name:format}` are filled in.
_PLACE = re.compile(r'\{\{(?P<braces>\w+)\}\}|(?<!\$)\{(?P<name>[^\W\d]\w*)(?::(?P<format>[^{}\n]*))?\}')


def placeholders(template: str) -> dict[str, int]:
    """The names that a template fills in, with the line of each, counted from 1.

    Parameters
    ----------
    template : str
        ``{name}`` or ``{name:format}`` is filled in; ``{{name}}`` and ``${NAME}`` are not.
    """
    found: dict[str, int] = {}
    for match in _PLACE.finditer(template):
        if match['name']:
            found.setdefault(match['name'], template.count('\n', 0, match.start()) + 1)
    return found


def fill(template: str, values: Mapping[str, Any]) -> str:
    """Fill values in, each quoted for the shell.

    Parameters
    ----------
    template : str
        See :func:`placeholders`.
    values : mapping
        Lists and tuples become several words.

    Returns
    -------
    command : str
    """

    def place(match: re.Match[str]) -> str:
        if match['braces']:
            return '{' + match['braces'] + '}'
        value = values[match['name']]
        items = value if isinstance(value, list | tuple) else [value]
        return ' '.join(shlex.quote(format(item, match['format'] or '') if not isinstance(item, os.PathLike) else os.fspath(item)) for item in items)

    return _PLACE.sub(place, template)


def run(template: str, values: Mapping[str, Any]) -> str:
    """Run commands, with values filled in; what they write to stdout is passed on as it comes, and returned.

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


def call(command: Any, pass_on: Callable[[bytes], object] | None = None) -> None:
    """Run a command.

    Parameters
    ----------
    command : str or sequence
        For the shell, or a list of arguments.
    pass_on : callable, default=None
        Gets what comes from stdout, in pieces, the last one empty. By default it goes where ours goes.

    Raises
    ------
    CommandFailed
        The exit status is not 0.
    """
    import subprocess

    if isinstance(command, str):
        argv: Any = [next((shell for shell in ('/bin/bash', '/bin/sh') if os.path.exists(shell)), 'sh'), '-c', command]
    else:
        try:
            argv = [os.fspath(item) if isinstance(item, os.PathLike) else str(item) for item in command]
        except TypeError:
            raise TypeError(f'a bash app returns a list of arguments or a string for the shell, not {type(command).__name__} {command!r}') from None
        if not argv:
            raise ValueError('the bash app returned an empty list: there is no command to run')
    before = oom_kills()
    stdout = None if pass_on is None else subprocess.PIPE
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=stdout, preexec_fn=die_with_parent) as process:
        if pass_on is not None and process.stdout is not None:
            while data := os.read(process.stdout.fileno(), 1 << 16):
                pass_on(data)
            pass_on(b'')
    status = process.returncode
    if status:
        # Of a command that a shell ran, the shell says 128 and the signal.
        killed = status in (-signal.SIGKILL, 128 + signal.SIGKILL)
        raise CommandFailed(status, killed and oom_kills() > before)


class CommandFailed(DesipipeError):
    """A command returned something else than 0.

    Parameters
    ----------
    status : int
        Exit status; that of a signal is negative.
    oom : bool, default=False
        Whether the kernel killed something for want of memory meanwhile.
    """

    def __init__(self, status: int, oom: bool = False) -> None:
        self.status = status
        words = f'exit status {status:d}' if status > 0 else f'killed by signal {-status:d} ({signal_name(-status)})'
        super().__init__(f'{OOM_WORDS}, {words}' if oom else words)


def signal_name(number: int) -> str:
    """``'SIGKILL'`` for 9."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f'signal {number:d}'


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends. Linux only; elsewhere the group is killed."""
    # Else what a killed slot was running would go on, unseen, beside its own next attempt.
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def oom_kills() -> int:
    """How often the kernel of this machine has killed a process for want of memory since boot; 0 where it does not say."""
    try:
        with open('/proc/vmstat', 'rb') as file:
            return next((int(line.split()[1]) for line in file if line.startswith(b'oom_kill ')), 0)
    except OSError:
        return 0
