"""The vocabulary of the journal: task states, and what each kind of event holds.

Everything here is plain data. ``e`` is an event's kind; times are seconds since the epoch on the
writer's clock (for people: nothing is decided by them), durations are microseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
