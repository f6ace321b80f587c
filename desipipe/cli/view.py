"""How things look in a terminal and in a pipe: the same words, with colours, bars and tables where someone sees them.

What is shown is a list of lines, each a list of pieces of text with a style (empty: none); ``rich`` is imported only when styles can be seen.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from ..summary import CONDITIONS, LOOKS
from ..utils import format_count, format_duration
from .common import on_terminal, plural, print_json

Piece = tuple[str, str]
Line = list[Piece]

BAR = 40
_WORKERS = 12  # that are shown one by one
# From the left: done for good, done badly, going on. Characters differ, so that a bar can be read without its colours.
_CELLS = (('SUCCEEDED', '█'), ('FAILED', '✕'), ('KILLED', '⊘'), ('UNKNOWN', '?'), ('RUNNING', '▓'), ('BLOCKED', '‖'), ('REST', '░'))


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


def span(value: float | None) -> str:
    """A duration: milliseconds matter for short tasks only."""
    if value is None:
        return ''
    if value < 0.001:
        return f'{value * 1e6:.0f} µs'
    if value < 0.0995:
        return f'{value * 1000:.3g} ms'
    return f'{value:.1f} s' if value < 59.95 else format_duration(value)


def one_line(text: object, most: int = 200) -> str:
    """Text as it fits into a cell."""
    words = ' '.join(str(text).split())
    return words if len(words) <= most else words[: most - 1] + '…'


def state_text(state: str) -> str:
    """Symbol and name of a state."""
    return f'{LOOKS[state].symbol} {state}'


def label(task: dict[str, Any]) -> str:
    """``'fraction[3] 1a2b3c4d5e6f'``."""
    return f'{task["name"]}[{task["index"]}] {task["tid"][:12]}'


# Writing


def show_lines(lines: Iterable[Line]) -> None:
    """Print lines, coloured on a terminal."""
    if on_terminal():
        from rich.console import Console

        Console(highlight=False).print(styled(lines), soft_wrap=True)
    else:
        for line in lines:
            print(''.join(text for text, _ in line))


def styled(lines: Iterable[Line]) -> Any:
    """Lines as ``rich`` text."""
    from rich.text import Text

    return Text('\n').join(Text.assemble(*line) for line in lines)


def show_table(columns: Sequence[Column], rows: Sequence[dict[str, Any]], as_json: bool = False) -> None:
    """Print a listing: a table on a terminal, tab-separated values with a header in a pipe, or JSON.

    Parameters
    ----------
    columns : sequence of Column
    rows : sequence of dict
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
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for i, column in enumerate(columns):
        # Only the last one, which holds words, may be folded: what one types must stay whole.
        table.add_column(
            column.title, justify='right' if column.right else 'left', no_wrap=i < len(columns) - 1, overflow='fold' if i == len(columns) - 1 else 'ellipsis'
        )
    for row in rows:
        table.add_row(*(Text(_cell(column, row), column.style(row.get(column.key)) if column.style else '') for column in columns))
    Console(highlight=False).print(table)


def _cell(column: Column, row: dict[str, Any]) -> str:
    value = row.get(column.key)
    return '' if value is None else one_line(column.form(value), 500)


def _raw(value: Any) -> str:
    if isinstance(value, float):
        return f'{value:.6f}'
    return '' if value is None else ' '.join(str(value).split())


# Queues


def queue_lines(summary: dict[str, Any], where: str, bar: bool = True, advise: bool = True) -> list[Line]:
    """A queue at one glance: is it running, how far, did anything fail, what to type.

    Parameters
    ----------
    summary : dict
        Of :func:`~desipipe.summary.queue_summary`.
    where : str
        ``-q QUEUE`` as one types it.
    bar : bool, default=True
        Whether to draw one.
    advise : bool, default=True
        Whether to say what to type.
    """
    look = CONDITIONS[summary['condition']]
    lines: list[Line] = [[(f'{look.symbol} {summary["name"]}', f'bold {look.colour}'), (f'  {look.words}', look.colour), (f'  {summary["folder"]}', 'dim')]]
    if bar and summary['total']:
        lines.append([('  ', ''), *bar_pieces(summary), (f'  {format_count(ended(summary))} / {format_count(summary["total"])}', '')])
    lines.append([('  ', ''), *count_pieces(summary)])
    if pace := pace_text(summary):
        lines.append([(f'  {pace}', '')])
    lines += _manager_lines(summary, where)
    lines += _worker_lines(summary)
    for cause in summary['causes'][:5]:
        look = LOOKS['BLOCKED']
        lines.append(
            [(f'  {look.symbol} {plural(cause["count"])} blocked by {label(cause)} ', look.colour), (f'({cause["state"]}): {one_line(cause["cause"])}', '')]
        )
    told = {cause['tid'] for cause in summary['causes'][:5]}
    for task in summary['failures']:
        if task['tid'] not in told:
            lines.append([(f'  {state_text(task["state"])} {label(task)}', LOOKS[task['state']].colour), (f': {one_line(task["cause"])}', '')])
    if summary['damage']:
        first = summary['damage'][0]
        words = f'{plural(len(summary["damage"]), "damaged line")} in {first["file"]}, the first at byte {first["offset"]:d}'
        lines.append([(f'  ! {words}: what is said there is lost, the rest is intact', 'red')])
    return lines + [[(f'  → {words}: ', 'dim'), (command, 'bold')] for words, command in (advice(summary, where) if advise else ())]


def ended(summary: dict[str, Any]) -> int:
    """How many tasks ended."""
    return sum(summary['counts'][state] for state in ('SUCCEEDED', 'FAILED', 'KILLED', 'UNKNOWN'))


def bar_pieces(summary: dict[str, Any], width: int = BAR) -> Line:
    """The counts as a bar, in which whatever is there at all has a cell."""
    counts = {**summary['counts'], 'BLOCKED': summary['blocked']}
    counts['REST'] = summary['total'] - sum(counts[state] for state, _ in _CELLS[:-1])
    total = max(summary['total'], 1)
    cells = {state: max(int(width * counts[state] / total), 1 if counts[state] else 0) for state, _ in _CELLS}
    # What rounding left over, or took too much, is settled with the largest part.
    largest = max(cells, key=lambda state: counts[state])
    cells[largest] += width - sum(cells.values())
    return [(cell * cells[state], LOOKS[state].colour if state in LOOKS else 'dim') for state, cell in _CELLS if cells[state] > 0]


def count_pieces(summary: dict[str, Any]) -> Line:
    """``'✓ 12 succeeded, ● 4 running'``."""
    pieces: Line = []
    for name in ('SUCCEEDED', 'RUNNING', 'PENDING', 'WAITING', 'FAILED', 'KILLED', 'UNKNOWN'):
        n = summary['counts'][name]
        if n:
            words = f'{LOOKS[name].symbol} {format_count(n)} {name.lower()}'
            if name == 'WAITING' and summary['blocked']:
                words += f' ({format_count(summary["blocked"])} blocked)'
            pieces += [(', ', ''), (words, LOOKS[name].colour)]
    return pieces[1:] or [('no tasks', 'dim')]


def pace_text(summary: dict[str, Any]) -> str:
    """``'0.8 tasks/s, about 0:14 left'``."""
    rate, eta = summary['rate'], summary['eta']
    if not rate or not summary['left']:
        return ''
    pace = f'{rate:,.0f} tasks/s' if rate >= 10 else f'{rate:.2g} tasks/s' if rate >= 0.1 else f'{rate * 3600:.2g} tasks/h'
    return pace + (f', about {format_duration(eta)} left' if eta is not None else '')


def _alive(process: dict[str, Any]) -> str:
    return {True: '', False: ', vanished', None: ', on another machine'}[process['alive']] + (', ending' if process['stopping'] else '')


def _manager_lines(summary: dict[str, Any], where: str) -> list[Line]:
    manager = summary['manager']
    if manager is None:
        return []
    lines: list[Line] = [[(f'  manager: process {manager["pid"]} on {manager["host"]} since {clock(manager["since"])}{_alive(manager)}', 'dim')]]
    if manager['says']:
        lines.append([(f'  ! {one_line(manager["says"], 500)}', 'red')])
    return lines


def _worker_lines(summary: dict[str, Any]) -> list[Line]:
    lines: list[Line] = []
    for worker in summary['workers'][:_WORKERS]:
        running = ', '.join(f'{task["name"]}[{task["index"]}]' for task in worker['tasks'][:4])
        more = worker['running'] - min(len(worker['tasks']), 4)
        doing = (f'runs {running}' + (f' and {more} more' if more else '')) if running else 'idle'
        lines.append([(f'  worker {worker["job"]} on {worker["host"]}, {plural(worker["slots"], "slot")}: {doing}{_alive(worker)}', 'dim')])
    if len(summary['workers']) > _WORKERS:
        lines.append([(f'  and {plural(len(summary["workers"]) - _WORKERS, "more worker")}', 'dim')])
    return lines


def advice(summary: dict[str, Any], where: str) -> list[tuple[str, str]]:
    """What one may want to type next: words and commands."""
    found = []
    if summary['condition'] == 'stopped':
        found.append(('nobody works on it', f'desipipe spawn {where} --spawn'))
    if summary['condition'] == 'paused':
        found.append(('go on', f'desipipe resume {where}'))
    bad = sum(summary['counts'][state] for state in ('FAILED', 'KILLED', 'UNKNOWN'))
    if bad:
        task = (summary['failures'] or summary['causes'])[0]
        found.append(('what it printed', f'desipipe logs {where} {task["tid"][:12]}'))
        found.append(('run what did not succeed again', f'desipipe retry {where} --spawn'))
    if summary['damage']:
        found.append(('move damaged lines aside', f'desipipe doctor {where} --repair'))
    return found


def change_line(summary: dict[str, Any]) -> str:
    """One line for a pipe: when, how far, what."""
    pace = pace_text(summary)
    counts = ''.join(text for text, _ in count_pieces(summary))
    return f'{clock(summary["time"])}  {ended(summary):d}/{summary["total"]:d}  {counts}{"  " + pace if pace else ""}'
