"""The page of `desipipe serve`, as a person sees and uses it, in a browser."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from desipipe import Queue

pytest.importorskip('playwright.sync_api', reason='playwright is not installed; try: make test')
from playwright.sync_api import expect
from squares import compute_squares

from .conftest import FRONT_END

TIMEOUT = 60


@pytest.fixture
def address(queue_dir: Path, tmp_path: Path) -> Iterator[str]:
    """The address of a server that shows the queues of this test."""
    if not (FRONT_END.parents[1] / 'desipipe' / 'server' / 'page' / 'index.html').exists():
        pytest.skip('the page is not built; try: make labextension')
    process = subprocess.Popen(
        [sys.executable, '-m', 'desipipe', 'serve', '--port', '0'],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    yield process.stdout.readline().strip()
    process.terminate()
    process.communicate(timeout=TIMEOUT)


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A window, in which nothing may go wrong and nothing may come from elsewhere."""
    context = browser.new_context(viewport={'width': 1400, 'height': 900})
    page = context.new_page()
    page.troubles, page.hosts = [], set()
    page.on('pageerror', lambda error: page.troubles.append(str(error)))
    page.on(
        'console',
        lambda message: page.troubles.append(message.text) if message.type == 'error' else None,
    )
    page.on('request', lambda request: page.hosts.add(re.match(r'\w+:(//[^/]*)?', request.url)[0]))
    yield page
    context.close()


@pytest.fixture
def queue(queue_dir: Path, tmp_path: Path) -> Queue:
    """A queue with five squares, and one that can't be computed before a file is there."""
    return compute_squares(tmp_path / 'gate', count=6, failing=3)


def task(page: Any, name: str) -> Any:
    """A line of the list of tasks."""
    return page.locator('.jp-desipipe-task', has_text=name)


def open_queue(page: Any, address: str) -> None:
    page.goto(address)
    page.get_by_role('button', name='squares', exact=True).click()
    expect(page.locator('.jp-desipipe-task')).to_have_count(6)


def test_story(page: Any, address: str, queue: Queue) -> None:
    open_queue(page, address)
    assert 'token' not in page.url
    # A task, with its output; what needs notebooks is absent.
    task(page, 'square[3]').click()
    shown = page.locator('.jp-desipipe-TaskPage')
    expect(shown).to_contain_text('ValueError: no gate')
    expect(shown).to_contain_text('computing 3')
    expect(shown.get_by_role('button', name='Go to cell')).to_have_count(0)
    expect(page.get_by_role('button', name='Settings')).to_have_count(0)
    page.get_by_role('button', name='More of squares').click()
    menu = page.locator('.lm-Menu-item')
    expect(menu.filter(has_text='Delete Queue')).to_be_visible()
    expect(menu.filter(has_text='Insert')).to_have_count(0)
    page.keyboard.press('Escape')
    # Retry: the server starts a manager, and the page follows it.
    shown.get_by_role('button', name='Retry').click()
    expect(page.get_by_text('succeeded', exact=True)).to_be_visible()
    expect(page.locator('.jp-desipipe-queue[data-condition="done"]')).to_be_visible()
    assert queue.counts['SUCCEEDED'] == 6
    # The picture.
    page.get_by_role('button', name='Graph', exact=True).click()
    expect(page.locator('.jp-desipipe-PicturePage svg text').first).to_be_visible()
    # Loaded again, without the token, the queue is still open.
    page.reload()
    expect(page.locator('.jp-desipipe-task')).to_have_count(6)
    assert page.troubles == []
    assert len(page.hosts - {'data:', 'blob:'}) == 1


def test_results_are_replaced_only_when_one_agrees(page: Any, address: str, queue: Queue) -> None:
    open_queue(page, address)
    task(page, 'square[1]').click(button='right')
    menu = page.locator('.lm-Menu-item')
    expect(menu).to_have_count(4)
    menu.filter(has_text='Run Again').click()
    page.get_by_role('dialog').get_by_role('button', name='Cancel').click()
    expect(page.get_by_role('dialog')).to_have_count(0)
    assert queue.counts['SUCCEEDED'] == 5
    assert page.troubles == []


def test_page_says_that_the_server_is_gone(page: Any, address: str, queue: Queue) -> None:
    open_queue(page, address)
    page.route('**/desipipe/api/**', lambda route: route.abort())
    page.get_by_role('button', name='Refresh').click()
    expect(page.locator('.jp-desipipe-Panel')).to_contain_text('No connection to the server')


def test_narrow_window_has_all_of_it(page: Any, address: str, queue: Queue) -> None:
    page.set_viewport_size({'width': 420, 'height': 800})
    open_queue(page, address)
    task(page, 'square[3]').click()
    expect(page.locator('.jp-desipipe-TaskPage')).to_contain_text('ValueError: no gate')
    box = page.locator('.jp-desipipe-TaskPage').bounding_box()
    assert box['x'] >= 0 and box['x'] + box['width'] <= 420
    # Tools of the output go on in the next line.
    page.set_viewport_size({'width': 180, 'height': 800})
    search = page.locator('.jp-desipipe-TaskPage .jp-desipipe-search').first
    assert search.bounding_box()['width'] >= 60
    download = page.get_by_role('button', name='Download').first.bounding_box()
    assert download['x'] + download['width'] <= 180


def test_open_queue_covers_no_other(page: Any, address: str, queue: Queue) -> None:
    for number in range(9):
        Queue(f'other{number}', base_dir=str(Path(queue.folder).parent), create=True)
    page.set_viewport_size({'width': 720, 'height': 420})
    open_queue(page, address)
    expect(page.locator('.jp-desipipe-queue')).to_have_count(10)
    expect(task(page, 'square[3]')).to_be_visible()
    for name in ('Workers', 'Apps'):
        toggle = page.get_by_role('button', name=re.compile(f'^{name}'))
        if toggle.count() and toggle.get_attribute('aria-expanded') == 'false':
            toggle.click()
    expect(page.locator('.jp-desipipe-apps tr')).to_have_count(2)
    boxes = [
        row.bounding_box()
        for row in page.locator('.jp-desipipe-queue > *').all()
        if row.is_visible()
    ]
    below = sorted(boxes, key=lambda box: box['y'])
    overlaps = [
        (one, other)
        for one, other in itertools.pairwise(below)
        if one['y'] + one['height'] > other['y'] + 0.5
    ]
    assert overlaps == []
    section = page.locator('.jp-desipipe-tasks-section').bounding_box()
    body = page.locator('.jp-desipipe-body').bounding_box()
    assert section['y'] + section['height'] <= body['y'] + body['height'] + 0.5
