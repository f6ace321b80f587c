"""The content of files: size, time and digest, read once."""

from __future__ import annotations

import hashlib
import os

from ..errors import UnsafeFileError
from ..provenance import Content
from ..store import files

_REMEMBERED = 65536  # digests that a process remembers
_digests: dict[str, tuple[tuple[int, ...], str]] = {}


def content(path: str) -> Content | None:
    """Return a file's content: read once, and again when size, time or inode differ.

    Parameters
    ----------
    path : str

    Returns
    -------
    content : Content or None
        ``None`` if there is no such file.
    """
    for _ in range(3):
        try:
            with open(files.open_named(path), 'rb') as file:
                before = _signature(os.fstat(file.fileno()))
                cached = _digests.get(path)
                if cached is not None and cached[0] == before:
                    return Content(before[0], before[1], cached[1])
                digest = hashlib.file_digest(file, 'sha256').hexdigest()
                after = _signature(os.fstat(file.fileno()))
        except (FileNotFoundError, NotADirectoryError, UnsafeFileError):
            return None  # a pipe, for instance, would be waited for
        if before == after:
            break  # else someone writes to it meanwhile: once more
    if len(_digests) >= _REMEMBERED:
        _digests.clear()
    _digests[path] = (after, digest)
    return Content(after[0], after[1], digest)


def _signature(status: os.stat_result) -> tuple[int, ...]:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev


def unchanged(path: str, old: Content) -> bool | None:
    """Return True if a file has its old content; read it if its time differs.

    Parameters
    ----------
    path : str
    old : Content

    Returns
    -------
    unchanged : bool or None
        ``None`` if there is no such file, or it may not be looked at.
    """
    try:
        status = os.stat(path)
        if status.st_size != old.size:
            return False
        if status.st_mtime_ns == old.mtime:
            return True
        now = content(path)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    return None if now is None else now.sha256 == old.sha256
