"""The manager over a Slurm that answers oddly: nothing is lost, nothing is left behind, and
there are never more jobs than there may be.
"""

from __future__ import annotations

import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_slurm import FakeSlurm
from polling import wait_for

from desipipe import Queue, TaskManager
from desipipe.view.queue import queue_summary

TIMEOUT = 120.0  # s; only what hangs takes so long
STEP = '0.1'


@pytest.fixture
def queue(queue_dir: Path, slurm: FakeSlurm) -> Queue:
    return Queue('q', create=True)


@pytest.fixture
def manage(queue: Queue) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start managers; they are gone after the test."""
    processes: list[subprocess.Popen[str]] = []

    def start(*options: str) -> subprocess.Popen[str]:
        log = open(Path(queue.folder).parent / 'manager.log', 'a')
        argv = [
            sys.executable,
            '-m',
            'desipipe',
            'spawn',
            '-q',
            queue.folder,
            '--timestep',
            STEP,
            *options,
        ]
        processes.append(subprocess.Popen(argv, stdout=log, stderr=log, text=True))
        log.close()
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()
    print((Path(queue.folder).parent / 'manager.log').read_text()[-3000:])


def pipeline(
    queue: Queue, n: int, most: int = 2, environ: Any = None, first: int = 0, **provider: Any
) -> list[Any]:
    """Add tasks whose workers are jobs."""
    tm = TaskManager(
        queue,
        environ=environ,
        scheduler=dict(max_workers=most),
        provider={'provider': 'slurm', 'time': '10', **provider},
    )

    @tm.python_app
    def work(i: int) -> int:
        import time

        time.sleep(0.05)
        return i

    return [work(i) for i in range(first, first + n)]


def silence(slurm: FakeSlurm, sacct: str = 'empty') -> None:
    """Let Slurm take jobs, keep them pending, and never tell of them."""
    for knob, answer in (('hold', '1'), ('sbatch', 'lose'), ('squeue', 'empty'), ('sacct', sacct)):
        slurm.set(knob, answer)


def was_reported(queue: Queue, text: str) -> bool:
    """Return True once a manager has said it, even where it was withdrawn since."""
    return text in Path(queue.filename).read_text()


def manager_message(queue: Queue) -> str:
    """Return what the manager, or the last one, says."""
    queue.ledger.follow()
    manager = queue.ledger.state.manager or queue.ledger.state.last_manager
    return manager.get('says', '') if manager else ''


def known_jobs(queue: Queue) -> dict[str, Any]:
    """Return the jobs that the journal knows."""
    queue.ledger.follow()
    return queue.ledger.state.jobs


def count(slurm: FakeSlurm, name: str) -> int:
    return len(slurm.calls(name))


def desipipe(*argv: str) -> str:
    done = subprocess.run(
        [sys.executable, '-m', 'desipipe', *argv], capture_output=True, text=True, timeout=TIMEOUT
    )
    return done.stdout + done.stderr


# --- nothing is left behind


@pytest.mark.parametrize(
    'how',
    [
        'timeout',
        'SIGTERM',
        'SIGQUIT',
        'kill',
        'queue.kill',
        'compact and cancel',
        'clear',
        'delete',
        'rmtree',
    ],
)
def test_jobs_that_wait_do_not_outlive_their_manager(
    queue: Queue, slurm: FakeSlurm, manage: Any, how: str
) -> None:
    slurm.set('hold', '1')
    pipeline(queue, 3)
    if how == 'timeout':
        manager = manage_for_a_while(slurm, manage)
    else:
        manager = manage()
        wait_for(lambda: len(slurm.jobs('PENDING')) == 2, 'two jobs wait')
    if how.startswith('SIG'):
        manager.send_signal(signal.Signals[how])
    elif how == 'kill':
        assert 'ended the manager' in desipipe(how, '-q', queue.folder)
    elif how in ('clear', 'delete'):
        getattr(queue, how)()
    elif how == 'queue.kill':
        queue.kill()
    elif how == 'rmtree':
        import shutil

        shutil.rmtree(queue.folder)
    elif how == 'compact and cancel':
        queue.compact()
        queue.cancel()
    manager.wait(TIMEOUT)
    assert not slurm.jobs('PENDING', 'RUNNING')
    if how in ('timeout', 'SIGTERM', 'kill', 'compact and cancel'):
        queue.ledger.follow()
        assert not queue.ledger.state.jobs and not queue.ledger.state.submissions


def manage_for_a_while(slurm: FakeSlurm, manage: Any) -> subprocess.Popen[str]:
    """Run a manager with a time limit that was long enough for its jobs to be submitted."""
    seconds = 1.5
    while not slurm.jobs():  # A loaded machine may need longer than that.
        assert seconds < 100
        manager: subprocess.Popen[str] = manage('--timeout', str(seconds))
        manager.wait(TIMEOUT)
        seconds *= 3
    assert len(slurm.jobs()) == 2
    return manager


@pytest.mark.parametrize('by', ['kill', 'spawn', 'clear', 'delete'])
def test_jobs_of_a_manager_that_was_killed(
    queue: Queue, slurm: FakeSlurm, manage: Any, by: str
) -> None:
    """Whoever comes next withdraws them, whatever the manager was about to do."""
    slurm.set('hold', '1')
    pipeline(queue, 3)
    manager = manage()
    wait_for(lambda: len(slurm.jobs('PENDING')) == 2, 'two jobs wait')
    manager.kill()
    manager.wait()
    if by == 'kill':
        assert 'cancelled 2 jobs that had not begun' in desipipe('kill', '-q', queue.folder)
    elif by == 'spawn':
        queue.cancel()
        manage().wait(TIMEOUT)
    elif by == 'clear':
        queue.clear()
    else:
        queue.delete(kill=False)
    assert not slurm.jobs('PENDING', 'RUNNING')
    if by in ('kill', 'spawn'):
        queue.ledger.follow()
        assert not queue.ledger.state.jobs


def test_scancel_that_fails_is_repeated(queue: Queue, slurm: FakeSlurm, manage: Any) -> None:
    slurm.set('hold', '1')
    slurm.set('scancel', '1*fail', '')
    pipeline(queue, 3)
    manager = manage()
    wait_for(lambda: len(slurm.jobs('PENDING')) == 2, 'two jobs wait')
    queue.cancel()
    manager.wait(TIMEOUT)
    assert not slurm.jobs('PENDING')


def test_killed_between_sbatch_and_its_note(queue: Queue, slurm: FakeSlurm, manage: Any) -> None:
    """The manager dies while sbatch runs: what is submitted is known by its name."""
    slurm.set('hold', '1')
    slurm.set('sbatch', 'hang 1')
    pipeline(queue, 2)
    manager = manage()
    wait_for(lambda: slurm.calls('sbatch'), 'sbatch runs')
    manager.kill()
    manager.wait()
    queue.ledger.follow()
    assert len(queue.ledger.state.submissions) == 1
    slurm.set('sbatch')
    manage()
    wait_for(
        lambda: len(known_jobs(queue)) == 2 and not queue.ledger.state.submissions,
        'the jobs are known',
    )
    assert count(slurm, 'sbatch') == 1
    slurm.set('hold')
    wait_for(lambda: queue.counts['SUCCEEDED'] == 2, 'all ran')


def test_kill_withdraws_what_nobody_knows_of(queue: Queue, slurm: FakeSlurm, manage: Any) -> None:
    silence(slurm, sacct='fail')
    pipeline(queue, 2)
    manager = manage()
    wait_for(
        lambda: (
            'may have been submitted' in manager_message(queue)
            or 'not even its titles' in manager_message(queue)
        ),
        'it is said',
    )
    manager.kill()
    manager.wait()
    assert slurm.jobs('PENDING')
    desipipe('kill', '-q', queue.folder)
    assert not slurm.jobs('PENDING')


# --- answers that are not believed


@pytest.mark.parametrize(
    ('squeue', 'sacct'),
    [
        ('empty', ''),
        ('empty', 'fail'),
        ('garbage', 'empty'),
        ('none', ''),
        ('cut', 'empty'),
        ('other', 'other'),
        ('merged', 'merged'),
    ],
)
def test_jobs_that_are_not_shown_are_there(
    queue: Queue, slurm: FakeSlurm, manage: Any, squeue: str, sacct: str
) -> None:
    slurm.set('hold', '1')
    pipeline(queue, 4)
    manage()
    wait_for(lambda: len(known_jobs(queue)) == 2, 'two jobs are known')
    slurm.set('sacct', sacct)
    slurm.set('squeue', squeue)
    asked = count(slurm, 'squeue')
    wait_for(lambda: count(slurm, 'squeue') >= asked + 4, 'some answers')
    assert count(slurm, 'sbatch') == 1
    queue.ledger.follow()
    assert len(queue.ledger.state.jobs) == 2
    slurm.set('squeue')
    slurm.set('sacct')
    slurm.set('hold')
    wait_for(lambda: queue.counts['SUCCEEDED'] == 4, 'all ran')
    assert slurm.most() == 2


@pytest.mark.parametrize('answer', ['lose', 'garble', 'fail', 'hang 1'])
def test_sbatch_that_took_the_job(queue: Queue, slurm: FakeSlurm, manage: Any, answer: str) -> None:
    """One submission, whatever is said of it, and no other before it is known what became of it."""
    slurm.set('sbatch', answer)
    futures = pipeline(queue, 4)
    manager = manage()
    wait_for(lambda: all(future.done() for future in futures), 'all ran')
    manager.wait(TIMEOUT)
    assert slurm.most() == 2 and len(slurm.jobs()) == 2
    wait_for(lambda: not slurm.jobs('PENDING', 'RUNNING'), 'nothing is left')


def test_part_of_an_array_is_shown(queue: Queue, slurm: FakeSlurm, manage: Any) -> None:
    """Of what sbatch took without saying so, the rest is there too."""
    slurm.set('hold', '1')
    slurm.set('sbatch', 'lose')
    slurm.set('squeue', 'some')
    slurm.set('sacct', 'empty')
    pipeline(queue, 9, 5)
    manage()
    wait_for(lambda: len(known_jobs(queue)) == 5, 'all are known')
    assert len(slurm.jobs()) == 5


def test_squeue_without_titles(queue: Queue, slurm: FakeSlurm, manage: Any) -> None:
    """One that never prints any says nothing where there are no jobs: it is tried with one job."""
    slurm.set('squeue', 'untitled')
    slurm.set('sbatch', '1*vanish', '')
    futures = pipeline(queue, 4, 3)
    manage()
    wait_for(lambda: all(future.done() for future in futures), 'all ran')
    assert slurm.most() <= 3
    assert '--array' not in ' '.join(slurm.calls('sbatch')[0][1])


def test_jobs_are_bounded_where_slurm_says_nothing(
    queue: Queue, slurm: FakeSlurm, manage: Any
) -> None:
    """All that may have been submitted counts, for ever."""
    silence(slurm)
    pipeline(queue, 9, 3)
    manager = manage()
    wait_for(lambda: count(slurm, 'sbatch') == 3, 'three submissions')
    asked = count(slurm, 'squeue')
    wait_for(lambda: count(slurm, 'squeue') >= asked + 6, 'more answers')
    assert count(slurm, 'sbatch') == len(slurm.jobs('PENDING')) == 3
    manager.terminate()
    manager.wait(TIMEOUT)
    assert not slurm.jobs('PENDING')


def test_silent_slurm_is_told(queue: Queue, slurm: FakeSlurm, manage: Any) -> None:
    """Nothing is submitted again as long as Slurm does not say what became of the first; the
    reason is in `status`.
    """
    silence(slurm)
    pipeline(queue, 4)
    manage()
    wait_for(
        lambda: count(slurm, 'squeue') >= 4 and 'not even its titles' in manager_message(queue),
        'some answers',
    )
    assert len(slurm.jobs()) <= 2
    assert 'not even its titles' in desipipe('status', '-q', queue.folder)


def test_clusters_are_remembered(queue: Queue, slurm: FakeSlurm, manage: Any) -> None:
    """By the next manager, and by `desipipe kill`."""
    slurm.set('hold', '1')
    pipeline(queue, 3, kwargs={'M': 'other'})
    manager = manage()
    wait_for(lambda: len(known_jobs(queue)) == 2, 'two jobs are known')
    manager.kill()
    manager.wait()
    second = manage()
    asked = count(slurm, 'squeue')
    wait_for(lambda: count(slurm, 'squeue') >= asked + 3, 'the second looks')
    assert count(slurm, 'sbatch') == 1
    second.kill()
    second.wait()
    queue.compact()
    assert '101_0@other' in desipipe('kill', '-q', queue.folder)
    assert not slurm.jobs('PENDING')


def test_work_on_another_cluster(queue: Queue, slurm: FakeSlurm, manage: Any) -> None:
    futures = pipeline(queue, 3, kwargs={'clusters': 'other'})
    here = pipeline(queue, 3, first=3)
    manager = manage()
    wait_for(lambda: all(future.done() for future in (*futures, *here)), 'all ran')
    manager.wait(TIMEOUT)
    wait_for(lambda: not slurm.jobs('PENDING', 'RUNNING'), 'nothing is left')
    queue.ledger.follow()
    jobs = {worker.job for worker in queue.ledger.state.workers.values()}
    assert {job.endswith('@other') for job in jobs} == {True, False}


def test_number_that_comes_again(queue: Queue, slurm: FakeSlurm, manage: Any) -> None:
    """Slurm's numbers begin again: another job of that number is neither waited for nor
    cancelled.
    """
    slurm.set('hold', '1')
    pipeline(queue, 1)
    manager = manage()
    wait_for(lambda: known_jobs(queue), 'a job is known')
    manager.kill()
    manager.wait()
    with slurm as state:
        state['jobs']['101'].update(name='thesis')
    desipipe('kill', '-q', queue.folder)
    assert slurm.jobs() == {'101': 'PENDING'}


# --- temporary is not final, and endless is not good


@pytest.mark.parametrize(
    'text',
    ['Batch job submission failed: System submissions disabled', 'the cluster sleeps until Monday'],
)
def test_refusals_that_pass(queue: Queue, slurm: FakeSlurm, manage: Any, text: str) -> None:
    """One job tries, and when it is taken the others follow."""
    slurm.set('sbatch', f'3*refuse {text}', '')
    futures = pipeline(queue, 4, 4)
    manager = manage()
    wait_for(lambda: all(future.done() for future in futures), 'all ran')
    manager.wait(TIMEOUT)
    assert was_reported(queue, text)
    assert manager_message(queue) == ''
    tries = [' '.join(arguments) for _, arguments in slurm.calls('sbatch')]
    assert '--array=0-3' in tries[0] and all('--array' not in arguments for arguments in tries[1:4])


def test_refusal_that_stays(queue: Queue, slurm: FakeSlurm, manage: Any) -> None:
    slurm.set('sbatch', 'refuse Batch job submission failed: Invalid qos specification')
    pipeline(queue, 2)
    manager = manage()
    wait_for(lambda: 'Slurm refused' in manager_message(queue), 'it is said')
    looks = count(slurm, 'sbatch')
    manager.terminate()
    manager.wait(TIMEOUT)
    assert looks == count(slurm, 'sbatch') == 1
    # The reason stays, also through a compaction.
    queue.compact()
    assert 'Invalid qos specification' in desipipe('status', '-q', queue.folder)
    assert 'Invalid qos specification' in queue_summary(queue)['last_says']


@pytest.mark.parametrize('why', ['environment', 'time'])
def test_jobs_that_take_no_task(queue: Queue, slurm: FakeSlurm, manage: Any, why: str) -> None:
    """They are tried again one by one, ever more rarely."""
    most = 4
    environ = {'command': 'exit 7'} if why == 'environment' else None
    if why == 'time':
        environ = {'data': {'DESIPIPE_JOB_END': '1'}}
    pipeline(queue, 20, most, environ=environ)
    manager = manage()
    log = Path(queue.folder).parent / 'manager.log'
    wait_for(lambda: log.read_text().count('died at once') >= 3, 'three tries')
    tries = [' '.join(arguments) for _, arguments in slurm.calls('sbatch')]
    assert all('--array' not in arguments for arguments in tries[1:])
    assert [
        float(pause)
        for pause in re.findall(r'died at once .* trying again in ([\d.]+) s', log.read_text())
    ][:3] == [0.5, 1, 2]
    manager.terminate()
    manager.wait(TIMEOUT)
    assert 'died at once' in desipipe('status', '-q', queue.folder)


@pytest.mark.parametrize('end', ['-86400', '86400'])
def test_clock_that_is_wrong(queue: Queue, slurm: FakeSlurm, manage: Any, end: str) -> None:
    """A node whose clock is far from the controller's: the time limit counts from when the job
    began.
    """
    slurm.set('end', end)
    futures = pipeline(queue, 3, 1)
    manager = manage()
    wait_for(lambda: all(future.done() for future in futures), 'all ran')
    manager.wait(TIMEOUT)
    assert count(slurm, 'sbatch') == 1


def test_folder_for_output_that_cannot_be_made(
    queue: Queue, slurm: FakeSlurm, manage: Any, tmp_path: Path
) -> None:
    (tmp_path / 'logs').touch()
    futures = pipeline(queue, 1, output=str(tmp_path / 'logs' / 'out-%j'))
    manage()
    wait_for(lambda: f'mkdir -p {tmp_path}/logs' in manager_message(queue), 'it is said')
    assert not slurm.calls('sbatch')
    (tmp_path / 'logs').unlink()
    wait_for(lambda: futures[0].done(), 'it ran')


def test_job_that_waits_for_ever(queue: Queue, slurm: FakeSlurm, manage: Any) -> None:
    slurm.set('hold', '1')
    slurm.set('reason', 'PartitionTimeLimit')
    pipeline(queue, 1)
    manage()
    wait_for(lambda: 'PartitionTimeLimit' in manager_message(queue), 'it is said')
    output = desipipe('doctor', '-q', queue.folder)
    assert 'PartitionTimeLimit' in output and 'All is well' not in output
    slurm.set('reason', 'Priority')
    wait_for(lambda: manager_message(queue) == '', 'it is said no more')


def test_shell_does_not_win(
    queue: Queue, slurm: FakeSlurm, manage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the provider says counts, not SBATCH_… of the shell."""
    for name, value in {
        'ACCOUNT': 'mine',
        'TIMELIMIT': '1',
        'JOB_NAME': 'mine',
        'ARRAY_INX': '0-9',
        'WAIT': '1',
        'OUTPUT': '/dev/null',
        'QOS': 'x',
    }.items():
        monkeypatch.setenv(f'SBATCH_{name}', value)
    monkeypatch.setenv('SLURM_CLUSTERS', 'other')
    futures = pipeline(queue, 1, account='desi', time='30')
    manager = manage()
    wait_for(lambda: futures[0].done(), 'it ran')
    manager.wait(TIMEOUT)
    (job,) = slurm.read()['jobs'].values()
    options = job['options']
    assert (options['account'], options['time'], options['clusters']) == (
        'desi',
        '0-0:30:0',
        'other',
    )
    assert (
        options['job-name'].startswith('desipipe-q-')
        and not {'array', 'wait', 'qos'} & options.keys()
    )


# --- how jobs end


@pytest.mark.parametrize(
    ('fate', 'message', 'again'),
    [
        ('CANCELLED', 'its job was cancelled', False),
        ('PREEMPTED', 'preempted', True),
        ('NODE_FAIL', 'failed', True),
    ],
)
def test_slots_that_die_before_their_worker(
    queue: Queue,
    slurm: FakeSlurm,
    manage: Any,
    tmp_path: Path,
    fate: str,
    message: str,
    again: bool,
) -> None:
    """Slurm that tracks no groups signals each process: what became of the job decides about the
    task, not the signal that its slot died of.
    """
    tm = TaskManager(queue, provider={'provider': 'slurm', 'time': '10'})

    @tm.python_app(retries=3)
    def wait(path: str) -> int:
        import os
        import time

        with open(f'{path}-began', 'a') as file:
            file.write('x')
        while not os.path.exists(path):
            time.sleep(0.02)
        return 1

    go = tmp_path / 'go'
    future = wait(str(go))
    manage()
    wait_for(
        lambda: Path(f'{go}-began').exists() and future.running() and known_jobs(queue),
        'it runs',
    )
    (job,) = known_jobs(queue)
    slurm.set('fate', fate)
    subprocess.run(['scancel', job], check=True)
    slurm.set('fate')
    if again:
        wait_for(lambda: Path(f'{go}-began').read_text() == 'xx', 'it runs again')
        go.touch()
        assert future.result(timeout=TIMEOUT) == 1
        assert message in future.task.attempts[0].cause['text']
        assert not queue.ledger.state.burned
    else:
        wait_for(future.done, 'it ended')
        assert future.state == 'KILLED' and message in future.task.cause
        assert Path(f'{go}-began').read_text() == 'x'


# --- faults of the machine


def test_submission_without_a_temporary_folder(
    queue: Queue, slurm: FakeSlurm, manage: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('TMPDIR', str(tmp_path / 'gone'))
    futures = pipeline(queue, 3)
    manager = manage()
    wait_for(lambda: all(future.done() for future in futures), 'all ran')
    assert manager.wait(TIMEOUT) == 0


@pytest.mark.parametrize(
    ('moment', 'error'),
    [
        ('follow', 'ESTALE'),
        ('write', 'ENOSPC'),
        ('poll', 'EAGAIN'),
        ('beat', 'EIO'),
        ('gone', 'ENOLCK'),
    ],
)
def test_manager_survives_single_faults(
    queue: Queue, slurm: FakeSlurm, moment: str, error: str
) -> None:
    """A call of the manager fails once, or three times in a row, anywhere: it goes on."""
    futures = pipeline(queue, 6, 2)
    code = f"""
import errno, os, sys, threading
from desipipe import Queue
from desipipe.errors import QueueGoneError
from desipipe.execution.manager import Manager
from desipipe.store.lease import Lease
queue = Queue(sys.argv[1], create=False)
manager = Manager(queue, timestep=0.2)
journal, calls = queue.ledger.journal, [0]
def fails(real):
    def call(*args, **kwargs):
        calls[0] += 1
        if calls[0] % 9 in (2, 3, 4):
            raise OSError(errno.{error}, os.strerror(errno.{error}))
        return real(*args, **kwargs)
    return call
moment = {moment!r}
if moment == 'follow': journal.follow = fails(journal.follow)
elif moment == 'write': journal.write = fails(journal.write)
elif moment == 'poll': manager.follower.poll = fails(manager.follower.poll)
elif moment == 'beat': Lease.beat = fails(Lease.beat); manager.lease = 0.1
else:
    real = journal._appender.open
    def gone(*args):
        calls[0] += 1
        if calls[0] % 9 == 2:
            raise QueueGoneError('the queue is gone (deleted by someone?)')
        return real(*args)
    journal._appender.open = gone
manager.run()
assert calls[0] > 2, calls
"""
    done = subprocess.run(
        [sys.executable, '-c', code, queue.folder], capture_output=True, text=True, timeout=TIMEOUT
    )
    assert done.returncode == 0, done.stderr
    assert [future.result(timeout=0) for future in futures] == list(range(6))
    wait_for(lambda: not slurm.jobs('PENDING', 'RUNNING'), 'nothing is left')


# --- a bound that holds whatever Slurm says


@pytest.mark.parametrize('seed', range(2))
def test_jobs_are_never_too_many(queue: Queue, slurm: FakeSlurm, manage: Any, seed: int) -> None:
    """Slurm answers at random for a while, and managers die: there are never more slots than
    allowed, all runs, nothing is left.
    """
    weather(queue, slurm, manage, random.Random(seed), 12)


def weather(
    queue: Queue, slurm: FakeSlurm, manage: Any, chance: random.Random, changes: int
) -> None:
    """Run tasks while the weather changes."""
    answers = {
        'sbatch': [
            '',
            '',
            '',
            'lose',
            'vanish',
            'garble',
            'fail',
            'refuse Requested nodes are busy',
            'hang 0.3',
            'refuse AssocMaxSubmitJobLimit',
        ],
        'squeue': [
            '',
            '',
            '',
            'empty',
            'none',
            'fail',
            'fail_right',
            'cut',
            'double',
            'garbage',
            'merged',
            'other',
            'some',
            'stale',
            'untitled',
            'hang 0.3',
        ],
        'sacct': [
            '',
            '',
            'empty',
            'fail',
            'cut',
            'double',
            'garbage',
            'merged',
            'other',
            'some',
            'stale',
        ],
        'scancel': ['', '', 'fail', 'ignore'],
        'hold': ['', '', '1'],
    }
    most = 3
    futures = pipeline(queue, 30, most)
    manager = manage()
    for _ in range(changes):
        for knob, possible in answers.items():
            slurm.set(knob, chance.choice(possible))
        calls, deadline = count(slurm, 'squeue'), time.monotonic() + 1.5
        while (
            manager.poll() is None
            and count(slurm, 'squeue') < calls + 2
            and time.monotonic() < deadline
        ):
            time.sleep(0.05)
        assert slurm.most() <= most
        if manager.poll() is None and chance.random() < 0.15:
            manager.kill()
            manager.wait()
        if manager.poll() is not None:
            manager = manage()
    for knob in answers:
        slurm.set(knob)
    wait_for(lambda: all(future.done() for future in futures), 'all ended')
    manager.wait(TIMEOUT)
    assert [future.state for future in futures] == ['SUCCEEDED'] * len(futures)
    assert slurm.most() <= most
    wait_for(lambda: not slurm.jobs('PENDING', 'RUNNING'), 'nothing is left')
    queue.ledger.follow()
    assert not queue.ledger.state.submissions
