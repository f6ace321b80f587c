"""Named tuples behave as those of the standard library."""

from __future__ import annotations

import collections
import importlib.util
import pickle
import sys
import typing
from types import SimpleNamespace
from typing import Any

import pytest

from desipipe.utils import named_tuple
from desipipe.utils.named_tuple import NamedTuple


class Point(NamedTuple):
    """A point of a map."""

    x: int
    y: int = 0
    label: str = ''

    def moved(self, by: int) -> Point:
        """Return one that lies further right."""
        return self._replace(x=self.x + by)


class StandardPoint(typing.NamedTuple):
    """The same as the standard library makes it."""

    x: int
    y: int = 0
    label: str = ''


@pytest.mark.parametrize(
    ('values', 'named'), [((1,), {}), ((1, 2, 'a'), {}), ((1,), {'label': 'a'}), ((), {'x': 1})]
)
def test_named_tuple_holds_what_it_is_given(values: tuple[Any, ...], named: dict[str, Any]) -> None:
    point, standard = Point(*values, **named), StandardPoint(*values, **named)
    assert point == standard
    assert hash(point) == hash(standard)
    assert (point.x, point.y, point.label) == tuple(point)
    assert point._asdict() == standard._asdict()
    assert repr(point) == repr(standard).replace('StandardPoint', 'Point')


@pytest.mark.parametrize(
    ('values', 'named'),
    [((), {}), ((1, 2, 'a', 4), {}), ((1,), {'z': 1}), ((1,), {'x': 1})],
)
def test_named_tuple_refuses_other_members(values: tuple[Any, ...], named: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        StandardPoint(*values, **named)
    with pytest.raises(TypeError):
        Point(*values, **named)


def test_named_tuple_has_members_of_standard_ones() -> None:
    assert Point._fields == StandardPoint._fields
    assert Point._field_defaults == StandardPoint._field_defaults
    assert Point._make(('1', 2, '3')) == ('1', 2, '3')
    assert Point(1).moved(by=2) == (3, 0, '')
    with pytest.raises((TypeError, ValueError)):
        Point(1)._replace(z=1)
    assert not hasattr(Point(1), '__dict__')
    match Point(1, 2):
        case Point(x, y):
            assert (x, y) == (1, 2)


def test_named_tuple_survives_pickling() -> None:
    again = pickle.loads(pickle.dumps(Point(1, label='a')))
    assert type(again) is Point
    assert again == Point(1, label='a')


def test_named_tuple_needs_nothing_private(monkeypatch: pytest.MonkeyPatch) -> None:
    public = SimpleNamespace(namedtuple=collections.namedtuple)
    monkeypatch.setitem(sys.modules, 'collections', public)
    spec = importlib.util.spec_from_file_location('anew', named_tuple.__file__)
    assert spec is not None and spec.loader is not None
    anew = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(anew)

    class Pair(anew.NamedTuple):  # type: ignore[misc, name-defined]
        first: int
        second: int = 2

    assert (Pair(1).first, Pair(1).second, Pair(1)) == (1, 2, (1, 2))
