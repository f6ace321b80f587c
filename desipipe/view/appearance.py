"""Declare how states look in every face: symbols, colours and labels."""

from __future__ import annotations

from ..utils.named_tuple import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .schema import StateName

BAD_STATES: tuple[StateName, ...] = ('FAILED', 'KILLED', 'UNKNOWN')
"""States of tasks that did not succeed."""
LEFT_STATES: tuple[StateName, ...] = ('WAITING', 'PENDING', 'RUNNING')
"""States of tasks that have not ended."""


class Appearance(NamedTuple):
    """The appearance of a state: never its colour alone, each has a symbol."""

    symbol: str
    """One character, as wide as a letter."""
    colour: str
    """``#rrggbb``; legible on light and on dark, and told apart by the colour-blind."""
    label: str


APPEARANCES: dict[str, Appearance] = {
    'WAITING': Appearance('◌', '#8c8c8c', 'waits for other tasks'),
    'PENDING': Appearance('○', '#3f93c6', 'waits for a worker'),
    'CLAIMED': Appearance('◔', '#3f93c6', 'waits for a slot of the worker that claimed it'),
    'RUNNING': Appearance('●', '#0a84d0', 'runs'),
    'SUCCEEDED': Appearance('✓', '#009e73', 'has its result'),
    'FAILED': Appearance('✕', '#d55e00', 'raised, or returned an error'),
    'KILLED': Appearance('⊘', '#c46f9f', 'was ended from outside, or cancelled'),
    'UNKNOWN': Appearance('?', '#bf8000', 'its worker vanished'),
    'BLOCKED': Appearance('‖', '#9a7416', 'cannot run until what it needs is retried'),
    'SUPERSEDED': Appearance(
        '↷', '#8c8c8c', 'is of code that other code took the place of; does not count'
    ),
    'DELETED': Appearance('–', '#8c8c8c', 'was deleted'),
}
"""By the name of the state; a BLOCKED task is a WAITING one whose requirement did not succeed, a
CLAIMED one a PENDING one that a worker took.
"""

CONDITION_APPEARANCES: dict[str, Appearance] = {
    'empty': Appearance('·', '#8c8c8c', 'no tasks'),
    'running': Appearance('●', '#0a84d0', 'running'),
    'paused': Appearance('‖', '#bf8000', 'paused: no task begins'),
    'stopped': Appearance('■', '#bf8000', 'tasks are left and no worker is running'),
    'failed': Appearance('✕', '#d55e00', 'ended, not all tasks succeeded'),
    'done': Appearance('✓', '#009e73', 'all tasks succeeded'),
}
"""Appearance of a queue's condition; see :func:`~desipipe.view.queue.queue_summary`."""

CONDITION_WORDS = {
    'empty': 'no tasks',
    'running': 'running',
    'paused': 'paused',
    'stopped': 'no worker',
    'failed': 'failed',
    'done': 'done',
    'unreadable': 'not readable',
}
"""A condition in one or two words, for lists."""

BADGE_SYMBOLS = {
    'current': '✓',
    'edited': '✎',
    'stale': '↻',
    'running': '●',
    'paused': '‖',
    'no worker': '■',
    'failed': '✕',
    'never run': '○',
    'unknown': '?',
}
"""Symbols that tell states of task cells apart without colour."""
