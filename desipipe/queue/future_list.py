"""The futures of many tasks, made when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, overload

from ..serialize import TaskReferences
from .columns import ID, Identities, split_ids
from .future import Future
from .ledger import Ledger

LAZY_FROM = 10_000  # futures: below, a list


class FutureList(TaskReferences, Sequence[Future]):
    """A list of futures that takes 16 bytes for each.

    As an argument of a task it is the list of them.

    Parameters
    ----------
    ledger : Ledger
        Of the queue that holds the tasks.
    packed : bytes
        Their identities, one after the other.
    """

    __slots__ = ('_ledger', '_packed')

    def __init__(self, ledger: Ledger, packed: bytes) -> None:
        self._ledger = ledger
        self._packed = packed

    def __len__(self) -> int:
        return len(self._packed) // ID

    @overload
    def __getitem__(self, index: int) -> Future: ...

    @overload
    def __getitem__(self, index: slice) -> list[Future]: ...

    def __getitem__(self, index: int | slice) -> Future | list[Future]:
        at = range(len(self))[index]  # as that of a list: also negative, also out of range
        if isinstance(at, range):
            return [self[i] for i in at]
        return Future(self._ledger, self._packed[ID * at : ID * at + ID])

    def __iter__(self) -> Iterator[Future]:
        ledger = self._ledger
        return (Future(ledger, tid) for tid in split_ids(self._packed))

    def __add__(self, other: Any) -> list[Future]:
        return list(self) + list(other) if isinstance(other, list | FutureList) else NotImplemented

    def __radd__(self, other: Any) -> list[Future]:
        return other + list(self) if isinstance(other, list) else NotImplemented

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, list | FutureList) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, ...]:
        return open_futures, (self._ledger.folder, self._packed)

    def __repr__(self) -> str:
        return f'<{len(self):,d} futures: {self[0]!r}, …, {self[-1]!r}>' if self else '<0 futures>'


def futures_of(ledger: Ledger, ids: Identities) -> Sequence[Future]:
    """Return futures of tasks: a list, or for many a sequence that makes them lazily."""
    if len(ids) < LAZY_FROM:
        return [Future(ledger, tid) for tid in ids]
    return FutureList(ledger, bytes(ids.packed))


def open_futures(folder: str, packed: bytes) -> FutureList:
    """Return the futures of tasks of the queue in ``folder``."""
    return FutureList(Ledger(folder), packed)
