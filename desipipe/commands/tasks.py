"""Verbs that show tasks: tasks, logs, explain."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

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
from .listing_options import ListingOptions, add_listing, listing_options

if TYPE_CHECKING:
    from ..queue.queue import Queue
    from ..view.schema import TaskSummary
    from .listings import Column


_PROPERTIES = (
    'id name index state mid jobid host t0 dtime errno cause arguments require_ids versions code '
    'out err result attempts'
).split()
_TERMINAL_LIMIT = 100


def register(verbs: Verbs) -> None:
    """Declare these verbs."""
    for declare in (_declare_tasks, _declare_explain, _declare_logs):
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
    add_listing(parser, 'task name index state attempt time job of ran_by why')
    add_json(parser)


def tasks(args: argparse.Namespace) -> None:
    """Run ``desipipe tasks``."""
    from ..view.task_summary import task_summaries

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
    options = listing_options(args)
    limit = args.limit
    if limit is None:
        limit = _TERMINAL_LIMIT if on_terminal() and not args.json else 0
    # A job's tasks and an order are known once all are looked up, before the first N are taken.
    every = args.jobid or options.sort or options.reverse or not limit
    summaries = task_summaries(queue.ledger, rows if every else rows[:limit])
    if every:
        rows, summaries = _arranged(queue, rows, summaries, args)
    n = len(rows)
    if limit:
        rows, summaries = rows[:limit], summaries[:limit]
    if args.full:
        _print_full(queue, rows)
    elif args.property:
        _properties(queue, rows, args)
    else:
        _print_table(queue, summaries, args.json, options._replace(sort='', reverse=False))
    if len(rows) < n:
        hint(f'The first {len(rows):d} of {plural(n)}; all: --limit 0')


def _arranged(
    queue: Queue, rows: list[int], summaries: list[TaskSummary], args: argparse.Namespace
) -> tuple[list[int], list[TaskSummary]]:
    """Return the tasks of the jobs that were named, in the order that was asked for."""
    from .listings import sort_order

    chosen = [i for i, task in enumerate(summaries) if not args.jobid or task['job'] in args.jobid]
    shown = [_table_row(summaries[i]) for i in chosen]
    order = [chosen[i] for i in sort_order(_columns(queue), shown, listing_options(args))]
    return [rows[i] for i in order], [summaries[i] for i in order]


def _print_table(
    queue: Queue, summaries: list[TaskSummary], as_json: bool, options: ListingOptions
) -> None:
    from .listings import show_table

    rows = summaries if as_json else list(map(_table_row, summaries))
    show_table(_columns(queue), rows, as_json, options)


def _columns(queue: Queue) -> list[Column]:
    from ..view.appearance import APPEARANCES
    from ..view.text import span, state_text
    from .listings import Column, Fit

    users = [
        Column('user', 'of', fit=Fit.OPTIONAL),
        Column('ran_by', 'ran by', fit=Fit.OPTIONAL),
    ]
    return [
        Column('tid', 'task', lambda tid: tid[:12]),
        Column('name', 'name', fit=Fit.MIDDLE),
        Column('index', 'index', right=True),
        Column('shown', 'state', state_text, style=lambda name: APPEARANCES[name].colour),
        Column('attempt', 'attempt', right=True, fit=Fit.OPTIONAL),
        Column('duration', 'time', span, right=True),
        Column('job', 'job', fit=Fit.OPTIONAL),
        *(users if queue.group else ()),
        Column('words', 'why', fit=Fit.BELOW),
    ]


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
        from .listings import Column, show_table

        show_table(
            [Column(name, name) for name in args.property],
            [{key: _words(value) for key, value in item.items()} for item in values],
        )


def _words(value: object) -> str:
    if isinstance(value, dict):
        return ', '.join(f'{key}={item}' for key, item in value.items())
    return ', '.join(map(str, value)) if isinstance(value, list) else str(value)


def _plain(value: object) -> object:
    if isinstance(value, list) and value and hasattr(value[0], '_asdict'):
        return [item._asdict() for item in value]
    return (
        value if isinstance(value, str | int | float | bool | list | dict | None) else repr(value)
    )


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
        from ..view.task_detail import task_detail

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
        'desipipe logs -q my_queue 1a2b3c4d -f                  follow it to its end',
        'desipipe logs -q my_queue 1a2b3c4d --out --raw > out   its bytes, unchanged',
        'desipipe logs -q my_queue 1a2b3c4d --save displays     figures and tables',
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
