"""Dependencies: many tasks, one that needs them all, many that need that one, beside as many
free tasks; and a chain, each task of which needs the one before.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..harness import Figure, Outcome, at_most, column, ratios
from ..peers import noop
from . import manager, warm, working

CHAIN = 200  # tasks


def _total(values: list[int]) -> int:
    return sum(values)


def _add(i: int, total: int) -> int:
    return i + total


def _fan(tm: Any, width: int) -> None:
    total = tm.python_app(_total)(tm.python_app(noop).map(i=range(width)))
    last = [future.result() for future in tm.python_app(_add).map(i=range(width), total=total)]
    if last[0] != width * (width - 1) // 2 or last[-1] != last[0] + width - 1:
        raise AssertionError('wrong results')


def _next(i: int) -> int:
    return i + 1


def _chain(tm: Any) -> float:
    """Return the seconds that a step of a chain takes, from its first call to its last result."""
    app, start = tm.python_app(_next), time.perf_counter()
    future = app(0)
    for _ in range(CHAIN - 1):
        future = app(future)
    if future.result() != CHAIN:
        raise AssertionError('wrong result')
    return (time.perf_counter() - start) / CHAIN


def _free(tm: Any, width: int) -> None:
    if [future.result() for future in tm.python_app(noop).map(i=range(2 * width + 1))] != list(
        range(2 * width + 1)
    ):
        raise AssertionError('wrong results')


def measure(folder: Path, width: int, turn: int) -> dict[str, float]:
    """Return the seconds of ``fan``, ``free`` and a step of ``chain``; which of the first two comes
    first changes with ``turn``.
    """
    values = {}
    for key in ('fan', 'free') if turn % 2 else ('free', 'fan'):
        tm = manager(folder, key)
        with working(folder, key, slots=2):
            warm(tm, 2)
            start = time.perf_counter()
            (_fan if key == 'fan' else _free)(tm, width)
            values[key] = time.perf_counter() - start
            if key == 'fan':
                values['chain'] = _chain(tm)
    return values


def figures(rounds: Sequence[Outcome]) -> list[Figure]:
    """Return the figures of dependencies."""
    return [
        Figure(
            'fan.vs.free',
            'fan-out → fan-in → fan-out: times the time of as many free tasks',
            ratios(rounds, 'fan', 'free'),
            'x',
            at_most(2),
        ),
        Figure('fan.time', 'fan-out → fan-in → fan-out', column(rounds, 'fan'), 's'),
        Figure('fan.free', 'as many free tasks', column(rounds, 'free'), 's'),
        Figure(
            'fan.chain',
            f'a step of a chain of {CHAIN:d} tasks',
            column(rounds, 'chain', 1e3),
            'ms',
        ),
    ]
