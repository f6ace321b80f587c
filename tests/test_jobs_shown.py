"""Jobs of a batch system, as people see them: in status, watch, under cells, in saved notebooks.

The journal's events are written here; no batch system is asked.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import engine
import pexpect
import pytest

from desipipe import Queue
from desipipe.queue.location import type_queue
from desipipe.store.lease import Lease
from desipipe.view.bundle import as_html, as_text
from desipipe.view.cell import JOBS, cell_summary
from desipipe.view.queue import JOB_TASKS, job_groups, job_summaries, queue_summary
from desipipe.view.text import group_text, job_text, jobs_text, left_text, waiting_text

NOW = 1e9
TIMEOUT = 60


def job(name: str, state: str = 'pending', **kw: Any) -> dict[str, Any]:
    """What is said of a job."""
    return {
        'job': name,
        'mid': engine.MID,
        'slots': 1,
        'state': state,
        'reason': '',
        'node': '',
        'ends': None,
        'workers': [],
        'running': 0,
        'tasks': [],
        **kw,
    }


def text(*jobs: dict[str, Any]) -> str:
    return jobs_text(jobs, job_groups(jobs), NOW)


def test_jobs_are_named_if_few() -> None:
    assert text() == ''
    running = job(
        '48_0',
        'running',
        node='n1',
        ends=NOW + 540,
        running=1,
        tasks=[{'tid': '', 'name': 'fraction', 'index': 3}],
    )
    assert (
        text(running, job('48_1', reason='Resources'))
        == '2 jobs: 48_0 running fraction[3] on n1 (9 min left), 48_1 pending (Resources)'
    )
    assert (
        text(running | {'running': 1201, 'reason': 'completing'})
        == '1 job: 48_0 running fraction[3] and 1,200 more on n1 (completing, 9 min left)'
    )
    assert text(job('7', 'withdrawn'), job('8')) == '2 jobs: 7 withdrawn, 8 pending'


def test_many_jobs_are_counted() -> None:
    jobs = [
        job(f'9_{i:d}', reason='Priority' if i % 3 else 'QOSMaxJobsPerUserLimit')
        for i in range(300)
    ]
    jobs += [
        job(f'8_{i:d}', 'running', node=f'n{i % 15:d}', ends=NOW + 540 + i * 60, running=8)
        for i in range(33)
    ]
    jobs += [
        job('7', 'running', reason='suspended', node='n1'),
        job('6', 'withdrawn'),
        job('5', 'withdrawn', reason='Dependency'),
    ]
    shown_text = text(*jobs)
    assert shown_text.startswith(
        '336 jobs: 33 running 264 tasks on 15 nodes (9 min to 41 min left), 1 running on 1 node '
        '(suspended), 200 pending (Priority), 100 pending (QOS'
    )
    assert shown_text.endswith(', 2 others') and len(shown_text) < 250
    assert waiting_text(job_groups(jobs)) == '300 jobs pending (Priority, QOSMaxJobsPerUserLimit)'
    # Where only the first of them are known, all are counted.
    assert jobs_text(jobs[:2], job_groups(jobs), NOW) == shown_text
    assert waiting_text(job_groups(jobs[300:])) == ''


@pytest.mark.parametrize(
    ('seconds', 'message'),
    [
        (-3, 'time is up'),
        (45, '45 s left'),
        (100, '2 min left'),
        (5969, '99 min left'),
        (7500, '2 h 5 min left'),
        (86400 * 2 + 3600 * 3, '2 d 3 h left'),
    ],
)
def test_time_left(seconds: float, message: str) -> None:
    assert left_text(NOW + seconds, NOW) == message
    assert job_text(job('1', 'running', ends=NOW + seconds), NOW) == f'1 running ({message})'
    assert (
        group_text({**job_groups([job('1', 'running', ends=NOW + seconds)])[0]}, NOW)
        == f'1 running ({message})'
    )


# A queue, its jobs and workers


class Cluster:
    """Pretend jobs of a queue."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.leases: list[Lease] = []

    def note(self, *jobs: Sequence[Any]) -> None:
        """Say of jobs what a manager would."""
        self.queue.ledger.note_jobs(engine.MID, [tuple(row) for row in jobs])

    def work(self, jobid: str, node: str, want: int = 1, slots: int = 1) -> list[tuple[int, int]]:
        """Let a worker begin in a job, and take tasks."""
        self.leases.append(Lease(self.queue.folder, f'w{jobid}', False))
        engine.begin(self.queue.ledger, f'w{jobid}', slots, host=node, job=jobid)
        taken: list[tuple[int, int]] = []
        while len(taken) < want:  # others who are there get their share at first
            taken += engine.claim(self.queue.ledger, f'w{jobid}', want - len(taken))
        return taken


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    """A queue with twenty tasks of two apps."""
    cluster = Cluster(Queue('q', base_dir=tmp_path))
    engine.add(cluster.queue.ledger, range(10))
    engine.add(cluster.queue.ledger, range(10, 20), app='average')
    return cluster


def status(queue: Queue) -> str:
    return subprocess.run(
        [sys.executable, '-m', 'desipipe', 'status', '-q', queue.folder],
        check=True,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    ).stdout


def test_status_and_cells(cluster: Cluster) -> None:
    ends = time.time() + 570
    cluster.note(
        ('48_0', 2, 'running', '', 'n1', ends),
        ('48_1', 2, 'pending', 'Resources', '', None),
        ('49', 1, 'running', 'suspended', 'n2', ends),
    )
    cluster.work('48_0', 'n1', 6, 6)
    first, second, third = job_summaries(cluster.queue.ledger)
    assert (
        first['job'],
        first['running'],
        [task['index'] for task in first['tasks']],
        first['workers'],
    ) == ('48_0', 6, [0, 1, 2, 3], ['w48_0'])
    assert len(first['tasks']) == JOB_TASKS
    assert (
        second['reason'],
        second['running'],
        second['tasks'],
        second['workers'],
        third['reason'],
    ) == ('Resources', 0, [], [], 'suspended')
    assert queue_summary(cluster.queue)['jobs'] == [first, second, third]

    output = status(cluster.queue)
    assert re.search(
        r'^  3 jobs: 1 running 6 tasks on 1 node \([89] min left\), 1 running on 1 node '
        r'\(suspended, [89] min left\), 1 pending \(Resources\)$',
        output,
        re.M,
    )
    assert '\n  job 48_1 pending (Resources), 2 slots\n' in output
    assert re.search(r'^  job 49 running on n2 \(suspended, [89] min left\), 1 slot$', output, re.M)
    assert re.search(
        r'^  worker 48_0 on n1, 6 slots, [89] min left: runs fraction\[0\], .*fraction\[3\] and 2 '
        r'more$',
        output,
        re.M,
    )

    where = type_queue(cluster.queue.folder, cluster.queue.config)
    own, other = cell_summary(cluster.queue, '4-9'), cell_summary(cluster.queue, '10-19')
    line = (
        r'3 jobs: 48_0 running {}on n1 \([89] min left\), 48_1 pending \(Resources\), 49 running '
        r'on n2 \(suspended, [89] min left\)'
    )
    for summary, runs in ((own, r'fraction\[4\] and 1 more '), (other, '')):
        for shown_text in (as_text(summary), re.sub('<.*?>', '\n', as_html(summary))):
            assert re.search(rf'^{line.format(runs)}$', shown_text, re.M), shown_text
    assert own['advice'] == [] and other['advice'] == [
        ['1 job pending (Resources)', f'desipipe status {where}']
    ]
    # What the advice says is told once where there is a line for it.
    assert as_text(other).count(
        'Resources'
    ) == 1 and f'→ more of them: %desipipe status {where}' in as_text(other)


def test_jobs_of_workers_are_not_pending(cluster: Cluster) -> None:
    """A batch system is asked once a time step; until then, and where its answer is older, it is
    the workers who know.
    """

    def shown() -> dict[str, tuple[str, str, str]]:
        return {
            job['job']: (job['state'], job['reason'], job['node'])
            for job in job_summaries(engine.fresh(cluster.queue.ledger))
        }

    waits, runs = ('pending', 'Priority', ''), ('running', '', 'n1')
    asked = (
        ('48_0', 2, 'pending', 'Priority', '', None),
        ('48_1', 2, 'pending', 'Priority', '', None),
        ('48_2', 2, 'withdrawn', '', '', None),
    )
    cluster.note(*asked)
    assert shown() == {'48_0': waits, '48_1': waits, '48_2': ('withdrawn', '', '')}
    cluster.work('48_0', 'n1', 1)
    cluster.work('48_2', 'n1', 1)
    for _ in range(2):
        assert shown() == {'48_0': runs, '48_1': waits, '48_2': ('withdrawn', '', '')}
        assert '\n  worker 48_0 on n1, 1 slot: runs fraction[0]' in status(cluster.queue)
        cluster.note(*asked)
    cluster.queue.ledger.end_worker('w48_0', 'told to end', 'requeued')
    assert shown()['48_0'] == ('pending', '', '')
    cluster.note(('48_0', 2, 'pending', 'Resources', '', None))
    assert shown()['48_0'] == ('pending', 'Resources', '')


def test_hundreds_of_jobs(cluster: Cluster) -> None:
    """What is shown, and what a notebook keeps, does not grow with them."""
    cluster.note(*((f'50_{i:d}', 8, 'pending', 'Priority<b>', '', None) for i in range(400)))
    summary = cell_summary(cluster.queue, '0-19')
    assert (len(summary['jobs']), summary['n_jobs'], len(summary['job_groups'])) == (JOBS, 400, 1)
    assert '400 jobs pending (Priority<b>)' in as_text(summary)
    assert '400 jobs pending (Priority&lt;b&gt;)' in as_html(summary)
    output = status(cluster.queue)
    assert (
        '  400 jobs pending (Priority<b>)\n' in output
        and output.count('job 50_') < 20
        and '  and 392 more jobs\n' in output
    )
    rows = cluster.queue.ledger.state.jobs
    cluster.note(*((jobid, 0, 'ended', '', '', None) for jobid in list(rows)))
    assert ' job' not in as_text(cell_summary(cluster.queue, '0-19'))
    assert not queue_summary(cluster.queue)['jobs']


def test_jobs_are_forgotten_when_all_is_over(cluster: Cluster) -> None:
    cluster.note(('48', 20, 'running', '', 'n1', None))
    claimed = cluster.work('48', 'n1', 20, 20)
    assert cell_summary(cluster.queue, '0-19')['n_jobs'] == 1
    engine.finish(cluster.queue.ledger, 'w48', claimed)
    summary = cell_summary(cluster.queue, '0-19')
    assert (summary['left'], summary['jobs'], summary['n_jobs'], summary['job_groups']) == (
        0,
        [],
        0,
        [],
    )


def test_many_workers(cluster: Cluster) -> None:
    for i in range(15):
        cluster.work(f'60_{i:d}', f'n{i:d}')
    assert '  and 3 more workers, which run 3 tasks\n' in status(cluster.queue)


def test_watch_in_a_terminal(cluster: Cluster) -> None:
    """Jobs come, begin, run tasks and end, and so does what is on the screen."""
    queue, (out, err) = (
        cluster.queue,
        (sys.executable, ['-m', 'desipipe', 'watch', '-q', cluster.queue.folder]),
    )
    cluster.note(
        ('48_0', 10, 'pending', 'Priority', '', None), ('48_1', 10, 'pending', 'Priority', '', None)
    )
    cluster.leases.append(Lease(queue.folder, 'wkeeper', False))
    engine.begin(queue.ledger, 'wkeeper', job='keeper')  # so that somebody is there
    screen = pexpect.spawn(
        out,
        err,
        dimensions=(50, 160),
        env={**os.environ, 'TERM': 'xterm-256color', 'COLUMNS': '160', 'LINES': '50'},
        encoding='utf-8',
        timeout=TIMEOUT,
    )
    try:
        screen.expect_exact('2 jobs pending (Priority)')
        screen.expect_exact('job 48_1 pending (Priority), 10 slots')
        cluster.note(
            ('48_0', 10, 'running', '', 'n1', time.time() + 1170),
            ('48_1', 10, 'pending', 'Resources', '', None),
        )
        screen.expect(r'job 48_0 running on n1 \(\d+ min left\), 10 slots')
        screen.expect_exact('job 48_1 pending (Resources), 10 slots')
        claimed = cluster.work('48_0', 'n1', 20, 10)
        screen.expect(
            r'2 jobs: 1 running 10 tasks on 1 node \(\d+ min left\), 1 pending \(Resources\)'
        )
        screen.expect(
            r'worker 48_0 on n1, 10 slots, \d+ min left: runs fraction\[0\], fraction\[1\], '
            r'fraction\[2\], fraction\[3\] and 6 more'
        )
        cluster.note(('48_1', 10, 'ended', '', '', None))
        engine.finish(queue.ledger, 'w48_0', claimed)
        screen.expect_exact('all 20 tasks succeeded')
        screen.expect(pexpect.EOF)
        screen.close()
        assert screen.exitstatus == 0
    finally:
        screen.close(force=True)


def test_watch_in_a_pipe(cluster: Cluster) -> None:
    """A line a change; that time passes is none."""
    cluster.leases.append(Lease(cluster.queue.folder, 'wkeeper', False))
    engine.begin(cluster.queue.ledger, 'wkeeper', job='keeper')
    cluster.note(('48', 20, 'running', '', 'n1', time.time() + 60))
    argv = [sys.executable, '-m', 'desipipe', 'watch', '-q', cluster.queue.folder]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert re.search(r'  1 job: 48 running on n1 \(\d+ s left\)$', process.stdout.readline())
        cluster.note(('48', 20, 'running', '', 'n1', time.time() + 600))  # another time limit
        cluster.note(('48', 20, 'running', 'suspended', 'n1', time.time() + 600))
        assert re.search(
            r'  1 job: 48 running on n1 \(suspended, \d+ min left\)$', process.stdout.readline()
        )
        cluster.note(('48', 20, 'ended', '', '', None))
        assert ' job' not in process.stdout.readline()
        process.terminate()
