"""Jobs that run a command once per worker, as the original's providers start them."""

from __future__ import annotations

import os
import shlex
import tempfile

from ..environment import Environment
from ..errors import LaunchError
from .slurm_commands import SUBMIT_WAIT, run
from .slurm_refusals import said
from .slurm_resources import SlurmResources
from .slurm_script import make_output_folders
from .slurm_states import parse_submitted

__all__ = ['submit_command']


def submit_command(provider: SlurmResources, cmd: str, workers: int) -> str:
    """Submit a job that runs a command once per worker; return its number.

    Parameters
    ----------
    provider : SlurmResources
    cmd : str
        Command line of a worker, ``desipipe work …``.
    workers : int

    Raises
    ------
    LaunchError
        Slurm did not accept it, and what it said.
    """
    names = ('time', 'account', 'constraint', 'qos', 'output', 'error', 'signal')
    chosen = {name: getattr(provider, name) for name in names}
    options = {'nodes': provider.nodes(workers), **chosen, **provider.kwargs}
    given = [
        f'--{name}' if value is True else f'--{name}={value}'
        for name, value in options.items()
        if value is not None and value is not False
    ]
    lines = [
        '#!/bin/bash',
        Environment(provider.environ).to_launch_script().rstrip('\n'),
        *_steps(provider, cmd, workers),
    ]
    make_output_folders(provider, os.getcwd())
    with tempfile.NamedTemporaryFile('w', prefix='desipipe-', suffix='.sh') as script:
        script.write('\n'.join(lines) + '\n')  # which Slurm copies
        script.flush()
        done = run(['sbatch', '--parsable', *given, script.name], SUBMIT_WAIT)
    jobid = parse_submitted(done.stdout)[0]
    if not jobid:
        raise LaunchError(f'Slurm did not accept a job: {said(done.stderr)}. Nothing was started.')
    return jobid


def _steps(provider: SlurmResources, cmd: str, workers: int) -> list[str]:
    has_mpi = provider.mpiprocs_per_worker != 1
    if provider.nodes_per_worker == int(provider.nodes_per_worker):
        argv = shlex.split(cmd)
        alone = argv if workers == 1 else ['srun', '-N', str(provider.nodes()), '-n', '1', *argv]
        steps = [shlex.join(provider.mpi_command(argv) if has_mpi else alone)] * workers
    elif has_mpi:
        argv = shlex.split(f'{cmd} --mpisplits {workers:d}')
        steps = [shlex.join(provider.mpi_command(argv, workers))]
    else:
        steps = [cmd] * workers
    return [*(f'{step} &' for step in steps), 'wait']
