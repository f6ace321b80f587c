"""Submit jobs to Slurm, and make sense of what ``sbatch`` says."""

from __future__ import annotations

import os
import shlex
import subprocess

from ..errors import LaunchError
from .base import Job
from .slurm_choices import choices
from .slurm_commands import SUBMIT_WAIT, run
from .slurm_options import ignored_variable
from .slurm_refusals import is_doubtful, refusal, said
from .slurm_resources import SlurmResources
from .slurm_script import JobScript
from .slurm_states import parse_submitted
from .slurm_tracking import JobTracker

__all__ = ['Submitter', 'objection']

ARRAY_MOST = 1000  # elements; below the usual MaxArraySize


class Submitter:
    """Submitter of the jobs of a provider.

    Parameters
    ----------
    provider : SlurmResources
    tracker : JobTracker
        Gets the jobs.
    """

    def __init__(self, provider: SlurmResources, tracker: JobTracker) -> None:
        self._provider = provider
        self._tracker = tracker

    def submit(self, script: str, count: int, workers: int) -> list[Job]:
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
            self._provider.note_submission(name, count * workers)
            done = self._run(name, script, count, workers)
            clusters = self._provider.cluster_names()
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
        return self._tracker.add(jobid, cluster or ''.join(clusters), count, workers)

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
        clusters = self._provider.cluster_names() or ('',)
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
            f'{_explained(self._provider, why, reason)}. The tasks wait; add them again with '
            f'other options of the provider, or try: sbatch {shlex.quote(script)}'
        )


def objection(provider: SlurmResources, script: JobScript) -> str:
    """Return Slurm's objection to a job of one worker; empty if it would take it.

    Parameters
    ----------
    provider : SlurmResources
    script : JobScript
        Its options count.
    """
    lines = script.sbatch_options(1, provider.nodes(), False, os.devnull, '/')
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
    return _explained(provider, why, reason)


def _explained(provider: SlurmResources, why: str, reason: str) -> str:
    value = getattr(provider, why, None) or provider.kwargs.get(why)
    subject = f'{why} {value!r}' if value else 'the job'
    valid = choices(why)
    hint = f'; here it may be: {", ".join(valid)}' if valid else ''
    if not value and (variable := ignored_variable(why)):
        hint += f'; {variable} of the shell does not count, give {why}= to the provider'
    return f'Slurm refused {subject}: {reason}{hint}'
