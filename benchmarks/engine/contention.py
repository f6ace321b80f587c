"""Many workers of one slot on one queue, beside one with as many slots; tasks sleep for a
millisecond, so that more of them than processors run at once.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..harness import Figure, Outcome, at_least, at_most, column, processor_time, ratios
from . import manager, warm, working

METERS = '{}.waits'  # folder of the workers' notes, beside the queue


def nap(i: int) -> int:
    """Return ``i`` after a millisecond."""
    time.sleep(0.001)
    return i


def work(path: str, **options: Any) -> None:
    """Run a worker; note when it waited for the queue's lock, and for how many seconds."""
    import desipipe
    from desipipe.store.lock import QueueLock

    waits: list[tuple[float, float]] = []
    acquire = QueueLock.acquire

    def timed(lock: QueueLock) -> None:
        began = time.monotonic()
        acquire(lock)
        waits.append((began, time.monotonic() - began))

    QueueLock.acquire = timed  # type: ignore[method-assign]
    try:
        desipipe.work(path, **options)
    finally:
        Path(METERS.format(path), f'{os.getpid():d}.json').write_text(json.dumps(waits))


def _bag(folder: Path, key: str, tasks: int, workers: int, slots: int) -> dict[str, float]:
    """Return the rate of a bag, its processor time a task, and the share of lock waits."""
    tm = manager(folder, key)
    meters = Path(METERS.format(folder / key))
    meters.mkdir()
    with working(folder, key, workers=workers, slots=slots, source=__name__):
        warm(tm, workers * slots)
        before, start = processor_time(), time.monotonic()
        results = [future.result() for future in tm.python_app(nap).map(i=range(tasks))]
        seconds, processor = time.monotonic() - start, processor_time() - before
    if results != list(range(tasks)):
        raise AssertionError('wrong results')
    notes = [wait for file in meters.iterdir() for wait in json.loads(file.read_text())]
    waited = sum(wait for began, wait in notes if start <= began <= start + seconds)
    return {
        key: tasks / seconds,
        f'{key}_processor': processor / tasks,
        f'{key}_waits': waited / (seconds * workers),
        f'{key}_locks': sum(start <= began <= start + seconds for began, _ in notes),
    }


def measure(folder: Path, tasks: int, workers: int, turn: int) -> dict[str, float]:
    """Return rates, processor time and lock waits of ``many`` workers and of ``one``; which one
    comes first changes with ``turn``.
    """
    values: dict[str, float] = {}
    for key in ('many', 'one') if turn % 2 else ('one', 'many'):
        sizes = (workers, 1) if key == 'many' else (1, workers)
        values |= _bag(folder, key, tasks, *sizes)
    return values


def figures(rounds: Sequence[Outcome]) -> list[Figure]:
    """Return the figures of contention."""
    many, one = '64 workers of one slot', 'one worker of 64 slots'
    text = f'{many}: part of the rate of one worker of 64'
    return [
        Figure('contention', text, ratios(rounds, 'many', 'one'), 'x', at_least(0.6)),
        Figure(
            'contention.waits',
            f'{many}: part of their time for which they wait for the lock',
            column(rounds, 'many_waits', 100),
            '%',
            at_most(5),
        ),
        Figure('contention.many', f'{many}, tasks of 1 ms', column(rounds, 'many'), 'tasks/s'),
        Figure('contention.one', f'{one}, tasks of 1 ms', column(rounds, 'one'), 'tasks/s'),
        Figure(
            'contention.processor',
            f'{many}: processor time a task, beside {one}',
            ratios(rounds, 'many_processor', 'one_processor'),
            'x',
        ),
        Figure(
            'contention.locks',
            f'{many}: times that the lock is taken for the bag',
            column(rounds, 'many_locks'),
            'times',
        ),
    ]
