"""Open, list, rename and remove the files of a queue; nothing else does.

The folder of a queue belongs to whoever made it, who may put links, pipes and names of others'
files into it. So each file is opened relative to the descriptor of its folder, without following
links and without waiting, and counts only if it is a regular file. The folder that a user names may
be a link.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import stat
import sys
import time
from collections.abc import Iterator
from shlex import quote
from typing import NamedTuple

import orjson

from ..errors import UnsafeFileError
from ..utils import file_mode, is_shared

SUBFOLDERS = ('segments', 'live', 'workers')
_NAME = re.compile(r'\w[\w.+=@,~-]{0,239}')
_HIDDEN = ('.desipipe',)  # folders beside files that tasks save
_FIRST_LINE_MAX = 1 << 16  # bytes
_LISTED_MAX = 1 << 20  # a queue has as many files as writers
_DEPTH_MAX = 2  # of a file in a folder of a queue
_LOOKING = getattr(os, 'O_PATH', os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
_READABLE = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_SAFE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_DELEGATED_PAUSES_S = (
    0.001,
    0.01,
    0.05,
    0.2,
    0.5,
    1.0,
    2.0,
    5.0,
)  # an NFS server takes a file back
_KINDS = {
    stat.S_IFLNK: 'a link',
    stat.S_IFIFO: 'a pipe',
    stat.S_IFSOCK: 'a socket',
    stat.S_IFCHR: 'a device',
    stat.S_IFBLK: 'a device',
    stat.S_IFDIR: 'a folder',
}


class Owners(NamedTuple):
    """Users (by id) who decide what a file of a queue holds."""

    folder: int
    """Owner of the queue's folder."""
    file: int


def check_name(name: str) -> str:
    """Return a name that came from a journal, if it may be that of a file.

    Raises
    ------
    UnsafeFileError
        It could lead out of the queue's folder.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UnsafeFileError(
            f'{str(name)[:200]!r} is no name of a file in a queue: it may lead outside of the '
            'queue. '
            'Nothing was opened. The journal is damaged, or was written to do harm.'
        )
    return name


def segment_file(name: str) -> str:
    """Return the path of segment ``name`` in a queue's folder."""
    return f'segments/{check_name(name)}.bin'


def lease_file(name: str) -> str:
    """Return the path of the lease of process ``name`` in a queue's folder."""
    return f'workers/{check_name(name)}.lease'


def live_file(name: str) -> str:
    """Return the path of the output so far of slot ``name`` in a queue's folder."""
    return f'live/{check_name(name)}.log'


# Folders


def open_folder(folder: str, *below: str, readable: bool = False) -> int:
    """Open a folder, and one below it; links below it are not followed.

    Parameters
    ----------
    folder : str
        As a user named it; it may be a link.
    *below : str
        Names of folders.
    readable : bool, default=False
        Open it for listing.

    Returns
    -------
    fd : int
        The caller closes it.

    Raises
    ------
    UnsafeFileError
        A folder below is a link, or something else.
    """
    flags = _READABLE if readable else _LOOKING
    fd = os.open(folder, flags if not below else _LOOKING)
    for i, name in enumerate(below):
        try:
            inner = _open_inner(fd, name, flags if i == len(below) - 1 else _LOOKING)
        except OSError as exc:
            exc.filename = os.path.join(folder, *below[: i + 1])
            _complain_about(exc, fd, exc.filename)
            raise
        finally:
            os.close(fd)
        fd = inner
    return fd


def _open_inner(fd: int, name: str, flags: int) -> int:
    if name not in _HIDDEN:
        check_name(name)
    return os.open(name, flags | os.O_NOFOLLOW, dir_fd=fd)


@contextlib.contextmanager
def _parent(folder: str, path: str, readable: bool = False) -> Iterator[tuple[int, str]]:
    *below, name = path.split('/')
    if len(below) >= _DEPTH_MAX:
        raise UnsafeFileError(f'{path[:200]!r} is outside of the queue. Nothing was opened.')
    fd = open_folder(folder, *below, readable=readable)
    try:
        yield fd, name
    finally:
        os.close(fd)


def make_folder(folder: str, name: str, mode: int = 0o777) -> None:
    """Make a folder below another one; nothing happens if it is there.

    Raises
    ------
    UnsafeFileError
        A link, or something else, has its name.
    """
    fd = open_folder(folder)
    try:
        os.mkdir(name, mode, dir_fd=fd)
    except FileExistsError:
        os.close(_open_below(fd, folder, name))
    finally:
        os.close(fd)


def _open_below(fd: int, folder: str, name: str) -> int:
    try:
        return _open_inner(fd, name, _LOOKING)
    except OSError as exc:
        _complain_about(exc, fd, os.path.join(folder, name))
        raise


def list_names(folder: str, *below: str) -> list[str]:
    """List the names of what is in a folder, sorted."""
    return sorted(entry.name for entry in _entries(folder, *below))


def list_files(folder: str, *below: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield name and status of everything in a folder; links are not followed."""
    for entry in _entries(folder, *below):
        with contextlib.suppress(FileNotFoundError):  # it was removed meanwhile
            yield entry.name, entry.stat(follow_symlinks=False)


def _entries(folder: str, *below: str) -> Iterator[os.DirEntry[str]]:
    fd = open_folder(folder, *below, readable=True)
    try:
        with os.scandir(fd) as entries:
            for n, entry in enumerate(entries):
                if n >= _LISTED_MAX:
                    where = os.path.join(folder, *below)
                    raise UnsafeFileError(
                        f'{where} holds more than {_LISTED_MAX:,d} files, which no queue has. '
                        'Nothing was changed.'
                    )
                yield entry
    finally:
        os.close(fd)


def usage(folder: str) -> dict[str, int]:
    """Return ``bytes`` and ``files`` of a queue's folder."""
    total = n = 0
    for below in ((), *((name,) for name in SUBFOLDERS)):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, UnsafeFileError):
            for _, status in list_files(folder, *below):
                if not stat.S_ISDIR(status.st_mode):
                    n += 1
                    total += status.st_size
    return {'bytes': total, 'files': n}


def sync_data(fd: int) -> None:
    """Make what was written to a file last through a power cut."""
    if sys.platform == 'darwin':  # it has no fdatasync
        os.fsync(fd)
    else:
        os.fdatasync(fd)


def sync_folder(folder: str) -> None:
    """Make renames in ``folder`` last through a power cut."""
    fd = os.open(folder, _READABLE)
    try:
        os.fsync(fd)
    except OSError as exc:
        if exc.errno != errno.EINVAL:  # some network filesystems can't sync a folder
            raise
    finally:
        os.close(fd)


# Files


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
    with _parent(folder, path) as (parent, name):
        return _open_in(parent, name, os.path.join(folder, path), flags, mode)


def _open_in(parent: int, name: str, path: str, flags: int, mode: int) -> int:
    assert not flags & os.O_TRUNC
    check_name(name)
    try:
        fd = _open_patiently(parent, name, flags | _SAFE, mode)
    except OSError as exc:
        _complain_about(exc, parent, path)
        exc.filename = path
        raise
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise _unsafe(path, status)
        if status.st_nlink > 1:
            _check_links(parent, path, status)
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
            f'{path} is {_KINDS.get(stat.S_IFMT(mode), "something else")}, not a file: it was not '
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


def _complain_about(exc: OSError, parent: int, path: str) -> None:
    """Raise UnsafeFileError where an error came from something not a regular file."""
    if exc.errno not in (
        errno.ELOOP,
        errno.ENXIO,
        errno.ENODEV,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.EOPNOTSUPP,
    ):
        return
    try:
        status = os.stat(os.path.basename(path), dir_fd=parent, follow_symlinks=False)
    except OSError:
        return
    if not stat.S_ISREG(status.st_mode) or exc.errno == errno.ENOTDIR:
        raise _unsafe(path, status) from None


def _unsafe(path: str, status: os.stat_result) -> UnsafeFileError:
    kind = _KINDS.get(stat.S_IFMT(status.st_mode), 'a file')
    return UnsafeFileError(
        f'{path} is {kind}, which nothing in the folder of a queue should be: it could lead to '
        'files of others. '
        f'It was not opened, and nothing was changed. Look at it:\nls -l {quote(path)}'
    )


def _check_links(parent: int, path: str, status: os.stat_result) -> None:
    # Whoever can write to the folder can give a file of somebody else a second name in it. Where
    # the owner of the file alone can, as in a copy that was made with `cp -al`, that is no concern.
    folder = os.fstat(parent)
    if folder.st_mode & _OTHERS_WRITE or folder.st_uid != status.st_uid:
        raise UnsafeFileError(
            f'{path} is a hard link: the same file has a name elsewhere, and may be of another '
            'user. It was not opened, and nothing '
            f'was changed. If you made the link, put a copy in its place:\ncp -p {quote(path)} '
            f'{quote(path)}.copy && mv {quote(path)}.copy {quote(path)}'
        )


def owners(folder: str, path: str) -> Owners:
    """Return the owners of a queue's folder and of a file in it, at one moment."""
    fd, status = open_owned(folder, path)
    os.close(fd)
    return status


def folder_owner(folder: str) -> int:
    """Return the owner of a queue's folder."""
    fd = open_folder(folder)
    try:
        return os.fstat(fd).st_uid
    finally:
        os.close(fd)


def open_owned(folder: str, path: str) -> tuple[int, Owners]:
    """Open a file for reading; also return the owners of what was opened."""
    *below, name = path.split('/')
    base = open_folder(folder)
    try:
        owner = os.fstat(base).st_uid
        parent = base if not below else _open_below(base, folder, below[0])
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
    with _parent(folder, path) as (parent, name):
        return os.stat(name, dir_fd=parent, follow_symlinks=False)


def remove(folder: str, path: str, missing_ok: bool = False) -> None:
    """Remove a file; of a link the link."""
    try:
        with _parent(folder, path) as (parent, name):
            if missing_ok:  # looked up first, as nothing can be removed from what can only be read
                os.stat(name, dir_fd=parent, follow_symlinks=False)
            os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        if not missing_ok:
            raise


def replace_file(folder: str, old: str, new: str, exclusive: bool = False) -> None:
    """Rename a file over any other; with ``exclusive`` only to an unused name."""
    with _parent(folder, old) as (source, name), _parent(folder, new) as (target, other):
        if exclusive:
            os.link(name, other, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
            os.unlink(name, dir_fd=source)
        else:
            os.rename(name, other, src_dir_fd=source, dst_dir_fd=target)


def read_link(folder: str, path: str) -> str:
    """Return where a symbolic link leads; it is not followed."""
    with _parent(folder, path) as (parent, name):
        return os.readlink(name, dir_fd=parent)


def make_link(folder: str, target: str, path: str) -> None:
    """Make a symbolic link, for people; nothing here follows it."""
    with _parent(folder, path) as (parent, name):
        os.symlink(target, name, dir_fd=parent)


def open_log(path: str) -> io.FileIO:
    """Open a file that processes of several hosts append to, creating it if needed.

    Parameters
    ----------
    path : str
        The file; its folder is there.

    Returns
    -------
    file : io.FileIO
        Unbuffered, to append to.

    Raises
    ------
    OSError
        As of :func:`open_file`.
    """
    folder, name = os.path.split(path)
    folder = folder or os.curdir
    file = io.FileIO(open_file(folder, name, os.O_WRONLY | os.O_APPEND | os.O_CREAT), 'a')
    share(file.fileno(), folder)  # others of a shared queue append to it too
    return file


# Rights


def share(fd: int, folder: str, own: bool = False) -> None:
    """Give a new file of a queue the group and permissions of the queue's folder.

    So it is whatever the umask is, and also where the folder does not hand its group on (setgid).
    No other place decides the modes of a queue's files.

    Parameters
    ----------
    fd : int
        Of a file that this process made; the rights of another user's file stay as they are.
    folder : str
        The queue's folder.
    own : bool, default=False
        The file has one writer, whose name counts where a group shares the queue.
    """
    above, opened = os.stat(folder), os.fstat(fd)
    wanted = file_mode(above.st_mode, own and is_shared(above.st_mode) and _is_group_queue(folder))
    if above.st_mode & 0o060 and opened.st_gid != above.st_gid:
        with contextlib.suppress(PermissionError):  # whoever is in no such group keeps their own
            os.fchown(fd, -1, above.st_gid)
    if stat.S_IMODE(opened.st_mode) != wanted:
        with contextlib.suppress(PermissionError):  # some filesystems have no modes
            os.fchmod(fd, wanted)


def _is_group_queue(folder: str) -> bool:
    # Where the journal does not say that a group shares the queue, its folder was given modes by
    # hand.
    try:
        header = orjson.loads(
            read_file(folder, 'journal.jsonl', _FIRST_LINE_MAX).partition(b'\n')[0]
        )
    except (OSError, orjson.JSONDecodeError):
        return False
    return isinstance(header, dict) and bool(header.get('group'))


def give(folder: str, path: str, is_folder: bool, gid: int, mode: int) -> None:
    """Give a file of a queue, or a folder in it, a group and a mode."""
    fd = open_folder(folder, path, readable=True) if is_folder else open_file(folder, path)
    try:
        os.fchown(fd, -1, gid)
        os.fchmod(fd, mode)
    finally:
        os.close(fd)


def own_files(folder: str) -> Iterator[tuple[str, bool]]:
    """Yield this user's folders and regular files in a queue's folder.

    Each name comes with True for a folder.
    """
    for below in ((), *((name,) for name in SUBFOLDERS)):
        for name, status in list_files(folder, *below):
            is_folder = stat.S_ISDIR(status.st_mode)
            is_kept = (
                name in SUBFOLDERS and not below
                if is_folder
                else stat.S_ISREG(status.st_mode) and _NAME.fullmatch(name)
            )
            if is_kept and os.geteuid() in (0, status.st_uid):
                yield '/'.join((*below, name)), is_folder
