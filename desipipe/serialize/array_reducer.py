"""Reduce arrays: large ones have their buffer apart, in any order of axes."""

from __future__ import annotations

from typing import Any

from . import makers
from .arrays import permutation
from .plain import OUT_OF_BAND

__all__ = ['reduce_array']


def reduce_array(array: Any) -> Any:
    """Reduce an array, or the memory that one maps."""
    import numpy as np

    is_mapped = type(array) is not np.ndarray
    if is_mapped:
        array = np.asarray(array)  # a mapped file: its content counts; no copy
    if not array.flags.forc and (axes := permutation(array)):
        # Its order in memory is part of what it is; to carry it takes no copy.
        return np.transpose, (
            array.transpose(axes),
            [axes.index(axis) for axis in range(array.ndim)],
        )
    if not is_mapped and (array.nbytes < OUT_OF_BAND or array.dtype.hasobject):
        return NotImplemented
    if not array.flags.forc:
        array = np.ascontiguousarray(
            array
        )  # one copy instead of two, and it can be mapped when it is read
    if array.dtype.kind in 'mM':
        # Dates have no buffer of their own; like small ones they come back writable.
        return makers.view_array, (_writable(array.view('i8')), array.dtype)
    return array.__reduce_ex__(5)


class _Writable:
    """The memory of an array, as if it could be written to."""

    def __init__(self, array: Any) -> None:
        self.array = array
        interface = array.__array_interface__
        self.__array_interface__ = {**interface, 'data': (interface['data'][0], False)}


def _writable(array: Any) -> Any:
    """Return a view of an array whose buffer is not read-only, without a copy."""
    import numpy as np

    return array if array.flags.writeable else np.asarray(_Writable(array))
