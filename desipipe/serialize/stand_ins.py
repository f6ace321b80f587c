"""Stand-ins in :data:`sys.modules` for the user's modules that came by value.

:mod:`pickle`, :mod:`multiprocessing` and :func:`typing.get_type_hints` look in :data:`sys.modules`.
In a slot a stand-in holds there what came; it gives way to the module itself when something else of
it is asked for.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from . import carried
from .class_registry import classes_of_task, record_of
from .modules import MAIN, is_user

__all__ = ['provide', 'provide_for_task', 'withdraw']


class StandIn(ModuleType):
    """A module that has only what was carried of it."""

    def __getattr__(self, name: str) -> Any:
        module = self.__name__
        if (name.startswith('__') and name.endswith('__')) or sys.modules.get(module) is not self:
            raise AttributeError(f'module {module!r} has no attribute {name!r}')
        del sys.modules[module]
        try:
            _provided[module] = actual = importlib.import_module(module)
        except ImportError:
            sys.modules[module] = self
            raise AttributeError(
                f'module {module!r} has no attribute {name!r}: only what the task uses of it came '
                'along'
            ) from None
        # What the task has of it stays what is found under its name.
        vars(actual).update(
            (key, value) for key, value in vars(self).items() if not key.startswith('__')
        )
        return getattr(actual, name)


_provided: dict[str, ModuleType] = {}  # stand-ins of the task, and modules to which they gave way


def provide(module: str, names: Mapping[str, Any]) -> None:
    """Have names found in a module that is neither imported nor carried as text.

    Parameters
    ----------
    module : str
    names : mapping
        What they stand for.
    """
    if module in MAIN or module in carried.finder.modules:
        return
    present = sys.modules.get(module)
    if present is None:
        present = StandIn(module)
        sys.modules[module] = _provided[module] = present
    if type(present) is StandIn:
        for name, value in names.items():
            vars(present).setdefault(name, value)


def provide_for_task(names: Mapping[str, Mapping[str, Any]]) -> None:
    """Provide the module functions of a task's code and the classes loaded for it."""
    for module, functions in names.items():
        provide(module, functions)
    for cls in classes_of_task():
        module = cls.__module__
        if isinstance(module, str) and module not in MAIN and is_user(module):
            record = record_of(cls)
            own = {cls.__qualname__: cls} if cls.__qualname__.isidentifier() else {}
            provide(module, {**own, **(record.hints if record is not None else {})})


def withdraw() -> None:
    """Take away what was provided for the task before."""
    for module, stand_in in _provided.items():
        if sys.modules.get(module) is stand_in:
            del sys.modules[module]
    _provided.clear()
