"""A cell becomes a function: what it reads from the notebook are its arguments, what it gives back
its result.

The cell's statements are put, as they are, into the body of a function whose syntax tree is known
to :mod:`desipipe.serialize.source`: identity, source and tracebacks are then those of any function
of the user.
"""

from __future__ import annotations
import __future__

import ast
import builtins
import functools
import hashlib
import importlib
import io
import keyword
import re
import tokenize
import warnings
from collections.abc import Iterable, Mapping, Sequence
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

from ..errors import CellError, DesipipeError, SweepError, close_names
from ..execution.shell_template import placeholders
from ..queue.app import App
from ..queue.future_list import FutureList
from ..queue.sweep import sweep_calls
from ..queue.task import Future
from ..serialize import source
from ..serialize.plain import ATOMS
from .names import Names, find_names, rebound
from .shared_variables import find_reach

_CODE = (FunctionType, BuiltinFunctionType, type, ModuleType, App)
_SHOW = ' show'  # no name that a cell could bind
_DEFINE = ' define'
_RUN = '__run__'
_FUTURES = functools.reduce(
    int.__or__, (getattr(__future__, name).compiler_flag for name in __future__.all_feature_names)
)


class Cell(NamedTuple):
    """A cell that can be called."""

    func: FunctionType
    """Its parameters are what is swept, then the inputs."""
    inputs: dict[str, Any]
    """The values of the inputs, as they were in the notebook."""
    outputs: tuple[str, ...]
    """What it returns: one value, or a dictionary by name for several."""
    imports: dict[str, Import]
    """What it imports, by the name that it gets."""
    kept: dict[str, Any]
    """What its outputs were in the notebook, where it may read them, or leave them as they are."""


class Import(NamedTuple):
    """Something that a cell imports."""

    module: str
    name: str
    """Of it; empty: the module itself."""

    def value(self) -> Any:
        """Return its value here."""
        module = importlib.import_module(self.module)
        if not self.name:
            return module
        return (
            getattr(module, self.name)
            if hasattr(module, self.name)
            else importlib.import_module(f'{self.module}.{self.name}')
        )


def make_cell(
    line: str,
    body: str,
    namespace: Mapping[str, Any],
    name: str = '',
    outputs: Sequence[str] = (),
    swept: Sequence[str] = (),
    flags: int = 0,
    imported: Mapping[str, Import] | None = None,
    kept: Mapping[tuple[str, str], Any] | None = None,
) -> Cell:
    """Make a function of a cell.

    Parameters
    ----------
    line : str
        The magic's line, for people.
    body : str
        The rest.
    namespace : mapping
        The notebook's variables.
    name : str, default=''
        Of the function; by default that of its first output, or ``'cell'``.
    outputs : sequence of str, default=()
        Names whose values are wanted; by default the last one that the cell assigns, if it assigns
        any.
    swept : sequence of str, default=()
        Names that each call gets a value of its own for.
    flags : int, default=0
        Of the compiler: the notebook's ``from __future__ import``.
    imported : mapping, default=None
        What cells above import, which the notebook itself may not have.
    kept : mapping, default=None
        :attr:`Cell.kept` of earlier runs, by name of the function and of the output.

    Returns
    -------
    cell : Cell

    Raises
    ------
    CellError
        For whatever a worker could not run, with the line (the magic's is 1).
    """
    text = f'{line.rstrip()}\n{body}'
    # A file of its own for each text: a process that runs two versions of a cell shows each with
    # its own lines.
    file = _file(name or (outputs[0] if outputs else 'cell'), text)
    tree = _parse('\n' + body, file)
    if not tree.body:
        raise CellError(
            'the cell is empty, or only comments: nothing was added. Write what a worker is to run '
            'below the line of the magic'
        )
    flags |= _take_futures(tree)
    # Going through a tree takes long beside everything else here: what is rare is looked for where
    # its word is.
    if '*' in body and 'import' in body:
        _expand_stars(tree)
    names = find_names(_compile(tree, file, flags))
    if 'try' in body:
        tolerated = _tolerated(tree)
        names = names._replace(
            required={item: at for item, at in names.required.items() if item not in tolerated}
        )
    wanted = tuple(outputs) or _last_assigned(tree)
    _check_outputs(wanted, names)
    title = name or (wanted[0] if wanted else 'cell')
    # What it may read, or leave as it is, before it assigns it: the value there was, and run again
    # the one it got when it ran first.
    perhaps = [
        item
        for item in wanted
        if item not in names.required and (item in names.inputs or item not in names.sure)
    ]
    mine = {item for item in perhaps if _is_of(namespace.get(item), title)}
    if mine and kept:
        earlier = {
            item: kept[_identifier(title), item]
            for item in mine
            if (_identifier(title), item) in kept
        }
        namespace, mine = {**namespace, **earlier}, mine - earlier.keys()
    before = {item: namespace[item] for item in perhaps if item in namespace and item not in mine}
    inputs, used = _resolve(
        names._replace(inputs=dict.fromkeys(before, 1) | names.inputs),
        namespace,
        imported or {},
        {*swept, *mine},
    )
    imports = _imports(tree)
    _share(inputs, used, names, namespace, swept, imports)
    function = _function(tree, title, [*swept, *inputs], wanted, text, names)
    return Cell(_made(function, file, text, used, flags), inputs, wanted, imports, before)


# --------------------------------------------------------------------------------------------------
# Reading


def _file(name: str, text: str) -> str:
    return f'<%%desipipe {name} {hashlib.blake2b(text.encode(), digest_size=4).hexdigest()}>'


def _wrong(exc: SyntaxError) -> CellError:
    line = (exc.text or '').rstrip('\n')
    shown = f'\n    {line}\n    {" " * max((exc.offset or 1) - 1, 0)}^' if line.strip() else ''
    return CellError(f'line {exc.lineno or 1:d} of the cell: {exc.msg}; nothing was added{shown}')


def _parse(text: str, file: str) -> ast.Module:
    try:
        tree = ast.parse(text, file)
    except SyntaxError as exc:
        found = _shell_line(text)
        if found:
            raise CellError(
                f'line {found[0]:d} of the cell ({found[1]}) is for IPython, which a worker does '
                'not have: nothing was added. '
                'Put it into a cell of its own above, or write a cell for the shell with: '
                '%%desipipe --bash'
            ) from None
        raise _wrong(exc) from None
    if ('await' in text or 'async' in text) and (awaited := _first_await(tree)):
        raise CellError(
            f'line {awaited:d} of the cell awaits something outside of a function: a worker has no '
            'event loop running, nothing was added. '
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


def _expand_stars(tree: ast.Module) -> None:
    """Write out ``from module import *``, which no function may hold: the names that the cell
    uses.
    """
    read = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.names[0].name == '*':
            try:
                module: Any = importlib.import_module('.' * node.level + (node.module or ''))
            except ImportError as exc:
                raise CellError(
                    f'line {node.lineno:d} of the cell takes all names of {node.module}, which '
                    f'cannot be imported here ({exc}), so that they are not known; '
                    'nothing was added. Name them: from ... import a, b'
                ) from None
            public = getattr(module, '__all__', None) or [
                key for key in vars(module) if not key.startswith('_')
            ]
            node.names = [
                ast.copy_location(ast.alias(key), node) for key in sorted(read & set(public))
            ] or [ast.copy_location(ast.alias(public[0]), node)]


def _take_futures(tree: ast.Module) -> int:
    """Take ``from __future__ import`` out, which no function may hold; what it means for the
    compiler.
    """
    found = [
        node
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module == '__future__'
    ]
    tree.body = [node for node in tree.body if node not in found]
    flags = 0
    for node in found:
        for alias in node.names:
            feature = getattr(__future__, alias.name, None)
            if feature is None:
                raise CellError(
                    f'line {node.lineno:d} of the cell: there is no future feature {alias.name!r}; '
                    'nothing was added'
                )
            flags |= feature.compiler_flag
    return flags


def _tolerated(tree: ast.Module) -> set[str]:
    """Names that are read to see whether they exist: in a ``try`` that catches it."""
    found: set[str] = set()
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
                found.update(
                    item.id
                    for part in node.body
                    for item in ast.walk(part)
                    if isinstance(item, ast.Name)
                )
    return found


def _compile(tree: ast.Module, file: str, flags: int) -> CodeType:
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # they are said when the function is compiled
        try:
            code: CodeType = compile(tree, file, 'exec', flags=flags & _FUTURES, dont_inherit=True)
        except SyntaxError as exc:  # `return` outside of a function, and the like
            raise _wrong(exc) from None
    return code


def _imports(tree: ast.Module) -> dict[str, Import]:
    found: dict[str, Import] = {}
    for node in tree.body:
        if isinstance(node, ast.Import):
            found.update(
                {
                    alias.asname or alias.name.split('.')[0]: Import(
                        alias.name if alias.asname else alias.name.split('.')[0], ''
                    )
                    for alias in node.names
                }
            )
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.update(
                {
                    alias.asname or alias.name: Import(node.module, alias.name)
                    for alias in node.names
                }
            )
    return found


def _last_assigned(tree: ast.Module) -> tuple[str, ...]:
    last: tuple[int, int, str] | None = None
    for node in _statements(tree.body):
        for target in _targets(node):
            place = (target.lineno, target.col_offset, target.id)
            last = max(last, place) if last else place
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


def _check_outputs(outputs: Sequence[str], names: Names) -> None:
    for name in outputs:
        if not name.isidentifier() or keyword.iskeyword(name):
            raise CellError(f'--out {name}: this is no name for a variable; nothing was added')
        if name not in names.bound:
            near = close_names(name, sorted(names.bound))
            raise CellError(
                f'--out {name}: the cell never assigns {name!r}; nothing was added. '
                f'{near[:1].upper()}{near[1:]}'
            )
    if len(set(outputs)) < len(outputs):
        raise CellError(f'--out {" ".join(outputs)}: each name once; nothing was added')


def _is_of(value: Any, title: str) -> bool:
    """Return True for a value that this cell put there when it ran before.

    Read where it may be bound by then, it would make another task of each run.
    """
    futures = value if isinstance(value, list | FutureList) else [value]
    if not futures or not isinstance(futures[0], Future):
        return False
    try:
        return futures[0].task.name in (title, _identifier(title))
    except DesipipeError:  # of a queue that was deleted or cleared since: nothing to wait for
        return True


def _resolve(
    names: Names, namespace: Mapping[str, Any], imported: Mapping[str, Import], passed: set[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The values of the inputs, and what goes along with the code: functions, classes and
    modules, followed from there by what they use.
    """
    from .. import display

    inputs: dict[str, Any] = {}
    used: dict[str, Any] = {'__name__': '__main__', _SHOW: display.show, _DEFINE: display.define}
    if names.deleted:
        name, line = next(iter(names.deleted.items()))
        raise CellError(
            f'line {line:d} of the cell reads {name!r}, which it has deleted; nothing was added'
        )
    for name, line in names.inputs.items():
        if name in passed or name.startswith('__'):
            continue
        if name in namespace:
            value = namespace[name]
            home = getattr(value, '__module__', None) or ''
            if name == 'get_ipython':
                raise CellError(
                    f'line {line:d} of the cell asks for get_ipython(): a worker has no IPython '
                    'shell, nothing was added'
                )
            if name in ('exit', 'quit') and (
                home.startswith('IPython.') or type(value).__module__.startswith('IPython.')
            ):
                raise CellError(
                    f'line {line:d} of the cell would end the kernel, of which a worker has none; '
                    'nothing was added. Write: raise SystemExit'
                )
            if name == 'open' and getattr(value, '__wrapped__', None) is io.open:
                continue  # that of IPython, which guards the kernel's own streams
            if name == 'display' and home.startswith('IPython.'):
                used[name] = display.display
            elif isinstance(value, _CODE) and name not in names.bound:
                used[name] = value
            else:
                inputs[name] = value
        elif name in imported and name in names.required:
            used[name] = imported[name].value()
        elif name == 'display' and name not in names.bound:
            used[name] = display.display  # IPython has its own among the builtins
        elif hasattr(builtins, name):
            if name in names.bound:
                inputs[name] = getattr(builtins, name)  # `sum = sum(values)`
        elif name in names.required:
            near = close_names(name, [key for key in namespace if not key.startswith('_')], 3)
            raise CellError(
                f'line {line:d} of the cell reads {name!r}, which does not exist; nothing was '
                'added. '
                f'Assign it in a cell above, or sweep it with --for {name}=... ({near})'
            )
    return inputs, used


def _share(
    inputs: dict[str, Any],
    used: dict[str, Any],
    names: Names,
    namespace: Mapping[str, Any],
    swept: Sequence[str],
    imports: Mapping[str, Import],
) -> None:
    """Share the notebook's variables with its functions that the cell uses, or refuse."""
    reach = find_reach(used.values(), namespace)
    same = {
        name
        for name, item in imports.items()
        if isinstance(namespace.get(name), ModuleType) and namespace[name] is item.value()
    }
    for name in sorted((names.bound - same) | set(swept)):
        if name in reach.read and name not in reach.bound:
            func = reach.read[name]
            what = 'sweeps' if name in swept else 'assigns'
            raise CellError(
                f'{func}() reads {name!r} of the notebook, which this cell {what}: where the cell '
                'runs, the function has a variable of its own, '
                f'and would not see it; nothing was added. Pass it, as in {func}({name}), define '
                f'{func} in this cell, or take another name'
            )
    for name in sorted(reach.bound):
        if name in inputs or name in names.bound:
            func = reach.bound[name]
            raise CellError(
                f'{func}() assigns {name!r} of the notebook, which this cell uses too: where the '
                'cell runs, the function has a variable of its own; '
                f'nothing was added. Let {func} return it, or define {func} in this cell'
            )
    for name in [name for name in inputs if name in reach.read]:
        # One object, in the cell and in the function: what one changes, the other sees.
        if type(inputs[name]) not in ATOMS and not _holds_futures(inputs[name]):
            used[name] = inputs.pop(name)


def _holds_futures(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_futures, value.values()))
    if isinstance(value, list | tuple | set | frozenset):
        return any(map(_holds_futures, value))
    if isinstance(value, FutureList):
        return True
    return isinstance(value, Future)


# --------------------------------------------------------------------------------------------------
# Making


def _function(
    tree: ast.Module,
    name: str,
    parameters: Sequence[str],
    outputs: Sequence[str],
    text: str,
    names: Names,
) -> ast.FunctionDef:
    if 'global' in text or 'class' in text:
        _scope(tree, names.bound | set(parameters))
    body = tree.body
    last = body[-1] if body else None
    if isinstance(last, ast.Expr) and not _is_quiet(text):
        last.value = ast.copy_location(
            ast.Call(ast.copy_location(ast.Name(_SHOW, ast.Load()), last.value), [last.value], []),
            last.value,
        )
    if 'def' in text or 'class' in text:
        body[:] = _Defining().visit(tree).body
    value: ast.expr | None = None
    if len(outputs) == 1:
        value = ast.Name(outputs[0], ast.Load())
    elif outputs:
        value = ast.Dict(
            [ast.Constant(item) for item in outputs],
            [ast.Name(item, ast.Load()) for item in outputs],
        )
    lines = text.count('\n') + 1
    if value is not None:
        back = ast.Return(value, lineno=lines, col_offset=0, end_lineno=lines, end_col_offset=0)
        # Under the last statement: a cell that did not assign what it promised says so there.
        if body:
            ast.copy_location(back, body[-1])
        body.append(ast.fix_missing_locations(back))
    arguments = ast.arguments(
        [],
        [
            ast.arg(item, lineno=1, col_offset=0, end_lineno=1, end_col_offset=0)
            for item in parameters
        ],
        None,
        [],
        [],
        None,
        [],
    )
    function = ast.FunctionDef(
        _identifier(name),
        arguments,
        body or [ast.Pass()],
        [],
        lineno=1,
        col_offset=0,
        end_lineno=lines,
        end_col_offset=0,
    )
    if 'type_params' in ast.FunctionDef._fields:
        function.type_params = []  # type: ignore[attr-defined]
    return function


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
        told = ast.Expr(
            ast.Call(
                ast.Name(_DEFINE, ast.Load()),
                [ast.Constant(node.name), ast.Name(node.name, ast.Load())],
                [],
            )
        )
        return [node, ast.fix_missing_locations(ast.copy_location(told, node))]

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


def _identifier(name: str) -> str:
    word = re.sub(r'\W', '_', name)
    return f'_{word}' if not word.isidentifier() or keyword.iskeyword(word) else word


def _made(
    node: ast.FunctionDef, file: str, text: str, used: dict[str, Any], flags: int
) -> FunctionType:
    module = ast.Module([node], [])
    code = compile(module, file, 'exec', flags=flags & _FUTURES, dont_inherit=True)
    inner = next(item for item in code.co_consts if isinstance(item, CodeType))
    source.register(inner, node, text)
    func = FunctionType(inner, {**used, '__builtins__': builtins}, node.name)
    func.__module__ = '__main__'
    return func


# --------------------------------------------------------------------------------------------------
# Cells for the shell


def make_shell_cell(
    line: str,
    body: str,
    namespace: Mapping[str, Any],
    name: str = '',
    outputs: Sequence[str] = (),
    swept: Sequence[str] = (),
) -> Cell:
    """Make a function of a cell for the shell; its one output is what the commands write to stdout.

    Parameters as for :func:`make_cell`.
    """
    from ..execution import shell_template

    body = body.replace(
        '\r\n', '\n'
    )  # a notebook that was edited on Windows: the shell takes the other half for a letter
    text = f'{line.rstrip()}\n{body}'
    if not any(line.strip() and not line.lstrip().startswith('#') for line in body.splitlines()):
        raise CellError(
            'the cell is empty, or only comments: nothing was added. Write the commands below the '
            'line of the magic'
        )
    if len(outputs) > 1:
        raise CellError(
            f'--out {" ".join(outputs)}: a cell for the shell has one output, what it writes to '
            'stdout; nothing was added'
        )
    found = placeholders(body)
    inputs: dict[str, Any] = {}
    for item, number in found.items():
        if item in swept:
            continue
        if item not in namespace:
            near = close_names(item, [key for key in namespace if not key.startswith('_')], 3)
            raise CellError(
                f'line {number:d} of the cell fills in {{{item}}}, which does not exist; nothing '
                'was added. Assign it in a cell above, sweep it with '
                f'--for {item}=..., or write {{{{{item}}}}} for the braces themselves ({near})'
            )
        inputs[item] = namespace[item]
    parameters = [*swept, *inputs]
    values = ', '.join(f'{item!r}: {item}' for item in parameters)
    function = ast.parse(
        f'def {_identifier(name or (outputs[0] if outputs else "bash"))}({", ".join(parameters)}): '
        f'return {_RUN}({body!r}, {{{values}}})'
    )
    node = function.body[0]
    assert isinstance(node, ast.FunctionDef)
    node.end_lineno = text.count('\n') + 1
    return Cell(
        _made(
            node,
            _file(node.name, text),
            text,
            {'__name__': '__main__', _RUN: shell_template.run},
            0,
        ),
        inputs,
        tuple(outputs),
        {},
        {},
    )


def calls(cell: Cell, ranges: Mapping[str, Any], pair: bool = False) -> list[dict[str, Any]]:
    """The arguments of all calls of a sweep.

    Parameters
    ----------
    cell : Cell
    ranges : dict
        What is swept, by name; the last one fastest.
    pair : bool, default=False
        Pair the ranges instead of taking their product.

    Returns
    -------
    calls : list of dict

    Raises
    ------
    CellError
        For what can't be swept.
    """
    if not ranges:
        return [dict(cell.inputs)]
    try:
        sweep = sweep_calls('--for', (), ranges, pair, cell=True)
    except SweepError as exc:
        raise CellError(str(exc)) from None
    return [{**arguments, **cell.inputs} for _, arguments in sweep.calls]
