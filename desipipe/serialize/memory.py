"""Track what loaded code keeps between calls.

A result must not depend on which tasks the same process ran before.
"""

from __future__ import annotations

import enum
import functools
import sys
import types
from collections.abc import Iterable, Mapping
from operator import is_
from typing import Any

from . import class_registry, modules
from .plain import standard_stream

_UNSET = object()
# What can't be changed, and what a process has once, however often the code that names it is
# loaded.
_FIXED = frozenset(
    (
        *(
            bool,
            bytes,
            complex,
            float,
            int,
            range,
            slice,
            str,
            type(None),
            type(...),
            type(NotImplemented),
        ),
        *(types.CodeType, types.GenericAlias, types.UnionType),
        *(
            types.ClassMethodDescriptorType,
            types.GetSetDescriptorType,
            types.MemberDescriptorType,
            types.MethodDescriptorType,
            types.WrapperDescriptorType,
        ),
    )
)
_FIXED_NAMES = frozenset(
    (
        *(('datetime', name) for name in ('date', 'datetime', 'time', 'timedelta', 'timezone')),
        *(('logging', name) for name in ('Logger', 'RootLogger')),
        *(
            (module, name)
            for module in ('pathlib', 'pathlib._local')
            for name in ('Path', 'PosixPath', 'PurePath', 'PurePosixPath', 'PureWindowsPath')
        ),
        *(
            ('_collections', '_tuplegetter'),
            ('decimal', 'Decimal'),
            ('fractions', 'Fraction'),
            ('re', 'Pattern'),
            ('uuid', 'UUID'),
            ('zoneinfo', 'ZoneInfo'),
        ),
        *(('operator', name) for name in ('attrgetter', 'itemgetter', 'methodcaller')),
    )
)
_MAKERS = frozenset(
    ('dataclasses', 'enum', 'reprlib', 'typing', 'collections')
)  # what they make of classes keeps nothing between calls
_WRAPPERS = (
    staticmethod,
    classmethod,
    types.MethodType,
    functools.cached_property,
    property,
    functools.partial,
)


class Memory:
    """Globals carried by a loaded function and by all that came with it by value.

    What is found by its name (installed packages) belongs to the process, and is not looked at.
    What a cache or a compiler around a function of the user has computed already
    (:func:`functools.lru_cache`) stays: it does not count for the function's identity either.

    Parameters
    ----------
    func : callable
    """

    def __init__(self, func: Any) -> None:
        self.names: dict[str, Any] = {}
        """Functions and classes of ``__main__``, by the names under which other pickles refer to
        them.
        """
        self.module_names: dict[str, dict[str, Any]] = {}
        """Functions of the user's other modules, by the names of these."""
        self._mutable = False
        self._used = False
        self._spaces: list[tuple[Mapping[str, Any], tuple[Any, ...]]] = []
        self._cells: list[tuple[types.CellType, object]] = []
        self._classes: list[tuple[type, frozenset[str]]] = []
        self._seen: set[int] = set()
        bound: dict[str, Any] = {}
        todo = [func]
        while todo:
            value = todo.pop()
            if type(value) not in _FIXED and id(value) not in self._seen:
                self._seen.add(id(value))
                try:
                    todo += self._look(value, bound)
                # its attributes raise when they are asked for (of a proxy that stands for nothing
                # now): anything may be in it
                except Exception:
                    self._mutable = True
        self.names.update(bound)

    def use(self) -> bool:
        """Return True if the function can be called.

        Nothing that it carries was changed by a call before, or could have been.
        """
        if not self._used:
            self._used = True
            return True
        if self._mutable:
            return False
        # All in these is immutable: by identity, which takes less than a microsecond each, it is
        # seen what was put in its place.
        for space, values in self._spaces:
            if len(space) != len(values) or not all(map(is_, space.values(), values)):
                return False
        return all(_contents(cell) is value for cell, value in self._cells)

    @property
    def is_of_functions(self) -> bool:
        """Return True if it carries functions of one module alone, and no classes."""
        return not self._classes and not self.module_names

    def keep_classes(self) -> None:
        """Use its classes for the task that begins as they are."""
        class_registry.keep_classes(cls for cls, _ in self._classes)

    def forget(self) -> None:
        """Remove what was added to classes since they were loaded.

        Loading again gives the same classes with their original attributes.
        """
        for cls, names in self._classes:
            for name in vars(cls).keys() - names:
                if not name.startswith('__') and name != '_abc_impl':
                    type.__delattr__(cls, name)

    def _look(self, value: Any, bound: dict[str, Any]) -> Iterable[Any]:
        """Note what a value is; what is in it is looked at next."""
        kind = type(value)
        if isinstance(value, enum.Enum):
            return [kind, value._value_]
        if isinstance(value, tuple) or kind is frozenset:
            return [kind, *value]
        if kind is types.FunctionType:
            return self._function(value, bound)
        if isinstance(value, type):
            return self._class(value)
        if isinstance(value, types.ModuleType):
            return [] if sys.modules.get(value.__name__) is value else self._space(vars(value))
        if kind in (types.BuiltinFunctionType, types.MethodWrapperType):
            return (
                []
                if value.__self__ is None or isinstance(value.__self__, types.ModuleType)
                else [value.__self__]
            )
        if isinstance(value, _WRAPPERS):
            parts = [
                getattr(value, name, None)
                for name in ('__func__', '__self__', 'func', 'args', 'fget', 'fset', 'fdel')
            ]
            return [
                *parts,
                *(value.keywords.values() if isinstance(value, functools.partial) else ()),
            ]
        if type(getattr(value, '__wrapped__', None)) is types.FunctionType and not modules.is_user(
            kind.__module__
        ):
            return [value.__wrapped__]
        if not (_is_found(value) or self._is_fixed(value, kind)):
            self._mutable = True
        return []

    @staticmethod
    def _is_fixed(value: Any, kind: type) -> bool:
        if (
            (kind.__module__, kind.__name__) in _FIXED_NAMES
            or kind.__module__ in _MAKERS
            or hasattr(kind, '__desipipe_identity__')
        ):
            return not isinstance(value, (dict, list))  # of collections: a deque, a Counter
        numpy = sys.modules.get('numpy')
        if numpy is not None and isinstance(value, numpy.ndarray):
            return not value.flags.writeable and not value.dtype.hasobject
        if numpy is not None and isinstance(value, (numpy.generic, numpy.dtype, numpy.ufunc)):
            return True
        return bool(standard_stream(value) or modules.shared(value))

    def _space(self, space: Mapping[str, Any]) -> list[Any]:
        """Names, and what is bound to them."""
        if id(space) in self._seen:
            return []
        self._seen.add(id(space))
        self._spaces.append((space, tuple(space.values())))
        return [
            value
            for name, value in space.items()
            if not (name.startswith('__') and name.endswith('__'))
        ]

    def _function(self, func: types.FunctionType, bound: dict[str, Any]) -> Iterable[Any]:
        namespace = func.__globals__
        where = namespace.get('__name__')
        if where in _MAKERS or _is_found(func):
            return []
        self._name(func)
        parts: list[Any] = [
            func.__defaults__,
            *(func.__kwdefaults__ or {}).values(),
            *self._space(func.__dict__),
            func.__dict__.get('__wrapped__'),
        ]
        for cell in func.__closure__ or ():
            if id(cell) not in self._seen:
                self._seen.add(id(cell))
                content = _contents(cell)
                self._cells.append((cell, content))
                if content is not _UNSET:
                    parts.append(content)
        if where in modules.MAIN or namespace is not getattr(
            sys.modules.get(str(where)), '__dict__', None
        ):
            parts += self._space(namespace)
            if where in modules.MAIN:
                bound.update(
                    (key, item)
                    for key, item in namespace.items()
                    if getattr(item, '__qualname__', '') == key and item.__module__ in modules.MAIN
                )
        return parts

    def _class(self, cls: type) -> Iterable[Any]:
        if _is_found(cls):
            return []
        self._name(cls)
        record = class_registry.record_of(cls)
        if record is not None and cls.__module__ in modules.MAIN:
            for name, meant in record.hints.items():
                self.names.setdefault(name, meant)
        namespace = vars(cls)
        self._classes.append((cls, frozenset(namespace)))
        self._spaces.append((namespace, tuple(namespace.values())))
        parts: list[Any] = [type(cls), *cls.__bases__]
        for name, value in namespace.items():
            # What makes annotations when they are asked for (Python 3.14) holds the names of the
            # class itself.
            is_made = name in (
                '_abc_impl',
                '_field_defaults',
                '__annotate_func__',
                '__annotate__',
            ) or (issubclass(cls, enum.Enum) and name.startswith('_'))
            is_special = name.startswith('__') and name.endswith('__')
            if not is_made and (
                not is_special or isinstance(value, (types.FunctionType, *_WRAPPERS))
            ):
                parts.append(value)
        return parts

    def _name(self, value: Any) -> None:
        if not value.__qualname__.isidentifier():
            return
        if value.__module__ in modules.MAIN:
            self.names.setdefault(value.__qualname__, value)
        elif isinstance(value.__module__, str) and modules.is_user(value.__module__):
            self.module_names.setdefault(value.__module__, {}).setdefault(value.__qualname__, value)


def _is_found(value: Any) -> bool:
    """Return True if a function, a class or what acts as one was imported by its name."""
    module, name = getattr(value, '__module__', None), getattr(value, '__qualname__', None)
    return (
        isinstance(name, str)
        and module not in modules.MAIN
        and modules.resolve(module, name) is value
    )


def _contents(cell: types.CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:
        return _UNSET
