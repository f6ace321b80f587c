"""The verb that lists queues: queues."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..queue.location import find_folders, short
from ..utils import is_pattern
from .common import Verbs, add_json
from .face import hint
from .listing_options import add_listing, listing_options
from .show import hint_no_queues, hint_originals

if TYPE_CHECKING:
    from ..config import Config
    from ..view.schema import QueueLine, UnreadableQueue

    class QueueRow(QueueLine):
        """A queue of the table, and of its JSON."""

        succeeded: int
        running: int
        bad: int
        """Number of tasks that did not succeed."""


def register(verbs: Verbs) -> None:
    """Declare the verb."""
    parser = verbs.add(
        'queues',
        queues,
        'list queues',
        'With what each is doing, and how far it is.',
        'desipipe queues',
        "desipipe queues '*/*'  those of all users",
    )
    parser.add_argument(
        'pattern',
        nargs='*',
        help=('names, paths or quoted patterns (default: all of yours)'),
    )
    parser.add_argument('-q', '--queue', nargs='+', metavar='QUEUE', help='the same as PATTERN')
    add_listing(parser, 'queue condition tasks succeeded running failed blocked workers why')
    add_json(parser)
    parser.set_defaults(brief=True)


def queues(args: argparse.Namespace) -> None:
    """Run ``desipipe queues``."""
    from ..config import Config

    config = Config()
    names = [*args.pattern, *(args.queue or [])]
    rows = [_queue_row(folder, config) for folder in _listed(names, config)]
    if not args.json:
        hint_originals(names, config)
    if rows or args.json:
        _print_queues(rows, args)
    elif names:
        hint(f'No queues match {" ".join(names)}.')
    else:
        hint_no_queues(config)


def _queue_row(folder: str, config: Config) -> QueueRow | UnreadableQueue:
    from ..errors import DesipipeError
    from ..queue.read_only import ReadOnlyQueue
    from ..view.appearance import BAD_STATES
    from ..view.queue import queue_brief

    name = short(folder, config)
    try:
        brief = queue_brief(ReadOnlyQueue(folder, config))
    except (DesipipeError, OSError) as exc:  # of one queue; the others are there to be listed
        return {'queue': name, 'folder': folder, 'error': str(exc), 'condition': 'unreadable'}
    counts = brief['counts']
    return {
        'queue': name,
        'folder': folder,
        'error': '',
        **brief,
        'succeeded': counts['SUCCEEDED'],
        'running': counts['RUNNING'],
        'bad': sum(counts[state] for state in BAD_STATES),
    }


def _print_queues(rows: Sequence[QueueRow | UnreadableQueue], args: argparse.Namespace) -> None:
    from ..utils import format_count
    from ..view.appearance import CONDITION_APPEARANCES, CONDITION_WORDS, Appearance
    from .listings import Column, Fit, show_table

    looks = {**CONDITION_APPEARANCES, 'unreadable': Appearance('!', 'red', '')}
    numbers = [
        ('total', 'tasks'),
        *((key, key) for key in ('succeeded', 'running')),
        ('bad', 'failed'),
        *((key, key) for key in ('blocked', 'workers')),
    ]
    columns = [
        Column('queue', 'queue'),
        Column(
            'condition',
            'condition',
            lambda name: f'{looks[name].symbol} {CONDITION_WORDS[name]}',
            style=lambda name: looks[name].colour,
        ),
        *(Column(key, title, format_count, True, fit=Fit.OPTIONAL) for key, title in numbers),
        Column('error', 'why', fit=Fit.BELOW),
    ]
    show_table(columns, rows, args.json, listing_options(args))


def _listed(names: list[str], config: Config) -> list[str]:
    """Return the folders of the queues to list."""
    from ..errors import UnknownQueueError
    from ..queue.names import original_files, own_queues

    if not names:
        return own_queues(config)

    try:
        return find_folders(names, config)
    except UnknownQueueError:
        if not all(map(is_pattern, names)) and not original_files(names, config):
            raise
        return []
