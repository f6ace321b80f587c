"""Build the summaries of queues, workers and tasks that the faces display.

Everything here can be written as JSON. Nothing is unpickled: code, arguments and output are the
text that is kept beside the payloads. Whatever is costly to know (a task's cause, its times) is
read from the journal for the tasks that are asked about, each line once.
"""

from __future__ import annotations

import heapq
import os
import time
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ..errors import CorruptJournalError, PayloadError, QueueGoneError
from ..queue.attempt_reader import Attempt, AttemptReader
from ..queue.event_checks import check_event
from ..queue.events import (
    DROPPED,
    ENDED,
    FAILED,
    KILLED,
    LOST,
    PENDING,
    RUNNING,
    STATES,
    SUCCEEDED,
    UNKNOWN,
    WAITING,
    Event,
)
from ..security.trust import held_text, look_at
from ..store.journal import pieces
from ..store.lease import Observer, Record, gone, read_lease
from ..store.lines import LINE_MAX, RefusedEvent, lines
from ..utils import username

if TYPE_CHECKING:
    from ..queue.read_only import ReadableQueue
    from .schema import (
        AttemptView,
        CauseView,
        Condition,
        Counts,
        DurationsView,
        FailureView,
        FileUse,
        HeldView,
        JobGroup,
        JobState,
        JobView,
        ManagerView,
        OwnershipView,
        QueueBrief,
        QueueFacts,
        QueueSummary,
        RelativeView,
        TaskDetail,
        TaskLabel,
        TaskState,
        TaskSummary,
        WorkerView,
    )

WINDOW = 60.0  # s over which tasks per second are counted
FAILURES = 5  # failures that a queue's summary names
JOB_TASKS = 4  # tasks that are named of a batch job
RELATED = 100  # requirements and dependants that a task's detail names
_TAIL = 256 * 1024  # bytes of the journal to look for recent ends in

T = TypeVar('T')


def state_name(code: int) -> TaskState:
    """Name of a task's state, ``'DELETED'`` for one that was taken out of the queue."""
    return 'DELETED' if code == DROPPED else cast('TaskState', STATES[code])


def task_name(ledger: AttemptReader, row: int) -> str:
    """The name of a task's app."""
    return ledger.state.group_of(row).name


def is_alive(folder: str, name: str, observer: Observer | None = None) -> bool | None:
    """Return True if a worker or a manager that lives by the journal really does.

    Parameters
    ----------
    folder : str
        The queue's folder.
    name : str
        Its name in the journal.
    observer : Observer, default=None
        For those who look again and again: judges processes of other machines by their beats.

    Returns
    -------
    alive : bool or None
        ``None`` if that can't be known from here (yet): it runs on another machine.
    """
    return _alive(read_lease(folder, name), name, observer)


def _alive(record: Record | None, name: str, observer: Observer | None) -> bool | None:
    if record is None:
        # a process takes its lease before it announces itself, and takes it away when it ends
        return False
    ended = gone(record)
    if ended is None:
        return False if observer is not None and observer.dead(name, time.monotonic()) else None
    return not ended


def queue_brief(queue: ReadableQueue, observer: Observer | None = None) -> QueueBrief:
    """Summarise a queue for a list of queues: cheap, however large the queue is.

    Parameters
    ----------
    queue : Queue
    observer : Observer, default=None
        See :func:`is_alive`.

    Returns
    -------
    brief : QueueBrief

    Raises
    ------
    QueueGoneError
        The queue was deleted.
    """
    return {**_facts(queue, observer), 'workers': len(queue.ledger.state.alive)}


def _facts(queue: ReadableQueue, observer: Observer | None) -> QueueFacts:
    ledger = queue.ledger
    ledger.follow()
    state = ledger.state
    shown, claimed = state.counts_shown()
    counts = cast('Counts', shown)
    blocked = len(ledger.blocked())
    left = counts['PENDING'] + counts['RUNNING'] + counts['WAITING'] - blocked
    manager = _manager(ledger, observer)
    # One that is at work says enough; it is known by reading its lease.
    somebody = bool(manager and manager['alive'] is not False) or any(
        is_alive(ledger.folder, name, observer) is not False for name in list(state.alive)
    )
    now = time.time()
    rate = _rate(ledger, now) if counts['RUNNING'] else None
    last_says = state.last_manager.get('says', '') if manager is None else ''
    return {
        'name': queue.name,
        'folder': ledger.folder,
        'time': now,
        'state': 'PAUSED' if state.paused else 'ACTIVE',
        'condition': condition(counts, left, state.paused, somebody),
        'total': sum(counts.values()),
        'counts': counts,
        'superseded': state.n_superseded,
        'claimed': claimed,
        'blocked': blocked,
        'left': left,
        'manager': manager,
        'last_says': last_says if counts['PENDING'] else '',
        'limits': _limits(ledger),
        'rate': rate,
        'eta': left / rate if rate and not state.paused else None,
        **ownership(ledger),
    }


def _limits(ledger: AttemptReader) -> dict[str, int]:
    limits = {mid: limit(ledger, mid) for mid in ledger.state.managers}
    return {mid: most for mid, most in limits.items() if most is not None}


def limit(ledger: AttemptReader, mid: str) -> int | None:
    """Return how many tasks of a task manager may run in parallel; None if unknown.

    Its scheduler is not asked.
    """
    resized = ledger.state.most(mid)
    if resized is not None:
        return resized
    scheduler = ledger.state.managers[mid].get('scheduler')
    most = scheduler.get('max_workers') if isinstance(scheduler, dict) else None
    return most if type(most) is int else None


def ownership(ledger: AttemptReader) -> OwnershipView:
    """Return whose queue it is, and whether this user may use it."""
    holding = look_at(ledger.folder)
    return {
        'owner': holding.owner,
        'own': holding.uid == os.geteuid(),
        'group': str(ledger.journal.header.get('group', '')),
        'untrusted': untrusted_owner(ledger),
    }


def untrusted_owner(ledger: AttemptReader) -> str:
    """Return the name of the untrusted owner who makes the queue unusable; else ''."""
    if ledger.use_error() is None:
        return ''
    holdings = [look_at(ledger.folder), look_at(ledger.journal.path)]
    return next(
        (holding.owner for holding in holdings if not ledger.trusts(holding.uid)), holdings[0].owner
    )


def queue_summary(queue: ReadableQueue, observer: Observer | None = None) -> QueueSummary:
    """Summarise all there is to see of a queue at one glance.

    Parameters
    ----------
    queue : Queue
    observer : Observer, default=None
        See :func:`is_alive`.

    Returns
    -------
    summary : QueueSummary

    Raises
    ------
    QueueGoneError
        The queue was deleted.
    """
    facts = _facts(queue, observer)
    ledger = queue.ledger
    return {
        **facts,
        'workers': [
            _worker(ledger, worker, observer) for worker in list(ledger.state.alive.values())
        ],
        'jobs': job_summaries(ledger),
        'failures': _failures(ledger),
        'causes': blocked_causes(ledger),
        'damage': [
            {'file': ledger.journal.path, 'offset': offset, 'length': length}
            for offset, length in ledger.state.damage
        ],
        'held': held_tasks(ledger),
    }


def held_tasks(ledger: AttemptReader) -> list[HeldView]:
    """Return whose pending tasks do not run as this user in a group's queue."""
    if ledger.use_error() is not None:
        return []
    return [
        {'user': user, 'count': n, 'text': held_text(user, n)} for user, n in ledger.held().items()
    ]


def condition(counts: Counts, left: int, paused: bool, somebody: bool) -> Condition:
    """Return the condition of tasks with these counts."""
    if not any(counts.values()):
        return 'empty'
    if not left:
        return 'done' if counts['SUCCEEDED'] == sum(counts.values()) else 'failed'
    if paused:
        return 'paused'
    return 'running' if somebody else 'stopped'


def _manager(ledger: AttemptReader, observer: Observer | None) -> ManagerView | None:
    event = ledger.state.manager
    if event is None:
        return None
    return {
        'name': event['w'],
        'host': event.get('host', ''),
        'pid': event.get('pid', 0),
        'since': event['t'],
        'alive': is_alive(ledger.folder, event['w'], observer),
        'says': event.get('says', ''),
        'stopping': bool(event.get('stop')),
    }


def job_summaries(
    ledger: AttemptReader, mids: Container[str] | None = None, rows: Container[int] | None = None
) -> list[JobView]:
    """Summarise the jobs of batch systems that have not ended, and what they run.

    Parameters
    ----------
    ledger : Ledger
    mids : container of str, default=None
        Only jobs of these task managers.
    rows : container of int, default=None
        Only these tasks count as run.

    Returns
    -------
    jobs : list of JobView
        In order of submission; each names :data:`JOB_TASKS` tasks at most.
    """
    workers: dict[str, list[Any]] = {}
    for worker in list(ledger.state.alive.values()):
        workers.setdefault(worker.job, []).append(worker)
    return [
        _job(ledger, jobid, workers.get(jobid, []), rows)
        for jobid, job in list(ledger.state.jobs.items())
        if mids is None or job['mid'] in mids
    ]


def _job(
    ledger: AttemptReader, jobid: str, workers: Sequence[Any], rows: Container[int] | None
) -> JobView:
    job = ledger.state.jobs[jobid]
    running = [
        row for worker in workers for row in worker.rows_in_slots() if rows is None or row in rows
    ]
    claimed = [
        row
        for worker in workers
        for row in worker.rows_before_slots()
        if rows is None or row in rows
    ]
    view: JobView = {
        'job': jobid,
        'mid': job['mid'],
        'slots': job['slots'],
        'state': job['state'],
        'reason': job['reason'],
        'node': job['node'],
        'ends': job['ends'],
        'workers': [worker.name for worker in workers],
        'running': len(running),
        'claimed': len(claimed),
        'tasks': [task_label(ledger, row) for row in running[:JOB_TASKS]],
    }
    if 'cluster' in job:
        view['cluster'] = job['cluster']
    return view


def job_groups(jobs: Iterable[JobView]) -> list[JobGroup]:
    """Group jobs by state and reason, for where there are too many to name each.

    Parameters
    ----------
    jobs : iterable of JobView
        Of :func:`job_summaries`.

    Returns
    -------
    groups : list of JobGroup
        Those that run first, then the largest.
    """
    alike: dict[tuple[JobState, str], list[JobView]] = {}
    for job in jobs:
        alike.setdefault((job['state'], job['reason']), []).append(job)
    order = sorted(alike.items(), key=lambda item: (item[0][0] != 'running', -len(item[1])))
    return [_group(state, reason, some) for (state, reason), some in order]


def _group(state: JobState, reason: str, jobs: list[JobView]) -> JobGroup:
    ends = [job['ends'] for job in jobs if job['ends'] is not None] if state == 'running' else []
    return {
        'state': state,
        'reason': reason,
        'n': len(jobs),
        'nodes': len({job['node'] for job in jobs if job['node']}),
        'running': sum(job['running'] for job in jobs),
        'ends': [min(ends), max(ends)] if ends else None,
    }


def _worker(ledger: AttemptReader, worker: Any, observer: Observer | None) -> WorkerView:
    rows = worker.rows_in_slots()  # it may hold many short tasks
    record = read_lease(ledger.folder, worker.name) or {}
    return {
        'name': worker.name,
        'host': worker.host,
        'pid': worker.pid,
        'job': worker.job,
        'mid': worker.mid or '',
        'slots': worker.slots,
        'since': worker.time,
        'alive': _alive(record or None, worker.name, observer),
        'stopping': worker.stop is not None,
        'trouble': record.get('trouble', ''),
        'running': len(worker.rows) - worker.claimed,
        'claimed': worker.claimed,
        'tasks': [
            {**task_label(ledger, row), 'since': ledger.state.started.get(row)} for row in rows
        ],
        'cpu': record.get('cpu'),
        'memory': record.get('memory'),
    }


def task_label(ledger: AttemptReader, row: int) -> TaskLabel:
    """Return the name of a task."""
    return {
        'tid': ledger.state.ids[row].hex(),
        'name': task_name(ledger, row),
        'index': ledger.state.index[row],
    }


def _rate(ledger: AttemptReader, now: float) -> float | None:
    # From the times of the last lines of the journal, for people only: clocks of several hosts are
    # mixed here.
    ends, first = _recent(ledger)
    now = max([now, *(when for when, _, _ in ends)])
    ends = [end for end in ends if end[0] > now - WINDOW]
    if ends:
        since = max(now - WINDOW, first, min(began for _, began, _ in ends))
        return sum(n for _, _, n in ends) / max(now - since, 1e-3)
    return usual_rate(ledger, list(ledger.state.running), now)


def usual_rate(ledger: AttemptReader, rows: Iterable[int], now: float) -> float | None:
    """Return the expected tasks per second of running tasks without recent ends.

    Each takes as long as the tasks of its app before, or as it has taken already.
    """
    state = ledger.state
    rate = 0.0
    for row in rows:
        group = state.group[row]
        if state.group_done[group]:
            usual = state.group_time[group] / state.group_done[group] * 1e-6
            rate += 1 / max(usual, now - state.started.get(row, now), 1e-6)
    return rate or None


def _recent(ledger: AttemptReader) -> tuple[list[tuple[float, float, int]], float]:
    """Return the ends in the journal's tail, and the time from which none is missing.

    Each has the time it was reported, that of its first start, and a number of tasks.
    """
    ends: list[tuple[float, float, int]] = []
    end = ledger.journal.offset
    start = max(0, end - _TAIL)
    try:
        data = ledger.journal.read_range(start, end)
    except QueueGoneError:  # the next look at the queue says what became of it
        return ends, 0.0
    if start:
        skip = data.find(b'\n') + 1
        data, start = data[skip:], start + skip
    first = 0.0
    for offset, line in lines(data, start):
        if not line.startswith((b'{"e":"end"', b'{"e":"run"')):
            continue
        event = _decoded(line, offset)
        if (
            event is None or 'kind' in event
        ):  # compaction wrote down again what had been long before
            continue
        if not first and start:
            first = event['t']
        elif event['e'] == 'end':
            ends.append((event['t'], event['t0'], len(event['rows'])))
    return ends, first


def _decoded(line: bytes, offset: int) -> Event | None:
    event = next((piece.event for piece in pieces(line, offset) if piece.offset == offset), None)
    if event is None:
        return None
    try:
        # The fold looks at what it needs of frequent events, and at nothing of late ones.
        check_event(event)
    except RefusedEvent:
        return None
    return event


def _failures(ledger: AttemptReader) -> list[FailureView]:
    state = ledger.state
    if not state.total(FAILED, KILLED, UNKNOWN):
        return []
    rows = [
        row
        for row, status in enumerate(state.status)
        if FAILED <= status <= UNKNOWN and row not in state.superseded
    ]
    # The first in time, as others may be its consequence; but not what someone cancelled, if there
    # is more to say.
    first = heapq.nsmallest(
        FAILURES, rows, key=lambda row: (state.status[row] == KILLED, state.ended_at[row], row)
    )
    return [failure_of(task) for task in task_summaries(ledger, first)]


def failure_of(task: TaskSummary) -> FailureView:
    """Return why a task did not succeed."""
    return {
        'tid': task['tid'],
        'name': task['name'],
        'index': task['index'],
        'state': task['state'],
        'cause': task['cause'],
    }


def blocked_causes(ledger: AttemptReader, rows: Iterable[int] | None = None) -> list[CauseView]:
    """Return unsuccessful tasks that others need, with how many tasks each blocks.

    Parameters
    ----------
    ledger : Ledger
    rows : iterable of int, default=None
        The blocked tasks that count; by default all.

    Returns
    -------
    causes : list of CauseView
        The one that blocks most first.
    """
    blocked = ledger.blocked()
    counts = Counter(blocked.values() if rows is None else (blocked[row] for row in rows))
    causes = [row for row, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
    tasks = task_summaries(ledger, causes)
    return [
        {**failure_of(task), 'count': counts[row]} for row, task in zip(causes, tasks, strict=True)
    ]


# Tasks


def events_at(ledger: AttemptReader, offsets: Iterable[int]) -> Iterator[tuple[int, Event | None]]:
    """Yield the events at offsets of the journal, or None where one is damaged."""
    with ledger.journal.open_reader() as file:
        for offset in offsets:
            file.seek(offset)
            yield offset, _decoded(file.readline(LINE_MAX), offset)


def task_summaries(ledger: AttemptReader, rows: Sequence[int]) -> list[TaskSummary]:
    """Summarise the tasks of a list.

    Parameters
    ----------
    ledger : Ledger
    rows : sequence of int

    Returns
    -------
    tasks : list of TaskSummary
        In the order of ``rows``.
    """
    state = ledger.state
    blocked, claimed = ledger.blocked(), state.claimed_rows()
    tasks: dict[int, TaskSummary] = {}
    ended: dict[int, list[int]] = {}
    for row in rows:
        status = state.status[row]
        group = state.groups[state.group[row]]
        task = tasks[row] = {
            'tid': state.ids[row].hex(),
            'name': group.name,
            'index': state.index[row],
            'state': state_name(status) if row not in claimed else 'PENDING',
            'claimed': row in claimed,
            'blocked': state.ids[blocked[row]].hex() if row in blocked else '',
            'superseded': row in state.superseded,
            'mid': group.mid,
            'attempt': state.attempt[row],
            'worker': '',
            'host': '',
            'job': '',
            'began': None,
            'duration': None,
            'memory': None,
            'cause': '',
        }
        if ledger.is_group_queue:
            task['user'], task['ran_by'] = author_of(ledger, row), ''
        if status == RUNNING:
            task['began'] = state.started.get(row) if row not in claimed else None
            _worked(task, state.running.get(row))
        elif status in ENDED and state.ended_at[row]:
            ended.setdefault(state.ended_at[row], []).append(row)
    if ended:
        for offset, event in events_at(ledger, sorted(ended)):
            _ended(ledger, tasks, ended[offset], event)
    return [tasks[row] for row in rows]


def author_of(ledger: AttemptReader, row: int) -> str:
    """Return the user who added a task to a queue that a group shares; '' elsewhere."""
    authors = ledger.authors
    uid = -1 if authors is None else authors.author_of(ledger.state, row)
    return username(uid) if uid >= 0 else ''


def _user_of(ledger: AttemptReader, name: str) -> str:
    worker = ledger.state.workers.get(name)
    return '' if worker is None else worker.user


def _worked(task: TaskSummary, worker: Any) -> None:
    if worker is not None:
        task['worker'], task['host'], task['job'] = worker.name, worker.host, worker.job
        if 'ran_by' in task:
            task['ran_by'] = worker.user


def _ended(
    ledger: AttemptReader, tasks: dict[int, TaskSummary], rows: list[int], event: Event | None
) -> None:
    if event is None:
        for row in rows:
            tasks[row]['cause'] = 'its details are in a damaged line of the journal'
    elif event['e'] == 'end':
        places = {row: i for i, row in enumerate(event['rows'])}
        extra = event.get('x', {})
        for row in rows:
            i, task = places[row], tasks[row]
            if event['w']:  # else someone had set it, and compaction wrote that down
                task['began'] = event['t0'] + event['b'][i] * 1e-6
                task['duration'] = event['d'][i] * 1e-6
                task['memory'] = (event['m'][i] * 1024 or None) if 'm' in event else None
            task['cause'] = (extra.get(str(i), {}).get('cause') or {}).get('text', '')
            _worked(task, ledger.state.workers.get(event['w']))
    else:  # someone set it
        for row in rows:
            tasks[row]['cause'] = event.get('cause', LOST if event['e'] == 'worker' else {}).get(
                'text', ''
            )


def task_summary(ledger: AttemptReader, row: int) -> TaskSummary:
    """Summarise one task of a list; for several, :func:`task_summaries` is faster."""
    return task_summaries(ledger, [row])[0]


def task_detail(ledger: AttemptReader, row: int) -> TaskDetail:
    """Read all that is known of a task; nothing is unpickled.

    Parameters
    ----------
    ledger : Ledger
    row : int

    Returns
    -------
    task : TaskDetail
        With :data:`RELATED` files, requirements and dependants at most.
    """
    state = ledger.state
    group = state.groups[state.group[row]]
    problems: list[str] = []

    def read(look: Callable[[], T], default: T) -> T:
        try:
            return look()
        except (CorruptJournalError, PayloadError) as exc:
            problems.append(str(exc))
            return default

    def trace() -> str:
        ref = ledger.cause(row).get('trace')
        return ledger.read_text(ref) if ref else ''

    nothing: tuple[list[Attempt], str] = ([], '')
    attempts, trace_text = read(lambda: (ledger.attempts(row), trace()), nothing)
    last = next((attempt for attempt in reversed(attempts) if attempt.counts), None)
    files: list[FileUse] = (
        [] if last is None else read(lambda: cast('list[FileUse]', ledger.files(last.files)), [])
    )
    requires, dependants = list(state.requires.get(row, ())), state.dependants_of(row)
    return {
        **task_summary(ledger, row),
        'kind': group.kind,
        'timeout': group.timeout,
        'retries': group.retries,
        'retry_on': list(group.retry_on),
        'priority': group.priority,
        'cwd': group.cwd,
        'added': read(lambda: ledger.journal.event_at(state.added_at[row]).get('t'), None),
        'code': read(lambda: ledger.read_text(ledger.code(row)['source']), ''),
        'arguments': read(lambda: ledger.arguments(row), {}),
        'versions': {} if last is None else state.versions.get((last.worker, group.app), {}),
        'environment': {} if last is None else state.versions.get((last.worker, ''), {}),
        'files': files[:RELATED],
        'n_files': len(files),
        'attempts': [_attempt(ledger, attempt) for attempt in attempts],
        'out': last.out.length if last and last.out else 0,
        'err': last.err.length if last and last.err else 0,
        'trace': trace_text,
        'result': _result_size(ledger, row),
        'requires': [_relative(ledger, other) for other in requires[:RELATED]],
        'n_requires': len(requires),
        'dependants': [_relative(ledger, other) for other in dependants[:RELATED]],
        'n_dependants': len(dependants),
        'problems': problems,
    }


def _attempt(ledger: AttemptReader, attempt: Attempt) -> AttemptView:
    view: AttemptView = {
        'attempt': attempt.number,
        'state': state_name(attempt.state),
        'worker': attempt.worker,
        'host': attempt.host,
        'job': attempt.job,
        'began': attempt.began,
        'duration': attempt.duration,
        'memory': attempt.memory or None,
        'cause': attempt.cause.get('text', ''),
        'current': attempt.counts,
        'out': attempt.out.length if attempt.out else 0,
        'err': attempt.err.length if attempt.err else 0,
    }
    if ledger.is_group_queue:
        view['user'] = _user_of(ledger, attempt.worker)
    return view


def _result_size(ledger: AttemptReader, row: int) -> int | None:
    ref = ledger.state.result(row)
    return ref.length if ref is not None and ledger.state.status[row] == SUCCEEDED else None


def _relative(ledger: AttemptReader, row: int) -> RelativeView:
    state, cause = ledger.state, ledger.blocked().get(row)
    return {
        **task_label(ledger, row),
        'state': state_name(state.status_shown(row)),
        'blocked': '' if cause is None else state.ids[cause].hex(),
        'superseded': row in state.superseded,
    }


def durations(
    ledger: AttemptReader, names: Iterable[str] | None = None, rows: Iterable[int] | None = None
) -> list[DurationsView]:
    """Return how long the tasks that succeeded took, app by app.

    Parameters
    ----------
    ledger : Ledger
    names : iterable of str, default=None
        Only apps of these names.
    rows : iterable of int, default=None
        Only these tasks.

    Returns
    -------
    apps : list of DurationsView
        In order of the apps' coming. In a queue that a group shares there is a line for each user
        whose workers ran tasks.
    """
    state = ledger.state
    wanted = None if names is None else set(names)
    chosen = None if rows is None else set(rows)
    taken: dict[str, dict[str, list[int]]] = {group.name: {} for group in state.groups}
    status, ended_at, group = state.status, state.ended_at, state.group
    offsets = sorted(
        {ended_at[row] for row in range(len(status)) if status[row] == SUCCEEDED and ended_at[row]}
    )
    lists = [taken[item.name] for item in state.groups]
    for offset, event in events_at(ledger, offsets):
        if event is not None and event['e'] == 'end' and event['w']:
            user = _user_of(ledger, event['w']) if ledger.is_group_queue else ''
            for row, duration in zip(event['rows'], event['d'], strict=True):
                if (
                    status[row] == SUCCEEDED
                    and ended_at[row] == offset
                    and (chosen is None or row in chosen)
                ):
                    lists[group[row]].setdefault(user, []).append(duration)
    return [
        _statistics(name, values, user if ledger.is_group_queue else None)
        for name, by_user in taken.items()
        for user, values in sorted(by_user.items())
        if wanted is None or name in wanted
    ]


def _statistics(name: str, values: list[int], user: str | None) -> DurationsView:
    values.sort()
    n, total = len(values), sum(values)
    median = (values[n // 2] + values[(n - 1) // 2]) / 2
    view: DurationsView = {
        'name': name,
        'n': n,
        'mean': total / n * 1e-6,
        'median': median * 1e-6,
        'min': values[0] * 1e-6,
        'max': values[-1] * 1e-6,
        'total': total * 1e-6,
    }
    if user is not None:
        view['ran_by'] = user
    return view


def is_left(ledger: AttemptReader, row: int) -> bool:
    """Return True for a running or future task: not ended, blocked or superseded."""
    status = ledger.state.status[row]
    if status in (WAITING, PENDING) and row in ledger.state.superseded:
        return False
    return status in (PENDING, RUNNING) or (status == WAITING and row not in ledger.blocked())
