"""Take the pictures of the panel: ``python docs/pictures.py [HOME]``, with what ``make test``
installs.

A real JupyterLab (that of the tests) is started with HOME as its user's home, a new folder whose
name is seen in the pictures; a notebook is run there, and what a browser shows, in the light and in
the dark theme, goes to ``docs/_static``.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from PIL import Image
from playwright.sync_api import expect, sync_playwright

from desipipe import Queue, TaskManager

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / 'tests'))
from lab.conftest import FLAGS, Lab, LabPage, chromium, start_lab  # noqa: E402  (a package of the tests)

STATIC = ROOT / 'docs' / '_static'
CELLS = (
    '%load_ext desipipe\n%desipipe use power --workers 4',
    """import numpy as np

def measure(positions):
    spectrum = np.abs(np.fft.rfft(positions[:, 0]))
    return spectrum**2""",
    """%%desipipe power --for seed=range(60) --out spectra
import time
rng = np.random.default_rng(seed)
positions = rng.uniform(0, 1000, (10_000, 3))
print(f'seed {seed}: {len(positions):,} galaxies')
for step in range(10):
    time.sleep(0.2)   # a long computation
if seed % 23 == 9:
    raise ValueError('size must be positive')
spectra = measure(positions)""",
    """%%desipipe --out mean
mean = np.mean(spectra, axis=0)
print(f'{len(spectra)} spectra')""",
)


def copy(i: int) -> int:
    """What the tasks of the other queues do."""
    return i


def other_queues(lab: Lab) -> None:
    """A queue that is done, and one on which nobody works."""
    for name, n in (('clustering', 40), ('mocks', 1200)):
        queue = Queue(name, base_dir=lab.queues / 'root')
        TaskManager(queue, scheduler={'max_workers': 2}).python_app(copy).map(i=range(n))
        if name == 'clustering':
            subprocess.run(
                [sys.executable, '-m', 'desipipe', 'work', '-q', queue.folder, '--slots', '2'],
                env=lab.env,
                check=True,
            )


def shot(page: Any, name: str, *shown: str) -> None:
    """Take a picture when what it is to show is there; with 256 colours it is a third as large."""
    for selector in shown:
        page.locator(selector).first.wait_for()
    page.wait_for_timeout(1500)  # until what moves stands still
    page.evaluate("document.querySelectorAll('.Toastify').forEach(node => { node.hidden = true; })")
    path = STATIC / f'{name}.png'
    page.screenshot(path=path)
    with Image.open(path) as image:
        image.convert('RGB').quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


def run(lab: Lab, page: Any) -> Any:
    """Run the notebook beside the panel; return its queue in the panel."""
    heading = nbformat.v4.new_markdown_cell('# Power spectra of the mocks')
    page.open_notebook(lab.write('power.ipynb', heading, *CELLS))
    page.locator('.jp-SideBar [data-id="desipipe-panel"]').click()
    page.locator('.jp-desipipe-queue').first.wait_for()
    handle = page.locator('.lm-SplitPanel-handle:visible').first.bounding_box()
    page.mouse.move(handle['x'] + 1, handle['y'] + 200)
    page.mouse.down()
    page.mouse.move(handle['x'] + 75, handle['y'] + 200, steps=5)
    page.mouse.up()
    for index in range(1, len(CELLS) + 1):
        page.run_cell(index)
    page.get_by_role('button', name='power', exact=True).click()
    return page.locator('.jp-desipipe-queue[data-open="true"]')


def take(lab: Lab, page: Any) -> None:
    """Take the pictures while the notebook runs, and afterwards."""
    queue = run(lab, page)
    expect(queue.locator('.jp-desipipe-counts')).to_contain_text('failed', timeout=60_000)
    expect(queue).to_contain_text(re.compile(r'2\d / 61'), timeout=60_000)
    page.locator('.jp-Notebook').evaluate('node => { node.scrollTop = 0; }')
    shot(page, 'panel')
    expect(queue).to_contain_text('57 / 61', timeout=120_000)
    page.cell(2).locator('.cm-content').first.click()
    page.keyboard.press('Control+End')
    page.keyboard.type(' / len(positions)')
    take_rest(page, queue, '')
    page.locator('.lm-TabBar-tab', has_text='power.ipynb').click()
    page.save()
    lab.request(
        'lab/api/settings/@jupyterlab/apputils-extension:themes',
        {'raw': '{"theme":"JupyterLab Dark"}'},
        'PUT',
    )
    page.goto(f'{lab.url}lab?token={lab.token}')
    page.locator('.jp-desipipe-Cell').first.wait_for()
    if not page.locator('#desipipe-panel').is_visible():  # the layout is saved some time later
        page.locator('.jp-SideBar [data-id="desipipe-panel"]').click()
    page.locator('.jp-Notebook').evaluate('node => { node.scrollTop = 0; }')
    shot(page, 'panel_dark', '.jp-desipipe-Cell', '.jp-desipipe-queue[data-open="true"]')
    take_rest(page, queue, '_dark')


def take_rest(page: Any, queue: Any, theme: str) -> None:
    """Take the pictures of what has ended, in the present theme."""
    queue.locator('.jp-desipipe-task', has_text='power[9]').click()
    shot(page, f'panel_task{theme}', '.jp-desipipe-TaskPage .jp-desipipe-code')
    queue.get_by_role('button', name='Timeline').click()
    shot(page, f'panel_timeline{theme}', '[data-task]')
    queue.get_by_role('button', name='Graph').click()
    shot(page, f'panel_graph{theme}', '[data-node]')
    page.locator('.lm-TabBar-tab', has_text='power.ipynb').click()
    page.locator('.jp-SideBar [data-id="desipipe-panel"]').click()
    page.locator('.jp-SideBar [data-id="desipipe-cell-graph"]').click()
    page.locator('.jp-Notebook').evaluate('node => { node.scrollTop = 0; }')
    shot(page, f'cells{theme}', '[data-badge="stale"]', '.jp-desipipe-cellnode')
    page.locator('.jp-SideBar [data-id="desipipe-cell-graph"]').click()
    page.locator('.jp-SideBar [data-id="desipipe-panel"]').click()


def main(home: Path) -> None:
    """Start a JupyterLab, take the pictures, and end all that was started."""
    lab = start_lab(home)
    try:
        other_queues(lab)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
            take(
                lab,
                LabPage(
                    lab, browser.new_context(viewport={'width': 1320, 'height': 820}).new_page()
                ),
            )
            browser.close()
    finally:
        subprocess.run(
            [sys.executable, '-m', 'desipipe', 'kill', '-q', str(lab.queues / 'root' / 'power')],
            env=lab.env,
            check=False,
        )
        lab.stop()


if __name__ == '__main__':
    if len(sys.argv) > 1:
        Path(sys.argv[1]).mkdir()
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            main(Path(folder))
