"""What Slurm's commands print, of many versions and cut anywhere; and the provider as far as it
needs no Slurm.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desipipe.environment import Environment
from desipipe.errors import ConfigError, LaunchError
from desipipe.provider import Provider
from desipipe.provider.slurm_commands import Question
from desipipe.provider.slurm_fates import fate
from desipipe.provider.slurm_refusals import refusal
from desipipe.provider.slurm_states import (
    Row,
    job_row,
    parse_job,
    parse_listing,
    parse_sacct,
    parse_squeue,
    parse_submitted,
)
from desipipe.provider.slurm_time import format_time, parse_time
from desipipe.provider.slurm_watch import LAG_MOST, Watch

SQUEUE = '4411_2|RUNNING|None|nid001|2026-11-22T20:18:00|a|b\n4411_[3-4,7%2]|PENDING|Priority||N/A|x\n4412|PD|(null)||N/A|y\n12|TIMEOUT|TimeLimit|n|NONE|z\n'


def test_squeue() -> None:
    rows = parse_squeue('CLUSTER: perlmutter\n' + SQUEUE)
    assert list(rows) == ['4411_2', '4411_3', '4411_4', '4411_7', '4412', '12']
    assert (rows['4411_2'].name, rows['4411_2'].reason, rows['4411_2'].node) == (
        'a|b',
        '',
        'nid001',
    )
    assert rows['4411_2'].ends is not None and rows['4411_3'].ends is None
    assert (rows['4411_7'].state, rows['4411_7'].reason) == ('PENDING', 'Priority')
    assert rows['4412'].state == 'PENDING'


@given(st.integers(0, len(SQUEUE)))
def test_output_that_is_cut_says_nothing_wrong(size: int) -> None:
    whole = parse_squeue(SQUEUE)
    assert all(whole[jobid] == row for jobid, row in parse_squeue(SQUEUE[:size]).items())


@given(st.text(max_size=200))
def test_answers_of_any_text_are_read(text: str) -> None:
    for parse in (parse_squeue, parse_sacct, parse_listing, parse_submitted, refusal):
        parse(text)


def test_sacct_and_other_lists() -> None:
    rows = parse_sacct(
        '1|CANCELLED by '
        '1000|0:15|2026-11-22T20:18:00\n2|FAILED|3:0|Unknown\n3.batch|FAILED|3:0|Unknown\nsacct: '
        'error\n'
    )
    assert (rows['1'].state, rows['1'].by, rows['1'].exitcode) == ('CANCELLED', '1000', -15)
    assert rows['2'].exitcode == 3 and list(rows) == ['1', '2']
    assert {
        jobid: row.state
        for jobid, row in parse_listing('JOBID ST USER\n77 R me\n78_3 PD me\nbye\n').items()
    } == {'77': 'RUNNING', '78_3': 'PENDING'}


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('4411\n', ('4411', '')),
        ('welcome!\n4411;perlmutter\n', ('4411', 'perlmutter')),
        ('', ('', '')),
        ('oops\n', ('', '')),
    ],
)
def test_submitted(text: str, expected: tuple[str, str]) -> None:
    assert parse_submitted(text) == expected


@pytest.mark.parametrize(
    ('text', 'seconds'),
    [
        ('30', 1800),
        ('1:30', 90),
        ('1:00:00', 3600),
        ('1-0', 86400),
        ('1-12:30', 131400),
        ('2-03:04:05', 183845),
        ('0-00:30:00', 1800),
    ],
)
def test_time(text: str, seconds: int) -> None:
    assert parse_time(text) == seconds
    assert parse_time(format_time(text)) == seconds


@pytest.mark.parametrize(
    ('state', 'expected_fate'),
    [
        ('TIMEOUT', 'walltime'),
        ('OUT_OF_MEMORY', 'oom'),
        ('CANCELLED', 'cancelled'),
        ('PREEMPTED', 'preempted'),
        ('NODE_FAIL', 'node'),
        ('COMPLETED', 'completed'),
    ],
)
def test_fates(state: str, expected_fate: str) -> None:
    row = parse_squeue(f'1|{state}|None|n1|N/A|x\n')['1']
    assert fate(row)[0] == expected_fate and f'(Slurm: {state})' in fate(row)[1]


@pytest.mark.parametrize(
    ('state', 'exitcode', 'message'),
    [
        (
            'OUT_OF_MEMORY',
            '0:125',
            (
                'out of memory: its job used more than it had asked for (Slurm: OUT_OF_MEMORY, '
                'exit code 0:125)'
            ),
        ),
        ('TIMEOUT', '0:0', 'its job reached its time limit (Slurm: TIMEOUT, exit status 0)'),
        ('TIMEOUT', '0:15', 'its job reached its time limit (Slurm: TIMEOUT, signal 15 (SIGTERM))'),
        ('CANCELLED by 7', '0:0', 'its job was cancelled by user 7 (Slurm: CANCELLED)'),
        ('FAILED', '3:0', 'its job failed (Slurm: FAILED, exit status 3)'),
        ('FAILED', '', 'its job failed (Slurm: FAILED)'),
    ],
)
def test_exit_codes_are_told(state: str, exitcode: str, message: str) -> None:
    assert fate(parse_sacct(f'1|{state}|{exitcode}|Unknown\n')['1'])[1] == message


def test_fate_reads_scontrol() -> None:
    row = job_row(
        '4411_2',
        parse_job(
            'JobId=4413 ArrayJobId=4411 JobState=TIMEOUT Reason=TimeLimit ExitCode=0:15 '
            'EndTime=2026-11-22T20:18:00 Restarts=0'
        ),
    )
    assert (
        fate(row)
        == (
            'walltime',
            'its job reached its time limit (Slurm: TIMEOUT, TimeLimit, signal 15 (SIGTERM))',
        )
        and row.ends is not None
    )
    row = job_row('1', parse_job('JobState=RUNNING Reason=None ExitCode=0:0 EndTime=Unknown'))
    assert (row.state, row.reason, row.exitcode, row.ends) == ('RUNNING', '', 0, None)
    assert job_row('1', {}).state == 'UNKNOWN'


@pytest.mark.parametrize(
    ('text', 'why'),
    [
        ('Invalid account or account/partition combination specified', 'account'),
        ('Invalid qos specification', 'qos'),
        ('Invalid feature specification', 'constraint'),
        ('Invalid job array specification', 'array'),
        (
            "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)",
            'limit',
        ),
        ('Unable to contact slurm controller (connect failure)', 'away'),
        ('Socket timed out on send/recv operation', 'away'),
        ('Requested node configuration is not available', 'other'),
    ],
)
def test_refusals(text: str, why: str) -> None:
    assert refusal('sbatch: error: Batch job submission failed: ' + text) == why


def provider(**options: Any) -> Any:
    return Provider({'name': 'slurm', **options})


def test_sizes() -> None:
    assert provider().sizes(3) == [1, 1, 1]
    assert provider(nodes_per_worker=0.125).sizes(20) == [8, 8, 4]
    assert provider(nodes_per_worker=2).sizes(2) == [1, 1]
    assert Provider('nersc', threshold_nodes=4).sizes(10) == [4, 4, 2]


def test_nersc() -> None:
    gpu = Provider('nersc', constraint='gpu', mpiprocs_per_worker=256)
    assert (gpu.account, gpu.kwargs, gpu.nodes_per_worker) == ('desi_g', {'gpus-per-node': 4}, 2.0)
    assert Provider(gpu.to_spec()) == gpu
    assert [Provider('nersc', threshold_nodes=10).cost(n) for n in (1, 10, 12)] == [0, 0, 2]


@pytest.mark.parametrize(
    'options',
    [
        {'time': 'soon'},
        {'time': True},
        {'nodes_per_worker': 0},
        {'signal': 'NOPE@3'},
        {'killed_at_timeout': 'no'},
        {'stop_after': 0},
    ]
    + [
        {'kwargs': 'array=0-3'},
        {'kwargs': 'mem=1G,,exclusive'},
        {'kwargs': 3},
        {'kwargs': {'array': '0-3'}},
        {'kwargs': {'account': 'x'}},
        {'kwargs': {'comment': 'a\nb'}},
        {'account': 3},
        {'qos': 'a\nb'},
        {'sqs': []},
    ],
)
def test_wrong_options(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        provider(**options)


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Stands in for sbatch, for what no test cluster says."""

    def make(script: str) -> Path:
        folder = tmp_path / 'bin'
        folder.mkdir()
        (folder / 'sbatch').write_text(f'#!/bin/bash\necho "$@" >> {tmp_path}/calls\n{script}\n')
        (folder / 'sbatch').chmod(0o755)
        monkeypatch.setenv('PATH', f'{folder}{os.pathsep}{os.environ["PATH"]}')
        return tmp_path / 'calls'

    return make


def launch(tmp_path: Path, slots: int, **options: Any) -> Any:
    return provider(**options).launch(
        ['python', '-m', 'a b'],
        slots,
        Environment({'A': "it's"}),
        str(tmp_path / 'log'),
        str(tmp_path),
    )


def test_array_that_is_too_large_is_halved(tmp_path: Path, fake: Any) -> None:
    calls = fake(
        'case "$*" in *array=0-[0-9][0-9]*) echo "sbatch: error: Invalid job array specification" '
        '>&2; exit 1;; esac; echo "$RANDOM;federated"'
    )
    jobs = launch(tmp_path, 40)
    assert len(jobs) == 40 and len({job.jobid for job in jobs}) == 40
    assert [line.split()[1] for line in calls.read_text().splitlines()][:3] == [
        '--array=0-39',
        '--array=0-19',
        '--array=0-9',
    ]


def test_limits_are_for_later(tmp_path: Path, fake: Any) -> None:
    fake('echo "sbatch: error: AssocMaxSubmitJobLimit" >&2; exit 1')
    with pytest.raises(LaunchError, match='AssocMaxSubmitJobLimit') as caught:
        launch(tmp_path, 3)
    assert caught.value.later


def test_script_is_quoted(tmp_path: Path, fake: Any) -> None:
    fake('echo 1')
    launch(tmp_path, 1, kwargs={'comment': "it's $HOME"})
    (script,) = [path.read_text() for path in tmp_path.glob('*.sh')]
    assert """#SBATCH --comment='it'"'"'s $HOME'\n""" in script
    assert "python -m 'a b' --jobid" in script and 'export A=' in script


@pytest.mark.parametrize(
    'kwargs',
    [{'partition': 'long', 'mem': '2G', 'exclusive': True}, 'partition=long, mem=2G,exclusive'],
)
def test_options_of_sbatch_itself(tmp_path: Path, fake: Any, kwargs: Any) -> None:
    fake('echo 1')
    launch(tmp_path, 1, kwargs=kwargs)
    (script,) = [path.read_text() for path in tmp_path.glob('*.sh')]
    assert {'#SBATCH --partition=long', '#SBATCH --mem=2G', '#SBATCH --exclusive'} <= set(
        script.splitlines()
    )


def test_log_is_there_before_the_jobs(tmp_path: Path, fake: Any) -> None:
    """Jobs that begin at once on two nodes find it: where both made it, one of them might fail."""
    fake(f'test -e {tmp_path}/log && echo 1')
    assert [job.jobid for job in launch(tmp_path, 1)] == ['1']


@pytest.mark.parametrize('lag', [0, 2, LAG_MOST])
def test_accounting_that_lags_is_asked_again(lag: int) -> None:
    """The exit status is known to accounting, a moment after the controller says that the job
    has ended; some never know.
    """
    watch = Watch(('squeue',))
    watch.track('6')
    watch.rows = {'6': Row('6', 'FAILED', 'NonZeroExitCode')}
    answers = 0
    while not watch.is_known('6'):
        question = Question(['true'], lambda question: None)
        question.out = '6|FAILED|7:0|Unknown\n' if answers >= lag else '6|RUNNING|0:0|Unknown\n'
        watch._take_sacct(question, ['6'])
        answers += 1
    assert answers == min(lag + 1, LAG_MOST)
    assert watch.rows['6'].exitcode == (7 if lag < LAG_MOST else None)
