"""Table of routes, by which requests are checked, answered and documented."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..view.schema import (
    AppView,
    CellView,
    Changed,
    DisplayData,
    DisplayList,
    Done,
    GraphView,
    OutputPiece,
    QueueLine,
    QueueView,
    Started,
    Stopped,
    TaskPage,
    TaskView,
    TimelineView,
    UnreadableQueue,
)
from . import looks, orders
from .orders import Answer, at_once, in_thread
from .queues import Hub
from .requests import (
    CellRequest,
    DisplayRequest,
    EventsRequest,
    GraphRequest,
    KillRequest,
    LogRequest,
    QueueRequest,
    QueuesRequest,
    ResizeRequest,
    ResumeRequest,
    RetryRequest,
    SelectRequest,
    SpawnRequest,
    TaskRequest,
    TasksRequest,
    TimelineRequest,
    TrustRequest,
)
from .schemas import JsonSchema, request_schema


class Route(NamedTuple):
    """One route of the server.

    What is asked and what is answered are structs; JSON schemas are made of them.
    """

    path: str
    words: str
    answer: Answer
    request: type
    result: Any
    write: bool = False
    rules: JsonSchema = {}
    """More that must hold for the body as a whole."""

    @property
    def members(self) -> dict[str, JsonSchema]:
        """Parameters of the address (GET), or members of the body (POST)."""
        return dict(request_schema(self.request)['properties'])

    @property
    def required(self) -> tuple[str, ...]:
        """Members that may not be absent."""
        return tuple(request_schema(self.request)['required'])


_ANY_CONDITION = {'anyOf': [{'required': [name]} for name in ('rows', 'tids', 'states', 'names')]}

QUERIES = (
    Route(
        'queues',
        'Queues that there are, each with what a list shows of it',
        looks.list_queues,
        QueuesRequest,
        list[QueueLine | UnreadableQueue],
    ),
    Route(
        'queue',
        'All there is to see of a queue at one glance',
        looks.show_queue,
        QueueRequest,
        QueueView,
    ),
    Route(
        'tasks',
        'A page of the tasks of a queue, in order of their coming',
        looks.list_tasks,
        TasksRequest,
        TaskPage,
    ),
    Route(
        'apps',
        'The apps of a queue: how many tasks each has, how long they take, how many did not '
        'succeed',
        looks.list_apps,
        QueueRequest,
        list[AppView],
    ),
    Route('task', 'All that is known of a task', looks.show_task, TaskRequest, TaskView),
    Route('log', 'A piece of what a task printed', looks.show_log, LogRequest, OutputPiece),
    Route(
        'displays',
        'Figures, tables and what else a task displayed: of which kinds, and how large',
        looks.list_displays,
        TaskRequest,
        DisplayList,
    ),
    Route(
        'display',
        'One display of a task, whole, as nbformat has it',
        looks.show_display,
        DisplayRequest,
        DisplayData,
    ),
    Route(
        'cell',
        'All there is to see of the tasks of a cell',
        looks.show_cell,
        CellRequest,
        CellView,
    ),
    Route(
        'graph',
        'Which tasks need which; grouped by app when there are many',
        looks.show_graph,
        GraphRequest,
        GraphView,
    ),
    Route(
        'timeline',
        'Who ran what when; counted instead of shown one by one when there is much',
        looks.show_timeline,
        TimelineRequest,
        TimelineView,
    ),
)

ORDERS = (
    Route(
        'actions/pause',
        'Pause the queue: no task begins',
        at_once(orders.pause),
        QueueRequest,
        Done,
        True,
    ),
    Route(
        'actions/resume',
        'Let tasks begin again',
        at_once(orders.resume),
        ResumeRequest,
        Done,
        True,
    ),
    Route(
        'actions/retry',
        'Let tasks run again that ended',
        at_once(orders.retry),
        RetryRequest,
        Changed,
        True,
    ),
    Route(
        'actions/cancel',
        'Let tasks not begin, or stop those that run',
        at_once(orders.cancel),
        SelectRequest,
        Changed,
        True,
        _ANY_CONDITION,
    ),
    Route(
        'actions/kill',
        'End workers at once; all of them, and the manager, unless jobs are named',
        at_once(orders.kill),
        KillRequest,
        Stopped,
        True,
    ),
    Route(
        'actions/forget',
        'Delete the superseded tasks that do not run, with their results',
        at_once(orders.forget),
        QueueRequest,
        Changed,
        True,
    ),
    Route(
        'actions/delete',
        'Delete the queue, with all its tasks and results',
        in_thread(orders.delete),
        QueueRequest,
        Changed,
        True,
    ),
    Route(
        'actions/trust',
        'Trust the user whose queue, or whose tasks, this user may only look at',
        at_once(orders.trust),
        TrustRequest,
        Done,
        True,
    ),
    Route('actions/spawn', 'Start a manager', in_thread(orders.spawn), SpawnRequest, Started, True),
    Route(
        'actions/resize',
        'Let another number of tasks run at once, from now on',
        at_once(orders.resize),
        ResizeRequest,
        Done,
        True,
    ),
)


async def _nobody(hub: Hub, asked: EventsRequest) -> None:
    raise NotImplementedError('A stream is not answered at once.')


EVENTS = Route(
    'events',
    "A stream of events: 'queue', with what a list shows of one, each time that something happened "
    "to it; 'trouble', with an error, when it cannot be read",
    _nobody,
    EventsRequest,
    str,
)
