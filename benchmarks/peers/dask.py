"""dask.distributed: a local cluster of two processes with one thread each."""

from __future__ import annotations

import contextlib
import importlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import Session, noop


@contextlib.contextmanager
def session(folder: Path) -> Iterator[Session]:
    """Yield a client of the cluster."""
    distributed: Any = importlib.import_module('distributed')
    logging.getLogger('distributed').setLevel(logging.CRITICAL)
    with distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        dashboard_address=None,
        local_directory=str(folder),
    ) as cluster:
        with distributed.Client(cluster) as client:
            # pure=False spares it the hashing of every argument, which makes it faster.
            yield Session(
                bag=lambda n: list(client.gather(client.map(noop, range(n), pure=False))),
                call=lambda i: int(client.submit(noop, i, pure=False).result()),
            )
