"""The example notebooks: each runs from top to bottom, and what is saved in it is what comes
out.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest

from desipipe import Queue

NB = Path(__file__).parents[2] / 'nb'
# What a reader of the saved notebook takes away, and an execution finds again.
RESULTS = {
    '01_pi': [
        "'bash app says pi is ~ 3.1398'",
        'pi is ~ 3.1398',
        'function average differs',
        '22 succeeded',
    ],
    'task_manager_examples': [
        '3 is no good seed',
        '[True, True, True, False, True, True]',
        'FileNotFoundError',
        '[0, 0, 10, 20, 20, 40]',
    ],
    '03_record': [
        'nothing differs',
        '2 tasks computed again',
        'the recorded source is not the code that ran',
        'was changed after its tasks ran',
        '7 of them with results',
        '3.1346',
    ],
    'file_manager_examples': [
        '_tests_fm/power_LRG_0.4_0.6_1.npz',
        'did you mean power?',
        "{'missing': 48, 'stale': 0, 'current': 6}",
        '[1. 2.]',
    ],
    'files_and_tasks': [
        'average current True 4 True',
        (
            "{'missing': 0, 'stale': 2, 'current': 7} ['_tests_files/power_02.npz', "
            "'_tests_files/mean.json']"
        ),
        "because of ['_tests_files/data_02.npy']",
        "{'missing': 0, 'stale': 0, 'current': 9} 2 new tasks",
        ' 0 new tasks',
    ],
    '02_power_spectrum': ['200 mocks, 15 bins', r'slope     = -1.407 ± 0.017', 'image/png'],
}


def output_text(notebook: Any) -> str:
    """All outputs as text."""
    collected = []
    for cell in notebook.cells:
        for output in cell.get('outputs', []):
            if output.output_type == 'error':
                collected.append(f'{output.ename}: {output.evalue}')
            elif output.output_type == 'stream':
                collected.append(output.text)
            else:
                collected += [
                    f'{kind}: {value}' for kind, value in output.data.items() if kind != 'text/html'
                ]
    return re.sub(r'\x1b\[[0-9;]*m', '', '\n'.join(collected))


def test_notebooks_are_all_tested() -> None:
    assert RESULTS.keys() == {path.stem for path in NB.glob('*.ipynb')}


@pytest.mark.slow
@pytest.mark.kernel
@pytest.mark.parametrize('name', RESULTS)
def test_notebook(name: str, tmp_path: Path, queue_dir: Path) -> None:
    notebook = nbformat.read(NB / f'{name}.ipynb', as_version=4)
    nbformat.validate(notebook)
    saved = output_text(notebook)
    assert not re.search(r'/(work|root|tmp/(?!ipykernel_1/))', saved), (
        'paths of the machine where it was run'
    )
    try:
        nbclient.NotebookClient(
            notebook, timeout=200, resources={'metadata': {'path': str(tmp_path)}}
        ).execute()
    finally:
        for folder in tmp_path.glob('_tests/*.queue'):
            subprocess.run(
                [sys.executable, '-m', 'desipipe', 'kill', '-q', str(folder)],
                check=False,
                timeout=60,
                stdout=subprocess.DEVNULL,
            )
    for text in RESULTS[name]:
        assert text in output_text(notebook)
        assert text in saved


AGAIN = [
    '%load_ext desipipe\n%desipipe use again --workers 1 --base-dir .',
    "%%desipipe one --out a --wait\nprint('hello')\na = 1",
    '%%desipipe sweep --for k=range(3) --out b --wait\nassert k != 1\nb = k',
    '%%desipipe --bash shell --out c --wait\necho hi; echo error >&2',
    (
        '%%desipipe plots --out done --wait\nimport matplotlib.pyplot as plt\nplt.plot([1, 2]); '
        'plt.show()\ndone = 1\ndone'
    ),
    'a',
    'b',
    'from desipipe import Queue\nQueue("again", base_dir=".", create=False)',
]


def executed_again(folder: Path) -> bytes:
    """Execute the notebook in a new kernel; return what is saved."""
    spec = {'name': 'python3', 'display_name': 'Python 3', 'language': 'python'}
    cells = [
        nbformat.v4.new_code_cell(text, id=f'c{number:d}') for number, text in enumerate(AGAIN)
    ]
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={'kernelspec': spec})
    nbclient.NotebookClient(
        notebook,
        timeout=200,
        record_timing=False,
        allow_errors=True,
        resources={'metadata': {'path': str(folder)}},
    ).execute()
    return nbformat.writes(notebook).encode()


@pytest.mark.kernel
def test_unchanged_notebook_that_is_run_again_is_the_same_file(
    tmp_path: Path, queue_dir: Path
) -> None:
    executed_again(tmp_path)
    queue = Queue('again', base_dir=str(tmp_path), create=False)
    queue.kill()
    assert queue.wait_stopped()
    collected = []
    for _ in range(2):
        collected.append(executed_again(tmp_path))
        (tmp_path / 'saved.ipynb').write_bytes(collected[-1])
        subprocess.run(
            [sys.executable, '-m', 'desipipe', 'record', 'saved.ipynb', '-o', 'r.ipynb'],
            cwd=tmp_path,
            check=True,
            timeout=60,
        )
        collected.append((tmp_path / 'r.ipynb').read_bytes())
    assert collected[0].count('· cached'.encode()) >= 6
    assert b'image/png' in collected[0] and b'AssertionError' in collected[0]
    assert collected[:2] == collected[2:]
