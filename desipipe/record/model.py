"""Model what is recorded of a queue; all documents are written from it.

Tasks are lines of JSON: a hundred thousand stay small in memory, and each has its digest.
Everything in a model comes from the queue: the same queue always gives the same model.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import orjson

from ..queue.events import STATES
from ..view.rows import parse_rows
from .model_types import CellEntry, QueueHead, TaskEntry, Totals

Node = Callable[[str, Sequence[str]], ast.FunctionDef]
"""The function that a cell's text stands for, given its parameters; notebooks know it."""


@dataclass
class QueueModel:
    """The record of one queue."""

    head: QueueHead
    """All but the tasks."""
    lines: list[str]
    """The tasks, one JSON object each, in order of their rows."""
    payloads: dict[str, bytes] = field(default_factory=dict)
    """Bytes by their sha256, where they were asked for."""
    places: dict[int, int] = field(default_factory=dict)
    """Row of the queue: place in ``lines``."""

    def tasks(self) -> Iterator[TaskEntry]:
        """Yield the tasks, one after the other."""
        for line in self.lines:
            yield orjson.loads(line)

    def current_tasks(self) -> Iterator[TaskEntry]:
        """Yield the tasks that count: those that are not superseded."""
        return (task for task in self.tasks() if 'superseded' not in task)

    @property
    def n_superseded(self) -> int:
        """The number of superseded tasks."""
        return self.head.get('superseded', 0)

    @property
    def n_current(self) -> int:
        """The number of tasks that are not superseded."""
        return self.head['total'] - self.n_superseded

    def task(self, index: int) -> TaskEntry:
        """Return the task at a place."""
        task: TaskEntry = orjson.loads(self.lines[index])
        return task


def places_of(entry: CellEntry) -> list[int]:
    """Return the places of the tasks of a cell's entry in a record."""
    return [index for part in parse_rows(entry['tasks']) for index in part]


def totals(models: Sequence[QueueModel]) -> Totals:
    """Compute numbers over all queues.

    Returns
    -------
    totals : dict
        ``tasks``, ``counts`` (by state), ``busy`` (seconds of all attempts together), without
        superseded tasks; ``superseded``, their number; ``workers``, ``hosts``.
    """
    counts = dict.fromkeys(STATES, 0)
    for model in models:
        for state, n in model.head['counts'].items():
            counts[state] += n
    workers = [worker for model in models for worker in model.head['workers']]
    return {
        'tasks': sum(model.n_current for model in models),
        'superseded': sum(model.n_superseded for model in models),
        'counts': counts,
        'busy': round(sum(model.head['busy'] for model in models), 6),
        'workers': len(workers),
        'hosts': sorted({worker['host'] for worker in workers if worker.get('host')}),
    }
