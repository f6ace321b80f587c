"""Transient faults: errors of a filesystem or the system that are worth a retry."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    T = TypeVar('T')


RETRY_FIRST_S = 0.01
RETRY_MAX_S = 1.0
PATIENCE_S = 60.0
# What a task itself causes (too large a file for its own limit, a descriptor it has closed) does
# not pass.
_PASSING = frozenset(
    getattr(errno, name)
    for name in (
        *(
            'EAGAIN',
            'EBADF',
            'EBUSY',
            'EDEADLK',
            'EDQUOT',
            'EHOSTDOWN',
            'EHOSTUNREACH',
            'EINTR',
            'EIO',
        ),
        *('EKEYEXPIRED', 'EMFILE', 'ENETDOWN', 'ENETUNREACH', 'ENFILE', 'ENOBUFS', 'ENOLCK'),
        *('ENOMEM', 'ENOSPC', 'ENOTCONN', 'EREMOTEIO', 'EROFS', 'ESTALE', 'ETIMEDOUT', 'ESHUTDOWN'),
    )
    if hasattr(errno, name)
)


def error_numbers(exc: BaseException) -> Iterator[int]:
    """Yield the error numbers of an exception and of those that caused it."""
    seen: set[int] = set()
    current: BaseException | None = exc
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        if isinstance(current, OSError) and current.errno is not None:
            yield current.errno
        current = current.__cause__ or current.__context__


def passes(exc: BaseException) -> bool:
    """Return True when the same call may work a moment later."""
    return any(number in _PASSING for number in error_numbers(exc))


def patiently(
    call: Callable[[], T],
    seconds: float = PATIENCE_S,
    tell: Callable[[BaseException], object] | None = None,
) -> T:
    """Call until it works, with growing pauses, as long as what it raises may pass.

    Parameters
    ----------
    call : callable
    seconds : float, default=60
        Time after which the error is raised.
    tell : callable, default=None
        Gets the first error.

    Returns
    -------
    value : object
        What ``call`` returned.
    """
    pause, deadline = RETRY_FIRST_S, time.monotonic() + seconds
    while True:
        try:
            return call()
        except Exception as exc:
            if not passes(exc) or time.monotonic() + pause > deadline:
                raise
            if tell is not None:
                tell(exc)
                tell = None
        time.sleep(pause)
        pause = min(2 * pause, RETRY_MAX_S)
