"""Times at which the tasks of a cell ran, from the ends that the journal has."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ..queue.events import EventKind
from ..queue.ledger import Ledger
from .cell_outputs import CellOutputs
from .cell_rows import CellRows, Moment
from .journal_events import events_at
from .pace import WINDOW, time_left, usual_rate

if TYPE_CHECKING:
    from ..queue.workers import Worker
    from .schema import CellTimes

GAP = 60.0
"""Seconds of a pause that still count as time that the cell's tasks took: a longer one, as
between two days, does not.
"""


class CellRuns:
    """The runs of a cell's tasks: each line of the journal is read once.

    Parameters
    ----------
    ledger : Ledger
    rows : CellRows
    outputs : CellOutputs
        Learns from the same lines which tasks printed something.
    """

    def __init__(self, ledger: Ledger, rows: CellRows, outputs: CellOutputs) -> None:
        self.ledger = ledger
        self._rows = rows
        self._outputs = outputs
        self.begin()

    def begin(self) -> None:
        """Forget what was read: compaction puts the lines of the journal elsewhere."""
        self._seen: set[int] = {0}
        self._spans: list[tuple[float, float]] = []
        self._recent: deque[tuple[float, float, int]] = deque()
        self._workers: set[str] = set()
        self._last = 0.0

    def read(self, ended_at: Iterable[int]) -> None:
        """Read the ends at offsets of the journal, those that are new."""
        fresh = set(ended_at) - self._seen
        if not fresh:
            return
        members = self._rows.members
        for _, event in events_at(self.ledger, sorted(fresh)):
            if event is None:
                continue  # a damaged line: what it said is lost
            if event['e'] != EventKind.END:
                if event['e'] in (EventKind.SET, EventKind.ACCEPT, EventKind.WORKER):
                    self._last = max(self._last, event['t'])  # someone set a state
                continue
            begin, length = event['b'], event['d']
            extra = event['x'] if 'x' in event else {}
            places = [i for i, row in enumerate(event['rows']) if row in members]
            if not places:
                continue
            for i in places:
                detail = extra.get(str(i)) if extra else None
                if detail:
                    self._outputs.printed[event['rows'][i]] = event['n'][i]
                    self._outputs.took[event['rows'][i]] = length[i] * 1e-6
            if event['w']:
                span = (
                    event['t0'] + min(begin[i] for i in places) * 1e-6,
                    event['t0'] + max(begin[i] + length[i] for i in places) * 1e-6,
                )
                self._spans.append(span)
                self._last = max(self._last, span[1])
                self._workers.add(event['w'])
                if (
                    'kind' not in event
                ):  # else compaction wrote down again what had been long before
                    self._recent.append((event['t'], span[0], len(places)))
        self._seen |= fresh

    def times(self, now: Moment) -> CellTimes:
        """Return how long the tasks took, and how long the rest will take."""
        spans = self._spans_until(now)
        rate = self._rate(now.time, now.running) if now.running else None
        return {
            'rate': rate,
            'eta': time_left(self.ledger, now.left, rate, now.running, now.time),
            'elapsed': sum(end - begin for begin, end in spans),
            'began': spans[0][0] if spans else None,
            'ended': self._last or None if not now.left else None,
            'computed': self._last or None,
        }

    def _spans_until(self, now: Moment) -> list[tuple[float, float]]:
        """Return the times in which some of the tasks ran."""
        started = self.ledger.state.running.started
        self._spans = _merged(self._spans)
        return _merged(
            [*self._spans, *((started(row) or now.time, now.time) for row in now.running)]
        )

    def _rate(self, now: float, running: Sequence[int]) -> float | None:
        # For people only: clocks of several hosts are mixed here.
        recent = self._recent
        while recent and recent[0][0] <= now - WINDOW:
            recent.popleft()
        if not recent:
            return usual_rate(self.ledger, running, now)
        now = max(now, recent[-1][0])
        since = max(now - WINDOW, min(began for _, began, _ in recent))
        return sum(n for _, _, n in recent) / max(now - since, 1e-3)

    def workers(self, now: Moment) -> list[Worker]:
        """Return the workers that serve the tasks, or that did."""
        if now.left:
            return now.workers
        # Of those that did it: when all is over, no worker needs to be there.
        workers = [self.ledger.state.workers.get(name) for name in self._workers]
        return [worker for worker in workers if worker is not None]


def _merged(spans: list[tuple[float, float]]) -> list[tuple[float, float]]:
    # Spans of time that overlap, or nearly so, as one.
    merged: list[tuple[float, float]] = []
    for begin, end in sorted(spans):
        if merged and begin <= merged[-1][1] + GAP:
            merged[-1] = merged[-1][0], max(merged[-1][1], end)
        else:
            merged.append((begin, end))
    return merged
