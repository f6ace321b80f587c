"""Script of the chaos run: add batches of tasks, optionally print the value of each.

Usage: load.py QUEUE FOLDER MODE FIRST STOP STEP, MODE one of add, clear, results.
"""

import json
import sys

from desipipe import Queue, TaskManager

queue = Queue(sys.argv[1], create=False)
folder, mode = sys.argv[2:4]
first, stop, step = map(int, sys.argv[4:7])
tm = TaskManager(queue, scheduler=dict(max_workers=3))
LOST = ('UNKNOWN', 'KILLED')


@tm.python_app(retries=100000, retry_on=LOST)
def square(i):
    import time

    time.sleep(0.002 * (i % 5))
    return i * i


@tm.python_app(retries=100000, retry_on=LOST)
def slow(i):
    import time

    time.sleep(0.3)
    return i + 1


@tm.python_app(retries=100000, retry_on=LOST)
def total(values):
    return sum(values)


@tm.python_app(retries=100000, retry_on=LOST)
def link(value, i):
    return value * 3 + i


@tm.python_app(retries=100000, retry_on=(*LOST, 'RuntimeError'))
def flaky(i, folder):
    import os

    marker = os.path.join(folder, f'flaky-{i}')
    if not os.path.exists(marker):
        open(marker, 'w').close()
        raise RuntimeError('not yet')
    return i + 7


@tm.python_app(retries=100000, retry_on=LOST)
def failing(i):
    raise ValueError(f'always {i}')


@tm.python_app(retries=100000, retry_on=LOST)
def nest(i):
    return sum(square(1_000_000 + i + k).result() for k in range(3))


@tm.python_app(retries=100000, retry_on=LOST)
def grid(i, n):
    import numpy as np

    return np.arange(n) * i


def add_batch(k):
    """Add one batch; return its futures, each with the value that it must have."""
    start = 100 * k
    sides = range(start, start + 12)
    pairs = [(future, i * i) for i, future in zip(sides, square.map(i=sides), strict=True)]
    pairs.append((total([future for future, _ in pairs]), sum(value for _, value in pairs)))
    future, value = square(start + 50), (start + 50) ** 2
    for i in range(4):
        future, value = link(future, start + i), value * 3 + start + i
        pairs.append((future, value))
    pairs += [(slow(start), start + 1), (flaky(start, folder), start + 7), (failing(start), None)]
    pairs.append((nest(start), sum((1_000_000 + start + i) ** 2 for i in range(3))))
    n = 200_000 if k % 5 == 0 else 500
    pairs.append((grid(start, n), ['grid', start, n]))
    return pairs


def print_value(future, expected):
    """Print what one task is expected to return, and what it returned to a reader."""
    if expected is None:
        value = type(future.exception()).__name__
    else:
        value = future.result()
        value = int(value.sum()) if hasattr(value, 'shape') else value
    print(json.dumps({'id': future.id, 'expected': expected, 'value': value}))


if mode == 'clear':
    queue.clear(kill=False)
for batch in range(first, stop, step):
    for future, expected in add_batch(batch):
        if mode == 'results':
            print_value(future, expected)
