"""Digest what cells import from modules beside the notebook, by their text."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from typing import NamedTuple

from ..serialize import source, syntax_trees

_SIZE_MAX = 4_000_000  # bytes of a module that is read
_DEPTH_MAX = 20  # modules that import each other


class Imported(NamedTuple):
    """Something that is imported."""

    module: str
    """Dotted name."""
    name: str = ''
    """Name in it; empty: the module itself."""


def imports_in(node: ast.AST) -> tuple[Imported, ...]:
    """Find what the import statements in a syntax tree import, in functions too.

    Relative imports are left out: a notebook is in no package.
    """
    imports: dict[Imported, None] = {}
    for item in ast.walk(node):
        if isinstance(item, ast.Import):
            imports.update({Imported(alias.name): None for alias in item.names})
        elif isinstance(item, ast.ImportFrom) and item.module and not item.level:
            for alias in item.names:
                name = '' if alias.name == '*' else alias.name
                imports[Imported(item.module, name)] = None
    return tuple(imports)


class Modules:
    """The modules in a folder, as files.

    Parameters
    ----------
    folder : str
        That of the notebook.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._trees: dict[str, tuple[tuple[int, int], ast.Module | None]] = {}

    def digests(self, imported: Imported) -> dict[str, str]:
        """Return the digests of own modules that an import reaches, by their dotted names."""
        digests: dict[str, str] = {}
        self._add(imported, digests, _DEPTH_MAX)
        return digests

    def _add(self, imported: Imported, digests: dict[str, str], depth: int) -> None:
        names = [imported.module]
        if imported.name:
            names.append(f'{imported.module}.{imported.name}')  # it may be a module
        for name in [*_packages(imported.module), *names]:
            file = self._file(name)
            if not file or name in digests:
                continue
            tree = self._tree(file)
            digests[name] = '' if tree is None else syntax_trees.tree(tree).hex()[:8]
            if tree is not None and depth:
                for other in _imports_of(tree, name, file.endswith('__init__.py')):
                    self._add(other, digests, depth - 1)

    def _file(self, name: str) -> str:
        stem = os.path.join(self._folder, *name.split('.'))
        for path in (os.path.join(stem, '__init__.py'), f'{stem}.py'):
            if os.path.isfile(path):
                return path
        return ''

    def _tree(self, path: str) -> ast.Module | None:
        """Parse a file; return None if it is no module that can be read."""
        try:
            status = os.stat(path)
            version = status.st_mtime_ns, status.st_size
            if self._trees.get(path, ((0, 0), None))[0] != version:
                self._trees[path] = version, _parse(path, status.st_size)
        except (OSError, ValueError):
            return None
        return self._trees[path][1]


def _parse(path: str, size: int) -> ast.Module | None:
    if size > _SIZE_MAX:
        return None
    with open(path, encoding='utf-8', errors='replace') as file:
        return source.parse(file.read())


def _packages(name: str) -> list[str]:
    parts = name.split('.')[:-1]
    return ['.'.join(parts[: i + 1]) for i in range(len(parts))]


def _imports_of(tree: ast.Module, name: str, is_package: bool) -> Iterator[Imported]:
    """Yield what a module imports, relative imports with their whole names."""
    yield from imports_in(tree)
    parts = name.split('.')
    for item in ast.walk(tree):
        if isinstance(item, ast.ImportFrom) and item.level:
            base = parts[: len(parts) - item.level + is_package]
            dotted = '.'.join([*base, *([item.module] if item.module else [])])
            for alias in item.names if dotted else ():
                yield Imported(dotted, '' if alias.name == '*' else alias.name)
