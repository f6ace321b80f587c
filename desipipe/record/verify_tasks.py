"""Checks of the tasks of a record: lines, identities, order, states."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import orjson

from ..queue.events import STATES
from ..serialize import task_identity
from ..utils import format_count, plural
from .checks import NAMED, NOTE, NOTHING, UNCHECKED, Check, Differences, each_task, task_label
from .files import Record
from .model import QueueModel
from .model_types import TaskEntry
from .pieces import piece_of, sealed
from .task_text import counts_text, last_attempt

_REFERENCE = re.compile(r'@([0-9a-f]{32})')


def check_lines(record: Record) -> tuple[Check, list[list[TaskEntry]]]:
    """Check the lines of tasks; return these, too."""
    faults = Differences()
    tasks: list[list[TaskEntry]] = []
    for model in record.models:
        read: list[TaskEntry] = []
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
                faults.add(f'task {number:d} of {model.head["name"]} cannot be read')
                continue
            if not sealed(line):
                faults.add(f'{task_label(model, task)}: its line was changed')
            if task['id'] in seen:
                faults.add(f'{task_label(model, task)} is there twice')
            seen.add(task['id'])
            read.append(task)
        if len(model.lines) != model.head['total']:
            faults.add(
                f'{model.head["name"]}: {plural(model.head["total"])} were written, '
                f'{len(model.lines):d} are there: the record was truncated'
            )
        tasks.append(read)
    n = sum(map(len, tasks))
    text = f'{plural(n)}, whole, none missing'
    return faults.check(
        'tasks',
        text,
        'tasks that are changed, missing, or there twice',
        empty='' if n else 'the record holds no task',
    ), tasks


def check_identities(record: Record, tasks: Sequence[list[TaskEntry]]) -> Iterator[Check]:
    """Check that identities follow from apps and arguments."""
    faults, reasons, n = Differences(), Counter[str](), 0
    for model, task in each_task(record, tasks):
        app = bytes.fromhex(model.head['apps'][model.head['groups'][task['group']]['app']]['id'])
        args = task['args']
        if 'unchecked' in task or None in args.values():
            reasons[str(task.get('unchecked', 'an argument was left out'))] += 1
            continue
        n += 1
        pieces = [(name, piece_of(word)) for name, word in args.items() if word is not None]
        if task_identity(app, pieces).hex() != task['id']:
            faults.add(
                f'{task_label(model, task)}: its code and its arguments do not give its identity'
            )
    if n or faults.n:
        yield faults.check(
            'identities',
            f'{format_count(n)} computed anew from code and arguments',
            'identities that differ',
        )
    elif not reasons:
        yield Check('identities', NOTHING, 'the record holds no task')
    for reason, many in reasons.most_common(NAMED):
        yield Check('identities', UNCHECKED, f'{plural(many)}: {reason}')


def check_closure(record: Record, tasks: Sequence[list[TaskEntry]]) -> Iterator[Check]:
    """Check that what tasks need is there, and ended before they began."""
    faults, edges = Differences(), 0
    for model, lines in zip(record.models, tasks, strict=True):
        rows = {task['row']: task for task in lines}
        ids = {task['id'] for task in lines}
        for task in lines:
            needs = task.get('needs', [])
            edges += len(needs)
            label = task_label(model, task)
            for row in needs:
                _check_need(model, task, row, rows, faults)
            needed = {rows[row]['id'] for row in needs if row in rows}
            for tid in _references(task):
                if tid in ids and tid not in needed:
                    faults.add(
                        f'{label} has the result of {tid[:12]} as an argument, but is not said to '
                        'need it'
                    )
            if 'blocked' in task and (
                task['blocked'] not in rows or rows[task['blocked']]['state'] == 'SUCCEEDED'
            ):
                faults.add(f'{label} is said to be blocked by what is not there, or succeeded')
    text = (
        f'closed: {format_count(edges)} requirements, all in the record, none after what needs it'
    )
    yield faults.check(
        'graph',
        text,
        'requirements that do not fit',
        empty='' if edges else 'no task needs another',
    )


def _check_need(
    model: QueueModel, task: TaskEntry, row: int, rows: Mapping[int, TaskEntry], faults: Differences
) -> None:
    """Check that a task may need that of a row."""
    other = rows.get(row)
    if other is None:
        fault = f'needs the task of row {row}, which is not in the record'
    elif row >= task['row']:
        fault = f'needs {task_label(model, other)}, which came after it'
    elif task['state'] == 'SUCCEEDED' and other['state'] != 'SUCCEEDED' and not _is_by_hand(task):
        fault = f'succeeded, but {task_label(model, other)}, which it needs, is {other["state"]}'
    else:
        _order(model, task, other, faults)
        return
    faults.add(f'{task_label(model, task)} {fault}')


def _references(task: TaskEntry) -> Iterator[str]:
    """Yield the identities of tasks whose results are arguments, as far as these tell."""
    for word in task['args'].values():
        if word and word.startswith('=') and '@' in word and "'" not in word:
            yield from _REFERENCE.findall(word)


def _order(model: QueueModel, task: TaskEntry, other: TaskEntry, faults: Differences) -> None:
    # Clocks of two hosts are no order: only what ran on one is compared.
    own, needed = last_attempt(task), last_attempt(other)
    if (
        task['state'] != 'SUCCEEDED'
        or other['state'] != 'SUCCEEDED'
        or 'worker' not in own
        or 'worker' not in needed
        or len(other.get('attempts', ())) > 1
    ):
        return
    hosts = [model.head['workers'][attempt['worker']].get('host') for attempt in (own, needed)]
    if (
        hosts[0]
        and hosts[0] == hosts[1]
        and own['began'] < needed['began'] + needed['seconds'] - 1.0
    ):
        faults.add(
            f'{task_label(model, task)} began before {task_label(model, other)}, which it needs, '
            'had ended'
        )


def _is_by_hand(task: TaskEntry) -> bool:
    return 'hand' in last_attempt(task)


def check_states(record: Record, tasks: Sequence[list[TaskEntry]]) -> Iterator[Check]:
    """Check that states follow from attempts."""
    bad = Differences()
    total: Counter[str] = Counter()
    for model, lines in zip(record.models, tasks, strict=True):
        current = [task for task in lines if 'superseded' not in task]
        counts = Counter(task['state'] for task in current)
        total.update(counts)
        _check_numbers(model, current, counts, bad)
        if model.n_superseded != len(lines) - len(current):
            bad.add(f'{model.head["name"]}: the number of superseded tasks')
        for task in lines:
            for fault in _outcome_faults(model, task):
                bad.add(f'{task_label(model, task)}{fault}')
    sums = record.document['totals']
    if sums['tasks'] != sum(total.values()) or {
        state: n for state, n in sums['counts'].items() if n
    } != dict(total):
        bad.add('the totals are not those of the tasks')
    text = counts_text({**dict.fromkeys(STATES, 0), **total})
    yield bad.check(
        'states',
        text,
        'numbers and states that do not fit',
        empty='' if total else 'the record holds no task',
    )


def _check_numbers(
    model: QueueModel, lines: Sequence[TaskEntry], counts: Counter[str], bad: Differences
) -> None:
    """Check the numbers of a queue against its tasks that are not superseded."""
    head = model.head
    if {state: n for state, n in head['counts'].items() if n} != dict(counts):
        bad.add(f'{head["name"]}: the counts by state are not those of its tasks')
    if head['blocked'] != sum('blocked' in task for task in lines):
        bad.add(f'{head["name"]}: the number of blocked tasks')
    seconds = sum(
        attempt.get('seconds', 0.0) for task in lines for attempt in task.get('attempts', ())
    )
    if abs(head['busy'] - seconds) > 1e-3 + 1e-9 * len(lines):
        bad.add(f'{head["name"]}: the time that its tasks took')


def _outcome_faults(model: QueueModel, task: TaskEntry) -> Iterator[str]:
    """Yield what of a task's state does not fit its attempts and its result."""
    last = last_attempt(task)
    if task['state'] == 'SUCCEEDED' and last.get('state') != 'SUCCEEDED':
        yield ' is said to have succeeded, but no attempt did'
    if task['state'] == 'SUCCEEDED' and 'result' not in task and 'hand' not in last:
        yield ' succeeded, and its result is not recorded'
    if task.get('result', {}).get('lost'):
        yield ': its result was lost before it was recorded'
    if any(
        'worker' in attempt and attempt['worker'] >= len(model.head['workers'])
        for attempt in task.get('attempts', ())
    ):
        yield ' ran on a worker that is not in the record'


def check_by_hand(record: Record, tasks: Sequence[list[TaskEntry]]) -> Iterator[Check]:
    """Note tasks whose state a person set."""
    faults = Differences()
    for model, task in each_task(record, tasks):
        last = last_attempt(task)
        if 'hand' not in last or task['state'] not in ('SUCCEEDED', 'FAILED', 'KILLED', 'UNKNOWN'):
            continue
        if last['hand'] == 'accepted' and 'of' in last:
            faults.add(
                f'{task_label(model, task)}: the result of task {last["of"][:12]}, of other code, '
                'was accepted for it'
            )
        elif last['hand'] != 'cancel':
            faults.add(
                f'{task_label(model, task)}: its state was set by a person to {task["state"]}, no '
                'attempt gave it'
            )
    if faults.n:
        yield faults.check(
            'by hand', '', 'results that were not computed, but set or accepted by a person', NOTE
        )
