"""Parse the output of Slurm's commands. Pure text: nothing is run here."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple

__all__ = [
    'FORMAT',
    'Row',
    'has_header',
    'job_row',
    'number_of',
    'parse_job',
    'parse_listing',
    'parse_sacct',
    'parse_squeue',
    'parse_submitted',
]

FORMAT = '%i|%T|%r|%N|%e|%j'
"""For ``squeue -o``: columns that every version has; the name, which may hold anything, comes
last.
"""
SACCT = 'JobID,State,ExitCode,End,JobName'

WAITING = frozenset(
    {
        'PENDING',
        'CONFIGURING',
        'REQUEUED',
        'REQUEUE_HOLD',
        'REQUEUE_FED',
        'SPECIAL_EXIT',
        'RESV_DEL_HOLD',
        'REVOKED',
    }
)
ACTIVE = frozenset(
    """RUNNING SUSPENDED COMPLETING STOPPED RESIZING SIGNALING STAGE_OUT EXPEDITING""".split()
)
ENDED = frozenset(
    {
        'COMPLETED',
        'FAILED',
        'TIMEOUT',
        'CANCELLED',
        'NODE_FAIL',
        'PREEMPTED',
        'OUT_OF_MEMORY',
        'BOOT_FAIL',
        'DEADLINE',
        'LAUNCH_FAILED',
        'RECONFIG_FAIL',
    }
)
KNOWN = WAITING | ACTIVE | ENDED
_SHORT = {
    'PD': 'PENDING', 'R': 'RUNNING', 'CG': 'COMPLETING', 'CF': 'CONFIGURING', 'CD': 'COMPLETED',
    'F': 'FAILED', 'TO': 'TIMEOUT', 'CA': 'CANCELLED',
    'NF': 'NODE_FAIL', 'PR': 'PREEMPTED', 'OOM': 'OUT_OF_MEMORY', 'OO': 'OUT_OF_MEMORY',
    'BF': 'BOOT_FAIL', 'DL': 'DEADLINE', 'RQ': 'REQUEUED',
    'S': 'SUSPENDED', 'ST': 'STOPPED', 'RD': 'RESV_DEL_HOLD', 'RF': 'REQUEUE_FED',
    'RH': 'REQUEUE_HOLD', 'RS': 'RESIZING', 'RV': 'REVOKED', 'SI': 'SIGNALING',
    'SE': 'SPECIAL_EXIT', 'SO': 'STAGE_OUT',
}  # fmt: skip
_CUT = 6  # letters of a state's name that was cut, at least
_ELEMENTS_MAX = 100_000  # elements of an array that one line may stand for
_JOB = re.compile(r'\d+(?:_(?:\d+|\[[\d,:%-]+\.{0,3}\]?))?(?:\+\d+)?', re.ASCII)
_SUBMITTED = re.compile(r'([0-9]+)(?:;(\S*))?|Submitted batch job ([0-9]+)(?: on cluster (\S+))?')


class Row(NamedTuple):
    """One job, as Slurm shows it."""

    jobid: str
    """``'4411'``, or ``'4411_2'`` for an element of an array."""
    state: str
    """Long name, in capitals, without ``by 1000`` or ``+``."""
    reason: str = ''
    """Reason that it waits or ended, in Slurm's word."""
    node: str = ''
    ends: float | None = None
    """Time of its end, seconds since the epoch; None where Slurm does not know."""
    name: str = ''
    exitcode: int | None = None
    """Exit status, negative for a signal."""
    by: str = ''
    """Id of the user who cancelled it."""


def has_header(text: str) -> bool:
    """Return True if the output of ``squeue -o FORMAT`` has its line of titles.

    Without it an answer that shows no job means nothing.
    """
    return any(line.startswith('JOBID|') for line in text.splitlines())


def parse_squeue(text: str) -> dict[str, Row]:
    """Jobs in the output of ``squeue --array -o FORMAT``.

    Lines that are not of this form (the titles, the cluster's name with ``-M``, a site's greeting,
    a last line that was cut) are passed over.

    Parameters
    ----------
    text : str

    Returns
    -------
    rows : dict
        By job identity. Of elements that are shown as one (``4411_[3-7]``) each has its own row.
    """
    rows: dict[str, Row] = {}
    for line in text.splitlines(keepends=True):
        if not line.endswith('\n'):
            continue  # cut: what it says of the job may be half a word
        parts = line.rstrip('\n').split('|', 5)
        if len(parts) != 6 or not _JOB.fullmatch(parts[0].strip()):
            continue
        jobid, state, reason, node, ends, name = (part.strip() for part in parts)
        if _state(state) not in KNOWN:
            continue
        for each in _elements(jobid):
            if each in rows and rows[each].state not in ENDED and _state(state) in ENDED:
                continue  # shown twice: an earlier run of a job that is back
            rows[each] = Row(
                each, _state(state), '' if reason == 'None' else reason, node, _date(ends), name
            )
    return rows


def parse_listing(text: str) -> dict[str, Row]:
    """Return jobs of another command, such as ``sqs``: first identity, then state."""
    rows = (line.split() for line in text.splitlines(keepends=True) if line.endswith('\n'))
    return {
        each: Row(each, _state(fields[1]))
        for fields in rows
        if len(fields) > 1 and _JOB.fullmatch(fields[0])
        for each in _elements(fields[0])
    }


def parse_sacct(text: str) -> dict[str, Row]:
    """Return jobs in the output of ``sacct -n -X -P -o SACCT``; the last row counts.

    The name may be missing, and may hold anything.
    """
    rows = {}
    for line in text.splitlines(keepends=True):
        parts = line.rstrip('\n').split('|', 4)
        if len(parts) < 4 or not line.endswith('\n') or not _JOB.fullmatch(parts[0].strip()):
            continue
        state, _, by = parts[1].partition(' by ')
        if _state(state) not in KNOWN:
            continue
        for each in _elements(parts[0].strip()):
            name = parts[4].strip() if len(parts) == 5 else ''
            rows[each] = Row(
                each,
                _state(state),
                ends=_date(parts[3]),
                name=name,
                exitcode=_exitcode(parts[2]),
                by=by.strip(),
            )
    return rows


def parse_job(text: str) -> dict[str, str]:
    """The ``Name=value`` words of ``scontrol show job -o``.

    The first of each name counts: comments, and since Slurm 25.11 the command line of sbatch, stand
    behind what is read here, and may hold such words themselves.
    """
    job: dict[str, str] = {}
    for word in text.split():
        name, _, value = word.partition('=')
        if name:
            job.setdefault(name, value)
    return job


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
    """Return job identity and cluster from the output of ``sbatch``, parsable or not.

    Returns
    -------
    jobid, cluster : str
        The cluster is empty unless there are several. Both are empty if there is no identity in the
        text.
    """
    for line in reversed(text.splitlines()):  # a site's greeting comes before
        match = _SUBMITTED.fullmatch(line.strip())
        if match is not None:
            return match[1] or match[3], (match[2] or match[4] or '').strip()
    return '', ''


def number_of(jobid: str) -> str:
    """Return the identity that Slurm knows: without the cluster."""
    return jobid.partition('@')[0]


def _elements(jobid: str) -> Iterator[str]:
    base, bracket, inner = jobid.partition('_[')
    if not bracket:
        yield jobid
        return
    for part in inner.rstrip('].').partition('%')[0].split(','):
        limits, _, step = part.partition(':')
        first, _, last = limits.partition('-')
        if first.isdecimal() and (not last or last.isdecimal()) and (not step or step.isdecimal()):
            numbers = range(int(first), int(last or first) + 1, int(step or 1) or 1)
            yield from (f'{base}_{number:d}' for number in numbers[:_ELEMENTS_MAX])


def _state(text: str) -> str:
    word = (text.split() or ['UNKNOWN'])[0].rstrip('+').upper()
    if word not in KNOWN and len(word) >= _CUT:
        # A column of sacct cuts long names: OUT_OF_ME+, CANCELLED+.
        full = [state for state in KNOWN if state.startswith(word)]
        word = full[0] if len(full) == 1 else word
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
