"""Capture of a task's output by the worker: split at markers, and bounded."""

from __future__ import annotations

import os
from collections import deque

from ..security.secrets import begun, hide, process_values
from .output_copy import StreamCopy

OUTPUT_WAIT = 2.0  # s for what mpiexec still has to pass on


_READ = 1 << 16


_READS_MAX = 64  # before other slots have their turn


class Capture:
    """The output of a task on one stream: head and tail, at most ``limit`` bytes.

    Parameters
    ----------
    limit : int
        Bytes to keep; half head, half tail.
    """

    __slots__ = ('_half', '_head', '_tail', '_tail_size', 'total')

    def __init__(self, limit: int) -> None:
        self._half = limit // 2
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._tail_size = 0
        self.total = 0

    def write(self, data: bytes) -> None:
        """Take more bytes in."""
        self.total += len(data)
        room = self._half - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        if data:
            self._tail.append(data)
            self._tail_size += len(data)
            while self._tail and self._tail_size - len(self._tail[0]) >= self._half:
                self._tail_size -= len(self._tail.popleft())

    def value(self) -> bytes:
        """Return what is kept, with a line in the place of what is not."""
        tail = b''.join(self._tail)[-self._half :] if self._half else b''
        cut = self.total - len(self._head) - len(tail)
        if cut <= 0:
            return bytes(self._head) + tail
        return (
            b'%b\n[desipipe: %d of %d bytes cut here; output_limit in config.yaml sets how '
            b'much is kept]\n%b'
        ) % (bytes(self._head), cut, self.total, tail)


class Stream:
    """One output pipe of a slot; splits what comes at the markers.

    Parameters
    ----------
    fd : int
        Read end, non-blocking.
    marker : bytes
        Bytes between two tasks.
    limit : int
        For :class:`Capture`.
    """

    def __init__(self, fd: int, marker: bytes, limit: int) -> None:
        self.fd = fd
        self._marker = marker
        self._limit = limit
        self._rest = b''
        self._open = Capture(limit)
        self._closed: deque[bytes] = deque()
        self.fresh = bytearray()  # for those who follow; taken by the worker
        self.gap = False  # whether some of it came too fast to be followed
        self.ended = (
            False  # all who could write have closed it: a selector would report it for ever
        )
        self.copy: StreamCopy | None = None  # to a file that people follow

    def drain(self) -> None:
        """Read what is there, or a part of it when it comes as fast as it is read."""
        for _ in range(_READS_MAX):
            try:
                data = os.read(self.fd, _READ)
            except OSError:
                return
            if not data:
                self.ended = True
                return
            self._feed(data)
            if len(data) < _READ:
                return

    def _feed(self, data: bytes) -> None:
        data = self._rest + data
        while True:
            cut = data.find(self._marker)
            if cut < 0:
                break
            self._take(data[:cut])
            if self.copy is not None:
                self.copy.end()
            self._closed.append(self._open.value())
            self._open = Capture(self._limit)
            self.fresh.clear()
            data = data[cut + len(self._marker) :]
        # A marker, or a secret, may come in two reads: keep back what could be its beginning.
        keep = begun(data, (self._marker, *process_values()))
        self._rest = data[len(data) - keep :]
        self._take(data[: len(data) - keep])

    def write(self, data: bytes) -> None:
        """Take in what did not come through the pipe."""
        self._take(data)

    def _take(self, data: bytes) -> None:
        data = hide(data)
        if data:
            self._open.write(data)
            if self.copy is not None:
                self.copy.write(data)
            self.fresh += data
            if len(self.fresh) > 2 * self._limit:
                del self.fresh[: len(self.fresh) - self._limit]
                self.gap = True

    @property
    def followed(self) -> int:
        """Return how many bytes of the running task's output came before ``fresh``."""
        return self._open.total - len(self.fresh)

    @property
    def pending(self) -> bool:
        """Return True if something was read that no marker has closed yet."""
        return self._open.total > 0 or bool(self._rest)

    @property
    def marks(self) -> int:
        """Return how many markers came that were not taken yet."""
        return len(self._closed)

    def take(self, marks: int = 1) -> bytes:
        """Return what came up to the ``marks``-th marker, which must have come."""
        return b''.join(self._closed.popleft() for _ in range(marks))

    def remains(self) -> bytes:
        """Return what came after the last marker: of a task that did not end."""
        self._take(self._rest)
        self._rest = b''
        if self.copy is not None:
            self.copy.end()
        data = b''.join(self._closed) + self._open.value()
        self._closed.clear()
        self._open = Capture(self._limit)
        return data
