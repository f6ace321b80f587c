"""Measure what a cell pays to be a task: ``%load_ext``, ``%%desipipe`` on one cell, and a sweep, timed
inside a kernel.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from ..harness import Figure, Outcome, at_most, column
from .live import Page

SETUP = """
import json, statistics, time
from IPython import get_ipython
clock, shell = time.perf_counter, get_ipython()
begin = clock()
shell.run_line_magic('load_ext', 'desipipe')
load = clock() - begin
shell.run_line_magic('desipipe', 'use cells --no-spawn --base-dir {folder}')
import numpy as np
size = 3
def helper(x):
    return x * size
def body(i):
    return f'x = helper({{i}})\\ny = [np.sin(k) for k in range(10)]\\na = sum(y) + x'
"""
CELL = """
times = []
for i in range({cells:d}):
    text = body(i)
    begin = clock()
    shell.run_cell_magic('desipipe', '--out a', text)
    times.append(clock() - begin)
begin = clock()
shell.run_cell_magic('desipipe', 'swept --for i=range({sweep:d}) --out b', 'b = helper(i)')
sweep = clock() - begin
begin = clock()
shell.run_cell_magic('desipipe', 'swept --for i=range({sweep:d}) --out b', 'b = helper(i)')
again = clock() - begin
print(json.dumps(dict(load=load, cell=statistics.median(times[5:]), sweep=sweep, again=again)))
"""


def measure(folder: Path, cells: int, sweep: int) -> dict[str, float]:
    """Return seconds of ``load``, of one ``cell`` (median, warm), of a ``sweep``, and of the
    same ``again``, when all its tasks are known.
    """
    page = Page(folder)
    try:
        page.run(SETUP.format(folder=folder))
        values: dict[str, float] = json.loads(
            page.run(CELL.format(cells=cells, sweep=sweep)).splitlines()[-1]
        )
        return values
    finally:
        page.end()


def figures(rounds: Sequence[Outcome]) -> list[Figure]:
    """Return the figures of cells."""
    return [
        Figure('cells.load', '%load_ext desipipe', column(rounds, 'load', 1e3), 'ms', at_most(100)),
        Figure(
            'cells.cell', '%%desipipe on a cell adds', column(rounds, 'cell', 1e3), 'ms', at_most(4)
        ),
        Figure(
            'cells.sweep',
            '%%desipipe --for over 10,000 values',
            column(rounds, 'sweep'),
            's',
            at_most(1),
        ),
        Figure('cells.again', 'the same when all tasks are known', column(rounds, 'again'), 's'),
    ]
