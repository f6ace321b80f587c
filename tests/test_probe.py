"""The self-test of a filesystem: what excludes is used, what does not, or does not reach other
hosts, is refused.
"""

from __future__ import annotations

import errno
import fcntl
import io
import os
from pathlib import Path
from typing import Any

import psutil
import pytest

from desipipe.errors import LockingError
from desipipe.store import probe as probes
from desipipe.store.probe import mount_of, probe

TABLE = """\
/dev/root / ext4 rw,relatime 0 0
proc /proc proc rw 0 0
server:/home /home nfs4 rw,vers=4.2,hard,local_lock=none 0 0
server:/old /old nfs rw,vers=3,nolock 0 0
server:/mine /mine nfs4 rw,local_lock=flock 0 0
lustre /scratch lustre rw,flock 0 0
lustre /scratch/cheap lustre rw,localflock 0 0
user@host:/ /remote/with\\040blank fuse.sshfs rw 0 0
mfs /mfs fuse.moosefs rw 0 0
what /unknown strangefs rw 0 0
tmpfs /home/user/tmp tmpfs rw 0 0
"""


@pytest.fixture
def mounts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with many filesystems."""
    monkeypatch.setattr(
        probes,
        'open',
        lambda path, *args: (
            io.StringIO(TABLE) if path == '/proc/self/mounts' else open(path, *args)
        ),
        raising=False,
    )
    monkeypatch.setattr(os.path, 'realpath', lambda path: path)


@pytest.mark.parametrize(
    ('folder', 'point', 'fstype', 'shared'),
    [
        ('/data', '/', 'ext4', False),
        ('/homes', '/', 'ext4', False),
        ('/home', '/home', 'nfs4', True),
        ('/home/user', '/home', 'nfs4', True),
        ('/home/user/tmp/q', '/home/user/tmp', 'tmpfs', False),
        ('/scratch/me', '/scratch', 'lustre', True),
        ('/scratch/cheap/me', '/scratch/cheap', 'lustre', True),
        ('/remote/with blank/me', '/remote/with blank', 'fuse.sshfs', True),
        ('/unknown', '/unknown', 'strangefs', True),
    ],
)
def test_mount_of_returns_innermost_mount(
    mounts: None, folder: str, point: str, fstype: str, shared: bool
) -> None:
    mount = mount_of(folder)
    assert (mount.point, mount.fstype, mount.shared) == (point, fstype, shared)


def test_mount_of_a_real_folder(tmp_path: Path) -> None:
    mount = mount_of(str(tmp_path))
    assert os.stat(mount.point).st_dev == os.stat(tmp_path).st_dev
    link = tmp_path / 'link'
    link.symlink_to('/proc')
    assert mount_of(str(link)).fstype == 'proc'


def probed(folder: Path, lock: str | None = None) -> Any:
    """Test a folder, in which nothing may be left, and no process."""
    others = set(psutil.Process().children())  # of earlier tests
    try:
        return probe(str(folder), lock)
    finally:
        assert list(folder.iterdir()) == []
        assert set(psutil.Process().children()) <= others


def test_filesystem_with_locks(tmp_path: Path) -> None:
    filesystem_found = probed(tmp_path)
    assert filesystem_found.lock in ('flock', 'poll') and filesystem_found.wake >= 0
    assert probed(tmp_path, 'poll').lock == 'poll'
    assert probed(tmp_path, 'flock').lock == 'flock'
    assert probed(tmp_path, 'soft').lock == 'soft'


def test_lock_that_wakes_late_is_polled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, '_WAKE_MOST', 1e9)
    assert probed(tmp_path).lock == 'flock'
    monkeypatch.setattr(probes, '_WAKE_MOST', 0.0)
    assert probed(tmp_path).lock == 'poll'
    assert probed(tmp_path, 'flock').lock == 'flock'


@pytest.mark.parametrize(
    ('folder', 'expected'),
    [('/old/q', 'nolock'), ('/mine/q', 'local_lock=flock'), ('/scratch/cheap/q', 'localflock')],
)
@pytest.mark.parametrize('lock', [None, 'flock'])
def test_locks_of_one_host_are_refused(
    mounts: None, folder: str, expected: str, lock: str | None
) -> None:
    with pytest.raises(LockingError, match='this host only') as info:
        probe(folder, lock)
    for word in (folder, expected, 'No queue was created', 'DESIPIPE_QUEUE_DIR'):
        assert word in str(info.value)


@pytest.mark.parametrize(
    ('folder', 'fstype'), [('/remote/with blank/q', 'fuse.sshfs'), ('/unknown/q', 'strangefs')]
)
def test_locks_that_may_not_reach_other_hosts_are_refused(
    mounts: None, folder: str, fstype: str
) -> None:
    with pytest.raises(LockingError, match='not known to reach other hosts') as info:
        probe(folder)
    for word in (
        folder,
        fstype,
        'No queue was created',
        'DESIPIPE_QUEUE_DIR',
        'DESIPIPE_LOCK=flock',
    ):
        assert word in str(info.value)
    assert ('those of sshfs do not' in str(info.value)) == ('sshfs' in fstype)


def test_probe_accepts_configured_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        probes, 'mount_of', lambda folder: probes.Mount('/unknown', 'strangefs', frozenset())
    )
    assert probed(tmp_path, 'flock').lock == 'flock'


def test_locks_that_do_not_exclude(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, 'flock', lambda fd, operation: None)
    with pytest.raises(LockingError, match='two processes held the lock at once') as info:
        probed(tmp_path)
    for word in (str(tmp_path), 'No queue was created', 'DESIPIPE_QUEUE_DIR', 'DESIPIPE_LOCK=soft'):
        assert word in str(info.value)


def test_increments_that_are_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A filesystem that excludes, and shows old contents: here the second process leaves three
    of its turns out.
    """
    assert probes._CHILD.count('for _ in range(rounds)') == 1
    monkeypatch.setattr(
        probes,
        '_CHILD',
        probes._CHILD.replace('for _ in range(rounds)', 'for _ in range(rounds - 3)'),
    )
    with pytest.raises(LockingError, match='3 of 80 increments made under the lock were lost'):
        probed(tmp_path)


@pytest.mark.parametrize('number', [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_filesystem_without_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def flock(fd: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, 'flock', flock)
    with pytest.raises(LockingError, match='no working locks') as info:
        probed(tmp_path)
    assert os.strerror(number) in str(info.value)


def test_second_process_that_never_gets_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes, '_TIMEOUT', 0.3)
    monkeypatch.setattr(probes, '_CHILD', 'import sys; sys.stdin.read()')
    with pytest.raises(LockingError, match='did not get the lock within'):
        probed(tmp_path)


def test_second_process_that_dies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, '_CHILD', 'pass')
    with pytest.raises(LockingError, match=r'the second process stopped \(no word\)'):
        probed(tmp_path)
