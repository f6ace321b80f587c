"""Find the text a code object was compiled from, and what matters in that text.

Two questions are answered here. *Which text is this code?* Files change after they were imported,
notebook cells share names, lambdas share lines: a text counts only if compiling it gives this very
bytecode. *What does it mean?* A syntax tree without positions, comments, documentation and
annotations; and the names that the code reads.
"""

from __future__ import annotations
import __future__

import ast
import dis
import functools
import linecache
import os
import sys
import textwrap
import threading
import warnings
from collections.abc import Iterator
from types import CodeType
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from .plain import digest, pack, plain_text

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda

_FUTURES = functools.reduce(
    int.__or__, (getattr(__future__, name).compiler_flag for name in __future__.all_feature_names)
)
_BODIES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Module)
# What differs between versions of Python, or says nothing about what the code does.
_SKIPPED = frozenset(('ctx', 'type_comment', 'type_ignores', 'kind', 'returns'))


# --------------------------------------------------------------------------------------------------
# Trees


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
        if isinstance(node, _BODIES):
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


# --------------------------------------------------------------------------------------------------
# Code


@functools.lru_cache(maxsize=4096)
def fingerprint(code: CodeType) -> bytes:
    """Return the digest of what a code object does: its bytecode, names and constants.

    Where it was written does not count.

    It depends on the version of Python: it identifies code only where no source is found.
    """
    constants = [
        fingerprint(item) if isinstance(item, CodeType) else _constant(item)
        for item in code.co_consts
    ]
    names = [
        repr(names).encode()
        for names in (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    ]
    numbers = repr(
        (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    ).encode()
    return digest(
        pack(
            b'code',
            code.co_name.encode(),
            numbers,
            code.co_code,
            code.co_exceptiontable,
            *names,
            pack(b'', *constants),
        )
    )


def _constant(value: Any) -> bytes:
    text = plain_text(value)
    if text:
        return text.encode()
    if isinstance(value, tuple):
        return pack(b'tuple', *map(_constant, value))
    if isinstance(value, frozenset):
        return pack(b'frozenset', *sorted(map(_constant, value)))
    return f'{type(value).__name__}:{value!r}'.encode()  # complex, Ellipsis, slices


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
    return not isinstance(statement, _BODIES) and any(
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
        for item in _codes(code):
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


def _codes(code: CodeType) -> Iterator[CodeType]:
    for item in code.co_consts:
        if isinstance(item, CodeType):
            yield item
            yield from _codes(item)


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


# --------------------------------------------------------------------------------------------------
# Names


class Import(NamedTuple):
    """An import statement inside of a function."""

    level: int
    name: str
    names: tuple[str, ...]


class Reads(NamedTuple):
    """Names that a function, with functions and classes inside it, reads from outside."""

    names: dict[
        str, frozenset[tuple[str, ...]]
    ]  # global name: the attributes that are read of it; () where it is used as it is
    cells: dict[str, frozenset[tuple[str, ...]]]  # variable of an enclosing function: the same
    imports: frozenset[Import]
    words: tuple[str, ...]  # all names that stand in its bytecode, those of attributes among them
    values: frozenset[
        tuple[str, ...]
    ]  # a name, and attributes of it, where that is used otherwise than by a call


_GLOBAL = ('LOAD_GLOBAL', 'LOAD_NAME', 'LOAD_FROM_DICT_OR_GLOBALS')
_CELL = ('LOAD_DEREF', 'LOAD_CLASSDEREF', 'LOAD_FROM_DICT_OR_DEREF')
_ATTRIBUTE = ('LOAD_ATTR', 'LOAD_METHOD')


@functools.lru_cache(maxsize=4096)
def reads(code: CodeType) -> Reads:
    """Return the names that a code object reads from outside.

    Comprehensions, nested functions and class bodies are included.

    Parameters
    ----------
    code : code

    Returns
    -------
    reads : Reads
    """
    names: dict[str, set[tuple[str, ...]]] = {}
    cells: dict[str, set[tuple[str, ...]]] = {}
    imports: set[Import] = set()
    values: set[tuple[str, ...]] = set()
    _read(code, set(code.co_freevars), names, cells, imports, values)
    return Reads(
        {name: frozenset(names[name]) for name in sorted(names)},
        {name: frozenset(cells.get(name, {()})) for name in sorted(code.co_freevars)},
        frozenset(imports),
        tuple(sorted({word for item in (code, *_codes(code)) for word in item.co_names})),
        frozenset(values),
    )


_Chains = dict[str, set[tuple[str, ...]]]
_METHODS_APART = sys.version_info < (
    3,
    12,
)  # a method that is called is loaded by an instruction of its own


def _is_called(
    first: dis.Instruction, last: dis.Instruction, following: list[dis.Instruction]
) -> bool:
    """Return True where a loaded name, or an attribute of it, is called next."""
    if last.opname == 'LOAD_METHOD' or (following and following[0].opname == 'PUSH_NULL'):
        return True
    if last.opname == 'LOAD_ATTR' and not _METHODS_APART and (last.arg or 0) & 1:
        return True
    return first.opname == 'LOAD_GLOBAL' and bool((first.arg or 0) & 1)


def _read(
    code: CodeType,
    free: set[str],
    names: _Chains,
    cells: _Chains,
    imports: set[Import],
    values: set[tuple[str, ...]],
) -> None:
    instructions = list(dis.get_instructions(code))
    stored: set[str] = set()  # names that are those of a class body from there on
    for i, instruction in enumerate(instructions):
        if instruction.opname == 'STORE_NAME':
            stored.add(instruction.argval)
        target = (
            names
            if instruction.opname in _GLOBAL and instruction.argval not in stored
            else cells
            if instruction.opname in _CELL and instruction.argval in free
            else None
        )
        if target is not None:
            chain = []
            last = instruction
            for following in instructions[i + 1 :]:
                if following.opname not in _ATTRIBUTE:
                    break
                chain.append(following.argval)
                last = following
            target.setdefault(instruction.argval, set()).add(tuple(chain))
            if target is names and not _is_called(
                instruction, last, instructions[i + len(chain) + 1 :][:1]
            ):
                values.add((instruction.argval, *chain))
        elif instruction.opname == 'IMPORT_NAME':
            # Its two operands, the level and the names after `from`, are pushed right before it.
            imports.add(
                Import(
                    instructions[i - 2].argval, instruction.argval, instructions[i - 1].argval or ()
                )
            )
    for item in code.co_consts:
        if isinstance(item, CodeType):
            _read(item, free & set(item.co_freevars), names, cells, imports, values)
