"""Tell of each task cell of a notebook whether its tasks are of its present text and inputs.

What a cell ran with is recorded in its output: the digest of its text, and those of all definitions
that it read. The present text of the notebook is compared with that; nothing is run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from .definitions import (
    MODULE_PREFIX,
    CellText,
    Definitions,
    Kind,
    Use,
    digest,
    read_cell,
)
from .modules import Modules
from .task_cell import SETUP, TaskCell

NAMED_MAX = 2  # changes that are named


class State(StrEnum):
    """States of a task cell."""

    CURRENT = 'current'
    EDITED = 'edited'
    STALE = 'stale'
    RUNNING = 'running'
    FAILED = 'failed'
    NEVER_RUN = 'never run'
    UNKNOWN = 'unknown'


CHANGED = (State.EDITED, State.STALE)
SETTLED = (State.CURRENT, State.RUNNING)
"""States in which nothing has to run again."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """The digests of a cell and of what it read, as its output keeps them."""

    text: str
    """Digest of the cell."""
    reads: Mapping[str, str]
    """Digests of all that it read, directly or through helpers, by name."""

    def to_json(self) -> dict[str, object]:
        """Return it as JSON of the display."""
        return {'text': self.text, 'reads': dict(self.reads)}

    @classmethod
    def from_json(cls, value: object) -> Recorded | None:
        """Read :meth:`to_json`; return None if it is something else."""
        if not isinstance(value, dict):
            return None
        text, reads = value.get('text'), value.get('reads')
        if not isinstance(text, str) or not isinstance(reads, dict):
            return None
        if not all(isinstance(item, str) for pair in reads.items() for item in pair):
            return None
        return cls(text, reads)


@dataclass(frozen=True, slots=True)
class Ran:
    """The tasks of a cell that ran."""

    recorded: Recorded | None
    """None: an earlier version of desipipe, which recorded nothing, ran it."""
    total: int = 0
    left: int = 0
    bad: int = 0
    """Tasks that did not succeed, or wait for one that did not."""
    problem: str = ''
    """Why nothing is known of them; empty if something is."""


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


def describe_reads(task: TaskCell, definitions: Definitions, cell: int) -> dict[str, Use]:
    """Find all that a task cell reads, directly or through helpers, when it runs next.

    Parameters
    ----------
    task : TaskCell
    definitions : Definitions
        Of the cells that run before.
    cell : int
        Its number.
    """
    found = definitions.module_uses(task.modules, cell)
    for name in task.reads:
        known = definitions.before(name, task) if name in task.outputs else definitions.get(name)
        if known is not None:
            found |= {**definitions.closure_of(known), name: known.use()}
    return found


def record(task: TaskCell, definitions: Definitions, cell: int) -> Recorded:
    """Record what a cell runs with now.

    Parameters
    ----------
    task : TaskCell
    definitions : Definitions
        Of the cells that ran.
    cell : int
        Its number.
    """
    reads = describe_reads(task, definitions, cell)
    return Recorded(task.digest, {name: use.digest for name, use in sorted(reads.items())})


def version(task: TaskCell, reads: Mapping[str, Use]) -> str:
    """Return the digest of all that the outputs of a task cell depend on."""
    # Without modules: who does not know the folder of the notebook gets the same version.
    pieces = [
        f'{name}={use.digest}' for name, use in sorted(reads.items()) if use.kind is not Kind.MODULE
    ]
    return digest(task.digest, *pieces)


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
        for number, text in enumerate(self.texts):
            self._add(number, text)

    def _add(self, number: int, text: CellText) -> None:
        if text.task is None:
            self.definitions.add(number, text)
            return
        self.reads[number] = describe_reads(text.task, self.definitions, number)
        if not text.task.is_skipped:
            self.definitions.add(number, text, version(text.task, self.reads[number]))

    def states(self, look: Look | None = None) -> list[CellState]:
        """Return the state of each task cell, in order.

        Parameters
        ----------
        look : callable, default=None
            Where there is a kernel: see :data:`Look`.
        """
        found: dict[int, CellState] = {}
        for number, reads in self.reads.items():
            task = self.texts[number].task
            assert task is not None  # those that have reads are task cells
            above = {
                name: use.cell
                for name, use in reads.items()
                if use.kind is Kind.TASK and use.cell in found
            }
            state, reason = self._state(number, task, above, found, look)
            found[number] = CellState(number, task.title, state, reason, above)
        return list(found.values())

    def _state(
        self,
        number: int,
        task: TaskCell,
        above: Mapping[str, int],
        found: Mapping[int, CellState],
        look: Look | None,
    ) -> tuple[State, str]:
        ran = self.cells[number].ran
        if task.error:
            return (
                State.NEVER_RUN if ran is None else State.EDITED
            ), f'it cannot run: {task.error}'
        if ran is None:
            return State.NEVER_RUN, ''
        if ran.problem:
            return State.UNKNOWN, ran.problem
        if ran.recorded is None:
            return State.UNKNOWN, 'it ran with a version of desipipe that recorded less'
        if ran.recorded.text != task.digest:
            return State.EDITED, 'its text has changed since it ran'
        for name, cell in above.items():
            if found[cell].state in CHANGED:
                return (
                    State.STALE,
                    f'`{name}` comes from {label(cell)}, which is {found[cell].state}',
                )
        changes = self._changes(number, ran.recorded)
        seen = look(number, task, self.reads[number]) if look is not None else None
        if changes and seen != '':
            return State.STALE, '; '.join(changes[:NAMED_MAX])
        if seen:
            return State.STALE, seen
        return _of_tasks(ran)

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
            known = self.definitions.get(name)
            if known is not None and known.cell != number:
                reads[name] = known.use()
        return describe_changes(recorded, reads, label, lambda cell: self.texts[cell].error)

    def cells_to_run(self, states: Iterable[CellState]) -> list[int]:
        """List the cells that a new kernel has to run so that all tasks are of the present text.

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
        found: set[int] = set()
        todo = {state.number for state in states if state.state not in SETTLED}
        while todo:
            number = todo.pop()
            if number not in found:
                found.add(number)
                todo |= needed[number]
        return sorted(found)

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


def describe_changes(
    recorded: Recorded,
    reads: Mapping[str, Use],
    name_cell: Callable[[int], str],
    error_of: Callable[[int], str],
) -> list[str]:
    """Describe what a cell reads that is not what it ran with.

    Parameters
    ----------
    recorded : Recorded
    reads : mapping
        All that it reads now.
    name_cell, error_of : callable
        Name a cell; say why its text cannot be read.

    Returns
    -------
    changes : list of str
        Causes first.
    """
    said = []
    names = recorded.reads.keys() | reads.keys()
    for name in sorted(names, key=lambda name: _rank(reads, name)):
        use, before = reads.get(name), recorded.reads.get(name)
        if use is None:
            module = name.removeprefix(MODULE_PREFIX)
            said.append(
                f'`{name}` is no longer defined'
                if module == name
                else f'module `{module}` is no longer there'
            )
        elif use.digest != before:
            where, error = name_cell(use.cell), error_of(use.cell)
            if use.kind is Kind.TASK:
                said.append(
                    f'`{name}` comes from {where}, which ran with other code or inputs since'
                )
            elif use.kind is Kind.MODULE:
                said.append(f'{use.kind} `{name.removeprefix(MODULE_PREFIX)}` changed')
            elif error:
                said.append(f'{where}, which defines `{name}`, cannot be read: {error}')
            else:
                how = 'is new' if before is None else 'changed'
                said.append(f'{use.kind} `{name}` {how} in {where}')
    return said


def label(number: int) -> str:
    """Return how people call a cell."""
    return f'cell {number + 1:d}'


def _rank(reads: Mapping[str, Use], name: str) -> tuple[bool, str]:
    # What others only follow from comes last.
    return name not in reads or reads[name].kind is Kind.TASK, name


def _of_tasks(ran: Ran) -> tuple[State, str]:
    if ran.left:
        return State.RUNNING, f'{ran.left:,d} of {ran.total:,d} tasks left'
    if ran.bad:
        return State.FAILED, f'{ran.bad:,d} of {ran.total:,d} tasks did not succeed'
    return State.CURRENT, ''
