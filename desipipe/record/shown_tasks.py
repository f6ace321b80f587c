"""Displays of tasks in an executed notebook: their present state, and failures."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..errors import DesipipeError
from .sources import MIME

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from ..view.schema import CellView, Mime


def refresh(notebook: NotebookNode, bundle: Callable[[CellView], Mime]) -> None:
    """Update the displays of tasks to their present state."""
    from ..queue.queue import Queue
    from ..view.cell import cell_summary

    for cell in notebook.cells:
        for output in cell.get('outputs', ()):
            shown = (output.get('data') or {}).get(MIME)
            if not isinstance(shown, dict):
                continue
            try:
                queue = Queue(shown['folder'], create=False)
                title, cached = shown.get('title', ''), bool(shown.get('cached'))
                summary = cell_summary(queue, shown['rows'], title=title, cached=cached)
            except DesipipeError:
                continue  # it was deleted meanwhile: what was last shown is what there is to say
            if 'ran' in shown:
                summary['ran'] = shown['ran']
            if shown.get('published'):
                summary['outputs'] = []
            output['data'].update(bundle(summary))


def failed_tasks(notebook: NotebookNode) -> tuple[int, str] | None:
    """Return the first cell whose tasks did not all succeed, and its failure."""
    for number, cell in enumerate(notebook.cells):
        for output in cell.get('outputs', ()):
            shown = (output.get('data') or {}).get(MIME)
            failure = shown.get('failure') if isinstance(shown, dict) else None
            if failure:
                task = f'{failure["name"]}[{failure["index"]}] {failure["tid"][:12]}'
                return (
                    number,
                    f'cell {number + 1:d}: task {task} is {failure["state"]}: {failure["cause"]}',
                )
    return None
