"""Define the routes that are asked about the text of a notebook: they change nothing."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

from ..cells.estimate import Estimate, estimate
from ..cells.file import display_of, read_cells
from ..cells.modules import Modules
from ..cells.plan import make_plan, state_json, to_json
from ..cells.states import Notebook
from ..errors import DesipipeError
from ..queue.queue import Queue
from .queues import Hub
from .routes import Route

Dict = dict[str, Any]

_CELLS_MAX = 5000
_OUTPUTS_MAX = 10
_FOLDERS_MAX = 20  # queues of one notebook that are looked at

_CELL = {
    'type': 'object',
    'properties': {
        'cell_type': {'type': 'string', 'maxLength': 20},
        'source': {'type': 'string'},
        'outputs': {'type': 'array', 'maxItems': _OUTPUTS_MAX, 'items': {'type': 'object'}},
    },
    'required': ['cell_type', 'source'],
    'additionalProperties': False,
}
_NOTEBOOK = {
    'cells': {
        'type': 'array',
        'maxItems': _CELLS_MAX,
        'items': _CELL,
        'description': 'As in nbformat, of outputs the displays of tasks alone',
    },
    'path': {
        'type': 'string',
        'maxLength': 4096,
        'description': 'Path of the notebook below the folder that the server shows',
    },
}
_STATES = {'type': 'array', 'items': {'type': 'object'}}


async def _cells(hub: Hub, asked: Dict) -> Dict:
    modules = _modules(hub, asked)
    states = await hub.run(lambda: Notebook(read_cells(asked), modules).states())
    return {'cells': [state_json(state) for state in states]}


async def _plan(hub: Hub, asked: Dict) -> Dict:
    cells = read_cells(asked)
    states = await hub.run(lambda: Notebook(cells).states())
    found: dict[str, Estimate] = {}
    titles = {state.title for state in states}
    for folder in _folders(asked):
        try:
            queue = await hub.queue(folder)
            for title in titles - found.keys():
                known = await queue.do(partial(_estimate, title))
                if known is not None:
                    found[title] = known
        except DesipipeError:
            continue  # it is gone, or not shown by this server: nothing is known of it
    return await hub.run(lambda: to_json(make_plan(cells, found.get, modules=_modules(hub, asked))))


def _modules(hub: Hub, asked: Dict) -> Modules | None:
    """Return the modules beside a notebook that the server shows; None where it shows none."""
    if 'path' not in asked:
        return None
    path = os.path.normpath(os.path.join(hub.root_dir, asked['path'].lstrip('/')))
    folder = os.path.dirname(path)
    return None if hub.shown(folder) is None else Modules(folder)


def _estimate(title: str, queue: Queue) -> Estimate | None:
    return estimate(queue.ledger, title)


def _folders(asked: Dict) -> list[str]:
    """List the queues that a notebook used, the last first."""
    shown = [display_of(cell) for cell in reversed(asked['cells'])]
    folders = [str(item.get('folder', '')) for item in shown if item is not None]
    return [folder for folder in dict.fromkeys(folders) if folder][:_FOLDERS_MAX]


TEXTS = (
    Route(
        'cells',
        'States of the task cells of a notebook, by its text',
        _cells,
        _NOTEBOOK,
        ('cells',),
        {'type': 'object', 'properties': {'cells': _STATES}, 'required': ['cells']},
    ),
    Route(
        'plan',
        'What the task cells of a notebook that are not current would take',
        _plan,
        _NOTEBOOK,
        ('cells',),
        {
            'type': 'object',
            'properties': {
                'cells': _STATES,
                'to_run': {'type': 'array', 'items': {'type': 'integer'}},
                'total': {'type': 'object'},
            },
            'required': ['cells', 'to_run', 'total'],
        },
    ),
)
"""All of them, asked by POST since a notebook does not fit into an address."""
