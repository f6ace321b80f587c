"""Summarise how long the tasks of each app took."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..queue.attempt_reader import AttemptReader
from ..queue.events import SUCCEEDED, EventKind
from .journal_events import events_at
from .task_summary import user_of

if TYPE_CHECKING:
    from .schema import DurationsView


def durations(
    ledger: AttemptReader, names: Iterable[str] | None = None, rows: Iterable[int] | None = None
) -> list[DurationsView]:
    """Return how long the tasks that succeeded took, app by app.

    Parameters
    ----------
    ledger : Ledger
    names : iterable of str, default=None
        Only apps of these names.
    rows : iterable of int, default=None
        Only these tasks; by default those that are not superseded.

    Returns
    -------
    apps : list of DurationsView
        In order of the apps' coming. In a queue that a group shares there is a line for each user
        whose workers ran tasks.
    """
    state = ledger.state
    wanted = None if names is None else set(names)
    chosen = None if rows is None else set(rows)
    taken: dict[str, dict[str, list[int]]] = {group.name: {} for group in state.groups}
    status, ended_at, group = state.status, state.ended_at, state.group
    offsets = sorted(
        {ended_at[row] for row in range(len(status)) if status[row] == SUCCEEDED and ended_at[row]}
    )
    lists = [taken[item.name] for item in state.groups]
    for offset, event in events_at(ledger, offsets):
        if event is not None and event['e'] == EventKind.END and event['w']:
            user = user_of(ledger, event['w']) if ledger.is_group_queue else ''
            for row, duration in zip(event['rows'], event['d'], strict=True):
                if (
                    status[row] == SUCCEEDED
                    and ended_at[row] == offset
                    and (row not in state.superseded if chosen is None else row in chosen)
                ):
                    lists[group[row]].setdefault(user, []).append(duration)
    return [
        _statistics(name, values, user if ledger.is_group_queue else None)
        for name, by_user in taken.items()
        for user, values in sorted(by_user.items())
        if wanted is None or name in wanted
    ]


def _statistics(name: str, values: list[int], user: str | None) -> DurationsView:
    values.sort()
    n, total = len(values), sum(values)
    median = (values[n // 2] + values[(n - 1) // 2]) / 2
    view: DurationsView = {
        'name': name,
        'n': n,
        'mean': total / n * 1e-6,
        'median': median * 1e-6,
        'min': values[0] * 1e-6,
        'max': values[-1] * 1e-6,
        'total': total * 1e-6,
    }
    if user is not None:
        view['ran_by'] = user
    return view
