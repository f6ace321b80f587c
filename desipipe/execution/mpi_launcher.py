"""A launcher whose MPI processes are divided among several slots."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence

from ..queue.events import CauseKind
from .capture import OUTPUT_WAIT
from .mpi_connection import Connection, Listener, receive
from .mpi_slot import MPISlot, text_of
from .protocol import (
    Ready,
    decode,
)
from .slot_memory import PACKET

_READY_WAIT_S = 0.02
NEIGHBOUR_FAILED = (
    'the launcher ended all MPI processes of its job, since a task beside it had failed'
)


class Division:
    """Launcher whose processes are divided among slots with a communicator each.

    Parameters
    ----------
    folder, name
        As for :class:`MPISlot`.
    command : callable
        Turns the command line of a rank into that of the launcher; None if the ranks come by
        themselves.
    total : int
        Processes in all.
    splits : int
        Slots.
    remote : bool
        True if ranks may be on other nodes.
    """

    def __init__(
        self,
        folder: str,
        name: str,
        command: Callable[[Sequence[str]], Sequence[str]] | None,
        total: int,
        splits: int,
        remote: bool,
    ) -> None:
        self.total = total
        self.splits = splits
        self.free = deque(range(splits))
        """Communicators that no slot has had."""
        self.culprit = -1
        """The one because of whose task the launcher may have ended all the others."""
        self.slots: set[int] = set()
        self.given = command is None
        """True if the ranks connected by themselves."""
        self.listener = Listener(folder, name, remote, total)
        self.marker = secrets.token_bytes(8)
        self._arriving: list[Connection] = []  # that have not said whose ranks they are
        self._come: dict[int, list[tuple[Connection, Ready, int]]] = {
            color: [] for color in range(splits)
        }
        self._process: subprocess.Popen[bytes] | None = None
        self.argv = [self.listener.address, folder, name, self.marker.hex(), str(splits)]
        if command is not None:
            argv = list(command([sys.executable, '-m', 'desipipe.execution.slot', *self.argv]))
            self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, start_new_session=True)

    def ranks(self, color: int) -> int:
        """Return how many processes a slot has; they are divided as evenly as possible.

        See :func:`desipipe.execution.slot.main`.
        """
        return sum(rank * self.splits // self.total == color for rank in range(self.total))

    def accept(self) -> None:
        """Accept the ranks that have connected; each first names its communicator.

        On a loaded machine that may take long: who has not yet is asked again.
        """
        waiting, self._arriving = self._arriving, []
        new: list[Connection] = []
        while (rank := self.listener.accept()) is not None:
            new.append(rank)
        # As a rule they say it at once, and nothing tells of it.
        until = time.monotonic() + (_READY_WAIT_S if new else 0.0)
        for rank in (*new, *waiting):
            try:
                rank.settimeout(max(0.0, until - time.monotonic()))
                data, errors = receive(rank, PACKET)
            except (BlockingIOError, TimeoutError):
                self._arriving.append(rank)
                continue
            except OSError:
                data, errors = b'', -1
            finally:
                rank.setblocking(False)
            message = decode(data)[0] if data else None
            if isinstance(message, Ready):
                self._come[message.color].append((rank, message, errors))
            else:
                rank.close()

    def come(self, color: int) -> list[tuple[Connection, Ready, int]]:
        """Return the ranks of a communicator that connected since the last call.

        Each comes with its first packet and the file of its errors.
        """
        arrived, self._come[color] = self._come[color], []
        return arrived

    def ended(self) -> int | None:
        """Exit status of the launcher, as of :func:`os.waitpid`; None while it runs."""
        code = self._process.poll() if self._process is not None else None
        return None if code is None else -code if code < 0 else code << 8

    def leave(self, color: int) -> None:
        """A slot has ended; with the last one the launcher does."""
        self.slots.discard(color)
        if not self.slots:
            self.free.clear()
            self.listener.close()
            for rank in self._arriving:
                rank.close()
            if self._process is not None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(2 * OUTPUT_WAIT)  # its ranks end when nobody listens to them
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()


class SplitSlot(MPISlot):
    """A slot whose processes are a part of those of a launcher.

    Parameters
    ----------
    folder, name, trusts, limit
        As for :class:`SlotProcess`.
    division : Division
        Division whose next communicator it takes.
    """

    def __init__(
        self, folder: str, name: str, trusts: Callable[[int], bool], limit: int, division: Division
    ) -> None:
        self.division = division
        self.color = division.free.popleft()
        self._lost_at = 0.0
        self._lost = ''
        super().__init__(folder, name, trusts, limit, lambda argv: argv, division.ranks(self.color))

    def _start(
        self, out: tuple[int, int], err: tuple[int, int], undo: contextlib.ExitStack
    ) -> None:
        # Ranks send their output with their reports; the pipes stay open, and empty.
        self._ends = os.dup(out[1]), os.dup(err[1])
        self.division.slots.add(self.color)
        self.sock = self.division.listener.sock.dup()
        self.started = time.monotonic()
        self.pid = 0

    def _accept(self) -> None:
        self.division.accept()
        for rank, ready, errors in self.division.come(self.color):
            self._connected.append(rank)
            if errors >= 0:
                self._errors[rank] = errors
            self._number[rank] = ready.rank
            self._check(ready.size)

    def _wanted(self) -> int:
        return self.division.total

    def _gone(self, rank: Connection) -> None:
        self._keep_last_words(rank)
        if self.dying is not None or self._lost_at:
            return
        self._lost_at = time.monotonic()
        self._lost = (
            f'its MPI process of rank {self._number.get(rank, -1):d} ended in the middle (killed, '
            'os._exit?)'
        )
        if self.division.culprit < 0:
            self.division.culprit = self.color
        self.overdue(self._lost_at)

    def overdue(self, now: float) -> None:
        """End the slot when a rank has gone, as well as for what ends any MPI slot."""
        if not self.ready and self.dying is None:
            self._accept()
        if not self._lost_at or self.dying is not None:
            super().overdue(now)
            return
        raised = self._raised()
        if raised is not None:
            self._last_of(raised)
        elif self.division.culprit == self.color:
            self.kill(CauseKind.EXIT, self._lost)
        elif self.division.ended() is not None or (
            self.division.given and now - self._lost_at > OUTPUT_WAIT
        ):
            self.kill(CauseKind.NEIGHBOUR, NEIGHBOUR_FAILED)
        elif (
            now - self._lost_at > OUTPUT_WAIT
        ):  # the launcher lives, and with it the others: it was this one alone
            self.kill(CauseKind.EXIT, self._lost)

    def collect(self, marked: bool | None | tuple[bytes, ...]) -> tuple[bytes, bytes]:
        """Return the output of the slot's first rank, and the errors of the failed one."""
        first = self._outputs[0]
        out, err = first if isinstance(first, tuple) and first else (b'', b'')
        err += self._of_others()
        for copy, data in ((self.out.copy, out), (self.err.copy, err)):
            if copy is not None:
                copy.write(data)
                copy.end()
        return out, err

    def kill(self, kind: str, text: str, number: int = signal.SIGKILL) -> None:
        """End this slot's processes: they exit when the worker closes their connections."""
        if self.dying is None:
            self.dying = kind, text
            if self.division.culprit < 0 and self.sent:
                self.division.culprit = self.color
            for rank in self._connected:
                with contextlib.suppress(OSError):
                    rank.shutdown(socket.SHUT_RDWR)
            os.kill(os.getpid(), signal.SIGCHLD)  # so that the worker looks who has ended

    def reap(self) -> bool:
        """Return True if it has ended, or the launcher."""
        if self.reaped is None:
            self.reaped = 0 if self.dying is not None else self.division.ended()
        return self.reaped is not None

    def _sweep(self) -> None:
        return

    def _why(self) -> tuple[str, str]:
        if (raised := self._raised()) is not None:
            self._last_of(raised)
            return CauseKind.RANK, text_of(raised)
        if self.division.culprit not in (-1, self.color):
            return CauseKind.NEIGHBOUR, NEIGHBOUR_FAILED
        return super()._why()

    def close(self) -> None:
        """Close all connections."""
        for fd in (self.out.fd, self.err.fd, *self._ends):
            os.close(fd)
        self.sock.close()
        for rank in self._connected:
            rank.close()
        for errors in self._errors.values():
            os.close(errors)
        self.division.leave(self.color)
        self._followed.close()
