"""Cells of a notebook as source: functions, syntax trees, queues that they used."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ..errors import CellError, DesipipeError
from ..serialize import source, syntax_trees
from .model import Node, QueueModel, places_of
from .model_types import AppEntry, CellEntry
from .pieces import piece_of

MIME = 'application/vnd.desipipe.v1+json'
"""Type of the data that cells show of their tasks: queue, rows and first task."""


class Match(StrEnum):
    """Result of comparing a cell's text with the code that its tasks ran."""

    SAME = 'same'
    CHANGED = 'changed'
    OTHER = 'other'
    """Nothing in the cell is called so."""
    UNKNOWN = 'unknown'


@dataclass
class Use:
    """A cell, and the tasks that it says are its own."""

    cell: int
    folder: str
    rows: str
    first: str
    title: str


def uses(notebook: Mapping[str, Any]) -> list[Use]:
    """Return the cells of a notebook that show tasks, in order.

    Parameters
    ----------
    notebook : dict

    Returns
    -------
    uses : list of Use
    """
    result = []
    for number, cell in enumerate(notebook['cells']):
        for output in cell.get('outputs', ()):
            data = output.get('data')
            shown = data.get(MIME) if isinstance(data, dict) else None
            if isinstance(shown, dict) and all(
                isinstance(shown.get(key), str) for key in ('folder', 'rows')
            ):
                result.append(
                    Use(
                        number,
                        shown['folder'],
                        shown['rows'],
                        str(shown.get('first', '')),
                        str(shown.get('title', '')),
                    )
                )
    return result


def source_of(cell: Mapping[str, Any]) -> str:
    """Return a cell's text, however it is stored."""
    text = cell['source']
    return text if isinstance(text, str) else ''.join(text)


def cell_tree(text: str, app: AppEntry, node: Node | None) -> str | None:
    """Compute the digest of the code of a cell, as an app's identity counts it.

    Parameters
    ----------
    text : str
    app : dict
        Of a model.
    node : callable or None

    Returns
    -------
    digest : str or None
        Hexadecimal; empty if the text holds nothing like the app; ``None`` if there is no telling.
    """
    if app['kind'] == 'cell':
        if node is None:
            return None
        try:
            return syntax_trees.tree(
                node(text, app.get('parameters', [])), decorators=False, defaults=False
            ).hex()
        except CellError:
            return ''
        except LookupError:
            return None
    return next((tree for name, tree in functions(text) if name == function_name(app)), '')


def functions(text: str) -> list[tuple[str, str]]:
    """Return the functions that a cell defines, with their digests as tasks.

    Those that IPython alone understands are passed over.
    """
    lines = [
        '' if line.lstrip().startswith(('%', '!', '?')) else line for line in text.splitlines()
    ]
    tree = source.parse('\n'.join(lines))
    if tree is None:
        return []
    return [
        (item.name, syntax_trees.tree(item, decorators=False, defaults=False).hex())
        for item in reversed(tree.body)
        if isinstance(item, ast.FunctionDef)
    ]


def root_label(app: AppEntry) -> str:
    """Return the label of the app's part that is its function; empty if not recorded."""
    try:
        root = piece_of(app.get('root', ''))
    except ValueError:
        return ''
    return root[1:].decode('utf-8', 'replace') if root[:1] == b'D' else ''


def function_name(app: AppEntry) -> str:
    """Return the name of an app's function."""
    return root_label(app).removeprefix('function ').rpartition('.')[2] or str(app['name'])


def recorded_tree(app: AppEntry) -> str | None:
    """Return the digest of the code that ran, as :func:`cell_tree` makes it.

    ``None`` if it was not recorded.
    """
    pieces = app.get('pieces', {}).get(root_label(app))
    if not pieces:
        return None
    try:
        return piece_of(pieces[0]).hex()
    except ValueError:
        return None


def app_trees(app: AppEntry, node: Node | None) -> set[str] | None:
    """Return digests of all functions in an app's source, as a task and as a helper.

    ``None`` where they can't be known.
    """
    text = app['source']
    digests: set[str] = set()
    if app['kind'] == 'cell':
        if node is None or 'cell' not in app:
            return None
        try:
            digests.add(
                syntax_trees.tree(
                    node(app['cell'], app['parameters']), decorators=False, defaults=False
                ).hex()
            )
        except DesipipeError:
            return digests
        except LookupError:
            return None
        rest = app['cell'].rstrip()
        text = text.removeprefix(rest)
    # As a whole, and piece by piece: methods and lambdas alone are no module.
    for part in (text, *text.split('\n\n\n')):
        tree = source.parse(part)
        for item in ast.walk(tree) if tree is not None else ():
            if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                digests.update(
                    syntax_trees.tree(item, decorators, defaults).hex()
                    for decorators in (True, False)
                    for defaults in (True, False)
                )
    return digests


def compared(
    cell: Mapping[str, Any], model: QueueModel, entry: CellEntry, node: Node | None
) -> list[tuple[Match, str]]:
    """Compare a cell's text with the code that its tasks ran.

    It need not be that of superseded tasks, unless the cell shows them.

    Parameters
    ----------
    cell : dict
    model : QueueModel
    entry : CellEntry
        Of the cell.
    node : callable or None

    Returns
    -------
    matches : list of (Match, str)
        For each app of them, with the app's name.
    """
    groups = model.head['groups']
    tasks = (model.task(index) for index in places_of(entry))
    apps = dict.fromkeys(
        groups[task['group']]['app']
        for task in tasks
        if entry['how'] == 'display' or 'superseded' not in task
    )
    matches = []
    for number in apps:
        app = model.head['apps'][number]
        ran, now = recorded_tree(app), cell_tree(source_of(cell), app, node)
        if ran is None or now is None:
            match = Match.UNKNOWN
        elif ran == now:
            match = Match.SAME
        else:
            match = Match.CHANGED if now else Match.OTHER
        matches.append((match, app['name']))
    return matches


def cell_notes(
    entry: CellEntry, cell: Mapping[str, Any], model: QueueModel, node: Node | None
) -> list[str]:
    """Return the notes on a cell whose tasks are not those of its present text."""
    notes = [str(entry['gone'])] if 'gone' in entry else []
    for match, name in compared(cell, model, entry, node):
        if match == Match.CHANGED:
            notes.append(
                f'this cell was changed after its tasks ({name}) ran: they ran other code, which '
                'is below'
            )
        elif match == Match.OTHER:
            notes.append(
                f'the tasks shown here ({name}) are of another cell, or of another notebook: '
                'nothing in this cell is their code'
            )
    return notes
