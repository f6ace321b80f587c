"""File of a journal: made, or replaced as a whole."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterable

from ..utils import random_hex
from .files import open_file, remove, replace_file, share, status, sync_folder
from .line_format import Event, NewEvent, encode_bounded
from .segment import disk_full
from .writing import write_all

VERSION = 1
FILE_NAME = 'journal.jsonl'
_CHUNK = 16 << 20  # bytes


def create(folder: str, header: Event) -> None:
    """Write the first line of a new journal.

    Parameters
    ----------
    folder : str
        The queue's folder, which must hold no journal.
    header : dict
        Members of the ``queue`` event; ``e``, ``version``, ``id`` and ``gen`` are added.
    """
    replace(folder, [first_event(header)], exclusive=True)


def first_event(header: Event) -> Event:
    """Return the ``queue`` event of a new journal.

    A ``header`` with an ``id`` keeps that (compaction); without one the journal is that of another
    queue.
    """
    return {'e': 'queue', 'version': VERSION, 'id': random_hex(8), **header, 'gen': random_hex(8)}


def replace(
    folder: str,
    events: Iterable[NewEvent],
    exclusive: bool = False,
    still: Callable[[], bool] = lambda: True,
) -> bool:
    """Atomically replace the journal with ``events``. The caller holds the lock.

    Parameters
    ----------
    folder : str
        The queue's folder.
    events : iterable of dict
        The first must be a ``queue`` event.
    exclusive : bool, default=False
        Refuse to replace (:class:`FileExistsError`).
    still : callable, default=None
        Asked when the new journal is on disk: whether the old one may go.

    Returns
    -------
    replaced : bool
        What ``still`` said.
    """
    path = os.path.join(folder, FILE_NAME)
    temporary = f'{FILE_NAME}.{random_hex(4)}.tmp'
    fd = open_file(folder, temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    renamed = False
    try:
        try:
            _keep_rights(fd, folder)
            at, pending = 0, bytearray()
            for event in events:
                line = encode_bounded(event, at)
                at += len(line)
                pending += line
                if len(pending) > _CHUNK:
                    write_all(fd, bytes(pending))
                    pending.clear()
            write_all(fd, bytes(pending))
            os.fsync(fd)
        finally:
            os.close(fd)
        if not still():
            return False
        replace_file(folder, temporary, FILE_NAME, exclusive)
        renamed = True
    except OSError as exc:
        raise disk_full(exc, path) from exc
    finally:
        if not renamed:
            remove(folder, temporary, missing_ok=True)
    sync_folder(folder)
    return True


def _keep_rights(fd: int, folder: str) -> None:
    # Who may read and write the old journal may read and write the new one, whoever makes it.
    try:
        old = status(folder, FILE_NAME)
    except FileNotFoundError:
        share(fd, folder)
        return
    with contextlib.suppress(PermissionError):
        if os.fstat(fd).st_gid != old.st_gid:
            os.fchown(fd, -1, old.st_gid)
    with contextlib.suppress(PermissionError):
        os.fchmod(fd, stat.S_IMODE(old.st_mode))
