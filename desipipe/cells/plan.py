"""Plan what a notebook would compute: states of its task cells, and costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, cast

from ..utils import format_significant, plural
from ..view.appearance import BADGE_SYMBOLS
from ..view.text import span
from .changes import label
from .estimate import Estimate, count_calls
from .modules import Modules
from .statements import read_cell
from .states import SETTLED, CellState, Look, Notebook, NotebookCell, State

if TYPE_CHECKING:
    from ..view.schema import CellStateView, EstimateView, PlannedCellView, PlanTotalView, PlanView


@dataclass(frozen=True, slots=True)
class PlannedCell:
    """A task cell of a plan."""

    cell: CellState
    tasks: int | None = None
    """The most tasks that it would add; None where only a kernel can tell."""
    each: Estimate | None = None
    """Cost of one of them; None without earlier runs."""

    @property
    def seconds(self) -> float | None:
        """Time of all its tasks together."""
        is_known = self.tasks is not None and self.each is not None
        return self.tasks * self.each.seconds if is_known else None  # type: ignore[operator,union-attr]

    @property
    def node_hours(self) -> float | None:
        """Node-hours of all its tasks together."""
        if self.seconds is None or self.each is None or self.each.nodes is None:
            return None
        return self.seconds / 3600 * self.each.nodes

    @property
    def charge(self) -> float | None:
        """Charge for those, in node-hours."""
        if self.node_hours is None or self.each is None or self.each.charge_factor is None:
            return None
        return self.node_hours * self.each.charge_factor


@dataclass(frozen=True, slots=True)
class Total:
    """Return the cost of all cells of a plan that are not current, where it is known."""

    cells: int
    tasks: int | None
    seconds: float | None
    node_hours: float | None
    charge: float | None


@dataclass(frozen=True, slots=True)
class Plan:
    """The task cells of a notebook, and what would be run."""

    cells: tuple[PlannedCell, ...]
    to_run: tuple[int, ...]
    """Cells that a new kernel has to run, in order; the first of the notebook is 0."""

    @property
    def total(self) -> Total:
        """Cost of the task cells that are not current."""
        stale, adding = self.stale, self.adding
        counts = [item.tasks for item in stale]
        return Total(
            len(stale),
            sum(count or 0 for count in counts) if None not in counts else None,
            _sum([item.seconds for item in adding]),
            _sum([item.node_hours for item in adding]),
            _sum([item.charge for item in adding]),
        )

    @property
    def stale(self) -> list[PlannedCell]:
        """The cells that are not current."""
        return [item for item in self.cells if item.cell.state not in SETTLED]

    @property
    def adding(self) -> list[PlannedCell]:
        """Those of them that add tasks, as far as is known."""
        return [item for item in self.stale if item.tasks != 0]


def _sum(values: Sequence[float | None]) -> float | None:
    estimates = [value for value in values if value is not None]
    return sum(estimates) if estimates and len(estimates) == len(values) else None


RETRY_TEXT = 'adds no task: correct it, or retry its tasks'
"""Text of a plan about a cell whose tasks failed."""

Find = Callable[[str], Estimate | None]
"""Estimate what a task of a name takes."""


def make_plan(
    cells: Sequence[NotebookCell],
    find: Find,
    look: Look | None = None,
    modules: Modules | None = None,
) -> Plan:
    """Plan what a notebook would compute.

    Parameters
    ----------
    cells : sequence of NotebookCell
    find : callable
    look : callable, default=None
        Compares identities in a kernel, see :data:`~desipipe.cells.states.Look`.
    modules : Modules, default=None
        Those beside the notebook.
    """
    texts = Notebook(cells, modules)
    states = texts.states(look)
    planned = tuple(_planned(state, cells[state.number], find) for state in states)
    return Plan(planned, tuple(texts.cells_to_run(states)))


def _planned(
    state: CellState, cell: NotebookCell, find: Callable[[str], Estimate | None]
) -> PlannedCell:
    task = read_cell(cell.text).task
    if state.state in (*SETTLED, State.FAILED) or task is None or task.error:
        return PlannedCell(state, 0)
    tasks = count_calls(task)
    if tasks is None and cell.ran is not None and not cell.ran.problem:
        tasks = cell.ran.total
    return PlannedCell(state, tasks, find(task.title))


# What is printed of it


def to_json(plan: Plan) -> PlanView:
    """Return a plan as a JSON document."""
    return {
        'cells': [_cell_json(item) for item in plan.cells],
        'to_run': [number + 1 for number in plan.to_run],
        'total': cast('PlanTotalView', asdict(plan.total)),
    }


def state_json(cell: CellState) -> CellStateView:
    """Return the state of a cell as JSON; cells are counted from 1."""
    return {
        'cell': cell.number + 1,
        'title': cell.title,
        'state': cell.state.value,
        'reason': cell.reason,
        'needs': {name: number + 1 for name, number in cell.needs.items()},
    }


def _cell_json(item: PlannedCell) -> PlannedCellView:
    return {
        **state_json(item.cell),
        'tasks': item.tasks,
        'each': None if item.each is None else cast('EstimateView', asdict(item.each)),
        'seconds': item.seconds,
        'node_hours': item.node_hours,
        'charge': item.charge,
    }


def to_lines(plan: Plan) -> list[str]:
    """Return a plan as lines for people."""
    lines = [_cell_line(item) for item in plan.cells]
    if not plan.cells:
        return ['The notebook has no task cells.']
    if not plan.total.cells:
        return [*lines, 'All task cells are current: nothing would be computed.']
    return [*lines, _total_line(plan)]


def _cell_line(item: PlannedCell) -> str:
    cell = item.cell
    title = f' {cell.title}' if cell.title else ''
    reason = f': {cell.reason}' if cell.reason else ''
    text = f'{BADGE_SYMBOLS[cell.state]} {label(cell.number)}{title}  {cell.state}{reason}'
    if cell.state in SETTLED:
        return text
    if cell.state is State.FAILED:
        return f'{text} ({RETRY_TEXT})'
    return f'{text} ({_cost(item)})'


def _cost(item: PlannedCell) -> str:
    tasks = (
        'tasks not known before it runs' if item.tasks is None else f'at most {plural(item.tasks)}'
    )
    if item.each is None:
        return f'{tasks}, no earlier run'
    each = f'{span(item.each.seconds)} each in {plural(item.each.runs, "earlier run")}'
    return ', '.join([tasks, each, *cost_text(item.node_hours, item.charge)])


def cost_text(node_hours: float | None, charge: float | None) -> list[str]:
    """Format what tasks cost: ``['1 node-hour', 'charged as 2']``; [] if unknown."""
    if node_hours is None:
        return []
    hours = format_significant(node_hours)
    parts = [f'{hours} node-hour{"" if hours == "1" else "s"}']
    return parts if charge is None else [*parts, f'charged as {format_significant(charge)}']


def _total_line(plan: Plan) -> str:
    """Return the sum of what is known, and of how many cells that is."""
    adding = plan.adding
    counts = [item.tasks for item in adding if item.tasks is not None]
    timed = [item for item in adding if item.seconds is not None]
    billed = [item for item in timed if item.node_hours is not None]
    charges = [item.charge for item in billed if item.charge is not None]
    pieces = [f'{plural(plan.total.cells, "cell")} not current']
    if adding and not counts:
        pieces.append('tasks not known')
    else:
        pieces.append(f'at most {plural(sum(counts))}{_share(len(counts), len(adding))}')
    if timed:
        seconds = sum(item.seconds or 0 for item in timed)
        pieces.append(f'{span(seconds)} of task time{_share(len(timed), len(adding))}')
    if billed:
        hours = sum(item.node_hours or 0 for item in billed)
        charge = sum(charges) if len(charges) == len(billed) else None
        parts = cost_text(hours, charge)
        pieces += [*parts[:-1], f'{parts[-1]}{_share(len(billed), len(timed))}']
    return ', '.join(pieces) + '.'


def _share(count: int, cells: int) -> str:
    return '' if count == cells else f' in {plural(count, "cell")}'
