"""Workers in jobs of a real Grid Engine: what they run, how they end, what becomes of tasks."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
from polling import wait_for

from desipipe import Environment, Queue, TaskManager
from desipipe.provider.gridengine_states import number_of

from .cluster import QUEUE, TIMEOUT, GridEngine

pytestmark = pytest.mark.gridengine


def manager(tasks: Queue, most: int = 1, **provider: Any) -> TaskManager:
    """A task manager whose workers are jobs of ten minutes."""
    return TaskManager(
        tasks,
        scheduler=dict(max_workers=most),
        provider={'provider': 'gridengine', 'time': '10', **provider},
    )


def waiter(tm: TaskManager, **options: Any) -> Any:
    """An app whose tasks wait for a file."""

    @tm.python_app(**options)
    def wait(i: int, path: str) -> int:
        import os
        import time

        while not os.path.exists(path):
            time.sleep(0.02)
        return i

    return wait


def jobs(queue: Queue) -> dict[str, str]:
    """States of the jobs of which the queue knows."""
    queue.ledger.follow()
    return {jobid: job['state'] for jobid, job in queue.ledger.state.jobs.items()}


def the_job(queue: Queue) -> str:
    """The job that runs the one task that runs."""
    queue.ledger.follow()
    ((_, worker),) = queue.ledger.state.running.items()
    return worker.job


def says(queue: Queue) -> str:
    """Return what the manager says."""
    queue.ledger.follow()
    return str((queue.ledger.state.manager or {}).get('says', ''))


def test_tasks_run_in_an_array(queue: Queue, engine: GridEngine, spawn: Any) -> None:
    tm = manager(queue, 4)

    @tm.python_app
    def square(i: int) -> tuple[int, str]:
        import os

        return i * i, os.environ['DESIPIPE_JOB']

    @tm.bash_app
    def echo(squares: list[tuple[int, str]]) -> list[str]:
        return ['echo', '-n', f'{sum(value for value, _ in squares)}']

    squares = [square(i) for i in range(20)]
    total = echo(squares)
    process = spawn(queue)
    assert total.out(timeout=TIMEOUT) == '2470'
    submitted = jobs(queue).keys()  # now: the queue forgets its jobs when all is over
    assert {future.result(timeout=0)[1] for future in squares} <= submitted
    assert process.wait(TIMEOUT) == 0
    wait_for(lambda: not engine.jobs(), 'no job is left')
    # One alone until Grid Engine has shown that it answers, then an array.
    assert sorted('.' in jobid for jobid in submitted) == [False, True, True, True]
    assert not queue.processes()


def test_secrets_reach_jobs_and_no_script(queue: Queue, spawn: Any) -> None:
    secret = 'hunter2 of a job'
    environ = Environment('base', data={'API_TOKEN': secret})
    tm = TaskManager(
        queue, environ=environ, scheduler={'max_workers': 1}, provider={'provider': 'gridengine'}
    )

    @tm.python_app
    def read() -> str:
        import os

        return os.environ['API_TOKEN'][::-1]

    future = read()
    spawn(queue)
    assert future.result(timeout=TIMEOUT)[::-1] == secret
    (script,) = Path(queue.folder).glob('desipipe-test-*.sh')
    assert secret not in script.read_text() and script.stat().st_mode & 0o077 == 0


def test_deleted_by_a_user(queue: Queue, engine: GridEngine, spawn: Any, tmp_path: Path) -> None:
    future = waiter(manager(queue), retries=3)(1, str(tmp_path / 'go'))
    spawn(queue)
    wait_for(future.running, 'it runs')
    engine.run('qdel', number_of(the_job(queue)))
    wait_for(future.done, 'it ended')
    assert future.state == 'KILLED'  # someone wanted that: no retry
    assert 'its job was deleted (Grid Engine: qdel)' in future.task.cause


def test_killed_with_its_worker(queue: Queue, spawn: Any, tmp_path: Path) -> None:
    """A worker that can say nothing any more: Grid Engine knows what became of it."""
    tm = manager(queue)

    @tm.python_app
    def kill_worker() -> None:
        import os
        import signal

        os.kill(os.getppid(), signal.SIGKILL)
        signal.pause()

    future = kill_worker()
    spawn(queue)
    wait_for(future.done, 'it ended')
    assert future.state == 'UNKNOWN'
    assert 'its job failed' in future.task.cause


def test_waits_until_there_is_room(
    queue: Queue, engine: GridEngine, spawn: Any, tmp_path: Path
) -> None:
    engine.run('qmod', '-d', QUEUE)
    try:
        future = waiter(manager(queue))(1, str(tmp_path))
        spawn(queue)
        wait_for(lambda: list(jobs(queue).values()) == ['pending'], 'its job waits')
        assert [row.is_pending for row in engine.jobs().values()] == [True]
        assert future.state == 'PENDING'
    finally:
        engine.run('qmod', '-e', QUEUE)
    assert future.result(timeout=TIMEOUT) == 1


def test_unneeded_job_is_deleted(
    queue: Queue, engine: GridEngine, spawn: Any, tmp_path: Path
) -> None:
    engine.run('qmod', '-d', QUEUE)
    try:
        future = waiter(manager(queue))(1, str(tmp_path / 'go'))
        process = spawn(queue)
        wait_for(lambda: list(jobs(queue).values()) == ['pending'], 'its job waits')
        future.cancel()
        assert process.wait(TIMEOUT) == 0
        assert not engine.jobs()
        assert list(jobs(queue).values()) in ([], ['ended'])
    finally:
        engine.run('qmod', '-e', QUEUE)


def test_held_jobs_are_told_of(queue: Queue, engine: GridEngine, spawn: Any) -> None:
    future = waiter(manager(queue, kwargs={'h': True}))(1, '/')
    spawn(queue)
    wait_for(lambda: 'it is held. Release it: qrls' in says(queue), 'the manager tells of it')
    (jobid,) = jobs(queue)
    engine.run('qrls', number_of(jobid))
    assert future.result(timeout=TIMEOUT) == 1


def test_refused_for_ever(queue: Queue, spawn: Any) -> None:
    future = waiter(manager(queue, queue='nosuch'))(1, '/')
    spawn(queue)
    wait_for(lambda: 'Grid Engine refused the job' in says(queue), 'the manager tells of it')
    assert 'nosuch' in says(queue)
    assert future.state == 'PENDING'


def test_time_limit(queue: Queue, spawn: Any, tmp_path: Path) -> None:
    future = waiter(manager(queue, time='0:20'))(1, str(tmp_path / 'go'))
    spawn(queue)
    wait_for(future.done, 'it ended')
    assert future.state == 'KILLED'
    assert 'its job reached its time limit' in future.task.cause


def test_next_manager_takes_jobs_over(
    queue: Queue, engine: GridEngine, spawn: Any, tmp_path: Path
) -> None:
    future = waiter(manager(queue))(1, str(tmp_path / 'go'))
    first = spawn(queue)
    wait_for(future.running, 'it runs')
    jobid = the_job(queue)
    first.send_signal(signal.SIGKILL)
    first.wait(TIMEOUT)
    second = spawn(queue)
    wait_for(lambda: 'Managing' in (Path(queue.folder).parent / 'manager.log').read_text(), 'it is')
    (tmp_path / 'go').touch()
    assert future.result(timeout=TIMEOUT) == 1
    assert second.wait(TIMEOUT) == 0
    assert set(jobs(queue)) <= {jobid}
    wait_for(lambda: not engine.jobs(), 'qmaster knows that it ended')


def test_manager_decides_nothing_without_qmaster(
    queue: Queue, engine: GridEngine, spawn: Any, tmp_path: Path
) -> None:
    future = waiter(manager(queue))(1, str(tmp_path / 'go'))
    spawn(queue)
    wait_for(future.running, 'it runs')
    engine.stop_one('sge_qmaster')
    wait_for(lambda: 'The batch system does not answer' in says(queue), 'the manager tells of it')
    assert future.running()
    engine.start_qmaster()
    wait_for(lambda: 'does not answer' not in says(queue), 'it answers')
    (tmp_path / 'go').touch()
    assert future.result(timeout=TIMEOUT) == 1
