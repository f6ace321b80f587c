"""Queues that pages watch: opened once for all pages, closed after the last one.

Whatever reads a file or waits for a lock runs in a thread. There is one at a time for each queue:
the state of a queue is folded and looked at by one thread only, and a filesystem that hangs keeps
one thread a queue and not all of them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ..config import Config
from ..errors import (
    DesipipeError,
    QueueGoneError,
    UnknownQueueError,
)
from ..queue.location import find_folder
from ..view.schema import QueueLine, UnreadableQueue
from .followed import BusyError, Followed
from .pages import Page
from .shown_folders import IN_JUPYTER, ShownFolders, short

T = TypeVar('T')
ListedQueue = QueueLine | UnreadableQueue

THREADS = 8  # each keeps some memory that it used
ANSWER = 20.0  # s for a queue to say what a list shows of it


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
    how_to_show : str
        Advice for showing queues of another folder, after "To show it,".
    """

    def __init__(
        self,
        root_dir: str,
        folders: Sequence[str] = (),
        keep: float = 600.0,
        most_queues: int = 128,
        most_tasks: int = 1_000_000,
        how_to_show: str = IN_JUPYTER,
    ) -> None:
        self.folders = ShownFolders(root_dir, folders, how_to_show)
        self.keep = keep
        self.most_queues = most_queues
        self.most_tasks = most_tasks
        self.threads = ThreadPoolExecutor(THREADS, thread_name_prefix='desipipe')
        self.pages: set[Page] = set()
        self._open: dict[str, Followed] = {}
        self._tidying: asyncio.Task[None] | None = None

    async def run(self, job: Callable[[], T]) -> T:
        """Run ``job`` in a thread and return its result."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, job)

    async def queue(self, name: str) -> Followed:
        """The queue that a page names.

        Raises
        ------
        UnknownQueueError
            There is none; and what :meth:`ShownFolders.folder` raises.
        """

        def existing() -> str:
            return find_folder(self.folders.folder(name), Config())

        return self.followed(await self.run(existing))

    def followed(self, folder: str) -> Followed:
        """The queue in a folder, which need not be there."""
        followed = self._open.get(folder)
        if followed is None:
            self._make_room()
            followed = self._open[folder] = Followed(folder, self.threads)
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
        folders = await self.run(lambda: self.folders.find(asked))
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
