"""Tasks on their way into the queue: their arguments, rows and events."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..errors import UnknownTaskError
from ..serialize import Payload
from .columns import ID, Identities, are_distinct, known_rows
from .events import (
    CHUNK,
    NAMED_MAX,
    OPTIONS,
    RUNNING,
    SUCCEEDED,
    TEXT,
    EventKind,
    Group,
)
from .state import State
from .transactions.tasks import (
    add_event,
    assign_events,
    group_event,
    link_events,
    manager_event,
    revive_event,
)

if TYPE_CHECKING:
    from ..serialize import Code
    from .event_types import JournalEvent
    from .task_events import AddEvent, AppEvent, SharedEvent, Spec
    from .uses import Use

Written = tuple[str, Sequence[int], Sequence[int]]  # segment; offsets and lengths of arguments


class Records:
    """Arguments of tasks as they go into a segment: text and pickle in turn."""

    __slots__ = ('data', 'lengths')

    def __init__(self) -> None:
        self.data: list[bytes] = []
        self.lengths = array('Q')

    def append(self, text: bytes, pickled: bytes | memoryview) -> None:
        """Add the arguments of one task."""
        record = b''.join((TEXT.pack(len(text)), text, pickled))
        self.data.append(record)
        self.lengths.append(len(record))

    def extend(self, texts: Sequence[bytes], pickles: Sequence[bytes]) -> None:
        """Add the arguments of tasks, for people (JSON) and for the computer."""
        heads = map(TEXT.pack, map(len, texts))
        records = [*map(b''.join, zip(heads, texts, pickles, strict=True))]
        self.data.append(b''.join(records))
        self.lengths.extend(map(len, records))


class Batch:
    """Tasks of one group, on their way into the queue.

    Parameters
    ----------
    group : Group
        What they share.
    index : int
        Order of call of the first; the others follow.
    shared : Payload, default=None
        The arguments that are the same in all calls, where the group names any.
    """

    __slots__ = ('arguments', 'group', 'ids', 'index', 'requires', 'shared')

    def __init__(self, group: Group, index: int = 0, shared: Payload | None = None) -> None:
        self.group = group
        self.index = index
        self.shared = shared
        self.ids = Identities()
        self.arguments: list[Records | tuple[bytes, Payload]] = []
        """In the order of the tasks: many at once, or text and payload of one that is aligned."""
        self.requires: dict[int, list[bytes]] = {}

    def append(self, tid: bytes, text: bytes, payload: Payload, requires: list[bytes]) -> None:
        """Add one task.

        ``text``: its arguments for people (JSON); ``requires``: the tasks that it needs.
        """
        if requires:
            self.requires[len(self.ids)] = requires
        self.ids.append(tid)
        if payload.aligned:
            self.arguments.append((text, payload))
        else:
            self._records().append(text, payload.parts[0])

    def extend(
        self,
        tids: Sequence[bytes],
        texts: Sequence[bytes],
        pickles: Sequence[bytes],
        requires: Sequence[bytes] = (),
    ) -> None:
        """Add tasks that all need the same ones, and whose arguments are plain pickles."""
        if requires:
            first = len(self.ids)
            self.requires |= {first + i: [*requires] for i in range(len(tids))}
        self.ids.extend(b''.join(tids))
        self._records().extend(texts, pickles)

    def _records(self) -> Records:
        last = self.arguments[-1] if self.arguments else None
        if not isinstance(last, Records):
            last = Records()
            self.arguments.append(last)
        return last


class NewTasks(NamedTuple):
    """Tasks that are added to a queue in one go, and what they refer to."""

    batches: Sequence[Batch]
    codes: dict[str, Code]
    """App versions by identity (hexadecimal), at least those of the batches' groups."""
    managers: dict[str, Spec]
    """Specifications of task managers by identity."""
    uses: Sequence[Use] = ()
    """Uses of the app versions: other code that was used in those places is superseded."""
    reused: Sequence[bytes] = ()
    """Identities of tasks that are used as they are."""


class _Revived(NamedTuple):
    """A task that was cleared while it ran, and is added again."""

    batch: Batch
    position: int
    """In its batch."""
    group: int
    arguments: tuple[str, int, int]
    """Segment, offset and length."""


class Addition:
    """The rows and events of tasks that are added; made under the lock.

    Parameters
    ----------
    state : State
    folder : str
        The queue's, for messages.
    managers : dict
        Specifications of task managers by identity.
    time : float
    """

    def __init__(
        self, state: State, folder: str, managers: Mapping[str, Spec], time: float
    ) -> None:
        self.events: list[JournalEvent] = []
        self._state = state
        self._folder = folder
        self._managers = managers
        self._time = time
        self._first = self._next_row = len(state.status)
        self._numbers: dict[Group, int] = {}
        self._new_managers: set[str] = set()
        self._new_rows: dict[bytes, int] = {}
        self._revived: list[_Revived] = []

    @property
    def added(self) -> int:
        """The number of tasks that are new."""
        return self._next_row - self._first + len(self._revived)

    def add_references(self, events: Iterable[AppEvent | SharedEvent]) -> None:
        """Add code and shared arguments that no other process has added since."""
        for event in events:
            if event['e'] == EventKind.APP:
                is_known = event['app'] in self._state.apps
            else:
                is_known = event['id'] in self._state.shared
            if not is_known:
                self.events.append(event)

    def assign(self, assigned: Mapping[Group, list[int]]) -> None:
        """Give rows to other groups."""
        for group, rows in assigned.items():
            self.events += assign_events(self._number_of(group), rows, self._time)

    def _number_of(self, group: Group) -> int:
        state = self._state
        if group.mid not in state.managers and group.mid not in self._new_managers:
            self._new_managers.add(group.mid)
            self.events.append(manager_event(group.mid, self._managers[group.mid]))
        number = state.group_numbers.get(group, self._numbers.get(group))
        if number is None:
            number = self._numbers[group] = len(state.groups) + len(self._numbers)
            self.events.append(group_event(number, group))
        return number

    def add(self, batch: Batch, written: Written, is_only: bool) -> None:
        """Add the tasks of a batch that the queue does not have.

        ``is_only``: there is no other batch.
        """
        state, ids = self._state, batch.ids
        number = self._number_of(batch.group)
        is_plain = is_only and not batch.requires and not state.draining
        if is_plain and not known_rows(state.rows, ids) and are_distinct(ids):
            n = len(ids)
            for i in range(0, n, CHUNK):
                row = self._next_row + i
                self.events.append(
                    self._add_event(batch, i, min(i + CHUNK, n), row, number, written)
                )
            self._next_row += n
            return
        if state.draining:
            self._revive(batch, number, written)
        i = 0
        while i < len(ids):
            i = i + 1 if self._has(ids[i]) else self._add_run(batch, i, number, written)

    def _has(self, tid: bytes) -> bool:
        return tid in self._state.rows or tid in self._new_rows

    def _revive(self, batch: Batch, number: int, written: Written) -> None:
        segment, offsets, lengths = written
        for i, tid in enumerate(batch.ids):
            if tid in self._state.draining and not self._has(tid):
                self._new_rows[tid] = self._state.draining[tid].row
                arguments = segment, offsets[i], lengths[i]
                self._revived.append(_Revived(batch, i, number, arguments))

    def _add_run(self, batch: Batch, begin: int, number: int, written: Written) -> int:
        """Add neighbours that the queue does not have; return where the next ones begin."""
        ids, row = batch.ids, self._next_row
        requires: list[tuple[int, list[int]]] = []
        named, i = 0, begin
        while i < len(ids) and i - begin < CHUNK and named < NAMED_MAX and not self._has(ids[i]):
            if i in batch.requires:
                rows = [self._required(tid) for tid in batch.requires[i]]
                requires.append((i - begin, rows))
                named += len(rows)
            self._new_rows[ids[i]] = self._next_row
            self._next_row += 1
            i += 1
        self.events.append(self._add_event(batch, begin, i, row, number, written, requires))
        return i

    def _add_event(
        self,
        batch: Batch,
        begin: int,
        end: int,
        row: int,
        number: int,
        written: Written,
        requires: Sequence[tuple[int, list[int]]] = (),
    ) -> AddEvent:
        """Add tasks of a batch, from position ``begin`` to before ``end``."""
        segment, offsets, lengths = written
        sizes = list(lengths[begin:end])
        is_contiguous = offsets[end - 1] + lengths[end - 1] - offsets[begin] == sum(sizes)
        arguments = segment, offsets[begin] if is_contiguous else list(offsets[begin:end]), sizes
        ids = batch.ids.packed[ID * begin : ID * end].hex()
        return add_event(row, number, batch.index + begin, ids, arguments, self._time, requires)

    def finish(self, severed: Mapping[int, list[bytes]]) -> None:
        """Add what names other tasks, once all of these have rows.

        Parameters
        ----------
        severed : dict
            Rows that need something that was not there, with the identities that they need.
        """
        if not self._revived and not severed:
            return
        for batch, i, number, arguments in self._revived:
            requires = [self._required(tid) for tid in batch.requires.get(i, ())]
            row = self._new_rows[batch.ids[i]]
            self.events.append(
                revive_event(row, number, batch.index + i, requires, arguments, self._time)
            )
        links = ((row, [self._required(tid) for tid in ids]) for row, ids in severed.items())
        self.events += link_events(links, self._time)

    def _required(self, tid: bytes) -> int:
        row = self._state.rows.get(tid)
        if row is None:
            row = self._new_rows.get(tid)
        if row is None:
            raise UnknownTaskError(
                f'An argument is the future of task {tid.hex()}, which is not in the queue '
                f'{self._folder} (deleted, or of another queue). Nothing was added. '
                'Pass its result instead: future.result()'
            )
        return row


def assigned_rows(
    state: State, batches: Sequence[Batch], is_group_queue: bool
) -> dict[Group, list[int]]:
    """Return rows that are added again with other options, and did not succeed yet."""
    by_group: dict[Group, list[int]] = {}
    for batch in batches:
        rows = known_rows(state.rows, batch.ids)
        if not rows:
            continue
        rows = [row for row in rows if state.status[row] not in (RUNNING, SUCCEEDED)]
        options = {key: getattr(batch.group, key) for key in OPTIONS}
        groups: dict[int, Group] = {}
        for row in rows:
            number = state.group[row]
            if number not in groups:
                # What a group shares is run as one claims it: also in the folder in which it
                # was added again.
                groups[number] = (
                    batch.group if is_group_queue else state.groups[number]._replace(**options)
                )
            if groups[number] != state.groups[number]:
                by_group.setdefault(groups[number], []).append(row)
    return by_group


def severed_rows(state: State, batches: Sequence[Batch]) -> dict[int, list[bytes]]:
    """Return the rows of known tasks that need missing tasks, with these.

    A task is missing when it was deleted or its line was lost.
    """
    if not state.severed:
        return {}
    needed: dict[int, list[bytes]] = {}
    for batch in batches:
        for i, needs in batch.requires.items():
            row = state.rows.get(batch.ids[i])
            if row is not None and not state.severed.isdisjoint(state.requires.get(row, ())):
                needed[row] = needs
    return needed
