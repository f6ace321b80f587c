"""The panel, as a person sees and uses it: in JupyterLab and Notebook 7, in a browser."""

from __future__ import annotations

import getpass
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from polling import wait_for

from desipipe import Queue, TaskManager
from desipipe.view.cell import cell_summary

from .gated import add_gated, end_gated, working

pytest.importorskip('playwright.sync_api', reason='playwright is not installed; try: make test')
nbformat = pytest.importorskip('nbformat')
from playwright.sync_api import expect  # noqa: E402

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

API = '/desipipe/api/'


def new_queue(lab: Any, name: str) -> Queue:
    """A queue where the panel looks for the user's own."""
    return Queue(name, base_dir=lab.queues / getpass.getuser(), create=True)


def open_lab(page: Any, path: str = '') -> None:
    page.goto(page.lab.address(path))
    page.locator('.jp-SideBar [data-id="desipipe-panel"]').wait_for()
    page.locator('.jp-NotebookPanel, .jp-Launcher').first.wait_for()


def open_panel(page: Any) -> Any:
    """The locator of the panel, which is shown."""
    panel = page.locator('#desipipe-panel')
    if not panel.is_visible():
        page.locator('.jp-SideBar [data-id="desipipe-panel"]').click()
    expect(panel).to_be_visible()
    return panel


def open_queue(page: Any, name: str) -> Any:
    """The locator of a queue of the panel, which is open."""
    queue = open_panel(page).locator(
        '.jp-desipipe-queue', has=page.get_by_role('button', name=name, exact=True)
    )
    toggle = queue.get_by_role('button', name=name, exact=True)
    if toggle.get_attribute('aria-expanded') == 'false':
        toggle.click()
    expect(toggle).to_have_attribute('aria-expanded', 'true')
    return queue


def task(where: Any, name: str) -> Any:
    """A line of the list of tasks."""
    title = where.page.locator('.jp-desipipe-name', has_text=name)
    return where.locator('.jp-desipipe-task', has=title)


def agree(page: Any, message: str) -> None:
    page.get_by_role('dialog').get_by_role('button', name=message).click()


def in_menu(page: Any, queue: Any, message: str) -> None:
    """Choose from the menu of a queue."""
    queue.get_by_role('button', name=re.compile('^More of')).click()
    page.locator('.lm-Menu-item', has_text=message).click()


def in_context_menu(page: Any, position: Any, message: str) -> None:
    """Choose from the menu that a right click opens."""
    position.click(button='right')
    page.locator('.lm-Menu-item', has_text=message).click()


CELL = """\
%%desipipe gated --for i=range(6) --out texts
import os, time
print(f'{i} waits', flush=True)
while not os.path.exists(f'{gates}/{i}'):
    time.sleep(0.02)
text = open(f'{gates}/{i}').read()
if not text:
    os.remove(f'{gates}/{i}')
    raise ValueError(f'nothing for task {i}')
print(text)
texts = text
"""


def test_pipeline_from_its_first_cell_to_its_end(lab: Any, page: Any, tmp_path: Path) -> None:
    """Run a notebook, watch the panel count up, pause, resume, retry, follow output, end a
    worker, graph, timeline, reload.
    """
    gates = tmp_path / 'gates'
    gates.mkdir()
    setup = f'gates = {str(gates)!r}\n%load_ext desipipe\n%desipipe use story --workers 2'
    page.open_notebook(
        lab.write('story.ipynb', setup, CELL, '%%desipipe --out all\nall = " ".join(texts)')
    )
    open_panel(page)
    for index in range(3):
        page.run_cell(index)
    queue = open_queue(page, 'story')
    numbers = queue.locator('.jp-desipipe-numbers')
    expect(numbers).to_have_text('0 / 7')
    expect(queue).to_contain_text('2 running')

    # What it prints is followed
    task(queue, 'gated[0]').click()
    detail = page.locator('.jp-desipipe-TaskPage:visible')
    expect(detail.get_by_role('log', name='Output')).to_have_text('0 waits\n')
    end_gated(gates, 0, 'zero <b>bold</b>')
    expect(detail.get_by_role('log', name='Output')).to_have_text('0 waits\nzero <b>bold</b>\n')
    expect(detail.get_by_role('status')).to_have_text('succeeded')
    expect(numbers).to_have_text('1 / 7')
    expect(detail.get_by_role('region', name='Code')).to_contain_text('while not os.path.exists')

    # Paused, nothing begins
    queue.get_by_role('button', name='Pause story').click()
    expect(queue).to_contain_text('paused')
    end_gated(gates, 1, 'one')
    expect(numbers).to_have_text('2 / 7')
    for i in (3, 4, 5):
        end_gated(gates, i, 'more')
    queue.get_by_role('button', name='Resume story').click()
    expect(queue).not_to_contain_text('paused')
    expect(numbers).to_have_text('5 / 7')

    # What failed says why, keeps others from running, and is retried
    end_gated(gates, 2, '')
    expect(queue).to_contain_text('1 failed')
    expect(queue).to_contain_text('1 blocked')
    expect(queue.locator('.jp-desipipe-failure')).to_contain_text('ValueError: nothing for task 2')
    expect(
        page.locator('.jp-toast-message, .Toastify__toast', has_text='story').first
    ).to_be_visible()
    queue.locator('.jp-desipipe-failure').get_by_role('button').click()
    failed = page.locator('.jp-desipipe-TaskPage:visible')
    expect(failed.get_by_role('region', name='Traceback')).to_contain_text('nothing for task 2')
    expect(failed.get_by_role('region', name='Attempts').get_by_role('row')).to_have_count(2)
    # The failing line is framed: JupyterLab's colours of code have no contrast to spare.
    expect(failed.locator('.jp-desipipe-code mark')).to_have_css(
        'background-color', 'rgba(0, 0, 0, 0)'
    )
    failed.get_by_role('button', name='Retry').click()
    expect(failed.get_by_role('status')).to_have_text('running')

    # A worker is ended: its task is killed, and retried too
    queue.locator('.jp-desipipe-worker').get_by_role(
        'button', name=re.compile('^Stop worker')
    ).first.click()
    agree(page, 'Stop worker')
    expect(failed.get_by_role('status')).to_have_text('killed')
    expect(queue).to_contain_text('1 killed')
    end_gated(gates, 2, 'two')
    queue.get_by_role('button', name='Retry 1').click()
    expect(numbers).to_have_text('7 / 7')
    expect(queue).to_contain_text('done')
    expect(failed.get_by_role('region', name='Attempts').get_by_role('row')).to_have_count(4)

    # Pictures, and all of it again after a reload
    queue.get_by_role('button', name='Graph').click()
    graph = page.locator('.jp-desipipe-PicturePage:visible')
    expect(graph.locator('[data-node]')).to_have_count(7)
    queue.get_by_role('button', name='Timeline').click()
    timeline = page.locator('.jp-desipipe-PicturePage:visible')
    expect(timeline.locator('[data-task]')).to_have_count(9)
    page.wait_for_function(
        'document.querySelectorAll(".jp-desipipe-Page").length === 3'
    )  # tasks share a tab
    expect(page.locator('.lm-TabBar-tab', has_text='Timeline of story')).to_be_visible()
    page.come_back('timeline')
    expect(page.locator('.jp-desipipe-PicturePage:visible [data-task]')).to_have_count(9)
    expect(page.locator('.lm-TabBar-tab', has_text='gated[2]')).to_be_visible()
    expect(page.locator('#desipipe-panel .jp-desipipe-numbers')).to_have_text('7 / 7')
    assert not [error for error in page.errors if 'desipipe' in error.lower()]


def test_panel_asks_nothing_while_hidden(lab: Any, page: Any, tmp_path: Path) -> None:
    queue = new_queue(lab, 'hidden')
    add_gated(queue, tmp_path / 'gates', 2)
    open_lab(page)
    shown = open_queue(page, 'hidden')
    expect(shown.locator('.jp-desipipe-numbers')).to_have_text('0 / 2')
    page.locator('.jp-SideBar [data-id="desipipe-panel"]').click()
    expect(page.locator('#desipipe-panel')).to_be_hidden()
    asked: list[str] = []
    page.on(
        'request',
        lambda request: (
            asked.append(request.url)
            if API in request.url and 'events' not in request.url
            else None
        ),
    )
    status = page.locator('.jp-desipipe-StatusItem')
    before = int(re.search(r'● ([\d,]+)', status.inner_text())[1].replace(',', ''))  # type: ignore[index]
    with working(lab, queue):
        # The server tells what happens.
        expect(status).to_contain_text(f'● {before + 2}')
        assert not asked
        panel = open_panel(page)
        expect(task(panel, 'gated[0]')).to_have_attribute('aria-label', re.compile('running'))
        assert asked
    queue.kill()


def test_server_and_queue_that_go_and_come_back(
    new_lab: Any, new_page: Any, tmp_path: Path
) -> None:
    lab = new_lab()
    queue, gates = new_queue(lab, 'back'), tmp_path / 'gates'
    add_gated(queue, gates, 2)
    page = new_page(lab=lab)
    open_lab(page)
    shown = open_queue(page, 'back')
    panel = page.locator('#desipipe-panel')
    expect(shown.locator('.jp-desipipe-numbers')).to_have_text('0 / 2')
    with working(lab, queue):
        lab.stop()
        expect(panel.get_by_role('alert')).to_contain_text(
            re.compile('No connection to the server. Showing the state of .*retrying')
        )
        expect(panel.get_by_role('alert')).to_have_count(1)
        expect(shown.locator('.jp-desipipe-numbers')).to_have_text('0 / 2')
        end_gated(gates, 0, 'zero')
        lab.start()
        expect(panel.get_by_role('alert')).to_have_count(0)
        expect(shown.locator('.jp-desipipe-numbers')).to_have_text('1 / 2')
        end_gated(gates, 1, 'one')
        expect(shown.locator('.jp-desipipe-numbers')).to_have_text('2 / 2')
    os.rename(queue.folder, tmp_path / 'away')
    # A queue that is gone is not listed; one that comes back is found when the panel is refreshed.
    expect(panel.locator('.jp-desipipe-queue')).to_have_count(0)
    os.rename(tmp_path / 'away', queue.folder)
    panel.get_by_role('button', name='Refresh').click()
    expect(shown.locator('.jp-desipipe-numbers')).to_have_text('2 / 2')
    for _ in range(
        page.get_by_role('dialog').count()
    ):  # JupyterLab's own words on the server's absence
        page.get_by_role('dialog').last.get_by_role('button').last.click()
    # Deleted from here, it goes from the list
    in_menu(page, shown, 'Delete Queue')
    agree(page, 'Don’t delete')
    assert Path(queue.folder).is_dir()
    in_menu(page, shown, 'Delete Queue')
    page.get_by_role('dialog').get_by_role('button', name='Delete', exact=True).click()
    expect(panel.locator('.jp-desipipe-queue')).to_have_count(0)
    assert not Path(queue.folder).exists()


def test_from_a_task_to_its_cell_and_back(lab: Any, page: Any, tmp_path: Path) -> None:
    queue = new_queue(lab, 'cells')
    here = os.getcwd()
    try:
        os.chdir(lab.workdir)  # as a kernel that was started for a notebook there
        add_gated(queue, tmp_path / 'gates', 4)
    finally:
        os.chdir(here)
    bundle = {
        'application/vnd.desipipe.v1+json': cell_summary(queue, '0-3', title='gated'),
        'text/plain': 'static',
    }
    made = nbformat.v4.new_code_cell(
        '%%desipipe gated',
        execution_count=1,
        outputs=[nbformat.v4.new_output('display_data', data=bundle)],
    )
    lab.write('maker.ipynb', *(f'# {i}\n' + 'pass\n' * 30 for i in range(5)), made)
    # A record of it is newer, and has the same cell: it is not the place to work in.
    lab.write('maker.record.ipynb', made, metadata={'desipipe_record': {'version': 1}})
    open_lab(page)
    shown = open_queue(page, 'cells')
    task(shown, 'gated[2]').click()
    page.locator('.jp-desipipe-TaskPage:visible').get_by_role('button', name='Go to cell').click()
    cell = page.locator('.jp-Notebook .jp-Cell', has_text='%%desipipe gated')
    expect(cell).to_have_class(re.compile('jp-desipipe-flash'))
    expect(cell).to_be_in_viewport()
    expect(cell).to_have_class(re.compile('jp-mod-active'))
    expect(page.locator('.lm-TabBar-tab', has_text='maker.record.ipynb')).to_have_count(0)
    # The queue of the notebook in front stands on top.
    groups = page.locator('#desipipe-panel .jp-desipipe-queues > li')
    expect(groups.nth(0)).to_have_text('This notebook')
    expect(groups.nth(1)).to_have_attribute('data-folder', queue.folder)
    # And back
    page.locator('.jp-SideBar [data-id="desipipe-panel"]').click()
    expect(page.locator('#desipipe-panel')).to_be_hidden()
    cell.get_by_role('button', name='Show the tasks in the panel').click()
    expect(shown.locator('.jp-desipipe-chip')).to_contain_text('Cell: gated')
    expect(shown.locator('.jp-desipipe-task')).to_have_count(4)
    shown.get_by_role('button', name='Show the tasks of all cells').click()
    expect(shown.locator('.jp-desipipe-chip')).to_have_count(0)
    in_context_menu(page, cell.locator('.jp-desipipe-Cell'), 'Show Tasks of Cell')
    expect(shown.locator('.jp-desipipe-chip')).to_contain_text('Cell: gated')
    page.locator('.lm-TabBar-tab', has_text='gated[2]').click()
    expect(cell).to_be_hidden()
    in_context_menu(page, task(shown, 'gated[3]'), 'Go to Cell')
    expect(cell).to_be_in_viewport()
    expect(cell).to_have_class(re.compile('jp-desipipe-flash'))


def test_orders_from_menus(lab: Any, page: Any, tmp_path: Path) -> None:
    """Start, resize, cancel and retry one or all, end all: what loses something asks first; by
    mouse and by keyboard.
    """
    queue, gates = new_queue(lab, 'orders'), tmp_path / 'gates'
    add_gated(queue, gates, 6)
    open_lab(page)
    shown = open_queue(page, 'orders')
    counts, workers = shown.locator('.jp-desipipe-counts'), shown.locator('.jp-desipipe-worker')
    try:
        shown.get_by_role('button', name='Start workers').click()
        expect(counts).to_contain_text('2 running')
        in_menu(page, shown, 'Limit of Parallel Tasks')
        expect(page.get_by_role('dialog').get_by_role('spinbutton')).to_have_value('2')
        page.get_by_role('dialog').get_by_role('spinbutton').fill('3')
        agree(page, 'Change')
        expect(counts).to_contain_text('3 running')
        # One task
        for answer, killed in (('Don’t cancel', 0), ('Cancel task', 1)):
            in_context_menu(page, task(shown, 'gated[5]'), 'Cancel Task')
            agree(page, answer)
            expect(page.get_by_role('dialog')).to_have_count(0)
            expect(counts.get_by_text('killed')).to_have_count(killed)
        in_context_menu(page, task(shown, 'gated[5]'), 'Retry')
        expect(counts.get_by_text('killed')).to_have_count(0)
        shown.get_by_role('listbox', name='Tasks').focus()
        page.keyboard.press('ArrowDown')
        page.keyboard.press('ContextMenu')
        page.locator('.lm-Menu-item', has_text=re.compile('^Open Task$')).wait_for()
        page.keyboard.press('ArrowDown')
        page.keyboard.press('Enter')
        expect(page.locator('.jp-desipipe-TaskPage:visible h2')).to_contain_text('gated[1]')
        # All that are left
        for answer, killed in (('Don’t cancel', 0), ('Cancel tasks', 6)):
            in_menu(page, shown, 'Cancel Remaining Tasks')
            agree(page, answer)
            expect(page.get_by_role('dialog')).to_have_count(0)
            expect(counts.get_by_text('6 killed')).to_have_count(1 if killed else 0)
            assert queue.counts['KILLED'] == killed
        in_menu(page, shown, 'Retry Failed Tasks')
        expect(counts).to_contain_text('3 running')
        # All workers, and the manager: by keyboard
        shown.get_by_role('button', name='More of orders').focus()
        page.keyboard.press('Enter')
        page.locator('.lm-Menu-item', has_text='Stop All Workers').wait_for()
        page.keyboard.press('ArrowUp')
        page.keyboard.press('ArrowUp')
        page.keyboard.press('Enter')
        expect(page.get_by_role('dialog')).to_contain_text('The manager stops too')
        page.keyboard.press('Escape')
        expect(page.get_by_role('dialog')).to_have_count(0)
        expect(counts).to_contain_text('3 running')
        in_menu(page, shown, 'Stop All Workers')
        agree(page, 'Stop workers')
        expect(workers).to_have_count(0)
        expect(counts).to_contain_text('3 killed')
        expect(shown).to_contain_text('no worker')
        expect(shown).to_contain_text('no manager')
    finally:
        queue.kill()


def test_keys_and_selection(lab: Any, page: Any, tmp_path: Path) -> None:
    """Several tasks are selected; commands are listed where they do something; focus returns."""
    queue, gates = new_queue(lab, 'keys'), tmp_path / 'gates'
    add_gated(queue, gates, 40)
    open_lab(page)
    shown = open_queue(page, 'keys')
    lines = shown.get_by_role('listbox', name='Tasks')
    for i in (1, 3, 2):
        task(shown, f'gated[{i}]').first.click(modifiers=['Control'])
    expect(shown.locator('.jp-desipipe-chosen')).to_contain_text('3 selected')
    in_context_menu(page, task(shown, 'gated[3]').first, 'Cancel Selected Tasks')
    agree(page, 'Cancel tasks')
    expect(shown.locator('.jp-desipipe-counts')).to_contain_text('3 killed')
    in_context_menu(page, task(shown, 'gated[3]').first, 'Retry Selected Tasks')
    expect(shown.locator('.jp-desipipe-counts')).to_contain_text('40 pending')
    # Menus and Escape leave the keys where they were.
    task(shown, 'gated[4]').click(button='right')
    page.locator('.lm-Menu-item', has_text='Retry').wait_for()
    page.keyboard.press('Escape')
    expect(lines).to_be_focused()
    page.keyboard.press('Escape')
    expect(shown.locator('.jp-desipipe-chosen')).to_have_count(0)
    # The palette
    page.locator('.jp-Launcher').click()
    page.keyboard.press('Control+Shift+c')
    palette = page.locator('.lm-CommandPalette-item')
    page.keyboard.type('desipipe:')
    expect(palette.filter(has_text='Pause Queue')).to_be_visible()
    for text in ('Resume Queue', 'Retry Failed', 'Clear Superseded'):
        expect(palette.filter(has_text=text)).to_be_hidden()
    page.keyboard.type(' show panel')
    expect(palette.filter(visible=True)).to_have_count(1)
    page.keyboard.press('Enter')
    expect(shown.get_by_role('button', name='keys', exact=True)).to_be_focused()
    # From task to task
    task(shown, 'gated[4]').click()
    detail = page.locator('.jp-desipipe-TaskPage:visible')
    following = detail.get_by_role('button', name='Next task')
    following.focus()
    for i in (5, 6):
        page.keyboard.press('Enter')
        expect(detail.locator('h2')).to_contain_text(f'gated[{i}]')
        expect(following).to_be_focused()
    # The graph
    shown.get_by_role('button', name='Graph').focus()
    page.keyboard.press('Enter')
    nodes = page.locator('.jp-desipipe-PicturePage:visible [data-node]')
    expect(nodes).to_have_count(1)
    nodes.focus()
    page.keyboard.press('Enter')
    expect(nodes).to_have_count(40)
    expect(nodes.first).to_be_focused()


def test_deleted_queue_is_told_of_once(lab: Any, page: Any, tmp_path: Path) -> None:
    """A queue that another process deletes while its pages are open vanishes without errors."""
    queue, gates = new_queue(lab, 'vanishes'), tmp_path / 'gates'
    add_gated(queue, gates, 3)
    open_lab(page)
    shown = open_queue(page, 'vanishes')
    task(shown, 'gated[0]').click()
    shown.get_by_role('button', name='Graph').click()
    expect(page.locator('.jp-desipipe-PicturePage:visible [data-node]')).to_have_count(3)
    page.errors.clear()
    shutil.rmtree(queue.folder)
    expect(shown).to_have_count(0)
    banner = page.locator('.jp-desipipe-Page:visible .jp-desipipe-banner')
    expect(banner).to_be_visible()
    page.locator('.lm-TabBar-tab', has_text='gated[0]').click()
    expect(page.locator('.jp-desipipe-TaskPage:visible .jp-desipipe-banner')).to_be_visible()
    assert page.errors == []
    # Another one takes its place
    add_gated(new_queue(lab, 'vanishes'), gates, 3)
    expect(banner).to_have_count(0)


def test_zoomed_timeline_stays(lab: Any, page: Any, tmp_path: Path) -> None:
    """It shows the same time while there is more of it, until *Fit*."""
    queue, gates = new_queue(lab, 'zoomed'), tmp_path / 'gates'
    add_gated(queue, gates, 8)
    for i in range(2):
        end_gated(gates, i, 'early')
    open_lab(page)
    shown = open_queue(page, 'zoomed')
    with working(lab, queue):
        expect(shown.locator('.jp-desipipe-numbers')).to_have_text('2 / 8')
        shown.get_by_role('button', name='Timeline').click()
        timeline = page.locator('.jp-desipipe-PicturePage:visible')
        running = timeline.locator('[data-task]', has_text='gated[2]')
        expect(running).to_have_count(1)
        for _ in range(2):
            timeline.get_by_role('button', name='Zoom in').click()
        ticks = timeline.locator('svg.jp-desipipe-picture > g text')
        expect(ticks.first).to_be_attached()
        before = ticks.first.text_content()
        for i in range(2, 7):  # the seventh keeps one of two slots at most
            end_gated(gates, i, 'late')
        expect(shown.locator('.jp-desipipe-numbers')).to_have_text('7 / 8')
        with page.expect_response(lambda response: 'api/timeline' in response.url):
            pass
        assert ticks.first.text_content() == before
        timeline.get_by_role('button', name='Fit').click()
        expect(timeline.locator('[data-task]', has_text='gated[5]')).to_have_count(1)
        for i in range(6, 8):
            end_gated(gates, i, 'last')


def test_settings(lab: Any, page: Any, tmp_path: Path) -> None:
    """The form of the settings: more folders are searched, notifications are switched off."""
    deep = lab.workdir / 'a' / 'b'
    Queue('deep', base_dir=deep, create=True)
    queue, gates = new_queue(lab, 'quiet'), tmp_path / 'gates'
    add_gated(queue, gates, 1)
    end_gated(gates, 0, '')
    open_lab(page)
    shown = open_queue(page, 'quiet')
    located = page.locator('.jp-desipipe-queue[data-folder$="/a/b/deep.queue"]')
    expect(located).to_have_count(0)
    page.locator('#desipipe-panel').get_by_role('button', name='Settings').click()
    form = page.locator('.jp-SettingsForm')
    try:
        form.get_by_title('Add item').click()
        form.get_by_role('textbox').first.fill('a/b')
        expect(located).to_be_visible()
        for text in ('Notify on the first failure', 'Notify when a queue finishes'):
            form.get_by_role('checkbox', name=text).uncheck()
        saved = 'lab/api/settings/desipipe-lab:panel'
        wait_for(
            lambda: lab.request(saved)['settings'].get('notifyCompletion') is False,
            'JupyterLab to save the settings',
        )
        with working(lab, queue):
            expect(shown.locator('.jp-desipipe-counts')).to_contain_text('1 failed')
            expect(page.locator('.Toastify__toast')).to_have_count(0)
            # Switched on again, the next one is told
            form.get_by_role('checkbox', name='Notify when a queue finishes').check()
            wait_for(
                lambda: lab.request(saved)['settings'].get('notifyCompletion', True),
                'JupyterLab to save the settings',
            )
            end_gated(gates, 0, 'fine')
            shown.get_by_role('button', name='Retry').click()
            expect(
                page.locator('.Toastify__toast', has_text='quiet finished: 1 task succeeded')
            ).to_be_visible()
    finally:
        lab.request('lab/api/settings/desipipe-lab:panel', {'raw': '{}'}, 'PUT')
        queue.kill()


def test_hostile_output_is_text(lab: Any, page: Any) -> None:
    queue = new_queue(lab, 'hostile')

    def hostile() -> None:
        import sys

        sys.stdout.write('<img src=x onerror="document.title=1"> <b>bold</b>\n')
        sys.stdout.write('\x1b[31mred\x1b[0m \x1b]8;;http://evil\x07link\x1b]8;;\x07\n')
        sys.stdout.write('10%\r50%\r100%\n')
        sys.stdout.flush()
        sys.stdout.buffer.write(bytes(range(256)) + b'\n')
        sys.stdout.buffer.write(b'x' * 100_000_000 + b'\n')
        sys.stdout.write('the end\n')
        raise ValueError('<script>document.title = 2</script>')

    TaskManager(queue).python_app(hostile)()
    subprocess.run(
        [sys.executable, '-m', 'desipipe', 'work', '-q', queue.folder],
        env=lab.env,
        cwd=lab.workdir,
        check=True,
        capture_output=True,
        timeout=120,
    )
    open_lab(page)
    shown = open_queue(page, 'hostile')
    expect(task(shown, 'hostile[0]')).to_contain_text('<script>')
    task(shown, 'hostile[0]').click()
    detail = page.locator('.jp-desipipe-TaskPage:visible')
    log = detail.get_by_role('log', name='Output')
    expect(log).to_contain_text('the end')
    text = log.inner_text()
    assert (
        '<img src=x' in text and '<b>bold</b>' in text and 'red link' in text and '\x1b' not in text
    )
    assert '100%' in text and '50%' not in text
    assert len(text) < 1_100_000
    assert log.locator('img, b, a').count() == 0
    expect(detail.get_by_role('region', name='Traceback')).to_contain_text('<script>')
    assert page.title() not in ('1', '2')


def test_hundred_thousand_tasks(lab: Any, page: Any, tmp_path: Path) -> None:
    """Scroll and filter; only what is seen is in the page."""
    queue = new_queue(lab, 'large')

    def measure(i: int) -> int:
        return i

    def other(i: int) -> int:
        return i

    tm = TaskManager(queue)
    tm.python_app(measure).map(i=range(100_000))
    tm.python_app(other).map(i=range(10))
    open_lab(page)
    shown = open_queue(page, 'large')
    expect(shown.locator('.jp-desipipe-numbers')).to_have_text('0 / 100,010')
    expect(task(shown, 'measure[0]')).to_be_visible()
    lines = shown.get_by_role('listbox', name='Tasks')
    lines.focus()
    page.keyboard.press('End')
    expect(task(shown, 'other[9]')).to_be_visible()
    assert shown.locator('.jp-desipipe-task').count() < 100
    expect(task(shown, 'other[9]')).to_have_attribute('aria-posinset', '100010')
    page.keyboard.press('ArrowUp')
    page.keyboard.press('Enter')
    expect(page.locator('.jp-desipipe-TaskPage:visible h2')).to_contain_text('other[8]')
    shown.get_by_role('searchbox').fill('measure[99999')
    expect(shown.locator('.jp-desipipe-task')).to_have_count(1)
    expect(shown.get_by_role('status').first).to_have_text('1 shown')
    shown.get_by_role('searchbox').fill('')
    shown.get_by_role('combobox', name='State').select_option('PENDING')
    expect(shown.get_by_role('status').first).to_have_text('100,010 shown')
    shown.get_by_role('searchbox').fill('no such')
    expect(shown).to_contain_text('No matching tasks')
    # The graph shows apps, and unfolds them
    queue_graph = shown.get_by_role('button', name='Graph')
    queue_graph.click()
    graph = page.locator('.jp-desipipe-PicturePage:visible')
    expect(graph.locator('[data-node]')).to_have_count(2)
    graph.get_by_role('button', name=re.compile('^other: 10 pending')).click()
    expect(graph.locator('[data-node]')).to_have_count(11)
    for kind in ('SVG', 'PNG'):
        with page.expect_download() as waited:
            graph.get_by_role('button', name=kind, exact=True).click()
        path = tmp_path / waited.value.suggested_filename
        waited.value.save_as(path)
        data = path.read_bytes()
        assert path.name == f'large-graph.{kind.lower()}'
        assert (
            data.startswith(b'<svg') and b'other[9]' in data
            if kind == 'SVG'
            else data.startswith(b'\x89PNG')
        )


def test_notebook_7_with_a_prefix_in_two_windows(
    new_lab: Any, new_page: Any, tmp_path: Path
) -> None:
    pytest.importorskip('notebook', reason='Notebook 7 is not installed; try: make test')
    lab = new_lab(app='notebook', base_url='/hub/user/')
    queues = [new_queue(lab, f'queue{i:02d}') for i in range(20)]
    gates = tmp_path / 'gates'
    for queue in queues:
        add_gated(queue, gates, 2, 'waits')
    lab.write('empty.ipynb', 'pass')
    pages = [new_page(lab=lab) for _ in range(2)]
    for page in pages:
        page.open_notebook('empty.ipynb')
        page.keyboard.press('Escape')
        page.get_by_role('menuitem', name='View').click()
        page.locator('.lm-Menu-item', has_text='Show desipipe Panel').click()
        expect(page.locator('#desipipe-panel .jp-desipipe-queue')).to_have_count(20)
    one, two = (open_queue(page, 'queue07') for page in pages)
    one.get_by_role('button', name='Pause queue07').click()
    expect(two).to_contain_text('paused')
    two.get_by_role('button', name='Resume queue07').click()
    expect(one).not_to_contain_text('paused')
    with working(lab, queues[7]):
        for shown in (one, two):
            expect(shown).to_contain_text('2 running')
        task(one, 'gated[0]').click()
        detail = pages[0].locator('.jp-desipipe-TaskPage:visible')
        expect(detail.get_by_role('log', name='Output')).to_have_text('0 waits\n')
        assert detail.evaluate('node => node.parentElement.clientHeight') >= 300
        end_gated(gates, 0, 'zero')
        for shown in (one, two):
            expect(shown.locator('.jp-desipipe-numbers')).to_have_text('1 / 2')
        expect(detail.get_by_role('status')).to_have_text('succeeded')
        one.get_by_role('button', name='Graph').click()
        expect(pages[0].locator('.jp-desipipe-PicturePage')).to_be_visible()
        end_gated(gates, 1, 'one')  # What the panel started ends when nothing is left.


def serious(page: Any, where: str) -> list[str]:
    """What axe finds of what is serious, in a part of the page."""
    from axe_playwright_python.sync_playwright import Axe

    violations = Axe().run(page.page, context=where).response['violations']
    return [
        f'{violation["id"]}: {node["html"][:200]} {json.dumps(node["any"])[:300]}'
        for violation in violations
        if violation['impact'] in ('serious', 'critical')
        for node in violation['nodes']
    ]


@pytest.mark.parametrize('theme', ['JupyterLab Light', 'JupyterLab Dark'])
def test_everybody_can_use_it(lab: Any, page: Any, tmp_path: Path, theme: str) -> None:
    """No serious finding of axe, in a light and in a dark theme; all of it by keyboard."""
    pytest.importorskip(
        'axe_playwright_python', reason='axe-playwright-python is not installed; try: make test'
    )
    name = theme.split()[1].lower()
    queue, gates = new_queue(lab, name), tmp_path / 'gates'
    add_gated(queue, gates, 4)
    jobs = [
        ('4411_0', 2, 'running', '', 'nid0042', time.time() + 41 * 60 + 30),
        *((f'4411_{i}', 2, 'pending', 'Priority', '', None) for i in range(1, 40)),
    ]
    queue.ledger.note_jobs('m', jobs)
    end_gated(gates, 0, 'zero')
    end_gated(gates, 1, '')
    lab.request(
        'lab/api/settings/@jupyterlab/apputils-extension:themes',
        {'raw': json.dumps({'theme': theme})},
        'PUT',
    )
    try:
        with working(lab, queue):
            open_lab(page)
            shown = open_queue(page, name)
            expect(shown.locator('.jp-desipipe-counts')).to_contain_text('1 failed')
            expect(shown.locator('.jp-desipipe-counts')).to_contain_text('2 running')
            assert page.locator('body').get_attribute('data-jp-theme-name') == theme
            waiting = shown.locator('.jp-desipipe-worker[data-job^="4411_"]')
            expect(waiting.nth(0)).to_have_text(
                re.compile(r'^slurm 4411_0\s*nid0042 ·\s*starting ·\s*2 slots ·\s*4[01] min left$')
            )
            expect(waiting.nth(1)).to_contain_text('pending (Priority)')
            expect(shown.locator('.jp-desipipe-section', has_text='Workers').first).to_contain_text(
                '39 jobs pending'
            )
            shown.get_by_role('button', name='20 more').click()
            expect(waiting).to_have_count(40)
            # What the worker uses is shown once it has told it.
            worker = shown.locator('.jp-desipipe-worker', has_text='CPU')
            expect(worker).to_have_count(1)
            assert serious(page, '#desipipe-panel') == []
            shown.get_by_role('listbox', name='Tasks').focus()
            page.keyboard.press('ArrowDown')
            page.keyboard.press('Enter')
            expect(page.locator('.jp-desipipe-TaskPage:visible h2')).to_contain_text('gated[1]')
            assert serious(page, '.jp-desipipe-TaskPage') == []
            shown.get_by_role('button', name='Graph').focus()
            page.keyboard.press('Enter')
            node = page.locator('.jp-desipipe-PicturePage:visible [data-node]')
            expect(node).to_have_count(4)
            assert serious(page, '.jp-desipipe-PicturePage') == []
            node.nth(3).focus()
            page.keyboard.press('Enter')
            expect(page.locator('.jp-desipipe-TaskPage:visible h2')).to_contain_text('gated[')
            shown.get_by_role('button', name='Timeline').focus()
            page.keyboard.press('Enter')
            expect(page.locator('.jp-desipipe-PicturePage:visible [data-task]')).to_have_count(4)
            assert serious(page, '.jp-desipipe-PicturePage:not(.lm-mod-hidden)') == []
    finally:
        lab.request('lab/api/settings/@jupyterlab/apputils-extension:themes', {'raw': '{}'}, 'PUT')
        shutil.rmtree(gates, ignore_errors=True)
        queue.kill()
