"""Answer what pages look at: it is what the command line looks at."""

from __future__ import annotations

from typing import TypeVar, cast

import orjson

from ..config import Config
from ..outputs.cell_traceback import failing_line, mark_failing_lines
from ..outputs.notebook import Output
from ..queue.ledger import Ledger
from ..queue.output import displays, untrusted_writer
from ..queue.queue import Queue
from ..view.cell import cell_summary
from ..view.graph import graph
from ..view.output import read_output
from ..view.queue import queue_summary
from ..view.result_preview import result_preview
from ..view.schema import (
    AppView,
    BesideView,
    CellView,
    DisplayData,
    DisplayList,
    DisplayView,
    GraphView,
    OutputPiece,
    QueueLine,
    QueueView,
    TaskPage,
    TaskView,
    TimelineView,
    UnreadableQueue,
)
from ..view.task_context import app_summaries, neighbours, peers
from ..view.task_detail import task_detail
from ..view.task_summary import task_label
from ..view.tasks import task_page
from .queues import Hub
from .requests import (
    TASKS_MAX,
    CellRequest,
    DisplayRequest,
    GraphRequest,
    LogRequest,
    QueueRequest,
    QueuesRequest,
    TaskRequest,
    TasksRequest,
    TimelineRequest,
)
from .selected import row_of, rows_of
from .shown_folders import short

T = TypeVar('T')

FEW = 100  # causes, or pieces of damage, in an answer
TEXT_MAX = 200_000  # characters of one text in an answer


def _bounded(value: T) -> T:
    """Return the same with long texts cut, which no page could show."""
    return cast('T', _cut(value))


def _cut(value: object) -> object:
    if isinstance(value, str) and len(value) > TEXT_MAX:
        return f'{value[:TEXT_MAX]}\n[{len(value) - TEXT_MAX:,d} characters are not shown here]'
    if isinstance(value, dict):
        return {key: _cut(item) for key, item in value.items()}
    return [_cut(item) for item in value] if isinstance(value, list) else value


async def list_queues(hub: Hub, asked: QueuesRequest) -> list[QueueLine | UnreadableQueue]:
    """List the queues, those that can't be read too."""
    return await hub.lines(asked.get('folder', ()))


async def show_queue(hub: Hub, asked: QueueRequest) -> QueueView:
    """Return all there is to see of a queue; of what is very long, the beginning."""
    followed = await hub.queue(asked['queue'])
    summary = await followed.do(
        lambda queue: queue.ledger.again(lambda: queue_summary(queue, followed.observer))
    )
    return {
        **summary,
        'queue': short(followed.folder, Config()),
        'workers': summary['workers'][:TASKS_MAX],
        'jobs': summary['jobs'][:TASKS_MAX],
        'failure_kinds': summary['failure_kinds'][:FEW],
        'causes': summary['causes'][:FEW],
        'damage': summary['damage'][:FEW],
        'n_workers': len(summary['workers']),
        'n_jobs': len(summary['jobs']),
        'n_causes': len(summary['causes']),
        'n_damage': len(summary['damage']),
    }


async def list_tasks(hub: Hub, asked: TasksRequest) -> TaskPage:
    """Return a page of tasks."""

    def look(queue: Queue) -> TaskPage:
        queue.ledger.follow()
        rows = rows_of(queue, asked['rows'], asked.get('first', '')) if asked.get('rows') else None
        return task_page(
            queue.ledger,
            asked.get('state', ()),
            asked.get('name', ()),
            asked.get('text', ''),
            rows,
            asked.get('offset', 0),
            asked.get('limit', 100),
            asked.get('order', ''),
            lambda: followed.timeline(queue).durations(),
        )

    followed = await hub.queue(asked['queue'])
    return await followed.do(look)


async def list_apps(hub: Hub, asked: QueueRequest) -> list[AppView]:
    """Summarise a queue app by app."""
    followed = await hub.queue(asked['queue'])
    return await followed.do(
        lambda queue: app_summaries(queue.ledger, followed.timeline(queue).durations())
    )


async def show_task(hub: Hub, asked: TaskRequest) -> TaskView:
    """Return all that is known of a task, and what is beside it."""

    def look(queue: Queue) -> TaskView:
        row = row_of(queue, asked['tid'])
        task = queue.ledger.again(lambda: task_detail(queue.ledger, row))
        beside = queue.ledger.again(lambda: _beside(queue.ledger, row))
        view: TaskView = {
            **task,
            **beside,
            'row': row,
            'preview': queue.ledger.again(lambda: result_preview(queue.ledger, row)),
            'path': hub.folders.shown(task['cwd']),
            'line': failing_line(task['trace'], task['code']),
            'trace': mark_failing_lines(task['trace'], task['code']),
        }
        return _bounded(view)

    followed = await hub.queue(asked['queue'])
    return await followed.do(look)


def _beside(ledger: Ledger, row: int) -> BesideView:
    """Return the task that blocks a task, its neighbours, those of its app."""
    cause = ledger.blocked().get(row)
    previous, following = neighbours(ledger, row)
    return {
        'blocker': None if cause is None else task_label(ledger, cause),
        'previous': previous,
        'next': following,
        'peers': peers(ledger, row),
    }


async def show_log(hub: Hub, asked: LogRequest) -> OutputPiece:
    """Return a piece of what a task printed."""

    def look(queue: Queue) -> OutputPiece:
        row = row_of(queue, asked['tid'])
        position = asked.get('offset', 0), asked.get('part', '')
        return read_output(
            queue.ledger,
            row,
            asked.get('stream', 'out'),
            *position,
            attempt=asked.get('attempt', 0),
        )

    followed = await hub.queue(asked['queue'])
    return await followed.do(look)


async def list_displays(hub: Hub, asked: TaskRequest) -> DisplayList:
    """List what a task displayed."""

    def look(queue: Queue) -> DisplayList:
        row = row_of(queue, asked['tid'])
        shown = displays(queue.ledger, row)
        lines = [_display_line(number, output) for number, output in enumerate(shown[:TASKS_MAX])]
        return {
            'displays': lines,
            'total': len(shown),
            'untrusted': untrusted_writer(queue.ledger, row),
        }

    followed = await hub.queue(asked['queue'])
    return await followed.do(look)


def _display_line(number: int, output: Output) -> DisplayView:
    data = output['data']
    kinds = {
        mime: len(value) if isinstance(value, str) else len(orjson.dumps(value, default=repr))
        for mime, value in data.items()
    }
    return {'number': number, 'kinds': kinds, 'text': str(data.get('text/plain', ''))[:200]}


async def show_display(hub: Hub, asked: DisplayRequest) -> DisplayData:
    """Return a display of a task, whole."""

    def look(queue: Queue) -> DisplayData:
        shown = displays(queue.ledger, row_of(queue, asked['tid']))
        number = int(asked.get('number', 0))
        # One that is not there, as after a retry, has no data.
        nothing: Output = {'output_type': 'display_data', 'data': {}, 'metadata': {}}
        output = shown[number] if number < len(shown) else nothing
        return {'data': output['data'], 'metadata': output['metadata']}

    followed = await hub.queue(asked['queue'])
    return await followed.do(look)


async def show_cell(hub: Hub, asked: CellRequest) -> CellView:
    """Return all there is to see of the tasks of a cell."""
    followed = await hub.queue(asked['queue'])

    def look(queue: Queue) -> CellView:
        queue.ledger.follow()
        rows_of(queue, asked['rows'], asked.get('first', ''))
        return cell_summary(
            queue,
            asked['rows'],
            title=asked.get('title', ''),
            observer=followed.observer,
            outputs=asked.get('outputs', True),
            published=asked.get('published', ''),
        )

    return await followed.do(look)


async def show_graph(hub: Hub, asked: GraphRequest) -> GraphView:
    """Return which tasks require which."""
    followed = await hub.queue(asked['queue'])
    return await followed.do(lambda queue: graph(queue.ledger, asked.get('name', ())))


async def show_timeline(hub: Hub, asked: TimelineRequest) -> TimelineView:
    """Return which worker ran what when."""
    followed = await hub.queue(asked['queue'])
    return await followed.do(
        lambda queue: followed.timeline(queue).view(asked.get('begin'), asked.get('end'))
    )
