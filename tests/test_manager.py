"""The manager, with real processes: detached, alone, stubborn, and gone when nothing is left."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from polling import TIMEOUT_S, wait_for

from desipipe import Queue, TaskManager, spawn
from desipipe.errors import ManagerRunningError
from desipipe.execution.spawning import begin
from desipipe.provenance import process_alive

SPAWN = [sys.executable, '-m', 'desipipe', 'spawn', '-q']


@pytest.fixture
def queue(queue_dir: Path) -> Iterator[Queue]:
    queue = Queue('test', create=True)
    yield queue
    if os.path.exists(queue.folder):
        queue.kill(manager=True)
        assert queue.wait_stopped(60)


def processes(queue: Queue, kind: str) -> list[dict[str, Any]]:
    return [process for process in queue.processes() if process.kind == kind]


def sleeper(tm: TaskManager) -> Any:
    @tm.python_app(retries=5)
    def wait(i: int, path: str) -> int:
        import os
        import time

        open(f'{path}-{i}', 'w').close()
        while not os.path.exists(path):
            time.sleep(0.01)
        return i

    return wait


def test_blocking_spawn_runs_all_and_ends(queue: Queue) -> None:
    tm = TaskManager(queue, scheduler=dict(max_workers=3))
    one = tm.clone(scheduler=dict(max_workers=1))

    @tm.python_app
    def square(i: int) -> int:
        return i * i

    @one.python_app
    def total(values: list[int]) -> int:
        return sum(values)

    future = total(square.map(i=range(50)))
    subprocess.run([*SPAWN, queue.folder], check=True, timeout=120)
    assert future.result(timeout=0) == sum(i * i for i in range(50))
    assert not queue.processes()


def test_detached_manager_comes_with_the_first_task_and_goes_with_the_last(queue_dir: Path) -> None:
    Path(os.environ['DESIPIPE_CONFIG_DIR'], 'config.yaml').write_text('linger: 0.2\n')
    queue = Queue('detached', spawn=True)
    tm = TaskManager(queue, scheduler=dict(max_workers=2))

    @tm.python_app
    def square(i: int) -> int:
        return i * i

    assert not queue.processes()
    futures = [square(i) for i in range(10)]
    assert [future.result(timeout=60) for future in futures] == [i * i for i in range(10)]
    assert queue.wait_stopped(60)
    assert [future.result(timeout=0) for future in [square(i) for i in range(10)]] == [
        i * i for i in range(10)
    ]
    assert not queue.processes()  # all known: nobody is started
    assert square(10).result(timeout=60) == 100  # the next one is
    assert queue.wait_stopped(60)


def test_spawn_starts_single_manager(
    queue: Queue, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wait = sleeper(TaskManager(queue))
    future = wait(1, str(tmp_path / 'go'))
    pid = spawn(queue, spawn=True)
    wait_for(lambda: processes(queue, 'manager'))
    with pytest.raises(ManagerRunningError, match=rf'process {pid} on {os.uname().nodename}'):
        begin(queue)
    # A script that is run again while its manager lives has what it asked for.
    with caplog.at_level('WARNING', logger='desipipe'):
        assert spawn(queue, spawn=True) is None
    assert 'desipipe kill' in caplog.text
    # In the foreground the other one is waited for, as long as it is asked for.
    caplog.clear()
    with caplog.at_level('WARNING', logger='desipipe'):
        assert spawn(queue, timeout=0.1) is None
        assert spawn([queue, Queue('other', base_dir=tmp_path)], timeout=0.1) is None
    assert caplog.text.count('Waiting until nothing is left') == 2
    log = tmp_path / 'log'
    with open(log, 'w') as file:
        beside = subprocess.Popen([*SPAWN, queue.folder], stderr=file)
    wait_for(lambda: 'Waiting until nothing is left' in log.read_text())
    (tmp_path / 'go').touch()
    assert beside.wait(60) == 0
    assert future.result(timeout=0) == 1


def test_manager_that_waits_takes_the_place_of_one_that_died(queue: Queue, tmp_path: Path) -> None:
    wait = sleeper(TaskManager(queue))
    futures = [wait(i, str(tmp_path / f'go{i:d}')) for i in range(2)]
    pid = spawn(queue, spawn=True)
    wait_for(lambda: futures[0].state == 'RUNNING')
    log = tmp_path / 'log'
    with open(log, 'w') as file:
        beside = subprocess.Popen([*SPAWN, queue.folder], stderr=file)
    wait_for(lambda: 'Waiting until nothing is left' in log.read_text())
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    for i in range(2):
        (tmp_path / f'go{i:d}').touch()
    assert beside.wait(TIMEOUT_S) == 0, log.read_text()
    assert [future.result(timeout=0) for future in futures] == [0, 1], log.read_text()


def test_hang_up_does_not_end_it(queue: Queue, tmp_path: Path) -> None:
    wait = sleeper(TaskManager(queue))
    future = wait(1, str(tmp_path / 'go'))
    process = subprocess.Popen([*SPAWN, queue.folder], start_new_session=True)
    wait_for(future.running)
    os.killpg(process.pid, signal.SIGHUP)
    (tmp_path / 'go').touch()
    assert future.result(timeout=60) == 1
    assert process.wait(60) == 0


def test_workers_that_die_are_replaced(queue: Queue, tmp_path: Path) -> None:
    wait = sleeper(TaskManager(queue))
    future = wait(1, str(tmp_path / 'go'))
    spawn(queue, spawn=True)
    wait_for(future.running)
    (worker,) = processes(queue, 'worker')
    os.kill(worker.pid, signal.SIGKILL)
    wait_for(lambda: [other for other in processes(queue, 'worker') if other.pid != worker.pid])
    (tmp_path / 'go').touch()
    assert future.result(timeout=60) == 1
    assert len(future.task.attempts) == 2


def test_killed_manager_loses_nothing_and_the_next_adopts(queue: Queue, tmp_path: Path) -> None:
    wait = sleeper(TaskManager(queue))
    futures = wait.map(i=range(3), path=str(tmp_path / 'go'))
    pid = spawn(queue, spawn=True)
    wait_for(futures[0].running)
    workers = processes(queue, 'worker')
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not process_alive(pid))
    second = spawn(queue, spawn=True)
    wait_for(lambda: any(process.pid == second for process in processes(queue, 'manager')))
    assert [worker.pid for worker in processes(queue, 'worker')] == [
        worker.pid for worker in workers
    ]
    (tmp_path / 'go').touch()
    assert [future.result(timeout=60) for future in futures] == [0, 1, 2]
    assert all(len(future.task.attempts) == 1 for future in futures)


def test_backs_off_and_says_why(queue: Queue) -> None:
    tm = TaskManager(
        queue, environ=dict(name='base', command='echo no such module: cosmo >&2; exit 3')
    )

    @tm.python_app
    def one() -> int:
        return 1

    future = one()
    spawn(queue, spawn=True)
    log = Path(queue.folder, 'manager.log')
    # The log tells of it before the journal does.
    wait_for(
        lambda: (
            log.read_text().count('died at once') >= 2 and 'died at once' in queue.explain(future)
        ),
    )
    text = log.read_text()
    pauses = [float(pause) for pause in re.findall(r'trying again in ([\d.]+) s', text)]
    assert pauses[1] > pauses[0]
    assert 'exit status 3' in text
    assert 'no such module: cosmo' in text
    assert future.state == 'PENDING'


def test_max_workers_bounds_simultaneous_tasks(queue: Queue, tmp_path: Path) -> None:
    wait = sleeper(TaskManager(queue, scheduler=dict(max_workers=2)))
    futures = wait.map(i=range(5), path=str(tmp_path / 'go'))
    spawn(queue, spawn=True)
    wait_for(lambda: len(list(tmp_path.glob('go-*'))) == 2)
    (tmp_path / 'go').touch()
    assert [future.result(timeout=60) for future in futures] == list(range(5))
    starts = sorted(
        (attempt.began, attempt.began + attempt.duration)
        for future in futures
        for attempt in future.task.attempts
    )
    assert all(sum(began <= t < ended for began, ended in starts) <= 2 for t, _ in starts)


def test_sigterm_ends_workers_politely(queue: Queue, tmp_path: Path) -> None:
    wait = sleeper(TaskManager(queue))
    wait.map(i=range(3), path=str(tmp_path / 'go'))
    process = subprocess.Popen([*SPAWN, queue.folder])
    wait_for(lambda: queue.counts['RUNNING'] == 1)
    process.terminate()
    assert process.wait(60) == 0
    assert queue.wait_stopped(60)
    assert queue.counts['RUNNING'] == 0


def test_environment_reaches_the_task(queue: Queue) -> None:
    tm = TaskManager(
        queue,
        environ=dict(
            data={'GREETING': 'bonjour $HOME', 'LITERAL': "it's"}, command='export FROM_COMMAND=yes'
        ),
    )

    @tm.python_app
    def look() -> list[str]:
        import os

        return [os.environ[name] for name in ('GREETING', 'LITERAL', 'FROM_COMMAND')]

    future = look()
    subprocess.run([*SPAWN, queue.folder], check=True, timeout=120)
    assert future.result(timeout=0) == [f'bonjour {os.environ["HOME"]}', "it's", 'yes']


def test_paused_queue_lets_the_manager_go(queue: Queue) -> None:
    tm = TaskManager(queue)

    @tm.python_app
    def one() -> int:
        return 1

    future = one()
    queue.pause()
    subprocess.run([*SPAWN, queue.folder], check=True, timeout=120)
    assert future.state == 'PENDING'
    queue.resume(spawn=True)
    assert future.result(timeout=60) == 1


def test_kill_ends_all(queue: Queue, tmp_path: Path) -> None:
    wait = sleeper(TaskManager(queue))
    future = wait(1, str(tmp_path / 'go'))
    spawn(queue, spawn=True)
    wait_for((tmp_path / 'go-1').exists)  # what is only claimed is given back
    queue.kill()
    assert queue.wait_stopped(60)
    assert future.state == 'KILLED'
    assert 'killed by desipipe kill' in future.task.cause


def test_folder_deleted_under_the_manager(queue: Queue, tmp_path: Path) -> None:
    import shutil

    wait = sleeper(TaskManager(queue))
    future = wait(1, str(tmp_path / 'go'))
    process = subprocess.Popen([*SPAWN, queue.folder], stderr=subprocess.PIPE)
    wait_for(future.running)
    shutil.rmtree(queue.folder)
    _, output = process.communicate(timeout=60)
    assert not os.path.exists(queue.folder)
    assert b'gone' in output
