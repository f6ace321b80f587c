"""MPI tasks in Slurm jobs, by real srun and mpiexec."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from desipipe import Queue, TaskManager

from .cluster import TIMEOUT, Slurm

pytestmark = [pytest.mark.slurm, pytest.mark.mpi]

BIN = str(Path(sys.executable).parent)
SRUN = 'srun --mpi=pmi2 --unbuffered -N {nodes:d} -n {mpiprocs:d} {cmd}'


@pytest.fixture(autouse=True)
def _mpi(slurm: Slurm, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip('mpi4py')
    monkeypatch.setenv('PATH', os.pathsep.join([BIN, os.environ['PATH']]))
    # The nodes of the tests look like one machine to MPICH, but its processes can't share memory
    # across their process numbers. By default it talks over whatever network interface it finds,
    # and waits for ever where that leads nowhere; UCX can't do with the loopback alone, libfabric
    # can.
    for name, value in {
        'MPIR_CVAR_NOLOCAL': '1',
        'MPIR_CVAR_CH4_NETMOD': 'ofi',
        'FI_PROVIDER': 'tcp',
        'FI_TCP_IFACE': 'lo',
    }.items():
        monkeypatch.setenv(name, value)


def manager(queue: Queue, most: int = 1, **provider: Any) -> TaskManager:
    return TaskManager(
        queue,
        scheduler=dict(max_workers=most),
        provider={'provider': 'slurm', 'time': '10', 'mpiexec': SRUN, **provider},
    )


def gatherer(tm: TaskManager) -> Any:
    @tm.python_app
    def gather(i: int, mpicomm: Any = None) -> tuple[list[int], list[str]]:
        import socket

        print('rank', mpicomm.rank)
        return mpicomm.allgather(mpicomm.rank * i), sorted(
            set(mpicomm.allgather(socket.gethostname()))
        )

    return gather


def test_over_two_nodes(queue: Queue, spawn: Any) -> None:
    tm = manager(queue, nodes_per_worker=2, mpiprocs_per_worker=4)
    futures = gatherer(tm).map(i=range(3))
    spawn(queue)
    assert [future.result(timeout=TIMEOUT) for future in futures] == [
        ([0, i, 2 * i, 3 * i], ['n1', 'n2']) for i in range(3)
    ]
    assert (
        futures[0].out() == 'rank 0\n'
    )  # as with the original, the output of rank 0 is the task's


@pytest.mark.parametrize(
    'mpiexec', [SRUN, 'mpiexec -n {mpiprocs:d} {cmd}'], ids=['srun', 'mpiexec']
)
def test_launcher_runs_several_tasks(
    queue: Queue, slurm: Slurm, spawn: Any, tmp_path: Path, mpiexec: str
) -> None:
    """Four tasks of two processes each at once.

    A rank that dies, or raises, fails its task only, and the others get their results.
    """
    tm = manager(
        queue,
        4,
        nodes_per_worker=0.25,
        mpiprocs_per_worker=2,
        mpiexec=mpiexec,
        kwargs={'mem': 3800},
    )

    @tm.python_app
    def meet(i: int, path: str, mpicomm: Any = None) -> tuple[int, int, str]:
        import os
        import time

        if mpicomm.rank == 0:
            open(f'{path}-{i}', 'w').close()
        deadline = time.monotonic() + 110  # of a loaded machine
        while sum(os.path.exists(f'{path}-{j}') for j in range(4)) < 4:  # all at once
            assert time.monotonic() < deadline
            time.sleep(0.01)
        if i == 1 and mpicomm.rank == 1:
            os._exit(3)
        if i == 2 and mpicomm.rank == 1:
            raise ValueError('rank one is unhappy')
        print(f'task {i} rank {mpicomm.rank}')
        mpicomm.Barrier()
        return i, mpicomm.size, os.environ['DESIPIPE_JOB']

    futures = meet.map(i=range(4), path=str(tmp_path / 'here'))
    spawn(queue)
    good = [futures[i].result(timeout=120) for i in (0, 3)]
    assert [value[:2] for value in good] == [(0, 2), (3, 2)]
    with pytest.raises(Exception, match='rank one is unhappy'):
        futures[2].result(timeout=TIMEOUT)
    with pytest.raises(Exception, match='ended in the middle|exit status'):
        futures[1].result(timeout=TIMEOUT)
    assert futures[3].out() == 'task 3 rank 0\n'


def test_singletons_are_named(queue: Queue, spawn: Any) -> None:
    """Slurm without the plugin that this MPI needs: exit status 0, and each process for itself."""
    tm = manager(
        queue,
        nodes_per_worker=1,
        mpiprocs_per_worker=2,
        mpiexec='srun --mpi=none -N {nodes:d} -n {mpiprocs:d} {cmd}',
    )
    future = gatherer(tm)(1)
    spawn(queue)
    with pytest.raises(Exception, match='communicator of 1 process instead of 2'):
        future.result(timeout=TIMEOUT)


@pytest.mark.parametrize(
    'launcher',
    [['srun', '--mpi=pmi2', '-n', '4', '-N', '2'], ['mpiexec', '-n', '4']],
    ids=['srun', 'mpiexec'],
)
def test_mpisplits_by_hand(queue: Queue, slurm: Slurm, launcher: list[str]) -> None:
    """As with the original: all processes of a launcher call ``desipipe work``, which divides
    them.
    """
    tm = manager(queue, mpiprocs_per_worker=2)
    futures = gatherer(tm).map(i=range(6))
    subprocess.run(
        [
            *launcher,
            sys.executable,
            '-m',
            'desipipe',
            'work',
            '-q',
            queue.folder,
            '--mpisplits',
            '2',
        ],
        check=True,
        timeout=120,
    )
    assert [future.result(timeout=0)[0] for future in futures] == [[0, i] for i in range(6)]
