"""The members of events of workers, managers and jobs.

They are as their lines in the journal have them: see :mod:`desipipe.queue.task_events`; ``w`` is
the worker's or the manager's name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NotRequired, TypedDict

from .events import EventKind, Step


class WorkerInfo(TypedDict):
    """Description of a worker by itself."""

    slots: int
    mid: NotRequired[str | None]
    """Task manager that it works for."""
    host: NotRequired[str]
    pid: NotRequired[int]
    job: NotRequired[str]
    user: NotRequired[str]
    python: NotRequired[str]


class WorkerBeginEvent(WorkerInfo):
    """A worker started."""

    e: Literal[EventKind.WORKER]
    do: Literal[Step.BEGIN]
    w: str
    t: float


class WorkerEndEvent(TypedDict):
    """A worker ended."""

    e: Literal[EventKind.WORKER]
    do: Literal[Step.END]
    w: str
    why: str | None
    t: float
    kind: NotRequired[str]
    """Fate of its job, where that is known."""


class VersionsEvent(TypedDict):
    """Versions of the packages that an app uses; without an app, of all."""

    e: Literal[EventKind.VERSIONS]
    w: str
    app: str
    versions: Mapping[str, str]


class LendEvent(TypedDict):
    """Places that a worker has besides its slots."""

    e: Literal[EventKind.LEND]
    w: str
    n: int
    t: float


class ManagerBeginEvent(TypedDict):
    """A manager started."""

    e: Literal[EventKind.MANAGER]
    do: Literal[Step.BEGIN]
    w: str
    host: str
    pid: int
    t: float
    says: NotRequired[str]
    """Its last message so far, of the task manager ``of``; compaction writes it."""
    of: NotRequired[str]
    final: NotRequired[bool]
    stop: NotRequired[str]
    """Way it was asked to end."""


class ManagerSayEvent(TypedDict):
    """A message of the manager for people."""

    e: Literal[EventKind.MANAGER]
    do: Literal[Step.SAY]
    w: str
    t: float
    text: str
    mid: NotRequired[str]
    final: NotRequired[bool]


class ManagerEndEvent(TypedDict):
    """A manager ended."""

    e: Literal[EventKind.MANAGER]
    do: Literal[Step.END]
    w: str
    why: str
    t: float


class Submission(TypedDict):
    """Jobs about which it is not known yet whether the batch system took them."""

    mid: str
    slots: int
    t: float


class SubmitEvent(Submission):
    """Jobs are about to be submitted under a name."""

    e: Literal[EventKind.SUBMIT]
    name: str


JobStage = Literal['pending', 'running', 'withdrawn', 'ended']
"""State of a job; the manager cancels one that is withdrawn."""


class JobState(TypedDict):
    """A job of a batch system that has not ended."""

    mid: str
    slots: int
    state: Literal['pending', 'running', 'withdrawn']
    reason: str
    node: str
    ends: float | None
    """Time at which its limit is reached."""
    cluster: NotRequired[str]


JobLine = (
    tuple[str, int, JobStage, str, str, float | None]
    | tuple[str, int, JobStage, str, str, float | None, str]
)
"""Identity of a job, and its members ``slots`` to ``ends``, or to ``cluster``."""


class JobEvent(TypedDict):
    """Jobs of a batch system, as they are now."""

    e: Literal[EventKind.JOB]
    mid: str
    jobs: Sequence[JobLine]
    t: float
    of: NotRequired[Sequence[str]]
    """Submissions of which it is known by now what became of them."""


class ResizeEvent(TypedDict):
    """The most tasks at once, of one task manager or (no ``mid``) each; None: as told."""

    e: Literal[EventKind.RESIZE]
    mid: str
    max: int | None
    t: float


class StopEvent(TypedDict):
    """Workers, or the manager, are asked to end."""

    e: Literal[EventKind.STOP]
    workers: list[str]
    how: str
    """One of :class:`.StopLevel`."""
    manager: bool
    t: float


class ProcessEvent(TypedDict):
    """A process or job that works for the queue without being a worker of it."""

    e: Literal[EventKind.PROCESS]
    pid: str
    provider: str
    t: float
