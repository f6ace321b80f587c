"""Verbs that look and change nothing: status, watch, queues, tasks, time, logs, explain."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING, Any

from ..cells.option_types import seconds, whole
from ..queue.location import check_names, find_folders, find_task, find_tasks, short, type_queue
from ..utils import is_pattern
from .common import (
    FACE,
    Verbs,
    add_conditions,
    add_json,
    add_queue,
    add_states,
    each_of,
    hint,
    on_terminal,
    open_one,
    plural,
    print_json,
)

if TYPE_CHECKING:
    from ..queue.queue import Queue
    from ..queue.state import State
    from ..queue.waiting import Waiter

_PROPERTIES = (
    'id name index state mid jobid host t0 dtime errno cause arguments require_ids versions code '
    'out err result attempts'
).split()
_TERMINAL_LIMIT = 100
_ORIGINALS_MAX = 10
# s without anybody at work before `watch` gives up; a manager that was just started needs some of
# them
_NOBODY = 5.0


def register(verbs: Verbs) -> None:
    """Declare these verbs."""
    for declare in (
        _declare_status,
        _declare_watch,
        _declare_queues,
        _declare_tasks,
        _declare_time,
        _declare_logs,
        _declare_explain,
    ):
        declare(verbs)


# Status


def _declare_status(verbs: Verbs) -> None:
    parser = verbs.add(
        'status',
        status,
        'counts, workers, what failed, what is blocked and why',
        'With --json: the same as one object; as a list of objects for several queues or a '
        'pattern.',
        'desipipe status -q my_queue',
        "desipipe status -q 'test*' --json",
    )
    add_queue(parser, several=True, required=False)
    add_json(parser)


def status(args: argparse.Namespace) -> None:
    """``desipipe status``."""
    from ..config import Config
    from ..queue.queue import Queue
    from ..view.queue import queue_summary

    config = Config()
    names = args.queue or ['*']
    folders = find_folders(names, config) if args.queue else _mine(config)
    read = each_of(
        folders, lambda folder: queue_summary(Queue(folder, create=False, config=config))
    )
    if args.json:
        several = not args.queue or len(names) > 1 or is_pattern(names[0])
        summaries: list[Any] = []
        try:
            summaries.extend(read)
        finally:
            if summaries or several:
                print_json(summaries if several else summaries[0])
        return
    from .tables import queue_lines, show_lines

    for i, summary in enumerate(read):
        show_lines(
            [
                *([[]] if i else []),
                *queue_lines(summary, type_queue(summary['folder'], config), bar=on_terminal()),
            ]
        )
    if not folders:
        _no_queues(config)


def _mine(config: Any) -> list[str]:
    from ..queue.queue import find_queues

    return find_queues('*', config=config)


def _no_queues(config: Any) -> None:
    hint(
        f'There are no queues in {config.queue_dir}. Those of another folder: desipipe queues '
        "'./folder/*'. See what one looks like: desipipe demo"
    )


def _declare_watch(verbs: Verbs) -> None:
    parser = verbs.add(
        'watch',
        watch,
        'the status, live, until nothing is left to do',
        'In a pipe: a line for each change. Exit status 0: all tasks succeeded; 1: some did not; '
        '2: it stopped before the end (paused, or no worker is running).',
        'desipipe watch -q my_queue',
        'desipipe watch -q my_queue > progress.txt && echo done',
    )
    add_queue(parser)
    parser.add_argument(
        '--timeout',
        type=seconds,
        metavar='SECONDS',
        help='stop watching after that, with exit status 2',
    )
    add_json(parser, 'print a JSON document a line, one for each change')


def watch(args: argparse.Namespace) -> int:
    """``desipipe watch``."""
    queue = open_one(args)
    return follow(queue, args.json, args.timeout)


def follow(
    queue: Queue, as_json: bool = False, timeout: float | None = None, patience: float = _NOBODY
) -> int:
    """Show a queue until nothing is left to do.

    Parameters
    ----------
    queue : Queue
    as_json : bool, default=False
        A JSON document a change instead of what people read.
    timeout : float, default=None
        Seconds after which to stop.
    patience : float, default=5
        Seconds to go on while nobody works.

    Returns
    -------
    status : int
        0: all tasks succeeded; 1: some did not; 2: tasks are left.
    """
    where = type_queue(queue.folder, queue.config)
    if as_json or not on_terminal():
        from ..queue.waiting import Waiter

        waiter = Waiter(queue.ledger, lambda: _first_pending(queue.ledger.state))
        view = _JSONLines(waiter) if as_json else _Lines(waiter)
        return _watched(queue, view, where, timeout, patience)
    with FACE.get().live() as live:
        screen = _Screen(live, where)
        status = _watched(queue, screen, where, timeout, patience)
    print(screen.words)
    return status


def _first_pending(state: State) -> list[int]:
    """Return the next task of each task manager."""
    return [row for mid in state.managers for row in state.next_pending([mid], 1)]


class _Lines:
    """Writes a line for each change."""

    pause = 0.2

    def __init__(self, waiter: Waiter) -> None:
        self._last: Any = None
        self._waiter = waiter  # tells on stderr why nothing goes on

    def show(self, summary: dict[str, Any]) -> None:
        from ..view.queue import job_groups

        jobs = [
            (group['state'], group['reason'], group['n']) for group in job_groups(summary['jobs'])
        ]  # the time that is left is no change
        told = (
            summary['counts'],
            summary['blocked'],
            summary['superseded'],
            summary['condition'],
            jobs,
        )
        if told != self._last:
            self._last = told
            self.write(summary)
        self._waiter.tell()

    def write(self, summary: dict[str, Any]) -> None:
        from .tables import change_line

        print(change_line(summary), flush=True)

    def end(self, words: str) -> None:
        print(words, flush=True)


class _JSONLines(_Lines):
    def write(self, summary: dict[str, Any]) -> None:
        FACE.get().json(summary, line=True)

    def end(self, words: str) -> None:
        hint(words)


class _Screen:
    """Redraws what changed."""

    pause = 0.1

    def __init__(self, live: Any, where: str) -> None:
        self.words = ''
        self._live = live
        self._where = where
        self._last: Any = None

    def show(self, summary: dict[str, Any]) -> None:
        from .tables import queue_lines, styled

        lines = queue_lines(
            summary, self._where, advise=summary['condition'] != 'stopped'
        )  # who watches may have just started a manager
        if lines != self._last:
            self._last = lines
            self._live.update(styled(lines), refresh=True)

    def end(self, words: str) -> None:
        self.words = words  # for below the picture, when it does not move any more


def _watched(
    queue: Queue, view: _Lines | _Screen, where: str, timeout: float | None, patience: float
) -> int:
    from ..store.lease import LEASE, Observer
    from ..view.queue import queue_summary

    ledger = queue.ledger
    observer = Observer(ledger.folder, float(ledger.journal.header.get('lease', LEASE)))
    deadline = None if timeout is None else time.monotonic() + timeout
    nobody_since: float | None = None
    while True:
        summary = queue_summary(queue, observer)
        seen = (ledger.journal.header.get('gen'), ledger.journal.offset)
        now = time.monotonic()
        view.show(summary)
        condition = summary['condition']
        if condition in ('done', 'empty'):
            view.end(
                'no tasks' if condition == 'empty' else f'all {plural(summary["total"])} succeeded'
            )
            return 0
        if condition == 'failed':
            view.end(
                f'{_bad(summary)} of {plural(summary["total"])} did not succeed. See them with: '
                f'desipipe tasks {where} --state FAILED KILLED UNKNOWN WAITING'
            )
            return 1
        nobody_since = (nobody_since or now) if condition == 'stopped' else None
        if condition == 'paused' and not summary['counts']['RUNNING']:
            view.end(
                f'paused, {plural(summary["left"])} left. '
                f'{_go_on(summary, f"desipipe resume {where} --spawn")}'
            )
            return 2
        if nobody_since is not None and now - nobody_since >= patience:
            said = '. '.join(text.rstrip('.') for text in ledger.state.said.values())
            last = f'. The last manager said: {said}' if said else ''
            left = f'no worker is running, {plural(summary["left"])} left'
            view.end(f'{left}{last}. {_go_on(summary, f"desipipe spawn {where} --spawn")}')
            return 2
        if deadline is not None and now >= deadline:
            view.end(
                f'not done after {timeout:g} s, {plural(summary["left"])} left; it goes on without '
                'being watched'
            )
            return 2
        longest = 1.0 if deadline is None else max(0.0, min(1.0, deadline - now))
        if ledger.wait(
            lambda seen=seen: (ledger.journal.header.get('gen'), ledger.journal.offset) != seen,  # type: ignore[misc]
            longest,
        ):
            time.sleep(
                view.pause
            )  # so that a queue of many short tasks is drawn some times a second, not for each


def _go_on(summary: dict[str, Any], command: str) -> str:
    if untrusted := summary['untrusted']:
        return f'It belongs to user {untrusted}, whom you do not trust, and only they can go on.'
    return f'Go on with: {command}'


def _bad(summary: dict[str, Any]) -> str:
    n = sum(summary['counts'][state] for state in ('FAILED', 'KILLED', 'UNKNOWN'))
    return f'{n:,d}' + (
        f' (and {summary["blocked"]:,d} that need them)' if summary['blocked'] else ''
    )


# Lists


def _declare_queues(verbs: Verbs) -> None:
    parser = verbs.add(
        'queues',
        queues,
        'list queues',
        'With what each is doing, and how far it is.',
        'desipipe queues',
        "desipipe queues '*/*'  those of all users",
    )
    parser.add_argument(
        'pattern',
        nargs='*',
        help=(
            "names, paths or quoted patterns, such as 'test*' or '*/*' (all users); default: all "
            'of yours'
        ),
    )
    parser.add_argument('-q', '--queue', nargs='+', metavar='QUEUE', help='the same')
    add_json(parser)


def queues(args: argparse.Namespace) -> None:
    """``desipipe queues``."""
    from ..config import Config
    from ..errors import DesipipeError
    from ..queue.queue import Queue
    from ..utils import format_count
    from ..view.queue import CONDITIONS, Look, queue_brief
    from .tables import Column, show_table

    config = Config()
    names = [*args.pattern, *(args.queue or [])]
    rows: list[dict[str, Any]] = []
    for folder in _listed(names, config):
        row: dict[str, Any] = {'queue': short(folder, config), 'folder': folder, 'error': ''}
        try:
            row.update(queue_brief(Queue(folder, create=False, config=config)))
            row.update(succeeded=row['counts']['SUCCEEDED'], running=row['counts']['RUNNING'])
            row['bad'] = sum(row['counts'][state] for state in ('FAILED', 'KILLED', 'UNKNOWN'))
        except (DesipipeError, OSError) as exc:  # of one queue; the others are there to be listed
            row.update(condition='unreadable', error=str(exc))
        rows.append(row)
    if not args.json:
        _tell_of_originals(names or ['*'], config)
    if not rows and not args.json:
        if names:
            hint(f'No queues match {" ".join(names)}.')
        else:
            _no_queues(config)
        return
    looks = {**CONDITIONS, 'unreadable': Look('!', 'red', '')}
    numbers = [
        ('total', 'tasks'),
        *((key, key) for key in ('succeeded', 'running')),
        ('bad', 'failed'),
        *((key, key) for key in ('blocked', 'workers')),
    ]
    columns = [
        Column('queue', 'queue'),
        Column(
            'condition',
            'condition',
            lambda name: f'{looks[name].symbol} {name}',
            style=lambda name: looks[name].colour,
        ),
        *(Column(key, title, format_count, right=True) for key, title in numbers),
        Column('error', ''),
    ]
    show_table(columns, rows, args.json)


def _listed(names: list[str], config: Any) -> list[str]:
    """Return the folders of the queues to list."""
    if not names:
        return _mine(config)
    from ..errors import UnknownQueueError
    from ..queue.queue import original_files

    try:
        return find_folders(names, config)
    except UnknownQueueError:
        if not all(map(is_pattern, names)) and not original_files(names, config):
            raise
        return []


def _tell_of_originals(names: list[str], config: Any) -> None:
    """Name queues of desipipe 1.0 that were not taken over."""
    from ..queue.queue import import_command, original_files

    found = original_files(names, config)
    for path in found[:_ORIGINALS_MAX]:
        hint(f'{path!r} is a queue of desipipe 1.0. Take it over with: {import_command(path)}')
    if len(found) > _ORIGINALS_MAX:
        hint(f'And {len(found) - _ORIGINALS_MAX:,d} more queues of desipipe 1.0.')


def _declare_tasks(verbs: Verbs) -> None:
    parser = verbs.add(
        'tasks',
        tasks,
        'list tasks',
        'Those that fit all of the conditions, in order of their coming. In a pipe: tab-separated '
        'values, with a header.',
        'desipipe tasks -q my_queue --state FAILED',
        'desipipe tasks -q my_queue --name fraction --property arguments err',
    )
    add_queue(parser)
    add_states(parser, 'tasks in one of these states')
    add_conditions(parser, 'name', 'tid', 'mid', 'jobid', 'index')
    parser.add_argument(
        '--superseded',
        action='store_true',
        help='only superseded tasks: of code that the notebook or script has no longer',
    )
    parser.add_argument(
        '--full', action='store_true', help='print what each task printed, by state'
    )
    parser.add_argument(
        '--property',
        nargs='*',
        choices=_PROPERTIES,
        metavar='PROPERTY',
        help=f'print these instead of the table: {", ".join(_PROPERTIES)}',
    )
    parser.add_argument(
        '--limit',
        type=whole,
        metavar='N',
        help=f'the first N; 0: all; default: {_TERMINAL_LIMIT} on a terminal, else all',
    )
    add_json(parser)


def tasks(args: argparse.Namespace) -> None:
    """``desipipe tasks``."""
    from ..view.queue import LOOKS, task_summaries
    from ..view.text import span, state_text
    from .tables import Column, show_table

    queue = open_one(args)
    check_names(queue, args.name)
    rows = queue.select(
        find_tasks(queue, args.tid),
        args.state,
        args.mid,
        name=args.name,
        index=args.index,
        superseded=args.superseded,
    )
    limit = (
        args.limit
        if args.limit is not None
        else _TERMINAL_LIMIT
        if on_terminal() and not args.json
        else 0
    )
    # What a job ran stands in the journal only: looked up for all, before the first N are taken.
    found = task_summaries(queue.ledger, rows if args.jobid or not limit else rows[:limit])
    if args.jobid:
        known = [
            (row, task) for row, task in zip(rows, found, strict=True) if task['job'] in args.jobid
        ]
        rows, found = [row for row, _ in known], [task for _, task in known]
    n = len(rows)
    if limit:
        rows, found = rows[:limit], found[:limit]
    if args.full:
        _print_full(queue, rows)
    elif args.property:
        _properties(queue, rows, args)
    else:
        for task in found:
            task['words'] = task['cause'] or (
                f'blocked by {task["blocked"][:12]}' if task['blocked'] else ''
            )
            if task['superseded']:
                task['words'] = f'superseded; {task["words"]}'.removesuffix('; ')
            task['shown'] = (
                'BLOCKED' if task['blocked'] else 'CLAIMED' if task['claimed'] else task['state']
            )
        columns = [
            Column('tid', 'task', lambda tid: tid[:12]),
            Column('name', 'name'),
            Column('index', 'index', right=True),
            Column('shown', 'state', state_text, style=lambda name: LOOKS[name].colour),
            Column('attempt', 'attempt', right=True),
            Column('duration', 'time', span, right=True),
            Column('job', 'job'),
            *([Column('user', 'of'), Column('ran_by', 'ran by')] if queue.group else []),
            Column('words', 'why'),
        ]
        if args.json:
            found = [
                {key: value for key, value in task.items() if key not in ('words', 'shown')}
                for task in found
            ]
        show_table(columns, found, args.json)
    if len(rows) < n:
        hint(f'The first {len(rows):d} of {plural(n)}; all: --limit 0')


def _print_full(queue: Queue, rows: list[int]) -> None:
    """Print app, job, error number, standard error and output of tasks, grouped by state."""
    from ..queue.events import STATES
    from ..queue.task import Task

    known = [Task.stored(queue.ledger, row) for row in rows]
    for state in STATES:
        tasks = [task for task in known if task.state == state]
        if tasks:
            print(f'Tasks that are {state}:')
        for task in tasks:
            print(f'app: {task.name}')
            for name in ('jobid', 'errno', 'err', 'out'):
                if value := getattr(task, name):
                    print(f'{name}: {value}')
            print('=' * 30)


def _properties(queue: Queue, rows: list[int], args: argparse.Namespace) -> None:
    from ..queue.task import Task

    known = [Task.stored(queue.ledger, row) for row in rows]
    found = [
        {
            'id': task.id,
            **{
                name: task.app.code if name == 'code' else getattr(task, name)
                for name in args.property
            },
        }
        for task in known
    ]
    if args.json:
        print_json([{key: _plain(value) for key, value in item.items()} for item in found])
    elif len(args.property) == 1:
        for item in found:
            value = item[args.property[0]]
            text = value if isinstance(value, str) else '' if value is None else _words(value)
            print(text, end='' if text.endswith('\n') else '\n')
    else:
        from .tables import Column, show_table

        show_table(
            [Column(name, name) for name in args.property],
            [{key: _words(value) for key, value in item.items()} for item in found],
        )


def _words(value: object) -> str:
    if isinstance(value, dict):
        return ', '.join(f'{key}={item}' for key, item in value.items())
    return ', '.join(map(str, value)) if isinstance(value, list) else str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, list) and value and hasattr(value[0], '_asdict'):
        return [item._asdict() for item in value]
    return (
        value if isinstance(value, str | int | float | bool | list | dict | None) else repr(value)
    )


def _declare_time(verbs: Verbs) -> None:
    parser = verbs.add(
        'time',
        times,
        'how long tasks took, for each app',
        'Of those that succeeded, in seconds.',
        'desipipe time -q my_queue',
    )
    add_queue(parser)
    add_conditions(parser, 'name', 'tid', 'mid', 'jobid')
    add_json(parser)


def times(args: argparse.Namespace) -> None:
    """``desipipe time``."""
    from ..utils import format_count
    from ..view.queue import durations
    from ..view.text import span
    from .tables import Column, show_table

    queue = open_one(args)
    check_names(queue, args.name)
    chosen = None
    if args.tid or args.mid or args.jobid:
        chosen = queue.select(tid=find_tasks(queue, args.tid), mid=args.mid, jobid=args.jobid)
    rows = durations(queue.ledger, args.name, chosen)
    if not rows and not args.json:
        hint('No task has succeeded yet')
        return
    numbers = [
        Column(key, key, span, right=True) for key in ('mean', 'median', 'min', 'max', 'total')
    ]
    users = [Column('ran_by', 'ran by')] if queue.group else []
    show_table(
        [Column('name', 'name'), *users, Column('n', 'n', format_count, right=True), *numbers],
        rows,
        args.json,
    )


# Tasks


def _declare_explain(verbs: Verbs) -> None:
    parser = verbs.add(
        'explain',
        explain,
        'why a task waits, or what makes it differ from the nearest other one',
        'TASK is the beginning of its identity, or app[index].',
        "desipipe explain -q my_queue 'average[0]'",
    )
    add_queue(parser)
    parser.add_argument('task', metavar='TASK', help='beginning of its identity, or app[index]')
    add_json(parser)


def explain(args: argparse.Namespace) -> None:
    """``desipipe explain``."""
    queue = open_one(args)
    tid = find_task(queue, args.task)
    words = queue.explain(tid)
    if args.json:
        from ..view.queue import task_detail

        print_json({**task_detail(queue.ledger, queue.ledger.find(tid)), 'words': words})
    else:
        print(words)


def _save_displays(queue: Queue, tid: str, folder: str) -> None:
    from ..view.saved_displays import save_displays

    queue.ledger.follow()
    paths = save_displays(queue.ledger, queue.ledger.row(bytes.fromhex(tid)), folder)
    for path in paths:
        print(path)
    if not paths:
        hint('The task has displayed nothing. No file was written.')


def _declare_logs(verbs: Verbs) -> None:
    parser = verbs.add(
        'logs',
        logs,
        'what a task printed, as far as it is kept',
        'Of a task that runs: what it printed so far. TASK is the beginning of its identity, or '
        'app[index]. What would act on a terminal is '
        'shown as an escape (\\x1b); on a terminal, tasks of your own queues keep their colours.',
        "desipipe logs -q my_queue 'fraction[3]'",
        'desipipe logs -q my_queue 1a2b3c4d -f  follow it to its end',
        'desipipe logs -q my_queue 1a2b3c4d --out --raw > out.bin      exactly the bytes that it '
        'wrote',
        'desipipe logs -q my_queue 1a2b3c4d --save displays      its figures and tables, whole, as '
        'files',
    )
    add_queue(parser)
    parser.add_argument('task', metavar='TASK', help='beginning of its identity, or app[index]')
    parser.add_argument('-f', '--follow', action='store_true', help='until the task has ended')
    streams = parser.add_mutually_exclusive_group()
    streams.add_argument('--out', action='store_true', help='standard output only')
    streams.add_argument(
        '--err', action='store_true', help='standard error, and the traceback, only'
    )
    parser.add_argument(
        '--raw', action='store_true', help='the bytes as they are, whatever they do to a terminal'
    )
    streams.add_argument(
        '--save', metavar='DIR', help='write figures, tables and other displays to files in DIR'
    )


def logs(args: argparse.Namespace) -> None:
    """``desipipe logs``."""
    from .logs import Output

    queue = open_one(args)
    if args.save:
        _save_displays(queue, find_task(queue, args.task), args.save)
        return
    streams = 'o' if args.out else 'e' if args.err else 'oe'
    output = Output(queue, find_task(queue, args.task), streams, sys.stdout.buffer, args.raw)
    if args.follow:
        output.follow()
    else:
        output.now()
