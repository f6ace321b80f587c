"""The pipeline of ``desipipe demo``.

It is what a user would write, small enough to read while it runs.
"""

from __future__ import annotations

__all__ = ['QUEUE', 'SCRIPT', 'TASKS']

QUEUE = 'demo'
"""Name of its queue, which is in the folder of the script."""

TASKS = 22
"""Number of its tasks."""

SCRIPT = """\
from desipipe import Queue, TaskManager

# spawn=True: a manager in the background starts workers.
queue = Queue('demo', base_dir='.', spawn=True)
tm = TaskManager(queue, scheduler=dict(max_workers=4))


@tm.python_app
def fraction(seed, size=1_000_000):
    import time
    import numpy as np
    time.sleep(1)  # to have something to watch
    x, y = np.random.default_rng(seed).uniform(-1, 1, (2, size))
    print(f'{size:,d} points from seed {seed}')
    return np.mean(x**2 + y**2 < 1)


@tm.python_app
def average(fractions):
    return 4 * sum(fractions) / len(fractions)


@tm.bash_app
def echo(pi):
    return ['echo', '-n', f'pi is ~ {pi:.4f}']


fractions = [fraction(seed=i) for i in range(20)]  # 20 tasks, run by 4 workers
pi = average(fractions)                            # futures as arguments: the graph
print(echo(pi).out())                              # waits for the result
"""
"""The script."""
