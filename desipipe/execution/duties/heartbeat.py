"""The heartbeat of a worker, and its looks at those of others."""

from __future__ import annotations

from ...queue.events import StopLevel
from ...queue.faults import patiently
from ...queue.ledger import Ledger
from ...store.lease import LEASE, Lease, Observer
from ...store.pacing import lease_spacing_s
from ..queue_faults import QueueFaults

START_PATIENCE_S = 60.0  # for the system to let the first slot start
BEAT = 'writing the heartbeat'
_JUDGE = 'looking at other workers'


class Heartbeat:
    """A worker's lease, which says that it lives, and what troubles it.

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
        self.period = float(ledger.journal.header.get('lease', LEASE))
        """Seconds without a heartbeat after which the worker counts as dead."""
        self._next_beat = self._next_look = 0.0
        self._trouble = ''  # when it was beaten last
        self._observer = Observer(ledger.folder, self.period)
        self._lease: Lease

    def begin(self) -> None:
        """Make the lease."""
        ledger = self._ledger
        self._lease = patiently(
            lambda: Lease(ledger.folder, self._name, ledger.journal.shared), START_PATIENCE_S
        )

    def confirm(self, level: StopLevel) -> None:
        """Confirm to those who wait for it that the order to end was read."""
        self._lease.confirm(level)

    def close(self) -> None:
        """Remove the lease."""
        self._lease.close()

    def next_beat(self) -> float:
        """Return the monotonic time of the next heartbeat.

        It is due at once when there are new faults for others to read. While it fails itself, it
        is infinity: faults say when to try again.
        """
        if self._faults.failing(BEAT):
            return float('inf')
        return self._next_beat if self._faults.text == self._trouble else 0.0

    def next_look(self) -> float:
        """Return the monotonic time of the next look at other workers."""
        return self._next_look

    def keep_up(self, now: float, is_busy: bool) -> None:
        """Beat when it is due, and look at other workers where this one is not busy."""
        is_due = now >= self._next_beat or self._faults.text != self._trouble
        if is_due and self._faults.attempt(BEAT, self._beat):
            self._next_beat = now + self.period / 3
            self._trouble = self._faults.text
        if now >= self._next_look:
            # A look costs a file for each of the others; all together look as often whether they
            # are few or many.
            n = len(self._ledger.state.alive)
            pause = max(min(max(1.0, 0.1 * n), self.period / 3), lease_spacing_s(n))
            self._next_look = now + pause
            if not is_busy:
                self._faults.attempt(
                    _JUDGE, lambda: self._ledger.end_lost_workers(self._observer, self._name)
                )

    def _beat(self) -> None:
        lease = self._lease
        lease.trouble = self._faults.text
        if self._faults.failing(BEAT):
            lease.renew()
        lease.beat()
