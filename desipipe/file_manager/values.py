"""Hold values of options: what can be compared and hashed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import ConfigError

_DEEPEST = 4  # lists in lists in one value
ITEMS = 1000  # of one value, however deep: aliases of YAML make billions of a few lines


def shown(value: Any) -> str:
    """A value for people, short.

    Lists in lists of the same lists are long when they are written out.
    """
    import reprlib

    return reprlib.repr(value)


def unusable(subject: str, reason: ConfigError) -> ConfigError:
    """Return the error for a path or a value, with what is wrong with it."""
    return ConfigError(f'{subject} cannot be used. {reason}')


class DictValue(dict[Any, Any]):
    """A dictionary that is one value of an option, such as limits of multipoles.

    It can be hashed, and is not to be changed. It equals dictionaries with equal items, lists and
    tuples in them counting as the same.
    """

    def _items(self) -> frozenset[tuple[Any, Any]]:
        return frozenset((key, freeze(value)) for key, value in self.items())

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(self._items())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mapping):
            return False
        if len(other) != len(self):
            return False
        try:
            return self._items() == DictValue(other)._items()
        except ConfigError:  # it holds what can be no value
            return False

    def __reduce__(self) -> tuple[Any, ...]:
        return DictValue, (dict(self),)


class ListValue(list[Any]):
    """A list that is one value of an option, such as the edges of a bin.

    It can be hashed, is not to be changed, and equals tuples, too.
    """

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(tuple(self))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, list | tuple) and tuple(self) == tuple(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __reduce__(self) -> tuple[Any, ...]:
        return ListValue, (tuple(self),)


def freeze(value: Any) -> Any:
    """A value that can be compared and hashed.

    Lists are those of :class:`ListValue`, numbers of NumPy those of Python.

    Raises
    ------
    ConfigError
        If it can be no value: a set, or lists and dictionaries that are deep or long.
    """
    kind = type(value)
    if kind is str or kind is int or kind is float or kind is bool or value is None:
        return value
    return _frozen(value, _DEEPEST, [ITEMS])


def _frozen(value: Any, depth: int, left: list[int]) -> Any:
    if isinstance(value, list | tuple):
        left[0] -= len(value)
        if depth == 0 or left[0] < 0:
            raise ConfigError(
                f'It holds a value with lists more than {_DEEPEST:d} deep, or more than {ITEMS:,d} '
                'items.'
            )
        items = (_frozen(item, depth - 1, left) for item in value)
        return ListValue(items) if isinstance(value, list) else tuple(items)
    if isinstance(value, Mapping):
        left[0] -= len(value)
        if depth == 0 or left[0] < 0:
            raise ConfigError(
                f'It holds a value with dictionaries more than {_DEEPEST:d} deep, or more than '
                f'{ITEMS:,d} items.'
            )
        for key, item in value.items():
            _frozen(key, 1, left)
            _frozen(item, depth - 1, left)
        return DictValue(value)
    if isinstance(value, set | frozenset):
        raise ConfigError(
            'It can be a value, a list of values, range(...), ..., or a dictionary of values and '
            f'their texts, but {shown(value)} is none of these.'
        )
    if type(value).__module__ == 'numpy' and hasattr(value, 'tolist'):
        value = value.tolist()
        return _frozen(value, depth, left) if isinstance(value, list) else value
    return value
