"""Superseded tasks are in no count of any view, and are marked where they are shown."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from engine import MID, add, begin, claim, finish, group, make_folder

from desipipe import Queue
from desipipe.cli import main
from desipipe.queue.ledger import Ledger
from desipipe.queue.transactions.tasks import code_event
from desipipe.queue.versions import Version
from desipipe.view.cell import cell_summary
from desipipe.view.durations import durations
from desipipe.view.pace import usual_rate
from desipipe.view.processes import worker_view
from desipipe.view.queue import job_summaries
from desipipe.view.task_context import peers
from desipipe.view.task_detail import task_detail
from desipipe.view.tasks import task_page
from desipipe.view.timeline import Timeline


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """A queue in which a worker runs tasks of old code, rows 0 to 3, and of new, rows 4 to 6.

    Of both, it has ended two.
    """
    ledger = Ledger(make_folder(tmp_path))
    add(ledger, range(4), app='old')
    begin(ledger, 'w', 8)
    finish(ledger, 'w', claim(ledger, 'w', 2))
    claim(ledger, 'w', 2)
    add(ledger, [10, 11, 12], app='new')
    finish(ledger, 'w', claim(ledger, 'w', 2))
    claim(ledger, 'w', 1)
    ledger.journal.write(
        lambda: [
            code_event('notebook:f', Version(group('old').app)),
            code_event('notebook:f', Version(group('new').app), [group('old').app]),
        ]
    )
    ledger.follow()
    assert sorted(ledger.state.superseded) == [0, 1, 2, 3]
    return ledger


def test_timeline_marks_superseded_attempts(ledger: Ledger) -> None:
    view = Timeline(ledger).view()
    assert (view['total'], view['superseded']) == (3, 4)
    marked = [(item['name'], item['superseded']) for item in view['lanes'][0]['intervals']]
    assert sorted(marked) == [('new', False)] * 3 + [('old', True)] * 4


def test_timeline_leaves_superseded_attempts_out_of_its_counts(ledger: Ledger) -> None:
    view = Timeline(ledger).view(limit=1)
    assert view['aggregated'] and (view['total'], view['superseded']) == (3, 4)
    intervals = view['lanes'][0]['intervals']
    assert sum(item['count'] for item in intervals) == 3
    assert sum(item['counts']['SUCCEEDED'] for item in intervals) == 2
    # At the end, three run: the two that began first are superseded.
    assert intervals[-1]['busy_superseded'] > intervals[-1]['busy'] > 0


def test_peers_are_tasks_that_count(ledger: Ledger) -> None:
    add(ledger, ['again'], app='old')
    beside = peers(ledger, 4)
    assert beside is not None and beside['n'] == 1
    assert peers(ledger, 7) is None


def test_durations_are_of_tasks_that_count(
    ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [(app['name'], app['n']) for app in durations(ledger)] == [('new', 2)]
    assert [(app['name'], app['n']) for app in durations(ledger, rows=[0, 4])] == [
        ('old', 1),
        ('new', 1),
    ]
    assert main(['time', '-q', ledger.folder, '--json']) == 0
    assert [app['name'] for app in json.loads(capsys.readouterr().out)] == ['new']


def test_rate_is_of_tasks_that_count(ledger: Ledger) -> None:
    now = time.time()
    assert usual_rate(ledger, [2, 3], now) is None
    assert usual_rate(ledger, [2, 3, 6], now) == usual_rate(ledger, [6], now)


def test_jobs_and_workers_tell_what_counts(ledger: Ledger) -> None:
    job = ['job-w', 8, 'running', '', '', None]
    ledger.journal.write(lambda: [{'e': 'job', 'mid': MID, 'jobs': [job], 't': time.time()}])
    ledger.follow()
    tasks = worker_view(ledger, ledger.state.alive['w'], None)['tasks']
    assert [(task['name'], task['superseded']) for task in tasks] == [
        ('old', True),
        ('old', True),
        ('new', False),
    ]
    (view,) = job_summaries(ledger)
    assert (view['running'], [task['name'] for task in view['tasks']]) == (1, ['new'])


def test_dependants_that_count_come_first(ledger: Ledger) -> None:
    add(ledger, ['data'], app='data')
    add(ledger, ['before'], {'before': ['data']}, app='old')
    add(ledger, ['after'], {'after': ['data']}, app='new')
    detail = task_detail(ledger, 7)
    assert (detail['n_dependants'], detail['n_superseded_dependants']) == (1, 1)
    assert [(task['name'], task['superseded']) for task in detail['dependants']] == [
        ('new', False),
        ('old', True),
    ]


@pytest.mark.parametrize(
    ('rows', 'states', 'listed'),
    [
        ([2, 3, 4, 5], (), [4, 5]),
        ([2, 3], (), [2, 3]),  # else one could not see what the cell's display is of
        ([2, 3, 4], ('SUPERSEDED',), [2, 3]),
    ],
)
def test_tasks_of_a_cell_are_those_that_count(
    ledger: Ledger, rows: list[int], states: tuple[str, ...], listed: list[int]
) -> None:
    page = task_page(ledger, states, rows=rows)
    assert [task['row'] for task in page['tasks']] == listed and page['total'] == len(listed)


def test_cell_estimates_of_running_tasks_that_count(ledger: Ledger) -> None:
    queue = Queue(ledger.folder, create=False)
    assert cell_summary(queue, [2, 3])['rate'] is None
    view = cell_summary(queue, [2, 3, 6])
    assert (view['counts']['RUNNING'], view['superseded']) == (1, 2)
