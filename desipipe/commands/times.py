"""The verb that shows how long tasks took: time."""

from __future__ import annotations

import argparse

from ..queue.location import check_names, find_tasks
from .common import QueueDefault, Verbs, add_conditions, add_json, add_queue, open_one
from .face import hint
from .listing_options import add_listing, listing_options


def register(verbs: Verbs) -> None:
    """Declare the verb."""
    _declare_time(verbs)


def _declare_time(verbs: Verbs) -> None:
    parser = verbs.add(
        'time',
        times,
        'show how long tasks took, by app',
        'Of those that succeeded, in seconds.',
        'desipipe time -q my_queue',
    )
    add_queue(parser, default=QueueDefault.LATEST)
    add_conditions(parser, 'name', 'tid', 'mid', 'jobid')
    add_listing(parser, 'name ran_by n mean median min max total')
    add_json(parser)


def times(args: argparse.Namespace) -> None:
    """Run ``desipipe time``."""
    from ..utils import format_count
    from ..view.durations import durations
    from ..view.text import span
    from .listings import Column, Fit, show_table

    queue = open_one(args)
    check_names(queue, args.name)
    chosen = None
    if args.tid or args.mid or args.jobid:
        chosen = queue.select(tid=find_tasks(queue, args.tid), mid=args.mid, jobid=args.jobid)
    rows = durations(queue.ledger, args.name, chosen)
    if not rows and not args.json:
        hint('No task has succeeded yet')
        return
    numbers = [
        Column(key, key, span, right=True) for key in ('mean', 'median', 'min', 'max', 'total')
    ]
    users = [Column('ran_by', 'ran by', fit=Fit.OPTIONAL)] if queue.group else []
    show_table(
        [
            Column('name', 'name', fit=Fit.MIDDLE),
            *users,
            Column('n', 'n', format_count, right=True),
            *numbers,
        ],
        rows,
        args.json,
        listing_options(args),
    )
