"""The same short tasks through eight one-core jobs, by others.

Each function returns tasks per second, from the beginning to the last result.
"""

from __future__ import annotations

import importlib
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

JOBS = 8
LIMIT = 200  # s that a result may take


class Peer(NamedTuple):
    """Another system."""

    words: str
    distribution: str
    run: Callable[[Path, int], float]


def _short(i: int) -> float:
    import time

    return time.time()


def parsl(folder: Path, tasks: int) -> float:
    """Blocks of one core, all from the start."""
    parsl: Any = importlib.import_module('parsl')
    executors: Any = importlib.import_module('parsl.executors')
    provider: Any = importlib.import_module('parsl.providers').SlurmProvider(
        partition='regular',
        walltime='00:10:00',
        exclusive=False,
        launcher=importlib.import_module('parsl.launchers').SimpleLauncher(),
        worker_init=f'export PATH={os.environ["PATH"]}',
        nodes_per_block=1,
        cores_per_node=1,
        **dict.fromkeys(('init_blocks', 'min_blocks', 'max_blocks'), JOBS),
    )
    executor = executors.HighThroughputExecutor(
        label='slurm',
        address='127.0.0.1',
        max_workers_per_node=1,
        cores_per_worker=1,
        provider=provider,
    )
    config = importlib.import_module('parsl.config').Config(
        executors=[executor], run_dir=str(folder / 'parsl'), strategy='none'
    )
    began = time.time()
    with parsl.load(config):
        app = parsl.python_app(_local())
        for future in [app(i) for i in range(tasks)]:
            future.result(timeout=LIMIT)
        return tasks / (time.time() - began)


def _local() -> Callable[[int], float]:
    # By value: workers that are started elsewhere may not find this module.
    def short(i: int) -> float:
        import time

        return time.time()

    return short


def submitit(folder: Path, tasks: int) -> float:
    """An element of an array a task."""
    executor: Any = importlib.import_module('submitit').AutoExecutor(
        folder / 'submitit', cluster='slurm'
    )
    executor.update_parameters(
        timeout_min=10,
        slurm_partition='regular',
        slurm_array_parallelism=JOBS,
        cpus_per_task=1,
        slurm_mem='150M',
    )
    began = time.time()
    for job in executor.map_array(float, range(tasks)):
        job.result()
    return tasks / (time.time() - began)


def executorlib(folder: Path, tasks: int) -> float:
    """Jobs that stay, one a worker."""
    importlib.import_module('pysqa')  # which it needs for Slurm
    work = folder / 'executorlib'
    work.mkdir()
    kind: Any = importlib.import_module('executorlib').SlurmClusterExecutor
    resources = {'cores': 1, 'cwd': str(work), 'run_time_max': 600, 'partition': 'regular'}
    began = time.time()
    with kind(
        max_workers=JOBS,
        block_allocation=True,
        cache_directory=str(folder / 'executorlib-cache'),
        resource_dict=resources,
    ) as pool:
        for future in [pool.submit(_local(), i) for i in range(tasks)]:
            future.result(timeout=LIMIT)
        return tasks / (time.time() - began)


def dask_jobqueue(folder: Path, tasks: int) -> float:
    """Workers of one process and one core, all from the start."""
    cluster: Any = importlib.import_module('dask_jobqueue').SLURMCluster
    distributed: Any = importlib.import_module('distributed')
    logging.getLogger('distributed').setLevel(logging.CRITICAL)
    where = {'local_directory': str(folder / 'dask'), 'log_directory': str(folder / 'dask')}
    quiet = {
        'scheduler_options': {'dashboard_address': None},
        'worker_extra_args': ['--no-dashboard'],
    }
    began = time.time()
    with cluster(
        queue='regular',
        cores=1,
        processes=1,
        memory='150MB',
        walltime='00:10:00',
        interface='lo',
        **where,
        **quiet,
    ) as jobs:
        with distributed.Client(jobs) as client:
            jobs.scale(jobs=JOBS)
            client.gather(client.map(_short, range(tasks), pure=False))
            return tasks / (time.time() - began)


PEERS = {
    'parsl': Peer('Parsl, HighThroughputExecutor over SlurmProvider', 'parsl', parsl),
    'submitit': Peer('submitit, job arrays (a job for each task)', 'submitit', submitit),
    'executorlib': Peer(
        'executorlib, SlurmClusterExecutor with jobs that stay', 'executorlib[cluster]', executorlib
    ),
    'dask_jobqueue': Peer('dask-jobqueue, SLURMCluster', 'dask-jobqueue', dask_jobqueue),
}
