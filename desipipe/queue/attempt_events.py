"""The members of events of attempts, see :mod:`.task_events`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NotRequired, TypedDict

from .events import EventKind, Ref
from .task_events import Cause


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
