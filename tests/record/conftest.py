"""Pipelines that were run for real, once for all tests of this folder: by a script, and by a
notebook.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pipelines import NOTEBOOK, SCRIPT, TIMEOUT, Cli, notebook, worked
from pytest_jupyter.jupyter_server import *  # noqa: F403  (fixtures, which must be seen in this folder only)

from desipipe import Queue


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


@pytest.fixture(scope='session')
def done_by_notebook(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``a.ipynb`` and ``out.ipynb``, which ``desipipe run`` made of it, and its
    queue ``./nb``.
    """
    folder = tmp_path_factory.mktemp('notebook')
    (folder / 'a.ipynb').write_text(json.dumps(notebook(NOTEBOOK)))
    Cli(folder)(
        'run',
        'a.ipynb',
        '-p',
        'size=500',
        '-o',
        'out.ipynb',
        env={'DESIPIPE_TEST': 'a process of its own'},
    )
    # Who copies it must not meet workers that leave.
    queue = Queue(str(folder / 'nb'), create=False)
    queue.kill()
    assert queue.wait_stopped()
    return folder


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
        from desipipe.record.digests import notebook_bytes

        record = json.loads(path.read_bytes())
        do(record)
        path.write_bytes(notebook_bytes(record))

    return change
