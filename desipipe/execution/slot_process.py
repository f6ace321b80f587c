"""The worker's side of a slot: start it, feed it, take back, collect its output, end it."""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import signal
import socket
import struct
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

import orjson

from ..queue.events import Ref
from ..store.files import live_file, open_file, remove, share
from . import limits
from .capture import OUTPUT_WAIT, Stream
from .mpi_connection import Connection
from .output_copy import SlotCopies
from .output_pipe import LateOutput
from .protocol import (
    TOKEN,
    GroupSettings,
    Message,
    Packet,
    Place,
    ResultsWritten,
    StoredPacket,
    TaskDone,
    as_place,
    decode,
    encode,
)
from .shell_template import OOM_WORDS, oom_kills, signal_name
from .slot import run_child
from .slot_memory import PACKET, Results, SharedMemory

AHEAD = 512  # tasks a slot may have before it
PACKET_TASKS_MAX = 256  # tasks that go to a slot together; their tokens are written in one piece
LIVE_AFTER = 0.1  # s a task runs before its output is copied to where others can follow it
OOM_AGE = 1.0  # s; asking the kernel takes as long as some tasks do


class Sent(NamedTuple):
    """A task in a slot's hands."""

    row: int
    attempt: int
    group: int
    timeout: float | None


class Died(NamedTuple):
    """A slot's end."""

    running: Sent | None
    """What it was running."""
    unbegun: list[Sent]
    text: str
    kind: str


class SlotProcess:
    """A slot as its worker sees it: a forked child, or an ``mpiexec`` with several ranks.

    Parameters
    ----------
    folder : str
        The queue's folder.
    name : str
        Of the slot: worker's name and a number.
    trusts : callable
        Whether payloads of a user (by id) may be loaded.
    limit : int
        Bytes of each output stream to keep of a task.
    """

    ahead = AHEAD
    rank_files: Sequence[bytes | Place] = ()
    """Of several processes, the files that each of them read and wrote."""
    _blamed = 0  # out-of-memory kills that slots of this worker were said to have died of

    def __init__(self, folder: str, name: str, trusts: Callable[[int], bool], limit: int) -> None:
        self.folder = folder
        self.name = name
        self.trusts = trusts
        self.limit = limit
        self.sent: deque[Sent] = deque()
        self._numbers: deque[int] = deque()  # of those in `sent`, as the slot knows them
        self._next_number = 0
        self._unsent: deque[bytes] = deque()  # packets for which the socket had no room
        self.groups: set[int] = set()
        self.since = (
            time.monotonic()
        )  # at which the first of `sent` began, as far as we know; at first, the slot itself
        self.dying: tuple[str, str] | None = None  # kind and words, once we have killed it
        self.reaped: int | None = None
        self.memory = 0
        """Once it has ended: the most resident memory since its last task began (or of the
        largest command of any of its tasks), kilobytes; 0: not known.
        """
        self.answered = False
        self.waits_for: tuple[bytes, ...] = ()
        """Tasks that its task waits for."""
        self.ended_at = 0.0
        """Monotonic time at which its end was seen, while it is not judged yet."""
        self.shown: list[Ref] = []
        """What its task displayed that is too large for its output."""
        self._marker = b'\0desipipe-' + secrets.token_hex(8).encode() + b'\0'
        self._live = -1
        self._live_attempt = (-1, -1)
        self._live_size = 0
        self._oom = self._other_oom_kills()
        self._oom_at = time.monotonic()
        self.last_word: TaskDone | None = None
        """What one of several processes reported before the others had to be killed."""
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
        self._tokens = os.pipe()
        for fd in self._tokens:
            undo.callback(os.close, fd)
            os.set_blocking(fd, False)
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            # The other end stays open in the worker, and is not needed here: the child dies with
            # its parent by other means.
            run_child(
                (self._inner, handover),
                self._tokens[0],
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
        """Take the new pipes that the slot has made; return the old ones, which processes of an
        earlier task may still hold.
        """
        try:
            _, fds, _, _ = socket.recv_fds(self._handover, 1, 2)
        except OSError:
            fds = []
        if (
            len(fds) < 2
        ):  # no descriptors are left: what the slot prints from here on could not be read
            for fd in fds:
                os.close(fd)
            self.kill(
                'descriptors', 'the worker had no file descriptors left for the output of this slot'
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

    def copy_output(self, copies: SlotCopies) -> None:
        """Copy what tasks print, as it comes, to files of the worker."""
        number = self.name.rpartition('-')[2]
        self.out.copy, self.err.copy = copies.of('out', number), copies.of('err', number)

    @property
    def sockets(self) -> Sequence[Connection]:
        """Return what to select on for packets."""
        return [self.sock]

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
            What the slot gets of them.
        settings : callable
            Makes the settings of their group, which are sent first if the slot does not know
            them.
        store : callable
            Where to put a packet that is too large for the socket.

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
            data = encode(packet._replace(first=self._next_number))
            if len(data) > PACKET:
                data = encode(StoredPacket(as_place(store(data))))
            self._hand_over(data, len(tasks))
        except (BlockingIOError, BrokenPipeError, ConnectionResetError):
            return False
        if not self.sent:
            self.since = time.monotonic()
            if self.since - self._oom_at > OOM_AGE:
                self._oom, self._oom_at = self._other_oom_kills(), self.since
        self.sent.extend(tasks)
        self._numbers.extend(range(self._next_number, self._next_number + len(tasks)))
        self._next_number += len(tasks)
        return True

    def _hand_over(self, data: bytes, n: int) -> None:
        """Send a packet.

        First come the tokens: from then on its tasks are the slot's, until they are taken back.
        """
        numbers = range(self._next_number, self._next_number + n)
        os.write(self._tokens[1], b''.join([TOKEN.pack(number & 0xFFFFFFFF) for number in numbers]))
        self._unsent.append(data)
        self.push()

    def push(self) -> bool:
        """Send packets that had to wait; return True if none is left."""
        try:
            while self._unsent:
                self._put(self._unsent[0])
                self._unsent.popleft()
        except (BlockingIOError, BrokenPipeError, ConnectionResetError):
            return False  # of a slot that has ended, its end says so
        return True

    def _put(self, data: bytes) -> None:
        self.sock.send(data)

    def take_back(self) -> list[Sent]:
        """Take back what the slot has not begun: from here on it never will.

        What it is running stays.
        """
        n = 0
        with contextlib.suppress(BlockingIOError):  # that was all
            while data := os.read(self._tokens[0], 1 << 16):
                n += len(data) // TOKEN.size
        back = [self.sent.pop() for _ in range(n)]
        for _ in back:
            self._numbers.pop()
        back.reverse()
        return back

    def look(self) -> bool:
        """Find out since when the first task runs; return True if there are results to be
        received first.
        """
        if self._shared.has_more():
            return True
        if self._numbers and (began := self._shared.began(self._numbers[0])) is not None:
            self.since = began
        return False

    # Collecting

    def receive(self) -> list[Message | Results]:
        """Packets that came, and results from the shared memory, in their order."""
        found: list[Message | Results] = []
        # Counted first: a result that is written while the socket is read may belong behind a
        # packet that comes too late for this time.
        written = self._shared.written
        with contextlib.suppress(BlockingIOError, ConnectionResetError):  # that was all
            while data := self.sock.recv(PACKET * 2):
                self._add_message(data, found)
        if self.reaped is not None and (data := self._shared.last_report()):
            self._add_message(data, found)
        if (results := self._shared.take(written)) is not None:
            found.append(results)
        self.push()
        return found

    def _add_message(self, data: bytes, found: list[Message | Results]) -> None:
        message, written = decode(data)
        if (results := self._shared.take(written)) is not None:
            found.append(results)
        if not isinstance(message, ResultsWritten):
            found.append(message)

    def pop(self, n: int = 1) -> list[Sent]:
        """Remove tasks that ended from those in the slot's hands; they are returned."""
        for _ in range(n):
            self._numbers.popleft()
        return [self.sent.popleft() for _ in range(n)]

    def accounts_for(self, results: Results) -> bool:
        """Return True if results are those of the tasks that come next."""
        n = len(results.numbers)
        return (
            n <= len(self._numbers)
            and [number & 0xFFFFFFFF for number in itertools.islice(self._numbers, n)]
            == results.numbers
        )

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
        self._shared.begin_drain()  # before, never after: see Slot._end_output
        self.out.drain()
        self.err.drain()
        # Markers alone do not count: each that is read would be answered by another one.
        self._shared.end_drain(self.out.pending or self.err.pending)

    def follow(self, tid: str) -> None:
        """Copy new output of the running task to the file that others follow."""
        if not self.sent or not (self.out.fresh or self.err.fresh):
            return
        try:
            self._copy(tid)
        except OSError:
            # A full disk: what there is to see live is less than what there is to lose. The output
            # itself is kept, and reported at the end.
            self.out.fresh.clear()
            self.err.fresh.clear()

    def _copy(self, tid: str) -> None:
        task = self.sent[0]
        if self._live < 0:
            self._live = open_file(self.folder, live_file(self.name), os.O_RDWR | os.O_CREAT)
            share(self._live, self.folder)
        if (
            self._live_attempt != (task.row, task.attempt)
            or self._live_size > 4 * self.limit
            or self.out.gap
            or self.err.gap
        ):
            # Another task, or too much: begin again. Who follows sees the file shrink, or its first
            # line change.
            missed = self.out.followed, self.err.followed
            header = (
                orjson.dumps(
                    {
                        'tid': tid,
                        'attempt': task.attempt,
                        'part': secrets.token_hex(4),
                        'missed': missed,
                    }
                )
                + b'\n'
            )
            os.ftruncate(self._live, 0)
            self._live_size = os.pwrite(self._live, header, 0)
            self._live_attempt = (task.row, task.attempt)
            self.out.gap = self.err.gap = False
        for kind, stream in ((b'o', self.out), (b'e', self.err)):
            if stream.fresh:
                self._live_size += os.pwrite(
                    self._live,
                    kind + struct.pack('<I', len(stream.fresh)) + stream.fresh,
                    self._live_size,
                )
                stream.fresh.clear()

    # Ending

    def kill(self, kind: str, text: str, number: int = signal.SIGKILL) -> None:
        """End the slot and what it started; its task's cause is ``text``."""
        self.dying = self.dying or (kind, text)
        # The group may hold more than the slot; and right after the fork the slot may not have made
        # it yet.
        for target in (os.killpg, os.kill) if self.reaped is None else (os.killpg,):
            with contextlib.suppress(ProcessLookupError):
                target(self.pid, number)

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
                if (
                    pid and sys.platform == 'linux'
                ):  # elsewhere it is that of all tasks, see `slot._resets`
                    self.memory = used.ru_maxrss
            except ChildProcessError:
                pid, status = self.pid, 0
            if pid:
                self.reaped = status
        return self.reaped is not None

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

    def _has_begun(self) -> bool:
        return self._shared.began(self._numbers[0]) is not None

    def _sweep(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)  # what its task had started

    def _why(self) -> tuple[str, str]:
        status = self.reaped or 0
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            name = signal_name(number)
            if number == signal.SIGKILL and self._out_of_memory():
                return 'oom', OOM_WORDS
            if number == signal.SIGKILL:
                return 'signal', 'killed by signal 9 (SIGKILL), from outside of desipipe'
            words = {
                signal.SIGSEGV: 'segmentation fault',
                signal.SIGBUS: 'bus error',
                signal.SIGABRT: 'abort',
                signal.SIGFPE: 'arithmetic error',
            }.get(signal.Signals(number) if name.startswith('SIG') else signal.SIGKILL, 'killed')
            return 'signal', f'{words}: signal {number:d} ({name})'
        return (
            'exit',
            (
                'its process ended in the middle (os._exit?) with exit status '
                f'{os.WEXITSTATUS(status):d}'
            ),
        )

    def _out_of_memory(self) -> bool:
        # The kernel counts such kills of the whole machine since boot. One that came after this
        # slot got its task, and that no other slot of ours died of, says what it was as well as can
        # be known: whom it killed, the kernel tells only those who may read its log.
        found = self._other_oom_kills() > self._oom
        SlotProcess._blamed += found
        return found

    @staticmethod
    def _other_oom_kills() -> int:
        return oom_kills() - SlotProcess._blamed

    def close(self) -> None:
        """Close all connections; the process must have ended."""
        for stream in (self.out, self.err):
            os.close(stream.fd)
        for fd in self._tokens:
            os.close(fd)
        self._handover.close()
        self.sock.close()
        self._inner.close()
        self._shared.close()
        self._close_live()

    def _close_live(self) -> None:
        if self._live >= 0:
            os.close(self._live)
            remove(self.folder, live_file(self.name), missing_ok=True)
