"""Fixtures: a real Grid Engine, and queues whose workers are its jobs."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from desipipe import Queue

from .cluster import GridEngine, missing

REQUIRE = 'DESIPIPE_REQUIRE_GRIDENGINE'


@pytest.fixture(scope='session')
def cluster() -> Iterator[GridEngine]:
    """Start a machine with eight slots, for all tests."""
    reason = missing()
    if reason:
        if os.environ.get(REQUIRE):
            pytest.fail(f'{REQUIRE} is set, but {reason}', pytrace=False)
        pytest.skip(f'NO GRID ENGINE, so nothing of it was tested: {reason}')
    base = Path(tempfile.mkdtemp(prefix='desipipe-sge-'))
    engine = GridEngine(base)
    try:
        engine.start()
        yield engine
    finally:
        engine.stop()
        shutil.rmtree(base, ignore_errors=True)


@pytest.fixture
def engine(cluster: GridEngine, monkeypatch: pytest.MonkeyPatch) -> Iterator[GridEngine]:
    """The cluster, for this test and the processes that it starts; it is empty before and after."""
    for name, value in cluster.environ.items():
        monkeypatch.setenv(name, value)
    yield cluster
    cluster.clear()


@pytest.fixture
def queue(queue_dir: Path, engine: GridEngine) -> Iterator[Queue]:
    """A queue; its logs are shown when the test fails."""
    queue = Queue('test', create=True)
    yield queue
    for path in (Path(queue.folder).parent / 'manager.log', *Path(queue.folder).glob('*.log')):
        if path.exists():
            print(path.read_text()[-4000:])
    print(engine.log())
