"""Make a record of a notebook and its queues.

It is the notebook, with tables below its cells, and everything that is known of its tasks in its
metadata.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

import orjson

from .._version import __version__
from ..machine import machine
from ..provenance.repository import repository
from ..queue.queue import Queue
from ..utils import format_bytes
from .composition import compose
from .model import Node, QueueModel, totals
from .model_types import CellEntry, RecordDocument, RecordedQueue
from .pieces import VERSION
from .privacy import Privacy
from .reading.queue import read_queue
from .record_cells import cell_entries
from .selection import Selection
from .sources import cell_notes, source_of

if TYPE_CHECKING:
    from .documents import Notebook

_Json = TypeVar('_Json')

DIFF = 'git changes'
"""Label of the difference from the commit; its sha256 is that of ``git diff``."""
CHANGES_MAX = 1 << 20
"""Bytes of it that are kept at most."""


def make_record(
    notebook: Notebook | None,
    name: str,
    queues: Sequence[Queue],
    privacy: Privacy,
    node: Node | None = None,
    payloads: bool = False,
    every: bool = False,
    open_queue: Callable[[str], Queue] | None = None,
) -> tuple[Notebook, list[QueueModel]]:
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
        Decides what is left out.
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
    selection = Selection(notebook, name, queues, privacy, open_queue)
    models = [
        read_queue(queue, privacy, None if every else selection.rows(folder), node, payloads)
        for folder, queue in selection.queues.items()
    ]
    cells = cell_entries(notebook, selection, models, node)
    for entry in cells:
        if notebook is not None:
            cell, model = notebook['cells'][entry['cell']], models[entry['queue']]
            entry['notes'] = cell_notes(entry, cell, model, node)
    for model in models:
        # As it will be read: what is shown does not depend on an order that is not written.
        model.head = _as_read(model.head)
    document = _document(notebook, name, cells, models, privacy)
    if payloads:
        _add_payloads(document, models, privacy)
    record = compose(notebook, document, models, privacy, selection.untrusted_users())
    return record, models


def _document(
    notebook: Notebook | None,
    name: str,
    cells: list[CellEntry],
    models: Sequence[QueueModel],
    privacy: Privacy,
) -> RecordDocument:
    """Return what the record's metadata hold."""
    texts = [] if notebook is None else [source_of(cell) for cell in notebook['cells']]
    return {
        'version': VERSION,
        'made': _as_read(_made(privacy)),
        'notebook': {
            'name': os.path.basename(name),
            'cells': [_digest(text) for text in texts],
        },
        'cells': cells,
        'queues': [_recorded(model) for model in models],
        'totals': _as_read(totals(models)),
        'left_out': [],
        'paths': 'relative to the folder of the notebook'
        if 'paths' not in privacy.keep
        else 'as they were',
    }


def _recorded(model: QueueModel) -> RecordedQueue:
    # mypy cannot tell that a head has no payloads.
    return {**model.head, 'tasks': model.lines}  # type: ignore[typeddict-item]


def _add_payloads(document: RecordDocument, models: Sequence[QueueModel], privacy: Privacy) -> None:
    privacy.notes[
        '(kept: the bytes of code, arguments, results and outputs, as asked for; paths and names '
        'in them are as they were)'
    ] = None
    for entry, model in zip(document['queues'], models, strict=True):
        entry['payloads'] = {
            digest: base64.b85encode(data).decode()
            for digest, data in sorted(model.payloads.items())
        }


def _as_read(value: _Json) -> _Json:
    copy: _Json = orjson.loads(orjson.dumps(value, option=orjson.OPT_SORT_KEYS))
    return copy


def _made(privacy: Privacy) -> dict[str, str]:
    here = machine()
    state, changes = repository(privacy.root)
    made = {
        'desipipe': __version__,
        'python': here['python'],
        'platform': here['platform'],
        **state,
    }
    if changes:
        try:
            if len(changes) > CHANGES_MAX:
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
                    f'{format_bytes(CHANGES_MAX)}; its digest is kept'
                )
            ] = None
    return made


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()
