"""The verb that ends workers, jobs and tasks: kill."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..queue.location import find_tasks, short, type_queue
from .common import QueueDefault, Verbs, add_conditions, add_queue, add_states, open_all, plural
from .face import hint

if TYPE_CHECKING:
    from collections.abc import Collection

    from ..queue.queue import Queue


_END = 10.0  # s for workers that were killed to be gone


def register(verbs: Verbs) -> None:
    """Declare the verb."""
    _declare_kill(verbs)


def _declare_kill(verbs: Verbs) -> None:
    parser = verbs.add(
        'kill',
        kill,
        'end workers at once',
        'What they run is KILLED. Without --jobid and --mid: all workers, and the manager.',
        'desipipe kill -q my_queue',
        'desipipe kill -q my_queue --jobid local:1a2b3c4d',
    )
    add_queue(parser, several=True, default=QueueDefault.NONE)
    add_conditions(parser, 'jobid', 'mid', 'tid', 'name')
    add_states(parser, 'cancel tasks in these states, and end no worker')
    parser.add_argument(
        '--provider',
        metavar='NAME',
        help='provider of the jobs, with --jobid and without -q',
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
    """Ask workers and managers to end.

    Return those who were asked (their text by their name in the journal), and how many turned out
    to be gone already.
    """
    from ..store.lease import Observer

    ledger = queue.ledger
    ledger.follow()
    vanished = len(ledger.end_lost_workers(Observer(ledger.folder)))
    names = queue.order_end(jobid=args.jobid, mid=args.mid)
    # What was decided, not what is left of it: who was asked may have ended by now.
    workers = ledger.state.workers
    return {
        f'worker {workers[name].job}' if name in workers else 'the manager': name for name in names
    }, vanished


def _withdrawn(
    queue: Queue, args: argparse.Namespace, before: Collection[str]
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
    living = {*state.alive, *([state.manager['w']] if state.manager is not None else [])}
    return [text for text, name in asked.items() if name in living]
