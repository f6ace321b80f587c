"""Cells of a record: the tasks that each one made or defines."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from ..errors import PayloadError, UnknownQueueError, UnknownTaskError
from ..queue.output import untrusted_writer
from ..queue.queue import Queue
from ..view.ownership import untrusted_owner
from ..view.rows import format_rows, parse_rows
from .model import Node, QueueModel
from .sources import Use, cell_tree, functions, recorded_tree, source_of

Dict = dict[str, Any]


def untrusted_uses(shown: Sequence[Use], opened: Mapping[str, Queue]) -> dict[int, str]:
    """Return the cells that show outputs of users who are not trusted, with these."""
    users: dict[int, str] = {}
    for use in shown:
        queue = opened[use.folder]
        rows, _ = cell_rows(queue, use)
        ledger = queue.ledger
        owner = untrusted_owner(ledger)
        user = owner or next((user for row in rows if (user := untrusted_writer(ledger, row))), '')
        if user:
            users[use.cell] = user
    return users


def resolved_queue(
    folder: str, by_folder: Mapping[str, Queue], open_queue: Callable[[str], Queue] | None
) -> Queue:
    """Return the queue that cells used: one that was given, or that is still there."""
    if folder in by_folder:
        return by_folder[folder]
    # The notebook may have been saved elsewhere: a queue of the same name that was given is meant.
    same = [
        queue
        for queue in by_folder.values()
        if os.path.basename(queue.folder) == os.path.basename(folder)
    ]
    if len(same) == 1:
        return same[0]
    try:
        return open_queue(folder) if open_queue is not None else Queue(folder, create=False)
    except UnknownQueueError as exc:
        raise UnknownQueueError(
            f'{exc} The notebook says that its tasks are there; nothing was written. If the queue '
            f'was moved, say where it is: -q {os.path.basename(folder)}'
        ) from None


def defined_apps(queue: Queue, texts: Collection[tuple[str, str]]) -> list[int]:
    """Return the tasks of apps whose very code is in cells, shown or not."""
    queue.ledger.follow()
    state = queue.ledger.state
    apps = set()
    for app, event in state.apps.items():
        if event['kind'] != 'cell':
            try:
                defined = functions(queue.ledger.read_text(event['source']))
            except PayloadError:
                continue
            if any(name == event['name'] and (name, tree) in texts for name, tree in defined):
                apps.add(app)
    return (
        [row for row in queue.select() if state.groups[state.group[row]].app in apps]
        if apps
        else []
    )


def cell_rows(queue: Queue, use: Use) -> tuple[list[int], str]:
    """Return the tasks that a cell used, and what is to be noted of them."""
    queue.ledger.follow()
    state = queue.ledger.state
    try:
        rows = [
            row
            for part in parse_rows(use.rows)
            for row in part
            if row < len(state.status) and state.rows.get(state.ids[row]) == row
        ]
        total = sum(len(part) for part in parse_rows(use.rows))
        first = next((part.start for part in parse_rows(use.rows)), 0)
    except UnknownTaskError as exc:
        return [], str(exc)
    if use.first and (first >= len(state.ids) or state.ids[first].hex() != use.first):
        return (
            [],
            (
                'its tasks are no longer in the queue, which was cleared since (or they are of '
                'another queue): run the cell again'
            ),
        )
    if len(rows) < total:
        return rows, f'{total - len(rows)} of its tasks were deleted from the queue'
    return rows, ''


def cell_entries(
    notebook: Dict | None,
    used: Sequence[Use],
    opened: Mapping[str, Queue],
    numbers: Mapping[str, int],
    models: Sequence[QueueModel],
    gone: Mapping[int, str],
    node: Node | None,
) -> list[Dict]:
    """Return an entry for each cell that used tasks or defined apps."""
    cells: list[Dict] = []
    claimed: set[tuple[int, int]] = set()
    # Cells that are tasks first: of the others, those that show nothing else (a future, a panel)
    # have no tasks of their own.
    for use in sorted(used, key=lambda use: not _is_task(notebook, use.cell)):
        number = numbers[opened[use.folder].folder]
        rows, _ = cell_rows(opened[use.folder], use)
        places = [models[number].places[row] for row in rows]
        if (
            not _is_task(notebook, use.cell)
            and use.cell not in gone
            and all((number, index) in claimed for index in places)
        ):
            continue
        claimed.update((number, index) for index in places)
        cells.append(
            {
                'cell': use.cell,
                'queue': number,
                'tasks': format_rows(places),
                'title': use.title,
                'how': 'display',
            }
        )
        if use.cell in gone:
            cells[-1]['gone'] = gone[use.cell]
    shown = {use.cell for use in used}
    if notebook is None:
        return cells
    for number, model in enumerate(models):
        by_app: dict[int, list[int]] = {}
        for index, task in enumerate(model.tasks()):
            if (number, index) not in claimed:
                by_app.setdefault(model.head['groups'][task['group']]['app'], []).append(index)
        for app, places in by_app.items():
            cell = _defining(notebook, model.head['apps'][app], node, shown)
            if cell is not None:
                cells.append(
                    {
                        'cell': cell,
                        'queue': number,
                        'tasks': format_rows(places),
                        'title': model.head['apps'][app]['name'],
                        'how': 'source',
                    }
                )
    return sorted(cells, key=lambda entry: (entry['cell'], entry['queue']))


def _is_task(notebook: Dict | None, cell: int) -> bool:
    return notebook is not None and source_of(notebook['cells'][cell]).lstrip().startswith(
        '%%desipipe'
    )


def _defining(notebook: Dict, app: Dict, node: Node | None, shown: set[int]) -> int | None:
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
