"""The machine and the process that run this code."""

from __future__ import annotations

import os
import re
import sys

from .utils import username

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypedDict

    class Machine(TypedDict):
        """The machine of a process.

        ``boot`` and ``pidns`` together tell if two process numbers can be compared.
        """

        host: str
        """Name of the host."""
        pid: int
        """Number of the process."""
        start: int | None
        """Start, in clock ticks since boot; with ``pid`` it names one process for ever.

        None where there is no ``/proc``.
        """
        user: str
        """Name of the user."""
        boot: str
        """Identity of this boot of the machine's kernel; empty where there is none."""
        pidns: int
        """Identity of the name space of process numbers (containers have their own); 0 where there
        is none.
        """
        python: str
        """Version of Python."""
        executable: str
        """Path of Python."""
        platform: str
        """Operating system, its version and the processor."""


__all__ = ['Machine', 'machine', 'process_alive', 'process_start', 'stat_fields']


def machine() -> Machine:
    """Describe this process and the machine it runs on.

    Nothing is remembered between calls, since a process that forks is another one.

    Returns
    -------
    machine : dict
        See :class:`Machine`.
    """
    uname = os.uname()
    pid = os.getpid()
    return {
        'host': uname.nodename,
        'pid': pid,
        'start': process_start(pid),
        'user': username(),
        'boot': _boot(),
        'pidns': _pidns(),
        'python': '.'.join(map(str, sys.version_info[:3])),
        'executable': sys.executable,
        'platform': f'{uname.sysname}-{uname.release}-{uname.machine}',
    }


def _boot() -> str:
    try:
        with open('/proc/sys/kernel/random/boot_id') as file:
            return file.read().strip()
    except OSError:  # not Linux: processes are then never compared
        return ''


def _pidns() -> int:
    try:
        return os.stat('/proc/self/ns/pid').st_ino
    except OSError:
        return 0


def stat_fields(pid: int) -> list[bytes] | None:
    """Return the fields of ``/proc/PID/stat`` that follow the name: state, parent, ….

    None where that can't be read. The name is what the program chose and may hold blanks and
    parentheses, so fields are counted from the last one.
    """
    try:
        with open(f'/proc/{pid:d}/stat', 'rb') as file:
            text = file.read()
    except OSError:  # ESRCH too: it ended between `open` and `read`
        return None
    return text[text.rindex(b')') + 1 :].split()


def _stat(pid: int) -> tuple[str, int] | None:
    """State and start of a process as its kernel tells; None where that can't be read."""
    fields = stat_fields(pid)
    return None if fields is None else (fields[0].decode(), int(fields[19]))


def _ended(state: str) -> bool:
    # A zombie has ended; only its exit status still waits for its parent.
    return state in 'ZXx'


def process_start(pid: int) -> int | None:
    """Return the start time of a process of this machine.

    Parameters
    ----------
    pid : int
        Number of the process.

    Returns
    -------
    start : int, None
        Clock ticks since boot: unlike times of day, nobody can set them. None if there is no such
        process, if it has ended and is not reaped yet (a zombie), or where there is no ``/proc``.
    """
    stat = _stat(pid)
    return None if stat is None or _ended(stat[0]) else stat[1]


def process_alive(pid: int, start_ticks: int | None = None) -> bool:
    """Tell whether a process of this machine still runs.

    Only meaningful where ``boot`` and ``pidns`` of :func:`machine` are those of the process.

    Parameters
    ----------
    pid : int
        Number of the process.
    start_ticks : int, default=None
        What :func:`process_start` said of it; tells it from a later process that was given the same
        number. By default any process of that number will do.

    Returns
    -------
    alive : bool
        False also for a zombie. When in doubt (it belongs to another user and ``/proc`` hides it,
        or there is no ``/proc``), True for a number that is in use.
    """
    if pid <= 0:  # for `kill` these are groups of processes, not one
        return False
    stat = _stat(pid)
    if stat is not None:
        return not _ended(stat[0]) and start_ticks in (None, stat[1])
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True


def is_variable_name(name: str) -> bool:
    """Return True if a shell can set a variable of that name."""
    return re.fullmatch(r'[A-Za-z_][A-Za-z0-9_]*', name, re.ASCII) is not None


def is_inherited(name: object, value: object) -> bool:
    """Return True for what no shell can set and this process has.

    Functions that `bash` exports are such; what this process starts has them as well.
    """
    if not isinstance(name, str) or is_variable_name(name):
        return False
    return name in os.environ and os.environ[name] == value
