"""One manager a queue: the next one begins when the one before has ended or died."""

from __future__ import annotations

import logging
import time
from shlex import quote
from typing import TYPE_CHECKING

from ..errors import ManagerRunningError, QueueGoneError
from ..provenance import machine
from ..queue.ledger import Ledger
from ..queue.transactions.processes import manager_begin_event, manager_end_event, resize_event
from ..store.lease import Observer, gone, read_lease
from .manager_end import is_work_left

if TYPE_CHECKING:
    from ..queue.event_types import JournalEvent
    from ..queue.process_events import ManagerBeginEvent

logger = logging.getLogger('desipipe')

SIGN_INTERVAL_S = 0.5  # between two looks whether another manager shows a sign of life


def running_error(ledger: Ledger, manager: ManagerBeginEvent) -> ManagerRunningError:
    """Return the error that another manager works on a queue.

    Parameters
    ----------
    ledger : Ledger
    manager : dict
        As the journal knows it.
    """
    return ManagerRunningError(
        f'A manager works on this queue already: process {manager["pid"]:d} on {manager["host"]}, '
        f'since {time.ctime(manager["t"])}. It sees new tasks by itself. '
        f'To end it and its workers:\ndesipipe kill -q {quote(ledger.folder)}'
    )


class Takeover:
    """The way of a manager to be the only one of a queue.

    Parameters
    ----------
    ledger : Ledger
    name : str
        That of the manager.
    observer : Observer
        That of this process.
    lease_s : float
        Seconds without a sign of life after which another one is dead.
    is_limited : bool
        True if this one has a limit of its own for the number of tasks at once.
    """

    def __init__(
        self, ledger: Ledger, name: str, observer: Observer, lease_s: float, is_limited: bool
    ) -> None:
        self._ledger = ledger
        self._name = name
        self._observer = observer
        self._lease_s = lease_s
        self._is_limited = is_limited

    def begin(self) -> None:
        """Write down that this manager began.

        Raises
        ------
        ManagerRunningError
            Another one does already.
        """
        ledger = self._ledger
        ledger.follow()
        before = ledger.state.manager
        if before is not None:
            self._wait_for_sign(before)
        here = machine()

        def decide() -> list[JournalEvent]:
            present = ledger.state.manager
            if present is not None and present['w'] == self._name:
                return []  # it was written, and then something failed
            if present is not None and (before is None or present['w'] != before['w']):
                raise running_error(ledger, present)
            now = time.time()
            events: list[JournalEvent] = (
                [manager_end_event(present['w'], 'vanished', now)] if present is not None else []
            )
            if self._is_limited and ledger.state.resized:
                events.append(resize_event('', None, now))  # what was set last counts
            return [*events, manager_begin_event(self._name, here['host'], here['pid'], now)]

        ledger.journal.write(decide)

    def _wait_for_sign(self, other: ManagerBeginEvent) -> None:
        """Wait until another manager is dead.

        Of this machine it is known at once; of another one only its beats tell.
        """
        ledger = self._ledger
        record = read_lease(ledger.folder, other['w'])
        if record is None or (is_gone := gone(record)):
            return
        if is_gone is False:
            raise running_error(ledger, other)
        logger.info(
            'A manager was started on %s (process %d): waiting up to %g s for a sign of life.',
            other['host'],
            other['pid'],
            self._lease_s,
        )
        beat = record.get('beat')
        watcher = ledger.watcher()
        while not self._observer.dead(other['w'], time.monotonic()):
            record = read_lease(ledger.folder, other['w'])
            if record is not None and record.get('beat') != beat:
                raise running_error(ledger, other)
            watcher.wait(SIGN_INTERVAL_S)

    def wait_for_other(self, deadline: float | None) -> bool:
        """Wait for another manager.

        Parameters
        ----------
        deadline : float or None
            By the monotonic clock.

        Returns
        -------
        ended : bool
            True once it has ended, or died; False if nothing is left to do before, the queue is
            gone, or the time is over.
        """
        ledger = self._ledger
        watcher = ledger.watcher()
        while deadline is None or time.monotonic() < deadline:
            try:
                watcher.seen(ledger.follow())
            except QueueGoneError:
                return False
            if not is_work_left(ledger):
                return False
            other = ledger.state.manager
            record = None if other is None else read_lease(ledger.folder, other['w'])
            if record is None or gone(record):
                return True
            if other is not None and self._observer.dead(other['w'], time.monotonic()):
                return True
            watcher.wait(SIGN_INTERVAL_S)
        return False
