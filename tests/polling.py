"""Wait for conditions that other processes and threads bring about."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

TIMEOUT_S = 120.0  # Only a test that hangs gets there.
PAUSE_MIN_S = 0.002
PAUSE_MAX_S = 0.05

Value = TypeVar('Value')


def wait_for(
    condition: Callable[[], Value],
    what: str | Callable[[], str] = 'the condition',
    timeout: float = TIMEOUT_S,
) -> Value:
    """Evaluate a condition until it is true, and return its value.

    Put all that is asserted afterwards into the condition: what another process brings about in
    a second step may not have happened yet when the first step is visible.

    Parameters
    ----------
    condition : callable
        Returns a true value in the end.
    what : str or callable, default='the condition'
        Description for the error, or what gives one when it is needed.
    timeout : float, default=TIMEOUT_S
        Limit in seconds, for a loaded machine: not the expected duration.

    Returns
    -------
    value : object
        The true value of ``condition``.
    """
    deadline = time.monotonic() + timeout
    pause = PAUSE_MIN_S
    while not (value := condition()):
        if time.monotonic() > deadline:
            what = what if isinstance(what, str) else what()
            raise AssertionError(f'{what} did not come true within {timeout:g} s')
        time.sleep(pause)
        pause = min(1.2 * pause, PAUSE_MAX_S)
    return value
