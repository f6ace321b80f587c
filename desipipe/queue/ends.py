"""Ends of attempts: one by one, and as the columns of an ``end`` event."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, compress, islice

from .events import CHUNK, SUCCEEDED, Event, Ref


class End:
    """The end of one attempt, as a worker reports it.

    Parameters
    ----------
    row, attempt : int
    state : int
        Code.
    began : float
        Seconds since the epoch.
    duration : int
        Microseconds.
    result, out, err : Ref, default=None
        What it returned or raised; what it wrote.
    files : Ref, default=None
        What it read and wrote through the file manager: see :meth:`.Making.report`.
    shown : tuple of Ref, default=()
        What it displayed that is too large for its output: JSON of the data, the metadata and the
        display's name.
    cause : dict, default=None
        For what did not succeed: ``kind`` (exception's class, ``'signal'``, ``'timeout'``, ...),
        ``text``, ``kinds`` (class names to compare with ``retry_on``), ``errno``, ``free`` (goes
        back to the queue and burns no retry), ``final`` (does not go back, whatever retries are
        left).
    memory : int, default=0
        The most resident memory of its process meanwhile, kilobytes (1024 bytes); 0: not known.
    """

    __slots__ = (
        'attempt',
        'began',
        'cause',
        'duration',
        'err',
        'files',
        'memory',
        'out',
        'result',
        'row',
        'shown',
        'state',
    )

    def __init__(
        self,
        row: int,
        attempt: int,
        state: int,
        began: float,
        duration: int,
        result: Ref | None = None,
        out: Ref | None = None,
        err: Ref | None = None,
        cause: Event | None = None,
        files: Ref | None = None,
        memory: int = 0,
        shown: tuple[Ref, ...] = (),
    ) -> None:
        self.row = row
        self.attempt = attempt
        self.state = state
        self.began = began
        self.duration = duration
        self.result = result
        self.out = out
        self.err = err
        self.cause = cause
        self.files = files
        self.memory = memory
        self.shown = shown


class Successes:
    """Attempts that succeeded and left nothing but their results, as columns.

    Parameters
    ----------
    rows, attempts : list of int
    began : list of int
        Microseconds since the epoch.
    durations : list of int
        Microseconds.
    memory : list of int
        Kilobytes, see :class:`End`.
    lengths : list of int
        Bytes of each result.
    data : bytes
        The results, one after the other.
    """

    __slots__ = ('attempts', 'began', 'data', 'durations', 'lengths', 'memory', 'place', 'rows')

    def __init__(
        self,
        rows: list[int],
        attempts: list[int],
        began: list[int],
        durations: list[int],
        memory: list[int],
        lengths: list[int],
        data: bytes,
    ) -> None:
        self.rows = rows
        self.attempts = attempts
        self.began = began
        self.durations = durations
        self.memory = memory
        self.lengths = lengths
        self.data = data
        self.place: tuple[str, int] | None = None
        """Segment, and offset of the first result, once they are stored."""

    def selected(self, keep: Sequence[bool]) -> Successes:
        """Return those for which ``keep`` is true; they have to be stored again."""
        ends = list(accumulate(self.lengths))
        pieces = [self.data[end - size : end] for end, size in zip(ends, self.lengths, strict=True)]

        def some(column: list[int]) -> list[int]:
            return list(compress(column, keep))

        return Successes(
            *(
                some(self.rows),
                some(self.attempts),
                some(self.began),
                some(self.durations),
                some(self.memory),
            ),
            lengths=some(self.lengths),
            data=b''.join(compress(pieces, keep)),
        )


def successes_events(worker: str, batches: Sequence[Successes], time: float) -> list[Event]:
    """Build the ``end`` events of attempts whose results are stored."""
    events: list[Event] = []
    some: list[Successes] = []
    n = 0
    for batch in batches:
        if some and n + len(batch.rows) > CHUNK:
            events.append(_successes_event(worker, some, time))
            some, n = [], 0
        some.append(batch)
        n += len(batch.rows)
    return [*events, _successes_event(worker, some, time)] if some else events


def _successes_event(worker: str, batches: Sequence[Successes], time: float) -> Event:
    first = min(min(batch.began) for batch in batches)
    columns: dict[str, list[int]] = {'rows': [], 'n': [], 'b': [], 'd': [], 'm': [], 'ref': []}
    segments: dict[str, int] = {}
    for batch in batches:
        assert batch.place is not None
        n = len(batch.rows)
        refs = [0] * (3 * n)
        refs[::3] = [segments.setdefault(batch.place[0], len(segments))] * n
        refs[1::3] = islice(accumulate(batch.lengths, initial=batch.place[1]), n)
        refs[2::3] = batch.lengths
        columns['rows'] += batch.rows
        columns['n'] += batch.attempts
        columns['b'] += [began - first for began in batch.began]
        columns['d'] += batch.durations
        columns['m'] += batch.memory
        columns['ref'] += refs
    if not any(columns['m']):
        del columns['m']
    return {
        'e': 'end',
        'w': worker,
        't': time,
        't0': first * 1e-6,
        's': SUCCEEDED,
        'seg': list(segments),
        **columns,
    }


def end_event(worker: str, ends: list[End], time: float) -> Event:
    """Attempts end. Columns, so that a batch of many small tasks stays small."""
    began = min(end.began for end in ends)
    event: Event = {
        'e': 'end',
        'w': worker,
        'rows': [end.row for end in ends],
        'n': [end.attempt for end in ends],
        't': time,
        't0': began,
        'b': [round((end.began - began) * 1e6) for end in ends],
        'd': [end.duration for end in ends],
    }
    state = ends[0].state
    event['s'] = state if all(end.state == state for end in ends) else [end.state for end in ends]
    segments: dict[str, int] = {}
    refs: list[int] = []
    extra: dict[str, Event] = {}
    for i, end in enumerate(ends):
        if end.result is None:
            refs += (-1, 0, 0)
        else:
            segment, offset, length = end.result
            refs += (segments.setdefault(segment, len(segments)), offset, length)
        if end.out or end.err or end.cause or end.files or end.shown:
            detail: Event = {}
            if end.out:
                detail['out'] = list(end.out)
            if end.err:
                detail['err'] = list(end.err)
            if end.cause:
                detail['cause'] = end.cause
            if end.files:
                detail['files'] = list(end.files)
            if end.shown:
                detail['shown'] = [list(ref) for ref in end.shown]
            extra[str(i)] = detail
    event['seg'] = list(segments)
    event['ref'] = refs
    if any(end.memory for end in ends):
        event['m'] = [end.memory for end in ends]
    if extra:
        event['x'] = extra
    return event


def detail_of(event: Event, row: int) -> tuple[End, str, float] | None:
    """Return the detail that an ``end`` event gives of one row.

    Returns
    -------
    end, worker, time : End, str, float
        ``None`` if the event does not hold the row.
    """
    if row not in event['rows']:
        return None
    return end_at(event, event['rows'].index(row)), event['w'], event['t']


def end_at(event: Event, i: int) -> End:
    """Return the end that an ``end`` event reports at position ``i``."""
    segment, offset, length = event['ref'][3 * i : 3 * i + 3]
    extra = event.get('x', {}).get(str(i), {})
    states = event['s']
    return End(
        row=event['rows'][i],
        attempt=event['n'][i],
        state=states if isinstance(states, int) else states[i],
        began=event['t0'] + event['b'][i] * 1e-6,
        duration=event['d'][i],
        result=Ref(event['seg'][segment], offset, length) if segment >= 0 else None,
        out=Ref(*extra['out']) if 'out' in extra else None,
        err=Ref(*extra['err']) if 'err' in extra else None,
        cause=extra.get('cause'),
        files=Ref(*extra['files']) if 'files' in extra else None,
        memory=event['m'][i] if 'm' in event else 0,
        shown=tuple(Ref(*ref) for ref in extra.get('shown', ())),
    )
