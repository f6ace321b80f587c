"""Names that a user may give to Slurm: accounts, partitions and the like."""

from __future__ import annotations

import subprocess

from ..errors import LaunchError
from ..utils import username
from .slurm_commands import run

__all__ = ['choices']


def choices(what: str) -> list[str]:
    """The names that Slurm knows here, for this user.

    Parameters
    ----------
    what : str
        ``'account'``, ``'qos'``, ``'partition'``, ``'constraint'``.

    Returns
    -------
    names : list of str
        Empty where Slurm does not say.
    """
    commands = {
        'account': [
            'sacctmgr',
            '-n',
            '-P',
            'show',
            'assoc',
            f'user={username()}',
            'format=account',
        ],
        'qos': ['sacctmgr', '-n', '-P', 'show', 'assoc', f'user={username()}', 'format=qos'],
        'partition': ['sinfo', '-h', '-o', '%R'],
        'constraint': ['sinfo', '-h', '-o', '%f'],
    }
    if what not in commands:
        return []
    try:
        done = run(commands[what], 10.0)
    except (LaunchError, subprocess.TimeoutExpired):
        return []
    text = (
        {word.strip() for line in done.stdout.splitlines() for word in line.split(',')}
        if done.returncode == 0
        else set()
    )
    return sorted(text - {'', '(null)'})
