"""Messages of the magics, and what a cell in a terminal shows."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..cells.function import Cell
    from ..queue.queue import Queue
    from ..task_manager import TaskApp, TaskManager


@contextmanager
def plainly() -> Iterator[None]:
    """Show errors of desipipe by their message; the cells below do not run."""
    from ..errors import DesipipeError, QueueGoneError

    try:
        yield
    except DesipipeError as exc:
        from .commands import typed
        from .verb_output import CommandError

        more = ''
        if isinstance(exc, QueueGoneError):
            more = (
                '\nThe results that it held are gone with it. Choose a queue, and run the cells '
                'again:\n%desipipe use my_queue --workers 4'
            )
        raise CommandError(typed(f'{exc}{more}')) from None


@contextmanager
def telling_of_names(queue: Queue | None, local: Mapping[str, str]) -> Iterator[None]:
    """Add to an error about a name that the notebook lacks what is known of it.

    Parameters
    ----------
    queue, local
        As for :func:`name_hint`.
    """
    from ..errors import CellError

    try:
        yield
    except CellError as exc:
        if hint := exc.missing and name_hint(exc.missing, queue, local):
            raise CellError(f'{exc} {hint}') from None
        raise


def name_hint(name: str, queue: Queue | None, local: Mapping[str, str]) -> str:
    """Return how the notebook gets a name that it lacks.

    It is empty if no task has to do with the name.

    Parameters
    ----------
    name : str
    queue : Queue, optional
        That of the notebook, whose tasks are named after the outputs of their cells.
    local : mapping
        Names that stayed in workers, with what to do to have them in the notebook.
    """
    if name in local:
        return (
            f'A task bound {name!r} in its worker, where it stayed. To have it here, {local[name]}'
        )
    if queue is not None:
        queue.ledger.follow()
        if any(group.name == name for group in queue.ledger.state.groups):
            return (
                f'Queue {queue.name} has tasks named {name!r}: if the kernel was restarted, run '
                'their cell again. Results are kept; nothing is computed twice.'
            )
    return ''


def local_names(made: Cell) -> dict[str, str]:
    """Return the names that a cell binds in its worker only, for `name_hint`."""
    code = made.func.__code__
    bound = {*code.co_varnames, *code.co_cellvars} - {*made.outputs, *made.inputs, *made.imports}
    return {
        **dict.fromkeys(made.imports, 'import it in a cell without %%desipipe, too.'),
        **{name: f'run its cell with: --out {" ".join([*made.outputs, name])}' for name in bound},
    }


def tell_name_error(error: object, queue: Queue | None, local: Mapping[str, str]) -> None:
    """Print below a NameError how the notebook gets the name from tasks."""
    from ..errors import QueueGoneError

    if isinstance(error, NameError) and error.name:
        try:
            hint = name_hint(error.name, queue, local)
        except QueueGoneError as exc:
            hint = str(exc)
        if hint:
            print(f'desipipe: {hint}', file=sys.stderr)


def tell(manager: TaskManager) -> None:
    """Print which queue, provider and scheduler the notebook uses."""
    from ..utils import plural

    queue = manager.queue
    assert queue is not None
    counts = ', '.join(f'{n} {state}' for state, n in queue.counts.items() if n) or 'empty'
    spec = manager.to_spec()
    slots = spec['scheduler'].get('max_workers', 1)
    print(
        f'desipipe: queue {queue.name} ({counts}) in {_typed_path(queue.folder)}; at most '
        f'{plural(slots, "slot")} of provider {spec["provider"]["name"]}'
    )


def _typed_path(path: str) -> str:
    """Return a path as people would type it from here."""
    short = os.path.relpath(path)
    return path if short.startswith('..') else './' + short


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
