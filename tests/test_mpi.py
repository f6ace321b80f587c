"""Tasks of several MPI processes, with a real mpiexec."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from desipipe import Queue, TaskManager
from desipipe.errors import TaskFailedError, TaskKilledError

pytestmark = pytest.mark.mpi

PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ['PATH']])  # the mpich of the environment, not another one


@pytest.fixture
def queue(queue_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Queue:
    pytest.importorskip('mpi4py')
    monkeypatch.setenv('PATH', PATH)
    if shutil.which('mpiexec') is None:
        pytest.skip('no mpiexec: pip install "desipipe[mpi]"')
    return Queue('mpi', create=True)


def work(queue: Queue, tm: TaskManager, *options: str) -> None:
    subprocess.run([sys.executable, '-m', 'desipipe', 'work', '-q', queue.folder, '--mid', tm.id, *options], check=True, timeout=120)


def test_communicator(queue: Queue) -> None:
    tm = TaskManager(queue, provider=dict(provider='local', mpiprocs_per_worker=3))

    @tm.python_app
    def gather(i: int, mpicomm: Any = None) -> list[int]:
        print('rank', mpicomm.rank)
        ranks: list[int] = mpicomm.allgather(mpicomm.rank * i)
        return ranks

    futures = gather.map(i=range(4))
    work(queue, tm, '--slots', '2')
    assert [future.result(timeout=0) for future in futures] == [[0, i, 2 * i] for i in range(4)]
    for future in futures:
        assert sorted(letter for letter in future.out() if letter.isdigit()) == ['0', '1', '2']  # words of ranks may mix


def test_a_rank_that_raises_or_dies_fails_its_task_only(queue: Queue) -> None:
    tm = TaskManager(queue, provider=dict(provider='local', mpiprocs_per_worker=2))

    @tm.python_app
    def bad(how: str, mpicomm: Any = None) -> int:
        import os

        if mpicomm.rank == 1 and how == 'raise':
            raise ValueError('rank one is unhappy')
        if mpicomm.rank == 1 and how == 'die':
            os._exit(3)
        mpicomm.Barrier()  # where the others would wait for ever
        size: int = mpicomm.size
        return size

    futures = [bad(how) for how in ('raise', 'none', 'die', 'other')]
    work(queue, tm)
    with pytest.raises(TaskFailedError, match='rank one is unhappy') as caught:
        futures[0].result(timeout=0)
    assert 'in bad' in str(caught.value)
    with pytest.raises(TaskKilledError, match='exit status'):
        futures[2].result(timeout=0)
    assert [futures[i].result(timeout=0) for i in (1, 3)] == [2, 2]


def test_a_launcher_that_gives_single_processes_is_named(queue: Queue) -> None:
    tm = TaskManager(queue, provider=dict(provider='local', mpiprocs_per_worker=2, mpiexec='sh -c "{cmd} & {cmd} & wait"'))

    @tm.python_app
    def size(mpicomm: Any = None) -> int:
        found: int = mpicomm.size
        return found

    future = size()
    work(queue, tm)
    with pytest.raises(TaskFailedError, match='communicator of 1 process instead of 2'):
        future.result(timeout=0)


def test_one_process_gets_a_communicator_too(queue: Queue) -> None:
    tm = TaskManager(queue)

    @tm.python_app
    def size(mpicomm: Any = None) -> int:
        found: int = mpicomm.size
        return found

    future = size()
    work(queue, tm)
    assert future.result(timeout=0) == 1
