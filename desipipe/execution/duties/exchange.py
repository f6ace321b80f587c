"""Exchange with the queue and hand-over to slots: report, give back, claim, feed."""

from __future__ import annotations

import logging
import time
from itertools import islice, takewhile
from typing import TYPE_CHECKING

from ...errors import DesipipeError
from ...provenance import SAVED_WITH_FILES
from ...queue.ends import End
from ...queue.events import FAILED, SUCCEEDED, CauseKind
from ..queue_faults import QueueFaults
from ..sent_tasks import Sent
from ..slot_process import PACKET_TASKS_MAX, SlotProcess
from .choice import TaskChoice
from .claiming import Claiming
from .durations import Durations
from .nested import NestedTasks
from .notes import Notes
from .pace import BATCH_TIME, Pace
from .packets import PacketMaker
from .parts import WorkerParts
from .pool import START

if TYPE_CHECKING:
    from ...queue.task_events import Cause

logger = logging.getLogger('desipipe')

REPORT = 'writing to the journal'
TASK_COST_S = 1e-5  # of a task that does nothing
_DAMAGED = (
    'the code or arguments of this task were in a damaged line of the journal: call its app again'
)


class Exchange:
    """The one place where a worker writes what its tasks came to, and claims.

    Parameters
    ----------
    parts : WorkerParts
    faults, choice, notes, pace, claiming, feeding
        Of the worker.
    """

    def __init__(
        self,
        parts: WorkerParts,
        faults: QueueFaults,
        choice: TaskChoice,
        notes: Notes,
        pace: Pace,
        claiming: Claiming,
        feeding: Feeding,
    ) -> None:
        self._ledger = parts.ledger
        self._name = parts.name
        self._identity = ''
        self._faults = faults
        self._choice = choice
        self._pool = parts.pool
        self._held = parts.held
        self._report = parts.report
        self._notes = notes
        self._pace = pace
        self._claiming = claiming
        self._feeding = feeding
        self._stopping = parts.stopping

    def begin(self, identity: str) -> None:
        """Note the identity of the queue that the worker belongs to."""
        self._identity = identity

    def trade(self, now: float) -> None:
        """Hand out what is at hand; report and claim when it is due."""
        if self._faults.failing(START) and self._stopping.level is None:
            # as soon as it is due: until it works nothing is claimed, and nothing else would try
            self._pool.start()
        self._feeding.feed()
        self._claiming.give_back_excess(now)
        n_at_hand = self._held.n_at_hand()
        n_wanted = self._claiming.wanted(now, n_at_hand)
        is_due = self._is_report_due(now, n_at_hand, n_wanted)
        self._notes.write()
        if (
            (is_due or n_wanted > 0 or self._held.back)
            and self._may_exchange(now)
            and self._exchange_and_feed(n_wanted)
        ):
            self._claim_released()

    def _exchange_and_feed(self, n_wanted: int) -> bool:
        """Exchange, and hand out what was claimed; return True if the journal was written."""
        is_done = self._faults.attempt(REPORT, lambda: self.exchange(n_wanted))
        if is_done:
            self._feeding.feed()
        return is_done

    def _claim_released(self) -> None:
        """Claim for idle slots what this report let begin: own lines wake nobody."""
        now, n_at_hand = time.monotonic(), self._held.n_at_hand()
        if n_at_hand >= self._pool.slots or not self._may_exchange(now):
            return
        n_wanted = self._claiming.wanted(now, n_at_hand)
        if n_wanted > 0:
            self._exchange_and_feed(n_wanted)

    def next_report(self) -> float:
        """Return the monotonic time of the next report; infinity if there is none."""
        if self._faults.failing(REPORT):
            return float('inf')
        if self._held.back:
            return self._pace.next_exchange
        if not self._report:
            return float('inf')
        return max(self._report.first_at + self._pace.report_after(), self._pace.next_exchange)

    def _is_report_due(self, now: float, n_at_hand: int, n_wanted: int) -> bool:
        if not self._report:
            return False
        is_idle = not self._held.backlog and (
            n_at_hand == 0 or any(not process.sent for process in self._pool.processes)
        )
        return (
            is_idle
            or n_wanted > 0
            or now - self._report.first_at >= self._pace.report_after()
            or self._stopping.level is not None
        )

    def _may_exchange(self, now: float) -> bool:
        """Return True unless so many others write to the journal that this worker waits."""
        return now >= self._pace.next_exchange or self._stopping.level is not None

    def exchange(self, n_wanted: int) -> None:
        """Report, give back and claim at most so many tasks, with one lock."""
        if not self._ledger.journal.shared:
            self._ledger.follow()  # without the lock
        began, held = time.monotonic(), self._held
        mids = self._choice.mids() if n_wanted else []
        claimed, succeeded = self._report.write(
            self._name, held.back, n_wanted, mids, self._identity, self._claiming.choose
        )
        self._pace.note_exchange(began, time.monotonic())
        held.back = []
        self._save_attributes(succeeded)
        self._claiming.note_claimed(claimed)

    def save_results(self) -> None:
        """Report what was computed, and give back what did not begin, after an error.

        The worker ends.
        """
        try:
            self._held.give_back_all()
            self.exchange(0)
        except (OSError, DesipipeError) as exc:
            logger.error('What was computed could not be reported: %s', exc)

    def _save_attributes(self, rows: list[int]) -> None:
        """Write the files that ``save_attrs`` asks for of tasks that succeeded."""
        state = self._ledger.state
        saving = {
            number
            for number in set(map(state.group.__getitem__, rows))
            if (group := state.groups[number]).save_dir
            and not SAVED_WITH_FILES.issuperset(group.save_attrs)
        }
        for row in rows if saving else ():
            if state.group[row] in saving and state.status[row] == SUCCEEDED:
                self._save(row)

    def _save(self, row: int) -> None:
        from ...queue.task import Task

        task = Task.stored(self._ledger, row)
        try:
            task.save()
        except (OSError, DesipipeError) as exc:
            logger.error(
                'What save_attrs asks for of task %s could not be saved: %s', task.id[:12], exc
            )


class Feeding:
    """The way of tasks from the worker's backlog to its slots.

    Parameters
    ----------
    parts : WorkerParts
    durations, nested, pace, packets
        Of the worker.
    """

    def __init__(
        self,
        parts: WorkerParts,
        durations: Durations,
        nested: NestedTasks,
        pace: Pace,
        packets: PacketMaker,
    ) -> None:
        self._ledger = parts.ledger
        self._pool = parts.pool
        self._held = parts.held
        self._report = parts.report
        self._durations = durations
        self._nested = nested
        self._pace = pace
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
        packet = packets.packet(tasks, call, self._pace.wake_after())
        if not process.send(tasks, packet, packets.settings, packets.store):
            return False
        for _ in tasks:
            backlog.popleft()
        return True

    def _end_damaged(self, task: Sent) -> None:
        cause: Cause = {'kind': CauseKind.CODE, 'text': _DAMAGED, 'errno': 1}
        end = End(task.row, task.attempt, FAILED, time.time(), 0, cause=cause)
        self._report.add(end, time.monotonic())

    def _packet_size(self, process: SlotProcess, task: Sent) -> int:
        """Return how many tasks to hand over at once.

        They are to take a few milliseconds, more where reports are rare, and all slots are to get
        some.
        """
        mean = self._durations.mean.get(task.group)
        if mean is None:
            return 1
        fit = int(self._pace.packet_time() / max(mean, TASK_COST_S))
        fair = -(-len(self._held.backlog) // self._pool.slots)
        return max(1, min(fit, fair, process.ahead - len(process.sent)))
