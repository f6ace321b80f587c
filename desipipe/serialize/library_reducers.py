"""Reduce objects of the standard library that :mod:`pickle` refuses."""

from __future__ import annotations

import collections
import dataclasses
import functools
import logging
import types
import weakref
from collections.abc import Callable
from typing import Any

from . import makers

__all__ = ['REDUCERS', 'reduce_wrapper']


def _method(method: types.MethodType) -> Any:
    return types.MethodType, (method.__func__, method.__self__)


def _dispatch_method(method: functools.singledispatchmethod[Any]) -> Any:
    # Its cache, from Python 3.13 on, is of this process.
    return functools.singledispatchmethod, (method.func,), {'dispatcher': method.dispatcher}


def _partial_method(method: functools.partialmethod[Any]) -> Any:
    return makers.make_partial_method, (method.func, method.args, method.keywords)


def _getset(descriptor: types.GetSetDescriptorType) -> Any:
    return getattr, (descriptor.__objclass__, descriptor.__name__)


def _proxy(proxy: types.MappingProxyType[Any, Any]) -> Any:
    return types.MappingProxyType, (dict(proxy),)


def _logger(logger: logging.Logger) -> Any:
    return logging.getLogger, (() if isinstance(logger, logging.RootLogger) else (logger.name,))


def _memory(view: memoryview) -> Any:
    return bytes, (view.tobytes(),)


def _weak_set(items: Any) -> Any:
    return weakref.WeakSet, (list(items),)


def _view(view: Any) -> Any:
    kind = type(view)
    content = dict(view) if 'items' in kind.__name__ else list(view)
    return makers.make_view, (kind.__name__, content)


def _field_kind(kind: Any) -> Any:
    return getattr, (dataclasses, kind.name)


def reduce_wrapper(obj: Any) -> Any:
    """Reduce a property, static or class method, or an object derived from these."""
    kind = type(obj)
    if isinstance(obj, property):
        own = dict(getattr(obj, '__dict__', {}))
        return makers.make_property, (kind, obj.fget, obj.fset, obj.fdel, obj.__doc__), own or None
    own = {name: value for name, value in vars(obj).items() if name not in _COPIED}
    return makers.make_method, (kind, obj.__func__), own or None


# What a static method or a class method takes from its function when it is made.
_COPIED = frozenset(
    (*functools.WRAPPER_ASSIGNMENTS, '__wrapped__', '__annotations__', '__annotate__')
)
_DICTIONARIES: tuple[dict[Any, Any], ...] = ({}, collections.OrderedDict())
_VIEWS = [getattr(made, name)() for made in _DICTIONARIES for name in ('keys', 'values', 'items')]
REDUCERS: dict[type, Callable[[Any], Any]] = {
    types.MethodType: _method,
    functools.singledispatchmethod: _dispatch_method,
    functools.partialmethod: _partial_method,
    types.GetSetDescriptorType: _getset,
    types.MappingProxyType: _proxy,
    logging.Logger: _logger,
    logging.RootLogger: _logger,
    memoryview: _memory,
    weakref.WeakSet: _weak_set,
    type(dataclasses._FIELD): _field_kind,  # type: ignore[attr-defined]
    property: reduce_wrapper,
    staticmethod: reduce_wrapper,
    classmethod: reduce_wrapper,
    **{type(view): _view for view in _VIEWS},
}
"""Reducers by class, as of :mod:`copyreg`."""
