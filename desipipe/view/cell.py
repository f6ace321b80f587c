"""Summarise the tasks of a notebook cell.

It has counts, the first failure, and what the tasks printed and drew.

It is asked for again and again while the tasks go: 10,000 of them in a queue of 100,000 cost
little, because each line of the journal is read once and the columns of the state are looked
through as bytes. As in :mod:`desipipe.view.queue`, nothing is unpickled.
"""

from __future__ import annotations

import os
import re
import threading
import time
from array import array
from collections import OrderedDict, deque
from collections.abc import Callable, Container, Iterable, Sequence
from shlex import quote
from typing import TYPE_CHECKING, cast

from ..errors import DesipipeError, QueueGoneError, UnknownTaskError
from ..queue.events import (
    DROPPED,
    FAILED,
    KILLED,
    PENDING,
    RUNNING,
    STATES,
    UNKNOWN,
    WAITING,
)
from ..queue.location import type_queue
from ..queue.queue import Queue
from ..store.lease import Observer
from .appearance import BAD_STATES
from .cell_outputs import OUTPUTS_MAX, OUTPUTS_SIZE, CellOutputs, Moment
from .failures import blocked_causes, failure_of
from .jobs import job_groups, job_summaries
from .journal_events import events_at
from .ownership import untrusted_owner
from .pace import WINDOW, usual_rate
from .processes import is_alive
from .queue import condition
from .rows import format_rows, parse_rows, ranges
from .task_summary import task_summary
from .text import advice, waiting_text

if TYPE_CHECKING:
    from .schema import (
        CellFailure,
        CellTimes,
        CellView,
        Condition,
        Counts,
        JobView,
    )

JOBS = 8
"""Jobs of batch systems that it names at most."""
GAP = 60.0
"""Seconds of a pause that still count as time that the cell's tasks took: a longer one, as
between two days, does not.
"""

_guard = threading.Lock()
_KEPT = 64  # cells of a queue of which what was read is kept
_JUDGED = (
    1.0,
    5.0,
)  # s after which the processes' leases are read again: on this machine's disk, on a shared one
# Of tracebacks: where the task was in its cell. Cells' files are named by their magic.
_FRAME = re.compile(r'^\s*File "<%%desipipe[^"\n]*", line (\d+)', re.M)


def _where(queue: Queue) -> str:
    # Kept: it asks the user database, and each cell of a notebook would.
    here = os.getcwd()
    typed: tuple[str, str] | None = queue.__dict__.get('_typed')
    if typed is None or typed[0] != here:
        typed = queue.__dict__['_typed'] = here, type_queue(queue.folder, queue.config)
    return typed[1]


class Cell:
    """The tasks of one cell, and what was read of them so far.

    Parameters
    ----------
    queue : Queue
    rows : iterable of int or range
        In the order in which they are shown; each counts once.

    Raises
    ------
    UnknownTaskError
        The queue has no such rows.
    """

    def __init__(self, queue: Queue, rows: Iterable[int | range]) -> None:
        self.queue = queue
        self.ledger = queue.ledger
        self.ledger.follow()
        state = self.ledger.state
        parts = ranges(rows)
        if any(part.stop > len(state.status) for part in parts):
            raise UnknownTaskError(
                f'The queue {self.ledger.folder} has no row '
                f'{max(part.stop for part in parts) - 1:d}: it was cleared since, or these are '
                'rows of another one. '
                f'List what is there with: desipipe tasks -q {quote(self.ledger.folder)}'
            )
        self.rows = list(dict.fromkeys(row for part in parts for row in part))
        self._parts = ranges(self.rows)
        self._parts_end = max((part.stop for part in self._parts), default=0)
        self._members: Container[int] = (
            self._parts[0] if len(self._parts) == 1 else frozenset(self.rows)
        )
        self.text = format_rows(self._parts)
        self.first = state.ids[self.rows[0]].hex() if self.rows else ''
        self.judge: Callable[[str], bool | None] | None = None
        """Says whether a worker or a manager lives, instead of
        :func:`~desipipe.view.processes.is_alive`.
        """
        self.grace = 0.0
        """Until when, on the monotonic clock, a manager that was just started is expected:
        nobody is missed before.
        """
        self._queue = self.ledger.journal.header.get('id')
        self._find_mids()
        self._where = _where(queue)
        self.outputs = CellOutputs(self.ledger, self.rows, self._where)
        self._guard = threading.Lock()
        self._alive: dict[str, tuple[float, bool | None]] = {}
        self._begin()

    def _begin(self) -> None:
        # Of the journal's generation: compaction puts the lines elsewhere.
        self._gen = self.ledger.journal.header.get('gen')
        self._seen: set[int] = {0}
        self.outputs.begin()
        self._spans: list[tuple[float, float]] = []
        self._recent: deque[tuple[float, float, int]] = deque()
        self._workers: set[str] = set()
        self._last = 0.0
        self._failure: tuple[tuple[int, int], CellFailure] | None = None

    def holds(self, row: int) -> bool:
        """Return True for a row of the cell."""
        return row in self._members

    def left(self) -> int:
        """Return the number of tasks neither ended nor blocked, as last followed."""
        self._check()
        status, _ = self._columns()
        self._leave_out(status)
        return sum(map(status.count, (WAITING, PENDING, RUNNING))) - len(self._blocked(status))

    def _leave_out(self, status: bytearray) -> int:
        """Mark superseded rows as dropped, so that they don't count; return their number."""
        superseded = self.ledger.state.superseded
        if not superseded:
            return 0
        places = [index for index, row in enumerate(self.rows) if row in superseded]
        for index in places:
            status[index] = DROPPED
        return len(places)

    def _leave_pending(self, status: bytearray) -> set[int]:
        """Mark rows that are merely claimed as pending; return these rows."""
        claimed = {row for row in self.ledger.state.claimed_rows() if row in self._members}
        if not claimed:
            return claimed
        places = {row: index for index, row in enumerate(self.rows) if row in claimed}
        claimed = {row for row, index in places.items() if status[index] == RUNNING}
        for row in claimed:
            status[places[row]] = PENDING
        return claimed

    def refused(self) -> str:
        """Return the manager's reason why no worker comes until the user acts; or ''."""
        state = self.ledger.state
        manager = state.manager or {}
        if (
            not manager.get('final')
            or manager['of'] not in self._mids
            or any(worker.mid in (None, *self._mids) for worker in list(state.alive.values()))
        ):
            return ''
        return str(manager['says'])

    def summary(
        self,
        title: str = '',
        cached: bool = False,
        observer: Observer | None = None,
        with_outputs: bool = True,
        limit: int = OUTPUTS_SIZE,
        most: int = OUTPUTS_MAX,
    ) -> CellView:
        """Summarise the tasks; see :func:`cell_summary`."""
        with self._guard:
            now = self._read(observer)
            facts = self._facts(now, title, cached)
            if with_outputs:
                facts['outputs'], facts['truncated'] = self.outputs.gather(now, limit, most)
            facts['advice'] = self._advice(now, facts)
            return facts

    def _read(self, observer: Observer | None) -> Moment:
        """Read what is new, and take the state of this moment apart."""
        ledger, state = self.ledger, self.ledger.state
        ledger.follow()
        self._check()
        status, ended_at = self._columns()
        self._read_ends(ended_at)
        every = bytearray(status)
        n_superseded = self._leave_out(status)
        claimed = self._leave_pending(status)
        counts = cast('Counts', {name: status.count(code) for code, name in enumerate(STATES)})
        blocked = self._blocked(status)
        running = (
            [row for row in list(state.running) if row in self._members and row not in claimed]
            if counts['RUNNING']
            else []
        )
        return Moment(
            time=time.time(),
            status=status,
            every=every,
            ended_at=ended_at,
            counts=counts,
            claimed=len(claimed),
            superseded=n_superseded,
            blocked=blocked,
            left=counts['PENDING'] + counts['RUNNING'] + counts['WAITING'] - len(blocked),
            running=running,
            workers=[
                worker
                for worker in list(state.alive.values())
                if (worker.mid in self._mids or worker.mid is None)
                and self._is_alive(worker.name, observer) is not False
            ],
            has_manager=state.manager is not None
            and self._is_alive(state.manager['w'], observer) is not False,
        )

    def _facts(self, now: Moment, title: str, cached: bool) -> CellView:
        ledger, times = self.ledger, self._times(now)
        jobs = self._jobs() if now.left else []
        return {
            'version': 1,
            'queue': self.queue.name,
            'folder': ledger.folder,
            'title': title,
            'rows': self.text,
            'first': self.first,
            'time': now.time,
            'condition': self._condition(now),
            'total': sum(now.counts.values()),
            'counts': now.counts,
            'claimed': now.claimed,
            'blocked': len(now.blocked),
            'superseded': now.superseded,
            'left': now.left,
            'workers': self._slots(now),
            'rate': times['rate'],
            'eta': times['eta'],
            'elapsed': times['elapsed'],
            'began': times['began'],
            'ended': times['ended'],
            'cached': cached,
            'computed': times['computed'],
            'failure': self._first_failure(now),
            'causes': blocked_causes(ledger, now.blocked) if now.blocked else [],
            'jobs': jobs[:JOBS],
            'n_jobs': len(jobs),
            'job_groups': job_groups(jobs),
            'advice': [],
            'outputs': [],
            'truncated': '',
            'gone': '',
            'refused': self.refused() if now.left else '',
            'untrusted': untrusted_owner(ledger),
        }

    def _condition(self, now: Moment) -> Condition:
        is_expected = time.monotonic() < self.grace
        somebody = bool(now.workers) or now.has_manager or is_expected
        return condition(now.counts, now.left, self.ledger.state.paused, somebody)

    def _jobs(self) -> list[JobView]:
        jobs = self.ledger.state.jobs
        return job_summaries(self.ledger, self._mids, self._members) if jobs else []

    def _times(self, now: Moment) -> CellTimes:
        spans = self._spans_until(now)
        rate = self._rate(now.time, now.running) if now.running else None
        return {
            'rate': rate,
            'eta': now.left / rate if rate and not self.ledger.state.paused else None,
            'elapsed': sum(end - begin for begin, end in spans),
            'began': spans[0][0] if spans else None,
            'ended': self._last or None if not now.left else None,
            'computed': self._last or None,
        }

    def _spans_until(self, now: Moment) -> list[tuple[float, float]]:
        """Return the times in which some of the tasks ran."""
        started = self.ledger.state.started
        self._spans = _merged(self._spans)
        return _merged(
            [*self._spans, *((started.get(row, now.time), now.time) for row in now.running)]
        )

    def _advice(self, now: Moment, facts: CellView) -> list[list[str]]:
        failure, manager = facts['failure'], self.ledger.state.manager
        failures = [] if failure is None else [failure]
        steps = advice(facts, self._where, failures, facts['causes'])
        if not now.running and (waiting := waiting_text(facts['job_groups'])):
            steps.append((waiting, f'desipipe status {self._where}'))
        if (
            now.counts['PENDING']
            and not now.workers
            and manager is not None
            and manager.get('says')
            and manager['of'] in ('', *self._mids)
        ):
            steps.append((manager['says'].rstrip('.'), f'desipipe doctor {self._where}'))
        return [list(pair) for pair in steps]

    def _check(self) -> None:
        header = self.ledger.journal.header
        if header.get('id') != self._queue:
            raise QueueGoneError(
                f'The queue in {self.ledger.folder} was cleared: the tasks of this cell are gone. '
                'Run the cell again to compute them anew.'
            )
        if header.get('gen') != self._gen:
            self._begin()
        if self.ledger.state.assigned != self._assigned:
            self._find_mids()

    def _find_mids(self) -> None:
        state = self.ledger.state
        self._assigned = state.assigned
        self._mids = {state.group_of(row).mid for row in self.rows}

    def _blocked(self, status: bytearray) -> list[int]:
        if WAITING not in status:
            return []
        causes = self.ledger.blocked()
        return [
            row
            for row, code in zip(self.rows, status, strict=True)
            if code == WAITING and row in causes
        ]

    def _columns(self) -> tuple[bytearray, array[int]]:
        # Copies, made of parts in one go: another thread may fold events meanwhile. Rows that were
        # deleted may be missing at the end after a compaction.
        state = self.ledger.state
        if len(self._parts) > 100 and self._parts_end <= len(state.status):
            return bytearray(map(state.status.__getitem__, self.rows)), array(
                'Q', map(state.ended_at.__getitem__, self.rows)
            )
        status, ended_at = bytearray(), array('Q')
        n = 0
        for part in self._parts:
            n += len(part)
            status += state.status[part.start : part.stop]
            status += bytes((DROPPED,)) * (n - len(status))
            ended_at += state.ended_at[part.start : part.stop]
            ended_at.extend([0] * (n - len(ended_at)))
        return status, ended_at

    # Times

    def _read_ends(self, ended_at: Iterable[int]) -> None:
        fresh = set(ended_at) - self._seen
        if not fresh:
            return
        members = self._members
        for _, event in events_at(self.ledger, sorted(fresh)):
            if event is None:
                continue  # a damaged line: what it said is lost
            if event['e'] != 'end':
                self._last = max(self._last, event['t'])  # someone set a state
                continue
            extra, begin, length = event.get('x', {}), event['b'], event['d']
            places = [i for i, row in enumerate(event['rows']) if row in members]
            if not places:
                continue
            for i in places:
                detail = extra.get(str(i)) if extra else None
                if detail:
                    self.outputs.printed[event['rows'][i]] = event['n'][i]
                    self.outputs.took[event['rows'][i]] = length[i] * 1e-6
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

    def _slots(self, now: Moment) -> int:
        if now.left:
            return sum(worker.slots for worker in now.workers)
        # Of those that did it: when all is over, no worker needs to be there.
        workers = [self.ledger.state.workers.get(name) for name in self._workers]
        slots = sum(worker.slots for worker in workers if worker is not None)
        return min(sum(now.counts.values()), slots)

    def _is_alive(self, name: str, observer: Observer | None) -> bool | None:
        if self.judge is not None:
            return self.judge(name)
        now = time.monotonic()
        when, alive = self._alive.get(name, (float('-inf'), None))
        if now - when > _JUDGED[self.ledger.journal.shared]:
            alive = is_alive(self.ledger.folder, name, observer)
            self._alive[name] = now, alive
        return alive

    # Failures

    def _first_failure(self, now: Moment) -> CellFailure | None:
        if not any(now.counts[name] for name in BAD_STATES):
            return None
        # The first in time, as others may be its consequence; but not what someone cancelled, if
        # there is more to say.
        _, at, row = min(
            (code == KILLED, at, row)
            for row, code, at in zip(self.rows, now.status, now.ended_at, strict=True)
            if FAILED <= code <= UNKNOWN
        )
        if self._failure is None or self._failure[0] != (row, at):
            task = task_summary(self.ledger, row)
            self._failure = (row, at), {**failure_of(task), 'line': self._line(row)}
        return self._failure[1]

    def _line(self, row: int) -> int | None:
        try:
            trace = self.ledger.cause(row).get('trace')
            frames = _FRAME.findall(self.ledger.read_text(trace)) if trace else []
        except DesipipeError:
            return None  # what can't be read of it is said where its output is shown
        return int(frames[-1]) if frames else None


def _merged(spans: list[tuple[float, float]]) -> list[tuple[float, float]]:
    # Spans of time that overlap, or nearly so, as one.
    merged: list[tuple[float, float]] = []
    for begin, end in sorted(spans):
        if merged and begin <= merged[-1][1] + GAP:
            merged[-1] = merged[-1][0], max(merged[-1][1], end)
        else:
            merged.append((begin, end))
    return merged


def cell_summary(
    queue: Queue,
    rows: str | Iterable[int | range],
    *,
    title: str = '',
    cached: bool = False,
    observer: Observer | None = None,
    outputs: bool = True,
    limit: int = OUTPUTS_SIZE,
) -> CellView:
    """Summarise all there is to see of a cell's tasks at one glance.

    Parameters
    ----------
    queue : Queue
    rows : str or iterable of int or range
        The tasks' rows, in the order in which they are shown; see :func:`parse_rows`.
    title : str, default=''
        The cell's name.
    cached : bool, default=False
        True if all results were there already when the cell was run.
    observer : Observer, default=None
        See :func:`~desipipe.view.processes.is_alive`.
    outputs : bool, default=True
        True to tell what the tasks printed and drew.
    limit : int, default=1000000
        Bytes of outputs, at most.

    Returns
    -------
    summary : CellView
        With :data:`JOBS` jobs at most.

    Raises
    ------
    QueueGoneError
        The queue was deleted, or cleared since the cell was first looked at.
    UnknownTaskError
        It has no such rows.
    """
    parts = ranges(parse_rows(rows) if isinstance(rows, str) else rows)
    key = format_rows(parts)
    # What was read of the cells that were asked about lately is kept with the view of the queue:
    # who asks again, as a server does, pays for what is new.
    with _guard:
        cells: OrderedDict[str, Cell] = queue.ledger.__dict__.setdefault('_cells', OrderedDict())
        cell = cells.get(key)
        if cell is not None:
            cells.move_to_end(key)
    if cell is None:
        cell = Cell(queue, parts)
        with _guard:
            cells[key] = cell
            while len(cells) > _KEPT:
                cells.popitem(last=False)
    try:
        return cell.summary(title, cached, observer, outputs, limit)
    except QueueGoneError:
        with _guard:
            cells.pop(key, None)
        raise
