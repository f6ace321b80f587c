"""Faults of a queue's files: which end a process, and when to retry after others."""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Callable, Sequence

from ..errors import DesipipeError, QueueGoneError, QueueVersionError
from ..queue.ledger import Ledger
from ..utils import printable, sentence

logger = logging.getLogger('desipipe')

BACKOFF_FIRST_S = 0.05
BACKOFF_MAX_S = 5.0
TEXT_MAX = 200  # characters of a reason
# Pauses in s between looks at a queue that seems to be gone: a network filesystem's client says so
# of files that are there.
GONE_PAUSES_S: Sequence[float] = (0.05, 0.1, 0.2, 0.4, 0.4)


class QueueLostError(QueueGoneError):
    """The queue was cleared, or another process declared this process dead."""


class QueueFaults:
    """The recent faults of a queue's files, by the operation.

    Only a queue that is really gone, or of another format, ends the process. Everything else is
    tried again, with pauses that double.

    Parameters
    ----------
    ledger : Ledger
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._failed: dict[str, tuple[int, float, str]] = {}  # action: failures, next try, reason
        self.since = 0.0
        """Monotonic time at which the oldest fault that lasts began; 0: there is none."""

    @property
    def text(self) -> str:
        """Reason of the fault that lasts; empty if there is none."""
        return next((text for _, _, text in self._failed.values()), '')

    def attempt(self, action: str, call: Callable[[], object]) -> bool:
        """Do something with the queue's files, unless it failed a moment ago.

        Returns
        -------
        done : bool
            True when it worked.
        """
        if not self.due(action, time.monotonic()):
            return False
        try:
            call()
        except (OSError, DesipipeError) as exc:
            self.failed(action, exc)
            return False
        self.passed(action)
        return True

    def due(self, action: str, now: float) -> bool:
        """Return True when ``action`` may be tried."""
        return action not in self._failed or now >= self._failed[action][1]

    def next_try(self, now: float) -> float:
        """Return the monotonic time of the next try; infinity when none is to come."""
        return min(
            (retry_at for _, retry_at, _ in self._failed.values() if retry_at > now),
            default=float('inf'),
        )

    def failing(self, action: str) -> bool:
        """Return True when the last try of ``action`` failed."""
        return action in self._failed

    def passed(self, action: str) -> None:
        """Note that ``action`` worked."""
        if self._failed and self._failed.pop(action, None) is not None:
            logger.warning('%s works again.', action)
            if not self._failed:
                self.since = 0.0

    def failed(self, action: str, exc: OSError | DesipipeError) -> None:
        """Note that ``action`` failed, and when to try again.

        Raises
        ------
        OSError, DesipipeError
            The exception itself, when it is final.
        """
        if self.is_final(exc):
            raise exc
        now = time.monotonic()
        failures = self._failed.get(action, (0, 0.0, ''))[0] + 1
        pause = min(BACKOFF_FIRST_S * 2 ** min(failures - 1, 20), BACKOFF_MAX_S)
        text = f'{action} failed: {printable(_reason(exc))}'
        if failures == 1 or text[:TEXT_MAX] != self._failed[action][2]:
            logger.error('%s Nothing is lost, it is tried again.', sentence(text))
        self._failed[action] = (failures, now + pause, text[:TEXT_MAX])
        self.since = self.since or now

    def is_final(self, exc: BaseException) -> bool:
        """Return True when no retry can succeed. May check the folder for about a second."""
        if isinstance(exc, QueueGoneError):
            return isinstance(exc, QueueLostError) or self._is_gone()
        return isinstance(exc, QueueVersionError)

    def _is_gone(self) -> bool:
        for pause in (*GONE_PAUSES_S, 0.0):
            try:
                os.stat(self._ledger.journal.path)
            except OSError as exc:
                if exc.errno not in (errno.ENOENT, errno.ENOTDIR):
                    return False
            else:
                return False  # another queue's journal is told by its identity when it is read
            time.sleep(pause)
        return True


def _reason(exc: BaseException) -> str:
    """Return the words of an exception; of one that says too much, those of its cause."""
    while (
        isinstance(exc, QueueGoneError) and (cause := exc.__cause__ or exc.__context__) is not None
    ):
        exc = cause
    return str(exc) or type(exc).__name__
