"""Pictures of a queue as plain data: the graph of its tasks, and the timeline of its workers.

Both stay small whatever the queue's size: what is too much to be seen is counted instead.
"""

from __future__ import annotations

import time
from array import array
from collections import Counter
from collections.abc import Collection, Iterator
from itertools import islice
from typing import Any

from ..queue.event_checks import decode_event
from ..queue.events import DROPPED, PENDING, RUNNING, STATES
from ..queue.ledger import Ledger
from ..queue.state import State
from .queue import state_name, task_name

NODES = 300
"""The most tasks that a graph shows one by one."""
INTERVALS = 5000
"""The most intervals that a timeline shows one by one."""
LANES = 250
"""The most workers that a timeline shows."""
BINS = 500
"""The most pieces into which a worker's time is cut, where its attempts are counted."""
_CHUNK = 1 << 20  # bytes of the journal at once

Dict = dict[str, Any]


def graph(ledger: Ledger, names: Collection[str] = (), limit: int = NODES) -> Dict:
    """Build the graph of which task requires which.

    Parameters
    ----------
    ledger : Ledger
    names : collection of str, default=()
        Apps whose tasks are shown one by one, also where there are too many to show all of them so.
    limit : int, default=300
        The most tasks to show one by one; more are grouped by app.

    Returns
    -------
    graph : dict
        - ``grouped``: whether apps stand for their tasks; ``total``: how many tasks there are that
          are not superseded; only these are shown
        - ``nodes``: of a task ``id`` (its identity), ``tid``, ``name``, ``index``, ``state``,
          ``blocked``; of an app ``id`` (its name), ``name``, ``total``, ``counts`` (by state),
          ``blocked`` (how many)
        - ``edges``: ``source``, which ``target`` needs (identities of nodes), ``count``
    """
    ledger.follow()
    state = ledger.state
    total = len(state) - state.n_superseded
    grouped = total > limit
    blocked = ledger.blocked()
    single = (
        [row for row in state.each() if row not in state.superseded]
        if not grouped
        else _first(ledger, set(names), limit)
    )
    node = {row: state.ids[row].hex() for row in single}
    nodes: list[Dict] = [
        {
            'id': tid,
            'tid': tid,
            'name': task_name(ledger, row),
            'index': state.index[row],
            'state': state_name(state.status_shown(row)),
            'blocked': row in blocked,
        }
        for row, tid in node.items()
    ]
    if grouped:
        nodes = _apps(ledger, blocked, node) + nodes
    labels = [group.name for group in state.groups]
    edges: Counter[tuple[str, str]] = Counter()
    for row, required in state.requires.items():
        if is_shown(state, row):
            target = node.get(row) or labels[state.group[row]]
            edges.update(
                (node.get(other) or labels[state.group[other]], target)
                for other in required
                if is_shown(state, other)
            )
    return {
        'grouped': grouped,
        'total': total,
        'nodes': nodes,
        'edges': [
            {'source': source, 'target': target, 'count': count}
            for (source, target), count in edges.items()
        ],
    }


def is_shown(state: State, row: int) -> bool:
    """Return True if a row is a task of the graph: neither deleted nor superseded."""
    return state.status[row] != DROPPED and row not in state.superseded


def _first(ledger: Ledger, names: set[str], limit: int) -> list[int]:
    state = ledger.state
    groups = {number for number, group in enumerate(state.groups) if group.name in names}
    rows = state.each() if groups else iter(())
    chosen = (row for row in rows if state.group[row] in groups and row not in state.superseded)
    return list(islice(chosen, limit))


def _apps(ledger: Ledger, blocked: dict[int, int], single: dict[int, str]) -> list[Dict]:
    # Those of an app that are shown one by one are no part of the app's own node.
    state = ledger.state
    counts = Counter(zip(state.group, state.status, strict=True))
    counts.subtract((state.group[row], state.status[row]) for row in (*single, *state.superseded))
    for row in state.claimed_rows() - state.superseded:
        if row not in single:
            counts.subtract([(state.group[row], RUNNING)])
            counts.update([(state.group[row], PENDING)])
    waiting = Counter(state.group[row] for row in blocked if row not in single)
    apps: dict[str, Dict] = {}
    for (number, status), n in counts.items():
        if n and status != DROPPED:
            name = state.groups[number].name
            app = apps.setdefault(
                name,
                {
                    'id': name,
                    'name': name,
                    'total': 0,
                    'counts': dict.fromkeys(STATES, 0),
                    'blocked': 0,
                },
            )
            app['total'] += n
            app['counts'][STATES[status]] += n
    for number, n in waiting.items():
        apps[state.groups[number].name]['blocked'] += n
    return list(apps.values())


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
            if line.startswith(b'{"e":"end"'):
                event = decode_event(line, offset)
                known = len(ledger.state.status)
                if event is not None and event['w'] and max(event['rows']) < known:
                    self._add(event)

    def _add(self, event: Dict) -> None:
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
    ) -> Dict:
        """Return the part that is visible.

        Parameters
        ----------
        begin, end : float, default=None
            Only what happened between these times (seconds since the epoch).
        limit : int, default=5000
            The most intervals to show one by one.

        Returns
        -------
        timeline : dict
            - ``began``, ``ended`` (seconds since the epoch, ``None`` if nothing ran), ``total``
              (how many attempts)
            - ``aggregated``: whether attempts are counted instead of shown one by one
            - ``lanes``, one a worker: ``worker``, ``host``, ``job``, ``slots``, ``height`` (how
              many ran at once) and ``intervals``: ``start``, ``end`` (``None``: it runs),
              ``state``, ``name``, ``index``, ``tid``, ``level`` (below ``height``); or, when
              aggregated, ``start``, ``end``, ``count``, ``counts`` (by state), ``busy`` (how many
              ran at once, on average)
            - ``hidden``: how many workers are left out
        """
        self.update()
        state = self._ledger.state
        now = time.time()
        since, until = (
            begin if begin is not None else float('-inf'),
            end if end is not None else float('inf'),
        )
        found = [
            i for i in range(len(self._rows)) if self._ended[i] >= since and self._began[i] <= until
        ]
        claimed = state.claimed_rows()
        working = [
            (row, worker)
            for row, worker in state.running.items()
            if worker is not None and row not in claimed
        ]
        running = [
            (row, worker.name, state.started[row])
            for row, worker in working
            if state.started[row] <= until
        ]
        lanes: dict[str, list[int]] = {}
        for i in found:
            lanes.setdefault(self._names[self._worker[i]], []).append(i)
        live: dict[str, list[tuple[int, float]]] = {}
        for row, name, start in running:
            live.setdefault(name, []).append((row, start))
        names = sorted(
            {*lanes, *live},
            key=lambda name: (state.workers[name].time if name in state.workers else 0.0, name),
        )
        starts = [self._began[i] for i in found] + [start for _, _, start in running]
        ends = [self._ended[i] for i in found] + ([now] if running else [])
        aggregated = len(starts) > limit
        first, last = (max(min(starts), since), min(max(ends), until)) if starts else (0.0, 0.0)
        bins = min(BINS, max(10, limit // max(1, len(names[:LANES]))))

        def drawn(ended: list[int], live: list[tuple[int, float]]) -> Dict:
            return (
                self._bins(ended, live, first, max(last, first + 1e-3), bins, now)
                if aggregated
                else self._intervals(ended, live)
            )

        return {
            'began': first if starts else None,
            'ended': last if starts else None,
            'total': len(starts),
            'aggregated': aggregated,
            'lanes': [
                {**self._lane(name), **drawn(lanes.get(name, []), live.get(name, []))}
                for name in names[:LANES]
            ],
            'hidden': max(0, len(names) - LANES),
        }

    def _lane(self, name: str) -> Dict:
        worker = self._ledger.state.workers.get(name)
        return {
            'worker': name,
            'host': worker.host if worker else '',
            'job': worker.job if worker else '',
            'slots': worker.slots if worker else 1,
        }

    def _intervals(self, ended: list[int], running: list[tuple[int, float]]) -> Dict:
        state = self._ledger.state
        items: list[tuple[float, float | None, str, int]] = [
            (self._began[i], self._ended[i], state_name(self._state[i]), self._rows[i])
            for i in ended
        ]
        items += [(start, None, 'RUNNING', row) for row, start in running]
        levels: list[float] = []
        intervals = []
        for start, end, word, row in sorted(items, key=lambda item: (item[0], item[3])):
            level = next(
                (level for level, free in enumerate(levels) if free <= start + 1e-5), len(levels)
            )
            levels[level : level + 1] = [float('inf') if end is None else end]
            intervals.append(
                {
                    'start': start,
                    'end': end,
                    'state': word,
                    'name': task_name(self._ledger, row),
                    'index': state.index[row],
                    'tid': state.ids[row].hex(),
                    'level': level,
                }
            )
        return {'height': len(levels), 'intervals': intervals}

    def _bins(
        self,
        ended: list[int],
        running: list[tuple[int, float]],
        first: float,
        last: float,
        bins: int,
        now: float,
    ) -> Dict:
        width = (last - first) / bins
        busy = [0.0] * bins
        counts = [[0] * len(STATES) for _ in range(bins)]
        items = [(self._began[i], self._ended[i], self._state[i]) for i in ended] + [
            (start, now, STATES.index('RUNNING')) for _, start in running
        ]
        for start, end, code in items:
            start, end = max(start, first), min(end, last)
            i, j = (min(bins - 1, int((when - first) / width)) for when in (start, end))
            counts[j][code] += 1  # where it ended
            for k in range(i, j + 1):
                busy[k] += (
                    max(0.0, min(end, first + (k + 1) * width) - max(start, first + k * width))
                    / width
                )
        intervals = [
            {
                'start': first + k * width,
                'end': first + (k + 1) * width,
                'count': sum(counts[k]),
                'counts': dict(zip(STATES, counts[k], strict=True)),
                'busy': busy[k],
            }
            for k in range(bins)
            if busy[k] or any(counts[k])
        ]
        return {'height': 1, 'intervals': intervals}


def _new_lines(ledger: Ledger, start: int) -> Iterator[tuple[bytes, int]]:
    """Yield the lines that the ledger has folded, from an offset on, with their offsets."""
    return ((line.data, line.offset) for line in ledger.journal.scan(start))
