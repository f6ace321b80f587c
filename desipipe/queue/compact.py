"""Compaction, clearing and repair: a new generation of the journal, written beside the old one
and renamed over it.
"""

from __future__ import annotations

import bisect
import os
import stat
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, NamedTuple

from ..errors import PayloadError
from ..store import files
from ..store.files import share
from ..store.journal import FILE_NAME, VERSION, first_event, replace
from ..store.lines import scan_lines
from ..store.lock import QueueLock
from ..store.recover import Recovered, recover
from ..store.segment import ALIGNMENT, MAP_FROM, SegmentWriter, disk_full
from ..utils import random_hex
from .authors import SUFFIX as CLAIMS_SUFFIX
from .ends import End, end_at
from .events import (
    CHUNK,
    DROPPED,
    ENDED,
    LOST,
    NAMED_MAX,
    PENDING,
    RUNNING,
    SUCCEEDED,
    UNKNOWN,
    WAITING,
    Event,
    EventKind,
    JournalEvent,
    Reason,
    Ref,
)
from .ledger import Ledger
from .processes import Worker
from .task_columns import BYTES_PER_ROW, ROWS_FREE
from .transactions.attempts import attempt_event, end_event, run_event
from .transactions.decisions import drop_event, mark_event, pause_event, set_events
from .transactions.processes import (
    job_event,
    manager_end_event,
    resize_event,
    stop_event,
    submit_event,
    versions_event,
    worker_begin_event,
    worker_end_event,
)
from .transactions.tasks import (
    add_event,
    chunks,
    drain_event,
    fill_event,
    group_event,
    keep_events,
    link_events,
    segments_event,
    versions_events,
)

OUT_OF_BAND = 4096  # bytes, as in serialize
_REACH = 1 << 18  # rows that one line leaves out
Move = Callable[[Ref], Ref]


def sizes(folder: str) -> dict[str, int]:
    """Bytes and files of a queue's folder."""
    return files.usage(folder)


def compact(ledger: Ledger) -> dict[str, dict[str, int]]:
    """Rewrite the journal in fewer lines, and, if no worker lives, gather small segments into one.

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

    def events() -> list[JournalEvent]:
        doomed.clear()
        if not ledger.state.alive:
            # A worker has references of the old generation in its slots' hands; without one, only
            # readers do, and they look again. In a group's queue each payload stays where its
            # author claims that it is.
            doomed.update([] if ledger.is_group_queue else _small_segments(ledger.folder))
        recovered = recovered_of(ledger)
        _put_aside(
            ledger.folder, ledger.journal.header['gen'], [data for _, data in recovered.damaged]
        )
        found = [(line.offset, line.event) for line in recovered.kept]
        rewritten = list(_rewritten(ledger, found, _mover(ledger, doomed, writer), doomed))
        writer.flush()
        return rewritten

    def after() -> None:
        # With the lock still held: who has payloads in these files, and no event yet, looks under
        # the lock whether they are still there.
        nonlocal replaced
        replaced = True
        for name in doomed:
            files.remove(ledger.folder, files.segment_file(name))

    try:
        with ledger.exclusive:
            ledger.journal.replaced(events, after)
    finally:
        writer.close()
        if not replaced:  # nothing refers to it; a full disk gets the space back
            files.remove(ledger.folder, files.segment_file(writer.name), missing_ok=True)
    return {'before': before, 'after': sizes(ledger.folder)}


def clear(ledger: Ledger, carry: bool) -> None:
    """Forget all tasks, under the lock: what was known of them, and the files that held it.

    Parameters
    ----------
    ledger : Ledger
    carry : bool
        Whether workers, the manager and jobs that live go on in the new generation. What runs then
        ends by itself; its result is dropped, or taken if the same task is added again. As long as
        any of them lives, numbers of rows and groups are not given again.
    """

    def events() -> list[JournalEvent]:
        return list(_cleared(ledger, carry))

    def after() -> None:
        _remove_known_files(ledger, _needed_segments(ledger) if carry else set())

    with ledger.exclusive:
        ledger.journal.replaced(events, after)


def _cleared(ledger: Ledger, carry: bool) -> Iterator[JournalEvent]:
    state = ledger.state
    now = time.time()
    header: Event = {
        key: state.header[key]
        for key in ('name', 'lock', 'shared', 'fstype', 'lease', 'group')
        if key in state.header
    }
    working = carry and bool(
        state.alive or state.running or state.manager is not None or state.jobs or state.submissions
    )
    yield first_event({**header, **({'id': state.header['id']} if working else {}), 't': now})
    if not working:
        return
    yield from ({**_plain(event), 'mid': mid} for mid, event in state.managers.items())
    yield from (group_event(number, group) for number, group in enumerate(state.groups))
    yield segments_event(_needed_segments(ledger))
    yield from _workers(
        ledger,
        {
            worker.name
            for worker in state.workers.values()
            if worker.name in state.alive or worker.job in state.jobs
        },
    )
    yield from _reach(0, len(state.status))
    yield from _drains(ledger, {**state.running, **_still_draining(ledger)})
    yield from _surroundings(ledger, now)


def _still_draining(ledger: Ledger) -> dict[int, Worker | None]:
    return {known.row: known.worker for known in ledger.state.draining.values() if not known.done}


def _drains(ledger: Ledger, rows: dict[int, Worker | None]) -> Iterator[JournalEvent]:
    state = ledger.state
    for row, worker in rows.items():
        known = state.draining.get(state.ids[row])
        yield drain_event(
            '' if worker is None else worker.name,
            row,
            state.attempt[row],
            state.group[row],
            state.ids[row],
            state.started[row] if known is None else known.started,
        )


def _reach(start: int, end: int) -> Iterator[JournalEvent]:
    # Numbers of rows that are no tasks are not given to others. A journal may leave out as many as
    # its length allows: where there are very many of them, it is made that long.
    for row in [*range(start + _REACH - 1, end - 1, _REACH), end - 1]:
        if row >= start:
            if row >= ROWS_FREE:
                yield fill_event(BYTES_PER_ROW * _REACH)
            yield drop_event([row])


def _needed_segments(ledger: Ledger) -> set[str]:
    """Return the segments that workers may yet read: arguments, requirements and code of what
    they were given.
    """
    state = ledger.state
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
    """Remove the files that the generation in the state knew and nothing needs: of ended
    workers, and of who added tasks.
    """
    state = ledger.state
    known = set(state.segments) | state.kept_segments
    known.update(
        event[key][0] for event in state.apps.values() for key in ('code', 'source', 'parts')
    )
    known.update(event['ref'][0] for event in state.shared.values())
    living = sorted(state.alive)
    ended = {worker.name for worker in state.workers.values() if worker.name not in state.alive}
    for folder in ('segments', 'live', 'workers'):
        for file in files.list_names(ledger.folder, folder):
            stem = file.split('.')[0]
            owner = stem if stem in ended else stem.rpartition('-')[0]
            if any(stem == name or stem.startswith(f'{name}-') for name in living):
                continue
            is_unneeded = folder == 'segments' and (
                file.removesuffix('.bin') in known - needed or file.endswith(CLAIMS_SUFFIX)
            )
            if owner in ended or is_unneeded:
                files.remove(ledger.folder, f'{folder}/{file}', missing_ok=True)


def share_journal(ledger: Ledger, group: str) -> None:
    """Write into the first line of the journal that a group shares the queue, or with an empty
    name that none does.
    """

    def events() -> list[JournalEvent]:
        recovered = recovered_of(ledger)
        _put_aside(
            ledger.folder, ledger.journal.header['gen'], [data for _, data in recovered.damaged]
        )
        kept = [_plain(line.event) for line in recovered.kept]
        header = {key: value for key, value in kept[0].items() if key != 'group'}
        return [first_event({**header, **({'group': group} if group else {})}), *kept[1:]]

    ledger.journal.replaced(events)


class Repaired(NamedTuple):
    """The result of a repair."""

    moved: int
    """Damaged lines that were moved aside."""
    regained: int
    """Lines that were passed over before, since they did not stand in their order."""
    gaps: int
    """Places at which lines were removed."""
    before: int
    """Tasks that were known before."""
    after: int
    lost: int
    """Tasks that are known by their numbers only, as the lines that added them are damaged or
    missing.
    """


def repair(ledger: Ledger) -> int:
    """Move damaged lines of the journal aside, into a file beside it, and return how many there
    were.
    """
    return mend(ledger).moved


def mend(ledger: Ledger) -> Repaired:
    """Move damaged lines of the journal aside, into a file beside it; everything that is whole
    stays, in its order.

    Parameters
    ----------
    ledger : Ledger
    """
    ledger.follow()
    before = len(ledger.state)
    recovered = recovered_of(ledger)

    def events() -> Iterable[Event]:
        nonlocal recovered
        recovered = recovered_of(ledger)
        _put_aside(
            ledger.folder, ledger.journal.header['gen'], [data for _, data in recovered.damaged]
        )
        kept = [_plain(line.event) for line in recovered.kept]
        return [first_event(kept[0]), *kept[1:]]

    gaps = sum(not length for _, length in ledger.state.damage)
    if recovered.damaged or recovered.regained or gaps:
        ledger.journal.replaced(events)
    lost = lost_tasks(ledger, recovered)
    return Repaired(
        len(recovered.damaged), recovered.regained, gaps, before, len(ledger.state), lost
    )


def lost_tasks(ledger: Ledger, recovered: Recovered) -> int:
    """Count the tasks whose lines are damaged, as far as that can be known."""
    known = len(ledger.state.status)
    return ledger.state.lost_rows + sum(n for first, n in recovered.added_rows() if first >= known)


def restore_header(folder: str, header: Event, lock: str) -> bool:
    """Give a journal whose first line is damaged a first line again; the rest stays as it is
    recovered.

    Parameters
    ----------
    folder : str
        The queue's folder.
    header : dict
        Members of the ``queue`` event, where nothing is left of the old one.
    lock : str
        Kind of the queue's lock.

    Returns
    -------
    restored : bool
        ``False`` if nothing of the journal can be read.
    """
    with QueueLock(os.path.join(folder, 'lock'), lock):
        fd = files.open_file(folder, FILE_NAME)
        try:
            recovered = recover(scan_lines(fd, 0, os.fstat(fd).st_size))
        finally:
            os.close(fd)
        kept = [_plain(line.event) for line in recovered.kept]
        if not kept:
            return False
        old = [
            event
            for event in kept
            if event['e'] == EventKind.QUEUE and event.get('version') == VERSION
        ]
        first = first_event(old[0] if old else header)
        _put_aside(folder, first['gen'], [data for _, data in recovered.damaged])
        replace(folder, [first, *(event for event in kept if event['e'] != EventKind.QUEUE)])
    return True


def recovered_of(ledger: Ledger) -> Recovered:
    """Recover the journal as far as it was folded; events that could not be folded are damage."""
    recovered = recover(ledger.journal.scan())
    damage = ledger.state.damage
    starts = [offset for offset, _ in damage]

    def is_damaged(offset: int) -> bool:
        place = bisect.bisect_right(starts, offset) - 1
        return place >= 0 and offset < sum(damage[place])

    spoilt = [line for line in recovered.kept if is_damaged(line.offset)]
    if spoilt:
        with ledger.journal.open_reader() as file:
            data = [
                (line.offset, _bytes_at(file, line.offset, line.end - line.at)) for line in spoilt
            ]
        kept = [line for line in recovered.kept if not is_damaged(line.offset)]
        recovered = recovered._replace(kept=kept, damaged=sorted([*recovered.damaged, *data]))
    return recovered


def _bytes_at(file: BinaryIO, offset: int, length: int) -> bytes:
    file.seek(offset)
    return file.read(length)


def _put_aside(folder: str, generation: str, damaged: list[bytes]) -> None:
    if not damaged:
        return
    name = f'journal.damaged-{time.strftime("%Y%m%d")}-{files.check_name(generation)}'
    path = os.path.join(folder, name)
    try:
        with open(files.open_file(folder, name, os.O_WRONLY | os.O_CREAT), 'wb') as file:
            file.truncate(0)
            share(file.fileno(), folder)
            file.writelines(line if line.endswith(b'\n') else line + b'\n' for line in damaged)
            file.flush()
            os.fsync(file.fileno())
    except OSError as exc:
        raise disk_full(exc, path) from exc


def _small_segments(folder: str) -> Iterator[str]:
    # Only this user's: whose a file is says whose code it holds, and copied it would be ours.
    for name, status in files.list_files(folder, 'segments'):
        own = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()
        if name.endswith('.bin') and status.st_size < MAP_FROM and own:
            yield name.removesuffix('.bin')


def _mover(ledger: Ledger, doomed: set[str], writer: SegmentWriter) -> Move:
    moved: dict[Ref, Ref] = {}

    def move(ref: Ref) -> Ref:
        if ref.segment not in doomed:
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
    ledger: Ledger, found: list[tuple[int, Event]], move: Move, doomed: set[str]
) -> Iterator[JournalEvent]:
    state = ledger.state
    now = time.time()
    header = {key: value for key, value in state.header.items() if key != 'at'}
    yield first_event(header)
    yield from ({**_plain(event), 'mid': mid} for mid, event in state.managers.items())
    for event in state.apps.values():
        yield {
            **_plain(event),
            **{key: move(Ref(*event[key])) for key in ('code', 'source', 'parts')},
        }
    for event in state.shared.values():
        yield {**_plain(event), 'ref': move(Ref(*event['ref']))}
    for number, group in enumerate(state.groups):
        yield group_event(number, group)
    yield from versions_events(state.code_versions)
    ends: dict[tuple[str, str], list[End]] = defaultdict(list)
    added: dict[int, float] = {}
    used: set[str] = set(state.alive)
    for offset, event in found:
        if event['e'] in (EventKind.ADD, EventKind.REVIVE):
            added[offset] = event['t']
        for key, end in _ends(ledger, event, offset):
            used.add(key[0])
            ends[key].append(_moved(end, move))
    yield from _workers(ledger, used)
    yield from _tasks(ledger, move, added)
    kept = sorted(state.kept)
    yield from keep_events(kept, now)
    if state.status and state.status[-1] == DROPPED:
        yield from _reach(max(state.rows.values(), default=-1) + 1, len(state.status))
    severed = [row for row in sorted(state.severed) if state.ids[row]]
    yield from (drop_event([row], ids=state.ids[row]) for row in severed)
    yield segments_event(state.kept_segments - set(doomed))
    yield from _drains(ledger, {known.row: known.worker for known in state.draining.values()})
    for kind in ('past', 'last', 'final'):
        for (worker, which), pile in ends.items():
            if which == kind:
                yield from (end_event(worker, part, now, kind) for part in _parts(pile))
    for (worker, which), pile in ends.items():
        if which == 'drained':
            yield from (end_event(worker, part, now) for part in _parts(pile))
    yield from _attempts(ledger)
    yield from _set_by_hand(ledger, now)
    yield from (
        mark_event(row, mark.get('job'), mark.get('t0')) for row, mark in state.marks.items()
    )
    yield from _surroundings(ledger, now)


def _surroundings(ledger: Ledger, now: float) -> Iterator[JournalEvent]:
    """Yield what is known of the manager, of jobs, and of the queue itself."""
    state = ledger.state
    if state.manager is not None:
        yield _plain(state.manager)
    elif state.last_manager:
        # What it said last is shown as long as no other one comes.
        yield _plain(state.last_manager)
        yield manager_end_event(state.last_manager['w'], '', now)
    jobs: dict[str, list[list[object]]] = defaultdict(list)
    for jobid, job in state.jobs.items():
        jobs[job['mid']].append(
            [
                jobid,
                *(job[key] for key in ('slots', 'state', 'reason', 'node', 'ends')),
                job.get('cluster', ''),
            ]
        )
    yield from (job_event(mid, rows, (), now) for mid, rows in jobs.items())
    yield from (
        submit_event(submission['mid'], name, submission['slots'], submission['t'])
        for name, submission in state.submissions.items()
    )
    for mid in sorted(state.resized):  # the one for all first
        yield resize_event(mid, state.resized[mid], now)
    yield from (_plain(event) for event in state.processes.values())
    if state.paused:
        yield pause_event(True, now)


def _parts(ends: list[End]) -> Iterator[list[End]]:
    # An event speaks of a row once; a worker may have reported one twice, in time and late.
    part: dict[int, End] = {}
    for end in ends:
        if len(part) == CHUNK or end.row in part:
            yield list(part.values())
            part = {}
        part[end.row] = end
    yield list(part.values())


def _plain(event: Event) -> Event:
    return {key: value for key, value in event.items() if key != 'at'}


def _ends(ledger: Ledger, event: Event, offset: int) -> Iterator[tuple[tuple[str, str], End]]:
    """Yield the ends of attempts that an event reports.

    With each come its worker (none where a person decided), and whether it is past, the last one or
    final.
    """
    state = ledger.state
    if event['e'] == EventKind.END:
        for i, row in enumerate(event['rows']):
            known = state.draining.get(state.ids[row])
            if (
                known is not None
                and known.done
                and known.row == row
                and state.ended_at[row] == offset
            ):
                yield (event['w'], 'drained'), end_at(event, i)
            elif state.status[row] != DROPPED:
                last = state.ended_at[row] == offset and event.get('kind') != 'past'
                yield (
                    (
                        event['w'],
                        'past' if not last else 'final' if state.status[row] in ENDED else 'last',
                    ),
                    end_at(event, i),
                )
    elif event['e'] == EventKind.WORKER:
        for row in state.lost_ends.get(offset, ()):
            if state.ended_at[row] == offset and state.status[row] != DROPPED:
                ended = state.status[row] in ENDED
                yield (
                    ('', 'final' if ended else 'last'),
                    End(
                        row, state.attempt[row] if ended else 0, UNKNOWN, event['t'], 0, cause=LOST
                    ),
                )
    elif event['e'] in (EventKind.SET, EventKind.ACCEPT):
        for row in event['rows'] if event['e'] == EventKind.SET else [event['new']]:
            if (
                row < len(state.status)
                and state.status[row] != DROPPED
                and state.ended_at[row] == offset
            ):
                ended = state.status[row] in ENDED
                number, status = (
                    (state.attempt[row], state.status[row])
                    if ended
                    else (0, event.get('s', SUCCEEDED))
                )
                yield (
                    ('', 'final' if ended else 'last'),
                    End(
                        row,
                        number,
                        status,
                        event['t'],
                        0,
                        state.result(row),
                        cause=event.get('cause'),
                    ),
                )


def _moved(end: End, move: Move) -> End:
    end.result = end.result and move(end.result)
    end.out = end.out and move(end.out)
    end.err = end.err and move(end.err)
    end.files = end.files and move(end.files)
    end.shown = tuple(map(move, end.shown))
    if end.cause and 'trace' in end.cause:
        end.cause = {**end.cause, 'trace': move(Ref(*end.cause['trace']))}
    return end


def _workers(ledger: Ledger, used: set[str]) -> Iterator[JournalEvent]:
    state = ledger.state
    for name in used:
        worker = state.workers.get(name)
        if worker is None:
            continue
        info = {
            'mid': worker.mid,
            'host': worker.host,
            'pid': worker.pid,
            'slots': worker.slots,
            'job': worker.job,
            **({'user': worker.user} if worker.user else {}),
        }
        yield worker_begin_event(name, info, worker.time)
        if worker.stop is not None:
            yield stop_event([name], worker.stop, False, worker.time)
        if name not in state.alive:
            yield worker_end_event(name, worker.ended, worker.time, worker.kind)
    for (name, app), versions in state.versions.items():
        if name in used:
            yield versions_event(name, app, versions)


def _tasks(ledger: Ledger, move: Move, added: dict[int, float]) -> Iterator[JournalEvent]:
    state = ledger.state
    rows = list(state.each())
    later = {
        row
        for row, required in state.requires.items()
        if state.status[row] != DROPPED and max(required, default=0) >= row
    }
    i = last = 0
    while i < len(rows):
        first = rows[i]
        refs = [move(state.args(first))]
        named = len(state.requires.get(first, ()))
        began = added[state.added_at[first]]
        i += 1
        while (
            i < len(rows)
            and len(refs) < CHUNK
            and named < NAMED_MAX
            and rows[i] == first + len(refs)
            and state.group[rows[i]] == state.group[first]
            and state.index[rows[i]] == state.index[first] + len(refs)
            and added[state.added_at[rows[i]]] == began
            and (ref := move(state.args(rows[i]))).segment == refs[0].segment
        ):
            refs.append(ref)
            named += len(state.requires.get(rows[i], ()))
            i += 1
        n = len(refs)
        yield from _reach(last, first)
        last = first + n
        ids = b''.join(state.ids[first : first + n]).hex()
        arguments = refs[0].segment, [ref.offset for ref in refs], [ref.length for ref in refs]
        requires = [
            (row - first, list(state.requires[row]))
            for row in range(first, first + n)
            if row in state.requires and row not in later
        ]
        yield add_event(
            first, state.group[first], state.index[first], ids, arguments, began, requires
        )
    # What was added again after what needs it has a larger number.
    yield from link_events([row, list(state.requires[row])] for row in sorted(later))


def _set_by_hand(ledger: Ledger, now: float) -> Iterator[JournalEvent]:
    """Yield what a person said to run, or to wait, though no worker has it and nothing is
    missing.
    """
    state = ledger.state
    running = [
        row for row in state.each() if state.status[row] == RUNNING and row not in state.running
    ]
    waiting = [row for row in state.each() if state.status[row] == WAITING and not state.unmet[row]]
    for target, rows in ((RUNNING, running), (WAITING, waiting)):
        yield from set_events(rows, target, Reason.SET, now)


def _attempts(ledger: Ledger) -> Iterator[JournalEvent]:
    state = ledger.state
    rows = [
        row
        for row in state.each()
        if state.attempt[row]
        and (
            state.status[row] in (PENDING, WAITING, RUNNING)
            or row in state.burned
            or row in state.restored
        )
    ]
    for part in chunks(rows):
        numbers = [state.attempt[row] - (row in state.running) for row in part]
        yield attempt_event(part, numbers, [state.burned.get(row, 0) for row in part])
    running: dict[tuple[str, float], list[int]] = defaultdict(list)
    for row, worker in state.running.items():
        running['' if worker is None else worker.name, state.started[row]].append(row)
    for (name, began), mine in running.items():
        yield run_event(name, mine, [state.attempt[row] for row in mine], began)
