"""Refuse to compute with a future as if it were the value of its task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from ..errors import FutureAttributeError, FutureValueError

# Not `__iter__`, `__len__`, `__call__` and their like: a future would count as a sequence, or as
# callable.
_OPERATORS = (
    *('add', 'sub', 'mul', 'matmul', 'truediv', 'floordiv', 'mod', 'divmod', 'pow'),
    *('lshift', 'rshift', 'and', 'xor', 'or'),
)
_METHODS = (
    *(f'__{name}__' for name in _OPERATORS),
    *(f'__r{name}__' for name in _OPERATORS),
    *('__neg__', '__pos__', '__abs__', '__invert__', '__lt__', '__le__', '__gt__', '__ge__'),
    *('__bool__', '__int__', '__float__', '__complex__', '__index__', '__round__', '__getitem__'),
    *('__trunc__', '__floor__', '__ceil__', '__array_function__', '__array_ufunc__'),
)


def is_refusal(error: BaseException) -> bool:
    """Return True for what a future raises that was taken for its value."""
    entry = error.__traceback__
    while entry is not None and entry.tb_next is not None:
        entry = entry.tb_next
    return (
        isinstance(error, FutureValueError)
        and entry is not None
        and entry.tb_frame.f_globals is globals()
    )


class NotAValue:
    """The base of a placeholder that must not be taken for what it stands for.

    Without it, Python's own errors speak of operand types, and truth values, comparisons and
    formatted text are silently wrong.
    """

    __slots__ = ()

    def _refuse(self, *args: object, **kwargs: object) -> NoReturn:
        raise FutureValueError(self._advice())

    def _advice(self) -> str:
        """Describe what this is, and how to come to the value."""
        raise NotImplementedError

    def __format__(self, spec: str) -> str:
        __tracebackhide__ = True  # IPython leaves the frame out
        return str(self) if not spec else self._refuse()

    def __getattr__(self, name: str) -> Any:
        if name.startswith('_'):  # Python and libraries ask for these to see what an object can do
            raise AttributeError(f'{type(self).__name__!r} object has no attribute {name!r}')
        raise FutureAttributeError(
            f'{type(self).__name__!r} object has no attribute {name!r}: {self._advice()}'
        )


def _refusing(name: str) -> Callable[..., NoReturn]:
    def method(self: NotAValue, *args: object, **kwargs: object) -> NoReturn:
        __tracebackhide__ = True
        self._refuse()

    method.__name__, method.__qualname__ = name, f'NotAValue.{name}'
    return method


for _name in _METHODS:
    setattr(NotAValue, _name, _refusing(_name))
