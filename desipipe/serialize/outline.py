"""Text of values, read from payloads without running code.

Classes and functions that a payload names are not imported: they appear by their names.
"""

from __future__ import annotations

import datetime
import io
import pickle
import reprlib
import struct
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from .carried import second
from .class_makers import make_class, make_object
from .payload import split_payload

__all__ = ['outline']

PICKLE_MAX = 1 << 16
"""Bytes of a pickle that is outlined; arrays beside it do not count."""
_TEXT_MAX = 400  # characters
_NUMBERS = 6  # of an array that are shown
_SAFE: dict[tuple[str, str], type] = {
    **{('builtins', kind.__name__): kind for kind in (complex, frozenset, range, set, slice)},
    **{
        ('datetime', kind.__name__): kind
        for kind in (datetime.date, datetime.datetime, datetime.time, datetime.timedelta)
    },
    ('collections', 'OrderedDict'): OrderedDict,
}
# Formats of struct by the kind and the size of a type of NumPy.
_FORMATS = {
    **{f'i{size}': form for size, form in zip((1, 2, 4, 8), 'bhiq', strict=True)},
    **{f'u{size}': form for size, form in zip((1, 2, 4, 8), 'BHIQ', strict=True)},
    **{f'f{size}': form for size, form in zip((2, 4, 8), 'efd', strict=True)},
    'b1': '?',
}
_NAMES = {'i': 'int', 'u': 'uint', 'f': 'float', 'b': 'bool'}


def outline(data: bytes | memoryview) -> str:
    """Return a value in few words; no code of it runs.

    Parameters
    ----------
    data : bytes or memoryview
        A payload. Only for bytes of a trusted user: nesting that is made to be too deep can end
        the process.

    Returns
    -------
    text : str
        On one line; empty where the payload is too large, damaged, or says nothing by itself.
    """
    try:
        content, buffers = split_payload(data)
        if len(content) > PICKLE_MAX:
            return ''
        value = _Unpickler(io.BytesIO(content), buffers=buffers or ()).load()
        text = _Brief().repr(value)
    except Exception:  # whatever an incomplete class or a damaged pickle leads to
        return ''
    return text if len(text) <= _TEXT_MAX else f'{text[: _TEXT_MAX - 1]}…'


class _StandIn(type):
    """A stand-in for a class, a function or what they return.

    It is a class itself, since a pickle makes objects of classes only.
    """

    path: str
    called_with: tuple[Any, ...] | None
    state: Any

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        """Return the stand-in of what a call returns."""
        own = _MAKERS.get(cls.path)
        return _made(cls.path, args) if own is None else own(*args)

    def __setstate__(cls, state: Any) -> None:
        """Note the attributes of an object."""
        cls.state = state

    def append(cls, item: Any) -> None:
        """Note nothing: items of unknown containers are not shown."""

    def extend(cls, items: Any) -> None:
        """Note nothing, as above."""

    def __setitem__(cls, key: Any, item: Any) -> None:
        """Note nothing, as above."""


def _made(path: str, args: tuple[Any, ...] | None) -> _StandIn:
    name = path.rpartition('.')[2] or path

    def new(_: Any, *args: Any, **__: Any) -> _StandIn:
        return _made(path, args)

    return _StandIn(name, (), {'path': path, 'called_with': args, 'state': None, '__new__': new})


def _object(cls: Any, args: tuple[Any, ...], *_: Any) -> Any:
    return _made(getattr(cls, 'path', ''), args)


# What this package's own functions in payloads return.
_MAKERS: dict[str, Callable[..., Any]] = {
    f'{second.__module__}.{second.__name__}': lambda _, value: value,
    f'{make_class.__module__}.{make_class.__name__}': lambda *args: _made(args[2], None),
    f'{make_object.__module__}.{make_object.__name__}': _object,
}


class _Unpickler(pickle.Unpickler):
    """Takes stand-ins for all classes and functions but some that hold data alone."""

    def find_class(self, module: str, name: str) -> Any:
        """See :meth:`pickle.Unpickler.find_class`."""
        return _SAFE.get((module, name)) or _made(f'{module}.{name}', None)


class _Brief(reprlib.Repr):
    """Writes values, and stand-ins for values, in few words."""

    def __init__(self) -> None:
        super().__init__()
        self.fillvalue = '…'
        self.maxlevel = 4
        self.maxdict = self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = 8
        self.maxstring = self.maxother = self.maxlong = 120

    def repr_dict(self, x: dict[Any, Any], level: int) -> str:
        """Write a dictionary in its own order."""
        if level <= 0:
            return '{…}'
        items = [
            f'{self.repr1(key, level - 1)}: {self.repr1(item, level - 1)}'
            for key, item in list(x.items())[: self.maxdict]
        ]
        more = ['…'] if len(x) > self.maxdict else []
        return f'{{{", ".join([*items, *more])}}}'

    repr_OrderedDict = repr_dict  # names that reprlib looks for

    def repr__StandIn(self, x: _StandIn, level: int) -> str:
        """Write an object as its class is called, with its attributes."""
        array = _array(x)
        if array:
            return array
        if x.called_with is None:
            return x.__name__
        args, kind = x.called_with, x
        if args and isinstance(args[0], _StandIn) and args[0].called_with is None:
            # A function that makes an object of a class: the class says more.
            kind, args = args[0], ()
        if level <= 0:
            return f'{kind.__name__}(…)'
        parts = [self.repr1(arg, level - 1) for arg in args[:4]]
        state = x.state[-1] if isinstance(x.state, tuple) and x.state else x.state
        if isinstance(state, dict):
            parts = [
                f'{name}={self.repr1(value, level - 1)}'
                for name, value in list(state.items())[: self.maxdict]
                if isinstance(name, str) and not name.startswith('_')
            ]
        return f'{kind.__name__}({", ".join(parts)})'


def _array(made: _StandIn) -> str:
    """Write an array or a number of NumPy; empty for anything else."""
    args = made.called_with
    if made.path.rpartition('.')[0].partition('.')[0] != 'numpy' or not args:
        return ''
    name = made.__name__
    if name == 'scalar' and len(args) == 2:
        kind, data, shape = *args, ()
    elif name == '_frombuffer' and len(args) == 4:
        data, kind, shape, _ = args
    elif name == '_reconstruct' and isinstance(made.state, tuple) and len(made.state) == 5:
        _, shape, kind, _, data = made.state
    else:
        return ''
    code = kind.called_with[0] if isinstance(kind, _StandIn) and kind.called_with else ''
    if not isinstance(code, str) or not isinstance(shape, tuple):
        return ''
    order = kind.state[1] if isinstance(kind.state, tuple) and len(kind.state) > 1 else '<'
    numbers = _numbers(code, order, data)
    if name == 'scalar':
        return numbers
    long_name = f'{_NAMES[code[0]]}{8 * int(code[1:])}' if code in _FORMATS else code
    return f'array({numbers}, shape={shape}, dtype={long_name.replace("bool8", "bool")})'


def _numbers(code: str, order: str, data: Any) -> str:
    """Write the first numbers of an array's bytes."""
    form = _FORMATS.get(code)
    if form is None or not isinstance(data, bytes | bytearray | memoryview):
        return '…'
    start = memoryview(data).cast('B')
    size = struct.calcsize(f'<{form}')
    count = min(_NUMBERS, len(start) // size)
    values = struct.unpack_from(f'{">" if order == ">" else "<"}{count}{form}', start)
    texts = [f'{value:.6g}' if isinstance(value, float) else str(value) for value in values]
    if len(start) == size:
        return texts[0]
    return f'[{", ".join(texts)}{", …" if count * size < len(start) else ""}]'
