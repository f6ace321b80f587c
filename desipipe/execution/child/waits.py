"""Tell the worker for which tasks a task waits, so that its place can be lent."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator
from itertools import islice

from ..protocol import TaskWaits
from .link import WorkerLink
from .restorer import Restorer

WAITS_MAX = 1000  # tasks that a task is said to wait for


class Waits:
    """The tasks that the running task waits for, in any of its threads.

    Parameters
    ----------
    link : WorkerLink
    restorer : Restorer
    """

    def __init__(self, link: WorkerLink, restorer: Restorer) -> None:
        self._link = link
        self._restorer = restorer
        self._tids: dict[object, list[bytes]] = {}
        self._guard = threading.RLock()

    def clear(self) -> None:
        """Forget what an earlier task waited for."""
        self._tids.clear()

    @contextlib.contextmanager
    def lend(self, tids: Iterable[bytes]) -> Iterator[None]:
        """Tell the worker that this process waits for tasks, as long as it does."""
        if self._restorer.process.forked or self._link.shared is None:
            yield
            return
        key = object()
        with self._guard:
            self._tids[key] = list(islice(tids, WAITS_MAX))
            self._tell()
        try:
            yield
        finally:
            with self._guard:
                if self._tids.pop(key, None) is not None:
                    self._tell()

    def _tell(self) -> None:
        tids = [tid for some in self._tids.values() for tid in some][:WAITS_MAX]
        # User code may have closed the connection: the report finds another way.
        with contextlib.suppress(OSError):
            self._link.send_now(TaskWaits(*self._link.current, tuple(tids)))
