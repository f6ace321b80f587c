"""Take tasks and their results out of a queue."""

from __future__ import annotations

from collections.abc import Iterable
from shlex import quote
from typing import Any

from ..errors import UnknownTaskError
from .conditions import hex_of, select_rows, several
from .events import DROPPED, FAILED, KILLED, PENDING, RUNNING, UNKNOWN, WAITING
from .ledger import Ledger
from .state import State

FORGET = 'desipipe forget --superseded'


def drop_tasks(ledger: Ledger, tid: str | Iterable[str]) -> None:
    """Take tasks out of a queue; see :meth:`.Queue.drop`."""

    def choose(state: State) -> list[int]:
        rows = [ledger.find(hex_of(text)) for text in several(tid)]
        check_needed(state, rows)
        return [row for row in rows if state.status[row] != DROPPED]

    ledger.drop(choose)


def delete_task(ledger: Ledger, tid: str) -> None:
    """Take a task out of a queue, also one that others need if it can't succeed."""
    row, state = ledger.find(hex_of(tid)), ledger.state
    if state.status[row] in (FAILED, KILLED, UNKNOWN):  # what needs it cannot run anyway
        ledger.drop(lambda state: [row] if state.status[row] != DROPPED else [])
    else:
        drop_tasks(ledger, tid)


def forget_tasks(
    ledger: Ledger, tid: str | Iterable[str] | None, superseded: bool, **kwargs: Any
) -> list[str]:
    """Take tasks and their results out of a queue; see :meth:`.Queue.forget`."""
    if tid is None and not superseded and not kwargs:
        raise UnknownTaskError(
            'No task was named. Nothing was forgotten. Name tasks, or forget all superseded '
            f'ones: {FORGET} -q {quote(ledger.folder)}'
        )
    rows = select_rows(ledger, tid=tid, superseded=superseded or None, **kwargs)

    def choose(state: State) -> list[int]:
        chosen = [row for row in rows if state.status[row] != DROPPED]
        if superseded:
            chosen = [
                row for row in chosen if row in state.superseded and state.status[row] != RUNNING
            ]
        check_needed(state, chosen, superseded)
        return chosen

    return [ledger.state.ids[row].hex() for row in ledger.drop(choose)]


def check_needed(state: State, rows: Iterable[int], superseded: bool = False) -> None:
    """Refuse to drop rows that others need which have not ended.

    ``superseded``: those that will never begin do not count.
    """
    chosen = set(rows)
    for row in chosen:
        for other in state.dependants_of(row):
            if other in chosen or state.status[other] not in (WAITING, PENDING, RUNNING):
                continue
            if not (superseded and other in state.superseded):
                raise UnknownTaskError(
                    f'Task {state.ids[row].hex()[:12]} is needed by task '
                    f'{state.ids[other].hex()[:12]}, which has not ended. Nothing was deleted. '
                    f'Cancel or delete that one first.'
                )
