"""Task objects on their way into a queue."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from .. import provenance
from ..environment import Environment
from .adding import Batch, NewTasks
from .author_claims import mid_of
from .conditions import has_task
from .future import Future
from .ledger import Ledger
from .run_here import end_task
from .task import Task
from .uses import Use, make_use

if TYPE_CHECKING:
    from ..serialize import Code
    from .events import Group
    from .task_events import Spec


def default_spec(task_manager: Any) -> Spec:
    """Return the settings of a task manager; of none the default ones."""
    if task_manager is not None:
        return task_manager.to_spec()  # type: ignore[no-any-return]
    return {
        'environ': Environment().to_spec(),
        'scheduler': {'name': 'simple'},
        'provider': {'name': 'local'},
    }


def use_here(folder: str, group: Group, code: Code | None) -> Use | None:
    """Describe where this process uses an app version; see :meth:`.Queue.use`."""
    making = provenance.making
    if making is None:
        return make_use(folder, group.name, group.app, group.kind, code)
    if os.path.realpath(making.queue) != os.path.realpath(folder):
        return None  # a task of another queue, which does not tell whether it is current
    return make_use(folder, group.name, group.app, group.kind, code, making.app)


class Collected:
    """Batches that are added to a queue in one go, and what they refer to."""

    __slots__ = ('batches', 'codes', 'managers', 'reused', 'uses')

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.codes: dict[str, Code] = {}
        """By the identities of the app versions."""
        self.managers: dict[str, Spec] = {}
        """Specifications of task managers, by their identities."""
        self.uses: list[Use] = []
        self.reused: list[bytes] = []

    def extend(self, new: NewTasks) -> None:
        """Collect more."""
        self.batches.extend(new.batches)
        self.codes.update(new.codes)
        self.managers.update(new.managers)
        self.uses.extend(new.uses)
        self.reused.extend(new.reused)

    def tasks(self) -> NewTasks:
        """Return what was collected, with the last use of each app version at each place."""
        uses = list({(use.key, use.app): use for use in self.uses}.values())
        return NewTasks(self.batches, self.codes, self.managers, uses, self.reused)

    def add_task(self, folder: str, task: Task, task_manager: Any) -> bytes:
        """Collect one task for the queue in ``folder``; return its identity."""
        app = task.app.loaded()
        spec = default_spec(task_manager or getattr(task.app, 'task_manager', None))
        batch = Batch(app.group(mid_of(spec)), task.index)
        app.pack(batch, task.kwargs, bytes.fromhex(batch.group.app))
        group, code = batch.group, app.description
        if group.app not in self.codes:
            use = use_here(folder, group, code)
            if use is not None:
                self.uses.append(use)
        self.codes[group.app] = code
        self.managers[group.mid] = spec
        self.batches.append(batch)
        return batch.ids[0]


class TaskAddition:
    """Task objects that are added to a queue, by what is to be done with them.

    Parameters
    ----------
    ledger : Ledger
    replace : bool
        True if those that ended run again.
    task_manager : TaskManager, default=None
        Task manager whose workers run them; by default that of their app.
    """

    def __init__(self, ledger: Ledger, replace: bool, task_manager: Any) -> None:
        self.new = Collected()
        """Tasks that the queue may lack."""
        self.futures: list[Future] = []
        """One for each task, in their order."""
        self._again: list[bytes] = []
        self._ended: list[Task] = []  # those that end as their objects say
        self._ledger = ledger
        self._replace = replace
        self._task_manager = task_manager

    def append(self, task: Task) -> None:
        """Take one more task."""
        ledger, is_own = self._ledger, task.is_of(self._ledger)
        if task.ended and (self._replace or not (is_own or has_task(ledger, task.id))):
            self._ended.append(task)
        if is_own:
            tid = task.tid
        else:
            tid = self.new.add_task(ledger.folder, task, self._task_manager)
        if not task.ended:
            self._again.append(tid)
        self.futures.append(Future(ledger, tid))

    def finish(self) -> None:
        """Run again, or end, what the queue has by now."""
        if self._replace and self._again:
            rows = [self._ledger.row(tid) for tid in self._again]
            self._ledger.retry(lambda state: rows)
        for task in self._ended:
            end_task(self._ledger, task)
