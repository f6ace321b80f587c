"""Run tasks in a warm child process of a worker, which calls, captures and returns.

What it says with its worker is in :mod:`~desipipe.execution.protocol`.
"""

from __future__ import annotations

import _thread
import contextlib
import ctypes
import functools
import gc
import io
import os
import pickle
import resource
import select
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from importlib import import_module
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from .. import provenance
from ..config import Config
from ..errors import DesipipeError, MissingDependencyError, NotSerializableError
from ..queue.app import caller
from ..queue.call_here import FAILED_ERRNO
from ..queue.events import FAILED, SUCCEEDED, Event, Group, Ref
from ..queue.faults import passes, patiently
from ..queue.lending import set_lender
from ..security.trust import TrustedUsers
from ..serialize import Payload, carried, class_registry, dumps, loads, stand_ins
from ..serialize.confined import is_confined
from ..serialize.payload import is_plain_pickle
from ..serialize.plain import ATOMS, is_plain
from ..settings.process import StateKeeper
from ..store.files import Owners
from ..store.segment import SegmentReader, SegmentWriter
from ..utils import Overlay, username
from . import limits
from .failure import INLINE, describe_failure
from .mpi_connection import Connection, connect, die_with, send_ready, taken
from .output_pipe import STARTED_MIN_US, OutputPipes
from .protocol import (
    TOKEN,
    DisplayStored,
    GroupSettings,
    Message,
    Packet,
    PipesRenewed,
    Place,
    Ready,
    Requires,
    ResultsWritten,
    StoredPacket,
    TaskDone,
    TaskWaits,
    VersionsFollow,
    VersionsFound,
    decode,
    encode,
)
from .shell_template import call, die_with_parent, most_memory
from .slot_environment import ProcessState, private_descriptor
from .slot_memory import PACKET, SharedMemory

if TYPE_CHECKING:
    from ..serialize.memory import Memory

FILES = 16 * 1024  # bytes; longer lists of files, too
# microseconds; after shorter tasks limits, user and priority are not compared, unless they are the
# first of their app or failed
CHECKED = 100
DISPLAYS_MAX_BYTES = 256 << 20  # of the large displays of a task that are kept
DISPLAYS_MAX = 200
# microseconds; of shorter tasks it is not told how much memory they took, which costs as much as a
# part of them and would say nothing
MEASURED = 1000
CALM_TRIES = 1000
WAITS_MAX = 1000  # tasks that a task is said to wait for
WAKE_AFTER_S = 0.005  # that a result waits for others before the worker is told
UNGUARDED_MAX = 64  # tasks that only compute, after which the process is looked at all the same
SPAN_MAX = 1 << 18  # bytes of the arguments of a packet that are read at once
_TEXT = struct.Struct('<I')


class Outcome(NamedTuple):
    """The end of an attempt, before it is reported."""

    began: float
    duration: int
    """Microseconds."""
    result: bytes | memoryview | Place | None
    cause: Event | None = None
    trace: bytes | None = None

    @property
    def state(self) -> int:
        """The state in which the attempt ended."""
        return SUCCEEDED if self.cause is None else FAILED


class Slot:
    """The child's side.

    Parameters
    ----------
    sock : socket.socket or Channel
        To the worker.
    standard : sequence of int
        Private duplicates of descriptors 0, 1 and 2.
    folder : str
        The queue's folder.
    name : str
        For the slot's segment.
    marker : bytes
        Written to stdout and stderr between tasks that wrote something.
    shared : SharedMemory, default=None
        Shared with the worker. Without it each task counts as having written.
    unread : select.poll, default=None
        Tells, with ``shared``, whether something is in the output pipes.
    trusts : callable
        Whether payloads of a user (by id) may be loaded.
    """

    def __init__(
        self,
        sock: Connection,
        standard: Sequence[int],
        folder: str,
        name: str,
        marker: bytes,
        shared: SharedMemory | None,
        unread: Any,
        trusts: Callable[[int], bool],
    ) -> None:
        self._sock = sock
        self._standard = standard
        self._process = ProcessState(standard)
        self._state: StateKeeper
        self._current = (-1, -1)
        self._waits: dict[object, list[bytes]] = {}
        self._waits_guard = threading.RLock()
        self._reported = True
        self._spoilt = False  # for the next task
        self._cut = False  # from the worker: user code closed the connection
        self._folder = folder
        self._segments = SegmentReader(folder, private=private_descriptor)
        self._writer = SegmentWriter(folder, name, private=private_descriptor)
        self._marker = marker
        self._shared = shared
        self._drained = 0 if shared is None else shared.drains
        self._trusts = trusts
        self._checked: set[Owners] = set()
        self._groups: dict[int, _Known] = {}
        self._codes: dict[Ref, _Code] = {}
        self._main: Memory | None = None  # whose functions and classes `__main__` has now
        self._names: Overlay | None = None
        self._streams = (sys.stdin, sys.stdout, sys.stderr)
        self._environ = os.environ
        self._variables = dict(_raw(os.environ))
        self._told: set[str] = set()
        self._fflush = ctypes.CDLL(None).fflush
        self._unread = unread
        self._resets = _resets()
        self.comm: Any = None
        self.pipes: OutputPipes | None = None
        """Where processes that a task leaves behind can be told apart."""
        self.tokens = -1
        """From where tokens are read; without it each task that comes is run."""
        self._token = -1  # read, and not used yet
        self._woken = 0  # results of which the worker was told
        self._woken_at = 0.0
        self._prepared: _Code | None = (
            None  # for which the process is what the next task of the packet expects
        )
        self._unguarded = 0  # tasks that only computed since the process was looked at
        self._threads = _thread._count()
        self._captured: tuple[int, int] | None = None
        self._displays = self._displays_size = (
            0  # of the task: how many large ones, and their bytes
        )

    def capture(self) -> None:
        """Keep output here and send it with the report: in what a launcher passes on, nobody
        could tell ranks apart.
        """
        import tempfile

        self._captured = (self._standard[1], self._standard[2])
        for fd in self._captured:
            with tempfile.TemporaryFile() as file:
                os.dup2(file.fileno(), fd, inheritable=False)
        self._process.restore_descriptors()

    def serve(self) -> None:
        """Run what comes until the worker closes the connection, or this process is spoilt."""
        receive = self._sock.recv
        self._process = ProcessState(self._standard)
        self._state = StateKeeper()
        while not (self._cut or self._spoilt) and (packet := receive(PACKET)):
            self._handle(decode(packet)[0])

    def _handle(self, message: Message) -> None:
        if isinstance(message, Packet):
            self._run(self._groups[message.group], message)
        elif isinstance(message, GroupSettings):
            self._groups[message.number] = _Known(message)
        elif isinstance(message, StoredPacket):
            self._handle(decode(self._read(*message.reference))[0])

    # Packets

    def _run(self, known: _Known, packet: Packet) -> None:
        """Run the tasks of a packet, except those that the worker takes back meanwhile."""
        self._woken_at = time.monotonic()
        computes = self._only_computes(known)
        self._prepared = None
        at, n = 0, len(packet.rows)
        while at < n and not (self._cut or self._spoilt):
            if computes:
                before = at
                at = self._compute(known, packet, at)
                computes = at > before
            elif self._may_begin(packet.first + at):
                self._run_one(known, packet, at)
                at += 1
            else:
                at += 1
        self._wake()

    def _run_one(self, known: _Known, packet: Packet, i: int) -> None:
        if self._unguarded:
            self._guard()
        self._attempt(known, packet, i, lambda: self._task(known, packet, i))
        if time.monotonic() - self._woken_at > WAKE_AFTER_S:
            self._wake()

    def _may_begin(self, number: int) -> bool:
        """Return True if a task is still this slot's, by its token."""
        if self.tokens < 0:
            return True
        if self._token < 0:
            try:
                self._token = TOKEN.unpack(os.read(self.tokens, TOKEN.size))[0]
            except BlockingIOError:
                return False  # taken back
            except (OSError, struct.error):
                self._cut = True  # user code has closed it
                return False
        return self._token == number & 0xFFFFFFFF  # else it is that of a later task

    def _begin(self, number: int, now: float) -> None:
        self._token = -1
        if self._shared is not None:
            self._shared.begin(number, now)

    def _wake(self) -> None:
        """Tell the worker of results that it has not been told of."""
        if self._shared is not None and self._shared.written != self._woken and not self._cut:
            self._send(ResultsWritten())
        self._woken_at = time.monotonic()

    def _attempt(self, known: _Known, packet: Packet, i: int, step: Callable[[], None]) -> None:
        """Run a task, or the end of one, and report it as failed whatever is raised meanwhile."""
        self._current = packet.rows[i], packet.attempts[i]
        self._reported = False
        try:
            step()
        except BaseException as exc:
            # A handler or a trace function of the task's that was called in between.
            if self._process.forked:
                self._leave_fork(exc)
            if self._reported or self._cut:
                raise
            self._calm()
            self._restore()
            cause, trace, result = self._failure(exc)
            output = self._end_output()
            self._state.restore()
            done = TaskDone(*self._current, FAILED, time.time(), 0, result, cause, trace, output)
            self._report(known, packet.first + i, done)

    # Tasks that only compute

    def _only_computes(self, known: _Known) -> bool:
        """Return True if a call of a group's function with plain arguments leaves nothing that
        must be put back.
        """
        code = known.loaded
        return (
            code is not None
            and code.is_confined
            and self._shared is not None
            and known.shared is None
            and known.group.kind == 'python'
            and known.group.app in self._told
            and _thread._count() <= self._threads
        )

    def _compute(self, known: _Known, packet: Packet, at: int) -> int:
        """Run tasks of a packet that only compute; return the index of the first that may do
        more.
        """
        assert self._shared is not None
        block, base = self._span(packet), packet.offsets[0]
        if not block:
            return at
        call, put, clock = self._prepare(known).call, self._shared.put, time.monotonic
        epoch = time.time() - clock()
        for i in range(at, len(packet.rows)):
            number = packet.first + i
            if not self._may_begin(number):
                if self._cut:
                    return i
                continue
            begin = packet.offsets[i] - base
            content = block[
                begin + 4 + _TEXT.unpack_from(block, begin)[0] : begin + packet.lengths[i]
            ]
            if packet.rows[i] in packet.requires or not is_plain_pickle(content):
                return i  # an object, which has code of its own
            start = clock()
            self._begin(number, start)
            value = data = error = None
            try:
                value = call(pickle.loads(content))
                if type(value) in ATOMS or is_plain(value):
                    data = pickle.dumps(value, 5)
            except BaseException as exc:
                error = exc
            end = clock()
            duration = round((end - start) * 1e6)
            self._unguarded += 1
            if (
                data is None
                or duration >= MEASURED
                or len(data) > INLINE
                or not put(number, int((epoch + start) * 1e6), duration, 0, data)
            ):
                self._end_computed(known, packet, i, epoch + start, duration, value, error)
            if end - self._woken_at > WAKE_AFTER_S:
                self._wake()
        if self._unguarded >= UNGUARDED_MAX:
            self._guard()
        return len(packet.rows)

    def _end_computed(
        self,
        known: _Known,
        packet: Packet,
        i: int,
        began: float,
        duration: int,
        value: Any,
        error: BaseException | None,
    ) -> None:
        def step() -> None:
            try:
                if error is not None:
                    raise error
                outcome = Outcome(began, duration, self._kept(known, value))
            except BaseException as exc:
                outcome = self._failed(began, duration, exc)
            self._finish(known, packet.first + i, outcome)

        self._attempt(known, packet, i, step)

    def _span(self, packet: Packet) -> bytes:
        """Return the arguments of a packet as one block; empty where they have to be read one by
        one.
        """
        length = packet.offsets[-1] + packet.lengths[-1] - packet.offsets[0]
        try:
            return (
                bytes(self._read_trusted(packet.segment, packet.offsets[0], length))
                if 0 < length <= SPAN_MAX
                else b''
            )
        except (OSError, DesipipeError):
            return b''  # the tasks that are concerned say why

    def _guard(self) -> None:
        """Look at the process after tasks that only computed: others may have left something to
        the collector.
        """
        self._unguarded = 0
        self._calm()
        self._restore()
        with contextlib.suppress(
            OSError
        ):  # user code has closed all descriptors: the next task says so
            self._process.restore_descriptors()
        self._state.restore()

    # One task

    def _task(self, known: _Known, packet: Packet, i: int) -> None:
        number = packet.first + i
        self._displays = self._displays_size = 0
        self._waits.clear()
        provenance.making = self._making(known, packet.tids[i], packet.attempts[i])
        began = time.time()
        clock = time.monotonic
        start = clock()
        self._begin(number, start)
        cause = trace = result = None
        try:
            value = self._call(known, packet, i)
            sys.settrace(None)
            sys.setprofile(None)
            if self._process.forked:
                self._leave_fork(None)
            if (
                self.comm is None or self.comm.rank == 0
            ):  # of several MPI processes, the first one's result is the task's
                result = self._kept(known, value)
        except BaseException as exc:
            # Also SystemExit and KeyboardInterrupt: the slot outlives what a task does.
            if self._process.forked:
                self._leave_fork(exc)
            cause, trace, result = self._failure(exc)
        duration = round((clock() - start) * 1e6)
        self._finish(known, number, Outcome(began, duration, result, cause, trace))

    def _kept(self, known: _Known, value: Any) -> bytes | memoryview | Place:
        """Return a result as it is reported: its bytes, or where these are stored."""
        payload = self._carried(known.group, value)
        return (
            payload.parts[0]
            if payload.nbytes <= INLINE and not payload.aligned
            else self._store(payload)
        )

    def _failed(self, began: float, duration: int, exc: BaseException) -> Outcome:
        cause, trace, result = self._failure(exc)
        return Outcome(began, duration, result, cause, trace)

    def _finish(self, known: _Known, number: int, outcome: Outcome) -> None:
        """Put back what a task changed, and report it."""
        is_checked = self._is_checked(known, outcome)
        self._calm()
        self._restore()
        output = self._end_output()
        self._state.restore(is_checked, output is not False)
        making, provenance.making = provenance.making, None
        files: bytes | Place = b''
        if making is not None:
            try:
                files = self._files(making.report())
            except OSError as exc:
                # A result whose files nobody knows is none.
                outcome = self._failed(outcome.began, outcome.duration, exc)
        began, duration, result, cause, trace = outcome
        memory = self._memory() if duration >= MEASURED else 0
        if is_checked:
            self._spoilt = self._process.spoilt()
        done = TaskDone(
            *self._current,
            outcome.state,
            began,
            duration,
            result,
            cause,
            trace,
            output,
            files,
            memory,
        )
        self._report(known, number, done)

    def _is_checked(self, known: _Known, outcome: Outcome) -> bool:
        """Return True after tasks whose process is compared with what it was in every respect."""
        return (
            known.group.app not in self._told
            or outcome.duration >= CHECKED
            or outcome.cause is not None
        )

    def _report(self, known: _Known, number: int, done: TaskDone) -> None:
        first = known.group.app not in self._told and (self.comm is None or self.comm.rank == 0)
        if first:
            self._told.add(known.group.app)
            self._send(VersionsFollow())
        self._reported = True
        if first or not self._put(number, done):
            self._send(done)
        if self.pipes is not None and done.duration >= STARTED_MIN_US and not self._cut:
            self._renew_pipes()
        if first:
            # After the task: what it imports is known then, and nobody waits for its result
            # meanwhile.
            everything = provenance.snapshot(known.folder, known.environ) if known.look else {}
            self._send(
                VersionsFound(known.group.app, provenance.versions(known.packages), everything)
            )

    def _put(self, number: int, done: TaskDone) -> bool:
        """Write a report to the shared memory, where it is one of those that fit there."""
        if (
            done.state != SUCCEEDED
            or done.output is not False
            or done.files
            or not isinstance(done.result, bytes)
            or self._shared is None
            or self._displays
        ):
            return False
        return self._shared.put(
            number, int(done.began * 1e6), done.duration, done.memory, done.result
        )

    def _renew_pipes(self) -> None:
        # Before the next task: what a process prints that this one has left is no output of that
        # one.
        assert self.pipes is not None
        try:
            if self.pipes.renew():
                self._drained = 0 if self._shared is None else self._shared.drains
                self._send(PipesRenewed())
        except OSError as exc:
            print(
                f'desipipe: no new pipes for the output ({exc}); what a process prints late may '
                'appear under another task.',
                file=sys.stderr,
            )

    @contextlib.contextmanager
    def lend(self, tids: Iterable[bytes]) -> Iterator[None]:
        """Tell the worker that this process waits for tasks, as long as it does."""
        if self._process.forked or self._shared is None:
            yield
            return
        key = object()
        with self._waits_guard:
            self._waits[key] = list(islice(tids, WAITS_MAX))
            self._tell_waits()
        try:
            yield
        finally:
            with self._waits_guard:
                if self._waits.pop(key, None) is not None:
                    self._tell_waits()

    def _tell_waits(self) -> None:
        tids = [tid for some in self._waits.values() for tid in some][:WAITS_MAX]
        with contextlib.suppress(
            OSError
        ):  # user code closed the connection: the report finds another way
            self._sock.send(self._encoded(TaskWaits(*self._current, tuple(tids))))

    def _calm(self) -> None:
        """Stop what the task left behind that could interrupt this process: timers, handlers,
        tracing.
        """
        for left in range(CALM_TRIES, -1, -1):
            try:
                self._process.calm()
                return
            except BaseException:  # raised by a handler, or a trace function, of the task's
                if not left:
                    raise

    def _leave_fork(self, exc: BaseException | None) -> NoReturn:
        """End a process that a task forked and that left the task's function, as the end of a
        script does.
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

    @staticmethod
    def _carried(group: Group, value: Any) -> Payload:
        try:
            return dumps(value)
        except NotSerializableError as exc:
            if group.kind != 'cell':
                raise
            raise NotSerializableError(
                f'{exc} A cell gives back what it assigns last: --out NAME gives another one.'
            ) from None

    def _memory(self) -> int:
        # The kernel's high-water mark, which begins anew for the next task. A fork has no other:
        # what `getrusage` adds is what was there before an `exec`.
        if self._resets < 0:
            return 0
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            os.write(self._resets, b'5')
        except OSError:  # user code has closed it: from here on it is not known what one task took
            self._resets = -1
        return max(peak, most_memory())

    def _making(self, known: _Known, tid: bytes, attempt: int) -> provenance.Making:
        group = known.group
        source = known.source
        making = known.making
        if making is not None and making.is_unused:
            making.tid, making.attempt = tid.hex(), attempt
            return making
        known.making = provenance.Making(
            self._folder,
            tid.hex(),
            attempt,
            group.name,
            group.app,
            lambda: str(bytes(self._read(*source)), 'utf-8', 'replace'),
            known.folder,
            known.environ,
            provenance.SavedAttrs(group.save_attrs or provenance.SAVED, group.save_dir, group.cwd),
        )
        return known.making

    def _files(self, report: bytes) -> bytes | tuple[str, int, int]:
        return (
            report if len(report) <= FILES else self._store(Payload([report], len(report), False))
        )

    def _call(self, known: _Known, packet: Packet, i: int) -> Any:
        group = known.group
        args = packet.segment, packet.offsets[i], packet.lengths[i]
        requires = packet.requires.get(packet.rows[i], ())
        if group.cwd and group.cwd != self._cwd():
            try:
                patiently(lambda: os.chdir(group.cwd))
            except OSError as exc:
                raise DesipipeError(
                    f'the folder the task was added from, {group.cwd}, cannot be entered on this '
                    f'machine ({exc.strerror})'
                ) from None
        code = known.loaded
        if (
            code is None
            or self._prepared is not code
            or carried.has_modules()
            or class_registry.has_classes()
            or not code.memory.use()
        ):
            code = self._prepare(known)
            self._prepared = code if code.is_alone else None
        function = functools.partial(self._state.run, code.call)
        data = self._read_trusted(*args)
        resolve = self._resolver(requires) if requires else None
        content = data[4 + _TEXT.unpack_from(data)[0] :]
        if (
            resolve is not None
            or known.shared is not None
            or not isinstance(content, bytes)
            or not is_plain_pickle(content)
        ):
            self._prepared = None  # what is loaded may bring classes and modules
        arguments: Any = loads(content, resolve)
        if known.shared is not None:
            # Loaded again for each task: what one of them changes must not be seen by the next.
            arguments = {**self._load(known.shared, resolve), **arguments}
        if self._prepared is None:
            stand_ins.provide_for_task(code.memory.module_names)
        if 'mpicomm' in arguments and arguments['mpicomm'] is None:
            arguments['mpicomm'] = self._communicator()
        if group.kind == 'cell' and (self.comm is None or self.comm.rank == 0):
            from ..display import captured  # only here: other tasks need none of it

            with captured(lambda: self._fflush(None), self._keep_display):
                return function(arguments)
        if group.kind == 'cell':
            from ..display import named

            with named():
                return function(arguments)
        value = function(arguments)
        return call(value) if group.kind == 'bash' else value

    def _prepare(self, known: _Known) -> _Code:
        """Load the code of a group, and make the process what its tasks expect."""
        group = known.group
        stand_ins.withdraw()
        class_registry.start_task()
        carried.start_task()
        code = known.loaded
        if code is None:
            for entry in group.path:
                if entry not in sys.path:
                    sys.path.append(entry)
            self._state.keep('lists')
            code = known.loaded = self._codes.get(known.code)
            if code is None:
                code = self._codes[known.code] = known.loaded = _Code(self._load(known.code))
        if code.use():
            code.memory.keep_classes()
        else:
            # A random generator, a counter: the task begins with what was there when it was added,
            # whatever others did in this process.
            code.memory.forget()
            code.load(self._load(known.code))
            code.memory.use()
        if self._main is not code.memory:
            self._be_main(code.memory)
        self._state.prepare(group.settings)
        return code

    def _be_main(self, memory: Memory) -> None:
        """Provide the ``__main__`` of where the task was added.

        :mod:`multiprocessing` and :mod:`pickle` look for it by name.
        """
        if self._names is not None:
            self._names.remove()
        self._main, self._names = memory, Overlay(vars(sys.modules['__main__']))
        self._names.put(memory.names)

    def _restore(self) -> None:
        """Undo what the task did to the process, where the next one would notice: its streams
        and variables of the environment.
        """
        if (sys.stdin, sys.stdout, sys.stderr) != self._streams:
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(Exception):  # it was closed, is no stream at all
                    stream.flush()
            sys.stdin, sys.stdout, sys.stderr = self._streams
        try:
            usable = not (
                sys.stdout.closed
                or sys.stderr.closed
                or (sys.stdin is not None and sys.stdin.closed)
            )
        except ValueError:  # detached
            usable = False
        if not usable:
            sys.stdin = sys.__stdin__ = open(0, closefd=False)  # type: ignore[misc]
            sys.stdout = sys.__stdout__ = _stream(1)  # type: ignore[misc]
            sys.stderr = sys.__stderr__ = _stream(2)  # type: ignore[misc]
            self._streams = (sys.stdin, sys.stdout, sys.stderr)
        os.environ = self._environ  # noqa: B003 (the very object that it was)
        if _raw(os.environ) != self._variables:
            now = os.environb
            for key in [key for key in now if key not in self._variables]:
                del now[key]
            now.update(
                {key: value for key, value in self._variables.items() if now.get(key) != value}
            )

    def _resolver(self, requires: Requires) -> Callable[..., Any]:
        references = dict(requires)
        values: dict[bytes, Any] = {}

        def resolve(tid: bytes, item: str = '') -> Any:
            # The same task required twice is the same object twice.
            if tid not in values:
                reference = references[tid]
                values[tid] = None if reference is None else self._load(Ref(*reference))
            return values[tid][item] if item else values[tid]

        return resolve

    @staticmethod
    def _cwd() -> str:
        try:
            return os.getcwd()
        except FileNotFoundError:
            return ''

    def _read(self, name: str, offset: int, length: int) -> bytes | memoryview:
        try:
            return self._segments.read(name, offset, length)
        except (OSError, DesipipeError) as exc:
            if not passes(exc):
                raise
        return patiently(lambda: self._segments.read(name, offset, length))

    def _load(self, ref: Ref, resolve: Callable[..., Any] | None = None) -> Any:
        return loads(self._read_trusted(*ref), resolve)

    def _read_trusted(self, name: str, offset: int, length: int) -> bytes | memoryview:
        """Read a payload of a trusted user; looked at are the owners of the file that was read."""
        data = self._read(name, offset, length)
        owners = self._segments.owners(name)
        if owners not in self._checked:
            self._check(owners)
        return data

    def _check(self, owners: Owners) -> None:
        owner = owners.file  # whose folder it is, the worker has looked at
        if not self._trusts(owner):
            raise DesipipeError(
                f'what this task needs was written by user {username(owner)}, whom the worker does '
                'not trust: it was not loaded. '
                f'To trust them, set DESIPIPE_TRUST={username(owner)} where the worker is started'
            )
        self._checked.add(owners)

    def _communicator(self) -> Any:
        if self.comm is None:
            try:
                from mpi4py import MPI
            except ImportError:
                return None  # one process without MPI: the function's own default for that
            self.comm = MPI.COMM_WORLD
        return self.comm

    def _keep_display(self, data: bytes) -> int:
        """Store a display that is too large for the output; return its number, or -1 if the task
        has too many.
        """
        if self._displays_size + len(data) > DISPLAYS_MAX_BYTES or self._displays >= DISPLAYS_MAX:
            return -1
        try:
            reference = self._store(Payload([data], len(data), False))
        except OSError:
            return (
                -1
            )  # a full disk: what is shown small has to do, and the result may still find room
        self._displays_size += len(data)
        self._displays += 1
        self._send(DisplayStored(reference))
        return self._displays - 1

    def _store(self, payload: Payload) -> tuple[str, int, int]:
        def write() -> tuple[str, int, int]:
            offset = self._writer.append(payload.parts, payload.aligned)
            self._writer.flush()
            return self._writer.name, offset, payload.nbytes

        def tell(exc: BaseException) -> None:
            print(
                f'desipipe: the result cannot be stored yet, it is tried again: {exc}',
                file=sys.stderr,
            )

        return patiently(write, tell=tell)  # what was computed is not lost to a fault that passes

    def _failure(self, exc: BaseException) -> tuple[dict[str, Any], bytes | None, bytes | None]:
        try:
            return describe_failure(exc)
        except BaseException as why:  # what its own methods do, or its depth
            kind = type(exc).__name__
            text = f'{kind}, which cannot be described: {type(why).__name__} was raised meanwhile'
            return {'kind': kind, 'text': text, 'kinds': [kind], 'errno': FAILED_ERRNO}, None, None

    # Output

    def _end_output(self) -> bool | None | tuple[bytes, ...]:
        # Marks where this task's output ends, unless it wrote none: nothing is in the pipes, and
        # the worker neither reads them now nor has read output from them since we last looked. The
        # order matters: first the pipes, then what the worker says.
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except (ValueError, OSError):
            pass  # the task closed or replaced them: what it wrote before was flushed then
        self._fflush(None)
        try:
            self._process.restore_descriptors()
            self._process.unblock()
            if self._captured is not None:
                return tuple(taken(fd) for fd in self._captured)
            if self._shared is not None:
                waiting = self._unread.poll(0)
                drained = self._shared.drains
                if not waiting and drained == self._drained != -1:
                    return False
                self._drained = drained
            for fd in self._standard[1:]:
                _write(fd, self._marker)
        except OSError:  # user code has closed all descriptors: the report is the last one
            self._cut = True
            return None
        return True

    def _encoded(self, message: Message) -> bytes:
        if self._shared is None:
            return encode(message)
        self._woken = self._shared.written
        return encode(message, self._woken)

    def _send(self, message: Message) -> None:
        data = self._encoded(message)
        try:
            self._sock.send(data)
        except OSError:
            self._cut = True
            if self._shared is None:
                raise
            if isinstance(message, TaskDone):
                self._shared.leave(data)


class _Known:
    """The settings of a group that the slot knows."""

    __slots__ = (
        'code',
        'environ',
        'folder',
        'group',
        'loaded',
        'look',
        'making',
        'packages',
        'shared',
        'source',
    )

    def __init__(self, settings: GroupSettings) -> None:
        group = self.group = Group(*settings.group)
        self.code = Ref(*settings.code)
        self.shared = None if settings.shared is None else Ref(*settings.shared)
        self.source = Ref(*settings.source)
        self.environ = settings.environ
        self.look = settings.look
        # Of the notebook (which finds modules where it runs), else of the script: its folder comes
        # first, before those of PYTHONPATH.
        self.folder = group.cwd if group.cwd in group.path else (group.path or (group.cwd,))[0]
        self.packages = settings.packages
        self.loaded: _Code | None = None
        self.making: provenance.Making | None = None  # of the last task


class _Code:
    """The code of an app's version, loaded; again for each task, where one could see what
    another left in it.
    """

    __slots__ = ('call', 'is_alone', 'is_confined', 'memory', 'modules', 'version')
    call: Callable[..., Any]
    memory: Memory

    def __init__(self, func: Callable[..., Any]) -> None:
        self.load(func)

    def load(self, func: Callable[..., Any]) -> None:
        from ..serialize.memory import Memory

        self.memory = Memory(func)
        self.modules = carried.current_modules()
        self.version = carried.current_version()
        self.call = caller(func)
        self.is_alone = not self.modules and self.memory.is_of_functions
        """Whether it brings neither modules nor classes, so that tasks with plain arguments find
        nothing of each other.
        """
        self.is_confined = not self.modules and is_confined(func)

    def use(self) -> bool:
        """Return True if it can be called as it is: nothing that it carries or imports has
        changed.
        """
        carried.install({}, self.modules)
        is_same = not self.modules or self.version == carried.current_version()
        return is_same and self.memory.use()


def _resets() -> int:
    # Where `5` makes the kernel count the most memory of this process anew; Linux only (elsewhere
    # it is not known what one task took).
    try:
        return private_descriptor(os.open('/proc/self/clear_refs', os.O_WRONLY | os.O_CLOEXEC))
    except OSError:
        return -1


def _raw(environ: os._Environ[str]) -> dict[bytes, bytes]:
    # Decoding all variables takes longer than a small task: what is compared is what is inside.
    return environ._data  # type: ignore[attr-defined,no-any-return]


def _stream(fd: int) -> io.TextIOWrapper:
    return io.TextIOWrapper(
        io.FileIO(fd, 'w', closefd=False),
        encoding='utf-8',
        errors='backslashreplace',
        line_buffering=True,
        write_through=False,
    )


def _write(fd: int, data: bytes) -> None:
    # Of a pipe that a left-over process of a task has made non-blocking, too: the worker reads on.
    while data:
        try:
            data = data[os.write(fd, data) :]
        except BlockingIOError:
            select.select((), (fd,), ())


def _time_is_short(number: int, frame: object) -> None:
    # Sent by the worker when its job's time limit is near. A task that wants to save its state sets
    # a handler of its own: for all others nothing happens.
    return


def run_child(
    sock: tuple[socket.socket, socket.socket],
    tokens: int,
    out: tuple[int, int],
    err: tuple[int, int],
    folder: str,
    name: str,
    marker: bytes,
    shared: SharedMemory,
    trusts: Callable[[int], bool],
    parent: int,
    descriptors: int,
) -> NoReturn:
    """Run a forked slot; never returns.

    Parameters
    ----------
    sock : tuple of socket.socket
        The slot's ends of two pairs: for packets, and for descriptors.
    tokens : int
        Read end of the pipe of tokens.
    out, err : tuple of int
        Read and write ends of the output pipes.
    folder, name, marker, shared, trusts
        As for :class:`Slot`.
    parent : int
        The worker's process id.
    descriptors : int
        The soft limit that the worker was started with.
    """
    status = 1
    try:
        # Ctrl-C in the worker's terminal is for the worker; and what a task starts can be killed
        # with it, as a group
        os.setsid()
        die_with_parent()
        if os.getppid() != parent:
            os._exit(1)  # the worker died before we asked to die with it
        signal.set_wakeup_fd(-1)
        for caught in signal.valid_signals():
            if callable(signal.getsignal(caught)):
                signal.signal(caught, signal.SIG_DFL)  # handlers of the worker's
        signal.signal(signal.SIGUSR1, _time_is_short)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        inherited = (out[1], err[1], sock[0].detach(), out[0], err[0], sock[1].detach(), tokens)
        last = 2
        for fd in (*sorted(inherited), 1 << 20):
            os.closerange(last + 1, fd)  # the lock, leases, other slots' connections
            last = fd
        # To high numbers, out of the way of tasks.
        kept = [private_descriptor(fd) for fd in (os.open(os.devnull, os.O_RDONLY), *inherited)]
        standard, connection, pipes, handover = kept[:3], kept[3], kept[4:6], kept[6]
        for number, fd in enumerate(standard):
            os.dup2(fd, number)
        limits.restore_descriptors(descriptors)
        unread = select.poll()
        for fd in pipes:
            unread.register(fd, select.POLLIN)
        sys.stdout, sys.stderr = _stream(1), _stream(2)
        sys.__stdout__, sys.__stderr__ = sys.stdout, sys.stderr  # type: ignore[misc]
        gc.freeze()  # what came with the fork stays shared, untouched by the collector
        mine = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, fileno=connection)
        slot = Slot(mine, standard, folder, name, marker, shared, unread, trusts)
        slot.tokens = kept[7]
        slot.pipes = OutputPipes(
            standard[1:],
            pipes,
            socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, fileno=handover),
        )
        set_lender(slot.lend)
        slot.serve()
        status = 0
    except BaseException:
        import traceback

        os.write(2, traceback.format_exc().encode(errors='backslashreplace'))
    finally:
        os._exit(status)


def main(argv: list[str] | None = None, comm: Any = None) -> None:
    """Run one rank of an MPI slot.

    It is ``python -m desipipe.execution.slot ADDRESS FOLDER NAME MARKER [SPLITS]``, started by
    ``mpiexec``.

    Parameters
    ----------
    argv : list of str, default=None
        By default those of the process. With ``SPLITS``, the communicator is divided into so many,
        each of which runs tasks of its own.
    comm : MPI communicator, default=None
        That of all ranks; by default of all processes.
    """
    address, folder, name, marker, *more = sys.argv[1:] if argv is None else argv
    splits = int(more[0]) if more else 0
    die_with_parent()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    comm = world() if comm is None else comm
    size, color = comm.size, 0
    if splits:
        mpi: Any = import_module('mpi4py.MPI')
        color = comm.rank * splits // size
        comm = comm.Split(color, comm.rank)
        mpi.COMM_WORLD = comm  # also for code that does not ask for an argument
    with closing(connect(address)) as sock:
        standard = [private_descriptor(fd, close=False) for fd in range(3)]
        own_name = f'{name}.{color:d}.{comm.rank:d}'
        trusts = TrustedUsers(Config())
        slot = Slot(sock, standard, folder, own_name, bytes.fromhex(marker), None, None, trusts)
        slot.comm = comm
        if splits or address.startswith('@'):
            die_with(sock)
        if splits or comm.rank:  # the first rank's output is the task's
            slot.capture()
        send_ready(
            sock,
            encode(Ready(comm.rank, size, color)),
            standard[2] if comm.rank else -1,
        )
        slot.serve()


def world() -> Any:
    """The communicator of all MPI processes.

    Raises
    ------
    MissingDependencyError
    """
    try:
        from mpi4py import MPI
    except ImportError:
        raise MissingDependencyError(
            'tasks with mpiprocs_per_worker > 1 need mpi4py where they run: pip install '
            '"desipipe[mpi]" (or the mpi4py of your MPI)'
        ) from None
    return MPI.COMM_WORLD


if __name__ == '__main__':
    main()
