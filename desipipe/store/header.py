"""First line of a journal, for type checkers: nothing imports this at run time."""

from __future__ import annotations

from typing import Literal, TypedDict


class Header(TypedDict, total=False):
    """Members of a journal's first line; none before it was read."""

    version: int
    """Format of the journal."""
    id: str
    """Its identity: new where its tasks are forgotten and nobody works on it."""
    gen: str
    """Its generation: new at creation, clear and compaction."""
    name: str
    lock: str
    """Kind of its lock."""
    shared: bool
    """True where its filesystem is shared."""
    fstype: str
    lease: float
    """Seconds without a heartbeat after which a process counts as dead."""
    mended: bool
    """True if lines were recovered: tasks may have been added twice."""
    group: str
    """The group that shares the queue."""
    t: float
    """Time at which it was created or cleared, in seconds since the epoch."""


class HeaderEvent(Header):
    """The ``queue`` event."""

    e: Literal['queue']
