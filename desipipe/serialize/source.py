"""Find the text a code object was compiled from.

Files change after they were imported, notebook cells share names, lambdas share lines: a text
counts only if compiling it gives this very bytecode.
"""

from __future__ import annotations
import __future__

import ast
import functools
import linecache
import os
import textwrap
import threading
import warnings
from types import CodeType
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from .bytecode import fingerprint, nested_codes
from .syntax_trees import BODIES, FunctionNode

_FUTURES = functools.reduce(
    int.__or__, (getattr(__future__, name).compiler_flag for name in __future__.all_feature_names)
)


class Statement(NamedTuple):
    """A statement of a file or cell, not inside of any other."""

    first: int
    last: int
    text: str
    is_import: bool


class Found(NamedTuple):
    """The text of a function, known to be what its code was compiled from."""

    node: FunctionNode
    text: str  # of the whole file or cell
    statements: list[Statement]
    classes: list[ast.ClassDef]

    @property
    def source(self) -> str:
        """Its own lines, for people, with the decorators."""
        return segment(self.text, self.node)

    def excerpt(self) -> dict[int, str]:
        """Statements of the file that this function needs to be found, by first line.

        Lines count from 1.

        The imports are among them: for a name that is imported the compiler writes other bytecode.
        """
        line = self.node.lineno
        return {
            statement.first: statement.text
            for statement in self.statements
            if statement.is_import or statement.first <= line <= statement.last
        }

    def class_source(self, qualname: str) -> str:
        """Lines of the class ``qualname`` of the same file; empty if it is not there."""
        name = qualname.rpartition('.')[2]
        holding = [
            node
            for node in self.classes
            if node.name == name and node.lineno <= self.node.lineno <= (node.end_lineno or 0)
        ]
        return segment(self.text, holding[0]) if holding else ''


def segment(text: str, node: Any, decorators: bool = True) -> str:
    """The lines of a definition, or the characters of a lambda, for people."""
    if isinstance(node, ast.Lambda):
        return ast.get_source_segment(text, node) or ''
    first = _first_line(node) if decorators else node.lineno
    return textwrap.dedent(
        ''.join(text.splitlines(keepends=True)[first - 1 : node.end_lineno])
    ).rstrip()


def _first_line(node: Any) -> int:
    first: int = min([node.lineno, *(item.lineno for item in getattr(node, 'decorator_list', ()))])
    return first


def _is_import(statement: ast.stmt) -> bool:
    return not isinstance(statement, BODIES) and any(
        isinstance(node, ast.Import | ast.ImportFrom) for node in ast.walk(statement)
    )


class _Index(NamedTuple):
    statements: list[Statement]
    classes: list[ast.ClassDef]
    codes: dict[str, list[CodeType]]
    nodes: dict[tuple[str, int], list[FunctionNode]]


_quiet = threading.Lock()


def _compiled(text: str | ast.Module, flags: int) -> Any:
    # What there is to warn about was said when it was compiled first. The filters of warnings are
    # those of all threads.
    with _quiet, warnings.catch_warnings():
        warnings.simplefilter('ignore')
        try:
            return compile(text, '<source>', 'exec', flags=flags, dont_inherit=True)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None  # not Python, or no longer


def parse(text: str) -> ast.Module | None:
    """The syntax tree of a text; None if it is not Python."""
    tree: ast.Module | None = _compiled(text, ast.PyCF_ONLY_AST)
    return tree


@functools.lru_cache(maxsize=1024)
def expression(text: str) -> CodeType | None:
    """Compile the text of an annotation; None if it is no expression."""
    with _quiet, warnings.catch_warnings():
        warnings.simplefilter('ignore')
        try:
            return compile(text.strip(), '<annotation>', 'eval', dont_inherit=True)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


@functools.lru_cache(maxsize=64)
def _index(text: str, flags: int, apart: bool) -> _Index | None:
    """Index a text's functions by their code, compiled with its ``from __future__``.

    ``apart``: statement by statement, as IPython does it. A call of something that the same text
    imports is then compiled otherwise.
    """
    # Cells may hold a top-level await.
    flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    module = parse(text)
    if module is None:
        return None
    compiled = (
        [_compiled(ast.Module([item], []), flags) for item in module.body]
        if apart
        else [_compiled(text, flags)]
    )
    codes: dict[str, list[CodeType]] = {}
    for code in compiled:
        if code is None:
            return None
        for item in nested_codes(code):
            codes.setdefault(item.co_name, []).append(item)
    nodes: dict[tuple[str, int], list[FunctionNode]] = {}
    classes = []
    for node in ast.walk(module):
        if isinstance(node, ast.ClassDef):
            classes.append(node)
        elif isinstance(node, FunctionNode):
            name = '<lambda>' if isinstance(node, ast.Lambda) else node.name
            nodes.setdefault((name, _first_line(node)), []).append(node)
    lines = text.splitlines(keepends=True)
    statements = []
    for statement in module.body:
        first, last = _first_line(statement), statement.end_lineno or statement.lineno
        statements.append(
            Statement(first, last, ''.join(lines[first - 1 : last]), _is_import(statement))
        )
    return _Index(statements, classes, codes, nodes)


# Code objects whose text was found once: the file may be edited while the code lives on. They are
# kept, so that no other gets their id.
_found: dict[int, tuple[CodeType, Found]] = {}


# Functions that were made of a text in which they do not stand as such: the cells of a notebook. As
# long as the code lives.
_registered: WeakKeyDictionary[CodeType, Found] = WeakKeyDictionary()


def register(code: CodeType, node: FunctionNode, text: str) -> None:
    """Register the source of a function that has no text to be found.

    Parameters
    ----------
    code : code
    node : ast.FunctionDef
        What it was compiled from, with the line numbers of ``text``.
    text : str
        What people wrote.
    """
    lines = text.count('\n') + 1
    _registered[code] = Found(node, text, [Statement(1, lines, text, False)], [])
    # For tracebacks in this process. Without a time: such entries are never thrown away.
    linecache.cache[code.co_filename] = (
        len(text),
        None,
        text.splitlines(keepends=True),
        code.co_filename,
    )


def find(code: CodeType, namespace: dict[str, Any]) -> Found | None:
    """Find the text that a function was compiled from.

    Parameters
    ----------
    code : code
        Of a function or lambda.
    namespace : dict
        Globals of the function: the loader in it may know the text.

    Returns
    -------
    found : Found
        None if there is no text, or none that compiles to this code.
    """
    cached = _found.get(id(code))
    if cached is not None:
        return cached[1]
    made = _registered.get(code)
    if made is not None:
        return made
    lines = linecache.getlines(code.co_filename, namespace)
    match = _match(code, ''.join(lines))
    if match is None and lines and os.path.exists(code.co_filename):
        # What was remembered may be older than what was imported. Never ask this for a cell: it
        # would be forgotten.
        match = _match(code, ''.join(linecache.updatecache(code.co_filename, namespace)))
    if match is not None:
        if len(_found) > 4096:
            _found.clear()
        _found[id(code)] = (code, match)
    return match


def _match(code: CodeType, text: str) -> Found | None:
    if not text:
        return None
    for apart in (False, True):
        match = _match_in(code, text, _index(text, code.co_flags & _FUTURES, apart))
        if match is not None:
            return match
    return None


def _match_in(code: CodeType, text: str, index: _Index | None) -> Found | None:
    if index is None:
        return None
    wanted = fingerprint(code)
    same = [item for item in index.codes.get(code.co_name, ()) if fingerprint(item) == wanted]
    # Lines may have moved since; among lambdas of one line the columns decide. Other equal ones do
    # the same.
    columns = [position[2:] for position in code.co_positions()]
    same.sort(
        key=lambda item: (
            abs(item.co_firstlineno - code.co_firstlineno),
            [position[2:] for position in item.co_positions()] != columns,
        )
    )
    for item in same:
        node = _node(item, index.nodes.get((item.co_name, item.co_firstlineno), []))
        if node is not None:
            return Found(node, text, index.statements, index.classes)
    return None


def _node(code: CodeType, nodes: list[FunctionNode]) -> FunctionNode | None:
    if len(nodes) <= 1:
        return nodes[0] if nodes else None
    # Several lambdas begin on this line: the innermost whose body holds all of the instructions.
    places = [position for position in code.co_positions() if None not in position]
    starts = [
        (position[0], position[2]) for position in places if position[1:] != (position[0], 0, 0)
    ]
    ends = [
        (position[1], position[3]) for position in places if position[1:] != (position[0], 0, 0)
    ]
    best: FunctionNode | None = None
    for node in nodes:
        body = node.body
        if (
            isinstance(body, ast.expr)
            and starts
            and (body.lineno, body.col_offset) <= min(starts)
            and max(ends) <= (body.end_lineno, body.end_col_offset)
        ):
            if best is None or (node.lineno, node.col_offset) > (best.lineno, best.col_offset):
                best = node
    return best
