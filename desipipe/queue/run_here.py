"""Tasks of a queue that this process runs itself, without a worker."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .conditions import mids_of_names, select_rows, tids_there
from .events import PENDING, RUNNING, state_code
from .ledger import Ledger
from .task import Task
from .transactions.decisions import begin_here

if TYPE_CHECKING:
    from .event_types import JournalEvent


def take_task(
    ledger: Ledger, state: str, tid: str | None, mid: str | None, **kwargs: Any
) -> Task | None:
    """Take the next task in a state as one's own; see :meth:`.Queue.pop`."""
    claimed: list[int] = []
    code = state_code(state)
    chosen = None
    if tid is not None or kwargs or code != PENDING:
        tids = tids_there(ledger, tid)
        chosen = select_rows(ledger, tid=tids, mid=mid, state=state, **kwargs)

    def decide() -> Sequence[JournalEvent]:
        fold = ledger.state
        if chosen is None:
            mids = list(fold.managers) if mid is None else mids_of_names(fold, mid)
            rows = fold.next_pending(mids, 1)
        else:
            rows = [row for row in chosen if fold.status[row] == code][:1]
        claimed[:] = [] if fold.paused else rows
        return begin_here(fold, claimed, time.time())

    ledger.journal.write(decide)
    if not claimed:
        return None
    return Task.stored(ledger, claimed[0], attempt=ledger.state.attempt[claimed[0]])


def end_task(ledger: Ledger, task: Task) -> None:
    """End a task as its object says, whether or not that object has run it."""
    if task.report():
        return
    row = ledger.find(task.id)
    ledger.journal.write(lambda: begin_here(ledger.state, [row], time.time()))
    if ledger.state.status[row] == RUNNING:
        task.attach(ledger, row, ledger.state.attempt[row])
        task.report()
    else:  # it needs tasks that have not succeeded
        ledger.change(lambda _: [row], state_code(task.state))
