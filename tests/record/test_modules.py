"""Modules of the user's own go with a record: new tasks that use them run elsewhere."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pipelines import TIMEOUT, Cli, worked

from desipipe import Queue
from desipipe.record.digests import KEY
from desipipe.record.modules import used_modules, write_modules

FILES = {
    'helpers.py': (
        'import low\nfrom pack import deep\n\ndef twice(x):\n    return 2 * low.one(x)\n\ndef '
        'unused(x):\n    return deep.minus(x)\n'
    ),
    'low.py': 'def one(x):\n    return x + 1\n',
    'pack/__init__.py': 'from .other import VALUE\n',
    'pack/other.py': 'VALUE = 1\n',
    'pack/deep.py': 'def minus(x):\n    return x - 1\n',
    'never.py': 'def never(): pass\n',
}
SCRIPT = """
from desipipe import Queue, TaskManager
import helpers

tm = TaskManager(Queue('q', base_dir='.'))

@tm.python_app
def double(x):
    return helpers.twice(x)

@tm.python_app
def inside(x):
    import low
    return low.one(x)

double(3), inside(4)
"""


@pytest.fixture
def recorded(tmp_path: Path) -> Cli:
    """A folder with modules, a script that uses them, and its record."""
    folder = tmp_path / 'here'
    for name, text in {**FILES, 'pipe.py': SCRIPT}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    subprocess.run([sys.executable, 'pipe.py'], cwd=folder, check=True, timeout=TIMEOUT)
    worked(folder / 'q.queue')
    cli = Cli(folder)
    cli('record', '-q', './q', '-o', 'r.ipynb', '--with-results')
    return cli


def test_modules_go_with_a_record(recorded: Cli, tmp_path: Path) -> None:
    assert '5 modules: the functions' in recorded('verify', 'r.ipynb').stdout
    remote = Cli(tmp_path / 'there')
    remote.folder.mkdir()
    (remote.folder / 'r.ipynb').write_bytes((recorded.folder / 'r.ipynb').read_bytes())
    (remote.folder / 'low.py').write_text('def one(x):\n    return 0\n')
    done = remote('import', 'r.ipynb', '-q', './q', '--with-results', '--trust')
    assert 'Not written, since others are there: low.py' in done.stderr
    assert (remote.folder / 'low.py').read_text().endswith('return 0\n')
    written = {
        str(path.relative_to(remote.folder)): path.read_text()
        for path in remote.folder.rglob('*.py')
        if path.name != 'low.py'
    }
    assert written == {
        name: text for name, text in FILES.items() if name not in ('never.py', 'low.py')
    }
    (remote.folder / 'low.py').write_text(FILES['low.py'])
    (remote.folder / 'pipe.py').write_text(
        SCRIPT + '\n@tm.python_app\ndef new(x):\n    return helpers.unused(x)\n\nnew(5)\n'
    )
    subprocess.run([sys.executable, 'pipe.py'], cwd=remote.folder, check=True, timeout=TIMEOUT)
    queue = Queue(str(remote.folder / 'q'), create=False)
    assert queue.counts['SUCCEEDED'] == 2 and len(queue) == 3, 'what was recorded is known'
    worked(remote.folder / 'q.queue')
    assert sorted(task.result for task in queue.tasks()) == [4, 5, 8]


def test_module_that_was_changed_is_named(
    recorded: Cli, change: Callable[[Path, Callable[[dict[str, Any]], None]], None]
) -> None:
    (recorded.folder / 'low.py').write_text('def one(x):\n    return x + 2\n')
    done = recorded('record', '-q', './q', '-o', 'later.ipynb', '--with-results')
    assert 'module of low.one was changed after tasks of double ran' in done.stderr
    report = recorded.verify('later.ipynb', status=1)
    assert any(
        'low.one is another one' in detail
        for check in report['checks']
        if check['check'] == 'modules'
        for detail in check['details']
    )


def test_write_modules_stays_inside_folder(tmp_path: Path) -> None:
    folder = tmp_path / 'folder'
    folder.mkdir()
    (folder / 'link').symlink_to(tmp_path)
    names = [
        '../out.py',
        '/tmp/out.py',
        'a/../../out.py',
        'link/out.py',
        'x.sh',
        'a\\b.py',
        '.hidden.py',
        '',
    ]
    done = write_modules(
        [{'path': name, 'sha256': 'x'} for name in names], lambda digest: b'evil', str(folder)
    )
    assert not done.written and not (tmp_path / 'out.py').exists()
    assert write_modules(
        [{'path': 'pack/ok.py', 'sha256': 'x'}], lambda digest: b'fine', str(folder)
    ).written == ['pack/ok.py']


def test_modules_that_import_each_other_end(tmp_path: Path) -> None:
    (tmp_path / 'a.py').write_text('import b, json, missing\n')
    (tmp_path / 'b.py').write_text('from a import *\nimport broken\n')
    (tmp_path / 'broken.py').write_text('def (\n')
    used = used_modules(['module a.function', 'global x', 'function f'], [str(tmp_path)])
    assert [module.path for module in used] == ['a.py', 'b.py', 'broken.py']


def test_records_without_results_name_modules_only(recorded: Cli) -> None:
    recorded('record', '-q', './q', '-o', 'bare.ipynb')
    head = json.loads((recorded.folder / 'bare.ipynb').read_bytes())['metadata'][KEY]['queues'][0]
    assert [module['path'] for module in head['modules']] == [
        'helpers.py',
        'low.py',
        'pack/__init__.py',
        'pack/deep.py',
        'pack/other.py',
    ]
    assert 'payloads' not in head
