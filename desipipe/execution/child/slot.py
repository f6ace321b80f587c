"""The slot: runs what its worker sends, and reports each task."""

from __future__ import annotations

import sys
import time

from ... import provenance
from ..protocol import GroupSettings, Message, Packet, StoredPacket, decode
from .attempts import Attempts, Outcome, describe
from .caller import TaskCaller
from .code import CodeLoader, TaskGroup
from .computing import Computing
from .displays import LargeDisplays
from .link import WorkerLink
from .output import SlotOutput
from .payloads import SlotPayloads
from .ranks import Ranks
from .restorer import Restorer
from .waits import Waits


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
        self._computing = Computing(link, payloads, self._loader, restorer, self._attempts)

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
        link.told_at = time.monotonic()
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
                result = self._attempts.kept(task_group, value)
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
