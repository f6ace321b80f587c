"""Clearing: a new journal without the tasks of the old one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..store import files, folders
from ..store.journal_file import first_event
from .author_claims import SUFFIX as CLAIMS_SUFFIX
from .carried_events import draining_events, left_out_events, surrounding_events, worker_events
from .events import Ref
from .ledger import Ledger
from .repair import plain
from .state import State
from .transactions.tasks import group_event, segments_event
from .workers import Worker

if TYPE_CHECKING:
    from ..store.header import Header
    from .event_types import JournalLine


def clear(ledger: Ledger, carry: bool) -> None:
    """Forget all tasks, and remove the files that held them, under the lock.

    Parameters
    ----------
    ledger : Ledger
    carry : bool
        True if workers, the manager and jobs that live go on in the new generation. What runs then
        ends by itself; its result is dropped, or taken if the same task is added again. As long as
        any of them lives, numbers of rows and groups are not given again.
    """

    def events() -> list[JournalLine]:
        return list(_cleared(ledger.state, carry))

    def after() -> None:
        _remove_known_files(ledger, _needed_segments(ledger.state) if carry else set())

    with ledger.exclusive:
        ledger.journal.replaced(events, after)


def _cleared(state: State, carry: bool) -> Iterator[JournalLine]:
    now = time.time()
    kept: Any = {
        key: value
        for key, value in state.header.items()
        if key in ('name', 'lock', 'shared', 'fstype', 'lease', 'group')
    }
    header: Header = kept
    working = carry and bool(
        state.alive or state.running or state.manager is not None or state.jobs or state.submissions
    )
    yield first_event({**header, **({'id': state.header['id']} if working else {}), 't': now})
    if not working:
        return
    yield from map(plain, state.managers.values())
    yield from (group_event(number, group) for number, group in enumerate(state.groups))
    yield segments_event(_needed_segments(state))
    yield from worker_events(
        state,
        {
            worker.name
            for worker in state.workers.values()
            if worker.name in state.alive or worker.job in state.jobs
        },
    )
    yield from left_out_events(0, len(state.status))
    yield from draining_events(state, {**dict(state.running.items()), **_still_draining(state)})
    yield from surrounding_events(state, now)


def _still_draining(state: State) -> dict[int, Worker | None]:
    return {each.row: each.worker for each in state.draining.values() if not each.done}


def _needed_segments(state: State) -> set[str]:
    """Return the segments that workers may yet read.

    These hold arguments, requirements and code of what they were given.
    """
    needed: set[str] = set()
    for row in state.running:
        group = state.groups[state.group[row]]
        refs = [state.args(row), *(state.result(other) for other in state.requires.get(row, ()))]
        if (app := state.apps.get(group.app)) is not None:
            refs += [Ref(*app[key]) for key in ('code', 'source', 'parts')]
        if (shared := state.shared.get(group.shared)) is not None:
            refs.append(Ref(*shared['ref']))
        needed.update(ref.segment for ref in refs if ref is not None)
    if state.running or state.draining:
        needed.update(state.kept_segments)
    return needed


def _remove_known_files(ledger: Ledger, needed: set[str]) -> None:
    """Remove the files that the generation in the state knew and nothing needs.

    They are of ended workers, and of processes that added tasks.
    """
    state = ledger.state
    segments = set(state.segments) | state.kept_segments
    segments.update(
        event[key][0] for event in state.apps.values() for key in ('code', 'source', 'parts')
    )
    segments.update(event['ref'][0] for event in state.shared.values())
    living = sorted(state.alive)
    ended = {worker.name for worker in state.workers.values() if worker.name not in state.alive}
    for folder in ('segments', 'live', 'workers'):
        for file in folders.list_names(ledger.folder, folder):
            stem = file.split('.')[0]
            owner = stem if stem in ended else stem.rpartition('-')[0]
            if any(stem == name or stem.startswith(f'{name}-') for name in living):
                continue
            is_unneeded = folder == 'segments' and (
                file.removesuffix('.bin') in segments - needed or file.endswith(CLAIMS_SUFFIX)
            )
            if owner in ended or is_unneeded:
                files.remove(ledger.folder, f'{folder}/{file}', missing_ok=True)
