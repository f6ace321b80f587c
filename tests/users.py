"""Other users of this machine: what a test does as one of them, in a forked process."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pickle
import signal
import stat
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason='other users are played, which needs root'
)
_KEEP_CAPS, _AMBIENT, _AMBIENT_RAISE = 8, 47, 2
_READ_ALL = 2  # CAP_DAC_READ_SEARCH
_VERSION_3 = 0x20080522
SECONDS = 300


class User(NamedTuple):
    """A user, who needs no account."""

    uid: int
    groups: tuple[int, ...] = ()


VICTIM, ATTACKER = User(54321), User(54322)
GROUP = 54330
ALICE, BOB = User(54323, (GROUP,)), User(54324, (GROUP,))
CAROL = User(54325)
"""Who is not in the group."""


def become(user: User) -> None:
    """Be another user, who may read the interpreter and this package wherever they are
    installed.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_KEEP_CAPS, 1, 0, 0, 0)
    os.setgroups(user.groups)
    os.setresgid(user.uid, user.uid, user.uid)
    os.setresuid(user.uid, user.uid, user.uid)
    header = (ctypes.c_uint32 * 2)(_VERSION_3, 0)
    rights = (ctypes.c_uint32 * 6)(*[1 << _READ_ALL] * 3, 0, 0, 0)
    if libc.capset(header, rights) == 0:
        libc.prctl(_AMBIENT, _AMBIENT_RAISE, _READ_ALL, 0, 0)
    libc.prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE: /proc/self is this user's


def run_as(user: User, home: Path, do: Callable[[], Any], umask: int = 0o022) -> Any:
    """Return what ``do`` returns, or raise what it raises, in a process of ``user``.

    Parameters
    ----------
    user : User
    home : path
        Folder of the user's configuration; made if it is not there.
    do : callable
        Its result, or its exception, is pickled.
    umask : int, default=0o022
    """
    home.mkdir(exist_ok=True)
    os.chown(home, user.uid, user.uid)
    read_end, write_end = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(read_end)
        _child(user, home, do, umask, write_end)
    os.close(write_end)
    try:
        with open(read_end, 'rb') as file:
            data = file.read()
    finally:
        os.waitpid(pid, 0)
    worked, value = pickle.loads(data)
    if not worked:
        raise value
    return value


def _child(user: User, home: Path, do: Callable[[], Any], umask: int, pipe: int) -> None:
    try:
        signal.alarm(SECONDS)
        become(user)
        os.umask(umask)
        os.chdir(home)
        os.environ.update(HOME=str(home), DESIPIPE_CONFIG_DIR=str(home / 'config'))
        for name in ('DESIPIPE_TRUST', 'DESIPIPE_QUEUE_DIR'):
            os.environ.pop(name, None)
        outcome: tuple[bool, Any] = (True, do())
    except BaseException as exc:
        exc.add_note(traceback.format_exc())
        outcome = (False, exc)
    try:
        data = pickle.dumps(outcome)
    except Exception:
        data = pickle.dumps((False, AssertionError(f'{outcome!r} in {sys.argv}')))
    with open(pipe, 'wb') as file:
        file.write(data)
    os._exit(0)


@contextlib.contextmanager
def open_place() -> Iterator[Path]:
    """Make a folder that every user can pass, which those of pytest are not: each run closes
    them to others.
    """
    with tempfile.TemporaryDirectory(
        prefix='desipipe-users-', dir='/tmp', ignore_cleanup_errors=True
    ) as name:
        os.chmod(name, 0o755)
        yield Path(name)


def give(folder: str | Path, user: User, gid: int = -1) -> None:
    """Let a folder, and all that is in it, belong to a user."""
    for where, folders, files in os.walk(folder):
        for name in ('', *folders, *files):
            os.chown(
                os.path.join(where, name),
                user.uid,
                gid if gid >= 0 else user.uid,
                follow_symlinks=False,
            )


def open_to_all(folder: str | Path) -> None:
    """Let everyone write to a folder and all that is in it."""
    for where, _, files in os.walk(folder):
        os.chmod(where, 0o777)
        for name in files:
            os.chmod(os.path.join(where, name), 0o666)


def snapshot(folder: str | Path) -> dict[str, tuple[int, ...]]:
    """Return what changes when anything below a folder is written, made, removed or given away."""
    entries = {}
    for path in (Path(folder), *sorted(Path(folder).rglob('*'))):
        status = path.lstat()
        entries[str(path)] = (
            status.st_ino,
            status.st_mtime_ns,
            status.st_ctime_ns,
            status.st_size,
            status.st_mode,
            status.st_uid,
        )
    return entries


def modes(folder: str | Path) -> dict[str, tuple[int, int]]:
    """Return mode and group of a folder and all that is in it, by path relative to it."""
    top = Path(folder)
    modes_by_path = {}
    for path in (top, *sorted(top.rglob('*'))):
        status = path.lstat()
        modes_by_path[str(path.relative_to(top))] = (stat.S_IMODE(status.st_mode), status.st_gid)
    return modes_by_path
