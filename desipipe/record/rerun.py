"""Run some tasks again in a queue of their own, and compare their results."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from ..errors import DesipipeError, RecordError
from ..queue.events import STATES, SUCCEEDED
from ..queue.queue import Queue
from ..serialize import encode, loads
from ..utils import plural
from .checks import DIFFERS, OK, UNCHECKED, Check
from .files import Record
from .importer import fill
from .model import QueueModel
from .model_types import TaskEntry
from .pieces import word_of
from .privacy import KINDS, Privacy
from .reading.queue import read_queue
from .task_text import last_attempt


def rerun(
    record: Record,
    find: Callable[[QueueModel], Queue | None] | None,
    n: int,
    seed: int | None = None,
    rtol: float | None = None,
    atol: float = 0.0,
    trust: bool = False,
) -> list[Check]:
    """Compute tasks again that are chosen at random, and compare.

    They run in an empty folder, in the environments that were declared, with the Python and the
    packages of this process.

    Parameters
    ----------
    record : Record
    find : callable or None
        Gives the queue of a model, where code, arguments and results are; without one they must be
        in the record.
    n : int
        Their number.
    seed : int, default=None
        Chooses the same ones again.
    rtol, atol : float
        Tolerances for floating-point numbers; ``rtol=None``: they must be equal to the last bit.
    trust : bool, default=False
        True if code that the record brings along may run.

    Returns
    -------
    checks : list of Check

    Raises
    ------
    RecordError
        There is no code that may be run.
    """
    seed = random.randrange(1 << 32) if seed is None else seed
    chosen = _chosen(record, n, seed)
    if not chosen:
        return [Check('rerun', UNCHECKED, 'no task succeeded of which the result was recorded')]
    details: list[str] = []
    done = 0
    for number, places in chosen.items():
        model = record.models[number]
        queue = find(model) if find is not None else None
        if queue is None and not trust:
            raise RecordError(
                'To compute tasks again is to run their code, and no queue of yours was named that '
                'holds it. Nothing was run. '
                'Name it with --queue; or, if you trust whoever made the record, and it was made '
                'with --with-results: --trust'
            )
        source, again = (
            _from_queue(queue, model, places)
            if queue is not None
            else _from_record(record, model, places)
        )
        details += _computed(source, record, queue is None, again, rtol, atol)
        done += len(again)
    text = f'{plural(done)} computed again, chosen with --seed {seed:d}'
    if details:
        text = f'{text}: {len(details):d} of them give something else'
        return [Check('rerun', DIFFERS, text, details)]
    within = '' if rtol is None else f' within rtol={rtol:g}, atol={atol:g}'
    return [Check('rerun', OK, f'{text}: the same results{within}')]


def _chosen(record: Record, n: int, seed: int) -> dict[int, list[int]]:
    able = [
        (number, index)
        for number, model in enumerate(record.models)
        for index, task in enumerate(model.tasks())
        if task['state'] == 'SUCCEEDED'
        and 'superseded' not in task
        and 'sha256' in task.get('result', {})
        and 'worker' in last_attempt(task)
    ]
    chosen: dict[int, list[int]] = {}
    for number, index in sorted(random.Random(seed).sample(able, min(n, len(able)))):
        chosen.setdefault(number, []).append(index)
    return chosen


def _from_queue(
    queue: Queue, model: QueueModel, places: Sequence[int]
) -> tuple[QueueModel, set[int]]:
    queue.ledger.follow()
    state = queue.ledger.state
    rows = []
    for index in places:
        task = model.task(index)
        row = state.rows.get(bytes.fromhex(task['id']))
        if row is None or state.status[row] != SUCCEEDED:
            raise RecordError(
                f'Task {task["id"][:12]} of the record has no result in {queue.folder}. Nothing '
                'was run.'
            )
        rows.append(row)
    needed = {other for row in rows for other in state.requires.get(row, ())}
    # Everything as it is: what is read here goes nowhere.
    source = read_queue(
        queue, Privacy('/', KINDS), sorted(needed.union(rows)), payloads=True, closed=False
    )
    return source, {source.places[row] for row in rows}


def _from_record(
    record: Record, model: QueueModel, places: Sequence[int]
) -> tuple[QueueModel, set[int]]:
    rows = {task['row']: index for index, task in enumerate(model.tasks())}
    needed = {rows[other] for index in places for other in model.task(index).get('needs', ())}
    kept = sorted(needed.union(places))
    source = QueueModel(model.head, [model.lines[index] for index in kept])
    if 'payload' not in model.task(kept[0]):
        raise RecordError(
            f'{record.path} holds no code and no arguments. Nothing was run. Name its queue with '
            '--queue, or record it --with-results.'
        )
    return source, {kept.index(index) for index in places}


def _computed(
    source: QueueModel,
    record: Record,
    brought: bool,
    again: set[int],
    rtol: float | None,
    atol: float,
) -> list[str]:
    payload = record.payload if brought else source.payloads.get
    with tempfile.TemporaryDirectory(prefix='desipipe-rerun-') as folder:
        scratch = os.path.join(folder, 'scratch')
        os.mkdir(scratch)
        queue = Queue('rerun', base_dir=folder, create=True)
        fill(queue, source, payload, True, again, scratch)
        subprocess.run(
            [sys.executable, '-m', 'desipipe', 'spawn', '-q', queue.folder],
            cwd=scratch,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        queue.ledger.follow()
        differing = []
        for index in sorted(again):
            task = source.task(index)
            text = _compared(queue, task, payload(task['result']['sha256']), rtol, atol)
            if text:
                differing.append(
                    f'{source.head["groups"][task["group"]]["name"]}[{task["index"]}] '
                    f'{task["id"][:12]}: {text}'
                )
        queue.ledger.close()
    return differing


def _compared(
    queue: Queue, task: TaskEntry, then: bytes | None, rtol: float | None, atol: float
) -> str:
    """Describe how a result differs from the recomputed one; empty if it does not."""
    state = queue.ledger.state
    row = state.rows[bytes.fromhex(task['id'])]
    if state.status[row] != SUCCEEDED:
        why = queue.ledger.cause(row).get('text') or 'no reason is known'
        return f'it succeeded then, and is {STATES[state.status[row]]} here: {why}'
    now: Any = queue.ledger.load_result(row)
    word = task['result'].get('value')
    try:
        if word is not None and word_of(encode(now, 'result')) == word:
            return ''
        if then is None:
            return (
                'the result is another one'
                if word is not None
                else 'the result cannot be compared: its value was not recorded'
            )
        before: Any = loads(then)
        if encode(now, 'result') == encode(before, 'result'):
            return ''
    except DesipipeError as exc:
        return f'the result cannot be compared: {exc}'
    return _difference(before, now, Tolerances(rtol, atol))


class Tolerances(NamedTuple):
    """Tolerances for floating-point numbers; ``relative=None``: equal to the last bit."""

    relative: float | None
    absolute: float


def _difference(before: Any, now: Any, within: Tolerances, where: str = 'the result') -> str:
    """Describe the first difference of two values; empty if there is none."""
    import numpy as np

    if isinstance(before, dict) and isinstance(now, dict) and before.keys() == now.keys():
        members = ((before[key], now[key], f'{where}[{key!r}]') for key in before)
        return _first_difference(members, within)
    if isinstance(before, list | tuple) and type(before) is type(now) and len(before) == len(now):
        members = ((before[i], now[i], f'{where}[{i}]') for i in range(len(before)))
        return _first_difference(members, within)
    numbers = (int, float, complex, np.number, np.ndarray)
    if isinstance(before, numbers) and isinstance(now, numbers):
        return _number_difference(before, now, within, where)
    same = before is now or (type(before) is type(now) and encode(before) == encode(now))
    return '' if same else f'{where} is another one'


def _first_difference(members: Iterable[tuple[Any, Any, str]], within: Tolerances) -> str:
    texts = (_difference(before, now, within, where) for before, now, where in members)
    return next(filter(None, texts), '')


def _number_difference(before: Any, now: Any, within: Tolerances, where: str) -> str:
    import numpy as np

    a, b = np.asarray(before), np.asarray(now)
    if a.shape != b.shape or a.dtype.kind not in 'biufc' or b.dtype.kind not in 'biufc':
        return (
            f'{where} is another one (shape {b.shape}, {b.dtype} instead of {a.shape}, {a.dtype})'
        )
    if np.array_equal(a, b, equal_nan=True):
        return ''
    rtol, atol = within
    if rtol is not None and np.allclose(b, a, rtol=rtol, atol=atol, equal_nan=True):
        return ''
    with np.errstate(all='ignore'):
        off = np.nanmax(np.abs(b - a) / np.where(a == 0, 1, np.abs(a)))
    text = f'{where} differs, by {off:.2g} at most, relatively'
    return text if rtol is not None else f'{text} (tolerances: --rtol, --atol)'
