"""Model what is recorded of a queue; all documents are written from it.

Tasks are lines of JSON: a hundred thousand stay small in memory, and each has its digest.
Everything in a model comes from the queue: the same queue always gives the same model.
"""

from __future__ import annotations

import ast
import hashlib
import linecache
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from ..errors import (
    CorruptJournalError,
    DesipipeError,
    NotSerializableError,
    PayloadError,
    UntrustedQueueError,
)
from ..queue.ends import End, end_at
from ..queue.events import ENDED, STATES, SUCCEEDED, Event, Group, Ref
from ..queue.queue import Queue
from ..serialize import anatomy, encode, task_identity, text
from ..serialize import source as sources
from ..utils import username
from ..view.journal_events import events_at
from ..view.task_summary import state_name
from .modules import changed_functions, describe, used_modules
from .pieces import TEXT, closure, seal, word_of
from .privacy import Privacy

Dict = dict[str, Any]

Node = Callable[[str, Sequence[str]], ast.FunctionDef]
"""The function that a cell's text stands for, given its parameters; notebooks know it."""


@dataclass
class QueueModel:
    """The record of one queue."""

    head: Dict
    """All but the tasks: ``name``, ``folder``, ``id``, ``as_of``, ``counts``, ``apps``,
    ``groups``, ``managers``, ``workers``, ``versions``, …
    """
    lines: list[str]
    """The tasks, one JSON object each, in order of their rows."""
    payloads: dict[str, bytes] = field(default_factory=dict)
    """Bytes by their sha256, where they were asked for."""
    places: dict[int, int] = field(default_factory=dict)
    """Row of the queue: place in ``lines``."""

    def tasks(self) -> Iterator[Dict]:
        """The tasks, one after the other."""
        for line in self.lines:
            yield orjson.loads(line)

    def task(self, index: int) -> Dict:
        """The task at a place."""
        task: Dict = orjson.loads(self.lines[index])
        return task


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
        What to leave out.
    rows : iterable of int, default=None
        These tasks, and what they need; by default all.
    node : callable, default=None
        For cells of notebooks, see :data:`Node`.
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

    def __init__(self, queue: Queue, privacy: Privacy, node: Node | None, payloads: bool) -> None:
        self.queue = queue
        self.ledger = queue.ledger
        self.state = queue.ledger.state
        self.privacy = privacy
        self.node = node
        self.keep = payloads
        self.payloads: dict[str, bytes] = {}
        self.apps: dict[str, int] = {}
        self.groups: dict[int, int] = {}
        self.managers: dict[str, int] = {}
        self.workers: dict[str, int] = {}
        self.versions: dict[str, int] = {}
        self.used: dict[str, set[int]] = {}
        self.as_of = float(self.state.header.get('t', 0.0))
        self.busy = 0.0  # s
        self._shared: dict[str, tuple[dict[str, bytes], dict[str, Any]]] = {}
        self._values: dict[tuple[type, Any], str] = {}

    def read(self, rows: Iterable[int] | None, closed: bool = True) -> QueueModel:
        state = self.state
        every = list(state.each())
        chosen = every if rows is None else closure(self.ledger, rows) if closed else sorted(rows)
        blocked = self.ledger.blocked()
        attempts = self._attempts(chosen)
        added = self._added(chosen)
        lines = [
            self._line(row, attempts.pop(row, ()), added[state.added_at[row]], blocked)
            for row in chosen
        ]
        counts = dict.fromkeys(STATES, 0)
        for row in chosen:
            counts[STATES[state.status_shown(row)]] += 1
        head: Dict = {
            'name': self.queue.name,
            'folder': self.privacy.path(self.queue.folder),
            'user': self.privacy.user(
                username(os.stat(self.queue.folder).st_uid)
            ),  # whose folder it is
            'id': state.header.get('id', ''),
            'as_of': self.as_of,
            'total': len(chosen),
            'others': len(every) - len(chosen),
            'counts': counts,
            'blocked': sum(row in blocked for row in chosen),
            'busy': round(self.busy, 6),
            'damage': len(state.damage),
            # Each list asks for entries of those after it.
            'groups': [self._group(number) for number in self.groups],
            'apps': [self._app(app) for app in self.apps],
            'managers': [self._manager(mid) for mid in self.managers],
            'workers': [self._worker(name) for name in self.workers],
            'versions': [orjson.loads(key) for key in self.versions],
        }
        if modules := self._modules(head['apps']):
            head['modules'] = modules
        return QueueModel(
            head, lines, self.payloads, {row: index for index, row in enumerate(chosen)}
        )

    # Events

    def _added(self, rows: Sequence[int]) -> dict[int, float]:
        times: dict[int, float] = {}
        for offset, event in events_at(
            self.ledger, sorted({self.state.added_at[row] for row in rows})
        ):
            times[offset] = 0.0 if event is None else event.get('t', 0.0)
            self.as_of = max(self.as_of, times[offset])
        return times

    def _attempts(self, rows: Sequence[int]) -> dict[int, list[tuple[Dict, End]]]:
        """Collect how the attempts of tasks ended; each line of the journal is read once."""
        state = self.state
        wanted: dict[int, list[int]] = {}
        for row in rows:
            for offset in state.attempts_at(row):
                wanted.setdefault(offset, []).append(row)
        attempts: dict[int, list[tuple[Dict, End]]] = {}
        for offset, event in events_at(self.ledger, sorted(wanted)):
            if event is None:
                self.privacy.notes['some attempts: their lines of the journal are damaged'] = None
                continue
            if event['e'] != 'end' or not event['w']:
                for row in wanted[offset]:
                    if state.ended_at[row] == offset:
                        attempts.setdefault(row, []).append(self._decided(event, row))
                continue
            places = {row: i for i, row in enumerate(event['rows'])}
            for row in wanted[offset]:
                if row in places:
                    end = end_at(event, places[row])
                    attempts.setdefault(row, []).append(
                        (self._attempt(event, end, offset == state.ended_at[row]), end)
                    )
        return attempts

    def _decided(self, event: Event, row: int) -> tuple[Dict, End]:
        # A person set the state, or took the result of another task.
        kind = {'accept': 'accepted', 'set': str(event.get('why', 'set'))}.get(event['e'], 'set')
        attempt: Dict = {'n': 0, 'state': state_name(self.state.status[row]), 'hand': kind}
        if event['e'] == 'accept':
            attempt['of'] = self.state.ids[event['old']].hex()
        if event.get('cause', {}).get('text'):
            attempt['cause'] = {'text': self.privacy.text(event['cause']['text'])}
        # Compaction writes it down as an end without a worker.
        attempt['t'] = (
            end_at(event, event['rows'].index(row)).began if event['e'] == 'end' else event['t']
        )
        self.as_of = max(self.as_of, attempt['t'])
        return attempt, End(row, 0, 0, 0.0, 0)

    def _attempt(self, event: Event, end: End, current: bool) -> Dict:
        attempt: Dict = {
            'n': end.attempt,
            'state': STATES[end.state],
            'worker': event['w'],
            'began': round(end.began, 6),
            'seconds': round(end.duration * 1e-6, 6),
        }
        self.as_of = max(self.as_of, attempt['began'] + attempt['seconds'])
        if end.memory:
            attempt['memory'] = end.memory * 1024  # bytes
        if not current:
            attempt['past'] = True
        if end.cause:
            attempt['cause'] = self._cause(end.cause)
        for name in ('out', 'err'):
            ref = getattr(end, name)
            if ref:
                attempt[name] = self._content(ref)
        return attempt

    def _cause(self, cause: Event) -> Dict:
        result: Dict = {key: cause[key] for key in ('kind', 'errno', 'kinds') if key in cause}
        if cause.get('text'):
            result['text'] = self.privacy.text(str(cause['text']))
        if cause.get('trace'):
            try:
                # The traceback as people read it, not as it lies there: paths are taken out of it.
                result['trace'] = self.privacy.text(self.ledger.read_text(cause['trace']))[-2000:]
            except PayloadError as exc:
                result['trace'] = self.privacy.text(str(exc))
        return result

    def _content(self, ref: Ref) -> Dict:
        try:
            data = self.ledger.read(ref)
        except PayloadError:
            return {'size': ref.length, 'lost': True}
        digest = hashlib.sha256(data).hexdigest()
        if self.keep:
            self.payloads.setdefault(digest, bytes(data))
        return {'size': ref.length, 'sha256': digest}

    # Tasks

    def _line(
        self,
        row: int,
        attempts: Iterable[tuple[Dict, End]],
        added: float,
        blocked: Mapping[int, int],
    ) -> str:
        state = self.state
        status = state.status[row]
        number = state.group[row]
        group = state.groups[number]
        index = self.groups.setdefault(number, len(self.groups))
        self.apps.setdefault(group.app, len(self.apps))
        self.managers.setdefault(group.mid, len(self.managers))
        task: Dict = {
            'id': state.ids[row].hex(),
            'row': row,
            'group': index,
            'index': state.index[row],
            'state': STATES[state.status_shown(row)],
            'added': added,
        }
        self._arguments(row, group, task)
        needs = state.requires.get(row)
        if needs:
            task['needs'] = list(needs)
        if row in blocked:
            task['blocked'] = blocked[row]
        pairs = sorted(attempts, key=lambda pair: (pair[0]['n'] or 1 << 40, 'past' not in pair[0]))
        for attempt, _ in pairs:
            # In the order of tasks, whatever the journal's is: compaction changes that.
            if 'worker' in attempt:
                attempt['worker'] = self.workers.setdefault(attempt['worker'], len(self.workers))
                self.busy += attempt['seconds']
        if pairs:
            task['attempts'] = [attempt for attempt, _ in pairs]
        files = self._files(pairs)
        if files:
            task['files'] = files
        if status == SUCCEEDED:
            self._result(row, task)
            versions = state.versions.get((str(self._worker_of(pairs)), group.app))
            if versions:
                task['versions'] = self._versions(versions)
                self.used.setdefault(group.app, set()).add(task['versions'])
        elif status not in ENDED:
            task['unfinished'] = True
        return seal(task)

    def _files(self, pairs: Sequence[tuple[Dict, End]]) -> list[Dict]:
        """Collect what the attempt that counts read and wrote through the file manager."""
        ref = next((end.files for attempt, end in reversed(pairs) if 'past' not in attempt), None)
        if ref is None:
            return []
        try:
            entries = self.ledger.files(ref)
        except (PayloadError, ValueError):
            self.privacy.notes['some lists of files that tasks read and wrote: they are lost'] = (
                None
            )
            return []
        return [
            {
                'do': item['do'],
                'path': self.privacy.path(item['path']),
                'size': item['size'],
                'sha256': item['sha256'],
            }
            for item in entries
        ]

    def _worker_of(self, pairs: Sequence[tuple[Dict, End]]) -> str:
        names = list(self.workers)
        return next(
            (
                names[attempt['worker']]
                for attempt, _ in reversed(pairs)
                if 'worker' in attempt and 'past' not in attempt
            ),
            '',
        )

    def _arguments(self, row: int, group: Group, task: Dict) -> None:
        """Return arguments as they count for the identity, and as people see them.

        The latter only where it says more.
        """
        try:
            texts = self.ledger.arguments(row)
        except PayloadError:
            task['args'], task['unchecked'] = {}, 'its arguments are lost'
            return
        try:
            pieces = self._pieces(row, group)
        except (DesipipeError, *_LOADING) as exc:
            task['args'] = dict.fromkeys(texts)
            task['text'] = {name: self.privacy.text(word) for name, word in texts.items()}
            task['unchecked'] = self.privacy.text(_why(exc))
            return
        args: Dict = {}
        shown: Dict = {}
        for name, piece in pieces.items():
            word = word_of(piece)
            private = self.privacy.text(word)
            args[name] = word if private == word else None
            seen = self.privacy.text(texts.get(name, ''))
            if word[1:] != seen:
                shown[name] = seen
        task['args'] = args
        if shown:
            task['text'] = shown
        if None in args.values():
            task['unchecked'] = 'an argument is, or holds, an absolute path, which was left out'
        elif task_identity(bytes.fromhex(group.app), pieces.items()) != self.state.ids[row]:
            task['unchecked'] = (
                'its arguments alone do not give its identity here: what is in files counts '
                '(inputs=content), or a class or a package of theirs differs'
            )
        if self.keep:
            task['payload'] = self._content(self.ledger.arguments_payload(row))['sha256']
            if group.shared:
                ref = self.ledger.shared_payload(row)
                assert ref is not None
                task['shared'] = self._content(ref)['sha256']

    def _pieces(self, row: int, group: Group) -> dict[str, bytes]:
        common: dict[str, bytes] = {}
        if group.shared:
            shared = self._shared.get(group.shared)
            if shared is None:
                ref = self.ledger.shared_payload(row)
                loaded: Any = self.ledger.load(ref) if ref else {}
                shared = self._shared[group.shared] = (
                    {name: encode(value, name) for name, value in loaded.items()},
                    loaded,
                )
            common = shared[0]
        own: Any = self.ledger.load(self.ledger.arguments_payload(row))
        return {**common, **{name: encode(value, name) for name, value in own.items()}}

    def _result(self, row: int, task: Dict) -> None:
        ref = self.state.result(row)
        if ref is None:
            return
        result = task['result'] = self._content(ref)
        if 'lost' in result:
            return
        try:
            value = self.ledger.load(ref)
            kind = type(value)
            key = (kind, value) if kind in (int, bool, str) else None
            word = self._values.get(key) if key else None
            if word is None:
                word = word_of(encode(value, 'result'))
                if key and len(self._values) < 4096:
                    self._values[key] = word
        except UntrustedQueueError:
            self.privacy.notes[
                'values of results: they belong to another user who is not trusted'
            ] = None
            return
        except (DesipipeError, *_LOADING) as exc:
            result['value'] = None
            result['text'] = self.privacy.text(_why(exc))
            return
        private = self.privacy.text(word)
        result['value'] = word if private == word else None
        seen = self.privacy.text(text(value, TEXT))
        if word[1:] != seen:
            result['text'] = seen

    # What tasks share

    def _modules(self, apps: Sequence[Dict]) -> list[Dict]:
        """Describe the user's own modules that the tasks used, as they lie there now."""
        groups = [self.state.groups[number] for number in self.groups]
        folders = list(
            dict.fromkeys(
                folder for group in groups for folder in (*group.path, group.cwd) if folder
            )
        )
        used = used_modules((label for app in apps for label in app['parts']), folders)
        texts = {module.path: module.data.decode('utf-8', 'replace') for module in used}
        for app in apps:
            for name in changed_functions(app, texts):
                self.privacy.notes[
                    (
                        f'(the module of {name} was changed after tasks of {app["name"]} ran; it '
                        'is recorded as it is now)'
                    )
                ] = None
        return describe(used, self._keep)

    def _keep(self, data: bytes) -> None:
        if self.keep:
            self.payloads.setdefault(hashlib.sha256(data).hexdigest(), data)

    def _app(self, app: str) -> Dict:
        event = self.state.apps.get(app)
        if event is None:
            return {
                'id': app,
                'name': '?',
                'kind': 'python',
                'source': '',
                'parts': {},
                'unchecked': 'its line of the journal is damaged',
            }
        entry: Dict = {
            'id': app,
            'name': event['name'],
            'kind': event['kind'],
            'packages': list(event['packages']),
            'versions': sorted(self.used.get(app, ())),
        }
        try:
            source = self.ledger.read_text(event['source'])
            entry['source'] = source
            entry['parts'] = orjson.loads(self.ledger.read_text(event['parts']))
            entry['code'] = self._content(Ref(*event['code']))
        except PayloadError as exc:
            entry.setdefault('source', '')
            entry.setdefault('parts', {})
            entry['unchecked'] = self.privacy.text(str(exc))
            return entry
        if self.privacy.text(source) != source:
            self.privacy.notes[
                (
                    f'(kept: the source of {event["name"]} names absolute paths; code is recorded '
                    'as it ran)'
                )
            ] = None
        try:
            func: Any = self.ledger.load(Ref(*event['code']))
            code = getattr(func, '__code__', None)
            parameters = (
                list(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]) if code else []
            )
            if event['kind'] == 'cell' and self.node is not None and code is not None:
                entry['cell'] = ''.join(linecache.getlines(code.co_filename))
                sources.register(code, self.node(entry['cell'], parameters), entry['cell'])
            parts = anatomy(func, event['kind'])
        except (DesipipeError, *_LOADING) as exc:
            entry['unchecked'] = self.privacy.text(_why(exc))
            return entry
        entry['parameters'] = parameters
        if parts.digest.hex() != app:
            differing = sorted(
                name
                for name in parts.parts.keys() | entry['parts'].keys()
                if parts.parts.get(name) != entry['parts'].get(name)
            )
            what = ', '.join(differing)[:200] or 'what it is called'
            entry['unchecked'] = (
                f'its stored code does not give its identity in this process ({what} differs here)'
            )
            return entry
        entry['root'] = word_of(parts.root)
        entry['pieces'] = {
            label: [word_of(piece) for piece in pieces] for label, pieces in parts.pieces.items()
        }
        stored = trees(entry, self.node)
        untold = [
            label
            for label, pieces in parts.pieces.items()
            if stored is None or pieces[0].hex() not in stored
        ]
        if untold:
            entry['untold'] = untold
        return entry

    def _group(self, number: int) -> Dict:
        group = self.state.groups[number]
        result: Dict = {
            'app': self.apps[group.app],
            'manager': self.managers[group.mid],
            'name': group.name,
            'cwd': self.privacy.path(group.cwd),
        }
        for key in ('timeout', 'retries', 'retry_on', 'priority', 'save_attrs'):
            value = getattr(group, key)
            if value != group._field_defaults[key]:
                result[key] = value
        return result

    def _manager(self, mid: str) -> Dict:
        event = self.state.managers.get(mid, {})
        environ = dict(event.get('environ', {}))
        if environ.get('data'):
            environ['data'] = self.privacy.environ(environ['data'])
        if environ.get('command') and 'environ' not in self.privacy.keep:
            self.privacy.left['environ'] += 1
            environ['command'] = ['…' for _ in environ['command']]
        if environ.get('command'):
            environ['command'] = [
                command if isinstance(command, str) else '…' for command in environ['command']
            ]
        return {
            'id': mid,
            'environ': environ,
            **{key: self._plain(event.get(key, {})) for key in ('scheduler', 'provider')},
        }

    def _plain(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.privacy.text(value)
        if isinstance(value, dict):
            return {key: self._plain(item) for key, item in value.items()}
        return [self._plain(item) for item in value] if isinstance(value, list | tuple) else value

    def _worker(self, name: str) -> Dict:
        worker = self.state.workers.get(name)
        if worker is None:
            return {'name': name}
        result: Dict = {
            'name': name,
            'host': worker.host,
            'job': worker.job,
            'slots': worker.slots,
            'since': worker.time,
        }
        if worker.user:
            result['user'] = self.privacy.user(worker.user)
        snapshot = self.state.versions.get((name, ''))
        if snapshot:
            result['with'] = self._versions(snapshot)
        return result

    def _versions(self, versions: Mapping[str, str]) -> int:
        kept = {name: self.privacy.text(str(value)) for name, value in versions.items()}
        if 'declared environment' in kept and 'environ' not in self.privacy.keep:
            del kept['declared environment']  # the task manager says what may be said of it
            self.privacy.left['environ'] += 1
        return self.versions.setdefault(
            orjson.dumps(kept, option=orjson.OPT_SORT_KEYS).decode(), len(self.versions)
        )


# What someone's own classes may raise while they are loaded, or looked at.
_LOADING = (
    ImportError,
    AttributeError,
    TypeError,
    ValueError,
    LookupError,
    NameError,
    ArithmeticError,
    RuntimeError,
    OSError,
    AssertionError,
)


def _why(exc: BaseException) -> str:
    if isinstance(exc, UntrustedQueueError):
        return 'it belongs to another user who is not trusted'
    if isinstance(exc, NotSerializableError | CorruptJournalError | PayloadError):
        return str(exc).partition('. ')[0]
    return f'{type(exc).__name__}: {exc}'[:300]


def trees(app: Mapping[str, Any], node: Node | None) -> set[str] | None:
    """Return digests of all functions in an app's source, as a task and as a helper.

    ``None`` where they can't be known.
    """
    text = app['source']
    digests: set[str] = set()
    if app['kind'] == 'cell':
        if node is None or 'cell' not in app:
            return None
        try:
            digests.add(
                sources.tree(
                    node(app['cell'], app['parameters']), decorators=False, defaults=False
                ).hex()
            )
        except DesipipeError:
            return digests
        except LookupError:
            return None
        rest = app['cell'].rstrip()
        text = text.removeprefix(rest)
    # As a whole, and piece by piece: methods and lambdas alone are no module.
    for part in (text, *text.split('\n\n\n')):
        tree = sources.parse(part)
        for item in ast.walk(tree) if tree is not None else ():
            if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                digests.update(
                    sources.tree(item, decorators, defaults).hex()
                    for decorators in (True, False)
                    for defaults in (True, False)
                )
    return digests


def totals(models: Sequence[QueueModel]) -> Dict:
    """Numbers over all queues.

    Returns
    -------
    totals : dict
        ``tasks``, ``counts`` (by state), ``busy`` (seconds of all attempts together), ``workers``,
        ``hosts``.
    """
    counts = dict.fromkeys(STATES, 0)
    for model in models:
        for state, n in model.head['counts'].items():
            counts[state] += n
    workers = [worker for model in models for worker in model.head['workers']]
    return {
        'tasks': sum(model.head['total'] for model in models),
        'counts': counts,
        'busy': round(sum(model.head['busy'] for model in models), 6),
        'workers': len(workers),
        'hosts': sorted({worker['host'] for worker in workers if worker.get('host')}),
    }
