"""Request handlers: authorisation, checks of the request, and errors as JSON.

What is answered is in the routes.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, TypeVar, cast

import orjson
from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado.iostream import StreamClosedError
from tornado.web import HTTPError, authenticated

from .. import errors
from .._version import __version__
from ..view.schema import Failure
from .cell_routes import TEXTS
from .followed import BusyError
from .openapi import describe
from .pages import Page, failure
from .parsing import Asked, BadRequest, body, check, query
from .queues import Hub
from .routes import EVENTS, ORDERS, QUERIES, Route

Method = TypeVar('Method', bound=Callable[..., Any])

SILENCE = 15.0  # s after which a stream says that it is there: proxies close what is silent
PAGES = 256  # streams at once

# The first that fits counts; everything else is 500: an error of ours, which is logged.
STATUS: tuple[tuple[type[BaseException], HTTPStatus], ...] = (
    (BusyError, HTTPStatus.SERVICE_UNAVAILABLE),
    (errors.UnknownQueueError, HTTPStatus.NOT_FOUND),
    (errors.UnknownTaskError, HTTPStatus.NOT_FOUND),
    (errors.QueueGoneError, HTTPStatus.GONE),
    (errors.PermissionDeniedError, HTTPStatus.FORBIDDEN),
    (errors.UntrustedQueueError, HTTPStatus.FORBIDDEN),
    (errors.ManagerRunningError, HTTPStatus.CONFLICT),
    (errors.DiskFullError, HTTPStatus.INSUFFICIENT_STORAGE),
    (errors.LockLostError, HTTPStatus.SERVICE_UNAVAILABLE),
    (errors.LockingError, HTTPStatus.SERVICE_UNAVAILABLE),
    (errors.CorruptJournalError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (errors.PayloadError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (errors.QueueVersionError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (errors.DesipipeError, HTTPStatus.BAD_REQUEST),
    (OSError, HTTPStatus.SERVICE_UNAVAILABLE),
)


def allowed(method: Method) -> Method:
    """Require an authenticated user who may read (GET) or write (POST) desipipe."""
    return cast(Method, authenticated(authorized(method)))


class Handler(APIHandler):  # type: ignore[misc]
    """The base class of the handlers."""

    auth_resource = 'desipipe'

    def initialize(self, hub: Hub) -> None:
        """Know the queues."""
        self.hub = hub

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer with the error as JSON.

        ``error`` is a class of :mod:`desipipe.errors` or HTTP's words, beside it stands
        ``message``.
        """
        exc = kwargs.get('exc_info', (None, None))[1]
        if isinstance(exc, HTTPError) or exc is None:
            phrase = HTTPStatus(status_code).phrase
            # Percent signs are doubled where there are no arguments.
            message = exc.log_message % exc.args if exc and exc.log_message else phrase
            answer: Failure = {'error': phrase.replace(' ', ''), 'message': message}
        else:
            answer = failure(exc)
        self.finish(orjson.dumps(answer))

    def log_exception(self, *exc_info: Any) -> None:
        """Log what is no error of who asks."""
        if self._status_of(exc_info[1]) >= 500:
            super().log_exception(*exc_info)

    @staticmethod
    def _status_of(exc: BaseException) -> int:
        if isinstance(exc, HTTPError):
            return int(exc.status_code)
        statuses = (status for kind, status in STATUS if isinstance(exc, kind))
        return int(next(statuses, HTTPStatus.INTERNAL_SERVER_ERROR))

    def refuse(self, exc: Exception) -> None:
        """Answer with an error."""
        status = self._status_of(exc)
        if status == HTTPStatus.INTERNAL_SERVER_ERROR:
            self.log.error('desipipe: %s', self.request.path, exc_info=exc)
        self.send_error(status, exc_info=(type(exc), exc, exc.__traceback__))

    async def answer(self, route: Route, asked: Asked) -> None:
        """Answer what is asked, or say what is wrong with it."""
        try:
            check(route, asked)
            answer = await route.answer(self.hub, asked)
        except Exception as exc:  # each has its status
            self.refuse(exc)
            return
        self.set_header('Cache-Control', 'no-store')
        self.finish(orjson.dumps(answer, option=orjson.OPT_NON_STR_KEYS))


class RouteHandler(Handler):
    """One route of the table."""

    def initialize(self, hub: Hub, route: Route) -> None:  # type: ignore[override]
        """Know what it is for."""
        super().initialize(hub)
        self.route = route

    async def answer_body(self) -> None:
        """Answer what the body asks for, or refuse it."""
        try:
            asked = body(self.request.body)
        except BadRequest as exc:
            self.refuse(exc)
            return
        await self.answer(self.route, asked)


class LookHandler(RouteHandler):
    """Answers a GET."""

    _track_activity = False  # what a page looks at by itself keeps no server alive

    @allowed
    async def get(self) -> None:
        """Look."""
        try:
            asked = query(self.request.query_arguments, self.route.members)
        except BadRequest as exc:
            self.refuse(exc)
            return
        await self.answer(self.route, asked)


class TextHandler(RouteHandler):
    """Answers a POST that carries text, and changes nothing."""

    _track_activity = False  # a page asks by itself

    @authenticated  # type: ignore[untyped-decorator]
    @authorized('read')  # type: ignore[untyped-decorator]
    async def post(self) -> None:
        """Look."""
        await self.answer_body()


class OrderHandler(RouteHandler):
    """Answers a POST, which changes something."""

    @allowed
    async def post(self) -> None:
        """Do what is asked for."""
        await self.answer_body()


class EventsHandler(Handler):
    """The stream of events of one page."""

    _track_activity = False

    @allowed
    async def get(self) -> None:
        """Tell what happens to queues, until the page goes."""
        try:
            asked = query(self.request.query_arguments, EVENTS.members)
            check(EVENTS, asked)
            self.page = page = Page()
            self.hub.admit(page, PAGES)
        except (BadRequest, BusyError) as exc:
            self.refuse(exc)
            return
        self.set_header('Content-Type', 'text/event-stream; charset=utf-8')
        self.set_header('Cache-Control', 'no-store')
        # A proxy that gathers what it passes on would hold events back.
        self.set_header('X-Accel-Buffering', 'no')
        try:
            await self._subscribe(page, asked['queue'])
            self.write(b': desipipe\n\n')
            await self.flush()
            while not page.closed:
                news = await page.next(SILENCE)
                for kind, data in news:
                    self.write(b'event: %b\ndata: %b\n\n' % (kind.encode(), orjson.dumps(data)))
                if not news:
                    self.write(b': still there\n\n')
                # It waits for a slow page; what happens meanwhile becomes one event a queue.
                await self.flush()
        except (StreamClosedError, asyncio.CancelledError):
            return  # the page went
        finally:
            self.hub.unsubscribe(page)

    async def _subscribe(self, page: Page, names: list[str]) -> None:
        # A name that can't be followed is told of, and does not keep the page from the others.
        folders: dict[str, str] = {}
        for name in dict.fromkeys(names):
            try:
                folders[name] = await self.hub.run(functools.partial(self.hub.folders.folder, name))
            except (errors.DesipipeError, OSError, ValueError) as exc:
                page.tell_trouble(name, name, exc)
        self.hub.subscribe(page, folders)

    def on_connection_close(self) -> None:
        """The page went."""
        super().on_connection_close()
        if hasattr(self, 'page'):
            self.page.close()


class DescriptionHandler(Handler):
    """The OpenAPI description."""

    @allowed
    async def get(self) -> None:
        """Describe."""
        self.finish(orjson.dumps(describe(f'{self.base_url}desipipe/api', __version__)))


class NothingHandler(Handler):
    """Everything else below our address."""

    @allowed
    async def get(self) -> None:
        """There is nothing."""
        raise HTTPError(
            404,
            f'there is nothing at {self.request.path}; what there is: '
            f'{self.base_url}desipipe/api/openapi.json',
        )

    post = put = patch = delete = get


def handlers(hub: Hub) -> list[tuple[str, type[Handler], dict[str, object]]]:
    """Addresses below the server's ``base_url``, and who answers."""
    root = 'desipipe/api'
    return [
        *(
            (
                f'{root}/{route.path}',
                OrderHandler if route.write else LookHandler,
                {'hub': hub, 'route': route},
            )
            for route in (*QUERIES, *ORDERS)
        ),
        *((f'{root}/{route.path}', TextHandler, {'hub': hub, 'route': route}) for route in TEXTS),
        (f'{root}/events', EventsHandler, {'hub': hub}),
        (f'{root}/openapi.json', DescriptionHandler, {'hub': hub}),
        (f'{root}(?:/.*)?', NothingHandler, {'hub': hub}),
    ]
