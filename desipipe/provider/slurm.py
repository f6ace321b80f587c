"""Workers in Slurm jobs."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from .base import Job, Told
from .original import as_states
from .slurm_commands import SUBMIT_WAIT, run
from .slurm_fates import hopeless
from .slurm_job_end import job_end_at, job_end_reason
from .slurm_states import ACTIVE, ENDED, number_of
from .slurm_submitter import SlurmSubmitter
from .slurm_withdrawal import Withdrawal, shown_jobs

__all__ = ['SlurmProvider']


class SlurmProvider(SlurmSubmitter):
    """Workers in jobs of Slurm: one worker process a node, serving the node's slots.

    Parameters
    ----------
    account : str, default=None
        Account that pays; None: the user's default.
    constraint : str, default=None
        Features that nodes must have, such as 'cpu' or 'gpu'.
    qos : str, default=None
        Quality of service, such as 'regular' or 'debug'.
    time : str, default='01:00:00'
        Time limit of a job, as Slurm writes it: ``'30'`` (minutes), ``'1:30:00'``,
        ``'1-12:00:00'``.
    nodes_per_worker : float, default=1
        Number of nodes for each task that runs; below 1, tasks share a node; above, rounded up.
    mpiprocs_per_worker : int, default=1
        Number of MPI processes that run a task together.
    output, error : str, default=None
        Files for what jobs and their tasks print, with Slurm's ``%`` patterns:
        ``'slurm-%j.out'``, to follow with ``tail -f``. Without ``error`` both streams go to
        ``output``. What a task prints comes at once, up to the ``output_limit`` of the
        configuration. Where a job runs several tasks at once these are whole lines, which begin
        with the number of the slot. None: the workers' log in the queue's folder, without what
        tasks print. The queue keeps that anyway.
    mpiexec : str, default='srun --unbuffered -N {nodes:d} -n {mpiprocs:d} {cmd}'
        Launcher of several MPI processes, see :class:`.BaseProvider`; ``{nodes:d}`` is
        their number of nodes. Another one than this also starts workers of one process: with
        ``'srun -N {nodes:d} -n {mpiprocs:d} {cmd}'`` they are a step of the job, and have
        ``SLURM_STEP_…`` in their environment.
    signal : str, default='SIGTERM@60'
        Signal that Slurm sends to workers, and how many seconds before the time limit. From then on
        nothing begins that may take longer, and running tasks are told by SIGUSR1.
    killed_at_timeout : bool, default=None
        True if what runs at the time limit is KILLED, False if it begins again in another job.
        None: KILLED if it was the first of its slot, as more time than that it will not get.
    stop_after : int, default=None
        Number of tasks after which a slot ends.
    sqs : str, list of str, default=None
        Command that lists jobs instead of ``squeue``, with identity and state as the first words of
        each line; for clusters that ask for it.
    kwargs : dict or str, default=None
        Further options of ``sbatch``: ``{'cpus-per-task': 2, 'exclusive': True}``, or
        ``'cpus-per-task=2,exclusive'``.
    """

    name = 'slurm'

    # As in the original: by calling it

    @classmethod
    def jobid(cls) -> str:
        """Return the job that this process is part of; empty outside of jobs."""
        return os.environ.get('SLURM_JOB_ID', '')

    @classmethod
    def kill(cls, *jobids: Any) -> None:
        """Cancel jobs."""
        if jobids:
            run(['scancel', *map(str, jobids)], SUBMIT_WAIT)

    def jobids(
        self, state: Any = ('PENDING', 'RUNNING'), return_nworkers: bool = False
    ) -> list[Any]:
        """Return the jobs in one of the states, oldest first.

        See :meth:`.OriginalInterface.jobids`.
        """
        states = as_states(state)
        jobs = {job.jobid: job.slots for job in self._tracker.jobs.values()} | {
            str(one[0]): one[2] for one in self.processes
        }
        if 'ALL' not in states and jobs:
            rows = shown_jobs('') or {}
            state_of = {
                number_of(jobid): row.state for jobid, row in rows.items() if row.state not in ENDED
            }
            active = {
                jobid: 'RUNNING' if state_of[number_of(jobid)] in ACTIVE else 'PENDING'
                for jobid in jobs
                if number_of(jobid) in state_of
            }
            jobs = {jobid: slots for jobid, slots in jobs.items() if active.get(jobid) in states}
        return list(jobs.items()) if return_nworkers else list(jobs)

    def nworkers(self, of: str = 'workers', state: Any = ('PENDING', 'RUNNING')) -> int:
        """Return the number of workers, or with ``of='nodes'`` of nodes, in these states."""
        jobs = self.jobids(state=state, return_nworkers=True)
        return sum(workers if of == 'workers' else self.nodes(workers) for _, workers in jobs)

    # Looking

    def hopeless(self, job: Job) -> str:
        """Return what to do about a job that will never start.

        See :meth:`.BatchJobs.hopeless`.
        """
        return hopeless(job.reason)

    def hurry(self) -> None:
        """Ask as soon as it is allowed; see :meth:`.BatchJobs.hurry`."""
        self._tracker.hurry()

    def withdraw(
        self, name: str, jobs: Iterable[Job], submissions: Iterable[str] = ()
    ) -> list[str]:
        """Cancel jobs that nobody manages; see :meth:`.BatchJobs.withdraw`."""
        if name:
            self.adopt(name)
        else:
            self._tracker.name = ''
        names = list(submissions)
        by_cluster: dict[str, list[str]] = {}
        for cluster in [*(self.cluster_names() or ('',))] if names else []:
            by_cluster[cluster] = []
        for job in jobs:
            by_cluster.setdefault(job.cluster, []).append(number_of(job.jobid))
        withdrawal = Withdrawal(self._tracker.name, names, self.timestep)
        return [
            self._tracker.jobid(number, cluster)
            for cluster, numbers in by_cluster.items()
            for number in withdrawal.cancel(cluster, numbers)
        ]

    # In a worker

    def ends_at(self) -> float | None:
        """Return when this job reaches its time limit; see :meth:`.BaseProvider.ends_at`."""
        return job_end_at()

    def told_to_end(self) -> Told | None:
        """Ask Slurm why this job was told to end; see :meth:`.BaseProvider.told_to_end`."""
        return job_end_reason(self.warning)


SlurmProvider._defaults = {**SlurmProvider.defaults, 'qos': 'regular'}  # for own ones of 1.0
