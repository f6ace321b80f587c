"""Lock for filesystems without ``flock``: claims in files."""

from __future__ import annotations

import os
import time

from ..machine import machine, process_alive, process_start
from .lock_holder import Holder, process_holder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


POLL_INTERVAL = 0.002  # s; sets latency and fairness where a blocking lock wakes late
LOOK_INTERVAL_S = 1.0  # of waiting, after which one looks whether the holder lives
# For so long a soft lock stays as it is before one frees it whose machine may be another one of the
# same name.
_DOUBT_S = 5.0
_NAMESPACE = '?pidns-'  # in the library's claims
_FIRST_NAMESPACE = 0xEFFFFFFC  # inode of Linux's first name space of process numbers


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


class SoftLock:
    """A ``filelock.StrictSoftFileLock`` that frees itself from the dead.

    Parameters
    ----------
    path : str
        The lock's path, to which the library adds.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._lock: Any = None
        self._claims_seen: dict[str, float] = {}

    def begin(self) -> None:
        """Begin to wait: claims count as seen from now on."""
        from filelock import StrictSoftFileLock

        if self._lock is None:
            self._lock = StrictSoftFileLock(
                self.path + '.soft', poll_interval=POLL_INTERVAL, thread_local=False
            )
        self._claims_seen = {}

    def acquire(self) -> bool:
        """Wait for the lock for a second; return False if it is still taken."""
        from filelock import Timeout

        try:
            self._lock.acquire(timeout=LOOK_INTERVAL_S)
        except Timeout:
            return False
        return True

    def release(self) -> None:
        """Give the lock back."""
        self._lock.release()

    def free(self) -> None:
        """Give the lock back however often it was taken, if it was."""
        if self._lock is not None:
            self._lock.release(force=True)

    def holder(self) -> Holder | None:
        """Find who holds the lock, as far as this machine can tell."""
        claim = (
            next((claim for claim in self._lock.claims if claim.state == 'held'), None)
            if self._lock is not None
            else None
        )
        if claim is None:
            return None
        host, mark, namespace = claim.hostname.partition(_NAMESPACE)
        if mark and claim.hostname != _soft_host():  # its number is another process's here
            host = f'{host} (in a container: PID namespace {namespace})'
        return process_holder(claim.pid, host)

    def free_from_dead(self) -> None:
        """Break the claims of processes that have ended."""
        # The library frees claims on request only. Of another host's process a person must tell.
        now = time.monotonic()
        for claim in self._lock.claims:
            seconds = now - self._claims_seen.setdefault(claim.name, now)
            if self._is_held_by_dead(claim, seconds):
                from ..logs import logger

                logger.warning(
                    'The lock of %s was held by process %d, which is gone. It is freed.',
                    self.path,
                    claim.pid,
                )
                try:
                    self._lock.force_break(claim.name)
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
