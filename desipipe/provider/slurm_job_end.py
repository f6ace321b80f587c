"""Ends of jobs as their own workers ask for them."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping

from ..errors import LaunchError
from .base import Told
from .job import Fate
from .slurm_commands import run
from .slurm_fates import fate
from .slurm_states import ENDED, SACCT, Row, job_row, number_of, parse_job, parse_sacct

__all__ = ['job_end_at', 'job_end_reason']

# s for accounting to say why a job is being ended: Slurm leaves 30 s, as a rule, until it kills
TELL_WAIT = 3.0
_ASK_WAIT_S = 3.0  # for one answer
# Slurm looks at time limits about every half minute, and may send the signal up to a minute early.
_EARLY_S = 90


def job_end_at() -> float | None:
    """Return when the job of this process reaches its time limit, since the epoch."""
    text = os.environ.get('DESIPIPE_JOB_END') or os.environ.get('SLURM_JOB_END_TIME', '')
    return float(text) if text.isdecimal() else None


def job_end_reason(warning: float) -> Told | None:
    """Ask Slurm why the job of this process was told to end; None if it does not say.

    Parameters
    ----------
    warning : float
        Seconds before the time limit at which Slurm sends its signal.
    """
    # Not SLURM_JOB_ID: that of the last element of an array is the whole array's.
    jobid = number_of(os.environ.get('DESIPIPE_JOB') or os.environ.get('SLURM_JOB_ID', ''))
    if not jobid:
        return None
    try:
        job = parse_job(run(['scontrol', 'show', 'job', '-o', jobid], _ASK_WAIT_S).stdout)
    except (OSError, LaunchError, subprocess.TimeoutExpired):
        job = {}
    row = job_row(jobid, job)
    if row.state in ENDED:
        return Told(*fate(row), 0.0)
    if row.state == 'RUNNING' and row.ends is not None:
        left = row.ends - time.time()
        is_due = left <= warning + _EARLY_S
        return Told(Fate.WALLTIME, 'its job reached its time limit', left) if is_due else None
    if row.state != 'COMPLETING':
        return None
    if _is_put_back(job):
        return Told(Fate.REQUEUED, 'its job was put back into the queue of Slurm (REQUEUED)', 0.0)
    ended = _ended_row(jobid)
    if ended is not None:
        return Told(*fate(ended), 0.0)
    return Told(
        Fate.CANCELLED,
        'its job was cancelled (no accounts of Slurm say by whom, or whether it was preempted)',
        0.0,
    )


def _is_put_back(job: Mapping[str, str]) -> bool:
    n_before = int(os.environ.get('SLURM_RESTART_COUNT', '0'))
    return int(job.get('Restarts', '0')) > n_before


def _ended_row(jobid: str) -> Row | None:
    """Wait for the end of a job in the accounts; None if they do not show it in time.

    Only accounting tells a job that was preempted from one that was cancelled, and it lags.
    """
    deadline = time.monotonic() + TELL_WAIT
    while time.monotonic() < deadline:
        try:
            answer = run(['sacct', '-n', '-X', '-P', '-o', SACCT, '-j', jobid], _ASK_WAIT_S)
        except (OSError, LaunchError, subprocess.TimeoutExpired):
            return None
        ended = parse_sacct(answer.stdout).get(jobid)
        if ended is not None and ended.state in ENDED:
            return ended
        if answer.returncode:
            return None
        time.sleep(0.2)
    return None
