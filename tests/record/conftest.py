"""Pipelines that were run for real, once for all tests of this folder: by a script, and by a notebook."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

COMMAND = [sys.executable, '-m', 'desipipe']
TIMEOUT = 120  # s; only what hangs gets there

SCRIPT = """
import sys
from desipipe import Queue, TaskManager, Environment

queue = Queue('pi', base_dir='.')
tm = TaskManager(queue, environ=Environment(data={'PIPE_TOKEN': 'hunter2-token'}), scheduler=dict(max_workers=2))
scale = 2.0

def helper(x):
    return scale * x

@tm.python_app
def fraction(seed=42, size=1000):
    import numpy as np
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(-1, 1, (2, size))
    print('seed', seed)
    return helper(float(np.mean(x**2 + y**2 < 1)))

@tm.python_app
def average(fractions):
    return sum(fractions) / len(fractions)

@tm.bash_app
def echo(avg):
    return ['echo', '-n', f'pi is {avg:.4f}']

@tm.python_app
def broken(x, path):
    raise ValueError(f'no {path}')

fractions = fraction.map(seed=range(6), size=[1000])
mean = average(fractions)
said = echo(mean)
bad = broken(mean, '/secret/place/of/alice/data.txt')
blocked = average([bad])
"""


class Cli:
    """Runs the real command in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *words: str, status: int | None = 0, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*COMMAND, *words], cwd=self.folder, capture_output=True, text=True, timeout=TIMEOUT, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL
        )
        assert status is None or done.returncode == status, f'{words}: status {done.returncode}\n{done.stdout}\n{done.stderr}'
        assert 'Traceback' not in done.stderr, done.stderr
        return done

    def verify(self, *words: str, status: int = 0) -> dict[str, Any]:
        """What ``verify --json`` says."""
        found: dict[str, Any] = json.loads(self('verify', *words, '--json', status=status).stdout)
        return found


def worked(folder: Path) -> None:
    """Let a worker do what is in the queue of a folder."""
    subprocess.run([*COMMAND, 'work', '-q', str(folder), '--slots', '2'], check=True, timeout=TIMEOUT)


@pytest.fixture(scope='session')
def done_by_script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a queue ``./pi`` that a script filled and a worker emptied."""
    folder = tmp_path_factory.mktemp('script')
    (folder / 'pipe.py').write_text(SCRIPT)
    subprocess.run([sys.executable, 'pipe.py'], cwd=folder, check=True, timeout=TIMEOUT)
    worked(folder / 'pi.queue')
    Cli(folder)('record', '-q', './pi', '-o', 'pi.record.ipynb', '--with-results')
    return folder


@pytest.fixture
def script(done_by_script: Path, tmp_path: Path) -> Cli:
    """A copy of it, to be spoilt."""
    folder = tmp_path / 'copy'
    shutil.copytree(done_by_script, folder)
    return Cli(folder)


NOTEBOOK = [
    ('# Pi', []),
    ('size = 1000\nn = 4', ['parameters']),
    ('%load_ext desipipe\n%desipipe use nb --workers 2 --base-dir .', []),
    (
        '%%desipipe fraction --for seed=range(n) --out frac\nimport numpy as np\nrng = np.random.default_rng(seed)\nprint("seed", seed)\n'
        'x, y = rng.uniform(-1, 1, (2, size))\nfrac = np.mean(x**2 + y**2 < 1)',
        [],
    ),
    ('%%desipipe --out pi\npi = 4 * np.mean(frac)\nprint(f"pi is ~ {pi:.4f}")', []),
    ('pi', []),
]


def notebook(cells: list[tuple[str, list[str]]]) -> dict[str, Any]:
    """A notebook of these cells; a text that begins with ``# `` is Markdown."""
    found = []
    for number, (text, tags) in enumerate(cells):
        cell: dict[str, Any] = {'id': f'c{number}', 'cell_type': 'code', 'source': text, 'metadata': {'tags': tags}, 'outputs': [], 'execution_count': None}
        if text.startswith('# '):
            cell = {'id': f'c{number}', 'cell_type': 'markdown', 'source': text, 'metadata': {}}
        found.append(cell)
    spec = {'name': 'python3', 'display_name': 'Python 3', 'language': 'python'}
    return {'cells': found, 'metadata': {'kernelspec': spec}, 'nbformat': 4, 'nbformat_minor': 5}


@pytest.fixture(scope='session')
def done_by_notebook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with ``a.ipynb`` and ``out.ipynb``, which ``desipipe run`` made of it, and its queue ``./nb``."""
    folder = tmp_path_factory.mktemp('notebook')
    (folder / 'a.ipynb').write_text(json.dumps(notebook(NOTEBOOK)))
    Cli(folder)('run', 'a.ipynb', '-p', 'size=500', '-o', 'out.ipynb')
    yield folder
    Cli(folder)('kill', '-q', './nb', status=None)


@pytest.fixture
def executed(done_by_notebook: Path, tmp_path: Path) -> Cli:
    """A copy of it, to be spoilt."""
    folder = tmp_path / 'copy'
    shutil.copytree(done_by_notebook, folder)
    # The notebook says where its queue was.
    text = (folder / 'out.ipynb').read_text().replace(str(done_by_notebook), str(folder))
    (folder / 'out.ipynb').write_text(text)
    return Cli(folder)


@pytest.fixture
def change() -> Callable[[Path, Callable[[dict[str, Any]], None]], None]:
    """Changes a record as someone would who knows how digests are made."""

    def change(path: Path, do: Callable[[dict[str, Any]], None]) -> None:
        from desipipe.record.files import notebook_bytes

        record = json.loads(path.read_bytes())
        do(record)
        path.write_bytes(notebook_bytes(record))

    return change
