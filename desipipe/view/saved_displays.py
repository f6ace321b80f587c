"""Save what a task displayed as files that other programs open."""

from __future__ import annotations

import binascii
import json
import os
from base64 import b64decode
from typing import Any, NamedTuple

from ..io import atomic_write
from ..queue.ledger import Ledger
from ..queue.output import displays
from .task_summary import task_name

# Forms that a program opens, the richest first; images and the like are base64, text/plain is
# written where there is nothing else.
_ENDINGS = {
    'text/html': '.html',
    'image/svg+xml': '.svg',
    'image/png': '.png',
    'image/jpeg': '.jpg',
    'image/gif': '.gif',
    'application/pdf': '.pdf',
    'text/markdown': '.md',
    'text/latex': '.tex',
    'application/vnd.plotly.v1+json': '.plotly.json',
    'application/json': '.json',
    'application/javascript': '.js',
}
DISPLAYS_MAX = 1000  # of one task; each is a file or several, that are synced one by one
_NAME_MAX = 100  # characters of a task's name in that of a file
_ENCODED = ('image/png', 'image/jpeg', 'image/gif', 'application/pdf')


class Saved(NamedTuple):
    """The files that were written."""

    paths: list[str]
    left_out: int
    """Displays beyond `DISPLAYS_MAX`, which were not written."""


def save_displays(ledger: Ledger, row: int, folder: str) -> Saved:
    """Write what a task displayed to files.

    Parameters
    ----------
    ledger : Ledger
        As it was last followed.
    row : int
    folder : str
        Made where it is not there.

    Returns
    -------
    saved : Saved
        Files ``NAME-INDEX-NUMBER.ENDING``, one for each form of each display. Files of these names
        are written over.
    """
    shown = displays(ledger, row)
    name = (
        ''.join(
            letter if letter.isalnum() or letter in '._-' else '_'
            for letter in task_name(ledger, row)[:_NAME_MAX]
        )
        or 'task'
    )
    paths: list[str] = []
    if shown:
        os.makedirs(folder, exist_ok=True)
    for number, output in enumerate(shown[:DISPLAYS_MAX], 1):
        data = output['data']
        kinds = [mime for mime in data if mime != 'text/plain'] or list(data)
        for mime in kinds:
            path = os.path.join(
                folder, f'{name}-{ledger.state.index[row]:d}-{number:02d}{_ending(mime)}'
            )
            with atomic_write(path) as file:
                file.write(file_bytes(mime, data[mime]))
            paths.append(path)
    return Saved(paths, max(0, len(shown) - DISPLAYS_MAX))


def _ending(mime: str) -> str:
    if mime in _ENDINGS:
        return _ENDINGS[mime]
    return '.json' if mime.endswith('json') else '.txt'


def file_bytes(mime: str, value: Any) -> bytes:
    """Return one form of a display as the bytes of a file.

    Parameters
    ----------
    mime : str
    value : object
        As nbformat has it.
    """
    if not isinstance(value, str):
        return json.dumps(value, indent=1).encode()
    if mime not in _ENCODED:
        return value.encode('utf-8', 'surrogatepass')
    try:
        return b64decode(value)
    except (binascii.Error, ValueError):
        return value.encode()
