"""Checks of a record against this machine: packages, files, queue."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from ..errors import PayloadError, UnsafeFileError
from ..machine import machine
from ..provenance import software
from ..queue.events import STATES, SUCCEEDED, Ref
from ..queue.ledger import Ledger
from ..queue.queue import Queue
from ..store.files import open_named
from ..utils import plural
from .checks import (
    BY_OPTION,
    DIFFERS,
    NEVER,
    NOTE,
    NOTHING,
    UNCHECKED,
    Check,
    Differences,
    each_task,
    task_label,
)
from .files import Record
from .model import QueueModel
from .model_types import AppEntry, Json, TaskEntry
from .notebook import DIFF

VersionSets = dict[str, set[str]]
"""Versions by the names of packages, and other facts of where tasks ran."""


def check_environment(record: Record) -> Iterator[Check]:
    """Compare packages and Python with those of this process."""
    recorded: VersionSets = {}
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
    yield from _repository(record.document['made'], recorded)
    yield _differing_versions(recorded).check(
        'environment',
        f'{plural(len(recorded), "version")} as they were',
        'versions that differ here from those that tasks ran with',
        NOTE,
    )


def _repository(made: Json, recorded: VersionSets) -> Iterator[Check]:
    """Compare the recorded changes of the repository with those noted elsewhere."""
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


def _differing_versions(recorded: VersionSets) -> Differences:
    several = [name for name, values in recorded.items() if len(values) > 1 and ' ' not in name]
    here = {**software.versions(name for name in recorded if ' ' not in name), **_python()}
    differing = Differences()
    for name, values in sorted(recorded.items()):
        if name in here and here[name] not in values:
            differing.add(f'{name} {", ".join(sorted(values))} then, {here[name]} here')
        elif name not in here and ' ' not in name and name not in ('python', 'platform'):
            differing.add(f'{name} {", ".join(sorted(values))} then, not installed here')
    for name in several:
        differing.add(
            f'{name}: tasks ran with different versions ({", ".join(sorted(recorded[name]))})'
        )
    return differing


def _python() -> dict[str, str]:
    facts = machine()
    return {'python': facts['python'], 'platform': facts['platform']}


class _Noted(NamedTuple):
    """A file as a task noted it."""

    label: str
    """The task."""
    sha256: str
    size: int


def check_files(
    record: Record, tasks: Sequence[list[TaskEntry]], root: str | None
) -> Iterator[Check]:
    """Compare files with what tasks noted of them."""
    wanted: dict[str, _Noted] = {}
    for model, task in each_task(record, tasks):
        if 'superseded' in task:
            continue  # the files may be those of the code that took its place
        for entry in task.get('files', ()):
            # Written later counts: what a file holds at the end is what its last writer wrote.
            if entry['do'] == 'write' or entry['path'] not in wanted:
                label = task_label(model, task)
                wanted[entry['path']] = _Noted(label, entry['sha256'], entry['size'])
    if not wanted:
        text = 'no task is recorded to have read or written files through the file manager'
        yield Check('files', NOTHING, text)
        return
    if root is None:
        text = (
            f'{plural(len(wanted), "file")} that tasks read or wrote: say where they are with '
            '--root DIR'
        )
        yield Check('files', UNCHECKED, text, scope=BY_OPTION)
        return
    differing, missing = Differences(), Differences()
    base = os.path.realpath(root)
    good = sum(_is_same(base, path, noted, differing, missing) for path, noted in wanted.items())
    yield differing.check(
        'files', f'{plural(good, "file")} as tasks read or wrote them', 'files that differ'
    )
    if missing.n:
        yield missing.check(
            'files', '', 'files that are not there, or not below the root', UNCHECKED
        )


def _is_same(
    base: str, path: str, noted: _Noted, differing: Differences, missing: Differences
) -> bool:
    """Return True if a file below a folder is as it was noted; else add why not."""
    full = os.path.realpath(os.path.join(base, path))
    if path.startswith('…') or not (full == path or full.startswith(base.rstrip('/') + '/')):
        missing.add(f'{path}: outside of the root')
        return False
    try:
        with open(open_named(full), 'rb') as file:
            size = os.fstat(file.fileno()).st_size
            if size != noted.size:
                differing.add(f'{path}: {size:,d} bytes, {noted.size:,d} when {noted.label} had it')
                return False
            digest = hashlib.file_digest(file, 'sha256').hexdigest()
    except UnsafeFileError as exc:
        missing.add(f'{path}: {exc}')
        return False
    except OSError as exc:
        missing.add(f'{path}: {exc.strerror}')
        return False
    if digest != noted.sha256:
        differing.add(f'{path} holds something else than when {noted.label} had it')
        return False
    return True


def check_queue(
    record: Record,
    tasks: Sequence[list[TaskEntry]],
    find: Callable[[QueueModel], Queue | None] | None,
) -> Iterator[Check]:
    """Compare the tasks with those of their queue."""
    for model, lines in zip(record.models, tasks, strict=True):
        queue = find(model) if find is not None else None
        if queue is None:
            text = (
                f'{model.head["name"]}: results, code and arguments as they lie in the queue: say '
                'which it is with --queue'
            )
            yield Check('queue', UNCHECKED, text, scope=BY_OPTION)
        else:
            yield from _compare_queue(queue, model, lines)


def _compare_queue(queue: Queue, model: QueueModel, lines: Sequence[TaskEntry]) -> Iterator[Check]:
    differing, more = Differences(), 0
    ledger = queue.ledger
    ledger.follow()
    if ledger.state.header.get('id') != model.head['id']:
        differing.add(f'{queue.folder} is another queue, or was cleared since')
    for task in lines:
        more += _went_on(ledger, task, task_label(model, task), differing)
    for app in model.head['apps']:
        _compare_code(ledger, app, differing)
    yield differing.check(
        'queue',
        f'{queue.name} holds the same tasks, states, code and results',
        f'what differs in {queue.name}',
        empty='' if lines else 'the record holds no task',
    )
    if more:
        yield Check('queue', NOTE, f'{plural(more)} went on since the record was made')


def _went_on(ledger: Ledger, task: TaskEntry, label: str, differing: Differences) -> bool:
    """Compare a task; return True if it only went on since the record was made."""
    state = ledger.state
    row = state.rows.get(bytes.fromhex(task['id']))
    if row is None:
        differing.add(f'{label} is no longer in the queue')
        return False
    now = STATES[state.status[row]]
    if now != task['state']:
        if task['state'] in ('WAITING', 'PENDING', 'RUNNING'):
            return True
        differing.add(f'{label} is {now} in the queue, {task["state"]} in the record')
        return False
    result = task.get('result')
    if state.status[row] == SUCCEEDED and result and 'sha256' in result:
        ref = state.result(row)
        try:
            data = ledger.read(ref) if ref is not None else b''
            if hashlib.sha256(data).hexdigest() != result['sha256']:
                differing.add(
                    f'{label}: its result in the queue is not the one that was recorded: it was '
                    'replaced'
                )
        except PayloadError as exc:
            differing.add(f'{label}: its result is lost: {exc}')
    return False


def _compare_code(ledger: Ledger, app: AppEntry, differing: Differences) -> None:
    event = ledger.state.apps.get(app['id'])
    try:
        if event is None or (
            'code' in app
            and hashlib.sha256(ledger.read(Ref(*event['code']))).hexdigest()
            != app['code']['sha256']
        ):
            differing.add(f'{app["name"]}: its code in the queue is not the one that was recorded')
    except PayloadError as exc:
        differing.add(f'{app["name"]}: its code is lost: {exc}')


def never_checked() -> list[Check]:
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
