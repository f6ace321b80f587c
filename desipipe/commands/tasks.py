"""Verbs that show tasks: tasks, time, logs, explain."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from ..cells.option_types import whole
from ..queue.location import check_names, find_task, find_tasks
from .common import (
    QueueDefault,
    Verbs,
    add_conditions,
    add_json,
    add_queue,
    add_states,
    describe,
    open_one,
    plural,
)
from .face import hint, on_terminal, print_json

if TYPE_CHECKING:
    from ..queue.queue import Queue
    from ..view.schema import TaskSummary


_PROPERTIES = (
    'id name index state mid jobid host t0 dtime errno cause arguments require_ids versions code '
    'out err result attempts'
).split()
_TERMINAL_LIMIT = 100


def register(verbs: Verbs) -> None:
    """Declare these verbs."""
    for declare in (_declare_tasks, _declare_time, _declare_explain, _declare_logs):
        declare(verbs)


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
    add_queue(parser, default=QueueDefault.LATEST)
    add_states(parser, 'tasks in these states')
    add_conditions(parser, 'name', 'tid', 'mid', 'jobid', 'index')
    parser.add_argument(
        '--superseded',
        action='store_true',
        help='only superseded tasks, whose code is gone',
    )
    parser.add_argument('--full', action='store_true', help='show what each task printed, by state')
    parser.add_argument(
        '--property',
        nargs='*',
        choices=_PROPERTIES,
        metavar='PROPERTY',
        help='print these properties instead of the table',
    )
    describe(parser, f'Properties: {", ".join(_PROPERTIES)}.')
    parser.add_argument(
        '--limit',
        type=whole,
        metavar='N',
        help=f'show the first N (0: all; default on a terminal: {_TERMINAL_LIMIT})',
    )
    add_json(parser)


def tasks(args: argparse.Namespace) -> None:
    """Run ``desipipe tasks``."""
    from ..view.queue import task_summaries

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
    limit = args.limit
    if limit is None:
        limit = _TERMINAL_LIMIT if on_terminal() and not args.json else 0
    # What a job ran stands in the journal only: looked up for all, before the first N are taken.
    summaries = task_summaries(queue.ledger, rows if args.jobid or not limit else rows[:limit])
    if args.jobid:
        of_jobs = [
            (row, task)
            for row, task in zip(rows, summaries, strict=True)
            if task['job'] in args.jobid
        ]
        rows, summaries = [row for row, _ in of_jobs], [task for _, task in of_jobs]
    n = len(rows)
    if limit:
        rows, summaries = rows[:limit], summaries[:limit]
    if args.full:
        _print_full(queue, rows)
    elif args.property:
        _properties(queue, rows, args)
    else:
        _print_table(queue, summaries, args.json)
    if len(rows) < n:
        hint(f'The first {len(rows):d} of {plural(n)}; all: --limit 0')


def _print_table(queue: Queue, summaries: list[TaskSummary], as_json: bool) -> None:
    from ..view.appearance import APPEARANCES
    from ..view.text import span, state_text
    from .tables import Column, show_table

    columns = [
        Column('tid', 'task', lambda tid: tid[:12]),
        Column('name', 'name'),
        Column('index', 'index', right=True),
        Column('shown', 'state', state_text, style=lambda name: APPEARANCES[name].colour),
        Column('attempt', 'attempt', right=True),
        Column('duration', 'time', span, right=True),
        Column('job', 'job'),
        *([Column('user', 'of'), Column('ran_by', 'ran by')] if queue.group else []),
        Column('words', 'why'),
    ]
    show_table(columns, summaries if as_json else list(map(_table_row, summaries)), as_json)


def _table_row(task: TaskSummary) -> dict[str, object]:
    """Return a task with the state that is shown, and the reason."""
    shown = 'BLOCKED' if task['blocked'] else 'CLAIMED' if task['claimed'] else task['state']
    return {**task, 'words': _reason(task), 'shown': shown}


def _reason(task: TaskSummary) -> str:
    """Return why a task is in its state, as far as there is something to tell."""
    reason = task['cause']
    if not reason and task['blocked']:
        reason = f'blocked by {task["blocked"][:12]}'
    if task['superseded']:
        return f'superseded; {reason}'.removesuffix('; ')
    return reason


def _print_full(queue: Queue, rows: list[int]) -> None:
    """Print output and errors of tasks, grouped by state."""
    from ..queue.events import STATES
    from ..queue.task import Task

    stored = [Task.stored(queue.ledger, row) for row in rows]
    for state in STATES:
        tasks = [task for task in stored if task.state == state]
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

    stored = [Task.stored(queue.ledger, row) for row in rows]
    values = [
        {
            'id': task.id,
            **{
                name: task.app.code if name == 'code' else getattr(task, name)
                for name in args.property
            },
        }
        for task in stored
    ]
    if args.json:
        print_json([{key: _plain(value) for key, value in item.items()} for item in values])
    elif len(args.property) == 1:
        for item in values:
            value = item[args.property[0]]
            text = value if isinstance(value, str) else '' if value is None else _words(value)
            print(text, end='' if text.endswith('\n') else '\n')
    else:
        from .tables import Column, show_table

        show_table(
            [Column(name, name) for name in args.property],
            [{key: _words(value) for key, value in item.items()} for item in values],
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
        'show how long tasks took, by app',
        'Of those that succeeded, in seconds.',
        'desipipe time -q my_queue',
    )
    add_queue(parser, default=QueueDefault.LATEST)
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
        'explain why a task waits, or how it differs from another',
        'TASK is the beginning of its identity, or app[index].',
        "desipipe explain -q my_queue 'average[0]'",
    )
    add_queue(parser, default=QueueDefault.LATEST)
    parser.add_argument('task', metavar='TASK', help='start of its identity, or app[index]')
    add_json(parser)


def explain(args: argparse.Namespace) -> None:
    """``desipipe explain``."""
    queue = open_one(args)
    tid = find_task(queue, args.task)
    explanation = queue.explain(tid)
    if args.json:
        from ..view.queue import task_detail

        print_json({**task_detail(queue.ledger, queue.ledger.find(tid)), 'words': explanation})
    else:
        print(explanation)


def _save_displays(queue: Queue, tid: str, folder: str) -> None:
    from ..view.saved_displays import save_displays

    queue.ledger.follow()
    saved = save_displays(queue.ledger, queue.ledger.row(bytes.fromhex(tid)), folder)
    for path in saved.paths:
        print(path)
    if saved.left_out:
        hint(f'Not saved, as there are too many: {plural(saved.left_out, "display")}.')
    if not saved.paths:
        hint('The task has displayed nothing. No file was written.')


def _declare_logs(verbs: Verbs) -> None:
    parser = verbs.add(
        'logs',
        logs,
        'show what a task printed, as far as it is kept',
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
    add_queue(parser, default=QueueDefault.LATEST)
    parser.add_argument('task', metavar='TASK', help='start of its identity, or app[index]')
    parser.add_argument(
        '-f', '--follow', action='store_true', help='keep printing until the task has ended'
    )
    streams = parser.add_mutually_exclusive_group()
    streams.add_argument('--out', action='store_true', help='print only standard output')
    streams.add_argument(
        '--err', action='store_true', help='print only standard error and the traceback'
    )
    parser.add_argument('--raw', action='store_true', help='print raw bytes, unsafe for a terminal')
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
