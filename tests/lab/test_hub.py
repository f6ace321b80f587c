"""Behind a real JupyterHub: its proxy passes everything on, users are apart, servers restart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import LabPage, need_lab
from .gated import add_gated, end_gated, working
from .hub import PREFIX, PROXY, Hub, start_hub
from .test_panel import new_queue, open_panel, open_queue, task

pytest.importorskip('playwright.sync_api', reason='playwright is not installed; try: make test')
pytest.importorskip('jupyterhub', reason='JupyterHub is not installed; try: make test')
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]

SETUP = """\
%load_ext desipipe
%desipipe use story --workers 1
"""
TASKS = """\
%%desipipe square --for i=range(3) --out squares --wait
squares = i**2
print(squares)
"""


@pytest.fixture(scope='module')
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """One hub for the tests of this module, with the servers of two users."""
    need_lab()
    if not PROXY.exists():
        pytest.skip("the hub's proxy is not installed; try: make test")
    hub = start_hub(tmp_path_factory.mktemp('hub'), 'alice', 'bob')
    try:
        for user in ('alice', 'bob'):
            hub.lab(user)
            hub.start_server(user)
        yield hub
    finally:
        hub.stop()


def log_in(new_page: Any, hub: Hub, user: str) -> LabPage:
    """Return a window in which a user has logged in, with an empty JupyterLab."""
    page: LabPage = new_page(hub.lab(user))
    page.goto(f'{hub.url}hub/login?next={PREFIX}/user/{user}/lab%3Freset')
    page.locator('#username_input').fill(user)
    page.locator('#password_input').fill('any')
    page.locator('#login_submit').click()
    wait_for_lab(page)
    return page


def wait_for_lab(page: LabPage) -> None:
    """Wait until JupyterLab is there, with its layout."""
    page.locator('.jp-SideBar [data-id="desipipe-panel"]').wait_for()
    page.locator('.jp-NotebookPanel, .jp-Launcher').first.wait_for()


def numbers_of(page: LabPage, name: str) -> Any:
    """Return the locator of what the panel counts of a queue, which is open."""
    return open_queue(page, name).locator('.jp-desipipe-numbers')


def test_panel_follows_a_notebook_through_the_proxy(hub: Hub, new_page: Any) -> None:
    page = log_in(new_page, hub, 'alice')
    page.open_notebook(page.lab.write('story.ipynb', SETUP, TASKS))
    open_panel(page)
    page.run_cell(0)
    page.run_cell(1)
    expect(page.display(1)).to_contain_text('All tasks succeeded')
    expect(numbers_of(page, 'story')).to_have_text('3 / 3')
    expect(task(open_queue(page, 'story'), 'square[2]')).to_be_visible()


def test_panel_of_a_user_shows_nothing_of_another(hub: Hub, new_page: Any) -> None:
    new_queue(hub.lab('alice'), 'of_alice')
    page = log_in(new_page, hub, 'bob')
    new_queue(hub.lab('bob'), 'of_bob')
    panel = open_panel(page)
    expect(panel).to_contain_text('of_bob')
    expect(panel).not_to_contain_text('of_alice')
    for path in ('queues', 'queue?queue=of_alice'):
        answer = page.request.get(f'{hub.lab("alice").url}desipipe/api/{path}')
        assert answer.status == 403, answer.text()


def test_panel_goes_on_after_its_server_restarted(hub: Hub, new_page: Any, tmp_path: Path) -> None:
    lab = hub.lab('alice')
    queue = new_queue(lab, 'restarts')
    add_gated(queue, tmp_path, 2)
    page = log_in(new_page, hub, 'alice')
    numbers = numbers_of(page, 'restarts')
    expect(numbers).to_have_text('0 / 2')
    hub.stop_server('alice')
    with working(lab, queue):
        end_gated(tmp_path, 0, 'first')
        hub.start_server('alice')
        # The hub gives a new server a new login: JupyterLab, too, needs its page loaded again.
        notice = page.locator('#desipipe-panel').get_by_role('alert').first
        expect(notice).to_contain_text('reload the page')
        expect(numbers).to_have_text('0 / 2')
        page.page.reload()
        wait_for_lab(page)
        numbers = numbers_of(page, 'restarts')
        expect(numbers).to_have_text('1 / 2')
        end_gated(tmp_path, 1, 'second')
        expect(numbers).to_have_text('2 / 2')
