"""Many workers of one slot on one queue, beside one with as many slots; tasks sleep for a
millisecond, so that more of them than processors run at once.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from ..harness import Figure, Outcome, at_least, column, ratios
from . import manager, warm, working


def nap(i: int) -> int:
    """Return ``i`` after a millisecond."""
    time.sleep(0.001)
    return i


def measure(folder: Path, tasks: int, workers: int, turn: int) -> dict[str, float]:
    """Return the rates of ``many`` workers and of ``one``, in tasks a second; which one comes
    first changes with ``turn``.
    """
    values = {}
    for key in ('many', 'one') if turn % 2 else ('one', 'many'):
        tm = manager(folder, key)
        with working(
            folder,
            key,
            workers=workers if key == 'many' else 1,
            slots=1 if key == 'many' else workers,
        ):
            warm(tm, workers)
            start = time.perf_counter()
            results = [future.result() for future in tm.python_app(nap).map(i=range(tasks))]
            values[key] = tasks / (time.perf_counter() - start)
        if results != list(range(tasks)):
            raise AssertionError('wrong results')
    return values


def figures(rounds: Sequence[Outcome]) -> list[Figure]:
    """Return the figures of contention."""
    return [
        Figure(
            'contention',
            '64 workers of one slot: part of the rate of one worker of 64',
            ratios(rounds, 'many', 'one'),
            'x',
            at_least(0.6),
        ),
        Figure(
            'contention.many',
            '64 workers of one slot, tasks of 1 ms',
            column(rounds, 'many'),
            'tasks/s',
        ),
        Figure(
            'contention.one',
            'one worker of 64 slots, tasks of 1 ms',
            column(rounds, 'one'),
            'tasks/s',
        ),
    ]
