"""Tasks of desipipe 1.0 that were read, each after those that it needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ..errors import RecordError
from .original_pickles import Content, Stored, read_needs
from .original_queue import OriginalQueue, Row


class OriginalTask(NamedTuple):
    """A task of the old queue."""

    row: Row
    data: bytes
    """Its pickle."""
    content: Content

    @property
    def stored(self) -> Stored:
        """The object that was stored."""
        return self.content.task

    @property
    def app(self) -> Stored:
        """The app that was stored with it."""
        app: Stored = self.stored.get('app')
        return app

    @property
    def name(self) -> str:
        """The name of its app."""
        return str(self.app.get('name', 'unnamed'))

    @property
    def label(self) -> str:
        """The task as messages name it."""
        return f'Task {self.row.id} ({self.name})'

    @property
    def versions(self) -> dict[str, str] | None:
        """The versions that it ran with; None if they were not stored."""
        versions: Any = self.stored.get('versions')
        if not isinstance(versions, Mapping):
            return None
        return {str(key): str(value) for key, value in versions.items()}


def read_order(old: OriginalQueue) -> tuple[list[Row], set[str]]:
    """Return the rows of tasks, each after those that it needs, and what others need."""
    ordered = list(old.tasks())
    # Of two that are the same call here, one with a result counts.
    ordered.sort(key=lambda row: row.state != 'SUCCEEDED')
    rows = {row.id: row for row in ordered}
    needs: dict[str, list[str]] = {}
    for tid in rows:
        try:
            required = read_needs(old.pickle_of(tid))
            needs[tid] = [other for other in required if other in rows]
        except RecordError:
            needs[tid] = []
    needed = {other for several in needs.values() for other in several}
    return list(_ordered(rows, needs)), needed


def _ordered(rows: Mapping[str, Row], needs: Mapping[str, list[str]]) -> Iterator[Row]:
    """Yield the rows of tasks, each after those whose results it needs."""
    done: set[str] = set()
    for start in rows:
        path = [start]
        entered: set[str] = set()
        while path:
            tid = path[-1]
            entered.add(tid)
            left = (other for other in needs[tid] if other not in done and other not in entered)
            following = next(left, None)
            if following is not None:
                path.append(following)
                continue
            path.pop()
            if tid not in done:
                done.add(tid)
                yield rows[tid]
