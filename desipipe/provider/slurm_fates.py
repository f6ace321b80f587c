"""Fates of Slurm's jobs: how they ended, and which of them will never begin."""

from __future__ import annotations

import re
import signal

from .job import Fate
from .slurm_states import Row

__all__ = ['fate', 'hopeless']


def fate(row: Row, began: bool = True) -> tuple[Fate, str]:
    """Return the end state of a job.

    Parameters
    ----------
    row : Row
        In one of the states :data:`ENDED`.
    began : bool, default=True
        True if a worker of it ever said that it began.

    Returns
    -------
    fate : Fate
        One of :class:`.Fate`.
    words : str
        The same for people, with Slurm's word.
    """
    texts = (
        ' (Slurm: '
        f'{row.state}{f", {row.reason}" if row.reason and row.reason != row.state else ""}{_status(row)})'  # noqa: E501
    )
    if row.state in ('TIMEOUT', 'DEADLINE'):
        return Fate.WALLTIME, 'its job reached its time limit' + texts
    if row.state == 'OUT_OF_MEMORY':
        return Fate.OOM, 'out of memory: its job used more than it had asked for' + texts
    if row.state == 'PREEMPTED':
        return Fate.PREEMPTED, 'its job was preempted by a more important one' + texts
    if row.state in ('NODE_FAIL', 'BOOT_FAIL'):
        return Fate.NODE, f'its node {row.node + " " if row.node else ""}failed' + texts
    if row.state == 'CANCELLED':
        return (
            Fate.CANCELLED,
            f'its job was cancelled{f" by user {row.by}" if row.by else ""}' + texts,
        )
    if row.state == 'COMPLETED':
        return Fate.COMPLETED, 'its job ended' + texts
    if began:
        return Fate.FAILED, 'its job failed' + texts
    return Fate.LAUNCH, 'its job could not be launched' + texts


_HOPELESS = {
    'PartitionTimeLimit': (
        'its time limit is longer than the partition allows. Give a shorter time='
    ),
    'PartitionNodeLimit': (
        'it wants more, or fewer, nodes than the partition allows. Change nodes_per_worker= or the '
        'partition'
    ),
    'PartitionConfig': 'the partition cannot run it as it is. Change its options',
    'BadConstraints': 'no node has what it asks for. Change constraint= or kwargs=',
    'BadConstaints': 'no node has what it asks for. Change constraint= or kwargs=',
    'DependencyNeverSatisfied': 'what it depends on will never be so. Change dependency in kwargs=',
    'AccountNotAllowed': 'the account may not use this partition. Change account=',
    'QOSNotAllowed': 'the quality of service may not be used here. Change qos=',
    'InvalidAccount': 'the account is no longer valid. Change account=',
    'InvalidQOS': 'the quality of service is no longer valid. Change qos=',
    'JobHeldAdmin': 'an administrator holds it: ask for the reason',
    'JobHeldUser': 'you hold it. Release it: scontrol release',
    'NodeListInvalid': 'it names nodes that do not exist. Change nodelist in kwargs=',
    'ReservationDeleted': 'its reservation was deleted. Change reservation in kwargs=',
    'QOSUsageThreshold': (
        'the account has used too much for this quality of service. Change qos= or account='
    ),
    'JobLaunchFailure': (
        'it could not be launched, and Slurm holds it. Release it: scontrol release'
    ),
}
"""Remedies for pending jobs, by Slurm's reasons that do not pass by themselves."""
_PER_JOB = re.compile(r'(?:QOS|Assoc)(?:Max|Min)\w*(?:PerJob\w*|MaxWall\w*|WallDurationPerJob\w*)')


def hopeless(reason: str) -> str:
    """Return the remedy for a pending reason that does not pass; empty if it may pass.

    Parameters
    ----------
    reason : str
        Slurm's word, and what is said with it.
    """
    word = (reason.strip('()').split() or [''])[0].rstrip(',:')
    if _PER_JOB.fullmatch(word):
        return 'it is larger, or longer, than one job may be. Give a shorter time=, or smaller jobs'
    if reason.lower().startswith('launch failed requeued held'):
        word = 'JobLaunchFailure'
    return _HOPELESS.get(word, '')


def _status(row: Row) -> str:
    if row.exitcode is None or not (row.exitcode or row.state in ('TIMEOUT', 'DEADLINE')):
        return ''  # of a job that was cancelled before it began, 0 would say that it ended well
    if row.exitcode >= 0:
        return f', exit status {row.exitcode:d}'
    try:
        return f', signal {-row.exitcode:d} ({signal.Signals(-row.exitcode).name})'
    except ValueError:  # no signal, but Slurm's own number, as 125 for memory: in its words
        return f', exit code 0:{-row.exitcode:d}'
