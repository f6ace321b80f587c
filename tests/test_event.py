"""The vocabulary: what goes into an event comes out of it, through JSON."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import orjson
import pytest
from hypothesis import given

from desipipe.queue import events
from desipipe.queue.ends import End, detail_of, end_at
from desipipe.queue.events import (
    ENDED,
    FAILED,
    KILLED,
    RUNNING,
    STATES,
    SUCCEEDED,
    UNKNOWN,
    UNSUCCESSFUL,
    Group,
    Ref,
    state_code,
)
from desipipe.queue.task_columns import event_group
from desipipe.queue.transactions.attempts import end_event, run_event
from desipipe.queue.transactions.tasks import group_event

REFS = st.none() | st.builds(
    Ref, st.sampled_from(['a-1', 'b-2', 'c.3']), st.integers(0, 2**50), st.integers(0, 2**40)
)
CAUSES = st.none() | st.fixed_dictionaries(
    {'kind': st.text(max_size=5), 'text': st.text(max_size=9)},
    optional={'free': st.just(True), 'errno': st.integers(-9, 9)},
)
ENDS = st.lists(
    st.builds(
        End,
        st.integers(0, 2**31),
        st.integers(1, 2**31),
        st.sampled_from(ENDED),
        st.integers(0, 2**32).map(float),
        st.integers(0, 2**45),
        REFS,
        REFS,
        REFS,
        CAUSES,
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda end: end.row,
)


def plain(end: End) -> list[Any]:
    """What an end says; an empty cause is none."""
    values = {key: getattr(end, key) for key in End.__slots__}
    return [values[key] or None if key == 'cause' else values[key] for key in sorted(values)]


@given(ENDS)
def test_end_comes_back(ends: list[End]) -> None:
    event = orjson.loads(orjson.dumps(end_event('w', ends, 7.5), default=list))
    for i, end in enumerate(ends):
        assert plain(end_at(event, i)) == plain(end)
        detail = detail_of(event, end.row)
        assert detail is not None
        assert (plain(detail[0]), detail[1], detail[2]) == (plain(end), 'w', 7.5)
    assert detail_of(event, max(end.row for end in ends) + 1) is None


def test_times_are_exact_to_a_microsecond() -> None:
    ends = [End(row, 1, SUCCEEDED, 1.7e9 + row * 0.123457, 5) for row in range(50)]
    event = end_event('w', ends, 0.0)
    assert all(abs(end_at(event, i).began - end.began) < 2e-6 for i, end in enumerate(ends))


def test_batch_of_small_tasks_is_small() -> None:
    """What costs with 100,000 tasks: a line holds some twenty bytes a task where nothing was
    said.
    """
    ends = [
        End(row, 1, SUCCEEDED, 1.7e9 + row * 1e-4, 12, Ref('host-123-abcdef', row * 20, 20))
        for row in range(1000)
    ]
    assert len(orjson.dumps(end_event('w', ends, 1.7e9))) < 32 * 1000
    assert 's' in end_event('w', ends, 1.7e9) and end_event('w', ends, 1.7e9)['s'] == SUCCEEDED


@given(
    st.builds(
        Group,
        app=st.text('0123456789abcdef', min_size=1, max_size=8),
        mid=st.text(max_size=4),
        name=st.text(max_size=6),
        kind=st.sampled_from(['python', 'bash']),
        timeout=st.none() | st.floats(0.1, 1e6),
        retries=st.integers(0, 9),
        retry_on=st.lists(st.sampled_from(['ValueError', 'KILLED']), max_size=2).map(tuple),
        priority=st.integers(-5, 5),
        cwd=st.text(max_size=5),
        path=st.lists(st.text(max_size=3), max_size=2).map(tuple),
        save_attrs=st.lists(st.text(max_size=3), max_size=2).map(tuple),
        save_dir=st.text(max_size=3),
    ),
    st.integers(0, 100),
)
def test_group_comes_back(group: Group, number: int) -> None:
    event = orjson.loads(orjson.dumps(group_event(number, group)))
    assert (event['e'], event['g']) == ('group', number)
    assert event_group({**event, 'of a later version': 1}) == group
    assert hash(event_group(event)) == hash(group)


def test_plain_group_says_little() -> None:
    assert set(group_event(0, Group('a', 'm', 'n', 'python'))) == {
        'e',
        'g',
        'app',
        'mid',
        'name',
        'kind',
    }


def test_claims() -> None:
    assert run_event('w', [1, 2], [1, 3], 2.0) == {
        'e': 'run',
        'w': 'w',
        'rows': [1, 2],
        'n': [1, 3],
        't': 2.0,
    }


def test_state_names() -> None:
    assert [state_code(name) for name in STATES] == list(range(len(STATES)))
    assert state_code('succeeded') == SUCCEEDED
    with pytest.raises(
        ValueError, match='FAILED, KILLED, PENDING, RUNNING, SUCCEEDED, UNKNOWN, WAITING'
    ):
        state_code('DONE')
    with pytest.raises(ValueError):
        state_code('DROPPED')
    assert set(ENDED) == {SUCCEEDED, *UNSUCCESSFUL} and {FAILED, KILLED, UNKNOWN} == set(
        UNSUCCESSFUL
    )
    assert STATES[RUNNING] == 'RUNNING' and events.DROPPED == len(STATES)
