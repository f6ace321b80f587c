"""Checks of the tasks of a record: lines, identities, order, states."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from ..queue.events import STATES
from ..serialize import task_identity
from ..utils import format_count, plural
from . import tables
from .checks import NAMED, NOTE, NOTHING, UNCHECKED, Check, Differences, each_task, task_label
from .files import (
    Record,
)
from .model import QueueModel
from .pieces import piece_of, sealed

Dict = dict[str, Any]

_REFERENCE = re.compile(r'@([0-9a-f]{32})')


def check_lines(record: Record) -> tuple[Check, list[list[Dict]]]:
    """Check the lines of tasks; return these, too."""
    found = Differences()
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
                found.add(f'{task_label(model, task)}: its line was changed')
            if task['id'] in seen:
                found.add(f'{task_label(model, task)} is there twice')
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


def check_identities(record: Record, tasks: Sequence[list[Dict]]) -> Iterator[Check]:
    """Check that identities follow from apps and arguments."""
    found, reasons, n = Differences(), Counter[str](), 0
    for model, task in each_task(record, tasks):
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
            found.add(
                f'{task_label(model, task)}: its code and its arguments do not give its identity'
            )
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


def check_closure(record: Record, tasks: Sequence[list[Dict]]) -> Iterator[Check]:
    """Check that what tasks need is there, and ended before they began."""
    found, edges = Differences(), 0
    for model, mine in zip(record.models, tasks, strict=True):
        rows = {task['row']: task for task in mine}
        ids = {task['id'] for task in mine}
        for task in mine:
            needs = task.get('needs', [])
            edges += len(needs)
            label = task_label(model, task)
            for row in needs:
                other = rows.get(row)
                if other is None:
                    found.add(f'{label} needs the task of row {row}, which is not in the record')
                elif row >= task['row']:
                    found.add(f'{label} needs {task_label(model, other)}, which came after it')
                elif (
                    task['state'] == 'SUCCEEDED'
                    and other['state'] != 'SUCCEEDED'
                    and not _is_by_hand(task)
                ):
                    found.add(
                        f'{label} succeeded, but {task_label(model, other)}, which it needs, is '
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


def _order(model: QueueModel, task: Dict, other: Dict, found: Differences) -> None:
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
            f'{task_label(model, task)} began before {task_label(model, other)}, which it needs, '
            'had ended'
        )


def _is_by_hand(task: Dict) -> bool:
    return 'hand' in tables.last_attempt(task)


def check_states(record: Record, tasks: Sequence[list[Dict]]) -> Iterator[Check]:
    """Check that states follow from attempts."""
    found = Differences()
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
                found.add(
                    f'{task_label(model, task)} is said to have succeeded, but no attempt did'
                )
            if task['state'] == 'SUCCEEDED' and 'result' not in task and 'hand' not in last:
                found.add(f'{task_label(model, task)} succeeded, and its result is not recorded')
            if task.get('result', {}).get('lost'):
                found.add(f'{task_label(model, task)}: its result was lost before it was recorded')
            if any(
                'worker' in attempt and attempt['worker'] >= len(model.head['workers'])
                for attempt in task.get('attempts', ())
            ):
                found.add(f'{task_label(model, task)} ran on a worker that is not in the record')
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


def check_by_hand(record: Record, tasks: Sequence[list[Dict]]) -> Iterator[Check]:
    """Note tasks whose state a person set."""
    found = Differences()
    for model, task in each_task(record, tasks):
        last = tables.last_attempt(task)
        if 'hand' not in last or task['state'] not in ('SUCCEEDED', 'FAILED', 'KILLED', 'UNKNOWN'):
            continue
        if last['hand'] == 'accepted' and 'of' in last:
            found.add(
                f'{task_label(model, task)}: the result of task {last["of"][:12]}, of other code, '
                'was accepted for it'
            )
        elif last['hand'] != 'cancel':
            found.add(
                f'{task_label(model, task)}: its state was set by a person to {task["state"]}, no '
                'attempt gave it'
            )
    if found.n:
        yield found.check(
            'by hand', '', 'results that were not computed, but set or accepted by a person', NOTE
        )
