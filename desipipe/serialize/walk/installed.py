"""Identity of what is installed: its name, and the bytes of user-built modules."""

from __future__ import annotations

import functools
import sys
from types import ModuleType
from typing import Any

from .. import modules, static_modules
from ..plain import digest, pack
from .checks import Checks

__all__ = ['Installed', 'whereabouts']


class Installed:
    """Installed objects that were met.

    Parameters
    ----------
    checks : Checks
        Those of the walk.
    """

    __slots__ = ('_checks', 'packages')

    def __init__(self, checks: Checks) -> None:
        self._checks = checks
        self.packages: set[str] = set()
        """Top-level packages of these, without the standard library."""

    def by_name(self, module: str, qualname: str) -> bytes:
        """Encode an installed object by its name, and a user-built one by its bytes, too."""
        self.add_package(module)
        file = modules.extension(module)
        chunks = []
        if file:
            sign = static_modules.signature(file)
            self._checks.same(lambda: static_modules.signature(file) == sign)
            chunks.append(_file_digest(file, sign))
        return pack(b'I', f'{module}.{qualname}'.encode(), *chunks)

    def add_package(self, module: str) -> None:
        """Record the package of an installed module."""
        top = module.partition('.')[0]
        if top not in sys.stdlib_module_names and not modules.is_user(module):
            self.packages.add(top)


def whereabouts(value: Any, name: str) -> tuple[str, str] | None:
    """Return module and name of an object that an installed module has as ``name``."""
    module = getattr(value, '__module__', None)
    if module is not None:
        return (module, name) if modules.resolve(module, name) is value else None
    # The shortest name: the module where it was made first depends on what was imported first.
    loaded = [
        key
        for key, item in list(sys.modules.items())
        if isinstance(item, ModuleType) and item.__dict__.get(name) is value
    ]
    names = sorted((len(key), key) for key in loaded if not modules.is_user(key))
    return (names[0][1], name) if names else None


@functools.lru_cache(maxsize=64)
def _file_digest(file: str, sign: tuple[int, int]) -> bytes:
    with open(file, 'rb') as stream:
        return digest(stream.read())
