"""Process state that user code may change, which a slot restores after each task.

Descriptors 0 to 2, signal handlers, blocked signals, timers, the umask and tracing are put back.
What cannot be put back (a lowered limit, another user, a raised nice value) makes the slot end
after its report; the worker starts another one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

PRIVATE_MAX = 4096  # descriptors at most from here on; far above what tasks open, and a small table
PRIVATE_ROOM = 64  # descriptors that a slot keeps for itself
_WATCHED = tuple(
    number
    for name in (
        *('SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2', 'SIGPIPE', 'SIGALRM', 'SIGTERM'),
        *('SIGCHLD', 'SIGCONT', 'SIGTSTP', 'SIGTTIN', 'SIGTTOU', 'SIGURG', 'SIGXCPU', 'SIGXFSZ'),
        *('SIGVTALRM', 'SIGPROF', 'SIGWINCH', 'SIGIO', 'SIGPWR'),
    )
    if (number := getattr(signal, name, None)) is not None
)
_LIMITS = tuple(
    getattr(resource, f'RLIMIT_{name}')
    for name in ('AS', 'CPU', 'DATA', 'FSIZE', 'NOFILE', 'NPROC', 'STACK')
    if hasattr(resource, f'RLIMIT_{name}')
)
_TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
# The functions of C: those of `signal` make enumerations of what they return, at ten times the
# cost.
_signal: Any = import_module('_signal')
_handler = _signal.getsignal
_SETMASK = int(signal.SIG_SETMASK)


def private_descriptor(fd: int, close: bool = True) -> int:
    """Move a descriptor to a high number, as user code may close low ones.

    Parameters
    ----------
    fd : int
        An open descriptor.
    close : bool, default=True
        Close the old number.

    Returns
    -------
    private : int
        The new number; ``fd`` itself where there is no room above it.
    """
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    limit = PRIVATE_MAX if soft == resource.RLIM_INFINITY else min(soft, PRIVATE_MAX)
    lowest = limit - min(PRIVATE_ROOM, limit // 2)
    try:
        private = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, lowest)
    except OSError:
        private = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    if close:
        os.close(fd)
    return private


def _identities() -> tuple[int, ...]:
    if sys.platform == 'darwin':  # saved identities cannot be asked for
        return os.getuid(), os.geteuid(), os.getgid(), os.getegid()
    return *os.getresuid(), *os.getresgid()


class ProcessState:
    """Snapshot of a slot's process, taken before its first task.

    Parameters
    ----------
    standard : sequence of int
        Private duplicates of descriptors 0, 1 and 2.
    """

    def __init__(self, standard: Sequence[int]) -> None:
        self._standard = tuple(standard)
        self._pid = os.getpid()
        self._handlers = self._current_handlers()
        self._blocked = _signal.pthread_sigmask(signal.SIG_BLOCK, ())
        self._timers = any(signal.getitimer(timer)[0] for timer in _TIMERS)
        self._umask = os.umask(0o022)
        os.umask(self._umask)
        self._recursion = sys.getrecursionlimit()
        self._fixed = self._current_fixed()

    @property
    def forked(self) -> bool:
        """``True`` in a process that user code forked from this one."""
        return os.getpid() != self._pid

    @staticmethod
    def _current_handlers() -> tuple[Any, ...]:
        return tuple(map(_handler, _WATCHED))

    @staticmethod
    def _current_fixed() -> tuple[Any, ...]:
        """Return what a process can lower and, as a rule, not raise again."""
        limits = tuple(map(resource.getrlimit, _LIMITS))
        return limits, _identities(), os.getpriority(os.PRIO_PROCESS, 0)

    def calm(self) -> None:
        """Stop what could interrupt this process. Raise what a handler of the task raises."""
        sys.settrace(None)
        sys.setprofile(None)
        sys.setrecursionlimit(self._recursion)
        if not self._timers:
            _signal.alarm(0)  # before the handlers: none of the task's runs afterwards
        if self._current_handlers() != self._handlers:
            self._restore_handlers()
        _signal.pthread_sigmask(_SETMASK, self._blocked)
        os.umask(self._umask)

    def restore_descriptors(self) -> None:
        """Put descriptors 0 to 2 back.

        Raises
        ------
        OSError
            User code has closed the private ones too.
        """
        for number, private in enumerate(self._standard):
            os.dup2(private, number)  # costs less than to find out whether it is needed

    def unblock(self) -> None:
        """Make descriptors 1 and 2 wait when a pipe is full, as they did."""
        for fd in self._standard[1:]:
            os.set_blocking(fd, True)

    def _restore_handlers(self) -> None:
        if not self._timers:
            for timer in _TIMERS:
                signal.setitimer(timer, 0.0)
        for number, handler in zip(_WATCHED, self._handlers, strict=True):
            if handler is not None and _handler(number) != handler:
                signal.signal(number, handler)

    def spoilt(self) -> bool:
        """Return True when the process has changed for good: limits, user, priority."""
        if self._current_fixed() == self._fixed:
            return False
        for name, (soft, hard) in zip(_LIMITS, self._fixed[0], strict=True):
            with contextlib.suppress(ValueError, OSError):  # a lowered hard limit stays
                if resource.getrlimit(name) != (soft, hard):
                    resource.setrlimit(name, (soft, hard))
        return self._current_fixed() != self._fixed
