"""HyperQueue's local cluster, one worker with two cores; it keeps no results, so each task
prints its own.
"""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import Session, noop


def _print_noop(i: int) -> None:
    print(noop(i))


@contextlib.contextmanager
def session(folder: Path, kind: str) -> Iterator[Session]:
    """Yield a cluster whose tasks are programs (``echo``) or Python functions."""
    hyperqueue: Any = importlib.import_module('hyperqueue')
    cluster_module: Any = importlib.import_module('hyperqueue.cluster')
    os.chdir(folder)
    jobs = 0
    with hyperqueue.LocalCluster() as cluster:
        cluster.start_worker(cluster_module.WorkerConfig(cores=2))
        client = cluster.client()

        def run(arguments: list[int]) -> list[int]:
            nonlocal jobs
            jobs += 1
            outputs = folder / f'{jobs:d}'
            outputs.mkdir()
            job = hyperqueue.Job()
            for n, i in enumerate(arguments):
                place = {'stdout': str(outputs / f'{n:d}'), 'stderr': None}
                if kind == 'function':
                    job.function(_print_noop, args=(i,), **place)
                else:
                    job.program(['echo', str(i)], **place)
            client.wait_for_jobs([client.submit(job)])
            return [int((outputs / f'{n:d}').read_text()) for n in range(len(arguments))]

        yield Session(bag=lambda n: run(list(range(n))), call=lambda i: run([i])[0])
