"""Signals that ask a worker to end, or say that a slot has ended."""

from __future__ import annotations

import os
import signal
from typing import Any

# What ends a process by default, and what comes to all processes of a session or a job; also those
# that users ask Slurm to send.
ENDING = tuple(
    getattr(signal, name)
    for name in (
        *('SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT'),
        *('SIGXCPU', 'SIGPWR', 'SIGUSR1', 'SIGUSR2'),
    )
    if hasattr(signal, name)
)
_CAUGHT = (*ENDING, signal.SIGCHLD)


class SignalCatcher:
    """Signals of this process, kept until the worker's loop takes them; they wake it."""

    def __init__(self) -> None:
        self._numbers: list[int] = []
        self.wake_fd, self._wake_end = os.pipe()
        """Readable when a signal has come."""
        os.set_blocking(self.wake_fd, False)
        os.set_blocking(self._wake_end, False)
        signal.set_wakeup_fd(self._wake_end, warn_on_full_buffer=False)
        # What is ignored stays so: nohup.
        caught = [
            number
            for number in _CAUGHT
            if signal.getsignal(number) != signal.SIG_IGN or number == signal.SIGCHLD
        ]
        self._handlers: dict[int, Any] = {
            number: signal.signal(number, lambda number, _: self._numbers.append(number))
            for number in caught
        }

    def take(self) -> list[int]:
        """Return the signals that came since the last call."""
        caught, self._numbers = self._numbers, []
        return caught

    def drain(self) -> None:
        """Empty the pipe that wakes the loop."""
        os.read(self.wake_fd, 4096)

    def close(self) -> None:
        """Put the handlers of before back."""
        signal.set_wakeup_fd(-1)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        os.close(self.wake_fd)
        os.close(self._wake_end)
