"""Rights of a queue's files, and logs that several hosts append to."""

from __future__ import annotations

import contextlib
import io
import os
import re
import stat
from collections.abc import Iterator

import orjson

from ..utils import file_mode, is_shared
from .file_names import NAME, SUBFOLDERS
from .files import open_file, read_file
from .folders import list_files, open_folder

_FIRST_LINE_MAX = 1 << 16  # bytes


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
                else stat.S_ISREG(status.st_mode) and re.fullmatch(NAME, name)
            )
            if is_kept and os.geteuid() in (0, status.st_uid):
                yield '/'.join((*below, name)), is_folder
