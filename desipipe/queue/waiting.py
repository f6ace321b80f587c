"""Why tasks wait: what the journal knows, told to who waits for them.

A busy queue needs no words. What is told is what someone has to mend: a queue that is paused, no
worker, workers that die at once, a job that is refused, or one that the batch system keeps waiting.
"""

from __future__ import annotations

import itertools
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from shlex import quote
from typing import NamedTuple

from ..store.lease import LEASE, Observer
from ..terminal import visible
from .events import PENDING, RUNNING, SUCCEEDED, WAITING
from .ledger import Ledger

FIRST_S = 3.0  # seconds that a wait lasts before anything is told
NOBODY_S = 6.0  # the same where there is no worker: a manager takes a moment to start
AGAIN_S = 5.0  # seconds between two looks
_ROWS = 100_000  # that are looked through to find one that does not go on
_DEPTH = 100  # tasks that need one another


class Reason(NamedTuple):
    """Why a task does not go on."""

    text: str
    command: str
    """Mends it, or tells more."""
    is_absence: bool = False
    """True if there is no worker and no manager, as also just before one starts."""

    def __str__(self) -> str:
        if self.text.endswith(':'):
            return f'{self.text} {self.command}'
        return f'{self.text.rstrip(".")}. {self.command}'


def waiting_reason(ledger: Ledger, row: int, observer: Observer | None = None) -> Reason | None:
    """Return why a task does not go on, as far as someone has to mend it.

    Parameters
    ----------
    ledger : Ledger
        As it was last followed.
    row : int
    observer : Observer, default=None
        For who looks again and again: it notices that processes of other machines vanish.
    """
    state = ledger.state
    if state.paused and state.status[row] in (PENDING, WAITING):
        command = f'Go on with: desipipe resume -q {quote(ledger.folder)} --spawn'
        return Reason('The queue is paused', command)
    if row in state.superseded and state.status[row] in (PENDING, WAITING):
        tid = state.ids[row].hex()[:12]
        command = f'Run it all the same: desipipe retry -q {quote(ledger.folder)} --tid {tid}'
        return Reason('Other code took the place of its own, so it does not run', command)
    observer = observer or make_observer(ledger)
    for _ in range(_DEPTH):
        if state.status[row] != WAITING:
            break
        needed = [
            other for other in state.requires.get(row, ()) if state.status[other] != SUCCEEDED
        ]
        if not needed:
            return None
        row = needed[0]
    if state.status[row] == PENDING:
        return _pending_reason(ledger, row, observer)
    if state.status[row] == RUNNING:
        worker = state.running.get(row)
        if worker is not None and not _is_alive(worker.name, observer):
            if not _has_manager(ledger, observer):
                text = f'Worker {worker.name} is gone, and no manager is running'
                return Reason(text, ledger.how_to_start(), True)
    return None


def make_observer(ledger: Ledger) -> Observer:
    """Return what judges whether the queue's processes live."""
    return Observer(ledger.folder, float(ledger.journal.header.get('lease', LEASE)))


def _pending_reason(ledger: Ledger, row: int, observer: Observer) -> Reason | None:
    state = ledger.state
    mid = state.groups[state.group[row]].mid
    workers = [worker for worker in list(state.alive.values()) if worker.mid in (None, mid)]
    if any(_is_alive(worker.name, observer) for worker in workers):
        return None
    if ledger.use_error() is None and not ledger.may_run(row) and ledger.authors is not None:
        text, _, command = str(ledger.authors.refusal(state, row)).rpartition('\n')
        return Reason(text or command, command if text else '')
    message = state.said.get(mid) or state.said.get('', '')
    if not _has_manager(ledger, observer):
        text = 'No worker and no manager is running'
        if message:
            text += f'. The last manager said: {message}'
        return Reason(text, ledger.how_to_start(), not message)
    if message:
        command = f'See what goes on with: desipipe status -q {quote(ledger.folder)}'
        return Reason(message[:1].upper() + message[1:], command)
    jobs = [job for job in list(state.jobs.values()) if job['mid'] == mid]
    if not jobs or any(job['state'] != 'pending' for job in jobs):
        return None
    reasons = Counter(job['reason'] or 'an unknown reason' for job in jobs)
    counted = ', '.join(f'{n:d} for {reason}' for reason, n in reasons.most_common(3))
    command = f'See them with: desipipe status -q {quote(ledger.folder)}'
    return Reason(f'All jobs are pending: {counted}', command)


def _is_alive(name: str, observer: Observer) -> bool:
    return not observer.dead(name, time.monotonic())


def _has_manager(ledger: Ledger, observer: Observer) -> bool:
    manager = ledger.state.manager
    return manager is not None and _is_alive(manager['w'], observer)


def _spawn(ledger: Ledger) -> str:
    if (error := ledger.use_error()) is not None:
        return str(error)
    return f'Start workers with: desipipe spawn -q {quote(ledger.folder)} --spawn'


class Waiter:
    """Waits for tasks, and tells on stderr why they do not go on, each reason once.

    Parameters
    ----------
    ledger : Ledger
    rows : callable
        Gives the rows that are waited for.
    """

    def __init__(self, ledger: Ledger, rows: Callable[[], Iterable[int]]) -> None:
        self._ledger = ledger
        self._rows = rows
        self._observer = make_observer(ledger)
        self._began = time.monotonic()
        self._next = self._began + FIRST_S

    def wait(
        self,
        ready: Callable[[], bool],
        timeout: float | None = None,
        longest: float | None = None,
    ) -> bool:
        """Follow the journal until ``ready()``; parameters as of :meth:`.Ledger.wait`."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            now = time.monotonic()
            pause = max(0.0, self._next - now)
            if deadline is not None and deadline - now <= pause:
                return self._ledger.wait(ready, max(0.0, deadline - now), longest)
            if self._ledger.wait(ready, pause, longest):
                return True
            self.tell()

    def reason(self) -> Reason | None:
        """Return why the first of the tasks that does not go on does not."""
        seen: set[tuple[str, int]] = set()
        state = self._ledger.state
        for row in itertools.islice(self._rows(), _ROWS):
            status = state.status[row]
            if status not in (PENDING, WAITING, RUNNING):
                continue
            key = (state.groups[state.group[row]].mid, status)
            if status == PENDING and key in seen:
                continue
            seen.add(key)
            if reason := waiting_reason(self._ledger, row, self._observer):
                return reason
        return None

    def tell(self) -> None:
        """Tell the reason, if it is time to look and it was not told before."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + AGAIN_S
        reason = self.reason()
        if reason is None or (reason.is_absence and now - self._began < NOBODY_S):
            return
        keys_told: set[str] = self._ledger.__dict__.setdefault('_told', set())
        key = re.sub(r'\d+(\.\d+)?', '#', reason.text)  # times and numbers of tries change
        if key not in keys_told and sys.stderr is not None:
            keys_told.add(key)
            print(visible(f'desipipe: {reason}', lines=False), file=sys.stderr, flush=True)
