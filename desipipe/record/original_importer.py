"""Add the tasks of a queue of desipipe 1.0 to a new one."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ..environment import BaseEnvironment
from ..errors import (
    ConfigError,
    DesipipeError,
    NotSerializableError,
    RecordError,
)
from ..provider import Provider
from ..queue.adding import Batch
from ..queue.app import App
from ..queue.authors import mid_of
from ..queue.ends import End
from ..queue.events import FAILED, KILLED, SUCCEEDED, UNKNOWN, Event, JournalEvent
from ..queue.future import Future
from ..queue.queue import Queue
from ..queue.transactions.attempts import final_events
from ..queue.transactions.processes import versions_event, worker_begin_event, worker_end_event
from ..scheduler import Scheduler
from ..serialize import Code, dumps
from ..store.lease import Lease
from .original_arguments import Token, put_futures, token
from .original_pickles import (
    Absent,
    Content,
    Deferred,
    Stored,
    absent_names,
    describe_absent,
    read_folder,
    read_manager,
    read_needs,
    read_task,
    rebuild_function,
    required_ids,
)
from .original_queue import OriginalQueue, Row

NOTES_MAX = 20
BATCH_TASKS = 500
_PROVIDERS = {'LocalProvider': 'local', 'SlurmProvider': 'slurm', 'NERSCProvider': 'nersc'}
_STATES = {
    'SUCCEEDED': SUCCEEDED,
    'FAILED': FAILED,
    'KILLED': KILLED,
    'UNKNOWN': UNKNOWN,
    'RUNNING': UNKNOWN,
}
_DEFAULTS: dict[str, tuple[Any, ...]] = {
    'stop_after': (None,),
    'output': ('/dev/null',),
    'error': ('/dev/null',),
    'killed_at_timeout': (None,),
    'mpiprocs_per_worker': (1,),
    'kwargs': ({},),
    'mpiexec': (
        'mpiexec -np {mpiprocs:d} {cmd}',
        'srun --unbuffered -N {nodes:d} -n {mpiprocs:d} {cmd}',
    ),
}
"""Values of options of providers that desipipe 1.0 stored although they had not been given."""
_UNUSED = {'environ', 'processes', 'max_mpiprocs_per_node', 'timestep', 'sqs'}
_ERROR = re.compile(r'([A-Za-z_][\w.]*)(?::\s|$)')
_NO_SPEC: Event = {
    'environ': BaseEnvironment().to_spec(),
    'scheduler': {'name': 'simple'},
    'provider': {'name': 'local'},
}


class Report(NamedTuple):
    """The outcome of an import."""

    tasks: int
    results: int
    notes: list[str]
    """Sentences on what could not be taken over, and why."""


class _Ended(NamedTuple):
    """A task that has ended, on its way into the queue."""

    tid: bytes
    row: Row
    state: int
    end: dict[str, Any]


class Importer:
    """An import of a queue of desipipe 1.0."""

    def __init__(self, old: OriginalQueue, queue: Queue, lease: Lease) -> None:
        self.old = old
        self.queue = queue
        self.lease = lease
        self.results = 0
        self._notes: list[str] = []
        self._specs: dict[str, Event] = {}
        self._apps: dict[tuple[str, str, str], App] = {}
        self._tids: dict[str, bytes] = {}
        """Identities here, by those in the old queue."""
        self._known: set[bytes] = set()
        self._index: dict[str, int] = {}
        self._tokens: dict[str, Token] = {}
        """Tokens of results that others need."""
        self._batches: list[Batch] = []
        self._codes: dict[str, Code] = {}
        self._ended: list[_Ended] = []
        self._versions: dict[str, dict[str, str]] = {}
        self._pending = 0

    def note(self, text: str) -> None:
        """Keep what could not be taken over."""
        self._notes.append(text)

    def told(self) -> list[str]:
        """Return what could not be imported: the first cases, and the number of others."""
        more = len(self._notes) - NOTES_MAX
        return [*self._notes[:NOTES_MAX], *([f'And {more:,d} more cases.'] if more > 0 else [])]

    def run(self) -> None:
        """Read the old queue and fill the new one."""
        for mid, data in self.old.managers():
            self._specs[mid] = self._spec(mid, data)
        rows, needs = self._needs()
        self._needed = {other for several in needs.values() for other in several}
        for row in _ordered(rows, needs):
            self._take(row)
            if self._pending >= BATCH_TASKS:
                self._write()
                self.lease.beat()
        self._write()

    def _needs(self) -> tuple[dict[str, Row], dict[str, list[str]]]:
        """Return the rows of the old queue, and the tasks that each needs."""
        ordered = list(self.old.tasks())
        # Of two that are the same call here, one with a result counts.
        ordered.sort(key=lambda row: row.state != 'SUCCEEDED')
        rows = {row.id: row for row in ordered}
        needs: dict[str, list[str]] = {}
        for tid in rows:
            try:
                required = read_needs(self.old.pickle_of(tid))
                needs[tid] = [other for other in required if other in rows]
            except RecordError:
                needs[tid] = []
        return rows, needs

    # Task managers

    def _spec(self, mid: str, data: bytes) -> Event:
        stored = read_manager(data)
        if stored is None:
            self.note(f'Task manager {mid} cannot be read: its tasks get a local one.')
            return _NO_SPEC
        return {
            'environ': self._environ(mid, stored.get('environ')),
            'scheduler': self._scheduler(stored.get('scheduler')),
            'provider': self._provider(mid, stored.get('provider')),
        }

    def _environ(self, mid: str, stored: Any) -> Event:
        state = stored.__dict__ if isinstance(stored, Stored) else {}
        try:
            # Variables and commands of its class are among those that are stored.
            return BaseEnvironment(state.get('data') or {}, state.get('command') or None).to_spec()
        except ConfigError as exc:
            self.note(f'The environment of task manager {mid} cannot be used: {exc}')
        return BaseEnvironment().to_spec()

    def _scheduler(self, stored: Any) -> Event:
        most = stored.get('max_workers') if isinstance(stored, Stored) else None
        options = {'max_workers': most} if isinstance(most, int) and most > 0 else {}
        return Scheduler({'scheduler': 'simple', **options}).to_spec()

    def _provider(self, mid: str, stored: Any) -> Event:
        kind = type(stored).__name__
        if not isinstance(stored, Stored) or kind not in _PROVIDERS:
            text = f'The provider of task manager {mid} ({kind}) is not one of desipipe'
            self.note(f'{text}: its tasks get a local one.')
            return {'name': 'local'}
        options: dict[str, Any] = {}
        for name, value in stored.__dict__.items():
            if name in _UNUSED or name.startswith('_') or value in _DEFAULTS.get(name, ()):
                continue
            try:
                Provider({'provider': _PROVIDERS[kind], **options, name: value})
            except (DesipipeError, TypeError, ValueError) as exc:
                text = f'{name}={value!r:.100} was left out. {exc}'
                self.note(f'The provider of task manager {mid}: {text}')
            else:
                options[name] = value
        return Provider({'provider': _PROVIDERS[kind], **options}).to_spec()

    # Tasks

    def _take(self, row: Row) -> None:
        data = self.old.pickle_of(row.id)
        try:
            with _modules_of(read_folder(data)):
                self._take_content(row, data, read_task(data, self._future))
        except RecordError as exc:
            why = exc if data else 'nothing of it was stored'
            self.note(f'Task {row.id} ({row.state}) was left out: {why}.')

    def _take_content(self, row: Row, data: bytes, content: Content) -> None:
        task, stored_app = content.task, content.task.get('app')
        name = str(stored_app.get('name', 'unnamed'))
        app = self._app(stored_app, name)
        if row.id in self._needed:
            self._tokens[row.id] = token(task.get('result'))
        tid = self._add(row, task, app, self._arguments(row, content, data, name))
        if tid is not None and row.state in _STATES:
            end = self._end(row, content, data, name)
            self._ended.append(_Ended(tid, row, _STATES[row.state], end))
            versions = task.get('versions')
            if isinstance(versions, Mapping) and row.state == 'SUCCEEDED':
                texts = {str(key): str(value) for key, value in versions.items()}
                self._versions[app.description.digest.hex()] = texts

    def _future(self, tid: str) -> object:
        number = self._tids.get(tid)
        if number is None:
            return type(
                'result',
                (Absent,),
                {'origin': f'the result of task {tid}, which is not in the old queue'},
            )()
        return Future(self.queue.ledger, number)

    def _app(self, stored: Stored, name: str) -> App:
        kind = 'bash' if type(stored).__name__ == 'BashApp' else 'python'
        code = str(stored.get('code', ''))
        key = (name, kind, code)
        if key not in self._apps:
            try:
                app = App(rebuild_function(name, code), kind, name=name)
                app.description  # noqa: B018 (is made now)
            except (DesipipeError, TypeError, SyntaxError, ValueError) as exc:
                self.note(f'The code of {name} cannot be used: its tasks cannot run again. {exc}')
                app = App(_unusable(name, code, str(exc)), kind, name=name)
            self._apps[key] = app
        return self._apps[key]

    def _arguments(self, row: Row, content: Content, data: bytes, name: str) -> dict[str, Any]:
        stored = content.task.get('kwargs')
        kinds = content.task.get('app').get('vartypes') or {}
        arguments: dict[str, Any] = {}
        content_items = stored if isinstance(stored, dict) else {}
        # What a worker wrote back has results in the place of futures.
        needs = [(self._tokens.get(tid), tid) for tid in required_ids(content.task)]
        for key, value in put_futures(content_items, needs, self._future).items():
            missing = absent_names(value)
            if missing:
                absent = describe_absent(missing, content.problem)
                self.note(f'Task {row.id} ({name}): its argument {key} holds {absent}.')
                arguments[key] = Deferred(data, key, absent)
            elif kinds.get(key) == 'VAR_POSITIONAL':
                arguments.update({f'*{key}': tuple(value)} if value else {})
            elif kinds.get(key) == 'VAR_KEYWORD' and isinstance(value, Mapping):
                arguments.update(value)
            else:
                arguments[key] = value
        return arguments

    def _add(self, row: Row, task: Stored, app: App, arguments: dict[str, Any]) -> bytes | None:
        """Put a task into the next batch; return its identity, None if it is there."""
        stored_app: Stored = task.get('app')
        spec = self._specs.get(row.mid, _NO_SPEC)
        mid = mid_of(spec)
        self._specs.setdefault(row.mid, spec)
        folder = str(stored_app.get('dirname') or os.getcwd())
        index = task.get('index')
        last = self._index.get(app.name, -1)
        number = index if isinstance(index, int) and index >= 0 else last + 1
        self._index[app.name] = max(number, last)
        group = app.group(mid)._replace(cwd=folder, path=(folder,), settings='')
        if stored_app.get('save_dir'):
            group = group._replace(
                save_dir=str(stored_app.get('save_dir')),
                save_attrs=tuple(map(str, stored_app.get('save_attrs') or ())),
            )
        batch = Batch(group, number)
        try:
            tid = app.pack(batch, arguments, app.description.digest)
        except NotSerializableError as exc:
            self.note(f'Task {row.id} ({app.name}, {row.state}) was left out: {exc}')
            return None
        self._tids[row.id] = tid
        if tid in self._known:
            label = f'Task {row.id} ({app.name}, {row.state})'
            self.note(f'{label} is the same call as another one, whose state counts.')
            return None
        self._known.add(tid)
        self._batches.append(batch)
        self._codes[group.app] = app.description
        self._pending += 1
        return tid

    def _end(self, row: Row, content: Content, data: bytes, name: str) -> dict[str, Any]:
        """Store what a task that has ended left."""
        ledger, task = self.queue.ledger, content.task
        end: dict[str, Any] = {'duration': _microseconds(task.get('dtime'))}
        for stream in ('out', 'err'):
            text = task.get(stream)
            if isinstance(text, str) and text:
                end[stream] = ledger.store(text.encode('utf-8', 'surrogateescape'))
        if row.state == 'SUCCEEDED':
            end['result'] = ledger.store(self._result(row, content, data, name))
            self.results += 1
        else:
            end['cause'] = _cause(row, task)
        return end

    def _result(self, row: Row, content: Content, data: bytes, name: str) -> Any:
        value = content.task.get('result')
        missing = absent_names(value)
        problem = content.problem if missing else ''
        if not missing:
            try:
                return dumps(value)
            except NotSerializableError as exc:
                problem = str(exc)
        absent = describe_absent(missing, problem)
        text = f'Task {row.id} ({name}): its result holds {absent}'
        self.note(f'{text}. It is kept, and can be read where that can be imported.')
        return dumps(Deferred(data, 'result', absent))

    # The journal

    def _write(self) -> None:
        if not self._batches:
            return
        ledger, now = self.queue.ledger, time.time()
        specs = {mid_of(spec): spec for spec in self._specs.values()}
        self.queue.add_batches(self._batches, self._codes, specs)
        ledger.follow()
        ends: dict[str, list[End]] = {}
        for item in self._ended:
            end = End(ledger.row(item.tid), 1, item.state, item.row.began, **item.end)
            ends.setdefault(item.row.job, []).append(end)
        ledger.writer.flush()
        events: list[JournalEvent] = []
        for job, several in ends.items():
            worker = f'desipipe-1.0-{len(ledger.state.workers) + len(events):d}'
            info = {'host': '', 'pid': 0, 'slots': 1, 'job': job}
            events.append(worker_begin_event(worker, info, now))
            # As compaction writes them: ends without the claims before them.
            events += final_events(worker, several, now)
            for app, versions in self._versions.items():
                events.append(versions_event(worker, app, versions))
            events.append(worker_end_event(worker, 'imported', now))
        ledger.journal.write(lambda: events, True)
        self._batches, self._codes, self._ended, self._pending, self._versions = [], {}, [], 0, {}


def _ordered(rows: Mapping[str, Row], needs: Mapping[str, list[str]]) -> Iterator[Row]:
    """Yield the rows of tasks, each after those whose results it needs."""
    done: set[str] = set()
    for start in rows:
        path = [start]
        entered: set[str] = set()
        while path:
            tid = path[-1]
            entered.add(tid)
            left = (other for other in needs[tid] if other not in done and other not in entered)
            following = next(left, None)
            if following is not None:
                path.append(following)
                continue
            path.pop()
            if tid not in done:
                done.add(tid)
                yield rows[tid]


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


def _unusable(name: str, code: str, why: str) -> Any:
    text = '\n'.join(f'    # {line}' for line in code.splitlines())
    title = re.sub(r'\W', '_', name) or 'unnamed'
    last = f'    raise RuntimeError({why[:500]!r})'
    return rebuild_function(title, f'def {title}(*args, **kwargs):\n{text}\n{last}')


def _microseconds(seconds: Any) -> int:
    return round(seconds * 1e6) if isinstance(seconds, int | float) and 0 <= seconds < 1e9 else 0


def _cause(row: Row, task: Stored) -> Event:
    """Describe why a task did not succeed, as far as the old queue tells."""
    errno = task.get('errno')
    number = errno if isinstance(errno, int) else 42
    if row.state == 'RUNNING':
        return {
            'kind': 'imported',
            'text': 'it was RUNNING when its queue was imported; what became of it is not known',
            'kinds': ['imported'],
        }
    if row.state == 'UNKNOWN':
        return {
            'kind': 'imported',
            'text': 'desipipe 1.0 had lost track of it',
            'kinds': ['imported'],
        }
    if row.state == 'KILLED':
        return {
            'kind': 'killed',
            'text': 'it was killed under desipipe 1.0',
            'kinds': ['killed'],
            'errno': number,
        }
    lines = [line for line in str(task.get('err') or '').splitlines() if line.strip()]
    last = lines[-1].strip() if lines else 'it failed under desipipe 1.0'
    match = _ERROR.match(last)
    kind = match[1].rpartition('.')[2] if match else 'exit'
    return {'kind': kind, 'text': last[:500], 'kinds': [kind], 'errno': number}
