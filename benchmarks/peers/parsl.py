"""Parsl's high-throughput executor with two workers on this machine."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import Session, noop


@contextlib.contextmanager
def session(folder: Path) -> Iterator[Session]:
    """Yield a loaded Parsl."""
    parsl: Any = importlib.import_module('parsl')
    config: Any = importlib.import_module('parsl.config')
    executors: Any = importlib.import_module('parsl.executors')
    providers: Any = importlib.import_module('parsl.providers')
    executor = executors.HighThroughputExecutor(
        address='127.0.0.1',
        loopback_address='127.0.0.1',
        max_workers_per_node=2,
        cores_per_worker=1,
        provider=providers.LocalProvider(init_blocks=1, max_blocks=1),
        encrypted=False,
    )
    with parsl.load(config.Config(run_dir=str(folder), usage_tracking=0, executors=[executor])):
        task = parsl.python_app(noop)
        yield Session(
            bag=lambda n: [future.result() for future in [task(i) for i in range(n)]],
            call=lambda i: int(task(i).result()),
        )
