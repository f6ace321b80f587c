"""Providers written for the original desipipe: they start commands when they are called, and count what runs."""

from __future__ import annotations

import dataclasses
import os
import shlex
import time
from typing import TYPE_CHECKING, Any

from .job import Job

if TYPE_CHECKING:
    from ..environment import BaseEnvironment

START_S = 60.0
"""Seconds for commands that were started to be counted by their provider."""


def adapt(cls: Any) -> None:
    """Give a class that has ``__call__(cmd, workers=1)``, and no `launch`, what a manager asks of a provider.

    Parameters
    ----------
    cls : type
        It may have ``jobids(state=...)``, ``nworkers(state=...)`` and ``kill(*jobids)``, as in the original.
    """
    is_called = any('__call__' in base.__dict__ for base in cls.__mro__)
    if is_called and getattr(cls.launch, '__isabstractmethod__', False):
        cls.launch, cls.poll, cls.cancel = _launch, _poll, _cancel
        for name, method in (('jobids', _jobids), ('nworkers', _nworkers), ('kill', _kill)):
            if not hasattr(cls, name):
                setattr(cls, name, method)


def _jobs(provider: Any) -> dict[str, tuple[Job, float]]:
    jobs: dict[str, tuple[Job, float]] = provider.__dict__.setdefault('_launched', {})
    return jobs


def _launch(self: Any, argv: list[str], slots: int, environ: BaseEnvironment, log: str, cwd: str) -> list[Job]:
    """Call the provider with the command of one worker a slot."""
    self.environ = environ
    jobid = f'{self.name}:{os.urandom(4).hex()}'
    self(shlex.join([*argv, '--slots', '1', '--jobid', jobid]), workers=slots)
    job = Job(jobid, slots, 'running')
    _jobs(self)[jobid] = job, time.monotonic()
    return [dataclasses.replace(job)]


def _poll(self: Any) -> list[Job]:
    """Take jobs for ended once nothing is counted any longer."""
    jobs, found = _jobs(self), []
    count = self.nworkers(state=('PENDING', 'RUNNING'))
    for jobid, (job, since) in list(jobs.items()):
        if not count and time.monotonic() - since > START_S:
            job.state = 'ended'
            del jobs[jobid]
        found.append(dataclasses.replace(job))
    return found


def _cancel(self: Any, job: Job, force: bool = False) -> None:
    """End all that the provider has started: it does not tell which command became which job."""
    self.kill(*self.jobids(state=('PENDING', 'RUNNING')))


def _jobids(self: Any, state: Any = ('PENDING', 'RUNNING'), return_nworkers: bool = False) -> list[Any]:
    """Return nothing: the provider does not tell."""
    return []


def _nworkers(self: Any, of: str = 'workers', state: Any = ('PENDING', 'RUNNING')) -> int:
    """Count the jobs that the provider lists."""
    return len(self.jobids(state=state))


def _kill(self: Any, *jobids: Any) -> None:
    """End nothing: the provider does not tell how."""
