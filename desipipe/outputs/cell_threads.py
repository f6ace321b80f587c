"""Wait for the threads that a cell has started."""

from __future__ import annotations

import gc
import sys
import threading


def join_threads(before: set[threading.Thread]) -> None:
    """Wait for the threads that a cell started and that are no daemons."""
    for thread in threading.enumerate():
        if thread not in before and not thread.daemon and not _is_pooled(thread):
            thread.join()


def _is_pooled(thread: threading.Thread) -> bool:
    # Of a pool that a module keeps for later, as joblib does: it would wait for ever. An
    # interpreter shuts these down at its end; a slot goes on.
    module = sys.modules.get('concurrent.futures')
    if module is None:
        return False
    pools = [item for item in gc.get_objects() if issubclass(type(item), module.Executor)]
    return any(
        thread is part or (isinstance(part, set) and thread in part)
        for pool in pools
        for part in vars(pool).values()
    )
