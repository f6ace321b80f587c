"""Define the routes in one table, which checks, answers and describes requests (OpenAPI)."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import orjson

from ..config import Config
from ..errors import ConfigError, QueueGoneError
from ..execution.manager import begin
from ..outputs.cell_traceback import failing_line, mark_failing_lines
from ..outputs.safe import UNNAMED
from ..queue.events import FAILED, KILLED, STATES, UNKNOWN
from ..queue.ledger import Ledger
from ..queue.location import check_names, find_task, find_tasks
from ..queue.output import displays, untrusted_writer, untrusted_writers
from ..queue.queue import Queue
from ..store.lease import Observer
from ..view.cell import cell_summary, parse_rows
from ..view.graph import graph
from ..view.output import read_output
from ..view.queue import task_detail, untrusted_owner
from ..view.task_context import app_summaries, label_of, neighbours, peers
from ..view.tasks import ORDERS as ORDERS_OF_TASKS
from ..view.tasks import task_page
from .queues import Followed, Hub, short

Dict = dict[str, Any]
Answer = Callable[[Hub, Dict], Awaitable[Any]]

MOST = 1000  # tasks on a page, tasks or names in an order
FEW = 100  # values of a parameter of an address
TEXT = 200_000  # characters of one text in an answer
_BAD = [STATES[code] for code in (FAILED, KILLED, UNKNOWN)]


class Route(NamedTuple):
    """One route of the server.

    What a request must look like is said by JSON schemas: of each parameter, and of what is
    answered.
    """

    path: str
    words: str
    answer: Answer
    members: dict[str, Dict]
    """Parameters of the address (GET), or members of the body (POST)."""
    required: tuple[str, ...]
    result: Dict
    write: bool = False
    rules: Dict = {}
    """More that must hold for the body as a whole."""


# What requests hold

_QUEUE = {
    'type': 'string',
    'minLength': 1,
    'maxLength': 4096,
    'description': 'Name of the queue, user/name, or the path of its folder',
}
_TID = {
    'type': 'string',
    'minLength': 1,
    'maxLength': 256,
    'description': 'Identity of the task, its beginning, or app[index]',
}
_ROWS = {
    'type': 'string',
    'maxLength': 100_000,
    'pattern': r'^[0-9,\- ]*$',
    'description': "Rows of tasks: '0-19,40'",
}
_FIRST = {
    'type': 'string',
    'maxLength': 64,
    'pattern': '^[0-9a-f]*$',
    'description': (
        'Identity of the first row: an error (410) if it is another, because the queue was cleared '
        'since'
    ),
}
_STATE = {'type': 'string', 'enum': list(STATES)}
_NAME = {'type': 'string', 'maxLength': 1000}
_SHOWN = {'type': 'string', 'enum': [*STATES, 'BLOCKED', 'SUPERSEDED']}
_TIME = {'type': 'number', 'description': 'Seconds since the epoch'}


def _whole(least: int, most: int, default: int, words: str) -> Dict:
    return {
        'type': 'integer',
        'minimum': least,
        'maximum': most,
        'default': default,
        'description': words,
    }


def _several(item: Dict, words: str, most: int = MOST) -> Dict:
    return {
        'type': 'array',
        'maxItems': most,
        'items': item,
        'description': words,
    }  # in this order they are checked


_CONDITIONS = {
    'rows': _ROWS,
    'first': _FIRST,
    'tids': _several(_TID, 'Tasks'),
    'states': _several(_STATE, 'Only tasks in one of these states'),
    'names': _several(_NAME, 'Only tasks of these apps'),
}
_SPAWN = {'type': 'boolean', 'default': False, 'description': 'Start a manager, if none is at work'}

# What answers hold


def _object(**members: Any) -> Dict:
    return {'type': 'object', 'properties': members, 'required': list(members)}


_TEXT = {'type': 'string'}
_COUNT = {'type': 'integer', 'minimum': 0}
_FLAG = {'type': 'boolean'}
_NUMBER = {'type': ['number', 'null']}
_COUNTS = {'type': 'object', 'additionalProperties': _COUNT}
_LIST = {'type': 'array', 'items': {'type': 'object'}}
_LINE = {
    'type': 'object',
    'properties': {'queue': _TEXT, 'folder': _TEXT, 'condition': _TEXT, 'error': _TEXT},
    'required': ['queue', 'folder', 'condition'],
}
_TASK = _object(
    row=_COUNT,
    tid=_TEXT,
    name=_TEXT,
    index={'type': 'integer'},
    state=_TEXT,
    claimed=_FLAG,
    blocked=_TEXT,
    attempt=_COUNT,
    began=_NUMBER,
    duration=_NUMBER,
    cause=_TEXT,
)
_DONE = _object(message=_TEXT)


# Answers: what is looked at is what the command line looks at


def _bounded(value: Any) -> Any:
    """The same with long texts cut: a page of a browser that got them would be of no use."""
    if isinstance(value, str) and len(value) > TEXT:
        return f'{value[:TEXT]}\n[{len(value) - TEXT:,d} characters are not shown here]'
    if isinstance(value, dict):
        return {key: _bounded(item) for key, item in value.items()}
    return [_bounded(item) for item in value] if isinstance(value, list) else value


def _row(queue: Queue, tid: str) -> int:
    ledger = queue.ledger
    ledger.follow()
    return ledger.row(bytes.fromhex(find_task(queue, tid)))


def _rows(queue: Queue, text: str, first: str) -> list[int]:
    """The rows, each once, in order; those of a queue that was cleared since are others."""
    state = queue.ledger.state
    found = parse_rows(text)
    asked = bytearray(len(state.status))
    for part in found:
        stop = min(part.stop, len(asked))
        asked[part.start : stop] = b'\1' * (stop - part.start)
    begin = found[0].start if found else 0
    if found and (begin >= len(asked) or (first and not state.ids[begin].hex().startswith(first))):
        raise QueueGoneError(
            f'the queue in {queue.folder} was cleared since: these tasks are no longer in it; '
            'nothing was done. Run the cell again'
        )
    return [row for row, wanted in enumerate(asked) if wanted]


async def _queues(hub: Hub, asked: Dict) -> list[Dict]:
    return await hub.lines(asked.get('folder', ()))


async def _queue(hub: Hub, asked: Dict) -> Dict:
    found = await hub.queue(asked['queue'])
    summary = await found.do(found.summary)
    cut = {
        key: summary[key][:most]
        for key, most in (('workers', MOST), ('jobs', MOST), ('causes', 100), ('damage', 100))
    }
    return {
        'queue': short(found.folder, Config()),
        **summary,
        **cut,
        **{f'n_{key}': len(summary[key]) for key in cut},
    }


async def _tasks(hub: Hub, asked: Dict) -> Dict:
    def look(queue: Queue) -> Dict:
        queue.ledger.follow()
        rows = _rows(queue, asked['rows'], asked.get('first', '')) if asked.get('rows') else None
        return task_page(
            queue.ledger,
            asked.get('state', ()),
            asked.get('name', ()),
            asked.get('text', ''),
            rows,
            asked.get('offset', 0),
            asked.get('limit', 100),
            asked.get('order', ''),
            lambda: found.timeline(queue).durations(),
        )

    found = await hub.queue(asked['queue'])
    return await found.do(look)


async def _apps(hub: Hub, asked: Dict) -> list[Dict]:
    found = await hub.queue(asked['queue'])
    return await found.do(
        lambda queue: app_summaries(queue.ledger, found.timeline(queue).durations())
    )


async def _task(hub: Hub, asked: Dict) -> Dict:
    def look(queue: Queue) -> Dict:
        row = _row(queue, asked['tid'])
        task = queue.ledger.again(lambda: task_detail(queue.ledger, row))
        beside = queue.ledger.again(lambda: _beside(queue.ledger, row))
        shown = {'path': hub.shown(task['cwd']), 'line': failing_line(task['trace'], task['code'])}
        trace = mark_failing_lines(task['trace'], task['code'])
        return _bounded({'row': row, **task, **beside, **shown, 'trace': trace})  # type: ignore[no-any-return]

    found = await hub.queue(asked['queue'])
    return await found.do(look)


def _beside(ledger: Ledger, row: int) -> Dict:
    """Return the tasks beside a task: the one that blocks it, its neighbours, those of its app."""
    cause = ledger.blocked().get(row)
    previous, following = neighbours(ledger, row)
    return {
        'blocker': None if cause is None else label_of(ledger, cause),
        'previous': previous,
        'next': following,
        'peers': peers(ledger, row),
    }


async def _log(hub: Hub, asked: Dict) -> Dict:
    def look(queue: Queue) -> Dict:
        row = _row(queue, asked['tid'])
        place = asked.get('offset', 0), asked.get('part', '')
        return read_output(
            queue.ledger, row, asked.get('stream', 'out'), *place, attempt=asked.get('attempt', 0)
        )

    found = await hub.queue(asked['queue'])
    return await found.do(look)


async def _displays(hub: Hub, asked: Dict) -> Dict:
    def look(queue: Queue) -> Dict:
        row = _row(queue, asked['tid'])
        found = displays(queue.ledger, row)
        lines = [_display_line(number, output) for number, output in enumerate(found[:MOST])]
        return {
            'displays': lines,
            'total': len(found),
            'untrusted': untrusted_writer(queue.ledger, row),
        }

    found = await hub.queue(asked['queue'])
    return await found.do(look)


def _display_line(number: int, output: Dict) -> Dict:
    data = output['data']
    kinds = {
        mime: len(value) if isinstance(value, str) else len(orjson.dumps(value, default=repr))
        for mime, value in data.items()
    }
    return {'number': number, 'kinds': kinds, 'text': str(data.get('text/plain', ''))[:200]}


async def _display(hub: Hub, asked: Dict) -> Dict:
    def look(queue: Queue) -> Dict:
        found = displays(queue.ledger, _row(queue, asked['tid']))
        number = int(asked.get('number', 0))
        # One that is not there, as after a retry, has no data.
        return {
            key: found[number][key] if number < len(found) else {} for key in ('data', 'metadata')
        }

    found = await hub.queue(asked['queue'])
    return await found.do(look)


async def _cell(hub: Hub, asked: Dict) -> Dict:
    found = await hub.queue(asked['queue'])

    def look(queue: Queue) -> Dict:
        queue.ledger.follow()
        _rows(queue, asked['rows'], asked.get('first', ''))
        return cell_summary(
            queue,
            asked['rows'],
            title=asked.get('title', ''),
            observer=found.observer,
            outputs=asked.get('outputs', True),
        )

    return await found.do(look)


async def _graph(hub: Hub, asked: Dict) -> Dict:
    found = await hub.queue(asked['queue'])
    return await found.do(lambda queue: graph(queue.ledger, asked.get('name', ())))


async def _timeline(hub: Hub, asked: Dict) -> Dict:
    found = await hub.queue(asked['queue'])
    return await found.do(
        lambda queue: found.timeline(queue).view(asked.get('begin'), asked.get('end'))
    )


# Orders: each is what a verb of the command line does


def _chosen(queue: Queue, asked: Dict) -> list[int]:
    queue.ledger.follow()
    check_names(queue, asked.get('names'))
    return queue.select(
        tid=find_tasks(queue, asked.get('tids')),
        state=asked.get('states'),
        name=asked.get('names'),
        row=_rows(queue, asked['rows'], asked.get('first', '')) if 'rows' in asked else None,
    )


def _order(do: Callable[[Queue, Dict], Dict]) -> Answer:
    """Handle an order that is done at once."""

    async def answer(hub: Hub, asked: Dict) -> Dict:
        found = await hub.queue(asked['queue'])
        return await found.do(lambda queue: do(queue, asked))

    return answer


def _long_order(do: Callable[[Queue, Dict], Dict]) -> Answer:
    """Handle an order that waits for processes.

    It has a view of the queue of its own, so that others may look at it meanwhile.
    """

    async def answer(hub: Hub, asked: Dict) -> Dict:
        found: Followed = await hub.queue(asked['queue'])
        return await hub.run(lambda: do(Queue(found.folder, create=False), asked))

    return answer


def _tasks_words(n: int) -> str:
    return f'{n:,d} task{"" if n == 1 else "s"}'


def _pause(queue: Queue, asked: Dict) -> Dict:
    queue.pause()
    return {'message': 'Paused'}


def _resume(queue: Queue, asked: Dict) -> Dict:
    queue.resume(spawn=asked.get('spawn', False))
    return {'message': 'Resumed'}


def _retry(queue: Queue, asked: Dict) -> Dict:
    # As on the command line: those that did not succeed, unless tasks or states are named.
    rows = _chosen(queue, asked if 'tids' in asked else {'states': _BAD, **asked})
    n = len(queue.ledger.retry(lambda _: rows))
    if asked.get('spawn') and n:
        queue.keep_spawned()
    return {'tasks': n, 'message': f'Retrying {_tasks_words(n)}'}


def _cancel(queue: Queue, asked: Dict) -> Dict:
    rows = _chosen(queue, asked)
    n = len(queue.ledger.cancel(lambda _: rows))
    return {'tasks': n, 'message': f'Cancelled {_tasks_words(n)}'}


def _forget(queue: Queue, asked: Dict) -> Dict:
    n = len(queue.forget(superseded=True))
    return {'tasks': n, 'message': f'Cleared {_tasks_words(n)}'}


def _kill(queue: Queue, asked: Dict) -> Dict:
    ledger = queue.ledger
    vanished = len(ledger.judge(Observer(ledger.folder)))
    jobs = asked.get('jobids')
    asked_names, withdrawn = queue.end(jobid=jobs)
    names = [name for name in asked_names if name in ledger.state.workers]
    manager = len(asked_names) > len(names)
    asked_words = (
        f'{len(names):d} '
        f'worker{"" if len(names) == 1 else "s"}{" and the manager" if manager else ""}'
    )
    messages = [f'Stopping {asked_words}'] if names or manager else []
    if withdrawn.jobids:
        messages.append(
            f'Cancelled {len(withdrawn.jobids):d} job{"" if len(withdrawn.jobids) == 1 else "s"} '
            'that had not started'
        )
    message = '. '.join([*messages, *withdrawn.errors]) or 'No worker or manager is running'
    return {'workers': names, 'manager': manager, 'vanished': vanished, 'message': message}


def _delete(queue: Queue, asked: Dict) -> Dict:
    n = len(queue)
    queue.delete()
    return {'tasks': n, 'message': f'Deleted the queue and {_tasks_words(n)}'}


def _spawn(queue: Queue, asked: Dict) -> Dict:
    most = asked.get('max_workers')
    pid, log = begin(queue, max_workers=None if most is None else int(most))
    return {'pid': pid, 'log': log, 'message': 'Started'}


def _trust(queue: Queue, asked: Dict) -> Dict:
    """Trust a user whose outputs are shown as text, or whose queue this is; nobody else."""
    ledger = queue.ledger
    ledger.follow()
    user = asked['user']
    users = {untrusted_owner(ledger), *untrusted_writers(ledger)}
    users |= {untrusted_writer(ledger, _row(queue, tid)) for tid in asked.get('tids', ())}
    if user not in users - {'', UNNAMED}:
        return {'message': f'Nothing here needs trust in {user}. Nothing was changed'}
    if os.environ.get('DESIPIPE_TRUST'):
        raise ConfigError(
            'DESIPIPE_TRUST is set, and wins over the configuration. Nothing was changed. '
            'Type:\nunset DESIPIPE_TRUST'
        )
    config = Config()
    config['trusted_users'] = [*config['trusted_users'], user]
    config.save()
    return {'message': f'{user} is trusted. To take that back: desipipe trust --remove {user}'}


def _resize(queue: Queue, asked: Dict) -> Dict:
    most = int(asked['max_workers'])  # 2.0 is a whole number too, in JSON
    queue.ledger.resize(most)
    return {'message': f'At most {most:d} task{"" if most == 1 else "s"} in parallel'}


_WORKERS = {
    'type': 'integer',
    'minimum': 1,
    'maximum': 100_000,
    'description': 'The most tasks at once for each task manager',
}
_STARTED = _object(pid=_COUNT, log=_TEXT, message=_TEXT)
_CHANGED = _object(tasks=_COUNT, message=_TEXT)

LOOKS = (
    Route(
        'queues',
        'Queues that there are, each with what a list shows of it',
        _queues,
        {
            'folder': _several(
                {'type': 'string', 'minLength': 1, 'maxLength': 4096},
                'Folders to search too; below the folder that the server shows',
                50,
            )
        },
        (),
        {'type': 'array', 'items': _LINE},
    ),
    Route(
        'queue',
        'All there is to see of a queue at one glance',
        _queue,
        {'queue': _QUEUE},
        ('queue',),
        _object(
            queue=_TEXT,
            name=_TEXT,
            folder=_TEXT,
            time=_TIME,
            owner=_TEXT,
            untrusted=_TEXT,
            condition=_TEXT,
            total=_COUNT,
            counts=_COUNTS,
            claimed=_COUNT,
            blocked=_COUNT,
            left=_COUNT,
            workers=_LIST,
            jobs=_LIST,
            rate=_NUMBER,
            eta=_NUMBER,
            failures=_LIST,
            causes=_LIST,
            damage=_LIST,
        ),
    ),
    Route(
        'tasks',
        'A page of the tasks of a queue, in order of their coming',
        _tasks,
        {
            'queue': _QUEUE,
            'state': _several(_SHOWN, 'Only tasks in one of these states', FEW),
            'name': _several(_NAME, 'Only tasks of these apps', FEW),
            'text': {
                'type': 'string',
                'maxLength': 1000,
                'description': 'Part of name[index] or of the cause, the identity, or i=12',
            },
            'order': {
                'type': 'string',
                'enum': ['', *ORDERS_OF_TASKS],
                'default': '',
                'description': 'By default, as they were added',
            },
            'rows': _ROWS,
            'first': _FIRST,
            'offset': _whole(0, 1_000_000_000, 0, 'How many to pass over'),
            'limit': _whole(1, MOST, 100, 'How many at most'),
        },
        ('queue',),
        _object(
            total=_COUNT, offset=_COUNT, tasks={'type': 'array', 'items': _TASK, 'maxItems': MOST}
        ),
    ),
    Route(
        'apps',
        'The apps of a queue: how many tasks each has, how long they take, how many did not '
        'succeed',
        _apps,
        {'queue': _QUEUE},
        ('queue',),
        _LIST,
    ),
    Route(
        'task',
        'All that is known of a task',
        _task,
        {'queue': _QUEUE, 'tid': _TID},
        ('queue', 'tid'),
        _TASK,
    ),
    Route(
        'log',
        'A piece of what a task printed',
        _log,
        {
            'queue': _QUEUE,
            'tid': _TID,
            'stream': {'type': 'string', 'enum': ['out', 'err'], 'default': 'out'},
            'offset': _whole(0, 1_000_000_000_000, 0, 'The offset of the last piece'),
            'part': {
                'type': 'string',
                'maxLength': 100,
                'description': 'The part of the last piece',
            },
            'attempt': _whole(
                0, 1_000_000_000, 0, 'Number of an attempt that ended; 0: the last one'
            ),
        },
        ('queue', 'tid'),
        _object(
            text=_TEXT,
            offset=_COUNT,
            part=_TEXT,
            fresh=_FLAG,
            more=_FLAG,
            over=_FLAG,
            attempt=_COUNT,
        ),
    ),
    Route(
        'displays',
        'Figures, tables and what else a task displayed: of which kinds, and how large',
        _displays,
        {'queue': _QUEUE, 'tid': _TID},
        ('queue', 'tid'),
        _object(displays=_LIST, total=_COUNT, untrusted=_TEXT),
    ),
    Route(
        'display',
        'One display of a task, whole, as nbformat has it',
        _display,
        {'queue': _QUEUE, 'tid': _TID, 'number': _whole(0, 100_000, 0, 'Which one, from 0')},
        ('queue', 'tid'),
        _object(data={'type': 'object'}, metadata={'type': 'object'}),
    ),
    Route(
        'cell',
        'All there is to see of the tasks of a cell',
        _cell,
        {
            'queue': _QUEUE,
            'rows': _ROWS,
            'first': _FIRST,
            'title': {'type': 'string', 'maxLength': 1000},
            'outputs': {
                'type': 'boolean',
                'default': True,
                'description': 'Whether to tell what the tasks printed and drew',
            },
        },
        ('queue', 'rows'),
        _object(
            version=_COUNT,
            queue=_TEXT,
            folder=_TEXT,
            rows=_TEXT,
            condition=_TEXT,
            total=_COUNT,
            counts=_COUNTS,
            left=_COUNT,
            outputs=_LIST,
        ),
    ),
    Route(
        'graph',
        'Which tasks need which; grouped by app when there are many',
        _graph,
        {'queue': _QUEUE, 'name': _several(_NAME, 'Apps whose tasks are shown one by one', FEW)},
        ('queue',),
        _object(grouped=_FLAG, total=_COUNT, nodes=_LIST, edges=_LIST),
    ),
    Route(
        'timeline',
        'Who ran what when; counted instead of shown one by one when there is much',
        _timeline,
        {'queue': _QUEUE, 'begin': _TIME, 'end': _TIME},
        ('queue',),
        _object(
            began=_NUMBER, ended=_NUMBER, total=_COUNT, aggregated=_FLAG, lanes=_LIST, hidden=_COUNT
        ),
    ),
)

ORDERS = tuple(
    Route(
        f'actions/{name}',
        words,
        answer,
        {'queue': _QUEUE, **members},
        ('queue', *required),
        result,
        True,
        rules,
    )
    for name, words, answer, members, required, result, rules in (
        ('pause', 'Pause the queue: no task begins', _order(_pause), {}, (), _DONE, {}),
        ('resume', 'Let tasks begin again', _order(_resume), {'spawn': _SPAWN}, (), _DONE, {}),
        (
            'retry',
            'Let tasks run again that ended',
            _order(_retry),
            {**_CONDITIONS, 'spawn': _SPAWN},
            (),
            _CHANGED,
            {},
        ),
        (
            'cancel',
            'Let tasks not begin, or stop those that run',
            _order(_cancel),
            _CONDITIONS,
            (),
            _CHANGED,
            {'anyOf': [{'required': [name]} for name in ('rows', 'tids', 'states', 'names')]},
        ),
        (
            'kill',
            'End workers at once; all of them, and the manager, unless jobs are named',
            _order(_kill),
            {'jobids': _several(_NAME, 'Jobs')},
            (),
            _DONE,
            {},
        ),
        (
            'forget',
            'Delete the superseded tasks that do not run, with their results',
            _order(_forget),
            {},
            (),
            _CHANGED,
            {},
        ),
        (
            'delete',
            'Delete the queue, with all its tasks and results',
            _long_order(_delete),
            {},
            (),
            _CHANGED,
            {},
        ),
        (
            'trust',
            'Trust the user whose queue, or whose tasks, this user may only look at',
            _order(_trust),
            {
                'user': {'type': 'string', 'minLength': 1, 'maxLength': 256},
                'tids': _CONDITIONS['tids'],
            },
            ('user',),
            _DONE,
            {},
        ),
        (
            'spawn',
            'Start a manager',
            _long_order(_spawn),
            {'max_workers': _WORKERS},
            (),
            _STARTED,
            {},
        ),
        (
            'resize',
            'Let another number of tasks run at once, from now on',
            _order(_resize),
            {'max_workers': _WORKERS},
            ('max_workers',),
            _object(message=_TEXT),
            {},
        ),
    )
)


async def _nobody(hub: Hub, asked: Dict) -> None:
    raise NotImplementedError('a stream is not answered at once')


EVENTS = Route(
    'events',
    "A stream of events: 'queue', with what a list shows of one, each time that something happened "
    "to it; 'trouble', with an error, when it cannot be read",
    _nobody,
    {'queue': {**_several(_QUEUE, 'Queues to follow', 500), 'minItems': 1}},
    ('queue',),
    _TEXT,
)
