"""Functions on queues by name or pattern: get, kill and retry."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..config import Config
from ..utils import is_pattern
from .conditions import job_texts, several
from .names import find_queues
from .queue import Queue
from .task import Task

if TYPE_CHECKING:
    from .overview import GivenProvider

__all__ = ['get_queue', 'kill', 'retry']


def get_queue(
    queue: str | Queue | Iterable[str | Queue],
    create: bool | None = None,
    one: bool = True,
    config: Config | None = None,
) -> Any:
    """Return the queues of names and patterns.

    Parameters
    ----------
    queue : str, Queue, list
        Names, with ``*``, ``?``, ``[…]`` for several; queues are returned as they are.
    create : bool, default=None
        As for :class:`Queue`. A pattern makes nothing.
    one : bool, default=True
        Return one queue; if False, a list.
    config : Config, default=None

    Returns
    -------
    queue : Queue, list of Queue

    Raises
    ------
    ValueError
        With ``one``, if there are several, or none.
    UnknownQueueError
        If ``create`` is False, and there is no such queue.
    """
    queues: list[Queue] = []
    for item in [queue] if isinstance(queue, str | Queue) else queue:
        if isinstance(item, Queue):
            queues.append(item)
        elif is_pattern(item):
            queues += [
                Queue(folder, create=False, config=config)
                for folder in find_queues(item, config=config)
            ]
        else:
            queues.append(Queue(item, create=create, config=config))
    if one and len(queues) != 1:
        raise ValueError(
            f'{len(queues) or "No"} queues are {queue!r}, where one is meant. List queues with: '
            'desipipe queues'
        )
    return queues[0] if one else queues


def kill(
    queue: str | Queue | Iterable[str | Queue] | None = None,
    provider: GivenProvider | None = None,
    jobid: str | int | Iterable[str | int] | None = None,
    state: str | Iterable[str] | None = None,
    **kwargs: Any,
) -> list[str]:
    """End the workers of queues at once.

    Parameters
    ----------
    queue : str, Queue, list, default=None
        As for :func:`get_queue`; None: jobs of no queue in particular, by their ids.
    provider : str, dict, BaseProvider, default=None
        Only workers of providers of this name. Without ``queue`` the provider whose jobs these are.
    jobid : str, list, default=None
        Only workers of these jobs.
    state : str, list, default=None
        Cancel tasks in one of these states instead; with ``tid``, ``name`` or ``index``, by default
        RUNNING ones, and of ``tid`` all that have not ended.
    **kwargs
        ``tid``, ``name``, ``index``: cancel these tasks instead; ``mid``, ``manager``: as for
        :meth:`Queue.kill`.

    Returns
    -------
    names : list of str
        Of the workers, or identities of the tasks.

    Raises
    ------
    ValueError
        Neither a queue, nor jobs and their provider are given.
    """
    jobids = None if jobid is None else job_texts(jobid)
    if queue is None:
        if jobids is None or provider is None:
            raise ValueError(
                'Say which queue, or which jobs of which provider: kill(jobid=..., provider=...). '
                'Nothing was ended.'
            )
        from ..provider import Provider

        Provider(provider).kill(*jobids)
        return jobids
    of_tasks = state is not None or bool(kwargs.keys() & {'tid', 'name', 'index'})
    if of_tasks and state is None and 'tid' not in kwargs:
        state = 'RUNNING'
    names: list[str] = []
    for one in get_queue(queue, create=False, one=False):
        if of_tasks:
            names += _cancel(one, provider, jobids, state, **kwargs)
        else:
            names += one.kill(jobid=jobids, provider=provider, **kwargs)
    return names


def _cancel(
    queue: Queue,
    provider: GivenProvider | None,
    jobids: list[str] | None,
    state: str | Iterable[str] | None,
    **conditions: Any,
) -> list[str]:
    """Cancel tasks of a queue; return their identities."""
    if provider is not None:
        mids = queue.mids_of(provider)
        named = several(conditions['mid']) if 'mid' in conditions else mids
        conditions['mid'] = [mid for mid in mids if mid in named]
    if state is not None:
        conditions['state'] = state
    if jobids is not None:
        conditions['jobid'] = jobids
    return [task.id for task in queue.cancel(**conditions)]


def retry(
    queue: str | Queue | Iterable[str | Queue],
    state: str | Iterable[str] = 'KILLED',
    spawn: bool = False,
    **kwargs: Any,
) -> list[Task]:
    """Run tasks again; see :meth:`Queue.retry`.

    Parameters
    ----------
    queue : str, Queue, list
        As for :func:`get_queue`.
    state : str or iterable of str, default='KILLED'
        Of the tasks; those of ``tid=`` run again whatever state they ended in.
    spawn : bool, default=False
        True to start detached managers.
    **kwargs
        As for :meth:`Queue.retry`.

    Returns
    -------
    tasks : list of Task
    """
    tasks: list[Task] = []
    for one in get_queue(queue, create=False, one=False):
        tasks += one.retry(state=state, **kwargs)
        if spawn:
            one.keep_spawned()
    return tasks
