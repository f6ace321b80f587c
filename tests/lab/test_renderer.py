"""The live display of a cell, as a person sees it: in JupyterLab, in a browser."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hostile_queue import make_hostile_queue
from users import ATTACKER, give, needs_root

from desipipe import Queue
from desipipe.outputs.notebook import mark
from desipipe.view.appearance import APPEARANCES
from desipipe.view.cell import cell_summary

from .gated import add_gated, end_gated, working

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
        'failure': {
            'tid': 'ab' * 16,
            'name': 'fraction',
            'index': 3,
            'state': 'FAILED',
            'cause': 'ValueError: size must be positive',
            'line': 4,
        },
        'causes': [],
        'advice': [],
        'outputs': [],
        'truncated': '',
        **changes,
    }


def cell(content: dict[str, Any]) -> Any:
    """A cell with a saved display."""
    data = {MIME: content, 'text/html': '<b>static</b>', 'text/plain': 'static'}
    return nbformat.v4.new_code_cell(
        '%%desipipe fraction',
        execution_count=1,
        outputs=[nbformat.v4.new_output('display_data', data=data)],
    )


OUTPUTS = [
    {'output_type': 'stream', 'name': 'stdout', 'text': 'plain \x1b[31mred\x1b[0m\n'},
    {
        'output_type': 'display_data',
        'data': {'text/html': '<em>rich</em>', 'text/plain': 'poor'},
        'metadata': {},
    },
    {
        'output_type': 'error',
        'ename': 'ValueError',
        'evalue': 'size must be positive',
        'traceback': ['Traceback', '\x1b[31mValueError\x1b[0m: size'],
    },
]


def test_saved_display(lab: Any, page: Any) -> None:
    """A saved notebook, opened where its queue is not known: what was true when it was saved,
    and since when.
    """
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


def test_colours_are_those_of_the_views() -> None:
    """The style sheet has a copy of them; symbols are generated."""
    source = Path(__file__).resolve().parents[2] / 'jupyter_ext'
    colours = dict(
        re.findall(r'--desipipe-(\w+): (#\w+);', (source / 'style' / 'base.css').read_text())
    )
    # A claimed task is shown as pending there, with a word.
    shown = {name: look for name, look in APPEARANCES.items() if name not in ('CLAIMED', 'DELETED')}
    assert colours == {name.lower(): look.colour for name, look in shown.items()}


def test_live_without_a_kernel(lab: Any, page: Any, tmp_path: Path) -> None:
    """A notebook that was opened again follows its tasks through the server; failed tasks are
    retried from there.
    """
    queue = Queue('live', base_dir=lab.queues, create=True)
    gates = tmp_path / 'gates'
    add_gated(queue, gates, 4)
    page.open_notebook(lab.write('live.ipynb', cell(cell_summary(queue, '0-3', title='gated'))))
    display = page.display(0)
    expect(display).to_contain_text('0/4')
    expect(display).to_contain_text('no worker')
    with working(lab, queue):
        expect(display).to_contain_text('2 running')
        end_gated(gates, 1, 'one')
        expect(display).to_contain_text('1/4')
        expect(display.locator('.jp-desipipe-label')).to_have_text(re.compile(r'gated\[1\]'))
        end_gated(gates, 0, '')
        expect(display).to_contain_text('1 failed: ValueError: nothing for task 0')
        for i in (2, 3):
            end_gated(gates, i, f'text {i}')
        expect(display.locator('[data-condition="failed"]')).to_be_visible()
        expect(display).to_contain_text('3/4')
        end_gated(gates, 0, 'zero')
        display.get_by_role('button', name='Retry').click()
        expect(display).to_contain_text(re.compile(r'✓ 4 tasks · .* on 1 worker, 2 slots'))
    expect(display.get_by_role('progressbar')).to_have_count(0)
    texts = display.locator('.jp-OutputArea-output').all_inner_texts()
    assert [text.strip() for text in texts] == ['zero', 'one', 'text 2', 'text 3']
    queue.kill()


@needs_root
def test_outputs_of_another_user_are_shown_once_that_user_is_trusted(lab: Any, page: Any) -> None:
    written = mark({'d': {'text/html': '<em>rich</em>', 'text/plain': 'poor'}, 'm': {}})
    queue = make_hostile_queue('theirs', 'x', (written, b''), str(lab.queues))
    give(queue.folder, ATTACKER)
    notebook = cell(cell_summary(Queue(queue.folder, create=False), '0', title='theirs'))
    page.open_notebook(lab.write('theirs.ipynb', notebook))
    display = page.display(0)
    show = display.get_by_role('button', name=f'Trust {ATTACKER.uid}…')
    try:
        expect(display).to_contain_text('poor')
        for answer in ('Show as text', f'Trust {ATTACKER.uid}'):
            expect(display.locator('em')).to_have_count(0)
            show.click()
            page.get_by_role('dialog').get_by_role('button', name=answer).click()
        expect(display.locator('em')).to_have_text('rich')
        expect(show).to_have_count(0)
    finally:
        command = [sys.executable, '-m', 'desipipe', 'trust', '--remove', str(ATTACKER.uid)]
        subprocess.run(command, env=lab.env, timeout=300, check=False)


def test_cancel_asks_first(lab: Any, page: Any, tmp_path: Path) -> None:
    queue = Queue('cancelled', base_dir=lab.queues, create=True)
    add_gated(queue, tmp_path / 'gates', 3)
    page.open_notebook(
        lab.write('cancelled.ipynb', cell(cell_summary(queue, '0-2', title='gated')))
    )
    display = page.display(0)
    for answer in ('Don’t cancel', 'Cancel tasks'):
        assert queue.counts['KILLED'] == 0
        display.get_by_role('button', name='Cancel').click()
        page.get_by_role('dialog').get_by_role('button', name=answer).click()
    expect(display).to_contain_text('3 killed')
    assert queue.counts['KILLED'] == 3


def test_cell_from_its_run_to_the_next_day(lab: Any, page: Any) -> None:
    """The whole way: a cell is run, shows its tasks, then what it printed; the saved notebook
    shows the same when it is opened again.
    """
    code = '%%desipipe --for i=range(3) --out square\nsquare = i**2\nprint(f"square of {i}")'
    page.open_notebook(
        lab.write('cell.ipynb', '%load_ext desipipe\n%desipipe use ./cells --workers 2', code)
    )
    page.run_cell(0)
    page.run_cell(1)
    display = page.display(1)
    expect(display.locator('.jp-desipipe-quiet')).to_contain_text('3 tasks')
    texts = [text.strip() for text in display.locator('.jp-OutputArea-output').all_inner_texts()]
    assert texts == [f'square of {i}' for i in range(3)]
    page.save()
    saved = json.loads((lab.workdir / 'cell.ipynb').read_text())
    (output,) = saved['cells'][1]['outputs']
    assert {'text/plain', 'text/html', MIME} <= set(output['data'])
    page.open_notebook('cell.ipynb')
    expect(page.display(1).locator('.jp-desipipe-quiet')).to_contain_text('3 tasks')
    Queue('cells', base_dir=lab.workdir, create=False).kill()


def test_notebook_7_behind_a_prefix(new_lab: Any, new_page: Any, tmp_path: Path) -> None:
    pytest.importorskip('notebook', reason='Notebook 7 is not installed; try: make test')
    lab = new_lab(app='notebook', base_url='/hub/user/')
    queue = Queue('prefix', base_dir=lab.queues, create=True)
    gates = tmp_path / 'gates'
    add_gated(queue, gates, 2)
    page = new_page(lab=lab)
    page.open_notebook(lab.write('prefix.ipynb', cell(cell_summary(queue, '0-1', title='gated'))))
    display = page.display(0)
    expect(display).to_contain_text('0/2')
    with working(lab, queue):
        end_gated(gates, 0, 'zero')
        expect(display).to_contain_text('1/2')
        end_gated(gates, 1, 'one')
        expect(display.locator('.jp-desipipe-quiet')).to_contain_text('2 tasks')


def test_server_that_goes_and_comes_back(new_lab: Any, new_page: Any, tmp_path: Path) -> None:
    """What is shown stays, says since when, and goes on by itself."""
    lab = new_lab()
    queue = Queue('back', base_dir=lab.queues, create=True)
    gates = tmp_path / 'gates'
    add_gated(queue, gates, 2)
    page = new_page(lab=lab)
    page.open_notebook(lab.write('back.ipynb', cell(cell_summary(queue, '0-1', title='gated'))))
    display = page.display(0)
    with working(lab, queue):
        expect(display).to_contain_text('2 running')
        lab.stop()
        expect(display).to_contain_text('as of')
        expect(display).to_contain_text('2 running')
        end_gated(gates, 0, 'zero')
        lab.start()
        expect(display).to_contain_text('1/2')
        expect(display).not_to_contain_text('as of')
        end_gated(gates, 1, 'one')
        expect(display.locator('.jp-desipipe-quiet')).to_contain_text('2 tasks')
