"""The vocabulary of the journal: task states, and what each kind of event holds.

Everything here is plain data. ``e`` is an event's kind; times are seconds since the epoch on the writer's clock (for people: nothing is decided by
them), durations are microseconds.
"""

from __future__ import annotations

from typing import Any, NamedTuple

Event = dict[str, Any]

WAITING, PENDING, RUNNING, SUCCEEDED, FAILED, KILLED, UNKNOWN, DROPPED = range(8)

STATES = ('WAITING', 'PENDING', 'RUNNING', 'SUCCEEDED', 'FAILED', 'KILLED', 'UNKNOWN')
"""Names of the task states, in the order of their codes."""

ENDED = (SUCCEEDED, FAILED, KILLED, UNKNOWN)
"""States in which nothing more happens by itself."""

UNSUCCESSFUL = (FAILED, KILLED, UNKNOWN)
"""States that block the tasks that need a result."""

CHUNK = 4096
"""The most rows of one event, so that lines stay readable and a lost one costs little."""

CANCELLED = 'cancelled'
"""The ``kind`` of a cause: someone cancelled the task."""

BY_HAND = (CANCELLED, 'killed')
"""Kinds of causes that someone decided: no retry follows by itself."""


def state_code(name: str) -> int:
    """The code of a state's name.

    Raises
    ------
    ValueError
        Listing the valid names.
    """
    try:
        return STATES.index(name.upper())
    except ValueError:
        raise ValueError(f'there is no task state {name!r}: use one of {", ".join(STATES)}') from None


class Ref(NamedTuple):
    """Where bytes lie."""

    segment: str
    offset: int
    length: int


class Group(NamedTuple):
    """What many tasks share: written once, referred to by number."""

    app: str
    """Identity of the app version, hexadecimal."""
    mid: str
    """Identity of the task manager."""
    name: str
    kind: str
    """``'python'``, ``'bash'``, or ``'cell'`` of a notebook."""
    timeout: float | None = None
    """Seconds that one attempt may take."""
    retries: int = 0
    """How often a failed attempt is followed by another."""
    retry_on: tuple[str, ...] = ()
    """Exception names and states that are retried; empty: all."""
    priority: int = 0
    """Larger goes first."""
    cwd: str = ''
    """The folder the tasks run in."""
    path: tuple[str, ...] = ()
    """What the script had in front of ``sys.path``."""
    save_attrs: tuple[str, ...] = ()
    save_dir: str = ''
    shared: str = ''
    """Digest of the arguments that are the same in all calls and were stored once, hexadecimal."""

    def to_event(self, number: int) -> Event:
        """The ``group`` event; defaults are left out."""
        event: Event = {'e': 'group', 'g': number}
        for key, value in self._asdict().items():
            if value != self._field_defaults.get(key):
                event[key] = value
        return event

    @classmethod
    def from_event(cls, event: Event) -> Group:
        """The inverse of :meth:`to_event`; members of later versions are passed over."""
        values = {key: event[key] for key in cls._fields if key in event}
        for key in ('retry_on', 'path', 'save_attrs'):
            values[key] = tuple(values.get(key, ()))
        return cls(**values)


OPTIONS = ('mid', 'timeout', 'retries', 'retry_on', 'priority')
"""Members of a group that say how its tasks are run, not what they are: they may change as long as a task has not succeeded."""


class End:
    """How one attempt ended, as a worker reports it.

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
    cause : dict, default=None
        For what did not succeed: ``kind`` (exception's class, ``'signal'``, ``'timeout'``, ...), ``text``, ``kinds`` (class names to compare with
        ``retry_on``), ``errno``, ``free`` (goes back to the queue and burns no retry), ``final`` (does not go back, whatever
        retries are left).
    memory : int, default=0
        The most resident memory of its process meanwhile, kilobytes (1024 bytes); 0: not known.
    """

    __slots__ = ('attempt', 'began', 'cause', 'duration', 'err', 'files', 'memory', 'out', 'result', 'row', 'state')

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


def run_event(worker: str, rows: list[int], attempts: list[int], time: float) -> Event:
    """Attempts begin."""
    return {'e': 'run', 'w': worker, 'rows': rows, 'n': attempts, 't': time}


def worker_end_event(worker: str, why: str | None, time: float, kind: str = '') -> Event:
    """A worker ends; ``kind``: what became of its job, where it knows."""
    event = {'e': 'worker', 'do': 'end', 'w': worker, 'why': why, 't': time}
    return {**event, 'kind': kind} if kind else event


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
        if end.out or end.err or end.cause or end.files:
            detail: Event = {}
            if end.out:
                detail['out'] = list(end.out)
            if end.err:
                detail['err'] = list(end.err)
            if end.cause:
                detail['cause'] = end.cause
            if end.files:
                detail['files'] = list(end.files)
            extra[str(i)] = detail
    event['seg'] = list(segments)
    event['ref'] = refs
    if any(end.memory for end in ends):
        event['m'] = [end.memory for end in ends]
    if extra:
        event['x'] = extra
    return event


def detail_of(event: Event, row: int) -> tuple[End, str, float] | None:
    """What an ``end`` event says of one row.

    Returns
    -------
    end, worker, time : End, str, float
        ``None`` if the event does not hold the row.
    """
    if row not in event['rows']:
        return None
    return end_at(event, event['rows'].index(row)), event['w'], event['t']


def end_at(event: Event, i: int) -> End:
    """What an ``end`` event says at place ``i``."""
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
    )
