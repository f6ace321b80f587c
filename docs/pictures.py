"""Take the pictures of the panel: ``python docs/pictures.py [HOME]``, with what ``make test``
installs.

A real JupyterLab (that of the tests) is started with HOME as its user's home, a new folder whose
name is seen in the pictures; a notebook is run there, and what a browser shows goes to
``docs/_static``.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from playwright.sync_api import expect, sync_playwright

from desipipe import Queue, TaskManager

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / 'tests'))
from lab.conftest import FLAGS, Lab, LabPage, chromium, start_lab  # noqa: E402  (a package of the tests)

STATIC = ROOT / 'docs' / '_static'
CELLS = (
    '%load_ext desipipe\n%desipipe use power --workers 4',
    """%%desipipe power --for seed=range(60) --out spectra
import time
import numpy as np
rng = np.random.default_rng(seed)
positions = rng.uniform(0, 1000, (10_000, 3))
print(f'seed {seed}: {len(positions):,} galaxies')
for step in range(10):
    time.sleep(0.2)   # a long computation
if seed % 23 == 9:
    raise ValueError('size must be positive')
spectra = np.abs(np.fft.rfft(positions[:, 0]))**2""",
    """%%desipipe --out mean
import numpy as np
mean = np.mean(spectra, axis=0)
print(f'{len(spectra)} spectra')""",
)


def measure(i: int) -> int:
    """What the tasks of the other queues do."""
    return i


def other_queues(lab: Lab) -> None:
    """A queue that is done, and one on which nobody works."""
    for name, n in (('clustering', 40), ('mocks', 1200)):
        queue = Queue(name, base_dir=lab.queues / 'root')
        TaskManager(queue, scheduler={'max_workers': 2}).python_app(measure).map(i=range(n))
        if name == 'clustering':
            subprocess.run(
                [sys.executable, '-m', 'desipipe', 'work', '-q', queue.folder, '--slots', '2'],
                env=lab.env,
                check=True,
            )


def take(lab: Lab, page: Any) -> None:
    """Run the notebook, and take the pictures."""

    def shot(name: str, *shown: str) -> None:
        for selector in shown:
            page.locator(selector).first.wait_for()
        page.wait_for_timeout(1500)  # until what moves stands still
        page.screenshot(path=STATIC / f'{name}.png')

    page.open_notebook(
        lab.write(
            'power.ipynb', nbformat.v4.new_markdown_cell('# Power spectra of the mocks'), *CELLS
        )
    )
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
    queue = page.locator('.jp-desipipe-queue[data-open="true"]')
    expect(queue.locator('.jp-desipipe-counts')).to_contain_text('failed', timeout=60_000)
    expect(queue).to_contain_text(re.compile(r'2\d / 61'), timeout=60_000)
    page.locator('.jp-Notebook').evaluate('node => { node.scrollTop = 0; }')
    shot('panel')
    queue.locator('.jp-desipipe-task', has_text='power[9]').click()
    shot('panel_task', '.jp-desipipe-TaskPage .jp-desipipe-code')
    queue.get_by_role('button', name='Timeline').click()
    shot('panel_timeline', '[data-task]')
    queue.get_by_role('button', name='Graph').click()
    shot('panel_graph', '[data-node]')
    lab.request(
        'lab/api/settings/@jupyterlab/apputils-extension:themes',
        {'raw': '{"theme":"JupyterLab Dark"}'},
        'PUT',
    )
    page.goto(f'{lab.url}lab?token={lab.token}')
    shot('panel_dark', '[data-node]')


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
