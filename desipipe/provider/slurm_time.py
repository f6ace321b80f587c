"""Time spans as Slurm writes them."""

from __future__ import annotations

import re

__all__ = ['decode_slurm_time', 'format_time', 'parse_time']

_TIME = re.compile(r'(?:(\d+)-(\d+)(?::(\d+)(?::(\d+))?)?|(\d+)(?::(\d+)(?::(\d+))?)?)')


def decode_slurm_time(s: str) -> tuple[int, int, int, int]:
    """Return a time limit as days, hours, minutes and seconds, as they are written.

    Parameters
    ----------
    s : str
        Time limit as Slurm writes it: '30' (minutes), '1:30:00', '1-12:00:00'.

    Raises
    ------
    ValueError
        If it is none.
    """
    parse_time(s)
    days, dash, rest = s.partition('-')
    parts = [int(part) for part in (rest if dash else s).split(':')]
    if dash:
        hours, minutes, seconds = (*parts, 0, 0)[:3]
    elif len(parts) == 3:
        hours, minutes, seconds = parts
    else:
        hours, (minutes, seconds) = 0, (*parts, 0)[:2]
    return int(days) if dash else 0, hours, minutes, seconds


def parse_time(text: str) -> int:
    """Seconds of a time span as Slurm writes it.

    Parameters
    ----------
    text : str
        ``'30'`` (minutes), ``'30:00'``, ``'1:30:00'``, ``'1-12'`` (days and hours), ``'1-12:30'``,
        ``'1-12:30:00'``.

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
        raise ValueError(f'{text!r} is no time span.')
    days, *rest = match.groups()
    if days is not None:
        hours, minutes, seconds = (int(part or 0) for part in rest[:3])
    else:
        first, second, third = rest[3:]
        hours, minutes, seconds = (
            (int(first), int(second), int(third)) if third else (0, int(first), int(second or 0))
        )
    return ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds


def format_time(text: str) -> str:
    """A time span in the form that providers keep, ``'0-1:0:0'``."""
    days, *rest = decode_slurm_time(text)
    return f'{days:d}-{":".join(map(str, rest))}'
