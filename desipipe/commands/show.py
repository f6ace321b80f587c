"""The verb that shows how far queues are: status."""

from __future__ import annotations

import argparse

from ..queue.location import find_folders, type_queue
from ..utils import is_pattern
from .common import QueueDefault, Verbs, add_json, add_queue, each_of
from .face import FACE, hint, on_terminal, print_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..config import Config
    from ..view.schema import QueueSummary

_ORIGINALS_MAX = 10


def register(verbs: Verbs) -> None:
    """Declare the verb."""
    parser = verbs.add(
        'status',
        status,
        'show counts, workers, failures, and what is blocked and why',
        'With --json: the same as one object; as a list of objects for several queues or a '
        'pattern.',
        'desipipe status -q my_queue',
        "desipipe status -q 'test*' --json",
    )
    add_queue(parser, several=True, default=QueueDefault.ALL)
    add_json(parser)
    parser.set_defaults(brief=True)


def status(args: argparse.Namespace) -> None:
    """``desipipe status``."""
    from ..config import Config
    from ..queue.names import own_queues
    from ..queue.read_only import ReadOnlyQueue
    from ..view.queue import queue_summary

    config = Config()
    names = args.queue or ['*']
    folders = find_folders(names, config) if args.queue else own_queues(config)
    read = each_of(folders, lambda folder: queue_summary(ReadOnlyQueue(folder, config)))
    if args.json:
        several = not args.queue or len(names) > 1 or is_pattern(names[0])
        summaries: list[QueueSummary] = []
        try:
            summaries.extend(read)
        finally:
            if summaries or several:
                print_json(summaries if several else summaries[0])
        return
    from .tables import queue_lines, show_lines

    width = FACE.get().console().width if on_terminal() else 0
    for i, summary in enumerate(read):
        where = type_queue(summary['folder'], config)
        lines = queue_lines(summary, where, bar=bool(width), width=width)
        show_lines([*([[]] if i else []), *lines])
    if not folders:
        hint_originals([], config)
        hint_no_queues(config)


def hint_no_queues(config: Config) -> None:
    """Print what to do where this user has no queues."""
    hint(
        f'There are no queues in {config.queue_dir}, nor in this folder. Those of another folder: '
        "desipipe queues './folder/*'. See what one looks like: desipipe demo"
    )


def hint_originals(names: list[str], config: Config) -> None:
    """Name queues of desipipe 1.0 that were not taken over: all if none is named."""
    from ..queue.names import import_command, original_files

    originals = original_files(names, config)
    for path in originals[:_ORIGINALS_MAX]:
        hint(f'{path!r} is a queue of desipipe 1.0. Take it over with: {import_command(path)}')
    if len(originals) > _ORIGINALS_MAX:
        hint(f'And {len(originals) - _ORIGINALS_MAX:,d} more queues of desipipe 1.0.')
