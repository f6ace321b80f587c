"""Summarise the tasks of a notebook cell.

It has counts, the first failure, and what the tasks printed and drew.

It is asked for again and again while the tasks go: 10,000 of them in a queue of 100,000 cost
little, because each line of the journal is read once and the columns of the state are looked
through as bytes. As in :mod:`desipipe.view.queue`, nothing is unpickled.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, cast

from ..errors import QueueGoneError
from ..queue.events import (
    PENDING,
    RUNNING,
    STATES,
    WAITING,
)
from ..queue.location import type_queue
from ..queue.queue import Queue
from ..store.lease import Observer
from ..utils import working_folder
from .cell_failure import FirstFailure
from .cell_outputs import OUTPUTS_MAX, OUTPUTS_SIZE, CellOutputs
from .cell_rows import CellRows, Moment
from .cell_runs import CellRuns
from .failures import blocked_causes
from .ownership import held_tasks, untrusted_owner
from .processes import is_alive
from .queue import condition, job_groups, job_summaries
from .rows import format_rows, parse_rows, ranges
from .text import advice, held_advice, waiting_text

if TYPE_CHECKING:
    from .schema import (
        CellView,
        Condition,
        Counts,
        JobView,
    )

JOBS = 8
"""Jobs of batch systems that it names at most."""
_guard = threading.Lock()
_KEPT = 64  # cells of a queue of which what was read is kept
_JUDGED = (
    1.0,
    5.0,
)  # s after which the processes' leases are read again: on this machine's disk, on a shared one


def _where(queue: Queue) -> str:
    # Kept: it asks the user database, and each cell of a notebook would.
    here = working_folder()
    typed: tuple[str, str] | None = queue.__dict__.get('_typed')
    if typed is None or typed[0] != here:
        typed = queue.__dict__['_typed'] = here, type_queue(queue.folder, queue.config)
    return typed[1]


class CellReader:
    """Reader of the tasks of one cell, which keeps what it has read of them.

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
        self._rows = CellRows(self.ledger, rows)
        self.rows = self._rows.rows
        self.text = self._rows.text
        self.first = self._rows.first
        self.judge: Callable[[str], bool | None] | None = None
        """Says whether a worker or a manager lives, instead of
        :func:`~desipipe.view.processes.is_alive`.
        """
        self.grace = 0.0
        """Until when, on the monotonic clock, a manager that was just started is expected:
        nobody is missed before.
        """
        self._queue = self.ledger.journal.header.get('id')
        self._where = _where(queue)
        self.outputs = CellOutputs(self.ledger, self.rows, self._where)
        self._runs = CellRuns(self.ledger, self._rows, self.outputs)
        self._failure = FirstFailure(self.ledger, self._rows)
        self._guard = threading.Lock()
        self._alive: dict[str, tuple[float, bool | None]] = {}
        self._gen = self.ledger.journal.header.get('gen')

    def _begin(self) -> None:
        # Of the journal's generation: compaction puts the lines elsewhere.
        self._gen = self.ledger.journal.header.get('gen')
        for part in (self.outputs, self._runs, self._failure):
            part.begin()

    def holds(self, row: int) -> bool:
        """Return True for a row of the cell."""
        return row in self._rows.members

    def left(self) -> int:
        """Return the number of tasks neither ended nor blocked, as last followed."""
        self._check()
        status, _ = self._rows.columns()
        self._rows.leave_out_superseded(status)
        return sum(map(status.count, (WAITING, PENDING, RUNNING))) - len(self._rows.blocked(status))

    def refused(self) -> str:
        """Return the manager's reason why no worker comes until the user acts; or ''."""
        state = self.ledger.state
        manager = state.manager
        if (
            manager is None
            or not manager.get('final')
            or manager['of'] not in self._rows.mids
            or any(worker.mid in (None, *self._rows.mids) for worker in list(state.alive.values()))
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
        published: str = '',
    ) -> CellView:
        """Summarise the tasks; see :func:`cell_summary`."""
        with self._guard:
            now = self._read(observer)
            facts = self._facts(now, title, cached)
            facts['published'] = published
            if with_outputs:
                facts['outputs'], facts['truncated'] = self.outputs.gather(
                    now, limit, most, published
                )
            facts['advice'] = self._advice(now, facts)
            return facts

    def _read(self, observer: Observer | None) -> Moment:
        """Read what is new, and take the state of this moment apart."""
        ledger, state = self.ledger, self.ledger.state
        ledger.follow()
        self._check()
        status, ended_at = self._rows.columns()
        self._runs.read(ended_at)
        every = bytearray(status)
        n_superseded = self._rows.leave_out_superseded(status)
        claimed = self._rows.mark_claimed_pending(status)
        counts = cast('Counts', {name: status.count(code) for code, name in enumerate(STATES)})
        blocked = self._rows.blocked(status)
        left_out = claimed | state.superseded
        candidates = list(state.running) if counts['RUNNING'] else []
        running = [row for row in candidates if row in self._rows.members and row not in left_out]
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
                if (worker.mid in self._rows.mids or worker.mid is None)
                and self._is_alive(worker.name, observer) is not False
            ],
            has_manager=state.manager is not None
            and self._is_alive(state.manager['w'], observer) is not False,
        )

    def _facts(self, now: Moment, title: str, cached: bool) -> CellView:
        ledger, times = self.ledger, self._runs.times(now)
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
            'workers': len(self._runs.workers(now)),
            'slots': sum(worker.slots for worker in self._runs.workers(now)),
            'rate': times['rate'],
            'eta': times['eta'],
            'elapsed': times['elapsed'],
            'began': times['began'],
            'ended': times['ended'],
            'cached': cached,
            'computed': times['computed'],
            'failure': self._failure.at(now),
            'causes': blocked_causes(ledger, now.blocked) if now.blocked else [],
            'jobs': jobs[:JOBS],
            'n_jobs': len(jobs),
            'job_groups': job_groups(jobs),
            'advice': [],
            'outputs': [],
            'truncated': '',
            'published': '',
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
        return job_summaries(self.ledger, self._rows.mids, self._rows.members) if jobs else []

    def _advice(self, now: Moment, facts: CellView) -> list[list[str]]:
        failure, manager = facts['failure'], self.ledger.state.manager
        failures = [] if failure is None else [failure]
        held = held_tasks(self.ledger, self._rows.members) if now.counts['PENDING'] else []
        steps = held_advice(held)
        steps += advice(facts, self._where, failures, facts['causes'], held=held)
        if not now.running and (waiting := waiting_text(facts['job_groups'])):
            steps.append((waiting, f'desipipe status {self._where}'))
        if (
            now.counts['PENDING'] > sum(item['count'] for item in held)
            and not now.workers
            and manager is not None
            and manager.get('says')
            and manager['of'] in ('', *self._rows.mids)
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
        self._rows.refresh()

    def _is_alive(self, name: str, observer: Observer | None) -> bool | None:
        if self.judge is not None:
            return self.judge(name)
        now = time.monotonic()
        when, alive = self._alive.get(name, (float('-inf'), None))
        if now - when > _JUDGED[self.ledger.journal.shared]:
            alive = is_alive(self.ledger.folder, name, observer)
            self._alive[name] = now, alive
        return alive


def cell_summary(
    queue: Queue,
    rows: str | Iterable[int | range],
    *,
    title: str = '',
    cached: bool = False,
    observer: Observer | None = None,
    outputs: bool = True,
    limit: int = OUTPUTS_SIZE,
    published: str = '',
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
    published : str, default=''
        Rows with attempts whose outputs are left out, as of an earlier summary.

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
        cells: OrderedDict[str, CellReader] = queue.ledger.__dict__.setdefault(
            '_cells', OrderedDict()
        )
        cell = cells.get(key)
        if cell is not None:
            cells.move_to_end(key)
    if cell is None:
        cell = CellReader(queue, parts)
        with _guard:
            cells[key] = cell
            while len(cells) > _KEPT:
                cells.popitem(last=False)
    try:
        return cell.summary(title, cached, observer, outputs, limit, published=published)
    except QueueGoneError:
        with _guard:
            cells.pop(key, None)
        raise
