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
    """Fate, one of :data:`FATES`; empty until it has ended, or if its exit status says all."""
    ends: float | None = None
    """Time of its time limit, in seconds since the epoch; None if it has none, or it is unknown."""
    cluster: str = ''
    """Name of the cluster it was submitted to, where there are several; empty for the one of
    this machine.
    """
