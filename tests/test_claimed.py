"""RUNNING is what runs: what a worker has merely claimed is PENDING, and told apart as claimed,
wherever a person looks.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from desipipe import Queue, TaskManager
from desipipe.cli import main
from desipipe.queue.ends import End
from desipipe.queue.events import SUCCEEDED
from desipipe.queue.explain import explain
from desipipe.queue.future import Future
from desipipe.record.privacy import Privacy
from desipipe.record.reading.queue import read_queue
from desipipe.store.lease import Lease
from desipipe.view.bundle import as_text
from desipipe.view.cell import cell_summary
from desipipe.view.graph import graph
from desipipe.view.queue import job_summaries, queue_summary
from desipipe.view.task_summary import task_summaries
from desipipe.view.tasks import task_page
from desipipe.view.timeline import Timeline

SLOTS, CLAIMS, TASKS = 2, 5, 8
STATES = ['RUNNING'] * SLOTS + ['PENDING'] * (TASKS - SLOTS)
IS_CLAIMED = [SLOTS <= i < CLAIMS for i in range(TASKS)]


@pytest.fixture
def queue(tmp_path: Path, queue_dir: Path) -> Iterator[Queue]:
    """Eight tasks, of which a worker of two slots has claimed five."""
    queue = Queue('claimed', create=True)

    @TaskManager(queue).python_app
    def app(x: int) -> int:
        return x

    app.map(x=range(TASKS))
    here = {'host': 'here', 'pid': os.getpid(), 'job': 'job-1'}
    lease = Lease(queue.folder, 'w', False)
    queue.ledger.begin_worker('w', mid=None, slots=SLOTS, **here)
    queue.ledger.note_jobs(
        next(iter(queue.ledger.state.managers)), [('job-1', SLOTS, 'running', '', 'here', None)]
    )
    claims = queue.ledger.exchange('w', want=CLAIMS, mids=list(queue.ledger.state.managers))
    assert [row for row, _ in claims] == list(range(CLAIMS))
    yield queue
    lease.close()


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return what a command prints."""
    assert main(list(arguments)) == 0
    return capsys.readouterr().out


def futures(queue: Queue) -> list[Future]:
    return queue.futures()


def test_counts_and_states(queue: Queue) -> None:
    counts = queue.counts
    assert (counts['RUNNING'], counts['PENDING'], counts.claimed) == (2, 6, 3)
    assert sum(counts.values()) == counts() == TASKS
    assert (counts(state='RUNNING'), counts(state='PENDING')) == (2, 6)
    mid = next(iter(queue.ledger.state.managers))
    assert (counts(state='RUNNING', mid=mid), queue.summary(mid)['PENDING']) == (2, 6)
    assert [future.state for future in futures(queue)] == STATES
    assert [task.state for task in queue.tasks()] == STATES
    assert [future.running() for future in futures(queue)] == [
        state == 'RUNNING' for state in STATES
    ]
    assert queue.select(state='RUNNING') == [0, 1] and queue.select(state='PENDING') == [
        2,
        3,
        4,
        5,
        6,
        7,
    ]
    assert queue.select(state=['PENDING', 'RUNNING']) == list(range(TASKS))
    with pytest.raises(TimeoutError, match='is PENDING after .* 6 tasks pending, 2 running'):
        futures(queue)[3].result(timeout=0.01)


def test_summaries_and_pictures(queue: Queue) -> None:
    ledger, rows = queue.ledger, range(TASKS)
    summary, cell = queue_summary(queue), cell_summary(queue, '0-7')
    for shown in (summary, cell):
        assert (shown['counts']['RUNNING'], shown['counts']['PENDING'], shown['claimed']) == (
            2,
            6,
            3,
        )
    tasks = task_summaries(ledger, rows)
    assert [task['state'] for task in tasks] == STATES
    assert [task['claimed'] for task in tasks] == IS_CLAIMED
    assert [task['began'] is not None for task in tasks] == [state == 'RUNNING' for state in STATES]
    (job,) = job_summaries(ledger)
    assert (job['running'], job['claimed'], len(job['tasks'])) == (2, 3, 2)
    assert [task['index'] for task in task_page(ledger, states=['RUNNING'])['tasks']] == [0, 1]
    assert task_page(ledger, states=['PENDING'])['total'] == 6
    assert [node['state'] for node in graph(ledger)['nodes']] == STATES
    (grouped,) = graph(ledger, limit=2)['nodes']
    assert (grouped['counts']['RUNNING'], grouped['counts']['PENDING']) == (2, 6)
    assert Timeline(ledger).view()['total'] == 2
    assert read_queue(queue, Privacy('/')).head['counts']['RUNNING'] == 2
    part = cell_summary(queue, '4-7')
    assert (part['counts']['RUNNING'], part['counts']['PENDING'], part['claimed']) == (0, 4, 1)
    assert 'running' not in as_text(part).partition('job')[0]


def test_commands(queue: Queue, capsys: pytest.CaptureFixture[str]) -> None:
    where = ('-q', queue.folder)
    assert '● 2 running, ○ 6 pending (3 claimed)' in answer(capsys, 'status', *where)
    listed = json.loads(answer(capsys, 'tasks', *where, '--json'))
    assert [task['claimed'] for task in listed] == IS_CLAIMED
    assert [task['state'] for task in listed] == STATES
    table = answer(capsys, 'tasks', *where).upper()
    assert (table.count('RUNNING'), table.count('CLAIMED'), table.count('PENDING')) == (2, 3, 3)
    assert len(json.loads(answer(capsys, 'tasks', *where, '--json', '--state', 'RUNNING'))) == 2
    claimed, pending = (explain(queue.ledger, queue.tasks()[i]) for i in (3, 6))
    assert 'is PENDING: worker job-1 on here has claimed it' in claimed
    assert 'claimed' not in pending


def test_ended_tasks_leave_claimed(queue: Queue) -> None:
    ledger = queue.ledger
    ledger.exchange('w', [End(0, 1, SUCCEEDED, 0.0, 1)])
    assert queue.select(state='RUNNING') == [1, 2] and queue.counts.claimed == 2
    queue.compact()
    assert queue.select(state='RUNNING') == [1, 2] and queue.counts.claimed == 2
    ledger.journal.write(lambda: [{'e': 'lend', 'w': 'w', 'n': 1, 't': 0.0}])
    assert queue.select(state='RUNNING') == [1, 2, 3] and queue.counts.claimed == 1


def test_decisions_take_what_is_seen(queue: Queue) -> None:
    names: list[Any] = [task.index for task in queue.cancel(state='PENDING')]
    assert names == [2, 3, 4, 5, 6, 7]
    assert (queue.counts['RUNNING'], queue.counts['PENDING'], queue.counts['KILLED']) == (2, 0, 6)
