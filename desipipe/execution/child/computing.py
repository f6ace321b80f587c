"""Run tasks that only compute: they leave nothing that must be put back."""

from __future__ import annotations

import _thread
import pickle
import time
from collections.abc import Callable, Collection
from typing import Any

from ...queue.events import TEXT
from ...serialize.payload import is_plain_pickle
from ...serialize.plain import ATOMS, is_plain
from ..failure import INLINE
from ..protocol import Packet
from .code import CodeLoader, TaskGroup
from .link import WorkerLink
from .payloads import SlotPayloads
from .restorer import Restorer

# microseconds; of shorter tasks it is not told how much memory they took, which costs as much as a
# part of them and would say nothing
MEASURED = 1000
UNGUARDED_MAX = 64  # tasks that only compute, after which the process is looked at all the same


class Computing:
    """Runner of tasks that only compute.

    Parameters
    ----------
    link : WorkerLink
    payloads : SlotPayloads
    loader : CodeLoader
    restorer : Restorer
    reported_apps : collection of str
        Apps of which a task was reported already.
    end : callable
        Reports a task whose report is none for the shared memory: given its group, its packet, its
        position there, when it began, microseconds, its value, and what it raised.
    """

    def __init__(
        self,
        link: WorkerLink,
        payloads: SlotPayloads,
        loader: CodeLoader,
        restorer: Restorer,
        reported_apps: Collection[str],
        end: Callable[[TaskGroup, Packet, int, float, int, Any, BaseException | None], None],
    ) -> None:
        self._link = link
        self._payloads = payloads
        self._loader = loader
        self._restorer = restorer
        self._reported_apps = reported_apps
        self._end = end
        self._threads = _thread._count()
        self._n_unguarded = 0  # tasks since the process was looked at

    def suits(self, task_group: TaskGroup) -> bool:
        """Return True if a call of a group's function with plain arguments leaves nothing."""
        code = task_group.loaded
        return (
            code is not None
            and code.is_confined
            and self._link.shared is not None
            and task_group.shared is None
            and task_group.group.kind == 'python'
            and task_group.group.app in self._reported_apps
            and _thread._count() <= self._threads
        )

    def guard(self) -> None:
        """Look at the process, if tasks ran since it was looked at."""
        if self._n_unguarded:
            self._n_unguarded = 0
            self._restorer.restore_all()

    def run(self, task_group: TaskGroup, packet: Packet, at: int) -> int:
        """Run tasks of a packet that only compute.

        Returns
        -------
        at : int
            Position of the first task that may do more.
        """
        link, block, base = self._link, self._payloads.read_span(packet), packet.offsets[0]
        if not block or link.shared is None:
            return at
        call, put, clock = self._loader.prepare(task_group).call, link.shared.put, time.monotonic
        epoch, may_begin, begin_task = time.time() - clock(), link.may_begin, link.begin
        for i in range(at, len(packet.rows)):
            if not may_begin(number := packet.first + i):
                if link.is_cut:
                    return i
                continue
            begin = packet.offsets[i] - base
            text = begin + 4 + TEXT.unpack_from(block, begin)[0]
            content = block[text : begin + packet.lengths[i]]
            if packet.rows[i] in packet.requires or not is_plain_pickle(content):
                return i  # an object, which has code of its own
            start = clock()
            begin_task(number, start)
            value = data = error = None
            try:
                value = call(pickle.loads(content))
                if type(value) in ATOMS or is_plain(value):
                    data = pickle.dumps(value, 5)
            except BaseException as exc:
                error = exc
            end = clock()
            duration = round((end - start) * 1e6)
            self._n_unguarded += 1
            if (
                data is None
                or duration >= MEASURED
                or len(data) > INLINE
                or not put(number, int((epoch + start) * 1e6), duration, 0, data)
            ):
                self._end(task_group, packet, i, epoch + start, duration, value, error)
            if end - link.told_at > link.wake_after:
                link.wake()
        if self._n_unguarded >= UNGUARDED_MAX:
            self.guard()
        return len(packet.rows)
