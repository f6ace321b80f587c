"""Markdown of records: tables, folded sections, states, moments."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence

from ..terminal import visible
from ..view.appearance import APPEARANCES
from ..view.text import one_line
from .model_types import TaskEntry

_MARKS = {ord(mark): f'&#{ord(mark)};' for mark in '|*_`$[]\\~#@'} | {
    ord('&'): '&amp;',
    ord('<'): '&lt;',
    ord('>'): '&gt;',
}


def plain(value: object, most: int = 120) -> str:
    """Words that mean nothing to Markdown, in one line."""
    text = visible(one_line(value, most), lines=False).translate(_MARKS)
    # What looks like an address would become a link.
    return text.replace('://', ':&#47;&#47;').replace('www.', 'www&#46;')


def code(value: object, most: int = 80) -> str:
    """Return words as code, in one line."""
    text = plain(value, most)
    return f'<code>{text}</code>' if text else ''


def fenced(text: str, language: str = '') -> str:
    """Return a block of text as it is, whatever is in it."""
    text = visible(text)
    fence = '`' * max(3, 1 + max((len(ticks) for ticks in re.findall('`+', text)), default=0))
    return f'{fence}{language}\n{text.rstrip()}\n{fence}'


def folded(title: str, *parts: str) -> str:
    """Something long that opens when asked; titles are Markdown's HTML."""
    return '\n\n'.join([f'<details><summary>{title}</summary>', *parts, '</details>'])


def table(head: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Return a table."""
    rule = ['---:' if i in right else '---' for i in range(len(head))]
    return '\n'.join('| ' + ' | '.join(row) + ' |' for row in [head, rule, *rows])


def moment(seconds: float | None) -> str:
    """Return a time, the same on every machine."""
    return '' if not seconds else time.strftime('%Y-%m-%d %H:%M:%S UTC', time.gmtime(seconds))


def state_words(state: str) -> str:
    """Symbol and name of a state."""
    return f'{APPEARANCES[state].symbol} {state.lower()}' if state in APPEARANCES else state


def shown_state(task: TaskEntry) -> str:
    """Return a task's state as it is shown."""
    return 'BLOCKED' if 'blocked' in task else str(task['state'])
