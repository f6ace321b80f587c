"""Format what verbs print: tables and colours for people, plain lines for pipes.

What is shown is a list of lines, each a list of pieces of text with a style (empty: none); ``rich``
is imported only when styles can be seen.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..terminal import visible
from ..utils import format_count, plural
from ..view.appearance import APPEARANCES, CONDITION_APPEARANCES
from ..view.queue import job_groups
from ..view.text import (
    Line,
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
from .face import FACE, on_terminal, print_json

if TYPE_CHECKING:
    from ..view.schema import JobView, ManagerView, QueueSummary, WorkerView

_WORKERS = 12  # that are shown one by one
_JOBS = 8  # without a worker, that are


class Column(NamedTuple):
    """A column of a listing."""

    key: str
    title: str
    form: Callable[[Any], str] = str
    """How people read it; in a pipe it is as it is."""
    right: bool = False
    style: Callable[[Any], str] | None = None


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


def styled(lines: Iterable[Line]) -> Any:
    """Return lines as ``rich`` text that is safe for a terminal."""
    from rich.text import Text

    return Text('\n').join(
        Text.assemble(*((visible(text, lines=False), style) for text, style in line))
        for line in lines
    )


def show_table(
    columns: Sequence[Column], rows: Sequence[Mapping[str, Any]], as_json: bool = False
) -> None:
    """Print a listing.

    It is a table on a terminal, tab-separated values with a header in a pipe, or JSON.

    Parameters
    ----------
    columns : sequence of Column
    rows : sequence of mapping
        JSON has all of their members, the others those of the columns.
    as_json : bool, default=False
    """
    if as_json:
        print_json(rows)
        return
    if not on_terminal():
        text = ['\t'.join(column.title for column in columns)]
        text += ['\t'.join(_raw(row.get(column.key)) for column in columns) for row in rows]
        print('\n'.join(text))
        return
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for i, column in enumerate(columns):
        # Only the last one, which holds words, may be folded: what one types must stay whole.
        table.add_column(
            column.title,
            justify='right' if column.right else 'left',
            no_wrap=i < len(columns) - 1,
            overflow='fold' if i == len(columns) - 1 else 'ellipsis',
        )
    for row in rows:
        table.add_row(
            *(
                Text(_cell(column, row), column.style(row.get(column.key)) if column.style else '')
                for column in columns
            )
        )
    FACE.get().console().print(table)


def _cell(column: Column, row: Mapping[str, Any]) -> str:
    value = row.get(column.key)
    return '' if value is None else visible(one_line(column.form(value), 500), lines=False)


def _raw(value: Any) -> str:
    if isinstance(value, float):
        return f'{value:.6f}'
    return '' if value is None else ' '.join(str(value).split())


# Queues


def queue_lines(
    summary: QueueSummary, where: str, bar: bool = True, advise: bool = True
) -> list[Line]:
    """Return the lines of a queue: state, progress, failures, and what to type.

    Parameters
    ----------
    summary : QueueSummary
        Of :func:`~desipipe.view.queue.queue_summary`.
    where : str
        ``-q QUEUE`` as one types it.
    bar : bool, default=True
        Whether to draw one.
    advise : bool, default=True
        Whether to say what to type.
    """
    lines = _head_lines(summary, bar)
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
    lines += _failure_lines(summary)
    if summary['damage']:
        first = summary['damage'][0]
        text = (
            f'{plural(len(summary["damage"]), "damaged line")} in {first["file"]}, the first at '
            f'byte {first["offset"]:d}'
        )
        lines.append([(f'  ! {text}: what is said there is lost, the rest is intact', 'red')])
    steps: list[tuple[str, str]] = []
    if advise:
        damaged = bool(summary['damage'])
        steps = advice(summary, where, summary['failures'], summary['causes'], damaged)
    return lines + [[(f'  → {text}: ', 'dim'), (command, 'bold')] for text, command in steps]


def _head_lines(summary: QueueSummary, bar: bool) -> list[Line]:
    """Return the lines of name, bar and counts."""
    look = CONDITION_APPEARANCES[summary['condition']]
    lines: list[Line] = [
        [
            (f'{look.symbol} {summary["name"]}', f'bold {look.colour}'),
            (f'  {look.label}', look.colour),
            (f'  {summary["folder"]}', 'dim'),
        ]
    ]
    if bar and summary['total']:
        succeeded = format_count(summary['counts']['SUCCEEDED'])
        progress = f'  {succeeded} / {format_count(summary["total"])}'
        lines.append([('  ', ''), *bar_pieces(summary), (progress, '')])
    lines.append([('  ', ''), *count_pieces(summary)])
    return lines


def _failure_lines(summary: QueueSummary) -> list[Line]:
    """Return a line for each cause that blocks tasks, and for other tasks that failed."""
    lines: list[Line] = []
    blocked = APPEARANCES['BLOCKED']
    causes = summary['causes'][:5]
    for cause in causes:
        text = f'  {blocked.symbol} {plural(cause["count"])} blocked by {label(cause)} '
        reason = f'({cause["state"]}): {one_line(cause["cause"])}'
        lines.append([(text, blocked.colour), (reason, '')])
    in_causes = {cause['tid'] for cause in causes}
    for task in summary['failures']:
        if task['tid'] not in in_causes:
            text = f'  {state_text(task["state"])} {label(task)}'
            lines.append(
                [(text, APPEARANCES[task['state']].colour), (f': {one_line(task["cause"])}', '')]
            )
    return lines


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
    running = ', '.join(f'{task["name"]}[{task["index"]}]' for task in worker['tasks'][:4])
    more = worker['running'] - min(len(worker['tasks']), 4)
    doing = (f'runs {running}' + (f' and {more} more' if more else '')) if running else 'idle'
    about = [plural(worker['slots'], 'slot')]
    if job is not None:
        about += [job['reason'], '' if job['ends'] is None else left_text(job['ends'], now)]
    details = ', '.join(filter(None, about))
    return f'  worker {worker["job"]} on {worker["host"]}, {details}: {doing}{_alive(worker)}'


def change_line(summary: QueueSummary) -> str:
    """Format a change as one line for a pipe: the time, the progress, the change."""
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
