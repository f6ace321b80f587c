"""The live display of a cell, as a person sees it: in JupyterLab, in a browser."""

from __future__ import annotations

import time
from typing import Any

import pytest

pytest.importorskip('playwright.sync_api', reason='playwright is not installed; try: make test')
nbformat = pytest.importorskip('nbformat')
from playwright.sync_api import expect  # noqa: E402

pytestmark = pytest.mark.browser

MIME = 'application/vnd.desipipe.v1+json'


def summary(folder: str = '/nowhere/test.queue', **changes: Any) -> dict[str, Any]:
    """What a saved notebook holds of a cell whose 20 tasks were on their way."""
    return {
        'version': 1,
        'queue': 'test',
        'folder': folder,
        'title': 'fraction',
        'rows': '0-19',
        'first': 'ab' * 16,
        'time': time.time() - 86400,
        'condition': 'running',
        'total': 20,
        'counts': {'SUCCEEDED': 13, 'FAILED': 1, 'RUNNING': 4, 'PENDING': 2},
        'blocked': 0,
        'left': 6,
        'workers': 4,
        'rate': 0.8,
        'eta': 8.0,
        'elapsed': 17.0,
        'began': time.time() - 86417,
        'ended': None,
        'cached': False,
        'computed': None,
        'failure': {'tid': 'ab' * 16, 'name': 'fraction', 'index': 3, 'state': 'FAILED', 'cause': 'ValueError: size must be positive', 'line': 4},
        'causes': [],
        'advice': [],
        'outputs': [],
        'truncated': '',
        **changes,
    }


def cell(content: dict[str, Any]) -> Any:
    """A cell with a saved display."""
    data = {MIME: content, 'text/html': '<b>static</b>', 'text/plain': 'static'}
    return nbformat.v4.new_code_cell('%%desipipe fraction', execution_count=1, outputs=[nbformat.v4.new_output('display_data', data=data)])


OUTPUTS = [
    {'output_type': 'stream', 'name': 'stdout', 'text': 'plain \x1b[31mred\x1b[0m\n'},
    {'output_type': 'display_data', 'data': {'text/html': '<em>rich</em>', 'text/plain': 'poor'}, 'metadata': {}},
    {'output_type': 'error', 'ename': 'ValueError', 'evalue': 'size must be positive', 'traceback': ['Traceback', '\x1b[31mValueError\x1b[0m: size']},
]


def test_saved_display(lab: Any, page: Any) -> None:
    """A saved notebook, opened where its queue is not known: what was true when it was saved, and since when."""
    page.open_notebook(lab.write('saved.ipynb', cell(summary(outputs=OUTPUTS))))
    display = page.display(0)
    bar = display.get_by_role('progressbar')
    expect(bar).to_have_attribute('aria-valuenow', '13')
    expect(bar).to_have_attribute('aria-valuemax', '20')
    expect(display).to_contain_text('13/20')
    expect(display).to_contain_text('4 running')
    expect(display).to_contain_text('1 failed: ValueError: size must be positive (cell line 4)')
    expect(display).to_contain_text('as of')
    expect(display.locator('.ansi-red-fg').first).to_have_text('red')
    expect(display.locator('em')).to_have_text('rich')
    assert 'static' not in page.output(0).inner_text()
    texts = display.locator('.jp-OutputArea-output').all_inner_texts()
    assert [text.strip().split()[0] for text in texts] == ['plain', 'rich', 'Traceback']
    assert not [error for error in page.errors if 'desipipe-lab' in error]
