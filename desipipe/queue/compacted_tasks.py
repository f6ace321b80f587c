"""Tasks in a new journal: many in one event."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .carried_events import left_out_events
from .events import CHUNK, DROPPED, NAMED_MAX, Ref
from .gathered_ends import Move
from .state import State
from .transactions.tasks import add_event, link_events

if TYPE_CHECKING:
    from .event_types import JournalEvent


class CompactedTasks:
    """The tasks of a queue, many in one event where they are alike.

    Parameters
    ----------
    state : State
    move : callable
        Given a reference, returns the one that takes its place.
    added : dict
        Times at which tasks were added, in seconds since the epoch, by the offsets of the events.
    """

    def __init__(self, state: State, move: Move, added: dict[int, float]) -> None:
        self._state = state
        self._move = move
        self._added = added
        self._rows = list(state.each())
        # What was added again after what needs it has a larger number.
        self._later = {
            row
            for row, required in state.requires.items()
            if state.status[row] != DROPPED and max(required, default=0) >= row
        }

    def events(self) -> Iterator[JournalEvent]:
        """Yield the events that add the tasks."""
        state, rows = self._state, self._rows
        i = last = 0
        while i < len(rows):
            first, refs = rows[i], self._alike(i)
            yield from left_out_events(last, first)
            yield self._add_event(first, refs)
            last = first + len(refs)
            i += len(refs)
        yield from link_events((row, list(state.requires[row])) for row in sorted(self._later))

    def _alike(self, begin: int) -> list[Ref]:
        """Return the arguments of tasks that one event can add, from a position on."""
        state, rows, move = self._state, self._rows, self._move
        first = rows[begin]
        refs = [move(state.args(first))]
        named = len(state.requires.get(first, ()))
        time_added = self._added[state.added_at[first]]
        i = begin + 1
        while (
            i < len(rows)
            and len(refs) < CHUNK
            and named < NAMED_MAX
            and rows[i] == first + len(refs)
            and state.group[rows[i]] == state.group[first]
            and state.index[rows[i]] == state.index[first] + len(refs)
            and self._added[state.added_at[rows[i]]] == time_added
            and (ref := move(state.args(rows[i]))).segment == refs[0].segment
        ):
            refs.append(ref)
            named += len(state.requires.get(rows[i], ()))
            i += 1
        return refs

    def _add_event(self, first: int, refs: list[Ref]) -> JournalEvent:
        state, n = self._state, len(refs)
        requires = [
            (row - first, list(state.requires[row]))
            for row in range(first, first + n)
            if row in state.requires and row not in self._later
        ]
        return add_event(
            first,
            state.group[first],
            state.index[first],
            b''.join(state.ids[first : first + n]).hex(),
            (refs[0].segment, [ref.offset for ref in refs], [ref.length for ref in refs]),
            self._added[state.added_at[first]],
            requires,
        )
