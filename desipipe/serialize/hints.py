"""Identity of annotations.

Programs read annotations when they run (dataclasses, validators, injection), so they count where
that is possible.
"""

from __future__ import annotations

import sys
import types
import typing
from typing import Any

from .encoder import Encoder
from .plain import pack

__all__ = ['REFLECTING', 'construct', 'written']

# Names by which a program asks for annotations of functions.
REFLECTING = frozenset(
    (
        '__annotations__',
        '__annotate__',
        'get_annotations',
        'get_type_hints',
        'getfullargspec',
        'signature',
    )
)
_VARIABLES = frozenset(('TypeVar', 'ParamSpec', 'TypeVarTuple'))
_SIDES = ('__bound__', '__constraints__', '__covariant__', '__contravariant__')


def written(holder: Any) -> dict[str, Any]:
    """Return an object's own annotations, without evaluating those that are text."""
    if sys.version_info >= (3, 14):
        import annotationlib

        return annotationlib.get_annotations(holder, format=annotationlib.Format.FORWARDREF)
    own = (
        holder.__dict__.get('__annotations__')
        if isinstance(holder, type)
        else holder.__annotations__
    )
    return own if isinstance(own, dict) else {'': own} if own is not None else {}


def construct(encoder: Encoder, value: Any) -> bytes:
    """Return the bytes of a typing construct (``list[int]``, ``Annotated[…]``).

    Other objects give none.

    How Python keeps these differs from version to version.
    """
    kind = type(value)
    if kind.__name__ in _VARIABLES and kind.__module__ == 'typing':
        sides = [encoder.value(getattr(value, name, None), f'its {name}') for name in _SIDES]
        return pack(b'variable', kind.__name__.encode(), value.__name__.encode(), *sides)
    if kind.__name__ == 'ForwardRef':
        return pack(
            b'forward', value.__forward_arg__.encode(), encoder.names(value.__forward_arg__)
        )
    if kind.__name__ == 'TypeAliasType':
        return pack(b'alias', value.__name__.encode(), encoder.value(value.__value__))
    origin = typing.get_origin(value)
    if origin is None:
        return b''
    is_union = origin in (typing.Union, types.UnionType)
    name = 'Union' if is_union else str(getattr(value, '_name', ''))
    flag = b'%d' % bool(getattr(value, '__unpacked__', False))
    start = b'' if is_union else encoder.value(origin)
    return pack(
        b'G', name.encode(), flag, start, *[encoder.value(item) for item in typing.get_args(value)]
    )
