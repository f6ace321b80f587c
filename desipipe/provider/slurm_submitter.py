"""Submit jobs to Slurm, and make sense of what ``sbatch`` says."""

from __future__ import annotations

import dataclasses
import os
import shlex
import subprocess
from itertools import groupby
from typing import Any

from ..environment import BaseEnvironment
from ..errors import LaunchError
from .base import Job
from .script_file import save_script
from .slurm_call import submit_command
from .slurm_choices import choices
from .slurm_commands import SUBMIT_WAIT, run
from .slurm_options import ignored_variable
from .slurm_refusals import is_doubtful, refusal, said
from .slurm_resources import SlurmResources
from .slurm_script import JobScript, make_output_folders
from .slurm_states import parse_submitted
from .slurm_tracking import JobTracker

__all__ = ['SlurmSubmitter']

ARRAY_MOST = 1000  # elements; below the usual MaxArraySize


class SlurmSubmitter(SlurmResources):
    """A provider's way to submit jobs to Slurm, and to read their numbers."""

    _tracker: JobTracker

    def __init__(self, environ: Any = None, **options: Any) -> None:
        super().__init__(environ, **options)
        self._tracker = JobTracker(self)

    def __call__(self, cmd: str, workers: int = 1) -> None:
        """Submit a job that runs a command once per worker; add it to :attr:`processes`.

        Parameters
        ----------
        cmd : str
            Command line of a worker, ``desipipe work …``.
        workers : int, default=1

        Raises
        ------
        LaunchError
            Slurm did not accept it, and what it said.
        """
        self.processes.append((submit_command(self, cmd, workers), self.nodes(workers), workers))

    def launch(
        self, argv: list[str], slots: int, environ: BaseEnvironment, log: str, cwd: str
    ) -> list[Job]:
        """Submit jobs; see :meth:`.BaseProvider.launch`. What is alike is one array.

        Raises
        ------
        LaunchError
            Slurm accepted nothing, and what it said. If it accepted a part, that part is returned.
        """
        self._prepare_launch(slots, log, cwd)
        make_output_folders(self, cwd)
        jobs: list[Job] = []
        try:
            for size, same in groupby(self.sizes(slots)):
                text = self.script(argv, size, environ, log, cwd)
                script = save_script(text, os.path.dirname(log), self._tracker.name)
                left = len(list(same))
                while left:
                    some = self._submit(script, left, size)
                    jobs += some
                    left -= len(some)
        except LaunchError:
            if not jobs:
                raise
        return [dataclasses.replace(job) for job in jobs]

    def script(
        self, argv: list[str], workers: int, environ: BaseEnvironment, log: str, cwd: str
    ) -> str:
        """The script of a job.

        Parameters
        ----------
        argv, environ, log, cwd
            As for :meth:`launch`.
        workers : int
            Number of them in this job.

        Returns
        -------
        text : str
            A bash script with all options of ``sbatch`` in it.
        """
        return self._job_script().text(argv, workers, environ, log, cwd)

    def _job_script(self) -> JobScript:
        return JobScript(self, self._tracker.name)

    def objection(self) -> str:
        """Return Slurm's objection to a job of one worker, without submitting anything.

        Returns
        -------
        words : str
            Empty if it would take it.

        Raises
        ------
        LaunchError
            There is no ``sbatch`` here.
        """
        lines = self._job_script().sbatch_options(1, self.nodes(), False, os.devnull, '/')
        options = ''.join(f'#SBATCH {option}\n' for option in lines)
        try:
            done = run(['sbatch', '--test-only'], SUBMIT_WAIT, f'#!/bin/sh\n{options}true\n')
        except subprocess.TimeoutExpired:
            return f'sbatch did not come back within {SUBMIT_WAIT:g} s'
        if done.returncode == 0:
            return ''
        reason = said(done.stderr)
        why = refusal(reason)
        if why in ('away', 'limit'):
            return f'Slurm does not answer now, or takes no more: {reason}'
        return _explained(self, why, reason)

    def _submit(self, script: str, count: int, workers: int) -> list[Job]:
        """Submit jobs that are alike, as one array; return those that Slurm took.

        Parameters
        ----------
        script : str
            Path of their script.
        count : int
            Number of jobs to submit, at most.
        workers : int
            Workers of each.

        Raises
        ------
        LaunchError
            Slurm accepted none, or it is not known.
        """
        count = min(count, ARRAY_MOST)
        while True:
            # A name that no other submission has: by it Slurm can be asked whether it took the job.
            name = f'{self._tracker.name}.{workers:d}.{os.urandom(4).hex()}'
            self.note_submission(name, count * workers)
            done = self._run(name, script, count, workers)
            clusters = self.cluster_names()
            jobid, cluster = parse_submitted(done.stdout)
            if jobid and (cluster or len(clusters) <= 1):
                break
            reason = said(done.stderr)
            if done.returncode <= 0 or not reason or is_doubtful(reason):
                text = (
                    reason
                    or done.stdout.strip()[-200:]
                    or f'nothing (exit status {done.returncode:d})'
                )
                raise self._doubt(name, count, workers, f'sbatch said {text!r}')
            self._tracker.submissions.explain(name)
            why = refusal(reason)
            if count > 1 and why in ('array', 'limit'):
                count //= 2  # fewer may be allowed
                continue
            raise self._refused(why, reason, script)
        self._tracker.submissions.explain(name)
        return self._jobs(jobid, cluster or ''.join(clusters), count, workers)

    def _jobs(self, number: str, cluster: str, count: int, workers: int) -> list[Job]:
        """Return the jobs of a submission that Slurm took; more than one are an array."""
        numbers = [f'{number}_{i:d}' for i in range(count)] if count > 1 else [number]
        jobids = [self._tracker.jobid(each, cluster) for each in numbers]
        jobs = [Job(jobid, workers, 'pending', cluster=cluster) for jobid in jobids]
        self._tracker.track(jobs, cluster)
        return jobs

    def _run(
        self, name: str, script: str, count: int, workers: int
    ) -> subprocess.CompletedProcess[str]:
        array = [f'--array=0-{count - 1:d}'] if count > 1 else []
        argv = ['sbatch', '--parsable', *array, f'--job-name={name}', script]
        try:
            return run(argv, SUBMIT_WAIT)
        except subprocess.TimeoutExpired:
            text = f'sbatch did not come back within {SUBMIT_WAIT:g} s'
            raise self._doubt(name, count, workers, text) from None
        except LaunchError:
            self._tracker.submissions.explain(name)  # nothing was started
            raise

    def _doubt(self, name: str, count: int, workers: int, text: str) -> LaunchError:
        clusters = self.cluster_names() or ('',)
        self._tracker.submissions.expect(name, count * workers, workers, clusters)
        return LaunchError(
            f'{text}. The job may have been submitted all the same: it is looked for by its name '
            'before another one is submitted, and the tasks wait.',
            later=True,
        )

    def _refused(self, why: str, reason: str, script: str) -> LaunchError:
        if why in ('array', 'limit', 'away'):
            return LaunchError(
                f'Slurm did not accept a job now: {reason}. The tasks wait. Trying again.',
                later=True,
            )
        return LaunchError(
            f'{_explained(self, why, reason)}. The tasks wait; add them again with '
            f'other options of the provider, or try: sbatch {shlex.quote(script)}'
        )


def _explained(provider: SlurmResources, why: str, reason: str) -> str:
    value = getattr(provider, why, None) or provider.kwargs.get(why)
    subject = f'{why} {value!r}' if value else 'the job'
    valid = choices(why)
    hint = f'; here it may be: {", ".join(valid)}' if valid else ''
    if not value and (variable := ignored_variable(why)):
        hint += f'; {variable} of the shell does not count, give {why}= to the provider'
    return f'Slurm refused {subject}: {reason}{hint}'
