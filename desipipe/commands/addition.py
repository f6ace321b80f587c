"""Verbs that add a task or take a result over: add, accept."""

from __future__ import annotations

import argparse
import os
import re
from typing import TYPE_CHECKING, Any

from ..cells.option_types import seconds, whole
from ..queue.location import find_task, find_tasks, type_queue
from .common import Verbs, add_json, add_queue, add_spawn, hint_nobody, open_one
from .face import hint, print_json

if TYPE_CHECKING:
    from ..queue.future import Future
    from ..queue.queue import Queue


# One queue


def register(verbs: Verbs) -> None:
    """Declare these verbs."""
    for declare in (_declare_add, _declare_accept):
        declare(verbs)


def command(argv: list[str] | str, cwd: str, after: tuple[Any, ...] = ()) -> list[str] | str:
    """Run the command of a task of ``desipipe add``.

    The folder, and what the task waits for, are arguments so that they are part of its identity.
    """
    return argv


def _declare_add(verbs: Verbs) -> None:
    parser = verbs.add(
        'add',
        add,
        'add a command as a task',
        'It runs in this folder. A single argument is a line for the shell (bash). The same '
        'command in the same folder is the same task, and is not run twice.',
        'desipipe add -q my_queue -- wc -l /etc/hosts',
        "desipipe add -q my_queue --name count --retries 2 -- 'wc -l *.txt > n.out'",
    )
    add_queue(parser)
    parser.add_argument('--name', help="name of the task (default: the command's)")
    parser.add_argument(
        '--timeout', type=seconds, metavar='SECONDS', help='longest time one attempt may take'
    )
    parser.add_argument(
        '--retries',
        type=whole,
        default=0,
        metavar='N',
        help='number of further attempts after a failure',
    )
    parser.add_argument(
        '--priority', type=int, default=0, metavar='N', help='larger values run first'
    )
    parser.add_argument(
        '--after',
        nargs='+',
        default=[],
        metavar='TASK',
        help='tasks that must succeed first (identity or app[index])',
    )
    parser.add_argument('--create', action='store_true', help='create the queue if there is none')
    add_spawn(parser)
    add_json(parser)
    parser.add_argument('command', nargs='+', metavar='COMMAND', help='command to run, after --')


def add(args: argparse.Namespace) -> None:
    """Run ``desipipe add``."""
    queue = _opened(args)
    future, is_new = _added(queue, args)
    if args.json:
        print_json(
            {
                'tid': future.id,
                'name': future.task.name,
                'index': future.task.index,
                'state': future.state,
                'new': is_new,
            }
        )
        return
    outcome = 'added:' if is_new else 'is known, and'
    print(f'{future.task.name}[{future.task.index:d}] {future.id[:12]} {outcome} {future.state}')
    if not is_new and future.done():
        where = type_queue(queue.folder, queue.config)
        hint(f'To run it again: desipipe retry {where} --tid {future.id[:12]}')
    elif not args.spawn:
        hint_nobody(queue)


def _opened(args: argparse.Namespace) -> Queue:
    """Open the queue of ``-q``; with ``--create`` it need not exist."""
    if not args.create:
        return open_one(args, args.spawn, use=True)
    from ..config import Config
    from ..queue.names import queue_folder
    from ..queue.queue import Queue

    config = Config()
    return Queue(queue_folder(args.queue, config=config), spawn=args.spawn, config=config)


def _added(queue: Queue, args: argparse.Namespace) -> tuple[Future, bool]:
    """Add the command as a task; return its future, and whether it is new."""
    from ..queue.task import Task
    from ..task_manager import TaskManager

    argv = args.command[0] if len(args.command) == 1 else args.command
    after = tuple(queue.futures(tid=find_tasks(queue, args.after)) if args.after else ())
    tm = TaskManager(queue)
    app = tm.bash_app(
        command,
        retries=args.retries,
        priority=args.priority,
        **({'timeout': args.timeout} if args.timeout else {}),
    )
    app.name = args.name or _command_name(args.command)
    arguments = {'argv': argv, 'cwd': os.getcwd(), 'after': after}
    task = Task(app, arguments, index=len(queue.select(name=app.name)))
    is_new = task.id not in queue
    return queue.add(task, task_manager=tm), is_new


def _command_name(argv: list[str]) -> str:
    parts = argv[0].split()
    return re.sub(r'[^\w.+-]', '_', os.path.basename(parts[0]) if parts else 'command') or 'command'


def _declare_accept(verbs: Verbs) -> None:
    parser = verbs.add(
        'accept',
        accept,
        'accept the result of an old task for a new one',
        (
            'For a change of code or arguments that you know makes no difference. What '
            'needed the new task goes on with the old result.'
        ),
        'desipipe accept -q my_queue 1a2b3c4d 5e6f7a8b',
    )
    add_queue(parser)
    parser.add_argument(
        'old', metavar='OLD', help='a succeeded task: start of its identity, or app[index]'
    )
    parser.add_argument('new', metavar='NEW', help='a task of the same app')


def accept(args: argparse.Namespace) -> None:
    """``desipipe accept``."""
    queue = open_one(args, use=True)
    old, new = find_task(queue, args.old), find_task(queue, args.new)
    future = queue.accept(old, new)
    print(f'{future.task.name}[{future.task.index:d}] {new[:12]} has the result of {old[:12]}')
