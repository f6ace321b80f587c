"""Mistakes of beginners in a kernel: the message says what happened, and what to type."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from kernels import TIMEOUT, Kernel

APP = """
import asyncio
from desipipe import *
tm = TaskManager(Queue('mistakes', create=True))
@tm.python_app
def slow(x): return x
future = slow(1)
gone_tm = TaskManager(Queue('gone', create=True))
gone = gone_tm.python_app(slow.func)(1)
gone.queue.delete()
%load_ext desipipe
%desipipe use cells --workers 1
"""
EXPLAIN = r'it goes on, nothing is lost\. (.*\n)*.*See why with: desipipe explain -q \S+ \w{12}'
CORRECT = (
    r'→ Correct the code and run it again; if the cause was elsewhere, retry: '
    r'%desipipe retry'
)
CASES = {
    'an app of the class': (
        '@TaskManager.python_app\ndef f(x): return x',
        r'TaskManager\.python_app was used on the class.*\. Nothing was added\..*\n'
        r"tm = TaskManager\(Queue\('my_queue', create=True\)\)",
    ),
    'an app of the class, called': (
        '@TaskManager.bash_app()\ndef f(x): return x',
        r'TaskManager\.bash_app was used on the class',
    ),
    'time out': ('future.result(timeout=0.01)', rf'is PENDING after 0\.01 s; {EXPLAIN}'),
    'time out of asyncio': ('await asyncio.wait_for(future, 0.01)', EXPLAIN),
    'time out of gather': (
        'gather([future], timeout=0.01)',
        r'1 future not done after 0\.01 s; the tasks go on, nothing is lost\..*desipipe spawn',
    ),
    'code that raises': ('%%desipipe --wait\ny = 1\nraise ValueError(y)', CORRECT),
    'a name that is nowhere': (
        '%%desipipe --out z\nz = slowly + 1',
        r"reads 'slowly', which does not exist\. Nothing was added\. Assign it in a cell above, and "
        r'run that, .* \(did you mean slow\?\)\.$',
    ),
    'a name that is nowhere, and none like it': (
        '%%desipipe --out z\nz = mu',
        r'\(known: (?!In|Out)\w+, \w+, \w+ and \d+ more\)\.$',
    ),
    'a name that the kernel had before it was restarted': (
        '%%desipipe --out z\nz = kept + 1',
        r"Queue cells has tasks named 'kept': if"
        r' the kernel was restarted, run their cell again\. '
        r'Results are kept; nothing is computed twice\.',
    ),
    'a name of before the restart, in a cell that is no task': (
        'print(kept)',
        r"NameError: .*\n*desipipe: Queue cells has tasks named 'kept': if the kernel was restarted",
    ),
    'a name that a cell assigns and does not put out': (
        'print(inner)',
        r"A task bound 'inner' in its worker, where it stayed\. To have it here, run its cell with: "
        r'--out kept inner$',
    ),
    'a module that a task imports': ('zlib.crc32', r'import it in a cell without %%desipipe, too'),
    'a name that no task has': ('nowhere', r"^(?![\s\S]*desipipe:)[\s\S]*'nowhere' is not defined"),
    'a cell for a queue that was deleted': (
        '%%desipipe --tm gone_tm\nz = 1',
        r'The queue in \S+gone\.queue is gone \(was it deleted\?\)\. Nothing was [^.]+\.\s+([^.]*\s)?'
        r'The results that it held are gone with it\..*\n%desipipe use my_queue',
    ),
    'a future of a queue that was deleted': (
        'gone',
        r'^<Future \w+ \(QueueGoneError\)>\. The queue in \S+ is gone \(was it deleted\?\)\.',
    ),
    'a queue as a task': (
        "%desipipe forget mistakes 'slow[0]'",
        r"'mistakes' is a queue, and no task of queue cells\. Nothing was done\. Write before the "
        r'tasks: -q mistakes$',
    ),
    'a task that is not there': (
        "%desipipe forget 'sloww[0]'",
        r"No task of this queue is named 'sloww': .* Nothing was done\. List tasks with: "
        r'%desipipe tasks -q cells$',
    ),
    'a module of another folder': (
        '%%desipipe --wait\nimport left_behind\nz = 1',
        r'which has no left_behind\. Nor is it in /\S+, where the task ran\. Install it, or add the '
        r'folder',
    ),
    'code that is killed': (
        '%%desipipe --wait --timeout 0.1\nimport time\ntime.sleep(60)\nz = 1',
        '→ Retry tasks that were killed or lost: %desipipe retry',
    ),
}


FUTURE = (
    r'\ndesipipe: future is the future of a task, not its value\. Take the value with future\.r'
)
USES = {
    'len(future)': FUTURE,
    "'%d' % future": FUTURE,
    'json.dumps({1: future})': FUTURE,
    'future()': FUTURE,
    'with future:\n    pass': FUTURE,
    'future[0] = 1': FUTURE,
    'del future[0]': FUTURE,
    'open(future)': FUTURE,
    'pathlib.Path(future)': FUTURE,
    "','.join([future])": FUTURE,
    'random.Random(future)': FUTURE,
    'np.zeros(future)': FUTURE,
    'np.ones(3)[future]': FUTURE,
    'np.array([future, future], dtype=float)': FUTURE,
    'np.random.default_rng(\n    future\n)': FUTURE,
    'é = "é"; datetime.timedelta(seconds=future)': FUTURE,
    'def length(x):\n    return len(x)\n\nlength(future)': 'desipipe: x is the future',
    'futures.mean()': r'desipipe: futures holds futures of .*desipipe\.gather\(futures\), or read',
    "list(named)[0] + len(named['a'])": r'desipipe: named holds futures of .*gather\(named\.val',
    'np.sqrt(futures)': 'desipipe: futures holds futures',
    '2 * future': FUTURE,
    "f'{future:.3f}'": FUTURE,
    'future.mean()': FUTURE,
    'sum(futures)': r'desipipe: futures holds futures of .*desipipe\.gather\(futures\)',
    "slow(f'{future}')": r'^(?![\s\S]*\ndesipipe:)[\s\S]*is text that was made of <Future',
    'future.result(timestep=1, other=2)': r'^(?![\s\S]*\ndesipipe:)[\s\S]*other',
    'futures[7]': r'^(?![\s\S]*\ndesipipe:)[\s\S]*IndexError',
    "int('future')": r'^(?![\s\S]*\ndesipipe:)[\s\S]*ValueError',
    'slow(1, 2)': r'^(?![\s\S]*\ndesipipe:)[\s\S]*Error',
}


def printed(kernel: Kernel, code: str) -> str:
    """Run a cell and return all that its outputs say, without colours."""
    cell = kernel.start(code)
    kernel.wait_for(lambda: cell.idle, f'the end of {code!r}')
    raised = ['\n'.join(error['traceback']) for error in cell.errors]
    shown = [str(bundle['text/plain']) for bundle in cell.bundles]
    return re.sub(r'\x1b\[[\d;]*m', '', '\n'.join([cell.text, *shown, *raised, cell.err]).strip())


@pytest.fixture(scope='module')
def kernel(shared: Kernel) -> Kernel:
    for code in (APP, '%%desipipe\nimport zlib\ninner = 1\nkept = 1', 'del kept'):
        shared(code)
    return shared


@pytest.mark.parametrize(('code', 'message'), CASES.values(), ids=CASES)
def test_message_says_what_to_do(kernel: Kernel, code: str, message: str) -> None:
    text = printed(kernel, code)
    assert re.search(message, text), text


@pytest.mark.parametrize(('code', 'message'), USES.items())
def test_error_names_futures_that_are_taken_for_values(
    kernel: Kernel, code: str, message: str
) -> None:
    kernel('import datetime, json, pathlib, random')
    kernel("import numpy as np\nfutures = [future]\nnamed = {'a': future}")
    text = printed(kernel, code)
    assert re.search(message, text), text


def test_figure_of_a_task_is_under_its_cell(kernel: Kernel) -> None:
    pytest.importorskip('matplotlib')
    cell = kernel(
        '%%desipipe --wait\nimport matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()\nz = 1'
    )
    kernel.wait_for(
        lambda: any('image/png' in output.get('data', {}) for output in cell.outputs), 'the figure'
    )
    assert kernel('print(z.result())').text == '1\n'


def test_changed_folder_is_that_of_the_task(kernel: Kernel) -> None:
    """Read a file by a relative path after ``%cd``, and again from where it is not."""
    folder = kernel.folder / 'data'
    folder.mkdir()
    (folder / 'here.txt').write_text('hello')
    read = "%%desipipe --out {0} --wait\n{0} = open('here.txt').read()"
    kernel('%cd data')
    kernel(read.format('there'))
    assert kernel('print(there.result())').text == 'hello\n'
    kernel('%cd ..')
    assert 'cached' in printed(kernel, read.format('there'))  # a folder is no part of a task
    text = printed(kernel, read.format('here'))
    name = re.escape(str(kernel.folder))
    assert re.search(rf'The task ran in {name}, to which the path is relative\. Write whole', text)


def test_notebooks_share_equal_tasks_of_a_queue(
    kernels: Callable[..., Kernel], tmp_path: Path
) -> None:
    """Run one cell in two notebooks, then another one of the same name in the second."""
    first, second = (
        kernels(JPY_SESSION_NAME=str(tmp_path / f'{name}.ipynb')) for name in ('first', 'second')
    )
    for kernel in (first, second):
        kernel('%load_ext desipipe')
        kernel('%desipipe use common --workers 1')
    cell = '%%desipipe step --out x --wait\nimport os\nx = os.getpid()'
    first(cell)
    assert 'cached (computed' in printed(second, cell)
    assert first('print(x.result())').text == second('print(x.result())').text != ''
    second(f'{cell} + 1')
    assert '2 succeeded' in printed(first, '%desipipe status')  # neither supersedes the other's
    first('%desipipe kill')


@pytest.mark.skipif(not shutil.which('setpriv'), reason='root writes to all folders without it')
def test_read_only_home_names_another_folder(tmp_path: Path) -> None:
    home, script = tmp_path / 'home', 'from desipipe import Queue\nQueue("mocks", create=True)'
    home.mkdir(mode=0o555)
    rights = ['setpriv', '--bounding-set=-dac_override', '--inh-caps=-dac_override']
    env = {name: os.environ[name] for name in os.environ if not name.startswith('DESIPIPE_')}
    done = [
        subprocess.run(
            [*(rights if os.geteuid() == 0 else []), sys.executable, '-c', script],
            env={**env, 'HOME': str(home), **more},
            check=False,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )
        for more in ({}, {'DESIPIPE_QUEUE_DIR': str(tmp_path / 'elsewhere')})
    ]
    message = done[0].stderr.splitlines()
    assert re.search(
        rf'no permission to create a queue in {home}/\S+ \(.*Nothing was created\.', message[-2]
    )
    assert message[-1] == 'export DESIPIPE_QUEUE_DIR=FOLDER'
    assert done[1].returncode == 0, done[1].stderr
