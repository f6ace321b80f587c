"""Estimate what the tasks of a cell take, by earlier tasks of the same name."""

from __future__ import annotations

import ast
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import DesipipeError
from ..provider import Provider
from ..queue.events import SUCCEEDED, EventKind
from ..queue.ledger import Ledger
from ..view.journal_events import events_at
from .task_cell import TaskCell

_RUNS_MAX = 1000  # earlier tasks that are looked at
_CALLS_MAX = 10_000_000


@dataclass(frozen=True, slots=True)
class Estimate:
    """The cost of one task."""

    seconds: float
    """Median of earlier tasks."""
    runs: int
    """Number of those."""
    nodes: float | None
    """Nodes of a batch system that one task occupies; None where there is none."""
    charge_factor: float | None
    """Charge for a node-hour, in node-hours; None where that is not known."""


def estimate(ledger: Ledger, name: str) -> Estimate | None:
    """Estimate what a task takes, by those of its name that succeeded.

    Parameters
    ----------
    ledger : Ledger
    name : str
        Of the app.

    Returns
    -------
    estimate : Estimate or None
        None without earlier tasks.
    """
    state = ledger.state
    numbers = {number for number, group in enumerate(state.groups) if group.name == name}
    rows = [
        row
        for row in state.each()
        if state.group[row] in numbers and state.status[row] == SUCCEEDED
    ][-_RUNS_MAX:]
    durations = _durations(ledger, rows)
    if not durations:
        return None
    mid = state.groups[state.group[rows[-1]]].mid
    nodes, factor = _provider_of(ledger, mid)
    return Estimate(statistics.median(durations), len(durations), nodes, factor)


def _durations(ledger: Ledger, rows: Sequence[int]) -> list[float]:
    """Read the seconds that tasks took from their last ends."""
    members = set(rows)
    offsets = sorted({ledger.state.ended_at[row] for row in rows} - {0})
    times: dict[int, float] = {}
    for _, event in events_at(ledger, offsets):
        if event is None or event['e'] != EventKind.END or not event['w']:
            continue  # damaged, or a state that someone set
        for position, row in enumerate(event['rows']):
            if row in members:
                times[row] = event['d'][position] * 1e-6
    return list(times.values())


def _provider_of(ledger: Ledger, mid: str) -> tuple[float | None, float | None]:
    spec = ledger.state.managers.get(mid)
    if spec is None:
        return None, None
    try:
        provider = Provider(spec['provider'])
    except DesipipeError:
        return None, None  # one that is not installed here
    nodes = getattr(provider, 'nodes_per_worker', None)
    return nodes, provider.charge_factor if nodes is not None else None


def count_calls(task: TaskCell) -> int | None:
    """Count the tasks of a cell by its text.

    None where its sweeps need values of the notebook.
    """
    lengths = [_length(expression) for expression in task.sweeps.values()]
    count = 1
    for length in lengths:
        if length is None:
            return None
        count = length if task.is_paired else count * length
    return count


def _length(expression: str) -> int | None:
    node = ast.parse(expression.strip(), mode='eval').body
    if isinstance(node, ast.List | ast.Tuple) and not _has_star(node):
        return len(node.elts)
    is_range = isinstance(node, ast.Call) and getattr(node.func, 'id', '') == 'range'
    if not is_range or not isinstance(node, ast.Call) or node.keywords:
        return None
    try:
        length = len(range(*map(ast.literal_eval, node.args)))
    except (ValueError, TypeError, SyntaxError, OverflowError):
        return None
    return length if length <= _CALLS_MAX else None


def _has_star(node: ast.List | ast.Tuple) -> bool:
    return any(isinstance(item, ast.Starred) for item in node.elts)
