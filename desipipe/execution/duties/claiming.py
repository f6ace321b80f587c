"""Decide which tasks to claim: no more than slots can begin in a moment."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterator
from itertools import islice

from ...queue.events import CauseKind, StopLevel
from ..sent_tasks import Sent
from .choice import TaskChoice
from .durations import Durations
from .nested import NestedTasks
from .pace import Pace
from .parts import WorkerParts
from .time_limit import TimeLimit

EXCESS_LOOK_S = 0.05  # between two looks whether too much was claimed
BATCH_MAX = 512  # tasks to have at hand for each slot
WORTH = 4.0  # times its cost is the work of a claim, at least, where there is some
STUCK_AFTER = 0.5  # s after which what stands behind a running task is taken back
_NEVER = float('inf')
_ROUNDING = 1e-6  # part of the horizon: what sums leave over is no room for a task


class Claiming:
    """Claims of a worker: tasks that it asks the queue for, and gives back.

    Parameters
    ----------
    parts : WorkerParts
    choice, durations, pace, nested, time_limit
        Of the worker.
    """

    def __init__(
        self,
        parts: WorkerParts,
        choice: TaskChoice,
        durations: Durations,
        pace: Pace,
        nested: NestedTasks,
        time_limit: TimeLimit,
    ) -> None:
        self._ledger = parts.ledger
        self._choice = choice
        self._pool = parts.pool
        self._held = parts.held
        self._report = parts.report
        self._durations = durations
        self._pace = pace
        self._nested = nested
        self._time_limit = time_limit
        self._stopping = parts.stopping
        self._stop_after = None if parts.provider is None else parts.provider.stop_after
        self._n_claimed = self._n_asked = 0
        self._high_water = 0  # tasks at hand after the last claim
        self._next_excess = 0.0

    # How many

    def wanted(self, now: float, n_at_hand: int) -> int:
        """Return how many tasks to ask for at most; :meth:`choose` says which."""
        if self._ledger.state.paused or self._stopping.level is not None:
            return 0
        n_wanted = self._n_wanted(now, n_at_hand) if self._choice.has_pending() else 0
        if n_wanted > 0 and self._stop_after is not None:
            n_wanted = min(n_wanted, self._stop_after * self._pool.slots - self._n_claimed)
            if n_wanted <= 0 and not n_at_hand:
                text = f'its slots have run {self._stop_after:d} tasks each'
                self._stopping.request(StopLevel.POLITELY, CauseKind.STOP_AFTER, text)
        self._n_asked = n_wanted
        return n_wanted

    def _n_wanted(self, now: float, n_at_hand: int) -> int:
        state, slots = self._ledger.state, self._pool.slots
        n_waiting = self._pool.n_waiting()
        # Asked for when half is used up, so that slots do not run dry meanwhile.
        if n_at_hand >= slots and 2 * n_at_hand > self._high_water and not n_waiting:
            return 0
        rows = list(islice(self._choice.pending(), 1))
        if rows and not self._time_limit.fits(state.group[rows[0]], now):
            if not n_at_hand and not self._report:
                text = 'what is pending would take longer than its job has left'
                self._stopping.request(StopLevel.POLITELY, CauseKind.WALLTIME, text)
            return 0
        if self._pool.is_mpi:
            return max(0, slots - n_at_hand)
        has_no_room = self._spare(now) <= _ROUNDING * self._pace.horizon()
        if has_no_room and not (n_waiting and self._nested.choose()):
            self._high_water = min(self._high_water, n_at_hand)
            return 0
        return max(1, BATCH_MAX * slots - n_at_hand)

    def note_claimed(self, claimed: list[tuple[int, int]]) -> None:
        """Take in the rows and attempts that were claimed."""
        self._n_claimed += len(claimed)
        if claimed:
            self._high_water = len(claimed) + self._held.n_at_hand()
        state, backlog = self._ledger.state, self._held.backlog
        for row, attempt in claimed:
            number = state.group[row]
            backlog.append(Sent(row, attempt, number, state.groups[number].timeout))

    # Which

    def choose(self, rows: Iterator[int], share: int) -> list[int]:
        """Choose what to claim of the pending rows, by each app's own times.

        First comes what tasks here wait for, in the places that these lend. Of MPI slots each gets
        the next one.
        """
        rows = self._choice.selected(rows)
        if self._pool.is_mpi:
            return list(islice(rows, share))
        now, group = time.monotonic(), self._ledger.state.group
        chosen = self._nested.choose() if self._pool.n_waiting() else []
        preferred = set(chosen)
        spare, least = self._spare(now), _ROUNDING * self._pace.horizon()
        costs: dict[int, float] = {}
        # A claim of little more work than it costs would not pay, however small its share is.
        worthwhile = self._pool.n_places() * WORTH * self._pace.cost_s()
        for i, row in enumerate(islice(rows, max(share, self._n_asked))):
            number = group[row]
            cost = costs.get(number)
            if cost is None:
                cost = costs[number] = self._cost_of(number, now)
            if spare <= least or cost == _NEVER or (i >= share and cost > worthwhile):
                break
            worthwhile -= cost
            if row not in preferred:
                chosen.append(row)
                spare -= cost
        return chosen

    def _cost_of(self, group: int, now: float) -> float:
        """Return the seconds for which a task counts against the horizon.

        Infinity if it cannot end in time.
        """
        if not self._time_limit.fits(group, now):
            return _NEVER
        horizon = self._pace.horizon()
        return min(horizon, max(self._mean_of(group, horizon), 1e-5))

    def _mean_of(self, group: int, default: float) -> float:
        """Return the seconds that tasks of a group take.

        Here, or elsewhere where it is long until the next claim.
        """
        mean = self._durations.mean.get(group)
        if mean is None and self._pace.look_spacing():
            mean = self._ledger.state.mean_duration(group)
        return default if mean is None else mean

    def _spare(self, now: float) -> float:
        return self._pool.n_places() * self._pace.horizon() - self._load(now)

    def _load(self, now: float) -> float:
        """Return the seconds of work at hand.

        No task counts for more than the horizon.
        """
        processes = self._pool.processes
        at_hand = [task.group for process in processes for task in process.sent]
        at_hand += [task.group for task in self._held.backlog]
        if not at_hand:
            return 0.0
        horizon, mean, counts = self._pace.horizon(), self._durations.mean, Counter(at_hand)
        load = sum(n * min(horizon, mean.get(group, horizon)) for group, n in counts.items())
        for process in processes:
            if process.sent:  # the first counts for as long as it runs already
                expected = min(horizon, mean.get(process.sent[0].group, horizon))
                load += max(0.0, min(horizon, now - process.since) - expected)
        return load

    # Too many

    def give_back_excess(self, now: float) -> None:
        """Give back what was claimed and cannot begin soon.

        Tasks before it take longer than was expected.
        """
        backlog = self._held.backlog
        if not backlog or now < self._next_excess:
            return
        self._next_excess = now + EXCESS_LOOK_S
        needed = self._nested.needed() if self._pool.n_waiting() else {}
        n_stuck = sum(
            1
            for process in self._pool.processes
            if process.sent and now - process.since > STUCK_AFTER
        )
        horizon, mean = self._pace.horizon(), self._durations.mean
        room = max(0, self._pool.n_places() - n_stuck) * horizon
        load = sum(min(horizon, mean.get(task.group, horizon)) for task in backlog)
        if load <= 2 * room:
            return
        kept: deque[Sent] = deque()
        for task in backlog:
            if room > 0 or task.row in needed:
                kept.append(task)
                room -= min(horizon, mean.get(task.group, horizon))
            else:
                self._held.give_back([task])
        self._held.backlog = kept
