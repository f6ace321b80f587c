"""The example of the documentation as a script: ``pi.py QUEUE`` adds its tasks, which wait for a
file; ``pi.py QUEUE result`` prints what came of them.
"""

from __future__ import annotations

import sys

from desipipe import Queue, TaskManager

queue = Queue(sys.argv[1])
tm = TaskManager(
    queue,
    scheduler=dict(max_workers=4),
    provider=dict(provider='slurm', time='10', nodes_per_worker=0.5, kwargs={'exclusive': True}),
)
tm2 = tm.clone(scheduler=dict(max_workers=1))


@tm.python_app
def fraction(go, seed=42, size=10000):
    import os
    import socket
    import time

    import numpy as np

    while not os.path.exists(go):
        time.sleep(0.05)
    x, y = np.random.default_rng(seed).uniform(-1, 1, (2, size))
    return float(np.mean(x**2 + y**2 < 1)), socket.gethostname()


@tm2.python_app
def average(fractions):
    return sum(value for value, _ in fractions) / len(fractions) * 4


@tm2.bash_app
def echo(avg):
    return ['echo', '-n', f'bash app says pi is ~ {avg:.2f}']


fractions = [fraction(f'{sys.argv[1]}.go', seed=i) for i in range(20)]
output = echo(average(fractions))
if sys.argv[2:]:
    print(output.out(timeout=60))
    print(' '.join(sorted({future.result()[1] for future in fractions})))
    print(max(len(future.task.attempts) for future in fractions))
