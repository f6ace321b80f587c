"""Modules of the user that functions read, and what is read of each."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from types import ModuleType
from typing import Any

from . import makers, modules

__all__ = ['Used', 'UsedModules']

Used = dict[str, tuple[ModuleType, set[str] | None]]
# Of a module that is carried by value: what its functions may ask for.
_MODULE_WORDS = ('__name__', '__package__', '__file__', '__path__', '__doc__')


class UsedModules:
    """Modules that a pickler met, by name, with the names that are read of them.

    Parameters
    ----------
    used : dict, default=None
        What another pickler met of the same value; without it modules are carried empty.
    """

    def __init__(self, used: Used | None) -> None:
        self.by_name = used or {}
        """Modules and names; None: the module as it is, so that anything of it may be used."""
        self._is_full = used is not None

    def use(self, value: Any, chains: Iterable[tuple[str, ...]]) -> None:
        """Record what a function reads of a module: the rest may not be carriable."""
        if (
            not isinstance(value, ModuleType)
            or value.__name__ in modules.MAIN
            or not modules.is_user(value.__name__)
        ):
            return
        for chain in chains:
            _, names = self.by_name.setdefault(value.__name__, (value, set()))
            if not chain:
                self.by_name[value.__name__] = (value, None)
            else:
                if names is not None:
                    names.add(chain[0])
                self.use(vars(value).get(chain[0]), [chain[1:]])

    def reduce(self, module: ModuleType) -> Any:
        """Reduce a module: one of the user's with what is read of it."""
        if not modules.is_user(module.__name__) or module.__name__ in modules.MAIN:
            return importlib.import_module, (module.__name__,)
        _, names = self.by_name.setdefault(module.__name__, (module, None))
        state = {key: vars(module)[key] for key in _MODULE_WORDS if key in vars(module)}
        if self._is_full:
            state.update((key, vars(module)[key]) for key in _attributes(module, names))
        return ModuleType, (module.__name__,), state, None, None, makers.fill_module

    def attributes(self) -> dict[tuple[str, str], Any]:
        """Return all that is read of the modules, by the module's name and its own."""
        return {
            (name, key): vars(module)[key]
            for name, (module, names) in self.by_name.items()
            for key in _attributes(module, names)
        }


def _attributes(module: ModuleType, names: set[str] | None) -> list[str]:
    return [
        key for key in vars(module) if not key.startswith('__') and (names is None or key in names)
    ]
