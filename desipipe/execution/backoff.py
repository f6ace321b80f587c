"""Waiting times between tries of what fails."""

from __future__ import annotations

import math

__all__ = ['Backoff']

_DOUBLINGS_MAX = 30


class Backoff:
    """Retry schedule: the pause doubles with each failure, up to a limit.

    Parameters
    ----------
    first : float
        Seconds of the first pause.
    most : float
        Seconds of the longest one.
    """

    def __init__(self, first: float, most: float) -> None:
        self.first = first
        self.most = most
        self.failures = 0
        self.due = -math.inf
        """Time of the next try, on the caller's clock."""
        self.failed_at = -math.inf

    def fail(self, now: float, began: float = math.inf) -> float | None:
        """Count a failure.

        Parameters
        ----------
        now : float
            Seconds, on a monotonic clock.
        began : float, default=inf
            Start of the try. Of tries that began before the last failure none counts: they are
            part of the same one.

        Returns
        -------
        pause : float or None
            Seconds until the next try; None if the failure does not count.
        """
        if began <= self.failed_at:
            return None
        self.failures += 1
        pause = min(self.first * 2.0 ** min(self.failures - 1, _DOUBLINGS_MAX), self.most)
        self.failed_at, self.due = now, now + pause
        return pause

    def wait(self, now: float, seconds: float) -> None:
        """Put the next try off, without counting a failure."""
        self.due = max(self.due, now + seconds)

    def reset(self) -> None:
        """Forget failures: it worked."""
        self.failures = 0
        self.due = self.failed_at = -math.inf
