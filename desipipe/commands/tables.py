"""Format queues: lines as wide as a terminal for people, whole ones for pipes.

What is shown is a list of lines, each a list of pieces of text with a style (empty: none); ``rich``
is imported only when styles can be seen.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from ..terminal import visible
from ..utils import format_bytes, format_count, plural, plural_about
from ..view.appearance import APPEARANCES, CONDITION_APPEARANCES
from ..view.failures import kinds_text
from ..view.text import (
    Line,
    Piece,
    advice,
    bar_pieces,
    count_pieces,
    job_text,
    jobs_text,
    label,
    left_text,
    one_line,
    owner_text,
    pace_text,
    state_text,
)
from .face import FACE, on_terminal, styled
from .wrapping import cut_middle, wrap, wrap_lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..view.schema import (
        FailureView,
        JobView,
        ManagerView,
        QueueSummary,
        RunningTask,
        ShownState,
        WorkerView,
    )

_WORKERS = 12  # that are shown one by one
_JOBS = 8  # without a worker, that are


def clock(when: float | None) -> str:
    """Time of day; with the date if it is not today."""
    if not when:
        return ''
    then = time.localtime(when)
    return time.strftime('%H:%M:%S' if then[:3] == time.localtime()[:3] else '%Y-%m-%d %H:%M', then)


# Writing


def show_lines(lines: Iterable[Line]) -> None:
    """Print lines, coloured on a terminal."""
    if on_terminal():
        FACE.get().console().print(styled(lines), soft_wrap=True)
    else:
        for line in lines:
            print(visible(''.join(text for text, _ in line), lines=False))


# Queues


def queue_lines(
    summary: QueueSummary,
    where: str,
    bar: bool = True,
    advise: bool = True,
    width: int = 0,
) -> list[Line]:
    """Return the lines of a queue: state, progress, failures, and what to type.

    Parameters
    ----------
    summary : QueueSummary
        Of :func:`~desipipe.view.queue.queue_summary`.
    where : str
        ``-q QUEUE`` as one types it.
    bar : bool, default=True
        True to draw a bar.
    advise : bool, default=True
        True to say what to type.
    width : int, default=0
        Cells of a line. Names are then cut in the middle, and reasons and commands that have no
        place stand on lines of their own. 0: lines of any length.
    """
    lines = _head_lines(summary, bar, width)
    if pace := pace_text(summary):
        lines.append([(f'  {pace}', '')])
    if owner := owner_text(summary):
        lines.append([(f'  {owner}', 'yellow' if summary['untrusted'] else 'dim')])
    lines += [
        [(f'  ! {line}', 'yellow')]
        for held in summary['held']
        for line in held['text'].splitlines()
    ]
    lines += _manager_lines(summary, where)
    lines += _worker_lines(summary)
    lines = wrap_lines(lines, width) + _failure_lines(summary, width)
    if summary['damage']:
        first = summary['damage'][0]
        text = (
            f'{plural(len(summary["damage"]), "damaged line")} in {first["file"]}, the first at '
            f'byte {first["offset"]:d}'
        )
        text = f'  ! {text}: what is said there is lost, the rest is intact'
        lines += wrap_lines([[(text, 'red')]], width)
    steps: list[tuple[str, str]] = []
    if advise:
        damaged = bool(summary['damage'])
        steps = advice(
            summary,
            where,
            summary['failures'],
            summary['causes'],
            damaged,
            summary['held'],
        )
    return lines + [line for text, command in steps for line in _step(text, command, width)]


def _step(text: str, command: str, width: int) -> list[Line]:
    """Return the lines of a command to type, which is never cut."""
    start: Piece = (f'  → {text}: ', 'dim')
    if not width or len(start[0]) + len(command) <= width:
        return [[start, (command, 'bold')]]
    return [[(start[0].rstrip(), start[1])], [('    ', ''), (command, 'bold')]]


def _head_lines(summary: QueueSummary, bar: bool, width: int) -> list[Line]:
    """Return the lines of name, bar and counts."""
    look = CONDITION_APPEARANCES[summary['condition']]
    head: Line = [
        (f'{look.symbol} {summary["name"]}', f'bold {look.colour}'),
        (f'  {look.label}', look.colour),
        (f'  {summary["folder"]}', 'dim'),
    ]
    lines = [head]
    if width and sum(len(text) for text, _ in head) > width:
        lines = [[head[0]], [head[1]], [head[2]]]
        if len(head[0][0]) + len(head[1][0]) <= width:
            lines = [head[:2], head[2:]]
    if bar and summary['total']:
        succeeded = format_count(summary['counts']['SUCCEEDED'])
        progress = f'  {succeeded} / {format_count(summary["total"])}'
        lines.append([('  ', ''), *bar_pieces(summary), (progress, '')])
    lines.append([('  ', ''), *count_pieces(summary)])
    return lines


def _failure_lines(summary: QueueSummary, width: int) -> list[Line]:
    """Return a line for each cause that blocks tasks, and for other tasks that failed."""
    lines: list[Line] = []
    causes = summary['causes'][:5]
    for cause in causes:
        start = f'  {APPEARANCES["BLOCKED"].symbol} {plural(cause["count"])} blocked by '
        lines += _reason_lines(start, cause, f' ({cause["state"]})', 'BLOCKED', width)
    if kinds := kinds_text(summary['failure_kinds']):
        lines += wrap_lines([[('  ⚠ ', APPEARANCES['FAILED'].colour), (kinds, '')]], width)
    in_causes = {cause['tid'] for cause in causes}
    for task in summary['failures']:
        if task['tid'] not in in_causes:
            start = f'  {state_text(task["state"])} '
            lines += _reason_lines(start, task, '', task['state'], width)
    return lines


def _reason_lines(
    start: str, task: FailureView, end: str, shown: ShownState, width: int
) -> list[Line]:
    """Return a task and its reason, which stands below where the line is too short."""
    colour, reason = APPEARANCES[shown].colour, one_line(task['cause'])
    text = f'{start}{label(task)}{end}'
    if not width or len(text) + 2 + len(reason) <= width:
        return [[(text, colour), (f': {reason}', '')]]
    index = f'[{task["index"]}] {task["tid"][:12]}{end}'
    name = cut_middle(visible(task['name'], lines=False), max(8, width - len(start + index)))
    below = wrap(visible(reason, lines=False), width - 4, 3)
    return [[(f'{start}{name}{index}', colour)], *([(f'    {part}', '')] for part in below)]


def _alive(process: ManagerView | WorkerView) -> str:
    return {True: '', False: ', vanished', None: ', on another machine'}[process['alive']] + (
        ', ending' if process['stopping'] else ''
    )


def _manager_lines(summary: QueueSummary, where: str) -> list[Line]:
    manager = summary['manager']
    if manager is None:
        message = one_line(summary['last_says'], 500)
        return [[(f'  ! the last manager said: {message}', 'red')]] if message else []
    lines: list[Line] = [
        [
            (
                (
                    f'  manager: process {manager["pid"]} on {manager["host"]} since '
                    f'{clock(manager["since"])}{_alive(manager)}'
                ),
                'dim',
            )
        ]
    ]
    if manager['says']:
        lines.append([(f'  ! {one_line(manager["says"], 500)}', 'red')])
    return lines


def _worker_lines(summary: QueueSummary) -> list[Line]:
    from ..view.queue import job_groups

    lines: list[Line] = []
    now = summary['time']
    jobs = {job['job']: job for job in summary['jobs']}
    if len(jobs) > 1:
        lines.append([(f'  {jobs_text((), job_groups(jobs.values()), now)}', 'dim')])
    waiting = [job for job in jobs.values() if not job['workers']]
    lines += [
        [(f'  job {job_text(job, now)}, {plural(job["slots"], "slot")}', 'dim')]
        for job in waiting[:_JOBS]
    ]
    if len(waiting) > _JOBS:
        lines.append([(f'  and {plural(len(waiting) - _JOBS, "more job")}', 'dim')])
    workers = summary['workers']
    for worker in workers[:_WORKERS]:
        lines.append([(_worker_text(worker, jobs.get(worker['job']), now), 'dim')])
        if worker['trouble']:
            lines.append([(f'    {worker["trouble"]}. Nothing is lost, it tries again', 'yellow')])
    if len(workers) > _WORKERS:
        rest = workers[_WORKERS:]
        running = plural(sum(worker['running'] for worker in rest))
        text = f'  and {plural(len(rest), "more worker")}, which run {running}'
        lines.append([(text, 'dim')])
    return lines


def _worker_text(worker: WorkerView, job: JobView | None, now: float) -> str:
    running = ', '.join(map(_running_text, worker['tasks'][:4]))
    more = worker['running'] - min(len(worker['tasks']), 4)
    more_text = f' and {format_count(more)} more' if more else ''
    doing = f'runs {running}{more_text}' if running else 'idle'
    about = [plural(worker['slots'], 'slot')]
    if job is not None:
        about += [job['reason'], '' if job['ends'] is None else left_text(job['ends'], now)]
    if worker['cpu'] is not None:
        about.append(plural_about(worker['cpu'], 'CPU'))
        about.append('' if worker['memory'] is None else format_bytes(worker['memory']))
    details = ', '.join(filter(None, about))
    return f'  worker {worker["job"]} on {worker["host"]}, {details}: {doing}{_alive(worker)}'


def _running_text(task: RunningTask) -> str:
    symbol = f'{APPEARANCES["SUPERSEDED"].symbol} ' if task['superseded'] else ''
    return f'{symbol}{task["name"]}[{task["index"]}]'


def change_line(summary: QueueSummary) -> str:
    """Format a change as one line for a pipe: the time, the progress, the change."""
    from ..view.queue import job_groups

    counts = ''.join(text for text, _ in count_pieces(summary))
    jobs = jobs_text(summary['jobs'], job_groups(summary['jobs']), summary['time'])
    parts = [
        clock(summary['time']),
        f'{summary["counts"]["SUCCEEDED"]:d}/{summary["total"]:d}',
        counts,
        pace_text(summary),
        jobs,
    ]
    return '  '.join(filter(None, parts))
