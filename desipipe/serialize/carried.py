"""What code brings along to another process: text for tracebacks, and modules that it imports when it runs.

Payloads refer to :func:`restore` by name: this module must stay importable under its name, and cheap.
"""

from __future__ import annotations

import importlib.machinery
import sys
import threading
from collections.abc import Mapping, Sequence
from types import CodeType, ModuleType
from typing import Any

__all__ = ['restore']

_lock = threading.Lock()


class Finder:
    """Finds and executes the modules of users that came with payloads, before anything on the path.

    A process that runs two versions of a task imports the module of the version that was loaded last.
    """

    def __init__(self) -> None:
        self.modules: dict[str, tuple[str, str, bool]] = {}  # file, text, whether it is a package

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> importlib.machinery.ModuleSpec | None:
        """See :class:`importlib.abc.MetaPathFinder`."""
        known = self.modules.get(name)
        if known is None:
            return None
        file, _, is_package = known
        spec = importlib.machinery.ModuleSpec(name, self, origin=file, is_package=is_package)  # type: ignore[arg-type]
        spec.has_location = bool(file)  # then it has a `__file__`: people look for data beside it
        if file and spec.submodule_search_locations is not None:
            spec.submodule_search_locations.append(file.rpartition('/')[0])
        return spec

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        """See :class:`importlib.abc.Loader`."""

    def exec_module(self, module: ModuleType) -> None:
        """See :class:`importlib.abc.Loader`."""
        exec(self.get_code(module.__name__), module.__dict__)  # noqa: S102 (this is what an import is)

    def get_code(self, name: str) -> CodeType:
        """See :class:`importlib.abc.InspectLoader`."""
        file, text, _ = self.modules[name]
        return compile(text, file, 'exec', dont_inherit=True)

    def get_source(self, name: str) -> str:
        """See :class:`importlib.abc.InspectLoader`."""
        return self.modules[name][1]


finder = Finder()


def restore(value: Any, texts: Mapping[str, Mapping[int, str]], modules: Mapping[str, tuple[str, str, bool]]) -> Any:
    """Make known what a value brought along.

    Parameters
    ----------
    value : object
        It is returned.
    texts : dict
        File, or name of a notebook's cell: first line and text of the statements that the code is from.
    modules : dict
        Name of a module: file, text, and whether it is a package.

    Returns
    -------
    value : object
    """
    with _lock:
        for file, statements in texts.items():
            _remember(file, statements)
        for name, module in modules.items():
            known = sys.modules.get(name)
            if known is not None and getattr(known, '__loader__', None) is not finder:
                continue  # imported before, by this program itself
            if known is not None and finder.modules.get(name) != module:
                del sys.modules[name]  # that of another version of the task
            finder.modules[name] = module
        if finder.modules and finder not in sys.meta_path:
            # A worker runs what was submitted, whatever the files say by now; a person who types `import` means the file.
            sys.meta_path.insert(len(sys.meta_path) if hasattr(sys, 'ps1') else 0, finder)
    return value


def _remember(file: str, statements: Mapping[int, str]) -> None:
    import linecache

    lines = linecache.getlines(file)
    changed = False
    for first, text in statements.items():
        wanted = text.splitlines(keepends=True)
        if lines[first - 1 : first - 1 + len(wanted)] != wanted:
            # Nothing known, or a file that was edited since: a copy, for the cache may hold the list of someone else.
            lines = [*lines, *['\n'] * (first - 1 + len(wanted) - len(lines))] if len(lines) < first - 1 + len(wanted) else list(lines)
            lines[first - 1 : first - 1 + len(wanted)] = wanted
            changed = True
    if changed:
        # Without a time: such entries are never thrown away.
        linecache.cache[file] = (sum(map(len, lines)), None, lines, file)
