"""Self-test of a filesystem when a queue is created.

It checks that locks exclude, wake waiters, and reach other hosts.
"""

from __future__ import annotations

import fcntl
import os
import select
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import LockingError
from ..utils import random_hex

if TYPE_CHECKING:
    import subprocess

_LOCAL = {
    'ext2',
    'ext3',
    'ext4',
    'xfs',
    'btrfs',
    'zfs',
    'f2fs',
    'tmpfs',
    'ramfs',
    'overlay',
    'jfs',
    'reiserfs',
    'bcachefs',
    'apfs',
    'hfs',
    'ufs',
    'hostfs',
}
_SHARED = {
    'nfs',
    'nfs4',
    'lustre',
    'gpfs',
    'beegfs',
    'ceph',
    'ocfs2',
    'gfs2',
    'fuse.glusterfs',
    'fuse.mfs',
    'fuse.moosefs',
    'fuse.mfsmount',
    'fuse.ceph',
    'fuse.juicefs',
    'wekafs',
    'panfs',
    'orangefs',
    'dvs',
}
_ONE_HOST = {
    'nolock',
    'local_lock=all',
    'local_lock=flock',
    'localflock',
    'nobrl',
}  # mount options that keep locks on this host
_ROUNDS = 40
_WAKE_MOST = 0.2  # s; a blocking lock that wakes later is polled instead
_TIMEOUT = 60.0  # s

# What the second process does; plain text, so that nothing of desipipe needs to be importable
# there. It blocks for the lock, says when it has it, and adds to a counter under it.
_CHILD = """
import fcntl, os, sys, time
lock, counter, poll, rounds = sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
fd = os.open(lock, os.O_RDWR)
def take():
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | (fcntl.LOCK_NB if poll else 0)); return
        except BlockingIOError:
            time.sleep(poll)
try:
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB); print('let in', flush=True)
except BlockingIOError:
    print('kept out', flush=True)
take(); print('woken', flush=True); fcntl.flock(fd, fcntl.LOCK_UN)
sys.stdin.readline()
for _ in range(rounds):
    take()
    with open(counter) as file: value = int(file.read())
    with open(counter, 'w') as file: file.write(str(value + 1))
    fcntl.flock(fd, fcntl.LOCK_UN)
print('done', flush=True)
"""


@dataclass
class Mount:
    """The mount of a folder."""

    point: str
    fstype: str
    options: frozenset[str]

    @property
    def shared(self) -> bool:
        """True if other hosts may write there.

        An unknown filesystem counts as shared, which is slower and safe.
        """
        return self.fstype not in _LOCAL


def mount_of(folder: str) -> Mount:
    """The mount that holds ``folder``, from ``/proc/self/mounts``."""
    folder = os.path.realpath(folder)
    best = Mount('', 'unknown', frozenset())
    try:
        with open('/proc/self/mounts') as file:
            table = file.read().splitlines()
    except FileNotFoundError:  # not Linux
        return Mount('/', 'apfs' if sys.platform == 'darwin' else 'unknown', frozenset())
    for line in table:
        source, point, fstype, options = line.split(' ')[:4]
        if (
            fstype == 'fuse'
            and (driver := source.encode().decode('unicode_escape').partition('#'))[1]
        ):
            # MooseFS says "mfs#host:port" there, and no more than "fuse" here
            fstype = f'fuse.{driver[0]}'
        point = point.encode().decode('unicode_escape')
        if (folder == point or folder.startswith(point.rstrip('/') + '/')) and len(point) >= len(
            best.point
        ):
            best = Mount(point, fstype, frozenset(options.split(',')))
    return best


@dataclass
class Probe:
    """The results of the self-test."""

    mount: Mount
    lock: str
    wake: float
    """Seconds from a release to the waiter having the lock."""


def probe(folder: str, lock: str | None = None) -> Probe:
    """Test locks in ``folder`` with a second process, and choose the kind of lock.

    Parameters
    ----------
    folder : str
        An existing folder that can be written to; what the test makes there is removed again.
    lock : str, default=None
        The kind of lock asked for by the configuration, which also says that a filesystem unknown
        to us may be used.

    Returns
    -------
    result : Probe

    Raises
    ------
    LockingError
        Locks don't work there, or would not reach other hosts.
    """
    mount = mount_of(folder)
    _check_reach(folder, mount, lock)
    if lock == 'soft':
        return Probe(mount, 'soft', 0.0)
    stem = os.path.join(folder, f'.probe-{os.getpid():d}-{random_hex(4)}')
    paths = (stem + '.lock', stem + '.count')
    try:
        for path in paths:
            with open(path, 'x') as file:
                file.write('0')
        wake = _contend(folder, *paths, poll=0.0 if lock != 'poll' else 0.002)
        return Probe(mount, lock or ('flock' if wake < _WAKE_MOST else 'poll'), wake)
    finally:
        for path in paths:
            if os.path.lexists(path):
                os.unlink(path)


def _check_reach(folder: str, mount: Mount, lock: str | None) -> None:
    lying = sorted(mount.options & _ONE_HOST)
    if lying and mount.shared:
        raise LockingError(
            f'{folder} is on a {mount.fstype} filesystem mounted with {lying[0]!r}: its locks hold '
            'on this host only, so that two hosts would write at once '
            'and lose tasks. No queue was created. Choose another folder (Queue(base_dir=...) or '
            'DESIPIPE_QUEUE_DIR), or ask for a mount with locks.'
        )
    if mount.shared and mount.fstype not in _SHARED and lock is None:
        raise LockingError(
            f'{folder} is on a {mount.fstype} filesystem, whose locks are not known to reach other '
            'hosts'
            f'{" (those of sshfs do not)" if "sshfs" in mount.fstype else ""}: two hosts could '
            'write at once and lose tasks. No queue was created. '
            'Choose another folder (Queue(base_dir=...) or DESIPIPE_QUEUE_DIR), or, if all workers '
            'run on this host, set DESIPIPE_LOCK=flock.'
        )


def _contend(folder: str, lock: str, counter: str, poll: float) -> float:
    fd = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    import subprocess

    child: subprocess.Popen[str] | None = None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        child = subprocess.Popen(
            [sys.executable, '-I', '-S', '-c', _CHILD, lock, counter, str(poll), str(_ROUNDS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        _expect(folder, child, 'kept out')
        released = time.monotonic()
        fcntl.flock(fd, fcntl.LOCK_UN)
        _expect(folder, child, 'woken')
        wake = time.monotonic() - released
        assert child.stdin is not None
        child.stdin.write('go\n')
        child.stdin.flush()
        _count(fd, counter)
        _expect(folder, child, 'done')
        _check_count(folder, counter)
        return wake
    except OSError as exc:
        if isinstance(exc, LockingError):
            raise
        raise _broken(folder, f'{exc.strerror}') from exc
    finally:
        os.close(fd)
        if child is not None:
            child.kill()
            child.communicate()


def _count(fd: int, counter: str) -> None:
    """Add to the counter under the lock, as the second process does."""
    for _ in range(_ROUNDS):
        fcntl.flock(fd, fcntl.LOCK_EX)
        with open(counter) as file:
            value = int(file.read())
        with open(counter, 'w') as file:
            file.write(str(value + 1))
        fcntl.flock(fd, fcntl.LOCK_UN)


def _check_count(folder: str, counter: str) -> None:
    with open(counter) as file:
        lost = 2 * _ROUNDS - int(file.read())
    if lost:
        raise _broken(
            folder, f'{lost:d} of {2 * _ROUNDS:d} increments made under the lock were lost'
        )


def _expect(folder: str, child: subprocess.Popen[str], word: str) -> None:
    assert child.stdout is not None
    poll = select.poll()
    poll.register(child.stdout, select.POLLIN)
    if not poll.poll(_TIMEOUT * 1000):
        raise _broken(folder, f'a second process did not get the lock within {_TIMEOUT:.0f} s')
    line = child.stdout.readline().strip()
    if line != word:
        raise _broken(
            folder,
            'two processes held the lock at once'
            if line == 'let in'
            else f'the second process stopped ({line or "no word"})',
        )


def _broken(folder: str, why: str) -> LockingError:
    return LockingError(
        f'The filesystem of {folder} has no working locks: {why}. No queue was created: it would '
        'lose tasks. '
        'Choose another folder (Queue(base_dir=...) or DESIPIPE_QUEUE_DIR), or DESIPIPE_LOCK=soft '
        '(slower) if there is no other.'
    )
