"""Compaction: the same queue in a journal of fewer lines."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..errors import PayloadError
from ..store import file_names, files, folders
from ..store.journal_file import first_event
from ..store.recover import Recovered
from ..store.segment import MAP_FROM
from ..store.segment_writer import ALIGNMENT, SegmentWriter
from ..utils import random_hex
from .carried_events import draining_events, left_out_events, surrounding_events, worker_events
from .compacted_tasks import CompactedTasks
from .events import DROPPED, EventKind, Ref
from .gathered_ends import GatheredEnds, Move, attempt_events, set_by_hand_events
from .ledger import Ledger
from .repair import mend, plain, put_aside, recovered_of
from .state import State
from .transactions.decisions import drop_event, mark_event
from .transactions.tasks import group_event, keep_events, segments_event, versions_events

if TYPE_CHECKING:
    from .event_types import JournalEvent, JournalLine

OUT_OF_BAND = 4096  # bytes, as in serialize


def sizes(folder: str) -> dict[str, int]:
    """Return the bytes and files of a queue's folder."""
    return folders.usage(folder)


def compact(ledger: Ledger) -> dict[str, dict[str, int]]:
    """Rewrite the journal in fewer lines; gather small segments if no worker lives.

    Nothing that is known of a task is lost. Processes that use the queue notice the new generation
    and go on.

    Parameters
    ----------
    ledger : Ledger

    Returns
    -------
    sizes : dict
        ``before`` and ``after``: ``bytes`` and ``files`` of the folder.
    """
    ledger.follow()
    if ledger.journal.late and recovered_of(ledger).regained:
        mend(ledger)  # what is passed over as it stands in another order would be lost
    before = sizes(ledger.folder)
    doomed: set[str] = set()
    # A name that never comes again: readers keep files open by their names.
    writer = SegmentWriter(ledger.folder, f'compact-{random_hex(4)}')
    replaced = False

    def events() -> list[JournalLine]:
        doomed.clear()
        if not ledger.state.alive:
            # A worker has references of the old generation in its slots' hands; without one, only
            # readers do, and they look again.
            doomed.update(_small_segments(ledger))
        recovered = recovered_of(ledger)
        put_aside(ledger.folder, ledger.journal.header['gen'], recovered)
        rewritten = list(_rewritten(ledger, recovered, _mover(ledger, doomed, writer), doomed))
        writer.flush()
        return rewritten

    def after() -> None:
        # With the lock still held: who has payloads in these files, and no event yet, looks under
        # the lock whether they are still there.
        nonlocal replaced
        replaced = True
        for name in doomed:
            files.remove(ledger.folder, file_names.segment_file(name))

    try:
        with ledger.exclusive:
            ledger.journal.replaced(events, after)
    finally:
        writer.close()
        if not replaced:  # nothing refers to it; a full disk gets the space back
            files.remove(ledger.folder, file_names.segment_file(writer.name), missing_ok=True)
    return {'before': before, 'after': sizes(ledger.folder)}


def _small_segments(ledger: Ledger) -> Iterator[str]:
    if ledger.is_group_queue:
        return  # each payload stays where its author claims that it is
    # Only this user's: whose a file is says whose code it holds, and copied it would be ours.
    for name, status in folders.list_files(ledger.folder, 'segments'):
        own = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()
        if name.endswith('.bin') and status.st_size < MAP_FROM and own:
            yield name.removesuffix('.bin')


def _mover(ledger: Ledger, doomed: set[str], writer: SegmentWriter) -> Move:
    moved: dict[Ref, Ref] = {}

    def move(ref: Ref) -> Ref:
        if ref.segment not in doomed and not file_names.is_journal(ref.segment):
            return ref
        if ref not in moved:
            try:
                data = ledger.read(ref)
            except PayloadError:
                return ref  # lost already; reading it says so
            # Arrays in it stay aligned; what is smaller than the smallest out-of-band buffer holds
            # none.
            skip = ref.offset % ALIGNMENT if ref.length >= OUT_OF_BAND else 0
            start = writer.append(
                [b'\0' * skip, data], aligned=bool(skip) or ref.length >= OUT_OF_BAND
            )
            moved[ref] = Ref(writer.name, start + skip, ref.length)
        return moved[ref]

    return move


def _rewritten(
    ledger: Ledger, recovered: Recovered, move: Move, doomed: set[str]
) -> Iterator[JournalLine]:
    """Yield the events of the new journal."""
    state = ledger.state
    now = time.time()
    yield first_event(plain(state.header))
    yield from _definitions(state, move)
    ends = GatheredEnds(state, move)
    added: dict[int, float] = {}
    for line in recovered.kept:
        event: Any = line.event
        if event['e'] in (EventKind.ADD, EventKind.REVIVE):
            added[line.offset] = event['t']
        ends.gather(event, line.offset)
    yield from worker_events(state, ends.workers.union(state.alive))
    yield from CompactedTasks(state, move, added).events()
    yield from keep_events(sorted(state.kept), now)
    if state.status and state.status[-1] == DROPPED:
        yield from left_out_events(max(state.rows.values(), default=-1) + 1, len(state.status))
    severed = [row for row in sorted(state.severed) if state.ids[row]]
    yield from (drop_event([row], ids=state.ids[row]) for row in severed)
    yield segments_event(state.kept_segments - set(doomed))
    yield from draining_events(state, {each.row: each.worker for each in state.draining.values()})
    yield from ends.events(now)
    yield from attempt_events(state)
    yield from set_by_hand_events(state, now)
    yield from (
        mark_event(row, mark.get('job'), mark.get('t0')) for row, mark in state.marks.items()
    )
    yield from surrounding_events(state, now)


def _definitions(state: State, move: Move) -> Iterator[JournalEvent]:
    """Yield task managers, code, shared arguments, groups and versions."""
    yield from map(plain, state.managers.values())
    for app in state.apps.values():
        moved = plain(app)
        for key in ('code', 'source', 'parts'):
            moved[key] = move(Ref(*moved[key]))
        yield moved
    for shared in state.shared.values():
        yield {**plain(shared), 'ref': move(Ref(*shared['ref']))}
    for number, group in enumerate(state.groups):
        yield group_event(number, group)
    yield from versions_events(state.code_versions)
    for cells in state.cells.values():
        yield from map(plain, cells.values())
