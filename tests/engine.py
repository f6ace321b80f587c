"""What the tests of the store and of the queue's state share: bare queues, made-up tasks,
pretend workers, processes that say words.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any

from desipipe.queue.adding import Batch, NewTasks
from desipipe.queue.ends import End, Successes
from desipipe.queue.events import FAILED, PENDING, RUNNING, STATES, SUCCEEDED, WAITING, Group
from desipipe.queue.ledger import Ledger
from desipipe.queue.state import State
from desipipe.queue.uses import Use
from desipipe.serialize import Code, Payload
from desipipe.store.journal import Journal
from desipipe.store.journal_file import FILE_NAME, create
from desipipe.store.line_format import Event
from desipipe.store.lines import lines

MID = 'm0'
MANAGERS: dict[str, Event] = {
    mid: {
        'environ': {'name': 'base'},
        'scheduler': {'name': 'simple'},
        'provider': {'name': 'local'},
    }
    for mid in ('m0', 'm1')
}
TIMEOUT = 120.0  # s; only a test that hangs gets there


def make_folder(parent: Path | str, stem: str = 'q', **header: Any) -> str:
    """A queue's folder as ``create_folder`` makes it, without the self-test.

    Parameters
    ----------
    parent : path
    stem : str, default='q'
        The queue's name.
    **header
        Members of the first event, such as ``shared=True`` or ``lock='poll'``.
    """
    folder = os.path.join(os.fspath(parent), stem + '.queue')
    os.mkdir(folder, 0o700)
    for sub in ('segments', 'live', 'workers'):
        os.mkdir(os.path.join(folder, sub))
    with open(os.path.join(folder, 'lock'), 'x'):
        create(
            folder,
            {
                'lock': 'flock',
                'shared': False,
                'fstype': 'test',
                'lease': 30.0,
                't': 0.0,
                'name': stem,
                **header,
            },
        )
    return folder


class Notes:
    """Collects events; the simplest sink."""

    def __init__(self) -> None:
        self.header: Event = {}
        self.seen: list[tuple[int, Event]] = []
        self.damage: list[tuple[int, int]] = []
        self.resets = 0

    def reset(self, header: Event) -> None:
        """Forget everything."""
        self.header = header
        self.seen = []
        self.damage = []
        self.resets += 1

    def apply(self, event: Event, offset: int) -> None:
        """Keep an event."""
        self.seen.append((offset, event))

    def check(self, event: Event) -> None:
        """Take everything."""

    def damaged(self, offset: int, length: int) -> None:
        """Keep where a line is damaged."""
        self.damage.append((offset, length))

    @property
    def values(self) -> list[Any]:
        """The members ``x`` of the events."""
        return [event['x'] for _, event in self.seen]


def note(x: object) -> Event:
    """An event that says nothing but ``x``."""
    return {'e': 'note', 'x': x}


def tid(name: object) -> bytes:
    """The identity of a made-up task."""
    return blake2b(repr(name).encode(), digest_size=16).digest()


def group(app: str = 'fraction', mid: str = MID, **options: Any) -> Group:
    """The group of a made-up app."""
    return Group(
        app=blake2b(app.encode(), digest_size=16).hexdigest(),
        mid=mid,
        name=app,
        kind='python',
        **options,
    )


def code(app: str = 'fraction') -> Code:
    """The code of a made-up app."""
    data = pickle.dumps(app)
    digest = blake2b(app.encode(), digest_size=16).digest()
    return Code(
        digest=digest,
        parts={f'function {app}': digest.hex()},
        source=f'def {app}(): ...\n',
        payload=Payload([data], len(data), False),
        packages=(),
    )


def add(
    ledger: Ledger,
    names: Iterable[object],
    requires: dict[object, Sequence[object]] | None = None,
    app: str = 'fraction',
    sync: bool = False,
    uses: Sequence[Use] = (),
    **options: Any,
) -> list[int]:
    """Add made-up tasks; ``requires`` says by name what each needs. Returns their rows."""
    batch = Batch(group(app, **options))
    names = list(names)
    for name in names:
        data = pickle.dumps({'name': name})
        text = json.dumps({'name': repr(name)}).encode()
        batch.append(
            tid(name),
            text,
            Payload([data], len(data), False),
            [tid(other) for other in (requires or {}).get(name, ())],
        )
    ledger.add(NewTasks([batch], {batch.group.app: code(app)}, MANAGERS, uses), sync)
    return [ledger.state.rows[tid(name)] for name in names]


def begin(ledger: Ledger, worker: str, slots: int = 1, mid: str | None = None, **info: Any) -> None:
    """Make a pretend worker begin."""
    ledger.begin_worker(
        worker,
        **{
            'mid': mid,
            'host': 'here',
            'pid': os.getpid(),
            'slots': slots,
            'job': f'job-{worker}',
            **info,
        },
    )


def claim(
    ledger: Ledger, worker: str, want: int = 1, mids: Sequence[str] = (MID,)
) -> list[tuple[int, int]]:
    """Make a pretend worker claim."""
    return ledger.exchange(worker, want=want, mids=mids)


def finish(
    ledger: Ledger,
    worker: str,
    claimed: Iterable[tuple[int, int]],
    state: int = SUCCEEDED,
    **cause: Any,
) -> None:
    """Make a pretend worker report; results are ``(row, attempt, worker)``, with output."""
    ends = []
    for row, attempt in claimed:
        result = ledger.store(pickle.dumps((row, attempt, worker)))
        out = ledger.store(f'out {row:d} {attempt:d}'.encode())
        err = ledger.store(f'err {row:d} {attempt:d}'.encode())
        why = (
            None
            if state == SUCCEEDED
            else {
                'kind': 'ValueError',
                'kinds': ['ValueError', 'Exception'],
                'text': f'{STATES[state]} {row:d} {attempt:d}',
                'errno': 1,
                **cause,
            }
        )
        ends.append(End(row, attempt, state, 100.0 + row, 1000 + row, result, out, err, why))
    ledger.exchange(worker, ends)


def fail(ledger: Ledger, worker: str, claimed: Iterable[tuple[int, int]], **cause: Any) -> None:
    """Make a pretend worker report failures."""
    finish(ledger, worker, claimed, FAILED, **cause)


def states(state: State) -> list[str]:
    """The states by name, of all rows."""
    return [(*STATES, 'DROPPED')[status] for status in state.status]


def facts(state: State) -> dict[str, Any]:
    """All that a fold knows, as plain data that can be compared."""
    facts_by_name: dict[str, Any] = {}
    assert len(state) == len(state.rows)  # by which the rows are indexed
    for key, value in vars(state).items():
        if key == 'code_versions':
            value = (value.places, value.superseded)
        if key in ('_fold', '_indexing', 'header'):
            continue
        if key in ('workers', 'alive'):
            value = {
                name: {
                    slot: sorted(worker.rows) if slot == 'rows' else getattr(worker, slot)
                    for slot in worker.__slots__
                }
                for name, worker in value.items()
            }
        elif key == 'running':
            value = {
                row: (worker and worker.name, value.started(row)) for row, worker in value.items()
            }
        elif key in ('manager', 'last_manager'):
            value = _as_read(value)
        elif key in ('apps', 'managers', 'versions'):
            value = {name: _as_read(event) for name, event in value.items()}
        elif key == 'pending':
            # A row that comes back may keep its place, if nobody asked for tasks meanwhile.
            value = {
                mid: {
                    priority: {
                        row
                        for row in queue
                        if state.status[row] == PENDING and row not in state.superseded
                    }
                    for priority, queue in queues.items()
                }
                for mid, queues in value.items()
            }
        facts_by_name[key] = value
    return facts_by_name


def consistent(state: State) -> None:
    """What must always hold between the columns."""
    for mid, counts in state.counts.items():
        rows = [
            row
            for row in range(len(state.status))
            if state.status[row] != 7 and state.groups[state.group[row]].mid == mid
        ]
        for numbers, hidden in ((counts, False), (state.superseded_counts[mid], True)):
            assert numbers[:7] == [
                sum(
                    state.status[row] == code for row in rows if (row in state.superseded) == hidden
                )
                for code in range(7)
            ]
    for row in state.each():
        own = state.groups[state.group[row]].app in state.code_versions.superseded
        reasons = own + sum(other in state.superseded for other in state.requires.get(row, ()))
        assert state.reasons.get(row, 0) == reasons and (row in state.superseded) == (
            reasons > 0 and row not in state.kept
        )
        assert row not in state.kept or reasons
    assert all(state.status[row] != 7 for row in (*state.superseded, *state.kept, *state.reasons))
    running = [row for row in state.each() if state.status[row] == RUNNING]
    assert sorted(state.running) == running and len(state.running) == len(running)
    assert sorted(dict(state.running.times())) == running
    for row in state.each():
        assert state.unmet[row] == sum(
            state.status[other] != SUCCEEDED for other in state.requires.get(row, ())
        )
        if state.status[row] in (WAITING, PENDING):
            assert (state.status[row] == WAITING) == (state.unmet[row] > 0)
        assert state.rows[state.ids[row]] == row
    for mid in state.counts:
        pending = state.next_pending([mid], len(state.status) + 1)
        expected = [
            row
            for row in state.each()
            if state.status[row] == PENDING and row not in state.superseded
        ]
        assert sorted(pending) == [
            row for row in expected if state.groups[state.group[row]].mid == mid
        ]
    for worker in state.alive.values():
        own = [row for row, other in state.running.items() if other is worker]
        assert list(worker.rows) == own and len(worker.rows) == len(own)
    assert len({id(column) for column in (state.status, state.attempt)}) == 2
    columns = (
        state.ids,
        state.attempt,
        state.group,
        state.index,
        state.unmet,
        state.args_segment,
        state.args_offset,
        state.args_length,
    )
    columns += (
        state.result_segment,
        state.result_offset,
        state.result_length,
        state.added_at,
        state.ended_at,
    )
    assert {len(column) for column in columns} == {len(state.status)}


def _as_read(event: Event | None) -> Event | None:
    # Its own events a writer keeps as it wrote them, those of others as they were read.
    return event and {
        key: value for key, value in json.loads(json.dumps(event)).items() if key != 'at'
    }


def knowledge(ledger: Ledger) -> dict[str, Any]:
    """All that a queue knows of its tasks, in words that do not depend on where things lie."""
    state = ledger.state
    blocked = state.blocked()
    tasks = {}
    for row in state.each():
        result = state.result(row)
        event = ledger.code(row)
        tasks[state.ids[row].hex()] = {
            'row': row,
            'state': STATES[state.status[row]],
            'attempt': state.attempt[row],
            'burned': state.burned.get(row, 0),
            'group': state.groups[state.group[row]],
            'index': state.index[row],
            'arguments': ledger.arguments(row),
            'kwargs': ledger.load(ledger.arguments_payload(row)),
            'requires': list(state.requires.get(row, ())),
            'unmet': state.unmet[row],
            'dependants': sorted(
                other for other in state.dependants_of(row) if state.status[other] < len(STATES)
            ),
            'blocked': row in blocked,
            'result': None if result is None else bytes(ledger.read(result)),
            'cause': ledger.cause(row),
            'added': ledger.journal.event_at(state.added_at[row])['t'],
            'running': (
                worker.name if (worker := state.running[row]) else '',
                state.running.started(row),
            )
            if row in state.running
            else None,
            'attempts': [
                {
                    **attempt._asdict(),
                    **{
                        key: None
                        if (ref := getattr(attempt, key)) is None
                        else ledger.read_text(ref)
                        for key in ('out', 'err')
                    },
                    'result': None
                    if attempt.result is None
                    else bytes(ledger.read(attempt.result)),
                }
                for attempt in ledger.attempts(row)
            ],
            'code': (
                event['name'],
                event['kind'],
                ledger.read_text(event['source']),
                ledger.read_text(event['parts']),
                event['packages'],
            ),
        }
    return {
        'tasks': tasks,
        'paused': state.paused,
        'counts': {mid: counts[: len(STATES)] for mid, counts in state.counts.items()},
        'pending': {
            mid: sorted(state.next_pending([mid], len(state.status) + 1)) for mid in state.managers
        },
        'managers': {
            mid: {key: event[key] for key in MANAGERS[MID]} for mid, event in state.managers.items()
        },
        'alive': {
            name: (
                worker.host,
                worker.pid,
                worker.slots,
                worker.job,
                worker.mid,
                worker.stop,
                sorted(worker.rows),
            )
            for name, worker in state.alive.items()
        },
        'manager': state.manager
        and {key: value for key, value in state.manager.items() if key not in ('at', 'crc')},
        'versions': state.versions,
        'places': state.code_versions.places,
        'superseded': sorted(state.superseded),
        'kept': sorted(state.kept),
        'reasons': dict(sorted(state.reasons.items())),
    }


def differences(before: Any, after: Any, where: str = '') -> list[str]:
    """What is not the same, in words, of plain data."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [
            word
            for key in [*before, *(key for key in after if key not in before)]
            for word in differences(before.get(key), after.get(key), f'{where}.{key}')
        ]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return [
            word
            for i, pair in enumerate(zip(before, after, strict=True))
            for word in differences(*pair, f'{where}[{i}]')
        ]
    if isinstance(before, float) and isinstance(after, float) and abs(before - after) < 1e-5:
        return []  # times are written in microseconds
    return [] if before == after else [f'{where}: {before!r} -> {after!r}']


def successes(claimed: Sequence[tuple[int, int]]) -> Successes:
    """Attempts that succeeded, each with its row and number as its result."""
    data = [pickle.dumps(each) for each in claimed]
    ones, lengths = [1] * len(data), list(map(len, data))
    rows, attempts = [row for row, _ in claimed], [n for _, n in claimed]
    return Successes(rows, attempts, ones, ones, ones, lengths, b''.join(data))


def succeed(
    ledger: Ledger, worker: str, claimed: Sequence[tuple[int, int]], copy: bool = False
) -> None:
    """Make a pretend worker report successes."""
    batch = successes(claimed)
    batch.place = ledger.store(batch.data)[:2]
    ledger.exchange(worker, successes=[batch], copy=copy)


def fresh(ledger: Ledger) -> Ledger:
    """Another view of the same queue, folded from the disk."""
    return Ledger(ledger.folder, None, ledger.trusts)


@contextmanager
def start_script(source: str, *args: object, **kwargs: Any) -> Iterator[subprocess.Popen[str]]:
    """A process that runs ``source``, with ``sys.argv[1:]`` set, and is ended at the end."""
    env = {
        **os.environ,
        'PYTHONPATH': os.pathsep.join([str(Path(__file__).parents[1]), str(Path(__file__).parent)]),
    }
    process = subprocess.Popen(
        [sys.executable, '-c', source, *map(str, args)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=env,
        **kwargs,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()


def read_line(process: subprocess.Popen[str]) -> str:
    """The next line that a process says."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise AssertionError(f'the process ended (status {process.wait(TIMEOUT)}) without a word')
    return line.rstrip('\n')


def send_line(process: subprocess.Popen[str], word: str = 'go') -> None:
    """Let a process go on that waits for a line."""
    assert process.stdin is not None
    process.stdin.write(word + '\n')
    process.stdin.flush()


def done(process: subprocess.Popen[str]) -> str:
    """What else a process says until it ends, which must be well."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.close()
    output = process.stdout.read()
    assert process.wait(TIMEOUT) == 0, output
    return output


def process_state(pid: int) -> str:
    """State letter of a process: ``S`` sleeps, ``T`` is stopped, …"""
    with open(f'/proc/{pid:d}/stat') as file:
        return file.read().rpartition(')')[2].split()[0]


def journal_lines(journal: Journal | str) -> list[tuple[int, bytes]]:
    """The lines of a journal with their offsets."""
    path = journal.path if isinstance(journal, Journal) else os.path.join(journal, FILE_NAME)
    with open(path, 'rb') as file:
        return list(lines(file.read(), 0))


def record(folder: str) -> Ledger:
    """A real run, of everything that can happen to tasks; its journal is what is then cut and
    bent.
    """
    ledger = Ledger(folder, None, name='recorder')
    add(ledger, range(8))
    add(ledger, ['sum', 'mean'], {'sum': list(range(4)), 'mean': ['sum', 5]}, app='average')
    add(ledger, [0, 1, 'late'])
    add(ledger, ['again'], app='flaky', retries=2, retry_on=('ValueError',))
    add(ledger, ['urgent'], app='urgent', priority=5)
    begin(ledger, 'w1', 2)
    begin(ledger, 'w2', 1, mid=MID)
    first = claim(ledger, 'w1', 7)
    finish(ledger, 'w1', first[:2])
    fail(ledger, 'w1', first[2:3])
    ledger.exchange('w1', back=first[3:4])
    ledger.pause(True)
    assert claim(ledger, 'w2', 3) == []
    ledger.pause(False)
    second = claim(ledger, 'w2', 5)
    finish(ledger, 'w2', second)
    ledger.cancel(lambda state: [first[5][0]])
    finish(ledger, 'w1', first[4:6])  # the second of them is late: it was cancelled
    ledger.retry(lambda state: [first[2][0]])
    again = [pair for _ in range(9) for pair in claim(ledger, 'w1', 20)]
    row = ledger.state.rows[tid('again')]
    fail(ledger, 'w1', [pair for pair in again if pair[0] == row])
    finish(ledger, 'w1', [pair for pair in again if pair[0] != row])
    ledger.drop(lambda state: [state.rows[tid('late')]])
    ledger.journal.write(
        lambda: [{'e': 'versions', 'w': 'w1', 'app': group().app, 'versions': {'numpy': '2.0'}}]
    )
    finish(ledger, 'w1', claim(ledger, 'w1', 20))
    add(ledger, ['twin'], app='twin')
    ledger.accept(ledger.state.rows[tid('sum')], ledger.state.rows[tid('twin')])
    ledger.end_worker('w2', 'nothing left to do')
    claim(ledger, 'w1', 1)
    ledger.stop(lambda state: ['w1'], 'politely', False)
    return ledger
