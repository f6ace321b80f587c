"""Select from a queue: counts, processes and chosen properties of its tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self

__all__ = ['Counts', 'Process']


class Counts(dict[str, int]):
    """Number of tasks by state; called with conditions, the number that match them.

    A task that a worker has claimed, and that waits for one of its slots, is PENDING; ``claimed``
    is the number of these.

    Parameters
    ----------
    counts : dict
        Number of tasks by state.
    count : callable
        Called with states and task managers, returns the number of tasks.
    claimed : int, default=0
        Number of pending tasks that a worker has claimed.
    """

    def __init__(
        self, counts: dict[str, int], count: Callable[[Any, Any], int], claimed: int = 0
    ) -> None:
        super().__init__(counts)
        self.claimed = claimed
        self._count = count

    def __call__(
        self, state: str | Iterable[str] | None = None, mid: str | Iterable[str] | None = None
    ) -> int:
        """Count tasks.

        Parameters
        ----------
        state, mid : str, list, default=None
            States and task managers; None: all.

        Returns
        -------
        count : int
        """
        return self._count(state, mid)

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)


class Process(tuple[str, str]):
    """Manager or worker of a queue: a pair of job (process id or job id) and provider.

    Parameters
    ----------
    kind : str
        'manager', 'worker', or 'added' (by :meth:`.Queue.add_process`).
    name, host, job, provider : str
    pid : int
    since : float
        Time at which it began, in seconds since the epoch.
    """

    kind: str
    name: str
    host: str
    pid: int
    job: str
    provider: str
    since: float

    def __new__(
        cls,
        kind: str,
        name: str,
        host: str,
        pid: int,
        job: str,
        since: float,
        provider: str = 'local',
    ) -> Self:
        new = super().__new__(
            cls, (str(pid) if provider == 'local' else job.rpartition(':')[2], provider)
        )
        new.kind, new.name, new.host, new.pid, new.job, new.since = (
            kind,
            name,
            host,
            pid,
            job,
            since,
        )
        new.provider = new[1]
        return new

    @classmethod
    def added(cls, event: Mapping[str, Any]) -> Self:
        """Return a process that a person added, as the journal knows it."""
        pid, provider = event['pid'], event['provider']
        new = super().__new__(cls, (pid, provider))
        new.kind, new.name, new.host, new.job = 'added', '', '', f'{provider}:{pid}'
        new.pid, new.provider, new.since = int(pid) if pid.isdecimal() else 0, provider, event['t']
        return new
