"""Pages of tasks: the same as looking at each, and nothing is read but what is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import engine
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from desipipe.queue.events import DROPPED, STATES
from desipipe.queue.ledger import Ledger
from desipipe.view.task_summary import task_name
from desipipe.view.tasks import task_page


@pytest.fixture(scope='module')
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    """A queue with something of everything."""
    ledger = engine.record(engine.make_folder(tmp_path_factory.mktemp('listing')))
    engine.add(ledger, [('many', i) for i in range(130)], app='fractions')
    engine.add(ledger, ['blocked'], {'blocked': [('many', 5)]}, app='after')
    engine.add(ledger, ['deep'], {'deep': ['blocked']}, app='after')
    ledger.cancel(lambda state: [state.rows[engine.tid(('many', 5))]])
    ledger.drop(lambda state: [state.rows[engine.tid(('many', 7))]])
    return ledger


def plain(ledger: Ledger, states: list[str], names: list[str], text: str) -> list[int]:
    """The rows that fit, one by one."""
    state = ledger.state
    blocked = ledger.blocked()
    collected = []
    for row in range(len(state.status)):
        if state.status[row] == DROPPED:
            continue
        name = task_name(ledger, row)
        if (
            states
            and STATES[state.status[row]] not in states
            and not ('BLOCKED' in states and row in blocked)
        ):
            continue
        if names and name not in names:
            continue
        low = text.strip().lower()
        if (
            low
            and low not in f'{name}[{state.index[row]}]'
            and not (len(low) >= 4 and state.ids[row].hex().startswith(low))
        ):
            continue
        collected.append(row)
    return collected


WORDS = [
    '',
    'fraction',
    'FRAC',
    'fractions[1',
    'fraction[',
    's[12',
    'fractions[12]',
    '12]',
    '1',
    '00',
    '[3',
    '[3]',
    ']',
    '][',
    '1][2',
    '[',
    ' x ',
]
TEXTS = st.one_of(st.sampled_from(WORDS), st.text('fra[]0123 ', max_size=6))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    states=st.lists(st.sampled_from([*STATES, 'BLOCKED']), max_size=3),
    names=st.lists(st.sampled_from(['fraction', 'fractions', 'after', 'none']), max_size=2),
    text=TEXTS,
    offset=st.integers(0, 150),
    limit=st.integers(1, 200),
)
def test_like_looking_at_each(
    ledger: Ledger, states: list[str], names: list[str], text: str, offset: int, limit: int
) -> None:
    page = task_page(ledger, states, names, text, None, offset, limit)
    rows = plain(ledger, states, names, text)
    assert page['total'] == len(rows)
    assert [task['row'] for task in page['tasks']] == rows[offset : offset + limit]
    assert [task['tid'] for task in page['tasks']] == [
        ledger.state.ids[row].hex() for row in rows[offset : offset + limit]
    ]


@given(data=st.data())
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_beginnings_of_identities(ledger: Ledger, data: st.DataObject) -> None:
    row = data.draw(st.sampled_from(list(ledger.state.each())))
    text = ledger.state.ids[row].hex()[: data.draw(st.integers(4, 32))]
    assert [task['row'] for task in task_page(ledger, text=text)['tasks']] == plain(
        ledger, [], [], text
    )
    assert row in plain(ledger, [], [], text)
    assert task_page(ledger, text=ledger.state.ids[row].hex() + '0')['total'] == 0


def test_rows(ledger: Ledger) -> None:
    assert [task['row'] for task in task_page(ledger, rows=[3, 1, 10**9])['tasks']] == [3, 1]
    assert task_page(ledger, rows=[])['total'] == 0


def test_state_named_twice(ledger: Ledger) -> None:
    assert (
        task_page(ledger, ['PENDING', 'PENDING'])['total']
        == task_page(ledger, ['PENDING'])['total']
        > 0
    )
    assert task_page(ledger, ['BLOCKED', 'blocked'])['total'] == len(ledger.blocked()) == 2


def test_unknown_state(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match='There is no task state'):
        task_page(ledger, ['RUNING'])


def test_listing_reads_what_it_shows(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Any] = []
    from desipipe.view import journal_events

    real = journal_events.decoded_event
    monkeypatch.setattr(
        journal_events, 'decoded_event', lambda line, at: read.append(at) or real(line, at)
    )
    page = task_page(ledger, limit=3)
    assert len(page['tasks']) == 3 and len(read) <= 3


def test_damaged_line_hides_its_tasks_only(tmp_path: Path) -> None:
    ledger = Ledger(engine.make_folder(tmp_path), None)
    for i in range(3):
        engine.add(ledger, [i])
    with open(ledger.journal.path, 'r+b') as file:
        file.seek(ledger.state.added_at[1] + 5)
        file.write(b'X')
    again = engine.fresh(ledger)
    assert [task['row'] for task in task_page(again)['tasks']] == [0, 2]
    text = again.state.ids[2].hex()[:6]
    assert [task['row'] for task in task_page(again, text=text)['tasks']] == [2]
