"""Pages of tasks: columns are searched, and only what is shown is read.

As in :mod:`desipipe.view.queue`, nothing is unpickled.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from ..queue.columns import ID
from ..queue.events import (
    DROPPED,
    FAILED,
    KILLED,
    PENDING,
    RUNNING,
    SUCCEEDED,
    UNKNOWN,
    WAITING,
    state_code,
)
from ..queue.ledger import Ledger
from .task_search import argument_terms, arguments_text, rows_by_arguments, rows_by_cause
from .task_summary import task_summaries

if TYPE_CHECKING:
    from .schema import TaskPage

ORDERS = ('newest', 'state', 'slowest', 'name')
"""Orders of a list of tasks, besides that in which they were added."""
_WORST = (FAILED, KILLED, UNKNOWN, RUNNING, PENDING, WAITING, SUCCEEDED)
LEAST = 4  # characters that may be the beginning of an identity


def task_page(
    ledger: Ledger,
    states: Collection[str] = (),
    names: Collection[str] = (),
    text: str = '',
    rows: Iterable[int] | None = None,
    offset: int = 0,
    limit: int = 100,
    order: str = '',
    durations: Callable[[], Mapping[int, float]] | None = None,
) -> TaskPage:
    """Return one page of the tasks that match all conditions, oldest first.

    Parameters
    ----------
    ledger : Ledger
    states : collection of str, default=()
        Names of states, also ``'BLOCKED'`` (waits for what did not succeed) and ``'SUPERSEDED'``
        (in whatever state); any if empty. Superseded tasks are listed only where that is asked for,
        or where all of ``rows`` are superseded.
    names : collection of str, default=()
        Names of apps; any if empty.
    text : str, default=''
        Part of ``name[index]`` or of why a task did not succeed, the beginning of the identity (4
        characters at least), or conditions on arguments: ``'i=12, kind=fast'``.
    rows : iterable of int, default=None
        Only these rows.
    offset, limit : int
        Index of the first, and their number at most.
    order : str, default=''
        One of :data:`ORDERS`; by default, as they were added.
    durations : callable, default=None
        Returns the seconds that tasks took, by row; for the order ``'slowest'``.

    Returns
    -------
    page : TaskPage

    Raises
    ------
    ValueError
        There is no such state.
    """
    ledger.follow()
    matching = _found(ledger, states, names, text.strip(), rows)
    matching = _ordered(ledger, matching, order, durations)
    shown = matching[offset : offset + limit]
    # Once more after a compaction that came between: rows stay, offsets do not.
    tasks = ledger.again(lambda: task_summaries(ledger, shown))
    return {
        'total': len(matching),
        'offset': offset,
        'tasks': [
            {**task, 'row': row, 'arguments_text': arguments_text(ledger, row)}
            for row, task in zip(shown, tasks, strict=True)
        ],
    }


def _ordered(
    ledger: Ledger,
    rows: Sequence[int],
    order: str,
    durations: Callable[[], Mapping[int, float]] | None,
) -> Sequence[int]:
    state = ledger.state
    if order == 'newest':
        return rows[::-1]
    if order == 'state':
        blocked = ledger.blocked()
        return sorted(
            rows, key=lambda row: (_WORST.index(state.status_shown(row)), row not in blocked, row)
        )
    if order == 'slowest' and durations is not None:
        taken, now = durations(), time.time()
        running = {row: now - began for row, began in state.running.times()}
        return sorted(rows, key=lambda row: (-running.get(row, taken.get(row, -1.0)), row))
    if order == 'name':
        return sorted(
            rows, key=lambda row: (state.groups[state.group[row]].name, state.index[row], row)
        )
    return rows


def _found(
    ledger: Ledger,
    states: Collection[str],
    names: Collection[str],
    text: str,
    rows: Iterable[int] | None,
) -> Sequence[int]:
    state = ledger.state
    status, group = state.status, state.group
    candidates = range(len(status))
    matching: Sequence[int]
    if rows is not None:
        matching = [row for row in rows if row in candidates and status[row] != DROPPED]
    elif len(state) == len(status):
        matching = candidates
    else:
        matching = [row for row in candidates if status[row] != DROPPED]
    wanted_names = {name.upper() for name in states}
    superseded = state.superseded
    if rows is not None and not states and superseded.issuperset(matching):
        superseded = set()  # a cell that only has superseded ones shows these
    asked = [row for row in matching if row in superseded] if 'SUPERSEDED' in wanted_names else []
    if superseded:
        matching = [row for row in matching if row not in superseded]
    if states:
        codes = {state_code(name) for name in wanted_names - {'BLOCKED', 'SUPERSEDED'}}
        blocked = ledger.blocked() if 'BLOCKED' in wanted_names and WAITING not in codes else {}
        chosen = state.rows_shown(matching, codes)
        matching = (
            sorted({*chosen, *(row for row in matching if row in blocked)}) if blocked else chosen
        )
        matching = sorted([*matching, *asked]) if asked else matching
    if names:
        groups = {number for number, item in enumerate(state.groups) if item.name in names}
        matching = [row for row in matching if group[row] in groups]
    return _with_text(ledger, matching, text) if text else matching


def _with_text(ledger: Ledger, rows: Sequence[int], text: str) -> Sequence[int]:
    terms = argument_terms(text)
    if terms:
        hits = rows_by_arguments(ledger, terms)
        return [row for row in rows if row in hits]
    text = text.lower()
    state = ledger.state
    group = state.group
    names = [item.name.lower() for item in state.groups]
    name, bracket, number = text.partition('[')
    if bracket:
        groups = {i for i, item in enumerate(names) if item.endswith(name)}
        numbered = _numbered(state.index, bracket + number) if number else range(len(group))
        return [row for row in rows if row in numbered and group[row] in groups]
    groups = {i for i, item in enumerate(names) if text in item}
    matching = _named(ledger, text) | rows_by_cause(ledger, rows, text)
    if not set(text) - set('0123456789]'):
        matching |= _numbered(state.index, text)
    return (
        [row for row in rows if row in matching or group[row] in groups]
        if groups
        else [row for row in rows if row in matching]
    )


def _numbered(index: Sequence[int], text: str) -> set[int]:
    """The rows in whose ``[index]`` the text is."""
    matching: set[int] = set()
    if ']' in text[:-1]:
        return matching
    # One search through one text, several times as fast as one for each row.
    line = f'[{"][".join(map(str, index))}]'
    row, position = -1, 0
    while (hit := line.find(text, position)) >= 0:
        row += line.count('[', position, hit + 1)
        matching.add(row)
        position = hit + 1
    return matching


def _named(ledger: Ledger, text: str) -> set[int]:
    """The rows whose identities begin with ``text``."""
    matching: set[int] = set()
    if len(text) < LEAST or len(text) > 2 * ID or set(text) - set('0123456789abcdef'):
        return matching
    stem = bytes.fromhex(text[: len(text) // 2 * 2])
    line = ledger.state.ids.packed
    position = line.find(stem)
    while position >= 0:
        if position % ID == 0 and line[position : position + ID].hex().startswith(text):
            matching.add(position // ID)
        position = line.find(stem, position + 1)
    return matching
