"""Tasks of an old queue on their way into the new one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from ..queue.adding import Batch, NewTasks
from ..queue.ends import End
from ..queue.queue import Queue
from ..queue.transactions.attempts import final_events
from ..queue.transactions.processes import versions_event, worker_begin_event, worker_end_event
from ..serialize import Code
from .original_ends import IMPORTED
from .original_queue import Row

if TYPE_CHECKING:
    from ..queue.event_types import JournalEvent
    from ..queue.process_events import WorkerInfo
    from ..queue.task_events import Spec
    from .original_ends import EndMembers


class _Ended(NamedTuple):
    """A task that has ended."""

    tid: bytes
    row: Row
    state: int
    end: EndMembers


class ImportedTasks:
    """Collects tasks and their ends, and writes them together."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._batches: list[Batch] = []
        self._codes: dict[str, Code] = {}
        self._ended: list[_Ended] = []
        self._versions: dict[str, dict[str, str]] = {}

    def __len__(self) -> int:
        return len(self._batches)

    def add(self, batch: Batch, code: Code) -> None:
        """Add a task."""
        self._batches.append(batch)
        self._codes[batch.group.app] = code

    def end(self, tid: bytes, row: Row, state: int, end: EndMembers) -> None:
        """Add the end of a task that was added."""
        self._ended.append(_Ended(tid, row, state, end))

    def ran_with(self, app: str, versions: dict[str, str]) -> None:
        """Add the versions that the tasks of an app ran with."""
        self._versions[app] = versions

    def write(self, specs: dict[str, Spec]) -> None:
        """Write all that was added, with the specifications of task managers."""
        if not self._batches:
            return
        ledger, now = self._queue.ledger, time.time()
        self._queue.add_batches(NewTasks(self._batches, self._codes, specs))
        ledger.follow()
        ends: dict[str, list[End]] = {}
        for item in self._ended:
            end = End(ledger.row(item.tid), 1, item.state, item.row.began, **item.end)
            ends.setdefault(item.row.job, []).append(end)
        ledger.writer.flush()
        events: list[JournalEvent] = []
        for job, several in ends.items():
            worker = f'desipipe-1.0-{len(ledger.state.workers) + len(events):d}'
            info: WorkerInfo = {'host': '', 'pid': 0, 'slots': 1, 'job': job}
            events.append(worker_begin_event(worker, info, now))
            # As compaction writes them: ends without the claims before them.
            events += final_events(worker, several, now)
            for app, versions in self._versions.items():
                events.append(versions_event(worker, app, versions))
            events.append(worker_end_event(worker, IMPORTED, now))
        ledger.journal.write(lambda: events, True)
        self._batches, self._codes, self._ended, self._versions = [], {}, [], {}
