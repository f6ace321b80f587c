"""Tell what one may want to type next."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..queue.location import type_queue
from .common import hint_nobody
from .face import hint

if TYPE_CHECKING:
    from ..queue.queue import Queue


def hint_retried(queue: Queue, args: argparse.Namespace, n: int) -> None:
    """Print what to type after a retry of n tasks: for others, and for a manager."""
    if not (args.state or args.tid):
        left = {state: queue.counts[state] for state in ('FAILED', 'UNKNOWN')}
        left = {state: count for state, count in left.items() if count}
        if left:
            what = ', '.join(f'{count:d} {state}' for state, count in left.items())
            hint(
                f'Others did not succeed ({what}). Let them run again with: desipipe retry '
                f'{type_queue(queue.folder, queue.config)} --state {" ".join(left)}'
            )
    if n and not args.spawn:
        hint_nobody(queue)
