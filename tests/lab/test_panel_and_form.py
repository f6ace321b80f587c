"""Panels and forms, as a person sees and uses them: in JupyterLab, in a browser."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip('playwright.sync_api', reason='playwright is not installed; try: make test')
nbformat = pytest.importorskip('nbformat')
pytest.importorskip('ipywidgets')
from playwright.sync_api import expect  # noqa: E402

pytestmark = pytest.mark.browser

SETUP = """\
from typing import Annotated, Literal
from desipipe import Queue, TaskManager
%load_ext desipipe
%desipipe use mine --no-spawn
queue = Queue('mine')
tm = TaskManager(queue)

@tm.python_app
def power(seed: int, size: Annotated[int, range(16, 513, 16)] = 64, tracer: Literal['LRG', 'ELG'] = 'LRG', rsd: bool = True):
    if seed < 0:
        raise ValueError('seed must not be negative')
    return seed * size

powers = [power(seed) for seed in range(-1, 7)]
"""


def test_panel_and_form(lab: Any, page: Any) -> None:
    sources = [
        SETUP,
        '%desipipe status',
        '%desipipe monitor',
        'form = power.form()\nform',
        '%desipipe work',
        'powers[3]',
        'queue',
    ]
    page.open_notebook(
        lab.write('widgets.ipynb', *(nbformat.v4.new_code_cell(source) for source in sources))
    )
    for index in range(4):
        page.run_cell(index)
    panel, form = page.output(2), page.output(3)
    expect(panel).to_contain_text('0/8')
    panel.locator('.jupyter-button', has_text='Pause').click()
    # The display above has a button of that name too, as soon as it knows.
    resume = panel.locator('.jupyter-button', has_text='Resume')
    expect(resume).to_be_visible()
    resume.click()
    expect(panel.locator('.jupyter-button', has_text='Pause')).to_be_visible()
    form.get_by_role('button', name='Add task').click()
    expect(form.get_by_role('alert')).to_contain_text('seed: Give a value')
    form.get_by_role('button', name='sweep').click()
    form.get_by_placeholder('range(10)').first.fill('range(3)')
    form.get_by_placeholder('range(10)').first.press('Enter')
    expect(form.get_by_role('button', name='Add 3 tasks')).to_be_visible()
    form.get_by_role('button', name='Add 3 tasks').click()
    expect(form).to_contain_text('0/3')
    for index in range(4, 7):
        page.run_cell(index)
    expect(form).to_contain_text('3 tasks')
    expect(panel).to_contain_text('1 failed')
