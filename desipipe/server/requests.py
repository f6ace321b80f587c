"""Declare what pages ask for: a struct for each route."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired, TypedDict

from ..view.schema import StateName

TASKS_MAX = 1000
"""Tasks on a page; tasks or names in an order."""
VALUES_MAX = 100
"""Values of a parameter of an address."""

QueueName = Annotated[
    str,
    {
        'minLength': 1,
        'maxLength': 4096,
        'description': 'Name of the queue, user/name, or the path of its folder',
    },
]
TaskId = Annotated[
    str,
    {
        'minLength': 1,
        'maxLength': 256,
        'description': 'Identity of the task, its beginning, or app[index]',
    },
]
Rows = Annotated[
    str,
    {
        'maxLength': 100_000,
        'pattern': r'^[0-9,\- ]*$',
        'description': "Rows of tasks: '0-19,40'",
    },
]
First = Annotated[
    str,
    {
        'maxLength': 64,
        'pattern': '^[0-9a-f]*$',
        'description': (
            'Identity of the first row: an error (410) if it is another, because the queue was '
            'cleared since'
        ),
    },
]
Published = Annotated[
    str,
    {
        'maxLength': 10_000,
        'pattern': r'^[0-9,:]*$',
        'description': "Rows with attempts whose outputs are left out: '0:1,3:2'",
    },
]
Name = Annotated[str, {'maxLength': 1000}]
Title = Annotated[str, {'maxLength': 1000}]
Folder = Annotated[str, {'minLength': 1, 'maxLength': 4096}]
Time = Annotated[float, {'description': 'Seconds since the epoch'}]
MaxWorkers = Annotated[
    int,
    {
        'minimum': 1,
        'maximum': 100_000,
        'description': 'The most tasks at once for each task manager',
    },
]
Spawn = Annotated[bool, {'default': False, 'description': 'Start a manager, if none is at work'}]
ListedState = StateName | Literal['BLOCKED', 'SUPERSEDED']


# Looks


class QueuesRequest(TypedDict):
    """Folders with queues to list."""

    folder: NotRequired[Annotated[list[Folder], {'maxItems': 50}]]
    """Folders to search too; below the folder that the server shows"""


class QueueRequest(TypedDict):
    """A queue."""

    queue: QueueName


class TasksRequest(QueueRequest):
    """Tasks of a queue to list."""

    state: NotRequired[Annotated[list[ListedState], {'maxItems': VALUES_MAX}]]
    """Only tasks in one of these states"""
    name: NotRequired[Annotated[list[Name], {'maxItems': VALUES_MAX}]]
    """Only tasks of these apps"""
    text: NotRequired[Annotated[str, {'maxLength': 1000}]]
    """Part of name[index] or of the cause, the identity, or i=12"""
    order: NotRequired[
        Annotated[Literal['', 'newest', 'state', 'slowest', 'name'], {'default': ''}]
    ]
    """By default, as they were added"""
    rows: NotRequired[Rows]
    first: NotRequired[First]
    offset: NotRequired[Annotated[int, {'minimum': 0, 'maximum': 1_000_000_000, 'default': 0}]]
    """Number to pass over"""
    limit: NotRequired[Annotated[int, {'minimum': 1, 'maximum': TASKS_MAX, 'default': 100}]]
    """Number at most"""


class TaskRequest(QueueRequest):
    """A task."""

    tid: TaskId


class LogRequest(TaskRequest):
    """A piece of what a task printed."""

    stream: NotRequired[Annotated[Literal['out', 'err'], {'default': 'out'}]]
    offset: NotRequired[Annotated[int, {'minimum': 0, 'maximum': 1_000_000_000_000, 'default': 0}]]
    """The offset of the last piece"""
    part: NotRequired[Annotated[str, {'maxLength': 100}]]
    """The part of the last piece"""
    attempt: NotRequired[Annotated[int, {'minimum': 0, 'maximum': 1_000_000_000, 'default': 0}]]
    """Number of an attempt that ended; 0: the last one"""


class DisplayRequest(TaskRequest):
    """One of the displays of a task."""

    number: NotRequired[Annotated[int, {'minimum': 0, 'maximum': 100_000, 'default': 0}]]
    """Index, from 0"""


class CellRequest(QueueRequest):
    """The tasks of a cell."""

    rows: Rows
    first: NotRequired[First]
    title: NotRequired[Title]
    outputs: NotRequired[Annotated[bool, {'default': True}]]
    """Include what the tasks printed and drew"""
    published: NotRequired[Published]


class GraphRequest(QueueRequest):
    """A graph."""

    name: NotRequired[Annotated[list[Name], {'maxItems': VALUES_MAX}]]
    """Apps whose tasks are shown one by one"""


class TimelineRequest(QueueRequest):
    """A timeline."""

    begin: NotRequired[Time]
    end: NotRequired[Time]


class EventsRequest(TypedDict):
    """Queues whose events are told."""

    queue: Annotated[list[QueueName], {'maxItems': 500, 'minItems': 1}]
    """Queues to follow"""


# Texts


class CellText(TypedDict):
    """A cell as nbformat has it; of outputs the displays of tasks alone."""

    cell_type: Annotated[str, {'maxLength': 20}]
    source: str
    id: NotRequired[Annotated[str, {'maxLength': 64}]]
    outputs: NotRequired[Annotated[list[dict[str, Any]], {'maxItems': 10}]]


class NotebookRequest(TypedDict):
    """The text of a notebook."""

    cells: Annotated[list[CellText], {'maxItems': 5000}]
    """Cells as in nbformat; of outputs the displays of tasks alone"""
    path: NotRequired[Annotated[str, {'maxLength': 4096}]]
    """Path of the notebook below the folder that the server shows"""


# Orders


class SelectRequest(QueueRequest):
    """Tasks that meet all of the conditions."""

    rows: NotRequired[Rows]
    first: NotRequired[First]
    tids: NotRequired[Annotated[list[TaskId], {'maxItems': TASKS_MAX}]]
    """Tasks"""
    states: NotRequired[Annotated[list[StateName], {'maxItems': TASKS_MAX}]]
    """Only tasks in one of these states"""
    names: NotRequired[Annotated[list[Name], {'maxItems': TASKS_MAX}]]
    """Only tasks of these apps"""


class RetryRequest(SelectRequest):
    """Tasks to run again."""

    spawn: NotRequired[Spawn]


class ResumeRequest(QueueRequest):
    """A queue whose tasks may begin again."""

    spawn: NotRequired[Spawn]


class KillRequest(QueueRequest):
    """Workers to end."""

    jobids: NotRequired[Annotated[list[Name], {'maxItems': TASKS_MAX}]]
    """Jobs"""


class TrustRequest(QueueRequest):
    """A user to trust."""

    user: Annotated[str, {'minLength': 1, 'maxLength': 256}]
    tids: NotRequired[Annotated[list[TaskId], {'maxItems': TASKS_MAX}]]
    """Tasks"""


class SpawnRequest(QueueRequest):
    """A queue that gets a manager."""

    max_workers: NotRequired[MaxWorkers]


class ResizeRequest(QueueRequest):
    """Another number of tasks at once."""

    max_workers: MaxWorkers
