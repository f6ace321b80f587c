"""Queues and tasks that the record of a notebook holds."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from ..errors import PayloadError, RecordError, UnknownQueueError, UnknownTaskError
from ..queue.output import untrusted_writer
from ..queue.queue import Queue
from ..view.ownership import untrusted_owner
from ..view.rows import parse_rows
from .privacy import Privacy
from .sources import Use, functions, source_of, uses

if TYPE_CHECKING:
    from .documents import Notebook


RUN = 'desipipe_run'
"""Key of a notebook's metadata for what papermill has none for: the queues that were used when
it was executed.
"""


class Selection:
    """Queues of a record, and tasks of each: of cells, and of queues that were given.

    Parameters
    ----------
    notebook : dict or None
    name : str
        Its name, for messages.
    queues : sequence of Queue
        Beside those that the notebook's cells name.
    privacy : Privacy
        Notes what is gone.
    open_queue : callable, default=None
        Opens a queue by its folder.

    Raises
    ------
    RecordError
        The notebook never used desipipe, and no queue was given.
    UnknownQueueError
        A queue that it used is not there.
    """

    def __init__(
        self,
        notebook: Notebook | None,
        name: str,
        queues: Sequence[Queue],
        privacy: Privacy,
        open_queue: Callable[[str], Queue] | None = None,
    ) -> None:
        self.uses = uses(notebook) if notebook is not None else []
        """Cells that show tasks."""
        self.gone: dict[int, str] = {}
        """Reasons that tasks of cells are missing, by the cells' numbers."""
        self._open_queue = open_queue
        self._given = {queue.folder: queue for queue in queues}
        executed = [] if notebook is None else _executed_with(notebook)
        if not self.uses and not queues and not executed:
            raise _nothing_to_record(name)
        self._opened = {use.folder: self._resolved(use.folder) for use in self.uses}
        self.queues = {
            queue.folder: queue for queue in [*self._opened.values(), *self._given.values()]
        }
        """Queues by their folders, in the order of the record."""
        self._rows: dict[str, set[int]] = {folder: set() for folder in self.queues}
        if notebook is not None:
            self._add_defined(notebook, executed, privacy)
            if not self.queues:
                raise _nothing_to_record(name)
        self._add_shown()

    def _resolved(self, folder: str) -> Queue:
        return _resolved_queue(folder, self._given, self._open_queue)

    def _add_defined(self, notebook: Notebook, executed: Iterable[str], privacy: Privacy) -> None:
        """Add tasks of apps that cells define, also of queues that only Python used."""
        texts = {
            item
            for cell in notebook['cells']
            if cell['cell_type'] == 'code'
            for item in functions(source_of(cell))
        }
        for folder, queue in self.queues.items():
            self._rows[folder].update(_defined_apps(queue, texts))
        for folder in executed:
            try:
                queue = self._resolved(folder)
            except UnknownQueueError:
                privacy.notes[
                    f'tasks of the queue {os.path.basename(folder)}, which was used and no longer '
                    'exists'
                ] = None
                continue
            if queue.folder not in self.queues and (own_rows := _defined_apps(queue, texts)):
                self.queues[queue.folder], self._rows[queue.folder] = queue, set(own_rows)

    def _add_shown(self) -> None:
        """Add the tasks that cells show."""
        for use in self.uses:
            queue = self.queue_of(use)
            own_rows, why = cell_rows(queue, use)
            self._rows[queue.folder].update(own_rows)
            if why:
                self.gone[use.cell] = why

    def queue_of(self, use: Use) -> Queue:
        """Return the queue of the tasks that a cell shows."""
        return self._opened[use.folder]

    def rows(self, folder: str) -> Collection[int]:
        """Return the tasks of a queue, without what these need.

        Of a queue that cells name, they are their tasks, and those of functions that cells define;
        of one that was only given, all that are not superseded.
        """
        named = {queue.folder for queue in self._opened.values()}
        if folder in self._given and folder not in named:
            return self.queues[folder].select()
        return self._rows[folder]

    def untrusted_users(self) -> dict[int, str]:
        """Return the users who are not trusted, by the cells that show outputs of theirs."""
        users: dict[int, str] = {}
        for use in self.uses:
            queue = self.queue_of(use)
            rows, _ = cell_rows(queue, use)
            ledger = queue.ledger
            owner = untrusted_owner(ledger)
            user = owner or next(
                (user for row in rows if (user := untrusted_writer(ledger, row))), ''
            )
            if user:
                users[use.cell] = user
        return users


def _executed_with(notebook: Notebook) -> list[str]:
    """Return the folders of the queues of a notebook that `desipipe run` executed.

    Of queues that only Python used, nothing else says which; in a record that is left out.
    """
    folders = notebook['metadata'].get(RUN, {}).get('queues', ())
    return [folder for folder in folders if os.path.isabs(folder)]


def _nothing_to_record(name: str) -> RecordError:
    return RecordError(
        f'{name} shows no task of desipipe, and no queue was given: there is nothing to record. '
        'If it uses queues from Python, name them: desipipe record NOTEBOOK -q QUEUE'
    )


def _resolved_queue(
    folder: str, by_folder: Mapping[str, Queue], open_queue: Callable[[str], Queue] | None
) -> Queue:
    """Return the queue that cells used: one that was given, or that is still there."""
    if folder in by_folder:
        return by_folder[folder]
    # The notebook may have been saved elsewhere: a queue of the same name that was given is meant.
    same = [
        queue
        for queue in by_folder.values()
        if os.path.basename(queue.folder) == os.path.basename(folder)
    ]
    if len(same) == 1:
        return same[0]
    try:
        return open_queue(folder) if open_queue is not None else Queue(folder, create=False)
    except UnknownQueueError as exc:
        raise UnknownQueueError(
            f'{exc} The notebook says that its tasks are there; nothing was written. If the queue '
            f'was moved, say where it is: -q {os.path.basename(folder)}'
        ) from None


def _defined_apps(queue: Queue, texts: Collection[tuple[str, str]]) -> list[int]:
    """Return the tasks of apps whose very code is in cells, shown or not."""
    queue.ledger.follow()
    state = queue.ledger.state
    apps = set()
    for app, event in state.apps.items():
        if event['kind'] != 'cell':
            try:
                defined = functions(queue.ledger.read_text(event['source']))
            except PayloadError:
                continue
            if any(name == event['name'] and (name, tree) in texts for name, tree in defined):
                apps.add(app)
    return (
        [row for row in queue.select() if state.groups[state.group[row]].app in apps]
        if apps
        else []
    )


def cell_rows(queue: Queue, use: Use) -> tuple[list[int], str]:
    """Return the tasks that a cell used, and what is to be noted of them."""
    queue.ledger.follow()
    state = queue.ledger.state
    try:
        rows = [
            row
            for part in parse_rows(use.rows)
            for row in part
            if row < len(state.status) and state.rows.get(state.ids[row]) == row
        ]
        total = sum(len(part) for part in parse_rows(use.rows))
        first = next((part.start for part in parse_rows(use.rows)), 0)
    except UnknownTaskError as exc:
        return [], str(exc)
    if use.first and (first >= len(state.ids) or state.ids[first].hex() != use.first):
        return (
            [],
            (
                'its tasks are no longer in the queue, which was cleared since (or they are of '
                'another queue): run the cell again'
            ),
        )
    if len(rows) < total:
        return rows, f'{total - len(rows)} of its tasks were deleted from the queue'
    return rows, ''
