"""``concurrent.futures.ProcessPoolExecutor``, one future a task."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from . import Session, noop


@contextlib.contextmanager
def session(folder: Path) -> Iterator[Session]:
    """Yield a pool of two processes."""
    with ProcessPoolExecutor(2) as pool:
        yield Session(
            bag=lambda n: [future.result() for future in [pool.submit(noop, i) for i in range(n)]],
            call=lambda i: pool.submit(noop, i).result(),
        )
