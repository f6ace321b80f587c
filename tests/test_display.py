"""A cell that a worker runs looks as if it had run in the notebook: what it prints, displays and
draws, in order, also while it runs.
"""

from __future__ import annotations

import base64
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from polling import wait_for
from workers import WORK, work

import desipipe
from desipipe import Queue, TaskManager, display
from desipipe.outputs import display_forms
from desipipe.outputs.display_forms import DISPLAY_MAX
from desipipe.queue.future import Future
from desipipe.task_manager import TaskApp
from desipipe.view import saved_displays
from desipipe.view.cell import cell_summary

PNG = b'\x89PNG'


def run(queue: Queue, **environ: str) -> None:
    # The kernel's choice of a backend is in the environment that a notebook hands down.
    env = {**os.environ, 'MPLBACKEND': 'module://matplotlib_inline.backend_inline', **environ}
    work(queue, env=env)


def cell(tm: TaskManager, function: Callable[..., Any], *args: Any) -> Future:
    future: Future = TaskApp(function, tm, kind='cell')(*args)
    return future


def seen(future: Future) -> list[Any]:
    """What is seen, in short: text with its stream, of displays their types and text."""
    collected: list[Any] = []
    for output in future.task.outputs:
        if output['output_type'] == 'stream':
            collected.append((output['name'], output['text']))
        elif output['output_type'] == 'error':
            collected.append(('error', output['ename'], output['evalue']))
        else:
            assert set(output) == {'output_type', 'data', 'metadata'}
            collected.append(
                ({*output['data']} - {'text/plain'} or {'text/plain'}, output['data']['text/plain'])
            )
    return collected


def images(future: Future) -> list[bytes]:
    displays = [
        output['data'] for output in future.task.outputs if output['output_type'] == 'display_data'
    ]
    return [base64.b64decode(data['image/png']) for data in displays if 'image/png' in data]


def test_displays_are_those_of_a_run_here(queue: Queue, tm: TaskManager) -> None:
    def work() -> Any:
        import ctypes
        import subprocess
        import sys

        from IPython.display import HTML

        from desipipe.display import display, show

        print('to stdout, ', end='')
        print('to stderr', file=sys.stderr)
        sys.stderr.write('without an end')
        print('to stdout again')
        display(HTML('<b>bold</b>'))
        ctypes.CDLL(None).printf(b'from C\n')
        display({'text/plain': 'raw', 'text/html': '<i>raw</i>'}, raw=True)
        subprocess.run(['sh', '-c', 'echo from a child'], check=True)
        import matplotlib.pyplot as plt

        plt.plot([1, 2])
        plt.show()
        plt.show()
        print('between', file=sys.stderr, flush=True)
        figure, _ = plt.subplots(2)
        figure.show()
        show([1, 'two'])
        return plt.get_fignums()

    future = cell(tm, work)
    run(queue)
    assert future.result(timeout=0) == [1]
    assert seen(future) == [
        ('stdout', 'to stdout, '),
        ('stderr', 'to stderr\nwithout an end'),
        ('stdout', 'to stdout again\n'),
        ({'text/html'}, '<IPython.core.display.HTML object>'),
        ('stdout', 'from C\n'),
        ({'text/html'}, 'raw'),
        ('stdout', 'from a child\n'),
        ({'image/png'}, '<Figure size 640x480 with 1 Axes>'),
        ('stderr', 'between\n'),
        ({'image/png'}, '<Figure size 640x480 with 2 Axes>'),
        ({'text/plain'}, "[1, 'two']"),
        ({'image/png'}, '<Figure size 640x480 with 2 Axes>'),
    ]
    assert all(image.startswith(PNG) for image in images(future))
    assert future.out(timeout=0) == 'to stdout, to stdout again\nfrom C\nfrom a child\n'
    assert future.err(timeout=0) == 'to stderr\nwithout an endbetween\n'
    logs = subprocess.run(
        [sys.executable, '-m', 'desipipe', 'logs', '-q', queue.folder, future.id],
        check=True,
        capture_output=True,
        timeout=60,
    )
    assert b'\x1b' not in logs.stdout and b'from a child' in logs.stdout


def test_figures_are_those_of_a_notebook(queue: Queue, tm: TaskManager) -> None:
    def work() -> None:
        import matplotlib.pyplot as plt

        plt.plot([1, 2], label='a')
        plt.legend()

    future = cell(tm, work)
    run(queue)
    source = (
        'from IPython.core.pylabtools import print_figure; import matplotlib.pyplot as plt, sys; '
        'line, = plt.plot([1, 2], label="a"); plt.legend()\n'
    )
    source += 'sys.stdout.buffer.write(print_figure(line.figure, bbox_inches="tight"))'
    env = {**os.environ, 'MPLBACKEND': 'agg'}
    assert images(future) == [
        subprocess.run(
            [sys.executable, '-c', source], check=True, capture_output=True, env=env
        ).stdout
    ]


def test_cell_that_fails(queue: Queue, tm: TaskManager) -> None:
    def work() -> None:
        import matplotlib.pyplot as plt

        plt.plot([1, 2])
        print('so far')
        raise ValueError('size: must be positive')

    def bare() -> None:
        raise KeyError

    def gone() -> None:
        import os

        from desipipe.display import display

        display('so far')
        os._exit(3)

    failed, empty, killed = cell(tm, work), cell(tm, bare), cell(tm, gone)
    run(queue)
    assert seen(failed) == [
        ('stdout', 'so far\n'),
        ({'image/png'}, '<Figure size 640x480 with 1 Axes>'),
        ('error', 'ValueError', 'size: must be positive'),
    ]
    trace = failed.task.outputs[-1]['traceback']
    assert (
        trace[0] == 'Traceback (most recent call last):'
        and trace[-1] == 'ValueError: size: must be positive'
    )
    assert not any(str(Path(desipipe.__file__).parent / '') + os.sep in line for line in trace)
    assert seen(empty) == [('error', 'KeyError', '')]
    (_, shown), (kind, name, message) = seen(killed)
    assert (shown, kind, name) == ("'so far'", 'error', 'KILLED') and 'exit status 3' in message


def test_display_imports_what_it_needs(queue: Queue, tm: TaskManager) -> None:
    def work() -> list[str]:
        import sys

        from desipipe.display import show

        print('text', file=sys.stderr)
        show(3)
        show('three')
        show(None)
        return [name for name in ('IPython', 'matplotlib', 'numpy') if name in sys.modules]

    future = cell(tm, work)
    run(queue)
    assert future.result(timeout=0) == []
    assert seen(future) == [
        ('stderr', 'text\n'),
        ({'text/plain'}, '3'),
        ({'text/plain'}, "'three'"),
    ]


def test_cell_leaves_nothing_behind(queue: Queue, tm: TaskManager) -> None:
    """A slot runs one task after the other; only the first of these is a cell."""

    def work() -> None:
        import sys

        import matplotlib
        import matplotlib.pyplot as plt
        from IPython.display import display

        matplotlib.rcParams['lines.linewidth'] = 9
        plt.figure()
        sys.modules['kept'] = display, sys.stderr.write  # type: ignore[assignment]
        print('text', file=sys.stderr)

    def after() -> Any:
        import os
        import sys

        import matplotlib
        import matplotlib.pyplot as plt
        from IPython.display import HTML, clear_output

        display, write = sys.modules['kept']  # type: ignore[misc]
        display(HTML('<b>bold</b>'))
        write('to stderr\n')
        clear_output()
        plt.figure()
        plt.show()
        return (
            os.environ['MPLBACKEND'],
            matplotlib.rcParams['lines.linewidth'],
            [vars(stream).get('write') for stream in (sys.stdout, sys.stderr)],
        )

    first = cell(tm, work)
    second = tm.python_app(after)()
    third = cell(tm, lambda: __import__('matplotlib.pyplot').pyplot.get_fignums())
    run(queue)
    assert first.exception(timeout=0) is None
    assert second.result(timeout=0) == (
        'module://matplotlib_inline.backend_inline',
        1.5,
        [None, None],
    )
    assert second.out() == '<IPython.core.display.HTML object>\n\x1b[2K\r\x1b[2K\r'
    assert second.err() == 'to stderr\n'
    assert third.result(timeout=0) == []


def test_ipython_that_came_before_the_cell(queue: Queue, tm: TaskManager) -> None:
    def before() -> None:
        import sys

        import matplotlib.pyplot as plt
        from IPython.display import display

        plt.figure()
        sys.modules['kept'] = display  # type: ignore[assignment]

    def work() -> None:
        import sys

        import matplotlib.pyplot as plt
        from IPython.display import Markdown

        plt.plot([1])
        sys.modules['kept'](Markdown('*text*'))  # type: ignore[operator]

    tm.python_app(before)()
    future = cell(tm, work)
    run(queue)
    assert seen(future) == [
        ({'text/markdown'}, '<IPython.core.display.Markdown object>'),
        ({'image/png'}, '<Figure size 640x480 with 1 Axes>'),
    ]


def test_updates_and_clears(queue: Queue, tm: TaskManager) -> None:
    def work() -> str:
        from IPython.display import (
            HTML,
            DisplayHandle,
            clear_output,
            publish_display_data,
            update_display,
        )
        from IPython.display import display as theirs

        from desipipe.display import display

        print('gone')
        display('gone', display_id='gone')
        clear_output(wait=True)
        handle = display('first', display_id=True)
        other = theirs('second', display_id='other')
        display(display_id='place')
        print('printed')
        handle.update('FIRST')
        other.update(HTML('SECOND'))
        update_display('PLACE', display_id='place')
        update_display('nowhere', display_id='gone')
        publish_display_data({'text/plain': 'published'}, transient={'display_id': 'public'})
        DisplayHandle('public').update({'text/plain': 'PUBLISHED'}, raw=True)
        display('with metadata', metadata={'text/plain': {'isolated': True}}, exclude=['text/html'])
        return repr(handle)[:26]

    future = cell(tm, work)
    run(queue)
    assert future.result(timeout=0) == '<DisplayHandle display_id='
    outputs = future.task.outputs
    assert [output.get('text') or output['data']['text/plain'] for output in outputs] == [
        "'FIRST'",
        '<IPython.core.display.HTML object>',
        "'PLACE'",
        'printed\n',
        'PUBLISHED',
        "'with metadata'",
    ]
    assert outputs[-1]['metadata'] == {'text/plain': {'isolated': True}}


def test_large_displays_are_kept_and_shown_small(
    queue: Queue, tm: TaskManager, tmp_path: Path
) -> None:
    def work() -> None:
        import matplotlib.pyplot as plt
        import numpy as np

        from desipipe.display import display, show

        display(
            {'text/plain': 'a table', 'text/html': 'x' * 300_000},
            raw=True,
            metadata={'text/html': {'isolated': True}},
        )
        display(
            {'text/plain': 'a picture', 'image/png': b'x' * 300_000, 'image/jpeg': b'small'},
            raw=True,
        )
        show('y' * 300_000)
        plt.imshow(np.random.default_rng(1).normal(size=(500, 700)), cmap='viridis')

    def killed() -> None:
        import os

        from desipipe.display import display

        display({'text/plain': 'a table', 'text/html': 'x' * 300_000}, raw=True)
        os._exit(3)

    future, ended = cell(tm, work), cell(tm, killed)
    run(queue)
    table, picture, text, noise = (output['data'] for output in future.task.outputs)
    assert table == {
        'text/plain': (
            'a table\n[desipipe: text/html of 300.0 kB too large to be shown here, kept in the '
            'queue]'
        )
    }
    assert picture == {'text/plain': 'a picture', 'image/jpeg': base64.b64encode(b'small').decode()}
    assert (
        text['text/plain'].startswith("'yyy")
        and len(text['text/plain']) < 20_000
        and 'kept in the queue' in text['text/plain']
    )
    assert set(noise) == {'text/plain', 'image/jpeg'} and len(noise['image/jpeg']) < DISPLAY_MAX
    # What advice says does open them, also after compaction.
    for folder in (tmp_path / 'before', tmp_path / 'after'):
        saved = saved_by_command(queue, future, folder)
        assert [path.rpartition('-')[2] for path in saved] == [
            '01.html',
            '02.png',
            '02.jpg',
            '03.txt',
            '04.png',
        ]
        assert [len(data) for data in saved.values()][:4] == [300_000, 300_000, 5, 300_002]
        assert (
            list(saved.values())[4].startswith(PNG) and len(list(saved.values())[4]) > DISPLAY_MAX
        )
        assert list(saved_by_command(queue, ended, folder).values()) == [b'x' * 300_000]
        subprocess.run(
            [sys.executable, '-m', 'desipipe', 'compact', '-q', queue.folder],
            check=True,
            timeout=60,
        )


def saved_by_command(queue: Queue, future: Future, folder: Path) -> dict[str, bytes]:
    command = [
        sys.executable,
        '-m',
        'desipipe',
        'logs',
        '-q',
        queue.folder,
        future.id,
        '--save',
        str(folder),
    ]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    return {path: Path(path).read_bytes() for path in done.stdout.splitlines()}


def test_displays_saved_are_bounded(
    queue: Queue, tm: TaskManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work() -> None:
        from desipipe.display import display

        for k in range(5):
            display({'text/html': str(k)}, raw=True)

    future = cell(tm, work)
    run(queue)
    queue.ledger.follow()
    monkeypatch.setattr(saved_displays, 'DISPLAYS_MAX', 3)
    saved = saved_displays.save_displays(queue.ledger, queue.ledger.row(future.tid), str(tmp_path))
    assert [Path(path).read_text() for path in saved.paths] == ['0', '1', '2']
    assert saved.left_out == 2


def test_figures_beyond_the_size_of_a_cell_are_shown_small(queue: Queue, tm: TaskManager) -> None:
    def work(k: int) -> None:
        import matplotlib.pyplot as plt
        import numpy as np

        plt.figure(figsize=(3, 3))
        plt.imshow(np.random.default_rng(k).normal(size=(100, 100)))

    futures = [cell(tm, work, k) for k in range(4)]
    run(queue)
    rows = [queue.ledger.row(future.tid) for future in futures]
    summary = cell_summary(queue, rows, limit=60_000)
    shown = [
        output['data']
        for output in summary['outputs']
        if 'label' not in output['metadata'].get('desipipe', {})
    ]
    assert len(shown) == 4 and all({'image/png', 'image/jpeg'} & set(data) for data in shown)
    assert 'image/jpeg' in shown[-1]
    assert re.search(
        r'displays of (\d tasks|\S+) are shown small; to open .*: %desipipe logs -q \S+ '
        r'[0-9a-f]{12} --save displays',
        summary['truncated'],
    )


def test_children_and_threads_of_a_cell(queue: Queue, tm: TaskManager) -> None:
    def work() -> None:
        import os
        import sys
        import threading

        from desipipe.display import display

        def say(number: int) -> None:
            for i in range(200):
                print(f'out {number} {i}\n', end='', file=sys.stdout)
                print(f'err {number} {i}\n', end='', file=sys.stderr)
            display(number)

        threads = [threading.Thread(target=say, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for _ in range(3):
            if (pid := os.fork()) == 0:
                print('a child', file=sys.stderr)
                print('a child')
                os._exit(0)
            os.waitpid(pid, 0)

    future = cell(tm, work)
    run(queue)
    printed = sorted(f'{number} {i}' for number in range(3) for i in range(200))
    assert (
        sorted(line[4:] for line in future.out(timeout=0).splitlines() if line[:4] == 'out ')
        == printed
    )
    assert (
        sorted(line[4:] for line in future.err(timeout=0).splitlines() if line[:4] == 'err ')
        == printed
    )
    assert future.out().count('a child\n') == future.err().count('a child\n') == 3
    assert sorted(
        output['data']['text/plain'] for output in future.task.outputs if 'data' in output
    ) == ['0', '1', '2']


def test_figure_that_cannot_be_drawn_costs_the_figure(queue: Queue, tm: TaskManager) -> None:
    def work() -> int:
        import matplotlib.pyplot as plt

        plt.title(r'$\nosuchsymbol$')
        return 3

    future = cell(tm, work)
    run(queue)
    assert future.result(timeout=0) == 3
    (stream, output), figure = seen(future)
    assert stream == 'stderr' and 'nosuchsymbol' in output
    assert figure == ({'text/plain'}, '<Figure size 640x480 with 1 Axes>')


def test_while_it_runs(queue: Queue, tm: TaskManager, tmp_path: Path) -> None:
    def work(go: str) -> None:
        import sys
        import time

        from desipipe.display import display

        print('begun')
        print('well', file=sys.stderr)
        display({'text/html': '<b>bold</b>', 'text/plain': 'bold'}, raw=True)
        while not __import__('os').path.exists(go):
            time.sleep(0.01)
        print('ended')

    go = tmp_path / 'go'
    future = cell(tm, work, str(go))
    begun = [('stdout', 'begun\n'), ('stderr', 'well\n'), ({'text/html'}, 'bold')]
    process = subprocess.Popen([*WORK, queue.folder])
    logs = None
    try:
        wait_for(lambda: seen(future) == begun, 'its output')
        assert future.state == 'RUNNING'
        logs = subprocess.Popen(
            [sys.executable, '-m', 'desipipe', 'logs', '-q', queue.folder, '-f', future.id],
            stdout=subprocess.PIPE,
        )
        assert logs.stdout is not None
        assert {logs.stdout.readline() for _ in range(2)} == {b'begun\n', b'well\n'}
        go.touch()
        assert logs.stdout.read() == b'ended\n'
        assert process.wait(60) == 0
    finally:
        for started in (process, logs):
            if started is not None:
                started.kill()
                started.wait()
    assert seen(future) == [*begun, ('stdout', 'ended\n')]


def test_too_much_to_follow(queue: Queue, tm: TaskManager, tmp_path: Path) -> None:
    """What a running task wrote is seen from the middle of a mark on; it says so, and shows no
    piece of it.
    """

    def work(go: str) -> None:
        import os
        import time

        from desipipe.display import display

        for i in range(1000):
            display({'text/plain': f'{i:d} ' + '{x' * 500}, raw=True)
        while not os.path.exists(go):
            time.sleep(0.01)

    go = tmp_path / 'go'
    config = Path(os.environ['DESIPIPE_CONFIG_DIR'])
    (config / 'config.yaml').write_text('output_limit: 20000\n')
    future = cell(tm, work, str(go))
    process = subprocess.Popen([*WORK, queue.folder])
    try:
        wait_for(
            lambda: bool(shown_forms := seen(future)) and shown_forms[-1][1].startswith('999 '),
            'its output',
        )
        shown_forms = seen(future)
        assert (
            shown_forms[0][0] == 'stdout'
            and 'bytes cut here' in shown_forms[0][1]
            and 'x' not in shown_forms[0][1]
        )
        assert all(item[0] == {'text/plain'} for item in shown_forms[1:])
        go.touch()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
    shown_forms = seen(future)
    assert shown_forms[0][1].startswith('0 ') and shown_forms[-1][1].startswith('999 ')
    assert [item[0] for item in shown_forms if item[0] != {'text/plain'}] == ['stdout']


# Outside of a worker


def test_outside_of_a_slot_it_is_ipythons(capsys: pytest.CaptureFixture[str]) -> None:
    source = """
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from desipipe.display import display, show
from IPython.display import HTML
shell = InteractiveShell.instance()
with capture_output() as captured:
    handle = display(HTML('<b>bold</b>'), display_id='me')
    handle.update(HTML('<b>bolder</b>'))
    show(HTML('<i>last</i>'))
    show(None)
assert [output.data['text/html'] for output in captured.outputs] == ['<b>bold</b>', '<b>bolder</b>', '<i>last</i>'], captured.outputs
assert captured.outputs[1].update and captured.outputs[1].transient == {'display_id': 'me'}
"""
    subprocess.run([sys.executable, '-c', source], check=True, timeout=60)
    display.display('a', 3, metadata={})
    display.show('a')
    display.show(None)
    handle = display.display('b', display_id='me')
    handle.update('c')
    assert capsys.readouterr().out == "a 3\n'a'\nb\nc\n"


class Rich:
    """Something that says much of itself."""

    def __repr__(self) -> str:
        return 'rich'

    def _repr_html_(self) -> str:
        return '<b>rich</b>'

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        return b'png', {'width': 3}

    def _repr_latex_(self) -> None:
        return None

    def _repr_svg_(self) -> str:
        raise ValueError('no picture')

    def _repr_mimebundle_(
        self, include: Any = None, exclude: Any = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        return {'application/x-own': {'a': 1}}, {'application/x-own': {'b': 2}}


class Itself:
    """Something that displays itself."""

    def _ipython_display_(self) -> None:
        print('itself')


@pytest.mark.parametrize(
    'options',
    [{}, {'include': ['text/html', 'application/x-own']}, {'exclude': ['text/html', 'image/png']}],
)
def test_displays_are_the_same_without_ipython(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {'include': None, 'exclude': None, **options}
    for thing in (Rich(), Rich, [1], Itself()):
        monkeypatch.setattr(display_forms, '_formatter', None)
        with_ipython = display_forms.formatted(thing, **options)
        output = capsys.readouterr()
        with monkeypatch.context() as patch:
            patch.setattr(display_forms, '_formatter', None)
            patch.setitem(sys.modules, 'IPython.core.formatters', None)
            without = display_forms.formatted(thing, **options)
        if isinstance(thing, type):  # IPython writes the names of classes in its own way
            assert (set(without[0]), without[1]) == (set(with_ipython[0]), with_ipython[1])
            continue
        data = {
            mime: base64.b64decode(value)
            if mime == 'image/png' and isinstance(value, str)
            else value
            for mime, value in with_ipython[0].items()
        }
        assert without == (data, with_ipython[1])
        again = capsys.readouterr()
        assert ('no picture' in output.err, output.out) == ('no picture' in again.err, again.out)


def test_display_is_a_builtin_of_cells(queue: Queue, tm: TaskManager) -> None:
    namespace: dict[str, Any] = {'__name__': '__main__'}
    exec(  # noqa: S102
        'def helper(x): display(x)\ndef main():\n  display(1)\n  [display(i) for i in (2,)]\n  '
        'helper(3)',
        namespace,
    )
    exec('def after():\n  import builtins\n  return hasattr(builtins, "display")', namespace)  # noqa: S102
    shown = cell(tm, namespace['main'])
    left = tm.python_app(namespace['after'])()
    run(queue)
    assert seen(shown) == [({'text/plain'}, str(i)) for i in (1, 2, 3)]
    assert left.result(timeout=0) is False


def test_threads_that_a_cell_leaves_are_waited_for(queue: Queue, tm: TaskManager) -> None:
    def threads(how: str) -> Any:
        import threading
        from concurrent.futures import ThreadPoolExecutor

        import IPython  # a module that can keep something

        ended = threading.Event()

        def late() -> None:
            ended.wait()
            print('late')

        def end() -> None:
            # Once the cell itself is over: only a thread can tell.
            while any(
                frame.f_code.co_name == 'threads' for frame in sys._current_frames().values()
            ):
                pass
            ended.set()

        import sys

        if how == 'pool':
            IPython.kept = ThreadPoolExecutor(1)  # type: ignore[attr-defined]
            IPython.kept.submit(print, 'pooled').result()  # type: ignore[attr-defined]
            return None
        if how == 'processes':
            import warnings
            from concurrent.futures import ProcessPoolExecutor

            # Python 3.12 warns of forks beside threads, where filters of pytest's are in force.
            warnings.simplefilter('ignore', DeprecationWarning)
            IPython.more = ProcessPoolExecutor(1)  # type: ignore[attr-defined]
            print(IPython.more.submit(pow, 2, 3).result())  # type: ignore[attr-defined]
            return None
        if how == 'own pool':
            pool = ThreadPoolExecutor(2)
            pool.submit(late)
            pool.submit(end)
            return None
        threading.Thread(target=late).start()
        threading.Thread(target=end).start()
        threading.Thread(
            target=threading.Event().wait, daemon=True
        ).start()  # nobody waits for this one
        if how == 'error':
            raise ValueError(how)
        return None

    futures = {
        how: cell(tm, threads, how) for how in ('fine', 'error', 'own pool', 'pool', 'processes')
    }
    run(queue)
    assert seen(futures['fine']) == [('stdout', 'late\n')]
    assert seen(futures['error'])[0] == ('stdout', 'late\n')
    assert seen(futures['own pool']) == [('stdout', 'late\n')]
    assert seen(futures['pool']) == [('stdout', 'pooled\n')]
    assert seen(futures['processes']) == [('stdout', '8\n')]


# Libraries that show things by functions of their own


def test_figures_of_plotly(queue: Queue, tm: TaskManager) -> None:
    pytest.importorskip('plotly')

    def work() -> str:
        import plotly.graph_objects as go
        import plotly.io as pio

        from desipipe.display import show

        figure = go.Figure(go.Scatter(y=[1, 2, 3]))
        figure.show()
        show(figure)
        pio.renderers.default = 'json'
        figure.show()
        return str(pio.renderers.default)

    first, second = cell(tm, work), cell(tm, lambda: work())
    run(queue)
    assert first.result(timeout=0) == second.result(timeout=0) == 'json'
    for future in (first, second):
        shown = [output['data'] for output in future.task.outputs]
        assert [set(data) for data in shown] == [{'application/vnd.plotly.v1+json'}] * 2 + [
            {'application/json'}
        ]
        assert shown[0]['application/vnd.plotly.v1+json']['data'][0]['y'] == [1, 2, 3]


def test_figures_of_bokeh(queue: Queue, tm: TaskManager) -> None:
    pytest.importorskip('bokeh')

    def work() -> None:
        from bokeh.plotting import figure, show

        for _ in range(2):
            plot = figure()
            plot.line([1, 2], [3, 4])
            show(plot)

    futures = [cell(tm, work), cell(tm, lambda: work())]
    run(queue)
    for future in futures:
        kinds = [
            next(kind for kind in output['data'] if 'bokeh' in kind or 'html' in kind)
            for output in future.task.outputs
        ]
        loaded, *shown = [kind.removeprefix('application/vnd.') for kind in kinds]
        assert loaded == 'bokehjs_load.v0+json'
        assert shown == ['text/html', 'bokehjs_exec.v0+json'] * 2


def test_bars_of_tqdm(queue: Queue, tm: TaskManager) -> None:
    pytest.importorskip('tqdm')

    def work() -> None:
        from tqdm import tqdm as plain
        from tqdm.notebook import tqdm

        for _ in tqdm(range(20), desc='kept'):
            pass
        for _ in tqdm(range(20), leave=False):
            pass
        for _ in plain(range(20), mininterval=0):
            pass

    future = cell(tm, work)
    run(queue)
    assert future.task.state == 'SUCCEEDED', future.task.err
    bar, printed = future.task.outputs
    assert (
        bar['data']['text/plain'].startswith('kept: 100%|')
        and ' 20/20 [' in bar['data']['text/plain']
    )
    assert '<progress value="1.0000"' in bar['data']['text/html']
    assert printed['name'] == 'stderr'
    assert len(printed['text'].splitlines()) == 1 and ' 20/20 [' in printed['text']


def test_widgets_are_shown_as_they_become(queue: Queue, tm: TaskManager) -> None:
    def work() -> None:
        import ipywidgets as widgets
        from IPython.display import display

        slider, page = widgets.IntSlider(value=3), widgets.HTML('<b>old</b>')
        closed = widgets.Text('closed')
        for widget in (slider, widgets.VBox([page]), closed):
            display(widget)
        slider.value = 7
        page.value = '<i>new</i>'
        closed.close()

    future = cell(tm, work)
    run(queue)
    assert future.task.state == 'SUCCEEDED', future.task.err
    slider, box = future.task.outputs
    assert slider['data'] == {'text/plain': 'IntSlider(value=7)'}
    assert '<i>new</i>' in box['data']['text/html'] and 'old' not in str(box['data'])


def test_library_that_is_made_otherwise_costs_no_task(
    queue: Queue, tm: TaskManager, tmp_path: Path
) -> None:
    package = tmp_path / 'plotly' / 'io'
    package.mkdir(parents=True)
    for path in (
        package.parent / '__init__.py',
        package / '__init__.py',
        package / '_renderers.py',
    ):
        path.write_text('value = 1\n')

    def work() -> int:
        from plotly.io._renderers import value

        return int(value)

    future = cell(tm, work)
    run(queue, PYTHONPATH=str(tmp_path))
    assert future.result(timeout=0) == 1
    assert 'may not appear' in str(future.err(timeout=0))


def test_late_output_is_no_other_task_s(queue: Queue, tm: TaskManager, tmp_path: Path) -> None:
    go, done, daemon = tmp_path / 'go', tmp_path / 'done', tmp_path / 'daemon'
    wait = f'while [ ! -e {go} ]; do sleep 0.05; done; echo LATE; echo LATE >&2; echo > '

    def leave() -> None:
        import subprocess

        subprocess.Popen(['sh', '-c', f'{wait} {done}'])
        subprocess.run(
            f'({wait} {daemon}) & echo in time', shell=True, check=True
        )  # the shell ends, and this process has no child of that kind

    def other() -> None:
        import os
        import time

        print('begins')
        with open(go, 'w'):
            pass
        while not (os.path.exists(done) and os.path.exists(daemon)):
            time.sleep(0.05)
        print('ends')

    first, second, third = cell(tm, leave), cell(tm, other), cell(tm, lambda: print('third'))
    run(queue)
    assert [future.task.state for future in (first, second, third)] == ['SUCCEEDED'] * 3
    assert seen(first) == [('stdout', 'in time\n')]
    assert seen(second) == [('stdout', 'begins\nends\n')]
    assert seen(third) == [('stdout', 'third\n')]
