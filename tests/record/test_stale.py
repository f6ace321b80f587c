"""Task cells that are not current: what they cost, and that running them computes all there is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pipelines import Cli, notebook

from desipipe import Queue
from desipipe.cells.estimate import Estimate, count_calls
from desipipe.cells.plan import Plan, PlannedCell, Total, to_lines
from desipipe.cells.states import CellState, State
from desipipe.cells.task_cell import read_task_cell
from desipipe.record.notebook_files import read_notebook

pytestmark = pytest.mark.kernel

USE = '%load_ext desipipe\n%desipipe use nb --base-dir . --no-spawn'
CELLS = [
    (USE, []),
    ('size = 100\nfactor = 2', []),
    ('def inside(x):\n    return x < factor', []),
    ('def count(xs):\n    return sum(map(inside, xs))', []),
    ('%%desipipe --for seed=range(3) --out frac\nfrac = count([seed, size])', []),
    ('%%desipipe --out total\ntotal = sum(frac)', []),
    ('print("not needed by any task")\nunused = 1 / 0 if size > 100 else 0', []),
    ('other = 5\nplan = %desipipe plan --json', []),
    ('%%desipipe --out alone\nalone = other', []),
    ('%%desipipe --for n=[1, 2] --out swept\nswept = n * size', []),
]
EDITS = {2: ('<', '<='), 3: ('(xs):', '(xs):  # of all'), 9: ('[1, 2]', '[1, 2, 3]')}


def tasks(folder: Path) -> set[str]:
    return {task.id for task in Queue('nb', base_dir=folder).tasks(superseded=None)}


def edited() -> list[tuple[str, list[str]]]:
    cells = list(CELLS)
    for number, (before, after) in EDITS.items():
        cells[number] = cells[number][0].replace(before, after), []
    return cells


def test_run_stale_computes_what_a_full_run_would(tmp_path: Path) -> None:
    for name in ('stale', 'full'):
        (tmp_path / name).mkdir()
    stale, full = Cli(tmp_path / 'stale'), Cli(tmp_path / 'full')
    (stale.folder / 'a.ipynb').write_text(json.dumps(notebook(CELLS)))
    stale('run', 'a.ipynb', '-o', 'out.ipynb', '--no-wait')
    before = tasks(stale.folder)
    shown = read_notebook(str(stale.folder / 'out.ipynb'))['cells'][7]['outputs']
    assert not [output for output in shown if output['output_type'] == 'error'], shown
    document: dict[str, Any] = json.loads(stale('plan', 'out.ipynb', '--json').stdout)
    assert {cell['state'] for cell in document['cells']} == {'no worker'}
    assert document['total']['cells'] == 0

    path = stale.folder / 'out.ipynb'
    content = read_notebook(str(path))
    for cell, (text, _) in zip(content['cells'], edited(), strict=True):
        cell['source'] = text
    path.write_text(json.dumps(content))
    planned: dict[str, Any] = json.loads(stale('plan', 'out.ipynb', '--json', status=1).stdout)
    assert [cell['state'] for cell in planned['cells']] == ['stale', 'stale', 'no worker', 'edited']
    assert planned['cells'][0]['reason'].startswith('helper `inside` changed in cell 3')
    assert planned['total'] | {'tasks': 7, 'cells': 3} == planned['total']
    assert planned['to_run'] == [1, 2, 3, 4, 5, 6, 10]

    done = stale('run', '--stale', 'out.ipynb', '--no-wait')
    assert '3 cells not current, at most 7 tasks' in done.stdout + done.stderr
    (full.folder / 'a.ipynb').write_text(json.dumps(notebook(edited())))
    full('run', 'a.ipynb', '--no-wait')
    assert tasks(stale.folder) - before == tasks(full.folder) - before
    assert stale('plan', 'out.ipynb').stdout.count('no worker') == 4
    # What was not run keeps what it showed.
    cells = read_notebook(str(path))['cells']
    assert cells[6]['outputs'][0]['text'] == 'not needed by any task\n'
    assert [cell['execution_count'] for cell in cells[6:9]] == [7, 8, 9]
    assert 'nothing would be computed' in stale('run', '--stale', 'out.ipynb', '--no-wait').stderr


def test_plan_of_tasks_that_are_gone_or_another_versions(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    content = notebook(
        [('%%desipipe --out z\nz = 1', []), ('%%desipipe --out y\ny = z', []), ('# no code', [])]
    )
    mime = 'application/vnd.desipipe.v1+json'
    shown = {'folder': str(tmp_path / 'nb.queue'), 'rows': '0', 'first': 'ab', 'title': 'z'}
    output = {'output_type': 'display_data', 'metadata': {}, 'data': {mime: shown}}
    content['cells'][0]['outputs'] = [output]
    (tmp_path / 'a.ipynb').write_text(json.dumps(content))
    printed = cli('plan', 'a.ipynb', status=1).stdout
    assert '? cell 1 z  unknown' in printed
    assert '○ cell 2 y  never run (at most 1 task, no earlier run)' in printed
    Queue('nb', base_dir=tmp_path, create=True)
    assert 'its queue was cleared since' in cli('plan', 'a.ipynb', status=1).stdout
    (tmp_path / 'empty.ipynb').write_text(json.dumps(notebook([('# no code', [])])))
    assert cli('plan', 'empty.ipynb').stdout == 'The notebook has no task cells.\n'


@pytest.mark.parametrize(
    ('line', 'expected'),
    [
        ('', 1),
        ('--for i=range(20)', 20),
        ('--for i=range(2,20,3) --for j=[1,2]', 12),
        ('--for i=range(2) --for j=(1,2) --zip', 2),
        ('--for i=range(n)', None),
        ('--for i=[*a]', None),
        ('--for i=values', None),
        ('--for i=range(10**9)', None),
    ],
)
def test_count_calls(line: str, expected: int | None) -> None:
    assert count_calls(read_task_cell(f'%%desipipe {line}\nx = 1')) == expected


def test_words_of_what_it_costs() -> None:
    each = Estimate(36.0, 3, 0.5, 2.0)
    cells = [
        PlannedCell(CellState(0, 'a', State.CURRENT)),
        PlannedCell(CellState(1, 'b', State.STALE, 'helper `f` changed in cell 1'), 200, each),
    ]
    assert to_lines(Plan(tuple(cells), (1,))) == [
        '✓ cell 1 a  current',
        (
            '↻ cell 2 b  stale: helper `f` changed in cell 1 (at most 200 tasks, 36.0 s each in 3 '
            'earlier runs, 1 node-hour, charged as 2)'
        ),
        '1 cell not current, at most 200 tasks, 2 h 0 min of task time, 1 node-hour, charged as 2.',
    ]
    # What failed adds no task, and does not hide what the others take.
    failed = PlannedCell(CellState(2, 'c', State.FAILED, '1 of 1 tasks did not succeed'), 0)
    plan = Plan((*cells, failed), (1,))
    assert plan.total == Total(2, 200, 7200.0, 1.0, 2.0)
    assert to_lines(plan)[2:] == [
        (
            '✕ cell 3 c  failed: 1 of 1 tasks did not succeed (adds no task: correct it, or retry '
            'its tasks)'
        ),
        '2 cells not current, at most 200 tasks, 2 h 0 min of task time, 1 node-hour, charged as 2.',
    ]
    assert Plan((failed,), (2,)).total == Total(1, 0, None, None, None)
    assert to_lines(Plan((failed,), (2,)))[-1] == '1 cell not current, at most 0 tasks.'
    # Nor does what is not known.
    new = PlannedCell(CellState(3, 'd', State.NEVER_RUN))
    assert Plan((*cells, new), (1, 3)).total == Total(2, None, None, None, None)
    assert to_lines(Plan((*cells, new), (1, 3)))[-1] == (
        '2 cells not current, at most 200 tasks in 1 cell, 2 h 0 min of task time in 1 cell, '
        '1 node-hour, charged as 2.'
    )
    assert to_lines(Plan((new,), (3,)))[-1] == '1 cell not current, tasks not known.'
