"""Run commands of a batch system: wait for one, or go on while it runs."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from typing import Self

from ..errors import LaunchError

__all__ = ['SUBMIT_WAIT', 'Question', 'run']

ASK_WAIT = 120.0  # s for commands that nobody waits for
SUBMIT_WAIT = 15.0  # s for others; shorter than a lease, as the manager does not beat meanwhile


class Question:
    """A command of a batch system that runs in the background.

    Parameters
    ----------
    argv : list of str
    then : callable
        For who has started it: called with this, when it is done.
    environ : dict, default=None
        Its environment; None: that of this process.
    """

    def __init__(
        self,
        argv: list[str],
        then: Callable[[Self], None],
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.argv = argv
        self.then = then
        self.began = time.monotonic()
        self.out = self.trouble = ''
        self._texts: dict[int, bytearray] = {}
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._process = _start(argv, environ, subprocess.DEVNULL)
        except OSError as exc:
            self.trouble = f'{argv[0]}: {exc.strerror}'

    def done(self, now: float) -> bool:
        """Take in what is there; return True if that is all, or nothing more will come."""
        process = self._process
        if process is None:
            return True
        status = process.poll()
        self._read()  # also while it runs, since a pipe that is full would stop it
        if status is None and now - self.began < ASK_WAIT:
            return False
        out, err = (
            bytes(self._texts[stream.fileno()]).decode(errors='replace')
            for stream in (process.stdout, process.stderr)
            if stream is not None
        )
        self.out = out
        if status is None:
            self.trouble = f'{self.argv[0]} did not answer within {ASK_WAIT:g} s'
        elif status:
            self.trouble = ' '.join(err.split()) or f'{self.argv[0]}: exit status {status:d}'
        _end_process(process)
        self._process = None
        return True

    def _read(self) -> None:
        assert self._process is not None
        for stream in (self._process.stdout, self._process.stderr):
            assert stream is not None
            text = self._texts.setdefault(stream.fileno(), bytearray())
            os.set_blocking(stream.fileno(), False)
            while data := _read_some(stream.fileno()):
                text += data


def _read_some(fd: int) -> bytes:
    try:
        return os.read(fd, 1 << 16)
    except BlockingIOError:
        return b''


def _start(
    argv: list[str], environ: Mapping[str, str] | None, stdin: int
) -> subprocess.Popen[bytes]:
    # Pipes, not files: a folder for temporary files may be full, or gone. A session of its own, so
    # that what a wrapper started ends with it.
    return subprocess.Popen(
        argv,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environ,
        start_new_session=True,
    )


def _end_process(process: subprocess.Popen[bytes]) -> None:
    """End a process of :func:`_start` with all of its group, and close its streams."""
    if process.poll() is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            process.kill()
        process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def run(
    argv: list[str],
    timeout: float,
    given: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command of a batch system, and wait for it.

    Parameters
    ----------
    argv : list of str
    timeout : float
        Seconds.
    given : str, default=None
        Text for its standard input.
    environ : dict, default=None
        Its environment; None: that of this process.

    Raises
    ------
    LaunchError
        There is no such command, or no process could be started.
    subprocess.TimeoutExpired
        It did not end in time, and was killed with what it had started.
    """
    try:
        process = _start(argv, environ, subprocess.PIPE)
    except FileNotFoundError:
        raise LaunchError(
            f'There is no {argv[0]} on this machine: the manager must run where the batch system '
            'can be reached (a login node), or choose another provider. '
            f'PATH is {os.environ.get("PATH", "")}'
        ) from None
    except OSError as exc:
        raise LaunchError(
            f'{argv[0]} could not be started ({exc.strerror}). The tasks wait; trying again.',
            later=True,
        ) from exc
    try:
        out, err = process.communicate((given or '').encode(), timeout=timeout)
    finally:
        _end_process(process)
    return subprocess.CompletedProcess(
        argv, process.returncode, out.decode(errors='replace'), err.decode(errors='replace')
    )
