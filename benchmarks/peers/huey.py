"""huey with its SQLite or its file storage, and its own consumer with two processes that polls as
fast as it sensibly can.

SQLite is used with huey's default (no sync to disk), which is its fastest; run as a program, this
file is the consumer.
"""

from __future__ import annotations

import contextlib
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import Session, noop


def _open(folder: Path, kind: str) -> tuple[Any, Any]:
    """Return the queue in ``folder`` and its task."""
    huey: Any = importlib.import_module('huey')
    queue = (
        huey.SqliteHuey(filename=str(folder / 'huey.db'))
        if kind == 'sqlite'
        else huey.FileHuey(path=str(folder / 'huey'))
    )
    return queue, queue.task()(noop)


@contextlib.contextmanager
def session(folder: Path, kind: str) -> Iterator[Session]:
    """Yield a queue whose consumer runs."""
    _, task = _open(folder, kind)
    consumer = subprocess.Popen([sys.executable, '-m', __name__, str(folder), kind])

    def call(i: int) -> int:
        return int(task(i).get(blocking=True, timeout=60, max_delay=0.01, backoff=1.05))

    def bag(n: int) -> list[int]:
        return [
            int(result.get(blocking=True, timeout=120, max_delay=0.05))
            for result in [task(i) for i in range(n)]
        ]

    try:
        yield Session(bag=bag, call=call)
    finally:
        consumer.terminate()
        consumer.wait()


if __name__ == '__main__':
    _open(Path(sys.argv[1]), sys.argv[2])[0].create_consumer(
        workers=2,
        worker_type='process',
        periodic=False,
        initial_delay=0.005,
        max_delay=0.02,
        backoff=1.05,
    ).run()
