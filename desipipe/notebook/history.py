"""Follow the cells that ran in this kernel, to record what a task cell runs with."""

from __future__ import annotations

from typing import Any

from ..cells.definitions import Definitions, read_cell
from ..cells.states import Recorded, describe_reads, record, version
from ..cells.task_cell import TaskCell


class History:
    """The meaning of the names of a notebook, by the cells that ran.

    Parameters
    ----------
    shell : IPython.core.interactiveshell.InteractiveShell
    """

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._tasks: dict[int, TaskCell] = {}
        self._restart()

    def _restart(self) -> None:
        self.definitions = Definitions()
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
                stamp = version(task, describe_reads(task, self.definitions))
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
        return record(task, self.definitions)

    def _is_of(self, number: int, task: TaskCell) -> bool:
        if number < self._n_read:
            return False
        other = read_cell(self._shell.history_manager.input_hist_raw[number]).task
        return other is not None and other.digest == task.digest
