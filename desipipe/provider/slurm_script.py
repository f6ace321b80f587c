"""Scripts of Slurm jobs, with all options of ``sbatch`` in them."""

from __future__ import annotations

import math
import os
import shlex
from collections.abc import Iterator
from typing import Any

from ..environment import BaseEnvironment
from ..errors import LaunchError
from ..utils import mkdir
from .slurm_checks import parse_signal
from .slurm_resources import SlurmResources

__all__ = ['JobScript', 'make_output_folders']

_END_LINES = """\
printf -v desipipe_now '%(%s)T' -1
desipipe_end=${{SLURM_JOB_END_TIME:-0}} desipipe_start=${{SLURM_JOB_START_TIME:-0}}
[[ $desipipe_end =~ ^[0-9]+$ && $desipipe_start =~ ^[0-9]+$ ]] || desipipe_end=0
# These are of the clock of Slurm's controller: that of this node may be another one.
if (( desipipe_start && (desipipe_now < desipipe_start || desipipe_now >= desipipe_end) )); then
    desipipe_end=$((desipipe_now + desipipe_end - desipipe_start))
fi
desipipe_most=$((desipipe_now + {walltime:d}))
if (( desipipe_end <= desipipe_now || (!desipipe_start && desipipe_end > desipipe_most) )); then
    desipipe_end=$desipipe_most
fi
export DESIPIPE_JOB_END=$desipipe_end"""


def make_output_folders(provider: SlurmResources, cwd: str) -> None:
    """Make the folders of what jobs print, relative to where they start.

    Raises
    ------
    LaunchError
        One cannot be made.
    """
    # Slurm takes a job whose folder is not there and lets it fail without a word, since there
    # is no file for one.
    for option in ('output', 'error'):
        folder = os.path.dirname(getattr(provider, option) or '')
        if not folder or '%' in folder or '\\' in folder:
            continue
        path = os.path.join(cwd, folder)
        try:
            mkdir(path)
        except OSError as exc:
            problem = (
                'No job was submitted, because the folder of '
                f'{option}={getattr(provider, option)!r} cannot be made: {exc.strerror}.'
            )
            raise LaunchError(
                f'{problem} The tasks wait. Make it: mkdir -p {shlex.quote(path)}', later=True
            ) from exc


class JobScript:
    """Writer of the scripts of a provider's jobs.

    Parameters
    ----------
    provider : SlurmResources
    name : str
        Of the jobs.
    """

    def __init__(self, provider: SlurmResources, name: str) -> None:
        self._provider = provider
        self._name = name

    def text(
        self, argv: list[str], workers: int, environ: BaseEnvironment, log: str, cwd: str
    ) -> str:
        """Return the script of a job; see :meth:`.SlurmProvider.script`."""
        nodes = self._provider.nodes(workers)
        several = nodes > 1 and self._provider.mpiprocs_per_worker == 1
        command = f'{shlex.join(argv)}{self._copied()} --jobid "$DESIPIPE_JOB" --slots'
        by_hand = f'sbatch {shlex.quote(self._name)}-….sh'
        lines = [
            '#!/bin/bash',
            f'# {workers:d} worker(s) on {nodes:d} node(s), written by desipipe. To start such a '
            f'job by hand: {by_hand}',
            *(
                f'#SBATCH {option}'
                for option in self.sbatch_options(workers, nodes, several, log, cwd)
            ),
            *self._environment(),
            environ.to_launch_script().rstrip('\n'),
            *(self._step(command, workers, nodes) if several else self._batch(command, workers)),
        ]
        return '\n'.join(line for line in lines if line) + '\n'

    def _environment(self) -> Iterator[str]:
        """Yield the lines that set what workers and steps are told."""
        provider = self._provider
        yield from _END_LINES.format(walltime=provider.walltime).splitlines()
        yield (
            'export DESIPIPE_JOB=${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}'
            f'${{SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}}{self._suffix()}'
        )
        # What `--export` asks of sbatch is done when this runs: the steps of the job get all
        # that its environment sets.
        yield 'export SLURM_EXPORT_ENV=ALL'
        if provider.mpiprocs_per_worker > 1 and provider.nodes_per_worker < 1:
            yield 'export SLURM_OVERLAP=1'  # one step after the other died

    def _suffix(self) -> str:
        clusters = self._provider.cluster_names()
        if not clusters:
            return ''
        is_one = len(clusters) == 1 and clusters[0] != 'all'
        return f'@{clusters[0]}' if is_one else '@$SLURM_CLUSTER_NAME'

    def _step(self, command: str, workers: int, nodes: int) -> Iterator[str]:
        """Yield the lines that start one worker a node, in a step.

        The step gets all that the job has on its nodes.
        """
        tasks = min(workers, nodes)
        each = f'{workers // tasks:d}' + (
            f' + (SLURM_PROCID < {workers % tasks:d})' if workers % tasks else ''
        )
        inner = f'exec {command} "$(({each}))"'
        # --mem excludes the first two
        yield 'unset SLURM_MEM_PER_CPU SLURM_MEM_PER_GPU SLURM_MEM_PER_NODE'
        srun = (
            f'srun --export=ALL --nodes={tasks:d} --ntasks={tasks:d} --ntasks-per-node=1 '
            '--mem=0 --cpus-per-task="$SLURM_CPUS_ON_NODE" --mpi=none '
            '--kill-on-bad-exit=0'
        )
        yield f'exec {srun} bash -c {shlex.quote(inner)}'

    def _batch(self, command: str, workers: int) -> Iterator[str]:
        """Yield the line that makes the batch script itself the worker."""
        # `exec`, so that Slurm's signals reach the worker.
        inner = f'exec {command} {workers:d}'
        if self._launches_one():
            inner = f'exec {shlex.join(self._provider.launcher_command(["bash", "-c", inner]))}'
        yield inner

    def _copied(self) -> str:
        """Return the worker's option that copies what tasks print to the job's files."""
        output, error = self._provider.output, self._provider.error
        paths = {'out': output, 'err': error or output}
        streams = [name for name, path in paths.items() if path not in (None, os.devnull)]
        return f' --copy-output {" ".join(streams)}' if streams else ''

    def _launches_one(self) -> bool:
        """True if ``mpiexec`` also starts workers of one process.

        The user's own launcher may be a container, or make them a step.
        """
        provider = self._provider
        is_own = provider.mpiexec != SlurmResources.defaults['mpiexec']
        return provider.mpiprocs_per_worker == 1 and is_own

    def sbatch_options(
        self, workers: int, nodes: int, several: bool, log: str, cwd: str
    ) -> Iterator[str]:
        """Yield the options of ``sbatch``, quoted as a shell needs it.

        Parameters
        ----------
        workers, nodes : int
        several : bool
            True if workers are started in a step, one a node.
        log, cwd : str
            As for :meth:`text`.
        """
        provider = self._provider
        log = log.replace('%', '%%')
        options: dict[str, Any] = {
            'job-name': f'{self._name}.{workers:d}',
            'account': provider.account,
            'constraint': provider.constraint,
            'qos': provider.qos,
            'time': provider.time,
            'nodes': nodes,
            'ntasks-per-node': math.ceil(workers * provider.mpiprocs_per_worker / nodes),
            'signal': self._signal(several),
            'chdir': cwd,
            'output': provider.output or log,
            'error': provider.error or (None if provider.output else log),
            'open-mode': 'append',
            'clusters': ','.join(provider.cluster_names()) or None,
        }
        if {'ntasks', 'ntasks-per-node', 'exclusive'} & provider.kwargs.keys():
            del options['ntasks-per-node']
        for option, value in {**options, **provider.kwargs}.items():
            dashes, equals = ('--', '=') if len(option) > 1 else ('-', ' ')
            if value is True:
                yield dashes + option
            elif value is not None and value is not False:
                yield f'{dashes}{option}{equals}{shlex.quote(str(value))}'

    def _signal(self, several: bool) -> str:
        flags, name, seconds = parse_signal(self._provider.signal, 'signal')
        launcher = shlex.split(self._provider.mpiexec)
        is_step = several or (self._launches_one() and launcher[0] == 'srun')
        if not is_step and 'B' not in flags:
            # the worker is the batch script itself, to which nothing is sent otherwise
            flags += 'B'
        return f'{flags}{":" if flags else ""}{name}@{seconds:d}'
