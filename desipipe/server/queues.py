"""Queues that pages watch: opened once for all pages, closed after the last one.

Whatever reads a file or waits for a lock runs in a thread. There is one at a time for each queue:
the state of a queue is folded and looked at by one thread only, and a filesystem that hangs keeps
one thread a queue and not all of them.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ..config import Config
from ..errors import (
    DesipipeError,
    InvalidQueueNameError,
    PermissionDeniedError,
    QueueGoneError,
    UnknownQueueError,
)
from ..queue.location import find_folder
from ..queue.names import SUFFIX, find_queues, queue_folder
from ..queue.queue import Queue
from ..store.lease import LEASE, Observer
from ..store.watch import Watcher
from ..view.queue import queue_brief, queue_summary
from ..view.schema import QueueLine, QueueSummary, UnreadableQueue
from ..view.timeline import Timeline
from .pages import Page

logger = logging.getLogger('desipipe')

T = TypeVar('T')
ListedQueue = QueueLine | UnreadableQueue

THREADS = 8  # each keeps some memory that it used
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
ANSWER = 20.0  # s for a queue to say what a list shows of it
_NEWS = ('time', 'rate', 'eta')  # members that change although nothing happened


class BusyError(DesipipeError):
    """The server does too much already; ask again later."""


class Hub:
    """All queues that this server has in hand.

    Parameters
    ----------
    root_dir : str
        The folder that the server shows.
    folders : sequence of str, default=()
        More folders whose queues may be asked for.
    keep : float, default=600
        Seconds for which a queue that nobody asks for stays in memory.
    most_queues : int, default=128
        The most queues in memory.
    most_tasks : int, default=1000000
        Queues that nobody follows go when more tasks than these are in memory.
    """

    def __init__(
        self,
        root_dir: str,
        folders: Sequence[str] = (),
        keep: float = 600.0,
        most_queues: int = 128,
        most_tasks: int = 1_000_000,
    ) -> None:
        self.root_dir = os.path.abspath(os.path.expanduser(root_dir))
        self.folders = [
            os.path.join(self.root_dir, os.path.expanduser(folder)) for folder in folders
        ]
        self.keep = keep
        self.most_queues = most_queues
        self.most_tasks = most_tasks
        self.threads = ThreadPoolExecutor(THREADS, thread_name_prefix='desipipe')
        self.pages: set[Page] = set()
        self._open: dict[str, Followed] = {}
        self._tidying: asyncio.Task[None] | None = None

    # Names

    def folder(self, name: str) -> str:
        """The folder of the queue that a page names, whether it exists or not.

        Parameters
        ----------
        name : str
            ``'name'``, ``'user/name'``, or a path from the root.

        Raises
        ------
        InvalidQueueNameError, PermissionDeniedError
            It is no name of a queue; it lies outside of the folders that this server shows.
        """
        if '\0' in name or name.startswith(('.', '~')):
            raise InvalidQueueNameError(
                f'{name!r} is no name of a queue here: use its name, user/name, or its path from '
                'the root (/…). Nothing was done.'
            )
        config = Config()
        folder = queue_folder(name, config=config)
        self._confine(folder, config)
        return folder

    def _confine(self, folder: str, config: Config) -> None:
        # Links are followed first: what counts is where the files are.
        real = os.path.realpath(folder)
        for root in (config.base_queue_dir, config.queue_dir, self.root_dir, *self.folders):
            if _inside(real, os.path.realpath(root)):
                return
        raise PermissionDeniedError(
            f'{folder} is outside of the folders whose queues this server shows. Nothing was done. '
            'To show it, add its parent folder to '
            'c.DesipipeExtension.folders in jupyter_server_config.py, and start the server again.'
        )

    def shown(self, folder: str) -> str | None:
        """Return a folder's path from the server's root; None if it is outside of it."""
        real, root = os.path.realpath(folder), os.path.realpath(self.root_dir)
        return os.path.relpath(real, root) if folder and _inside(real, root) else None

    def places(self, asked: Sequence[str] = ()) -> list[str]:
        """Return folders to search for queues: the user's, the configured, and the asked."""
        config = Config()
        places = [config.queue_dir, self.root_dir, *self.folders]
        for text in asked:
            if '\0' in text or text.startswith('~'):
                raise InvalidQueueNameError(
                    f'{text!r} is no folder: use a path from the root (/…), or one below the '
                    'folder that the server shows'
                )
            path = os.path.normpath(os.path.join(self.root_dir, text))
            self._confine(path, config)
            places.append(path)
        return list(dict.fromkeys(places))

    def find(self, asked: Sequence[str] = ()) -> list[str]:
        """The folders of all queues in :meth:`places`."""
        return list(
            dict.fromkeys(
                folder for base in self.places(asked) for folder in find_queues('*', base)
            )
        )

    # Queues

    async def run(self, job: Callable[[], T]) -> T:
        """Run ``job`` in a thread and return its result."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, job)

    async def queue(self, name: str) -> Followed:
        """The queue that a page names.

        Raises
        ------
        UnknownQueueError
            There is none; and what :meth:`folder` raises.
        """

        def existing() -> str:
            return find_folder(self.folder(name), Config())

        return self.followed(await self.run(existing))

    def followed(self, folder: str) -> Followed:
        """The queue in a folder, which need not be there."""
        followed = self._open.get(folder)
        if followed is None:
            self._make_room()
            followed = self._open[folder] = Followed(self, folder)
        if self._tidying is None:
            self._tidying = asyncio.get_running_loop().create_task(self._tidy())
        followed.asked = time.monotonic()
        return followed

    @property
    def open(self) -> list[Followed]:
        """The queues that are in memory."""
        return list(self._open.values())

    def _make_room(self) -> None:
        idle = sorted((queue for queue in self.open if queue.idle), key=lambda queue: queue.asked)
        while len(self._open) >= self.most_queues or (
            idle and sum(queue.size for queue in self.open) > self.most_tasks
        ):
            if not idle:
                raise BusyError(
                    f'{len(self._open):d} queues are followed already, more than which this server '
                    'does not: close some pages, and ask again'
                )
            self._drop(idle.pop(0))

    def _drop(self, queue: Followed) -> None:
        del self._open[queue.folder]
        queue.close()

    async def _tidy(self) -> None:
        while True:
            await asyncio.sleep(min(30.0, self.keep))
            old = time.monotonic() - self.keep
            for queue in self.open:
                if queue.idle and queue.asked < old:
                    self._drop(queue)

    async def lines(self, asked: Sequence[str] = ()) -> list[ListedQueue]:
        """Return the lines of a list of queues: those found, and those that pages watch."""
        folders = await self.run(lambda: self.find(asked))
        folders += [
            queue.folder for queue in self.open if queue.pages and queue.folder not in folders
        ]
        some = asyncio.Semaphore(
            min(THREADS, self.most_queues)
        )  # there may be more than have room at once
        lines = await asyncio.gather(*(self._line(folder, some) for folder in folders))
        return [line for line in lines if line is not None]

    async def _line(self, folder: str, some: asyncio.Semaphore) -> ListedQueue | None:
        """Return the line of one queue; None if it was deleted meanwhile."""
        try:
            async with some, asyncio.timeout(ANSWER):
                queue = self.followed(folder)
                return await queue.do(queue.line)
        except (UnknownQueueError, QueueGoneError):
            return None
        except (DesipipeError, OSError) as exc:  # of one queue; the others are there to be listed
            error = str(exc) or f'it did not answer within {ANSWER:g} s (is its filesystem there?)'
            return {
                'queue': short(folder, Config()),
                'folder': folder,
                'condition': 'unreadable',
                'error': error,
            }

    # Pages

    def admit(self, page: Page, most: int) -> None:
        """Count a page, before anything is waited for: many may come at once.

        Raises
        ------
        BusyError
            There are ``most`` already.
        """
        if len(self.pages) >= most:
            raise BusyError(
                f'{len(self.pages):d} pages follow queues already: close some, and ask again'
            )
        self.pages.add(page)

    def subscribe(self, page: Page, folders: dict[str, str]) -> None:
        """Tell a page what happens to queues.

        Parameters
        ----------
        page : Page
        folders : dict
            Folders by the names by which the page asked for them.
        """
        self.pages.add(page)
        for name, folder in folders.items():
            try:
                self.followed(folder).subscribe(page, name)
            except BusyError as exc:  # there is no room for this one
                page.tell_trouble(name, folder, exc)

    def leave(self, page: Page, name: str, folder: str) -> None:
        """Stop telling a page of one queue, which it calls ``name``."""
        queue = self._open.get(folder)
        if queue is not None and page in queue.pages:
            queue.pages[page].discard(name)
            if not queue.pages[page]:
                del queue.pages[page]

    def unsubscribe(self, page: Page) -> None:
        """Tell it no more."""
        self.pages.discard(page)
        for queue in self.open:
            queue.pages.pop(page, None)

    async def close(self) -> None:
        """End the streams, and let go of everything."""
        for page in self.pages:
            page.close()
        tasks = [queue.following for queue in self.open if queue.following is not None]
        if self._tidying is not None:
            self._tidying.cancel()
            tasks.append(self._tidying)
        for queue in self.open:
            self._drop(queue)
        await asyncio.gather(*tasks, return_exceptions=True)
        self.threads.shutdown(wait=False)


def _inside(path: str, root: str) -> bool:
    return os.path.commonpath([path, root]) == root


def short(folder: str, config: Config) -> str:
    """The shortest name by which a page can ask for the queue in ``folder``."""
    stem = folder.removesuffix(SUFFIX)
    parent, name = os.path.split(stem)
    if parent == config.queue_dir:
        return name
    return (
        f'{os.path.basename(parent)}/{name}'
        if os.path.dirname(parent) == config.base_queue_dir
        else stem
    )


class Followed:
    """One queue, for all pages.

    Parameters
    ----------
    hub : Hub
    folder : str
    """

    def __init__(self, hub: Hub, folder: str) -> None:
        self.folder = folder
        self.asked = time.monotonic()
        self.size = 0
        self.pages: dict[Page, set[str]] = {}
        self._hub = hub
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
        return not self.pages and not self._waiting

    async def do(self, look: Callable[[Queue], T]) -> T:
        """Run ``look`` on the queue in a thread; whoever comes later waits.

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
        self.asked = time.monotonic()
        try:
            async with self._turn:
                return await self._hub.run(lambda: self._look(look))
        finally:
            self._waiting -= 1

    def _look(self, look: Callable[[Queue], T]) -> T:
        # Who waits for this may have been cancelled, and the turn given to the next one, while this
        # goes on in its thread.
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

    def summary(self, queue: Queue) -> QueueSummary:
        """All there is to see at one glance."""
        return queue.ledger.again(lambda: queue_summary(queue, self.observer))

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

        self._hub.threads.submit(forget)


def _without_clocks(line: QueueLine) -> dict[str, object]:
    return {key: value for key, value in line.items() if key not in _NEWS}
