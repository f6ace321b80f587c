"""Orders in the journal: to end, and to leave tasks that are no longer one's own."""

from __future__ import annotations

from collections import deque

from ...queue.ends import forgive_failures
from ...queue.events import CauseKind, StopLevel
from ..queue_faults import QueueLostError
from ..sent_tasks import Sent
from .heartbeat import Heartbeat
from .parts import WorkerParts
from .report import SlotMessages


class Orders:
    """Reader of what the journal says of a worker.

    Parameters
    ----------
    parts : WorkerParts
    heartbeat, messages
        Of the worker.
    """

    def __init__(
        self,
        parts: WorkerParts,
        heartbeat: Heartbeat,
        messages: SlotMessages,
    ) -> None:
        self._ledger = parts.ledger
        self._name = parts.name
        self._heartbeat = heartbeat
        self._pool = parts.pool
        self._held = parts.held
        self._report = parts.report
        self._messages = messages
        self._stopping = parts.stopping
        self._identity = ''
        self._read_to: tuple[str, int] = ('', 0)
        self._cleared_at: float | None = None

    def begin(self, identity: str) -> None:
        """Note the identity of the queue that the worker belongs to."""
        self._identity = identity
        self._cleared_at = self._ledger.state.header.get('t')

    def check_queue(self) -> None:
        """Check that the queue is still the one that the worker belongs to.

        Raises
        ------
        QueueLostError
            It was cleared.
        """
        if self._ledger.journal.header['id'] != self._identity:
            raise QueueLostError(
                f'The queue in {self._ledger.folder} was cleared. This worker belonged to what it '
                'held, and ends.'
            )

    def read(self) -> None:
        """Do what the journal says of this worker, if it says anything new.

        Not only after a look: to write we read what others wrote before, which is then new to no
        look.
        """
        position = self._ledger.journal.header['gen'], self._ledger.journal.offset
        if position != self._read_to:
            self._read_to = position
            self._apply()

    def _apply(self) -> None:
        me = self._ledger.state.alive.get(self._name)
        if me is None:
            if self._ledger.journal.header['id'] == self._identity:  # else it was cleared
                self._lose()
            return
        if me.stop:
            level = StopLevel(me.stop)
            text = 'killed by desipipe kill' if level == StopLevel.NOW else 'asked to end'
            self._stopping.request(level, CauseKind.KILLED, text)
            self._heartbeat.confirm(level)
        n_held = self._held.n_at_hand() + len(self._report) + len(self._held.back)
        if (cleared_at := self._ledger.state.header.get('t')) != self._cleared_at:
            self._cleared_at = cleared_at
            self._held.outlive()
            forgive_failures(self._report.ends)
        if len(me.rows) + len(me.draining) != n_held or me.draining:
            self._reconcile({*me.rows, *me.draining}, me.draining)

    def _lose(self) -> None:
        if self._name in self._ledger.state.workers:
            raise QueueLostError(
                f'This worker missed its heartbeat for {self._heartbeat.period:g} s, and its tasks '
                'were given to others. It ends.'
            )
        raise QueueLostError(
            f'The journal of the queue in {self._ledger.folder} does not know this worker: an '
            'older copy was put in its place. What it ran is run again, and it ends.'
        )

    def _reconcile(self, own_rows: set[int], cleared: set[int]) -> None:
        # Rows that are no longer ours: cancelled, or set by hand. What has not begun is dropped,
        # what runs is killed. Rows that are ours and that we do not know of: a claim that counted
        # although the lock was lost when it was made. They go back. Rows of tasks that were
        # cleared: what runs may end, what has not begun goes back, where it is forgotten.
        state, held, processes = self._ledger.state, self._held, self._pool.processes
        unheld = own_rows - held.rows() - set(self._report.rows())
        held.back += [(row, state.attempt[row]) for row in unheld]

        def is_lost(task: Sent) -> bool:
            return task.row not in own_rows or state.attempt[task.row] != task.attempt

        for process in processes if cleared else ():
            if any(task.row in cleared for task in list(process.sent)[1:]):
                held.take_back(process)
        held.give_back(task for task in held.backlog if task.row in cleared)
        held.backlog = deque(
            task for task in held.backlog if task.row not in cleared and not is_lost(task)
        )
        for process in processes:
            if not any(map(is_lost, process.sent)):
                continue
            self._messages.stop_after_current(process)
            if process.sent and is_lost(process.sent[0]) and process.dying is None:
                process.kill(CauseKind.CANCELLED, 'cancelled')
        held.backlog = deque(task for task in held.backlog if not is_lost(task))
