"""Write the last section of a record: totals, pictures, versions, omissions."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Sequence

from ..utils import format_bytes, format_count, plural
from ..view.appearance import APPEARANCES
from ..view.text import span
from .markdown import code, fenced, folded, moment, plain, shown_state, table
from .model import QueueModel
from .model_types import Json, RecordDocument, Totals
from .task_text import counted, counts_text, last_attempt, superseded_text

CHANGES_SHOWN_MAX = 20_000
"""Characters that are shown of what differs from a commit."""


def summary_section(
    document: RecordDocument, models: Sequence[QueueModel], pictures: Sequence[tuple[str, str]]
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
    left = document['left_out']
    text = ['## Record', _totals_line(document['totals'], models), _queues_table(models)]
    # Not an attachment: JupyterLab shows none that is SVG. Nor an output: of one that it does
    # not trust it shows the text.
    text += [
        f'![{label}](data:image/svg+xml;base64,{base64.b64encode(picture.encode()).decode()})'
        for label, picture in pictures
    ]
    text += [
        _apps_table(models),
        *_superseded(models),
        *_run_with(models),
        _made_with(document['made'], models),
        *_changes(document['made'].get('git changes')),
        folded('Omitted', '\n'.join(f'- {plain(label, 400)}' for label in left))
        if left
        else 'Nothing was omitted.',
        'Check it: `desipipe verify`, and the name of this file. What that proves, and what it '
        'does not: page *Records* of the documentation of desipipe.',
    ]
    return '\n\n'.join(text)


def _totals_line(totals: Totals, models: Sequence[QueueModel]) -> str:
    return (
        f'{plural(totals["tasks"])} of {plural(len(models), "queue")}: '
        f'{counts_text(totals["counts"], sum(model.head["blocked"] for model in models))}'
        f'{superseded_text(totals.get("superseded", 0))}; '
        f'{span(totals["busy"])} of task time by {plural(totals["workers"], "worker")} on '
        f'{plain(", ".join(totals["hosts"][:10])) or "no host"}.'
    )


def _queues_table(models: Sequence[QueueModel]) -> str:
    rows = [
        [
            plain(model.head['name']),
            format_count(model.n_current),
            counts_text(model.head['counts'], model.head['blocked'])
            + superseded_text(model.n_superseded),
            span(model.head['busy']),
            str(len(model.head['workers'])),
            moment(model.head['as_of']),
        ]
        for model in models
    ]
    return table(
        ['queue', 'tasks', 'states', 'task time', 'workers', 'as of'], rows, right=(1, 3, 4)
    )


def _made_with(made: Json, models: Sequence[QueueModel]) -> str:
    """Write what task managers asked for, and where the record was made."""
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
    facts = [
        [plain(name), code(value, 100)] for name, value in made.items() if name != 'git changes'
    ]
    return folded(
        'Resources asked for, and what this record was made with',
        table(['task manager', 'environment', 'scheduler', 'provider'], asked),
        table(['made with', ''], facts),
    )


def _changes(changes: str | None) -> list[str]:
    """Write the first of what differs from the commit of the repository."""
    if not changes:
        return []
    text = [fenced(changes[:CHANGES_SHOWN_MAX], 'diff')]
    if len(changes) > CHANGES_SHOWN_MAX:
        text.append(
            f'{format_bytes(len(changes))} in all; the rest is in the metadata of this notebook.'
        )
    return [folded('Differences from the commit of the repository', *text)]


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


def _superseded(models: Sequence[QueueModel]) -> list[str]:
    """List the apps of superseded tasks, which no other number and no picture counts."""
    n = sum(model.n_superseded for model in models)
    return [folded(counted('SUPERSEDED', n), _apps_table(models, superseded=True))] if n else []


def _apps_table(models: Sequence[QueueModel], superseded: bool = False) -> str:
    """Write a row an app: of tasks that count, or of superseded ones."""
    rows = []
    for model in models:
        taken: dict[int, list[float]] = {}
        memory: dict[int, int] = {}
        counts: dict[int, Counter[str]] = {}
        for task in model.tasks():
            if ('superseded' in task) != superseded:
                continue
            number = model.head['groups'][task['group']]['app']
            counts.setdefault(number, Counter())[shown_state(task)] += 1
            last = last_attempt(task)
            memory[number] = max(memory.get(number, 0), last.get('memory', 0))
            if task['state'] == 'SUCCEEDED' and 'seconds' in last:
                taken.setdefault(number, []).append(last['seconds'])
        for number in sorted(counts):
            app = model.head['apps'][number]
            times = taken.get(number, [])
            states = ', '.join(
                f'{APPEARANCES[state].symbol} {format_count(n)}'
                for state, n in counts[number].items()
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
