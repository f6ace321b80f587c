"""Import queues of desipipe 1.0: tasks, results, output, errors, task managers.

A task gets the identity that the same call of the same function has in this version, so that a
script that is run again finds what was computed.
"""

from __future__ import annotations

import os
import time

from ..config import Config
from ..errors import (
    QueueExistsError,
    UnknownQueueError,
)
from ..queue.folder import create_folder
from ..queue.names import import_command, queue_folder
from ..queue.queue import Queue
from ..store.lease import Lease, Observer, gone, read_lease
from ..utils import plural
from .original_importer import Importer, Report
from .original_queue import OriginalQueue

LEASE = 'import'
"""Name of the lease of a process that imports; it is left where that was killed."""


def import_queue(old: OriginalQueue, queue: Queue) -> Report:
    """Take the tasks of an old queue over into a fresh one, which is paused meanwhile.

    A lease in it says that it is not whole yet, see :func:`import_original`.

    Parameters
    ----------
    old : OriginalQueue
    queue : Queue
        An empty one.

    Raises
    ------
    RecordError
        The old queue cannot be read, or is being written to.
    """
    lease = Lease(queue.folder, LEASE, queue.ledger.journal.shared)
    try:
        queue.pause()
        paused = old.paused
        report = Importer(old, queue, lease).run()
        old.check_unchanged()
    except BaseException:
        queue.clear()  # a part of it would be taken for the whole
        raise
    finally:
        lease.close()
    if not paused:
        queue.resume()
    return report


def _give_up_interrupted(queue: Queue) -> bool:
    """Clear a queue whose import was interrupted: its process was killed.

    Returns
    -------
    cleared : bool
        False if there was no such import.

    Raises
    ------
    QueueExistsError
        A process imports into it now.
    """
    record = read_lease(queue.folder, LEASE)
    if record is None:
        return False
    observer, beat = Observer(queue.folder), record.get('beat')
    while not observer.dead(LEASE, time.monotonic()):
        now = read_lease(queue.folder, LEASE)
        if gone(record) is False or now is None or now.get('beat') != beat:
            who = f'process {record.get("pid")} on {record.get("host")}'
            raise QueueExistsError(
                f'{who} imports into {queue.folder} now. Nothing was imported. Wait for it.'
            )
        time.sleep(0.5)
    queue.clear()
    return True


def import_original(path: str, name: str | None, config: Config) -> tuple[Queue, Report]:
    """Make a queue of one of desipipe 1.0.

    Parameters
    ----------
    path : str
        The file.
    name : str or None
        Name of the new queue; by default as the old one, beside it.
    config : Config
        Says whom the user trusts.

    Returns
    -------
    queue, report : Queue, Report

    Raises
    ------
    RecordError, UntrustedFileError, QueueExistsError
        Nothing was made.
    """
    with OriginalQueue(path, config.trusted_uids.__contains__) as old:
        folder = queue_folder(os.path.abspath(path) if name is None else name, config=config)
        try:
            queue, new = Queue(folder, create=False, config=config), False
        except UnknownQueueError:
            create_folder(folder, config)
            queue, new = Queue(folder, create=False, config=config), True
        again = not new and _give_up_interrupted(queue)
        if len(queue):
            problem = f'There is a queue in {folder} already, and it has tasks'
            command = f'{import_command(path)} -q NAME'
            raise QueueExistsError(
                f'{problem}. Nothing was imported. Choose another name:\n{command}',
            )
        try:
            report = import_queue(old, queue)
        except BaseException:
            if new:
                queue.delete(kill=False)
            raise
        note = 'A former import had been interrupted: what it had taken over was dropped first.'
        return queue, report._replace(notes=[note, *report.notes]) if again else report


def summary_line(report: Report) -> str:
    """Return what was taken over, for people."""
    return f'{plural(report.tasks)}, {plural(report.results, "result")} taken over'


__all__ = ['Report', 'import_original', 'import_queue', 'summary_line']
