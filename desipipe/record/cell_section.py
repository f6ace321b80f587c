"""Write the section below a cell: its tasks, and their provenance, folded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from ..utils import format_bytes, format_count, plural
from ..view.text import span
from .markdown import code, fenced, folded, moment, plain, shown_state, state_words, table
from .model import QueueModel, places_of
from .model_types import AttemptEntry, CellEntry, TaskEntry, WorkerEntry
from .task_text import argument_texts, counted, last_attempt, result_text, superseded_text

ROWS_MAX = 20
"""Tasks that a table shows."""
BAD_MAX = 20
"""Tasks that did not succeed that it shows besides."""
FILES_MAX = 50
"""Files that it lists."""


def entry_section(entry: CellEntry, models: Sequence[QueueModel]) -> str:
    """Write the section of a cell's entry in a record."""
    title = entry['title'] or f'cell {entry["cell"] + 1:d}'
    places = places_of(entry)
    return cell_section(models[entry['queue']], places, title, entry.get('notes', ()))


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
        Sentences on the cell, such as that it was changed.

    Returns
    -------
    text : str
        Markdown.
    """
    tasks = _CellTasks(model, places)
    listed = tasks.listed
    text = [tasks.headline(title), *(f'⚠ {plain(note, 400)}' for note in notes)]
    if listed:
        text.append(_tasks_table(model, listed))
    text += _more(tasks.n_current - len(listed), 'more tasks')
    if old := tasks.listed_superseded:
        more = _more(tasks.n_superseded - len(old), 'more superseded tasks')
        text.append(
            folded(counted('SUPERSEDED', tasks.n_superseded), _tasks_table(model, old), *more)
        )
    text.append(
        folded(
            'Provenance',
            *[_app_section(model, app) for app in tasks.apps],
            *_attempts_section(model, [*listed, *old]),
            *_files_section([*listed, *old]),
        )
    )
    return '\n\n'.join(text)


def _more(n: int, label: str) -> list[str]:
    return [f'{format_count(n)} {label} of this cell are in the metadata of this notebook.'] * (
        n > 0
    )


class _CellTasks:
    """Tasks of a cell: numbers over those that count, and tasks that are listed."""

    def __init__(self, model: QueueModel, places: Sequence[int]) -> None:
        self._counts: Counter[str] = Counter()
        self._first: list[TaskEntry] = []
        self._bad: list[TaskEntry] = []
        self.listed_superseded: list[TaskEntry] = []
        """The first superseded ones."""
        self.n_superseded = 0
        """Number of superseded ones; no other number counts them."""
        self._began, self._ended, self._busy = float('inf'), 0.0, 0.0
        self._has_run = False
        self.apps: dict[int, None] = {}
        """Numbers of their apps, in order."""
        for index in places:
            self._add(model, model.task(index))

    def _add(self, model: QueueModel, task: TaskEntry) -> None:
        state = shown_state(task)
        self.apps.setdefault(model.head['groups'][task['group']]['app'])
        if 'superseded' in task:
            self.n_superseded += 1
            if len(self.listed_superseded) < ROWS_MAX:
                self.listed_superseded.append(task)
            return
        self._counts[state] += 1
        for attempt in task.get('attempts', ()):
            if 'worker' in attempt:
                self._began = min(self._began, attempt['began'])
                self._ended = max(self._ended, attempt['began'] + attempt['seconds'])
                self._busy += attempt['seconds']
                self._has_run = True
        if len(self._first) < ROWS_MAX:
            self._first.append(task)
        elif state != 'SUCCEEDED' and len(self._bad) < BAD_MAX:
            self._bad.append(task)

    @property
    def listed(self) -> list[TaskEntry]:
        """The first ones, and of the others some that did not succeed."""
        return [*self._first, *self._bad]

    @property
    def n_current(self) -> int:
        """The number of tasks that are not superseded."""
        return self._counts.total()

    def headline(self, title: str) -> str:
        """Return how many there are in which states, and what they took."""
        states = ', '.join(counted(state, n) for state, n in self._counts.items())
        line = f'**{plain(title)}** · {plural(self.n_current)}{": " * bool(states)}{states}'
        line += superseded_text(self.n_superseded)
        if not self._has_run:
            return line
        within = span(max(0.0, self._ended - self._began))
        # The line above it says on how many workers.
        return f'{line} · {span(self._busy)} of task time within {within} · {moment(self._began)}'


def _tasks_table(model: QueueModel, tasks: Sequence[TaskEntry]) -> str:
    """Write a row a task, with those of its arguments that differ between them."""
    names = [
        name
        for name in argument_texts(tasks[0])
        if len(tasks) == 1 or len({argument_texts(task).get(name) for task in tasks}) > 1
    ][:4]
    titles = ['task', 'state', *map(plain, names), 'time', 'host', 'result or error', 'identity']
    return table(titles, [_row(model, task, names) for task in tasks], right=(2 + len(names),))


def _row(model: QueueModel, task: TaskEntry, names: Sequence[str]) -> list[str]:
    last = last_attempt(task)
    texts = argument_texts(task)
    worker: WorkerEntry = model.head['workers'][last['worker']] if 'worker' in last else {}
    seconds = span(last['seconds']) if 'seconds' in last else 'by hand' if 'hand' in last else ''
    why = (
        result_text(task) if task['state'] == 'SUCCEEDED' else last.get('cause', {}).get('text', '')
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


def _attempts_section(model: QueueModel, tasks: Sequence[TaskEntry]) -> list[str]:
    measured = any('memory' in attempt for task in tasks for attempt in task.get('attempts', ()))
    rows = [
        _attempt_row(model, task, attempt, measured)
        for task in tasks
        for attempt in task.get('attempts', ())
    ]
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


def _attempt_row(
    model: QueueModel, task: TaskEntry, attempt: AttemptEntry, measured: bool
) -> list[str]:
    worker: WorkerEntry = model.head['workers'][attempt['worker']] if 'worker' in attempt else {}
    digests = [
        f'{key} {code(attempt[key].get("sha256", "lost")[:12])}'
        for key in ('out', 'err')
        if key in attempt
    ]
    if task.get('result') and 'past' not in attempt:
        digests.insert(0, f'result {code(task["result"].get("sha256", "lost")[:12])}')
    memory = [format_bytes(attempt['memory']) if 'memory' in attempt else ''] if measured else []
    return [
        plain(f'{model.head["groups"][task["group"]]["name"]}[{task["index"]}]'),
        str(attempt['n'] or attempt.get('hand', '')),
        state_words(attempt['state']),
        moment(attempt.get('began') or attempt.get('t')),
        span(attempt['seconds']) if 'seconds' in attempt else '',
        *memory,
        plain(f'{worker.get("host", "")} {worker.get("job", "")}'),
        plain(attempt.get('cause', {}).get('text', ''), 80),
        ', '.join(digests),
    ]


def _files_section(tasks: Iterable[TaskEntry]) -> list[str]:
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
        [f'{format_count(len(rows) - FILES_MAX)} more files are in the metadata.']
        if len(rows) > FILES_MAX
        else []
    )
    return (
        [table(['file', '', 'size', 'sha256'], rows[:FILES_MAX], right=(2,)), *more] if rows else []
    )
