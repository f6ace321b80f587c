"""Verbs that are, start or end processes: spawn, work, kill."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ..cells.option_types import MODES, mode, positive, seconds, whole
from ..queue.location import find_tasks, short, type_queue
from .common import Verbs, add_conditions, add_queue, add_states, hint, open_all, open_one, plural

if TYPE_CHECKING:
    from ..queue.queue import Queue

_END = 10.0  # s for workers that were killed to be gone


def register(verbs: Verbs) -> None:
    """Declare these verbs."""
    for declare in (
        _declare_spawn,
        _declare_resize,
        _declare_work,
        _declare_kill,
    ):
        declare(verbs)


def _add_mode(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--mode',
        nargs='*',
        type=mode,
        default='',
        action=_Words,
        metavar='MODE',
        help=f'of {", ".join(MODES)}; several with commas or blanks',
    )


class _Words(argparse.Action):
    """Put the values of an option together, as one text."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        setattr(namespace, self.dest, ' '.join(values))


def _declare_spawn(verbs: Verbs) -> None:
    parser = verbs.add(
        'spawn',
        spawn,
        'start workers where tasks wait, until nothing is left',
        'In the foreground it logs what it does, and Ctrl-C ends it with its workers. With --spawn '
        'it goes on in the background, also without the terminal.',
        'desipipe spawn -q my_queue --spawn',
        'desipipe spawn -q my_queue --max-workers 8 --mode stop_at_error',
    )
    add_queue(parser, several=True)
    parser.add_argument(
        '--timeout', type=seconds, metavar='SECONDS', help='end after that, with the workers'
    )
    parser.add_argument(
        '--timestep',
        type=seconds,
        default=10.0,
        metavar='SECONDS',
        help='the longest wait between two looks at batch jobs (default: 10)',
    )
    _add_mode(parser)
    parser.add_argument(
        '--max-workers',
        type=positive,
        metavar='N',
        help='the most tasks at once for each task manager, whatever its scheduler says',
    )
    parser.add_argument('--spawn', action='store_true', help='in the background')
    parser.add_argument(
        '--linger',
        type=seconds,
        metavar='SECONDS',
        help=(
            'stay that long, with the workers, when nothing is left (default: 0; in the background '
            "the configuration's)"
        ),
    )
    parser.add_argument('--detached', action='store_true', help=argparse.SUPPRESS)


def spawn(args: argparse.Namespace) -> int:
    """Run ``desipipe spawn``."""
    queues = list(open_all(args))
    if args.spawn:
        for queue in queues:
            _background(queue, args)
        return 0
    from ..execution.manager import Manager, spawn
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
    from ..execution.manager import begin

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
        '--max-workers', type=whole, required=True, metavar='N', help='the most tasks at once'
    )
    parser.add_argument(
        '--mid', help='only of this task manager (the beginning of its identity will do)'
    )


def resize(args: argparse.Namespace) -> None:
    """``desipipe resize``."""
    from ..queue.ledger import find_mid

    for queue in open_all(args):
        queue.ledger.follow()
        mid = find_mid(queue.ledger.state, args.mid) if args.mid else ''
        queue.ledger.resize(args.max_workers or None, mid)
        words = (
            f'at most {plural(args.max_workers)} at once'
            if args.max_workers
            else 'as many tasks at once as its schedulers say'
        )
        print(
            f'{short(queue.folder, queue.config)}: '
            f'{words}{f" for task manager {mid}" if mid else ""}'
        )


def _declare_work(verbs: Verbs) -> None:
    parser = verbs.add(
        'work',
        work,
        'run tasks, here and now, until nothing is left',
        'What a manager starts; also useful by hand, or in a batch script of your own.',
        'desipipe work -q my_queue --slots 4',
        'desipipe work -q my_queue --slots 128 --timeout 3500 --mode retry_at_timeout',
        'desipipe work -q my_queue --mpisplits 4  after srun -n 64: four tasks of 16 MPI processes '
        'at once',
    )
    add_queue(parser)
    parser.add_argument(
        '--slots', type=positive, default=1, metavar='N', help='how many tasks at once (default: 1)'
    )
    parser.add_argument(
        '--mpisplits',
        type=positive,
        metavar='N',
        help=(
            'started by mpiexec or srun: divide the MPI processes among so many tasks at once, '
            'instead of --slots'
        ),
    )
    parser.add_argument(
        '--mid', help='only tasks of this task manager (the beginning of its identity will do)'
    )
    add_conditions(parser, 'tid', 'name')
    parser.add_argument('--jobid', default='', help='what the job of this worker is called')
    parser.add_argument(
        '--timeout',
        type=seconds,
        metavar='SECONDS',
        help='end after that, as at the walltime of a batch job',
    )
    parser.add_argument(
        '--linger',
        type=seconds,
        default=0.0,
        metavar='SECONDS',
        help='stay that long when nothing is left (default: 0)',
    )
    _add_mode(parser)
    parser.add_argument(
        '--copy-output',
        nargs='+',
        choices=('out', 'err'),
        default=(),
        metavar='STREAM',
        help='print what tasks print, as it comes, too: out, err',
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


def _declare_kill(verbs: Verbs) -> None:
    parser = verbs.add(
        'kill',
        kill,
        'end workers at once',
        'What they run is KILLED. Without --jobid and --mid: all workers, and the manager.',
        'desipipe kill -q my_queue',
        'desipipe kill -q my_queue --jobid local:1a2b3c4d',
    )
    add_queue(parser, several=True, required=False)
    add_conditions(parser, 'jobid', 'mid', 'tid', 'name')
    add_states(parser, 'cancel tasks in one of these states instead')
    parser.add_argument(
        '--provider',
        metavar='NAME',
        help='with --jobid and without -q: the provider whose jobs these are',
    )


def kill(args: argparse.Namespace) -> int:
    """Run ``desipipe kill``."""
    if not args.queue:
        _kill_jobs(args)
        return 0
    if args.tid or args.name or args.state:
        _cancel_tasks(args)
        return 0
    status = 0
    for queue in open_all(args, use=True):
        where = short(queue.folder, queue.config)
        before = dict(queue.ledger.state.jobs)
        asked, vanished = _killed(queue, args)
        if vanished:
            print(f'{where}: {plural(vanished, "worker")} had vanished before')
        ended = queue.ledger.wait(lambda queue=queue, asked=asked: not _still(queue, asked), _END)  # type: ignore[misc]
        cancelled, errors = _withdrawn(queue, args, before)
        if cancelled:
            print(
                f'{where}: cancelled {plural(len(cancelled), "job")} that had not begun: '
                f'{", ".join(cancelled)}'
            )
        for error in errors:
            hint(error)
            status = 2
        if not asked:
            print(f'{where}: no worker or manager is running')
        elif ended:
            print(f'{where}: ended {" and ".join(asked)}')
        else:
            print(
                f'{where}: asked {" and ".join(asked)} to end; {", ".join(_still(queue, asked))} '
                f'did not within {_END:g} s'
            )
            hint(f'Look again with: desipipe status {type_queue(queue.folder, queue.config)}')
    return status


def _kill_jobs(args: argparse.Namespace) -> None:
    """Cancel jobs by their ids, whatever queue they serve."""
    from ..errors import ConfigError
    from ..provider import Job, Provider

    if not args.jobid or not args.provider:
        raise ConfigError(
            'Nothing was ended. Say which queue, with -q QUEUE, or which jobs, with --jobid ID '
            '--provider NAME.'
        )
    provider = Provider(args.provider)
    if provider.batch:
        provider.withdraw('', [Job(jobid, 1, 'pending') for jobid in args.jobid])
    elif not all(jobid.isdecimal() for jobid in args.jobid):
        raise ConfigError(
            f'Nothing was ended. Jobs of {args.provider!r} that others can end are numbers of '
            'processes. End the workers of a queue with: desipipe kill -q QUEUE'
        )
    else:
        provider.kill(*args.jobid)
    print(f'Asked {args.provider} to cancel {", ".join(args.jobid)}')


def _cancel_tasks(args: argparse.Namespace) -> None:
    for queue in open_all(args, use=True):
        states = args.state or (['RUNNING'] if not args.tid else None)
        ended = queue.cancel(
            tid=find_tasks(queue, args.tid),
            state=states,
            name=args.name,
            mid=args.mid,
            jobid=args.jobid,
        )
        print(f'{short(queue.folder, queue.config)}: {plural(len(ended))} cancelled')


def _killed(queue: Queue, args: argparse.Namespace) -> tuple[dict[str, str], int]:
    """Ask to end; those who were asked (in words: their names in the journal), and how many
    turned out to be gone already.
    """
    from ..store.lease import Observer

    ledger = queue.ledger
    ledger.follow()
    vanished = len(ledger.judge(Observer(ledger.folder)))
    names = queue.order_end(jobid=args.jobid, mid=args.mid)
    # What was decided, not what is left of it: who was asked may have ended by now.
    known = ledger.state.workers
    return {
        f'worker {known[name].job}' if name in known else 'the manager': name for name in names
    }, vanished


def _withdrawn(
    queue: Queue, args: argparse.Namespace, before: dict[str, Any]
) -> tuple[list[str], list[str]]:
    """Return the jobs of batch systems that were cancelled, and why others were not."""
    ledger = queue.ledger
    ledger.follow()
    named = args.jobid is not None or args.mid is not None
    if ledger.state.manager is not None and not named:
        return [], []  # it is at work, or ends, and withdraws its own
    if not named:
        # One that has said that it ends tells the batch system then; what it could not is done
        # here.
        ledger.wait(
            lambda: not any(job['state'] == 'withdrawn' for job in ledger.state.jobs.values()), _END
        )
    jobids, errors = queue.withdraw(args.jobid, args.mid)
    begun = {worker.job for worker in ledger.state.workers.values()}
    gone = [jobid for jobid in before if jobid not in ledger.state.jobs and jobid not in begun]
    return list(dict.fromkeys([*gone, *jobids])), errors


def _still(queue: Queue, asked: dict[str, str]) -> list[str]:
    state = queue.ledger.state
    there = {*state.alive, *([state.manager['w']] if state.manager is not None else [])}
    return [words for words, name in asked.items() if name in there]
