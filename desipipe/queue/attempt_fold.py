"""Fold of the events of attempts."""

from __future__ import annotations

from array import array
from itertools import pairwise

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
from .processes import Draining, Worker
from .requirement_fold import RequirementFold

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .task_events import (
        AttemptEvent,
        BackEvent,
        Cause,
        DrainEvent,
        EndEvent,
        RunEvent,
    )

LOST: Cause = {
    'kind': CauseKind.LOST,
    'text': (
        'its worker has ended, and the line of the journal that told how this attempt ended was '
        'damaged'
    ),
    'kinds': [CauseKind.LOST],
}
"""The cause of attempts whose end is not known."""
_ONE = array('I', (1,))


class AttemptFold(RequirementFold):
    """Fold of attempts: begun, ended, given back, drained."""

    def _run(self, event: RunEvent, offset: int) -> None:
        worker = self.workers.get(event['w'])
        status, attempt, running = self.status, self.attempt, self.running
        group, groups = self.group, self.groups
        number, counts, time = -1, [0] * 8, event['t']
        if worker is None and event['w']:
            # The line in which it began was lost: it can be judged all the same.
            check_event(event)
            worker = Worker(event['w'], time, {'slots': 1})
            self.workers[event['w']] = self.alive[event['w']] = worker
        if self.marks:
            for row in event['rows']:
                self.marks.pop(row, None)
        if worker is not None:
            worker.began = True
            is_many = len(event['rows']) > 1
            if is_many and self._run_all(event['rows'], event['n'], worker, time):
                return
        for row, n in zip(event['rows'], event['n'], strict=True):
            if status[row] != PENDING or n != attempt[row] + 1:
                continue
            status[row] = RUNNING
            attempt[row] = n
            running[row] = worker
            self.started[row] = time
            if worker is not None:
                worker.rows[row] = None
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

    def _run_all(self, rows: list[int], attempts: list[int], worker: Worker, time: float) -> bool:
        """Fold first attempts that begin, if nothing is special about any of them."""
        ranges = self._ranges(rows, PENDING)
        if ranges is None or not _are_disjoint(ranges):
            return False
        if not attempts.count(1) == len(attempts) == len(rows):
            return False
        for first, last in ranges:
            if any(self.attempt[first:last]):
                return False
        for first, last in ranges:
            n = last - first
            self.status[first:last] = bytes((RUNNING,)) * n
            self.attempt[first:last] = _ONE * n
            counts = self.counts[self.groups[self.group[first]].mid]
            counts[PENDING] -= n
            counts[RUNNING] += n
        self.running.update(dict.fromkeys(rows, worker))
        self.started.update(dict.fromkeys(rows, time))
        worker.rows.update(dict.fromkeys(rows))
        return True

    def _end(self, event: EndEvent, offset: int) -> None:
        event = located(event, offset, self.header.get('gen', ''))
        segments = [self.segment_number(name) for name in event['seg']]
        kind = event.get('kind')
        if kind:
            self._compacted(event, offset, kind)
            if kind != 'final':
                return
        me = self.workers.get(event['w'])
        if (
            event['s'] == SUCCEEDED
            and not kind
            and me is not None
            and len(event['rows']) > 1
            and self._end_all(event, segments, me, offset)
        ):
            return
        self._end_each(event, segments, me, offset)

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
            self._leave(row)
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

    def _end_all(self, event: EndEvent, segments: list[int], me: Worker, offset: int) -> bool:
        """Fold attempts that succeeded, if nothing is special about any of them."""
        rows, refs, durations = event['rows'], event['ref'], event['d']
        running, started, own = self.running, self.started, me.rows
        ranges = self._ranges(rows, RUNNING)
        if ranges is None or not _are_disjoint(ranges) or not all(map(own.__contains__, rows)):
            return False
        if self.dependants and not self.dependants.keys().isdisjoint(rows):
            return False
        if len(refs) != 3 * len(rows) or len(durations) != len(rows):
            return False  # what is damaged is found when each is folded
        if any(refs[::3]):
            return False  # of several segments, or of none
        i = 0
        for first, last in ranges:
            if any(self.ended_at[first:last]):
                return False  # some are repeated
            if self.attempt[first:last].tolist() != event['n'][i : i + last - first]:
                return False
            i += last - first
        i, offsets, lengths = 0, array('Q', refs[1::3]), array('Q', refs[2::3])
        for first, last in ranges:
            n = last - first
            self.status[first:last] = bytes((SUCCEEDED,)) * n
            self.ended_at[first:last] = array('Q', (offset,)) * n
            self.result_segment[first:last] = array('I', (segments[0],)) * n
            self.result_offset[first:last] = offsets[i : i + n]
            self.result_length[first:last] = lengths[i : i + n]
            number = self.group[first]
            self.group_done[number] += n
            self.group_time[number] += sum(durations[i : i + n])
            counts = self.counts[self.groups[number].mid]
            counts[RUNNING] -= n
            counts[SUCCEEDED] += n
            i += n
        for row in rows:
            del running[row], started[row], own[row]
        return True

    def _lose(self, row: int, offset: int) -> None:
        # Its worker has ended, and what it said of this attempt was lost: nothing runs for ever.
        self._leave(row)
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
                self._leave(row)
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


def _are_disjoint(ranges: list[tuple[int, int]]) -> bool:
    """Return True if no row is in two of the ranges."""
    ranges = sorted(ranges) if len(ranges) > 1 else ranges
    return all(last <= first for (_, last), (first, _) in pairwise(ranges))


def _cause(event: EndEvent, i: int) -> Cause:
    """Return the cause for which the ``i``-th attempt of an ``end`` event failed."""
    detail = event['x'].get(str(i)) if 'x' in event else None
    return detail.get('cause') or {} if detail else {}
