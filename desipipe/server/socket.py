"""Events of a page by WebSocket, which leaves the browser's six connections free."""

from __future__ import annotations

import asyncio
import functools
from typing import Any

import orjson
from jupyter_server.auth.decorator import authorized, ws_authenticated
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from tornado.web import HTTPError
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from ..errors import DesipipeError
from .followed import BusyError
from .handlers import PAGES, SILENCE
from .pages import Page
from .parsing import BadRequest, body, check
from .queues import Hub
from .routes import EVENTS

SOCKET = 'desipipe/api/socket'
"""Its address below the server's ``base_url``."""

INVALID = 1008  # WebSocket's code for a message that breaks the rules


class EventsSocket(WebSocketMixin, WebSocketHandler, JupyterHandler):  # type: ignore[misc]
    """The events of one page.

    The page sends ``{"queue": [...]}``, again when it looks at other queues.
    """

    auth_resource = 'desipipe'

    def initialize(self, hub: Hub) -> None:
        """Know the queues."""
        self.hub = hub
        self.page = Page()
        self._followed: dict[str, str] = {}
        self._refused: set[str] = set()
        self._telling: asyncio.Task[None] | None = None

    @ws_authenticated  # type: ignore[untyped-decorator]
    @authorized('read', 'desipipe')  # type: ignore[untyped-decorator]
    async def get(self, *args: Any, **kwargs: Any) -> None:
        """Open the socket."""
        try:
            self.hub.admit(self.page, PAGES)
        except BusyError as exc:
            raise HTTPError(503, str(exc)) from None
        try:
            await super().get(*args, **kwargs)
        finally:
            if self._telling is None:
                self.hub.unsubscribe(
                    self.page
                )  # it was not opened: of another origin, for instance

    def open(self, *args: Any, **kwargs: Any) -> None:
        """Begin to tell."""
        super().open(*args, **kwargs)
        self._telling = asyncio.get_running_loop().create_task(self._tell())

    async def on_message(self, message: str | bytes) -> None:
        """Follow the queues that the page names, and no others."""
        try:
            asked = body(message.encode() if isinstance(message, str) else message)
            check(EVENTS, asked)
        except BadRequest as exc:
            self.close(INVALID, str(exc)[:100])
            return
        await self._follow(dict.fromkeys(asked['queue']))

    async def _follow(self, names: dict[str, None]) -> None:
        # A name that can't be followed is told of, and does not keep the page from the others.
        added: dict[str, str] = {}
        for name in names:
            if name not in self._followed and name not in self._refused:
                try:
                    added[name] = await self.hub.run(
                        functools.partial(self.hub.folders.folder, name)
                    )
                except (DesipipeError, OSError, ValueError) as exc:
                    self._refused.add(name)
                    self.page.tell_trouble(name, name, exc)
        if self.page.closed:
            return
        for name in [name for name in self._followed if name not in names]:
            self.hub.leave(self.page, name, self._followed.pop(name))
        self._followed.update(added)
        self.hub.subscribe(self.page, added)

    async def _tell(self) -> None:
        try:
            while not self.page.closed:
                news = await self.page.next(SILENCE)
                for kind, data in news:
                    await self.write_message(orjson.dumps({'event': kind, 'data': data}))
                if not news and not self.page.closed:
                    await self.write_message(b'{"event":"beat"}')
        except WebSocketClosedError:
            return  # the page went
        finally:
            self.hub.unsubscribe(self.page)
            self.close()

    def on_close(self) -> None:
        """The page went."""
        self.page.close()
        self.hub.unsubscribe(self.page)
        if self._telling is not None:
            self._telling.cancel()
        super().on_close()


__all__ = ['SOCKET', 'EventsSocket']
