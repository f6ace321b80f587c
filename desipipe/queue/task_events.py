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


class EndDetail(TypedDict, total=False):
    """Members of one attempt in an ``end`` event that most attempts do not have."""

    out: Ref
    err: Ref
    """Positions of its output."""
    cause: Cause
    files: Ref
    """Position of the list of :class:`UsedFile`."""
    shown: Sequence[Ref]
    """Displays that are too large for its output."""


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


class RunEvent(TypedDict):
    """A worker claimed tasks."""

    e: Literal[EventKind.RUN]
    w: str
    rows: list[int]
    n: list[int]
    t: float


class RunsEvent(TypedDict):
    """A worker claimed ranges of tasks, for attempts of one number."""

    e: Literal[EventKind.RUNS]
    w: str
    ranges: list[int]
    """First row and number of rows of each."""
    n: int
    t: float


class EndsEvent(TypedDict):
    """Attempts of one number, of ranges of tasks, succeeded, and left only results.

    A column is the number that all rows have, or base64 of 32-bit integers, little-endian.
    """

    e: Literal[EventKind.ENDS]
    w: str
    ranges: list[int]
    n: int
    t: float
    t0: float
    b: int | str
    d: int | str
    m: NotRequired[int | str]
    """These as in :class:`EndEvent`."""
    seg: str
    off: int
    """Offset of the first result; the others stand behind it."""
    len: int | str


class EndEvent(TypedDict):
    """Attempts ended. Columns, so that a batch of many small tasks stays small."""

    e: Literal[EventKind.END]
    w: str
    rows: list[int]
    n: list[int]
    t: float
    t0: float
    """Time at which the first of them did."""
    b: list[int]
    """Microseconds after ``t0`` at which each did."""
    d: list[int]
    """Durations."""
    s: int | list[int]
    seg: list[str]
    ref: list[int]
    """Segment (number among ``seg``, or -1), offset and length of each result."""
    data: NotRequired[Sequence[str]]
    """Copies of all results (base64), if they are small; stands behind ``e``: see `located`."""
    m: NotRequired[Sequence[int]]
    """Most resident memory, kilobytes."""
    x: NotRequired[Mapping[str, EndDetail]]
    """By position: output, cause, files."""
    kind: NotRequired[str]
    """In a journal that was compacted: ``'past'``, ``'last'`` or ``'final'``."""


class BackEvent(TypedDict):
    """Tasks were claimed, and not begun."""

    e: Literal[EventKind.BACK]
    w: str
    rows: list[int]
    n: list[int]
    t: float


class AttemptEvent(TypedDict):
    """Numbers of attempts and retries that are used up, in a compacted journal."""

    e: Literal[EventKind.ATTEMPT]
    rows: list[int]
    n: list[int]
    burned: list[int]


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
