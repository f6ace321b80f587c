"""The tutorial's line for Slurm takes workers from Slurm."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from doc_blocks import ROOT, blocks
from fake_slurm import FakeSlurm

from desipipe import Queue

SHELL = """
import sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
for cell in sys.argv[1:]:
    assert shell.run_cell(cell).success, cell
"""


@pytest.mark.slow
def test_tutorial_moves_to_slurm(queue_dir: Path, slurm: FakeSlurm, tmp_path: Path) -> None:
    pytest.importorskip('IPython')
    page = (ROOT / 'docs/tutorial/first_record.md').read_text()
    (use,) = (block.text for block in blocks(page) if '--provider slurm' in block.text)
    cells = ['%load_ext desipipe', use, '%%desipipe --out x --wait\nimport os\nx = os.getpid()']
    done = subprocess.run(
        [sys.executable, '-c', SHELL, *cells],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=250,
    )
    queue = Queue('mocks', create=False)
    (task,) = queue.tasks()
    queue.kill(manager=True)
    assert queue.wait_stopped(60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert task.state == 'SUCCEEDED' and str(task.jobid).split('_')[0].isdigit()
