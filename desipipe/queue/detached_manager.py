"""The manager process that a queue starts in the background."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

from ..store.lease import gone, read_lease
from ..store.shared_files import open_log
from .events import PENDING
from .ledger import Ledger

if TYPE_CHECKING:
    import subprocess

    from .process_events import ManagerBeginEvent

LOOK_INTERVAL_S = 1.0  # between two looks whether the manager was killed, which cost a file each
START_INTERVAL_S = 1.0  # between two starts, where a manager failed at once


def start_manager(folder: str, *options: str) -> subprocess.Popen[bytes]:
    """Start a detached manager process for the queue in ``folder``.

    Parameters
    ----------
    folder : str
    *options : str
        Of ``desipipe spawn``.

    Returns
    -------
    process : subprocess.Popen
    """
    # A session of its own: the terminal's hang-up and Ctrl-C do not reach it. It says in its log,
    # and in the journal, what becomes of it.
    with open_log(os.path.join(folder, 'manager.log')) as log:
        import subprocess

        return subprocess.Popen(
            [sys.executable, '-m', 'desipipe', 'spawn', '-q', folder, '--detached', *options],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def is_managed(ledger: Ledger) -> bool:
    """Return True if the manager that a ledger has read of lives."""
    manager = ledger.state.manager
    return manager is not None and _lives(ledger, manager)


def _lives(ledger: Ledger, manager: ManagerBeginEvent) -> bool:
    record = read_lease(ledger.folder, manager['w'])
    return record is not None and not gone(record)


class DetachedManager:
    """The detached manager that this process starts for a queue when one is needed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._looked = self._started = 0.0

    def keep(self, ledger: Ledger) -> None:
        """Start a manager if something is pending and none is there."""
        # A manager says under the lock that it ends, and only when nothing is left to do: an
        # addition comes before that and is seen, or after it, and then it is known here that
        # another one is needed.
        state = ledger.state
        if not state.total(PENDING) or state.paused:
            return
        now = time.monotonic()
        if state.manager is not None:
            if now - self._looked < LOOK_INTERVAL_S:
                return
            self._looked = now
            if _lives(ledger, state.manager):
                return
        process = self._process
        if (
            process is not None
            and process.poll() is None
            and (state.last_manager is None or state.last_manager['pid'] != process.pid)
        ):
            return  # started, and not there yet
        if now - self._started < START_INTERVAL_S and process is not None and process.poll():
            return  # it failed at once
        ledger.check_use()
        self._started = now
        self._process = start_manager(ledger.folder)
