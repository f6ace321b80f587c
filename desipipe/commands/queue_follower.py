"""Follow one queue: what `watch` waits for, in lines and on a full screen."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..queue.ledger import Ledger
    from ..queue.queue import Queue
    from ..view.schema import QueueSummary


class Follower:
    """Summaries of a queue: one now, one after each change, one a second at least.

    Parameters
    ----------
    queue : Queue
    pause : float, default=0.1
        Seconds after a change: a queue of many short tasks is drawn some times a second, not for
        each.
    """

    def __init__(self, queue: Queue, pause: float = 0.1) -> None:
        from ..store.lease import LEASE, Observer

        ledger = queue.ledger
        lease = float(ledger.journal.header.get('lease', LEASE))
        self._queue = queue
        self._pause = pause
        self._observer = Observer(ledger.folder, lease)
        self._version: tuple[object, int] | None = None

    def look(self) -> QueueSummary:
        """Return how the queue is."""
        from ..view.queue import queue_summary

        summary = queue_summary(self._queue, self._observer)
        self._version = _version(self._queue.ledger)
        return summary

    def wait(self, longest: float) -> bool:
        """Wait for the next change; return False after ``longest`` seconds without one."""
        ledger = self._queue.ledger
        changed = ledger.wait(lambda: _version(ledger) != self._version, longest)
        if changed:
            time.sleep(self._pause)
        return changed


def _version(ledger: Ledger) -> tuple[object, int]:
    return ledger.journal.header.get('gen'), ledger.journal.offset
