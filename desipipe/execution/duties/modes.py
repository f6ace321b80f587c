"""Modes of a worker."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Mode(StrEnum):
    """The modes that a worker may be started with."""

    STOP_AT_ERROR = 'stop_at_error'
    """It ends when a task failed."""
    RETRY_AT_TIMEOUT = 'retry_at_timeout'
    """Tasks that its end has killed run again."""
    NO_STREAM = 'no_stream'
    """Output cannot be followed while a task runs."""
    NO_OUT = 'no_out'
    """Output is not kept."""


MODES = tuple(Mode)


def check_mode(mode: str | Iterable[str]) -> frozenset[str]:
    """Return the modes, checked.

    Raises
    ------
    ValueError
        Listing the valid ones.
    """
    modes = frozenset(mode.replace(',', ' ').split() if isinstance(mode, str) else mode)
    unknown = sorted(modes - set(MODES))
    if unknown:
        raise ValueError(f'There is no mode {unknown[0]!r}. Use any of {", ".join(MODES)}.')
    return modes
