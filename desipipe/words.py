"""The words and bars in which people read a summary: the same in the terminal and under a cell.

A line is a list of pieces of text with a style (empty: none), such as ``'bold #009e73'``; who shows it decides what to do about styles.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .summary import LOOKS
from .utils import format_count, format_duration, plural

Piece = tuple[str, str]
Line = list[Piece]

BAR = 40
# From the left: done for good, done badly, going on. Characters differ, so that a bar can be read without its colours.
_CELLS = (('SUCCEEDED', '█'), ('FAILED', '✕'), ('KILLED', '⊘'), ('UNKNOWN', '?'), ('RUNNING', '▓'), ('BLOCKED', '‖'), ('REST', '░'))


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


def jobs_text(jobs: Iterable[dict[str, Any]]) -> str:
    """How many jobs of batch systems wait, and why: ``'3 jobs pending (Priority, Resources)'``; empty if none does."""
    waiting = [job for job in jobs if job['state'] == 'pending']
    reasons = ', '.join(dict.fromkeys(job['reason'] for job in waiting if job['reason']))
    return plural(len(waiting), 'job') + ' pending' + (f' ({reasons})' if reasons else '') if waiting else ''


def advice(summary: dict[str, Any], where: str) -> list[tuple[str, str]]:
    """What one may want to type next: words and commands."""
    found = []
    if summary['condition'] == 'stopped':
        found.append(('nobody works on it', f'desipipe spawn {where} --spawn'))
    if summary['condition'] == 'paused':
        found.append(('go on', f'desipipe resume {where}'))
    # What others wait for may be no task of this summary's own.
    task = next(iter([*summary['failures'], *(cause for cause in summary['causes'] if cause['state'] != 'DELETED')]), None)
    if task is not None:
        found.append(('what it printed', f'desipipe logs {where} {task["tid"][:12]}'))
        found.append(('run what did not succeed again', f'desipipe retry {where} --spawn'))
    if summary['damage']:
        found.append(('move damaged lines aside', f'desipipe doctor {where} --repair'))
    return found
