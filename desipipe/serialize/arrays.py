"""Identity of NumPy's values: arrays by type, shape, memory order and content.

Bytes that lie between elements never count.
"""

from __future__ import annotations

from typing import Any

from .encoder import Encoder
from .plain import digest, pack

__all__ = ['array', 'dtype', 'order', 'permutation', 'value']

_COPIED = 65536  # bytes; smaller arrays are hashed through a copy, which costs less than a view


def value(encoder: Encoder, value: Any) -> bytes:
    """Return the bytes of an array, a scalar or a NumPy type; none for other objects."""
    import numpy as np

    encoder.packages.add('numpy')
    if isinstance(value, np.ma.MaskedArray):
        return _masked(encoder, value)
    if isinstance(value, np.ndarray):
        name = b'' if type(value) in (np.ndarray, np.memmap) else type(value).__name__.encode()
        return pack(b'A', name, array(encoder, np.asarray(value)))
    if isinstance(value, np.generic):
        return pack(b'N', array(encoder, np.asarray(value)))
    if isinstance(value, np.dtype):
        return pack(b'dtype', dtype(encoder, value))
    return b''


def _masked(encoder: Encoder, value: Any) -> bytes:
    import numpy as np

    mask, data = np.ma.getmaskarray(value), np.ma.getdata(value)
    flags = f'{type(value).__name__} {order(data)}'  # nothing else of it is carried
    if not data.dtype.names:
        data = np.ascontiguousarray(np.where(mask, np.zeros((), data.dtype), data))
    fill = value._fill_value  # asking for `fill_value` would set it
    if fill is None:
        fill = np.array(np.ma.default_fill_value(data.dtype), data.dtype)
    return pack(
        b'masked',
        flags.encode(),
        array(encoder, data),
        array(encoder, np.ascontiguousarray(mask)),
        encoder.value(fill[()]),
    )


def order(value: Any) -> str:
    """Return the memory order of an array's axes, as it is carried.

    It is empty for C order, and for an array with gaps.

    ``ravel('K')`` tells it, and sums differ in their last digits.
    """
    flags = value.flags
    if flags.c_contiguous:
        return ''
    if flags.f_contiguous:
        return 'F'
    axes = permutation(value)
    return repr([axis for axis in axes if value.shape[axis] > 1]) if axes else ''


def permutation(value: Any) -> list[int]:
    """Return the axes of an array by their distance in memory; none if it has gaps."""
    axes = sorted(range(value.ndim), key=lambda axis: -value.strides[axis])
    return axes if value.transpose(axes).flags.c_contiguous else []


def dtype(encoder: Encoder, value: Any) -> bytes:
    """Return the bytes of an array's type, including where its fields lie.

    :meth:`numpy.ndarray.view` makes these offsets visible.
    """
    extra = [encoder.value(dict(value.metadata), 'metadata')] if value.metadata else []
    if value.names:
        fields = []
        for name in value.names:
            field, offset, *title = value.fields[name]
            fields += [
                name.encode('utf-8', 'surrogatepass'),
                b'%d' % offset,
                dtype(encoder, field),
                encoder.value(title),
            ]
        return pack(
            b'd',
            f'{value.type.__name__} {value.itemsize} {value.isalignedstruct}'.encode(),
            *fields,
            *extra,
        )
    if value.subdtype:
        return pack(
            b's', repr(value.subdtype[1]).encode(), dtype(encoder, value.subdtype[0]), *extra
        )
    text: bytes = (repr(value) if value.kind == 'T' else value.str).encode()
    return pack(b'm', text, *extra) if extra else text


def array(encoder: Encoder, value: Any) -> bytes:
    """Return the bytes of a plain array."""
    import numpy as np

    kind = value.dtype
    head = [kind.str.encode(), repr(value.shape).encode()]
    in_memory = order(value)
    if in_memory:
        head.append(in_memory.encode())
    if kind.names or kind.metadata:
        head.append(dtype(encoder, kind))
    if kind.names:
        # Field by field: between the fields there may be bytes that nobody wrote.
        return pack(b'a', *[array(encoder, value[name]) for name in kind.names], *head[1:])
    if kind.hasobject or kind.kind == 'T':
        return pack(b'a', *head, encoder.value(value.ravel().tolist()))
    if value.size and value.nbytes > _COPIED:
        ordered = np.ascontiguousarray(value).reshape(-1)
        return pack(b'a', *head, digest(memoryview(ordered.view(np.uint8))))  # type: ignore[arg-type]
    return pack(b'a', *head, digest(value.tobytes()))
