"""Workers in real Slurm jobs: what they run, how they end, and what becomes of their tasks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from polling import wait_for

from desipipe import Environment, Queue, TaskManager
from desipipe.queue.state import State

from .cluster import TIMEOUT, Slurm

pytestmark = pytest.mark.slurm


def manager(queue: Queue, most: int = 1, **provider: Any) -> TaskManager:
    """A task manager whose workers are jobs of ten minutes, several on a node."""
    return TaskManager(
        queue,
        scheduler=dict(max_workers=most),
        provider={'provider': 'slurm', 'time': '10', 'nodes_per_worker': 0.125, **provider},
    )


def test_pi(queue: Queue, spawn: Any) -> None:
    """The example of the documentation, on two task managers."""
    tm = manager(queue, 4, nodes_per_worker=0.5)
    tm2 = tm.clone(scheduler=dict(max_workers=1))

    @tm.python_app
    def fraction(seed: int = 42, size: int = 10000) -> tuple[float, str]:
        import socket

        import numpy as np

        x, y = np.random.default_rng(seed).uniform(-1, 1, (2, size))
        return float(np.mean(x**2 + y**2 < 1)), socket.gethostname()

    @tm2.python_app
    def average(fractions: list[tuple[float, str]]) -> float:
        return sum(value for value, _ in fractions) / len(fractions) * 4

    @tm2.bash_app
    def echo(avg: float) -> list[str]:
        return ['echo', '-n', f'bash app says pi is ~ {avg:.2f}']

    fractions = [fraction(seed=i) for i in range(20)]
    output = echo(average(fractions))
    process = spawn(queue)
    assert output.out(timeout=TIMEOUT) == 'bash app says pi is ~ 3.14'
    assert {future.result(timeout=0)[1] for future in fractions} <= {'n1', 'n2'}
    assert process.wait(TIMEOUT) == 0
    assert not queue.processes()
    scripts = [path.read_text() for path in Path(queue.folder).glob('desipipe-test-*.sh')]
    assert sorted(script.rpartition(' ')[2].strip() for script in scripts) == ['1', '2']  # slots


def test_secrets_reach_jobs_and_no_script(queue: Queue, spawn: Any) -> None:
    secret = 'hunter2 of a job'
    tm = TaskManager(
        queue,
        environ=Environment('base', data={'API_TOKEN': secret}),
        scheduler={'max_workers': 1},
        provider={'provider': 'slurm', 'time': '10', 'nodes_per_worker': 0.125},
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
    assert secret.encode() not in Path(queue.folder, 'journal.jsonl').read_bytes()


def waiter(tm: TaskManager, **options: Any) -> Any:
    """An app whose tasks say that they began, and wait for a file."""

    @tm.python_app(**options)
    def wait(i: int, path: str) -> int:
        import os
        import time

        open(f'{path}-{i}-{os.environ["SLURM_JOB_ID"]}', 'w').close()
        while not os.path.exists(path):
            time.sleep(0.02)
        return i

    return wait


def causes(future: Any) -> list[str]:
    """Why the attempts of a task ended, oldest first."""
    return [attempt.cause.get('text', '') for attempt in future.task.attempts]


def followed(queue: Queue) -> State:
    """Return the queue's state with all that is in its journal now."""
    queue.ledger.follow()
    return queue.ledger.state


def manager_message(queue: Queue) -> str:
    """Return what the manager says."""
    return str((followed(queue).manager or {}).get('says', ''))


def running_job(queue: Queue) -> str:
    """The job that runs the one task that runs."""
    queue.ledger.follow()
    ((_, worker),) = queue.ledger.state.running.items()
    return worker.job


def job_of(queue: Queue, future: Any) -> str:
    """The job that runs a task."""
    queue.ledger.follow()
    state = queue.ledger.state
    return next(
        worker.job for row, worker in state.running.items() if state.ids[row].hex() == future.id
    )


# How jobs end


def test_cancelled_by_a_user(queue: Queue, slurm: Slurm, spawn: Any, tmp_path: Path) -> None:
    future = waiter(manager(queue), retries=3)(1, str(tmp_path / 'go'))
    spawn(queue)
    wait_for(future.running, 'it runs')
    slurm.run('scancel', running_job(queue))
    wait_for(future.done, 'it ended')
    assert future.state == 'KILLED'  # someone wanted that: no retry
    # By whom Slurm may say only later, on a loaded machine after the task was judged.
    assert re.search(r'its job was cancelled( by user 0)? \(Slurm: CANCELLED', future.task.cause)


def test_killed_with_its_worker(queue: Queue, slurm: Slurm, spawn: Any, tmp_path: Path) -> None:
    """A worker that says nothing any more: Slurm knows what became of it."""
    future = waiter(manager(queue))(1, str(tmp_path / 'go'))
    spawn(queue)
    wait_for(future.running, 'it runs')
    slurm.run('scancel', '--signal=KILL', '--full', running_job(queue))
    wait_for(future.done, 'it ended')
    assert future.state in ('KILLED', 'UNKNOWN')
    assert 'Slurm: ' in future.task.cause


def test_time_limit(queue: Queue, slurm: Slurm, spawn: Any, tmp_path: Path) -> None:
    """The first task of a slot is KILLED; what had less time than it could have begins again.

    Both burn no retry.
    """
    tm, tm2 = manager(queue, time='3'), manager(queue, time='4')

    @tm2.python_app
    def short() -> int:
        return 1

    first, one, second = (
        waiter(tm, retries=2)(1, str(tmp_path / 'go')),
        short(),
        waiter(tm2)(2, str(tmp_path / 'go')),
    )
    spawn(queue)
    assert one.result(timeout=TIMEOUT) == 1
    wait_for(lambda: first.running() and second.running(), 'both run')
    queue.ledger.follow()
    for _, worker in queue.ledger.state.running.items():
        slurm.run('scontrol', 'update', f'jobid={worker.job}', 'EndTime=now+5')
    wait_for(first.done, 'the first ended')
    assert first.state == 'KILLED'
    assert 'its job reached its time limit' in first.task.cause
    wait_for(lambda: len(list(tmp_path.glob('go-2-*'))) == 2, 'the second runs again')
    (tmp_path / 'go').touch()
    assert second.result(timeout=TIMEOUT) == 2
    assert 'its job reached its time limit' in causes(second)[0]


def test_out_of_memory(queue: Queue, slurm: Slurm, spawn: Any) -> None:
    if not slurm.kills_for_memory:
        pytest.skip('this Slurm has no cgroups of version 1, with which it limits memory')
    tm = manager(queue, kwargs={'mem': 200})

    @tm.python_app
    def eat() -> int:
        return len(bytearray(b'x') * 1_000_000_000)

    future = eat()
    spawn(queue)
    wait_for(future.done, 'it ended')
    assert future.state == 'KILLED'
    assert 'out of memory' in future.task.cause


def test_out_of_memory_with_its_worker(queue: Queue, slurm: Slurm, spawn: Any) -> None:
    """The worker is gone before it could say so: the manager has it from Slurm."""
    if not slurm.kills_for_memory:
        pytest.skip('this Slurm has no cgroups of version 1, with which it limits memory')

    @manager(queue, kwargs={'mem': 200}).python_app
    def feed() -> int:
        import os
        import signal
        import subprocess
        import sys

        # The kernel takes the one that eats; without its worker, which is the batch script itself,
        # the job is over.
        subprocess.call([sys.executable, '-c', 'b"x" * 1_000_000_000'])
        os.kill(os.getppid(), signal.SIGKILL)
        signal.pause()
        return 0

    future = feed()
    spawn(queue)
    wait_for(future.done, 'it ended')
    assert future.state == 'KILLED'
    assert (
        'out of memory: its job used more than it had asked for (Slurm: OUT_OF_MEMORY, '
        'OutOfMemory, exit code 0:125)'
    ) in future.task.cause


def test_script_that_fails(queue: Queue, slurm: Slurm, spawn: Any) -> None:
    """Nothing of a task is lost when no worker can begin, and Slurm's exit status and the
    script's last words are said.
    """
    tm = TaskManager(
        queue,
        environ={'command': 'echo no such module >&2; exit 7'},
        provider={'provider': 'slurm', 'time': '10', 'nodes_per_worker': 0.125},
    )
    future = waiter(tm)(1, 'go')
    spawn(queue)
    message = wait_for(lambda: manager_message(queue), 'it is said')
    assert (
        'died at once (its job failed (Slurm: FAILED, NonZeroExitCode, exit status 7))' in message
    )
    assert message.endswith('Its last words: no such module')
    assert future.state == 'PENDING' and future.task.attempts == []


def test_jobs_without_slurmdbd(queue: Queue, slurm: Slurm, spawn: Any, tmp_path: Path) -> None:
    """Accounting dies while jobs run: they go on, new ones begin, and how one ended is told as
    far as the controller knows it.
    """
    futures = waiter(manager(queue, 2, nodes_per_worker=1)).map(
        i=range(2), path=str(tmp_path / 'go')
    )
    spawn(queue)
    wait_for(lambda: queue.counts['RUNNING'] == 2, 'both run')
    slurm.stop_one('slurmdbd')
    try:
        # The last element of an array, of which Slurm's identity is that of the whole array.
        (gone, stays) = sorted(futures, key=lambda future: job_of(queue, future), reverse=True)
        slurm.run('scancel', job_of(queue, gone))
        later = waiter(manager(queue, time='11'))(2, str(tmp_path / 'go'))
        wait_for(later.running, 'a new one begins')
        wait_for(gone.done, 'the cancelled one ended')
        assert gone.state == 'KILLED' and 'its job was cancelled' in gone.task.cause
        (tmp_path / 'go').touch()
        assert stays.result(timeout=TIMEOUT) in (0, 1) and later.result(timeout=TIMEOUT) == 2
    finally:
        slurm.start_accounting()


def test_requeued(queue: Queue, slurm: Slurm, spawn: Any, tmp_path: Path) -> None:
    future = waiter(manager(queue))(1, str(tmp_path / 'go'))
    spawn(queue)
    wait_for(future.running, 'it runs')
    job = running_job(queue)
    slurm.run('scontrol', 'requeue', job)
    wait_for(lambda: future.state == 'PENDING', 'it waits')
    wait_for(
        lambda: slurm.jobs('PENDING,RUNNING') == {job: 'PENDING'},
        'Slurm has it back, and nobody submitted another one for it',
    )
    slurm.run('scontrol', 'update', f'jobid={job}', 'StartTime=now')
    wait_for(future.running, 'it runs again')
    (tmp_path / 'go').touch()
    assert future.result(timeout=TIMEOUT) == 1
    assert 'put back into the queue' in causes(future)[0]
    wait_for(
        lambda: not slurm.jobs('PENDING,RUNNING,COMPLETING'),
        'no job is left, neither that one nor another',
    )


def test_preempted(queue: Queue, slurm: Slurm, spawn: Any, tmp_path: Path) -> None:
    tm = manager(queue, kwargs={'partition': 'scavenge', 'exclusive': True, 'nodelist': 'n1'})
    future = waiter(tm)(1, str(tmp_path / 'go'))
    spawn(queue)
    wait_for(future.running, 'it runs')
    urgent = slurm.run(
        'sbatch',
        '--parsable',
        '-p',
        'urgent',
        '-w',
        'n1',
        '--exclusive',
        '-t',
        '5',
        '--wrap',
        'sleep 300',
    ).strip()
    wait_for(lambda: future.state == 'PENDING', 'it waits')
    slurm.run('scancel', urgent)
    (tmp_path / 'go').touch()
    assert future.result(timeout=TIMEOUT) == 1
    assert 'preempted' in causes(future)[0]


def test_output_can_be_followed(queue: Queue, spawn: Any, tmp_path: Path) -> None:
    """Two tasks of one job print at once: lines are whole, and there while the tasks run."""
    output = str(tmp_path / 'slurm-%j.out')

    @manager(queue, 2, output=output).python_app
    def speak(i: int, path: str) -> str:
        import os
        import time

        for piece in ('one ', f'line {i}', '\n'):
            print(piece, end='', flush=True)
        while not os.path.exists(path):
            time.sleep(0.02)
        os.system(f'echo from a command {i} >&2')
        return os.environ['SLURM_JOB_ID']

    futures = [speak(i, str(tmp_path / 'go')) for i in range(2)]
    process = spawn(queue)

    def lines() -> list[str]:
        texts = [path.read_text() for path in tmp_path.glob('slurm-*.out')]
        return sorted(line.partition('] ')[2] for line in ''.join(texts).splitlines())

    wait_for(lambda: {'one line 0', 'one line 1'} <= {*lines()}, 'the lines')
    (tmp_path / 'go').touch()
    jobs = {future.result(timeout=TIMEOUT) for future in futures}
    assert process.wait(TIMEOUT) == 0
    expected = {f'from a command {i}' for i in range(2)}
    wait_for(lambda: expected <= {*lines()}, 'what commands printed')
    assert {path.name for path in tmp_path.glob('slurm-*')} == {f'slurm-{job}.out' for job in jobs}


@pytest.mark.slow
def test_node_fails_while_its_processes_live_on(
    queue: Queue, slurm: Slurm, spawn: Any, tmp_path: Path
) -> None:
    """Slurm loses a node; what runs there goes on, and reports.

    The report is too late, and changes nothing.
    """
    import signal

    tm = manager(queue, kwargs={'no-requeue': True})
    future = waiter(tm)(1, str(tmp_path / 'go'))
    spawn(queue)
    wait_for(future.running, 'it runs')
    (node,) = [process.host for process in queue.processes() if process.kind == 'worker']
    slurm.signal(node, signal.SIGSTOP)
    try:
        wait_for(lambda: len(list(tmp_path.glob('go-1-*'))) == 2, 'it runs on the other node')
        (tmp_path / 'go').touch()
        assert future.result(timeout=TIMEOUT) == 1
        attempts = future.task.attempts
        assert f'its node {node} failed' in causes(future)[0]
        assert [attempt.host for attempt in attempts if attempt.counts] != [node]
    finally:
        slurm.signal(node, signal.SIGCONT)
        wait_for(
            lambda: (
                len(
                    slurm.run(
                        'sinfo', '-h', '-N', '-p', 'regular', '-t', 'idle,mix,alloc', '-o', '%N'
                    ).split()
                )
                == 2
            ),
            'the node is back',
        )
