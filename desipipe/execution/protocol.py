"""Messages between a worker and its slots, and how they are encoded.

A message is sent as a pickled tuple: the number of results that stand before it in the shared
memory, the kind of message, and the message's fields. Several tasks go in one packet. Results that
are small, and of tasks that left nothing else, go through the shared memory
(:mod:`~desipipe.execution.slot_memory`); by their number the worker sees everything in order.

A slot begins a task once it has read the task's number from a pipe of tokens. The worker takes
tasks back by reading their tokens itself: the kernel decides who gets each one.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from ..queue.task_events import Cause

TOKEN = struct.Struct('<I')
Place = tuple[str, int, int]
"""Segment, offset and length: a reference as a plain tuple, which any process can load."""
Requires = Sequence[tuple[bytes, Place | bytes | None]]
"""Tasks that a task needs, and where their results are."""


# From the worker to a slot


class GroupSettings(NamedTuple):
    """The settings of tasks that follow, before the first of them."""

    number: int
    group: Sequence[Any]
    """The fields of its :class:`~desipipe.queue.events.Group`."""
    code: Place
    shared: Place | None
    """Arguments that are the same in all calls."""
    packages: Sequence[str]
    source: Place
    environ: Mapping[str, Any]
    look: bool
    """True where the slot is to look at the versions of everything, after the first task."""


class Packet(NamedTuple):
    """Tasks of one group that go to a slot together."""

    group: int
    """Number of the group."""
    first: int
    """Number of the first task, as the worker counts what it sends to this slot; the others
    follow.
    """
    rows: Sequence[int]
    attempts: Sequence[int]
    segment: str
    """Position of the arguments of all of them."""
    offsets: Sequence[int]
    lengths: Sequence[int]
    tids: Sequence[bytes]
    requires: Mapping[int, Requires]
    """By row, the tasks that it needs, and where their results are."""
    wake_after: float
    """Seconds that a result waits for others before the worker is told."""


class StoredPacket(NamedTuple):
    """A packet that is too large for the socket, and is in a segment instead."""

    reference: Place


# From a slot to its worker


class Ready(NamedTuple):
    """A rank of an MPI slot is there."""

    rank: int
    size: int
    """Number of processes of all slots of its launcher."""
    color: int
    """Number of the slot among those of its launcher."""


class ResultsWritten(NamedTuple):
    """There are results in the shared memory."""


class TaskDone(NamedTuple):
    """An attempt ended."""

    row: int
    attempt: int
    state: int
    began: float
    """Seconds since the epoch."""
    duration: int
    """Microseconds."""
    result: bytes | memoryview | Place | None
    cause: Cause | None
    trace: bytes | None
    output: bool | None | tuple[bytes, ...]
    """True where markers end its output, False where it wrote none, None where user code has
    closed the streams; of ranks that capture it, the output itself.
    """
    files: bytes | Place = b''
    """Files that it read and wrote through the file manager."""
    memory: int = 0
    """Most resident memory, kilobytes."""


class DisplayStored(NamedTuple):
    """The task showed something that is too large for its output."""

    reference: Place


class PipesRenewed(NamedTuple):
    """New pipes for the output were handed over; comes after a task is done."""


class TaskWaits(NamedTuple):
    """A task begins to wait for other tasks, or (none) ends it."""

    row: int
    attempt: int
    tids: tuple[bytes, ...]


class VersionsFollow(NamedTuple):
    """The slot is about to look at versions; precedes the first end of an app's task."""


class VersionsFound(NamedTuple):
    """Versions by package: of what an app uses, and of everything, if asked for."""

    app: str
    packages: dict[str, str]
    everything: dict[str, str]


Message = (
    GroupSettings
    | Packet
    | StoredPacket
    | Ready
    | ResultsWritten
    | TaskDone
    | DisplayStored
    | PipesRenewed
    | TaskWaits
    | VersionsFollow
    | VersionsFound
)
_KINDS: tuple[type[Message], ...] = (
    GroupSettings,
    Packet,
    StoredPacket,
    Ready,
    ResultsWritten,
    TaskDone,
    DisplayStored,
    PipesRenewed,
    TaskWaits,
    VersionsFollow,
    VersionsFound,
)
_NUMBERS = {kind: number for number, kind in enumerate(_KINDS)}


def encode(message: Message, results: int = 0) -> bytes:
    """Return the packet of a message; ``results``: how many were written before it."""
    return pickle.dumps((results, _NUMBERS[type(message)], *message), 5)


def decode(data: bytes | memoryview) -> tuple[Message, int]:
    """Return the message of a packet, and how many results were written before it."""
    results, number, *fields = pickle.loads(data)
    return _KINDS[number]._make(fields), results


def as_place(reference: Place) -> Place:
    """Return a reference as a plain tuple."""
    segment, offset, length = reference
    return segment, offset, length
