"""Notebooks that are loaded again without being saved: their cells know what ran, in a browser."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip('playwright.sync_api', reason='playwright is not installed; try: make test')
from playwright.sync_api import expect

from .conftest import LabPage
from .test_many_cells import badge, edit, own_errors

pytestmark = pytest.mark.browser

HELPER = 'def inside(x):\n    return x + 1'
LATER = 'These tasks ran after those above'
SWEEP = "%%desipipe sweep --for i=range(3) --out v\nprint('line', i)\nv = inside(i) + 1"
FAILS = '%%desipipe --out bad\nbad = 1 / 0'
EDITED = 'edited: its text has changed since it ran'
BUSY = "import os, time\nwhile not os.path.exists('go'):\n    time.sleep(0.05)"


def cells(queue: str) -> list[str]:
    """The cells of a notebook: two task cells that run, and one that never does."""
    use = f'%load_ext desipipe\n%desipipe use {queue} --no-spawn'
    return [use, HELPER, SWEEP, FAILS, '%desipipe work', '%%desipipe --out w\nw = 3', BUSY]


def read_states(page: Any) -> None:
    """Look at the badges of the task cells, and at the views below them."""
    expect(badge(page, 2)).to_have_text('✓current')
    expect(badge(page, 3)).to_have_text('✕failed')
    expect(badge(page, 5)).to_have_text('○never run')
    expect(page.display(2)).to_contain_text('line 2')
    expect(page.display(3)).to_contain_text('ZeroDivisionError')
    expect(page.display(5)).to_have_count(0)


def test_page_loaded_again_without_saving_knows_what_ran(lab: Any, page: Any) -> None:
    name = lab.write('reloaded.ipynb', *cells('reloaded'))
    page.on('dialog', lambda dialog: dialog.accept())  # to leave without saving
    page.open_notebook(name)
    for index in range(5):
        page.run_cell(index)
    expect(badge(page, 2)).to_have_text('✓current')
    # The kernel is busy, and is not asked.
    page.run_cell(6, wait=False)
    page.goto(lab.address(name))
    read_states(page)
    expect(page.output(2)).not_to_contain_text('line 2')  # the notebook is as it was saved
    # A window that was opened after all that knows it too.
    other = LabPage(lab, page.context.new_page())
    other.goto(lab.address(name))
    read_states(other)
    other.page.close()
    (lab.workdir / 'go').touch()
    # What is edited now is held against what ran.
    edit(page, 2)
    expect(badge(page, 2)).to_have_text(f'✎{EDITED}')
    # The kernel is another one: the journal knows.
    (session,) = [one for one in lab.request('api/sessions') if one['path'] == name]
    lab.request(f'api/kernels/{session["kernel"]["id"]}/restart', {}, 'POST')
    page.open_notebook(name)
    read_states(page)
    # Run again, the cell shows its tasks itself, once.
    for index in (0, 3):
        page.run_cell(index)
    expect(badge(page, 3)).to_have_text('✕failed')
    expect(page.display(3)).to_have_count(1)
    expect(page.output(3).locator('.jp-desipipe-Cell')).to_have_count(1)
    assert own_errors(page) == []


def test_reload_shows_later_tasks_below_the_saved_output(lab: Any, page: Any) -> None:
    use = '%load_ext desipipe\n%desipipe use later --no-spawn'
    name = lab.write('later.ipynb', use, HELPER, SWEEP, '%desipipe work')
    page.on('dialog', lambda dialog: dialog.accept())  # to leave without saving
    page.open_notebook(name)
    for index in range(4):
        page.run_cell(index)
    expect(badge(page, 2)).to_have_text('✓current')
    page.save()
    other = LabPage(lab, page.context.new_page())
    other.on('dialog', lambda dialog: dialog.accept())
    other.open_notebook(name)
    edit(other, 2)
    for index in (2, 3):
        other.run_cell(index)
    expect(badge(other, 2)).to_have_text('✓current')
    other.page.close()
    for reload in (False, True):
        if reload:
            page.goto(lab.address(name))
        expect(badge(page, 2)).to_have_text(f'✎{EDITED}')
        later = page.cell(2).locator(':scope > .jp-Cell-outputWrapper + .jp-desipipe-Recorded')
        expect(later).to_contain_text(LATER)
        expect(later).to_contain_text('line 2')
        assert [LATER in text for text in later.locator(':scope > *').all_inner_texts()] == [
            True,
            False,
        ]
        # Its line stands above its outputs, also of tasks that ended while it was shown.
        lines = later.locator('.jp-desipipe-Cell').inner_text().split('\n')
        assert lines[0].startswith('✓ 3 tasks')
