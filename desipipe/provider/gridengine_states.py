"""Parse the output of Grid Engine's commands. Pure text: nothing is run here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple
from xml.etree import ElementTree

from .job import Fate

__all__ = [
    'Account',
    'Row',
    'fate',
    'hopeless',
    'is_gone',
    'number_of',
    'parse_qacct',
    'parse_qstat',
    'parse_submitted',
]

_SUBMITTED = re.compile(r'(\d+)(?:\.(\d+)-(\d+):(\d+))?', re.ASCII)
_PREFIX = 'sge:'  # of identities: a queue may have jobs of Slurm too, whose numbers may be the same
_GONE = ('does not exist', 'already in deletion', 'for deletion', 'has deleted')
_OVER_LIMIT = 37  # qacct's number for jobs that qmaster ended for a limit of theirs
_AFTER_JOB = 100  # qacct's number for jobs that were killed, or whose exit status is lost


class Row(NamedTuple):
    """Job as ``qstat`` shows it."""

    jobid: str
    """``'sge:12'``, or ``'sge:12.3'`` for an element of an array."""
    flags: str
    """State in Grid Engine's letters: ``'r'``, ``'qw'``, ``'dr'``, ``'Eqw'``."""
    name: str = ''
    node: str = ''

    @property
    def is_pending(self) -> bool:
        """True if it waits for a machine."""
        return 'q' in self.flags

    @property
    def is_deleted(self) -> bool:
        """True if someone has deleted it."""
        return 'd' in self.flags


class Account(NamedTuple):
    """The end of one job, as ``qacct`` shows it."""

    jobid: str
    failed: int
    """Number of the reason for which Grid Engine failed it; 0 if it did not."""
    why: str
    """The same in Grid Engine's words."""
    exitcode: int | None
    wallclock: float
    """Seconds that it ran."""


def parse_qstat(text: str) -> dict[str, Row] | None:
    """Return the jobs in the output of ``qstat -xml -g d``.

    Parameters
    ----------
    text : str

    Returns
    -------
    rows : dict or None
        By job identity; None if this is no whole answer.
    """
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError:
        return None
    if root.tag != 'job_info':
        return None
    rows = {}
    for job in root.iter('job_list'):
        number, element = (job.findtext(tag, '').strip() for tag in ('JB_job_number', 'tasks'))
        row = Row(
            _PREFIX + (f'{number}.{element}' if element else number),
            job.findtext('state', '').strip(),
            job.findtext('JB_name', '').strip(),
            job.findtext('queue_name', '').rpartition('@')[2].strip(),
        )
        rows[row.jobid] = row
    return rows


def parse_qacct(text: str) -> dict[str, Account]:
    """Return the jobs in the output of ``qacct -j``; the last record of each counts."""
    accounts = {}
    for record in re.split(r'^=+$', text, flags=re.MULTILINE):
        lines = (line.partition(' ') for line in record.splitlines())
        member = {name: value.strip() for name, _, value in lines}
        failed = re.match(r'(\d+)(?:\s*:\s*(.*))?', member.get('failed', ''))
        if failed is None or not member.get('jobnumber'):
            continue
        element = member.get('taskid', '')
        is_element = element.isdecimal() and element != '0'
        jobid = _PREFIX + member['jobnumber'] + (f'.{element}' if is_element else '')
        status = re.match(r'\d+', member.get('exit_status', ''))
        wallclock = re.match(r'[\d.]+', member.get('ru_wallclock', ''))
        accounts[jobid] = Account(
            jobid,
            int(failed[1]),
            failed[2] or '',
            _exitcode(int(status[0])) if status else None,
            float(wallclock[0]) if wallclock else 0.0,
        )
    return accounts


def _exitcode(status: int) -> int:
    """Return an exit status as Python's: negative for a signal."""
    return 128 - status if 128 < status <= 192 else status


def parse_submitted(text: str) -> list[str]:
    """Return the jobs in the output of ``qsub -terse``; none where it failed."""
    for line in reversed(text.splitlines()):  # a site's greeting comes before
        match = _SUBMITTED.fullmatch(line.strip())
        if match is not None:
            return list(_elements(match))
    return []


def number_of(jobid: str) -> str:
    """Return the identity of a job that Grid Engine knows."""
    return jobid.removeprefix(_PREFIX)


def is_gone(text: str) -> bool:
    """Return True where ``qdel`` says that it was told, or that there is no such job."""
    return any(phrase in text for phrase in _GONE)


def _elements(match: re.Match[str]) -> Iterator[str]:
    if match[2] is None:
        yield _PREFIX + match[1]
        return
    for element in range(int(match[2]), int(match[3]) + 1, int(match[4]) or 1):
        yield f'{_PREFIX}{match[1]}.{element:d}'


def fate(account: Account | None, began: bool, deleted: bool, walltime: float) -> tuple[str, str]:
    """Return how a job ended, as one of :class:`.Fate` or an empty text, and in words.

    Parameters
    ----------
    account : Account or None
        None if accounting does not know it.
    began : bool
        True if it was seen running.
    deleted : bool
        True if it was seen being deleted.
    walltime : float
        Its time limit in seconds.
    """
    if account is None:
        if began and not deleted:
            return '', 'Grid Engine no longer knows it'
        return Fate.CANCELLED, 'its job was deleted (Grid Engine: qdel)'
    reason = f' (Grid Engine: {account.why})' if account.why else ''
    if account.failed == _OVER_LIMIT:
        if account.wallclock < walltime:
            return Fate.OOM, f'its job used more than it had asked for{reason}'
        return Fate.WALLTIME, f'its job reached its time limit{reason}'
    if account.failed == _AFTER_JOB and deleted:
        return Fate.CANCELLED, f'its job was deleted{reason}'
    if not account.failed and not account.exitcode:
        return Fate.COMPLETED, 'its job ended'
    if account.failed and account.failed != _AFTER_JOB:
        return Fate.LAUNCH, f'its job could not be launched{reason}'
    return Fate.FAILED, f'its job failed{reason}'


def hopeless(flags: str, jobid: str) -> str:
    """Return the remedy for a pending job that never begins as it is; empty if it may.

    Parameters
    ----------
    flags : str
        Its state in Grid Engine's letters.
    jobid : str
    """
    job = number_of(jobid)
    if 'E' in flags:
        return f'it could not be launched. For the reason: qstat -j {job}; then: qmod -cj {job}'
    if 'h' in flags:
        return f'it is held. Release it: qrls {job}'
    return ''
