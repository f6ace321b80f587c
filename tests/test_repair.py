"""Repair of journals that were edited: what is whole survives, nothing false appears, and what
is lost is counted.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from engine import (
    add,
    begin,
    claim,
    consistent,
    differences,
    finish,
    fresh,
    journal_lines,
    knowledge,
    make_folder,
    tid,
)

from desipipe.errors import CorruptJournalError
from desipipe.queue.compact import compact
from desipipe.queue.events import FAILED, STATES
from desipipe.queue.ledger import Ledger
from desipipe.queue.repair import mend, restore_header
from desipipe.store.journal_file import FILE_NAME
from desipipe.store.line_format import encode

N = 24
ROUNDS = int(os.environ.get('DESIPIPE_TEST_EDITS', '40'))


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A queue whose tasks have ended, run and wait."""
    ledger = Ledger(make_folder(tmp_path_factory.mktemp('whole')), None, name='w')
    begin(ledger, 'w', 3)
    for i in range(N):
        add(ledger, [i], {i: [i - 3]} if i % 4 == 3 else None, app=f'app {i % 3:d}')
        if i % 2:
            finish(ledger, 'w', claim(ledger, 'w', 1), *([FAILED] if i % 5 == 1 else []))
    claim(ledger, 'w', 2)
    ledger.close()
    return ledger.folder


def flip(data: bytes, rng: random.Random) -> bytes:
    """Change one bit."""
    where = rng.randrange(len(data))
    return data[:where] + bytes([data[where] ^ 1 << rng.randrange(8)]) + data[where + 1 :]


def insert(data: bytes, rng: random.Random) -> bytes:
    """Insert some bytes."""
    where = rng.randrange(len(data))
    return data[:where] + rng.randbytes(rng.choice((1, 2, 40, 400))) + data[where:]


def delete(data: bytes, rng: random.Random) -> bytes:
    """Remove some bytes."""
    where = rng.randrange(len(data))
    return data[:where] + data[where + rng.choice((1, 3, 60, 700)) :]


def truncate(data: bytes, rng: random.Random) -> bytes:
    """Lose the end."""
    return data[: rng.randrange(len(data))]


def double(data: bytes, rng: random.Random) -> bytes:
    """Have a line twice."""
    lines = data.splitlines(keepends=True)
    i = rng.randrange(len(lines))
    return b''.join([*lines[:i], lines[i], *lines[i:]])


def swap(data: bytes, rng: random.Random) -> bytes:
    """Swap two neighbouring lines."""
    lines = data.splitlines(keepends=True)
    i = rng.randrange(len(lines) - 1)
    return b''.join([*lines[:i], lines[i + 1], lines[i], *lines[i + 2 :]])


def convert(data: bytes, rng: random.Random) -> bytes:
    """Edit it on another system."""
    return data.replace(b'\n', b'\r\n') if rng.random() < 0.5 else b'\xef\xbb\xbf' + data


EDITS: list[Callable[[bytes, random.Random], bytes]] = [
    flip,
    insert,
    delete,
    truncate,
    double,
    swap,
    convert,
]


def edited(
    folder: str, parent: Path, change: Callable[[bytes], bytes]
) -> tuple[str, list[bytes], bytes]:
    """Copy a queue and change its journal; also return the lines it had, and what there is now."""
    copy = str(parent / 'q.queue')
    shutil.copytree(folder, copy)
    path = os.path.join(copy, FILE_NAME)
    lines = [line for _, line in journal_lines(folder)]
    data = change(b''.join(lines))
    Path(path).write_bytes(data)
    return copy, lines, data


def repaired(folder: str) -> Ledger:
    """Repair a queue as the command does."""
    header = {
        'lock': 'flock',
        'shared': False,
        'fstype': 'test',
        'lease': 30.0,
        't': 0.0,
        'name': 'q',
    }
    try:
        ledger = Ledger(folder, None)
    except CorruptJournalError:
        restore_header(folder, header, 'flock')
        ledger = Ledger(folder, None)
    mend(ledger)
    assert ledger.state.damage == [] and mend(ledger).moved == 0
    consistent(ledger.state)
    return ledger


def check_nothing_false(ledger: Ledger, whole: Ledger) -> None:
    """Every task is one of before, with its number, its arguments, and its own result if it has
    any.
    """
    for row in ledger.state.each():
        assert ledger.state.ids[row] == whole.state.ids[row]
        assert ledger.arguments(row) == whole.arguments(row)
        if STATES[ledger.state.status[row]] == 'SUCCEEDED':
            assert ledger.load_result(row) == whole.load_result(row)


@pytest.mark.parametrize('edit', EDITS, ids=lambda edit: edit.__name__)
def test_whole_lines_survive_an_edit(
    folder: str, tmp_path: Path, edit: Callable[[bytes, random.Random], bytes]
) -> None:
    whole = Ledger(folder, None)
    wanted = knowledge(whole)['tasks']
    for seed in range(ROUNDS):
        parent = tmp_path / str(seed)
        parent.mkdir()
        rng = random.Random(seed)
        copy, lines, data = edited(folder, parent, lambda data, rng=rng: edit(data, rng))  # type: ignore[misc]
        intact = [
            line.rstrip(b'\n') in data and (line in data or edit is not truncate) for line in lines
        ]
        if not any(intact[1:]):
            continue
        try:
            ledger = repaired(copy)
            check_nothing_false(ledger, whole)
            lost = {i for i, line in enumerate(lines) if not intact[i]}
            if (
                all(b'"e":"add"' in lines[i] or b'"e":"queue"' in lines[i] for i in lost)
                and edit is not truncate
            ):
                expected = {ledger.state.ids[row] for row in ledger.state.each()}
                missing = {tid(i).hex() for i in range(N)} - {item.hex() for item in expected}
                assert len(missing) <= sum(b'"e":"add"' in lines[i] for i in lost)
            if not lost:
                assert differences(wanted, knowledge(ledger)['tasks']) == []
            for i, line in enumerate(lines):
                if (
                    intact[i]
                    and b'"e":"add"' in line
                    and not any(b'"e":"group"' in lines[k] for k in lost)
                ):
                    row = int(line.split(b'"first":')[1].split(b',')[0])
                    assert (
                        ledger.state.ids[row] == whole.state.ids[row]
                        and ledger.state.ids[row] in ledger.state.rows
                    )
        except BaseException as exc:
            raise AssertionError(f'{edit.__name__} with seed {seed:d}') from exc
        ledger.close()


def test_repair_invents_nothing_after_several_edits(folder: str, tmp_path: Path) -> None:
    whole = Ledger(folder, None)
    for seed in range(ROUNDS):
        rng = random.Random(seed)

        def change(data: bytes, rng: random.Random = rng) -> bytes:
            for edit in rng.choices(EDITS[:6], k=4):
                data = edit(data, rng) or data
            return data

        parent = tmp_path / str(seed)
        parent.mkdir()
        copy, _, _ = edited(folder, parent, change)
        try:
            ledger = repaired(copy)
        except CorruptJournalError:
            continue
        check_nothing_false(ledger, whole)
        ledger.close()


def test_repair_loses_single_line_for_inserted_byte(folder: str, tmp_path: Path) -> None:
    """Before and after the repair; what is lost is counted, and numbers go on behind it."""
    number = [i for i, (_, line) in enumerate(journal_lines(folder)) if b'"e":"add"' in line][5]
    offset, _ = journal_lines(folder)[number]
    copy, _, _ = edited(
        folder, tmp_path, lambda data: data[: offset + 4] + b' ' + data[offset + 4 :]
    )
    ledger = Ledger(copy, None)
    assert len(ledger.state) == N - 1 and len(ledger.state.damage) == 1
    assert add(ledger, ['new']) == [N]
    result = mend(ledger)
    assert (result.moved, result.before, result.after, result.lost) == (1, N, N, 1)
    assert add(ledger, ['newer', 5]) == [N + 1, N + 2]
    compact(ledger)
    assert len(fresh(ledger).state) == N + 2


def test_swapped_lines_whose_task_was_added_again(tmp_path: Path) -> None:
    """The one that was recovered makes place for the newer one."""
    ledger = Ledger(make_folder(tmp_path), None, name='w')
    begin(ledger, 'w')
    for name in 'abc':
        add(ledger, name)
    lines = [line for _, line in journal_lines(ledger.folder)]
    first = next(i for i, line in enumerate(lines) if tid('a').hex().encode() in line)
    lines[first], lines[first + 1] = lines[first + 1], lines[first]
    Path(ledger.journal.path).write_bytes(b''.join(lines))
    ledger = fresh(ledger)
    assert len(ledger.state) == 2
    add(ledger, 'a')
    finish(ledger, 'w', claim(ledger, 'w', 3))
    result = mend(ledger)
    assert (result.moved, result.regained, result.after) == (0, 1, 3)
    assert len({ledger.state.ids[row] for row in ledger.state.each()}) == 3
    consistent(ledger.state)


def test_backup_appended_to_the_journal_changes_nothing(folder: str, tmp_path: Path) -> None:
    copy, lines, _ = edited(folder, tmp_path, lambda data: data + data)
    assert (
        differences(
            knowledge(Ledger(folder, None))['tasks'], knowledge(Ledger(copy, None))['tasks']
        )
        == []
    )
    assert encode({'e': 'note'}, 0) not in lines


def test_doctor_counts_in_tasks(queue_dir: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from desipipe import Queue
    from desipipe.cli import main

    queue = Queue('q', create=True)
    for i in range(25):
        add(queue.ledger, [i])
    lines = [line for _, line in journal_lines(queue.folder)]
    number = [i for i, line in enumerate(lines) if b'"e":"add"' in line][1]
    lines[number] = lines[number].replace(b'"e"', b'"e" ')
    Path(queue.filename).write_bytes(b'?' + b''.join(lines))
    assert main(['doctor', '-q', 'q']) == 1
    assert '--repair' in capfd.readouterr().out
    assert main(['doctor', '-q', 'q', '--repair']) == 1
    output = capfd.readouterr().out
    assert '24 tasks known before, 24 tasks after' in output and '1 task lost' in output
    assert len(Queue('q', create=False)) == 24


@pytest.mark.parametrize('kind', ['group', 'add', 'run', 'end'])
@pytest.mark.parametrize('n', [1, 3])
def test_lines_that_were_removed_are_told(folder: str, tmp_path: Path, kind: str, n: int) -> None:
    """A gap is damage until it is repaired; the rest counts."""
    lines = journal_lines(folder)
    number = [i for i, (_, line) in enumerate(lines) if b'{"e":"%s"' % kind.encode() in line][1]
    copy, _, _ = edited(
        folder,
        tmp_path,
        lambda _: b''.join(
            line for i, (_, line) in enumerate(lines) if not number <= i < number + n
        ),
    )
    ledger = Ledger(copy, None)
    assert ledger.state.damage == [(lines[number][0], 0)]
    added = sum(b'{"e":"add"' in line for _, line in lines[number : number + n])
    assert mend(ledger).gaps == 1
    assert ledger.state.damage == [] and mend(ledger).gaps == 0
    if kind == 'add':
        assert ledger.state.lost_rows == added > 0
    consistent(ledger.state)


def test_doctor_and_status_tell_removed_lines(
    queue_dir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from desipipe import Queue
    from desipipe.cli import main

    queue = Queue('q', create=True)
    for i in range(10):
        add(queue.ledger, [i])
    lines = [line for _, line in journal_lines(queue.folder)]
    number = [i for i, line in enumerate(lines) if b'"e":"add"' in line][4]
    Path(queue.filename).write_bytes(b''.join(lines[:number] + lines[number + 1 :]))
    assert main(['status', '-q', 'q']) == 0
    assert '1 damaged line in' in capfd.readouterr().out
    assert main(['doctor', '-q', 'q']) == 1
    output = capfd.readouterr().out
    assert 'lines are missing before offset' in output and '9 tasks known, 1 task lost' in output
    assert ' whole' not in output
    assert main(['doctor', '-q', 'q', '--repair']) == 1
    output = capfd.readouterr().out
    assert 'lines were missing at 1 place' in output and '1 task lost' in output
    assert main(['doctor', '-q', 'q']) == 0
