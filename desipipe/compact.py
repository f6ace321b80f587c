"""Compaction and repair: a new generation of the journal that says the same in fewer lines, beside the old one and renamed over it."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

from .event import CHUNK, DROPPED, PENDING, RUNNING, WAITING, End, Event, Ref, detail_of, end_event
from .ledger import Ledger
from .store.journal import decode, first_event, lines
from .store.segment import ALIGNMENT, MAP_FROM, SegmentWriter

OUT_OF_BAND = 4096  # bytes, as in serialize
Move = Callable[[Ref], Ref]


def sizes(folder: str) -> dict[str, int]:
    """Bytes and files of a queue's folder."""
    total = files = 0
    for where, _, names in os.walk(folder):
        files += len(names)
        total += sum(os.lstat(os.path.join(where, name)).st_size for name in names)
    return {'bytes': total, 'files': files}


def compact(ledger: Ledger) -> dict[str, dict[str, int]]:
    """Rewrite the journal in fewer lines, and, if no worker lives, gather small segments into one.

    Nothing that is known of a task is lost. Processes that use the queue notice the new generation and go on.

    Parameters
    ----------
    ledger : Ledger

    Returns
    -------
    sizes : dict
        ``before`` and ``after``: ``bytes`` and ``files`` of the folder.
    """
    before = sizes(ledger.folder)
    doomed: set[str] = set()
    writer = SegmentWriter(ledger.folder, f'compact-{ledger.journal.header["id"]}')

    def events() -> list[Event]:
        doomed.clear()
        if not ledger.state.alive:
            # A worker has references of the old generation in its slots' hands; without one, only readers do, and they look again.
            doomed.update(name for name, size in _segments(ledger.folder) if size < MAP_FROM)
        move = _mover(ledger, doomed, writer)
        found = list(_rewritten(ledger, move))
        writer.flush()
        return found

    ledger.journal.replaced(events)
    for name in doomed:
        os.unlink(os.path.join(ledger.folder, 'segments', name + '.bin'))
    writer.close()
    return {'before': before, 'after': sizes(ledger.folder)}


def repair(ledger: Ledger) -> int:
    """Move damaged lines of the journal aside, into a file beside it.

    Parameters
    ----------
    ledger : Ledger

    Returns
    -------
    moved : int
        How many lines.
    """
    moved: list[tuple[int, bytes]] = []

    def events() -> Iterable[Event]:
        moved.clear()
        found: list[Event] = []
        for offset, line in _lines(ledger):
            try:
                event = decode(line, offset)
            except ValueError:
                moved.append((offset, line))
                continue
            if event is not None:
                found.append({key: value for key, value in event.items() if key != 'at'})
        found[0] = first_event(found[0])
        if moved:
            aside = os.path.join(ledger.folder, f'journal.damaged-{time.strftime("%Y%m%d-%H%M%S")}')
            with open(aside, 'xb') as file:
                for _, line in moved:
                    file.write(line)
                file.flush()
                os.fsync(file.fileno())
        return found

    ledger.follow()
    if ledger.state.damage:
        ledger.journal.replaced(events)
    return len(moved)


def _segments(folder: str) -> Iterator[tuple[str, int]]:
    with os.scandir(os.path.join(folder, 'segments')) as entries:
        for entry in entries:
            if entry.name.endswith('.bin'):
                yield entry.name.removesuffix('.bin'), entry.stat().st_size


def _mover(ledger: Ledger, doomed: set[str], writer: SegmentWriter) -> Move:
    moved: dict[Ref, Ref] = {}

    def move(ref: Ref) -> Ref:
        if ref.segment not in doomed:
            return ref
        if ref not in moved:
            data = ledger.read(ref)
            # Arrays in it stay aligned; what is smaller than the smallest out-of-band buffer holds none.
            skip = ref.offset % ALIGNMENT if ref.length >= OUT_OF_BAND else 0
            start = writer.append([b'\0' * skip, data], aligned=bool(skip) or ref.length >= OUT_OF_BAND)
            moved[ref] = Ref(writer.name, start + skip, ref.length)
        return moved[ref]

    return move


def _lines(ledger: Ledger) -> Iterator[tuple[int, bytes]]:
    with open(ledger.journal.path, 'rb') as file:
        data = file.read(ledger.journal.offset)
    return lines(data, 0)


def _rewritten(ledger: Ledger, move: Move) -> Iterator[Event]:
    state = ledger.state
    now = time.time()
    header = {key: value for key, value in state.header.items() if key != 'at'}
    yield first_event(header)
    for mid, event in state.managers.items():
        yield {**_plain(event), 'mid': mid}
    for event in state.apps.values():
        yield {**_plain(event), **{key: move(Ref(*event[key])) for key in ('code', 'source', 'parts')}}
    for number, group in enumerate(state.groups):
        yield group.to_event(number)
    ends: dict[tuple[str, bool], list[End]] = defaultdict(list)
    out: list[Event] = []
    used: set[str] = set(state.alive)
    for offset, line in _lines(ledger):
        event = _decoded(line, offset)
        for (worker, past), end in _ends(ledger, event, offset):
            used.add(worker)
            pile = ends[worker, past]
            pile.append(_moved(end, move))
            if len(pile) == CHUNK:
                out.append(_end_event(worker, past, pile, now))
                pile.clear()
    out += [_end_event(worker, past, pile, now) for (worker, past), pile in ends.items() if pile]
    yield from _workers(ledger, used)
    yield from _tasks(ledger, move)
    yield from sorted(out, key=lambda event: not event.get('past'))
    yield from _attempts(ledger)
    if state.manager is not None:
        yield _plain(state.manager)
    if state.paused:
        yield {'e': 'state', 'paused': True, 't': now}


def _plain(event: Event) -> Event:
    return {key: value for key, value in event.items() if key != 'at'}


def _decoded(line: bytes, offset: int) -> Event:
    try:
        return decode(line, offset) or {'e': ''}
    except ValueError:
        return {'e': ''}


def _ends(ledger: Ledger, event: Event, offset: int) -> Iterator[tuple[tuple[str, bool], End]]:
    """What an event says of attempts' ends, with the worker and whether it is past."""
    state = ledger.state
    if event['e'] == 'end':
        for row in event['rows']:
            if state.status[row] != DROPPED and (detail := detail_of(event, row)) is not None:
                final = state.ended_at[row] == offset and state.status[row] not in (PENDING, WAITING, RUNNING)
                yield (event['w'], not final), detail[0]
    elif event['e'] in ('set', 'accept'):
        for row in event['rows'] if event['e'] == 'set' else [event['new']]:
            if state.ended_at[row] == offset and state.status[row] != DROPPED:
                result = state.result(row)
                yield ('', False), End(row, state.attempt[row], state.status[row], event['t'], 0, result, cause=event.get('cause'))


def _moved(end: End, move: Move) -> End:
    end.result = end.result and move(end.result)
    end.out = end.out and move(end.out)
    end.err = end.err and move(end.err)
    if end.cause and 'trace' in end.cause:
        end.cause = {**end.cause, 'trace': move(Ref(*end.cause['trace']))}
    return end


def _end_event(worker: str, past: bool, ends: list[End], now: float) -> Event:
    return {**end_event(worker, ends, now), 'past' if past else 'final': True}


def _workers(ledger: Ledger, used: set[str]) -> Iterator[Event]:
    state = ledger.state
    for name in used:
        worker = state.workers.get(name)
        if worker is None:
            continue
        yield {
            'e': 'worker',
            'do': 'begin',
            'w': name,
            'mid': worker.mid,
            'host': worker.host,
            'pid': worker.pid,
            'slots': worker.slots,
            'job': worker.job,
            't': worker.time,
        }
        if name not in state.alive:
            yield {'e': 'worker', 'do': 'end', 'w': name, 'why': worker.ended, 't': worker.time}
    for (name, app), versions in state.versions.items():
        if name in used:
            yield {'e': 'versions', 'w': name, 'app': app, 'versions': versions}


def _tasks(ledger: Ledger, move: Move) -> Iterator[Event]:
    state = ledger.state
    rows = list(state.each())
    i = 0
    while i < len(rows):
        first = rows[i]
        refs = [move(state.args(first))]
        i += 1
        while (
            i < len(rows)
            and len(refs) < CHUNK
            and rows[i] == first + len(refs)
            and state.group[rows[i]] == state.group[first]
            and state.index[rows[i]] == state.index[first] + len(refs)
            and (ref := move(state.args(rows[i]))).segment == refs[0].segment
        ):
            refs.append(ref)
            i += 1
        n = len(refs)
        yield {
            'e': 'add',
            'first': first,
            'g': state.group[first],
            'i': state.index[first],
            'ids': b''.join(state.ids[first : first + n]).hex(),
            'seg': refs[0].segment,
            'off': [ref.offset for ref in refs],
            'len': [ref.length for ref in refs],
            'req': [(row - first, list(state.requires[row])) for row in range(first, first + n) if row in state.requires],
            't': state.header.get('t', 0.0),
        }


def _attempts(ledger: Ledger) -> Iterator[Event]:
    state = ledger.state
    rows = [row for row in state.each() if state.attempt[row] and (state.status[row] in (PENDING, WAITING, RUNNING) or row in state.burned)]
    for i in range(0, len(rows), CHUNK):
        part = rows[i : i + CHUNK]
        numbers = [state.attempt[row] - (state.status[row] == RUNNING) for row in part]
        yield {'e': 'attempt', 'rows': part, 'n': numbers, 'burned': [state.burned.get(row, 0) for row in part]}
    running: dict[str, list[int]] = defaultdict(list)
    for row, worker in state.running.items():
        running['' if worker is None else worker.name].append(row)
    for name, mine in running.items():
        yield {'e': 'run', 'w': name, 'rows': mine, 'n': [state.attempt[row] for row in mine], 't': state.started[mine[0]]}
