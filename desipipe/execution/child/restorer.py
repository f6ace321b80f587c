"""Put the process of a slot back after each task, where the next one would notice."""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from ...settings.process import StateKeeper
from ..slot_environment import ProcessState

CALM_TRIES = 1000


class Restorer:
    """Snapshot of a slot's process, from before its tasks.

    Parameters
    ----------
    standard : sequence of int
        Private duplicates of descriptors 0, 1 and 2.
    """

    settings: StateKeeper

    def __init__(self, standard: Sequence[int]) -> None:
        self._standard = standard
        self.process = ProcessState(standard)
        self._streams = (sys.stdin, sys.stdout, sys.stderr)
        self._environ = os.environ
        self._variables = dict(_raw(os.environ))
        self._fflush = ctypes.CDLL(None).fflush

    def begin(self) -> None:
        """Take what the process is now for what it has to be before a task."""
        self.process = ProcessState(self._standard)
        self.settings = StateKeeper()

    def flush(self) -> None:
        """Write what is buffered, by Python or by C."""
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except (ValueError, OSError):
            pass  # the task closed or replaced them: what it wrote before was flushed then
        self._fflush(None)

    def flush_c(self) -> None:
        """Write what is buffered by C."""
        self._fflush(None)

    def calm(self) -> None:
        """Stop what the task left that could interrupt this process, such as timers."""
        for left in range(CALM_TRIES, -1, -1):
            try:
                self.process.calm()
                return
            except BaseException:  # raised by a handler, or a trace function, of the task's
                if not left:
                    raise

    def restore(self) -> None:
        """Put the streams and the variables of the environment back."""
        if (sys.stdin, sys.stdout, sys.stderr) != self._streams:
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(Exception):  # it was closed, is no stream at all
                    stream.flush()
            sys.stdin, sys.stdout, sys.stderr = self._streams
        if not _are_usable():
            sys.stdin = sys.__stdin__ = open(0, closefd=False)  # type: ignore[misc]
            sys.stdout = sys.__stdout__ = open_stream(1)  # type: ignore[misc]
            sys.stderr = sys.__stderr__ = open_stream(2)  # type: ignore[misc]
            self._streams = (sys.stdin, sys.stdout, sys.stderr)
        os.environ = self._environ  # noqa: B003 (the very object that it was)
        if _raw(os.environ) != self._variables:
            now = os.environb
            for key in [key for key in now if key not in self._variables]:
                del now[key]
            now.update(
                {key: value for key, value in self._variables.items() if now.get(key) != value}
            )

    def restore_all(self) -> None:
        """Put the process back after tasks that only computed.

        Others may have left something to the collector.
        """
        self.calm()
        self.restore()
        # User code may have closed all descriptors: the next task says so.
        with contextlib.suppress(OSError):
            self.process.restore_descriptors()
        self.settings.restore()

    def leave_fork(self, exc: BaseException | None) -> NoReturn:
        """End a process that a task forked, as the end of a script does.

        It has left the task's function.
        """
        status = 0 if exc is None else 1
        try:
            if isinstance(exc, SystemExit) and (exc.code is None or isinstance(exc.code, int)):
                status = exc.code or 0
            elif isinstance(exc, SystemExit):
                print(exc.code, file=sys.stderr)
            elif exc is not None:
                import traceback

                traceback.print_exception(exc)
            sys.stdout.flush()
            sys.stderr.flush()
            self._fflush(None)
        finally:
            os._exit(status & 0xFF)


def open_stream(fd: int) -> io.TextIOWrapper:
    """Return a standard stream that writes to a descriptor."""
    return io.TextIOWrapper(
        io.FileIO(fd, 'w', closefd=False),
        encoding='utf-8',
        errors='backslashreplace',
        line_buffering=True,
        write_through=False,
    )


def _are_usable() -> bool:
    try:
        return not (
            sys.stdout.closed or sys.stderr.closed or (sys.stdin is not None and sys.stdin.closed)
        )
    except ValueError:  # detached
        return False


def _raw(environ: os._Environ[str]) -> dict[bytes, bytes]:
    # Decoding all variables takes longer than a small task: what is compared is what is inside.
    return environ._data  # type: ignore[attr-defined,no-any-return]
