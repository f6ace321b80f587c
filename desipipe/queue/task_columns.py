"""Columns of tasks, by row."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from itertools import islice

from ..store.lines import RefusedEvent
from .columns import RowQueue
from .events import (
    DROPPED,
    PENDING,
    Group,
)
from .processes import Draining
from .task_index import TaskIndex
from .versions import Versions
from .workers import RunningRows

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .task_events import AppEvent, CellEvent, GroupEvent, SharedEvent, TaskManagerEvent

NOWHERE = 0xFFFFFFFF  # no segment
ROWS_FREE = 1 << 21  # rows that a journal may leave out, however short it is
BYTES_PER_ROW = 4  # of the journal before it, for each row that it leaves out besides
_GROUPS_FREE = 1 << 12  # the same for groups
_BYTES_PER_GROUP = 64
LOST_GROUP = Group('', '', '?', 'python')  # stands for a group whose line was lost


class TaskColumns(TaskIndex):
    """The columns of all tasks, a row each, and what is counted of them."""

    def _reset_columns(self) -> None:
        self._reset_tasks()
        self._reset_groups()
        self._reset_superseded()
        self._reset_attempts()
        self._reset_losses()

    def _reset_tasks(self) -> None:
        self._reset_index()
        self.attempt = array('I')
        self.group = array('I')
        self.index = array('I')
        self.unmet = array('I')
        self.args_segment = array('I')
        self.args_offset = array('Q')
        self.args_length = array('Q')
        self.result_segment = array('I')
        self.result_offset = array('Q')
        self.result_length = array('Q')
        self.added_at = array('Q')
        self.ended_at = array('Q')
        self.dependants: dict[int, int | list[int]] = {}
        self.requires: dict[int, array[int]] = {}
        self.pending: dict[str, dict[int, RowQueue]] = {}

    def _reset_groups(self) -> None:
        self.segments: list[str] = []
        self._segment: dict[str, int] = {}
        self.groups: list[Group] = []
        self.group_numbers: dict[Group, int] = {}
        self.group_done: list[int] = []
        self.group_time: list[int] = []  # microseconds
        self.apps: dict[str, AppEvent] = {}
        self.shared: dict[str, SharedEvent] = {}

    def _reset_superseded(self) -> None:
        self.counts: dict[str, list[int]] = {}
        """Numbers of tasks by task manager and state, without those that are superseded."""
        self.superseded_counts: dict[str, list[int]] = {}
        self.superseded: set[int] = set()
        """Rows of code that other code took the place of, and rows that need one of these."""
        self.kept: set[int] = set()
        """Rows that would be superseded, and that someone asked for by name."""
        self.reasons: dict[int, int] = {}
        """By how much a row is superseded: 1 for its own code, 1 for each superseded row that it
        needs.
        """
        self.code_versions = Versions()
        self.cells: dict[str, dict[str, CellEvent]] = {}
        """Last runs of the cells of notebooks, by file and by identity of the cell."""
        self._app_rows: dict[str, list[int]] = {}  # bounds of ranges of rows, by app version
        self._group_rows: list[list[int]] = []  # the same lists, by group

    def _reset_attempts(self) -> None:
        self.burned: dict[int, int] = {}
        self.history: dict[int, list[int]] = {}
        self.rerun: set[int] = set()
        """Rows that succeeded, were asked to run again, and have ended no attempt since: their
        results are still there.
        """
        self.restored: set[int] = set()
        """Rows whose result counts again, though later attempts may have begun: their numbers
        stay used.
        """
        self.draining: dict[bytes, Draining] = {}
        self.running = RunningRows()
        self.packed_rows = 0
        """Number of attempts that packed events began and ended."""
        self.stale = 0
        self.retried = 0
        self.assigned = 0
        """Number of times that tasks were given to other groups."""

    def _reset_losses(self) -> None:
        self.lost_rows = 0
        """Number of tasks that are known by their numbers only, since the lines that added them
        were lost.
        """
        self.lost_ends: dict[int, list[int]] = {}
        """Rows whose attempts ended in lines that were lost, by the offset of the event by which
        they count as ended.
        """
        self.severed: set[int] = set()
        """Rows that are needed and not there: deleted, or of lost lines."""
        self.severed_ids: dict[bytes, int] = {}
        self.kept_segments: set[str] = set()
        """Segments of before the queue was cleared, which workers may yet read."""
        self.damage: list[tuple[int, int]] = []

    def segment_number(self, name: str) -> int:
        """The number by which columns refer to the segment ``name``."""
        number = self._segment.get(name)
        if number is None:
            number = self._segment[name] = len(self.segments)
            self.segments.append(name)
        return number

    def _group(self, event: GroupEvent, offset: int) -> None:
        number = event['g']
        if number > len(self.groups) + _GROUPS_FREE + offset // _BYTES_PER_GROUP:
            raise RefusedEvent(
                f'Group {number:d} is too far from the {len(self.groups):d} groups before it.'
            )
        while len(self.groups) <= number:  # lost lines before it
            self.groups.append(LOST_GROUP)
            self.group_done.append(0)
            self.group_time.append(0)
            self._group_rows.append([])
        group = self.groups[number] = event_group(event)
        self.group_numbers[group] = number
        self._group_rows[number] = self._app_rows.setdefault(group.app, [])
        self._count(group.mid)

    def group_of(self, row: int) -> Group:
        """Return the group of a row; of one whose line was lost, a group without an app."""
        number = self.group[row]
        return self.groups[number] if number < len(self.groups) else LOST_GROUP

    def _count(self, mid: str) -> None:
        self.counts.setdefault(mid, [0] * 8)
        self.superseded_counts.setdefault(mid, [0] * 8)

    def _app(self, event: AppEvent, offset: int) -> None:
        self.apps[event['app']] = event

    def _shared(self, event: SharedEvent, offset: int) -> None:
        self.shared[event['id']] = event

    def _mgr(self, event: TaskManagerEvent, offset: int) -> None:
        self.managers[event['mid']] = event
        self._count(event['mid'])

    def _fill(self, first: int, offset: int) -> None:
        # Rows of a line that was lost: they keep their numbers, lest a late report is taken for one
        # of another task, and count as dropped. A short journal can't have lost many: whoever wrote
        # down a large number would fill our memory.
        lost = first - len(self.status)
        if lost > 0 and first > ROWS_FREE + offset // BYTES_PER_ROW:
            raise RefusedEvent(
                f'Row {first:d} is too far from the {len(self.status):d} rows before it.'
            )
        if lost > 0:
            self.lost_rows += lost
            self._extend(lost, DROPPED, 0, 0, 0)
            self.ids.extend_lost(lost)
            for column in (self.args_segment, self.args_offset, self.args_length, self.index):
                column.extend([0] * lost)

    def _extend(self, n: int, status: int, group: int, offset: int, attempt: int) -> None:
        self.status.extend(bytes((status,)) * n)
        self.running.extend(n)
        self.attempt.extend(array('I', (attempt,)) * n)
        self.group.extend(array('I', (group,)) * n)
        self.unmet.extend(array('I', (0,)) * n)
        self.result_segment.extend(array('I', (NOWHERE,)) * n)
        self.result_offset.extend(array('Q', (0,)) * n)
        self.result_length.extend(array('Q', (0,)) * n)
        self.added_at.extend(array('Q', (offset,)) * n)
        self.ended_at.extend(array('Q', (0,)) * n)

    def _note_rows(self, number: int, first: int, n: int) -> None:
        ranges = self._group_rows[number]
        if ranges and ranges[-1] == first:
            ranges[-1] = first + n
        else:
            ranges += (first, first + n)

    def _depend(self, required: int, row: int) -> None:
        rows = self.dependants.get(required)
        if rows is None:
            self.dependants[required] = row
        elif isinstance(rows, int):
            self.dependants[required] = [rows, row]
        else:
            rows.append(row)

    def dependants_of(self, row: int) -> list[int]:
        """The rows that need ``row``."""
        rows = self.dependants.get(row)
        return [] if rows is None else [rows] if isinstance(rows, int) else rows

    def _pending(self, group: Group) -> RowQueue:
        queues = self.pending.setdefault(group.mid, {})
        queue = queues.get(group.priority)
        if queue is None:
            queue = queues[group.priority] = RowQueue()
            self.pending[group.mid] = dict(sorted(queues.items(), reverse=True))
        return queue

    def next_pending(self, mids: Iterable[str], most: int) -> list[int]:
        """Return the rows to claim next, by priority, then by age; claim nothing.

        Parameters
        ----------
        mids : iterable of str
            Task managers whose tasks are wanted.
        most : int
            Their number.
        """
        return list(islice(self.pending_rows(mids), most))

    def pending_rows(self, mids: Iterable[str]) -> Iterator[int]:
        """Yield the rows to claim next, in order of priority, then of their coming."""
        # A row that left PENDING and came back (cancelled and retried, claimed and given back)
        # stands in its queue twice: it is given once, where it stands first.
        seen: set[int] = set()
        status, superseded = self.status, self.superseded

        def find(start: int, stop: int) -> int:
            row = status.find(PENDING, start, stop)
            while row in superseded:
                row = status.find(PENDING, row + 1, stop)
            return row

        for mid in mids:
            for queue in self.pending.get(mid, {}).values():
                # What was claimed, cancelled, dropped or superseded meanwhile; what is restored
                # comes back.
                queue.drop_until(find)
                for row in queue:
                    if status[row] == PENDING and row not in superseded and row not in seen:
                        seen.add(row)
                        yield row

    def _counts_of(self, row: int) -> list[int]:
        counts = self.superseded_counts if row in self.superseded else self.counts
        return counts[self.groups[self.group[row]].mid]

    def _move(self, row: int, status: int) -> None:
        counts = self._counts_of(row)
        counts[self.status[row]] -= 1
        counts[status] += 1
        self.status[row] = status

    def _draining_row(self, row: int) -> Draining | None:
        draining = self.draining.get(self.ids[row])
        return (
            draining if draining is not None and draining.row == row and not draining.done else None
        )

    def _stop_draining(self, draining: Draining, done: bool) -> None:
        draining.done = done
        if draining.worker is not None:
            draining.worker.draining.discard(draining.row)
        if not done:
            del self.draining[self.ids[draining.row]]


def event_group(event: GroupEvent) -> Group:
    """Return the group of a ``group`` event; members of later versions are ignored."""
    members: dict[str, Any] = {key: event[key] for key in Group._fields if key in event}  # type: ignore[literal-required]
    for key in ('retry_on', 'path', 'save_attrs'):
        members[key] = tuple(members.get(key, ()))
    return Group(**members)
