"""Checks of a queue: lock, permissions, journal, segments, jobs, processes."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..queue.location import type_queue
from .findings import Finding
from .journal_checks import (
    check_journal,
    check_permissions,
    check_repair,
    check_segments,
    lock_objection,
)
from .process_checks import check_jobs, check_leftovers, check_processes, check_waiting_jobs

if TYPE_CHECKING:
    from ..config import Config


def check_queue(folder: str, config: Config, repair: bool) -> Iterator[Finding]:
    """Check all of a queue, and with `repair` mend its journal first."""
    from ..queue.folder import restore_first_line
    from ..queue.queue import Queue

    restored = repair and restore_first_line(folder, config)
    queue = Queue(folder, create=False, config=config)
    where = type_queue(folder, config)
    if restored:
        yield Finding(
            f'{queue.name}: repair',
            True,
            'The first line was damaged, and was made again. Workers of before end',
        )
    header = queue.ledger.journal.header
    is_used = queue.ledger.use_error() is None
    if repair:
        queue.ledger.check_use()
    held = None
    if is_used:
        # A held lock would keep `repair` waiting for ever, and make the other checks untrue.
        held = lock_objection(os.path.join(folder, 'lock'), str(header.get('lock')))
        text = held or f'Kind {header.get("lock")!r}, free'
        yield Finding(
            f'{queue.name}: lock', held is None, text, f'desipipe doctor {where}' if held else ''
        )
    if repair and held is None:
        yield from check_repair(queue, restored)
    yield from check_permissions(queue, config)
    checks = [check_journal(queue, where), check_segments(queue, where)]
    # What a provider is asked runs code of the queue's owner.
    if is_used and not queue.ledger.is_group_queue:
        checks += [check_jobs(queue), check_waiting_jobs(queue, where)]
    checks += [check_processes(queue, where), check_leftovers(queue)]
    for finding in itertools.chain.from_iterable(checks):
        # What to type about a queue that is only looked at is for its owner.
        yield finding if is_used else finding._replace(fix='')
