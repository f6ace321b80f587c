"""Pipes between a slot and its worker, renewed once other processes may hold them.

What a process prints after the task that started it has ended belongs to no other task. The slot
cannot tell who else may write to its pipes; so after a task that started processes it makes new
pipes, and hands their ends over. What still comes through the old ones goes to the worker's log.
"""

from __future__ import annotations

import logging
import os
import resource
import socket
from collections.abc import Sequence

logger = logging.getLogger('desipipe')

STARTED_MIN_US = 200  # of shorter tasks none has started a process
LATE_MAX_BYTES = 4096  # of late output that are logged, for each pipe
_READ = 1 << 16


class OutputPipes:
    """The slot's side.

    Parameters
    ----------
    writes : sequence of int
        Private descriptors of the slot's ends, of stdout and stderr.
    reads : sequence of int
        The worker's ends, as the slot has them.
    handover : socket.socket
        To the worker, for descriptors.
    """

    def __init__(
        self, writes: Sequence[int], reads: Sequence[int], handover: socket.socket
    ) -> None:
        self._writes = writes
        self._reads = reads
        self._handover = handover
        self._waited = _waited()
        self._children: frozenset[int] | None = frozenset()

    def renew(self) -> bool:
        """Make new pipes if processes were started since the last call; return True if so.

        The worker must then be told.

        Raises
        ------
        OSError
            There are no descriptors left. The old pipes stay.
        """
        waited = _waited()
        children = _children() if _has_children() else frozenset()
        started = (
            waited != self._waited
            or children is None
            or self._children is None
            or bool(children - self._children)
        )
        self._waited, self._children = waited, children
        if not started:
            return False
        ends: list[tuple[int, int]] = []
        try:
            for _ in self._writes:
                ends.append(os.pipe())
                os.set_blocking(ends[-1][0], False)
            socket.send_fds(self._handover, [b'p'], [read for read, _ in ends])
            for number, (read, write) in enumerate(ends):
                os.dup2(write, self._writes[number], inheritable=False)
                os.dup2(write, number + 1)
                os.dup2(read, self._reads[number], inheritable=False)
        finally:
            for pair in ends:
                for fd in pair:
                    os.close(fd)
        return True


def _waited() -> tuple[int, float, float]:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_minflt, used.ru_utime, used.ru_stime


def _has_children() -> bool:
    if not hasattr(os, 'waitid'):  # macOS before Python 3.13: there may be some
        return True
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _children() -> frozenset[int] | None:
    # Those of the main thread, and of others that user code started processes from; None where the
    # kernel does not say.
    pids: set[int] = set()
    try:
        for thread in os.listdir('/proc/self/task'):
            with open(f'/proc/self/task/{thread}/children', 'rb') as file:
                pids.update(map(int, file.read().split()))
    except OSError:
        return None
    return frozenset(pids)


class LateOutput:
    """The worker's end of a pipe that a slot has let go of.

    Parameters
    ----------
    fd : int
    slot : str
        Name of the slot.
    data : bytes, default=b''
        Bytes that came through it since the last task ended.
    """

    def __init__(self, fd: int, slot: str, data: bytes = b'') -> None:
        self.fd = fd
        self._slot = slot
        self._room = LATE_MAX_BYTES
        self._log(data)

    def drain(self) -> bool:
        """Read what is there; return True when nobody can write any more."""
        try:
            data = os.read(self.fd, _READ)
        except BlockingIOError:
            return False
        except OSError:
            return True
        self._log(data)
        return not data

    def _log(self, data: bytes) -> None:
        if not data or self._room <= 0:
            return
        text = data[: self._room].decode(errors='replace').rstrip()
        self._room -= len(data)
        logger.info(
            'Slot %s: a process that an earlier task left behind printed: %s', self._slot, text
        )

    def close(self) -> None:
        """Close the pipe."""
        os.close(self.fd)
