"""Attempts of tasks: how each ends, what is put back after it, and its report."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from ... import provenance
from ...errors import NotSerializableError
from ...provenance import software
from ...queue.events import FAILED, FAILED_ERRNO, SUCCEEDED, Event, Group
from ...serialize import Payload, dumps
from ..failure import describe_failure
from ..output_pipe import STARTED_MIN_US
from ..protocol import Packet, PipesRenewed, Place, TaskDone, VersionsFollow, VersionsFound
from .code import TaskGroup
from .displays import LargeDisplays
from .link import WorkerLink
from .output import Ending, SlotOutput
from .payloads import SlotPayloads
from .peak_memory import PeakMemory
from .ranks import Ranks
from .restorer import Restorer

# microseconds; after shorter tasks limits, user and priority are not compared, unless they are the
# first of their app or failed
CHECKED = 100
# microseconds; of shorter tasks it is not told how much memory they took, which costs as much as a
# part of them and would say nothing
MEASURED = 1000


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


def describe(exc: BaseException) -> tuple[Event, bytes | None, bytes | None]:
    """Return cause, traceback and pickle of what a task raised; never raises."""
    try:
        return describe_failure(exc)
    except BaseException as why:  # what its own methods do, or its depth
        kind = type(exc).__name__
        text = f'{kind}, which cannot be described: {type(why).__name__} was raised meanwhile'
        return {'kind': kind, 'text': text, 'kinds': [kind], 'errno': FAILED_ERRNO}, None, None


def failed(began: float, duration: int, exc: BaseException) -> Outcome:
    """Return the outcome of an attempt that raised."""
    cause, trace, result = describe(exc)
    return Outcome(began, duration, result, cause, trace)


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

    def kept(self, task_group: TaskGroup, value: Any) -> bytes | memoryview | Place:
        """Return a result as it is reported: its bytes, or where these are stored."""
        return self._payloads.kept(_carried(task_group.group, value))

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


def _versions(task_group: TaskGroup) -> VersionsFound:
    look, packages = task_group.look, software.versions(task_group.packages)
    everything = software.snapshot(task_group.folder, task_group.environ) if look else {}
    return VersionsFound(task_group.group.app, packages, everything)


def _carried(group: Group, value: Any) -> Payload:
    try:
        return dumps(value)
    except NotSerializableError as exc:
        if group.kind != 'cell':
            raise
        raise NotSerializableError(
            f'{exc} A cell gives back what it assigns last: --out NAME gives another one.'
        ) from None
