"""Read what tasks are chosen by: one value or several."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

from .ledger import find_mid

if TYPE_CHECKING:
    from .state import State


def several(value: str | Iterable[str]) -> list[str]:
    """Return a list of one value or of several."""
    return [value] if isinstance(value, str) else list(value)


def mids_of_names(state: State, mid: str | Iterable[str]) -> list[str]:
    """Return the task managers whose identities begin so, without unknown ones."""
    begun = [text for text in several(mid) if any(map(startswith(text), state.managers))]
    return list(dict.fromkeys(find_mid(state, text) for text in begun))


def startswith(text: str) -> Any:
    """Return a function that tells whether an identity begins so."""
    return lambda identity: identity.startswith(text)


class HasTasks(Protocol):
    """Collection that tells whether it has a task."""

    def __contains__(self, tid: Any) -> bool: ...


def tids_there(queue: HasTasks, tid: str | Iterable[str] | None) -> list[str] | None:
    """Return the identities that are those of tasks of a queue; None for None."""
    return None if tid is None else [text for text in several(tid) if text in queue]
