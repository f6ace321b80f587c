"""Routes that answer questions about a notebook's text and change nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from ..cells.estimate import Estimate, estimate
from ..cells.file import display_of, read_cells, tasks_ran
from ..cells.modules import Modules
from ..cells.plan import make_plan, state_json, to_json
from ..cells.states import Notebook, Ran
from ..errors import DesipipeError
from ..queue.queue import Queue
from ..view.schema import CellStatesView, PlanView
from .queues import Hub
from .requests import NotebookRequest
from .routes import Route

_FOLDERS_MAX = 20  # queues of one notebook that are looked at


async def _cells(hub: Hub, asked: NotebookRequest) -> CellStatesView:
    modules = _modules(hub, asked)
    states = await hub.run(lambda: Notebook(read_cells(asked), modules).states())
    return {'cells': [state_json(state) for state in states]}


async def _plan(hub: Hub, asked: NotebookRequest) -> PlanView:
    cells = read_cells(asked)
    states = await hub.run(lambda: Notebook(cells).states())
    estimates: dict[str, Estimate] = {}
    titles = {state.title for state in states}
    displays = dict(_displays(asked))
    for folder in _folders(displays):
        try:
            queue = await hub.queue(folder)
            shown = {n: one for n, one in displays.items() if one.get('folder') == folder}
            for number, ran in (await queue.do(partial(_tasks_ran, shown))).items():
                cells[number] = replace(cells[number], ran=ran)
            for title in titles - estimates.keys():
                estimate = await queue.do(partial(_estimate, title))
                if estimate is not None:
                    estimates[title] = estimate
        except DesipipeError:
            continue  # it is gone, or not shown by this server: nothing is known of it
    return await hub.run(
        lambda: to_json(make_plan(cells, estimates.get, modules=_modules(hub, asked)))
    )


def _modules(hub: Hub, asked: NotebookRequest) -> Modules | None:
    """Return the modules beside a notebook the server shows; None if it shows none."""
    if 'path' not in asked:
        return None
    path = os.path.normpath(os.path.join(hub.folders.root, asked['path'].lstrip('/')))
    folder = os.path.dirname(path)
    return None if hub.folders.shown(folder) is None else Modules(folder)


def _displays(asked: NotebookRequest) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield the cells of a notebook that display tasks: number and display."""
    for number, cell in enumerate(asked['cells']):
        shown = display_of(cell)
        if shown is not None:
            yield number, shown


def _tasks_ran(shown: Mapping[int, Mapping[str, Any]], queue: Queue) -> dict[int, Ran]:
    queue.ledger.follow()
    return {number: tasks_ran(queue, one) for number, one in shown.items()}


def _estimate(title: str, queue: Queue) -> Estimate | None:
    return estimate(queue.ledger, title)


def _folders(displays: dict[int, Mapping[str, Any]]) -> list[str]:
    """List the queues that a notebook used, the last first."""
    folders = [str(shown.get('folder', '')) for shown in reversed(displays.values())]
    return [folder for folder in dict.fromkeys(folders) if folder][:_FOLDERS_MAX]


TEXTS = (
    Route(
        'cells',
        'States of the task cells of a notebook, by its text',
        _cells,
        NotebookRequest,
        CellStatesView,
    ),
    Route(
        'plan',
        'What the task cells of a notebook that are not current would take',
        _plan,
        NotebookRequest,
        PlanView,
    ),
)
"""All of them, asked by POST since a notebook does not fit into an address."""
