"""A notebook and its queues become a record: the notebook, with tables below its cells, and
everything that is known of its tasks in its metadata.
"""

from __future__ import annotations

import ast
import base64
import copy
import hashlib
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from .._version import __version__
from ..errors import CellError, PayloadError, RecordError, UnknownQueueError, UnknownTaskError
from ..outputs.safe import safe_output
from ..provenance import machine, repository
from ..queue.output import untrusted_writer
from ..queue.queue import Queue
from ..serialize import source
from ..utils import format_bytes
from ..view.queue import untrusted_owner
from ..view.rows import format_rows, parse_rows
from . import tables
from .embedded_data import scrub_data, scrub_json
from .files import ADDED, KEY
from .model import VERSION, Node, QueueModel, piece_of, read_queue, totals
from .privacy import Privacy
from .svg import draw_graph, draw_timeline, graph_of, timeline_of

Dict = dict[str, Any]

DIFF = 'git changes'
"""What differs from the commit; its sha256 is ``git diff``."""
CHANGES = 1 << 20
"""Bytes of it that are kept at most."""
RUN = 'desipipe_run'
"""Key of a notebook's metadata for what papermill has none for: the queues that were used when
it was executed.
"""
MIME = 'application/vnd.desipipe.v1+json'
"""What cells show of their tasks; it names queue, rows and first task."""


@dataclass
class Use:
    """A cell, and the tasks that it says are its own."""

    cell: int
    folder: str
    rows: str
    first: str
    title: str


def uses(notebook: Mapping[str, Any]) -> list[Use]:
    """The cells of a notebook that show tasks, in order.

    Parameters
    ----------
    notebook : dict

    Returns
    -------
    uses : list of Use
    """
    found = []
    for number, cell in enumerate(notebook['cells']):
        for output in cell.get('outputs', ()):
            data = output.get('data')
            shown = data.get(MIME) if isinstance(data, dict) else None
            if isinstance(shown, dict) and all(
                isinstance(shown.get(key), str) for key in ('folder', 'rows')
            ):
                found.append(
                    Use(
                        number,
                        shown['folder'],
                        shown['rows'],
                        str(shown.get('first', '')),
                        str(shown.get('title', '')),
                    )
                )
    return found


def source_of(cell: Mapping[str, Any]) -> str:
    """A cell's text, however it is stored."""
    text = cell['source']
    return text if isinstance(text, str) else ''.join(text)


def cell_tree(text: str, app: Mapping[str, Any], node: Node | None) -> str | None:
    """The digest of the code that a cell's text stands for, as an app's identity counts it.

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
            return source.tree(
                node(text, app.get('parameters', [])), decorators=False, defaults=False
            ).hex()
        except CellError:
            return ''
        except LookupError:
            return None
    return next((tree for name, tree in functions(text) if name == function_name(app)), '')


def functions(text: str) -> list[tuple[str, str]]:
    """The functions that a cell defines, with the digests of their code as a task; those that
    IPython alone understands are passed over.
    """
    lines = [
        '' if line.lstrip().startswith(('%', '!', '?')) else line for line in text.splitlines()
    ]
    tree = source.parse('\n'.join(lines))
    if tree is None:
        return []
    return [
        (item.name, source.tree(item, decorators=False, defaults=False).hex())
        for item in reversed(tree.body)
        if isinstance(item, ast.FunctionDef)
    ]


def root_label(app: Mapping[str, Any]) -> str:
    """Return the label of the app's part that is its function; empty if not recorded."""
    try:
        root = piece_of(app.get('root', ''))
    except ValueError:
        return ''
    return root[1:].decode('utf-8', 'replace') if root[:1] == b'D' else ''


def function_name(app: Mapping[str, Any]) -> str:
    """The name of an app's function."""
    return root_label(app).removeprefix('function ').rpartition('.')[2] or str(app['name'])


def recorded_tree(app: Mapping[str, Any]) -> str | None:
    """The digest of the code that ran, as :func:`cell_tree` makes it; ``None`` if it was not
    recorded.
    """
    pieces = app.get('pieces', {}).get(root_label(app))
    if not pieces:
        return None
    try:
        return piece_of(pieces[0]).hex()
    except ValueError:
        return None


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
        Whether to keep the bytes of code, arguments, results and outputs, too.
    every : bool, default=False
        Whether to record all tasks of the queues, also those that are no cell's or superseded.
    open_queue : callable, default=None
        Opens a queue by its folder.

    Returns
    -------
    record : dict
        A notebook; :func:`~desipipe.record.files.notebook_bytes` writes it.
    models : list of QueueModel

    Raises
    ------
    RecordError
        The notebook never used desipipe, and no queue was given.
    UnknownQueueError
        A queue that it used is not there.
    """
    found = uses(notebook) if notebook is not None else []
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
    if not found and not queues and not ran:
        raise nothing
    known = {queue.folder: queue for queue in queues}
    opened = {use.folder: _resolved(use.folder, known, open_queue) for use in found}
    every_queue = {queue.folder: queue for queue in [*opened.values(), *known.values()]}
    rows: dict[str, set[int]] = {folder: set() for folder in every_queue}
    if notebook is not None:
        texts = {
            item
            for cell in notebook['cells']
            if cell['cell_type'] == 'code'
            for item in functions(source_of(cell))
        }
        for folder, queue in every_queue.items():
            rows[folder].update(_defined(queue, texts))
        for folder in ran:
            try:
                queue = _resolved(folder, known, open_queue)
            except UnknownQueueError:
                privacy.notes[
                    (
                        f'tasks of the queue {os.path.basename(folder)}, which was used and no '
                        'longer exists'
                    )
                ] = None
                continue
            if queue.folder not in every_queue and (mine := _defined(queue, texts)):
                every_queue[queue.folder], rows[queue.folder] = queue, set(mine)
        if not every_queue:
            raise nothing
    gone: dict[int, str] = {}
    for use in found:
        queue = opened[use.folder]
        mine, why = _rows(queue, use)
        rows[queue.folder].update(mine)
        if why:
            gone[use.cell] = why
    chosen = {use.folder for use in found}
    models = []
    for folder, queue in every_queue.items():
        # Of a queue that cells name, their tasks and what these need, and those of functions that
        # cells define; of one that was only given, all that are not superseded.
        whole = every or (
            folder in known and not any(opened[name].folder == folder for name in chosen)
        )
        current = None if every else queue.select() if whole else rows[folder]
        models.append(read_queue(queue, privacy, current, node, payloads))
    numbers = {folder: number for number, folder in enumerate(every_queue)}
    cells = _cells(notebook, found, opened, numbers, models, gone, node)
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
    record = _composed(notebook, document, models, privacy, _untrusted(found, opened))
    return record, models


def _untrusted(found: Sequence[Use], opened: Mapping[str, Queue]) -> dict[int, str]:
    """Return the cells that show outputs of users who are not trusted, with these users."""
    users: dict[int, str] = {}
    for use in found:
        queue = opened[use.folder]
        rows, _ = _rows(queue, use)
        ledger = queue.ledger
        owner = untrusted_owner(ledger)
        user = owner or next((user for row in rows if (user := untrusted_writer(ledger, row))), '')
        if user:
            users[use.cell] = user
    return users


def _resolved(
    folder: str, known: Mapping[str, Queue], open_queue: Callable[[str], Queue] | None
) -> Queue:
    if folder in known:
        return known[folder]
    # The notebook may have been saved elsewhere: a queue of the same name that was given is meant.
    same = [
        queue
        for queue in known.values()
        if os.path.basename(queue.folder) == os.path.basename(folder)
    ]
    if len(same) == 1:
        return same[0]
    try:
        return open_queue(folder) if open_queue is not None else Queue(folder, create=False)
    except UnknownQueueError as exc:
        raise UnknownQueueError(
            f'{exc}. The notebook says that its tasks are there; nothing was written. If the queue '
            f'was moved, say where it is: -q {os.path.basename(folder)}'
        ) from None


def _defined(queue: Queue, texts: Collection[tuple[str, str]]) -> list[int]:
    """The tasks of apps of which the very code is in a notebook's cells, whether they are shown
    or not.
    """
    queue.ledger.follow()
    state = queue.ledger.state
    apps = set()
    for app, event in state.apps.items():
        if event['kind'] != 'cell':
            try:
                mine = functions(queue.ledger.read_text(event['source']))
            except PayloadError:
                continue
            if any(name == event['name'] and (name, tree) in texts for name, tree in mine):
                apps.add(app)
    return (
        [row for row in queue.select() if state.groups[state.group[row]].app in apps]
        if apps
        else []
    )


def _rows(queue: Queue, use: Use) -> tuple[list[int], str]:
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


def _cells(
    notebook: Dict | None,
    found: Sequence[Use],
    opened: Mapping[str, Queue],
    numbers: Mapping[str, int],
    models: Sequence[QueueModel],
    gone: Mapping[int, str],
    node: Node | None,
) -> list[Dict]:
    cells: list[Dict] = []
    claimed: set[tuple[int, int]] = set()
    # Cells that are tasks first: of the others, those that show nothing else (a future, a panel)
    # have no tasks of their own.
    for use in sorted(found, key=lambda use: not _is_task(notebook, use.cell)):
        number = numbers[opened[use.folder].folder]
        rows, _ = _rows(opened[use.folder], use)
        places = [models[number].places[row] for row in rows]
        if (
            not _is_task(notebook, use.cell)
            and use.cell not in gone
            and all((number, place) in claimed for place in places)
        ):
            continue
        claimed.update((number, place) for place in places)
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
    shown = {use.cell for use in found}
    if notebook is None:
        return cells
    for number, model in enumerate(models):
        by_app: dict[int, list[int]] = {}
        for place, task in enumerate(model.tasks()):
            if (number, place) not in claimed:
                by_app.setdefault(model.head['groups'][task['group']]['app'], []).append(place)
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
    """The cell that an app is from: the one with its very code, else the last one that defines
    something of its name.
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


def compared(
    cell: Mapping[str, Any], model: QueueModel, places: Iterable[int], node: Node | None
) -> list[tuple[str, str]]:
    """A cell's text against the code that its tasks ran.

    Parameters
    ----------
    cell : dict
    model : QueueModel
    places : iterable of int
        Its tasks.
    node : callable or None

    Returns
    -------
    found : list of (str, str)
        For each app of them: ``'same'``, ``'changed'``, ``'other'`` (nothing in it is called so) or
        ``'unknown'``, and the app's name.
    """
    groups = model.head['groups']
    apps = dict.fromkeys(groups[model.task(place)['group']]['app'] for place in places)
    found = []
    for number in apps:
        app = model.head['apps'][number]
        ran, now = recorded_tree(app), cell_tree(source_of(cell), app, node)
        if ran is None or now is None:
            found.append(('unknown', app['name']))
        else:
            found.append(('same' if ran == now else 'changed' if now else 'other', app['name']))
    return found


def cell_notes(
    entry: Mapping[str, Any], cell: Mapping[str, Any], model: QueueModel, node: Node | None
) -> list[str]:
    """Return the notes on a cell whose tasks are not those of its present text."""
    notes = [str(entry['gone'])] if 'gone' in entry else []
    places = [place for part in parse_rows(entry['tasks']) for place in part]
    for how, name in compared(cell, model, places, node):
        if how == 'changed':
            notes.append(
                f'this cell was changed after its tasks ({name}) ran: they ran other code, which '
                'is below'
            )
        elif how == 'other':
            notes.append(
                f'the tasks shown here ({name}) are of another cell, or of another notebook: '
                'nothing in this cell is their code'
            )
    return notes


def _as_read(value: Dict) -> Dict:
    found: Dict = orjson.loads(orjson.dumps(value, option=orjson.OPT_SORT_KEYS))
    return found


def _made(privacy: Privacy) -> Dict:
    here = machine()
    state, changes = repository(privacy.root)
    found: Dict = {
        'desipipe': __version__,
        'python': here['python'],
        'platform': here['platform'],
        **state,
    }
    if changes:
        try:
            if len(changes) > CHANGES:
                raise ValueError
            found[DIFF] = changes.decode()
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
    return found


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
        places = [place for part in parse_rows(entry['tasks']) for place in part]
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
    words = 'the graph of the tasks' + (', by app' if graph['grouped'] else '')
    return [(words, draw_graph(graph)), ('who ran what when', draw_timeline(timeline_of(models)))]


def _safe_cell(cell: Dict, user: str, privacy: Privacy) -> Dict:
    """Return a cell with outputs that run nothing, if they are of a user who is not trusted."""
    if not user:
        return cell
    privacy.notes[
        f'HTML, scripts and the like in outputs of tasks of {user}, who is not trusted'
    ] = None
    return {**cell, 'outputs': [safe_output(output, user) for output in cell.get('outputs', ())]}


def _cleaned(cell: Dict, privacy: Privacy) -> Dict:
    """A cell as it is recorded: nothing that would want to be live, and no paths in its outputs."""
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
