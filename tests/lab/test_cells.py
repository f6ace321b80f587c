"""Badges of task cells, their graph, and running stale ones, as a person sees them: in
JupyterLab, in a browser.
"""

from __future__ import annotations

import getpass
import json
import re
from typing import Any

import pytest

from desipipe import Queue

pytest.importorskip('playwright.sync_api', reason='playwright is not installed; try: make test')
nbformat = pytest.importorskip('nbformat')
from playwright.sync_api import expect  # noqa: E402

pytestmark = pytest.mark.browser

CELLS = [
    '%load_ext desipipe\n%desipipe use badges --no-spawn',
    'def inside(x):\n    return x + 1',
    'def outer(x):\n    return inside(x)',
    '%%desipipe --out a\na = outer(1)',
    '%%desipipe --out b\nb = a',
    '%desipipe work',
]
REASON = 'stale: helper `inside` changed in cell 3'


def badge(page: Any, index: int) -> Any:
    return page.cell(index).locator('.jp-desipipe-Badge')


def test_cells_know(lab: Any, page: Any) -> None:
    heading = nbformat.v4.new_markdown_cell('# Study')
    page.open_notebook(lab.write('badges.ipynb', heading, *CELLS))
    expect(badge(page, 4)).to_have_text('○never run')
    for index in range(1, 7):
        page.run_cell(index)
    for index in (4, 5):
        expect(badge(page, index)).to_have_text('✓current')
    expect(page.locator('.jp-desipipe-Badge')).to_have_count(2)

    # While someone types, before anything runs: through two levels of helpers, and to what reads
    # the result.
    page.cell(2).locator('.cm-content').first.click()
    page.keyboard.press('Control+End')
    page.keyboard.type('0')
    expect(badge(page, 4)).to_have_text(f'↻{REASON}')
    expect(badge(page, 5)).to_have_text('↻stale: `a` comes from cell 5, which is stale')
    page.locator('[data-id="table-of-contents"]').click()
    marked = page.locator('.jp-tocItem-content', has_text='Study')
    expect(marked).to_have_attribute('data-desipipe-mark', '↻')

    # The file says it, where nothing runs.
    page.cell(0).click()
    page.save()
    saved = json.loads((lab.workdir / 'badges.ipynb').read_text())['cells'][4]['outputs'][-1][
        'data'
    ]
    assert f'<b>↻ {REASON}</b>' in ''.join(saved['text/html'])
    assert ''.join(saved['text/plain']).startswith(f'↻ {REASON}\n')

    page.locator('[data-id="desipipe-cell-graph"]').click()
    graph = page.get_by_role('list', name='Task cells')
    expect(graph.get_by_role('button')).to_have_count(2)
    expect(graph).to_contain_text('stale · 1/1 task')
    graph.get_by_role('button').nth(1).click()
    expect(page.cell(5)).to_have_class(re.compile('jp-mod-active'))

    page.locator('[data-jp-item-name="desipipe-run-stale"]').get_by_role('button').click()
    dialog = page.get_by_role('dialog')
    expect(dialog).to_contain_text('These cells run, in order: 2, 3, 4, 5, 6')
    expect(dialog).to_contain_text('at most 2 tasks')
    dialog.get_by_role('button', name='Run').click()
    for index in (4, 5):
        expect(badge(page, index)).to_have_text('■no worker')
    expect(marked).to_have_attribute('data-desipipe-mark', '■')
    queue = Queue('badges', base_dir=lab.queues / getpass.getuser(), create=False)
    queue.pause()
    for index in (4, 5):
        expect(badge(page, index)).to_have_text('‖paused')
    expect(marked).to_have_attribute('data-desipipe-mark', '‖')
    expect(graph).to_contain_text('paused · 0/1 task')
    queue.resume()
    page.run_cell(6)
    for index in (4, 5):
        expect(badge(page, index)).to_have_text('✓current')
    expect(marked).to_have_attribute('data-desipipe-mark', '')
    page.cell(5).locator('.cm-content').first.click()
    page.keyboard.press('Control+End')
    page.keyboard.type(' + 1')
    expect(badge(page, 5)).to_have_text('✎edited: its text has changed since it ran')
    assert not page.errors, page.errors


def test_badges_follow_deletions(lab: Any, page: Any) -> None:
    """Tasks that succeeded are deleted in a terminal; nothing happens in the page."""
    cells = [
        '%load_ext desipipe\n%desipipe use removed --no-spawn',
        '%%desipipe --out a\na = 1',
        '%%desipipe --out b\nb = 2',
        '%%desipipe --out c\nc = 3',
        '%desipipe work',
    ]
    page.open_notebook(lab.write('removed.ipynb', *cells))
    for index in range(5):
        page.run_cell(index)
    for index in (1, 2, 3):
        expect(badge(page, index)).to_have_text('✓current')
    queue = Queue('removed', base_dir=lab.queues / getpass.getuser(), create=False)
    queue.forget(name='a')
    expect(badge(page, 1)).to_have_text('?unknown: 1 task of it was deleted')
    queue.retry(name='b', state='SUCCEEDED')
    expect(badge(page, 2)).to_have_text('■no worker')
    expect(badge(page, 3)).to_have_text('✓current')
    queue.delete()
    for index in (1, 2, 3):
        expect(badge(page, index)).to_have_text(re.compile('^.unknown: The queue in .* is gone'))
    assert not page.errors, page.errors
