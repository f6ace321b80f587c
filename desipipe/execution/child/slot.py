"""The slot: runs what its worker sends, and reports each task."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from ... import provenance
from ...provenance import software
from ...queue.events import FAILED, SUCCEEDED
from ..failure import describe
from ..output_pipe import STARTED_MIN_US
from ..protocol import (
    GroupSettings,
    Message,
    Packet,
    PipesRenewed,
    Place,
    StoredPacket,
    TaskDone,
    VersionsFollow,
    VersionsFound,
    decode,
)
from .caller import TaskCaller
from .code import CodeLoader, TaskGroup
from .computing import MEASURED, Computing
from .displays import LargeDisplays
from .link import WorkerLink
from .output import Ending, SlotOutput
from .payloads import SlotPayloads
from .peak_memory import PeakMemory
from .ranks import Ranks
from .restorer import Restorer
from .waits import Waits

if TYPE_CHECKING:
    from ...queue.task_events import Cause

# microseconds; after shorter tasks limits, user and priority are not compared, unless they are the
# first of their app or failed
CHECKED = 100


class Outcome(NamedTuple):
    """The end of an attempt, before it is reported."""

    began: float
    duration: int
    """Microseconds."""
    result: bytes | memoryview | Place | None
    cause: Cause | None = None
    trace: bytes | None = None

    @property
    def state(self) -> int:
        """The state in which the attempt ended."""
        return SUCCEEDED if self.cause is None else FAILED


class Slot:
    """The child's side of a slot.

    Parameters
    ----------
    link : WorkerLink
    payloads : SlotPayloads
    output : SlotOutput
    restorer : Restorer
    ranks : Ranks
        MPI processes that run each task together.
    """

    def __init__(
        self,
        link: WorkerLink,
        payloads: SlotPayloads,
        output: SlotOutput,
        restorer: Restorer,
        ranks: Ranks,
    ) -> None:
        self._link = link
        self._payloads = payloads
        self._restorer = restorer
        self._ranks = ranks
        self._groups: dict[int, TaskGroup] = {}
        self.waits = Waits(link, restorer)
        self._displays = LargeDisplays(link, payloads)
        self._loader = CodeLoader(payloads, restorer)
        self._caller = TaskCaller(payloads, self._loader, restorer, self._displays, ranks)
        self._attempts = Attempts(link, payloads, output, restorer, self._displays, ranks)
        self._computing = Computing(
            link,
            payloads,
            self._loader,
            restorer,
            self._attempts.reported_apps,
            self._attempts.end_computed,
        )

    def serve(self) -> None:
        """Run tasks until the worker closes the connection, or this process is spoilt."""
        self._restorer.begin()
        while self._may_go_on() and (packet := self._link.receive()):
            self._handle(decode(packet)[0])

    def _may_go_on(self) -> bool:
        return not (self._link.is_cut or self._attempts.is_spoilt)

    def _handle(self, message: Message) -> None:
        if isinstance(message, Packet):
            self._run(self._groups[message.group], message)
        elif isinstance(message, GroupSettings):
            self._groups[message.number] = TaskGroup(message)
        elif isinstance(message, StoredPacket):
            self._handle(decode(self._payloads.read(*message.reference))[0])

    def _run(self, task_group: TaskGroup, packet: Packet) -> None:
        """Run the tasks of a packet, but those that the worker takes back meanwhile."""
        link, computing = self._link, self._computing
        link.told_at, link.wake_after = time.monotonic(), packet.wake_after
        computes = computing.suits(task_group)
        self._loader.prepared = None
        at, n = 0, len(packet.rows)
        while at < n and self._may_go_on():
            if computes:
                before = at
                at = computing.run(task_group, packet, at)
                computes = at > before
            elif link.may_begin(packet.first + at):
                computing.guard()
                self._run_one(task_group, packet, at)
                link.wake_if_due()
                at += 1
            else:
                at += 1
        link.wake()

    def _run_one(self, task_group: TaskGroup, packet: Packet, i: int) -> None:
        self._attempts.run(task_group, packet, i, lambda: self._task(task_group, packet, i))

    def _task(self, task_group: TaskGroup, packet: Packet, i: int) -> None:
        number, restorer = packet.first + i, self._restorer
        self._displays.begin_task()
        self.waits.clear()
        provenance.making = self._making(task_group, packet.tids[i], packet.attempts[i])
        began = time.time()
        clock = time.monotonic
        start = clock()
        self._link.begin(number, start)
        cause = trace = result = None
        try:
            value = self._caller.call(task_group, packet, i)
            sys.settrace(None)
            sys.setprofile(None)
            if restorer.process.forked:
                restorer.leave_fork(None)
            if self._ranks.is_first:
                result = self._payloads.kept(task_group.group, value)
        except BaseException as exc:
            # Also SystemExit and KeyboardInterrupt: the slot outlives what a task does.
            if restorer.process.forked:
                restorer.leave_fork(exc)
            cause, trace, result = describe(exc)
        duration = round((clock() - start) * 1e6)
        self._attempts.finish(task_group, number, Outcome(began, duration, result, cause, trace))

    def _making(self, task_group: TaskGroup, tid: bytes, attempt: int) -> provenance.Making:
        """Return what notes the files of a task; the last one's where it noted none."""
        group, source, payloads = task_group.group, task_group.source, self._payloads
        making = task_group.making
        if making is not None and making.is_unused:
            making.tid, making.attempt = tid.hex(), attempt
            return making
        task_group.making = provenance.Making(
            payloads.folder,
            tid.hex(),
            attempt,
            group.name,
            group.app,
            lambda: str(bytes(payloads.read(*source)), 'utf-8', 'replace'),
            task_group.folder,
            task_group.environ,
            provenance.SavedAttrs(group.save_attrs or provenance.SAVED, group.save_dir, group.cwd),
        )
        return task_group.making


class Attempts:
    """Attempts of tasks in a slot, which all end with a report.

    Parameters
    ----------
    link : WorkerLink
    payloads : SlotPayloads
    output : SlotOutput
    restorer : Restorer
    displays : LargeDisplays
    ranks : Ranks
    """

    def __init__(
        self,
        link: WorkerLink,
        payloads: SlotPayloads,
        output: SlotOutput,
        restorer: Restorer,
        displays: LargeDisplays,
        ranks: Ranks,
    ) -> None:
        self._link = link
        self._payloads = payloads
        self._output = output
        self._restorer = restorer
        self._displays = displays
        self._ranks = ranks
        self._peak_memory = PeakMemory()
        self._is_reported = True
        self.is_spoilt = False
        """True once this process cannot be put back for the next task."""
        self.reported_apps: set[str] = set()
        """Apps of which a task was reported, so that the worker knows their versions."""

    def run(self, task_group: TaskGroup, packet: Packet, i: int, step: Callable[[], None]) -> None:
        """Run a task, or the end of one; it failed if anything is raised meanwhile."""
        link, restorer = self._link, self._restorer
        link.current = packet.rows[i], packet.attempts[i]
        self._is_reported = False
        try:
            step()
        except BaseException as exc:
            # A handler or a trace function of the task's that was called in between.
            if restorer.process.forked:
                restorer.leave_fork(exc)
            if self._is_reported or link.is_cut:
                raise
            restorer.calm()
            restorer.restore()
            cause, trace, result = describe(exc)
            output = self._end_output()
            restorer.settings.restore()
            done = TaskDone(*link.current, FAILED, time.time(), 0, result, cause, trace, output)
            self._report(task_group, packet.first + i, done)

    def finish(self, task_group: TaskGroup, number: int, outcome: Outcome) -> None:
        """Put back what a task changed, and report it."""
        restorer = self._restorer
        is_checked = self._is_checked(task_group, outcome)
        restorer.calm()
        restorer.restore()
        output = self._end_output()
        restorer.settings.restore(is_checked, output is not False)
        making, provenance.making = provenance.making, None
        files: bytes | Place = b''
        if making is not None:
            try:
                files = self._payloads.kept_files(making.report())
            except OSError as exc:
                # A result whose files nobody knows is none.
                outcome = failed(outcome.began, outcome.duration, exc)
        memory = self._peak_memory.take() if outcome.duration >= MEASURED else 0
        if is_checked:
            self.is_spoilt = restorer.process.spoilt()
        end = *self._link.current, outcome.state, outcome.began, outcome.duration
        described = outcome.result, outcome.cause, outcome.trace
        self._report(task_group, number, TaskDone(*end, *described, output, files, memory))

    def end_computed(
        self,
        task_group: TaskGroup,
        packet: Packet,
        i: int,
        began: float,
        duration: int,
        value: Any,
        error: BaseException | None,
    ) -> None:
        """Report a task that only computed, by its value or by what it raised."""

        def step() -> None:
            try:
                if error is not None:
                    raise error
                outcome = Outcome(began, duration, self._payloads.kept(task_group.group, value))
            except BaseException as exc:
                outcome = failed(began, duration, exc)
            self.finish(task_group, packet.first + i, outcome)

        self.run(task_group, packet, i, step)

    def _is_checked(self, task_group: TaskGroup, outcome: Outcome) -> bool:
        """Return True after tasks whose process is compared in every respect."""
        return (
            task_group.group.app not in self.reported_apps
            or outcome.duration >= CHECKED
            or outcome.cause is not None
        )

    def _end_output(self) -> Ending:
        output = self._output.end_task()
        if output is None:  # user code has closed all descriptors: the report is the last one
            self._link.is_cut = True
        return output

    def _report(self, task_group: TaskGroup, number: int, done: TaskDone) -> None:
        link, app = self._link, task_group.group.app
        is_first = app not in self.reported_apps and self._ranks.is_first
        if is_first:
            self.reported_apps.add(app)
            link.send(VersionsFollow())
        self._is_reported = True
        if is_first or not self._put(number, done):
            link.send(done)
        if done.duration >= STARTED_MIN_US and not link.is_cut and self._output.renew_pipes():
            link.send(PipesRenewed())
        if is_first:
            # After the task: what it imports is known then, and nobody waits for its result
            # meanwhile.
            link.send(_versions(task_group))

    def _put(self, number: int, done: TaskDone) -> bool:
        """Write a report to the shared memory, where it is one of those that fit there."""
        shared = self._link.shared
        if (
            done.state != SUCCEEDED
            or done.output is not False
            or done.files
            or not isinstance(done.result, bytes)
            or shared is None
            or self._displays.number
        ):
            return False
        return shared.put(number, int(done.began * 1e6), done.duration, done.memory, done.result)


def failed(began: float, duration: int, exc: BaseException) -> Outcome:
    """Return the outcome of an attempt that raised."""
    cause, trace, result = describe(exc)
    return Outcome(began, duration, result, cause, trace)


def _versions(task_group: TaskGroup) -> VersionsFound:
    look, packages = task_group.look, software.versions(task_group.packages)
    everything = software.snapshot(task_group.folder, task_group.environ) if look else {}
    return VersionsFound(task_group.group.app, packages, everything)
