"""Read all that is recorded of a queue."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from ...queue.queue import Queue
from ...utils import username
from ..model import Node, QueueModel
from ..model_types import AppEntry, ModuleEntry, QueueFacts, QueueHead, QueueLists
from ..modules import changed_functions, describe, used_modules
from ..pieces import closure
from ..privacy import Privacy
from .apps import Apps
from .payloads import Payloads
from .shared import SharedEntries
from .tasks import Attempts, Tasks
from .values import Values


def read_queue(
    queue: Queue,
    privacy: Privacy,
    rows: Iterable[int] | None = None,
    node: Node | None = None,
    payloads: bool = False,
    closed: bool = True,
) -> QueueModel:
    """Read all that is recorded of a queue.

    Parameters
    ----------
    queue : Queue
    privacy : Privacy
        Decides what is left out.
    rows : iterable of int, default=None
        These tasks, and what they need; by default all.
    node : callable, default=None
        For cells of notebooks, see :data:`~desipipe.record.model.Node`.
    payloads : bool, default=False
        True to keep the bytes of code, arguments, results and outputs, too.
    closed : bool, default=True
        True if what the tasks need is read, too.

    Returns
    -------
    model : QueueModel
    """
    queue.ledger.follow()
    return queue.ledger.again(lambda: _Reader(queue, privacy, node, payloads).read(rows, closed))


class _Reader:
    """Reads one queue, once."""

    def __init__(self, queue: Queue, privacy: Privacy, node: Node | None, keeps: bool) -> None:
        self._queue = queue
        self._ledger = ledger = queue.ledger
        self._privacy = privacy
        self._payloads = Payloads(ledger, keeps)
        self._attempts = Attempts(ledger, privacy, self._payloads)
        self._shared = SharedEntries(ledger, privacy)
        values = Values(ledger, privacy, self._payloads)
        self._tasks = Tasks(ledger, privacy, self._shared, values)
        self._apps = Apps(ledger, privacy, self._payloads, node)

    def read(self, rows: Iterable[int] | None, closed: bool) -> QueueModel:
        """Read these tasks; all if none are named."""
        state = self._ledger.state
        every = list(state.each())
        chosen = every if rows is None else closure(self._ledger, rows) if closed else sorted(rows)
        attempts = self._attempts.of_tasks(chosen)
        added = self._attempts.added(chosen)
        lines = [
            self._tasks.line(row, attempts.pop(row, ()), added[state.added_at[row]])
            for row in chosen
        ]
        head: QueueHead = {
            **self._facts(),
            'total': len(chosen),
            'others': len(every) - len(chosen),
            'superseded': self._tasks.superseded,
            'counts': self._tasks.counts,
            'blocked': self._tasks.blocked,
            'busy': round(self._tasks.busy, 6),
            **self._lists(),
        }
        if modules := self._modules(head['apps']):
            head['modules'] = modules
        places = {row: index for index, row in enumerate(chosen)}
        return QueueModel(head, lines, self._payloads.kept, places)

    def _facts(self) -> QueueFacts:
        owner = username(os.stat(self._queue.folder).st_uid)  # whose folder it is
        return {
            'name': self._queue.name,
            'folder': self._privacy.path(self._queue.folder),
            'user': self._privacy.user(owner),
            'id': self._ledger.state.header.get('id', ''),
            'as_of': self._attempts.as_of,
            'damage': len(self._ledger.state.damage),
        }

    def _lists(self) -> QueueLists:
        """Describe what tasks share; each list asks for entries of those after it."""
        used = self._tasks.versions_used
        return {
            'groups': self._shared.describe_groups(),
            'apps': [self._apps.describe(app, used.get(app, ())) for app in self._shared.apps],
            'managers': self._shared.describe_managers(),
            'workers': self._shared.describe_workers(),
            'versions': self._shared.describe_versions(),
        }

    def _modules(self, apps: Sequence[AppEntry]) -> list[ModuleEntry]:
        """Describe the user's own modules that the tasks used, as they lie there now."""
        groups = [self._ledger.state.groups[number] for number in self._shared.groups]
        folders = list(
            dict.fromkeys(
                folder for group in groups for folder in (*group.path, group.cwd) if folder
            )
        )
        used = used_modules((label for app in apps for label in app['parts']), folders)
        texts = {module.path: module.data.decode('utf-8', 'replace') for module in used}
        for app in apps:
            for name in changed_functions(app, texts):
                self._privacy.notes[
                    f'(the module of {name} was changed after tasks of {app["name"]} ran; it is '
                    'recorded as it is now)'
                ] = None
        return describe(used, self._payloads.keep)
