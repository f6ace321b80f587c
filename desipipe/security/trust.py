"""Decide whose queues may be used, and not only looked at.

*Looking* at a queue (states, output, explanations, displays) runs, loads and writes nothing,
whoever owns it. *Using* one (running its tasks, reading its results, changing it) treats what is in
it as code of its owner, and needs that the owner is trusted.
``docs/explanation/security.md`` is the model.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

from ..config import Config
from ..errors import UntrustedQueueError
from ..utils import quote, username
from ..utils.named_tuple import NamedTuple

__all__ = [
    'Holding',
    'TrustedUsers',
    'check_holding',
    'check_use',
    'is_joint',
    'is_member',
    'look_at',
    'refusal',
]

MEANS = (
    'Its environments, providers, tasks and results are code, and would run as you. Looking at it '
    'is safe.'
)
Trusts = Callable[[int], bool]


class TrustedUsers:
    """Tells whether a user is trusted, by id; it follows the configuration file.

    Parameters
    ----------
    config : Config
        What is set in it holds until the file changes.
    """

    def __init__(self, config: Config) -> None:
        self._uids = config.trusted_uids
        self._filename = config.filename
        self._version = self._look()

    def _look(self) -> tuple[int, int, int]:
        try:
            status = os.stat(self._filename)
        except OSError:
            return (0, 0, 0)
        return status.st_ino, status.st_mtime_ns, status.st_size

    def __call__(self, uid: int) -> bool:
        """Return True for this user and those in ``trusted_users``."""
        if uid == os.geteuid():
            return True
        version = self._look()
        if version != self._version:
            self._uids = Config(filename=self._filename).trusted_uids
            self._version = version
        return uid in self._uids


class Holding(NamedTuple):
    """Owner, group and mode of a path: they decide whether a queue may be used."""

    path: str
    """Path of its folder, or of its journal."""
    uid: int
    """The owner's."""
    gid: int
    mode: int
    is_link: bool

    @property
    def is_shared(self) -> bool:
        """True for a folder in which a group writes, and which passes its group on."""
        return bool(self.mode & stat.S_ISGID and self.mode & stat.S_IWGRP)

    @property
    def owner(self) -> str:
        """Name of the owner."""
        return username(self.uid)


def look_at(path: str) -> Holding:
    """Return what the filesystem says of a path; a link is not followed."""
    status = os.lstat(path)
    mode = status.st_mode
    return Holding(path, status.st_uid, status.st_gid, stat.S_IMODE(mode), stat.S_ISLNK(mode))


def is_member(gid: int) -> bool:
    """Return True when this process is of the group."""
    return gid == os.getegid() or gid in os.getgroups()


def refusal(path: str, uid: int, done: str = 'Nothing was run or changed') -> UntrustedQueueError:
    """Return the error for an untrusted user's queue, or a file of it."""
    owner = username(uid)
    return UntrustedQueueError(
        f'{path} belongs to user {owner}, whom you do not trust. {done}. {MEANS} If you trust '
        f'{owner}:\ndesipipe trust {owner}'
    )


def load_refusal(folder: str, uid: int) -> UntrustedQueueError:
    """Return the error for a payload of a user who is not trusted."""
    user = username(uid)
    return UntrustedQueueError(
        f'{folder} holds data written by user {user}, whom you do not trust: loading it would run '
        'their code as you, so it was not loaded. '
        f'If you trust {user}, put "trusted_users: [{user}]" into your config.yaml, set '
        f'DESIPIPE_TRUST={user}, or type:\ndesipipe trust {user}'
    )


def unvouched_refusal(folder: str, segment: str, offset: int) -> UntrustedQueueError:
    """Return the error for data of a group's queue that no trusted user has written."""
    return UntrustedQueueError(
        f'The journal of {folder} names data at {offset:d} of segment {segment}, which no user '
        'whom you trust has put there. It was not loaded. Look at the task:\n'
        f'desipipe tasks -q {quote(folder)}'
    )


def held_text(user: str, n: int, reader: str = '') -> str:
    """Return why tasks in a group's queue do not run for a user, and what to type.

    Parameters
    ----------
    user : str
        User who added them, or computed what they need; empty where that is not known.
    n : int
        Their number.
    reader : str, default=''
        As whom they do not run, for messages that all members read; by default the reader.
    """
    tasks = f'{n:,d} pending task{"" if n == 1 else "s"}'
    who, do, own = (reader, 'does', reader) if reader else ('you', 'do', 'you')
    if not user:
        return (
            f'{tasks} cannot be run: the journal says of them what no user has written whom {who} '
            f'trust{"s" if reader else ""}. Add them again.'
        )
    return (
        f'{tasks} stay{"s" if n == 1 else ""} pending: they, or results that they need, are of '
        f'user {user}, whom {who} {do} not trust: that code would run as {own}. Whoever trusts '
        f'{user} types:\ndesipipe trust {user}'
    )


def check_holding(
    holding: Holding, trusts: Trusts, done: str = 'Nothing was run or changed'
) -> None:
    """Refuse what is a link, or belongs to a user who is not trusted.

    Raises
    ------
    UntrustedQueueError
    """
    if holding.is_link:
        raise UntrustedQueueError(
            (
                f'{holding.path} is a link, and may lead to files of others. {done}. Name the '
                'queue by where it lies:\nreadlink -f '
            )
            + quote(holding.path)
        )
    if not trusts(holding.uid):
        raise refusal(holding.path, holding.uid, done)


def check_use(folder: str, journal: str, trusts: Trusts, is_group_queue: bool = False) -> None:
    """Refuse to use a queue that belongs to a user who is not trusted.

    Parameters
    ----------
    folder, journal : str
        The queue's folder and its journal.
    trusts : callable
        Given the id of a user, returns True where what they wrote may run as this user.
    is_group_queue : bool, default=False
        The journal says that a group shares it. Its members change it without trusting each other;
        what each of them added is run by those who trust that member.

    Raises
    ------
    UntrustedQueueError
    """
    try:
        # Before each line that is written: no more than two calls of the system.
        here, file = os.lstat(folder), os.lstat(journal)
        is_link = stat.S_ISLNK(here.st_mode) or stat.S_ISLNK(file.st_mode)
        if not is_link and all(map(trusts, {here.st_uid, file.st_uid})):
            return
        holdings = look_at(folder), look_at(journal)
    except (FileNotFoundError, NotADirectoryError):
        return  # Whoever opens the journal next finds that the queue is gone.
    if is_group_queue and is_joint(*holdings):
        return
    for holding in holdings:
        check_holding(holding, trusts)


def is_joint(folder: Holding, journal: Holding) -> bool:
    """Return True for a folder and a journal that a group of this process writes to."""
    if folder.is_link or journal.is_link:
        return False
    return folder.is_shared and journal.gid == folder.gid and is_member(folder.gid)
