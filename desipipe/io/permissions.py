"""Give files and folders the group and the permissions of where they stand."""

from __future__ import annotations

import os
import stat
from contextlib import suppress


def adopt(fd: int, path: str) -> None:
    """Give a new file the permissions and the group it has to have at ``path``."""
    status = os.fstat(fd)
    mode, group = stat.S_IMODE(status.st_mode), status.st_gid
    try:
        old = os.stat(path)
        mode, group = stat.S_IMODE(old.st_mode), old.st_gid
    except FileNotFoundError:
        folder = os.stat(os.path.dirname(path))
        if _is_shared(folder):
            mode, group = mode | (0o060 if folder.st_mode & stat.S_IWGRP else 0), folder.st_gid
    if group != status.st_gid:
        with suppress(PermissionError):  # not a member of that group: it stays ours
            os.fchown(fd, -1, group)
    if mode != stat.S_IMODE(status.st_mode):
        os.fchmod(fd, mode)


def _is_shared(folder: os.stat_result) -> bool:
    # Whether a group works in it together. One with the sticky bit, such as /tmp, belongs to nobody
    # in particular.
    return (
        bool(folder.st_mode & (stat.S_IWGRP | stat.S_ISGID)) and not folder.st_mode & stat.S_ISVTX
    )


def make_folders(folder: str) -> None:
    """Make a folder and its parents, writable by a group where the parent is.

    Raises
    ------
    OSError
        As of `os.makedirs`.
    """
    if not folder or os.path.isdir(folder):
        return
    parent = os.path.dirname(folder)
    make_folders(parent)
    try:
        os.mkdir(folder)
    except FileExistsError:
        if not os.path.isdir(folder):
            raise
        return  # someone else was faster
    above = os.stat(parent or os.curdir)
    if _is_shared(above):
        with suppress(PermissionError):
            os.chown(folder, -1, above.st_gid)
            os.chmod(
                folder,
                stat.S_IMODE(os.stat(folder).st_mode) | (above.st_mode & (0o070 | stat.S_ISGID)),
            )
