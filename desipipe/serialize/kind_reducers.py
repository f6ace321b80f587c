"""Reduce what Python makes of code: code objects, caches, type variables."""

from __future__ import annotations

import contextvars
import functools
import marshal
import sys
from collections.abc import Callable
from types import CodeType
from typing import Any, ForwardRef, NewType, ParamSpec, TypeVar, TypeVarTuple

from . import makers, modules

__all__ = ['REDUCERS_BY_KIND']

_CACHE = type(functools.lru_cache(lambda: None))
# What a cache has from its function, and of its own.
_OF_CACHES = frozenset(
    (
        *functools.WRAPPER_ASSIGNMENTS,
        '__wrapped__',
        'cache_parameters',
        '__annotations__',
        '__annotate__',
    )
)


def _code(code: CodeType) -> Any:
    try:
        data = marshal.dumps(code)
    except ValueError:  # among its constants is what a program put there
        names = (
            code.co_names,
            code.co_varnames,
            code.co_filename,
            code.co_name,
            code.co_qualname,
        )
        numbers = (
            code.co_argcount,
            code.co_posonlyargcount,
            code.co_kwonlyargcount,
            code.co_nlocals,
        )
        lines = code.co_firstlineno, code.co_linetable, code.co_exceptiontable
        head = *numbers, code.co_stacksize, code.co_flags, code.co_code, code.co_consts
        return CodeType, (*head, *names, *lines, code.co_freevars, code.co_cellvars)
    return makers.make_code, (makers.BYTECODE, data, code.co_qualname, code.co_freevars)


def _type_variable(variable: Any) -> Any:
    module, name = variable.__module__, variable.__name__
    if not modules.is_user(module) and modules.resolve(module, name) is variable:
        return getattr, (sys.modules[module], name)
    flags = ('__covariant__', '__contravariant__', '__infer_variance__')
    keywords = {word.strip('_'): True for word in flags if getattr(variable, word, False)}
    args = (name, module, variable.__constraints__, variable.__bound__, keywords)
    default = getattr(variable, '__default__', None)
    if default is not None and variable.has_default():
        keywords['default'] = default
    return makers.make_type_variable, args


def _cache(cache: Any) -> Any:
    if not modules.is_user(cache.__module__):
        named: Any = modules.resolve(cache.__module__, cache.__qualname__)
        if named is cache:
            return NotImplemented
    own = {name: value for name, value in vars(cache).items() if name not in _OF_CACHES}
    return makers.make_cache, (cache.__wrapped__, cache.cache_parameters()), own or None


def _parameters(parameters: Any) -> Any:
    if not modules.is_user(parameters.__module__):
        return None
    made = type(parameters), parameters.__name__, parameters.__module__
    return makers.make_parameters, made


def _new_type(kind: Any) -> Any:
    if not modules.is_user(kind.__module__):
        return None
    return NewType, (kind.__name__, kind.__supertype__), dict(vars(kind))


def _forward_reference(reference: Any) -> Any:
    # Without the class that it was found to mean, which may hold what is made of it.
    flags = reference.__forward_is_argument__, reference.__forward_is_class__
    name, module = reference.__forward_arg__, reference.__forward_module__
    return makers.make_forward_reference, (name, module, *flags)


def _context_variable(variable: contextvars.ContextVar[Any]) -> Any:
    return makers.make_context_variable, (variable.name, *makers.context_values(variable))


def _cached_property(made: Any) -> Any:
    return makers.make_cached_property, (made.func, made.attrname)  # Python 3.11 keeps a lock in it


REDUCERS_BY_KIND: dict[type, Callable[[Any], Any]] = {
    CodeType: _code,
    TypeVar: _type_variable,
    _CACHE: _cache,
    ParamSpec: _parameters,
    TypeVarTuple: _parameters,
    NewType: _new_type,
    ForwardRef: _forward_reference,
    contextvars.ContextVar: _context_variable,
    functools.cached_property: _cached_property,
}
"""Reducers of objects of exactly these classes; None: the object is reduced as any other."""
