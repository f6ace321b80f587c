"""Make a record of a notebook and its queues.

It is the notebook, with tables below its cells, and everything that is known of its tasks in its
metadata.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence

import orjson

from .._version import __version__
from ..errors import RecordError, UnknownQueueError
from ..outputs.safe import safe_output
from ..provenance import machine, repository
from ..queue.queue import Queue
from ..utils import format_bytes
from ..view.rows import parse_rows
from . import tables
from .digests import ADDED, KEY
from .embedded_data import scrub_data, scrub_json
from .model import Node, QueueModel, totals
from .pieces import VERSION
from .privacy import Privacy
from .reading.queue import read_queue
from .record_cells import (
    Dict,
    cell_entries,
    cell_rows,
    defined_apps,
    resolved_queue,
    untrusted_uses,
)
from .sources import MIME, cell_notes, functions, source_of, uses
from .svg import draw_graph, graph_of
from .timeline_svg import draw_timeline, timeline_of

DIFF = 'git changes'
"""Label of the difference from the commit; its sha256 is that of ``git diff``."""
CHANGES = 1 << 20
"""Bytes of it that are kept at most."""
RUN = 'desipipe_run'
"""Key of a notebook's metadata for what papermill has none for: the queues that were used when
it was executed.
"""


# Making


def make_record(  # noqa: C901
    notebook: Dict | None,
    name: str,
    queues: Sequence[Queue],
    privacy: Privacy,
    node: Node | None = None,
    payloads: bool = False,
    every: bool = False,
    open_queue: Callable[[str], Queue] | None = None,
) -> tuple[Dict, list[QueueModel]]:
    """Make a record.

    Parameters
    ----------
    notebook : dict or None
        It is not changed. ``None``: of queues alone.
    name : str
        The notebook's file name, or what to call it.
    queues : sequence of Queue
        Beside those that the notebook's cells name.
    privacy : Privacy
        What to leave out.
    node : callable, default=None
        See :data:`~desipipe.record.model.Node`.
    payloads : bool, default=False
        True to keep the bytes of code, arguments, results and outputs, too.
    every : bool, default=False
        True to record all tasks of the queues, also those that are no cell's or superseded.
    open_queue : callable, default=None
        Opens a queue by its folder.

    Returns
    -------
    record : dict
        A notebook; :func:`~desipipe.record.digests.notebook_bytes` writes it.
    models : list of QueueModel

    Raises
    ------
    RecordError
        The notebook never used desipipe, and no queue was given.
    UnknownQueueError
        A queue that it used is not there.
    """
    shown = uses(notebook) if notebook is not None else []
    # Of queues that only Python used, the notebook says which if `desipipe run` executed it; in a
    # record that is left out.
    ran = (
        []
        if notebook is None
        else [
            folder
            for folder in notebook['metadata'].get(RUN, {}).get('queues', ())
            if os.path.isabs(folder)
        ]
    )
    nothing = RecordError(
        f'{name} shows no task of desipipe, and no queue was given: there is nothing to record. '
        'If it uses queues from Python, name them: desipipe record NOTEBOOK -q QUEUE'
    )
    if not shown and not queues and not ran:
        raise nothing
    by_folder = {queue.folder: queue for queue in queues}
    opened = {use.folder: resolved_queue(use.folder, by_folder, open_queue) for use in shown}
    every_queue = {queue.folder: queue for queue in [*opened.values(), *by_folder.values()]}
    rows: dict[str, set[int]] = {folder: set() for folder in every_queue}
    if notebook is not None:
        texts = {
            item
            for cell in notebook['cells']
            if cell['cell_type'] == 'code'
            for item in functions(source_of(cell))
        }
        for folder, queue in every_queue.items():
            rows[folder].update(defined_apps(queue, texts))
        for folder in ran:
            try:
                queue = resolved_queue(folder, by_folder, open_queue)
            except UnknownQueueError:
                privacy.notes[
                    (
                        f'tasks of the queue {os.path.basename(folder)}, which was used and no '
                        'longer exists'
                    )
                ] = None
                continue
            if queue.folder not in every_queue and (own_rows := defined_apps(queue, texts)):
                every_queue[queue.folder], rows[queue.folder] = queue, set(own_rows)
        if not every_queue:
            raise nothing
    gone: dict[int, str] = {}
    for use in shown:
        queue = opened[use.folder]
        own_rows, why = cell_rows(queue, use)
        rows[queue.folder].update(own_rows)
        if why:
            gone[use.cell] = why
    chosen = {use.folder for use in shown}
    models = []
    for folder, queue in every_queue.items():
        # Of a queue that cells name, their tasks and what these need, and those of functions that
        # cells define; of one that was only given, all that are not superseded.
        whole = every or (
            folder in by_folder and not any(opened[name].folder == folder for name in chosen)
        )
        current = None if every else queue.select() if whole else rows[folder]
        models.append(read_queue(queue, privacy, current, node, payloads))
    numbers = {folder: number for number, folder in enumerate(every_queue)}
    cells = cell_entries(notebook, shown, opened, numbers, models, gone, node)
    for entry in cells:
        if notebook is not None:
            entry['notes'] = cell_notes(
                entry, notebook['cells'][entry['cell']], models[entry['queue']], node
            )
    for model in models:
        # As it will be read: what is shown does not depend on an order that is not written.
        model.head = _as_read(model.head)
    document: Dict = {
        'version': VERSION,
        'made': _as_read(_made(privacy)),
        'notebook': {
            'name': os.path.basename(name),
            'cells': []
            if notebook is None
            else [_digest(source_of(cell)) for cell in notebook['cells']],
        },
        'cells': cells,
        'queues': [{**model.head, 'tasks': model.lines} for model in models],
        'totals': _as_read(totals(models)),
        'left_out': [],
        'paths': 'relative to the folder of the notebook'
        if 'paths' not in privacy.keep
        else 'as they were',
    }
    if payloads:
        privacy.notes[
            (
                '(kept: the bytes of code, arguments, results and outputs, as asked for; paths and '
                'names in them are as they were)'
            )
        ] = None
        for entry, model in zip(document['queues'], models, strict=True):
            entry['payloads'] = {
                digest: base64.b85encode(data).decode()
                for digest, data in sorted(model.payloads.items())
            }
    record = _composed(notebook, document, models, privacy, untrusted_uses(shown, opened))
    return record, models


def _as_read(value: Dict) -> Dict:
    copy: Dict = orjson.loads(orjson.dumps(value, option=orjson.OPT_SORT_KEYS))
    return copy


def _made(privacy: Privacy) -> Dict:
    here = machine()
    state, changes = repository(privacy.root)
    made: Dict = {
        'desipipe': __version__,
        'python': here['python'],
        'platform': here['platform'],
        **state,
    }
    if changes:
        try:
            if len(changes) > CHANGES:
                raise ValueError
            made[DIFF] = changes.decode()
            privacy.notes[
                (
                    '(kept: what differs from the commit of the repository, whole, also where it '
                    'names absolute paths)'
                )
            ] = None
        except ValueError:
            privacy.notes[
                (
                    'what differs from the commit of the repository: it is no text, or more than '
                    f'{format_bytes(CHANGES)}; its digest is kept'
                )
            ] = None
    return made


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()


# The notebook


def _composed(
    notebook: Dict | None,
    document: Dict,
    models: Sequence[QueueModel],
    privacy: Privacy,
    untrusted: Mapping[int, str],
) -> Dict:
    original: Dict = (
        notebook
        if notebook is not None
        else {'cells': [], 'metadata': {}, 'nbformat': 4, 'nbformat_minor': 5}
    )
    has_ids = original.get('nbformat_minor', 0) >= 5
    count = 0

    def added(text: str) -> Dict:
        nonlocal count
        count += 1
        cell: Dict = {'cell_type': 'markdown', 'metadata': {'tags': [ADDED]}, 'source': text}
        if has_ids:
            cell['id'] = f'{ADDED}-{count:d}'
        return cell

    sections: dict[int, list[str]] = {}
    for entry in document['cells']:
        model = models[entry['queue']]
        places = [index for part in parse_rows(entry['tasks']) for index in part]
        sections.setdefault(entry['cell'], []).append(
            tables.cell_section(
                model,
                places,
                entry['title'] or f'cell {entry["cell"] + 1:d}',
                entry.get('notes', ()),
            )
        )
    cells = []
    for number, cell in enumerate(original['cells']):
        if ADDED in (cell.get('metadata', {}).get('tags') or ()):
            continue  # of a record that was recorded again
        cells.append(_cleaned(_safe_cell(cell, untrusted.get(number, ''), privacy), privacy))
        cells += [added(text) for text in sections.get(number, ())]
    pictures = described(models)
    metadata = {
        key: scrub_json(value, privacy.scrub)
        for key, value in original['metadata'].items()
        if key != KEY
    }
    document['left_out'] = privacy.summary()
    summary = tables.summary_section(document, models, pictures)
    cells.append(added(summary))
    return {
        'cells': cells,
        'metadata': {**metadata, KEY: document},
        'nbformat': 4,
        'nbformat_minor': original.get('nbformat_minor', 5),
    }


def described(models: Sequence[QueueModel]) -> list[tuple[str, str]]:
    """The pictures of a record: what each shows, and its SVG."""
    graph = graph_of(models)
    caption = 'the graph of the tasks' + (', by app' if graph['grouped'] else '')
    return [(caption, draw_graph(graph)), ('who ran what when', draw_timeline(timeline_of(models)))]


def _safe_cell(cell: Dict, user: str, privacy: Privacy) -> Dict:
    """Return a cell with outputs that run nothing, if their user is not trusted."""
    if not user:
        return cell
    privacy.notes[
        f'HTML, scripts and the like in outputs of tasks of {user}, who is not trusted'
    ] = None
    return {**cell, 'outputs': [safe_output(output, user) for output in cell.get('outputs', ())]}


def _cleaned(cell: Dict, privacy: Privacy) -> Dict:
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


def _cleaned_output(output: Dict, privacy: Privacy) -> Dict:
    output = dict(output)
    if isinstance(output.get('data'), dict):
        output['data'] = {
            kind: scrub_data(kind, value, privacy.scrub)
            for kind, value in output['data'].items()
            if kind != MIME
        }
    for key in ('text', 'traceback', 'evalue', 'metadata'):
        if key in output:
            output[key] = scrub_json(output[key], privacy.scrub)
    return output
