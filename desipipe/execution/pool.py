"""The workers of one task manager: how many are wanted, and how many there are."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..environment import Environment
from ..provider import Provider
from ..provider.base import Job
from ..queue.events import CauseKind
from ..queue.ledger import Ledger
from ..queue.state import State
from ..scheduler import Scheduler
from .backoff import Backoff

if TYPE_CHECKING:
    from ..queue.process_events import JobLine, JobStage
    from ..queue.task_events import Spec

LOCAL_BACKOFF_S = (0.5, 60.0)  # before the next try of a local worker, doubling
BATCH_BACKOFF_MAX_S = 300.0  # of a batch job; the first is after a time step


class Pool:
    """The workers of one task manager.

    Parameters
    ----------
    mid : str
        Its identity.
    spec : dict
        Its ``mgr`` event: environment, scheduler, provider.
    """

    def __init__(self, mid: str, spec: Spec) -> None:
        self.mid = mid
        self.environ = Environment(spec['environ'])
        self._spec = spec['scheduler']
        self.scheduler = Scheduler(self._spec)
        self.limit: int | None = None
        self.provider = Provider(spec['provider'])
        self.jobs: dict[str, Job] = {}
        self.launched: dict[str, float] = {}
        self.refused = Backoff(*LOCAL_BACKOFF_S)
        """The pauses after launches that failed."""
        self.idle = Backoff(*LOCAL_BACKOFF_S)
        """The pauses after jobs that ended without having taken a task."""
        self.withdrawn: set[str] = set()
        self.past: set[str] = set()
        """Workers of earlier runs of jobs that began again."""
        self.worked = False
        """True once a worker of it began."""
        self.unnoted: dict[str, Job] = {}
        self.explained: list[str] = []
        """Facts the journal has yet to be told: jobs, and submissions of which it is known what
        became of them.
        """

    def set_timestep(self, timestep: float) -> None:
        """Follow the pace of the manager."""
        self.provider.timestep = timestep
        if self.provider.batch:
            first = max(LOCAL_BACKOFF_S[0], timestep)
            self.refused = Backoff(first, BATCH_BACKOFF_MAX_S)
            self.idle = Backoff(first, BATCH_BACKOFF_MAX_S)

    # Jobs

    def launch(self, argv: list[str], slots: int, log: str, cwd: str) -> list[Job]:
        """Start workers by the provider, and keep their jobs.

        Parameters
        ----------
        argv, slots, log, cwd
            As for :meth:`.BaseProvider.launch`.
        """
        jobs = self.provider.launch(argv, slots, self.environ, log, cwd)
        for job in jobs:
            self.jobs[job.jobid] = job
            self.launched[job.jobid] = time.monotonic()
            if self.provider.batch:
                self.unnoted[job.jobid] = job
        return jobs

    def note(self, ledger: Ledger) -> None:
        """Write down what is new of jobs; what can't be written is kept for the next time."""
        self.explained += self.provider.take_explained()
        if self.unnoted or self.explained:
            rows = [job_row(job) for job in self.unnoted.values()]
            ledger.note_jobs(self.mid, rows, self.explained)
            self.unnoted, self.explained = {}, []

    # Wanted

    def resize(self, most: int | None, limit: int | None) -> None:
        """Take the number of tasks at once that a person set, and the manager's own limit."""
        scheduler = Scheduler(self._spec)
        if most is not None and 'max_workers' in scheduler.defaults:
            scheduler = scheduler.updated(max_workers=most)
        self.scheduler, self.limit = scheduler, most if most is not None else limit

    def wanted(self, pending: int, running: int) -> int:
        """Return the number of slots wanted for pending and running tasks."""
        wanted = self.scheduler.wanted(pending, running)
        return wanted if self.limit is None else min(wanted, self.limit)

    def missing(self, pending: int, running: int, have: int) -> int:
        """Return the number of slots to start, given how many there are."""
        if not pending:
            return 0
        wanted = self.wanted(pending, running)
        if wanted > have and self.provider.spare_slots_are_free:
            wanted = self.wanted(sys.maxsize, running)
        return max(0, wanted - have)

    def allowed(self, missing: int, running: int, outstanding: int, now: float) -> int:
        """Return how many of the missing slots may be started now.

        Parameters
        ----------
        missing : int
            Slots to start, if nothing speaks against it.
        running : int
            Tasks that run.
        outstanding : int
            Slots of all jobs that may be there, those that are being cancelled too.
        now : float
            On the monotonic clock.
        """
        if now < max(self.refused.due, self.idle.due):
            return 0
        if not self.provider.batch:
            return missing
        # Whatever the batch system says: there are never more than the scheduler may ever want.
        missing = min(
            missing, self.wanted(sys.maxsize, running) - outstanding - self.provider.unexplained
        )
        if not (self.provider.proven or self.worked):
            missing = 0 if outstanding else min(missing, 1)
        if self.idle.failures and any(
            launched > self.idle.failed_at
            for jobid, launched in self.launched.items()
            if jobid in self.jobs
        ):
            return 0  # one that tries is on its way
        return max(0, min(missing, 1) if self.idle.failures or self.refused.failures else missing)

    # Present

    def present_slots(self, state: State, ended: Mapping[str, int]) -> int:
        """Return how many slots there are, or will be.

        Those of workers at work count, and those of jobs that have not begun.

        Parameters
        ----------
        state : State
        ended : dict
            Slots of the workers that ended, by job.
        """
        gone = Counter[str]()
        present = 0
        for worker in state.alive.values():
            if worker.mid not in (None, self.mid):
                continue
            if worker.stop is not None:
                gone[worker.job] += worker.slots
                present += len(worker.rows)  # what it still runs counts
            elif worker.job not in self.jobs:
                present += worker.slots
        past = Counter[str]()
        for name in self.past & state.workers.keys():
            if state.workers[name].kind != CauseKind.REQUEUED:
                past[state.workers[name].job] += state.workers[name].slots
        for jobid, job in self.jobs.items():
            # The batch system was asked up to a time step ago: a job that waited then may have run
            # its tasks and ended since, as its workers say. Else it would count as one too many,
            # and another one would be withdrawn, and submitted again, at each step.
            if job.state != 'pending' or jobid not in self.withdrawn:
                present += max(0, job.slots - gone[jobid] - ended.get(jobid, 0) + past[jobid])
        return present

    def hidden_slots(self) -> int:
        """Return how many slots are of jobs that are being cancelled, but may be there."""
        return sum(
            job.slots
            for jobid, job in self.jobs.items()
            if jobid in self.withdrawn and job.state == 'pending'
        )


class EndedSlots:
    """The slots of workers that ended, by job; counted anew when one more has."""

    def __init__(self) -> None:
        self._gen, self._n_ended = '', 0
        self._slots: Counter[str] = Counter()

    def by_job(self, state: State, gen: str) -> Mapping[str, int]:
        """Return the slots of the workers that ended.

        Parameters
        ----------
        state : State
        gen : str
            Generation of the journal.
        """
        n_ended = len(state.workers) - len(state.alive)
        if (self._gen, self._n_ended) != (gen, n_ended):
            slots = Counter[str]()
            for worker in state.workers.values():
                # Of a requeued one another comes with the same job.
                if worker.ended is not None and worker.kind != CauseKind.REQUEUED:
                    slots[worker.job] += worker.slots
            self._gen, self._n_ended, self._slots = gen, n_ended, slots
        return self._slots


def job_row(job: Job, state: JobStage | None = None) -> JobLine:
    """Return a job as the journal notes it; ``state``: another than its own."""
    row = job.jobid, job.slots, state or job.state, job.reason, job.node, job.ends
    return (*row, job.cluster) if job.cluster else row
