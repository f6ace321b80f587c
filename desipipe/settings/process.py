"""Keep the state of a process that runs tasks: what a task changes is put back.

What an import changes (filters of warnings, loggers, hooks) stays, as in any process. Settings that
were carried with a task are applied before it, and when it imports the module that they belong to.
"""

from __future__ import annotations

import contextlib
import contextvars
import gc
import json
import logging
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from .carried import APPLIED, apply_numpy, decimal_context, filters_of
from .parts import PARTS, Part, State, forget_shown_warnings, loggers

T = TypeVar('T')
_ABSENT = object()


class StateKeeper:
    """State of a process that runs tasks, set before and restored after each task."""

    def __init__(self) -> None:
        self._own: dict[str, State] = {}  # without what is carried
        self._expected: dict[str, State] = {}
        self._settings = ''
        self._context = contextvars.copy_context()
        self._decimal: Any = None
        self._depth = 0  # of imports
        self._levels: dict[str, int] = {}  # carried, by names of loggers
        self._missing: set[str] = set()  # modules of classes that carried filters are about
        self._watch = _ImportWatch(self)
        sys.meta_path.insert(0, self._watch)
        self._add_parts()
        self._glance = _glance()

    def prepare(self, settings: str) -> None:
        """Apply what is carried; quick when it is what was applied before.

        Parameters
        ----------
        settings : str
            As :func:`carried_settings` wrote them.
        """
        if settings == self._settings:
            return
        self.restore()
        for name, state in self._own.items():
            part = PARTS[name]
            if not _is_same(part, state):
                part.restore(state)
        self._settings = settings
        self._apply(frozenset(self._own))
        self._expected = {name: PARTS[name].capture() for name in self._own}
        self._glance = _glance()

    def run(self, function: Callable[[Any], T], argument: Any) -> T:
        """Call a function in a context of its own."""
        context = self._context.copy()
        if self._decimal is not None:
            context.run(sys.modules['decimal'].setcontext, self._decimal.copy())
        return context.run(function, argument)

    def restore(self, thorough: bool = True, wrote: bool = True) -> None:
        """Put back what a task changed.

        Parameters
        ----------
        thorough : bool, default=True
            Compare everything; else only what a short task is most likely to change, since a
            comparison takes as long as such a task.
        wrote : bool, default=True
            True if the task wrote something, which may have been a warning.
        """
        if thorough or 'matplotlib' in self._own or not self._looks_same():
            self._restore_all()
        if wrote:
            forget_shown_warnings()

    def _restore_all(self) -> None:
        for name, state in self._expected.items():
            part = PARTS[name]
            if not _is_same(part, state):
                part.restore(state)
        if (faulthandler := sys.modules.get('faulthandler')) is not None:
            faulthandler.cancel_dump_traceback_later()  # it may end the process, as an alarm does
        self._glance = _glance()

    def _looks_same(self) -> bool:
        try:
            return _glance() == self._glance
        except Exception:  # something was deleted, or is of a class that can't be compared
            return False

    def keep(self, name: str) -> None:
        """Take a part as it is now for the state of the process itself."""
        self._own[name] = PARTS[name].capture()
        self._expected[name] = PARTS[name].capture()
        self._glance = _glance()

    def begin_import(self) -> dict[str, State]:
        """Return the state before a module is imported; empty within another import."""
        self._depth += 1
        return {} if self._depth > 1 else {name: PARTS[name].capture() for name in self._own}

    def end_import(self, before: dict[str, State]) -> None:
        """Keep what an import changed: it is made once in a process."""
        self._depth -= 1
        for name, state in before.items():
            after = PARTS[name].capture()
            if after != state:
                _merge(self._own[name], state, after)
                _merge(self._expected[name], state, after)
        if not self._depth:
            self._add_parts()
            self._set_levels(before['loggers'])
            if not self._missing.isdisjoint(sys.modules):
                self._add_filters()
            self._glance = _glance()

    def _add_parts(self) -> None:
        loaded = {name for name, part in PARTS.items() if part.module in sys.modules}
        new = sorted(loaded - self._own.keys())
        if 'numpy' in new and _is_contextual():
            new.remove('numpy')
        for name in new:
            self._own[name] = PARTS[name].capture()
        self._apply(frozenset(new))
        for name in new:
            self._expected[name] = PARTS[name].capture()

    def _set_levels(self, before: State) -> None:
        """Set carried levels of loggers that the import has made, or has set itself."""
        for logger in loggers():
            level = self._levels.get(logger.name, logger.level)
            if logger.level not in (level, before.get(logger, (None,))[0]):
                logger.setLevel(level)
                self._expected['loggers'][logger] = PARTS['loggers'].capture()[logger]

    def _add_filters(self) -> None:
        """Put in what is carried about classes of a module that was just imported."""
        filters, self._missing = filters_of(json.loads(self._settings)['warnings'])
        state, live = self._expected['warnings'], warnings.filters
        new = [item for item in filters if item not in state['list']]
        position = max(0, len(live) - len(state['list']))  # after those of the task
        live[position:position] = new  # type: ignore[index]
        state['list'] = (*new, *state['list'])

    def _apply(self, names: frozenset[str]) -> None:
        settings = json.loads(self._settings) if self._settings else {}
        for name, (part, apply) in APPLIED.items():
            if name in settings and part in names:
                apply(settings[name])
        if 'loggers' in names:
            written = settings.get('logging', {})
            self._levels = {**written.get('levels', {}), **written.get('later', {})}
        if 'warnings' in names:
            self._missing = filters_of(settings.get('warnings', []))[1]
        if 'interpreter' in names:  # once for all settings
            self._context = contextvars.copy_context()
            self._decimal = decimal_context(settings['decimal']) if 'decimal' in settings else None
            if 'numpy' in settings:
                self._context.run(apply_numpy, settings['numpy'])


def _glance() -> tuple[Any, ...]:
    """Return what a short task is most likely to change, at the cost of a microsecond."""
    root, filters = logging.root, warnings.filters
    return (
        *(filters, len(filters), warnings.showwarning, sys.excepthook, sys.path, len(sys.path)),
        *(root.level, len(root.handlers), root.manager.disable, len(root.manager.loggerDict)),
        *(gc.isenabled(), sys.getrecursionlimit()),
    )


def _is_same(part: Part, state: State) -> bool:
    try:
        return part.same(state) if part.same is not None else bool(part.capture() == state)
    except Exception:  # something was deleted, or is of a class that can't be compared
        return False


def _merge(state: State, before: State, after: State) -> None:
    """Take over the difference between two states; lists get what was added."""
    for key in before.keys() - after.keys():
        state.pop(key, None)
    for key, value in after.items():
        old = before.get(key, _ABSENT)
        if old == value:
            continue
        if key == 'list':
            state[key] = (*(item for item in value if item not in old), *state[key])
        elif key in ('path', 'meta_path', 'path_hooks', 'argv'):
            added = tuple(item for item in value[1] if item not in old[1])
            state[key] = (value[0], (*state[key][1], *added))
        else:
            state[key] = value


class _ImportWatch:
    """Finder that finds nothing itself: it tells a keeper when a module is imported."""

    def __init__(self, keeper: StateKeeper) -> None:
        self._keeper = keeper
        self._thread = threading.get_ident()

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """See :class:`importlib.abc.MetaPathFinder`."""
        keeper = self._keeper
        if keeper._depth or threading.get_ident() != self._thread:
            return None
        spec = None
        for finder in sys.meta_path:
            if finder is not self and spec is None and hasattr(finder, 'find_spec'):
                spec = finder.find_spec(name, path, target)
        loader = spec and spec.loader
        if loader is None or isinstance(loader, type) or not hasattr(loader, 'exec_module'):
            return spec
        load = loader.exec_module

        def exec_module(module: Any) -> None:
            with contextlib.suppress(AttributeError):
                del loader.exec_module
            before = keeper.begin_import()
            try:
                load(module)
            finally:
                keeper.end_import(before)

        with contextlib.suppress(AttributeError):
            loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _is_contextual() -> bool:
    """Return True where NumPy keeps errors and print options in the context."""
    numpy: Any = sys.modules['numpy']
    before = numpy.get_printoptions()['precision'], numpy.geterr()['divide']

    def change() -> None:
        numpy.set_printoptions(precision=3 if before[0] != 3 else 4)
        numpy.seterr(divide='raise' if before[1] != 'raise' else 'warn')

    contextvars.copy_context().run(change)
    after = numpy.get_printoptions()['precision'], numpy.geterr()['divide']
    if after[0] != before[0]:
        numpy.set_printoptions(precision=before[0])
    if after[1] != before[1]:
        numpy.seterr(divide=before[1])
    return after == before
