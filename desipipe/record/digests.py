"""Digests of records: of the whole, of its parts, of files."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import orjson

from .model_types import Json
from .pieces import VERSION

if TYPE_CHECKING:
    from .documents import Notebook


KEY = 'desipipe_record'
"""Key of the record in a notebook's metadata."""
ADDED = 'desipipe-record'
"""Tag of the cells that a record adds."""
RECORD = 'pipeline.record.ipynb'
METADATA = 'ro-crate-metadata.json'
DIGESTS = 'desipipe-digests.json'
"""Names of a crate's files of digests."""

_DIGEST = re.compile(rb'"file_digest": "sha256:([0-9a-f]{64})"')
NO_DIGEST = b'0' * 64
_VIEW = ('id', 'cell_type', 'source', 'outputs', 'execution_count', 'attachments')


# Notebooks


def content_digest(notebook: Json) -> str:
    """Compute the digest of a record: all cells, and the record itself.

    How the file is laid out does not count, nor what is folded or trusted in someone's view.

    Parameters
    ----------
    notebook : dict

    Returns
    -------
    digest : str
        ``'sha256:…'``.
    """
    cells = []
    for cell in notebook['cells']:
        metadata = cell.get('metadata', {})
        cells.append(
            {
                **{key: cell[key] for key in _VIEW if key in cell},
                'metadata': {key: metadata[key] for key in ('tags', KEY) if key in metadata},
            }
        )
    record = notebook['metadata'][KEY]
    covered = {
        'cells': cells,
        KEY: {
            key: value
            for key, value in record.items()
            if key not in ('content_digest', 'file_digest')
        },
    }
    return (
        'sha256:' + hashlib.sha256(orjson.dumps(covered, option=orjson.OPT_SORT_KEYS)).hexdigest()
    )


def part_digests(notebook: Json) -> dict[str, str]:
    """Compute the digests of the parts of a record, by what each is called.

    So that what was changed can be named.

    Parameters
    ----------
    notebook : dict

    Returns
    -------
    digests : dict
        Of the cells of the notebook (text, outputs, attachments), of the tables, and of all members
        of the record.
    """
    parts: dict[str, object] = {}
    number = tables = 0
    for cell in notebook['cells']:
        if ADDED in (cell.get('metadata', {}).get('tags') or ()):
            tables += 1
            parts[f'table {tables:d}'] = [
                cell.get(key) for key in ('id', 'cell_type', 'source', 'outputs', 'attachments')
            ]
        else:
            number += 1
            parts.update(_cell_parts(cell, number))
    parts.update(
        {
            f'{key!r} of the metadata': value
            for key, value in notebook['metadata'].items()
            if key != KEY
        }
    )
    document = notebook['metadata'][KEY]
    own = ('content_digest', 'file_digest', 'parts', 'queues')
    parts.update(
        {f'{key!r} of the record': value for key, value in document.items() if key not in own}
    )
    for queue in document['queues']:
        parts.update(_queue_parts(queue))
    return {
        label: hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]
        for label, value in parts.items()
    }


def _cell_parts(cell: Json, number: int) -> dict[str, object]:
    """Return the parts of a cell of the notebook, by what each is called."""
    names = {
        'source': 'the text',
        'outputs': 'the outputs',
        'attachments': 'the attachments',
        'cell_type': 'the type',
        'id': 'the id',
    }
    return {
        **{f'{term} of cell {number:d}': cell[key] for key, term in names.items() if key in cell},
        f'the execution count and tags of cell {number:d}': [
            cell.get('execution_count'),
            cell.get('metadata', {}).get('tags'),
        ],
        f'the metadata of cell {number:d}': cell.get('metadata'),
    }


def _queue_parts(queue: Json) -> dict[str, object]:
    """Return the members of the record of a queue, and their entries."""
    parts: dict[str, object] = {}
    for key, value in queue.items():
        # Tasks are named by their own check sums, too.
        entries = value if isinstance(value, list) and key != 'tasks' else [value]
        for index, entry in enumerate(entries):
            label = f' {index:d}' if entries is value else ''
            parts[f'{key!r}{label} of the queue {queue.get("name")}'] = entry
        if entries is value:
            parts[f'the number of {key!r} of the queue {queue.get("name")}'] = len(entries)
    return parts


def file_digest(data: bytes) -> tuple[str, str]:
    """Return the digest that a record's file has, and the one that it claims.

    Each is empty if it claims none, or several.
    """
    matches = list(_DIGEST.finditer(data))
    if len(matches) != 1:
        return '', ''
    start, end = matches[0].span(1)
    digest = hashlib.sha256(data[:start])
    digest.update(NO_DIGEST)
    digest.update(data[end:])
    return digest.hexdigest(), matches[0][1].decode()


def notebook_bytes(notebook: Notebook) -> bytes:
    """Return a record as a file, digests filled in.

    The same content gives the same bytes.
    """
    record = notebook['metadata'][KEY]
    record['parts'] = part_digests(notebook)
    record['content_digest'] = content_digest(notebook)
    record['file_digest'] = 'sha256:' + NO_DIGEST.decode()
    data = plain_bytes(notebook)
    digest, _ = file_digest(data)
    return data.replace(
        b'"file_digest": "sha256:' + NO_DIGEST, b'"file_digest": "sha256:' + digest.encode(), 1
    )


def plain_bytes(value: object) -> bytes:
    """Return a JSON document as this package writes it."""
    return orjson.dumps(
        value, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    )


def digests_bytes(files: Mapping[str, bytes]) -> bytes:
    """Return the list of a crate's files and their digests, which lies beside them."""
    listed = {
        name: {'size': len(data), 'sha256': hashlib.sha256(data).hexdigest()}
        for name, data in files.items()
        if name != DIGESTS
    }
    document: dict[str, object] = {
        'version': VERSION,
        'files': listed,
        'file_digest': 'sha256:' + NO_DIGEST.decode(),
    }
    data = plain_bytes(document)
    digest, _ = file_digest(data)
    return data.replace(NO_DIGEST, digest.encode(), 1)
