"""One queue that two versions of desipipe use at once, as on a cluster where not all upgrade on
one day.
"""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from polling import TIMEOUT_S

ROOT = Path(__file__).parent.parent
EARLIER = 'f48517424530f4eae43794f8657aaf8606572429'
"""The last commit of version 0.1.0."""

SCRIPT = """
import sys
from desipipe import Queue, TaskManager, __version__

queue = Queue('shared', base_dir='.')
tm = TaskManager(queue=queue)

@tm.python_app
def grid(n):
    import numpy
    print('makes', n)
    return numpy.arange(n)

@tm.python_app
def double(x, y=2):
    if x % 50 == 49: raise ValueError(x)
    return x * y

@tm.python_app
def total(parts, table): return sum(parts) + int(table.sum())

@tm.bash_app
def echo(x): return ['echo', '-n', f'says {x}']

parts = [double(i) for i in range(100)]
rest = double.map(range(200, 300))
table = grid(100_000)
sum_ = total(parts[:40], table)
said = echo(sum_)
if sys.argv[1] == 'read':
    found = {i: future.exception(timeout=0) or future.result(timeout=0) for i, future in zip([*range(100), *range(200, 300)], [*parts, *rest])}
    assert all(isinstance(value, ValueError) if i % 50 == 49 else value == 2 * i for i, value in found.items()), found
    assert table.result(timeout=0)[-1] == 99_999 and table.out(timeout=0).strip() == 'makes 100000'
    expected = sum(range(40)) * 2 + sum(range(100_000))
    assert sum_.result(timeout=0) == expected and said.out(timeout=0) == f'says {expected}'
print(__version__, len(queue.tasks()))
"""


@pytest.fixture(scope='module')
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yield a folder with the wheel of version 0.1.0, unpacked."""
    folder = tmp_path_factory.mktemp('earlier')
    git = ['git', '-c', f'safe.directory={ROOT}', 'archive', EARLIER]
    archive = subprocess.run(git, cwd=ROOT, capture_output=True)
    if archive.returncode:
        pytest.skip('not a checkout with its history, so no wheel of version 0.1.0 could be built')
    (folder / 'source').mkdir()
    subprocess.run(['tar', '-x', '-C', folder / 'source'], input=archive.stdout, check=True)
    build = [sys.executable, '-m', 'hatchling', 'build', '-t', 'wheel', '-d', folder]
    environ = os.environ | {'SKIP_JUPYTER_BUILDER': '1'}
    subprocess.run(build, cwd=folder / 'source', env=environ, capture_output=True, check=True)
    (wheel,) = folder.glob('desipipe-0.1.0-*.whl')
    zipfile.ZipFile(wheel).extractall(folder / 'packages')
    yield folder / 'packages'


Call = Callable[..., 'subprocess.Popen[str]']


@pytest.fixture
def versions(earlier: Path, tmp_path: Path) -> dict[str, Call]:
    """Return, by version, what starts Python with that desipipe, in the folder of the test."""

    def caller(packages: Path) -> Call:
        environ = os.environ | {'PYTHONPATH': str(packages)}

        def call(*argv: str) -> subprocess.Popen[str]:
            command = [sys.executable, *argv]
            pipe = subprocess.PIPE
            return subprocess.Popen(
                command, cwd=tmp_path, env=environ, stdout=pipe, stderr=pipe, text=True
            )

        return call

    return {'0.1.0': caller(earlier), 'now': caller(ROOT)}


def done(process: subprocess.Popen[str]) -> str:
    """Return what a process printed, which must have succeeded."""
    out, err = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, err
    return out


@pytest.mark.slow
def test_versions_add_and_run_and_read_alike(versions: dict[str, Call], tmp_path: Path) -> None:
    (tmp_path / 'script.py').write_text(SCRIPT)
    queue = str(tmp_path / 'shared')
    first = done(versions['0.1.0']('script.py', 'add'))
    second = done(versions['now']('script.py', 'add'))
    assert first.split()[0] != second.split()[0], 'one of them is not what it was called as'
    assert first.split()[1] == second.split()[1] == '203', 'the calls have other identities'
    workers = [call('-m', 'desipipe', 'work', '-q', queue) for call in versions.values()]
    assert [done(worker) for worker in workers] == ['', '']
    for compacts in ('', 'now', '0.1.0'):
        if compacts:
            done(versions[compacts]('-m', 'desipipe', 'compact', '-q', queue))
        for call in versions.values():
            assert done(call('script.py', 'read')).split()[1] == '203'


@pytest.mark.slow
def test_earlier_version_leaves_a_newer_queue_alone(
    versions: dict[str, Call], tmp_path: Path
) -> None:
    (tmp_path / 'script.py').write_text(SCRIPT)
    done(versions['now']('script.py', 'add'))
    journal = tmp_path / 'shared.queue/journal.jsonl'
    before = journal.read_bytes()
    process = versions['0.1.0']('script.py', 'add')
    _, err = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 1
    assert 'has format version 2, this desipipe knows 1; it was not touched' in err
    assert journal.read_bytes() == before
