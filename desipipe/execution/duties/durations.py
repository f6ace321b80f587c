"""Mean durations of tasks, by which a worker decides how many to claim."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..sent_tasks import Sent

RECENT = 16  # results that count for the mean duration


class Durations:
    """Mean durations of the tasks that a worker ran, by group, in seconds."""

    def __init__(self) -> None:
        self.mean: dict[int, float] = {}
        self._cold: set[int] = set()  # groups of which only first tasks of slots have ended

    def note_first(self, group: int, duration: int) -> None:
        """Take in the duration of a slot's first task of a group.

        It also imports what they need, so it counts only until that of another one is known.
        """
        if group not in self.mean:
            self.mean[group] = duration * 1e-6
            self._cold.add(group)

    def note(self, group: int, durations: Iterable[int]) -> None:
        """Take in the durations of tasks that ended, in microseconds."""
        # Follows a change quickly upwards (never hoard behind tasks that got long), slowly
        # downwards.
        for duration in durations:
            seconds = duration * 1e-6
            mean = seconds if group in self._cold else self.mean.get(group, seconds)
            self._cold.discard(group)
            self.mean[group] = seconds if seconds > 2 * mean else 0.8 * mean + 0.2 * seconds

    def note_results(self, tasks: Sequence[Sent], durations: Sequence[int]) -> None:
        """Take in the durations of the last of many results."""
        recent = list(zip(tasks, durations, strict=True))[-RECENT:]
        for group in {task.group for task, _ in recent}:
            self.note(group, [duration for task, duration in recent if task.group == group])

    def raise_to(self, group: int, seconds: float) -> None:
        """Take in that a task of a group runs for so long already."""
        self.mean[group] = max(seconds, self.mean.get(group, 0.0))
