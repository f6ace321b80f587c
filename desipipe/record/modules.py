"""Record the modules beside a notebook or script, with the code that used them."""

from __future__ import annotations

import ast
import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from ..serialize import source as sources
from ..serialize import syntax_trees
from .model_types import AppEntry, Json, ModuleEntry

MODULES_MAX = 500
SIZE_MAX_BYTES = 20 << 20  # of all modules together
_LABEL = re.compile(r'(?:module|function|class) ([\w.]+)(?: \(imported\))?')
_PATH = re.compile(r'(?:[A-Za-z_]\w*/)*[A-Za-z_]\w*\.py', re.ASCII)


class Module(NamedTuple):
    """A module of the user's own, as a file."""

    path: str
    """Relative to the folder that it is imported from."""
    data: bytes


def used_modules(parts: Iterable[str], folders: Sequence[str]) -> list[Module]:
    """Find the modules that code used, and those that these import, of the user.

    Parameters
    ----------
    parts : iterable of str
        Labels of parts of apps' identities.
    folders : sequence of str
        Folders that modules are imported from, in this order.

    Returns
    -------
    modules : list of Module
        In the order of their paths.
    """
    by_path: dict[str, Module] = {}
    todo = [match[1] for part in parts if (match := _LABEL.fullmatch(part))]
    size = 0
    seen: set[str] = set()
    while todo and len(by_path) < MODULES_MAX:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        for module, inner in _files_of(name, folders):
            size += len(module.data)
            if module.path in by_path or size > SIZE_MAX_BYTES:
                continue
            by_path[module.path] = module
            todo += _imports(module.data, inner, module.path.endswith('__init__.py'))
    return [by_path[path] for path in sorted(by_path)]


def _files_of(name: str, folders: Sequence[str]) -> Iterator[tuple[Module, str]]:
    """Find the files of a dotted name: its packages, and the module that it names.

    The rest of the name is something in the module.
    """
    members = name.split('.')
    for folder in folders:
        files = []
        for n in range(1, len(members) + 1):
            stem = os.path.join(*members[:n])
            relative = next(
                (
                    path
                    for path in (os.path.join(stem, '__init__.py'), f'{stem}.py')
                    if os.path.isfile(os.path.join(folder, path))
                ),
                None,
            )
            if relative is None:
                if os.path.isdir(os.path.join(folder, stem)):
                    continue  # a namespace: it has no file
                break
            files.append((relative, '.'.join(members[:n])))
        if files:
            for relative, inner in files:
                try:
                    with open(os.path.join(folder, relative), 'rb') as file:
                        yield (
                            Module(relative.replace(os.sep, '/'), file.read(SIZE_MAX_BYTES + 1)),
                            inner,
                        )
                except OSError:
                    continue  # it was deleted at this moment
            return


def _imports(data: bytes, name: str, is_package: bool) -> list[str]:
    try:
        tree = ast.parse(data)
    except (SyntaxError, ValueError, RecursionError):
        return []
    package = name if is_package else name.rpartition('.')[0]
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = (
                package.split('.')[: len(package.split('.')) - node.level + 1] if node.level else []
            )
            prefix = '.'.join([*filter(None, base), *([node.module] if node.module else [])])
            names += [
                prefix,
                *(
                    f'{prefix}.{alias.name}'.lstrip('.')
                    for alias in node.names
                    if alias.name != '*'
                ),
            ]
    return [item for item in names if item]


def describe(modules: Sequence[Module], keep: Callable[[bytes], object]) -> list[ModuleEntry]:
    """Describe modules as a record holds them.

    Parameters
    ----------
    modules : sequence of Module
    keep : callable
        Keeps the bytes, where they are asked for.
    """
    for module in modules:
        keep(module.data)
    return [
        {
            'path': module.path,
            'size': len(module.data),
            'sha256': hashlib.sha256(module.data).hexdigest(),
        }
        for module in modules
    ]


def changed_functions(app: AppEntry, texts: Mapping[str, str]) -> list[str]:
    """Return functions that an app used and its recorded modules do not hold so.

    Parameters
    ----------
    app : dict
        Of a model.
    texts : dict
        Texts of modules by their paths.
    """
    changed = []
    for label, pieces in app.get('pieces', {}).items():
        match = re.fullmatch(r'module ([\w.]+)', label)
        if match is None or not pieces or not pieces[0].startswith('0x'):
            continue
        text = _text_of(match[1], texts)
        if text is not None and pieces[0].removeprefix('0x') not in _function_digests(text):
            changed.append(match[1])
    return changed


def _text_of(name: str, texts: Mapping[str, str]) -> str | None:
    members = name.split('.')
    for n in range(len(members) - 1, 0, -1):
        stem = '/'.join(members[:n])
        for path in (f'{stem}.py', f'{stem}/__init__.py'):
            if path in texts:
                return texts[path]
    return None


def _function_digests(text: str) -> set[str]:
    tree = sources.parse(text)
    return {
        syntax_trees.tree(item, decorators, defaults).hex()
        for item in (ast.walk(tree) if tree is not None else ())
        if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for decorators in (True, False)
        for defaults in (True, False)
    }


class Written(NamedTuple):
    """The result of writing the modules of a record."""

    written: list[str]
    same: list[str]
    kept: list[str]
    """Others of these names were there: they stay."""


def write_modules(
    modules: Sequence[Json], payload: Callable[[str], bytes | None], folder: str
) -> Written:
    """Write recorded modules below a folder; what is there is never written over.

    Parameters
    ----------
    modules : sequence of dict
        As :func:`describe` made them; whoever changed the record may have put anything there.
    payload : callable
        Gives the bytes of a digest.
    folder : str
    """
    done = Written([], [], [])
    for entry in modules:
        path = str(entry.get('path', ''))
        data = payload(str(entry.get('sha256', '')))
        if data is None or not _PATH.fullmatch(path):
            continue
        full = os.path.join(folder, *path.split('/'))
        if os.path.realpath(full) != os.path.join(os.path.realpath(folder), *path.split('/')):
            done.kept.append(path)  # a link leads elsewhere
            continue
        try:
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, 'xb') as file:
                file.write(data)
        except FileExistsError:
            with open(full, 'rb') as file:
                (done.same if file.read() == data else done.kept).append(path)
        else:
            done.written.append(path)
    return done
