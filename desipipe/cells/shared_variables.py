"""Find what functions and classes do to a notebook's variables elsewhere.

There a function has variables of its own: copies of what it reads. A notebook has one set of
variables for all. Where the difference would show, the cell is refused, or both are given the same
object.
"""

from __future__ import annotations

import dis
import functools
from collections.abc import Iterable, Iterator, Mapping
from types import CodeType, FunctionType
from typing import Any, NamedTuple

from ..serialize import bytecode


class Reach(NamedTuple):
    """Variables of the notebook, with the name of a function that comes to them."""

    read: dict[str, str]
    bound: dict[str, str]
    """By ``global``."""


def find_reach(values: Iterable[Any], namespace: Mapping[str, Any]) -> Reach:
    """Follow functions and classes of the notebook by the names that they read.

    Parameters
    ----------
    values : iterable
        Values to begin with; what is not the notebook's own is passed over.
    namespace : mapping
        The notebook's variables.

    Returns
    -------
    reach : Reach
    """
    reach = Reach({}, {})
    todo = [func for value in values for func in _functions(value)]
    seen: set[int] = set()
    while todo:
        func = todo.pop()
        if id(func) in seen or func.__globals__.get('__name__') != '__main__':
            continue
        seen.add(id(func))
        for name in bytecode.reads(func.__code__).names:
            if name in namespace:
                reach.read.setdefault(name, func.__name__)
                todo += _functions(namespace[name])
        for name in _stored(func.__code__):
            reach.bound.setdefault(name, func.__name__)
    return reach


def _functions(value: Any) -> Iterator[FunctionType]:
    if isinstance(value, type):
        if value.__module__ == '__main__':
            for item in vars(value).values():
                if not isinstance(item, type):
                    yield from _functions(item)
        return
    if isinstance(value, property):
        yield from (
            func for func in (value.fget, value.fset, value.fdel) if isinstance(func, FunctionType)
        )
        return
    for part in (
        value,
        getattr(value, '__func__', None),
        getattr(value, '__wrapped__', None),
        getattr(value, 'func', None),
    ):
        if isinstance(part, FunctionType):
            yield part


@functools.lru_cache(maxsize=1024)
def _stored(code: CodeType) -> frozenset[str]:
    functions = {
        instruction.argval
        for instruction in dis.get_instructions(code)
        if instruction.opname == 'STORE_GLOBAL'
    }
    return frozenset(
        functions.union(*(_stored(item) for item in code.co_consts if isinstance(item, CodeType)))
    )
