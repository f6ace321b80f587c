"""Carry to another process the module texts and imports that code needs.

Payloads refer to :func:`install`, :func:`second` and :func:`restore` by name: this module must stay
importable under its name, and cheap.
"""

from __future__ import annotations

import importlib.machinery
import sys
import threading
from collections.abc import Mapping, Sequence
from types import CodeType, ModuleType
from typing import Any, NamedTuple

from .modules import MAIN, is_user

__all__ = ['current_modules', 'current_version', 'install', 'restore', 'second', 'start_task']

Carried = tuple[str, str, bool]
"""File and text of a module, and whether it is a package."""
KEPT_MAX = 16  # sets of modules of other versions of tasks, which are kept to be used again
_lock = threading.RLock()


class Finder:
    """Importer of the users' modules that came with payloads, before ``sys.path``.

    A slot has those of the task that runs; another process those that were loaded last.
    """

    def __init__(self) -> None:
        self.modules: dict[str, Carried] = {}
        self.executed: dict[str, Carried] = {}
        """Modules of these in :data:`sys.modules`, as they were when they were executed."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """See :class:`importlib.abc.MetaPathFinder`."""
        carried = self.modules.get(name)
        if carried is None:
            return None
        file, _, is_package = carried
        spec = importlib.machinery.ModuleSpec(name, self, origin=file, is_package=is_package)  # type: ignore[arg-type]
        spec.has_location = bool(file)  # then it has a `__file__`: people look for data beside it
        if file and spec.submodule_search_locations is not None:
            spec.submodule_search_locations.append(file.rpartition('/')[0])
        return spec

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        """See :class:`importlib.abc.Loader`."""

    def exec_module(self, module: ModuleType) -> None:
        """See :class:`importlib.abc.Loader`."""
        name = module.__name__
        self.executed[name] = carried = self.modules[name]
        if carried[0]:
            _remember(carried[0], {1: carried[1]})  # the file may hold another version by now
        exec(self.get_code(name), module.__dict__)  # noqa: S102 (this is what an import is)

    def get_code(self, name: str) -> CodeType:
        """See :class:`importlib.abc.InspectLoader`."""
        file, text, _ = self.modules[name]
        return compile(text, file, 'exec', dont_inherit=True)

    def get_source(self, name: str) -> str:
        """See :class:`importlib.abc.InspectLoader`."""
        return self.modules[name][1]


finder = Finder()


class _Kept(NamedTuple):
    """Modules that were executed for a version of a task, while another version runs."""

    version: int
    executed: dict[str, Carried]
    modules: dict[str, ModuleType]


_own: frozenset[str] | None = (
    None  # modules that a slot had before its first task; None where no slot runs tasks
)
_version = 0
_versions = 0
_kept: list[_Kept] = []
_of_arguments: set[str] = set()  # names of modules that are not of the task's code


def start_task() -> None:
    """Start a task in a slot: the payloads loaded next provide the modules it imports."""
    global _own
    if _own is None:
        _own = frozenset(sys.modules)
    finder.modules = {}
    _be_asked()


def current_modules() -> dict[str, Carried]:
    """Return the modules that the payloads of the task brought so far."""
    return dict(finder.modules)


def has_modules() -> bool:
    """Return True if payloads of the task brought modules."""
    return bool(finder.modules)


def current_version() -> int:
    """Return a number that changes when the modules that code may refer to change."""
    return _version


def install(texts: Mapping[str, Mapping[int, str]], modules: Mapping[str, Carried]) -> None:
    """Make known what a value brings along, before the value is made.

    Parameters
    ----------
    texts : dict
        File, or name of a notebook's cell: first line and text of the statements that the code is
        from.
    modules : dict
        Modules by name.
    """
    with _lock:
        for file, statements in texts.items():
            _remember(file, statements)
        if not modules:
            return
        if _own is None:
            _take(modules)
        else:
            _take_for_task(modules, _own)
        _be_asked()


def _be_asked() -> None:
    """Have imports ask the finder."""
    if finder not in sys.meta_path:
        # A worker runs what was submitted, whatever the files say by now; a person who types
        # `import` means the file.
        sys.meta_path.insert(len(sys.meta_path) if hasattr(sys, 'ps1') else 0, finder)


def second(_: None, value: Any) -> Any:
    """Return the value that was made after :func:`install`."""
    return value


def restore(
    value: Any, texts: Mapping[str, Mapping[int, str]], modules: Mapping[str, Carried]
) -> Any:
    """Make known what a value brought along, and return it."""
    install(texts, modules)
    return value


def _take(modules: Mapping[str, Carried]) -> None:
    """Make modules importable; those that this program imported itself stay."""
    changed = False
    for name, module in modules.items():
        if name in sys.modules and not _is_ours(name):
            continue
        changed = changed or finder.executed.get(name, module) != module
        finder.modules[name] = module
    if changed:
        _put_away()


def _take_for_task(modules: Mapping[str, Carried], own: frozenset[str]) -> None:
    """Make modules importable for the running task; those that came with its code win."""
    is_first = not finder.modules
    new = {name: module for name, module in modules.items() if name not in finder.modules}
    finder.modules.update(new)
    carried = finder.modules
    if is_first:
        # Those that arguments of another task brought are imported by nothing else.
        for name in _of_arguments:
            sys.modules.pop(name, None)
            finder.executed.pop(name, None)
        _of_arguments.clear()
        if any(carried.get(name) != module for name, module in finder.executed.items()):
            _put_away()
            _bring_back()
    else:
        _of_arguments.update(new)
    read = [
        name for name in carried if name in sys.modules and name not in own and not _is_ours(name)
    ]
    if read:
        # Another task read them from files, and what it read may refer to them.
        for name in [
            name
            for name in list(sys.modules)
            if name not in own and name not in MAIN and not _is_ours(name) and is_user(name)
        ]:
            del sys.modules[name]


def _is_ours(name: str) -> bool:
    return getattr(sys.modules.get(name), '__loader__', None) is finder


def _put_away() -> None:
    """Remove all modules executed here from ``sys.modules``.

    Each of them may depend on one that changes.
    """
    global _version, _versions
    modules = {name: sys.modules.pop(name) for name in finder.executed if _is_ours(name)}
    if _own is not None and modules:
        _kept.append(_Kept(_version, finder.executed, modules))
        del _kept[:-KEPT_MAX]
    finder.executed = {}
    _versions += 1
    _version = _versions


def _bring_back() -> None:
    """Put modules back that were executed for the version of the task that runs."""
    global _version
    for kept in _kept:
        if all(finder.modules.get(name) == module for name, module in kept.executed.items()):
            sys.modules.update(kept.modules)
            _version, finder.executed = kept.version, kept.executed
            _kept.remove(kept)
            return


def _remember(file: str, statements: Mapping[int, str]) -> None:
    import linecache

    lines = linecache.getlines(file)
    changed = False
    for first, text in statements.items():
        wanted = text.splitlines(keepends=True)
        if lines[first - 1 : first - 1 + len(wanted)] != wanted:
            # Nothing known, or a file that was edited since: a copy, for the cache may hold the
            # list of someone else.
            lines = (
                [*lines, *['\n'] * (first - 1 + len(wanted) - len(lines))]
                if len(lines) < first - 1 + len(wanted)
                else list(lines)
            )
            lines[first - 1 : first - 1 + len(wanted)] = wanted
            changed = True
    if changed:
        # Without a time: such entries are never thrown away.
        linecache.cache[file] = (sum(map(len, lines)), None, lines, file)
