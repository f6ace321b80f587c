"""Cells of a record: the tasks that each one made or defines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..view.rows import format_rows
from .model import Node, QueueModel, places_of
from .model_types import AppEntry, CellEntry
from .selection import Selection, cell_rows
from .sources import cell_tree, recorded_tree, source_of

if TYPE_CHECKING:
    from .documents import Notebook

Claimed = set[tuple[int, int]]
"""Tasks that are a cell's: numbers of their queues, and their places."""


def cell_entries(
    notebook: Notebook | None, selection: Selection, models: Sequence[QueueModel], node: Node | None
) -> list[CellEntry]:
    """Return an entry for each cell that used tasks or defined apps."""
    claimed: Claimed = set()
    cells = list(_shown(notebook, selection, models, claimed))
    if notebook is None:
        return cells
    shown = {use.cell for use in selection.uses}
    for number, model in enumerate(models):
        cells += _defined(notebook, number, model, claimed, shown, node)
    return sorted(cells, key=lambda entry: _order(entry, models[entry['queue']]))


def _order(entry: CellEntry, model: QueueModel) -> tuple[int, int, bool]:
    """Return the key of the order of entries: what is superseded is below what counts."""
    is_old = all('superseded' in model.task(index) for index in places_of(entry))
    return entry['cell'], entry['queue'], is_old


def _shown(
    notebook: Notebook | None, selection: Selection, models: Sequence[QueueModel], claimed: Claimed
) -> Iterator[CellEntry]:
    """Yield the entries of cells that show tasks, which are claimed for them."""
    numbers = {folder: number for number, folder in enumerate(selection.queues)}
    # Cells that are tasks first: of the others, those that show nothing else (a future, a panel)
    # have no tasks of their own.
    for use in sorted(selection.uses, key=lambda use: not _is_task(notebook, use.cell)):
        queue = selection.queue_of(use)
        number = numbers[queue.folder]
        rows, _ = cell_rows(queue, use)
        places = [models[number].places[row] for row in rows]
        if (
            not _is_task(notebook, use.cell)
            and use.cell not in selection.gone
            and all((number, index) in claimed for index in places)
        ):
            continue
        claimed.update((number, index) for index in places)
        entry: CellEntry = {
            'cell': use.cell,
            'queue': number,
            'tasks': format_rows(places),
            'title': use.title,
            'how': 'display',
        }
        if use.cell in selection.gone:
            entry['gone'] = selection.gone[use.cell]
        yield entry


def _defined(
    notebook: Notebook,
    number: int,
    model: QueueModel,
    claimed: Claimed,
    shown: set[int],
    node: Node | None,
) -> Iterator[CellEntry]:
    """Yield the entries of cells that define the apps of tasks that no cell shows."""
    by_app: dict[int, list[int]] = {}
    for index, task in enumerate(model.tasks()):
        if (number, index) not in claimed:
            by_app.setdefault(model.head['groups'][task['group']]['app'], []).append(index)
    for app, places in by_app.items():
        cell = _defining(notebook, model.head['apps'][app], node, shown)
        if cell is not None:
            yield {
                'cell': cell,
                'queue': number,
                'tasks': format_rows(places),
                'title': model.head['apps'][app]['name'],
                'how': 'source',
            }


def _is_task(notebook: Notebook | None, cell: int) -> bool:
    return notebook is not None and source_of(notebook['cells'][cell]).lstrip().startswith(
        '%%desipipe'
    )


def _defining(notebook: Notebook, app: AppEntry, node: Node | None, shown: set[int]) -> int | None:
    """Return the cell that an app is from.

    It is the one with its very code, else the last one that defines something of its name.
    """
    if app['kind'] == 'cell':
        return None
    like = None
    ran = recorded_tree(app)
    for number, cell in enumerate(notebook['cells']):
        if cell['cell_type'] != 'code' or number in shown:
            continue
        tree = cell_tree(source_of(cell), app, node)
        if tree:
            if tree == ran:
                return number
            like = number
    return like
