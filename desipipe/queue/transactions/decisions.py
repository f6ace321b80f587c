"""Events of what people decide: retry, cancel, set, accept, drop, pause, mark."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..events import (
    CANCELLED,
    DROPPED,
    KILLED,
    PENDING,
    RUNNING,
    SUCCEEDED,
    WAITING,
    EventKind,
    Reason,
)
from .attempts import next_attempts, run_event
from .tasks import chunks, keep_events

if TYPE_CHECKING:
    from ..attempt_events import RunEvent
    from ..state import State
    from ..task_events import (
        AcceptEvent,
        Cause,
        DropEvent,
        KeepEvent,
        MarkEvent,
        SetEvent,
        StateEvent,
    )


def set_events(
    rows: list[int], state: int, why: Reason, time: float, cause: Cause | None = None
) -> list[SetEvent]:
    """Change the states of rows, whatever they are."""
    return [_set_event(part, state, why, time, cause) for part in chunks(rows)]


def _set_event(
    rows: list[int], state: int, why: Reason, time: float, cause: Cause | None
) -> SetEvent:
    event: SetEvent = {'e': EventKind.SET, 'rows': rows, 's': state, 'why': why, 't': time}
    if cause is not None:
        event['cause'] = cause
    return event


def retry(
    state: State, rows: list[int], changed: list[int], keep: bool, time: float
) -> list[KeepEvent | SetEvent]:
    """Run tasks again.

    Parameters
    ----------
    state : State
    rows : list of int
        What was asked for.
    changed : list of int
        Those of them that do not wait to run already.
    keep : bool
        Let superseded ones count again, with what they still need.
    time : float
    """
    kept = _needed(state, rows) if keep else []
    return [*keep_events(kept, time), *set_events(changed, PENDING, Reason.RETRY, time)]


def begin_here(state: State, rows: list[int], time: float) -> list[SetEvent | RunEvent]:
    """Begin an attempt of each task, in whatever state it is, for this process."""
    if not rows:
        return []
    other = [row for row in rows if state.status[row] != PENDING]
    attempts = [n for _, n in next_attempts(state, rows)]
    return [*set_events(other, PENDING, Reason.RETRY, time), run_event('', rows, attempts, time)]


def _needed(state: State, rows: Iterable[int]) -> list[int]:
    """List superseded rows: of ``rows``, and those without a result that they need."""
    needed: dict[int, None] = {}
    todo = [row for row in rows if row in state.superseded]
    while todo:
        row = todo.pop()
        if row not in needed:
            needed[row] = None
            todo += (
                other
                for other in state.requires.get(row, ())
                if other in state.superseded and state.status[other] != SUCCEEDED
            )
    return sorted(needed)


def cancel(state: State, rows: list[int], text: str, time: float) -> list[SetEvent]:
    """Cancel tasks; those that run again keep the result that they have."""
    kept = [row for row in rows if row in state.rerun]
    killed = [row for row in rows if row not in state.rerun] if kept else rows
    cause: Cause = {'kind': CANCELLED, 'text': text}
    return [
        *set_events(kept, SUCCEEDED, Reason.CANCEL, time),
        *set_events(killed, KILLED, Reason.CANCEL, time, cause),
    ]


def rows_to_retry(state: State, rows: Iterable[int], running: bool) -> list[int]:
    """Return those of ``rows`` that ended; with ``running`` also those that run."""
    passed = (WAITING, PENDING) if running else (WAITING, PENDING, RUNNING)
    return [row for row in rows if state.status[row] not in passed]


def rows_to_cancel(state: State, rows: Iterable[int]) -> list[int]:
    """Return those of ``rows`` that have not ended."""
    return [row for row in rows if state.status[row] in (WAITING, PENDING, RUNNING)]


def rows_to_set(state: State, rows: Iterable[int], target: int) -> list[int]:
    """Return those of ``rows`` that are tasks in another state."""
    return [row for row in rows if state.status[row] not in (target, DROPPED)]


def accept_event(old: int, new: int, time: float) -> AcceptEvent:
    """Take the result of ``old`` for ``new``."""
    return {'e': EventKind.ACCEPT, 'old': old, 'new': new, 't': time}


def drop_event(rows: list[int], time: float | None = None, ids: bytes = b'') -> DropEvent:
    """Take rows out of the queue; ``ids``: their identities, in a compacted journal."""
    event: DropEvent = {'e': EventKind.DROP, 'rows': rows}
    if ids:
        event['ids'] = ids.hex()
    if time is not None:
        event['t'] = time
    return event


def pause_event(paused: bool, time: float) -> StateEvent:
    """Pause the queue, or resume."""
    return {'e': EventKind.STATE, 'paused': paused, 't': time}


def mark_event(row: int, job: str | None, began: float | None) -> MarkEvent:
    """Note the job of a task whose state was set by hand, and when it began."""
    event: MarkEvent = {'e': EventKind.MARK, 'rows': [row]}
    if job is not None:
        event['job'] = job
    if began is not None:
        event['t0'] = began
    return event
