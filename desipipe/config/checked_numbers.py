"""Check that options are numbers."""

from __future__ import annotations

import operator

from ..errors import ConfigError


def whole_number(value: object, what: str, least: int = 1) -> int:
    """Check that a value is a whole number.

    Parameters
    ----------
    value : object
        What was given.
    what : str
        What it is, for the message: ``"max_workers of the scheduler 'simple'"``.
    least : int, default=1
        The smallest number that makes sense.

    Returns
    -------
    number : int
        As a Python integer (NumPy's, text and whole floats are accepted).

    Raises
    ------
    ConfigError
        If it is anything else; a truth value is not a number here.
    """
    number = (
        operator.index(value)
        if hasattr(value, '__index__') and not isinstance(value, bool)
        else None
    )
    if (
        isinstance(value, str | float)
        and (converted := _converted(value)) is not None
        and converted == int(converted)
    ):
        number = int(converted)
    if number is None or number < least:
        raise ConfigError(f'{what} must be a whole number, at least {least:d}, not {value!r}')
    return number


def number(value: object, what: str, least: float = 0.0) -> float:
    """Check that a value is a finite number.

    Parameters
    ----------
    value : object
        What was given.
    what : str
        What it is, for the message.
    least : float, default=0.0
        The smallest number that makes sense.

    Returns
    -------
    number : float

    Raises
    ------
    ConfigError
        If it is anything else.
    """
    converted = None if isinstance(value, bool) else _converted(value)
    if converted is None or converted < least:
        raise ConfigError(f'{what} must be a number, at least {least:g}, not {value!r}')
    return converted


def _converted(value: object) -> float | None:
    """Return a finite number, of text too; None of anything else."""
    if not isinstance(value, str | int | float):
        return None
    try:
        converted = float(value)
    except (ValueError, OverflowError):
        return None
    return converted if abs(converted) < float('inf') else None
