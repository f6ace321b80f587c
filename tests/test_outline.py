"""Results as text, read without running code."""

from __future__ import annotations

import collections
import dataclasses
import pickle
from pathlib import Path
from typing import Any

import pytest

from desipipe.serialize.outline import PICKLE_MAX, outline
from desipipe.serialize.payload import dumps

np = pytest.importorskip('numpy')


@dataclasses.dataclass
class Fit:
    chi2: float
    name: str


Point = collections.namedtuple('Point', 'x y')


class Runs:
    """Its pickle creates a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def outlined(value: object) -> str:
    return outline(b''.join(dumps(value).parts))


@pytest.mark.parametrize(
    ('value', 'text'),
    [
        (None, 'None'),
        (1.5, '1.5'),
        ({'b': [1, 2], 'a': 'x'}, "{'b': [1, 2], 'a': 'x'}"),
        (list(range(100)), '[0, 1, 2, 3, 4, 5, 6, 7, …]'),
        (np.float64(1.25), '1.25'),
        (np.arange(3), 'array([0, 1, 2], shape=(3,), dtype=int64)'),
        (
            np.ones((200, 100), '>f4'),
            'array([1, 1, 1, 1, 1, 1, …], shape=(200, 100), dtype=float32)',
        ),
        (np.array(['a']), 'array(…, shape=(1,), dtype=U1)'),
        (Fit(1.5, 'lrg'), "Fit(chi2=1.5, name='lrg')"),
        ([Point(1, 2)], '[Point(1, 2)]'),
        (ValueError('bad'), "ValueError('bad')"),
        (Fit, 'Fit'),
    ],
)
def test_outline_writes_values(value: object, text: str) -> None:
    assert outlined(value) == text


def test_outline_runs_no_code(tmp_path: Path) -> None:
    path = tmp_path / 'ran'
    data = pickle.dumps(Runs(path))
    assert outline(data).startswith('touch(')
    assert not path.exists()
    pickle.loads(data)
    assert path.exists()


@pytest.mark.parametrize(
    'data', [b'', b'\x80\x05', b'nothing', pickle.dumps(list(range(PICKLE_MAX)))]
)
def test_outline_of_what_is_damaged_or_large_is_empty(data: bytes) -> None:
    assert outline(data) == ''
