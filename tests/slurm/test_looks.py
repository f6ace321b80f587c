"""What people see of jobs, and what is looked at before any: status, watch, the display of a
cell, doctor.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from polling import wait_for

from desipipe import Queue
from desipipe.view.bundle import as_text
from desipipe.view.cell import cell_summary

from .cluster import Slurm
from .test_jobs import manager, waiter

pytestmark = pytest.mark.slurm


def desipipe(*argv: str, status: int = 0) -> str:
    """What a verb prints."""
    done = subprocess.run(
        [sys.executable, '-m', 'desipipe', *argv], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


def test_jobs_are_seen(queue: Queue, slurm: Slurm, spawn: Any, tmp_path: Path) -> None:
    """Two jobs have the nodes, the third waits, as does that of the cell below."""
    tm, tm2 = (
        manager(queue, most, time=time, nodes_per_worker=1, kwargs={'exclusive': True})
        for most, time in ((3, '20'), (1, '21'))
    )
    waiter(tm).map(i=range(3), path=str(tmp_path / 'go'))
    spawn(queue)
    wait_for(
        lambda: (
            queue.counts['RUNNING'] == 2
            and any(job['reason'] == 'Resources' for job in queue.ledger.state.jobs.values())
        ),
        'two run, one waits',
    )
    waiter(tm2)(3, str(tmp_path / 'go'))
    reasons = {'Resources', 'Priority'}
    wait_for(
        lambda: (
            queue.ledger.follow() is not None
            and {job['reason'] for job in queue.ledger.state.jobs.values()} >= reasons
        ),
        'the other waits too',
    )
    summary = json.loads(desipipe('status', '-q', queue.folder, '--json'))
    text = desipipe('status', '-q', queue.folder)
    states = slurm.jobs('PENDING,RUNNING')
    assert {job['job']: job['state'].upper() for job in summary['jobs']} == states
    workers = {worker['name']: worker for worker in summary['workers']}
    nodes = set()
    for job in summary['jobs']:
        if job['state'] == 'pending':
            assert job['reason'] in reasons and not job['workers']
            assert f'  job {job["job"]} pending ({job["reason"]}), 1 slot' in text
        else:
            (worker,) = (workers[name] for name in job['workers'])
            (task,) = worker['tasks']
            nodes.add(job['node'])
            assert worker['host'] == job['node'] and 0 < job['ends'] - summary['time'] <= 1200
            assert [task['tid']] == [other['tid'] for other in job['tasks']]
            assert re.search(
                rf'worker {job["job"]} on {job["node"]}, 1 slot, (1\d|20) min left(, .*)?: runs '
                rf'{task["name"]}\[{task["index"]}\]',
                text,
            )
    assert nodes == {'n1', 'n2'}

    expected_text = '1 job pending (Priority)'
    assert cell_summary(queue, '3')['advice'] == [
        [expected_text, f'desipipe status -q {queue.name}']
    ]
    assert re.fullmatch(
        r'.*\n1 job: \S+ pending \(Priority\)\n→ more of them: %desipipe status -q \S+',
        as_text(cell_summary(queue, '3')),
    )
    seen = cell_summary(queue, '0-2')
    assert seen['advice'] == [] and seen['n_jobs'] == 3
    assert re.search(
        r'\n3 jobs: \S+ running wait\[\d\] on n\d \((1\d|20) min left\), .*, \S+ pending '
        r'\(Resources\)$',
        as_text(seen),
    )
    for form in ((), ('--json',)):
        with subprocess.Popen(
            [sys.executable, '-m', 'desipipe', 'watch', '-q', queue.folder, *form],
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            seen = process.stdout.readline()
            process.terminate()
        if form:
            assert {job['job']: job['state'].upper() for job in json.loads(seen)['jobs']} == states
        else:
            assert re.search(
                r'  4 jobs: 2 running 2 tasks on 2 nodes \(.* min left\), 1 pending \(', seen
            )
    (tmp_path / 'go').touch()  # so that all ends soon


def findings(*argv: str, status: int = 0) -> list[dict[str, Any]]:
    return json.loads(desipipe('doctor', *argv, '--json', status=status))


def test_doctor_looks_at_slurm(queue: Queue, slurm: Slurm) -> None:
    waiter(manager(queue))(1, 'go')
    by_check = {finding['check']: finding for finding in findings('-q', queue.folder, '--job')}
    for text in (
        'It answers',
        'partition: debug, regular, scavenge, urgent',
        'constraint: cpu, gpu',
        'account: desi, desi_g',
        'qos: debug, normal, regular',
    ):
        assert text in by_check['Slurm']['words']
    assert (
        by_check['node']['ok']
        and queue.folder in by_check['node']['words']
        and by_check['node']['words'].startswith(('n1 ', 'n2 '))
    )
    assert [finding['words'] for check, finding in by_check.items() if ': jobs of ' in check] == [
        'Slurm would take them'
    ]


def test_doctor_names_what_is_valid(queue: Queue, slurm: Slurm) -> None:
    """A word that Slurm does not know, before any job was submitted."""
    before = set(slurm.jobs())
    wrong: list[dict[str, Any]] = [
        {'account': 'desy'},
        {'qos': 'fast'},
        {'constraint': 'knl'},
        {'kwargs': {'partition': 'nowhere'}},
    ]
    for i, options in enumerate(wrong):
        waiter(manager(queue, time=f'{i + 10:d}', **options))(i, 'go')
    answers = [
        finding['words']
        for finding in findings('-q', queue.folder, status=1)
        if ': jobs of ' in finding['check'] and not finding['ok']
    ]
    assert len(answers) == len(wrong)
    for text, valid in zip(
        answers,
        ('desi, desi_g', 'debug, normal, regular', 'cpu, gpu', 'debug, regular, scavenge, urgent'),
        strict=True,
    ):
        assert text.startswith('Slurm refused ') and f'here it may be: {valid}' in text, answers
    assert set(slurm.jobs()) <= before  # nothing was submitted


def test_doctor_sees_a_folder_that_nodes_do_not(slurm: Slurm, queue_dir: Path) -> None:
    """Each node has memory of its own under that name."""
    with tempfile.TemporaryDirectory(dir='/dev/shm') as folder:
        queue = Queue(f'{folder}/here', create=True)
        (unseen_folder,) = (
            finding
            for finding in findings('-q', queue.folder, '--job', status=1)
            if finding['check'] == 'node'
        )
    assert (
        not unseen_folder['ok'] and f'A node does not see {queue.folder}' in unseen_folder['words']
    )
