"""Identity of values: those of Python, those of libraries, all others as reduced."""

from __future__ import annotations

import copyreg
import functools
import io
import types
import typing
from collections import OrderedDict
from collections.abc import Iterable
from types import ModuleType
from typing import Any, Protocol

from .. import arrays, bytecode, hints, modules, objects
from ..encoder import Encoder, top_level
from ..plain import pack, standard_stream
from ..refusals import is_live
from .installed import Installed, whereabouts
from .path import Path

__all__ = ['ValueEncoder', 'of_library', 'of_python', 'reduced']

_BUILTIN_METHODS = (
    types.MethodWrapperType,
    types.WrapperDescriptorType,
    types.MethodDescriptorType,
    types.ClassMethodDescriptorType,
    types.MemberDescriptorType,
    types.GetSetDescriptorType,
)
_CACHE = type(functools.lru_cache(lambda: None))
_NOT_FOUND = 'it is not found under its own name'


class ValueEncoder(Encoder, Protocol):
    """Encodes values, and knows the path to them and what is installed."""

    path: Path
    installed: Installed

    def pairs(
        self, items: Iterable[tuple[Any, Any]], role: str = 'item', ordered: bool = False
    ) -> list[bytes]:
        """See :meth:`.Encoder.pairs`; ``ordered``: the order of the items is content."""


def of_python(encoder: ValueEncoder, value: Any, kind: type) -> bytes:
    """Return the bytes of a kind of value that Python itself has; nothing for others."""
    if kind is types.BuiltinFunctionType:
        bound = value.__self__
        if bound is None or isinstance(bound, ModuleType):
            return encoder.installed.by_name(value.__module__ or 'builtins', value.__qualname__)
        return pack(b'm', value.__name__.encode(), encoder.value(bound))
    if kind in _BUILTIN_METHODS:
        bound = value.__self__ if kind is types.MethodWrapperType else value.__objclass__
        return pack(b'm', value.__name__.encode(), encoder.value(bound))
    if issubclass(kind, objects.DESCRIPTORS):
        return objects.descriptor(encoder, value)
    if kind is types.CodeType:
        return pack(b'c', bytecode.fingerprint(value))
    if kind is typing.NewType:
        return pack(b'n', value.__name__.encode(), encoder.value(value.__supertype__))
    if kind is types.MappingProxyType:
        return pack(b'P', encoder.value(dict(value)))
    if kind is _CACHE:
        return _cached(encoder, value)
    if kind.__module__ in ('typing', 'types', 'annotationlib'):
        return hints.construct(encoder, value)
    return b''


def _cached(encoder: ValueEncoder, value: Any) -> bytes:
    """Encode what :func:`functools.lru_cache` made: what it remembers must not matter."""
    if not modules.is_user(value.__module__):
        named: Any = modules.resolve(value.__module__, value.__qualname__)
        if named is value:
            return encoder.installed.by_name(value.__module__, value.__qualname__)
    own = {
        name: item
        for name, item in vars(value).items()
        if name not in ('__wrapped__', 'cache_parameters')
    }
    parts = value.__wrapped__, value.cache_parameters(), own
    return pack(b'cached', *[encoder.value(part) for part in parts])


def of_library(encoder: ValueEncoder, value: Any, kind: type) -> bytes:
    """Return the bytes of a library's value whose reduction is not its content.

    Other values give none.
    """
    if kind.__name__ in ('Random', 'RandomState') and (name := modules.shared(value)):
        return encoder.installed.by_name(*name)
    top = top_level(kind)
    if top == 'numpy':
        data = arrays.value(encoder, value) or _ufunc(encoder, value)
        if data:
            return data
    if top == 'pathlib':
        # Its pickle tells how it was written, in some versions.
        return pack(b'p', kind.__name__.encode(), str(value).encode('utf-8', 'surrogateescape'))
    if top == 'fractions' and kind.__name__ == 'Fraction':
        return pack(b'f', b'%d' % value.numerator, b'%d' % value.denominator)
    if issubclass(kind, io.IOBase) and (stream := standard_stream(value)):
        return encoder.installed.by_name('sys', stream)
    data = objects.content(encoder, value)
    if not data and is_live(value):
        raise encoder.path.refuse(value)
    return data


def _ufunc(encoder: ValueEncoder, value: Any) -> bytes:
    import numpy as np

    if not isinstance(value, np.ufunc):
        return b''
    where = whereabouts(value, value.__name__)
    if not where:
        raise encoder.path.refuse(value, _NOT_FOUND)
    return encoder.installed.by_name(*where)


def reduced(encoder: ValueEncoder, value: Any) -> bytes:
    """Return the bytes of an object by what makes it: class, arguments, state, items."""
    kind = type(value)
    try:
        reduce = copyreg.dispatch_table.get(kind)
        reduced: Any = reduce(value) if reduce is not None else value.__reduce_ex__(4)
    except RecursionError:
        raise
    except Exception as exc:
        raise encoder.path.refuse(value, exc) from exc
    if isinstance(reduced, str):
        name = whereabouts(value, reduced)
        if not name:
            raise encoder.path.refuse(value, _NOT_FOUND)
        return encoder.installed.by_name(*name)
    func, args, state, items, pairs, setter = (*reduced, None, None, None, None)[:6]
    states = []
    for part in state if isinstance(state, tuple) and len(state) == 2 else (state,):
        if part is None or type(part) is dict:
            attributes = objects.essential(value, (part or {}).items())
            states.append(pack(b'M', *encoder.pairs(attributes, 'attribute')))
        else:
            states.append(encoder.value(part, 'its state'))
    ordered = isinstance(value, OrderedDict)
    return pack(
        b'O',
        encoder.value(func),
        encoder.value(args),
        pack(b'', *states),
        pack(b'', *[encoder.value(item, f'item {i:d}') for i, item in enumerate(items or ())]),
        pack(b'', *encoder.pairs(pairs or (), ordered=ordered)),
        encoder.value(setter),
    )
