"""desipipe's own measurements: queues, workers and the tasks that they run."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

WARM_S = 300  # for all workers to start, where many share few processors

__all__ = ['anonymous', 'manager', 'warm', 'working']


def manager(folder: Path, name: str) -> Any:
    """Return a task manager of a new queue.

    Parameters
    ----------
    folder : Path
        Folder of queues.
    name : str
        The queue's name.

    Returns
    -------
    tm : TaskManager
        Its queue is ``tm.queue``.
    """
    from desipipe import Queue, TaskManager

    return TaskManager(
        Queue(name, base_dir=str(folder), create=True), scheduler={'max_workers': 16}
    )


@contextlib.contextmanager
def working(
    folder: Path, name: str, workers: int = 1, slots: int = 2, source: str = 'desipipe'
) -> Iterator[None]:
    """Run workers beside this process; they stay until the end of the block.

    Parameters
    ----------
    folder : Path
        Folder of queues.
    name : str
        The queue's name.
    workers : int, default=1
        Processes.
    slots : int, default=2
        Slots of each.
    source : str, default='desipipe'
        Module whose function ``work`` they call.
    """
    command = [
        sys.executable,
        '-c',
        f'from {source} import work; work({str(folder / name)!r}, slots={slots:d}, linger=600)',
    ]
    running = [subprocess.Popen(command) for _ in range(workers)]
    try:
        yield
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(60)


def warm(tm: Any, slots: int) -> None:
    """Wait until as many slots answer: workers that still start are no part of a measurement.

    Parameters
    ----------
    tm : TaskManager
        Task manager of the queue that is worked on.
    slots : int
        Slots of all its workers.

    Raises
    ------
    TimeoutError
        The workers do not work.
    """

    def who(i: int, attempt: int) -> int:
        time.sleep(0.005)  # long enough that one slot can't take them all
        return os.getpid()

    app = tm.python_app(who)
    seen: set[int] = set()
    attempt = 0
    while len(seen) < slots:
        seen.update(
            future.result(timeout=WARM_S) for future in app.map(i=range(4 * slots), attempt=attempt)
        )
        attempt += 1


def anonymous() -> int:
    """Return the bytes of memory that this process has for itself: files that are mapped don't
    count.
    """
    return next(
        int(line.split()[1]) * 1024
        for line in Path('/proc/self/status').read_text().splitlines()
        if line.startswith('RssAnon')
    )
