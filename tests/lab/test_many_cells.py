"""Notebooks of a thousand task cells, and one notebook in two windows, in a browser."""

from __future__ import annotations

from typing import Any

import pytest

from desipipe.view.folded_outputs import UNFOLDED_MAX

pytest.importorskip('playwright.sync_api', reason='playwright is not installed; try: make test')
from playwright.sync_api import expect

from .conftest import LabPage
from .test_panel import open_panel, open_queue, serious, task

pytestmark = pytest.mark.browser

MANY = 1000
HELPER = 'def inside(x):\n    return x + 1'


def badge(page: Any, index: int) -> Any:
    """The locator of the badge of a task cell."""
    return page.cell(index).locator('.jp-desipipe-Badge')


def edit(page: Any, index: int) -> None:
    """Type a digit at the end of a cell."""
    page.cell(index).locator('.cm-content').first.click()
    page.keyboard.press('Control+End')
    page.keyboard.type('0')


def own_errors(page: Any) -> list[str]:
    """Errors of one of two windows, without those of ipywidgets.

    Its manager of one window opens a comm, of which the other one knows nothing.
    """
    return [error for error in page.errors if not error.startswith('Comm not found for comm id')]


def test_thousand_cells_know(lab: Any, page: Any) -> None:
    tasks = [f'%%desipipe --out v{i}\nv{i} = inside({i})' for i in range(MANY)]
    head = ['%load_ext desipipe\n%desipipe use thousand --no-spawn', HELPER]
    page.open_notebook(lab.write('thousand.ipynb', *head, tasks[0], '%desipipe work', *tasks[1:]))
    expect(badge(page, 2)).to_have_text('○never run')
    for index in range(4):
        page.run_cell(index)
    expect(badge(page, 2)).to_have_text('✓current')
    expect(badge(page, 4)).to_have_text('○never run')
    edit(page, 1)
    expect(badge(page, 2)).to_have_text('↻stale: helper `inside` changed in cell 2')
    page.locator('[data-id="desipipe-cell-graph"]').click()
    graph = page.get_by_role('list', name='Task cells')
    expect(graph.get_by_role('button')).to_have_count(MANY)
    assert not page.errors, page.errors


def test_windows_on_one_notebook_follow_its_tasks(lab: Any, page: Any) -> None:
    pytest.importorskip(
        'axe_playwright_python', reason='axe-playwright-python is not installed; try: make test'
    )
    many = UNFOLDED_MAX + 1
    cells = [
        '%load_ext desipipe\n%desipipe use windows --no-spawn',
        HELPER,
        f"%%desipipe sweep --for i=range({many}) --out v\nprint('line', i)\nv = inside(i)",
        '%desipipe work',
    ]
    page.open_notebook(lab.write('windows.ipynb', *cells))
    for index in range(3):
        page.run_cell(index)
    expect(badge(page, 2)).to_have_text('■no worker')
    page.save()
    other = LabPage(lab, page.context.new_page())
    other.open_notebook('windows.ipynb')
    expect(badge(other, 2)).to_have_text('■no worker')
    page.run_cell(3)
    for window in (page, other):
        expect(badge(window, 2)).to_have_text('✓current')
        rows = window.display(2).locator('.jp-desipipe-label')
        expect(rows).to_have_count(many)
        expect(rows.first).to_contain_text('line 0')
        rows.first.click()
        expect(window.display(2).locator('.jp-OutputArea-output').first).to_have_text('line 0')
        assert serious(window, '.jp-desipipe-Cell') == []
    # What one window edits is not the other one's.
    edit(page, 1)
    expect(badge(page, 2)).to_have_text('↻stale: helper `inside` changed in cell 2')
    expect(badge(other, 2)).to_have_text('✓current')
    panel = open_panel(page)
    expect(panel).to_contain_text('This notebook')
    assert serious(page, '#desipipe-panel') == []
    task(open_queue(page, 'windows'), 'sweep[0]').click()
    detail = page.locator('.jp-desipipe-TaskPage:visible')
    expect(detail.get_by_role('region', name='Result')).to_contain_text('1')
    assert serious(page, '.jp-desipipe-TaskPage') == []
    assert own_errors(page) == []


def test_window_opened_before_follows_what_another_one_runs(lab: Any, page: Any) -> None:
    cells = ['%load_ext desipipe\n%desipipe use before --no-spawn', HELPER]
    task_cell = '%%desipipe --out v\nv = inside(1) + 1'
    page.open_notebook(lab.write('before.ipynb', *cells, task_cell, '%desipipe work'))
    other = LabPage(lab, page.context.new_page())
    other.open_notebook('before.ipynb')
    for window in (page, other):
        expect(badge(window, 2)).to_have_text('○never run')
    for index in range(3):
        page.run_cell(index)
    for window in (page, other):
        expect(badge(window, 2)).to_have_text('■no worker')
    page.run_cell(3)
    for window in (page, other):
        expect(badge(window, 2)).to_have_text('✓current')
    # It is what ran that counts, not what the other window's text is.
    edit(other, 2)
    expect(badge(other, 2)).to_have_text('✎edited: its text has changed since it ran')
    expect(badge(page, 2)).to_have_text('✓current')
    # Each window may run it: the other one knows.
    other.run_cell(2)
    expect(badge(other, 2)).to_have_text('■no worker')
    expect(badge(page, 2)).to_have_text('✎edited: its text has changed since it ran')
    assert own_errors(page) + own_errors(other) == []


def test_graph_of_a_long_notebook_goes_to_its_last_cell(lab: Any, page: Any) -> None:
    cells = [f'x{i} = {i}' for i in range(600)]
    page.open_notebook(lab.write('long.ipynb', *cells, '%%desipipe --out last\nlast = x9'))
    page.get_by_role('tab', name='Task Cells of the Notebook').click()
    # JupyterLab is still adding cells.
    page.locator('.jp-desipipe-cellnode').click()
    expect(page.locator('.jp-Notebook .jp-Cell.jp-mod-active')).to_contain_text('last = x9')
    expect(page.locator('.jp-Notebook .jp-Cell.jp-mod-active')).to_be_in_viewport()
