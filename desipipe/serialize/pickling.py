"""Pickle values with the code that they bring, and name what can't be pickled."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterable, Mapping
from types import FunctionType
from typing import Any

from . import carried, static_modules
from .culprit import culprit
from .pickler import Pickler
from .plain import OUT_OF_BAND, deep
from .refusals import refuse

__all__ = ['pickled']


class _Restored:
    """A value, and after it what it brings along; it is loaded as the value itself."""

    def __init__(self, value: Any, pickler: Pickler) -> None:
        self.value = value
        self.functions = pickler.functions

    def __reduce__(self) -> Any:
        return carried.restore, (self.value, self.functions.texts, self.functions.modules)


class _Prepared:
    """A value, with what it brings along before it."""

    def __init__(self, value: Any, pickler: Pickler) -> None:
        self.value = value
        self.installed = _Installed(pickler)

    def __reduce__(self) -> Any:
        return carried.second, (self.installed, self.value)


class _Installed:
    def __init__(self, pickler: Pickler) -> None:
        self.functions = pickler.functions

    def __reduce__(self) -> Any:
        return carried.install, (self.functions.texts, self.functions.modules)


def pickled(
    obj: Any,
    trail: Iterable[str],
    references: bool = False,
    statics: Mapping[str, static_modules.Static] | None = None,
) -> tuple[bytes, list[memoryview], list[bytes]]:
    """Pickle anything.

    Parameters
    ----------
    obj : object
    trail : iterable of str
        Names for errors.
    references, statics
        See :class:`Pickler`.

    Returns
    -------
    data : bytes
        The pickle.
    buffers : list of memoryview
        What is not in it.
    tids : list of bytes
        Identities of the tasks it refers to, in order of first appearance.

    Raises
    ------
    NotSerializableError
        If it can't be carried; names what in it can't.
    """
    try:
        try:
            return _pickled(obj, references, statics)
        except (RecursionError, pickle.PicklingError) as exc:
            if not isinstance(exc.__cause__ or exc, RecursionError):
                raise
            return deep(lambda: _pickled(obj, references, statics))
    except MemoryError:
        raise
    except Exception as exc:
        path, part, reason = culprit(obj, list(trail), exc, references)
        raise refuse(path or ['the arguments'], part, reason) from exc


def _pickled(
    obj: Any, references: bool, statics: Mapping[str, static_modules.Static] | None
) -> tuple[bytes, list[memoryview], list[bytes]]:
    buffers: list[memoryview] = []

    def out_of_band(buffer: pickle.PickleBuffer) -> bool:
        try:
            raw = buffer.raw()
        except BufferError:
            return True
        if raw.nbytes < OUT_OF_BAND:
            return True
        buffers.append(raw)
        return False

    pickler = None
    if type(obj) is FunctionType:
        # It brings its text along: what is known of that when the function itself was written is
        # all there is, unless it uses modules of the user.
        with io.BytesIO() as file:
            pickler = Pickler(file, out_of_band, references, statics)
            pickler.dump(_Restored(obj, pickler))
            if not pickler.used.by_name and not pickler.functions.modules:
                return file.getvalue(), buffers, list(pickler.tids)
        buffers.clear()
    if pickler is None or pickler.used.by_name:
        with io.BytesIO() as file:
            pickler = Pickler(file, out_of_band, references, statics)
            pickler.discover(obj)
            data = file.getvalue()
    if pickler.functions.texts or pickler.functions.modules or pickler.used.by_name:
        # It brings code along: once more, now that it is known what that needs.
        buffers.clear()
        with io.BytesIO() as file:
            Pickler(file, out_of_band, references, statics, pickler.used.by_name).dump(
                _Prepared(obj, pickler)
            )
            data = file.getvalue()
    return data, buffers, list(pickler.tids)
