"""Superseded tasks in records: marked, listed apart, in no number and in no picture."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from pipelines import TIMEOUT, Cli, notebook, worked

from desipipe import Queue
from desipipe.record.digests import KEY
from desipipe.record.files import read_record
from desipipe.record.svg import graph_of
from desipipe.record.timeline_svg import timeline_of

SCRIPT = """
from desipipe import Queue, TaskManager

tm = TaskManager(Queue('q', base_dir='.'))

@tm.python_app
def draw(i):
    return {factor} * i

@tm.python_app
def total(values):
    return sum(values)

total([draw(i) for i in range({n})])
"""


def add_tasks(folder: Path, factor: int, n: int) -> None:
    """Run the script, with other code for another factor."""
    (folder / 'pipe.py').write_text(SCRIPT.format(factor=factor, n=n))
    subprocess.run([sys.executable, 'pipe.py'], cwd=folder, check=True, timeout=TIMEOUT)


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """A folder with a record of all tasks of a notebook.

    Tasks of its old code: 4 that ended, 2 that did not; of its present code, 3.
    """
    add_tasks(tmp_path, 2, 3)
    worked(tmp_path / 'q.queue')
    add_tasks(tmp_path, 2, 4)
    add_tasks(tmp_path, 3, 2)
    worked(tmp_path / 'q.queue')
    text = '@tm.python_app\ndef draw(i):\n    return 3 * i'
    (tmp_path / 'a.ipynb').write_text(json.dumps(notebook([(text, [])])))
    cli = Cli(tmp_path)
    cli('record', 'a.ipynb', '-q', './q', '--all', '--with-results', '--prov', 'prov.json')
    return cli


def test_record_counts_tasks_that_are_not_superseded(cli: Cli) -> None:
    record = read_record(str(cli.folder / 'a.record.ipynb'))
    (model,) = record.models
    assert (model.n_current, model.n_superseded) == (3, 6)
    assert sum(model.head['counts'].values()) == model.head['counts']['SUCCEEDED'] == 3
    assert model.head['blocked'] == 0
    totals = record.document['totals']
    assert (totals['tasks'], totals['superseded'], sum(totals['counts'].values())) == (3, 6, 3)
    states = [task['state'] for task in model.tasks() if 'superseded' in task]
    assert sorted(states) == [
        'PENDING',
        'SUCCEEDED',
        'SUCCEEDED',
        'SUCCEEDED',
        'SUCCEEDED',
        'WAITING',
    ]
    assert len(graph_of([model])['nodes']) == 3
    assert sum(len(lane['items']) for lane in timeline_of([model])['lanes']) == 3
    done = cli('record', 'a.ipynb', '-q', './q', '--all', '-o', 'again.record.ipynb')
    assert '3 tasks and 6 superseded recorded' in done.stdout
    prov = json.loads((cli.folder / 'prov.json').read_text())
    assert sum(task.get('dp:superseded', False) for task in prov['activity'].values()) == 6


def test_record_folds_superseded_tasks_below_those_that_count(cli: Cli) -> None:
    texts = [
        ''.join(cell['source'])
        for cell in json.loads((cli.folder / 'a.record.ipynb').read_text())['cells']
        if cell['cell_type'] == 'markdown'
    ]
    new, old, summary = texts
    assert new.startswith('**draw** · 2 tasks: ✓ 2 succeeded') and 'superseded' not in new
    assert old.startswith('**draw** · 0 tasks · ↷ 4 superseded')
    assert old.index('<details><summary>↷ 4 superseded') < old.index('draw&#91;0&#93;')
    assert '3 tasks of 1 queue: ✓ 3 succeeded · ↷ 6 superseded; ' in summary
    assert '<details><summary>↷ 6 superseded' in summary


def test_verify_accepts_superseded_tasks_of_old_code(cli: Cli) -> None:
    checks = cli.verify('a.record.ipynb', '--queue', './q')
    assert checks['ok'], checks
    again = cli.verify('a.record.ipynb', '--queue', './q', '--rerun', '9')
    assert '3 tasks computed again' in str(again)
    path = cli.folder / 'a.record.ipynb'
    document = json.loads(path.read_text())
    document['metadata'][KEY]['queues'][0]['superseded'] = 0
    path.write_text(json.dumps(document))
    assert 'the number of superseded tasks' in str(cli.verify('a.record.ipynb', status=1))


def test_import_keeps_superseded_tasks_superseded(cli: Cli) -> None:
    cli('import', 'a.record.ipynb', '-q', './again', '--with-results', '--trust')
    queue = Queue(str(cli.folder / 'again'), create=False)
    queue.ledger.follow()
    state = queue.ledger.state
    assert (state.n_superseded, sum(state.counts_shown()[0].values())) == (6, 3)
    (cli.folder / 'pipe.py').write_text(
        SCRIPT.format(factor=2, n=3).replace("Queue('q'", "Queue('again'")
    )
    subprocess.run([sys.executable, 'pipe.py'], cwd=cli.folder, check=True, timeout=TIMEOUT)
    queue.ledger.follow()
    assert len(queue.select(state='SUCCEEDED')) == 7  # who adds old code again has its results
