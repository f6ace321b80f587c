"""Sweeps: the calls that ``app.map(...)`` and ``%%desipipe --for`` stand for."""

from __future__ import annotations

import enum
import io
import itertools
import math
import operator
import reprlib
from collections import UserString
from collections.abc import (
    Callable,
    ItemsView,
    Iterable,
    Iterator,
    KeysView,
    Mapping,
    Sequence,
    Set,
    ValuesView,
)
from functools import partial
from typing import Any, NamedTuple

from ..errors import SweepError
from ..serialize import TaskReference

MOST_TASKS = 1_000_000  # of one sweep; a slip of the hand would take the memory of the process
_TEXT = (str, bytes, bytearray, memoryview, UserString)


class _Kind(enum.Enum):
    """A kind of use of a value in a sweep; the text is the reason if it is refused."""

    RANGE = 'is swept'
    TEXT = 'sweeps over text go letter by letter, which is seldom meant'
    UNORDERED = 'a set has no order'
    RECORD = 'a named tuple may be one value or several'
    FUTURE = 'a future cannot be swept before its result is known'
    NAMES = 'goes name by name, which is seldom meant'
    UNCLEAR = 'may be one value or several'
    ONE = 'is one value'


_REFUSED = (_Kind.UNORDERED, _Kind.RECORD, _Kind.UNCLEAR)


_Call = tuple[tuple[Any, ...], dict[str, Any]]


class Sweep(NamedTuple):
    """The calls of a sweep, and the arguments that they share."""

    names: list[str]
    """Those of the arguments that are swept by name, the last of each row."""
    rows: Callable[[], Iterable[tuple[Any, ...]]]
    """Gives what is swept, call by call; to be called anew for each pass."""
    fixed: dict[str, Any]
    """Those by name that are the same object in all calls."""

    def each(self) -> Iterator[_Call]:
        """Yield positional and named arguments of each call: there may be a million."""
        names, fixed = self.names, self.fixed
        for row in self.rows():
            count = len(row) - len(names)
            yield row[:count], {**fixed, **dict(zip(names, row[count:], strict=True))}

    @property
    def calls(self) -> list[_Call]:
        """Positional arguments and arguments by name of each call."""
        return list(self.each())


def sweep_calls(
    where: str,
    iterables: Sequence[Any],
    ranges: Mapping[str, Any],
    pair: bool,
    cell: bool = False,
) -> Sweep:
    """Make the calls of a sweep.

    Parameters
    ----------
    where : str
        Begins each message: ``'fraction.map'`` or ``'--for'``.
    iterables : sequence
        Values of positional arguments. They are paired, as in
        :meth:`concurrent.futures.Executor.map`, and must be of equal lengths.
    ranges : mapping
        Values by name. The product of those that are ranges is taken, the last one fastest.
    pair : bool
        Pair all ranges instead.
    cell : bool, default=False
        True if the sweep is that of a cell, where each value must be a range.

    Returns
    -------
    sweep : Sweep

    Raises
    ------
    SweepError
        Something can't be swept, or nothing is.
    """
    columns: dict[str, Iterable[Any]] = {}
    for number, values in enumerate(iterables, 1):
        columns[f'argument {number:d}'] = _elements(f'{where}: argument {number:d}', values)
    count = len(columns)
    fixed: dict[str, Any] = {}
    for name, values in ranges.items():
        label = f'{where} {name}' if cell else f'{where}({name}=...)'
        kind = _Kind.RANGE if cell else _classify(values)
        if kind in _REFUSED:
            raise _refusal(label, values, kind, name)
        if kind is _Kind.RANGE:
            columns[name] = _elements(label, values, name)
        else:
            fixed[name] = values
    names = list(columns)[count:]
    if not columns and not cell:
        raise _nothing_swept(where, fixed)
    where = f'{where} {", ".join(names)}' if cell else where
    paired = len(columns) if pair else count
    _check_sizes(where, columns, paired, 'cell' if cell else 'call')
    return Sweep(names, partial(_rows, list(columns.values()), paired), fixed)


def _classify(values: Any) -> _Kind:
    """Return what a value given by name is: a range, one value for all, or unclear.

    A range is what is made to be gone through: a sequence, an iterator, a view of a dictionary,
    an array of one dimension. An object is one value, also if it can be iterated.
    """
    if isinstance(values, _TEXT):
        return _Kind.TEXT
    if isinstance(values, TaskReference):
        return _Kind.FUTURE
    if isinstance(values, Mapping):
        return _Kind.NAMES
    if isinstance(values, io.IOBase):
        return _Kind.ONE  # a file is an iterator too
    if isinstance(values, Iterator | range | KeysView | ValuesView | ItemsView):
        return _Kind.RANGE
    if isinstance(values, Set):
        return _Kind.UNORDERED
    if isinstance(values, tuple) and hasattr(values, '_fields'):
        return _Kind.RECORD
    dimensions = _dimensions(values)
    if dimensions is None:
        return _Kind.RANGE if isinstance(values, Sequence | enum.EnumType) else _Kind.ONE
    if dimensions == 2 and hasattr(values, 'columns'):
        return _Kind.NAMES
    if dimensions != 1:
        return _Kind.ONE
    # Arrays, Series and tensors have one of these; coordinates and times of a catalogue do not.
    listed = hasattr(values, 'tolist') or hasattr(values, 'to_list')
    return _Kind.RANGE if listed else _Kind.UNCLEAR


def _dimensions(values: Any) -> int | None:
    """Return the number of dimensions of an array or table; None for other objects."""
    if isinstance(values, type):
        return None
    dimensions = getattr(values, 'ndim', None)
    if isinstance(dimensions, int):
        return dimensions
    shape = getattr(values, 'shape', None)
    return len(shape) if isinstance(shape, tuple) else None


def _elements(label: str, values: Any, name: str = '') -> Iterable[Any]:
    """Return what a range holds, in its order."""
    kind = _classify(values)
    if kind in (_Kind.TEXT, _Kind.UNORDERED, _Kind.FUTURE, _Kind.NAMES):
        raise _refusal(label, values, kind, name)
    if isinstance(values, itertools.repeat) and operator.length_hint(values, -1) < 0:
        return values
    try:
        iterator = iter(values)
    except TypeError:
        raise _refusal(label, values, _Kind.ONE, name) from None
    elements = list(itertools.islice(iterator, MOST_TASKS + 1))
    if not elements:
        raise _error(label, 'there is nothing to sweep over, the range is empty')
    return elements


def _error(label: str, problem: str, advice: str = '') -> SweepError:
    return SweepError(f'{label}: {problem}; nothing was added' + (advice and f'. {advice}'))


def _refusal(label: str, values: Any, kind: _Kind, name: str) -> SweepError:
    """Return why `values` is not swept, and what to write instead."""
    what, name = type(values).__name__, name or 'x'
    if kind is _Kind.ONE:
        problem = f'{what} {reprlib.repr(values)} cannot be swept'
        return _error(label, problem, 'Give a range, a list, an array')
    if kind is _Kind.TEXT:
        return _error(label, kind.value, f'Write [{reprlib.repr(values)}], or list(...)')
    if kind is _Kind.UNORDERED:
        advice = f'Write sorted({name}) to sweep, [{name}] to pass it whole'
        return _error(label, kind.value, advice)
    if kind is _Kind.FUTURE:
        return _error(label, kind.value, f'Give it to one task, or write {name}.result()')
    if kind is _Kind.NAMES:
        advice = 'Write list(...) of its keys, values or rows'
        return _error(label, f'{what} {kind.value}', advice)
    problem = kind.value if kind is _Kind.RECORD else f'{what} {kind.value}'
    return _error(label, problem, f'Write list({name}) to sweep, [{name}] to pass it whole')


def _nothing_swept(where: str, fixed: Mapping[str, Any]) -> SweepError:
    """Return the message that each value is the same in all calls."""
    app = where.removesuffix('.map')
    if not fixed:
        advice = f'Write {where}(range(20)) to sweep, {app}() for one task'
        return _error(f'{where}()', 'it sweeps over nothing', advice)
    ones = ', '.join(f'{name} is one {type(value).__name__}' for name, value in fixed.items())
    name = next(iter(fixed))
    return _error(
        f'{where}({", ".join(f"{name}=..." for name in fixed)})',
        f'it sweeps over nothing ({ones})',
        f'Write {name}=list(...) to sweep over what it holds, {app}({name}=...) for one task',
    )


def _check_sizes(
    where: str,
    columns: Mapping[str, Iterable[Any]],
    paired: int,
    unit: str,
) -> None:
    """Refuse too many calls, and ranges of different lengths where they are paired."""
    sizes = {name: len(c) if isinstance(c, list) else None for name, c in columns.items()}
    names = list(columns)
    together = {name: size for name in names[:paired] if (size := sizes[name]) is not None}
    factors = [sizes[name] or MOST_TASKS + 1 for name in names[paired:]]
    if paired:
        factors.append(max(together.values(), default=MOST_TASKS + 1))
    if math.prod(factors) > MOST_TASKS:
        problem = f'more than {MOST_TASKS:,d} tasks in one {unit}'
        raise _error(where, problem, 'Let each task do several, or sweep in parts')
    if len(set(together.values())) > 1:
        raise _error(
            where,
            f'the ranges have different lengths ({_listed(together)})',
            'Cut the longer ones, or repeat a value with itertools.repeat(value)',
        )


def _rows(values: Sequence[Iterable[Any]], paired: int) -> Iterable[tuple[Any, ...]]:
    """Pair the first columns, and combine each pair with all values of the others."""
    products = itertools.product(*values[paired:])
    if not paired:
        return products
    pairs = zip(*values[:paired], strict=False)  # an endless repetition is as long as the others
    return (first + last for first, last in itertools.product(pairs, products))


def _listed(lengths: Mapping[str, int]) -> str:
    return ', '.join(f'{name}: {length:d}' for name, length in lengths.items())
