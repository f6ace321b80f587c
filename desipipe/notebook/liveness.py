"""Processes and outputs of a queue that change without an event."""

from __future__ import annotations

import time

from ..queue.queue import Queue
from ..store.folders import list_files
from ..store.lease import LEASE, Observer
from ..view.processes import is_alive

# s between two looks at what raises no event: (on this machine's disk, on a shared one)
_OUTPUTS = (0.3, 1.0)
_LEASES = (2.0, 10.0)


class View:
    """A follower's view of its queue: the folded state, and what raises no event.

    Processes that vanish and the output of running tasks are looked for now and then.

    Parameters
    ----------
    queue : Queue
        The follower's own.
    """

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.observer = Observer(
            queue.folder, float(queue.ledger.journal.header.get('lease', LEASE))
        )
        self._leases_due = self._outputs_due = 0.0
        self._alive: dict[str, bool | None] = {}
        self._sizes: dict[str, tuple[int, int]] = {}

    @property
    def due(self) -> float:
        """Return when to look again, on the monotonic clock."""
        return min(self._leases_due, self._outputs_due)

    def alive(self, name: str) -> bool | None:
        """Return True if a worker or a manager lives, as last seen."""
        if name not in self._alive:
            self._alive[name] = is_alive(self.queue.folder, name, self.observer)
        return self._alive[name]

    def leases(self) -> bool:
        """Return True if a process was found to have vanished, or to be back."""
        now = time.monotonic()
        if now < self._leases_due:
            return False
        self._leases_due = now + _LEASES[self.queue.ledger.journal.shared]
        state = self.queue.ledger.state
        names = [*state.alive, *([state.manager['w']] if state.manager is not None else [])]
        alive = {name: is_alive(self.queue.folder, name, self.observer) for name in names}
        changed = any(self._alive.get(name, state) != state for name, state in alive.items())
        self._alive = alive
        return changed

    def outputs(self) -> set[str]:
        """The workers whose tasks wrote something since the last look."""
        now = time.monotonic()
        if now < self._outputs_due:
            return set()
        self._outputs_due = now + _OUTPUTS[self.queue.ledger.journal.shared]
        sizes: dict[str, tuple[int, int]] = {}
        if self.queue.ledger.state.running:
            for name, status in list_files(self.queue.folder, 'live'):
                sizes[name] = status.st_size, status.st_mtime_ns
        changed = {
            name.rpartition('-')[0] for name, size in sizes.items() if self._sizes.get(name) != size
        }
        self._sizes = sizes
        return changed
