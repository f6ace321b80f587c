"""ipyparallel's load-balanced view of two engines."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import Session, noop


@contextlib.contextmanager
def session(folder: Path) -> Iterator[Session]:
    """Yield a view of a started cluster."""
    ipyparallel: Any = importlib.import_module('ipyparallel')
    cluster = ipyparallel.Cluster(n=2, log_level=40, profile_dir=str(folder / 'profile'))
    client = cluster.start_and_connect_sync(activate=False)
    view = client.load_balanced_view()
    try:
        yield Session(
            bag=lambda n: [
                result.get() for result in [view.apply_async(noop, i) for i in range(n)]
            ],
            call=lambda i: int(view.apply_sync(noop, i)),
        )
    finally:
        cluster.stop_cluster_sync()
