"""Many workers on one queue: what they ask of the filesystem, simulated."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.scale_out import (
    FILESYSTEMS,
    SimulatedWorker,
    add_tasks,
    measure,
    notice,
    simulated,
)
from desipipe.execution.duties.claiming import WORTH
from desipipe.store import pacing
from desipipe.store.lease import Lease, Observer


def test_pacing_slows_no_few_workers_or_local_disks() -> None:
    for n in (1, pacing.WORKERS_FREE):
        assert pacing.exchange_spacing_s(n, True) == pacing.look_spacing_s(n, True) == 0
    assert pacing.exchange_spacing_s(1000, False) == pacing.look_spacing_s(1000, False) == 0
    assert pacing.lease_spacing_s(pacing.LEASES_FREE) == 0


@pytest.mark.parametrize('n', [100, 1000, 10_000])
def test_budget_of_all_workers_together(n: int) -> None:
    exchanges = n * pacing.EXCHANGE_OPERATIONS / pacing.exchange_spacing_s(n, True)
    looks = n * pacing.LOOK_OPERATIONS / pacing.look_spacing_s(n, True)
    leases = n * pacing.LOOK_OPERATIONS / pacing.lease_spacing_s(n)
    assert exchanges + looks + leases <= 1.1 * pacing.OPERATIONS_MAX_PER_S


@pytest.mark.parametrize('filesystem', ['nfs', 'lustre'])
def test_many_workers_stay_within_the_budget(tmp_path: Path, filesystem: str) -> None:
    figures = measure(tmp_path, 60, 4, 60.0, 1200, filesystem)
    assert figures['operations'] <= 1.2 * pacing.OPERATIONS_MAX_PER_S
    assert figures['waits'] < 0.05 and figures['efficiency'] > 0.6


def test_pacing_keeps_slots_of_few_workers_busy(tmp_path: Path) -> None:
    figures = measure(tmp_path, 4, 8, 1.0, 640)
    assert figures['efficiency'] > 0.8 and figures['waits'] < 0.05


def test_workers_claim_what_their_slots_can_begin(tmp_path: Path) -> None:
    # Of long tasks none waits behind another one while slots elsewhere are free.
    figures = measure(tmp_path, 20, 16, 600.0, 1280)
    assert figures['efficiency'] > 0.95


def test_claim_size_is_worth_its_cost(tmp_path: Path) -> None:
    ledger = add_tasks(tmp_path, 1000)
    with simulated(FILESYSTEMS['nfs']) as (clock, _):
        worker = SimulatedWorker(ledger, 'w', 2, 0.001, clock)
        rows = list(range(1000))
        assert worker.claiming.wanted(clock.now, 0) == 1024
        assert worker.claiming.choose(iter(rows), 3) == rows[:2]  # of unknown length
        worker._durations.mean[ledger.state.group[0]] = 0.001
        assert worker.claiming.choose(iter(rows), 3) == rows[:3]
        worker._pace.note_exchange(clock.now - 0.1, clock.now)
        n = len(worker.claiming.choose(iter(rows), 3))
        assert WORTH * 38 <= n <= WORTH * 40  # 20 ms of work for each of two slots, so many times
    ledger.close()


@pytest.mark.parametrize('n, most', [(5, 31), (60, 60)])
def test_death_is_noticed_and_no_living_worker_is_judged(
    tmp_path: Path, n: int, most: float
) -> None:
    assert 15 < notice(tmp_path, n) <= most


def test_many_leases_are_looked_at_in_turn(tmp_path: Path) -> None:
    (tmp_path / 'workers').mkdir()
    names = [f'w{i}' for i in range(100)]
    leases = [Lease(str(tmp_path), name, False) for name in names]
    observer = Observer(str(tmp_path))
    seen: list[str] = []
    observer.due(names, 1000.0, len(names))
    for second in range(1001, 1005):
        due = observer.due(names, second, len(names))
        assert len(due) == pacing.LEASE_READS_PER_S
        for name in due:
            assert not observer.dead(name, second)
        seen += due
    assert sorted(seen) == sorted(names)
    for lease in leases:
        lease.close()
