"""Compose the notebook of a record: its cells, cleaned, and tables below them."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from ..outputs.safe import safe_output
from .cell_section import entry_section
from .digests import ADDED, KEY
from .embedded_data import scrub_data, scrub_json
from .model import QueueModel
from .model_types import RecordDocument
from .privacy import Privacy
from .sources import MIME, source_of
from .summary_section import summary_section
from .svg import draw_graph, graph_of
from .timeline_svg import draw_timeline, timeline_of

if TYPE_CHECKING:
    from ..outputs.notebook import Output
    from .documents import Notebook, NotebookCell

_TEXTS: tuple[Literal['text', 'traceback', 'evalue', 'metadata'], ...] = (
    'text',
    'traceback',
    'evalue',
    'metadata',
)


def compose(
    notebook: Notebook | None,
    document: RecordDocument,
    models: Sequence[QueueModel],
    privacy: Privacy,
    untrusted: Mapping[int, str],
) -> Notebook:
    """Compose a record.

    Parameters
    ----------
    notebook : dict or None
    document : dict
        The record's head; what was left out is added.
    models : sequence of QueueModel
    privacy : Privacy
    untrusted : mapping
        Users who are not trusted, by the cells that show outputs of theirs.

    Returns
    -------
    record : dict
        A notebook.
    """
    original: Notebook = (
        notebook
        if notebook is not None
        else {'cells': [], 'metadata': {}, 'nbformat': 4, 'nbformat_minor': 5}
    )
    added = _AddedCells(original.get('nbformat_minor', 0) >= 5)
    sections: dict[int, list[str]] = {}
    for entry in document['cells']:
        sections.setdefault(entry['cell'], []).append(entry_section(entry, models))
    cells: list[NotebookCell] = []
    for number, cell in enumerate(original['cells']):
        if ADDED in (cell.get('metadata', {}).get('tags') or ()):
            continue  # of a record that was recorded again
        cells.append(_cleaned(_safe_cell(cell, untrusted.get(number, ''), privacy), privacy))
        cells += [added.cell(text) for text in sections.get(number, ())]
    pictures = described(models)
    metadata = {
        key: scrub_json(value, privacy.scrub)
        for key, value in original['metadata'].items()
        if key != KEY
    }
    document['left_out'] = privacy.summary()
    cells.append(added.cell(summary_section(document, models, pictures)))
    return {
        'cells': cells,
        'metadata': {**metadata, KEY: document},
        'nbformat': 4,
        'nbformat_minor': original.get('nbformat_minor', 5),
    }


class _AddedCells:
    """Makes the cells that a record adds; they are numbered where cells have ids."""

    def __init__(self, has_ids: bool) -> None:
        self._has_ids = has_ids
        self._count = 0

    def cell(self, text: str) -> NotebookCell:
        """Return the next one."""
        self._count += 1
        cell: NotebookCell = {
            'cell_type': 'markdown',
            'metadata': {'tags': [ADDED]},
            'source': text,
        }
        if self._has_ids:
            cell['id'] = f'{ADDED}-{self._count:d}'
        return cell


def described(models: Sequence[QueueModel]) -> list[tuple[str, str]]:
    """Draw the pictures of a record; return what each shows, and its SVG."""
    graph = graph_of(models)
    caption = 'the graph of the tasks' + (', by app' if graph['grouped'] else '')
    return [(caption, draw_graph(graph)), ('who ran what when', draw_timeline(timeline_of(models)))]


def _safe_cell(cell: NotebookCell, user: str, privacy: Privacy) -> NotebookCell:
    """Return a cell with outputs that run nothing, if their user is not trusted."""
    if not user:
        return cell
    privacy.notes[
        f'HTML, scripts and the like in outputs of tasks of {user}, who is not trusted'
    ] = None
    return {**cell, 'outputs': [safe_output(output, user) for output in cell.get('outputs', ())]}


def _cleaned(cell: NotebookCell, privacy: Privacy) -> NotebookCell:
    """Return a cell as it is recorded: nothing live, and no paths in its outputs."""
    cell = copy.copy(cell)
    cell['source'] = source_of(cell)
    # Whether a server trusts its outputs is no part of the cell.
    cell['metadata'] = scrub_json(
        {key: value for key, value in cell.get('metadata', {}).items() if key != 'trusted'},
        privacy.scrub,
    )
    if privacy.scrub(cell['source']) != cell['source'] and 'paths' not in privacy.keep:
        privacy.notes[
            '(kept: the text of cells, also where it names absolute paths; it is what ran)'
        ] = None
    if 'outputs' in cell:
        cell['outputs'] = [_cleaned_output(output, privacy) for output in cell['outputs']]
    return cell


def _cleaned_output(output: Output, privacy: Privacy) -> Output:
    output = {**output}
    if isinstance(output.get('data'), dict):
        output['data'] = {
            kind: scrub_data(kind, value, privacy.scrub)
            for kind, value in output['data'].items()
            if kind != MIME
        }
    for key in _TEXTS:
        if key in output:
            output[key] = scrub_json(output[key], privacy.scrub)
    return output
