"""Types of options, of cells and of the command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


STATES = ('WAITING', 'PENDING', 'RUNNING', 'SUCCEEDED', 'FAILED', 'KILLED', 'UNKNOWN')
MODES = ('stop_at_error', 'retry_at_timeout', 'no_stream', 'no_out')


def state(text: str) -> str:
    """A state's name, in capitals or not."""
    if text.upper() not in STATES:
        from ..errors import close_names

        raise argparse.ArgumentTypeError(
            f'there is no state {text!r}: {close_names(text.upper(), STATES, n=7)}'
        )
    return text.upper()


def mode(text: str) -> str:
    """Modes, separated by commas."""
    for word in text.replace(',', ' ').split():
        if word not in MODES:
            from ..errors import close_names

            raise argparse.ArgumentTypeError(
                f'there is no mode {word!r}: {close_names(word, MODES)}'
            )
    return text


def seconds(text: str) -> float:
    """A time span in seconds, not negative."""
    value = _number(float, text, 'a number of seconds, such as 3600')
    if not 0 <= value < float('inf'):
        raise argparse.ArgumentTypeError(
            f'{text} is no time span: give a number of seconds, at least 0'
        )
    return float(value)


def whole(text: str) -> int:
    """A whole number that is not negative."""
    value = _number(int, text, 'a whole number')
    if value < 0:
        raise argparse.ArgumentTypeError(f'{text} is negative: give a whole number, at least 0')
    return int(value)


def positive(text: str) -> int:
    """A whole number of at least 1."""
    if not whole(text):
        raise argparse.ArgumentTypeError('0 is too few: give a whole number, at least 1')
    return whole(text)


def _number(kind: Callable[[str], Any], text: str, expected: str) -> Any:
    try:
        return kind(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f'{text!r} is no number: give {expected}') from None
