"""Tell when tasks end, from a thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from .faults import PATIENCE_S, RETRY_FIRST_S, RETRY_MAX_S, passes
from .ledger import Ledger
from .lending import lent


class _Awaited(NamedTuple):
    """A task whose end is told."""

    tid: bytes
    is_over: Callable[[], bool]
    on_end: Callable[[BaseException | None], object]


class FutureFollower:
    """Tells when tasks of one ledger end; its thread lives as long as there are some."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._waiting: list[_Awaited] = []
        self._guard = threading.Lock()
        self._thread: threading.Thread | None = None

    def add(
        self,
        tid: bytes,
        is_over: Callable[[], bool],
        on_end: Callable[[BaseException | None], object],
    ) -> None:
        """Have ``on_end`` called, with the error if its queue can't be followed.

        Parameters
        ----------
        tid : bytes
            Identity of the task.
        is_over : callable
            True once it has ended, as the ledger was last followed.
        on_end : callable
        """
        with self._guard:
            self._waiting.append(_Awaited(tid, is_over, on_end))
            if self._thread is None or not self._thread.is_alive():  # not in a fork
                run, name = self._run, 'desipipe-follow'
                self._thread = threading.Thread(target=run, name=name, daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            with lent([task.tid for task in list(self._waiting)]):
                error = self._follow()
            with self._guard:
                ended: list[_Awaited] = []
                left: list[_Awaited] = []
                for task in self._waiting:
                    (ended if error is not None or task.is_over() else left).append(task)
                self._waiting = left
            for task in ended:
                task.on_end(error)
            with self._guard:
                if not self._waiting:
                    self._thread = None
                    return

    def _follow(self) -> BaseException | None:
        """Wait until a task has ended; return what makes it impossible to go on."""
        pause, since = RETRY_FIRST_S, 0.0
        while True:
            try:
                self._ledger.wait(self._ready)
                return None
            except Exception as exc:
                since = since or time.monotonic()
                if not passes(exc) or time.monotonic() - since > PATIENCE_S:
                    return exc
            time.sleep(pause)
            pause = min(2 * pause, RETRY_MAX_S)

    def _ready(self) -> bool:
        return any(task.is_over() for task in self._waiting)


def follower(ledger: Ledger) -> FutureFollower:
    """Return the one follower of a ledger."""
    own: FutureFollower | None = ledger.__dict__.get('_follower')
    if own is None:
        own = ledger.__dict__.setdefault('_follower', FutureFollower(ledger))
    return own
