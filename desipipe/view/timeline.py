"""Build the timeline of a queue's workers; what is too much is counted."""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple, cast

from ..queue.event_checks import decode_event
from ..queue.events import RUNNING, STATES, EventKind
from ..queue.ledger import Ledger
from .task_summary import state_name, task_label

if TYPE_CHECKING:
    from ..queue.attempt_events import EndEvent
    from .schema import (
        AttemptInterval,
        CountedInterval,
        Counts,
        LaneView,
        TaskState,
        TimelineView,
    )

INTERVALS = 5000
"""The most intervals that a timeline shows one by one."""
LANES = 250
"""The most workers that a timeline shows."""
BINS = 500
"""The most pieces into which a worker's time is cut, where its attempts are counted."""


class Timeline:
    """The times at which each slot ran which task.

    Kept as columns, so that looking again reads only what the journal has got since.

    Parameters
    ----------
    ledger : Ledger
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._begin('')

    def _begin(self, gen: str) -> None:
        self._gen = gen
        self._offset = 0
        self._rows = array('I')
        self._worker = array('I')
        self._state = array('B')
        self._began = array('d')  # s since the epoch, on the clocks of the hosts
        self._ended = array('d')
        self._names: list[str] = []
        self._numbers: dict[str, int] = {}

    def update(self) -> None:
        """Read what is new."""
        ledger = self._ledger
        ledger.follow()
        gen = ledger.journal.header['gen']
        if gen != self._gen:
            self._begin(gen)
        for line, offset in _new_lines(ledger, self._offset):
            self._offset = offset + len(line)
            if line.startswith(b'{"e":"end'):
                event = decode_event(line, offset)
                total = len(ledger.state.status)
                if event is None or event['e'] != EventKind.END or not event['w']:
                    continue
                if max(event['rows']) < total:
                    self._add(event)

    def _add(self, event: EndEvent) -> None:
        rows, states, began = event['rows'], event['s'], event['t0']
        number = self._numbers.get(event['w'])
        if number is None:
            number = self._numbers[event['w']] = len(self._names)
            self._names.append(event['w'])
        self._rows.extend(rows)
        self._worker.extend([number] * len(rows))
        self._state.extend([states] * len(rows) if isinstance(states, int) else states)
        self._began.extend(began + start * 1e-6 for start in event['b'])
        self._ended.extend(
            began + (start + taken) * 1e-6
            for start, taken in zip(event['b'], event['d'], strict=True)
        )

    def durations(self) -> dict[int, float]:
        """Return the seconds that the last attempt of each task took, by row."""
        self.update()
        return {
            row: ended - began
            for row, began, ended in zip(self._rows, self._began, self._ended, strict=True)
        }

    def view(
        self, begin: float | None = None, end: float | None = None, limit: int = INTERVALS
    ) -> TimelineView:
        """Return the part that is visible.

        Parameters
        ----------
        begin, end : float, default=None
            Only what happened between these times (seconds since the epoch).
        limit : int, default=5000
            The most intervals to show one by one.

        Returns
        -------
        timeline : TimelineView
        """
        self.update()
        now = time.time()
        since = begin if begin is not None else float('-inf')
        until = end if end is not None else float('inf')
        ended = self._ended_between(since, until)
        running = self._running_before(until)
        names = self._in_order({*ended, *running})
        superseded = self._ledger.state.superseded
        rows = [self._rows[i] for some in ended.values() for i in some]
        rows += [row for some in running.values() for row, _ in some]
        n_superseded = sum(row in superseded for row in rows) if superseded else 0
        began = [self._began[i] for some in ended.values() for i in some]
        began += [start for some in running.values() for _, start in some]
        ends = [self._ended[i] for some in ended.values() for i in some]
        ends += [now] if running else []
        first, last = (max(min(began), since), min(max(ends), until)) if began else (0.0, 0.0)
        bins = None
        if len(began) > limit:
            n = min(BINS, max(10, limit // max(1, len(names[:LANES]))))
            bins = Bins(first, max(last, first + 1e-3), n, now)
        return {
            'whole': self._whole(now),
            'began': first if began else None,
            'ended': last if began else None,
            'total': len(began) - n_superseded,
            'superseded': n_superseded,
            'aggregated': bins is not None,
            'lanes': [
                self._lane(name, ended.get(name, []), running.get(name, []), bins)
                for name in names[:LANES]
            ],
            'hidden': max(0, len(names) - LANES),
        }

    def _whole(self, now: float) -> list[float]:
        """Return the times between which something ran; empty if nothing has run."""
        running = [some.start for some in chain(*self._running_before(now).values())]
        if not self._began and not running:
            return []
        ended = chain(self._ended, [now] if running else [])
        return [min(chain(self._began, running)), max(ended)]

    def _ended_between(self, since: float, until: float) -> dict[str, list[int]]:
        """Return the places of attempts that ended, by worker."""
        lanes: dict[str, list[int]] = {}
        for i in range(len(self._rows)):
            if self._ended[i] >= since and self._began[i] <= until:
                lanes.setdefault(self._names[self._worker[i]], []).append(i)
        return lanes

    def _running_before(self, until: float) -> dict[str, list[Running]]:
        """Return the tasks that run and began before a time, by worker."""
        state = self._ledger.state
        claimed = state.claimed_rows()
        lanes: dict[str, list[Running]] = {}
        for row, worker in state.running.items():
            began = state.running.started(row)
            if worker is not None and row not in claimed and began is not None and began <= until:
                lanes.setdefault(worker.name, []).append(Running(row, began))
        return lanes

    def _in_order(self, names: set[str]) -> list[str]:
        """Sort workers by the time of their start."""
        workers = self._ledger.state.workers
        return sorted(
            names, key=lambda name: (workers[name].time if name in workers else 0.0, name)
        )

    def _lane(
        self, name: str, ended: list[int], running: list[Running], bins: Bins | None
    ) -> LaneView:
        worker = self._ledger.state.workers.get(name)
        lane: LaneView = {
            'worker': name,
            'host': worker.host if worker else '',
            'job': worker.job if worker else '',
            'slots': worker.slots if worker else 1,
            'height': 1,
            'intervals': [],
        }
        if bins is None:
            lane['intervals'], lane['height'] = self._intervals(ended, running)
        else:
            lane['intervals'] = self._counted(ended, running, bins)
        return lane

    def _intervals(
        self, ended: list[int], running: list[Running]
    ) -> tuple[list[AttemptInterval], int]:
        """Return the attempts one by one, and how many ran at once."""
        items: list[tuple[float, float | None, TaskState, int]] = [
            (self._began[i], self._ended[i], state_name(self._state[i]), self._rows[i])
            for i in ended
        ]
        items += [(start, None, 'RUNNING', row) for row, start in running]
        superseded = self._ledger.state.superseded
        levels: list[float] = []
        intervals: list[AttemptInterval] = []
        for start, end, state, row in sorted(items, key=lambda item: (item[0], item[3])):
            level = next(
                (level for level, free in enumerate(levels) if free <= start + 1e-5), len(levels)
            )
            levels[level : level + 1] = [float('inf') if end is None else end]
            intervals.append(
                {
                    'start': start,
                    'end': end,
                    'state': state,
                    **task_label(self._ledger, row),
                    'level': level,
                    'superseded': row in superseded,
                }
            )
        return intervals, len(levels)

    def _counted(
        self, ended: list[int], running: list[Running], bins: Bins
    ) -> list[CountedInterval]:
        """Return the attempts counted in pieces of time."""
        items = [(self._began[i], self._ended[i], self._state[i], self._rows[i]) for i in ended]
        items += [(start, bins.now, RUNNING, row) for row, start in running]
        superseded = self._ledger.state.superseded
        return bins.intervals(
            [(start, end, None if row in superseded else code) for start, end, code, row in items]
        )


class Running(NamedTuple):
    """A task that runs."""

    row: int
    start: float


class Bins(NamedTuple):
    """Pieces of equal length into which a span of time is cut."""

    first: float
    last: float
    n: int
    now: float

    def intervals(self, items: list[tuple[float, float, int | None]]) -> list[CountedInterval]:
        """Count attempts, each with its begin, end and state; empty pieces are left out.

        The state of an attempt of a superseded task, which does not count, is None.
        """
        width = (self.last - self.first) / self.n
        busy, busy_superseded = [0.0] * self.n, [0.0] * self.n
        counts = [[0] * len(STATES) for _ in range(self.n)]
        edges = [self.first + k * width for k in range(self.n + 1)]
        for start, end, code in items:
            start, end = max(start, self.first), min(end, self.last)
            i, j = (min(self.n - 1, int((when - self.first) / width)) for when in (start, end))
            if code is not None:
                counts[j][code] += 1  # where it ended
            load = busy_superseded if code is None else busy
            for k in range(i, j + 1):
                load[k] += max(0.0, min(end, edges[k + 1]) - max(start, edges[k])) / width
        return [
            {
                'start': edges[k],
                'end': edges[k + 1],
                'count': sum(counts[k]),
                'counts': cast('Counts', dict(zip(STATES, counts[k], strict=True))),
                'busy': busy[k],
                'busy_superseded': busy_superseded[k],
            }
            for k in range(self.n)
            if busy[k] or busy_superseded[k] or any(counts[k])
        ]


def _new_lines(ledger: Ledger, start: int) -> Iterator[tuple[bytes, int]]:
    """Yield the folded lines from an offset on, with their offsets."""
    is_damaged, scanned = ledger.state.is_damaged, ledger.journal.scan(start)
    return ((line.data, line.offset) for line in scanned if not is_damaged(line.offset))
