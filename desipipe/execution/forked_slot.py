"""A slot that is forked from its worker: one process, with memory that both share."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence

from ..queue.events import CauseKind
from . import (
    limits,
    shell_template,  # noqa: F401 - here, so that no fork loads it for its first shell cell
)
from .capture import OUTPUT_WAIT, Stream
from .mpi_connection import Connection
from .output_pipe import LateOutput
from .protocol import Message, ResultsWritten, decode
from .sent_tasks import Sent, TokenPipe
from .slot import run_child
from .slot_memory import PACKET, Results, SharedMemory
from .slot_process import SlotProcess


class ForkedSlot(SlotProcess):
    """A slot that is a forked child of its worker.

    Parameters
    ----------
    folder, name, trusts, limit
        As for :class:`SlotProcess`.
    """

    def _start(
        self, out: tuple[int, int], err: tuple[int, int], undo: contextlib.ExitStack
    ) -> None:
        self._handover, handover = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        undo.callback(self._handover.close)
        self._handover.setblocking(False)
        with handover:
            self._fork(out, err, handover, undo)

    def _fork(
        self,
        out: tuple[int, int],
        err: tuple[int, int],
        handover: socket.socket,
        undo: contextlib.ExitStack,
    ) -> None:
        self.sock, self._inner = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        undo.callback(self.sock.close)
        undo.callback(self._inner.close)
        self.sock.setblocking(False)
        self._shared = SharedMemory()
        undo.callback(self._shared.close)
        self._tokens = TokenPipe()
        undo.callback(self._tokens.close)
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            # The other end stays open in the worker, and is not needed here: the child dies with
            # its parent by other means.
            run_child(
                (self._inner, handover),
                self._tokens.read_end,
                out,
                err,
                self.folder,
                self.name,
                self._marker,
                self._shared,
                self.trusts,
                parent,
                limits.started_with,
            )

    def renew_streams(self) -> list[LateOutput]:
        """Take the new pipes that the slot has made; return the old ones.

        Processes of an earlier task may still hold those.
        """
        try:
            _, fds, _, _ = socket.recv_fds(self._handover, 1, 2)
        except OSError:
            fds = []
        if len(fds) < 2:
            # No descriptors are left: what the slot prints from here on could not be read.
            for fd in fds:
                os.close(fd)
            self.kill(
                CauseKind.DESCRIPTORS,
                'the worker had no file descriptors left for the output of this slot',
            )
            return []
        old = [
            LateOutput(stream.fd, self.name, stream.remains()) for stream in (self.out, self.err)
        ]
        for fd in fds:
            os.set_inheritable(fd, False)
        copies = self.out.copy, self.err.copy
        self.out, self.err = (Stream(fd, self._marker, self.limit) for fd in fds)
        self.out.copy, self.err.copy = copies
        return old

    @property
    def sockets(self) -> Sequence[Connection]:
        """Connections to select on for packets."""
        return [self.sock]

    # Feeding

    def _put(self, data: bytes) -> None:
        self.sock.send(data)

    def _hand_over(self, data: bytes, n: int) -> None:
        """Send a packet.

        First come the tokens: from then on its tasks are the slot's, until they are taken back.
        """
        first = self._handed.next_number
        self._tokens.write(range(first, first + n))
        self._unsent.append(data)
        self.push()

    def take_back(self) -> list[Sent]:
        """Take back what the slot has not begun: from here on it never will.

        What it is running stays.
        """
        return self._handed.pop_last(self._tokens.take_back())

    def look(self) -> bool:
        """Find out since when the first task runs; return True if results come first."""
        if self._shared.has_more():
            return True
        if self.sent and (began := self._shared.began(self._handed.first_number)) is not None:
            self.since = began
        return False

    # Collecting

    def receive(self) -> list[Message | Results]:
        """Packets that came, and results from the shared memory, in their order."""
        messages: list[Message | Results] = []
        # Counted first: a result that is written while the socket is read may belong behind a
        # packet that comes too late for this time.
        written = self._shared.written
        with contextlib.suppress(BlockingIOError, ConnectionResetError):  # that was all
            while data := self.sock.recv(PACKET * 2):
                self._add_message(data, messages)
        if self.reaped is not None and (data := self._shared.last_report()):
            self._add_message(data, messages)
        if (results := self._shared.take(written)) is not None:
            messages.append(results)
        self.push()
        return messages

    def _add_message(self, data: bytes, messages: list[Message | Results]) -> None:
        message, written = decode(data)
        if (results := self._shared.take(written)) is not None:
            messages.append(results)
        if not isinstance(message, ResultsWritten):
            messages.append(message)

    def collect(self, marked: bool | None | tuple[bytes, ...]) -> tuple[bytes, bytes]:
        """Return what the task that just ended wrote to stdout and stderr.

        None stands for a stream that the task closed, so that there is no marker.
        """
        if marked is None:
            self.drain()
            return self.out.remains(), self.err.remains()
        if not marked:
            return b'', b''
        # The markers were written before the packet that brought us here was sent: they are in the
        # pipes at the latest now.
        self.drain()
        deadline = time.monotonic() + OUTPUT_WAIT
        while not (self.out.marks and self.err.marks) and time.monotonic() < deadline:
            time.sleep(0.001)  # a poll of pipes that left-over processes of a task fill as well
            self.drain()
        return self.out.take(min(1, self.out.marks)), self.err.take(min(1, self.err.marks))

    def drain(self) -> None:
        """Read the pipes."""
        self._shared.begin_drain()  # before, never after: see SlotOutput.end_task
        self.out.drain()
        self.err.drain()
        # Markers alone do not count: each that is read would be answered by another one.
        self._shared.end_drain(self.out.pending or self.err.pending)

    # Ending

    def tell(self) -> None:
        """Send the running task SIGUSR1: its job's time limit is near."""
        if self.sent and self.dying is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGUSR1)

    def reap(self) -> bool:
        """Return True if the process has ended; never waits."""
        if self.reaped is None:
            try:
                pid, status, used = os.wait4(self.pid, os.WNOHANG)
                # Elsewhere it is that of all tasks: the slot cannot begin a new count.
                if pid and sys.platform == 'linux':
                    self.memory = used.ru_maxrss
            except ChildProcessError:
                pid, status = self.pid, 0
            if pid:
                self.reaped = status
        return self.reaped is not None

    def _has_begun(self) -> bool:
        return self._shared.began(self._handed.first_number) is not None

    def close(self) -> None:
        """Close all connections; the process must have ended."""
        for stream in (self.out, self.err):
            os.close(stream.fd)
        self._tokens.close()
        self._handover.close()
        self.sock.close()
        self._inner.close()
        self._shared.close()
        self._followed.close()
