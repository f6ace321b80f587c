"""Make the functions that cells stand for."""

from __future__ import annotations
import __future__

import ast
import builtins
import functools
import tokenize
import warnings
from collections.abc import Sequence
from types import CodeType, FunctionType
from typing import Any

from ..serialize import source
from .names import Names, rebound
from .syntax import identifier, syntax_error

SHOW = ' show'  # no name that a cell could bind
DEFINE = ' define'
_FUTURES = functools.reduce(
    int.__or__, (getattr(__future__, name).compiler_flag for name in __future__.all_feature_names)
)


def compile_cell(tree: ast.Module, file: str, flags: int) -> CodeType:
    """Compile a cell as it is, for the names in it."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # they are given when the function is compiled
        try:
            code: CodeType = compile(tree, file, 'exec', flags=flags & _FUTURES, dont_inherit=True)
        except SyntaxError as exc:  # `return` outside of a function, and the like
            raise syntax_error(exc) from None
    return code


def make_function_node(
    tree: ast.Module,
    name: str,
    parameters: Sequence[str],
    outputs: Sequence[str],
    text: str,
    names: Names,
) -> ast.FunctionDef:
    """Put the statements of a cell into the body of a function."""
    if 'global' in text or 'class' in text:
        _scope(tree, names.bound | set(parameters))
    body = tree.body
    last = body[-1] if body else None
    if isinstance(last, ast.Expr) and not _is_quiet(text):
        last.value = ast.copy_location(
            ast.Call(ast.copy_location(ast.Name(SHOW, ast.Load()), last.value), [last.value], []),
            last.value,
        )
    if 'def' in text or 'class' in text:
        body[:] = _Defining().visit(tree).body
    lines = text.count('\n') + 1
    _add_return(body, outputs, lines)
    at_first_line: Any = {'lineno': 1, 'col_offset': 0, 'end_col_offset': 0}
    parameter_nodes = [ast.arg(item, **at_first_line, end_lineno=1) for item in parameters]
    arguments = ast.arguments([], parameter_nodes, None, [], [], None, [])
    function = ast.FunctionDef(
        identifier(name), arguments, body or [ast.Pass()], [], **at_first_line, end_lineno=lines
    )
    if 'type_params' in ast.FunctionDef._fields:
        function.type_params = []  # type: ignore[attr-defined]
    return function


def _add_return(body: list[ast.stmt], outputs: Sequence[str], lines: int) -> None:
    """End the body by a return of the outputs: one value, or a dictionary of several."""
    if not outputs:
        return
    values: list[ast.expr] = [ast.Name(item, ast.Load()) for item in outputs]
    keys: list[ast.expr | None] = [ast.Constant(item) for item in outputs]
    value = values[0] if len(outputs) == 1 else ast.Dict(keys, values)
    back = ast.Return(value, lineno=lines, col_offset=0, end_lineno=lines, end_col_offset=0)
    # Under the last statement: a cell that did not assign what it promised fails there.
    if body:
        ast.copy_location(back, body[-1])
    body.append(ast.fix_missing_locations(back))


def _scope(tree: ast.Module, local: set[str] | frozenset[str]) -> None:
    """Make local in the cell's function what was global in the cell."""
    scoped = _Scoped(local)
    body = scoped.visit(tree).body
    # `nonlocal` wants a binding around it; one that is never run will do.
    body[:0] = [
        ast.If(
            ast.Constant(False), [ast.Assign([ast.Name(item, ast.Store())], ast.Constant(None))], []
        )
        for item in sorted(scoped.rebound)
    ]
    ast.fix_missing_locations(tree)


class _Scoped(ast.NodeTransformer):
    """Rewrites global names of a cell to local ones.

    Nested functions that rebind one declare it ``nonlocal``; classes that do are given its value.
    """

    def __init__(self, local: set[str] | frozenset[str]) -> None:
        self._local = local
        self._depth = 0
        self.rebound: set[str] = set()

    def visit_Global(self, node: ast.Global) -> Any:
        if not self._depth:
            return None
        self.rebound.update(node.names)
        return ast.copy_location(ast.Nonlocal(node.names), node)

    def _nested(self, node: Any) -> Any:
        self._depth += 1
        try:
            return self.generic_visit(node)
        finally:
            self._depth -= 1

    visit_FunctionDef = visit_AsyncFunctionDef = visit_Lambda = _nested

    def visit_ClassDef(self, node: ast.ClassDef) -> Any:
        if self._depth:
            return self._nested(node)
        # `size = size` in its body: a name that a class binds is looked for in the class and in the
        # module, and in no function between.
        both = [
            name
            for name in rebound(compile(ast.Module([node], []), '', 'exec', dont_inherit=True))
            if name in self._local
        ]
        node = self._nested(node)
        node.body[:0] = [
            ast.Assign([ast.Name(name, ast.Store())], ast.Name(f'{name} outside', ast.Load()))
            for name in both
        ]
        return [
            *(
                ast.Assign([ast.Name(f'{name} outside', ast.Store())], ast.Name(name, ast.Load()))
                for name in both
            ),
            node,
        ]


class _Defining(ast.NodeTransformer):
    """Registers what the cell defines by :func:`desipipe.display.define`.

    In the cell's function it would be local, and unknown to other processes.
    """

    def visit_FunctionDef(self, node: Any) -> Any:
        registration = ast.Expr(
            ast.Call(
                ast.Name(DEFINE, ast.Load()),
                [ast.Constant(node.name), ast.Name(node.name, ast.Load())],
                [],
            )
        )
        return [node, ast.fix_missing_locations(ast.copy_location(registration, node))]

    visit_AsyncFunctionDef = visit_ClassDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> Any:
        return node


def _is_quiet(text: str) -> bool:
    """Return True if the text ends in a semicolon, as in IPython."""
    if ';' not in text:
        return False
    last = ''
    lines = iter(text.split('\n', 1)[1].splitlines(keepends=True))
    for token in tokenize.generate_tokens(lambda: next(lines, '')):
        if token.type not in (
            tokenize.COMMENT,
            tokenize.NL,
            tokenize.NEWLINE,
            tokenize.ENDMARKER,
            tokenize.INDENT,
            tokenize.DEDENT,
        ):
            last = token.string
    return last == ';'


def make_function(
    node: ast.FunctionDef, file: str, text: str, used: dict[str, Any], flags: int
) -> FunctionType:
    """Compile the function of a cell, and register its source."""
    module = ast.Module([node], [])
    code = compile(module, file, 'exec', flags=flags & _FUTURES, dont_inherit=True)
    inner = next(item for item in code.co_consts if isinstance(item, CodeType))
    source.register(inner, node, text)
    func = FunctionType(inner, {**used, '__builtins__': builtins}, node.name)
    func.__module__ = '__main__'
    return func
