"""Checks of a record against this machine: packages, files, queue."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from .. import provenance
from ..errors import PayloadError, UnsafeFileError
from ..queue.events import STATES, SUCCEEDED
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
    Dict,
    Differences,
    each_task,
    task_label,
)
from .files import (
    Record,
)
from .model import QueueModel
from .notebook import DIFF

# Around it


def check_environment(record: Record) -> Iterator[Check]:
    """Compare packages and Python with those of this process."""
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
    yield differing.check(
        'environment',
        f'{plural(len(recorded), "version")} as they were',
        'versions that differ here from those that tasks ran with',
        NOTE,
    )


def _python() -> dict[str, str]:
    facts = provenance.machine()
    return {'python': facts['python'], 'platform': facts['platform']}


def check_files(record: Record, tasks: Sequence[list[Dict]], root: str | None) -> Iterator[Check]:
    """Compare files with what tasks noted of them."""
    wanted: dict[str, tuple[str, str, int]] = {}
    for model, task in each_task(record, tasks):
        for entry in task.get('files', ()):
            # Written later counts: what a file holds at the end is what its last writer wrote.
            if entry['do'] == 'write' or entry['path'] not in wanted:
                wanted[entry['path']] = (task_label(model, task), entry['sha256'], entry['size'])
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
    differing, missing, good = Differences(), Differences(), 0
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
                    differing.add(f'{path}: {now_size:,d} bytes, {size:,d} when {label} had it')
                    continue
                now = hashlib.file_digest(file, 'sha256').hexdigest()
        except UnsafeFileError as exc:
            missing.add(f'{path}: {exc}')
            continue
        except OSError as exc:
            missing.add(f'{path}: {exc.strerror}')
            continue
        if now != digest:
            differing.add(f'{path} holds something else than when {label} had it')
        else:
            good += 1
    yield differing.check(
        'files', f'{plural(good, "file")} as tasks read or wrote them', 'files that differ'
    )
    if missing.n:
        yield missing.check(
            'files', '', 'files that are not there, or not below the root', UNCHECKED
        )


def check_queue(
    record: Record, tasks: Sequence[list[Dict]], find: Callable[[QueueModel], Queue | None] | None
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
            continue
        differing, more = Differences(), 0
        ledger = queue.ledger
        ledger.follow()
        state = ledger.state
        if state.header.get('id') != model.head['id']:
            differing.add(f'{queue.folder} is another queue, or was cleared since')
        for task in lines:
            row = state.rows.get(bytes.fromhex(task['id']))
            label = task_label(model, task)
            if row is None:
                differing.add(f'{label} is no longer in the queue')
                continue
            if STATES[state.status[row]] != task['state']:
                if task['state'] in ('WAITING', 'PENDING', 'RUNNING'):
                    more += 1
                else:
                    differing.add(
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
                        differing.add(
                            f'{label}: its result in the queue is not the one that was recorded: '
                            'it was replaced'
                        )
                except PayloadError as exc:
                    differing.add(f'{label}: its result is lost: {exc}')
        for app in model.head['apps']:
            event = state.apps.get(app['id'])
            try:
                if event is None or (
                    'code' in app
                    and hashlib.sha256(ledger.read(_ref(event['code']))).hexdigest()
                    != app['code']['sha256']
                ):
                    differing.add(
                        f'{app["name"]}: its code in the queue is not the one that was recorded'
                    )
            except PayloadError as exc:
                differing.add(f'{app["name"]}: its code is lost: {exc}')
        text = f'{queue.name} holds the same tasks, states, code and results'
        yield differing.check(
            'queue',
            text,
            f'what differs in {queue.name}',
            empty='' if lines else 'the record holds no task',
        )
        if more:
            yield Check('queue', NOTE, f'{plural(more)} went on since the record was made')


def _ref(members: Sequence[Any]) -> Any:
    from ..queue.events import Ref

    return Ref(*members)


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
