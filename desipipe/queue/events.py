"""The vocabulary of the journal: task states, and what each kind of event holds.

Everything here is plain data. ``e`` is an event's kind; times are seconds since the epoch on the
writer's clock (for people: nothing is decided by them), durations are microseconds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, compress, islice
from typing import Any, NamedTuple

from ..store.journal import decode
from ..store.lines import RefusedEvent

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

NAMED_MAX = 1 << 20
"""After how many rows that its tasks need an event ends: what one task needs is in one line."""

CANCELLED = 'cancelled'
"""The ``kind`` of a cause: someone cancelled the task."""

LOST: Event = {
    'kind': 'lost',
    'text': (
        'its worker has ended, and the line of the journal that told how this attempt ended was '
        'damaged'
    ),
    'kinds': ['lost'],
}
"""The cause of attempts whose end is not known."""

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
        raise ValueError(
            f'there is no task state {name!r}: use one of {", ".join(STATES)}'
        ) from None


class Ref(NamedTuple):
    """The position of bytes in a file."""

    segment: str
    offset: int
    length: int


class Group(NamedTuple):
    """The settings that many tasks share: written once, referred to by number."""

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
    settings: str = ''
    """What the process that added the tasks had set, as JSON; see ``carried_settings``."""

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


OPTIONS = ('mid', 'timeout', 'retries', 'retry_on', 'priority', 'settings')
"""Members of a group that say how its tasks are run, not what they are: they may change as long
as a task has not succeeded.
"""


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


def run_event(worker: str, rows: list[int], attempts: list[int], time: float) -> Event:
    """Attempts begin."""
    return {'e': 'run', 'w': worker, 'rows': rows, 'n': attempts, 't': time}


def link_parts(links: Sequence[list[Any]]) -> list[list[list[Any]]]:
    """Split links (a row and the rows that it needs, each) among events that are not too long."""
    parts: list[list[list[Any]]] = []
    named = NAMED_MAX
    for link in links:
        if named >= NAMED_MAX or len(parts[-1]) >= CHUNK:
            parts.append([])
            named = 0
        parts[-1].append(link)
        named += len(link[1])
    return parts


def worker_end_event(worker: str, why: str | None, time: float, kind: str = '') -> Event:
    """A worker ends; ``kind``: what became of its job, where it knows."""
    event = {'e': 'worker', 'do': 'end', 'w': worker, 'why': why, 't': time}
    return {**event, 'kind': kind} if kind else event


def job_event(mid: str, jobs: Iterable[Sequence[object]], of: Iterable[str], time: float) -> Event:
    """Build the event that says what became of jobs of a batch system; ``of``: submissions of
    which that is known by now.
    """
    event: Event = {'e': 'job', 'mid': mid, 'jobs': [list(job) for job in jobs], 't': time}
    names = list(of)
    return {**event, 'of': names} if names else event


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


# What an event must hold to be folded. In a journal that others may have written, or a bad disk
# changed, nothing is certain.

Check = Callable[[Any], bool]
_NUMBER_MAX = 1e18


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 32


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 60


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < _NUMBER_MAX


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_hex(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch('(?:[0-9a-f]{2})*', value) is not None


def _is_any(value: Any) -> bool:
    return True


def _optional(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _one_of(*values: Any) -> Check:
    return lambda value: type(value) in (str, int) and value in values


def _list_of(check: Check) -> Check:
    return lambda value: isinstance(value, list | tuple) and all(map(check, value))


def _pair_of(*checks: Check) -> Check:
    return lambda value: (
        isinstance(value, list | tuple)
        and len(value) == len(checks)
        and all(check(item) for check, item in zip(checks, value, strict=True))
    )


def _dict_of(check: Check) -> Check:
    return lambda value: isinstance(value, dict) and all(map(check, value.values()))


def _column_of(types: set[type], least: float, below: float) -> Check:
    """Check lists of numbers as a whole: an event has thousands of them."""
    return lambda value: (
        isinstance(value, list | tuple)
        and (
            not value
            or (types.issuperset(map(type, value)) and least <= min(value) and max(value) < below)
        )
    )


_is_ref = _pair_of(_is_text, _is_size, _is_size)
_is_rows = _column_of({int}, 0, 1 << 32)
_is_sizes = _column_of({int}, 0, 1 << 60)
_is_numbers = _column_of({int, float}, -_NUMBER_MAX, _NUMBER_MAX)
_is_names = _list_of(_is_text)
_is_state = _one_of(*range(len(STATES)))


def _is_job(value: Any) -> bool:
    return isinstance(value, list | tuple) and _pair_of(
        _is_text, _is_count, _is_text, _is_text, _is_text, _optional(_is_number)
    )(value[:6])


def _is_cause(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    wanted: dict[str, Check] = {
        'kind': _is_text,
        'text': _is_text,
        'kinds': _is_names,
        'errno': _is_number,
        'trace': _is_ref,
    }
    return all(wanted.get(key, _is_any)(item) for key, item in value.items())


def _is_detail(value: Any) -> bool:
    return isinstance(value, dict) and all(
        _DETAILS.get(key, _is_any)(item) for key, item in value.items()
    )


_DETAILS: dict[str, Check] = {
    'cause': _is_cause,
    'out': _is_ref,
    'err': _is_ref,
    'files': _is_ref,
    'shown': _list_of(_is_ref),
}


_REQUIRED: dict[str, dict[str, Check]] = {
    'mgr': {'mid': _is_text, 'environ': _is_any, 'scheduler': _is_any, 'provider': _is_any},
    'app': {'app': _is_hex, 'name': _is_text, 'kind': _is_text, 'code': _is_ref, 'source': _is_ref,
        'parts': _is_ref},
    'shared': {'id': _is_text, 'ref': _is_ref},
    'code': {'place': _is_text, 'app': _is_text},
    'keep': {'rows': _is_rows},
    'group': {'g': _is_count, 'app': _is_hex, 'mid': _is_text, 'name': _is_text, 'kind': _is_text},
    'add': {'first': _is_count, 'g': _is_count, 'i': _is_count, 'ids': _is_hex, 'seg': _is_text,
        'len': _is_sizes, 't': _is_number},
    'run': {'w': _is_text, 'rows': _is_rows, 'n': _is_rows, 't': _is_number},
    'end': {
        'w': _is_text, 'rows': _is_rows, 'n': _is_rows, 't': _is_number, 't0': _is_number,
        'b': _is_numbers, 'd': _is_numbers,
        'seg': _is_names, 'ref': _is_numbers, 's': _is_any,
    },
    'back': {'rows': _is_rows, 'n': _is_rows},
    'versions': {'w': _is_text, 'app': _is_text, 'versions': _dict_of(_is_text)},
    'set': {'rows': _is_rows, 's': _is_state, 't': _is_number},
    'assign': {'g': _is_count, 'rows': _is_rows},
    'accept': {'old': _is_count, 'new': _is_count, 't': _is_number},
    'drop': {'rows': _is_rows},
    'attempt': {'rows': _is_rows, 'n': _is_rows, 'burned': _is_rows},
    'state': {'paused': _is_flag},
    'drain': {'w': _is_text, 'rows': _is_rows, 'n': _is_rows, 'g': _is_rows, 'ids': _is_hex,
        't': _is_number},
    'revive': {'row': _is_count, 'g': _is_count, 'i': _is_count, 'seg': _is_text, 'off': _is_size,
        'len': _is_size, 't': _is_number},
    'segments': {'names': _is_names},
    'link': {'links': _list_of(_pair_of(_is_count, _is_rows))},
    'worker': {'do': _one_of('begin', 'end'), 'w': _is_text, 't': _is_number},
    'manager': {'do': _one_of('begin', 'say', 'end'), 'w': _is_text, 't': _is_number},
    'job': {'mid': _is_text, 'jobs': _list_of(_is_job)},
    'resize': {'mid': _is_text, 'max': _optional(_is_count)},
    'submit': {'name': _is_text, 'mid': _is_text, 'slots': _is_count, 't': _is_number},
    'lend': {'w': _is_text, 'n': _is_count},
    'stop': {'workers': _is_names, 'how': _is_text},
    'mark': {'rows': _is_rows},
    'process': {'pid': _is_text, 'provider': _is_text, 't': _is_number},
}  # fmt: skip

_OPTIONAL: dict[str, dict[str, Check]] = {
    'app': {'packages': _is_names},
    'code': {'cell': _is_text, 'defs': _dict_of(_is_text), 'over': _is_names, 'past': _is_flag,
        'needed': _is_flag},
    'group': {
        'timeout': _optional(_is_number), 'retries': _is_count, 'retry_on': _is_names,
        'priority': _is_number, 'cwd': _is_text, 'path': _is_names,
        'save_attrs': _is_names, 'save_dir': _is_text, 'shared': _is_text,
    },
    'add': {'off': lambda value: _is_size(value) or _is_sizes(value),
        'req': _list_of(_pair_of(_is_count, _is_rows))},
    'end': {'m': _is_numbers, 'x': _dict_of(_is_detail), 'kind': _one_of('past', 'last', 'final')},
    'revive': {'req': _is_rows},
    'drop': {'ids': _is_hex},
    'set': {'cause': _is_cause, 'why': _is_text},
    'mark': {'job': _is_text, 't0': _is_number},
    'process': {'host': _is_text},
    'worker': {
        'mid': _optional(_is_text), 'host': _is_text, 'pid': _is_count, 'slots': _is_count,
        'job': _is_text, 'why': _optional(_is_text), 'kind': _is_text,
        'user': _is_text,
    },
    'manager': {'host': _is_text, 'pid': _is_count, 'text': _is_text, 'mid': _is_text,
        'why': _is_text},
}  # fmt: skip


def check_event(event: Event) -> None:
    """Raise RefusedEvent for an event that can't be folded.

    A member is missing or of another kind, or columns differ in length. Kinds of later versions
    pass, as the fold passes over them.
    """
    kind = event.get('e')
    if not isinstance(kind, str):
        raise RefusedEvent('an event has no kind')
    required = _REQUIRED.get(kind)
    if required is None:
        return
    for name, check in required.items():
        if name not in event:
            raise RefusedEvent(f'{name!r} is missing in a {kind!r} event')
        if not check(event[name]):
            raise RefusedEvent(f'{name!r} of a {kind!r} event is invalid')
    for name, check in _OPTIONAL.get(kind, {}).items():
        if name in event and not check(event[name]):
            raise RefusedEvent(f'{name!r} of a {kind!r} event is invalid')
    _check_columns(kind, event)


def decode_event(line: bytes, offset: int) -> Event | None:
    """Decode a line of a journal whose details are wanted, wherever else it was folded.

    Returns
    -------
    event : dict or None
        ``None`` where the line is late or damaged, or holds what can't be; ``doctor`` tells of it.
    """
    try:
        event = decode(line, offset)
        if event is not None:
            check_event(event)
    except ValueError:
        return None
    return event


def check_file(line: Any) -> Event:
    """Return a line of a list of files; raise RefusedEvent for what is none."""
    wanted: dict[str, Check] = {
        'do': _one_of('read', 'write'),
        'path': _is_text,
        'size': _is_size,
        'mtime': lambda value: type(value) is int and abs(value) < 1 << 63,  # ns
        'sha256': _is_text,
    }
    if not isinstance(line, dict) or not all(
        check(line.get(name)) for name, check in wanted.items()
    ):
        raise RefusedEvent('a line of a list of files is invalid')
    if not _optional(_is_count)(line.get('of')):
        raise RefusedEvent("'of' of a line of a list of files is invalid")
    return line


def _check_columns(kind: str, event: Event) -> None:
    columns: list[list[Any]] = [
        event[name]
        for name in ('rows', 'n', 'burned', 'b', 'd', 'm')
        if isinstance(event.get(name), list)
    ]
    n = len(columns[0]) if columns else 0
    valid = all(len(column) == n for column in columns)
    if kind == 'end':
        states, refs = event['s'], event['ref']
        valid &= _is_state(states) or (_list_of(_is_state)(states) and len(states) == n)
        valid &= (
            n > 0 and len(refs) == 3 * n and _column_of({int}, -1, len(event['seg']))(refs[::3])
        )
        valid &= _is_sizes(refs[1::3]) and _is_sizes(refs[2::3])
        valid &= all(key.isdecimal() and int(key) < n for key in event.get('x', ()))
    elif kind == 'drop':
        valid &= len(event.get('ids', '')) in (0, 32 * n)
    elif kind == 'drain':
        valid &= len(event['g']) == n and len(event['ids']) == 32 * n
    elif kind == 'add':
        n = len(event['len'])
        offsets = event.get('off')
        valid &= (
            n > 0
            and len(event['ids']) == 32 * n
            and (_is_size(offsets) or (isinstance(offsets, list) and len(offsets) == n))
        )
        valid &= all(
            i < n and row < event['first'] + n for i, rows in event.get('req', ()) for row in rows
        )
    if not valid:
        raise RefusedEvent(f'columns of a {kind!r} event do not fit')
