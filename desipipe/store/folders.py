"""Open, list and make the folders of a queue; links in them are not followed."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator

from ..errors import UnsafeFileError
from .file_names import SUBFOLDERS, check_name
from .unsafe_files import complain_about

_HIDDEN = ('.desipipe',)  # folders beside files that tasks save
_LISTED_MAX = 1 << 20  # a queue has as many files as writers
_DEPTH_MAX = 2  # of a file in a folder of a queue
_LOOKING = getattr(os, 'O_PATH', os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
_READABLE = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


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
            complain_about(exc, fd, exc.filename)
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
def opened_parent(folder: str, path: str, readable: bool = False) -> Iterator[tuple[int, str]]:
    """Open the folder of a file of a queue; also give the file's name."""
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
        os.close(open_below(fd, folder, name))
    finally:
        os.close(fd)


def open_below(fd: int, folder: str, name: str) -> int:
    """Open a folder below an open one."""
    try:
        return _open_inner(fd, name, _LOOKING)
    except OSError as exc:
        complain_about(exc, fd, os.path.join(folder, name))
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


def folder_owner(folder: str) -> int:
    """Return the owner of a queue's folder."""
    fd = open_folder(folder)
    try:
        return os.fstat(fd).st_uid
    finally:
        os.close(fd)


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
