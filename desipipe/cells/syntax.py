"""Read the text of a cell: its syntax tree, and what cannot be a task."""

from __future__ import annotations

import ast
import hashlib
import importlib
import keyword
import re
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from ..errors import CellError
from ..queue.app import App

CODE_TYPES = (FunctionType, BuiltinFunctionType, type, ModuleType, App)


# --------------------------------------------------------------------------------------------------
# Reading


def source_name(name: str, text: str) -> str:
    """Return a file name for the text of a cell, one for each text."""
    return f'<%%desipipe {name} {hashlib.blake2b(text.encode(), digest_size=4).hexdigest()}>'


def syntax_error(exc: SyntaxError) -> CellError:
    """Return the error of a cell that is not Python."""
    line = (exc.text or '').rstrip('\n')
    shown = f'\n    {line}\n    {" " * max((exc.offset or 1) - 1, 0)}^' if line.strip() else ''
    return CellError(f'Line {exc.lineno or 1:d} of the cell: {exc.msg}. Nothing was added.{shown}')


def parse_text(text: str, file: str) -> ast.Module:
    """Parse the text of a cell, and refuse what no worker can run."""
    try:
        tree = ast.parse(text, file)
    except SyntaxError as exc:
        shell_line = _shell_line(text)
        if shell_line:
            raise CellError(
                f'Line {shell_line[0]:d} of the cell ({shell_line[1]}) is for IPython, which a '
                'worker does not have. Nothing was added. '
                'Put it into a cell of its own above, or write a cell for the shell with: '
                '%%desipipe --bash'
            ) from None
        raise syntax_error(exc) from None
    if ('await' in text or 'async' in text) and (awaited := _first_await(tree)):
        raise CellError(
            f'Line {awaited:d} of the cell awaits something outside of a function: a worker has no '
            'event loop running. Nothing was added. '
            'Write: import asyncio; asyncio.run(...)'
        )
    return tree


def _shell_line(text: str) -> tuple[int, str] | None:
    """Number and text of the first line that only IPython understands."""
    from IPython.core.inputtransformer2 import TransformerManager

    try:
        changed = (
            TransformerManager().transform_cell(f'pass{text}').splitlines()
        )  # it takes empty lines away from the beginning
    except SyntaxError:
        return None
    for number, (before, after) in enumerate(zip(text.splitlines(), changed, strict=False), 1):
        if number > 1 and before != after and 'get_ipython()' in after:
            return number, before.strip()
    return None


def _first_await(tree: ast.Module) -> int:
    todo: list[ast.AST] = list(tree.body)
    lines = []
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Await | ast.AsyncFor | ast.AsyncWith) or (
            isinstance(node, ast.comprehension) and node.is_async
        ):
            lines.append(node.target.lineno if isinstance(node, ast.comprehension) else node.lineno)
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            todo += ast.iter_child_nodes(node)
    return min(lines, default=0)


def expand_stars(tree: ast.Module) -> None:
    """Write out ``from module import *``, which no function may hold.

    It becomes the names that the cell uses.
    """
    read = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.names[0].name == '*':
            try:
                module: Any = importlib.import_module('.' * node.level + (node.module or ''))
            except ImportError as exc:
                raise CellError(
                    f'Line {node.lineno:d} of the cell takes all names of {node.module}, which '
                    f'cannot be imported here ({exc}), so that they are not known. '
                    f'Nothing was added. Name them: from {node.module} import a, b'
                ) from None
            public = getattr(module, '__all__', None) or [
                key for key in vars(module) if not key.startswith('_')
            ]
            node.names = [
                ast.copy_location(ast.alias(key), node) for key in sorted(read & set(public))
            ] or [ast.copy_location(ast.alias(public[0]), node)]


def tolerated_names(tree: ast.Module) -> set[str]:
    """Names that are read to see whether they exist: in a ``try`` that catches it."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Try):
            caught = {
                item.id
                for handler in node.handlers
                if handler.type
                for item in ast.walk(handler.type)
                if isinstance(item, ast.Name)
            }
            if caught & {'NameError', 'Exception', 'BaseException'} or any(
                handler.type is None for handler in node.handlers
            ):
                names.update(
                    item.id
                    for part in node.body
                    for item in ast.walk(part)
                    if isinstance(item, ast.Name)
                )
    return names


def identifier(name: str) -> str:
    """Return the name of the function of a cell: its title as an identifier."""
    word = re.sub(r'\W', '_', name)
    return f'_{word}' if not word.isidentifier() or keyword.iskeyword(word) else word
