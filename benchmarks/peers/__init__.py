"""The systems that desipipe is compared with: one small file each.

A system's file has ``session(folder)``, a context manager that starts two workers and yields a
`Session`. The files are loaded only in the child process that measures them, so that a system that
is not installed costs nothing but its row.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

__all__ = ['DESIPIPE', 'SYSTEMS', 'Session', 'System', 'noop']


def noop(i: int) -> int:
    """Return ``i``: the task of the bag."""
    return i


@dataclasses.dataclass(frozen=True)
class Session:
    """A running system with two workers.

    Parameters
    ----------
    bag : callable
        ``bag(n)`` hands in ``noop(0) … noop(n-1)`` the fastest way that gives every task a result
        of its own, and returns all results.
    call : callable, optional
        ``call(i)`` hands in ``noop(i)`` and waits for its result; None where the system has no such
        thing.
    """

    bag: Callable[[int], list[int]]
    call: Callable[[int], int] | None = None


@dataclasses.dataclass(frozen=True)
class System:
    """A row of the comparison.

    Parameters
    ----------
    name : str
        Name on the command line and in the JSON file.
    module : str
        Module below ``benchmarks`` that has ``session``.
    distribution : str
        What to install; empty for the standard library.
    tasks : int
        Tasks of the bag: fewer for slow systems, the rate is what is compared.
    durable : bool
        Tasks and results are kept on disk, and outlive every process.
    note : str
        How it is used.
    options : tuple of str
        More arguments of ``session``.
    """

    name: str
    module: str
    distribution: str
    tasks: int
    durable: bool = False
    note: str = ''
    options: tuple[str, ...] = ()


DESIPIPE = System(
    'desipipe',
    'engine.bag',
    'desipipe',
    20_000,
    durable=True,
    note='app.map, one worker with two slots',
)

SYSTEMS = (
    DESIPIPE,
    System(
        'concurrent.futures', 'peers.process_pool', '', 20_000, note='ProcessPoolExecutor(2).submit'
    ),
    System(
        'joblib',
        'peers.joblib',
        'joblib',
        20_000,
        note='Parallel(2), batches by itself; a list of results, no futures',
    ),
    System(
        'executorlib',
        'peers.executorlib',
        'executorlib',
        3_000,
        note='SingleNodeExecutor(2, block_allocation)',
    ),
    System(
        'huey-sqlite',
        'peers.huey',
        'huey',
        2_000,
        durable=True,
        note='SqliteHuey, consumer with two processes',
        options=('sqlite',),
    ),
    System(
        'huey-file',
        'peers.huey',
        'huey',
        2_000,
        durable=True,
        note='FileHuey, consumer with two processes',
        options=('file',),
    ),
    System(
        'dask', 'peers.dask', 'distributed', 3_000, note='LocalCluster, two processes, Client.map'
    ),
    System('parsl', 'peers.parsl', 'parsl', 3_000, note='HighThroughputExecutor, two workers'),
    System(
        'ipyparallel',
        'peers.ipyparallel',
        'ipyparallel',
        1_500,
        note='load-balanced view, two engines',
    ),
    System(
        'hyperqueue',
        'peers.hyperqueue',
        'hyperqueue',
        1_000,
        note='LocalCluster, one worker with two cores, programs: echo',
        options=('program',),
    ),
    System(
        'hyperqueue-python',
        'peers.hyperqueue',
        'hyperqueue',
        200,
        note='the same, Python functions',
        options=('function',),
    ),
    System(
        'jug',
        'peers.jug',
        'Jug',
        1_000,
        durable=True,
        note='two jug execute, file store; their start is part of it',
    ),
)
