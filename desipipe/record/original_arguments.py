"""Find results of other tasks among the arguments that a 1.0 worker wrote back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..serialize import encode
from .original_pickles import Absent, absent_names

Token = bytes | None
"""Equal for values that are equal; None where that cannot be told."""


def token(value: object) -> Token:
    """Return what tells a value from others, its class importable or not."""
    missing = absent_names(value)
    if missing:
        return f'absent {missing}'.encode()
    try:
        return encode(value)
    except Exception:  # of what has no identity: it is then no known result
        return None


def put_futures(
    arguments: dict[str, Any],
    needs: Sequence[tuple[Token, str]],
    future: Callable[[str], object],
) -> dict[str, Any]:
    """Put the futures back in the place of the results that were passed for them.

    Parameters
    ----------
    arguments : dict
    needs : sequence of (token, str)
        Results and identities of the tasks that were needed, in the order of the arguments.
    future : callable
        Given the identity of a task, returns its future.

    Returns
    -------
    arguments : dict
        Those given, if not all of the results are found in them.
    """
    left = [need for need in needs if need[0] is not None]
    if not left or len(left) < len(needs):
        return arguments
    replaced = {name: _replaced(value, left, future) for name, value in arguments.items()}
    return arguments if left else replaced


def _replaced(value: Any, left: list[tuple[Token, str]], future: Callable[[str], object]) -> Any:
    """Return a value with futures instead of results, which leave the list."""
    if not left or isinstance(value, Absent) and left[0][0] != token(value):
        return value
    if token(value) == left[0][0]:
        return future(left.pop(0)[1])
    if type(value) is dict:
        return {key: _replaced(item, left, future) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_replaced(item, left, future) for item in value)
    return value
