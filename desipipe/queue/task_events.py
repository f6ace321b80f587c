"""The members of events of tasks, as their lines in the journal have them.

``e`` is the kind; ``w`` the worker, ``g`` the number of a group, ``n`` numbers of
attempts. Times (``t``, ``t0``) are seconds since the epoch on the writer's clock (for people:
nothing is decided by them), durations are microseconds. Events are made in
:mod:`desipipe.queue.transactions` only, and checked by :mod:`desipipe.queue.event_checks` when they
are read. A :class:`.Ref` that was read is a list of its members.

They are dictionaries whose members a type checker knows, not objects: what is written and folded is
the line itself, and this module is imported by type checkers alone. As named tuples they would add
5 ms to the start of each process and 3 µs to each event, and lose members of later versions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NotRequired, TypedDict

from .events import EventKind, Reason, Ref


class Spec(TypedDict):
    """A task manager, as text: options of each of its parts, and their classes."""

    environ: Mapping[str, Any]
    scheduler: Mapping[str, Any]
    provider: Mapping[str, Any]


class Cause(TypedDict, total=False):
    """The reason for which an attempt did not succeed."""

    kind: str
    """Name of its exception's class, or a :class:`.CauseKind`."""
    text: str
    """A sentence for people."""
    kinds: Sequence[str]
    """Names of classes to compare with ``retry_on``."""
    errno: int
    trace: Ref
    """Its traceback."""
    carried: bool
    """True if the exception is its result."""
    free: bool
    """True if it goes back to the queue and burns no retry."""
    final: bool
    """True if it does not go back, whatever retries are left."""


class UsedFile(TypedDict):
    """A file that a task read or wrote, as its attempt reports it."""

    do: Literal['read', 'write']
    path: str
    size: int
    mtime: int
    """Nanoseconds since the epoch."""
    sha256: str
    of: NotRequired[int | None]


class TaskManagerEvent(Spec):
    """A task manager."""

    e: Literal[EventKind.MGR]
    mid: str


class AppEvent(TypedDict):
    """A version of an app: where its code, source text and parts of identity are."""

    e: Literal[EventKind.APP]
    app: str
    name: str
    kind: str
    code: Ref
    source: Ref
    parts: Ref
    packages: list[str]


class SharedEvent(TypedDict):
    """Arguments that are the same in many calls."""

    e: Literal[EventKind.SHARED]
    id: str
    """Their digest."""
    ref: Ref


class GroupEvent(TypedDict):
    """The settings of many tasks, under a number: those of :class:`.Group`."""

    e: Literal[EventKind.GROUP]
    g: int
    app: str
    mid: str
    name: str
    kind: str
    timeout: NotRequired[float | None]
    retries: NotRequired[int]
    retry_on: NotRequired[Sequence[str]]
    priority: NotRequired[int]
    cwd: NotRequired[str]
    path: NotRequired[Sequence[str]]
    save_attrs: NotRequired[Sequence[str]]
    save_dir: NotRequired[str]
    shared: NotRequired[str]
    settings: NotRequired[str]


class AddEvent(TypedDict):
    """Neighbouring rows of one group."""

    e: Literal[EventKind.ADD]
    first: int
    g: int
    i: int
    """Order of call of the first."""
    ids: str
    """Identities one after the other, hexadecimal."""
    seg: str
    off: int | list[int]
    """Positions of the arguments; one number where they follow each other without a gap."""
    len: list[int]
    t: float
    req: NotRequired[Sequence[tuple[int, list[int]]]]
    """Positions among these rows, with the rows that they need."""


class ReviveEvent(TypedDict):
    """A task that was cleared while it ran is added again under its old row."""

    e: Literal[EventKind.REVIVE]
    row: int
    g: int
    i: int
    req: list[int]
    seg: str
    off: int
    len: int
    t: float


class AssignEvent(TypedDict):
    """Tasks that have not succeeded belong to another group."""

    e: Literal[EventKind.ASSIGN]
    g: int
    rows: list[int]
    t: float


class LinkEvent(TypedDict):
    """The rows that tasks need, where these are others than before."""

    e: Literal[EventKind.LINK]
    links: Sequence[tuple[int, list[int]]]
    t: NotRequired[float]


class CodeEvent(TypedDict):
    """A place has a version of an app."""

    e: Literal[EventKind.CODE]
    place: str
    app: str
    cell: NotRequired[str]
    defs: NotRequired[Mapping[str, str]]
    over: NotRequired[Sequence[str]]
    """Versions there that it takes the place of."""
    past: NotRequired[bool]
    needed: NotRequired[bool]


class CellEvent(TypedDict):
    """A cell of a notebook ran: its tasks, and what it ran with."""

    e: Literal[EventKind.CELL]
    file: str
    """Path of the notebook."""
    cell: str
    """Identity of the cell, as the notebook has it."""
    title: str
    tasks: str
    """Rows as text, in the order in which they are shown: ``'0-19,40'``."""
    t: float
    text: NotRequired[str]
    """Digest of its text."""
    reads: NotRequired[Mapping[str, str]]
    """Digests of all that it read, by name."""


class KeepEvent(TypedDict):
    """Superseded rows count again."""

    e: Literal[EventKind.KEEP]
    rows: list[int]
    t: float


class SetEvent(TypedDict):
    """A person changed states."""

    e: Literal[EventKind.SET]
    rows: list[int]
    s: int
    why: Reason
    t: float
    cause: NotRequired[Cause]


class AcceptEvent(TypedDict):
    """The result of one task is taken for another."""

    e: Literal[EventKind.ACCEPT]
    old: int
    new: int
    t: float


class DropEvent(TypedDict):
    """Rows left the queue."""

    e: Literal[EventKind.DROP]
    rows: list[int]
    t: NotRequired[float]
    ids: NotRequired[str]


class Mark(TypedDict, total=False):
    """The job, and the beginning, that a person gave tasks."""

    job: str
    t0: float


class MarkEvent(Mark):
    """A person gave tasks a job or a beginning."""

    e: Literal[EventKind.MARK]
    rows: list[int]


class DrainEvent(TypedDict):
    """A task that was cleared while it ran: its attempt may end."""

    e: Literal[EventKind.DRAIN]
    w: str
    rows: list[int]
    n: list[int]
    g: list[int]
    ids: str
    """Identities one after the other, hexadecimal."""
    t: float


class SegmentsEvent(TypedDict):
    """Files of before the queue was cleared that workers may yet read."""

    e: Literal[EventKind.SEGMENTS]
    names: list[str]


class FillEvent(TypedDict):
    """Nothing: makes the journal longer."""

    e: Literal[EventKind.FILL]
    x: str


class StateEvent(TypedDict):
    """The queue is paused, or resumed."""

    e: Literal[EventKind.STATE]
    paused: bool
    t: float
