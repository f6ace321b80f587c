"""Providers: where workers come from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..utils import BaseClass
from .base import BaseProvider, Job, Provider, get_provider
from .batch_jobs import BatchJobs
from .job import Fate
from .local import LocalProvider

if TYPE_CHECKING:
    from .gridengine import GridEngineProvider
    from .nersc import NERSCProvider
    from .slurm import SlurmProvider
    from .slurm_time import decode_slurm_time

__all__ = [
    'BaseClass',
    'BaseProvider',
    'BatchJobs',
    'Fate',
    'GridEngineProvider',
    'Job',
    'LocalProvider',
    'NERSCProvider',
    'Provider',
    'SlurmProvider',
    'decode_slurm_time',
    'get_provider',
]
_HOME = {
    'GridEngineProvider': 'gridengine',
    'NERSCProvider': 'nersc',
    'SlurmProvider': 'slurm',
    'decode_slurm_time': 'slurm_time',
}

if not TYPE_CHECKING:  # a module's `__getattr__` would hide mistyped names from type checkers

    def __getattr__(name: str) -> object:
        """Import what is of batch systems when it is first asked for."""
        if name not in _HOME:
            raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
        from importlib import import_module

        return getattr(import_module(f'{__name__}.{_HOME[name]}'), name)
