"""Estimate how many tasks end per second, from the end of the journal."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from ..errors import QueueGoneError
from ..queue.attempt_reader import AttemptReader
from ..queue.events import EventKind
from ..store.lines import lines
from .journal_events import decoded_event, event_time

WINDOW = 60.0  # s over which tasks per second are counted


_TAIL = 256 * 1024  # bytes of the journal to look for recent ends in


def task_rate(ledger: AttemptReader, now: float) -> float | None:
    """Return how many tasks end per second; None if that is not known yet."""
    # From the times of the last lines of the journal, for people only: clocks of several hosts are
    # mixed here.
    ends, first = _recent(ledger)
    now = max([now, *(when for when, _, _ in ends)])
    ends = [end for end in ends if end[0] > now - WINDOW and end[2]]
    if ends:
        since = max(now - WINDOW, first, min(began for _, began, _ in ends))
        return sum(n for _, _, n in ends) / max(now - since, 1e-3)
    return usual_rate(ledger, list(ledger.state.running), now)


def usual_rate(ledger: AttemptReader, rows: Iterable[int], now: float) -> float | None:
    """Return the expected tasks per second of running tasks without recent ends.

    Each takes as long as the tasks of its app before, or as it has taken already.
    """
    state = ledger.state
    rate = 0.0
    for row in rows:
        usual = state.mean_duration(state.group[row])
        if row not in state.superseded and usual is not None:
            rate += 1 / max(usual, now - (state.running.started(row) or now), 1e-6)
    return rate or None


def time_left(
    ledger: AttemptReader, left: int, rate: float | None, rows: Iterable[int], now: float
) -> float | None:
    """Return the seconds until all is done, as far as that can be known.

    That is at least as long as what runs takes: as long as its app's tasks before. It is not known
    where none of these has ended.

    Parameters
    ----------
    ledger : AttemptReader
    left : int
        Tasks that have not ended.
    rate : float or None
        Tasks that end per second.
    rows : iterable of int
        Rows that run.
    now : float
        Seconds since the epoch.
    """
    if not rate or ledger.state.paused:
        return None
    state, longest = ledger.state, 0.0
    for row in rows:
        began = state.running.started(row)
        if row in state.superseded or began is None:
            continue
        usual = state.mean_duration(state.group[row])
        if usual is None:
            return None
        longest = max(longest, usual - (now - began))
    return max(left / rate, longest)


def counted_tasks(ledger: AttemptReader, rows: Collection[int]) -> int:
    """Return how many rows are of tasks that are not superseded."""
    superseded = ledger.state.superseded
    return sum(row not in superseded for row in rows) if superseded else len(rows)


def _recent(ledger: AttemptReader) -> tuple[list[tuple[float, float, int]], float]:
    """Return the ends in the journal's tail, and the time from which none is missing.

    Each has the time it was reported, that of its first start, and a number of tasks.
    """
    ends: list[tuple[float, float, int]] = []
    end = ledger.journal.offset
    start = max(0, end - _TAIL)
    try:
        data = ledger.journal.read_range(start, end)
    except QueueGoneError:  # the next look at the queue says what became of it
        return ends, 0.0
    if start:
        skip = data.find(b'\n') + 1
        data, start = data[skip:], start + skip
    first = 0.0
    for offset, line in lines(data, start):
        is_attempts = line.startswith((b'{"e":"end', b'{"e":"run'))
        if not is_attempts or ledger.state.is_damaged(offset):
            continue
        event = decoded_event(line, offset)
        if (
            event is None or 'kind' in event
        ):  # compaction wrote down again what had been long before
            continue
        if not first and start:
            first = event_time(event)
        elif event['e'] == EventKind.END:
            ends.append((event['t'], event['t0'], counted_tasks(ledger, event['rows'])))
    return ends, first
