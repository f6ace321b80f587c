"""Statements of a cell: kind, names and digest of each."""

from __future__ import annotations

import ast
import builtins
import dis
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from hashlib import blake2b
from types import CodeType
from typing import TypeVar

from ..serialize import bytecode, source, syntax_trees
from .modules import Imported, imports_in
from .task_cell import SETUP, TaskCell, read_task_cell

_PYTHON_MAGICS = ('%%time', '%%capture', '%%prun', '%%timeit')
_LINE_MAGIC = re.compile(r'^([ \t]*)[%!](.*)$', re.M)
_ASSIGNED_MAGIC = re.compile(r'^([ \t]*[\w, \t]+=[ \t]*)[%!](.*)$', re.M)
_TIME = re.compile(r'^([ \t]*)%time[ \t]+(.*)$', re.M)
_HELP = re.compile(r'^[ \t]*(?:\?.*|[\w.]+\?{1,2}[ \t]*)$', re.M)
_BOUND = re.compile(
    r'^(?:(?:async[ \t]+)?(?:def|class|for)[ \t]+(\w+)|([\w, \t]+?)[ \t]*=(?!=))', re.M
)
_NESTED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
_COMPOUND = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.Try, ast.TryStar, ast.Match)
_Node = TypeVar('_Node', bound=ast.AST)
_BUILTINS = frozenset(vars(builtins)) | {'display', 'get_ipython'}


class Kind(StrEnum):
    """Kinds of definitions, as people call them."""

    FUNCTION = 'helper'
    CLASS = 'class'
    IMPORT = 'import'
    VARIABLE = 'variable'
    MODULE = 'module'
    TASK = 'task'


def digest(*pieces: str) -> str:
    """Return the digest of texts, 8 hexadecimal digits."""
    data = '\0'.join(pieces).encode('utf-8', 'surrogatepass')
    return blake2b(data, digest_size=4).hexdigest()


@dataclass(frozen=True, slots=True)
class Call:
    """A call that stands as a statement of its own: it may change what it is given."""

    root: str
    """First name of what is called: ``x`` of ``x.append(1)``."""
    is_method: bool
    arguments: tuple[str, ...]
    """Names among its arguments."""


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement at the top of a cell."""

    digest: str
    kind: Kind
    binds: frozenset[str]
    """Names whose old values no longer matter behind it."""
    stores: frozenset[str]
    """Names that it may bind, or of which it sets an item or an attribute."""
    changes: frozenset[str]
    """Names that it changes in dependence of what they were."""
    reads: frozenset[str]
    calls: tuple[Call, ...] = ()
    sets_globals: frozenset[str] = frozenset()
    """Names that a function binds by ``global``."""
    deletes: frozenset[str] = frozenset()
    """Names that it deletes in any case."""
    modules: tuple[Imported, ...] = ()
    """All that it, or a function in it, imports."""

    def touched(self) -> frozenset[str]:
        """Return all names that have to have their values before it runs."""
        roots = frozenset(call.root for call in self.calls)
        return self.reads | self.stores | self.changes | self.deletes | roots


@dataclass(frozen=True, slots=True)
class CellText:
    """The text of a cell, taken apart."""

    statements: tuple[Statement, ...] = ()
    task: TaskCell | None = None
    error: str = ''
    """Reason that its text is not Python; empty if it is, or if it is for something else."""


@lru_cache(maxsize=2048)
def read_cell(text: str) -> CellText:
    """Take the text of a code cell apart.

    Parameters
    ----------
    text : str
        With the line of its magic, if it has one.

    Returns
    -------
    cell : CellText
    """
    stripped = text.lstrip()
    if stripped.startswith('%%'):
        first, _, body = stripped.partition('\n')
        magic = first.split(maxsplit=1)[0]
        if magic == '%%desipipe':
            return CellText(task=read_task_cell(stripped))
        return read_cell(body) if magic in _PYTHON_MAGICS else CellText()
    python, setup = _without_magics(text)
    try:
        tree = ast.parse(python)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as exc:
        return CellText(tuple(_unread(text)), error=getattr(exc, 'msg', None) or str(exc))
    statements = [statement for node in tree.body for statement in _statements(node)]
    return CellText((*statements, *setup))


def _without_magics(text: str) -> tuple[str, list[Statement]]:
    """Return a text with lines for IPython made Python, and what they set up."""
    setup = [
        _setup(match[2].strip())
        for match in _LINE_MAGIC.finditer(text)
        if match[2].lstrip().startswith(('load_ext', 'desipipe use', 'env', 'run', 'cd'))
    ]
    python = _HELP.sub('', text) if '?' in text else text
    if '%' in python or '!' in python:
        python = _TIME.sub(r'\1\2', python)
        # Its text stays: the line may be one of a text of several lines.
        python = _LINE_MAGIC.sub(lambda match: f'{match[1]}{match[0].strip()!r}', python)
        python = _ASSIGNED_MAGIC.sub(lambda match: f'{match[1]}{match[2]!r}', python)
    return python, setup


def _setup(text: str) -> Statement:
    # It says where tasks go, not what they are: its digest never counts.
    name = frozenset((SETUP,))
    return Statement(digest(text), Kind.VARIABLE, frozenset(), name, frozenset(), frozenset())


def _unread(text: str) -> Iterator[Statement]:
    """Yield what a text that is not Python would define, as far as that can be seen."""
    names = {
        name.strip()
        for one, several in _BOUND.findall(text)
        for name in (one or several).split(',')
    }
    nothing: frozenset[str] = frozenset()
    variables = frozenset(name for name in names if name.isidentifier())
    if variables:
        yield Statement(digest(text), Kind.VARIABLE, variables, nothing, nothing, nothing)


def _statements(node: ast.stmt) -> Iterator[Statement]:
    if isinstance(node, ast.Import | ast.ImportFrom):
        for alias in node.names:  # each for itself: another line of imports is the same notebook
            one = ast.copy_location(_one_import(node, alias), node)
            yield _statement(one, frozenset((_imported_name(alias),)), Kind.IMPORT)
        return
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        yield _statement(node, frozenset((node.name,)), Kind.FUNCTION)
        return
    if isinstance(node, ast.ClassDef):
        yield _statement(node, frozenset((node.name,)), Kind.CLASS)
        return
    yield _variable(node)


def _one_import(node: ast.Import | ast.ImportFrom, alias: ast.alias) -> ast.stmt:
    if isinstance(node, ast.Import):
        return ast.Import([alias])
    return ast.ImportFrom(node.module, [alias], node.level)


def _imported_name(alias: ast.alias) -> str:
    return alias.asname or alias.name.partition('.')[0]


def _statement(node: ast.stmt, binds: frozenset[str], kind: Kind) -> Statement:
    code = compile_statement(node)
    nothing: frozenset[str] = frozenset()
    return Statement(
        digest(syntax_trees.tree(node).hex()),
        kind,
        binds,
        nothing,
        nothing,
        read_names(code) - (binds if kind is Kind.IMPORT else nothing),
        sets_globals=_global_stores(code) if kind is Kind.FUNCTION else nothing,
        modules=imports_in(node),
    )


def _variable(node: ast.stmt) -> Statement:
    code = compile_statement(node)
    stored = {name.id for name in _own(node, ast.Name) if not isinstance(name.ctx, ast.Load)}
    changed = {_root(item.target) for item in _own(node, ast.AugAssign) if _root(item.target)}
    attributes, items = _own(node, ast.Attribute), _own(node, ast.Subscript)
    parts = {_root(item) for item in attributes if not isinstance(item.ctx, ast.Load)}
    parts |= {_root(item) for item in items if not isinstance(item.ctx, ast.Load)}
    parts.discard('')
    is_conditional = isinstance(node, _COMPOUND)
    inside = {name for item in _own(node, ast.Expr) for name in _receivers(item)}
    changed |= inside if is_conditional else set()
    deletes = stored if isinstance(node, ast.Delete) else set()
    binds = set() if is_conditional else stored - changed - deletes
    return Statement(
        digest(syntax_trees.tree(node).hex()),
        Kind.VARIABLE,
        frozenset(binds),
        frozenset((stored | parts) - binds - changed - deletes),
        frozenset(changed),
        read_names(code) - deletes,
        tuple(_calls(node)),
        deletes=frozenset(deletes),
        modules=imports_in(node),
    )


def _own(node: ast.AST, kind: type[_Node]) -> Iterator[_Node]:
    """Yield the nodes of a kind in a statement, without functions and classes in it."""
    todo: list[ast.AST] = [node]
    while todo:
        item = todo.pop()
        if isinstance(item, kind):
            yield item
        if not isinstance(item, _NESTED):
            todo.extend(ast.iter_child_nodes(item))


def _root(node: ast.AST) -> str:
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Starred):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ''


def _receivers(node: ast.Expr) -> Iterator[str]:
    if isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Attribute):
        if root := _root(node.value.func):
            yield root


def _calls(node: ast.stmt) -> Iterator[Call]:
    value = node.value if isinstance(node, ast.Expr | ast.Assign) else None
    if isinstance(value, ast.Await):
        value = value.value
    if not isinstance(value, ast.Call):
        return
    root = _root(value.func)
    given = [*value.args, *(keyword.value for keyword in value.keywords)]
    names = tuple(name for item in given if (name := _root(item)))
    is_method = isinstance(value.func, ast.Attribute)
    if root and root not in _BUILTINS and isinstance(node, ast.Expr):
        yield Call(root, is_method, names)
    elif root and not is_method:
        yield Call(root, False, ())  # it may bind names by `global`


def compile_statement(node: ast.stmt) -> CodeType | None:
    """Compile one statement; None where it is none by itself (``return`` at the top)."""
    return source._compiled(ast.Module([node], []), ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)  # type: ignore[no-any-return]


def read_names(code: CodeType | None) -> frozenset[str]:
    """Return the names that code reads from outside, some builtins included."""
    return frozenset() if code is None else frozenset(bytecode.reads(code).names)


@lru_cache(maxsize=1024)
def _global_stores(code: CodeType | None) -> frozenset[str]:
    if code is None:
        return frozenset()
    stored = {item.argval for item in dis.get_instructions(code) if item.opname == 'STORE_GLOBAL'}
    inner = (item for item in code.co_consts if isinstance(item, CodeType))
    return frozenset(stored).union(*map(_global_stores, inner))
