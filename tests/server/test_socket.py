"""The events of a page by WebSocket: what it looks at may change, silence is broken, and nobody
is let in who should not be.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from engine import add, begin
from pages import TIMEOUT, wait_for
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import websocket_connect

from desipipe import Queue
from desipipe.server import socket


async def next_message(page: Any) -> dict[str, Any]:
    """The next message that is no sign of life."""
    async with asyncio.timeout(TIMEOUT):
        while True:
            text = await page.read_message()
            assert text is not None, 'the server closed the socket'
            message: dict[str, Any] = json.loads(text)
            if message['event'] != 'beat':
                return message


async def test_page_follows_what_it_names_last(jp_ws_fetch: Any, hub: Any, queue: Queue) -> None:
    other = Queue('other')
    page = await jp_ws_fetch('desipipe', 'api', 'socket')
    await page.write_message(json.dumps({'queue': ['demo', 'nothing']}))
    first = {(message := await next_message(page))['data']['queue']: message for _ in range(2)}
    assert first['demo']['event'] == 'queue' and first['demo']['data']['total'] == 0
    assert (
        first['nothing']['event'] == 'trouble'
        and first['nothing']['data']['error'] == 'UnknownQueueError'
    )
    add(queue.ledger, range(3))
    message = await next_message(page)
    assert (message['data']['queue'], message['data']['total'], message['data']['superseded']) == (
        'demo',
        3,
        0,
    )
    await page.write_message(json.dumps({'queue': ['other']}))
    message = await next_message(page)
    assert message['data']['queue'] == 'other'
    await wait_for(
        lambda: [followed.folder for followed in hub.open if followed.pages] == [other.folder]
    )
    begin(other.ledger, 'w')
    assert (await next_message(page))['data']['queue'] == 'other'
    page.close()
    await wait_for(lambda: not hub.pages and not any(followed.pages for followed in hub.open))


async def test_silence_is_broken(
    jp_ws_fetch: Any, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, 'SILENCE', 0.05)
    page = await jp_ws_fetch('desipipe', 'api', 'socket')
    async with asyncio.timeout(TIMEOUT):
        for _ in range(2):
            assert json.loads(await page.read_message()) == {'event': 'beat'}
    page.close()


@pytest.mark.parametrize(
    'text',
    ['', '{}', '[]', '{"queue": []}', '{"queue": ["demo"], "more": 1}', '{"queue": 3}', '\x00'],
)
async def test_socket_closes_after_malformed_messages(
    jp_ws_fetch: Any, hub: Any, text: str
) -> None:
    page = await jp_ws_fetch('desipipe', 'api', 'socket')
    await page.write_message(text)
    async with asyncio.timeout(TIMEOUT):
        while await page.read_message() is not None:
            pass
    assert page.close_code == 1008
    await wait_for(lambda: not hub.pages)


async def test_names_outside_of_the_folders_are_refused_once(
    jp_ws_fetch: Any, queue: Queue
) -> None:
    page = await jp_ws_fetch('desipipe', 'api', 'socket')
    await page.write_message(json.dumps({'queue': ['/etc/secret', 'demo']}))
    messages = {(message := await next_message(page))['data']['queue']: message for _ in range(2)}
    assert (
        messages['/etc/secret']['data']['error'] == 'PermissionDeniedError'
        and messages['demo']['event'] == 'queue'
    )
    page.close()


async def test_strangers_and_other_origins_stay_out(
    jp_ws_fetch: Any, http_server_client: Any, jp_serverapp: Any, jp_base_url: str, queue: Queue
) -> None:
    answer = await http_server_client.fetch(
        f'{jp_base_url}desipipe/api/queues?token={jp_serverapp.identity_provider.token}'
    )
    cookie = '; '.join(value.split(';')[0] for value in answer.headers.get_list('Set-Cookie'))
    address = f'ws://127.0.0.1:{jp_serverapp.port}{jp_base_url}desipipe/api/socket'
    page = await websocket_connect(HTTPRequest(address, headers={'Cookie': cookie}))
    page.close()
    for headers in (
        {},
        {'Authorization': 'token wrong'},
        {'Cookie': cookie, 'Origin': 'http://evil.example'},
    ):
        with pytest.raises(HTTPClientError) as caught:
            await websocket_connect(HTTPRequest(address, headers=headers))
        assert caught.value.code == 403


async def test_burst_of_pages_is_counted(
    jp_ws_fetch: Any, hub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, 'PAGES', 3)
    opened = await asyncio.gather(
        *(jp_ws_fetch('desipipe', 'api', 'socket') for _ in range(9)), return_exceptions=True
    )
    pages = [page for page in opened if not isinstance(page, BaseException)]
    assert len(pages) == 3 and all(
        page.code == 503 for page in opened if isinstance(page, HTTPClientError)
    )
    for page in pages:
        page.close()
    await wait_for(lambda: not hub.pages)
    (await jp_ws_fetch('desipipe', 'api', 'socket')).close()


async def test_too_many_pages(jp_ws_fetch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, 'PAGES', 0)
    with pytest.raises(HTTPClientError) as caught:
        await jp_ws_fetch('desipipe', 'api', 'socket')
    assert caught.value.code == 503
