"""Futures that are taken for the values of their tasks, and gathering these values."""

from __future__ import annotations

import copy
import math
import operator
import pickle
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

from desipipe import Future, Queue, TaskManager, gather, work
from desipipe.errors import FutureAttributeError, FutureValueError, ResultError
from desipipe.queue import result_runs


class Counted:
    """Notes each time that it is loaded."""

    loaded: ClassVar[list[int]] = []

    def __init__(self, number: int) -> None:
        self.number = number

    def __setstate__(self, state: dict[str, int]) -> None:
        vars(self).update(state)
        self.loaded.append(self.number)


class Refused(Counted):
    """Cannot be loaded while it refuses."""

    refuses = False

    def __setstate__(self, state: dict[str, int]) -> None:
        if self.refuses:
            raise ImportError('not here')
        super().__setstate__(state)


@pytest.fixture
def queue(queue_dir: Path) -> Queue:
    return Queue('values', create=True)


@pytest.fixture
def future(queue: Queue) -> Future:
    @TaskManager(queue).python_app
    def app(x: Any) -> Any:
        return x

    return app(1)


USES: dict[str, Callable[[Any], object]] = {
    '2 * b': lambda b: 2 * b,
    'b + 1': lambda b: b + 1,
    'b @ b': lambda b: b @ b,
    '-b': operator.neg,
    'b[0]': lambda b: b[0],
    "b['key']": lambda b: b['key'],
    'b.mean()': lambda b: b.mean(),
    "f'{b:.3f}'": lambda b: f'{b:.3f}',
    "'text' + b": lambda b: 'text' + b,
    'bool(b)': bool,
    'not b': lambda b: not b,
    'b == 3': lambda b: b == 3,
    'b != 3': lambda b: b != 3,
    'b < 3': lambda b: b < 3,
    'list(b)': list,
    '3 in b': lambda b: 3 in b,
    'float(b)': float,
    'math.sqrt(b)': math.sqrt,
    'math.floor(b)': math.floor,
    'range(b)': range,
    'np.mean(b)': np.mean,
    'np.sqrt(b)': np.sqrt,
    'np.ones(3) * b': lambda b: np.ones(3) * b,
    'np.float64(2) * b': lambda b: np.float64(2) * b,
    'np.ones(3) < b': lambda b: np.ones(3) < b,
    'np.concatenate': lambda b: np.concatenate([b, b]),
}


@pytest.mark.parametrize('use', USES)
def test_computing_with_a_future_says_how_to_come_to_its_value(future: Future, use: str) -> None:
    with pytest.raises(FutureValueError, match=r'app\[0\] PENDING> is the future .*\.result\(\)'):
        USES[use](future)


def test_plotting_a_future_says_so(future: Future) -> None:
    figure = pytest.importorskip('matplotlib.figure').Figure()
    with pytest.raises(FutureValueError):
        figure.subplots().plot(future)


def test_future_is_still_an_object_of_python(future: Future) -> None:
    other = pickle.loads(pickle.dumps(future))
    assert other == future == copy.copy(future) and future in [None, other] and {future: 1}[other]
    assert not future == None and future != None  # noqa: E711  # as people write it
    assert f'{future}' == str(future) == repr(future)
    assert (
        not callable(future) and not hasattr(future, '__len__') and not hasattr(future, '_repr_x_')
    )
    assert not hasattr(future, 'mean')
    with pytest.raises(AttributeError, match='mean'):
        future.mean  # noqa: B018
    with pytest.raises(FutureAttributeError):
        future.mean  # noqa: B018
    array = np.array([future, other], dtype=object)
    assert array.shape == (2,) and array[0] is future


@pytest.mark.parametrize(
    'argument',
    [
        lambda b: f'{b}',
        lambda b: f'the result is {b}.',
        lambda b: ['a', {'key': (str(b),)}],
        lambda b: {f'{b}': 1},
        lambda b: [b, f'{b}'],
    ],
)
def test_text_made_of_a_future_is_no_argument(
    queue: Queue, future: Future, argument: Callable[[Future], object]
) -> None:
    app = TaskManager(queue).python_app(lambda x: x, name='other')
    with pytest.raises(FutureValueError, match=r"argument 'x' is text that was made of <Future"):
        app(argument(future))
    with pytest.raises(FutureValueError, match=r"argument 'x' is text that was made of <Future"):
        app.map(x=[1, argument(future)])
    assert len(queue) == 1
    app('<Future Tense>')
    assert len(queue) == 2


def test_gather_loads_each_result_once_and_in_order(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    futures = TaskManager(queue).python_app(Counted).map(number=range(50))
    work(queue)
    monkeypatch.setattr(Counted, 'loaded', [])

    results = gather([*futures, futures[0]])

    assert Counted.loaded == [*range(50), 0]
    assert [result.number for result in results] == [*range(50), 0]
    assert results[0] is not results[-1]
    monkeypatch.setattr(queue.ledger, 'load_result', None)  # what reads one alone
    assert [result.number for result in gather(futures)] == [*range(50)]


def test_gather_shows_a_notebook_how_many_results_came(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('desipipe.queue.gathering._in_notebook', lambda: True)
    futures = TaskManager(queue).python_app(lambda number: number).map(number=range(3))
    work(queue)
    shown: list[dict[str, str]] = []
    pytest.importorskip('IPython')
    from IPython.core.formatters import DisplayFormatter
    from IPython.core.interactiveshell import InteractiveShell

    # A real shell would stay `__main__` of this process.
    publisher = SimpleNamespace(publish=lambda data, **kwargs: shown.append(data))
    shell = SimpleNamespace(display_pub=publisher, display_formatter=DisplayFormatter())

    with monkeypatch.context() as patch:
        patch.setattr(InteractiveShell, 'initialized', lambda: True)
        patch.setattr(InteractiveShell, 'instance', lambda: shell)
        results = gather(futures)

    assert results == [0, 1, 2]
    assert [data['text/plain'].split()[-1] for data in shown] == ['0/3', '3/3']
    assert 'value="3"' in shown[-1]['text/html'] and 'widget' not in str(shown)


def test_refusal_of_a_future_hides_the_frames_of_desipipe(future: Future) -> None:
    ultratb = pytest.importorskip('IPython.core.ultratb')
    for use in USES.values():
        try:
            use(future)
        except FutureValueError as exc:
            frames = ultratb.VerboseTB().structured_traceback(type(exc), exc, exc.__traceback__)
        assert 'def method(' not in ''.join(frames)


@pytest.mark.parametrize('runs', [1, 7, 512])
def test_gather_reads_what_is_in_many_places(
    queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs: int
) -> None:
    monkeypatch.setattr(result_runs, '_RUN', runs)
    other = Queue('other', base_dir=tmp_path)
    expected: list[object] = []
    futures: list[Future] = []
    for each in (queue, other, queue):  # other segments each time
        value = TaskManager(each).python_app(lambda i: i)
        values = [len(futures), 'x' * 100, np.arange(200_000), None]
        expected += values
        futures += [value(i) for i in values]
        work(each)
    futures.append(TaskManager(queue).python_app(lambda: dict(a=1, b=2))())
    work(queue)
    futures += [Future(queue, futures[-1].tid, 'b')]
    queue.compact()

    results = gather([*futures, *futures])

    for result, value in zip(results, [*expected, dict(a=1, b=2), 2] * 2, strict=True):
        np.testing.assert_equal(result, value)


def test_gather_tells_what_cannot_be_loaded(queue: Queue) -> None:
    app = TaskManager(queue).python_app(lambda i: Refused(i))
    futures = app.map(i=range(5))
    work(queue)
    Refused.refuses = True
    try:
        with pytest.raises(ResultError, match=r'cannot be loaded here: .*not here'):
            gather(futures)
    finally:
        Refused.refuses = False
    assert [refused.number for refused in gather(futures)] == [*range(5)]


def test_gather_returns_results_in_order(queue: Queue, capfd: pytest.CaptureFixture[str]) -> None:
    @TaskManager(queue, scheduler=dict(max_workers=2)).python_app
    def square(i: int) -> int:
        if i == 13:
            raise ValueError('unlucky')
        return i * i

    futures = square.map(i=range(5))
    work(queue)
    assert gather([*reversed(futures), futures[1]]) == [16, 9, 4, 1, 0, 1]
    assert gather([]) == []
    assert capfd.readouterr().err == ''  # not a terminal
    assert gather(futures, progress=True) == [0, 1, 4, 9, 16]
    assert '5/5' in capfd.readouterr().err
    unlucky = square(13)
    with pytest.raises(TimeoutError):
        gather([futures[0], unlucky], timeout=0.01)
    work(queue)
    with pytest.raises(ValueError, match='unlucky'):
        gather([*futures, unlucky])
