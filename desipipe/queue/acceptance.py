"""Take the result of one task for another."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import AppChangedError
from .events import SUCCEEDED, EventKind
from .future import Future
from .ledger import Ledger
from .task import Task
from .task_addition import Collected
from .transactions.decisions import accept_event

if TYPE_CHECKING:
    from .event_types import JournalEvent


def accept_result(ledger: Ledger, source: Task, target: Task) -> Future:
    """Take the result of ``source`` for ``target``; see :meth:`.Queue.accept`."""
    if source.name != target.name:
        raise AppChangedError(
            f'Cannot accept a result of app {source.name!r} for app {target.name!r}. Nothing was '
            'changed.'
        )

    def decide(added: Sequence[JournalEvent]) -> Sequence[JournalEvent]:
        row = ledger.row(source.tid)
        if ledger.state.status[row] != SUCCEEDED:
            raise AppChangedError(
                f'Task {source.id[:12]} is {source.state} and has no result to accept. Nothing was '
                'changed.'
            )
        # Where it is new, its own line comes right before.
        rows = [
            event['first'] if event['e'] == EventKind.ADD else event['row']
            for event in added
            if event['e'] in (EventKind.ADD, EventKind.REVIVE)
        ]
        return [accept_event(row, rows[0] if rows else ledger.row(target.tid), time.time())]

    new = Collected()
    if target.tid not in ledger.state.rows:
        new.add_task(ledger.folder, target, None)
    ledger.add(new.tasks(), True, decide)
    return Future(ledger, target.tid)
