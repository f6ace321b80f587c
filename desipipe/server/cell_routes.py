"""Routes that answer questions about a notebook's text and change nothing."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, cast

from ..cells.cell_runs import CellRun, first_sentence, named_queues, of_no_run, runs_of, with_runs
from ..cells.changes import Recorded
from ..cells.estimate import Estimate, estimate
from ..cells.file import QUEUE_GONE, display_of, read_cells, tasks_ran
from ..cells.modules import Modules
from ..cells.plan import make_plan, state_json, to_json
from ..cells.states import Notebook, NotebookCell, Ran
from ..config import Config
from ..errors import DesipipeError, QueueGoneError, UnknownQueueError
from ..queue.location import find_folder
from ..queue.queue import Queue
from ..view.schema import CellStatesView, PlanView, ShownCellView
from .followed import Followed
from .queues import Hub
from .requests import NotebookRequest
from .routes import Route

_FOLDERS_MAX = 20  # queues of one notebook that are looked at
_ANSWER_MAX_S = 2.0  # for a queue to say which cells ran: badges wait for it


class _Journals(NamedTuple):
    """Runs of the cells of a notebook, as the journals of its queues have them."""

    runs: list[dict[str, CellRun]]
    problem: str
    """Reason for which a queue that it names can't be read; empty if all were read."""


class _Read(NamedTuple):
    """The cells of a notebook, with what is known of their runs."""

    cells: list[NotebookCell]
    displays: dict[int, Mapping[str, Any]]
    """Those of the cells that have tasks, by number."""
    shown: Mapping[int, Mapping[str, Any]]
    """Those of them that the notebook does not have, or of before."""


async def _read(hub: Hub, asked: NotebookRequest) -> _Read:
    journals = await _journals(hub, asked)
    notebook, shown = with_runs(asked, journals.runs)
    cells = of_no_run(read_cells(notebook), journals.problem)
    displays = dict(_displays(cast('NotebookRequest', notebook)))
    await hub.run(partial(_mark_gone, hub, cells, displays))
    return _Read(cells, displays, shown)


async def _cells(hub: Hub, asked: NotebookRequest) -> CellStatesView:
    modules, (cells, _, shown) = _modules(hub, asked), await _read(hub, asked)
    states = await hub.run(lambda: Notebook(cells, modules).states())
    return {
        'cells': [state_json(state) for state in states],
        'shown': [
            {'cell': number + 1, 'display': cast('ShownCellView', dict(display))}
            for number, display in shown.items()
        ],
    }


async def _journals(hub: Hub, asked: NotebookRequest) -> _Journals:
    """Look for the cells of a notebook in queues it names, or that were shown."""
    runs, problem = list[dict[str, CellRun]](), ''
    file = _file(hub, asked)
    if file is None:
        return _Journals(runs, problem)
    looked_at = set[str]()
    for named in named_queues(asked):
        try:
            async with asyncio.timeout(_ANSWER_MAX_S):
                folder = await hub.run(partial(named.folder, os.path.dirname(file), Config()))
                queue = await hub.queue(folder)
                looked_at.add(queue.folder)
                runs.append(await queue.do(partial(_runs, file)))
        except (UnknownQueueError, QueueGoneError):
            continue  # no cell has run with it, or its tasks are gone
        except TimeoutError:
            problem = f'the queue {named.name} does not answer'
        except (DesipipeError, OSError) as exc:
            problem = first_sentence(exc)
    # A name may be in a variable. Queues that were shown lately are in memory, and cost little.
    latest = sorted(hub.open, key=lambda queue: queue.asked, reverse=True)
    others = [queue for queue in latest if queue.folder not in looked_at]
    runs += await asyncio.gather(*(_shown_runs(queue, file) for queue in others[:_FOLDERS_MAX]))
    return _Journals(runs, problem)


async def _shown_runs(queue: Followed, file: str) -> dict[str, CellRun]:
    """Look for the cells of a notebook in a queue that was shown."""
    with contextlib.suppress(DesipipeError, OSError, TimeoutError):  # the page says so
        async with asyncio.timeout(_ANSWER_MAX_S):
            return await queue.do(partial(_runs, file), is_asked=False)
    return {}


def _runs(file: str, queue: Queue) -> dict[str, CellRun]:
    queue.ledger.follow()
    return runs_of(queue, file)


async def _plan(hub: Hub, asked: NotebookRequest) -> PlanView:
    cells, displays, _ = await _read(hub, asked)
    states = await hub.run(lambda: Notebook(cells).states())
    estimates: dict[str, Estimate] = {}
    titles = {state.title for state in states}
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


def _file(hub: Hub, asked: NotebookRequest) -> str | None:
    """Return the file of a notebook the server shows; None if it shows none."""
    if 'path' not in asked:
        return None
    path = os.path.normpath(os.path.join(hub.folders.root, asked['path'].lstrip('/')))
    return None if hub.folders.shown(os.path.dirname(path)) is None else path


def _modules(hub: Hub, asked: NotebookRequest) -> Modules | None:
    """Return the modules beside a notebook the server shows; None if it shows none."""
    file = _file(hub, asked)
    return None if file is None else Modules(os.path.dirname(file))


def _displays(asked: NotebookRequest) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield the cells of a notebook that display tasks: number and display."""
    for number, cell in enumerate(asked['cells']):
        shown = display_of(cell)
        if shown is not None:
            yield number, shown


def _mark_gone(
    hub: Hub, cells: list[NotebookCell], displays: Mapping[int, Mapping[str, Any]]
) -> None:
    """Note the cells whose queue was deleted, where this server would show it."""
    gone = set[str]()
    for folder in _folders(displays):
        try:
            find_folder(hub.folders.folder(folder), Config())
        except (UnknownQueueError, QueueGoneError):
            gone.add(folder)
        except (DesipipeError, OSError):
            continue  # it is not shown by this server: nothing is known of it
    for number, shown in displays.items():
        if str(shown.get('folder', '')) in gone:
            ran = Ran(Recorded.from_json(shown.get('ran')), problem=QUEUE_GONE)
            cells[number] = replace(cells[number], ran=ran)


def _tasks_ran(shown: Mapping[int, Mapping[str, Any]], queue: Queue) -> dict[int, Ran]:
    queue.ledger.follow()
    return {number: tasks_ran(queue, one) for number, one in shown.items()}


def _estimate(title: str, queue: Queue) -> Estimate | None:
    return estimate(queue.ledger, title)


def _folders(displays: Mapping[int, Mapping[str, Any]]) -> list[str]:
    """List the queues that a notebook used, the last first."""
    folders = [str(shown.get('folder', '')) for shown in reversed([*displays.values()])]
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
