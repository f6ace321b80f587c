"""Options and environment of Slurm's commands: which of them a user may set."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ..errors import ConfigError

__all__ = ['check_sbatch_options', 'command_environ', 'default_clusters', 'ignored_variable']

SHORT = {
    'A': 'account', 'B': 'extra-node-info', 'C': 'constraint', 'D': 'chdir', 'F': 'nodefile',
    'G': 'gpus', 'H': 'hold', 'J': 'job-name',
    'L': 'licenses', 'M': 'clusters', 'N': 'nodes', 'O': 'overcommit', 'Q': 'quiet',
    'S': 'core-spec', 'V': 'version', 'W': 'wait', 'a': 'array',
    'b': 'begin', 'c': 'cpus-per-task', 'd': 'dependency', 'e': 'error', 'h': 'help', 'i': 'input',
    'k': 'no-kill', 'm': 'distribution', 'n': 'ntasks',
    'o': 'output', 'p': 'partition', 'q': 'qos', 's': 'oversubscribe', 't': 'time', 'u': 'usage',
    'v': 'verbose', 'w': 'nodelist', 'x': 'exclude',
}  # fmt: skip
"""Long names of sbatch's options of one letter."""

_RESERVED = frozenset(
    {
        'array', 'chdir', 'gid', 'help', 'input', 'job-name', 'open-mode', 'parsable', 'quiet',
        'script', 'test-only', 'uid', 'usage', 'version', 'wait',
        'wrap',
    }
)  # fmt: skip
_OWN = {
    name: name for name in ('account', 'constraint', 'qos', 'time', 'output', 'error', 'signal')
} | {'nodes': 'nodes_per_worker'}
_ALIASES = {
    'cluster': 'clusters',
    'gpus-per-job': 'gpus',
    'licence': 'licenses',
    'workdir': 'chdir',
    'share': 'oversubscribe',
}
_OTHER = frozenset(
    """acctg-freq batch bb bbf begin cluster-constraint clusters comment container contiguous
    core-spec cores-per-socket cpu-freq cpus-per-gpu cpus-per-task deadline delay-boot dependency
    distribution exclude exclusive export export-file extra-node-info get-user-env gpu-bind
    gpu-freq gpus gpus-per-node gpus-per-socket gpus-per-task gres gres-flags hint hold
    ignore-pbs kill-on-invalid-dep licenses mail-type mail-user mcs-label mem mem-bind
    mem-per-cpu mem-per-gpu mincpus network nice no-kill no-requeue nodefile nodelist ntasks
    ntasks-per-core ntasks-per-gpu ntasks-per-node ntasks-per-socket overcommit oversubscribe
    partition power prefer priority profile propagate reboot requeue reservation sockets-per-node
    spread-job switches thread-spec threads-per-core time-min tmp use-min-nodes verbose
    wait-all-nodes wckey""".split()
)
_KEPT = (
    'SLURM_CONF',
    'SLURM_CONF_SERVER',
    'SLURM_JWT',
    'SLURM_SACK_KEY',
    'SLURM_SACK_SOCKET',
    'SLURM_DEBUG_FLAGS',
)
_DROPPED = (
    'SLURM_',
    'SLURMD_',
    'SBATCH_',
    'SALLOC_',
    'SRUN_',
    'SQUEUE_',
    'SACCT_',
    'SCANCEL_',
    'SINFO_',
    'SCONTROL_',
    'DESIPIPE_JOB',
)
_VARIABLES = {
    'constraint': 'SBATCH_CONSTRAINT',
    'partition': 'SBATCH_PARTITION',
    'time': 'SBATCH_TIMELIMIT',
    'qos': 'SBATCH_QOS',
    'account': 'SBATCH_ACCOUNT',
}


def command_environ() -> dict[str, str]:
    """Return the environment in which Slurm's commands run.

    Nothing in it is an option of a command: such a variable would win over what is written in a
    job's script, and a manager that runs in a job itself must not hand that job's settings on. What
    says where Slurm is stays.
    """
    environ = {
        name: value
        for name, value in os.environ.items()
        if name in _KEPT or not name.startswith(_DROPPED)
    }
    return {**environ, 'LC_ALL': 'C.UTF-8' if environ.get('LC_ALL') != 'C' else 'C'}


def default_clusters() -> str:
    """Return the clusters that the shell chooses, where the provider chooses none."""
    return os.environ.get('SBATCH_CLUSTERS') or os.environ.get('SLURM_CLUSTERS', '')


def ignored_variable(option: str) -> str:
    """Return the shell variable that would set an sbatch option and is not passed on.

    It is empty if there is none.
    """
    name = _VARIABLES.get(option, '')
    return name if name in os.environ else ''


def check_sbatch_options(value: Any, what: str) -> dict[str, Any]:
    """Check further options of sbatch.

    Parameters
    ----------
    value : dict, str or None
        ``{'cpus-per-task': 2}``, ``'cpus-per-task=2,exclusive'``.
    what : str
        Name of the option that holds them.

    Returns
    -------
    options : dict
        By their long names.

    Raises
    ------
    ConfigError
        One is desipipe's own, or is given twice.
    """
    if value is None:
        return {}
    if isinstance(value, str):
        value = {
            name.strip(): text.strip() if equals else True
            for name, equals, text in (word.partition('=') for word in value.split(','))
        }
    if not isinstance(value, Mapping) or not all(value):
        raise ConfigError(
            f"{what} must be options of sbatch, such as {{'cpus-per-task': 2}}, or "
            f"'cpus-per-task=2,exclusive', not {value!r}"
        )
    options: dict[str, Any] = {}
    for option, given in value.items():
        name = _long_name(str(option), what)
        if name in options:
            raise ConfigError(f'{what} holds {name!r} twice, as {option!r} too. Keep one of them.')
        if not (given is None or isinstance(given, str | int | float)) or any(
            c in str(given) for c in '\n\r\0'
        ):
            raise ConfigError(
                f'{what}: {option} is {given!r}, but must be text, a number, or True for an option '
                'without a value'
            )
        options[name] = given
    return options


def _long_name(option: str, what: str) -> str:
    name = option.strip().lstrip('-').replace('_', '-')
    name = SHORT.get(name, _ALIASES.get(name, name))
    names = _RESERVED | _OWN.keys() | _OTHER
    if name not in names and len(name) > 1:
        # sbatch takes the beginning of a name too, as long as there is one such name.
        full = [other for other in names if other.startswith(name)]
        if len(full) == 1 and full[0] in _RESERVED | _OWN.keys():
            name = full[0]
    if name in _RESERVED:
        raise ConfigError(f'{what} holds {option!r}, which desipipe needs for itself: leave it out')
    if name in _OWN:
        raise ConfigError(
            f'{what} holds {option!r}, which is an option of the provider itself: {_OWN[name]}='
        )
    return name
