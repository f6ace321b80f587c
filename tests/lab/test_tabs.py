"""Many tabs of one JupyterLab in one browser, and many queues: no page keeps the others from the
server.
"""

from __future__ import annotations

import getpass
from typing import Any

import pytest

from desipipe import Queue, TaskManager

from .conftest import LabPage

pytest.importorskip('playwright.sync_api', reason='playwright is not installed; try: make test')
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(900)]

TABS = 7  # one more than the connections to one host that browsers allow
SOCKET = '/desipipe/api/socket'
HIDE = """hidden => {
    Object.defineProperty(document, 'hidden', {configurable: true, get: () => hidden});
    document.dispatchEvent(new Event('visibilitychange'));
}"""


def add(queue: Queue, n: int) -> None:
    """Add tasks that nobody runs."""
    TaskManager(queue).python_app(abs_).map(x=range(n))


def abs_(x: int) -> int:
    return abs(x)


def listen(page: Any) -> list[Any]:
    """The sockets of desipipe that a page opens."""
    sockets: list[Any] = []
    page.on('websocket', lambda socket: sockets.append(socket) if SOCKET in socket.url else None)
    return sockets


def open_sockets(sockets: list[Any]) -> int:
    """How many of them are open."""
    return sum(not socket.is_closed() for socket in sockets)


def test_tabs_take_no_connections_from_each_other(lab: Any, new_page: Any) -> None:
    queues = [
        Queue(
            f'tabs_{k:03d}_power_spectrum_of_mock_catalogue',
            base_dir=lab.queues / getpass.getuser(),
            create=True,
        )
        for k in range(70)
    ]
    first = new_page()
    pages = [first, *(LabPage(lab, first.page.context.new_page()) for _ in range(TABS - 1))]
    sockets = []
    for page in pages:
        sockets.append(listen(page.page))
        page.page.goto(page.lab.address())
        page.locator('.jp-desipipe-StatusItem button').wait_for()
    for opened in sockets:
        assert open_sockets(opened) <= 1
    # The first and the last of them ask the server, and get an answer.
    for page in (pages[0], pages[-1]):
        assert (
            page.page.evaluate(
                'async () => (await fetch("/api/status", {signal: '
                'AbortSignal.timeout(30000)})).status'
            )
            == 200
        )
    # What happens to the last of the queues is told to all of them.
    panel = pages[-1].locator('#desipipe-panel')
    pages[-1].locator('.jp-SideBar [data-id="desipipe-panel"]').click()
    line = panel.locator('.jp-desipipe-queue', has_text=queues[-1].name)
    expect(line).to_contain_text('no tasks')
    add(queues[-1], 3)
    expect(line).to_contain_text('0 / 3')
    # A page that nobody sees has no stream; shown again, it knows what happened meanwhile.
    pages[-1].page.evaluate(HIDE, True)
    while open_sockets(sockets[-1]):
        pages[-1].page.wait_for_timeout(100)  # the test's own time limit bounds it
    add(queues[-2], 5)
    pages[-1].page.evaluate(HIDE, False)
    expect(panel.locator('.jp-desipipe-queue', has_text=queues[-2].name)).to_contain_text('0 / 5')
    # The list may come by a request before the new stream is open.
    while open_sockets(sockets[-1]) != 1:
        pages[-1].page.wait_for_timeout(100)
