"""The queue's lock: what lets one writer at a time append to the journal."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
import time
from shlex import quote
from types import TracebackType

from ..errors import (
    DesipipeError,
    LockingError,
    PermissionDeniedError,
    QueueGoneError,
    UnsafeFileError,
)
from .files import open_file
from .forks import tell_fork
from .kept_file import KeptFile
from .lock_holder import Holder, flock_holder
from .soft_lock import LOOK_INTERVAL_S, POLL_INTERVAL, SoftLock
from .thread_guard import release_fully

KINDS = ('flock', 'poll', 'soft')
NOTICE_AFTER_S = 3.0  # of waiting, after which the holder is named
_ANNOUNCED_AT = 128  # offset in the lock file; before it is the note of a sync
_NOTICE_LOOK_S = 1.0
_NOTICE_IDLE = 10  # looks without a wait, after which the thread ends


class _Notices:
    """Thread that reports who holds a lock when waiting for it takes long.

    It ends after a while without such waits.
    """

    def __init__(self) -> None:
        self.waits: dict[int, tuple[float, QueueLock]] = {}
        self.thread: threading.Thread | None = None
        tell_fork(self)

    def forked(self) -> None:
        """Forget the parent's waits and its thread."""
        self.waits, self.thread = {}, None

    def begin(self, lock: QueueLock) -> int:
        """Note that a thread waits for ``lock``."""
        key = threading.get_ident()
        self.waits[key] = (time.monotonic(), lock)
        if self.thread is None or not self.thread.is_alive():
            self.thread = threading.Thread(
                target=self._run, name='desipipe-lock-notices', daemon=True
            )
            self.thread.start()
        return key

    def end(self, key: int) -> None:
        """Note that it waits no longer."""
        self.waits.pop(key, None)

    def _run(self) -> None:
        pause, reported, idle = threading.Event(), set[float](), 0
        while idle < _NOTICE_IDLE:
            pause.wait(_NOTICE_LOOK_S)
            waits = list(self.waits.values())
            idle = 0 if waits else idle + 1
            if not waits and idle == _NOTICE_IDLE:
                self.thread = None  # whoever begins to wait from here on starts another
                idle = 0 if self.waits else idle
            for since, lock in waits:
                if time.monotonic() - since > NOTICE_AFTER_S and since not in reported:
                    reported.add(since)
                    lock.tell_holder(NOTICE_AFTER_S)


_notices = _Notices()


class QueueLock:
    """Exclusive lock between processes and between threads, reentrant in one thread.

    The descriptor is kept open: that makes an uncontended round trip some microseconds instead of
    some hundred. What that costs is argued at the two places where it matters (:meth:`forked` and
    :meth:`_current`).

    Parameters
    ----------
    path : str
        The lock file; it must exist, except for ``'soft'``.
    kind : str, default='flock'
        ``'flock'``: blocking :func:`fcntl.flock`; ``'poll'``: the same lock by polling, for
        filesystems that wake a waiter late; ``'soft'``: ``filelock.StrictSoftFileLock`` for
        filesystems without ``flock``.
    """

    def __init__(self, path: str, kind: str = 'flock') -> None:
        if kind not in KINDS:
            raise LockingError(f'Unknown lock kind {kind!r}: use one of {", ".join(KINDS)}')
        self.path = path
        self.kind = kind
        self._mutex = threading.RLock()
        self._depth = 0
        self._opened: KeptFile | None = None
        self._soft = SoftLock(path)
        self.has_news = False
        """True to wake those of this host who wait for changes, once the lock is released."""
        self.has_waited = False
        """True if another process had the lock when it was last acquired."""
        tell_fork(self)

    def forked(self) -> None:
        """In a forked child: hold nothing, whatever the parent holds."""
        # The child shares its parent's open file description, and with it the parent's lock: it
        # would be let in while the parent is inside, its release would free the parent's lock, and
        # while it lives the lock of a parent that was killed would stay taken. So its copy is
        # closed, which frees nothing, and it opens the file itself.
        self.close()
        self._soft = SoftLock(self.path)
        self.has_news = False
        self._depth = 0
        self._mutex = threading.RLock()

    def _open(self) -> int:
        if self._opened is None:
            try:
                folder, name = os.path.split(self.path)
                self._opened = KeptFile(open_file(folder, name, os.O_RDWR))
            except (FileNotFoundError, NotADirectoryError):
                raise self._gone() from None
            except UnsafeFileError:
                raise
            except OSError as exc:
                raise self._refused(exc) from exc
        return self._opened.fileno()

    def _gone(self) -> QueueGoneError:
        folder = os.path.dirname(self.path)
        return QueueGoneError(
            f'The queue in {folder} is gone (was it deleted?). Nothing was written. List queues '
            'with: desipipe queues'
        )

    def _refused(self, exc: OSError) -> OSError:
        folder = os.path.dirname(self.path)
        if exc.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            return PermissionDeniedError(
                f'No permission to write to the queue in {folder} ({exc.strerror}). Nothing was '
                'written. Look at the mount and the modes with: desipipe doctor'
            )
        return LockingError(
            f'Cannot lock {self.path} ({exc.strerror}). Nothing was written. Check the '
            f'filesystem with: desipipe doctor -q {quote(folder)}'
        )

    def _is_current(self) -> bool:
        # The queue may have been deleted and made again since the file was opened: then our lock
        # excludes nobody.
        try:
            status = os.lstat(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        opened = self._opened
        return opened is not None and (status.st_dev, status.st_ino) == opened.identity

    @property
    def is_held(self) -> bool:
        """True while a thread of this process holds the lock."""
        return self._depth > 0

    def acquire(self, patiently: bool = True) -> bool:
        """Wait for the lock.

        Parameters
        ----------
        patiently : bool, default=True
            False to give up at once where another process has it (not of the kind ``'soft'``).

        Returns
        -------
        acquired : bool

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
            return True
        self.has_waited = False
        try:
            if self.kind == 'soft':
                self._acquire_soft()
            elif not self._acquire_flock(patiently):
                self._mutex.release()
                return False
        except BaseException:
            # interrupted (Ctrl-C) when it had the lock already: what is closed is free
            self.close()
            self._soft.free()
            self._mutex.release()
            raise
        self._depth = 1
        return True

    def _acquire_flock(self, patiently: bool) -> bool:
        while True:
            if self._opened is not None and not self._opened.is_own():
                self.close()
            if not self._wait(self._open(), patiently):
                return False
            if self._is_current():
                return True
            self.close()

    def _wait(self, fd: int, patiently: bool) -> bool:
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                self.has_waited = True
            if not patiently:
                return False
            key = _notices.begin(self)
            try:
                if self.kind == 'flock':
                    fcntl.flock(fd, fcntl.LOCK_EX)
                else:
                    from filelock import lock_descriptor

                    lock_descriptor(fd, poll_interval=POLL_INTERVAL)
            finally:
                _notices.end(key)
            return True
        except OSError as exc:
            if exc.errno in (errno.ESTALE, errno.EIO, errno.EBADF):
                self.close()
            raise self._refused(exc) from exc

    def _acquire_soft(self) -> None:
        waited = 0.0
        self._soft.begin()
        while True:
            if not os.path.isdir(os.path.dirname(self.path)):
                raise self._gone()
            try:
                if self._soft.acquire():
                    return
            except (FileNotFoundError, NotADirectoryError):
                raise self._gone() from None
            except OSError as exc:
                raise self._refused(exc) from exc
            self._soft.free_from_dead()
            waited += LOOK_INTERVAL_S
            if waited == NOTICE_AFTER_S:
                self.tell_holder(waited)

    def holder(self) -> Holder | None:
        """Find who holds the lock, as far as this machine can tell."""
        return self._soft.holder() if self.kind == 'soft' else flock_holder(self.path)

    def tell_holder(self, seconds: float) -> None:
        """Print who holds the lock that this process waits for."""
        from ..logs import logger

        holder = self.holder()
        text = 'a process of another machine' if holder is None else holder.describe()
        logger.warning(
            'Waiting for the lock of the queue in %s for more than %g s. It is held by %s',
            os.path.dirname(self.path),
            seconds,
            text,
        )

    def release(self) -> None:
        """Give the lock back."""
        if self._depth == 0:
            return  # a forked child leaves a block that its parent entered
        self._depth -= 1
        try:
            if self._depth == 0:
                if self.kind == 'soft':
                    self._soft.release()
                elif self._opened is not None:
                    fcntl.flock(self._opened.fileno(), fcntl.LOCK_UN)
                if self.has_news:
                    self._announce()
        finally:
            self._mutex.release()

    def announce(self) -> None:
        """Wake those of this host who wait for changes; the lock need not be held."""
        if self._opened is not None and not self._opened.is_own():
            self.close()
        self._announce()

    def _announce(self) -> None:
        self.has_news = False
        try:
            os.pwrite(self._open(), b'\n', _ANNOUNCED_AT)
        except (OSError, DesipipeError):
            return  # they look by themselves a second later

    def free(self) -> None:
        """Release all that this thread holds, after an interrupt anywhere in a block."""
        if not self._mutex.acquire(blocking=False):
            return  # another thread's
        try:
            self._depth = 0
            self.close()  # what is closed is free
            self._soft.free()
        finally:
            release_fully(self._mutex)

    def close(self) -> None:
        """Close the descriptor; the next :meth:`acquire` opens it again."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def __enter__(self) -> QueueLock:
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def __del__(self) -> None:
        if getattr(self, '_opened', None) is not None:
            self.close()
