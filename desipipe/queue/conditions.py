"""Choose tasks by conditions: identity, state, task manager, job, name, index."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..errors import UnknownPropertyError, UnknownTaskError, close_names
from ..utils import BaseClass
from .events import state_code
from .future import Future
from .ledger import find_mid
from .task import Task

if TYPE_CHECKING:
    from .ledger import Ledger
    from .state import State


def several(value: str | Iterable[str]) -> list[str]:
    """Return a list of one value or of several."""
    return [value] if isinstance(value, str) else list(value)


def job_texts(jobid: str | int | Iterable[str | int]) -> list[str]:
    """Return a list of one job's id or of several, as text."""
    return [str(job) for job in ([jobid] if isinstance(jobid, str | int) else jobid)]


def hex_of(value: object) -> str:
    """Return the identity of a task, of a future, or as it was typed."""
    return value.id if isinstance(value, Future | Task) else str(value)


def has_task(ledger: Ledger, tid: object) -> bool:
    """Return True if a queue has a task whose identity begins so."""
    try:
        ledger.find(hex_of(tid))
    except UnknownTaskError:
        return False
    return True


def tids_there(ledger: Ledger, tid: str | Iterable[str] | None) -> list[str] | None:
    """Return the identities that are those of tasks of a queue; None for None."""
    return None if tid is None else [text for text in several(tid) if has_task(ledger, text)]


def mids_of_names(state: State, mid: str | Iterable[str]) -> list[str]:
    """Return the task managers whose identities begin so, without unknown ones."""
    begun = [text for text in several(mid) if any(map(startswith(text), state.managers))]
    return list(dict.fromkeys(find_mid(state, text) for text in begun))


def mids_of(state: State, mid: str | Iterable[str] | None) -> set[str] | None:
    """Return the task managers whose identities begin so; None for None.

    Raises
    ------
    UnknownTaskError
        One of them is unknown.
    """
    return None if mid is None else {find_mid(state, text) for text in several(mid)}


def startswith(text: str) -> Any:
    """Return a function that tells whether an identity begins so."""
    return lambda identity: identity.startswith(text)


def select_rows(
    ledger: Ledger,
    tid: str | Iterable[str] | None = None,
    state: str | Iterable[str] | None = None,
    mid: str | Iterable[str] | None = None,
    jobid: str | int | Iterable[str | int] | None = None,
    name: str | Iterable[str] | None = None,
    index: int | Iterable[int] | None = None,
    row: int | Iterable[int] | None = None,
    superseded: bool | None = False,
) -> list[int]:
    """Return the rows of the tasks that fit all conditions, in order of their coming.

    Parameters as for :meth:`.Queue.select`.
    """
    ledger.follow()
    fold = ledger.state
    rows: Iterable[int]
    if tid is not None:
        rows = [ledger.find(hex_of(text)) for text in several(tid)]
    else:
        rows = fold.each()
    if state is not None:
        rows = fold.rows_shown(rows, {state_code(text) for text in several(state)})
    if mid is not None:
        mids = set(mids_of_names(fold, mid))
        rows = [row for row in rows if fold.groups[fold.group[row]].mid in mids]
    if name is not None:
        names = set(several(name))
        rows = [row for row in rows if fold.groups[fold.group[row]].name in names]
    if index is not None:
        indices = {index} if isinstance(index, int) else set(index)
        rows = [row for row in rows if fold.index[row] in indices]
    if row is not None:
        wanted = {row} if isinstance(row, int) else set(row)
        rows = [row for row in rows if row in wanted]
    if jobid is not None:
        jobs = set(job_texts(jobid))
        rows = [row for row in rows if ledger.job(row) in jobs]
    if superseded is not None and (superseded or tid is None):
        rows = [row for row in rows if (row in fold.superseded) == superseded]
    return list(rows)


def read_properties(tasks: Iterable[Task], property: str | Iterable[str]) -> list[Any]:
    """Return a property of each task; of several a tuple.

    Raises
    ------
    UnknownPropertyError
        Tasks have no such property.
    """
    names = several(property)
    for text in names:
        if not hasattr(Task, text):
            members = (
                member
                for member in dir(Task)
                if not member.startswith('_') and member not in dir(BaseClass)
            )
            raise UnknownPropertyError(
                f'A task has no property {text!r}: {close_names(text, members, n=30)}'
            )
    # The identity as people hold it: text.
    read = operator.attrgetter(*['id' if text == 'tid' else text for text in names])
    return [
        read(task) if isinstance(property, str) or len(names) > 1 else (read(task),)
        for task in tasks
    ]
