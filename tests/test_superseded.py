"""Code that is run again: tasks of what a script has no longer are superseded, and nothing else
is.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engine import (
    MID,
    add,
    begin,
    claim,
    fail,
    finish,
    fresh,
    group,
    journal_lines,
    knowledge,
    make_folder,
    states,
)

from desipipe import Queue
from desipipe.cli import main
from desipipe.errors import DesipipeError, TaskSupersededError, UnknownTaskError
from desipipe.queue import place, uses
from desipipe.queue.compact import compact
from desipipe.queue.events import PENDING
from desipipe.queue.ledger import Ledger
from desipipe.queue.place import Place
from desipipe.queue.transactions.tasks import code_event
from desipipe.queue.uses import Use
from desipipe.queue.versions import Version
from desipipe.view.graph import graph
from desipipe.view.queue import queue_brief, queue_summary

HEAD = """
import sys
from desipipe import Queue, TaskManager
queue = Queue('q', base_dir={base!r})
tm = TaskManager(queue)
"""
FUNCTION = """
def helper(x):
    return {value}

@tm.python_app
def f(x):
    return helper(x)

futures = [f(x) for x in range(3)]
"""


class Scripts:
    """Scripts, each of which runs as a process of its own would."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.patch = monkeypatch
        self.runs = 0

    def run(self, text: str, name: str = 'script.py', *argv: str) -> dict[str, Any]:
        """Write a script and run it; returns its variables."""
        path = self.folder / name
        path.write_text(HEAD.format(base=str(self.folder)) + text)
        os.utime(path, (self.runs + 1e9, self.runs + 1e9))
        self.runs += 1
        self.patch.setattr(uses, '_seen', {})
        self.patch.setattr(place, '_TOKEN', f'run {self.runs:d}')
        self.patch.setattr(place, '_known_script', ('', None))
        self.patch.setattr(sys, 'argv', [str(path), *argv])
        return runpy.run_path(str(path), run_name='__main__')

    @property
    def queue(self) -> Queue:
        """The queue of all of them."""
        return Queue('q', base_dir=self.folder)

    def work(self, *bad: str) -> None:
        """Run what is pending; the tasks of the apps ``bad`` fail."""
        ledger = self.queue.ledger
        ledger.follow()
        if 'w' not in ledger.state.alive:
            begin(ledger, 'w', 1_000_000)
        while claimed := claim(ledger, 'w', 100, list(ledger.state.managers)):
            names = {row: ledger.state.groups[ledger.state.group[row]].name for row, _ in claimed}
            finish(ledger, 'w', [item for item in claimed if names[item[0]] not in bad])
            if some := [item for item in claimed if names[item[0]] in bad]:
                fail(ledger, 'w', some)
        ledger.close()

    def total(self) -> tuple[int, int]:
        """How many tasks count, and how many are superseded."""
        queue = self.queue
        assert len(queue) == sum(queue.counts.values()) + queue.n_superseded == len(list(queue))
        return sum(queue.counts.values()), queue.n_superseded

    def events(self) -> int:
        """How many lines of the journal are about code."""
        return sum(
            json.loads(line)['e'] == 'code' for _, line in journal_lines(self.queue.ledger.journal)
        )


@pytest.fixture
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scripts]:
    """Scripts in a folder of their own, without IPython."""
    monkeypatch.setattr(place, 'shell', lambda: None)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield Scripts(tmp_path, monkeypatch)
    for name in ('beside',):
        sys.modules.pop(name, None)


# Scripts


def test_corrected_failure_is_forgiven_and_comes_back_at_no_cost(scripts: Scripts) -> None:
    scripts.run(FUNCTION.format(value='1 / 0'))
    scripts.work('f')
    assert queue_brief(scripts.queue)['condition'] == 'failed' and scripts.total() == (3, 0)
    scripts.run(FUNCTION.format(value='x'))
    scripts.work()
    summary = queue_summary(scripts.queue)
    assert (summary['condition'], summary['total'], summary['superseded'], summary['failures']) == (
        'done',
        3,
        3,
        [],
    )
    assert scripts.queue.retry() == []
    scripts.run(FUNCTION.format(value='1 / 0'))
    assert scripts.queue.counts['FAILED'] == 3 and scripts.total() == (3, 3)
    scripts.run(FUNCTION.format(value='x'))
    assert scripts.queue.counts['SUCCEEDED'] == 3 and scripts.queue.counts['PENDING'] == 0


def test_code_run_again_writes_nothing(scripts: Scripts) -> None:
    scripts.run(FUNCTION.format(value='x'))
    size = os.path.getsize(scripts.queue.filename)
    scripts.run('# a comment\n' + FUNCTION.format(value='(x)'))
    assert os.path.getsize(scripts.queue.filename) == size


def test_addition_supersedes_by_single_event(scripts: Scripts) -> None:
    scripts.run(FUNCTION.format(value='x').replace('range(3)', 'range(500)'))
    before = scripts.events()
    scripts.run(FUNCTION.format(value='x + 1').replace('range(3)', 'range(500)'))
    assert scripts.events() == before + 1 and scripts.total() == (500, 500)


@pytest.mark.parametrize(
    ('before', 'after'),
    [
        ('futures = [f(x) for x in range(10)]', 'futures = [f(x) for x in range(20)]'),
        ('futures = f.map(x=range(10))', 'f.map(x=range(5)); f.map(x=range(5, 10))'),
        ('f(0)', 'f(1)'),
        ('f(0)', 'f.task_manager = tm.clone(scheduler=dict(max_workers=3)); f(0)'),
    ],
)
def test_arguments_and_options_are_no_code(scripts: Scripts, before: str, after: str) -> None:
    code = FUNCTION.format(value='x').replace('futures = [f(x) for x in range(3)]\n', '')
    scripts.run(code + before)
    scripts.run(code + after)
    assert scripts.queue.n_superseded == 0


def test_edit_of_globals_and_modules_supersedes(scripts: Scripts) -> None:
    constant = 'scale = {value}\n@tm.python_app\ndef f(x): return x / scale\nf(1)\n'
    scripts.run(constant.format(value=0))
    scripts.run(constant.format(value=2))
    assert scripts.total() == (1, 1)
    (scripts.folder / 'beside.py').write_text('def low(x): return 1 / 0\n')
    scripts.run('import beside\n@tm.python_app\ndef g(x): return beside.low(x)\ng(1)\n')
    (scripts.folder / 'beside.py').write_text('def low(x): return x + 10\n')
    del sys.modules['beside']
    scripts.run('import beside\n@tm.python_app\ndef g(x): return beside.low(x)\ng(1)\n')
    assert scripts.total() == (2, 2)
    scripts.run('norm = lambda x: x / 0\n@tm.python_app\ndef h(x): return norm(x)\nh(1)\n')
    scripts.run('norm = lambda x: x / 1\n@tm.python_app\ndef h(x): return norm(x)\nh(1)\n')
    assert scripts.total() == (3, 3)
    scripts.run("@tm.bash_app\ndef b(): return ['false']\nb()\n")
    scripts.run("@tm.bash_app\ndef b(): return ['true']\nb()\n")
    assert scripts.total() == (4, 4)


def test_values_from_outside_are_no_code(scripts: Scripts) -> None:
    text = 'year = int(sys.argv[1])\n@tm.python_app\ndef f(x): return x + year\nf(1)\n'
    for year in ('2020', '2021', '2020'):
        scripts.run(text, 'script.py', year)
    assert scripts.total() == (2, 0)


def test_versions_of_one_run_stand_beside_each_other(scripts: Scripts) -> None:
    text = """
for n in range(3):
    @tm.python_app
    def f(x): return x + n
    f(1)
def make(func):
    @tm.python_app
    def run(x): return func(x)
    return run
def one(x): return {one}
def two(x): return x
make(one)(1), make(two)(1), make(lambda x: x)(1), make(lambda x: -x)(1)
@tm.python_app
def g(x): return 1
g(1)
@tm.python_app
def g(x): return {two}
g(1)
"""
    scripts.run(text.format(one='1', two='2'))
    assert scripts.total() == (9, 0)
    scripts.run(text.format(one='1', two='2'))
    assert scripts.total() == (9, 0)
    scripts.run(text.format(one='10', two='2'))
    assert scripts.total() == (9, 1)
    scripts.run(text.format(one='10', two='20'))
    assert scripts.total() == (9, 2)


def test_functions_chosen_on_the_command_line_stand_beside_each_other(scripts: Scripts) -> None:
    text = (
        'def fit(x): return 1\ndef plot(x): return 2\nfunc = '
        'globals()[sys.argv[1]]\n@tm.python_app\ndef step(x): return func(x)\nstep(1)\n'
    )
    scripts.run(text, 'script.py', 'fit')
    scripts.run(text, 'script.py', 'plot')
    assert scripts.total() == (2, 0)
    scripts.run(text.replace('return 2', 'return 3'), 'script.py', 'plot')
    assert scripts.total() == (2, 1)


def test_scripts_with_functions_of_one_name_are_apart(scripts: Scripts) -> None:
    scripts.run(FUNCTION.format(value='x'), 'a.py')
    scripts.run(FUNCTION.format(value='x + 1'), 'b.py')
    assert scripts.total() == (6, 0)
    scripts.run(FUNCTION.format(value='x'), 'b.py')
    assert scripts.total() == (3, 3)
    scripts.run(FUNCTION.format(value='x + 2'), 'b.py')  # the other one still has what this one had
    assert scripts.total() == (6, 3)


def test_dependents_of_superseded_tasks_are_superseded(scripts: Scripts) -> None:
    text = FUNCTION + (
        '@tm.python_app\ndef g(values): return sum(values)\n@tm.python_app\ndef last(total): '
        'return total\nz = last(g(futures))\n'
    )
    scripts.run(text.format(value='1 / 0'))
    scripts.work('f')
    assert queue_brief(scripts.queue)['blocked'] == 2
    scripts.run(text.format(value='x'))
    scripts.work()
    brief = queue_brief(scripts.queue)
    assert (brief['condition'], brief['total'], brief['blocked'], brief['superseded']) == (
        'done',
        5,
        0,
        5,
    )
    scripts.run(FUNCTION.format(value='1 / 0'))  # without g and last: the old ones count again
    assert queue_brief(scripts.queue)['blocked'] == 2 and scripts.total() == (5, 5)


def test_pending_superseded_tasks_do_not_begin_and_their_futures_say_so(scripts: Scripts) -> None:
    old = scripts.run(FUNCTION.format(value='x'))['futures']
    begin(scripts.queue.ledger, 'w', 9)
    (running,) = claim(
        scripts.queue.ledger,
        'w',
        1,
        list(scripts.queue.ledger.state.managers) or [m['mid'] for m in scripts.queue.managers()],
    )
    scripts.run(FUNCTION.format(value='x + 1'))
    ledger = scripts.queue.ledger
    ledger.follow()
    assert {row for row, _ in claim(ledger, 'w', 99, list(ledger.state.managers))} == {3, 4, 5}
    assert old[1].done() and not old[0].done()
    with pytest.raises(
        TaskSupersededError, match=r'other code took the place .* retry -q .* --tid'
    ):
        old[1].result(timeout=10)
    finish(ledger, 'w', [running])
    assert old[0].state == 'SUCCEEDED' and old[0].result(timeout=10) == (
        0,
        1,
        'w',
    )  # what runs goes on, and keeps its result
    assert 'is superseded: its notebook or script was run again' in scripts.queue.explain(old[1])
    scripts.queue.retry(old[1].id)
    assert [row for row, _ in claim(ledger, 'w', 99, list(ledger.state.managers))] == [1]


def test_named_tasks_are_reused_whatever_their_code(scripts: Scripts) -> None:
    text = FUNCTION.replace('@tm.python_app', '@tm.python_app(name=True)')
    scripts.run(text.format(value='x'))
    scripts.run(text.format(value='x + 1'))
    assert scripts.total() == (3, 0)
    scripts.run(text.format(value='x + 2').replace('range(3)', 'range(5)'))
    assert scripts.total() == (5, 0)
    scripts.run(FUNCTION.format(value='x + 3'))
    assert scripts.queue.counts['PENDING'] == 3 and scripts.queue.n_superseded == 5
    scripts.run(text.format(value='x + 4'))
    assert scripts.queue.n_superseded < 8


def test_results_of_old_code_that_new_tasks_need_count_again(scripts: Scripts) -> None:
    old = scripts.run(FUNCTION.format(value='x'))['futures']
    scripts.run(FUNCTION.format(value='x + 1'))
    assert scripts.total() == (3, 3)
    scripts.patch.setitem(globals(), '_old', old)
    tm = __import__('desipipe').TaskManager(scripts.queue)
    tm.python_app(_total)(old)
    assert scripts.total() == (7, 0)


def _total(values: list[int]) -> int:
    return sum(values)


def test_adding_in_batches_supersedes_at_the_end(scripts: Scripts) -> None:
    text = FUNCTION.replace('futures = [', 'with queue.batch():\n    futures = [')
    scripts.run(text.format(value='x'))
    scripts.run(text.format(value='x + 1'))
    assert scripts.total() == (3, 3)


def test_older_run_that_goes_on_does_not_keep_a_later_one_from_running(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uses, 'definitions', lambda code: {'function f': code.digest.hex()})
    seen: dict[str, Any] = {'first': {}, 'second': {}}

    def run(process: str, app: str, name: str) -> None:
        monkeypatch.setattr(uses, '_seen', seen[process])
        add(
            ledger, [name], app=app, uses=[use(app, 'script', '', process, 'python', ledger.folder)]
        )

    run('first', 'old', 'a')
    run('second', 'new', 'b')
    assert sorted(ledger.state.superseded) == [0]
    run('first', 'old', 'c')
    assert sorted(ledger.state.superseded) == []
    run('second', 'new', 'd')
    assert sorted(ledger.state.superseded) == [0, 2]


# Forgetting


def test_forget(scripts: Scripts) -> None:
    text = FUNCTION + '@tm.python_app\ndef g(values): return sum(values)\nz = g(futures)\n'
    scripts.run(text.format(value='1'))
    scripts.run(text.format(value='2'))
    queue = scripts.queue
    assert (
        len(queue.tasks(superseded=True)) == len(queue.tasks()) == 4
        and len(queue.tasks(superseded=None)) == 8
    )
    with pytest.raises(UnknownTaskError, match='No task was named'):
        queue.forget()
    with pytest.raises(UnknownTaskError, match='is needed by task'):
        queue.forget(queue.tasks(name='f', property='id')[0])
    forgotten = queue.forget(superseded=True)
    assert len(forgotten) == 4 and scripts.total() == (4, 0)
    scripts.work()
    (tid,) = queue.tasks(name='g', property='id')
    assert queue.forget(tid) == [tid] and tid not in queue and scripts.total() == (3, 0)
    scripts.run(text.format(value='1'))
    assert scripts.total() == (4, 3)


def test_forget_leaves_what_still_runs(scripts: Scripts) -> None:
    scripts.run(FUNCTION.format(value='1'))
    ledger = scripts.queue.ledger
    begin(ledger, 'w', 9)
    ledger.follow()
    (running,) = claim(ledger, 'w', 1, list(ledger.state.managers))
    scripts.run(FUNCTION.format(value='2'))
    assert len(scripts.queue.forget(superseded=True)) == 2
    finish(ledger, 'w', [running])
    assert scripts.queue.n_superseded == 1 and len(scripts.queue.forget(superseded=True)) == 1


# What the journal says


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A bare queue."""
    yield Ledger(make_folder(tmp_path), None)


def supersede(ledger: Ledger, app: str, other: str, key: str = 'notebook:f') -> None:
    """Let one made-up app take the place of another."""
    ledger.journal.write(
        lambda: [
            code_event(key, Version(group(app).app)),
            code_event(key, Version(group(other).app), [group(app).app]),
        ]
    )


def test_compaction_keeps_what_is_superseded(ledger: Ledger) -> None:
    add(ledger, range(3), app='old')
    add(ledger, ['sum'], {'sum': [0, 1]}, app='sum')
    supersede(ledger, 'old', 'new')
    add(ledger, ['new'], app='new')
    ledger.retry(lambda state: [2], keep=True)
    before = knowledge(ledger)
    compact(ledger)
    assert knowledge(ledger)['superseded'] == before['superseded'] == [0, 1, 3] and knowledge(
        fresh(ledger)
    ) == knowledge(ledger)
    supersede(ledger, 'new', 'old')
    assert sorted(ledger.state.superseded) == [4]


def test_tasks_that_tasks_add_go_with_them(ledger: Ledger) -> None:
    add(ledger, ['parent'], app='parent')
    ledger.journal.write(lambda: [code_event('notebook:parent', Version(group('parent').app))])
    ledger.journal.write(
        lambda: [code_event('@' + group('parent').app, Version(group('child').app))]
    )
    ledger.journal.write(
        lambda: [code_event('@' + group('child').app, Version(group('child').app))]
    )  # it calls itself
    add(ledger, ['child'], app='child')
    supersede(ledger, 'parent', 'new', 'notebook:parent')
    assert sorted(ledger.state.superseded) == [0, 1]
    supersede(ledger, 'new', 'parent', 'notebook:parent')
    assert not ledger.state.superseded


def test_older_journals_and_later_events_are_read(ledger: Ledger) -> None:
    add(ledger, range(2))
    assert not ledger.state.superseded and ledger.state.code_versions.places == {}
    ledger.journal.write(
        lambda: [
            {'e': 'code', 'place': 'p', 'app': 'never seen', 'over': ['nor this'], 'later': 1},
            {'e': 'keep', 'rows': [0, 9]},
        ]
    )
    assert states(ledger.state)[:2] == ['PENDING', 'PENDING'] and not ledger.state.superseded


def test_long_chains_are_no_recursion(ledger: Ledger) -> None:
    n = 3 * sys.getrecursionlimit()
    add(ledger, ['first'], app='old')
    add(ledger, range(n), {i: [i - 1 if i else 'first'] for i in range(n)}, app='chain')
    supersede(ledger, 'old', 'new')
    assert len(ledger.state.superseded) == n + 1
    supersede(ledger, 'new', 'old')
    assert not ledger.state.superseded and claim(ledger, 'w') == []
    assert ledger.state.next_pending([MID], 3) == [0] and ledger.state.status[0] == PENDING


def use(
    app: str, file: str, cell: str = '', run: str = 'r1', kind: str = 'cell', folder: str = 'q'
) -> Use:
    """A use of a made-up app."""
    return Use(folder, f'{file}:f', Place(file, cell, run), group(app).app, kind, _code(app))


def _code(app: str) -> Any:
    from engine import code

    return code(app)


def test_cells_of_one_name_in_one_notebook(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uses, 'definitions', lambda code: {'function cell': code.digest.hex()})
    notebook = tmp_path / 'a.ipynb'
    notebook.write_text(json.dumps({'cells': [{'id': 'one'}, {'id': 'two'}]}))
    file = str(notebook)
    add(ledger, ['a'], app='a', uses=[use('a', file, 'one', 's1 1', folder=ledger.folder)])
    add(ledger, ['b'], app='b', uses=[use('b', file, 'two', 's1 2', folder=ledger.folder)])
    assert not ledger.state.superseded
    add(ledger, ['c'], app='c', uses=[use('c', file, 'one', 's1 3', folder=ledger.folder)])
    assert sorted(ledger.state.superseded) == [0]
    # Another session, in which only that cell ran yet; then a cell that is new in the place of one
    # that is gone.
    monkeypatch.setattr(uses, '_seen', {})
    add(ledger, ['d'], app='d', uses=[use('d', file, 'one', 's2 1', folder=ledger.folder)])
    assert sorted(ledger.state.superseded) == [0, 2]
    notebook.write_text(json.dumps({'cells': [{'id': 'one'}, {'id': 'three'}]}))
    add(ledger, ['e'], app='e', uses=[use('e', file, 'three', 's2 2', folder=ledger.folder)])
    assert sorted(ledger.state.superseded) == [0, 1, 2]


def test_cells_without_identities_supersede_only_those_of_other_sessions(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uses, 'definitions', lambda code: {'function cell': code.digest.hex()})
    add(ledger, ['a'], app='a', uses=[use('a', 'nb', '', 's1 1', folder=ledger.folder)])
    add(ledger, ['b'], app='b', uses=[use('b', 'nb', '', 's1 2', folder=ledger.folder)])
    assert not ledger.state.superseded
    monkeypatch.setattr(uses, '_seen', {})
    add(ledger, ['a'], app='a', uses=[use('a', 'nb', '', 's2 1', folder=ledger.folder)])
    add(ledger, ['c'], app='c', uses=[use('c', 'nb', '', 's2 2', folder=ledger.folder)])
    assert sorted(ledger.state.superseded) == [1]


def test_errors_are_the_projects_own() -> None:
    assert issubclass(TaskSupersededError, DesipipeError)


@pytest.mark.parametrize('limit', [300, 1])
def test_graph_leaves_out_what_is_superseded(ledger: Ledger, limit: int) -> None:
    add(ledger, ['a', 'b'], app='old')
    add(ledger, ['sum'], {'sum': ['a', 'b']}, app='sum')
    supersede(ledger, 'old', 'new')
    add(ledger, ['c'], app='new')
    add(ledger, ['total'], {'total': ['c']}, app='sum')
    view = graph(ledger, limit=limit)
    assert view['total'] == 2 and sorted(node['name'] for node in view['nodes']) == ['new', 'sum']
    assert [edge['count'] for edge in view['edges']] == [1]


# The command line


def command(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str]:
    """Run a command in this process; returns its exit status and what it printed."""
    status = main(list(argv))
    output = capsys.readouterr()
    return status, output.out + output.err


def test_commands(scripts: Scripts, capsys: pytest.CaptureFixture[str]) -> None:
    scripts.run(FUNCTION.format(value='1 / 0'))
    scripts.work('f')
    where = ('-q', str(scripts.folder / 'q'))
    assert command(capsys, 'watch', *where)[0] == 1
    scripts.run(FUNCTION.format(value='x'))
    scripts.work()
    assert command(capsys, 'watch', *where)[0] == 0
    assert json.loads(command(capsys, 'status', *where, '--json')[1])['superseded'] == 3
    assert '↷ 3 superseded' in command(capsys, 'status', *where)[1]
    assert len(json.loads(command(capsys, 'tasks', *where, '--json')[1])) == 3
    superseded = json.loads(command(capsys, 'tasks', *where, '--superseded', '--json')[1])
    assert [(task['state'], task['superseded']) for task in superseded] == [('FAILED', True)] * 3
    assert '0 tasks to run again' in command(capsys, 'retry', *where)[1]
    for arguments in ((), (superseded[0]['tid'], '--superseded')):
        status, output = command(capsys, 'forget', *where, *arguments)
        assert status != 0 and 'Nothing was forgotten' in output
    assert '1 task forgotten' in command(capsys, 'forget', *where, superseded[0]['tid'][:12])[1]
    answer = json.loads(command(capsys, 'forget', *where, '--superseded', '--json')[1])
    assert (len(answer['forgotten']), answer['superseded']) == (2, 0)
    assert '0 tasks forgotten' in command(capsys, 'forget', *where, '--superseded')[1]
