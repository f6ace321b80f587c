"""Follow the cells that ran in this kernel, to record what a task cell runs with."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ..cells.cell_inputs import Import
from ..cells.changes import NAMED_MAX, Recorded, describe_changes, describe_reads, record, version
from ..cells.definitions import Definitions
from ..cells.modules import Modules
from ..cells.statements import Kind, read_cell
from ..cells.task_cell import TaskCell
from ..queue.place import current_place
from .displays.cell import Handle
from .dry_run import find_changed_value

if TYPE_CHECKING:
    from ..view.schema import BadgeView

logger = logging.getLogger('desipipe')

_LOOK_MAX_S = 0.02  # after a cell, for comparing values


class _Ran(NamedTuple):
    """A task cell that ran, and its display."""

    number: int
    handle: Handle
    sources: dict[str, str]
    """Cells that defined what it read then, by name; empty where the front end does not tell."""


class History:
    """The meaning of the names of a notebook, by the cells that ran.

    Parameters
    ----------
    shell : IPython.core.interactiveshell.InteractiveShell
    cell_ids : dict
        Identities of the notebook's cells that ran, by the number of the run, as far as the front
        end tells.
    imported, kept : mapping
        As for :func:`~desipipe.cells.function.make_cell`.
    """

    def __init__(
        self,
        shell: Any,
        cell_ids: Mapping[int, str],
        imported: Mapping[str, Import],
        kept: Mapping[tuple[str, str], Any],
    ) -> None:
        self._shell = shell
        self._cell_ids = cell_ids
        self._imported = imported
        self._kept = kept
        self._values: dict[str, str] = {}
        self._tasks: dict[int, TaskCell] = {}
        self._displays: dict[str, _Ran] = {}
        self._modules = Modules(_notebook_folder())
        self._restart()
        shell.events.register('post_run_cell', self._on_ran)

    def end(self) -> None:
        """Follow no more."""
        self._shell.events.unregister('post_run_cell', self._on_ran)

    def _restart(self) -> None:
        self.definitions = Definitions(self._modules)
        self._n_read = 1  # the first is empty

    def follow(self, end: int | None = None) -> None:
        """Read the cells that ran since the last call.

        Parameters
        ----------
        end : int, default=None
            Number of the first that is not read, such as the one that runs now.
        """
        texts: list[str] = self._shell.history_manager.input_hist_raw
        if len(texts) < self._n_read:
            self._restart()  # %reset
        end = len(texts) if end is None else end
        for number in range(self._n_read, end):
            cell = read_cell(texts[number])
            if cell.task is None:
                self.definitions.add(number, cell)
            elif number in self._tasks:  # else it added nothing
                task = self._tasks[number]
                stamp = version(task, describe_reads(task, self.definitions, number))
                self.definitions.add(number, cell, stamp)
        self._n_read = max(self._n_read, end)

    def add_task(self, line: str, body: str) -> Recorded | None:
        """Record the task cell that runs now.

        Returns
        -------
        recorded : Recorded or None
            None where it can not be read.
        """
        task = read_cell(f'%%desipipe {line}\n{body}').task
        if task is None or task.error:
            return None
        last = len(self._shell.history_manager.input_hist_raw) - 1
        if self._is_of(last, task):
            self.follow(last)
            self._tasks[last] = task
        else:  # another cell runs it, or it is not kept
            self.follow()
        return record(task, self.definitions, last)

    def _is_of(self, number: int, task: TaskCell) -> bool:
        if number < self._n_read:
            return False
        other = read_cell(self._shell.history_manager.input_hist_raw[number]).task
        return other is not None and other.digest == task.digest

    def add_display(self, handle: Handle) -> None:
        """Mark the display of the running task cell when what it read has changed."""
        last = len(self._shell.history_manager.input_hist_raw) - 1
        if last not in self._tasks or len(handle.place) > 1:
            return  # no cell of its own, or a front end that does not tell which
        reads = describe_reads(self._tasks[last], self.definitions, last)
        sources = {name: self._cell_ids.get(use.cell, '') for name, use in reads.items()}
        self._displays.pop(handle.place[0], None)
        self._values.pop(handle.place[0], None)
        self._displays[handle.place[0]] = _Ran(last, handle, sources)

    def _on_ran(self, _: object) -> None:
        """Mark the displays of stale cells after a cell has run: an event of IPython."""
        touched = self._touched()
        self.follow()
        stale: set[int] = set()
        end = time.perf_counter() + _LOOK_MAX_S
        for cell, ran in self._displays.items():
            reason = self._reason(ran, stale)
            badge: BadgeView | None = None
            if reason:
                badge = {'state': 'stale', 'reason': reason}
            elif touched.intersection(ran.sources) and time.perf_counter() < end:
                self._values[cell] = self._changed_value(ran)
            if badge is None and self._values.get(cell):
                badge = {
                    'state': 'stale',
                    'reason': self._values[cell],
                    'by': 'value',
                }
            if badge is not None:
                stale.add(ran.number)
            ran.handle.mark(badge)

    def _touched(self) -> set[str]:
        """Return the names whose values the cell that ran may have changed."""
        texts: list[str] = self._shell.history_manager.input_hist_raw
        names: set[str] = set()
        for text in texts[self._n_read :]:
            for statement in read_cell(text).statements:
                names |= statement.binds | statement.stores | statement.changes
                for call in statement.calls:
                    names |= {call.root, *call.arguments}
        return names

    def _changed_value(self, ran: _Ran) -> str:
        """Return which value differs from what a cell ran with, where its text is equal.

        Empty if none does.
        """
        recorded, number = ran.handle.recorded, ran.number
        reads = describe_reads(self._tasks[number], self.definitions, number)
        if recorded is None or recorded.reads != {k: use.digest for k, use in reads.items()}:
            return ''
        ledger, rows = ran.handle.queue.ledger, ran.handle.cell.rows
        source = self._shell.history_manager.input_hist_raw[number]
        try:
            return find_changed_value(
                self._shell, source, ledger, list(rows), self._imported, self._kept
            )
        except Exception as exc:  # of the user's values, or of a queue that is gone
            logger.debug('the values of cell [%d] cannot be compared: %s', number, exc)
            return ''

    def _reason(self, ran: _Ran, stale: set[int]) -> str:
        """Return why a cell is stale; empty if it is not.

        A name that another cell has defined since may be another one for the cells below: only
        cells that ran again with another text count.
        """
        recorded = ran.handle.recorded
        if recorded is None:
            return ''
        reads = describe_reads(self._tasks[ran.number], self.definitions, ran.number)

        def ran_again(name: str, cell: int) -> bool:
            return bool(self._cell_ids.get(cell)) and self._cell_ids[cell] == ran.sources.get(name)

        again = {name: use for name, use in reads.items() if ran_again(name, use.cell)}
        deleted = {
            name: cell
            for name, cell in self.definitions.deleted.items()
            if name in recorded.reads and ran_again(name, cell)
        }
        kept = Recorded(recorded.text, {name: recorded.reads[name] for name in (*again, *deleted)})
        changes = describe_changes(kept, again, _name_cell, lambda cell: '', deleted)
        for name, use in again.items():
            if use.kind is Kind.TASK and use.cell in stale:
                changes.append(f'`{name}` comes from {_name_cell(use.cell)}, which is stale')
        return '; '.join(changes[:NAMED_MAX])


def _notebook_folder() -> str:
    origin = current_place()
    folder = os.path.dirname(origin.file) if origin is not None else ''
    return folder or os.getcwd()


def _name_cell(number: int) -> str:
    return f'cell [{number:d}]'
