"""Output of Slurm 23.02 to 26.05, in the forms that the sources of each version print.

``scontrol show job`` gained fields from version to version (``src/api/job_info.c``, since 24.11
``src/scontrol/info_job.c``); the columns of ``squeue -o`` and ``sacct -P`` stayed the same, but
25.11 has a state more (``job_state_string``).
"""

from __future__ import annotations

import pytest

from desipipe.provider.slurm_fates import fate
from desipipe.provider.slurm_states import (
    ACTIVE,
    ENDED,
    KNOWN,
    WAITING,
    job_row,
    parse_job,
    parse_sacct,
    parse_squeue,
)

VERSIONS = ('23.02', '23.11', '24.05', '24.11', '25.05', '25.11', '26.05')
BASES = frozenset(
    """PENDING RUNNING SUSPENDED COMPLETED CANCELLED FAILED TIMEOUT NODE_FAIL PREEMPTED BOOT_FAIL
    DEADLINE OUT_OF_MEMORY""".split()
)
FLAGS = frozenset(
    """COMPLETING STAGE_OUT CONFIGURING RESIZING REQUEUED REQUEUE_FED REQUEUE_HOLD SPECIAL_EXIT
    STOPPED REVOKED RESV_DEL_HOLD SIGNALING""".split()
)
TITLES = 'JOBID|STATE|REASON|NODELIST|END_TIME|NAME\n'


def since(version: str, text: str, first: str, last: str = '99') -> str:
    """Return the text where a version prints it, from the first to the last that does."""
    return text if first <= version <= last else ''


def scontrol_line(version: str, state: str, comment: str = '') -> str:
    """Return one job as ``scontrol show job -o`` prints it; ``state``: its state and reason."""
    fields = (
        'JobId=4413 ArrayJobId=4411 ArrayTaskId=2 ArrayTaskThrottle=4',
        since(version, 'SLUID=s1A2B3C4D', '25.11'),
        'JobName=desipipe-q.1.ab12cd34 UserId=me(1000) GroupId=me(1000) MCS_label=N/A',
        f'Priority=1 Nice=0 Account=desi QOS=normal {state} Dependency=(null)',
        'Requeue=1 Restarts=1 BatchFlag=1 Reboot=0 ExitCode=0:15 DerivedExitCode=0:0',
        'RunTime=00:10:00 TimeLimit=00:10:00 TimeMin=N/A SubmitTime=2026-11-22T20:00:00',
        'EligibleTime=2026-11-22T20:00:00 AccrueTime=2026-11-22T20:00:00',
        'StartTime=2026-11-22T20:08:00 EndTime=2026-11-22T20:18:00 Deadline=N/A',
        'PreemptEligibleTime=2026-11-22T20:08:00 PreemptTime=None',
        'SuspendTime=None SecsPreSuspend=0 LastSchedEval=2026-11-22T20:08:00 Scheduler=Main',
        'Partition=main AllocNode:Sid=login1:77 ReqNodeList=(null) ExcNodeList=(null)',
        'NodeList=n1 BatchHost=n1',
        since(version, 'StepMgrEnabled=Yes', '24.05'),
        'NumNodes=1 NumCPUs=2 NumTasks=1 CPUs/Task=1 ReqB:S:C:T=0:0:*:*',
        'ReqTRES=cpu=2,mem=4G,node=1,billing=2 AllocTRES=cpu=2,mem=4G,node=1,billing=2',
        'Socks/Node=* NtasksPerN:B:S:C=1:0:*:* CoreSpec=* MinCPUsNode=1 MinMemoryNode=4G',
        'MinTmpDiskNode=0 Features=(null) DelayBoot=00:00:00 OverSubscribe=OK',
        since(version, 'Exclusive=NO', '26.05'),
        'Contiguous=0 Licenses=(null)',
        since(version, 'LicensesAlloc=(null)', '25.05'),
        'Network=(null) Command=/home/me/queues/q/manager/desipipe-q.sh',
        since(version, f'SubmitLine=sbatch --array=0-3 --comment={comment} desipipe-q.sh', '25.11'),
        f'WorkDir=/home/me Comment={comment} StdErr=/home/me/log StdIn=/dev/null StdOut=/home/me/log',
        since(version, 'SegmentSize=2', '25.05'),
        since(version, 'Power=', '23.02', '23.11'),
        since(version, 'OOMKillStep=0', '24.11'),
        'TresPerTask=cpu=1',
        since(version, 'ResvPorts=(null)', '24.05'),
    )
    return ' '.join(field for field in fields if field) + '\n'


@pytest.mark.parametrize('version', VERSIONS)
def test_parse_job_reads_scontrol_of_every_version(version: str) -> None:
    job = parse_job(scontrol_line(version, 'JobState=TIMEOUT Reason=TimeLimit'))
    row = job_row('4411_2', job)
    assert (row.state, row.reason, row.exitcode) == ('TIMEOUT', 'TimeLimit', -15)
    assert (row.ends, job['Restarts']) == (parse_sacct_end('2026-11-22T20:18:00'), '1')
    assert fate(row)[0] == 'walltime'


@pytest.mark.parametrize('version', VERSIONS)
def test_parse_job_is_not_led_astray_by_free_text(version: str) -> None:
    """A comment, and since 25.11 the command line of sbatch, may hold anything, as it is."""
    free = 'was JobState=FAILED Reason=None ExitCode=3:0 Restarts=7 EndTime=Unknown'
    line = scontrol_line(version, 'JobState=COMPLETING Reason=NonZeroExitCode', free)
    assert line.count('JobState=') == (3 if version >= '25.11' else 2)
    job = parse_job(line)
    row = job_row('4411_2', job)
    assert (row.state, row.reason, row.exitcode) == ('COMPLETING', 'NonZeroExitCode', -15)
    assert row.ends is not None and job['Restarts'] == '1'


@pytest.mark.parametrize('version', VERSIONS)
def test_parse_job_keeps_reasons_with_details(version: str) -> None:
    """Their blanks are underscores in all versions; a signal has its name behind it."""
    for reason in ('ReqNodeNotAvail,_UnavailableNodes:n1', 'RaisedSignal:9(Killed)'):
        job = parse_job(scontrol_line(version, f'JobState=PENDING Reason={reason}'))
        assert job_row('4411_2', job).reason == reason


def states_of(version: str) -> frozenset[str]:
    """Return the states that ``job_state_string`` of a version has names for."""
    return BASES | FLAGS | ({'EXPEDITING'} if version >= '25.11' else set())


@pytest.mark.parametrize('version', VERSIONS)
def test_parse_squeue_knows_every_state(version: str) -> None:
    """A job in a state without a meaning here would count as missing, and then as lost."""
    states = sorted(states_of(version))
    text = ''.join(f'{i}|{state}|None|n1|N/A|x\n' for i, state in enumerate(states, 1))
    rows = parse_squeue(TITLES + text)
    assert [row.state for row in rows.values()] == states


@pytest.mark.parametrize('version', VERSIONS)
def test_parse_sacct_knows_every_state(version: str) -> None:
    states = sorted(states_of(version))
    text = ''.join(f'{i}|{state}|0:0|Unknown|x\n' for i, state in enumerate(states, 1))
    assert [row.state for row in parse_sacct(text).values()] == states


def test_states_have_one_meaning() -> None:
    assert len(KNOWN) == len(WAITING) + len(ACTIVE) + len(ENDED)
    # An expedited requeue is not decided yet: what the job ran is neither lost nor put back.
    assert 'EXPEDITING' in ACTIVE


def parse_sacct_end(text: str) -> float | None:
    """Return a time of Slurm in seconds since the epoch, as the other parser reads it."""
    return parse_sacct(f'1|TIMEOUT|0:0|{text}|x\n')['1'].ends
