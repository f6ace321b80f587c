"""Copies of small results in the lines of their reports: they need no sync of a segment, and are
read where they stand, whatever becomes of the journal.
"""

from __future__ import annotations

import os
import pickle
import subprocess
from pathlib import Path
from typing import Any

import pytest
from engine import add, begin, claim, fresh, journal_lines, make_folder, succeed
from polling import TIMEOUT_S
from workers import WORK

from desipipe import Queue, TaskManager
from desipipe.errors import PayloadError
from desipipe.queue.compact import compact
from desipipe.queue.ends import COPY_MAX
from desipipe.queue.ledger import Ledger
from desipipe.queue.repair import repair
from desipipe.store.file_names import is_journal, segment_path


def lose_segment(ledger: Ledger, name: str) -> None:
    """Empty a segment, as a power cut leaves it that was not synced."""
    os.truncate(segment_path(ledger.folder, name), 0)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """A queue in which two tasks have succeeded, whose results are left in the journal alone."""
    ledger = Ledger(make_folder(tmp_path), None, name='w')
    begin(ledger, 'w', 2)
    add(Ledger(ledger.folder, None, name='caller'), ['a', 'b'])
    succeed(ledger, 'w', claim(ledger, 'w', 2), copy=True)
    lose_segment(ledger, 'w')
    return ledger


def results(ledger: Ledger) -> list[Any]:
    return [ledger.load_result(row) for row in range(2)]


def test_copies_are_read_without_the_segment(ledger: Ledger) -> None:
    for view in (ledger, fresh(ledger)):
        assert results(view) == [(0, 1), (1, 1)]
        last = view.last_attempt(0)
        assert last is not None and last.result == view.state.result(0)


def test_report_without_copies_needs_its_segment(tmp_path: Path) -> None:
    ledger = Ledger(make_folder(tmp_path), None, name='w')
    begin(ledger, 'w', 2)
    add(Ledger(ledger.folder, None, name='caller'), ['a', 'b'])
    succeed(ledger, 'w', claim(ledger, 'w', 2))
    lose_segment(ledger, 'w')
    with pytest.raises(PayloadError, match='ends before'):
        results(ledger)


def test_compaction_moves_copies_into_a_segment(ledger: Ledger) -> None:
    other = fresh(ledger)
    compact(ledger)
    for view in (ledger, fresh(ledger)):
        assert results(view) == [(0, 1), (1, 1)]
        assert not any(map(is_journal, view.state.segments))
    with pytest.raises(PayloadError, match='rewritten'):
        results(other)  # the names of before are of no use, and are not taken for others
    other.follow()
    assert results(other) == [(0, 1), (1, 1)]


def test_copies_are_read_where_their_lines_stand_now(ledger: Ledger) -> None:
    """A repair takes a damaged line out, so that all lines behind it stand elsewhere."""
    before = [offset for offset, line in journal_lines(ledger.journal) if b'"data"' in line]
    offset, line = next(each for each in journal_lines(ledger.journal) if b'"run"' in each[1])
    with open(ledger.journal.path, 'r+b') as file:
        file.seek(offset)
        file.write(b'?' * (len(line) - 1))
    damaged = fresh(ledger)
    assert repair(damaged) == 1
    after = [offset for offset, line in journal_lines(damaged.journal) if b'"data"' in line]
    assert after != before
    for attempts in map(damaged.attempts, range(2)):
        assert [pickle.loads(damaged.read(one.result)) for one in attempts if one.result]


def test_damaged_copy_is_not_taken_for_a_result(ledger: Ledger) -> None:
    data = Path(ledger.journal.path).read_bytes()
    at = data.index(b'"data":["') + len(b'"data":["')
    for change in (b'"', b'!', b'='):
        with open(ledger.journal.path, 'r+b') as file:
            file.seek(at)
            file.write(change)
        with pytest.raises(PayloadError, match='this value is lost'):
            ledger.load_result(0)
        assert ledger.load_result(1) == (1, 1)


def test_workers_copy_what_is_small(queue: Queue) -> None:
    """Read what a task needs of others from their copies, too."""

    def repeat(text: str, n: int) -> str:
        return n * text

    app = TaskManager(queue).python_app(repeat)
    with subprocess.Popen([*WORK, queue.folder, '--linger', '600']) as worker:
        try:
            short, long = app('a', 3), app('b', COPY_MAX)
            assert short.result(timeout=TIMEOUT_S) == 'aaa'
            assert long.result(timeout=TIMEOUT_S) == COPY_MAX * 'b'
            ledger = queue.ledger
            stored = ledger.state.result(ledger.row(long.tid))
            assert stored is not None and not is_journal(stored.segment)
            lose_segment(ledger, stored.segment)
            copied = app('c', 3)
            assert copied.result(timeout=TIMEOUT_S) == 'ccc'
            ref = ledger.state.result(ledger.row(copied.tid))
            assert ref is not None and is_journal(ref.segment)
            assert app(copied, 2).result(timeout=TIMEOUT_S) == 'cccccc'
        finally:
            worker.kill()
