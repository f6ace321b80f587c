"""The slot's link to its worker: packets, tokens, and results in shared memory."""

from __future__ import annotations

import os
import struct
import time

from ..mpi_connection import Connection
from ..protocol import TOKEN, Message, ResultsWritten, TaskDone, encode
from ..slot_memory import PACKET, SharedMemory

_WORD = 0xFFFFFFFF


class WorkerLink:
    """The way of tasks to this process, and of reports back.

    Parameters
    ----------
    sock : socket.socket or Channel
        To the worker.
    shared : SharedMemory or None
        Shared with the worker; MPI processes have none.
    tokens : int, default=-1
        Descriptor from where tokens are read; without it each task that comes is run.
    """

    def __init__(self, sock: Connection, shared: SharedMemory | None, tokens: int = -1) -> None:
        self._sock = sock
        self.shared = shared
        self._tokens = tokens
        self._token = -1  # read, and not used yet
        self._n_told = 0  # results of which the worker was told
        self.told_at = 0.0
        """Monotonic time at which the worker was told of results."""
        self.wake_after = 0.0
        """Seconds that a result waits for others before the worker is told."""
        self.is_cut = False
        """True once user code has closed the connection to the worker."""
        self.current = (-1, -1)
        """Row and attempt of the task that runs."""

    def receive(self) -> bytes:
        """Return the next packet; empty when the worker has closed the connection."""
        return self._sock.recv(PACKET)

    def may_begin(self, number: int) -> bool:
        """Return True if a task is still this slot's, by its token."""
        if self._tokens < 0:
            return True
        if self._token < 0:
            try:
                self._token = TOKEN.unpack(os.read(self._tokens, TOKEN.size))[0]
            except BlockingIOError:
                return False  # taken back
            except (OSError, struct.error):
                self.is_cut = True  # user code has closed it
                return False
        return self._token == number & _WORD  # else it is that of a later task

    def begin(self, number: int, now: float) -> None:
        """Tell that a task begins."""
        self._token = -1
        if self.shared is not None:
            self.shared.begin(number, now)

    def wake(self) -> None:
        """Tell the worker of results that it has not been told of."""
        if self.shared is not None and self.shared.written != self._n_told and not self.is_cut:
            self.send(ResultsWritten())
        self.told_at = time.monotonic()

    def wake_if_due(self) -> None:
        """Tell the worker of results when they waited for long enough."""
        if time.monotonic() - self.told_at > self.wake_after:
            self.wake()

    def send(self, message: Message) -> None:
        """Send a message; where that is impossible, leave a report in the shared memory."""
        data = self._encoded(message)
        try:
            self._sock.send(data)
        except OSError:
            self.is_cut = True
            if self.shared is None:
                raise
            if isinstance(message, TaskDone):
                self.shared.leave(data)

    def send_now(self, message: Message) -> None:
        """Send a message from any thread.

        Raises
        ------
        OSError
            User code has closed the connection.
        """
        self._sock.send(self._encoded(message))

    def _encoded(self, message: Message) -> bytes:
        if self.shared is None:
            return encode(message)
        self._n_told = self.shared.written
        return encode(message, self._n_told)
