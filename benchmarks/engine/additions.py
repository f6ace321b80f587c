"""Additions: one call a task, and in bulk."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from ..harness import Figure, Outcome, at_least, column
from ..peers import noop
from . import manager, warm, working


def measure(folder: Path, tasks: int) -> dict[str, float]:
    """Return rates of additions in tasks a second: ``calls``, ``busy`` (two slots run them
    meanwhile), ``batch`` and ``bulk``.
    """
    values: dict[str, float] = {}
    for key in ('calls', 'batch', 'bulk', 'busy'):
        tm = manager(folder, key)
        task = tm.python_app(noop)
        task(-1)  # the app itself is added with its first task
        if key == 'busy':
            with working(folder, key, slots=2):
                warm(tm, 2)
                start = time.perf_counter()
                futures = [task(i) for i in range(tasks)]
                values[key] = tasks / (time.perf_counter() - start)
                if [future.result() for future in futures] != list(range(tasks)):
                    raise AssertionError('wrong results')
            continue
        start = time.perf_counter()
        if key == 'calls':
            for i in range(tasks):
                task(i)
        elif key == 'batch':
            with tm.queue.batch():
                for i in range(tasks):
                    task(i)
        else:
            task.map(i=range(tasks))
        values[key] = tasks / (time.perf_counter() - start)
        if len(tm.queue) != tasks + 1:
            raise AssertionError(f'{len(tm.queue)} tasks in the queue')
    return values


def figures(rounds: Sequence[Outcome]) -> list[Figure]:
    """Return the figures of additions."""
    return [
        Figure(
            'additions.calls',
            'additions, one call a task',
            column(rounds, 'calls'),
            'tasks/s',
            at_least(8000),
        ),
        Figure(
            'additions.busy',
            'the same, while two slots run them on the same processors',
            column(rounds, 'busy'),
            'tasks/s',
        ),
        Figure(
            'additions.batch',
            'additions, one call a task, in queue.batch()',
            column(rounds, 'batch'),
            'tasks/s',
        ),
        Figure('additions.bulk', 'additions by app.map', column(rounds, 'bulk'), 'tasks/s'),
    ]
