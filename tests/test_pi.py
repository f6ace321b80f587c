"""The example of the original documentation: as a script, in a notebook's kernel, again, and
after an edit.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from desipipe import Queue

ORIGINAL = Path(__file__).parents[1] / 'nb' / 'pi.py'
PI = r'bash app says pi is ~ 3\.1\d+'
QUICK = ORIGINAL.read_text().replace('time.sleep(5)', 'time.sleep(0.05)')
SLOW = ORIGINAL.read_text().replace('time.sleep(5)', 'time.sleep(2)')


@pytest.fixture
def folder(queue_dir: Path, tmp_path: Path) -> Iterator[Path]:
    where = tmp_path / 'here'
    where.mkdir()
    yield where
    if (where / '_tests').exists():
        queue = Queue('test', base_dir=where / '_tests', create=False)
        queue.kill(manager=True)
        assert queue.wait_stopped(60)


def run(folder: Path, text: str) -> str:
    (folder / 'pi.py').write_text(text)
    done = subprocess.run(
        [sys.executable, 'pi.py'],
        cwd=folder,
        check=True,
        timeout=250,
        capture_output=True,
        text=True,
    )
    assert not done.stderr
    return done.stdout


def opened(folder: Path) -> Queue:
    return Queue('test', base_dir=folder / '_tests', create=False)


def attempts(queue: Queue, name: str) -> int:
    return sum(len(task.attempts) for task in queue if task.name == name)  # superseded ones too


def test_pi_is_the_original_verbatim() -> None:
    page = (Path(__file__).parents[1] / 'docs' / 'tutorial' / 'pi.md').read_text()
    lines = [line for line in page.partition('```python\n')[2].splitlines() if line]
    script = [line for line in ORIGINAL.read_text().splitlines() if line]
    begin = lines.index('from desipipe import Queue, Environment, TaskManager, FileManager')
    end = next(i for i, line in enumerate(lines) if line.startswith('print('))
    assert lines[begin : end + 1] == script[script.index(lines[begin]) :]


@pytest.mark.slow
def test_script_returns_before_its_tasks_end(folder: Path) -> None:
    output = run(folder, SLOW)
    assert output.startswith('Elapsed time: ')
    queue = opened(folder)
    assert queue.counts['SUCCEEDED'] < 20  # the script returned while a detached manager goes on
    (echo,) = queue.futures(name='echo')
    assert re.fullmatch(PI, echo.out(timeout=200))
    tasks = queue.tasks(name='fraction')
    spans = [(task.t0, task.t0 + task.dtime) for task in tasks]
    assert len(spans) == 20
    together = [sum(began <= t < ended for began, ended in spans) for t, _ in spans]
    assert max(together) == 4  # all four at once, and never more


def test_again_and_after_an_edit(folder: Path) -> None:
    ask = QUICK + '\nprint(ech.out(timeout=100))\n'
    assert re.search(PI, run(folder, ask))
    queue = opened(folder)
    assert len(queue) == 22
    first = run(folder, ask)
    assert re.search(PI, first)
    assert len(queue) == 22
    assert [attempts(queue, name) for name in ('fraction', 'average', 'echo')] == [20, 1, 1]
    commented = ask.replace(
        'return np.average(fractions) * 4.', 'return np.average(fractions) * 4.  # times four'
    )
    assert run(folder, commented).splitlines()[1:] == first.splitlines()[1:]
    assert len(queue) == 22  # a comment is no change
    run(folder, ask.replace('np.average(fractions) * 4.', 'np.mean(fractions) * 4.'))
    assert [attempts(queue, name) for name in ('fraction', 'average', 'echo')] == [20, 2, 2]
    assert len(queue) == 24


def test_spawned_from_the_command_line(folder: Path) -> None:
    run(
        folder,
        QUICK.replace('spawn=True', 'spawn=False', 1).replace(
            "base_dir='_tests', spawn=True", "base_dir='_tests', spawn=False"
        ),
    )
    queue = opened(folder)
    assert queue.counts['PENDING'] == 20
    assert not queue.processes()
    subprocess.run(
        [sys.executable, '-m', 'desipipe', 'spawn', '-q', './_tests/test', '--spawn'],
        cwd=folder,
        check=True,
        timeout=60,
    )
    (echo,) = queue.futures(name='echo')
    assert re.fullmatch(PI, echo.out(timeout=100))


@pytest.mark.kernel
def test_notebook_kernel(folder: Path) -> None:
    nbformat = pytest.importorskip('nbformat')
    nbclient = pytest.importorskip('nbclient')
    cells = [
        part
        for part in re.split(r'\n(?=# |@tm)', QUICK.partition('# fmt: off\n')[2])
        if part.strip()
    ]
    cells.append('print(ech.out(timeout=100))')
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.metadata['kernelspec'] = {
        'name': 'python3',
        'display_name': 'Python 3',
        'language': 'python',
    }

    def execute() -> str:
        nbclient.NotebookClient(
            notebook, timeout=120, resources={'metadata': {'path': str(folder)}}
        ).execute()
        return str(notebook.cells[-1].outputs[0]['text'])

    first = execute()
    assert re.fullmatch(PI + '\n', first)
    queue = opened(folder)
    ids = {task.id for task in queue}
    assert len(ids) == 22
    assert execute() == first  # another kernel: nothing is computed again
    assert {task.id for task in queue} == ids
    assert attempts(queue, 'fraction') == 20
    run(folder, QUICK)  # nor by the script: a cell and a file give the same identity
    assert {task.id for task in queue} == ids
