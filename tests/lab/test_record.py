"""The record of a notebook, from its toolbar, as a person makes it."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

pytest.importorskip('playwright.sync_api', reason='playwright is not installed; try: make test')
pytest.importorskip('nbformat')
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

CELLS = [
    '%load_ext desipipe\n%desipipe use recorded --no-spawn',
    '%%desipipe twice --for i=range(2) --out twice\ntwice = 2 * i',
    '%desipipe work',
]


def test_from_the_toolbar(lab: Any, page: Any) -> None:
    page.open_notebook(lab.write('study/to record.ipynb', *CELLS))
    button = page.locator(
        '.jp-NotebookPanel-toolbar [data-jp-item-name="desipipe-record"]'
    ).get_by_role('button')
    written = lab.workdir / 'study' / 'to record.record.ipynb'
    # No task is shown yet: the dialog says so, and nothing is written.
    button.click()
    dialog = page.get_by_role('dialog')
    expect(dialog).to_contain_text('shows no task of desipipe')
    dialog.get_by_role('button', name='Close').click()
    assert not written.exists()
    for index in range(3):
        page.run_cell(index)
    expect(page.display(1)).to_contain_text('2 tasks')
    # What was not saved is saved first; the record is opened.
    button.click()
    expect(page.locator('.jp-NotebookPanel:visible')).to_contain_text('2 tasks of 1 queue')
    expect(
        page.locator('.jp-NotebookPanel:visible').get_by_role('heading', name='Record')
    ).to_be_visible()
    expect(page.locator('.jp-NotebookPanel:visible .jp-desipipe-Badge')).to_have_count(0)
    verify = [sys.executable, '-m', 'desipipe', 'verify', str(written), '-q', 'recorded']
    done = subprocess.run(verify, capture_output=True, text=True, env=lab.env, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert '1 cell: the text is the code' in done.stdout
    # The same bytes as by the command.
    data = written.read_bytes()
    subprocess.run(
        [
            sys.executable,
            '-m',
            'desipipe',
            'record',
            str(lab.workdir / 'study' / 'to record.ipynb'),
        ],
        check=True,
        env=lab.env,
        timeout=120,
    )
    assert written.read_bytes() == data
