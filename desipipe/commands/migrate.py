"""Find what will differ in scripts for desipipe 1.0, without running them."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ..errors import InvalidQueueNameError
from ..queue.events import STATES
from ..queue.names import queue_folder
from .differences import BY_KEY, PAGE
from .script_names import CLASSES, PACKAGE, ScriptNames, has_attribute, has_name, is_missing, is_own
from .script_source import Place, parse_source, read_sources

_BLANKS = re.compile(r'^[^\s"\'$`][^"\'$`]*\s')
_GETTERS = {'result', 'err', 'out'}
_CONTROL = re.compile(r'[\x00-\x1f\x7f-\x9f]')
_OPTIONS = {'environ': 'Environment', 'scheduler': 'Scheduler', 'provider': 'Provider'}
_EXITS = {'exit', 'quit', 'sys.exit', 'os._exit'}
_VARIABLE_NAMES = {'args', 'kwargs', 'kw'}


class Note(NamedTuple):
    """A line that will differ, and why."""

    where: str
    """File and line; of a notebook also the cell."""
    text: str
    """The line."""
    why: str
    change: str
    link: str


def find_notes(path: str) -> list[Note] | None:
    """Find what will differ in a script or notebook.

    Parameters
    ----------
    path : str
        A Python file, or a notebook (.ipynb).

    Returns
    -------
    notes : list of Note
        None if it does not use desipipe.

    Raises
    ------
    RecordError
        It cannot be read.
    """
    places = read_sources(path)
    if not any(PACKAGE in line for source in places for line in source.lines):
        return None
    names = ScriptNames()
    trees = [(source, parse_source(source)) for source in places]
    for _, tree in trees:  # A cell may use what a later one defines.
        names.learn(tree)
    finder = _Finder(names)
    for source, tree in trees:
        finder.look(source, tree)
    return finder.notes


class _Finder:
    """Finds what differs in pieces of Python whose names are known."""

    def __init__(self, names: ScriptNames) -> None:
        self.notes: list[Note] = []
        self._names = names
        self._place = Place('', [])
        self._found: list[tuple[int, Note]] = []
        self._seen: set[tuple[str, int, str]] = set()

    def look(self, source: Place, tree: ast.Module) -> None:
        """Find what differs in a piece of Python."""
        self._place, before = source, len(self.notes)
        for node in ast.walk(tree):
            for find in _FINDERS.get(type(node), ()):
                find(self, node)
        self.notes[before:] = [note for _, note in sorted(self._found, key=lambda item: item[0])]
        self._found = []

    def _differs(self, key: str, line: int, change: str = '') -> None:
        """Note a difference of the table."""
        difference = BY_KEY[key]
        why = f'{difference.what}: desipipe 1.0: {difference.original}; now: {difference.now}'
        self._note(line, why, change or difference.change, difference.link)

    def _note(self, line: int, why: str, change: str, link: str = f'{PAGE}#names') -> None:
        if (self._place.label, line, why) not in self._seen:
            self._seen.add((self._place.label, line, why))
            lines = self._place.lines
            text = _CONTROL.sub('?', lines[line - 1].strip()) if line <= len(lines) else ''
            note = Note(f'{self._place.label}{line:d}', text, why, change, link)
            self._found.append((line, note))

    # What is imported and called

    def find_imports(self, node: ast.ImportFrom) -> None:
        """Find names that are imported and are not there."""
        if not is_own(node):
            return
        module = node.module or PACKAGE
        try:
            target = importlib.import_module(module)
        except ImportError:
            self._note(node.lineno, f'there is no module {module}', 'import from desipipe itself')
            return
        for alias in node.names:
            if alias.name != '*' and not has_name(target, module, alias.name):
                self._note(node.lineno, f'{module} has no {alias.name}', 'leave it out')

    def find_modules(self, node: ast.Import) -> None:
        """Find modules that are imported and are not there."""
        for alias in node.names:
            if alias.name.split('.')[0] == PACKAGE and is_missing(alias.name):
                why = f'there is no module {alias.name}'
                self._note(node.lineno, why, 'import from desipipe itself')

    def find_attributes(self, node: ast.Attribute) -> None:
        """Find attributes of modules and queues that are not there."""
        kind = self._names.kind(node.value)
        if kind.startswith(('module ', 'object ')):
            module = kind[7:]
            if is_missing(module):
                return
            if not has_name(importlib.import_module(module), module, node.attr):
                self._note(node.lineno, f'{module} has no {node.attr}', 'leave it out')
        elif kind == 'queue' and node.attr in ('db', '_query', '_get_lock', '_release_lock'):
            change = 'use the methods of the queue: there is no SQLite'
            self._differs('queue-files', node.lineno, change)
        elif kind in CLASSES and not has_attribute(kind, node.attr):
            self._note(node.lineno, f'a {kind} has no {node.attr}', 'leave it out')

    def find_options(self, node: ast.Call) -> None:
        """Find arguments that are not known, and options of providers that are refused."""
        called = self._names.called(node)
        if called is None:
            return
        try:
            parameters = inspect.signature(called).parameters
        except (TypeError, ValueError):
            return
        if getattr(called, '__name__', '') in _OPTIONS.values():
            self._find_refused_call(node, called)
        kinds = {parameter.kind for parameter in parameters.values()}
        takes_all = inspect.Parameter.VAR_KEYWORD in kinds
        for keyword in node.keywords:
            if keyword.arg and keyword.arg not in parameters and not takes_all:
                why = f'{getattr(called, "__name__", called)}() has no argument {keyword.arg!r}'
                self._note(keyword.value.lineno, why, f'leave {keyword.arg}= out')
            elif keyword.arg in _OPTIONS:
                self._find_refused(keyword)

    def _find_refused(self, keyword: ast.keyword) -> None:
        """Find options that are written down in full and are refused."""
        value = _constant(keyword.value)
        if isinstance(value, dict | str) and keyword.arg is not None:
            maker = getattr(importlib.import_module(PACKAGE), _OPTIONS[keyword.arg])
            self._try(lambda: maker(value), f'{keyword.arg}=', keyword.value.lineno)

    def _find_refused_call(self, node: ast.Call, maker: Callable[..., object]) -> None:
        """Find environments, providers and schedulers that are made with what is refused."""
        args = [_constant(arg) for arg in node.args]
        given = {keyword.arg or '**': _constant(keyword.value) for keyword in node.keywords}
        if None not in (*args, *given.values()):
            self._try(
                lambda: maker(*args, **given), f'{getattr(maker, "__name__", "")}()', node.lineno
            )

    def _try(self, make: Callable[[], object], what: str, line: int) -> None:
        try:
            make()
        except Exception as exc:  # of an own provider, too
            self._note(line, f'{what} is refused: {exc}', 'give options that are known')

    def find_queue_names(self, node: ast.Call) -> None:
        """Find names that a queue cannot have."""
        name = _constant(node.args[0]) if node.args else None
        if isinstance(name, str) and getattr(self._names.called(node), '__name__', '') == 'Queue':
            try:
                queue_folder(name)
            except InvalidQueueNameError as exc:
                self._differs('queue-files', node.lineno, f'give it another name: {exc}')

    # What means something else

    def find_files(self, node: ast.Constant) -> None:
        """Find names of SQLite files, and of what is kept beside files."""
        if isinstance(node.value, str) and node.value.endswith('.sqlite'):
            self._differs('queue-files', node.lineno)
        if isinstance(node.value, str) and '.desipipe' in node.value.split('/'):
            self._differs('printed', node.lineno)
        if isinstance(node.value, str) and 'SLURM_STEP_' in node.value:
            change = "provider=dict(mpiexec='srun -N {nodes:d} -n {mpiprocs:d} {cmd}')"
            why = 'a Slurm worker of one process is no step: srun does not start it'
            self._note(node.lineno, why, change, f'{PAGE}#steps')

    def find_calls(self, node: ast.Call) -> None:
        """Find calls that return, or do, something else."""
        function = node.func
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, 'id', '')
        given = {keyword.arg for keyword in node.keywords}
        if isinstance(function, ast.Attribute) and name in _GETTERS:
            if given & {'timeout', 'timestep'} or node.args:
                self._differs('results', node.lineno)
        for keyword in node.keywords:
            if keyword.arg == 'state' and self._has_unknown_state(keyword.value):
                self._differs('spelling', node.lineno, f'states are {", ".join(STATES)}')
            if keyword.arg in ('environ', 'data'):
                self._find_blanks(keyword.value)
            if keyword.arg in ('path', 'link') and '${' in str(_constant(keyword.value) or ''):
                self._differs('environments', keyword.value.lineno)
        if self._names.kind(function).endswith('.Environment'):
            for value in node.args:
                self._find_blanks(value)

    def _has_unknown_state(self, node: ast.expr) -> bool:
        value = _constant(node)
        states = value if isinstance(value, list | tuple) else [value]
        return any(isinstance(state, str) and state not in STATES for state in states)

    def _find_blanks(self, node: ast.expr) -> None:
        value = _constant(node)
        for text in value.values() if isinstance(value, dict) else ():
            if isinstance(text, str) and _BLANKS.search(text.strip()):
                self._differs('environments', node.lineno)

    def find_comparisons(self, node: ast.Compare) -> None:
        """Find results that are compared with None, and lengths of identities."""
        sides = [node.left, *node.comparators]
        if any(isinstance(side, ast.Constant) and side.value is None for side in sides):
            if any(_called_attribute(side) in _GETTERS for side in sides):
                self._differs('results', node.lineno)
        if any(isinstance(side, ast.Constant) and side.value == 36 for side in sides):
            if any(isinstance(side, ast.Call) and _name(side.func) == 'len' for side in sides):
                self._differs('identities', node.lineno, 'compare with 32')

    def find_identities(self, node: ast.Call) -> None:
        """Find identities of tasks that are read as UUIDs with dashes."""
        function = node.func
        if _name(function).rpartition('.')[2] != 'UUID':
            return
        if any(isinstance(arg, ast.Attribute) and arg.attr in ('id', 'tid') for arg in node.args):
            self._differs('identities', node.lineno, 'compare identities as text')

    def find_conditions(self, node: ast.AST) -> None:
        """Find what files exist as a condition."""
        for test in _tests(node):
            called = test.operand if isinstance(test, ast.UnaryOp) else test
            function = called.func if isinstance(called, ast.Call) else None
            if isinstance(function, ast.Attribute) and function.attr == 'exists':
                if self._names.kind(function.value) == 'files':
                    self._differs('exists', called.lineno)

    def find_kwargs(self, node: ast.Subscript) -> None:
        """Find names of variable arguments."""
        owner = node.value
        if isinstance(owner, ast.Attribute) and owner.attr == 'kwargs':
            if _constant(node.slice) in _VARIABLE_NAMES:
                self._differs('variable-arguments', node.lineno)

    def find_apps(self, node: ast.FunctionDef) -> None:
        """Find apps whose tasks do something else."""
        kinds = {_decorator(decorator) for decorator in node.decorator_list}
        if not kinds & {'python_app', 'bash_app'}:
            return
        for inner in ast.walk(node):
            if isinstance(inner, ast.Call) and _name(inner.func) in _EXITS:
                self._differs('hung', inner.lineno)
            if 'bash_app' not in kinds or not isinstance(inner, ast.Constant):
                continue
            if _is_relative(inner.value):
                self._differs('bash-folder', inner.lineno)


def _called_attribute(node: ast.expr) -> str:
    function = node.func if isinstance(node, ast.Call) else None
    return function.attr if isinstance(function, ast.Attribute) else ''


def _constant(node: ast.expr | None) -> Any:
    """Return the value of a constant expression, ``dict(...)`` included; else None."""
    if node is None:
        return None
    if isinstance(node, ast.Call) and getattr(node.func, 'id', '') == 'dict' and not node.args:
        values = {keyword.arg: _constant(keyword.value) for keyword in node.keywords if keyword.arg}
        constant = [keyword for keyword in node.keywords if _is_constant(keyword.value)]
        return values if len(values) == len(constant) == len(node.keywords) else None
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None


def _is_constant(node: ast.expr) -> bool:
    return _constant(node) is not None or (isinstance(node, ast.Constant) and node.value is None)


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f'{_name(node.value)}.{node.attr}'
    return node.id if isinstance(node, ast.Name) else ''


def _decorator(node: ast.expr) -> str:
    function = node.func if isinstance(node, ast.Call) else node
    return function.attr if isinstance(function, ast.Attribute) else ''


def _is_relative(value: Any) -> bool:
    if not isinstance(value, str) or os.path.isabs(value) or re.search(r'\s|://', value):
        return False
    return bool(re.search(r'^\.\.?/|[\w.-]/[\w.-]|\.(?:py|sh|yaml|fits|txt)$', value))


def _tests(node: ast.AST) -> Iterator[ast.expr]:
    if isinstance(node, ast.If | ast.While | ast.IfExp | ast.Assert):
        yield node.test
    elif isinstance(node, ast.BoolOp):
        yield from node.values
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node.operand


_CONDITIONS = (ast.If, ast.While, ast.IfExp, ast.Assert, ast.BoolOp, ast.UnaryOp)
_FINDERS: dict[type, tuple[Callable[[_Finder, Any], None], ...]] = {
    ast.ImportFrom: (_Finder.find_imports,),
    ast.Import: (_Finder.find_modules,),
    ast.Attribute: (_Finder.find_attributes,),
    ast.Call: (
        _Finder.find_options,
        _Finder.find_queue_names,
        _Finder.find_calls,
        _Finder.find_identities,
    ),
    ast.Constant: (_Finder.find_files,),
    ast.Compare: (_Finder.find_comparisons,),
    ast.Subscript: (_Finder.find_kwargs,),
    ast.FunctionDef: (_Finder.find_apps,),
    **dict.fromkeys(_CONDITIONS, (_Finder.find_conditions,)),
}
