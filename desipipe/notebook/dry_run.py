"""Compare the tasks that a cell would add now with those that it added."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from ..cells.cell_inputs import Import
from ..cells.function import Cell, calls, make_cell, make_shell_cell
from ..cells.options import parse_cell
from ..queue.app import App
from ..queue.ledger import Ledger
from ..serialize import text

_BYTES_MAX = 4_000_000  # of one value; digests of larger ones take long
_ITEMS_MAX = 10_000
_NAMES_SAFE = (ast.Expression, ast.Name, ast.Load, ast.Constant, ast.List, ast.Tuple, ast.UnaryOp)
_PLAIN = (list, tuple, range, dict, str)


def find_changed_value(
    shell: Any,
    source: str,
    ledger: Ledger,
    rows: list[int],
    imported: Mapping[str, Import],
    kept: Mapping[tuple[str, str], Any],
) -> str:
    """Return which value makes a cell another one than ran; empty where none does.

    Parameters
    ----------
    shell : IPython.core.interactiveshell.InteractiveShell
    source : str
        Text of the cell.
    ledger : Ledger
        Of its tasks.
    rows : list of int
        Its tasks.
    imported, kept : mapping
        As for :func:`~desipipe.cells.function.make_cell`.
    """
    line, _, body = source.partition('\n')
    line = line.partition('%%desipipe')[2]
    args = parse_cell(line)
    if args.name or args.skip or not all(map(_is_safe, args.sweeps.values())):
        return ''  # taken whatever their code, or what is swept may be used up by looking
    first, namespace = f'%%desipipe {line.lstrip()}', shell.user_ns
    title, swept = args.title, tuple(args.sweeps)
    if args.bash:
        cell = make_shell_cell(first, body, namespace, title, args.out, swept)
    else:
        flags = shell.compile.flags
        cell = make_cell(first, body, namespace, title, args.out, swept, flags, imported, kept)
    helpers = getattr(cell.func, '__globals__', {})
    if any(map(_is_large, [*cell.inputs.values(), *helpers.values()])):
        return ''
    ranges = {name: shell.ev(expression) for name, expression in args.sweeps.items()}
    if any(not isinstance(values, _PLAIN) for values in ranges.values()):
        return ''
    return _difference(cell, calls(cell, ranges, args.zip), ledger, rows)


def _difference(
    cell: Cell, arguments: list[dict[str, Any]], ledger: Ledger, rows: list[int]
) -> str:
    app = App(cell.func, 'cell')
    ids = [app.identity(one) for one in (arguments[0], arguments[-1])]
    state = ledger.state
    if len(arguments) == len(rows) and ids == [state.ids[rows[0]], state.ids[rows[-1]]]:
        return ''
    before = ledger.arguments(rows[0])
    for name, value in cell.inputs.items():
        if name in before and text(value) != before[name]:
            return f'`{name}` has another value than when it ran'
    return 'a value that it reads is another one than when it ran'


def _is_safe(expression: str) -> bool:
    """Return True if evaluating an expression changes nothing.

    That are names, literals and ranges of them.
    """
    tree = ast.parse(expression, mode='eval')
    body = tree.body
    if isinstance(body, ast.Call) and getattr(body.func, 'id', '') == 'range' and not body.keywords:
        return all(isinstance(item, ast.Name | ast.Constant) for item in body.args)
    return all(isinstance(item, (*_NAMES_SAFE, ast.unaryop)) for item in ast.walk(tree))


def _is_large(value: object) -> bool:
    try:
        size = getattr(value, 'nbytes', 0)
        return (isinstance(size, int) and size > _BYTES_MAX) or (
            isinstance(value, _PLAIN) and len(value) > _ITEMS_MAX
        )
    except Exception:  # of the user's own class
        return True
