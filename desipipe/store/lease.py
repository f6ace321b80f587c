"""Liveness without comparing clocks.

Living processes raise a counter, which the others watch on their own clocks.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence

import orjson

from ..errors import QueueGoneError, UnsafeFileError
from ..machine import machine, process_alive, process_start
from .file_names import lease_file
from .files import open_file, read_file, remove
from .pacing import LEASE_READS_PER_S, lease_spacing_s
from .shared_files import share
from .writing import disk_full

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


LEASE = 30.0  # s without a beat after which a holder on another machine counts as dead
_RECORD = 2048  # bytes, blanks at the end; a block of a filesystem
_RECORD_MAX = 1 << 16  # bytes; of a file that is longer the rest is not read
_MEMBERS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(('name', 'host', 'boot', 'beat', 'trouble', 'stop'), (str,)),
    **dict.fromkeys(('pid', 'pidns'), (int,)),
    'start': (int, type(None)),
    'cpu': (int, float),
    'memory': (int,),
}
_LOOK_MOST = 2.0  # s of silence that one look may add

Record = dict[str, 'Any']


def lease_path(folder: str, name: str) -> str:
    """The file of the lease ``name`` in the queue ``folder``."""
    return os.path.join(folder, lease_file(name))


class Lease:
    """Heartbeat of a process: call :meth:`beat` at least every third of the lease.

    The beats come from the holder's own loop, not from a thread: a process whose loop hangs is not
    alive to others.

    Parameters
    ----------
    folder : str
        The queue's folder.
    name : str
        The worker's name, or ``'manager'``.
    shared : bool
        True if other hosts look: then each beat is flushed.
    """

    def __init__(self, folder: str, name: str, shared: bool, **info: object) -> None:
        from .process_usage import ProcessUsage  # observers need none

        self.path = lease_path(folder, name)
        self.folder = folder
        self._file = lease_file(name)
        self.shared = shared
        self.trouble = ''
        """Text for people about what the holder cannot do at the moment."""
        self._usage = ProcessUsage()
        self._count = 0
        self._fd = -1
        here = machine()
        self.record: Record = {
            'name': name,
            **{key: here[key] for key in ('host', 'pid', 'boot', 'pidns')},
            'start': process_start(os.getpid()),
            **info,
        }
        self.renew()
        self.beat()

    def renew(self) -> None:
        """Open the file again: after a filesystem's fault the descriptor may be useless."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)
        try:
            self._fd = open_file(self.folder, self._file, os.O_RDWR | os.O_CREAT)
            share(self._fd, self.folder)
            os.ftruncate(self._fd, 0)
        except (FileNotFoundError, NotADirectoryError):
            raise QueueGoneError(
                f'The queue in {self.folder} is gone (was it deleted?). Nothing was recreated.'
            ) from None
        except OSError as exc:
            raise disk_full(exc, self.path) from exc

    def beat(self) -> None:
        """Write a sign of life.

        Raises
        ------
        QueueGoneError
            The file is gone: the queue was deleted, or someone has judged us dead.
        """
        self._count += 1
        # Always the same length, overwritten in place: no reader sees half a record, and a full
        # disk stops no heart.
        record = {
            'beat': f'{self._count:020d}',
            **self.record,
            'trouble': self.trouble,
            **self._usage(),
        }
        os.pwrite(self._fd, orjson.dumps(record).ljust(_RECORD), 0)
        if self.shared:
            os.fsync(self._fd)
        # After the write, whose answer told a network filesystem's client what it is asked here.
        if os.fstat(self._fd).st_nlink == 0:
            raise QueueGoneError(
                f'{self.path} is gone: the queue was deleted, or this process was taken for dead; '
                'it stops'
            )

    def confirm(self, order: str) -> None:
        """Show others that an order to end was read."""
        if self.record.get('stop') != order:
            self.record['stop'] = order
            self.beat()

    def close(self) -> None:
        """End, and take the file away."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            try:
                remove(self.folder, self._file)
            except (FileNotFoundError, NotADirectoryError):
                return  # the queue was deleted


def read_lease(folder: str, name: str) -> Record | None:
    """Return the last beat of ``name``, or None if it holds no lease.

    The process has ended, or never started.
    """
    try:
        record: Any = orjson.loads(read_file(folder, lease_file(name), _RECORD_MAX))
    except (FileNotFoundError, NotADirectoryError, UnsafeFileError):
        return None
    except orjson.JSONDecodeError:
        return {'name': name}  # caught while being written for the first time
    return record if _is_record(record) else {'name': name}


def _is_record(value: Any) -> bool:
    """Return True for what a lease may hold, whoever wrote it."""
    return isinstance(value, dict) and all(
        type(value[key]) in kinds for key, kinds in _MEMBERS.items() if key in value
    )


def gone(record: Record) -> bool | None:
    """Return True if the process that wrote ``record`` is known to have ended.

    Returns
    -------
    gone : bool or None
        ``None`` when it runs on another machine (or in another process-id namespace): watch its
        beats then.
    """
    # Without an identity of the boot, another machine's process numbers could be taken for ours.
    if (
        'pid' not in record
        or not record.get('boot')
        or (record['boot'], record.get('pidns')) != _here()
    ):
        return None
    return not process_alive(record['pid'], record.get('start'))


@functools.cache
def _here() -> tuple[str, int]:
    # Neither changes while a process lives, and a worker compares them with each other worker's
    # every second.
    here = machine()
    return here['boot'], here['pidns']


class Observer:
    """Judges others by their leases, on this process's own monotonic clock.

    Parameters
    ----------
    folder : str
        The queue's folder.
    lease : float, default=30
        Seconds of silence after which a holder counts as dead.
    """

    def __init__(self, folder: str, lease: float = LEASE) -> None:
        self.folder = folder
        self.lease = lease
        self._seen: dict[
            str, tuple[str, float, float]
        ] = {}  # name: last beat, when we looked, silence since
        self._spacing = 0.0
        self._looked = 0.0

    def due(self, names: Sequence[str], now: float, n_leases: int) -> Sequence[str]:
        """Choose the leases to read now: all of a few, of many those read longest ago.

        Parameters
        ----------
        names : sequence of str
            Names whose leases this process looks at.
        now : float
            As for :meth:`dead`.
        n_leases : int
            Number of all leases in the queue.
        """
        self._spacing = lease_spacing_s(n_leases)
        if not self._spacing or len(names) < 2:
            return names
        since, self._looked = now - self._looked, now
        most = max(1, min(len(names), int(since * LEASE_READS_PER_S)))
        return sorted(names, key=lambda name: self._seen.get(name, ('', 0.0, 0.0))[1])[:most]

    def dead(self, name: str, now: float) -> bool:
        """Return True if ``name`` is dead, as far as can be told; call it again and again.

        Parameters
        ----------
        name : str
            Name whose lease it is.
        now : float
            The observer's monotonic clock, in seconds.

        Returns
        -------
        dead : bool
            The process is gone from this machine, or its beat has not changed for the lease's
            length while we looked. ``False`` while unknown.
        """
        record = read_lease(self.folder, name)
        if record is not None and (is_gone := gone(record)):
            return is_gone
        beat = '' if record is None else str(record.get('beat', ''))
        last, looked, silence = self._seen.get(name, (None, now, 0.0))
        if beat != last:
            silence = 0.0
        else:
            # What happened while we did not look (we were stopped, or waited long for a lock that
            # the other waited for too) proves nothing: a look adds a little at most.
            silence += min(now - looked, max(_LOOK_MOST, self._spacing), self.lease / 3)
        self._seen[name] = (beat, now, silence)
        return silence >= self.lease

    def forget(self, name: str) -> None:
        """Stop keeping count of ``name``."""
        self._seen.pop(name, None)
