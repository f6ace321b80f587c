"""Workers, with real processes: what they run, what they capture, and what becomes of a task
whose process dies.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from polling import TIMEOUT_S, wait_for
from workers import WORK, work

from desipipe import Queue, TaskManager
from desipipe.errors import (
    PayloadError,
    ResultError,
    TaskCancelledError,
    TaskFailedError,
    TaskKilledError,
)
from desipipe.execution.duties.notes import Notes
from desipipe.execution.worker import Worker
from desipipe.provenance import process_alive
from desipipe.queue.events import PENDING
from desipipe.queue.ledger import Ledger
from desipipe.queue.queue import open_queue


def notebook(text: str) -> dict[str, Any]:
    """What cells define: its code is that of ``__main__``."""
    namespace: dict[str, Any] = {'__name__': '__main__'}
    exec(textwrap.dedent(text), namespace)  # noqa: S102
    return namespace


def test_results_and_dependencies(queue: Queue, tm: TaskManager) -> None:
    @tm.python_app
    def double(i: int) -> int:
        return 2 * i

    @tm.python_app
    def total(values: list[int], more: dict[str, Any]) -> int:
        return sum(values) + sum(more['nested'][0])

    @tm.bash_app
    def echo(value: int) -> list[str]:
        return ['echo', '-n', f'total is {value}']

    doubles = double.map(i=range(30))
    sums = total(doubles[:10], {'nested': (doubles[10:],)})
    output = echo(sums)
    work(queue, '--slots', '2')
    assert [future.result(timeout=0) for future in doubles] == list(range(0, 60, 2))
    assert sums.result(timeout=0) == sum(range(0, 60, 2))
    assert output.out(timeout=0) == 'total is 870'
    assert queue.counts['SUCCEEDED'] == 32


def test_worker_waits_after_an_exchange(
    queue: Queue, tm: TaskManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    @tm.python_app
    def double(i: int) -> int:
        return 2 * i

    tasks = double.map(i=range(3))
    overdue: list[float] = []
    wait = Worker._wait

    def note_wait(self: Worker, until: float) -> None:
        if until == self._pace.next_exchange:  # on one host there is no pause before the next one
            overdue.append(until)
        wait(self, until)

    monkeypatch.setattr(Worker, '_wait', note_wait)
    Worker(queue).run()
    assert [task.result(timeout=0) for task in tasks] == [0, 2, 4]
    assert not overdue, 'another turn at once, in which nothing is new'


def test_large_arrays_are_views(queue: Queue, tm: TaskManager) -> None:
    np = pytest.importorskip('numpy')

    @tm.python_app
    def ones(n: int) -> Any:
        import numpy as np

        return {'ones': np.ones(n), 'name': 'a'}

    @tm.python_app
    def add(value: dict[str, Any], other: Any) -> float:
        assert not value['ones'].flags.owndata
        return float(value['ones'].sum() + other.sum())

    large = ones(400_000)
    added = add(large, np.arange(200_000.0))
    work(queue)
    result = large.result(timeout=0)
    assert result['name'] == 'a'
    assert not result['ones'].flags.owndata
    assert result['ones'].ctypes.data % 64 == 0
    assert added.result(timeout=0) == 400_000 + np.arange(200_000.0).sum()


@pytest.mark.parametrize(
    ('how', 'message'),
    [
        ('import ctypes; ctypes.string_at(0)', 'segmentation fault: signal 11 (SIGSEGV)'),
        ('import os; os._exit(3)', 'exit status 3'),
        ('import os; os.kill(os.getpid(), 9)', 'signal 9 (SIGKILL)'),
        ('import os; os.abort()', 'abort: signal 6 (SIGABRT)'),
    ],
)
def test_crash_costs_one_attempt_of_one_task(
    queue: Queue, tm: TaskManager, how: str, message: str
) -> None:
    @tm.python_app
    def crash(how: str) -> None:
        print('so far', flush=True)
        exec(how)  # noqa: S102

    @tm.python_app
    def fine(i: int) -> int:
        return i

    before = fine.map(i=range(5))
    crashed = crash(how)
    after = fine.map(i=range(5, 300))
    work(queue)
    assert [future.result(timeout=0) for future in before + after] == list(range(300))
    with pytest.raises(TaskKilledError, match='was ended') as caught:
        crashed.result(timeout=0)
    assert message in str(caught.value)
    assert 'desipipe retry' in str(caught.value)
    assert len(crashed.task.attempts) == 1
    assert crashed.out() == 'so far\n'
    assert queue.counts['SUCCEEDED'] == 300


def test_output_of_each_is_its_own(queue: Queue, tm: TaskManager) -> None:
    @tm.python_app
    def speak(i: int) -> None:
        import ctypes
        import os
        import subprocess
        import sys

        print('python', i)
        ctypes.CDLL(None).printf(
            f'c library {i}\n'.encode()
        )  # buffered by C, with no newline of Python's
        os.system(f'echo shell {i}; echo shell error {i} >&2')
        subprocess.run(['echo', f'subprocess {i}'], check=True)
        print('error', i, file=sys.stderr)

    @tm.python_app
    def silent(i: int) -> int:
        return i

    spoken, quiet = [], []
    for i in range(20):
        spoken.append(speak(i))
        quiet.append(silent(i))
    work(queue, '--slots', '2')
    for i, future in enumerate(spoken):
        assert sorted(future.out(timeout=0).splitlines()) == sorted(
            [f'python {i}', f'c library {i}', f'shell {i}', f'subprocess {i}']
        )
        assert future.err() == f'shell error {i}\nerror {i}\n'
    assert {future.out(timeout=0) + future.err() for future in quiet} == {''}


def test_output_is_bounded(queue_dir: Path) -> None:
    queue = Queue('bounded', create=True)
    (Path(os.environ['DESIPIPE_CONFIG_DIR'])).mkdir(exist_ok=True, parents=True)
    (Path(os.environ['DESIPIPE_CONFIG_DIR']) / 'config.yaml').write_text('output_limit: 1000\n')
    tm = TaskManager(queue)

    @tm.python_app
    def shout() -> None:
        for i in range(100_000):
            print(f'line {i:06d}')

    future = shout()
    work(queue)
    out = future.out(timeout=0)
    assert out.startswith('line 000000\n')
    assert out.endswith('line 099999\n')
    assert '[desipipe: 1199000 of 1200000 bytes cut here' in out
    assert len(out) < 1200


def test_output_is_followed_live(
    queue: Queue, tm: TaskManager, start: Callable[..., Any], tmp_path: Path
) -> None:
    @tm.python_app
    def wait(path: str) -> None:
        import os
        import time

        print('waiting')
        while not os.path.exists(path):
            time.sleep(0.01)

    future = wait(str(tmp_path / 'go'))
    start()
    wait_for(
        lambda: any(
            'waiting' in path.read_text(errors='replace')
            for path in Path(queue.folder, 'live').iterdir()
        )
    )
    assert future.running()
    (tmp_path / 'go').touch()
    assert future.out(timeout=60) == 'waiting\n'


@pytest.mark.parametrize(
    'command', ['echo out; echo err >&2; exit 3', ['sh', '-c', 'echo out; echo err >&2; exit 3']]
)
def test_bash_exit_status(queue: Queue, tm: TaskManager, command: Any) -> None:
    @tm.bash_app
    def run(command: Any) -> Any:
        return command

    future = run(command)
    work(queue)
    with pytest.raises(TaskFailedError, match='exit status 3'):
        future.result(timeout=0)
    assert (future.out(), future.err(), future.task.errno) == ('out\n', 'err\n', 3)


def test_exceptions_come_back(queue: Queue, tm: TaskManager) -> None:
    class Own(Exception):
        def __init__(self, a: int, b: int) -> None:
            super().__init__(f'{a} and {b}')  # can't be unpickled with one argument

    @tm.python_app
    def fail(which: str) -> None:
        if which == 'own':
            raise Own(1, 2)
        if which == 'exit':
            raise SystemExit(7)
        raise ValueError('size must be positive')

    plain, own, leave = fail('plain'), fail('own'), fail('exit')
    work(queue)
    with pytest.raises(ValueError, match='size must be positive') as caught:
        plain.result(timeout=0)
    cause = caught.value.__cause__
    assert isinstance(cause, TaskFailedError)
    for text in (
        plain.id[:12],
        'in fail',
        'ValueError: size must be positive',
        'desipipe logs',
        'desipipe retry',
    ):
        assert text in str(cause)
    with pytest.raises(Exception, match='1 and 2'):
        own.result(timeout=0)
    with pytest.raises(TaskFailedError, match='SystemExit: 7'):
        leave.result(timeout=0)
    assert isinstance(plain.exception(), ValueError)


def test_retries(queue: Queue, tm: TaskManager, tmp_path: Path) -> None:
    @tm.python_app(retries=2)
    def third_time(path: str) -> int:
        import os

        with open(path, 'a') as file:
            file.write('x')
        if os.path.getsize(path) < 3:
            raise RuntimeError('not yet')
        return os.path.getsize(path)

    @tm.python_app(retries=5, retry_on=(OSError,))
    def other_error(path: str) -> None:
        with open(path, 'a') as file:
            file.write('x')
        raise ValueError('not to be retried')

    @tm.python_app(retries=1, retry_on='KILLED')
    def dies(path: str) -> str:
        import os

        if not os.path.exists(path):
            open(path, 'w').close()
            os._exit(1)
        return 'lived'

    a, b, c = (
        third_time(str(tmp_path / 'a')),
        other_error(str(tmp_path / 'b')),
        dies(str(tmp_path / 'c')),
    )
    work(queue)
    assert a.result(timeout=0) == 3
    assert [attempt.number for attempt in a.task.attempts] == [1, 2, 3]
    with pytest.raises(ValueError, match='not to be retried'):
        b.result(timeout=0)
    assert (tmp_path / 'b').read_text() == 'x'
    assert c.result(timeout=0) == 'lived'


def running_commands() -> list[list[str]]:
    """Return the arguments of each process of this machine."""
    commands = []
    for path in Path('/proc').glob('[0-9]*/cmdline'):
        with contextlib.suppress(OSError):  # It has ended since it was listed.
            commands.append(path.read_text(errors='replace').split('\0'))
    return commands


def test_timeout_kills_what_the_task_started(queue: Queue, tm: TaskManager) -> None:
    # The command's argument finds it, as it may be killed before it could write down its pid.
    seconds = f'1000.{os.getpid():d}{time.time_ns():d}'

    @tm.bash_app(timeout=0.5)
    def sleep(seconds: str) -> str:
        return f'sleep {seconds} & wait'

    @tm.python_app
    def after() -> str:
        return 'ran'

    future, other = sleep(seconds), after()
    work(queue)
    with pytest.raises(TaskKilledError, match=r'timeout: it ran longer than 0\.5 s'):
        future.result(timeout=0)
    assert other.result(timeout=0) == 'ran'
    wait_for(lambda: not any(seconds in command for command in running_commands()))


def test_cancel_pending_and_running(
    queue: Queue, tm: TaskManager, start: Callable[..., Any], tmp_path: Path
) -> None:
    @tm.python_app
    def wait(i: int, path: str) -> int:
        import os
        import time

        while not os.path.exists(path):
            time.sleep(0.01)
        return i

    futures = [wait(i, str(tmp_path / 'go')) for i in range(3)]
    start('--slots', '1')
    wait_for(futures[0].running)
    assert futures[0].cancel()
    assert futures[2].cancel()
    wait_for(futures[1].running)
    (tmp_path / 'go').touch()
    assert futures[1].result(timeout=60) == 1
    assert not futures[1].cancel()
    for future in (futures[0], futures[2]):
        assert future.cancelled()
        with pytest.raises(TaskCancelledError):
            future.result(timeout=60)


def test_long_tasks_are_not_hoarded(
    queue: Queue, tm: TaskManager, start: Callable[..., Any], tmp_path: Path
) -> None:
    # Hundreds of short tasks teach the worker to hand out many at once; then one turns out to be
    # long: what stands behind it must run.
    @tm.python_app
    def short(i: int, path: str) -> int:
        import os
        import time

        while i == 500 and not os.path.exists(path):
            time.sleep(0.01)
        return i

    futures = short.map(i=range(1000), path=str(tmp_path / 'go'))
    start('--slots', '2')
    others = [future for i, future in enumerate(futures) if i != 500]
    assert [future.result(timeout=60) for future in others] == [i for i in range(1000) if i != 500]
    wait_for(futures[500].running)  # It may have been given back as the last one.
    (tmp_path / 'go').touch()
    assert futures[500].result(timeout=60) == 500


@pytest.mark.parametrize(('mode', 'state'), [('', 'KILLED'), ('retry_at_timeout', 'PENDING')])
def test_sigterm_gives_back(
    queue: Queue, tm: TaskManager, start: Callable[..., Any], tmp_path: Path, mode: str, state: str
) -> None:
    @tm.python_app
    def wait(i: int, path: str) -> None:

        import time

        open(f'{path}/{i}', 'w').close()
        time.sleep(1000)

    (tmp_path / 'begun').mkdir()
    futures = wait.map(i=range(5), path=str(tmp_path / 'begun'))
    process = start('--slots', '2', *(['--mode', mode] if mode else []))
    wait_for(
        lambda: len(list((tmp_path / 'begun').iterdir())) == 2
    )  # what is only claimed goes back to PENDING in any case
    process.terminate()
    assert process.wait(60) == 0
    assert queue.counts[state] == (2 if state == 'KILLED' else 5)
    assert queue.counts['PENDING'] == (3 if state == 'KILLED' else 5)
    assert queue.counts['RUNNING'] == 0
    assert not queue.processes()
    if state == 'KILLED':
        with pytest.raises(TaskKilledError, match='SIGTERM'):
            futures[0].result(timeout=0)


@pytest.mark.parametrize('number', [signal.SIGHUP, signal.SIGQUIT, signal.SIGXCPU])
def test_other_signals_end_a_worker_in_order_too(
    queue: Queue, tm: TaskManager, start: Callable[..., Any], tmp_path: Path, number: signal.Signals
) -> None:
    @tm.python_app
    def wait(i: int, path: str) -> None:

        import time

        open(f'{path}/{i}', 'w').close()
        time.sleep(1000)

    futures = wait.map(i=range(3), path=str(tmp_path))
    inherited = signal.signal(number, signal.SIG_DFL)  # nohup has it ignored: a worker leaves it so
    try:
        process = start('--slots', '2')
    finally:
        signal.signal(number, inherited)
    wait_for(lambda: len(list(tmp_path.glob('[0-9]'))) == 2)
    process.send_signal(number)
    assert process.wait(60) == 0
    assert (queue.counts['KILLED'], queue.counts['PENDING']) == (2, 1)
    assert not queue.processes()
    with pytest.raises(TaskKilledError, match=number.name):
        futures[0].result(timeout=0)


def test_worker_without_a_terminal_ignores_its_end(
    queue: Queue, tm: TaskManager, start: Callable[..., Any]
) -> None:
    @tm.python_app
    def handlers() -> list[bool]:
        import os
        import signal

        status = open(f'/proc/{os.getppid()}/status').read()
        ignored = int(status.partition('SigIgn:')[2].split()[0], 16)
        return [bool(ignored >> (number - 1) & 1) for number in (signal.SIGHUP, signal.SIGTERM)]

    future = handlers()
    start(preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    assert future.result(timeout=60) == [True, False]


@pytest.mark.parametrize(('mode', 'state'), [('', 'KILLED'), ('retry_at_timeout', 'PENDING')])
def test_signal_to_all_processes_of_a_job_is_judged_once(
    queue: Queue, tm: TaskManager, start: Callable[..., Any], tmp_path: Path, mode: str, state: str
) -> None:
    # As Slurm does without cgroups; the slots die before the worker is told.
    @tm.python_app
    def wait(i: int, path: str) -> None:
        import os
        import time

        with open(f'{path}/{i}.new', 'w') as file:
            file.write(str(os.getpid()))
        os.rename(f'{path}/{i}.new', f'{path}/{i}')
        time.sleep(1000)

    futures = wait.map(i=range(4), path=str(tmp_path))
    process = start('--slots', '2', *(['--mode', mode] if mode else []))
    wait_for(lambda: len(list(tmp_path.glob('[0-9]'))) == 2)
    slots = [int(path.read_text()) for path in tmp_path.glob('[0-9]')]
    for pid in slots:
        os.kill(pid, signal.SIGTERM)
    wait_for(lambda: not any(process_alive(pid) for pid in slots))
    process.terminate()
    assert process.wait(60) == 0
    assert queue.counts[state] == (2 if state == 'KILLED' else 4)
    if state == 'KILLED':
        with pytest.raises(TaskKilledError, match='its worker was told to end'):
            futures[0].result(timeout=0)


def test_many_slots_have_descriptors(
    queue: Queue, tm: TaskManager, start: Callable[..., Any]
) -> None:
    import resource

    @tm.python_app
    def limit(i: int) -> int:
        import resource
        import time

        time.sleep(0.2)
        return resource.getrlimit(resource.RLIMIT_NOFILE)[0]

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    futures = limit.map(i=range(24))
    worker = start(
        '--slots', '24', preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    )
    assert [future.result(timeout=60) for future in futures] == [
        64
    ] * 24  # what tasks have is as it was
    assert worker.wait(60) == 0


def test_hard_limit_of_descriptors_costs_slots_only(
    queue: Queue, tm: TaskManager, start: Callable[..., Any]
) -> None:
    import resource

    @tm.python_app
    def one(i: int) -> int:

        import time

        time.sleep(0.1)
        return i

    futures = one.map(i=range(40))
    worker = start(
        '--slots', '40', preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (80, 80))
    )
    assert [future.result(timeout=60) for future in futures] == list(range(40))
    assert worker.wait(60) == 0


def test_walltime(queue: Queue, tm: TaskManager) -> None:
    @tm.python_app
    def wait() -> None:

        import time

        time.sleep(1000)

    future = wait()
    seconds = 1
    while not future.done():  # A loaded machine may need longer than that to begin the task.
        assert seconds < 100
        work(queue, '--timeout', str(seconds))
        seconds *= 3
    with pytest.raises(TaskKilledError, match='time limit'):
        future.result(timeout=0)


def test_killed_worker_takes_its_slots_along(
    queue: Queue, tm: TaskManager, start: Callable[..., Any], tmp_path: Path
) -> None:
    @tm.python_app(retries=1)
    def wait(path: str, go: str) -> int:
        import os
        import time

        with open(path, 'a') as file:
            file.write(f'{os.getpid()}\n')
        while not os.path.exists(go):
            time.sleep(0.01)
        return len(open(path).readlines())

    future = wait(str(tmp_path / 'pids'), str(tmp_path / 'go'))
    first = start()
    wait_for(
        lambda: (tmp_path / 'pids').exists() and (tmp_path / 'pids').read_text().count('\n') == 1
    )
    first.send_signal(signal.SIGKILL)
    first.wait()
    second = start()
    wait_for(lambda: (tmp_path / 'pids').read_text().count('\n') == 2)
    assert not process_alive(int((tmp_path / 'pids').read_text().split()[0]))
    (tmp_path / 'go').touch()
    assert future.result(timeout=60) == 2
    assert second.wait(60) == 0
    attempts = future.task.attempts
    assert [attempt.number for attempt in attempts] == [1, 2]
    assert 'vanished' in attempts[0].cause['text']


def test_stopped_worker_that_wakes_changes_nothing(queue_dir: Path, tmp_path: Path) -> None:
    Path(os.environ['DESIPIPE_CONFIG_DIR']).mkdir(exist_ok=True, parents=True)
    (Path(os.environ['DESIPIPE_CONFIG_DIR']) / 'config.yaml').write_text('lease: 1\n')
    queue = Queue('stopped', create=True)
    tm = TaskManager(queue)

    @tm.python_app(retries=1)
    def who(path: str) -> int:
        import os
        import time

        with open(path, 'a') as file:
            file.write('x')
        first = os.path.getsize(path) == 1
        while first and os.path.getsize(path) == 1:
            time.sleep(0.01)
        return 1 if first else 2

    future = who(str(tmp_path / 'runs'))
    first = subprocess.Popen([*WORK, queue.folder])
    try:
        wait_for(lambda: (tmp_path / 'runs').exists())
        first.send_signal(signal.SIGSTOP)
        # The other one, on this machine, sees a process that lives and says nothing for the lease's
        # length.
        work(queue)
        assert future.result(timeout=60) == 2
        first.send_signal(signal.SIGCONT)
        assert first.wait(60) != 0
    finally:
        first.kill()
        first.wait()
    queue.ledger.follow()
    assert future.result() == 2
    assert len([attempt for attempt in future.task.attempts if attempt.counts]) == 1


def test_order_that_a_report_comes_upon_is_obeyed(
    queue: Queue, tm: TaskManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What someone wrote between our last look and our own lines is read with these, and is new
    to nobody's look.
    """

    @tm.python_app
    def sleep(seconds: float) -> None:

        import time

        time.sleep(seconds)

    quick, slow = sleep(0), sleep(1000)
    exchange = Ledger.exchange

    def late(ledger: Ledger, name: str, ends: Any, *args: Any) -> Any:
        if ends:
            open_queue(queue.folder).kill()
        return exchange(ledger, name, ends, *args)

    monkeypatch.setattr(Ledger, 'exchange', late)
    Worker(queue).run()
    assert (quick.state, slow.state) in (('SUCCEEDED', 'KILLED'), ('SUCCEEDED', 'PENDING'))


def test_deleting_without_killing_lets_tasks_end(
    queue: Queue, tm: TaskManager, start: Callable[..., Any], tmp_path: Path
) -> None:
    """The queue stays deleted, the task ends by itself, what has not begun never does, and the
    worker ends well.
    """

    @tm.python_app
    def wait(i: int, go: str, done: str) -> None:
        import os
        import time

        open(f'{done}-{i}-began', 'w').close()
        while not os.path.exists(go):
            time.sleep(0.01)
        open(f'{done}-{i}', 'w').close()

    go, done = tmp_path / 'go', tmp_path / 'done'
    wait.map(i=[0, 1], go=str(go), done=str(done))
    process = start(stderr=subprocess.PIPE)
    wait_for(lambda: (tmp_path / 'done-0-began').exists())
    queue.delete(kill=False)
    assert not os.path.exists(queue.folder) and process.poll() is None
    go.touch()
    _, errors = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, errors.decode()
    assert (tmp_path / 'done-0').exists() and not (tmp_path / 'done-1-began').exists()
    assert not os.path.exists(queue.folder)
    assert b'deleted' in errors


def test_deleting_without_killing_ends_no_task_for_the_versions_of_another(
    queue: Queue, tm: TaskManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slot tells of versions after its first task: nobody wants them when the queue is gone."""

    @tm.python_app
    def wait(folder: str, began: str, go: str, ended: str) -> None:
        import os
        import time

        open(os.path.join(folder, began), 'w').close()
        while not os.path.exists(os.path.join(folder, go)):
            time.sleep(0.01)
        open(os.path.join(folder, ended), 'w').close()

    drain, add_versions = Worker._drain, Notes.add_versions

    def drain_and_go(worker: Worker) -> None:
        (tmp_path / 'deleted').touch()
        drain(worker)

    def note_and_go(notes: Notes, *args: Any) -> None:
        add_versions(notes, *args)
        (tmp_path / 'noted').touch()

    def delete() -> None:
        wait_for(lambda: (tmp_path / 'began-0').exists() and (tmp_path / 'began-1').exists())
        open_queue(queue.folder).delete(kill=False)

    monkeypatch.setattr(Worker, '_drain', drain_and_go)
    monkeypatch.setattr(Notes, 'add_versions', note_and_go)
    wait(str(tmp_path), 'began-0', 'deleted', 'ended-0')
    wait(str(tmp_path), 'began-1', 'noted', 'ended-1')
    thread = threading.Thread(target=delete)
    thread.start()
    Worker(queue, slots=2).run()
    thread.join()
    assert (tmp_path / 'ended-0').exists() and (tmp_path / 'ended-1').exists()
    assert not os.path.exists(queue.folder)


def test_queue_removed_by_hand_ends_its_worker(
    queue: Queue, tm: TaskManager, start: Callable[..., Any]
) -> None:
    @tm.python_app
    def wait() -> None:

        import time

        time.sleep(1000)

    wait()
    process = start(stderr=subprocess.PIPE)
    wait_for(lambda: queue.counts['RUNNING'] == 1)
    shutil.rmtree(queue.folder)
    assert process.wait(60) != 0
    assert not os.path.exists(queue.folder)
    assert b'gone' in process.stderr.read()


@pytest.mark.parametrize('again', [True, False])
def test_clearing_without_killing_lets_tasks_end(
    queue: Queue, tm: TaskManager, start: Callable[..., Any], tmp_path: Path, again: bool
) -> None:
    """A pipeline that begins with it is run again: what runs is not begun twice, its worker goes
    on, and nothing of before is seen.
    """

    @tm.python_app
    def wait(i: int, go: str) -> str:
        import os
        import time

        with open(f'{go}-{i}', 'a') as file:
            file.write('x')
        while not os.path.exists(go):
            time.sleep(0.01)
        return f'result {i}'

    @tm.python_app
    def after(x: str) -> str:
        return x + ' after'

    go = str(tmp_path / 'go')
    futures = [after(wait(i, go)) for i in (0, 1)]
    process = start('--linger', '60')
    wait_for(lambda: os.path.exists(f'{go}-0'))
    queue.clear(kill=False)
    assert len(queue) == 0 and process.poll() is None
    if again:
        futures = [after(wait(i, go)) for i in (0, 1)]
        wait_for(lambda: queue.counts['RUNNING'] >= 1)
    else:
        futures = [after(wait(2, go))]
    Path(go).touch()
    assert [future.result(timeout=60) for future in futures] == [
        f'result {i} after' for i in ((0, 1) if again else (2,))
    ]
    assert Path(f'{go}-0').read_text() == 'x'
    assert len(queue) == 2 * len(futures)
    queue.kill()
    assert queue.wait_stopped(60)


def test_clearing_kills_by_default(
    queue: Queue, tm: TaskManager, start: Callable[..., Any]
) -> None:
    @tm.python_app
    def wait(i: int) -> None:

        import time

        time.sleep(1000 if i else 0)

    wait(1)
    process = start(stderr=subprocess.PIPE)
    wait_for(lambda: queue.counts['RUNNING'] == 1)
    queue.clear()
    process.wait(60)
    assert len(queue) == 0
    future = wait(0)
    work(queue)
    assert future.result(timeout=0) is None


def test_priority(queue: Queue, tm: TaskManager, tmp_path: Path) -> None:
    def note(i: int, path: str) -> None:
        with open(path, 'a') as file:
            file.write(f'{i} ')

    path = str(tmp_path / 'order')
    low, high = tm.python_app(note), tm.python_app(priority=5)(note)
    low.map(i=[1, 2], path=path)
    high.map(i=[3, 4], path=path)
    work(queue)
    assert Path(path).read_text() == '3 4 1 2 '


def test_tasks_add_tasks(queue: Queue, tm: TaskManager) -> None:
    @tm.python_app
    def leaf(i: int) -> int:
        return i * i

    @tm.python_app
    def tree(n: int) -> list[str]:
        return [leaf(i).id for i in range(n)]

    future = tree(5)
    work(queue)
    ids = future.result(timeout=0)
    assert sorted(queue.tasks(tid=ids, property='result', one=False)) == [0, 1, 4, 9, 16]


def test_paused(queue: Queue, tm: TaskManager) -> None:
    @tm.python_app
    def one() -> int:
        return 1

    future = one()
    queue.pause()
    work(queue)
    assert future.state == 'PENDING'
    queue.resume()
    work(queue)
    assert future.result(timeout=0) == 1


def test_stop_at_error(queue: Queue, tm: TaskManager) -> None:
    @tm.python_app
    def fail(i: int) -> None:
        raise ValueError(i)

    fail.map(i=range(5))
    work(queue, '--mode', 'stop_at_error')
    assert queue.counts['FAILED'] == 1
    assert queue.counts['PENDING'] == 4


def test_save_attrs(queue: Queue, tm: TaskManager, tmp_path: Path) -> None:
    import json

    @tm.python_app(save_attrs=('code', 'kwargs', 'out', 'versions'), save_dir=tmp_path / 'saved')
    def speak(word: str) -> None:
        import numpy as np

        print(word, np.pi)

    future = speak('hello')
    work(queue)
    (path,) = (tmp_path / 'saved').iterdir()
    saved = json.loads(path.read_text())
    assert saved['id'] == future.id
    assert saved['out'].startswith('hello 3.14')
    assert 'print(word' in saved['code']


@pytest.mark.parametrize('size', [10, 600, 200_000])
def test_tasks_write_into_their_inputs_whatever_the_size(
    queue: Queue,
    tm: TaskManager,
    size: int,
) -> None:
    """What one of them writes no other sees, nor who asks for the result."""
    np = pytest.importorskip('numpy')

    @tm.python_app
    def reverse(i: int, x: Any, rest: dict[str, Any]) -> Any:
        x -= 1
        x[::-1].sort()
        for part in rest.values():
            part[0] = 7
        return x

    @tm.python_app
    def make(n: int) -> Any:
        import numpy as np

        return np.arange(n, dtype='f8')

    x = np.arange(size, dtype='f8')
    record = np.zeros(size, dtype=[('a', 'i4'), ('b', 'f8')])
    rest = {'field': record['a'], 'fortran': np.ones((2, size), order='F')}
    rest['bytes'] = bytearray(size)
    made = make(size)
    futures = reverse.map(i=range(3), x=[x], rest=rest) + reverse.map(i=range(3), x=made, rest=rest)
    work(queue, '--slots', '1')
    expected = (x - 1)[::-1]
    for future in futures:
        assert np.array_equal(future.result(timeout=0), expected)
    assert np.array_equal(made.result(timeout=0), x)
    made.result(timeout=0)[:] = 5
    assert np.array_equal(made.result(timeout=0), x)


KEEPS = """
    import helper_that_counts
    import numpy as np
    table = np.zeros(1000)
    large_table = np.zeros(200_000)
    def table_entry(i):
        table[0] += 1
        return int(table[0])
    def large_table_entry(i):
        large_table[0] += 1
        return int(large_table[0])
    rng = np.random.default_rng(0)
    counter = 0
    memo = {}
    class Model:
        size = 1
        made = []
    def draw(i): return float(rng.random())
    def count(i):
        global counter
        counter += 1
        return counter
    def memoize(i):
        memo[i] = i
        return len(memo)
    def size(i):
        Model.size += 1
        return Model.size
    def made(i):
        Model.made.append(i)
        return len(Model.made)
    def added(i):
        Model.extra = getattr(Model, 'extra', 0) + 1
        return Model.extra
    def attribute(i):
        helper.calls = getattr(helper, 'calls', 0) + 1
        return helper.calls
    def helper(i, seen=[]):
        seen.append(i)
        return len(seen)
    def default(i): return helper(i)
    def module(i):
        helper_that_counts.calls += 1
        return helper_that_counts.calls
    def make():
        n = 0
        def inner():
            nonlocal n
            n += 1
            return n
        return inner
    inner = make()
    def variable(i): return inner()
"""


@pytest.mark.parametrize('slots', ['1', '2'])
def test_worker_gives_each_task_its_own_code(
    queue: Queue, tm: TaskManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slots: str
) -> None:
    (tmp_path / 'helper_that_counts.py').write_text('calls = 0\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    opened = notebook(KEEPS)
    names = ['draw', 'count', 'memoize', 'size', 'made', 'added', 'attribute', 'default']
    names += ['module', 'variable', 'table_entry', 'large_table_entry']
    futures = {name: tm.python_app(opened[name]).map(i=range(4)) for name in names}
    work(queue, '--slots', slots)
    got = {name: [future.result(timeout=0) for future in some] for name, some in futures.items()}
    first = got.pop('draw')
    assert first == [opened['rng'].random()] * 4
    assert got == {**dict.fromkeys(got, [1] * 4), 'size': [2] * 4}


def test_streams_and_environment_are_those_of_each_task(queue: Queue, tm: TaskManager) -> None:
    @tm.python_app
    def spoil(how: str) -> None:
        import os
        import sys

        print(f'before {how}')
        os.environ['OF_A_TASK'] = '1'
        os.environ.pop('PATH')
        if how == 'replaced':
            sys.stdout = open('/dev/null', 'w')
            os.environ = {}  # type: ignore[assignment]  # noqa: B003
        elif how == 'closed':
            sys.stdout.close()
            sys.stderr.close()
        else:
            sys.stdout = None  # type: ignore[assignment]
            sys.stdin = sys.stderr = object()  # type: ignore[assignment]

    @tm.python_app
    def after(i: int) -> list[Any]:
        import os
        import sys

        print(f'out {i}')
        print(f'err {i}', file=sys.stderr)
        os.system('echo "shell $OF_A_TASK"')
        return [os.environ.get('OF_A_TASK'), 'PATH' in os.environ, sys.stdin.read()]

    spoiled, seen = [], []
    for i, how in enumerate(['replaced', 'closed', 'none']):
        spoiled.append(spoil(how))
        seen.append(after(i))
    work(queue, '--slots', '1')
    for i, future in enumerate(seen):
        assert future.result(timeout=0) == [None, True, '']
        assert (future.out(timeout=0), future.err(timeout=0)) == (
            f'out {i}\nshell \n',
            f'err {i}\n',
        )
    assert [future.out(timeout=0) for future in spoiled] == [
        'before replaced\n',
        'before closed\n',
        'before none\n',
    ]


def test_multiprocessing_finds_what_the_task_uses(queue: Queue, tm: TaskManager) -> None:
    opened = notebook("""
        import multiprocessing, pickle, sys
        class Point:
            def __init__(self, x): self.x = x
        def g(x): return Point(2 * x)
        def main(x):
            with multiprocessing.get_context('fork').Pool(2) as pool:
                points = pool.map(g, range(x))
            return [point.x for point in points], type(pickle.loads(pickle.dumps(points[0]))) is Point
        def other(x):
            import __main__
            return hasattr(__main__, 'g'), __main__.main.__module__
    """)
    result = tm.python_app(opened['main'])(3)
    left = tm.python_app(opened['other'])(result)
    work(queue, '--slots', '1')
    assert result.result(timeout=0) == ([0, 2, 4], True)
    assert left.result(timeout=0) == (False, 'desipipe.cli')


def test_result_that_does_not_come_back(queue: Queue, tm: TaskManager) -> None:
    class Odd(Exception):
        def __init__(self, a: int, b: int) -> None:
            super().__init__(f'{a} {b}')

    @tm.python_app
    def odd() -> Exception:
        return Odd(1, 2)

    future = odd()
    work(queue)
    with pytest.raises(
        ResultError,
        match=(
            f'Task {future.id[:12]} \\(odd\\) succeeded .* cannot be loaded here: TypeError: '
            '.*missing 1 required'
        ),
    ) as info:
        future.result(timeout=0)
    assert isinstance(info.value, PayloadError) and isinstance(info.value.__cause__, TypeError)
    with pytest.raises(ResultError):
        _ = future.task.result
    assert queue.counts['SUCCEEDED'] == 1


def test_result_that_can_not_be_kept(queue: Queue, tm: TaskManager) -> None:
    """It is said in words: there is no line of the user's to show, and ours say nothing to them."""

    @tm.python_app
    def lazy() -> Any:
        return (i for i in range(3))

    future = lazy()
    work(queue)
    assert re.fullmatch(
        r'desipipe\.errors\.NotSerializableError: the result \(a generator.*turn it into a list '
        r'first.*\n',
        future.err(timeout=0),
    )


def test_worker_waits_for_nothing_while_its_own_ends_let_tasks_begin(
    queue: Queue, tm: TaskManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run a chain without timers: what a worker writes wakes nobody, itself neither."""

    @tm.python_app
    def step(i: int) -> int:
        return i + 1

    future = step(0)
    for _ in range(20):
        future = step(future)
    idle_with_work: list[float] = []
    wait = Worker._wait

    def watched(worker: Worker, until: float) -> None:
        state, now = worker.ledger.state, time.monotonic()
        if state.total(PENDING) and not worker._pool.is_busy() and until > now:
            idle_with_work.append(until - now)
        wait(worker, until)

    monkeypatch.setattr(Worker, '_wait', watched)
    Worker(queue, slots=2).run()
    assert future.result(timeout=0) == 21 and idle_with_work == []
