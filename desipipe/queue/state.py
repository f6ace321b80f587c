"""State of a queue: a fold over its events, without clock and I/O.

Tasks are rows of columns (some 70 bytes a row, and 45 for the identity), details stay in the
journal. Everything that is asked often is kept up to date as events come; everything else is
computed when asked for.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from operator import itemgetter

from ..store.lines import RefusedEvent
from .event_checks import check_event
from .events import (
    DROPPED,
    FAILED,
    KILLED,
    PENDING,
    RUNNING,
    STATES,
    UNKNOWN,
    UNSUCCESSFUL,
    WAITING,
    Ref,
    Step,
)
from .task_columns import NOWHERE
from .task_fold import TaskFold
from .workers import Worker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..store.header import Header
    from .event_types import WorkerEvent
    from .process_events import WorkerEndEvent

_DAMAGE_MAX = 1000  # damaged lines in a row that are told apart
TIME_MAX = 1e11  # s since the epoch
# These are checked as they are folded.
_OFTEN = frozenset(('add', 'run', 'runs', 'end', 'ends', 'set', 'back'))


class State(TaskFold):
    """The fold; a :class:`~desipipe.store.line_fold.Sink`."""

    def __init__(self) -> None:
        self.reset({})

    def reset(self, header: Header) -> None:
        """Begin again, with the header of a journal's generation."""
        self._reset_processes(header)
        self._reset_columns()
        self._fold: dict[str, Callable[[Any, int], None]] = {
            'end': self._end,
            'ends': self._ends,
            'run': self._run,
            'runs': self._runs,
            'back': self._back,
            'add': self._add,
            'set': self._set,
            'assign': self._assign,
            'group': self._group,
            'app': self._app,
            'shared': self._shared,
            'mgr': self._mgr,
            'worker': self._worker,
            'manager': self._manager,
            'state': self._state,
            'stop': self._stop,
            'job': self._job,
            'submit': self._submit,
            'lend': self._lend,
            'resize': self._resize,
            'mark': self._mark,
            'process': self._process,
            'drop': self._drop,
            'accept': self._accept,
            'versions': self._versions,
            'attempt': self._attempt,
            'code': self._code,
            'cell': self._cell,
            'keep': self._keep,
            'drain': self._drain,
            'revive': self._revive,
            'link': self._link,
            'segments': self._segments,
        }

    def apply(self, event: Mapping[str, Any], offset: int) -> None:
        """Fold one event.

        Kinds of later versions are passed over: what changes the meaning of known ones raises the
        format's version.
        """
        kind = event['e']
        fold = self._fold.get(kind)
        if fold is None:
            if not isinstance(kind, str):
                raise RefusedEvent('An event has no kind.')
            return
        if kind not in _OFTEN:
            check_event(event)
        if not -TIME_MAX < event.get('t', 0.0) < TIME_MAX:
            raise RefusedEvent('An event is of no time.')
        rows = event.get('rows')
        if rows and (rows[0] < 0 or (len(rows) > 1 and min(rows) < 0)):
            raise RefusedEvent('A row of an event is negative.')
        if rows and max(rows) >= len(self.status):
            lost = self.lost_rows
            self._fill(max(rows) + 1, offset)
            if kind in ('drop', 'drain'):
                self.lost_rows = lost  # these were no tasks any more
        fold(event, offset)

    def check(self, event: Mapping[str, Any]) -> None:
        """Raise ValueError for an event that can't be folded."""
        check_event(event)

    def damaged(self, offset: int, length: int) -> None:
        """Note a corrupt line."""
        if len(self.damage) >= _DAMAGE_MAX and sum(self.damage[-1]) == offset:
            self.damage[-1] = (self.damage[-1][0], self.damage[-1][1] + length)
        else:
            self.damage.append((offset, length))

    def is_damaged(self, offset: int) -> bool:
        """Return True for an offset in a line that was passed over."""
        index = bisect_right(self.damage, offset, key=itemgetter(0)) - 1
        return index >= 0 and offset < sum(self.damage[index])

    def _worker(self, event: WorkerEvent, offset: int) -> None:
        if event['do'] == Step.BEGIN:
            self._begin_worker(Worker(event['w'], event['t'], event))
        elif (former := self.workers.get(event['w'])) is not None:
            self._end_worker(former, event, offset)

    def _begin_worker(self, worker: Worker) -> None:
        if (before := self.alive.get(worker.name)) is not None:  # it was said twice
            worker.draining, worker.began = before.draining, before.began
            self.running.give(worker, before)
            for row in worker.draining:
                self.draining[self.ids[row]].worker = worker
        self.workers[worker.name] = self.alive[worker.name] = worker
        job = self.jobs.get(worker.job)
        if job is not None and job['state'] == 'pending':
            # It knows before the batch system is asked again, which takes a time step, or
            # several.
            self.jobs[worker.job] = {
                **job,
                'state': 'running',
                'reason': '',
                'node': worker.host,
            }

    def _end_worker(self, former: Worker, event: WorkerEndEvent, offset: int) -> None:
        former.ended = event.get('why', '')
        former.kind = event.get('kind', '')
        self.alive.pop(former.name, None)
        for row in sorted(former.rows):
            self._lose(row, offset)
        for row in list(former.draining):
            if (drained := self._draining_row(row)) is not None:
                self._stop_draining(drained, False)
        if (
            former.kind == 'requeued'
            and former.job in self.jobs
            and all(worker.job != former.job for worker in self.alive.values())
        ):
            self.jobs[former.job] = {
                **self.jobs[former.job],
                'state': 'pending',
                'reason': '',
                'node': '',
                'ends': None,
            }

    def __len__(self) -> int:
        return len(self.status) - self.status.count(DROPPED)

    def total(self, *states: int) -> int:
        """Count the tasks in one of ``states``, without those that are superseded."""
        return sum(counts[state] for counts in self.counts.values() for state in states)

    def mean_duration(self, group: int) -> float | None:
        """Return the seconds that tasks of a group took; None if none has succeeded."""
        n = self.group_done[group]
        return self.group_time[group] / n * 1e-6 if n else None

    def occupied(self, mid: str) -> int:
        """Count the tasks of a task manager that run, superseded or not."""
        return self.counts[mid][RUNNING] + self.superseded_counts[mid][RUNNING]

    @property
    def n_superseded(self) -> int:
        """The number of superseded tasks."""
        return len(self.superseded)

    def claimed_rows(self) -> set[int]:
        """Return the rows of tasks that are claimed and wait for a slot of their worker."""
        alive = list(self.alive.values())
        return {row for worker in alive if worker.claimed for row in worker.rows_before_slots()}

    def is_claimed(self, row: int) -> bool:
        """Return True if a worker claimed the task, and it waits for one of its slots."""
        worker = self.running.get(row)
        return worker is not None and bool(worker.claimed) and row in worker.rows_before_slots()

    def status_shown(self, row: int) -> int:
        """Return the state of a task as people see it: what is merely claimed is PENDING."""
        status = self.status[row]
        return PENDING if status == RUNNING and self.is_claimed(row) else status

    def rows_shown(self, rows: Iterable[int], codes: Collection[int]) -> list[int]:
        """Return those of ``rows`` whose state, as people see it, is one of ``codes``."""
        status, wanted = self.status, bytes(code in codes for code in range(DROPPED + 1))
        claimed = self.claimed_rows() if wanted[PENDING] != wanted[RUNNING] else ()
        if not claimed:
            return [row for row in rows if wanted[status[row]]]
        return [row for row in rows if wanted[PENDING if row in claimed else status[row]]]

    def counts_shown(self, mid: str | None = None) -> tuple[dict[str, int], int]:
        """Count the tasks, without superseded ones, as people see them.

        Parameters
        ----------
        mid : str, default=None
            Only tasks of this task manager.

        Returns
        -------
        counts : dict
            Number of tasks by name of state; what is merely claimed is PENDING.
        claimed : int
            Number of pending tasks that a worker claimed.
        """
        tables = list(self.counts.values()) if mid is None else [self.counts[mid]]
        counts = {name: sum(table[code] for table in tables) for code, name in enumerate(STATES)}
        rows = self.claimed_rows() - self.superseded
        groups = self.groups
        claimed = (
            len(rows) if mid is None else sum(groups[self.group[row]].mid == mid for row in rows)
        )
        counts['RUNNING'] -= claimed
        counts['PENDING'] += claimed
        return counts, claimed

    def args(self, row: int) -> Ref:
        """Return the position of a task's arguments."""
        return Ref(
            self.segments[self.args_segment[row]], self.args_offset[row], self.args_length[row]
        )

    def result(self, row: int) -> Ref | None:
        """Return the position of a task's result, or of what it raised."""
        segment = self.result_segment[row]
        return (
            None
            if segment == NOWHERE
            else Ref(self.segments[segment], self.result_offset[row], self.result_length[row])
        )

    def each(self) -> Iterator[int]:
        """All rows that are tasks, in order of their coming."""
        return (row for row in range(len(self.status)) if self.status[row] != DROPPED)

    def blocked(self) -> dict[int, int]:
        """Return the rows that can't run before a retry, each with the row that causes it."""
        causes: dict[int, int] = {}
        if not self.total(FAILED, KILLED, UNKNOWN) and not self.status.count(DROPPED):
            return causes
        # The last is taken first: what several tasks block counts for the oldest of them.
        stack = [
            (row, row)
            for row in sorted(self.dependants, reverse=True)
            if self.status[row] in UNSUCCESSFUL or self.status[row] == DROPPED
        ]
        while stack:
            row, cause = stack.pop()
            for other in self.dependants_of(row):
                if (
                    self.status[other] == WAITING
                    and other not in causes
                    and other not in self.superseded
                ):
                    causes[other] = cause
                    stack.append((other, cause))
        return causes

    def attempts_at(self, row: int) -> list[int]:
        """Offsets of the events that ended the attempts of ``row``, oldest first."""
        last = self.ended_at[row]
        return sorted(set(self.history.get(row, ())) | ({last} if last else set()))
