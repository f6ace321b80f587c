"""Find what the cells of a notebook define and read, from their text alone.

Nothing is run. Cells are added in the order in which they run; what a name means is then the list
of statements that gave it its value, each by the digest of its normalised syntax tree.
"""

from __future__ import annotations

import ast
import builtins
import dis
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import lru_cache
from hashlib import blake2b
from types import CodeType
from typing import NamedTuple, TypeVar

from ..serialize import source
from .modules import Imported, Modules, imports_in
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
MODULE_PREFIX = 'module '
"""Before the names of modules among what a cell reads: no variable has such a name."""
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
    modules: tuple[Imported, ...] = ()
    """All that it, or a function in it, imports."""

    def touched(self) -> frozenset[str]:
        """Return all names that have to have their values before it runs."""
        roots = frozenset(call.root for call in self.calls)
        return self.reads | self.stores | self.changes | roots


@dataclass(frozen=True, slots=True)
class CellText:
    """The text of a cell, taken apart."""

    statements: tuple[Statement, ...] = ()
    task: TaskCell | None = None
    error: str = ''
    """Why its text is not Python; empty if it is, or if it is for something else."""


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
    """Return a text in which lines for IPython are Python, and what those lines set up."""
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


def _setup(words: str) -> Statement:
    # It says where tasks go, not what they are: its digest never counts.
    name = frozenset((SETUP,))
    return Statement(digest(words), Kind.VARIABLE, frozenset(), name, frozenset(), frozenset())


def _unread(text: str) -> Iterator[Statement]:
    """Yield what a text that is not Python would define, as far as that can be seen."""
    names = {
        name.strip()
        for one, several in _BOUND.findall(text)
        for name in (one or several).split(',')
    }
    nothing: frozenset[str] = frozenset()
    found = frozenset(name for name in names if name.isidentifier())
    if found:
        yield Statement(digest(text), Kind.VARIABLE, found, nothing, nothing, nothing)


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
        digest(source.tree(node).hex()),
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
    binds = set() if is_conditional else stored - changed
    return Statement(
        digest(source.tree(node).hex()),
        Kind.VARIABLE,
        frozenset(binds),
        frozenset((stored | parts) - binds - changed),
        frozenset(changed),
        read_names(code),
        tuple(_calls(node)),
        modules=imports_in(node),
    )


def _own(node: ast.AST, kind: type[_Node]) -> Iterator[_Node]:
    """Yield the nodes of a kind in a statement, without those inside of functions and classes."""
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
    """Compile one statement; return None where it is none by itself (``return`` at the top)."""
    return source._compiled(ast.Module([node], []), ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)  # type: ignore[no-any-return]


def read_names(code: CodeType | None) -> frozenset[str]:
    """Return the names that code reads from outside, builtins that are no other names included."""
    return frozenset() if code is None else frozenset(source.reads(code).names)


@lru_cache(maxsize=1024)
def _global_stores(code: CodeType | None) -> frozenset[str]:
    if code is None:
        return frozenset()
    found = {item.argval for item in dis.get_instructions(code) if item.opname == 'STORE_GLOBAL'}
    inner = (item for item in code.co_consts if isinstance(item, CodeType))
    return frozenset(found).union(*map(_global_stores, inner))


# --------------------------------------------------------------------------------------------------
# What names mean


class Use(NamedTuple):
    """A definition, as something reads it."""

    digest: str
    kind: Kind
    cell: int
    """The cell that touched it last."""


@dataclass(frozen=True, slots=True)
class Definition:
    """The statements that gave a name its value."""

    kind: Kind
    cell: int
    """The cell that touched it last."""
    statements: tuple[str, ...]
    """Digests of its statements."""
    reads: frozenset[str] = frozenset()
    """Names that it reads when it is used: those of functions and classes."""
    given: Mapping[str, Use] = field(default_factory=dict)
    """All that it was computed from, as it was then."""
    cells: frozenset[int] = frozenset()
    """Cells that have to run so that it has its value."""
    sets_globals: frozenset[str] = frozenset()
    title: str = ''
    """Title of the task cell."""
    before: Definition | None = None
    """Definition of the name before that cell ran first."""

    def use(self) -> Use:
        """Return the definition as something reads it."""
        is_one = len(self.statements) == 1
        content = self.statements[0] if is_one else digest(*self.statements)
        return Use(content, self.kind, self.cell)


class Definitions:
    """The meaning of the names of a notebook, after some of its cells.

    Parameters
    ----------
    modules : Modules, default=None
        Those beside the notebook; by default no module counts but by its name.
    """

    def __init__(self, modules: Modules | None = None) -> None:
        self._by_name: dict[str, Definition] = {}
        self._modules = modules

    def get(self, name: str) -> Definition | None:
        """Return the definition of a name; None if no cell has one."""
        return self._by_name.get(name)

    def before(self, name: str, task: TaskCell) -> Definition | None:
        """Return the definition of an output of a task cell before that cell ran first."""
        known = self._by_name.get(name)
        is_own = known is not None and known.kind is Kind.TASK and known.title == task.title
        return known.before if known is not None and is_own else known

    def add(self, number: int, cell: CellText, version: str = '') -> None:
        """Add a cell that runs next.

        Parameters
        ----------
        number : int
        cell : CellText
        version : str, default=''
            Of a task cell: the digest of all that its outputs depend on.
        """
        if cell.task is None:
            for statement in cell.statements:
                self._add(number, statement)
            return
        own, title = frozenset((number,)), cell.task.title
        for name in cell.task.outputs:
            before = self.before(name, cell.task)
            self._by_name[name] = Definition(
                Kind.TASK, number, (version,), cells=own, title=title, before=before
            )

    def _add(self, number: int, statement: Statement) -> None:
        for name in statement.binds:
            self._set(number, name, statement, None)
        for name in statement.stores:
            known = self._by_name.get(name)
            if known is None or known.statements[-1:] != (statement.digest,):
                self._set(number, name, statement, known)
        changed, seeded = set(statement.changes), set[str]()
        for call in statement.calls:
            changed |= self._changed(call)
            seeded |= self._seeded(call)
        for name in changed & self._by_name.keys():
            self._set(number, name, statement, self._by_name[name])
        for name in seeded & self._by_name.keys():
            known = self._by_name[name]
            self._by_name[name] = replace(known, cells=known.cells | {number})

    def _changed(self, call: Call) -> set[str]:
        """Return the names that a call may change."""
        called = self._by_name.get(call.root)
        if called is None or called.kind is Kind.IMPORT:
            return set()
        if call.is_method:
            return {call.root}
        variables = {name for name in call.arguments if self._is_variable(name)}
        return variables | called.sets_globals

    def _is_variable(self, name: str) -> bool:
        known = self._by_name.get(name)
        return known is not None and known.kind is Kind.VARIABLE

    def _seeded(self, call: Call) -> set[str]:
        """Return the library whose state a call sets: ``np.random.seed(0)``."""
        called = self._by_name.get(call.root)
        is_library = called is not None and called.kind is Kind.IMPORT
        return {call.root} if is_library and not call.arguments else set()

    def _set(self, number: int, name: str, statement: Statement, known: Definition | None) -> None:
        own = frozenset((number,))
        if statement.kind in (Kind.FUNCTION, Kind.CLASS):
            self._by_name[name] = Definition(
                statement.kind,
                number,
                (statement.digest,),
                statement.reads,
                self.module_uses(statement.modules, number),
                own,
                sets_globals=statement.sets_globals,
            )
            return
        given = self.module_uses(statement.modules, number) | self.closure(statement.reads - {name})
        cells = self.cells(statement.reads - {name})
        if known is not None:
            given, cells = {**known.given, **given}, cells | known.cells
        self._by_name[name] = Definition(
            statement.kind if known is None else known.kind,
            number,
            (*(known.statements if known is not None else ()), statement.digest),
            known.reads if known is not None else frozenset(),
            given,
            cells | own,
        )

    def module_uses(self, modules: Iterable[Imported], number: int) -> dict[str, Use]:
        """Digest the modules beside the notebook that a cell imports, as they are now."""
        if self._modules is None:
            return {}
        found: dict[str, str] = {}
        for imported in modules:
            found |= self._modules.digests(imported)
        return {
            f'{MODULE_PREFIX}{name}': Use(content, Kind.MODULE, number)
            for name, content in found.items()
        }

    def closure(self, names: Iterable[str]) -> dict[str, Use]:
        """Find all that names stand for, through any number of helpers.

        Parameters
        ----------
        names : iterable of str

        Returns
        -------
        uses : dict
            By name.
        """
        found: dict[str, Use] = {}
        computed: dict[str, Use] = {}
        todo = list(names)
        while todo:
            name = todo.pop()
            known = self._by_name.get(name)
            if known is None or name in found or name == SETUP:
                continue
            found[name] = known.use()
            todo += known.reads
            computed |= known.given
        return computed | found

    def closure_of(self, definition: Definition) -> dict[str, Use]:
        """Find all that a definition was computed from, or reads when it is used."""
        return {**definition.given, **self.closure(definition.reads)}

    def cells(self, names: Iterable[str]) -> frozenset[int]:
        """Return the cells that have to run so that names have their values."""
        found: set[int] = set()
        todo, seen = list(names), set[str]()
        while todo:
            name = todo.pop()
            known = self._by_name.get(name)
            if known is not None and name not in seen:
                found |= known.cells
                todo += known.reads
            seen.add(name)
        return frozenset(found)
