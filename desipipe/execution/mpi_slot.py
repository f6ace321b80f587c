"""Slots of several MPI processes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from ..queue.events import CauseKind
from .capture import OUTPUT_WAIT
from .mpi_connection import Connection, Listener, receive, taken
from .protocol import (
    Message,
    Ready,
    TaskDone,
    decode,
)
from .sent_tasks import Sent
from .shell_process import OOM_WORDS
from .slot_memory import PACKET, Results
from .slot_process import SlotProcess

MPI_WAIT = 60.0  # s for the ranks of an MPI slot to connect
RANKS_WAIT = 5.0  # s for the other ranks when one has raised


def text_of(done: TaskDone) -> str:
    """Return the words of the cause of an attempt that failed."""
    return '' if done.cause is None else str(done.cause['text'])


class MPISlot(SlotProcess):
    """Slot of several processes: ``mpiexec`` and its ranks, on a Unix socket each.

    Parameters
    ----------
    folder, name, trusts, limit
        As for :class:`SlotProcess`.
    command : callable
        Turns the command line of a rank into that of the launcher.
    ranks : int
        Number to expect.
    remote : bool, default=False
        True if they may be on other nodes.
    """

    ahead = 1

    def __init__(
        self,
        folder: str,
        name: str,
        trusts: Callable[[int], bool],
        limit: int,
        command: Callable[[Sequence[str]], Sequence[str]],
        ranks: int,
        remote: bool = False,
    ) -> None:
        self._command = command
        self._remote = remote
        self._ranks = ranks
        self._connected: list[Connection] = []
        self._number: dict[Connection, int] = {}
        self._errors: dict[Connection, int] = {}
        """Files that keep what ranks write to the standard error until they report it."""
        self._done: list[tuple[int, TaskDone]] = []
        self._speaker = 0  # whose report is the task's, and the output of all ranks
        self._outputs: list[bool | None | tuple[bytes, ...]] = []
        self._failed_at = 0.0
        super().__init__(folder, name, trusts, limit)

    def _start(
        self, out: tuple[int, int], err: tuple[int, int], undo: contextlib.ExitStack
    ) -> None:
        self._listener = Listener(self.folder, self.name, self._remote, self._ranks)
        undo.callback(self._listener.close)
        self.sock = self._listener.sock
        self.started = time.monotonic()
        argv = [
            sys.executable,
            '-m',
            'desipipe.execution.slot',
            self._listener.address,
            self.folder,
            self.name,
            self._marker.hex(),
        ]
        self._process = subprocess.Popen(
            list(self._command(argv)),
            stdin=subprocess.DEVNULL,
            stdout=out[1],
            stderr=err[1],
            start_new_session=True,
        )
        self.pid = self._process.pid

    @property
    def sockets(self) -> Sequence[Connection]:
        """The one that ranks connect to, and those of the ranks."""
        return [self.sock, *self._connected]

    def _accept(self) -> None:
        while (rank := self._listener.accept()) is not None:
            self._connected.append(rank)

    @property
    def ready(self) -> bool:
        """Return True once all ranks are there."""
        return len(self._connected) == self._ranks

    def _put(self, data: bytes) -> None:
        if not self.ready:
            raise BlockingIOError
        for rank in self._connected:
            rank.settimeout(RANKS_WAIT)  # one that was stopped takes nothing
            rank.send(data)
            rank.setblocking(False)

    def _hand_over(self, data: bytes, n: int) -> None:
        self._put(data)

    def take_back(self) -> list[Sent]:
        """Nothing: one task at a time, what was sent has begun."""
        return []

    def look(self) -> bool:
        """Nothing: what was sent has begun, and reports come as packets."""
        return False

    def _has_begun(self) -> bool:
        return True

    def tell(self) -> None:
        """Do nothing: launchers treat signals differently, and some end their ranks."""

    def receive(self) -> list[Message | Results]:
        """Packets that came; the ``done`` of a task when all ranks have said it."""
        self._accept()
        received: list[Message | Results] = []
        for sock in self._connected:
            try:
                while True:
                    data, errors = receive(sock, PACKET * 2)
                    if errors >= 0:
                        self._errors[sock] = errors
                    if not data:
                        self._gone(sock)
                        break
                    message, _ = decode(data)
                    if isinstance(message, Ready):
                        self._number[sock] = message.rank
                        self._check(message.size)
                    elif isinstance(message, TaskDone):
                        self._done.append((self._number[sock], message))
                    else:
                        received.append(message)
            except (BlockingIOError, ConnectionResetError):
                continue
        failed = self._raised()
        if len(self._done) == self._ranks:
            # The first that failed speaks for all, else rank 0, whose result and output are the
            # task's.
            reports = [done for _, done in sorted(self._done, key=lambda item: item[0])]
            chosen = failed or reports[0]
            self._speaker = reports.index(chosen)
            self._outputs = [done.output for done in reports]
            self.rank_files = [done.files for done in reports if done.files]
            memory = sum(done.memory for done in reports)
            received.append(chosen._replace(output=True, files=b'', memory=memory))
            self._done.clear()
            self._failed_at = 0.0
        elif failed and not self._failed_at:
            self._failed_at = time.monotonic()
        return received

    def _gone(self, rank: Connection) -> None:
        # Its launcher ends, and says how; what the rank wrote last may say why.
        self._keep_last_words(rank)

    def _keep_last_words(self, rank: Connection) -> None:
        errors = self._errors.pop(rank, -1)
        if errors < 0:
            return
        if self.sent:
            self.err.write(taken(errors))
        os.close(errors)

    def _wanted(self) -> int:
        return self._ranks

    def _raised(self) -> TaskDone | None:
        return next((done for _, done in self._done if done.cause is not None), None)

    def _check(self, size: int) -> None:
        if size != self._wanted():
            self.kill(
                CauseKind.MPI,
                f'the launcher gave an MPI communicator of {size:d} '
                f'process{"es" if size > 1 else ""} instead of {self._wanted():d} '
                '(mpiexec of another MPI than that of mpi4py?): see the provider option mpiexec',
            )

    def overdue(self, now: float) -> None:
        """End the slot when its ranks do not come, or wait for one that has raised."""
        if not self.ready and now - self.started > MPI_WAIT:
            self.kill(
                CauseKind.MPI,
                f'only {len(self._connected):d} of {self._ranks:d} MPI processes came within '
                f'{MPI_WAIT:.0f} s: see the provider option mpiexec',
            )
        raised = self._raised()
        if raised is not None and self._failed_at and now - self._failed_at > RANKS_WAIT:
            self._last_of(raised)

    def _last_of(self, raised: TaskDone) -> None:
        # One process has raised, and the others wait for it for ever: what it said is what there is
        # to say.
        self.last_word = raised
        if isinstance(raised.output, tuple):
            self.out.write(raised.output[0])
            self.err.write(raised.output[1])
        self.kill(CauseKind.RANK, text_of(raised))

    def collect(self, marked: bool | None | tuple[bytes, ...]) -> tuple[bytes, bytes]:
        """Return what rank 0 wrote, and what the failed rank wrote to stderr."""
        # Rank 0 wrote its markers, but mpiexec passes output on when it likes.
        deadline = time.monotonic() + OUTPUT_WAIT
        while not (self.out.marks and self.err.marks) and time.monotonic() < deadline:
            self.drain()
            if not (self.out.marks and self.err.marks):
                time.sleep(0.001)  # a poll of pipes that another program fills
        out, err = self.out.take(min(1, self.out.marks)), self.err.take(min(1, self.err.marks))
        return out, err + self._of_others()

    def _of_others(self) -> bytes:
        """Log what ranks other than the first wrote; return the errors of the failed one."""
        captured = [item if isinstance(item, tuple) else () for item in self._outputs]
        for rank, written in enumerate(captured[1:], start=1):
            if written and self.limit:
                lines = b''.join(written).decode(errors='backslashreplace').splitlines()
                print(
                    *(f'rank {rank:d}: {line}' for line in lines),
                    sep='\n',
                    end='\n' if lines else '',
                    file=sys.stderr,
                    flush=True,
                )
        failed = captured[self._speaker] if self._speaker else ()
        return failed[1] if failed else b''

    def drain(self) -> None:
        """Read the pipes."""
        self.out.drain()
        self.err.drain()

    def reap(self) -> bool:
        """Return True if the launcher has ended; never waits."""
        if self.reaped is None and (code := self._process.poll()) is not None:
            self.reaped = -code if code < 0 else code << 8
        return self.reaped is not None

    def _why(self) -> tuple[str, str]:
        # When a rank is killed the launcher lives, and says so by its exit status: the signal's
        # number, or that and 128.
        if (
            os.WEXITSTATUS(self.reaped or 0) in (signal.SIGKILL, 128 + signal.SIGKILL)
            and self._oom.explain()
        ):
            return CauseKind.OOM, OOM_WORDS
        return super()._why()

    def close(self) -> None:
        """Close all connections; the launcher must have ended."""
        for stream in (self.out, self.err):
            os.close(stream.fd)
        for rank in self._connected:
            rank.close()
        for errors in self._errors.values():
            os.close(errors)
        self._listener.close()
        self._followed.close()
