"""Verbs that change a queue, or the state of its tasks."""

from __future__ import annotations

import argparse

from ..queue.location import check_names, find_tasks, type_queue
from ..utils import is_pattern
from .common import (
    QueueDefault,
    Verbs,
    add_conditions,
    add_json,
    add_queue,
    add_spawn,
    add_states,
    hint_nobody,
    open_all,
    open_one,
    plural,
    queue_name,
)
from .face import FACE, hint, print_json
from .hints import hint_retried


def register(verbs: Verbs) -> None:
    """Declare these verbs."""
    for declare in (
        _declare_pause,
        _declare_resume,
        _declare_retry,
        _declare_cancel,
        _declare_forget,
        _declare_delete,
        _declare_compact,
    ):
        declare(verbs)


def _declare_pause(verbs: Verbs) -> None:
    parser = verbs.add(
        'pause',
        pause,
        'pause a queue: no further task starts',
        'Those that run go on.',
        'desipipe pause -q my_queue',
        "desipipe pause -q 'test*'",
    )
    add_queue(parser, several=True)


def pause(args: argparse.Namespace) -> None:
    """``desipipe pause``."""
    for queue in open_all(args, use=True):
        queue.pause()
        running = queue.counts['RUNNING']
        print(
            f'{queue_name(queue)}: paused'
            + (f', {plural(running)} still running' if running else '')
        )


def _declare_resume(verbs: Verbs) -> None:
    parser = verbs.add(
        'resume',
        resume,
        'resume a paused queue',
        'Workers that wait go on at once.',
        'desipipe resume -q my_queue --spawn',
    )
    add_queue(parser, several=True)
    add_spawn(parser)


def resume(args: argparse.Namespace) -> None:
    """``desipipe resume``."""
    for queue in open_all(args, args.spawn, use=True):
        queue.resume()
        print(f'{queue_name(queue)}: active')
        if not args.spawn:
            hint_nobody(queue)


def _declare_retry(verbs: Verbs) -> None:
    parser = verbs.add(
        'retry',
        retry,
        'run finished tasks again',
        'By default those that were killed and are not superseded; what they blocked follows. '
        'With --tid: these, however they ended, superseded or not.',
        'desipipe retry -q my_queue --spawn',
        'desipipe retry -q my_queue --state FAILED KILLED UNKNOWN --name fraction',
    )
    add_queue(parser, several=True)
    add_states(parser, 'tasks in these states (default: KILLED)')
    add_conditions(parser, 'tid', 'name', 'mid', 'jobid')
    add_spawn(parser)


def retry(args: argparse.Namespace) -> None:
    """``desipipe retry``."""
    for queue in open_all(args, args.spawn, use=True):
        check_names(queue, args.name)
        given = {
            'tid': find_tasks(queue, args.tid),
            'state': args.state or ['KILLED'],
            'name': args.name,
            'mid': args.mid,
            'jobid': args.jobid,
        }
        n = len(queue.retry(**{key: value for key, value in given.items() if value}))
        print(f'{queue_name(queue)}: {plural(n)} to run again')
        hint_retried(queue, args, n)


def _declare_cancel(verbs: Verbs) -> None:
    parser = verbs.add(
        'cancel',
        cancel,
        'cancel pending tasks, and kill running ones',
        ('They become KILLED, and what needs them is blocked; retry takes it back.'),
        'desipipe cancel -q my_queue --name fraction',
        'desipipe cancel -q my_queue --state WAITING PENDING RUNNING  all that is left',
    )
    add_queue(parser, several=True)
    add_states(parser, 'tasks in these states')
    add_conditions(parser, 'tid', 'name')


def cancel(args: argparse.Namespace) -> None:
    """``desipipe cancel``."""
    if not (args.state or args.tid or args.name):
        from ..errors import QueueError

        raise QueueError(
            'Nothing was cancelled: name tasks with --tid, --name or --state. All that is left: '
            '--state WAITING PENDING RUNNING'
        )
    for queue in open_all(args, use=True):
        check_names(queue, args.name)
        n = len(queue.cancel(tid=find_tasks(queue, args.tid), state=args.state, name=args.name))
        print(f'{queue_name(queue)}: {plural(n)} cancelled')


def _declare_forget(verbs: Verbs) -> None:
    parser = verbs.add(
        'forget',
        forget,
        'remove tasks and their results from a queue',
        'A task is superseded when its cell, function or script was run again with other code: it '
        'keeps its result, and counts nowhere. '
        'A forgotten task is computed anew when it is added again.',
        'desipipe forget -q my_queue --superseded',
        "desipipe forget -q my_queue 'fraction[3]' 1a2b3c4d",
    )
    add_queue(parser)
    parser.add_argument(
        'task', nargs='*', metavar='TASK', help='start of its identity, or app[index]'
    )
    parser.add_argument(
        '--superseded', action='store_true', help='all superseded tasks that are not running'
    )
    add_json(parser)


def forget(args: argparse.Namespace) -> None:
    """``desipipe forget``."""
    from ..errors import QueueError

    queue = open_one(args, use=True)
    where = type_queue(queue.folder, queue.config)
    if not args.task and not args.superseded:
        raise QueueError(
            'No task was named. Nothing was forgotten. Forget all superseded tasks with: desipipe '
            f'forget {where} --superseded'
        )
    if args.task and args.superseded:
        raise QueueError(
            'Tasks were named together with --superseded. Nothing was forgotten. Give one of the '
            'two.'
        )
    chosen = {'tid': find_tasks(queue, args.task)} if args.task else {'superseded': True}
    forgotten = queue.forget(**chosen)
    if args.json:
        print_json(
            {
                'queue': queue_name(queue),
                'folder': queue.folder,
                'forgotten': forgotten,
                'superseded': queue.n_superseded,
            }
        )
        return
    print(f'{queue_name(queue)}: {plural(len(forgotten))} forgotten')
    if args.superseded and queue.n_superseded:
        hint(
            f'{plural(queue.n_superseded, "superseded task")} still running; to end them: desipipe '
            f'cancel {where} --tid TASK'
        )


def _declare_delete(verbs: Verbs) -> None:
    parser = verbs.add(
        'delete',
        delete,
        'delete queues with all tasks and results',
        'Asks first. Workers and managers are ended.',
        'desipipe delete -q my_queue',
        "desipipe delete -q 'test*' --force",
    )
    add_queue(parser, several=True, default=QueueDefault.NAMED)
    parser.add_argument('--force', action='store_true', help='delete without asking')


def delete(args: argparse.Namespace) -> None:
    """Run ``desipipe delete``."""
    from ..errors import UnknownQueueError
    from ..queue.sharing import check_owner

    try:
        queues = list(open_all(args, use=True))
    except UnknownQueueError:
        if not all(map(is_pattern, args.queue)):
            raise
        # What was asked for is so.
        print(f'No queues match {" ".join(args.queue)}. Nothing was deleted.')
        return
    for queue in queues:
        if queue.group:
            check_owner(queue.ledger, 'delete')
    names = ', '.join(f'{queue_name(queue)} ({plural(len(queue))})' for queue in queues)
    if not args.force:
        answer = FACE.get().ask(
            f'Delete {plural(len(queues), "queue")}: {names}\nwith all results? [y/N] '
        )
        if answer is None:
            print(
                f'These queues would be deleted, with all results: {names}. Nothing was deleted. '
                'To delete them, add --force'
            )
            return
        if answer.strip().lower() not in ('y', 'yes'):
            print('Nothing was deleted')
            return
    for queue in queues:
        queue.delete()
        print(f'{queue_name(queue)}: deleted')


def _declare_compact(verbs: Verbs) -> None:
    parser = verbs.add(
        'compact',
        compact,
        'shrink the files of a long-lived queue',
        'Nothing that is known of a task is lost. When no worker lives, small files are gathered '
        'too.',
        'desipipe compact -q my_queue',
    )
    add_queue(parser, several=True)
    add_json(parser)


def compact(args: argparse.Namespace) -> None:
    """``desipipe compact``."""
    from ..utils import format_bytes

    sizes_of = []
    for queue in open_all(args, use=True):
        sizes = queue.compact()
        sizes_of.append({'queue': queue_name(queue), 'folder': queue.folder, **sizes})
        if not args.json:
            sizes_text = [
                f'{format_bytes(sizes[when]["bytes"])} in {plural(sizes[when]["files"], "file")}'
                for when in ('before', 'after')
            ]
            print(f'{queue_name(queue)}: {" → ".join(sizes_text)}')
    if args.json:
        print_json(sizes_of)
