"""Keep the news that pages have not been told yet."""

from __future__ import annotations

import asyncio
from typing import Literal

from ..errors import DesipipeError
from ..view.schema import Failure, QueueLine, Trouble

News = tuple[Literal['queue'], QueueLine] | tuple[Literal['trouble'], Trouble]
"""Message to a page about a queue: its summary, or why it can't be read."""


class Page:
    """The unsent news of a page: only the last of each queue is kept."""

    def __init__(self) -> None:
        self.closed = False
        self._news: dict[str, News] = {}
        self._woken = asyncio.Event()

    def tell(self, name: str, line: QueueLine) -> None:
        """Tell the page how the queue is that it calls ``name``."""
        named = line.copy()
        named['queue'] = name
        self._news[name] = 'queue', named
        self._woken.set()

    def tell_trouble(self, name: str, folder: str, exc: BaseException) -> None:
        """Tell the page why the queue can't be read that it calls ``name``."""
        trouble: Trouble = {**failure(exc), 'queue': name, 'folder': folder}
        self._news[name] = 'trouble', trouble
        self._woken.set()

    def close(self) -> None:
        """Remove the page."""
        self.closed = True
        self._woken.set()

    async def next(self, timeout: float) -> list[News]:
        """Return the next news; nothing after ``timeout`` seconds of silence."""
        try:
            await asyncio.wait_for(self._woken.wait(), timeout)
        except TimeoutError:
            return []
        self._woken.clear()
        news, self._news = self._news, {}
        return list(news.values())


def failure(exc: BaseException) -> Failure:
    """Return an error as JSON."""
    is_expected = isinstance(exc, DesipipeError | OSError)
    return {
        'error': type(exc).__name__,
        'message': str(exc)
        if is_expected
        else 'The server met an error of its own; its log has the details',
    }
