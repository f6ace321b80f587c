"""Exchange with the queue: report what ended, give back, claim."""

from __future__ import annotations

import logging
import time

from ...errors import DesipipeError
from ...provenance import SAVED_WITH_FILES
from ...queue.events import SUCCEEDED
from ..queue_faults import QueueFaults
from .choice import TaskChoice
from .claiming import Claiming
from .feeding import Feeding
from .notes import Notes
from .pace import Pace
from .parts import WorkerParts
from .pool import START

logger = logging.getLogger('desipipe')

REPORT = 'writing to the journal'


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
            and self._faults.attempt(REPORT, lambda: self.exchange(n_wanted))
        ):
            self._feeding.feed()

    def next_report(self) -> float:
        """Return the monotonic time at which the report is due; infinity if it is empty."""
        if not len(self._report) or self._faults.failing(REPORT):
            return float('inf')
        return max(self._report.first_at + self._pace.report_after(), self._pace.next_exchange)

    def _is_report_due(self, now: float, n_at_hand: int, n_wanted: int) -> bool:
        if not len(self._report):
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
        began = time.monotonic()
        report, held = self._report, self._held
        report.store()
        report.begin_writing()
        claimed = self._ledger.exchange(
            self._name,
            report.ends,
            held.back,
            n_wanted,
            self._choice.mids() if n_wanted else [],
            self._identity,
            self._claiming.choose,
            report.successes,
        )
        self._pace.note_exchange(began, time.monotonic())
        held.back = []
        self._save_attributes(report.end_writing())
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
            for number, group in enumerate(state.groups)
            if group.save_dir and not SAVED_WITH_FILES.issuperset(group.save_attrs)
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
