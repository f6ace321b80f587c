"""The queue's lock: what lets one writer at a time append to the journal."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from types import TracebackType
from typing import Any

from ..errors import LockingError, PermissionDeniedError, QueueGoneError

KINDS = ('flock', 'poll', 'soft')
POLL_INTERVAL = 0.002  # s; sets latency and fairness where a blocking lock wakes late


class QueueLock:
    """Exclusive lock between processes, and between threads of one process; reentrant in one thread.

    The descriptor is kept open: that makes an uncontended round trip some microseconds instead of some hundred.
    What that costs is argued at the two places where it matters (:meth:`_open` and :meth:`_current`).

    Parameters
    ----------
    path : str
        The lock file; it must exist, except for ``'soft'``.
    kind : str, default='flock'
        ``'flock'``: blocking :func:`fcntl.flock`; ``'poll'``: the same lock by polling, for filesystems that wake a waiter late;
        ``'soft'``: ``filelock.StrictSoftFileLock`` for filesystems without ``flock``.
    """

    def __init__(self, path: str, kind: str = 'flock') -> None:
        if kind not in KINDS:
            raise LockingError(f'unknown lock kind {kind!r}: use one of {", ".join(KINDS)}')
        self.path = path
        self.kind = kind
        self._mutex = threading.RLock()
        self._depth = 0
        self._fd = -1
        self._pid = 0
        self._soft: Any = None

    def _open(self) -> int:
        # A forked child shares its parent's open file description, and with it the parent's lock: it would be let in while the
        # parent is inside, and its release would free the parent's lock. So each process opens the file itself.
        if self._fd >= 0 and self._pid == os.getpid():
            return self._fd
        try:
            self._fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            raise QueueGoneError(
                f'the queue in {os.path.dirname(self.path)} is gone (deleted by someone?); nothing was written. List what is there with: desipipe queues'
            ) from None
        except PermissionError as exc:
            raise PermissionDeniedError(f'no permission to write to the queue in {os.path.dirname(self.path)} ({exc.strerror}); nothing was written') from None
        self._pid = os.getpid()
        return self._fd

    def _current(self, fd: int) -> bool:
        # The queue may have been deleted and made again since the file was opened: then our lock excludes nobody.
        try:
            there = os.stat(self.path)
        except FileNotFoundError:
            return False
        here = os.fstat(fd)
        return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)

    def acquire(self) -> None:
        """Wait for the lock.

        Raises
        ------
        QueueGoneError
            The lock file is gone: the queue was deleted.
        LockingError
            The filesystem refuses to lock.
        """
        self._mutex.acquire()
        if self._depth:
            self._depth += 1
            return
        try:
            if self.kind == 'soft':
                self._acquire_soft()
            else:
                while True:
                    fd = self._open()
                    self._wait(fd)
                    if self._current(fd):
                        break
                    self.close()
        except BaseException:
            self._mutex.release()
            raise
        self._depth = 1

    def _wait(self, fd: int) -> None:
        try:
            if self.kind == 'flock':
                fcntl.flock(fd, fcntl.LOCK_EX)
            else:
                from filelock import lock_descriptor

                lock_descriptor(fd, poll_interval=POLL_INTERVAL)
        except OSError as exc:
            if exc.errno in (errno.ESTALE, errno.EIO, errno.EBADF):
                self.close()
            raise LockingError(
                f'could not lock {self.path} ({exc.strerror}); nothing was written. Check the filesystem with: desipipe doctor -q {os.path.dirname(self.path)}'
            ) from exc

    def _acquire_soft(self) -> None:
        if not os.path.isdir(os.path.dirname(self.path)):
            raise QueueGoneError(f'the queue in {os.path.dirname(self.path)} is gone (deleted by someone?); nothing was written')
        if self._soft is None or self._pid != os.getpid():
            from filelock import StrictSoftFileLock

            self._soft = StrictSoftFileLock(self.path + '.soft', poll_interval=POLL_INTERVAL, thread_local=False)
            self._pid = os.getpid()
        self._soft.acquire()

    def release(self) -> None:
        """Give the lock back."""
        self._depth -= 1
        try:
            if self._depth == 0:
                if self.kind == 'soft':
                    self._soft.release()
                elif self._fd >= 0:
                    fcntl.flock(self._fd, fcntl.LOCK_UN)
        finally:
            self._mutex.release()

    def close(self) -> None:
        """Close the descriptor; the next :meth:`acquire` opens it again."""
        if self._fd >= 0 and self._pid == os.getpid():
            os.close(self._fd)
        self._fd = -1

    def __enter__(self) -> QueueLock:
        self.acquire()
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        self.release()

    def __del__(self) -> None:
        if getattr(self, '_fd', -1) >= 0:
            self.close()
