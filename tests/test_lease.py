"""Leases: who lives is told by a counter and by the process itself, never by comparing clocks."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from engine import (
    add,
    begin,
    claim,
    finish,
    fresh,
    make_folder,
    process_state,
    read_line,
    send_line,
    start_script,
    states,
    tid,
)
from polling import wait_for

from desipipe.errors import QueueGoneError
from desipipe.queue.events import SUCCEEDED
from desipipe.queue.ledger import Ledger
from desipipe.store import lease as leases
from desipipe.store.lease import Lease, Observer, gone, lease_path, read_lease

HOLDER = """
import sys
from desipipe.store.lease import Lease
lease = Lease(sys.argv[1], sys.argv[2], False, slots=3)
print('beats', flush=True)
for word in sys.stdin:
    lease.beat()
    print('beaten', flush=True)
lease.close()
"""


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """A queue's folder."""
    return make_folder(tmp_path)


@contextmanager
def elsewhere(**changes: Any) -> Iterator[None]:
    """Be a process of another machine."""
    real = leases.machine
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            leases, 'machine', lambda: {**real(), 'host': 'there', 'boot': 'another', **changes}
        )
        yield


def test_lease_says_who(folder: str) -> None:
    lease = Lease(folder, 'w', False, slots=3)
    record = read_lease(folder, 'w')
    assert record is not None
    assert (record['name'], record['pid'], record['slots']) == ('w', os.getpid(), 3)
    lease.beat()
    again = read_lease(folder, 'w')
    assert again is not None and again['beat'] > record['beat']
    # What it uses changes from beat to beat; of processors it is measured over a while.
    while 'cpu' not in again:
        lease.beat()
        again = read_lease(folder, 'w')
        assert again is not None
    assert again['cpu'] >= 0 and again['memory'] > 0
    used = ('beat', 'cpu', 'memory')
    assert {key: again[key] for key in again if key not in used} == {
        key: record[key] for key in record if key not in used
    }
    lease.close()
    lease.close()
    assert read_lease(folder, 'w') is None
    assert os.listdir(os.path.join(folder, 'workers')) == []


def test_lease_is_never_read_by_half(folder: str) -> None:
    """All beats have one length, from the first to the last of a long life."""
    lease = Lease(folder, 'w', True)
    size = os.path.getsize(lease.path)
    for count in (9, 10**6, 10**12):
        lease._count = count
        lease.beat()
        assert os.path.getsize(lease.path) == size
        assert (read_lease(folder, 'w') or {})['beat'] == f'{count + 1:020d}'


def test_lease_that_is_being_written(folder: str) -> None:
    Path(lease_path(folder, 'w')).touch()
    assert read_lease(folder, 'w') == {'name': 'w'}
    assert gone({'name': 'w'}) is None
    assert not Observer(folder).dead('w', 0.0)


def test_live_process_of_this_machine_is_not_gone(folder: str) -> None:
    with start_script(HOLDER, folder, 'w') as process:
        assert read_line(process) == 'beats'
        record = read_lease(folder, 'w')
        assert record is not None and record['pid'] == process.pid
        assert gone(record) is False
        # Gone at once, whatever the lease's length; also while its parent has not asked for its
        # status.
        process.send_signal(signal.SIGKILL)
        wait_for(lambda: process_state(process.pid) == 'Z', 'its end')
        assert gone(record) is True
        assert Observer(folder, 1e9).dead('w', 0.0)
        process.wait()
        assert Observer(folder, 1e9).dead('w', 0.0)


def test_number_that_another_process_has_now(folder: str) -> None:
    lease = Lease(folder, 'w', False)
    assert gone(lease.record) is False
    assert gone({**lease.record, 'start': lease.record['start'] - 1}) is True


@pytest.mark.parametrize('other', [{}, {'boot': leases.machine()['boot'], 'pidns': 1}])
def test_process_of_another_machine_can_not_be_looked_up(
    folder: str, other: dict[str, Any]
) -> None:
    """Nor one of another container: its number means another process here, or none."""
    with elsewhere(**other):
        lease = Lease(folder, 'w', True)
    assert gone({**lease.record, 'pid': 2**22 + 1}) is None
    assert gone(lease.record) is None


def test_silence_is_measured_on_the_observers_clock(folder: str) -> None:
    with elsewhere():
        lease = Lease(folder, 'w', True)
    observer = Observer(folder, 30.0)
    now = 1e6
    for _ in range(100):
        assert not observer.dead('w', now)
        lease.beat()
        now += 1.5
    assert not observer.dead('w', now)
    looks = 0
    while not observer.dead('w', now):
        now += 1.5
        looks += 1
    assert looks == 20
    assert observer.dead('w', now)
    lease.beat()
    assert not observer.dead('w', now)


def test_clocks_of_the_day_do_not_matter(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with elsewhere():
        lease = Lease(folder, 'w', True)
    observer = Observer(folder, 30.0)
    for i in range(100):
        monkeypatch.setattr(time, 'time', lambda i=i: 1e9 * (i % 3))
        os.utime(lease.path, (i % 5, i % 7))
        lease.beat()
        assert not observer.dead('w', 10.0 * i)


@pytest.mark.parametrize('step', [1e-3, 10.0, 1e9])
def test_observer_that_did_not_look_has_seen_nothing(folder: str, step: float) -> None:
    """One that was stopped, or looks once an hour, must look often enough to know that it is not
    itself that was away.
    """
    with elsewhere():
        Lease(folder, 'w', True)
    observer = Observer(folder, 3.0)
    looks = 0
    while not observer.dead('w', step * looks):
        looks += 1
    assert looks >= 3
    if step >= 10.0:
        assert looks == 3


def test_lease_that_never_began(folder: str) -> None:
    """A worker that said that it begins, and then nothing, is given the lease's length."""
    observer = Observer(folder, 3.0)
    assert [observer.dead('w', now) for now in (0.0, 1.0, 2.0, 2.9, 3.1)] == [
        False,
        False,
        False,
        False,
        True,
    ]
    observer.forget('w')
    assert not observer.dead('w', 10.0)


def test_stopped_process(folder: str) -> None:
    """SIGSTOP is no death, until the lease is over; a beat after that is a beat."""
    observer = Observer(folder, 3.0)
    with start_script(HOLDER, folder, 'w') as process:
        assert read_line(process) == 'beats'
        process.send_signal(signal.SIGSTOP)
        wait_for(lambda: process_state(process.pid) == 'T', 'the stop')
        assert [observer.dead('w', now) for now in (0.0, 1.0, 2.0)] == [False] * 3
        process.send_signal(signal.SIGCONT)
        send_line(process)
        assert read_line(process) == 'beaten'
        assert [observer.dead('w', now) for now in (3.0, 4.0, 5.0)] == [False] * 3
        assert observer.dead('w', 6.0)


@pytest.mark.parametrize('how', ['removed', 'renamed', 'file'])
def test_deleted_queue(folder: str, how: str) -> None:
    lease = Lease(folder, 'w', False)
    if how == 'renamed':
        os.rename(folder, folder + '.deleted')
    else:
        shutil.rmtree(folder)
        with pytest.raises(QueueGoneError):
            lease.beat()
    if how == 'file':
        Path(folder).touch()
    lease.close()
    with pytest.raises(QueueGoneError, match='Nothing was recreated'):
        Lease(folder, 'w', False)
    assert read_lease(folder, 'w') is None
    assert not os.path.isdir(folder)


# Workers


def test_fenced_worker_changes_nothing(folder: str) -> None:
    """A worker of another machine is silent for the lease's length; it comes back, and reports:
    its attempt is no longer the current one.
    """
    late, other = Ledger(folder, None, name='late'), Ledger(folder, None, name='other')
    add(other, ['a', 'b'])
    with elsewhere():
        lease = Lease(folder, 'late', False)
    begin(late, 'late', 2)
    own = claim(late, 'late', 2)
    begin(other, 'other')
    observer = Observer(folder, 3.0)
    clock = iter(range(100))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, 'monotonic', lambda: float(next(clock)))
        looks = 1
        while not (dead := other.end_lost_workers(observer, 'other')):
            looks += 1
    assert dead == ['late'] and looks == 4
    assert states(other.state) == ['UNKNOWN', 'UNKNOWN']
    assert 'vanished' in other.cause(0)['text'] and 'late' in other.cause(0)['text']
    assert other.end_lost_workers(observer, 'other') == []
    other.retry(lambda state: [0, 1])
    again = claim(other, 'other', 2)
    assert again == [(0, 2), (1, 2)]
    finish(other, 'other', again[:1])
    # It wakes up: it is told, its report is kept and changes nothing, and it gets no more.
    lease.beat()
    late.follow()
    assert 'late' not in late.state.alive
    finish(late, 'late', own)
    assert claim(late, 'late', 2) == []
    for ledger in (late, other, fresh(late)):
        ledger.follow()
        assert states(ledger.state) == ['SUCCEEDED', 'RUNNING']
        attempts = ledger.attempts(0)
        assert [(attempt.number, attempt.worker, attempt.counts) for attempt in attempts] == [
            (1, 'late', False),
            (1, 'late', False),
            (2, 'other', True),
        ]
        assert ledger.state.result(0) == attempts[-1].result
    finish(other, 'other', again[1:])
    assert states(other.state) == ['SUCCEEDED', 'SUCCEEDED']


WORKER = """
import os, sys
from engine import begin, claim
from desipipe.queue.ledger import Ledger
from desipipe.store.lease import Lease
folder, name, want = sys.argv[1], sys.argv[2], int(sys.argv[3])
ledger = Ledger(folder, None, name=name)
lease = Lease(folder, name, False)
begin(ledger, name, want)
print(len(claim(ledger, name, want)), flush=True)
sys.stdin.read()
"""


def test_killed_processes_are_found_at_once(folder: str) -> None:
    """Whoever looks; what they ran ends once, however many look at the same moment."""
    ledger = Ledger(folder, None, name='observer')
    add(ledger, range(10))
    with (
        start_script(WORKER, folder, 'one', 3) as one,
        start_script(WORKER, folder, 'two', 3) as two,
    ):
        claimed = int(read_line(one)) + int(read_line(two))
        judges = [(fresh(ledger), Observer(folder, 1e9)) for _ in range(3)]
        assert [judge.end_lost_workers(observer) for judge, observer in judges] == [[], [], []]
        one.send_signal(signal.SIGKILL)
        one.wait()
        assert [judge.end_lost_workers(observer) for judge, observer in judges] == [['one']] * 3
        ledger.follow()
        assert list(ledger.state.alive) == ['two']
        two.send_signal(signal.SIGKILL)
        two.wait()
        assert [judge.end_lost_workers(observer) for judge, observer in judges] == [['two']] * 3
    ledger.follow()
    assert sorted(states(ledger.state)) == ['PENDING'] * (10 - claimed) + ['UNKNOWN'] * claimed
    assert ledger.state.stale == 0 and not ledger.state.running
    for row in range(10):
        assert len(ledger.attempts(row)) == (ledger.state.status[row] == 6)


def test_lease_holds_with_wrong_clocks(folder: str) -> None:
    """Two workers whose clocks are years apart: nobody is killed, everything ends once."""
    ledgers = {name: Ledger(folder, None, name=name) for name in ('past', 'future')}
    clocks = {'past': 1.0, 'future': 4e9}
    observers = {name: Observer(folder, 3.0) for name in ledgers}
    add(ledgers['past'], range(40))
    leased: dict[str, Lease] = {}
    with pytest.MonkeyPatch.context() as patch:
        for name, ledger in ledgers.items():
            patch.setattr(time, 'time', lambda name=name: clocks[name])
            with elsewhere():
                leased[name] = Lease(folder, name, False)
            begin(ledger, name, 2)
        for now in range(20):
            for name, ledger in ledgers.items():
                patch.setattr(time, 'time', lambda name=name: clocks[name])
                patch.setattr(time, 'monotonic', lambda now=now: float(now))
                clocks[name] += 1.0
                leased[name].beat()
                assert ledger.end_lost_workers(observers[name], name) == []
                finish(ledger, name, claim(ledger, name, 2))
    ledger = ledgers['past']
    ledger.follow()
    assert set(states(ledger.state)) == {'SUCCEEDED'}
    for i in range(40):
        assert len(ledger.attempts(ledger.state.rows[tid(i)])) == 1
    assert ledger.state.total(SUCCEEDED) == 40


def test_process_number_of_a_dead_process_names_nobody(folder: str) -> None:
    """The record of a process that has ended, under a number that runs again."""
    with subprocess.Popen(['true']) as process:
        process.wait()
    with start_script(HOLDER, folder, 'w') as holder:
        assert read_line(holder) == 'beats'
        record = read_lease(folder, 'w') or {}
        assert gone({**record, 'pid': process.pid}) is True


def test_machines_without_identity_of_their_boot_are_not_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same number is another process there."""
    from desipipe.store import lease as leases

    monkeypatch.setattr(leases, '_here', lambda: ('', 1))
    assert leases.gone({'pid': 2**22 + 1, 'start': 1, 'boot': '', 'pidns': 1}) is None
