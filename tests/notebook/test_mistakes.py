"""Mistakes of beginners in a kernel: the message says what happened, and what to type."""

from __future__ import annotations

import re

import pytest
from kernels import Kernel

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
