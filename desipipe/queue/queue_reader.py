"""Access to a queue's journal and state."""

from __future__ import annotations

import os
import time
from _thread import RLock, _local  # as in `store/thread_guard.py`
from collections.abc import Callable

from ..config import Config
from ..errors import (
    CorruptJournalError,
    PayloadError,
    UnknownTaskError,
    UntrustedQueueError,
)
from ..security.trust import TrustedUsers, check_use
from ..store.followed_journal import FollowedJournal
from ..store.forks import tell_fork
from ..utils import quote, trim_memory
from .columns import ID
from .state import State

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    from ..store.watch import Watcher

    T = TypeVar('T')


# How lines begin that tell of what workers do.
_ATTEMPTS = (b'{"e":"run",', b'{"e":"runs",', b'{"e":"end",', b'{"e":"ends",')
_MANY = 1 << 15  # tasks; to read them takes memory that is worth to be given back


class QueueReader:
    """The journal of a queue's folder, and the state folded from it.

    Parameters
    ----------
    folder : str
        An existing queue folder.
    trusts : callable, default=None
        Gives True if a user (by id) is trusted: what they wrote may be loaded. By default as
        configured.
    """

    def __init__(
        self,
        folder: str,
        trusts: Callable[[int], bool] | None = None,
    ) -> None:
        self.folder = os.path.abspath(folder)
        self._state = State()
        self.trusts = trusts or TrustedUsers(Config())
        self.journal = self._open_journal()
        self._reader = self.journal.reader
        self._blocked: tuple[int, str, dict[int, int]] = (-1, '', {})
        self._local = _local()
        self._mutex = RLock()
        tell_fork(self)
        if len(self._state) > _MANY:
            trim_memory()

    def _open_journal(self) -> FollowedJournal:
        journal = FollowedJournal(self.folder, self._state)
        tell_fork(journal)
        journal.follow()
        return journal

    def forked(self) -> None:
        """Renew the locks in a forked child, where no thread of the parent's exists.

        Reading from the parent's watcher would take its wake-ups away.
        """
        self._mutex = RLock()
        self._local = _local()
        self._state.forked()

    @property
    def state(self) -> State:
        """The state folded so far; never half an event, also after an interrupt."""
        if self._reader.midway:
            self.journal.follow()
        return self._state

    @property
    def exclusive(self) -> RLock:
        """Lock that keeps this process's other threads from adding and reading payloads.

        Take it before the journal is written to.
        """
        return self._mutex

    def follow(self) -> bool:
        """Fold what is new; whether there was anything."""
        return self.journal.follow()

    def follow_orders(self) -> bool:
        """Fold what is new if it is more than what other workers begin and end.

        Returns
        -------
        change : bool
            True if something was folded.
        """
        return self.journal.follow_beyond(_ATTEMPTS)

    def watcher(self) -> Watcher:
        """This thread's watcher of the folder."""
        watcher: Watcher | None = getattr(self._local, 'watcher', None)
        if watcher is None:
            from ..store.watch import Watcher  # those who look once need none

            watcher = self._local.watcher = Watcher(self.folder, self.journal.shared)
        return watcher

    def wait(
        self, ready: Callable[[], bool], timeout: float | None = None, longest: float | None = None
    ) -> bool:
        """Follow the journal until ``ready()``.

        Parameters
        ----------
        ready : callable
            Looked at after each change.
        timeout : float, default=None
            Seconds to wait at most.
        longest : float, default=None
            Seconds between two looks at most.

        Returns
        -------
        ready : bool
            ``False`` after the time-out.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        self.follow()
        if ready():
            return True
        watcher = self.watcher()
        watcher.drain()  # what this process wrote wakes it, too
        while True:
            changed = self.follow()  # after the watch began: what came before it is not missed
            watcher.seen(changed)
            if ready():
                return True
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return False
            watcher.wait(
                left if longest is None else min(longest, longest if left is None else left)
            )

    def row(self, tid: bytes) -> int:
        """The row of a task.

        Raises
        ------
        UnknownTaskError
            It is not in this queue (any more).
        """
        row = self.state.rows.get(tid)
        if row is None:
            self.follow()
            row = self.state.rows.get(tid)
        if row is None:
            raise UnknownTaskError(
                f'No task {tid.hex()} in {self.folder}: it was deleted, or belongs to another '
                f'queue. List tasks with: desipipe tasks -q {quote(self.folder)}'
            )
        return row

    def find(self, text: str) -> int:
        """Return the row of the task whose identity begins with ``text`` (hexadecimal).

        At least 4 characters are needed.

        Raises
        ------
        UnknownTaskError
            None, or several.
        """
        self.follow()
        text = text.lower()
        try:
            if len(text) == 2 * ID:
                return self.state.rows[bytes.fromhex(text)]
            if len(text) < 4:
                raise ValueError
            stem = bytes.fromhex(text[: len(text) // 2 * 2])
            ids = [
                row
                for tid, row in self.state.rows.items()
                if tid.startswith(stem) and tid.hex().startswith(text)
            ]
        except (ValueError, KeyError):
            ids = []
        if len(ids) == 1:
            return ids[0]
        if ids:
            raise UnknownTaskError(
                f'{len(ids):d} tasks begin with {text!r}: type more of the id. List them with: '
                f'desipipe tasks -q {quote(self.folder)}'
            )
        raise UnknownTaskError(
            f'No task {text!r} in {self.folder}. List tasks with: desipipe tasks -q '
            f'{quote(self.folder)}'
        )

    def blocked(self) -> dict[int, int]:
        """Return :meth:`~desipipe.queue.state.State.blocked`, computed once a change."""
        offset, gen = self.journal.offset, self.journal.header.get('gen', '')
        if self._blocked[:2] != (offset, gen):
            self._blocked = (offset, gen, self.state.blocked())
        return self._blocked[2]

    def again(self, look: Callable[[], T]) -> T:
        """Call ``look``, and once more if the journal was compacted meanwhile.

        Rows stay what they are, offsets and references do not.
        """
        while True:
            generation = self.journal.header['gen']
            try:
                return look()
            except (PayloadError, CorruptJournalError):
                self.follow()
                if self.journal.header['gen'] == generation:
                    raise

    @property
    def is_group_queue(self) -> bool:
        """True for a queue that a group shares, whose members run only what they trust."""
        return bool(self._reader.header.get('group'))

    def check_use(self) -> None:
        """Refuse to use a queue of an untrusted owner: its settings and tasks are code.

        Looking (states, output, explanations) needs no trust: nothing is run, loaded or written for
        it.

        Raises
        ------
        UntrustedQueueError
            If the folder or the journal is of another user, or is a link.
        """
        check_use(self.folder, self.journal.path, self.trusts, self.is_group_queue)

    def use_error(self) -> UntrustedQueueError | None:
        """Return the error that :meth:`check_use` raises; None if the queue may be used."""
        try:
            self.check_use()
        except UntrustedQueueError as exc:
            return exc
        return None

    def how_to_start(self) -> str:
        """Return what to type for workers, or why this user may not start any."""
        if (error := self.use_error()) is not None:
            return str(error)
        return f'Start workers with: desipipe spawn -q {quote(self.folder)} --spawn'
