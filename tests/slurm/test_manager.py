"""The manager over real Slurm: gentle, elastic, patient, replaceable."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from polling import wait_for

from desipipe import Queue, TaskManager
from desipipe.provenance import process_alive

from .cluster import TIMEOUT, Slurm
from .conftest import running
from .test_jobs import followed, manager, manager_message, running_job, waiter

pytestmark = pytest.mark.slurm


@pytest.fixture
def calls(slurm: Slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Counts calls of Slurm's commands: each notes itself, and when, before it runs."""
    folder, notes = tmp_path / 'bin', tmp_path / 'calls'
    folder.mkdir()
    for name in ('sbatch', 'squeue', 'sacct', 'scancel', 'scontrol', 'sinfo', 'sacctmgr'):
        path = subprocess.run(
            ['which', name], capture_output=True, text=True, check=True
        ).stdout.strip()
        (folder / name).write_text(
            f'#!/bin/bash\necho "$(date +%s.%N) {name} $*" >> {notes}\nexec {path} "$@"\n'
        )
        (folder / name).chmod(0o755)
    monkeypatch.setenv('PATH', f'{folder}{os.pathsep}{os.environ["PATH"]}')

    def read() -> list[tuple[float, str, str]]:
        lines = notes.read_text().splitlines() if notes.exists() else []
        return [
            (float(line.split()[0]), line.split()[1], line.partition(' ')[2].partition(' ')[2])
            for line in lines
        ]

    return read


def short(tm: TaskManager, seconds: float) -> Any:
    """An app whose tasks take their time."""

    @tm.python_app
    def work(i: int, seconds: float) -> tuple[int, str]:
        import os
        import time

        time.sleep(seconds)
        return i, os.environ['DESIPIPE_JOB']

    return lambda n, first=0: work.map(i=range(first, first + n), seconds=seconds)


def test_many_jobs_and_few_questions(queue: Queue, spawn: Any, calls: Any, tmp_path: Path) -> None:
    """200 tasks of two task managers over 16 jobs on two nodes: one sbatch for each, and never
    two questions within the time step.
    """
    tms = [manager(queue, 8, nodes_per_worker=1), manager(queue, 8, nodes_per_worker=1, time='11')]
    here = tmp_path / 'here'
    here.mkdir()

    def work(i: int, folder: str) -> str:
        import os
        import time

        job = os.environ['DESIPIPE_JOB']
        open(os.path.join(folder, job), 'w').close()
        while len(os.listdir(folder)) < 16:  # All jobs take part, however late one of them begins.
            time.sleep(0.02)
        return job

    futures = []
    for first, tm in zip((0, 100), tms, strict=True):
        futures += tm.python_app(work).map(i=range(first, first + 100), folder=str(here))
    began = time.monotonic()
    process = spawn(queue)
    jobs = {future.result(timeout=TIMEOUT) for future in futures}
    assert process.wait(TIMEOUT) == 0
    took = time.monotonic() - began
    assert len(jobs) == 16 and all('_' in job for job in jobs)
    recorded_calls = calls()
    assert sum(name == 'sbatch' for _, name, _ in recorded_calls) == 2  # two arrays of eight
    questions = [when for when, name, _ in recorded_calls if name == 'squeue']
    # Each notes itself when it runs, which on a busy machine is later than it was started:
    # a single gap says nothing, their number does.
    assert len(questions) <= took / 0.5 + 1
    assert sum(name == 'sacct' for _, name, _ in recorded_calls) <= len(questions)
    assert {name for _, name, _ in recorded_calls} <= {'sbatch', 'squeue', 'sacct', 'scancel'}


def test_asks_less_often_when_nothing_changes(
    queue: Queue, slurm: Slurm, spawn: Any, calls: Any, tmp_path: Path
) -> None:
    future = waiter(manager(queue))(1, str(tmp_path / 'go'))
    spawn(queue)
    wait_for(future.running, 'it runs')

    def longest_pause() -> float:
        questions = [when for when, name, _ in calls() if name == 'squeue']
        return max((later - when for when, later in itertools.pairwise(questions)), default=0.0)

    wait_for(lambda: longest_pause() > 3 * 0.5, 'pauses that are longer than the time step')
    (tmp_path / 'go').touch()
    assert future.result(timeout=TIMEOUT) == 1


def test_jobs_that_are_no_longer_needed_are_withdrawn(
    queue: Queue, slurm: Slurm, spawn: Any, tmp_path: Path
) -> None:
    """The newest first, and never more jobs than tasks."""
    tm = manager(queue, 8, nodes_per_worker=1, kwargs={'exclusive': True})
    futures = waiter(tm).map(i=range(5), path=str(tmp_path / 'go'))
    spawn(queue)
    wait_for(lambda: queue.counts['RUNNING'] == 2, 'two run')
    assert len(slurm.jobs('PENDING,RUNNING')) == 5
    waiting = sorted(slurm.jobs('PENDING'))
    queue.cancel([future.id for future in futures if future.state == 'PENDING'][:2])
    wait_for(lambda: len(slurm.jobs('PENDING')) == 1, 'two are withdrawn')
    assert sorted(slurm.jobs('PENDING')) == waiting[:1]

    def waits() -> bool:
        queue.ledger.follow()
        job = queue.ledger.state.jobs[waiting[0]]
        return (job['state'], job['reason']) == ('pending', 'Resources')

    wait_for(waits, "Slurm's scheduler has looked at the last one, and says why it waits")
    (tmp_path / 'go').touch()
    assert (
        len(
            [
                future
                for future in futures
                if future.state == 'KILLED' or future.result(timeout=TIMEOUT) is not None
            ]
        )
        == 5
    )
    wait_for(lambda: not slurm.jobs('PENDING,RUNNING,COMPLETING'), 'no job is left')


def test_resize(queue: Queue, slurm: Slurm, spawn: Any, tmp_path: Path) -> None:
    futures = waiter(manager(queue, 2, nodes_per_worker=1)).map(
        i=range(6), path=str(tmp_path / 'go')
    )
    spawn(queue)
    wait_for(lambda: queue.counts['RUNNING'] == 2, 'two run')
    resize = [sys.executable, '-m', 'desipipe', 'resize', '-q', queue.folder, '--max-workers']
    subprocess.run([*resize, '4'], check=True)
    wait_for(lambda: queue.counts['RUNNING'] == 4, 'four run')
    subprocess.run([*resize, '1'], check=True)
    wait_for(
        lambda: sum(worker.stop is not None for worker in followed(queue).alive.values()) == 3,
        'three are asked to end',
    )
    assert queue.counts['RUNNING'] == 4  # no task is ended for it
    (tmp_path / 'go').touch()
    assert [future.result(timeout=TIMEOUT) for future in futures] == list(range(6))


def test_killed_manager_loses_nothing_and_the_next_adopts(
    queue: Queue, slurm: Slurm, spawn: Any, tmp_path: Path
) -> None:
    """Jobs that run, jobs that wait, and one that ended in between and that nobody has heard of
    since.
    """
    tm = manager(queue, 8, nodes_per_worker=1, kwargs={'exclusive': True})
    futures = waiter(tm).map(i=range(3), path=str(tmp_path / 'go'))
    first = spawn(queue)
    wait_for(lambda: queue.counts['RUNNING'] == 2, 'two run')
    wait_for(lambda: len(followed(queue).jobs) == 3, 'three jobs are known')
    first.kill()
    first.wait()
    jobs = sorted(slurm.jobs('PENDING,RUNNING'))
    slurm.run('scancel', '--signal=KILL', '--full', first_job(queue))
    wait_for(
        lambda: sorted(slurm.jobs('PENDING,RUNNING')) != jobs or len(slurm.jobs('RUNNING')) == 2,
        'it is gone',
    )
    spawn(queue)
    wait_for(
        lambda: any(future.state in ('UNKNOWN', 'KILLED') for future in futures),
        'someone knows',
    )
    (tmp_path / 'go').touch()
    wait_for(lambda: all(future.done() for future in futures), 'all ended')
    assert [future.state for future in futures].count('SUCCEEDED') == 2
    assert not set(slurm.jobs('PENDING,RUNNING')) - set(jobs)  # nothing was submitted twice


def first_job(queue: Queue) -> str:
    queue.ledger.follow()
    return min(worker.job for _, worker in queue.ledger.state.running.items())


def test_job_that_nobody_noted_is_found(
    queue: Queue, slurm: Slurm, spawn: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The manager dies right after sbatch: the next one finds the job by its name, and submits
    no other.
    """
    tm = manager(queue)
    future = waiter(tm)(1, str(tmp_path / 'go'))
    code = (
        'import os, sys\n'
        'from desipipe import Queue\n'
        'from desipipe.execution.manager import Manager\n'
        'queue = Queue(sys.argv[1], create=False)\n'
        'queue.ledger.note_jobs = lambda *args: os._exit(9)\n'
        'Manager(queue, timestep=0.5).run()\n'
    )
    slurm.run('scontrol', 'update', 'partition=regular', 'State=DOWN')
    try:
        assert subprocess.run([sys.executable, '-c', code, queue.folder]).returncode == 9
        (job,) = slurm.jobs('PENDING')
        spawn(queue)
        wait_for(lambda: job in followed(queue).jobs, 'it is known')
        assert list(slurm.jobs('PENDING')) == [job]
    finally:
        slurm.run('scontrol', 'update', 'partition=regular', 'State=UP')
    wait_for(future.running, 'it runs')
    assert running_job(queue) == job
    (tmp_path / 'go').touch()
    assert future.result(timeout=TIMEOUT) == 1


def test_controller_away_for_a_while(
    queue: Queue, slurm: Slurm, spawn: Any, tmp_path: Path
) -> None:
    """Nothing fails; what runs goes on, what waits waits, and it is said."""
    tm = manager(queue)
    future = waiter(tm)(1, str(tmp_path / 'go'))
    spawn(queue)
    wait_for(future.running, 'it runs')
    slurm.stop_one('slurmctld')
    try:
        later = waiter(manager(queue, time='11'))(2, str(tmp_path / 'go'))
        wait_for(lambda: 'does not answer' in manager_message(queue), 'it is said')
        (tmp_path / 'go').touch()
        assert future.result(timeout=TIMEOUT) == 1
        assert later.state == 'PENDING'
    finally:
        slurm.start_controller()
    assert later.result(timeout=TIMEOUT) == 2
    assert len(future.task.attempts) == 1


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'account': 'desy'}, "Slurm refused account 'desy'.*it may be: desi, desi_g"),
        ({'qos': 'fast'}, "Slurm refused qos 'fast'.*it may be: debug, normal, regular"),
        ({'constraint': 'knl'}, "Slurm refused constraint 'knl'.*it may be: cpu, gpu"),
        (
            {'kwargs': {'partition': 'nowhere'}},
            "Slurm refused partition 'nowhere'.*it may be: debug, regular, scavenge, urgent",
        ),
        ({'kwargs': {'mem': '1T'}}, 'Slurm refused the job: .*Memory specification'),
        ({'kwargs': {'no-such-option': 1}}, 'Slurm refused the job: .*no-such-option'),
    ],
)
def test_refused(queue: Queue, spawn: Any, options: dict[str, Any], message: str) -> None:
    import re

    future = short(manager(queue, **options), 0)(1)[0]
    spawn(queue)
    message = wait_for(lambda: manager_message(queue), 'it is said')
    assert re.search(message, message), message
    assert future.state == 'PENDING'
    assert message in queue.explain(future)


def test_refused_and_mended(queue: Queue, spawn: Any) -> None:
    """Added again with what Slurm takes, the tasks run, and nothing is said of what was refused
    any more.
    """
    refused = short(manager(queue, account='desy'), 0)(1)[0]
    spawn(queue)
    wait_for(lambda: manager_message(queue), 'it is said')
    mended = short(manager(queue, account='desi'), 0)(1)[0]
    assert mended.id == refused.id
    assert refused.result(timeout=TIMEOUT) == mended.result(timeout=TIMEOUT)
    wait_for(lambda: manager_message(queue) == '', 'nothing is said any more')


# Time


def test_worker_starts_no_task_beyond_walltime(queue: Queue, spawn: Any) -> None:
    """Of a job of a minute seven seconds are gone, so a task that may take 50 s is left to
    another job; what is known to be short is not.
    """
    tm = manager(queue, time='1')

    @tm.python_app
    def first(i: int, seconds: float) -> str:
        import os
        import time

        time.sleep(seconds)
        return os.environ['DESIPIPE_JOB']

    @tm.python_app(timeout=50)
    def long(job: str) -> str:
        import os

        return os.environ['DESIPIPE_JOB']

    begun = first(0, 7.0)
    again = first(1, 0.0)
    other = long(begun)
    spawn(queue)
    assert again.result(timeout=TIMEOUT) == begun.result(timeout=TIMEOUT)
    assert other.result(timeout=TIMEOUT) != begun.result(timeout=TIMEOUT)
    assert len(other.task.attempts) == 1


def test_tasks_are_told_that_the_end_is_near(
    queue: Queue, slurm: Slurm, spawn: Any, tmp_path: Path
) -> None:
    tm = manager(queue, time='2')

    @tm.python_app
    def save(path: str) -> str:
        import signal
        import time

        printed = []
        signal.signal(signal.SIGUSR1, lambda number, frame: printed.append(time.time()))
        open(path, 'w').close()
        while not printed:
            time.sleep(0.02)
        return 'saved'

    future = save(str(tmp_path / 'begun'))
    spawn(queue)
    wait_for((tmp_path / 'begun').exists, 'it runs')
    slurm.run('scontrol', 'update', f'jobid={running_job(queue)}', 'EndTime=now+6')
    assert future.result(timeout=TIMEOUT) == 'saved'


def test_stop_after(queue: Queue, spawn: Any) -> None:
    futures = short(manager(queue, stop_after=2), 0)(5)
    spawn(queue)
    jobs = [future.result(timeout=TIMEOUT)[1] for future in futures]
    assert sorted(jobs.count(job) for job in set(jobs)) == [1, 2, 2]


# Without accounting


@pytest.fixture(scope='module')
def bare() -> Iterator[Slurm]:
    """A cluster of one node that keeps no accounts."""
    with running(nodes=1, accounting=False, options='MinJobAge=2') as slurm:
        yield slurm


def test_manager_without_accounting(
    bare: Slurm, queue_dir: Path, spawn: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in bare.environ.items():
        monkeypatch.setenv(name, value)
    queue = Queue('bare', create=True)
    tm = manager(queue, 4)
    futures = short(tm, 0.1)(20)
    process = spawn(queue)
    assert [future.result(timeout=TIMEOUT)[0] for future in futures] == list(range(20))
    assert process.wait(TIMEOUT) == 0
    future = waiter(tm)(1, str(tmp_path / 'go'))
    spawn(queue)
    wait_for(future.running, 'it runs')
    bare.run('scancel', running_job(queue))
    wait_for(future.done, 'it ended')
    assert future.state == 'KILLED' and 'cancelled' in future.task.cause


def test_end_by_a_signal_ends_the_jobs(
    queue: Queue, slurm: Slurm, spawn: Any, tmp_path: Path
) -> None:
    futures = waiter(manager(queue, 3, nodes_per_worker=1, kwargs={'exclusive': True})).map(
        i=range(3), path=str(tmp_path / 'go')
    )
    process = spawn(queue)
    wait_for(lambda: queue.counts['RUNNING'] == 2, 'two run')
    process.send_signal(signal.SIGTERM)
    assert process.wait(TIMEOUT) == 0
    assert not process_alive(process.pid)
    wait_for(lambda: not slurm.jobs('PENDING,RUNNING,COMPLETING'), 'no job is left')
    assert queue.counts['RUNNING'] == 0 and len(futures) == 3


# Ends of a manager


def spawn_for_a_while(queue: Queue, spawn: Any) -> None:
    """Run a manager with a time limit that was long enough for its jobs to be submitted."""
    seconds = 3
    while '"e":"job"' not in Path(queue.filename).read_text():  # A loaded machine may need longer.
        assert seconds < 100
        spawn(queue, '--timeout', str(seconds)).wait(TIMEOUT)
        seconds *= 3


@pytest.mark.parametrize(
    'how', ['timeout', 'SIGTERM', 'kill', 'queue.kill', 'cancel', 'clear', 'delete', 'killed']
)
def test_manager_leaves_no_job_behind(queue: Queue, slurm: Slurm, spawn: Any, how: str) -> None:
    """Whatever ends a manager whose jobs wait: they do not stay in Slurm."""
    short(manager(queue, 2, nodes_per_worker=1, kwargs={'begin': 'now+1hour'}), 0)(4)
    if how == 'timeout':
        spawn_for_a_while(queue, spawn)
        assert not slurm.jobs('PENDING,RUNNING')
        return
    process = spawn(queue)
    wait_for(
        lambda: len(slurm.jobs('PENDING')) == 2 and len(followed(queue).jobs) == 2,
        'two jobs wait',
    )
    if how == 'SIGTERM':
        process.terminate()
    elif how in ('kill', 'killed'):
        if how == 'killed':
            process.kill()
            process.wait()
        done = subprocess.run(
            [sys.executable, '-m', 'desipipe', 'kill', '-q', queue.folder],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0 and 'cancelled 2 jobs' in done.stdout, done
    elif how == 'queue.kill':
        queue.kill()
    elif how in ('cancel', 'clear', 'delete'):
        getattr(queue, how)()
    process.wait(TIMEOUT)
    assert not slurm.jobs('PENDING,RUNNING')


def test_shell_decides_nothing(
    queue: Queue, slurm: Slurm, spawn: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Variables of sbatch do not win over what the provider says."""
    for name, value in {
        'ACCOUNT': 'desy',
        'TIMELIMIT': '1',
        'JOB_NAME': 'mine',
        'ARRAY_INX': '0-3',
        'WAIT': '1',
        'PARTITION': 'debug',
        'EXPORT': 'NONE',
    }.items():
        monkeypatch.setenv(f'SBATCH_{name}', value)
    short(manager(queue, account='desi', time='20', kwargs={'begin': 'now+1hour'}), 0)(1)
    manager_process = spawn(queue)
    wait_for(lambda: slurm.jobs('PENDING'), 'a job waits')
    (row,) = slurm.run('squeue', '-h', '--array', '-o', '%a %l %P %j').splitlines()
    account, limit, partition, name = row.split()
    assert (account, limit, partition) == ('desi', '20:00', 'regular') and name.startswith(
        'desipipe-test-'
    )
    manager_process.terminate()
    manager_process.wait(TIMEOUT)


@pytest.mark.parametrize(
    'kwargs',
    [{'mem-per-cpu': 100}, {'export': 'NONE'}, {'mem-per-cpu': 100, 'export': 'NONE', 'c': 2}],
)
def test_jobs_of_several_nodes_whatever_is_asked_for(
    queue: Queue, spawn: Any, kwargs: dict[str, Any]
) -> None:
    """The step of the workers gets the environment of the job and all of its memory."""
    provider = {
        'provider': 'nersc',
        'time': '10',
        'threshold_nodes': 2,
        'kwargs': kwargs,
    }  # one job with both nodes
    futures = short(TaskManager(queue, scheduler=dict(max_workers=2), provider=provider), 0.5)(2)
    spawn(queue)
    assert [future.result(timeout=TIMEOUT)[0] for future in futures] == [0, 1]


def test_accounts_are_believed_when_the_controller_says_nothing(
    queue: Queue, slurm: Slurm, spawn: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The jobs that wait are not submitted again."""
    folder, silent = tmp_path / 'bin', tmp_path / 'silent'
    folder.mkdir()
    path = subprocess.run(
        ['which', 'squeue'], capture_output=True, text=True, check=True
    ).stdout.strip()
    (folder / 'squeue').write_text(
        f'#!/bin/bash\nif [ -e {silent} ]; then echo x >> {silent}; exit 0; fi\nexec {path} "$@"\n'
    )
    (folder / 'squeue').chmod(0o755)
    monkeypatch.setenv('PATH', f'{folder}{os.pathsep}{os.environ["PATH"]}')
    futures = short(manager(queue, 2, nodes_per_worker=1, kwargs={'begin': 'now+1hour'}), 0)(4)
    spawn(queue)
    wait_for(
        lambda: queue.ledger.follow() is not None and len(queue.ledger.state.jobs) == 2,
        'two jobs are known',
    )
    jobs = set(slurm.jobs())
    silent.touch()
    wait_for(lambda: silent.read_text().count('x') >= 4, 'some silent answers')
    silent.unlink()
    for job in slurm.run('squeue', '-h', '--array', '-o', '%i').split():
        slurm.run('scontrol', 'update', f'jobid={job}', 'StartTime=now')
    assert [future.result(timeout=TIMEOUT)[0] for future in futures] == [0, 1, 2, 3]
    assert set(slurm.jobs()) <= jobs  # Slurm forgets those of earlier tests meanwhile
