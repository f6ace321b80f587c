"""Verify a record against itself, and against the queue and the files where they exist.

Each check states what it found.

Nothing of a record is run or unpickled here. What can't be checked is said, too.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from .. import provenance
from ..errors import PayloadError, UnsafeFileError
from ..queue.events import STATES, SUCCEEDED
from ..queue.queue import Queue
from ..serialize import code_identity, part_digest, task_identity
from ..serialize.plain import digest as value_digest
from ..serialize.plain import short
from ..store.files import open_named
from ..utils import format_count, plural
from ..view.rows import parse_rows
from . import tables
from .files import (
    ADDED,
    DIGESTS,
    METADATA,
    RECORD,
    Record,
    content_digest,
    file_digest,
    part_digests,
    plain_bytes,
)
from .model import Node, QueueModel, piece_of, sealed, trees
from .modules import changed_functions
from .notebook import DIFF, compared, described, source_of

Dict = dict[str, Any]

OK, DIFFERS, NOTE, UNCHECKED, NOTHING = (
    'ok',
    'differs',
    'note',
    'cannot be checked',
    'nothing to check',
)
OF_RECORD, BY_OPTION, NEVER = 'record', 'option', 'never'
"""Of what cannot be checked: a part of the record itself; what an option of the command
compares; what no record can show.
"""
PARTLY_CHECKED = 3
"""Exit status when nothing that was checked differs, and something that was recorded could not
be checked.
"""
NAMED = 10
"""Details that a check names."""
_OF_TASKS = ('tasks', 'identities', 'code', 'cells', 'queue', 'rerun')
_REFERENCE = re.compile(r'@([0-9a-f]{32})')


@dataclass
class Check:
    """One check, and its result."""

    name: str
    status: str
    """``'ok'``, ``'differs'``, ``'note'`` (to be known, and no defect), ``'cannot be checked'``
    or ``'nothing to check'``.
    """
    words: str
    details: list[str] = field(default_factory=list)
    """What differs, item by item, as far as it is named."""
    more: int = 0
    """How many are not named."""
    scope: str = OF_RECORD
    """Of what cannot be checked: ``'record'``, ``'option'`` or ``'never'``."""

    def to_dict(self) -> Dict:
        """Convert to plain data."""
        plain = {
            'check': self.name,
            'status': self.status,
            'words': self.words,
            'details': self.details,
            'more': self.more,
        }
        return {**plain, 'scope': self.scope} if self.status == UNCHECKED else plain

    def is_gap(self, strict: bool = False) -> bool:
        """Return True if something could have been checked, and was not.

        Parameters
        ----------
        strict : bool, default=False
            Whether what was not asked for counts, too.
        """
        return self.status == UNCHECKED and (
            self.scope == OF_RECORD or (strict and self.scope == BY_OPTION)
        )


class _Found:
    """Collects what is wrong."""

    def __init__(self) -> None:
        self.details: list[str] = []
        self.n = 0

    def add(self, words: str) -> None:
        self.n += 1
        if len(self.details) < NAMED:
            self.details.append(words)

    def check(
        self, name: str, good: str, bad: str, status: str = DIFFERS, empty: str = ''
    ) -> Check:
        if not self.n:
            # What was held against nothing is not fine: it was not checked.
            return Check(name, NOTHING, empty) if empty else Check(name, OK, good)
        return Check(
            name, status, f'{bad}: {format_count(self.n)}', self.details, self.n - len(self.details)
        )


def verify(
    record: Record,
    node: Node | None = None,
    queue: Callable[[QueueModel], Queue | None] | None = None,
    root: str | None = None,
) -> list[Check]:
    """Check a record.

    Parameters
    ----------
    record : Record
    node : callable, default=None
        See :data:`~desipipe.record.model.Node`; without it, cells of notebooks are not held against
        what ran.
    queue : callable, default=None
        Gives the queue to hold a model against; by default none is looked at.
    root : str, default=None
        The folder that paths of files are relative to; by default files are not looked at.

    Returns
    -------
    checks : list of Check
    """
    checks = _guarded('bytes', lambda: _container(record))
    tasks: list[list[Dict]] = []
    check, tasks = _lines(record)
    checks.append(check)
    for look in (_identities, _closure, _states, _by_hand):
        checks += _guarded(look.__name__.strip('_'), lambda look=look: look(record, tasks))  # type: ignore[misc]
    checks += _guarded('code', lambda: _code(record, node))
    checks += _guarded('modules', lambda: _modules(record))
    checks += _guarded('cells', lambda: _cells(record, node))
    checks += _guarded('tables', lambda: _shown(record))
    checks += _guarded('environment', lambda: _environment(record))
    checks += _guarded('files', lambda: _files(record, tasks, root))
    checks += _guarded('queue', lambda: _queue(record, tasks, queue))
    return [*checks, *_never()]


def verdict(checks: Sequence[Check]) -> bool:
    """Return True if nothing differs."""
    return all(check.status != DIFFERS for check in checks)


def exit_status(checks: Sequence[Check], strict: bool = False) -> int:
    """Return the exit status that these checks stand for.

    Parameters
    ----------
    checks : sequence of Check
    strict : bool, default=False
        Whether all that was not checked counts as a difference: also what was not asked for, but
        not what no record can show.

    Returns
    -------
    status : int
        0: everything recorded was checked, and nothing differs; 1: something differs; 3: something
        could not be checked, or there was nothing to check.
    """
    if not verdict(checks):
        return 1
    checked = any(check.status == OK and check.name in _OF_TASKS for check in checks)
    if checked and not any(check.is_gap(strict) for check in checks):
        return 0
    return 1 if strict else PARTLY_CHECKED


def _guarded(name: str, look: Callable[[], Iterator[Check] | list[Check]]) -> list[Check]:
    # Whoever changed a record may have put anything anywhere: what trips a check is a difference.
    try:
        return list(look())
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError) as exc:
        return [
            Check(
                name,
                DIFFERS,
                f'the record is not as one is written: {type(exc).__name__}: {exc}'[:300],
            )
        ]


# The bytes


def _container(record: Record) -> Iterator[Check]:
    if record.is_crate:
        yield _crate(record)
    digest, said = file_digest(record.data)
    content = content_digest(record.notebook)
    same = content == record.document.get('content_digest')
    if digest and digest == said and same:
        yield Check('bytes', OK, 'the file is as it was written')
    elif same:
        words = (
            'the bytes of the file were changed since it was written; not what they say: another '
            'program laid it out anew, or saved its view of it'
        )
        names = _changed_parts(record)
        yield Check('bytes', DIFFERS, words, names[:NAMED], len(names[NAMED:]))
    else:
        names = _changed_parts(record)
        words = 'what the record says was changed since it was written: its digest is another'
        yield Check('bytes', DIFFERS, words, names[:NAMED], len(names[NAMED:]))
    yield from _payloads(record)


def _payloads(record: Record) -> Iterator[Check]:
    """Hold the bytes of code, arguments and results against their digests, where the record has
    them.
    """
    found, n = _Found(), 0
    for document in record.document['queues']:
        for digest, text in document.get('payloads', {}).items():
            n += 1
            try:
                good = hashlib.sha256(base64.b85decode(text)).hexdigest() == digest
            except (TypeError, ValueError):
                good = False
            if not good:
                found.add(f'{document["name"]}: the bytes of {digest[:16]}… are damaged')
    if n:
        yield found.check(
            'payloads',
            f'{format_count(n)} payloads have the bytes that their digests say',
            'payloads that differ',
        )


def _changed_parts(record: Record) -> list[str]:
    """Name the parts of a record that are not what they were when it was written."""
    said = record.document.get('parts')
    if not isinstance(said, dict):
        return []  # of a version that wrote none
    now = part_digests(record.notebook)
    missing = [f'{label} is missing' for label in said if label not in now]
    return [*missing, *(label for label, digest in now.items() if said.get(label) != digest)]


def _original(record: Record) -> list[Dict]:
    return [
        cell
        for cell in record.notebook['cells']
        if ADDED not in (cell.get('metadata', {}).get('tags') or ())
    ]


def _crate(record: Record) -> Check:
    found = _Found()
    for words in record.problems:
        found.add(words)
    try:
        data = record.files[DIGESTS].data
        listed = orjson.loads(data)
        known = {
            str(name): (entry['size'], entry['sha256']) for name, entry in listed['files'].items()
        }
        now, said = file_digest(data)
        if plain_bytes(listed) != data or not now or now != said:
            found.add(f'{DIGESTS} was changed since it was written')
    except (KeyError, TypeError, ValueError, AttributeError):
        found.add(f'{DIGESTS}, the list of its files, is missing or damaged')
        known = {}
    for name, stored in record.files.items():
        if name == DIGESTS:
            continue
        if name not in known:
            found.add(f'{name} is not on the list of its files')
        elif known[name] != (stored.size, stored.sha256):
            found.add(f'{name} was changed')
    for name in known:
        if name not in record.files:
            found.add(f'{name} is missing')
    for name in (METADATA, RECORD):
        if name not in known and known:
            found.add(f'{name} is not on the list of its files')
    return found.check(
        'crate',
        f'all {len(record.files):d} files are as they were written',
        'files of the crate that differ',
    )


# The tasks


def _label(model: QueueModel, task: Mapping[str, Any]) -> str:
    try:
        return f'{model.head["groups"][task["group"]]["name"]}[{task["index"]}] {task["id"][:12]}'
    except (KeyError, TypeError, IndexError):
        return str(task.get('id', '?'))[:12]


def _lines(record: Record) -> tuple[Check, list[list[Dict]]]:
    found = _Found()
    tasks: list[list[Dict]] = []
    for model in record.models:
        mine: list[Dict] = []
        seen: set[str] = set()
        for number, line in enumerate(model.lines):
            try:
                task = orjson.loads(line)
                group = model.head['groups'][task['group']]
                if (
                    not isinstance(task['id'], str)
                    or not isinstance(task['args'], dict)
                    or task['state'] not in STATES
                    or group is None
                ):
                    raise ValueError
            except (KeyError, TypeError, ValueError, IndexError):
                found.add(f'task {number:d} of {model.head["name"]} cannot be read')
                continue
            if not sealed(line):
                found.add(f'{_label(model, task)}: its line was changed')
            if task['id'] in seen:
                found.add(f'{_label(model, task)} is there twice')
            seen.add(task['id'])
            mine.append(task)
        if len(model.lines) != model.head['total']:
            found.add(
                f'{model.head["name"]}: {plural(model.head["total"])} were written, '
                f'{len(model.lines):d} are there: the record was truncated'
            )
        tasks.append(mine)
    n = sum(map(len, tasks))
    words = f'{plural(n)}, whole, none missing'
    return found.check(
        'tasks',
        words,
        'tasks that are changed, missing, or there twice',
        empty='' if n else 'the record holds no task',
    ), tasks


def _each(record: Record, tasks: Sequence[list[Dict]]) -> Iterator[tuple[QueueModel, Dict]]:
    for model, mine in zip(record.models, tasks, strict=True):
        for task in mine:
            yield model, task


def _identities(record: Record, tasks: Sequence[list[Dict]]) -> Iterator[Check]:
    found, reasons, n = _Found(), Counter[str](), 0
    for model, task in _each(record, tasks):
        app = bytes.fromhex(model.head['apps'][model.head['groups'][task['group']]['app']]['id'])
        args = task['args']
        if 'unchecked' in task or None in args.values():
            reasons[str(task.get('unchecked', 'an argument was left out'))] += 1
            continue
        n += 1
        if (
            task_identity(app, [(name, piece_of(word)) for name, word in args.items()]).hex()
            != task['id']
        ):
            found.add(f'{_label(model, task)}: its code and its arguments do not give its identity')
    if n or found.n:
        yield found.check(
            'identities',
            f'{format_count(n)} computed anew from code and arguments',
            'identities that differ',
        )
    elif not reasons:
        yield Check('identities', NOTHING, 'the record holds no task')
    for words, many in reasons.most_common(NAMED):
        yield Check('identities', UNCHECKED, f'{plural(many)}: {words}')


def _closure(record: Record, tasks: Sequence[list[Dict]]) -> Iterator[Check]:
    found, edges = _Found(), 0
    for model, mine in zip(record.models, tasks, strict=True):
        rows = {task['row']: task for task in mine}
        ids = {task['id'] for task in mine}
        for task in mine:
            needs = task.get('needs', [])
            edges += len(needs)
            label = _label(model, task)
            for row in needs:
                other = rows.get(row)
                if other is None:
                    found.add(f'{label} needs the task of row {row}, which is not in the record')
                elif row >= task['row']:
                    found.add(f'{label} needs {_label(model, other)}, which came after it')
                elif (
                    task['state'] == 'SUCCEEDED'
                    and other['state'] != 'SUCCEEDED'
                    and not _is_by_hand(task)
                ):
                    found.add(
                        f'{label} succeeded, but {_label(model, other)}, which it needs, is '
                        f'{other["state"]}'
                    )
                else:
                    _order(model, task, other, found)
            known = {rows[row]['id'] for row in needs if row in rows}
            for word in task['args'].values():
                for tid in (
                    _REFERENCE.findall(word or '')
                    if word and word.startswith('=') and '@' in word and "'" not in word
                    else ()
                ):
                    if tid in ids and tid not in known:
                        found.add(
                            f'{label} has the result of {tid[:12]} as an argument, but is not said '
                            'to need it'
                        )
            if 'blocked' in task and (
                task['blocked'] not in rows or rows[task['blocked']]['state'] == 'SUCCEEDED'
            ):
                found.add(f'{label} is said to be blocked by what is not there, or succeeded')
    words = (
        f'closed: {format_count(edges)} requirements, all in the record, none after what needs it'
    )
    yield found.check(
        'graph',
        words,
        'requirements that do not fit',
        empty='' if edges else 'no task needs another',
    )


def _order(model: QueueModel, task: Dict, other: Dict, found: _Found) -> None:
    # Clocks of two hosts are no order: only what ran on one is compared.
    mine, its = tables.last_attempt(task), tables.last_attempt(other)
    if (
        task['state'] != 'SUCCEEDED'
        or other['state'] != 'SUCCEEDED'
        or 'worker' not in mine
        or 'worker' not in its
        or len(other.get('attempts', ())) > 1
    ):
        return
    hosts = [model.head['workers'][attempt['worker']].get('host') for attempt in (mine, its)]
    if hosts[0] and hosts[0] == hosts[1] and mine['began'] < its['began'] + its['seconds'] - 1.0:
        found.add(
            f'{_label(model, task)} began before {_label(model, other)}, which it needs, had ended'
        )


def _is_by_hand(task: Dict) -> bool:
    return 'hand' in tables.last_attempt(task)


def _states(record: Record, tasks: Sequence[list[Dict]]) -> Iterator[Check]:
    found = _Found()
    total: Counter[str] = Counter()
    for model, mine in zip(record.models, tasks, strict=True):
        counts = Counter(task['state'] for task in mine)
        total.update(counts)
        if {state: n for state, n in model.head['counts'].items() if n} != dict(counts):
            found.add(f'{model.head["name"]}: the counts by state are not those of its tasks')
        if model.head['blocked'] != sum('blocked' in task for task in mine):
            found.add(f'{model.head["name"]}: the number of blocked tasks')
        if abs(
            model.head['busy']
            - sum(
                attempt.get('seconds', 0.0) for task in mine for attempt in task.get('attempts', ())
            )
        ) > 1e-3 + 1e-9 * len(mine):
            found.add(f'{model.head["name"]}: the time that its tasks took')
        for task in mine:
            last = tables.last_attempt(task)
            if task['state'] == 'SUCCEEDED' and last.get('state') != 'SUCCEEDED':
                found.add(f'{_label(model, task)} is said to have succeeded, but no attempt did')
            if task['state'] == 'SUCCEEDED' and 'result' not in task and 'hand' not in last:
                found.add(f'{_label(model, task)} succeeded, and its result is not recorded')
            if task.get('result', {}).get('lost'):
                found.add(f'{_label(model, task)}: its result was lost before it was recorded')
            if any(
                'worker' in attempt and attempt['worker'] >= len(model.head['workers'])
                for attempt in task.get('attempts', ())
            ):
                found.add(f'{_label(model, task)} ran on a worker that is not in the record')
    said = record.document['totals']
    if said['tasks'] != sum(total.values()) or {
        state: n for state, n in said['counts'].items() if n
    } != dict(total):
        found.add('the totals are not those of the tasks')
    words = tables.counts_words({**dict.fromkeys(STATES, 0), **total})
    yield found.check(
        'states',
        words,
        'numbers and states that do not fit',
        empty='' if total else 'the record holds no task',
    )


def _by_hand(record: Record, tasks: Sequence[list[Dict]]) -> Iterator[Check]:
    found = _Found()
    for model, task in _each(record, tasks):
        last = tables.last_attempt(task)
        if 'hand' not in last or task['state'] not in ('SUCCEEDED', 'FAILED', 'KILLED', 'UNKNOWN'):
            continue
        if last['hand'] == 'accepted' and 'of' in last:
            found.add(
                f'{_label(model, task)}: the result of task {last["of"][:12]}, of other code, was '
                'accepted for it'
            )
        elif last['hand'] != 'cancel':
            found.add(
                f'{_label(model, task)}: its state was set by a person to {task["state"]}, no '
                'attempt gave it'
            )
    if found.n:
        yield found.check(
            'by hand', '', 'results that were not computed, but set or accepted by a person', NOTE
        )


# Code


def _code(record: Record, node: Node | None) -> Iterator[Check]:
    found, reasons, apps, parts = _Found(), Counter[str](), 0, 0
    for model in record.models:
        for app in model.head['apps']:
            if 'root' not in app or 'unchecked' in app:
                reasons[
                    f'{app["name"]}: {app.get("unchecked", "its parts were not recorded")}'
                ] += 1
                continue
            apps += 1
            if code_identity(app['kind'], piece_of(app['root']), app['parts']).hex() != app['id']:
                found.add(f'{app["name"]}: its parts do not give its identity')
            texts = trees(app, node)
            untold = set(app.get('untold', ()))
            for label, words in app['pieces'].items():
                pieces = [piece_of(word) for word in words]
                if part_digest(pieces) != app['parts'].get(label):
                    found.add(f'{app["name"]}, {label}: its pieces do not give its digest')
                elif label in untold:
                    reasons[
                        (
                            f'{app["name"]}, {label}: its text was not found when it was recorded, '
                            'only its digest is known'
                        )
                    ] += 1
                elif texts is None:
                    reasons[f'{app["name"]}: the text of its cell cannot be compared here'] += 1
                elif pieces[0].hex() in texts:
                    parts += 1
                else:
                    found.add(
                        f'{app["name"]}, {label}: the recorded source is not the code that ran'
                    )
            for label, text in _notes(app):
                if app['parts'].get(label) not in (
                    None,
                    value_digest(short(b'=' + text.encode())).hex(),
                ):
                    found.add(
                        f'{app["name"]}, {label}: the value in the recorded source is not the one '
                        'that was used'
                    )
    if apps or found.n:
        source = f'; {plural(parts, "function")}: the source is the code that ran' if parts else ''
        yield found.check(
            'code',
            f'{plural(apps, "version")} of apps: identities computed anew{source}',
            'code that differs',
        )
    elif not reasons:
        yield Check('code', NOTHING, 'the record holds no code')
    for words, _ in reasons.most_common(NAMED):
        yield Check('code', UNCHECKED, words)


def _modules(record: Record) -> Iterator[Check]:
    """Hold modules that were recorded against the functions of theirs that ran."""
    found, n = _Found(), 0
    for model in record.models:
        texts = {}
        for entry in model.head.get('modules', ()):
            data = record.payload(entry['sha256'])
            if data is not None:
                texts[entry['path']] = data.decode('utf-8', 'replace')
        n += len(texts)
        for app in model.head['apps'] if texts else ():
            for name in changed_functions(app, texts):
                found.add(f'{name} is another one in its module than {app["name"]} ran')
    if n:
        yield found.check(
            'modules',
            f'{plural(n, "module")}: the functions of theirs that tasks used are those that ran',
            'modules that are not what ran',
        )


def _notes(app: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for line in app['source'].splitlines():
        found = re.fullmatch(r'# ((?:global|variable|module) [^:]+): (.*)', line)
        if found and not re.search(r'[{]', found[2]):
            yield found[1], found[2]


# Cells


def _cells(record: Record, node: Node | None) -> Iterator[Check]:
    original = _original(record)
    digests = record.document['notebook']['cells']
    found, unknown, same = _Found(), _Found(), 0
    if len(original) != len(digests):
        found.add(f'{len(digests):d} cells were recorded, {len(original):d} are there')
    for number, (cell, digest) in enumerate(zip(original, digests, strict=False), 1):
        if hashlib.sha256(source_of(cell).encode('utf-8', 'surrogatepass')).hexdigest() != digest:
            found.add(f'cell {number:d} was changed after it was recorded')
    for entry in record.document['cells']:
        number, model = entry['cell'], record.models[entry['queue']]
        title = entry['title'] or 'no title'
        if 'gone' in entry:
            found.add(f'cell {number + 1:d} ({title}): {entry["gone"]}')
        places = [place for part in parse_rows(entry['tasks']) for place in part]
        for how, name in compared(original[number], model, places, node):
            if how == 'same':
                same += 1
            elif how == 'changed':
                found.add(
                    f'cell {number + 1:d} ({title}) was changed after its tasks ran: its text is '
                    f'not the code that {name} ran'
                )
            elif how == 'other':
                found.add(
                    f'cell {number + 1:d} ({title}) shows tasks of another cell or notebook: '
                    f'nothing in it is the code of {name}'
                )
            else:
                unknown.add(
                    f'cell {number + 1:d} ({title}): the code that {name} ran cannot be compared '
                    'with it'
                )
    if same or found.n:
        yield found.check(
            'cells',
            f'{plural(same, "cell")}: the text is the code that its tasks ran',
            'cells that are not what ran',
        )
    elif not unknown.n:
        yield Check(
            'cells',
            NOTHING,
            'no cell of the notebook has tasks in the record'
            if digests
            else 'the record is one of queues alone, without a notebook',
        )
    if unknown.n:
        yield unknown.check('cells', '', 'cells', UNCHECKED)
    of_none = sum(model.head['total'] for model in record.models) - _claimed(record)
    if of_none and record.document['notebook']['cells']:
        yield Check(
            'cells',
            NOTE,
            f'{plural(of_none)} of the record belong to no cell of this notebook: they were needed '
            'by those that do, or added elsewhere',
        )


def _claimed(record: Record) -> int:
    claimed = {
        (entry['queue'], place)
        for entry in record.document['cells']
        for part in parse_rows(entry['tasks'])
        for place in part
    }
    return len(claimed)


def _shown(record: Record) -> Iterator[Check]:
    """Check tables and pictures: make them anew from the data, and compare."""
    from .._version import __version__

    if record.document['made'].get('desipipe') != __version__:
        yield Check(
            'tables',
            UNCHECKED,
            f'they were made by desipipe {record.document["made"].get("desipipe")}, this is '
            f'{__version__}',
        )
        return
    wanted = []
    for entry in record.document['cells']:
        places = [place for part in parse_rows(entry['tasks']) for place in part]
        wanted.append(
            tables.cell_section(
                record.models[entry['queue']],
                places,
                entry['title'] or f'cell {entry["cell"] + 1:d}',
                entry.get('notes', ()),
            )
        )
    wanted.append(tables.summary_section(record.document, record.models, described(record.models)))
    there = [
        cell
        for cell in record.notebook['cells']
        if ADDED in (cell.get('metadata', {}).get('tags') or ())
    ]
    found = _Found()
    if len(wanted) != len(there):
        found.add(f'{len(wanted):d} tables were recorded, {len(there):d} are there')
    for number, (text, cell) in enumerate(zip(wanted, there, strict=False), 1):
        if source_of(cell) != text:
            found.add(f'table {number:d} does not say what the data say')
    yield found.check(
        'tables', 'tables and pictures say what the data say', 'tables and pictures that differ'
    )


# Around it


def _environment(record: Record) -> Iterator[Check]:
    recorded: dict[str, set[str]] = {}
    for model in record.models:
        for versions in model.head['versions']:
            for name, value in versions.items():
                recorded.setdefault(name, set()).add(value)
    if not recorded:
        succeeded = any(model.head['counts'].get('SUCCEEDED') for model in record.models)
        yield Check(
            'environment',
            UNCHECKED if succeeded else NOTHING,
            'no versions were recorded' + ('' if succeeded else ': no task succeeded'),
        )
        return
    made = record.document['made']
    if DIFF in made and hashlib.sha256(made[DIFF].encode()).hexdigest() != made.get('git diff'):
        yield Check(
            'environment',
            DIFFERS,
            'the recorded changes of the repository are not those of which the digest was recorded',
        )
    elif (
        'git diff' in made
        and recorded.get('git commit') == {made.get('git commit')}
        and made['git diff'] not in recorded.get('git diff', ())
    ):
        yield Check(
            'environment',
            NOTE,
            'the repository had other changes when the tasks ran than those that were recorded',
        )
    several = [name for name, values in recorded.items() if len(values) > 1 and ' ' not in name]
    here = {**provenance.versions(name for name in recorded if ' ' not in name), **_python()}
    found = _Found()
    for name, values in sorted(recorded.items()):
        if name in here and here[name] not in values:
            found.add(f'{name} {", ".join(sorted(values))} then, {here[name]} here')
        elif name not in here and ' ' not in name and name not in ('python', 'platform'):
            found.add(f'{name} {", ".join(sorted(values))} then, not installed here')
    for name in several:
        found.add(
            f'{name}: tasks ran with different versions ({", ".join(sorted(recorded[name]))})'
        )
    yield found.check(
        'environment',
        f'{plural(len(recorded), "version")} as they were',
        'versions that differ here from those that tasks ran with',
        NOTE,
    )


def _python() -> dict[str, str]:
    known = provenance.machine()
    return {'python': known['python'], 'platform': known['platform']}


def _files(record: Record, tasks: Sequence[list[Dict]], root: str | None) -> Iterator[Check]:
    wanted: dict[str, tuple[str, str, int]] = {}
    for model, task in _each(record, tasks):
        for entry in task.get('files', ()):
            # Written later counts: what a file holds at the end is what its last writer wrote.
            if entry['do'] == 'write' or entry['path'] not in wanted:
                wanted[entry['path']] = (_label(model, task), entry['sha256'], entry['size'])
    if not wanted:
        yield Check(
            'files',
            NOTHING,
            'no task is recorded to have read or written files through the file manager',
        )
        return
    if root is None:
        yield Check(
            'files',
            UNCHECKED,
            f'{plural(len(wanted), "file")} that tasks read or wrote: say where they are with '
            '--root DIR',
            scope=BY_OPTION,
        )
        return
    found, missing, good = _Found(), _Found(), 0
    base = os.path.realpath(root)
    for path, (label, digest, size) in wanted.items():
        full = os.path.realpath(os.path.join(base, path))
        if path.startswith('…') or not (full == path or full.startswith(base.rstrip('/') + '/')):
            missing.add(f'{path}: outside of the root')
            continue
        try:
            with open(open_named(full), 'rb') as file:
                now_size = os.fstat(file.fileno()).st_size
                if now_size != size:
                    found.add(f'{path}: {now_size:,d} bytes, {size:,d} when {label} had it')
                    continue
                now = hashlib.file_digest(file, 'sha256').hexdigest()
        except UnsafeFileError as exc:
            missing.add(f'{path}: {exc}')
            continue
        except OSError as exc:
            missing.add(f'{path}: {exc.strerror}')
            continue
        if now != digest:
            found.add(f'{path} holds something else than when {label} had it')
        else:
            good += 1
    yield found.check(
        'files', f'{plural(good, "file")} as tasks read or wrote them', 'files that differ'
    )
    if missing.n:
        yield missing.check(
            'files', '', 'files that are not there, or not below the root', UNCHECKED
        )


def _queue(
    record: Record, tasks: Sequence[list[Dict]], find: Callable[[QueueModel], Queue | None] | None
) -> Iterator[Check]:
    for model, mine in zip(record.models, tasks, strict=True):
        queue = find(model) if find is not None else None
        if queue is None:
            words = (
                f'{model.head["name"]}: results, code and arguments as they lie in the queue: say '
                'which it is with --queue'
            )
            yield Check('queue', UNCHECKED, words, scope=BY_OPTION)
            continue
        found, more = _Found(), 0
        ledger = queue.ledger
        ledger.follow()
        state = ledger.state
        if state.header.get('id') != model.head['id']:
            found.add(f'{queue.folder} is another queue, or was cleared since')
        for task in mine:
            row = state.rows.get(bytes.fromhex(task['id']))
            label = _label(model, task)
            if row is None:
                found.add(f'{label} is no longer in the queue')
                continue
            if STATES[state.status[row]] != task['state']:
                if task['state'] in ('WAITING', 'PENDING', 'RUNNING'):
                    more += 1
                else:
                    found.add(
                        f'{label} is {STATES[state.status[row]]} in the queue, {task["state"]} in '
                        'the record'
                    )
                continue
            result = task.get('result')
            if state.status[row] == SUCCEEDED and result and 'sha256' in result:
                ref = state.result(row)
                try:
                    data = ledger.read(ref) if ref is not None else b''
                    if hashlib.sha256(data).hexdigest() != result['sha256']:
                        found.add(
                            f'{label}: its result in the queue is not the one that was recorded: '
                            'it was replaced'
                        )
                except PayloadError as exc:
                    found.add(f'{label}: its result is lost: {exc}')
        for app in model.head['apps']:
            event = state.apps.get(app['id'])
            try:
                if event is None or (
                    'code' in app
                    and hashlib.sha256(ledger.read(_ref(event['code']))).hexdigest()
                    != app['code']['sha256']
                ):
                    found.add(
                        f'{app["name"]}: its code in the queue is not the one that was recorded'
                    )
            except PayloadError as exc:
                found.add(f'{app["name"]}: its code is lost: {exc}')
        words = f'{queue.name} holds the same tasks, states, code and results'
        yield found.check(
            'queue',
            words,
            f'what differs in {queue.name}',
            empty='' if mine else 'the record holds no task',
        )
        if more:
            yield Check('queue', NOTE, f'{plural(more)} went on since the record was made')


def _ref(words: Sequence[Any]) -> Any:
    from ..queue.events import Ref

    return Ref(*words)


def _never() -> list[Check]:
    """Return what no record can show."""
    ran = (
        'that the tasks really ran, where and when the record says: it is what the workers wrote '
        'down, and no one has signed it'
    )
    read = (
        'what tasks read besides their arguments and the file manager: files opened by other '
        'means, the network, the clock, chance'
    )
    return [
        Check('run', UNCHECKED, ran, scope=NEVER),
        Check('inputs', UNCHECKED, read, scope=NEVER),
    ]
