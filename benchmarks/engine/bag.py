"""desipipe in the comparison with its peers: one worker with two slots."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from ..peers import Session, noop
from . import manager, warm, working


@contextlib.contextmanager
def session(folder: Path) -> Iterator[Session]:
    """Yield a queue with a worker; every task goes through the journal and is on disk before it
    counts as added.
    """
    tm = manager(folder, 'bag')
    task = tm.python_app(noop)
    with working(folder, 'bag', slots=2):
        warm(tm, 2)
        yield Session(
            bag=lambda n: [future.result() for future in task.map(i=range(n))],
            call=lambda i: int(task(i).result()),
        )
