"""Build the views of workers and managers, and judge whether they live."""

from __future__ import annotations

import time

from ..queue.attempt_reader import AttemptReader
from ..store.lease import Observer, Record, gone, read_lease
from .task_summary import task_label

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..queue.workers import Worker
    from .schema import ManagerView, WorkerView


def is_alive(folder: str, name: str, observer: Observer | None = None) -> bool | None:
    """Return True if a worker or a manager that lives by the journal really does.

    Parameters
    ----------
    folder : str
        The queue's folder.
    name : str
        Its name in the journal.
    observer : Observer, default=None
        For those who look again and again: judges processes of other machines by their beats.

    Returns
    -------
    alive : bool or None
        ``None`` if that can't be known from here (yet): it runs on another machine.
    """
    return _alive(read_lease(folder, name), name, observer)


def _alive(record: Record | None, name: str, observer: Observer | None) -> bool | None:
    if record is None:
        # a process takes its lease before it announces itself, and takes it away when it ends
        return False
    ended = gone(record)
    if ended is None:
        return False if observer is not None and observer.dead(name, time.monotonic()) else None
    return not ended


def manager_view(ledger: AttemptReader, observer: Observer | None) -> ManagerView | None:
    """Summarise the manager that the journal names; None if there is none."""
    event = ledger.state.manager
    if event is None:
        return None
    return {
        'name': event['w'],
        'host': event.get('host', ''),
        'pid': event.get('pid', 0),
        'since': event['t'],
        'alive': is_alive(ledger.folder, event['w'], observer),
        'says': event.get('says', ''),
        'stopping': bool(event.get('stop')),
    }


def worker_view(ledger: AttemptReader, worker: Worker, observer: Observer | None) -> WorkerView:
    """Summarise a worker, with the tasks in its slots."""
    rows = worker.rows_in_slots()  # it may hold many short tasks
    record = read_lease(ledger.folder, worker.name) or {}
    return {
        'name': worker.name,
        'host': worker.host,
        'pid': worker.pid,
        'job': worker.job,
        'mid': worker.mid or '',
        'slots': worker.slots,
        'since': worker.time,
        'alive': _alive(record or None, worker.name, observer),
        'stopping': worker.stop is not None,
        'trouble': record.get('trouble', ''),
        'running': len(worker.rows) - worker.claimed,
        'claimed': worker.claimed,
        'tasks': [
            {
                **task_label(ledger, row),
                'since': ledger.state.running.started(row),
                'superseded': row in ledger.state.superseded,
            }
            for row in rows
        ],
        'cpu': record.get('cpu'),
        'memory': record.get('memory'),
    }
