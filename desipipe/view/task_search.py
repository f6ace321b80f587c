"""Find tasks by arguments and by cause of failure; nothing is unpickled.

Arguments of a row never change, so that what was found is kept with the view of the queue, and only
new rows are read.
"""

from __future__ import annotations

import re
import struct
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from ..errors import PayloadError
from ..queue.events import FAILED, KILLED, UNKNOWN
from ..queue.ledger import Ledger
from .task_summary import shown_arguments, task_summaries
from .text import one_line

__all__ = ['argument_terms', 'arguments_text', 'rows_by_arguments', 'rows_by_cause']

_TERM = re.compile(r'\s*([A-Za-z_]\w*)\s*(==?|!=)\s*(.+?)\s*')
_KEPT = 8  # searches whose rows are kept
_SHOWN = 30  # characters of an argument in a list
_LIST = 120  # characters of all of them


class Term(NamedTuple):
    """A condition on one argument: ``i=12``."""

    name: str
    value: str
    equal: bool


class _Found(NamedTuple):
    """The rows of one search, as far as rows were read."""

    read: int
    rows: set[int]


def argument_terms(text: str) -> list[Term]:
    """Return the conditions of a search such as ``i=12, kind=fast``; none of others."""
    if not re.match(r'\s*[A-Za-z_]\w*\s*(=|!=)', text):
        return []
    terms = []
    for part in re.split(r',(?=\s*[A-Za-z_]\w*\s*!?=)', text):
        match = _TERM.fullmatch(part)
        if match is None:
            return []
        terms.append(Term(match[1], match[3], match[2] != '!='))
    return terms


def rows_by_arguments(ledger: Ledger, terms: Sequence[Term]) -> set[int]:
    """Return the rows whose arguments meet all of the conditions.

    Parameters
    ----------
    ledger : Ledger
    terms : sequence of Term
        The value of an argument is compared with its text, without the quotes of a string. A value
        that is no number may be a part of it.
    """
    key = (ledger.journal.header['gen'], *terms)
    searches: OrderedDict[tuple[object, ...], _Found] = ledger.__dict__.setdefault(
        '_argument_searches', OrderedDict()
    )
    search = searches.pop(key, _Found(0, set()))
    total = len(ledger.state.status)
    rows = search.rows
    for row in range(search.read, total):
        arguments = _arguments(ledger, row)
        if all(_meets(arguments.get(term.name), term) for term in terms):
            rows.add(row)
    searches[key] = _Found(total, rows)
    while len(searches) > _KEPT:
        searches.popitem(last=False)
    return rows


def _arguments(ledger: Ledger, row: int) -> dict[str, str]:
    """Return a task's arguments as text; none if lost or not written by desipipe."""
    try:
        arguments: Any = shown_arguments(ledger, row)
    except (PayloadError, IndexError, ValueError, struct.error):
        return {}
    return (
        {str(name): str(text) for name, text in arguments.items()}
        if isinstance(arguments, dict)
        else {}
    )


def _meets(text: str | None, term: Term) -> bool:
    if text is None:
        return False
    bare, value = text.strip('\'"').lower(), term.value.strip('\'"').lower()
    number = _number(value)
    same = value in bare if number is None else bare == value or _number(bare) == number
    return same == term.equal


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def rows_by_cause(ledger: Ledger, rows: Iterable[int], text: str) -> set[int]:
    """Return unsuccessful tasks of ``rows`` whose cause contains a lower-case text."""
    state = ledger.state
    if not any(code in state.status for code in (FAILED, KILLED, UNKNOWN)):
        return set()
    causes: dict[int, tuple[int, str]] = ledger.__dict__.setdefault('_causes_read', {})
    bad = [row for row in rows if FAILED <= state.status[row] <= UNKNOWN]
    fresh = [row for row in bad if causes.get(row, (-1, ''))[0] != state.ended_at[row]]
    for row, task in zip(fresh, task_summaries(ledger, fresh), strict=True):
        causes[row] = state.ended_at[row], task['cause'].lower()
    return {row for row in bad if text in causes[row][1]}


def arguments_text(ledger: Ledger, row: int) -> str:
    """Return the arguments of a task in few words: ``'i=12, k=0.1'``."""
    arguments = _arguments(ledger, row)
    return one_line(
        ', '.join(f'{name}={one_line(text, _SHOWN)}' for name, text in arguments.items()), _LIST
    )
