"""Measure what the badges of task cells cost.

The kernel after an edit of a helper, the server for the text of the notebook, and the kernel of a
notebook whose displays are idle.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from ..harness import Figure, Outcome, at_most, below, column
from .live import Page, idle_share

SETUP = """
import json, statistics, time
%load_ext desipipe
%desipipe use badges --no-spawn --base-dir {folder}
"""
SIZE = 'size = {n:d}\n'
HELPER = 'def inside(x):\n    return x * size + {n:d}\n'
# What a cell takes that defines something: its processor time in all threads of the kernel, which
# display the badges that changed.
EDIT = """
shell, times = get_ipython(), []
for n in range(20):
    text = {text!r}.format(n=n)
    begin = time.process_time()
    shell.run_cell(text, store_history=True, cell_id={cell!r})
    time.sleep(0.3)
    times.append(time.process_time() - begin)
print(json.dumps(statistics.median(times)))
"""
CELL = '%%desipipe --out v{i:d}\nv{i:d} = inside({i:d})'


def measure(folder: Path, cells: int, idle: int) -> dict[str, float]:
    """Return what badges take.

    Seconds of the kernel after a helper was edited that ``cells`` task cells read (``edit``), after
    a value of it changed (``value``), and without task cells (``bare``); seconds of the server for
    the states by text (``text``); the part of a core that ``idle`` displays take (``idle``).
    """
    from desipipe.cells.states import Notebook, NotebookCell

    page = Page(folder)
    edit, value = EDIT.format(text=HELPER, cell='helper'), EDIT.format(text=SIZE, cell='size')
    try:
        page.run(SETUP.format(folder=folder))
        page.run(SIZE.format(n=1), cell='size')
        values = {'bare': float(json.loads(page.run(edit)))}
        _run_cells(page, range(cells))
        values |= {'edit': float(page.run(edit)), 'value': float(page.run(value))}
        page.until(lambda summary: summary.get('badge', {}).get('state') == 'stale')
        _run_cells(page, range(cells, idle))
        values['idle'] = idle_share(page)
    finally:
        page.end()
    texts = [HELPER.format(n=1), *(CELL.format(i=i) for i in range(cells))]
    times = []
    for n in range(20):
        notebook = [NotebookCell(HELPER.format(n=n)), *map(NotebookCell, texts[1:])]
        begin = time.process_time()
        Notebook(notebook).states()
        times.append(time.process_time() - begin)
    return {**values, 'text': statistics.median(times)}


def _run_cells(page: Page, numbers: range) -> None:
    """Run task cells as a front end does, each with its identity, and their tasks."""
    for i in numbers:
        page.run(CELL.format(i=i), cell=f'cell-{i:d}')
    page.run('%desipipe work')


def figures(rounds: Sequence[Outcome]) -> list[Figure]:
    """Return the figures of badges."""
    titles = {
        'edit': 'the kernel, after a helper was edited that 50 task cells read',
        'value': 'the same, after a value that they read was changed',
        'bare': 'the same cell before there were task cells',
        'text': 'the server, states of 50 task cells by their text',
    }
    return [
        Figure(
            f'badges.{name}',
            title,
            column(rounds, name, 1e3),
            'ms',
            None if name == 'bare' else at_most(20),
        )
        for name, title in titles.items()
    ] + [
        Figure(
            'badges.idle',
            '200 task cells open, nothing changes: of a core',
            column(rounds, 'idle', 100),
            '%',
            below(1),
        )
    ]
