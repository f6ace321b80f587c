"""Open, rename and remove the files of a queue; nothing else does.

The folder of a queue belongs to whoever made it, who may put links, pipes and names of others'
files into it. So each file is opened relative to the descriptor of its folder, without following
links and without waiting, and counts only if it is a regular file. The folder that a user names may
be a link.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
import time

from ..errors import UnsafeFileError
from ..utils.named_tuple import NamedTuple
from .file_names import check_name
from .folders import open_below, open_folder, opened_parent
from .unsafe_files import KINDS, check_links, complain_about, unsafe_file

_SAFE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
# An NFS server takes a file back.
_DELEGATED_PAUSES_S = (0.001, 0.01, 0.05, 0.2, 0.5, 1.0, 2.0, 5.0)


class Owners(NamedTuple):
    """Users (by id) who decide what a file of a queue holds."""

    folder: int
    """Owner of the queue's folder."""
    file: int


def open_file(folder: str, path: str, flags: int = os.O_RDONLY, mode: int = 0o666) -> int:
    """Open a regular file.

    Parameters
    ----------
    folder : str
        The queue's folder, as a user named it.
    path : str
        A name in it, or of a folder and a name.
    flags : int, default=os.O_RDONLY
        As of :func:`os.open`, without ``O_TRUNC``: what is not checked yet is not changed.
    mode : int, default=0o666
        Of a file that is made.

    Returns
    -------
    fd : int
        The caller closes it.

    Raises
    ------
    UnsafeFileError
        It is a link, a pipe, a device or a folder, or has other names elsewhere.
    OSError
        As of :func:`os.open`.
    """
    with opened_parent(folder, path) as (parent, name):
        return _open_in(parent, name, os.path.join(folder, path), flags, mode)


def _open_in(parent: int, name: str, path: str, flags: int, mode: int) -> int:
    assert not flags & os.O_TRUNC
    check_name(name)
    try:
        fd = _open_patiently(parent, name, flags | _SAFE, mode)
    except OSError as exc:
        complain_about(exc, parent, path)
        exc.filename = path
        raise
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise unsafe_file(path, status)
        if status.st_nlink > 1:
            check_links(parent, path, status)
    except BaseException:
        os.close(fd)
        raise
    return fd


def open_named(path: str, follow: bool = True) -> int:
    """Open a regular file that a user, or a record, names, for reading.

    Parameters
    ----------
    path : str
    follow : bool, default=True
        Follow a link that has this name.

    Returns
    -------
    fd : int
        The caller closes it.

    Raises
    ------
    UnsafeFileError
        It is a pipe, a device or a folder: reading it could take for ever.
    OSError
        As of :func:`os.open`.
    """
    try:
        fd = _open_patiently(
            None, path, os.O_RDONLY | (_SAFE & ~os.O_NOFOLLOW if follow else _SAFE), 0
        )
    except OSError as exc:
        if exc.errno in (errno.ENXIO, errno.ENODEV, errno.EOPNOTSUPP):
            raise UnsafeFileError(f'{path} is no file: it was not opened.') from None
        raise
    mode = os.fstat(fd).st_mode
    if not stat.S_ISREG(mode):
        os.close(fd)
        raise UnsafeFileError(
            f'{path} is {KINDS.get(stat.S_IFMT(mode), "something else")}, not a file: it was not '
            'read.'
        )
    return fd


def _open_patiently(parent: int | None, name: str, flags: int, mode: int) -> int:
    for pause in (*_DELEGATED_PAUSES_S, -1.0):
        try:
            return os.open(name, flags, mode, dir_fd=parent)
        except BlockingIOError:
            # An NFS server on this machine has lent the file to a client, and takes it back now.
            if pause < 0:
                raise
            time.sleep(pause)
        except FileExistsError:
            # MooseFS says so to one of two hosts that make a file in the same moment, though
            # neither asks for a new one. Now it is there for both.
            if flags & os.O_EXCL or pause < 0:
                raise
    raise AssertionError


def owners(folder: str, path: str) -> Owners:
    """Return the owners of a queue's folder and of a file in it, at one moment."""
    fd, status = open_owned(folder, path)
    os.close(fd)
    return status


def open_owned(folder: str, path: str) -> tuple[int, Owners]:
    """Open a file for reading; also return the owners of what was opened."""
    *below, name = path.split('/')
    base = open_folder(folder)
    try:
        owner = os.fstat(base).st_uid
        parent = base if not below else open_below(base, folder, below[0])
        try:
            fd = _open_in(parent, name, os.path.join(folder, path), os.O_RDONLY, 0)
        finally:
            if parent != base:
                os.close(parent)
    finally:
        os.close(base)
    return fd, Owners(owner, os.fstat(fd).st_uid)


def read_file(folder: str, path: str, most: int, tail: bool = False) -> bytes:
    """Read at most ``most`` bytes of a file: its beginning, or with ``tail`` its end."""
    fd = open_file(folder, path)
    try:
        start = max(0, os.fstat(fd).st_size - most) if tail else 0
        return read_range(fd, start, start + most)
    finally:
        os.close(fd)


def read_range(fd: int, start: int, end: int) -> bytes:
    """Return an open file's bytes from ``start`` to ``end``, fewer if it is shorter."""
    parts: list[bytes] = []
    while start < end and (data := os.pread(fd, min(end - start, 1 << 24), start)):
        parts.append(data)
        start += len(data)
    return b''.join(parts)


def status(folder: str, path: str) -> os.stat_result:
    """Return the status of what has a name; a link is not followed."""
    with opened_parent(folder, path) as (parent, name):
        return os.stat(name, dir_fd=parent, follow_symlinks=False)


def remove(folder: str, path: str, missing_ok: bool = False) -> None:
    """Remove a file; of a link the link."""
    try:
        with opened_parent(folder, path) as (parent, name):
            if missing_ok:  # looked up first, as nothing can be removed from what can only be read
                os.stat(name, dir_fd=parent, follow_symlinks=False)
            os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        if not missing_ok:
            raise


def replace_file(folder: str, old: str, new: str, exclusive: bool = False) -> None:
    """Rename a file over any other; with ``exclusive`` only to an unused name."""
    with (
        opened_parent(folder, old) as (source, name),
        opened_parent(folder, new) as (target, other),
    ):
        if exclusive:
            os.link(name, other, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
            os.unlink(name, dir_fd=source)
        else:
            os.rename(name, other, src_dir_fd=source, dst_dir_fd=target)


def read_link(folder: str, path: str) -> str:
    """Return where a symbolic link leads; it is not followed."""
    with opened_parent(folder, path) as (parent, name):
        return os.readlink(name, dir_fd=parent)


def make_link(folder: str, target: str, path: str) -> None:
    """Make a symbolic link, for people; nothing here follows it."""
    with opened_parent(folder, path) as (parent, name):
        os.symlink(target, name, dir_fd=parent)


def sync_data(fd: int) -> None:
    """Make what was written to a file last through a power cut."""
    if sys.platform == 'darwin':  # it has no fdatasync
        os.fsync(fd)
    else:
        os.fdatasync(fd)
