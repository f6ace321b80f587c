"""Find what the cells of a notebook ran with in the journals of its queues.

The outputs of a notebook tell it too, where they were saved. The journal tells it as well where the
window was loaded again, where another window ran the cell, and where the kernel is gone.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from ..config import Config
from ..errors import DesipipeError
from ..queue.names import queue_exists, queue_folder
from ..queue.queue import Queue
from ..view.rows import format_rows, parse_rows
from .file import MIME, Queues, display_of, read_cells
from .states import NotebookCell, Ran

_QUEUE = re.compile(r'\bQueue\(\s*([\'"])([^\'"\n]+)\1')
_USE = re.compile(r'^\s*%desipipe\s+use\s+(.*)$', re.M)
_NAMED_MAX = 20  # queues of one notebook that are looked at


class NamedQueue(NamedTuple):
    """A queue, as the text of a notebook names it."""

    name: str
    base_dir: str | None = None

    def folder(self, notebook_folder: str, config: Config) -> str:
        """Return its folder, which may not exist.

        Raises
        ------
        InvalidQueueNameError
        """
        name, base = os.path.expanduser(self.name), self.base_dir
        if base is None and name.startswith(('./', '../')):
            name = os.path.join(notebook_folder, name)
        if base is not None:
            base = os.path.join(notebook_folder, os.path.expanduser(base))
        return queue_folder(name, base, config)


class CellRun(NamedTuple):
    """The last run of a cell."""

    time: float
    display: Mapping[str, Any]
    """Display that its output would hold: folder, rows, first task, title, and what it ran with."""


def named_queues(notebook: Mapping[str, Any]) -> list[NamedQueue]:
    """List the queues that the code of a notebook names, the last first.

    Parameters
    ----------
    notebook : dict
        As in its file.
    """
    texts = [_text(cell) for cell in notebook['cells'] if cell['cell_type'] == 'code']
    names = [named for text in reversed(texts) for named in _names(text)]
    return list(dict.fromkeys(names))[:_NAMED_MAX]


def _names(text: str) -> Iterator[NamedQueue]:
    for _, name in reversed(_QUEUE.findall(text)):
        yield NamedQueue(name)
    for line in reversed(_USE.findall(text)):
        try:
            parts = shlex.split(line)
        except ValueError:
            continue  # it cannot run either
        if parts and not parts[0].startswith('-'):
            has_base = '--base-dir' in parts[1:-1]
            base = parts[parts.index('--base-dir') + 1] if has_base else None
            yield NamedQueue(parts[0], base)


def _text(cell: Mapping[str, Any]) -> str:
    source = cell['source']
    return source if isinstance(source, str) else ''.join(source)


def runs_of(queue: Queue, file: str) -> dict[str, CellRun]:
    """Return the last runs of the cells of a notebook in a queue.

    They are by identity of the cell. A notebook that has another name now is known by its cells,
    as no file has its old name.

    Parameters
    ----------
    queue : Queue
        As it was last followed.
    file : str
        Path of the notebook.
    """
    state, runs = queue.ledger.state, dict[str, CellRun]()
    path = os.path.realpath(file)
    for app, cell in _earlier_runs(queue, path):
        rows = format_rows(sorted(state.rows_of_app(app)))
        _add(runs, queue, cell, 0.0, {'rows': rows, 'title': state.apps[app]['name']})
    for other, events in list(state.cells.items()):
        if other != path and os.path.exists(other):
            continue
        for cell, event in list(events.items()):
            shown: dict[str, Any] = {'rows': event['tasks'], 'title': event['title']}
            if 'text' in event and 'reads' in event:
                shown['ran'] = {'text': event['text'], 'reads': dict(event['reads'])}
            _add(runs, queue, cell, event['t'], shown)
    return runs


def _earlier_runs(queue: Queue, file: str) -> Iterator[tuple[str, str]]:
    """Yield apps and cells of tasks that an earlier version of desipipe added."""
    state = queue.ledger.state
    for where, versions in list(state.code_versions.places.items()):
        for app, version in list(versions.items()) if where.startswith(f'{file}:') else ():
            is_cell = app in state.apps and state.apps[app]['kind'] == 'cell'
            if is_cell and version.cell and version.current:
                yield app, version.cell


def _add(
    runs: dict[str, CellRun], queue: Queue, cell: str, time: float, shown: dict[str, Any]
) -> None:
    ids = queue.ledger.state.ids
    try:
        parts = parse_rows(shown['rows'])
    except DesipipeError:
        return  # no rows: a line of a journal may be anybody's
    is_newest = cell not in runs or runs[cell].time <= time
    if is_newest and parts and parts[0][0] < len(ids):
        first = ids[parts[0][0]].hex()
        display = {'version': 1, 'folder': queue.folder, 'first': first, **shown}
        runs[cell] = CellRun(time, display)


def with_runs(
    notebook: Mapping[str, Any], runs: Iterable[Mapping[str, CellRun]]
) -> tuple[dict[str, Any], dict[int, Mapping[str, Any]]]:
    """Display in cells of a notebook what the journals know, where that is newer.

    A cell's line in the journal is written before its display: where the two differ, the cell ran
    again, and this output is of before.

    Parameters
    ----------
    notebook : dict
        As in its file.
    runs : iterable of dict
        Of each queue, as :func:`runs_of` returns them.

    Returns
    -------
    notebook : dict
        The same, with these displays as outputs.
    shown : dict
        Those displays, by number of the cell.
    """
    by_queue, cells = list(runs), list(notebook['cells'])
    shown: dict[int, Mapping[str, Any]] = {}
    for number, cell in enumerate(cells):
        of_cell = [runs[cell['id']] for runs in by_queue if cell.get('id') in runs]
        if cell['cell_type'] != 'code' or not _text(cell).lstrip().startswith('%%desipipe'):
            continue
        present = display_of(cell)
        if not of_cell or (present is not None and not _is_older(present, of_cell)):
            continue
        display = max(of_cell, key=lambda run: run.time).display
        if present is None or any(
            present.get(name) != display.get(name) for name in ('folder', 'rows', 'first', 'ran')
        ):
            shown[number] = display
            cells[number] = {**cell, 'outputs': [{'data': {MIME: display}}]}
    return {**notebook, 'cells': cells}, shown


def _is_older(present: Mapping[str, Any], of_cell: Iterable[CellRun]) -> bool:
    """Return True if a display is no newer than the last run in its own queue."""
    return any(run.time and run.display['folder'] == present.get('folder') for run in of_cell)


def of_no_run(cells: Iterable[NotebookCell], problem: str) -> list[NotebookCell]:
    """Tell of cells without tasks why they may have some; the others stay.

    Parameters
    ----------
    cells : iterable of NotebookCell
    problem : str
        Reason for which a queue of the notebook can't be read; empty if all were read.
    """
    unknown = Ran(None, problem=problem)
    return [replace(cell, ran=unknown) if problem and cell.ran is None else cell for cell in cells]


def read_file(notebook: Mapping[str, Any], file: str, queues: Queues) -> list[NotebookCell]:
    """Read the cells of a notebook's file, with what its queues know of them.

    Parameters
    ----------
    notebook : dict
        As in its file.
    file : str
        Path of the file.
    queues : Queues
        Queues to look for their tasks in.
    """
    runs, problem, config = list[dict[str, CellRun]](), '', Config()
    for named in named_queues(notebook):
        try:
            folder = named.folder(os.path.dirname(os.path.abspath(file)), config)
        except DesipipeError as exc:
            problem = first_sentence(exc)
            continue
        if not queue_exists(folder):
            continue
        queue = queues.open(folder)
        if isinstance(queue, str):
            problem = queue
        else:
            runs.append(runs_of(queue, file))
    return of_no_run(read_cells(with_runs(notebook, runs)[0], queues), problem)


def first_sentence(problem: Exception) -> str:
    """Return the first sentence of a message, for a badge."""
    return str(problem).partition('\n')[0].partition('. ')[0].rstrip('.')
