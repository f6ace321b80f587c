"""The pace of a worker: how often it uses the journal, how far ahead it claims."""

from __future__ import annotations

from ...queue.ledger import Ledger
from ...store.pacing import WORKERS_FREE, exchange_spacing_s, look_spacing_s

BATCH_TIME = 0.02  # s of work to have at hand for each slot, at least
REPORT_AFTER = 0.02  # s that a result waits for others before it is reported, at least
# An exchange, lock wait included, may take at most 1/REPORT_COST of the time between two.
REPORT_COST = 20.0
REPORT_AFTER_MAX_S = 5.0
PACKET_TIME_S = 0.004  # of work that goes to a slot together, at least
WAKE_AFTER_S = 0.005  # that a slot's result waits for others before the worker is told, at least
SLOT_LOOK_S = 0.02  # between two looks at what slots have done that say nothing, at least
SLOT_PAUSE_MAX_S = 0.5  # of all three
_PAUSES = 4  # from one report to the next, where these are rare
BUSY_LOOK_MAX_S = 0.5
# s between two looks of an idle worker, for each worker beyond a few: all wake for every line
NEWS_S = 0.001
UNFOLDED_MAX_S = 5.0  # for which it is not folded what other workers do
# s between two looks at the journal when all slots have work: cancellations and orders can wait so
# long
BUSY_LOOK = 0.05
SHARED_LOOK_S = 0.25  # the same where each look is a request to a server that others need too


class Pace:
    """The times of a worker's looks at the journal and of its exchanges with it.

    Parameters
    ----------
    ledger : Ledger
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._cost_s = 0.0  # of an exchange, lately
        self._next_fold = 0.0
        self.next_exchange = self.next_look = 0.0
        """Monotonic times before which there is no exchange, and no look."""
        self.next_news = 0.0
        """Monotonic time before which an idle worker is not woken by what others write."""

    def horizon(self) -> float:
        """Return the seconds of work to have at hand for each slot."""
        return max(BATCH_TIME, 2 * self.report_after())

    def report_after(self) -> float:
        """Return the seconds that a result waits for others before it is reported."""
        spacing = exchange_spacing_s(len(self._ledger.state.alive), self._ledger.journal.shared)
        own = min(max(REPORT_AFTER, REPORT_COST * self._cost_s), REPORT_AFTER_MAX_S)
        return max(own, spacing)

    def cost_s(self) -> float:
        """Return the seconds that an exchange takes, lock wait included."""
        return min(self._cost_s, REPORT_AFTER_MAX_S / REPORT_COST)

    def packet_time(self) -> float:
        """Return the seconds of work that go to a slot together."""
        return self._slot_pause(PACKET_TIME_S)

    def wake_after(self) -> float:
        """Return the seconds that a slot's result waits for others to be told with."""
        return self._slot_pause(WAKE_AFTER_S)

    def slot_look(self) -> float:
        """Return the seconds between two looks at what slots have done that say nothing."""
        return self._slot_pause(SLOT_LOOK_S)

    def _slot_pause(self, least: float) -> float:
        # What is reported rarely need not be known at once: each time, the worker wakes up.
        return max(least, min(self.report_after() / _PAUSES, SLOT_PAUSE_MAX_S))

    def look_spacing(self) -> float:
        """Return the seconds between two looks that many workers on one queue leave."""
        return look_spacing_s(len(self._ledger.state.alive), self._ledger.journal.shared)

    def is_look_due(self, now: float, is_full: bool) -> bool:
        """Return True if the journal is to be read.

        Parameters
        ----------
        now : float
            Monotonic time.
        is_full : bool
            True if all slots have work.
        """
        if is_full or self.look_spacing():
            return now >= self.next_look
        return now >= self.next_news

    def look(self, now: float, is_full: bool) -> bool:
        """Read the journal; return True if anything new was folded.

        While all slots have work, what other workers do can wait.
        """
        self.next_look = now + self.look_pause()
        if is_full and now < self._next_fold:
            return self._ledger.follow_orders()
        self._next_fold = now + UNFOLDED_MAX_S
        is_new = self._ledger.follow()
        n_more = len(self._ledger.state.alive) - WORKERS_FREE
        if is_new and n_more > 0:
            self.next_news = now + n_more * NEWS_S
        return is_new

    def idle_until(self, now: float, poll: float) -> float:
        """Return the monotonic time at which an idle worker looks, if nothing wakes it.

        Parameters
        ----------
        now, poll : float
            Monotonic times, of now and of the watcher's next look at what wakes nobody.
        """
        if self.next_news > now:
            return self.next_news
        return max(self.next_look if self.look_spacing() else now, poll)

    def look_pause(self) -> float:
        """Return the seconds between two looks at the journal when all slots have work."""
        least = SHARED_LOOK_S if self._ledger.journal.shared else BUSY_LOOK
        pause = max(least, min(self.report_after() / _PAUSES, BUSY_LOOK_MAX_S))
        return max(pause, self.look_spacing())

    def note_exchange(self, began: float, ended: float) -> None:
        """Note an exchange, which also was a look."""
        self._cost_s += 0.2 * (ended - began - self._cost_s)
        self._next_fold = ended + UNFOLDED_MAX_S
        n, shared = len(self._ledger.state.alive), self._ledger.journal.shared
        self.next_exchange = ended + exchange_spacing_s(n, shared)
        self.next_look = max(self.next_look, ended + look_spacing_s(n, shared))
