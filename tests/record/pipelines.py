"""What the tests of records share: a pipeline as a script and as a notebook, and the command."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from desipipe.cli import main

COMMAND = [sys.executable, '-m', 'desipipe']
TIMEOUT = 120  # s; only what hangs gets there

SCRIPT = """
import sys
from desipipe import Queue, TaskManager, Environment

queue = Queue('pi', base_dir='.')
tm = TaskManager(queue, environ=Environment(data={'PIPE_TOKEN': 'hunter2-token', 'PIPE_MODE': 'plain-mode'}), scheduler=dict(max_workers=2))
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

    def __call__(
        self, *arguments: str, status: int | None = 0, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run it: in this process, where no environment of its own is needed, as starting one
        takes longer than most of what is tested.
        """
        done = self._elsewhere(arguments, env) if env else self.here(arguments)
        assert status is None or done.returncode == status, (
            f'{arguments}: status {done.returncode}\n{done.stdout}\n{done.stderr}'
        )
        assert 'Traceback' not in done.stderr, done.stderr
        assert 'This should not happen' not in done.stderr, done.stderr
        return done

    def _elsewhere(
        self, arguments: Sequence[str], env: dict[str, str]
    ) -> subprocess.CompletedProcess[str]:
        environ = {**os.environ, **env}
        return subprocess.run(
            [*COMMAND, *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            env=environ,
            stdin=subprocess.DEVNULL,
        )

    def here(self, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """The same in this process."""
        out, err = io.StringIO(), io.StringIO()
        with (
            contextlib.chdir(self.folder),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            status = main(arguments)
        return subprocess.CompletedProcess(arguments, status, out.getvalue(), err.getvalue())

    def verify(self, *arguments: str, status: int = 0) -> dict[str, Any]:
        """What ``verify --json`` says."""
        document: dict[str, Any] = json.loads(
            self('verify', *arguments, '--json', status=status).stdout
        )
        return document


def worked(folder: Path) -> None:
    """Let a worker do what is in the queue of a folder."""
    subprocess.run(
        [*COMMAND, 'work', '-q', str(folder), '--slots', '2'], check=True, timeout=TIMEOUT
    )


NOTEBOOK = [
    ('# Pi', []),
    ('size = 1000\nn = 4', ['parameters']),
    ('%load_ext desipipe\n%desipipe use nb --workers 2 --base-dir .', []),
    (
        '%%desipipe fraction --for seed=range(n) --out frac\nimport numpy as np\nrng = '
        'np.random.default_rng(seed)\nprint("seed", seed)\n'
        'x, y = rng.uniform(-1, 1, (2, size))\nfrac = np.mean(x**2 + y**2 < 1)',
        [],
    ),
    ('%%desipipe --out pi\npi = 4 * np.mean(frac)\nprint(f"pi is ~ {pi:.4f}")', []),
    ('pi', []),
]


def notebook(cells: list[tuple[str, list[str]]]) -> dict[str, Any]:
    """A notebook of these cells; a text that begins with ``# `` is Markdown."""
    collected = []
    for number, (text, tags) in enumerate(cells):
        cell: dict[str, Any] = {
            'id': f'c{number}',
            'cell_type': 'code',
            'source': text,
            'metadata': {'tags': tags},
            'outputs': [],
            'execution_count': None,
        }
        if text.startswith('# '):
            cell = {'id': f'c{number}', 'cell_type': 'markdown', 'source': text, 'metadata': {}}
        collected.append(cell)
    spec = {'name': 'python3', 'display_name': 'Python 3', 'language': 'python'}
    return {
        'cells': collected,
        'metadata': {'kernelspec': spec},
        'nbformat': 4,
        'nbformat_minor': 5,
    }
