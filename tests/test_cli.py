"""The command line, as people use it: the real command, in processes of its own, on real queues."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import gc
import io
import itertools
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pexpect
import pytest

from desipipe import Queue, TaskManager
from desipipe.cli import main
from desipipe.commands.common import Verbs
from desipipe.commands.following import follow
from desipipe.commands.parser import VERBS as VERBS_BY_MODULE
from desipipe.commands.parser import build_parser, parser_for
from desipipe.store.lines import lines
from desipipe.view.cell import CellReader

COMMAND = (sys.executable, '-m', 'desipipe')
VERBS = Verbs.of(build_parser())
TIMEOUT = 120  # s; only what hangs gets there


class Done:
    """What a command said."""

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        self.status = done.returncode
        self.out = done.stdout
        self.err = done.stderr

    @property
    def json(self) -> Any:
        """Its one JSON document."""
        return json.loads(self.out)

    @property
    def table(self) -> list[dict[str, str]]:
        """Its tab-separated values."""
        header, *rows = (line.split('\t') for line in self.out.splitlines())
        return [dict(zip(header, row, strict=True)) for row in rows]


class Shell:
    """Runs ``desipipe`` in a folder, with queues of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.queues = folder / 'queues'
        self.env = {
            **os.environ,
            'DESIPIPE_QUEUE_DIR': str(self.queues),
            'DESIPIPE_CONFIG_DIR': str(folder / 'config'),
            'COLUMNS': '200',
        }
        self.env.pop('DESIPIPE_DEBUG', None)

    def __call__(self, *argv: str, status: int = 0, stdin: str | None = None, **env: str) -> Done:
        done = Done(
            subprocess.run(
                [*COMMAND, *argv],
                cwd=self.folder,
                env=self.env | env,
                input=stdin or '',
                capture_output=True,
                text=True,
                timeout=TIMEOUT,
            )
        )
        assert done.status == status, f'{argv} gave {done.status}\n{done.out}\n{done.err}'
        if not env:
            assert 'Traceback' not in done.err
        return done

    def here(self, *argv: str, status: int = 0) -> Done:
        """The same in this process: for long lists of things to try, as a process costs a third
        of a second.
        """
        out, err = io.TextIOWrapper(io.BytesIO()), io.StringIO()
        with (
            pytest.MonkeyPatch.context() as patch,
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            patch.chdir(self.folder)
            for name in ('DESIPIPE_QUEUE_DIR', 'DESIPIPE_CONFIG_DIR'):
                patch.setenv(name, self.env[name])
            exit_status = main(argv)
        out.seek(0)
        done = Done(subprocess.CompletedProcess(argv, exit_status, out.read(), err.getvalue()))
        assert done.status == status, f'{argv} gave {done.status}\n{done.out}\n{done.err}'
        return done

    def start(self, *argv: str, **kwargs: Any) -> subprocess.Popen[str]:
        """Start, and do not wait."""
        pipes = {'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE, **kwargs}
        return subprocess.Popen(
            [*COMMAND, *argv],
            cwd=self.folder,
            env={**self.env, 'PYTHONUNBUFFERED': '1'},
            text=True,
            **pipes,
        )

    def queue(self, name: str) -> Queue:
        """A queue where the commands find it by its bare name."""
        user = subprocess.run(
            ['id', '-un'], capture_output=True, text=True, check=True
        ).stdout.strip()
        return Queue(name, base_dir=self.queues / user)

    def terminal(self, *argv: str) -> pexpect.spawn:
        """Run in a terminal."""
        env = {**self.env, 'TERM': 'xterm-256color', 'COLUMNS': '120', 'LINES': '40'}
        return pexpect.spawn(
            COMMAND[0],
            [*COMMAND[1:], *argv],
            cwd=str(self.folder),
            env=env,
            dimensions=(40, 120),
            encoding='utf-8',
            timeout=TIMEOUT,
        )


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A folder without any queue."""
    return Shell(tmp_path)


@pytest.fixture(scope='module')
def ran(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """With a queue ``ran``, worked on until nothing is left, which tests only look at."""
    shell = Shell(tmp_path_factory.mktemp('ran'))
    queue = shell.queue('ran')
    tm = TaskManager(queue)

    @tm.python_app
    def square(x):
        print('square of', x)
        return x * x

    @tm.python_app
    def bad(x):
        import sys

        print('before')
        print('trouble', file=sys.stderr)
        raise ValueError(f'no {x}')

    @tm.python_app
    def total(values):
        return sum(values)

    squares = [square(i) for i in range(3)]
    total(squares)
    total([*squares, bad(1)])
    shell('work', '-q', 'ran', '--slots', '2')
    return shell


@pytest.fixture
def gate(shell: Shell) -> Iterator[tuple[Shell, Path, subprocess.Popen[str]]]:
    """A queue ``gate`` whose task ``slow[0]`` has printed a line and waits for a file; its
    worker.
    """
    queue = shell.queue('gate')
    path = shell.folder / 'go'
    os.mkfifo(path)
    tm = TaskManager(queue)

    @tm.python_app
    def slow(path):
        print('one', flush=True)
        with open(path) as file:
            print(file.read(), flush=True)

    @tm.python_app
    def after(x):
        return x

    after(slow(str(path)))
    worker = shell.start('work', '-q', 'gate')
    try:
        assert queue.ledger.wait(lambda: bool(queue.ledger.state.running), TIMEOUT)
        yield shell, path, worker
    finally:
        worker.kill()
        worker.communicate()


def tid(queue: Queue, name: str, index: int = 0) -> str:
    """The identity of a task."""
    return str(queue.tasks(name=name, index=index, one=False, property='id')[-1])


# Help


def test_verbs_are_declared_by_the_module_that_is_loaded() -> None:
    assert sorted(' '.join(VERBS_BY_MODULE.values()).split()) == sorted(VERBS)
    for verb in VERBS:
        assert verb in Verbs.of(parser_for([verb.upper()]))
    assert Verbs.of(parser_for(['statu'])).keys() == Verbs.of(parser_for([])).keys() == VERBS.keys()


@pytest.mark.parametrize('name', VERBS)
def test_help(name: str) -> None:
    verb = VERBS[name]
    text = verb.format_help()
    description, example = verb.description or '', (verb.epilog or '').partition('Example:\n')[2]
    assert re.fullmatch(r'[A-Z].{15,}\.', description, flags=re.S)
    assert description.split()[0] in text
    for action in verb._actions:
        assert action.help, f'{name} {action.dest} has no help'
    assert example
    for line in example.splitlines():
        # What the examples show can be typed.
        line = re.split(' {2,}', line.strip())[0]
        inner = re.fullmatch(r'eval "\$\((.*)\)"', line)
        expected_text = shlex.shlex(inner[1] if inner else line, posix=True, punctuation_chars=True)
        expected_text.whitespace_split = True
        program, *argv = itertools.takewhile(
            lambda word: word not in ('|', '>', '&&'), expected_text
        )
        assert program == 'desipipe'
        assert build_parser().parse_args(argv).handler


@pytest.mark.parametrize('name', ['', *VERBS])
def test_help_fits_80_columns(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('COLUMNS', '80')
    parser = VERBS[name] if name else build_parser()
    assert [line for line in parser.format_help().splitlines() if len(line) > 80] == []


def test_help_lists_all_verbs(shell: Shell) -> None:
    output = shell('--help').out
    assert output == shell().out
    for name in VERBS:
        assert re.search(rf'^ +{name}\s+\w', output, flags=re.M), name
    assert '__complete' not in output and 'Example:' in output
    assert shell('--version').out.startswith('desipipe ')
    assert 'usage: desipipe watch' in shell('watch', '--help').out
    assert '--detached' not in shell('spawn', '--help').out


def imported(shell: Shell, *argv: str) -> set[str]:
    """Run a verb, and return the modules that it imported."""
    code = (
        f'import sys\nfrom desipipe.cli import main\nstatus = main({list(argv)})\n'
        'print("imported:", *sys.modules, file=sys.stderr)\nsys.exit(status)'
    )
    done = subprocess.run(
        [sys.executable, '-c', code], env=shell.env, capture_output=True, text=True, check=True
    )
    return set(done.stderr.rpartition('imported:')[2].split())


# What looking at a queue needs nothing of. In all it takes longer than what it does need.
NOT_FOR_LOOKING = {
    *('concurrent.futures', 'ctypes', 'fnmatch', 'hashlib', 'logging', 'lzma', 'numpy', 'pickle'),
    *('secrets', 'select', 'shutil', 'socket', 'subprocess', 'tempfile', 'traceback'),
    *('threading', 'typing', 'yaml'),
    *('desipipe.environment', 'desipipe.execution', 'desipipe.logs', 'desipipe.notebook'),
    *('desipipe.provenance', 'desipipe.provider', 'desipipe.scheduler', 'desipipe.serialize'),
    *('desipipe.queue.authors', 'desipipe.queue.compact', 'desipipe.queue.ledger'),
    *('desipipe.queue.queue', 'desipipe.queue.task', 'desipipe.queue.transactions'),
    *('desipipe.security.secrets', 'desipipe.settings.carried', 'desipipe.store.appender'),
    *('desipipe.store.journal', 'desipipe.store.lock', 'desipipe.store.lock_holder'),
    *('desipipe.store.probe', 'desipipe.store.segment_writer', 'desipipe.store.soft_lock'),
    *('desipipe.store.syncing', 'desipipe.store.watch', 'desipipe.task_manager'),
    *('desipipe.view.cell', 'rich'),
}


@pytest.mark.parametrize('more', [(), ('--json',)])
def test_status_imports_only_what_looking_needs(ran: Shell, more: tuple[str, ...]) -> None:
    modules = imported(ran, 'status', '-q', 'ran', *more)
    assert 'desipipe.queue.state' in modules
    assert modules & NOT_FOR_LOOKING == set()


@pytest.mark.parametrize(('verb', 'collects'), [('status', False), ('tasks', True)])
def test_verbs_that_end_at_once_collect_no_garbage(ran: Shell, verb: str, collects: bool) -> None:
    code = (
        'import gc, sys\nfrom desipipe.cli import main\n'
        f'sys.argv[1:] = {[verb, "-q", "ran"]}\nmain()\n'
        'print("collects:", gc.isenabled() and not gc.get_freeze_count())'
    )
    done = subprocess.run(
        [sys.executable, '-c', code], env=ran.env, capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith(f'collects: {collects}\n')


def test_process_looks_for_no_translations(ran: Shell) -> None:
    code = (
        'import sys\nfrom desipipe.cli import main\nsys.argv[1:] = ["status", "-q", "ran"]\nmain()\n'
        'print("looks:", "locale" in sys.modules)'
    )
    done = subprocess.run(
        [sys.executable, '-c', code], env=ran.env, capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith('looks: False\n')


def test_callers_keep_their_garbage_collector(ran: Shell) -> None:
    before = gc.isenabled(), gc.get_freeze_count()
    ran.here('status', '-q', 'ran')
    assert (gc.isenabled(), gc.get_freeze_count()) == before


@pytest.mark.parametrize('argv', [['--help'], ['status', '--help'], ['work', '-q', 'empty']])
def test_cheap(shell: Shell, argv: list[str]) -> None:
    shell.queue('empty')
    loaded = {name.split('.')[0] for name in imported(shell, *argv)}
    assert 'argparse' in loaded
    assert not loaded & {'rich', 'numpy', 'IPython', 'ipywidgets'}
    if '--help' in argv:
        assert not loaded & {'orjson', 'cloudpickle', 'yaml', 'subprocess', 'logging'}


# Errors


@pytest.mark.parametrize(
    ('argv', 'message'),
    [
        (['stats'], "There is no verb 'stats': did you mean status"),
        (['status', '-q', 'rann'], "no queue 'rann' .* did you mean ran?"),
        (['status', '-q', 'none*'], "No queue fits 'none\\*'"),
        (['status', '-q', 'a b'], "'a b' cannot be the name of a queue"),
        (['status', '--jsn'], 'There is no option --jsn: did you mean --json?'),
        (['watch', '-q', 'ran', 'more'], "Unexpected argument 'more'"),
        (['delete'], 'No queue was named. Nothing was done'),
        (['tasks', '-q', 'ran', '--state', 'FALIED'], 'did you mean FAILED?'),
        (['tasks', '-q', 'ran', '--name', 'sqare'], "named 'sqare': did you mean square?"),
        (['tasks', '-q', 'ran', '--property', 'clor'], "there is no 'clor': known: arguments"),
        (['tasks', '-q', 'ran', '--limit', 'x'], 'give a whole number'),
        (['logs', '-q', 'ran', 'ffffffff'], "No task 'ffffffff'"),
        (['logs', '-q', 'ran', 'square[7]'], 'no task square\\[7\\]'),
        (['logs', '-q', 'ran', 'square'], '3 tasks are named'),
        (['spawn', '-q', 'ran', '--mode', 'no_strem'], 'did you mean no_stream'),
        (['spawn', '-q', 'ran', '--max-workers', '0'], 'at least 1'),
        (['work', '-q', 'ran', '--timeout', '-1'], 'at least 0'),
        (['work', '-q', 'ran', '--mid', 'nope'], 'no task manager'),
        (['cancel', '-q', 'ran'], 'Nothing was cancelled: name tasks'),
        (['accept', '-q', 'ran', 'square[0]', 'total[0]'], "of app 'square' for app 'total'"),
        (['add', '-q', 'nope', '--', 'true'], 'no queue'),
        (['doctor', '--repair'], 'Nothing was repaired'),
        (['completion', 'tcsh'], "there is no 'tcsh': known: bash, fish, zsh"),
    ],
)
def test_errors_are_one_message(ran: Shell, argv: list[str], message: str) -> None:
    journal = ran.queue('ran').filename
    before = Path(journal).read_bytes()
    output = ran.here(*argv, status=2)
    assert re.search(message, output.err), output.err
    assert output.err.startswith('desipipe') and output.out == ''
    assert Path(journal).read_bytes() == before


def test_tracebacks_are_for_those_who_ask(ran: Shell) -> None:
    assert 'Traceback' in ran('status', '-q', 'rann', status=1, DESIPIPE_DEBUG='1').err
    assert 'Traceback' in ran('status', '-q', 'rann', '--debug', status=1, DESIPIPE_DEBUG='').err
    assert 'Traceback' not in ran('status', '-q', 'rann', status=2, DESIPIPE_DEBUG='0').err


def test_closed_pipe_is_no_error(shell: Shell) -> None:
    tm = TaskManager(shell.queue('many'))

    @tm.python_app
    def app(x):
        return x

    app.map(x=range(3000))  # some hundred kilobytes, more than a pipe holds
    with shell.start('tasks', '-q', 'many') as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline().startswith('task\t')
        process.stdout.close()
        assert process.stderr.read() == ''
        assert process.wait(TIMEOUT) == 141


def test_poor_terminal_gets_no_traceback(ran: Shell) -> None:
    assert '? 4 succeeded' in ran('status', '-q', 'ran', PYTHONIOENCODING='ascii').out


# Looking


def test_status(ran: Shell) -> None:
    listed = ran('status', '-q', 'ran', '--json').json
    assert listed['counts'] == {
        'WAITING': 1,
        'PENDING': 0,
        'RUNNING': 0,
        'SUCCEEDED': 4,
        'FAILED': 1,
        'KILLED': 0,
        'UNKNOWN': 0,
    }
    assert (
        listed['name'],
        listed['condition'],
        listed['blocked'],
        listed['causes'][0]['cause'],
    ) == (
        'ran',
        'failed',
        1,
        'ValueError: no 1',
    )
    output = ran.here('status', '-q', 'ran').out
    bad = tid(ran.queue('ran'), 'bad')[:12]
    assert '✓ 4 succeeded, ◌ 1 waiting (1 blocked), ✕ 1 failed' in output
    assert f'1 task blocked by bad[0] {bad} (FAILED): ValueError: no 1' in output
    assert (
        f'desipipe logs -q ran {bad}' in output and 'retry -q ran --state FAILED KILLED' in output
    )
    assert '\x1b' not in output and '█' not in output


def test_verbs_take_several_queues(shell: Shell) -> None:
    assert shell('status', '--json').json == [] == shell('queues', '--json').json
    assert (
        'desipipe demo' in shell.here('queues').err and 'desipipe demo' in shell.here('status').err
    )
    for name in ('one', 'two'):
        shell.queue(name)
    Queue('three', base_dir=shell.folder / 'here')
    for argv in (['one', 'two'], ['*'], ['?[nw]*', 'one']):
        assert sorted(
            listed['name'] for listed in shell.here('status', '--json', '-q', *argv).json
        ) == ['one', 'two']
    assert [listed['name'] for listed in shell.here('status', '--json').json] == ['one', 'two']
    assert [row['queue'] for row in shell.here('queues').table] == ['one', 'two']
    assert [row['queue'] for row in shell.here('queues', './*/*').table] == ['./here/three']
    user = os.path.basename(os.path.dirname(shell.queue('one').folder))
    for text in (
        f'{user}/one',
        shell.queue('one').folder,
        os.path.join('queues', user, 'one.queue/'),
        f'./queues/{user}/one',
        'one',
    ):
        assert (
            shell.here('status', '--json', '-q', text).json['folder'] == shell.queue('one').folder
        )
    assert (
        shell.here('status', '-q', 'here/three', status=2)
        .err.rstrip()
        .endswith('did you mean ./here/three?')
    )


def test_queues(ran: Shell) -> None:
    (row,) = ran('queues').table
    assert row == {
        'queue': 'ran',
        'condition': 'failed',
        'tasks': '6',
        'succeeded': '4',
        'running': '0',
        'failed': '1',
        'blocked': '1',
        'workers': '0',
        'why': '',
    }
    (listed,) = ran.here('queues', 'r*', '--json').json
    assert (listed['queue'], listed['total'], listed['counts']['SUCCEEDED']) == ('ran', 6, 4)


def test_unreadable_queue_hides_no_other(shell: Shell) -> None:
    for name in ('one', 'two'):
        shell.queue(name)
    Path(shell.queue('two').filename).write_text('nonsense\n')
    one, two = shell('queues').table
    assert one['condition'] == 'empty' and two['condition'] == 'unreadable'
    assert 'first line' in two['why']
    assert 'first line' in shell('status', '-q', 'two', status=2).err


def test_tasks(ran: Shell) -> None:
    queue = ran.queue('ran')
    rows = ran('tasks', '-q', 'ran').table
    assert list(rows[0]) == ['task', 'name', 'index', 'state', 'attempt', 'time', 'job', 'why']
    assert [(row['name'], row['index'], row['state']) for row in rows] == [
        *(('square', str(i), 'SUCCEEDED') for i in range(3)),
        ('total', '0', 'SUCCEEDED'),
        ('bad', '0', 'FAILED'),
        ('total', '1', 'BLOCKED'),
    ]
    bad = tid(queue, 'bad')
    assert (rows[4]['task'], rows[4]['why'], rows[5]['why']) == (
        bad,
        'ValueError: no 1',
        f'blocked by {bad[:12]}',
    )
    assert float(rows[0]['time']) > 0
    listed = ran.here('tasks', '-q', 'ran', '--json').json
    assert [task['tid'] for task in listed] == [row['task'] for row in rows]
    members = 'tid name index state claimed blocked superseded mid attempt worker host job'
    assert set(listed[0]) == set(f'{members} began duration memory cause'.split())


@pytest.mark.parametrize(
    ('options', 'names'),
    [
        (['--state', 'failed', 'WAITING'], ['bad[0]', 'total[1]']),
        (['--name', 'square'], ['square[0]', 'square[1]', 'square[2]']),
        (['--name', 'square', 'bad', '--index', '0'], ['square[0]', 'bad[0]']),
        (['--tid', 'square[2]'], ['square[2]']),
        (['--jobid', 'JOB'], ['square[0]', 'square[1]', 'square[2]', 'total[0]', 'bad[0]']),
        (['--jobid', 'other'], []),
        (['--mid', 'MID', '--limit', '2'], ['square[0]', 'square[1]']),
        (['--jobid', 'JOB', '--state', 'FAILED', '--limit', '5'], ['bad[0]']),
    ],
)
def test_conditions(ran: Shell, options: list[str], names: list[str]) -> None:
    queue = ran.queue('ran')
    expected = {'JOB': queue.tasks(name='bad', one=True).jobid, 'MID': queue.managers()[0].id[:6]}
    rows = ran.here(
        'tasks', '-q', 'ran', '--json', *(expected.get(option, option) for option in options)
    ).json
    assert [f'{task["name"]}[{task["index"]}]' for task in rows] == names


def test_properties(ran: Shell) -> None:
    assert (
        ran('tasks', '-q', 'ran', '--name', 'square', '--property', 'out').out
        == 'square of 0\nsquare of 1\nsquare of 2\n'
    )
    assert (
        ran.here('tasks', '-q', 'ran', '--name', 'square', '--property', 'result').out
        == '0\n1\n4\n'
    )
    (row, *_) = ran.here('tasks', '-q', 'ran', '--property', 'name', 'arguments', 'state').table
    assert row == {'name': 'square', 'arguments': 'x=0', 'state': 'SUCCEEDED'}
    (listed,) = ran.here(
        'tasks',
        '-q',
        'ran',
        '--state',
        'FAILED',
        '--property',
        'attempts',
        'errno',
        'code',
        '--json',
    ).json
    assert (
        listed['errno'] == 42
        and listed['code'].startswith('def bad(x)')
        and listed['attempts'][0]['cause']['text'] == 'ValueError: no 1'
    )


def test_time(ran: Shell) -> None:
    square, total = ran('time', '-q', 'ran', '--json').json
    assert (square['name'], square['n'], total['name'], total['n']) == ('square', 3, 'total', 1)
    assert 0 < square['min'] <= square['median'] <= square['max'] < square['total']
    (row,) = ran.here('time', '-q', 'ran', '--name', 'square').table
    assert (row['n'], float(row['max'])) == ('3', pytest.approx(square['max'], abs=1e-6))


def test_logs(ran: Shell) -> None:
    assert ran('logs', '-q', 'ran', 'square[1]').out == 'square of 1\n'
    bad = tid(ran.queue('ran'), 'bad')[:8]
    assert ran.here('logs', '-q', 'ran', bad, '--out').out == 'before\n'
    errors = ran.here('logs', '-q', 'ran', bad, '--err')
    assert errors.out.startswith('trouble\nTraceback') and errors.out.endswith('ValueError: no 1\n')
    assert 'FAILED: ValueError: no 1' in errors.err
    assert ran.here('logs', '-q', 'ran', 'bad').out == 'before\n--- standard error:\n' + errors.out
    assert (
        ran.here('logs', '-q', 'ran', 'bad', '-f').out == ran.here('logs', '-q', 'ran', 'bad').out
    )
    blocked = ran.here('logs', '-q', 'ran', 'total[1]', '-f')  # ends, since nothing can come
    assert blocked.out == '' and 'cannot run' in blocked.err and 'desipipe explain' in blocked.err


def test_explain(ran: Shell) -> None:
    output = ran('explain', '-q', 'ran', 'total[1]').out
    assert 'bad[0]' in output and 'desipipe retry' in output
    listed = ran.here('explain', '-q', 'ran', 'total[1]', '--json').json
    assert (
        listed['words'] + '\n' == output
        and listed['name'] == 'total'
        and listed['requires'][-1]['state'] == 'FAILED'
    )


def test_commands_in_messages_can_be_typed(tmp_path: Path) -> None:
    """Wherever the queue is: folders have blanks and quotes in their names."""
    shell = Shell(tmp_path / "my data, Ada's")
    shell.folder.mkdir()
    queue = shell.queue('q')

    @TaskManager(queue).python_app
    def bad():
        raise ValueError('It is so.')

    future = bad()
    shell('work', '-q', 'q')
    output = shell('explain', '-q', 'q', 'bad').out
    assert ': ValueError: It is so. Correct the code, and run its cell' in output
    command = output.splitlines()[0].partition('run the task again: ')[2]
    assert shlex.split(command)[:4] == ['desipipe', 'retry', '-q', queue.folder]
    shell(*shlex.split(command)[1:])
    assert future.state == 'PENDING'
    with pytest.raises(TimeoutError) as caught:
        future.result(timeout=0)
    shell(*shlex.split(str(caught.value).partition('See why with: desipipe ')[2]))


# While tasks run


def test_running(gate: tuple[Shell, Path, subprocess.Popen[str]]) -> None:
    shell, path, worker = gate
    with shell.start('logs', '-q', 'gate', 'slow[0]', '-f') as process:
        assert process.stdout is not None
        assert process.stdout.readline() == 'one\n'  # while it runs: nobody has opened the gate
        listed = shell('status', '-q', 'gate', '--json').json
        assert listed['condition'] == 'running' and listed['counts']['RUNNING'] == 1
        (expected,) = listed['workers']
        assert (expected['pid'], expected['alive'], expected['tasks'][0]['name']) == (
            worker.pid,
            True,
            'slow',
        )
        assert 'runs slow[0]' in shell.here('status', '-q', 'gate').out
        (row,) = shell('tasks', '-q', 'gate', '--state', 'RUNNING').table
        assert (row['name'], row['job']) == ('slow', expected['job'])
        now = shell('logs', '-q', 'gate', 'slow')
        assert now.out == 'one\n' and 'It runs' in now.err
        with shell.start('watch', '-q', 'gate', '--json') as watch:
            assert watch.stdout is not None and watch.stderr is not None
            first = json.loads(watch.stdout.readline())
            assert first['counts']['RUNNING'] == 1
            path.write_text('two')
            *_, last = map(json.loads, watch.stdout)
            assert last['condition'] == 'done' and last['counts']['SUCCEEDED'] == 2
            assert watch.wait(TIMEOUT) == 0 and 'all 2 tasks succeeded' in watch.stderr.read()
        assert process.stdout.read() == 'two\n'
        assert process.wait(TIMEOUT) == 0


def test_interrupts_are_quiet(gate: tuple[Shell, Path, subprocess.Popen[str]]) -> None:
    shell = gate[0]
    for argv in (['watch', '-q', 'gate'], ['logs', '-q', 'gate', 'slow[0]', '-f']):
        with shell.start(*argv) as process:
            assert process.stdout is not None and process.stderr is not None
            assert process.stdout.readline()
            process.send_signal(signal.SIGINT)
            assert process.wait(TIMEOUT) == 130
            assert process.stderr.read() == ''
    assert shell.queue('gate').counts['RUNNING'] == 1  # only the watching was interrupted


def test_watch_stops_before_the_end(gate: tuple[Shell, Path, subprocess.Popen[str]]) -> None:
    shell, _, worker = gate
    assert (
        'not done after 0.1 s, 2 tasks left'
        in shell('watch', '-q', 'gate', '--timeout', '0.1', status=2).out
    )
    output = shell('pause', '-q', 'gate').out
    assert output == 'gate: paused, 1 task still running\n'
    with shell.start('watch', '-q', 'gate') as process:
        assert process.stdout is not None
        assert '1 running' in process.stdout.readline()  # goes on as long as something runs
        assert shell('kill', '-q', 'gate').out == f'gate: ended worker local:{worker.pid}\n'
        *_, last = process.stdout.read().splitlines()
        assert process.wait(TIMEOUT) == 1  # what was killed blocks the rest
        assert last.startswith('1 (and 1 that need them) of 2 tasks did not succeed')
    assert worker.wait(TIMEOUT) == 0
    assert shell.here('kill', '-q', 'gate').out == 'gate: no worker or manager is running\n'
    assert shell('retry', '-q', 'gate').out == 'gate: 1 task to run again\n'
    assert 'paused, 2 tasks left' in shell('watch', '-q', 'gate', status=2).out
    assert 'desipipe spawn -q gate --spawn' in shell('resume', '-q', 'gate').err


def test_watch_when_nobody_works(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    shell('add', '-q', 'q', '--create', '--', 'true')
    assert follow(shell.queue('q'), patience=0.0) == 2
    assert 'no worker is running, 1 task left' in capsys.readouterr().out


def test_watch_ended(ran: Shell, shell: Shell) -> None:
    *_, last = ran('watch', '-q', 'ran', status=1).out.splitlines()
    assert 'desipipe tasks -q ran --state FAILED' in last
    shell.queue('empty')
    assert shell('watch', '-q', 'empty').out.splitlines()[-1] == 'no tasks'


def test_vanished_worker(gate: tuple[Shell, Path, subprocess.Popen[str]]) -> None:
    shell, _, worker = gate
    worker.kill()
    worker.wait()
    assert 'vanished' in shell('status', '-q', 'gate').out
    output = shell('doctor', '-q', 'gate', status=1).out
    assert f'(process {worker.pid:d} on' in output and 'desipipe spawn -q gate --spawn' in output
    assert (
        shell('kill', '-q', 'gate').out
        == 'gate: 1 worker had vanished before\ngate: no worker or manager is running\n'
    )
    assert shell.here('status', '-q', 'gate', '--json').json['counts']['UNKNOWN'] == 1
    assert 'rm -r' in shell.here('doctor', '-q', 'gate').out  # what it left in live and workers


# Changing


def test_add(shell: Shell) -> None:
    assert 'no queue' in shell('add', '-q', 'q', '--', 'true', status=2).err
    output = shell.here(
        'add', '-q', 'q', '--create', '--', 'sh', '-c', 'echo "$0 $1"; pwd', 'a b', '--json'
    )
    assert output.out.startswith('sh[0] ') and 'PENDING' in output.out
    assert 'desipipe spawn -q q --spawn' in output.err
    first = shell.here('add', '-q', 'q', '--json', '--name', 'first', '--', 'echo one; exit 3').json
    assert (first['name'], first['index'], first['state'], first['new']) == (
        'first',
        0,
        'PENDING',
        True,
    )
    then = shell.here(
        'add',
        '-q',
        'q',
        '--json',
        '--after',
        'first[0]',
        'sh',
        '--retries',
        '1',
        '--timeout',
        '20',
        '--priority',
        '-2',
        '--',
        'true',
    ).json
    assert (then['name'], then['state']) == ('true', 'WAITING')
    shell('work', '-q', 'q')
    queue = shell.queue('q')
    assert shell('logs', '-q', 'q', 'sh').out == f'a b --json\n{shell.folder}\n'
    assert queue[first['tid']].errno == 3
    detail = shell('explain', '-q', 'q', 'true', '--json').json
    assert (detail['retries'], detail['timeout'], detail['priority'], detail['blocked']) == (
        1,
        20.0,
        -2,
        first['tid'],
    )
    again = shell.here('add', '-q', 'q', '--name', 'first', '--', 'echo one; exit 3')
    assert (
        'is known, and FAILED' in again.out
        and f'desipipe retry -q q --tid {first["tid"][:12]}' in again.err
    )
    assert (
        shell.here('add', '-q', 'q', '--json', '--name', 'first', '--', 'echo two').json['index']
        == 1
    )
    assert 'No task' in shell.here('add', '-q', 'q', '--after', 'nope', '--', 'true', status=2).err


def test_pause_resume_retry_cancel(shell: Shell) -> None:
    for name in ('a', 'b'):
        for command in ('false', 'true'):
            shell.queue(name)
            shell('add', '-q', name, '--', command)
    assert shell('pause', '-q', '?').out == 'a: paused\nb: paused\n'
    shell('work', '-q', 'a')
    assert shell('status', '-q', 'a', '--json').json['counts']['PENDING'] == 2
    assert shell('resume', '-q', 'a', 'b').out == 'a: active\nb: active\n'
    assert shell('cancel', '-q', 'b', '--name', 'true').out == 'b: 1 task cancelled\n'
    for name in ('a', 'b'):
        shell('work', '-q', name)
    assert shell.here('status', '-q', 'b', '--json').json['counts']['KILLED'] == 1
    assert (
        shell('retry', '-q', 'a', 'b', '--state', 'KILLED').out
        == 'a: 0 tasks to run again\nb: 1 task to run again\n'
    )
    assert (
        shell.here('retry', '-q', '*', '--name', 'false', '--state', 'FAILED').out
        == 'a: 1 task to run again\nb: 1 task to run again\n'
    )
    assert (
        shell.here('retry', '-q', 'a', '--tid', 'true[0]').out == 'a: 1 task to run again\n'
    )  # it had succeeded
    assert shell.here('status', '-q', 'a', '--json').json['counts']['PENDING'] == 2
    assert shell.here('cancel', '-q', 'a', '--state', 'PENDING').out == 'a: 2 tasks cancelled\n'


def test_accept(shell: Shell) -> None:
    queue = shell.queue('q')
    tm = TaskManager(queue)

    @tm.python_app
    def app(x):
        return x

    old, new = app(1), app(2)
    queue.cancel(tid=new.id)
    assert 'no result to accept' in shell('accept', '-q', 'q', 'app[0]', 'app[1]', status=2).err
    shell('work', '-q', 'q')
    assert (
        f'{new.id[:12]} has the result of {old.id[:12]}'
        in shell.here('accept', '-q', 'q', old.id[:10], 'app[1]').out
    )
    assert shell('tasks', '-q', 'q', '--property', 'result').out == '1\n1\n'


def test_delete(shell: Shell) -> None:
    for name in ('one', 'two', 'three'):
        shell.queue(name)
    output = shell('delete', '-q', 't*')  # nobody can be asked
    assert (
        'three (0 tasks), two (0 tasks). Nothing was deleted' in output.out
        and '--force' in output.out
    )
    assert [row['queue'] for row in shell('queues').table] == ['one', 'three', 'two']
    for answer, remote in (('n', True), ('', True), ('y', False)):
        terminal = shell.terminal('delete', '-q', 'two')
        terminal.expect_exact('[y/N] ')
        terminal.sendline(answer)
        terminal.expect(pexpect.EOF)
        terminal.close()
        assert terminal.exitstatus == 0
        assert any(row['queue'] == 'two' for row in shell.here('queues').table) is remote
    assert (
        shell.here('delete', '-q', 'o*', 'three', '--force').out == 'one: deleted\nthree: deleted\n'
    )
    assert shell.here('queues', '--json').json == []
    for verb in (('delete', '--force'), ('queues',)):
        output = shell.here(*verb, '-q', 'none*')
        assert 'No queues match none*.' in output.out + output.err


def test_compact(shell: Shell) -> None:
    for command in ('true', 'echo a', 'echo b'):
        shell('add', '-q', 'q', '--create', '--', command)
    shell('work', '-q', 'q')
    before = shell('tasks', '-q', 'q').out
    (listed,) = shell('compact', '-q', 'q', '--json').json
    assert (
        listed['after']['files'] < listed['before']['files']
        and listed['after']['bytes'] < listed['before']['bytes']
    )
    assert shell.here('tasks', '-q', 'q').out == before
    assert re.match(r'q: [\d.]+ k?B in \d+ files → ', shell.here('compact', '-q', 'q').out)


# Processes


def test_spawn_in_the_background(shell: Shell) -> None:
    for command in ('true', 'echo a'):
        shell('add', '-q', 'q', '--create', '--', command)
    queue = shell.queue('q')
    output = shell('spawn', '-q', 'q', '--spawn', '--linger', '60')
    try:
        match = re.match(r'The manager is process (\d+); its log is (.*)\n', output.out)
        assert match and 'desipipe watch -q q' in output.err
        assert shell('watch', '-q', 'q').out.endswith('all 2 tasks succeeded\n')
        status = shell('status', '-q', 'q', '--json').json
        assert (status['manager']['pid'], status['manager']['alive']) == (int(match[1]), True)
        assert f'process {match[1]}' in shell('spawn', '-q', 'q').err  # nothing is left to wait for
        assert f'process {match[1]}' in shell('spawn', '-q', 'q', '--spawn').out
        assert re.search(
            r'^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d', Path(match[2]).read_text()
        )  # its log tells when
        assert shell.here('add', '-q', 'q', '--spawn', '--', 'echo more').err == ''
        assert shell('watch', '-q', 'q').out.endswith('all 3 tasks succeeded\n')
        assert re.fullmatch(
            r'q: ended worker local:\w+ and the manager\n', shell('kill', '-q', 'q').out
        )
    finally:
        queue.kill(manager=True)
    assert queue.wait_stopped()


def test_spawn_in_the_foreground(shell: Shell) -> None:
    shell('add', '-q', 'q', '--create', '--', 'true')
    output = shell('spawn', '-q', 'q', '--max-workers', '1', '--mode', 'no_stream')
    assert output.out == '' and 'Managing' in output.err and 'nothing left to do' in output.err
    assert shell('status', '-q', 'q', '--json').json['condition'] == 'done'


def test_retry_and_resume_spawn(shell: Shell) -> None:
    shell('add', '-q', 'q', '--create', '--', 'test -e there')
    shell('work', '-q', 'q')
    (shell.folder / 'there').touch()
    shell('pause', '-q', 'q')
    again = shell('retry', '-q', 'q')
    assert again.out == 'q: 0 tasks to run again\n'  # by default what was killed
    assert 'did not succeed (1 FAILED)' in again.err and 'retry -q q --state FAILED' in again.err
    shell('retry', '-q', 'q', '--state', 'FAILED', '--spawn')
    assert shell('resume', '-q', 'q', '--spawn').err == ''
    assert shell('watch', '-q', 'q').out.endswith('\n1 task succeeded\n')
    shell('kill', '-q', 'q')


def test_work_options(shell: Shell) -> None:
    shell('add', '-q', 'q', '--create', '--', 'false')
    shell('add', '-q', 'q', '--', 'true')
    queue = shell.queue('q')
    shell(
        'work',
        '-q',
        'q',
        '--mid',
        queue.managers()[0].id[:8],
        '--jobid',
        'mine',
        '--mode',
        'stop_at_error',
        '--slots',
        '1',
        '--timeout',
        '50',
        '--linger',
        '0',
    )
    assert queue.counts['FAILED'] == 1 and queue.counts['PENDING'] == 1
    assert queue.tasks(name='false', one=True).jobid == 'mine'


# Doctor


def findings(expected: Done) -> dict[str, list[dict[str, Any]]]:
    """Of ``doctor --json``, by what was looked at."""
    by_check: dict[str, list[dict[str, Any]]] = {}
    for finding in expected.json:
        by_check.setdefault(finding['check'].removeprefix('q: '), []).append(finding)
    return by_check


def test_doctor(shell: Shell) -> None:
    output = shell('doctor')
    assert output.out.endswith('All is well\n') and 'locks: Kind' in output.out
    shell('add', '-q', 'q', '--create', '--', 'echo a')
    shell('work', '-q', 'q')
    by_check = findings(shell.here('doctor', '-q', 'q', '--json'))
    assert {
        'python',
        'configuration',
        'filesystem',
        'locks',
        'lock',
        'permissions',
        'journal',
        'payloads',
        'processes',
    } <= set(by_check)
    assert not [
        finding for check in by_check.values() for finding in check if finding['ok'] is False
    ]
    os.chmod(shell.queue('q').folder, 0o707)
    (wrong,) = findings(shell.here('doctor', '-q', 'q', '--json', status=1))['permissions']
    assert wrong['fix'].startswith('chmod -R o-w ')


def test_doctor_damage(shell: Shell) -> None:
    for command in ('echo a', 'echo b'):
        shell('add', '-q', 'q', '--create', '--', command)
    shell('work', '-q', 'q')
    journal = Path(shell.queue('q').filename)
    data = bytearray(journal.read_bytes())
    offset = [offset for offset, line in lines(bytes(data), 0) if b'"e":"worker"' in line][0]
    data[offset + 20] ^= 1
    journal.write_bytes(data)
    output = shell('doctor', '-q', 'q', '--json', status=1)
    (wrong,) = findings(output)['journal']
    assert (
        f'offset {offset:d} ' in wrong['words']
        and str(journal) in wrong['words']
        and wrong['fix'] == 'desipipe doctor -q q --repair'
    )
    assert '! 1 damaged line' in shell('status', '-q', 'q').out
    assert shell.here('status', '-q', 'q', '--json').json['damage'][0]['offset'] == offset
    assert '1 damaged line moved aside' in shell.here('doctor', '-q', 'q', '--repair').out
    assert shell.here('status', '-q', 'q', '--json').json['damage'] == []
    assert [row['state'] for row in shell('tasks', '-q', 'q').table] == ['SUCCEEDED', 'SUCCEEDED']
    (aside,) = journal.parent.glob('journal.damaged-*')
    assert aside.read_bytes() in bytes(data)


def test_doctor_missing_payloads(shell: Shell) -> None:
    shell('add', '-q', 'q', '--create', '--', 'echo a')
    shell('work', '-q', 'q')
    queue = shell.queue('q')
    segments = Path(queue.folder) / 'segments'
    name = queue.ledger.state.args(0).segment
    path = segments / f'{name}.bin'
    path.rename(shell.folder / 'elsewhere')
    wrong = findings(shell('doctor', '-q', 'q', '--json', status=1))['payloads']
    assert any(f'{path} is missing' in finding['words'] for finding in wrong)
    shutil.copy(shell.folder / 'elsewhere', path)
    os.truncate(path, 3)
    wrong = findings(shell.here('doctor', '-q', 'q', '--json', status=1))['payloads']
    assert any('is 3 bytes long instead of' in finding['words'] for finding in wrong)


def test_doctor_names_who_sits_on_the_lock(shell: Shell) -> None:
    queue = shell.queue('q')
    with open(os.path.join(queue.folder, 'lock'), 'r+') as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        (wrong,) = findings(shell('doctor', '-q', 'q', '--repair', '--json', status=1))['lock']
    assert 'is held by process ' in wrong['words'] and f'kill {os.getpid():d}' in wrong['words']


def test_doctor_configuration(shell: Shell) -> None:
    (shell.folder / 'config').mkdir()
    (shell.folder / 'config' / 'config.yaml').write_text('lease: never\n')
    by_check = findings(shell('doctor', '--json', status=1))
    assert 'lease' in by_check['configuration'][0]['words']
    assert 'lease' in shell('queues', status=2).err


# Completion


def test_completion(ran: Shell) -> None:
    def completed(*arguments: str) -> list[str]:
        return ran.here('__complete', *arguments).out.split()

    assert completed('st') == ['status']
    assert set(VERBS) <= set(completed(''))
    assert completed('status', '--j') == ['--json']
    assert '--detached' not in completed('spawn', '--')
    assert completed('status', '-q', 'r') == ['ran'] == completed('queues', 'r')
    user = os.path.basename(os.path.dirname(ran.queue('ran').folder))
    assert completed('status', '-q', f'./queues/{user}/') == [f'./queues/{user}/ran']
    assert completed('status', '-q', f'{user}/r') == [f'{user}/ran']
    assert completed('tasks', '-q', 'ran', '--state', 'FAILED', 'S') == ['SUCCEEDED']
    assert completed('work', '--mode', 'no_o') == ['no_out']
    assert completed('work', '--slots', '') == []
    assert completed('completion', 'z') == ['zsh']
    assert completed('add', '-q', 'ran', '--', '--j') == []
    assert ran('__complete', 'nonsense', '').out == ''
    assert ran('__complete', 'wat').out == 'watch\n'


@pytest.mark.parametrize('name', ['bash', 'zsh', 'fish'])
def test_completion_scripts(ran: Shell, name: str) -> None:
    script = ran('completion', name).out
    assert 'desipipe __complete' in script
    path = shutil.which(name)
    if path is None:
        return
    (ran.folder / 'bin').mkdir(exist_ok=True)
    command = ran.folder / 'bin' / 'desipipe'
    command.write_text(f'#!/bin/sh\nexec {shlex.join(COMMAND)} "$@"\n')
    command.chmod(0o755)
    asked = {
        'bash': (
            f'{script}\nCOMP_WORDS=(desipipe status -q r); COMP_CWORD=3; _desipipe; echo '
            f'"${{COMPREPLY[@]}}"'
        ),
        'zsh': (
            f'compdef() {{ : }}; compadd() {{ shift 2; echo "$@" }}\n{script}\nwords=(desipipe '
            'status -q r); CURRENT=4; _desipipe'
        ),
        'fish': f'{script}\ncomplete -C "desipipe status -q r"',
    }[name]
    env = ran.env | {'PATH': f'{command.parent}:{ran.env["PATH"]}'}
    done = subprocess.run(
        [path, '-c', asked],
        cwd=ran.folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    assert done.stdout.split() == ['ran'], done.stderr


# Terminals


def screen(terminal: pexpect.spawn) -> tuple[str, str, int]:
    """What it wrote, the same without control sequences, and its exit status."""
    terminal.expect(pexpect.EOF)
    terminal.close()
    raw = terminal.before or ''
    return raw, re.sub(r'\x1b\[[0-9;?]*[a-zA-Z]', '', raw), terminal.exitstatus


def test_terminal(ran: Shell) -> None:
    raw, text, status = screen(ran.terminal('status', '-q', 'ran'))
    assert '\x1b[' in raw and status == 0
    assert '✓ 4 succeeded' in text and '████' in text and '4 / 6' in text
    raw, text, status = screen(ran.terminal('tasks', '-q', 'ran', '--limit', '5'))
    assert (
        '\x1b[' in raw and '✕ FAILED' in text and 'The first 5 of 6 tasks' in text and status == 0
    )
    raw, text, status = screen(ran.terminal('watch', '-q', 'ran'))
    assert (
        '✕ ran' in text
        and text.rstrip().endswith('--state FAILED KILLED UNKNOWN WAITING')
        and status == 1
    )
    assert screen(ran.terminal('tasks', '-q', 'ran', '--json'))[0].lstrip().startswith('[')


def test_watch_live(gate: tuple[Shell, Path, subprocess.Popen[str]]) -> None:
    shell, path, _ = gate
    terminal = shell.terminal('watch', '-q', 'gate')
    terminal.expect_exact('1 running')
    path.write_text('go')
    terminal.expect_exact('2 succeeded')
    _, text, status = screen(terminal)
    assert text.rstrip().endswith('all 2 tasks succeeded') and status == 0


# Demo


def test_demo(shell: Shell) -> None:
    output = shell('demo', '--keep', 'there').out
    assert 'def fraction(seed' in output and 'all 22 tasks succeeded' in output
    assert re.search(r'^pi is ~ 3\.1[34]\d\d ', output, flags=re.M)
    commands = re.findall(r'^  (desipipe .*?)   ?\S', output, flags=re.M)
    assert len(commands) > 4
    for command in commands:
        if ' delete ' not in command:
            shell.here(*shlex.split(command)[1:])
    again = shell('demo', '--keep', 'there').out  # nothing is computed again
    assert len(re.findall(r'^\d\d:\d\d:\d\d ', again, flags=re.M)) == 1 and 'pi is ~ 3.1' in again
    shell('delete', '-q', './there/demo', '--force')
    assert os.listdir(shell.folder / 'there') == ['pi.py']


def test_interrupted_demo_leaves_nothing(shell: Shell) -> None:
    (shell.folder / 'tmp').mkdir()
    shell.env['TMPDIR'] = str(shell.folder / 'tmp')
    with shell.start('demo') as process:
        assert process.stdout is not None and process.stderr is not None
        for line in process.stdout:
            if 'running' in line:
                break
        assert len(os.listdir(shell.folder / 'tmp')) == 1
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT) == 130, process.stderr.read()
        assert process.stderr.read() == ''
    assert os.listdir(shell.folder / 'tmp') == []


def test_demo_is_what_users_write() -> None:
    from desipipe.commands.demo_pipeline import SCRIPT

    compile(SCRIPT, 'pi.py', 'exec')
    root = Path(__file__).resolve().parent.parent
    compile((root / 'nb' / 'pi.py').read_text(), 'pi.py', 'exec')


def handlers(parser: argparse.ArgumentParser) -> Sequence[Any]:
    """What the verbs of a parser call."""
    return [verb.get_default('handler') for verb in Verbs.of(parser).values()]


def test_verbs_do_something_of_their_own() -> None:
    by_verb = handlers(build_parser())
    assert len(set(by_verb)) == len(by_verb) == len(VERBS)
    assert all(handler.__doc__ for handler in by_verb)


def test_verbs_are_in_any_case(ran: Shell) -> None:
    assert ran('TASKS', '-q', 'ran', '--json').json == ran('tasks', '-q', 'ran', '--json').json


def test_options_without_values_ask_for_nothing(ran: Shell) -> None:
    every = ran('tasks', '-q', 'ran', '--json').json
    assert ran('tasks', '-q', 'ran', '--state', '--property', '--json').json == every


def test_pattern_of_one_queue_will_do(ran: Shell) -> None:
    assert ran('tasks', '-q', 'ra*', '--json').json == ran('tasks', '-q', 'ran', '--json').json


def test_tasks_in_full(ran: Shell) -> None:
    text = ran('tasks', '-q', 'ran', '--full').out
    assert (
        'Tasks that are FAILED:\napp: bad\n' in text
        and 'errno: 42\n' in text
        and 'ValueError: no 1' in text
    )
    assert 'app: square\n' in text and 'out: square of 0\n' in text


def test_time_of_chosen_tasks(ran: Shell) -> None:
    chosen = tid(ran.queue('ran'), 'square', 0)
    (row,) = ran('time', '-q', 'ran', '--tid', chosen, '--json').json
    assert (row['name'], row['n']) == ('square', 1)


def test_kill_of_jobs_names_their_provider(ran: Shell) -> None:
    assert '--jobid ID --provider NAME' in ran('kill', '--jobid', '12', status=2).err
    process = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])
    ran('kill', '--provider', 'local', '--jobid', str(process.pid), '999999999')
    assert process.wait(60) == -signal.SIGTERM
    assert 'are numbers' in ran('kill', '--provider', 'local', '--jobid', 'x', status=2).err


def test_folder_that_was_deleted_is_named_as_the_cause(
    queue: Queue,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    TaskManager(queue).python_app(abs)(-1)
    here = tmp_path / 'here'
    here.mkdir()
    monkeypatch.chdir(here)
    here.rmdir()
    assert main(['status', '-q', './test']) == 2
    assert 'The folder that you are in was deleted. Go to another one' in capsys.readouterr().err
    assert main(['status', '-q', queue.folder]) == 0
    assert CellReader(queue, [0]).summary()['total'] == 1
