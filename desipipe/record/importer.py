"""Make a queue of a record with its payloads, to go on where it stopped.

What is written here is what the record holds, digest by digest; nothing of it is loaded. But the
queue is then this user's own, and its tasks run: whoever calls this has decided to trust the
record's author.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from shlex import quote
from typing import TYPE_CHECKING, Any

import orjson

from ..errors import RecordError
from ..queue.app import KINDS
from ..queue.author_claims import mid_of
from ..queue.ends import End
from ..queue.events import SUCCEEDED, Group, Ref
from ..queue.names import check_name
from ..queue.queue import Queue
from ..queue.transactions.attempts import final_events
from ..queue.transactions.processes import worker_begin_event, worker_end_event
from ..queue.transactions.tasks import (
    add_event,
    app_event,
    code_event,
    group_event,
    manager_event,
    shared_event,
)
from ..queue.versions import Version
from ..store.segment_writer import ALIGNMENT
from ..utils import plural
from .files import Record
from .model import QueueModel
from .model_types import AppEntry, Json, ManagerEntry, QueueHead, TaskEntry, WorkerEntry
from .original_ends import IMPORTED
from .task_text import argument_texts, last_attempt

if TYPE_CHECKING:
    from ..queue.event_types import JournalEvent
    from ..queue.process_events import WorkerInfo
    from ..queue.task_events import Spec

Payload = Callable[[str], bytes | None]
"""Gives the bytes of a digest; ``None`` if they are not there, or damaged."""

_TEXT = struct.Struct('<I')
_LARGE = 4096  # bytes; from here on a payload may hold arrays, which lie aligned


def make_queues(
    record: Record, name: str | None = None, results: bool = False
) -> Iterator[tuple[Queue, str]]:
    """Make the queues of a record.

    Parameters
    ----------
    record : Record
        Made with its payloads.
    name : str, default=None
        Name of the queue; by default as it was. Of several, each gets its own name after it.
    results : bool, default=False
        True to take the results; else everything is to be computed anew.

    Yields
    ------
    queue, words : Queue, str
        And what is in it.

    Raises
    ------
    RecordError
        The record has no payloads, or they are damaged.
    QueueExistsError
        There is a queue of that name.
    """
    several = len(record.models) > 1
    for model in record.models:
        check(record, model)
        # A name that comes with the record leads nowhere else.
        title_of = check_name(model.head['name'])
        title = title_of if name is None else f'{name}-{title_of}' if several else name
        queue = Queue(title, create=True)
        try:
            done = fill(queue, model, record.payload, results)
        except BaseException:
            queue.delete(kill=False)  # a part of it would be taken for the whole
            raise
        superseded = f' ({model.n_superseded} superseded)' if model.n_superseded else ''
        yield queue, f'{plural(model.head["total"])}{superseded}, {done} of them with results'


def check(record: Record, model: QueueModel) -> None:
    """Complain about what is missing, before anything is made.

    Raises
    ------
    RecordError
    """
    for task in model.tasks():
        if 'payload' not in task:
            raise RecordError(
                f'{record.path} holds no code and no arguments, so no queue can be made of it: '
                'nothing was made. '
                'Whoever has the queue makes one that does with: desipipe record NOTEBOOK '
                '--with-results'
            )
        break
    wanted = {app['code']['sha256'] for app in model.head['apps'] if 'code' in app}
    for task in model.tasks():
        wanted.update(digest for digest in (task.get('payload'), task.get('shared')) if digest)
    for digest in wanted:
        if record.payload(digest) is None:
            raise RecordError(
                f'In {record.path}, the bytes of {digest[:16]}… are missing, or damaged. Nothing '
                f'was made. Check with:\ndesipipe verify {quote(record.path)}'
            )


def fill(
    queue: Queue,
    model: QueueModel,
    payload: Payload,
    results: bool = True,
    again: Collection[int] | None = None,
    cwd: str = '',
) -> int:
    """Put the tasks of a model into a fresh queue.

    Parameters
    ----------
    queue : Queue
        An empty one.
    model : QueueModel
    payload : callable
        Gives the bytes of a digest.
    results : bool, default=True
        True if those that succeeded have their results.
    again : collection of int, default=None
        Places of tasks that are to be computed in any case; the others then need nothing, as they
        are only there to be needed.
    cwd : str, default=''
        The folder that tasks run in; by default this one.

    Returns
    -------
    done : int
        Number of tasks that have a result.
    """
    filler = _Filler(queue, model.head, payload, cwd or os.getcwd())
    for row, task in enumerate(model.tasks()):
        is_again = again is None or row in again
        filler.add_task(row, task, with_needs=is_again)
        if (
            results
            and (again is None or not is_again)
            and task['state'] == 'SUCCEEDED'
            and 'sha256' in task.get('result', {})
        ):
            filler.end_task(row, task)
    if again is None:
        filler.supersede(model)
    return filler.write()


class _Filler:
    """Stores what a model holds, and collects the events of a fresh queue."""

    def __init__(self, queue: Queue, head: QueueHead, payload: Payload, cwd: str) -> None:
        self._ledger = queue.ledger
        self._head = head
        self._payload = payload
        self._cwd = cwd
        self._now = time.time()
        self._stored: dict[str, Ref] = {}
        self._events: list[JournalEvent] = []
        self._adds: list[JournalEvent] = []
        self._groups: dict[tuple[int, str], int] = {}
        self._rows: dict[int, int] = {}
        self._shared: dict[str, str] = {}
        self._done: list[tuple[int, TaskEntry]] = []
        specs = [_spec(manager) for manager in head['managers']]
        self._mids = [mid_of(spec) for spec in specs]
        self._events += [
            manager_event(mid, spec)
            for mid, spec in dict(zip(self._mids, specs, strict=True)).items()
        ]
        for app in head['apps']:
            if 'code' in app:
                self._add_app(app)

    def _store(self, digest: str) -> Ref:
        """Store the bytes of a digest, once."""
        if digest not in self._stored:
            data = self._payload(digest)
            if data is None:
                raise RecordError(
                    f'The bytes of {digest[:16]}… are missing, or damaged. Nothing was made.'
                )
            writer = self._ledger.writer
            offset = writer.append([data], len(data) >= _LARGE)
            self._stored[digest] = Ref(writer.name, offset, len(data))
        return self._stored[digest]

    def _add_app(self, app: AppEntry) -> None:
        source = self._ledger.store(app['source'].encode())
        parts = self._ledger.store(orjson.dumps(app['parts']))
        code = self._store(app['code']['sha256'])
        self._events.append(
            app_event(app['id'], app['name'], app['kind'], code, source, parts, app['packages'])
        )

    def add_task(self, row: int, task: TaskEntry, with_needs: bool) -> None:
        """Add a task at a row of the new queue; without ``with_needs`` it needs nothing."""
        common = task.get('shared', '')
        if common and common not in self._shared:
            # Any name will do that the group and the event agree on.
            self._shared[common] = common[:32]
            self._events.append(shared_event(self._shared[common], self._store(common)))
        group = self._number_group(task['group'], self._shared.get(common, ''))
        self._rows[task['row']] = row
        needs = [self._rows[other] for other in task.get('needs', ())] if with_needs else []
        arguments = self._store_arguments(task)
        requires = [(0, needs)] if needs else ()
        self._adds.append(
            add_event(row, group, task['index'], task['id'], arguments, self._now, requires)
        )

    def _number_group(self, number: int, shared: str) -> int:
        """Return the number of a group in the new queue; add it if it is not there."""
        key = (number, shared)
        if key not in self._groups:
            self._groups[key] = len(self._groups)
            group = _group(self._head, number, self._mids, shared, self._cwd)
            self._events.append(group_event(self._groups[key], group))
        return self._groups[key]

    def _store_arguments(self, task: TaskEntry) -> tuple[str, int, list[int]]:
        data = self._payload(task['payload'])
        if data is None:
            raise RecordError(
                f'The arguments of task {task["id"][:12]} are missing, or damaged. Nothing was '
                'made.'
            )
        text = orjson.dumps(argument_texts(task))
        aligned = len(data) >= _LARGE
        if aligned:
            text += b' ' * (-(len(text) + _TEXT.size) % ALIGNMENT)
        writer = self._ledger.writer
        offset = writer.append([_TEXT.pack(len(text)), text, data], aligned)
        return writer.name, offset, [_TEXT.size + len(text) + len(data)]

    def end_task(self, row: int, task: TaskEntry) -> None:
        """Add that a task has its recorded result."""
        self._done.append((row, task))

    def supersede(self, model: QueueModel) -> None:
        """Mark the code of superseded tasks, so that these don't count and don't run."""
        current = {self._head['groups'][task['group']]['app'] for task in model.current_tasks()}
        for number, app in enumerate(self._head['apps']):
            if number not in current and 'code' in app:
                self._adds.append(code_event(IMPORTED, Version(app['id'], current=False)))

    def write(self) -> int:
        """Write all events; return the number of tasks that have a result."""
        ends: dict[int, list[End]] = {}
        for row, task in self._done:
            ends.setdefault(last_attempt(task).get('worker', -1), []).append(
                _end(row, task, self._store(task['result']['sha256']))
            )
        self._ledger.writer.flush()
        for number, ends_of in ends.items():
            worker = self._head['workers'][number] if number >= 0 else {'name': 'by hand'}
            self._adds += self._worker_events(worker, ends_of)
        self._ledger.journal.write(lambda: [*self._events, *self._adds], True)
        return len(self._done)

    def _worker_events(self, worker: WorkerEntry, ends: Sequence[End]) -> list[JournalEvent]:
        name = worker['name']
        info: WorkerInfo = {
            'host': worker.get('host', ''),
            'pid': 0,
            'slots': worker.get('slots', 1),
            'job': worker.get('job', ''),
        }
        return [
            worker_begin_event(name, info, float(worker.get('since', self._now))),
            # As compaction writes them: ends without the claims before them, whatever their tasks
            # wait for.
            *final_events(name, ends, self._now),
            worker_end_event(name, IMPORTED, self._now),
        ]


def _end(row: int, task: TaskEntry, ref: Ref) -> End:
    last = last_attempt(task)
    return End(
        row,
        1,
        SUCCEEDED,
        float(last.get('began', 0.0)),
        round(last.get('seconds', 0.0) * 1e6),
        ref,
        memory=int(last.get('memory', 0)) // 1024,
    )


def _spec(manager: ManagerEntry) -> Spec:
    environ = manager['environ']
    # What was left out can't be set. And where it ran is not where it will: workers are local ones
    # until someone says otherwise.
    data = {name: value for name, value in (environ.get('data') or {}).items() if value != '…'}
    command = [line for line in environ.get('command') or () if line != '…']
    return {
        'environ': {'name': environ.get('name', 'base'), 'data': data, 'command': command},
        'scheduler': dict(manager['scheduler']) or {'name': 'simple'},
        'provider': {'name': 'local'},
    }


def _group(head: QueueHead, number: int, mids: Sequence[str], shared: str, cwd: str) -> Group:
    group: Json = head['groups'][number]
    app = head['apps'][group['app']]
    kinds: dict[str, Callable[[Any], Any]] = {
        'timeout': float,
        'retries': int,
        'retry_on': lambda names: tuple(map(str, names)),
        'priority': int,
    }
    options: dict[str, Any] = {
        key: kind(group[key]) for key, kind in kinds.items() if group.get(key) is not None
    }
    if app['kind'] not in KINDS:
        raise RecordError(f'An app of kind {app["kind"]!r} is not known here. Nothing was made.')
    return Group(
        app=app['id'],
        mid=mids[group['manager']],
        name=group['name'],
        kind=app['kind'],
        cwd=cwd,
        shared=shared,
        **options,
    )
