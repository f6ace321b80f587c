"""Reasons for which sbatch does not accept a job, and which of them are final.

Nothing is run here.

Slurm gives a text and no code. The texts are those of its ``slurm_strerror`` and of sbatch's own
check of its options.
"""

from __future__ import annotations

import re

__all__ = ['is_doubtful', 'refusal', 'said']

_FINAL = {
    'account': ('invalid account or',),
    'qos': ('invalid qos specification',),
    'constraint': ('invalid feature specification', 'invalid preferred feature'),
    'partition': (
        'invalid partition name',
        'no partition specified or system default partition',
        'group not permitted to use this partition',
        'requested nodes not in this partition',
    ),
    'time': (
        'requested time limit is invalid',
        'invalid time-min specification',
        'time limit specification required',
        'invalid time specified',
        'invalid time limit specification',
        'invalid --time',
    ),
    'other': (
        # Of slurmctld: no node of this cluster, and no later time, makes the same job possible.
        'access/permission denied',
        'access denied to requested reservation',
        'more processors requested than permitted',
        'node count specification invalid',
        'job size specification needs to be provided',
        'job script not specified',
        'other parameter too long',
        'requested node configuration is not available',
        'invalid node name specified',
        'task distribution specification invalid',
        'task count specification invalid',
        'active features not subset of available features',
        'requested operation not supported on this system',
        'job dependency problem',
        'circular job dependency',
        'does not permit arbitrary task distribution',
        'requested more tasks than available processors',
        'memory required by task is not available',
        'invalid license specification',
        'requested reservation is invalid',
        'invalid wckey specification',
        'cpu count specification invalid',
        'invalid generic resource (gres) specification',
        'duplicate generic resource (gres) specification',
        'invalid gres specification',
        'requested gres option unsupported',
        'invalid trackable resource (tres) specification',
        'burst buffer permission denied',
        'burst buffer request invalid',
        'invalid mcs_label specified',
        'x11 forwarding not available',
        'job --batch option is invalid',
        'knl numa and/or mcdram constraints require',
        'invalid knl configuration',
        'invalid --nice value',
        'invalid accounting frequency requested',
        'multiple partition job request not supported',
        'cannot request more threads per core than',
        'container runtime not configured or invalid',
        'invalid cluster name',
        'invalid cluster feature specification',
        # Of sbatch itself, which can't make sense of an option.
        'unrecognized option',
        'invalid option --',
        'requires an argument',
        "doesn't allow an argument",
        'is ambiguous',
        'mutually exclusive',
        'invalid numeric value',
        'batch script contains dos line breaks',
    ),
}
"""Texts, in lower case, of refusals that stay until someone changes the options of the provider.

Every other refusal may pass.
"""

_FEWER = ('accounting/qos policy', 'submitjoblimit', 'submitlimit', 'maxsubmit', 'submit limit')
_NEVER_SENT = (
    'connect failure',
    'connection failure',
    'connection refused',
    'failed to connect',
    'unable to resolve',
    'configuration source',
)
_SENT = (
    'timed out',
    'timeout',
    'zero bytes',
    'send failure',
    'receive failure',
    'shutdown failure',
    'entire message',
    'message length',
    'zero length message',
    'header lengths',
    'unexpected message',
    'unable to contact',
    'connection reset',
    'connection closed',
    'broken pipe',
    'interrupted',
    'unexpected missing socket',
)


def refusal(text: str) -> str:
    """Classify why sbatch did not accept a job.

    Parameters
    ----------
    text : str
        Its standard error.

    Returns
    -------
    why : str
        Final ones: ``'account'``, ``'qos'``, ``'constraint'``, ``'partition'``, ``'time'``: what
        was wrong; ``'other'``. Ones that pass: ``'array'``: no arrays, or none so large;
        ``'limit'``: later, or fewer; ``'away'``: not now.
    """
    text = ' '.join(text.lower().split())
    if 'job array specification' in text:
        return 'array'
    # The last line is the verdict of slurmctld; those before it are details, as a rule.
    verdict = text.rpartition('batch job submission failed:')[2]
    if not verdict.strip() or 'unspecified error' in verdict:
        verdict = text
    if any(phrase in verdict for phrase in _FEWER) or re.search(
        r'assoc\w*limit|qos(max|grp)\w+', text
    ):
        return 'limit'
    return next(
        (why for why, texts in _FINAL.items() if any(phrase in verdict for phrase in texts)), 'away'
    )


def is_doubtful(text: str) -> bool:
    """Return True where Slurm may have accepted a job although sbatch reports failure.

    Parameters
    ----------
    text : str
        Its standard error.
    """
    text = text.lower()
    return any(phrase in text for phrase in _SENT) and not any(
        phrase in text for phrase in _NEVER_SENT
    )


def said(stderr: str) -> str:
    """Return what ``sbatch`` printed to its standard error, in one line."""
    return ' '.join(
        line.removeprefix('sbatch: ').removeprefix('error: ')
        for line in stderr.splitlines()
        if line.strip()
    )
