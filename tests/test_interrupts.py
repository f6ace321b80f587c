"""Interrupts at any point of an operation on a queue: what this process knows stays right, and
nothing stays locked.
"""

from __future__ import annotations

import fcntl
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from engine import (
    add,
    begin,
    claim,
    consistent,
    differences,
    finish,
    fresh,
    knowledge,
    make_folder,
    note,
    tid,
)

from desipipe.queue.compact import compact
from desipipe.queue.ends import End
from desipipe.queue.events import PENDING, SUCCEEDED
from desipipe.queue.ledger import Ledger
from desipipe.serialize import dumps

_CODE = ('queue/ledger.py', 'queue/state.py', 'queue/events.py', 'queue/compact.py', 'store/')
INSIDE = tuple(os.sep + os.path.join('desipipe', *name.split('/')) for name in _CODE)
STEPS = (
    int(os.environ.get('DESIPIPE_TEST_INTERRUPTS', '0')) or 25
)  # of each kind to try; all are more than a thousand


class Interrupter:
    """Raises at the n-th event of a kind ('line' or 'opcode') in the modules that read and write
    queues.
    """

    def __init__(self, kind: str, n: int, error: type[BaseException]) -> None:
        self.kind = kind
        self.left = n
        self.error = error
        self.hit = False

    def trace(self, frame: FrameType, event: str, argument: object) -> Any:
        """Trace a frame."""
        if (
            not any(part in frame.f_code.co_filename for part in INSIDE)
            or frame.f_code.co_name == '__del__'
        ):
            return None
        frame.f_trace_opcodes = self.kind == 'opcode'
        if event == self.kind:
            self.left -= 1
            if self.left == 0:
                self.hit = True
                sys.settrace(None)
                raise self.error('interrupted by the test')
        return self.trace

    def run(self, step: Callable[[], object]) -> None:
        """Run ``step`` and interrupt it."""
        before = sys.gettrace()
        try:
            sys.settrace(self.trace)
            step()
        except BaseException:
            if not self.hit:  # a library may make another error of it
                raise
        finally:
            sys.settrace(before)


def look(ledger: Ledger) -> None:
    """See what others did."""
    ledger.follow()


def submit(ledger: Ledger) -> None:
    """Add several tasks that need each other, and one alone."""
    add(ledger, ['x', 'y', 'z'], {'y': ['x'], 'z': ['x', 'y']})
    add(ledger, ['u'], app='other')


def exchange(ledger: Ledger) -> None:
    """Report a result and claim another task."""
    running = dict(ledger.state.running.items())
    ends = [
        End(row, ledger.state.attempt[row], SUCCEEDED, 1.0, 1, ledger.store(dumps(('result', row))))
        for row in running
    ]
    ledger.exchange('w', ends, want=2, mids=['m0'])


def change(ledger: Ledger) -> None:
    """Cancel, and drop."""
    ledger.cancel(lambda state: [row for row in state.each() if state.status[row] == PENDING][:1])
    ledger.drop(
        lambda state: [
            row
            for row in state.each()
            if state.status[row] == SUCCEEDED and not state.dependants_of(row)
        ][:1]
    )


def rewrite(ledger: Ledger) -> None:
    """Compact."""
    compact(ledger)


def free(ledger: Ledger) -> bool:
    """Return True when neither another process nor another thread would wait."""
    fd = os.open(os.path.join(ledger.folder, 'lock'), os.O_RDWR)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    done = threading.Event()
    thread = threading.Thread(
        target=lambda: (
            ledger.follow(),
            ledger.journal.write(lambda: [note('thread')]),
            done.set(),
        ),
        daemon=True,
    )
    thread.start()
    return done.wait(60)


def scene(parent: Path, shared: bool) -> Ledger:
    """A queue that this process knows in part: others went on since."""
    ledger = Ledger(make_folder(parent, shared=shared), None, name='me')
    begin(ledger, 'w')
    add(ledger, ['a', 'b', 'c'], {'c': ['a']})
    finish(ledger, 'w', claim(ledger, 'w', 1))
    claim(ledger, 'w', 1)
    other = Ledger(ledger.folder, None)
    add(other, ['d', 'e'], {'e': ['b']}, app='others')
    add(other, ['f'])
    other.close()
    return ledger


def check(ledger: Ledger) -> None:
    """Compare what this process knows and does from now on with what others see."""
    path = ledger.journal.path
    consistent(ledger.state)
    ledger.follow()
    assert differences(knowledge(ledger), knowledge(fresh(ledger))) == []
    assert free(ledger)
    add(ledger, ['later', 'a', 'd'], {'later': ['f']})
    others = fresh(ledger)
    assert differences(knowledge(ledger), knowledge(others)) == []
    state = others.state
    assert all(tid(name) in state.rows for name in ('a', 'd', 'later'))
    assert len({state.ids[row] for row in state.each()}) == len(state) and state.damage == []
    with open(path, 'rb') as file:
        assert file.read().endswith(b'\n')
    for row in state.each():
        assert others.arguments(row)


@pytest.mark.parametrize('shared', [False, True], ids=['local', 'shared'])
@pytest.mark.parametrize(
    'step', [look, submit, exchange, change, rewrite], ids=lambda step: step.__name__
)
@pytest.mark.parametrize('kind', ['line', 'opcode'])
def test_interrupt_anywhere_leaves_everything_right(
    tmp_path: Path, step: Callable[[Ledger], None], kind: str, shared: bool
) -> None:
    first = Interrupter(kind, 1 << 60, KeyboardInterrupt)
    parent = tmp_path / 'count'
    parent.mkdir()
    ledger = scene(parent, shared)
    first.run(lambda: step(ledger))
    total = (1 << 60) - first.left
    assert total > 50
    every = max(1, total // STEPS)
    for n in range(1 + total % every, total + 1, every):
        parent = tmp_path / str(n)
        parent.mkdir()
        ledger = scene(parent, shared)
        interrupter = Interrupter(kind, n, KeyboardInterrupt)
        interrupter.run(lambda ledger=ledger: step(ledger))  # type: ignore[misc]
        try:
            check(ledger)
        except BaseException as exc:
            raise AssertionError(f'after an interrupt at {kind} {n:d}') from exc
        ledger.close()
