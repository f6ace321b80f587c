"""Cells that are edited and run again: tasks of what the notebook has no longer are superseded,
and nothing else is.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from kernels import MIME, Cell, Kernel, work

from desipipe import Queue

pytestmark = pytest.mark.kernel

USE = '%load_ext desipipe\n%desipipe use ./nb --no-spawn'
APP = """
from desipipe import Queue, TaskManager
tm = TaskManager(Queue('./nb'))
"""


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[Kernel]:
    """A kernel of the notebook ``a.ipynb``, as JupyterLab starts it."""
    kernel = start(tmp_path)
    yield kernel
    kernel.end()


def start(folder: Path, name: str = 'a.ipynb') -> Kernel:
    """Start a notebook's kernel, and let it use a queue."""
    kernel = Kernel(folder, JPY_SESSION_NAME=str(folder / name))
    kernel(USE, 'use')
    kernel(APP, 'app')
    return kernel


def totals(kernel: Kernel) -> tuple[int, int]:
    """How many tasks count, and how many are superseded."""
    queue = Queue(str(kernel.folder / 'nb'), create=False)
    return sum(queue.counts.values()), queue.n_superseded


def test_cell_that_is_edited(kernel: Kernel) -> None:
    kernel('%%desipipe --out y\ny = 1 / 0', 'one')
    work(kernel.folder / 'nb.queue')
    kernel('%%desipipe --out y\ny = 1 / 1', 'one')
    assert totals(kernel) == (1, 1)
    work(kernel.folder / 'nb.queue')
    assert kernel('%desipipe watch').errors == []
    again = kernel('%%desipipe --out y\ny = 1 / 0', 'one')
    assert totals(kernel) == (1, 1) and again.summary['counts']['FAILED'] == 1
    # With another name it is another task of the same cell; a second cell is another one, also
    # where it has the same name.
    kernel('%%desipipe --out z\nz = 1 / 3', 'one')
    assert totals(kernel) == (1, 2)
    kernel('%%desipipe --out z\nz = 1 / 4', 'two')
    assert totals(kernel) == (2, 2)
    kernel('%%desipipe --for i=range(3) --out z\nz = i', 'two')
    kernel('%%desipipe --for i=range(2) --out z\nz = i', 'two')
    kernel('%%desipipe --for i=range(5) --out z\nz = i', 'two')
    assert totals(kernel) == (6, 3)


def test_cell_notes_its_tasks_in_the_journal(kernel: Kernel) -> None:
    path = kernel.folder / 'nb.queue' / 'journal.jsonl'

    def noted() -> list[tuple[str, str]]:
        events = map(json.loads, path.read_text().splitlines())
        return [(event['cell'], event['tasks']) for event in events if event['e'] == 'cell']

    sweep = '%%desipipe --for i=range({}) --out y\ny = i'
    shown = kernel(sweep.format(3), 'one')
    assert noted() == [('one', '0-2')]
    kernel(sweep.format(3), 'one')
    assert noted() == [('one', '0-2')]
    kernel(sweep.format(5), 'one')
    kernel('%%desipipe\nx = 1')  # a front end that does not tell which cell it is
    assert noted() == [('one', '0-2'), ('one', '0-4')]
    cells = Queue(str(kernel.folder / 'nb'), create=False).ledger.state.cells
    noted_run = cells[str(kernel.folder / 'a.ipynb')]['one']
    assert noted_run['text'] != shown.summary['ran']['text']
    assert noted_run['reads'] == shown.summary['ran']['reads'] == {}


@pytest.mark.parametrize(('named', 'expected'), [(True, (2, 1)), (False, (3, 0))])
def test_cells_that_nbconvert_executes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: bool, expected: tuple[int, int]
) -> None:
    """It tells neither notebook nor cells: who names the notebook has old code superseded."""
    monkeypatch.delenv('JPY_SESSION_NAME', raising=False)
    if named:
        monkeypatch.setenv('JPY_SESSION_NAME', 'a.ipynb')
    path = tmp_path / 'a.ipynb'
    for cells in (
        [USE, '%%desipipe --out y\ny = 1 / 0', '%%desipipe --out z\nz = 5'],
        [USE, '# a cell more', '%%desipipe --out y\ny = 1 / 2', '%%desipipe --out z\nz = 5'],
    ):
        book = nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, cells)))
        nbformat.write(book, path)
        command = 'nbconvert --execute --to notebook --inplace a.ipynb'.split()
        subprocess.run(
            [sys.executable, '-m', *command], cwd=tmp_path, check=True, capture_output=True
        )
    queue = Queue(str(tmp_path / 'nb'), create=False)
    assert (sum(queue.counts.values()), queue.n_superseded) == expected


def test_function_that_is_edited(kernel: Kernel) -> None:
    kernel('@tm.python_app\ndef f(x):\n    return 1 / 0', 'def')
    kernel('y = f(1)', 'call')
    kernel('f(1); f(2)', 'tried in another cell')
    kernel('def g(y): return y\nz = tm.python_app(g)(y)', 'needs')
    assert totals(kernel) == (3, 0)
    kernel('@tm.python_app\ndef f(x):\n    return 1 / 1', 'def')
    assert totals(kernel) == (3, 0)
    kernel('y = f(1)', 'call')
    assert totals(kernel) == (1, 3)
    kernel('def g(y): return y\nz = tm.python_app(g)(y)', 'needs')
    assert totals(kernel) == (2, 3)


def test_helpers_and_constants_of_several_cells(kernel: Kernel) -> None:
    kernel('@tm.python_app\ndef fit(x):\n    return model(x) + n', 'fit')
    kernel('n = 1\ndef model(x): return x', 'first')
    kernel('a = fit(1)', 'a')
    kernel('n = 2\ndef model(x): return 2 * x', 'second')
    kernel('b = fit(1)', 'b')
    assert totals(kernel) == (2, 0)  # the notebook has both
    kernel('n = 3\ndef only(x): return x', 'second')  # the name model has one definition, n has two
    kernel('k = 1\n@tm.python_app\ndef scaled(x): return x / k', 'k')
    kernel('c = scaled(1)', 'c')
    kernel('k = 2\n@tm.python_app\ndef scaled(x): return x / k', 'k')
    kernel('c = scaled(1)', 'c')
    assert totals(kernel) == (3, 1)


def test_after_a_restart_and_in_other_notebooks(kernel: Kernel) -> None:
    kernel('@tm.python_app\ndef f(x):\n    return 1 / 0', 'def')
    kernel('y = f(1)', 'call')
    shown = kernel('%%desipipe --out w\nw = [1, y]', 'needs')
    assert totals(kernel) == (2, 0)
    other = start(kernel.folder, 'b.ipynb')
    try:
        other('@tm.python_app\ndef f(x):\n    return 2', 'def')
        other('y = f(1)', 'call')
        assert totals(kernel) == (3, 0)
    finally:
        other.end()
    again = start(kernel.folder)
    try:
        again('@tm.python_app\ndef f(x):\n    return 3', 'def')
        again('y = f(1)', 'another cell')
        assert totals(kernel) == (2, 2)
    finally:
        again.end()
    summary = kernel.wait_for_update(shown, lambda summary: summary['superseded'] == 1)
    assert summary['total'] == summary['left'] == 0
    assert '↷ 1 superseded' in shown.bundles[0]['text/plain'] and MIME in shown.bundles[0]


def test_displays_say_that_they_are_stale(kernel: Kernel) -> None:
    kernel('def f(x):\n    return x', 'f')
    kernel('k = 1', 'k')
    first = kernel('%%desipipe --out y\ny = f(k)', 'first')
    second = kernel('%%desipipe --out z\nz = y', 'second')
    kernel('from itertools import count\nnumbers = count()', 'count')
    kernel('value = [next(numbers)]\nlast = [3]', 'value')
    third = kernel('%%desipipe --for i=range(2) --out w\nw = value[0] + i', 'third')
    fourth = kernel('%%desipipe --out v\nv = last', 'fourth')
    work(kernel.folder / 'nb.queue')
    kernel('k = 5', 'below')  # for the cells below it
    kernel('k = 1', 'k')

    def badge(cell: Cell) -> str:
        """What it says, the same in all its forms."""
        (data,) = cell.bundles
        answers = data[MIME].get('badge')
        text = f'↻ {answers["state"]}: {answers["reason"]}' if answers else ''
        assert (
            data['text/plain'].startswith(f'{text}\n') if answers else '↻' not in data['text/plain']
        )
        assert ('desipipe-badge' in data['text/html']) == bool(answers)
        return text

    def badges() -> list[str]:
        return [badge(cell) for cell in (first, second, third, fourth)]

    kernel.wait_for(lambda: badges() == [''] * 4, 'displays of current cells')
    kernel('def f(x):\n    return x + 1', 'f')
    expected = ['↻ stale: helper `f` changed in cell [13]']
    expected.append('↻ stale: `y` comes from cell [5], which is stale')
    expected += ['', '']
    kernel.wait_for(lambda: badges() == expected, 'displays of stale cells')
    kernel('def f(x):\n    return x  # as before', 'f')
    kernel.wait_for(lambda: badges() == [''] * 4, 'displays of current cells again')
    kernel('del k', 'below')  # for the cells below it
    kernel.wait_for(lambda: badges() == [''] * 4, 'displays of cells above a deletion')
    kernel('k = 1\ndel k', 'k')
    expected = ['↻ stale: `k` is deleted in cell [16]']
    expected += ['↻ stale: `y` comes from cell [5], which is stale', '', '']
    kernel.wait_for(lambda: badges() == expected, 'displays of cells whose input is deleted')
    kernel('k = 1', 'k')
    kernel.wait_for(lambda: badges() == [''] * 4, 'displays of current cells once more')
    # The same text, and another value.
    kernel('value = [next(numbers)]\nlast = [3]', 'value')
    expected = ['', '', '↻ stale: `value` has another value than when it ran', '']
    kernel.wait_for(lambda: badges() == expected, 'the display of a cell with another value')
