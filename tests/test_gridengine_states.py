"""Read what commands of Grid Engine 8.1.9 of Debian printed."""

from __future__ import annotations

import pytest

from desipipe import Provider
from desipipe.errors import ConfigError
from desipipe.provider.gridengine import GridEngineProvider
from desipipe.provider.gridengine_states import (
    Row,
    fate,
    hopeless,
    parse_qacct,
    parse_qstat,
    parse_submitted,
)

JOB = """
    <job_list state="{kind}">
      <JB_job_number>{number}</JB_job_number>
      <JAT_prio>0.50000</JAT_prio>
      <JB_name>{name}</JB_name>
      <JB_owner>root</JB_owner>
      <state>{flags}</state>
      <queue_name>{queue}</queue_name>
      <slots>1</slots>{element}
    </job_list>
"""
RUNNING = JOB.format(
    kind='running', number=2, name='desipipe-x.1.a', flags='dr', queue='all.q@n1', element=''
) + JOB.format(
    kind='running',
    number=4,
    name='desipipe-x.1.c',
    flags='r',
    queue='all.q@n1',
    element='<tasks>3</tasks>',
)
WAITING = JOB.format(
    kind='pending',
    number=4,
    name='desipipe-x.1.c',
    flags='Eqw',
    queue='',
    element='<tasks>11</tasks>',
)
QSTAT = f"""<?xml version='1.0'?>
<job_info  xmlns:xsd="http://arc.liv.ac.uk/repos/darcs/sge/source/dist/util/resources/schemas/qstat/qstat.xsd">
  <queue_info>{RUNNING}</queue_info>
  <job_info>{WAITING}</job_info>
</job_info>
"""
RECORD = """==============================================================
qname        all.q
hostname     n1
jobnumber    {number}
taskid       {element}
failed       {failed}
exit_status  {status}
ru_wallclock {wallclock}s
maxvmem      16.008MB
"""


def test_qstat_shows_jobs_and_elements_of_arrays() -> None:
    rows = parse_qstat(QSTAT)
    assert rows == {
        'sge:2': Row('sge:2', 'dr', 'desipipe-x.1.a', 'n1'),
        'sge:4.3': Row('sge:4.3', 'r', 'desipipe-x.1.c', 'n1'),
        'sge:4.11': Row('sge:4.11', 'Eqw', 'desipipe-x.1.c', ''),
    }
    assert [row.is_pending for row in rows.values()] == [False, False, True]
    assert [row.is_deleted for row in rows.values()] == [True, False, False]
    assert 'qmod -cj 4.11' in hopeless('Eqw', 'sge:4.11') and 'qrls 5' in hopeless('hqw', 'sge:5')
    assert not hopeless('qw', '5')


@pytest.mark.parametrize('text', ['', QSTAT[:-20], 'error: commlib error', '<html></html>'])
def test_half_an_answer_of_qstat_is_none(text: str) -> None:
    assert parse_qstat(text) is None


def test_qsub_tells_the_jobs() -> None:
    assert parse_submitted('Welcome!\n12\n') == ['sge:12']
    assert parse_submitted('4.1-3:1\n') == ['sge:4.1', 'sge:4.2', 'sge:4.3']
    assert parse_submitted('Unable to run job: denied.\nExiting.\n') == []


@pytest.mark.parametrize(
    ('failed', 'status', 'wallclock', 'deleted', 'expected'),
    [
        ('0', '0', 35, False, 'completed'),
        ('0', '3', 35, False, 'failed'),
        ('100 : assumedly after job', '137                  (Killed)', 35, True, 'cancelled'),
        ('100 : assumedly after job', '137                  (Killed)', 35, False, 'failed'),
        ('37  : qmaster enforced h_rt, h_cpu, or h_vmem limit', '137', 61, False, 'walltime'),
        ('37  : qmaster enforced h_rt, h_cpu, or h_vmem limit', '137', 5, False, 'oom'),
        ('26  : opening input/output file', '0', 0, False, 'launch'),
    ],
)
def test_accounts_tell_how_jobs_ended(
    failed: str, status: str, wallclock: int, deleted: bool, expected: str
) -> None:
    text = RECORD.format(
        number=4, element=2, failed=failed, status=status, wallclock=wallclock
    ) + RECORD.format(number=4, element='undefined', failed='0', status='1', wallclock=1)
    accounts = parse_qacct(text)
    assert accounts.keys() == {'sge:4.2', 'sge:4'}
    assert fate(accounts['sge:4.2'], True, deleted, 60.0)[0] == expected
    assert accounts['sge:4.2'].exitcode in (0, 3, -9)


def test_deletion_is_known_without_accounts() -> None:
    assert fate(None, False, False, 60.0)[0] == 'cancelled'  # gone before it began
    assert fate(None, True, True, 60.0)[0] == 'cancelled'
    assert fate(None, True, False, 60.0)[0] == ''


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'time': 'soon'}, 'must be a time span'),
        ({'kwargs': {'-N': 'mine'}}, 'has -N, which desipipe sets by itself'),
        ({'queue': 3}, 'must be text or None'),
        ({'mpiprocs_per_worker': 2}, 'needs the name of a parallel environment'),
    ],
)
def test_options_are_checked(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Provider('gridengine', **options)


def test_script_has_all_options() -> None:
    provider = Provider(
        'gridengine', time='30', queue='long', mpiprocs_per_worker=2, pe='mpi', kwargs={'m': 'n'}
    )
    assert isinstance(provider, GridEngineProvider)
    text = provider.script(['python', '-m', 'desipipe'], provider.environ, '/a b/log', '/a b')
    lines = text.splitlines()
    for option in ('l h_rt=1800', 'q long', 'pe mpi 2', 'm n', 'r n', 'notify', 'V'):
        assert f'#$ -{option}' in lines
    assert "cd '/a b' || exit" in lines and "exec >>'/a b/log' 2>&1" in lines
    assert lines[-1] == 'exec python -m desipipe --jobid "$DESIPIPE_JOB" --slots 1'
