"""Values of libraries: looked at or copied they are the same; and what no task can have is
refused, whatever its class does.
"""

from __future__ import annotations

import collections
import contextlib
import copy
import functools
import string
import types
import unittest.mock
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from desipipe.errors import NotSerializableError
from desipipe.queue.app import App
from desipipe.serialize import describe, dumps, encode, loads


def carried(value: Any) -> Any:
    """Carry a value as the result of a task."""
    return loads(b''.join(dumps(value).parts))


def pandas_values() -> Iterator[tuple[str, Callable[[], Any], Callable[[Any], Any]]]:
    import pandas as pd

    days = functools.partial(pd.date_range, '2020', periods=5)
    yield (
        'plain',
        lambda: pd.DataFrame({'a': range(3), 'b': [1.0, 2.0, 3.0], 'c': list('xyz')}),
        lambda t: (t.loc[0], t.values),
    )
    yield (
        'blocks',
        lambda: pd.DataFrame({'a': range(3), 'b': range(3)}),
        lambda t: (t.loc[0], t.values),
    )
    yield (
        'days as index',
        lambda: pd.DataFrame({'v': range(5)}, index=days()),
        lambda t: t.loc['2020-01-01'],
    )
    yield 'days', lambda: pd.DataFrame({'v': days(), 'w': range(5)}), lambda t: t.loc[0]
    yield 'zone', lambda: pd.DataFrame({'v': days(tz='UTC')}), lambda t: t.loc[0]
    yield 'column', lambda: pd.Series([1, 2, 3], name='x'), lambda t: t.loc[0]
    yield 'index', lambda: pd.Index(list('abc')), lambda t: t.get_loc('a')
    index = functools.partial(pd.MultiIndex.from_product, [[1, 2], ['a', 'b']], names=['i', 'j'])
    yield 'levels', lambda: pd.DataFrame({'v': range(4)}, index=index()), lambda t: t.loc[(1, 'a')]
    yield 'categories', lambda: pd.Series(list('aab'), dtype='category'), lambda t: t.value_counts()
    yield 'missing', lambda: pd.array([1, None, 3], dtype='Int64'), lambda t: t.sum()
    yield (
        'periods',
        lambda: pd.Series(pd.period_range('2020', periods=3, freq='M')),
        lambda t: t.loc[0],
    )
    yield 'intervals', lambda: pd.Series(pd.interval_range(0, 3)), lambda t: t.loc[0]
    yield 'sparse', lambda: pd.Series(pd.arrays.SparseArray([0, 0, 1])), lambda t: t.sum()
    yield 'objects', lambda: pd.Series([1, 'a', None, (1, 2)], dtype=object), lambda t: t.loc[0]
    yield 'texts', lambda: pd.Series(['a', 'bc', None], dtype='string'), lambda t: t.str.upper()


def check(make: Callable[[], Any], look: Callable[[Any], Any]) -> None:
    """Look at a value in every way: it stays what it was, and so do its copies."""
    value = make()
    before = encode(value)
    assert encode(make()) == before, 'made again'
    look(value)
    repr(value)
    assert encode(value) == before, 'looked at'
    duplicate = value.copy() if hasattr(value, 'copy') else copy.copy(value)
    assert encode(duplicate) == before, 'copied'
    assert encode(carried(value)) == before, 'carried'


def test_tables_of_pandas_count_by_what_they_hold() -> None:
    pytest.importorskip('pandas')
    seen: dict[bytes, str] = {}
    for name, make, look in pandas_values():
        check(make, look)
        assert seen.setdefault(encode(make()), name) == name


def test_changes_of_tables_of_pandas_count() -> None:
    pd = pytest.importorskip('pandas')

    def make() -> Any:
        return pd.DataFrame(
            {'a': [1, 2], 'b': ['x', 'y'], 'c': pd.date_range('2020', periods=2)}, index=['i', 'j']
        )

    def set_flag(table: Any) -> None:
        table.flags.allows_duplicate_labels = False

    def replace(table: Any, **parts: Any) -> None:
        for name, value in parts.items():
            setattr(table, name, value)

    changes: list[Callable[[Any], Any]] = [
        lambda table: table.__setitem__('a', [1, 3]),
        lambda table: table.__setitem__('a', np.array([1, 2], 'i4')),
        lambda table: table.__setitem__('d', 1),
        lambda table: table.drop(columns='b', inplace=True),
        lambda table: table.insert(0, 'c2', table.pop('c')),
        lambda table: table.insert(0, 'c', table.pop('c')),
        lambda table: table.rename(columns={'a': 'A'}, inplace=True),
        lambda table: table.rename_axis(index='n', inplace=True),
        lambda table: table.rename_axis(columns='n', inplace=True),
        lambda table: replace(table, index=['j', 'i']),
        lambda table: table.__setitem__('b', table['b'].astype('category')),
        lambda table: table.__setitem__('b', ['x', None]),
        lambda table: table.__setitem__('c', table['c'].dt.tz_localize('UTC')),
        lambda table: table.attrs.update(unit='m'),
        set_flag,
    ]
    seen = {encode(make())}
    for change in changes:
        table = make()
        change(table)
        assert encode(table) not in seen
        seen.add(encode(table))


def test_table_names_the_column_that_it_is_refused_for() -> None:
    pd = pytest.importorskip('pandas')
    table = pd.DataFrame({'a': [1], 'b': [(i for i in 'a')]})
    with pytest.raises(
        NotSerializableError, match=r"^argument 'table', column 'b', item 0 \(a generator"
    ):
        encode(table, 'table')


def test_values_of_astropy_that_were_looked_at() -> None:
    pytest.importorskip('astropy')
    pytest.importorskip('scipy.special', reason='the cosmologies of astropy need it')
    import astropy.units as u
    from astropy.coordinates import SkyCoord
    from astropy.cosmology import FlatLambdaCDM, Planck18
    from astropy.io import fits
    from astropy.modeling import models
    from astropy.table import Table
    from astropy.time import Time

    def same(make: Callable[[], Any], look: Callable[[Any], Any]) -> None:
        value = make()
        before = encode(value)
        assert encode(make()) == before
        look(value)
        repr(value)
        assert encode(value) == before

    same(lambda: u.km / u.s, lambda unit: unit.to('m/s'))
    same(
        lambda: SkyCoord([1, 2] * u.deg, [3, 4] * u.deg),
        lambda sky: (sky.galactic, sky.separation(sky)),
    )
    same(
        lambda: FlatLambdaCDM(70, 0.3),
        lambda model: (model.comoving_distance(1), model.Odm0, model.age(0)),
    )
    same(lambda: Planck18, lambda model: (model.comoving_distance(1), model.Odm0))
    same(lambda: models.Gaussian1D(1, 2, 3), lambda model: (model(1), model.parameters))
    same(
        lambda: fits.Header([('A', 1, 'words')]), lambda header: (header['A'], header.comments['A'])
    )
    same(lambda: Time(['2020-01-01', '2021-01-01']), lambda time: (time.jd, time.tdb))
    same(lambda: Table({'a': [1, 2], 'b': ['x', 'y']}), lambda table: table['a'].mean())
    assert encode(models.Gaussian1D(1, 2, 3)) != encode(models.Gaussian1D(1, 2, 4))
    assert encode(FlatLambdaCDM(70, 0.3)) != encode(FlatLambdaCDM(70, 0.31))
    assert encode([1, 2] * u.km) != encode([1, 2] * u.m)


@pytest.mark.parametrize('name', ['xarray', 'polars', 'pyarrow', 'networkx', 'scipy', 'sympy'])
def test_values_of_other_libraries(name: str) -> None:
    library: Any = pytest.importorskip(name)
    for make, look in globals()[f'values_of_{name}'](library):
        check(make, look)


def values_of_xarray(xr: Any) -> Iterator[tuple[Callable[[], Any], Callable[[Any], Any]]]:
    yield (
        lambda: xr.DataArray(np.arange(6).reshape(2, 3), dims=('x', 'y'), coords={'x': [1, 2]}),
        lambda a: (a.sel(x=1), a.mean()),
    )
    days = np.array(['2020-01-01', '2020-01-02'], 'M8[ns]')
    yield (
        lambda: xr.Dataset({'v': ('time', [1, 2])}, coords={'time': days}),
        lambda a: a.sel(time='2020-01-01'),
    )


def values_of_polars(pl: Any) -> Iterator[tuple[Callable[[], Any], Callable[[Any], Any]]]:
    yield lambda: pl.DataFrame({'a': [1, None], 'b': ['x', None]}), lambda a: a['a'].sum()
    assert encode(pl.DataFrame({'a': [1, 2]})) == encode(
        pl.concat([pl.DataFrame({'a': [i]}) for i in (1, 2)])
    )
    yield lambda: pl.Series('s', [1.5, 2]), lambda a: a.sum()


def values_of_pyarrow(pa: Any) -> Iterator[tuple[Callable[[], Any], Callable[[Any], Any]]]:
    table = pa.table({'a': [0, 1, 2], 'b': ['w', 'x', None]})
    assert (
        encode(table.slice(1)) == encode(pa.table({'a': [1, 2], 'b': ['x', None]})) != encode(table)
    )
    assert encode(pa.chunked_array([['a'], ['b']])) == encode(pa.chunked_array([['a', 'b']]))
    yield from ()


def values_of_networkx(nx: Any) -> Iterator[tuple[Callable[[], Any], Callable[[Any], Any]]]:
    yield lambda: nx.path_graph(3), lambda g: (g.edges, g.nodes, g.degree, g.adj)
    yield lambda: nx.DiGraph([(1, 2)]), lambda g: (g.edges, g.in_edges, g.succ)


def values_of_scipy(scipy: Any) -> Iterator[tuple[Callable[[], Any], Callable[[Any], Any]]]:
    import scipy.sparse as sparse

    yield (
        lambda: sparse.csr_matrix(np.eye(3)),
        lambda m: (m.has_sorted_indices, m.has_canonical_format, m @ m),
    )
    yield lambda: sparse.coo_array(np.eye(3)), lambda m: m.tocsr()


def values_of_sympy(sympy: Any) -> Iterator[tuple[Callable[[], Any], Callable[[Any], Any]]]:
    x, f = sympy.Symbol('x'), sympy.Function('f')
    yield lambda: sympy.sin(x) + 1, lambda e: (hash(e), e.diff(x))
    yield lambda: f(x) + 1, lambda e: (hash(e), e.diff(x))
    assert carried(f)(x) == f(x)


class Cached:
    """An object that remembers."""

    n = 1

    @functools.cached_property
    def value(self) -> int:
        """What is computed once."""
        return self.n


class lazy:  # as recipes write it
    """A property that is computed once."""

    def __init__(self, func: Callable[[Any], Any]) -> None:
        self.func = func

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type) -> Any:
        value = instance.__dict__[self.name] = self.func(instance)
        return value


class Validated:
    """A descriptor whose value in the object is content."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type) -> Any:
        return instance.__dict__[self.name]

    def __set__(self, instance: Any, value: Any) -> None:
        instance.__dict__[self.name] = value


class Owner:
    """Has one of each."""

    content = Validated()

    def __init__(self, content: int) -> None:
        self.content = content

    @lazy
    def late(self) -> int:
        """What is computed late."""
        return 1


def test_identity_ignores_caches_of_objects() -> None:
    value = Cached()
    before = encode(value)
    assert value.value == 1
    assert encode(value) == before
    value.n = 2
    assert encode(value) != before
    owner = Owner(1)
    before = encode(owner)
    assert owner.late == 1
    assert encode(owner) == before != encode(Owner(2))
    vectorized = np.vectorize(lambda x: x + 1, otypes=[float])
    before = encode(vectorized)
    vectorized([1])
    assert encode(vectorized) == before
    assert carried(vectorized)([1]) == [2]


class Stated:
    """Says itself what its state is, by names that are those of properties."""

    def __init__(self, unit: str) -> None:
        self._unit = unit

    @property
    def unit(self) -> str:
        """What it was made with."""
        return self._unit

    def __getstate__(self) -> dict[str, str]:
        return {'unit': self._unit}

    def __setstate__(self, state: dict[str, str]) -> None:
        self._unit = state['unit']


def test_identity_includes_declared_state_of_objects() -> None:
    assert encode(Stated('m')) != encode(Stated('km'))
    pd = pytest.importorskip('pandas')
    assert encode(pd.CategoricalDtype(['a'])) != encode(pd.CategoricalDtype(['b']))


def test_masked_arrays_are_carried_as_they_count() -> None:
    for array in (
        np.ma.array([1, 2], mask=[0, 1]),
        np.ma.array([1.0, 2]),
        np.ma.array(np.ones((2, 3), order='F')),
    ):
        before = encode(array)
        assert array.fill_value is not None  # asking sets it
        assert encode(array) == before == encode(carried(array))


def test_helpers_of_pydantic() -> None:
    pydantic = pytest.importorskip('pydantic')

    def make(hint: Any, **options: Any) -> Any:
        def scale(x: Any) -> Any:
            return 2 * x

        scale.__annotations__ = {'x': hint, 'return': hint}
        return pydantic.validate_call(**options)(scale)

    helper = make(int)

    def task() -> Any:
        return helper('3')

    payload = b''.join(describe(task).payload.parts)
    assert loads(payload)() == 6
    assert encode(make(int)) == encode(make(int)) != encode(make(float))
    assert (
        encode(make(int))
        != encode(make(int, config={'strict': True}))
        != encode(make(int, validate_return=True))
    )

    def model(default: int, bound: int, fields: str) -> Any:
        class Model(pydantic.BaseModel):
            x: int = pydantic.Field(1, gt=bound)
            y: int = 1
            _k: int = pydantic.PrivateAttr(default=default)

            @pydantic.field_validator(fields)
            @classmethod
            def check(cls, value: int) -> int:
                """Check nothing."""
                return value

        return Model

    assert encode(model(1, 0, 'x')) == encode(model(1, 0, 'x'))
    assert (
        len({encode(model(*args)) for args in [(1, 0, 'x'), (2, 0, 'x'), (1, 2, 'x'), (1, 0, 'y')]})
        == 4
    )
    assert carried(model(3, 0, 'x'))()._k == 3


def test_functions_that_a_context_manager_decorates() -> None:
    log: list[str] = []

    @contextlib.contextmanager
    def noted(word: str) -> Iterator[None]:
        log.append(word)
        yield

    @noted('begin')
    def helper() -> int:
        return 1

    def task() -> int:
        return helper()

    assert loads(b''.join(describe(task).payload.parts))() == 1
    manager = noted('a')
    with manager, pytest.raises(NotSerializableError, match='It is entered in this process'):
        encode(manager)


# --------------------------------------------------------------------------------------------------
# Bad input


class Odd:
    """An object whose class raises what it likes."""


def odd(**members: Any) -> Any:
    """Make an object of a class with these members."""
    return type('Odd', (Odd,), members)()


def fail(*args: Any) -> Any:
    """Raise what no caller expects."""
    raise ZeroDivisionError('of the class')


def cyclic() -> Any:
    """Return a function that wraps itself."""

    def func() -> int:
        return 1

    func.__wrapped__ = func  # type: ignore[attr-defined]
    return func


HOSTILE: dict[str, Callable[[], Any]] = {
    'repr': lambda: odd(__repr__=fail, __reduce__=fail),
    'repr that exits': lambda: odd(__repr__=lambda self: exit(3), __reduce__=fail),
    'repr that is no text': lambda: odd(__repr__=lambda self: 3, __reduce__=fail),
    'reduce': lambda: odd(__reduce__=fail),
    'reduce to nonsense': lambda: odd(__reduce__=lambda self: 3),
    'reduce to a short tuple': lambda: odd(__reduce__=lambda self: (int,)),
    'reduce to no tuple of arguments': lambda: odd(__reduce__=lambda self: (int, 3, 4, 5, 6)),
    'getstate': lambda: odd(__getstate__=fail),
    'getattr': lambda: odd(__getattribute__=fail),
    'wrapped': lambda: odd(__wrapped__=property(fail), __reduce__=fail),
    'items that fail': lambda: odd(__reduce__=lambda self: (Odd, (), None, (1 // 0 for i in 'a'))),
    'list that fails': lambda: type('L', (list,), {'__iter__': fail})([1]),
    'dict that fails': lambda: type('D', (dict,), {'items': fail})({1: 2}),
    'set that fails': lambda: type('S', (set,), {'__iter__': fail})([1]),
    'proxy': lambda: __import__('weakref').proxy(functools.partial(int)),
    'module name': lambda: odd(__module__=3, __reduce__=fail),
    'generator in a deep place': lambda: {'a': [types.SimpleNamespace(b=(i for i in 'a'))]},
    'key': lambda: {odd(__hash__=lambda self: 1, __repr__=fail, __reduce__=fail): 1},
    'equality': lambda: [odd(__eq__=fail, __hash__=fail, __reduce__=fail)],
}


@pytest.mark.parametrize('name', HOSTILE)
def test_hostile_values_are_refused_by_name(name: str) -> None:
    value = HOSTILE[name]()
    with pytest.raises(
        NotSerializableError, match=r"^argument 'model'.*Nothing was added to the queue"
    ) as error:
        encode(value, 'model')
    assert len(str(error.value)) < 1000
    with pytest.raises(NotSerializableError, match='Nothing was added to the queue'):

        def task() -> Any:
            return value

        describe(task)


def test_values_whose_classes_only_look_hostile() -> None:
    assert encode(odd(__eq__=fail, __hash__=fail, __bool__=fail, __len__=fail)) == encode(
        odd(__eq__=fail, __hash__=fail, __bool__=fail, __len__=fail)
    )
    assert encode({odd(__repr__=fail): 1})
    assert encode(string.Template('$a')) != encode(string.Template('$b'))
    assert encode(collections.UserDict(a=1)) == encode(collections.UserDict(a=1))


def test_functions_that_wrap_themselves() -> None:
    assert describe(cyclic()).digest == describe(cyclic()).digest
    first: Any = cyclic()
    first.__wrapped__ = second = cyclic()
    second.__wrapped__ = first
    assert describe(first).parts


def test_mocks_have_an_end() -> None:
    # Each attribute of a mock is another mock, `__wrapped__` too.
    mock = unittest.mock.MagicMock(name='model')
    with contextlib.suppress(NotSerializableError):
        describe(mock)
    with contextlib.suppress(NotSerializableError):
        encode(mock, 'mock')


def test_apps_of_odd_callables() -> None:
    made = odd(__call__=lambda self: 1, __wrapped__=property(fail))
    assert App(made).description.digest
