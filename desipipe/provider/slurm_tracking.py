"""Track the jobs of a provider: submitted, taken over, or found by their name."""

from __future__ import annotations

import dataclasses
import math
import os
import re
import time
from collections.abc import Iterable, Mapping

from .job import Fate, Job
from .slurm_fates import fate
from .slurm_resources import SlurmResources
from .slurm_states import ACTIVE, ENDED, KNOWN, Row, number_of
from .slurm_submissions import Submissions
from .slurm_watch import STEP_MOST, Watch

__all__ = ['JobTracker']

CURIOUS_S = 30.0  # s to look for jobs that a manager before submitted and did not note


class JobTracker:
    """The jobs of a provider, as Slurm shows them.

    Parameters
    ----------
    provider : SlurmResources
        Its clusters, its command that lists jobs, and its time between two questions count.
    """

    def __init__(self, provider: SlurmResources) -> None:
        self._provider = provider
        self.name = f'desipipe-{os.urandom(4).hex()}'
        """Part of the names of all jobs."""
        self.jobs: dict[str, Job] = {}
        """Jobs that have not ended, by identity."""
        self.submissions = Submissions(self.watch_of)
        self._ended: dict[str, int] = {}
        """Slots of the jobs that have ended, or were lost: they may be back."""
        self._waits: dict[str, int] = {}
        """Jobs that ran, and are said to wait: the number of the answer that said so first."""
        self._look_after: float | None = None
        """The jobs that were taken over are not settled before an answer to a question asked
        later than this.
        """
        self._curious_until = -math.inf
        """Until when to ask for jobs that nobody noted, though none is known."""

    # Watches

    def watch_of(self, cluster: str) -> Watch:
        """Return the watch of a cluster, which all providers of this process share."""
        return Watch.of(tuple(self._provider.sqs or ()), cluster)

    def watches(self) -> list[Watch]:
        """Return the watches of all clusters that may have jobs."""
        clusters = [
            *(job.cluster for job in self.jobs.values()),
            *(self._provider.cluster_names() or ('',)),
            *self.submissions.clusters(),
        ]
        return [self.watch_of(cluster) for cluster in dict.fromkeys(clusters)]

    def jobid(self, number: str, cluster: str) -> str:
        """Return the identity of a job: numbers of two clusters may be the same."""
        return f'{number}@{cluster}' if cluster and self._provider.cluster_names() else number

    # Jobs

    def rename(self, name: str) -> None:
        """Set the name of queue and task manager that the jobs' names hold."""
        self.name = re.sub(r'[^\w.+-]', '_', f'desipipe-{name}')

    def adopt(
        self, name: str, jobs: Iterable[Job], look: bool, submissions: Mapping[str, int]
    ) -> None:
        """Take over jobs and find others of that name; see :meth:`.BatchJobs.adopt`."""
        self.rename(name)
        for job in jobs:
            self.jobs[job.jobid] = dataclasses.replace(job)
            self.watch_of(job.cluster).track(number_of(job.jobid), self.name)
        clusters = self._provider.cluster_names() or ('',)
        for each, slots in submissions.items():
            self.submissions.expect(each, slots, self._workers_of(each), clusters)
        if self.jobs:
            self._look_after = time.monotonic()
        if look:
            self._curious_until = time.monotonic() + CURIOUS_S
        self.hurry()

    def track(self, jobs: Iterable[Job], cluster: str) -> None:
        """Track jobs that Slurm has just taken."""
        watch = self.watch_of(cluster)
        for job in jobs:
            self._ended.pop(job.jobid, None)  # a number may come again
            self.jobs[job.jobid] = job
            number = number_of(job.jobid)
            watch.forget(number)
            watch.track(number)
        watch.hurry()

    def cancel(self, job: Job) -> None:
        """Cancel a job in the background."""
        self.watch_of(job.cluster).cancel(number_of(job.jobid))

    # What is known

    @property
    def cancelled(self) -> bool:
        """True once Slurm knows what is to be cancelled."""
        return all(watch.cancelled for watch in self.watches())

    @property
    def settled(self) -> bool:
        """True once Slurm has told what jobs there are."""
        if self._look_after is not None or not all(watch.tried for watch in self.watches()):
            return False
        return self.submissions.is_silence()

    @property
    def unexplained(self) -> int:
        """Slots of submissions that Slurm may or may not have accepted."""
        return self.submissions.slots

    def take_explained(self) -> list[str]:
        """Return submissions of known fate."""
        return self.submissions.take_explained()

    @property
    def proven(self) -> bool:
        """True once Slurm has shown any job."""
        return any(watch.answers for watch in self.watches())

    @property
    def trouble(self) -> str:
        """Reason that Slurm does not answer; empty if it does."""
        return next((watch.trouble for watch in self.watches() if watch.trouble), '')

    def _is_idle(self) -> bool:
        return (
            not self.jobs
            and not self.submissions
            and self.settled
            and self.cancelled
            and time.monotonic() >= self._curious_until
        )

    # Asking

    @property
    def pause(self) -> float:
        """Seconds until the next look makes sense."""
        if self._is_idle():
            return STEP_MOST
        return min(watch.pause(self._provider.timestep) for watch in self.watches())

    def hurry(self) -> None:
        """Ask as soon as it is allowed."""
        for watch in self.watches():
            watch.hurry()

    def poll(self) -> list[Job]:
        """Return the jobs, each that has ended once; see :meth:`.BaseProvider.poll`."""
        if self._is_idle():
            return []
        watches = {watch.cluster: watch for watch in self.watches()}
        for watch in watches.values():
            watch.look(self._provider.timestep)
        if self._look_after is not None and (
            not self.jobs or all(watch.answered > self._look_after for watch in watches.values())
        ):
            self._look_after = None
        self.submissions.resolve(watches, self._take)
        for watch in watches.values():
            self._find(watch)
        return [self._look_at(job) for job in list(self.jobs.values())]

    def _look_at(self, job: Job) -> Job:
        """Update a job, forget it if it has ended, and return a copy."""
        watch, number = self.watch_of(job.cluster), number_of(job.jobid)
        row = watch.rows.get(number)
        if row is not None:
            self._update(job, row, watch)
        if job.state == 'ended' or watch.is_lost(number):
            if job.state != 'ended':
                job.state, job.reason = 'ended', 'Slurm no longer knows it'
            del self.jobs[job.jobid]
            self._ended[job.jobid] = job.slots
            watch.forget(number)
        return dataclasses.replace(job)

    def _take(self, row: Row, cluster: str, workers: int) -> None:
        jobid = self.jobid(row.jobid, cluster)
        if jobid in self.jobs or (jobid in self._ended and row.state in ENDED):
            return
        slots = self._ended.pop(jobid, workers)
        self.jobs[jobid] = Job(jobid, slots, 'pending', cluster=cluster)
        watch = self.watch_of(cluster)
        watch.track(row.jobid, self.name)
        if row.name:
            watch.rows[row.jobid] = row

    def _find(self, watch: Watch) -> None:
        # Jobs of ours that nobody noted: of a manager that died between sbatch and its note; and
        # those that were lost, and show again.
        for row in list(watch.rows.values()):
            is_known = self.jobid(row.jobid, watch.cluster) in self._ended
            if row.state in KNOWN - ENDED and (
                f'{self.name}.' in row.name or (is_known and not row.name)
            ):
                self._take(row, watch.cluster, self._workers_of(row.name))

    def _workers_of(self, name: str) -> int:
        text = name.rpartition(f'{self.name}.')[2].partition('.')[0]
        return int(text) if text.isdecimal() and text.isascii() and 0 < int(text) < 1_000_000 else 1

    def _update(self, job: Job, row: Row, watch: Watch) -> None:
        if row.state not in KNOWN:
            return
        job.node, job.ends = row.node, row.ends
        if row.state in ENDED:
            if not watch.is_known(row.jobid):
                return  # how it ended is asked for
            began = job.state == 'running' or bool(row.node)
            job.state, job.exitcode = 'ended', row.exitcode
            job.fate, job.reason = fate(row, began)
        elif row.state in ACTIVE:
            self._waits.pop(job.jobid, None)
            job.state, job.reason = 'running', row.state.lower() if row.state != 'RUNNING' else ''
        elif job.state != 'running' or self._is_put_back(job, row, watch):
            job.fate = Fate.REQUEUED if job.state == 'running' else job.fate
            job.state, job.reason = (
                'pending',
                row.reason or (row.state if row.state != 'PENDING' else ''),
            )

    def _is_put_back(self, job: Job, row: Row, watch: Watch) -> bool:
        # What it ran begins again then, so one answer, which may be older than another, is not
        # enough.
        first = self._waits.setdefault(job.jobid, watch.answers)
        if watch.answers <= first and not row.state.startswith('REQUEUE'):
            watch.hurry()
            return False
        del self._waits[job.jobid]
        return True
