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
from collections.abc import Container, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from ..errors import CorruptJournalError, PayloadError, QueueGoneError
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
from ..queue.ledger import Ledger
from ..queue.queue import Queue
from ..security.trust import held_text, look_at
from ..store.journal import pieces
from ..store.lease import Observer, Record, gone, read_lease
from ..store.lines import LINE_MAX, RefusedEvent, lines
from ..utils import username

WINDOW = 60.0  # s over which tasks per second are counted
FAILURES = 5  # failures that a queue's summary names
JOB_TASKS = 4  # tasks that are named of a batch job
RELATED = 100  # requirements and dependants that a task's detail names
_TAIL = 256 * 1024  # bytes of the journal to look for recent ends in

Dict = dict[str, Any]


class Look(NamedTuple):
    """A state's look, the same everywhere. Never by the colour alone: each has its symbol."""

    symbol: str
    """One character, as wide as a letter."""
    colour: str
    """``#rrggbb``; legible on light and on dark, and told apart by the colour-blind."""
    words: str


LOOKS = {
    'WAITING': Look('◌', '#8c8c8c', 'waits for other tasks'),
    'PENDING': Look('○', '#3f93c6', 'waits for a worker'),
    'CLAIMED': Look('◔', '#3f93c6', 'waits for a slot of the worker that claimed it'),
    'RUNNING': Look('●', '#0a84d0', 'runs'),
    'SUCCEEDED': Look('✓', '#009e73', 'has its result'),
    'FAILED': Look('✕', '#d55e00', 'raised, or returned an error'),
    'KILLED': Look('⊘', '#c46f9f', 'was ended from outside, or cancelled'),
    'UNKNOWN': Look('?', '#bf8000', 'its worker vanished'),
    'BLOCKED': Look('‖', '#9a7416', 'cannot run until what it needs is retried'),
    'SUPERSEDED': Look(
        '↷', '#8c8c8c', 'is of code that other code took the place of; does not count'
    ),
    'DELETED': Look('–', '#8c8c8c', 'was deleted'),
}
"""By the name of the state; a BLOCKED task is a WAITING one whose requirement did not succeed, a
CLAIMED one a PENDING one that a worker took.
"""

CONDITIONS = {
    'empty': Look('·', '#8c8c8c', 'no tasks'),
    'running': Look('●', '#0a84d0', 'running'),
    'paused': Look('‖', '#bf8000', 'paused: no task begins'),
    'stopped': Look('■', '#bf8000', 'tasks are left and no worker is running'),
    'failed': Look('✕', '#d55e00', 'ended, not all tasks succeeded'),
    'done': Look('✓', '#009e73', 'all tasks succeeded'),
}
"""What a queue as a whole is doing, see :func:`queue_summary`."""


def state_name(code: int) -> str:
    """Name of a task's state, ``'DELETED'`` for one that was taken out of the queue."""
    return 'DELETED' if code == DROPPED else STATES[code]


def task_name(ledger: Ledger, row: int) -> str:
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
    known = gone(record)
    if known is None:
        return False if observer is not None and observer.dead(name, time.monotonic()) else None
    return not known


def queue_brief(queue: Queue, observer: Observer | None = None) -> Dict:
    """Summarise a queue for a list of queues: cheap, however large the queue is.

    Parameters
    ----------
    queue : Queue
    observer : Observer, default=None
        See :func:`is_alive`.

    Returns
    -------
    brief : dict
        - ``name``, ``folder``, ``time`` (seconds since the epoch), ``state`` (``'PAUSED'`` or
          ``'ACTIVE'``)
        - ``condition``: key of :data:`CONDITIONS`
        - ``total``, ``counts`` (by state; what a worker has claimed and not begun counts as
          pending), ``claimed`` (how many that are), ``blocked``, ``left`` (neither ended nor
          blocked): of the tasks that are not superseded
        - ``superseded``: how many tasks are of code that the notebook or script has no longer
        - ``manager``: ``None`` or a dictionary with ``name``, ``host``, ``pid``, ``since``,
          ``alive`` (``None``: unknown), ``says`` (its last trouble), ``stopping``
        - ``last_says``: if there is no manager, the last trouble of the last one, as long as tasks
          wait
        - ``workers``: how many live, as far as the journal knows
        - ``limits``: the most tasks that may run in parallel, by task manager
        - ``rate``: tasks per second lately, ``None`` if unknown; ``eta``: seconds that are left at
          this rate, ``None`` if unknown
        - ``owner``: name of the user whose queue it is; ``own``: True if that is this user;
          ``group``: name of the group that shares it, or empty; ``untrusted``: the owner's name if
          the queue may only be looked at, as this user does not trust them, else empty

    Raises
    ------
    QueueGoneError
        The queue was deleted.
    """
    ledger = queue.ledger
    ledger.follow()
    state = ledger.state
    counts, claimed = state.counts_shown()
    blocked = len(ledger.blocked())
    left = counts['PENDING'] + counts['RUNNING'] + counts['WAITING'] - blocked
    manager = _manager(ledger, observer)
    # One that is at work says enough; it is known by reading its lease.
    somebody = bool(manager and manager['alive'] is not False) or any(
        is_alive(ledger.folder, name, observer) is not False for name in list(state.alive)
    )
    now = time.time()
    rate = _rate(ledger, now) if counts['RUNNING'] else None
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
        'last_says': state.last_manager.get('says', '')
        if manager is None and counts['PENDING']
        else '',
        'workers': len(state.alive),
        'limits': {
            mid: most
            for mid, most in ((mid, limit(ledger, mid)) for mid in state.managers)
            if most is not None
        },
        'rate': rate,
        'eta': left / rate if rate and not state.paused else None,
        **ownership(ledger),
    }


def limit(ledger: Ledger, mid: str) -> int | None:
    """Return the most tasks of a task manager that may run in parallel, if that is known without
    its scheduler.
    """
    resized = ledger.state.most(mid)
    if resized is not None:
        return resized
    scheduler = ledger.state.managers[mid].get('scheduler')
    most = scheduler.get('max_workers') if isinstance(scheduler, dict) else None
    return most if type(most) is int else None


def ownership(ledger: Ledger) -> Dict:
    """Return whose queue it is, and whether this user may use it; see :func:`queue_brief`."""
    holding = look_at(ledger.folder)
    return {
        'owner': holding.owner,
        'own': holding.uid == os.geteuid(),
        'group': str(ledger.journal.header.get('group', '')),
        'untrusted': untrusted_owner(ledger),
    }


def untrusted_owner(ledger: Ledger) -> str:
    """Return the name of the user who keeps this user from using the queue; empty if none does."""
    if ledger.use_error() is None:
        return ''
    holdings = [look_at(ledger.folder), look_at(ledger.journal.path)]
    return next(
        (holding.owner for holding in holdings if not ledger.trusts(holding.uid)), holdings[0].owner
    )


def queue_summary(queue: Queue, observer: Observer | None = None) -> Dict:
    """All there is to see of a queue at one glance.

    Parameters
    ----------
    queue : Queue
    observer : Observer, default=None
        See :func:`is_alive`.

    Returns
    -------
    summary : dict
        What :func:`queue_brief` has, and

        - ``workers``: list of dictionaries with ``name``, ``host``, ``pid``, ``job``, ``mid``,
          ``slots``, ``since``, ``alive``, ``stopping``, ``trouble`` (what it cannot do at the
          moment, and why), ``running`` (how many tasks), ``claimed`` (how many are to run next) and
          ``tasks`` (``tid``, ``name``, ``index``, ``since`` of those in its slots)
        - ``jobs``: see :func:`job_summaries`
        - ``failures``: the first tasks that did not succeed (``tid``, ``name``, ``index``,
          ``state``, ``cause``)
        - ``causes``: see :func:`blocked_causes`
        - ``damage``: lines of the journal that can't be read (``file``, ``offset``, ``length``)
        - ``held``: see :func:`held_tasks`

    Raises
    ------
    QueueGoneError
        The queue was deleted.
    """
    brief = queue_brief(queue, observer)
    ledger = queue.ledger
    return {
        **brief,
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


def held_tasks(ledger: Ledger) -> list[Dict]:
    """Return whose pending tasks do not run as this user in a queue that a group shares:
    ``user``, ``count``, ``text``.
    """
    if ledger.use_error() is not None:
        return []
    return [
        {'user': user, 'count': n, 'text': held_text(user, n)} for user, n in ledger.held().items()
    ]


def condition(counts: dict[str, int], left: int, paused: bool, somebody: bool) -> str:
    """The key of :data:`CONDITIONS` for tasks of these counts by state, of which ``left`` can
    still run, if ``somebody`` is at work.
    """
    if not any(counts.values()):
        return 'empty'
    if not left:
        return 'done' if counts['SUCCEEDED'] == sum(counts.values()) else 'failed'
    if paused:
        return 'paused'
    return 'running' if somebody else 'stopped'


def _manager(ledger: Ledger, observer: Observer | None) -> Dict | None:
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
    ledger: Ledger, mids: Container[str] | None = None, rows: Container[int] | None = None
) -> list[Dict]:
    """The jobs of batch systems that have not ended, and what they run.

    Parameters
    ----------
    ledger : Ledger
    mids : container of str, default=None
        Only jobs of these task managers.
    rows : container of int, default=None
        Only these tasks count as run.

    Returns
    -------
    jobs : list of dict
        In order of submission: ``job`` (``'4411_2'``), ``mid``, ``slots``, ``state``
        (``'pending'``, ``'running'``, ``'withdrawn'``: it has not begun, and is no longer needed),
        ``reason`` (why it waits), ``node``, ``ends`` (when it reaches its time limit, seconds since
        the epoch, or ``None``), ``workers`` (their names), ``running`` (how many tasks are in their
        slots), ``claimed`` (how many are to run next), ``tasks`` (``tid``, ``name``, ``index`` of
        the first :data:`JOB_TASKS` that run)
    """
    workers: dict[str, list[Any]] = {}
    for worker in list(ledger.state.alive.values()):
        workers.setdefault(worker.job, []).append(worker)
    found = []
    for jobid, job in list(ledger.state.jobs.items()):
        if mids is not None and job['mid'] not in mids:
            continue
        there = workers.get(jobid, [])
        running = [
            row for worker in there for row in worker.rows_in_slots() if rows is None or row in rows
        ]
        claimed = [
            row
            for worker in there
            for row in worker.rows_before_slots()
            if rows is None or row in rows
        ]
        first = [_label(ledger, row) for row in running[:JOB_TASKS]]
        numbers = {'running': len(running), 'claimed': len(claimed)}
        found.append(
            {
                'job': jobid,
                **job,
                'workers': [worker.name for worker in there],
                **numbers,
                'tasks': first,
            }
        )
    return found


def job_groups(jobs: Iterable[Dict]) -> list[Dict]:
    """Jobs by state and reason, for where there are too many to name each.

    Parameters
    ----------
    jobs : iterable of dict
        Of :func:`job_summaries`.

    Returns
    -------
    groups : list of dict
        Those that run first, then the largest: ``state``, ``reason``, ``n``, ``nodes`` (how many),
        ``running`` (tasks), ``ends`` (when the first and when the last of them reaches its time
        limit, or ``None``).
    """
    alike: dict[tuple[str, str], list[Dict]] = {}
    for job in jobs:
        alike.setdefault((job['state'], job['reason']), []).append(job)
    found = []
    for (state, reason), some in sorted(
        alike.items(), key=lambda item: (item[0][0] != 'running', -len(item[1]))
    ):
        nodes = {job['node'] for job in some if job['node']}
        ends = (
            [job['ends'] for job in some if job['ends'] is not None] if state == 'running' else []
        )
        running = sum(job['running'] for job in some)
        span = [min(ends), max(ends)] if ends else None
        found.append(
            {
                'state': state,
                'reason': reason,
                'n': len(some),
                'nodes': len(nodes),
                'running': running,
                'ends': span,
            }
        )
    return found


def _worker(ledger: Ledger, worker: Any, observer: Observer | None) -> Dict:
    state = ledger.state
    rows = worker.rows_in_slots()  # it may hold many short tasks
    record = read_lease(ledger.folder, worker.name)
    return {
        'name': worker.name,
        'host': worker.host,
        'pid': worker.pid,
        'job': worker.job,
        'mid': worker.mid or '',
        'slots': worker.slots,
        'since': worker.time,
        'alive': _alive(record, worker.name, observer),
        'stopping': worker.stop is not None,
        'trouble': (record or {}).get('trouble', ''),
        'running': len(worker.rows) - worker.claimed,
        'claimed': worker.claimed,
        'tasks': [{**_label(ledger, row), 'since': state.started.get(row)} for row in rows],
    }


def _label(ledger: Ledger, row: int) -> Dict:
    return {
        'tid': ledger.state.ids[row].hex(),
        'name': task_name(ledger, row),
        'index': ledger.state.index[row],
    }


def _rate(ledger: Ledger, now: float) -> float | None:
    # From the times of the last lines of the journal, for people only: clocks of several hosts are
    # mixed here.
    ends, first = _recent(ledger)
    now = max([now, *(when for when, _, _ in ends)])
    ends = [end for end in ends if end[0] > now - WINDOW]
    if ends:
        since = max(now - WINDOW, first, min(began for _, began, _ in ends))
        return sum(n for _, _, n in ends) / max(now - since, 1e-3)
    return usual_rate(ledger, list(ledger.state.running), now)


def usual_rate(ledger: Ledger, rows: Iterable[int], now: float) -> float | None:
    """Tasks per second, of running ones none of which ended lately: each takes as long as those
    of its app before, or as it has taken already.
    """
    state = ledger.state
    rate = 0.0
    for row in rows:
        group = state.group[row]
        if state.group_done[group]:
            usual = state.group_time[group] / state.group_done[group] * 1e-6
            rate += 1 / max(usual, now - state.started.get(row, now), 1e-6)
    return rate or None


def _recent(ledger: Ledger) -> tuple[list[tuple[float, float, int]], float]:
    """The ends of the journal's tail (when they were reported, when the first of them began, how
    many), and the time from which on they are complete.
    """
    found: list[tuple[float, float, int]] = []
    end = ledger.journal.offset
    start = max(0, end - _TAIL)
    try:
        data = ledger.journal.read_range(start, end)
    except QueueGoneError:  # the next look at the queue says what became of it
        return found, 0.0
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
            found.append((event['t'], event['t0'], len(event['rows'])))
    return found, first


def _decoded(line: bytes, offset: int) -> Event | None:
    event = next((piece.event for piece in pieces(line, offset) if piece.offset == offset), None)
    if event is None:
        return None
    try:
        check_event(
            event
        )  # the fold looks at what it needs of frequent events, and at nothing of late ones
    except RefusedEvent:
        return None
    return event


def _failures(ledger: Ledger) -> list[Dict]:
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
    return [
        {key: task[key] for key in ('tid', 'name', 'index', 'state', 'cause')}
        for task in task_summaries(ledger, first)
    ]


def blocked_causes(ledger: Ledger, rows: Iterable[int] | None = None) -> list[Dict]:
    """The tasks that did not succeed and that others need, with how many can't run because of each.

    Parameters
    ----------
    ledger : Ledger
    rows : iterable of int, default=None
        The blocked tasks that count; by default all.

    Returns
    -------
    causes : list of dict
        ``tid``, ``name``, ``index``, ``state``, ``cause`` and ``count``; the one that blocks most
        first.
    """
    blocked = ledger.blocked()
    counts = Counter(blocked.values() if rows is None else (blocked[row] for row in rows))
    causes = [row for row, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
    tasks = task_summaries(ledger, causes)
    return [
        {
            **{key: task[key] for key in ('tid', 'name', 'index', 'state', 'cause')},
            'count': counts[row],
        }
        for row, task in zip(causes, tasks, strict=True)
    ]


# Tasks


def events_at(ledger: Ledger, offsets: Iterable[int]) -> Iterator[tuple[int, Event | None]]:
    """The events at offsets (ascending, for speed) of the journal; ``None`` for what can't be
    read.
    """
    with ledger.journal.open_reader() as file:
        for offset in offsets:
            file.seek(offset)
            yield offset, _decoded(file.readline(LINE_MAX), offset)


def task_summaries(ledger: Ledger, rows: Sequence[int]) -> list[Dict]:
    """Summarise the tasks of a list.

    Parameters
    ----------
    ledger : Ledger
    rows : sequence of int

    Returns
    -------
    tasks : list of dict
        In the order of ``rows``: ``tid``, ``name``, ``index``, ``state``, ``claimed`` (True if it
        is PENDING, and a worker has claimed it), ``blocked`` (identity of the task that is the
        cause, or empty), ``superseded`` (True if it is of code that the notebook or script has no
        longer, or needs one that is), ``mid``, ``attempt`` (how often it began), ``worker``,
        ``host``, ``job``, ``began`` (seconds since the epoch, or ``None``), ``duration`` (seconds,
        ``None`` unless it ended), ``memory`` (the most resident memory of its process, bytes, or
        ``None``), ``cause`` (why it did not succeed); in a queue that a group shares, ``user`` (who
        added it, whose claim it is) and ``ran_by`` (whose worker ran it, as that says).
    """
    state = ledger.state
    blocked, claimed = ledger.blocked(), state.claimed_rows()
    tasks: dict[int, Dict] = {}
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
            task.update(user=author_of(ledger, row), ran_by='')
        if status == RUNNING:
            task['began'] = state.started.get(row) if row not in claimed else None
            _worked(task, state.running.get(row))
        elif status in ENDED and state.ended_at[row]:
            ended.setdefault(state.ended_at[row], []).append(row)
    if ended:
        for offset, event in events_at(ledger, sorted(ended)):
            _ended(ledger, tasks, ended[offset], event)
    return [tasks[row] for row in rows]


def author_of(ledger: Ledger, row: int) -> str:
    """Return the name of the user who added a task to a queue that a group shares; empty in
    other queues.
    """
    authors = ledger.authors
    uid = -1 if authors is None else authors.author_of(ledger.state, row)
    return username(uid) if uid >= 0 else ''


def _user_of(ledger: Ledger, name: str) -> str:
    worker = ledger.state.workers.get(name)
    return '' if worker is None else worker.user


def _worked(task: Dict, worker: Any) -> None:
    if worker is not None:
        task.update(worker=worker.name, host=worker.host, job=worker.job)
        if 'ran_by' in task:
            task['ran_by'] = worker.user


def _ended(ledger: Ledger, tasks: dict[int, Dict], rows: list[int], event: Event | None) -> None:
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


def task_summary(ledger: Ledger, row: int) -> Dict:
    """Summarise one task of a list; for several, :func:`task_summaries` is faster."""
    return task_summaries(ledger, [row])[0]


def task_detail(ledger: Ledger, row: int) -> Dict:
    """All that is known of a task; nothing is unpickled.

    Parameters
    ----------
    ledger : Ledger
    row : int

    Returns
    -------
    task : dict
        What :func:`task_summary` has, and

        - ``kind`` (``'python'``, ``'bash'``), ``added`` (seconds since the epoch), ``timeout``,
          ``retries``, ``retry_on``, ``priority``, ``cwd``
        - ``code`` (text), ``arguments`` (text by name), ``versions`` (of what its app uses),
          ``environment`` (everything else that its worker ran with)
        - ``files``: the first :data:`RELATED` that its last attempt read and wrote (``do``,
          ``path``, ``size``, ``mtime``, ``sha256``); ``n_files``
        - ``attempts``: those that ended, oldest first: ``attempt``, ``state``, ``worker``,
          ``host``, ``job``, ``began``, ``duration``, ``memory``, ``cause``, ``current``, ``out``
          and ``err`` (bytes)
        - ``out``, ``err`` and ``result``: bytes that are kept of the last attempt; ``result`` is
          ``None`` if there is none; ``trace``: the remote traceback
        - ``requires``, ``dependants``: the first :data:`RELATED` of them (``tid``, ``name``,
          ``index``, ``state``, ``blocked``, ``superseded``); ``n_requires``, ``n_dependants``
        - ``problems``: what could not be read, in words
    """
    state = ledger.state
    group = state.groups[state.group[row]]
    problems: list[str] = []
    requires = list(state.requires.get(row, ()))
    dependants = state.dependants_of(row)
    result = state.result(row)
    task = task_summary(ledger, row)
    task.update(
        kind=group.kind,
        timeout=group.timeout,
        retries=group.retries,
        retry_on=list(group.retry_on),
        priority=group.priority,
        cwd=group.cwd,
    )
    task.update(
        added=None,
        code='',
        arguments={},
        versions={},
        environment={},
        files=[],
        n_files=0,
        attempts=[],
        out=0,
        err=0,
        trace='',
    )
    try:
        task['added'] = ledger.journal.event_at(state.added_at[row]).get('t')
    except CorruptJournalError as exc:
        problems.append(str(exc))
    try:
        task['code'] = ledger.read_text(ledger.code(row)['source'])
    except PayloadError as exc:
        problems.append(str(exc))
    try:
        task['arguments'] = ledger.arguments(row)
    except PayloadError as exc:
        problems.append(str(exc))
    try:
        attempts = ledger.attempts(row)
        trace = ledger.cause(row).get('trace')
        task['trace'] = ledger.read_text(trace) if trace else ''
    except (CorruptJournalError, PayloadError) as exc:
        attempts = []
        problems.append(str(exc))
    for attempt in attempts:
        task['attempts'].append(
            {
                'attempt': attempt.number,
                'state': state_name(attempt.state),
                'worker': attempt.worker,
                'host': attempt.host,
                **({'user': _user_of(ledger, attempt.worker)} if ledger.is_group_queue else {}),
                'job': attempt.job,
                'began': attempt.began,
                'duration': attempt.duration,
                'memory': attempt.memory or None,
                'cause': attempt.cause.get('text', ''),
                'current': attempt.counts,
                'out': attempt.out.length if attempt.out else 0,
                'err': attempt.err.length if attempt.err else 0,
            }
        )
        if attempt.counts:
            task['out'], task['err'] = (task['attempts'][-1][stream] for stream in ('out', 'err'))
            task['versions'] = state.versions.get((attempt.worker, group.app), {})
            task['environment'] = state.versions.get((attempt.worker, ''), {})
            try:
                files = ledger.files(attempt.files)
            except PayloadError as exc:
                files = []
                problems.append(str(exc))
            task['files'], task['n_files'] = files[:RELATED], len(files)
    task['result'] = (
        result.length if result is not None and state.status[row] == SUCCEEDED else None
    )
    for key, rows in (('requires', requires), ('dependants', dependants)):
        task[key] = [_relative(ledger, other) for other in rows[:RELATED]]
        task[f'n_{key}'] = len(rows)
    task['problems'] = problems
    return task


def _relative(ledger: Ledger, row: int) -> Dict:
    state, cause = ledger.state, ledger.blocked().get(row)
    return {
        **_label(ledger, row),
        'state': state_name(state.status_shown(row)),
        'blocked': '' if cause is None else state.ids[cause].hex(),
        'superseded': row in state.superseded,
    }


def durations(
    ledger: Ledger, names: Iterable[str] | None = None, rows: Iterable[int] | None = None
) -> list[Dict]:
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
    apps : list of dict
        ``name``, ``n``, and ``mean``, ``median``, ``min``, ``max``, ``total`` in seconds; in order
        of the apps' coming. In a queue that a group shares there is a line for each user whose
        workers ran tasks, ``ran_by``.
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
        {'name': name, **({'ran_by': user} if ledger.is_group_queue else {}), **_statistics(values)}
        for name, by_user in taken.items()
        for user, values in sorted(by_user.items())
        if wanted is None or name in wanted
    ]


def _statistics(values: list[int]) -> Dict:
    values.sort()
    n, total = len(values), sum(values)
    median = (values[n // 2] + values[(n - 1) // 2]) / 2
    seconds = {
        'mean': total / n,
        'median': median,
        'min': values[0],
        'max': values[-1],
        'total': total,
    }
    return {'n': n, **{key: value * 1e-6 for key, value in seconds.items()}}


def is_left(ledger: Ledger, row: int) -> bool:
    """Return True if a task runs or will run: it has neither ended nor is blocked nor
    superseded.
    """
    status = ledger.state.status[row]
    if status in (WAITING, PENDING) and row in ledger.state.superseded:
        return False
    return status in (PENDING, RUNNING) or (status == WAITING and row not in ledger.blocked())
