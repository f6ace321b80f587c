"""Text and bars of a summary, the same in the terminal and under a cell.

A line is a list of pieces of text with a style (empty: none), such as ``'bold #009e73'``; who shows
it decides what to do about styles.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..utils import format_count, format_duration, format_significant, plural
from .appearance import APPEARANCES, BADGE_SYMBOLS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .schema import (
        BadgeView,
        CauseView,
        CellView,
        FailureView,
        HeldView,
        JobGroup,
        JobView,
        OwnershipView,
        QueueFacts,
        ShownState,
        StateName,
        TaskLabel,
    )

    Facts = QueueFacts | CellView

Piece = tuple[str, str]
Line = list[Piece]

BAR = 40
NAMED = 3  # jobs that are named in a line; of more, those of each state and reason are counted
GROUPED = 4  # states and reasons that are told apart
# From the left: done for good, done badly, going on. Characters differ, so that a bar can be read
# without its colours.
_CELLS: tuple[tuple[StateName, str], ...] = (
    ('SUCCEEDED', '█'),
    ('FAILED', '✕'),
    ('KILLED', '⊘'),
    ('UNKNOWN', '?'),
    ('RUNNING', '▓'),
)
_BLOCKED = '‖'
_REST = '░'
_COUNTED: tuple[StateName, ...] = (
    'SUCCEEDED',
    'RUNNING',
    'PENDING',
    'WAITING',
    'FAILED',
    'KILLED',
    'UNKNOWN',
)


def badge_text(badge: BadgeView) -> str:
    """Format a task cell's state and reason: ``↻ stale: helper `f` changed``."""
    reason = f': {badge["reason"]}' if badge['reason'] else ''
    return f'{BADGE_SYMBOLS[badge["state"]]} {badge["state"]}{reason}'


def span(value: float | None) -> str:
    """Format how long something took: ``'363 µs'``, ``'3 min 5 s'``.

    The same as `duration` of ``jupyter_ext/src/format.ts``. What goes on is told by
    :func:`~desipipe.utils.quantities.format_duration`, as a clock.
    """
    if value is None:
        return ''
    if not abs(value) < float('inf'):
        return '?'
    if value < 59.95:
        return _short_span(value)
    seconds, minutes, hours = (int(value / unit + 0.5) for unit in (1, 60, 3600))
    if seconds < 3600:
        return f'{seconds // 60:d} min {seconds % 60:d} s'
    if minutes < 1440:
        return f'{minutes // 60:d} h {minutes % 60:d} min'
    return f'{hours // 24:,d} d {hours % 24:d} h'


def _short_span(value: float) -> str:
    if value <= 0:  # by clocks that were set back
        return '0 s'
    if value < 0.0009995:
        return f'{value * 1e6:.0f} µs'
    return f'{value * 1000:.3g} ms' if value < 0.09995 else f'{value:.1f} s'


def one_line(text: object, most: int = 200) -> str:
    """Text as it fits into a cell."""
    line = ' '.join(str(text).split())
    return line if len(line) <= most else line[: most - 1] + '…'


def state_text(state: ShownState) -> str:
    """Symbol and name of a state."""
    return f'{APPEARANCES[state].symbol} {state}'


def label(task: TaskLabel) -> str:
    """``'fraction[3] 1a2b3c4d5e6f'``."""
    return f'{task["name"]}[{task["index"]}] {task["tid"][:12]}'


def bar_pieces(summary: Facts, width: int = BAR) -> Line:
    """The counts as a bar, in which whatever is there at all has a cell."""
    parts = [(cell, summary['counts'][state], APPEARANCES[state].colour) for state, cell in _CELLS]
    parts.append((_BLOCKED, summary['blocked'], APPEARANCES['BLOCKED'].colour))
    parts.append((_REST, summary['total'] - sum(n for _, n, _ in parts), 'dim'))
    total = max(summary['total'], 1)
    cells = [max(int(width * n / total), 1 if n else 0) for _, n, _ in parts]
    # What rounding left over, or took too much, is settled with the largest part.
    largest = max(range(len(parts)), key=lambda i: parts[i][1])
    cells[largest] += width - sum(cells)
    return [(cell * cells[i], style) for i, (cell, _, style) in enumerate(parts) if cells[i] > 0]


def count_pieces(summary: Facts) -> Line:
    """``'✓ 12 succeeded, ● 4 running'``."""
    pieces: Line = []
    for name in _COUNTED:
        n = summary['counts'][name]
        if n:
            text = f'{APPEARANCES[name].symbol} {format_count(n)} {name.lower()}'
            if name == 'WAITING' and summary['blocked']:
                text += f' ({format_count(summary["blocked"])} blocked)'
            if name == 'PENDING' and summary['claimed']:
                text += f' ({format_count(summary["claimed"])} claimed)'
            pieces += [(', ', ''), (text, APPEARANCES[name].colour)]
    pieces = pieces[1:] or [('no tasks', 'dim')]
    if summary['superseded']:
        pieces += [('  ', ''), (superseded_text(summary), 'dim')]
    return pieces


def superseded_text(summary: Facts) -> str:
    """Return ``'↷ 3 superseded'``."""
    return f'{APPEARANCES["SUPERSEDED"].symbol} {format_count(summary["superseded"])} superseded'


def pace_text(summary: Facts) -> str:
    """``'0.8 tasks/s, about 0:14 left'``."""
    rate, eta = summary['rate'], summary['eta']
    if not rate or not summary['left']:
        return ''
    return rate_text(rate) + (f', about {format_duration(eta)} left' if eta is not None else '')


def rate_text(rate: float) -> str:
    """Format tasks per second: ``'0.8 tasks/s'``, ``'360 tasks/h'``."""
    if rate >= 9.95:
        return f'{rate:,.0f} tasks/s'
    unit, n = ('s', rate) if rate >= 0.0995 else ('h', rate * 3600)
    text = format_significant(n, 2)
    return f'{text} task{"" if text == "1" else "s"}/{unit}'


def left_text(ends: float, now: float) -> str:
    """Format how long a job may still run, coarsely: ``'9 min left'``."""
    left = ends - now
    if left <= 0:
        return 'time is up'
    if left < 100:
        return f'{left:.0f} s left'
    minutes = round(left / 60)
    if minutes < 100:
        return f'{minutes:d} min left'
    return f'{span(left)} left'


def job_text(job: JobView, now: float) -> str:
    """Format a job: ``'48_0 running fraction[3] on n1 (9 min left)'``."""
    text = f'{job["job"]} {job["state"]}'
    if job['tasks']:
        first, rest = job['tasks'][0], job['running'] - 1
        text += f' {first["name"]}[{first["index"]}]' + (
            f' and {format_count(rest)} more' if rest else ''
        )
    if job['node']:
        text += f' on {job["node"]}'
    if cluster := job.get('cluster'):
        text += f' in cluster {cluster}'
    more = [
        job['reason'],
        left_text(job['ends'], now)
        if job['state'] == 'running' and job['ends'] is not None
        else '',
    ]
    return text + (f' ({", ".join(filter(None, more))})' if any(more) else '')


def group_text(group: JobGroup, now: float) -> str:
    """Format equal jobs: ``'36 pending (Priority)'``, ``'120 running 480 tasks'``."""
    return f'{format_count(group["n"])}{_alike(group, now)}'


def _alike(group: JobGroup, now: float) -> str:
    text = f' {group["state"]}'
    if group['running']:
        text += f' {plural(group["running"])}'
    if group['nodes']:
        text += f' on {plural(group["nodes"], "node")}'
    times = list(dict.fromkeys(left_text(ends, now) for ends in group['ends'] or ()))
    more = [
        group['reason'],
        ' to '.join([*(time.removesuffix(' left') for time in times[:-1]), *times[-1:]]),
    ]
    return text + (f' ({", ".join(filter(None, more))})' if any(more) else '')


def jobs_text(jobs: Sequence[JobView], groups: Sequence[JobGroup], now: float) -> str:
    """Format jobs in a line: a few one by one, many by state and reason.

    Parameters
    ----------
    jobs : sequence of dict
        Of :func:`~desipipe.view.queue.job_summaries`; of many, only the first may be there.
    groups : sequence of dict
        All of them, of :func:`~desipipe.view.queue.job_groups`.
    now : float
        Seconds since the epoch.

    Returns
    -------
    words : str
        ``'2 jobs: 48_0 running fraction[3] on n1 (9 min left), 48_1 pending (Resources)'``; empty
        if there are none.
    """
    total = sum(group['n'] for group in groups)
    if not total:
        return ''
    each = (
        [job_text(job, now) for job in jobs]
        if total <= min(NAMED, len(jobs))
        else [group_text(group, now) for group in groups[:GROUPED]]
    )
    if len(groups) == 1 and total > len(each):
        return f'{plural(total, "job")}{_alike(groups[0], now)}'
    rest = sum(group['n'] for group in groups[GROUPED:])
    return f'{plural(total, "job")}: {", ".join(each)}' + (
        f', {format_count(rest)} others' if rest and total > NAMED else ''
    )


def waiting_text(groups: Iterable[JobGroup]) -> str:
    """Format pending jobs: ``'3 jobs pending (Priority, Resources)'``; '' if none."""
    waiting = [group for group in groups if group['state'] == 'pending']
    reasons = ', '.join(group['reason'] for group in waiting if group['reason'])
    return (
        plural(sum(group['n'] for group in waiting), 'job')
        + ' pending'
        + (f' ({reasons})' if reasons else '')
        if waiting
        else ''
    )


_RETRY = '--state FAILED KILLED UNKNOWN --spawn'


def advice(
    summary: Facts,
    where: str,
    failures: Sequence[FailureView],
    causes: Sequence[CauseView],
    damaged: bool = False,
    held: Sequence[HeldView] = (),
) -> list[tuple[str, str]]:
    """Return the commands that one may want to type next.

    Parameters
    ----------
    summary : QueueFacts or CellView
    where : str
        ``-q QUEUE`` as one types it.
    failures : sequence of FailureView
        The first tasks that did not succeed.
    causes : sequence of CauseView
        Tasks that block others; they may be none of this summary's own.
    damaged : bool, default=False
        True if lines of the journal can't be read.
    held : sequence of HeldView, default=()
        Pending tasks of the summary that do not run as this user.
    """
    look = _look_advice(failures, causes, where)
    if untrusted := summary['untrusted']:
        return [*_trust_advice(untrusted), *look]
    steps = []
    # Workers would run nothing of what is held.
    n_pending = summary['counts']['PENDING'] - sum(item['count'] for item in held)
    if summary['condition'] == 'stopped' and (n_pending or not held):
        steps.append(('No worker is running', f'desipipe spawn {where} --spawn'))
    if summary['condition'] == 'paused':
        steps.append(('Resume', f'desipipe resume {where}'))
    if look:
        steps += [*look, (_retry_text(summary, causes), f'desipipe retry {where} {_RETRY}')]
    if damaged:
        steps.append(('Move damaged lines aside', f'desipipe doctor {where} --repair'))
    return steps


def held_advice(held: Sequence[HeldView]) -> list[tuple[str, str]]:
    """Return why pending tasks do not run as this user, and what to type.

    It stands above :func:`advice`.
    """
    texts = (item['text'].rpartition('\n') for item in held)
    return [(text.rstrip(':'), command) for text, _, command in texts if text]


def _retry_text(summary: Facts, causes: Sequence[CauseView]) -> str:
    """Return when to retry: code that raised does so again, until it is corrected."""
    if summary['counts']['FAILED'] or any(cause['state'] == 'FAILED' for cause in causes):
        return 'Correct the code and run it again; if the cause was elsewhere, retry'
    return 'Retry tasks that were killed or lost'


def _look_advice(
    failures: Sequence[FailureView], causes: Sequence[CauseView], where: str
) -> list[tuple[str, str]]:
    blocking = [cause for cause in causes if cause['state'] != 'DELETED']
    task = next(iter([*failures, *blocking]), None)
    return [] if task is None else [('Log', f'desipipe logs {where} {task["tid"][:12]}')]


def owner_text(summary: OwnershipView) -> str:
    """Return whose queue it is, and what may be done with it; empty for one's own."""
    untrusted, group = summary['untrusted'], summary['group']
    if untrusted:
        return f'of user {untrusted}, whom you do not trust: you can look at it, and not use it'
    shared = f', shared by group {group}' if group else ''
    owner = summary['owner']
    return f'of user {owner}{shared}' if owner and (shared or not summary['own']) else ''


def _trust_advice(owner: str) -> list[tuple[str, str]]:
    text = f'to use it, which runs code of {owner} as you, trust {owner}'
    return [(text, f'desipipe trust {owner}')]
