"""The folder of a queue: how it is created, opened, mended and removed."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import sys
import time
from collections.abc import Iterator
from shlex import quote
from typing import TYPE_CHECKING

from ..config import Config
from ..errors import (
    ConfigError,
    CorruptJournalError,
    PermissionDeniedError,
    QueueError,
    QueueExistsError,
)
from ..logs import logger
from ..security.trust import TrustedUsers, check_use
from ..store.file_names import SUBFOLDERS
from ..store.files import open_file
from ..store.folders import make_folder
from ..store.journal_file import FILE_NAME
from ..store.journal_file import create as create_journal
from ..store.shared_files import share
from ..store.writing import disk_full
from ..utils import mkdir, random_hex
from .faults import patiently
from .ledger import Ledger
from .names import (
    OPEN_PATIENCE_S,
    SUFFIX,
    import_command,
    original_file,
    queue_exists,
    unknown_queue,
)

if TYPE_CHECKING:
    from ..store.header import Header
    from ..store.probe import Probe

_STILL_OPEN = (
    errno.ENOTEMPTY,
    errno.EBUSY,
    errno.EEXIST,
)  # of folders whose files have other names while they are open
_REMOVE_PAUSES = (0.05, 0.2, 0.5, 1.0)  # s; what wakes by the deletion closes its files within that
_NO_FOLDER = (errno.EROFS, errno.EEXIST, errno.ENOTDIR, errno.ENOENT, errno.ELOOP)
_OTHER_FOLDER = (
    'Nothing was created. Choose another folder with base_dir=, or for all queues:\n'
    'export DESIPIPE_QUEUE_DIR=FOLDER'
)


# Opening


def find_or_create(folder: str, create: bool | None, config: Config, group: str = '') -> None:
    """Create the folder of a queue where it is absent.

    Parameters
    ----------
    folder : str
    create : bool, default=None
        ``True``: it must be new; ``False``: it must exist; ``None``: it is created when it does
        not exist.
    config : Config
    group : str, default=''
        Name of a group that shares the queue, if it is new.

    Raises
    ------
    UnknownQueueError, QueueExistsError, LockingError, PermissionDeniedError, DiskFullError
    """
    exists = queue_exists(folder)
    if create is True and exists:
        raise _exists_already(folder)
    if create is False and not exists:
        raise unknown_queue(folder)
    if not exists:
        try:
            create_folder(folder, config, group)
        except QueueExistsError:
            if create:
                raise
        else:
            _tell_of_original(folder)


def open_ledger(folder: str, config: Config) -> Ledger:
    """Open the ledger of the queue in ``folder``; faults that pass are waited for."""
    interval, trusts = config['sync_interval'], TrustedUsers(config)
    return patiently(lambda: Ledger(folder, interval, trusts), OPEN_PATIENCE_S)


def check_group(ledger: Ledger, group: str) -> None:
    """Complain if a queue is not shared by ``group``.

    Raises
    ------
    QueueError
    """
    from .sharing import find_group, group_name

    present = str(ledger.journal.header.get('group', ''))
    if present != group_name(find_group(group)):
        raise QueueError(
            f'The queue in {ledger.folder} is '
            f'{f"shared by group {present}" if present else "not shared"}. Nothing was changed. '
            f'To share it with group {group}:\ndesipipe share -q {quote(ledger.folder)} --group '
            f'{quote(group)}'
        )


def _exists_already(folder: str) -> QueueExistsError:
    return QueueExistsError(
        f'There is a queue in {folder} already. Nothing was changed. Open it with create=False, '
        f'or delete it:\ndesipipe delete -q {quote(folder)}'
    )


def _tell_of_original(folder: str) -> None:
    """Warn that a new queue has the name of one of desipipe 1.0 without its results."""
    old = original_file(folder)
    if old:
        logger.warning(
            '%s is a queue of desipipe 1.0. The new queue %s begins without its results. '
            'To take its tasks and results over, before anything is added to the new one:\n%s',
            old,
            folder,
            import_command(old),
        )


# Creating


def create_folder(folder: str, config: Config, group: str = '') -> None:
    """Create a queue's folder in one step, after a test of the filesystem's locks.

    Parameters
    ----------
    folder : str
    config : Config
    group : str, default=''
        Name or number of a group that shares the queue.

    Raises
    ------
    LockingError, PermissionDeniedError, DiskFullError, QueueExistsError
        Nothing is left behind.
    """
    if group:
        from .sharing import find_group

        gid = find_group(group)
    else:
        gid = -1
    parent = os.path.dirname(folder)
    temporary = f'{folder}.{random_hex(6)}.new'  # not by process id: another host may have the same
    made = list(itertools.takewhile(lambda path: not os.path.isdir(path), _upwards(parent)))
    _make_folders(parent, temporary, bool(group))
    try:
        try:
            _fill(temporary, folder, config, gid)
        except OSError as exc:
            raise disk_full(exc, parent) from exc
        # A folder appears whole or not at all, also when several processes create the same queue at
        # once: rename does not replace a folder that has something in it.
        os.rename(temporary, folder)
    except OSError as exc:
        # Don't stat() here: NFS clients cache "not found" for a while.
        if exc.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise _exists_already(folder) from None
        raise exc
    finally:
        if os.path.isdir(temporary):
            _remove_unfinished(temporary, made)


def _make_folders(parent: str, temporary: str, is_shared: bool) -> None:
    """Make the folder that holds the queue's, and in it a temporary one."""
    try:
        mkdir(parent, mode=0o711 if is_shared else 0o700)  # members pass through it
        os.mkdir(temporary, 0o700)
    except PermissionError as exc:
        raise PermissionDeniedError(
            f'You have no permission to create a queue in {parent} ({exc.strerror}). '
            f'{_OTHER_FOLDER}'
        ) from None
    except OSError as exc:
        if exc.errno in _NO_FOLDER:
            raise PermissionDeniedError(
                f'{parent} cannot be made or used as a folder: {exc.strerror}, {exc.filename}. '
                f'{_OTHER_FOLDER}'
            ) from None
        raise disk_full(exc, parent) from exc


def _fill(temporary: str, folder: str, config: Config, gid: int) -> None:
    """Put what a queue consists of into a folder that will be renamed to ``folder``."""
    from ..store.probe import probe

    locking = probe(temporary, config.lock)
    for name in SUBFOLDERS:
        make_folder(temporary, name, 0o700)
    fd = open_file(temporary, 'lock', os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    with os.fdopen(fd, 'wb'):
        share(fd, temporary)
    header = _header(folder, locking, config)
    if gid >= 0:
        from .sharing import give_folder, group_name

        header['group'] = group_name(gid)
    create_journal(temporary, header)
    if gid >= 0:
        _check_shared_lock(locking.lock, folder)
        give_folder(temporary, gid)


def _header(folder: str, locking: Probe, config: Config) -> Header:
    """Return the first line of a queue's journal."""
    return {
        'lock': locking.lock,
        'shared': locking.mount.shared,
        'fstype': locking.mount.fstype,
        'lease': config['lease'],
        't': time.time(),
        'name': os.path.basename(folder).removesuffix(SUFFIX),
    }


def _check_shared_lock(kind: str, folder: str) -> None:
    if kind == 'soft':
        raise ConfigError(
            'Locks of kind "soft", which users do not share, are all that works in '
            f'{os.path.dirname(folder)}. Nothing was created. '
            'Make the queue on another filesystem. See which kinds work:\ndesipipe doctor'
        )


def _upwards(path: str) -> Iterator[str]:
    while True:
        yield path
        path = os.path.dirname(path)


def _remove_unfinished(temporary: str, made: list[str]) -> None:
    """Remove a folder that did not become a queue, and those made for it."""
    import shutil

    shutil.rmtree(temporary)
    for path in made:
        with contextlib.suppress(OSError):  # another process has put something there meanwhile
            os.rmdir(path)


# Mending


def restore_first_line(folder: str, config: Config) -> bool:
    """Restore the first line of a queue's journal where that is damaged.

    Parameters
    ----------
    folder : str
        The queue's.
    config : Config

    Returns
    -------
    restored : bool
        True if it was damaged.

    Raises
    ------
    CorruptJournalError
        Nothing of the journal can be read.
    """
    from ..store.probe import probe
    from .repair import restore_header

    try:
        Ledger(folder, None).close()
    except CorruptJournalError:
        pass
    else:
        return False
    check_use(folder, os.path.join(folder, FILE_NAME), TrustedUsers(config))
    locking = probe(os.path.dirname(folder), config.lock)
    if not restore_header(folder, _header(folder, locking, config), locking.lock):
        path = os.path.join(folder, FILE_NAME)
        raise CorruptJournalError(
            f'Nothing of {path} can be read. Restore the file from a backup, or start another '
            'queue.',
            path,
            0,
        )
    return True


# Removing


def remove_folder(folder: str) -> None:
    """Remove a deleted queue's folder.

    On NFS a file that another process of this host has open is renamed to ``.nfs…`` instead, and
    goes when that one closes it: until then the folder can't go either. It is tried again for a
    moment, and what remains is left to be removed later.
    """
    for pause in (*_REMOVE_PAUSES, 0.0):
        errors = _remove_what_goes(folder)
        if not errors:
            return
        left = [name for _, _, names in os.walk(folder) for name in names]
        if not all(name.startswith('.nfs') for name in left):
            raise next((exc for exc in errors if exc.errno not in _STILL_OPEN), errors[0])
        time.sleep(pause)
    logger.warning(
        '%s still has files that other processes have open, and is left behind. The queue is '
        'deleted. Remove the rest when they have ended:\nrm -r %s',
        folder,
        quote(folder),
    )


def _remove_what_goes(folder: str) -> list[OSError]:
    """Remove a folder, and go on where something can't be removed; return the errors."""
    errors: list[OSError] = []

    def note(exc: BaseException) -> None:
        if not isinstance(exc, OSError):
            raise exc
        if not isinstance(exc, FileNotFoundError):  # another process removed it
            errors.append(exc)

    import shutil

    if sys.version_info >= (3, 12):
        shutil.rmtree(folder, onexc=lambda _call, _path, exc: note(exc))
    else:
        shutil.rmtree(folder, onerror=lambda _call, _path, info: note(info[1]))
    return errors
