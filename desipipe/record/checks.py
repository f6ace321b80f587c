"""Checks of a record: their results, and the exit status that they make."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ..utils import format_count
from .files import Record
from .model import QueueModel
from .model_types import Json, TaskEntry

OK, DIFFERS, NOTE, UNCHECKED, NOTHING = (
    'ok',
    'differs',
    'note',
    'cannot be checked',
    'nothing to check',
)
OF_RECORD, BY_OPTION, NEVER = 'record', 'option', 'never'
"""Kinds of what cannot be checked: a part of the record itself; what an option of the command
compares; what no record can show.
"""
PARTLY_CHECKED = 3
"""Exit status when nothing that was checked differs, and something that was recorded could not
be checked.
"""
NAMED = 10
"""Details that a check names."""
_OF_TASKS = ('tasks', 'identities', 'code', 'cells', 'queue', 'rerun')


@dataclass
class Check:
    """One check, and its result."""

    name: str
    status: str
    """``'ok'``, ``'differs'``, ``'note'`` (to be known, and no defect), ``'cannot be checked'``
    or ``'nothing to check'``.
    """
    words: str
    details: list[str] = field(default_factory=list)
    """Differences, item by item, as far as they are named."""
    more: int = 0
    """Number of those not named."""
    scope: str = OF_RECORD
    """Kind of what cannot be checked: ``'record'``, ``'option'`` or ``'never'``."""

    def to_dict(self) -> dict[str, object]:
        """Convert to plain data."""
        plain: dict[str, object] = {
            'check': self.name,
            'status': self.status,
            'words': self.words,
            'details': self.details,
            'more': self.more,
        }
        return {**plain, 'scope': self.scope} if self.status == UNCHECKED else plain

    def is_gap(self, strict: bool = False) -> bool:
        """Return True if something could have been checked, and was not.

        Parameters
        ----------
        strict : bool, default=False
            True if what was not asked for counts, too.
        """
        return self.status == UNCHECKED and (
            self.scope == OF_RECORD or (strict and self.scope == BY_OPTION)
        )


class Differences:
    """Collects what is wrong."""

    def __init__(self) -> None:
        self.details: list[str] = []
        self.n = 0

    def add(self, text: str) -> None:
        """Add a difference."""
        self.n += 1
        if len(self.details) < NAMED:
            self.details.append(text)

    def check(
        self, name: str, good: str, bad: str, status: str = DIFFERS, empty: str = ''
    ) -> Check:
        """Return the check that these differences make."""
        if not self.n:
            # What was held against nothing is not fine: it was not checked.
            return Check(name, NOTHING, empty) if empty else Check(name, OK, good)
        return Check(
            name, status, f'{bad}: {format_count(self.n)}', self.details, self.n - len(self.details)
        )


def verdict(checks: Sequence[Check]) -> bool:
    """Return True if nothing differs."""
    return all(check.status != DIFFERS for check in checks)


def exit_status(checks: Sequence[Check], strict: bool = False) -> int:
    """Return the exit status that these checks stand for.

    Parameters
    ----------
    checks : sequence of Check
    strict : bool, default=False
        True if all that was not checked counts as a difference: also what was not asked for, but
        not what no record can show.

    Returns
    -------
    status : int
        0: everything recorded was checked, and nothing differs; 1: something differs; 3: something
        could not be checked, or there was nothing to check.
    """
    if not verdict(checks):
        return 1
    checked = any(check.status == OK and check.name in _OF_TASKS for check in checks)
    if checked and not any(check.is_gap(strict) for check in checks):
        return 0
    return 1 if strict else PARTLY_CHECKED


# The tasks


def task_label(model: QueueModel, task: Json | TaskEntry) -> str:
    """Return name and index of a task, and its queue, for people."""
    try:
        return f'{model.head["groups"][task["group"]]["name"]}[{task["index"]}] {task["id"][:12]}'
    except (KeyError, TypeError, IndexError):
        return str(task.get('id', '?'))[:12]


def each_task(
    record: Record, tasks: Sequence[list[TaskEntry]]
) -> Iterator[tuple[QueueModel, TaskEntry]]:
    """Yield all tasks, each with the model of its queue."""
    for model, lines in zip(record.models, tasks, strict=True):
        for task in lines:
            yield model, task
