"""joblib's default backend, with the batches that it makes by itself."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import Session, noop


@contextlib.contextmanager
def session(folder: Path) -> Iterator[Session]:
    """Yield a ``Parallel`` of two processes."""
    joblib: Any = importlib.import_module('joblib')
    task = joblib.delayed(noop)
    with joblib.Parallel(n_jobs=2) as parallel:
        yield Session(
            bag=lambda n: list(parallel(task(i) for i in range(n))),
            call=lambda i: int(parallel([task(i)])[0]),
        )
