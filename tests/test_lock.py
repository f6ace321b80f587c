"""The lock: one at a time, between processes and threads, whatever becomes of who holds it and
of the file.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import filelock
import pytest
from engine import done, process_state, read_line, send_line, start_script
from polling import wait_for

from desipipe.errors import LockingError, PermissionDeniedError, QueueGoneError
from desipipe.provenance import machine, process_start
from desipipe.store import lock as locks
from desipipe.store import soft_lock
from desipipe.store.lock import KINDS, QueueLock

HOLDER = """
import os, sys
from desipipe.store.lock import QueueLock
lock = QueueLock(sys.argv[1], sys.argv[2])
for word in sys.stdin:
    try:
        (lock.acquire if word == 'acquire\\n' else lock.release)()
        print('ok', flush=True)
    except Exception as exc:
        print(type(exc).__name__, flush=True)
"""

COUNTER = """
import sys
from desipipe.store.lock import QueueLock
lock, path, n = QueueLock(sys.argv[1], sys.argv[2]), sys.argv[3], int(sys.argv[4])
print('ready', flush=True)
sys.stdin.readline()
for _ in range(n):
    with lock:
        with open(path) as file:
            value = int(file.read())
        with open(path, 'w') as file:
            file.write(str(value + 1))
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A lock file."""
    folder = tmp_path / 'q.queue'
    folder.mkdir()
    (folder / 'lock').touch()
    return str(folder / 'lock')


def waits(process: subprocess.Popen[str], kind: str, path: str) -> Callable[[], bool]:
    """Whether a process waits for the lock."""

    def look() -> bool:
        if kind == 'flock':
            with open('/proc/locks') as file:
                return any('->' in line and f' {process.pid:d} ' in line for line in file)
        # Those who poll sleep between two looks, and have opened what they look at.
        opened = set()
        for fd in os.listdir(f'/proc/{process.pid:d}/fd'):
            with contextlib.suppress(FileNotFoundError):  # closed since it was listed
                opened.add(os.readlink(f'/proc/{process.pid:d}/fd/{fd}'))
        return (path in opened or kind == 'soft') and process_state(process.pid) == 'S'

    return look


@pytest.mark.parametrize('kind', KINDS)
def test_lock_excludes_other_processes(path: str, tmp_path: Path, kind: str) -> None:
    counter = tmp_path / 'counter'
    counter.write_text('0')
    n = 20 if kind == 'soft' else 300
    with (
        start_script(COUNTER, path, kind, counter, n) as one,
        start_script(COUNTER, path, kind, counter, n) as two,
        start_script(COUNTER, path, kind, counter, n) as three,
    ):
        for process in (one, two, three):
            assert read_line(process) == 'ready'
        for process in (one, two, three):
            send_line(process)
        for process in (one, two, three):
            done(process)
    assert int(counter.read_text()) == 3 * n


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('one_object', [True, False])
def test_lock_excludes_other_threads(path: str, kind: str, one_object: bool) -> None:
    """Of one object and of several: an open file description of each is what excludes."""
    shared = QueueLock(path, kind)
    inside: list[int] = []
    most = []

    def run() -> None:
        lock = shared if one_object else QueueLock(path, kind)
        for _ in range(10 if kind == 'soft' else 100):
            with lock:
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(most) == {1} and len(most) == 4 * (10 if kind == 'soft' else 100)


@pytest.mark.parametrize('kind', KINDS)
def test_lock_is_reentrant(path: str, kind: str) -> None:
    lock = QueueLock(path, kind)
    with start_script(HOLDER, path, kind) as other:
        with lock:
            with lock:
                pass
            send_line(other, 'acquire')
            wait_for(waits(other, kind, path), 'the other waits')
        assert read_line(other) == 'ok'
        send_line(other, 'release')
        assert read_line(other) == 'ok'
        with lock:  # and again, after someone else
            pass


@pytest.mark.parametrize('kind', KINDS)
def test_lock_is_free_after_exception(path: str, kind: str) -> None:
    lock = QueueLock(path, kind)
    with pytest.raises(KeyError), lock:
        raise KeyError
    with start_script(HOLDER, path, kind) as other:
        send_line(other, 'acquire')
        assert read_line(other) == 'ok'


@pytest.mark.parametrize('kind', ['flock', 'poll', 'soft'])
def test_lock_is_free_after_kill_of_holder(path: str, kind: str) -> None:
    with start_script(HOLDER, path, kind) as holder:
        send_line(holder, 'acquire')
        assert read_line(holder) == 'ok'
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with QueueLock(path, kind):
        pass


@pytest.mark.parametrize('kind', KINDS)
def test_forked_child_holds_nothing_and_frees_nothing(path: str, kind: str) -> None:
    lock = QueueLock(path, kind)
    entered, entered_end = os.pipe()
    with start_script(HOLDER, path, kind) as other:
        with lock:
            pid = os.fork()
            if pid == 0:
                try:
                    with lock:  # waits for its parent
                        os.write(entered_end, b'child')
                finally:
                    os._exit(0)
            # A child that ends its block, and itself, does not let anyone in.
            leaver = os.fork()
            if leaver == 0:
                lock.release()
                os._exit(0)
            os.waitpid(leaver, 0)
            send_line(other, 'acquire')
            wait_for(waits(other, kind, path), 'the other waits')
            os.set_blocking(entered, False)
            with pytest.raises(BlockingIOError):
                os.read(entered, 10)
        assert read_line(other) == 'ok'
        send_line(other, 'release')
        assert read_line(other) == 'ok'
        os.waitpid(pid, 0)
        assert os.read(entered, 10) == b'child'
        with lock:  # the parent's own goes on
            pass
    os.close(entered)
    os.close(entered_end)


@pytest.mark.parametrize('kind', ['flock', 'poll'])
def test_living_child_does_not_keep_the_lock_of_its_killed_parent(path: str, kind: str) -> None:
    with start_script(
        """
import os, sys, signal
from desipipe.store.lock import QueueLock
lock = QueueLock(sys.argv[1], sys.argv[2])
lock.acquire()
pid = os.fork()
if pid == 0:
    signal.pause()
print(pid, flush=True)
signal.pause()
""",
        path,
        kind,
    ) as holder:
        child = int(read_line(holder))
        try:
            holder.send_signal(signal.SIGKILL)
            holder.wait()
            with QueueLock(path, kind):
                os.kill(child, 0)
        finally:
            os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize('kind', KINDS)
def test_fork_while_another_thread_is_inside(path: str, kind: str) -> None:
    lock = QueueLock(path, kind)
    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            inside.set()
            leave.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait()
    pid = os.fork()
    if pid == 0:
        try:
            with lock:
                pass
        finally:
            os._exit(0)
    leave.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.parametrize('kind', ['flock', 'poll'])
def test_queue_is_deleted_while_one_waits(path: str, kind: str) -> None:
    folder = os.path.dirname(path)
    with start_script(HOLDER, path, kind) as waiter:
        with QueueLock(path, kind):
            send_line(waiter, 'acquire')
            wait_for(waits(waiter, kind, path), 'the other waits')
            shutil.rmtree(folder)
        assert read_line(waiter) == 'QueueGoneError'
        # The same for who comes later, and nothing was made.
        send_line(waiter, 'acquire')
        assert read_line(waiter) == 'QueueGoneError'
    assert not os.path.exists(folder)


@pytest.mark.parametrize('kind', ['flock', 'poll'])
def test_queue_is_made_anew_while_one_waits(path: str, kind: str) -> None:
    """The lock that counts is that of the file which is there now: one of the old file excludes
    nobody.
    """
    with start_script(HOLDER, path, kind) as waiter:
        with QueueLock(path, kind):
            send_line(waiter, 'acquire')
            wait_for(waits(waiter, kind, path), 'the other waits')
            os.unlink(path)
            Path(path).touch()
            new = QueueLock(path, kind)
            new.acquire()
        # It has the old file's lock now, and must come to wait for the new one's.
        wait_for(waits(waiter, kind, path), 'the other waits again')
        new.release()
        assert read_line(waiter) == 'ok'
        fd = os.open(path, os.O_RDWR)
        with pytest.raises(BlockingIOError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(fd)


@pytest.mark.parametrize('kind', KINDS)
def test_deleted_queue_is_not_made_again(path: str, kind: str) -> None:
    lock = QueueLock(path, kind)
    with lock:
        pass
    shutil.rmtree(os.path.dirname(path))
    for _ in range(2):
        with pytest.raises(QueueGoneError, match='gone'):
            lock.acquire()
    assert not os.path.exists(os.path.dirname(path))


def test_kinds() -> None:
    with pytest.raises(LockingError, match='flock, poll, soft'):
        QueueLock('lock', 'fcntl')


def test_interrupt_leaves_it_free(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that comes when the lock has just been given."""
    lock = QueueLock(path)
    real = fcntl.flock

    def flock(fd: int, operation: int) -> None:
        real(fd, operation)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, 'flock', flock)
        with pytest.raises(KeyboardInterrupt):
            lock.acquire()
    with start_script(HOLDER, path, 'flock') as other:
        send_line(other, 'acquire')
        assert read_line(other) == 'ok'


@pytest.mark.skipif(os.geteuid() != 0, reason='needs root, to become someone else')
@pytest.mark.parametrize('kind', KINDS)
def test_lock_without_permission(path: str, kind: str, tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if folder.is_relative_to('/tmp') and folder != Path('/tmp'):
            folder.chmod(0o755)
    lock = QueueLock(path, kind)
    assert filelock.StrictSoftFileLock  # imported now: someone else may not see where it lies
    os.seteuid(65534)
    try:
        with pytest.raises(PermissionDeniedError, match='Nothing was written'):
            lock.acquire()
    finally:
        os.seteuid(0)
    with lock:
        pass


@pytest.mark.parametrize('number', [errno.EIO, errno.ENOLCK, errno.ESTALE, errno.EBADF])
def test_filesystem_that_refuses(path: str, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = QueueLock(path)

    def flock(fd: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, 'flock', flock)
        with pytest.raises(LockingError, match='Cannot lock') as info:
            lock.acquire()
    assert (
        path in str(info.value)
        and 'Nothing was written' in str(info.value)
        and 'desipipe doctor' in str(info.value)
    )
    with lock:
        pass


@pytest.mark.parametrize('kind', KINDS)
def test_long_wait_names_the_holder(
    path: str, kind: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """By process, machine and command, and what to type where it is stopped."""
    monkeypatch.setattr(locks, 'NOTICE_AFTER_S', 1.0)
    lock = QueueLock(path, kind)
    with start_script(HOLDER, path, kind) as other:
        send_line(other, 'acquire')
        assert read_line(other) == 'ok'
        os.kill(other.pid, signal.SIGSTOP)
        waiter = threading.Thread(target=lambda: (lock.acquire(), lock.release()), daemon=True)
        waiter.start()
        wait_for(lambda: 'more than' in caplog.text, 'the notice')
        os.kill(other.pid, signal.SIGCONT)
        assert f'process {other.pid:d} on {socket.gethostname()}' in caplog.text
        assert (
            'which is stopped' in caplog.text
            and f'kill -CONT {other.pid:d}' in caplog.text
            and 'python' in caplog.text
        )
        other.kill()
        waiter.join(120)
        assert not waiter.is_alive()


def test_soft_lock_whose_holders_number_is_anothers_by_now(path: str) -> None:
    with start_script(HOLDER, path, 'soft') as other:
        send_line(other, 'acquire')
        assert read_line(other) == 'ok'
        other.kill()
        other.wait()
        folder = Path(path + '.soft.filelock', 'claims')
        with start_script('import sys; print("here", flush=True); sys.stdin.read()') as innocent:
            assert read_line(innocent) == 'here'
            for claim in folder.iterdir():
                if claim.is_file():
                    claim.write_text(
                        claim.read_text().replace(f'\n{other.pid:d}\n', f'\n{innocent.pid:d}\n')
                    )
            lock = QueueLock(path, 'soft')
            with lock:
                assert innocent.poll() is None


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which('unshare') is None,
    reason='needs root, to make a name space of process numbers',
)
def test_dead_holder_whose_name_space_is_gone(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sees all processes frees its lock, once none is left in there."""
    if machine()['pidns'] != soft_lock._FIRST_NAMESPACE:
        pytest.skip('not in the first name space')
    monkeypatch.setattr(soft_lock, '_DOUBT_S', 0.5)
    argv = ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc']
    if subprocess.run([*argv, 'true']).returncode:
        pytest.skip('no name spaces here')
    inside = [*argv, sys.executable, '-c', HOLDER, path, 'soft']
    lock = QueueLock(path, 'soft')
    with subprocess.Popen(
        inside, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        send_line(other, 'acquire')
        assert read_line(other) == 'ok'
        waiter = threading.Thread(target=lambda: (lock.acquire(), lock.release()), daemon=True)
        waiter.start()
        waiter.join(2.5)
        assert waiter.is_alive()
        holder = lock.holder()
        assert holder is not None and 'PID namespace' in holder.host and not holder.command
        other.kill()
    waiter.join(120)
    assert not waiter.is_alive()


@pytest.mark.parametrize(
    ('boot', 'ticks', 'at_once', 'later'),
    [
        ('here', 0, False, False),
        ('here', 1, True, True),
        ('another', 0, False, True),
        ('hidden', 0, False, False),
        ('hidden', 1, False, True),
    ],
)
@pytest.mark.parametrize('tells_boot', [True, False])
def test_soft_lock_tells_dead_holders(
    boot: str,
    ticks: int,
    at_once: bool,
    later: bool,
    tells_boot: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where another machine may have this one's name, a lock is freed after some time only."""
    here = machine()
    start = process_start(os.getpid())
    assert start is not None
    number = int(here['boot'].replace('-', ''), 16)
    boots = {'here': number, 'another': number ^ 1, 'hidden': 0}
    claim = boots[boot] << 64 | start + ticks
    if not tells_boot:
        monkeypatch.setattr(soft_lock, 'machine', lambda: {**here, 'boot': ''})
        at_once, later = False, bool(ticks)
    assert soft_lock._is_dead(os.getpid(), claim, 0.0) is at_once
    assert soft_lock._is_dead(os.getpid(), claim, soft_lock._DOUBT_S) is later


def test_soft_lock_from_before_the_machine_was_started_again(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soft_lock, '_DOUBT_S', 1.5)
    with start_script(HOLDER, path, 'soft') as other:
        send_line(other, 'acquire')
        assert read_line(other) == 'ok'
        other.kill()
        other.wait()
        for claim in Path(path + '.soft.filelock', 'claims').iterdir():
            lines = claim.read_text().split('\n')
            lines[4] = str(int(lines[4]) ^ 1 << 64)
            claim.write_text('\n'.join(lines))
        with QueueLock(path, 'soft'):
            pass


IN_A_NAMESPACE = """
import os, sys
from desipipe.store.lock import QueueLock
if not os.fork():
    QueueLock(sys.argv[1], 'soft').acquire()
    os.kill(os.getpid(), 9)
os.wait()
with QueueLock(sys.argv[1], 'soft'):
    print('free')
"""


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which('unshare') is None,
    reason='needs root, to make a name space of process numbers',
)
def test_dead_holder_in_a_name_space_of_process_numbers(path: str) -> None:
    argv = [
        'unshare',
        '--pid',
        '--fork',
        '--mount-proc',
        sys.executable,
        '-c',
        IN_A_NAMESPACE,
        path,
    ]
    if subprocess.run([*argv[:4], 'true']).returncode:
        pytest.skip('no name spaces here')
    assert (
        subprocess.run(argv, timeout=120, stdout=subprocess.PIPE, text=True, check=True).stdout
        == 'free\n'
    )


@pytest.mark.parametrize('is_reused', [False, True])
def test_lock_outlives_code_that_takes_its_descriptor(
    path: str, tmp_path: Path, is_reused: bool
) -> None:
    lock = QueueLock(path)
    with lock:
        pass
    assert lock._opened is not None
    fd = lock._opened.fileno()
    os.close(fd)
    other = tmp_path / 'other'
    other.write_bytes(b'x')
    if is_reused:
        opened = os.open(other, os.O_RDWR)
        os.dup2(opened, fd)
    lock.has_news = True
    with lock:
        with open(path) as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if is_reused:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)  # nobody locked what is another's
    assert other.read_bytes() == b'x'
    if is_reused:
        os.fstat(fd)  # whoever has it keeps it
        os.close(opened)
        os.close(fd)
