"""The queue's lock: what lets one writer at a time append to the journal."""

from __future__ import annotations

import errno
import fcntl
import io
import os
import threading
import time
from shlex import quote
from types import TracebackType
from typing import Any, NamedTuple

from ..errors import LockingError, PermissionDeniedError, QueueGoneError, UnsafeFileError
from ..machine import machine, process_alive, process_start, stat_fields
from ..utils import printable
from .files import open_file
from .forks import tell_fork
from .thread_guard import release_fully

KINDS = ('flock', 'poll', 'soft')
POLL_INTERVAL = 0.002  # s; sets latency and fairness where a blocking lock wakes late
_NAMESPACE = '?pidns-'  # in the library's claims
_FIRST_NAMESPACE = 0xEFFFFFFC  # inode of Linux's first name space of process numbers
_SOFT_LOOK = 1.0  # s of waiting for a soft lock, after which one looks whether its holder lives
# for which a soft lock stays as it is before one frees it whose machine may be another one of the
# same name
_DOUBT_S = 5.0

NOTICE_AFTER_S = 3.0  # of waiting, after which the holder is named
_NOTICE_LOOK_S = 0.5
_NOTICE_IDLE = 20  # looks without a wait, after which the thread ends


# Who holds a lock


class Holder(NamedTuple):
    """A process that holds the lock of a queue."""

    pid: int
    host: str
    command: str
    stopped: bool

    def describe(self) -> str:
        """Name it, and say what to type."""
        command = f' ({self.command})' if self.command else ''
        if self.stopped:
            return (
                f'process {self.pid:d} on {self.host}{command}, which is stopped. Let it go '
                f'on:\nkill -CONT {self.pid:d}'
            )
        return (
            f'process {self.pid:d} on {self.host}{command}. If it hangs, end it there:\nkill '
            f'{self.pid:d}'
        )


def flock_holder(path: str) -> Holder | None:
    """Find the process of this machine that holds the ``flock`` of a file."""
    try:
        inode = os.lstat(path).st_ino
        with open('/proc/locks') as file:
            for line in file:
                fields = line.split()
                if (
                    fields[1] == 'FLOCK'
                    and fields[5].endswith(f':{inode:d}')
                    and int(fields[4]) > 0
                ):
                    return _holder(int(fields[4]), os.uname().nodename)
    except OSError:  # the file is gone, or this is not Linux
        return None
    return None


def _holder(pid: int, host: str) -> Holder:
    command, stopped = '', False
    if host == os.uname().nodename:
        try:
            with open(f'/proc/{pid:d}/cmdline', 'rb') as file:
                command = printable(
                    file.read(200).replace(b'\0', b' ').decode(errors='replace').strip()
                )
            fields = stat_fields(pid)
            stopped = fields is not None and fields[0] in (b'T', b't')
        except OSError:  # it has ended
            pass
    return Holder(pid, host, command, stopped)


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


def _soft_host() -> str:
    # How the library names this machine in claims: with the name space of process numbers, where
    # that is not the first one.
    namespace = machine()['pidns']
    return os.uname().nodename + (
        f'{_NAMESPACE}{namespace:x}' if namespace not in (0, _FIRST_NAMESPACE) else ''
    )


def _is_dead(pid: int, start: int | None, seconds: float) -> bool:
    """Return True when a soft lock's holder has ended, as far as this machine knows.

    Parameters
    ----------
    pid : int
        Its number, on a machine of this name.
    start : int, optional
        Time at which it began, and its boot, as in claims.
    seconds : float
        Time that it was seen to hold the lock.
    """
    if start is None:
        return seconds >= _DOUBT_S and not process_alive(pid)
    boot, ticks = start >> 64, start % (1 << 64)
    here = machine()['boot'].replace('-', '')
    if boot and here and int(here, 16) == boot:
        return process_start(pid) != ticks
    # This machine was started again, or does not tell; or there are two machines of this name.
    other_boot = bool(boot and here)
    return seconds >= _DOUBT_S and (other_boot or process_start(pid) != ticks)


def _is_namespace_gone(namespace: str, uid: int) -> bool:
    """Return True if no process of a user is in another name space of process numbers.

    Only the first name space shows all processes, and only to their user and to root.
    """
    if machine()['pidns'] != _FIRST_NAMESPACE or os.geteuid() not in (0, uid):
        return False
    for name in os.listdir('/proc'):
        try:
            if name.isdigit() and f'{os.stat(f"/proc/{name}/ns/pid").st_ino:x}' == namespace:
                return False
        except OSError:
            continue  # it has ended, or is another user's
    return True


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
        self._opened: io.FileIO | None = None
        self._file: tuple[int, int] | None = None
        self._soft: Any = None
        self._claims_seen: dict[str, float] = {}
        tell_fork(self)

    def forked(self) -> None:
        """In a forked child: hold nothing, whatever the parent holds."""
        # The child shares its parent's open file description, and with it the parent's lock: it
        # would be let in while the parent is inside, its release would free the parent's lock, and
        # while it lives the lock of a parent that was killed would stay taken. So its copy is
        # closed, which frees nothing, and it opens the file itself.
        self.close()
        self._soft = None
        self._depth = 0
        self._mutex = threading.RLock()

    def _open(self) -> int:
        if self._opened is None:
            self._file = None
            try:
                # An object that closes itself: an interrupt can't leave a locked descriptor behind.
                folder, name = os.path.split(self.path)
                self._opened = io.FileIO(open_file(folder, name, os.O_RDWR), 'r+')
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

    def _current(self, fd: int) -> bool:
        # The queue may have been deleted and made again since the file was opened: then our lock
        # excludes nobody.
        try:
            status = os.lstat(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        if self._file is None:
            here = os.fstat(fd)
            self._file = (here.st_dev, here.st_ino)
        return (status.st_dev, status.st_ino) == self._file

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
            # interrupted (Ctrl-C) when it had the lock already: what is closed is free
            self.close()
            if self._soft is not None:
                self._soft.release(force=True)
            self._mutex.release()
            raise
        self._depth = 1

    def _wait(self, fd: int) -> None:
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                pass  # somebody has it
            key = _notices.begin(self)
            try:
                if self.kind == 'flock':
                    fcntl.flock(fd, fcntl.LOCK_EX)
                else:
                    from filelock import lock_descriptor

                    lock_descriptor(fd, poll_interval=POLL_INTERVAL)
            finally:
                _notices.end(key)
        except OSError as exc:
            if exc.errno in (errno.ESTALE, errno.EIO, errno.EBADF):
                self.close()
            raise self._refused(exc) from exc

    def _acquire_soft(self) -> None:
        from filelock import StrictSoftFileLock, Timeout

        if self._soft is None:
            self._soft = StrictSoftFileLock(
                self.path + '.soft', poll_interval=POLL_INTERVAL, thread_local=False
            )
        waited = 0.0
        self._claims_seen = {}
        while True:
            if not os.path.isdir(os.path.dirname(self.path)):
                raise self._gone()
            try:
                self._soft.acquire(timeout=_SOFT_LOOK)
            except Timeout:
                self._free_from_dead()
                waited += _SOFT_LOOK
                if waited == NOTICE_AFTER_S:
                    self.tell_holder(waited)
            except (FileNotFoundError, NotADirectoryError):
                raise self._gone() from None
            except OSError as exc:
                raise self._refused(exc) from exc
            else:
                return

    def holder(self) -> Holder | None:
        """Find who holds the lock, as far as this machine can tell."""
        if self.kind != 'soft':
            return flock_holder(self.path)
        claim = (
            next((claim for claim in self._soft.claims if claim.state == 'held'), None)
            if self._soft is not None
            else None
        )
        if claim is None:
            return None
        host, mark, namespace = claim.hostname.partition(_NAMESPACE)
        if mark and claim.hostname != _soft_host():  # its number is another process's here
            host = f'{host} (in a container: PID namespace {namespace})'
        return _holder(claim.pid, host)

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

    def _free_from_dead(self) -> None:
        # The library frees claims on request only. Of another host's process a person must tell.
        now = time.monotonic()
        for claim in self._soft.claims:
            seconds = now - self._claims_seen.setdefault(claim.name, now)
            if self._is_held_by_dead(claim, seconds):
                from ..logs import logger

                logger.warning(
                    'The lock of %s was held by process %d, which is gone. It is freed.',
                    self.path,
                    claim.pid,
                )
                try:
                    self._soft.force_break(claim.name)
                except FileNotFoundError:
                    continue  # someone else was faster

    def _is_held_by_dead(self, claim: Any, seconds: float) -> bool:
        if claim.hostname == _soft_host():
            return _is_dead(claim.pid, claim.start, seconds)
        host, _, namespace = claim.hostname.partition(_NAMESPACE)
        if host != os.uname().nodename or not namespace or seconds < _DOUBT_S:
            return False
        try:
            path = os.path.join(f'{self.path}.soft.filelock', 'claims', claim.name)
            owner = os.stat(path).st_uid
        except FileNotFoundError:
            return False  # it is being given back
        return _is_namespace_gone(namespace, owner)

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
        finally:
            self._mutex.release()

    def free(self) -> None:
        """Release all that this thread holds, after an interrupt anywhere in a block."""
        if not self._mutex.acquire(blocking=False):
            return  # another thread's
        try:
            self._depth = 0
            self.close()  # what is closed is free
            if self._soft is not None:
                self._soft.release(force=True)
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
