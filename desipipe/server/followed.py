"""One queue, opened and followed once for all pages."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ..errors import DesipipeError, QueueGoneError, UnknownQueueError
from ..queue.queue import Queue
from ..store.lease import LEASE, Observer
from ..store.watch import Watcher
from ..view.queue import queue_brief
from ..view.schema import QueueLine
from ..view.timeline import Timeline
from .pages import Page
from .shown_folders import short

logger = logging.getLogger('desipipe')

T = TypeVar('T')

WAITING = 64  # requests that may wait for one queue
PACE = 0.25  # s between two looks at a queue that changes
SLOW = 0.75  # s, when a look is costly: what happened is told within a second
POLL = 0.5  # s between two looks at one that does not, where nothing wakes us
# s, where changes wake us: only what the kernel does not tell is found this way, such as a folder
# that was renamed
REST = 3.0
# s after which to look whether its processes are alive, though the journal says nothing
JUDGE = 10.0
RETRY = 2.0  # s between two looks whether a queue that is gone has come back
_NEWS = ('time', 'rate', 'eta')  # members that change although nothing happened


class BusyError(DesipipeError):
    """The server does too much already; ask again later."""


class Followed:
    """One queue, for all pages.

    Parameters
    ----------
    folder : str
    threads : ThreadPoolExecutor
        Threads that read files and wait for locks.
    """

    def __init__(self, folder: str, threads: ThreadPoolExecutor) -> None:
        self.folder = folder
        self.asked = time.monotonic()
        self.size = 0
        self.pages: dict[Page, set[str]] = {}
        self._threads = threads
        self._turn = asyncio.Lock()
        self._mutex = threading.Lock()
        self._waiting = 0
        self._queue: Queue | None = None
        self.observer: Observer | None = None
        self._timeline: Timeline | None = None
        self.following: asyncio.Task[None] | None = None
        self._watcher: Watcher | None = None
        self._watched = ''
        self._shared = True
        self._told: tuple[tuple[str, int], QueueLine] | None = None
        self._judged = 0.0
        self._trouble: Exception | None = None

    @property
    def idle(self) -> bool:
        """Return True if no page needs it."""
        return not self.pages and not self._waiting and not self._turn.locked()

    async def do(self, look: Callable[[Queue], T], is_asked: bool = True) -> T:
        """Run ``look`` on the queue in a thread; whoever comes later waits.

        Parameters
        ----------
        look : callable
        is_asked : bool, default=True
            False where no page asks for this queue, which is then dropped as soon as otherwise.

        Raises
        ------
        BusyError
            Too many wait already.
        UnknownQueueError, QueueGoneError, …
            What looking raises.
        """
        if self._waiting >= WAITING:
            raise BusyError(
                f'{self._waiting:d} requests wait for the queue in {self.folder} already (does its '
                'filesystem hang?): ask again later'
            )
        self._waiting += 1
        if is_asked:
            self.asked = time.monotonic()
        try:
            await self._turn.acquire()
            try:
                looking = asyncio.get_running_loop().run_in_executor(
                    self._threads, lambda: self._look(look)
                )
            except RuntimeError:  # the server ends
                self._turn.release()
                raise
            # Who waits may give up while this goes on in its thread: the next one needs another.
            looking.add_done_callback(self._end_turn)
            return await asyncio.shield(looking)
        finally:
            self._waiting -= 1

    def _end_turn(self, looking: asyncio.Future[T]) -> None:
        self._turn.release()
        if not looking.cancelled():
            looking.exception()  # told to who waits, or of interest to nobody

    def _look(self, look: Callable[[Queue], T]) -> T:
        with self._mutex:
            if self._queue is None:
                self._queue = Queue(self.folder, create=False)
                self.observer = Observer(
                    self.folder, float(self._queue.ledger.journal.header.get('lease', LEASE))
                )
                self._timeline = Timeline(self._queue.ledger)
            try:
                return look(self._queue)
            except QueueGoneError:
                self._forget()
                raise
            finally:
                self.size = 0 if self._queue is None else len(self._queue.ledger.state.status)

    def _forget(self) -> None:
        queue, self._queue, self._timeline = self._queue, None, None
        if queue is not None:
            queue.ledger.close()

    # Looking

    def line(self, queue: Queue) -> QueueLine:
        """Return its line in lists."""
        return {
            'queue': short(self.folder, queue.config),
            'error': '',
            **queue.ledger.again(lambda: queue_brief(queue, self.observer)),
        }

    def timeline(self, queue: Queue) -> Timeline:
        """Return when each slot ran which task; the journal is read once for it."""
        assert self._timeline is not None
        return self._timeline

    # Following

    def subscribe(self, page: Page, name: str) -> None:
        """Tell a page, which calls this queue ``name``, how it is, and then what happens."""
        self.pages.setdefault(page, set()).add(name)
        if self._trouble is not None:
            page.tell_trouble(name, self.folder, self._trouble)
        elif self._told is not None:
            page.tell(name, self._told[1])
        if self.following is None:
            self.following = asyncio.get_running_loop().create_task(self._follow())

    def _tell(self, line: QueueLine) -> None:
        for page, names in self.pages.items():
            for name in names:
                page.tell(name, line)

    async def _follow(self) -> None:
        try:
            while self.pages:
                began = time.monotonic()
                try:
                    news = await self.do(self._news)
                except (
                    Exception
                ) as exc:  # whatever it is, it must be told, and the next look may find it gone
                    self._tell_trouble(exc)
                    await asyncio.sleep(RETRY)
                    continue
                self._trouble = None
                if news is not None:
                    self._tell(news)
                # Many events become one, and a queue that is costly to look at takes a tenth of a
                # processor, as far as a second is kept.
                await asyncio.sleep(min(max(PACE, 9 * (time.monotonic() - began)), SLOW))
                await self._change()
        finally:
            self._unwatch()
            self.following = self._trouble = self._told = None

    def _tell_trouble(self, exc: Exception) -> None:
        self._unwatch()
        self._told = None
        if self._trouble is None or (
            type(self._trouble) is not type(exc) and not isinstance(exc, UnknownQueueError)
        ):
            self._trouble = exc
            for page, names in self.pages.items():
                for name in names:
                    page.tell_trouble(name, self.folder, exc)
            if not isinstance(exc, DesipipeError | OSError):
                logger.exception('Cannot read the queue in %s', self.folder, exc_info=exc)

    def _news(self, queue: Queue) -> QueueLine | None:
        ledger = queue.ledger
        if (
            self._watcher is None or self._watched != ledger.journal.header['id']
        ):  # another queue may have taken the place of a deleted one
            self._shared, self._watched = ledger.journal.shared, ledger.journal.header['id']
            self._watcher = Watcher(self.folder, self._shared)
        ledger.follow()  # after the watch began: what came before it is not missed
        now = time.monotonic()
        position = (ledger.journal.header['gen'], ledger.journal.offset)
        last = self._told
        same = last is not None and last[0] == position
        if same and (
            now - self._judged < JUDGE or not (ledger.state.alive or ledger.state.manager)
        ):
            return None
        self._judged = now
        line = self.line(queue)
        self._told = (position, line)
        if same and last is not None and _without_clocks(line) == _without_clocks(last[1]):
            return None
        return line

    async def _change(self) -> None:
        """Wait until something may have happened."""
        watcher = self._watcher
        if watcher is None:
            return
        if watcher.fileno() < 0:
            await asyncio.sleep(POLL)
            return
        # What changed since the last look began has left its mark in the descriptor: it is emptied
        # before the next look, not after this one.
        loop = asyncio.get_running_loop()
        woken = asyncio.Event()
        loop.add_reader(watcher.fileno(), woken.set)
        try:
            await asyncio.wait_for(woken.wait(), POLL if self._shared else REST)
        except TimeoutError:
            return
        finally:
            loop.remove_reader(watcher.fileno())
        watcher.drain()

    def _unwatch(self) -> None:
        if self._watcher is not None:
            self._watcher.close()
            self._watcher = None

    def close(self) -> None:
        """Close it."""
        if self.following is not None:
            self.following.cancel()

        def forget() -> None:
            with self._mutex:
                self._forget()

        self._threads.submit(forget)


def _without_clocks(line: QueueLine) -> dict[str, object]:
    return {key: value for key, value in line.items() if key not in _NEWS}
