"""Share the folder of a queue with a group, and take that back."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import stat
from shlex import quote

from ..errors import ConfigError, PermissionDeniedError
from ..security.trust import is_member, look_at
from ..store import file_names, folders, shared_files
from ..utils import file_mode, is_shared, username
from .compact import compact
from .ledger import Ledger
from .repair import share_journal

__all__ = [
    'check_owner',
    'find_group',
    'give_folder',
    'group_name',
    'members_of',
    'share_queue',
    'unreachable',
    'unshare_queue',
]

SHARED_MODE = 0o2770
PRIVATE_MODE = 0o700
_OWN = ('.bin', '.claims')  # endings of files that have one writer


def find_group(name: str) -> int:
    """Return the number of a group that this user is in.

    Parameters
    ----------
    name : str
        Its name, or its number.

    Raises
    ------
    ConfigError
        There is no such group, or this user is not in it.
    """
    try:
        gid = int(name) if name.isdecimal() else grp.getgrnam(name).gr_gid
    except KeyError:
        raise ConfigError(
            f'There is no group {name!r} on this machine. Nothing was changed. List your '
            'groups:\nid -Gn'
        ) from None
    if not is_member(gid) and os.geteuid() != 0:
        raise ConfigError(
            f'You are not a member of group {name!r}, and cannot give it anything. Nothing was '
            'changed. List your groups:\nid -Gn'
        )
    return gid


def members_of(gid: int) -> list[str]:
    """Return the names of the users in a group, as far as this machine lists them."""
    with contextlib.suppress(KeyError):
        users = {user.pw_name for user in pwd.getpwall() if user.pw_gid == gid}
        return sorted(users.union(grp.getgrgid(gid).gr_mem))
    return []


def give_folder(folder: str, gid: int) -> None:
    """Give a queue's folder and its content to a group, all of it or nothing.

    Raises
    ------
    PermissionDeniedError
        The filesystem refuses, or does not keep what was asked for.
    """
    before = os.stat(folder)
    try:
        os.chown(folder, -1, gid)
        os.chmod(folder, SHARED_MODE)
        after = os.stat(folder)
        if after.st_gid != gid or not is_shared(after.st_mode):
            raise PermissionError(0, 'it does not keep groups, or the setgid bit')
    except OSError as exc:
        with contextlib.suppress(OSError):
            os.chown(folder, -1, before.st_gid)
        with contextlib.suppress(OSError):
            os.chmod(folder, stat.S_IMODE(before.st_mode))
        raise PermissionDeniedError(
            f'The filesystem of {folder} does not give it to group {group_name(gid)} '
            f'({exc.strerror}). Nothing was shared. '
            'Make the queue on a filesystem that keeps groups and modes. See how this one is '
            'mounted:\n'
            f'findmnt -T {quote(folder)}'
        ) from None
    for path, is_folder in shared_files.own_files(folder):
        shared_files.give(
            folder,
            path,
            is_folder,
            gid,
            SHARED_MODE if is_folder else file_mode(SHARED_MODE, path.endswith(_OWN)),
        )


def share_queue(ledger: Ledger, group: str) -> int:
    """Share a queue with a group.

    Its members then look at it, add tasks, run their own, and those of whom they trust.

    Parameters
    ----------
    ledger : Ledger
    group : str
        Name or number of a group that this user is in.

    Returns
    -------
    gid : int

    Raises
    ------
    ConfigError, PermissionDeniedError
        Nothing was shared.
    """
    check_owner(ledger, 'share')
    gid = find_group(group)
    if ledger.journal.header.get('lock') == 'soft':
        raise ConfigError(
            f'The queue in {ledger.folder} uses locks of kind "soft", which users do not share. '
            'Nothing was changed. '
            'Make a queue on a filesystem with locks. See which kinds work:\ndesipipe doctor'
        )
    ledger.follow()
    again = ledger.is_group_queue
    if any(map(file_names.is_journal, ledger.state.segments)):
        compact(ledger)  # its members trust payloads by the files of their authors
    give_folder(ledger.folder, gid)
    share_journal(ledger, group_name(gid))
    if not again:
        ledger.claim_everything()
    give_folder(ledger.folder, gid)  # with what was written since
    return gid


def unshare_queue(ledger: Ledger) -> list[str]:
    """Take a queue back from the group that shares it.

    Returns
    -------
    others : list of str
        Names of users who own files in it, which stay theirs.
    """
    check_owner(ledger, 'unshare')
    share_journal(ledger, '')
    gid = pwd.getpwuid(os.geteuid()).pw_gid if _has_account() else os.getegid()
    others = set()
    for below in ((), *((name,) for name in file_names.SUBFOLDERS)):
        owners = {
            entry.st_uid
            for _, entry in folders.list_files(ledger.folder, *below)
            if not stat.S_ISDIR(entry.st_mode)
        }
        others |= {username(uid) for uid in owners if uid != os.geteuid()}
    for path, is_folder in shared_files.own_files(ledger.folder):
        shared_files.give(ledger.folder, path, is_folder, gid, PRIVATE_MODE if is_folder else 0o600)
    os.chmod(ledger.folder, PRIVATE_MODE)
    os.chown(ledger.folder, -1, gid)
    os.chmod(ledger.folder, PRIVATE_MODE)  # some systems keep the setgid bit of folders
    return sorted(others)


def _has_account() -> bool:
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        return False
    return True


def check_owner(ledger: Ledger, verb: str) -> None:
    """Refuse what the owner of a queue alone can do.

    Parameters
    ----------
    ledger : Ledger
    verb : str
        ``'share'``, ``'unshare'`` or ``'delete'``.

    Raises
    ------
    UntrustedQueueError, PermissionDeniedError
    """
    ledger.check_use()
    holding = look_at(ledger.folder)
    if os.geteuid() not in (0, holding.uid):
        raise PermissionDeniedError(
            f'{ledger.folder} belongs to user {holding.owner}, who alone can {verb} it. Nothing '
            'was changed. '
            f'Ask {holding.owner} to type:\ndesipipe {verb} -q '
            f'{quote(ledger.folder)}{" --group GROUP" if verb == "share" else ""}'
        )


def unreachable(folder: str, gid: int) -> str:
    """Return the first folder on a queue's path that a group may not pass; '' if none."""
    above = os.path.dirname(os.path.realpath(folder))
    closed = ''
    while True:
        status = os.stat(above)
        passes = status.st_mode & (stat.S_IXGRP if status.st_gid == gid else stat.S_IXOTH)
        if not passes:
            closed = above
        if above == os.path.dirname(above):
            return closed
        above = os.path.dirname(above)


def group_name(gid: int) -> str:
    """Return the name of a group, or its number where it has no name here."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
