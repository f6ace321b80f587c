"""Tasks that do to their process what real code does: each costs itself at most, and the next
one finds the slot as it was.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from desipipe import Queue, TaskManager
from desipipe.errors import TaskFailedError, TaskKilledError
from desipipe.execution import output_pipe
from desipipe.execution.capture import Stream
from desipipe.execution.child.output import SlotOutput
from desipipe.execution.forked_slot import ForkedSlot
from desipipe.execution.slot_memory import SharedMemory
from desipipe.queue.future import Future

# What each does, and what is to come of it: a result, or the kind of the failure.
RUDE: dict[str, tuple[str, Any]] = {
    'closes stdout': ('print("before", flush=True); os.close(1)', 'ok'),
    'closes stderr': ('os.close(2)', 'ok'),
    'closes low descriptors': ('os.closerange(0, 256)', 'ok'),
    'closes all descriptors': ('print("before", flush=True); os.closerange(0, 1 << 20)', 'ok'),
    'closes the streams': ('sys.stdout.close(); sys.stderr.close(); sys.stdin.close()', 'ok'),
    'detaches the streams': ('sys.stdout.detach(); sys.stderr.detach()', 'ok'),
    'redirects 1 and 2': (
        'null = os.open(os.devnull, os.O_WRONLY); os.dup2(null, 1); os.dup2(null, 2)',
        'ok',
    ),
    'redirects 1': ('os.dup2(os.open(os.devnull, os.O_WRONLY), 1)', 'ok'),
    'redirects 0': ('os.dup2(os.open(__file__, os.O_RDONLY), 0)', 'ok'),
    'replaces descriptors 3 to 9': (
        'null = os.open(os.devnull, os.O_RDWR)\nfor n in range(3, 10): os.dup2(null, n)',
        'ok',
    ),
    'full device': ('os.dup2(os.open("/dev/full", os.O_WRONLY), 1); print("lost")', 'OSError'),
    'does not block': ('os.set_blocking(1, False); os.set_blocking(2, False)', 'ok'),
    'does not block and writes': (
        'os.set_blocking(1, False); os.system("head -c 3000000 /dev/zero 2>/dev/null")',
        'ok',
    ),
    'alarm': ('signal.alarm(1)', 'ok'),
    'interval timer': (
        (
            'signal.signal(signal.SIGALRM, lambda *_: 1 / 0); signal.setitimer(signal.ITIMER_REAL, '
            '0.001, 0.001)'
        ),
        None,
    ),
    'profiling timer': (
        (
            'signal.signal(signal.SIGPROF, lambda *_: 1 / 0); signal.setitimer(signal.ITIMER_PROF, '
            '0.001, 0.001)'
        ),
        None,
    ),
    'ignores signals': (
        (
            'signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.signal(signal.SIGCHLD, '
            'signal.SIG_IGN)'
        ),
        'ok',
    ),
    'blocks signals': ('signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())', 'ok'),
    'handles SIGUSR1': ('signal.signal(signal.SIGUSR1, lambda *_: os._exit(3))', 'ok'),
    'umask': ('os.umask(0o777)', 'ok'),
    'trace': ('sys.settrace(lambda *_: 1 / 0)', 'ok'),
    'profile': ('sys.setprofile(lambda *_: 1 / 0)', None),
    'recursion limit': ('sys.setrecursionlimit(60)', 'ok'),
    'few descriptors': (
        'import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (8, 8))',
        'ok',
    ),
    'small files': ('import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))', 'ok'),
    'no core': ('import resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0))', 'ok'),
    'nice': ('os.nice(5)', 'ok'),
    'fork and exit': ('if os.fork() == 0: sys.exit(3)\nos.wait()', 'ok'),
    'fork and return': ('if os.fork() == 0: return "child"\nos.wait()', 'ok'),
    'fork and raise': ('if os.fork() == 0: raise RuntimeError("in the child")\nos.wait()', 'ok'),
    'two forks': (
        (
            'if os.fork() == 0:\n    if os.fork() == 0: return "grandchild"\n    return '
            '"child"\nos.wait()'
        ),
        'ok',
    ),
    'daemon': (
        (
            'if os.fork() == 0:\n    os.setsid()\n    if os.fork(): os._exit(0)\n    '
            'os.closerange(0, 1 << 20)\n    time.sleep(1000)'
        ),
        'ok',
    ),
    'leaves a process': ('subprocess.Popen(["sleep", "1000"])', 'ok'),
    'leaves a pool': (
        (
            'import multiprocessing\npool = multiprocessing.get_context("fork").Pool(2); '
            'pool.map(abs, [1])'
        ),
        'ok',
    ),
    'leaves a thread': ('threading.Thread(target=time.sleep, args=(1000,)).start()', 'ok'),
    'leaves zombies': ('for _ in range(5): subprocess.Popen(["true"])', 'ok'),
    'SystemExit': ('raise SystemExit(10 ** 30)', 'SystemExit'),
    'SystemExit with words': ('sys.exit("no data")', 'SystemExit'),
    'KeyboardInterrupt': ('raise KeyboardInterrupt', 'KeyboardInterrupt'),
    'GeneratorExit': ('raise GeneratorExit', 'GeneratorExit'),
    'own BaseException': ('class Own(BaseException): pass\nraise Own', 'Own'),
    'surrogates': (
        'print("\\udcff"); raise ValueError("cannot read caf\\udce9.fits")',
        'ValueError',
    ),
    'surrogates in a cause': (
        'try: open("caf\\udce9.fits")\nexcept OSError as exc: raise RuntimeError("no") from exc',
        'RuntimeError',
    ),
    'no words': (
        (
            'class Own(Exception):\n    def __str__(self): raise SystemExit\n    __repr__ = '
            '__reduce__ = __str__\nraise Own'
        ),
        'Own',
    ),
    'no pickle': (
        'class Own(Exception):\n    def __reduce__(self): raise KeyboardInterrupt\nraise Own("a")',
        'Own',
    ),
    'large words': ('raise ValueError("y" * 5_000_000)', 'ValueError'),
    'memory': ('bytearray(1 << 60)', 'MemoryError'),
    'deep': (
        'x = []\nfor _ in range(100_000): x = [x]\nreturn x',
        'NotSerializableError' if sys.version_info < (3, 14) else None,
    ),
    'leaves without a word': ('os._exit(3)', 'exit'),
    'exec': ('os.execvp("true", ["true"])', 'exit'),
    'kills its group': ('os.killpg(0, signal.SIGTERM)', 'signal'),
    'deletes the environment': ('os.environ.clear()', 'ok'),
    'folder that is gone': ('os.mkdir("gone"); os.chdir("gone"); os.rmdir(os.getcwd())', 'ok'),
    'default time-out': ('import socket; socket.setdefaulttimeout(1e-9)', 'ok'),
}


def cause_of(future: Future) -> dict[str, Any]:
    return future._ledger.cause(future._ledger.row(future.tid))


def rude(name: str, code: str) -> Any:
    import os
    import signal
    import subprocess
    import sys
    import threading
    import time

    namespace = dict(
        os=os,
        signal=signal,
        subprocess=subprocess,
        sys=sys,
        threading=threading,
        time=time,
        __file__=os.devnull,
    )
    lines = ''.join(f'    {line}\n' for line in code.split('\n'))
    exec(f'def run():\n{lines}    return "ok"\n', namespace)  # noqa: S102
    run: Any = namespace['run']
    return run()


def quiet(name: str) -> dict[str, Any]:
    import os
    import signal
    import subprocess
    import sys

    print('quiet', name)
    print('error', name, file=sys.stderr)
    shell = subprocess.run(['sh', '-c', 'echo from a shell'], check=False).returncode
    kinds = [os.path.basename(os.readlink(f'/proc/self/fd/{fd}')).split(':')[0] for fd in range(3)]
    handlers = [
        int(signal.getsignal(number) or 0)
        for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGALRM)
    ]
    return {
        'shell': shell,
        'descriptors': kinds,
        'blocking': [os.get_blocking(fd) for fd in (1, 2)],
        'handlers': handlers,
        'blocked': sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        'timers': [
            signal.getitimer(timer)[0] for timer in (signal.ITIMER_REAL, signal.ITIMER_PROF)
        ],
        'umask': os.umask(0o022),
        'stdin': sys.stdin.read(),
        'nice': os.nice(0),
        'path': 'PATH' in os.environ,
    }


@pytest.fixture(scope='module')
def ran(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Queue, dict[str, Future], dict[str, Future], dict[str, Any]]]:
    """All of them, one after the other in the only slot of one worker, each with a quiet one
    behind it.
    """
    folder = tmp_path_factory.mktemp('rude')
    queue = Queue('rude', base_dir=folder, create=True)
    tm = TaskManager(queue)
    rude_app, quiet_app = tm.python_app(timeout=60)(rude), tm.python_app(timeout=60)(quiet)
    first = quiet_app('first')
    rude_ones, quiet_ones = {}, {}
    for name, (code, _) in RUDE.items():
        rude_ones[name] = rude_app(name, code)
        quiet_ones[name] = quiet_app(name)
    work = [sys.executable, '-m', 'desipipe', 'work', '-q', queue.folder]
    result = subprocess.run(
        work, cwd=folder, timeout=280, stderr=subprocess.PIPE, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    yield queue, rude_ones, quiet_ones, first.result(timeout=0)


@pytest.mark.parametrize('name', RUDE)
def test_rude_task_costs_nobody_else(ran: Any, name: str) -> None:
    _, rude_ones, quiet_ones, first = ran
    expected, future = RUDE[name][1], rude_ones[name]
    if expected == 'ok':
        assert future.result(timeout=0) == 'ok'
    elif expected is None:  # it may end either way: an interrupt before its end or after it
        assert future.state in ('SUCCEEDED', 'FAILED')
    else:
        with pytest.raises(BaseException):  # noqa: B017
            future.result(timeout=0)
        assert cause_of(future)['kind'] == expected
    assert len(future.task.attempts) == 1
    assert quiet_ones[name].result(timeout=0) == first
    assert quiet_ones[name].out() == f'quiet {name}\nfrom a shell\n'
    assert quiet_ones[name].err() == f'error {name}\n'


def test_output_before_the_end_of_descriptors_is_kept(ran: Any) -> None:
    _, rude_ones, _, _ = ran
    assert rude_ones['closes stdout'].out() == 'before\n'
    assert rude_ones['closes all descriptors'].out() == 'before\n'


def test_lone_surrogates_are_shown(ran: Any) -> None:
    _, rude_ones, _, _ = ran
    with pytest.raises(ValueError, match='cannot read') as caught:
        rude_ones['surrogates'].result(timeout=0)
    assert isinstance(caught.value.__cause__, TaskFailedError)
    assert r'caf\udce9.fits' in cause_of(rude_ones['surrogates'])['text']
    assert r'caf\udce9.fits' in str(caught.value.__cause__)


def test_task_that_ends_its_process_is_killed(ran: Any) -> None:
    _, rude_ones, _, _ = ran
    with pytest.raises(TaskKilledError, match='exit status 3'):
        rude_ones['leaves without a word'].result(timeout=0)


def test_worker_obeys_beside_a_task_that_redirected_its_output(queue_dir: Path) -> None:
    queue = Queue('deaf', create=True)
    tm = TaskManager(queue)

    @tm.python_app
    def redirect() -> None:
        import os

        null = os.open(os.devnull, os.O_WRONLY)
        for fd in (1, 2):
            os.dup2(null, fd)

    @tm.python_app
    def sleep() -> None:
        import time

        time.sleep(1000)

    redirect()
    sleeping = sleep()
    worker = subprocess.Popen([sys.executable, '-m', 'desipipe', 'work', '-q', queue.folder])
    try:
        queue.ledger.wait(sleeping.running, 60)
        worker.terminate()
        assert worker.wait(60) == 0
    finally:
        worker.kill()
        worker.wait()
    assert sleeping.state in ('KILLED', 'PENDING')  # it may be claimed and not begun


def test_marker_is_not_answered_by_another_one() -> None:
    # Else each task after one that printed would write markers, as the worker has read something
    # since the last one.
    read, write = os.pipe()
    os.set_blocking(read, False)
    stream = Stream(read, b'\0mark\0', 1000)
    try:
        for data, pending in (
            (b'\0mark\0', False),
            (b'text', True),
            (b'\0mark\0', False),
            (b'\0ma', True),
            (b'rk\0', False),
        ):
            os.write(write, data)
            stream.drain()
            assert stream.pending is pending
    finally:
        os.close(read)
        os.close(write)


def test_slot_that_looks_while_its_worker_reads_misses_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # What is read then may be a marker alone, which does not count; the next output counts again.
    pipes = [os.pipe(), os.pipe()]
    unread = select.poll()
    for read, _ in pipes:
        os.set_blocking(read, False)
        unread.register(read, select.POLLIN)
    shared = SharedMemory()
    worker = ForkedSlot.__new__(ForkedSlot)
    worker._shared, worker._marker = shared, b'\0mark\0'
    worker.out, worker.err = (Stream(read, b'\0mark\0', 1000) for read, _ in pipes)
    standard = [0, pipes[0][1], pipes[1][1]]
    output = SlotOutput(standard, b'\0mark\0', Mock(), shared, unread)
    drain = worker.out.drain

    def look_and_drain() -> None:
        looks.append(output.end_task())
        drain()

    looks: list[Any] = []
    try:
        os.write(pipes[0][1], b'first')
        with monkeypatch.context() as patch:
            patch.setattr(worker.out, 'drain', look_and_drain)
            worker.drain()
        assert looks == [True]
        assert worker.collect(True) == (b'first', b'')
        os.write(pipes[0][1], b'second')
        worker.drain()
        assert output.end_task() is True
        assert worker.collect(True) == (b'second', b'')
        looks = [output.end_task() for _ in range(3) if worker.drain() is None]
        assert looks[-1] is False  # and then nothing is written any more
    finally:
        shared.close()
        for pair in pipes:
            for fd in pair:
                os.close(fd)


def test_pipes_that_cannot_be_made_leave_no_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first pair is closed where there is no descriptor left for the second."""
    pipes = output_pipe.OutputPipes([-1, -1], [-1, -1], Mock())
    made: list[tuple[int, int]] = []
    pipe = os.pipe

    def last_one() -> tuple[int, int]:
        if made:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        made.append(pipe())
        return made[0]

    monkeypatch.setattr(output_pipe, '_waited', lambda: (1, 0.0, 0.0))
    pipes._waited = (0, 0.0, 0.0)
    monkeypatch.setattr(os, 'pipe', last_one)
    with pytest.raises(OSError, match='Too many open files'):
        pipes.renew()
    for fd in made[0]:
        with pytest.raises(OSError, match='Bad file descriptor'):
            os.fstat(fd)


def test_output_that_comes_just_before_new_pipes_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What was read of the old pipes, and belongs to no task, goes to the worker's log."""
    pipes = [os.pipe() for _ in range(4)]
    for read, _ in pipes:
        os.set_blocking(read, False)
    remote, here = socket.socketpair()
    worker = ForkedSlot.__new__(ForkedSlot)
    worker.name, worker.limit, worker._marker = 'w-0', 1000, b'\0mark\0'
    worker._shared, worker._handover = SharedMemory(), here
    worker.out, worker.err = (Stream(read, b'\0mark\0', 1000) for read, _ in pipes[:2])
    try:
        for (_, write), word in zip(pipes, (b'out', b'err'), strict=False):
            os.write(write, word + b'\0mark\0late-' + word)
        worker.drain()
        assert worker.collect(True) == (b'out', b'err')
        socket.send_fds(remote, [b'p'], [read for read, _ in pipes[2:]])
        with caplog.at_level(logging.INFO, 'desipipe'):
            old = worker.renew_streams()
        assert [late.fd for late in old] == [read for read, _ in pipes[:2]]
        for word in ('late-out', 'late-err'):
            assert (
                f'Slot w-0: a process that an earlier task left behind printed: {word}'
                in caplog.text
            )
        assert not worker.out.pending and not worker.err.pending
    finally:
        worker._shared.close()
        remote.close()
        here.close()
        for fd in {*(fd for pair in pipes for fd in pair), worker.out.fd, worker.err.fd}:
            with contextlib.suppress(OSError):
                os.close(fd)
