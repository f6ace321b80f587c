"""Sweeps: ranges make one call a value, and what may be meant in two ways is refused."""

from __future__ import annotations

import array
import collections
import enum
import itertools
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from desipipe.errors import SweepError
from desipipe.queue.sweep import sweep_calls
from desipipe.serialize import TaskReference

FUTURE = TaskReference(b'a' * 16)
Pair = collections.namedtuple('Pair', ['left', 'right'])


class Colour(enum.Enum):
    """Two members."""

    RED = 1
    BLUE = 2


class Catalogue:
    """An object that can be iterated, and is one value."""

    def __iter__(self) -> Any:
        return iter('ab')


class Table:
    """Like a table: iterated, it gives the names of its columns."""

    ndim = 2
    columns = ('a', 'b')

    def __iter__(self) -> Any:
        return iter(self.columns)


class Positions:
    """Like coordinates of a catalogue: one dimension, and no list."""

    ndim = 1

    def __iter__(self) -> Any:
        return iter([1, 2])


def values(*iterables: Any, pair: bool = False, **ranges: Any) -> list[Any]:
    """Return the arguments of each call: one alone as itself."""
    calls = sweep_calls('f.map', iterables, ranges, pair).calls
    return [(*args, *kwargs.values()) for args, kwargs in calls]


RANGES: dict[str, tuple[Callable[[], Any], list[Any]]] = {
    'list': (lambda: [1, 'a'], [1, 'a']),
    'tuple': (lambda: (1, 2), [1, 2]),
    'range': (lambda: range(3), [0, 1, 2]),
    'deque': (lambda: collections.deque([1, 2]), [1, 2]),
    'array.array': (lambda: array.array('i', [1, 2]), [1, 2]),
    'generator': (lambda: (i for i in range(3)), [0, 1, 2]),
    'zip': (lambda: zip('ab', [1, 2], strict=True), [('a', 1), ('b', 2)]),
    'map': (lambda: map(int, '12'), [1, 2]),
    'enumerate': (lambda: enumerate('a'), [(0, 'a')]),
    'repeat': (lambda: itertools.repeat(4, 2), [4, 4]),
    'keys': (lambda: {'a': 1, 'b': 2}.keys(), ['a', 'b']),
    'values': (lambda: {'a': 1, 'b': 2}.values(), [1, 2]),
    'items': (lambda: {'a': 1}.items(), [('a', 1)]),
    'counter keys': (lambda: collections.Counter('ab').keys(), ['a', 'b']),
    'enum': (lambda: Colour, [Colour.RED, Colour.BLUE]),
    'nested': (lambda: [[1, 2], [3]], [[1, 2], [3]]),
    'numpy': (lambda: np.arange(3), [0, 1, 2]),
    'masked': (lambda: np.ma.array([1, 2]), [1, 2]),
    'futures': (lambda: [FUTURE], [FUTURE]),
}


@pytest.mark.parametrize('make, expected', RANGES.values(), ids=RANGES.keys())
def test_range_is_swept(make: Callable[[], Any], expected: list[Any]) -> None:
    assert values(make()) == [(value,) for value in expected]
    assert values(x=make()) == [(value,) for value in expected]
    calls = sweep_calls('--for', (), {'x': make()}, False, cell=True).calls
    assert [kwargs['x'] for _, kwargs in calls] == expected


ONE_VALUE: dict[str, Any] = {
    'number': 3,
    'None': None,
    'text': 'abc',
    'bytes': b'abc',
    'bytearray': bytearray(b'abc'),
    'user string': collections.UserString('abc'),
    'dict': {1: 2, 3: 4},
    'chain map': collections.ChainMap({1: 2}),
    'future': FUTURE,
    'table': Table(),
    'scalar array': np.array(3.0),
    'matrix': np.ones((2, 3)),
    'object': Catalogue(),
    'class': Catalogue,
    'file': sys.stdout,
}


@pytest.mark.parametrize('value', ONE_VALUE.values(), ids=ONE_VALUE.keys())
def test_sweep_calls_share_fixed_values(value: Any) -> None:
    sweep = sweep_calls('f.map', (), {'i': range(3), 'x': value}, False)
    assert [kwargs['i'] for _, kwargs in sweep.calls] == [0, 1, 2]
    assert all(kwargs['x'] is value for _, kwargs in sweep.calls) and sweep.fixed == {'x': value}
    alone = r'sweeps over nothing \(x is one .*nothing was added.*f\('
    with pytest.raises(SweepError, match=alone):
        values(x=value)
    assert values(x=[value]) == [(value,)]


@pytest.mark.parametrize('value', [{1, 2}, frozenset('ab'), Pair(1, 2), Positions()])
def test_unclear_value_is_refused_with_both_ways_to_write_it(value: Any) -> None:
    for ranges in ({'x': value}, {'i': range(3), 'x': value}):
        with pytest.raises(SweepError, match=r'f.map\(x=...\): .*nothing was added.*\(x\).*\[x\]'):
            values(**ranges)


@pytest.mark.parametrize('value', [3, None, 'abc', b'a', {1: 2}, {1}, Table(), np.array(3), FUTURE])
def test_ranges_alone_are_given_by_position(value: Any) -> None:
    with pytest.raises(SweepError, match='f.map: argument 2: .*nothing was added'):
        values([1], value)
    with pytest.raises(SweepError, match='--for x: .*nothing was added'):
        sweep_calls('--for', (), {'x': value}, False, cell=True)


def test_rows_of_a_matrix_and_objects_are_swept_by_position() -> None:
    assert [row[0].tolist() for row in values(np.ones((2, 3)))] == [[1.0] * 3] * 2
    assert values(Catalogue()) == [('a',), ('b',)]
    assert values(Pair(1, 2)) == [(1,), (2,)]


def test_pandas_series_are_ranges_and_tables_are_values() -> None:
    pd = pytest.importorskip('pandas')
    table = pd.DataFrame({'a': [1, 2], 'b': [3, 4]})
    for one_dimension in (table['a'], pd.Index([1, 2]), pd.Categorical([1, 2])):
        assert values(x=one_dimension) == values(one_dimension) == [(1,), (2,)]
    sweep = sweep_calls('f.map', (), {'i': range(2), 'table': table}, False)
    assert all(kwargs['table'] is table for _, kwargs in sweep.calls)
    for call in (lambda: values(table), lambda: values(table=table)):
        with pytest.raises(SweepError, match='nothing was added'):
            call()
    assert len(values(table.itertuples(index=False))) == 2


def test_positional_ranges_are_paired() -> None:
    assert values([1, 2], 'ab'.split() * 2) == [(1, 'ab'), (2, 'ab')]
    assert values(range(3), itertools.repeat('c')) == [(0, 'c'), (1, 'c'), (2, 'c')]
    assert values([1, 2], [3, 4], z=[5, 6]) == [(1, 3, 5), (1, 3, 6), (2, 4, 5), (2, 4, 6)]
    assert values([1, 2], w='w', z=[5, 6], pair=True) == [(1, 'w', 5), (2, 'w', 6)]


@pytest.mark.parametrize('lengths', [(2, 3), (3, 2), (1, 20)])
def test_pairs_of_different_lengths_are_refused(lengths: tuple[int, int]) -> None:
    x, y = map(range, lengths)
    for call in (
        lambda: values(x, y),
        lambda: values(iter(x), iter(y)),
        lambda: values(x=x, y=y, pair=True),
        lambda: values(x, y=y, pair=True),
    ):
        with pytest.raises(SweepError, match='different lengths.*nothing was added'):
            call()


@pytest.mark.parametrize('empty', [[], (), range(0), iter(()), {}.keys(), np.array([])])
def test_empty_range_is_refused(empty: Any) -> None:
    for call in (lambda: values(empty), lambda: values(x=empty), lambda: values(i=[1], x=empty)):
        with pytest.raises(SweepError, match='the range is empty; nothing was added'):
            call()
    with pytest.raises(SweepError, match=r'f.map\(\): it sweeps over nothing; nothing was'):
        values()


def test_endless_sweeps_are_refused() -> None:
    for call in (
        lambda: values(itertools.count()),
        lambda: values(x=itertools.cycle('ab')),
        lambda: values(itertools.repeat(1)),
        lambda: values(itertools.repeat(1), x=[1]),
        lambda: values(x=[1, 2], y=itertools.repeat(1)),
        lambda: values(x=range(2000), y=range(2000)),
    ):
        with pytest.raises(SweepError, match='more than 1,000,000 tasks in one call'):
            call()


def test_exception_of_a_generator_is_its_own() -> None:
    with pytest.raises(ZeroDivisionError):
        values(1 // i for i in [1, 0])
