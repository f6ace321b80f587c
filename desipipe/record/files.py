"""Records as bytes: read them without trusting them."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import RecordError, UnknownTaskError
from ..view.rows import parse_rows
from .archives import Stored, is_zip, read_folder, read_zip
from .digests import DIGESTS, KEY, METADATA, RECORD
from .model import QueueModel
from .model_types import Json, QueueHead, RecordDocument
from .notebook_files import check_memory, parse_notebook, read_bytes
from .pieces import VERSION

if TYPE_CHECKING:
    from .documents import Notebook


@dataclass
class Record:
    """A record that was read."""

    path: str
    data: bytes
    """The notebook's bytes."""
    notebook: Notebook
    document: RecordDocument
    """Document in its metadata."""
    models: list[QueueModel]
    files: dict[str, Stored] = field(default_factory=dict)
    """Members of a crate, by name."""
    problems: list[str] = field(default_factory=list)
    """Problems of the container, in words."""
    is_crate: bool = False

    def payload(self, digest: str) -> bytes | None:
        """Return the bytes of a digest if they were recorded and have this digest."""
        import base64

        for document, model in zip(self.document['queues'], self.models, strict=True):
            text = document.get('payloads', {}).get(digest)
            if isinstance(text, str):
                data = base64.b85decode(text)
                model.payloads[digest] = data
                return data if hashlib.sha256(data).hexdigest() == digest else None
        return None


def read_record(path: str) -> Record:
    """Read a record, or a crate (folder or zip) that holds one.

    Nothing of it is executed, unpacked or followed.

    Parameters
    ----------
    path : str

    Returns
    -------
    record : Record

    Raises
    ------
    RecordError
        It is none, or can't be read safely.
    """
    if os.path.isdir(path):
        # Looked for first: any other folder may be large, and hold what no crate may.
        files, problems = (
            read_folder(path) if os.path.lexists(os.path.join(path, RECORD)) else ({}, [])
        )
    elif is_zip(path):
        files, problems = read_zip(path)
    else:
        data = read_bytes(path)
        return _record(path, data, {}, [])
    if RECORD not in files:
        raise RecordError(
            f'{path} holds no {RECORD}: it is no crate of desipipe, or it is not whole'
        )
    return _record(path, files[RECORD].data, files, problems)


def _record(path: str, data: bytes, files: dict[str, Stored], problems: list[str]) -> Record:
    packed = os.path.getsize(path) if files and not os.path.isdir(path) else len(data)
    notebook = parse_notebook(data, path, packed)
    for name in (METADATA, DIGESTS):
        if name in files:
            check_memory(files[name].data, packed, path)
    document = notebook['metadata'].get(KEY)
    if not isinstance(document, dict):
        raise RecordError(
            f'{path} is a notebook, but no record. Make one with: desipipe record {path}'
        )
    if document.get('version') != VERSION:
        raise RecordError(
            f'{path} is a record of version {document.get("version")!r}; this desipipe knows '
            f'version {VERSION:d}. Read it with the version that wrote it.'
        )
    try:
        models = [QueueModel(_head(queue), queue['tasks']) for queue in document['queues']]
        _check(document, models)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, UnknownTaskError) as exc:
        raise RecordError(
            f'{path} is a record, but not whole: {type(exc).__name__}: {exc}. It was truncated, or '
            'edited by hand.'
        ) from None
    checked: RecordDocument = notebook['metadata'][KEY]
    return Record(path, data, notebook, checked, models, files, problems, bool(files))


def _head(queue: Json) -> QueueHead:
    """Return the head of a queue's record, which :func:`_check_model` looks through."""
    head: Any = {key: value for key, value in queue.items() if key not in ('tasks', 'payloads')}
    unchecked: QueueHead = head
    return unchecked


def _check(document: Json, models: list[QueueModel]) -> None:
    """Complain about what a reader would stumble over."""
    for key, kind in (
        ('cells', list),
        ('queues', list),
        ('totals', dict),
        ('left_out', list),
        ('made', dict),
        ('notebook', dict),
    ):
        if not isinstance(document[key], kind):
            raise TypeError(f'{key!r} is no {kind.__name__}')
    for model in models:
        _check_model(model)
    for entry in document['cells']:
        # Before anybody counts to a number that someone made up.
        total = len(models[entry['queue']].lines)
        if any(part.stop > total for part in parse_rows(entry['tasks'])) or not 0 <= entry[
            'cell'
        ] < len(document['notebook']['cells']):
            raise ValueError(f'Cell {entry["cell"]!r} is said to have tasks that are not there.')
        if sum(len(part) for part in parse_rows(entry['tasks'])) > total:
            raise ValueError(f'Cell {entry["cell"]!r} is said to have more tasks than there are.')


def _check_model(model: QueueModel) -> None:
    head: Json = model.head
    for key in ('groups', 'apps', 'managers', 'workers', 'versions'):
        if not isinstance(head[key], list) or not all(isinstance(item, dict) for item in head[key]):
            raise TypeError(f'{key!r} is no list of objects.')
    if not isinstance(model.lines, list) or not all(isinstance(line, str) for line in model.lines):
        raise TypeError("'tasks' is no list of lines.")
    for key in ('name', 'total', 'counts', 'blocked', 'busy', 'as_of', 'others'):
        head[key]
    for group in head['groups']:
        head['apps'][group['app']], head['managers'][group['manager']], str(group['name'])
    for app in head['apps']:
        str(app['id']), app['parts'].items(), app['source'].split, app['kind'], app['versions']
