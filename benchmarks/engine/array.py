"""A large array as result, beside ``np.save`` and ``np.load(mmap_mode='r')``."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..harness import Figure, Outcome, at_most, column, ratios
from . import anonymous, manager, warm, working


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
    """Return seconds from call to the whole array read, and the bytes of memory that this process got by it."""
    app = tm.python_app(make)
    before = anonymous()
    start = time.perf_counter()
    result = app(seed, size).result()
    _touch(result['array'], seed)
    seconds = time.perf_counter() - start - result['seconds']
    return seconds, anonymous() - before


def measure(folder: Path, size: int, turn: int) -> dict[str, float]:
    """Return seconds of ``numpy``, ``numpy_sync`` and ``desipipe`` for an array of ``size`` numbers, and what memory it cost."""
    values = {}
    tm = manager(folder, 'array')
    with working(folder, 'array', slots=1):
        warm(tm, 1)
        tm.python_app(make)(0, 1000).result()   # numpy is imported on both sides
        base = tm.python_app(peak)(0).result()
        order = ['numpy', 'numpy_sync', 'desipipe']
        for key in order[turn % 3:] + order[:turn % 3]:
            os.sync()   # what the one before left to be written must not slow this one
            if key == 'desipipe':
                values[key], memory = _desipipe(tm, turn + 1, size)
                values['reader'] = memory / (8 * size)
                values['writer'] = (tm.python_app(peak)(1).result() - base) / (8 * size)
            else:
                values[key] = _numpy(folder, turn + 1, size, key == 'numpy_sync')
    return values


def figures(rounds: Sequence[Outcome]) -> list[Figure]:
    """Return the figures of large results."""
    return [Figure('array.vs.numpy', 'array result, call to read: times np.save + np.load(mmap)', ratios(rounds, 'desipipe', 'numpy'), 'x', at_most(2)),
            Figure('array.vs.numpy_sync', 'the same, times np.save + fsync + np.load(mmap)', ratios(rounds, 'desipipe', 'numpy_sync'), 'x', at_most(2)),
            Figure('array.time', 'array result, call to read', column(rounds, 'desipipe'), 's'),
            Figure('array.reader', 'memory of the reader (not mapped), in copies of the array', column(rounds, 'reader'), 'copies', at_most(0.05)),
            Figure('array.writer', 'highest memory of the slot, in copies of the array', column(rounds, 'writer'), 'copies')]
