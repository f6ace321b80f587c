"""Start managers: in this process, or as detached processes."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any

from ..errors import ManagerRunningError, QueueError
from ..queue.detached_manager import start_manager
from ..queue.queue import Queue
from ..queue.queue_functions import get_queue
from ..store.files import read_file
from ..store.lease import gone, read_lease
from ..utils import sentence
from .duties.modes import check_mode
from .manager import TIMESTEP, Manager
from .takeover import running_error

logger = logging.getLogger('desipipe')

BEGIN_TIMEOUT_S = 10.0  # for a manager in the background to say that it is there, or that it ends

__all__ = ['spawn']


def spawn(
    queue: str | Queue | Sequence[str | Queue],
    timeout: float | None = None,
    timestep: float = TIMESTEP,
    mode: str | Iterable[str] = (),
    max_workers: int | None = None,
    spawn: bool = False,
    linger: float | None = None,
    **kwargs: Any,
) -> int | None:
    """Distribute the tasks of queues among workers until nothing is left to do.

    Where another manager works on a queue, it goes on, and this waits for it.

    Parameters
    ----------
    queue : str, Queue, list
        Names, patterns, or queues. Each of several is served by a process of its own.
    timeout : float, default=None
        Seconds after which to end, with the workers.
    timestep : float, default=10
        The longest wait between two looks at batch jobs, in seconds; tasks and local workers are
        seen at once.
    mode : str or iterable of str, default=()
        Of ``'stop_at_error'``, ``'retry_at_timeout'``, ``'no_stream'``, ``'no_out'``.
    max_workers : int, default=None
        The most tasks at once for each task manager, whatever its scheduler says.
    spawn : bool, default=False
        True to do it in a detached process, and to return at once.
    linger : float, default=None
        Seconds to stay when nothing is left: by default 0, and for a detached process what the
        configuration says.

    Returns
    -------
    pid : int or None
        Of the (last) detached process; None if the manager of the queue goes on.
    """
    queues: list[Queue] = get_queue(queue, create=False, one=False, **kwargs)
    modes = check_mode(mode)
    if len(queues) == 1 and not spawn:
        _serve(queues[0], timeout, timestep, modes, max_workers, linger or 0.0)
        return None
    started, served = [], []
    for each in queues:
        try:
            # In the foreground each ends with its queue, as a single one does.
            stay = linger if spawn else linger or 0.0
            started.append(_start(each, timeout, timestep, modes, max_workers, stay))
        except ManagerRunningError as exc:
            logger.warning('%s', exc)
            served.append(each)
    if not spawn:
        _wait_for(started)
        for each in served:
            _serve(each, timeout, timestep, modes, max_workers, linger or 0.0)
        return None
    return started[-1].pid if started else None


def _serve(queue: Queue, timeout: float | None, *options: Any) -> None:
    """Manage a queue, after another manager if there is one.

    While that works, wait until nothing is left, or take its place when it has ended.

    Parameters
    ----------
    queue : Queue
    timeout : float or None
    *options
        Further ones of :class:`Manager`.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    is_told = False
    while True:
        left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
        manager = Manager(queue, left, *options)
        try:
            manager.run()
            return
        except ManagerRunningError as exc:
            if not is_told:
                logger.warning('%s Waiting until nothing is left.', sentence(exc))
            is_told = True
        if not manager.takeover.wait_for_other(deadline):
            return


def _wait_for(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Wait until managers have ended; what interrupts us, or ends us, ends them."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        for process in processes:
            process.wait()
    except BaseException:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()
        raise


def _start(
    queue: Queue,
    timeout: float | None,
    timestep: float,
    modes: Iterable[str],
    max_workers: int | None,
    linger: float | None,
) -> subprocess.Popen[bytes]:
    queue.ledger.check_use()
    manager = queue.ledger.state.manager
    if (
        manager is not None
        and (record := read_lease(queue.folder, manager['w'])) is not None
        and gone(record) is False
    ):
        raise running_error(queue.ledger, manager)
    options: list[str] = ['--timestep', str(timestep)]
    for name, value in (
        ('timeout', timeout),
        ('max-workers', max_workers),
        ('linger', linger),
        ('mode', ','.join(sorted(modes)) or None),
    ):
        if value is not None:
            options += [f'--{name}', str(value)]
    return start_manager(queue.folder, *options)


def begin(
    queue: Queue,
    timeout: float | None = None,
    timestep: float = TIMESTEP,
    mode: str | Iterable[str] = (),
    max_workers: int | None = None,
    linger: float | None = None,
) -> tuple[int, str]:
    """Start a detached manager, and wait until it is there.

    Parameters
    ----------
    queue, timeout, timestep, mode, max_workers, linger
        As for :func:`spawn`.

    Returns
    -------
    pid, log : int, str
        The process, and the file it writes to.

    Raises
    ------
    ManagerRunningError
        Another manager works on this queue.
    QueueError
        It ended at once; the message has its last words.
    """
    ledger = queue.ledger
    ledger.follow()
    before = ledger.journal.offset
    process = _start(queue, timeout, timestep, check_mode(mode), max_workers, linger)

    def is_there() -> bool:
        # It announces itself under its own name; one that ended at once, for want of anything to
        # do, has written something too.
        manager = ledger.state.manager
        return process.poll() is not None or (
            manager is not None
            and manager.get('pid') == process.pid
            and ledger.journal.offset > before
        )

    ledger.wait(is_there, BEGIN_TIMEOUT_S, 0.05)
    log = os.path.join(queue.folder, 'manager.log')
    if process.returncode:
        data = read_file(queue.folder, 'manager.log', 2000, tail=True)
        lines = data.decode(errors='replace').strip().splitlines()
        raise QueueError(
            f'The manager ended at once, with exit status {process.returncode:d}: '
            f'{lines[-1] if lines else "it wrote nothing"}. All it wrote is in {log}.'
        )
    return process.pid, log
