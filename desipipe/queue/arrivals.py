"""Wait for the first, or for all, of several futures."""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import time
from collections import namedtuple
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from ..errors import DesipipeError
from ..serialize import TaskReferences
from ..utils import plural
from .faults import patiently
from .future import Future, has_succeeded, is_over
from .ledger import Ledger
from .lending import lent
from .waiting import Waiter

DoneAndNotDone = namedtuple('DoneAndNotDone', ('done', 'not_done'))


def wait(
    futures: Iterable[Future],
    timeout: float | None = None,
    return_when: str = concurrent.futures.ALL_COMPLETED,
) -> DoneAndNotDone:
    """Wait for futures, as :func:`concurrent.futures.wait` does.

    Parameters
    ----------
    futures : iterable of Future
    timeout : float, default=None
        Seconds to wait at most.
    return_when : str, default='ALL_COMPLETED'
        One of the constants of :mod:`concurrent.futures`.

    Returns
    -------
    done, not_done : sets of Future
    """
    left = set(futures)
    done: set[Future] = set()
    deadline = None if timeout is None else time.monotonic() + timeout
    for batch in _arrivals(left, deadline):
        done.update(batch)
        if return_when == concurrent.futures.FIRST_COMPLETED:
            break
        if return_when == concurrent.futures.FIRST_EXCEPTION:
            if not all(map(has_succeeded, batch)):
                break
    return DoneAndNotDone(done, left - done)


def as_completed(futures: Iterable[Future], timeout: float | None = None) -> Iterator[Future]:
    """Yield futures as their tasks end, like :func:`concurrent.futures.as_completed`.

    Raises
    ------
    TimeoutError
        Not all ended in ``timeout`` seconds.
    """
    left = dict.fromkeys(futures)
    deadline = None if timeout is None else time.monotonic() + timeout
    for batch in _arrivals(left, deadline):
        for future in batch:
            del left[future]
            yield future
    if left:
        reasons = (_waiter(ledger, left).reason() for ledger in {item._ledger for item in left})
        reasons_text = ''.join(f'. {reason}' for reason in reasons if reason is not None)
        raise TimeoutError(
            f'{plural(len(left), "future")} not done after {timeout:g} s; the tasks go on, '
            f'nothing is lost{reasons_text}'
        )


def _arrivals(futures: Iterable[Future], deadline: float | None) -> Iterator[list[Future]]:
    """Yield futures as their tasks end, also those of deleted tasks and queues."""
    left = dict.fromkeys(futures)  # in order: as a rule results are neighbours in a file
    waiters = {ledger: _waiter(ledger, left) for ledger in {item._ledger for item in left}}
    while left:
        ledgers = {future._ledger for future in left}
        gone = {ledger for ledger in ledgers if not _can_follow(ledger)}
        over = [future for future in left if future._ledger in gone or is_over(future, False)]
        if over:
            for future in over:
                del left[future]
            yield over
            continue
        seconds = None if deadline is None else deadline - time.monotonic()
        if seconds is not None and seconds <= 0:
            return
        # Several queues: look at each in turn, none for long.
        with lent([future.tid for future in left]):
            for ledger in ledgers:
                own = {future for future in left if future._ledger is ledger}
                with contextlib.suppress(DesipipeError, OSError):  # the next turn looks what it is
                    ready = functools.partial(_any_over, own)
                    waiters[ledger].wait(ready, 0.05 if len(ledgers) > 1 else seconds)
                    waiters[ledger].tell()


def _waiter(ledger: Ledger, left: Collection[Future]) -> Waiter:
    def rows() -> Iterator[int]:
        own = (future.tid for future in left if future._ledger is ledger)
        return (row for tid in own if (row := ledger.state.rows.get(tid)) is not None)

    return Waiter(ledger, rows)


def _can_follow(ledger: Ledger) -> bool:
    try:
        patiently(ledger.follow)
    except DesipipeError:
        return False
    return True


def _any_over(futures: set[Future]) -> bool:
    return any(is_over(future, False) for future in futures)


def results(value: Any) -> Any:
    """Return a value with the results of the futures in it in their places."""
    if isinstance(value, Future):
        return value.result()
    if issubclass(type(value), TaskReferences):
        return [results(item) for item in value]
    if type(value) in (list, tuple, set, frozenset):
        return type(value)(results(item) for item in value)
    if type(value) is dict:
        return {results(key): results(item) for key, item in value.items()}
    return value
