"""Find what will differ in scripts for desipipe 1.0, without running them."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ..queue.events import STATES
from .differences import BY_KEY, PAGE
from .script_source import Place, parse_source, read_sources

_PACKAGE = 'desipipe'
_BLANKS = re.compile(r'^[^\s"\'$`][^"\'$`]*\s')
_GETTERS = {'result', 'err', 'out'}
_CONTROL = re.compile(r'[\x00-\x1f\x7f-\x9f]')
_MADE = {
    'Queue': 'queue',
    'get_queue': 'queue',
    'TaskManager': 'task manager',
    'FileManager': 'files',
}
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
    if not any(_PACKAGE in line for source in places for line in source.lines):
        return None
    finder = _Finder()
    trees = [(source, parse_source(source)) for source in places]
    for _, tree in trees:  # A cell may use what a later one defines.
        finder.learn(tree)
    for source, tree in trees:
        finder.look(source, tree)
    return finder.notes


class _Finder:
    """Knows what the names of a script stand for, and finds what differs."""

    def __init__(self) -> None:
        self.notes: list[Note] = []
        self._kinds: dict[str, str] = {}
        """Names and their kinds: a key of ``_CLASSES``, ``'module NAME'``, ``'object NAME'``."""
        self._place = Place('', [])
        self._found: list[tuple[int, Note]] = []
        self._seen: set[tuple[str, int, str]] = set()

    # Names

    def learn(self, tree: ast.Module) -> None:
        """Note what the names stand for that a piece of Python binds."""
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    if alias.name.split('.')[0] == _PACKAGE:
                        name = alias.name if alias.asname else _PACKAGE
                        self._kinds[alias.asname or _PACKAGE] = f'module {name}'
            elif isinstance(node, ast.ImportFrom) and _is_own(node):
                for alias in node.names:
                    for name in _exported(str(node.module)) if alias.name == '*' else [alias.name]:
                        self._kinds[alias.asname or name] = f'object {node.module}.{name}'
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                kind = self._kind(node.value)
                if kind:
                    self._kinds[node.targets[0].id] = kind

    def _kind(self, node: ast.expr) -> str:
        """Return what an expression stands for; empty if that is not known."""
        if isinstance(node, ast.Name):
            return self._kinds.get(node.id, '')
        if isinstance(node, ast.Attribute):
            kind = self._kind(node.value)
            if kind.startswith(('module ', 'object ')) and not _missing_module(kind[7:]):
                return f'object {kind[7:]}.{node.attr}'
            return 'queue' if kind == 'task manager' and node.attr == 'queue' else ''
        if not isinstance(node, ast.Call):
            return ''
        kind = self._kind(node.func)
        if kind.startswith('object '):
            return _MADE.get(kind.rpartition('.')[2], '')
        if isinstance(node.func, ast.Attribute):
            owner = self._kind(node.func.value)
            if owner == 'files' and node.func.attr in ('select', 'clone', 'copy'):
                return owner
            if owner == 'task manager' and node.func.attr in ('clone', 'copy'):
                return owner
        return ''

    # Notes

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
        if not _is_own(node):
            return
        module = node.module or _PACKAGE
        try:
            target = importlib.import_module(module)
        except ImportError:
            self._note(node.lineno, f'there is no module {module}', 'import from desipipe itself')
            return
        for alias in node.names:
            if alias.name != '*' and not _has(target, module, alias.name):
                self._note(node.lineno, f'{module} has no {alias.name}', 'leave it out')

    def find_modules(self, node: ast.Import) -> None:
        """Find modules that are imported and are not there."""
        for alias in node.names:
            if alias.name.split('.')[0] == _PACKAGE and _missing_module(alias.name):
                why = f'there is no module {alias.name}'
                self._note(node.lineno, why, 'import from desipipe itself')

    def find_attributes(self, node: ast.Attribute) -> None:
        """Find attributes of modules and queues that are not there."""
        kind = self._kind(node.value)
        if kind.startswith(('module ', 'object ')):
            module = kind[7:]
            if _missing_module(module):
                return
            if not _has(importlib.import_module(module), module, node.attr):
                self._note(node.lineno, f'{module} has no {node.attr}', 'leave it out')
        elif kind == 'queue' and node.attr in ('db', '_query', '_get_lock', '_release_lock'):
            change = 'use the methods of the queue: there is no SQLite'
            self._differs('queue-files', node.lineno, change)
        elif kind in _CLASSES and not _has_attribute(kind, node.attr):
            self._note(node.lineno, f'a {kind} has no {node.attr}', 'leave it out')

    def find_options(self, node: ast.Call) -> None:
        """Find arguments that are not known, and options of providers that are refused."""
        called = self._called(node)
        if called is None:
            return
        try:
            parameters = inspect.signature(called).parameters
        except (TypeError, ValueError):
            return
        kinds = {parameter.kind for parameter in parameters.values()}
        takes_all = inspect.Parameter.VAR_KEYWORD in kinds
        for keyword in node.keywords:
            if keyword.arg and keyword.arg not in parameters and not takes_all:
                why = f'{getattr(called, "__name__", called)}() has no argument {keyword.arg!r}'
                self._note(keyword.value.lineno, why, f'leave {keyword.arg}= out')
            elif keyword.arg in _OPTIONS:
                self._find_refused(keyword)

    def _called(self, node: ast.Call) -> Any:
        kind = self._kind(node.func)
        if kind.startswith('object '):
            module, _, name = kind[7:].rpartition('.')
            if _missing_module(module):
                return None
            return getattr(importlib.import_module(module), name, None)
        if isinstance(node.func, ast.Attribute):
            owner = self._kind(node.func.value)
            return getattr(_class(owner), node.func.attr, None) if owner in _CLASSES else None
        return None

    def _find_refused(self, keyword: ast.keyword) -> None:
        """Find options that are written down in full and are refused."""
        value = _constant(keyword.value)
        if not isinstance(value, dict | str) or keyword.arg is None:
            return
        maker = getattr(importlib.import_module(_PACKAGE), _OPTIONS[keyword.arg])
        try:
            maker(value)
        except Exception as exc:  # of an own provider, too
            why = f'{keyword.arg}= is refused: {exc}'
            self._note(keyword.value.lineno, why, 'give options that are known')

    # What means something else

    def find_files(self, node: ast.Constant) -> None:
        """Find names of SQLite files, and of what is kept beside files."""
        if isinstance(node.value, str) and node.value.endswith('.sqlite'):
            self._differs('queue-files', node.lineno)
        if isinstance(node.value, str) and '.desipipe' in node.value.split('/'):
            self._differs('printed', node.lineno)

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
        if self._kind(function).endswith('.Environment'):
            for value in node.args:
                self._find_blanks(value)

    def _has_unknown_state(self, node: ast.expr) -> bool:
        value = _constant(node)
        states = [value] if isinstance(value, str) else value
        return isinstance(states, list | tuple) and any(
            isinstance(state, str) and state not in STATES for state in states
        )

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
                if self._kind(function.value) == 'files':
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


def _is_own(node: ast.ImportFrom) -> bool:
    return not node.level and (node.module or '').split('.')[0] == _PACKAGE


def _called_attribute(node: ast.expr) -> str:
    function = node.func if isinstance(node, ast.Call) else None
    return function.attr if isinstance(function, ast.Attribute) else ''


def _missing_module(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:
        return True
    return False


def _exported(module: str) -> list[str]:
    if _missing_module(module):
        return []
    target = importlib.import_module(module)
    return list(getattr(target, '__all__', None) or dir(target))


def _has(target: Any, module: str, name: str) -> bool:
    return hasattr(target, name) or not _missing_module(f'{module}.{name}')


def _class(kind: str) -> Any:
    return getattr(importlib.import_module(_PACKAGE), _CLASSES[kind])


def _has_attribute(kind: str, name: str) -> bool:
    cls = _class(kind)
    if hasattr(cls, name) or name in getattr(cls, '__annotations__', {}):
        return True
    # Attributes that the constructor sets are seen in its text only.
    own = [base for base in cls.__mro__[:-1] if base.__module__.startswith(_PACKAGE)]
    return any(f'self.{name}' in inspect.getsource(base) for base in own)


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


_CLASSES = {'queue': 'Queue', 'task manager': 'TaskManager', 'files': 'FileManager'}
_CONDITIONS = (ast.If, ast.While, ast.IfExp, ast.Assert, ast.BoolOp, ast.UnaryOp)
_FINDERS: dict[type, tuple[Callable[[_Finder, Any], None], ...]] = {
    ast.ImportFrom: (_Finder.find_imports,),
    ast.Import: (_Finder.find_modules,),
    ast.Attribute: (_Finder.find_attributes,),
    ast.Call: (_Finder.find_options, _Finder.find_calls, _Finder.find_identities),
    ast.Constant: (_Finder.find_files,),
    ast.Compare: (_Finder.find_comparisons,),
    ast.Subscript: (_Finder.find_kwargs,),
    ast.FunctionDef: (_Finder.find_apps,),
    **dict.fromkeys(_CONDITIONS, (_Finder.find_conditions,)),
}
