"""Guard that lets one thread of a process at a time work on a journal."""

from __future__ import annotations

# `threading` has them from here, and what else it holds takes longer than to read a small queue.
from _thread import RLock, get_ident
from collections.abc import Callable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    T = TypeVar('T')


def release_fully(mutex: RLock) -> None:
    """Release ``mutex`` as often as this thread holds it."""
    try:
        while True:
            mutex.release()
    except RuntimeError:
        return  # this thread holds it no longer


class ThreadGuard:
    """Lets one thread of this process at a time take a step; reentrant."""

    def __init__(self) -> None:
        self.mutex = RLock()
        self._owner = 0

    def forked(self) -> None:
        """In a forked child: whatever the parent's threads were about, they are not here."""
        self.mutex = RLock()
        self._owner = 0

    def run(self, step: Callable[[], T], clean_up: Callable[[], None]) -> T:
        """Take a step, and return what it returns.

        Parameters
        ----------
        step : callable
        clean_up : callable
            Called after an interrupt, while the guard is held: releases what the step left.
        """
        # An interrupt may come between any two bytecodes, also after a lock was taken and before
        # the block that releases it: the outermost call of this thread releases what is left.
        me = get_ident()
        if self._owner == me:
            with self.mutex:
                return step()
        try:
            with self.mutex:
                self._owner = me
                result = step()
                self._owner = 0
                return result
        except BaseException:
            self._release(clean_up)
            raise

    def _release(self, clean_up: Callable[[], None]) -> None:
        if not self.mutex.acquire(blocking=False):
            return  # another thread's
        try:
            self._owner = 0
            clean_up()
        finally:
            release_fully(self.mutex)
