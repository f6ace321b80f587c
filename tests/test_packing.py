"""Packed events say what those with lists say."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import orjson
import pytest
from engine import add, begin, claim, fresh, make_folder, tid
from hypothesis import given
from hypothesis import strategies as st

from desipipe.queue.ends import Successes
from desipipe.queue.events import EventKind
from desipipe.queue.ledger import Ledger
from desipipe.queue.packing import pack, packed_ranges, plain_event, ranges_of, unpack
from desipipe.queue.state import State
from desipipe.queue.transactions.attempts import claim as claim_event
from desipipe.queue.transactions.attempts import successes_events
from desipipe.store.lines import RefusedEvent

RANGES = st.lists(st.tuples(st.integers(1, 40), st.integers(1, 60)), min_size=1, max_size=4).map(
    lambda steps: [
        (start + gap, start + gap + n)
        for start, (gap, n) in zip(
            accumulate((gap + n for gap, n in steps), initial=0), steps, strict=False
        )
    ]
)
NUMBERS = st.one_of(st.just(7), st.integers(0, 1 << 31))


def state_of(version: int) -> State:
    state = State()
    state.reset({'version': version, 'gen': 'g'})
    return state


@given(RANGES, st.data())
def test_packed_successes_say_what_lists_say(ranges: list[Any], data: st.DataObject) -> None:
    rows = [row for first, last in ranges for row in range(first, last)]

    def column() -> list[int]:
        if data.draw(st.booleans()):
            return [data.draw(NUMBERS)] * len(rows)
        return data.draw(st.lists(NUMBERS, min_size=len(rows), max_size=len(rows)))

    lengths = [each % 7 for each in column()]  # also none
    batch = Successes(rows, [3] * len(rows), column(), column(), column(), lengths, b'')
    batch.data = bytes(sum(lengths))
    batch.place = ('s', 1 << 33)
    (plain,) = successes_events(state_of(1), 'w', [batch], 5.0)
    (packed,) = successes_events(state_of(2), 'w', [batch], 5.0)
    read = orjson.loads(orjson.dumps(packed))
    assert plain['e'] == EventKind.END and plain_event(read) == plain
    if packed['e'] == EventKind.ENDS:
        assert len(orjson.dumps(packed)) < len(orjson.dumps(plain))
    else:
        assert len(rows) < 8 or packed_ranges(rows, batch.attempts) is None


@given(RANGES)
def test_packed_claims_say_what_lists_say(ranges: list[Any]) -> None:
    rows = [row for first, last in ranges for row in range(first, last)]
    plain = claim_event(state_of(1), 'w', [(row, 1) for row in rows], 5.0)
    assert plain_event(claim_event(state_of(2), 'w', [(row, 1) for row in rows], 5.0)) == plain


def test_ranges_of_scattered_rows_are_none() -> None:
    assert ranges_of(list(range(0, 100, 2))) is None
    assert packed_ranges(list(range(0, 100, 2)), [1] * 50) is None
    assert packed_ranges(list(range(20)), [1] * 19 + [2]) is None
    assert packed_ranges([5, 6, 7, 8, 20, 21, 22, 23, 24], [2] * 9) == [5, 4, 20, 5]


@pytest.mark.parametrize('numbers', [[1, 1 << 32], [-1, 0]])
def test_pack_leaves_what_32_bits_can_not_hold(numbers: list[int]) -> None:
    assert pack(numbers) is None
    assert pack([numbers[0], numbers[0]]) == numbers[0]


@pytest.mark.parametrize('column', ['A', 'AAA', 'é', None, 'AAAA', 'AAAAAA==', -1, 1 << 60])
def test_unpack_refuses_what_does_not_fit(column: Any) -> None:
    with pytest.raises(RefusedEvent):
        unpack(column, 2)


def test_successes_apart_or_late_have_lists() -> None:
    batches = [Successes([*range(8)], [1] * 8, [1] * 8, [1] * 8, [0] * 8, [1] * 8, b'8 bytes.')]
    batches.append(Successes([*range(8, 16)], *(each[:] for each in ([1] * 8,) * 5), b'8 bytes.'))
    batches[0].place, batches[1].place = ('s', 0), ('s', 8)
    (event,) = successes_events(state_of(2), 'w', batches, 5.0)
    assert (event['e'], event['ranges'], event['len']) == (EventKind.ENDS, [0, 16], 1)
    batches[1].place = ('s', 9)
    (event,) = successes_events(state_of(2), 'w', batches, 5.0)
    assert event['e'] == EventKind.END
    batches[1].place, batches[1].began = ('s', 8), [1 + (i << 33) for i in range(8)]
    (event,) = successes_events(state_of(2), 'w', batches, 5.0)
    assert event['e'] == EventKind.END


def test_rows_are_indexed_when_someone_asks(tmp_path: Any) -> None:
    ledger = Ledger(make_folder(tmp_path), None)
    begin(ledger, 'w', 100)
    add(ledger, range(60))
    claimed = claim(ledger, 'w', 50)
    other = fresh(ledger)
    assert (other.state._n_indexed, len(other.state)) == (0, 60)
    other.exchange('w', back=claimed[10:])
    assert (other.state._n_indexed, len(other.state.running)) == (0, 10)
    other.drop(lambda state: [59])
    assert len(other.state) == 59 and tid(59) not in other.state.rows
    assert other.state.rows == {tid(i): i for i in range(59)}
    add(ledger, [59])
    other.follow()
    assert other.state.rows[tid(59)] == 60 and len(other.state) == 60


@pytest.mark.parametrize('fault', [KeyboardInterrupt, 'handler'])
def test_rows_are_indexed_anew_after_an_interrupt(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, fault: Any
) -> None:
    ledger = Ledger(make_folder(tmp_path), None)
    add(ledger, range(40))
    ledger.drop(lambda state: [3])
    add(ledger, range(40, 60))
    state = fresh(ledger).state
    expected = {tid(i): i for i in range(60) if i != 3}
    index_rows, seen = State._index_rows, []

    def interrupted(self: State, first: int, last: int) -> None:
        index_rows(self, first, (first + last) // 2)
        if fault is KeyboardInterrupt:
            raise fault
        monkeypatch.undo()
        seen.append(dict(self.rows))  # as a signal's handler would ask
        index_rows(self, first, last)

    monkeypatch.setattr(State, '_index_rows', interrupted)
    if fault is KeyboardInterrupt:
        with pytest.raises(fault):
            _ = state.rows
        monkeypatch.undo()
    assert state.rows == expected and seen in ([], [expected])
