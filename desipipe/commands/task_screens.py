"""Screens of `watch --ui` for one queue: its tasks, and what one of them prints."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.widgets import DataTable, Footer, Static
from textual.worker import get_current_worker

from ..queue.location import type_queue
from ..terminal import visible
from ..view.appearance import APPEARANCES, BAD_STATES
from .face import styled
from .queue_access import TASKS_MAX, QueueAccess
from .queue_follower import Follower
from .screen_parts import ORDERS, Question, Working, fill_table, plain
from .tables import queue_lines

if TYPE_CHECKING:
    from textual.binding import BindingType

    from ..config import Config
    from ..view.schema import QueueSummary, ShownState, TaskPage, TaskRow
    from ..view.text import Line

_FILTERS = (
    '',
    'RUNNING',
    'PENDING',
    'WAITING',
    'BLOCKED',
    *BAD_STATES,
    'SUCCEEDED',
    'SUPERSEDED',
)
_LEFT = ('WAITING', 'PENDING', 'RUNNING')

_COLUMNS = ('', 'task', 'arguments', 'time, or cause')


class TaskScreen(Working):
    """One task, with what it printed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding('r', 'order("retry")', 'Retry'),
        Binding('c', 'order("cancel")', 'Cancel'),
        Binding('escape', 'app.pop_screen', 'Tasks'),
        Binding('q', 'app.quit', 'Quit'),
    ]

    def __init__(self, owner: TasksScreen, task: TaskRow) -> None:
        super().__init__()
        self.owner = owner
        self.row = task
        self._state = task['state']
        self._over = False

    def compose(self) -> ComposeResult:
        """Show the head, the output and the keys."""
        yield Static(id='head')
        with VerticalScroll(id='output'):
            yield Static(id='text')
        yield Footer()

    def on_mount(self) -> None:
        """Read it."""
        self.reread()

    def reread(self) -> None:
        """Read the task again, unless it will print nothing more."""
        self.work(self._read)

    def tick(self, changed: bool) -> None:
        """Follow: its state may have changed, or what it prints has grown."""
        if changed or not self._over:
            self.reread()

    def action_order(self, name: str) -> None:
        """Retry or cancel it."""
        self.owner.order(name, {**self.row, 'state': self._state})

    def _read(self) -> None:
        task = self.owner.access.task(self.row['row'])
        self._over, self._state = task.over, task.state
        head = Text('\n').join([plain(task.title, 'bold'), *map(plain, task.details.split('\n'))])
        text = Text(visible(task.output)) if task.output else plain('No output.', 'dim')
        self.show(self._update, head, text)

    def _update(self, head: Text, text: Text) -> None:
        self.query_one('#head', Static).update(head)
        self.query_one('#text', Static).update(text)


class TasksScreen(Working):
    """A queue that is followed: how far it is, and its tasks."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding('enter', 'open', 'Open', priority=True),
        Binding('r', 'order("retry")', 'Retry'),
        Binding('c', 'order("cancel")', 'Cancel'),
        Binding('f', 'retry_failed', 'Retry failed'),
        Binding('s', 'filter', 'State'),
        Binding('p', 'pause', 'Pause'),
        Binding('escape', 'app.pop_screen', 'Queues'),
        Binding('q', 'app.quit', 'Quit'),
    ]

    def __init__(self, folder: str, config: Config) -> None:
        super().__init__()
        self.access = QueueAccess(folder)
        self._folder = folder
        self._config = config
        self._where = type_queue(folder, config)
        self._state = ''
        self._tasks: list[TaskRow] = []
        self._lines: list[Line] | None = None

    def compose(self) -> ComposeResult:
        """Show the summary, the tasks and the keys."""
        yield Static(id='summary')
        yield Static(id='filter')
        yield DataTable(cursor_type='row', id='tasks')
        yield Footer()

    def on_mount(self) -> None:
        """Follow the queue until the screen is left."""
        table = self.query_one(DataTable)
        table.focus()
        self.work(self._follow, group='follow')

    def _follow(self) -> None:
        from ..queue.queue import Queue

        worker = get_current_worker()
        follower = Follower(Queue(self._folder, create=False))
        changed = True
        while not worker.is_cancelled:
            summary = follower.look()
            self.show(self._show, summary, changed)
            changed = follower.wait(1.0)

    def _show(self, summary: QueueSummary, changed: bool) -> None:
        width = self.size.width - 2
        lines = queue_lines(summary, self._where, advise=False, width=width)
        if lines != self._lines:
            self._lines = lines
            self.query_one('#summary', Static).update(styled(lines))
        if changed:
            self.reread()
        if isinstance(self.app.screen, TaskScreen):
            self.app.screen.tick(changed)

    def reread(self) -> None:
        """Read the list of tasks again."""
        self.work(self._read)

    def _read(self) -> None:
        self.show(self._fill, self.access.page(self._state))

    def _fill(self, page: TaskPage) -> None:
        table = self.query_one(DataTable)
        at = table.cursor_row
        current = self._tasks[at]['tid'] if at < len(self._tasks) else None
        self._tasks = page['tasks']
        fill_table(table, _COLUMNS, [_cells(task) for task in self._tasks])
        ids = [task['tid'] for task in self._tasks]
        table.move_cursor(row=ids.index(current) if current in ids else min(at, len(ids)))
        more = f', the first {TASKS_MAX} are listed' if page['total'] > len(ids) else ''
        state = self._state.lower() or 'all states'
        self.query_one('#filter', Static).update(
            plain(f'Tasks: {state} ({page["total"]:,d}{more})', 'bold')
        )

    def current(self) -> TaskRow | None:
        """Return the task under the cursor."""
        at = self.query_one(DataTable).cursor_row
        return self._tasks[at] if 0 <= at < len(self._tasks) else None

    def action_open(self) -> None:
        """Show the task under the cursor."""
        task = self.current()
        if task is not None:
            self.app.push_screen(TaskScreen(self, task))

    def action_filter(self) -> None:
        """List the tasks of the next state."""
        self._state = _FILTERS[(_FILTERS.index(self._state) + 1) % len(_FILTERS)]
        self.reread()

    def action_order(self, name: str) -> None:
        """Retry or cancel the task under the cursor."""
        task = self.current()
        if task is not None:
            self.order(name, task)

    def action_retry_failed(self) -> None:
        """Retry all tasks that did not succeed."""
        self.do(self.access.retry_failed)

    def action_pause(self) -> None:
        """Pause the queue, or resume it."""
        self.do(self.access.pause)

    def order(self, name: str, task: TaskRow) -> None:
        """Retry or cancel a task; ask first where something would be lost."""
        label = f'{task["name"]}[{task["index"]}]'
        question = None
        if task['superseded'] and (name == 'retry' or task['state'] != 'RUNNING'):
            self.notify(f'{label} is superseded: its code was edited.', markup=False)
            return
        if name == 'cancel':
            order = self.access.cancel
            if task['state'] not in _LEFT:
                self.notify(f'{label} has ended.', markup=False)
                return
            question = f'Cancel {label}?'
        else:
            order = self.access.retry
            if task['state'] in _LEFT:
                self.notify(f'{label} has not ended.', markup=False)
                return
            if task['state'] == 'SUCCEEDED':
                question = f'Run {label} again? Its result stays until the new one is there.'
        if question is None:
            self.do(lambda: order([task]))
        else:
            self.app.push_screen(
                Question(question), lambda yes: self.do(lambda: order([task])) if yes else None
            )

    def do(self, order: Callable[[], str]) -> None:
        """Do what is ordered beside the screen, and tell what became of it."""
        self.work(lambda: self.tell(order()), group=ORDERS)


def _cells(task: TaskRow) -> tuple[Text, ...]:
    from ..view.text import span

    style = 'dim' if task['superseded'] else ''
    state: ShownState = (
        'SUPERSEDED' if task['superseded'] else 'BLOCKED' if task['blocked'] else task['state']
    )
    took = task['duration']
    last = task['cause'] or ('' if took is None else span(took))
    return (
        plain(APPEARANCES[state].symbol, APPEARANCES[state].colour),
        plain(f'{task["name"]}[{task["index"]}]', style),
        plain(task['arguments_text'][:40], style),
        plain(last, style),
    )
