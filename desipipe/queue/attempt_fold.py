"""Fold of the events of attempts."""

from __future__ import annotations

from array import array
from collections.abc import Iterable

from .columns import ID
from .ends import located
from .event_checks import check_event
from .events import (
    BY_HAND,
    DROPPED,
    PENDING,
    RUNNING,
    STATES,
    SUCCEEDED,
    UNKNOWN,
    CauseKind,
)
from .packing import offsets_of, plain_ends, ranges_of, rows_in, unpack
from .processes import Draining
from .range_fold import RangeFold, Results
from .workers import Worker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .attempt_events import AttemptEvent, BackEvent, EndEvent, EndsEvent, RunEvent, RunsEvent
    from .task_events import Cause, DrainEvent

LOST: Cause = {
    'kind': CauseKind.LOST,
    'text': (
        'its worker has ended, and the line of the journal that told how this attempt ended was '
        'damaged'
    ),
    'kinds': [CauseKind.LOST],
}
"""The cause of attempts whose end is not known."""


def failure_kind(cause: Cause, status: int) -> str:
    """Return what failures are grouped by: the class of an exception, or the state.

    Parameters
    ----------
    cause : dict
        Of an attempt; empty where nothing is known.
    status : int
        Code of the state of the task.
    """
    return cause['kind'] if 'trace' in cause else STATES[status]


class AttemptFold(RangeFold):
    """Fold of attempts: begun, ended, given back, drained."""

    def _run(self, event: RunEvent, offset: int) -> None:
        rows, attempts = event['rows'], event['n']
        worker = self._running_worker(event)
        if self.marks:
            self._unmark(rows)
        if (
            worker is not None
            and len(rows) > 1
            and attempts.count(attempts[0]) == len(attempts) == len(rows)
            and (ranges := ranges_of(rows)) is not None
            and self._run_ranges(ranges, attempts[0], worker, event['t'])
        ):
            return
        self._run_each(rows, attempts, worker, event['t'])

    def _runs(self, event: RunsEvent, offset: int) -> None:
        ranges, n = self._ranges_of(event, offset), event['n']
        worker = self._running_worker(event)
        if self.marks:
            self._unmark(rows_in(event))
        if worker is None or not self._run_ranges(ranges, n, worker, event['t']):
            rows = rows_in(event)
            self._run_each(rows, [n] * len(rows), worker, event['t'])

    def _unmark(self, rows: Iterable[int]) -> None:
        for row in rows:
            self.marks.pop(row, None)

    def _running_worker(self, event: RunEvent | RunsEvent) -> Worker | None:
        """Return the worker that begins attempts of rows."""
        worker = self.workers.get(event['w'])
        if worker is None and event['w']:
            # The line in which it began was lost: it can be judged all the same.
            check_event(event)
            worker = Worker(event['w'], event['t'], {'slots': 1})
            self.workers[event['w']] = self.alive[event['w']] = worker
        if worker is not None:
            worker.began = True
        return worker

    def _run_each(
        self, rows: Iterable[int], attempts: Iterable[int], worker: Worker | None, time: float
    ) -> None:
        status, attempt = self.status, self.attempt
        group, groups = self.group, self.groups
        number, counts = -1, [0] * 8
        begun = []
        for row, n in zip(rows, attempts, strict=True):
            if status[row] != PENDING or n != attempt[row] + 1:
                continue
            status[row] = RUNNING
            attempt[row] = n
            begun.append(row)
            if row in self.superseded:
                # Claimed by name, or by an older version, which does not know of superseded rows.
                here = self._counts_of(row)
            else:
                if group[row] != number:
                    number = group[row]
                    counts = self.counts[groups[number].mid]
                here = counts
            here[PENDING] -= 1
            here[RUNNING] += 1
        if begun:
            self.running.begin(begun, worker, time)

    def _end(self, event: EndEvent, offset: int) -> None:
        event = located(event, offset, self.header.get('gen', ''))
        segments = [self.segment_number(name) for name in event['seg']]
        kind = event.get('kind')
        if kind:
            self._compacted(event, offset, kind)
            if kind != 'final':
                return
        me = self.workers.get(event['w'])
        refs, rows, n = event['ref'], event['rows'], len(event['rows'])
        if (
            event['s'] == SUCCEEDED
            and not kind
            and me is not None
            and n > 1
            and (ranges := ranges_of(rows)) is not None
            # What is damaged is found when each is folded.
            and len(event['n']) == len(event['d']) == n
            and len(refs) == 3 * n
            and not any(refs[::3])  # of several segments, or of none
        ):
            results = Results(segments[0], array('Q', refs[1::3]), array('Q', refs[2::3]))
            attempts = array('I', event['n'])
            if self._end_ranges(ranges, attempts, event['d'], results, me, offset):
                return
        self._end_each(event, segments, me, offset)

    def _ends(self, event: EndsEvent, offset: int) -> None:
        ranges = self._ranges_of(event, offset)
        n = sum(last - first for first, last in ranges)
        durations, lengths = unpack(event['d'], n), unpack(event['len'], n)
        segment, me = self.segment_number(event['seg']), self.workers.get(event['w'])
        if me is not None:
            results = Results(segment, offsets_of(event, lengths), array('Q', lengths))
            attempts = array('I', (event['n'],)) * n
            if self._end_ranges(ranges, attempts, durations, results, me, offset):
                return
        self._end_each(plain_ends(event), [segment], me, offset)

    def _end_each(self, event: EndEvent, names: list[int], me: Worker | None, offset: int) -> None:
        status, attempt, group = self.status, self.attempt, self.group
        running, superseded = self.running, self.superseded
        refs, states, kind = event['ref'], event['s'], event.get('kind')
        number, counts = -1, [0] * 8
        for i, row in enumerate(event['rows']):
            # Rows of an older journal that was put back are other tasks: who reports must be who
            # runs.
            if (
                status[row] != RUNNING
                or attempt[row] != event['n'][i]
                or (not kind and running[row] is not me)
            ):
                self._end_past(event, i, row, offset)
                continue
            self.running.end(row)
            if self.ended_at[row]:
                self._note_repeated(row)
            self.ended_at[row] = offset
            if group[row] != number:
                number = group[row]
                counts = self.counts[self.groups[number].mid]
            here = counts if row not in superseded else self._counts_of(row)
            here[RUNNING] -= 1
            state = states if isinstance(states, int) else states[i]
            segment = refs[3 * i]
            if segment >= 0:
                self.result_segment[row] = names[segment]
                self.result_offset[row], self.result_length[row] = refs[3 * i + 1], refs[3 * i + 2]
            if state != SUCCEEDED and not kind and self._again(row, state, _cause(event, i)):
                self.retried += 1
                state = self._wanted(row)
            status[row] = state
            here[state] += 1
            if state == SUCCEEDED:
                if event['w']:
                    self.group_done[number] += 1
                    self.group_time[number] += event['d'][i]
                if row in self.dependants:
                    self._met(row)

    def _end_past(self, event: EndEvent, i: int, row: int, offset: int) -> None:
        if self.draining and self._drained(event, i, row, offset):
            return
        # A report of an attempt that is no longer the current one: history, nothing else.
        self.stale += 1
        self.history.setdefault(row, []).append(offset)

    def _note_repeated(self, row: int) -> None:
        """Put the former end of a task in its history."""
        self.history.setdefault(row, []).append(self.ended_at[row])
        self.rerun.discard(row)

    def _lose(self, row: int, offset: int) -> None:
        # Its worker has ended, and what it said of this attempt was lost: nothing runs for ever.
        self.running.end(row)
        self.rerun.discard(row)
        if self.ended_at[row]:
            self.history.setdefault(row, []).append(self.ended_at[row])
        self.ended_at[row] = offset
        self.lost_ends.setdefault(offset, []).append(row)
        again = self._again(row, UNKNOWN, LOST)
        self.retried += again
        self._move(row, self._wanted(row) if again else UNKNOWN)

    def _compacted(self, event: EndEvent, offset: int, kind: str) -> None:
        # Ends that compaction wrote down again, without the claims before them: of attempts that
        # are past, of the last one of a task that is to run (again), of one that ended for good.
        refs = event['ref']
        for i, (row, n) in enumerate(zip(event['rows'], event['n'], strict=True)):
            if self.status[row] == DROPPED:
                continue
            if kind == 'past':
                self.attempt[row] = max(self.attempt[row], n)
                self.history.setdefault(row, []).append(offset)
            elif kind == 'last':
                self.attempt[row] = max(self.attempt[row], n)
                self.ended_at[row] = offset
                if (event['s'] if isinstance(event['s'], int) else event['s'][i]) == SUCCEEDED:
                    self.rerun.add(row)
                if refs[3 * i] >= 0:
                    self.result_segment[row] = self.segment_number(event['seg'][refs[3 * i]])
                    self.result_offset[row] = refs[3 * i + 1]
                    self.result_length[row] = refs[3 * i + 2]
            else:
                self.attempt[row] = n
                self._move(row, RUNNING)

    def _drain(self, event: DrainEvent, offset: int) -> None:
        worker = self.workers.get(event['w'])
        for i, row in enumerate(event['rows']):
            tid = bytes.fromhex(event['ids'][2 * ID * i : 2 * ID * (i + 1)])
            self.ids[row] = tid
            self.attempt[row] = event['n'][i]
            self.group[row] = event['g'][i]
            self.draining[tid] = Draining(row, worker, event['t'])
            if worker is not None:
                worker.draining.add(row)

    def _drained(self, event: EndEvent, i: int, row: int, offset: int) -> bool:
        # Whether an attempt of a task that was cleared ended by this.
        draining = self._draining_row(row)
        if draining is None or self.attempt[row] != event['n'][i]:
            return False
        states, segment = event['s'], event['ref'][3 * i]
        succeeded = (states if isinstance(states, int) else states[i]) == SUCCEEDED
        self._stop_draining(draining, succeeded)
        if succeeded:
            self.ended_at[row] = offset
            if segment >= 0:
                self.result_segment[row] = self.segment_number(event['seg'][segment])
                self.result_offset[row], self.result_length[row] = event['ref'][
                    3 * i + 1 : 3 * i + 3
                ]
        return True

    def _attempt(self, event: AttemptEvent, offset: int) -> None:
        for row, n, burned in zip(event['rows'], event['n'], event['burned'], strict=True):
            self.attempt[row] = n
            if burned:
                self.burned[row] = burned
            if self.status[row] == SUCCEEDED:
                self.restored.add(row)

    def _back(self, event: BackEvent, offset: int) -> None:
        # Claimed, and not begun: the attempt's number is used up, which fences a worker that gave
        # back what it began after all.
        for row, n in zip(event['rows'], event['n'], strict=True):
            if self.status[row] == RUNNING and self.attempt[row] == n:
                self.running.end(row)
                self._move(row, self._wanted(row, first=True))
            elif (
                self.draining
                and self.attempt[row] == n
                and (draining := self._draining_row(row)) is not None
            ):
                self._stop_draining(draining, False)

    def _again(self, row: int, state: int, cause: Cause) -> bool:
        # Whether a failed attempt is followed by another one by itself. Part of the fold, so that
        # all agree.
        if cause.get('free'):
            return True
        group = self.groups[self.group[row]]
        burned = self.burned.get(row, 0)
        if burned >= group.retries or cause.get('kind') in BY_HAND or cause.get('final'):
            return False
        if (
            group.retry_on
            and STATES[state] not in group.retry_on
            and not set(cause.get('kinds', ())) & set(group.retry_on)
        ):
            return False
        self.burned[row] = burned + 1
        return True


def _cause(event: EndEvent, i: int) -> Cause:
    """Return the cause for which the ``i``-th attempt of an ``end`` event failed."""
    detail = event['x'].get(str(i)) if 'x' in event else None
    return detail.get('cause') or {} if detail else {}
