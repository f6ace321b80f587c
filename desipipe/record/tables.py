"""Write the tables of a record: Markdown, with what is long folded."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from ..utils import format_bytes, format_count, plural
from ..view.appearance import APPEARANCES
from ..view.text import span
from .markdown import code, fenced, folded, moment, plain, shown_state, state_words, table
from .model import QueueModel

Dict = dict[str, Any]

ROWS = 20
"""Tasks that a table shows."""
BAD = 20
"""Tasks that did not succeed that it shows besides."""
DIFF = 20_000
"""Characters that it shows of what differs from a commit."""
FILES = 50
"""Files that it lists."""


def _counted(state: str, n: int) -> str:
    return f'{APPEARANCES[state].symbol} {format_count(n)} {state.lower()}'


def last_attempt(task: Dict) -> Dict:
    """The attempt that counts; empty if there is none."""
    return next(
        (attempt for attempt in reversed(task.get('attempts', ())) if 'past' not in attempt), {}
    )


def arguments(task: Dict) -> dict[str, str]:
    """A task's arguments as people read them."""
    texts = task.get('text', {})
    return {
        name: texts.get(name) or (word[1:] if word and word.startswith('=') else word or '…')
        for name, word in task['args'].items()
    }


def result_words(task: Dict) -> str:
    """A task's result as people read it."""
    result = task.get('result')
    if not result:
        return ''
    word = result.get('value') or ''
    return (
        result.get('text')
        or (word[1:] if word.startswith('=') else '')
        or f'{format_bytes(result["size"])}'
    )


def counts_words(counts: dict[str, int], blocked: int = 0) -> str:
    """``'✓ 12 succeeded, ✕ 1 failed'``."""
    shown = {**counts, 'BLOCKED': blocked}
    shown['WAITING'] -= blocked
    return ', '.join(_counted(state, n) for state, n in shown.items() if n) or 'no tasks'


def cell_section(
    model: QueueModel, places: Sequence[int], title: str, notes: Sequence[str] = ()
) -> str:
    """Write the section below a cell whose tasks are recorded.

    Parameters
    ----------
    model : QueueModel
    places : sequence of int
        Its tasks' places in the model.
    title : str
    notes : sequence of str, default=()
        What else there is to say, such as that the cell was changed.

    Returns
    -------
    text : str
        Markdown.
    """
    counts: Counter[str] = Counter()
    shown: list[Dict] = []
    bad: list[Dict] = []
    began, ended, busy = float('inf'), 0.0, 0.0
    workers: set[int] = set()
    apps: dict[int, None] = {}
    for index in places:
        task = model.task(index)
        state = shown_state(task)
        counts[state] += 1
        apps.setdefault(model.head['groups'][task['group']]['app'])
        for attempt in task.get('attempts', ()):
            if 'worker' in attempt:
                began, ended = (
                    min(began, attempt['began']),
                    max(ended, attempt['began'] + attempt['seconds']),
                )
                busy += attempt['seconds']
                workers.add(attempt['worker'])
        if len(shown) < ROWS:
            shown.append(task)
        elif state != 'SUCCEEDED' and len(bad) < BAD:
            bad.append(task)
    states = ', '.join(_counted(state, n) for state, n in counts.items())
    line = f'**{plain(title)}** · {plural(len(places))}: {states}'
    if workers:
        line += (
            f' · {span(busy)} of task time within {span(max(0.0, ended - began))}, on '
            f'{plural(len(workers), "worker")} · {moment(began)}'
        )
    listed = [*shown, *bad]
    names = (
        [
            name
            for name in arguments(listed[0])
            if len(listed) == 1 or len({arguments(task).get(name) for task in listed}) > 1
        ]
        if listed
        else []
    )
    rows = [_row(model, task, names[:4]) for task in listed]
    text = [line, *(f'⚠ {plain(note, 400)}' for note in notes)]
    if rows:
        text.append(
            table(
                [
                    'task',
                    'state',
                    *map(plain, names[:4]),
                    'time',
                    'host',
                    'result or error',
                    'identity',
                ],
                rows,
                right=(2 + len(names[:4]),),
            )
        )
    if len(listed) < len(places):
        text.append(
            f'{format_count(len(places) - len(listed))} more tasks of this cell are in the '
            'metadata of this notebook.'
        )
    text.append(
        folded(
            'Provenance',
            *[_app_section(model, app) for app in apps],
            *_attempts_section(model, listed),
            *_files_section(listed),
        )
    )
    return '\n\n'.join(text)


def _row(model: QueueModel, task: Dict, names: Sequence[str]) -> list[str]:
    last = last_attempt(task)
    texts = arguments(task)
    worker = model.head['workers'][last['worker']] if 'worker' in last else {}
    seconds = span(last['seconds']) if 'seconds' in last else 'by hand' if 'hand' in last else ''
    why = (
        result_words(task)
        if task['state'] == 'SUCCEEDED'
        else last.get('cause', {}).get('text', '')
    )
    return [
        plain(f'{model.head["groups"][task["group"]]["name"]}[{task["index"]}]'),
        state_words(shown_state(task)),
        *[code(texts.get(name, ''), 40) for name in names],
        seconds,
        plain(worker.get('host', ''), 30),
        code(why, 60),
        code(task['id'][:12]),
    ]


def _app_section(model: QueueModel, number: int) -> str:
    app = model.head['apps'][number]
    texts = [
        f'**{plain(app["name"])}**, code {code(app["id"][:16])}',
        fenced(app['source'] or '(its text is lost)', 'python'),
    ]
    if app['parts']:
        texts.append(
            'Made of: '
            + ', '.join(
                f'{plain(name)} {code(digest[:8])}'
                for name, digest in list(app['parts'].items())[:30]
            )
        )
    for at in app['versions'][:3]:
        packages = model.head['versions'][at]
        texts.append(
            'With: '
            + ', '.join(f'{plain(name)} {plain(value, 60)}' for name, value in packages.items())
        )
    return '\n\n'.join(texts)


def _attempts_section(model: QueueModel, tasks: Sequence[Dict]) -> list[str]:
    rows = []
    measured = any('memory' in attempt for task in tasks for attempt in task.get('attempts', ()))
    for task in tasks:
        name = plain(f'{model.head["groups"][task["group"]]["name"]}[{task["index"]}]')
        for attempt in task.get('attempts', ()):
            worker = model.head['workers'][attempt['worker']] if 'worker' in attempt else {}
            digests = [
                f'{key} {code(attempt[key].get("sha256", "lost")[:12])}'
                for key in ('out', 'err')
                if key in attempt
            ]
            if task.get('result') and 'past' not in attempt:
                digests.insert(0, f'result {code(task["result"].get("sha256", "lost")[:12])}')
            rows.append(
                [
                    name,
                    str(attempt['n'] or attempt.get('hand', '')),
                    state_words(attempt['state']),
                    moment(attempt.get('began') or attempt.get('t')),
                    span(attempt['seconds']) if 'seconds' in attempt else '',
                    *(
                        [format_bytes(attempt['memory']) if 'memory' in attempt else '']
                        if measured
                        else []
                    ),
                    plain(f'{worker.get("host", "")} {worker.get("job", "")}'),
                    plain(attempt.get('cause', {}).get('text', ''), 80),
                    ', '.join(digests),
                ]
            )
    if not rows:
        return []
    memory = ['memory'] if measured else []
    return [
        table(
            ['task', 'attempt', 'state', 'began', 'time', *memory, 'host, job', 'cause', 'digests'],
            rows,
            right=(4, 5) if measured else (4,),
        )
    ]


def summary_section(
    document: Dict, models: Sequence[QueueModel], pictures: Sequence[tuple[str, str]]
) -> str:
    """Write the last section of a record: totals, pictures, versions, omissions.

    Parameters
    ----------
    document : dict
        The record's head.
    models : sequence of QueueModel
    pictures : sequence of (str, str)
        Words, and SVG.

    Returns
    -------
    text : str
        Markdown.
    """
    totals = document['totals']
    rows = [
        [
            plain(model.head['name']),
            format_count(model.head['total']),
            counts_words(model.head['counts'], model.head['blocked']),
            span(model.head['busy']),
            str(len(model.head['workers'])),
            moment(model.head['as_of']),
        ]
        for model in models
    ]
    text = [
        '## Record',
        f'{plural(totals["tasks"])} of {plural(len(models), "queue")}: '
        f'{counts_words(totals["counts"], sum(model.head["blocked"] for model in models))}; '
        f'{span(totals["busy"])} of task time by {plural(totals["workers"], "worker")} on '
        f'{plain(", ".join(totals["hosts"][:10])) or "no host"}.',
        table(['queue', 'tasks', 'states', 'task time', 'workers', 'as of'], rows, right=(1, 3, 4)),
    ]
    for label, picture in pictures:
        # Not an attachment: JupyterLab shows none that is SVG. Nor an output: of one that it does
        # not trust it shows the text.
        text.append(
            f'![{label}](data:image/svg+xml;base64,{base64.b64encode(picture.encode()).decode()})'
        )
    text.append(_apps_table(models))
    text += _run_with(models)
    asked = [
        [
            plain(manager['id'][:12]),
            code(manager['environ'].get('name', ''), 40),
            code(manager['scheduler'], 60),
            code(manager['provider'], 100),
        ]
        for model in models
        for manager in model.head['managers']
    ]
    changes = document['made'].get('git changes')
    made = [
        [plain(name), code(value, 100)]
        for name, value in document['made'].items()
        if name != 'git changes'
    ]
    text.append(
        folded(
            'Resources asked for, and what this record was made with',
            table(['task manager', 'environment', 'scheduler', 'provider'], asked),
            table(['made with', ''], made),
        )
    )
    if changes:
        cut = (
            f'{format_bytes(len(changes))} in all; the rest is in the metadata of this notebook.'
            if len(changes) > DIFF
            else ''
        )
        text.append(
            folded(
                'Differences from the commit of the repository',
                fenced(changes[:DIFF], 'diff'),
                *([cut] if cut else []),
            )
        )
    left = document['left_out']
    text.append(
        folded('Omitted', '\n'.join(f'- {plain(label, 400)}' for label in left))
        if left
        else 'Nothing was omitted.'
    )
    text.append(
        'Check it: `desipipe verify`, and the name of this file. What that proves, and what it '
        'does not: page *Records* of the documentation of desipipe.'
    )
    return '\n\n'.join(text)


def _run_with(models: Sequence[QueueModel]) -> list[str]:
    """With what workers ran: Python, packages, the state of the repository."""
    parts = []
    for model in models:
        for number, versions in enumerate(model.head['versions']):
            workers = [worker for worker in model.head['workers'] if worker.get('with') == number]
            if workers:
                hosts = ', '.join(sorted({worker['host'] for worker in workers})[:5])
                rows = [[plain(name), code(value, 100)] for name, value in versions.items()]
                parts += [
                    f'{plural(len(workers), "worker")} on {plain(hosts)}:',
                    table(['', 'version'], rows),
                ]
    return (
        [folded('Python, packages, repository: what the tasks ran with', *parts)] if parts else []
    )


def _files_section(tasks: Iterable[Dict]) -> list[str]:
    rows = [
        [
            plain(file['path'], 100),
            'read' if file['do'] == 'read' else 'written',
            format_bytes(file['size']),
            code(file['sha256'][:12]),
        ]
        for task in tasks
        for file in task.get('files', ())
    ]
    more = (
        [f'{format_count(len(rows) - FILES)} more files are in the metadata.']
        if len(rows) > FILES
        else []
    )
    return [table(['file', '', 'size', 'sha256'], rows[:FILES], right=(2,)), *more] if rows else []


def _apps_table(models: Sequence[QueueModel]) -> str:
    rows = []
    for model in models:
        taken: dict[int, list[float]] = {}
        memory: dict[int, int] = {}
        counts: dict[int, Counter[str]] = {}
        for task in model.tasks():
            app = model.head['groups'][task['group']]['app']
            counts.setdefault(app, Counter())[shown_state(task)] += 1
            last = last_attempt(task)
            memory[app] = max(memory.get(app, 0), last.get('memory', 0))
            if task['state'] == 'SUCCEEDED' and 'seconds' in last:
                taken.setdefault(app, []).append(last['seconds'])
        for number, app in enumerate(model.head['apps']):
            times = taken.get(number, [])
            states = ', '.join(
                f'{APPEARANCES[state].symbol} {format_count(n)}'
                for state, n in counts.get(number, {}).items()
            )
            mean = span(sum(times) / len(times)) if times else ''
            most = format_bytes(memory[number]) if memory.get(number) else ''
            rows.append(
                [
                    plain(app['name']),
                    states,
                    mean,
                    span(sum(times)) if times else '',
                    most,
                    code(app['id'][:12]),
                ]
            )
    return table(
        ['app', 'tasks', 'mean time', 'total time', 'most memory', 'code'], rows, right=(2, 3, 4)
    )
