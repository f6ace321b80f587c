"""Identity of what code uses: variables, attributes of modules, imports."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

from .. import bytecode, modules, static_modules
from ..plain import ATOMS, TaskReference, pack
from .context import Context

__all__ = ['MODULE_WORDS', 'Use', 'Uses']

# Names that every module has: where it is and how it was found must not matter.
MODULE_WORDS = frozenset(
    (
        *(
            '__name__',
            '__file__',
            '__package__',
            '__spec__',
            '__loader__',
            '__path__',
            '__builtins__',
        ),
        *('__cached__', '__annotate__', '__debug__', '__dict__'),
    )
)
Chain = tuple[str, ...]


class Use(NamedTuple):
    """Something that code reads under a name."""

    who: str
    """Reader and verb, for errors."""
    name: str
    base: str
    """Name of its part, without the number of a copy."""
    key: object
    """Identity of the variable."""
    holder: object
    """Object that holds it."""
    get: Callable[[], Any]
    """Gives what it holds now."""


class Uses:
    """Encodes what code uses of its surroundings.

    Parameters
    ----------
    context : Context
    """

    def __init__(self, context: Context) -> None:
        self.statics: dict[str, static_modules.Static] = {}
        """Modules that functions import when they run, by name."""
        self._encoder, self._path, self._checks, self._installed, self._parts = context

    def name(
        self,
        who: str,
        namespace: dict[str, Any],
        name: str,
        chains: Iterable[Chain],
        values: frozenset[Chain] | None = None,
    ) -> list[bytes]:
        """Encode what code reads as a global name; the rest: see :meth:`encode`."""
        if name in MODULE_WORDS or name.startswith(' '):
            # of the module; or no name that one can write: put there by what made the function, for
            # itself
            return []
        if name not in namespace:
            self._checks.same(lambda: name not in namespace)
            return []  # of Python, or not there yet
        if modules.is_guarded_open(name, namespace[name]):
            self._checks.same(lambda: modules.is_guarded_open(name, namespace.get(name)))
            return []
        base = self._parts.base('global', namespace.get('__name__'), name)
        key = (id(namespace), name)
        use = Use(f'{who} uses', name, base, key, namespace, lambda: namespace[name])
        return self.encode(use, chains, values)

    def encode(
        self, use: Use, chains: Iterable[Chain], values: frozenset[Chain] | None = None
    ) -> list[bytes]:
        """Encode what code reads under a name.

        Parameters
        ----------
        use : Use
        chains : iterable of tuple of str
            Attributes that are read of it; an empty tuple where it is used as it is.
        values : frozenset of tuple of str, default=None
            What of it is used otherwise than by calls; None: all.
        """
        get = use.get
        value = get()
        self._parts.keep(use.holder)
        if (
            issubclass(type(value), ModuleType)
            and value.__name__ not in modules.MAIN
            and modules.is_user(value.__name__)
        ):
            self._checks.same(lambda: get() is value)
            return [use.name.encode(), *self._attributes(use, value, chains, values)]
        with self._path.inside(f'{use.who} {use.name!r}'):
            if issubclass(type(value), TaskReference):
                raise self._path.refuse(
                    value, 'its result is not known yet when the function is stored'
                )
            if (
                type(value) is FunctionType
                or issubclass(type(value), type)
                or hasattr(type(value), '__desipipe_identity__')
            ):
                as_value = values is None or tuple(use.name.split('.')) in values
                data = self._encoder.used(value, as_value)
                if data.startswith(b'D'):
                    self._checks.same(lambda: get() is value)
                    return [use.name.encode(), data]
            return [use.name.encode(), self._variable(use, value)]

    def _variable(self, use: Use, value: Any) -> bytes:
        get = use.get
        label, data = self._parts.variable(use.base, use.key, value, self._encoder.value)
        if data:
            if type(value) in ATOMS or data.startswith((b'I', b'module')):
                self._checks.same(lambda: get() is value)  # it can't change, only be replaced
            else:
                self._checks.equal(get, self._encoder.value, data)
        return b'V' + label.encode()

    # ----------------------------------------------------------------------------------------------
    # Modules

    def module(self, module: ModuleType) -> bytes:
        """Encode a module: one of the user's by all that is in it."""
        name = module.__name__
        if name in modules.MAIN or not modules.is_user(name):
            self._installed.add_package(name)
            return pack(b'module', name.encode())
        label = self._parts.label(module)
        if label is not None:
            return b'D' + label.encode()
        return self._parts.define(
            module, None, 'module', name, lambda: self._module_content(module)
        )

    def _module_content(self, module: ModuleType) -> bytes:
        """Encode all of a module that is used as it is, so that anything of it may be."""
        namespace = vars(module)
        names = sorted(name for name in namespace if not name.startswith('__'))
        self._checks.same(
            lambda: sorted(name for name in namespace if not name.startswith('__')) == names
        )
        who = f'the module {module.__name__!r} has'
        chunks = []
        for name in names:
            chunks += self._attribute(who, name, module, name, {()})
        return pack(b'module', *chunks)

    def _attributes(
        self,
        use: Use,
        module: ModuleType,
        chains: Iterable[Chain],
        values: frozenset[Chain] | None,
    ) -> list[bytes]:
        chunks = []
        for chain in sorted(chains):
            if not chain:
                chunks.append(self.module(module))
            elif chain[0] not in MODULE_WORDS:
                path = f'{use.name}.{chain[0]}'
                chunks += self._attribute(use.who, path, module, chain[0], {chain[1:]}, values)
        return chunks

    def _attribute(
        self,
        who: str,
        path: str,
        module: ModuleType,
        name: str,
        chains: Iterable[Chain],
        values: frozenset[Chain] | None = None,
    ) -> list[bytes]:
        namespace = vars(module)
        if name not in namespace:
            self._checks.same(lambda: name not in namespace)
            return []
        base = self._parts.base('global', module.__name__, name)
        use = Use(who, path, base, (id(namespace), name), namespace, lambda: namespace[name])
        return self.encode(use, chains, values)

    def imports(
        self, statements: Iterable[bytecode.Import], namespace: dict[str, Any]
    ) -> list[bytes]:
        """Encode the modules that a function imports when it runs, as they are on disk.

        They need not be imported here.
        """
        statements = set(statements)
        package = static_modules.package_of(namespace)
        reached, tops = static_modules.closure(statements, package)
        self._installed.packages |= tops
        for statement in statements:
            top = statement.name.partition('.')[0]
            if (
                top
                and not statement.level
                and top not in sys.stdlib_module_names
                and top not in tops
                and top not in reached
            ):
                self._checks.is_volatile = True  # there is no such module, yet
        for name, module in reached.items():
            if name not in self.statics:
                self.statics[name] = module
                self._parts.digests[f'module {name} (imported)'] = module.digest.hex()
                self._parts.texts.setdefault(f'# module {name}\n{module.text.strip()}', '')
                self._checks.same(functools.partial(_is_unread, module))
        return [b'imports', *(name.encode() for name in sorted(reached))] if reached else []


def _is_unread(module: static_modules.Static) -> bool:
    return static_modules.signature(module.file) == module.signature
