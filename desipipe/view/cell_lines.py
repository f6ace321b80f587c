"""Describe the tasks of a cell in lines: progress, failures, the command to type."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ..utils import format_count, plural
from .appearance import APPEARANCES, BAD_STATES, CONDITION_APPEARANCES
from .failures import kinds_text
from .text import (
    Line,
    bar_pieces,
    jobs_text,
    label,
    one_line,
    pace_text,
    span,
    superseded_text,
    waiting_text,
)

if TYPE_CHECKING:
    from .schema import CauseView, CellFailure, CellView


BAR_WIDTH = 20
"""Characters of the bar of a cell."""


def lines(summary: CellView) -> list[Line]:
    """Describe tasks without their outputs: progress, failures, the command to type.

    Parameters
    ----------
    summary : CellView

    Returns
    -------
    lines : list of lines
        See :mod:`desipipe.view.text`.
    """
    is_over = summary['condition'] in ('done', 'failed', 'empty') or summary['gone']
    pieces = [_over(summary) if is_over else _going(summary)]
    if summary['failure'] is not None:
        pieces.append(_failed(summary, summary['failure']))
    pieces += map(_blocked, summary['causes'][:3])
    if summary['gone']:
        return [*pieces, [(f'– {summary["gone"]}', APPEARANCES['DELETED'].colour)]]
    jobs = jobs_text(summary['jobs'], summary['job_groups'], summary['time'])
    if jobs:
        pieces.append([(jobs, 'dim')])
    reason = waiting_text(summary['job_groups'])
    # What they wait for is said above.
    pieces += [
        _step('more of them' if text == reason else text, command)
        for text, command in summary['advice']
    ]
    return pieces


def _failed(summary: CellView, failure: CellFailure) -> Line:
    counts = summary['counts']
    bad = ', '.join(
        f'{format_count(counts[state])} {state.lower()}' for state in BAD_STATES if counts[state]
    )
    kinds = kinds_text(failure['kinds'])
    first = ', first' if sum(counts[state] for state in BAD_STATES) > 1 else ':'
    name = f'{first} {failure["name"]}[{failure["index"]}]' if summary['total'] > 1 else ''
    where = f' (cell line {failure["line"]:d})' if failure['line'] else ''
    cause = one_line(failure['cause'] or 'no reason is known', 300)
    return [
        (
            f'⚠ {bad}{f" ({kinds})" if kinds else ""}{name}: {cause}{where}',
            APPEARANCES[failure['state']].colour,
        )
    ]


def _blocked(cause: CauseView) -> Line:
    look = APPEARANCES['BLOCKED']
    text = f'{look.symbol} {plural(cause["count"])} blocked by {label(cause)} ({cause["state"]}): '
    return [(text, look.colour), (one_line(cause['cause'], 300), '')]


def _step(text: str, command: str) -> Line:
    # As one types it here. Not by `commands.typed`, which asks the command line for its verbs: the
    # command line makes bundles too.
    typed = f'%{command}' if command.startswith('desipipe ') else command
    return [(f'→ {text}: ', 'dim'), (typed, 'bold')]


def _title(summary: CellView) -> Line:
    return [(summary['title'], 'bold'), ('  ', '')] if summary['title'] else []


def _going(summary: CellView) -> Line:
    counts = summary['counts']
    pieces = [
        *_title(summary),
        *bar_pieces(summary, BAR_WIDTH),
        (f'  {format_count(counts["SUCCEEDED"])}/{format_count(summary["total"])}', ''),
    ]
    if counts['RUNNING']:
        pieces += [
            ('  ', ''),
            (
                f'{APPEARANCES["RUNNING"].symbol} {format_count(counts["RUNNING"])} running',
                APPEARANCES['RUNNING'].colour,
            ),
        ]
    else:  # what is still to come says nothing while something goes on
        waiting = counts['WAITING'] - summary['blocked']
        for state, n in (('PENDING', counts['PENDING']), ('WAITING', waiting)):
            if n:
                pieces += [
                    ('  ', ''),
                    (
                        f'{APPEARANCES[state].symbol} {format_count(n)} {state.lower()}',
                        APPEARANCES[state].colour,
                    ),
                ]
    if summary['condition'] != 'running':
        look = CONDITION_APPEARANCES[summary['condition']]
        pieces += [('  ', ''), (f'{look.symbol} {look.label}', look.colour)]
    if summary['condition'] == 'running' and (pace := pace_text(summary)):
        pieces.append((f'  {pace}', 'dim'))
    return pieces


def _over(summary: CellView) -> Line:
    look = CONDITION_APPEARANCES[summary['condition']]
    total, good = summary['total'], summary['counts']['SUCCEEDED']
    if summary['condition'] == 'empty':
        if summary['superseded']:
            return [
                *_title(summary),
                (superseded_text(summary), APPEARANCES['SUPERSEDED'].colour),
                (': other code took the place of theirs, or of what they need', 'dim'),
            ]
        return [*_title(summary), (f'{look.symbol} {look.label}', look.colour)]
    text = plural(total) if good == total else f'{format_count(good)} of {plural(total)} succeeded'
    rest = f' · {superseded_text(summary)}' if summary['superseded'] else ''
    if summary['elapsed']:
        workers = f' on {_workers_text(summary)}' if summary['slots'] > 1 else ''
        rest += f' · {span(summary["elapsed"])}{workers}'
    if summary['cached']:
        rest += f' · cached{_computed(summary)}'
    # Where all is well, one quiet line is enough.
    bar = [*bar_pieces(summary, BAR_WIDTH), ('  ', '')] if good < total > 1 else []
    return [
        (f'{look.symbol} ', look.colour),
        *_title(summary),
        *bar,
        (text, look.colour),
        (rest, 'dim'),
    ]


def _workers_text(summary: CellView) -> str:
    """Return how many workers there are, and how many slots where these are more."""
    workers, slots = summary['workers'], summary['slots']
    text = plural(workers, 'worker')
    return f'{text}, {plural(slots, "slot")}' if slots > workers else text


def _computed(summary: CellView) -> str:
    if not summary['computed']:
        return ''
    return time.strftime(' (computed %Y-%m-%d %H:%M)', time.localtime(summary['computed']))
