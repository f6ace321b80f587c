"""A job: worker processes that a provider started together."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

__all__ = ['FREE', 'Fate', 'Job']


class Fate(StrEnum):
    """End of a job, as the batch system tells of it."""

    COMPLETED = 'completed'
    """Its workers ended by themselves."""
    FAILED = 'failed'
    """Its script ended with an error."""
    LAUNCH = 'launch'
    """It ended before a worker began."""
    WALLTIME = 'walltime'
    """It reached its time limit."""
    OOM = 'oom'
    """It used more memory than it had asked for."""
    CANCELLED = 'cancelled'
    """Someone cancelled it."""
    PREEMPTED = 'preempted'
    """A more important job took its place."""
    NODE = 'node'
    """Its node failed."""
    REQUEUED = 'requeued'
    """It was put back into the queue of the batch system, and begins again."""


FREE = (Fate.PREEMPTED, Fate.NODE, Fate.REQUEUED)
"""Fates after which what a job ran begins again, and burns no retry."""


@dataclass(slots=True)
class Job:
    """Worker processes started together, in the state that the provider last saw."""

    jobid: str
    """Its identity, unlike that of any other job of the queue."""
    slots: int
    """Number of tasks that it serves at the same time."""
    state: Literal['pending', 'running', 'ended']
    """State: waiting for a machine, running, or ended."""
    reason: str = ''
    """Reason that it waits, or end, in words."""
    exitcode: int | None = None
    """Exit status of its process, negative for the signal that killed it; None while there is
    none.
    """
    node: str = ''
    """Name of the machine."""
    fate: str = ''
    """One of :class:`Fate`; empty until it has ended, or if its exit status says all."""
    ends: float | None = None
    """Time of its time limit, in seconds since the epoch; None if it has none, or it is unknown."""
    cluster: str = ''
    """Name of the cluster it was submitted to, where there are several; empty for the one of
    this machine.
    """
