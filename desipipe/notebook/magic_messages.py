"""Messages of the magics, and what a cell in a terminal shows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..task_manager import TaskApp, TaskManager


@contextmanager
def plainly() -> Iterator[None]:
    """Show errors of desipipe by their message; the cells below do not run."""
    from ..errors import DesipipeError, QueueGoneError

    try:
        yield
    except DesipipeError as exc:
        from .verb_output import CommandError

        more = ''
        if isinstance(exc, QueueGoneError):
            more = (
                '\nThe results that it held are gone with it. Choose a queue, and run the cells '
                'again:\n%desipipe use my_queue --workers 4'
            )
        raise CommandError(f'{exc}{more}') from None


@contextmanager
def telling_of_tasks(manager: TaskManager) -> Iterator[None]:
    """Tell of a name that the notebook lacks whether tasks of the queue have it.

    So it is where the kernel was started anew.
    """
    from ..errors import CellError

    try:
        yield
    except CellError as exc:
        if exc.missing and manager.queue is not None:
            ledger = manager.queue.ledger
            ledger.follow()
            if any(group.name == exc.missing for group in ledger.state.groups):
                raise CellError(
                    f'{exc} Queue {manager.queue.name} has tasks of that name: if the kernel was '
                    'restarted, run their cell again. Results are kept; nothing is computed twice.'
                ) from None
        raise


def tell(manager: TaskManager) -> None:
    """Print which queue, provider and scheduler the notebook uses."""
    from ..queue.task import relative
    from ..utils import plural

    queue = manager.queue
    assert queue is not None
    counts = ', '.join(f'{n} {state}' for state, n in queue.counts.items() if n) or 'empty'
    spec = manager.to_spec()
    workers = spec['scheduler'].get('max_workers', 1)
    print(
        f'desipipe: queue {queue.name} ({counts}) in {relative(queue.folder)}; at most '
        f'{plural(workers, "worker")} of provider {spec["provider"]["name"]}'
    )


def tell_plan(app: TaskApp, arguments: list[dict[str, Any]]) -> None:
    """Print what a cell would compute, and why."""
    from collections import Counter

    from ..queue.events import STATES
    from ..queue.task import Task
    from ..utils import plural
    from .commands import typed

    ledger = app.queue.ledger
    ledger.follow()
    tasks = [Task(app, values, index=index) for index, values in enumerate(arguments)]
    rows = [ledger.state.rows.get(task.tid) for task in tasks]
    counts = Counter(STATES[ledger.state.status_shown(row)] for row in rows if row is not None)
    new = [task for task, row in zip(tasks, rows, strict=True) if row is None]
    text = ', '.join(f'{n} {state}' for state, n in counts.items())
    print(
        f'{app.name}: {plural(len(tasks), "task")}, of which {len(new)} would be added'
        + (f'; known: {text}' if counts else '')
    )
    if new:
        print(typed(app.queue.explain(new[0])))
