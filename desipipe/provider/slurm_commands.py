"""Commands of Slurm, with the environment that they get."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

from ..utils import username
from . import batch_commands
from .batch_commands import SUBMIT_WAIT
from .slurm_options import command_environ
from .slurm_states import FORMAT

__all__ = ['SUBMIT_WAIT', 'Question', 'in_cluster', 'is_gone', 'run', 'squeue']

_GONE = (
    'invalid job id',
    'already completing',
    'already completed',
    'job_id_invalid',
    'access/permission denied',
)


def is_gone(text: str) -> bool:
    """Return True where scancel says that there is no job to cancel any longer."""
    return any(phrase in text.lower() for phrase in _GONE)


def in_cluster(cluster: str) -> list[str]:
    """Return the options that choose a cluster; empty for the one of this machine."""
    return ['-M', cluster] if cluster else []


def squeue(cluster: str = '') -> list[str]:
    """Return the command line of the one question.

    Parameters
    ----------
    cluster : str, default=''
        Its name; empty for the one of this machine.
    """
    # Without -h: that the titles are there shows that an answer without jobs is one.
    filters = ['-u', username(), '-t', 'all']
    return ['squeue', '--array', *filters, '-o', FORMAT, *in_cluster(cluster)]


class Question(batch_commands.Question):
    """A command of Slurm that runs in the background.

    Parameters
    ----------
    argv : list of str
    then : callable
        For who has started it: called with this, when it is done.
    """

    def __init__(self, argv: list[str], then: Callable[[Question], None]) -> None:
        super().__init__(argv, then, command_environ())


def run(
    argv: list[str], timeout: float, given: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command of Slurm, and wait for it; see :func:`.batch_commands.run`."""
    return batch_commands.run(argv, timeout, given, command_environ())
