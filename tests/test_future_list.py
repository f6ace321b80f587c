"""The futures of many tasks: a sequence that stands for the list of them."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from desipipe import Queue, TaskManager
from desipipe.queue.future import Future
from desipipe.queue.future_list import LAZY_FROM, FutureList
from desipipe.serialize import dumps_arguments, loads
from desipipe.serialize.identity import encode


class Box:
    """Holds something."""

    def __init__(self, held: Any) -> None:
        self.held = held


def noop(i: int) -> int:
    return i


@pytest.fixture
def futures(tmp_path: Path) -> Any:
    """Return the futures of more tasks than a list is made for."""
    queue = Queue('many', base_dir=tmp_path, create=True)
    return TaskManager(queue).python_app(noop).map(i=range(LAZY_FROM))


def test_future_list_is_a_sequence(futures: Any) -> None:
    listed = list(futures)
    assert isinstance(futures, FutureList) and all(type(future) is Future for future in listed)
    assert futures == listed and listed == futures and futures != listed[1:] and futures != 3
    assert futures[0] == listed[0] and futures[-1] == listed[-1] and futures[2:5] == listed[2:5]
    assert (
        futures + listed[:1] == listed + listed[:1] and listed[:1] + futures == listed[:1] + listed
    )
    assert futures + futures[:2] == [*listed, *listed[:2]]
    assert listed[7] in futures and futures.index(listed[7]) == 7 and len(futures) == LAZY_FROM
    assert [future.task.index for future in futures[::5000]] == [0, 5000]
    assert pickle.loads(pickle.dumps(futures)) == futures
    assert repr(futures).startswith(f'<{LAZY_FROM:,d} futures: <Future ')
    with pytest.raises(IndexError):
        futures[LAZY_FROM]


def test_future_list_as_an_argument_is_the_list(futures: Any) -> None:
    listed = list(futures)
    tids = [future.tid for future in listed]
    for wrap in (lambda value: value, lambda value: {'a': [value]}, lambda value: Box((value,))):
        assert encode(wrap(futures)) == encode(wrap(listed))
        assert dumps_arguments({'x': wrap(futures)})[1] == tids
    loaded: Any = loads(b''.join(dumps_arguments({'x': futures})[0].parts))
    assert type(loaded['x']) is list and [reference.tid for reference in loaded['x']] == tids


def test_many_calls_in_a_batch_are_added_at_its_end(tmp_path: Path) -> None:
    queue = Queue('many', base_dir=tmp_path, create=True)
    app = TaskManager(queue).python_app(noop)
    with queue.batch():
        more = app.map(i=range(20_000))
        app(-1)
        assert len(queue) == 0
    assert len(queue) == 20_001 and more[19_999].task.kwargs == {'i': 19_999}
    assert app.map(i=range(20_000)) == more and len(queue) == 20_001
