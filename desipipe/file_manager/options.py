"""Values that options take, and choosing among them."""

from __future__ import annotations

import itertools
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import EllipsisType
from typing import Any

from ..errors import ConfigError
from .values import ITEMS, freeze

Pool = list[Any] | range | EllipsisType
"""The values of an option; ``...``: any."""

_RANGE = re.compile(r'range\(\s*(-?\d+)\s*(?:,\s*(-?\d+)\s*)?(?:,\s*(-?\d+)\s*)?\)')
_LAID_OUT = 65536  # values
_LINEAR = 4096  # comparisons, above which values are looked up in a dictionary
_tables: OrderedDict[int, tuple[list[Any], dict[Any, int]]] = OrderedDict()


def make_pool(values: Any) -> tuple[Pool, Pool | None]:
    """The values of an option, as written.

    Parameters
    ----------
    values : object
        A value, a list of values, a range (``'range(...)'`` is one too), ``...`` (any value;
        ``'...'`` too), or a dictionary: values, and what stands for them in paths.

    Returns
    -------
    pool, texts : list, range or Ellipsis
        Values; what stands for each of them, ``None`` if they stand for themselves.

    Raises
    ------
    ConfigError
        Says what is wrong, not of which option.
    """
    if isinstance(values, Mapping):
        return [freeze(value) for value in values], [freeze(text) for text in values.values()]
    if isinstance(values, range):
        return values, None
    if values is Ellipsis or isinstance(values, str) and values == '...':
        return ..., None
    if isinstance(values, str) and values.startswith('range('):
        match = _RANGE.fullmatch(values.strip())
        try:
            if match is not None:
                return range(*(int(number) for number in match.groups() if number)), None
        except ValueError as exc:  # a step of zero
            raise ConfigError(f'It is {values}: {exc}.') from exc
        raise ConfigError(f'It is {values!r:.200}: range takes one to three whole numbers.')
    if type(values).__module__ == 'numpy' and hasattr(values, 'tolist'):
        values = values.tolist()
    pool = [freeze(value) for value in values] if isinstance(values, list) else [freeze(values)]
    if len(pool) > _LINEAR:
        _table(
            pool
            # now, where it takes less than reading the values did, so that the first to choose
            # among them does not wait
        )
    return pool, None


def position(value: Any, pool: Sequence[Any]) -> int | None:
    """Return the position of a value among those of an option, None if it is missing."""
    if isinstance(pool, range):
        # A range compares with anything but whole numbers one by one.
        if isinstance(value, float) and value.is_integer() or type(value).__module__ == 'numpy':
            value = int(value)
        elif not isinstance(value, int):
            return None
        return pool.index(value) if value in pool else None
    if len(pool) > _LINEAR:
        table = _table(pool)
        try:
            index = table.get(value)
            if index is not None and index < len(pool) and pool[index] == value:
                return index
        except TypeError:  # not hashable
            pass
    try:
        return pool.index(value)
    except ValueError:
        return None


def _table(pool: Sequence[Any]) -> dict[Any, int]:
    # The list is kept with its table, so that no other gets its number; and it is looked at again
    # before what the table says is used.
    assert isinstance(pool, list)
    cached = _tables.get(id(pool))
    if cached is None:
        table: dict[Any, int] = {}
        try:
            table.update(
                zip(reversed(pool), range(len(pool) - 1, -1, -1), strict=True)
            )  # of equal ones, the first
        except TypeError:
            table.clear()
        cached = _tables[id(pool)] = (pool, table)
        while len(_tables) > 64:
            _tables.popitem(last=False)
    return cached[1]


def _converted(value: Any, pool: Sequence[Any]) -> Any:
    # From a command line or a file name, numbers come as text; nothing else is taken for something
    # else.
    kinds = (
        set(map(type, pool))
        if len(pool) < _LINEAR and not isinstance(pool, range)
        else {type(pool[0])}
    )
    if len(kinds) != 1:
        return None
    kind = kinds.pop()
    if isinstance(value, str) and kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            return None
    return (
        str(value)
        if kind is str and isinstance(value, int | float) and not isinstance(value, bool)
        else None
    )


def choose(values: Any, pool: Sequence[Any]) -> list[int]:
    """Return positions of the wanted values among an option's, in the wanted order.

    Missing values are left out.

    Parameters
    ----------
    values : object
        A value, or several: a list, tuple, range or array. One that is itself a value (a tuple) is
        that one.
    pool : list or range

    Returns
    -------
    positions : list of int
    """
    if not len(pool):
        return []
    if values is Ellipsis:
        return list(range(len(pool)))
    if type(values).__module__ == 'numpy' and hasattr(values, 'tolist'):
        values = values.tolist()
    wanted: Iterable[Any] = (values,)
    if isinstance(values, list | tuple | range | set | frozenset):
        whole = (
            freeze(values) if isinstance(values, list | tuple) and len(values) <= ITEMS else None
        )
        index = position(whole, pool) if whole is not None else None
        if index is not None:
            return [index]
        wanted = values
    positions = []
    for value in wanted:
        value = freeze(value)
        index = position(value, pool)
        if index is None and (converted := _converted(value, pool)) is not None:
            index = position(converted, pool)
        if index is not None:
            positions.append(index)
    return positions


def narrowed_pool(pool: Pool, texts: Any, wanted: Any) -> tuple[Pool, Pool]:
    """Return the wanted values of an option, and their texts; see :func:`choose`."""
    if isinstance(pool, EllipsisType):
        if wanted is Ellipsis:
            return pool, texts
        values = list(map(freeze, wanted)) if isinstance(wanted, list | range) else [freeze(wanted)]
        return values, values
    places = choose(wanted, pool)
    values = [pool[index] for index in places]
    return values, values if texts is pool else [texts[index] for index in places]


def in_options(values: Any, options: Any, return_index: bool = False) -> Any:
    """The wanted values that are among those of an option.

    Parameters
    ----------
    values : object
        As for :func:`choose`.
    options : list, range or Ellipsis
        Those of the option.
    return_index : bool, default=False
        True to return their positions too (``...`` if any value will do).

    Returns
    -------
    values : list
    """
    if options is Ellipsis:
        pool = make_pool(values)[0]
        return (pool, ...) if return_index else pool
    pool = options if isinstance(options, list | range) else [freeze(value) for value in options]
    positions = choose(values, pool)
    selected = [pool[index] for index in positions]
    return (selected, positions) if return_index else selected


def as_names(names: str | Iterable[str] | None) -> list[str] | None:
    """A list of names of options, of one or several."""
    return None if names is None else [names] if isinstance(names, str) else list(names)


def chosen_names(
    options: Iterable[str], include: str | Iterable[str] | None, exclude: str | Iterable[str] | None
) -> list[str]:
    """Names of the options to go through, in their order."""
    wanted, unwanted = as_names(include), as_names(exclude) or ()
    return [name for name in options if (wanted is None or name in wanted) and name not in unwanted]


def as_lists(options: Mapping[str, Pool]) -> dict[str, Pool]:
    """Options with their ranges laid out."""
    return {name: list(pool) if isinstance(pool, range) else pool for name, pool in options.items()}


def values_of(pool: Pool) -> Sequence[Any]:
    """The values to go through: of an option that takes any, ``...`` itself."""
    return (...,) if isinstance(pool, EllipsisType) else pool


def product(pools: Sequence[Sequence[Any]]) -> Iterator[tuple[Any, ...]]:
    """Iterate like :func:`itertools.product`, without copying long ranges first."""
    if all(len(pool) <= _LAID_OUT for pool in pools):
        yield from itertools.product(*pools)
        return
    for value in pools[0]:
        for values in product(pools[1:]):
            yield (value, *values)


def iter_options(
    options: Mapping[str, Pool],
    include: str | Iterable[str] | None = None,
    exclude: str | Iterable[str] | None = None,
    yield_index: bool = False,
) -> Iterator[Any]:
    """All combinations of the values of options, the last one fastest.

    Parameters
    ----------
    options : dict
        Name: values.
    include, exclude : str, list, default=None
        Names of options to go through, or to leave out.
    yield_index : bool, default=False
        Yield pairs: the options, and the places of their values (``...`` where any value will do).

    Yields
    ------
    options : dict
        Name: value.
    """
    names = chosen_names(options, include, exclude)
    pools = [options[name] for name in names]
    places = product(
        [[...] if isinstance(pool, EllipsisType) else range(len(pool)) for pool in pools]
    )
    for values in product([values_of(pool) for pool in pools]):
        chosen = dict(zip(names, values, strict=True))
        yield (chosen, next(places)) if yield_index else chosen


def common_options(
    list_options: Sequence[Mapping[str, Pool]], intersection: bool = True
) -> dict[str, Pool]:
    """Options of several entries together.

    Parameters
    ----------
    list_options : list of dict
    intersection : bool, default=True
        True to keep only the options, and the values, that all have; else all.

    Returns
    -------
    options : dict
    """
    common: dict[str, Pool] = dict(list_options[0]) if list_options else {}
    for options in list_options[1:]:
        if intersection:
            common = {
                name: _shared(pool, options[name])
                for name, pool in common.items()
                if name in options
            }
        else:
            for name, pool in options.items():
                common_values = common.get(name, [])
                if isinstance(common_values, EllipsisType) or isinstance(pool, EllipsisType):
                    common[name] = ...
                else:
                    common[name] = (
                        [
                            *common_values,
                            *(value for value in pool if position(value, common_values) is None),
                        ]
                        if common_values
                        else pool
                    )
    return common


def _shared(one: Pool, other: Pool) -> Pool:
    if isinstance(one, EllipsisType):
        return other
    if isinstance(other, EllipsisType) or one is other or one == other:
        return one
    return [value for value in one if position(value, other) is not None]


def values_text(pool: Pool, texts: Pool | None = None, most: int = 5) -> str:
    """The values of an option, for people."""
    if isinstance(pool, EllipsisType):
        return '... (any value)'
    if isinstance(pool, range):
        return str(pool)
    word: Callable[[int], str] = lambda i: str(pool[i])  # noqa: E731
    if texts is not None and texts is not pool and not isinstance(texts, EllipsisType):
        word = lambda i: f'{pool[i]} → {texts[i]!r}'  # noqa: E731
    more = f', … ({len(pool):,d} values)' if len(pool) > most else ''
    return ', '.join(word(i) for i in range(min(len(pool), most))) + more if pool else 'none'
