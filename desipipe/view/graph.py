"""A queue's task graph and its workers' timeline, as plain data.

Both stay small whatever the queue's size: what is too much to be seen is counted instead.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from itertools import islice
from typing import TYPE_CHECKING, cast

from ..queue.events import DROPPED, PENDING, RUNNING, STATES
from ..queue.ledger import Ledger
from ..queue.state import State
from .task_summary import state_name, task_label

if TYPE_CHECKING:
    from .schema import (
        Counts,
        GraphApp,
        GraphEdge,
        GraphTask,
        GraphView,
        StateName,
    )

NODES = 300
"""The most tasks that a graph shows one by one."""


def graph(ledger: Ledger, names: Collection[str] = (), limit: int = NODES) -> GraphView:
    """Build the graph of which task requires which.

    Parameters
    ----------
    ledger : Ledger
    names : collection of str, default=()
        Apps whose tasks are shown one by one, also where there are too many to show all of them so.
    limit : int, default=300
        The most tasks to show one by one; more are grouped by app.

    Returns
    -------
    graph : GraphView
    """
    ledger.follow()
    state = ledger.state
    total = len(state) - state.n_superseded
    grouped = total > limit
    blocked = ledger.blocked()
    single = (
        [row for row in state.each() if row not in state.superseded]
        if not grouped
        else _first(ledger, set(names), limit)
    )
    node = {row: state.ids[row].hex() for row in single}
    nodes: list[GraphTask | GraphApp] = [
        {
            **task_label(ledger, row),
            'id': tid,
            'state': state_name(state.status_shown(row)),
            'blocked': row in blocked,
        }
        for row, tid in node.items()
    ]
    if grouped:
        nodes = [*_apps(ledger, blocked, node), *nodes]
    return {
        'grouped': grouped,
        'total': total,
        'nodes': nodes,
        'edges': _edges(state, node),
    }


def _edges(state: State, node: dict[int, str]) -> list[GraphEdge]:
    """Count the requirements between tasks shown one by one (``node``) and apps."""
    labels = [group.name for group in state.groups]
    edges: Counter[tuple[str, str]] = Counter()
    for row, required in state.requires.items():
        if is_shown(state, row):
            target = node.get(row) or labels[state.group[row]]
            edges.update(
                (node.get(other) or labels[state.group[other]], target)
                for other in required
                if is_shown(state, other)
            )
    return [
        {'source': source, 'target': target, 'count': count}
        for (source, target), count in edges.items()
    ]


def is_shown(state: State, row: int) -> bool:
    """Return True if a row is a task of the graph: neither deleted nor superseded."""
    return state.status[row] != DROPPED and row not in state.superseded


def _first(ledger: Ledger, names: set[str], limit: int) -> list[int]:
    state = ledger.state
    groups = {number for number, group in enumerate(state.groups) if group.name in names}
    rows = state.each() if groups else iter(())
    chosen = (row for row in rows if state.group[row] in groups and row not in state.superseded)
    return list(islice(chosen, limit))


def _apps(ledger: Ledger, blocked: dict[int, int], single: dict[int, str]) -> list[GraphApp]:
    # Those of an app that are shown one by one are no part of the app's own node.
    state = ledger.state
    counts = Counter(zip(state.group, state.status, strict=True))
    counts.subtract((state.group[row], state.status[row]) for row in (*single, *state.superseded))
    for row in state.claimed_rows() - state.superseded:
        if row not in single:
            counts.subtract([(state.group[row], RUNNING)])
            counts.update([(state.group[row], PENDING)])
    waiting = Counter(state.group[row] for row in blocked if row not in single)
    apps: dict[str, GraphApp] = {}
    for (number, status), n in counts.items():
        if n and status != DROPPED:
            name = state.groups[number].name
            app = apps.setdefault(
                name,
                {
                    'id': name,
                    'name': name,
                    'total': 0,
                    'counts': cast('Counts', dict.fromkeys(STATES, 0)),
                    'blocked': 0,
                },
            )
            app['total'] += n
            app['counts'][cast('StateName', STATES[status])] += n
    for number, n in waiting.items():
        apps[state.groups[number].name]['blocked'] += n
    return list(apps.values())
