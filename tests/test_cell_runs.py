"""Cells of a notebook by the journals of its queues, where no output tells of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from engine import add, fresh, make_folder

from desipipe import Queue
from desipipe.cells.cell_runs import (
    NamedQueue,
    named_queues,
    of_no_run,
    read_file,
    runs_of,
    with_runs,
)
from desipipe.cells.file import MIME, Queues, read_cells
from desipipe.cells.statements import read_cell
from desipipe.cells.states import Notebook, State
from desipipe.config import Config
from desipipe.queue.compact import compact
from desipipe.queue.ledger import Ledger

SOURCE = '%%desipipe --out z\nz = f(1)'
RECORDED = ('ab', {'f': 'cd'})


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """A queue with five tasks."""
    ledger = Ledger(make_folder(tmp_path))
    add(ledger, range(5))
    return ledger


def code(source: str, cell: str = 'one', **shown: Any) -> dict[str, Any]:
    """Return a code cell, with a display if there is anything to show."""
    outputs = [{'data': {MIME: shown}}] if shown else []
    return {'cell_type': 'code', 'id': cell, 'source': source, 'outputs': outputs}


def lines(ledger: Ledger) -> int:
    """Count the lines of cells in the journal."""
    path = Path(ledger.folder, 'journal.jsonl')
    return sum('"e":"cell"' in line for line in path.read_text().splitlines())


def test_note_cell_writes_what_is_new(ledger: Ledger) -> None:
    for tasks, recorded, expected in (
        ('0-2', RECORDED, 1),
        ('0-2', RECORDED, 1),
        ('0-3', RECORDED, 2),
        ('0-3', ('ab', {'f': 'other'}), 3),
        ('0-3', None, 4),
    ):
        ledger.note_cell('/a.ipynb', 'one', 'z', tasks, recorded)
        assert lines(ledger) == expected
    assert fresh(ledger).state.cells['/a.ipynb']['one']['tasks'] == '0-3'


def test_cells_stay_when_journal_is_compacted_and_go_when_it_is_cleared(ledger: Ledger) -> None:
    for tasks in ('0-2', '1-3'):
        ledger.note_cell('/a.ipynb', 'one', 'z', tasks, RECORDED)
    ledger.note_cell('/a.ipynb', 'two', 'y', '4', None)
    before = {
        cell: (event['title'], event['tasks'], event.get('text'))
        for cell, event in ledger.state.cells['/a.ipynb'].items()
    }
    compact(ledger)
    after = fresh(ledger).state.cells['/a.ipynb']
    assert lines(ledger) == 2
    assert before == {
        cell: (event['title'], event['tasks'], event.get('text')) for cell, event in after.items()
    }
    queue = Queue(ledger.folder, create=False)
    queue.clear()
    assert queue.ledger.state.cells == {}


def test_runs_of_finds_notebooks_by_path_or_by_cells_once_renamed(
    ledger: Ledger, tmp_path: Path
) -> None:
    queue = Queue(ledger.folder, create=False)
    kept, renamed, other = (tmp_path / name for name in ('a.ipynb', 'old.ipynb', 'b.ipynb'))
    kept.touch()
    other.touch()
    for path, cell in ((kept, 'one'), (renamed, 'two'), (other, 'three')):
        queue.ledger.note_cell(str(path), cell, 'z', '1-2', RECORDED)
    runs = runs_of(queue, str(kept))
    assert runs.keys() == {'one', 'two'}
    assert runs['one'].display == {
        'version': 1,
        'folder': queue.folder,
        'rows': '1-2',
        'first': queue.ledger.state.ids[1].hex(),
        'title': 'z',
        'ran': {'text': 'ab', 'reads': {'f': 'cd'}},
    }


@pytest.mark.parametrize('tasks', ['', '-', '3-1', '0-1,x', '99', '9' * 400, '7-8'])
def test_runs_of_passes_over_rows_that_are_none(ledger: Ledger, tasks: str) -> None:
    ledger.note_cell('/a.ipynb', 'one', 'z', tasks, RECORDED)
    assert runs_of(Queue(ledger.folder, create=False), '/a.ipynb') == {}


def test_named_queues_reads_magics_and_calls() -> None:
    notebook = {
        'cells': [
            code('q = Queue(\'first\')\ntm = TaskManager(Queue( "a/b" , create=True))'),
            {'cell_type': 'markdown', 'source': '%desipipe use text'},
            code(['%load_ext desipipe\n', "%desipipe use 'my queue' --workers 2\n"]),
            code('  %desipipe use ./q --base-dir sub\n%desipipe use --no-spawn\n%desipipe use "'),
        ]
    }
    named = named_queues(notebook)
    assert [tuple(one) for one in named] == [
        ('./q', 'sub'),
        ('my queue', None),
        ('a/b', None),
        ('first', None),
    ]


def test_named_queue_folder_is_relative_to_the_notebook(tmp_path: Path) -> None:
    for name, base, expected in (
        ('./q', None, tmp_path / 'q.queue'),
        ('q', 'sub', tmp_path / 'sub' / 'q.queue'),
        ('q', None, Path(Config().queue_dir) / 'q.queue'),
    ):
        assert NamedQueue(name, base).folder(str(tmp_path), Config()) == str(expected)


def test_with_runs_takes_the_newer_of_output_and_journal(ledger: Ledger, tmp_path: Path) -> None:
    queue = Queue(ledger.folder, create=False)
    path = tmp_path / 'a.ipynb'
    path.touch()
    queue.ledger.note_cell(str(path), 'one', 'z', '0-2', RECORDED)
    runs = runs_of(queue, str(path))
    display = dict(runs['one'].display)

    def shown(cell: dict[str, Any]) -> dict[int, Any]:
        return with_runs({'cells': [cell]}, [runs])[1]

    assert shown(code(SOURCE)) == {0: display}
    assert shown(code(SOURCE, **display)) == {}
    assert shown(code(SOURCE, **{**display, 'rows': '0-1'})) == {0: display}
    # What another queue displays may be newer; what is no task cell any more has no tasks.
    assert shown(code(SOURCE, **{**display, 'folder': '/other.queue'})) == {}
    assert shown(code('z = 1')) == {}
    assert shown(code(SOURCE, 'two')) == {}


def test_states_hold_for_notebooks_that_were_never_saved(ledger: Ledger, tmp_path: Path) -> None:
    queue = Queue(ledger.folder, create=False)
    path, helper = tmp_path / 'a.ipynb', 'def f(x):\n    return x'
    path.touch()
    task = read_cell(SOURCE).task
    assert task is not None
    empty = Notebook(read_cells({'cells': [code(helper, 'def'), code(SOURCE)]}))
    reads = {name: use.digest for name, use in empty.reads[1].items()}
    use = code(f'%desipipe use {ledger.folder}', 'use')
    queue.ledger.note_cell(str(path), 'one', 'z', '0-2', (task.digest, reads))

    def state(helper: str, source: str = SOURCE, cell: str = 'one') -> State:
        notebook = {'cells': [use, code(helper, 'def'), code(source, cell)]}
        (opened,) = Notebook(read_file(notebook, str(path), Queues())).states()
        return opened.state

    assert state(helper) is State.NO_WORKER
    queue.pause()
    assert state(helper) is State.PAUSED
    queue.resume()
    assert state(helper.replace('return x', 'return 2 * x')) is State.STALE
    assert state(helper, SOURCE + ' + 1') is State.EDITED
    assert state(helper, cell='copied') is State.NEVER_RUN


def test_cells_are_unknown_where_a_queue_cannot_be_read(tmp_path: Path) -> None:
    folder = Path(make_folder(tmp_path))
    (folder / 'journal.jsonl').write_text('no journal\n')
    for name, expected in ((folder, State.UNKNOWN), (tmp_path / 'none', State.NEVER_RUN)):
        notebook = {'cells': [code(f'%desipipe use {name}', 'use'), code(SOURCE)]}
        (opened,) = Notebook(read_file(notebook, str(tmp_path / 'a.ipynb'), Queues())).states()
        assert opened.state is expected, opened
    cells = read_cells({'cells': [code(SOURCE)]})
    assert of_no_run(cells, '') == cells
