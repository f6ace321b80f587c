"""A large array as result, beside ``np.save`` and ``np.load(mmap_mode='r')``."""

from __future__ import annotations

import os
import resource
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..harness import Figure, Outcome, at_most, column, ratios
from . import anonymous, manager, warm, working

KEYS = ('numpy', 'numpy_sync', 'desipipe')
REPEATS = 3


def make(seed: int, size: int) -> dict[str, Any]:
    """Return an array and the seconds that making it took: they are part of no measurement."""
    import numpy as np

    start = time.perf_counter()
    array = np.full(size, float(seed))
    return {'array': array, 'seconds': time.perf_counter() - start}


def peak(seed: int) -> int:
    """Return the largest memory, in bytes, that this process ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _touch(array: Any, seed: int) -> None:
    """Read one number of every page."""
    if float(array[::512].sum()) != float(seed) * len(array[::512]):
        raise AssertionError('another array came back')


def _settle(folder: Path, size: int) -> None:
    # Memory that a virtual machine gets from its host for the first time costs ten times the
    # writing itself, and whoever comes first pays: so have enough of it used and freed just before,
    # for the array and for the file. And nothing of others may be left to be written.
    path, block = folder / 'settle', bytes(1 << 20)
    with open(path, 'wb') as file:
        for _ in range(size // len(block)):
            file.write(block)
    path.unlink()
    os.sync()


def _numpy(folder: Path, seed: int, size: int, sync: bool) -> float:
    import numpy as np

    path, array = folder / 'array.npy', make(seed, size)['array']
    start = time.perf_counter()
    with open(path, 'wb') as file:
        np.save(file, array)
        if sync:
            file.flush()
            os.fsync(file.fileno())
    _touch(np.load(path, mmap_mode='r'), seed)
    seconds = time.perf_counter() - start
    path.unlink()
    return seconds


def _desipipe(tm: Any, seed: int, size: int) -> tuple[float, float]:
    """Return seconds from call to the whole array read, and the bytes of memory that this
    process got by it.
    """
    app = tm.python_app(make)
    before = anonymous()
    start = time.perf_counter()
    result = app(seed, size).result()
    _touch(result['array'], seed)
    seconds = time.perf_counter() - start - result['seconds']
    return seconds, anonymous() - before


def measure(folder: Path, size: int, turn: int) -> dict[str, float]:
    """Return seconds of ``numpy``, ``numpy_sync`` and ``desipipe`` for an array of ``size``
    numbers (medians), and what memory it cost.
    """
    times: dict[str, list[float]] = {key: [] for key in KEYS}
    memories = []
    tm = manager(folder, 'array')
    with working(folder, 'array', slots=1):
        warm(tm, 1)
        tm.python_app(make)(0, 1000).result()  # numpy is imported on both sides
        base = tm.python_app(peak)(0).result()
        for repeat in range(REPEATS):
            first = (turn + repeat) % len(KEYS)
            for key in KEYS[first:] + KEYS[:first]:
                _settle(folder, 16 * size)
                if key == 'desipipe':
                    seconds, memory = _desipipe(tm, repeat + 1, size)
                    memories.append(memory)
                else:
                    seconds = _numpy(folder, repeat + 1, size, key == 'numpy_sync')
                times[key].append(seconds)
        top = tm.python_app(peak)(1).result()
    return {
        **{key: statistics.median(values) for key, values in times.items()},
        'reader': max(memories) / (8 * size),
        'writer': (top - base) / (8 * size),
    }


def figures(rounds: Sequence[Outcome]) -> list[Figure]:
    """Return the figures of large results."""
    return [
        Figure(
            'array.vs.numpy',
            'array result, call to read: times np.save + np.load(mmap)',
            ratios(rounds, 'desipipe', 'numpy'),
            'x',
            at_most(2),
        ),
        Figure(
            'array.vs.numpy_sync',
            'the same, times np.save + fsync + np.load(mmap)',
            ratios(rounds, 'desipipe', 'numpy_sync'),
            'x',
            at_most(2),
        ),
        Figure('array.time', 'array result, call to read', column(rounds, 'desipipe'), 's'),
        Figure(
            'array.reader',
            'memory of the reader (not mapped), in copies of the array',
            column(rounds, 'reader'),
            'copies',
            at_most(0.05),
        ),
        Figure(
            'array.writer',
            'highest memory of the slot, in copies of the array',
            column(rounds, 'writer'),
            'copies',
        ),
    ]
