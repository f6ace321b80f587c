"""Fold of the events of tasks."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate, islice

from .attempt_fold import AttemptFold
from .columns import ID, split_ids
from .events import (
    DROPPED,
    ENDED,
    PENDING,
    RUNNING,
    SUCCEEDED,
    WAITING,
    Reason,
)
from .packing import FROM_VERSION
from .task_columns import LOST_GROUP, NOWHERE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .task_events import (
        AcceptEvent,
        AddEvent,
        AssignEvent,
        DropEvent,
        ReviveEvent,
        SegmentsEvent,
        SetEvent,
    )


class TaskFold(AttemptFold):
    """Fold of tasks that are added and dropped, and of what people decide."""

    def _add(self, event: AddEvent, offset: int) -> None:
        first, number, n = event['first'], event['g'], len(event['len'])
        status, groups = self.status, self.groups
        if first > len(status):
            self._fill(first, offset)
        if first != len(status):
            return  # rows that are known already
        if number >= len(groups) or groups[number] is LOST_GROUP:
            self._fill(first + n, offset)  # of a group whose line was lost: not ours to guess
        elif n == 1 and 'req' not in event:
            self._add_one(event, offset, number)
        else:
            self._add_many(event, offset)

    def _add_many(self, event: AddEvent, offset: int) -> None:
        first = event['first']
        number = event['g']
        lengths = event['len']
        n = len(lengths)
        packed = bytes.fromhex(event['ids'])
        if len(packed) != n * ID:
            raise ValueError(f'{n:d} tasks have {len(packed):d} bytes of identities.')
        offsets = event['off']
        if not isinstance(offsets, int) and len(offsets) != n:
            raise ValueError(f'{n:d} tasks have {len(offsets):d} offsets.')
        if self._may_repeat():
            self._drop_repeated(split_ids(packed))
        self._extend(n, PENDING, number, offset, 0)
        self.ids.extend(packed)
        self._note_rows(number, first, n)
        self.args_segment.extend([self.segment_number(event['seg'])] * n)
        self.args_offset.extend(
            islice(accumulate(lengths, initial=offsets), n) if isinstance(offsets, int) else offsets
        )
        self.args_length.extend(lengths)
        index = event['i']
        self.index.extend(range(index, index + n))
        self._enqueue(event, number, range(first, first + n))
        self._inherit(number, range(first, first + n))
        if self.severed_ids:
            for i, tid in enumerate(split_ids(packed)):
                if tid in self.severed_ids:
                    self._rejoin(tid, first + i)

    def _may_repeat(self) -> bool:
        """Return True if tasks may come that are there: recovered ones were added again."""
        header = self.header
        is_old = header.get('version', 0) < FROM_VERSION
        return bool(is_old or header.get('mended') or self.damage or self.lost_rows)

    def _drop_repeated(self, ids: Iterable[bytes]) -> None:
        """Drop tasks that were lost, were added again, and were recovered."""
        rows = self.rows
        if repeated := [rows[tid] for tid in ids if tid in rows]:
            self._drop_rows(repeated)

    def _enqueue(self, event: AddEvent, number: int, rows: range) -> None:
        """Note what added tasks need, and queue those that need nothing."""
        waiting = 0
        for i, required in event.get('req', ()):
            row = rows.start + i
            if self._require(row, required):
                self.status[row] = WAITING
                waiting += 1
        group = self.groups[number]
        counts = self.counts[group.mid]
        counts[PENDING] += len(rows) - waiting
        counts[WAITING] += waiting
        queue = self._pending(group)
        if waiting:
            for row in rows:
                if self.status[row] == PENDING:
                    queue.append(row)
        else:
            queue.extend(rows)

    def _add_one(self, event: AddEvent, row_at: int, number: int) -> None:
        # One call, one task: the columns' one-element arrays would take most of the time of an
        # addition.
        row = event['first']
        tid = bytes.fromhex(event['ids'])
        if len(tid) != ID:
            raise ValueError(f'A task has {len(tid):d} bytes of identity.')
        if self._may_repeat():
            self._drop_repeated((tid,))
        offsets = event['off']
        self.status.append(PENDING)
        self.ids.append(tid)
        self.running.extend(1)
        self.attempt.append(0)
        self.group.append(number)
        self.unmet.append(0)
        self.result_segment.append(NOWHERE)
        self.result_offset.append(0)
        self.result_length.append(0)
        self.added_at.append(row_at)
        self.ended_at.append(0)
        self.args_segment.append(self.segment_number(event['seg']))
        self.args_offset.append(offsets if isinstance(offsets, int) else offsets[0])
        self.args_length.append(event['len'][0])
        self.index.append(event['i'])
        group = self.groups[number]
        self.counts[group.mid][PENDING] += 1
        self._pending(group).append(row)
        self._note_rows(number, row, 1)
        if self.code_versions.superseded:
            self._inherit(number, (row,))
        if tid in self.severed_ids:
            self._rejoin(tid, row)

    def _revive(self, event: ReviveEvent, offset: int) -> None:
        row, number = event['row'], event['g']
        draining = self.draining.get(self.ids[row]) if row < len(self.ids) else None
        if (
            draining is None
            or draining.row != row
            or number >= len(self.groups)
            or self.groups[number] is LOST_GROUP
        ):
            return
        tid = self.ids[row]
        del self.draining[tid]
        self.rows[tid] = row
        self.group[row], self.index[row], self.added_at[row] = number, event['i'], offset
        self.args_segment[row], self.args_offset[row], self.args_length[row] = (
            self.segment_number(event['seg']),
            event['off'],
            event['len'],
        )
        self._require(row, event.get('req', ()))
        state = SUCCEEDED if draining.done else RUNNING
        self.status[row] = state
        self.severed.discard(row)
        self.severed_ids.pop(tid, None)
        self.counts[self.groups[number].mid][state] += 1
        self._note_rows(number, row, 1)
        self._inherit(number, (row,))
        if draining.done:
            self._met(row)
        else:
            self.running.begin((row,), draining.worker, draining.started)
            if draining.worker is not None:
                draining.worker.draining.discard(row)

    def _segments(self, event: SegmentsEvent, offset: int) -> None:
        self.kept_segments.update(event['names'])

    def _set(self, event: SetEvent, offset: int) -> None:
        self._set_rows(event['rows'], event['s'], event.get('why') == Reason.CANCEL, offset)

    def _set_rows(self, rows: Iterable[int], target: int, is_cancelled: bool, offset: int) -> None:
        for row in rows:
            was = self.status[row]
            if was == DROPPED:
                continue
            if was == RUNNING:
                self.running.end(row)
            if row in self.rerun and target == SUCCEEDED and is_cancelled:
                self._move(row, SUCCEEDED)  # the attempt counts again whose result is still there
                self.rerun.discard(row)
                self.restored.add(row)
                self._met(row)
                continue
            if self.ended_at[row]:
                self.history.setdefault(row, []).append(self.ended_at[row])
            if target in ENDED:
                self.ended_at[row] = offset
                self.rerun.discard(row)
            else:
                self.burned.pop(row, None)
                if was == SUCCEEDED:
                    self.rerun.add(row)
            state = self._wanted(row) if target == PENDING else target
            if state == was:
                continue
            self._move(row, state)
            if state == SUCCEEDED:
                self._met(row)
            elif was == SUCCEEDED:
                self._unmet(row)

    def _assign(self, event: AssignEvent, offset: int) -> None:
        number = event['g']
        if number >= len(self.groups) or self.groups[number] is LOST_GROUP:
            return  # of a group whose line was lost
        self.assigned += 1
        rows = [
            row
            for row in event['rows']
            if row < len(self.status) and self.status[row] not in (RUNNING, SUCCEEDED, DROPPED)
        ]
        for mid, priority in {
            (group.mid, group.priority) for group in (self.groups[self.group[row]] for row in rows)
        }:
            queue = self.pending.get(mid, {}).get(priority)
            if queue:
                self.pending[mid][priority] = queue.without(set(rows))
        queue = self._pending(self.groups[number])
        for row in rows:
            state = self.status[row]
            self._counts_of(row)[state] -= 1
            self.group[row] = number
            self._counts_of(row)[state] += 1
            if state == PENDING:
                queue.append(row)

    def _accept(self, event: AcceptEvent, offset: int) -> None:
        old, new = event['old'], event['new']
        if max(old, new) >= len(self.status):
            return  # of rows whose line was lost
        self.result_segment[new] = self.result_segment[old]
        self.result_offset[new] = self.result_offset[old]
        self.result_length[new] = self.result_length[old]
        self._set_rows((new,), SUCCEEDED, False, offset)

    def _drop(self, event: DropEvent, offset: int) -> None:
        if 'ids' in event:  # of a journal that was compacted
            for i, row in enumerate(event['rows']):
                self.ids[row] = bytes.fromhex(event['ids'][2 * ID * i : 2 * ID * (i + 1)])
                if row in self.dependants:
                    self._sever(row)
        self._drop_rows(event['rows'])

    def _drop_rows(self, rows: Iterable[int]) -> None:
        for row in rows:
            if self.status[row] == DROPPED:
                continue
            if row in self.dependants:
                self._sever(row)
            if self.status[row] == RUNNING:
                self.running.end(row)
            if self.status[row] == SUCCEEDED:
                self._unmet(row)
            if self.reasons.pop(row, 0):
                self._take_reasons(list(self._show(row)))
            self._move(row, DROPPED)
            self.rows.pop(self.ids[row], None)
