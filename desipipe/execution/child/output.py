"""The output of a slot's tasks: where each ends, and new pipes after some."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Sequence
from typing import Any

from ..mpi_connection import taken
from ..output_pipe import OutputPipes
from ..slot_memory import SharedMemory
from .restorer import Restorer

Ending = bool | None | tuple[bytes, ...]
"""The form of :attr:`.TaskDone.output`."""


class SlotOutput:
    """The output of the tasks of a slot.

    Parameters
    ----------
    standard : sequence of int
        Private duplicates of descriptors 0, 1 and 2.
    marker : bytes
        Written to stdout and stderr between tasks that wrote something.
    restorer : Restorer
    shared : SharedMemory, default=None
        Shared with the worker. Without it each task counts as having written.
    unread : select.poll, default=None
        Tells, with ``shared``, whether something is in the output pipes.
    pipes : OutputPipes, default=None
        Pipes, where processes that a task leaves behind can be told apart.
    """

    def __init__(
        self,
        standard: Sequence[int],
        marker: bytes,
        restorer: Restorer,
        shared: SharedMemory | None = None,
        unread: Any = None,
        pipes: OutputPipes | None = None,
    ) -> None:
        self._standard = standard
        self._marker = marker
        self._restorer = restorer
        self._shared = shared
        self._unread = unread
        self._pipes = pipes
        self._drained = 0 if shared is None else shared.drains
        self._captured: tuple[int, int] | None = None

    def capture(self) -> None:
        """Keep output here, and send it with the report.

        In what a launcher passes on, nobody could tell ranks apart.
        """
        import tempfile

        self._captured = (self._standard[1], self._standard[2])
        for fd in self._captured:
            with tempfile.TemporaryFile() as file:
                os.dup2(file.fileno(), fd, inheritable=False)
        self._restorer.process.restore_descriptors()

    def end_task(self) -> Ending:
        """Mark where the output of a task ends, unless it wrote none.

        It wrote none if nothing is in the pipes, and the worker neither reads them now nor has read
        output from them since we last looked. The order matters: first the pipes, then what the
        worker says. None if user code has closed all descriptors.
        """
        self._restorer.flush()
        process = self._restorer.process
        try:
            process.restore_descriptors()
            process.unblock()
            if self._captured is not None:
                return tuple(taken(fd) for fd in self._captured)
            if self._shared is not None:
                waiting = self._unread.poll(0)
                drained = self._shared.drains
                if not waiting and drained == self._drained != -1:
                    return False
                self._drained = drained
            for fd in self._standard[1:]:
                _write(fd, self._marker)
        except OSError:
            return None
        return True

    def renew_pipes(self) -> bool:
        """Make new pipes if the task has started processes; return True if it did.

        Before the next task: what a process prints that this one has left is no output of that one.
        """
        if self._pipes is None:
            return False
        try:
            is_new = self._pipes.renew()
        except OSError as exc:
            print(
                f'desipipe: no new pipes for the output ({exc}); what a process prints late may '
                'appear under another task.',
                file=sys.stderr,
            )
            return False
        if is_new:
            self._drained = 0 if self._shared is None else self._shared.drains
        return is_new


def _write(fd: int, data: bytes) -> None:
    # Of a pipe that a left-over process of a task has made non-blocking, too: the worker reads on.
    while data:
        try:
            data = data[os.write(fd, data) :]
        except BlockingIOError:
            select.select((), (fd,), ())
