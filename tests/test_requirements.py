"""Tasks whose requirements were deleted, or whose lines in the journal were lost, and that are
added again.
"""

from __future__ import annotations

import os
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

from desipipe.queue.compact import compact
from desipipe.queue.events import FAILED, STATES
from desipipe.queue.explain import explain
from desipipe.queue.future import Future
from desipipe.queue.ledger import Ledger
from desipipe.queue.repair import repair
from desipipe.queue.task import Task


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """A queue with a worker."""
    ledger = Ledger(make_folder(tmp_path), None)
    begin(ledger, 'w', 4)
    return ledger


def states(ledger: Ledger) -> dict[str, str]:
    """States by what the tasks were named."""
    names = {tid(name): name for name in 'fghk'}
    return {
        names[ledger.state.ids[row]]: STATES[ledger.state.status[row]]
        for row in ledger.state.each()
    }


def sound(ledger: Ledger) -> None:
    """Compare with another view."""
    consistent(ledger.state)
    assert differences(knowledge(ledger), knowledge(fresh(ledger))) == []


@pytest.mark.parametrize('again', [['f'], ['f', 'g'], ['k', 'f', 'h']])
@pytest.mark.parametrize('compacted', [False, True])
def test_deleted_requirement_that_is_added_again_is_linked(
    ledger: Ledger, again: list[str], compacted: bool
) -> None:
    add(ledger, 'fgh', {'g': ['f'], 'h': ['g', 'f']})
    finish(ledger, 'w', claim(ledger, 'w', 1))
    finish(ledger, 'w', claim(ledger, 'w', 1), FAILED)
    ledger.drop(lambda state: [0])
    ledger.retry(lambda state: [1])
    assert states(ledger) == {'g': 'WAITING', 'h': 'WAITING'}
    shown_text = explain(ledger, Task.stored(ledger, 1))
    assert 'which was deleted' in shown_text and 'call its app' in shown_text
    assert isinstance(Future(ledger, tid('g')).exception(timeout=60), Exception)
    if compacted:
        compact(ledger)
    add(ledger, again, {'g': ['f'], 'h': ['g', 'f']})
    assert states(ledger)['f'] == 'PENDING' and states(ledger)['g'] == 'WAITING'
    assert 'waits for 1 of 1' in explain(ledger, Task.stored(ledger, 1))
    compact(fresh(ledger))
    ledger.follow()
    sound(ledger)
    for _ in range(4):
        finish(ledger, 'w', claim(ledger, 'w', 4))
    assert set(states(ledger).values()) == {'SUCCEEDED'} and not ledger.state.severed
    sound(ledger)


@pytest.mark.parametrize('repaired', [False, True])
def test_lost_requirement_is_linked_when_the_notebook_is_run_again(
    ledger: Ledger, repaired: bool
) -> None:
    add(ledger, 'f')
    add(ledger, 'g', {'g': ['f']})
    offset, line = next(
        (offset, line) for offset, line in journal_lines(ledger.folder) if b'"e":"add"' in line
    )
    with open(ledger.journal.path, 'r+b') as file:
        os.pwrite(file.fileno(), b'\0' * (len(line) - 1), offset)
    ledger = fresh(ledger)
    if repaired:
        repair(ledger)
    assert states(ledger) == {'g': 'WAITING'}
    assert 'line in the journal was lost' in explain(ledger, Task.stored(ledger, 1))
    assert 'lost' in str(Future(ledger, tid('g')).exception(timeout=60))
    add(ledger, 'fg', {'g': ['f']})
    assert states(ledger) == {'f': 'PENDING', 'g': 'WAITING'}
    for _ in range(2):
        finish(ledger, 'w', claim(ledger, 'w', 4))
    assert states(ledger) == {'f': 'SUCCEEDED', 'g': 'SUCCEEDED'}
    sound(ledger)
