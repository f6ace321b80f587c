"""Check the options of a provider of Slurm's jobs."""

from __future__ import annotations

import re
import shlex
import signal
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ..config.checked_numbers import number
from ..errors import ConfigError
from ..utils import is_sequence
from .slurm_options import check_sbatch_options
from .slurm_time import format_time, parse_time

__all__ = ['CONVERTED', 'Signal', 'check_killed', 'check_text', 'check_time', 'parse_signal']

_SIGNAL = re.compile(r'(?:([RB]+):)?(SIG)?(\w+)(?:@(\d+))?')


class Signal(NamedTuple):
    """A signal that Slurm sends before a job's time limit."""

    flags: str
    """Whom it reaches, as Slurm writes it: ``'B'``, ``'R'``, ``'RB'`` or nothing."""
    name: str
    seconds: int


def parse_signal(value: Any, what: str) -> Signal:
    """Return a signal as it is written for ``sbatch``.

    Parameters
    ----------
    value : str
        ``'SIGTERM@60'``, ``'B:USR1@30'``.
    what : str
        Name of the option.
    """
    match = _SIGNAL.fullmatch(value) if isinstance(value, str) else None
    if match is None or not (match[3].isdecimal() or hasattr(signal, f'SIG{match[3]}')):
        raise ConfigError(
            f'{what} is {value!r}, but must be a signal and the seconds before the time limit, '
            "such as 'SIGTERM@60'."
        )
    return Signal(match[1] or '', match[3], int(match[4] or 60))


def check_time(value: Any, what: str) -> str:
    """Return a time span as Slurm writes it.

    Parameters
    ----------
    value : str, int
        ``'30'`` (minutes), ``'1:30:00'``, ``'1-12:00:00'``.
    what : str
        Name of the option.
    """
    try:
        seconds = parse_time(str(value) if not isinstance(value, bool) else '')
    except ValueError:
        seconds = 0
    if not seconds:
        raise ConfigError(
            f"{what} is {value!r}, but must be a time span as Slurm writes it: '30' "
            "(minutes), '1:30:00', '1-12:00:00'."
        )
    return format_time(str(value).strip())


def _check_nodes(value: Any, what: str) -> float:
    nodes = number(value, what)
    if nodes <= 0:
        raise ConfigError(
            f'{what} is {nodes:g}, but must be more than 0; less than 1 for several '
            'workers on a node.'
        )
    return nodes


def _check_command(value: Any, what: str) -> list[str] | None:
    if value is None:
        return None
    if isinstance(value, str):
        argv = shlex.split(value)
    else:
        argv = list(value) if is_sequence(value) else [value]
    if not argv or not all(isinstance(word, str) for word in argv):
        raise ConfigError(
            f'{what} is {value!r}, but must be a command that lists jobs, such as '
            '["squeue", "--me"].'
        )
    return argv


CONVERTED: Mapping[str, Callable[[Any, str], Any]] = {
    'time': check_time,
    'nodes_per_worker': _check_nodes,
    'sqs': _check_command,
    'kwargs': check_sbatch_options,
}
"""Functions that check options and return them as they are kept."""


def check_killed(value: Any, what: str) -> None:
    """Check what becomes of tasks that run at the time limit."""
    if value not in (None, True, False):
        raise ConfigError(f'{what} must be True, False or None, not {value!r}')


def check_text(value: Any, what: str) -> None:
    """Check an option of ``sbatch`` that is passed on."""
    if not isinstance(value, str) or '\n' in value:
        raise ConfigError(f'{what} must be text, or None for what Slurm chooses, not {value!r}')
