"""What a journal, a lease or a file of output says costs no more than its bytes on the disk
allow.
"""

from __future__ import annotations

import json
import os
import struct
import time
from pathlib import Path
from typing import Any

import orjson
import pytest
from engine import Notes, add, begin, claim, finish, fresh, make_folder, note, states, tid

from desipipe import Queue
from desipipe.errors import CorruptJournalError, QueueError
from desipipe.file_manager.history import attempts
from desipipe.queue import range_fold
from desipipe.queue.clearing import clear
from desipipe.queue.compact import compact
from desipipe.queue.ends import End
from desipipe.queue.events import FAILED, SUCCEEDED
from desipipe.queue.ledger import Ledger
from desipipe.queue.live_output import LiveReader
from desipipe.queue.output import written
from desipipe.queue.repair import mend
from desipipe.queue.state import State
from desipipe.queue.task_columns import ROWS_FREE
from desipipe.queue.transactions.attempts import end_event
from desipipe.store import line_format
from desipipe.store.journal import Journal
from desipipe.store.lease import Observer, lease_path, read_lease
from desipipe.store.line_format import check, encode
from desipipe.store.lines import LINE_MAX, lines
from desipipe.store.placement import pieces
from desipipe.view.cell import cell_summary
from desipipe.view.durations import durations
from desipipe.view.task_detail import task_detail
from desipipe.view.task_summary import task_summaries
from desipipe.view.timeline import Timeline


def append(folder: str, *events: dict[str, Any]) -> None:
    """Append events to a journal, whatever they say."""
    path = Path(folder, 'journal.jsonl')
    data = path.read_bytes()
    for event in events:
        data += encode(event, len(data))
    path.write_bytes(data)


def folded(folder: str) -> State:
    return Ledger(folder, None).state


ENDS = {
    'e': 'ends', 'w': 'w', 'ranges': [0, 3], 'n': 1, 't': 1.0, 't0': 1.0, 'b': 0, 'd': 1,
    'seg': 's', 'off': 0, 'len': 4,
}  # fmt: skip
GROUP = {'e': 'group', 'app': 'ab', 'mid': 'm', 'name': 'n', 'kind': 'python'}


@pytest.mark.parametrize(
    'event',
    [
        {**GROUP, 'g': 10**9},
        {'e': 'set', 'rows': [ROWS_FREE + 100_000], 's': 1, 't': 1.0},
        {'e': 'drop', 'rows': [4 * 10**9]},
        {
            'e': 'add',
            'first': 10**8,
            'g': 0,
            'i': 0,
            'ids': 'ab' * 16,
            'seg': 's',
            'off': 0,
            'len': [4],
            't': 1.0,
        },
        {'e': 'run', 'w': 'w', 'rows': [0], 'n': [1], 't': 'now'},
        {'e': 'run', 'w': 'w', 'rows': [0], 'n': [1], 't': 1e300},
        {
            'e': 'add',
            'first': 3,
            'g': 0,
            'i': 0,
            'ids': 'ab' * 16 + 'cd' * 16,
            'seg': 's',
            'off': [],
            'len': [4, 4],
            't': 1.0,
        },  # fmt: skip
        {'e': 'run', 'w': 5, 'rows': [0], 'n': [1], 't': 1.0},
        {'e': 'run', 'w': 'w', 'rows': [0, -1], 'n': [1, 1], 't': 1.0},
        {'e': 'back', 'rows': [-1], 'n': [0]},
        {'e': 'runs', 'w': 'w', 'ranges': [0, 4 * 10**9], 'n': 1, 't': 1.0},
        {'e': 'runs', 'w': 'w', 'ranges': [ROWS_FREE + 100_000, 1], 'n': 1, 't': 1.0},
        {'e': 'runs', 'w': 'w', 'ranges': [-1, 3], 'n': 1, 't': 1.0},
        {'e': 'runs', 'w': 'w', 'ranges': [0, 1, 2], 'n': 1, 't': 1.0},
        {'e': 'runs', 'w': 'w', 'ranges': [], 'n': 1, 't': 1.0},
        {'e': 'runs', 'w': 'w', 'ranges': [0, 3], 'n': 'one', 't': 1.0},
        {**ENDS, 'len': 'AAAA'},
        {**ENDS, 'len': 1 << 62},
        {**ENDS, 'd': '"'},
        {**ENDS, 'd': None},
        {**ENDS, 'off': -1},
        {'e': 'lend', 'w': 'w', 'n': 'many', 't': 1.0},
        {'e': 'submit', 'name': 5, 'mid': 'm', 'slots': 1, 't': 1.0},
        {'e': 'worker', 'do': 'begin', 'w': 'w', 'slots': -1, 't': 1.0},
    ],
    ids=lambda event: event['e'],
)
def test_lines_that_say_what_can_not_be_are_damage(tmp_path: Path, event: dict[str, Any]) -> None:
    folder = make_folder(tmp_path)
    ledger = Ledger(folder, None)
    add(ledger, range(3))
    ledger.close()
    append(folder, event, {'e': 'state', 'paused': True, 't': 1.0})
    state = folded(folder)
    assert (
        len(state.damage) == 1
        and state.paused
        and len(state) == 3
        and len(state.groups) == 1
        and len(state.status) == 3
    )


def tasks_after(tmp_path: Path, event: dict[str, Any]) -> list[Any]:
    """Append an event to a queue of two tasks that succeeded and one that runs; return what views
    say of the three, try all other views, and compact the journal.
    """
    folder = make_folder(tmp_path)
    ledger = Ledger(folder, None)
    add(ledger, range(3))
    begin(ledger, 'w')
    finish(ledger, 'w', claim(ledger, 'w', 2))
    claim(ledger, 'w')
    ledger.close()
    append(folder, event, {'e': 'state', 'paused': True, 't': 1.0})
    ledger = Ledger(folder, None)
    assert ledger.state.paused
    tasks = list(task_summaries(ledger, range(3)))
    assert [task['state'] for task in tasks[:2]] == ['SUCCEEDED'] * 2
    for row in range(3):
        task_detail(ledger, row)
    durations(ledger)
    Timeline(ledger).view()
    assert attempts(ledger) == []
    before = [
        (name, ledger.state.result(row) is None) for row, name in enumerate(states(ledger.state))
    ]
    compact(ledger)
    again = fresh(ledger)
    assert before == [
        (name, again.state.result(row) is None) for row, name in enumerate(states(again.state))
    ]
    assert not again.state.damage
    return tasks


@pytest.mark.parametrize(
    'change',
    [
        {'b': '"'},
        {'b': 'A'},
        {'m': 'é'},
        {'d': 'AAAAAAAA'},
        {'m': None},
        {'m': 'AA=='},
        {'t0': 'x'},
        {'b': 1 << 62},
    ],
    ids=str,
)
def test_packed_details_that_can_not_be_are_lost_alone(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    tasks = tasks_after(tmp_path, {**ENDS, 'ranges': [2, 1], **change})
    assert tasks[2]['state'] in ('SUCCEEDED', 'RUNNING')


def test_short_packed_lines_cost_little_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(range_fold, 'ROWS_FREE', 1 << 18)
    folder = make_folder(tmp_path)
    line = {**ENDS, 'ranges': [0, 1 << 17]}
    append(folder, *[line] * 20, {'e': 'state', 'paused': True, 't': 1.0})
    ledger = Ledger(folder, None)
    state = ledger.state
    assert state.paused
    assert state.packed_rows == state.stale == 1 << 18
    assert len(state.damage) == 18
    timeline = Timeline(ledger)
    timeline.update()
    assert len(timeline._rows) == 1 << 18


@pytest.mark.parametrize('late', [False, True])
@pytest.mark.parametrize(
    'change',
    [
        {'x': {'0': {'out': None}}},
        {'x': {'0': {'err': ['s', 0, 1.5]}}},
        {'x': {'0': {'shown': [['s', -1, 4]]}}},
        {'x': {'0': {'cause': {'text': 5}}}},
        {'x': {'0': {'files': 3}}},
        {'x': 5},
        {'x': {'one': {'out': ['s', 0, 1]}}},
        {'x': {'7': {'files': ['s', 0, 1]}}},
        {'b': 0},
        {'b': ['x']},
        {'d': [[1]]},
        {'d': [1e300]},
        {'m': [None]},
        {'s': 99},
        {'ref': 1.5},
        {'t0': 'x'},
    ],
    ids=str,
)
def test_details_that_can_not_be_are_lost_alone(
    tmp_path: Path, change: dict[str, Any], late: bool
) -> None:
    good = {
        'e': 'end', 'w': 'w', 'rows': [1 if late else 2], 'n': [1], 't': 1.0, 't0': 1.0, 'b': [0], 'd': [1],
        's': FAILED, 'seg': [], 'ref': [-1, 0, 0], 'x': {'0': {'cause': {'kind': 'E', 'text': 'x'}}},
    }  # fmt: skip
    tasks = tasks_after(tmp_path, {**good, **change})
    assert tasks[2]['state'] in ('FAILED', 'RUNNING') and isinstance(tasks[2]['cause'], str)


@pytest.mark.parametrize(
    'line',
    [
        b'5',
        b'{}',
        b'{"do":"write","path":5,"size":1,"mtime":1,"sha256":""}',
        b'{"do":[],"path":"x"}',
    ],
)
def test_lists_of_files_that_are_none_are_told(tmp_path: Path, line: bytes) -> None:
    ledger = Ledger(make_folder(tmp_path), None)
    add(ledger, [1])
    begin(ledger, 'w')
    ref = ledger.store(line)
    ledger.writer.flush()
    rows = [row for row, _ in claim(ledger, 'w')]
    end = End(rows[0], 1, SUCCEEDED, 1.0, 1, ledger.store(b'x'), files=ref)
    ledger.journal.write(lambda: [end_event('w', [end], 1.0)])
    assert 'are damaged' in task_detail(ledger, rows[0])['problems'][0]
    assert [(len(attempt.read), len(attempt.written)) for attempt in attempts(ledger)] == [(0, 0)]


@pytest.mark.parametrize('data', [b'', b'\2\0\0\0{', b'\2\0\0\0[]', b'\x07\0\0\0{"x":1}'])
def test_arguments_that_are_none_are_told(tmp_path: Path, data: bytes) -> None:
    folder = make_folder(tmp_path)
    ledger = Ledger(folder, None)
    add(ledger, [1])
    ref = ledger.store(data)
    ledger.writer.flush()
    ids = 'cd' * 16
    append(folder, {'e': 'add', 'first': 1, 'g': 0, 'i': 0, 'ids': ids, 'seg': ref.segment,
                    'off': ref.offset, 'len': [ref.length], 't': 1.0})  # fmt: skip
    detail = task_detail(Ledger(folder, None), 1)
    assert detail['arguments'] == {} and len(detail['problems']) == 1


def test_cell_whose_groups_line_was_lost_is_shown(tmp_path: Path) -> None:
    queue = Queue('q', base_dir=str(tmp_path))
    append(queue.folder, {'e': 'drop', 'rows': [3]})
    assert cell_summary(queue, '0-3')['total'] == 0


def test_many_gaps_do_not_add_up(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    append(folder, *({'e': 'drop', 'rows': [ROWS_FREE // 4 * i]} for i in range(1, 30)))
    state = folded(folder)
    assert len(state.status) <= ROWS_FREE + os.path.getsize(os.path.join(folder, 'journal.jsonl'))
    assert len(state.damage) > 20


def test_rows_of_a_queue_that_was_cleared_with_very_many_tasks_count_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ('desipipe.queue.task_columns', 'desipipe.queue.carried_events'):
        monkeypatch.setattr(f'{module}.ROWS_FREE', 100)
    monkeypatch.setattr('desipipe.queue.carried_events.ROWS_LEFT_OUT', 50)
    ledger = Ledger(make_folder(tmp_path), None)
    begin(ledger, 'w')
    for i in range(20):
        add(ledger, range(100 * i, 100 * i + 100))
    clear(ledger, carry=True)
    assert (
        ledger.state.damage == []
        and fresh(ledger).state.damage == []
        and len(ledger.state.status) == 2000
    )
    (row,) = add(ledger, ['more'])
    assert row == 2000
    compact(ledger)
    assert fresh(ledger).state.damage == [] and fresh(ledger).state.rows == {tid('more'): 2000}


@pytest.mark.parametrize('ended', [False, True])
def test_holes_in_a_journal_are_not_read(tmp_path: Path, ended: bool) -> None:
    folder = make_folder(tmp_path)
    ledger = Ledger(folder, None)
    add(ledger, range(3))
    ledger.close()
    path = Path(folder, 'journal.jsonl')
    size = path.stat().st_size
    os.truncate(path, 1 << 42)
    if ended:
        with open(path, 'ab') as file:
            file.write(b'\n')
    began = time.process_time()
    view = Ledger(folder, None)
    assert len(view.state) == 3 and (view.journal.offset > size) == ended
    assert view.follow() is False
    assert time.process_time() - began < 60  # reading as much would take an hour
    if ended:
        assert mend(view).moved == 1
        assert path.stat().st_size < 1 << 20 and fresh(view).state.damage == []
    else:
        add(view, ['new'])  # the writer cuts what has no end
        assert path.stat().st_size < 1 << 20 and len(fresh(view).state) == 4


def test_runs_of_what_are_no_lines_are_one_piece(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    path = Path(folder, 'journal.jsonl')
    head = path.read_bytes()
    path.write_bytes(head + b'\n' * 3_000_000)
    append(folder, {'e': 'state', 'paused': True, 't': 1.0})
    state = folded(folder)
    assert state.paused and len(state.damage) <= 1002
    assert sum(length for _, length in state.damage) == 3_000_000


def test_lines_are_split_as_ever() -> None:
    data = b'{"e":1}\nx\n{"e":2}\n' * 2000 + b'rest'
    assert [line for _, line in lines(data, 7)] == [line + b'\n' for line in data.split(b'\n')[:-1]]


def test_damaged_line_of_many_beginnings_takes_little_time() -> None:
    for line in (
        b'{"e":' * 200_000 + b'\n',
        b'{"e":}' * 200_000 + b',"crc":"00000000"}' * 4 + b'\n',
    ):
        began = time.process_time()
        assert all(piece.event is None for piece in pieces(line, 0))
        assert (
            time.process_time() - began < 60
        )  # it would be hours if each were held against each end


def test_line_too_long_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_format, 'LINE_MAX', 1000)
    folder = make_folder(tmp_path)
    journal = Journal(folder, Notes(), None)
    before = Path(folder, 'journal.jsonl').read_bytes()
    with pytest.raises(QueueError, match='Nothing was added'):
        journal.write(lambda: [note('x' * 2000)])
    assert Path(folder, 'journal.jsonl').read_bytes() == before and LINE_MAX > 1 << 24
    journal.write(lambda: [note('x')])


def test_lines_that_are_all_lists_are_damage() -> None:
    with pytest.raises(ValueError, match='memory'):
        check(encode({'e': 'note', 'x': [[]] * 600_000}, 0))


@pytest.mark.parametrize(
    'header', [{'lease': 'abc'}, {'lease': -1.0}, {'id': None}, {'lock': ['x']}]
)
def test_headers_that_can_not_be(tmp_path: Path, header: dict[str, Any]) -> None:
    with pytest.raises(CorruptJournalError, match='first line'):
        Journal(make_folder(tmp_path, **header), Notes(), None)


# Leases and output


@pytest.mark.parametrize(
    'text',
    [
        '[1, 2]',
        '5',
        '{"beat": 5}',
        '{"pid": "abc", "boot": "x"}',
        '{"start": "x"}',
        '{"trouble": []}',
        '{' * 5000,
    ],
)
def test_leases_of_other_kinds(tmp_path: Path, text: str) -> None:
    folder = make_folder(tmp_path)
    Path(lease_path(folder, 'w')).write_text(text)
    assert read_lease(folder, 'w') == {'name': 'w'}
    assert Observer(folder).dead('w', 0.0) is False


@pytest.mark.parametrize('name', ['../w', 'a\0b', '', 'x' * 1000])
def test_leases_of_names_that_are_none(tmp_path: Path, name: str) -> None:
    assert read_lease(make_folder(tmp_path), name) is None


def test_large_leases_are_read_in_part(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    Path(lease_path(folder, 'w')).touch()
    os.truncate(lease_path(folder, 'w'), 1 << 42)
    assert read_lease(folder, 'w') == {'name': 'w'}


@pytest.fixture
def running(tmp_path: Path) -> Ledger:
    """A queue with a task that runs."""
    ledger = Ledger(make_folder(tmp_path), None)
    add(ledger, [1])
    begin(ledger, 'w')
    claim(ledger, 'w')
    return ledger


def live(ledger: Ledger, frames: bytes, **header: Any) -> Path:
    path = Path(ledger.folder, 'live', 'w-0.log')
    path.write_bytes(
        orjson.dumps({'tid': tid(1).hex(), 'attempt': 1, 'part': 'p', 'missed': [0, 0], **header})
        + b'\n'
        + frames
    )
    return path


def frame(kind: bytes, data: bytes) -> bytes:
    return kind + struct.pack('<I', len(data)) + data


def test_output_is_read_in_parts(running: Ledger) -> None:
    large = os.urandom(5_000_000)
    path = live(
        running,
        frame(b'o', b'first')
        + frame(b'e', b'error')
        + frame(b'o', large)
        + frame(b'o', b'half')[:-2],
    )
    out, err = written(running, 0)[2:4]
    assert out == b'first' + large + b'ha' and err == b'error'
    reader = LiveReader(running, tid(1))
    assert (
        b''.join(piece.data for piece in reader.read_all()) == b'first' + b'error' + large + b'ha'
    )
    with open(path, 'ab') as file:
        file.write(b'lf' + frame(b'e', b'last'))
    assert [(piece.stream, piece.data) for piece in reader.read_all()] == [
        ('o', b'lf'),
        ('e', b'last'),
    ]
    assert reader.read_all() == []


def test_output_that_no_worker_wrote(running: Ledger) -> None:
    path = live(running, frame(b'o', b'good') + frame(b'x', b'bad') + frame(b'o', b'unseen'))
    assert written(running, 0).out == b'good'
    os.truncate(path, 1 << 42)
    assert written(running, 0).out == b'good'
    for header in ({'attempt': 'x'}, {'missed': 5}, {'missed': [-1, 0]}, {'part': 3}, {'tid': 5}):
        live(running, frame(b'o', b'good'), **header)
        assert written(running, 0).out == b''
    path.write_text(json.dumps({'tid': tid(1).hex()}))
    assert written(running, 0).out == b''
    path.unlink()
    os.mkfifo(path)
    assert written(running, 0).out == b''
