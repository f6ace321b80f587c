"""Parameters of notebooks and scripts, as papermill has them."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import (
    UnknownOptionError,
    close_names,
)
from .notebook_files import read_bytes
from .sources import source_of

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from .documents import Notebook

Parameters = dict[str, object]
"""Values of parameters by name: what YAML holds."""
Say = Callable[[str], None]

PARAMETERS = 'parameters'
INJECTED = 'injected-parameters'
ERROR = 'papermill-error-cell-tag'


# Parameters


def parse_parameters(pairs: Sequence[str], raw: Sequence[str], files: Sequence[str]) -> Parameters:
    """Read parameters as people type them; later ones count.

    Parameters
    ----------
    pairs : sequence of str
        ``'name=value'``, the value in YAML.
    raw : sequence of str
        ``'name=text'``.
    files : sequence of str
        YAML files.

    Returns
    -------
    parameters : dict

    Raises
    ------
    UnknownOptionError
        Something else was typed.
    """
    import yaml

    values: Parameters = {}
    for path in files:
        try:
            loaded = yaml.safe_load(read_bytes(path))
        except yaml.YAMLError as exc:
            raise UnknownOptionError(f'{path} is no YAML: {exc}; nothing was run') from None
        if not isinstance(loaded, dict):
            raise UnknownOptionError(
                f'{path} must hold names and values, such as "size: 1000"; nothing was run'
            )
        values.update(loaded)
    for text, is_raw in [*((pair, False) for pair in pairs), *((pair, True) for pair in raw)]:
        name, equals, value = text.partition('=')
        name = name.strip()
        if not equals or not name.isidentifier():
            raise UnknownOptionError(
                f'{text!r} is no parameter: write name=value, as in -p size=1000; nothing was run'
            )
        if is_raw:
            values[name] = value
            continue
        try:
            values[name] = yaml.safe_load(value)
        except yaml.YAMLError:
            values[name] = value
    return values


def check_parameters(notebook: Notebook, parameters: Mapping[str, Any], say: Say) -> None:
    """Complain about parameters that the notebook does not have.

    Raises
    ------
    UnknownOptionError
        With the nearest ones.
    """
    if not parameters:
        return
    cells = [cell for cell in notebook['cells'] if PARAMETERS in cell_tags(cell)]
    if not cells:
        say('no cell of the notebook is tagged "parameters": what was given stands at its top')
        return
    try:
        tree = ast.parse(source_of(cells[0]))
    except SyntaxError:
        return
    names = {
        item.id
        for node in tree.body
        for target in _targets(node)
        for item in ast.walk(target)
        if isinstance(item, ast.Name)
    }
    for name in parameters:
        if name not in names:
            raise UnknownOptionError(
                f'Nothing was run. The notebook has no parameter {name!r}: '
                f'{close_names(name, names)}'
            )


def _targets(node: ast.stmt) -> Iterable[ast.expr]:
    if isinstance(node, ast.Assign):
        return node.targets
    return [node.target] if isinstance(node, ast.AnnAssign | ast.AugAssign) else []


def cell_tags(cell: Mapping[str, Any]) -> list[str]:
    """Return the tags of a cell."""
    return list(cell.get('metadata', {}).get('tags') or ())


def inject(notebook: NotebookNode, parameters: Mapping[str, Any]) -> None:
    """Put a cell with parameters below the one that is tagged ``parameters``.

    It takes the place of one that was put there before.
    """
    import nbformat

    cells = [cell for cell in notebook.cells if ERROR not in cell_tags(cell)]
    lines = ['# Parameters', *(f'{name} = {_literal(value)}' for name, value in parameters.items())]
    at = next((i for i, cell in enumerate(cells) if INJECTED in cell_tags(cell)), None)
    if at is not None:
        del cells[at]
    else:
        at = next((i + 1 for i, cell in enumerate(cells) if PARAMETERS in cell_tags(cell)), 0)
    if parameters:
        cell = nbformat.v4.new_code_cell(
            '\n'.join(lines), metadata={'tags': [INJECTED]}, id=INJECTED
        )
        if notebook.nbformat_minor < 5:
            del cell['id']
        cells.insert(at, cell)
    notebook.cells = cells


def _literal(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return f"float('{value}')"
    if isinstance(value, dict):
        return (
            '{'
            + ', '.join(f'{_literal(key)}: {_literal(item)}' for key, item in value.items())
            + '}'
        )
    if isinstance(value, list):
        return '[' + ', '.join(map(_literal, value)) + ']'
    return repr(value) if isinstance(value, int | float | str | bool | None) else repr(str(value))
