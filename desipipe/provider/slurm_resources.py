"""Resources of Slurm jobs: options, nodes, launchers of MPI processes."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any, ClassVar

from .base import BaseProvider
from .batch import BatchProvider
from .slurm_checks import CONVERTED, check_killed, check_text, parse_signal
from .slurm_options import default_clusters
from .slurm_time import parse_time

__all__ = ['SlurmResources']


class SlurmResources(BatchProvider):
    """Options of a provider of Slurm's jobs, and what a number of workers needs."""

    defaults: ClassVar[Mapping[str, Any]] = {
        **BaseProvider.defaults,
        **dict.fromkeys(('account', 'constraint', 'qos')),
        'time': '01:00:00',
        'nodes_per_worker': 1.0,
        'output': None,
        'error': None,
        'mpiexec': 'srun --unbuffered -N {nodes:d} -n {mpiprocs:d} {cmd}',
        'signal': 'SIGTERM@60',
        'killed_at_timeout': None,
        'sqs': None,
        'kwargs': None,
    }
    placeholders = ('nodes', 'mpiprocs', 'cmd')

    account: str | None
    constraint: str | None
    qos: str | None
    time: str
    nodes_per_worker: float
    output: str | None
    error: str | None
    signal: str
    sqs: list[str] | None
    kwargs: dict[str, Any]

    def __init__(self, environ: Any = None, **options: Any) -> None:
        super().__init__(environ, **options)
        self.warning = float(parse_signal(self.signal, 'signal').seconds)

    def check(self, option: str, value: Any) -> Any:
        """Check the options; see :meth:`.Configurable.check`."""
        what = f'{option} of the {self.kind} {self.label}'
        if option in CONVERTED:
            return CONVERTED[option](value, what)
        if option == 'signal':
            parse_signal(value, what)
        elif option == 'killed_at_timeout':
            check_killed(value, what)
        elif option in ('output', 'error') and isinstance(value, os.PathLike):
            value = os.fspath(value)
        elif option != 'stop_after' and value is not None and self.defaults.get(option, '') is None:
            check_text(value, what)
        return super().check(option, value)

    def cluster_names(self) -> tuple[str, ...]:
        """Return the clusters to submit to; none for the one of this machine."""
        text = self.kwargs.get('clusters') or default_clusters()
        return tuple(name.strip() for name in str(text).split(',') if name.strip())

    def nodes(self, workers: int = 1) -> int:
        """Return the number of nodes for ``workers``; larger ones share no node."""
        if self.nodes_per_worker > 1:
            return workers * math.ceil(round(self.nodes_per_worker, 6))
        return math.ceil(round(self.nodes_per_worker * workers, 6))

    def cost(self, workers: int = 1) -> float:
        """Return the cost of a job of a number of workers. Only differences count.

        Workers are put into one job as long as it does not get more expensive.
        """
        return self.nodes(workers)

    def sizes(self, workers: int) -> list[int]:
        """Return how workers are divided into jobs.

        Parameters
        ----------
        workers : int
            Number in all.

        Returns
        -------
        sizes : list of int
            Number of workers of each job, the largest first.
        """
        sizes = []
        while workers > 0:
            best = min(range(workers, 0, -1), key=self.cost)
            # The best of more is the best of fewer too, as long as there are so many.
            sizes += [best] * (workers // best)
            workers %= best
        return sizes

    @property
    def timeout(self) -> float:
        """Time limit of a job, in seconds, and half a minute."""
        return self.walltime + 30.0

    @property
    def walltime(self) -> int:
        """Time limit of a job, in seconds."""
        return parse_time(self.time)

    def mpi_values(self) -> dict[str, int | float]:
        """Values of the placeholders in ``mpiexec``; see :meth:`.BaseProvider.mpi_values`."""
        return {**super().mpi_values(), 'nodes': self.nodes()}

    def split_values(self, splits: int) -> dict[str, int | float]:
        """Return the values for several slots; see :meth:`.BaseProvider.split_values`."""
        return {**super().split_values(splits), 'nodes': self.nodes(splits)}

    def mpi_splits(self, slots: int) -> int:
        """Return all slots where they share nodes; see :meth:`.BaseProvider.mpi_splits`."""
        return slots if self.nodes_per_worker < 1 else 1

    @property
    def remote_ranks(self) -> bool:
        """Return True if MPI processes may run on other nodes.

        See :meth:`.BaseProvider.remote_ranks`.
        """
        return int(os.environ.get('SLURM_JOB_NUM_NODES', '1')) > 1
