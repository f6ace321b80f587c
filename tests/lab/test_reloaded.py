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
