"""Tasks of a record as people read them: arguments, results, states."""

from __future__ import annotations

from ..utils import format_bytes, format_count
from ..view.appearance import APPEARANCES
from .model_types import AttemptEntry, TaskEntry


def last_attempt(task: TaskEntry) -> AttemptEntry:
    """Return the attempt that counts; empty if there is none."""
    return next(
        (attempt for attempt in reversed(task.get('attempts', ())) if 'past' not in attempt),
        AttemptEntry(),
    )


def argument_texts(task: TaskEntry) -> dict[str, str]:
    """Return a task's arguments as people read them."""
    texts = task.get('text', {})
    return {
        name: texts.get(name) or (word[1:] if word and word.startswith('=') else word or '…')
        for name, word in task['args'].items()
    }


def result_text(task: TaskEntry) -> str:
    """Return a task's result as people read it."""
    result = task.get('result')
    if not result:
        return ''
    word = result.get('value') or ''
    return (
        result.get('text')
        or (word[1:] if word.startswith('=') else '')
        or f'{format_bytes(result["size"])}'
    )


def counts_text(counts: dict[str, int], blocked: int = 0) -> str:
    """Return numbers by state: ``'✓ 12 succeeded, ✕ 1 failed'``."""
    shown = {**counts, 'BLOCKED': blocked}
    shown['WAITING'] -= blocked
    return ', '.join(counted(state, n) for state, n in shown.items() if n) or 'no tasks'


def superseded_text(n: int) -> str:
    """Return ``' · ↷ 3 superseded'``; empty if there are none."""
    return f' · {counted("SUPERSEDED", n)}' if n else ''


def counted(state: str, n: int) -> str:
    """Return a number of tasks in a state: ``'✓ 12 succeeded'``."""
    return f'{APPEARANCES[state].symbol} {format_count(n)} {state.lower()}'
