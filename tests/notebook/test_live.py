"""Displays of tasks in real kernels, with real workers: they follow, also while the kernel is
busy, and end as they should.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pexpect
import pytest
from kernels import MIME, Cell, Kernel, work

from desipipe import Queue, TaskManager
from desipipe.notebook.follower import INTERVAL
from desipipe.view.appearance import APPEARANCES
from desipipe.view.folded_outputs import UNFOLDED_MAX

pytestmark = pytest.mark.kernel

SETUP = """
import os, time
from desipipe import Queue, TaskManager
from desipipe.notebook import follower as follow
from desipipe.notebook.displays import cell as live
queue = Queue('mine')
tm = TaskManager(queue)

def show(futures, title='cell', cached=False):
    global handle
    state = queue.ledger.state
    handle = live.show(queue, [state.rows[future.tid] for future in futures], title, cached)

@tm.python_app
def step(x, gate=''):
    print('step', x)
    time.sleep(0.02)
    while gate and not os.path.exists(gate):
        time.sleep(0.01)
    return x

@tm.python_app
def bad(x, gate=''):
    if not os.path.exists(gate):
        raise ValueError(f'no <b>{x}</b>')
    print('good now')
"""


@pytest.fixture
def ready(shared: Kernel, request: pytest.FixtureRequest) -> Kernel:
    """A kernel with a queue of the test's own, of which nobody takes care."""
    shared.forget()
    setup(shared, re.sub(r'\W+', '_', request.node.name))
    return shared


def setup(kernel: Kernel, name: str = 'mine') -> None:
    """Make a queue, and define what the tests use."""
    kernel.queue = name
    kernel.execute(SETUP.replace("'mine'", repr(name)))


def queue_path(kernel: Kernel) -> str:
    """The queue's folder, wherever the configuration puts it."""
    (queue_path,) = (kernel.folder / 'queues').rglob(f'{kernel.queue}.queue')
    return str(queue_path)


@contextmanager
def working(kernel: Kernel, slots: int = 2) -> Iterator[subprocess.Popen[bytes]]:
    """A worker beside the kernel."""
    process = subprocess.Popen(
        [
            sys.executable,
            '-c',
            f'from desipipe import work; work({queue_path(kernel)!r}, slots={slots:d}, linger=600)',
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def test_follows_from_the_first_event_to_the_quiet_line(ready: Kernel, tmp_path: Path) -> None:
    gate = tmp_path / 'gate'
    cell = ready.execute(f"show([step(x, {str(gate)!r}) for x in range(3)], 'steps')")
    assert cell.summary['condition'] == 'stopped'
    assert (cell.summary['total'], cell.summary['left'], cell.summary['title']) == (3, 3, 'steps')
    with working(ready):
        ready.wait_for_update(
            cell,
            lambda summary: summary['condition'] == 'running' and summary['counts']['RUNNING'] >= 2,
        )
        # What runs is followed too.
        ready.wait_for_update(
            cell,
            lambda summary: any(output.get('text') == 'step 1\n' for output in summary['outputs']),
        )
        gate.touch()
        summary = ready.wait_for_update(cell, lambda summary: not summary['left'])
    assert summary['condition'] == 'done'
    assert [
        output.get('text') or output['metadata']['desipipe']['label']
        for output in summary['outputs']
    ] == [
        'step[0]',
        'step 0\n',
        'step[1]',
        'step 1\n',
        'step[2]',
        'step 2\n',
    ]
    assert [output['metadata']['desipipe']['arguments'] for output in summary['outputs'][::2]] == [
        'x=0',
        'x=1',
        'x=2',
    ]
    data = cell.bundles[0]
    assert data['text/plain'].startswith('✓ steps  3 tasks · ')
    assert ready.execute('print(handle.over.is_set())').text == 'True\n'
    # Nothing follows it any more: no thread is left.
    ready.wait_for(
        lambda: 'None' in ready.execute('print(follow._followers[queue.folder]._thread)').text,
        'the end of the thread',
    )


def test_updates_arrive_while_the_main_thread_sleeps(ready: Kernel, tmp_path: Path) -> None:
    go = tmp_path / 'go'
    cell = ready.execute('show([step(x) for x in range(4)])')
    # Asleep in C, by polling a folder for a file; it holds the interpreter's lock now and then
    # only.
    busy = ready.start(f'while not os.path.exists({str(go)!r}): time.sleep(0.2)')
    with working(ready):
        summary = ready.wait_for_update(cell, lambda summary: summary['condition'] == 'done')
    assert not busy.idle
    assert summary['counts']['SUCCEEDED'] == 4
    go.touch()
    ready.finish(busy)
    assert not busy.outputs


def test_failure_is_shown_and_a_retry_followed(ready: Kernel, tmp_path: Path) -> None:
    gate = tmp_path / 'gate'
    cell = ready.execute(f"show([bad(x, {str(gate)!r}) for x in range(2)] + [step(7)], 'mixed')")
    work(queue_path(ready))
    summary = ready.wait_for_update(cell, lambda summary: not summary['left'])
    assert summary['condition'] == 'failed'
    assert summary['failure']['cause'] == 'ValueError: no <b>0</b>'
    data = cell.bundles[0]
    assert '⚠ 2 failed, first bad[0]: ValueError: no <b>0</b>' in data['text/plain']
    assert 'no &lt;b&gt;0&lt;/b&gt;' in data['text/html']
    assert 'no <b>0</b>' not in data['text/html']
    assert any(command.startswith('desipipe retry') for _, command in summary['advice'])
    # From elsewhere, as a button or a terminal do.
    gate.touch()
    Queue(queue_path(ready), create=False).retry()
    ready.wait_for_update(cell, lambda summary: summary['left'])
    work(queue_path(ready))
    summary = ready.wait_for_update(cell, lambda summary: summary['condition'] == 'done')
    assert sum(output.get('text') == 'good now\n' for output in summary['outputs']) == 2
    assert summary['failure'] is None


def test_show_replays_cached_outputs(ready: Kernel) -> None:
    ready.execute('futures = [step(x) for x in range(2)]')
    work(queue_path(ready))
    cell = ready.execute('show(futures, cached=True)')
    kinds = [
        (output['output_type'], output.get('text') or output['data']['text/plain'])
        for output in cell.outputs
    ]
    assert kinds[:4] == [
        ('display_data', 'step[0]  x=0'),
        ('stream', 'step 0\n'),
        ('display_data', 'step[1]  x=1'),
        ('stream', 'step 1\n'),
    ]
    assert len(kinds) == 5
    assert re.fullmatch(
        r'✓ cell  2 tasks · \S+ \S+( on \d workers?(, \d slots)?)? · cached \(computed \d{4}-\d\d-\d\d '
        r'\d\d:\d\d\)',
        kinds[4][1],
    )
    assert cell.summary['outputs'] == []
    assert ready.execute('print(live.wait(handle))').text == 'True\n'
    assert len(cell.outputs) == 5


def test_outputs_of_many_tasks_stay_in_the_display_that_folds_them(ready: Kernel) -> None:
    many = UNFOLDED_MAX + 1
    ready.execute(f'futures = [step(x) for x in range({many})]')
    work(queue_path(ready))
    cell = ready.execute('show(futures, cached=True)')
    (output,) = cell.outputs
    assert output['data']['text/html'].count('<details><summary>') == many
    texts = [item['text'] for item in cell.summary['outputs'] if item['output_type'] == 'stream']
    assert texts == [f'step {x}\n' for x in range(many)]


def test_errors_of_tasks_are_no_errors_of_the_cell(ready: Kernel) -> None:
    ready.execute('futures = [bad(1)]')
    work(queue_path(ready))
    cell = ready.execute('show(futures)')
    assert not cell.errors
    assert "raise ValueError(f'no <b>{x}</b>')" in cell.err
    assert cell.summary['condition'] == 'failed'
    # A retry is followed, and only what is new stands in the display.
    Queue(queue_path(ready), create=False).set_task_state(
        ready.execute('print(futures[0].id)').text.strip(), 'SUCCEEDED'
    )
    summary = ready.wait_for_update(cell, lambda summary: summary['condition'] == 'done')
    assert summary['outputs'] == []


def test_wait_is_live_and_ends_with_native_outputs(ready: Kernel, tmp_path: Path) -> None:
    gate = tmp_path / 'gate'
    cell = ready.start(
        f'show([step(x, {str(gate)!r}) for x in range(2)]); print(live.wait(handle))'
    )
    ready.wait_for(lambda: cell.bundles, 'the display')
    with working(ready):
        ready.wait_for_update(cell, lambda summary: summary['counts']['RUNNING'] == 2)
        assert not cell.idle
        gate.touch()
        ready.finish(cell)
    assert [output.get('text', '') for output in cell.outputs] == [
        '',
        '',
        'step 0\n',
        '',
        'step 1\nTrue\n',
    ]
    assert cell.summary['condition'] == 'done'
    assert cell.summary['outputs'] == []


def test_interrupt_ends_only_the_wait(ready: Kernel, tmp_path: Path) -> None:
    # An interrupt before the wait begins would end the cell with an error, as that of any cell.
    code = f"""
    import sys, threading, traceback
    def watch(main):
        while True:
            frames = [(frame.filename, frame.name) for frame in traceback.extract_stack(sys._current_frames()[main])]
            if (live.__file__, 'wait') in frames[:-1] and frames[-1] == (threading.__file__, 'wait'):
                return open({str(tmp_path / 'waits')!r}, 'x').close()
            time.sleep(0.01)
    show([step(1)])
    threading.Thread(target=watch, args=(threading.get_ident(),)).start()
    print(live.wait(handle))
    """
    cell = ready.start(textwrap.dedent(code))
    ready.wait_for((tmp_path / 'waits').exists, 'the wait')
    ready.interrupt()
    ready.finish(cell)
    assert 'the wait was interrupted' in cell.text and cell.text.endswith('False\n')
    work(queue_path(ready))
    ready.wait_for_update(cell, lambda summary: summary['condition'] == 'done')


def test_cell_that_runs_again_lets_go_of_its_older_display(ready: Kernel) -> None:
    first = ready.execute('show([step(1)])', cell='a')
    other = ready.execute("show([step(1)], 'other')", cell='b')
    second = ready.execute('show([step(1), step(2)])', cell='a')
    work(queue_path(ready))
    for cell in (other, second):
        ready.wait_for_update(cell, lambda summary: summary['condition'] == 'done')
    ready.drain()
    assert first.summary['left'] == 1


@pytest.mark.parametrize(('how', 'message'), [('clear', 'was cleared'), ('delete', 'gone')])
def test_last_words(ready: Kernel, how: str, message: str) -> None:
    cell = ready.execute('show([step(x) for x in range(3)])')
    getattr(Queue(queue_path(ready), create=False), how)()
    summary = ready.wait_for_update(cell, lambda summary: summary['gone'])
    assert message in summary['gone']
    assert summary['total'] == 3
    assert message in cell.bundles[0]['text/plain'] and message in cell.bundles[0]['text/html']
    assert ready.execute('print(live.wait(handle))').text == 'False\n'
    # A new queue in its place is followed like any.
    setup(ready, ready.queue)
    again = ready.execute('show([step(8)])')
    work(queue_path(ready))
    ready.wait_for_update(again, lambda summary: summary['condition'] == 'done')
    assert cell.summary == summary


def test_defect_of_one_display_is_its_own(ready: Kernel) -> None:
    broken = ready.execute('show([step(1)])')
    other = ready.execute("handle.update = None\nshow([step(2)], 'other')")
    work(queue_path(ready))
    ready.wait_for_update(other, lambda summary: summary['condition'] == 'done')
    summary = ready.wait_for_update(broken, lambda summary: summary['gone'])
    assert 'no longer updated: TypeError' in summary['gone']


def test_compaction_changes_nothing(ready: Kernel) -> None:
    cell = ready.execute('show([step(x) for x in range(3)] + [step(9, "/nowhere")])')
    queue = Queue(queue_path(ready), create=False)
    with working(ready, slots=1):
        ready.wait_for_update(
            cell,
            lambda summary: (
                summary['counts']['SUCCEEDED'] == 3 and summary['counts']['RUNNING'] == 1
            ),
        )
        queue.compact()
        queue.cancel(name='step')
        summary = ready.wait_for_update(cell, lambda summary: not summary['left'])
    assert (summary['counts']['SUCCEEDED'], summary['counts']['KILLED']) == (3, 1)
    assert sum(output.get('text', '').startswith('step') for output in summary['outputs']) >= 3


def test_worker_that_vanishes_is_noticed(ready: Kernel) -> None:
    cell = ready.execute('show([step(1, "/nowhere")])')
    with working(ready, slots=1) as process:
        ready.wait_for_update(
            cell, lambda summary: summary['condition'] == 'running' and summary['counts']['RUNNING']
        )
        process.kill()
        ready.wait_for_update(cell, lambda summary: summary['condition'] == 'stopped')


def test_manager_that_starts_is_waited_for(ready: Kernel) -> None:
    ready.execute('queue.spawn = True\nqueue.keep_spawned = lambda: None')
    cell = ready.execute('show([step(1)])')
    assert cell.summary['condition'] == 'running'
    assert not cell.summary['advice']
    # It did not come.
    ready.wait_for_update(cell, lambda summary: summary['condition'] == 'stopped')


def test_updates_are_few(ready: Kernel) -> None:
    cell = ready.execute('show([step(x) for x in range(60)])')
    with working(ready):
        ready.wait_for_update(cell, lambda summary: summary['condition'] == 'done')
    times = [data[MIME]['time'] for data, *_ in ready.updates]
    assert 1 <= len(times) <= 3 + (times[-1] - times[0]) / INTERVAL


def test_display_sends_changes_alone(ready: Kernel) -> None:
    cell = ready.execute('show([step(1, "/nowhere")])')
    other = ready.execute('show([step(x) for x in range(2, 5)], "other")')
    queue = Queue(queue_path(ready), create=False)
    with working(ready, slots=1):
        ready.wait_for_update(
            cell, lambda summary: summary['counts']['RUNNING'] and summary['outputs']
        )
        output = len([name for _, name, _ in ready.updates if name == cell.outputs[0]['id']])
        # The journal grows, time passes, and one display changes.
        for n, tid in enumerate(
            ready.execute(
                'for row in handle.cell.rows: print(queue.ledger.state.ids[row].hex())'
            ).text.split()
        ):
            queue.cancel(tid)
            ready.wait_for_update(other, lambda summary, n=n: summary['counts']['KILLED'] == n + 1)
        assert (
            len([name for _, name, _ in ready.updates if name == cell.outputs[0]['id']]) == output
        )
        queue.cancel()
        ready.wait_for_update(cell, lambda summary: summary['counts']['KILLED'])


def test_updates_are_routed_by_display_and_not_by_cell(ready: Kernel) -> None:
    cell = ready.execute('show([step(1)])')
    work(queue_path(ready))
    ready.wait_for_update(cell, lambda summary: summary['condition'] == 'done')
    later = ready.execute('show([step(2)])')
    after = ready.execute('1 + 1')
    work(queue_path(ready))
    ready.wait_for_update(later, lambda summary: summary['condition'] == 'done')
    assert [output['output_type'] for output in after.outputs] == ['execute_result']
    # nbclient takes a message only if it belongs to the cell that it runs now: it does, as the last
    # one that ran.
    assert ready.updates[-1][2] == after.msg_id


def test_show_keeps_order_of_prints_and_displays(ready: Kernel) -> None:
    # A display waits for what was printed before it, and only then: nothing of the first two comes
    # late.
    cell = ready.execute(
        "show([step(1)])\nprint('one')\nshow([step(2)])\nprint('two')\nshow([step(3)])"
    )
    kinds = [
        output['text'] if output['output_type'] == 'stream' else output['data'][MIME]['first']
        for output in cell.outputs
    ]
    firsts = ready.execute('print(*[step(x).tid.hex() for x in (1, 2, 3)])').text.split()
    assert kinds == [firsts[0], 'one\n', firsts[1], 'two\n', firsts[2]]


def test_show_calls_hooks_of_displays(ready: Kernel) -> None:
    code = """
    seen = []
    def hook(message):
        seen.append(message['msg_type'])
        return message
    get_ipython().display_pub.register_hook(hook)
    try:
        show([step(1)])
    finally:
        get_ipython().display_pub.unregister_hook(hook)
    """
    cell = ready.execute(textwrap.dedent(code))
    assert cell.summary['total'] == 1
    assert ready.execute('print(seen)').text == "['display_data']\n"


def test_captured_output_is_left_as_it_was(ready: Kernel) -> None:
    ready.execute('%%capture got\nshow([step(1)])')
    work(queue_path(ready))
    ready.execute('time.sleep(1)')
    assert ready.execute('print(len(got.outputs))').text == '1\n'


def test_fork_of_the_kernel_displays_nothing(ready: Kernel) -> None:
    cell = ready.execute('show([step(1)])')
    code = """
    pid = os.fork()
    if not pid:
        os._exit(len(follow._followers))
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    """
    assert ready.execute(textwrap.dedent(code)).text == '0\n'
    work(queue_path(ready))
    ready.wait_for_update(cell, lambda summary: summary['condition'] == 'done')


def test_queue_is_followed_by_two_notebooks(kernels: Callable[..., Kernel]) -> None:
    cells: list[tuple[Kernel, Cell]] = []
    for _ in range(2):
        kernel = kernels()
        setup(kernel)
        cells.append((kernel, kernel.execute('show([step(x) for x in range(3)])')))
    work(queue_path(cells[0][0]))
    for kernel, cell in cells:
        summary = kernel.wait_for_update(cell, lambda summary: summary['condition'] == 'done')
        assert summary['total'] == 3


def test_noninteractive(kernels: Callable[..., Kernel]) -> None:
    kernel = kernels(DESIPIPE_NONINTERACTIVE='1')
    setup(kernel)
    with working(kernel):
        cell = kernel.execute("show([step(1), step(2)], 'steps')")
    assert [output.get('text', '') for output in cell.outputs] == [
        '',
        'step 1\n',
        '',
        'step 2\n',
        '',
    ]
    assert not kernel.updates
    data = cell.bundles[0]
    assert '<table>' in data['text/html']
    assert f'{APPEARANCES["SUCCEEDED"].symbol} succeeded' in data['text/plain']


def test_kernel_shuts_down_while_it_follows(kernel: Kernel) -> None:
    setup(kernel)
    kernel.execute('show([step(1)])')
    code = """
    import atexit, threading
    def end():
        with open('end.txt', 'w') as file:
            file.write(' '.join(thread.name for thread in threading.enumerate()))
    atexit.unregister(follow._end)
    atexit.register(end)
    atexit.register(follow._end)
    """
    kernel.execute(textwrap.dedent(code))
    kernel.manager.shutdown_kernel(now=False)
    assert not kernel.manager.has_kernel
    names = (kernel.folder / 'end.txt').read_text().split()
    assert names and 'desipipe-live' not in names


def test_executed_by_nbclient(tmp_path: Path) -> None:
    nbformat, nbclient = pytest.importorskip('nbformat'), pytest.importorskip('nbclient')
    code = [
        SETUP,
        'show([step(x) for x in range(2)])',
        'from kernels import work; work(queue.folder)',
        'live.wait(handle)',
        'handle.over.wait()',
    ]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in code])
    env = {
        **os.environ,
        'DESIPIPE_QUEUE_DIR': str(tmp_path / 'queues'),
        'PYTHONPATH': str(Path(__file__).parent),
    }
    nbclient.NotebookClient(
        book, timeout=90, resources={'metadata': {'path': str(tmp_path)}}
    ).execute(env=env)
    nbformat.validate(book)
    (output,) = book.cells[1].outputs
    assert output['data'][MIME]['condition'] == 'done'
    assert [output.get('text') for output in book.cells[3].outputs if 'text' in output] == [
        'step 0\n',
        'step 1\n',
    ]


# Without a kernel


def test_console(tmp_path: Path) -> None:
    (tmp_path / 'setup.py').write_text(SETUP)
    env = {
        **os.environ,
        'DESIPIPE_QUEUE_DIR': str(tmp_path / 'queues'),
        'IPYTHONDIR': str(tmp_path / 'ipython'),
        'TERM': 'dumb',
        'PYTHONUNBUFFERED': '1',
    }
    argv = [
        '-m',
        'IPython',
        '--simple-prompt',
        '--no-banner',
        '--colors=NoColor',
        '-i',
        str(tmp_path / 'setup.py'),
    ]
    with pexpect.spawn(
        sys.executable,
        argv,
        env=env,
        cwd=str(tmp_path),
        encoding='utf-8',
        timeout=60,
        dimensions=(40, 200),
    ) as console:
        console.expect('In .*: ')
        console.sendline("show([step(1), step(2)], 'steps')")
        console.expect(r'steps  ░{20}  0/2')
        console.expect('In .*: ')
        assert 'step 1' not in console.before
        console.sendline('print(live.wait(handle), "waited")')
        (queue_path,) = (tmp_path / 'queues').rglob('mine.queue')
        work(queue_path)
        console.expect('step 1')
        console.expect('step 2')
        console.expect('✓ steps  2 tasks')
        console.expect('True waited')
        console.sendline('exit')
        console.expect(pexpect.EOF)


def test_plain_python(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from desipipe.notebook.displays import cell as live

    queue = Queue('q', base_dir=tmp_path)
    tm = TaskManager(queue)

    @tm.python_app
    def app(x):
        print('app', x)

    future = app(1)
    handle = live.show(queue, [queue.ledger.row(future.tid)], 'one')
    assert capsys.readouterr().out.startswith('one  ░')
    worker = threading.Thread(target=work, args=(queue.folder,))
    worker.start()
    assert live.wait(handle)
    worker.join()
    assert capsys.readouterr().out.startswith('app 1\n✓ one  1 task · ')
    assert live.wait(handle)
    assert capsys.readouterr().out == ''
