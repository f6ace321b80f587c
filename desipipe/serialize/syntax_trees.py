"""Digests of syntax trees: what code means, without how it is written."""

from __future__ import annotations

import ast
from typing import Any

from .plain import digest, plain_text

__all__ = ['BODIES', 'FunctionNode', 'tree']

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
BODIES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Module)
# What differs between versions of Python, or says nothing about what the code does.
_SKIPPED = frozenset(('ctx', 'type_comment', 'type_ignores', 'kind', 'returns'))


def tree(node: ast.AST, decorators: bool = True, defaults: bool = True) -> bytes:
    """Digest of a normalised syntax tree.

    Formatting, comments, positions, documentation strings and annotations of functions don't matter
    to it.

    Parameters
    ----------
    node : ast.AST
    decorators : bool, default=True
        True if the decorators of ``node`` itself count.
    defaults : bool, default=True
        True if the default values of the arguments of ``node`` itself count.

    Returns
    -------
    digest : bytes
    """
    left = set()
    if not decorators:
        left.add(id(getattr(node, 'decorator_list', None)))
    if not defaults and isinstance(node, FunctionNode):
        left |= {id(node.args.defaults), id(node.args.kw_defaults)}
    out: list[str] = []
    _write(node, out, left, False)
    return digest(''.join(out).encode())


def _write(node: Any, out: list[str], left: set[int], in_function: bool) -> None:
    if isinstance(node, list):
        out.append('[')
        for item in node:
            _write(item, out, left, in_function)
        out.append(']')
    elif not isinstance(node, ast.AST):
        # What stands in a tree apart from nodes: names, constants, None in the lists of keys and
        # defaults.
        out.append(f'{type(node).__name__}:{plain_text(node) or ascii(node)};')
    else:
        out.append(f'({type(node).__name__}')
        fields: list[tuple[str, Any]] = [(name, getattr(node, name, None)) for name in node._fields]
        if isinstance(node, BODIES):
            in_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            fields = [
                (name, value[1:] if name == 'body' and _documented(value) else value)
                for name, value in fields
            ]
        for name, value in fields:
            if name in _SKIPPED or id(value) in left:
                continue
            if name == 'annotation' and (isinstance(node, ast.arg) or in_function):
                continue  # those of class bodies make the fields of dataclasses
            if value is None or value == []:
                # newer versions of Python added fields; a constant without a value is None
                continue
            out.append(f' {name}=')
            _write(value, out, left, in_function)
        out.append(')')


def _documented(body: list[ast.stmt]) -> bool:
    return (
        bool(body)
        and isinstance(body[0], ast.Expr)
        and isinstance(body[0].value, ast.Constant)
        and isinstance(body[0].value.value, str)
    )
