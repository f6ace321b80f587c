"""The time limit of a worker: when it has to end, and what can end before."""

from __future__ import annotations

import time

from ...provider.base import BaseProvider
from ...queue.ledger import Ledger
from .durations import Durations

# s before a job's time limit at which what runs is ended, so that there is time to report it; less
# for short jobs
END_MARGIN = 10.0


class TimeLimit:
    """The time at which a worker has to end, if there is one.

    Parameters
    ----------
    ledger : Ledger
    provider : BaseProvider or None
        Of the worker's task manager.
    timeout : float or None
        Seconds after which to end.
    durations : Durations
    """

    def __init__(
        self,
        ledger: Ledger,
        provider: BaseProvider | None,
        timeout: float | None,
        durations: Durations,
    ) -> None:
        self._ledger = ledger
        self._provider = provider
        self._durations = durations
        self._started = time.monotonic()
        self.is_warned = False
        """True once running tasks were told that it is near."""
        ends = [] if timeout is None else [self._started + timeout]
        job_end = provider.ends_at() if provider is not None else None
        if job_end is not None:
            left = job_end - time.time()
            ends.append(self._started + left - min(END_MARGIN, 0.1 * max(left, 0.0)))
        self.deadline: float | None = min(ends, default=None)
        """Monotonic time."""

    def shorten(self, seconds: float) -> None:
        """Take in that so many seconds are left until the job's end."""
        limit = time.monotonic() + seconds - min(END_MARGIN, 0.1 * seconds)
        self.deadline = limit if self.deadline is None else min(limit, self.deadline)

    def is_over(self, now: float) -> bool:
        """Return True once it is reached."""
        return self.deadline is not None and now >= self.deadline

    def is_near(self, now: float) -> bool:
        """Return True, once, when running tasks of a batch job are to be told of it."""
        provider = self._provider
        if self.is_warned or self.deadline is None or provider is None or not provider.batch:
            return False
        # From then on nothing begins of which it is not known how long it takes.
        warning = min(provider.warning, 0.25 * (self.deadline - self._started))
        self.is_warned = now >= self.deadline - warning
        return self.is_warned

    def fits(self, group: int, now: float) -> bool:
        """Return True if a task can end before this worker does.

        It goes by what the task's app has taken so far, else by the task's own time limit.
        """
        if self.deadline is None or now - self._started < 0.1 * (self.deadline - self._started):
            return True  # no other worker will have more time than this one
        state = self._ledger.state
        means = self._durations.mean.get(group), state.mean_duration(group)
        taken = [mean for mean in means if mean is not None]
        expected = max(taken) if taken else state.groups[group].timeout
        return not self.is_warned if expected is None else now + expected <= self.deadline
