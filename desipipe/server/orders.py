"""Do what pages order: each is what a verb of the command line does."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from ..config import Config
from ..errors import ConfigError
from ..execution.spawning import begin
from ..outputs.safe import UNNAMED
from ..queue.location import check_names, find_tasks
from ..queue.output import untrusted_writer, untrusted_writers
from ..queue.queue import Queue
from ..store.lease import Observer
from ..utils import plural
from ..view.appearance import BAD_STATES
from ..view.ownership import untrusted_owner
from ..view.schema import Changed, Done, Started, Stopped
from .followed import Followed
from .queues import Hub
from .requests import (
    KillRequest,
    QueueRequest,
    ResizeRequest,
    ResumeRequest,
    RetryRequest,
    SelectRequest,
    SpawnRequest,
    TrustRequest,
)
from .selected import row_of, rows_of

Answer = Callable[[Hub, Any], Awaitable[object]]
"""Answers a request of a route, whose struct it was checked against."""
Asked = TypeVar('Asked', bound=QueueRequest)


def _chosen(queue: Queue, asked: SelectRequest) -> list[int]:
    queue.ledger.follow()
    check_names(queue, asked.get('names'))
    return queue.select(
        tid=find_tasks(queue, asked.get('tids')),
        state=asked.get('states'),
        name=asked.get('names'),
        row=rows_of(queue, asked['rows'], asked.get('first', '')) if 'rows' in asked else None,
    )


def at_once(do: Callable[[Queue, Asked], object]) -> Callable[[Hub, Asked], Awaitable[object]]:
    """Handle an order that is done at once."""

    async def answer(hub: Hub, asked: Asked) -> object:
        followed = await hub.queue(asked['queue'])
        return await followed.do(lambda queue: do(queue, asked))

    return answer


def in_thread(do: Callable[[Queue, Asked], object]) -> Callable[[Hub, Asked], Awaitable[object]]:
    """Handle an order that waits for processes.

    It has a view of the queue of its own, so that others may look at it meanwhile.
    """

    async def answer(hub: Hub, asked: Asked) -> object:
        followed: Followed = await hub.queue(asked['queue'])
        return await hub.run(lambda: do(Queue(followed.folder, create=False), asked))

    return answer


def pause(queue: Queue, asked: QueueRequest) -> Done:
    """Pause a queue."""
    queue.pause()
    return {'message': 'Paused: no further task starts.'}


def resume(queue: Queue, asked: ResumeRequest) -> Done:
    """Resume a queue."""
    queue.resume(spawn=asked.get('spawn', False))
    return {'message': 'Resumed.'}


def retry(queue: Queue, asked: RetryRequest) -> Changed:
    """Run tasks again that ended."""
    # As on the command line: those that did not succeed, unless tasks or states are named; who
    # names a superseded task wants it to count again.
    chosen = asked.copy()
    if 'tids' not in asked and 'states' not in asked:
        chosen['states'] = list(BAD_STATES)
    rows = _chosen(queue, chosen)
    n = len(queue.ledger.retry(lambda _: rows, keep='tids' in asked))
    if asked.get('spawn') and n:
        queue.keep_spawned()
    return {'tasks': n, 'message': f'Retrying {plural(n)}.'}


def cancel(queue: Queue, asked: SelectRequest) -> Changed:
    """Keep tasks from beginning, and stop those that run."""
    rows = _chosen(queue, asked)
    n = len(queue.ledger.cancel(lambda _: rows))
    return {'tasks': n, 'message': f'Cancelled {plural(n)}.'}


def forget(queue: Queue, asked: QueueRequest) -> Changed:
    """Delete superseded tasks."""
    n = len(queue.forget(superseded=True))
    return {'tasks': n, 'message': f'Cleared {plural(n)}.'}


def kill(queue: Queue, asked: KillRequest) -> Stopped:
    """End workers."""
    ledger = queue.ledger
    vanished = len(ledger.end_lost_workers(Observer(ledger.folder)))
    jobs = asked.get('jobids')
    asked_names, withdrawn = queue.end(jobid=jobs)
    names = [name for name in asked_names if name in ledger.state.workers]
    manager = len(asked_names) > len(names)
    stopping = f'{plural(len(names), "worker")}{" and the manager" if manager else ""}'
    messages = [f'Stopping {stopping}.'] if names or manager else []
    if withdrawn.jobids:
        messages.append(f'Cancelled {plural(len(withdrawn.jobids), "job")} that had not started.')
    message = ' '.join([*messages, *withdrawn.errors]) or 'No worker or manager is running.'
    return {'workers': names, 'manager': manager, 'vanished': vanished, 'message': message}


def delete(queue: Queue, asked: QueueRequest) -> Changed:
    """Delete a queue."""
    n = len(queue)
    queue.delete()
    return {'tasks': n, 'message': f'Deleted the queue and {plural(n)}.'}


def spawn(queue: Queue, asked: SpawnRequest) -> Started:
    """Start a manager."""
    most = asked.get('max_workers')
    pid, log = begin(queue, max_workers=None if most is None else int(most))
    return {'pid': pid, 'log': log, 'message': 'Starting workers.'}


def trust(queue: Queue, asked: TrustRequest) -> Done:
    """Trust the owner of the queue, or a user whose outputs are shown as text."""
    ledger = queue.ledger
    ledger.follow()
    user = asked['user']
    users = {untrusted_owner(ledger), *untrusted_writers(ledger)}
    users |= {untrusted_writer(ledger, row_of(queue, tid)) for tid in asked.get('tids', ())}
    if user not in users - {'', UNNAMED}:
        return {'message': f'Nothing here needs trust in {user}. Nothing was changed.'}
    if os.environ.get('DESIPIPE_TRUST'):
        raise ConfigError(
            'DESIPIPE_TRUST is set, and wins over the configuration. Nothing was changed. '
            'Type:\nunset DESIPIPE_TRUST'
        )
    config = Config()
    config['trusted_users'] = [*config['trusted_users'], user]
    config.save()
    return {'message': f'{user} is trusted. To take that back: desipipe trust --remove {user}'}


def resize(queue: Queue, asked: ResizeRequest) -> Done:
    """Change the number of tasks that run at once."""
    most = int(asked['max_workers'])  # 2.0 is a whole number too, in JSON
    queue.ledger.resize(most)
    return {'message': f'At most {plural(most)} in parallel.'}
