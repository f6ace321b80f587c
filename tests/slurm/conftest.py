"""Fixtures: a real Slurm, and queues whose workers are its jobs."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from polling import wait_for

from desipipe import Queue

from .cluster import ACCOUNTING, Slurm, missing

REQUIRE = 'DESIPIPE_REQUIRE_SLURM'


@contextmanager
def running(**options: Any) -> Iterator[Slurm]:
    """A cluster, and a folder for it that is gone afterwards."""
    reason = missing(*(ACCOUNTING if options.get('accounting', True) else ()))
    if reason:
        if os.environ.get(REQUIRE):
            pytest.fail(f'{REQUIRE} is set, but {reason}', pytrace=False)
        pytest.skip(f'NO SLURM, so nothing of it was tested: {reason}')
    base = Path(tempfile.mkdtemp(prefix='desipipe-slurm-'))
    slurm = Slurm(base, **options)
    try:
        slurm.start()
        yield slurm
    finally:
        slurm.stop()
        shutil.rmtree(base, ignore_errors=True)


@pytest.fixture(scope='session')
def cluster() -> Iterator[Slurm]:
    """Two nodes of eight processors, with accounting."""
    with running() as slurm:
        yield slurm


@pytest.fixture
def slurm(cluster: Slurm, monkeypatch: pytest.MonkeyPatch) -> Iterator[Slurm]:
    """The cluster, for this test and the processes that it starts; it is empty before and after."""
    for name, value in cluster.environ.items():
        monkeypatch.setenv(name, value)
    yield cluster
    cluster.run('scancel', '-u', 'root')
    wait_for(
        lambda: not cluster.jobs('PENDING,RUNNING,COMPLETING,SUSPENDED'),
        'the cluster is empty',
    )


@pytest.fixture
def queue(queue_dir: Path, slurm: Slurm) -> Iterator[Queue]:
    """A queue that all nodes see; its log is shown when the test fails."""
    queue = Queue('test', create=True)
    yield queue
    log = queue_dir / queue.folder.split('/')[-2] / 'manager.log'
    if log.exists():
        print(log.read_text()[-5000:])
    for path in Path(queue.folder).glob('workers-*.log'):
        print(path.read_text()[-3000:])
    print(slurm.run('sinfo', '-R', '-N'), slurm.log())
