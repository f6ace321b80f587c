"""Add the tasks of a queue of desipipe 1.0 to a new one."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ..errors import DesipipeError, NotSerializableError, RecordError
from ..queue.adding import Batch
from ..queue.app import App
from ..queue.events import Group
from ..queue.future import Future
from ..queue.queue import Queue
from ..store.lease import Lease
from .import_notes import ImportNotes
from .imported_tasks import ImportedTasks
from .original_arguments import Token, put_futures, token
from .original_ends import STATES_OF_ENDED, OriginalEnds
from .original_functions import failing_function, rebuild_function
from .original_managers import OriginalManagers
from .original_pickles import (
    Absent,
    Deferred,
    Stored,
    absent_names,
    describe_absent,
    read_folder,
    read_task,
    required_ids,
)
from .original_queue import OriginalQueue, Row
from .original_tasks import OriginalTask, read_order

BATCH_TASKS = 500


class Report(NamedTuple):
    """The outcome of an import."""

    tasks: int
    results: int
    notes: list[str]
    """Sentences on what could not be taken over, and why."""


class Importer:
    """An import of a queue of desipipe 1.0."""

    def __init__(self, old: OriginalQueue, queue: Queue, lease: Lease) -> None:
        self._old = old
        self._queue = queue
        self._lease = lease
        self._notes = ImportNotes()
        self._managers = OriginalManagers(self._notes)
        self._ends = OriginalEnds(queue.ledger, self._notes)
        self._imported = ImportedTasks(queue)
        self._apps: dict[tuple[str, str, str], App] = {}
        self._tids: dict[str, bytes] = {}
        """Identities here, by those in the old queue."""
        self._added: set[bytes] = set()
        self._index: dict[str, int] = {}
        self._tokens: dict[str, Token] = {}
        """Tokens of results that others need."""

    def run(self) -> Report:
        """Read the old queue and fill the new one."""
        for mid, data in self._old.managers():
            self._managers.add(mid, data)
        rows, needed = read_order(self._old)
        for row in rows:
            self._take(row, row.id in needed)
            if len(self._imported) >= BATCH_TASKS:
                self._imported.write(self._managers.by_number())
                self._lease.beat()
        self._imported.write(self._managers.by_number())
        return Report(len(self._queue), self._ends.results, self._notes.first())

    def _take(self, row: Row, needed: bool) -> None:
        data = self._old.pickle_of(row.id)
        try:
            with _modules_of(read_folder(data)):
                self._take_content(OriginalTask(row, data, read_task(data, self._future)), needed)
        except RecordError as exc:
            why = exc if data else 'nothing of it was stored'
            self._notes.add(f'Task {row.id} ({row.state}) was left out: {why}.')

    def _take_content(self, task: OriginalTask, needed: bool) -> None:
        app = self._app(task)
        if needed:
            self._tokens[task.row.id] = token(task.stored.get('result'))
        tid = self._add(task, app, self._arguments(task))
        state = task.row.state
        if tid is not None and state in STATES_OF_ENDED:
            self._imported.end(tid, task.row, STATES_OF_ENDED[state], self._ends.store(task))
            if state == 'SUCCEEDED' and (versions := task.versions) is not None:
                self._imported.ran_with(app.description.digest.hex(), versions)

    def _future(self, tid: str) -> object:
        number = self._tids.get(tid)
        if number is None:
            return type(
                'result',
                (Absent,),
                {'origin': f'the result of task {tid}, which is not in the old queue'},
            )()
        return Future(self._queue.ledger, number)

    def _app(self, task: OriginalTask) -> App:
        name = task.name
        kind = 'bash' if type(task.app).__name__ == 'BashApp' else 'python'
        code = str(task.app.get('code', ''))
        key = (name, kind, code)
        if key not in self._apps:
            try:
                app = App(rebuild_function(name, code), kind, name=name)
                app.description  # noqa: B018 (is made now)
            except (DesipipeError, TypeError, SyntaxError, ValueError) as exc:
                self._notes.add(
                    f'The code of {name} cannot be used: its tasks cannot run again. {exc}'
                )
                app = App(failing_function(name, code, str(exc)), kind, name=name)
            self._apps[key] = app
        return self._apps[key]

    def _arguments(self, task: OriginalTask) -> dict[str, Any]:
        stored = task.stored.get('kwargs')
        kinds = task.app.get('vartypes') or {}
        arguments: dict[str, Any] = {}
        content_items = stored if isinstance(stored, dict) else {}
        # What a worker wrote back has results in the place of futures.
        needs = [(self._tokens.get(tid), tid) for tid in required_ids(task.stored)]
        for key, value in put_futures(content_items, needs, self._future).items():
            missing = absent_names(value)
            if missing:
                absent = describe_absent(missing, task.content.problem)
                self._notes.add(f'{task.label}: its argument {key} holds {absent}.')
                arguments[key] = Deferred(task.data, key, absent)
            elif kinds.get(key) == 'VAR_POSITIONAL':
                arguments.update({f'*{key}': tuple(value)} if value else {})
            elif kinds.get(key) == 'VAR_KEYWORD' and isinstance(value, Mapping):
                arguments.update(value)
            else:
                arguments[key] = value
        return arguments

    def _add(self, task: OriginalTask, app: App, arguments: dict[str, Any]) -> bytes | None:
        """Put a task into the next batch; return its identity, None if it is there."""
        row, label = task.row, f'Task {task.row.id} ({app.name}, {task.row.state})'
        batch = Batch(self._group(task, app), self._number(task.stored.get('index'), app.name))
        try:
            tid = app.pack(batch, arguments, app.description.digest)
        except NotSerializableError as exc:
            self._notes.add(f'{label} was left out: {exc}')
            return None
        self._tids[row.id] = tid
        if tid in self._added:
            self._notes.add(f'{label} is the same call as another one, whose state counts.')
            return None
        self._added.add(tid)
        self._imported.add(batch, app.description)
        return tid

    def _group(self, task: OriginalTask, app: App) -> Group:
        stored: Stored = task.app
        folder = str(stored.get('dirname') or os.getcwd())
        mid = self._managers.number(task.row.mid)
        group = app.group(mid)._replace(cwd=folder, path=(folder,), settings='')
        if stored.get('save_dir'):
            group = group._replace(
                save_dir=str(stored.get('save_dir')),
                save_attrs=tuple(map(str, stored.get('save_attrs') or ())),
            )
        return group

    def _number(self, index: Any, name: str) -> int:
        """Return the number of a task among those of its app."""
        last = self._index.get(name, -1)
        number: int = index if isinstance(index, int) and index >= 0 else last + 1
        self._index[name] = max(number, last)
        return number


@contextlib.contextmanager
def _modules_of(folder: str) -> Iterator[None]:
    """Import modules from the folder of a script as well, unless all may write to it."""
    try:
        status = os.stat(folder)
        own = status.st_uid == os.geteuid() and not status.st_mode & 0o002
        safe = os.path.isabs(folder) and own
    except OSError:
        safe = False
    if not safe or folder in sys.path:
        yield
        return
    sys.path.append(folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
