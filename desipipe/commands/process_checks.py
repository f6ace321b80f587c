"""Checks of the jobs, workers and managers of a queue, and of their leftovers."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .common import plural
from .findings import Finding
from .journal_checks import NAMED_MAX

if TYPE_CHECKING:
    from ..queue.queue import Queue
    from ..view.schema import ManagerView, WorkerView

_OLD = 3600.0  # s after which what is made and renamed at once is a leftover


def check_jobs(queue: Queue) -> Iterator[Finding]:
    """Check that Slurm would take the jobs of the task managers; submit nothing."""
    import shutil

    from ..provider import Provider
    from ..provider.slurm import SlurmProvider

    tried = set()
    for mid, spec in queue.ledger.state.managers.items():
        queue.ledger.check_use()
        provider = Provider(spec['provider'])
        if not isinstance(provider, SlurmProvider) or shutil.which('sbatch') is None:
            continue
        same = str(sorted(spec['provider'].items()))
        if same in tried:
            continue
        tried.add(same)
        objection = provider.objection()
        yield Finding(
            f'{queue.name}: jobs of {mid[:12]}',
            not objection,
            objection or 'Slurm would take them',
            'desipipe doctor' if objection else '',
        )


def check_waiting_jobs(queue: Queue, where: str) -> Iterator[Finding]:
    """Jobs that Slurm has, and will never start as they are."""
    from ..provider import Provider
    from ..provider.base import Job

    alike: dict[tuple[str, str], list[str]] = {}
    managers = queue.ledger.state.managers
    for jobid, job in queue.ledger.state.jobs.items():
        if job['state'] == 'pending' and job['mid'] in managers:
            text = Provider(managers[job['mid']]['provider']).hopeless(
                Job(jobid, job['slots'], 'pending', job['reason'])
            )
            if text:
                alike.setdefault((job['reason'], text), []).append(jobid)
    for (reason, text), jobids in alike.items():
        names = ', '.join(jobids[:NAMED_MAX]) + (', …' if len(jobids) > NAMED_MAX else '')
        yield Finding(
            f'{queue.name}: jobs that wait',
            False,
            f'{plural(len(jobids), "job")} ({names}) will not begin ({reason}): {text}',
            f'desipipe kill {where}',
        )
    if queue.ledger.state.submissions:
        yield Finding(
            f'{queue.name}: jobs that wait',
            None,
            f'{plural(len(queue.ledger.state.submissions), "submission")} of which it is not known '
            'whether Slurm took it; a manager finds out',
            f'desipipe spawn {where} --spawn',
        )


def check_processes(queue: Queue, where: str) -> Iterator[Finding]:
    """Check that workers and manager are alive, and what the manager reported last."""
    from ..view.queue import queue_summary

    summary = queue_summary(queue)
    check, fix = f'{queue.name}: processes', f'desipipe spawn {where} --spawn'
    processes: list[tuple[str, ManagerView | WorkerView]]
    processes = [('worker', worker) for worker in summary['workers']]
    manager = summary['manager']
    if manager is not None:
        processes.append(('manager', manager))
    yield from (
        Finding(check, False, _vanished(kind, process), fix)
        for kind, process in processes
        if process['alive'] is False
    )
    if manager is not None and manager['says']:
        log = f'tail {shlex.quote(queue.folder)}/manager.log'
        yield Finding(check, False, f'The manager says: {manager["says"]}', log)
    elif summary['last_says']:
        yield Finding(check, False, f'The last manager said: {summary["last_says"]}', fix)
    alive = sum(process['alive'] is not False for _, process in processes)
    if summary['condition'] == 'stopped' and not processes:
        text = f'{plural(summary["left"])} to do, and no worker is running'
        yield Finding(check, None, text, fix)
    elif alive == len(processes):
        unknown = sum(process['alive'] is None for _, process in processes)
        text = 'No process is running'
        if alive:
            text = '1 process at work' if alive == 1 else f'{alive:,d} processes at work'
        if unknown:
            text += f', {unknown:d} of them on other machines, which only time can tell'
        yield Finding(check, True, text)


def _vanished(kind: str, process: ManagerView | WorkerView) -> str:
    text = (
        f'{kind.capitalize()} {process["name"]} (process {process["pid"]:d} on {process["host"]}) '
        'vanished'
    )
    running = process.get('running', 0)
    if isinstance(running, int) and running:
        text += (
            f'; {plural(running)} in its hands will be UNKNOWN, or run again as their retries say'
        )
    return text


def check_leftovers(queue: Queue) -> Iterator[Finding]:
    """Check for files of processes that were killed."""
    from ..store.folders import list_names

    state = queue.ledger.state
    parent, base = os.path.split(queue.folder)
    names = {*state.alive, *([state.manager['w']] if state.manager is not None else [])}
    left = [
        os.path.join(parent, name)
        for name in os.listdir(parent)
        if name.startswith(base + '.') and name.endswith(('.new', '.deleted'))
    ]
    left += [
        os.path.join(queue.folder, name)
        for name in list_names(queue.folder)
        if name.endswith('.tmp')
    ]
    left = [path for path in left if _age(path) > _OLD]
    for folder, ends in (('live', '-'), ('workers', '.')):
        for name in list_names(queue.folder, folder):
            if name.rpartition(ends)[0] not in names:
                left.append(os.path.join(queue.folder, folder, name))
    if left:
        text = ', '.join(left[:NAMED_MAX]) + (
            f' and {len(left) - NAMED_MAX:d} more' if len(left) > NAMED_MAX else ''
        )
        yield Finding(
            f'{queue.name}: leftovers',
            None,
            f'of processes that were killed: {text}',
            f'rm -r {shlex.join(left[:NAMED_MAX])}',
        )


def _age(path: str) -> float:
    try:
        return time.time() - os.lstat(path).st_mtime
    except FileNotFoundError:
        return 0.0
