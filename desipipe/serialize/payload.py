"""Values to bytes and back.

A payload is a plain pickle, which begins with ``0x80``, or, where it holds references to tasks or
large buffers::

    magic (8 bytes)  flags  number of buffers  length of the pickle  length of each buffer …  pickle
    padding  buffer  padding …

with every buffer at a multiple of 64 bytes from the start of the payload: a segment puts such a
payload at a multiple of 64 too, so that a mapped array is aligned.
"""

from __future__ import annotations

import io
import pickle
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from ..errors import FutureValueError, PayloadError
from .plain import ATOMS, OUT_OF_BAND, TaskReference, is_plain
from .refusals import named

__all__ = [
    'Payload',
    'dumps',
    'dumps_arguments',
    'is_plain_pickle',
    'loads',
    'refuse_text_of_futures',
    'split_payload',
]

ALIGNMENT = 64
_MAGIC = b'\xd3desipi1'
_HEAD = struct.Struct('<8sIIQ')
REFERENCES = 1
_GLOBAL = b'\x93'  # how pickles of protocol 4 and later refer to a class or a function
_TEXT_OF_FUTURE = b'<Future '
_FUTURE = re.compile(r'<Future [0-9a-f]{12} [^<>]*>')
_Buffers = list[memoryview | bytearray]
_REFERENCE_HOME = f'{__package__}.plain'


class Payload(NamedTuple):
    """Bytes to be appended one after the other."""

    parts: list[bytes | memoryview]
    """One part, unless the payload is aligned.

    The memory views are of the value itself: write them before it changes.
    """
    nbytes: int
    """Length of all parts."""
    aligned: bool
    """True if the payload must begin at a multiple of 64 bytes."""


def dumps(obj: object, name: str = 'result') -> Payload:
    """Make the bytes of a value.

    Code of notebooks, scripts and their modules is carried by value; arrays are not copied.

    Parameters
    ----------
    obj : object
        Futures in it are carried as their class says.
    name : str, default='result'
        Name for errors.

    Returns
    -------
    payload : Payload

    Raises
    ------
    NotSerializableError
        If something in it can't be carried.
    """
    if type(obj) in ATOMS or is_plain(obj) or _is_small_array(obj):
        data = pickle.dumps(obj, 5)
        return Payload([data], len(data), False)
    from .pickling import pickled

    data, buffers, _ = pickled(obj, [named(name)])
    return pack_payload(data, buffers)


def _is_small_array(obj: Any) -> bool:
    # Numbers and small arrays of NumPy: the most common results, and the C pickler can do them
    # alone.
    if (
        type(obj).__module__ != 'numpy'
        or not hasattr(obj, 'nbytes')
        or type(obj).__name__ == 'memmap'
    ):
        return False
    return not obj.dtype.hasobject and bool(obj.nbytes < OUT_OF_BAND)


def dumps_arguments(kwargs: Mapping[str, object]) -> tuple[Payload, list[bytes]]:
    """Make the bytes of a call's arguments.

    Parameters
    ----------
    kwargs : dict
        Arguments by name. References to tasks (futures) in them, at any depth, are replaced by what
        :func:`loads` is told.

    Returns
    -------
    payload : Payload
    tids : list of bytes
        Identities of the tasks that are referred to, each once, in order of first appearance.

    Raises
    ------
    NotSerializableError
        If an argument can't be carried.
    """
    if type(kwargs) is dict and (ATOMS.issuperset(map(type, kwargs.values())) or is_plain(kwargs)):
        data = pickle.dumps(kwargs, 5)
        refuse_text_of_futures(kwargs, data)
        return Payload([data], len(data), False), []
    from .pickling import pickled

    data, buffers, tids = pickled(dict(kwargs), [], references=True)
    refuse_text_of_futures(kwargs, data)
    return pack_payload(data, buffers, REFERENCES if tids else 0), tids


def refuse_text_of_futures(kwargs: Mapping[str, object], pickled: bytes) -> None:
    """Raise if a text among arguments was made of a future, as by ``f'{future}'``.

    Parameters
    ----------
    kwargs : dict
    pickled : bytes
        Their pickle, which is faster to look through.

    Raises
    ------
    FutureValueError
        Naming the argument.
    """
    if _TEXT_OF_FUTURE not in pickled:
        return
    for name, value in kwargs.items():
        for part in _texts(value):
            made = _FUTURE.search(part)
            if made is not None:
                raise FutureValueError(
                    f'{named(name)} is text that was made of {made[0]}: the name of a future, not '
                    'the value of its task. '
                    'Nothing was added to the queue. Make the text of future.result(), or in a '
                    'task that takes the future as an argument.'
                )


def _texts(value: object, depth: int = 8) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict) and depth:
        for key, item in value.items():
            yield from _texts(key, depth - 1)
            yield from _texts(item, depth - 1)
    elif isinstance(value, (list, tuple, set, frozenset)) and depth:
        for item in value:
            yield from _texts(item, depth - 1)


def pack_payload(data: bytes, buffers: list[memoryview], flags: int = 0) -> Payload:
    """Put a pickle and its buffers together."""
    if not buffers and not flags:
        return Payload([data], len(data), False)
    lengths = [buffer.nbytes for buffer in buffers]
    head = (
        _HEAD.pack(_MAGIC, flags, len(buffers), len(data))
        + struct.pack(f'<{len(lengths)}Q', *lengths)
        + data
    )
    parts: list[bytes | memoryview] = [head]
    nbytes = len(head)
    for buffer in buffers:
        padding = -nbytes % ALIGNMENT
        if padding:
            parts.append(bytes(padding))
        parts.append(buffer)
        nbytes += padding + buffer.nbytes
    return Payload(parts, nbytes, bool(buffers))


def loads(data: bytes | memoryview, resolve: Callable[..., object] | None = None) -> Any:
    """Make a value of its bytes. Only for bytes of a trusted user: they may run code.

    Parameters
    ----------
    data : bytes or memoryview
        A payload. Large arrays are views of it where it can be written to, else copies: they are
        writable, as small ones are, unless they were read-only when the payload was made.
    resolve : callable, default=None
        Called with the identity of each task that is referred to, and with the key of a part of its
        result where only that is meant; gives what takes its place. By default a
        :class:`TaskReference`.

    Returns
    -------
    obj : object

    Raises
    ------
    PayloadError
        If the bytes are no payload, or not all of one.
    """
    if data[:1] == b'\x80':
        content, buffers, flags = data, None, 0
    else:
        content, buffers, flags = _split(memoryview(data))
    try:
        if flags & REFERENCES:
            return _Unpickler(content, buffers, resolve or TaskReference).load()
        return pickle.loads(content, buffers=buffers)
    except (pickle.UnpicklingError, EOFError) as exc:
        raise _damaged(data, str(exc)) from exc


def is_plain_pickle(data: bytes) -> bool:
    """Return True for a pickle that refers to no class and no function.

    Loading such a pickle runs no code.
    """
    if data[:1] != b'\x80':
        return False
    if _GLOBAL not in data:
        return True
    try:
        _PlainUnpickler(io.BytesIO(data)).load()
    except Exception:  # it is none, or is damaged
        return False
    return True


def split_payload(data: bytes | memoryview) -> tuple[bytes | memoryview, _Buffers | None]:
    """Return the pickle of a payload, and the buffers beside it.

    Raises
    ------
    PayloadError
        If the bytes are no payload, or not all of one.
    """
    return (data, None) if data[:1] == b'\x80' else _split(memoryview(data))[:2]


class _PlainUnpickler(pickle.Unpickler):
    """Refuses classes and functions."""

    def find_class(self, module: str, name: str) -> Any:
        """See :meth:`pickle.Unpickler.find_class`."""
        raise pickle.UnpicklingError(f'{module}.{name}')


def _split(view: memoryview) -> tuple[bytes | memoryview, _Buffers | None, int]:
    try:
        magic, flags, number, length = _HEAD.unpack_from(view)
        lengths = struct.unpack_from(f'<{number:d}Q', view, _HEAD.size)
    except struct.error as exc:
        raise _damaged(view, str(exc)) from None
    if magic != _MAGIC:
        raise _damaged(view, 'they begin with none of the known words')
    start = _HEAD.size + 8 * number
    position = start + length
    buffers: _Buffers = []
    for size in lengths:
        position += -position % ALIGNMENT
        buffer = view[position : position + size]
        buffers.append(bytearray(buffer) if view.readonly else buffer)
        position += size
    if position > len(view):
        raise _damaged(view, f'{position:d} bytes were written')
    return view[start : start + length], buffers, flags


def _damaged(data: bytes | memoryview, why: str) -> PayloadError:
    return PayloadError(
        f'These {len(data):d} bytes are no payload, or not all of one ({why}): the value cannot be '
        'read. Check with: desipipe doctor'
    )


class _Unpickler(pickle.Unpickler):
    """Gives references to tasks to whoever resolves them."""

    def __init__(
        self,
        content: bytes | memoryview,
        buffers: _Buffers | None,
        resolve: Callable[..., object],
    ) -> None:
        super().__init__(io.BytesIO(content), buffers=buffers)
        self.resolve = resolve

    def find_class(self, module: str, name: str) -> Any:
        """See :meth:`pickle.Unpickler.find_class`."""
        if name == 'reference' and module == _REFERENCE_HOME:
            return self.resolve
        return super().find_class(module, name)
