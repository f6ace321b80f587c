"""The pace of a worker: when it reads the journal, what of it can wait, how long tasks take."""

from __future__ import annotations

from pathlib import Path

import pytest
from engine import add, begin, claim, finish, fresh, make_folder, succeed

from desipipe.execution.duties.durations import Durations
from desipipe.execution.duties.pace import NEWS_S, UNFOLDED_MAX_S, Pace
from desipipe.queue.compact import compact
from desipipe.queue.events import PENDING, RUNNING, SUCCEEDED
from desipipe.queue.ledger import Ledger
from desipipe.store import journal_reader
from desipipe.store.pacing import WORKERS_FREE


@pytest.fixture
def ledgers(tmp_path: Path) -> tuple[Ledger, Ledger]:
    """Two workers' views of a queue of one host, both of which have written."""
    one = Ledger(make_folder(tmp_path, shared=False), None)
    two = fresh(one)
    add(one, range(8))
    for ledger, name in ((one, 'w1'), (two, 'w2')):
        begin(ledger, name)
    one.follow()
    return one, two


def test_busy_worker_folds_no_attempts_of_others(ledgers: tuple[Ledger, Ledger]) -> None:
    busy, other = ledgers
    claimed = claim(other, 'w2', 2)
    assert not busy.follow_orders() and busy.state.total(PENDING) == 8
    finish(other, 'w2', claimed)
    assert not busy.follow_orders() and busy.state.total(PENDING) == 8
    assert busy.follow() and busy.state.total(SUCCEEDED) == 2
    assert not busy.follow_orders() and not busy.follow()


@pytest.mark.parametrize('at_once', [1 << 16, 100, 7])
@pytest.mark.parametrize('looks_between', [False, True])
def test_busy_worker_folds_orders(
    ledgers: tuple[Ledger, Ledger],
    monkeypatch: pytest.MonkeyPatch,
    looks_between: bool,
    at_once: int,
) -> None:
    monkeypatch.setattr(journal_reader, '_GLANCED_AT_ONCE', at_once)
    busy, other = ledgers
    claimed = claim(other, 'w2', 2)
    if looks_between:
        assert not busy.follow_orders()
    other.pause(True)
    finish(other, 'w2', claimed)
    assert busy.follow_orders() and busy.state.paused and busy.state.total(SUCCEEDED) == 2


def test_busy_worker_claims_what_is_left(ledgers: tuple[Ledger, Ledger]) -> None:
    busy, other = ledgers
    others = claim(other, 'w2', 3)
    assert not busy.follow_orders()
    own = claim(busy, 'w1', 8)
    assert {row for row, _ in own}.isdisjoint(row for row, _ in others) and len(own) <= 5


def test_busy_worker_folds_a_journal_that_was_rewritten(ledgers: tuple[Ledger, Ledger]) -> None:
    busy, other = ledgers
    claim(other, 'w2', 2)
    assert not busy.follow_orders()
    compact(other)
    assert busy.follow_orders() and busy.state.total(RUNNING) == 2


def test_busy_worker_folds_what_is_damaged(ledgers: tuple[Ledger, Ledger]) -> None:
    busy, other = ledgers
    claim(other, 'w2', 2)
    with open(busy.journal.path, 'ab') as file:
        file.write(b'nothing that counts\n')
    assert busy.follow_orders() and busy.state.damage and busy.state.total(RUNNING) == 2


def test_busy_worker_bounds_what_it_leaves(
    ledgers: tuple[Ledger, Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    busy, other = ledgers
    monkeypatch.setattr(journal_reader, 'UNFOLDED_MAX', 500)
    n_left = 0
    for _ in range(8):
        succeed(other, 'w2', claim(other, 'w2'))
        n_left += not busy.follow_orders()
    assert 0 < n_left < 8 and busy.state.total(SUCCEEDED) > 0


def test_worker_on_a_shared_filesystem_folds_all(tmp_path: Path) -> None:
    # Each look is a request to a server: it is to serve for all.
    busy = Ledger(make_folder(tmp_path, shared=True), None)
    other = fresh(busy)
    add(busy, range(2))
    begin(busy, 'w1')
    begin(other, 'w2')
    claim(other, 'w2')
    assert busy.follow_orders() and busy.state.total(RUNNING) == 1


def test_busy_worker_folds_from_time_to_time(ledgers: tuple[Ledger, Ledger]) -> None:
    busy, other = ledgers
    pace = Pace(busy)

    def folds(now: float, is_full: bool = True) -> bool:
        claim(other, 'w2')
        return pace.look(now, is_full)

    assert folds(100.0)
    assert not folds(100.0 + 0.9 * UNFOLDED_MAX_S)
    assert folds(100.0 + 0.95 * UNFOLDED_MAX_S, is_full=False)
    assert folds(100.0 + 2 * UNFOLDED_MAX_S)
    pace.note_exchange(200.0, 200.1)  # which has folded all
    assert not folds(200.2)


def test_idle_workers_of_a_crowd_look_less_often(ledgers: tuple[Ledger, Ledger]) -> None:
    idle, other = ledgers
    pace, n_more = Pace(idle), 40
    claim(other, 'w2')
    assert pace.look(100.0, is_full=False)
    assert pace.is_look_due(100.0, is_full=False), 'two workers are no crowd'
    for i in range(WORKERS_FREE + n_more - 2):
        begin(other, f'more-{i:d}')
    assert pace.look(100.0, is_full=False)
    assert not pace.is_look_due(100.0 + 0.9 * n_more * NEWS_S, is_full=False)
    assert pace.idle_until(100.0, 200.0) == pytest.approx(100.0 + n_more * NEWS_S)
    after = 100.0 + 1.1 * n_more * NEWS_S
    assert pace.is_look_due(after, is_full=False)
    assert not pace.look(after, is_full=False) and pace.is_look_due(after, is_full=False)
    assert pace.idle_until(after, 200.0) == 200.0, 'without news it waits until it is woken'


def test_durations_replace_that_of_a_first_task() -> None:
    durations = Durations()
    durations.note_first(1, 1_000_000)
    assert durations.mean[1] == pytest.approx(1.0), 'it counts until there is another one'
    durations.note(1, [1000])
    assert durations.mean[1] == pytest.approx(1e-3)
    durations.note_first(1, 1_000_000)  # another slot's
    assert durations.mean[1] == pytest.approx(1e-3)
    durations.note(1, [2_000_000, 1000])  # up at once, slowly down
    assert durations.mean[1] == pytest.approx(0.8 * 2.0 + 0.2 * 1e-3)
