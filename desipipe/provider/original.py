"""Interface of the original's providers, for its scripts and its users' providers.

There a provider starts commands when it is called, and counts what it has started by itself.
"""

from __future__ import annotations

import dataclasses
import math
import os
import shlex
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..errors import UnknownOptionError, close_names
from .batch_jobs import BatchJobs
from .job import Job

if TYPE_CHECKING:
    from ..environment import BaseEnvironment

__all__ = ['START_S', 'OriginalInterface', 'adapt', 'as_states']

START_S = 60.0
"""Seconds for commands that were started to be counted by their provider."""
_ACTIVE = ('PENDING', 'RUNNING')


class OriginalInterface:
    """Methods of the original's providers, beside those that a manager needs here."""

    processes: list[Any]
    """Processes that calls of the provider have started."""

    @property
    def environ(self) -> Any:
        """Environment of commands started by calling the provider.

        It is that of the task manager, else the configured one.
        """
        if '_environ' not in self.__dict__:
            from ..environment import Environment

            self._environ: Any = Environment()
        return self._environ

    @environ.setter
    def environ(self, environ: Any) -> None:
        self._environ = environ

    def __call__(self, cmd: str, workers: int = 1) -> None:
        """Start a command, as often as ``workers`` says."""
        raise NotImplementedError

    @classmethod
    def jobid(cls) -> Any:
        """Return the job that this process is part of."""
        return 0

    @classmethod
    def kill(cls, *jobids: Any) -> None:
        """End jobs; a provider that does not know how does nothing."""

    def update(self, **kwargs: Any) -> None:
        """Change options in place.

        Parameters
        ----------
        **kwargs
            Options by name; ``environ``: the environment of what is started by calling the
            provider; ``timestep``.

        Raises
        ------
        UnknownOptionError
            For an option that it does not have.
        """
        provider: Any = self
        for name, value in kwargs.items():
            if name == 'environ':
                from ..environment import Environment

                provider.environ = Environment(value)
            elif name == 'timestep':
                provider.timestep = provider.timestep if value is None else float(value)
            elif name in provider.defaults:
                setattr(self, name, provider.check(name, value))
            else:
                near = close_names(name, provider.defaults, n=30)
                raise UnknownOptionError(
                    f'The provider {provider.label} has no option {name!r}: {near}'
                )

    def clear(self) -> None:
        """Forget what was started by calling the provider."""
        self.processes = []

    def jobids(self, state: Any = _ACTIVE, return_nworkers: bool = False) -> list[Any]:
        """Return the jobs that are in one of the states, oldest first.

        Parameters
        ----------
        state : str, list, default=('PENDING', 'RUNNING')
            States, or 'ALL'.
        return_nworkers : bool, default=False
            Return pairs: job, and its number of workers.
        """
        return []

    def nworkers(self, of: str = 'workers', state: Any = _ACTIVE) -> int:
        """Return the number of workers whose jobs are in one of the states."""
        return len(self.jobids(state=state))

    def cost(self, workers: int = 1) -> float:
        """Return what a number of workers costs; only differences count."""
        return 0.0


def as_states(state: Any) -> frozenset[str]:
    """Return states of jobs, checked.

    Raises
    ------
    ValueError
        For one that is not PENDING, RUNNING or ALL.
    """
    states = frozenset(one.upper() for one in ([state] if isinstance(state, str) else state))
    unknown = sorted(states - {*_ACTIVE, 'ALL'})
    if unknown:
        raise ValueError(f'A job has no state {unknown[0]!r}. Use PENDING, RUNNING or ALL.')
    return states


def adapt(cls: Any) -> None:
    """Make a manager use a class whose nearest method is ``__call__``, not `launch`.

    Parameters
    ----------
    cls : type
        A new provider. It may have ``jobids(state=...)``, ``nworkers(state=...)`` and
        ``kill(*jobids)``, as in the original.
    """
    for base in cls.__mro__:
        if 'launch' in base.__dict__:
            # those of desipipe have both: calling one starts a command, outside of what a manager
            # knows
            return
        if '__call__' in base.__dict__:
            break
    else:
        return
    # What it inherits from a provider of desipipe is about jobs that this one started, not about
    # its own.
    for name in _OF_JOBS:
        setattr(cls, name, BatchJobs.__dict__[name])
    cls.launch, cls.poll, cls.cancel = _launch, _poll, _cancel
    cls.batch = cls.spare_slots_are_free = False


_OF_JOBS = (
    'adopt',
    'settled',
    'unexplained',
    'proven',
    'take_explained',
    'cancelled',
    'trouble',
    'hopeless',
    'pause',
    'hurry',
    'withdraw',
)


def _jobs(provider: Any) -> dict[str, tuple[Job, float]]:
    jobs: dict[str, tuple[Job, float]] = provider.__dict__.setdefault('_launched', {})
    return jobs


def _launch(
    self: Any, argv: list[str], slots: int, environ: BaseEnvironment, log: str, cwd: str
) -> list[Job]:
    """Call the provider with the command of one worker a slot."""
    self.environ = environ
    jobid = f'{self.name}:{os.urandom(4).hex()}'
    self(shlex.join([*argv, '--slots', '1', '--jobid', jobid]), workers=slots)
    job = Job(jobid, slots, 'running')
    _jobs(self)[jobid] = job, time.monotonic()
    return [dataclasses.replace(job)]


def _poll(self: Any) -> list[Job]:
    """Take jobs for ended once nothing is counted any longer."""
    jobs, polled = _jobs(self), []
    count = self.nworkers(state=_ACTIVE)
    if count >= sum(job.slots for job, _ in jobs.values()):
        for jobid, (job, _) in jobs.items():
            jobs[jobid] = job, -math.inf  # It was counted: it need not be waited for.
    for jobid, (job, since) in list(jobs.items()):
        if not count and time.monotonic() - since > START_S:
            job.state = 'ended'
            del jobs[jobid]
        polled.append(dataclasses.replace(job))
    return polled


def _cancel(self: Any, job: Job, force: bool = False) -> None:
    """End all that the provider has started, as it cannot tell one job from another."""
    jobids: Iterable[Any] = self.jobids(state=_ACTIVE)
    self.kill(*(jobid for jobid in jobids if jobid is not None))
