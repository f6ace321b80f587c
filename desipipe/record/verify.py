"""Verify a record against itself, and against queue and files that exist.

Each check states what it found.

Nothing of a record is run or unpickled here. What can't be checked is said, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..queue.queue import Queue
from .checks import DIFFERS, Check
from .files import Record
from .model import Node, QueueModel
from .model_types import TaskEntry
from .verify_code import check_cells, check_code, check_modules, check_shown
from .verify_container import check_container
from .verify_outside import check_environment, check_files, check_queue, never_checked
from .verify_tasks import check_by_hand, check_closure, check_identities, check_lines, check_states


def verify(
    record: Record,
    node: Node | None = None,
    queue: Callable[[QueueModel], Queue | None] | None = None,
    root: str | None = None,
) -> list[Check]:
    """Check a record.

    Parameters
    ----------
    record : Record
    node : callable, default=None
        See :data:`~desipipe.record.model.Node`; without it, cells of notebooks are not held against
        what ran.
    queue : callable, default=None
        Gives the queue to hold a model against; by default none is looked at.
    root : str, default=None
        The folder that paths of files are relative to; by default files are not looked at.

    Returns
    -------
    checks : list of Check
    """
    checks = _guarded('bytes', lambda: check_container(record))
    tasks: list[list[TaskEntry]] = []
    check, tasks = check_lines(record)
    checks.append(check)
    for look in (check_identities, check_closure, check_states, check_by_hand):
        checks += _guarded(look.__name__.strip('_'), lambda look=look: look(record, tasks))  # type: ignore[misc]
    checks += _guarded('code', lambda: check_code(record, node))
    checks += _guarded('modules', lambda: check_modules(record))
    checks += _guarded('cells', lambda: check_cells(record, node))
    checks += _guarded('tables', lambda: check_shown(record))
    checks += _guarded('environment', lambda: check_environment(record))
    checks += _guarded('files', lambda: check_files(record, tasks, root))
    checks += _guarded('queue', lambda: check_queue(record, tasks, queue))
    return [*checks, *never_checked()]


def _guarded(name: str, look: Callable[[], Iterator[Check] | list[Check]]) -> list[Check]:
    # Whoever changed a record may have put anything anywhere: what trips a check is a difference.
    try:
        return list(look())
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError) as exc:
        return [
            Check(
                name,
                DIFFERS,
                f'the record is not as one is written: {type(exc).__name__}: {exc}'[:300],
            )
        ]
