"""Schedulers: how many slots they want, and what people may write to choose one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import hypothesis
import hypothesis.strategies as st
import pytest

from desipipe.errors import ConfigError, UnknownNameError, UnknownOptionError
from desipipe.scheduler import BaseScheduler, Scheduler, SimpleScheduler, get_scheduler


class Halves(BaseScheduler):
    """An own one: half of what could run."""

    name = 'halves-of-this-test'
    defaults: ClassVar[Mapping[str, Any]] = {'least': 1, 'share': 0.5}
    least: int
    share: float

    def wanted(self, pending: int, running: int) -> int:
        return max(self.least, int((pending + running) * self.share))


@hypothesis.given(st.integers(1, 100), st.integers(0, 10**6), st.integers(0, 200))
def test_wanted(max_workers: int, pending: int, running: int) -> None:
    wanted = SimpleScheduler(max_workers=max_workers).wanted(pending, running)
    assert wanted == min(max_workers, pending + running)


def test_wanted_in_numbers() -> None:
    scheduler = Scheduler(max_workers=4)
    assert [
        scheduler.wanted(*numbers) for numbers in [(0, 0), (1, 0), (20, 0), (16, 4), (1, 2), (0, 4)]
    ] == [0, 1, 4, 4, 3, 4]
    assert Scheduler('simple').wanted(20, 0) == 1


def test_factory() -> None:
    config: dict[str, Any] = {'scheduler': None}
    assert (
        Scheduler(None, config)
        == Scheduler('simple')
        == SimpleScheduler()
        == SimpleScheduler(max_workers=1)
    )
    for given in (
        {'max_workers': 4},
        {'name': 'simple', 'max_workers': 4},
        {'scheduler': 'simple', 'max_workers': 4},
        SimpleScheduler(max_workers=4),
    ):
        scheduler = Scheduler(given, config)
        assert isinstance(scheduler, SimpleScheduler) and scheduler.max_workers == 4
        assert scheduler.to_spec() == {'name': 'simple', 'max_workers': 4}
        assert Scheduler(scheduler) is scheduler
        assert Scheduler(scheduler.to_spec()) == scheduler
    assert Scheduler(SimpleScheduler(max_workers=4), max_workers=5) == SimpleScheduler(
        max_workers=5
    )
    assert get_scheduler is Scheduler


def test_default_of_the_configuration(queue_dir: Path) -> None:
    assert Scheduler() == SimpleScheduler(max_workers=1)
    Path(os.environ['DESIPIPE_CONFIG_DIR'], 'config.yaml').write_text('scheduler: {max_workers: 7}')
    assert Scheduler() == SimpleScheduler(max_workers=7)
    assert Scheduler({'max_workers': 2}) == SimpleScheduler(max_workers=2)
    assert Scheduler(None, {'scheduler': 'halves-of-this-test'}) == Halves()


def test_own_one() -> None:
    scheduler = Scheduler({'name': 'halves-of-this-test', 'least': 2})
    assert isinstance(scheduler, Halves)
    assert [scheduler.wanted(20, 0), scheduler.wanted(1, 0)] == [10, 2]
    assert Scheduler(scheduler.to_spec()) == scheduler
    assert scheduler.to_spec()['name'] == f'{__name__}:Halves'


@pytest.mark.parametrize('value', [0, -1, 0.5, 'four', '1.5', None, True, [4], float('inf')])
def test_bad_number(value: Any) -> None:
    with pytest.raises(ConfigError) as info:
        Scheduler({'max_workers': value})
    assert str(info.value) == (
        f"max_workers of the scheduler 'simple' must be a whole number, at least 1, not {value!r}"
    )


def test_errors() -> None:
    with pytest.raises(UnknownOptionError) as info:
        Scheduler({'max_worker': 4})
    assert str(info.value) == (
        "The scheduler 'simple' has no option 'max_worker'; did you mean max_workers? Valid "
        'options: max_workers'
    )
    with pytest.raises(
        UnknownNameError,
        match=(
            r"There is no scheduler 'simpel'; did you mean simple\? Valid names: "
            r".*simple.*'desipipe.schedulers'"
        ),
    ):
        Scheduler('simpel')
    with pytest.raises(
        ConfigError,
        match=(
            'The scheduler must be a name, a dictionary with name and options, or a BaseScheduler, '
            'not 4'
        ),
    ):
        Scheduler(4)  # type: ignore[arg-type]

    class Empty(BaseScheduler):
        pass

    with pytest.raises(TypeError, match='abstract: it has no wanted'):
        Empty()
