"""Many tasks: growth of time, number of files, and what it costs to look at such a queue."""

from __future__ import annotations

import gc
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ..harness import Figure, Outcome, at_most, column, ratios
from ..peers import noop
from . import anonymous, manager, warm, working


def _bag(folder: Path, name: str, tasks: int) -> float:
    """Return the seconds a task takes in a bag of ``tasks``."""
    tm = manager(folder, name)
    with working(folder, name, slots=2):
        warm(tm, 2)
        start = time.perf_counter()
        results = [future.result() for future in tm.python_app(noop).map(i=range(tasks))]
        seconds = time.perf_counter() - start
    if results != list(range(tasks)):
        raise AssertionError('wrong results')
    return seconds / tasks


def follow(path: str) -> int:
    """Open a queue, read all of it, and return the bytes of memory that this process then has
    for itself.
    """
    from desipipe import Queue

    queue = Queue(path)
    if not len(queue):
        raise AssertionError('an empty queue')
    gc.collect()
    return anonymous()


def _follower(path: Path) -> int:
    """Return what `follow` says in a fresh process."""
    code = f'from benchmarks.engine.scale import follow; print(follow({str(path)!r}))'
    return int(
        subprocess.run(
            [sys.executable, '-c', code], check=True, capture_output=True, text=True
        ).stdout
    )


def add(path: str, tasks: int) -> int:
    """Add tasks to a new queue, and return the bytes that this process then has for itself."""
    tm = manager(Path(path), 'added')
    futures = tm.python_app(noop).map(i=range(tasks))
    gc.collect()
    return anonymous() if len(futures) == tasks else 0


def _adder(folder: Path, tasks: int) -> int:
    """Return what `add` says in a fresh process."""
    folder.mkdir()
    code = f'from benchmarks.engine.scale import add; print(add({str(folder)!r}, {tasks:d}))'
    run = [sys.executable, '-c', code]
    return int(subprocess.run(run, check=True, capture_output=True, text=True).stdout)


def measure(folder: Path, small: int, large: int) -> dict[str, float]:
    """Return seconds a task in bags of two sizes; of the large one: files, bytes, seconds of a
    status, bytes a task in a follower.
    """
    values = {'small': _bag(folder, 'small', small), 'large': _bag(folder, 'large', large)}
    queue = next(path for path in folder.iterdir() if path.name.startswith('large'))
    sizes = [
        os.stat(os.path.join(root, name)).st_size
        for root, _, names in os.walk(queue)
        for name in names
    ]
    values['files'], values['bytes'] = len(sizes), sum(sizes) / large
    times = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, '-m', 'desipipe', 'status', '-q', str(folder / 'large')],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        times.append(time.perf_counter() - start)
    values['status'] = statistics.median(times)
    manager(folder, 'one').python_app(noop)(0)
    few, many = _adder(folder / 'few', small), _adder(folder / 'many', small + large)
    values['added'] = (many - few) / large
    values['memory'] = (_follower(folder / 'large') - _follower(folder / 'one')) / large
    return values


def figures(rounds: Sequence[Outcome]) -> list[Figure]:
    """Return the figures of large queues."""
    return [
        Figure(
            'scale.growth',
            'time a task in a bag of 100,000, beside one of 10,000',
            ratios(rounds, 'large', 'small'),
            'x',
            at_most(1.2),
        ),
        Figure('scale.time', 'bag of 100,000: time a task', column(rounds, 'large', 1e6), 'µs'),
        Figure(
            'scale.files',
            "files in the queue's folder after 100,000 tasks",
            column(rounds, 'files'),
            'files',
            at_most(50),
        ),
        Figure(
            'scale.bytes',
            'disk for a task, its argument and its result',
            column(rounds, 'bytes'),
            'bytes',
        ),
        Figure(
            'scale.status',
            'desipipe status of 100,000 tasks, a fresh process',
            column(rounds, 'status'),
            's',
            at_most(2),
        ),
        Figure(
            'scale.added',
            'memory of the process that added them, a task',
            column(rounds, 'added'),
            'bytes',
            at_most(300),
        ),
        Figure(
            'scale.memory',
            'memory of a follower, a task',
            column(rounds, 'memory'),
            'bytes',
            at_most(250),
        ),
    ]
