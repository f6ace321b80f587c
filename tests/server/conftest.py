"""A real Jupyter Server with the extension, and queues that it shows."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from pages import Ask, Stream
from pytest_jupyter.jupyter_server import *  # noqa: F403  (fixtures, which must be seen in this folder only)
from tornado.httpclient import HTTPClientError

from desipipe import Queue


@pytest.fixture
def jp_server_config(queue_dir: Path) -> dict[str, Any]:
    """The extension is on, and the queues are those of this test."""
    return {'ServerApp': {'jpserver_extensions': {'desipipe.server': True}}}


@pytest.fixture
def ask(jp_fetch: Any) -> Ask:
    """Ask the server: ``await ask('queue', queue=...)`` gives the status and the JSON of the
    answer; with ``body=`` it is a POST.
    """

    async def fetch(path: str, body: Any = None, **params: Any) -> tuple[int, Any]:
        pairs = [
            (key, item)
            for key, value in params.items()
            for item in (value if isinstance(value, list) else [value])
        ]
        kwargs: dict[str, Any] = (
            {}
            if body is None
            else {
                'method': 'POST',
                'body': body if isinstance(body, str | bytes) else json.dumps(body),
            }
        )
        try:
            response = await jp_fetch('desipipe', 'api', *path.split('/'), params=pairs, **kwargs)
        except HTTPClientError as exc:
            assert exc.response is not None
            return exc.code, json.loads(exc.response.body)
        return response.code, json.loads(response.body)

    return fetch


@pytest.fixture
def follow(
    http_server: Any, jp_serverapp: Any, jp_auth_header: dict[str, str], jp_base_url: str
) -> Callable[..., Any]:
    """Follow queues as a page does: ``async with follow('q1', 'q2') as stream``; at the end the
    connection is cut.
    """

    @asynccontextmanager
    async def streaming(*names: str) -> AsyncIterator[Stream]:
        reader, writer = await asyncio.open_connection('localhost', jp_serverapp.port)
        path = f'{jp_base_url}desipipe/api/events?{urlencode([("queue", name) for name in names])}'
        # Version 1.0, so that what comes is not wrapped once more.
        writer.write(
            (
                f'GET {path} HTTP/1.0\r\nHost: localhost\r\nAuthorization: '
                f'{jp_auth_header["Authorization"]}\r\n\r\n'
            ).encode()
        )
        head = await reader.readuntil(b'\r\n\r\n')
        assert b' 200 ' in head.split(b'\r\n')[0] and b'text/event-stream' in head, head
        stream = Stream()

        async def read() -> None:
            while data := await reader.read(65536):
                stream.feed(data)

        reading = asyncio.ensure_future(read())
        try:
            yield stream
        finally:
            reading.cancel()
            writer.close()

    return streaming


@pytest.fixture
def hub(jp_serverapp: Any) -> Any:
    """The queues that the server has in hand."""
    return jp_serverapp.extension_manager.extension_apps['desipipe.server'].copy().pop().hub


@pytest.fixture
def queue(queue_dir: Path) -> Queue:
    """An empty queue."""
    return Queue('demo')
