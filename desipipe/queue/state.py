"""The state of a queue as a fold over its events: no clock, no I/O, the same for everyone who has
read as far.

Tasks are rows of columns (some 70 bytes a row, and 45 for the identity), details stay in the
journal. Everything that is asked often is kept up to date as events come; everything else is
computed when asked for.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, MutableMapping
from itertools import accumulate, islice, pairwise
from typing import Any

from ..store.lines import RefusedEvent
from .columns import ID, PACKED_FROM, Identities, RowIndex, RowQueue, split_ids
from .event_checks import check_event
from .events import (
    BY_HAND,
    DROPPED,
    ENDED,
    FAILED,
    KILLED,
    LOST,
    PENDING,
    RUNNING,
    STATES,
    SUCCEEDED,
    UNKNOWN,
    UNSUCCESSFUL,
    WAITING,
    Event,
    Group,
    JournalEvent,
    Reason,
    Ref,
)
from .processes import Draining, ProcessFold, Worker
from .versions import Versions

NOWHERE = 0xFFFFFFFF  # no segment
_ONE = array('I', (1,))
ROWS_FREE = 1 << 21  # rows that a journal may leave out, however short it is
BYTES_PER_ROW = 4  # of the journal before it, for each row that it leaves out besides
_GROUPS_FREE = 1 << 12  # the same for groups
_BYTES_PER_GROUP = 64
_DAMAGE_MAX = 1000  # damaged lines in a row that are told apart
TIME_MAX = 1e11  # s since the epoch
_OFTEN = frozenset(('add', 'run', 'end', 'set', 'back'))  # are checked as they are folded
_LOST = Group('', '', '?', 'python')  # stands for a group whose line was lost


class State(ProcessFold):
    """The fold; a :class:`~desipipe.store.journal.Sink`."""

    def __init__(self) -> None:
        self.reset({})

    def reset(self, header: Event) -> None:
        """Begin again, with the header of a journal's generation."""
        self._reset_processes()
        self.header = header
        self.rows: MutableMapping[bytes, int] = {}
        self.ids = Identities()
        self.status = bytearray()
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
        self.burned: dict[int, int] = {}
        self.history: dict[int, list[int]] = {}
        self.segments: list[str] = []
        self._segment: dict[str, int] = {}
        self.groups: list[Group] = []
        self.group_numbers: dict[Group, int] = {}
        self.group_done: list[int] = []
        self.group_time: list[int] = []  # microseconds
        self.apps: dict[str, Event] = {}
        self.shared: dict[str, Event] = {}
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
        self._app_rows: dict[str, list[int]] = {}  # bounds of ranges of rows, by app version
        self._group_rows: list[list[int]] = []  # the same lists, by group
        self.pending: dict[str, dict[int, RowQueue]] = {}
        self.rerun: set[int] = set()
        """Rows that succeeded, were asked to run again, and have ended no attempt since: their
        results are still there.
        """
        self.restored: set[int] = set()
        """Rows whose result counts again, though later attempts may have begun: their numbers
        stay used.
        """
        self.draining: dict[bytes, Draining] = {}
        self.lost_rows = 0
        """How many tasks are known by their numbers only, since the lines that added them were
        lost.
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
        self.running: dict[int, Worker | None] = {}
        self.started: dict[int, float] = {}
        self.damage: list[tuple[int, int]] = []
        self.stale = 0
        self.retried = 0
        self.assigned = 0
        """How often tasks were given to other groups."""
        self._fold: dict[str, Callable[[Any, int], None]] = {
            'end': self._end,
            'run': self._run,
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
            'keep': self._keep,
            'drain': self._drain,
            'revive': self._revive,
            'link': self._link,
            'segments': self._segments,
        }

    def apply(self, event: JournalEvent, offset: int) -> None:
        """Fold one event.

        Kinds of later versions are passed over: what changes the meaning of known ones raises the
        format's version.
        """
        kind = event['e']
        fold = self._fold.get(kind)
        if fold is None:
            if not isinstance(kind, str):
                raise RefusedEvent('an event has no kind')
            return
        if kind not in _OFTEN:
            check_event(event)
        if not -TIME_MAX < event.get('t', 0.0) < TIME_MAX:
            raise RefusedEvent('an event is of no time')
        rows = event.get('rows')
        if rows and (rows[0] < 0 or (len(rows) > 1 and min(rows) < 0)):
            raise RefusedEvent('a row of an event is negative')
        if rows and max(rows) >= len(self.status):
            known = self.lost_rows
            self._fill(max(rows) + 1, offset)
            if kind in ('drop', 'drain'):
                self.lost_rows = known  # these were no tasks any more
        fold(event, offset)

    def check(self, event: Event) -> None:
        """Raise ValueError for an event that can't be folded."""
        check_event(event)

    def damaged(self, offset: int, length: int) -> None:
        """Note a corrupt line."""
        if len(self.damage) >= _DAMAGE_MAX and sum(self.damage[-1]) == offset:
            self.damage[-1] = (self.damage[-1][0], self.damage[-1][1] + length)
        else:
            self.damage.append((offset, length))

    # Words

    def segment_number(self, name: str) -> int:
        """The number by which columns refer to the segment ``name``."""
        number = self._segment.get(name)
        if number is None:
            number = self._segment[name] = len(self.segments)
            self.segments.append(name)
        return number

    def _group(self, event: Event, offset: int) -> None:
        number: int = event['g']
        if number > len(self.groups) + _GROUPS_FREE + offset // _BYTES_PER_GROUP:
            raise RefusedEvent(
                f'group {number:d} is too far from the {len(self.groups):d} groups before it'
            )
        while len(self.groups) <= number:  # lost lines before it
            self.groups.append(_LOST)
            self.group_done.append(0)
            self.group_time.append(0)
            self._group_rows.append([])
        group = self.groups[number] = Group.from_event(event)
        self.group_numbers[group] = number
        self._group_rows[number] = self._app_rows.setdefault(group.app, [])
        self._count(group.mid)

    def group_of(self, row: int) -> Group:
        """Return the group of a row; of one whose line was lost, a group without an app."""
        number = self.group[row]
        return self.groups[number] if number < len(self.groups) else _LOST

    def _count(self, mid: str) -> None:
        self.counts.setdefault(mid, [0] * 8)
        self.superseded_counts.setdefault(mid, [0] * 8)

    def _app(self, event: Event, offset: int) -> None:
        self.apps[event['app']] = event

    def _shared(self, event: Event, offset: int) -> None:
        self.shared[event['id']] = event

    def _mgr(self, event: Event, offset: int) -> None:
        self.managers[event['mid']] = event
        self._count(event['mid'])

    # Tasks

    def _fill(self, first: int, offset: int) -> None:
        # Rows of a line that was lost: they keep their numbers, lest a late report is taken for one
        # of another task, and count as dropped. A short journal can't have lost many: whoever wrote
        # down a large number would fill our memory.
        lost = first - len(self.status)
        if lost > 0 and first > ROWS_FREE + offset // BYTES_PER_ROW:
            raise RefusedEvent(
                f'row {first:d} is too far from the {len(self.status):d} rows before it'
            )
        if lost > 0:
            self.lost_rows += lost
            self.ids.extend_lost(lost)
            self._extend(lost, DROPPED, 0, 0, 0)
            for column in (self.args_segment, self.args_offset, self.args_length, self.index):
                column.extend([0] * lost)

    def _extend(self, n: int, status: int, group: int, offset: int, attempt: int) -> None:
        self.status.extend(bytes((status,)) * n)
        self.attempt.extend(array('I', (attempt,)) * n)
        self.group.extend(array('I', (group,)) * n)
        self.unmet.extend(array('I', (0,)) * n)
        self.result_segment.extend(array('I', (NOWHERE,)) * n)
        self.result_offset.extend(array('Q', (0,)) * n)
        self.result_length.extend(array('Q', (0,)) * n)
        self.added_at.extend(array('Q', (offset,)) * n)
        self.ended_at.extend(array('Q', (0,)) * n)

    def _add(self, event: Event, offset: int) -> None:
        first: int = event['first']
        number: int = event['g']
        lengths: list[int] = event['len']
        n = len(lengths)
        self._fill(first, offset)
        if first == len(self.status) and (
            number >= len(self.groups) or self.groups[number] is _LOST
        ):
            self._fill(first + n, offset)  # of a group whose line was lost: not ours to guess
        if first != len(self.status):
            return  # rows that are known already
        if n == 1 and 'req' not in event:
            self._add_one(event, offset, number)
            return
        packed = bytes.fromhex(event['ids'])
        if len(packed) != n * ID:
            raise ValueError(f'{n:d} tasks have {len(packed):d} bytes of identities')
        offsets = event['off']
        if not isinstance(offsets, int) and len(offsets) != n:
            raise ValueError(f'{n:d} tasks have {len(offsets):d} offsets')
        self.ids.extend(packed)
        known = len(self.rows)
        self._index_rows(packed, first)
        if len(self.rows) != known + n:  # some were lost, were added again, and were recovered
            wanted = set(split_ids(packed))
            before = [
                row for row, tid in zip(range(first), self.ids, strict=False) if tid in wanted
            ]
            self._drop({'rows': [row for row in before if self.status[row] != DROPPED]}, offset)
            self._index_rows(packed, first)
        self._extend(n, PENDING, number, offset, 0)
        self._note_rows(number, first, n)
        self.args_segment.extend([self.segment_number(event['seg'])] * n)
        self.args_offset.extend(
            islice(accumulate(lengths, initial=offsets), n) if isinstance(offsets, int) else offsets
        )
        self.args_length.extend(lengths)
        index: int = event['i']
        self.index.extend(range(index, index + n))
        waiting = 0
        for i, required in event.get('req', ()):
            row = first + i
            if self._require(row, required):
                self.status[row] = WAITING
                waiting += 1
        group = self.groups[number]
        counts = self.counts[group.mid]
        counts[PENDING] += n - waiting
        counts[WAITING] += waiting
        queue = self._pending(group)
        if waiting:
            for row in range(first, first + n):
                if self.status[row] == PENDING:
                    queue.append(row)
        else:
            queue.extend(range(first, first + n))
        self._inherit(number, range(first, first + n))
        if self.severed_ids:
            for i, tid in enumerate(split_ids(packed)):
                if tid in self.severed_ids:
                    self._rejoin(tid, first + i)

    def _index_rows(self, packed: bytes, first: int) -> None:
        n = len(packed) // ID
        if type(self.rows) is dict and len(self.rows) + n >= PACKED_FROM:
            self.rows = RowIndex(self.ids, self.rows.items())
        if isinstance(self.rows, RowIndex):
            self.rows.update_range(packed, first)
        else:
            self.rows.update(zip(split_ids(packed), range(first, first + n), strict=True))

    def _note_rows(self, number: int, first: int, n: int) -> None:
        ranges = self._group_rows[number]
        if ranges and ranges[-1] == first:
            ranges[-1] = first + n
        else:
            ranges += (first, first + n)

    def _inherit(self, number: int, rows: Iterable[int]) -> None:
        """Supersede new rows of superseded code, and those that need superseded rows."""
        own = self.groups[number].app in self.code_versions.superseded
        if not own and not self.superseded:
            return
        for row in rows:
            reasons = own + sum(other in self.superseded for other in self.requires.get(row, ()))
            if reasons:
                self._hide(row)
                self.reasons[row] = reasons

    def _add_one(self, event: Event, row_at: int, number: int) -> None:
        # One call, one task: the columns' one-element arrays would take most of the time of an
        # addition.
        row = event['first']
        tid = bytes.fromhex(event['ids'])
        if len(tid) != ID:
            raise ValueError(f'a task has {len(tid):d} bytes of identity')
        if tid in self.rows:  # it was lost, was added again, and was recovered
            self._drop({'rows': [self.rows[tid]]}, row_at)
        offsets = event['off']
        self.ids.append(tid)
        if type(self.rows) is dict and len(self.rows) >= PACKED_FROM:
            self.rows = RowIndex(self.ids, self.rows.items())
        self.rows[tid] = row
        self.status.append(PENDING)
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

    def _depend(self, required: int, row: int) -> None:
        known = self.dependants.get(required)
        if known is None:
            self.dependants[required] = row
        elif isinstance(known, int):
            self.dependants[required] = [known, row]
        else:
            known.append(row)

    def dependants_of(self, row: int) -> list[int]:
        """The rows that need ``row``."""
        known = self.dependants.get(row)
        return [] if known is None else [known] if isinstance(known, int) else known

    def _pending(self, group: Group) -> RowQueue:
        queues = self.pending.setdefault(group.mid, {})
        queue = queues.get(group.priority)
        if queue is None:
            queue = queues[group.priority] = RowQueue()
            self.pending[group.mid] = dict(sorted(queues.items(), reverse=True))
        return queue

    def next_pending(self, mids: Iterable[str], most: int) -> list[int]:
        """The rows to claim next, in order of priority, then of their coming; nothing is claimed by
        this.

        Parameters
        ----------
        mids : iterable of str
            Task managers whose tasks are wanted.
        most : int
            How many.
        """
        return list(islice(self.pending_rows(mids), most))

    def pending_rows(self, mids: Iterable[str]) -> Iterator[int]:
        """Yield the rows to claim next, in order of priority, then of their coming."""
        # A row that left PENDING and came back (cancelled and retried, claimed and given back)
        # stands in its queue twice: it is given once, where it stands first.
        found: set[int] = set()
        status, superseded = self.status, self.superseded
        for mid in mids:
            for queue in self.pending.get(mid, {}).values():
                # What was claimed, cancelled, dropped or superseded meanwhile; what is restored
                # comes back.
                queue.drop_while(lambda row: status[row] != PENDING or row in superseded)
                for row in queue:
                    if status[row] == PENDING and row not in superseded and row not in found:
                        found.add(row)
                        yield row

    def _counts_of(self, row: int) -> list[int]:
        counts = self.superseded_counts if row in self.superseded else self.counts
        return counts[self.groups[self.group[row]].mid]

    def _move(self, row: int, status: int) -> None:
        counts = self._counts_of(row)
        counts[self.status[row]] -= 1
        counts[status] += 1
        self.status[row] = status

    def _run(self, event: Event, offset: int) -> None:
        worker = self.workers.get(event['w'])
        status, attempt, group, groups, running = (
            self.status,
            self.attempt,
            self.group,
            self.groups,
            self.running,
        )
        number, counts, time = -1, [0] * 8, event['t']
        if worker is None and event['w']:
            # The line in which it began was lost: it can be judged all the same.
            check_event(event)
            worker = self.workers[event['w']] = self.alive[event['w']] = Worker(event)
        if self.marks:
            for row in event['rows']:
                self.marks.pop(row, None)
        if worker is not None:
            worker.began = True
            if self._run_all(event['rows'], event['n'], worker, time):
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
            if (
                row in self.superseded
            ):  # claimed by name, or by an older version, which does not know of superseded rows
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
        if ranges is None or len(set(rows)) != len(rows):
            return False
        if not attempts.count(1) == len(attempts) == len(rows):
            return False
        if any(sum(self.attempt[first:last]) for first, last in ranges):
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

    def _ranges(self, rows: list[int], status: int) -> list[tuple[int, int]] | None:
        """Divide rows into ranges of one group each; None if any is superseded or in another
        state.
        """
        if self.superseded and not self.superseded.isdisjoint(rows):
            return None
        bounds = [
            0,
            *(i for i, (row, other) in enumerate(pairwise(rows), 1) if other != row + 1),
            len(rows),
        ]
        if 4 * len(bounds) > len(rows) + 8:
            return None  # they are scattered: one by one takes less
        found = []
        for begin, end in pairwise(bounds):
            first, last = rows[begin], rows[end - 1] + 1
            groups = self.group[first:last]
            if (
                self.status.count(status, first, last) != last - first
                or groups.count(groups[0]) != last - first
            ):
                return None
            found.append((first, last))
        return found

    def _leave(self, row: int) -> None:
        worker = self.running.pop(row, None)
        self.started.pop(row, None)
        if worker is not None:
            worker.rows.pop(row, None)

    def _end(self, event: Event, offset: int) -> None:
        status, attempt, group, running, started = (
            self.status,
            self.attempt,
            self.group,
            self.running,
            self.started,
        )
        refs, states = event['ref'], event['s']
        segments = [self.segment_number(name) for name in event['seg']]
        extra = event.get('x', {})
        number, counts = -1, [0] * 8
        dependants, superseded = self.dependants, self.superseded
        kind = event.get('kind')
        if kind:
            self._compacted(event, offset, kind)
            if kind != 'final':
                return
        me = self.workers.get(event['w'])
        if (
            states == SUCCEEDED
            and not kind
            and me is not None
            and self._end_all(event, segments, me, offset)
        ):
            return
        for i, row in enumerate(event['rows']):
            # Rows of an older journal that was put back are other tasks: who reports must be who
            # runs.
            if (
                status[row] != RUNNING
                or attempt[row] != event['n'][i]
                or (not kind and running[row] is not me)
            ):
                if self.draining and self._drained(event, i, row, offset):
                    continue
                # A report of an attempt that is no longer the current one: history, nothing else.
                self.stale += 1
                self.history.setdefault(row, []).append(offset)
                continue
            worker = running.pop(row, None)
            started.pop(row, None)
            if worker is not None:
                worker.rows.pop(row, None)
            if self.ended_at[row]:
                self.history.setdefault(row, []).append(self.ended_at[row])
                self.rerun.discard(row)
            self.ended_at[row] = offset
            if group[row] != number:
                number = group[row]
                counts = self.counts[self.groups[number].mid]
            here = counts if row not in superseded else self._counts_of(row)
            here[RUNNING] -= 1
            state = states if isinstance(states, int) else states[i]
            segment = refs[3 * i]
            if segment >= 0:
                self.result_segment[row] = segments[segment]
                self.result_offset[row] = refs[3 * i + 1]
                self.result_length[row] = refs[3 * i + 2]
            if state == SUCCEEDED:
                status[row] = SUCCEEDED
                here[SUCCEEDED] += 1
                if event['w']:
                    self.group_done[number] += 1
                    self.group_time[number] += event['d'][i]
                if row in dependants:
                    self._met(row)
                continue
            if not kind and self._again(row, state, extra.get(str(i), {}).get('cause') or {}):
                self.retried += 1
                state = self._wanted(row)
            status[row] = state
            here[state] += 1

    def _end_all(self, event: Event, segments: list[int], me: Worker, offset: int) -> bool:
        """Fold attempts that succeeded, if nothing is special about any of them."""
        rows, refs, durations = event['rows'], event['ref'], event['d']
        ranges = self._ranges(rows, RUNNING)
        if ranges is None or len(set(rows)) != len(rows) or not me.rows.keys() >= set(rows):
            return False
        if self.dependants and not self.dependants.keys().isdisjoint(rows):
            return False
        if len(refs) != 3 * len(rows) or len(durations) != len(rows):
            return False  # what is damaged is found when each is folded
        if any(refs[::3]) or list(map(self.attempt.__getitem__, rows)) != event['n']:
            return False  # of several segments, or of none
        if any(any(self.ended_at[first:last]) for first, last in ranges):
            return False  # some are repeated
        i = 0
        for first, last in ranges:
            n = last - first
            self.status[first:last] = bytes((SUCCEEDED,)) * n
            self.ended_at[first:last] = array('Q', (offset,)) * n
            self.result_segment[first:last] = array('I', (segments[0],)) * n
            self.result_offset[first:last] = array('Q', refs[3 * i + 1 : 3 * (i + n) : 3])
            self.result_length[first:last] = array('Q', refs[3 * i + 2 : 3 * (i + n) : 3])
            number = self.group[first]
            self.group_done[number] += n
            self.group_time[number] += sum(durations[i : i + n])
            counts = self.counts[self.groups[number].mid]
            counts[RUNNING] -= n
            counts[SUCCEEDED] += n
            i += n
        for row in rows:
            del self.running[row], self.started[row], me.rows[row]
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

    def _compacted(self, event: Event, offset: int, kind: str) -> None:
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

    # Tasks that ran when the queue was cleared

    def _drain(self, event: Event, offset: int) -> None:
        worker = self.workers.get(event['w'])
        for i, row in enumerate(event['rows']):
            tid = bytes.fromhex(event['ids'][2 * ID * i : 2 * ID * (i + 1)])
            self.ids[row] = tid
            self.attempt[row] = event['n'][i]
            self.group[row] = event['g'][i]
            self.draining[tid] = Draining(row, worker, event['t'])
            if worker is not None:
                worker.draining.add(row)

    def _draining_row(self, row: int) -> Draining | None:
        known = self.draining.get(self.ids[row])
        return known if known is not None and known.row == row and not known.done else None

    def _stop_draining(self, known: Draining, done: bool) -> None:
        known.done = done
        if known.worker is not None:
            known.worker.draining.discard(known.row)
        if not done:
            del self.draining[self.ids[known.row]]

    def _drained(self, event: Event, i: int, row: int, offset: int) -> bool:
        # Whether an attempt of a task that was cleared ended by this.
        known = self._draining_row(row)
        if known is None or self.attempt[row] != event['n'][i]:
            return False
        states, segment = event['s'], event['ref'][3 * i]
        succeeded = (states if isinstance(states, int) else states[i]) == SUCCEEDED
        self._stop_draining(known, succeeded)
        if succeeded:
            self.ended_at[row] = offset
            if segment >= 0:
                self.result_segment[row] = self.segment_number(event['seg'][segment])
                self.result_offset[row], self.result_length[row] = event['ref'][
                    3 * i + 1 : 3 * i + 3
                ]
        return True

    def _revive(self, event: Event, offset: int) -> None:
        row, number = event['row'], event['g']
        known = self.draining.get(self.ids[row]) if row < len(self.ids) else None
        if (
            known is None
            or known.row != row
            or number >= len(self.groups)
            or self.groups[number] is _LOST
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
        state = SUCCEEDED if known.done else RUNNING
        self.status[row] = state
        self.severed.discard(row)
        self.severed_ids.pop(tid, None)
        self.counts[self.groups[number].mid][state] += 1
        self._note_rows(number, row, 1)
        self._inherit(number, (row,))
        if known.done:
            self._met(row)
        else:
            self.running[row], self.started[row] = known.worker, known.started
            if known.worker is not None:
                known.worker.draining.discard(row)
                known.worker.rows[row] = None

    def _require(self, row: int, required: Iterable[int]) -> int:
        # What `row` needs; returns how much of it is not there.
        rows = array('I', required)
        unmet = 0
        if rows:
            self.requires[row] = rows
        for other in rows:
            self._depend(other, row)
            status = self.status[other]
            unmet += status != SUCCEEDED
            if status == DROPPED:
                self._sever(other)
        self.unmet[row] = unmet
        return unmet

    def _sever(self, row: int) -> None:
        # It is needed and is not there: deleted, or its line was lost. Known by its identity, it is
        # found when it is added again.
        self.severed.add(row)
        if self.ids[row]:
            self.severed_ids[self.ids[row]] = row

    def _rejoin(self, tid: bytes, row: int) -> None:
        # Who needed the row that `tid` had before needs this one.
        old = self.severed_ids.pop(tid)
        self.severed.discard(old)
        dependants = self.dependants_of(old)
        self.dependants.pop(old, None)
        for other in dependants:
            self.requires[other] = array(
                'I', [row if required == old else required for required in self.requires[other]]
            )
            self._depend(row, other)
        if row in self.superseded:
            self._add_reasons(list(dependants))

    def _link(self, event: Event, offset: int) -> None:
        for row, required in event['links']:
            if (
                row >= len(self.status)
                or self.status[row] == DROPPED
                or max(required, default=0) >= len(self.status)
            ):
                continue
            before = self.requires.pop(row, array('I'))
            self._take_reasons([row for other in before if other in self.superseded])
            for other in set(before):
                left = [dependant for dependant in self.dependants_of(other) if dependant != row]
                if left:
                    self.dependants[other] = left
                else:
                    self.dependants.pop(other, None)
                    self.severed.discard(other)
            unmet = self._require(row, required)
            self._add_reasons([row for other in required if other in self.superseded])
            if self.status[row] == PENDING and unmet:
                self._move(row, WAITING)
            elif self.status[row] == WAITING and not unmet:
                self._move(row, self._wanted(row))

    def _segments(self, event: Event, offset: int) -> None:
        self.kept_segments.update(event['names'])

    def _attempt(self, event: Event, offset: int) -> None:
        for row, n, burned in zip(event['rows'], event['n'], event['burned'], strict=True):
            self.attempt[row] = n
            if burned:
                self.burned[row] = burned
            if self.status[row] == SUCCEEDED:
                self.restored.add(row)

    def _back(self, event: Event, offset: int) -> None:
        # Claimed, and not begun: the attempt's number is used up, which fences a worker that gave
        # back what it began after all.
        for row, n in zip(event['rows'], event['n'], strict=True):
            if self.status[row] == RUNNING and self.attempt[row] == n:
                self._leave(row)
                self._move(row, self._wanted(row, first=True))
            elif (
                self.draining
                and self.attempt[row] == n
                and (known := self._draining_row(row)) is not None
            ):
                self._stop_draining(known, False)

    def _wanted(self, row: int, first: bool = False) -> int:
        # The state of a row that is to run (again): a result that it needs may have been taken back
        # meanwhile.
        if self.unmet[row]:
            return WAITING
        queue = self._pending(self.groups[self.group[row]])
        if first:
            queue.appendleft(row)
        else:
            queue.append(row)
        return PENDING

    def _again(self, row: int, state: int, cause: Event) -> bool:
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

    def _met(self, row: int) -> None:
        for other in self.dependants_of(row):
            if self.unmet[other]:
                self.unmet[other] -= 1
                if self.unmet[other] == 0 and self.status[other] == WAITING:
                    self._move(other, self._wanted(other))

    def _unmet(self, row: int) -> None:
        # A result is taken back: what has not begun waits for the new one.
        for other in self.dependants_of(row):
            self.unmet[other] += 1
            if self.status[other] == PENDING:
                self._move(other, WAITING)

    def _set(self, event: Event, offset: int) -> None:
        target = event['s']
        for row in event['rows']:
            was = self.status[row]
            if was == DROPPED:
                continue
            if was == RUNNING:
                self._leave(row)
            if row in self.rerun and target == SUCCEEDED and event.get('why') == Reason.CANCEL:
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

    def _assign(self, event: Event, offset: int) -> None:
        number = event['g']
        if number >= len(self.groups) or self.groups[number] is _LOST:
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

    def _accept(self, event: Event, offset: int) -> None:
        old, new = event['old'], event['new']
        if max(old, new) >= len(self.status):
            return  # of rows whose line was lost
        self.result_segment[new] = self.result_segment[old]
        self.result_offset[new] = self.result_offset[old]
        self.result_length[new] = self.result_length[old]
        self._set({'rows': [new], 's': SUCCEEDED}, offset)

    def _drop(self, event: Event, offset: int) -> None:
        if 'ids' in event:  # of a journal that was compacted
            for i, row in enumerate(event['rows']):
                self.ids[row] = bytes.fromhex(event['ids'][2 * ID * i : 2 * ID * (i + 1)])
                if row in self.dependants:
                    self._sever(row)
        for row in event['rows']:
            if self.status[row] == DROPPED:
                continue
            if row in self.dependants:
                self._sever(row)
            if self.status[row] == RUNNING:
                self._leave(row)
            if self.status[row] == SUCCEEDED:
                self._unmet(row)
            if self.reasons.pop(row, 0):
                self._take_reasons(list(self._show(row)))
            self._move(row, DROPPED)
            self.rows.pop(self.ids[row], None)

    # Superseded code

    def _code(self, event: Event, offset: int) -> None:
        superseded, restored = self.code_versions.apply(event)
        for app in superseded:
            self._add_reasons(self._rows_of(app))
        for app in restored:
            self._take_reasons(self._rows_of(app))

    def _rows_of(self, app: str) -> list[int]:
        ranges = self._app_rows.get(app, [])
        rows = [row for i in range(0, len(ranges), 2) for row in range(ranges[i], ranges[i + 1])]
        return [row for row in rows if self.status[row] != DROPPED]

    def _add_reasons(self, rows: list[int]) -> None:
        while rows:
            row = rows.pop()
            if self.status[row] == DROPPED:
                continue
            reasons = self.reasons[row] = self.reasons.get(row, 0) + 1
            if reasons == 1:
                self._hide(row)
                rows += self.dependants_of(row)

    def _take_reasons(self, rows: list[int]) -> None:
        while rows:
            row = rows.pop()
            if row not in self.reasons:
                continue  # it was dropped
            self.reasons[row] -= 1
            if not self.reasons[row]:
                del self.reasons[row]
                rows += self._show(row)

    def _hide(self, row: int) -> None:
        state = self.status[row]
        self._counts_of(row)[state] -= 1
        self.superseded.add(row)
        self._counts_of(row)[state] += 1

    def _show(self, row: int) -> list[int]:
        """Count a row again; return the rows that have a reason less by that."""
        self.kept.discard(row)
        if row not in self.superseded:
            return []
        state = self.status[row]
        self._counts_of(row)[state] -= 1
        self.superseded.discard(row)
        self._counts_of(row)[state] += 1
        if state == PENDING:
            self._pending(self.groups[self.group[row]]).append(row)
        return self.dependants_of(row)

    def _keep(self, event: Event, offset: int) -> None:
        for row in event['rows']:
            if row in self.superseded:
                self._take_reasons(list(self._show(row)))
                self.kept.add(row)

    # Processes

    def _worker(self, event: Event, offset: int) -> None:
        if event['do'] == 'begin':
            worker = Worker(event)
            if (before := self.alive.get(worker.name)) is not None:  # it was said twice
                worker.rows, worker.draining, worker.began = (
                    before.rows,
                    before.draining,
                    before.began,
                )
                self.running.update(dict.fromkeys(worker.rows, worker))
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
        elif (known := self.workers.get(event['w'])) is not None:
            known.ended = event.get('why', '')
            known.kind = event.get('kind', '')
            self.alive.pop(known.name, None)
            for row in sorted(known.rows):
                self._lose(row, offset)
            for row in list(known.draining):
                if (drained := self._draining_row(row)) is not None:
                    self._stop_draining(drained, False)
            if (
                known.kind == 'requeued'
                and known.job in self.jobs
                and all(worker.job != known.job for worker in self.alive.values())
            ):
                self.jobs[known.job] = {
                    **self.jobs[known.job],
                    'state': 'pending',
                    'reason': '',
                    'node': '',
                    'ends': None,
                }

    # Questions

    def __len__(self) -> int:
        return len(self.rows)

    def total(self, *states: int) -> int:
        """Count the tasks in one of ``states``, without those that are superseded."""
        return sum(counts[state] for counts in self.counts.values() for state in states)

    def occupied(self, mid: str) -> int:
        """Count the tasks of a task manager that run, superseded or not."""
        return self.counts[mid][RUNNING] + self.superseded_counts[mid][RUNNING]

    @property
    def n_superseded(self) -> int:
        """The number of superseded tasks."""
        return len(self.superseded)

    def claimed_rows(self) -> set[int]:
        """Return the rows of tasks that workers claimed, and that wait for one of their slots."""
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
        """The rows that can't run until someone retries, each with the row that is the cause."""
        found: dict[int, int] = {}
        if not self.total(FAILED, KILLED, UNKNOWN) and not len(self.status) > len(self.rows):
            return found
        stack = [
            (row, row)
            for row in self.dependants
            if self.status[row] in UNSUCCESSFUL or self.status[row] == DROPPED
        ]
        while stack:
            row, cause = stack.pop()
            for other in self.dependants_of(row):
                if (
                    self.status[other] == WAITING
                    and other not in found
                    and other not in self.superseded
                ):
                    found[other] = cause
                    stack.append((other, cause))
        return found

    def attempts_at(self, row: int) -> list[int]:
        """Offsets of the events that ended the attempts of ``row``, oldest first."""
        last = self.ended_at[row]
        return sorted(set(self.history.get(row, ())) | ({last} if last else set()))
