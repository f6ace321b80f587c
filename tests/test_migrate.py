"""Find what will differ in scripts written for desipipe 1.0, in the words of the migration page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from desipipe.cli import main
from desipipe.commands.differences import DIFFERENCES, table
from desipipe.commands.migrate import find_notes
from desipipe.errors import RecordError

PAGE = Path(__file__).resolve().parent.parent / 'docs' / 'howto' / 'migrating.md'
HEAD = """\
from desipipe import Environment, FileManager, Queue, TaskManager
from desipipe.task_manager import retry
queue = Queue('test')
tm = TaskManager(queue)
fm = FileManager('files.yaml')
"""
SAME = [
    "queue.tasks(state='FAILED', one=False)",
    "gpu = tm.clone(scheduler=dict(max_workers=2), provider=dict(provider='nersc'))",
    "retry(queue)\nretry(queue, state='KILLED')",
    "import os\nos.system('desipipe retry -q test')",
    "print(fm.select(id='power').exists())",
    "if fm.get(id='power').exists(): pass",
    "import os\nif os.path.exists('there'): exit()",
    'future = 1\nprint(future.result())',
    "@tm.bash_app\ndef f(x):\n    return ['echo', x, '/whole/path.py']",
    "environ = Environment(dict(A='b', C='$A d'))",
    'for name in queue.counts(): pass',
    'print(queue.filename, queue.dirname, tm.environ, tm.id, fm.data)',
]
DIFFERENT = [
    ('queue-files', "path = 'queues/test.sqlite'"),
    ('queue-files', "queue.db.execute('SELECT tid FROM tasks')"),
    ('identities', 'assert all(len(task.id) == 36 for task in queue.tasks())'),
    ('identities', 'import uuid\nprint([uuid.UUID(task.id)\n       for task in queue.tasks()])'),
    ('results', 'future = []\nprint(future.result(timeout=10))'),
    ('results', 'print([future.out(5) for future in ()])'),
    ('results', 'if future.err() is not None:\n    pass'),
    ('bash-folder', "@tm.bash_app\ndef f(x):\n    return ['sh',\n        'scripts/run.sh', x]"),
    ('environments', "tm = TaskManager(queue, environ=dict(FLAGS='-a -b'))"),
    ('environments', "environ = Environment({'FLAGS': '-a -b'})"),
    ('hung', '@tm.python_app(skip=False)\ndef f(x):\n    import sys\n    sys.exit(x)'),
    ('exists', "if not fm.select(id='power').exists():\n    pass"),
    ('exists', "power = fm.select(id='power')\nwhile True and power.exists():\n    pass"),
    ('environments', "fm.append(dict(id='power', path='${SCRATCH}/power.txt'))"),
    ('printed', "import os\nprint(os.listdir('out/.desipipe'))"),
    ('variable-arguments', "print(queue.tasks(tid='x').kwargs['args'])"),
    ('spelling', "print(queue.counts(state='pending'))"),
    ('spelling', "print(queue.tasks(state=['FAILED', 'DONE']))"),
    ('queue-files', "hidden = Queue('.hidden')"),
    ('steps', "import os\nprint(os.environ['SLURM_STEP_ID'])"),
    ('names', "environ = Environment({'A-B': '1'})"),
    ('names', "from desipipe import Provider\nProvider('slurm',\n         noddes=2)"),
    ('names', 'from desipipe.task_manager import TaskPickler'),
    ('names', 'import desipipe.nothing'),
    ('names', "import desipipe\ndesipipe.task_manager.no_such_name('test')"),
    ('names', 'queue.no_such_method()'),
    ('names', 'tm.python_app(lambda: 1).no = queue.tasks(no_such=3)'),
    ('names', "gpu = TaskManager(queue, provider=dict(provider='nersc', no_such=3))"),
]


def write(folder: Path, text: str) -> str:
    path = folder / 'script.py'
    path.write_text(HEAD + text + '\n')
    return str(path)


@pytest.mark.parametrize('text', SAME)
def test_find_notes_omits_unchanged_calls(tmp_path: Path, text: str) -> None:
    assert find_notes(write(tmp_path, text)) == []


@pytest.mark.parametrize(('key', 'text'), DIFFERENT)
def test_differences_are_named(tmp_path: Path, key: str, text: str) -> None:
    path = write(tmp_path, text)
    notes = find_notes(path)
    assert notes is not None
    assert [note.link for note in notes] == [f'docs/howto/migrating.md#{key}']
    label, _, line = notes[0].where.rpartition(':')
    assert label == path
    assert notes[0].text == (HEAD + text).split('\n')[int(line) - 1].strip()


def test_migrate_looks_for_each_difference() -> None:
    assert {key for key, _ in DIFFERENT} == {
        *(expected.key for expected in DIFFERENCES),
        'names',
        'steps',
    }
    assert len(DIFFERENCES) <= 10


def test_page_and_program_have_one_table() -> None:
    page = PAGE.read_text()
    text = (
        f'Change desipipe/commands/differences.py, and put this table into {PAGE.name}:\n{table()}'
    )
    assert table() in page, text
    assert page.count('<a id=') == len(DIFFERENCES) + 2  # those of names and of steps


def test_notebooks_are_read(tmp_path: Path) -> None:
    cells = [
        ('markdown', '# queue.db.close()'),
        ('code', '%matplotlib inline\n!desipipe retry -q test\n' + HEAD + 'queue.db\n'),
        ('code', ['%%time\n', 'print(\n', '    queue.db)']),
        ('code', '%%bash\ndesipipe retry -q test && this is not Python'),
    ]
    made = [{'cell_type': kind, 'source': source} for kind, source in cells]
    path = tmp_path / 'analysis.ipynb'
    path.write_text(json.dumps({'cells': made}))
    notes = find_notes(str(path))
    assert notes is not None
    where = [note.where.removeprefix(f'{path}: ') for note in notes]
    assert where == ['cell 2, line 8', 'cell 3, line 3']


def test_exit_status_says_what_was_found(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    same, other, own = tmp_path / 'same.py', tmp_path / 'other.py', tmp_path / 'own.py'
    same.write_text(HEAD)
    other.write_text('print(1)\n')
    own.write_text(HEAD + 'queue.db\n')

    assert main(['doctor', '--migrate', str(same), str(other)]) == 0
    text = f'{same}: nothing will differ\n{other}: does not use desipipe\n'
    assert capsys.readouterr().out == text
    assert main(['doctor', '--migrate', str(same), str(own)]) == 1
    out = capsys.readouterr().out
    assert f'{own}:6: queue.db' in out
    assert '(docs/howto/migrating.md#queue-files)' in out
    assert '1 line to look at' in out
    assert main(['doctor', '--json', '--migrate', str(own)]) == 1
    notes = json.loads(capsys.readouterr().out)
    assert [note['link'] for note in notes] == ['docs/howto/migrating.md#queue-files']


@pytest.mark.parametrize(
    ('name', 'data', 'message'),
    [
        ('script.py', b'import desipipe\ndef f(:\n', 'script.py:2 is no Python'),
        ('script.py', b'\xff\xfe', 'it is no text'),
        ('script.py', b'import desipipe\n\x00', 'is no Python'),
        ('script.py', b'import desipipe\n' + b'(' * 5000, 'is no Python'),
        ('book.ipynb', b'{"cells": [3]}', 'is no notebook'),
        ('book.ipynb', b'[' * 100_000, 'is no notebook'),
        (None, b'', 'No such file'),
    ],
)
def test_migrate_names_unreadable_files(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str | None,
    data: bytes,
    message: str,
) -> None:
    path = tmp_path / (name or 'none.py')
    if name:
        path.write_bytes(data)
    with pytest.raises(RecordError, match=message):
        find_notes(str(path))
    assert main(['doctor', '--migrate', str(path)]) == 2
    assert 'Nothing was looked at.' in capsys.readouterr().err
