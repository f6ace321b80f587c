"""A task's neighbours in the queue, other tasks of its app, and a queue's apps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from statistics import median
from typing import TYPE_CHECKING, cast

from ..queue.events import DROPPED, PENDING, RUNNING, STATES, SUCCEEDED
from ..queue.ledger import Ledger
from .appearance import BAD_STATES
from .task_summary import task_label, task_name, task_summaries

if TYPE_CHECKING:
    from .schema import AppView, Counts, PeersView, StateName, TaskLabel

__all__ = ['app_summaries', 'neighbours', 'peers']

_PEERS = 40  # tasks of the same app that are compared
_FAR = 4000  # rows that are looked at for them, and for neighbours


def neighbours(ledger: Ledger, row: int) -> tuple[TaskLabel | None, TaskLabel | None]:
    """Return the tasks added before and after a task.

    Superseded tasks are neighbours of superseded ones only.
    """
    state = ledger.state
    last = len(state.status)

    def first_of(rows: Iterable[int]) -> TaskLabel | None:
        is_old = row in state.superseded
        for other in rows:
            if state.status[other] != DROPPED and (is_old or other not in state.superseded):
                return task_label(ledger, other)
        return None

    return first_of(range(row - 1, max(-1, row - _FAR), -1)), first_of(
        range(row + 1, min(last, row + _FAR))
    )


def peers(ledger: Ledger, row: int) -> PeersView | None:
    """Compare a task with the nearest tasks of its app that succeeded and count.

    Returns
    -------
    peers : PeersView or None
        None if no other task of the app succeeded.
    """
    state = ledger.state
    name = task_name(ledger, row)
    groups = {number for number, group in enumerate(state.groups) if group.name == name}
    near: list[int] = []
    for away in range(1, _FAR):
        for other in (row - away, row + away):
            if (
                0 <= other < len(state.status)
                and state.status[other] == SUCCEEDED
                and state.group[other] in groups
                and other not in state.superseded
            ):
                near.append(other)
        if len(near) >= _PEERS:
            break
    tasks = task_summaries(ledger, near[:_PEERS])
    taken = [task['duration'] for task in tasks if task['duration'] is not None]
    if not taken:
        return None
    memory = [task['memory'] for task in tasks if task['memory']]
    return {
        'n': len(taken),
        'median': median(taken),
        'least': min(taken),
        'most': max(taken),
        'memory': median(memory) if memory else None,
    }


def app_summaries(ledger: Ledger, durations: Mapping[int, float]) -> list[AppView]:
    """Summarise a queue by app, in order of appearance, without superseded tasks.

    Parameters
    ----------
    ledger : Ledger
    durations : mapping
        Seconds that tasks took, by row.

    Returns
    -------
    apps : list of AppView
    """
    state = ledger.state
    counts = Counter(zip(state.group, state.status, strict=True))
    counts.subtract((state.group[row], state.status[row]) for row in state.superseded)
    for row in state.claimed_rows() - state.superseded:
        counts.subtract([(state.group[row], RUNNING)])
        counts.update([(state.group[row], PENDING)])
    taken: dict[str, list[float]] = {}
    for row, duration in durations.items():
        if (
            row < len(state.status)
            and state.status[row] == SUCCEEDED
            and row not in state.superseded
        ):
            taken.setdefault(task_name(ledger, row), []).append(duration)
    apps: dict[str, AppView] = {}
    for (number, status), n in sorted(counts.items()):
        if n <= 0 or status == DROPPED:
            continue
        name = state.groups[number].name
        app = apps.setdefault(
            name,
            {
                'name': name,
                'total': 0,
                'counts': cast('Counts', dict.fromkeys(STATES, 0)),
                'failed': 0,
                'median': None,
            },
        )
        app['total'] += n
        state_shown = cast('StateName', STATES[status])
        app['counts'][state_shown] += n
        app['failed'] += n if state_shown in BAD_STATES else 0
    for name, app in apps.items():
        app['median'] = median(taken[name]) if name in taken else None
    return list(apps.values())
