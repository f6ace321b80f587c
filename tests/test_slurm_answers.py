"""Odd answers of Slurm's commands, taken apart: what is believed of them, what refusals mean,
and what a shell may not decide.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from polling import wait_for

from desipipe.environment import Environment
from desipipe.errors import ConfigError, LaunchError
from desipipe.execution.backoff import Backoff
from desipipe.provenance import process_alive
from desipipe.provider import Provider
from desipipe.provider.slurm_commands import Question, run
from desipipe.provider.slurm_fates import hopeless
from desipipe.provider.slurm_options import check_sbatch_options, command_environ
from desipipe.provider.slurm_refusals import is_doubtful, refusal
from desipipe.provider.slurm_states import (
    has_header,
    parse_sacct,
    parse_squeue,
    parse_submitted,
)
from desipipe.provider.slurm_watch import ALL_LOST_AFTER, Watch

FINAL = {
    'account': ['Invalid account or account/partition combination specified'],
    'qos': ['Invalid qos specification'],
    'constraint': ['Invalid feature specification'],
    'partition': [
        'Invalid partition name specified',
        "User's group not permitted to use this partition",
        'Requested nodes not in this partition',
    ],
    'time': [
        'Requested time limit is invalid (missing or exceeds some limit)',
        'Time limit specification required, but not provided',
    ],
    'other': [
        'Access/permission denied',
        'Requested node configuration is not available',
        'More processors requested than permitted',
        'Invalid generic resource (gres) specification',
        'Invalid license specification',
        'Job dependency problem',
        'Memory required by task is not available',
        'Requested reservation is invalid',
    ],
}
PASSING = [
    'System submissions disabled',
    'Required partition not available (inactive or drain)',
    'Required node not available (down, drained or reserved)',
    'Requested partition configuration not available now',
    'Partition in DOWN state',
    'Job cannot start due to maintenance reservation.',
    'Requested nodes are busy',
    'Requested reservation not usable now',
    'Protocol authentication error',
    'Invalid authentication credential',
    'Job credential expired',
    'Failed to connect to authentication agent',
    'Error generating job credential',
    'I/O error writing script/environment to file',
    'Invalid user id',
    'Slurm internal error, contact system administrator',
    'Slurm backup controller in standby mode',
    'Controller is in standby mode, try a different controller',
    'Unable to connect to database',
    'Incompatible versions of client and server code',
    'Requested account has breached requested QOS usage threshold',
    'Memory management error',
    'Unspecified error',
    'something that no Slurm has ever said',
    '',
]
DOUBTFUL = [
    'Socket timed out on send/recv operation',
    'Zero Bytes were transmitted or received',
    'Unable to contact slurm controller (receive failure)',
    'Message receive failure',
    'Header lengths are longer than data received',
    'Connection reset by peer',
]


@pytest.mark.parametrize(
    'prefix',
    [
        'sbatch: error: Batch job submission failed: ',
        '',
        'sbatch: error: ',
        'sbatch: info: hello\nsbatch: error: Batch job submission failed: ',
    ],
)
def test_refusal_tells_final_ones(prefix: str) -> None:
    for why, texts in FINAL.items():
        assert {text: refusal(prefix + text) for text in texts} == dict.fromkeys(texts, why)
    assert {text: refusal(prefix + text) for text in PASSING + DOUBTFUL} == dict.fromkeys(
        PASSING + DOUBTFUL, 'away'
    )


def test_details_do_not_make_a_refusal_final() -> None:
    """The verdict of the controller counts, unless it says nothing."""
    assert (
        refusal(
            'sbatch: error: Invalid qos specification, for now\nsbatch: error: Batch job '
            'submission failed: Requested nodes are busy'
        )
        == 'away'
    )
    assert (
        refusal(
            'sbatch: error: Invalid qos specification\nsbatch: error: Batch job submission failed: '
            'Unspecified error'
        )
        == 'qos'
    )
    assert (
        refusal(
            'sbatch: error: QOSMaxSubmitJobPerUserLimit\nsbatch: error: Batch job submission '
            'failed: Job violates accounting/QOS policy'
        )
        == 'limit'
    )
    for text in (
        "sbatch: unrecognized option '--no-such'",
        "sbatch: invalid option -- 'Z'",
        'sbatch: fatal: --mem and --mem-per-cpu are mutually exclusive.',
    ):
        assert refusal(text) == 'other'


def test_is_doubtful_tells_unclear_answers() -> None:
    assert all(is_doubtful(text) for text in DOUBTFUL)
    assert not any(
        is_doubtful(text)
        for text in [
            *PASSING,
            *sum(FINAL.values(), []),
            'Unable to contact slurm controller (connect failure)',
        ]
    )


# --- parsing


def test_titles_prove_an_answer() -> None:
    titles = 'JOBID|STATE|REASON|NODELIST|END_TIME|NAME\n'
    assert has_header(titles) and has_header('CLUSTER: other\n' + titles)
    assert not has_header('') and not has_header('slurm_load_jobs error\n')
    assert parse_squeue(titles) == {}


def test_rows_that_say_nothing() -> None:
    rows = parse_squeue(
        '7|NONSENSE|None||N/A|x\n8_[0-999999999999]|RUNNING|||N/A|x\n٣|RUNNING|None|n|N/A|x\n9|RUNNING|None|n1|N/A|x\n9|CANCELLED|None|n1|N/A|x\n10_[1-3:2]|PD|x||N/A|y\n'
        '8_[3-1]|RUNNING|||N/A|x\n8_[a-b]|RUNNING|||N/A|x\n8_[1-2:0]|PENDING|||N/A|x\n'
    )
    assert (
        rows['9'].state == 'RUNNING'
        and '7' not in rows
        and '٣' not in rows
        and {'10_1', '10_3'} <= rows.keys()
        and '10_2' not in rows
    )
    rows = parse_sacct(
        '1|CANCELLED by '
        '1000|0:15|Unknown|x|y\n2|OUT_OF_ME+|0:125|Unknown\n3|CANCELLED+|0:0|Unknown|z\n2|RUNN'
    )
    assert (rows['1'].name, rows['1'].by, rows['2'].state, rows['3'].state) == (
        'x|y',
        '1000',
        'OUT_OF_MEMORY',
        'CANCELLED',
    )
    assert parse_submitted('hello\nSubmitted batch job 12 on cluster other\n') == ('12', 'other')
    assert parse_submitted('Submitted batch job 12\n') == ('12', '')


def test_reasons_that_do_not_pass() -> None:
    for reason in (
        'PartitionTimeLimit',
        'BadConstraints',
        'QOSMaxWallDurationPerJobLimit',
        'AssocMaxCpuPerJobLimit',
        '(JobHeldUser)',
        'launch failed requeued held',
    ):
        assert hopeless(reason), reason
    for reason in (
        '',
        'Priority',
        'Resources',
        'QOSMaxJobsPerUserLimit',
        'AssocGrpCpuLimit',
        'ReqNodeNotAvail, UnavailableNodes:n1',
        'Dependency',
    ):
        assert not hopeless(reason), reason


# --- watching


def answer(watch: Watch, text: str, trouble: str = '') -> None:
    """Let squeue say something."""
    question = Question(['true'], watch._take_squeue)
    question.out, question.trouble = text, trouble
    question.began = time.monotonic() + 1e-6
    watch._take_squeue(question)


TITLES = 'JOBID|STATE|REASON|NODELIST|END_TIME|NAME\n'


def test_lost_after_answers_that_are_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Watch(())
    watch.accounts = False
    watch.track('1')
    watch.track('2')
    shown = TITLES + '2|RUNNING|None|n1|N/A|x\n'
    for text, trouble in (('', ''), ('oops\n', ''), (shown, 'exit status 1'), ('', 'no')):
        for _ in range(10):
            answer(watch, text, trouble)
    assert not watch.is_lost('1') and not watch.is_lost('2')
    for _ in range(3):
        answer(watch, shown)
    assert watch.is_lost('1') and not watch.is_lost('2')
    answer(watch, shown + '1|PENDING|None||N/A|x\n')
    assert not watch.is_lost('1')
    # All at once is suspicious: more answers are needed, and time.
    for _ in range(ALL_LOST_AFTER + 1):
        answer(watch, TITLES)
    assert not watch.is_lost('1')
    monkeypatch.setattr('desipipe.provider.slurm_watch.ALL_LOST_WAIT_S', 0.0)
    assert watch.is_lost('1')


def test_accounts_are_believed() -> None:
    """The controller does not show a job, accounting says that it waits, or runs: it is there."""
    watch = Watch(())
    watch.track('1')
    watch.track('2')
    for _ in range(20):
        answer(watch, TITLES + '2|RUNNING|None|n1|N/A|x\n')
        question = Question(['true'], lambda question: None)
        question.out = '1|PENDING|0:0|Unknown|x\n'
        watch._take_sacct(question, ['1'])
        assert watch.rows['1'].state == 'PENDING' and not watch.is_lost('1')


def test_number_of_another_job() -> None:
    watch = Watch(())
    watch.accounts = False
    watch.track('1', 'desipipe-q')
    watch.track('2', 'desipipe-q')
    for _ in range(3):
        answer(
            watch,
            TITLES + '1|RUNNING|None|n1|N/A|thesis\n2|RUNNING|None|n1|N/A|site-desipipe-q.1.ab\n',
        )
    assert watch.is_lost('1') and not watch.is_lost('2') and '1' not in watch.rows


def test_large_answers_and_commands_that_hang(tmp_path: Path) -> None:
    """No temporary file; what a wrapper started ends with it."""
    command = [sys.executable, '-c', 'print("x" * 1_000_000)']
    question = Question(command, lambda question: None)
    while not question.done(time.monotonic()):
        time.sleep(0.01)
    assert len(question.out) == 1_000_001 and not question.trouble
    marker = tmp_path / 'pid'
    script = ['sh', '-c', f'sleep 1000 & echo $! > {marker}; wait']
    seconds = 0.5
    while not marker.exists() or not marker.read_text():  # A loaded machine may need longer.
        with pytest.raises(subprocess.TimeoutExpired):
            run(script, seconds)
        seconds *= 3
        assert seconds < 100
    pid = int(marker.read_text())
    wait_for(lambda: not process_alive(pid))


def test_command_that_is_not_there() -> None:
    with pytest.raises(LaunchError, match='There is no no-such-command'):
        run(['no-such-command'], 1.0)
    question = Question(['no-such-command'], lambda question: None)
    assert question.done(time.monotonic()) and 'No such file' in question.trouble


# --- options


@pytest.mark.parametrize(
    'option',
    [
        'a',
        '-a',
        'array',
        'arr',
        'W',
        'wait',
        'J',
        'job_name',
        'D',
        'chdir',
        'test-only',
        'test',
        'A',
        'acco',
        't',
        'C',
        'N',
        'o',
        'e',
        'q',
        'V',
        'uid',
        'wrap',
    ],
)
def test_options_that_are_not_the_users(option: str) -> None:
    with pytest.raises(ConfigError, match=f'holds {option!r}'):
        check_sbatch_options({option: '1'}, 'kwargs')


def test_short_options_are_long_ones() -> None:
    assert check_sbatch_options('p=debug,c=2,x=n1,exclusive', 'kwargs') == {
        'partition': 'debug',
        'cpus-per-task': '2',
        'exclude': 'n1',
        'exclusive': True,
    }
    with pytest.raises(ConfigError, match="'partition' twice"):
        check_sbatch_options({'p': 'debug', 'partition': 'long'}, 'kwargs')
    with pytest.raises(ConfigError, match='nodes_per_worker='):
        check_sbatch_options({'N': 2}, 'kwargs')
    assert check_sbatch_options({'nonsense': 1}, 'kwargs') == {
        'nonsense': 1
    }  # Slurm says what it thinks of that


def test_environment_of_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        'SBATCH_ACCOUNT',
        'SBATCH_EXPORT',
        'SLURM_JOB_ID',
        'SLURM_TIME_FORMAT',
        'SALLOC_QOS',
        'SQUEUE_FORMAT',
        'SLURM_CLUSTERS',
        'DESIPIPE_JOB_END',
    ):
        monkeypatch.setenv(name, 'x')
    monkeypatch.setenv('SLURM_CONF', '/etc/there')
    environ = command_environ()
    assert environ['SLURM_CONF'] == '/etc/there' and environ['PATH'] == os.environ['PATH']
    assert not [
        name
        for name in environ
        if name.startswith(('SBATCH_', 'SALLOC_', 'SQUEUE_', 'DESIPIPE_JOB'))
        or (name.startswith('SLURM_') and name != 'SLURM_CONF')
    ]


def script(tmp_path: Path, workers: int = 1, **options: Any) -> str:
    provider: Any = Provider({'name': 'slurm', 'time': '10', **options})
    return str(
        provider.script(
            ['python', '-m', 'desipipe', 'work'],
            workers,
            Environment('base'),
            str(tmp_path / 'log'),
            str(tmp_path),
        )
    )


def test_steps_get_environment_and_memory(tmp_path: Path) -> None:
    """Whatever `export` and `mem-per-cpu` ask of sbatch."""
    text = script(tmp_path, 2, nodes_per_worker=1, kwargs={'export': 'NONE', 'mem-per-cpu': '1G'})
    assert 'export SLURM_EXPORT_ENV=ALL' in text and 'srun --export=ALL' in text
    assert text.index('unset SLURM_MEM_PER_CPU') < text.index('srun ')


@pytest.mark.parametrize('mpiexec', ['srun -N {nodes:d} -n {mpiprocs:d} env STEP=1 {cmd}', 'srun'])
def test_own_launcher_starts_workers_of_one_process(tmp_path: Path, mpiexec: str) -> None:
    (tmp_path / 'srun').write_text(
        '#!/bin/sh\necho "srun $*" > "$0.log"\nwhile [ "$1" != bash ]; do shift; done\nexec "$@"\n'
    )
    (tmp_path / 'python').write_text('#!/bin/sh\necho "$*"\n')
    for path in (tmp_path / 'srun', tmp_path / 'python'):
        path.chmod(0o755)
    text = script(tmp_path, 2, nodes_per_worker=0.5, mpiexec=mpiexec)
    environ = {'PATH': f'{tmp_path}:{os.environ["PATH"]}', 'SLURM_JOB_ID': '7'}
    output = subprocess.run(
        ['bash', '-c', text], env=environ, capture_output=True, text=True, check=True
    ).stdout
    assert output == '-m desipipe work --jobid 7 --slots 2\n'
    assert (
        '-n 1 ' in (tmp_path / 'srun.log').read_text()
    ) and '--signal=TERM@60' in text  # to the step, not to the batch script
    assert (
        'srun' not in script(tmp_path)
        and '--signal=BTERM' not in text
        and '--signal=B:TERM@60' in script(tmp_path)
    )


@pytest.mark.parametrize(
    ('start', 'end', 'left'),
    [
        (None, None, 600),
        (None, 300, 300),
        (None, -5, 600),
        (None, 5000, 600),
        (-10, 290, 290),
        (-5000, -4700, 300),
        (5000, 5300, 300),
        (-10, 5000, 5000),  # someone gave it more time
        ('x', 'y', 600),
    ],
)
def test_time_limit_by_a_clock_of_another_machine(
    tmp_path: Path, start: Any, end: Any, left: int
) -> None:
    lines = script(tmp_path).splitlines()
    text = '\n'.join(
        [
            *lines[: next(i for i, line in enumerate(lines) if line.startswith('exec '))],
            'echo $((DESIPIPE_JOB_END - desipipe_now))',
        ]
    )
    environ = {'PATH': os.environ['PATH'], 'SLURM_JOB_ID': '1'}
    now = int(time.time())
    for name, value in (('START', start), ('END', end)):
        if value is not None:
            environ[f'SLURM_JOB_{name}_TIME'] = (
                str(now + value) if isinstance(value, int) else value
            )
    seconds = int(
        subprocess.run(
            ['bash', '-c', text], env=environ, capture_output=True, text=True, check=True
        ).stdout
    )
    assert abs(seconds - left) <= 5


# --- back-off


def test_backoff() -> None:
    backoff = Backoff(1.0, 60.0)
    assert [backoff.fail(100.0 + i) for i in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert backoff.due == 107 + 60
    backoff.reset()
    assert backoff.fail(200.0, began=190.0) == 1
    assert backoff.fail(201.0, began=190.0) is None  # of the same time
    assert backoff.fail(202.0, began=200.5) == 2
    for _ in range(2000):
        backoff.fail(300.0)
    assert backoff.fail(300.0) == 60
