"""Find the smallest part of a value that can't be pickled."""

from __future__ import annotations

import copyreg
import io
from collections.abc import Iterator
from types import FunctionType, MethodType, ModuleType
from typing import Any

from .bytecode import reads
from .pickler import Pickler
from .refusals import is_live

__all__ = ['culprit']

_Parts = Iterator[tuple[list[str], Any]]  # steps to a part, and the part
_SKIPPED = ('__dict__', '__weakref__', '__builtins__', '_abc_impl', '__loader__', '__spec__')


def culprit(
    obj: Any, trail: list[str], reason: Exception, references: bool
) -> tuple[list[str], Any, Exception]:
    """Go down to the smallest part of ``obj`` that can't be pickled."""
    seen: set[int] = set()
    while not is_live(obj):
        seen.add(id(obj))
        for steps, part in _parts(obj, not trail):
            if id(part) in seen:
                continue
            try:
                Pickler(io.BytesIO(), lambda buffer: False, references).discover(part)
            except Exception as exc:
                # What is too deep is too deep at every level but the last: the first that has a
                # name is enough.
                if trail and isinstance(exc.__cause__ or exc, RecursionError):
                    return trail, obj, reason
                obj, trail, reason = part, [*trail, *steps], exc
                break
        else:
            break
    return trail, obj, reason


def _parts(obj: Any, arguments: bool) -> _Parts:
    """Yield the parts of a value; ``arguments``: it holds those of a call."""
    kind = type(obj)
    if kind is dict:
        yield from _dictionary_parts(obj, arguments)
    elif kind in (list, tuple, set, frozenset):
        for i, value in enumerate(obj):
            yield [f'item {i:d}'], value
    elif kind is FunctionType:
        yield from _function_parts(obj)
    elif kind is MethodType:
        yield [], obj.__self__
        yield [], obj.__func__
    elif isinstance(obj, (staticmethod, classmethod)):
        yield [], obj.__func__
    elif isinstance(obj, property):
        for part in (obj.fget, obj.fset, obj.fdel):
            yield [], part
    elif isinstance(obj, (type, ModuleType)):
        prefix = f'the {"class" if isinstance(obj, type) else "module"} {obj.__name__!r}, attribute'
        for name, value in dict(vars(obj)).items():
            if name not in _SKIPPED:
                yield [f'{prefix} {name!r}'], value
    elif not isinstance(obj, (int, float, str, bytes, io.IOBase)):
        yield from _object_parts(obj)


def _dictionary_parts(obj: dict[Any, Any], arguments: bool) -> _Parts:
    for key, value in obj.items():
        yield [f'argument {key!r}' if arguments else f'item {key!r}'], value
        yield [f'key {key!r}'], key


def _function_parts(func: FunctionType) -> _Parts:
    who = f'the function {func.__name__!r}'
    for name, cell in zip(func.__code__.co_freevars, func.__closure__ or (), strict=True):
        try:
            yield [f'{who} uses {name!r}'], cell.cell_contents
        except ValueError:
            continue  # not set yet
    for name in reads(func.__code__).names:
        if name in func.__globals__ and name != '__builtins__':
            yield [f'{who} uses {name!r}'], func.__globals__[name]
    names = func.__code__.co_varnames[: func.__code__.co_argcount]
    defaults = func.__defaults__ or ()
    for name, value in [
        *zip(names[len(names) - len(defaults) :], defaults, strict=True),
        *(func.__kwdefaults__ or {}).items(),
    ]:
        yield [f'{who} has the default {name!r}'], value
    for name, value in func.__dict__.items():
        yield [f'{who} has the attribute {name!r}'], value


def _object_parts(obj: Any) -> _Parts:
    """Yield what makes an object again: its state, arguments, items."""
    kind = type(obj)
    try:
        reduced = (
            copyreg.dispatch_table[kind](obj)
            if kind in copyreg.dispatch_table
            else obj.__reduce_ex__(5)
        )
    except Exception:
        reduced = (None, (), getattr(obj, '__dict__', None))
    if not isinstance(reduced, tuple):
        return
    members: tuple[Any, ...] = (*reduced[1:], None, None, None, None)
    args, state, items, pairs = members[:4]
    for part in state if isinstance(state, tuple) else (state,):
        if isinstance(part, dict):
            for name, value in part.items():
                yield [f'attribute {name!r}'], value
        elif part is not obj:
            yield [], part
    for value in args if isinstance(args, tuple) else ():
        if value is not obj:
            yield [], value
    for i, value in enumerate(items or ()):
        yield [f'item {i:d}'], value
    for key, value in pairs or ():
        yield [f'item {key!r}'], value
