"""Files of a crate, in a folder or a zip archive."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import orjson

from ...errors import RecordError
from ..archives import zip_bytes
from ..digests import ADDED, DIGESTS, KEY, METADATA, RECORD, digests_bytes, plain_bytes
from ..model import QueueModel
from ..notebook import DIFF
from ..notebook_files import write
from ..prov import prov_bytes
from ..svg import draw_graph, graph_of
from ..timeline_svg import draw_timeline, timeline_of
from .entities import CHANGES, NOTEBOOK, app_file, safe_name
from .metadata import metadata_bytes

if TYPE_CHECKING:
    from ..documents import Notebook


def write_crate(path: str, record: Notebook, models: Sequence[QueueModel], data: bytes) -> None:
    """Write a crate.

    Parameters
    ----------
    path : str
        A new folder, or a file that ends in ``.zip``.
    record : dict
        The record, as a notebook.
    models : sequence of QueueModel
    data : bytes
        The record's file.

    Raises
    ------
    RecordError
        The folder is there, and not empty.
    MissingDependencyError
        ``rocrate`` is not installed.
    """
    files = crate_files(record, models, data)
    if path.endswith('.zip'):
        write(path, zip_bytes(files))
        return
    if (
        os.path.isdir(path)
        and os.listdir(path)
        and not os.path.exists(os.path.join(path, METADATA))
    ):
        raise RecordError(
            f'{path} is a folder with other things in it. No crate was written. Name a new folder, '
            'or a file that ends in .zip.'
        )
    if os.path.exists(path) and not os.path.isdir(path):
        raise RecordError(
            f'{path} is a file, and no folder. No crate was written. Name a new folder, or a file '
            'that ends in .zip.'
        )
    if os.path.isdir(path):
        _remove_old(path, files)
    for name, content in files.items():
        write(os.path.join(path, name), content)


def _remove_old(path: str, files: Mapping[str, bytes]) -> None:
    # Of the crate that was there: what is on its own list, and not written again.
    try:
        with open(os.path.join(path, DIGESTS), 'rb') as file:
            names = orjson.loads(file.read())['files']
    except (OSError, ValueError, KeyError, TypeError):
        raise RecordError(
            f'{path} holds a crate that was not written here. Nothing was written. Name a new '
            'folder, or a file that ends in .zip.'
        ) from None
    for name in names:
        full = os.path.realpath(os.path.join(path, name))
        if (
            name not in files
            and full.startswith(os.path.realpath(path) + os.sep)
            and os.path.isfile(full)
        ):
            os.unlink(full)


def crate_files(record: Notebook, models: Sequence[QueueModel], data: bytes) -> dict[str, bytes]:
    """Return the files of a crate by name; the same for the same record."""
    document = record['metadata'][KEY]
    files = {
        RECORD: data,
        NOTEBOOK: plain_bytes(_original(record)),
        'prov.json': prov_bytes(document, models),
        'graph.svg': draw_graph(graph_of(models)).encode(),
        'timeline.svg': draw_timeline(timeline_of(models)).encode(),
    }
    if DIFF in document['made']:
        files[CHANGES] = document['made'][DIFF].encode()
    for model in models:
        for app in model.head['apps']:
            files[app_file(app)] = (app['source'] or '\n').encode('utf-8', 'backslashreplace')
        for number, versions in enumerate(model.head['versions']):
            files[f'environment/{safe_name(model.head["name"])}-{number:d}.txt'] = ''.join(
                f'{name}={value}\n' for name, value in versions.items()
            ).encode()
    files[METADATA] = metadata_bytes(document, models, files)
    files[DIGESTS] = digests_bytes(files)
    return files


def _original(record: Notebook) -> dict[str, object]:
    notebook = {key: value for key, value in record.items() if key not in ('cells', 'metadata')}
    notebook['metadata'] = {key: value for key, value in record['metadata'].items() if key != KEY}
    notebook['cells'] = [
        copy.copy(cell)
        for cell in record['cells']
        if ADDED not in (cell.get('metadata', {}).get('tags') or ())
    ]
    return notebook
