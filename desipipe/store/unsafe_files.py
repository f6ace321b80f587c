"""Refusal of what no queue's folder should hold: links, pipes, devices."""

from __future__ import annotations

import errno
import os
import stat

from ..errors import UnsafeFileError
from ..utils import quote

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
KINDS = {
    stat.S_IFLNK: 'a link',
    stat.S_IFIFO: 'a pipe',
    stat.S_IFSOCK: 'a socket',
    stat.S_IFCHR: 'a device',
    stat.S_IFBLK: 'a device',
    stat.S_IFDIR: 'a folder',
}


def complain_about(exc: OSError, parent: int, path: str) -> None:
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
        raise unsafe_file(path, status) from None


def unsafe_file(path: str, status: os.stat_result) -> UnsafeFileError:
    """Return the error for what has the name of a file and is none."""
    kind = KINDS.get(stat.S_IFMT(status.st_mode), 'a file')
    return UnsafeFileError(
        f'{path} is {kind}, which nothing in the folder of a queue should be: it could lead to '
        'files of others. '
        f'It was not opened, and nothing was changed. Look at it:\nls -l {quote(path)}'
    )


def check_links(parent: int, path: str, status: os.stat_result) -> None:
    """Raise UnsafeFileError for a file with a second name that others could give."""
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
