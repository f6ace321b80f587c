"""The names of a script or notebook that stand for something of desipipe."""

from __future__ import annotations

import ast
import importlib
import inspect
from typing import Any

PACKAGE = 'desipipe'
_MADE = {
    'Queue': 'queue',
    'get_queue': 'queue',
    'TaskManager': 'task manager',
    'FileManager': 'files',
}
CLASSES = {'queue': 'Queue', 'task manager': 'TaskManager', 'files': 'FileManager'}


class ScriptNames:
    """Knows what the names of a script stand for, without running it.

    A kind is a key of ``CLASSES``, ``'module NAME'`` or ``'object NAME'``.
    """

    def __init__(self) -> None:
        self._kinds: dict[str, str] = {}

    def learn(self, tree: ast.Module) -> None:
        """Note what the names stand for that a piece of Python binds."""
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    if alias.name.split('.')[0] == PACKAGE:
                        name = alias.name if alias.asname else PACKAGE
                        self._kinds[alias.asname or PACKAGE] = f'module {name}'
            elif isinstance(node, ast.ImportFrom) and is_own(node):
                for alias in node.names:
                    for name in _exported(str(node.module)) if alias.name == '*' else [alias.name]:
                        self._kinds[alias.asname or name] = f'object {node.module}.{name}'
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                kind = self.kind(node.value)
                if kind:
                    self._kinds[node.targets[0].id] = kind

    def kind(self, node: ast.expr) -> str:
        """Return what an expression stands for; empty if that is not known."""
        if isinstance(node, ast.Name):
            return self._kinds.get(node.id, '')
        if isinstance(node, ast.Attribute):
            kind = self.kind(node.value)
            if kind.startswith(('module ', 'object ')) and not is_missing(kind[7:]):
                return f'object {kind[7:]}.{node.attr}'
            return 'queue' if kind == 'task manager' and node.attr == 'queue' else ''
        if not isinstance(node, ast.Call):
            return ''
        kind = self.kind(node.func)
        if kind.startswith('object '):
            return _MADE.get(kind.rpartition('.')[2], '')
        if isinstance(node.func, ast.Attribute):
            owner = self.kind(node.func.value)
            if owner == 'files' and node.func.attr in ('select', 'clone', 'copy'):
                return owner
            if owner == 'task manager' and node.func.attr in ('clone', 'copy'):
                return owner
        return ''

    def called(self, node: ast.Call) -> Any:
        """Return the function or class that is called; None if it is not desipipe's."""
        kind = self.kind(node.func)
        if kind.startswith('object '):
            module, _, name = kind[7:].rpartition('.')
            if is_missing(module):
                return None
            return getattr(importlib.import_module(module), name, None)
        if isinstance(node.func, ast.Attribute):
            owner = self.kind(node.func.value)
            return getattr(_class(owner), node.func.attr, None) if owner in CLASSES else None
        return None


def is_own(node: ast.ImportFrom) -> bool:
    """Return True if names are imported from desipipe."""
    return not node.level and (node.module or '').split('.')[0] == PACKAGE


def is_missing(name: str) -> bool:
    """Return True if there is no such module."""
    try:
        importlib.import_module(name)
    except ImportError:
        return True
    return False


def _exported(module: str) -> list[str]:
    if is_missing(module):
        return []
    target = importlib.import_module(module)
    return list(getattr(target, '__all__', None) or dir(target))


def has_name(target: Any, module: str, name: str) -> bool:
    """Return True if a module has a name or a module in it."""
    return hasattr(target, name) or not is_missing(f'{module}.{name}')


def _class(kind: str) -> Any:
    return getattr(importlib.import_module(PACKAGE), CLASSES[kind])


def has_attribute(kind: str, name: str) -> bool:
    """Return True if objects of a key of ``CLASSES`` have an attribute."""
    cls = _class(kind)
    if hasattr(cls, name) or name in getattr(cls, '__annotations__', {}):
        return True
    # Attributes that the constructor sets are seen in its text only.
    own = [base for base in cls.__mro__[:-1] if base.__module__.startswith(PACKAGE)]
    return any(f'self.{name}' in inspect.getsource(base) for base in own)
