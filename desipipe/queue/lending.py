"""Waiting for tasks inside a task: the worker lends the waiting task's slot."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext

Lender = Callable[[Iterable[bytes]], AbstractContextManager[object]]
_lender: list[Lender] = []


def set_lender(lender: Lender) -> None:
    """Set what is entered while this process waits for tasks; by a slot."""
    _lender[:] = [lender]


def lent(tids: Iterable[bytes]) -> AbstractContextManager[object]:
    """Return the context in which to wait for the tasks of these identities."""
    return _lender[0](tids) if _lender else nullcontext()
