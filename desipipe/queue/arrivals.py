"""Wait for the first, or for all, of several futures."""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import time
from collections import namedtuple
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from ..errors import DesipipeError
from ..serialize import TaskReferences
from ..utils import plural
from .events import ENDED
from .faults import patiently
from .future import Future, has_succeeded, is_over
from .ledger import Ledger
from .lending import lent
from .waiting import Waiter

__all__ = ['DoneAndNotDone', 'as_completed', 'wait']

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
    for batches in _arrivals(_by_queue(left), deadline):
        done.update(*batches)
        if return_when == concurrent.futures.FIRST_COMPLETED:
            break
        if return_when == concurrent.futures.FIRST_EXCEPTION:
            if not all(has_succeeded(future) for batch in batches for future in batch):
                break
    return DoneAndNotDone(done, left - done)


def as_completed(futures: Iterable[Future], timeout: float | None = None) -> Iterator[Future]:
    """Yield futures as their tasks end, like :func:`concurrent.futures.as_completed`.

    Raises
    ------
    TimeoutError
        Not all ended in ``timeout`` seconds.
    """
    for batch in completed_batches(futures, timeout):
        yield from batch


def completed_batches(
    futures: Iterable[Future], timeout: float | None = None
) -> Iterator[list[Future]]:
    """Yield futures as their tasks end, all of a queue that are seen at once together.

    Raises
    ------
    TimeoutError
        Not all ended in ``timeout`` seconds.
    """
    left = _by_queue(futures)
    deadline = None if timeout is None else time.monotonic() + timeout
    for batches in _arrivals(left, deadline):
        yield from batches
    if left:
        n_left = sum(map(len, left.values()))
        reasons = (_waiter(ledger, left).reason() for ledger in left)
        reasons_text = ''.join(f'. {reason}' for reason in reasons if reason is not None)
        raise TimeoutError(
            f'{plural(n_left, "future")} not done after {timeout:g} s; the tasks go on, '
            f'nothing is lost{reasons_text}'
        )


def _by_queue(futures: Iterable[Future]) -> dict[Ledger, list[Future]]:
    """Return futures, each once and in order, by their queues."""
    queues: dict[Ledger, list[Future]] = {}
    for future in dict.fromkeys(futures):
        queues.setdefault(future._ledger, []).append(future)
    return queues


def _arrivals(
    left: dict[Ledger, list[Future]], deadline: float | None
) -> Iterator[list[list[Future]]]:
    """Take out what has ended, or was deleted, and yield the batches of each look.

    Those of a batch are of one queue, and in order: as a rule results are neighbours in a file.
    """
    waiters = {ledger: _waiter(ledger, left) for ledger in left}
    while left:
        over = {ledger: _over(ledger, own) for ledger, own in left.items()}
        batches = {ledger: batch for ledger, batch in over.items() if batch}
        for ledger, batch in batches.items():
            if len(batch) == len(left[ledger]):
                del left[ledger]
            else:
                ended = set(batch)
                left[ledger] = [future for future in left[ledger] if future not in ended]
        if batches:
            yield list(batches.values())
            continue
        seconds = None if deadline is None else deadline - time.monotonic()
        if seconds is not None and seconds <= 0:
            return
        # Several queues: look at each in turn, none for long.
        with lent([future.tid for own in left.values() for future in own]):
            for ledger, own in left.items():
                with contextlib.suppress(DesipipeError, OSError):  # the next turn looks what it is
                    ready = functools.partial(_any_over, own)
                    waiters[ledger].wait(ready, 0.05 if len(left) > 1 else seconds)
                    waiters[ledger].tell()


def _waiter(ledger: Ledger, left: Mapping[Ledger, Collection[Future]]) -> Waiter:
    def rows() -> Iterator[int]:
        own = (future.tid for future in left.get(ledger, ()))
        return (row for tid in own if (row := ledger.state.rows.get(tid)) is not None)

    return Waiter(ledger, rows)


def _over(ledger: Ledger, futures: list[Future]) -> list[Future]:
    """Return the futures of a queue whose tasks have ended; all if the queue is gone."""
    try:
        patiently(ledger.follow)
    except DesipipeError:
        return futures
    state = ledger.state
    find, status = state.rows.get, state.status
    return [
        future
        for future in futures
        if ((row := find(future.tid)) is not None and status[row] in ENDED)
        or is_over(future, False)
    ]


def _any_over(futures: Collection[Future]) -> bool:
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
