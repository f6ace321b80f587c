"""executorlib on one node, with workers that stay."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import Session, noop


@contextlib.contextmanager
def session(folder: Path) -> Iterator[Session]:
    """Yield an executor of two workers."""
    executorlib: Any = importlib.import_module('executorlib')
    with executorlib.SingleNodeExecutor(max_workers=2, block_allocation=True) as pool:
        yield Session(
            bag=lambda n: [future.result() for future in [pool.submit(noop, i) for i in range(n)]],
            call=lambda i: int(pool.submit(noop, i).result()),
        )
