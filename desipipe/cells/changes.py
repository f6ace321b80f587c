"""Describe what a cell reads, and what changed of it since it ran."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .definitions import MODULE_PREFIX, Definitions, Use
from .statements import Kind, digest
from .task_cell import TaskCell

NAMED_MAX = 2  # changes that are named


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
    uses = definitions.module_uses(task.modules, cell)
    for name in task.reads:
        definition = (
            definitions.before(name, task) if name in task.outputs else definitions.get(name)
        )
        if definition is not None:
            uses |= {**definitions.closure_of(definition), name: definition.use()}
    return uses


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


def describe_changes(
    recorded: Recorded,
    reads: Mapping[str, Use],
    name_cell: Callable[[int], str],
    error_of: Callable[[int], str],
    deleted: Mapping[str, int] | None = None,
) -> list[str]:
    """Describe what a cell reads that is not what it ran with.

    Parameters
    ----------
    recorded : Recorded
    reads : mapping
        All that it reads now.
    name_cell, error_of : callable
        Name a cell; say why its text cannot be read.
    deleted : mapping, default=None
        Cells that deleted names.

    Returns
    -------
    changes : list of str
        Causes first.
    """
    changes = []
    names = recorded.reads.keys() | reads.keys()
    for name in sorted(names, key=lambda name: _rank(reads, name)):
        use, before = reads.get(name), recorded.reads.get(name)
        if use is None:
            module = name.removeprefix(MODULE_PREFIX)
            if deleted and name in deleted:
                changes.append(describe_deletion(name, name_cell(deleted[name])))
            elif module == name:
                changes.append(f'`{name}` is no longer defined')
            else:
                changes.append(f'module `{module}` is no longer there')
        elif use.digest != before:
            where, error = name_cell(use.cell), error_of(use.cell)
            if use.kind is Kind.TASK:
                changes.append(
                    f'`{name}` comes from {where}, which ran with other code or inputs since'
                )
            elif use.kind is Kind.MODULE:
                changes.append(f'{use.kind} `{name.removeprefix(MODULE_PREFIX)}` changed')
            elif error:
                changes.append(f'{where}, which defines `{name}`, cannot be read: {error}')
            else:
                how = 'is new' if before is None else 'changed'
                changes.append(f'{use.kind} `{name}` {how} in {where}')
    return changes


def describe_deletion(name: str, cell: str) -> str:
    """Describe that a name which a cell reads is deleted before it."""
    return f'`{name}` is deleted in {cell}'


def label(number: int) -> str:
    """Return how people call a cell."""
    return f'cell {number + 1:d}'


def _rank(reads: Mapping[str, Use], name: str) -> tuple[bool, str]:
    # What others only follow from comes last.
    return name not in reads or reads[name].kind is Kind.TASK, name
