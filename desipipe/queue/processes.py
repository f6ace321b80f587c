"""Workers as the journal knows them, and what they run of tasks that were cleared."""

from __future__ import annotations

from .events import JournalEvent


class Worker:
    """A worker, as the journal knows it."""

    __slots__ = (
        'began',
        'draining',
        'ended',
        'host',
        'job',
        'kind',
        'lent',
        'mid',
        'name',
        'pid',
        'rows',
        'slots',
        'stop',
        'time',
        'user',
    )

    def __init__(self, event: JournalEvent) -> None:
        self.name: str = event['w']
        self.mid: str | None = event.get('mid')
        self.host: str = event.get('host', '')
        self.pid: int = event.get('pid', 0)
        self.slots: int = event.get('slots', 1)
        self.job: str = event.get('job', '')
        self.user: str = event.get('user', '')
        """Name of who runs it, as it says itself."""
        self.time: float = event['t']
        self.ended: str | None = None
        self.kind = ''
        """What became of its job, where it knew that when it ended."""
        self.stop: str | None = None
        """How it was asked to end."""
        self.rows: dict[int, None] = {}
        """What it has claimed, in this order: the first are in its slots, the others run next."""
        self.lent = 0
        """Places it has besides its slots, as tasks in these wait for other tasks."""
        self.began = False
        """Whether it ever took a task."""
        self.draining: set[int] = set()
        """What it runs of tasks that were cleared."""

    @property
    def is_local(self) -> bool:
        """Return True for a process of the local provider, or one that someone started."""
        return self.job.startswith('local:') or not self.job

    @property
    def claimed(self) -> int:
        """The number of its rows that wait for one of its slots."""
        return max(0, len(self.rows) - self.slots - self.lent)

    def rows_in_slots(self) -> list[int]:
        """Return the rows that run: those that were claimed first."""
        return list(self.rows)[: self.slots + self.lent]

    def rows_before_slots(self) -> list[int]:
        """Return the rows that were claimed, and wait for one of its slots."""
        return list(self.rows)[self.slots + self.lent :] if self.claimed else []


class Draining:
    """A task that ran when the queue was cleared, and may be added again."""

    __slots__ = ('done', 'row', 'started', 'worker')

    def __init__(self, row: int, worker: Worker | None, started: float) -> None:
        self.row = row
        self.worker = worker
        self.started = started
        self.done = False
        """Whether it has succeeded since."""
