"""Verbs that change a queue: pause, resume, retry, cancel, forget, delete, add, accept, compact."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shlex
from typing import TYPE_CHECKING, Any

from ..cells.option_types import seconds, whole
from ..queue.location import check_names, find_task, find_tasks, short, type_queue
from ..utils import is_pattern
from .common import (
    FACE,
    Verbs,
    add_conditions,
    add_json,
    add_queue,
    add_states,
    hint,
    hint_nobody,
    open_all,
    open_one,
    plural,
    print_json,
)

if TYPE_CHECKING:
    from ..queue.queue import Queue

_MEMBERS = 8  # to name


def register(verbs: Verbs) -> None:
    """Declare these verbs."""
    for declare in (
        _declare_pause,
        _declare_resume,
        _declare_retry,
        _declare_cancel,
        _declare_forget,
        _declare_delete,
        _declare_add,
        _declare_accept,
        _declare_trust,
        _declare_share,
        _declare_unshare,
        _declare_compact,
    ):
        declare(verbs)


def _add_spawn(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--spawn', action='store_true', help='start a manager in the background, if none is at work'
    )


def _name(queue: Queue) -> str:
    return short(queue.folder, queue.config)


def _declare_pause(verbs: Verbs) -> None:
    parser = verbs.add(
        'pause',
        pause,
        'pause the queue: no task begins',
        'Those that run go on.',
        'desipipe pause -q my_queue',
        "desipipe pause -q 'test*'",
    )
    add_queue(parser, several=True)


def pause(args: argparse.Namespace) -> None:
    """``desipipe pause``."""
    for queue in open_all(args):
        queue.pause()
        running = queue.counts['RUNNING']
        print(f'{_name(queue)}: paused' + (f', {plural(running)} still running' if running else ''))


def _declare_resume(verbs: Verbs) -> None:
    parser = verbs.add(
        'resume',
        resume,
        'let tasks of a paused queue begin again',
        'Workers that wait go on at once.',
        'desipipe resume -q my_queue --spawn',
    )
    add_queue(parser, several=True)
    _add_spawn(parser)


def resume(args: argparse.Namespace) -> None:
    """``desipipe resume``."""
    for queue in open_all(args, args.spawn):
        queue.resume()
        print(f'{_name(queue)}: active')
        if not args.spawn:
            hint_nobody(queue)


def _declare_retry(verbs: Verbs) -> None:
    parser = verbs.add(
        'retry',
        retry,
        'let tasks run again that ended',
        'By default those that did not succeed and are not superseded; what they blocked follows. '
        'With --tid: these, however they ended, superseded or not.',
        'desipipe retry -q my_queue --spawn',
        'desipipe retry -q my_queue --state KILLED UNKNOWN --name fraction',
    )
    add_queue(parser, several=True)
    add_states(parser, 'tasks in one of these states (default: FAILED KILLED UNKNOWN)')
    add_conditions(parser, 'tid', 'name', 'mid', 'jobid')
    _add_spawn(parser)


def retry(args: argparse.Namespace) -> None:
    """``desipipe retry``."""
    for queue in open_all(args, args.spawn, use=True):
        check_names(queue, args.name)
        given = {
            'tid': find_tasks(queue, args.tid),
            'state': args.state,
            'name': args.name,
            'mid': args.mid,
            'jobid': args.jobid,
        }
        n = len(queue.retry(**{key: value for key, value in given.items() if value}))
        print(f'{_name(queue)}: {plural(n)} to run again')
        if n and not args.spawn:
            hint_nobody(queue)


def _declare_cancel(verbs: Verbs) -> None:
    parser = verbs.add(
        'cancel',
        cancel,
        'let tasks not begin, or stop those that run',
        'They are KILLED then, and what needs them is blocked; retry takes it back.',
        'desipipe cancel -q my_queue --name fraction',
        'desipipe cancel -q my_queue --state WAITING PENDING RUNNING  all that is left',
    )
    add_queue(parser, several=True)
    add_states(parser, 'tasks in one of these states')
    add_conditions(parser, 'tid', 'name')


def cancel(args: argparse.Namespace) -> None:
    """``desipipe cancel``."""
    if not (args.state or args.tid or args.name):
        from ..errors import QueueError

        raise QueueError(
            'nothing was cancelled: say what, with --tid, --name or --state. All that is left: '
            '--state WAITING PENDING RUNNING'
        )
    for queue in open_all(args, use=True):
        check_names(queue, args.name)
        n = len(queue.cancel(tid=find_tasks(queue, args.tid), state=args.state, name=args.name))
        print(f'{_name(queue)}: {plural(n)} cancelled')


def _declare_forget(verbs: Verbs) -> None:
    parser = verbs.add(
        'forget',
        forget,
        'take tasks and their results out of a queue',
        'A task is superseded when its cell, function or script was run again with other code: it '
        'keeps its result, and counts nowhere. '
        'A forgotten task is computed anew when it is added again.',
        'desipipe forget -q my_queue --superseded',
        "desipipe forget -q my_queue 'fraction[3]' 1a2b3c4d",
    )
    add_queue(parser)
    parser.add_argument(
        'task', nargs='*', metavar='TASK', help='beginning of its identity, or app[index]'
    )
    parser.add_argument(
        '--superseded', action='store_true', help='all superseded tasks that do not run'
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
            'two'
        )
    chosen = {'tid': find_tasks(queue, args.task)} if args.task else {'superseded': True}
    forgotten = queue.forget(**chosen)
    if args.json:
        print_json(
            {
                'queue': _name(queue),
                'folder': queue.folder,
                'forgotten': forgotten,
                'superseded': queue.n_superseded,
            }
        )
        return
    print(f'{_name(queue)}: {plural(len(forgotten))} forgotten')
    if args.superseded and queue.n_superseded:
        hint(
            f'{plural(queue.n_superseded, "superseded task")} still running; to end them: desipipe '
            f'cancel {where} --tid TASK'
        )


def _declare_trust(verbs: Verbs) -> None:
    parser = verbs.add(
        'trust',
        trust,
        'trust the queues of other users',
        'What is in a queue is code: to work on it, or to read its results, is to run it as you. '
        'Looking at a queue needs no trust. Written into your '
        'configuration; without names, who is trusted is listed.',
        'desipipe trust alice',
        'desipipe trust --remove alice',
    )
    parser.add_argument('users', nargs='*', metavar='USER', help='name or number of a user')
    parser.add_argument(
        '--remove', nargs='+', default=[], metavar='USER', help='trust these users no longer'
    )
    parser.add_argument('--list', action='store_true', help='list who is trusted')


def trust(args: argparse.Namespace) -> None:
    """Run ``desipipe trust``."""
    from ..config import Config
    from ..errors import ConfigError

    config = Config()
    if os.environ.get('DESIPIPE_TRUST') and (args.users or args.remove):
        raise ConfigError(
            'DESIPIPE_TRUST is set, and wins over the configuration. Nothing was changed. '
            'Type:\nunset DESIPIPE_TRUST'
        )
    if args.list and (args.users or args.remove):
        raise ConfigError(
            'Users were named together with --list. Nothing was changed. List who is '
            'trusted:\ndesipipe trust --list'
        )
    before = [str(user) for user in config['trusted_users']]
    for user in args.users:
        _check_user(user)
    gone = [_trusted_name(user, before) for user in args.remove]
    after = list(dict.fromkeys([user for user in before if user not in gone] + args.users))
    if after != before:
        config['trusted_users'] = after
        config.save()
    if args.users:
        print(
            f'Commands, tasks and results in queues of {", ".join(args.users)} may run as you from '
            'now on.'
        )
        hint(f'To take that back: desipipe trust --remove {" ".join(args.users)}')
    print(f'Trusted: {", ".join(after) or "only yourself"} ({config.filename})')


def _check_user(user: str) -> None:
    import pwd

    from ..errors import ConfigError

    try:
        if not user.isdecimal():  # numbers of users of other machines have no name here
            pwd.getpwnam(user)
    except KeyError:
        raise ConfigError(
            f'There is no user {user!r} on this machine. Nothing was changed. Find the name:\nid '
            '-un'
        ) from None


def _trusted_name(user: str, trusted: list[str]) -> str:
    """Return how a trusted user is written in the configuration."""
    import pwd

    from ..errors import ConfigError

    names = {user}
    with contextlib.suppress(KeyError):
        account = pwd.getpwuid(int(user)) if user.isdecimal() else pwd.getpwnam(user)
        names |= {account.pw_name, str(account.pw_uid)}
    for name in trusted:
        if name in names:
            return name
    raise ConfigError(
        f'User {user!r} is not trusted. Nothing was changed. List who is:\ndesipipe trust --list'
    )


def _declare_share(verbs: Verbs) -> None:
    parser = verbs.add(
        'share',
        share,
        'share a queue with a group',
        'Its members look at it, add tasks to it and run their own. What others have added they '
        'run if they trust them.',
        'desipipe share -q my_queue --group desi',
    )
    add_queue(parser)
    parser.add_argument(
        '--group', required=True, metavar='GROUP', help='name or number of a group that you are in'
    )


def share(args: argparse.Namespace) -> None:
    """Run ``desipipe share``."""
    from ..queue.sharing import find_group, members_of, unreachable

    queue = open_one(args, use=True)
    queue.share(args.group)
    gid = find_group(args.group)
    members = members_of(gid)
    who = (
        (
            f' ({plural(len(members), "member")}: '
            f'{", ".join(members[:_MEMBERS])}{", …" if len(members) > _MEMBERS else ""})'
        )
        if members
        else ''
    )
    print(f'{_name(queue)}: shared by group {queue.group}{who}')
    print(
        'Members run their own tasks. To run those of another member, and for them to run yours: '
        'desipipe trust USER'
    )
    if closed := unreachable(queue.folder, gid):
        hint(
            f'Group {queue.group} cannot reach the queue through {closed}. Let its members pass: '
            f'chmod o+x {shlex.quote(closed)}'
        )


def _declare_unshare(verbs: Verbs) -> None:
    parser = verbs.add(
        'unshare',
        unshare,
        'take a queue back from the group that shares it',
        'Others cannot look at it then. What members have added stays, as files of theirs.',
        'desipipe unshare -q my_queue',
    )
    add_queue(parser)


def unshare(args: argparse.Namespace) -> None:
    """Run ``desipipe unshare``."""
    queue = open_one(args, use=True)
    others = queue.unshare()
    print(f'{_name(queue)}: not shared')
    if others:
        hint(
            f'It holds files of {", ".join(others)}. To use what they hold, trust these users: '
            f'desipipe trust {" ".join(others)}'
        )


def _declare_delete(verbs: Verbs) -> None:
    parser = verbs.add(
        'delete',
        delete,
        'delete queues, with all their tasks and results',
        'Asks first. Workers and managers are ended.',
        'desipipe delete -q my_queue',
        "desipipe delete -q 'test*' --force",
    )
    add_queue(parser, several=True)
    parser.add_argument('--force', action='store_true', help='do not ask')


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
    words = ', '.join(f'{_name(queue)} ({plural(len(queue))})' for queue in queues)
    if not args.force:
        answer = FACE.get().ask(
            f'Delete {plural(len(queues), "queue")}: {words}\nwith all results? [y/N] '
        )
        if answer is None:
            print(
                f'These queues would be deleted, with all results: {words}. Nothing was deleted. '
                'To delete them, add --force'
            )
            return
        if answer.strip().lower() not in ('y', 'yes'):
            print('Nothing was deleted')
            return
    for queue in queues:
        queue.delete()
        print(f'{_name(queue)}: deleted')


# One queue


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
        "desipipe add -q my_queue --name count --retries 2 -- 'grep -c . *.txt > count.out'",
    )
    add_queue(parser)
    parser.add_argument('--name', help="name of the task (default: the command's)")
    parser.add_argument(
        '--timeout', type=seconds, metavar='SECONDS', help='how long one attempt may take'
    )
    parser.add_argument(
        '--retries',
        type=whole,
        default=0,
        metavar='N',
        help='how often a failed attempt is followed by another',
    )
    parser.add_argument('--priority', type=int, default=0, metavar='N', help='larger goes first')
    parser.add_argument(
        '--after',
        nargs='+',
        default=[],
        metavar='TASK',
        help='tasks that must succeed before: beginnings of identities, or app[index]',
    )
    parser.add_argument('--create', action='store_true', help='make the queue if there is none')
    _add_spawn(parser)
    add_json(parser)
    parser.add_argument('command', nargs='+', metavar='COMMAND', help='after --')


def add(args: argparse.Namespace) -> None:
    """``desipipe add``."""
    from ..config import Config
    from ..queue.queue import Queue, queue_folder
    from ..queue.task import Future, Task
    from ..task_manager import TaskManager

    if args.create:
        config = Config()
        queue = Queue(queue_folder(args.queue, config=config), spawn=args.spawn, config=config)
    else:
        queue = open_one(args, args.spawn, use=True)
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
    task = Task(
        app,
        {'argv': argv, 'cwd': os.getcwd(), 'after': after},
        index=len(queue.select(name=app.name)),
    )
    known = task.id in queue
    future: Future = queue.add(task, task_manager=tm)
    where = type_queue(queue.folder, queue.config)
    if args.json:
        print_json(
            {
                'tid': future.id,
                'name': future.task.name,
                'index': future.task.index,
                'state': future.state,
                'new': not known,
            }
        )
        return
    print(
        f'{future.task.name}[{future.task.index:d}] {future.id[:12]} '
        f'{"is known, and" if known else "added:"} {future.state}'
    )
    if known and future.done():
        hint(f'To run it again: desipipe retry {where} --tid {future.id[:12]}')
    elif not args.spawn:
        hint_nobody(queue)


def _command_name(argv: list[str]) -> str:
    words = argv[0].split()
    return re.sub(r'[^\w.+-]', '_', os.path.basename(words[0]) if words else 'command') or 'command'


def _declare_accept(verbs: Verbs) -> None:
    parser = verbs.add(
        'accept',
        accept,
        'take the result of an old task for a new one, whose code or arguments differ',
        'For a change that you know makes no difference. What needed the new task goes on with the '
        'old result.',
        'desipipe accept -q my_queue 1a2b3c4d 5e6f7a8b',
    )
    add_queue(parser)
    parser.add_argument(
        'old', metavar='OLD', help='a task that succeeded: beginning of its identity, or app[index]'
    )
    parser.add_argument('new', metavar='NEW', help='a task of the same app')


def accept(args: argparse.Namespace) -> None:
    """``desipipe accept``."""
    queue = open_one(args, use=True)
    old, new = find_task(queue, args.old), find_task(queue, args.new)
    future = queue.accept(old, new)
    print(f'{future.task.name}[{future.task.index:d}] {new[:12]} has the result of {old[:12]}')


def _declare_compact(verbs: Verbs) -> None:
    parser = verbs.add(
        'compact',
        compact,
        'make the files of a long-lived queue smaller',
        'Nothing that is known of a task is lost. When no worker lives, small files are gathered '
        'too.',
        'desipipe compact -q my_queue',
    )
    add_queue(parser, several=True)
    add_json(parser)


def compact(args: argparse.Namespace) -> None:
    """``desipipe compact``."""
    from ..utils import format_bytes

    found = []
    for queue in open_all(args, use=True):
        sizes = queue.compact()
        found.append({'queue': _name(queue), 'folder': queue.folder, **sizes})
        if not args.json:
            words = [
                f'{format_bytes(sizes[when]["bytes"])} in {plural(sizes[when]["files"], "file")}'
                for when in ('before', 'after')
            ]
            print(f'{_name(queue)}: {" → ".join(words)}')
    if args.json:
        print_json(found)
