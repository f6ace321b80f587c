"""Queues that are only looked at.

What shows a queue once and ends, such as a verb of the command line, imports this and not the
queue that programs use.
"""

from __future__ import annotations

import os

from ..config import Config
from ..security.trust import TrustedUsers
from .attempt_reader import AttemptReader
from .faults import patiently
from .names import OPEN_PATIENCE_S, SUFFIX, queue_exists, unknown_queue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class ReadableQueue(Protocol):
        """The members that summaries need of a queue."""

        @property
        def name(self) -> str:
            """The bare name."""

        @property
        def ledger(self) -> AttemptReader:
            """The journal and state."""


class ReadOnlyQueue:
    """A queue that exists, to be looked at: nothing of it is changed, loaded or run.

    Parameters
    ----------
    folder : str
        The queue's folder.
    config : Config, default=None

    Raises
    ------
    UnknownQueueError, PermissionDeniedError, QueueVersionError, CorruptJournalError
    """

    def __init__(self, folder: str, config: Config | None = None) -> None:
        self.config = config or Config()
        self.folder = folder
        if not queue_exists(folder):
            raise unknown_queue(folder)
        trusts = TrustedUsers(self.config)
        self.ledger = patiently(lambda: AttemptReader(folder, trusts=trusts), OPEN_PATIENCE_S)

    @property
    def name(self) -> str:
        """The bare name."""
        return os.path.basename(self.folder).removesuffix(SUFFIX)
