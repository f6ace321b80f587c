"""Verbs that are, start or end processes: spawn, work, kill."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ..cells.option_types import MODES, mode, positive, seconds, whole
from ..queue.location import find_tasks, short, type_queue
from .common import Verbs, add_conditions, add_queue, describe, open_all, open_one, plural
from .face import hint

if TYPE_CHECKING:
    from ..queue.queue import Queue


def register(verbs: Verbs) -> None:
    """Declare these verbs."""
    for declare in (_declare_spawn, _declare_resize, _declare_work):
        declare(verbs)


def _add_mode(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--mode',
        nargs='*',
        type=mode,
        default='',
        action=_JoinWords,
        metavar='MODE',
        help='behaviours, separated by commas or blanks',
    )
    describe(parser, f'Modes: {", ".join(MODES)}.')


class _JoinWords(argparse.Action):
    """Put the values of an option together, as one text."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        _option: str | None = None,
    ) -> None:
        setattr(namespace, self.dest, ' '.join(values))


def _declare_spawn(verbs: Verbs) -> None:
    parser = verbs.add(
        'spawn',
        spawn,
        'start workers where tasks wait, until nothing is left',
        (
            'In the foreground it logs what it does, and Ctrl-C ends it with its workers. '
            'With --spawn it goes on in the background, also without the terminal. When no '
            'task is left it stays for --linger, with the workers: by default 0 s in the '
            'foreground, in the background what the configuration says.'
        ),
        'desipipe spawn -q my_queue --spawn',
        'desipipe spawn -q my_queue --max-workers 8 --mode stop_at_error',
    )
    add_queue(parser, several=True)
    parser.add_argument(
        '--timeout', type=seconds, metavar='SECONDS', help='end after this time, with the workers'
    )
    parser.add_argument(
        '--timestep',
        type=seconds,
        default=10.0,
        metavar='SECONDS',
        help='longest time between checks of batch jobs (default: 10)',
    )
    _add_mode(parser)
    parser.add_argument(
        '--max-workers',
        type=positive,
        metavar='N',
        help='maximum of concurrent tasks of each task manager',
    )
    parser.add_argument('--spawn', action='store_true', help='start it in the background')
    parser.add_argument(
        '--linger',
        type=seconds,
        metavar='SECONDS',
        help='stay this long when no task is left (default: see above)',
    )
    parser.add_argument('--detached', action='store_true', help=argparse.SUPPRESS)


def spawn(args: argparse.Namespace) -> int:
    """Run ``desipipe spawn``."""
    queues = list(open_all(args, use=True))
    if args.spawn:
        for queue in queues:
            _background(queue, args)
        return 0
    from ..execution.manager import Manager
    from ..execution.spawning import spawn
    from ..logs import log_to_stderr

    log_to_stderr()
    linger = args.linger
    if linger is None:
        linger = float(queues[0].config['linger']) if args.detached else 0.0
    options = (args.timeout, args.timestep, args.mode, args.max_workers)
    if args.detached:  # one of two that begin at once ends
        Manager(queues[0], *options, linger).run()
    else:
        spawn(queues, *options, linger=linger)
    return 0


def _background(queue: Queue, args: argparse.Namespace) -> int:
    from ..errors import ManagerRunningError
    from ..execution.spawning import begin

    try:
        pid, log = begin(
            queue,
            timeout=args.timeout,
            timestep=args.timestep,
            mode=args.mode,
            max_workers=args.max_workers,
            linger=args.linger,
        )
    except ManagerRunningError as exc:
        print(exc)  # what was asked for is so
        return 0
    print(f'The manager is process {pid:d}; its log is {log}')
    hint(f'Follow the queue with: desipipe watch {type_queue(queue.folder, queue.config)}')
    return 0


def _declare_resize(verbs: Verbs) -> None:
    parser = verbs.add(
        'resize',
        resize,
        'change how many tasks run at once, while they run',
        'Counts for each task manager of the queue, whatever its scheduler says, until the next '
        'spawn with --max-workers. Batch jobs that wait and are no '
        'longer needed are cancelled; workers that are too many end when their tasks have. With 0: '
        'what the schedulers say holds again.',
        'desipipe resize -q my_queue --max-workers 16',
        'desipipe resize -q my_queue --max-workers 2 --mid 1a2b3c4d',
    )
    add_queue(parser, several=True)
    parser.add_argument(
        '--max-workers', type=whole, required=True, metavar='N', help='maximum of concurrent tasks'
    )
    parser.add_argument('--mid', help='only this task manager (start of its identity)')


def resize(args: argparse.Namespace) -> None:
    """``desipipe resize``."""
    from ..queue.ledger import find_mid

    for queue in open_all(args, use=True):
        queue.ledger.follow()
        mid = find_mid(queue.ledger.state, args.mid) if args.mid else ''
        queue.ledger.resize(args.max_workers or None, mid)
        text = (
            f'at most {plural(args.max_workers)} at once'
            if args.max_workers
            else 'as many tasks at once as its schedulers say'
        )
        print(
            f'{short(queue.folder, queue.config)}: '
            f'{text}{f" for task manager {mid}" if mid else ""}'
        )


def _declare_work(verbs: Verbs) -> None:
    parser = verbs.add(
        'work',
        work,
        'run tasks in this process until none is left',
        'What a manager starts; also useful by hand, or in a batch script of your own.',
        'desipipe work -q my_queue --slots 4',
        'desipipe work -q my_queue --slots 128 --timeout 3500 --mode retry_at_timeout',
        'desipipe work -q my_queue --mpisplits 4   after srun -n 64: four MPI tasks',
    )
    add_queue(parser)
    add = parser.add_argument
    help_text = 'number of concurrent tasks (default: 1)'
    add('--slots', type=positive, default=1, metavar='N', help=help_text)
    help_text = 'divide MPI processes among N tasks, instead of --slots'
    add('--mpisplits', type=positive, metavar='N', help=help_text)
    add('--mid', help='only tasks of this task manager (start of its identity)')
    add_conditions(parser, 'tid', 'name')
    add('--jobid', default='', help="name of this worker's job")
    help_text = 'end after this time, as at the walltime of a job'
    add('--timeout', type=seconds, metavar='SECONDS', help=help_text)
    help_text = 'stay this long when no task is left (default: 0)'
    add('--linger', type=seconds, default=0.0, metavar='SECONDS', help=help_text)
    _add_mode(parser)
    parser.add_argument(
        '--copy-output',
        nargs='+',
        choices=('out', 'err'),
        default=(),
        metavar='STREAM',
        help='also print what tasks print: out, err',
    )


def work(args: argparse.Namespace) -> None:
    """``desipipe work``."""
    from ..execution.worker import work
    from ..logs import log_to_stderr
    from ..queue.faults import patiently

    log_to_stderr()
    queue = patiently(lambda: open_one(args, use=True))
    work(
        queue,
        slots=args.slots,
        mid=args.mid,
        jobid=args.jobid,
        timeout=args.timeout,
        linger=args.linger,
        mode=args.mode,
        mpisplits=args.mpisplits,
        tid=find_tasks(queue, args.tid),
        name=args.name,
        copy_output=args.copy_output,
    )
