"""Notice of forks: objects that release in a child what is their parent's."""

from __future__ import annotations

import os
import weakref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Forkable(Protocol):
        """An object that has to be told that it is now in a child process."""

        def forked(self) -> None:
            """Release what belongs to the parent process.

            That is locks held by its threads, and open file descriptions that it shares with this
            process.
            """


_forkable: weakref.WeakSet[Forkable] = weakref.WeakSet()


def tell_fork(owner: Forkable) -> None:
    """Notify ``owner`` in every child that this process forks, as long as it lives."""
    _forkable.add(owner)


def _forked() -> None:
    for owner in list(_forkable):
        owner.forked()


os.register_at_fork(after_in_child=_forked)
