"""What Slurm's commands print, and what it means. Pure text: nothing is run here."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple

__all__ = [
    'FORMAT',
    'Row',
    'fate',
    'format_time',
    'job_row',
    'parse_job',
    'parse_listing',
    'parse_sacct',
    'parse_squeue',
    'parse_submitted',
    'parse_time',
    'refusal',
]

FORMAT = '%i|%T|%r|%N|%e|%j'
"""For ``squeue -o``: columns that every version has; the name, which may hold anything, comes last."""
SACCT = 'JobID,State,ExitCode,End'

WAITING = frozenset({'PENDING', 'CONFIGURING', 'REQUEUED', 'REQUEUE_HOLD', 'REQUEUE_FED', 'SPECIAL_EXIT', 'RESV_DEL_HOLD', 'REVOKED'})
ACTIVE = frozenset({'RUNNING', 'SUSPENDED', 'COMPLETING', 'STOPPED', 'RESIZING', 'SIGNALING', 'STAGE_OUT'})
ENDED = frozenset(
    {'COMPLETED', 'FAILED', 'TIMEOUT', 'CANCELLED', 'NODE_FAIL', 'PREEMPTED', 'OUT_OF_MEMORY', 'BOOT_FAIL', 'DEADLINE', 'LAUNCH_FAILED', 'RECONFIG_FAIL'}
)
_SHORT = {
    'PD': 'PENDING', 'R': 'RUNNING', 'CG': 'COMPLETING', 'CF': 'CONFIGURING', 'CD': 'COMPLETED', 'F': 'FAILED', 'TO': 'TIMEOUT', 'CA': 'CANCELLED',
    'NF': 'NODE_FAIL', 'PR': 'PREEMPTED', 'OOM': 'OUT_OF_MEMORY', 'OO': 'OUT_OF_MEMORY', 'BF': 'BOOT_FAIL', 'DL': 'DEADLINE', 'RQ': 'REQUEUED',
    'S': 'SUSPENDED', 'ST': 'STOPPED', 'RD': 'RESV_DEL_HOLD', 'RF': 'REQUEUE_FED', 'RH': 'REQUEUE_HOLD', 'RS': 'RESIZING', 'RV': 'REVOKED', 'SI': 'SIGNALING',
    'SE': 'SPECIAL_EXIT', 'SO': 'STAGE_OUT',
}  # fmt: skip
_JOB = re.compile(r'\d+(?:_(?:\d+|\[[\d,:%-]+\.{0,3}\]?))?(?:\+\d+)?')
_TIME = re.compile(r'(?:(\d+)-(\d+)(?::(\d+)(?::(\d+))?)?|(\d+)(?::(\d+)(?::(\d+))?)?)')


class Row(NamedTuple):
    """One job, as Slurm shows it."""

    jobid: str
    """``'4411'``, or ``'4411_2'`` for an element of an array."""
    state: str
    """Long name, in capitals, without ``by 1000`` or ``+``."""
    reason: str = ''
    """Why it waits, or why it ended, in Slurm's word."""
    node: str = ''
    ends: float | None = None
    """When it ends or ended, seconds since the epoch; None where Slurm does not know."""
    name: str = ''
    exitcode: int | None = None
    """Exit status, negative for a signal."""
    by: str = ''
    """Who cancelled it: the number of the user."""


def parse_squeue(text: str) -> dict[str, Row]:
    """Jobs in the output of ``squeue -h --array -o FORMAT``.

    Lines that are not of this form (the cluster's name with ``-M``, a site's greeting, a last line that was cut) are passed over.

    Parameters
    ----------
    text : str

    Returns
    -------
    rows : dict
        By job identity. Of elements that are shown as one (``4411_[3-7]``) each has its own row.
    """
    rows = {}
    for line in text.splitlines(keepends=True):
        if not line.endswith('\n'):
            continue  # cut: what it says of the job may be half a word
        parts = line.rstrip('\n').split('|', 5)
        if len(parts) != 6 or not _JOB.fullmatch(parts[0].strip()):
            continue
        jobid, state, reason, node, ends, name = (part.strip() for part in parts)
        for each in _elements(jobid):
            rows[each] = Row(each, _state(state), '' if reason == 'None' else reason, node, _date(ends), name)
    return rows


def parse_listing(text: str) -> dict[str, Row]:
    """Jobs in the output of another command, such as ``sqs``: identity and state are the first two words of a line."""
    found = (line.split() for line in text.splitlines(keepends=True) if line.endswith('\n'))
    return {each: Row(each, _state(words[1])) for words in found if len(words) > 1 and _JOB.fullmatch(words[0]) for each in _elements(words[0])}


def parse_sacct(text: str) -> dict[str, Row]:
    """Jobs in the output of ``sacct -n -X -P -o JobID,State,ExitCode,End``."""
    rows = {}
    for line in text.splitlines():
        parts = line.split('|')
        if len(parts) != 4 or not _JOB.fullmatch(parts[0].strip()):
            continue
        state, _, by = parts[1].partition(' by ')
        for each in _elements(parts[0].strip()):
            rows[each] = Row(each, _state(state), ends=_date(parts[3]), exitcode=_exitcode(parts[2]), by=by)
    return rows


def parse_job(text: str) -> dict[str, str]:
    """The ``Name=value`` words of ``scontrol show job -o``."""
    return {name: value for name, _, value in (word.partition('=') for word in text.split()) if name}


def job_row(jobid: str, job: Mapping[str, str]) -> Row:
    """The same as a row."""
    reason = job.get('Reason', '')
    return Row(
        jobid,
        _state(job.get('JobState', '')),
        '' if reason == 'None' else reason,
        ends=_date(job.get('EndTime', '')),
        exitcode=_exitcode(job.get('ExitCode', '')),
    )


def parse_submitted(text: str) -> tuple[str, str]:
    """Job identity and cluster in the output of ``sbatch --parsable``.

    Returns
    -------
    jobid, cluster : str
        The cluster is empty unless there are several. Both are empty if there is no identity in the text.
    """
    for line in reversed(text.splitlines()):  # a site's greeting comes before
        jobid, _, cluster = line.strip().partition(';')
        if jobid.isdecimal():
            return jobid, cluster.strip()
    return '', ''


def _elements(jobid: str) -> Iterator[str]:
    base, bracket, inner = jobid.partition('_[')
    if not bracket:
        yield jobid
        return
    for part in inner.rstrip('].').partition('%')[0].split(','):
        limits, _, step = part.partition(':')
        first, _, last = limits.partition('-')
        if first.isdecimal():
            for number in range(int(first), int(last or first) + 1, int(step or 1)):
                yield f'{base}_{number:d}'


def _state(text: str) -> str:
    word = (text.split() or ['UNKNOWN'])[0].rstrip('+').upper()
    return _SHORT.get(word, word)


def _date(text: str) -> float | None:
    try:
        return time.mktime(time.strptime(text.strip(), '%Y-%m-%dT%H:%M:%S'))
    except ValueError:
        return None  # N/A, Unknown, NONE


def _exitcode(text: str) -> int | None:
    status, _, number = text.strip().partition(':')
    if not status.isdecimal():
        return None
    return -int(number) if number.isdecimal() and int(number) else int(status)


def parse_time(text: str) -> int:
    """Seconds of a time span as Slurm writes it.

    Parameters
    ----------
    text : str
        ``'30'`` (minutes), ``'30:00'``, ``'1:30:00'``, ``'1-12'`` (days and hours), ``'1-12:30'``, ``'1-12:30:00'``.

    Returns
    -------
    seconds : int

    Raises
    ------
    ValueError
        It is none of these.
    """
    match = _TIME.fullmatch(text.strip())
    if match is None:
        raise ValueError(f'{text!r} is no time span')
    days, *rest = match.groups()
    if days is not None:
        hours, minutes, seconds = (int(part or 0) for part in rest[:3])
    else:
        first, second, third = rest[3:]
        hours, minutes, seconds = (int(first), int(second), int(third)) if third else (0, int(first), int(second or 0))
    return ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds


def format_time(seconds: int) -> str:
    """The inverse of :func:`parse_time`: ``'0-01:00:00'``."""
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    return f'{days:d}-{hour:02d}:{minute:02d}:{second:02d}'


def fate(row: Row, began: bool = True) -> tuple[str, str]:
    """What became of a job that has ended.

    Parameters
    ----------
    row : Row
        In one of the states :data:`ENDED`.
    began : bool, default=True
        Whether a worker of it ever said that it began.

    Returns
    -------
    fate : str
        One of the keys of :data:`.base.FATES`.
    words : str
        The same for people, with Slurm's word.
    """
    said = f' (Slurm: {row.state}{f", {row.reason}" if row.reason and row.reason != row.state else ""}{_status(row)})'
    if row.state in ('TIMEOUT', 'DEADLINE'):
        return 'walltime', 'its job reached its time limit' + said
    if row.state == 'OUT_OF_MEMORY':
        return 'oom', 'out of memory: its job used more than it had asked for' + said
    if row.state == 'PREEMPTED':
        return 'preempted', 'its job was preempted by a more important one' + said
    if row.state in ('NODE_FAIL', 'BOOT_FAIL'):
        return 'node', f'its node {row.node + " " if row.node else ""}failed' + said
    if row.state == 'CANCELLED':
        return 'cancelled', f'its job was cancelled{f" by user {row.by}" if row.by else ""}' + said
    if row.state == 'COMPLETED':
        return 'completed', 'its job ended' + said
    return ('failed' if began else 'launch'), f'its job {"failed" if began else "could not be launched"}' + said


def _status(row: Row) -> str:
    if row.exitcode is None or not (row.exitcode or row.state in ('TIMEOUT', 'DEADLINE')):
        return ''  # of a job that was cancelled before it began, 0 would say that it ended well
    if row.exitcode >= 0:
        return f', exit status {row.exitcode:d}'
    try:
        return f', signal {-row.exitcode:d} ({signal.Signals(-row.exitcode).name})'
    except ValueError:  # no signal, but Slurm's own number, as 125 for memory: in its words
        return f', exit code 0:{-row.exitcode:d}'


# What sbatch says when it refuses. The texts are those of slurm_strerror, which have not changed for many versions; Slurm gives no code.
_LIMITS = ('limit', 'too many', 'exceed', 'temporarily', 'try again', 'slow down', 'rate', 'maxsubmit', 'job submit', 'slurm job array')
_AWAY = (
    'unable to contact',
    'connection refused',
    'timed out',
    'timeout',
    'socket',
    'communication',
    'connect',
    'unable to resolve',
    'backup',
    'zero bytes',
    'configuration source',
)
_WRONG = {
    'account': ('invalid account',),
    'qos': ('invalid qos',),
    'constraint': ('invalid feature',),
    'partition': ('invalid partition',),
    'time': ('requested time limit', 'time limit is invalid', 'invalid --time'),
}


def refusal(text: str) -> str:
    """Why sbatch did not accept a job.

    Parameters
    ----------
    text : str
        What it printed to its standard error.

    Returns
    -------
    why : str
        ``'account'``, ``'qos'``, ``'constraint'``, ``'partition'``, ``'time'``: what was wrong; ``'array'``: no arrays, or none so large; ``'limit'``: later,
        or fewer; ``'away'``: the controller does not answer; ``'other'``.
    """
    text = text.lower()
    if 'job array' in text:
        return 'array'
    for why, words in _WRONG.items():
        if any(word in text for word in words):
            return why
    if any(word in text for word in _AWAY):
        return 'away'
    return 'limit' if any(word in text for word in _LIMITS) else 'other'
