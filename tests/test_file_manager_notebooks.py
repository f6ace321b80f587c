"""The example notebooks of the file manager: each runs from top to bottom, and what is saved in it is what comes out."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

NB = Path(__file__).parents[1] / 'nb'
RESULTS = {
    'file_manager_examples': ['_tests_fm/power_LRG_0.4_0.6_1.npz', 'did you mean power?', "{'missing': 48, 'stale': 0, 'current': 6}", '[1. 2.]'],
    'files_and_tasks': ['average current True 4 True', "{'missing': 0, 'stale': 1, 'current': 8} ['_tests_files/power_02.npz']", '2 new tasks'],
}


def words(notebook: Any) -> str:
    """All outputs as text."""
    outputs = [output for cell in notebook.cells for output in cell.get('outputs', [])]
    return '\n'.join(output.get('text') or output.get('data', {}).get('text/plain') or f'{output.ename}: {output.evalue}' for output in outputs)


@pytest.mark.slow
@pytest.mark.kernel
@pytest.mark.parametrize('name', RESULTS)
def test_notebook(name: str, tmp_path: Path, queue_dir: Path) -> None:
    nbformat, nbclient = pytest.importorskip('nbformat'), pytest.importorskip('nbclient')
    notebook = nbformat.read(NB / f'{name}.ipynb', as_version=4)
    nbformat.validate(notebook)
    saved = words(notebook)
    assert not re.search(r'/(work|root|tmp/(?!ipykernel_))', saved), 'paths of the machine where it was run'
    try:
        nbclient.NotebookClient(notebook, timeout=200, resources={'metadata': {'path': str(tmp_path)}}).execute()
    finally:
        for folder in tmp_path.glob('_tests/*.queue'):
            subprocess.run([sys.executable, '-m', 'desipipe', 'kill', '-q', str(folder)], check=False, timeout=60, stdout=subprocess.DEVNULL)
    for text in RESULTS[name]:
        assert text in saved
        assert text in words(notebook)
