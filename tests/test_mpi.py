"""Tasks of several MPI processes, with a real mpiexec."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import desipipe
from desipipe import FileManager, Queue, TaskManager
from desipipe.errors import LaunchError, TaskFailedError, TaskKilledError
from desipipe.file_manager import BaseFileEntry
from desipipe.file_manager.history import file_summaries

pytestmark = pytest.mark.mpi

PATH = os.pathsep.join(
    [str(Path(sys.executable).parent), os.environ['PATH']]
)  # the mpich of the environment, not another one


@pytest.fixture
def queue(queue_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Queue:
    pytest.importorskip('mpi4py')
    monkeypatch.setenv('PATH', PATH)
    if shutil.which('mpiexec') is None:
        pytest.skip('no mpiexec: pip install "desipipe[mpi]"')
    return Queue('mpi', create=True)


def work(queue: Queue, tm: TaskManager, *options: str) -> str:
    argv = [sys.executable, '-m', 'desipipe', 'work', '-q', queue.folder, '--mid', tm.id, *options]
    return subprocess.run(argv, check=True, timeout=120, stderr=subprocess.PIPE, text=True).stderr


def test_communicator(queue: Queue) -> None:
    tm = TaskManager(queue, provider=dict(provider='local', mpiprocs_per_worker=3))

    @tm.python_app
    def gather(i: int, mpicomm: Any = None) -> list[int]:
        print('rank', mpicomm.rank)
        ranks: list[int] = mpicomm.allgather(mpicomm.rank * i)
        return ranks

    futures = gather.map(i=range(4))
    log = work(queue, tm, '--slots', '2')
    assert [future.result(timeout=0) for future in futures] == [[0, i, 2 * i] for i in range(4)]
    assert [future.out() for future in futures] == 4 * ['rank 0\n']
    assert sorted(line for line in log.splitlines() if line.startswith('rank ')) == [
        *4 * ['rank 1: rank 1'],
        *4 * ['rank 2: rank 2'],
    ]


def test_rank_that_raises_or_dies_fails_its_task_only(queue: Queue) -> None:
    tm = TaskManager(queue, provider=dict(provider='local', mpiprocs_per_worker=2))

    @tm.python_app
    def bad(how: str, mpicomm: Any = None) -> int:
        import os

        if mpicomm.rank == 1 and how == 'raise':
            raise ValueError('rank one is unhappy')
        if mpicomm.rank == 1 and how == 'die':
            os.write(2, b'last words')
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
    assert 'last words' in futures[2].err()
    assert [futures[i].result(timeout=0) for i in (1, 3)] == [2, 2]


def test_launcher_that_gives_single_processes_is_named(queue: Queue) -> None:
    tm = TaskManager(
        queue,
        provider=dict(
            provider='local', mpiprocs_per_worker=2, mpiexec='sh -c "{cmd} & {cmd} & wait"'
        ),
    )

    @tm.python_app
    def size(mpicomm: Any = None) -> int:
        ranks: int = mpicomm.size
        return ranks

    future = size()
    work(queue, tm)
    with pytest.raises(TaskFailedError, match='communicator of 1 process instead of 2'):
        future.result(timeout=0)
    task = future.task
    assert 0 <= task.dtime < 120 and time.time() - 120 < task.t0 <= time.time()


def test_launcher_that_is_not_there_is_named(queue: Queue) -> None:
    tm = TaskManager(
        queue, provider=dict(provider='local', mpiprocs_per_worker=2, mpiexec='no-such-launcher')
    )
    future = tm.python_app(lambda: 1, name='one')()
    with pytest.raises(LaunchError, match='No slot can be started.*no-such-launcher'):
        desipipe.work(queue, tm.id)
    assert future.state == 'PENDING'


# Its processes connect, and say only later that they are ready.
LATE = """
import time
from desipipe.execution import slot
send_ready = slot.send_ready
slot.send_ready = lambda *args: (time.sleep(1.0), send_ready(*args))
"""


@pytest.mark.parametrize(
    'script',
    [
        "work('mpi', mpicomm=MPI.COMM_WORLD)",
        "work('mpi', None, None, 'size')",
        f"{LATE}\nwork('mpi', mpicomm=MPI.COMM_WORLD)",
    ],
    ids=['communicator', 'name', 'late'],
)
def test_processes_of_a_script_run_tasks_together(queue: Queue, script: str) -> None:
    tm = TaskManager(queue)

    @tm.python_app
    def size(i: int, mpicomm: Any = None) -> int:
        ranks: int = mpicomm.size
        return ranks

    futures = [size(i) for i in range(2)]
    script = f'from mpi4py import MPI\nfrom desipipe import work\n{script}'
    subprocess.run(['mpiexec', '-n', '2', sys.executable, '-c', script], check=True, timeout=120)
    assert [future.result(timeout=0) for future in futures] == [2, 2]


def test_mpi_task_of_single_process_gets_communicator(queue: Queue) -> None:
    tm = TaskManager(queue)

    @tm.python_app
    def size(mpicomm: Any = None) -> int:
        ranks: int = mpicomm.size
        return ranks

    future = size()
    work(queue, tm)
    assert future.result(timeout=0) == 1


def test_files_of_several_ranks(queue: Queue, tmp_path: Path) -> None:
    """What any of them read went into what any of them wrote: beside the files, and in the
    journal.
    """
    tm = TaskManager(queue, provider=dict(provider='local', mpiprocs_per_worker=3))
    fm = FileManager(
        [
            {'id': 'part', 'path': f'{tmp_path}/part_{{i}}.txt', 'options': {'i': range(3)}},
            {'id': 'common', 'path': f'{tmp_path}/common.txt'},
            {'id': 'double', 'path': f'{tmp_path}/double_{{i}}.txt', 'options': {'i': range(3)}},
            {'id': 'total', 'path': f'{tmp_path}/total.json'},
            {'id': 'each', 'path': f'{tmp_path}/each.txt'},
        ]
    )
    fm.get('common').save('common')
    for file in fm['part']:
        file.save(str(file.options['i']))

    @tm.python_app
    def process(fm: FileManager, mpicomm: Any = None) -> None:
        rank = mpicomm.rank
        fm.get('common').load()
        part = fm.get('part', i=rank).load()
        fm.get('double', i=rank).save(2 * part)
        mpicomm.Barrier()
        fm.get('double', i=(rank + 1) % 3).load()  # what another one wrote: no input of the task
        fm.get('each').save('the same')
        parts = mpicomm.gather(part)
        if rank == 0:
            fm.get('total').save(parts)

    future = process(fm)
    work(queue, tm)
    future.result(timeout=0)
    inputs = {fm.get('common').filepath, *fm['part'].filepaths}
    outputs = {*fm['double'].filepaths, fm.get('total').filepath, fm.get('each').filepath}
    noted = [(item['do'], item['path']) for item in future.task.files]
    assert sorted(noted) == sorted(
        [*(('read', path) for path in inputs), *(('write', path) for path in outputs)]
    )  # each once
    for path in outputs:
        made = fm.provenance(path)
        assert (made.task, made.same, made.state) == (future.id, True, 'current')
        assert {item.path for item in made.inputs} - outputs == inputs, path
        assert made.versions['mpi4py']
    fm.get('part', i=2).save('other')
    assert sorted(fm.status().paths['stale']) == sorted(outputs)
    assert {
        item['path'] for item in file_summaries(queue.ledger) if item['state'] == 'stale'
    } == outputs


def test_many_files_of_several_ranks(queue: Queue, tmp_path: Path) -> None:
    """More than fits a packet: none is left out."""
    tm = TaskManager(queue, provider=dict(provider='local', mpiprocs_per_worker=2))

    @tm.python_app
    def write(out: BaseFileEntry, mpicomm: Any = None) -> None:
        for i in range(mpicomm.rank, 1000, 2):
            out.get(i=i).save('x')

    out = BaseFileEntry(f'{tmp_path}/{"long" * 30}_{{i}}.txt', options={'i': range(1000)})
    future = write(out)
    work(queue, tm)
    assert sorted(item['path'] for item in future.task.files) == sorted(out.filepaths)
