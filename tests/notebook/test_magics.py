"""Cells as tasks, in real kernels, with real workers: what a person types, and what stands under
the cell then.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest

from desipipe import Queue
from desipipe.cells.options import split

pytestmark = pytest.mark.kernel

MIME = 'application/vnd.desipipe.v1+json'
USE = '%load_ext desipipe\n%desipipe use ./q/nb --workers 2'
FRACTION = """%%desipipe fraction --for seed=range(20) --out frac --wait
import numpy as np
rng = np.random.default_rng(seed)
x, y = rng.uniform(-1, 1, (2, size))
frac = np.mean(x**2 + y**2 < 1)
"""
PI = """%%desipipe --out pi --wait
pi = 4 * np.mean(frac)
print(f'pi is ~ {pi:.4f}')
"""


class Notebook:
    """A kernel of its own, cell by cell."""

    def __init__(self, folder: Path) -> None:
        self.node = nbformat.v4.new_notebook()
        self.node.metadata['kernelspec'] = {
            'name': 'python3',
            'display_name': 'Python 3',
            'language': 'python',
        }
        self.client = nbclient.NotebookClient(
            self.node, timeout=120, allow_errors=True, resources={'metadata': {'path': str(folder)}}
        )
        self.folder = folder
        self._start()

    def _start(self, tries: int = 3) -> None:
        """Start the kernel; its ports are chosen before they are bound, and may be taken then."""
        self._setup = self.client.setup_kernel()
        try:
            self._setup.__enter__()
        except RuntimeError:
            if tries == 1:
                raise
            self._start(tries - 1)

    def run(self, text: str) -> list[Any]:
        """Run a cell; its outputs."""
        self.node.cells.append(nbformat.v4.new_code_cell(text))
        index = len(self.node.cells) - 1
        self.client.execute_cell(self.node.cells[index], index)
        return list(self.node.cells[index].outputs)

    def text(self, text: str) -> str:
        """Run a cell; all that it printed, or raised, and its value."""
        collected = []
        for output in self.run(text):
            if output.output_type == 'stream':
                collected.append(output.text)
            elif output.output_type == 'error':
                collected.append(re.sub(r'\x1b\[[0-9;]*m', '', '\n'.join(output.traceback)))
            elif MIME not in output.data:
                collected.append(output.data.get('text/plain', ''))
        return ''.join(collected)

    def value(self, expression: str) -> Any:
        """Value of an expression, by JSON."""
        return json.loads(self.text(f'import json; print(json.dumps({expression}))'))

    @property
    def pid(self) -> int:
        """The kernel's."""
        return int(self.client.km.provisioner.pid)

    def restart(self) -> None:
        """Restart the kernel."""
        self.close()
        self._start()

    def close(self) -> None:
        """End the kernel."""
        self._setup.__exit__(None, None, None)


@pytest.fixture
def open_notebook(tmp_path: Path, queue_dir: Path) -> Iterator[Callable[[], Notebook]]:
    opened: list[Notebook] = []

    def make() -> Notebook:
        opened.append(Notebook(tmp_path))
        return opened[-1]

    yield make
    for notebook in opened:
        notebook.client.km.provisioner.process.kill()  # An orderly end takes a second.
        notebook.close()
    if (tmp_path / 'q' / 'nb.queue').exists():
        Queue('nb', base_dir=tmp_path / 'q', create=False).kill(manager=True)


@pytest.fixture
def notebook(open_notebook: Callable[[], Notebook]) -> Notebook:
    opened = open_notebook()
    assert 'at most 2 slots of provider local' in opened.text(USE)
    return opened


def states(notebook: Notebook) -> dict[str, int]:
    return {
        state: n
        for state, n in Queue('nb', base_dir=str(notebook.folder / 'q')).counts.items()
        if n
    }


def shown(outputs: list[Any]) -> dict[str, Any]:
    """The summary of the display among a cell's outputs."""
    (display,) = [
        output.data[MIME]
        for output in outputs
        if output.output_type == 'display_data' and MIME in output.data
    ]
    return dict(display)


def test_example(notebook: Notebook, open_notebook: Callable[[], Notebook]) -> None:
    """That of the documentation; again in another kernel, from the queue; with a comment
    changed; with the code changed.
    """
    notebook.run('size = 10000')
    assert shown(notebook.run(FRACTION))['counts']['SUCCEEDED'] == 20
    outputs = notebook.run(PI)
    assert [output.text for output in outputs if output.output_type == 'stream'] == [
        'pi is ~ 3.1398\n'
    ]
    assert notebook.value('[len(frac), float(pi.result()), pi.out()]') == [
        20,
        3.1398,
        'pi is ~ 3.1398\n',
    ]
    assert states(notebook) == {'SUCCEEDED': 21}

    again = open_notebook()
    for text in (USE, 'size = 10000', FRACTION.replace('rng =', '# a comment\nrng  ='), PI):
        outputs = again.run(text)
    assert shown(outputs)['cached'] and '· cached' in outputs[-1].data['text/plain']
    assert outputs[0].text == 'pi is ~ 3.1398\n', (
        'what it printed is there again, before the line that says so'
    )
    assert states(notebook) == {'SUCCEEDED': 21}
    again.run(PI.replace('4 *', '4. *'))
    assert states(notebook) == {'SUCCEEDED': 22}, 'only what was edited'
    again.run('size = 20000')
    again.run(FRACTION)
    assert states(notebook) == {'SUCCEEDED': 42}


def test_cell_magic_never_blocks(notebook: Notebook) -> None:
    """A cell is back before its task has ended; what waits for it as well."""
    gate = notebook.folder / 'gate'
    summary = shown(
        notebook.run(
            f"%%desipipe slow --out a\nimport os, time\nwhile not os.path.exists('{gate}'): "
            'time.sleep(0.02)\na = 1'
        )
    )
    assert summary['left'] == 1
    assert shown(notebook.run('%%desipipe --out b\nb = a + 1'))['counts']['WAITING'] == 1
    gate.touch()
    assert notebook.value('b.result(60)') == 2


def test_outputs(notebook: Notebook) -> None:
    """Several outputs are parts of one task's result; an output is the last name that is
    assigned, by default.
    """
    notebook.run('%%desipipe both --out a b\na = 1\nb = [a, 2]')
    notebook.run('%%desipipe\nc = a + sum(b)\nd = c * 10')
    assert notebook.value('[a.result(60), b.result(), d.result(60), "c" in globals()]') == [
        1,
        [1, 2],
        40,
        False,
    ]
    notebook.run(
        '%%desipipe --for i=range(2) --for j="ab" --out p\np = (i, j)'.replace('"ab"', "['a', 'b']")
    )
    assert notebook.value('[x.result(60) for x in p]') == [[0, 'a'], [0, 'b'], [1, 'a'], [1, 'b']]
    notebook.run("%%desipipe --zip --for i=[1, 2] --for j=['x', 'y'] --out p q\np, q = i, j")
    assert notebook.value('[[x.result(60) for x in p], [x.result() for x in q]]') == [
        [1, 2],
        ['x', 'y'],
    ]


def test_cell_magic_carries_definitions_of_notebook(notebook: Notebook) -> None:
    """Functions and classes go along, with what they use; an edit of them is an edit of the
    cells that use them, and explain says which.
    """
    notebook.run('factor = 3\ndef helper(x):\n    return x * factor')
    notebook.run(
        'class Model:\n    def __init__(self, k):\n        self.k = k\n    def run(self):\n        '
        'return helper(self.k)'
    )
    cell = '%%desipipe --out y --wait\ny = Model(2).run()'
    notebook.run(cell)
    assert notebook.value('y.result()') == 6
    notebook.run('def helper(x):\n    # more to read\n    return x * factor')
    assert shown(notebook.run(cell))['cached']
    notebook.run('def helper(x):\n    return x + factor')
    assert 'function helper differs' in notebook.text(cell.replace('--wait', '--dry-run'))
    assert not shown(notebook.run(cell))['cached']
    assert notebook.value('y.result()') == 5
    assert 'function helper differs' in notebook.text('%desipipe explain y')


def test_cell_magic_calls_definitions_of_its_cell(notebook: Notebook) -> None:
    """It is called as in a notebook, and is found by processes that the cell starts; the next
    task finds nothing of it.
    """
    notebook.run(
        'factor = 2\ndef twice(f):\n    from functools import wraps\n    @wraps(f)\n    def '
        'wrapper(x):\n        return factor * f(x)\n    return wrapper'
    )
    cell = """%%desipipe --out out --wait
        from dataclasses import dataclass
        from functools import lru_cache
        from multiprocessing import get_context
        import pickle
        offset = 10
        @dataclass
        class Point:
            x: int
            class Inner: pass
            def moved(self, by): return Point(self.x + by)
        @twice
        def square(x): return x * x + offset
        if offset:
            @lru_cache
            def cube(x): return x**3
        class Odd:
            def __getattr__(self, name): raise RuntimeError(name)
        @lambda value: Odd()
        class odd: pass
        with get_context('fork').Pool(2) as pool:
            out = [pool.map(square, range(3)), pool.map(cube, range(3)), pool.map(Point(1).moved, range(2))]
        out += [type(pickle.loads(pickle.dumps(Point.Inner()))) is Point.Inner, Point.moved.__qualname__]
        """.replace('\n        ', '\n')
    notebook.run(cell)
    assert notebook.value('[*out.result()[:2], repr(out.result()[2]), *out.result()[3:]]') == [
        [20, 22, 28],
        [0, 1, 8],
        '[Point(x=1), Point(x=2)]',
        True,
        'Point.moved',
    ]
    notebook.run(
        '%%desipipe --out left --wait\nimport __main__\nleft = [name for name in ("Point", '
        '"square", "cube", "odd") if hasattr(__main__, name)]'
    )
    assert notebook.value('left.result()') == []
    text = notebook.text(
        '%%desipipe --out a --wait\nclass Wrong(ValueError): pass\na = 1\nraise Wrong("so")'
    )
    assert text.rstrip().endswith('a[0] did not succeed: Wrong: so')
    text = notebook.text('%%desipipe --wait\na = 1\nb = (i for i in range(a))')
    assert 'turn it into a list first' in text and '--out NAME gives another one' in text


def test_values_are_those_of_the_moment(notebook: Notebook) -> None:
    notebook.run('settings = {"n": 1}\nstore = []')
    gate = notebook.folder / 'gate'
    notebook.run(
        f"%%desipipe --out a\nimport os, time\nwhile not os.path.exists('{gate}'): "
        "time.sleep(0.02)\na = settings['n']"
    )
    notebook.run('settings["n"] = 2')
    gate.touch()
    assert notebook.value('a.result(60)') == 1
    notebook.run('%%desipipe --for i=range(6) --out n --wait\nstore.append(i)\nn = len(store)')
    assert notebook.value('[x.result() for x in n]') == [1] * 6, (
        'what one task changes is not seen by the next'
    )


def test_run_again_it_does_not_wait_for_itself(notebook: Notebook) -> None:
    """What a cell puts out is in the notebook then; where it is only perhaps read before it is
    bound, it is not what was meant.
    """
    cell = '%%desipipe --out total --wait\nfor i in range(3):\n    total = i\nprint(total)'
    notebook.run(cell)
    assert shown(notebook.run(cell))['cached']
    cell = (
        '%%desipipe --out total --wait\nwith open("/dev/null") as file:\n    total = '
        'file.read()\nprint(len(total))'
    )
    notebook.run(cell)
    assert shown(notebook.run(cell))['cached']


@pytest.mark.parametrize(
    'cell',
    [
        'if flag:\n    n = 0\nm = 1',
        'if flag:\n    n = 0\nm = n\nn = m + 1',
        'm = 0\nfor k in range(flag):\n    n = k\nelse:\n    m = n',
    ],
)
def test_run_again_it_is_given_what_it_was_given(notebook: Notebook, cell: str) -> None:
    """What a cell may leave as it is, or read before it assigns it, is what it was before the
    cell ran first, until the notebook assigns it anew.
    """
    cell = f'%%desipipe kept-{len(cell)} --out n m --wait\n{cell}'
    notebook.run('n, flag = 3, 0')
    notebook.run(cell)
    first = notebook.value('n.result()')
    for _ in range(3):
        assert shown(notebook.run(cell))['cached']
    assert notebook.value('n.result()') == first
    notebook.run('n = 7')
    assert not shown(notebook.run(cell))['cached']
    assert notebook.value('n.result()') != first
    assert shown(notebook.run(cell))['cached']


def test_failure_shows_the_lines_of_the_cell(notebook: Notebook) -> None:
    outputs = notebook.run('%%desipipe bad --wait\nx = 1\nraise ValueError(f"no {x}")')
    assert shown(outputs)['failure']['line'] == 3
    assert outputs[-1].output_type == 'error' and 'ValueError: no 1' in outputs[-1].evalue, (
        'the cells below do not run'
    )
    assert any(
        'raise ValueError(f"no {x}")' in output.text
        for output in outputs
        if output.output_type == 'stream'
    )
    notebook.run('%%desipipe --out z\nz = pi_of = 1/0')
    text = notebook.text('z.result(60)')
    assert 'ZeroDivisionError' in text and 'line 2' in text and 'z = pi_of = 1/0' in text


def test_cells_for_the_shell(notebook: Notebook) -> None:
    notebook.run('name = "a b"\nitems = ["x", "$HOME"]')
    notebook.run(
        '%%desipipe --bash --out text --wait\nX=y; printf "<%s>" {name} {items} "${X}" '
        '{{name}}\necho >&2 err'
    )
    assert notebook.value('[text.result(), text.err()]') == ['<a b><x><$HOME><y><{name}>', 'err\n']
    notebook.run(
        '%%desipipe --bash --out text --wait\r\nif true; then\r\n  cat <<EOF; echo '
        '"{name}"\r\n{items}\r\nEOF\r\nfi'
    )
    assert notebook.value('text.result()') == 'x $HOME\na b', (
        'with the ends of lines of Windows too'
    )
    outputs = notebook.run('%%desipipe --bash --wait failing\nexit 3')
    assert 'exit status 3' in shown(outputs)['failure']['cause']
    assert 'CommandFailed' not in json.dumps(shown(outputs))
    assert '{nothing}, which does not exist' in notebook.text('%%desipipe --bash\necho {nothing}')


@pytest.mark.parametrize(
    ('cell', 'message'),
    [
        ('%%desipipe --outt x\nx = 1', 'did you mean --out'),
        ('%%desipipe --out y\nx = 1', "The cell never assigns 'y'. Nothing was added. Known: x."),
        ('%%desipipe --out 3\nx = 1', 'no name for a variable'),
        ('%%desipipe --for i=3\nx = i', 'int 3 cannot be swept'),
        ('%%desipipe --for i=[]\nx = i', 'the range is empty'),
        ('%%desipipe --for i=nope\nx = i', "NameError: name 'nope' is not defined"),
        ('%%desipipe --for "i=text"\nx = i', 'sweeps over text go letter by letter'),
        ('%%desipipe --for i\nx = i', 'write name=values'),
        ('%%desipipe --for i=[1 --out x\nx = i', '] is missing'),
        ('%%desipipe --zip --for i=[1] --for j=[1, 2]\nx = i', 'different lengths (i: 1, j: 2)'),
        ('%%desipipe\nx = 1\ny = sise', "Line 3 of the cell reads 'sise', which does not exist"),
        ('%%desipipe\ny = sise', 'did you mean size?'),
        ('%%desipipe\nx = 1\ndel x\ny = x', "reads 'x', which it has deleted"),
        ('%%desipipe\n# nothing\n', 'only comments'),
        ('%%desipipe\nx = 1\n!ls', 'Line 3 of the cell (!ls) is for IPython'),
        ('%%desipipe\n%time x = 1', 'Line 2 of the cell (%time x = 1) is for IPython'),
        ('%%desipipe\nx = get_ipython()', 'a worker has no IPython shell'),
        ('%%desipipe\nimport asyncio\nawait asyncio.sleep(1)', 'Line 3 of the cell awaits'),
        ('%%desipipe\nx = = 1', 'Line 2 of the cell: invalid syntax'),
        ('%%desipipe\nreturn 1', "Line 2 of the cell: 'return' outside function"),
        ('%%desipipe\nx = file.read()', "argument 'file' (an open file"),
        ('%%desipipe --tm nobody\nx = 1', "'nobody' does not exist"),
        ('%%desipipe --tm size\nx = 1', 'is no TaskManager but int'),
        ('%%desipipe --state FAILED\nx = 1', 'there is no --name'),
        (
            '%%desipipe f --name --state NOPE\nx = 1',
            (
                "there is no state 'NOPE': known: FAILED, KILLED, PENDING, RUNNING, SUCCEEDED, "
                'UNKNOWN, WAITING'
            ),
        ),
        ('%%desipipe --for v=range(2) w=range(3)\nx = v', 'write --for w=range(3)'),
        ('%%desipipe f --for v=range(2) w=range(3)\nx = v', 'write --for w=range(3)'),
        (
            '%%desipipe --for v=range(10**9)\nx = v',
            '--for v: more than 1,000,000 tasks in one cell; nothing was added',
        ),
        (
            "%%desipipe --for v=__import__('itertools').count() --for w=[1, 2] --zip\nx = v",
            '--for v, w: more than 1,000,000 tasks',
        ),
        (
            '%%desipipe --for v=range(1001) --for w=range(1000)\nx = v',
            '--for v, w: more than 1,000,000 tasks',
        ),
        ('%%desipipe --timeout soon\nx = 1', 'soon'),
        ('%%desipipe a b\nx = 1', "Unexpected argument 'b'"),
        (
            '%%desipipe\nsize = 10\ny = reads()',
            "reads() reads 'size' of the notebook, which this cell assigns",
        ),
        (
            '%%desipipe --for size=[1, 2]\ny = Reader().size()',
            "reads() reads 'size' of the notebook, which this cell sweeps",
        ),
        ('%%desipipe\nbinds()\ny = size', "binds() assigns 'size' of the notebook"),
        ('%%desipipe\nexit()', 'Write: raise SystemExit'),
        ('%%desipipe\nfrom nosuchmodule import *\nx = y', 'cannot be imported here'),
        (
            '%%desipipe --bash\nx=`echo {size}`',
            'Line 2 of the cell: {size} stands within backticks',
        ),
        ('%desipipe use ./q/nb --provider slurmm', 'did you mean slurm'),
        ('%desipipe use ./q/nb --provider local --timme 3', 'timme'),
        ('%desipipe use ./q/nb --wrokers 3', 'did you mean --workers'),
        ('%desipipe use ./q/nb --provider slurm --workesr 3', 'did you mean --workers'),
        (
            '%desipipe use ./q/nb --provider slurm --partition debug',
            'If it is one of the batch system itself: --kwargs partition=VALUE',
        ),
        ('%desipipe use ./q/nb --provider slurm --kwargs "{partition: debug}"', 'is no dictionary'),
        ('%desipipe statuss', 'did you mean status'),
    ],
)
def test_bad_input(bad: Notebook, cell: str, message: str) -> None:
    before = states(bad)
    outputs = bad.run(cell)
    (error,) = [output for output in outputs if output.output_type == 'error']
    assert message in error.evalue
    assert 'File ' not in '\n'.join(error.traceback), 'of our own code there is nothing to see'
    assert states(bad) == before


@pytest.fixture(scope='module')
def bad(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    opened = Notebook(tmp_path_factory.mktemp('bad'))
    opened.run('%load_ext desipipe')
    assert 'No queue is set in this notebook' in opened.text('%%desipipe\nx = 1')
    opened.run(
        '%desipipe use ./q/nb --workers 2 --no-spawn\nsize = 1\ntext = "ab"\nfile = '
        'open("/dev/null")'
    )
    opened.run(
        'def reads(): return size\ndef binds():\n    global size\n    size += 1\nclass Reader:\n   '
        ' def size(self): return reads()'
    )
    yield opened
    opened.close()


def test_output_that_hides_a_builtin(bad: Notebook) -> None:
    assert "'sum' hides the builtin" in bad.text('%%desipipe --out sum --dry-run\nsum = 1')


def test_interrupts(notebook: Notebook) -> None:
    """An interrupt of a wait ends the wait and nothing else."""
    gate = notebook.folder / 'gate'
    began = notebook.folder / 'began'
    cell = (
        f"%%desipipe --out a --wait\nimport os, time\nopen('{began}', 'w').close()\nwhile not "
        f"os.path.exists('{gate}'): time.sleep(0.02)\na = 1"
    )
    interrupter = subprocess.Popen(
        [
            sys.executable,
            '-c',
            (
                f'import os, time\nwhile not os.path.exists({str(began)!r}): '
                f'time.sleep(0.02)\nos.kill({notebook.pid}, {int(signal.SIGINT)})'
            ),
        ]
    )
    assert 'the wait was interrupted, and only that' in notebook.text(cell)
    interrupter.wait(60)
    gate.touch()
    assert notebook.value('a.result(60)') == 1


def test_restart_and_two_notebooks(
    notebook: Notebook, open_notebook: Callable[[], Notebook]
) -> None:
    """A kernel that is killed takes nothing along; another notebook on the same queue gets the
    same tasks.
    """
    gate = notebook.folder / 'gate'
    cell = (
        '%%desipipe --for i=range(3) --out a\nimport os, time\nwhile not '
        f"os.path.exists('{gate}'): time.sleep(0.02)\na = i"
    )
    notebook.run(cell)
    other = open_notebook()
    other.run(USE)
    other.run(cell)
    os.kill(notebook.pid, signal.SIGKILL)
    gate.touch()
    assert other.value('[x.result(60) for x in a]') == [0, 1, 2]
    assert states(notebook) == {'SUCCEEDED': 3}
    other.restart()
    other.run(USE)
    assert shown(other.run(cell))['cached']


def test_cell_magic_shares_objects_with_functions(notebook: Notebook) -> None:
    """What a function of the notebook adds to a list of the notebook, the cell sees."""
    notebook.run(
        'registry = []\nsize = 3\nimport numpy as np\ndef add(x):\n    registry.append(np.sum([x, '
        'size]))'
    )
    notebook.run(
        '%%desipipe --for i=range(4) --out n\nimport numpy as np\nadd(i)\nn = int(sum(registry)) * '
        'size'
    )
    assert notebook.value('[x.result(60) for x in n]') == [9, 12, 15, 18]


def test_words_of_the_language(notebook: Notebook) -> None:
    """Builtins that are rebound, `display` of IPython, future features, names that may not be
    there.
    """
    notebook.run(
        '%%desipipe a --out sum\nfrom __future__ import annotations\nsum = sum([1, 2])\ndef f(x: '
        'nothing): return x\ndisplay(f(sum))'
    )
    notebook.run(
        '%%desipipe b --out c --wait\ntry:\n    c = missing\nexcept NameError:\n    c = 3\nwith '
        'open("/dev/null") as file: c += len(file.read())'
    )
    assert notebook.value('[sum.result(60), c.result()]') == [3, 3]
    assert 'queue nb' in notebook.text('del sum\n%reload_ext desipipe\n%desipipe use')


def test_cell_magic_reports_blocked_tasks(notebook: Notebook) -> None:
    notebook.run('%%desipipe --out bad\nbad = 1 / 0')
    outputs = notebook.run('%%desipipe use --out y --wait\ny = bad + 1')
    assert (
        outputs[-1].output_type == 'error'
        and 'bad[0], which it needs, did not succeed: ZeroDivisionError' in outputs[-1].evalue
    )


def test_provider_that_is_refused(notebook: Notebook) -> None:
    """Nobody waits for workers that do not come: the cell says why, and run again with another
    provider it does not stay with the first.
    """
    notebook.run(
        "import os\npath = os.environ['PATH']\nos.environ['PATH'] = '/nowhere'\n%desipipe use "
        './q/refused --provider slurm --workers 2'
    )
    assert (
        'There is no sbatch on this machine'
        in notebook.run('%%desipipe --out a --wait\na = 1')[-1].evalue
    )
    outputs = notebook.run('%%desipipe --out a\na = 1')
    assert (
        'There is no sbatch on this machine' in outputs[0].data['text/plain']
        and shown(outputs)['refused']
    )
    notebook.run('from desipipe import Queue')
    assert 'There is no sbatch' in shown(notebook.run("Queue('./q/refused')"))['advice'][-1][0]
    notebook.run("os.environ['PATH'] = path\n%desipipe use ./q/refused --workers 2")
    assert shown(notebook.run('%%desipipe --out a --wait\na = 1'))['refused'] == ''
    assert notebook.value('a.result()') == 1
    assert 'sbatch' not in notebook.text('%desipipe status')


def test_queue_that_was_deleted(notebook: Notebook) -> None:
    """Its futures are in the notebook still; the cells that made them run again all the same."""
    cell = '%%desipipe --out total --wait\nfor i in range(3):\n    total = i'
    notebook.run(cell)
    notebook.run('%desipipe delete --force')
    notebook.run('%desipipe use ./q/nb --workers 2')
    notebook.run(cell)
    assert notebook.value('total.result()') == 2


def test_autoreload(notebook: Notebook) -> None:
    """A module beside the notebook: what was edited is what runs."""
    module = notebook.folder / 'mine.py'
    module.write_text('def f():\n    return 1\n')
    notebook.run('%load_ext autoreload\n%autoreload 2\nimport mine')
    cell = '%%desipipe --out a --wait\na = mine.f()'
    notebook.run(cell)
    module.write_text('def f():\n    return 2  # edited\n')
    os.utime(module, (1, 2e9))
    assert not shown(notebook.run(cell))['cached']
    assert notebook.value('a.result()') == 2


def test_reuse_by_name(notebook: Notebook) -> None:
    notebook.run('%%desipipe f --for i=range(3) --out a --wait\na = 1 / (i - 1)')
    notebook.run('%%desipipe f --for i=range(3) --out b --wait --name --state succeeded\nb = 7')
    assert notebook.value('[x.result() for x in b]') == [-1.0, 7, 1.0]
    assert 'skipped' in notebook.text('%%desipipe f --skip\nb = 8')


def test_noninteractive(
    open_notebook: Callable[[], Notebook], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where documentation is built, each cell waits, and says what it has to say once."""
    monkeypatch.setenv('DESIPIPE_NONINTERACTIVE', '1')
    notebook = open_notebook()
    notebook.run(USE)
    outputs = notebook.run('%%desipipe --for i=range(3) --out a\nprint(i)\na = i')
    assert shown(outputs)['counts']['SUCCEEDED'] == 3
    assert [output.text for output in outputs if output.output_type == 'stream']
    assert notebook.run('%%desipipe\nx = 1 / 0')[-1].output_type == 'error'


@pytest.mark.parametrize(
    ('line', 'arguments'),
    [
        ('a --for x=[1, 2] --out b', ['a', '--for', 'x=[1, 2]', '--out', 'b']),
        ("--for x=['a b', 'c']", ['--for', "x=['a b', 'c']"]),
        ('--for "x=range(3)"', ['--for', 'x=range(3)']),
        ('--for x={"a": (1, 2)}', ['--for', 'x={"a": (1, 2)}']),
        ("--for x='a' y", ['--for', "x='a'", 'y']),
        ('--wait # it is "open', ['--wait']),
        ('--wait #c', ['--wait']),
        ('#c', []),
        ('--for x=[\'#\', "a #"] --out a#b', ['--for', 'x=[\'#\', "a #"]', '--out', 'a#b']),
    ],
)
def test_split(line: str, arguments: list[str]) -> None:
    assert split(line) == arguments


def test_killed_while_submitting(open_notebook: Callable[[], Notebook]) -> None:
    """A sweep is there as a whole or not at all, and the next run of the cell adds what is
    missing: nothing lost, nothing doubled.
    """
    first = open_notebook()
    first.run('%load_ext desipipe\n%desipipe use ./q/nb --no-spawn')
    cells = [f'%%desipipe part{k} --for i=range(3000) --out a{k}\na{k} = i + {k}' for k in range(8)]
    journal = Path(Queue('nb', base_dir=str(first.folder / 'q')).filename)
    size = journal.stat().st_size
    for cell in cells:
        first.client.kc.execute(cell)
    while journal.stat().st_size == size:
        os.sched_yield()
    os.kill(first.pid, signal.SIGKILL)
    again = open_notebook()
    again.run('%load_ext desipipe\n%desipipe use ./q/nb --no-spawn')
    assert states(again).get('PENDING', 0) % 3000 == 0
    for cell in cells:
        again.run(cell)
    assert states(again) == {'PENDING': 24000}
