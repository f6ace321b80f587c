"""Cancel jobs of Slurm that nobody manages, and wait until it is done."""

from __future__ import annotations

import shlex
import subprocess
import time
from collections.abc import Sequence

from ..errors import LaunchError
from ..utils import username
from .slurm_commands import SUBMIT_WAIT, in_cluster, is_gone, run, squeue
from .slurm_states import ENDED, Row, has_header, parse_squeue

__all__ = ['Withdrawal', 'shown_jobs']

WITHDRAW_TRIES = 3  # of scancel, until it is said that Slurm did not do it


def shown_jobs(cluster: str) -> dict[str, Row] | None:
    """Ask Slurm once for the user's jobs; return None if the answer can't be believed."""
    try:
        done = run(squeue(cluster), SUBMIT_WAIT)
    except (LaunchError, subprocess.TimeoutExpired):
        return None
    rows = parse_squeue(done.stdout)
    return rows if done.returncode == 0 and (rows or has_header(done.stdout)) else None


class Withdrawal:
    """Withdrawal of jobs of which one cluster may have some.

    Parameters
    ----------
    name : str
        Part of the jobs' names; empty for jobs of any name.
    submissions : sequence of str
        Names of submissions of which nobody knows whether Slurm took them.
    timestep : float
        Seconds between two tries, at most.
    """

    def __init__(self, name: str, submissions: Sequence[str], timestep: float) -> None:
        self._name = name
        self._submissions = submissions
        self._timestep = timestep

    def cancel(self, cluster: str, numbers: list[str]) -> list[str]:
        """Cancel the jobs of a cluster; return the numbers of those that were there."""
        rows = shown_jobs(cluster)
        here = [each for each in numbers if rows is None or self._is_ours(rows.get(each))]
        here += [
            row.jobid
            for row in (rows or {}).values()
            if row.jobid not in here
            and row.state not in ENDED
            and any(name in row.name for name in self._submissions)
        ]
        where = in_cluster(cluster)
        if self._submissions and rows is None:
            names = [f'--name={name}' for name in self._submissions]
            self._scancel([*where, '-u', username(), *names])
        if here:
            self._scancel([*where, *here])
        return here

    def _is_ours(self, row: Row | None) -> bool:
        # One that Slurm does not show has ended, if it shows others; one with another name has
        # only the number of ours.
        return (
            row is not None and row.state not in ENDED and (not row.name or self._name in row.name)
        )

    def _scancel(self, arguments: list[str]) -> None:
        reason = ''
        for tries in range(WITHDRAW_TRIES):
            if tries:
                time.sleep(min(2.0, self._timestep))
            try:
                done = run(['scancel', *arguments], SUBMIT_WAIT)
            except subprocess.TimeoutExpired:
                reason = f'scancel did not come back within {SUBMIT_WAIT:g} s'
                continue
            reason = ' '.join(done.stderr.split())
            if done.returncode == 0 or is_gone(reason):
                return
        raise LaunchError(
            f'Slurm did not cancel jobs: {reason}. They wait, or run, until it does. Try: scancel '
            f'{shlex.join(arguments)}'
        )
