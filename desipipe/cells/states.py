"""States of a notebook's task cells: if their results match its present text.

What a cell ran with is recorded in its output: the digest of its text, and those of all definitions
that it read. The present text of the notebook is compared with that; nothing is run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from .changes import (
    NAMED_MAX,
    Recorded,
    describe_changes,
    describe_deletion,
    describe_reads,
    label,
    version,
)
from .definitions import MODULE_PREFIX, Definitions, Use
from .modules import Modules
from .statements import CellText, Kind, read_cell
from .task_cell import SETUP, TaskCell

if TYPE_CHECKING:
    from ..view.schema import Condition


class State(StrEnum):
    """States of a task cell."""

    CURRENT = 'current'
    EDITED = 'edited'
    STALE = 'stale'
    RUNNING = 'running'
    PAUSED = 'paused'
    NO_WORKER = 'no worker'
    FAILED = 'failed'
    NEVER_RUN = 'never run'
    UNKNOWN = 'unknown'


CHANGED = (State.EDITED, State.STALE)
SUPERSEDED = 'its tasks are superseded: other code ran in its place since'
"""The reason of a cell whose text is that of its tasks, while another version ran later."""
UNFINISHED: Mapping[Condition, State] = {
    'running': State.RUNNING,
    'paused': State.PAUSED,
    'stopped': State.NO_WORKER,
}
"""States of cells whose tasks are left, by the condition that their views show."""
SETTLED = (State.CURRENT, *UNFINISHED.values())
"""States in which nothing has to run again."""


@dataclass(frozen=True, slots=True)
class Ran:
    """The tasks of a cell that ran."""

    recorded: Recorded | None
    """None: an earlier version of desipipe, which recorded nothing, ran it."""
    total: int = 0
    left: int = 0
    bad: int = 0
    """Tasks that did not succeed, or wait for one that did not."""
    superseded: int = 0
    """Tasks of code that was edited and run again elsewhere."""
    condition: Condition = 'running'
    """Condition of the tasks that are left, as the view below the cell shows it."""
    problem: str = ''
    """Reason that nothing is known of them; empty if something is."""


@dataclass(frozen=True, slots=True)
class NotebookCell:
    """A cell of a notebook."""

    text: str
    """Empty if it is no code."""
    ran: Ran | None = None


@dataclass(frozen=True, slots=True)
class CellState:
    """A task cell, and whether its tasks are of its present text and inputs."""

    number: int
    """Number of the cell; the first of the notebook is 0."""
    title: str
    state: State
    reason: str = ''
    needs: Mapping[str, int] = field(default_factory=dict)
    """Task cells whose outputs it reads, by name."""


Look = Callable[[int, TaskCell, Mapping[str, Use]], str | None]
"""Compare identities: '' if they are those that ran, words if not, None if that can't be told."""


class Notebook:
    """The cells of a notebook, taken apart.

    Parameters
    ----------
    cells : sequence of NotebookCell
        In their order.
    modules : Modules, default=None
        Those beside the notebook; by default changes of modules are not seen.
    """

    def __init__(self, cells: Sequence[NotebookCell], modules: Modules | None = None) -> None:
        self._modules = modules
        self.cells = cells
        self.texts = [read_cell(cell.text) for cell in cells]
        self.definitions = Definitions(modules)
        """At the end of the notebook."""
        self.reads: dict[int, dict[str, Use]] = {}
        """All that each task cell reads, by number."""
        self._deleted: dict[int, dict[str, int]] = {}
        """Names that are deleted where each task cell stands, with the cells that delete them."""
        for number, text in enumerate(self.texts):
            self._add(number, text)

    def _add(self, number: int, text: CellText) -> None:
        if text.task is None:
            self.definitions.add(number, text)
            return
        self.reads[number] = describe_reads(text.task, self.definitions, number)
        self._deleted[number] = dict(self.definitions.deleted)
        if not text.task.is_skipped:
            self.definitions.add(number, text, version(text.task, self.reads[number]))

    def states(self, look: Look | None = None) -> list[CellState]:
        """Return the state of each task cell, in order.

        Parameters
        ----------
        look : callable, default=None
            Look at a kernel, where there is one: see :data:`Look`.
        """
        states: dict[int, CellState] = {}
        for number, reads in self.reads.items():
            task = self.texts[number].task
            assert task is not None  # those that have reads are task cells
            above = {
                name: use.cell
                for name, use in reads.items()
                if use.kind is Kind.TASK and use.cell in states
            }
            state, reason = self._state(number, task, above, states, look)
            states[number] = CellState(number, task.title, state, reason, above)
        return list(states.values())

    def _state(
        self,
        number: int,
        task: TaskCell,
        above: Mapping[str, int],
        states: Mapping[int, CellState],
        look: Look | None,
    ) -> tuple[State, str]:
        ran = self.cells[number].ran
        if task.error:
            return (
                State.NEVER_RUN if ran is None else State.EDITED
            ), f'it cannot run: {task.error}'
        if ran is None:
            return State.NEVER_RUN, self._missing(number, task)
        if ran.problem:
            return State.UNKNOWN, ran.problem
        if ran.recorded is None:
            return State.UNKNOWN, 'it ran with a version of desipipe that recorded less'
        if ran.recorded.text != task.digest:
            return State.EDITED, 'its text has changed since it ran'
        for name, cell in above.items():
            if states[cell].state in CHANGED:
                return (
                    State.STALE,
                    f'`{name}` comes from {label(cell)}, which is {states[cell].state}',
                )
        changes = self._changes(number, ran.recorded)
        seen = look(number, task, self.reads[number]) if look is not None else None
        if changes and seen != '':
            return State.STALE, '; '.join(changes[:NAMED_MAX])
        if seen:
            return State.STALE, seen
        return _of_tasks(ran)

    def _missing(self, number: int, task: TaskCell) -> str:
        """Describe why a cell cannot run: one above it deletes what it reads."""
        deleted = self._deleted[number]
        names = [name for name in task.reads if name in deleted]
        texts = [describe_deletion(name, label(deleted[name])) for name in names[:NAMED_MAX]]
        return f'it cannot run: {"; ".join(texts)}' if texts else ''

    def _changes(self, number: int, recorded: Recorded) -> list[str]:
        """Describe what a cell reads that is not what it ran with."""
        reads = dict(self.reads[number])
        if self._modules is None:
            kept = {
                name: value
                for name, value in recorded.reads.items()
                if not name.startswith(MODULE_PREFIX)
            }
            recorded = Recorded(recorded.text, kept)
        for name in recorded.reads.keys() - reads.keys():
            # Cells may have run in another order than that of the notebook.
            definition = self.definitions.get(name)
            if definition is not None and definition.cell != number:
                reads[name] = definition.use()
        return describe_changes(
            recorded, reads, label, lambda cell: self.texts[cell].error, self._deleted[number]
        )

    def cells_to_run(self, states: Iterable[CellState]) -> list[int]:
        """List the cells that a new kernel has to run to make all tasks current.

        Parameters
        ----------
        states : iterable of CellState
            Of this notebook.

        Returns
        -------
        numbers : list of int
            Task cells that are not current, and whole cells that define what they read, in order.
        """
        needed = self._needed_cells()
        numbers: set[int] = set()
        todo = {state.number for state in states if state.state not in SETTLED}
        while todo:
            number = todo.pop()
            if number not in numbers:
                numbers.add(number)
                todo |= needed[number]
        return sorted(numbers)

    def _needed_cells(self) -> list[frozenset[int]]:
        """Return for each cell those above it that have to run before it."""
        above = Definitions()
        needed = []
        for number, text in enumerate(self.texts):
            if text.task is not None:
                names = {*text.task.reads, SETUP}
            else:
                names = {name for item in text.statements for name in item.touched()}
            needed.append(above.cells(names) - {number})
            if text.task is None or not text.task.is_skipped:
                above.add(number, text)
        return needed


def _of_tasks(ran: Ran) -> tuple[State, str]:
    if ran.superseded:
        return State.STALE, SUPERSEDED
    if ran.left:
        return UNFINISHED[ran.condition], f'{ran.left:,d} of {ran.total:,d} tasks left'
    if ran.bad:
        return State.FAILED, f'{ran.bad:,d} of {ran.total:,d} tasks did not succeed'
    return State.CURRENT, ''
