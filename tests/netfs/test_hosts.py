"""The test hosts themselves: two machines for all that a program can see, whose locks and
network behave as the tests of the queue assume.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from polling import wait_for

from .hosts import SERVER_IP, Box, Cluster, Host, finish, go, until

HOLD = """
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(fd, fcntl.LOCK_EX)
print('held', flush=True)
sys.stdin.readline()
"""

TRY = """
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
try:
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    print('granted')
except BlockingIOError:
    print('refused')
"""

APPEND = """
import fcntl, os, sys
path, name, n = sys.argv[1], sys.argv[2], int(sys.argv[3])
print('ready', flush=True)
sys.stdin.readline()
for i in range(n):
    lock = os.open(path + '.lock', os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    fd = os.open(path, os.O_WRONLY | os.O_APPEND)
    os.write(fd, f'{name} {i:d}\\n'.encode())
    os.close(fd)
    os.close(lock)
"""

WRITE = """
import os, sys
print('ready', flush=True)
sys.stdin.readline()
with open(sys.argv[1], 'w') as file:
    file.write('written')
    file.flush()
    os.fsync(file.fileno())
"""

# A port where nobody listens: a host that can be reached refuses, one that can't says nothing.
REACH = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], 1), 1)
except ConnectionRefusedError:
    print('reached')
except OSError:
    print('cut off')
"""


def start(host: Host, code: str, *args: object) -> subprocess.Popen[str]:
    """Start Python source that waits for lines on its standard input."""
    return host.talk([sys.executable, '-c', code, *map(str, args)])


def test_hosts_differ_as_two_machines_do(two_hosts: Cluster) -> None:
    """Nothing that programs compare to know whether they are on the same machine is equal."""
    code = """
import os, socket
print(socket.gethostname(), open('/proc/sys/kernel/random/boot_id').read().strip())
"""
    seen = [host.python(code).split() for host in two_hosts.hosts]
    assert [text[0] for text in seen] == [host.name for host in two_hosts.hosts]
    here = [os.uname().nodename, Path('/proc/sys/kernel/random/boot_id').read_text().strip()]
    for text in zip(here, *seen, strict=True):
        assert len(set(text)) == 3
    a, b = two_hosts.hosts
    assert a.path == b.path == two_hosts.path
    assert not any(two_hosts.path.iterdir()), 'the shared folder is mounted on the machine itself'
    a.run(['sh', '-c', 'echo from a > "$0"', two_hosts.path / 'from_a'], check=True)
    assert b.run(['cat', two_hosts.path / 'from_a'], check=True).stdout == 'from a\n'


def test_programs(two_hosts: Cluster) -> None:
    """Exit status, output, input, folder, environment and signals of a program are those of a
    child process.
    """
    host = two_hosts.hosts[0]
    result = host.run(
        ['sh', '-c', 'echo out; echo err >&2; pwd; echo $WORD; exit 3'],
        cwd='/usr',
        env={**os.environ, 'WORD': 'word'},
    )
    assert (result.returncode, result.stdout, result.stderr) == (3, 'out\n/usr\nword\n', 'err\n')
    process = host.popen(['cat'], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.communicate('to and fro', timeout=60) == ('to and fro', None)
    process = host.popen(['sleep', '600'])
    process.kill()
    assert process.wait(60) == -signal.SIGKILL
    polite = "trap 'echo asked; exit 5' TERM; echo ready; while :; do sleep 0.05; done"
    process = host.popen(['sh', '-c', polite], stdout=subprocess.PIPE, text=True)
    until(process, 'ready')
    process.terminate()
    until(process, 'asked')
    assert process.wait(60) == 5
    with pytest.raises(subprocess.TimeoutExpired):
        host.run(['sleep', '600'], timeout=0.5)


def test_stopped_program_continues(two_hosts: Cluster) -> None:
    """A program that is stopped stays so until it is continued."""
    host = two_hosts.hosts[0]
    process = host.popen(['cat'], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(b'a')
    assert process.stdout.read(1) == b'a'
    process.send_signal(signal.SIGSTOP)
    wait_for(
        lambda: 'T' in host.run(['ps', '-C', 'cat', '-o', 'stat='], check=True).stdout,
        'cat is stopped',
    )
    process.stdin.write(b'b')
    process.send_signal(signal.SIGCONT)
    assert process.stdout.read(1) == b'b'
    process.stdin.close()
    assert process.wait(60) == 0


def test_lock_is_exclusive(two_hosts: Cluster) -> None:
    """A lock that one host holds is refused to the other, and granted after its release."""
    a, b = two_hosts.hosts
    file = two_hosts.path / 'exclusive'
    holder = start(a, HOLD, file)
    until(holder, 'held')
    assert b.python(TRY, file) == 'refused'
    assert a.python(TRY, file) == 'refused'
    go(holder)
    finish(holder)
    assert b.python(TRY, file) == 'granted'


def test_killed_holder_releases(two_hosts: Cluster) -> None:
    """The lock of a process that was killed is free for the other host."""
    a, b = two_hosts.hosts
    file = two_hosts.path / 'killed'
    holder = start(a, HOLD, file)
    until(holder, 'held')
    holder.kill()
    holder.wait(60)
    waiter = start(b, HOLD, file)
    until(waiter, 'held')
    go(waiter)
    finish(waiter)


def test_lines_appended_under_the_lock(two_hosts: Cluster) -> None:
    """No line is lost or torn: what queues rely on.

    That what was *read* under the lock is the newest is more than MooseFS gives: see
    `test_stale_length`.
    """
    n = 50
    path = two_hosts.path / 'lines'
    # MooseFS refuses O_CREAT with EEXIST to one of two hosts that create a file at the same moment:
    # both files are there before.
    two_hosts.hosts[0].run(['sh', '-c', ': > "$0"; : > "$0.lock"', path], check=True)
    processes = [start(host, APPEND, path, host.name, n) for host in two_hosts.hosts]
    for process in processes:
        until(process, 'ready')
    for process in processes:
        go(process)
    for process in processes:
        finish(process)
    lines = two_hosts.hosts[1].run(['cat', path], check=True).stdout.splitlines()
    for host in two_hosts.hosts:
        own = [line for line in lines if line.startswith(f'{host.name} ')]
        assert own == [f'{host.name} {i:d}' for i in range(n)]
    assert len(lines) == 2 * n


def test_cut_and_heal(two_hosts: Cluster) -> None:
    """A host that is cut off waits, the other one does not notice; once healed, it goes on where
    it was.
    """
    a, b = two_hosts.hosts
    writer = start(a, WRITE, two_hosts.path / 'pending')
    until(writer, 'ready')
    assert a.python(REACH, SERVER_IP) == 'reached'
    a.cut()
    assert a.python(REACH, SERVER_IP) == 'cut off'
    assert b.python(REACH, SERVER_IP) == 'reached'
    go(writer)
    other = start(b, WRITE, two_hosts.path / 'other')
    go(other)
    finish(other)
    assert b.run(['ls', two_hosts.path], check=True).stdout.split().count('pending') == 0
    assert writer.poll() is None
    a.heal()
    finish(writer)
    assert a.python(REACH, SERVER_IP) == 'reached'
    assert b.run(['cat', two_hosts.path / 'pending'], check=True).stdout == 'written'
    assert a.run(['cat', two_hosts.path / 'other'], check=True).stdout == 'written'


@pytest.mark.netfs
def test_sshfs_locks_lie(sshfs: Cluster) -> None:
    """What sshfs is here for: both hosts hold the same exclusive lock."""
    a, b = sshfs.hosts
    file = sshfs.path / 'lie'
    holder = start(a, HOLD, file)
    until(holder, 'held')
    assert a.python(TRY, file) == 'refused'
    assert b.python(TRY, file) == 'granted'
    go(holder)
    finish(holder)


def _gone(pid: int) -> bool:
    """Whether a process has ended (an orphan may stay a zombie until whoever adopted it looks)."""
    try:
        return Path(f'/proc/{pid:d}/stat').read_text().rpartition(')')[2].split()[0] == 'Z'
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.netfs
@pytest.mark.usefixtures('boxes')
def test_box_leaves_nothing() -> None:
    """What runs in a box ends with it, also what has left its parent, its session and its
    signals behind.
    """
    box = Box('passing')
    # An orphan that ends is reaped, one that does not stays.
    box.run(
        ['sh', '-c', "trap '' TERM HUP INT; setsid sleep 600 > /dev/null 2>&1 & setsid true &"],
        check=True,
    )
    pid = box.pid

    def orphans() -> list[int]:
        return [
            int(child) for child in Path(f'/proc/{pid:d}/task/{pid:d}/children').read_text().split()
        ]

    wait_for(lambda: len(orphans()) == 1, 'one orphan is left')
    sleepers = orphans()
    box.close()
    assert all(map(_gone, [pid, *sleepers]))


@pytest.mark.netfs
@pytest.mark.usefixtures('boxes')
def test_killed_owner_leaves_nothing() -> None:
    """A box ends when the process that made it is killed, and its folder goes when the next one
    is made.
    """
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).resolve().parents[1])!r})
from netfs.hosts import Box, scratch
with scratch() as base:
    box = Box('orphaned')
    process = box.popen(['sleep', '600'])
    print(box.pid, base, flush=True)
    sys.stdin.readline()
"""
    owner = subprocess.Popen(
        [sys.executable, '-c', code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    pid, base = owner.stdout.readline().split()
    assert Path(base).is_dir()
    owner.kill()
    owner.communicate()
    wait_for(lambda: _gone(int(pid)), 'the box has ended')
    subprocess.run(
        [sys.executable, '-c', code],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    assert not Path(base).exists()
    assert not Path(base + '.lock').exists()
