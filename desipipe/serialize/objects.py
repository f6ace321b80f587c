"""Tell the content of a library's object from what it only caches.

Whoever looks at an object must not make another one of it: values of cached properties and what
lies in caches are left out, and what libraries are known to work out late. Tables count by what
they hold (see :mod:`.tables`).
"""

from __future__ import annotations

import contextlib
import functools
import re
import types
from collections.abc import Callable, Iterable
from typing import Any

from . import modules, tables
from .encoder import Encoder, top_level
from .plain import WORDS, pack
from .refusals import is_live

__all__ = ['DESCRIPTORS', 'content', 'descriptor', 'essential', 'reduced']

# How libraries and recipes call a property that is computed once.
_LAZY = re.compile('cache|lazy|reify|memo', re.I)
_CACHE = re.compile('(^|_)cache(s|d)?_*$', re.I)
# Attributes of installed classes that are worked out when they are asked for: module, class, names.
_LATE: dict[tuple[str, str], frozenset[str]] = {
    ('scipy', '_cs_matrix'): frozenset(('_has_sorted_indices', '_has_canonical_format')),
    ('scipy', '_coo_base'): frozenset(('has_canonical_format',)),
    ('astropy', 'BaseCoordinateFrame'): frozenset(('representation_info',)),
    ('astropy', 'Model'): frozenset(('_parameters',)),
    ('numpy', 'vectorize'): frozenset(('_ufunc',)),
}
_HASHES = frozenset(('_hash', '_mhash'))
_METHODS = (types.FunctionType, staticmethod, classmethod)


def essential(value: Any, state: Iterable[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Return an object's attributes, except those computed from the others.

    Parameters
    ----------
    value : object
    state : iterable of (str, object)
        Names and values of attributes, as the object is carried.

    Returns
    -------
    attributes : list of (str, object)
    """
    kind = type(value)
    installed = not modules.is_user(kind.__module__)
    own = getattr(value, '__dict__', {})
    return [pair for pair in state if not _is_derived(kind, own, *pair, installed)]


def _is_derived(kind: type, own: Any, name: Any, value: Any, installed: bool) -> bool:
    # What a class says itself to be its state is content, whatever its names.
    is_remembered = own.get(name) is value
    for base in kind.__mro__:
        if is_remembered and name in base.__dict__ and _is_lazy(base.__dict__[name]):
            return True
        if base.__name__ in _LATE_CLASSES and name in _LATE.get(
            (top_level(base), base.__name__), ()
        ):
            return True
    if not installed or not isinstance(name, str):
        return False
    return name in _HASHES or (type(value) not in WORDS and _CACHE.search(name) is not None)


_LATE_CLASSES = frozenset(name for _, name in _LATE)


def _is_lazy(member: Any) -> bool:
    """Return True for a class member whose value is a cache in the object."""
    if isinstance(member, functools.cached_property):
        return True
    kind = type(member)
    if isinstance(member, property):
        return (
            kind is not property and member.fset is None
        )  # it can't be set: a subclass that remembers
    if isinstance(member, _METHODS) or hasattr(kind, '__set__') or not hasattr(kind, '__get__'):
        return False
    return _LAZY.search(kind.__name__) is not None


# --------------------------------------------------------------------------------------------------
# Objects that are more, or less, than what they reduce to


def content(encoder: Encoder, value: Any) -> bytes:
    """Return the bytes of an object whose library is known; nothing for every other."""
    kind = type(value)
    for base in kind.__mro__:
        module = base.__module__
        if modules.is_user(module):
            if not _REDUCTIONS.isdisjoint(base.__dict__):
                return b''  # the user's subclass says itself what it is
            continue
        top = module.partition('.')[0]
        encode = _TABLES.get(top)
        if encode is None:
            encode = _KNOWN.get((top, base.__name__))
        if encode is not None and (data := encode(encoder, value)):
            encoder.packages.add(top)
            return data
        if base is kind and top in _OWN:
            break
    return b''


_REDUCTIONS = frozenset(('__reduce__', '__reduce_ex__', '__getstate__'))
_OWN = frozenset(
    (
        'builtins',
        'collections',
        'copyreg',
        'datetime',
        'decimal',
        'functools',
        'operator',
        're',
        'types',
    )
)


def _dispatcher(encoder: Encoder, value: Any) -> bytes:
    """Encode a function that Numba compiles.

    The compiled versions and Numba's random identity do not count.
    """
    parts = [
        encoder.value(item)
        for item in (value.py_func, dict(value.targetoptions), dict(value.locals))
    ]
    return pack(b'compiled', type(value).__name__.encode(), *parts)


def _header(encoder: Encoder, value: Any) -> bytes:
    """Encode a header of a FITS file, whose cards are parsed when they are asked for."""
    return pack(b'header', encoder.value(value.tostring(sep='\n', endcard=False, padding=False)))


def _validator(encoder: Encoder, value: Any) -> bytes:
    """Encode the wrapper that `pydantic.validate_call` puts around a function.

    Its validators are derived from the function's annotations.
    """
    settings = {'config': dict(_config(value)), 'validate_return': value.validate_return}
    return pack(b'validated', encoder.value(value.function), encoder.value(settings))


def _config(value: Any) -> Any:
    return getattr(value.config_wrapper, 'config_dict', value.config_wrapper) or {}


def _manager(encoder: Encoder, value: Any) -> bytes:
    """Encode a context manager made by a generator function, before it is entered.

    It is encoded as its call.
    """
    return pack(
        b'call', encoder.value(type(value)), *[encoder.value(item) for item in _call(value)]
    )


def _call(value: Any) -> tuple[Any, Any, Any]:
    made = value.gen
    frame = getattr(made, 'gi_frame', None) or getattr(made, 'ag_frame', None)
    if frame is None or getattr(made, 'gi_suspended', getattr(made, 'ag_suspended', False)):
        raise TypeError('It is entered in this process.')
    return value.func, value.args, value.kwds


def _spline(encoder: Encoder, value: Any) -> bytes:
    """Encode a FITPACK spline, whose arrays are larger than the data in them."""
    data = value._data
    if data is None:
        return b''
    parts = [
        type(value),
        *data[:8],
        *value._eval_args,
        data[10],
        data[13],
        getattr(value, 'ext', None),
    ]
    return pack(b'spline', *[encoder.value(part) for part in parts])


def _ufunc(encoder: Encoder, value: Any) -> bytes:
    return pack(b'ufunc', _dispatcher(encoder, value._dispatcher))


_TABLES: dict[str, Callable[[Encoder, Any], bytes]] = {
    'pandas': tables.pandas,
    'polars': tables.polars,
    'pyarrow': tables.arrow,
    'xarray': tables.xarray,
}
_KNOWN: dict[tuple[str, str], Callable[[Encoder, Any], bytes]] = {
    ('numba', 'Dispatcher'): _dispatcher,
    ('numba', 'DUFunc'): _ufunc,
    ('astropy', 'Header'): _header,
    ('scipy', 'UnivariateSpline'): _spline,
    ('pydantic', 'ValidateCallWrapper'): _validator,
    ('contextlib', '_GeneratorContextManagerBase'): _manager,
}


# --------------------------------------------------------------------------------------------------
# Objects that Python can't pickle, and that can be made again


def reduced(value: Any) -> Any:
    """Return the reduction of an object that has none of its own; None for others."""
    kind = type(value)
    if isinstance(value, functools.cached_property):
        return _cached, (kind, value.func, value.attrname), _state(value) or None
    if isinstance(value, _DECORATORS) and hasattr(value, 'gen'):
        return kind, _call(value)
    name = kind.__name__
    if name == 'ValidateCallWrapper' and top_level(kind) == 'pydantic':
        return _validate, (value.function, _config(value), value.validate_return)
    if name == 'vectorize' and top_level(kind) == 'numpy':
        return object.__new__, (kind,), {**vars(value), '_ufunc': {}}
    return None


_DECORATORS = (contextlib.ContextDecorator, contextlib.AsyncContextDecorator)
# Python copies these from the function, and keeps a lock in a cached property (3.11).
_COPIED = frozenset(
    ('__doc__', '__module__', '__name__', '__qualname__', '__wrapped__', '__annotations__')
    + ('__type_params__', 'func', 'attrname', 'lock')
)


def _state(value: Any) -> dict[str, Any]:
    """Return the attributes that someone gave to a descriptor."""
    state = getattr(value, '__dict__', {})
    return {name: item for name, item in state.items() if name not in _COPIED and not is_live(item)}


def _cached(kind: Any, func: Any, name: str) -> Any:
    made = kind.__new__(kind)
    functools.cached_property.__init__(made, func)
    made.attrname = name
    return made


def _validate(func: Any, config: Any, validate_return: bool) -> Any:
    import pydantic

    made = pydantic.validate_call(config=config or None, validate_return=validate_return)(func)
    for cell in getattr(made, '__closure__', None) or ():
        inner = getattr(cell.cell_contents, '__self__', cell.cell_contents)
        if type(inner).__name__ == 'ValidateCallWrapper':
            return inner
    return made  # it is an object itself, in older versions


def descriptor(encoder: Encoder, value: Any) -> bytes:
    """Return the bytes of a descriptor around a function: a property, a static method."""
    kind = type(value)
    name = next(base for base in kind.__mro__ if base in DESCRIPTORS)
    if isinstance(value, property):
        parts = [value.fget, value.fset, value.fdel]
    else:
        parts = [value.func if isinstance(value, functools.cached_property) else value.__func__]
    chunks = [encoder.member(part) for part in parts]
    if kind is not name:
        chunks += [encoder.value(kind), encoder.value(_state(value))]
    return pack(name.__name__.encode(), *chunks)


DESCRIPTORS = (property, staticmethod, classmethod, functools.cached_property)
