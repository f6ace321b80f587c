"""Workers in jobs at NERSC."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from .slurm import SlurmProvider

__all__ = ['NERSCProvider']

PROCESSES = 128  # MPI processes a node, at most
GPUS = 4  # a node
CHARGES = {'premium': 2.0, 'preempt': 0.5, 'overrun': 0.0}
"""Charge factors of qualities of service that are not charged as 'regular' is."""


class NERSCProvider(SlurmProvider):
    """A :class:`.SlurmProvider` with NERSC's node types, queues and accounts.

    A node runs 128 MPI processes at most, which is a lower limit for ``nodes_per_worker``. Where
    the constraint asks for GPUs (``'gpu'``, ``'gpu&hbm80g'``), the account gets its ``_g``, and
    jobs all four GPUs of their nodes.

    Parameters
    ----------
    account : str, default='desi'
        Account that pays.
    constraint : str, default='cpu'
        'cpu' or 'gpu'.
    qos : str, default='regular'
        Quality of service.
    threshold_nodes : int, default=1
        Workers are put into one job as long as it has no more nodes than that.
    **options
        As for :class:`.SlurmProvider`.
    """

    name = 'nersc'
    defaults: ClassVar[Mapping[str, Any]] = {
        **SlurmProvider.defaults,
        'account': 'desi',
        'constraint': 'cpu',
        'qos': 'regular',
        'threshold_nodes': 1,
    }
    threshold_nodes: int
    max_mpiprocs_per_node: ClassVar[int] = PROCESSES

    def __init__(self, environ: Any = None, **options: Any) -> None:
        super().__init__(environ, **options)
        self.nodes_per_worker = max(self.nodes_per_worker, self.mpiprocs_per_worker / PROCESSES)
        if 'gpu' in (self.constraint or ''):  # also gpu&hbm80g, gpu&hbm40g
            if self.account and not self.account.endswith('_g'):
                self.account += '_g'
            self.kwargs = {'gpus-per-node': GPUS, **self.kwargs}

    @property
    def charge_factor(self) -> float:
        """Charge for a node-hour in this quality of service, in node-hours."""
        return CHARGES.get(self.qos or '', 1.0)

    def cost(self, workers: int = 1) -> float:
        """Return a job's cost: the same up to ``threshold_nodes``, then its nodes.

        See :meth:`.SlurmProvider.cost`.
        """
        return max(0, self.nodes(workers) - self.threshold_nodes)
