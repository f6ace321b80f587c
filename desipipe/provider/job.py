"""A job: worker processes that a provider started together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ['Job']


@dataclass(slots=True)
class Job:
    """Worker processes started together, in the state that the provider last saw."""

    jobid: str
    """Its identity, unlike that of any other job of the queue."""
    slots: int
    """Number of tasks that it serves at the same time."""
    state: Literal['pending', 'running', 'ended']
    """Whether it waits for a machine, runs, or has ended."""
    reason: str = ''
    """Why it waits, or how it ended, in words."""
    exitcode: int | None = None
    """Exit status of its process, negative for the signal that killed it; None while there is
    none.
    """
    node: str = ''
    """Name of the machine."""
    fate: str = ''
    """What became of it, of :data:`FATES`; empty as long as it has not ended, or if its exit
    status says all.
    """
    ends: float | None = None
    """When it reaches its time limit, in seconds since the epoch; None if never, or unknown."""
    cluster: str = ''
    """Name of the cluster it was submitted to, where there are several; empty for the one of
    this machine.
    """
