"""The worker's side of a slot: start it, feed it, take back, collect its output, end it."""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import signal
import socket
import struct
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

import orjson

from ..queue.events import Ref
from ..security.secrets import begun, hide, process_values
from ..store.files import live_file, open_file, remove, share
from . import limits
from .mpi_connection import Connection, Listener, receive, taken
from .output_copy import SlotCopies, StreamCopy
from .output_pipe import LateOutput
from .protocol import (
    TOKEN,
    GroupSettings,
    Message,
    Packet,
    Place,
    Ready,
    ResultsWritten,
    StoredPacket,
    TaskDone,
    decode,
    encode,
)
from .shell_template import OOM_WORDS, oom_kills, signal_name
from .slot import run_child
from .slot_memory import PACKET, Results, SharedMemory

AHEAD = 512  # tasks a slot may have before it
PACKET_TASKS_MAX = 256  # tasks that go to a slot together; their tokens are written in one piece
LIVE_AFTER = 0.1  # s a task runs before its output is copied to where others can follow it
MPI_WAIT = 60.0  # s for the ranks of an MPI slot to connect
RANKS_WAIT = 5.0  # s for the other ranks when one has raised
NEIGHBOUR_WORDS = (
    'the launcher ended all MPI processes of its job, since a task beside it had failed'
)
OUTPUT_WAIT = 2.0  # s for what mpiexec still has to pass on
OOM_AGE = 1.0  # s; asking the kernel takes as long as some tasks do
_READ = 1 << 16
_READS_MAX = 64  # before other slots have their turn


class Sent(NamedTuple):
    """A task in a slot's hands."""

    row: int
    attempt: int
    group: int
    timeout: float | None


class Capture:
    """The output of a task on one stream: head and tail, at most ``limit`` bytes.

    Parameters
    ----------
    limit : int
        Bytes to keep; half head, half tail.
    """

    __slots__ = ('_half', '_head', '_tail', '_tail_size', 'total')

    def __init__(self, limit: int) -> None:
        self._half = limit // 2
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._tail_size = 0
        self.total = 0

    def write(self, data: bytes) -> None:
        """Take more bytes in."""
        self.total += len(data)
        room = self._half - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        if data:
            self._tail.append(data)
            self._tail_size += len(data)
            while self._tail and self._tail_size - len(self._tail[0]) >= self._half:
                self._tail_size -= len(self._tail.popleft())

    def value(self) -> bytes:
        """Return what is kept, with a line in the place of what is not."""
        tail = b''.join(self._tail)[-self._half :] if self._half else b''
        cut = self.total - len(self._head) - len(tail)
        if cut <= 0:
            return bytes(self._head) + tail
        return (
            b'%b\n[desipipe: %d of %d bytes cut here; output_limit in config.yaml sets how '
            b'much is kept]\n%b'
        ) % (bytes(self._head), cut, self.total, tail)


class Stream:
    """One output pipe of a slot; splits what comes at the markers.

    Parameters
    ----------
    fd : int
        Read end, non-blocking.
    marker : bytes
        What stands between tasks.
    limit : int
        For :class:`Capture`.
    """

    def __init__(self, fd: int, marker: bytes, limit: int) -> None:
        self.fd = fd
        self._marker = marker
        self._limit = limit
        self._rest = b''
        self._open = Capture(limit)
        self._closed: deque[bytes] = deque()
        self._marks = 0
        self.fresh = bytearray()  # for those who follow; taken by the worker
        self.gap = False  # whether some of it came too fast to be followed
        self.ended = (
            False  # all who could write have closed it: a selector would report it for ever
        )
        self.copy: StreamCopy | None = None  # to a file that people follow

    def drain(self) -> None:
        """Read what is there, or a part of it when it comes as fast as it is read."""
        for _ in range(_READS_MAX):
            try:
                data = os.read(self.fd, _READ)
            except OSError:
                return
            if not data:
                self.ended = True
                return
            self._feed(data)
            if len(data) < _READ:
                return

    def _feed(self, data: bytes) -> None:
        data = self._rest + data
        while True:
            cut = data.find(self._marker)
            if cut < 0:
                break
            self._take(data[:cut])
            if self.copy is not None:
                self.copy.end()
            self._closed.append(self._open.value())
            self._open = Capture(self._limit)
            self.fresh.clear()
            data = data[cut + len(self._marker) :]
        # A marker, or a secret, may come in two reads: keep back what could be its beginning.
        keep = begun(data, (self._marker, *process_values()))
        self._rest = data[len(data) - keep :]
        self._take(data[: len(data) - keep])

    def write(self, data: bytes) -> None:
        """Take in what did not come through the pipe."""
        self._take(data)

    def _take(self, data: bytes) -> None:
        data = hide(data)
        if data:
            self._open.write(data)
            if self.copy is not None:
                self.copy.write(data)
            self.fresh += data
            if len(self.fresh) > 2 * self._limit:
                del self.fresh[: len(self.fresh) - self._limit]
                self.gap = True

    @property
    def followed(self) -> int:
        """Return how many bytes of the running task's output came before ``fresh``."""
        return self._open.total - len(self.fresh)

    @property
    def pending(self) -> bool:
        """Return True if something was read that no marker has closed yet."""
        return self._open.total > 0 or bool(self._rest)

    @property
    def marks(self) -> int:
        """Return how many markers came that were not taken yet."""
        return len(self._closed)

    def take(self, marks: int = 1) -> bytes:
        """Return what came up to the ``marks``-th marker, which must have come."""
        return b''.join(self._closed.popleft() for _ in range(marks))

    def remains(self) -> bytes:
        """Return what came after the last marker: of a task that did not end."""
        self._take(self._rest)
        self._rest = b''
        if self.copy is not None:
            self.copy.end()
        data = b''.join(self._closed) + self._open.value()
        self._closed.clear()
        self._open = Capture(self._limit)
        return data


class Died(NamedTuple):
    """A slot's end."""

    victim: Sent | None
    """What it was running."""
    unbegun: list[Sent]
    text: str
    kind: str


def _text_of(done: TaskDone) -> str:
    return '' if done.cause is None else str(done.cause['text'])


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
                segment, offset, length = store(data)
                data = encode(StoredPacket((segment, offset, length)))
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
        try:
            while True:
                data = self.sock.recv(PACKET * 2)
                if not data:
                    break
                self._add_message(data, found)
        except (BlockingIOError, ConnectionResetError):
            pass  # that was all
        if self.reaped is not None and (data := self._shared.last_report()):
            self._add_message(data, found)
        if (results := self._shared.take()) is not None:
            found.append(results)
        self.push()
        return found

    def _add_message(self, data: bytes, found: list[Message | Results]) -> None:
        message, written = decode(data)
        if isinstance(message, ResultsWritten):
            return  # what is there is taken at the end
        if (results := self._shared.take(written)) is not None:
            found.append(results)
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
        victim = (
            self.sent.popleft()
            if self.sent and (self.dying is not None or self._has_begun())
            else None
        )
        kind, text = self.dying or self._why()
        return Died(victim, list(self.sent) + unbegun, text, kind)

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


class MPISlot(SlotProcess):
    """A slot of several processes: ``mpiexec`` and its ranks, each connected by a Unix socket; one
    task at a time.

    Parameters
    ----------
    folder, name, trusts, limit
        As for :class:`SlotProcess`.
    command : callable
        Turns the command line of a rank into that of the launcher.
    ranks : int
        How many to expect.
    remote : bool, default=False
        Whether they may be on other nodes.
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
        """Nothing: what a launcher makes of a signal differs from one to the next, and some end
        their ranks.
        """

    def receive(self) -> list[Message | Results]:
        """Packets that came; the ``done`` of a task when all ranks have said it."""
        self._accept()
        found: list[Message | Results] = []
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
                        found.append(message)
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
            found.append(chosen._replace(output=True, files=b'', memory=memory))
            self._done.clear()
            self._failed_at = 0.0
        elif failed and not self._failed_at:
            self._failed_at = time.monotonic()
        return found

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
                'mpi',
                f'the launcher gave an MPI communicator of {size:d} '
                f'process{"es" if size > 1 else ""} instead of {self._wanted():d} '
                '(mpiexec of another MPI than that of mpi4py?): see the provider option mpiexec',
            )

    def overdue(self, now: float) -> None:
        """End the slot when its ranks do not come, or wait for one that has raised."""
        if not self.ready and now - self.started > MPI_WAIT:
            self.kill(
                'mpi',
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
        self.kill('rank', _text_of(raised))

    def collect(self, marked: bool | None | tuple[bytes, ...]) -> tuple[bytes, bytes]:
        """Return what rank 0 wrote to stdout and stderr, and the errors of the rank that failed."""
        # Rank 0 wrote its markers, but mpiexec passes output on when it likes.
        deadline = time.monotonic() + OUTPUT_WAIT
        while not (self.out.marks and self.err.marks) and time.monotonic() < deadline:
            self.drain()
            if not (self.out.marks and self.err.marks):
                time.sleep(0.001)  # a poll of pipes that another program fills
        out, err = self.out.take(min(1, self.out.marks)), self.err.take(min(1, self.err.marks))
        return out, err + self._of_others()

    def _of_others(self) -> bytes:
        """Write what other ranks than the first one wrote to the worker's log; return the errors
        of the one that failed.
        """
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
            and self._out_of_memory()
        ):
            return 'oom', OOM_WORDS
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
        self._close_live()


class Division:
    """A launcher whose processes are divided among several slots, each with its own communicator.

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
        Whether ranks may be on other nodes.
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
        """Whether the ranks came by themselves."""
        self.listener = Listener(folder, name, remote, total)
        self.marker = secrets.token_bytes(8)
        self._come: dict[int, list[tuple[Connection, Ready, int]]] = {
            color: [] for color in range(splits)
        }
        self._process: subprocess.Popen[bytes] | None = None
        self.argv = [self.listener.address, folder, name, self.marker.hex(), str(splits)]
        if command is not None:
            argv = list(command([sys.executable, '-m', 'desipipe.execution.slot', *self.argv]))
            self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, start_new_session=True)

    def ranks(self, color: int) -> int:
        """Processes of a slot: they are divided as evenly as can be, as
        :func:`desipipe.execution.slot.main` does.
        """
        return sum(rank * self.splits // self.total == color for rank in range(self.total))

    def accept(self) -> None:
        """Take in the ranks that have come; each says first to which communicator it belongs."""
        while (rank := self.listener.accept()) is not None:
            rank.settimeout(RANKS_WAIT)  # one that was stopped says nothing
            try:
                data, errors = receive(rank, PACKET)
            except OSError:
                data, errors = b'', -1
            if not data:
                rank.close()
                continue
            message, _ = decode(data)
            rank.setblocking(False)
            if isinstance(message, Ready):
                self._come[message.color].append((rank, message, errors))

    def come(self, color: int) -> list[tuple[Connection, Ready, int]]:
        """Return the ranks of a communicator that have come since the last look, with what they
        said and the files of their errors.
        """
        found, self._come[color] = self._come[color], []
        return found

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
        Whose next communicator it takes.
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
        if not self._lost_at or self.dying is not None:
            super().overdue(now)
            return
        raised = self._raised()
        if raised is not None:
            self._last_of(raised)
        elif self.division.culprit == self.color:
            self.kill('exit', self._lost)
        elif self.division.ended() is not None or (
            self.division.given and now - self._lost_at > OUTPUT_WAIT
        ):
            self.kill('neighbour', NEIGHBOUR_WORDS)
        elif (
            now - self._lost_at > OUTPUT_WAIT
        ):  # the launcher lives, and with it the others: it was this one alone
            self.kill('exit', self._lost)

    def collect(self, marked: bool | None | tuple[bytes, ...]) -> tuple[bytes, bytes]:
        """Return what the first rank of the slot wrote, and the errors of the one that failed."""
        first = self._outputs[0]
        out, err = first if isinstance(first, tuple) and first else (b'', b'')
        err += self._of_others()
        for copy, data in ((self.out.copy, out), (self.err.copy, err)):
            if copy is not None:
                copy.write(data)
                copy.end()
        return out, err

    def kill(self, kind: str, text: str, number: int = signal.SIGKILL) -> None:
        """End the processes of this slot: they end themselves when the worker has left them."""
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
            return 'rank', _text_of(raised)
        if self.division.culprit not in (-1, self.color):
            return 'neighbour', NEIGHBOUR_WORDS
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
        self._close_live()
