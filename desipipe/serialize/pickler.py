"""Pickle everything that is not plain.

The user's code goes by value, tasks by reference, and large buffers apart.
"""

from __future__ import annotations

import collections
import copyreg
import enum
import io
import itertools
import pickle
import sys
from collections.abc import Callable, Mapping
from types import (
    BuiltinFunctionType,
    CellType,
    FunctionType,
    MethodDescriptorType,
    MethodType,
    MethodWrapperType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any

from . import classes, makers, modules, objects, static_modules
from .array_reducer import reduce_array
from .class_keys import class_key, has_key
from .class_registry import add_key, rename
from .encoder import top_level
from .function_reducer import FunctionReducer
from .kind_reducers import REDUCERS_BY_KIND
from .library_reducers import REDUCERS, reduce_wrapper
from .plain import TaskReference, TaskReferences, reference, standard_stream
from .refusals import is_live
from .used_modules import Used, UsedModules

_REDUCE: Any = object.__reduce__
_REDUCE_EX: Any = object.__reduce_ex__
_METHODS = (
    BuiltinFunctionType,
    MethodType,
    MethodWrapperType,
    MethodDescriptorType,
    WrapperDescriptorType,
)


def _wanted_by_value() -> frozenset[str]:
    """Return the installed modules that the user told cloudpickle to take by value."""
    cloudpickle = sys.modules.get('cloudpickle')
    return (
        frozenset()
        if cloudpickle is None
        else frozenset(cloudpickle.list_registry_pickle_by_value())
    )


class Pickler(pickle.Pickler):
    """Pickler that carries the user's functions, classes and modules by value.

    Parameters
    ----------
    file : file
    buffer_callback : callable, default=None
        See :class:`pickle.Pickler`.
    references : bool, default=False
        True if references to tasks are replaced by their identity (see :func:`~.plain.reference`)
        and collected in ``tids``.
    statics : mapping, default=None
        Modules that functions import when they run, where the caller has read them already.
    used : dict, default=None
        What :meth:`discover` of another pickler found; without it modules are carried empty.
    """

    dispatch_table: Any = collections.ChainMap(REDUCERS, copyreg.dispatch_table)

    def __init__(
        self,
        file: Any,
        buffer_callback: Callable[[pickle.PickleBuffer], object] | None = None,
        references: bool = False,
        statics: Mapping[str, static_modules.Static] | None = None,
        used: Used | None = None,
    ) -> None:
        super().__init__(file, protocol=5, buffer_callback=buffer_callback)
        self.tids: dict[bytes, None] = {}
        """Identities of the tasks that are referred to, as keys, in order."""
        self.used = UsedModules(used)
        self._by_value = _wanted_by_value()
        self.functions = FunctionReducer(self._by_value, statics or {}, self.used)
        self._references = references
        self._reducers: dict[type, Callable[[Any], Any]] = {
            **REDUCERS_BY_KIND,
            FunctionType: self.functions.reduce,
            CellType: self.functions.reduce_cell,
            classes.Methods: self.functions.reduce_methods,
            classes.FunctionStates: self.functions.reduce_states,
        }
        self._classes: dict[str, type] = {}  # by value, by their keys
        self._passed: set[type] = set()  # classes whose objects are carried as they say themselves

    def discover(self, obj: Any) -> None:
        """Pickle a value until everything its functions use of modules is known."""
        self.dump(obj)
        done: set[tuple[str, str]] = set()
        while True:
            todo = {key: value for key, value in self.used.attributes().items() if key not in done}
            if not todo:
                return
            done.update(todo)
            self.dump(list(todo.values()))

    def reducer_override(self, obj: Any) -> Any:
        """Reduce any object that is not of an exact plain type.

        See :meth:`pickle.Pickler.reducer_override`.
        """
        kind = type(obj)
        if kind in self._passed:
            return NotImplemented
        if self._references and issubclass(kind, TaskReferences):
            return list, (list(obj),)
        if self._references and issubclass(kind, TaskReference):
            self.tids[obj.tid] = None
            return reference, ((obj.tid, obj.item) if obj.item else (obj.tid,))
        reduce = self._reducers.get(kind)
        if reduce is not None and (reduced := reduce(obj)) is not None:
            return reduced
        if issubclass(kind, type):
            return self._reduce_class(obj)
        if issubclass(kind, ModuleType):
            return self.used.reduce(obj)
        if issubclass(kind, enum.Enum):
            is_by_value = classes.is_by_value(kind, self._by_value)
            return classes.reduce_member(obj) if is_by_value else NotImplemented
        if issubclass(kind, (property, staticmethod, classmethod)):
            return reduce_wrapper(obj)
        if issubclass(kind, io.IOBase):
            return _reduce_stream(obj)
        return self._reduce_other(obj, kind)

    def _reduce_other(self, obj: Any, kind: type) -> Any:
        if top_level(kind) == 'numpy' and kind.__name__ in ('ndarray', 'memmap'):
            return reduce_array(obj)
        if kind.__name__ in ('Random', 'RandomState'):
            where = modules.shared(obj)
            return (getattr, (sys.modules[where[0]], where[1])) if where else NotImplemented
        made = objects.reduced(obj)
        if made is not None:
            return made
        is_plain = kind.__reduce__ is _REDUCE and kind.__reduce_ex__ is _REDUCE_EX
        if is_plain and (name := modules.singleton(obj)):
            return getattr, (sys.modules[kind.__module__], name)
        if (
            is_plain
            and type(kind.__new__) is FunctionType
            and classes.is_by_value(kind, self._by_value)
        ):
            return classes.reduce_object(obj)
        if (
            is_plain
            or kind.__module__ == 'numpy'
            or kind in self.dispatch_table
            or isinstance(obj, _METHODS)
        ):
            self._passed.add(kind)
            return NotImplemented
        reduced = obj.__reduce_ex__(5)
        if not isinstance(reduced, str):
            self._passed.add(kind)
        elif (module := pickle.whichmodule(obj, reduced)) in modules.MAIN:  # type: ignore[attr-defined]
            raise TypeError(
                f'It is found by its name only ({module}.{reduced}), which another process does '
                'not have.'
            )
        return reduced

    def _reduce_class(self, cls: type) -> Any:
        if cls in (type(None), type(...), type(NotImplemented)):
            return type, (
                (None if cls is type(None) else ... if cls is type(...) else NotImplemented),
            )
        if classes.is_by_value(cls, self._by_value):
            return classes.reduce_class(cls, self._key(cls))
        if not classes.is_found(cls, self._by_value) and (where := classes.static_name(cls)):
            return getattr, (sys.modules[where[0]], where[1])
        return NotImplemented

    def _key(self, cls: type) -> str:
        """Return the key of a class, unlike those of all other classes in one payload."""
        key = class_key(cls)
        if self._classes.setdefault(key, cls) is cls:
            return key
        base = key.partition('#')[0]
        if has_key(modules.resolve(cls.__module__, cls.__qualname__), base):
            return (
                base  # a definition that was executed again: both are what is found under the name
            )
        add_key(self._classes[key], key)
        for number in itertools.count(2):
            if self._classes.setdefault(f'{base}#{number:d}', cls) is cls:
                return rename(cls, f'{base}#{number:d}')
        raise AssertionError


def _reduce_stream(stream: Any) -> Any:
    name = standard_stream(stream)
    if name:
        return getattr, (sys, name)
    if is_live(stream) and type(stream) not in (io.BytesIO, io.StringIO):
        raise TypeError('It is open in this process.')
    return NotImplemented


# Payloads that were written by earlier versions name these here.
_fill = makers.fill_module
_empty_dispatch = makers.make_dispatch
_fill_dispatch = makers.fill_dispatch
_cache = makers.make_cache
_cached_property = makers.make_cached_property
_view = makers.view_array
