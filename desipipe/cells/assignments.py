"""Names that the statements of a cell assign."""

from __future__ import annotations

import ast
import keyword
from collections.abc import Iterable, Sequence
from typing import Any

from ..errors import CellError, DesipipeError, close_names
from ..queue.future import Future
from ..queue.future_list import FutureList
from .names import Names
from .syntax import identifier


def last_assigned(tree: ast.Module) -> tuple[str, ...]:
    """Return the names that the last assigning statement of a cell assigns."""
    last: tuple[int, int, str] | None = None
    for node in _statements(tree.body):
        for target in _targets(node):
            position = (target.lineno, target.col_offset, target.id)
            last = max(last, position) if last else position
    return (last[2],) if last else ()


def _statements(body: Iterable[ast.AST]) -> Iterable[ast.AST]:
    for node in body:
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            yield from _statements(ast.iter_child_nodes(node))


def _targets(node: ast.AST) -> Iterable[ast.Name]:
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AugAssign | ast.NamedExpr) or (
        isinstance(node, ast.AnnAssign) and node.value is not None
    ):
        targets = [node.target]
    for target in targets:
        for item in ast.walk(target):
            if isinstance(item, ast.Name) and isinstance(item.ctx, ast.Store):
                yield item


def check_outputs(outputs: Sequence[str], names: Names) -> None:
    """Refuse outputs that the cell does not assign."""
    for name in outputs:
        if not name.isidentifier() or keyword.iskeyword(name):
            raise CellError(f'--out {name}: This is no name for a variable. Nothing was added.')
        if name not in names.bound:
            near = close_names(name, sorted(names.bound))
            raise CellError(
                f'--out {name}: The cell never assigns {name!r}. Nothing was added. '
                f'{near[:1].upper()}{near[1:]}{"" if near.endswith("?") else "."}'
            )
    if len(set(outputs)) < len(outputs):
        raise CellError(f'--out {" ".join(outputs)}: A name occurs twice. Nothing was added.')


def is_task_of(value: Any, title: str) -> bool:
    """Return True for a value that this cell put there when it ran before.

    Read where it may be bound by then, it would make another task of each run.
    """
    futures = value if isinstance(value, list | FutureList) else [value]
    if not futures or not isinstance(futures[0], Future):
        return False
    try:
        return futures[0].task.name in (title, identifier(title))
    except DesipipeError:  # of a queue that was deleted or cleared since: nothing to wait for
        return True
