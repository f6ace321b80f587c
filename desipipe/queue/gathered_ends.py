"""Attempts in a new journal: how they ended, by worker, and their numbers."""

from __future__ import annotations

import enum
import functools
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from ..store.lines import RefusedEvent
from .attempt_fold import LOST
from .ends import End, end_at, located
from .event_checks import check_event
from .events import (
    CHUNK,
    DROPPED,
    ENDED,
    PENDING,
    RUNNING,
    SUCCEEDED,
    UNKNOWN,
    WAITING,
    EventKind,
    Reason,
    Ref,
)
from .packing import plain_event
from .state import State
from .transactions.attempts import attempt_event, end_event, run_event
from .transactions.decisions import set_events
from .transactions.tasks import chunks

if TYPE_CHECKING:
    from .attempt_events import EndEvent
    from .event_types import JournalEvent, LineEvent
    from .task_events import AcceptEvent, SetEvent

Move = Callable[[Ref], Ref]

_REPORTS = frozenset(
    (EventKind.END, EventKind.ENDS, EventKind.WORKER, EventKind.SET, EventKind.ACCEPT)
)
"""Events that report ends of attempts."""


class PileKind(enum.StrEnum):
    """The role of ends in the history of their tasks: the ``kind`` of their new event."""

    PAST = 'past'
    """Others of the same tasks came after them."""
    LAST = 'last'
    """They came last; the tasks were set to run again since."""
    FINAL = 'final'
    """They decided how the tasks ended."""
    DRAINED = 'drained'
    """The tasks were cleared before."""


class Pile(NamedTuple):
    """Ends that are written together."""

    worker: str
    """Empty where a person decided."""
    kind: PileKind


class GatheredEnds:
    """The ends of attempts in a journal, gathered by worker and by their role.

    Parameters
    ----------
    state : State
    move : callable
        Given a reference, returns the one that takes its place.
    """

    def __init__(self, state: State, move: Move) -> None:
        self.workers: set[str] = set()
        """Names of those that reported."""
        self._state = state
        self._move = move
        self._piles: dict[Pile, list[End]] = defaultdict(list)

    def gather(self, event: LineEvent, offset: int) -> None:
        """Take the ends that an event reports which stands at ``offset``.

        Where its details can't be, what was folded of it is kept.
        """
        try:
            if event['e'] in _REPORTS:
                check_event(event)
            reports = end_reports(self._state, plain_event(event), offset)
        except RefusedEvent:
            reports = self._folded_ends(offset)
        for pile, end in reports:
            self.workers.add(pile.worker)
            self._piles[pile].append(_moved(end, self._move))

    def _folded_ends(self, offset: int) -> Iterator[tuple[Pile, End]]:
        """Yield what is known of ends without the event that reported them."""
        state, now = self._state, time.time()
        for row in self._rows_by_end.get(offset, ()):
            if state.status[row] != DROPPED:
                result, is_final = state.result(row), state.status[row] in ENDED
                number = state.attempt[row] if is_final else 0
                status = UNKNOWN if result is None else SUCCEEDED
                if is_final:
                    status = state.status[row]
                cause = None if status == SUCCEEDED else LOST
                yield _decided(is_final), End(row, number, status, now, 0, result, cause=cause)

    @functools.cached_property
    def _rows_by_end(self) -> dict[int, list[int]]:
        """Rows by the offset of the event that ended them; made where an event is refused."""
        rows: dict[int, list[int]] = defaultdict(list)
        for row, ended_at in enumerate(self._state.ended_at):
            rows[ended_at].append(row)
        return rows

    def events(self, now: float) -> Iterator[JournalEvent]:
        """Yield the events of all ends, in an order that folds to the same state."""
        for kind in PileKind:
            for pile, ends in self._piles.items():
                if pile.kind is kind:
                    written = '' if kind is PileKind.DRAINED else kind.value
                    yield from (end_event(pile.worker, part, now, written) for part in _parts(ends))


def end_reports(state: State, event: JournalEvent, offset: int) -> Iterator[tuple[Pile, End]]:
    """Yield the ends of attempts that an event reports, each with its pile."""
    if event['e'] == EventKind.END:
        yield from _reported_ends(state, event, offset)
    elif event['e'] == EventKind.WORKER:
        for row in state.lost_ends.get(offset, ()):
            if state.ended_at[row] == offset and state.status[row] != DROPPED:
                is_final = state.status[row] in ENDED
                attempt = state.attempt[row] if is_final else 0
                yield (
                    _decided(is_final),
                    End(row, attempt, UNKNOWN, event['t'], 0, cause=LOST),
                )
    elif event['e'] in (EventKind.SET, EventKind.ACCEPT):
        yield from _decided_ends(state, event, offset)


def _reported_ends(state: State, event: EndEvent, offset: int) -> Iterator[tuple[Pile, End]]:
    """Yield the ends that a worker reported."""
    event = located(event, offset, state.header['gen'])
    for i, row in enumerate(event['rows']):
        drained = state.draining.get(state.ids[row])
        if (
            drained is not None
            and drained.done
            and drained.row == row
            and state.ended_at[row] == offset
        ):
            yield Pile(event['w'], PileKind.DRAINED), end_at(event, i)
        elif state.status[row] != DROPPED:
            if state.ended_at[row] != offset or event.get('kind') == PileKind.PAST:
                kind = PileKind.PAST
            else:
                kind = PileKind.FINAL if state.status[row] in ENDED else PileKind.LAST
            yield Pile(event['w'], kind), end_at(event, i)


def _decided_ends(
    state: State, event: SetEvent | AcceptEvent, offset: int
) -> Iterator[tuple[Pile, End]]:
    """Yield the ends that a person decided."""
    for row in event['rows'] if event['e'] == EventKind.SET else [event['new']]:
        if (
            row < len(state.status)
            and state.status[row] != DROPPED
            and state.ended_at[row] == offset
        ):
            is_final = state.status[row] in ENDED
            number, status = (
                (state.attempt[row], state.status[row])
                if is_final
                else (0, event['s'] if event['e'] == EventKind.SET else SUCCEEDED)
            )
            result = state.result(row)
            cause = event.get('cause') if event['e'] == EventKind.SET else None
            yield _decided(is_final), End(row, number, status, event['t'], 0, result, cause=cause)


def _decided(is_final: bool) -> Pile:
    return Pile('', PileKind.FINAL if is_final else PileKind.LAST)


def _moved(end: End, move: Move) -> End:
    end.result = end.result and move(end.result)
    end.out = end.out and move(end.out)
    end.err = end.err and move(end.err)
    end.files = end.files and move(end.files)
    end.shown = tuple(map(move, end.shown))
    if end.cause and 'trace' in end.cause:
        end.cause = {**end.cause, 'trace': move(Ref(*end.cause['trace']))}
    return end


def _parts(ends: list[End]) -> Iterator[list[End]]:
    # An event speaks of a row once; a worker may have reported one twice, in time and late.
    part: dict[int, End] = {}
    for end in ends:
        if len(part) == CHUNK or end.row in part:
            yield list(part.values())
            part = {}
        part[end.row] = end
    yield list(part.values())


def attempt_events(state: State) -> Iterator[JournalEvent]:
    """Yield the numbers of attempts, and those that run."""
    rows = [
        row
        for row in state.each()
        if state.attempt[row]
        and (
            state.status[row] in (PENDING, WAITING, RUNNING)
            or row in state.burned
            or row in state.restored
        )
    ]
    for part in chunks(rows):
        numbers = [state.attempt[row] - (row in state.running) for row in part]
        yield attempt_event(part, numbers, [state.burned.get(row, 0) for row in part])
    running: dict[tuple[str, float], list[int]] = defaultdict(list)
    for row, worker in state.running.items():
        name = '' if worker is None else worker.name
        running[name, state.running.start_of(row)].append(row)
    for (name, began), own_rows in running.items():
        yield run_event(name, own_rows, [state.attempt[row] for row in own_rows], began)


def set_by_hand_events(state: State, now: float) -> Iterator[JournalEvent]:
    """Yield what a person set to run without a worker, or to wait for nothing."""
    running = [
        row for row in state.each() if state.status[row] == RUNNING and row not in state.running
    ]
    waiting = [row for row in state.each() if state.status[row] == WAITING and not state.unmet[row]]
    for target, rows in ((RUNNING, running), (WAITING, waiting)):
        yield from set_events(rows, target, Reason.SET, now)
