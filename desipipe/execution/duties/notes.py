"""Events that a worker writes beside its reports: versions, and places lent."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ...queue.ledger import Ledger
from ...queue.transactions.processes import lend_event, versions_event
from ..protocol import VersionsFound
from ..queue_faults import QueueFaults

if TYPE_CHECKING:
    from ...queue.event_types import JournalEvent

VERSIONS = 'writing the versions of packages'


class Notes:
    """Events that wait for the next write to the journal.

    They are written later than they come up: the queue may be gone, and a slot's other messages
    have not been read.

    Parameters
    ----------
    ledger : Ledger
    name : str
        Of the worker.
    faults : QueueFaults
    """

    def __init__(self, ledger: Ledger, name: str, faults: QueueFaults) -> None:
        self._ledger = ledger
        self._name = name
        self._faults = faults
        self._events: list[JournalEvent] = []
        self.places_lent = 0
        """Places beside the worker's slots, as the journal says or will say."""

    def __len__(self) -> int:
        return len(self._events)

    def add_versions(self, message: VersionsFound) -> None:
        """Note the versions that a slot looked up and the journal does not have."""
        noted = self._ledger.state.versions
        before = noted.get((self._name, ''), {})
        everything = {**before, **message.everything}
        if message.packages and (self._name, message.app) not in noted:
            self._events.append(versions_event(self._name, message.app, message.packages))
        if everything != before:
            self._events.append(versions_event(self._name, '', everything))

    def add_places_lent(self, places: int) -> None:
        """Note how many places there are beside the worker's slots."""
        self.places_lent = places
        self._events.append(lend_event(self._name, places, time.time()))

    def write(self) -> None:
        """Write what is noted."""
        events = self._events
        if events and self._faults.attempt(
            VERSIONS, lambda: self._ledger.journal.write(lambda: events)
        ):
            self._events = []
