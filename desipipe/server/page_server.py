"""The server of `desipipe serve`: the panel as a page, on this machine alone."""

from __future__ import annotations

import asyncio
import errno
import logging
import signal
import socket
from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import Any

from jupyter_server.base.handlers import JupyterHandler
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, HTTPError, RequestHandler

from ..errors import PortInUseError
from .handlers import handlers
from .heap import return_large_pieces
from .page_access import Access
from .page_files import INDEX, PageFiles
from .parsing import BODY
from .queues import Hub
from .socket import SOCKET, EventsSocket

logger = logging.getLogger('desipipe')

HOST = '127.0.0.1'
"""The only address that is listened on."""
PORT = 8899
"""The port that is tried first."""
_PORTS = 50  # ports that are tried
_HOW_TO_SHOW = 'end this server, and start it with the parent folder: desipipe serve FOLDER'
_NO_TOKEN = (
    'This page needs its token. Open the whole address that desipipe serve printed, with 127.0.0.1 '
    'or localhost as the host.'
)


class PageHandler(JupyterHandler):  # type: ignore[misc]
    """Answers with the page, or one of its files."""

    auth_resource = 'desipipe'

    def initialize(self, files: PageFiles) -> None:
        """Know the files."""
        self.files = files

    async def prepare(self, **kwargs: Any) -> None:
        """Refuse other hosts, and those without token or cookie."""
        await super().prepare(_redirect_to_login=False)

    async def get(self, name: str) -> None:
        """Send a file; first, take the token out of the address."""
        if self.get_arguments('token'):
            self.redirect(self.base_url + name)  # the cookie is set by now
            return
        name = name or INDEX
        content = self.files.read(name)
        if content is None:
            raise HTTPError(404)
        if name == INDEX:
            self.xsrf_token  # noqa: B018  sets the cookie that the page's own writes carry
        self.set_header('Content-Type', self.files.content_type(name))
        self.finish(content)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer with a page for people."""
        message = _NO_TOKEN if status_code == 403 else f'There is nothing at {self.request.path}.'
        self.set_header('Content-Type', 'text/html; charset=utf-8')
        self.finish(f'<!doctype html><title>desipipe</title><p>{escape(message)}</p>')


class PageServer:
    """The page and its interface, on a port of the loopback interface.

    Parameters
    ----------
    root_dir : str
        Folder whose queues are shown, besides the user's own.
    folders : sequence of str, default=()
        More such folders.
    port : int, default=None
        Port; by default the first free one from 8899.

    Raises
    ------
    PortInUseError
        ``port`` is taken, or all that are tried are.
    MissingDependencyError
        The page was not built.
    """

    def __init__(self, root_dir: str, folders: Sequence[str] = (), port: int | None = None) -> None:
        files = PageFiles()
        self._sockets = _bind(port)
        self._access = Access()
        self.port: int = self._sockets[0].getsockname()[1]
        self.hub = Hub(root_dir, folders, how_to_show=_HOW_TO_SHOW)
        base = self._access.base_url
        routes: list[Any] = [
            (base + SOCKET, EventsSocket, {'hub': self.hub}),
            *((base + path, handler, options) for path, handler, options in handlers(self.hub)),
            (f'{base}(.*)', PageHandler, {'files': files}),
        ]
        self._application = Application(
            routes, log_function=_log_trouble, **self._access.settings()
        )

    @property
    def url(self) -> str:
        """The address to open, with the token."""
        return f'http://{HOST}:{self.port}{self._access.base_url}?token={self._access.token}'

    async def serve(self, ready: Callable[[], None]) -> None:
        """Answer until Ctrl-C or SIGTERM; call ``ready`` when it does."""
        return_large_pieces()
        logging.getLogger('tornado').setLevel(
            logging.ERROR
        )  # of refusals those know who are refused
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopping.set)
        server = HTTPServer(self._application, max_body_size=2 * BODY)
        server.add_sockets(self._sockets)
        try:
            ready()
            await stopping.wait()
        finally:
            server.stop()
            await self.hub.close()
            await server.close_all_connections()


def _bind(port: int | None) -> list[socket.socket]:
    """Return sockets that listen on a free port."""
    wanted: Iterable[int] = range(PORT, PORT + _PORTS) if port is None else (port,)
    for number in wanted:
        try:
            sockets: list[socket.socket] = bind_sockets(number, HOST, family=socket.AF_INET)
        except OSError as exc:
            if exc.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
        else:
            return sockets
    tried = f'Ports {PORT} to {PORT + _PORTS - 1} are' if port is None else f'Port {port} is'
    raise PortInUseError(
        f'{tried} in use, or needs root. Nothing was started. For any free port, type: desipipe '
        'serve --port 0'
    )


def _log_trouble(handler: RequestHandler) -> None:
    """Log errors of ours. Addresses are not logged: a token may be in them."""
    if handler.get_status() >= 500:
        logger.error('%s %s', handler.get_status(), handler.request.path)
