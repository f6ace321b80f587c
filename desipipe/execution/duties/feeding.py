"""Hand the tasks of a worker to its slots."""

from __future__ import annotations

import time
from itertools import islice, takewhile

from ...queue.ends import End
from ...queue.events import FAILED, CauseKind
from ..sent_tasks import Sent
from ..slot_process import PACKET_TASKS_MAX, SlotProcess
from .durations import Durations
from .nested import NestedTasks
from .pace import BATCH_TIME
from .packets import PacketMaker
from .parts import WorkerParts

PACKET_TIME_S = 0.004  # of work that goes to a slot together
TASK_COST_S = 1e-5  # of a task that does nothing
_DAMAGED = (
    'the code or arguments of this task were in a damaged line of the journal: call its app again'
)


class Feeding:
    """The way of tasks from the worker's backlog to its slots.

    Parameters
    ----------
    parts : WorkerParts
    durations, nested, packets
        Of the worker.
    """

    def __init__(
        self,
        parts: WorkerParts,
        durations: Durations,
        nested: NestedTasks,
        packets: PacketMaker,
    ) -> None:
        self._ledger = parts.ledger
        self._pool = parts.pool
        self._held = parts.held
        self._report = parts.report
        self._durations = durations
        self._nested = nested
        self._packets = packets
        self._stopping = parts.stopping

    def feed(self) -> None:
        """Hand out what slots have room for; start slots as long as there are too few."""
        pool, held = self._pool, self._held
        if not held.backlog or self._stopping.level is not None:
            return
        if pool.n_waiting():
            self._feed_needed()
        # Evenly, one after the other: the first to be free gets the next.
        n_busy = pool.n_busy()
        for process in pool.processes:
            if not process.sent and process.dying is None and held.backlog and n_busy < pool.slots:
                n_busy += self._send(process)
        while held.backlog and len(pool.processes) < pool.slots:
            started = pool.start()
            if started is None or (not self._send(started) and not pool.is_mpi):
                break
        self._feed_ahead()

    def _feed_ahead(self) -> None:
        """Hand out short tasks that are to run behind others."""
        held = self._held
        progress = True
        while held.backlog and progress:
            progress = False
            for process in self._pool.processes:
                if (
                    held.backlog
                    and process.dying is None
                    and len(process.sent) < process.ahead
                    and self._may_stand_behind(process, held.backlog[0])
                ):
                    progress |= self._send(process)

    def _may_stand_behind(self, process: SlotProcess, task: Sent) -> bool:
        """Return True if a task may be handed over behind others: only among short tasks."""
        if not process.sent:
            return False  # it gets the next one when its turn comes
        if process.waits_for:
            return False
        mean = self._durations.mean
        return (
            mean.get(task.group, 1.0) < BATCH_TIME
            and mean.get(process.sent[-1].group, 1.0) < BATCH_TIME
        )

    def _feed_needed(self) -> None:
        """Run what tasks here wait for, in the places that these lend."""
        needed, backlog = self._nested.needed(), self._held.backlog
        tasks = sorted(backlog, key=lambda task: task.row not in needed)
        backlog.clear()
        backlog.extend(tasks)
        while backlog and backlog[0].row in needed and self._nested.room() > 0:
            process = self._pool.idle_process() or self._pool.start()
            if process is None or not self._send(process, 1):
                break
        self._nested.note_lent()

    def _send(self, process: SlotProcess, n_max: int = PACKET_TASKS_MAX) -> bool:
        """Hand the next tasks to a slot: several of a group that is known to be short.

        Returns
        -------
        sent : bool
            False if the slot can take no more now.
        """
        backlog, state = self._held.backlog, self._ledger.state
        head = backlog[0]
        group = state.groups[head.group]
        if group.app not in state.apps or (group.shared and group.shared not in state.shared):
            self._end_damaged(backlog.popleft())
            return True
        segment = state.args_segment[head.row]
        authors = self._ledger.authors
        call = None if authors is None else authors.call(state, head.row)
        if authors is not None and call is None:
            # It was added again with other options since it was claimed.
            self._held.give_back([backlog.popleft()])
            return True
        # Each claim of a group's member has its own place.
        n_max = n_max if authors is None else 1
        next_tasks = islice(backlog, min(n_max, self._packet_size(process, head)))
        tasks = list(
            takewhile(
                lambda task: task.group == head.group and state.args_segment[task.row] == segment,
                next_tasks,
            )
        )
        packets = self._packets
        if not process.send(tasks, packets.packet(tasks, call), packets.settings, packets.store):
            return False
        for _ in tasks:
            backlog.popleft()
        return True

    def _end_damaged(self, task: Sent) -> None:
        cause = {'kind': CauseKind.CODE, 'text': _DAMAGED, 'errno': 1}
        end = End(task.row, task.attempt, FAILED, time.time(), 0, cause=cause)
        self._report.add(end, time.monotonic())

    def _packet_size(self, process: SlotProcess, task: Sent) -> int:
        """Return how many tasks to hand over at once.

        They are to take a few milliseconds, and all slots are to get some.
        """
        mean = self._durations.mean.get(task.group)
        if mean is None:
            return 1
        fit = int(PACKET_TIME_S / max(mean, TASK_COST_S))
        fair = -(-len(self._held.backlog) // self._pool.slots)
        return max(1, min(fit, fair, process.ahead - len(process.sent)))
