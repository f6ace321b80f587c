"""End what works on a queue (workers, manager, jobs), and the queue itself."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..logs import logger
from ..store.lease import Observer, gone, read_lease
from ..utils import random_hex
from .conditions import job_texts, mids_of, several
from .detached_manager import is_managed
from .events import StopLevel
from .folder import remove_folder
from .jobs import Withdrawn, withdraw_jobs
from .ledger import Ledger
from .overview import mids_of_provider
from .state import State

if TYPE_CHECKING:
    from .overview import GivenProvider

STOP_TIMEOUT_S = 10.0  # for workers and the manager to end before the queue goes
_CONFIRM_TIMEOUT_S = 10.0  # for workers to read that the queue will be deleted


class Ending:
    """The end of what works on a queue.

    Parameters
    ----------
    ledger : Ledger
    name : str
        That of the queue.
    """

    def __init__(self, ledger: Ledger, name: str) -> None:
        self.ledger = ledger
        self.name = name

    def order(
        self,
        jobid: str | Iterable[str] | None,
        mid: str | Iterable[str] | None,
        manager: bool | None,
    ) -> list[str]:
        """Order workers, and the manager, to end; see :meth:`.Queue.order_end`."""
        self.ledger.follow()
        jobs = None if jobid is None else set(several(jobid))
        mids = mids_of(self.ledger.state, mid)

        def choose(state: State) -> list[str]:
            return [
                w.name
                for w in state.alive.values()
                if (jobs is None or w.job in jobs or (w.is_local and str(w.pid) in jobs))
                and (mids is None or w.mid in mids)
            ]

        ends_manager = jobs is None and mids is None if manager is None else manager
        return self.ledger.stop(choose, StopLevel.NOW, ends_manager)

    def kill(
        self,
        jobid: str | int | Iterable[str | int] | None,
        mid: str | Iterable[str] | None,
        manager: bool | None,
        provider: GivenProvider | None = None,
    ) -> list[str]:
        """End workers at once; see :meth:`.Queue.kill`."""
        if provider is not None:
            mids = mids_of(self.ledger.state, mid)
            of_provider = mids_of_provider(self.ledger, provider)
            mid = [one for one in of_provider if mids is None or one in mids]
        names, withdrawn = self.end(None if jobid is None else job_texts(jobid), mid, manager)
        _log_errors(withdrawn)
        return names

    def end(
        self,
        jobid: str | Iterable[str] | None,
        mid: str | Iterable[str] | None,
        manager: bool | None,
    ) -> tuple[list[str], Withdrawn]:
        """Order workers to end, and withdraw jobs; see :meth:`.Queue.end`."""
        names = self.order(jobid, mid, manager)
        here = jobid is not None or mid is not None or not is_managed(self.ledger)
        return names, self.withdraw(jobid, mid) if here else Withdrawn([], [])

    def withdraw(
        self, jobid: str | Iterable[str] | None = None, mid: str | Iterable[str] | None = None
    ) -> Withdrawn:
        """Cancel the jobs of batch systems in which no worker lives."""
        self.ledger.follow()
        mids = mids_of(self.ledger.state, mid)
        return withdraw_jobs(
            self.ledger, self.name, None if jobid is None else set(several(jobid)), mids
        )

    def wait(self, timeout: float) -> bool:
        """Wait until no worker and no manager is left; see :meth:`.Queue.wait_stopped`."""
        return self.ledger.wait(
            lambda: not self.ledger.state.alive and self.ledger.state.manager is None, timeout
        )

    def stop_all(self) -> None:
        """End the workers and the manager, and wait for them."""
        self.ledger.end_lost_workers(Observer(self.ledger.folder))  # of this machine at once
        self.kill(None, None, True)
        self.wait(STOP_TIMEOUT_S)
        _log_errors(self.withdraw())

    def delete_queue(self, kill: bool) -> None:
        """Delete the queue; see :meth:`.Queue.delete`."""
        if kill:
            self.stop_all()
        else:
            self._stop_politely()
            if not is_managed(self.ledger):
                _log_errors(self.withdraw())
        # Renamed first, under the lock: from here on nobody finds a half-deleted queue, and who
        # waits for the lock finds it gone.
        doomed = f'{self.ledger.folder}.{random_hex(6)}.deleted'
        self.ledger.move_away(doomed)
        remove_folder(doomed)

    def _stop_politely(self) -> None:
        # Whoever has read the order knows, when the queue is gone, that what runs may end.
        ledger = self.ledger
        asked = ledger.stop(lambda state: list(state.alive), StopLevel.POLITELY, True)
        deadline = time.monotonic() + _CONFIRM_TIMEOUT_S

        def confirmed(name: str) -> bool:
            record = read_lease(ledger.folder, name)
            return record is None or bool(record.get('stop')) or bool(gone(record))

        while time.monotonic() < deadline and not all(confirmed(name) for name in asked):
            time.sleep(0.02)


def _log_errors(withdrawn: Withdrawn) -> None:
    """Log why jobs could not be cancelled."""
    for error in withdrawn.errors:
        logger.error('%s', error)
