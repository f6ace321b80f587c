"""Modules that functions import when they run: read here, never executed."""

from __future__ import annotations

import ast
import functools
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Iterable
from typing import NamedTuple

from .bytecode import Import
from .modules import MAIN, is_user_spec
from .source import parse
from .syntax_trees import tree


class Static(NamedTuple):
    """A module of the user as it is on disk."""

    name: str
    file: str
    text: str
    is_package: bool
    digest: bytes
    imports: frozenset[Import]
    signature: tuple[int, int]  # of the file when it was read

    @property
    def package(self) -> str:
        """Return the package that its relative imports start from."""
        return self.name if self.is_package else self.name.rpartition('.')[0]


def signature(file: str) -> tuple[int, int]:
    """Return what changes when a file does; zeros if there is none."""
    try:
        status = os.stat(file)
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_size


@functools.lru_cache(maxsize=1024)
def _read(
    name: str, file: str, text: str, is_package: bool, sign: tuple[int, int]
) -> Static | None:
    module = parse(text)
    if module is None:
        return None  # its import will fail, and say why
    imports = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            imports |= {Import(0, alias.name, ()) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imports.add(
                Import(node.level, node.module or '', tuple(alias.name for alias in node.names))
            )
    return Static(name, file, text, is_package, tree(module), frozenset(imports), sign)


def _spec(name: str) -> importlib.machinery.ModuleSpec | None:
    """Find a module without executing it or the packages above it."""
    parent, _, _ = name.rpartition('.')
    try:
        if not parent:
            return importlib.util.find_spec(name)
        above = _spec(parent)
        if above is None or above.submodule_search_locations is None:
            return None
        for finder in sys.meta_path:
            spec = finder.find_spec(name, list(above.submodule_search_locations))
            if spec is not None:
                return spec
    except (ImportError, ValueError, AttributeError):
        return None  # no such module, or one that was made by a program
    return None


def static(name: str) -> Static | None:
    """Read a module of the user; None for every other, and for one without text.

    The file on disk counts, whether or not the module is imported here: it is what another process
    would import.
    """
    spec = _spec(name)
    if spec is None or not is_user_spec(name, spec):
        return None
    if not spec.has_location and spec.submodule_search_locations is not None:
        return _read(name, '', '', True, (0, 0))  # a folder without `__init__.py`
    file = spec.origin or ''
    sign = signature(file)
    get_source = getattr(spec.loader, 'get_source', None)
    try:
        text = get_source(name) if get_source is not None else None
    except (ImportError, OSError):
        return None
    if text is None:
        return None
    return _read(name, file, text, spec.submodule_search_locations is not None, sign)


def imported(statement: Import, package: str) -> tuple[list[Static], set[str]]:
    """Return what an import statement executes.

    Parameters
    ----------
    statement : Import
    package : str
        Of the module that holds the statement.

    Returns
    -------
    modules : list of Static
        Those of the user, packages before what is in them.
    tops : set of str
        Names of the installed packages.
    """
    name = statement.name
    if statement.level:
        base = package.split('.')
        base = base[: len(base) - statement.level + 1]
        name = '.'.join([*base, *([name] if name else [])])
    modules: list[Static] = []
    tops: set[str] = set()
    if not name or name in MAIN:
        return modules, tops
    parts = name.split('.')
    wanted = ['.'.join(parts[: i + 1]) for i in range(len(parts))] + [
        f'{name}.{item}' for item in statement.names if item != '*'
    ]
    top = _spec(parts[0])
    if top is None:
        return modules, tops
    if not is_user_spec(parts[0], top):
        if parts[0] not in sys.stdlib_module_names:
            tops.add(parts[0])
        return modules, tops
    for item in wanted:
        module = static(item)
        if module is not None:
            modules.append(module)
    return modules, tops


def closure(statements: Iterable[Import], package: str) -> tuple[dict[str, Static], set[str]]:
    """Return what import statements execute, with the user's modules among it in turn.

    Returns
    -------
    modules : dict of Static
        By name.
    tops : set of str
        Names of the installed packages.
    """
    modules: dict[str, Static] = {}
    tops: set[str] = set()
    todo = [(statement, package) for statement in statements]
    for statement, where in todo:
        reached, names = imported(statement, where)
        tops |= names
        for module in reached:
            if module.name not in modules:
                modules[module.name] = module
                todo += [(item, module.package) for item in module.imports]
    return modules, tops


def package_of(namespace: dict[str, object]) -> str:
    """Return the package that relative imports of code with these globals start from."""
    package = namespace.get('__package__')
    if isinstance(package, str):
        return package
    name = namespace.get('__name__')
    return (
        name
        if isinstance(name, str) and '__path__' in namespace
        else name.rpartition('.')[0]
        if isinstance(name, str)
        else ''
    )
