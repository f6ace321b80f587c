"""Notebooks and scripts without a screen: papermill's conventions, what fails, going on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest
from pipelines import COMMAND, NOTEBOOK, TIMEOUT, Cli, notebook

from desipipe import Queue
from desipipe.cells.recorded import cell_node
from desipipe.execution.child.code import TaskGroup
from desipipe.execution.protocol import GroupSettings
from desipipe.queue.events import Group
from desipipe.record import execution as run_module
from desipipe.record.notebook_files import read_notebook
from desipipe.record.sources import MIME
from desipipe.serialize.syntax_trees import tree

pytestmark = pytest.mark.kernel


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


def write(cli: Cli, cells: list[tuple[str, list[str]]], name: str = 'a.ipynb') -> None:
    (cli.folder / name).write_text(json.dumps(notebook(cells)))


def text_of(cell: dict[str, Any]) -> str:
    return ''.join(''.join(output.get('text', '')) for output in cell['outputs'])


def test_executed(executed: Cli) -> None:
    opened = read_notebook(str(executed.folder / 'out.ipynb'))
    cells = opened['cells']
    assert [cell['metadata'].get('tags') for cell in cells[1:4]] == [
        ['parameters'],
        ['injected-parameters'],
        [],
    ]
    assert cells[2]['source'] == '# Parameters\nsize = 500'
    about = opened['metadata']['papermill']
    assert about['parameters'] == {'size': 500}
    assert about['input_path'] == 'a.ipynb'
    assert about['exception'] is None
    assert about['duration'] > 0
    for cell in cells:
        assert cell['metadata']['papermill']['status'] == 'completed'
    # What the cells show is what has become of their tasks, although they had ended when most of it
    # was not done.
    shown = [
        output['data']
        for cell in cells
        for output in cell.get('outputs', ())
        if MIME in output.get('data', {})
    ]
    assert [data[MIME]['counts']['SUCCEEDED'] for data in shown] == [4, 1, 1]
    assert '✓' in shown[0]['text/plain']
    assert 'pi is ~' in shown[1]['text/plain']
    # The magic's queue is known without a display, too.
    assert opened['metadata']['desipipe_run']['queues'] == [str(executed.folder / 'nb.queue')]


def test_recorded_by_command_and_by_nbconvert(executed: Cli) -> None:
    executed('record', 'out.ipynb', '--crate', 'crate.zip')
    report = executed.verify('out.record.ipynb', '-q', './nb', '--root', '.')
    assert report['ok'], report
    assert '2 cells: the text is the code' in next(
        check['words'] for check in report['checks'] if check['check'] == 'cells'
    )
    text = (executed.folder / 'out.record.ipynb').read_text()
    assert str(executed.folder) not in text
    if os.path.exists('/proc/self/clear_refs'):
        assert '| time | memory | host, job |' in text
    from nbconvert import HTMLExporter
    from nbconvert.nbconvertapp import NbConvertApp

    # The command `jupyter nbconvert` in this process, which has all of it loaded.
    converter = NbConvertApp()
    with contextlib.chdir(executed.folder):
        converter.initialize(['--to', 'desipipe_record', 'out.ipynb', '--output-dir', 'conv'])
        converter.start()
    assert (executed.folder / 'conv' / 'out.record.ipynb').read_text() == text
    page, _ = HTMLExporter().from_filename(str(executed.folder / 'out.record.ipynb'))
    assert page.count('<details>') >= 3
    assert len(re.findall(r'<img [^>]*src="data:image/svg\+xml;base64,PHN2', page)) == 2
    assert '&lt;details&gt;' not in page
    assert '<table>' in page


def test_run_writes_valid_notebook(executed: Cli) -> None:
    import nbformat

    executed('record', 'out.ipynb')
    nbformat.validate(nbformat.read(executed.folder / 'out.record.ipynb', 4))
    nbformat.validate(nbformat.read(executed.folder / 'out.ipynb', 4))
    # A record of a record is one of the same notebook.
    opened = read_notebook(str(executed.folder / 'out.record.ipynb'))
    assert (
        sum('desipipe-record' in cell['metadata'].get('tags', []) for cell in opened['cells']) == 3
    )


def test_read_notebook_gives_each_cell_its_own_id(tmp_path: Path) -> None:
    document = notebook([('1', [])] * 6)
    ids = ['a', 'a', 'a-2', 'a', 'b' * 64, 'b' * 64]
    for cell, name in zip(document['cells'], ids, strict=True):
        cell['id'] = name
    (tmp_path / 'a.ipynb').write_text(json.dumps(document))
    read = [cell['id'] for cell in read_notebook(str(tmp_path / 'a.ipynb'))['cells']]
    assert read == ['a', 'a-3', 'a-2', 'a-4', 'b' * 64, f'{"b" * 58}-2']
    with warnings.catch_warnings():
        warnings.simplefilter('error')  # nbformat warns where it gives ids
        Cli(tmp_path)('run', 'a.ipynb', '--no-wait')


MORE = """
from desipipe import Queue, TaskManager

tm = TaskManager(Queue('nb', base_dir='.'))

@tm.python_app
def extra(x):
    return x

@tm.python_app
def elsewhere(x):
    return x

extra(1), elsewhere(extra(2)), elsewhere(3)
"""


def test_tasks_of_functions_that_cells_define(executed: Cli) -> None:
    # They belong to the notebook, whether it shows them or not; what else is in the queue does not,
    # and that is said.
    (executed.folder / 'more.py').write_text(MORE)
    subprocess.run([sys.executable, 'more.py'], cwd=executed.folder, check=True, timeout=TIMEOUT)
    path = executed.folder / 'out.ipynb'
    document = json.loads(path.read_text())
    text = '@tm.python_app\ndef extra(x):\n    return x  # the same'
    document['cells'].append(
        {
            'id': 'more',
            'cell_type': 'code',
            'source': text,
            'metadata': {},
            'outputs': [],
            'execution_count': None,
        }
    )
    path.write_text(json.dumps(document))
    done = executed('record', 'out.ipynb')
    assert '7 tasks recorded' in done.stdout
    assert 'nb: 2 tasks more' in done.stderr
    checks = executed.verify('out.record.ipynb')
    assert checks['ok']
    assert '3 cells: the text is the code' in str(checks)
    assert '9 tasks recorded' in executed('record', 'out.ipynb', '--all').stdout


def test_cell_that_was_changed(executed: Cli) -> None:
    path = executed.folder / 'out.ipynb'
    path.write_text(path.read_text().replace('x**2 + y**2 < 1', 'x**2 + y**2 < 2'))
    done = executed('record', 'out.ipynb')
    assert 'this cell was changed after its tasks (fraction) ran' in done.stderr
    report = executed.verify('out.record.ipynb', status=1)
    assert [check['details'] for check in report['checks'] if check['status'] == 'differs'] == [
        [
            (
                'cell 5 (fraction) was changed after its tasks ran: its text is not the code that '
                'fraction ran'
            )
        ]
    ]
    # A comment is no change.
    path.write_text(
        path.read_text()
        .replace('x**2 + y**2 < 2', 'x**2 + y**2 < 1')
        .replace('rng = ', '# a comment\\nrng = ')
    )
    executed('record', 'out.ipynb')
    assert executed.verify('out.record.ipynb')['ok']


def test_last_line_of_a_cell_for_the_shell() -> None:
    # Notebooks do not store the end of the last line, which IPython gives to the magic.
    text = '%%desipipe --bash sh\necho {name}'
    trees = [
        tree(cell_node(cell, ['name']), decorators=False, defaults=False)
        for cell in (text, text + '\n', text + ' more')
    ]
    assert trees[0] == trees[1] != trees[2]


def test_tasks_of_another_notebook(executed: Cli) -> None:
    path = executed.folder / 'out.ipynb'
    document = json.loads(path.read_text())
    shown = next(
        cell
        for cell in document['cells']
        if cell['source'][0].startswith('%%desipipe fraction')
        or ''.join(cell['source']).startswith('%%desipipe fraction')
    )
    shown['source'] = 'print("something else")'
    path.write_text(json.dumps(document))
    executed('record', 'out.ipynb')
    shown_text = executed.verify('out.record.ipynb', status=1)
    details = [check['details'] for check in shown_text['checks'] if check['status'] == 'differs']
    assert details == [
        [
            (
                'cell 5 (fraction) shows tasks of another cell or notebook: nothing in it is the '
                'code of fraction'
            )
        ]
    ]


def test_queue_that_was_cleared(executed: Cli) -> None:
    Queue(str(executed.folder / 'nb'), create=False).clear(
        kill=False
    )  # those who served it know of this copy nothing
    executed('record', 'out.ipynb')
    shown_text = executed.verify('out.record.ipynb', status=1)
    assert 'no longer in the queue' in str(shown_text)


def test_run_imports_nothing_slow_for_notebooks() -> None:
    # Two seconds of each command; and nothing is left behind that others would stumble over.
    code = (
        'import sys; from desipipe.record.notebook_format import import_nbformat; found = import_nbformat(); assert '
        '"jsonschema" in sys.modules\n'
        'assert not [name for name in sys.modules if name.startswith("rfc3987")], '
        '"slow"\nfound.validate(found.v4.new_notebook())'
    )
    subprocess.run([sys.executable, '-c', code], check=True, timeout=TIMEOUT)


@pytest.mark.parametrize(
    ('cwd', 'path', 'expected'),
    [
        ('/study', ('/shared/modules', '/study'), '/study'),  # a notebook with PYTHONPATH
        (
            '/study',
            ('/study/scripts', '/shared/modules'),
            '/study/scripts',
        ),  # python scripts/pipe.py
        ('/study', (), '/study'),
    ],
)
def test_task_group_folder_is_that_of_code(cwd: str, path: tuple[str, ...], expected: str) -> None:
    group = Group('a', 'm', 'f', 'python', cwd=cwd, path=path)
    group_settings = TaskGroup(
        GroupSettings(0, group, ('s', 0, 0), None, [], ('s', 0, 0), {}, True)
    )
    assert group_settings.folder == expected


def test_unknown_parameters(cli: Cli) -> None:
    write(cli, NOTEBOOK)
    done = cli('run', 'a.ipynb', '-p', 'siz=1', status=2)
    assert "Nothing was run. The notebook has no parameter 'siz': did you mean size?" in done.stderr
    assert not (cli.folder / 'a.out.ipynb').exists()
    for arguments in (['-p', 'size'], ['-p', '1=2'], ['-f', 'missing.yaml']):
        assert 'nothing was' in cli.here(['run', 'a.ipynb', *arguments]).stderr.lower()


def test_parameters_of_all_kinds(cli: Cli) -> None:
    write(cli, [('a = b = c = d = e = f = 0', ['parameters']), ('print([a, b, c, d, e, f])', [])])
    (cli.folder / 'p.yaml').write_text('e: {x: [1, null]}\na: 5\n')
    cli(
        'run',
        'a.ipynb',
        '-f',
        'p.yaml',
        '-p',
        'a=1',
        '-p',
        'b=0.5',
        '-p',
        "c=it's",
        '-p',
        'd=[1, true]',
        '-r',
        'f=007',
        '-o',
        'o.ipynb',
    )
    assert (
        text_of(read_notebook(str(cli.folder / 'o.ipynb'))['cells'][2])
        == "[1, 0.5, \"it's\", [1, True], {'x': [1, None]}, '007']\n"
    )


FAILING = [
    ('size = 1', ['parameters']),
    (
        (
            "from desipipe import Queue, TaskManager\nqueue = Queue('q', base_dir='.', "
            'spawn=True)\ntm = TaskManager(queue)'
        ),
        [],
    ),
    (
        (
            'import os\n@tm.python_app\ndef needs(path):\n    with open(path) as file:\n        '
            'return len(file.read())'
        ),
        [],
    ),
    ("found = needs(os.path.abspath('there.txt'))", []),
    ('found.result(timeout=60)', []),
    ("print('the end')", []),
]


def test_failing_and_going_on(cli: Cli) -> None:
    write(cli, FAILING)
    done = cli('run', 'a.ipynb', '-p', 'size=3', status=1)
    tid = Queue(str(cli.folder / 'q'), create=False).tasks(name='needs', one=True).id[:12]
    assert (
        'cell 6 (In [6]) failed: FileNotFoundError: [Errno 2] No such file or directory: '
        f"'{cli.folder}/there.txt'; of task {tid} (needs)"
    ) in done.stderr
    assert f'Go on with: desipipe run {cli.folder}/a.out.ipynb --resume' in done.stderr
    opened = read_notebook(str(cli.folder / 'a.out.ipynb'))
    marked = [
        number
        for number, cell in enumerate(opened['cells'])
        if 'papermill-error-cell-tag' in cell['metadata'].get('tags', [])
    ]
    assert marked == [0, 6]
    assert 'of task' in opened['cells'][6]['source']
    assert opened['metadata']['papermill']['exception'] is True
    assert [
        cell['metadata'].get('papermill', {}).get('status') for cell in opened['cells'][1:]
    ] == [
        *['completed'] * 5,
        None,
        'failed',
        'pending',
    ]
    (cli.folder / 'there.txt').write_text('there')
    done = cli('run', 'a.out.ipynb', '--resume')
    assert '1 task that did not succeed will run again' in done.stderr
    opened = read_notebook(str(cli.folder / 'a.out.ipynb'))
    assert [cell['metadata']['papermill']['status'] for cell in opened['cells']] == [
        'completed'
    ] * 7
    assert opened['metadata']['papermill']['parameters'] == {'size': 3}
    assert text_of(opened['cells'][-1]) == 'the end\n'
    # Tasks that only Python has shown are recorded by their queue; their cell is found by its code.
    cli('record', 'a.out.ipynb')
    shown_text = cli.verify('a.out.record.ipynb', '-q', './q')
    assert shown_text['ok']
    assert '1 cell: the text is the code' in str(shown_text)


def test_failed_tasks_are_named(cli: Cli) -> None:
    cells = [*NOTEBOOK[:3], ('%%desipipe bad\nx = 1 / 0', []), ("print('on')", [])]
    write(cli, cells)
    done = cli('run', 'a.ipynb', status=1)
    assert '1 of 1 task did not succeed' in done.stdout
    opened = read_notebook(str(cli.folder / 'a.out.ipynb'))
    marks = [
        cell['source']
        for cell in opened['cells']
        if 'papermill-error-cell-tag' in cell['metadata'].get('tags', [])
    ]
    assert len(marks) == 2
    assert 'bad[0]' in marks[0]
    assert 'ZeroDivisionError' in marks[0]


def test_text_in_pieces_is_one_output(cli: Cli) -> None:
    text = 'import sys\nfor i in range(3):\n    print(i, flush=True)\n'
    more = "print('bad', file=sys.stderr, flush=True)\nprint('on', flush=True)\nprint(end='on')"
    write(cli, [(text + more, [])])
    cli('run', 'a.ipynb')
    (cell,) = read_notebook(str(cli.folder / 'a.out.ipynb'))['cells']
    assert [(output['name'], output['text']) for output in cell['outputs']] == [
        ('stdout', '0\n1\n2\n'),
        ('stderr', 'bad\n'),
        ('stdout', 'on\non'),
    ]


def test_run_without_waiting(cli: Cli) -> None:
    cells = [
        (
            (
                "from desipipe import Queue, TaskManager\nqueue = Queue('q', base_dir='.')\ntm = "
                'TaskManager(queue)\n@tm.python_app\ndef f(): pass\nf()'
            ),
            [],
        )
    ]
    write(cli, cells)
    cli('run', 'a.ipynb', '--no-wait')
    assert Queue(str(cli.folder / 'q'), create=False).counts['PENDING'] == 1


@pytest.mark.parametrize(
    ('arguments', 'expected'),
    [
        (['missing.ipynb'], 'There is no file missing.ipynb. Nothing was read.'),
        (['a.ipynb', '-o', 'a.ipynb'], 'is the notebook itself'),
        (
            ['a.ipynb', '-o', 'mine.ipynb'],
            'mine.ipynb is there, and was not written by this command. Nothing was done',
        ),
        (['mine.py'], 'mine.ipynb is there, and was not written by this command. Nothing was done'),
        (['a.ipynb', '--resume'], 'was not written by desipipe run'),
        (['a.ipynb', '--kernel', 'julia-9'], "There is no kernel 'julia-9' here"),
        (['a.ipynb', '--cwd', 'nowhere'], 'no folder'),
        (['broken.ipynb'], 'is no notebook'),
        (['plain.py', '-p', 'x=1'], 'a script without cells'),
        (['plain.py', '--resume'], 'what is done is taken from its queues'),
    ],
)
def test_run_refuses_other_files(cli: Cli, arguments: list[str], expected: str) -> None:
    write(cli, [('1', [])])
    (cli.folder / 'broken.ipynb').write_text('{"cells": [')
    (cli.folder / 'plain.py').write_text('pass')
    write(
        cli, [('"years of work"', [])], 'mine.ipynb'
    )  # beside a script of the same name, as jupytext pairs them
    (cli.folder / 'mine.py').write_text('# %%\n1')
    assert expected in cli.here(['run', *arguments]).stderr
    assert 'years of work' in (cli.folder / 'mine.ipynb').read_text()


def test_cell_that_takes_too_long(cli: Cli) -> None:
    write(cli, [('import time\ntime.sleep(600)', [])])
    assert 'took more than 2 s' in cli('run', 'a.ipynb', '--timeout', '2', status=1).stderr


def test_kernel_that_dies(cli: Cli) -> None:
    write(cli, [('x = 1', []), ('import os, signal\nos.kill(os.getpid(), signal.SIGKILL)', [])])
    assert 'the kernel died in cell 2' in cli('run', 'a.ipynb', status=1).stderr
    assert (
        read_notebook(str(cli.folder / 'a.out.ipynb'))['cells'][1]['metadata']['papermill'][
            'status'
        ]
        == 'completed'
    )


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_interrupted(cli: Cli, number: signal.Signals) -> None:
    write(
        cli,
        [
            ('x = 1', []),
            ("import time\nopen('began', 'w').close()\ntime.sleep(600)", []),
            ('x = 2', []),
        ],
    )
    process = subprocess.Popen(
        [*COMMAND, 'run', 'a.ipynb'], cwd=cli.folder, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + TIMEOUT
    while not (cli.folder / 'began').exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(number)
    _, output = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 130
    assert 'interrupted in cell 2' in output
    opened = read_notebook(str(cli.folder / 'a.out.ipynb'))
    assert [cell['metadata'].get('papermill', {}).get('status') for cell in opened['cells']] == [
        None,
        'completed',
        None,
        'failed',
        'pending',
    ]


def test_interrupted_while_it_waits(cli: Cli) -> None:
    write(cli, [*NOTEBOOK[:3], ('%%desipipe slow\nimport time\nslow = 1\ntime.sleep(600)', [])])
    environ = {**os.environ, 'PYTHONUNBUFFERED': '1'}
    process = subprocess.Popen(
        [*COMMAND, 'run', 'a.ipynb'],
        cwd=cli.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environ,
    )
    try:
        assert process.stdout is not None
        assert any(
            'running' in line for line in process.stdout
        )  # all cells have ended, and it waits
        process.send_signal(signal.SIGINT)
        _, printed = process.communicate(timeout=TIMEOUT)
        assert process.returncode == 130
        assert 'tasks go on' in printed
        shown = [
            output['data']
            for cell in read_notebook(str(cli.folder / 'a.out.ipynb'))['cells']
            for output in cell.get('outputs', ())
            if 'data' in output
        ]
        assert [data[MIME]['counts']['RUNNING'] for data in shown if MIME in data] == [1]
        assert Queue(str(cli.folder / 'nb'), create=False).counts['RUNNING'] == 1
    finally:
        process.kill()
        cli('kill', '-q', './nb', status=None)


def test_interrupted_between_cells(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    # Where no cell runs there is none to blame: the notebook is as far as it was, and nothing is
    # raised through.
    async def told(client: Any, ran: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(TIMEOUT)

    monkeypatch.setattr('desipipe.record.execution._note_queues', told)
    write(cli, [('x = 1', []), ('x = 2', [])])
    assert 'interrupted between cells' in cli('run', 'a.ipynb', status=130).stderr
    opened = read_notebook(str(cli.folder / 'a.out.ipynb'))
    assert [cell['metadata']['papermill']['status'] for cell in opened['cells']] == [
        'completed',
        'pending',
    ]
    assert opened['metadata']['papermill']['end_time']


def test_scripts(cli: Cli) -> None:
    (cli.folder / 's.py').write_text(
        "import sys\nfrom desipipe import Queue, TaskManager\nqueue = Queue('q', base_dir='.', "
        'spawn=True)\ntm = TaskManager(queue)\n'
        '@tm.python_app\ndef f(x):\n    return x\nf.map(x=range(3))\nassert __name__ == "__main__" '
        'and sys.argv == [__file__]\n'
    )
    assert 'all 3 tasks succeeded' in cli('run', 's.py').stdout
    # By Python itself they are the same tasks.
    subprocess.run(
        [sys.executable, 's.py'], cwd=cli.folder, check=False, timeout=60, capture_output=True
    )
    assert len(Queue(str(cli.folder / 'q'), create=False)) == 3
    (cli.folder / 'bad.py').write_text('raise SystemExit(3)')
    assert 'ended with exit status 3' in cli('run', 'bad.py', status=1).stderr


def test_scripts_in_percent_format(cli: Cli) -> None:
    (cli.folder / 's.py').write_text(
        '# %% tags=["parameters"]\nn = 1\n\n# %%\nfrom desipipe import Queue, TaskManager\nqueue = '
        'Queue("q", base_dir=".", spawn=True)\n'
        'tm = TaskManager(queue)\n\n# %%\n@tm.python_app\ndef f(x):\n    return '
        'x\nf.map(x=range(n))\n'
    )
    assert 'all 4 tasks succeeded' in cli('run', 's.py', '-p', 'n=4', '-o', 's.ipynb').stdout
    cli('record', 's.ipynb', '-q', './q')
    assert cli.verify('s.record.ipynb')['ok']


def test_notebook_that_never_used_it(cli: Cli) -> None:
    write(cli, [('1', [])])
    assert 'shows no task of desipipe' in cli('record', 'a.ipynb', status=2).stderr
    assert 'Nothing was recorded' in cli('record', status=2).stderr


def test_queue_that_is_missing(executed: Cli) -> None:
    import shutil

    shutil.rmtree(executed.folder / 'nb.queue')
    done = executed('record', 'out.ipynb', status=2)
    assert "There is no queue 'nb'" in done.stderr
    assert 'nothing was written' in done.stderr
    assert not (executed.folder / 'out.record.ipynb').exists()


def test_queue_of_another_version(executed: Cli) -> None:
    from zlib import crc32

    journal = executed.folder / 'nb.queue' / 'journal.jsonl'
    line, _, rest = journal.read_bytes().partition(b'\n')
    header = json.loads(line)
    header.pop('crc')
    header['version'] = 99
    body = json.dumps(header, separators=(',', ':')).encode()[:-1]
    journal.write_bytes(body + b',"crc":"%08x"}\n' % crc32(body) + rest)
    done = executed('record', 'out.ipynb', status=2)
    assert 'version' in done.stderr
    assert not (executed.folder / 'out.record.ipynb').exists()


def test_moved_queue(executed: Cli) -> None:
    (executed.folder / 'elsewhere').mkdir()
    (executed.folder / 'nb.queue').rename(executed.folder / 'elsewhere' / 'nb.queue')
    executed('record', 'out.ipynb', '-q', './elsewhere/nb')
    assert executed.verify('out.record.ipynb')['ok']


async def test_menu_of_jupyterlab(executed: Cli, jp_serverapp: Any, jp_fetch: Any) -> None:
    # "Save and Export Notebook As" lists nbconvert's exporters, and asks the server for them.
    executed('record', 'out.ipynb')
    listed = json.loads((await jp_fetch('api', 'nbconvert')).body)
    assert listed['desipipe_record']['output_mimetype'] == 'application/x-ipynb+json'
    jp_serverapp.contents_manager.root_dir = str(executed.folder)
    answer = await jp_fetch(
        'nbconvert', 'desipipe_record', 'out.ipynb', params={'download': 'true'}
    )
    assert 'out.record.ipynb' in answer.headers['Content-Disposition']
    assert answer.body == (executed.folder / 'out.record.ipynb').read_bytes()


def test_kernel_whose_port_was_taken_is_started_again(tmp_path: Path) -> None:
    """Between the choice of a port and the kernel's bind another process may take it."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell('print(6 * 7)')])
    with socket.socket() as taken, tempfile.TemporaryFile() as output:
        taken.bind(('127.0.0.1', 0))
        client = nbclient.NotebookClient(notebook, kernel_name='python3')
        manager = client.create_kernel_manager()
        manager.cache_ports, manager.shell_port = False, taken.getsockname()[1]

        async def run() -> None:
            async with run_module._kernel(client, output, dict(os.environ)):
                assert client.km is not manager
                await client.async_execute_cell(notebook.cells[0], 0)

        asyncio.run(run())
    assert notebook.cells[0].outputs[0].text == '42\n'
