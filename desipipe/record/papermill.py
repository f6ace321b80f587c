"""Papermill's metadata and marks in notebooks: what ran, when, and what failed."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from .parameters import ERROR

if TYPE_CHECKING:
    from nbformat import NotebookNode

PAPERMILL = 'papermill'
"""Key of the metadata, of the notebook and of cells."""


def begin_run(
    notebook: NotebookNode, input_path: str, output_path: str, parameters: Mapping[str, Any]
) -> None:
    """Note that a run of a notebook begins."""
    from .._version import __version__

    notebook.metadata[PAPERMILL] = {
        'default_parameters': {},
        'environment_variables': {},
        'exception': None,
        'input_path': input_path,
        'output_path': output_path,
        'parameters': dict(parameters),
        'start_time': _now(),
        'end_time': None,
        'duration': None,
        'version': f'desipipe {__version__}',
    }


def await_cell(cell: NotebookNode) -> None:
    """Note that a cell is to be executed; what it gave before is dropped."""
    if cell.cell_type == 'code':
        cell.outputs, cell.execution_count = [], None
    cell.metadata[PAPERMILL] = {
        'exception': None,
        'start_time': None,
        'end_time': None,
        'duration': None,
        'status': 'pending',
    }
    cell.metadata.setdefault('tags', [])


def begin_cell(cell: NotebookNode) -> None:
    """Note that a cell begins."""
    cell.metadata[PAPERMILL].update(status='running', start_time=_now())


def complete_cell(cell: NotebookNode) -> None:
    """Note that a cell succeeded."""
    cell.metadata[PAPERMILL].update(status='completed', exception=False)


def fail_cell(notebook: NotebookNode, cell: NotebookNode) -> None:
    """Note that a cell failed."""
    cell.metadata[PAPERMILL].update(status='failed', exception=True)
    notebook.metadata[PAPERMILL]['exception'] = True


def end(item: NotebookNode) -> None:
    """Note that a cell, or the run of a notebook, has ended."""
    about = item.metadata[PAPERMILL]
    about['end_time'] = _now()
    start, finish = (
        datetime.datetime.fromisoformat(about[key]) for key in ('start_time', 'end_time')
    )
    about['duration'] = (finish - start).total_seconds()


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat()


def mark(notebook: NotebookNode, number: int, message: str) -> None:
    """Mark what failed, at the top and above the cell, as papermill does."""
    import nbformat

    anchor = 'papermill-error-cell'
    # Only the symbol has a colour: none can be read as text on light and on dark.
    symbol = '<span style="color:#d55e00">✕</span>'
    top = f'{symbol} **{_escaped(message)}** See <a href="#{anchor}">below</a>.'
    here = f'<span id="{anchor}">{symbol} **{_escaped(message)}**</span>'
    for at, text, anchor_name in ((number, here, 'here'), (0, top, 'top')):
        cell = nbformat.v4.new_markdown_cell(
            text, metadata={'tags': [ERROR]}, id=f'{ERROR}-{anchor_name}'
        )
        if notebook.nbformat_minor < 5:
            del cell['id']
        notebook.cells.insert(at, cell)


def _escaped(text: str) -> str:
    return (
        escape(' '.join(text.split()))
        .replace('*', '&#42;')
        .replace('_', '&#95;')
        .replace('`', '&#96;')
    )
