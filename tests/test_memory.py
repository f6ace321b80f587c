"""How much memory a task took, as the kernel counted it: of each task by itself, of commands,
and of what was killed.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from desipipe import Queue, TaskManager
from desipipe.queue.compact import compact
from desipipe.queue.ends import End, end_at
from desipipe.queue.events import SUCCEEDED
from desipipe.queue.transactions.attempts import end_event
from desipipe.view.task_detail import task_detail
from desipipe.view.task_summary import task_summaries

pytestmark = pytest.mark.skipif(
    not Path('/proc/self/clear_refs').exists(), reason='the kernel does not count memory anew'
)

MB = 1 << 20
LARGE = 300  # MB; a slot without it has less than half


def test_memory_of_tasks(queue_dir: Path) -> None:
    queue = Queue('memory', create=True)
    tm = TaskManager(queue, scheduler=dict(max_workers=1))

    @tm.python_app
    def take(megabytes: int, kill: bool = False) -> int:
        import os
        import time

        held = bytearray(megabytes << 20)
        held[::4096] = b'1' * len(held[::4096])
        time.sleep(0.002)  # of the shortest tasks it is not told
        if kill:
            os.kill(os.getpid(), 9)
        return len(held)

    @tm.python_app
    def nothing() -> None:
        return None

    @tm.bash_app
    def command(megabytes: int) -> list[str]:
        return [
            sys.executable,
            '-c',
            f'held = bytearray({megabytes} << 20); held[::4096] = b"1" * len(held[::4096])',
        ]

    # One after the other in one slot; what is killed comes last of it, and another slot begins.
    futures = [
        take(LARGE),
        take(1),
        command(LARGE),
        command(1),
        take(2),
        take(LARGE, kill=True),
        take(3),
    ]
    none = nothing()
    subprocess.run(
        [sys.executable, '-m', 'desipipe', 'work', '-q', queue.folder, '--slots', '1'],
        check=True,
        timeout=120,
    )
    queue.ledger.follow()
    rows = [queue.ledger.row(bytes.fromhex(future.id)) for future in futures]

    def sizes() -> list[bool]:
        summaries = task_summaries(queue.ledger, rows)
        assert all(task['memory'] > 5 * MB for task in summaries), summaries
        assert all(task['memory'] < 3 * LARGE * MB for task in summaries), summaries
        return [task['memory'] > LARGE * MB for task in summaries]

    expected = [True, False, True, False, False, True, False]
    assert sizes() == expected
    detail = task_detail(queue.ledger, rows[0])
    assert detail['memory'] == detail['attempts'][0]['memory']
    # A task of no time: nothing is asked for it, or there is something if the machine was slow.
    short = task_summaries(queue.ledger, [queue.ledger.row(bytes.fromhex(none.id))])[0]
    assert (short['memory'] is None) == (short['duration'] < 0.001)
    compact(queue.ledger)
    assert sizes() == expected


def test_events_without_memory_are_read() -> None:
    ends = [End(row, 1, SUCCEEDED, 10.0, 5, memory=row * 7) for row in range(2)]
    event = end_event('w', ends, 11.0)
    assert [end_at(event, i).memory for i in range(2)] == [0, 7]
    # Those of before, and of batches of which nothing is known, have no such member.
    del event['m']
    assert [end_at(event, i).memory for i in range(2)] == [0, 0]
    assert 'm' not in end_event('w', ends[:1], 11.0)
