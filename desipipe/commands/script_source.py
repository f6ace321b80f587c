"""Read scripts and notebooks, with the line of each statement."""

from __future__ import annotations

import ast
import json
import re
from typing import NamedTuple

from ..errors import RecordError

SOURCE_MAX_BYTES = 20_000_000
_MAGIC = re.compile(r'\s*[%!?]')
_OF_PYTHON = ('%%time', '%%timeit', '%%capture', '%%prun')


class Place(NamedTuple):
    """A piece of Python: a script, or a cell of a notebook."""

    label: str
    lines: list[str]
    python: bool = True


def read_sources(path: str) -> list[Place]:
    """Read the statements of a script, or of each cell of a notebook."""
    try:
        with open(path, encoding='utf-8') as file:
            text = file.read(SOURCE_MAX_BYTES + 1)
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else 'it is no text'
        raise RecordError(f'{path} cannot be read ({reason}). Nothing was looked at.') from None
    if len(text) > SOURCE_MAX_BYTES:
        raise RecordError(f'{path} is larger than 20 MB. Nothing was looked at.')
    if not path.endswith('.ipynb'):
        return [Place(f'{path}:', text.split('\n'))]
    try:
        cells = json.loads(text)['cells']
        codes = [item for item in enumerate(cells, 1) if item[1]['cell_type'] == 'code']
        sources = [(number, ''.join(cell['source'])) for number, cell in codes]
    except (ValueError, LookupError, TypeError, RecursionError):
        raise RecordError(f'{path} is no notebook. Nothing was looked at.') from None
    return [_cell(path, number, source) for number, source in sources]


def _cell(path: str, number: int, source: str) -> Place:
    lines = source.split('\n')
    label = f'{path}: cell {number:d}, line '
    python = not lines[0].startswith('%%') or lines[0].split()[0] in _OF_PYTHON
    return Place(label, lines, python)


def parse_source(source: Place) -> ast.Module:
    """Parse a script or a cell, with lines for IPython left out."""
    if not source.python:
        return ast.Module([], [])
    notebook = not source.label.endswith(':')
    lines = ['' if notebook and _MAGIC.match(line) else line for line in source.lines]
    try:
        return ast.parse('\n'.join(lines))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as exc:
        line = getattr(exc, 'lineno', None) or 1
        problem = f'{source.label}{line:d} is no Python ({exc})'
        raise RecordError(f'{problem}. Nothing was looked at.') from None
