"""Lists of queues and of tasks, cut into pages: the columns of the state are looked through, and only what is shown is read.

As in :mod:`desipipe.summary`, all of it is plain dictionaries, and nothing is unpickled.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from .event import DROPPED, STATES, WAITING, state_code
from .ledger import Ledger
from .summary import task_summaries

Dict = dict[str, Any]

_LINE = ('name', 'folder', 'time', 'condition', 'state', 'total', 'counts', 'blocked', 'left', 'rate', 'eta', 'manager')


def queue_line(summary: Dict) -> Dict:
    """What a list of queues shows of one.

    Parameters
    ----------
    summary : dict
        Of :func:`~desipipe.summary.queue_summary`.

    Returns
    -------
    line : dict
        Members of the summary that do not grow with the queue, and ``workers`` (how many), ``succeeded``, ``running``, ``bad`` (how many neither
        succeeded nor are blocked).
    """
    counts = summary['counts']
    return {
        **{key: summary[key] for key in _LINE},
        'workers': len(summary['workers']),
        'succeeded': counts['SUCCEEDED'],
        'running': counts['RUNNING'],
        'bad': sum(counts[state] for state in ('FAILED', 'KILLED', 'UNKNOWN')),
    }


def task_page(
    ledger: Ledger,
    states: Collection[str] = (),
    names: Collection[str] = (),
    text: str = '',
    rows: Iterable[int] | None = None,
    offset: int = 0,
    limit: int = 100,
) -> Dict:
    """One page of the tasks that fit all of the conditions, in order of their coming.

    Parameters
    ----------
    ledger : Ledger
    states : collection of str, default=()
        Names of states, also ``'BLOCKED'`` (waits for what did not succeed); any if empty.
    names : collection of str, default=()
        Names of apps; any if empty.
    text : str, default=''
        Part of ``name[index]``, or the beginning of the identity.
    rows : iterable of int, default=None
        Only these rows.
    offset, limit : int
        Which of them.

    Returns
    -------
    page : dict
        ``total`` (how many fit), ``offset``, and ``tasks``: as :func:`~desipipe.summary.task_summaries`, each with its ``row``.

    Raises
    ------
    ValueError
        There is no such state.
    """
    ledger.follow()
    found = _found(ledger, states, names, text.strip().lower(), rows)
    shown = found[offset : offset + limit]
    # Once more after a compaction that came between: rows stay, offsets do not.
    tasks = ledger.again(lambda: task_summaries(ledger, shown))
    return {'total': len(found), 'offset': offset, 'tasks': [{'row': row, **task} for row, task in zip(shown, tasks, strict=True)]}


def _found(ledger: Ledger, states: Collection[str], names: Collection[str], text: str, rows: Iterable[int] | None) -> Sequence[int]:
    state = ledger.state
    status, group = state.status, state.group
    there = range(len(status))
    found: Sequence[int]
    if rows is not None:
        found = [row for row in rows if row in there and status[row] != DROPPED]
    elif len(state) == len(status):
        found = there
    else:
        found = [row for row in there if status[row] != DROPPED]
    if states:
        codes = {state_code(name) for name in states if name.upper() != 'BLOCKED'}
        blocked = ledger.blocked() if len(codes) < len(states) and WAITING not in codes else {}
        # One pass over the column of bytes, with a table of what is wanted instead of a comparison with each.
        wanted = bytes(code in codes for code in range(len(STATES) + 1))
        found = [row for row in found if wanted[status[row]] or row in blocked]
    if names:
        groups = {number for number, item in enumerate(state.groups) if item.name in names}
        found = [row for row in found if group[row] in groups]
    return _with_text(ledger, found, text) if text else found


def _with_text(ledger: Ledger, rows: Sequence[int], text: str) -> Sequence[int]:
    state = ledger.state
    ids, group, index = state.ids, state.group, state.index
    labels = [item.name.lower() + '[' for item in state.groups]
    # Most of what is typed is part of a name, or of none: known group by group.
    whole = {number for number, label in enumerate(labels) if text in label}
    stem = _stem(text)
    if '[' in text:
        last, _, first = text.partition('[')
        ending = {number for number, label in enumerate(labels) if label.endswith(last + '[')}
        return [row for row in rows if group[row] in whole or (group[row] in ending and f'{index[row]:d}]'.startswith(first))]
    digits = text.removesuffix(']').isdecimal()

    def fits(row: int) -> bool:
        return bool(stem is not None and ids[row].startswith(stem) and ids[row].hex().startswith(text)) or (digits and text in f'{index[row]:d}]')

    if stem is None and not digits:
        return [row for row in rows if group[row] in whole]
    return [row for row in rows if group[row] in whole or fits(row)]


def _stem(text: str) -> bytes | None:
    """The whole bytes of what may be the beginning of an identity."""
    try:
        return bytes.fromhex(text[: len(text) // 2 * 2]) if text and not set(text) - set('0123456789abcdef') else None
    except ValueError:
        return None
