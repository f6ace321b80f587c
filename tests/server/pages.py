"""What the tests of the server share: the events that a page gets, and how they wait."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

TIMEOUT = 120.0  # s; only a test that hangs gets there
Ask = Callable[..., Any]


class Stream:
    """The events that a page gets."""

    def __init__(self) -> None:
        self.told = 0
        self._rest = b''
        self._events: asyncio.Queue[tuple[str, dict[str, Any]]] = asyncio.Queue()

    def feed(self, data: bytes) -> None:
        """Take what came."""
        *blocks, self._rest = (self._rest + data).split(b'\n\n')
        for block in blocks:
            lines = dict(
                line.split(b': ', 1) for line in block.split(b'\n') if not line.startswith(b':')
            )
            if b'data' in lines:
                self.told += 1
                self._events.put_nowait((lines[b'event'].decode(), json.loads(lines[b'data'])))

    async def next(
        self, fits: Callable[[str, dict[str, Any]], bool] = lambda kind, data: True
    ) -> tuple[str, dict[str, Any]]:
        """The next event that fits."""
        async with asyncio.timeout(TIMEOUT):
            while True:
                kind, data = await self._events.get()
                if fits(kind, data):
                    return kind, data


async def wait_for(ready: Callable[[], bool]) -> None:
    """Look until ``ready()``, while the server goes on."""
    async with asyncio.timeout(TIMEOUT):
        while not ready():
            await asyncio.sleep(0.005)
