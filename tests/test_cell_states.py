"""States of task cells, from the text of a notebook alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from desipipe.cells.changes import Recorded, describe_reads, record, version
from desipipe.cells.definitions import Definitions
from desipipe.cells.modules import Modules
from desipipe.cells.statements import read_cell
from desipipe.cells.states import SETTLED, CellState, Notebook, NotebookCell, Ran, State

SETUP = '%load_ext desipipe\n%desipipe use q'
HELPERS = 'import numpy as np\ndef inside(x, y):\n    return x**2 + y**2 < radius'
TWO_LEVELS = 'def count(x, y):\n    return np.sum(inside(x, y))'
CONSTANTS = 'size = 1000\nradius = 1'
FRACTION = (
    '%%desipipe --for seed=range(20) --out frac\nrng = np.random.default_rng(seed)\nx, y = '
    'rng.uniform(-1, 1, (2, size))\nfrac = count(x, y)'
)
MEAN = '%%desipipe --out pi\npi = 4 * np.mean(frac)'
LAST = '%%desipipe --out text\ntext = str(pi)'
ALONE = '%%desipipe --out z\nz = 3'
NOTEBOOK = [SETUP, HELPERS, TWO_LEVELS, CONSTANTS, FRACTION, MEAN, '', LAST, ALONE]


def run(
    texts: Sequence[str],
    order: Sequence[int] | None = None,
    modules: Modules | None = None,
) -> list[Ran | None]:
    """Run cells in some order, each with a task that succeeds; return what their outputs record."""
    definitions = Definitions(modules)
    ran_cells: list[Ran | None] = [None] * len(texts)
    for number in range(len(texts)) if order is None else order:
        cell = read_cell(texts[number])
        stamp = ''
        if cell.task is not None:
            ran_cells[number] = Ran(record(cell.task, definitions, number), 1)
            stamp = version(cell.task, describe_reads(cell.task, definitions, number))
        definitions.add(number, cell, stamp)
    return ran_cells


def states(texts: Sequence[str], ran: Sequence[Ran | None]) -> dict[int, CellState]:
    cells = [NotebookCell(text, one) for text, one in zip(texts, ran, strict=True)]
    return {state.number: state for state in Notebook(cells).states()}


def edit(number: int, before: str, after: str) -> dict[int, str]:
    """Return state and reason of the cells that are not current after an edit of the notebook."""
    texts = list(NOTEBOOK)
    assert before in texts[number]
    texts[number] = texts[number].replace(before, after)
    states_now = states(texts, run(NOTEBOOK))
    return {
        n: f'{one.state}: {one.reason}' for n, one in states_now.items() if one.state != 'current'
    }


FRAC_EDITED = {
    4: 'edited: its text has changed since it ran',
    5: 'stale: `frac` comes from cell 5, which is edited',
    7: 'stale: `pi` comes from cell 6, which is stale',
}


def stale(reason: str) -> dict[int, str]:
    return {
        4: f'stale: {reason}',
        5: 'stale: `frac` comes from cell 5, which is stale',
        7: 'stale: `pi` comes from cell 6, which is stale',
    }


@pytest.mark.parametrize(
    ('number', 'before', 'after', 'expected'),
    [
        (4, 'uniform(-1', 'uniform(-2', FRAC_EDITED),
        (4, 'range(20)', 'range(21)', FRAC_EDITED),
        (4, 'rng = ', '# a comment\nrng =  ', {}),
        (4, '--out', '--wait --timeout 3 --out', {}),
        (
            4,
            'x, y =',
            'x, y = (',
            FRAC_EDITED | {4: "edited: it cannot run: Line 3 of the cell: '(' was never closed"},
        ),
        (3, 'size = 1000', 'size = 2000', stale('variable `size` changed in cell 4')),
        (3, 'size = 1000', 'size = (1000)  # many', {}),
        (3, 'size = 1000', 'size = 1000\nother = 3', {}),
        (1, 'y**2 <', 'y**2 <=', stale('helper `inside` changed in cell 2')),
        (1, 'import numpy as np', 'import os, numpy as np', {}),
        (
            1,
            'import numpy',
            'import numba',
            stale('import `np` changed in cell 2')
            | {5: 'stale: `frac` comes from cell 5, which is stale'},
        ),
        (2, 'np.sum', 'np.mean', stale('helper `count` changed in cell 3')),
        (3, 'radius = 1', 'radius = 2', stale('variable `radius` changed in cell 4')),
        (3, 'radius = 1', '', stale('`radius` is no longer defined')),
        (2, 'def count', 'size += 1\ndef count', {}),
        (
            1,
            'def inside(x, y):',
            'def inside(x, y:',
            stale("cell 2, which defines `inside`, cannot be read: '(' was never closed; "),
        ),
        (6, '', 'size = 3', {}),
        (7, 'str(pi)', 'repr(pi)', {7: 'edited: its text has changed since it ran'}),
    ],
)
def test_states_of_edited_notebooks(
    number: int, before: str, after: str, expected: dict[int, str]
) -> None:
    states_now = edit(number, before, after)
    assert states_now.keys() == expected.keys()
    for key, text in expected.items():
        assert states_now[key].startswith(text)


def test_cells_that_never_ran_or_run_or_failed_or_are_unknown() -> None:
    ran = run(NOTEBOOK)
    recorded = ran[4].recorded
    ran[4] = Ran(recorded, 20, left=5)
    ran[5] = Ran(ran[5].recorded, 1, left=0, bad=1)
    ran[7] = None
    ran[8] = Ran(None, 1)
    states_now = states(NOTEBOOK, ran)
    assert [(one.state, one.reason) for one in states_now.values()] == [
        (State.RUNNING, '5 of 20 tasks left'),
        (State.FAILED, '1 of 1 tasks did not succeed'),
        (State.NEVER_RUN, ''),
        (State.UNKNOWN, 'it ran with a version of desipipe that recorded less'),
    ]
    for condition, state in (
        ('running', 'running'),
        ('paused', 'paused'),
        ('stopped', 'no worker'),
    ):
        ran[4] = Ran(recorded, 20, left=5, condition=condition)
        assert states(NOTEBOOK, ran)[4].state == state
        assert State(state) in SETTLED
    ran[8] = Ran(run(NOTEBOOK)[8].recorded, problem='its queue was deleted')
    assert states(NOTEBOOK, ran)[8].state is State.UNKNOWN


def test_cell_is_stale_until_it_ran_with_the_new_results_of_another() -> None:
    texts = list(NOTEBOOK)
    texts[4] = FRACTION.replace('-1', '-2')
    ran = run(NOTEBOOK)
    ran[4] = run(texts)[4]
    states_now = states(texts, ran)
    assert states_now[4].state is State.CURRENT
    assert (
        states_now[5].reason
        == '`frac` comes from cell 5, which ran with other code or inputs since'
    )
    assert states_now[7].reason == '`pi` comes from cell 6, which is stale'
    ran[5] = run(texts)[5]
    assert states(texts, ran)[7].state is State.STALE
    ran[7] = run(texts)[7]
    assert {one.state for one in states(texts, ran).values()} == {State.CURRENT}


@pytest.mark.parametrize(
    ('order', 'is_current'),
    [
        ([0, 1, 2, 3, 4, 4, 5, 7, 8], True),
        ([0, 3, 1, 2, 1, 4, 8, 5, 7], True),
        ([1, 0, 0, 2, 3, 3, 8, 4, 5, 5, 7], True),
    ],
)
def test_orders_in_which_cells_may_run(order: list[int], is_current: bool) -> None:
    states_now = states(NOTEBOOK, run(NOTEBOOK, order))
    assert all(one.state is State.CURRENT for one in states_now.values()) is is_current


@pytest.mark.parametrize(
    ('texts', 'number', 'before', 'after', 'expected'),
    [
        (['x = []', 'x.append(1)'], 1, '(1)', '(2)', 'variable `x` changed in cell 2'),
        (['x = {}', "x['a'] = 1"], 1, '= 1', '= 2', 'variable `x` changed in cell 2'),
        (['x = 1', 'x += 1'], 1, '1', '2', 'variable `x` changed in cell 2'),
        (
            ['x = []\nfor i in range(3):\n    x.append(i)'],
            0,
            '3',
            '4',
            'variable `x` changed in cell 1',
        ),
        (
            ['x = [1]', 'def more(v): v.append(2)', 'more(x)'],
            2,
            'more(x)',
            '',
            'variable `x` changed in cell 1',
        ),
        (
            ['a = 1', 'def f(v): return v + a', 'x = f(1)'],
            0,
            '1',
            '2',
            'variable `a` changed in cell 1',
        ),
        (['a = 1', 'def f(v): return v + a', 'x = f(1)', 'a = 5'], 3, '5', '6', ''),
        (
            ['def f():\n    global x\n    x = 1', 'x = 0', 'f()'],
            2,
            'f()',
            '',
            'variable `x` changed in cell 2',
        ),
        (['class A:\n    n = 1', 'x = A()'], 0, '1', '2', 'class `A` changed in cell 1'),
        (['x, (y, *z) = 1, (2, 3)'], 0, '1,', '4,', 'variable `x` changed in cell 1'),
        (['if True:\n    x = 1'], 0, '= 1', '= 2', 'variable `x` changed in cell 1'),
        (
            ['with open("f") as f:\n    x = f.read()'],
            0,
            '"f"',
            '"g"',
            'variable `x` changed in cell 1',
        ),
        (['%%time\nx = 1'], 0, '1', '2', 'variable `x` changed in cell 1'),
        (['files = !ls\nx = 1'], 0, 'ls', 'ls -l', ''),
        (['x = !ls'], 0, 'ls', 'ls -l', 'variable `x` changed in cell 1'),
        (['%matplotlib inline\nx = 1\nx?'], 0, 'inline', 'widget', ''),
        (['x = 1', 'print(x)'], 1, 'print(x)', 'display(x, 2)', ''),
        (['import numpy as np', 'x = 1', 'np.log(x)'], 2, 'log', 'exp', ''),
        (
            ['lam = lambda v: v + 1', 'x = list(map(lam, [1]))'],
            0,
            '+ 1',
            '+ 2',
            'variable `lam` changed in cell 1',
        ),
        (['x = 1', 'y = 2'], 1, 'y = 2', 'del y, x', '`x` is deleted in cell 2'),
        (['x = 1', 'y = 2', 'x = 1'], 1, 'y = 2', 'del x', ''),
        (['x = [1]', 'y = 2'], 1, 'y = 2', 'del x[0]', 'variable `x` changed in cell 2'),
        (['x = 1', 'y = 2'], 1, 'y = 2', 'if x: del x', 'variable `x` changed in cell 2'),
        (['a = 1', 'x = a', 'y = 2'], 2, 'y = 2', 'del a', ''),
    ],
)
def test_state_changes_with_input_of_cell(
    texts: list[str], number: int, before: str, after: str, expected: str
) -> None:
    texts = [*texts, '%%desipipe --out out\nout = x']
    edited = list(texts)
    edited[number] = edited[number].replace(before, after)
    states_now = states(edited, run(texts))
    assert states_now[len(texts) - 1].reason.partition(';')[0] == expected


def test_names_of_a_function_are_not_those_of_the_notebook() -> None:
    texts = ['v = 1', 'def f(v):\n    w = v\n    return w', 'w = 2', '%%desipipe --out z\nz = f(3)']
    edited = ['v = 10', texts[1], 'w = 20', texts[3]]
    assert states(edited, run(texts))[3].state is State.CURRENT


def test_cell_that_reads_what_it_assigns_is_current_when_it_ran_twice() -> None:
    texts = ['x = 1', '%%desipipe --out x\nx = x + 1']
    assert states(texts, run(texts, [0, 1, 1]))[1].state is State.CURRENT
    assert states(['x = 2', texts[1]], run(texts, [0, 1, 1]))[1].state is State.STALE


def test_bash_cells() -> None:
    texts = ["name = 'a'", '%%desipipe --bash --out out\necho {name}']
    assert states(texts, run(texts))[1].state is State.CURRENT
    assert (
        states(["name = 'b'", texts[1]], run(texts))[1].reason
        == 'variable `name` changed in cell 1'
    )
    assert states([texts[0], texts[1] + ' b'], run(texts))[1].state is State.EDITED


def test_cell_that_reads_what_is_deleted_above_it_cannot_run() -> None:
    texts = ['n = 3', 'm = n\ndel n', '%%desipipe --out out\nout = n + m']
    notebook = Notebook([NotebookCell(text) for text in texts])
    (state,) = notebook.states()
    assert state.state == State.NEVER_RUN
    assert state.reason == 'it cannot run: `n` is deleted in cell 2'
    # The cell that defines `m` deletes `n`, which has to be there.
    assert notebook.cells_to_run([state]) == [0, 1, 2]


def test_cells_to_run() -> None:
    texts = list(NOTEBOOK)
    texts[5] = MEAN.replace('4', '5')
    texts[6] = 'import matplotlib.pyplot as plt\nplt.plot(size)'
    cells = [NotebookCell(text, one) for text, one in zip(texts, run(NOTEBOOK), strict=True)]
    notebook = Notebook(cells)
    assert notebook.cells_to_run(notebook.states()) == [0, 1, 2, 3, 4, 5, 7]
    texts = [*NOTEBOOK[:-1], ALONE + '1']
    cells = [NotebookCell(text, one) for text, one in zip(texts, run(NOTEBOOK), strict=True)]
    notebook = Notebook(cells)
    assert notebook.cells_to_run(notebook.states()) == [0, 8]


def test_kernel_knows_better() -> None:
    texts = [SETUP, 'x = 1', ALONE, '%%desipipe --out a\na = x', '%%desipipe --out b\nb = a']
    edited = [SETUP, 'x = 2 - 1', *texts[2:]]
    cells = [NotebookCell(text, one) for text, one in zip(edited, run(texts), strict=True)]
    opened = Notebook(cells).states(lambda number, task, reads: '')
    assert {one.state for one in opened} == {State.CURRENT}
    same = Notebook(cells).states(lambda number, task, reads: None)
    assert [one.state for one in same] == [State.CURRENT, State.STALE, State.STALE]
    other = Notebook(cells).states(
        lambda number, task, reads: '`z` has another value' * (number == 2)
    )
    assert [one.reason for one in other] == ['`z` has another value', '', '']


def test_recorded_accepts_any_json() -> None:
    recorded = Recorded('ab', {'x': 'cd'})
    assert Recorded.from_json(recorded.to_json()) == recorded
    for value in (
        None,
        [],
        'x',
        {},
        {'text': 1, 'reads': {}},
        {'text': '', 'reads': [1]},
        {'text': '', 'reads': {'x': 1}},
    ):
        assert Recorded.from_json(value) is None


@pytest.mark.parametrize(
    ('file', 'before', 'after', 'expected'),
    [
        ('helpers.py', 'x + 1', 'x + 2', 'module `helpers` changed'),
        ('helpers.py', 'x + 1', 'x + 1  # the same', ''),
        ('package/deep.py', '= 1', '= 2', 'module `package.deep` changed'),
        ('package/__init__.py', '', 'b = 3', 'module `package` changed'),
        ('other.py', '= 1', '= 2', ''),
        ('inner.py', '= 1', '= 2', 'module `inner` changed'),
    ],
)
def test_modules_beside_the_notebook(
    tmp_path: Path, file: str, before: str, after: str, expected: str
) -> None:
    files = {
        'helpers.py': 'from package.deep import a\ndef f(x):\n    return x + 1',
        'package/__init__.py': '',
        'package/deep.py': 'from . import sibling\na = 1',
        'package/sibling.py': '',
        'inner.py': 'c = 1',
        'other.py': 'd = 1',
    }
    (tmp_path / 'package').mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    texts = ['from helpers import f\nimport other', 'def g(x):\n    return f(x)']
    texts.append('%%desipipe --out z\nfrom inner import c\nz = g(c)')
    ran = run(texts, modules=Modules(str(tmp_path)))
    cells = [NotebookCell(text, one) for text, one in zip(texts, ran, strict=True)]
    (tmp_path / file).write_text(files[file].replace(before, after) if before else after)
    (opened,) = Notebook(cells, Modules(str(tmp_path))).states()
    assert opened.reason == expected
    (opened,) = Notebook(cells).states()
    assert opened.state is State.CURRENT  # nothing is known of modules without the folder
    for name in files:
        (tmp_path / name).unlink()
    (opened,) = Notebook(cells, Modules(str(tmp_path))).states()
    assert opened.reason.startswith('module `helpers` is no longer there')


def test_lines_for_ipython_in_texts_count() -> None:
    texts = ['x = """\n%d of\n"""', '%time y = x', '%%desipipe --out z\nz = y']
    edited = [texts[0].replace('%d', '%s'), *texts[1:]]
    assert states(edited, run(texts))[2].reason == 'variable `x` changed in cell 1'
    magic = ['%matplotlib inline\nx = """\n%d of\n"""', *texts[1:]]
    edited = [magic[0].replace('%d', '%s'), *texts[1:]]
    assert states(edited, run(magic))[2].reason == 'variable `x` changed in cell 1'


def test_cell_with_a_wrong_option_says_so_in_sentences() -> None:
    task = read_cell('%%desipipe --for\nz = 1').task
    assert task is not None
    assert task.error == 'Argument --for: expected one argument. Options: %%desipipe?'
