"""Events of attempts: claimed, ended, given back; and of workers that end."""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, islice
from typing import TYPE_CHECKING

from ...utils.named_tuple import NamedTuple
from ..ends import End, Successes
from ..events import CHUNK, SUCCEEDED, UNKNOWN, CauseKind, EventKind
from ..packing import FROM_VERSION, pack, packed_ranges
from .processes import worker_end_event

if TYPE_CHECKING:
    from ..attempt_events import (
        AttemptEvent,
        BackEvent,
        EndDetail,
        EndEvent,
        EndsEvent,
        RunEvent,
        RunsEvent,
    )
    from ..process_events import WorkerEndEvent
    from ..state import State
    from ..task_events import Cause

    Judgement = Callable[[int], tuple[int, Cause]]
    """Given a row, the state in which its attempt ended, and the cause."""


def next_attempts(state: State, rows: Iterable[int]) -> list[tuple[int, int]]:
    """Return rows, each with the number of its next attempt."""
    return [(row, state.attempt[row] + 1) for row in rows]


def claim(
    state: State, worker: str, claimed: Sequence[tuple[int, int]], time: float
) -> RunEvent | RunsEvent:
    """Begin attempts of rows, which :func:`next_attempts` gave."""
    rows, attempts = [row for row, _ in claimed], [n for _, n in claimed]
    ranges = packed_ranges(rows, attempts) if _may_pack(state) else None
    if ranges is None:
        return run_event(worker, rows, attempts, time)
    return {'e': EventKind.RUNS, 'w': worker, 'ranges': ranges, 'n': attempts[0], 't': time}


def _may_pack(state: State) -> bool:
    """Return True if all who read the journal know packed events."""
    return state.header.get('version', 0) >= FROM_VERSION


def run_event(worker: str, rows: list[int], attempts: list[int], time: float) -> RunEvent:
    """Begin attempts."""
    return {'e': EventKind.RUN, 'w': worker, 'rows': rows, 'n': attempts, 't': time}


def back_event(worker: str, attempts: Sequence[tuple[int, int]], time: float) -> BackEvent:
    """Give back what was claimed and not begun: rows with the numbers of attempts."""
    return {
        'e': EventKind.BACK,
        'w': worker,
        'rows': [row for row, _ in attempts],
        'n': [n for _, n in attempts],
        't': time,
    }


def attempt_event(rows: list[int], attempts: list[int], burned: list[int]) -> AttemptEvent:
    """Note which numbers and retries are used up, in a compacted journal."""
    return {'e': EventKind.ATTEMPT, 'rows': rows, 'n': attempts, 'burned': burned}


def end_event(worker: str, ends: Sequence[End], time: float, kind: str = '') -> EndEvent:
    """End attempts. Columns, so that a batch of many small tasks stays small.

    ``kind``: of ends without the claims before them, as compaction writes them: ``'past'``,
    ``'last'`` or ``'final'``.
    """
    began = min(end.began for end in ends)
    state = ends[0].state
    segments: dict[str, int] = {}
    refs: list[int] = []
    for end in ends:
        if end.result is None:
            refs += (-1, 0, 0)
        else:
            segment, offset, length = end.result
            refs += (segments.setdefault(segment, len(segments)), offset, length)
    event: EndEvent = {
        'e': EventKind.END,
        'w': worker,
        'rows': [end.row for end in ends],
        'n': [end.attempt for end in ends],
        't': time,
        't0': began,
        'b': [round((end.began - began) * 1e6) for end in ends],
        'd': [end.duration for end in ends],
        's': state if all(end.state == state for end in ends) else [end.state for end in ends],
        'seg': list(segments),
        'ref': refs,
    }
    if any(end.memory for end in ends):
        event['m'] = [end.memory for end in ends]
    if details := {str(i): detail for i, end in enumerate(ends) if (detail := _detail(end))}:
        event['x'] = details
    if kind:
        event['kind'] = kind
    return event


def _detail(end: End) -> EndDetail:
    detail: EndDetail = {}
    if end.out:
        detail['out'] = end.out
    if end.err:
        detail['err'] = end.err
    if end.cause:
        detail['cause'] = end.cause
    if end.files:
        detail['files'] = end.files
    if end.shown:
        detail['shown'] = end.shown
    return detail


def final_events(worker: str, ends: Sequence[End], time: float) -> list[EndEvent]:
    """End attempts for good, whatever came before, as compaction does."""
    return [
        end_event(worker, ends[i : i + CHUNK], time, 'final') for i in range(0, len(ends), CHUNK)
    ]


def successes_events(
    state: State, worker: str, batches: Sequence[Successes], time: float, copy: bool = False
) -> list[EndEvent | EndsEvent]:
    """Build the events of attempts whose results are stored.

    With ``copy`` their lines have copies of the results.
    """
    may_pack = not copy and _may_pack(state)
    parts: list[list[Successes]] = []
    n = CHUNK
    for batch in batches:
        if n + len(batch.rows) > CHUNK:
            parts.append([])
            n = 0
        parts[-1].append(batch)
        n += len(batch.rows)
    events: list[EndEvent | EndsEvent] = []
    for part in parts:
        joined = _joined(part)
        packed = _packed_successes(worker, joined, part, time) if may_pack else None
        events.append(packed or _successes_event(worker, joined, part, time, copy))
    return events


class _Columns(NamedTuple):
    """Columns of several batches, one after the other."""

    first: int
    """Microseconds since the epoch at which the first attempt began."""
    rows: list[int]
    attempts: list[int]
    delays: list[int]
    """Microseconds after the first."""
    durations: list[int]
    memory: list[int]


def _joined(batches: Sequence[Successes]) -> _Columns:
    first = min(min(batch.began) for batch in batches)
    columns = _Columns(first, [], [], [], [], [])
    for batch in batches:
        columns.rows.extend(batch.rows)
        columns.attempts.extend(batch.attempts)
        columns.delays.extend([began - first for began in batch.began])
        columns.durations.extend(batch.durations)
        columns.memory.extend(batch.memory)
    return columns


def _packed_successes(
    worker: str, columns: _Columns, batches: Sequence[Successes], time: float
) -> EndsEvent | None:
    """Return a packed event; None where lists are as short, or only they can tell it."""
    ranges = packed_ranges(columns.rows, columns.attempts)
    first = _first_place(batches)
    if ranges is None or first is None:
        return None
    lengths = [length for batch in batches for length in batch.lengths]
    b, d, m, sizes = map(pack, (columns.delays, columns.durations, columns.memory, lengths))
    if b is None or d is None or m is None or sizes is None:
        return None
    event: EndsEvent = {
        'e': EventKind.ENDS,
        'w': worker,
        't': time,
        't0': columns.first * 1e-6,
        'n': columns.attempts[0],
        'ranges': ranges,
        'seg': first[0],
        'off': first[1],
        'len': sizes,
        'b': b,
        'd': d,
    }
    if m:
        event['m'] = m
    return event


def _first_place(batches: Sequence[Successes]) -> tuple[str, int] | None:
    """Return where the first result is stored; None if not all stand behind it."""
    segment, end = batches[0].place or ('', 0)
    for batch in batches:
        if batch.place != (segment, end):
            return None
        end += len(batch.data)
    return batches[0].place


def _successes_event(
    worker: str, columns: _Columns, batches: Sequence[Successes], time: float, copy: bool
) -> EndEvent:
    segments, refs = _references(batches)
    event: EndEvent = {
        'e': EventKind.END,
        'data': [text for batch in batches for text in _texts(batch)] if copy else [],
        'w': worker,
        't': time,
        't0': columns.first * 1e-6,
        's': SUCCEEDED,
        'seg': segments,
        'rows': columns.rows,
        'n': columns.attempts,
        'b': columns.delays,
        'd': columns.durations,
        'ref': refs,
    }
    if any(columns.memory):
        event['m'] = columns.memory
    if not copy:
        del event['data']
    return event


def _references(batches: Sequence[Successes]) -> tuple[list[str], list[int]]:
    """Return the segments of results, and the column of references to them."""
    segments: dict[str, int] = {}
    refs: list[int] = []
    for batch in batches:
        assert batch.place is not None
        segment, offset = batch.place
        n = len(batch.rows)
        places = [0] * (3 * n)
        places[::3] = [segments.setdefault(segment, len(segments))] * n
        places[1::3] = islice(accumulate(batch.lengths, initial=offset), n)
        places[2::3] = batch.lengths
        refs += places
    return list(segments), refs


def _texts(batch: Successes) -> list[str]:
    return [str(b2a_base64(data, newline=False), 'ascii') for data in batch.pieces()]


def mark_lost(state: State, name: str, time: float) -> list[EndEvent | WorkerEndEvent]:
    """End a worker that vanished, if it has not ended, and its attempts as UNKNOWN."""
    worker = state.alive.get(name)
    if worker is None:
        return []
    text = (
        f'its worker {name} on {worker.host} vanished without a word (killed, out of memory, '
        'or its node is gone)'
    )
    return end_worker(state, name, 'vanished', vanished(text), time)


def vanished(text: str) -> Judgement:
    """Judge attempts whose worker reports nothing more."""
    return lambda row: (UNKNOWN, {'kind': CauseKind.VANISHED, 'text': text})


def end_workers(
    state: State, names: Iterable[str], why: str, judge: Judgement, time: float
) -> list[EndEvent | WorkerEndEvent]:
    """End those of the workers that live, with their attempts."""
    return [
        event
        for name in names
        if name in state.alive
        for event in end_worker(state, name, why, judge, time)
    ]


def end_worker(
    state: State, name: str, why: str, judge: Judgement, time: float, kind: str = ''
) -> list[EndEvent | WorkerEndEvent]:
    """End a worker, and with it the attempts that it still has: nothing runs for ever.

    Parameters
    ----------
    state : State
    name : str
        Of a worker that lives.
    why : str
        In words.
    judge : callable
        Given a row, its state and cause.
    time : float
    kind : str, default=''
        What became of its job, where that is known.
    """
    ends = []
    for row in sorted(state.alive[name].rows):
        code, cause = judge(row)
        began = state.running.start_of(row)
        duration = round(max(0.0, time - began) * 1e6)
        ends.append(End(row, state.attempt[row], code, began, duration, cause=cause))
    ended = worker_end_event(name, why, time, kind)
    return [end_event(name, ends, time), ended] if ends else [ended]
