"""Fold of attempts of neighbouring tasks, a range of rows in one go."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from ..store.lines import RefusedEvent
from ..utils.named_tuple import NamedTuple
from .events import PENDING, RUNNING, SUCCEEDED
from .packing import Range, are_disjoint, ranges_in
from .requirement_fold import RequirementFold
from .task_columns import ROWS_FREE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .attempt_events import EndsEvent, RunsEvent
    from .workers import Worker


class Results(NamedTuple):
    """Positions of the results of many attempts, all in one segment."""

    segment: int
    """Number of the segment."""
    offsets: array[int]
    lengths: array[int]


class RangeFold(RequirementFold):
    """Fold of attempts of ranges of rows, if nothing is special about any."""

    def _ranges_of(self, event: RunsEvent | EndsEvent, offset: int) -> list[Range]:
        """Return the ranges of an event; rows of lost lines are filled in."""
        ranges = ranges_in(event)
        packed_rows = self.packed_rows + sum(last - first for first, last in ranges)
        # Before each of its attempts a task came to wait for one, which took bytes for it alone.
        if packed_rows > ROWS_FREE + offset:
            raise RefusedEvent('The events before this one have too few rows for its ranges.')
        self.packed_rows = packed_rows
        end = max(last for _, last in ranges)
        if end > len(self.status):
            self._fill(end, offset)
        return ranges

    def _run_ranges(self, ranges: list[Range], number: int, worker: Worker, time: float) -> bool:
        """Fold attempts of one number that begin, if nothing is special about any of them."""
        if not self._are_alike(ranges, PENDING):
            return False
        for first, last in ranges:
            if self.attempt[first:last] != array('I', (number - 1,)) * (last - first):
                return False
        for first, last in ranges:
            n = last - first
            self.status[first:last] = bytes((RUNNING,)) * n
            self.attempt[first:last] = array('I', (number,)) * n
            counts = self.counts[self.groups[self.group[first]].mid]
            counts[PENDING] -= n
            counts[RUNNING] += n
            self.running.begin(range(first, last), worker, time)
        return True

    def _end_ranges(
        self,
        ranges: list[Range],
        attempts: array[int],
        durations: Sequence[int],
        results: Results,
        me: Worker,
        offset: int,
    ) -> bool:
        """Fold attempts that succeeded, if nothing is special about any of them."""
        if not self._are_alike(ranges, RUNNING):
            return False
        i = 0
        for first, last in ranges:
            n = last - first
            if (
                self.attempt[first:last] != attempts[i : i + n]
                or not self.running.are_of(first, last, me)
                or self.ended_at[first:last] != array('Q', (0,)) * n  # some are repeated
            ):
                return False
            i += n
        i = 0
        for first, last in ranges:
            n = last - first
            self.status[first:last] = bytes((SUCCEEDED,)) * n
            self.ended_at[first:last] = array('Q', (offset,)) * n
            self.result_segment[first:last] = array('I', (results.segment,)) * n
            self.result_offset[first:last] = results.offsets[i : i + n]
            self.result_length[first:last] = results.lengths[i : i + n]
            number = self.group[first]
            self.group_done[number] += n
            self.group_time[number] += sum(durations[i : i + n])
            counts = self.counts[self.groups[number].mid]
            counts[RUNNING] -= n
            counts[SUCCEEDED] += n
            self.running.end_range(first, last)
            i += n
            for row in filter(self.dependants.__contains__, range(first, last)):
                self._met(row)
        return True

    def _are_alike(self, ranges: list[Range], status: int) -> bool:
        """Return True if all rows are in a state, each range of one group.

        None is superseded, and no row is in two ranges.
        """
        for first, last in ranges:
            n = last - first
            if (
                self.status.count(status, first, last) != n
                or self.group[first:last] != array('I', (self.group[first],)) * n
                or (self.superseded and not self.superseded.isdisjoint(range(first, last)))
            ):
                return False
        return are_disjoint(ranges)
