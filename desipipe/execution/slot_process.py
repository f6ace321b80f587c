"""The worker's side of a slot: start, feed, take back, collect output, end."""

from __future__ import annotations

import abc
import contextlib
import os
import secrets
import signal
import time
from collections import deque
from collections.abc import Callable, Sequence

from ..queue.events import Ref
from .capture import Stream
from .followed_output import FollowedOutput
from .mpi_connection import Connection
from .output_copy import SlotCopies
from .output_pipe import LateOutput
from .protocol import (
    GroupSettings,
    Message,
    Packet,
    Place,
    StoredPacket,
    TaskDone,
    as_place,
    encode,
)
from .sent_tasks import Sent, SentTasks
from .slot_exit import Died, OutOfMemoryKills, exit_cause
from .slot_memory import PACKET, Results

AHEAD = 512  # tasks a slot may have before it
PACKET_TASKS_MAX = 256  # tasks that go to a slot together; their tokens are written in one piece
LIVE_AFTER = 0.1  # s a task runs before its output is copied to where others can follow it


class SlotProcess(abc.ABC):
    """A slot as its worker sees it: a forked child, or the ranks of an ``mpiexec``.

    Parameters
    ----------
    folder : str
        The queue's folder.
    name : str
        Of the slot: worker's name and a number.
    trusts : callable
        Gives True if payloads of a user (by id) may be loaded.
    limit : int
        Bytes of each output stream to keep of a task.
    """

    ahead = AHEAD
    pid: int
    rank_files: Sequence[bytes | Place] = ()
    """Lists of files that each of several processes read and wrote."""

    def __init__(self, folder: str, name: str, trusts: Callable[[int], bool], limit: int) -> None:
        self.folder = folder
        self.name = name
        self.trusts = trusts
        self.limit = limit
        self._handed = SentTasks()
        self.sent = self._handed.tasks
        self._unsent: deque[bytes] = deque()  # packets for which the socket had no room
        self.groups: set[int] = set()
        self.warm: set[int] = set()  # groups of which a task has ended: their imports are loaded
        self.since = time.monotonic()
        """Monotonic time at which the first of ``sent``, or at first the slot, began."""
        self.dying: tuple[str, str] | None = None
        """Kind and text of the cause for which it was killed."""
        self.reaped: int | None = None
        self.memory = 0
        """Most resident memory since its last task began, kilobytes; 0: not known.

        It is known once the process has ended. The largest command of any of its tasks counts too.
        """
        self.answered = False
        self.waits_for: tuple[bytes, ...] = ()
        """Tasks that its task waits for."""
        self.ended_at = 0.0
        """Monotonic time at which its end was seen, while it is not judged yet."""
        self.shown: list[Ref] = []
        """Displays of its task that are too large for its output."""
        self._marker = b'\0desipipe-' + secrets.token_hex(8).encode() + b'\0'
        self._followed = FollowedOutput(folder, name, limit)
        self._oom = OutOfMemoryKills()
        self.last_word: TaskDone | None = None
        """Report of one of several processes, before the others had to be killed."""
        with contextlib.ExitStack() as undo:  # when there are no descriptors, or no processes, left
            pipes = [self._pipe(undo), self._pipe(undo)]
            self.out = Stream(pipes[0][0], self._marker, limit)
            self.err = Stream(pipes[1][0], self._marker, limit)
            self._start(pipes[0], pipes[1], undo)
            undo.pop_all()
        for _, end in pipes:
            os.close(end)

    @staticmethod
    def _pipe(undo: contextlib.ExitStack) -> tuple[int, int]:
        ends = os.pipe()
        for fd in ends:
            undo.callback(os.close, fd)
        os.set_blocking(ends[0], False)
        return ends

    def copy_output(self, copies: SlotCopies) -> None:
        """Copy what tasks print, as it comes, to files of the worker."""
        number = self.name.rpartition('-')[2]
        self.out.copy, self.err.copy = copies.of('out', number), copies.of('err', number)

    # Feeding

    def send(
        self,
        tasks: Sequence[Sent],
        packet: Packet,
        settings: Callable[[int], GroupSettings],
        store: Callable[[bytes], Ref],
    ) -> bool:
        """Hand tasks of one group over.

        Parameters
        ----------
        tasks : sequence of Sent
            At most :data:`PACKET_TASKS_MAX`.
        packet : Packet
            Message that the slot gets of them.
        settings : callable
            Makes the settings of their group, which are sent first if the slot does not know
            them.
        store : callable
            Function that stores a packet too large for the socket.

        Returns
        -------
        sent : bool
            ``False`` if the socket is full.
        """
        if not self.push():
            return False
        number = tasks[0].group
        try:
            if number not in self.groups:
                self._put(encode(settings(number)))
                self.groups.add(number)
            data = encode(packet._replace(first=self._handed.next_number))
            if len(data) > PACKET:
                data = encode(StoredPacket(as_place(store(data))))
            self._hand_over(data, len(tasks))
        except (BlockingIOError, BrokenPipeError, ConnectionResetError):
            return False
        if not self.sent:
            self.since = time.monotonic()
            self._oom.begin(self.since)
        self._handed.add(tasks)
        return True

    def push(self) -> bool:
        """Send packets that had to wait; return True if none is left."""
        try:
            while self._unsent:
                self._put(self._unsent[0])
                self._unsent.popleft()
        except (BlockingIOError, BrokenPipeError, ConnectionResetError):
            return False  # of a slot that has ended, its end says so
        return True

    # Collecting

    def pop(self, n: int = 1) -> list[Sent]:
        """Remove tasks that ended from those in the slot's hands; they are returned."""
        return self._handed.pop(n)

    def accounts_for(self, results: Results) -> bool:
        """Return True if results are those of the tasks that come next."""
        return self._handed.accounts_for(results)

    def follow(self, tid: str) -> None:
        """Copy new output of the running task to the file that others follow."""
        if self.sent:
            self._followed.update(self.sent[0], tid, self.out, self.err)

    # Ending

    def kill(self, kind: str, text: str, number: int = signal.SIGKILL) -> None:
        """End the slot and what it started; its task's cause is ``text``."""
        self.dying = self.dying or (kind, text)
        # The group may hold more than the slot; and right after the fork the slot may not have made
        # it yet.
        for target in (os.killpg, os.kill) if self.reaped is None else (os.killpg,):
            with contextlib.suppress(ProcessLookupError):
                target(self.pid, number)

    @property
    def killed_by(self) -> int:
        """The signal that ended it; 0 if none did."""
        status = self.reaped or 0
        return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0

    def died(self) -> Died:
        """Return what the end of this slot means.

        Call it after :meth:`reap`, and after its last packets were handled.
        """
        self._sweep()
        unbegun = self.take_back()
        # One that was killed for what it ran, or did not run, ran the first task; else it may have
        # ended between two.
        running = (
            self.sent.popleft()
            if self.sent and (self.dying is not None or self._has_begun())
            else None
        )
        kind, text = self.dying or self._why()
        return Died(running, list(self.sent) + unbegun, text, kind)

    def _why(self) -> tuple[str, str]:
        return exit_cause(self.reaped or 0, self._oom)

    # Each kind of slot has its own

    @abc.abstractmethod
    def _start(
        self, out: tuple[int, int], err: tuple[int, int], undo: contextlib.ExitStack
    ) -> None:
        """Start the process; what has to be closed if that fails goes to ``undo``."""

    @property
    @abc.abstractmethod
    def sockets(self) -> Sequence[Connection]:
        """Connections to select on for packets."""

    @abc.abstractmethod
    def _put(self, data: bytes) -> None:
        """Send a packet, or raise :class:`BlockingIOError`."""

    @abc.abstractmethod
    def _hand_over(self, data: bytes, n: int) -> None:
        """Send a packet of ``n`` tasks."""

    @abc.abstractmethod
    def take_back(self) -> list[Sent]:
        """Take back what the slot has not begun: from here on it never will.

        What it is running stays.
        """

    @abc.abstractmethod
    def look(self) -> bool:
        """Find out since when the first task runs.

        Returns
        -------
        has_results : bool
            True if there are results to be received first.
        """

    @abc.abstractmethod
    def receive(self) -> list[Message | Results]:
        """Return packets that came, and results from the shared memory, in their order."""

    @abc.abstractmethod
    def collect(self, marked: bool | None | tuple[bytes, ...]) -> tuple[bytes, bytes]:
        """Return what the task that just ended wrote to stdout and stderr.

        None stands for a stream that the task closed, so that there is no marker.
        """

    @abc.abstractmethod
    def drain(self) -> None:
        """Read the pipes."""

    @abc.abstractmethod
    def tell(self) -> None:
        """Tell the running task that its job's time limit is near, where that is possible."""

    @abc.abstractmethod
    def reap(self) -> bool:
        """Return True if the process has ended; never waits."""

    @abc.abstractmethod
    def _has_begun(self) -> bool:
        """Return True if the first task has begun."""

    def _sweep(self) -> None:
        """End what tasks of the slot have started, once it has ended."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def renew_streams(self) -> list[LateOutput]:
        """Take new pipes for the output; return the old ones, which others may still hold.

        A slot whose output a launcher passes on keeps its pipes.
        """
        return []

    @abc.abstractmethod
    def close(self) -> None:
        """Close all connections; the process must have ended."""
