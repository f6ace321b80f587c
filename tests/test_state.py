"""The fold: what becomes of tasks, decided by events and nothing else."""

from __future__ import annotations

import copy
import tracemalloc
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from engine import (
    MANAGERS,
    MID,
    add,
    begin,
    claim,
    consistent,
    facts,
    fail,
    finish,
    fresh,
    group,
    journal_lines,
    make_folder,
    record,
    states,
    succeed,
)
from hypothesis import given

from desipipe.queue.columns import ID
from desipipe.queue.ends import End
from desipipe.queue.events import (
    CHUNK,
    FAILED,
    KILLED,
    PENDING,
    RUNNING,
    SUCCEEDED,
    UNKNOWN,
    Ref,
)
from desipipe.queue.ledger import Ledger
from desipipe.queue.state import State
from desipipe.queue.transactions.attempts import end_event, run_event
from desipipe.queue.transactions.tasks import group_event
from desipipe.store.line_format import Event, decode


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A queue with two pretend workers, ``w``, who gets all that it wants, and ``v``; at the end
    what a fresh reader knows is what this one knows.
    """
    ledger = Ledger(make_folder(tmp_path), None)
    begin(ledger, 'w', 1_000_000)
    begin(ledger, 'v', 1)
    yield ledger
    assert facts(fresh(ledger).state) == facts(ledger.state)
    consistent(ledger.state)


# Adding


def test_tasks_begin_pending_or_waiting(ledger: Ledger) -> None:
    add(ledger, ['a', 'b', 'c', 'd'], {'c': ['a', 'b'], 'd': ['c']})
    assert states(ledger.state) == ['PENDING', 'PENDING', 'WAITING', 'WAITING']
    assert (
        list(ledger.state.requires[2]) == [0, 1]
        and ledger.state.dependants_of(0) == [2]
        and ledger.state.dependants_of(3) == []
    )
    finish(ledger, 'w', claim(ledger, 'w', 9))
    assert states(ledger.state) == ['SUCCEEDED', 'SUCCEEDED', 'PENDING', 'WAITING']
    add(ledger, ['e', 'f'], {'e': ['a'], 'f': ['a', 'd']})
    assert states(ledger.state)[4:] == ['PENDING', 'WAITING']


def test_add_returns_rows_of_present_tasks(ledger: Ledger) -> None:
    assert add(ledger, ['a', 'b', 'a']) == [0, 1, 0]
    assert add(ledger, ['b', 'c', 'a']) == [1, 2, 0]
    assert len(ledger.state) == 3 and [ledger.state.index[row] for row in range(3)] == [0, 1, 1]


def test_order_of_call(ledger: Ledger) -> None:
    add(ledger, range(10))
    assert claim(ledger, 'w', 3) == [(0, 1), (1, 1), (2, 1)]
    assert claim(ledger, 'v', 3) == [(3, 1)]
    assert [row for row, _ in claim(ledger, 'w', 3)] == [4, 5, 6]


def test_priorities(ledger: Ledger) -> None:
    add(ledger, ['low'], app='low', priority=-1)
    add(ledger, ['a', 'b'])
    add(ledger, ['high'], app='high', priority=3)
    assert [row for row, _ in claim(ledger, 'w', 3)] == [3, 1, 2]
    add(ledger, ['higher'], app='higher', priority=4)
    assert [row for row, _ in claim(ledger, 'w', 9)] == [4, 0]


def test_task_managers_apart(ledger: Ledger) -> None:
    add(ledger, ['a'], mid='m0')
    add(ledger, ['b'], mid='m1')
    assert claim(ledger, 'w', 9, ['m1']) == [(1, 1)]
    assert claim(ledger, 'w', 9, []) == []
    assert claim(ledger, 'w', 9, ['m0', 'm1', 'unknown']) == [(0, 1)]
    assert ledger.state.counts['m0'][RUNNING] == ledger.state.counts['m1'][RUNNING] == 1


# Ends


@pytest.mark.parametrize('state', [SUCCEEDED, FAILED, KILLED, UNKNOWN])
def test_attempt_ends(ledger: Ledger, state: int) -> None:
    add(ledger, ['a'])
    claimed = claim(ledger, 'w')
    finish(ledger, 'w', claimed, state)
    assert ledger.state.status[0] == state and ledger.state.result(0) is not None
    finish(ledger, 'w', claimed, SUCCEEDED)  # said twice
    assert ledger.state.status[0] == state and ledger.state.stale == 1
    assert ledger.cause(0).get('text') == (
        None if state == SUCCEEDED else f'{states(ledger.state)[0]} 0 1'
    )


def test_retries(ledger: Ledger) -> None:
    add(ledger, ['a'], retries=2)
    for number in (1, 2, 3):
        assert claim(ledger, 'w') == [(0, number)]
        fail(ledger, 'w', [(0, number)])
    assert states(ledger.state) == ['FAILED'] and claim(ledger, 'w') == []
    assert [(attempt.number, attempt.state) for attempt in ledger.attempts(0)] == [
        (1, FAILED),
        (2, FAILED),
        (3, FAILED),
    ]
    # A person's retry begins the count anew.
    ledger.retry(lambda state: [0])
    for number in (4, 5):
        assert claim(ledger, 'w') == [(0, number)]
        fail(ledger, 'w', [(0, number)])
    finish(ledger, 'w', claim(ledger, 'w'))
    assert states(ledger.state) == ['SUCCEEDED'] and ledger.state.attempt[0] == 6


@pytest.mark.parametrize(
    ('retry_on', 'state', 'kinds', 'again'),
    [
        ((), FAILED, ['ValueError'], True),
        ((), UNKNOWN, [], True),
        (('ValueError',), FAILED, ['ValueError', 'Exception'], True),
        (('Exception',), FAILED, ['ValueError', 'Exception'], True),
        (('ValueError',), FAILED, ['KeyError', 'Exception'], False),
        (('KILLED',), KILLED, ['signal'], True),
        (('UNKNOWN', 'KILLED'), UNKNOWN, [], True),
        (('KILLED',), FAILED, ['ValueError'], False),
        (('FAILED',), FAILED, ['ValueError'], True),
    ],
)
def test_failure_is_retried_by_kind(
    ledger: Ledger, retry_on: tuple[str, ...], state: int, kinds: list[str], again: bool
) -> None:
    add(ledger, ['a'], retries=1, retry_on=retry_on)
    finish(ledger, 'w', claim(ledger, 'w'), state, kinds=kinds)
    assert ledger.state.status[0] == (PENDING if again else state)
    finish(ledger, 'w', claim(ledger, 'w'), state, kinds=kinds)
    assert ledger.state.status[0] == state


def test_preemption_costs_no_retry(ledger: Ledger) -> None:
    """Preemption and walltime; without retries too."""
    add(ledger, ['a', 'b'], retries=0)
    for number in range(1, 6):
        claimed = claim(ledger, 'w', 2)
        assert claimed == [(0, number), (1, number)]
        finish(ledger, 'w', claimed, KILLED, free=True)
    fail(ledger, 'w', claim(ledger, 'w', 2))
    assert states(ledger.state) == ['FAILED', 'FAILED'] and not ledger.state.burned


def test_cancelled_task_is_not_retried(ledger: Ledger) -> None:
    add(ledger, ['a'], retries=5)
    finish(ledger, 'w', claim(ledger, 'w'), KILLED, kind='cancelled')
    assert states(ledger.state) == ['KILLED']


def test_attempts_are_fenced(ledger: Ledger) -> None:
    """A report counts if its attempt is the current one; else it is history."""
    add(ledger, ['a'], retries=3)
    first = claim(ledger, 'w')
    fail(ledger, 'w', first)
    second = claim(ledger, 'v')
    finish(ledger, 'w', first)
    assert (
        states(ledger.state) == ['RUNNING'] and ledger.state.running[0] is ledger.state.alive['v']
    )
    fail(ledger, 'w', [(0, 7)])  # of a number that was never given
    finish(ledger, 'v', second)
    fail(ledger, 'v', second)
    assert states(ledger.state) == ['SUCCEEDED'] and ledger.state.stale == 3
    assert [(attempt.number, attempt.worker, attempt.counts) for attempt in ledger.attempts(0)] == [
        (1, 'w', False),
        (1, 'w', False),
        (2, 'v', True),
        (2, 'v', False),
        (7, 'w', False),
    ]


def test_claims_are_fenced(ledger: Ledger) -> None:
    """A claim of what is no longer there to be claimed, or of another number than the next, is
    none.
    """
    add(ledger, ['a', 'b', 'c'])
    claim(ledger, 'w', 1)
    before = facts(ledger.state)['running']
    ledger.journal.write(lambda: [run_event('v', [0, 1, 2], [1, 2, 1], 0.0)])
    assert states(ledger.state) == ['RUNNING', 'PENDING', 'RUNNING']
    assert facts(ledger.state)['running'] == {**before, 2: ('v', 0.0)}


def test_exchange_gives_back_claims(ledger: Ledger) -> None:
    add(ledger, ['a', 'b', 'c'])
    claimed = claim(ledger, 'w', 2)
    ledger.exchange('w', back=claimed)
    assert states(ledger.state) == ['PENDING'] * 3
    # The number is used up: what was begun after all does not count.
    finish(ledger, 'w', claimed)
    assert states(ledger.state) == ['PENDING'] * 3
    again = [pair for _ in range(4) for pair in claim(ledger, 'v')]
    assert sorted(again) == [(0, 2), (1, 2), (2, 1)]
    ledger.exchange('w', back=claimed)  # late
    assert states(ledger.state) == ['RUNNING'] * 3
    assert not ledger.state.burned


def test_row_is_claimed_once_however_often_it_came_back(ledger: Ledger) -> None:
    add(ledger, ['a', 'b'])
    for _ in range(3):
        ledger.exchange('w', back=claim(ledger, 'w', 2))
        ledger.cancel(lambda state: [1])
        ledger.retry(lambda state: [1])
    claimed = claim(ledger, 'w', 10)
    assert sorted(row for row, _ in claimed) == [0, 1]
    assert claim(ledger, 'v', 10) == []


# Dependencies


def test_diamond(ledger: Ledger) -> None:
    add(
        ledger,
        ['top', 'left', 'right', 'bottom'],
        {'left': ['top'], 'right': ['top'], 'bottom': ['left', 'right']},
    )
    for expected in (
        ['PENDING', 'WAITING', 'WAITING', 'WAITING'],
        ['SUCCEEDED', 'PENDING', 'PENDING', 'WAITING'],
    ):
        assert states(ledger.state) == expected
        finish(ledger, 'w', claim(ledger, 'w'))
    assert states(ledger.state) == ['SUCCEEDED', 'SUCCEEDED', 'PENDING', 'WAITING']
    finish(ledger, 'w', claim(ledger, 'w'))
    assert states(ledger.state)[3] == 'PENDING'


def test_cause_of_a_block_through_many_levels(ledger: Ledger) -> None:
    n = 3000
    add(ledger, range(n), {i: [i - 1] for i in range(1, n)})
    add(ledger, ['free', 'both'], {'both': [n - 1, 'free']})
    fail(ledger, 'w', claim(ledger, 'w', 1))
    blocked = ledger.state.blocked()
    assert blocked == {**dict.fromkeys(range(1, n), 0), n + 1: 0}
    finish(ledger, 'w', claim(ledger, 'w', 1))  # the free one
    assert ledger.state.blocked() == blocked
    # The retry of the cause lets all of them wait again, and run.
    ledger.retry(lambda state: [0])
    assert ledger.state.blocked() == {}
    for _ in range(3):
        finish(ledger, 'w', claim(ledger, 'w', 1))
    assert states(ledger.state)[:5] == ['SUCCEEDED', 'SUCCEEDED', 'SUCCEEDED', 'PENDING', 'WAITING']


@pytest.mark.parametrize('how', ['failed', 'killed', 'unknown', 'cancelled'])
def test_unsuccessful_task_blocks_dependents(ledger: Ledger, how: str) -> None:
    add(ledger, ['a', 'b', 'c'], {'b': ['a'], 'c': ['b']})
    claimed = claim(ledger, 'w')
    if how == 'cancelled':
        ledger.cancel(lambda state: [0])
    else:
        finish(ledger, 'w', claimed, {'failed': FAILED, 'killed': KILLED, 'unknown': UNKNOWN}[how])
    assert ledger.blocked() == {1: 0, 2: 0}
    ledger.cancel(lambda state: [1])
    assert ledger.blocked() == {2: 1}
    ledger.retry(lambda state: [1])  # it waits for its requirement still
    assert states(ledger.state)[1:] == ['WAITING', 'WAITING'] and ledger.blocked() == {1: 0, 2: 0}
    ledger.retry(lambda state: [0])
    assert ledger.blocked() == {}
    for _ in range(3):
        finish(ledger, 'w', claim(ledger, 'w'))
    assert states(ledger.state) == ['SUCCEEDED'] * 3


def test_blocked_by_one_of_many(ledger: Ledger) -> None:
    add(ledger, [*range(10), 'sum'], {'sum': list(range(10))})
    claimed = claim(ledger, 'w', 10)
    finish(ledger, 'w', claimed[:9])
    assert ledger.blocked() == {}
    fail(ledger, 'w', claimed[9:])
    assert ledger.blocked() == {10: 9}


def test_fan_in_and_out_of_ten_thousand(ledger: Ledger) -> None:
    n = 10_000
    add(ledger, range(n))
    add(ledger, ['sum'], {'sum': list(range(n))}, app='sum')
    add(ledger, [('out', i) for i in range(n)], {('out', i): ['sum'] for i in range(n)}, app='out')
    while claimed := claim(ledger, 'w', CHUNK):
        ledger.exchange('w', [End(row, attempt, SUCCEEDED, 0.0, 1) for row, attempt in claimed])
    assert set(ledger.state.status) == {SUCCEEDED} and len(ledger.state) == 2 * n + 1


def test_result_that_is_taken_back(ledger: Ledger) -> None:
    """Of what needs it: what has not begun waits, what runs goes on, what has ended stays."""
    add(ledger, ['a', *'bcdef'], {name: ['a'] for name in 'bcdef'})
    finish(ledger, 'w', claim(ledger, 'w'))
    claimed = claim(ledger, 'w', 3)
    finish(ledger, 'w', claimed[:1])
    fail(ledger, 'w', claimed[1:2])
    ledger.retry(lambda state: [0])
    assert states(ledger.state) == [
        'PENDING',
        'SUCCEEDED',
        'FAILED',
        'RUNNING',
        'WAITING',
        'WAITING',
    ]
    finish(ledger, 'w', claimed[2:])
    ledger.retry(lambda state: [2])
    assert states(ledger.state) == [
        'PENDING',
        'SUCCEEDED',
        'WAITING',
        'SUCCEEDED',
        'WAITING',
        'WAITING',
    ]
    finish(ledger, 'w', claim(ledger, 'w'))
    assert states(ledger.state) == [
        'SUCCEEDED',
        'SUCCEEDED',
        'PENDING',
        'SUCCEEDED',
        'PENDING',
        'PENDING',
    ]
    assert sorted(claim(ledger, 'w', 9)) == [(2, 2), (4, 1), (5, 1)]


@pytest.mark.parametrize('how', ['retried', 'given back', 'free'])
def test_task_waits_for_retried_dependency(ledger: Ledger, how: str) -> None:
    add(ledger, ['a', 'b'], {'b': ['a']}, retries=1)
    finish(ledger, 'w', claim(ledger, 'w'))
    claimed = claim(ledger, 'w')
    ledger.retry(lambda state: [0])
    if how == 'given back':
        ledger.exchange('w', back=claimed)
    else:
        finish(ledger, 'w', claimed, KILLED, free=how == 'free')
    assert states(ledger.state) == ['PENDING', 'WAITING']
    assert claim(ledger, 'v', 9) == [(0, 2)]
    finish(ledger, 'v', [(0, 2)])
    assert claim(ledger, 'v', 9) == [(1, 2)]


# People's decisions


def test_pause(ledger: Ledger) -> None:
    add(ledger, ['a', 'b'])
    claimed = claim(ledger, 'w')
    ledger.pause(True)
    assert claim(ledger, 'w') == [] and ledger.state.paused
    finish(ledger, 'w', claimed)
    ledger.pause(True)
    ledger.pause(False)
    assert claim(ledger, 'w') == [(1, 1)]
    assert [event['e'] for event in events_of(ledger)].count(
        'state'
    ) == 2  # what is so already is not said again


def test_cancel_and_retry(ledger: Ledger) -> None:
    add(ledger, ['a', 'b', 'c', 'd'], {'c': ['b']})
    claimed = claim(ledger, 'w')
    finish(ledger, 'w', claim(ledger, 'w'))
    assert ledger.cancel(lambda state: range(4)) == [0, 2, 3]
    assert (
        states(ledger.state) == ['KILLED', 'SUCCEEDED', 'KILLED', 'KILLED']
        and not ledger.state.running
    )
    assert ledger.cause(0) == {'kind': 'cancelled', 'text': 'cancelled'} and ledger.cause(1) == {}
    finish(ledger, 'w', claimed)
    assert states(ledger.state)[0] == 'KILLED'
    assert ledger.retry(lambda state: range(4)) == [0, 1, 2, 3]
    assert states(ledger.state) == ['PENDING', 'PENDING', 'WAITING', 'PENDING']
    assert ledger.retry(lambda state: range(4)) == []
    assert sorted(claim(ledger, 'w', 9)) == [(0, 2), (1, 2), (3, 1)]


def test_cancel_keeps_the_result_of_a_task_that_runs_again(ledger: Ledger) -> None:
    add(ledger, ['a', 'b', 'c', 'd'], {'d': ['a']})
    finish(ledger, 'w', claim(ledger, 'w', 3))
    before = [(ledger.state.result(row), ledger.last_attempt(row)) for row in range(3)]
    ledger.retry(lambda state: [0, 1, 2])
    assert states(ledger.state) == ['PENDING', 'PENDING', 'PENDING', 'WAITING']
    late = claim(ledger, 'w')
    fail(ledger, 'w', claim(ledger, 'w'))
    assert ledger.cancel(lambda state: range(3)) == [0, 2]
    assert (
        states(ledger.state) == ['SUCCEEDED', 'FAILED', 'SUCCEEDED', 'PENDING']
        and not ledger.state.running
    )
    finish(ledger, 'w', late)  # what it computes afterwards is history
    kept = [(ledger.state.result(row), ledger.last_attempt(row)) for row in range(3)]
    assert (kept[0], kept[2]) == (before[0], before[2]) and ledger.cause(0) == {}
    # What ends otherwise has no result to go back to.
    ledger.retry(lambda state: [0])
    fail(ledger, 'w', claim(ledger, 'w', 9))
    ledger.retry(lambda state: [0])
    ledger.cancel(lambda state: [0])
    assert states(ledger.state)[0] == 'KILLED'


def test_states_set_by_hand(ledger: Ledger) -> None:
    add(ledger, ['a', 'b', 'c'], {'b': ['a'], 'c': ['b']})
    claimed = claim(ledger, 'w')
    ledger.change(lambda state: [0], SUCCEEDED)
    assert states(ledger.state) == ['SUCCEEDED', 'PENDING', 'WAITING']
    fail(ledger, 'w', claimed)
    assert states(ledger.state)[0] == 'SUCCEEDED'
    ledger.change(lambda state: [0], FAILED)
    assert states(ledger.state) == ['FAILED', 'WAITING', 'WAITING'] and ledger.blocked() == {
        1: 0,
        2: 0,
    }
    ledger.change(lambda state: [1], SUCCEEDED)
    assert states(ledger.state) == ['FAILED', 'SUCCEEDED', 'PENDING']
    assert ledger.change(lambda state: [1], SUCCEEDED) == []


def test_drop(ledger: Ledger) -> None:
    add(ledger, ['a', 'b', 'c', 'd'], {'c': ['b']})
    claimed = claim(ledger, 'w')
    ledger.drop(lambda state: [0, 3])
    assert states(ledger.state) == ['DROPPED', 'PENDING', 'WAITING', 'DROPPED']
    assert (
        len(ledger.state) == 2 and list(ledger.state.each()) == [1, 2] and not ledger.state.running
    )
    finish(ledger, 'w', claimed)
    assert claim(ledger, 'w', 9) == [(1, 1)]
    # The same task again is another row, so that a report for the old one is not taken for it.
    assert add(ledger, ['a']) == [4]
    assert claim(ledger, 'w', 9) == [(4, 1)]
    finish(ledger, 'w', claimed)
    assert states(ledger.state)[4] == 'RUNNING'
    assert ledger.retry(lambda state: [0]) == [] and ledger.cancel(lambda state: [0]) == []


def test_dropped_task_blocks_dependents(ledger: Ledger) -> None:
    add(ledger, ['a', 'b', 'c'], {'b': ['a'], 'c': ['a']})
    finish(ledger, 'w', claim(ledger, 'w'))
    finish(ledger, 'w', claim(ledger, 'w', 1))
    ledger.drop(lambda state: [0])
    assert states(ledger.state) == ['DROPPED', 'SUCCEEDED', 'WAITING']
    assert ledger.blocked() == {2: 0}


def test_accept(ledger: Ledger) -> None:
    add(ledger, ['old', 'new', 'after'], {'after': ['new']})
    finish(ledger, 'w', claim(ledger, 'w', 1))
    claim(ledger, 'w', 1)
    ledger.accept(0, 1)
    assert (
        states(ledger.state) == ['SUCCEEDED', 'SUCCEEDED', 'PENDING'] and not ledger.state.running
    )
    assert ledger.state.result(1) == ledger.state.result(0) is not None
    assert ledger.cause(1) == {} and ledger.attempts(1) == []


# Processes


def test_workers(ledger: Ledger) -> None:
    begin(ledger, 'x', 3, mid='m1', host='far', job='4711')
    worker = ledger.state.alive['x']
    assert (worker.mid, worker.host, worker.slots, worker.job, worker.ended, worker.stop) == (
        'm1',
        'far',
        3,
        '4711',
        None,
        None,
    )
    assert ledger.stop(lambda state: ['x', 'nobody'], 'now', False) == ['x']
    add(ledger, ['a'], mid='m1')
    assert worker.stop == 'now' and claim(ledger, 'x', 1, ['m1']) == []
    ledger.end_worker('x', 'told to')
    ledger.end_worker('x', 'again')
    assert 'x' not in ledger.state.alive and ledger.state.workers['x'].ended == 'told to'
    assert ledger.stop(lambda state: ['x'], 'now', True) == []


def test_manager(ledger: Ledger) -> None:
    def say(**event: Any) -> None:
        ledger.journal.write(lambda: [{'e': 'manager', 't': 1.0, **event}])

    say(do='begin', w='m1', host='here', pid=1)
    say(do='say', w='m0', text='not the manager')
    say(do='say', w='m1', text='waits for Slurm')
    assert ledger.state.manager is not None and ledger.state.manager['says'] == 'waits for Slurm'
    ledger.stop(lambda state: [], 'politely', True)
    assert ledger.state.manager['stop'] == 'politely'
    say(do='begin', w='m2', host='here', pid=2)
    say(do='end', w='m1')  # of the one before
    assert ledger.state.manager is not None and 'stop' not in ledger.state.manager
    say(do='end', w='m2')
    assert ledger.state.manager is None


def test_shares(ledger: Ledger) -> None:
    """Nobody gets more than its part, by slots, of what is there, and one at least."""
    for name in 'wv':
        ledger.end_worker(name)
    begin(ledger, 'small', 1)
    begin(ledger, 'large', 3)
    begin(ledger, 'other', 100, mid='m1')
    add(ledger, range(40))
    assert len(claim(ledger, 'small', 100)) == 10
    assert len(claim(ledger, 'large', 5)) == 5
    assert len(claim(ledger, 'large', 100)) == 19
    assert [len(claim(ledger, 'small', 100)) for _ in range(7)] == [2, 1, 1, 1, 1, 0, 0]
    assert claim(ledger, 'nobody', 1) == []


# Lines that are lost


def events_of(ledger: Ledger) -> list[Event]:
    """The events of the journal."""
    journal_events = [decode(line, offset) for offset, line in journal_lines(ledger.journal)]
    return [event for event in journal_events if event is not None]


def fold(events: Sequence[Event]) -> State:
    """What a fold of these events knows."""
    state = State()
    for event in events:
        if event['e'] == 'queue':
            state.reset(event)
        else:
            state.apply(event, event['at'])
    return state


def without(ledger: Ledger, kind: str, number: int = 0) -> State:
    """What is known without one line."""
    events = events_of(ledger)
    lost = [event for event in events if event['e'] == kind][number]
    state = fold([event for event in events if event is not lost])
    consistent(state)
    return state


@pytest.fixture
def run(tmp_path: Path) -> Ledger:
    """Three batches of which the second needs the first; all ended, or, of the third, begun."""
    ledger = Ledger(make_folder(tmp_path), None)
    begin(ledger, 'w', 100)
    add(ledger, ['a', 'b'])
    add(ledger, ['c', 'd'], {'c': ['a']})
    add(ledger, ['e', 'f'], app='other')
    finish(ledger, 'w', claim(ledger, 'w', 4))
    finish(ledger, 'w', claim(ledger, 'w', 2)[1:])
    assert states(ledger.state) == ['SUCCEEDED'] * 5 + ['RUNNING']
    return ledger


@pytest.mark.parametrize(
    ('kind', 'number', 'expected'),
    [
        ('add', 0, 'D D W S S R'),
        ('add', 1, 'S S D D S R'),
        ('add', 2, 'S S S S D D'),
        ('group', 0, 'D D D D S R'),
        ('group', 1, 'S S S S D D'),
        ('run', 0, 'P P W P P R'),
        ('run', 1, 'S S P S S P'),
        ('end', 0, 'R R W R R R'),
        ('end', 1, 'S S R S S R'),
    ],
)
def test_lost_line_leaves_a_hole(run: Ledger, kind: str, number: int, expected: str) -> None:
    """What it said is not known; everything else is, and no later line is taken for something
    else.
    """
    names = {'D': 'DROPPED', 'W': 'WAITING', 'P': 'PENDING', 'R': 'RUNNING', 'S': 'SUCCEEDED'}
    assert states(without(run, kind, number)) == [names[word] for word in expected.split()]


def test_state_survives_the_loss_of_two_lines(tmp_path: Path) -> None:
    events = events_of(record(make_folder(tmp_path)))
    for i in range(1, len(events)):
        for j in range(i, len(events)):
            consistent(fold([event for k, event in enumerate(events) if k not in (i, j)]))


def test_numbers_of_lost_rows_are_not_given_again(run: Ledger) -> None:
    """Lest the report of a worker that still runs the lost one is taken for that of another
    task.
    """
    ledger = run
    path = Path(ledger.journal.path)
    data = bytearray(path.read_bytes())
    last = [event for event in events_of(ledger) if event['e'] == 'add'][-1]
    data[last['at'] + 3] ^= 1
    path.write_bytes(data)
    other = fresh(ledger)
    assert states(other.state)[4:] == ['DROPPED', 'DROPPED']
    begin(other, 'v')
    row = add(other, ['new'])[0]
    assert row == 6
    assert claim(other, 'v') == [(6, 1)]
    finish(other, 'w', [(5, 1)])
    assert states(other.state)[4:] == ['DROPPED', 'DROPPED', 'RUNNING']
    # What was lost can be added again.
    assert add(other, ['e', 'f'], app='other') == [7, 8]


def test_kinds_of_later_versions_are_passed_over(ledger: Ledger) -> None:
    add(ledger, ['a'])
    before = facts(ledger.state)
    ledger.journal.write(lambda: [{'e': 'of a later version', 'rows': [0], 'x': 1}])
    assert facts(ledger.state) == before


# The fold


@given(data=st.data())
def test_prefix_and_the_rest_are_the_whole(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Whoever reads in pieces knows the same as who reads at once; asking questions in between
    changes nothing.
    """
    events = recorded_events(tmp_path_factory)
    whole = facts(fold(events))
    cuts = data.draw(st.sets(st.integers(0, len(events)), max_size=4))
    state = State()
    for i, event in enumerate(events):
        if i in cuts:
            state.next_pending([MID], 3)
            state.blocked()
        if event['e'] == 'queue':
            state.reset(event)
        else:
            state.apply(copy.deepcopy(event), event['at'])
    assert facts(state) == whole


_recorded: list[Event] = []


def recorded_events(factory: pytest.TempPathFactory) -> list[Event]:
    """The events of one recorded run."""
    if not _recorded:
        _recorded.extend(events_of(record(make_folder(factory.mktemp('recorded')))))
    return _recorded


def test_reset_forgets_everything(run: Ledger) -> None:
    empty = State()
    run.state.reset({})
    assert facts(run.state) == facts(empty)


def many(n: int) -> Iterator[Event]:
    """A journal's events, of ``n`` tasks that one worker ran."""
    yield {'e': 'mgr', 'mid': MID, **MANAGERS[MID]}
    yield group_event(0, group())
    yield {
        'e': 'worker',
        'do': 'begin',
        'w': 'w',
        'mid': None,
        'host': 'h',
        'pid': 1,
        'slots': 8,
        'job': 'j',
        't': 0.0,
    }
    for first in range(0, n, 1000):
        ids = b''.join(row.to_bytes(ID, 'big') for row in range(first, first + 1000))
        yield {
            'e': 'add',
            'first': first,
            'g': 0,
            'i': first,
            'ids': ids.hex(),
            'seg': 's',
            'off': 40 * first,
            'len': [40] * 1000,
            't': 0.0,
        }
    for first in range(0, n, 500):
        rows = list(range(first, first + 500))
        yield run_event('w', rows, [1] * 500, 0.0)
        yield end_event(
            'w', [End(row, 1, SUCCEEDED, 0.0, 10, Ref('r', 20 * row, 20)) for row in rows], 0.0
        )


def test_memory_of_a_follower() -> None:
    n = 100_000
    events = list(many(n))
    tracemalloc.start()
    try:
        state = State()
        for offset in range(len(events)):
            state.apply(events[offset], offset)
            events[offset] = {}
        each = tracemalloc.get_traced_memory()[0] / n
    finally:
        tracemalloc.stop()
    assert state.total(SUCCEEDED) == n
    assert each < 500


# Columns


@given(st.randoms(use_true_random=False))
def test_fold_in_columns_is_the_fold_row_by_row(
    tmp_path_factory: pytest.TempPathFactory, random: Any
) -> None:
    folder = make_folder(tmp_path_factory.mktemp('columns'), version=random.choice((1, 2)))
    ledger = Ledger(folder, None)
    begin(ledger, 'w', 1_000_000)
    begin(ledger, 'v', 1_000_000)
    held: dict[str, list[tuple[int, int]]] = {'w': [], 'v': []}
    for step in range(random.randrange(4, 16)):
        worker = random.choice('wv')
        do = random.choice(
            (
                'add',
                'add',
                'claim',
                'claim',
                'finish',
                'finish',
                'succeed',
                'succeed',
                'succeed',
                'fail',
                'cancel',
                'retry',
                'drop',
            )
        )
        if do == 'add':
            names = range(100 * step, 100 * step + random.randrange(1, 40))
            needs = {names[-1]: [names[0]]} if len(names) > 1 and random.random() < 0.3 else None
            add(ledger, names, needs, app=random.choice(('one', 'two')))
        elif do == 'claim':
            held[worker] += claim(ledger, worker, random.randrange(1, 60))
        elif do in ('finish', 'fail', 'succeed') and held[worker]:
            count = random.randrange(1, len(held[worker]) + 1)
            some, held[worker] = held[worker][:count], held[worker][count:]
            {'finish': finish, 'fail': fail, 'succeed': succeed}[do](ledger, worker, some)
        elif len(ledger.state.status):
            rows = random.sample(range(len(ledger.state.status)), min(3, len(ledger.state.status)))
            {'cancel': ledger.cancel, 'retry': ledger.retry, 'drop': ledger.drop}.get(
                do, ledger.cancel
            )(lambda state, rows=rows: rows)
    consistent(ledger.state)
    kinds = {line[:11] for _, line in journal_lines(ledger.journal)}
    if ledger.journal.header['version'] == 1:
        assert not kinds & {b'{"e":"runs",', b'{"e":"ends",'}
    by_columns = facts(fresh(ledger).state)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(State, '_are_alike', lambda self, ranges, status: False)
        assert facts(fresh(ledger).state) == by_columns == facts(ledger.state)
    ledger.close()


def test_fold_in_columns_refuses_columns_that_do_not_fit(ledger: Ledger) -> None:
    # They would make the state's own columns shorter.
    add(ledger, range(50))
    claimed = claim(ledger, 'w', 50)
    sizes = len(ledger.state.result_offset), len(ledger.state.attempt)
    event = end_event(
        'w', [End(row, n, SUCCEEDED, 0.0, 1, result=Ref('w', 0, 4)) for row, n in claimed], 0.0
    )
    for column in ('ref', 'n', 'd'):
        other = Ledger(ledger.folder, None)
        with pytest.raises(IndexError):
            other.state.apply({**event, column: event[column][:-1]}, 10**6)
        assert (len(other.state.result_offset), len(other.state.attempt)) == sizes
        other.close()
